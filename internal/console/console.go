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
	"mime"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/jatak-mail/jatak/gating"
	"github.com/jatak-mail/jatak/internal/campaign"
	"github.com/jatak-mail/jatak/internal/contact"
	"github.com/jatak-mail/jatak/internal/senderdomain"
	"github.com/jatak-mail/jatak/internal/staff"
	"github.com/jatak-mail/jatak/internal/web"
	"github.com/jatak-mail/jatak/templates"
)

// Options is what the site needs; all but Secure and Until are required.
type Options struct {
	Store Store
	// Together does in one transaction what is done with the store that is given.
	Together  func(context.Context, func(Store) error) error
	Templates *templates.Set
	Settings  []gating.SettingDefault // those that can be set
	Now       func() time.Time
	Log       *slog.Logger
	Secure    bool // it is reached by https
	// URL is where staff reach it, without a slash at the end, for links.
	URL string
	// TrustedProxies may say whom they speak for. Optional.
	TrustedProxies []netip.Prefix
	Resolver       senderdomain.Resolver
	Upgrades       Upgrader
	// Starters are mails to begin a campaign or template with; there may be none.
	Starters []campaign.Content
	// Patience is how long a page waits for what is found out in the background
	// before it comes without; 0: 150 ms.
	Patience time.Duration
	// Until ends when the site does: what goes on in the background stops. It may
	// be nil: then the program's end is the site's.
	Until context.Context
}

type site struct {
	Options
	web   web.Site
	books *works // of campaigns
	count *works // of people
	gates *works // gate reports: those of a million people take much room
	live  *watches
	lints lints // of templates
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
	return slices.Concat(s.accessRoutes(), s.campaignRoutes(), s.composerRoutes(), s.contactRoutes(), s.audienceRoutes(), s.listRoutes(), s.settingRoutes(), s.vocabularyRoutes(), s.sendingRoutes(),
		s.lookRoutes(), s.lookWordRoutes(), s.startRoutes(), s.userRoutes(), s.accountRoutes(), s.auditRoutes(), s.upgradeRoutes())
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
	if o.Until == nil {
		o.Until = context.Background()
	}
	s := &site{Options: o, web: web.Site{Words: o.Templates, Log: o.Log, Scripts: true, MaxBody: mostBody}}
	s.Patience = cmp.Or(o.Patience, 150*time.Millisecond)
	s.books, s.count, s.gates = newWorks(o.Until, 200), newWorks(o.Until, 100), newWorks(o.Until, 6)
	s.live = newWatches(o.Until, o.Store, o.Now)
	mux := http.NewServeMux()
	for _, r := range s.routes() {
		mux.Handle(r.pattern, s.guarded(r))
	}
	mux.Handle("/", s.guarded(route{handle: s.gone}))
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
			zone, err := s.zone(r.Context(), user)
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
			s.stranger(w, r)
			return
		case !user.Role.May(to.role):
			s.message(w, r, http.StatusForbidden, "console.forbidden")
			return
		}
		if !s.readable(w, r, to.body != 0) {
			return
		}
		to.handle(w, r)
	})
}

// stranger answers who is not logged in: scripts with a status, and people with
// the login, which leads on to the page that was asked for.
func (s *site) stranger(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("X-Autosave") != "" || r.Header.Get("Accept") == "text/event-stream" {
		s.answer(w, http.StatusUnauthorized, saved{})
		return
	}
	path := "/login"
	if next := ownPath(r.URL.RequestURI()); r.Method == http.MethodGet && !partial(r) && next != "/" {
		path += "?" + url.Values{"next": {next}}.Encode()
	}
	s.redirect(w, r, path)
}

// mostPath bounds the address that a login leads on to, in bytes.
const mostPath = 2000

// ownPath returns a page of this site as its address says it, or "/" for what
// would lead elsewhere.
func ownPath(address string) string {
	u, err := url.Parse(address)
	if err != nil || len(address) > mostPath || u.IsAbs() || u.Host != "" || u.User != nil ||
		!strings.HasPrefix(u.Path, "/") || strings.HasPrefix(u.Path, "//") || strings.Contains(u.Path, "\\") {
		return "/"
	}
	return (&url.URL{Path: u.Path, RawQuery: u.RawQuery}).String()
}

