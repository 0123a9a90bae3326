package linkrewrite

import (
	_ "embed"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
)

//go:embed placeholders.tsv
var placeholdersTSV string

//go:embed mergecodes.tsv
var mergeCodesTSV string

// role is a placeholder's kind, in the words of placeholders.tsv.
type role string

const (
	roleOwn     role = "own"
	roleURL     role = "url"
	roleAnchor  role = "anchor"
	roleAddress role = "address"
	rolePath    role = "path"
	roleWrapper role = "wrapper"
	roleOther   role = "other"
	// roleField is a merge field of another tool, of mergecodes.tsv.
	roleField role = "field"
	// roleForeign is a template tag that is in no table and not our own.
	roleForeign role = "foreign"
)

// placeholder is one row of the table.
type placeholder struct {
	role    role
	tool    string
	pattern string
	fields  []string       // ours that a merge field of another tool stands for
	matches *regexp.Regexp // the whole of a candidate
}

// match is an occurrence of a placeholder.
type match struct {
	start, end int
	placeholder
}

// vendorTable is placeholders.tsv, compiled.
type vendorTable struct {
	placeholders []placeholder
	byFirst      [256]*regexp.Regexp // anchored: the tags that begin with the byte
	elements     map[string]string   // wrapper elements of HTML: name to tool
}

var vendors = sync.OnceValue(func() *vendorTable { return compileVendors(placeholdersTSV, mergeCodesTSV) })

// Tags as template languages write them. What stands in ours is told apart by
// ownTag.
var foreignTags = []string{
	`\{\{\{?[^{}\n]{0,500}\}\}\}?`, `\{%[^%\n]{0,500}%\}`, `<%[^%\n]{0,500}%>`, `\*\|[^|\n]{1,500}\|\*`, `%%[A-Za-z_][\w.]{0,100}%%`,
}

var ownTag = regexp.MustCompile(`^\{\{\s*(?:(?:contact|sender|campaign)\.[A-Za-z_.]*|manage_url)\b[^{}]*\}\}$`)

