package console_test

import (
	"context"
	"fmt"
	"iter"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jatak-mail/jatak/gating"
	"github.com/jatak-mail/jatak/internal/campaign"
	"github.com/jatak-mail/jatak/internal/console"
	"github.com/jatak-mail/jatak/internal/contact"
	"github.com/jatak-mail/jatak/internal/postgres"
	"github.com/jatak-mail/jatak/internal/staff"
)

// slow is a database that answers what takes long with a million people when it
// may.
type slow struct {
	*postgres.DB
	may chan struct{}
}

func (s *slow) wait(ctx context.Context) error {
	select {
	case <-s.may:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (s *slow) CountContacts(ctx context.Context, of contact.Selection) (int64, error) {
	if err := s.wait(ctx); err != nil {
		return 0, err
	}
	return s.DB.CountContacts(ctx, of)
}

func (s *slow) CountChoices(ctx context.Context) (map[string]int64, error) {
	if err := s.wait(ctx); err != nil {
		return nil, err
	}
	return s.DB.CountChoices(ctx)
}

func (s *slow) Progress(ctx context.Context, id campaign.ID, now time.Time) (campaign.Progress, error) {
	if err := s.wait(ctx); err != nil {
		return campaign.Progress{}, err
	}
	return s.DB.Progress(ctx, id, now)
}

func (s *slow) Account(ctx context.Context, id campaign.ID, now time.Time) (campaign.Account, error) {
	if err := s.wait(ctx); err != nil {
		return campaign.Account{}, err
	}
	return s.DB.Account(ctx, id, now)
}

func (s *slow) Waiting(ctx context.Context, id campaign.ID, t gating.SubscriptionType) iter.Seq2[contact.Recipient, error] {
	return func(yield func(contact.Recipient, error) bool) {
		if err := s.wait(ctx); err != nil {
			yield(contact.Recipient{}, err)
			return
		}
		s.DB.Waiting(ctx, id, t)(yield)
	}
}

// Pages come at once, say that they count, and have the numbers when they are
// asked again.
func TestPagesDoNotWaitForWhatTakesLong(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	o.town(200)
	ended, running := o.newsletter("May"), o.newsletter("June")
	o.send(ended, noon, true)
	o.send(running, time.Now(), false)
	if err := o.db.CreateType(t.Context(), contact.NewType{Key: "news", Names: map[string]string{"en": "News"}}, "test", noon); err != nil {
		t.Fatal(err)
	}
	b := o.as(staff.Administrator)
	store := &slow{DB: o.db, may: make(chan struct{})}
	var err error
	o.handler, err = console.New(console.Options{Store: store, Together: o.together, Templates: o.words, Settings: postgres.Settings(), Now: func() time.Time { return noon },
		Log: slog.New(slog.NewTextHandler(t.Output(), nil)), Secure: true, URL: "https://console.example", Resolver: deaf{}, Upgrades: o,
		Until: t.Context(), Patience: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	filter := url.Values{"filter_group_match": {"all"}, "filter_group": {"0"}, "filter_field": {"last_mail"}, "filter_op": {"never"}, "filter_value": {""}}
	pages := []struct {
		method, path string
		form         url.Values
		first, then  string
		asks         string // what makes the page ask again
		plain        bool   // it is loaded anew without a script, too
	}{
		{"GET", fmt.Sprintf("/campaigns/%d", ended), nil, "The numbers are being counted", "Everybody is accounted for", "data-events", true},
		{"GET", fmt.Sprintf("/campaigns/%d", running), nil, "The numbers are being counted", "Everybody is accounted for", "data-events", true},
		{"GET", fmt.Sprintf("/campaigns/%d/report", ended), nil, "The report is being put together", "Everybody is accounted for", "hx-get", true},
		{"GET", "/settings/privacy/effect?to=on", nil, "Counting what it changes", ">June</a>", "hx-get", true},
		{"GET", "/settings/types", nil, ">…<", ">0<", "hx-get", true},
		{"POST", "/audiences/count", filter, "bout ", "<strong>", "hx-post", false},
	}
	ask := func(method, path string, form url.Values) string {
		t.Helper()
		w := b.do(method, path, form)
		if w.Code != http.StatusOK {
			t.Fatalf("%s %s answers %d: %s", method, path, w.Code, w.Body)
		}
		return w.Body.String()
	}
	for _, p := range pages {
		body := ask(p.method, p.path, p.form)
		if !strings.Contains(body, p.first) || !strings.Contains(body, p.asks) || strings.Contains(body, p.then) ||
			p.plain != strings.Contains(body, `<noscript><meta http-equiv="refresh"`) {
			t.Errorf("%s %s does not say that it counts: %s", p.method, p.path, body)
		}
	}
	close(store.may)
	until := time.Now().Add(time.Minute)
	for _, p := range pages {
		for body := ask(p.method, p.path, p.form); !strings.Contains(body, p.then); body = ask(p.method, p.path, p.form) {
			if time.Now().After(until) {
				t.Fatalf("%s %s never has its numbers: %s", p.method, p.path, body)
			}
		}
	}
}

func (s *slow) Audience(ctx context.Context, t gating.SubscriptionType, of contact.Selection) iter.Seq2[contact.Recipient, error] {
	return func(yield func(contact.Recipient, error) bool) {
		if err := s.wait(ctx); err != nil {
			yield(contact.Recipient{}, err)
			return
		}
		s.DB.Audience(ctx, t, of)(yield)
	}
}

// Who thinks for long before a launch neither fills in the form again nor learns
// of changes that there are none of.
func TestALaunchWaitsForTheNumbers(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	o.town(30)
	june, july := o.newsletter("June"), o.newsletter("July")
	if err := o.db.Set(t.Context(), contact.SettingConfirmAbove, "10", "test", noon); err != nil {
		t.Fatal(err)
	}
	store := &slow{DB: o.db, may: make(chan struct{})}
	var thought atomic.Int64
	site := func(s console.Store) http.Handler {
		handler, err := console.New(console.Options{Store: s, Together: o.together, Templates: o.words, Settings: postgres.Settings(), Now: func() time.Time { return noon.Add(time.Duration(thought.Load())) },
			Log: slog.New(slog.NewTextHandler(t.Output(), nil)), Secure: true, URL: "https://console.example", Resolver: deaf{}, Upgrades: o, Until: t.Context(), Patience: time.Millisecond})
		if err != nil {
			t.Fatal(err)
		}
		return handler
	}
	quick := site(o.db)
	o.handler = quick
	b := o.as(staff.Marketer)
	seenJune, seenJuly := seen(b.checked(june)), seen(b.checked(july))
	form := func(seen string) url.Values {
		return url.Values{"seen": {seen}, "number": {"30"}, "at": {"2027-01-01T10:00"}}
	}
	launch := func(id campaign.ID, form url.Values) *httptest.ResponseRecorder {
		return b.do("POST", fmt.Sprintf("/campaigns/%d/launch", id), form)
	}

	// Ten minutes are nothing: nobody has come.
	thought.Store(int64(10 * time.Minute))
	if w := launch(june, form(seenJune)); w.Code != http.StatusSeeOther {
		t.Errorf("after ten minutes it answers %d: %s", w.Code, w.Body)
	}
	// When the numbers are made anew, the launch waits for them and is not done.
	o.handler = site(store)
	lines := len(o.audited())
	w := launch(july, form(seenJuly))
	for _, want := range []string{`id="again"`, `name="at" value="2027-01-01T10:00"`, `name="number" value="30"`, o.words.Text("en", "console.check.waiting")} {
		if w.Code != http.StatusAccepted || !strings.Contains(w.Body.String(), want) {
			t.Fatalf("while they are counted it answers %d without %q: %s", w.Code, want, w.Body)
		}
	}
	if got := len(o.audited()); got != lines {
		t.Errorf("what is not launched yet is in the audit log: %q", o.audited())
	}
	ask := func() string {
		return b.do("GET", fmt.Sprintf("/campaigns/%d/check?waiting=1", july), nil, "HX-Request", "true").Body.String()
	}
	if part := ask(); !strings.Contains(part, "hx-get") || strings.Contains(part, "data-submits") {
		t.Errorf("while they are counted the page is told: %s", part)
	}
	close(store.may)
	until := time.Now().Add(time.Minute)
	for part := ask(); !strings.Contains(part, `data-submits="again"`); part = ask() {
		if time.Now().After(until) {
			t.Fatalf("they are never counted: %s", part)
		}
	}
	if w := launch(july, form(seenJuly)); w.Code != http.StatusSeeOther {
		t.Errorf("once they are counted it answers %d: %s", w.Code, w.Body)
	}
	if c, err := o.db.Campaign(t.Context(), july); err != nil || !c.Scheduled.Equal(time.Date(2027, 1, 1, 10, 0, 0, 0, time.UTC)) {
		t.Errorf("it is %s for %s, %v", c.State, c.Scheduled, err)
	}
}
