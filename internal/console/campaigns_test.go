package console_test

import (
	"bufio"
	"context"
	"encoding/csv"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/jatak-mail/jatak/gating"
	"github.com/jatak-mail/jatak/internal/campaign"
	"github.com/jatak-mail/jatak/internal/console"
	"github.com/jatak-mail/jatak/internal/contact"
	"github.com/jatak-mail/jatak/internal/postgres"
	"github.com/jatak-mail/jatak/internal/staff"
)

// town imports so many people, of whom some have said no and some are named like
// a formula.
func (o *office) town(people int) {
	o.t.Helper()
	err := o.db.Import(o.t.Context(), func(im *postgres.Import) error {
		_, err := im.Contacts(o.t.Context(), func(yield func(contact.LegacyContact, error) bool) {
			for i := range people {
				email := fmt.Sprintf("t%d@%s", i, []string{"example.org", "mail.example", "nordlys.example"}[i%3])
				c := contact.LegacyContact{ID: fmt.Sprint("town", i), Email: email, Address: contact.Address(email), Digest: []byte("town" + email),
					FirstName: []string{"Søren", "Anna", "=1+1"}[i%3], LastName: fmt.Sprint("Nr", i), Language: []string{"da", "en", ""}[i%3]}
				if !yield(c, nil) {
					return
				}
			}
		}, func(contact.Objection) {})
		return err
	})
	if err != nil {
		o.t.Fatal(err)
	}
	// The first of each twenty have withdrawn.
	for id := contact.ID(3); int(id) < people; id += 20 {
		o.choose(id, 0, noon)
	}
}

// choose withdraws somebody, by a campaign's mail or not.
func (o *office) choose(id contact.ID, by campaign.ID, at time.Time) {
	o.t.Helper()
	off := false
	if _, err := o.db.Choose(o.t.Context(), contact.Choices{Contact: id, Source: gating.SourceOneClick, Emarketing: &off, Campaign: int64(by), At: at}); err != nil {
		o.t.Fatal(err)
	}
}

// newsletter keeps a draft in two languages.
func (o *office) newsletter(name string) campaign.ID {
	o.t.Helper()
	html := `<a href="{{ manage_url }}">Manage</a> Pakhuskaj 7`
	id, err := o.db.CreateCampaign(o.t.Context(), campaign.Content{
		Name: name, FromName: "Kafferisteriet", FromAddress: "news@jatak.example", PostalAddress: "Pakhuskaj 7", DefaultLanguage: "en",
		Variants: map[string]campaign.Variant{"en": {Subject: "s", HTML: html}, "da": {Subject: "s", HTML: html}},
	}, noon)
	if err != nil {
		o.t.Fatal(err)
	}
	return id
}

// send launches a campaign at a time and lets a worker send all but a part of
// it, with the replies that a large campaign gets.
func (o *office) send(id campaign.ID, at time.Time, all bool) {
	o.t.Helper()
	ctx := o.t.Context()
	check := func(err error) {
		o.t.Helper()
		if err != nil {
			o.t.Fatal(err)
		}
	}
	check(o.db.Launch(ctx, id, campaign.Override{}, at))
	var batches []int
	for {
		due, done, err := o.db.PlanChunk(ctx, id, 200, at, gating.Decide)
		check(err)
		batches = append(batches, due...)
		if done {
			break
		}
	}
	worker, err := o.db.StartWorker(ctx, "test", time.Hour)
	check(err)
	for i, batch := range batches {
		limit := 1000
		if !all && i == len(batches)-1 {
			limit = 40
		}
		now := at.Add(time.Duration(i) * 40 * time.Minute)
		if !all {
			now = at
		}
		_, claimed, err := o.db.Claim(ctx, campaign.ClaimRequest{Worker: worker, Campaign: id, Batch: batch, Limit: limit, Now: now})
		check(err)
		var outcomes []campaign.Outcome
		for n, c := range claimed {
			out := campaign.Outcome{Worker: worker, Campaign: id, Batch: batch, Contact: c.ID, State: campaign.Sent, At: now, Verdict: gating.Verdict{Send: true, Reason: gating.PrivacyOff},
				Code: 250, Enhanced: "2.0.0", Reply: "ok"}
			switch {
			case n%23 == 5:
				out.State, out.Code, out.Enhanced, out.Reply = campaign.Failed, 550, "5.1.1", "<"+c.Email+">: no such user here"
			case n%41 == 7:
				out.State, out.Code, out.Enhanced, out.Reply = campaign.Failed, 552, "5.2.2", "over quota"
			case !all && n%9 == 2:
				out.State, out.Code, out.Enhanced, out.Reply, out.NextAttempt = campaign.Deferred, 451, "4.7.1", "greylisted, try again in 5 minutes", now.Add(5*time.Minute)
			}
			outcomes = append(outcomes, out)
		}
		check(o.db.Record(ctx, outcomes))
		_, err = o.db.CloseBatch(ctx, id, batch, now)
		check(err)
	}
}

