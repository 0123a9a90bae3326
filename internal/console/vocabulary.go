package console

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/jatak-mail/jatak/gating"
	"github.com/jatak-mail/jatak/internal/contact"
	"github.com/jatak-mail/jatak/internal/staff"
)

// vocabularyStore keeps the tenant's words: what is asked for, on which basis,
// which kinds of mailings there are, and how people are asked.
type vocabularyStore interface {
	Terms(ctx context.Context, v contact.Vocabulary) ([]contact.Term, error)
	CreateTerm(ctx context.Context, v contact.Vocabulary, t contact.Term, actor string, now time.Time) error
	RenameTerm(ctx context.Context, v contact.Vocabulary, key string, names map[string]string, actor string, now time.Time) error
	RetireTerm(ctx context.Context, v contact.Vocabulary, key, actor string, now time.Time) error
	Types(ctx context.Context) ([]contact.SubscriptionType, error)
	// CountChoices counts the contacts with a preference for each type.
	CountChoices(ctx context.Context) (map[string]int64, error)
	CreateType(ctx context.Context, t contact.NewType, actor string, now time.Time) error
	RenameType(ctx context.Context, t contact.NewType, actor string, now time.Time) error
	RetireType(ctx context.Context, key, actor string, now time.Time) error
	MoveType(ctx context.Context, key string, later bool, actor string, now time.Time) error
	SetWording(ctx context.Context, purpose gating.Purpose, language, text, actor string, now time.Time) error
	Wordings(ctx context.Context) ([]contact.Wording, error)
}

func (s *site) vocabularyRoutes() []route {
	return []route{
		{pattern: "GET /settings/types", role: staff.Viewer, handle: s.types},
		{pattern: "POST /settings/types", role: staff.Administrator, handle: s.createType},
		{pattern: "POST /settings/types/{key}/{action}", role: staff.Administrator, handle: s.changeType},
		{pattern: "GET /settings/terms", role: staff.Viewer, handle: s.terms},
		{pattern: "POST /settings/terms/{vocabulary}", role: staff.Administrator, handle: s.createTerm},
		{pattern: "POST /settings/terms/{vocabulary}/{key}/{action}", role: staff.Administrator, handle: s.changeTerm},
		{pattern: "GET /settings/wording", role: staff.Viewer, handle: s.wording},
		{pattern: "POST /settings/wording", role: staff.Administrator, handle: s.setWording},
	}
}

// Bounds of words.
const (
	mostName    = 80   // characters of a name
	mostWording = 4000 // characters of a wording
)

// tongue is a language that recipients read.
type tongue struct{ Code, Name string }

func (s *site) languages() (list []tongue) {
	for _, code := range s.Templates.Languages() {
		list = append(list, tongue{code, s.Templates.Text(code, "language")})
	}
	return list
}

// named is a thing of the tenant's with its names by language.
type named struct {
	Key, Name string
	Names     []languageName // what it is called, in languages that it has a name in
	More      []tongue       // those that it has none in
	CountsAs  string
	BuiltIn   bool
	Retired   bool
	ChosenBy  int64
	First     bool
	Last      bool
}

type languageName struct{ Code, Language, Name string }

func (s *site) named(r *http.Request, key string, names map[string]string) named {
	n := named{Key: key, Name: nameIn(names, s.lang(r), key)}
	for _, l := range s.languages() {
		if names[l.Code] == "" {
			n.More = append(n.More, l)
			continue
		}
		n.Names = append(n.Names, languageName{l.Code, l.Name, names[l.Code]})
	}
	return n
}

// newNames reads the names of a form: name.da and the like. ok is false when one
// cannot be taken, or none is there.
func (s *site) newNames(r *http.Request) (names map[string]string, ok bool) {
	names = map[string]string{}
	for _, code := range s.Templates.Languages() {
		fields := []string{"name." + code}
		if code == r.PostFormValue("language") {
			fields = append(fields, "name") // one more language, chosen from a list
		}
		for _, field := range fields {
			name := strings.TrimSpace(r.PostFormValue(field))
			switch {
			case name == "":
			case !plainLine(name, mostName):
				return nil, false
			default:
				names[code] = name
			}
		}
	}
	return names, len(names) > 0
}

