package console

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/jatak-mail/jatak/gating"
	"github.com/jatak-mail/jatak/internal/campaign"
)

// partRow is a line of the books by domain or language.
type partRow struct {
	campaign.Slice
	Label string
	Bar   bar // those sent
	Link  string
}

// comparison is a campaign beside this one.
type comparison struct {
	campaign.Summary
	Mailed, Sent, Failed, Withdrawn int64
	This, Known                     bool
}

// reportPage is what became of a campaign.
type reportPage struct {
	campaign.Campaign
	Kind                      string
	Ready                     bool
	Books                     campaign.Report
	Mailed                    int64 // the audience without those kept back
	Balanced                  bool
	Withdrawn                 int64
	WithdrawnLink             string
	Lifted                    int64 // who got past the gate by an override
	LiftedLink                string
	Lines                     []bar
	Blocked                   []bar
	Withdrawals, Failed, Sent chart
	Domains                   []partRow
	Languages                 []partRow
	Failures                  []troubleRow
	Others                    []comparison
	Again                     int
	MayExport                 bool
}

const (
	// reportLife is how long the parts of an ended campaign's books are shown as
	// they were found.
	reportLife = time.Minute
	// liveReportLife is the same while it runs.
	liveReportLife = 15 * time.Second
	mostCompared   = 6
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
	c, ok := s.find(w, r)
	if !ok {
		return
	}
	if c.Launched.IsZero() {
		s.redirect(w, r, fmt.Sprintf("/campaigns/%d/check", c.ID))
		return
	}
	until := time.Now().Add(s.Patience)
	found, ready, err := s.accountOf(c.ID, c.State, c.Finished, s.Patience)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	p := reportPage{Campaign: c, Kind: kindOf(c.State), Ready: ready}
	if ready {
		s.fillReport(r, &p, found)
		if p.Others, err = s.compare(r, c, found, time.Until(until)); err != nil {
			s.fail(w, r, err)
			return
		}
		for _, o := range p.Others {
			if !o.Known {
				p.Again = 1
			}
		}
	}
	s.show(w, r, http.StatusOK, "report", "campaigns", "", p)
}

func (s *site) fillReport(r *http.Request, p *reportPage, found campaign.Account) {
	lang, zone := s.lang(r), zoneOf(r)
	p.Books, p.Withdrawn, p.Balanced = found.Report, found.Withdrawn, found.Balanced() == nil
	p.Mailed = p.Books.Audience - p.Books.BlockedTotal()
	p.WithdrawnLink = s.peopleLink(r, p.ID, url.Values{"withdrawn": {"1"}}, p.Withdrawn)
	p.Lifted = found.Lifted
	p.LiftedLink = s.peopleLink(r, p.ID, url.Values{"lifted": {"1"}}, p.Lifted)
	p.MayExport = s.peopleLink(r, p.ID, nil, p.Books.Audience) != ""
	p.Lines = s.bookLines(r, p.ID, p.Books)
	p.Lines = slices.DeleteFunc(p.Lines, func(b bar) bool { return b.Count == 0 })
	for _, reason := range gating.Reasons() {
		if n := p.Books.Blocked[reason]; n > 0 {
			p.Blocked = append(p.Blocked, newBar(s.reasonLine(r, reason), "", n, p.Books.Audience,
				s.peopleLink(r, p.ID, url.Values{"state": {string(campaign.Blocked)}, "reason": {string(reason)}}, n)))
		}
	}
	p.Withdrawals = newChart("console.chart.withdrawals", found.Hours, func(h campaign.Hour) int64 { return h.Withdrawn }, lang, zone)
	p.Failed = newChart("console.chart.failures", found.Hours, func(h campaign.Hour) int64 { return h.Failed }, lang, zone)
	p.Sent = newChart("console.chart.sent", found.Hours, func(h campaign.Hour) int64 { return h.Sent }, lang, zone)
	for _, d := range found.Domains {
		row := s.part(r, p.ID, d, url.Values{"domain": {d.Name}})
		if d.Name == "" {
			row.Label, row.Link = s.text(r, "console.report.no_domain"), ""
		}
		p.Domains = append(p.Domains, row)
	}
	if found.Others.All > 0 {
		row := s.part(r, p.ID, found.Others, nil)
		row.Label, row.Link = s.text(r, "console.report.other_domains"), ""
		p.Domains = append(p.Domains, row)
	}
	for _, l := range found.Languages {
		value := l.Name
		if value == "" {
			value = "-"
		}
		row := s.part(r, p.ID, l, url.Values{"language": {value}})
		row.Label = capital(s.Templates.LanguageName(s.lang(r), l.Name))
		if l.Name == "" {
			row.Label = s.text(r, "console.report.no_language")
		}
		if slices.ContainsFunc(p.Languages, func(other partRow) bool { return other.Label == row.Label }) {
			row.Label += " (" + l.Name + ")" // Danish and the Danish of Denmark
		}
		p.Languages = append(p.Languages, row)
	}
	for _, t := range found.Failures {
		p.Failures = append(p.Failures, s.trouble(r, p.ID, t, url.Values{"state": {string(campaign.Failed)}, "code": {strconv.Itoa(t.Code)}}))
	}
}

func (s *site) part(r *http.Request, id campaign.ID, of campaign.Slice, filter url.Values) partRow {
	return partRow{Slice: of, Label: of.Name, Bar: newBar("", "good", of.Sent, of.All, ""), Link: s.peopleLink(r, id, filter, of.All)}
}

// compare puts a campaign beside those launched before it.
func (s *site) compare(r *http.Request, c campaign.Campaign, own campaign.Account, wait time.Duration) (list []comparison, err error) {
	all, err := s.Store.ListCampaigns(r.Context(), campaign.ListFilter{Limit: 100, States: []campaign.State{
		campaign.StatePlanning, campaign.StateSending, campaign.StatePaused, campaign.StateFinished, campaign.StateCancelled}})
	if err != nil {
		return nil, err
	}
	all = slices.DeleteFunc(all, func(o campaign.Summary) bool { return o.Launched.IsZero() || o.Launched.After(c.Launched) })
	slices.SortStableFunc(all, func(a, b campaign.Summary) int { return b.Launched.Compare(a.Launched) })
	all = all[:min(len(all), mostCompared)]
	ids := idsOf(all)
	kept, err := s.Store.KeptAccounts(r.Context(), ids)
	if err != nil {
		return nil, err
	}
	withdrawn, err := s.Store.Withdrawals(r.Context(), ids)
	if err != nil {
		return nil, err
	}
	until := time.Now().Add(wait)
	for _, o := range all {
		books, known := own.Report, true
		if o.ID != c.ID {
			if books, known, err = s.booksOf(o, kept, time.Until(until)); err != nil {
				return nil, err
			}
		}
		list = append(list, comparison{Summary: o, Mailed: books.Audience - books.BlockedTotal(), Sent: books.Sent, Failed: books.Failed,
			Withdrawn: withdrawn[o.ID], This: o.ID == c.ID, Known: known})
	}
	return list, nil
}