func compileVendors(table, mergeCodes string) *vendorTable {
	v := &vendorTable{elements: map[string]string{}}
	byPattern := map[string]int{}
	for _, row := range tableRows("placeholders.tsv", table) {
		p := placeholder{role: role(row[0]), tool: row[1], pattern: row[2]}
		if name, _, ok := strings.Cut(strings.TrimPrefix(p.pattern, "<"), ">…"); ok && p.role == roleWrapper && p.pattern[0] == '<' {
			v.elements[name] = p.tool
		}
		// Two tools with the same tag are one row here.
		if i, known := byPattern[p.pattern]; known {
			if v.placeholders[i].role == p.role {
				v.placeholders[i].tool += ", " + p.tool
			}
			continue
		}
		byPattern[p.pattern] = len(v.placeholders)
		v.placeholders = append(v.placeholders, p)
	}
	for _, row := range tableRows("mergecodes.tsv", mergeCodes) {
		if _, known := byPattern[row[2]]; !known {
			byPattern[row[2]] = len(v.placeholders)
			v.placeholders = append(v.placeholders, placeholder{role: roleField, tool: row[1], pattern: row[2], fields: strings.Fields(row[0])})
		}
	}
	slices.SortStableFunc(v.placeholders, func(a, b placeholder) int { return len(b.pattern) - len(a.pattern) })
	byFirst := map[byte][]string{}
	for i, p := range v.placeholders {
		pattern := patternRegexp(p)
		v.placeholders[i].matches = regexp.MustCompile(`^(?:` + pattern + `)$`)
		first := p.pattern[0]
		byFirst[first] = append(byFirst[first], pattern)
		if first == '<' {
			byFirst['&'] = append(byFirst['&'], pattern)
		}
	}
	for _, tag := range foreignTags {
		first := strings.TrimPrefix(tag, `\`)[0]
		byFirst[first] = append(byFirst[first], tag)
	}
	for first, patterns := range byFirst {
		v.byFirst[first] = regexp.MustCompile(`^(?:` + strings.Join(patterns, "|") + `)`)
	}
	return v
}

// candidates lists where tags stand in a text, from left to right. A tag is
// sought only where its first byte is: most of a mail is passed over.
func (v *vendorTable) candidates(text string) (spans [][2]int) {
	const longest = 1200
	for i := 0; i < len(text); i++ {
		tags := v.byFirst[text[i]]
		if tags == nil {
			continue
		}
		if at := tags.FindStringIndex(text[i:min(len(text), i+longest)]); at != nil {
			spans = append(spans, [2]int{i, i + at[1]})
			i += at[1] - 1
		}
	}
	return spans
}

// patternRegexp reads the notation of placeholders.tsv.
func patternRegexp(p placeholder) string {
	pattern := p.pattern
	open, shut := "", ""
	if inner, ok := strings.CutPrefix(strings.TrimSuffix(pattern, " }}"), "{{ "); ok {
		pattern, open, shut = inner, `\{\{\{?-?\s*`, `\s*(?:\|[^{}\n]{0,200})?-?\}\}\}?`
	}
	var b strings.Builder
	for _, r := range pattern {
		switch r {
		case ' ':
			b.WriteString(`(?:[\s\x{a0}-]|&nbsp;)*`)
		case '…':
			b.WriteString(`[^\n]{0,500}?`)
		case '<', '>', '\'', '"':
			entity := map[rune]string{'<': "&lt;", '>': "&gt;", '\'': "&#0?39;|&apos;", '"': "&quot;|&#34;"}[r]
			b.WriteString(`(?:` + string(r) + `|` + entity + `)`)
		default:
			b.WriteString(regexp.QuoteMeta(string(r)))
		}
	}
	flags := "(?i:"
	// "[unsubscribe]" is a tag, "[Unsubscribe]" somebody's style of writing.
	if len(p.pattern) > 1 && strings.ContainsAny(p.pattern[:1], "[{") && isLetter(p.pattern[1]) {
		flags = "(?:"
	}
	return flags + open + b.String() + shut + ")"
}

// find lists the placeholders in a text from left to right, with tags that are
// in no table among them. Our own merge fields, but for the manage link, are
// not listed.
func (v *vendorTable) find(text string) []match {
	var found []match
	for _, at := range v.candidates(text) {
		m := match{start: at[0], end: at[1], placeholder: v.identify(text[at[0]:at[1]])}
		if m.role == "" || !m.fits(text) {
			continue
		}
		found = append(found, m)
	}
	return found
}

func (v *vendorTable) identify(tag string) placeholder {
	for _, p := range v.placeholders {
		if p.matches.MatchString(tag) {
			return p
		}
	}
	if ownTag.MatchString(tag) {
		return placeholder{}
	}
	return placeholder{role: roleForeign}
}

// fits looks at what follows: [unsubscribe](https://…) is Markdown, and a path
// ends where a word ends.
func (m match) fits(text string) bool {
	if m.end >= len(text) {
		return true
	}
	next := text[m.end]
	switch {
	case m.role == rolePath:
		return !isLetter(next) && !isDigit(next) && next != '_' && next != '-'
	case strings.HasPrefix(m.pattern, "[") && !strings.HasPrefix(m.pattern, "[["):
		return next != '('
	}
	return true
}

// saidFallback is what a merge field of another tool says where its value is
// missing.
var saidFallback = regexp.MustCompile(`(?:(?:default|fallback)\s*[:=]|:)\s*(?:"([^"]*)"|'([^']*)'|&quot;(.*?)&quot;)|default\s*:\s*([^\]|}"']+)\]$|fallback=([^\]"']*)\]$|^\{contactfield=\w+\|([^}]*)\}$`)

// mergeField writes a merge field of another tool as ours. quote is what stands
// around a fallback.
func (m match) mergeField(tag, quote string) string {
	fallback := ""
	if said := saidFallback.FindStringSubmatch(tag); said != nil {
		fallback = strings.TrimSpace(strings.Join(said[1:], ""))
	}
	if strings.ContainsAny(fallback, `"'{}`) {
		fallback = ""
	}
	ours := make([]string, len(m.fields))
	for i, field := range m.fields {
		if i == 0 && fallback != "" {
			field += " | default: " + quote + fallback + quote
		}
		ours[i] = "{{ " + field + " }}"
	}
	return strings.Join(ours, " ")
}

// wayOut reports whether the placeholder stands for a way to unsubscribe.
func (m match) wayOut() bool {
	switch m.role {
	case roleURL, roleAnchor, roleAddress, rolePath, roleWrapper:
		return true
	}
	return false
}

// inTarget finds our own slot or a way out in the value of an href, also where
// an editor has percent-encoded it.
func (v *vendorTable) inTarget(value string) (match, bool) {
	for {
		for _, m := range v.find(value) {
			if m.role == roleOwn || m.wayOut() {
				return m, true
			}
		}
		// Half of a wrapper, split over tags.
		if strings.Contains(value, "##UnsubscribeLink##") {
			return match{placeholder: placeholder{role: roleWrapper, tool: "SocketLabs"}}, true
		}
		decoded, err := url.PathUnescape(value)
		if err != nil || decoded == value {
			return match{}, false
		}
		value = decoded
	}
}

var (
	anyTag     = regexp.MustCompile(`^(?:\{.*\}|\[\[?[\w:. |-]+\]\]?|\*\|.*\|\*|%.*%|<%.*%>|##?\w+##?|\$\w+\$|\$\{.*\}|§§.*§§)$`)
	scriptLink = regexp.MustCompile(`(?i)^javascript:`)
)

// leadsNowhere reports whether a target is none: empty, a bare fragment, or a
// tag that some tool would have filled.
func leadsNowhere(target string) bool {
	target = strings.TrimSpace(target)
	switch target {
	case "", "#", "#!", "http://", "https://", "about:blank":
		return true
	}
	return scriptLink.MatchString(target) || anyTag.MatchString(target) && !ownTag.MatchString(target)
}

func isLetter(c byte) bool { return 'a' <= c|0x20 && c|0x20 <= 'z' }
func isDigit(c byte) bool  { return '0' <= c && c <= '9' }
