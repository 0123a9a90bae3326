package worker

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/hibiken/asynq"

	"github.com/jatak-mail/jatak/gating"
	"github.com/jatak-mail/jatak/internal/campaign"
	"github.com/jatak-mail/jatak/internal/contact"
	"github.com/jatak-mail/jatak/internal/mailer"
	"github.com/jatak-mail/jatak/internal/pace"
	"github.com/jatak-mail/jatak/internal/queue"
)

// slice is how long a task works on a batch before others have their turn: a
// small urgent campaign does not wait behind a slow large one.
const slice = 2 * time.Second

// send works off what is due in a batch: it claims as many rows as the window
// has room for, decides about each anew, and hands the mails to connections.
// What has to wait is left to tenders.
func (w *Worker) send(ctx context.Context, t *asynq.Task) error {
	task, err := queue.ParseSend(t)
	if err != nil {
		return err
	}
	active, err := w.pacer.follow(ctx, task.Campaign)
	if err != nil || active.Err() != nil {
		return err
	}
	batch := campaign.BatchID{Campaign: task.Campaign, Batch: task.Batch, Visits: task.Visits}
	again, enough := queue.Retried(ctx)
	asking, cancel := context.WithTimeout(ctx, answerTime)
	visits, open, err := w.Store.Visit(asking, batch, again)
	cancel()
	if err != nil || !open {
		return err
	}
	batch.Visits = visits
	err = w.visitBatch(ctx, active, batch)
	if err != nil && enough {
		return fmt.Errorf("%w: %w", err, asynq.SkipRetry) // the sweep rings anew
	}
	return err
}

// visitBatch sends what is due in a batch, for a slice of time.
func (w *Worker) visitBatch(ctx, active context.Context, batch campaign.BatchID) error {
	p, err := w.prepared.get(ctx, w, batch.Campaign)
	if err != nil {
		return err
	}
	v := w.newVisit(p, batch, nil)
	sliced, done := context.WithTimeout(active, slice) // a relay that hangs does not hold up planning either
	defer done()
	for !w.isStopping() {
		n, err := w.sendSome(sliced, v)
		switch {
		case active.Err() != nil:
			return nil // paused or cancelled: whoever resumes it has the batch rung for
		case sliced.Err() != nil:
			return w.ring(ctx, batch)
		case err != nil:
			return err
		case n == short:
			w.tenders.add(w, tended{campaign: batch.Campaign}, batch)
			return nil
		case n == 0:
			defer w.closeLater(v)
			return w.leaveToTenders(ctx, v)
		}
	}
	return nil
}

// ring rings for a batch in the queue of its campaign's priority now.
func (w *Worker) ring(ctx context.Context, batch campaign.BatchID) error {
	batch.Priority = w.pacer.current().limits.Active[batch.Campaign].Priority
	return w.Bell.RingSend(ctx, batch)
}

// leaveToTenders leaves what a batch has for destinations that are limited to their
// tenders, when it has nothing else to send.
func (w *Worker) leaveToTenders(ctx context.Context, v *visit) error {
	if seen := w.pacer.current(); len(seen.lanes) > 0 {
		asking, cancel := context.WithTimeout(ctx, answerTime)
		due, err := w.Store.DueLanes(asking, v.batch.Campaign, v.batch.Batch, seen.lanes)
		cancel()
		if err != nil {
			return err
		}
		for _, lane := range due {
			w.tenders.add(w, tended{to: seen.nameOf(lane)}, v.batch)
		}
	}
	return nil
}

// closeLater closes the batch when the mails of this visit are recorded, if none
// is left.
func (w *Worker) closeLater(v *visit) {
	w.closing.Go(func() {
		v.inFlight.Wait()
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		finished, err := w.Store.CloseBatch(ctx, v.batch.Campaign, v.batch.Batch, w.clock.now())
		if err != nil {
			w.Log.Warn("the sweep will close the batch", "campaign", v.batch.Campaign, "batch", v.batch.Batch, "error", err)
		}
		if finished {
			w.finished(v.batch.Campaign)
		}
	})
}

// visit is one look at a batch.
type visit struct {
	p     *prepared
	batch campaign.BatchID
	to    *destination // the only one to send to; nil: all that have no bound
	claim int          // how many rows to ask for next
	most  int
	dry   map[string]time.Time // relays whose pace is used up, and until when
	after contact.ID           // those up to it were claimed before
	due   bool                 // all that were pending are claimed: deferred ones have their turn
	wait  time.Duration        // when it was short: until it may go on
	// inFlight are the rows claimed and not yet recorded.
	inFlight sync.WaitGroup
}

func (w *Worker) newVisit(p *prepared, batch campaign.BatchID, to *destination) *visit {
	most := max(1, w.Window/w.Tasks)
	return &visit{p: p, batch: batch, to: to, claim: min(most, firstClaim), most: most, dry: map[string]time.Time{}}
}

// A claim is a round trip, so that many rows at once are cheap; but a row that
// is claimed cannot be withdrawn any more, so that it should leave soon. Claims
// grow while they are handed to connections faster than longestClaim.
const (
	firstClaim   = 16
	longestClaim = 300 * time.Millisecond
)

