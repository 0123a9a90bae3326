package templates

import (
	"bytes"
	"fmt"
	"html/template"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/text/language"
	"golang.org/x/text/message"
)

// ConsolePage is a page of the staff's site.
type ConsolePage struct {
	Language string
	Zone     *time.Location // that times are told in; nil: UTC
	User     string         // "" before login
	// May lists the roles that the user has, so that a page shows what they may do.
	May     []string
	Nav     string // the section: campaigns, templates, contacts, settings or upgrade
	Path    string // that a switch of the language leads back to
	Upgrade bool   // there are contacts that are not upgraded
	Problem string // what went wrong, as a sentence
	Done    string // the key of what was done
	Values  any    // what the page shows
}

// Console renders a page of the staff's site by its name.
func (s *Set) Console(w io.Writer, name string, p ConsolePage) error {
	return s.renderConsole(w, name, "frame.html", p)
}

// ConsoleFragment renders a part of such a page, which its file defines, to be
// put in the place of the one that is shown.
func (s *Set) ConsoleFragment(w io.Writer, name, fragment string, p ConsolePage) error {
	return s.renderConsole(w, name, fragment, p)
}

func (s *Set) renderConsole(w io.Writer, name, part string, p ConsolePage) error {
	t := s.console[name]
	if t == nil || t.Lookup(part) == nil {
		return fmt.Errorf("there is no console page %q with a part %q", name, part)
	}
	if p.Zone == nil {
		p.Zone = time.UTC
	}
	var b bytes.Buffer
	if err := t.ExecuteTemplate(&b, part, page{Values: p.Values, Console: p, Frame: Frame{Language: p.Language}, set: s}); err != nil {
		return fmt.Errorf("render console page %s: %w", name, err)
	}
	_, err := w.Write(b.Bytes())
	return err
}

// StaffLanguages returns the languages that the console is in.
func StaffLanguages() []string { return []string{"en", "da"} }

// StaffLanguages lists the languages that the console is in.
func (p page) StaffLanguages() (list []LanguageLink) {
	return slices.DeleteFunc(p.Languages(), func(l LanguageLink) bool { return !slices.Contains(StaffLanguages(), l.Code) })
}

// LanguageName names a language in the page's.
func (p page) LanguageName(code string) string { return p.set.LanguageName(p.Frame.Language, code) }

// With returns the page with other values, for a part that several pages share.
func (p page) With(values any) page {
	p.Values = values
	return p
}

// Bar is a whole bar, as the first of several.
func (p page) Bar(name string, count, of any) any {
	n, _ := whole(count)
	all, _ := whole(of)
	return struct {
		Name, Note, Link string
		X, Width         float64
		Count, Of        int64
	}{Name: name, Width: 100, Count: n, Of: all}
}

// CopyText is a text to be copied, in a field with a label; of says what it is
// about, and help more about it, if it is not "".
func (p page) CopyText(id, label, text, of, help string) any {
	rows := 1 + strings.Count(text, "\n") + len(text)/80
	return struct {
		ID, Label, Text, Of, Help string
		Rows                      int
	}{id, label, text, of, help, min(rows, 16)}
}

// Priorities are those that a campaign may have.
func (p page) Priorities() []string { return []string{"high", "normal", "low"} }

// Has reports whether the language has a sentence of a key.
func (p page) Has(key string) bool { return p.set.words[DefaultLanguage][key] != "" }

// May reports whether the user has a role.
func (p page) May(role string) bool { return slices.Contains(p.Console.May, role) }

// Count is the sentence of a key for a number, in the plural form that it asks for.
func (p page) Count(key string, n any) string {
	count, _ := whole(n)
	return p.set.CountText(p.Frame.Language, key, count)
}

// CountText is Count with the number written as the language writes it: the
// sentence holds %s.
func (s *Set) CountText(lang, key string, n int64) string {
	return s.Text(lang, s.pluralKey(lang, key, int(n)), Number(lang, n))
}

// Number is a whole number as the page's language writes it: 1.234 or 1,234.
func (p page) Number(n any) string {
	if count, ok := whole(n); ok {
		return Number(p.Frame.Language, count)
	}
	return fmt.Sprint(n)
}

// Field writes a number as it stands in a field: with all its digits.
func (p page) Field(n float64) string {
	return Numeral(p.Frame.Language, strconv.FormatFloat(n, 'f', -1, 64))
}

