package console_test

import (
	"bytes"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"html"
	"mime/multipart"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/jatak-mail/jatak/gating"
	"github.com/jatak-mail/jatak/internal/campaign"
	"github.com/jatak-mail/jatak/internal/console"
	"github.com/jatak-mail/jatak/internal/contact"
	"github.com/jatak-mail/jatak/internal/postgres"
	"github.com/jatak-mail/jatak/internal/postgres/postgrestest"
	"github.com/jatak-mail/jatak/internal/staff"
	"github.com/jatak-mail/jatak/internal/upgrade"
)

// deaf is a name server that says of jatak.example what is wrong, and of others
// nothing.
type deaf struct{}

func (deaf) LookupTXT(_ context.Context, name string) ([]string, error) {
	switch name {
	case "jatak.example.":
		return []string{"v=spf1 +all"}, nil
	case "narrow.example.":
		return []string{"v=spf1 include:provider.example -all"}, nil
	case "provider.example.":
		return []string{"v=spf1 ip4:198.51.100.0/24 -all"}, nil
	case "_dmarc.jatak.example.":
		return nil, errors.New("i/o timeout")
	}
	return nil, &net.DNSError{Name: name, IsNotFound: true}
}

func (deaf) LookupMX(_ context.Context, name string) ([]*net.MX, error) {
	return nil, &net.DNSError{Name: name, IsNotFound: true}
}

func (deaf) LookupIPAddr(_ context.Context, host string) ([]net.IPAddr, error) {
	if host == "mail.example." {
		return []net.IPAddr{{IP: net.IPv4(192, 0, 2, 7)}}, nil
	}
	return nil, &net.DNSError{Name: host, IsNotFound: true}
}

func (deaf) LookupAddr(_ context.Context, addr string) ([]string, error) {
	return nil, &net.DNSError{Name: addr, IsNotFound: true}
}

// Start runs an upgrade while the request waits.
func (o *office) Start(ctx context.Context, r contact.UpgradeRun) (err error) {
	if r.ID, err = o.db.StartUpgradeRun(ctx, r); err != nil {
		return err
	}
	report, err := upgrade.Run(ctx, o.db, upgrade.Options{DryRun: r.DryRun, Actor: r.Actor, Threshold: r.Threshold, LegacyURLs: r.LegacyURLs}, r.Started)
	if err != nil {
		return err
	}
	r.Report, r.Finished = contact.UpgradeReport{Upgraded: report.Upgraded, Templates: report.Templates, LinksRewritten: report.LinksRewritten}, r.Started
	return o.db.FinishUpgradeRun(ctx, r)
}

// audited returns the newest lines of the audit log, as words.
func (o *office) audited() (lines []string) {
	o.t.Helper()
	list, err := o.db.AuditLog(o.t.Context(), staff.Filter{Most: 100})
	if err != nil {
		o.t.Fatal(err)
	}
	for _, e := range list {
		if !slices.Contains(staff.Actions(), e.Action) {
			o.t.Errorf("%q is not among the actions that have words", e.Action)
		}
		lines = append(lines, strings.TrimSpace(fmt.Sprintf("%s %s %s", e.Actor, e.Action, e.Detail)))
	}
	return lines
}

func has(lines []string, want string) bool {
	for _, l := range lines {
		if strings.Contains(l, want) {
			return true
		}
	}
	return false
}

func TestSettings(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	b := o.as(staff.Administrator)
	set := func(name string, value ...string) *httptest.ResponseRecorder {
		return b.do("POST", "/settings/rules/"+name, url.Values{"value": value})
	}
	if w := set("bounce-limit", "7"); w.Code != http.StatusSeeOther {
		t.Errorf("a setting answers %d: %s", w.Code, w.Body)
	}
	if value, err := o.db.Setting(t.Context(), gating.SettingBounceLimit); err != nil || value != "7" {
		t.Errorf("it is %q, %v", value, err)
	}
	if w := set("confirm-sources", "web_form", "import"); w.Code != http.StatusSeeOther {
		t.Errorf("several values answer %d: %s", w.Code, w.Body)
	}
	for _, test := range []struct{ name, value string }{{"emarketing-privacy", "maybe"}, {"bounce-limit", "0"}, {"time-zone", "Mars"}, {"sender-name", strings.Repeat("x", 501)},
		{"sender-address", nasty}, {"send-pace", "fast"}, {"default-purpose", "no-such"}} {
		b.do("POST", "/language", url.Values{"lang": {"da"}})
		w := set(test.name, test.value)
		if w.Code != http.StatusBadRequest || !strings.Contains(w.Body.String(), o.words.Text("da", "setting."+test.name+".wrong")) || strings.Contains(w.Body.String(), nasty) {
			t.Errorf("%s = %.20s answers %d", test.name, test.value, w.Code)
		}
	}
	if w := set("no-such", "on"); w.Code != http.StatusNotFound && w.Code != http.StatusBadRequest {
		t.Errorf("a setting that is not there answers %d", w.Code)
	}
	page := b.do("GET", "/settings", nil)
	for _, s := range postgres.Settings() {
		key := "setting." + string(s.Name)
		for _, lang := range []string{"en", "da"} {
			if o.words.Text(lang, key) == key || o.words.Text(lang, key+".help") == key+".help" || o.words.Text(lang, key+".wrong") == key+".wrong" {
				t.Errorf("%s has no words in %s", s.Name, lang)
			}
		}
		if !strings.Contains(page.Body.String(), "/settings/rules/"+string(s.Name)) {
			t.Errorf("the page lacks %s", s.Name)
		}
	}
	// A pace is a number and a time, told in words; a time zone is chosen.
	b.do("POST", "/language", url.Values{"lang": {"en"}})
	b.do("POST", "/settings/rules/send-pace", url.Values{"value": {"20,000"}, "value-per": {"d"}})
	if page := b.do("GET", "/settings/rules/send-pace", nil).Body.String(); !strings.Contains(page, "<strong>20,000 mails a day</strong>") || !strings.Contains(page, `value="20,000" inputmode="numeric"`) ||
		!strings.Contains(page, `<option value="d" selected>a day</option>`) {
		t.Errorf("the pace: %s", page)
	}
	if page := b.do("GET", "/settings/rules/time-zone", nil).Body.String(); !strings.Contains(page, `<optgroup label="Europe">`) || !strings.Contains(page, `<option value="America/Argentina/Buenos_Aires">Argentina, Buenos Aires</option>`) ||
		strings.Count(page, " selected>") != 1 {
		t.Errorf("the time zones: %s", page)
	}
	history := b.do("GET", "/settings/rules/bounce-limit", nil).Body.String()
	if !strings.Contains(history, "administrator@jatak.example") || !strings.Contains(history, ">7<") {
		t.Errorf("the history: %s", history)
	}
	if policy := page.Header().Get("Content-Security-Policy"); !strings.Contains(policy, "script-src 'self'") || strings.Contains(policy, "unsafe") {
		t.Errorf("Content-Security-Policy: %s", policy)
	}
	if !has(o.audited(), "settings set bounce-limit = 7") {
		t.Errorf("the audit log: %q", o.audited())
	}
}

// A Dane writes numbers and words as the pages show them.
func TestNumbersAreWrittenInTheUsersLanguage(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	b := o.as(staff.Administrator)
	b.do("POST", "/language", url.Values{"lang": {"da"}})
	for _, test := range []struct {
		name               gating.Setting
		typed, kept, shown string
	}{
		{contact.SettingComplaintLimit, "0,5", "0.5", "0,5"},
		{contact.SettingComplaintLimit, "0.3", "0.3", "0,3"},
		{contact.SettingComplaintLimit, "Fra", "off", "fra"},
		{contact.SettingConfirmAbove, "1.000", "1000", "1.000"},
		{contact.SettingSendPace, "20.000/h", "20000/h", "20.000"},
		{contact.SettingSendPace, "1.500", "1500/m", "1.500"},
		{contact.SettingSendPace, "ubegrænset", "unlimited", ""},
		{contact.SettingSendPace, "600/m", "600/m", "600"},
		{contact.SettingSendPace, "", "unlimited", ""},
		{gating.SettingConsentLife, "aldrig", "never", "aldrig"},
		{gating.SettingConsentLife, "never", "never", "aldrig"},
		{contact.SettingSenderName, "1.000", "1.000", "1.000"},
	} {
		path := "/settings/rules/" + string(test.name)
		if w := b.do("POST", path, url.Values{"value": {test.typed}, "value-per": {"m"}}); w.Code != http.StatusSeeOther {
			t.Errorf("%s = %q answers %d", test.name, test.typed, w.Code)
		}
		if kept, err := o.db.Setting(t.Context(), test.name); err != nil || kept != test.kept {
			t.Errorf("%s = %q is kept as %q, %v", test.name, test.typed, kept, err)
		}
		if page := b.do("GET", path, nil).Body.String(); !strings.Contains(page, `name="value" value="`+test.shown+`"`) {
			t.Errorf("the field of %s lacks %q", test.name, test.shown)
		}
	}
}

