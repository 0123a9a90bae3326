package console_test

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jatak-mail/jatak/internal/campaign"
	"github.com/jatak-mail/jatak/internal/staff"
)

// What failed can be sent again, all of it or what failed for one reason, and the
// audit log tells of it. It takes a choice and a tick, and no others are sent again.
func TestWhatFailedIsSentAgain(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	o.town(200)
	id := o.newsletter("Forår")
	o.send(id, noon.Add(-24*time.Hour), true)
	page := fmt.Sprintf("/campaigns/%d/resend", id)
	b := o.as(staff.Marketer)
	b.do("POST", "/language", url.Values{"lang": {"en"}})
	before, err := o.db.Books(t.Context(), id)
	if err != nil || before.Failed == 0 {
		t.Fatal(before, err)
	}

	for _, from := range []string{fmt.Sprintf("/campaigns/%d", id), fmt.Sprintf("/campaigns/%d/report", id)} {
		if b.read(from).Find(`a[href="`+page+`"]`).Length() != 1 {
			t.Errorf("%s does not lead to %s", from, page)
		}
		if viewer := o.as(staff.Viewer); viewer.read(from).Find(`a[href="`+page+`"]`).Length() != 0 {
			t.Errorf("%s leads a viewer to what they may not do", from)
		}
	}
	offered := b.read(page).Find("input[name=what]")
	var values []string
	for _, e := range offered.EachIter() {
		values = append(values, e.AttrOr("value", ""))
	}
	slices.Sort(values)
	if want := []string{"failed", "failed 550 5.1.1", "failed 552 5.2.2"}; !slices.Equal(values, want) {
		t.Errorf("%q is offered, not %q", values, want)
	}

	for name, form := range map[string]url.Values{
		"no choice":        {"sure": {"1"}},
		"no tick":          {"what": {"failed"}},
		"those who got it": {"what": {"sent"}, "sure": {"1"}},
		"a code of theirs": {"what": {"in_doubt 550"}, "sure": {"1"}},
		"no code":          {"what": {"failed x' OR 1=1 --"}, "sure": {"1"}},
	} {
		if w := b.do("POST", page, form); w.Code != http.StatusBadRequest || !strings.Contains(w.Body.String(), `role="alert"`) {
			t.Errorf("%s answers %d", name, w.Code)
		}
	}
	if w := b.do("POST", page, url.Values{"what": {"in_doubt"}, "sure": {"1"}}); w.Code != http.StatusConflict {
		t.Errorf("sending nothing again answers %d", w.Code)
	}
	if after, err := o.db.Books(t.Context(), id); err != nil || after.Failed != before.Failed {
		t.Fatalf("a refused form has changed the books: %+v, %v", after, err)
	}

	if w := b.do("POST", page, url.Values{"what": {"failed 552 5.2.2"}, "sure": {"1"}}); w.Code != http.StatusSeeOther {
		t.Fatalf("it answers %d: %s", w.Code, w.Body)
	}
	after, err := o.db.Books(t.Context(), id)
	if err != nil || after.Pending == 0 || after.Failed+after.Pending != before.Failed || after.Sent != before.Sent {
		t.Errorf("the books were %+v and are %+v, %v", before, after, err)
	}
	if c, err := o.db.Campaign(t.Context(), id); err != nil || c.State != campaign.StateSending {
		t.Errorf("the campaign is %s, %v", c.State, err)
	}
	log, err := o.db.AuditLog(t.Context(), staff.Filter{Action: "campaign resend", Campaign: int64(id), Most: 10})
	if want := fmt.Sprintf("failed 552 5.2.2: %d", after.Pending); err != nil || len(log) != 1 || log[0].Detail != want || log[0].Actor != "user:marketer@jatak.example" {
		t.Errorf("the audit log has %+v, %v", log, err)
	}
	// One reason is left: it is all that failed.
	if left := b.read(page).Find("input[name=what]"); left.Length() != 1 || left.AttrOr("value", "") != "failed" {
		t.Errorf("%d choices are left, the first %q", left.Length(), left.AttrOr("value", ""))
	}
}