// keyOf is the key of a name: what is not a-z, 0-9 becomes -.
func keyOf(name string) string {
	name = strings.NewReplacer("æ", "ae", "ø", "oe", "å", "aa", "ä", "ae", "ö", "oe", "ü", "ue", "é", "e").Replace(strings.ToLower(name))
	key := strings.Trim(strings.Map(func(c rune) rune {
		if c >= 'a' && c <= 'z' || c >= '0' && c <= '9' {
			return c
		}
		return '-'
	}, name), "-0123456789")
	for strings.Contains(key, "--") {
		key = strings.ReplaceAll(key, "--", "-")
	}
	return strings.Trim(key[:min(len(key), 40)], "-")
}

type typesPage struct {
	Types    []named
	Retired  []named
	Counting bool // who has chosen them is not known yet
}

func (s *site) types(w http.ResponseWriter, r *http.Request) { s.showTypes(w, r, http.StatusOK, "") }

func (s *site) showTypes(w http.ResponseWriter, r *http.Request, status int, problem string) {
	list, err := s.Store.Types(r.Context())
	if err != nil {
		s.fail(w, r, err)
		return
	}
	j := s.count.get("choices", countLife, s.Patience, time.Now(), func(ctx context.Context, _ *work) (any, error) { return s.Store.CountChoices(ctx) })
	chosen, ready, err := result[map[string]int64](j)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	p := typesPage{Counting: !ready}
	for _, t := range list {
		n := s.named(r, t.Key, t.Names)
		n.ChosenBy, n.Retired = chosen[t.Key], t.Retired
		if t.Retired {
			p.Retired = append(p.Retired, n)
			continue
		}
		n.First = len(p.Types) == 0
		p.Types = append(p.Types, n)
	}
	if len(p.Types) > 0 {
		p.Types[len(p.Types)-1].Last = true
	}
	s.show(w, r, status, "types", "settings", problem, p)
}

// newKey returns the key of new names, or one that the form states.
func newKey(r *http.Request, names map[string]string) string {
	if key := strings.TrimSpace(r.PostFormValue("key")); key != "" {
		return key
	}
	for _, code := range []string{"en", "da"} {
		if names[code] != "" {
			return keyOf(names[code])
		}
	}
	return ""
}

func (s *site) createType(w http.ResponseWriter, r *http.Request) {
	names, ok := s.newNames(r)
	key := newKey(r, names)
	if !ok || !contact.IsKey(key) {
		s.showTypes(w, r, http.StatusBadRequest, s.text(r, "console.names.wrong", mostName))
		return
	}
	err := s.Store.CreateType(r.Context(), contact.NewType{Key: key, Names: names}, actor(r), s.Now())
	if s.broke(w, r, err) {
		return
	}
	if err != nil {
		s.Log.Info("a subscription type was not made", "error", err)
		s.showTypes(w, r, http.StatusConflict, s.text(r, "console.names.taken"))
		return
	}
	s.redirect(w, r, "/settings/types?done=saved")
}

func (s *site) changeType(w http.ResponseWriter, r *http.Request) {
	key, ctx, now := r.PathValue("key"), r.Context(), s.Now()
	var err error
	switch r.PathValue("action") {
	case "rename":
		names, ok := s.newNames(r)
		if !ok {
			s.showTypes(w, r, http.StatusBadRequest, s.text(r, "console.names.wrong", mostName))
			return
		}
		err = s.Store.RenameType(ctx, contact.NewType{Key: key, Names: names}, actor(r), now)
	case "earlier", "later":
		err = s.Store.MoveType(ctx, key, r.PathValue("action") == "later", actor(r), now)
	case "retire":
		if r.PostFormValue("sure") == "" {
			s.showTypes(w, r, http.StatusBadRequest, s.text(r, "console.settings.sure"))
			return
		}
		err = s.Store.RetireType(ctx, key, actor(r), now)
	default:
		s.gone(w, r)
		return
	}
	if s.broke(w, r, err) {
		return
	}
	if err != nil {
		s.Log.Info("a subscription type was not changed", "error", err)
		s.showTypes(w, r, http.StatusConflict, s.text(r, "console.settings.conflict"))
		return
	}
	s.redirect(w, r, "/settings/types?done=changed")
}