// The pages of a campaign, each with people behind its numbers.
func TestCampaignPagesInABrowser(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("starts a browser")
	}
	o := newOffice(t)
	o.town(1400)
	first, second, running, draft := o.newsletter("Forårsnyt"), o.newsletter("Sommernyt"), o.newsletter("Efterårsnyt: ny høst fra Etiopien"), o.newsletter("Julehilsen")
	o.send(first, time.Now().AddDate(0, 0, -40), true)
	o.send(second, time.Now().Add(-5*time.Hour), true)
	o.send(running, time.Now(), false)
	for i := range 9 {
		o.choose(contact.ID(200+7*i), second, time.Now().Add(-time.Duration(i*i)*7*time.Minute))
	}
	b := o.browse(staff.Administrator)
	b.do(chromedp.Click(chromedp.CSS(`button[value=da]`)), chromedp.WaitVisible(chromedp.CSS(`html[lang=da] header .brand`)))
	for _, path := range []string{"/", fmt.Sprintf("/campaigns/%d", running), fmt.Sprintf("/campaigns/%d/report", second), fmt.Sprintf("/campaigns/%d/check", draft),
		fmt.Sprintf("/campaigns/%d", draft), fmt.Sprintf("/campaigns/%d/people?state=failed", second), fmt.Sprintf("/campaigns/%d/people?reason=withdrawn", draft)} {
		b.inspect(path)
	}
}

func TestWhoIsBehindTheNumbers(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	o.town(260)
	sent, draft := o.newsletter("June"), o.newsletter("July")
	o.send(sent, noon, true)
	o.choose(100, sent, noon)
	b := o.as(staff.Marketer)
	count := func(path string) (people int) {
		t.Helper()
		w := b.do("GET", path, nil)
		if w.Code != http.StatusOK {
			t.Fatalf("%s answers %d", path, w.Code)
		}
		return strings.Count(w.Body.String(), `class="main-cell"`)
	}
	books, err := o.db.Books(t.Context(), sent)
	if err != nil {
		t.Fatal(err)
	}
	for query, want := range map[string]int64{
		"state=failed": books.Failed, "state=blocked&reason=withdrawn": books.Blocked[gating.Withdrawn], "state=sent": 50, "withdrawn=1": 1,
		"language=da&state=nothing": 0, "after=1.9999": 50, "after=nonsense": 50,
	} {
		if got := count(fmt.Sprintf("/campaigns/%d/people?%s", sent, query)); int64(got) != want {
			t.Errorf("%s shows %d people, want %d", query, got, want)
		}
	}
	byDomain := 0
	for _, domain := range []string{"example.org", "mail.example", "nordlys.example"} {
		byDomain += count(fmt.Sprintf("/campaigns/%d/people?state=failed&domain=%s", sent, domain))
	}
	if int64(byDomain) != books.Failed {
		t.Errorf("the domains' failures are %d, the books' %d", byDomain, books.Failed)
	}
	if got := count(fmt.Sprintf("/campaigns/%d/people?reason=withdrawn", draft)); got != 13+1 {
		t.Errorf("before launch %d people are shown as withdrawn", got)
	}

	// Everybody is in the file, and no cell of it is a formula.
	for _, path := range []string{fmt.Sprintf("/campaigns/%d/people.csv", sent), fmt.Sprintf("/campaigns/%d/people.csv?reason=privacy_off", draft)} {
		w := b.do("GET", path, nil)
		rows, err := csv.NewReader(strings.NewReader(strings.TrimPrefix(w.Body.String(), "\ufeff"))).ReadAll()
		if err != nil || len(rows) < 240 {
			t.Fatalf("%s: %d rows, %v", path, len(rows), err)
		}
		for _, row := range rows {
			for _, cell := range row {
				if cell != "" && strings.ContainsRune("=+-@\t\r", rune(cell[0])) {
					t.Errorf("%s holds a formula: %q", path, cell)
				}
			}
		}
	}
	if w := o.as(staff.Viewer).do("GET", fmt.Sprintf("/campaigns/%d/report", sent), nil); w.Code != http.StatusOK || strings.Contains(w.Body.String(), "/people") {
		t.Errorf("a viewer is led to people (%d)", w.Code)
	}
}

