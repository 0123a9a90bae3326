// Package templates holds what people read, in every language, and nothing
// else: the sentences, the pages of the recipients, and their look. Whoever
// renders brings typed values; no rule is decided here.
package templates

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"html/template"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"

	"golang.org/x/text/collate"
	"golang.org/x/text/feature/plural"
	"golang.org/x/text/language"

	"github.com/jatak-mail/jatak/gating"
	"github.com/jatak-mail/jatak/internal/brand"
)

//go:embed pages console mails strings static
var files embed.FS

// DefaultLanguage is the language of whoever asks for none that we have.
const DefaultLanguage = "en"

// Set is all texts and pages, read and checked once.
type Set struct {
	words   map[string]map[string]string // by language, then key
	codes   []string                     // languages, the default first
	matcher language.Matcher
	pages   map[string]*template.Template
	console map[string]*template.Template
	notice  *template.Template
	assets  map[string]Asset // by name in a URL
	links   map[string]string
	brand   brand.Brand
}

// Asset is a file that pages refer to. Its name changes with its content, so
// that it may be kept for ever.
type Asset struct {
	Type    string
	Content []byte
}

// New reads the texts and pages. An error is a mistake of ours.
func New() (*Set, error) {
	s := &Set{words: map[string]map[string]string{}, pages: map[string]*template.Template{}, console: map[string]*template.Template{}, assets: map[string]Asset{}, links: map[string]string{}}
	for _, read := range []func() error{s.readWords, s.readAssets, s.readPages} {
		if err := read(); err != nil {
			return nil, err
		}
	}
	return s, nil
}

func (s *Set) readWords() error {
	names, err := fs.Glob(files, "strings/*.json")
	if err != nil {
		return err
	}
	for _, name := range names {
		code := strings.TrimSuffix(path.Base(name), ".json")
		s.words[code] = map[string]string{}
		s.codes = append(s.codes, code)
		if err := s.addWords(code, name); err != nil {
			return err
		}
	}
	// The console's words are in a file for each section and language.
	if names, err = fs.Glob(files, "strings/console/*.*.json"); err != nil {
		return err
	}
	for _, name := range names {
		_, code, _ := strings.Cut(strings.TrimSuffix(path.Base(name), ".json"), ".")
		if err := s.addWords(code, name); err != nil {
			return err
		}
	}
	byName := collate.New(language.Und)
	slices.SortFunc(s.codes, func(a, b string) int {
		if a == DefaultLanguage {
			return -1
		}
		if b == DefaultLanguage {
			return 1
		}
		return byName.CompareString(s.words[a]["language"], s.words[b]["language"])
	})
	var tags []language.Tag
	for _, code := range s.codes {
		tag, err := language.Parse(code)
		if err != nil {
			return fmt.Errorf("strings/%s.json: %w", code, err)
		}
		tags = append(tags, tag)
	}
	s.matcher = language.NewMatcher(tags)
	return nil
}

// addWords reads a file of words into a language. A key stands in one file.
func (s *Set) addWords(code, name string) error {
	raw, err := files.ReadFile(name)
	if err != nil {
		return err
	}
	var words map[string]string
	if err := json.Unmarshal(raw, &words); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	known := s.words[code]
	if known == nil {
		return fmt.Errorf("%s: there is no language %q", name, code)
	}
	for key, text := range words {
		if _, twice := known[key]; twice {
			return fmt.Errorf("%s: %q is in another file too", name, key)
		}
		known[key] = text
	}
	return nil
}

func (s *Set) readAssets() error {
	return fs.WalkDir(files, "static", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		content, err := files.ReadFile(name)
		if err != nil {
			return err
		}
		kinds := map[string]string{".css": "text/css; charset=utf-8", ".svg": "image/svg+xml", ".js": "text/javascript; charset=utf-8"}
		if kind := kinds[path.Ext(name)]; kind != "" { // licences are not served
			s.addAsset(path.Base(name), kind, content)
		}
		return nil
	})
}

func (s *Set) addAsset(name, kind string, content []byte) {
	sum := sha256.Sum256(content)
	extension := path.Ext(name)
	hashed := strings.TrimSuffix(name, extension) + "." + hex.EncodeToString(sum[:6]) + extension
	s.assets[hashed] = Asset{Type: kind, Content: content}
	s.links[name] = hashed
}

func (s *Set) readPages() (err error) {
	for folder, pages := range map[string]map[string]*template.Template{"pages": s.pages, "console": s.console} {
		names, err := fs.Glob(files, folder+"/*.html")
		if err != nil {
			return err
		}
		// frame.html is around every page; parts are what several share.
		isAround := func(name string) bool {
			return path.Base(name) == "frame.html" || strings.HasPrefix(path.Base(name), "part")
		}
		frame := slices.DeleteFunc(slices.Clone(names), func(name string) bool { return !isAround(name) })
		parts, err := fs.Glob(files, folder+"/parts/*.html")
		if err != nil {
			return err
		}
		frame = append(frame, parts...)
		for _, name := range names {
			if isAround(name) {
				continue
			}
			t, err := template.ParseFS(files, append(slices.Clone(frame), name)...)
			if err != nil {
				return err
			}
			pages[strings.TrimSuffix(path.Base(name), ".html")] = t
		}
	}
	s.notice, err = template.ParseFS(files, "mails/notice.html")
	return err
}

