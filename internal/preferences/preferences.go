// Package preferences is the recipients' site: the page behind "Manage
// subscriptions", and the one-click unsubscribe of mail clients (RFC 8058). It
// needs no login, no cookie and no script: the link is the credential. What a
// contact may change is ruled by contact.
//
// GET, HEAD and OPTIONS change nothing, ever: mail scanners open links.
package preferences

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jatak-mail/jatak/gating"
	"github.com/jatak-mail/jatak/internal/contact"
	"github.com/jatak-mail/jatak/internal/managelink"
	"github.com/jatak-mail/jatak/internal/pace"
	"github.com/jatak-mail/jatak/internal/web"
	"github.com/jatak-mail/jatak/templates"
)

// Options is what the site needs; all but the last are required.
type Options struct {
	Store   Store
	Keyring *managelink.Keyring
	// Templates returns the texts and pages of this moment: the tenant may change
	// their look. The set is the same until they change.
	Templates func(context.Context) *templates.Set
	Now       func() time.Time
	Log       *slog.Logger
	PublicURL string // where the site is reached, without a slash at the end
	// TrustedProxies may say whom they speak for. Optional.
	TrustedProxies []netip.Prefix
	// Limiter keeps pages from being asked for too often. Optional.
	Limiter *pace.Limiter
}

type site struct {
	Options
	Templates *templates.Set
	web       web.Site
	senders   *senderNames
}

// senderNames remembers whose mail a campaign was: it is frozen at launch.
type senderNames struct {
	mu    sync.Mutex
	names map[int64]string
}

// mostSenders bounds the memory of senderNames.
const mostSenders = 1000

// New returns the site.
func New(o Options) (http.Handler, error) {
	public, err := url.Parse(o.PublicURL)
	if err != nil {
		return nil, err
	}
	type look struct {
		of   *templates.Set
		site http.Handler
	}
	var current atomic.Pointer[look]
	senders := &senderNames{}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		set := o.Templates(r.Context())
		now := current.Load()
		if now == nil || now.of != set {
			s := &site{Options: o, Templates: set, web: web.Site{Words: set, Log: o.Log, Base: public.Path}, senders: senders}
			now = &look{set, s.handler()}
			current.Store(now)
		}
		now.site.ServeHTTP(w, r)
	}), nil
}

// handler returns the site in one look.
func (s *site) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /m/{token}", s.limited(s.manage))     // the recipient; changes nothing
	mux.HandleFunc("POST /m/{token}", s.choose)               // the recipient; idempotent
	mux.HandleFunc("GET /u/{token}", s.limited(s.ask))        // the recipient, or a mail scanner; changes nothing
	mux.HandleFunc("POST /u/{token}", s.unsubscribe)          // a mail client or the recipient; idempotent
	mux.HandleFunc("GET /sign-up", s.limited(s.signUpForm))   // anybody; changes nothing
	mux.HandleFunc("POST /sign-up", s.limited(s.signUp))      // anybody, also from other sites' forms; limited
	mux.HandleFunc("GET /link", s.limited(s.linkForm))        // anybody; changes nothing
	mux.HandleFunc("POST /link", s.limited(s.mailLink))       // anybody; limited
	mux.HandleFunc("GET /c/{token}", s.limited(s.askConfirm)) // the recipient, or a mail scanner; changes nothing
	mux.HandleFunc("POST /c/{token}", s.limited(s.confirm))   // the recipient; idempotent
	mux.Handle("GET /static/{name}", web.Static(s.Templates))
	mux.HandleFunc("GET /robots.txt", robots)
	mux.HandleFunc("GET /healthz", s.health) // the operator's load balancer
	mux.HandleFunc("GET /{$}", s.home)
	// There is no check of the request's origin: who does not know the link
	// cannot forge a request, and a withdrawal must work in every browser.
	return s.web.Secure(http.StripPrefix(s.web.Base, s.orNotFound(mux)))
}

// orNotFound answers what has no route with a page that says what to do.
func (s *site) orNotFound(mux *http.ServeMux) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h, pattern := mux.Handler(r)
		if pattern != "" {
			mux.ServeHTTP(w, r)
			return
		}
		// The mux knows whether the path or the method is wrong.
		answer := &discard{header: http.Header{}}
		h.ServeHTTP(answer, r)
		if answer.status != http.StatusMethodNotAllowed {
			s.gone(w, r)
			return
		}
		w.Header().Set("Allow", answer.header.Get("Allow"))
		if r.Method == http.MethodOptions {
			w.WriteHeader(http.StatusNoContent)
			return
		}
		s.web.Error(w, r, http.StatusMethodNotAllowed, "bad")
	})
}

