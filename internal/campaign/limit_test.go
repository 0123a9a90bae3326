package campaign_test

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/jatak-mail/jatak/internal/campaign"
)

func TestWarmUp(t *testing.T) {
	t.Parallel()
	first := time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC)
	l := campaign.Limit{PerSecond: 10, WarmUp: campaign.WarmUp{From: first, First: 864, Growth: 2}}
	for name, c := range map[string]struct {
		day  float64
		want float64
	}{
		"before it begins":         {-3, 0.01},
		"the first day":            {0.5, 0.01},
		"the second day":           {1, 0.02},
		"the eighth day":           {7.9, 1.28},
		"the limit's own rate":     {30, 10},
		"long after, no overflow":  {5000, 10},
		"at the end of the second": {1.999, 0.02},
	} {
		t.Run(name, func(t *testing.T) {
			if got := l.Rate(first.Add(time.Duration(c.day * float64(24*time.Hour)))); math.Abs(got-c.want) > 1e-9 {
				t.Errorf("%v mails a second, want %v", got, c.want)
			}
		})
	}
	ends := l.WarmUpEnds()
	if before := l.Rate(ends.Add(-time.Second)); before >= 10 || l.Rate(ends) != 10 {
		t.Errorf("it is said to end on %s, before which there are %v mails a second", ends, before)
	}
	l.PerSecond = 0
	if ends := l.WarmUpEnds(); l.Rate(ends) != 0 || l.Rate(ends.Add(-time.Second)) == 0 {
		t.Errorf("without a rate of its own it is said to end on %s", ends)
	}
	if got := l.Rate(first.AddDate(0, 1, 0)); got != 0 {
		t.Errorf("a warm-up without a rate of its own ends at %v", got)
	}
}

func TestLimitsAreValidated(t *testing.T) {
	t.Parallel()
	day := time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC)
	for name, c := range map[string]struct {
		limit campaign.Limit
		want  string // in the error; "" for none
	}{
		"a provider":           {campaign.Limit{Kind: "destination", Name: "outlook", PerSecond: 5}, ""},
		"a domain":             {campaign.Limit{Kind: "destination", Name: "blåbær.dk", Connections: 5}, ""},
		"a group":              {campaign.Limit{Kind: "destination", Name: "kommuner", Domains: []string{"odense.dk"}, PerSecond: 1}, ""},
		"a relay":              {campaign.Limit{Kind: "relay", Name: "mail.example.org:587", PerSecond: 1}, ""},
		"a warm-up alone":      {campaign.Limit{Kind: "relay", Name: "a:25", WarmUp: campaign.WarmUp{From: day, First: 50, Growth: 1.5}}, ""},
		"no bound":             {campaign.Limit{Kind: "destination", Name: "outlook"}, "bounds nothing"},
		"an unknown name":      {campaign.Limit{Kind: "destination", Name: "kommuner", PerSecond: 1}, "name the domains"},
		"a bad domain":         {campaign.Limit{Kind: "destination", Name: "x", Domains: []string{"a b"}, PerSecond: 1}, "no domain"},
		"a relay without port": {campaign.Limit{Kind: "relay", Name: "mail.example.org", PerSecond: 1}, "host and port"},
		"a shrinking warm-up":  {campaign.Limit{Kind: "relay", Name: "a:25", WarmUp: campaign.WarmUp{From: day, First: 50, Growth: 1}}, "grows"},
		"an unknown kind":      {campaign.Limit{Kind: "x", Name: "a:25", PerSecond: 1}, "relay or a destination"},
		"not a number":         {campaign.Limit{Kind: "destination", Name: "outlook", PerSecond: math.NaN()}, "cannot be"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := c.limit.Validate()
			if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("%v, want %q", err, c.want)
			}
		})
	}
}

func TestDestinations(t *testing.T) {
	t.Parallel()
	l := campaign.Limits{Limited: []campaign.Limit{{Kind: campaign.DestinationLimit, Name: "hotmail.dk", PerSecond: 1},
		{Kind: campaign.DestinationLimit, Name: "bær", Domains: []string{"blåbær.dk", "hyben.dk"}, PerSecond: 1}}}
	names := l.Destinations()
	for domain, want := range map[string]string{"outlook.com": "outlook", "hotmail.dk": "hotmail.dk", "gmail.com": "gmail", "example.org": "", "xn--blbr-roah.dk": "bær", "hyben.dk": "bær"} {
		if got := names[campaign.LaneOf(domain)]; got != want {
			t.Errorf("%s goes to %q, want %q", domain, got, want)
		}
	}
}

func TestLocalTime(t *testing.T) {
	t.Parallel()
	local, err := campaign.NewLocalTime("2026-03-29 02:30", "Europe/Copenhagen")
	if err != nil {
		t.Fatal(err)
	}
	for zone, want := range map[string]string{
		"America/New_York":   "2026-03-29T06:30:00Z",
		"Pacific/Kiritimati": "2026-03-28T12:30:00Z",
		"":                   "2026-03-29T01:30:00Z", // clocks in Copenhagen go from 2 to 3
		"Nowhere/AtAll":      "2026-03-29T01:30:00Z",
		"Local":              "2026-03-29T01:30:00Z",
	} {
		at := local.In(zone)
		if got := at.UTC().Format(time.RFC3339); got != want {
			t.Errorf("in %q it is %s, want %s", zone, got, want)
		}
		if at.Before(local.First()) {
			t.Errorf("in %q it is before it is anywhere", zone)
		}
	}
	for _, bad := range [][2]string{{"tomorrow", "Europe/Copenhagen"}, {"2026-03-29 02:30", ""}, {"2026-03-29 02:30", "Local"}, {"2026-03-29 02:30", "Mars/Base"}} {
		if _, err := campaign.NewLocalTime(bad[0], bad[1]); err == nil {
			t.Errorf("%v is taken", bad)
		}
	}
}
