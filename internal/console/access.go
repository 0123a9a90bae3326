package console

import (
	"context"
	"errors"
	"math"
	"net/http"
	"strings"
	"time"

	"github.com/jatak-mail/jatak/internal/contact"
	"github.com/jatak-mail/jatak/internal/staff"
	"github.com/jatak-mail/jatak/internal/web"
)

// accessStore is what getting in needs.
type accessStore interface {
	HasStaff(ctx context.Context) (bool, error)
	Invitation(ctx context.Context, hash []byte, now time.Time) (email string, role staff.Role, err error)
	AcceptInvitation(ctx context.Context, hash []byte, u staff.User, now time.Time) error
	UserByEmail(ctx context.Context, email string) (staff.User, error)
	UserBySession(ctx context.Context, hash []byte, now time.Time) (staff.User, error)
	StartSession(ctx context.Context, user int64, hash []byte, agent string, now time.Time) error
	EndSession(ctx context.Context, hash []byte) error
	SetUserLanguage(ctx context.Context, user int64, language string) error
	// Attempt counts an attempt, or returns how long to wait when there were as many
	// as there may be.
	Attempt(ctx context.Context, key []byte, most int, window time.Duration, now time.Time) (wait time.Duration, err error)
}

func (s *site) accessRoutes() []route {
	return []route{
		{pattern: "GET /login", handle: s.login},
		{pattern: "POST /login", handle: s.doLogin},
		{pattern: "POST /logout", role: staff.Viewer, handle: s.logout},
		{pattern: "GET /setup/{token}", handle: s.setup},
		{pattern: "POST /setup/{token}", handle: s.doSetup},
		{pattern: "POST /language", handle: s.language},
		{pattern: "GET /static/{name}", handle: web.Static(s.Templates).ServeHTTP},
		{pattern: "GET /healthz", handle: s.health},
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
	Nobody  bool // there are no users yet
	Least   int  // characters of a password
}

func (s *site) login(w http.ResponseWriter, r *http.Request) {
	s.showLogin(w, r, http.StatusOK, "", "")
}

func (s *site) showLogin(w http.ResponseWriter, r *http.Request, status int, problem, email string) {
	has, err := s.Store.HasStaff(r.Context())
	if err != nil {
		s.fail(w, r, err)
		return
	}
	s.show(w, r, status, "login", "", problem, loginPage{Email: email, Nobody: !has})
}

// Bounds of guessing at a password.
const (
	mostLogins        = 10  // of one address
	mostNetworkLogins = 100 // of one network, for all addresses together
	loginWindow       = 15 * time.Minute
)

// mayTry counts an attempt to log in, of an address and of a network, or returns
// how long to wait.
func (s *site) mayTry(r *http.Request, email string) (wait time.Duration, err error) {
	network := web.ClientNetwork(r, s.TrustedProxies).String()
	wait, err = s.Store.Attempt(r.Context(), staff.HashToken("login network "+network), mostNetworkLogins, loginWindow, s.Now())
	if err != nil || wait > 0 {
		return wait, err
	}
	return s.Store.Attempt(r.Context(), staff.HashToken("login "+email), mostLogins, loginWindow, s.Now())
}

// slow says how long to wait before trying again.
func (s *site) slow(r *http.Request, wait time.Duration) string {
	return s.Templates.CountText(s.lang(r), "console.slow", int64(math.Ceil(wait.Minutes())))
}

// nobody is a hash that no password has: an unknown address takes as long.
const nobody = ""

func (s *site) doLogin(w http.ResponseWriter, r *http.Request) {
	if err := r.ParseForm(); err != nil {
		s.message(w, r, http.StatusBadRequest, "console.bad")
		return
	}
	email := strings.ToLower(strings.TrimSpace(r.PostForm.Get("email")))
	wait, err := s.mayTry(r, email)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	if wait > 0 {
		s.showLogin(w, r, http.StatusTooManyRequests, s.slow(r, wait), email)
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
		s.showLogin(w, r, http.StatusUnauthorized, s.text(r, "console.wrong"), email)
		return
	}
	s.enter(w, r, user, ownPath(r.URL.Query().Get("next")))
}

// enter begins a session, under a token of its own, and leads to a page.
func (s *site) enter(w http.ResponseWriter, r *http.Request, user staff.User, page string) {
	token, hash := staff.NewToken()
	agent := strings.ToValidUTF8(strings.ReplaceAll(r.UserAgent(), "\x00", ""), "")
	agent = strings.ToValidUTF8(agent[:min(len(agent), staff.MostAgent)], "")
	if err := s.Store.StartSession(r.Context(), user.ID, hash, agent, s.Now()); err != nil {
		s.fail(w, r, err)
		return
	}
	s.setCookie(w, cookie, token, staff.SessionLife)
	s.forgetSearch(w)
	http.Redirect(w, r, page, http.StatusSeeOther)
}

func (s *site) logout(w http.ResponseWriter, r *http.Request) {
	if c, err := r.Cookie(cookie); err == nil {
		if err := s.Store.EndSession(r.Context(), staff.HashToken(c.Value)); err != nil {
			s.fail(w, r, err)
			return
		}
	}
	s.setCookie(w, cookie, "", -1)
	s.forgetSearch(w)
	http.Redirect(w, r, "/login", http.StatusSeeOther)
}

// setup lets who is invited choose a password.
func (s *site) setup(w http.ResponseWriter, r *http.Request) {
	email, _, err := s.Store.Invitation(r.Context(), staff.HashToken(r.PathValue("token")), s.Now())
	switch {
	case errors.Is(err, staff.ErrNotFound):
		s.ended(w, r)
	case err != nil:
		s.fail(w, r, err)
	default:
		s.show(w, r, http.StatusOK, "setup", "", "", loginPage{Email: email, Invited: email != "", Least: staff.LeastPassword})
	}
}

// ended answers that a set-up link works no more, and how to get another.
func (s *site) ended(w http.ResponseWriter, r *http.Request) {
	has, err := s.Store.HasStaff(r.Context())
	switch {
	case err != nil:
		s.fail(w, r, err)
	case has:
		s.message(w, r, http.StatusNotFound, "console.setup.ended")
	default:
		s.message(w, r, http.StatusNotFound, "console.setup.nobody")
	}
}

func (s *site) doSetup(w http.ResponseWriter, r *http.Request) {
	if err := r.ParseForm(); err != nil {
		s.message(w, r, http.StatusBadRequest, "console.bad")
		return
	}
	hash := staff.HashToken(r.PathValue("token"))
	invited, _, err := s.Store.Invitation(r.Context(), hash, s.Now())
	if errors.Is(err, staff.ErrNotFound) {
		s.ended(w, r)
		return
	}
	if err != nil {
		s.fail(w, r, err)
		return
	}
	page := loginPage{Email: r.PostForm.Get("email"), Invited: invited != "", Least: staff.LeastPassword}
	address, err := contact.ParseAddress(page.Email)
	if err != nil {
		s.show(w, r, http.StatusBadRequest, "setup", "", s.text(r, "console.users.email.wrong"), page)
		return
	}
	password, err := staff.HashPassword(r.PostForm.Get("password"))
	if err != nil {
		s.show(w, r, http.StatusBadRequest, "setup", "", s.text(r, "console.account.short", staff.LeastPassword, staff.MostPassword), page)
		return
	}
	user := staff.User{Email: string(address), PasswordHash: password, Language: s.lang(r), TimeZone: s.newZone(r)}
	err = s.Store.AcceptInvitation(r.Context(), hash, user, s.Now())
	if err == nil {
		user, err = s.Store.UserByEmail(r.Context(), user.Email)
	}
	switch {
	case errors.Is(err, staff.ErrLastAdministrator):
		s.show(w, r, http.StatusConflict, "setup", "", s.text(r, "console.users.last"), page)
	case errors.Is(err, staff.ErrNotFound):
		s.ended(w, r)
	case err != nil:
		s.fail(w, r, err)
	default:
		s.enter(w, r, user, "/")
	}
}

// newZone is the time zone of a new user's browser; "" when that is the
// installation's, or none.
func (s *site) newZone(r *http.Request) string {
	name := r.PostForm.Get("zone")
	ours, err := s.zone(r.Context(), staff.User{})
	if err != nil || !contact.IsZone(name) || name == ours.String() {
		return ""
	}
	return name
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
	http.Redirect(w, r, ownPath(r.PostFormValue("back")), http.StatusSeeOther)
}
