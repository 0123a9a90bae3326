package campaign

import (
	"fmt"
	"strings"

	"golang.org/x/net/html"
	"golang.org/x/net/html/atom"

	"github.com/jatak-mail/jatak/linkrewrite"
)

// The codes of advice: what may be sent, and is better mended.
const (
	CodeClipped    = "clipped"
	CodeNoAlt      = "image_without_alt"
	CodeMostImages = "mostly_images"
	CodeScript     = "script"
)

// clippedAt is where Gmail cuts a mail off, in bytes.
const clippedAt = 102 << 10

// Advice returns what readers of the HTML would stumble over.
func Advice(source string) []linkrewrite.Problem {
	var all []linkrewrite.Problem
	add := func(at int, code, format string, args ...any) {
		p := linkrewrite.Problem{File: "html", Code: code, Mend: fmt.Sprintf(format, args...)}
		if at >= 0 {
			before := source[:at]
			p.Line, p.Column = 1+strings.Count(before, "\n"), at-strings.LastIndexByte(before, '\n')
		}
		all = append(all, p)
	}
	if n := len(source); n > clippedAt {
		add(-1, CodeClipped, "the HTML has %d KB, and Gmail cuts a mail off after %d, with the unsubscribe link; shorten it", n>>10, clippedAt>>10)
	}
	images, letters := 0, 0
	z := html.NewTokenizer(strings.NewReader(source))
	for at := 0; ; {
		kind := z.Next()
		if kind == html.ErrorToken {
			break
		}
		length := len(z.Raw())
		token := z.Token()
		switch {
		case kind == html.TextToken:
			letters += len(strings.TrimSpace(token.Data))
		case kind == html.StartTagToken || kind == html.SelfClosingTagToken:
			switch token.DataAtom {
			case atom.Img:
				images++
				if !hasAttribute(token, "alt") {
					add(at, CodeNoAlt, `the picture has no alt text; write one, or alt="" for decoration`)
				}
			case atom.Script, atom.Form, atom.Iframe, atom.Object, atom.Embed:
				add(at, CodeScript, "mail clients remove <%s>; take it out", token.Data)
			}
		}
		at += length
	}
	if images > 0 && letters < 100*images && letters < 500 {
		add(-1, CodeMostImages, "there are %d pictures and hardly any text; many readers see none of them", images)
	}
	return all
}

func hasAttribute(t html.Token, key string) bool {
	for _, a := range t.Attr {
		if a.Key == key {
			return true
		}
	}
	return false
}
