package campaign

import (
	"testing"
	"time"
)

func TestSendingTakesAsLongAsItsSlowestBound(t *testing.T) {
	t.Parallel()
	noon := time.Date(2026, 11, 2, 12, 0, 0, 0, time.UTC)
	gmail := Limit{Kind: DestinationLimit, Name: "gmail", PerSecond: 10}
	relay := func(name string, perSecond float64) Limit {
		return Limit{Kind: RelayLimit, Name: name, PerSecond: perSecond}
	}
	two := map[string]Limit{"a:25": relay("a:25", 20), "b:25": relay("b:25", 30)}
	// 1,000 mails on the first day, then 2,000, 4,000 and so on.
	warm := Limit{Kind: DestinationLimit, Name: "outlook", WarmUp: WarmUp{From: noon.Truncate(24 * time.Hour), First: 1000, Growth: 2}}
	for name, c := range map[string]struct {
		limits Limits
		load   Workload
		want   Estimate
	}{
		"nobody knows":                 {Limits{}, Workload{Mails: 1000}, Estimate{}},
		"nobody gets it":               {Limits{All: 10}, Workload{}, Estimate{}},
		"the tenant's pace":            {Limits{All: 50}, Workload{Mails: 1000}, Estimate{20 * time.Second, 50, BoundTenant, ""}},
		"its own pace":                 {Limits{All: 50}, Workload{Mails: 1000, Pace: 10, History: 80}, Estimate{100 * time.Second, 10, BoundCampaign, ""}},
		"what was managed before":      {Limits{All: 50}, Workload{Mails: 1000, History: 20}, Estimate{50 * time.Second, 20, BoundHistory, ""}},
		"a destination of many":        {Limits{All: 50, Limited: []Limit{gmail}}, Workload{Mails: 1000, To: map[string]int64{"gmail": 900}}, Estimate{90 * time.Second, 10, BoundDestination, "gmail"}},
		"a destination of few":         {Limits{All: 50, Limited: []Limit{gmail}}, Workload{Mails: 1000, To: map[string]int64{"gmail": 100}}, Estimate{20 * time.Second, 50, BoundTenant, ""}},
		"relays together":              {Limits{Relays: two}, Workload{Mails: 1000, Relays: []string{"a:25", "b:25"}}, Estimate{20 * time.Second, 50, BoundRelay, ""}},
		"a relay without a bound":      {Limits{Relays: two}, Workload{Mails: 1000, Relays: []string{"a:25", "c:25"}}, Estimate{}},
		"no relay":                     {Limits{Relays: two}, Workload{Mails: 1000}, Estimate{}},
		"a warm-up into its third day": {Limits{Limited: []Limit{warm}}, Workload{Mails: 4500, To: map[string]int64{"outlook": 4500}}, Estimate{48 * time.Hour, 1000. / (24 * 60 * 60), BoundDestination, "outlook"}},
	} {
		if got := c.limits.Estimate(c.load, noon); got.Bound != c.want.Bound || got.Name != c.want.Name || got.Rate != c.want.Rate || (got.Takes-c.want.Takes).Abs() > time.Second {
			t.Errorf("%s: %+v, want %+v", name, got, c.want)
		}
	}
	if got := (Limits{All: 1e-6}).Estimate(Workload{Mails: 1 << 40}, noon).Takes; got < longestEstimate || got > longestEstimate+24*time.Hour {
		t.Errorf("what hardly ends takes %s", got)
	}
}
