package campaign

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/jatak-mail/jatak/gating"
	"github.com/jatak-mail/jatak/internal/contact"
	"github.com/jatak-mail/jatak/linkrewrite"
)

// Content is what the author wrote. It is kept with the campaign as JSON and
// frozen at launch.
type Content struct {
	Name            string       `json:"name"`
	Class           gating.Class `json:"class,omitempty"`             // default marketing
	Type            string       `json:"subscription_type,omitempty"` // key or name; "": any
	FromName        string       `json:"from_name"`
	FromAddress     string       `json:"from_address"`
	ReplyTo         string       `json:"reply_to,omitempty"`
	PostalAddress   string       `json:"postal_address"`
	Audience        Audience     `json:"audience,omitzero"`
	DefaultLanguage string       `json:"default_language"`
	// InlineCSS asks Load to write the rules of style elements into the elements.
	InlineCSS bool               `json:"inline_css,omitempty"`
	Variants  map[string]Variant `json:"variants"` // by language
}

// Variant is the content in one language.
type Variant struct {
	Subject string `json:"subject"`
	HTML    string `json:"html,omitempty"`
	// Markdown stands in the place of HTML, which is made from it.
	Markdown string `json:"markdown,omitempty"`
	Text     string `json:"text,omitempty"` // made from HTML when empty
	// Preheader is the line that an inbox shows after the subject. Load puts it
	// into the HTML.
	Preheader string `json:"preheader,omitempty"`
}

// Audience narrows down whom a campaign is for. The zero value is everybody.
type Audience struct {
	Company  string        `json:"company,omitempty"`
	Language string        `json:"language,omitempty"` // with its regional forms
	Basis    string        `json:"basis,omitempty"`    // the present E-marketing basis, or none
	Source   gating.Source `json:"source,omitempty"`   // how that basis came, such as migration
	// ExpiringDays picks those whose consent expires within so many days.
	ExpiringDays int `json:"expiring_days,omitempty"`
	// Filter picks by conditions, beside what is above.
	Filter *contact.Filter `json:"filter,omitempty"`
}

// Selection returns the contacts that are meant at a time.
func (a Audience) Selection(now time.Time) contact.Selection {
	s := contact.Selection{Company: a.Company, Language: strings.ToLower(a.Language), Basis: a.Basis, Source: string(a.Source)}
	if a.Filter != nil {
		f := a.Filter.On(now)
		s.Filter = &f
	}
	if a.ExpiringDays > 0 {
		s.ExpiresBefore = now.AddDate(0, 0, a.ExpiringDays)
	}
	return s
}

// Load reads a campaign folder: campaign.json, in which html, or
// markdown, and text name files of the folder. Markdown becomes HTML. Errors
// name the file, and the field.
func Load(folder fs.FS) (Content, error) {
	c, err := Read(folder)
	if err != nil {
		return Content{}, err
	}
	if c, err = c.Build(); err != nil {
		return Content{}, err
	}
	return c, c.Validate()
}

// Read reads a campaign folder as its author wrote it, to be worked on.
func Read(folder fs.FS) (Content, error) {
	raw, err := readFile(folder, "campaign.json", maxDescription)
	if err != nil {
		return Content{}, err
	}
	var c Content
	d := json.NewDecoder(bytes.NewReader(raw))
	d.DisallowUnknownFields()
	if err := d.Decode(&c); err != nil {
		return Content{}, fmt.Errorf("campaign.json: %w", jsonError(err, raw))
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return Content{}, errors.New("campaign.json: something follows the closing brace; remove it")
	}
	for lang, v := range c.Variants {
		source := &v.HTML
		switch {
		case v.HTML != "" && v.Markdown != "":
			return Content{}, fmt.Errorf("campaign.json: variant %q names an html and a markdown file; keep one", lang)
		case v.Markdown != "":
			source = &v.Markdown
		case v.HTML == "":
			return Content{}, fmt.Errorf("campaign.json: variant %q names no html file and no markdown file", lang)
		}
		for _, part := range []*string{source, &v.Text} {
			if *part == "" {
				continue
			}
			text, err := readFile(folder, *part, MaxPart)
			if err != nil {
				return Content{}, err
			}
			*part = string(text)
		}
		c.Variants[lang] = v
	}
	return c, nil
}