// Before E-marketing privacy is switched, the page says what that would do to the
// campaigns under way.
func TestPrivacyIsAskedAboutFirst(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	b := o.as(staff.Administrator)
	if err := o.db.Schedule(t.Context(), o.id, noon, campaign.Override{}); err != nil {
		t.Fatal(err)
	}
	if page := b.do("GET", "/settings/rules/emarketing-privacy", nil).Body.String(); !strings.Contains(page, ">See what it changes</button>") || strings.Contains(page, ">Save</button>") {
		t.Errorf("the form promises to save at once: %s", page)
	}
	if page := o.as(staff.Officer).do("GET", "/settings/rules/emarketing-privacy", nil).Body.String(); !strings.Contains(page, `href="/settings/privacy/effect?to=on"`) {
		t.Errorf("an officer cannot see what it would change: %s", page)
	}
	if w := b.do("POST", "/settings/rules/emarketing-privacy", url.Values{"value": {"on"}}); w.Code != http.StatusOK || !strings.Contains(w.Body.String(), "/settings/privacy/effect?to=on") {
		t.Errorf("switching answers %d: %s", w.Code, w.Body)
	}
	if value, _ := o.db.Setting(t.Context(), gating.SettingPrivacy); value != "off" {
		t.Errorf("it is %s before anybody is sure", value)
	}
	check := func(state string) {
		t.Helper()
		effect := b.do("GET", "/settings/privacy/effect?to=on", nil).Body.String()
		if !strings.Contains(effect, "2 mails that are still to be sent would be held back.") || !strings.Contains(effect, "2 contacts can get marketing mails today but have no consent") || !strings.Contains(effect, o.words.ReasonText("en", gating.NoConsent)+": 2") {
			t.Errorf("while it is %s: %s", state, effect)
		}
	}
	check("scheduled")
	if _, _, err := o.db.Sweep(t.Context(), true, noon.Add(time.Second), 0, 10); err != nil {
		t.Fatal(err)
	}
	if batch, _, err := o.db.PlanChunk(t.Context(), o.id, 100, noon.Add(2*time.Second), gating.Decide); err != nil || len(batch) != 1 {
		t.Fatalf("batches %v, %v", batch, err)
	}
	check("planned")
	if w := b.do("POST", "/settings/rules/emarketing-privacy", url.Values{"value": {"on"}, "sure": {"1"}}); w.Code != http.StatusSeeOther {
		t.Errorf("being sure answers %d", w.Code)
	}
	if value, _ := o.db.Setting(t.Context(), gating.SettingPrivacy); value != "on" {
		t.Errorf("it is %s", value)
	}
	for _, to := range []string{"", "maybe", nasty} {
		if w := b.do("GET", "/settings/privacy/effect?to="+url.QueryEscape(to), nil); w.Code != http.StatusNotFound {
			t.Errorf("%q answers %d", to, w.Code)
		}
	}
}

func TestWordsOfTheTenant(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	b := o.as(staff.Administrator)
	post := func(want int, path string, form ...string) *httptest.ResponseRecorder {
		t.Helper()
		values := url.Values{}
		for i := 0; i+1 < len(form); i += 2 {
			values.Set(form[i], form[i+1])
		}
		w := b.do("POST", path, values)
		if w.Code != want {
			t.Errorf("POST %s %v answers %d: %s", path, form, w.Code, w.Body)
		}
		return w
	}
	post(303, "/settings/types", "name.en", "Årets køb", "name.da", nasty)
	post(303, "/settings/types", "name.en", "Second")
	post(409, "/settings/types", "name.en", "Second")
	post(400, "/settings/types", "name.en", "")
	post(400, "/settings/types", "name.en", strings.Repeat("x", 81))
	post(400, "/settings/types", "name.en", "a\r\nb", "key", "ok")
	post(303, "/settings/types/aarets-koeb/later")
	post(303, "/settings/types/second/rename", "name.en", "First now", "language", "sv", "name", "Först")
	post(400, "/settings/types/second/retire")
	post(303, "/settings/types/aarets-koeb/retire", "sure", "1")
	post(409, "/settings/types/aarets-koeb/retire", "sure", "1")
	types, err := o.db.Types(t.Context())
	if err != nil || len(types) != 2 || types[0].Key != "second" || types[0].Names["sv"] != "Först" || !types[1].Retired {
		t.Errorf("the types are %+v, %v", types, err)
	}
	post(303, "/settings/terms/purpose", "name.en", "Events")
	post(303, "/settings/terms/legal_basis", "name.en", "Membership", "counts_as", "contract")
	post(400, "/settings/terms/legal_basis", "name.en", "Magic", "counts_as", "withdrawn")
	post(404, "/settings/terms/staff", "name.en", "x")
	post(303, "/settings/terms/purpose/store/rename", "name.da", "Kundepleje")
	post(409, "/settings/terms/purpose/store/retire", "sure", "1")
	post(303, "/settings/terms/purpose/events/retire", "sure", "1")
	post(303, "/settings/wording", "purpose", "emarketing", "lang", "da", "text", "Ja tak til "+nasty)
	post(303, "/settings/wording", "purpose", "emarketing", "lang", "da", "text", "Ja tak til mails")
	post(400, "/settings/wording", "purpose", "emarketing", "lang", "da", "text", strings.Repeat("x", 4001))
	post(400, "/settings/wording", "purpose", "emarketing", "lang", "xx", "text", "x")
	post(409, "/settings/wording", "purpose", "no-such", "lang", "da", "text", "x")
	page := b.do("GET", "/settings/wording?lang=da", nil).Body.String()
	if !strings.Contains(page, "Ja tak til mails") || !strings.Contains(page, "Ja tak til &lt;script&gt;") {
		t.Errorf("the versions: %s", page)
	}
	for _, path := range []string{"/settings/types", "/settings/terms", "/settings/wording", "/audit"} {
		if w := b.do("GET", path, nil); w.Code != http.StatusOK || strings.Contains(w.Body.String(), nasty) {
			t.Errorf("%s answers %d", path, w.Code)
		}
	}
	for _, want := range []string{"type create second", "type retire aarets-koeb", "term create purpose events", "wording set emarketing da"} {
		if !has(o.audited(), want) {
			t.Errorf("the audit log lacks %q: %q", want, o.audited())
		}
	}
}