// discard takes an answer that nobody is to see.
type discard struct {
	header http.Header
	status int
}

func (d *discard) Header() http.Header         { return d.header }
func (d *discard) Write(b []byte) (int, error) { return len(b), nil }
func (d *discard) WriteHeader(status int)      { d.status = status }

// visit is a request with a link that opens and a contact that is there.
type visit struct {
	link    managelink.Link
	profile contact.Profile
	lang    string
}

// open opens the link of a request. When it cannot, it answers, the same for
// a forged link as for a contact that was erased, and returns false.
func (s *site) open(w http.ResponseWriter, r *http.Request, kind managelink.Kind) (v visit, ok bool) {
	var err error
	v.link, err = s.Keyring.Open(r.PathValue("token"), s.Now())
	if err == nil && v.link.Kind == kind {
		v.profile, err = s.Store.Profile(r.Context(), contact.ID(v.link.Contact))
	} else {
		err = contact.ErrNotFound
	}
	switch {
	case errors.Is(err, contact.ErrNotFound):
		s.gone(w, r)
		return v, false
	case err != nil:
		s.fail(w, r, err)
		return v, false
	}
	v.lang = s.Templates.Match(r.FormValue("lang"), v.profile.Language, r.Header.Get("Accept-Language"))
	return v, true
}

func (s *site) gone(w http.ResponseWriter, r *http.Request) {
	if !s.allow(w, r, s.networkBuckets(r, "w", wrongRate, wrongBurst)) {
		return
	}
	s.web.Error(w, r, http.StatusNotFound, "gone")
}

func (s *site) fail(w http.ResponseWriter, r *http.Request, err error) {
	if r.Context().Err() != nil {
		return // the reader has gone
	}
	s.Log.Error("a page could not be served", "pattern", r.Pattern, "error", err)
	w.Header().Set("Retry-After", "60")
	s.web.Error(w, r, http.StatusServiceUnavailable, "error")
}

// sender returns whose mails these are; the page does without when it must.
func (s *site) sender(ctx context.Context, campaign int64) string {
	s.senders.mu.Lock()
	name := s.senders.names[campaign]
	s.senders.mu.Unlock()
	if name != "" {
		return name
	}
	name, err := s.Store.SenderName(ctx, campaign)
	if err != nil {
		s.Log.Warn("the sender's name could not be read", "error", err)
	}
	if name != "" {
		s.senders.mu.Lock()
		defer s.senders.mu.Unlock()
		if len(s.senders.names) >= mostSenders || s.senders.names == nil {
			s.senders.names = map[int64]string{}
		}
		s.senders.names[campaign] = name
	}
	return name
}

// canMail reports whether the tenant has said who our own mails are from.
func (s *site) canMail(ctx context.Context) bool {
	rules, err := s.Store.Rules(ctx)
	if err != nil {
		s.Log.Warn("the rules could not be read", "error", err)
	}
	return err == nil && rules.SenderAddress != ""
}

func (s *site) frame(v visit) templates.Frame {
	return templates.Frame{Language: v.lang, Base: s.web.Base, Switch: true}
}

func (s *site) render(w http.ResponseWriter, r *http.Request, v visit, page func(io.Writer) error) {
	if err := web.Render(w, http.StatusOK, v.lang, page); err != nil {
		s.fail(w, r, err)
	}
}

func (s *site) manage(w http.ResponseWriter, r *http.Request) {
	v, ok := s.open(w, r, managelink.Manage)
	if !ok {
		return
	}
	p := templates.ManagePage{
		Frame: s.frame(v), Sender: s.sender(r.Context(), v.link.Campaign), Address: v.profile.Address.Masked(),
		State: state(v.profile.Emarketing), Expired: v.link.Expired,
	}
	basis := v.profile.Emarketing.Basis
	p.Renew = basis.Granted() && basis != gating.BasisConsent && !v.link.Expired
	switch done := r.URL.Query().Get("done"); done {
	case "saved", "stopped", "started", "link":
		p.Done = done
		p.Undo = done == "stopped" && !v.link.Expired && p.State == templates.EmarketingOff
	}
	if p.Expired {
		p.CanMail = s.canMail(r.Context())
	}
	for _, t := range v.profile.Types {
		p.Types = append(p.Types, templates.TypeChoice{
			ID: int64(t.ID), Name: t.Name(v.lang), In: t.Preference != gating.PreferenceOut,
		})
	}
	s.render(w, r, v, func(to io.Writer) error { return s.Templates.Manage(to, p) })
}

