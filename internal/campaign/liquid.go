package campaign

import (
	"errors"
	"fmt"
	"html"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/osteele/liquid"
)

// What an author may write beyond plain merge fields: blocks of Liquid and
// filters. Such a part is rendered for each recipient; all else is spliced.

// blocks are the tags that have an end, and inner those that stand within them.
var (
	tag       = regexp.MustCompile(`\{%-?\s*([a-z]+)\b([^%]*(?:%[^}][^%]*)*)%\}`)
	output    = regexp.MustCompile(`\{\{-?(.*?)-?\}\}`)
	ourName   = regexp.MustCompile(`\b(?:contact|sender|campaign)\.[A-Za-z_][A-Za-z_.]*`)
	filter    = regexp.MustCompile(`\|\s*([A-Za-z_]+)`)
	quoted    = regexp.MustCompile(`"[^"]*"|'[^']*'`)
	countable = regexp.MustCompile(`\(\s*(-?\d+)\s*\.\.\s*(-?\d+)\s*\)`)
)

func isBlock(name string) bool { return slices.Contains([]string{"if", "unless", "case", "for"}, name) }

// filters lists what may be done to a value.
func filters() []string {
	return []string{"default", "upcase", "downcase", "capitalize", "strip", "append", "prepend", "replace", "remove", "truncate", "truncatewords", "size"}
}

const (
	mostTurns  = 100      // of a loop
	mostOutput = 64 << 10 // of a part, in bytes
)

// region is a part of a text that Liquid renders.
type region struct{ start, end int }

// findRegions finds the blocks of a text, the outermost of those that are
// nested. Tags of other tools are not ours.
func findRegions(text string) (regions []region, problem *FieldError) {
	var open []string
	start := 0
	for _, m := range tag.FindAllStringSubmatchIndex(text, -1) {
		name := text[m[2]:m[3]]
		closes, isEnd := strings.CutPrefix(name, "end")
		switch {
		case isBlock(name):
			if len(open) == 0 {
				start = m[0]
			}
			open = append(open, name)
		case isEnd && isBlock(closes):
			if len(open) == 0 || open[len(open)-1] != closes {
				return nil, fieldError(text, m[0], "unbegun", "{%% %s %%} ends what was not begun; write {%% %s ... %%} before it", name, closes)
			}
			if open = open[:len(open)-1]; len(open) == 0 {
				regions = append(regions, region{start, m[1]})
			}
		}
	}
	if len(open) > 0 {
		return nil, fieldError(text, start, "unended", "{%% %s %%} is not ended; write {%% end%[1]s %%} after it", open[0])
	}
	return regions, nil
}

func fieldError(text string, at int, detail, format string, args ...any) *FieldError {
	before := text[:at]
	return &FieldError{Line: 1 + strings.Count(before, "\n"), Column: 1 + utf8.RuneCountInString(before[strings.LastIndexByte(before, '\n')+1:]), Mend: fmt.Sprintf(format, args...), Detail: detail, Args: args, at: at}
}

// checkRegion holds a part to what it may say.
func checkRegion(text string, r region) *FieldError {
	source := text[r.start:r.end]
	check := func(from, to int) *FieldError { // within braces
		words := quoted.ReplaceAllStringFunc(source[from:to], func(s string) string { return strings.Repeat(" ", len(s)) })
		for _, m := range ourName.FindAllStringIndex(words, -1) {
			if name := words[m[0]:m[1]]; !known(Field(name)) {
				return fieldError(text, r.start+from+m[0], "unknown", "there is no merge field %s; did you mean %s?", name, nearest(name))
			}
		}
		for _, m := range filter.FindAllStringSubmatchIndex(words, -1) {
			if name := words[m[2]:m[3]]; !slices.Contains(filters(), name) {
				return fieldError(text, r.start+from+m[2], "unknown_filter", "there is no filter %s; there are %s", name, strings.Join(filters(), ", "))
			}
		}
		return nil
	}
	for _, m := range output.FindAllStringSubmatchIndex(source, -1) {
		if err := check(m[2], m[3]); err != nil {
			return err
		}
	}
	for _, m := range tag.FindAllStringSubmatchIndex(source, -1) {
		name, words := source[m[2]:m[3]], source[m[4]:m[5]]
		if !slices.Contains([]string{"if", "elsif", "else", "endif", "unless", "endunless", "case", "when", "endcase", "for", "endfor", "break", "continue"}, name) {
			return fieldError(text, r.start+m[0], "unknown_tag", "{%% %s %%} cannot stand here; there are if, unless, case and for", name)
		}
		if err := check(m[4], m[5]); err != nil {
			return err
		}
		if name != "for" {
			continue
		}
		bounds := countable.FindStringSubmatch(words)
		if bounds == nil {
			return fieldError(text, r.start+m[0], "loop", "a loop counts: {%% for i in (1..3) %%}")
		}
		from, fromErr := strconv.Atoi(bounds[1])
		to, toErr := strconv.Atoi(bounds[2])
		if fromErr != nil || toErr != nil || to-from >= mostTurns {
			return fieldError(text, r.start+m[0], "turns", "a loop has at most %d turns", mostTurns)
		}
	}
	if strings.Count(source, "{% for")+strings.Count(source, "{%for")+strings.Count(source, "{%- for") > 2 {
		return fieldError(text, r.start, "loops", "there are more than two loops in one block")
	}
	return nil
}

