package preferences_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/jatak-mail/jatak/gating"
	"github.com/jatak-mail/jatak/internal/brand"
	"github.com/jatak-mail/jatak/internal/campaign"
	"github.com/jatak-mail/jatak/internal/contact"
	"github.com/jatak-mail/jatak/internal/logtest"
	"github.com/jatak-mail/jatak/internal/managelink"
	"github.com/jatak-mail/jatak/internal/pace"
	"github.com/jatak-mail/jatak/internal/postgres"
	"github.com/jatak-mail/jatak/internal/postgres/postgrestest"
	"github.com/jatak-mail/jatak/internal/preferences"
	"github.com/jatak-mail/jatak/internal/queue/queuetest"
	"github.com/jatak-mail/jatak/templates"
)

var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

// The people of the tests.
const (
	anna  contact.ID = iota + 1 // mailed before: legitimate interest; Danish
	bo                          // never asked; no language
	carla                       // "No mailings": withdrawn by an unknown hand
)

// portal is the recipients' site over a real database.
type portal struct {
	t         *testing.T
	db        *postgres.DB
	keys      *managelink.Keyring
	words     *templates.Set
	log       *bytes.Buffer
	handler   http.Handler
	base      string
	publicURL string
	campaign  campaign.ID
	types     map[string]gating.TypeID
}

func newPortal(t *testing.T, publicURL string) *portal {
	t.Helper()
	p := &portal{t: t, log: &bytes.Buffer{}, types: map[string]gating.TypeID{}}
	p.db, _ = postgrestest.New(t)
	var err error
	if p.keys, err = managelink.ParseKeys("k1:5f2c9a7e1b3d4860f7a91c2e8b6d5043"); err != nil {
		t.Fatal(err)
	}
	if p.words, err = templates.New(); err != nil {
		t.Fatal(err)
	}
	p.seed()
	public, err := url.Parse(publicURL)
	if err != nil {
		t.Fatal(err)
	}
	p.base, p.publicURL = public.Path, publicURL
	if err := p.at(noon); err != nil {
		t.Fatal(err)
	}
	return p
}

// look is the look of this moment.
func (p *portal) look(context.Context) *templates.Set { return p.words }

