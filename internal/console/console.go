// Package console is the staff's site: campaigns with their books as they
// change, the gate report, people with the verdict about each and its proof, and
// the settings. It decides nothing: it shows and does what the packages below
// it can.
package console

import (
	"cmp"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"slices"
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

// route is a Route with who answers. A body is bounded to that of web, unless
// the route says more.
type route struct {
	pattern string
	role    staff.Role
	handle  http.HandlerFunc
	body    int64
}

// mostBody is the largest body that a route may ask for.
const mostBody = 512 << 20

// routes is the whole site: the sections' tables one after the other.
func (s *site) routes() []route {
	return slices.Concat(s.accessRoutes(), s.campaignRoutes(), s.contactRoutes(), s.audienceRoutes(), s.listRoutes(), s.settingRoutes())
}

// Routes lists all pages and actions.
func Routes() (list []Route) {
	for _, r := range (&site{}).routes() {
		list = append(list, Route{r.pattern, r.role})
	}
	return list
}

// New returns the site.
func New(o Options) (http.Handler, error) {
	s := &site{Options: o, web: web.Site{Words: o.Templates, Log: o.Log, Scripts: true, MaxBody: mostBody}}
	mux := http.NewServeMux()
	for _, r := range s.routes() {
		mux.Handle(r.pattern, s.guarded(r))
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) { s.web.Error(w, r, http.StatusNotFound, "gone") })
	// Requests that change something come from our own pages only.
	return s.web.Secure(http.NewCrossOriginProtection().Handler(mux)), nil
}

// userKey and zoneKey are where a request's user and their time zone are kept.
type (
	userKey struct{}
	zoneKey struct{}
)

func userOf(r *http.Request) staff.User {
	u, _ := r.Context().Value(userKey{}).(staff.User)
	return u
}

// actor names the user for the histories.
func actor(r *http.Request) string { return "user:" + userOf(r).Email }

const cookie = "jatak_session"

// guarded lets through who is logged in and has the role.
func (s *site) guarded(to route) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Body = http.MaxBytesReader(w, r.Body, cmp.Or(to.body, web.MaxBody))
		user, err := s.user(r)
		switch {
		case err == nil:
			zone, err := s.zone(r.Context())
			if err != nil {
				s.fail(w, r, err)
				return
			}
			r = r.WithContext(context.WithValue(context.WithValue(r.Context(), userKey{}, user), zoneKey{}, zone))
		case !errors.Is(err, staff.ErrNotFound):
			s.fail(w, r, err)
			return
		}
		switch {
		case to.role == "":
		case user.ID == 0:
			s.redirect(w, r, "/login")
			return
		case !user.Role.May(to.role):
			s.web.Error(w, r, http.StatusForbidden, "console.forbidden")
			return
		}
		to.handle(w, r)
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

// number writes a count, and when a time, as the reader's language does. Pages
// can do so themselves: .Number and .Time.
func (s *site) number(r *http.Request, n int64) string { return templates.Number(s.lang(r), n) }

func (s *site) when(r *http.Request, t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return templates.Time(s.lang(r), t.In(zoneOf(r)))
}

// page is the frame of a page: who reads it, in which language and time zone.
func (s *site) page(r *http.Request, nav, problem string, values any) templates.ConsolePage {
	user := userOf(r)
	p := templates.ConsolePage{Language: s.lang(r), User: user.Email, Nav: nav, Problem: problem, Values: values, Zone: zoneOf(r)}
	for _, role := range staff.Roles() {
		if user.Role.May(role) {
			p.May = append(p.May, string(role))
		}
	}
	// The key of what was done is a word in the address; one that nobody wrote
	// says nothing.
	if done := "console.done." + r.URL.Query().Get("done"); s.Templates.Text(p.Language, done) != done {
		p.Done = done
	}
	return p
}

// zoneOf is the time zone that the user is told times in.
func zoneOf(r *http.Request) *time.Location {
	if zone, ok := r.Context().Value(zoneKey{}).(*time.Location); ok {
		return zone
	}
	return time.UTC
}

// zone reads it: the installation's.
func (s *site) zone(ctx context.Context) (*time.Location, error) {
	name, err := s.Store.Setting(ctx, contact.SettingTimeZone)
	if err != nil {
		return nil, err
	}
	return time.LoadLocation(name)
}

// show renders a page; problem is a sentence, or "".
func (s *site) show(w http.ResponseWriter, r *http.Request, status int, name, nav, problem string, values any) {
	p := s.page(r, nav, problem, values)
	if err := web.Render(w, status, p.Language, func(to io.Writer) error { return s.Templates.Console(to, name, p) }); err != nil {
		s.fail(w, r, err)
	}
}

// fragment renders a part of a page, which its file defines.
func (s *site) fragment(w http.ResponseWriter, r *http.Request, status int, name, part string, values any) {
	p := s.page(r, "", "", values)
	if err := web.Render(w, status, p.Language, func(to io.Writer) error { return s.Templates.ConsoleFragment(to, name, part, p) }); err != nil {
		s.fail(w, r, err)
	}
}

// partial reports whether htmx asks, and puts what it gets in the place of a part
// of the page. Without JavaScript the whole page is asked for.
func partial(r *http.Request) bool { return r.Header.Get("HX-Request") == "true" }

// redirect leads to another page, also when htmx asks.
func (s *site) redirect(w http.ResponseWriter, r *http.Request, path string) {
	if partial(r) {
		w.Header().Set("HX-Redirect", path)
		w.WriteHeader(http.StatusNoContent)
		return
	}
	http.Redirect(w, r, path, http.StatusSeeOther)
}

func (s *site) health(w http.ResponseWriter, r *http.Request) {
	if err := s.Store.Ping(r.Context()); err != nil {
		http.Error(w, "the database does not answer", http.StatusServiceUnavailable)
		return
	}
	_, _ = io.WriteString(w, "ok\n")
}
