package linkrewrite

import (
	"regexp"
	"strings"
	"unicode"
)

func isWordRune(r rune) bool { return unicode.IsLetter(r) || unicode.IsNumber(r) }

func isBlankRune(r rune) bool {
	return unicode.IsSpace(r) || r >= 0x200b && r <= 0x200d || r == 0x2060 || r == 0xfeff || r == 0xad
}

var (
	// target is an address as it stands in running text.
	target = regexp.MustCompile(`(?i)\b(?:https?://|mailto:|www\.)[^\s<>"']+|[\w.+-]+@[\w-]+\.[\w.-]+`)
	// between is what may stand between words and their address.
	between = regexp.MustCompile(`^[\s:;,.()<>\[\]|–—→»*_=-]*$`)
	// beforeTag is the beginning of an address that ends in a tag.
	beforeTag = regexp.MustCompile(`(?i)(?:https?://|mailto:)[^\s<>"']*$`)
	afterTag  = regexp.MustCompile(`^[^\s<>"')\]]*`)
)

// plain rewrites a text without markup.
func (r *rewriter) plain() {
	taken := r.tags()
	for _, at := range target.FindAllStringIndex(r.src, -1) {
		if taken(at[0], at[1]) {
			continue
		}
		r.address(at[0], at[1])
	}
}

// tags rewrites placeholders and returns a function that tells whether a place
// is one of them.
func (r *rewriter) tags() (taken func(start, end int) bool) {
	var spans [][2]int
	for _, m := range vendors().find(r.src) {
		start, end := m.start, m.end
		if prefix := beforeTag.FindStringIndex(r.src[:start]); prefix != nil {
			start = prefix[0]
			end += len(afterTag.FindString(r.src[end:]))
		}
		spans = append(spans, [2]int{start, end})
		if !m.wayOut() || m.role == rolePath && start == m.start {
			continue
		}
		with := Slot
		if m.role == roleAnchor || m.role == roleWrapper {
			with = r.words() + ": " + Slot
		}
		r.foundInText(Standard, m.tool, start, end, with)
	}
	return func(start, end int) bool {
		for _, s := range spans {
			if start < s[1] && s[0] < end {
				return true
			}
		}
		return false
	}
}

// address judges an address in running text.
func (r *rewriter) address(start, end int) {
	end -= len(r.src[start:end]) - len(strings.TrimRight(r.src[start:end], ".,;:!?)]}"))
	where := r.src[start:end]
	_, _, says := r.wordsBefore(start)
	switch {
	case says && isLegacyURL(where, r.options.LegacyURLs):
		r.foundInText(Standard, "legacy page", start, end, Slot)
	case says || urlSaysUnsubscribe(where):
		r.foundInText(Custom, "", start, end, Slot)
	}
}

// foundInText reports an address, and rewrites it and the words that lead to
// it when that is called for.
func (r *rewriter) foundInText(kind Kind, tool string, start, end int, with string) {
	from, to, says := r.wordsBefore(start)
	words := ""
	if says {
		words = r.src[from:to]
	}
	if !r.found(kind, tool, start, end, words, r.words()+": "+Slot) {
		return
	}
	switch {
	case says && with == Slot:
		r.replace(from, to, r.words())
	case says: // the tag brings words of its own
		start = from
	}
	r.replace(start, end, with)
}

// wordsBefore finds the unsubscribe phrase that leads to an address: before it
// on its line, or, when the address stands alone, on the line above.
func (r *rewriter) wordsBefore(at int) (start, end int, ok bool) {
	line := 1 + strings.LastIndexByte(r.src[:at], '\n')
	for range 3 { // the line itself, an empty one between, the line above
		before := r.src[line:at]
		if from, to, found := lastUnsubscribe(before); found {
			return line + from, line + to, between.MatchString(before[to:])
		}
		if line == 0 || !between.MatchString(before) {
			return 0, 0, false
		}
		line = 1 + strings.LastIndexByte(r.src[:line-1], '\n')
	}
	return 0, 0, false
}
