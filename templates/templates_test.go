package templates

import (
	"bytes"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jatak-mail/jatak/gating"
	"github.com/jatak-mail/jatak/internal/brand"
)

func newSet(t *testing.T) *Set {
	t.Helper()
	s, err := New()
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestEveryLanguageSaysTheSame(t *testing.T) {
	t.Parallel()
	s := newSet(t)
	if !slices.Contains(s.Languages(), "da") || s.Languages()[0] != DefaultLanguage {
		t.Fatalf("the languages are %v", s.Languages())
	}
	model := s.words[DefaultLanguage]
	for _, lang := range s.Languages() {
		for key, want := range model {
			if strings.HasSuffix(key, ".one") {
				continue // a form that not every language has
			}
			if isForStaff(key) && lang != "en" && lang != "da" {
				continue
			}
			text := s.words[lang][key]
			if strings.TrimSpace(text) == "" {
				t.Errorf("%s.json has no %q", lang, key)
				continue
			}
			if !slices.Equal(verbs(text), verbs(want)) {
				t.Errorf("%s.json: %q fills in %v, and %v in %s", lang, key, verbs(text), verbs(want), DefaultLanguage)
			}
		}
		for key := range s.words[lang] {
			if _, ok := model[key]; !ok && !pluralForm.MatchString(key) {
				t.Errorf("%s.json: %q is in no other language", lang, key)
			}
		}
	}
}

var pluralForm = regexp.MustCompile(`\.(zero|one|two|few|many)$`)

// A language whose forms are not all written would fall back to a wrong one.
func TestEveryNumberHasItsForm(t *testing.T) {
	t.Parallel()
	s := newSet(t)
	for _, lang := range s.Languages() {
		for n := range 121 {
			text := s.Count(lang, "mail.confirm.life", n)
			if !strings.Contains(text, strconv.Itoa(n)) || strings.Contains(text, "%") {
				t.Errorf("%s: for %d it says %q", lang, n, text)
			}
		}
	}
	for _, test := range []struct {
		lang string
		n    int
		want string
	}{
		{"en", 1, "1 day."}, {"en", 7, "7 days."}, {"da", 1, "1 dag."}, {"ru", 21, "21 день."}, {"ru", 22, "22 дня."}, {"ru", 25, "25 дней."},
		{"pl", 1, "1 dzień."}, {"pl", 22, "22 dni."}, {"sl", 2, "2 dneva."}, {"cs", 3, "3 dny."}, {"cs", 7, "7 dní."}, {"ro", 7, "7 zile."},
		{"ro", 30, "30 de zile."}, {"lt", 7, "7 dienas."}, {"lt", 30, "30 dienų."}, {"lv", 21, "21 dienu."}, {"cy", 2, "2 ddiwrnod."}, {"fr", 0, "0 jour."},
	} {
		if got := s.Count(test.lang, "mail.confirm.life", test.n); !strings.HasSuffix(got, test.want) {
			t.Errorf("%s for %d: %q, want it to end in %q", test.lang, test.n, got, test.want)
		}
	}
}

func TestLinesRunTheWayOfTheLanguage(t *testing.T) {
	t.Parallel()
	for lang, want := range map[string]string{"da": "ltr", "el": "ltr", "sr-Latn": "ltr", "ar": "rtl", "he": "rtl", "fa-IR": "rtl"} {
		if got := direction(lang); got != want {
			t.Errorf("%s runs %s, want %s", lang, got, want)
		}
	}
}

// isForStaff reports whether a text is read by the tenant, who reads Danish or
// English, and not by recipients.
func isForStaff(key string) bool {
	kind, _, _ := strings.Cut(key, ".")
	return slices.Contains(forStaff, kind)
}

func TestEveryReasonHasWords(t *testing.T) {
	t.Parallel()
	s := newSet(t)
	for _, lang := range []string{"en", "da"} {
		for _, r := range gating.Reasons() {
			for _, key := range []string{"reason." + string(r), "mend." + string(r)} {
				if s.Text(lang, key) == key {
					t.Errorf("%s has no words for %s", lang, key)
				}
			}
		}
	}
}

var (
	// A key that a page names whole, and one that it puts a name behind.
	used       = regexp.MustCompile(`\.(?:T|Count) "([a-z0-9._-]+)"`)
	usedPrefix = regexp.MustCompile(`\(print "([a-z0-9._-]+)"`)
)

func TestPagesAskForWordsThatAreThere(t *testing.T) {
	t.Parallel()
	s := newSet(t)
	known := slices.Sorted(maps.Keys(s.words[DefaultLanguage]))
	for _, folder := range []string{"pages", "console", "console/parts"} {
		names, err := files.ReadDir(folder)
		if err != nil || len(names) == 0 {
			t.Fatalf("%s: %v, %v", folder, names, err)
		}
		for _, name := range names {
			if name.IsDir() {
				continue
			}
			page, err := files.ReadFile(folder + "/" + name.Name())
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range used.FindAllStringSubmatch(string(page), -1) {
				key := m[1]
				if strings.HasPrefix(m[0], ".Count") {
					key += ".other"
				}
				if !slices.Contains(known, key) {
					t.Errorf("%s/%s asks for %q, which no language has", folder, name.Name(), key)
				}
			}
			for _, m := range usedPrefix.FindAllStringSubmatch(string(page), -1) {
				if strings.Contains(m[1], ".") && !slices.ContainsFunc(known, func(key string) bool { return strings.HasPrefix(key, m[1]) }) {
					t.Errorf("%s/%s asks for %q..., which no language has", folder, name.Name(), m[1])
				}
			}
		}
	}
}

func TestNumbersAndTimesAreWrittenAsTheLanguageDoes(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 11, 25, 14, 5, 0, 0, time.UTC)
	for _, test := range []struct{ lang, got, want string }{
		{"en", Number("en", 1234567), "1,234,567"}, {"da", Number("da", 1234567), "1.234.567"},
		{"en", Decimal("en", 2.5), "2.5"}, {"da", Decimal("da", 2.5), "2,5"},
		{"en", Time("en", at), "25 Nov 2026, 14:05"}, {"da", Time("da", at), "25. nov. 2026 kl. 14.05"},
		{"da", Date("da", at.AddDate(0, -6, 0)), "25. maj 2026"}, {"en", Date("en", at), "25 Nov 2026"},
		{"en", Share("en", 1, 8), "12.5%"}, {"da", Share("da", 1, 8), "12,5\u00a0%"}, {"en", Share("en", 0, 8), "0%"}, {"en", Share("en", 8, 8), "100%"},
		{"en", Share("en", 999_999, 1_000_000), "> 99.9%"}, {"en", Share("en", 1, 1_000_000), "< 0.1%"}, {"en", Share("en", 0, 0), ""},
	} {
		if test.got != test.want {
			t.Errorf("%s: %q, want %q", test.lang, test.got, test.want)
		}
	}
}

