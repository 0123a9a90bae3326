package console

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/jatak-mail/jatak/gating"
	"github.com/jatak-mail/jatak/internal/campaign"
	"github.com/jatak-mail/jatak/templates"
)

// reportPage is what became of a campaign.
type reportPage struct {
	campaign.Campaign
	Kind                      string
	Ready                     bool
	Summary                   []string // what there is to say of it, in sentences
	Books                     campaign.Report
	Mailed                    int64 // the audience without those kept back
	Balanced                  bool
	Tiles                     []tile
	Lifted                    int64 // who got past the gate by an override
	LiftedLink                string
	Lines                     []bar
	Blocked                   []bar
	Sent, Withdrawals, Failed chart
	Destinations, Languages   partTable
	Failures                  []troubleRow
	Resend                    string // leads to what can be sent again
	Compared                  comparedPart
	Self                      string
	Again                     int
	MayExport                 bool
}

// tile is a number of the report, with its share of a whole and the people behind
// it.
type tile struct {
	Key, Kind, Note, Link string
	Count, Of             int64
}

const (
	// reportLife is how long the parts of an ended campaign's books are shown as
	// they were found.
	reportLife = time.Minute
	// liveReportLife is the same while it runs.
	liveReportLife = 15 * time.Second
)

// accountOf returns a campaign's account, if it is found out in time.
func (s *site) accountOf(id campaign.ID, state campaign.State, finished time.Time, wait time.Duration) (a campaign.Account, ready bool, err error) {
	life := liveReportLife
	if state.Ended() {
		life = reportLife
	}
	key := fmt.Sprintf("account %d %s %d", id, state, finished.Unix())
	j := s.books.get(key, life, max(wait, time.Millisecond), time.Now(), func(ctx context.Context, _ *work) (any, error) { return s.Store.Account(ctx, id, s.Now()) })
	return result[campaign.Account](j)
}

func (s *site) report(w http.ResponseWriter, r *http.Request) {
	c, ok := s.launched(w, r)
	if !ok {
		return
	}
	until := time.Now().Add(s.Patience)
	found, ready, err := s.accountOf(c.ID, c.State, c.Finished, s.Patience)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	p := reportPage{Campaign: c, Kind: kindOf(c.State), Ready: ready, Self: reportLink(c.ID, "report", reportQuery(r))}
	if ready {
		s.fillReport(r, &p, found)
		if p.Compared, err = s.compare(r, c, found, time.Until(until)); err != nil {
			s.fail(w, r, err)
			return
		}
		if !p.Compared.Known() {
			p.Again = 1
		}
		p.Summary = s.summary(r, p, found)
	}
	s.show(w, r, http.StatusOK, "report", "campaigns", "", p)
}

// reportLink is an address of a campaign's report, or of its numbers.
func reportLink(id campaign.ID, page string, q url.Values) string {
	link := fmt.Sprintf("/campaigns/%d/%s", id, page)
	if query := q.Encode(); query != "" {
		link += "?" + query
	}
	return link
}

// reportQuery is what an address says of how a report is shown.
func reportQuery(r *http.Request) url.Values {
	q := url.Values{}
	for _, name := range []string{"sort", "all", "with"} {
		for _, value := range r.URL.Query()[name] {
			if value = plain(value, 20); value != "" && len(q[name]) <= mostOffered {
				q.Add(name, value)
			}
		}
	}
	return q
}

// launched finds a campaign, and leads to the check of one that is not launched.
func (s *site) launched(w http.ResponseWriter, r *http.Request) (c campaign.Campaign, ok bool) {
	if c, ok = s.find(w, r); ok && c.Launched.IsZero() {
		s.redirect(w, r, fmt.Sprintf("/campaigns/%d/check", c.ID))
		return c, false
	}
	return c, ok
}

