package preferences_test

import (
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/jatak-mail/jatak/gating"
	"github.com/jatak-mail/jatak/internal/contact"
)

// opened is a portal that takes sign-ups.
func opened(t *testing.T) *portal {
	t.Helper()
	p := newPortal(t, "https://jatak.example")
	for name, value := range map[gating.Setting]string{
		contact.SettingSenderName: "Nordlys & Søn", contact.SettingSenderAddress: "news@jatak.example", contact.SettingPostalAddress: "Pakhuskaj 7",
	} {
		if err := p.db.Set(t.Context(), name, value, "test", noon); err != nil {
			t.Fatal(err)
		}
	}
	return p
}

var wordingField = regexp.MustCompile(`name="wording" value="([0-9a-f]{64})"`)

// filledIn is the form as a person sends it.
func (p *portal) filledIn(email string) url.Values {
	p.t.Helper()
	page := p.get("/sign-up?lang=da")
	m := wordingField.FindStringSubmatch(page.Body.String())
	if page.Code != http.StatusOK || m == nil {
		p.t.Fatalf("the form (%d): %s", page.Code, page.Body)
	}
	return url.Values{"lang": {"da"}, "purpose": {"emarketing"}, "wording": {m[1]}, "email": {email}, "first_name": {"Nora"},
		"type": {fmt.Sprint(p.types["News"])}, "website": {""}}
}

func (p *portal) notices(at time.Time) []contact.Notice {
	p.t.Helper()
	_, list, err := p.db.ClaimNotices(p.t.Context(), 100, at, at.Add(time.Hour))
	if err != nil {
		p.t.Fatal(err)
	}
	return list
}

func TestSignUp(t *testing.T) {
	t.Parallel()
	p := opened(t)
	page := p.get("/sign-up?lang=da")
	contains(t, page, "Nordlys & Søn", p.says("da", "sign_up.wording"), "Nyheder", p.says("da", "sign_up.button"))
	w := p.post("/sign-up", p.filledIn("Nora@Example.org"))
	contains(t, w, p.says("da", "sign_up.sent.title"))
	if w.Code != http.StatusOK {
		t.Fatalf("signing up answers %d", w.Code)
	}
	notices := p.notices(noon)
	if len(notices) != 1 || notices[0].Address != "nora@example.org" {
		t.Fatalf("the mails: %+v", notices)
	}
	n := notices[0]
	link := "/c/" + p.keys.Confirm(int64(n.Recipient.ID), n.SignUp, n.Expires)
	for range 3 {
		contains(t, p.get(link), "n***@example.org", p.says("da", "sign_up.wording"), "Nyheder", p.says("da", "confirm.button"))
	}
	if len(p.events(n.Recipient.ID)) != 0 {
		t.Fatal("looking confirmed the sign-up")
	}
	for range 2 {
		w := p.post(link, url.Values{"action": {"confirm"}, "lang": {"da"}})
		contains(t, w, p.says("da", "confirm.confirmed"))
		manage := regexp.MustCompile(`href="(/m/[^"]+)"`).FindStringSubmatch(w.Body.String())
		if manage == nil || p.get(manage[1]).Code != http.StatusOK {
			t.Errorf("the page does not lead to the manage page: %s", w.Body)
		}
	}
	events := p.events(n.Recipient.ID)
	if len(events) != 1 || events[0].To != gating.BasisConsent || events[0].Wording != p.says("da", "sign_up.wording") {
		t.Errorf("the events: %+v", events)
	}
	if p.preference(n.Recipient.ID, "News") != gating.PreferenceIn {
		t.Error("the type that was chosen is not in")
	}
	contains(t, p.get(link), p.says("da", "confirm.confirmed"))
	if strings.Contains(p.log.String(), "nora") || strings.Contains(p.log.String(), link[3:]) {
		t.Errorf("the log tells who signed up: %s", p.log)
	}
}

// Whoever signs up somebody else learns nothing and does little harm.
func TestSignUpAnswersEverybodyTheSame(t *testing.T) {
	t.Parallel()
	p := opened(t)
	if err := p.db.Erase(t.Context(), carla, "test", noon); err != nil {
		t.Fatal(err)
	}
	model := p.post("/sign-up", p.filledIn("stranger@example.org"))
	robot := p.filledIn("robot@example.org")
	robot.Set("website", "https://spam.example")
	forms := map[string]url.Values{"a contact": p.filledIn("anna@example.org"), "an erased person": p.filledIn("carla@example.org"), "a robot": robot}
	purpose := p.filledIn("purpose@example.org")
	purpose.Set("purpose", "nothing")
	forms["an unknown purpose"] = purpose
	for i := range 6 {
		forms[fmt.Sprint("again ", i)] = p.filledIn("stranger@example.org")
	}
	for name, form := range forms {
		if w := p.post("/sign-up", form); w.Code != model.Code || w.Body.String() != model.Body.String() {
			t.Errorf("%s is answered differently: %d", name, w.Code)
		}
	}
	mails := map[contact.Address]int{}
	for _, n := range p.notices(noon) {
		mails[n.Address]++
	}
	if mails["stranger@example.org"] != contact.MostNotices || mails["anna@example.org"] != 1 || len(mails) != 2 {
		t.Errorf("the mails: %v", mails)
	}
}

