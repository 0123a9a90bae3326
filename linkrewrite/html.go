package linkrewrite

import (
	"html"
	"strings"

	xhtml "golang.org/x/net/html"
)

// markup rewrites src[start:end].
func (r *rewriter) markup(start, end int) {
	tokens := scan(r.src, start, end)
	for i := 0; i < len(tokens); i++ {
		t := tokens[i]
		switch {
		case t.kind == xhtml.TextToken:
			if !t.rawText {
				r.bare(t)
			}
		case t.kind == xhtml.CommentToken:
			if from, to, ok := conditional(r.src, t); ok {
				r.markup(from, to)
			}
		case t.kind != xhtml.StartTagToken && t.kind != xhtml.SelfClosingTagToken:
		case vendors().elements[t.name] != "":
			n := linkLength(tokens[i:])
			r.wrapper(t, tokens[i+1:i+n], tokens[i+n:])
			i += n - 1
		case isLink(t):
			n := 1
			if t.kind == xhtml.StartTagToken && t.name != "area" {
				n = linkLength(tokens[i:])
			}
			if !r.link(t, tokens[i+1:i+n]) {
				continue // look inside
			}
			i += n - 1
		}
	}
}

// isLink reports whether an element leads somewhere: HTML's, and VML's shapes,
// of which Outlook's buttons are made.
func isLink(t token) bool {
	return t.name == "a" || t.name == "area" || strings.HasPrefix(t.name, "v:")
}

// linkLength returns how many of the tokens are the link that the first one
// opens, without its end tag. A link that is never closed ends where the
// element around it does.
func linkLength(tokens []token) int {
	opened := map[string]int{}
	for i, t := range tokens[1:] {
		switch {
		case t.kind == xhtml.StartTagToken && t.name == tokens[0].name:
			return i + 1
		case t.kind == xhtml.StartTagToken:
			opened[t.name]++
		case t.kind == xhtml.EndTagToken && t.name == tokens[0].name:
			return i + 1
		case t.kind == xhtml.EndTagToken && opened[t.name] > 0:
			opened[t.name]--
		case t.kind == xhtml.EndTagToken && endsLinks(t.name):
			return i + 1
		}
	}
	return len(tokens)
}

func endsLinks(name string) bool {
	switch name {
	case "td", "th", "tr", "table", "p", "div", "li", "ul", "ol", "center", "body", "html":
		return true
	}
	return false
}

// link judges one link and rewrites it if that is called for. It returns false
// when the link is none of ours, or there is one already.
func (r *rewriter) link(t token, inner []token) bool {
	href, has := t.attribute("href")
	if !has && t.name != "a" {
		return false
	}
	words := r.wordsOf(inner)
	kind, tool := r.judge(href.value, words, inner)
	if kind == "" {
		return false
	}
	end := t.end
	if len(inner) > 0 {
		end = inner[len(inner)-1].end
	}
	proposal := `<a href="` + Slot + `">` + r.words() + `</a>`
	if !r.found(kind, tool, t.start, end, words, proposal) {
		return true
	}
	switch {
	case !has:
		at := t.start + 1 + len(t.name)
		r.replace(at, at, ` href="`+Slot+`"`)
	case href.missing:
		r.replace(href.start, href.end, `="`+Slot+`"`)
	case href.quote == '\'':
		r.replace(href.start, href.end, `'`+Slot+`'`)
	default:
		r.replace(href.start, href.end, `"`+Slot+`"`)
	}
	if t.kind == xhtml.StartTagToken && t.name != "area" {
		r.rename(t, inner)
	}
	r.conditionals(inner)
	return true
}

// judge says what a link is: nothing of ours, a standard unsubscribe link of
// some tool, or one that the tenant made.
func (r *rewriter) judge(target, words string, inner []token) (kind Kind, tool string) {
	if m, ok := vendors().inTarget(target); ok {
		if m.role == roleOwn {
			return "", ""
		}
		return Standard, m.tool
	}
	for _, t := range inner {
		if t.kind != xhtml.TextToken {
			continue
		}
		for _, m := range vendors().find(r.src[t.start:t.end]) {
			if m.wayOut() && m.role != rolePath {
				return Standard, m.tool
			}
		}
	}
	says := saysUnsubscribe(words)
	switch {
	case says && leadsNowhere(target):
		return Standard, ""
	case says && isLegacyURL(target, r.options.LegacyURLs):
		return Standard, "legacy page"
	case says || !leadsNowhere(target) && urlSaysUnsubscribe(target):
		return Custom, ""
	}
	return "", ""
}

