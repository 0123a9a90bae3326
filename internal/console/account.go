package console

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/jatak-mail/jatak/internal/contact"
	"github.com/jatak-mail/jatak/internal/staff"
)

func (s *site) accountRoutes() []route {
	return []route{
		{pattern: "GET /account", role: staff.Viewer, handle: s.account},
		{pattern: "POST /account/password", role: staff.Viewer, handle: s.changePassword},
		{pattern: "POST /account/preferences", role: staff.Viewer, handle: s.changePreferences},
		{pattern: "POST /account/sessions", role: staff.Viewer, handle: s.endSessions},
	}
}

type sessionLine struct {
	staff.Session
	Browser string
}

type accountPage struct {
	Email, Default string
	Zones          []zoneGroup // with the user's own, if there is one
	Zone           string
	Language       string
	Role           staff.Role
	Sessions       []sessionLine
	Least          int
}

func (s *site) account(w http.ResponseWriter, r *http.Request) {
	s.showAccount(w, r, http.StatusOK, "")
}

func (s *site) showAccount(w http.ResponseWriter, r *http.Request, status int, problem string) {
	user := userOf(r)
	p := accountPage{Email: user.Email, Role: user.Role, Zone: user.TimeZone, Language: s.lang(r), Least: staff.LeastPassword}
	zone, err := s.zone(r.Context(), staff.User{})
	if err != nil {
		s.fail(w, r, err)
		return
	}
	p.Default, p.Zones = zone.String(), s.zones(r, p.Zone)
	list, err := s.Store.Sessions(r.Context(), user.ID, sessionHash(r), s.Now())
	if err != nil {
		s.fail(w, r, err)
		return
	}
	for _, session := range list {
		p.Sessions = append(p.Sessions, sessionLine{session, s.browserName(r, session.Agent)})
	}
	s.show(w, r, status, "account", "account", problem, p)
}

// sessionHash is what the session of a request is kept by.
func sessionHash(r *http.Request) []byte {
	c, err := r.Cookie(cookie)
	if err != nil {
		return []byte{}
	}
	return staff.HashToken(c.Value)
}

func (s *site) browserName(r *http.Request, agent string) string {
	browser, system := staff.Browser(agent)
	switch {
	case browser != "" && system != "":
		return s.text(r, "console.account.browser", browser, system)
	case browser != "" || system != "":
		return browser + system
	}
	return s.text(r, "console.account.browser.unknown")
}

func (s *site) changePassword(w http.ResponseWriter, r *http.Request) {
	user := userOf(r)
	wait, err := s.mayTry(r, user.Email)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	if wait > 0 {
		s.showAccount(w, r, http.StatusTooManyRequests, s.slow(r, wait))
		return
	}
	kept, err := s.Store.UserByEmail(r.Context(), user.Email)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	if !staff.CheckPassword(kept.PasswordHash, r.PostFormValue("password")) {
		s.showAccount(w, r, http.StatusBadRequest, s.text(r, "console.account.wrong"))
		return
	}
	hash, err := staff.HashPassword(r.PostFormValue("new"))
	if err != nil {
		s.showAccount(w, r, http.StatusBadRequest, s.text(r, "console.account.short", staff.LeastPassword, staff.MostPassword))
		return
	}
	if err := s.Store.ChangePassword(r.Context(), user.ID, hash, sessionHash(r), s.Now()); err != nil {
		s.fail(w, r, err)
		return
	}
	s.redirect(w, r, "/account?done=password")
}

func (s *site) changePreferences(w http.ResponseWriter, r *http.Request) {
	user := userOf(r)
	zone := strings.TrimSpace(r.PostFormValue("zone"))
	if zone != "" && !contact.IsZone(zone) {
		s.showAccount(w, r, http.StatusBadRequest, s.text(r, "setting.time-zone.wrong"))
		return
	}
	lang := s.Templates.Match(r.PostFormValue("lang"))
	err := s.change(r, func(db Store) error {
		if err := db.SetUserZone(r.Context(), user.ID, zone); err != nil {
			return err
		}
		return db.SetUserLanguage(r.Context(), user.ID, lang)
	})
	if err != nil {
		s.fail(w, r, err)
		return
	}
	s.setCookie(w, "jatak_language", lang, 365*24*time.Hour)
	s.redirect(w, r, "/account?done=saved")
}

// endSessions ends one of the user's sessions, or all but this one.
func (s *site) endSessions(w http.ResponseWriter, r *http.Request) {
	id, err := strconv.ParseInt(r.PostFormValue("id"), 10, 64)
	if err != nil || id < 0 {
		s.showAccount(w, r, http.StatusBadRequest, s.text(r, "console.account.gone"))
		return
	}
	err = s.change(r, func(db Store) error { return db.EndSessionOf(r.Context(), userOf(r).ID, id, sessionHash(r)) })
	if err != nil {
		s.fail(w, r, fmt.Errorf("session %d: %w", id, err))
		return
	}
	s.redirect(w, r, "/account?done=session")
}
