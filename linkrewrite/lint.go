package linkrewrite

import (
	"fmt"
	"html"
	"regexp"
	"strings"

	"github.com/PuerkitoBio/goquery"
	xhtml "golang.org/x/net/html"
)

// Problem is something that keeps a mail from being launched.
type Problem struct {
	File   string // "html" or "text"
	Line   int    // from 1; 0 when the problem has no place
	Column int
	Code   string // one of the codes below
	Mend   string // what is wrong and how to mend it, in a sentence
	// Detail tells apart what has the same code, for words in other languages,
	// and Args are what such words name.
	Detail string
	Args   []any
	// Original is what stands there, and Proposal what takes its place, where one
	// replacement mends the problem.
	Original, Proposal string
}

// The details of CodePlaceholder.
const (
	DetailTag   = "tag"   // of another tool, which is to be removed
	DetailLink  = "link"  // of another tool, which leads out: it becomes Slot
	DetailField = "field" // of some other tool
	DetailCode  = "code"  // a merge field of another tool, which we have too
)

// The codes of problems.
const (
	CodePlaceholder  = "placeholder_left"
	CodeDeadLink     = "dead_unsubscribe_link"
	CodeNoManageLink = "no_manage_link"
	CodeNoPostal     = "no_postal_address"
)

func (p Problem) String() string {
	if p.Line == 0 {
		return p.File + ": " + p.Mend
	}
	return fmt.Sprintf("%s:%d:%d: %s", p.File, p.Line, p.Column, p.Mend)
}

// LintOptions say what a mail must hold.
type LintOptions struct {
	// PostalAddress must stand in both parts, literally or as the merge field
	// sender.address.
	PostalAddress string
}

// Lint returns what must be mended before the mail may be sent.
func Lint(htmlPart, textPart string, o LintOptions) []Problem {
	return append(LintHTML(htmlPart, o), LintText(textPart, o)...)
}

// LintHTML looks at the HTML part alone.
func LintHTML(htmlPart string, o LintOptions) []Problem {
	l := &linter{file: "html", src: htmlPart}
	l.markup(0, len(htmlPart))
	doc, err := goquery.NewDocumentFromReader(strings.NewReader(htmlPart))
	if err == nil {
		l.require(manageLink(doc), CodeNoManageLink,
			`there is no manage link; add <a href="`+Slot+`">`+ManageWords("en")+`</a> where the reader finds it`)
		l.require(holdsPostal(seenText(doc), o.PostalAddress), CodeNoPostal,
			"the sender's postal address is missing, and the law asks for it; add {{ sender.address }}")
	}
	return l.problems
}

// LintText looks at the plain-text part alone.
func LintText(textPart string, o LintOptions) []Problem {
	l := &linter{file: "text", src: textPart}
	l.placeholders(0, len(textPart))
	l.require(ownSlot.MatchString(textPart), CodeNoManageLink, "there is no manage link; add a line with "+Slot)
	l.require(holdsPostal(textPart, o.PostalAddress), CodeNoPostal,
		"the sender's postal address is missing, and the law asks for it; add {{ sender.address }}")
	return l.problems
}

// LintLine looks at a line that has no links, such as the subject.
func LintLine(line string) []Problem {
	l := &linter{file: "subject", src: line}
	l.placeholders(0, len(line))
	return l.problems
}

var (
	ownSlot   = regexp.MustCompile(`\{\{-?\s*manage_url\s*(?:\|[^{}]*)?-?\}\}`)
	ownPostal = regexp.MustCompile(`\{\{-?\s*sender\.address\s*(?:\|[^{}]*)?-?\}\}`)
)

// manageLink reports whether the reader can see a link to the manage page.
func manageLink(doc *goquery.Document) bool {
	return doc.Find("a[href], area[href]").FilterFunction(func(_ int, a *goquery.Selection) bool {
		href, _ := a.Attr("href")
		return ownSlot.MatchString(href) && a.ParentsFiltered(hidden).Length() == 0 && !a.Is(hidden)
	}).Length() > 0
}

// hidden selects what mails hide: preheaders and switched parts.
const hidden = `[hidden], [style*="display:none"], [style*="display: none"], head, script, template`

func seenText(doc *goquery.Document) string {
	body := doc.Find("body").Clone()
	body.Find("style, " + hidden).Remove()
	body.Find("br, p, div, td, li").AppendHtml(" ")
	body.Find("br").ReplaceWithHtml(" ")
	return body.Text()
}

