package console_test

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/jatak-mail/jatak/internal/campaign"
	"github.com/jatak-mail/jatak/internal/contact"
	"github.com/jatak-mail/jatak/internal/staff"
)

// The first page says what is to be done until a campaign is launched, and what
// is done already.
func TestTheFirstPageTeachesTheNextStep(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	b := o.as(staff.Administrator)
	has := func(path, words string) bool {
		t.Helper()
		return strings.Contains(b.do("GET", path, nil).Body.String(), words)
	}
	steps := o.words.Text("en", "console.start")
	if !has("/", steps) || !has("/", `class="button main small" href="/settings/sender"`) {
		t.Error("the first page does not teach who mails are from")
	}
	form := url.Values{"sender-name": {"Nordlys"}, "sender-address": {"no address"}, "postal-address": {"Pakhuskaj 7"}}
	if w := b.do("POST", "/settings/sender", form); w.Code != http.StatusBadRequest || !strings.Contains(w.Body.String(), o.words.Text("en", "setting.sender-address.wrong")) {
		t.Errorf("a wrong address answers %d", w.Code)
	}
	form.Set("sender-address", "news@nordlys.example")
	if w := b.do("POST", "/settings/sender", form); w.Code != http.StatusSeeOther {
		t.Errorf("a right one answers %d: %s", w.Code, w.Body)
	}
	if !has("/", `class="button main small" href="/settings/relays"`) {
		t.Error("the first page does not go on to the mail server")
	}
	b.do("POST", "/campaigns", url.Values{"name": {"First"}, "from": {"blank"}})
	c, err := o.db.Campaign(t.Context(), o.id+1)
	if err != nil || c.Content.FromName != "Nordlys" || c.Content.FromAddress != "news@nordlys.example" || c.Content.PostalAddress != "Pakhuskaj 7" {
		t.Errorf("the first campaign is from %+v, %v", c.Content, err)
	}
	if err := o.db.Launch(t.Context(), o.id, campaign.Override{}, noon); err != nil {
		t.Fatal(err)
	}
	if has("/", steps) {
		t.Error("the steps are shown although a campaign was launched")
	}
}

// A campaign can begin with an audience that has a name, as a copy.
func TestACampaignBeginsWithASavedAudience(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	saved := contact.Filter{Match: contact.All, Groups: []contact.Group{{Match: contact.All, Conditions: []contact.Condition{{Field: contact.FieldDomain, Op: contact.OpIs, Value: "example.org"}}}}}
	if err := o.db.SaveAudience(t.Context(), contact.SavedAudience{Name: "Example", Filter: saved, Actor: "test"}, noon); err != nil {
		t.Fatal(err)
	}
	b := o.as(staff.Marketer)
	step := fmt.Sprintf("/campaigns/%d/edit/audience", o.id)
	use := func(id string) int {
		return b.do("POST", step, b.form(step, url.Values{"do": {"saved"}, "saved": {id}})).Code
	}
	if code := use("99"); code != http.StatusUnprocessableEntity {
		t.Errorf("an audience that is not there answers %d", code)
	}
	if code := use("1"); code != http.StatusSeeOther {
		t.Errorf("a saved audience answers %d", code)
	}
	c, err := o.db.Campaign(t.Context(), o.id)
	if err != nil || c.Content.Audience.Filter == nil || c.Content.Audience.Filter.Groups[0].Conditions[0].Value != "example.org" {
		t.Errorf("the audience is %+v, %v", c.Content.Audience, err)
	}
}

// Whoever paused a campaign, a person or Jatak, is said in the reader's language.
func TestWhyACampaignIsPausedIsSaidInWords(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	b := o.as(staff.Viewer)
	b.do("POST", "/language", url.Values{"lang": {"da"}})
	if err := o.db.Launch(t.Context(), o.id, campaign.Override{}, noon); err != nil {
		t.Fatal(err)
	}
	for reason, want := range map[string]string{
		"user:anna@jatak.example": "af anna@jatak.example",
		campaign.TooManyFailures{Failed: 30, Of: 120, Percent: 20, Reply: "550 5.1.1 <bo@example.org>: no such user"}.String():                "30 af de seneste 120 mails fejlede, mere end 20\u00a0%. Det nyeste svar: 550 5.1.1 &lt;…@example.org&gt;",
		campaign.SenderRefused{Relay: "mail.example.net:587", Mails: 10, Reply: "553 5.7.1 <news@example.org>: not owned by user x"}.String(): "mailserveren mail.example.net:587 afviser afsenderen. Ingen mails er gået tabt: de sendes, når I har rettet det og genoptager. Det nyeste svar: 553 5.7.1 &lt;…@example.org&gt;",
		campaign.TooManyComplaints{Complaints: 3, Of: 500, Percent: 0.3}.String():                                                             "3 af 500 modtagere har meldt den som spam, mere end 0,3\u00a0%",
	} {
		if err := o.db.Pause(t.Context(), o.id, reason); err != nil {
			t.Fatal(err)
		}
		for _, path := range []string{"/", fmt.Sprintf("/campaigns/%d", o.id)} {
			if w := b.do("GET", path, nil); !strings.Contains(w.Body.String(), want) || strings.Contains(w.Body.String(), "user:") {
				t.Errorf("%s does not say %q: %s", path, want, w.Body)
			}
		}
		if err := o.db.Resume(t.Context(), o.id); err != nil {
			t.Fatal(err)
		}
	}
}