// learn fits the next claim to how long one of n took.
func (v *visit) learn(n int, took time.Duration) {
	switch {
	case took > longestClaim:
		v.claim = max(1, v.claim/2)
	case took < longestClaim/2 && n == v.claim:
		v.claim = min(v.most, 2*v.claim)
	}
}

const (
	// anew says that nothing was claimed, and that something may be from the beginning.
	anew = -1
	// short says that the pace lets nothing leave now.
	short = -2
)

// sendSome claims and sends a few rows; it returns how many it claimed, anew or short.
// The context ends when the campaign is stopped, or others have their turn.
func (w *Worker) sendSome(ctx context.Context, v *visit) (int, error) {
	begun := time.Now()
	route, allowance, err := w.route(ctx, v)
	if err != nil {
		return 0, err // nothing is claimed that cannot leave
	}
	if allowance.n == 0 {
		route.Claimed(0)
		v.wait = min(allowance.wait, longestPace)
		return short, nil
	}
	request := campaign.ClaimRequest{
		Worker: w.id.Load(), Campaign: v.batch.Campaign, Batch: v.batch.Batch, After: v.after, Pending: !v.due, Limit: allowance.n, Now: w.clock.now(),
		Class: v.p.class, Type: v.p.subscriptionType, Override: v.p.override,
	}
	if request.Lanes, request.Except = w.pacer.current().lanes, true; v.to != nil {
		request.Lanes, request.Except = v.to.lanes, false
	}
	decided := time.Now()
	policy, rows, err := w.claim(ctx, request)
	route.Claimed(len(rows))
	w.giveUnusedBack(ctx, allowance, allowance.n-len(rows))
	if err != nil {
		return 0, err
	}
	if len(rows) == 0 && (v.after > 0 || !v.due) {
		v.after, v.due = 0, true // once more from the beginning, for what came back
		return anew, nil
	}
	for _, row := range rows {
		v.after = max(v.after, row.ID)
	}
	blocked := 0
	for i, row := range rows {
		o := campaign.Outcome{Worker: request.Worker, Campaign: v.batch.Campaign, Batch: v.batch.Batch, Contact: row.ID}
		o.Verdict = gating.Decide(row.Facts, policy)
		v.inFlight.Add(1)
		recorded := func() {
			w.free(allowance.to)
			v.inFlight.Done()
		}
		if !o.Verdict.Send {
			o.State, o.At = campaign.Blocked, request.Now
			blocked++
			w.recorder.add(o, recorded)
			continue
		}
		l := &letter{w: w, p: v.p, claim: &request, row: row, outcome: o, recorded: recorded}
		if err := l.hand(ctx, route, decided); err != nil {
			v.inFlight.Done()
			return 0, w.takeBack(ctx, request, allowance, rows[i:], err)
		}
	}
	w.pacer.giveBack(ctx, blocked, allowance.buckets)
	v.learn(len(rows), time.Since(begun))
	return len(rows), nil
}

// route finds the relay for the next mails, and how many may leave by it. One whose
// pace is used up makes room for another; when all have to be waited for, the wait is
// the shortest.
func (w *Worker) route(ctx context.Context, v *visit) (*mailer.Route, allowance, error) {
	route, err := w.Pool.Ready(ctx, v.p.messageDomain)
	if err != nil {
		return nil, allowance{}, err
	}
	var shortest time.Duration
	now := time.Now()
	used := v.usedUp(now)
	if other := w.instead(route, used); other != nil {
		route = other
	}
	for {
		limit, err := w.reserve(ctx, v.claim)
		if err != nil {
			return nil, allowance{}, err
		}
		a, err := w.allow(ctx, v, route.Relay, limit)
		if err != nil || a.n > 0 {
			return route, a, err
		}
		if shortest == 0 || a.wait < shortest {
			shortest = a.wait
		}
		a.wait = shortest
		if _, limited := w.pacer.current().limits.Relays[route.Relay]; !limited {
			return route, a, nil // it is another pace that has to be waited for
		}
		used = append(used, route.Relay)
		v.dry[route.Relay] = now.Add(min(a.wait, longestPace))
		other := w.instead(route, used)
		if other == nil {
			return route, a, nil
		}
		route = other
	}
}

// instead returns a route beside the relays whose pace is used up, if this one's is,
// or nil.
func (w *Worker) instead(route *mailer.Route, used []string) *mailer.Route {
	if !slices.Contains(used, route.Relay) {
		return nil
	}
	other := w.Pool.Instead(route, used)
	if other != nil {
		route.Claimed(0)
	}
	return other
}

// usedUp returns the relays whose pace was used up a moment ago.
func (v *visit) usedUp(now time.Time) (relays []string) {
	for relay, until := range v.dry {
		if now.Before(until) {
			relays = append(relays, relay)
		}
	}
	return relays
}

