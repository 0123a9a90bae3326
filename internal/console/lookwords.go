package console

import (
	"errors"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/jatak-mail/jatak/internal/brand"
	"github.com/jatak-mail/jatak/internal/staff"
	"github.com/jatak-mail/jatak/templates"
)

func (s *site) lookWordRoutes() []route {
	return []route{
		{pattern: "GET /settings/look/words", role: staff.Viewer, handle: s.lookWords},
		{pattern: "POST /settings/look/words", role: staff.Administrator, handle: s.setLookWords, body: mostLookWords},
	}
}

// mostLookWords bounds the form, in bytes: all texts of a language as long as they
// may be, as a browser encodes them.
const mostLookWords = 1 << 20

type lookWordsPage struct {
	Language  string
	Foreign   bool // it is another than the user's
	Languages []choice
	Groups    []lookWordGroup
	Version   int64 // of the look
	Most      int   // characters of a text
	May       bool
}

// lookWordGroup is the texts of one page or mail.
type lookWordGroup struct {
	Key   string
	Words []lookWord
}

type lookWord struct {
	Key, Ours string
	Own       string // the tenant's, as it is kept or was written; "" for none
	Meaning   string // ours in the user's language, where that is another
	Fills     string // what must stay: %s and the like
	Wrong     string // why it was not kept, as a sentence
}

// lookWordGroups are the first parts of the keys, in the order of the page.
func lookWordGroups() []string {
	return []string{"manage", "done", "unsubscribe", "sign_up", "confirm", "link", "mail", "nav", "home", "gone", "bad", "slow", "error"}
}

func (s *site) lookWords(w http.ResponseWriter, r *http.Request) {
	b, err := s.Store.Brand(r.Context())
	if err != nil {
		s.fail(w, r, err)
		return
	}
	lang := r.URL.Query().Get("lang")
	if !slices.Contains(s.Templates.Languages(), lang) {
		lang = s.lang(r)
	}
	s.showLookWords(w, r, http.StatusOK, "", lang, b, nil)
}

// showLookWords shows the texts of a language as the brand has them; wrong says
// which cannot be kept, and why.
func (s *site) showLookWords(w http.ResponseWriter, r *http.Request, status int, problem, lang string, b brand.Brand, wrong map[string]string) {
	p := lookWordsPage{Language: lang, Foreign: lang != s.lang(r), Version: b.Version, Most: templates.MostWords, May: userOf(r).Role.May(staff.Administrator)}
	for _, l := range s.languages() {
		text := l.Name
		if len(b.Words[l.Code]) > 0 {
			text += " ✓"
		}
		p.Languages = append(p.Languages, choice{l.Code, text, l.Code == lang})
	}
	byGroup := map[string][]lookWord{}
	for _, key := range s.Templates.Keys(lang) {
		word := lookWord{Key: key, Ours: s.Templates.Text(lang, key), Own: b.Words[lang][key], Fills: strings.Join(s.Templates.Fills(lang, key), " "), Wrong: wrong[key]}
		if meaning := s.text(r, key); p.Foreign && meaning != key {
			word.Meaning = meaning
		}
		group, _, _ := strings.Cut(key, ".")
		byGroup[group] = append(byGroup[group], word)
	}
	for _, group := range lookWordGroups() {
		if len(byGroup[group]) > 0 {
			p.Groups = append(p.Groups, lookWordGroup{group, byGroup[group]})
		}
	}
	s.show(w, r, status, "lookwords", "settings", problem, p)
}

// setLookWords keeps all texts of a language. One that is empty, or the same as
// ours, is ours.
func (s *site) setLookWords(w http.ResponseWriter, r *http.Request) {
	var tooLarge *http.MaxBytesError
	switch err := r.ParseForm(); {
	case errors.As(err, &tooLarge):
		s.message(w, r, http.StatusRequestEntityTooLarge, "console.large")
		return
	case err != nil:
		s.message(w, r, http.StatusBadRequest, "console.bad")
		return
	}
	lang := r.PostForm.Get("lang")
	if !slices.Contains(s.Templates.Languages(), lang) {
		s.message(w, r, http.StatusBadRequest, "console.bad")
		return
	}
	b, err := s.Store.Brand(r.Context())
	if err != nil {
		s.fail(w, r, err)
		return
	}
	own, changed := s.readLookWords(r, lang, b.Words[lang])
	wrong := map[string]string{}
	for key, text := range own {
		var fault *templates.WordsError
		if errors.As(s.Templates.CheckWords(lang, key, text), &fault) {
			wrong[key] = s.wrongWords(r, fault)
			own[key] = strings.ToValidUTF8(text, "\ufffd")
		}
	}
	b.Words = maps.Clone(b.Words)
	if b.Words == nil {
		b.Words = map[string]map[string]string{}
	}
	b.Words[lang] = own
	if len(wrong) > 0 {
		s.showLookWords(w, r, http.StatusBadRequest, s.Templates.CountText(s.lang(r), "console.look.words.wrong", int64(len(wrong))), lang, b, wrong)
		return
	}
	kept := b
	// The form shows all of a language: what another has written since must not go.
	if kept.Version, err = strconv.ParseInt(r.PostForm.Get("version"), 10, 64); err != nil {
		kept.Version = -1
	}
	if len(changed) > 0 {
		err = s.Store.SetBrand(r.Context(), kept, "word "+lang+" "+strings.Join(changed, " "), actor(r), s.Now())
		if s.broke(w, r, err) {
			return
		}
		if err != nil {
			s.Log.Info("texts were not kept", "error", err)
			s.showLookWords(w, r, http.StatusConflict, s.text(r, "console.settings.conflict"), lang, b, nil)
			return
		}
	}
	s.redirect(w, r, "/settings/look/words?"+url.Values{"lang": {lang}, "done": {"saved"}}.Encode())
}

// wrongWords says what is wrong with a text.
func (s *site) wrongWords(r *http.Request, e *templates.WordsError) string {
	key := "console.look.words.wrong." + string(e.Fault)
	switch e.Fault {
	case templates.WordsLength:
		return s.text(r, key, templates.MostWords)
	case templates.WordsFills:
		return s.text(r, key, strings.Join(s.Templates.Fills(e.Language, e.Key), " "))
	}
	return s.text(r, key)
}

// readLookWords reads the form's texts, and lists those that differ from what is
// kept. A text that the form lacks stays as it is.
func (s *site) readLookWords(r *http.Request, lang string, kept map[string]string) (own map[string]string, changed []string) {
	own = map[string]string{}
	maps.Copy(own, kept)
	for _, key := range s.Templates.Keys(lang) {
		texts, ok := r.PostForm["text."+key]
		if !ok {
			continue
		}
		text := strings.TrimSpace(texts[0])
		if text == "" || text == s.Templates.Text(lang, key) || r.PostForm.Get("ours") == key {
			delete(own, key)
		} else {
			own[key] = text
		}
		if own[key] != kept[key] {
			changed = append(changed, key)
		}
	}
	return own, changed
}
