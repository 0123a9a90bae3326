package mailer

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync/atomic"
	"time"
)

// Route is the relay whose turn it is. Mails that share one go to its relay,
// as long as it is up.
type Route struct {
	Relay string // its name, by which limits are kept
	turn  *turn
	group *group // those who may take its mails instead
	// counted is how many mails were counted when the route was given out; so
	// that those who ask at the same time do not all get the same answer.
	counted atomic.Int64
}

// turn is a relay's place among those that may take a From domain.
type turn struct {
	relay   *relayState
	carried atomic.Int64 // mails that were taken here
}

// share is what the relay has carried in proportion to its weight.
func (t *turn) share() float64 {
	return float64(t.carried.Load()) / float64(max(1, t.relay.Weight))
}

// group is the relays that may take a From domain.
type group struct {
	turns []*turn
	// weighted says that somebody has written weights: they are kept even where
	// one relay has to be waited for. Otherwise mails go where there is room.
	weighted bool
}

// groups returns the relays of each From domain that a relay names; under ""
// are those that take all the rest.
func groups(relays []*relayState) map[string]*group {
	domains := []string{""}
	for _, r := range relays {
		domains = append(domains, r.From...)
	}
	by := map[string]*group{}
	for _, domain := range domains {
		g := &group{}
		for _, r := range relays {
			if len(r.From) == 0 || slices.Contains(r.From, domain) {
				g.turns = append(g.turns, &turn{relay: r})
				g.weighted = g.weighted || r.Weight > 0
			}
		}
		by[domain] = g
	}
	return by
}

// group returns the relays for a From, a domain or an address in it.
func (p *Pool) group(from string) (*group, error) {
	domain := strings.ToLower(from[strings.LastIndexByte(from, '@')+1:])
	g := p.groups[domain]
	if g == nil {
		g = p.groups[""]
	}
	if len(g.turns) == 0 {
		return nil, &NoRelayError{From: domain}
	}
	return g, nil
}

// NoRelayError says that no relay takes mails from a domain.
type NoRelayError struct{ From string }

func (e *NoRelayError) Error() string {
	return fmt.Sprintf("no relay takes mails from %s; add from=%s to one, or name a relay without from", e.From, e.From)
}

// Instead returns a route over a relay that is open now and not among those named,
// for mails of the same kind; without one, and where weights are to be kept, nil.
func (p *Pool) Instead(of *Route, except []string) *Route {
	if of.group.weighted {
		return nil
	}
	var relays []*relayState
	for _, t := range of.group.turns {
		if slices.Contains(except, t.relay.name) {
			relays = append(relays, t.relay)
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.choose(of.group, claimSize, relays...)
}

// Claimed says for how many mails of a route rows were found: what it was counted
// for beyond them is for its relay to take later.
func (r *Route) Claimed(mails int) {
	if unused := int64(claimSize - mails); unused > 0 {
		r.counted.Add(-unused)
		r.turn.carried.Add(-unused)
	}
}

// claimSize is about how many mails a route is asked for.
const claimSize = 16

// choose returns a route over the relay whose turn it is, among those that are
// open, or nil. A relay that is passed over does not get later what it missed.
// The caller holds mu.
func (p *Pool) choose(g *group, mails int64, except ...*relayState) *Route {
	now := time.Now()
	var best *turn
	bestBusy := 0.0
	for _, t := range g.turns {
		if slices.Contains(except, t.relay) || t.relay.open.Load() == 0 {
			continue
		}
		busy := 0.0
		switch {
		case t.relay.isStuck(now):
			busy = math.MaxFloat64
		case !g.weighted:
			busy = t.relay.load()
		}
		if best == nil || cmp.Or(cmp.Compare(busy, bestBusy), cmp.Compare(t.share(), best.share())) < 0 {
			best, bestBusy = t, busy
		}
	}
	if best == nil {
		return nil
	}
	for _, t := range g.turns {
		if behind := int64(best.share() * float64(max(1, t.relay.Weight))); t.carried.Load() < behind {
			t.carried.Store(behind)
		}
	}
	best.carried.Add(mails)
	route := &Route{Relay: best.relay.name, turn: best, group: g}
	route.counted.Store(mails)
	return route
}

// count counts a mail that a connection of the route has taken.
func (r *Route) count() {
	if r.counted.Add(-1) < 0 {
		r.turn.carried.Add(1)
	}
	r.turn.relay.taken.Store(time.Now().UnixNano())
}

// load is how much of the relay's room is taken.
func (r *relayState) load() float64 {
	busy := r.open.Load() - r.idle.Load() + r.waiting.Load()
	if r.idle.Load() > 0 || int(r.open.Load()) < r.Connections {
		return 0
	}
	return float64(busy) / float64(r.Connections)
}

// longestStuck is how long a relay may hold all its connections without taking
// a mail before others get its part.
const longestStuck = time.Second

// isStuck reports whether every connection is busy, and none has come to its
// next mail for a while.
func (r *relayState) isStuck(now time.Time) bool {
	return r.open.Load() > 0 && r.idle.Load() == 0 && now.UnixNano()-r.taken.Load() > int64(longestStuck)
}

// unreachable returns an error when every relay of the group has failed and is
// not yet due for another try. The caller holds mu.
func (p *Pool) unreachable(g *group) error {
	now := time.Now()
	var causes []error
	var names []string
	for _, t := range g.turns {
		if !t.relay.isDown(now) {
			return nil
		}
		names = append(names, t.relay.name)
		causes = append(causes, t.relay.cause)
	}
	return &UnreachableError{Relay: strings.Join(names, ", "), Cause: errors.Join(causes...)}
}

// isDown reports whether the relay has failed and is not yet due for another
// try. The caller holds mu.
func (r *relayState) isDown(now time.Time) bool {
	return r.open.Load() == 0 && r.opening == 0 && now.Before(r.downUntil)
}