// Build makes what is sent of what the author wrote: HTML of Markdown, CSS within
// the elements where that was asked for, the preheader in the HTML. To build
// twice is to build once. Errors name the variant.
func (c Content) Build() (Content, error) {
	built := c
	built.Variants = make(map[string]Variant, len(c.Variants))
	for _, lang := range c.Languages() {
		v := c.Variants[lang]
		markdown := strings.TrimSpace(v.Markdown) != ""
		var err error
		if markdown {
			if v.HTML, err = fromMarkdown(v.Markdown, lang, c); err != nil {
				return Content{}, fmt.Errorf("variant %q: %w", lang, err)
			}
		}
		if v.HTML, err = finish(v, markdown || c.InlineCSS); err != nil {
			return Content{}, fmt.Errorf("variant %q: %w", lang, err)
		}
		v.Markdown, v.Preheader = "", "" // the HTML is what is checked and sent
		built.Variants[lang] = v
	}
	built.InlineCSS = false // done
	return built, nil
}

// finish writes into the HTML what the author has asked for.
func finish(v Variant, inline bool) (html string, err error) {
	html = v.HTML
	if strings.TrimSpace(html) == "" {
		return html, nil // not written yet
	}
	if inline {
		if html, err = inlineCSS(html); err != nil {
			return "", err
		}
	}
	if v.Preheader != "" {
		html = addPreheader(html, v.Preheader)
	}
	return html, nil
}

// jsonError says where in the text a decoder stopped.
func jsonError(err error, raw []byte) error {
	offset := int64(-1)
	var syntax *json.SyntaxError
	var kind *json.UnmarshalTypeError
	switch {
	case errors.As(err, &syntax):
		offset = syntax.Offset
	case errors.As(err, &kind):
		offset = kind.Offset
	}
	if offset < 0 || offset > int64(len(raw)) {
		return err
	}
	return fmt.Errorf("line %d: %w", 1+bytes.Count(raw[:offset], []byte("\n")), err)
}

