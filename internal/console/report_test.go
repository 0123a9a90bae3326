package console_test

import (
	"encoding/csv"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/PuerkitoBio/goquery"

	"github.com/jatak-mail/jatak/gating"
	"github.com/jatak-mail/jatak/internal/campaign"
	"github.com/jatak-mail/jatak/internal/contact"
	"github.com/jatak-mail/jatak/internal/staff"
	"github.com/jatak-mail/jatak/templates"
)

// read asks for a page that there is.
func (b *browser) read(path string) *goquery.Document {
	b.o.t.Helper()
	w := b.do("GET", path, nil)
	if w.Code != http.StatusOK {
		b.o.t.Fatalf("%s answers %d: %s", path, w.Code, w.Body)
	}
	doc, err := goquery.NewDocumentFromReader(w.Body)
	if err != nil {
		b.o.t.Fatal(err)
	}
	return doc
}

// texts are those of elements, without the room around words.
func texts(s *goquery.Selection) []string {
	return s.Map(func(_ int, e *goquery.Selection) string { return strings.Join(strings.Fields(e.Text()), " ") })
}

// leading is the number that a text begins with.
func leading(text string) int {
	first, _, _ := strings.Cut(strings.TrimSpace(text), " ")
	n, _ := strconv.Atoi(first)
	return n
}

// sheet reads a part of a report as CSV, without its first line.
func (b *browser) sheet(id campaign.ID, part string) [][]string {
	b.o.t.Helper()
	w := b.do("GET", fmt.Sprintf("/campaigns/%d/report.csv?part=%s", id, part), nil)
	rows, err := csv.NewReader(strings.NewReader(strings.TrimPrefix(w.Body.String(), "\ufeff"))).ReadAll()
	if w.Code != http.StatusOK || err != nil || len(rows) < 2 {
		b.o.t.Fatalf("the part %s answers %d: %d rows, %v", part, w.Code, len(rows), err)
	}
	return rows[1:]
}

func sum(rows [][]string, column int) (n int64) {
	for _, row := range rows {
		k, _ := strconv.ParseInt(row[column], 10, 64)
		n += k
	}
	return n
}