// at sets the clock.
func (p *portal) at(now time.Time) (err error) {
	p.handler, err = preferences.New(preferences.Options{
		Store: p.db, Keyring: p.keys, Templates: p.look, Now: func() time.Time { return now }, PublicURL: p.publicURL,
		Log: slog.New(slog.NewTextHandler(p.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	})
	return err
}

func (p *portal) seed() {
	p.t.Helper()
	ctx := p.t.Context()
	err := p.db.Import(ctx, func(im *postgres.Import) error {
		unknown := func(u contact.Objection) { p.t.Errorf("unknown %v", u) }
		_, err := im.Contacts(ctx, func(yield func(contact.LegacyContact, error) bool) {
			for i, c := range []contact.LegacyContact{
				{Email: "anna@example.org", Language: "da"}, {Email: "bo@example.org"}, {Email: "carla@example.org", NoMailings: true},
			} {
				c.ID, c.Address, c.Digest = fmt.Sprint(i+1), contact.Address(c.Email), p.keys.Digest(c.Email)
				if !yield(c, nil) {
					return
				}
			}
		}, unknown)
		if err != nil {
			return err
		}
		_, err = im.Mailings(ctx, func(yield func(contact.LegacyMailing, error) bool) {
			yield(contact.LegacyMailing{ContactID: "1", Mailing: "m", SentAt: noon.AddDate(-1, 0, 0), Status: "sent"}, nil)
		}, unknown)
		return err
	})
	if err != nil {
		p.t.Fatal(err)
	}
	_, err = p.db.Upgrade(ctx, contact.Upgrade{Now: noon.AddDate(0, -1, 0), Actor: "test", Purpose: gating.PurposeStore, StoreBasis: gating.BasisLegitimateInterest,
		Threshold: 1, Types: contact.DefaultTypes()})
	if err != nil {
		p.t.Fatal(err)
	}
	p.campaign, err = p.db.CreateCampaign(ctx, campaign.Content{
		Name: "c", FromName: "Nordlys & Søn", FromAddress: "news@jatak.example", PostalAddress: "x", DefaultLanguage: "en",
		Variants: map[string]campaign.Variant{"en": {Subject: "s", HTML: "<p>h</p>", Text: "t"}},
	}, noon)
	if err != nil {
		p.t.Fatal(err)
	}
	for _, t := range p.profile(anna).Types {
		p.types[t.Name("en")] = t.ID
	}
}

func (p *portal) profile(id contact.ID) contact.Profile {
	p.t.Helper()
	profile, err := p.db.Profile(p.t.Context(), id)
	if err != nil {
		p.t.Fatal(err)
	}
	return profile
}

// preference returns the contact's choice for a type.
func (p *portal) preference(id contact.ID, name string) gating.Preference {
	p.t.Helper()
	for _, t := range p.profile(id).Types {
		if t.ID == p.types[name] {
			return t.Preference
		}
	}
	p.t.Fatalf("there is no type %s", name)
	return ""
}

func (p *portal) events(id contact.ID) []contact.Event {
	p.t.Helper()
	events, err := p.db.Events(p.t.Context(), id)
	if err != nil {
		p.t.Fatal(err)
	}
	return events
}

func (p *portal) manage(id contact.ID) string {
	return p.base + "/m/" + p.keys.Manage(int64(id), int64(p.campaign), noon.Add(time.Hour))
}

func (p *portal) withdraw(id contact.ID, t gating.TypeID) string {
	return p.base + "/u/" + p.keys.Withdraw(int64(id), int64(p.campaign), int64(t), string(p.profile(id).Address))
}

func (p *portal) do(method, path, contentType, body string, header ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	if contentType != "" {
		r.Header.Set("Content-Type", contentType)
	}
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	p.handler.ServeHTTP(w, r)
	return w
}

func (p *portal) get(path string, header ...string) *httptest.ResponseRecorder {
	return p.do("GET", path, "", "", header...)
}

const formType = "application/x-www-form-urlencoded"

func (p *portal) post(path string, form url.Values) *httptest.ResponseRecorder {
	return p.do("POST", path, formType, form.Encode())
}

func (p *portal) says(lang, key string, args ...any) string { return p.words.Text(lang, key, args...) }

// contains reports each of the words that the page does not say.
func contains(t *testing.T, w *httptest.ResponseRecorder, words ...string) {
	t.Helper()
	for _, word := range words {
		if !strings.Contains(w.Body.String(), templateEscape(word)) {
			t.Errorf("the page (%d) does not say %q:\n%s", w.Code, word, w.Body)
		}
	}
}

var templateEscape = strings.NewReplacer("&", "&amp;", "'", "&#39;", `"`, "&#34;", "<", "&lt;", ">", "&gt;", "+", "&#43;").Replace

func TestLookingChangesNothing(t *testing.T) {
	t.Parallel()
	p := newPortal(t, "https://jatak.example")
	before := map[contact.ID]contact.Profile{}
	events := map[contact.ID]int{}
	for _, id := range []contact.ID{anna, bo, carla} {
		before[id], events[id] = p.profile(id), len(p.events(id))
	}
	for i := range 100 {
		for id := range before {
			for _, path := range []string{p.manage(id), p.withdraw(id, 0), p.withdraw(id, p.types["News"])} {
				method := []string{"GET", "HEAD", "OPTIONS"}[i%3]
				agent := []string{"Mozilla/5.0", "Barracuda Sentinel", "Microsoft Office", ""}[i%4]
				query := []string{"", "?action=stop", "?action=unsubscribe&done=stopped", "?List-Unsubscribe=One-Click"}[i%4]
				if w := p.do(method, path+query, "", "", "User-Agent", agent); w.Code != http.StatusOK && w.Code != http.StatusNoContent {
					t.Fatalf("%s %s answers %d", method, query, w.Code)
				}
			}
		}
	}
	for id := range before {
		if diff := cmp.Diff(before[id], p.profile(id)); diff != "" || len(p.events(id)) != events[id] {
			t.Errorf("looking changed contact %d: %s", id, diff)
		}
	}
}

func TestManagePage(t *testing.T) {
	t.Parallel()
	p := newPortal(t, "https://jatak.example")
	w := p.get(p.manage(anna))
	contains(t, w, `Nordlys & Søn`, "a***@example.org", p.says("da", "manage.title"), "Nyheder", p.says("da", "manage.stop"), p.says("da", "manage.renew"))
	if strings.Contains(w.Body.String(), "anna@") {
		t.Error("the page shows the address to whoever got the mail forwarded")
	}
	for name, want := range map[string]string{
		"Content-Language": "da", "Referrer-Policy": "no-referrer", "X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY",
		"Cache-Control": "no-store", "X-Robots-Tag": "noindex, nofollow", "Content-Type": "text/html; charset=utf-8",
	} {
		if got := w.Header().Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	policy := w.Header().Get("Content-Security-Policy")
	if !strings.Contains(policy, "default-src 'none'") || strings.Contains(policy, "unsafe") || strings.Contains(policy, "script-src") {
		t.Errorf("Content-Security-Policy: %s", policy)
	}
	if w.Header().Get("Set-Cookie") != "" {
		t.Error("the page sets a cookie")
	}
	contains(t, p.get(p.manage(anna)+"?lang=en"), p.says("en", "manage.title"), "Invitations")
	contains(t, p.get(p.manage(bo), "Accept-Language", "da-DK, en;q=0.5"), p.says("da", "manage.unset"), p.says("da", "manage.start"))
	contains(t, p.get(p.manage(carla)), p.says("en", "manage.off"), p.says("en", "manage.start"))
}

func TestSavingTypes(t *testing.T) {
	t.Parallel()
	p := newPortal(t, "https://jatak.example")
	form := url.Values{"action": {"save"}, "lang": {"da"}}
	for _, id := range p.types {
		form.Add("shown", fmt.Sprint(id))
	}
	form.Add("type", fmt.Sprint(p.types["News"]))
	w := p.post(p.manage(anna), form)
	if w.Code != http.StatusSeeOther {
		t.Fatalf("saving answers %d: %s", w.Code, w.Body)
	}
	location := w.Header().Get("Location")
	if location != p.manage(anna)+"?done=saved&lang=da" {
		t.Errorf("it leads to %q", location)
	}
	contains(t, p.get(location), p.says("da", "done.saved"))
	if p.preference(anna, "News") != gating.PreferenceIn || p.preference(anna, "Promotions") != gating.PreferenceOut {
		t.Errorf("kept %q and %q", p.preference(anna, "News"), p.preference(anna, "Promotions"))
	}

	// A type that came after the page was shown is not chosen by it.
	if err := p.db.CreateType(t.Context(), contact.NewType{Key: "events", Names: map[string]string{"en": "Events"}}, "test", noon); err != nil {
		t.Fatal(err)
	}
	p.post(p.manage(anna), form)
	for _, c := range p.profile(anna).Types {
		if c.Name("en") == "Events" && c.Preference != gating.PreferenceUnset {
			t.Errorf("a type that was not shown is %q", c.Preference)
		}
	}
}

func TestStopUndoStartRenew(t *testing.T) {
	t.Parallel()
	p := newPortal(t, "https://jatak.example")
	last := func(id contact.ID) contact.Event {
		events := p.events(id)
		return events[len(events)-1]
	}
	steps := []struct {
		who    contact.ID
		action string
		done   string
		basis  gating.LegalBasis
		words  string
	}{
		{anna, "renew", "started", gating.BasisConsent, "manage.renew"},
		{anna, "stop", "stopped", gating.BasisWithdrawn, "manage.stop"},
		{anna, "undo", "started", gating.BasisConsent, "manage.undo"},
		{bo, "start", "started", gating.BasisConsent, "manage.start"},
		{bo, "stop", "stopped", gating.BasisWithdrawn, "manage.stop"},
		{carla, "start", "started", gating.BasisConsent, "manage.start"}, // "No mailings" is the contact's to lift
	}
	for _, s := range steps {
		before := len(p.events(s.who))
		w := p.post(p.manage(s.who), url.Values{"action": {s.action}, "lang": {"da"}})
		if w.Code != http.StatusSeeOther {
			t.Fatalf("%s answers %d: %s", s.action, w.Code, w.Body)
		}
		contains(t, p.get(w.Header().Get("Location")), p.says("da", "done."+s.done))
		e := last(s.who)
		if e.To != s.basis || e.Source != gating.SourceManagePage || e.Actor != contact.ActorContact || e.Locale != "da" ||
			e.Campaign != int64(p.campaign) || e.Wording != p.says("da", s.words) || !e.At.Equal(noon) {
			t.Errorf("%s by %d wrote %+v", s.action, s.who, e)
		}
		// The same again is the same answer, and no second event.
		if again := p.post(p.manage(s.who), url.Values{"action": {s.action}, "lang": {"da"}}); again.Code != w.Code || len(p.events(s.who)) != before+1 {
			t.Errorf("%s twice: %d, and %d events for one", s.action, again.Code, len(p.events(s.who))-before)
		}
	}
	if n, err := p.db.VerifyLedger(t.Context()); err != nil || n == 0 {
		t.Errorf("the ledger: %d events, %v", n, err)
	}
}

func TestUndoIsOfferedOnlyRightAfterStopping(t *testing.T) {
	t.Parallel()
	p := newPortal(t, "https://jatak.example")
	undo := `value="undo"`
	if w := p.get(p.manage(anna) + "?done=stopped"); strings.Contains(w.Body.String(), undo) {
		t.Error("undo is offered to who has not stopped")
	}
	w := p.post(p.manage(anna), url.Values{"action": {"stop"}})
	if page := p.get(w.Header().Get("Location")); !strings.Contains(page.Body.String(), undo) {
		t.Error("undo is not offered after stopping")
	}
	if page := p.get(p.manage(anna)); strings.Contains(page.Body.String(), undo) {
		t.Error("undo is offered on a later visit")
	}
}

func TestOneClick(t *testing.T) {
	t.Parallel()
	multi := func(name, value string) (contentType, body string) {
		var b bytes.Buffer
		w := multipart.NewWriter(&b)
		_ = w.WriteField(name, value)
		_ = w.Close()
		return w.FormDataContentType(), b.String()
	}
	multipartType, multipartBody := multi("List-Unsubscribe", "One-Click")
	for _, test := range []struct {
		name, contentType, body string
	}{
		{"urlencoded", formType, "List-Unsubscribe=One-Click"},
		{"multipart", multipartType, multipartBody},
		{"empty", "", ""},
		{"another body", "text/plain", "hello"},
		{"broken multipart", "multipart/form-data; boundary=x", "--x\r\nrubbish"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			p := newPortal(t, "https://jatak.example")
			before := len(p.events(anna))

			byType := p.withdraw(anna, p.types["News"])
			for range 2 {
				w := p.do("POST", byType, test.contentType, test.body, "Accept", "text/html")
				if w.Code != http.StatusOK || w.Header().Get("Location") != "" || w.Header().Get("Set-Cookie") != "" {
					t.Fatalf("a type's one-click answers %d, headers %v", w.Code, w.Header())
				}
				contains(t, w, p.says("da", "unsubscribe.done.type", "Nyheder"))
			}
			if p.preference(anna, "News") != gating.PreferenceOut || p.preference(anna, "Promotions") != gating.PreferenceUnset {
				t.Error("the type's one-click does not leave exactly that type")
			}
			if len(p.events(anna)) != before {
				t.Error("the type's one-click withdrew the consent for all e-marketing")
			}

			for range 2 {
				w := p.do("POST", p.withdraw(anna, 0), test.contentType, test.body)
				if w.Code != http.StatusOK {
					t.Fatalf("the one-click of Any answers %d", w.Code)
				}
				if got := w.Body.String(); got != "unsubscribed\n" {
					t.Errorf("a mail client is told %q", got)
				}
			}
			events := p.events(anna)
			if len(events) != before+1 {
				t.Fatalf("%d events for two clicks", len(events)-before)
			}
			if e := events[before]; e.To != gating.BasisWithdrawn || e.Source != gating.SourceOneClick || e.Campaign != int64(p.campaign) ||
				e.Locale != "da" || e.Wording != contact.OneClickWording {
				t.Errorf("the event is %+v", e)
			}
		})
	}
}

func TestOneClickOfARetiredTypeStopsAll(t *testing.T) {
	t.Parallel()
	p := newPortal(t, "https://jatak.example")
	link := p.withdraw(anna, p.types["News"])
	if err := p.db.RetireType(t.Context(), "news", "test", noon); err != nil {
		t.Fatal(err)
	}
	if w := p.post(link, url.Values{"List-Unsubscribe": {"One-Click"}}); w.Code != http.StatusOK {
		t.Fatalf("answers %d", w.Code)
	}
	if basis := p.profile(anna).Emarketing.Basis; basis != gating.BasisWithdrawn {
		t.Errorf("the basis is %q", basis)
	}
}

func TestTheUnsubscribePageAsksWithOneButton(t *testing.T) {
	t.Parallel()
	p := newPortal(t, "https://jatak.example")
	w := p.get(p.withdraw(anna, p.types["News"]))
	contains(t, w, p.says("da", "unsubscribe.ask.type", "Nyheder"))
	if n := strings.Count(w.Body.String(), "<button"); n != 1 {
		t.Errorf("the page has %d buttons", n)
	}
	w = p.post(p.withdraw(anna, 0), url.Values{"action": {"unsubscribe"}, "lang": {"en"}})
	contains(t, w, p.says("en", "unsubscribe.done.all"))
	events := p.events(anna)
	if e := events[len(events)-1]; e.Source != gating.SourceManagePage || e.Wording != p.says("en", "unsubscribe.button") {
		t.Errorf("the button wrote %+v", e)
	}
}

func TestAnExpiredLinkCanOnlyStop(t *testing.T) {
	t.Parallel()
	p := newPortal(t, "https://jatak.example")
	expired := "/m/" + p.keys.Manage(int64(anna), int64(p.campaign), noon.Add(-time.Second))
	page := p.get(expired)
	contains(t, page, p.says("da", "manage.expired"), p.says("da", "manage.stop"))
	if strings.Contains(page.Body.String(), `name="type"`) {
		t.Error("an old link still shows the choices")
	}
	for _, action := range []string{"save", "start", "undo", "renew"} {
		if w := p.post(expired, url.Values{"action": {action}, "shown": {fmt.Sprint(p.types["News"])}}); w.Code != http.StatusBadRequest {
			t.Errorf("%s by an old link answers %d", action, w.Code)
		}
	}
	if p.preference(anna, "News") != gating.PreferenceUnset {
		t.Error("an old link changed a choice")
	}
	if w := p.post(expired, url.Values{"action": {"stop"}}); w.Code != http.StatusSeeOther || p.profile(anna).Emarketing.Basis != gating.BasisWithdrawn {
		t.Errorf("an old link cannot stop: %d", w.Code)
	}
}

// An outsider learns nothing from the answers: a forged link, a broken one, one
// of another kind and that of an erased contact are answered byte for byte the
// same.
func TestStrangersLearnNothing(t *testing.T) {
	t.Parallel()
	p := newPortal(t, "https://jatak.example")
	erasedManage, erasedWithdraw := p.manage(bo), p.withdraw(bo, 0)
	wrongKind := strings.Replace(p.withdraw(anna, 0), "/u/", "/m/", 1)
	if err := p.db.Erase(t.Context(), bo, "test", noon); err != nil {
		t.Fatal(err)
	}
	others, err := managelink.ParseKeys("k1:00112233445566778899aabbccddeeff")
	if err != nil {
		t.Fatal(err)
	}
	forged := "/m/" + others.Manage(int64(anna), 1, noon.Add(time.Hour))
	altered := p.manage(anna)
	altered = altered[:len(altered)-2] + "AA"
	for _, method := range []string{"GET", "POST"} {
		model := p.do(method, "/m/nonsense", formType, "")
		if model.Code != http.StatusNotFound || !strings.Contains(model.Body.String(), p.says("en", "gone.title")) {
			t.Fatalf("%s of nonsense answers %d", method, model.Code)
		}
		for name, path := range map[string]string{
			"an erased contact": erasedManage, "an erased contact's one-click": erasedWithdraw, "the wrong kind": wrongKind,
			"forged": forged, "altered": altered, "over-long": "/m/" + strings.Repeat("A", 4000), "not a path": "/wp-login.php", "deeper": "/m/a/b",
			"no contact": "/m/" + p.keys.Manage(99, 1, noon.Add(time.Hour)), "negative": "/m/" + p.keys.Manage(-1, 1, noon.Add(time.Hour)),
		} {
			w := p.do(method, path, formType, "")
			if w.Code != model.Code || w.Body.String() != model.Body.String() || cmp.Diff(w.Header(), model.Header()) != "" {
				t.Errorf("%s of %s is answered differently: %d\n%s", method, name, w.Code, cmp.Diff(w.Header(), model.Header()))
			}
		}
	}
}

func TestBadRequests(t *testing.T) {
	t.Parallel()
	p := newPortal(t, "https://jatak.example")
	before := len(p.events(anna))
	for _, test := range []struct {
		name, method, path, contentType, body string
		want                                  int
	}{
		{"no action", "POST", p.manage(anna), formType, "", http.StatusBadRequest},
		{"unknown action", "POST", p.manage(anna), formType, "action=delete", http.StatusBadRequest},
		{"broken form", "POST", p.manage(anna), formType, "action=%zz", http.StatusBadRequest},
		{"too large", "POST", p.manage(anna), formType, "action=stop&x=" + strings.Repeat("x", 1<<20), http.StatusRequestEntityTooLarge},
		{"wrong method", "PUT", p.manage(anna), formType, "action=stop", http.StatusMethodNotAllowed},
		{"delete", "DELETE", p.withdraw(anna, 0), "", "", http.StatusMethodNotAllowed},
	} {
		w := p.do(test.method, test.path, test.contentType, test.body)
		if w.Code != test.want {
			t.Errorf("%s answers %d, want %d", test.name, w.Code, test.want)
		}
		if w.Code == http.StatusMethodNotAllowed && !strings.Contains(w.Header().Get("Allow"), "POST") {
			t.Errorf("%s: Allow is %q", test.name, w.Header().Get("Allow"))
		}
		contains(t, w, p.says("en", "bad.text"))
	}
	if len(p.events(anna)) != before {
		t.Error("a bad request changed the consent")
	}
}

func TestAStrangersTypeIsIgnored(t *testing.T) {
	t.Parallel()
	p := newPortal(t, "https://jatak.example")
	w := p.post(p.manage(anna), url.Values{"action": {"save"}, "shown": {"999999", "x", "-1"}, "type": {"999999", "9223372036854775808"}})
	if w.Code != http.StatusSeeOther {
		t.Errorf("answers %d", w.Code)
	}
	for name := range p.types {
		if p.preference(anna, name) != gating.PreferenceUnset {
			t.Errorf("%s was changed", name)
		}
	}
}

func TestUnderAPath(t *testing.T) {
	t.Parallel()
	p := newPortal(t, "https://jatak.example/mails")
	page := p.get(p.manage(anna))
	style := regexp.MustCompile(`href="(/mails/static/[^"]+\.css)"`).FindStringSubmatch(page.Body.String())
	if style == nil {
		t.Fatalf("the page has no style of its own: %s", page.Body)
	}
	if w := p.get(style[1]); w.Code != http.StatusOK || !strings.Contains(w.Header().Get("Cache-Control"), "immutable") {
		t.Errorf("the style answers %d, %v", w.Code, w.Header())
	}
	if w := p.post(p.manage(anna), url.Values{"action": {"stop"}}); !strings.HasPrefix(w.Header().Get("Location"), "/mails/m/") {
		t.Errorf("it leads to %q", w.Header().Get("Location"))
	}
	contains(t, p.get("/mails/nothing"), "/mails/static/")
}

func TestNeverInTheLog(t *testing.T) {
	t.Parallel()
	p := newPortal(t, "https://jatak.example")
	for _, path := range []string{p.manage(anna), p.withdraw(anna, 0)} {
		p.get(path)
		p.post(path, url.Values{"action": {"stop"}})
		if token := path[3:]; strings.Contains(p.log.String(), token) {
			t.Errorf("the log holds a link: %s", p.log)
		}
	}
	if strings.Contains(p.log.String(), "anna@") {
		t.Errorf("the log holds an address: %s", p.log)
	}
}

// What comes at once is kept by few commits: nobody is lost among the others,
// and who is not on file spoils it for nobody.
func TestAWaveOfOneClicks(t *testing.T) {
	t.Parallel()
	p := newPortal(t, "https://jatak.example")
	links := []string{p.withdraw(anna, 0), p.withdraw(bo, p.types["News"]), p.withdraw(carla, 0)}
	answers := []int{http.StatusOK, http.StatusOK, http.StatusNotFound}
	if err := p.db.Erase(t.Context(), carla, "test", noon); err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	for i := range 60 {
		all.Go(func() {
			if w := p.do("POST", links[i%3], "", ""); w.Code != answers[i%3] {
				t.Errorf("request %d answers %d, want %d", i, w.Code, answers[i%3])
			}
		})
	}
	all.Wait()
	if basis := p.profile(anna).Emarketing.Basis; basis != gating.BasisWithdrawn {
		t.Errorf("anna's basis is %q", basis)
	}
	if basis := p.profile(bo).Emarketing.Basis; basis == gating.BasisWithdrawn || p.preference(bo, "News") != gating.PreferenceOut {
		t.Errorf("bo's basis is %q, the type %q", basis, p.preference(bo, "News"))
	}
}

func TestManyClicksAtOnceAreOneWithdrawal(t *testing.T) {
	t.Parallel()
	p := newPortal(t, "https://jatak.example")
	before := len(p.events(anna))
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			if w := p.post(p.withdraw(anna, 0), url.Values{"List-Unsubscribe": {"One-Click"}}); w.Code != http.StatusOK {
				t.Errorf("answers %d", w.Code)
			}
		})
	}
	all.Wait()
	if n := len(p.events(anna)) - before; n != 1 {
		t.Errorf("%d events", n)
	}
}

