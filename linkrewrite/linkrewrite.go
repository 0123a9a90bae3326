// Package linkrewrite answers which links of a mail say "unsubscribe", and
// where they should lead: to the recipient's own page. It finds the unsubscribe
// links and tags of all known mail tools in HTML and in text, points them at
// one slot, and lints what is about to be sent.
//
// It is pure, and works once per template, never per recipient. Everything that
// is not such a link stays as it is, byte for byte: the package splices, and
// never prints a parsed document.
package linkrewrite

import (
	"slices"
	"strings"
	"unicode/utf8"
)

// Slot is what a rewritten link leads to: the merge field that the renderer
// fills with the recipient's own URL.
const Slot = "{{ manage_url }}"

// Kind says whose link was found.
type Kind string

// The kinds of findings.
const (
	// Standard links are a mail tool's own, or lead nowhere: they are rewritten.
	Standard Kind = "standard"
	// Custom links lead to a real page or address of the tenant's: they are
	// reported, and rewritten only with Options.Custom.
	Custom Kind = "custom"
	// Kept links are those of Options.Kept: they stay as they are.
	Kept Kind = "kept"
)

// Finding is an unsubscribe link.
type Finding struct {
	Kind     Kind   `json:"kind"`
	Line     int    `json:"line"`   // from 1
	Column   int    `json:"column"` // from 1, in characters
	Tool     string `json:"tool,omitempty"`
	Original string `json:"original"`        // clipped, for a person
	Source   string `json:"-"`               // the same, whole and as it stands there
	Words    string `json:"words,omitempty"` // what the reader saw
	Proposal string `json:"proposal"`
}

// Options say how to rewrite.
type Options struct {
	// Language of the template (BCP 47): the language of the words written.
	Language string
	// LegacyURLs are the tenant's known unsubscribe pages. A link to one of
	// them, or below it, is standard when its words say unsubscribe.
	LegacyURLs []string
	// Custom rewrites the custom links too.
	Custom bool
	// Kept are the links, as their Source says them, that somebody has decided
	// to keep.
	Kept []string
	// Only rewrites the one link that stands there, whatever its kind. The zero
	// value is no place.
	Only Place
}

// Place is where something stands in a text.
type Place struct {
	Line   int // from 1
	Column int // from 1, in characters
}

// HTML rewrites the unsubscribe links of an HTML document. Rewriting twice is
// the same as rewriting once.
func HTML(src string, o Options) (string, []Finding) {
	r := &rewriter{src: src, options: o}
	r.markup(0, len(src))
	return r.result()
}

// Text rewrites the unsubscribe links of a plain-text part, in the same way.
func Text(src string, o Options) (string, []Finding) {
	r := &rewriter{src: src, options: o}
	r.plain()
	return r.result()
}

// rewriter collects the edits of one document.
type rewriter struct {
	src      string
	options  Options
	edits    []edit
	findings []Finding
}

// edit replaces src[start:end].
type edit struct {
	start, end int
	with       string
}

func (r *rewriter) replace(start, end int, with string) {
	r.edits = append(r.edits, edit{start, end, with})
}

// found reports a link and returns whether it is to be rewritten.
func (r *rewriter) found(kind Kind, tool string, start, end int, words, proposal string) bool {
	line, column := position(r.src, start)
	source := r.src[start:end]
	if slices.Contains(r.options.Kept, source) {
		kind = Kept
	}
	r.findings = append(r.findings, Finding{
		Kind: kind, Line: line, Column: column, Tool: tool,
		Original: clip(source), Source: source, Words: clip(words), Proposal: proposal,
	})
	if r.options.Only != (Place{}) {
		return r.options.Only == Place{line, column}
	}
	return kind == Standard || kind == Custom && r.options.Custom
}

func (r *rewriter) words() string { return ManageWords(r.options.Language) }

// result splices. Of edits that overlap the first wins.
func (r *rewriter) result() (string, []Finding) {
	slices.SortStableFunc(r.findings, func(a, b Finding) int {
		if a.Line != b.Line {
			return a.Line - b.Line
		}
		return a.Column - b.Column
	})
	if len(r.edits) == 0 {
		return r.src, r.findings
	}
	slices.SortStableFunc(r.edits, func(a, b edit) int { return a.start - b.start })
	var out strings.Builder
	at := 0
	for _, e := range r.edits {
		if e.start < at {
			continue
		}
		out.WriteString(r.src[at:e.start])
		out.WriteString(e.with)
		at = e.end
	}
	out.WriteString(r.src[at:])
	return out.String(), r.findings
}

// position returns where an offset stands, for a person.
func position(src string, offset int) (line, column int) {
	before := src[:offset]
	return 1 + strings.Count(before, "\n"), 1 + utf8.RuneCountInString(before[strings.LastIndexByte(before, '\n')+1:])
}

// clip keeps a report readable.
func clip(s string) string {
	const most = 300
	s = strings.Join(strings.Fields(s), " ")
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "…"
}