// Asset returns the asset of a name in a URL.
func (s *Set) Asset(name string) (a Asset, ok bool) {
	a, ok = s.assets[name]
	return a, ok
}

// Languages returns the codes of all languages, the default first.
func (s *Set) Languages() []string { return s.codes }

// Match returns the first language asked for that we have. Each wish is a
// language (da, nb-NO) or an Accept-Language header (RFC 9110 section 12.5.4).
func (s *Set) Match(wishes ...string) string {
	for _, wish := range wishes {
		tags, _, err := language.ParseAcceptLanguage(wish)
		if err != nil || len(tags) == 0 {
			continue
		}
		if _, i, confidence := s.matcher.Match(tags...); confidence > language.No {
			return s.codes[i]
		}
	}
	return DefaultLanguage
}

// Text returns the sentence of a key in a language we have, with args filled
// in as by fmt. A key that is missing is returned itself: a page is never
// empty.
func (s *Set) Text(lang, key string, args ...any) string {
	text, ok := s.words[lang][key]
	if !ok {
		text, ok = s.words[DefaultLanguage][key]
	}
	if !ok {
		return key
	}
	if len(args) > 0 {
		return fmt.Sprintf(text, args...)
	}
	return text
}

// Count returns the sentence of a key for a number, in the plural form that
// the language asks for (Unicode CLDR): one, few, many and so on are keys of
// their own, and other is the form for what has none.
func (s *Set) Count(lang, key string, n int) string {
	return s.Text(lang, s.pluralKey(lang, key, n), n)
}

func (s *Set) pluralKey(lang, key string, n int) string {
	forms := map[plural.Form]string{plural.Zero: "zero", plural.One: "one", plural.Two: "two", plural.Few: "few", plural.Many: "many"}
	form := forms[plural.Cardinal.MatchPlural(language.Make(lang), n, 0, 0, 0, 0)]
	if _, ok := s.words[lang][key+"."+form]; !ok {
		form = "other"
	}
	return key + "." + form
}

// direction is where a language's lines run to: ltr or rtl.
func direction(lang string) string {
	script, _ := language.Make(lang).Script()
	if slices.Contains([]string{"Adlm", "Arab", "Hebr", "Nkoo", "Rohg", "Syrc", "Thaa"}, script.String()) {
		return "rtl"
	}
	return "ltr"
}

// ReasonText says in words why somebody is or is not mailed.
func (s *Set) ReasonText(lang string, r gating.Reason) string {
	return s.Text(lang, "reason."+string(r))
}

// Frame is what every page has around it.
type Frame struct {
	Language string
	// Base is the path that the site lives under, without a slash at the end.
	Base string
	// Switch is the query of the language links, before lang=; "" shows none.
	Switch bool
}

// ManagePage is the recipient's own page.
type ManagePage struct {
	Frame
	Sender  string // whose mails these are; "" when not known
	Address string // masked
	State   EmarketingState
	Types   []TypeChoice
	Done    string // the key of what was just done: saved, stopped, started; or ""
	Undo    bool
	Renew   bool // a yes in person would be worth more than the present basis
	Expired bool
	// CanMail: with an expired link, a fresh one can be asked for.
	CanMail bool
}

// EmarketingState is what the page shows of the E-marketing consent.
type EmarketingState string

// The states.
const (
	EmarketingOn    EmarketingState = "on"
	EmarketingOff   EmarketingState = "off"   // withdrawn
	EmarketingUnset EmarketingState = "unset" // never asked
)

// TypeChoice is a subscription type as the page shows it.
type TypeChoice struct {
	ID   int64
	Name string
	In   bool
}

// UnsubscribePage asks for one click, or says that it is done.
type UnsubscribePage struct {
	Frame
	Sender  string
	Address string
	Type    string // "" for all e-marketing
	Done    bool
}

// SignUpPage is the form by which somebody asks to be mailed.
type SignUpPage struct {
	Frame
	Sender, Purpose, Wording, WordingHash string
	Email, FirstName, LastName            string // as they were filled in before
	Types                                 []TypeChoice
	Problem                               string // bad_email, stale or ""
}

// LinkPage asks for the address to mail a link to.
type LinkPage struct {
	Frame
	Sender, Email string
	Problem       string // bad_email or ""
}

// ConfirmPage asks for the click that makes a sign-up count.
type ConfirmPage struct {
	Frame
	Sender, Address, Wording string
	Types                    []string
	Expired                  bool
	Done                     string // confirmed, resent or ""
	ManageLink               string // "" for none
}

// MessagePage says one thing.
type MessagePage struct {
	Frame
	Title, Text string // keys
}

// Manage renders the recipient's page.
func (s *Set) Manage(w io.Writer, p ManagePage) error { return s.render(w, "manage", p.Frame, p) }

