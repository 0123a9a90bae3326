package worker

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"

	"github.com/jatak-mail/jatak/internal/campaign"
)

// tenders send what has to wait for its pace, so that no task does: what goes to a
// destination that is limited, and the batches of a campaign that wants more than it
// may have. Each destination and each such campaign has one, which works through its
// batches as the pace allows. What a tender has to do is known to this process alone:
// the sweep rings again for what dies with it.
type tenders struct {
	mu      sync.Mutex
	by      map[tended]*tender
	running sync.WaitGroup
}

// tended is what a tender is for: a destination or a campaign.
type tended struct {
	to       string
	campaign campaign.ID
}

type tender struct {
	batches []*tendedBatch
	turns   int
	last    map[campaign.ID]int // the turn that a campaign had last
	short   time.Time           // when something had to wait last
}

// tendedBatch is a batch in the care of a tender.
type tendedBatch struct {
	campaign.BatchID
	visit *visit    // nil before its first turn
	until time.Time // it waits for its pace
}

// add gives a tender one more batch.
func (t *tenders) add(w *Worker, of tended, batch campaign.BatchID) {
	t.mu.Lock()
	defer t.mu.Unlock()
	tending := t.by[of]
	if tending == nil {
		tending = &tender{last: map[campaign.ID]int{}, short: time.Now()}
		t.by[of] = tending
		t.running.Go(func() { w.tend(of) })
	}
	if i := slices.IndexFunc(tending.batches, func(b *tendedBatch) bool { return b.Same(batch) }); i >= 0 {
		tending.batches[i].Visits = batch.Visits
		return
	}
	tending.batches = append(tending.batches, &tendedBatch{BatchID: batch})
}

// next returns the batch whose turn it is, and how long it has to wait: of those
// that may go on, the most urgent campaigns take turns. Without one the tender has
// ended.
func (t *tenders) next(of tended, active map[campaign.ID]campaign.Activity) (batch *tendedBatch, wait time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	tending := t.by[of]
	if len(tending.batches) == 0 {
		delete(t.by, of)
		return nil, 0
	}
	now := time.Now()
	waits := func(b *tendedBatch) time.Duration { return max(0, b.until.Sub(now)) }
	batch = slices.MinFunc(tending.batches, func(a, b *tendedBatch) int {
		return cmp.Or(
			cmp.Compare(waits(a), waits(b)),
			cmp.Compare(active[a.Campaign].Priority.Rank(), active[b.Campaign].Priority.Rank()),
			cmp.Compare(tending.last[a.Campaign], tending.last[b.Campaign]))
	})
	return batch, waits(batch)
}

// done ends the turn of a batch, which is put behind the others with more, and away
// without. It returns batches that the tender gives up, because nothing has had to
// wait for a while: tasks are faster.
func (t *tenders) done(of tended, batch *tendedBatch, more bool) (given []campaign.BatchID) {
	t.mu.Lock()
	defer t.mu.Unlock()
	tending := t.by[of]
	tending.turns++
	tending.last[batch.Campaign] = tending.turns
	tending.batches = slices.DeleteFunc(tending.batches, func(b *tendedBatch) bool { return b == batch })
	if more {
		tending.batches = append(tending.batches, batch)
	}
	if now := time.Now(); batch.until.After(now) {
		tending.short = now
	} else if of.campaign != 0 && now.Sub(tending.short) > slice {
		for _, b := range tending.batches {
			given = append(given, b.BatchID)
		}
		tending.batches = nil
	}
	return given
}

func (t *tenders) wait() { t.running.Wait() }

// tend sends what a tender is for until there is nothing left, or the worker stops.
func (w *Worker) tend(of tended) {
	background := context.Background()
	for {
		batch, wait := w.tenders.next(of, w.pacer.current().limits.Active)
		if batch == nil {
			return
		}
		if wait > 0 {
			w.pause(background, min(wait, longestPace/5)) // somebody may come who does not have to wait
			if !w.isStopping() {
				continue
			}
		}
		more := false
		if !w.isStopping() {
			var err error
			if more, err = w.tendBatch(of, batch); err != nil {
				w.Log.Warn("a batch is put back", "campaign", batch.Campaign, "batch", batch.Batch, "destination", of.to, "error", err)
			}
		}
		if !more && batch.visit != nil {
			w.closeLater(batch.visit)
		}
		for _, given := range w.tenders.done(of, batch, more) {
			if err := w.ring(background, given); err != nil {
				w.Log.Warn("the sweep will ring for the batch", "campaign", given.Campaign, "batch", given.Batch, "error", err)
			}
		}
	}
}

// tendBatch sends what a batch has, until it has to wait or for a slice of time; more
// says that it came to neither end of it. Otherwise the rest is for others: nothing
// is due, the campaign or the worker was stopped, or the destination has no bound any
// more.
func (w *Worker) tendBatch(of tended, batch *tendedBatch) (more bool, err error) {
	background := context.Background()
	active, err := w.pacer.follow(background, batch.Campaign)
	if err != nil || active.Err() != nil {
		return false, err
	}
	if batch.visit == nil {
		p, err := w.prepared.get(background, w, batch.Campaign)
		if err != nil {
			return false, err
		}
		batch.visit = w.newVisit(p, batch.BatchID, nil)
	}
	sliced, done := context.WithTimeout(active, slice)
	defer done()
	for !w.isStopping() && active.Err() == nil {
		if of.campaign == 0 {
			to, bounded := w.pacer.current().bounded[of.to]
			if !bounded {
				return false, w.ring(background, batch.BatchID) // it goes with all others
			}
			batch.visit.to = &to
		}
		n, err := w.sendSome(sliced, batch.visit)
		switch {
		case active.Err() != nil:
			return false, nil
		case sliced.Err() != nil:
			return true, nil
		case err != nil:
			return false, err
		case n == short:
			batch.until = time.Now().Add(batch.visit.wait)
			return true, nil
		case n == 0 && of.campaign != 0:
			return false, w.leaveToTenders(background, batch.visit)
		case n == 0:
			return false, nil
		}
	}
	return false, nil
}