func (s *site) fillReport(r *http.Request, p *reportPage, found campaign.Account) {
	p.Books, p.Balanced = found.Report, found.Balanced() == nil
	p.Mailed = p.Books.Audience - p.Books.BlockedTotal()
	p.Tiles = s.tiles(r, p.ID, found)
	p.Lifted = found.Lifted
	p.LiftedLink = s.peopleLink(r, p.ID, url.Values{"lifted": {"1"}}, p.Lifted)
	p.MayExport = s.peopleLink(r, p.ID, nil, p.Books.Audience) != ""
	p.Lines = slices.DeleteFunc(s.bookLines(r, p.ID, p.Books), func(b bar) bool { return b.Count == 0 })
	for _, reason := range gating.Reasons() {
		if n := p.Books.Blocked[reason]; n > 0 {
			p.Blocked = append(p.Blocked, newBar(s.reasonLine(r, reason), "", n, p.Books.Audience,
				s.peopleLink(r, p.ID, url.Values{"state": {string(campaign.Blocked)}, "reason": {string(reason)}}, n)))
		}
	}
	slices.SortStableFunc(p.Blocked, func(a, b bar) int { return cmp.Compare(b.Count, a.Count) })
	draw := func(key, tone string, since time.Time, count func(campaign.Span) int64) chart {
		return newChart(key, tone, found.Spans, since, count, s.lang(r), zoneOf(r))
	}
	p.Sent = draw("console.chart.sent", "", time.Time{}, func(s campaign.Span) int64 { return s.Sent })
	p.Withdrawals = draw("console.chart.withdrawals", "warn", p.Launched, func(s campaign.Span) int64 { return s.Withdrawn })
	p.Failed = draw("console.chart.failures", "bad", time.Time{}, func(s campaign.Span) int64 { return s.Failed })
	p.Destinations = s.destinationTable(r, p.ID, found)
	p.Languages = s.languageTable(r, p.ID, found)
	p.Resend = s.resendLink(r, p.Campaign, found.Report)
	for _, t := range found.Failures {
		p.Failures = append(p.Failures, s.trouble(r, p.ID, t, failureFilter(t)))
	}
}

func (s *site) tiles(r *http.Request, id campaign.ID, a campaign.Account) []tile {
	link := func(filter url.Values, n int64) string { return s.peopleLink(r, id, filter, n) }
	blocked := a.BlockedTotal()
	mailed := a.Audience - blocked
	list := []tile{
		{Key: "console.audience", Count: a.Audience, Link: link(url.Values{}, a.Audience)},
		{Key: "console.sent", Kind: "good", Count: a.Sent, Of: mailed, Link: link(stateFilter(campaign.Sent), a.Sent)},
		{Key: "console.failed", Count: a.Failed, Of: mailed, Link: link(stateFilter(campaign.Failed), a.Failed)},
		{Key: "console.kept_back", Count: blocked, Of: a.Audience, Link: link(stateFilter(campaign.Blocked), blocked)},
		{Key: "console.report.withdrawn", Count: a.Withdrawn, Of: a.Sent, Link: link(url.Values{"withdrawn": {"1"}}, a.Withdrawn)},
	}
	if a.Failed > 0 {
		list[2].Kind = "bad"
	}
	if a.Complained > 0 {
		list[4].Note = s.plural(r, "console.report.complained", a.Complained)
	}
	return list
}

// plural is the sentence of a key for a number.
func (s *site) plural(r *http.Request, key string, n int64) string {
	return s.Templates.CountText(s.lang(r), key, n)
}

// usualMargin is by how much of those who got a campaign its share of withdrawals
// differs from the usual at least, for the report to say so.
const usualMargin = 0.001

// summary says in sentences what became of a campaign.
func (s *site) summary(r *http.Request, p reportPage, a campaign.Account) (said []string) {
	say := func(text string) { said = append(said, text) }
	lang := s.lang(r)
	if p.Mailed == 0 {
		say(s.text(r, "console.sum.nobody"))
	} else {
		say(s.text(r, "console.sum.sent", s.number(r, a.Sent), s.number(r, p.Mailed), templates.Share(lang, a.Sent, p.Mailed)))
	}
	if p.State == campaign.StateFinished && a.Sent > 0 {
		say(s.text(r, "console.sum.took", s.duration(r, p.Finished.Sub(p.Launched))))
	}
	if open := a.Open(); open > 0 && !p.State.Ended() {
		say(s.plural(r, "console.sum.open", open))
	}
	if a.Failed > 0 {
		text := s.plural(r, "console.sum.failed", a.Failed)
		if most := mostOf(a.Failures); most.Count > 0 {
			text += " " + s.text(r, "console.sum.failed.most", s.replyWords(r, most.Code, most.Enhanced))
		}
		say(text)
	}
	if len(p.Blocked) > 0 {
		say(s.plural(r, "console.sum.blocked", a.BlockedTotal()) + " " + s.text(r, "console.sum.blocked.most", p.Blocked[0].Name))
	}
	if a.Sent == 0 {
		return said
	}
	text := s.text(r, "console.sum.withdrawn.none")
	if a.Withdrawn > 0 {
		text = s.plural(r, "console.sum.withdrawn", a.Withdrawn) + " (" + templates.Share(lang, a.Withdrawn, a.Sent) + ")"
	}
	if usual, known := p.Compared.usual(); known {
		own := float64(a.Withdrawn) / float64(a.Sent)
		key := "console.sum.usual.same"
		switch {
		case own > usual+usualMargin:
			key = "console.sum.usual.more"
		case own < usual-usualMargin:
			key = "console.sum.usual.less"
		}
		text += ", " + s.text(r, key, templates.Share(lang, int64(usual*1e6+0.5), 1e6))
	}
	say(text + ".")
	if a.OptedOut > 0 {
		say(s.plural(r, "console.sum.opted_out", a.OptedOut))
	}
	return said
}