func TestMatch(t *testing.T) {
	t.Parallel()
	s := newSet(t)
	for _, test := range []struct {
		name   string
		wishes []string
		want   string
	}{
		{"nothing asked", nil, "en"},
		{"what is chosen comes first", []string{"da", "en", "en-GB"}, "da"},
		{"the contact's own language", []string{"", "da", "en"}, "da"},
		{"a regional form", []string{"da-DK"}, "da"},
		{"a browser's list", []string{"", "", "ga;q=0.9, da;q=0.5, en;q=0.1"}, "da"},
		{"a near language", []string{"no-NO"}, "nb"},
		{"the same by its other name", []string{"nb"}, "nb"},
		{"Serbian as browsers say it", []string{"sr-RS"}, "sr-Latn"},
		{"Brazil", []string{"pt-BR"}, "pt-BR"},
		{"Portugal", []string{"pt-PT"}, "pt"},
		{"unknown goes on to the next wish", []string{"xx", "da"}, "da"},
		{"nonsense", []string{"<script>", ";;;q=,", strings.Repeat("a-", 4000)}, "en"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			if got := s.Match(test.wishes...); got != test.want {
				t.Errorf("Match(%q) = %s, want %s", test.wishes, got, test.want)
			}
		})
	}
}

func TestTextIsNeverEmpty(t *testing.T) {
	t.Parallel()
	s := newSet(t)
	if got := s.Text("xx", "manage.title"); got != s.Text(DefaultLanguage, "manage.title") {
		t.Errorf("a language that is not there says %q", got)
	}
	if got := s.Text("da", "no.such.key"); got != "no.such.key" {
		t.Errorf("a key that is not there says %q", got)
	}
}

