package console_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/jatak-mail/jatak/gating"
	"github.com/jatak-mail/jatak/internal/campaign"
	"github.com/jatak-mail/jatak/internal/console"
	"github.com/jatak-mail/jatak/internal/contact"
	"github.com/jatak-mail/jatak/internal/postgres"
	"github.com/jatak-mail/jatak/internal/postgres/postgrestest"
	"github.com/jatak-mail/jatak/internal/staff"
	"github.com/jatak-mail/jatak/templates"
)

var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

const (
	password = "correct horse battery"
	nasty    = `<script>alert("x")</script>`
)

// patience is how long pages of tests wait for what is found out beside them: as
// long as a machine that is busy may need.
const patience = 20 * time.Second

// office is a console over a real database, with one campaign and two contacts.
type office struct {
	t       *testing.T
	db      *postgres.DB
	handler http.Handler
	words   *templates.Set
	id      campaign.ID
	url     string // of the database
}

func (o *office) together(ctx context.Context, do func(console.Store) error) error {
	return o.db.Together(ctx, func(db *postgres.DB) error { return do(db) })
}

func newOffice(t *testing.T) *office {
	t.Helper()
	o := &office{t: t}
	o.db, o.url = postgrestest.New(t)
	var err error
	if o.words, err = templates.New(); err != nil {
		t.Fatal(err)
	}
	o.handler, err = console.New(console.Options{Store: o.db, Together: o.together, Templates: o.words, Settings: postgres.Settings(),
		Now: func() time.Time { return noon }, Log: slog.New(slog.NewTextHandler(t.Output(), nil)), Secure: true,
		URL: "https://console.example", Resolver: deaf{}, Upgrades: o, Patience: patience, Starters: starters()})
	if err != nil {
		t.Fatal(err)
	}
	err = o.db.Import(t.Context(), func(im *postgres.Import) error {
		_, err := im.Contacts(t.Context(), func(yield func(contact.LegacyContact, error) bool) {
			for i, name := range []string{"Anna", nasty} {
				email := fmt.Sprintf("p%d@example.org", i)
				if !yield(contact.LegacyContact{ID: fmt.Sprint(i), Email: email, Address: contact.Address(email), Digest: []byte(email),
					FirstName: name, LastName: "Holm", Language: "da"}, nil) {
					return
				}
			}
		}, func(contact.Objection) {})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	o.id, err = o.db.CreateCampaign(t.Context(), campaign.Content{
		Name: "June " + nasty, FromName: "N", FromAddress: "news@jatak.example", PostalAddress: "Pakhuskaj 7", DefaultLanguage: "en",
		Variants: map[string]campaign.Variant{"en": {Subject: "s", HTML: `<a href="{{ manage_url }}">Manage</a> Pakhuskaj 7`}},
	}, noon)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

// starters is one mail to begin with.
func starters() []campaign.Content {
	return []campaign.Content{{Name: "Newsletter", FromName: "N", FromAddress: "news@jatak.example", PostalAddress: "Pakhuskaj 7", DefaultLanguage: "en",
		Variants: map[string]campaign.Variant{"en": {Subject: "A sample", HTML: `<a href="{{ manage_url }}">Manage</a> Pakhuskaj 7`}}}}
}

// browser keeps its cookies.
type browser struct {
	o       *office
	cookies map[string]string
}

func (o *office) visitor() *browser { return &browser{o, map[string]string{}} }

func (b *browser) do(method, path string, form url.Values, header ...string) *httptest.ResponseRecorder {
	b.o.t.Helper()
	r := httptest.NewRequest(method, path, strings.NewReader(form.Encode()))
	if form != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	return b.send(r)
}

// send asks with the browser's cookies, and keeps those of the answer.
func (b *browser) send(r *http.Request) *httptest.ResponseRecorder {
	b.o.t.Helper()
	for name, value := range b.cookies {
		r.AddCookie(&http.Cookie{Name: name, Value: value})
	}
	w := httptest.NewRecorder()
	b.o.handler.ServeHTTP(w, r)
	for _, c := range w.Result().Cookies() {
		switch {
		case c.MaxAge < 0:
			delete(b.cookies, c.Name)
		case !c.HttpOnly || !c.Secure || c.SameSite != http.SameSiteLaxMode:
			b.o.t.Errorf("the cookie %s is not kept safe: %+v", c.Name, c)
		default:
			b.cookies[c.Name] = c.Value
		}
	}
	return w
}

// as logs somebody of a role in, who became a user by an invitation.
func (o *office) as(role staff.Role) *browser {
	o.t.Helper()
	token, hash := staff.NewToken()
	email := string(role) + "@jatak.example"
	if err := o.db.Invite(o.t.Context(), hash, email, role, "test", noon, noon.Add(time.Hour)); err != nil {
		o.t.Fatal(err)
	}
	b := o.visitor()
	if w := b.do("GET", "/setup/"+token, nil); w.Code != http.StatusOK || !strings.Contains(w.Body.String(), email) {
		o.t.Fatalf("the link answers %d: %s", w.Code, w.Body)
	}
	if w := b.do("POST", "/setup/"+token, url.Values{"email": {email}, "password": {"short"}}); w.Code != http.StatusBadRequest {
		o.t.Fatalf("a short password answers %d", w.Code)
	}
	if w := b.do("POST", "/setup/"+token, url.Values{"email": {email}, "password": {password}}); w.Code != http.StatusSeeOther || b.cookies["jatak_session"] == "" {
		o.t.Fatalf("setting up answers %d: %s", w.Code, w.Body)
	}
	if w := o.visitor().do("GET", "/setup/"+token, nil); w.Code != http.StatusNotFound {
		o.t.Errorf("the link works twice: %d", w.Code)
	}
	return b
}

// Every page and action lets through the roles that the table says, and nobody
// else: no stranger, nobody whose session has ended, and no other site.
func TestRoles(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	people := map[staff.Role]*browser{"": o.visitor()}
	for _, role := range staff.Roles() {
		people[role] = o.as(role)
	}
	admin := people[staff.Administrator]
	gone := o.visitor()
	if w := gone.do("POST", "/login", url.Values{"email": {"administrator@jatak.example"}, "password": {password}}); w.Code != http.StatusSeeOther {
		t.Fatal(w.Code)
	}
	ended := map[string]string{"jatak_session": gone.cookies["jatak_session"]}
	gone.do("POST", "/logout", url.Values{})
	refused := func(w *httptest.ResponseRecorder) bool {
		return w.Code == http.StatusForbidden || w.Code == http.StatusSeeOther && strings.HasPrefix(w.Header().Get("Location"), "/login")
	}
	for _, route := range console.Routes() {
		method, path, _ := strings.Cut(route.Pattern, " ")
		events := strings.HasSuffix(path, "/events") // go on for as long as somebody listens
		path = strings.NewReplacer("{$}", "", "/contacts/{id}", "/contacts/1", "{id}", fmt.Sprint(o.id), "{action}", "nothing",
			"{name}", "emarketing-privacy", "{key}", "news", "{vocabulary}", "purpose", "{domain}", "jatak.example", "{colour}", "kept", "{token}", "none").Replace(path)
		if method != http.MethodGet {
			for name, value := range map[string]string{"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example"} {
				if w := admin.do(method, path, url.Values{}, name, value); w.Code != http.StatusForbidden {
					t.Errorf("%s %s from another site by its %s answers %d", method, path, name, w.Code)
				}
			}
		}
		if route.Role != "" {
			late := &browser{o, map[string]string{"jatak_session": ended["jatak_session"]}}
			if w := late.do(method, path, url.Values{}); w.Code != http.StatusSeeOther || !refused(w) {
				t.Errorf("%s %s after the session has ended answers %d", method, path, w.Code)
			}
		}
		if path == "/login" || path == "/logout" || route.Role == "" && strings.Contains(route.Pattern, "{") {
			continue // what they let through is walked by other tests
		}
		for role, b := range people {
			allowed := route.Role == "" || role.May(route.Role)
			if events && allowed {
				continue // TestEventsTellOfACampaign listens
			}
			if w := b.do(method, path, url.Values{}); allowed == refused(w) {
				t.Errorf("%s %s as %q answers %d", method, path, role, w.Code)
			}
		}
	}
}

func TestLogin(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	o.as(staff.Viewer)
	b := o.visitor()
	if w := b.do("GET", "/", nil); w.Header().Get("Location") != "/login" {
		t.Errorf("a stranger is answered %d", w.Code)
	}
	form := func(password string) url.Values {
		return url.Values{"email": {"Viewer@jatak.example"}, "password": {password}}
	}
	wrong := b.do("POST", "/login", form("wrong horse battery"))
	unknown := b.do("POST", "/login", url.Values{"email": {"nobody@jatak.example"}, "password": {password}})
	if wrong.Code != http.StatusUnauthorized || unknown.Code != http.StatusUnauthorized || b.cookies["jatak_session"] != "" {
		t.Errorf("wrong answers %d, unknown %d", wrong.Code, unknown.Code)
	}
	if w := b.do("POST", "/login", form(password)); w.Code != http.StatusSeeOther {
		t.Fatalf("logging in answers %d: %s", w.Code, w.Body)
	}
	if w := b.do("GET", "/", nil); w.Code != http.StatusOK || !strings.Contains(w.Body.String(), "viewer@jatak.example") {
		t.Errorf("the first page answers %d", w.Code)
	}
	// Another site cannot act in the user's name.
	if w := b.do("POST", "/logout", url.Values{}, "Sec-Fetch-Site", "cross-site"); w.Code != http.StatusForbidden {
		t.Errorf("a request from another site answers %d", w.Code)
	}
	session := b.cookies["jatak_session"]
	if w := b.do("POST", "/logout", url.Values{}); w.Code != http.StatusSeeOther {
		t.Errorf("logging out answers %d", w.Code)
	}
	b.cookies["jatak_session"] = session
	if w := b.do("GET", "/", nil); w.Header().Get("Location") != "/login" {
		t.Error("the session outlives the logout")
	}
	for range 12 {
		b.do("POST", "/login", form("wrong horse battery"))
	}
	if w := o.visitor().do("POST", "/login", form(password)); w.Code != http.StatusTooManyRequests {
		t.Errorf("after many attempts the right password answers %d", w.Code)
	}
}

func TestACampaignFromDraftToItsEnd(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	b := o.as(staff.Marketer)
	b.do("POST", "/language", url.Values{"lang": {"da"}})
	page := b.do("GET", fmt.Sprintf("/campaigns/%d", o.id), nil)
	if !strings.Contains(page.Body.String(), o.words.Text("da", "console.next.check")) || strings.Contains(page.Body.String(), nasty) {
		t.Fatalf("the draft (%d): %s", page.Code, page.Body)
	}
	check := b.checked(o.id)
	if !strings.Contains(check.Body.String(), o.words.ReasonText("da", gating.PrivacyOff)[1:]) || !strings.Contains(check.Body.String(), "Send til 2 personer på engelsk") {
		t.Errorf("the check (%d): %s", check.Code, check.Body)
	}
	act := func(action string) *httptest.ResponseRecorder {
		return b.do("POST", fmt.Sprintf("/campaigns/%d/%s", o.id, action), url.Values{"sure": {"1"}, "seen": {seen(check)}})
	}
	if w := b.do("POST", fmt.Sprintf("/campaigns/%d/cancel", o.id), url.Values{}); w.Code != http.StatusBadRequest {
		t.Errorf("cancelling without being sure answers %d", w.Code)
	}
	if w := act("launch"); w.Code != http.StatusSeeOther {
		t.Fatalf("launching answers %d: %s", w.Code, w.Body)
	}
	if c, err := o.db.Campaign(t.Context(), o.id); err != nil || c.State != campaign.StateScheduled || !c.Scheduled.Equal(noon) {
		t.Errorf("after the launch: %s, %v", c.State, err)
	}
	if w := act("launch"); w.Code != http.StatusConflict {
		t.Errorf("launching twice answers %d", w.Code)
	}
	if _, ran, err := o.db.Sweep(t.Context(), true, noon.Add(time.Second), 0, 10); err != nil || !ran {
		t.Fatal(err)
	}
	for _, action := range []string{"pause", "resume", "cancel"} {
		if w := act(action); w.Code != http.StatusSeeOther {
			t.Errorf("%s answers %d: %s", action, w.Code, w.Body)
		}
	}
	for _, path := range []string{"/campaigns/999", "/campaigns/x", "/nothing"} {
		if w := b.do("GET", path, nil); w.Code != http.StatusNotFound {
			t.Errorf("%s answers %d", path, w.Code)
		}
	}
}

// checked is the check before launch once the audience is counted: a page waits
// for that only a moment.
func (b *browser) checked(id campaign.ID) (check *httptest.ResponseRecorder) {
	b.o.t.Helper()
	path := fmt.Sprintf("/campaigns/%d/check", id)
	for range 200 {
		if check = b.do("GET", path, nil); !strings.Contains(check.Body.String(), `hx-get="`+path) {
			return check
		}
	}
	b.o.t.Fatalf("the audience is never counted: %s", check.Body)
	return nil
}

// seen is the report that a check shows, as its launch button names it.
func seen(check *httptest.ResponseRecorder) string {
	m := regexp.MustCompile(`name="seen" value="([^"]+)"`).FindStringSubmatch(check.Body.String())
	if m == nil {
		return ""
	}
	return m[1]
}

func TestEventsTellOfACampaign(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	b := o.as(staff.Viewer)
	if err := errors.Join(o.db.End(t.Context(), o.id, noon), o.db.CancelRest(t.Context(), o.id, noon)); err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(o.handler)
	t.Cleanup(server.Close)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, "GET", fmt.Sprintf("%s/campaigns/%d/events", server.URL, o.id), nil)
	if err != nil {
		t.Fatal(err)
	}
	r.AddCookie(&http.Cookie{Name: "jatak_session", Value: b.cookies["jatak_session"]})
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	text := make([]byte, 4096)
	n, _ := response.Body.Read(text)
	if response.Header.Get("Content-Type") != "text/event-stream" || !regexp.MustCompile(`^data: \{.*"ended":true`).Match(text[:n]) {
		t.Errorf("the events: %v, %s", response.Header, text[:n])
	}
}

func TestAPerson(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	b := o.as(staff.Officer)
	if w := b.do("GET", "/contacts?q=holm+p0", nil); !strings.Contains(w.Body.String(), "/contacts/1") || strings.Contains(w.Body.String(), "/contacts/2") {
		t.Errorf("the search (%d): %s", w.Code, w.Body)
	}
	for _, q := range []string{"%", "a' OR '1'='1", "\x00", strings.Repeat("x", 5000), "_", "\xff"} {
		if w := b.do("GET", "/contacts?q="+url.QueryEscape(q), nil); w.Code != http.StatusOK {
			t.Errorf("a search for %.20q answers %d", q, w.Code)
		}
	}
	card := b.do("GET", "/contacts/2", nil)
	if card.Code != http.StatusOK || strings.Contains(card.Body.String(), nasty) || !strings.Contains(card.Body.String(), o.words.ReasonText("en", gating.PrivacyOff)) {
		t.Errorf("the card (%d): %s", card.Code, card.Body)
	}
	toggle := func(on string) *httptest.ResponseRecorder {
		return b.do("POST", "/contacts/1/emarketing", url.Values{"on": {on}, "reason": {"asked by phone"}})
	}
	if w := b.do("POST", "/contacts/1/emarketing", url.Values{"on": {"1"}}); w.Code != http.StatusBadRequest {
		t.Errorf("without a reason it answers %d", w.Code)
	}
	for _, step := range []struct {
		on   string
		want gating.LegalBasis
	}{{"1", gating.BasisLegitimateInterest}, {"0", gating.BasisWithdrawn}, {"1", gating.BasisLegitimateInterest}} {
		if w := toggle(step.on); w.Code != http.StatusSeeOther {
			t.Errorf("switching answers %d: %s", w.Code, w.Body)
		}
		if p, err := o.db.Profile(t.Context(), 1); err != nil || p.Emarketing.Basis != step.want {
			t.Errorf("the basis is %q, %v", p.Emarketing.Basis, err)
		}
	}
	// Who has withdrawn in person is not switched on by staff.
	off := false
	if _, err := o.db.Choose(t.Context(), contact.Choices{Contact: 1, Source: gating.SourceOneClick, Emarketing: &off, At: noon}); err != nil {
		t.Fatal(err)
	}
	if w := toggle("1"); w.Code != http.StatusConflict {
		t.Errorf("over the contact's own withdrawal it answers %d", w.Code)
	}
}
