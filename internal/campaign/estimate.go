package campaign

import (
	"math"
	"time"
)

// Bound is what decides how fast a campaign is sent.
type Bound string

// The bounds.
const (
	BoundCampaign    Bound = "campaign"    // its own pace
	BoundTenant      Bound = "tenant"      // the pace of all campaigns together
	BoundRelay       Bound = "relay"       // the limits of the relays
	BoundDestination Bound = "destination" // the limit of a destination that many of the mails go to
	BoundHistory     Bound = "history"     // what the last campaigns were sent at
)

// Workload is what is to be sent.
type Workload struct {
	Mails   int64
	To      map[string]int64 // of them, by the names of Limits.Destinations
	Pace    float64          // the campaign's own, in mails a second; 0: none
	History float64          // of the last campaigns, in mails a second; 0: nobody knows
	Relays  []string         // those that the workers send through
}

// Estimate is how long sending takes at least, and the bound that makes it so.
// The zero value says that nobody knows.
type Estimate struct {
	Takes time.Duration
	Rate  float64 // of the bound at first, in mails a second
	Bound Bound
	Name  string // of the destination
}

// Estimate says how long a campaign takes if nothing else is sent meanwhile: as
// long as the slowest of its bounds.
func (l Limits) Estimate(load Workload, now time.Time) (e Estimate) {
	slowest := func(bound Bound, name string, mails int64, rate func(time.Time) float64) {
		if first := rate(now); mails > 0 && first > 0 {
			if t := takes(float64(mails), rate, now); t > e.Takes {
				e = Estimate{t, first, bound, name}
			}
		}
	}
	constant := func(rate float64) func(time.Time) float64 { return func(time.Time) float64 { return rate } }
	slowest(BoundCampaign, "", load.Mails, constant(load.Pace))
	slowest(BoundTenant, "", load.Mails, constant(l.All))
	slowest(BoundRelay, "", load.Mails, func(at time.Time) float64 { return l.relayRate(load.Relays, at) })
	for _, limit := range l.Limited {
		slowest(BoundDestination, limit.Name, load.To[limit.Name], limit.Rate)
	}
	slowest(BoundHistory, "", load.Mails, constant(load.History))
	return e
}

// relayRate is what relays let through together; 0 when one of them has no
// bound.
func (l Limits) relayRate(names []string, at time.Time) (sum float64) {
	for _, name := range names {
		rate := l.Relays[name].Rate(at)
		if rate == 0 {
			return 0
		}
		sum += rate
	}
	return sum
}

// longestEstimate ends what would hardly ever end.
const longestEstimate = 10 * 365 * 24 * time.Hour

// takes is how long so many mails take at a rate that may change at midnight UTC,
// when a warm-up comes to its next day. A rate of 0 is none to wait for.
func takes(mails float64, rate func(time.Time) float64, now time.Time) time.Duration {
	at := now
	for at.Sub(now) < longestEstimate {
		r := rate(at)
		if r == 0 {
			break
		}
		midnight := at.UTC().Truncate(24 * time.Hour).Add(24 * time.Hour)
		today := midnight.Sub(at).Seconds()
		if mails <= r*today {
			return at.Sub(now) + time.Duration(math.Ceil(mails/r*float64(time.Second)))
		}
		mails -= r * today
		at = midnight
	}
	return at.Sub(now)
}