type termsPage struct {
	Lists []termList
	Bases []choice // that a basis of the tenant's may count as
}

type termList struct {
	Vocabulary contact.Vocabulary
	Terms      []named
}

func (s *site) terms(w http.ResponseWriter, r *http.Request) { s.showTerms(w, r, http.StatusOK, "") }

func (s *site) showTerms(w http.ResponseWriter, r *http.Request, status int, problem string) {
	var p termsPage
	for _, v := range []contact.Vocabulary{contact.Purposes, contact.LegalBases} {
		terms, err := s.Store.Terms(r.Context(), v)
		if err != nil {
			s.fail(w, r, err)
			return
		}
		list := termList{Vocabulary: v}
		byKey := map[string]string{}
		for _, t := range terms {
			byKey[t.Key] = nameIn(t.Names, s.lang(r), t.Key)
			n := s.named(r, t.Key, t.Names)
			n.BuiltIn, n.Retired = t.BuiltIn, t.Retired
			if !t.BuiltIn {
				n.CountsAs = byKey[string(t.CountsAs)]
			}
			if v == contact.LegalBases && t.BuiltIn && t.CountsAs.Granted() {
				p.Bases = append(p.Bases, choice{Value: t.Key, Text: n.Name})
			}
			list.Terms = append(list.Terms, n)
		}
		p.Lists = append(p.Lists, list)
	}
	s.show(w, r, status, "terms", "settings", problem, p)
}

func (s *site) createTerm(w http.ResponseWriter, r *http.Request) {
	v, ok := vocabularyOf(r)
	if !ok {
		s.gone(w, r)
		return
	}
	names, ok := s.newNames(r)
	key := newKey(r, names)
	if !ok || !contact.IsKey(key) {
		s.showTerms(w, r, http.StatusBadRequest, s.text(r, "console.names.wrong", mostName))
		return
	}
	t := contact.Term{Key: key, Names: names, CountsAs: gating.LegalBasis(r.PostFormValue("counts_as"))}
	if v == contact.LegalBases && !t.CountsAs.Granted() {
		s.showTerms(w, r, http.StatusBadRequest, s.text(r, "console.terms.counts.wrong"))
		return
	}
	err := s.Store.CreateTerm(r.Context(), v, t, actor(r), s.Now())
	if s.broke(w, r, err) {
		return
	}
	if err != nil {
		s.Log.Info("a term was not made", "error", err)
		s.showTerms(w, r, http.StatusConflict, s.text(r, "console.names.taken"))
		return
	}
	s.redirect(w, r, "/settings/terms?done=saved")
}

func vocabularyOf(r *http.Request) (v contact.Vocabulary, ok bool) {
	v = contact.Vocabulary(r.PathValue("vocabulary"))
	return v, v == contact.Purposes || v == contact.LegalBases
}

