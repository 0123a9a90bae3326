package campaign

import (
	"cmp"
	"fmt"
	"html"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/jatak-mail/jatak/linkrewrite"
)

// Level says how grave a finding is.
type Level string

// The levels.
const (
	LevelError   Level = "error"   // keeps the mail from being launched
	LevelWarning Level = "warning" // is better mended
	LevelNote    Level = "note"    // mends itself at launch
)

// Mend is what one click can do about a finding.
type Mend string

// The mends.
const (
	MendNone   Mend = ""
	MendLink   Mend = "link"   // the link becomes a manage link
	MendTag    Mend = "tag"    // the tag goes away
	MendFooter Mend = "footer" // what the law asks for is added at the end
	MendField  Mend = "field"  // a merge field that is misspelt, or another tool's, becomes ours
)

// The parts that an author writes.
const (
	PartSubject   = "subject"
	PartPreheader = "preheader"
	PartHTML      = "html"
	PartMarkdown  = "markdown"
	PartText      = "text"
)

// The codes of links.
const (
	CodeStandardLink = "standard_link"
	CodeCustomLink   = "custom_link"
)

// Finding is something about the source of a mail that its author should know.
type Finding struct {
	Level    Level
	Part     string
	Line     int // 0 when it has no place
	Column   int
	Code     string
	Detail   string
	Args     []any
	Sentence string // in English
	Mend     Mend
	Original string // what a mend replaces, clipped for a person when it is a link
	Source   string // the link as it stands there
	Proposal string // by what
}

// Findings looks at the source of one language as its author sees it, so that
// lines are those of the editor.
func Findings(c Content, lang string) (all []Finding) {
	v := c.Variants[lang]
	for _, line := range []struct{ part, text string }{{PartSubject, v.Subject}, {PartPreheader, v.Preheader}} {
		for _, p := range linkrewrite.LintLine(WithoutLiquid(line.text)) {
			all = append(all, finding(LevelError, line.part, p))
		}
		all = append(all, fieldFindings(line.part, line.text)...)
	}
	if strings.TrimSpace(v.Markdown) != "" {
		all = append(all, sourceFindings(PartMarkdown, v.Markdown, lang, c.PostalAddress)...)
	} else if strings.TrimSpace(v.HTML) != "" {
		all = append(all, sourceFindings(PartHTML, v.HTML, lang, c.PostalAddress)...)
		for _, p := range Advice(v.HTML) {
			all = append(all, finding(LevelWarning, PartHTML, p))
		}
	}
	if strings.TrimSpace(v.Text) != "" {
		all = append(all, sourceFindings(PartText, v.Text, lang, c.PostalAddress)...)
	}
	rank := []Level{LevelError, LevelWarning, LevelNote}
	slices.SortStableFunc(all, func(a, b Finding) int { return slices.Index(rank, a.Level) - slices.Index(rank, b.Level) })
	return all
}

func finding(level Level, part string, p linkrewrite.Problem) Finding {
	f := Finding{Level: level, Part: part, Line: p.Line, Column: p.Column, Code: p.Code, Detail: p.Detail, Args: p.Args, Sentence: p.Mend}
	switch {
	case p.Proposal != "":
		f.Mend, f.Original, f.Proposal = MendField, p.Original, p.Proposal
	case p.Code == linkrewrite.CodeNoManageLink || p.Code == linkrewrite.CodeNoPostal:
		f.Mend = MendFooter
	case p.Code == linkrewrite.CodePlaceholder && p.Detail != linkrewrite.DetailLink && len(p.Args) > 0:
		f.Mend, f.Original = MendTag, fmt.Sprint(p.Args[0])
	}
	return f
}

func fieldFindings(part, text string) (all []Finding) {
	for _, p := range CheckFields(text) {
		all = append(all, finding(LevelError, part, p))
	}
	return all
}

// sourceFindings looks at one part. What launch will rewrite is a note.
func sourceFindings(part, source, lang, postal string) (all []Finding) {
	rewrite, lint := linkrewrite.Text, linkrewrite.LintText
	if part == PartHTML {
		rewrite, lint = linkrewrite.HTML, linkrewrite.LintHTML
	}
	rewritten, links := rewrite(source, linkrewrite.Options{Language: lang})
	for _, l := range links {
		f := Finding{Level: LevelWarning, Part: part, Line: l.Line, Column: l.Column, Code: CodeCustomLink, Mend: MendLink, Original: l.Original, Source: l.Source, Proposal: l.Proposal}
		if l.Kind == linkrewrite.Standard {
			f.Level, f.Code = LevelNote, CodeStandardLink
		}
		all = append(all, f)
	}
	for _, p := range lint(WithoutLiquid(rewritten), linkrewrite.LintOptions{PostalAddress: postal}) {
		if part == PartMarkdown && (p.Code == linkrewrite.CodeNoManageLink || p.Code == linkrewrite.CodeNoPostal) {
			continue // the layout that Markdown gets has both
		}
		all = append(all, finding(LevelError, part, p))
	}
	return append(all, fieldFindings(part, source)...)
}