func TestSignUpRefusesWhatItCannotUse(t *testing.T) {
	t.Parallel()
	p := opened(t)
	broken := p.filledIn("nobody@")
	w := p.post("/sign-up", broken)
	contains(t, w, p.says("da", "sign_up.bad_email"))
	if body := w.Body.String(); w.Code != http.StatusBadRequest || !strings.Contains(body, `value="nobody@"`) || !strings.Contains(body, `value="Nora"`) {
		t.Errorf("a broken address answers %d, and the form is not as it was filled in: %s", w.Code, body)
	}
	stale := p.filledIn("nora@example.org")
	stale.Set("wording", strings.Repeat("0", 64))
	contains(t, p.post("/sign-up", stale), p.says("da", "sign_up.stale"))

	// A text that was shown counts, also after a newer one.
	for _, text := range []string{"Ja tak, første udgave", "Ja tak, anden udgave"} {
		if err := p.db.SetWording(t.Context(), gating.PurposeEmarketing, "da", text, "test", noon); err != nil {
			t.Fatal(err)
		}
		form := p.filledIn("nora@example.org")
		contains(t, p.get("/sign-up?lang=da"), text)
		if text == "Ja tak, første udgave" {
			defer func() { contains(t, p.post("/sign-up", form), p.says("da", "sign_up.sent.title")) }()
		}
	}
	if n := p.notices(noon); len(n) != 0 {
		t.Errorf("mails for nothing: %+v", n)
	}
}

func TestNoSenderNoSignUp(t *testing.T) {
	t.Parallel()
	p := newPortal(t, "https://jatak.example")
	if w := p.get("/sign-up"); w.Code != http.StatusNotFound {
		t.Errorf("the form answers %d", w.Code)
	}
	if w := p.post("/sign-up", url.Values{"email": {"a@example.org"}}); w.Code != http.StatusNotFound {
		t.Errorf("a sign-up answers %d", w.Code)
	}
}

func TestAFreshLink(t *testing.T) {
	t.Parallel()
	p := opened(t)
	expired := "/m/" + p.keys.Manage(int64(anna), int64(p.campaign), noon.Add(-time.Second))
	contains(t, p.get(expired), p.says("da", "manage.link"))
	for range contact.MostNotices + 2 {
		w := p.post(expired, url.Values{"action": {"link"}})
		if w.Code != http.StatusSeeOther {
			t.Fatalf("asking answers %d", w.Code)
		}
		contains(t, p.get(w.Header().Get("Location")), p.says("da", "done.link"))
	}
	if n := p.notices(noon); len(n) != contact.MostNotices || n[0].Kind != contact.NoticeLink {
		t.Errorf("%d mails", len(n))
	}
	if w := p.post(p.manage(anna), url.Values{"action": {"link"}}); w.Code != http.StatusBadRequest {
		t.Errorf("a good link that asks for another answers %d", w.Code)
	}
}

func TestASignUpThatIsTooOld(t *testing.T) {
	t.Parallel()
	p := opened(t)
	p.post("/sign-up", p.filledIn("nora@example.org"))
	n := p.notices(noon)[0]
	later := noon.AddDate(0, 0, 8)
	if err := p.at(later); err != nil {
		t.Fatal(err)
	}
	link := "/c/" + p.keys.Confirm(int64(n.Recipient.ID), n.SignUp, n.Expires)
	contains(t, p.get(link), p.says("da", "confirm.expired"))
	contains(t, p.post(link, url.Values{"action": {"confirm"}}), p.says("da", "confirm.expired"))
	if len(p.events(n.Recipient.ID)) != 0 {
		t.Fatal("an old link confirmed")
	}
	contains(t, p.post(link, url.Values{"action": {"resend"}}), p.says("da", "confirm.resent"))
	fresh := p.notices(later)
	found := false
	for _, f := range fresh {
		if f.SignUp == n.SignUp && f.Expires.After(later) {
			found = true
			link = "/c/" + p.keys.Confirm(int64(f.Recipient.ID), f.SignUp, f.Expires)
		}
	}
	if !found {
		t.Fatalf("no fresh mail: %+v", fresh)
	}
	contains(t, p.post(link, url.Values{"action": {"confirm"}}), p.says("da", "confirm.confirmed"))
}

func TestMailMeMyLink(t *testing.T) {
	t.Parallel()
	p := opened(t)
	contains(t, p.get("/link?lang=da"), p.says("da", "link.text"))
	form := func(email string) url.Values { return url.Values{"email": {email}, "lang": {"da"}} }
	model := p.post("/link", form("stranger@example.org"))
	contains(t, model, p.says("da", "link.sent.text"))
	for range contact.MostNotices + 1 {
		if w := p.post("/link", form("Anna@example.org")); w.Body.String() != model.Body.String() {
			t.Error("the answer tells who is on file")
		}
	}
	robot := form("bo@example.org")
	robot.Set("website", "x")
	p.post("/link", robot)
	n := p.notices(noon)
	if len(n) != contact.MostNotices || n[0].Kind != contact.NoticeLink || n[0].Recipient.ID != anna {
		t.Errorf("the mails: %+v", n)
	}
	contains(t, p.post("/link", form("nobody")), p.says("da", "sign_up.bad_email"))
	for range contact.MostSignUps {
		p.post("/link", form("stranger@example.org"))
	}
	p.post("/link", form("carla@example.org"))
	if n := p.notices(noon); len(n) != 0 {
		t.Errorf("one network asks without end: %+v", n)
	}
}

func TestAWithdrawalOnThePageIsTold(t *testing.T) {
	t.Parallel()
	p := opened(t)
	p.post(p.withdraw(bo, 0), url.Values{"List-Unsubscribe": {"One-Click"}}) // the mail client's own needs no mail
	p.post(p.manage(anna), url.Values{"action": {"stop"}, "lang": {"en"}})
	n := p.notices(noon)
	if len(n) != 1 || n[0].Kind != contact.NoticeWithdrawn || n[0].Recipient.ID != anna || n[0].Locale != "en" {
		t.Errorf("the mails: %+v", n)
	}
	// The language that she chose is remembered.
	contains(t, p.get(p.manage(anna)), p.says("en", "manage.off"))
}
