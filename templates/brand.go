package templates

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/jatak-mail/jatak/internal/brand"
)

// MostWords bounds a text of the tenant's own, in characters.
const MostWords = 600

// Branded returns the set in the tenant's look. Errors name the text that cannot
// be taken, and why.
func (s *Set) Branded(b brand.Brand) (*Set, error) {
	if err := b.Validate(); err != nil {
		return nil, err
	}
	own := *s
	own.brand = b
	own.words, own.assets, own.links = maps.Clone(s.words), maps.Clone(s.assets), maps.Clone(s.links)
	for lang, words := range b.Words {
		if s.words[lang] == nil {
			return nil, fmt.Errorf("there are no pages in %q; there are %s", lang, strings.Join(s.codes, ", "))
		}
		texts := maps.Clone(s.words[lang])
		for key, text := range words {
			if err := s.CheckWords(lang, key, text); err != nil {
				return nil, err
			}
			texts[key] = text
		}
		own.words[lang] = texts
	}
	if light, dark, ok := b.Pairs(); ok {
		own.addAsset("brand.css", "text/css; charset=utf-8", fmt.Appendf(nil,
			":root { --main: %s; --main-ink: %s; }\n@media (prefers-color-scheme: dark) { :root { --main: %s; --main-ink: %s; } }\n",
			light.Main, light.Ink, dark.Main, dark.Ink))
	}
	if b.Logo != nil {
		own.addAsset("logo", brand.LogoType(b.Logo), b.Logo)
	}
	return &own, nil
}

// forStaff are the first parts of the keys that no recipient reads.
var forStaff = []string{"reason", "mend", "explain", "dossier", "console", "state", "books", "setting", "audit", "filter", "audiences", "source", "card", "erase", "history", "contacts", "lists", "fact"}

// Keys returns the keys of the recipients' texts in a language, sorted: those
// that a tenant may replace.
func (s *Set) Keys(lang string) (keys []string) {
	for key := range s.words[lang] {
		kind, _, _ := strings.Cut(key, ".")
		// The sign-up's words are kept in versions of their own; a language's name
		// is no matter of taste.
		if !slices.Contains(forStaff, kind) && key != "sign_up.wording" && key != "language" {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	return keys
}

// WordsFault is what is wrong with a text of the tenant's own.
type WordsFault string

// The faults.
const (
	WordsUnknown WordsFault = "unknown" // there is no such text
	WordsLength  WordsFault = "length"  // it is empty, longer than it may be, or no text
	WordsLine    WordsFault = "line"    // it does not stand on one line
	WordsFills   WordsFault = "fills"   // it does not fill in what ours does
)

// WordsError says what is wrong with a text of the tenant's own.
type WordsError struct {
	Language, Key, Ours string
	Fault               WordsFault
}

func (e *WordsError) Error() string {
	switch {
	case e.Key == "sign_up.wording":
		return fmt.Sprintf("the words that people sign up by are kept in versions: jatak wording set %s TEXT", e.Language)
	case e.Fault == WordsUnknown:
		return fmt.Sprintf("there is no text %q on the pages; jatak brand words %s lists them", e.Key, e.Language)
	case e.Fault == WordsLength:
		return fmt.Sprintf("the text of %q has 1 to %d characters of UTF-8", e.Key, MostWords)
	case e.Fault == WordsLine:
		return fmt.Sprintf("the text of %q stands on one line", e.Key)
	}
	return fmt.Sprintf("the text of %q must hold %s once, where something is filled in, and %%%% for a percent sign: ours is %q",
		e.Key, strings.Join(verbs(e.Ours), " "), e.Ours)
}

// CheckWords returns a WordsError for a text of the tenant's own that cannot take
// the place of ours.
func (s *Set) CheckWords(lang, key, text string) error {
	e := &WordsError{Language: lang, Key: key, Ours: s.words[lang][key]}
	switch {
	case !slices.Contains(s.Keys(lang), key):
		e.Fault = WordsUnknown
	case strings.TrimSpace(text) == "" || utf8.RuneCountInString(text) > MostWords || !utf8.ValidString(text):
		e.Fault = WordsLength
	case strings.ContainsFunc(text, unicode.IsControl):
		e.Fault = WordsLine
	// A text that fills nothing in is shown as it stands.
	case len(verbs(e.Ours)) > 0 && !slices.Equal(verbs(e.Ours), verbs(text)):
		e.Fault = WordsFills
	default:
		return nil
	}
	return e
}

// Fills returns what our text of a key fills in: %s and the like, sorted.
func (s *Set) Fills(lang, key string) []string { return verbs(s.words[lang][key]) }

// verbs returns what a text fills in, sorted.
func verbs(text string) (list []string) {
	for text = strings.ReplaceAll(text, "%%", ""); ; {
		_, rest, found := strings.Cut(text, "%")
		if !found {
			slices.Sort(list)
			return list
		}
		end := strings.IndexFunc(rest, unicode.IsLetter)
		if end < 0 {
			end = len(rest) - 1
		}
		list, text = append(list, "%"+rest[:end+1]), rest[end+1:]
	}
}
