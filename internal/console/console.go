// Package console is the staff's site: campaigns with their books as they
// change, the gate report, people with the verdict about each and its proof, and
// the settings. It decides nothing: it shows and does what the packages below
// it can.
package console

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/jatak-mail/jatak/gating"
	"github.com/jatak-mail/jatak/internal/contact"
	"github.com/jatak-mail/jatak/internal/staff"
	"github.com/jatak-mail/jatak/internal/web"
	"github.com/jatak-mail/jatak/templates"
)

// Options is what the site needs; all are required.
type Options struct {
	Store     Store
	Templates *templates.Set
	Settings  []gating.SettingDefault // those that can be set
	Now       func() time.Time
	Log       *slog.Logger
	Secure    bool // it is reached by https
}

type site struct {
	Options
	web web.Site
}

// Route is a page or an action, with the least role that it needs; "" is for
// everybody.
type Route struct {
	Pattern string
	Role    staff.Role
}

// Routes lists them all.
func Routes() []Route {
	return []Route{
		{"GET /login", ""}, {"POST /login", ""}, {"GET /setup/{token}", ""}, {"POST /setup/{token}", ""},
		{"POST /language", ""}, {"GET /static/{name}", ""}, {"GET /healthz", ""},
		{"POST /logout", staff.Viewer},
		{"GET /{$}", staff.Viewer}, {"GET /campaigns/{id}", staff.Viewer}, {"GET /campaigns/{id}/events", staff.Viewer},
		{"GET /campaigns/{id}/report", staff.Viewer},
		{"POST /campaigns/{id}/{action}", staff.Marketer},
		{"GET /contacts", staff.Officer}, {"GET /contacts/{id}", staff.Officer}, {"POST /contacts/{id}/emarketing", staff.Officer},
		{"GET /settings", staff.Viewer}, {"POST /settings", staff.Administrator},
	}
}

func (s *site) handlers() map[string]http.HandlerFunc {
	return map[string]http.HandlerFunc{
		"GET /login": s.login, "POST /login": s.doLogin, "GET /setup/{token}": s.setup, "POST /setup/{token}": s.doSetup,
		"POST /language": s.language, "GET /static/{name}": web.Static(s.Templates).ServeHTTP, "GET /healthz": s.health,
		"POST /logout": s.logout,
		"GET /{$}":     s.campaigns, "GET /campaigns/{id}": s.campaign, "GET /campaigns/{id}/events": s.events,
		"GET /campaigns/{id}/report": s.report, "POST /campaigns/{id}/{action}": s.act,
		"GET /contacts": s.contacts, "GET /contacts/{id}": s.contact, "POST /contacts/{id}/emarketing": s.emarketing,
		"GET /settings": s.settings, "POST /settings": s.set,
	}
}

// New returns the site.
func New(o Options) (http.Handler, error) {
	s := &site{Options: o, web: web.Site{Words: o.Templates, Log: o.Log, Scripts: true}}
	mux := http.NewServeMux()
	handlers := s.handlers()
	for _, r := range Routes() {
		handler := handlers[r.Pattern]
		if handler == nil {
			return nil, errors.New("console: no handler for " + r.Pattern)
		}
		mux.Handle(r.Pattern, s.guarded(r.Role, handler))
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) { s.web.Error(w, r, http.StatusNotFound, "gone") })
	// Requests that change something come from our own pages only.
	return s.web.Secure(http.NewCrossOriginProtection().Handler(mux)), nil
}

// userKey is where a request's user is kept.
type userKey struct{}

func userOf(r *http.Request) staff.User {
	u, _ := r.Context().Value(userKey{}).(staff.User)
	return u
}

// actor names the user for the histories.
func actor(r *http.Request) string { return "user:" + userOf(r).Email }

const cookie = "jatak_session"

// guarded lets through who is logged in and has the role.
func (s *site) guarded(role staff.Role, h http.HandlerFunc) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		user, err := s.user(r)
		switch {
		case err == nil:
			r = r.WithContext(context.WithValue(r.Context(), userKey{}, user))
		case !errors.Is(err, staff.ErrNotFound):
			s.fail(w, r, err)
			return
		}
		switch {
		case role == "":
		case user.ID == 0:
			http.Redirect(w, r, "/login", http.StatusSeeOther)
			return
		case !user.Role.May(role):
			s.web.Error(w, r, http.StatusForbidden, "console.forbidden")
			return
		}
		h(w, r)
	})
}