func TestALargeLaunchAsksForTheNumber(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	o.town(30)
	id := o.newsletter("June")
	if err := o.db.Set(t.Context(), contact.SettingConfirmAbove, "10", "test", noon); err != nil {
		t.Fatal(err)
	}
	b := o.as(staff.Marketer)
	path := fmt.Sprintf("/campaigns/%d/", id)
	launch := func(check *httptest.ResponseRecorder, more url.Values) int {
		form := url.Values{"seen": {seen(check)}}
		for name := range more {
			form[name] = more[name]
		}
		return b.do("POST", path+"launch", form).Code
	}
	check := b.do("GET", path+"check", nil)
	if !strings.Contains(check.Body.String(), "Send to 30 people in Danish and English") {
		t.Fatalf("the check: %s", check.Body)
	}
	for number, want := range map[string]int{"": http.StatusBadRequest, "31": http.StatusBadRequest} {
		if got := launch(check, url.Values{"number": {number}}); got != want {
			t.Errorf("with the number %q it answers %d", number, got)
		}
	}
	if got := launch(check, url.Values{"number": {"30"}, "at": {"2020-01-01T10:00"}}); got != http.StatusBadRequest {
		t.Errorf("for a time that is over it answers %d", got)
	}
	// What the marketer has seen no longer holds when a rule changes.
	if err := o.db.Set(t.Context(), gating.SettingPrivacy, "on", "test", noon.Add(time.Second)); err != nil {
		t.Fatal(err)
	}
	if got := launch(check, url.Values{"number": {"30"}}); got != http.StatusConflict {
		t.Errorf("after a rule has changed it answers %d", got)
	}
	if err := o.db.Set(t.Context(), gating.SettingPrivacy, "off", "test", noon.Add(2*time.Second)); err != nil {
		t.Fatal(err)
	}
	if got := launch(b.do("GET", path+"check", nil), url.Values{"number": {" 30 "}, "at": {"2027-01-01T10:00"}}); got != http.StatusSeeOther {
		t.Errorf("the launch answers %d", got)
	}
	kept, err := o.db.Campaign(t.Context(), id)
	if err != nil || kept.State != campaign.StateScheduled || !kept.Scheduled.Equal(time.Date(2027, 1, 1, 10, 0, 0, 0, time.UTC)) {
		t.Errorf("it is %s for %s, %v", kept.State, kept.Scheduled, err)
	}
}

