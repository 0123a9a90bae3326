package worker

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"strings"
	"sync"
	"time"

	"github.com/jatak-mail/jatak/internal/campaign"
	"github.com/jatak-mail/jatak/internal/mailer"
	"github.com/jatak-mail/jatak/internal/pace"
)

// pacer knows what may be sent now, and how fast: which campaigns are under way,
// and the bounds on all mail, on each campaign, relay and destination. The bounds
// are shared by all workers. It is asked before rows are claimed, so that no
// claimed row waits and no token is held by one.
type pacer struct {
	store   Store
	limiter *pace.Limiter
	slots   *pace.Slots
	clock   *clock
	log     *slog.Logger
	tallies tallies
	asked   chan asked    // destinations that want less
	owing   chan struct{} // there are debts

	mu        sync.Mutex
	view      view
	following map[campaign.ID]following
	debts     map[string]int // mails that relays have taken in another's place
}

// view is what was read last; it does not change.
type view struct {
	limits campaign.Limits
	names  map[campaign.Lane]string
	// bounded are the destinations with a bound, by name, and lanes all of theirs.
	bounded map[string]destination
	lanes   []campaign.Lane
}

// destination is where mail may go only so fast.
type destination struct {
	name        string
	lanes       []campaign.Lane
	perSecond   float64 // 0: no bound
	connections int     // mails under way at once; 0: no bound
}

// following is a campaign under way; its context ends when it is paused or
// cancelled.
type following struct {
	context.Context
	stop context.CancelFunc
}

// lookEvery is how soon a pause, or a change of pace, acts.
const lookEvery = 400 * time.Millisecond

// run looks again and again until the context is done.
func (p *pacer) run(ctx context.Context) {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case a := <-p.asked:
			p.slowDown(ctx, a)
			continue
		case <-p.owing:
			p.pay(ctx)
			continue
		case <-tick.C:
		}
		if err := p.look(ctx); err != nil && ctx.Err() == nil {
			p.log.Debug("the limits could not be read; those known hold on", "error", err)
		}
	}
}

// look reads what is so now, and ends the contexts of campaigns that have been
// stopped.
func (p *pacer) look(ctx context.Context) error {
	asking, cancel := context.WithTimeout(ctx, answerTime)
	asked := time.Now()
	limits, err := p.store.Limits(asking)
	cancel()
	if err != nil {
		return err
	}
	p.clock.set(limits.Now, time.Since(asked))
	asking, cancel = context.WithTimeout(ctx, lookEvery/2) // a Redis that is frozen delays no pause
	slow, err := p.limiter.Slowed(asking)
	cancel()
	if err != nil {
		p.log.Debug("who is slowed down is not known", "error", err) // Redis is away; it was not slowed for long
	}
	v := newView(limits, slow)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.view = v
	for id, f := range p.following {
		if _, active := limits.Active[id]; !active {
			f.stop()
			delete(p.following, id)
		}
	}
	return nil
}

func newView(limits campaign.Limits, slow map[string]float64) view {
	v := view{limits: limits, names: limits.Destinations(), bounded: map[string]destination{}}
	for _, l := range limits.Limited {
		v.bounded[l.Name] = destination{name: l.Name, lanes: l.Lanes(), perSecond: l.Rate(limits.Now), connections: l.Connections}
	}
	for name, rate := range slow {
		d, known := v.bounded[name]
		if !known {
			d = destination{name: name, lanes: v.lanesOf(name)}
		}
		if d.perSecond == 0 || rate < d.perSecond {
			d.perSecond = rate
		}
		v.bounded[name] = d
	}
	for _, d := range v.bounded {
		v.lanes = append(v.lanes, d.lanes...)
	}
	return v
}

// aloneName begins the name of a lane that belongs to no provider or limit.
const aloneName = "lane:"

// nameOf returns the destination that a lane belongs to.
func (v view) nameOf(lane campaign.Lane) string {
	if name, known := v.names[lane]; known {
		return name
	}
	return fmt.Sprintf("%s%d", aloneName, lane)
}

func (v view) lanesOf(name string) (lanes []campaign.Lane) {
	if number, alone := strings.CutPrefix(name, aloneName); alone {
		var lane campaign.Lane
		if _, err := fmt.Sscan(number, &lane); err == nil {
			lanes = append(lanes, lane)
		}
		return lanes
	}
	for lane, of := range v.names {
		if of == name {
			lanes = append(lanes, lane)
		}
	}
	return lanes
}

func (p *pacer) current() view {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.view
}

// follow returns a context that ends when the campaign is paused or cancelled; it
// has ended already when the campaign is not under way.
func (p *pacer) follow(ctx context.Context, id campaign.ID) (context.Context, error) {
	p.mu.Lock()
	f, known := p.following[id]
	p.mu.Unlock()
	if known {
		return f, nil
	}
	if err := p.look(ctx); err != nil { // it may have been launched a moment ago
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if f, known = p.following[id]; known {
		return f, nil
	}
	f.Context, f.stop = context.WithCancel(context.WithoutCancel(ctx))
	if _, active := p.view.limits.Active[id]; !active {
		f.stop()
		return f, nil
	}
	p.following[id] = f
	return f, nil
}

// stop ends all contexts.
func (p *pacer) stop() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for id, f := range p.following {
		f.stop()
		delete(p.following, id)
	}
}

// bucket holds mails at a rate a second, of which a twentieth of a second's may
// leave at once. The braces keep all of them on one node of a cluster.
func bucket(name string, rate float64) pace.Bucket {
	return pace.Bucket{Key: "jatak:{pace}:" + name, Rate: rate, Burst: rate / 20}
}

