package campaign

import (
	"fmt"
	"regexp"
	"strings"

	xhtml "golang.org/x/net/html"
)

// Copy is the mail of one language as somebody would get it.
type Copy struct {
	Subject, HTML, Text string
}

// Preview makes the copy of a draft, which may lack what a campaign must have.
// The error says what is wrong with a merge field, or with the CSS.
func Preview(c Content, lang string, r Recipient) (Copy, error) {
	v, ok := c.Variants[lang]
	if !ok {
		return Copy{}, fmt.Errorf("there is no variant %q", lang)
	}
	// HTML may be missing yet; a mail of text alone is none.
	c.Variants = map[string]Variant{lang: v}
	built, err := c.Build()
	if err != nil {
		return Copy{}, err
	}
	rewritten, _ := built.Rewrite(nil, nil)
	compiled, err := compileVariant(rewritten, lang)
	if err != nil {
		return Copy{}, err
	}
	values := compiled.Values(nil, r)
	return Copy{Subject: splice(compiled.Subject, values), HTML: splice(compiled.HTML, values), Text: splice(compiled.Text, values)}, nil
}

func splice(segments []Segment, values []string) string {
	var b strings.Builder
	for _, s := range segments {
		if s.Slot >= 0 {
			b.WriteString(values[s.Slot])
			continue
		}
		b.WriteString(s.Static)
	}
	return b.String()
}

var schemeQuery = regexp.MustCompile(`(?i)\(\s*prefers-color-scheme\s*:\s*(light|dark)\s*\)`)

// Framed returns the HTML for a frame without scripts: its links open nowhere,
// because a sandbox lets them open no window, and its media queries see the
// colour scheme that is asked for.
func (c Copy) Framed(dark bool) string {
	scheme := "light"
	if dark {
		scheme = "dark"
	}
	document := schemeQuery.ReplaceAllStringFunc(c.HTML, func(query string) string {
		if strings.EqualFold(schemeQuery.FindStringSubmatch(query)[1], scheme) {
			return "(min-width: 0px)"
		}
		return "(max-width: 0px)"
	})
	var b strings.Builder
	z := xhtml.NewTokenizer(strings.NewReader(document))
	for {
		kind := z.Next()
		if kind == xhtml.ErrorToken {
			break
		}
		raw := string(z.Raw())
		token := z.Token()
		if kind != xhtml.StartTagToken || token.Data != "a" && token.Data != "area" {
			b.WriteString(raw)
			continue
		}
		kept := token.Attr[:0]
		for _, a := range token.Attr {
			if a.Key != "target" {
				kept = append(kept, a)
			}
		}
		token.Attr = append(kept, xhtml.Attribute{Key: "target", Val: "_blank"})
		b.WriteString(token.String())
	}
	return b.String() + "<style>:root{color-scheme:" + scheme + "}</style>"
}