// Apply does what a finding's mend says, in one language, and reports whether
// it changed anything: another may have been faster.
func Apply(c Content, lang string, f Finding) (Content, bool) {
	v, ok := c.Variants[lang]
	if !ok {
		return c, false
	}
	source := map[string]*string{PartSubject: &v.Subject, PartPreheader: &v.Preheader, PartHTML: &v.HTML, PartMarkdown: &v.Markdown, PartText: &v.Text}[f.Part]
	if source == nil {
		return c, false
	}
	mended := *source
	switch f.Mend {
	case MendLink:
		rewrite := linkrewrite.Text
		if f.Part == PartHTML {
			rewrite = linkrewrite.HTML
		}
		mended, _ = rewrite(mended, linkrewrite.Options{Language: lang, Only: linkrewrite.Place{Line: f.Line, Column: f.Column}})
	case MendTag:
		mended = replaced(mended, f.Line, f.Column, f.Original, "")
	case MendField:
		mended = replaced(mended, f.Line, f.Column, f.Original, f.Proposal)
	case MendFooter:
		mended = withFooter(mended, f.Part, lang, c.PostalAddress)
	}
	if mended == *source {
		return c, false
	}
	*source = mended
	c = c.Clone()
	c.Variants[lang] = v
	return c, true
}

// replaced puts one text in the place of another: where it stands on a line from
// a column on, or else where it stands first.
func replaced(source string, line, column int, original, by string) string {
	if original == "" {
		return source
	}
	from := 0
	for ; line > 1; line-- {
		end := strings.IndexByte(source[from:], '\n')
		if end < 0 {
			return strings.Replace(source, original, by, 1)
		}
		from += end + 1
	}
	for ; column > 1 && from < len(source) && source[from] != '\n'; column-- {
		_, size := utf8.DecodeRuneInString(source[from:])
		from += size
	}
	return source[:from] + strings.Replace(source[from:], original, by, 1)
}

// MendFields writes the merge fields that are misspelt, or another tool's, as
// ours. It returns what it mended too.
func MendFields(source string, isHTML bool) (mended string, mends []linkrewrite.Problem) {
	lint := linkrewrite.LintText
	if isHTML {
		lint = linkrewrite.LintHTML
	}
	for _, p := range append(lint(WithoutLiquid(source), linkrewrite.LintOptions{}), CheckFields(source)...) {
		if p.Proposal != "" {
			mends = append(mends, p)
		}
	}
	slices.SortFunc(mends, func(a, b linkrewrite.Problem) int { return cmp.Or(a.Line-b.Line, a.Column-b.Column) })
	for _, p := range slices.Backward(mends) { // so that the places before stay
		source = replaced(source, p.Line, p.Column, p.Original, p.Proposal)
	}
	return source, mends
}

// withFooter adds the manage link and the postal address, as far as they are
// missing.
func withFooter(source, part, lang, postal string) string {
	lint := linkrewrite.LintText
	if part == PartHTML {
		lint = linkrewrite.LintHTML
	}
	rewritten := source
	if part == PartHTML {
		rewritten, _ = linkrewrite.HTML(source, linkrewrite.Options{Language: lang})
	} else {
		rewritten, _ = linkrewrite.Text(source, linkrewrite.Options{Language: lang})
	}
	missing := map[string]bool{}
	for _, p := range lint(WithoutLiquid(rewritten), linkrewrite.LintOptions{PostalAddress: postal}) {
		missing[p.Code] = true
	}
	words := linkrewrite.ManageWords(lang)
	if part != PartHTML {
		var lines []string
		if missing[linkrewrite.CodeNoPostal] {
			lines = append(lines, "{{ sender.address }}")
		}
		if missing[linkrewrite.CodeNoManageLink] {
			lines = append(lines, words+": "+linkrewrite.Slot)
		}
		if len(lines) == 0 {
			return source
		}
		return strings.TrimRight(source, "\n") + "\n\n" + strings.Join(lines, "\n") + "\n"
	}
	var parts []string
	if missing[linkrewrite.CodeNoPostal] {
		parts = append(parts, "{{ sender.address }}")
	}
	if missing[linkrewrite.CodeNoManageLink] {
		parts = append(parts, `<a href="`+linkrewrite.Slot+`">`+html.EscapeString(words)+`</a>`)
	}
	if len(parts) == 0 {
		return source
	}
	footer := `<p style="margin:24px 12px;font-family:Arial,sans-serif;font-size:13px;line-height:20px;text-align:center">` + strings.Join(parts, "<br>\n") + "</p>\n"
	if at := strings.LastIndex(strings.ToLower(source), "</body"); at >= 0 && len(strings.ToLower(source)) == len(source) {
		return source[:at] + footer + source[at:]
	}
	return strings.TrimRight(source, "\n") + "\n" + footer
}
