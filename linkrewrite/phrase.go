package linkrewrite

import (
	_ "embed"
	"fmt"
	"html"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"

	"golang.org/x/text/unicode/norm"
)

//go:embed phrases.tsv
var phrasesTSV string

// phraseTable is phrases.tsv, compiled.
type phraseTable struct {
	manage      map[string]string // by language, in lower case
	unsubscribe *regexp.Regexp    // group 1: the phrase, with the "here" behind it
	inURL       *regexp.Regexp
}

var phrases = sync.OnceValue(func() phraseTable { return compilePhrases(phrasesTSV) })

func compilePhrases(table string) phraseTable {
	t := phraseTable{manage: map[string]string{}}
	var unsubscribe, here, inURL []string
	for _, row := range tableRows("phrases.tsv", table) {
		language, role, words := strings.ToLower(row[0]), row[1], row[2]
		switch role {
		case "unsubscribe":
			unsubscribe = append(unsubscribe, wordsPattern(words))
		case "here":
			here = append(here, wordsPattern(words))
		case "manage":
			if t.manage[language] == "" {
				t.manage[language] = words
			}
		case "url":
			inURL = append(inURL, strings.ReplaceAll(regexp.QuoteMeta(words), " ", "[^a-z0-9]?"))
		default:
			panic(fmt.Sprintf("linkrewrite: phrases.tsv: there is no role %q", role))
		}
	}
	longestFirst(unsubscribe)
	longestFirst(here)
	longestFirst(inURL)
	t.unsubscribe = regexp.MustCompile(`(?i)(?:^|[^\pL\pN])((?:` + strings.Join(unsubscribe, "|") + `)` +
		`(?:` + gap + `(?:` + strings.Join(here, "|") + `))?)(?:$|[^\pL\pM\pN])`)
	t.inURL = regexp.MustCompile(`(?i)(?:^|[^a-z0-9])(?:` + strings.Join(inURL, "|") + `)`)
	return t
}

// gap is what may stand between two words of a phrase.
const gap = `[\s\x{a0}\x{ad}\x{200b}-\x{200d}\x{2010}\x{2011}\x{2060}\x{feff}-]+`

// wordsPattern matches words, whatever white space and apostrophes are used.
func wordsPattern(words string) string {
	fields := strings.FieldsFunc(words, func(r rune) bool { return r == ' ' || r == '-' })
	for i, f := range fields {
		fields[i] = strings.ReplaceAll(regexp.QuoteMeta(f), "'", "['’ʼ`´]")
	}
	return strings.Join(fields, gap)
}

func longestFirst(list []string) {
	slices.SortStableFunc(list, func(a, b string) int { return len(b) - len(a) })
}

// ManageWords returns "Manage subscriptions" in a language (BCP 47), or in its
// base language, or in English.
func ManageWords(language string) string {
	language = strings.ToLower(strings.ReplaceAll(language, "_", "-"))
	base, _, _ := strings.Cut(language, "-")
	for _, l := range []string{language, base, map[string]string{"nb": "no", "nn": "no"}[base], "en"} {
		if words := phrases().manage[l]; words != "" {
			return words
		}
	}
	return ""
}

// saysUnsubscribe reports whether the words hold an unsubscribe phrase in any
// language, as whole words.
func saysUnsubscribe(words string) bool {
	return phrases().unsubscribe.MatchString(norm.NFC.String(words))
}

// lastUnsubscribe finds the last unsubscribe phrase of a line.
func lastUnsubscribe(line string) (start, end int, ok bool) {
	for at := 0; ; {
		m := phrases().unsubscribe.FindStringSubmatchIndex(line[at:])
		if m == nil {
			return start, end, ok
		}
		start, end, ok = at+m[2], at+m[3], true
		at = end
	}
}

// urlSaysUnsubscribe reports whether an address gives an unsubscribe page away.
func urlSaysUnsubscribe(target string) bool {
	if decoded, err := url.PathUnescape(target); err == nil {
		target = decoded
	}
	return phrases().inURL.MatchString(target)
}

// isLegacyURL reports whether the target is one of the pages, or below it.
func isLegacyURL(target string, pages []string) bool {
	for _, page := range pages {
		page, target := comparableURL(page), comparableURL(target)
		if page == "" || !strings.HasPrefix(target, page) {
			continue
		}
		rest := target[len(page):]
		if rest == "" || strings.ContainsRune("/?&#", rune(rest[0])) || strings.ContainsRune("=?&", rune(page[len(page)-1])) {
			return true
		}
	}
	return false
}

// comparableURL drops what does not tell two pages apart.
func comparableURL(s string) string {
	s = strings.TrimSpace(s)
	if _, rest, ok := strings.Cut(s, "://"); ok {
		s = rest
	}
	host, path, slash := strings.Cut(s, "/")
	s = strings.TrimPrefix(strings.ToLower(host), "www.")
	if slash {
		s += "/" + path
	}
	return strings.TrimRight(s, "/")
}

// visible turns markup text into what the reader sees.
func visible(markup string) string { return html.UnescapeString(markup) }

// tableRows splits one of the embedded tables into its rows of three. A row
// that cannot be split is a mistake of ours that every test would meet.
func tableRows(name, table string) [][3]string {
	var rows [][3]string
	for i, line := range strings.Split(table, "\n") {
		if line == "" || line == "#" || strings.HasPrefix(line, "# ") {
			continue
		}
		cells := strings.Split(line, "\t")
		if len(cells) != 3 {
			panic(fmt.Sprintf("linkrewrite: %s:%d: want 3 columns, got %d", name, i+1, len(cells)))
		}
		rows = append(rows, [3]string(cells))
	}
	return rows
}