func (s *site) user(r *http.Request) (staff.User, error) {
	c, err := r.Cookie(cookie)
	if err != nil {
		return staff.User{}, staff.ErrNotFound
	}
	return s.Store.UserBySession(r.Context(), staff.HashToken(c.Value), s.Now())
}

func (s *site) fail(w http.ResponseWriter, r *http.Request, err error) {
	if r.Context().Err() != nil {
		return // the reader has gone
	}
	s.Log.Error("a console page could not be served", "pattern", r.Pattern, "error", err)
	s.web.Error(w, r, http.StatusServiceUnavailable, "error")
}

// lang is the user's language, or the browser's.
func (s *site) lang(r *http.Request) string {
	chosen := ""
	if c, err := r.Cookie("jatak_language"); err == nil {
		chosen = c.Value
	}
	lang := s.Templates.Match(userOf(r).Language, chosen, r.Header.Get("Accept-Language"))
	if !slices.Contains(templates.StaffLanguages(), lang) {
		return templates.DefaultLanguage
	}
	return lang
}

func (s *site) text(r *http.Request, key string, args ...any) string {
	return s.Templates.Text(s.lang(r), key, args...)
}

// show renders a page; problem is a sentence, or "".
func (s *site) show(w http.ResponseWriter, r *http.Request, status int, name, nav, problem string, values any) {
	p := templates.ConsolePage{Language: s.lang(r), User: userOf(r).Email, Nav: nav, Problem: problem, Values: values}
	switch done := r.URL.Query().Get("done"); done {
	case "saved", "launched", "changed":
		p.Done = "console.done." + done
	}
	if err := web.Render(w, status, p.Language, func(to io.Writer) error { return s.Templates.Console(to, name, p) }); err != nil {
		s.fail(w, r, err)
	}
}

func (s *site) setCookie(w http.ResponseWriter, name, value string, life time.Duration) {
	c := &http.Cookie{Name: name, Value: value, Path: "/", HttpOnly: true, Secure: s.Secure, SameSite: http.SameSiteLaxMode, MaxAge: int(life.Seconds())}
	if life < 0 {
		c.MaxAge = -1
	}
	http.SetCookie(w, c)
}

type loginPage struct {
	Email   string
	Invited bool
}

func (s *site) login(w http.ResponseWriter, r *http.Request) {
	s.show(w, r, http.StatusOK, "login", "", "", loginPage{})
}

// Bounds of guessing at a password.
const (
	mostLogins  = 10
	loginWindow = 15 * time.Minute
)

// nobody is a hash that no password has: an unknown address takes as long.
const nobody = ""

func (s *site) doLogin(w http.ResponseWriter, r *http.Request) {
	if err := r.ParseForm(); err != nil {
		s.web.Error(w, r, http.StatusBadRequest, "bad")
		return
	}
	email := strings.ToLower(strings.TrimSpace(r.PostForm.Get("email")))
	allowed, err := s.Store.Attempt(r.Context(), staff.HashToken("login "+email), mostLogins, loginWindow, s.Now())
	if err != nil {
		s.fail(w, r, err)
		return
	}
	if !allowed {
		s.show(w, r, http.StatusTooManyRequests, "login", "", s.text(r, "console.slow"), loginPage{Email: email})
		return
	}
	user, err := s.Store.UserByEmail(r.Context(), email)
	if err != nil && !errors.Is(err, staff.ErrNotFound) {
		s.fail(w, r, err)
		return
	}
	hash := nobody
	if err == nil {
		hash = user.PasswordHash
	}
	if !staff.CheckPassword(hash, r.PostForm.Get("password")) {
		s.show(w, r, http.StatusUnauthorized, "login", "", s.text(r, "console.wrong"), loginPage{Email: email})
		return
	}
	s.enter(w, r, user)
}

// enter begins a session, under a token of its own.
func (s *site) enter(w http.ResponseWriter, r *http.Request, user staff.User) {
	token, hash := staff.NewToken()
	if err := s.Store.StartSession(r.Context(), user.ID, hash, s.Now()); err != nil {
		s.fail(w, r, err)
		return
	}
	s.setCookie(w, cookie, token, staff.SessionLife)
	http.Redirect(w, r, "/", http.StatusSeeOther)
}

func (s *site) logout(w http.ResponseWriter, r *http.Request) {
	if c, err := r.Cookie(cookie); err == nil {
		if err := s.Store.EndSession(r.Context(), staff.HashToken(c.Value)); err != nil {
			s.fail(w, r, err)
			return
		}
	}
	s.setCookie(w, cookie, "", -1)
	http.Redirect(w, r, "/login", http.StatusSeeOther)
}