// compileRegion makes a part ready. Each output is escaped for where it stands.
func compileRegion(text string, r region, where func(int) escape) (*liquid.Template, *FieldError) {
	if err := checkRegion(text, r); err != nil {
		return nil, err
	}
	engine := liquid.NewEngine()
	for e, name := range escapeFilters() {
		engine.RegisterFilter(name, func(value any) string { return e.apply(toText(value)) })
	}
	source := text[r.start:r.end]
	var b strings.Builder
	at := 0
	for _, m := range output.FindAllStringSubmatchIndex(source, -1) {
		b.WriteString(source[at:m[3]])
		fmt.Fprintf(&b, " | %s ", escapeFilters()[where(r.start+m[0])])
		at = m[3]
	}
	b.WriteString(source[at:])
	template, err := engine.ParseString(b.String())
	if err != nil {
		return nil, fieldError(text, r.start, "unreadable", "the block cannot be read: %s", firstLine(err.Error()))
	}
	// What is wrong with it shows with the first recipient.
	for _, sample := range []Recipient{{}, {FirstName: "Anna", LastName: "Holm", Email: "anna@example.org", Company: "Holm", ManageURL: "https://example.org"}} {
		if _, err := renderRegion(template, sample.bindings(nil)); err != nil {
			return nil, fieldError(text, r.start, "unrendered", "the block cannot be rendered: %s", firstLine(err.Error()))
		}
	}
	return template, nil
}

func escapeFilters() map[escape]string {
	return map[escape]string{inText: "jatak_text", inSubject: "jatak_subject", inHTML: "jatak_html", inReference: "jatak_reference"}
}

func firstLine(s string) string {
	line, _, _ := strings.Cut(s, "\n")
	return line
}

func toText(value any) string {
	if value == nil {
		return ""
	}
	return fmt.Sprint(value)
}

// bindings are what a part may say of its reader.
func (r Recipient) bindings(known map[Field]string) map[string]any {
	return map[string]any{
		"contact":    map[string]any{"first_name": present(r.FirstName), "last_name": present(r.LastName), "email": present(r.Email), "company": present(r.Company)},
		"sender":     map[string]any{"name": known[SenderName], "address": known[SenderAddress]},
		"campaign":   map[string]any{"name": known[CampaignName]},
		"manage_url": r.ManageURL,
	}
}

// present makes what is empty nothing, so that {% if contact.company %} asks
// whether there is one.
func present(s string) any {
	if strings.TrimSpace(s) == "" {
		return nil
	}
	return s
}

// WithoutLiquid blanks what Liquid takes away, and leaves what it leaves, in its
// place: the text as the link check is to see it.
func WithoutLiquid(text string) string {
	regions, err := findRegions(text)
	if err != nil {
		return text
	}
	var b strings.Builder
	at := 0
	for _, r := range regions {
		b.WriteString(text[at:r.start])
		at = r.end
		part := tag.ReplaceAllStringFunc(text[r.start:r.end], blanked)
		b.WriteString(output.ReplaceAllStringFunc(part, func(o string) string {
			if ourField.MatchString(strings.Trim(o, "{}-")) {
				return o
			}
			return blanked(o)
		}))
	}
	b.WriteString(text[at:])
	return b.String()
}

// blanked is as long as what it stands for, so that lines and columns stay.
func blanked(s string) string {
	return strings.Map(func(r rune) rune {
		if r == '\n' {
			return r
		}
		return ' '
	}, s)
}

// errTooLong ends a part that says too much.
var errTooLong = errors.New("it is longer than 64 KiB")

// bounded takes what a part says.
type bounded struct{ strings.Builder }

func (b *bounded) Write(p []byte) (int, error) {
	if b.Len()+len(p) > mostOutput {
		return 0, errTooLong
	}
	return b.Builder.Write(p)
}

func renderRegion(t *liquid.Template, bindings map[string]any) (string, error) {
	var b bounded
	if err := t.FRender(&b, bindings); err != nil {
		return "", err
	}
	return b.String(), nil
}

// escape is where a value stands.
type escape int

const (
	inText      escape = iota // as it is
	inSubject                 // on one line
	inHTML                    // in text or in an attribute
	inReference               // in an href or src: a part of a URL
)

func (e escape) apply(value string) string {
	switch e {
	case inHTML:
		return html.EscapeString(value)
	case inReference:
		return html.EscapeString(url.QueryEscape(value))
	case inSubject:
		return strings.Map(func(r rune) rune {
			if r < ' ' || r == 0x7f {
				return ' '
			}
			return r
		}, value)
	}
	return value
}