// buckets are the bounds on a mail of a campaign through a relay and, where it has
// one, to a destination.
func (p *pacer) buckets(id campaign.ID, relay string, to *destination) (all []pace.Bucket) {
	v := p.current()
	add := func(name string, rate float64) {
		if rate > 0 {
			all = append(all, bucket(name, rate))
		}
	}
	add("all", v.limits.All)
	add(fmt.Sprintf("c%d", id), v.limits.Active[id].Pace)
	if l, limited := v.limits.Relays[relay]; limited {
		add("relay:"+relay, l.Rate(p.clock.now()))
	}
	if to != nil {
		add("to:"+to.name, to.perSecond)
	}
	return all
}

// charge books a mail on a relay that has taken it in another's place. It does not
// wait for Redis: its caller holds a connection.
func (p *pacer) charge(relay string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, limited := p.view.limits.Relays[relay]; !limited {
		return
	}
	p.debts[relay]++
	select {
	case p.owing <- struct{}{}:
	default: // told already
	}
}

// pay takes the tokens of what was charged.
func (p *pacer) pay(ctx context.Context) {
	p.mu.Lock()
	debts, limits := p.debts, p.view.limits.Relays
	p.debts = map[string]int{}
	p.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	for relay, n := range debts {
		if rate := limits[relay].Rate(p.clock.now()); rate > 0 {
			p.giveBack(ctx, -n, []pace.Bucket{bucket("relay:"+relay, rate)})
		}
	}
}

// giveBack returns tokens that were not used.
func (p *pacer) giveBack(ctx context.Context, n int, buckets []pace.Bucket) {
	if err := p.limiter.GiveBack(ctx, n, buckets...); err != nil {
		p.log.Debug("tokens are lost", "mails", n, "error", err)
	}
}

// Acquire, Release and Share let the pool share its connections with those of
// other workers (mailer.Slots).

// Acquire asks for a connection to a relay.
func (p *pacer) Acquire(ctx context.Context, relay string, most int) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	return p.slots.Acquire(ctx, "relay:"+relay, p.mostTo(relay, most))
}

// Release gives a connection back.
func (p *pacer) Release(relay string) { p.slots.Release("relay:" + relay) }

// Share is how many connections this worker should keep at most.
func (p *pacer) Share(relay string, most int) int {
	return p.slots.Share("relay:"+relay, p.mostTo(relay, most))
}

func (p *pacer) mostTo(relay string, most int) int {
	if l := p.current().limits.Relays[relay]; l.Connections > 0 {
		return min(most, l.Connections)
	}
	return most
}

// tallies count what destinations answer, to see who wants less.
type tallies struct {
	mu     sync.Mutex
	of     map[string]*tally
	forgot time.Time // when those that count no more were forgotten
}

type tally struct {
	since               time.Time
	accepted, throttled int
}

const (
	// tallyTime is how long answers count.
	tallyTime = 10 * time.Second
	// leastThrottled is how many must ask for less before it counts as one voice,
	// and throttledPart which part of all: a few are greylisted in good weather.
	leastThrottled = 10
	throttledPart  = 4
)

// add counts an answer, and reports the rate seen when too many asked for less.
func (t *tallies) add(name string, throttled bool, now time.Time) (slow bool, seen float64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if now.Sub(t.forgot) > tallyTime {
		t.forgot = now
		maps.DeleteFunc(t.of, func(_ string, of *tally) bool { return now.Sub(of.since) > tallyTime })
	}
	of := t.of[name]
	if of == nil || now.Sub(of.since) > tallyTime {
		of = &tally{since: now}
		t.of[name] = of
	}
	if !throttled {
		of.accepted++
		return false, 0
	}
	of.throttled++
	all := of.accepted + of.throttled
	if of.throttled < leastThrottled || of.throttled*throttledPart < all {
		return false, 0
	}
	delete(t.of, name)
	return true, float64(all) / max(1, now.Sub(of.since).Seconds())
}

// isThrottle reports whether a reply asks for less (RFC 5321 section 4.2.2 and
// RFC 4954): busy, local trouble, no room now. One mailbox alone does not.
func isThrottle(reply mailer.Outcome) bool {
	switch reply.Code {
	case 421, 450, 451, 452, 454:
		return reply.Kind == mailer.Later && reply.Blame != mailer.BlameSender && reply.Blame != mailer.BlameRecipient
	}
	return false
}

// heed counts what a destination answered, and slows it down when it asks for it.
func (w *Worker) heed(lane campaign.Lane, reply mailer.Outcome) {
	throttled := isThrottle(reply)
	if !throttled && reply.Kind != mailer.Accepted {
		return
	}
	name := w.pacer.current().nameOf(lane)
	slow, seen := w.pacer.tallies.add(name, throttled, time.Now())
	if !slow {
		return
	}
	select {
	case w.pacer.asked <- asked{name, seen, reply}:
	default: // one that is on its way is enough
	}
}

// asked is a destination that wants less, the rate it was sent at, and a reply.
type asked struct {
	name  string
	seen  float64
	reply mailer.Outcome
}

func (p *pacer) slowDown(ctx context.Context, a asked) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	rate, changed, err := p.limiter.SlowDown(ctx, a.name, a.seen)
	switch {
	case err != nil:
		p.log.Warn("a destination could not be slowed down", "destination", a.name, "error", err)
	case changed:
		p.log.Warn("a destination asks for less: it is slowed down", "destination", a.name,
			"mails_per_second", fmt.Sprintf("%.2g", rate), "reply", fmt.Sprintf("%d %s", a.reply.Code, a.reply.Enhanced))
	}
}
