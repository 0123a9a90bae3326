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

// mostWords bounds a text of the tenant's own, in characters.
const mostWords = 600

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
			if err := s.checkWords(lang, key, text); err != nil {
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

func (s *Set) checkWords(lang, key, text string) error {
	switch {
	case key == "sign_up.wording":
		return fmt.Errorf("the words that people sign up by are kept in versions: jatak wording set %s TEXT", lang)
	case !slices.Contains(s.Keys(lang), key):
		return fmt.Errorf("there is no text %q on the pages; jatak brand words %s lists them", key, lang)
	case strings.TrimSpace(text) == "" || utf8.RuneCountInString(text) > mostWords || !utf8.ValidString(text):
		return fmt.Errorf("the text of %q has 1 to %d characters of UTF-8", key, mostWords)
	case strings.ContainsFunc(text, unicode.IsControl):
		return fmt.Errorf("the text of %q stands on one line", key)
	}
	// A text that fills nothing in is shown as it stands.
	if want, got := verbs(s.words[lang][key]), verbs(text); len(want) > 0 && !slices.Equal(want, got) {
		return fmt.Errorf("the text of %q must hold %s once, where something is filled in, and %%%% for a percent sign: ours is %q",
			key, strings.Join(want, " "), s.words[lang][key])
	}
	return nil
}

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