// mostOf is the kind of reply that most mails got.
func mostOf(list []campaign.Trouble) (most campaign.Trouble) {
	for _, t := range list {
		if t.Count > most.Count {
			most = t
		}
	}
	return most
}

// partTable is the books in parts.
type partTable struct {
	ID, Title string // Title is a key
	Heads     []partHead
	Rows      []partRow
	More      string // leads to all rows, when these are not all
	MoreCount int64
	Less      string // leads back
	CSV       string
}

// partHead is a column. Link sorts by it, Sorted says how it is sorted by now, as
// aria-sort does.
type partHead struct{ Key, Label, Link, Sorted string }

// partRow is a line of the books in parts.
type partRow struct {
	campaign.Slice
	Label, Note     string
	Cells           []partCell // in the order of the columns, without the name
	SentTo, FailsTo float64    // where the parts of its bar end, in hundredths of the largest
	To              float64    // 0: it has no bar
	others          bool
}

// partCell is a number of a part, with the people behind it; Of is what its share
// is of, 0 for none.
type partCell struct {
	Label     string
	Count, Of int64
	Link      string
}

// partColumn is a kind of number that every part has.
type partColumn struct {
	key, label string
	count, of  func(campaign.Slice) int64
	filter     url.Values
}

func partColumns() []partColumn {
	none := func(campaign.Slice) int64 { return 0 }
	state := func(states campaign.DeliveryState) url.Values { return url.Values{"state": {string(states)}} }
	return []partColumn{
		{"people", "console.people.title", func(s campaign.Slice) int64 { return s.All }, none, url.Values{}},
		{"sent", "console.sent", func(s campaign.Slice) int64 { return s.Sent }, campaign.Slice.Tried, state(campaign.Sent)},
		{"failed", "console.failed", func(s campaign.Slice) int64 { return s.Failed }, campaign.Slice.Tried, state(campaign.Failed)},
		{"withdrawn", "console.report.withdrawn", func(s campaign.Slice) int64 { return s.Withdrawn }, func(s campaign.Slice) int64 { return s.Sent }, url.Values{"withdrawn": {"1"}}},
		{"blocked", "console.kept_back", func(s campaign.Slice) int64 { return s.Blocked }, func(s campaign.Slice) int64 { return s.All }, state(campaign.Blocked)},
		{"rest", "console.report.rest", func(s campaign.Slice) int64 { return s.Open + s.InDoubt + s.Cancelled }, func(s campaign.Slice) int64 { return s.All }, nil},
	}
}

// part is a row of a table. The filter picks the people of the part; nil is for
// those whom no list shows.
func (s *site) part(r *http.Request, id campaign.ID, of campaign.Slice, label string, filter url.Values) partRow {
	row := partRow{Slice: of, Label: label}
	for _, c := range partColumns() {
		cell := partCell{Label: c.label, Count: c.count(of), Of: c.of(of)}
		if filter != nil && c.filter != nil {
			both := url.Values{}
			for _, from := range []url.Values{filter, c.filter} {
				for name := range from {
					both.Set(name, from.Get(name))
				}
			}
			cell.Link = s.peopleLink(r, id, both, cell.Count)
		}
		row.Cells = append(row.Cells, cell)
	}
	return row
}

// mostShown is how many destinations a report shows before it is asked for all.
const mostShown = 10

// everyOther is the destination of a filter that stands for those beyond an
// account's.
const everyOther = "*"

