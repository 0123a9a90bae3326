package linkrewrite

import (
	"strings"

	"golang.org/x/net/html"
)

// token is a piece of markup, with where it stands.
type token struct {
	kind       html.TokenType
	name       string // of a tag, in lower case
	start, end int
	attributes []attribute
	// rawText is set on the text of elements that show no links: style,
	// script, title and the like.
	rawText bool
}

// attribute is an attribute of a start tag.
type attribute struct {
	name       string
	start, end int    // of the value with its quotes; where one would be inserted if there is none
	value      string // decoded
	quote      byte   // 0 when unquoted
	missing    bool   // there is no value
}

func (t token) attribute(name string) (attribute, bool) {
	for _, a := range t.attributes {
		if a.name == name {
			return a, true
		}
	}
	return attribute{}, false
}

// scan cuts src[start:end] into tokens. Template tags may hold quotes and angle
// brackets; they are masked, so that markup around them is read as browsers
// read what the tool would have made of it.
func scan(src string, start, end int) []token {
	masked := mask(src[start:end])
	z := html.NewTokenizer(strings.NewReader(masked))
	var tokens []token
	at, raw := start, false
	for z.Next() != html.ErrorToken {
		length := len(z.Raw())
		t := token{start: at, end: at + length}
		at += length
		parsed := z.Token()
		t.kind, t.name = parsed.Type, parsed.Data
		switch t.kind {
		case html.TextToken:
			t.name, t.rawText = "", raw
		case html.StartTagToken, html.SelfClosingTagToken:
			t.attributes = scanAttributes(src, masked, start, t)
			raw = showsNoLinks(t.name) && t.kind == html.StartTagToken
		case html.EndTagToken:
			raw = false
		default:
			t.name = ""
		}
		tokens = append(tokens, t)
	}
	return tokens
}

func showsNoLinks(element string) bool {
	switch element {
	case "style", "script", "title", "textarea", "xmp", "iframe", "noembed", "noframes", "plaintext":
		return true
	}
	return false
}

// mask overwrites template tags with letters of the same length. The halves of
// SocketLabs' wrapper become the tags they stand for.
func mask(src string) string {
	if !strings.ContainsAny(src, "{%*#") {
		return src
	}
	masked := []byte(src)
	for _, m := range vendors().candidates(src) {
		tag := src[m[0]:m[1]]
		if strings.HasPrefix(strings.ToLower(tag), "<") && !strings.HasPrefix(tag, "<%") {
			continue // wrapper elements are markup
		}
		if strings.HasPrefix(strings.ToLower(tag), socketOpen) {
			continue
		}
		for i := m[0]; i < m[1]; i++ {
			masked[i] = 'x'
		}
	}
	lower := strings.ToLower(src)
	if len(lower) != len(src) {
		return string(masked)
	}
	for _, half := range []struct{ tag, as string }{{socketOpen, "<unsubscribe"}, {socketClose, "</unsubscribe"}} {
		for at := 0; ; {
			i := strings.Index(lower[at:], half.tag)
			if i < 0 {
				break
			}
			at += i
			copy(masked[at:], half.as+strings.Repeat(" ", len(half.tag)-len(half.as)-1)+">")
			at += len(half.tag)
		}
	}
	return string(masked)
}

const (
	socketOpen  = "##unsubscribelink##"
	socketClose = "##/unsubscribelink##"
)

// scanAttributes finds the attributes of a start tag in the masked text and
// takes their values from the true one (WHATWG HTML section 13.2.5.32 ff).
func scanAttributes(src, masked string, base int, t token) []attribute {
	var list []attribute
	tag := masked[t.start-base : t.end-base]
	i := 1 + len(t.name)
	for i < len(tag) {
		switch {
		case isSpace(tag[i]) || tag[i] == '/':
			i++
			continue
		case tag[i] == '>':
			return list
		}
		from := i
		for i++; i < len(tag) && !isSpace(tag[i]) && !strings.ContainsRune("/>=", rune(tag[i])); i++ {
		}
		a := attribute{name: strings.ToLower(tag[from:i]), start: t.start + i, end: t.start + i, missing: true}
		j := i
		for j < len(tag) && isSpace(tag[j]) {
			j++
		}
		if j < len(tag) && tag[j] == '=' {
			for j++; j < len(tag) && isSpace(tag[j]); j++ {
			}
			end := valueEnd(tag, j)
			a.missing, a.start, a.end = false, t.start+j, t.start+end
			value := src[a.start:a.end]
			if len(value) >= 2 && (value[0] == '"' || value[0] == '\'') {
				a.quote = value[0]
				value = value[1 : len(value)-1]
			}
			a.value = html.UnescapeString(value)
			i = max(end, i+1)
		}
		list = append(list, a)
	}
	return list
}

// valueEnd returns where the attribute value that begins at i ends.
func valueEnd(tag string, i int) int {
	if i < len(tag) && (tag[i] == '"' || tag[i] == '\'') {
		if n := strings.IndexByte(tag[i+1:], tag[i]); n >= 0 {
			return i + 1 + n + 1
		}
		return len(tag)
	}
	for i < len(tag) && !isSpace(tag[i]) && tag[i] != '>' {
		i++
	}
	return i
}

func isSpace(c byte) bool { return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f' }

// conditional returns the part of a comment that Outlook reads as markup:
// <!--[if mso]> … <![endif]-->.
func conditional(src string, t token) (start, end int, ok bool) {
	comment := src[t.start:t.end]
	if !strings.HasPrefix(comment, "<!--[if") {
		return 0, 0, false
	}
	head := strings.Index(comment, "]>")
	if head < 0 {
		return 0, 0, false
	}
	tail := strings.LastIndex(comment, "<![endif]")
	if tail < head+2 {
		tail = len(strings.TrimSuffix(comment, "-->"))
	}
	if tail < head+2 {
		return 0, 0, false
	}
	return t.start + head + 2, t.start + tail, true
}
