package console

import (
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/jatak-mail/jatak/internal/campaign"
)

// comparison is a campaign beside the one that a report is about.
type comparison struct {
	campaign.Summary
	Mailed, Sent, Failed, Withdrawn int64
	This, Known                     bool
	Shares                          []comparedShare
}

// comparedShare is a part of a whole. Its bar's width is in hundredths of the largest
// share, or of the whole.
type comparedShare struct {
	Key, Kind string
	Part, Of  int64
	Width     float64
}

// offer is a campaign that can be compared with.
type offer struct {
	ID       campaign.ID
	Name     string
	Launched time.Time
	Chosen   bool
}

// comparedPart is a campaign beside earlier ones.
type comparedPart struct {
	List     []comparison // this one first
	Offers   []offer
	CSV      string
	SameType bool // nobody has chosen: they are those of the same type
}

const (
	// mostCompared is how many others a campaign is compared with, and
	// usuallyCompared when nobody chooses.
	mostCompared, usuallyCompared = 8, 5
	// mostOffered is how many can be chosen from.
	mostOffered = 60
	// leastUsual is how many others tell what is usual.
	leastUsual = 2
)

// Known reports whether the books of all are.
func (c comparedPart) Known() bool {
	return !slices.ContainsFunc(c.List, func(o comparison) bool { return !o.Known })
}

// usual is the share of those who got the others and have unsubscribed by them.
func (c comparedPart) usual() (share float64, known bool) {
	var sent, withdrawn, campaigns int64
	for _, o := range c.List {
		if !o.This && o.Known && o.Sent > 0 {
			sent, withdrawn, campaigns = sent+o.Sent, withdrawn+o.Withdrawn, campaigns+1
		}
	}
	if campaigns < leastUsual {
		return 0, false
	}
	return float64(withdrawn) / float64(sent), true
}

// compare puts a campaign beside those that were launched before it: the chosen
// ones, or else the newest, of the same type if there are any.
func (s *site) compare(r *http.Request, c campaign.Campaign, own campaign.Account, wait time.Duration) (part comparedPart, err error) {
	before, err := s.Store.ListCampaigns(r.Context(), campaign.ListFilter{Limit: mostOffered, Before: c.Launched, States: []campaign.State{
		campaign.StatePlanning, campaign.StateSending, campaign.StatePaused, campaign.StateFinished, campaign.StateCancelled}})
	if err != nil {
		return part, err
	}
	slices.SortStableFunc(before, func(a, b campaign.Summary) int { return b.Launched.Compare(a.Launched) })
	list := chosenOf(before, r.URL.Query()["with"])
	if !r.URL.Query().Has("with") {
		list = slices.DeleteFunc(slices.Clone(before), func(o campaign.Summary) bool { return o.TypeKey != c.TypeKey })
		if part.SameType = c.TypeKey != "" && len(list) > 0; len(list) == 0 {
			list = before
		}
		list = list[:min(len(list), usuallyCompared)]
	}
	for _, o := range before {
		part.Offers = append(part.Offers, offer{o.ID, o.Name, o.Launched, slices.ContainsFunc(list, func(l campaign.Summary) bool { return l.ID == o.ID })})
	}
	ids := idsOf(list)
	kept, err := s.Store.KeptBooks(r.Context(), ids)
	if err != nil {
		return part, err
	}
	withdrawn, err := s.Store.Withdrawals(r.Context(), ids)
	if err != nil {
		return part, err
	}
	part.List = []comparison{newComparison(campaign.Summary{ID: c.ID, Name: c.Name, State: c.State, Launched: c.Launched}, own.Report, own.Withdrawn)}
	part.List[0].This = true
	until := time.Now().Add(wait)
	for _, o := range list {
		books, known, err := s.booksOf(o, kept, time.Until(until))
		if err != nil {
			return part, err
		}
		other := newComparison(o, books, withdrawn[o.ID].Withdrawn)
		other.Known = known
		part.List = append(part.List, other)
	}
	part.draw()
	part.CSV = reportLink(c.ID, "report.csv", url.Values{"part": {"compare"}, "with": r.URL.Query()["with"]})
	return part, nil
}

// chosenOf are the campaigns whose ids an address names.
func chosenOf(list []campaign.Summary, names []string) (chosen []campaign.Summary) {
	for _, c := range list {
		if slices.Contains(names, strconv.FormatInt(int64(c.ID), 10)) && len(chosen) < mostCompared {
			chosen = append(chosen, c)
		}
	}
	return chosen
}

func newComparison(c campaign.Summary, books campaign.Report, withdrawn int64) comparison {
	return comparison{Summary: c, Mailed: books.Audience - books.BlockedTotal(), Sent: books.Sent, Failed: books.Failed, Withdrawn: withdrawn, Known: true}
}

// draw gives the shares their bars: few fail or unsubscribe, so that those are
// drawn beside the largest.
func (c *comparedPart) draw() {
	ratio := func(s comparedShare) float64 { return float64(s.Part) / float64(max(s.Of, 1)) }
	largest := map[string]float64{"console.sent": 1}
	for i := range c.List {
		o := &c.List[i]
		o.Shares = []comparedShare{{Key: "console.sent", Kind: "good", Part: o.Sent, Of: o.Mailed}, {Key: "console.failed", Kind: "bad", Part: o.Failed, Of: o.Mailed},
			{Key: "console.report.withdrawn", Kind: "warn", Part: o.Withdrawn, Of: o.Sent}}
		for _, s := range o.Shares {
			largest[s.Key] = max(largest[s.Key], ratio(s))
		}
	}
	for _, o := range c.List {
		for j := range o.Shares {
			if s := &o.Shares[j]; s.Part > 0 {
				s.Width = max(leastWidth, 100*ratio(*s)/largest[s.Key])
			}
		}
	}
}