func TestUsers(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	b := o.as(staff.Administrator)
	viewer := o.as(staff.Viewer)
	w := b.do("POST", "/settings/users", url.Values{"email": {"New@jatak.example"}, "role": {"officer"}})
	link := regexp.MustCompile(`https://console\.example(/setup/[\w-]+)`).FindStringSubmatch(w.Body.String())
	if w.Code != http.StatusOK || link == nil {
		t.Fatalf("inviting answers %d: %s", w.Code, w.Body)
	}
	if again := b.do("GET", "/settings/users", nil).Body.String(); strings.Contains(again, "/setup/") || !strings.Contains(again, "new@jatak.example") {
		t.Error("the link is shown twice, or the invitation not at all")
	}
	newcomer := o.visitor()
	if w := newcomer.do("POST", link[1], url.Values{"email": {"new@jatak.example"}, "password": {password}}); w.Code != http.StatusSeeOther {
		t.Fatalf("the link answers %d", w.Code)
	}
	for _, form := range []url.Values{{"email": {"x"}, "role": {"viewer"}}, {"email": {"x@jatak.example"}, "role": {"root"}}, {"email": {nasty}, "role": {"viewer"}}} {
		if w := b.do("POST", "/settings/users", form); w.Code != http.StatusBadRequest || strings.Contains(w.Body.String(), nasty) {
			t.Errorf("%v answers %d", form, w.Code)
		}
	}
	members, err := o.db.Members(t.Context())
	if err != nil || len(members) != 3 {
		t.Fatalf("%+v, %v", members, err)
	}
	id := map[staff.Role]int64{}
	for _, m := range members {
		id[m.Role] = m.ID
	}
	change := func(who int64, action string, form url.Values) int {
		return b.do("POST", fmt.Sprintf("/settings/users/%d/%s", who, action), form).Code
	}
	// The last administrator stays.
	me := id[staff.Administrator]
	if got := change(me, "disable", url.Values{}); got != http.StatusConflict {
		t.Errorf("locking the last administrator out answers %d", got)
	}
	if got := change(me, "role", url.Values{"role": {"viewer"}}); got != http.StatusConflict {
		t.Errorf("taking the last administrator's role answers %d", got)
	}
	token, hash := staff.NewToken()
	if err := o.db.Invite(t.Context(), hash, "administrator@jatak.example", staff.Viewer, "test", noon, noon.Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	if w := o.visitor().do("POST", "/setup/"+token, url.Values{"email": {"administrator@jatak.example"}, "password": {password}}); w.Code < 400 {
		t.Errorf("a link that takes the last administrator's role answers %d", w.Code)
	}
	if got := change(id[staff.Viewer], "role", url.Values{"role": {"administrator"}}); got != http.StatusSeeOther {
		t.Errorf("a role answers %d", got)
	}
	if w := viewer.do("GET", "/settings/users", nil); w.Code != http.StatusOK {
		t.Errorf("the new role counts from the next request on, and it answers %d", w.Code)
	}
	// Who is locked out is out at once, and comes in again.
	if got := change(id[staff.Viewer], "disable", url.Values{}); got != http.StatusSeeOther {
		t.Errorf("locking out answers %d", got)
	}
	if w := viewer.do("GET", "/", nil); w.Header().Get("Location") != "/login" {
		t.Errorf("who is locked out gets %d", w.Code)
	}
	if got := change(id[staff.Viewer], "enable", url.Values{}); got != http.StatusSeeOther {
		t.Errorf("letting in answers %d", got)
	}
	if w := viewer.do("POST", "/login", url.Values{"email": {"viewer@jatak.example"}, "password": {password}}); w.Code != http.StatusSeeOther {
		t.Errorf("logging in again answers %d", w.Code)
	}
	// Another ends their sessions, and makes a link by which they choose a new
	// password and keep their role.
	if got := change(id[staff.Viewer], "sessions", url.Values{}); got != http.StatusSeeOther {
		t.Errorf("ending sessions answers %d", got)
	}
	if w := viewer.do("GET", "/", nil); w.Header().Get("Location") != "/login" {
		t.Errorf("whose sessions were ended gets %d", w.Code)
	}
	page := b.do("POST", fmt.Sprintf("/settings/users/%d/password", id[staff.Viewer]), url.Values{}).Body.String()
	if link = regexp.MustCompile(`https://console\.example(/setup/[\w-]+)`).FindStringSubmatch(page); link == nil || !strings.Contains(page, o.words.Text("en", "console.users.link.known")) {
		t.Fatalf("a new password: %s", page)
	}
	if w := o.visitor().do("POST", link[1], url.Values{"email": {"viewer@jatak.example"}, "password": {"quite another horse"}}); w.Code != http.StatusSeeOther {
		t.Errorf("the link to a new password answers %d", w.Code)
	}
	if u, err := o.db.UserByEmail(t.Context(), "viewer@jatak.example"); err != nil || u.Role != staff.Administrator || !staff.CheckPassword(u.PasswordHash, "quite another horse") {
		t.Errorf("afterwards: %+v, %v", u, err)
	}
	for _, action := range []string{"role", "enable", "nothing", "uninvite", "sessions", "password"} {
		if got := change(99999, action, url.Values{"role": {"viewer"}}); got != http.StatusNotFound {
			t.Errorf("%s of nobody answers %d", action, got)
		}
	}
	for _, want := range []string{"user invite new@jatak.example officer", "user disable viewer@jatak.example", "user role viewer@jatak.example administrator", "user enter new@jatak.example", "user sessions viewer@jatak.example"} {
		if !has(o.audited(), want) {
			t.Errorf("the audit log lacks %q: %q", want, o.audited())
		}
	}
}

func TestMyAccount(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	b := o.as(staff.Viewer)
	const firefox = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
	other := o.visitor()
	if w := other.do("POST", "/login", url.Values{"email": {"viewer@jatak.example"}, "password": {password}}, "User-Agent", firefox); w.Code != http.StatusSeeOther {
		t.Fatalf("logging in answers %d", w.Code)
	}
	page := b.do("GET", "/account", nil).Body.String()
	if !strings.Contains(page, "Firefox on Linux") {
		t.Errorf("the sessions: %s", page)
	}
	session := regexp.MustCompile(`name="id" value="([1-9]\d*)"`).FindStringSubmatch(page)
	if session == nil {
		t.Fatal("no session can be ended")
	}
	for back, want := range map[string]string{"/account": "/account", "//evil.example/x": "/", "/%2f/evil.example": "/", "https://evil.example/y": "/", `/\evil.example`: "/", "": "/"} {
		if w := b.do("POST", "/language", url.Values{"lang": {"en"}, "back": {back}}); w.Header().Get("Location") != want {
			t.Errorf("back to %q leads to %q", back, w.Header().Get("Location"))
		}
	}
	// Nobody ends another's.
	stranger := o.as(staff.Administrator)
	stranger.do("POST", "/account/sessions", url.Values{"id": {session[1]}})
	if w := other.do("GET", "/", nil); w.Code != http.StatusOK {
		t.Errorf("another user ended a session: %d", w.Code)
	}
	if w := b.do("POST", "/account/sessions", url.Values{"id": {session[1]}}); w.Code != http.StatusSeeOther {
		t.Errorf("ending a session answers %d", w.Code)
	}
	if w := other.do("GET", "/", nil); w.Code != http.StatusSeeOther {
		t.Errorf("a session that was ended gets %d", w.Code)
	}

	// A new password ends all sessions but this one.
	other.do("POST", "/login", url.Values{"email": {"viewer@jatak.example"}, "password": {password}})
	change := func(old, new string) int {
		return b.do("POST", "/account/password", url.Values{"password": {old}, "new": {new}}).Code
	}
	if got := change("wrong horse battery", "another horse battery"); got != http.StatusBadRequest {
		t.Errorf("the wrong password answers %d", got)
	}
	if got := change(password, "short"); got != http.StatusBadRequest {
		t.Errorf("a short one answers %d", got)
	}
	if got := change(password, "another horse battery"); got != http.StatusSeeOther {
		t.Errorf("changing answers %d", got)
	}
	if w := b.do("GET", "/", nil); w.Code != http.StatusOK {
		t.Errorf("this session gets %d", w.Code)
	}
	if w := other.do("GET", "/", nil); w.Code != http.StatusSeeOther {
		t.Errorf("the other session gets %d", w.Code)
	}

	// Times are told in the user's zone.
	if w := b.do("POST", "/account/preferences", url.Values{"zone": {"Europe/Copenhagen"}, "lang": {"da"}}); w.Code != http.StatusSeeOther {
		t.Errorf("preferences answer %d: %s", w.Code, w.Body)
	}
	if page := b.do("GET", "/account", nil).Body.String(); !strings.Contains(page, "kl. 13.00") {
		t.Errorf("noon in Copenhagen: %s", page)
	}
	if w := b.do("POST", "/account/preferences", url.Values{"zone": {"Mars"}, "lang": {"da"}}); w.Code != http.StatusBadRequest {
		t.Errorf("no zone answers %d", w.Code)
	}
	if !has(o.audited(), "user:viewer@jatak.example user password") || !has(o.audited(), "account preferences") {
		t.Errorf("the audit log: %q", o.audited())
	}
}

// Guessing from one network is stopped whatever addresses it tries; another
// network is not.
func TestANetworkThatGuessesIsStopped(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	o.as(staff.Viewer)
	for i := range 100 {
		if _, err := o.db.Attempt(t.Context(), staff.HashToken("login network 192.0.2.0/24"), 1000, time.Hour, noon.Add(time.Duration(-i)*time.Second)); err != nil {
			t.Fatal(err)
		}
	}
	form := url.Values{"email": {"viewer@jatak.example"}, "password": {password}}
	// The hundredth attempt was 99 seconds ago; trying meanwhile makes it no later.
	for range 2 {
		if w := o.visitor().do("POST", "/login", form); w.Code != http.StatusTooManyRequests || !strings.Contains(w.Body.String(), "Wait 14 minutes, then try again.") {
			t.Errorf("from the network that guessed, logging in answers %d: %s", w.Code, w.Body)
		}
	}
	r := httptest.NewRequest("POST", "/login", strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.RemoteAddr = "198.51.100.7:1234"
	w := httptest.NewRecorder()
	o.handler.ServeHTTP(w, r)
	if w.Code != http.StatusSeeOther {
		t.Errorf("from another network it answers %d", w.Code)
	}
}

// What changes something is in the audit log, whichever section it is of.
func TestWhatIsDoneIsAudited(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	b := o.as(staff.Administrator)
	// A form that does something, for each route that changes something.
	forms := map[string]struct {
		path string
		form url.Values
		want string
	}{
		"POST /campaigns/{id}/recount":                    {"", nil, ""}, // changes nothing
		"POST /campaigns/{id}/copy":                       {fmt.Sprintf("/campaigns/%d/copy", o.id), url.Values{}, "campaign create"},
		"POST /campaigns/{id}/{action}":                   {fmt.Sprintf("/campaigns/%d/cancel", o.id), url.Values{"sure": {"1"}}, "campaign cancel"},
		"POST /campaigns":                                 {"/campaigns", url.Values{"from": {"blank"}, "name": {"July"}}, "campaign create"},
		"POST /imports":                                   {"", nil, ""}, // in TestAListIsUploadedCheckedAndTaken
		"POST /imports/{id}/check":                        {"/imports/2/check", url.Values{"column": {"email"}, "reason": {"the fair"}}, "import check 2"},
		"POST /imports/{id}/cancel":                       {"/imports/2/cancel", nil, "import cancel 2"},
		"POST /campaigns/{id}/resend":                     {"", nil, ""}, // in TestWhatFailedIsSentAgain
		"POST /campaigns/{id}/launch":                     {"", nil, ""}, // in TestWhatIsDoneToACampaignIsAudited
		"POST /campaigns/{id}/edit/{step}":                {"", nil, ""}, // in TestACampaignIsWrittenWithoutJavaScript
		"POST /campaigns/{id}/test":                       {"", nil, ""},
		"POST /campaigns/{id}/versions/{version}/restore": {"", nil, ""},
		"POST /templates":                                 {"", nil, ""},
		"POST /templates/{id}/edit/{step}":                {"", nil, ""},
		"POST /templates/{id}/test":                       {"", nil, ""},
		"POST /templates/{id}/versions/{version}/restore": {"", nil, ""},
		"POST /templates/{id}/copy":                       {"", nil, ""},
		"POST /templates/{id}/delete":                     {"", nil, ""},
		"POST /campaigns/{id}/override":                   {"", nil, ""}, // in TestALaunchWithAnOverride
		"POST /contacts":                                  {"", nil, ""}, // changes nothing, like the next three
		"POST /audiences/filter":                          {"", nil, ""},
		"POST /audiences/count":                           {"", nil, ""},
		"POST /contacts/count":                            {"", nil, ""},
		"POST /audiences": {"/audiences", url.Values{"name": {"Annas"}, "filter_group_match": {"all"}, "filter_group": {"0"}, "filter_field": {"first_name"},
			"filter_op": {"is"}, "filter_value": {"anna"}}, "audience save Annas"},
		"POST /audiences/{id}/delete":                      {"/audiences/2/delete", url.Values{}, "audience delete Annas"},
		"POST /imports/{id}/run":                           {"/imports/1/run", url.Values{}, "contact import import 1"},
		"POST /contacts/{id}/type":                         {"/contacts/1/type", url.Values{"choice": {"1:out"}, "reason": {"asked"}}, "preference set news out"},
		"POST /contacts/{id}/erase":                        {"/contacts/2/erase", url.Values{"number": {"2"}}, "contact erase"},
		"POST /contacts/{id}/emarketing":                   {"/contacts/1/emarketing", url.Values{"on": {"1"}, "reason": {"asked"}}, "contact emarketing"},
		"POST /settings/rules/{name}":                      {"/settings/rules/bounce-limit", url.Values{"value": {"9"}}, "settings set"},
		"POST /settings/sender":                            {"/settings/sender", url.Values{"sender-name": {"N"}}, "settings set"},
		"POST /settings/types":                             {"/settings/types", url.Values{"name.en": {"Offers"}}, "type create"},
		"POST /settings/types/{key}/{action}":              {"/settings/types/news/rename", url.Values{"name.en": {"Newer"}}, "type rename"},
		"POST /settings/terms/{vocabulary}":                {"/settings/terms/purpose", url.Values{"name.en": {"Events"}}, "term create"},
		"POST /settings/terms/{vocabulary}/{key}/{action}": {"/settings/terms/purpose/store/rename", url.Values{"name.en": {"Shop"}}, "term rename"},
		"POST /settings/wording":                           {"/settings/wording", url.Values{"purpose": {"emarketing"}, "lang": {"en"}, "text": {"Yes"}}, "wording set"},
		"POST /settings/relays/test":                       {"/settings/relays/test", url.Values{"relay": {"mail.example:25"}}, "relay test"},
		"POST /settings/limits":                            {"/settings/limits", url.Values{"kind": {"destination"}, "name": {"outlook"}, "pace": {"20/s"}}, "limit set destination outlook"},
		"POST /settings/limits/remove":                     {"/settings/limits/remove", url.Values{"kind": {"destination"}, "name": {"outlook"}}, "limit remove destination outlook"},
		"POST /settings/look":                              {"/settings/look", url.Values{"colour": {"#123456"}}, "brand look"},
		"POST /settings/look/words":                        {"/settings/look/words", url.Values{"lang": {"en"}, "version": {"1"}, "text.manage.title": {"Mine"}}, "brand word en manage.title"},
		"POST /settings/users":                             {"/settings/users", url.Values{"email": {"a@jatak.example"}, "role": {"viewer"}}, "user invite"},
		"POST /settings/users/{id}/{action}":               {"/settings/users/1/role", url.Values{"role": {"administrator"}}, "user role"},
		"POST /account/password":                           {"/account/password", url.Values{"password": {password}, "new": {password}}, "user password"},
		"POST /account/preferences":                        {"/account/preferences", url.Values{"lang": {"en"}}, "account preferences"},
		"POST /account/sessions":                           {"/account/sessions", url.Values{"id": {"0"}}, "account sessions"},
		"POST /upgrade/try":                                {"/upgrade/try", url.Values{"threshold": {"1"}}, "upgrade try"},
		"POST /upgrade/run":                                {"/upgrade/run", url.Values{"threshold": {"1"}, "sure": {"1"}}, "upgrade run"},
		"POST /upgrade/links/{kind}/{id}":                  {"", nil, ""}, // in TestLinksOfYourOwnAreReplacedOneByOneInDraftsAndTemplates
		"POST /upgrade/links/{kind}/{id}/keep":             {"", nil, ""}, // in TestALinkOfYourOwnIsKeptForAReason
		"POST /upgrade/kept/{id}/ask":                      {"", nil, ""}, // likewise
		"POST /logout":                                     {"", nil, ""}, // ends a session of one's own
	}
	worker, err := o.db.StartWorker(t.Context(), "w", time.Hour)
	if err == nil {
		err = o.db.DescribeWorker(t.Context(), worker, campaign.About{Relays: []campaign.Relay{{Name: "mail.example:25", Host: "mail.example", Encryption: "none"}}})
	}
	if err != nil {
		t.Fatal(err)
	}
	// Each is told of once, but for this: it is a change of consent as well, which
	// could have been one for many.
	twice := "POST /contacts/{id}/emarketing"
	if err := o.db.CreateType(t.Context(), contact.NewType{Key: "news", Names: map[string]string{"en": "News"}}, "test", noon); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		list, err := o.db.CreateImport(t.Context(), "list.csv", "test", noon)
		if err == nil {
			err = o.db.AddImportPart(t.Context(), list, 0, []byte("E-mail\nbo@example.org\n"))
		}
		if err == nil {
			err = o.db.EndImport(t.Context(), list, contact.ImportUploading, contact.ImportChecked, "", noon)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, route := range console.Routes() {
		if strings.HasPrefix(route.Pattern, "GET ") || route.Role == "" {
			continue
		}
		f, ok := forms[route.Pattern]
		if !ok {
			t.Errorf("%s changes something: say here what it writes", route.Pattern)
		}
		if f.path == "" {
			continue
		}
		if lines := o.toldOf(b, f.path, f.form, f.want); lines != 1 && route.Pattern != twice {
			t.Errorf("%s is told of in %d lines", f.path, lines)
		}
	}
}

func TestWhatIsDoneToACampaignIsAudited(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	o.town(10)
	b := o.as(staff.Marketer)
	id := o.newsletter("June")
	path := fmt.Sprintf("/campaigns/%d/", id)
	o.toldOf(b, path+"launch", url.Values{"seen": {seen(b.checked(id))}, "at": {noon.AddDate(0, 0, 2).Format("2006-01-02T15:04")}}, "campaign launch")
	o.toldOf(b, path+"unschedule", nil, "campaign unschedule")
	o.toldOf(b, path+"launch", url.Values{"seen": {seen(b.checked(id))}}, "campaign launch")
	if _, _, err := o.db.Sweep(t.Context(), true, noon, time.Hour, 10); err != nil {
		t.Fatal(err)
	}
	o.toldOf(b, path+"pause", nil, "campaign pause")
	o.toldOf(b, path+"resume", nil, "campaign resume")
	o.toldOf(b, path+"speed", url.Values{"pace": {"3"}, "priority": {"low"}}, "campaign speed")
	o.toldOf(b, path+"cancel", url.Values{"sure": {"1"}}, "campaign cancel")
}

// toldOf tries what cannot be told of in the audit log, and so is not done; and then
// does it, and returns how many lines tell of it.
func (o *office) toldOf(b *browser, path string, form url.Values, want string) (lines int) {
	o.t.Helper()
	before, tables := len(o.audited()), postgrestest.Tables(o.t, o.url)
	makeRoom := postgrestest.FillDisk(o.t, o.url, "INSERT", "audit", "true")
	w := b.do("POST", path, form)
	makeRoom()
	if after := o.audited(); w.Code < 400 && has(after, want) {
		return len(after) - before // in a ledger of its own, that the audit log shows
	}
	if w.Code != http.StatusServiceUnavailable {
		o.t.Errorf("%s answers %d, and the audit log knows nothing", path, w.Code)
	}
	for table, content := range postgrestest.Tables(o.t, o.url) {
		if content != tables[table] {
			o.t.Errorf("%s changes %s, and the audit log knows nothing: %s\nbefore: %s", path, table, content, tables[table])
		}
	}
	if w := b.do("POST", path, form); w.Code >= 400 {
		o.t.Errorf("%s answers %d: %s", path, w.Code, w.Body)
	}
	after := o.audited()
	if !has(after, want) {
		o.t.Errorf("%s: the audit log does not say %q: %q", path, want, after)
	}
	return len(after) - before
}

func TestTheAuditLog(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	b := o.as(staff.Officer)
	for i := range 120 {
		e := staff.Entry{Actor: "user:anna@jatak.example", Action: "contact export", Contact: int64(i + 1), At: noon.Add(time.Duration(i) * time.Minute)}
		if i%10 == 0 {
			e.Actor, e.Action, e.Detail = "=cmd()", "type create", "=1+1"+nasty
		}
		if err := o.db.WriteAudit(t.Context(), e); err != nil {
			t.Fatal(err)
		}
	}
	seen, path := 0, "/audit?what=contact&who=anna%40jatak.example"
	for path != "" {
		page := b.do("GET", path, nil).Body.String()
		seen += strings.Count(page, `class="main-cell"`)
		next := regexp.MustCompile(`href="(/audit\?[^"]*before=[^"]*)"`).FindStringSubmatch(page)
		if path = ""; next != nil {
			path = strings.ReplaceAll(next[1], "&amp;", "&")
		}
	}
	if seen != 108 {
		t.Errorf("walking the pages shows %d lines of 108", seen)
	}
	if page := b.do("GET", "/audit?contact=7", nil).Body.String(); strings.Count(page, `class="main-cell"`) != 1 {
		t.Error("one contact's line is not found alone")
	}
	if page := b.do("GET", "/audit?what=contact+export", nil).Body.String(); strings.Count(page, `class="main-cell"`) != 50 || !strings.Contains(page, `value="contact export" selected`) {
		t.Errorf("one kind of action: %s", page)
	}
	if page := b.do("GET", "/audit?what=contact+view", nil).Body.String(); strings.Contains(page, `class="main-cell"`) {
		t.Error("an action that nobody has done finds lines")
	}
	if page := b.do("GET", "/audit?from=2026-11-24", nil).Body.String(); strings.Contains(page, `class="main-cell"`) {
		t.Error("there are lines of a day on which nothing was done")
	}
	for _, query := range []string{"who=" + url.QueryEscape(nasty), "before=x", "before=9999999999999999999.1.1", "contact=99999999999999999999", "from=never", "what=%00"} {
		if w := b.do("GET", "/audit?"+query, nil); w.Code != http.StatusOK || strings.Contains(w.Body.String(), nasty) {
			t.Errorf("%s answers %d", query, w.Code)
		}
	}
	rows, err := csv.NewReader(b.do("GET", "/audit.csv?what=type", nil).Body).ReadAll()
	if err != nil || len(rows) != 13 || rows[1][1] != "'=cmd()" || rows[1][2] != "Added a subscription type" || !strings.HasPrefix(rows[1][7], "'=1+1") {
		t.Errorf("the file: %d rows, %v, %q", len(rows), err, rows)
	}
}

func TestRelaysAndDomains(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	b := o.as(staff.Administrator)
	if page := b.do("GET", "/settings/relays", nil).Body.String(); !strings.Contains(page, o.words.Text("en", "console.relays.none")) {
		t.Error("without a worker the page does not say what to do")
	}
	worker, err := o.db.StartWorker(t.Context(), "host/1", time.Hour)
	if err == nil {
		err = o.db.DescribeWorker(t.Context(), worker, campaign.About{
			Relays:  []campaign.Relay{{Name: "mail.example:587", Host: "mail.example", Encryption: "required", User: "u" + nasty, Connections: 20, Trouble: "it answers 530" + nasty}},
			Signers: []campaign.Signer{{Domain: "jatak.example", Selector: "j1", Record: "v=DKIM1; k=rsa; p=AAAA"}, {Domain: "narrow.example", Selector: "j1", Record: "v=DKIM1; k=rsa; p=AAAA"}}})
	}
	if err != nil {
		t.Fatal(err)
	}
	if w := b.do("POST", "/settings/relays/test", url.Values{"relay": {"169.254.169.254:80"}}); w.Code != http.StatusBadRequest {
		t.Errorf("a relay that nobody reports answers %d", w.Code)
	}
	if w := b.do("POST", "/settings/relays/test", url.Values{"relay": {"mail.example:587"}}); w.Code != http.StatusSeeOther {
		t.Errorf("asking for a test answers %d", w.Code)
	}
	if page := b.do("GET", "/settings/relays", nil).Body.String(); !strings.Contains(page, "being tried") || strings.Contains(page, nasty) || !strings.Contains(page, o.words.Text("en", "console.relay.trouble")) || !strings.Contains(page, "it answers 530") {
		t.Errorf("while it is tried: %s", page)
	}
	if w := b.do("POST", "/settings/limits", url.Values{"kind": {"relay"}, "name": {"mail.example:587"}, "pace": {"600/m"}, "connections": {"3"}}); w.Code != http.StatusSeeOther {
		t.Errorf("a limit answers %d: %s", w.Code, w.Body)
	}
	if limits, err := o.db.SendLimits(t.Context()); err != nil || len(limits) != 1 || limits[0].PerSecond != 10 || limits[0].Connections != 3 {
		t.Errorf("the limits are %+v, %v", limits, err)
	}
	test, ok, err := o.db.TakeRelayTest(t.Context(), []string{"mail.example:587"}, noon)
	if err != nil || !ok {
		t.Fatalf("no test to take: %v", err)
	}
	test.Says, test.Trouble, test.Done = "535 no", "login", noon
	if err := o.db.RecordRelayTest(t.Context(), test); err != nil {
		t.Fatal(err)
	}
	if page := b.do("GET", "/settings/relays", nil, "HX-Request", "true").Body.String(); !strings.Contains(page, "535 no") || !strings.Contains(page, o.words.Text("en", "console.relay.trouble.login")) || strings.Contains(page, "<html") {
		t.Errorf("what was found: %s", page)
	}
	if page := b.do("GET", "/settings/domains", nil).Body.String(); !strings.Contains(page, "/settings/domains/jatak.example") {
		t.Errorf("the domains: %s", page)
	}
	page := b.do("GET", "/settings/domains/jatak.example", nil).Body.String()
	for _, want := range []string{"console.dns.state.open", "console.dns.state.missing", "console.dns.state.unknown"} {
		if !strings.Contains(page, o.words.Text("en", want)) {
			t.Errorf("the page does not say %q: %s", o.words.Text("en", want), page)
		}
	}
	if !strings.Contains(page, "p=AAAA") || !strings.Contains(page, "v=spf1 a:mail.example ~all") {
		t.Error("the page does not say what to publish")
	}
	// Each record can be copied whole, and one message asks for all of them.
	for _, want := range []string{"2 records are missing or must be changed:", `id="record-2-name" readonly rows="1">j1._domainkey.jatak.example<`, "then write only j1._domainkey<",
		`data-copies="record-2-value"`, "please change the DNS of jatak.example as follows:", "   Value now: v=spf1 +all\n   New value: v=spf1 a:mail.example ~all", "2. Add a TXT record.\n   Name: j1._domainkey.jatak.example\n   Value: v=DKIM1; k=rsa; p=AAAA"} {
		if !strings.Contains(html.UnescapeString(page), want) {
			t.Errorf("the page lacks %q: %s", want, page)
		}
	}
	// Without a key there is no name to publish it at.
	if err := o.db.Set(t.Context(), contact.SettingSenderAddress, "news@plain.example", "test", noon); err != nil {
		t.Fatal(err)
	}
	if page := b.do("GET", "/settings/domains/plain.example", nil).Body.String(); strings.Contains(page, "_domainkey") || !strings.Contains(page, "jatak dkim keygen plain.example jatak1") {
		t.Errorf("the page of a domain without a key: %s", page)
	}
	page = b.do("GET", "/settings/domains/narrow.example", nil).Body.String()
	for _, want := range []string{o.words.Text("en", "console.dns.state.uncovered"), "mail.example (192.0.2.7)", "<code>a:mail.example</code>", "v=spf1 a:mail.example include:provider.example -all"} {
		if !strings.Contains(page, want) {
			t.Errorf("the page of a domain whose SPF record does not cover the relay lacks %q: %s", want, page)
		}
	}
	if w := b.do("GET", "/settings/domains/internal.example", nil); w.Code != http.StatusNotFound {
		t.Errorf("another's domain answers %d", w.Code)
	}
}

func TestLimits(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	b := o.as(staff.Administrator)
	b.do("POST", "/language", url.Values{"lang": {"da"}})
	form := func(pairs ...string) url.Values {
		f := url.Values{}
		for i := 0; i+1 < len(pairs); i += 2 {
			f.Set(pairs[i], pairs[i+1])
		}
		return f
	}
	set := func(want int, f url.Values) string {
		t.Helper()
		w := b.do("POST", "/settings/limits", f)
		if w.Code != want || strings.Contains(w.Body.String(), nasty) {
			t.Errorf("%v answers %d: %s", f, w.Code, w.Body)
		}
		return w.Body.String()
	}
	// What is wrong is named, and what was written stays in the form.
	for _, test := range []struct {
		form url.Values
		want string
	}{
		{form("kind", "planet", "name", "x", "pace", "1/s"), "kind"},
		{form("kind", "relay", "name", "", "pace", "1/s"), "name"},
		{form("kind", "destination", "name", "two words", "pace", "1/s"), "name"},
		{form("kind", "relay", "name", "mail.example", "pace", "1/s"), "relay"},
		{form("kind", "relay", "name", "mail.example:25", "pace", "1/s", "domains", "a.example"), "relay_domains"},
		{form("kind", "destination", "name", "kommuner", "pace", "1/s"), "domains"},
		{form("kind", "destination", "name", "kommuner", "pace", "1/s", "domains", "odense.dk, a..b"), "domain"},
		{form("kind", "destination", "name", "kommuner", "pace", "1/s", "domains", nasty), "domain"},
		{form("kind", "destination", "name", "kommuner", "pace", "1/s", "domains", strings.Repeat("a.example ", 1001)), "domains_many"},
		{form("kind", "destination", "name", "a.example", "pace", "fast"), "pace"},
		{form("kind", "destination", "name", "a.example", "connections", "-1"), "connections"},
		{form("kind", "destination", "name", "a.example"), "nothing"},
		{form("kind", "destination", "name", "a.example", "first", "none"), "first"},
		{form("kind", "destination", "name", "a.example", "first", "-5"), "first"},
		{form("kind", "destination", "name", "a.example", "first", "500", "growth", "1"), "growth"},
		{form("kind", "destination", "name", "a.example", "first", "500", "growth", "NaN"), "growth"},
		{form("kind", "destination", "name", "a.example", "first", "500", "from", "soon"), "from"},
	} {
		parts := strings.Split(o.words.Text("da", "console.limit.wrong."+test.want), "%s")
		page := set(http.StatusBadRequest, test.form)
		if says := parts[len(parts)-1]; !strings.Contains(page, says) {
			t.Errorf("%v is not answered by %q: %s", test.form, says, page)
		}
		if name := test.form.Get("name"); name != "" && !strings.Contains(page, `value="`+name+`"`) {
			t.Errorf("the name %q is gone", name)
		}
	}
	if limits, err := o.db.SendLimits(t.Context()); err != nil || len(limits) != 0 {
		t.Fatalf("the limits are %+v, %v", limits, err)
	}

	set(http.StatusSeeOther, form("kind", "destination", "name", "Kommuner", "pace", "20/s", "domains", "Odense.dk\r\naarhus.dk; kk.dk", "first", "1.000", "from", "2026-11-20", "growth", "1,5"))
	set(http.StatusSeeOther, form("kind", "relay", "name", "Mail.Example:587", "connections", "3", "first", "50"))
	limits, err := o.db.SendLimits(t.Context())
	if err != nil || len(limits) != 2 {
		t.Fatalf("the limits are %+v, %v", limits, err)
	}
	relay, group := limits[0], limits[1]
	if group.Name != "kommuner" || strings.Join(group.Domains, " ") != "odense.dk aarhus.dk kk.dk" || group.PerSecond != 20 || group.WarmUp.First != 1000 ||
		group.WarmUp.Growth != 1.5 || !group.WarmUp.From.Equal(time.Date(2026, 11, 20, 0, 0, 0, 0, time.UTC)) {
		t.Errorf("the group is kept as %+v", group)
	}
	if relay.Name != "Mail.Example:587" || relay.WarmUp.Growth != 1.5 || !relay.WarmUp.From.Equal(noon.Truncate(24*time.Hour)) {
		t.Errorf("the relay is kept as %+v", relay)
	}
	page := b.do("GET", "/settings/relays", nil).Body.String()
	if !strings.Contains(page, "1.000 mails den 20. nov. 2026, 1,5 gange så mange hver dag, indtil 9. dec. 2026.") || !strings.Contains(page, o.words.Text("da", "console.limit.warmup")) {
		t.Errorf("the page does not tell of the warm-up: %s", page)
	}

	// Who sets one that is there already is shown it first: nothing of it is lost.
	if page := set(http.StatusConflict, form("kind", "destination", "name", "kommuner", "pace", "5/s")); !strings.Contains(page, "aarhus.dk") {
		t.Errorf("the form does not show what there is: %s", page)
	}
	edit := b.do("GET", "/settings/relays?kind=destination&name=kommuner", nil).Body.String()
	if !strings.Contains(edit, `name="change" value="1"`) || !strings.Contains(edit, `value="1.000"`) || !strings.Contains(edit, `value="2026-11-20"`) {
		t.Errorf("the form: %s", edit)
	}
	set(http.StatusSeeOther, form("kind", "destination", "name", "kommuner", "change", "1", "pace", "5/s", "domains", "odense.dk"))
	if limits, err = o.db.SendLimits(t.Context()); err != nil || limits[1].PerSecond != 5 || len(limits[1].Domains) != 1 || limits[1].WarmUp.First != 0 {
		t.Errorf("after the change: %+v, %v", limits, err)
	}
	if page := o.as(staff.Viewer).do("GET", "/settings/relays?kind=destination&name=kommuner", nil).Body.String(); strings.Contains(page, `action="/settings/limits"`) {
		t.Error("a viewer is shown the form")
	}
}

// upload posts a form with a file.
func (b *browser) upload(path string, fields map[string]string, logo []byte) *httptest.ResponseRecorder {
	b.o.t.Helper()
	var body bytes.Buffer
	form := multipart.NewWriter(&body)
	for name, value := range fields {
		_ = form.WriteField(name, value)
	}
	if file, err := form.CreateFormFile("logo", "logo.png"); err != nil {
		b.o.t.Fatal(err)
	} else if _, err := file.Write(logo); err != nil {
		b.o.t.Fatal(err)
	}
	_ = form.Close()
	r := httptest.NewRequest("POST", path, &body)
	r.Header.Set("Content-Type", form.FormDataContentType())
	r.AddCookie(&http.Cookie{Name: "jatak_session", Value: b.cookies["jatak_session"]})
	w := httptest.NewRecorder()
	b.o.handler.ServeHTTP(w, r)
	return w
}

func TestLook(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	b := o.as(staff.Administrator)
	png := append([]byte("\x89PNG\r\n\x1a\n"), make([]byte, 100)...)
	for name, test := range map[string]struct {
		fields map[string]string
		logo   []byte
		want   int
	}{
		"no colour":      {map[string]string{"colour": "red"}, nil, 400},
		"no words":       {map[string]string{"colour": "#ffff00"}, png, 400},
		"no picture":     {map[string]string{"alt": "Us"}, []byte("<html>"), 400},
		"too large":      {map[string]string{"alt": "Us"}, append(png, make([]byte, 201<<10)...), 400},
		"much too large": {map[string]string{"alt": "Us"}, append(png, make([]byte, 1<<20)...), 413},
		"all of it":      {map[string]string{"colour": "#ffff00", "alt": "Us"}, png, 303},
	} {
		if w := b.upload("/settings/look", test.fields, test.logo); w.Code != test.want {
			t.Errorf("%s answers %d: %.300s", name, w.Code, w.Body)
		}
	}
	look, err := o.db.Brand(t.Context())
	if err != nil || look.Colour != "#ffff00" || look.LogoAlt != "Us" || len(look.Logo) != len(png) {
		t.Errorf("kept: %q %q %d, %v", look.Colour, look.LogoAlt, len(look.Logo), err)
	}
	// The preview shows what is kept, a colour that is tried, or ours, on light and
	// on dark pages whatever the browser's theme; and nothing can be done on it.
	light, dark, _ := look.Pairs()
	for query, want := range map[string]string{"theme=light": "--main: " + light.Main, "theme=dark": "--main: " + dark.Main, "theme=dark&colour=%230000ff": "--main: #", "theme=light&colour=%230000ff": "--main: #0000ff",
		"theme=light&colour=ours": "--main: #0b6e4f"} {
		w := b.do("GET", "/settings/look/preview?lang=da&"+query, nil)
		if policy := w.Header().Get("Content-Security-Policy"); !strings.Contains(policy, "frame-ancestors 'self'") || !strings.Contains(policy, "form-action 'none'") || strings.Contains(policy, "script-src") {
			t.Errorf("the preview's policy is %q", policy)
		}
		assets := regexp.MustCompile(`(?:href|src)="(/settings/look/preview/[^"]+/static/[^"]+)"`).FindAllStringSubmatch(w.Body.String(), -1)
		if len(assets) < 3 {
			t.Fatalf("the preview refers to %v", assets)
		}
		style := ""
		for _, a := range assets {
			got := b.do("GET", a[1], nil)
			if got.Code != http.StatusOK {
				t.Errorf("%s answers %d", a[1], got.Code)
			}
			style += got.Body.String()
		}
		if !strings.Contains(style, want) || strings.Contains(style, "prefers-color-scheme") || strings.Contains(query, "dark") != strings.Contains(style, "(min-width: 0)") {
			t.Errorf("%s does not hold %q, or asks for the browser's theme", query, want)
		}
	}
	// One form: a colour that is chosen is shown before it is kept, with what is
	// wrong with it and what is shown instead, with a script and without.
	if part := b.do("GET", "/settings/look?colour=%23ffee99&ours=&lang=da", nil, "HX-Request", "true").Body.String(); strings.Contains(part, "<html") ||
		!strings.Contains(part, "buttons can hardly be seen") || !strings.Contains(part, "colour=%23ffee99&amp;lang=da&amp;theme=dark") {
		t.Errorf("while it is chosen: %s", part)
	}
	shown := b.upload("/settings/look", map[string]string{"colour": "#ffee99", "ours": "", "alt": "Them", "show": "1"}, nil)
	if page := shown.Body.String(); shown.Code != http.StatusOK || strings.Count(page, `method="post" action="/settings/look"`) != 1 || !strings.Contains(page, `value="#ffee99"`) || !strings.Contains(page, `value="Them"`) ||
		strings.Count(page, "<iframe") != 2 || !strings.Contains(page, o.words.Text("en", "console.look.tried")) {
		t.Errorf("shown without a script: %d %s", shown.Code, page)
	}
	if again, err := o.db.Brand(t.Context()); err != nil || again.Version != look.Version {
		t.Errorf("showing has kept something: version %d, %v", again.Version, err)
	}
	if w := b.upload("/settings/look", map[string]string{"colour": "#ffee99", "ours": "1", "nologo": "1"}, nil); w.Code != http.StatusSeeOther {
		t.Errorf("ours again answers %d", w.Code)
	}
	if again, err := o.db.Brand(t.Context()); err != nil || again.Colour != "" || again.Logo != nil || again.LogoAlt != "" {
		t.Errorf("ours again: %q %q, %v", again.Colour, again.LogoAlt, err)
	}
}

// All texts of a language are on one page with ours beside them, are saved
// together, and each can be ours again.
func TestWordsOfTheTenantsOwn(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	b := o.as(staff.Administrator)
	const path = "/settings/look/words"
	page := b.do("GET", path+"?lang=da", nil).Body.String()
	for _, key := range o.words.Keys("da") {
		if !strings.Contains(page, `name="text.`+key+`"`) {
			t.Errorf("the page lacks %s", key)
		}
	}
	for _, want := range []string{html.EscapeString(o.words.Text("da", "manage.stop")), html.EscapeString(o.words.Text("en", "manage.stop"))} {
		if !strings.Contains(page, want) {
			t.Errorf("the page does not show %q beside the field", want)
		}
	}
	save := func(want int, version string, form url.Values) string {
		t.Helper()
		form.Set("lang", "da")
		form.Set("version", version)
		w := b.do("POST", path, form)
		if w.Code != want {
			t.Errorf("%v answers %d, want %d", form, w.Code, want)
		}
		return w.Body.String()
	}
	words := func() map[string]string {
		t.Helper()
		look, err := o.db.Brand(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return look.Words["da"]
	}
	save(303, "0", url.Values{"text.manage.title": {"Dine mails"}, "text.manage.save": {" Gem det "}, "text.manage.undo": {o.words.Text("da", "manage.undo")}, "text.manage.off": {""}})
	if got := words(); len(got) != 2 || got["manage.title"] != "Dine mails" || got["manage.save"] != "Gem det" {
		t.Errorf("kept: %v", got)
	}
	// What is wrong is said beside its field, what was written stays, and nothing
	// of the form is kept.
	for text, why := range map[string]string{"Vil du %s og %s?": "It must hold %s, once each", "Vil du?": "It must hold %s, once each", "a\r\nb": ">Write it on one line.<",
		strings.Repeat("x", 601): ">Write at most 600 characters.<", "a\xffb": ">Write at most 600 characters.<"} {
		page := save(400, "1", url.Values{"text.unsubscribe.ask.type": {text}, "text.manage.title": {"Dine andre mails"}})
		if !strings.Contains(page, "1 text cannot be kept as it is") || strings.Count(page, `aria-invalid="true"`) != 1 || !strings.Contains(page, why) || !strings.Contains(page, `value="Dine andre mails"`) {
			t.Errorf("%.20q: %s", text, page)
		}
	}
	if page := save(409, "0", url.Values{"text.manage.title": {"Af en anden"}}); !strings.Contains(page, `value="Af en anden"`) || words()["manage.title"] != "Dine mails" {
		t.Errorf("a page that was opened before the last change: %v", words())
	}
	// One text is ours again, and what else was written is kept.
	save(303, "1", url.Values{"text.manage.title": {"Dine mails"}, "text.manage.save": {"Gem nu"}, "ours": {"manage.title"}})
	if got := words(); len(got) != 1 || got["manage.save"] != "Gem nu" {
		t.Errorf("after one was made ours again: %v", got)
	}
	save(303, "2", url.Values{"text.manage.save": {""}})
	if got := words(); len(got) != 0 {
		t.Errorf("emptied: %v", got)
	}
	if w := b.do("POST", path, url.Values{"lang": {"xx"}, "text.manage.title": {"x"}}); w.Code != 400 {
		t.Errorf("a language without pages answers %d", w.Code)
	}
	if w := b.do("POST", path, url.Values{"lang": {"da"}, "text.manage.title": {strings.Repeat("x", 2<<20)}}); w.Code != 413 {
		t.Errorf("two megabytes answer %d", w.Code)
	}
	for _, lang := range o.words.Languages() {
		if page := b.do("GET", path+"?lang="+lang, nil).Body.String(); strings.Count(page, `name="text.`) != len(o.words.Keys(lang)) || strings.Contains(page, "console.look.words.group") {
			t.Errorf("not every text of %s is on the page, or a group has no name", lang)
		}
	}
}

func TestUpgradeAssistant(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	officer, b := o.as(staff.Officer), o.as(staff.Administrator)
	if page := officer.do("GET", "/", nil).Body.String(); strings.Count(page, `href="/upgrade"`) != 2 {
		t.Error("the first page does not lead to the assistant")
	}
	page := officer.do("GET", "/upgrade", nil).Body.String()
	if !strings.Contains(page, "Anna Holm") || strings.Contains(page, nasty) || strings.Contains(page, `formaction="/upgrade/run"`) {
		t.Errorf("the page of an officer: %s", page)
	}
	// Before anything is tried each point says whom it is about, and leads to some.
	points := strings.Split(page, `<section class="card"><h2>`)
	for point, want := range map[int]string{1: "2", 2: "0", 3: "2", 4: "0", 5: "0", 6: "0"} {
		if !strings.Contains(points[point], "<dd><strong>"+want+"</strong></dd>") {
			t.Errorf("point %d is not about %s: %s", point, want, points[point])
		}
		for _, m := range regexp.MustCompile(`<li><a href="([^"]+)">`).FindAllStringSubmatch(points[point], -1) {
			if w := officer.do("GET", m[1], nil); w.Code != http.StatusOK || !strings.Contains(w.Body.String(), "Holm") {
				t.Errorf("point %d leads to %s, which answers %d", point, m[1], w.Code)
			}
		}
	}
	if strings.Count(points[1], `<li><a href="/contacts/`) != 2 {
		t.Errorf("point 1 has no examples: %s", points[1])
	}
	for _, form := range []url.Values{{"threshold": {"0"}}, {"threshold": {"x"}}, {"threshold": {"1"}, "urls": {"javascript:alert(1)"}}, {"threshold": {"1"}, "urls": {strings.Repeat("https://a.example\n", 51)}}} {
		if w := officer.do("POST", "/upgrade/try", form); w.Code != http.StatusBadRequest {
			t.Errorf("%.60v answers %d", form, w.Code)
		}
	}
	if w := officer.do("POST", "/upgrade/try", url.Values{"threshold": {"1"}}); w.Code != http.StatusSeeOther {
		t.Errorf("a try answers %d: %s", w.Code, w.Body)
	}
	if n, err := o.db.CountToUpgrade(t.Context(), 10); err != nil || n != 2 {
		t.Errorf("after the try %d contacts are left, %v", n, err)
	}
	if page := officer.do("GET", "/upgrade", nil).Body.String(); !strings.Contains(page, o.words.Text("en", "console.upgrade.tried")) {
		t.Errorf("after the try: %s", page)
	}
	if w := b.do("POST", "/upgrade/run", url.Values{"threshold": {"1"}}); w.Code != http.StatusBadRequest {
		t.Errorf("without being sure it answers %d", w.Code)
	}
	if w := b.do("POST", "/upgrade/run", url.Values{"threshold": {"1"}, "sure": {"1"}}); w.Code != http.StatusSeeOther {
		t.Errorf("the run answers %d: %s", w.Code, w.Body)
	}
	if n, err := o.db.CountToUpgrade(t.Context(), 10); err != nil || n != 0 {
		t.Errorf("after the run %d contacts are left, %v", n, err)
	}
	if page := officer.do("GET", "/", nil).Body.String(); strings.Contains(page, `href="/upgrade"`) {
		t.Error("the assistant is in the way when all is done")
	}
	// One that goes on is told of, and no second begins; one that went silent is
	// told of as interrupted.
	if _, err := o.db.StartUpgradeRun(t.Context(), contact.UpgradeRun{Actor: "x", Threshold: 1, Started: noon}); err != nil {
		t.Fatal(err)
	}
	if page := officer.do("GET", "/upgrade", nil, "HX-Request", "true").Body.String(); !strings.Contains(page, `hx-trigger="every 2s"`) {
		t.Error("a run that goes on is not told of")
	}
	if w := b.do("POST", "/upgrade/run", url.Values{"threshold": {"1"}, "sure": {"1"}}); w.Code != http.StatusConflict {
		t.Errorf("a second answers %d", w.Code)
	}
	if _, err := o.db.StartUpgradeRun(t.Context(), contact.UpgradeRun{Actor: "x", Threshold: 1, Started: noon.Add(-time.Hour)}); !errors.Is(err, contact.ErrUpgrading) {
		t.Errorf("starting a second: %v", err)
	}
	if _, err := o.db.StartUpgradeRun(t.Context(), contact.UpgradeRun{Actor: "x", Threshold: 1, Started: noon.Add(time.Hour)}); err != nil {
		t.Errorf("after one that went silent: %v", err)
	}
}

func TestLinksOfYourOwnAreReplacedOneByOneInDraftsAndTemplates(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	b := o.as(staff.Officer)
	content := campaign.Content{Name: "Links " + nasty, FromName: "N", FromAddress: "n@jatak.example", PostalAddress: "P", DefaultLanguage: "en",
		Variants: map[string]campaign.Variant{"en": {Subject: "s", HTML: "<p>Hi</p>\n<a href=\"https://ours.example/stop\">Unsubscribe</a>\n<a href=\"https://ours.example/bye\">Unsubscribe</a>", Text: "Hi"}}}
	id, err := o.db.CreateCampaign(t.Context(), content, noon)
	if err != nil {
		t.Fatal(err)
	}
	template, err := o.db.CreateTemplate(t.Context(), content, "test", noon)
	if err != nil {
		t.Fatal(err)
	}
	page := b.do("GET", "/upgrade/links", nil).Body.String()
	if strings.Count(page, fmt.Sprintf(`action="/upgrade/links/campaigns/%d"`, id)) != 2 || strings.Count(page, fmt.Sprintf(`action="/upgrade/links/templates/%d"`, template)) != 2 || strings.Contains(page, nasty) {
		t.Fatalf("the links: %s", page)
	}
	if page := b.do("GET", "/upgrade", nil).Body.String(); !strings.Contains(page, "Look at 4 links of your own") {
		t.Errorf("the assistant does not count them: %s", page)
	}
	for path, ref := range map[string]campaign.DraftRef{fmt.Sprintf("/upgrade/links/campaigns/%d", id): {ID: int64(id)}, fmt.Sprintf("/upgrade/links/templates/%d", template): {Template: true, ID: template}} {
		var f campaign.Finding
		for _, one := range campaign.Findings(content, "en") {
			if one.Code == campaign.CodeCustomLink {
				f = one
			}
		}
		form := url.Values{"lang": {"en"}, "part": {f.Part}, "place": {fmt.Sprintf("%d:%d", f.Line, f.Column)}, "original": {f.Original}}
		if w := b.do("POST", path, form); w.Code != http.StatusSeeOther {
			t.Errorf("replacing at %s answers %d: %s", path, w.Code, w.Body)
		}
		if w := b.do("POST", path, form); w.Code != http.StatusConflict {
			t.Errorf("replacing twice at %s answers %d", path, w.Code)
		}
		d, err := o.db.Draft(t.Context(), ref)
		if html := d.Content.Variants["en"].HTML; err != nil || strings.Contains(html, "/bye") || !strings.Contains(html, "/stop") {
			t.Errorf("%s is %q, %v", path, html, err)
		}
		if versions, err := o.db.Versions(t.Context(), ref); err != nil || len(versions) != 2 {
			t.Errorf("what %s was cannot be restored: %+v, %v", path, versions, err)
		}
	}
	for _, path := range []string{"/upgrade/links/templates/999", "/upgrade/links/campaigns/x", "/upgrade/links/contacts/1"} {
		if w := b.do("POST", path, url.Values{}); w.Code != http.StatusNotFound {
			t.Errorf("%s answers %d", path, w.Code)
		}
	}
	if !has(o.audited(), "campaign link") || !has(o.audited(), "template link") {
		t.Errorf("the audit log does not say so: %q", o.audited())
	}
}

// Who keeps a link says why; then nobody is asked about it, here or in the
// template, and the upgrade leaves it, until that is taken back or it is written
// differently.
func TestALinkOfYourOwnIsKeptForAReason(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	b := o.as(staff.Officer)
	own := `<a style="` + strings.Repeat("font: 400 13px Arial; ", 20) + `" href="https://ours.example/stop">Unsubscribe</a>`
	content := campaign.Content{Name: "Letter", FromName: "N", FromAddress: "n@jatak.example", PostalAddress: "P", DefaultLanguage: "en",
		Variants: map[string]campaign.Variant{"en": {Subject: "s", HTML: "<p>Hi</p>\n" + own, Text: "Hi {{ manage_url }} P"}}}
	shown := ""
	for _, f := range campaign.Findings(content, "en") {
		if f.Code == campaign.CodeCustomLink {
			shown = f.Original
		}
	}
	var drafts []campaign.DraftRef
	for range 2 {
		id, err := o.db.CreateTemplate(t.Context(), content, "test", noon)
		if err != nil {
			t.Fatal(err)
		}
		drafts = append(drafts, campaign.DraftRef{Template: true, ID: id})
	}
	path := fmt.Sprintf("/upgrade/links/templates/%d/keep", drafts[0].ID)
	form := func(reason string) url.Values {
		return url.Values{"lang": {"en"}, "part": {"html"}, "place": {"2:1"}, "original": {shown}, "reason": {reason}}
	}
	asked := func() (links, warned int) {
		t.Helper()
		page := b.do("GET", "/upgrade/links", nil).Body.String()
		if composer := b.do("GET", fmt.Sprintf("/templates/%d/edit/content", drafts[0].ID), nil).Body.String(); strings.Contains(composer, o.words.Text("en", "console.finding.custom_link")) {
			warned = 1
		}
		return strings.Count(page, `/keep"`), warned
	}
	for _, lang := range []string{"da", "en"} {
		b.do("POST", "/language", url.Values{"lang": {lang}})
		for _, reason := range []string{"", "  ", strings.Repeat("ø", campaign.MostReason+1), "a\r\nBcc: b", "a\u202eb"} {
			w := b.do("POST", path, form(reason))
			if page := html.UnescapeString(w.Body.String()); w.Code != http.StatusBadRequest || !strings.Contains(page, o.words.Text(lang, "console.upgrade.keep.wrong", campaign.MostReason)) || strings.Count(page, "<details open>") != 1 {
				t.Errorf("the reason %.10q answers %d: %s", reason, w.Code, page)
			}
		}
	}
	if links, warned := asked(); links != 2 || warned != 1 {
		t.Errorf("before, %d links are asked about, and the template warns of %d", links, warned)
	}
	reason := strings.Repeat("ø", campaign.MostReason-len(nasty)) + nasty
	if w := b.do("POST", path, form(reason)); w.Code != http.StatusSeeOther {
		t.Fatalf("keeping answers %d: %s", w.Code, w.Body)
	}
	if links, warned := asked(); links != 1 || warned != 0 {
		t.Errorf("when one is kept, %d links are asked about, and the template warns of %d", links, warned)
	}
	page := b.do("GET", "/upgrade/links", nil).Body.String()
	for _, want := range []string{html.EscapeString(reason), "officer@jatak.example", "23 Nov 2026"} {
		if !strings.Contains(page, want) {
			t.Errorf("of the kept link the page does not say %q: %s", want, page)
		}
	}
	if page := b.do("GET", "/upgrade", nil).Body.String(); !strings.Contains(page, "You keep 1 link of your own") || !strings.Contains(page, "Look at 1 link of your own") {
		t.Errorf("the assistant does not count it: %s", page)
	}
	for _, stale := range []string{path, strings.TrimSuffix(path, "/keep")} { // a page that was opened before
		if w := b.do("POST", stale, form("x")); w.Code != http.StatusConflict {
			t.Errorf("%s answers %d for a link that is kept", stale, w.Code)
		}
	}
	// The upgrade leaves it although it leads to a page of the old system's.
	admin := o.as(staff.Administrator)
	if w := admin.do("POST", "/upgrade/run", url.Values{"threshold": {"1"}, "sure": {"1"}, "urls": {"https://ours.example/stop"}}); w.Code != http.StatusSeeOther {
		t.Fatalf("the run answers %d: %s", w.Code, w.Body)
	}
	for i, ref := range drafts {
		d, err := o.db.Draft(t.Context(), ref)
		if stays := strings.Contains(d.Content.Variants["en"].HTML, own); err != nil || stays != (i == 0) {
			t.Errorf("after the run template %d is %q, %v", i, d.Content.Variants["en"].HTML, err)
		}
	}

	kept, err := o.db.KeptLinks(t.Context())
	if err != nil || len(kept) != 1 {
		t.Fatalf("%+v, %v", kept, err)
	}
	// One that is written differently is another link, however alike the two begin.
	changed := content.Clone()
	changed.Variants["en"] = campaign.Variant{Subject: "s", HTML: strings.Replace(content.Variants["en"].HTML, "/stop", "/bye", 1), Text: content.Variants["en"].Text}
	if _, err := o.db.KeepDraft(t.Context(), campaign.Save{DraftRef: drafts[0], Base: 1, Content: changed, Actor: "test", Action: "save", At: noon}); err != nil {
		t.Fatal(err)
	}
	if links, warned := asked(); links != 1 || warned != 1 {
		t.Errorf("of the changed link nobody is asked: %d, %d", links, warned)
	}
	if _, err := o.db.KeepDraft(t.Context(), campaign.Save{DraftRef: drafts[0], Base: 2, Content: content, Actor: "test", Action: "save", At: noon}); err != nil {
		t.Fatal(err)
	}
	undo := fmt.Sprintf("/upgrade/kept/%d/ask", kept[0].ID)
	if !strings.Contains(page, undo) {
		t.Errorf("the page does not take it back: %s", page)
	}
	for _, want := range []int{http.StatusSeeOther, http.StatusConflict} {
		if w := b.do("POST", undo, url.Values{}); w.Code != want {
			t.Errorf("taking it back answers %d, want %d", w.Code, want)
		}
	}
	if links, warned := asked(); links != 1 || warned != 1 {
		t.Errorf("when it is taken back, %d links are asked about, and the template warns of %d", links, warned)
	}
	for _, want := range []string{fmt.Sprintf("user:officer@jatak.example template link keep template %d version 1 line 2: %s", drafts[0].ID, reason),
		fmt.Sprintf("user:officer@jatak.example template link ask template %d version 3: %s", drafts[0].ID, reason)} {
		if !has(o.audited(), want) {
			t.Errorf("the audit log does not say %q: %q", want, o.audited())
		}
	}
	if page := html.UnescapeString(b.do("GET", "/audit?what=template+link+keep", nil).Body.String()); !strings.Contains(page, "Kept a link of your own in a template") || !strings.Contains(page, fmt.Sprintf("template %d, version 1, line 2: ", drafts[0].ID)) {
		t.Errorf("the audit log does not say it in words: %s", page)
	}
}

// Every page of settings, users and upgrade at a desk and on a phone, light and
// dark, and what htmx does beyond the plain pages.
func TestSettingsInABrowser(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("starts a browser")
	}
	o := newOffice(t)
	now := time.Now()
	worker, err := o.db.StartWorker(t.Context(), "mail1/4711", time.Hour)
	if err == nil {
		err = o.db.DescribeWorker(t.Context(), worker, campaign.About{
			Relays: []campaign.Relay{{Name: "mail.example:587", Host: "mail.example", Encryption: "required", User: "jatak", Connections: 20},
				{Name: "backup.example:465", Host: "backup.example", Encryption: "tls", Connections: 10}},
			Signers: []campaign.Signer{{Domain: "jatak.example", Selector: "j1", Record: "v=DKIM1; k=rsa; p=" + strings.Repeat("AbCd", 80)}, {Domain: "narrow.example", Selector: "j1", Record: "v=DKIM1; p=AbCd"}}})
	}
	if err == nil {
		err = o.db.CreateType(t.Context(), contact.NewType{Key: "news", Names: map[string]string{"en": "News", "da": "Nyheder"}}, "test", now)
	}
	if err == nil {
		err = o.db.CreateType(t.Context(), contact.NewType{Key: "offers", Names: map[string]string{"en": "Offers", "da": "Tilbud"}}, "test", now)
	}
	if err == nil {
		err = o.db.Set(t.Context(), gating.SettingBounceLimit, "7", "user:anna@jatak.example", now)
	}
	if err == nil {
		err = o.db.Schedule(t.Context(), o.id, now.Add(time.Hour), campaign.Override{})
	}
	if err == nil {
		_, err = o.db.CreateCampaign(t.Context(), campaign.Content{Name: "Autumn letter", FromName: "N", FromAddress: "n@jatak.example", PostalAddress: "P", DefaultLanguage: "en",
			Variants: map[string]campaign.Variant{"en": {Subject: "s", HTML: `<p><a href="https://ours.example/stop">Unsubscribe</a></p>`}}}, now)
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range []campaign.Limit{{Kind: campaign.DestinationLimit, Name: "kommuner", Domains: []string{"odense.dk", "aarhus.dk", "kk.dk", "aalborg.dk"}, PerSecond: 20,
		WarmUp: campaign.WarmUp{From: now.UTC().AddDate(0, 0, -3).Truncate(24 * time.Hour), First: 1000, Growth: 1.5}},
		{Kind: campaign.RelayLimit, Name: "mail.example:587", PerSecond: 50, Connections: 20}} {
		if err := o.db.SetLimit(t.Context(), l, "test", now); err != nil {
			t.Fatal(err)
		}
	}
	b := o.browse(staff.Administrator)
	// Asking about privacy counts by itself.
	b.do(chromedp.Navigate(b.url+"/settings/rules/emarketing-privacy"), chromedp.Click(chromedp.CSS(`input[value=on]`)), chromedp.Click(chromedp.CSS("button.main")),
		chromedp.WaitVisible(chromedp.CSS(`[hx-get] table`)))
	b.says("2 mails that are still to be sent would be held back.")
	// A test that a worker has done shows without a reload.
	b.do(chromedp.Navigate(b.url+"/settings/relays"), chromedp.Click(chromedp.CSS(`form[action$="/test"] button`)), chromedp.WaitVisible(chromedp.CSS(`.badge.busy[role=status]`)))
	test, ok, err := o.db.TakeRelayTest(t.Context(), []string{"mail.example:587"}, time.Now())
	if err != nil || !ok {
		t.Fatalf("no test to take: %v", err)
	}
	test.OK, test.Says, test.Done = true, "STARTTLS PIPELINING", time.Now()
	if err := o.db.RecordRelayTest(t.Context(), test); err != nil {
		t.Fatal(err)
	}
	b.do(chromedp.WaitVisible(chromedp.CSS(`.badge.good`)))
	// A colour shows on the pages within while it is chosen, light and dark, and
	// they are shown whole.
	b.do(chromedp.Navigate(b.url+"/settings/look"), chromedp.WaitReady(chromedp.CSS("iframe")))
	if _, err := chromedp.Run(b.ctx, chromedp.Evaluate[bool](`(() => { const c = document.querySelector("[name=colour]"); c.value = "#aa0000"; c.dispatchEvent(new Event("input", {bubbles: true})); return true })()`)); err != nil {
		t.Fatal(err)
	}
	if _, err := chromedp.Run(b.ctx, chromedp.Poll[bool](`(() => { const pages = [...document.querySelectorAll("iframe")].map((f) => f.contentDocument), colour = (d, what) => d && d.querySelector(what) && getComputedStyle(d.querySelector(what)).backgroundColor;
		return colour(pages[0], "button") === "rgb(170, 0, 0)" && colour(pages[0], ".card") === "rgb(255, 255, 255)" && colour(pages[1], ".card") === "rgb(26, 33, 30)" &&
			[...document.querySelectorAll("iframe")].every((f) => f.clientHeight >= f.contentDocument.documentElement.scrollHeight) })()`)); err != nil {
		t.Fatal(err)
	}
	b.do(chromedp.Navigate(b.url+"/upgrade"), chromedp.Click(chromedp.CSS(`form[action$="/try"] button`)), chromedp.WaitVisible(chromedp.CSS(`.notice.info`)))
	for _, path := range []string{"/settings", "/settings/rules/emarketing-privacy", "/settings/rules/confirm-sources", "/settings/rules/bounce-limit", "/settings/privacy/effect?to=on", "/settings/types",
		"/settings/terms", "/settings/wording", "/settings/relays?kind=destination&name=kommuner", "/settings/domains", "/settings/domains/jatak.example", "/settings/domains/narrow.example", "/settings/look",
		"/settings/look/words", "/settings/users", "/account", "/audit", "/upgrade", "/upgrade/links"} {
		b.inspect(path)
	}
	b.do(chromedp.Navigate(b.url+"/account"), chromedp.Click(chromedp.CSS(`button[value=da]`)), chromedp.WaitVisible(chromedp.CSS(`html[lang=da] header .brand`)))
	b.says(o.words.Text("da", "console.account.sessions"))
}

// The link to become the first user is nobody's way in afterwards.
func TestTheFirstUserIsTheOnlyFirstOne(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	var links []string
	for range 3 {
		token, hash := staff.NewToken()
		if err := o.db.Invite(t.Context(), hash, "", staff.Administrator, "test", noon, noon.Add(time.Hour)); err != nil {
			t.Fatal(err)
		}
		links = append(links, "/setup/"+token)
	}
	enter := func(link, email string) int {
		return o.visitor().do("POST", link, url.Values{"email": {email}, "password": {password}}).Code
	}
	var answers [2]int
	var both sync.WaitGroup
	for i, email := range []string{"anna@jatak.example", "bo@jatak.example"} {
		both.Go(func() { answers[i] = enter(links[i], email) })
	}
	both.Wait()
	slices.Sort(answers[:])
	if answers != [2]int{http.StatusSeeOther, http.StatusNotFound} {
		t.Errorf("two at once become the first user: %d", answers)
	}
	if got := enter(links[2], "anna@jatak.example"); got != http.StatusNotFound {
		t.Errorf("a link that was left answers %d", got)
	}
	// One that a server makes which has not yet seen the first user.
	token, hash := staff.NewToken()
	if err := o.db.Invite(t.Context(), hash, "", staff.Administrator, "test", noon, noon.Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	for _, email := range []string{"anna@jatak.example", "bo@jatak.example", "carla@jatak.example"} {
		if got := enter("/setup/"+token, email); got != http.StatusNotFound {
			t.Errorf("a late link answers %d to %s", got, email)
		}
	}
	if w := o.visitor().do("GET", "/setup/"+token, nil); w.Code != http.StatusNotFound {
		t.Errorf("the page of a late link answers %d", w.Code)
	}
}