func readFile(folder fs.FS, name string, most int64) ([]byte, error) {
	if !fs.ValidPath(name) {
		return nil, fmt.Errorf("%q is not a file of the campaign's folder", name)
	}
	f, err := folder.Open(name)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	raw, err := io.ReadAll(io.LimitReader(f, most+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("%s: %w", name, err)
	case int64(len(raw)) > most:
		return nil, fmt.Errorf("%s is larger than %d KiB", name, most>>10)
	case !utf8.Valid(raw):
		return nil, fmt.Errorf("%s is not UTF-8; save it as UTF-8", name)
	case bytes.IndexByte(raw, 0) >= 0:
		return nil, fmt.Errorf("%s holds a NUL character", name)
	}
	return bytes.TrimPrefix(raw, []byte("\ufeff")), nil
}

// Languages returns the languages there are variants in, sorted.
func (c Content) Languages() []string {
	list := make([]string, 0, len(c.Variants))
	for lang := range c.Variants {
		list = append(list, lang)
	}
	slices.Sort(list)
	return list
}

// LanguageFor returns the language of the variant that a contact of a language
// gets: that language, or its base (da for da-dk), or the default.
func (c Content) LanguageFor(language string) string {
	base, _, _ := strings.Cut(language, "-")
	for _, want := range []string{language, base} {
		for lang := range c.Variants {
			if strings.EqualFold(lang, want) {
				return lang
			}
		}
	}
	return c.DefaultLanguage
}

// LinkFinding is an unsubscribe link found in a part of the content.
type LinkFinding struct {
	linkrewrite.Finding
	Language string
	Part     string // html, markdown or text
}

// Rewrite points the standard unsubscribe links of all variants at the manage
// page and makes text parts where there are none. Custom links are found and
// left, and so are those of the draft that are kept.
func (c Content) Rewrite(legacyURLs []string, kept KeptLinks) (Content, []LinkFinding) {
	out := c
	out.Variants = make(map[string]Variant, len(c.Variants))
	var all []LinkFinding
	for _, lang := range c.Languages() {
		v := c.Variants[lang]
		o := linkrewrite.Options{Language: lang, LegacyURLs: legacyURLs}
		var found []linkrewrite.Finding
		if v.Markdown != "" { // it becomes HTML later
			o.Kept = kept.in(lang, PartMarkdown)
			v.Markdown, found = linkrewrite.Text(v.Markdown, o)
			for _, f := range found {
				all = append(all, LinkFinding{f, lang, PartMarkdown})
			}
		}
		o.Kept = kept.in(lang, PartHTML)
		v.HTML, found = linkrewrite.HTML(v.HTML, o)
		for _, f := range found {
			all = append(all, LinkFinding{f, lang, PartHTML})
		}
		if strings.TrimSpace(v.Text) == "" && strings.TrimSpace(v.HTML) != "" {
			v.Text = TextFromHTML(v.HTML)
		}
		o.Kept = kept.in(lang, PartText)
		v.Text, found = linkrewrite.Text(v.Text, o)
		for _, f := range found {
			all = append(all, LinkFinding{f, lang, PartText})
		}
		out.Variants[lang] = v
	}
	return out, all
}

// Problem is something that keeps a campaign from being launched.
type Problem struct {
	Language string
	linkrewrite.Problem
}

func (p Problem) String() string {
	if p.Language == "" {
		return p.Problem.String()
	}
	return p.Language + " " + p.Problem.String()
}

// Check returns all that keeps the content from being launched, with a mend
// for each: what is missing, and what is wrong with what would be sent: the
// content built and rewritten.
func Check(c Content) []Problem {
	var all []Problem
	for _, f := range c.Faults() {
		all = append(all, Problem{f.Language, linkrewrite.Problem{File: "campaign", Code: f.Code, Mend: f.Error(), Args: f.Args}})
	}
	built, err := c.Build()
	if err != nil {
		return append(all, Problem{"", linkrewrite.Problem{File: "html", Code: CodeUnbuildable, Mend: err.Error(), Args: []any{err.Error()}}})
	}
	rewritten, _ := built.Rewrite(nil, nil)
	for _, lang := range rewritten.Languages() {
		v := rewritten.Variants[lang]
		if strings.TrimSpace(v.HTML) == "" {
			continue // a fault
		}
		written := c.Variants[lang]
		inSource := sourceProblems(lang, written)
		all = append(all, inSource...)
		for _, p := range linkrewrite.Lint(WithoutLiquid(v.HTML), WithoutLiquid(v.Text), linkrewrite.LintOptions{PostalAddress: c.PostalAddress}) {
			// What is found in Markdown stands in what is made of it too.
			made := p.File == PartHTML || strings.TrimSpace(written.Text) == ""
			if p.Code != linkrewrite.CodePlaceholder || !made || len(inSource) == 0 {
				all = append(all, Problem{lang, p})
			}
		}
		// A text that is made of the HTML has the same mistakes.
		for _, part := range []struct{ name, text string }{{PartSubject, v.Subject}, {PartHTML, v.HTML}, {PartText, written.Text}} {
			if part.name == PartHTML && len(inSource) > 0 {
				continue
			}
			for _, p := range CheckFields(part.text) {
				p.File = part.name
				all = append(all, Problem{lang, p})
			}
		}
		for _, p := range linkrewrite.LintLine(WithoutLiquid(v.Subject)) {
			all = append(all, Problem{lang, p})
		}
	}
	return all
}

// sourceProblems returns what is wrong with the merge fields of Markdown and of
// the preheader beside it. They are looked for where their author sees them, and
// before Markdown takes asterisks for its own.
func sourceProblems(lang string, v Variant) (all []Problem) {
	if strings.TrimSpace(v.Markdown) == "" {
		return nil
	}
	for _, part := range []struct{ name, text string }{{PartPreheader, v.Preheader}, {PartMarkdown, v.Markdown}} {
		rewritten, _ := linkrewrite.Text(part.text, linkrewrite.Options{Language: lang})
		for _, p := range append(CheckFields(part.text), linkrewrite.LintLine(WithoutLiquid(rewritten))...) {
			p.File = part.name
			all = append(all, Problem{lang, p})
		}
	}
	return all
}

// The codes of what is checked here.
const (
	CodeMergeField  = "merge_field"
	CodeUnbuildable = "unbuildable"
)

// CheckFields returns what is wrong with the merge fields of a text: names that
// are none, and the first of other mistakes, which may hide more.
func CheckFields(text string) (problems []linkrewrite.Problem) {
	read := []byte(text)
	for {
		_, err := parseFields(string(read))
		if err == nil {
			return problems
		}
		p := linkrewrite.Problem{Line: err.Line, Column: err.Column, Code: CodeMergeField, Mend: err.Mend, Detail: err.Detail, Args: err.Args}
		if err.Detail != "unknown" {
			return append(problems, p)
		}
		name := fmt.Sprint(err.Args[0])
		at := err.at + strings.Index(text[err.at:], name)
		if meant, ok := misspelt(name); ok {
			p.Original, p.Proposal = name, string(meant)
		}
		problems = append(problems, p)
		// Read on as if it were a field: a name that is none hides nothing else.
		copy(read[at:], strings.Repeat("-", len(name)))
	}
}

// Clone returns a copy whose variants can be changed without changing those of c.
func (c Content) Clone() Content {
	c.Variants = maps.Clone(c.Variants)
	if c.Variants == nil {
		c.Variants = map[string]Variant{}
	}
	return c
}