func (s *site) destinationTable(r *http.Request, id campaign.ID, a campaign.Account) partTable {
	t := partTable{ID: "destinations", Title: "console.report.domains"}
	t.CSV = reportLink(id, "report.csv", url.Values{"part": {t.ID}})
	query := reportQuery(r)
	sort, all := query.Get("sort"), query.Get("all") != ""
	link := func(sort string, all bool) string {
		q := reportQuery(r)
		q.Del("all")
		if all {
			q.Set("all", "1")
		}
		if q.Set("sort", sort); sort == "" {
			q.Del("sort")
		}
		return reportLink(id, "report", q)
	}
	for _, d := range a.Destinations {
		filter, label := url.Values{"domain": {cmp.Or(d.Name, "-")}}, d.Name
		if d.Name == "" {
			label = s.text(r, "console.report.no_domain")
		}
		row := s.part(r, id, d, s.destinationName(r, label), filter)
		if domains := campaign.DomainsOf(d.Name); len(domains) > 1 {
			row.Note = strings.Join(domains[:min(3, len(domains))], ", ") + " …"
		}
		t.Rows = append(t.Rows, row)
	}
	by := sortPart(t.Rows, sort)
	rest := a.Others
	more := int64(len(t.Rows) - mostShown)
	switch {
	case more > 1 && !all: // a single one needs no line of its own
		for _, row := range t.Rows[mostShown:] {
			rest.Add(row.Slice)
		}
		t.Rows = t.Rows[:mostShown]
		t.More, t.MoreCount = link(sort, true), more+a.OtherCount
	case more > 1:
		t.Less = link(sort, false)
	}
	if rest.All > 0 {
		var filter url.Values
		if t.More == "" {
			filter = url.Values{"domain": {everyOther}}
		}
		row := s.part(r, id, rest, s.text(r, "console.report.other_domains", s.number(r, cmp.Or(t.MoreCount, a.OtherCount))), filter)
		row.others = true
		t.Rows = append(t.Rows, row)
	}
	t.Heads = append(t.Heads, partHead{Key: "name", Label: "console.destination", Link: link("name", all), Sorted: sorted(by == "name", "ascending")})
	for _, c := range partColumns() {
		t.Heads = append(t.Heads, partHead{Key: c.key, Label: c.label, Link: link(c.key, all), Sorted: sorted(by == c.key, "descending")})
	}
	t.finish()
	return t
}

func sorted(by bool, order string) string {
	if by {
		return order
	}
	return ""
}

// sortPart sorts rows by a column, the largest first, or by their name, and
// returns what it sorted by.
func sortPart(rows []partRow, by string) string {
	if by == "name" {
		slices.SortStableFunc(rows, func(a, b partRow) int { return strings.Compare(strings.ToLower(a.Label), strings.ToLower(b.Label)) })
		return by
	}
	columns := partColumns()
	i := max(0, slices.IndexFunc(columns, func(c partColumn) bool { return c.key == by }))
	slices.SortStableFunc(rows, func(a, b partRow) int { return cmp.Compare(b.Cells[i].Count, a.Cells[i].Count) })
	return columns[i].key
}

// destinationName names a provider as people know it; a domain is its own name.
func (s *site) destinationName(r *http.Request, destination string) string {
	if key := "console.provider." + destination; s.text(r, key) != key {
		return s.text(r, key)
	}
	return destination
}

func (s *site) languageTable(r *http.Request, id campaign.ID, a campaign.Account) partTable {
	t := partTable{ID: "languages", Title: "console.report.languages", CSV: reportLink(id, "report.csv", url.Values{"part": {"languages"}}), Heads: []partHead{{Key: "name", Label: "console.language"}}}
	for _, c := range partColumns() {
		t.Heads = append(t.Heads, partHead{Key: c.key, Label: c.label})
	}
	for _, l := range a.Languages {
		label := capital(s.Templates.LanguageName(s.lang(r), l.Name))
		if l.Name == "" {
			label = s.text(r, "console.report.no_language")
		}
		if slices.ContainsFunc(t.Rows, func(other partRow) bool { return other.Label == label }) {
			label += " (" + l.Name + ")" // Danish and the Danish of Denmark
		}
		t.Rows = append(t.Rows, s.part(r, id, l, label, url.Values{"language": {cmp.Or(l.Name, "-")}}))
	}
	t.finish()
	return t
}

// finish draws the bars, and leaves out columns in which there is nothing.
func (t *partTable) finish() {
	var most int64
	for _, row := range t.Rows {
		if !row.others {
			most = max(most, row.All)
		}
	}
	for i := range t.Rows {
		row := &t.Rows[i]
		if row.others {
			continue // they are no part beside the others
		}
		row.SentTo, row.FailsTo, row.To = width(row.Sent, most), width(row.Sent+row.Failed, most), width(row.All, most)
	}
	for i := len(t.Heads) - 1; i > 1; i-- {
		empty := !slices.ContainsFunc(t.Rows, func(row partRow) bool { return row.Cells[i-1].Count > 0 })
		if empty && (t.Heads[i].Key == "rest" || t.Heads[i].Key == "blocked") {
			t.Heads = slices.Delete(t.Heads, i, i+1)
			for j := range t.Rows {
				t.Rows[j].Cells = slices.Delete(t.Rows[j].Cells, i-1, i)
			}
		}
	}
}