// setup lets who is invited choose a password.
func (s *site) setup(w http.ResponseWriter, r *http.Request) {
	email, _, err := s.Store.Invitation(r.Context(), staff.HashToken(r.PathValue("token")), s.Now())
	switch {
	case errors.Is(err, staff.ErrNotFound):
		s.web.Error(w, r, http.StatusNotFound, "gone")
	case err != nil:
		s.fail(w, r, err)
	default:
		s.show(w, r, http.StatusOK, "setup", "", "", loginPage{Email: email, Invited: email != ""})
	}
}

func (s *site) doSetup(w http.ResponseWriter, r *http.Request) {
	if err := r.ParseForm(); err != nil {
		s.web.Error(w, r, http.StatusBadRequest, "bad")
		return
	}
	hash := staff.HashToken(r.PathValue("token"))
	invited, _, err := s.Store.Invitation(r.Context(), hash, s.Now())
	if errors.Is(err, staff.ErrNotFound) {
		s.web.Error(w, r, http.StatusNotFound, "gone")
		return
	}
	if err != nil {
		s.fail(w, r, err)
		return
	}
	page := loginPage{Email: r.PostForm.Get("email"), Invited: invited != ""}
	address, err := contact.ParseAddress(page.Email)
	var password string
	if err == nil {
		password, err = staff.HashPassword(r.PostForm.Get("password"))
	}
	if err != nil {
		s.show(w, r, http.StatusBadRequest, "setup", "", err.Error(), page)
		return
	}
	user := staff.User{Email: string(address), PasswordHash: password, Language: s.lang(r)}
	err = s.Store.AcceptInvitation(r.Context(), hash, user, s.Now())
	if err == nil {
		user, err = s.Store.UserByEmail(r.Context(), user.Email)
	}
	switch {
	case errors.Is(err, staff.ErrNotFound):
		s.web.Error(w, r, http.StatusNotFound, "gone")
	case err != nil:
		s.fail(w, r, err)
	default:
		s.enter(w, r, user)
	}
}

// language switches the language, for the user or, before login, the browser.
func (s *site) language(w http.ResponseWriter, r *http.Request) {
	lang := s.Templates.Match(r.PostFormValue("lang"))
	if user := userOf(r); user.ID != 0 {
		if err := s.Store.SetUserLanguage(r.Context(), user.ID, lang); err != nil {
			s.fail(w, r, err)
			return
		}
	}
	s.setCookie(w, "jatak_language", lang, 365*24*time.Hour)
	back := "/"
	if from, err := url.Parse(r.Referer()); err == nil && strings.HasPrefix(from.Path, "/") && !strings.HasPrefix(from.Path, "//") {
		back = from.Path
	}
	http.Redirect(w, r, back, http.StatusSeeOther)
}

func (s *site) health(w http.ResponseWriter, r *http.Request) {
	if err := s.Store.Ping(r.Context()); err != nil {
		http.Error(w, "the database does not answer", http.StatusServiceUnavailable)
		return
	}
	_, _ = io.WriteString(w, "ok\n")
}

// settingsRow is a line of the settings page.
type settingsRow struct {
	Name  gating.Setting
	Value string
	May   bool
}

func (s *site) settings(w http.ResponseWriter, r *http.Request) {
	s.showSettings(w, r, http.StatusOK, "")
}

func (s *site) showSettings(w http.ResponseWriter, r *http.Request, status int, problem string) {
	var rows []settingsRow
	for _, setting := range s.Settings {
		value, err := s.Store.Setting(r.Context(), setting.Name)
		if err != nil {
			s.fail(w, r, err)
			return
		}
		rows = append(rows, settingsRow{setting.Name, value, userOf(r).Role.May(staff.Administrator)})
	}
	s.show(w, r, status, "settings", "settings", problem, rows)
}

func (s *site) set(w http.ResponseWriter, r *http.Request) {
	name, value := gating.Setting(r.PostFormValue("name")), strings.TrimSpace(r.PostFormValue("value"))
	if err := s.Store.Set(r.Context(), name, value, actor(r), s.Now()); err != nil {
		// What is wrong with the value is told in a sentence.
		s.showSettings(w, r, http.StatusBadRequest, err.Error())
		return
	}
	http.Redirect(w, r, "/settings?done=saved", http.StatusSeeOther)
}