// away is a database that does not answer.
type away struct{ preferences.Store }

func (away) Profile(context.Context, contact.ID) (contact.Profile, error) {
	return contact.Profile{}, errors.New("the database is away")
}
func (away) OptOut(context.Context, contact.OptOut) error { return errors.New("the database is away") }
func (away) Ping(context.Context) error                   { return errors.New("the database is away") }

func TestADatabaseThatIsAway(t *testing.T) {
	t.Parallel()
	p := newPortal(t, "https://jatak.example")
	handler, err := preferences.New(preferences.Options{Store: away{}, Keyring: p.keys, Templates: p.look, Now: time.Now,
		Log: slog.New(slog.DiscardHandler), PublicURL: "https://jatak.example"})
	if err != nil {
		t.Fatal(err)
	}
	healthy := p.get("/healthz")
	if healthy.Code != http.StatusOK {
		t.Errorf("a healthy site says %d", healthy.Code)
	}
	link := p.withdraw(anna, 0)
	p.handler = handler
	w := p.post(link, url.Values{"List-Unsubscribe": {"One-Click"}})
	if w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") == "" {
		t.Errorf("answers %d, Retry-After %q", w.Code, w.Header().Get("Retry-After"))
	}
	contains(t, w, p.says("en", "error.text"))
	if strings.Contains(w.Body.String(), "database") {
		t.Error("the reader is told of our database")
	}
	if w := p.get("/healthz"); w.Code != http.StatusServiceUnavailable {
		t.Errorf("an unhealthy site says %d", w.Code)
	}
}