// readable parses a form, and answers when it is larger than the route takes or
// holds what is no text. A route with a bound of its own says so itself, beside
// what was written, and alone takes files.
func (s *site) readable(w http.ResponseWriter, r *http.Request, own bool) bool {
	kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	switch {
	case r.Method == http.MethodPost && kind == "multipart/form-data" && !own:
		s.message(w, r, http.StatusUnsupportedMediaType, "console.bad")
		return false
	case r.Method != http.MethodPost || kind != "application/x-www-form-urlencoded":
		return true
	}
	err := r.ParseForm()
	var large *http.MaxBytesError
	switch {
	case own:
		if err != nil {
			r.Form, r.PostForm = nil, nil // whoever parses again meets the error again
		}
		return true
	case errors.As(err, &large):
		s.message(w, r, http.StatusRequestEntityTooLarge, "console.large")
		return false
	case err != nil:
		s.message(w, r, http.StatusBadRequest, "console.bad")
		return false
	}
	for _, values := range r.PostForm {
		if slices.ContainsFunc(values, func(v string) bool { return !utf8.ValidString(v) || strings.ContainsRune(v, 0) }) {
			s.message(w, r, http.StatusBadRequest, "console.bad")
			return false
		}
	}
	return true
}

func (s *site) user(r *http.Request) (staff.User, error) {
	c, err := r.Cookie(cookie)
	if err != nil {
		return staff.User{}, staff.ErrNotFound
	}
	return s.Store.UserBySession(r.Context(), staff.HashToken(c.Value), s.Now())
}

// gone answers that there is no such page.
func (s *site) gone(w http.ResponseWriter, r *http.Request) {
	s.message(w, r, http.StatusNotFound, "console.gone")
}

// message answers with a page that says one thing: the words kind.title and
// kind.text.
func (s *site) message(w http.ResponseWriter, r *http.Request, status int, kind string) {
	s.show(w, r, status, "message", "", "", struct{ Title, Text string }{kind + ".title", kind + ".text"})
}

// broke reports whether something is broken, which is answered: an error that is
// neither nil nor the store's refusal of what was asked for.
func (s *site) broke(w http.ResponseWriter, r *http.Request, err error) bool {
	var refusal staff.Refusal
	if err == nil || errors.As(err, &refusal) {
		return false
	}
	s.fail(w, r, err)
	return true
}

func (s *site) fail(w http.ResponseWriter, r *http.Request, err error) {
	if r.Context().Err() != nil {
		return // the reader has gone
	}
	s.Log.Error("a console page could not be served", "pattern", r.Pattern, "error", err)
	if userOf(r).ID != 0 {
		s.message(w, r, http.StatusServiceUnavailable, "console.error")
		return
	}
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

func (s *site) decimal(r *http.Request, n float64) string {
	return templates.Decimal(s.lang(r), n)
}

func (s *site) when(r *http.Request, t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return templates.Time(s.lang(r), t.In(zoneOf(r)))
}

// page is the frame of a page: who reads it, in which language and time zone.
func (s *site) page(r *http.Request, nav, problem string, values any) templates.ConsolePage {
	user := userOf(r)
	p := templates.ConsolePage{Language: s.lang(r), User: user.Email, Nav: nav, Problem: problem, Values: values, Zone: zoneOf(r), Path: "/"}
	if r.Method == http.MethodGet {
		p.Path = r.URL.Path
		if p.Path == "/login" {
			p.Path = r.URL.RequestURI() // with the page that it leads on to
		}
	}
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

// zone reads it: the user's own, or else the installation's.
func (s *site) zone(ctx context.Context, user staff.User) (*time.Location, error) {
	if zone, err := time.LoadLocation(user.TimeZone); err == nil && user.TimeZone != "" {
		return zone, nil
	}
	name, err := s.Store.Setting(ctx, contact.SettingTimeZone)
	if err != nil {
		return nil, err
	}
	return time.LoadLocation(name)
}

// show renders a page; problem is a sentence, or "".
func (s *site) show(w http.ResponseWriter, r *http.Request, status int, name, nav, problem string, values any) {
	p := s.page(r, nav, problem, values)
	if userOf(r).Role.May(staff.Officer) {
		var err error
		if p.Upgrade, err = s.Store.ToUpgrade(r.Context()); err != nil {
			s.fail(w, r, err)
			return
		}
	}
	if err := web.Render(w, status, p.Language, func(to io.Writer) error { return s.Templates.Console(to, name, p) }); err != nil {
		s.Log.Error("a console page could not be rendered", "page", name, "error", err)
		s.web.Error(w, r, http.StatusInternalServerError, "error")
	}
}

// fragment renders a part of a page, which its file defines.
func (s *site) fragment(w http.ResponseWriter, r *http.Request, status int, name, part string, values any) {
	p := s.page(r, "", "", values)
	if err := web.Render(w, status, p.Language, func(to io.Writer) error { return s.Templates.ConsoleFragment(to, name, part, p) }); err != nil {
		s.Log.Error("a part of a console page could not be rendered", "page", name, "part", part, "error", err)
		s.web.Error(w, r, http.StatusInternalServerError, "error")
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