func (s *site) changeTerm(w http.ResponseWriter, r *http.Request) {
	v, ok := vocabularyOf(r)
	if !ok {
		s.gone(w, r)
		return
	}
	var err error
	switch r.PathValue("action") {
	case "rename":
		names, ok := s.newNames(r)
		if !ok {
			s.showTerms(w, r, http.StatusBadRequest, s.text(r, "console.names.wrong", mostName))
			return
		}
		err = s.Store.RenameTerm(r.Context(), v, r.PathValue("key"), names, actor(r), s.Now())
	case "retire":
		if r.PostFormValue("sure") == "" {
			s.showTerms(w, r, http.StatusBadRequest, s.text(r, "console.settings.sure"))
			return
		}
		err = s.Store.RetireTerm(r.Context(), v, r.PathValue("key"), actor(r), s.Now())
	default:
		s.gone(w, r)
		return
	}
	if s.broke(w, r, err) {
		return
	}
	if err != nil {
		s.Log.Info("a term was not changed", "error", err)
		s.showTerms(w, r, http.StatusConflict, s.text(r, "console.settings.conflict"))
		return
	}
	s.redirect(w, r, "/settings/terms?done=changed")
}

type wordingPage struct {
	Purpose   string
	Purposes  []choice
	Language  string
	Languages []choice
	Text      string // that is shown now, or was written
	Own       bool   // the tenant's own
	Versions  []contact.Wording
	Most      int
}

func (s *site) wording(w http.ResponseWriter, r *http.Request) {
	s.showWording(w, r, http.StatusOK, "", r.URL.Query().Get("purpose"), r.URL.Query().Get("lang"), "")
}

func (s *site) showWording(w http.ResponseWriter, r *http.Request, status int, problem, purpose, lang, written string) {
	p := wordingPage{Purpose: purpose, Language: lang, Most: mostWording}
	if !slices.Contains(s.Templates.Languages(), lang) {
		p.Language = s.lang(r)
	}
	terms, err := s.Store.Terms(r.Context(), contact.Purposes)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	if !slices.ContainsFunc(terms, func(t contact.Term) bool { return t.Key == purpose && !t.Retired }) {
		p.Purpose = string(gating.PurposeEmarketing)
	}
	all, err := s.Store.Wordings(r.Context())
	if err != nil {
		s.fail(w, r, err)
		return
	}
	p.Text = s.Templates.Text(p.Language, "sign_up.wording")
	has := map[string]bool{} // languages with words of the tenant's own
	for _, v := range all {
		if string(v.Purpose) != p.Purpose {
			continue
		}
		has[v.Language] = true
		if v.Language != p.Language {
			continue
		}
		if !p.Own {
			p.Text, p.Own = v.Text, true
		}
		p.Versions = append(p.Versions, v)
	}
	if written != "" {
		p.Text = written
	}
	for _, t := range terms {
		if !t.Retired && t.Key != string(gating.PurposeStore) {
			p.Purposes = append(p.Purposes, choice{t.Key, nameIn(t.Names, s.lang(r), t.Key), t.Key == p.Purpose})
		}
	}
	for _, l := range s.languages() {
		text := l.Name
		if has[l.Code] {
			text += " ✓"
		}
		p.Languages = append(p.Languages, choice{l.Code, text, l.Code == p.Language})
	}
	s.show(w, r, status, "wording", "settings", problem, p)
}

func (s *site) setWording(w http.ResponseWriter, r *http.Request) {
	purpose, lang := r.PostFormValue("purpose"), r.PostFormValue("lang")
	text := strings.TrimSpace(strings.ReplaceAll(r.PostFormValue("text"), "\r\n", "\n"))
	n := utf8.RuneCountInString(text)
	if n == 0 || n > mostWording || !utf8.ValidString(text) || strings.ContainsRune(text, 0) || !slices.Contains(s.Templates.Languages(), lang) {
		s.showWording(w, r, http.StatusBadRequest, s.text(r, "console.wording.wrong", mostWording), purpose, lang, text)
		return
	}
	err := s.Store.SetWording(r.Context(), gating.Purpose(purpose), lang, text, actor(r), s.Now())
	if s.broke(w, r, err) {
		return
	}
	if err != nil {
		s.Log.Info("a wording was not kept", "error", err)
		s.showWording(w, r, http.StatusConflict, s.text(r, "console.settings.conflict"), purpose, lang, text)
		return
	}
	s.redirect(w, r, "/settings/wording?purpose="+purpose+"&lang="+lang+"&done=saved")
}
