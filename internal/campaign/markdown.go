package campaign

import (
	"bytes"
	"fmt"
	"html"
	"regexp"
	"strings"

	"github.com/yuin/goldmark"
	"github.com/yuin/goldmark/extension"

	"github.com/jatak-mail/jatak/linkrewrite"
)

// fromMarkdown makes the HTML of a mail from Markdown (CommonMark, with tables
// and strikethrough), in a layout that holds in narrow and wide windows, in
// light and dark, and that ends with what the law asks for. Raw HTML in the
// source is left out.
func fromMarkdown(source, lang string, c Content) (string, error) {
	// A target with blanks stands in angle brackets.
	source = fieldTarget.ReplaceAllString(source, "](<$1>)")
	var body bytes.Buffer
	if err := goldmark.New(goldmark.WithExtensions(extension.Table, extension.Strikethrough)).Convert([]byte(source), &body); err != nil {
		return "", fmt.Errorf("markdown: %w", err)
	}
	// Quotes in merge fields are not typography.
	content := unescapeFields(body.String())
	footer := ""
	if !strings.Contains(source, "manage_url") {
		footer = fmt.Sprintf(`<a href="%s" style="color:#55625c">%s</a><br>`, linkrewrite.Slot, html.EscapeString(linkrewrite.ManageWords(lang)))
	}
	return fmt.Sprintf(markdownLayout, html.EscapeString(lang), html.EscapeString(c.FromName), content, footer), nil
}

var fieldTarget = regexp.MustCompile(`\]\(\s*(\{\{[^{}]*\}\})\s*\)`)

// unescapeFields gives merge fields and blocks back the quotes that Markdown
// has made into entities.
func unescapeFields(s string) string {
	for _, braces := range [][2]string{{"{{", "}}"}, {"{%", "%}"}} {
		var b strings.Builder
		for {
			before, rest, found := strings.Cut(s, braces[0])
			inner, after, closed := strings.Cut(rest, braces[1])
			b.WriteString(before)
			if !found || !closed {
				if found {
					b.WriteString(braces[0] + rest)
				}
				break
			}
			b.WriteString(braces[0] + html.UnescapeString(inner) + braces[1])
			s = after
		}
		s = b.String()
	}
	// In a link's target, Markdown has percent-encoded the braces.
	return strings.NewReplacer("%7B%7B%20", "{{ ", "%20%7D%7D", " }}", "%7B%7B", "{{", "%7D%7D", "}}").Replace(s)
}

const markdownLayout = `<!DOCTYPE html>
<html lang="%s">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="supported-color-schemes" content="light dark">
<title></title>
<style>
  .sheet h1 { margin: 0 0 16px; font-size: 28px; line-height: 34px; }
  .sheet h2 { margin: 28px 0 12px; font-size: 21px; line-height: 28px; }
  .sheet p, .sheet ul, .sheet ol, .sheet blockquote, .sheet table { margin: 0 0 16px; }
  .sheet blockquote { padding: 4px 0 4px 16px; border-left: 4px solid #dfe5e2; }
  .sheet blockquote p { margin: 0; }
  .sheet ul, .sheet ol { padding-left: 24px; }
  .sheet a { color: #0b6e4f; }
  .sheet img { max-width: 100%%; height: auto; }
  @media only screen and (max-width: 480px) { .sheet { padding: 24px 20px !important; } }
  @media (prefers-color-scheme: dark) {
    .back { background-color: #101513 !important; }
    .sheet { background-color: #1a211e !important; color: #eef3f0 !important; }
    .sheet a { color: #58c79c !important; }
    .sheet blockquote { border-left-color: #323c37 !important; }
    .foot, .foot a { color: #a9b6b0 !important; }
  }
</style>
</head>
<body class="back" style="margin:0;padding:24px 12px;background-color:#f3f5f4">
<table role="presentation" width="100%%" cellpadding="0" cellspacing="0" border="0"><tr><td align="center">
<table role="presentation" width="600" cellpadding="0" cellspacing="0" border="0" style="width:100%%;max-width:600px">
<tr><td class="sheet" style="padding:36px;background-color:#ffffff;color:#17211d;border-radius:12px;font-family:-apple-system,'Segoe UI',Roboto,Arial,sans-serif;font-size:17px;line-height:27px">
<p style="margin:0 0 24px;font-weight:bold">%s</p>
%s</td></tr>
<tr><td class="foot" style="padding:24px 36px;color:#55625c;font-family:-apple-system,'Segoe UI',Roboto,Arial,sans-serif;font-size:14px;line-height:22px">
%s{{ sender.address }}
</td></tr>
</table>
</td></tr></table>
</body>
</html>
`