// The tenant's look is seen at once, and what it does not say is said in our
// words.
func TestTheTenantsOwnLook(t *testing.T) {
	t.Parallel()
	p := newPortal(t, "https://jatak.example/mail")
	contains(t, p.get(p.manage(anna)), "Administrer abonnementer")
	branded, err := p.words.Branded(brand.Brand{
		Version: 1, Colour: "#c2185b", Logo: []byte(`<svg xmlns="http://www.w3.org/2000/svg"/>`), LogoAlt: `Nordlys & "Søn"`,
		Words: map[string]map[string]string{"da": {"manage.title": "Dine mails fra <Nordlys>", "unsubscribe.ask.type": "Vil du slippe for “%s”?"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	p.words = branded
	w := p.get(p.manage(anna))
	contains(t, w, "Dine mails fra <Nordlys>", p.says("da", "manage.types"), `Nordlys & "Søn"`)
	if strings.Contains(w.Body.String(), "<Nordlys>") {
		t.Error("the tenant's words are not escaped")
	}
	contains(t, p.get(p.withdraw(anna, p.types["News"])), "Vil du slippe for “Nyheder”?")
	contains(t, p.get(p.manage(anna)+"?lang=en"), "Manage subscriptions")
	for name, kind := range map[string]string{"logo": "image/svg+xml", "brand": "text/css; charset=utf-8"} {
		link := regexp.MustCompile(`/mail/static/` + name + `\.[0-9a-f]{12}(\.css)?`).FindString(w.Body.String())
		if a := p.get(link); a.Code != http.StatusOK || a.Header().Get("Content-Type") != kind || a.Header().Get("Content-Security-Policy") == "" {
			t.Errorf("%s at %q: %d, %v", name, link, a.Code, a.Header())
		}
	}
	p.post(p.manage(anna), url.Values{"action": {"stop"}})
	if events := p.events(anna); events[len(events)-1].Wording != p.says("da", "manage.stop") {
		t.Errorf("the event is %+v", events[len(events)-1])
	}
}

// Whoever asks too often is asked to wait; a withdrawal never is.
func TestLimits(t *testing.T) {
	t.Parallel()
	p := newPortal(t, "https://jatak.example")
	redis, _ := queuetest.New(t)
	var log logtest.Log
	handler, err := preferences.New(preferences.Options{Store: p.db, Keyring: p.keys, Templates: p.look, Now: time.Now,
		Log: slog.New(slog.DiscardHandler), PublicURL: "https://jatak.example", TrustedProxies: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")},
		Limiter: pace.New(redis, slog.New(slog.NewTextHandler(&log, nil)))})
	if err != nil {
		t.Fatal(err)
	}
	links := []string{p.manage(anna), p.withdraw(anna, 0)}
	p.handler = handler
	// On a busy machine Redis may be too slow to be asked for a while: nobody is refused
	// then, so that it takes longer.
	refused := func(most int, ask func() *httptest.ResponseRecorder) (w *httptest.ResponseRecorder, is bool) {
		deadline := time.Now().Add(time.Minute)
		for n := 0; n < most || strings.Contains(log.String(), "while Redis is away") && time.Now().Before(deadline); n++ {
			if w = ask(); w.Code == http.StatusTooManyRequests {
				return w, true
			}
		}
		return w, false
	}
	flood := func(path, from string) *httptest.ResponseRecorder {
		w, is := refused(3000, func() *httptest.ResponseRecorder { return p.get(path, "X-Forwarded-For", from) })
		if !is {
			t.Fatalf("%s from %s is never refused, the last answer is %d", path, from, w.Code)
		}
		return w
	}
	w := flood(links[0], "198.51.100.7")
	contains(t, w, p.says("en", "slow.text"))
	if w.Header().Get("Retry-After") == "" {
		t.Error("it does not say how long to wait")
	}
	if w := p.get(links[1], "X-Forwarded-For", "203.0.113.9"); w.Code != http.StatusOK {
		t.Errorf("another link from another network answers %d", w.Code)
	}
	flood("/m/guess", "198.51.100.7")
	// The link may have come by a request or two since it was refused.
	if _, is := refused(700, func() *httptest.ResponseRecorder {
		return p.do("POST", links[0], formType, "action=save", "X-Forwarded-For", "198.51.100.7")
	}); !is {
		t.Error("saving is never refused")
	}
	if w := p.do("POST", links[0], formType, "action=stop", "X-Forwarded-For", "198.51.100.7"); w.Code != http.StatusSeeOther {
		t.Errorf("stopping answers %d", w.Code)
	}
	if w := p.do("POST", links[1], formType, "List-Unsubscribe=One-Click", "X-Forwarded-For", "198.51.100.7"); w.Code != http.StatusOK {
		t.Errorf("one-click answers %d", w.Code)
	}
}

func TestRobotsAndHome(t *testing.T) {
	t.Parallel()
	p := newPortal(t, "https://jatak.example")
	if body, _ := io.ReadAll(p.get("/robots.txt").Body); !strings.Contains(string(body), "Disallow: /") {
		t.Errorf("robots.txt: %s", body)
	}
	contains(t, p.get("/", "Accept-Language", "da"), p.says("da", "home.text"))
}

// containsFolded compares with white space folded.
func containsFolded(text, words string) bool {
	fold := func(s string) string { return strings.Join(strings.Fields(s), " ") }
	return strings.Contains(fold(text), fold(words))
}

// Whatever is sent to the recipients' pages, nothing breaks, nothing runs, nothing
// is led elsewhere, and what cannot be read is said in words. A withdrawal that
// comes with it is honoured.
func TestHostileRequestsDoNoHarm(t *testing.T) {
	t.Parallel()
	p := opened(t)
	names := []string{"lang", "done", "action", "purpose", "email", "first_name", "last_name", "type", "shown", "wording", "website", "List-Unsubscribe", "no_such"}
	harmless := func(what string, w *httptest.ResponseRecorder) {
		t.Helper()
		page := w.Body.String()
		if w.Code >= 500 || strings.Contains(page, "<script") || strings.Contains(page, "onerror=evil") && strings.Contains(page, "<img src=x") || strings.Contains(page, "goroutine") {
			t.Errorf("%s answers %d: %s", what, w.Code, page)
		}
		if to := w.Header().Get("Location"); to != "" && !strings.HasPrefix(to, "/m/") || w.Header().Get("X-Evil") != "" {
			t.Errorf("%s: %v", what, w.Header())
		}
		if w.Code >= 400 && !strings.Contains(page, "<h1") {
			t.Errorf("%s answers %d and does not say why: %s", what, w.Code, page)
		}
	}
	before := len(p.events(anna))
	for _, value := range []string{`<script>evil()</script>{{7*7}}{{ contact.email }}{% x %}`, `"><img src=x onerror=evil()>' OR 1=1 --`, "a\r\nX-Evil: 1\r\n\r\nx", "a\u202egpj.exe", "a\x00b", "a\xff\xfeb",
		"0", "-1", "9000000000000000000", "99999999999999999999999", "//evil.example", "javascript:evil()", strings.Repeat("x", 5000)} {
		form := url.Values{}
		for _, name := range names {
			form[name] = []string{value, value}
		}
		for _, path := range []string{p.manage(anna), p.withdraw(anna, 0), "/sign-up", "/link", "/m/" + url.PathEscape(value), "/u/" + url.PathEscape(value), "/c/" + url.PathEscape(value),
			"/static/" + url.PathEscape(value), "/" + url.PathEscape(value)} {
			what := fmt.Sprintf("%.12s with %.30q", path, value)
			if w := p.get(path+"?"+form.Encode(), "Accept-Language", strings.NewReplacer("\r", "", "\n", "").Replace(value)); strings.HasPrefix(path, "/static/") {
				if w.Code >= 500 {
					t.Errorf("%s answers %d", what, w.Code)
				}
			} else {
				harmless("GET "+what, w)
			}
			if path == p.withdraw(anna, 0) || strings.HasPrefix(path, "/static/") {
				continue // posting withdraws
			}
			harmless("POST "+what, p.post(path, form))
			harmless("POST of no form "+what, p.do("POST", path, "multipart/form-data; boundary=b", "--b\r\nContent-Dis"))
		}
	}
	if len(p.events(anna)) != before {
		t.Error("a hostile request changed the consent")
	}
	for _, email := range []string{"a@example.org\r\nBcc: evil@example.org", "a\x00@example.org", "<script>evil()</script>@example.org", strings.Repeat("x", 40_000) + "@example.org", "=1+1@example.org\u202e"} {
		form := p.filledIn(email)
		form["first_name"], form["last_name"] = []string{"a\r\nX-Evil: 1{{7*7}}"}, []string{"\u202e<script>evil()</script>\x00\xff"}
		harmless(fmt.Sprintf("a sign-up as %.30q", email), p.post("/sign-up", form))
		harmless(fmt.Sprintf("a link for %.30q", email), p.post("/link", form))
	}
	harmless("a sign-up with hostile names", p.post("/sign-up", func() url.Values {
		form := p.filledIn("nora@example.org")
		form["first_name"], form["last_name"] = []string{"a\r\nX-Evil: 1{{7*7}}"}, []string{"\u202e<script>evil()</script>\x00\xff"}
		return form
	}()))
	if w := p.do("POST", p.withdraw(anna, 0), "multipart/form-data; boundary=b", "--b\r\nContent-Dis\x00\xff"); w.Code != http.StatusOK {
		t.Errorf("a withdrawal with a hostile body answers %d", w.Code)
	}
	if p.profile(anna).Emarketing.Basis != gating.BasisWithdrawn {
		t.Error("a withdrawal with a hostile body is not honoured")
	}
	if _, err := p.db.VerifyLedger(t.Context()); err != nil {
		t.Error(err)
	}
}