func TestSpeedAndCopy(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	b := o.as(staff.Marketer)
	path := fmt.Sprintf("/campaigns/%d/", o.id)
	for _, test := range []struct {
		pace, priority string
		want           int
	}{{"2,5", "high", http.StatusSeeOther}, {"NaN", "high", http.StatusBadRequest}, {"-1", "low", http.StatusBadRequest}, {"1e9", "low", http.StatusBadRequest}, {"1", "first", http.StatusBadRequest}} {
		if w := b.do("POST", path+"speed", url.Values{"pace": {test.pace}, "priority": {test.priority}}); w.Code != test.want {
			t.Errorf("%s, %s answers %d", test.pace, test.priority, w.Code)
		}
	}
	kept, err := o.db.Campaign(t.Context(), o.id)
	if err != nil || kept.Pace != 2.5 || kept.Priority != campaign.PriorityHigh {
		t.Errorf("the pace is %v, the priority %s, %v", kept.Pace, kept.Priority, err)
	}
	if w := b.do("POST", path+"copy", url.Values{}); w.Code != http.StatusSeeOther {
		t.Fatalf("copying answers %d: %s", w.Code, w.Body)
	}
	copied, err := o.db.Campaign(t.Context(), o.id+1)
	if err != nil || copied.State != campaign.StateDraft || copied.Content.Variants["en"].HTML != kept.Content.Variants["en"].HTML || copied.Name == kept.Name {
		t.Errorf("the copy: %+v, %v", copied, err)
	}
}

func TestTheListFindsCampaigns(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	o.town(20)
	o.send(o.newsletter("Summer 100% off"), noon, true)
	b := o.as(staff.Viewer)
	for query, want := range map[string]int{"": 2, "?state=drafts": 1, "?state=ended": 1, "?state=running": 0, "?q=100%25": 1, "?q=%25": 1, "?q=_": 0, "?q=%ff": 2, "?state=nothing&page=-3": 2, "?page=9": 0} {
		w := b.do("GET", "/"+query, nil)
		if got := strings.Count(w.Body.String(), `class="main-cell"`); w.Code != http.StatusOK || got != want {
			t.Errorf("/%s answers %d with %d campaigns, want %d", query, w.Code, got, want)
		}
	}
}

// counted counts the looks at a campaign's progress.
type counted struct {
	*postgres.DB
	looks atomic.Int64
}

func (c *counted) Progress(ctx context.Context, id campaign.ID, now time.Time) (campaign.Progress, error) {
	c.looks.Add(1)
	return c.DB.Progress(ctx, id, now)
}

// However many watch a campaign, the database is asked once, and all are told
// the same.
func TestManyViewersCostOneLook(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	o.town(300)
	id := o.newsletter("June")
	o.send(id, time.Now(), false)
	b := o.as(staff.Viewer)
	store := &counted{DB: o.db}
	handler, err := console.New(console.Options{Store: store, Templates: o.words, Settings: postgres.Settings(), Now: func() time.Time { return noon }, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	const viewers = 8
	var streams []*bufio.Reader
	for range viewers {
		r, err := http.NewRequestWithContext(t.Context(), "GET", fmt.Sprintf("%s/campaigns/%d/events", server.URL, id), nil)
		if err != nil {
			t.Fatal(err)
		}
		r.AddCookie(&http.Cookie{Name: "jatak_session", Value: b.cookies["jatak_session"]})
		response, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = response.Body.Close() })
		streams = append(streams, bufio.NewReader(response.Body))
	}
	told := func() (first string) {
		for i, stream := range streams {
			line, err := stream.ReadString('\n')
			if err == nil {
				_, err = stream.ReadString('\n')
			}
			if err != nil || !strings.HasPrefix(line, "data: ") {
				t.Fatalf("viewer %d is told %q, %v", i, line, err)
			}
			if i > 0 && line != first {
				t.Errorf("viewer %d is told something else than the first", i)
			}
			first = line
		}
		return first
	}
	if all := told(); !strings.Contains(all, "live-books") || !strings.Contains(all, "live-state") {
		t.Errorf("at first everything is told, not %s", all)
	}
	before := store.looks.Load()
	if err := o.db.Pause(t.Context(), id, "lunch"); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the first may be of a look before the pause
		news := told()
		if strings.Contains(news, "live-state") {
			break
		}
	}
	if looks := store.looks.Load() - before; looks > 4 {
		t.Errorf("%d viewers cost %d looks", viewers, looks)
	}
}