// wordsOf returns what the reader sees of a link: its text, and the
// alternative text of its images.
func (r *rewriter) wordsOf(inner []token) string {
	var words []string
	for _, t := range inner {
		switch {
		case t.kind == xhtml.TextToken && !t.rawText:
			words = append(words, visible(r.src[t.start:t.end]))
		case t.name == "img":
			if alt, ok := t.attribute("alt"); ok {
				words = append(words, alt.value)
			}
		}
	}
	return strings.Join(strings.Fields(strings.Join(words, " ")), " ")
}

// rename gives a link its new words and keeps the markup inside it: the first
// text that says unsubscribe, or else the first with a letter in it, becomes
// the words, and other text with letters goes.
func (r *rewriter) rename(t token, inner []token) {
	chosen := -1
	var texts []token
	image := false
	for _, in := range inner {
		switch {
		case in.kind == xhtml.TextToken && !in.rawText && hasLetters(r.src[in.start:in.end]):
			if saysUnsubscribe(visible(r.src[in.start:in.end])) && chosen < 0 {
				chosen = len(texts)
			}
			texts = append(texts, in)
		case in.name == "img":
			image = true
			if alt, ok := in.attribute("alt"); ok && saysUnsubscribe(alt.value) && !alt.missing {
				r.replace(alt.start, alt.end, `"`+html.EscapeString(r.words())+`"`)
			}
		}
	}
	if len(texts) == 0 {
		if !image && strings.HasPrefix(t.name, "v:") {
			return // a shape may have its words elsewhere
		}
		if !image {
			r.replace(t.end, t.end, html.EscapeString(r.words()))
		}
		return
	}
	for i, in := range texts {
		from, to := trimMarkup(r.src, in.start, in.end)
		switch {
		case i == max(chosen, 0):
			r.replace(from, to, html.EscapeString(r.words()))
		default:
			r.replace(from, to, "")
		}
	}
}

// conditionals rewrites what Outlook alone sees inside a link.
func (r *rewriter) conditionals(inner []token) {
	for _, t := range inner {
		if from, to, ok := conditional(r.src, t); t.kind == xhtml.CommentToken && ok {
			r.markup(from, to)
		}
	}
}

// wrapper makes a link of a tag that wraps the words of one.
func (r *rewriter) wrapper(t token, inner, rest []token) {
	tool := vendors().elements[t.name]
	attributes := ""
	if r.src[t.start] == '<' {
		attributes = strings.TrimRight(strings.TrimSuffix(r.src[t.start+1+len(t.name):t.end], ">"), "/ ")
	} else {
		tool = "SocketLabs"
	}
	end := t.end
	if len(inner) > 0 {
		end = inner[len(inner)-1].end
	}
	if !r.found(Standard, tool, t.start, end, r.wordsOf(inner), `<a href="`+Slot+`">`+r.words()+`</a>`) {
		return
	}
	open := `<a href="` + Slot + `"` + attributes + `>`
	if t.kind == xhtml.SelfClosingTagToken {
		r.replace(t.start, t.end, open+html.EscapeString(r.words())+`</a>`)
		return
	}
	r.replace(t.start, t.end, open)
	r.rename(t, inner)
	r.conditionals(inner)
	if len(rest) > 0 && rest[0].kind == xhtml.EndTagToken && rest[0].name == t.name {
		r.replace(rest[0].start, rest[0].end, "</a>")
		return
	}
	r.replace(end, end, "</a>")
}

// bare makes links of placeholders that stand in running text.
func (r *rewriter) bare(t token) {
	for _, m := range vendors().find(r.src[t.start:t.end]) {
		if !m.wayOut() || m.role == rolePath {
			continue
		}
		link := `<a href="` + Slot + `">` + html.EscapeString(r.words()) + `</a>`
		if r.found(Standard, m.tool, t.start+m.start, t.start+m.end, "", link) {
			r.replace(t.start+m.start, t.start+m.end, link)
		}
	}
}

func hasLetters(markup string) bool {
	return strings.IndexFunc(visible(markup), isWordRune) >= 0
}

// trimMarkup returns src[start:end] without the white space around it, also
// where that is written as entities.
func trimMarkup(src string, start, end int) (int, int) {
	for again := true; again; {
		again = false
		s := src[start:end]
		trimmed := strings.TrimLeftFunc(s, isBlankRune)
		start += len(s) - len(trimmed)
		end -= len(trimmed) - len(strings.TrimRightFunc(trimmed, isBlankRune))
		for _, entity := range []string{"&nbsp;", "&#160;", "&#xa0;", "&zwnj;", "&shy;"} {
			if strings.HasPrefix(src[start:end], entity) {
				start, again = start+len(entity), true
			}
			if strings.HasSuffix(src[start:end], entity) {
				end, again = end-len(entity), true
			}
		}
	}
	return start, end
}