func state(c gating.Consent) templates.EmarketingState {
	switch {
	case c.Basis == gating.BasisWithdrawn:
		return templates.EmarketingOff
	case c.Basis == gating.BasisNone:
		return templates.EmarketingUnset
	}
	return templates.EmarketingOn
}

// choose keeps what the form says, and leads back to the page, so that a
// reload asks nothing and repeats nothing.
func (s *site) choose(w http.ResponseWriter, r *http.Request) {
	if err := r.ParseForm(); err != nil {
		s.web.Error(w, r, formStatus(err), "bad")
		return
	}
	if r.PostForm.Get("action") != "stop" && !s.mayAsk(w, r) {
		return
	}
	v, ok := s.open(w, r, managelink.Manage)
	if !ok {
		return
	}
	if v.link.Expired && r.PostForm.Get("action") == "link" && s.canMail(r.Context()) {
		if err := s.Store.RequestLink(r.Context(), v.profile.Contact, v.lang, s.Now()); err != nil {
			s.fail(w, r, err)
			return
		}
		s.seeManage(w, r, v, "link")
		return
	}
	c, done := s.choices(v, r.PostForm)
	if done == "" {
		s.web.Error(w, r, http.StatusBadRequest, "bad")
		return
	}
	if _, err := s.Store.Choose(r.Context(), c); err != nil {
		if errors.Is(err, contact.ErrNotFound) {
			s.gone(w, r)
			return
		}
		s.fail(w, r, err)
		return
	}
	s.seeManage(w, r, v, done)
}

// seeManage leads back to the page, which says what was done.
func (s *site) seeManage(w http.ResponseWriter, r *http.Request, v visit, done string) {
	query := url.Values{"done": {done}}
	if lang := r.PostForm.Get("lang"); lang != "" {
		query.Set("lang", v.lang)
	}
	w.Header().Set("Location", s.web.Base+"/m/"+r.PathValue("token")+"?"+query.Encode())
	w.WriteHeader(http.StatusSeeOther)
}

func formStatus(err error) int {
	var large *http.MaxBytesError
	if errors.As(err, &large) {
		return http.StatusRequestEntityTooLarge
	}
	return http.StatusBadRequest
}

// choices reads the form. done is what was done, in the words of the page, or
// "" when the form asks for nothing that the link may do.
func (s *site) choices(v visit, form url.Values) (c contact.Choices, done string) {
	c = contact.Choices{
		Contact: v.profile.Contact, Campaign: v.link.Campaign, Source: gating.SourceManagePage,
		Locale: v.lang, At: s.Now(),
	}
	action := form.Get("action")
	if v.link.Expired && action != "stop" {
		return c, ""
	}
	switch action {
	case "stop":
		off := false
		c.Emarketing, c.Wording = &off, s.Templates.Text(v.lang, "manage.stop")
		return c, "stopped"
	case "start", "undo", "renew":
		on := true
		c.Emarketing, c.Wording = &on, s.Templates.Text(v.lang, "manage."+action)
		return c, "started"
	case "save":
		c.Wording = s.Templates.Text(v.lang, "manage.types")
		c.Types = chosenTypes(v.profile.Types, form)
		return c, "saved"
	}
	return c, ""
}

// chosenTypes reads the boxes of the types that the page showed; a type that
// came since is not chosen.
func chosenTypes(known []contact.TypeChoice, form url.Values) map[gating.TypeID]gating.Preference {
	chosen := map[gating.TypeID]gating.Preference{}
	ids := func(name string) map[gating.TypeID]bool {
		set := map[gating.TypeID]bool{}
		for _, value := range form[name] {
			if id, err := strconv.ParseInt(value, 10, 64); err == nil {
				set[gating.TypeID(id)] = true
			}
		}
		return set
	}
	shown, in := ids("shown"), ids("type")
	for _, t := range known {
		switch {
		case in[t.ID]:
			chosen[t.ID] = gating.PreferenceIn
		case shown[t.ID]:
			chosen[t.ID] = gating.PreferenceOut
		}
	}
	return chosen
}