func TestAReportInParts(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	domains := []string{"hotmail.com", "live.dk", "gmail.com"}
	for i := range 12 {
		domains = append(domains, fmt.Sprintf("d%d.example", i))
	}
	o.settle(180, domains...)
	id := o.newsletter("June")
	o.send(id, noon.Add(-5*time.Hour), true)
	for _, person := range []contact.ID{4, 19, 34, 5} { // by hotmail.com, gmail.com and others
		o.choose(person, id, noon)
	}
	books, err := o.db.Books(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	path := fmt.Sprintf("/campaigns/%d/report", id)
	b := o.as(staff.Marketer)
	page := b.read(path)

	// The providers are one each, and the first; the smallest are together.
	rows := page.Find("#destinations tbody tr")
	names := texts(rows.Find(".main-cell"))
	if len(names) != 11 || !strings.HasPrefix(names[0], "Outlook and Hotmail") || names[10] != o.words.Text("en", "console.report.other_domains", "5") {
		t.Errorf("the destinations are %q", names)
	}
	if n := leading(rows.First().Find("td").Eq(1).Text()); n != 24 {
		t.Errorf("%d people are with Outlook, want 24", n)
	}
	// Behind each number are as many people.
	links := 0
	for _, part := range []string{"#destinations", "#languages"} {
		page.Find(part + " tbody td a, .tile a").Each(func(_ int, a *goquery.Selection) {
			link := a.AttrOr("href", "")
			if people := b.read(link).Find("tbody .main-cell").Length(); people != min(50, leading(a.Text())) {
				t.Errorf("%s leads to %d people, not %s", link, people, a.Text())
			}
			links++
		})
	}
	if links < 40 {
		t.Errorf("only %d numbers have people behind them", links)
	}
	more, _ := page.Find("#destinations-more").Attr("href")
	if all := b.read(strings.TrimSuffix(more, "#destinations")).Find("#destinations tbody tr"); all.Length() != 15 {
		t.Errorf("all destinations are %d", all.Length())
	}

	// It is sorted by any column, and says so.
	for key, column := range map[string]int{"failed": 3, "withdrawn": 4, "people": 1, "nothing": 1} {
		sorted := b.read(path + "?all=1&sort=" + key)
		var counts []int
		sorted.Find("#destinations tbody tr").Each(func(_ int, row *goquery.Selection) {
			counts = append(counts, leading(row.Find("td").Eq(column).Text()))
		})
		slices.Reverse(counts)
		head := sorted.Find("#destinations th[aria-sort]")
		if !slices.IsSorted(counts) || head.Length() != 1 || head.AttrOr("aria-sort", "") != "descending" || head.Index() != column {
			t.Errorf("by %s: %v, below %q", key, counts, head.Text())
		}
	}
	byName := b.read(path + "?all=1&sort=name").Find("#destinations")
	if names := texts(byName.Find(".main-cell")); names[0] != "d0.example" || byName.Find("th[aria-sort=ascending]").Length() != 1 {
		t.Errorf("by name: %q", names)
	}

	// Each part is a file that adds up.
	for part, want := range map[string]map[int]int64{
		"destinations": {1: books.Audience, 2: books.Sent, 3: books.Failed, 4: 4}, "languages": {1: books.Audience, 2: books.Sent, 3: books.Failed, 4: 4},
		"time": {1: books.Sent, 2: books.Failed, 3: 4}, "failures": {2: books.Failed}, "compare": {3: books.Sent, 5: 4},
	} {
		for column, n := range want {
			if got := sum(b.sheet(id, part), column); got != n {
				t.Errorf("column %d of %s adds up to %d, want %d", column, part, got, n)
			}
		}
	}
	if w := b.do("GET", path+".csv?part=nothing", nil); w.Code != http.StatusNotFound {
		t.Errorf("a part that is none answers %d", w.Code)
	}

	// It says in words what the numbers are.
	for lang, want := range map[string][]string{"en": {"mails were accepted", "There is no such mailbox.", "4 people have unsubscribed"},
		"da": {"er modtaget af modtagernes mailservere", "Postkassen findes ikke.", "4 personer har afmeldt sig"}} {
		b.do("POST", "/language", url.Values{"lang": {lang}})
		for _, said := range want {
			if summary := b.read(path).Find(".summary").Text(); !strings.Contains(summary, said) {
				t.Errorf("%q does not say %q", summary, said)
			}
		}
	}
	viewer := o.as(staff.Viewer)
	if shown := viewer.read(path); shown.Find(`a[href*="/people"]`).Length() > 0 || len(viewer.sheet(id, "result")) < 3 {
		t.Error("a viewer is led to people, or has no file")
	}
}

// A line needs several points; what is drawn is told in a table as well.
func TestChartsOfAReport(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	o.town(300)
	id := o.newsletter("June")
	o.send(id, noon.AddDate(0, 0, -9), true) // two batches, 40 minutes apart
	for i := range 5 {
		o.choose(contact.ID(104+i), id, noon.AddDate(0, 0, -2*i))
	}
	figures := o.as(staff.Viewer).read(fmt.Sprintf("/campaigns/%d/report", id)).Find("figure")
	if figures.Length() != 3 {
		t.Fatalf("%d charts", figures.Length())
	}
	for i, want := range []struct {
		step          string
		lines, counts int
	}{{"console.chart.by_span", 1, 2}, {"console.chart.by_day", 1, 5}, {"console.chart.by_span", 1, 2}} {
		f := figures.Eq(i)
		var total int
		f.Find("tbody td.number").Each(func(_ int, n *goquery.Selection) { total += leading(n.Text()) })
		label := f.Find("svg").AttrOr("aria-label", "")
		if !strings.Contains(f.Find("figcaption").Text(), o.words.Text("en", want.step)) || f.Find("polyline").Length() != want.lines ||
			f.Find("tbody tr").Length() != want.counts || !strings.Contains(label, fmt.Sprintf(": %d in all", total)) {
			t.Errorf("chart %d, %q: %d lines, %d rows that add up to %d", i, label, f.Find("polyline").Length(), f.Find("tbody tr").Length(), total)
		}
	}
}

func TestAReportComparesWithTheChosen(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	o.town(30)
	if err := o.db.CreateType(t.Context(), contact.NewType{Key: "news", Names: map[string]string{"en": "News"}}, "test", noon); err != nil {
		t.Fatal(err)
	}
	start := func(name, typ string, days int) campaign.ID {
		t.Helper()
		html := `<a href="{{ manage_url }}">Manage</a> P`
		id, err := o.db.CreateCampaign(t.Context(), campaign.Content{Name: name, Type: typ, FromName: "K", FromAddress: "news@jatak.example", PostalAddress: "P", DefaultLanguage: "en",
			Variants: map[string]campaign.Variant{"en": {Subject: "s", HTML: html}}}, noon)
		if err != nil {
			t.Fatal(err)
		}
		o.send(id, noon.AddDate(0, 0, days), true)
		return id
	}
	oldest, other, second, this := start("Oldest", "news", -30), start("Other", "", -20), start("Second", "news", -15), start("This", "news", -10)
	start("Later", "news", -1)
	for person := range contact.ID(6) {
		o.choose(person+4, this, noon)
	}
	// Who leaves the type by a mail has unsubscribed by it.
	if _, err := o.db.Choose(t.Context(), contact.Choices{Contact: 20, Source: gating.SourceOneClick, Campaign: int64(second), At: noon, Locale: "en", Wording: "w",
		Types: map[gating.TypeID]gating.Preference{1: gating.PreferenceOut}}); err != nil {
		t.Fatal(err)
	}
	b := o.as(staff.Viewer)
	for query, want := range map[string][]string{
		"": {"This", "Second", "Oldest"}, fmt.Sprintf("?with=0&with=%d", other): {"This", "Other"}, "?with=0": {"This"}, "?with=x": {"This"},
		fmt.Sprintf("?with=%d&with=%d", oldest, second): {"This", "Second", "Oldest"},
	} {
		page := b.read(fmt.Sprintf("/campaigns/%d/report%s", this, query))
		var got []string
		for _, name := range texts(page.Find("#compare .main-cell")) {
			got = append(got, leadingWord(name))
		}
		if chosen := page.Find("#compare input[checked]").Length(); !slices.Equal(got, want) || chosen != len(want)-1 || page.Find("#compare input[type=checkbox]").Length() != 3 {
			t.Errorf("%q: with %q, %d chosen", query, got, chosen)
		}
	}
	// Two others tell what is usual.
	if said := b.read(fmt.Sprintf("/campaigns/%d/report", this)).Find(".summary").Text(); !strings.Contains(said, o.words.Text("en", "console.sum.usual.more", "1.9%")) {
		t.Errorf("it says %q", said)
	}
	if said := b.read(fmt.Sprintf("/campaigns/%d/report", oldest)); strings.Contains(said.Find(".summary").Text(), "usual") || !strings.Contains(said.Find("#compare").Text(), o.words.Text("en", "console.compare.none")) {
		t.Errorf("the first of all says %q", said.Find(".summary").Text())
	}
	if rows := b.sheet(second, "result"); rows[len(rows)-1][2] != "1" {
		t.Errorf("the result: %q", rows)
	}
}

func leadingWord(text string) string {
	word, _, _ := strings.Cut(text, " ")
	return word
}

func TestTheListTellsHowFarCampaignsAre(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	o.town(300)
	ended, running := o.newsletter("Ended"), o.newsletter("Running")
	o.send(ended, noon.AddDate(0, 0, -3), true)
	o.send(running, noon, false)
	o.choose(150, ended, noon)
	page := o.as(staff.Viewer).read("/")
	row := func(id campaign.ID) *goquery.Selection { return page.Find(fmt.Sprintf("#c%d", id)).Closest("tr") }
	books, err := o.db.Books(t.Context(), running)
	if err != nil {
		t.Fatal(err)
	}
	mailed := books.Audience - books.BlockedTotal()
	bar := row(running).Find("progress")
	if bar.AttrOr("max", "") != fmt.Sprint(mailed) || bar.AttrOr("value", "") != fmt.Sprint(mailed-books.Open()) || row(ended).Find("progress").Length() != 0 {
		t.Errorf("the bar is %s of %s; of %d mails %d are open", bar.AttrOr("value", ""), bar.AttrOr("max", ""), mailed, books.Open())
	}
	withdrawn := row(ended).Find(fmt.Sprintf(`[data-label=%q]`, o.words.Text("en", "console.report.withdrawn")))
	if text := strings.Join(strings.Fields(withdrawn.Text()), " "); !strings.HasPrefix(text, "1 0.") || !strings.HasSuffix(text, "%") {
		t.Errorf("the withdrawals are %q", text)
	}
}

// What is sent and who is done with are two things, and a pause has no rate.
func TestTheLivePageTellsSentFromDone(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	o.town(300)
	if err := o.db.Set(t.Context(), contact.SettingTimeZone, "Asia/Tokyo", "test", noon); err != nil {
		t.Fatal(err)
	}
	id := o.newsletter("June")
	o.send(id, noon.Add(-4*time.Second), false)
	books, err := o.db.Books(t.Context(), id)
	if err != nil || books.Pending == 0 || books.Deferred == 0 {
		t.Fatalf("the books are %+v, %v", books, err)
	}
	b := o.as(staff.Marketer)
	path := fmt.Sprintf("/campaigns/%d", id)
	number := func(n int64) string { return templates.Number("en", n) }
	progress := func() string { return strings.Join(strings.Fields(b.read(path).Find("#live-progress").Text()), " ") }
	before := progress()
	for _, want := range []string{o.words.Text("en", "console.live.sent", number(books.Sent), number(books.Audience-books.BlockedTotal())),
		o.words.Text("en", "console.live.handled", number(books.Audience-books.Open()), number(books.Audience)),
		o.words.Text("en", "console.rate", templates.Decimal("en", float64(books.Sent)/4)), "left"} {
		if !strings.Contains(before, want) {
			t.Errorf("the page does not say %q: %s", want, before)
		}
	}
	// The figures' time is told as all others are.
	if at := b.read(path).Find("#broken").AttrOr("data-at", ""); at != "21:00" {
		t.Errorf("the figures are of %q", at)
	}
	if err := o.db.Pause(t.Context(), id, "user:x"); err != nil {
		t.Fatal(err)
	}
	if paused := progress(); strings.Contains(paused, "a second") || strings.Contains(paused, "left") {
		t.Errorf("while it is paused the page says %s", paused)
	}
}

// A list says what became of the mail, or will.
func TestPeopleGotItOrWillGetIt(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	o.town(300)
	sent, draft := o.newsletter("June"), o.newsletter("July")
	o.send(sent, noon, false)
	b := o.as(staff.Marketer)
	b.checked(draft)
	for path, want := range map[string]string{
		fmt.Sprintf("/campaigns/%d/people?state=sent", sent):                 "console.who.sent",
		fmt.Sprintf("/campaigns/%d/people?state=pending", sent):              "console.who.pending",
		fmt.Sprintf("/campaigns/%d/people?state=deferred&language=da", sent): "console.who.deferred",
		fmt.Sprintf("/campaigns/%d/people?state=blocked", sent):              "console.who.blocked",
		fmt.Sprintf("/campaigns/%d/people?withdrawn=1", sent):                "console.who.withdrawn",
		fmt.Sprintf("/campaigns/%d/people?state=nonsense", sent):             "console.who.all",
		fmt.Sprintf("/campaigns/%d/people?reason=privacy_off", draft):        "console.who.will",
		fmt.Sprintf("/campaigns/%d/people?reason=withdrawn", draft):          "console.who.will_not",
	} {
		if title := b.read(path).Find("h1").Text(); title != o.words.Text("en", want) {
			t.Errorf("%s is called %q", path, title)
		}
	}
	if page := b.read(fmt.Sprintf("/campaigns/%d/people?state=sent", sent)).Find("tbody").Text(); !strings.Contains(page, o.words.Text("en", "console.who.reason.privacy_off")) ||
		strings.Contains(page, o.words.ReasonText("en", gating.PrivacyOff)) {
		t.Errorf("who got it: %s", page)
	}
	if page := b.read(fmt.Sprintf("/campaigns/%d/people?state=failed", sent)).Find("tbody").Text(); !strings.Contains(page, o.words.Text("en", "console.reply.x.1.1")) {
		t.Errorf("who did not: %s", page)
	}
}