// claim asks the store for rows. It is not given up when the campaign is stopped
// meanwhile: rows that were claimed unheard have to be looked for.
func (w *Worker) claim(ctx context.Context, r campaign.ClaimRequest) (gating.Policy, []campaign.Claimed, error) {
	w.claiming.Lock()
	defer w.claiming.Unlock()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), w.Lease)
	defer cancel()
	policy, rows, err := w.Store.Claim(ctx, r)
	if errors.Is(err, campaign.ErrUnheard) {
		w.beside.Go(func() { w.unclaim(r) })
	}
	return policy, rows, err
}

// latestClaim is how long a claim whose answer was lost may be on its way to be
// carried out.
const latestClaim = 2 * time.Minute

// unclaim gives rows back that may have been claimed although the answer was lost:
// they are ours, nobody has them, and our lease goes on. It looks again and again,
// for a claim that the database carries out late.
func (w *Worker) unclaim(r campaign.ClaimRequest) {
	for pause := longestPace; pause < latestClaim; pause *= 2 {
		var mails int64
		done := w.insist(func(ctx context.Context) (err error) {
			mails, err = w.Store.Unclaim(ctx, r)
			return err
		})
		if mails > 0 {
			w.Log.Warn("the answer to a claim was lost: its mails are given back", "campaign", r.Campaign, "batch", r.Batch, "mails", mails)
		}
		if mails > 0 || !done {
			return // a claim takes all of its rows at once
		}
		w.pause(context.Background(), pause)
	}
}

// insist does what must be done, again and again while the database is away. It
// reports false when the worker stops before: its lease ends then, and another finds
// what is left.
func (w *Worker) insist(do func(context.Context) error) bool {
	for !w.isStopping() {
		ctx, cancel := context.WithTimeout(context.Background(), answerTime)
		err := do(ctx)
		cancel()
		if err == nil {
			return true
		}
		w.pause(context.Background(), longestPace)
	}
	return false
}

// pause waits, but not when the worker is to stop, or the context ends.
func (w *Worker) pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-w.stopping:
	case <-ctx.Done():
	}
}

// allowance is how many mails may leave now: places in the window, places with the
// destination, and tokens of the pace, as many of each.
type allowance struct {
	n       int
	wait    time.Duration // until more may, when n is 0
	to      *destination
	buckets []pace.Bucket
}

// allow asks for n mails, for which places in the window are taken already; it
// gives back those it cannot use.
func (w *Worker) allow(ctx context.Context, v *visit, relay string, n int) (a allowance, err error) {
	a = allowance{to: v.to, buckets: w.pacer.buckets(v.batch.Campaign, relay, v.to)}
	places := n
	if v.to != nil && v.to.connections > 0 {
		places, err = w.pacer.slots.AcquireSome(ctx, slotsTo(v.to), n, v.to.connections)
		a.wait = lookEvery / 4
	}
	if err == nil && places > 0 {
		rank := w.pacer.current().limits.Active[v.batch.Campaign].Priority.Rank()
		a.n, a.wait, err = w.pacer.limiter.TakeInTurn(ctx, rank, places, a.buckets...)
	}
	for i := range n - a.n {
		if i < places-a.n {
			w.free(v.to)
		} else {
			w.free(nil)
		}
	}
	return a, err
}

func slotsTo(d *destination) string { return "to:" + d.name }

// free gives a place in the window back and, if it was taken, the one with the
// destination.
func (w *Worker) free(to *destination) {
	if to != nil && to.connections > 0 {
		w.pacer.slots.Release(slotsTo(to))
	}
	<-w.window
}

// giveUnusedBack returns the part of an allowance that no row was found for.
func (w *Worker) giveUnusedBack(ctx context.Context, a allowance, n int) {
	if n == 0 {
		return
	}
	for range n {
		w.free(a.to)
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	w.pacer.giveBack(ctx, n, a.buckets)
}

// longestPace bounds how long a worker waits before it looks again: the pace, or
// the campaign, may have changed.
const longestPace = 500 * time.Millisecond

// reserve takes places in the window: at least one.
func (w *Worker) reserve(ctx context.Context, most int) (n int, err error) {
	select {
	case w.window <- struct{}{}:
		n = 1
	case <-ctx.Done():
		return 0, ctx.Err()
	}
	for ; n < most; n++ {
		select {
		case w.window <- struct{}{}:
		default:
			return n, nil
		}
	}
	return n, nil
}

// takeBack releases rows that no connection took, and returns the cause.
func (w *Worker) takeBack(ctx context.Context, claim campaign.ClaimRequest, a allowance, rows []campaign.Claimed, cause error) error {
	contacts := make([]contact.ID, len(rows))
	for i, r := range rows {
		contacts[i] = r.ID
	}
	release := func(ctx context.Context) error { return w.Store.Release(ctx, claim, contacts) }
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), answerTime)
	defer cancel()
	err := release(ctx)
	w.giveUnusedBack(ctx, a, len(rows))
	if err != nil {
		w.Log.Warn("claims could not be given back yet; trying again", "mails", len(rows), "error", err)
		w.beside.Go(func() { w.insist(release) })
	}
	if w.isStopping() || errors.Is(cause, context.Canceled) || errors.Is(cause, context.DeadlineExceeded) {
		return nil
	}
	return cause
}
