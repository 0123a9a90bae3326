package campaign

import (
	"strings"

	"golang.org/x/net/html"
	"golang.org/x/net/html/atom"
)

// TextFromHTML makes the plain-text part of a mail from its HTML: paragraphs
// and headings apart, list items with a dash, links with their address behind
// the words. It is for reading, and keeps no layout.
func TextFromHTML(source string) string {
	root, err := html.Parse(strings.NewReader(source))
	if err != nil {
		return "" // a strings.Reader does not fail
	}
	w := &textWriter{}
	w.node(root)
	return strings.TrimSpace(w.b.String()) + "\n"
}

// textWriter folds white space and keeps blocks apart.
type textWriter struct {
	b      strings.Builder
	breaks int  // line breaks owed before the next word
	space  bool // a blank owed before the next word
}

func (w *textWriter) node(n *html.Node) {
	switch n.Type {
	case html.TextNode:
		w.text(n.Data)
		return
	case html.ElementNode:
	default:
		w.children(n)
		return
	}
	if hidden(n) {
		return
	}
	switch n.DataAtom {
	case atom.Head, atom.Style, atom.Script, atom.Template, atom.Noscript:
		return
	case atom.Br:
		w.breaks++
		return
	case atom.Hr:
		w.block(2)
		w.text("---")
		w.block(2)
		return
	case atom.Img:
		w.text(attribute(n, "alt"))
		return
	case atom.A:
		w.link(n)
		return
	case atom.Li:
		w.block(1)
		w.text("- ")
		w.children(n)
		w.block(1)
		return
	case atom.Td, atom.Th:
		w.space = true
		w.children(n)
		w.space = true
		return
	}
	if gap := blockGap(n.DataAtom); gap > 0 {
		w.block(gap)
		w.children(n)
		w.block(gap)
		return
	}
	w.children(n)
}

func blockGap(a atom.Atom) int {
	switch a {
	case atom.P, atom.H1, atom.H2, atom.H3, atom.H4, atom.H5, atom.H6, atom.Ul, atom.Ol, atom.Blockquote, atom.Table:
		return 2
	case atom.Div, atom.Tr, atom.Section, atom.Article, atom.Header, atom.Footer, atom.Address, atom.Pre:
		return 1
	}
	return 0
}

func (w *textWriter) children(n *html.Node) {
	for c := n.FirstChild; c != nil; c = c.NextSibling {
		w.node(c)
	}
}

func (w *textWriter) block(gap int) { w.breaks = max(w.breaks, gap) }

func (w *textWriter) text(s string) {
	words := strings.Fields(s)
	if len(words) == 0 {
		w.space = w.space || s != ""
		return
	}
	leading := strings.TrimLeft(s, " \t\r\n\f") != s
	switch {
	case w.b.Len() == 0:
	case w.breaks > 0:
		w.b.WriteString(strings.Repeat("\n", min(w.breaks, 2)))
	case w.space || leading:
		w.b.WriteByte(' ')
	}
	w.breaks = 0
	w.b.WriteString(strings.Join(words, " "))
	w.space = strings.TrimRight(s, " \t\r\n\f") != s
}

func (w *textWriter) link(n *html.Node) {
	before := w.b.Len()
	w.children(n)
	target := strings.TrimSpace(attribute(n, "href"))
	words := strings.TrimSpace(w.b.String()[before:])
	if target == "" || strings.HasPrefix(target, "#") || words == target {
		return
	}
	target = strings.TrimPrefix(target, "mailto:")
	if words == target {
		return
	}
	if words != "" {
		w.text(": ")
		w.space = true
	}
	w.text(target)
}

func attribute(n *html.Node, key string) string {
	for _, a := range n.Attr {
		if a.Key == key {
			return a.Val
		}
	}
	return ""
}

// hidden reports whether an element is meant not to be seen, as preheaders are.
func hidden(n *html.Node) bool {
	style := strings.ReplaceAll(strings.ToLower(attribute(n, "style")), " ", "")
	return strings.Contains(style, "display:none") || attribute(n, "aria-hidden") == "true"
}