// ask shows the button that unsubscribes.
func (s *site) ask(w http.ResponseWriter, r *http.Request) {
	if v, ok := s.open(w, r, managelink.Withdraw); ok {
		s.showUnsubscribe(w, r, v, false)
	}
}

// unsubscribe withdraws: from the campaign's type, or from all e-marketing.
// RFC 8058 section 3.1: the body may be urlencoded or multipart, there is no
// cookie, and there is no redirect. Whatever the body says, somebody has asked
// not to be mailed.
func (s *site) unsubscribe(w http.ResponseWriter, r *http.Request) {
	formErr := r.ParseMultipartForm(web.MaxBody)
	if errors.Is(formErr, http.ErrNotMultipart) {
		formErr = nil
	}
	if r.PostFormValue("action") == "unsubscribe" { // our own button
		s.unsubscribeByButton(w, r)
		return
	}
	link, err := s.Keyring.Open(r.PathValue("token"), s.Now())
	if err != nil || link.Kind != managelink.Withdraw {
		s.gone(w, r)
		return
	}
	if formErr != nil || r.PostFormValue("List-Unsubscribe") == "" {
		s.Log.Info("a one-click without the words of RFC 8058 was honoured", "campaign", link.Campaign)
	}
	err = s.Store.OptOut(r.Context(), contact.OptOut{
		Contact: contact.ID(link.Contact), Campaign: link.Campaign, Type: gating.TypeID(link.Type), At: s.Now(),
	})
	switch {
	case errors.Is(err, contact.ErrNotFound):
		s.gone(w, r)
	case err != nil:
		s.fail(w, r, err)
	case strings.Contains(r.Header.Get("Accept"), "text/html"): // somebody looks
		if v, ok := s.open(w, r, managelink.Withdraw); ok {
			s.showUnsubscribe(w, r, v, true)
		}
	default: // a mail client, which shows words of its own
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		_, _ = io.WriteString(w, "unsubscribed\n")
	}
}

func (s *site) unsubscribeByButton(w http.ResponseWriter, r *http.Request) {
	v, ok := s.open(w, r, managelink.Withdraw)
	if !ok {
		return
	}
	c := contact.Choices{
		Contact: v.profile.Contact, Campaign: v.link.Campaign, Source: gating.SourceManagePage, Locale: v.lang,
		Wording: s.Templates.Text(v.lang, "unsubscribe.button"), At: s.Now(),
	}
	if _, known := v.typeName(); known {
		c.Types = map[gating.TypeID]gating.Preference{gating.TypeID(v.link.Type): gating.PreferenceOut}
	} else {
		off := false
		c.Emarketing = &off
	}
	if _, err := s.Store.Choose(r.Context(), c); err != nil {
		if errors.Is(err, contact.ErrNotFound) {
			s.gone(w, r)
			return
		}
		s.fail(w, r, err)
		return
	}
	s.showUnsubscribe(w, r, v, true)
}

// typeName returns the link's subscription type. A type that has been retired
// since is not known: who unsubscribes from it wants no more of such mails, and
// all e-marketing is the only thing left to withdraw from.
func (v visit) typeName() (name string, known bool) {
	for _, t := range v.profile.Types {
		if int64(t.ID) == v.link.Type {
			return t.Name(v.lang), true
		}
	}
	return "", false
}

func (s *site) showUnsubscribe(w http.ResponseWriter, r *http.Request, v visit, done bool) {
	name, _ := v.typeName()
	s.render(w, r, v, func(to io.Writer) error {
		return s.Templates.Unsubscribe(to, templates.UnsubscribePage{
			Frame: s.frame(v), Sender: s.sender(r.Context(), v.link.Campaign), Address: v.profile.Address.Masked(),
			Type: name, Done: done,
		})
	})
}

// home is for those who cut the link off.
func (s *site) home(w http.ResponseWriter, r *http.Request) {
	s.web.Error(w, r, http.StatusOK, "home")
}

func (s *site) health(w http.ResponseWriter, r *http.Request) {
	if err := s.Store.Ping(r.Context()); err != nil {
		s.Log.Warn("not healthy", "error", err)
		http.Error(w, "the database does not answer", http.StatusServiceUnavailable)
		return
	}
	_, _ = io.WriteString(w, "ok\n")
}

// robots keeps search engines away: these pages are nobody's but their owner's.
func robots(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = io.WriteString(w, "User-agent: *\nDisallow: /\n")
}