func whole(n any) (int64, bool) {
	switch n := n.(type) {
	case int:
		return int64(n), true
	case int32:
		return int64(n), true
	case int64:
		return n, true
	}
	return 0, false
}

// Decimal writes a number with at most one digit after the point.
func (p page) Decimal(n float64) string { return Decimal(p.Frame.Language, n) }

// Share is a part of a whole in percent as the language writes it: 12.3%, or
// "" when there is no whole.
func (p page) Share(part, of any) string {
	a, _ := whole(part)
	b, _ := whole(of)
	return Share(p.Frame.Language, a, b)
}

// Time tells when something was, to the minute, for people and machines.
func (p page) Time(t time.Time) template.HTML {
	if t.IsZero() {
		return ""
	}
	// Both parts are figures, month names and marks of ours.
	return template.HTML(`<time datetime="` + t.UTC().Format(time.RFC3339) + `">` + Time(p.Frame.Language, t.In(p.Console.Zone)) + `</time>`)
}

// PlainTime tells the same where no element may stand.
func (p page) PlainTime(t time.Time) string { return Time(p.Frame.Language, t.In(p.Console.Zone)) }

// Date tells on which day something was.
func (p page) Date(t time.Time) template.HTML {
	if t.IsZero() {
		return ""
	}
	local := t.In(p.Console.Zone)
	return template.HTML(`<time datetime="` + local.Format(time.DateOnly) + `">` + Date(p.Frame.Language, local) + `</time>`)
}

// Who names somebody of a history to people: users by their address alone.
func (p page) Who(actor string) string { return strings.TrimPrefix(actor, "user:") }

// Zone names the time zone that the page's times are in.
func (p page) Zone() string { return p.Console.Zone.String() }

// LanguageName names a language in another, or says its code when we have no name
// for it.
func (s *Set) LanguageName(lang, code string) string {
	base, _, _ := strings.Cut(code, "-")
	for _, known := range []string{code, base} {
		key := "console.lang." + strings.ToLower(known)
		if name := s.Text(lang, key); name != key {
			return name
		}
	}
	return s.Text(lang, "console.lang.unknown", code)
}

// Number writes a whole number as a language does.
func Number(lang string, n int64) string { return message.NewPrinter(tag(lang)).Sprintf("%d", n) }

// Decimal writes a number with at most one digit after the point, as a language
// does.
func Decimal(lang string, n float64) string {
	if whole := math.Round(n); math.Abs(n-whole) < 0.05 {
		return Number(lang, int64(whole))
	}
	return message.NewPrinter(tag(lang)).Sprintf("%.1f", n)
}

// Share writes a part of a whole in percent; "" when there is no whole.
func Share(lang string, part, of int64) string {
	if of == 0 {
		return ""
	}
	percent := 100 * float64(part) / float64(of)
	switch {
	case part == of, part == 0:
		return Percent(lang, fmt.Sprintf("%.0f", percent))
	case percent < 0.1:
		return "< " + Percent(lang, "0.1")
	case percent > 99.9:
		return "> " + Percent(lang, "99.9")
	}
	return Percent(lang, fmt.Sprintf("%.1f", percent))
}

// Percent writes a percentage as a language does: 12.3%, or 12,3 % in Danish.
func Percent(lang, number string) string {
	if lang == "da" {
		return Numeral(lang, number) + "\u00a0%"
	}
	return number + "%"
}

// Date writes a day: 25 Nov 2026, or 25. nov. 2026 in Danish.
func Date(lang string, t time.Time) string {
	if lang == "da" {
		return fmt.Sprintf("%d. %s %d", t.Day(), danishMonth(t.Month()), t.Year())
	}
	return t.Format("2 Jan 2006")
}

// Time writes a day and a time: 25 Nov 2026, 14:30, or 25. nov. 2026 kl. 14.30
// in Danish.
func Time(lang string, t time.Time) string {
	if lang == "da" {
		return Date(lang, t) + " kl. " + Clock(lang, t)
	}
	return Date(lang, t) + ", " + Clock(lang, t)
}

// Clock writes a time of the day: 14:30, or 14.30 in Danish.
func Clock(lang string, t time.Time) string {
	if lang == "da" {
		return t.Format("15.04")
	}
	return t.Format("15:04")
}

func danishMonth(m time.Month) string {
	months := strings.Fields("jan. feb. mar. apr. maj juni juli aug. sep. okt. nov. dec.")
	return months[m-1]
}

func tag(lang string) language.Tag {
	t, err := language.Parse(lang)
	if err != nil {
		return language.English
	}
	return t
}
