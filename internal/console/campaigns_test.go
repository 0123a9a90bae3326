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

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"

	"github.com/jatak-mail/jatak/gating"
	"github.com/jatak-mail/jatak/internal/campaign"
	"github.com/jatak-mail/jatak/internal/console"
	"github.com/jatak-mail/jatak/internal/contact"
	"github.com/jatak-mail/jatak/internal/postgres"
	"github.com/jatak-mail/jatak/internal/staff"
	"github.com/jatak-mail/jatak/templates"
)

// town imports so many people, of whom some have said no and some are named like
// a formula.
func (o *office) town(people int) {
	o.t.Helper()
	o.settle(people, "example.org", "mail.example", "nordlys.example")
}

// settle is town with the domains that the people's addresses are of, in turn.
func (o *office) settle(people int, domains ...string) {
	o.t.Helper()
	err := o.db.Import(o.t.Context(), func(im *postgres.Import) error {
		_, err := im.Contacts(o.t.Context(), func(yield func(contact.LegacyContact, error) bool) {
			for i := range people {
				email := fmt.Sprintf("t%d@%s", i, domains[i%len(domains)])
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
	recall, morning := o.newsletter("Tilbagekaldelse"), o.newsletter("Godmorgen")
	override, err := campaign.NewOverride("Kedlen fra i går kan brænde: alle, der har købt den, skal vide det.", "user:anna@jatak.example", time.Now())
	if err == nil {
		err = o.db.Set(t.Context(), gating.SettingPrivacy, "on", "test", time.Now().Add(-time.Minute))
	}
	if err == nil {
		err = o.db.Schedule(t.Context(), recall, time.Now(), override)
	}
	if err == nil {
		err = o.db.ScheduleLocal(t.Context(), morning, campaign.LocalTime{Clock: time.Now().UTC().Add(13 * time.Hour), Zone: "Europe/Copenhagen"}, override)
	}
	if err == nil {
		_, _, err = o.db.Sweep(t.Context(), true, time.Now(), 0, 10)
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range []campaign.ID{recall, morning} {
		for done := false; !done; {
			if _, done, err = o.db.PlanChunk(t.Context(), id, 1000, time.Now(), gating.Decide); err != nil {
				t.Fatal(err)
			}
		}
	}
	b := o.browse(staff.Administrator)
	b.do(chromedp.Click(chromedp.CSS(`button[value=da]`)), chromedp.WaitVisible(chromedp.CSS(`html[lang=da] header .brand`)))
	b.do(chromedp.Navigate(fmt.Sprintf("%s/campaigns/%d/check", b.url, draft)), chromedp.Click(chromedp.CSS(`.launch > details > summary`)),
		chromedp.WaitVisible(chromedp.CSS(`textarea[name=reason]`)), chromedp.Click(chromedp.CSS(`.launch form details summary`)), chromedp.WaitVisible(chromedp.CSS(`.launch input[name=local]`)))
	b.shoot(fmt.Sprintf("/campaigns/%d/check/override", draft), 1280, "light")
	b.inspect(fmt.Sprintf("/campaigns/%d/check", draft)) // with an override for those without a consent
	if err := o.db.Set(t.Context(), gating.SettingPrivacy, "off", "test", time.Now()); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"/", fmt.Sprintf("/campaigns/%d/report", recall), fmt.Sprintf("/campaigns/%d", morning), fmt.Sprintf("/campaigns/%d", running), fmt.Sprintf("/campaigns/%d/report", second), fmt.Sprintf("/campaigns/%d/check", draft),
		fmt.Sprintf("/campaigns/%d", draft), fmt.Sprintf("/campaigns/%d/people?state=failed", second), fmt.Sprintf("/campaigns/%d/people?reason=withdrawn", draft)} {
		b.inspect(path)
	}

	// On a phone a report begins folded, but for the result; it is sorted from the
	// keyboard, which stays where it was.
	report := fmt.Sprintf("%s/campaigns/%d/report", b.url, second)
	b.do(chromedp.EmulateViewport(400, 900), chromedp.Navigate(report), chromedp.WaitReady(chromedp.CSS("main")))
	b.finds(`document.querySelectorAll("details.fold[open]").length === 1 && document.querySelectorAll("details.fold").length > 4`)
	b.do(chromedp.Navigate(report+"?all=1#destinations"), chromedp.Reload(), chromedp.WaitReady(chromedp.CSS("main")))
	b.finds(`document.querySelector("#destinations").open`)
	b.do(chromedp.Focus(chromedp.CSS("#destinations-failed")), chromedp.KeyEvent("\r"))
	b.finds(`document.querySelector("#destinations th[aria-sort=descending] a").id === "destinations-failed" && document.activeElement.id === "destinations-failed"`)
	b.do(chromedp.EmulateViewport(1280, 900))

	// The figures' time is the user's, wherever the browser is.
	b.do(chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := cdp.Call(ctx, t, emulation.SetTimezoneOverride, emulation.SetTimezoneOverrideParams{TimezoneID: "Asia/Tokyo"})
		return err
	}), chromedp.Navigate(fmt.Sprintf("%s/campaigns/%d", b.url, running)), chromedp.WaitReady(chromedp.CSS("#broken")))
	b.finds(`(() => {
		const gone = document.createElement("div");
		gone.dataset.events = "/nothing";
		listen(gone, 60000);
		return true;
	})()`)
	now := time.Now().UTC()
	b.finds(fmt.Sprintf(`!document.querySelector("#broken").hidden && /kl\. (%s|%s);/.test(document.querySelector("#broken").textContent)`,
		templates.Clock("da", now), templates.Clock("da", now.Add(-time.Minute))))
}

// finds waits until an expression is true in the page.
func (b *tab) finds(expression string) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, time.Minute)
	defer cancel()
	if _, err := chromedp.Run(ctx, chromedp.Poll[bool](expression)); err != nil {
		b.t.Fatalf("%s: %v", expression, err)
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
	b.checked(draft)
	for query, want := range map[string]int{"reason=withdrawn": 13 + 1, "who=audience": 50, "who=audience&after=245": 262 - 245, "who=off&after=240": 262 - 14 - 240, "who=on": 0} {
		if got := count(fmt.Sprintf("/campaigns/%d/people?%s", draft, query)); got != want {
			t.Errorf("before launch %s shows %d people, want %d", query, got, want)
		}
	}
	// Every bar of the check opens those behind it, but that of nobody.
	bars := b.checked(draft).Body.String()
	if got, want := strings.Count(bars, `<svg class="bar-line"`)-1, strings.Count(bars, fmt.Sprintf(`<a href="/campaigns/%d/people?`, draft)); got != want {
		t.Errorf("%d bars have somebody behind them, and %d can be opened: %s", got, want, bars)
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
	check := b.checked(id)
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
	if got := launch(b.checked(id), url.Values{"number": {" 30 "}, "at": {"2027-01-01T10:00"}}); got != http.StatusSeeOther {
		t.Errorf("the launch answers %d", got)
	}
	kept, err := o.db.Campaign(t.Context(), id)
	if err != nil || kept.State != campaign.StateScheduled || !kept.Scheduled.Equal(time.Date(2027, 1, 1, 10, 0, 0, 0, time.UTC)) {
		t.Errorf("it is %s for %s, %v", kept.State, kept.Scheduled, err)
	}
}

// A report does not outlive what it rests on: who withdraws is no more than the
// marketer agreed to, who comes is.
func TestALaunchIsRefusedWhenMorePeopleHaveCome(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	o.town(30)
	id := o.newsletter("June")
	if err := o.db.Set(t.Context(), contact.SettingConfirmAbove, "10", "test", noon); err != nil {
		t.Fatal(err)
	}
	b := o.as(staff.Marketer)
	path := fmt.Sprintf("/campaigns/%d/launch", id)
	first := b.checked(id)
	o.comer("late@example.org")
	w := b.do("POST", path, url.Values{"seen": {seen(first)}, "number": {"30"}})
	if w.Code != http.StatusConflict || !strings.Contains(w.Body.String(), "Something has changed") || !strings.Contains(w.Body.String(), "Send to 31 people") {
		t.Fatalf("after somebody has come it answers %d: %s", w.Code, w.Body)
	}
	o.choose(5, 0, noon)
	if w := b.do("POST", path, url.Values{"seen": {seen(w)}, "number": {"31"}}); w.Code != http.StatusSeeOther {
		t.Errorf("after somebody has withdrawn it answers %d: %s", w.Code, w.Body)
	}
}

// The step in which the type is chosen says how many it is for.
func TestAStepSaysWhomTheTypeReaches(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	o.town(30)
	id := o.newsletter("June")
	if err := o.db.CreateType(t.Context(), contact.NewType{Key: "news", Names: map[string]string{"en": "News"}}, "test", noon); err != nil {
		t.Fatal(err)
	}
	types, err := o.db.TypeChoices(t.Context(), 5)
	if err != nil || len(types) != 1 {
		t.Fatal(types, err)
	}
	for _, person := range []contact.ID{5, 6} {
		if _, err := o.db.Choose(t.Context(), contact.Choices{Contact: person, Source: gating.SourceManagePage, Types: map[gating.TypeID]gating.Preference{types[0].ID: gating.PreferenceOut}, At: noon, Locale: "en", Wording: "w"}); err != nil {
			t.Fatal(err)
		}
	}
	b := o.as(staff.Marketer)
	step := fmt.Sprintf("/campaigns/%d/edit/type", id)
	says := func(want ...string) {
		t.Helper()
		b.checked(id)
		page := b.do("GET", step, nil).Body.String()
		part := b.do("GET", fmt.Sprintf("/campaigns/%d/reach", id), nil, "HX-Request", "true").Body.String()
		for _, text := range want {
			if !strings.Contains(page, text) || !strings.Contains(part, text) {
				t.Errorf("they do not say %q: %s\n%s", text, page, part)
			}
		}
	}
	says("30 of the 32 in the audience")
	b.goes(step, b.form(step, url.Values{"type": {"news"}}), step)
	says("28 of the 32 in the audience", o.words.CountText("en", "console.composer.reach.without", 2), fmt.Sprintf("/campaigns/%d/people?reason=type_opted_out", id))
}

// comer imports one person more.
func (o *office) comer(email string) {
	o.t.Helper()
	err := o.db.Import(o.t.Context(), func(im *postgres.Import) error {
		_, err := im.Contacts(o.t.Context(), func(yield func(contact.LegacyContact, error) bool) {
			yield(contact.LegacyContact{ID: email, Email: email, Address: contact.Address(email), Digest: []byte(email), Language: "da"}, nil)
		}, func(contact.Objection) {})
		return err
	})
	if err != nil {
		o.t.Fatal(err)
	}
}

// held gives some of a town a basis and turns E-marketing privacy on: the others
// are held back by nothing else.
func (o *office) held(people, consented int) {
	o.t.Helper()
	o.town(people)
	if err := o.db.Set(o.t.Context(), gating.SettingPrivacy, "on", "test", noon.Add(-time.Hour)); err != nil {
		o.t.Fatal(err)
	}
	on := true
	for id := range consented {
		if _, err := o.db.Choose(o.t.Context(), contact.Choices{Contact: contact.ID(id + 4), Source: gating.SourceManagePage, Emarketing: &on, At: noon.Add(-time.Minute), Locale: "da", Wording: "Ja tak"}); err != nil {
			o.t.Fatal(err)
		}
	}
}

func TestALaunchWithAnOverride(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	o.held(30, 5) // and the two of the office; the third of all has withdrawn, and the 23rd
	id := o.newsletter("Recall")
	if err := o.db.Set(t.Context(), contact.SettingConfirmAbove, "10", "test", noon.Add(-time.Hour)); err != nil {
		t.Fatal(err)
	}
	path := fmt.Sprintf("/campaigns/%d/", id)
	marketer, officer := o.as(staff.Marketer), o.as(staff.Officer)
	check := marketer.checked(id)
	if page := check.Body.String(); !strings.Contains(page, o.words.CountText("en", "console.override.role", 25)) || strings.Contains(page, path+"override") {
		t.Errorf("a marketer is shown: %s", page)
	}
	officer.do("POST", "/language", url.Values{"lang": {"da"}})
	check = officer.checked(id)
	page := check.Body.String()
	for _, want := range []string{o.words.CountText("da", "console.override.more", 25), "Send til 30 personer på dansk og engelsk, heraf 25 ved undtagelsen", "Send til 5 personer"} {
		if !strings.Contains(page, want) {
			t.Errorf("the check does not say %q: %s", want, page)
		}
	}
	form := func(reason, number string) url.Values {
		return url.Values{"seen": {seen(check)}, "reason": {reason}, "number": {number}}
	}
	if w := marketer.do("POST", path+"override", form("kettles catch fire", "30")); w.Code != http.StatusForbidden {
		t.Errorf("a marketer's override answers %d", w.Code)
	}
	for name, wrong := range map[string]struct {
		form url.Values
		want int
	}{
		"no reason":        {form(" ", "30"), http.StatusBadRequest},
		"a long reason":    {form(strings.Repeat("æ", campaign.MaxOverrideReason+1), "30"), http.StatusBadRequest},
		"no text":          {form("a\x00b", "30"), http.StatusBadRequest},
		"the wrong number": {form("kettles catch fire", "5"), http.StatusBadRequest},
		"another report":   {url.Values{"seen": {"1-2-3"}, "reason": {"x"}, "number": {"30"}}, http.StatusConflict},
	} {
		if w := officer.do("POST", path+"override", wrong.form); w.Code != wrong.want {
			t.Errorf("%s answers %d", name, w.Code)
		}
	}
	reason := "kettles catch fire: " + nasty
	if w := officer.do("POST", path+"override", form(reason, "30")); w.Code != http.StatusSeeOther {
		t.Fatalf("the override answers %d: %s", w.Code, w.Body)
	}
	kept, err := o.db.Campaign(t.Context(), id)
	if err != nil || kept.State != campaign.StateScheduled || kept.OverrideReason != reason || kept.OverrideBy != "user:officer@jatak.example" {
		t.Errorf("it is kept as %s, %q by %q, %v", kept.State, kept.OverrideReason, kept.OverrideBy, err)
	}
	if lines := o.audited(); !strings.HasPrefix(lines[0], "user:officer@jatak.example campaign override kettles catch fire") {
		t.Errorf("the audit log: %q", lines)
	}

	// Who gets it is who the page said: also some without a consent, and nobody who
	// has withdrawn.
	if _, _, err := o.db.Sweep(t.Context(), true, noon.Add(time.Second), 0, 10); err != nil {
		t.Fatal(err)
	}
	for done := false; !done; {
		if _, done, err = o.db.PlanChunk(t.Context(), id, 100, noon.Add(time.Second), gating.Decide); err != nil {
			t.Fatal(err)
		}
	}
	books, err := o.db.Books(t.Context(), id)
	if err != nil || books.Pending != 30 || books.Blocked[gating.Withdrawn] != 2 || books.BlockedTotal() != 2 {
		t.Errorf("the books are %+v, %v", books, err)
	}
	for _, of := range []string{"", "report"} {
		page := officer.do("GET", strings.TrimSuffix(path+of, "/"), nil).Body.String()
		if !strings.Contains(page, "kettles catch fire: &lt;script&gt;") || !strings.Contains(page, "officer@jatak.example") {
			t.Errorf("the page %q does not tell of the override: %s", of, page)
		}
	}
	report := officer.do("GET", path+"report", nil).Body.String()
	if !strings.Contains(report, o.words.CountText("da", "console.override.lifted", 25)) {
		t.Errorf("the report does not say how many got past: %s", report)
	}
	if people := officer.do("GET", path+"people?lifted=1", nil).Body.String(); strings.Count(people, `class="main-cell"`) != 25 {
		t.Errorf("behind the number are others: %s", people)
	}
	if lines := o.audited(); strings.Count(strings.Join(lines, "\n"), "campaign override") != 1 {
		t.Errorf("the override is told of more than once: %q", lines)
	}
}

// Where E-marketing privacy holds nobody back there is nothing to override.
func TestNothingToOverride(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	b := o.as(staff.Administrator)
	path := fmt.Sprintf("/campaigns/%d/", o.id)
	check := b.checked(o.id)
	if strings.Contains(check.Body.String(), path+"override") {
		t.Errorf("the check offers an override: %s", check.Body)
	}
	if w := b.do("POST", path+"override", url.Values{"seen": {seen(check)}, "reason": {"why not"}}); w.Code != http.StatusConflict {
		t.Errorf("an override answers %d", w.Code)
	}
}

func TestACampaignWaitsForEachRecipientsTime(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	zones := []string{"Asia/Tokyo", "Europe/Copenhagen", "America/New_York", ""}
	err := o.db.Import(t.Context(), func(im *postgres.Import) error {
		_, err := im.Contacts(t.Context(), func(yield func(contact.LegacyContact, error) bool) {
			for i, zone := range zones {
				email := fmt.Sprintf("z%d@example.org", i)
				if !yield(contact.LegacyContact{ID: email, Email: email, Address: contact.Address(email), Digest: []byte(email), TimeZone: zone}, nil) {
					return
				}
			}
		}, func(contact.Objection) {})
		return err
	})
	if err == nil {
		err = o.db.Set(t.Context(), contact.SettingTimeZone, "Europe/Copenhagen", "test", noon)
	}
	if err != nil {
		t.Fatal(err)
	}
	b := o.as(staff.Marketer)
	b.do("POST", "/language", url.Values{"lang": {"da"}})
	id := o.newsletter("Godmorgen")
	path := fmt.Sprintf("/campaigns/%d", id)
	check := b.checked(id)
	if !strings.Contains(check.Body.String(), o.words.CountText("da", "console.check.local.zoned", 3)) {
		t.Errorf("the check: %s", check.Body)
	}
	launch := func(at string) int {
		return b.do("POST", path+"/launch", url.Values{"seen": {seen(check)}, "at": {at}, "local": {"1"}}).Code
	}
	for _, at := range []string{"", "tomorrow", "2020-01-01T09:00", "2099-01-01T09:00"} {
		if got := launch(at); got != http.StatusBadRequest {
			t.Errorf("at %q it answers %d", at, got)
		}
	}
	at := noon.AddDate(0, 0, 1).Add(-3 * time.Hour)
	if got := launch(at.Format("2006-01-02T15:04")); got != http.StatusSeeOther {
		t.Fatalf("the launch answers %d", got)
	}
	kept, err := o.db.Campaign(t.Context(), id)
	if err != nil || kept.Local.Zone != "Europe/Copenhagen" || !kept.Local.Clock.Equal(at) {
		t.Fatalf("it is kept for %+v, %v", kept.Local, err)
	}
	local := o.words.Text("da", "console.draft.local", templates.Time("da", at))
	if page := b.do("GET", path, nil).Body.String(); !strings.Contains(page, local) || !strings.Contains(page, "Europe/Copenhagen") {
		t.Errorf("before it begins the page does not say %q: %s", local, page)
	}
	if page := b.do("GET", "/", nil).Body.String(); !strings.Contains(page, templates.Time("da", at)+" <small>"+o.words.Text("da", "console.local.short")) {
		t.Errorf("the list: %s", page)
	}
	if _, _, err := o.db.Sweep(t.Context(), true, noon, 0, 10); err != nil {
		t.Fatal(err)
	}
	for done := false; !done; {
		if _, done, err = o.db.PlanChunk(t.Context(), id, 100, noon, gating.Decide); err != nil {
			t.Fatal(err)
		}
	}
	last := kept.Local.In("America/New_York")
	waits, err := o.db.Departures(t.Context(), id, noon)
	if err != nil || len(waits) != 3 || waits[1].People != 4 || !waits[2].At.Equal(last) || waits[2].People != 1 {
		t.Fatalf("what waits: %+v, %v", waits, err)
	}
	page := b.do("GET", path, nil).Body.String()
	copenhagen, _ := time.LoadLocation("Europe/Copenhagen")
	for _, want := range []string{o.words.CountText("da", "console.waits", 6), templates.Time("da", last.In(copenhagen)), o.words.Text("da", "console.hint.no_worker")} {
		if !strings.Contains(page, want) {
			t.Errorf("the page does not say %q: %s", want, page)
		}
	}
	worker, err := o.db.StartWorker(t.Context(), "test", time.Hour)
	if err == nil {
		err = o.db.DescribeWorker(t.Context(), worker, campaign.About{Relays: []campaign.Relay{{Name: "news@mail.example:587", Trouble: "it answers 530 5.7.0 <i>log in</i>"}}})
	}
	if err != nil {
		t.Fatal(err)
	}
	want, tick := o.words.Text("da", "console.hint.relay", "…@mail.example:587: it answers 530 5.7.0 &lt;i&gt;log in&lt;/i&gt;"), time.NewTicker(100*time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(20 * time.Second); !strings.Contains(b.do("GET", path, nil).Body.String(), want); <-tick.C { // what was seen counts for a beat
		if time.Now().After(deadline) {
			t.Fatalf("the page does not say %q", want)
		}
	}
	if w := b.do("POST", path+"/pause", url.Values{}); w.Code != http.StatusSeeOther {
		t.Errorf("pausing answers %d", w.Code)
	}
	if w := b.do("POST", path+"/resume", url.Values{}); w.Code != http.StatusSeeOther {
		t.Errorf("resuming answers %d", w.Code)
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
	handler, err := console.New(console.Options{Store: store, Together: o.together, Templates: o.words, Settings: postgres.Settings(), Now: func() time.Time { return noon }, Log: slog.New(slog.DiscardHandler)})
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
