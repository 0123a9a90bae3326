package contact

import (
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// SavedAudience is a filter that has a name, to be used again.
type SavedAudience struct {
	ID      int64
	Name    string // at most MaxAudienceName characters
	Filter  Filter
	Actor   string
	Changed time.Time
}

// MaxAudienceName is the longest name of a saved audience, in characters.
const MaxAudienceName = 100

// Word is one of the tenant's: a subscription type, a purpose or a legal
// basis that is in use.
type Word struct {
	Key   string
	Names map[string]string // by language
}

// Name returns the word's name in the language, or else in English, in any
// language it has, or its key.
func (t Word) Name(language string) string {
	if name := (TypeChoice{Names: t.Names}).Name(language); name != "" {
		return name
	}
	return t.Key
}

// Words are the tenant's words in use, each in the order in which to show
// them.
type Words struct {
	Types, Purposes, Bases []Word
}

// IsLine reports whether s is a line of text with at most so many characters,
// and not blank.
func IsLine(s string, most int) bool {
	return strings.TrimSpace(s) != "" && utf8.ValidString(s) && utf8.RuneCountInString(s) <= most && !strings.ContainsFunc(s, IsControl)
}

// IsControl reports whether r is a control character or turns the direction of
// the text around it, so that it reads as something else.
func IsControl(r rune) bool {
	return unicode.IsControl(r) || r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x2069 || r == 0x2028 || r == 0x2029
}