// Unsubscribe renders the page behind an unsubscribe link.
func (s *Set) Unsubscribe(w io.Writer, p UnsubscribePage) error {
	return s.render(w, "unsubscribe", p.Frame, p)
}

// SignUp renders the sign-up form.
func (s *Set) SignUp(w io.Writer, p SignUpPage) error { return s.render(w, "sign-up", p.Frame, p) }

// Link renders the form that mails somebody their link.
func (s *Set) Link(w io.Writer, p LinkPage) error { return s.render(w, "link", p.Frame, p) }

// Confirm renders the page behind the link in a confirmation mail.
func (s *Set) Confirm(w io.Writer, p ConfirmPage) error { return s.render(w, "confirm", p.Frame, p) }

// Message renders a page that says one thing.
func (s *Set) Message(w io.Writer, p MessagePage) error { return s.render(w, "message", p.Frame, p) }

// DossierPerson is what is kept about one contact, as tables to read.
type DossierPerson struct {
	Exported                                 string
	Facts                                    []DossierFact
	Consents, Events, Subscriptions, SignUps [][]string
	Mails, Notices                           [][]string
}

// DossierFact is a line about the person; its name is the word dossier.Key.
type DossierFact struct{ Key, Value string }

// Dossier renders a report of its own that can be printed and mailed: it
// refers to nothing outside of it.
func (s *Set) Dossier(w io.Writer, lang string, people []DossierPerson) error {
	return s.render(w, "dossier", Frame{Language: lang}, people)
}

// NoticeMail is a mail that is sent to one person outside of campaigns.
type NoticeMail struct {
	Kind                          string // confirm, link, added or withdrawn
	Language                      string
	Sender, PostalAddress, ToName string
	Link                          string
	Days                          int // how long the link of a confirm mail works
}

// ourColour is the colour of buttons in mails, as in portal.css.
const ourColour = "#0b6e4f"

// Notice renders a notice: its subject, its plain text and its HTML.
func (s *Set) Notice(m NoticeMail) (subject, text, html string, err error) {
	say := func(key string, args ...any) string { return s.Text(m.Language, key, args...) }
	greeting := say("mail.greeting.nobody")
	if m.ToName != "" {
		greeting = say("mail.greeting", m.ToName)
	}
	kind := "mail." + m.Kind
	colours, _, own := s.brand.Pairs()
	if !own {
		colours = brand.Pair{Main: ourColour, Ink: "#ffffff"}
	}
	parts := struct {
		NoticeMail
		Colours                              brand.Pair
		Subject, Greeting, Text, Button, Why string
	}{m, colours, say(kind + ".subject"), greeting, say(kind + ".text"), say(kind + ".button"), say(kind + ".why")}
	if m.Days > 0 {
		parts.Why = s.Count(m.Language, kind+".life", m.Days) + " " + parts.Why
	}
	var b bytes.Buffer
	if err := s.notice.Execute(&b, parts); err != nil {
		return "", "", "", fmt.Errorf("render mail %s: %w", m.Kind, err)
	}
	text = strings.Join([]string{parts.Greeting, parts.Text, m.Link, parts.Why, m.Sender + "\n" + m.PostalAddress}, "\n\n") + "\n"
	return parts.Subject, text, b.String(), nil
}

// page is what a template sees: the values, and the words of one language.
type page struct {
	Values  any
	Console ConsolePage
	Frame   Frame
	set     *Set
}

// T is a sentence in the page's language.
func (p page) T(key string, args ...any) string { return p.set.Text(p.Frame.Language, key, args...) }

// HasOwn reports whether the tenant has an asset: brand.css or logo.
func (p page) HasOwn(name string) bool { return p.set.links[name] != "" }

// LogoAlt is what the tenant's logo says.
func (p page) LogoAlt() string { return p.set.brand.LogoAlt }

// Direction is where the lines of the page's language run to.
func (p page) Direction() string { return direction(p.Frame.Language) }

// Link is the path of an asset.
func (p page) Link(name string) string { return p.Frame.Base + "/static/" + p.set.links[name] }

// LanguageLink is a language to switch to.
type LanguageLink struct {
	Code, Name string
	Current    bool
}

// Languages lists the languages by their own names.
func (p page) Languages() (list []LanguageLink) {
	for _, code := range p.set.codes {
		list = append(list, LanguageLink{code, p.set.Text(code, "language"), code == p.Frame.Language})
	}
	return list
}

// render renders into a buffer first: a page comes whole or not at all.
func (s *Set) render(w io.Writer, name string, f Frame, values any) error {
	var b bytes.Buffer
	frame := "frame.html"
	if s.pages[name].Lookup("whole") != nil {
		frame = "whole" // a page that stands alone
	}
	if err := s.pages[name].ExecuteTemplate(&b, frame, page{Values: values, Frame: f, set: s}); err != nil {
		return fmt.Errorf("render page %s: %w", name, err)
	}
	_, err := w.Write(b.Bytes())
	return err
}
