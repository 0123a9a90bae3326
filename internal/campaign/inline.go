package campaign

import (
	"errors"
	"fmt"
	"html"
	"regexp"
	"slices"
	"strings"

	"github.com/vanng822/go-premailer/premailer"
	xhtml "golang.org/x/net/html"
)

// inlineCSS writes the rules of a document's style elements into its elements,
// because some mail programs throw style elements away. What cannot be written
// into an element, such as media queries, stays where it is. The document is
// printed anew; merge fields come out as they went in, or it is refused.
func inlineCSS(document string) (string, error) {
	inliner, err := premailer.NewPremailerFromString(document, &premailer.Options{KeepBangImportant: true})
	if err != nil {
		return "", fmt.Errorf("inline_css: %w", err)
	}
	printed, err := inliner.Transform()
	if err != nil {
		return "", fmt.Errorf("inline_css: %w", err)
	}
	printed = unescapeFields(printed)
	if misplaced(document) || !slices.Equal(tags(document), tags(printed)) {
		return "", errors.New("inline_css: a merge field or a block such as {% for %} stands where HTML allows no text, as between table rows; put the block around a whole table, or inline the CSS beforehand")
	}
	return printed, nil
}

var anyTag = regexp.MustCompile(`\{\{[^{}]*\}\}|\{%.*?%\}`)

// tags returns the merge fields and block tags of a text, in their order.
func tags(text string) []string {
	list := anyTag.FindAllString(text, -1)
	for i, t := range list {
		list[i] = strings.Join(strings.Fields(t), " ")
	}
	return list
}

// misplaced reports whether a merge field or a block tag stands where a table
// holds rows or cells: a parser moves such text in front of the table.
func misplaced(document string) bool {
	var open []string
	z := xhtml.NewTokenizer(strings.NewReader(document))
	for {
		kind := z.Next()
		name, _ := z.TagName()
		switch kind {
		case xhtml.ErrorToken:
			return false
		case xhtml.StartTagToken:
			open = append(open, string(name))
		case xhtml.EndTagToken:
			for i, o := range slices.Backward(open) {
				if o == string(name) {
					open = open[:i]
					break
				}
			}
		case xhtml.TextToken:
			for _, o := range slices.Backward(open) {
				if slices.Contains([]string{"br", "col", "hr", "img", "input", "link", "meta"}, o) {
					continue // has no end
				}
				if slices.Contains([]string{"table", "thead", "tbody", "tfoot", "tr"}, o) && anyTag.Match(z.Raw()) {
					return true
				}
				break
			}
		}
	}
}

// addPreheader puts the line that an inbox shows after the subject at the start
// of a document, where readers do not see it. What follows it keeps the inbox
// from showing the mail's first words as well.
func addPreheader(document, text string) string {
	hidden := `<div style="display:none;max-height:0;overflow:hidden;mso-hide:all">` + escapeAround(text) + strings.Repeat("&#847;&zwnj;&nbsp;", 60) + `</div>`
	z := xhtml.NewTokenizer(strings.NewReader(document))
	at := 0
	for z.Next() != xhtml.ErrorToken {
		at += len(z.Raw())
		if name, _ := z.TagName(); string(name) == "body" {
			return document[:at] + hidden + document[at:]
		}
	}
	return hidden + document
}

// escapeAround escapes a text for HTML, but for its merge fields.
func escapeAround(text string) string { return unescapeFields(html.EscapeString(text)) }