func TestPagesEscapeWhatPeopleWrote(t *testing.T) {
	t.Parallel()
	s := newSet(t)
	const nasty = `"><script>alert(1)</script>`
	frame := Frame{Language: "da", Switch: true}
	for name, render := range map[string]func(*bytes.Buffer) error{
		"manage": func(b *bytes.Buffer) error {
			return s.Manage(b, ManagePage{Frame: frame, Sender: nasty, Address: nasty, State: EmarketingOn, Types: []TypeChoice{{ID: 1, Name: nasty}}})
		},
		"unsubscribe": func(b *bytes.Buffer) error {
			return s.Unsubscribe(b, UnsubscribePage{Frame: frame, Sender: nasty, Address: nasty, Type: nasty})
		},
		"dossier": func(b *bytes.Buffer) error {
			return s.Dossier(b, "da", []DossierPerson{{Exported: nasty, Facts: []DossierFact{{"email", nasty}}, Events: [][]string{{nasty}}}})
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var b bytes.Buffer
			if err := render(&b); err != nil {
				t.Fatal(err)
			}
			if strings.Contains(b.String(), "<script") {
				t.Errorf("the page holds a script:\n%s", b.String())
			}
			if !strings.Contains(b.String(), "&lt;script&gt;") {
				t.Error("the page does not hold the words at all")
			}
		})
	}
}

func TestAssetsChangeTheirNamesWithTheirContent(t *testing.T) {
	t.Parallel()
	s := newSet(t)
	p := page{Frame: Frame{Base: "/mail"}, set: s}
	link := p.Link("portal.css")
	name, ok := strings.CutPrefix(link, "/mail/static/")
	if !ok || !regexp.MustCompile(`^portal\.[0-9a-f]{12}\.css$`).MatchString(name) {
		t.Fatalf("the style is at %q", link)
	}
	if a, ok := s.Asset(name); !ok || a.Type != "text/css; charset=utf-8" || len(a.Content) == 0 {
		t.Errorf("Asset(%q) = %q, %d bytes, %v", name, a.Type, len(a.Content), ok)
	}
	if _, ok := s.Asset("../strings/en.json"); ok {
		t.Error("a file that is no asset was given out")
	}
}

func TestWordsOfTheTenantsOwn(t *testing.T) {
	t.Parallel()
	s := newSet(t)
	for name, test := range map[string]struct{ lang, key, text, want string }{
		"a title":               {"da", "manage.title", "Dine mails", ""},
		"a percent sign":        {"da", "manage.title", "100 % dig", ""},
		"filled in":             {"da", "unsubscribe.ask.type", "Væk fra %s?", ""},
		"nothing is filled in":  {"da", "unsubscribe.ask.type", "Væk?", "must hold %s"},
		"filled in twice":       {"da", "unsubscribe.ask.type", "%s %s", "must hold %s"},
		"a number for a name":   {"da", "unsubscribe.ask.type", "%d", "must hold %s"},
		"no such language":      {"xx", "manage.title", "x", "no pages in"},
		"no such text":          {"da", "manage.nothing", "x", "jatak brand words da"},
		"the staff's":           {"da", "console.login", "x", "jatak brand words da"},
		"the consent's wording": {"da", "sign_up.wording", "x", "jatak wording set da"},
		"empty":                 {"da", "manage.title", " ", "1 to 600"},
		"two lines":             {"da", "mail.link.subject", "x\r\nBcc: y", "one line"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			own, err := s.Branded(brand.Brand{Words: map[string]map[string]string{test.lang: {test.key: test.text}}})
			switch {
			case test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)):
				t.Errorf("it says %v, want %q", err, test.want)
			case test.want == "" && err != nil:
				t.Error(err)
			case test.want == "" && own.words[test.lang][test.key] != test.text:
				t.Error("it was not taken")
			case s.words["da"][test.key] == test.text:
				t.Error("our own words were changed")
			}
		})
	}
}

func TestMailsHaveTheTenantsColour(t *testing.T) {
	t.Parallel()
	own, err := newSet(t).Branded(brand.Brand{Colour: "#ffe600"})
	if err != nil {
		t.Fatal(err)
	}
	_, _, html, err := own.Notice(NoticeMail{Kind: "link", Language: "da", Link: "https://jatak.example/m/x"})
	if err != nil || strings.Contains(html, ourColour) || !strings.Contains(html, "color:#08150f") {
		t.Errorf("%v\n%s", err, html)
	}
}