func holdsPostal(text, address string) bool {
	if ownPostal.MatchString(text) {
		return true
	}
	address = fold(address)
	return address != "" && strings.Contains(fold(text), address)
}

// fold drops what layout adds to an address: white space and line ends, commas.
func fold(s string) string {
	return strings.ToLower(strings.Join(strings.FieldsFunc(s, func(r rune) bool { return !isWordRune(r) }), " "))
}

// linter collects problems.
type linter struct {
	file, src string
	quoted    bool // within an attribute
	problems  []Problem
}

func (l *linter) require(ok bool, code, mend string) {
	if !ok {
		l.problems = append(l.problems, Problem{File: l.file, Code: code, Mend: mend})
	}
}

func (l *linter) add(at int, code, detail, format string, args ...any) {
	line, column := position(l.src, at)
	l.problems = append(l.problems, Problem{File: l.file, Line: line, Column: column, Code: code, Mend: fmt.Sprintf(format, args...), Detail: detail, Args: args})
}

func (l *linter) markup(start, end int) {
	r := &rewriter{src: l.src}
	tokens := scan(l.src, start, end)
	for i, t := range tokens {
		switch t.kind {
		case xhtml.TextToken:
			if !t.rawText {
				l.placeholders(t.start, t.end)
			}
		case xhtml.CommentToken:
			if from, to, ok := conditional(l.src, t); ok {
				l.markup(from, to)
			}
		case xhtml.StartTagToken, xhtml.SelfClosingTagToken:
			if tool := vendors().elements[t.name]; tool != "" {
				l.add(t.start, CodePlaceholder, DetailLink, "<%s> is a tag of %s; write <a href=\"%s\">", t.name, tool, Slot)
			}
			for _, a := range t.attributes {
				l.attribute(a)
			}
			if t.name == "a" {
				inner := tokens[i+1 : i+linkLength(tokens[i:])]
				href, _ := t.attribute("href")
				if leadsNowhere(href.value) && !anyTag.MatchString(strings.TrimSpace(href.value)) && saysUnsubscribe(r.wordsOf(inner)) {
					l.add(t.start, CodeDeadLink, "", "the unsubscribe link leads nowhere; write href=\"%s\"", Slot)
				}
			}
		}
	}
}

// attribute reports placeholders in an attribute, also percent-encoded.
func (l *linter) attribute(a attribute) {
	before := len(l.problems)
	l.quoted = true
	l.placeholders(a.start, a.end)
	l.quoted = false
	if len(l.problems) > before || a.name != "href" {
		return
	}
	if m, ok := vendors().inTarget(a.value); ok && m.role != roleOwn {
		l.add(a.start, CodePlaceholder, DetailLink, "%s is a tag of %s; write %s", clip(html.UnescapeString(a.value)), m.tool, Slot)
	}
}

func (l *linter) placeholders(start, end int) {
	for _, m := range vendors().find(l.src[start:end]) {
		tag := clip(l.src[start+m.start : start+m.end])
		switch {
		case m.role == roleOwn:
		case m.role == rolePath:
			l.add(start+m.start, CodePlaceholder, DetailLink, "%s is the unsubscribe page of %s; write %s instead of the whole address", tag, m.tool, Slot)
		case m.wayOut():
			l.add(start+m.start, CodePlaceholder, DetailLink, "%s is a tag of %s; write %s", tag, m.tool, Slot)
		case m.role == roleField:
			quote := `"`
			if l.quoted {
				quote = "'"
			}
			original := l.src[start+m.start : start+m.end]
			ours := m.mergeField(original, quote)
			l.add(start+m.start, CodePlaceholder, DetailCode, "%s is a merge field of another mail tool and would be sent as it stands; write %s", tag, ours)
			p := &l.problems[len(l.problems)-1]
			p.Original, p.Proposal = original, ours
		case m.role == roleOther:
			l.add(start+m.start, CodePlaceholder, DetailTag, "%s is a tag of %s and would be sent as it stands; remove it", tag, m.tool)
		default:
			l.add(start+m.start, CodePlaceholder, DetailField, "%s is a tag of another mail tool and would be sent as it stands; write a merge field such as {{ contact.first_name }}, or remove it", tag)
		}
	}
}
