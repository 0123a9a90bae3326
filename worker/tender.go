package worker

import (
	"cmp"
	"context"
	"slices"
	"sync"

	"github.com/jatak-mail/jatak/internal/campaign"
)

// tenders send what goes to destinations that are limited. Each has one, which
// works through the batches that have mail for it at the pace that it allows;
// the tasks go on with all other mail meanwhile. What a tender has to do is known
// to this process alone: the sweep rings again for what dies with it.
type tenders struct {
	mu      sync.Mutex
	byName  map[string]*tender
	running sync.WaitGroup
}

type tender struct {
	batches []campaign.BatchID
	turns   int
	last    map[campaign.ID]int // the turn that a campaign had last
}

// add gives the destination's tender one more batch.
func (t *tenders) add(w *Worker, name string, batch campaign.BatchID) {
	t.mu.Lock()
	defer t.mu.Unlock()
	of := t.byName[name]
	if of == nil {
		of = &tender{last: map[campaign.ID]int{}}
		t.byName[name] = of
		t.running.Go(func() { w.tend(name) })
	}
	if i := slices.IndexFunc(of.batches, batch.Same); i >= 0 {
		of.batches[i] = batch
		return
	}
	of.batches = append(of.batches, batch)
}

// next returns the batch to look at: the most urgent campaigns take turns. Without
// one the tender has ended.
func (t *tenders) next(name string, active map[campaign.ID]campaign.Activity) (batch campaign.BatchID, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	of := t.byName[name]
	if len(of.batches) == 0 {
		delete(t.byName, name)
		return batch, false
	}
	batch = slices.MinFunc(of.batches, func(a, b campaign.BatchID) int {
		return cmp.Or(
			cmp.Compare(active[a.Campaign].Priority.Rank(), active[b.Campaign].Priority.Rank()),
			cmp.Compare(of.last[a.Campaign], of.last[b.Campaign]))
	})
	of.turns++
	of.last[batch.Campaign] = of.turns
	return batch, true
}

// done takes a batch away that has nothing left for the destination; with more, it
// is put behind the others.
func (t *tenders) done(name string, batch campaign.BatchID, more bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	of := t.byName[name]
	i := slices.IndexFunc(of.batches, batch.Same)
	kept := of.batches[i]
	of.batches = slices.Delete(of.batches, i, i+1)
	if more {
		of.batches = append(of.batches, kept)
	}
}

func (t *tenders) wait() { t.running.Wait() }

// tend sends to one destination until there is nothing left, or the worker stops.
func (w *Worker) tend(name string) {
	for {
		batch, ok := w.tenders.next(name, w.pacer.current().limits.Active)
		if !ok {
			return
		}
		more := false
		if !w.isStopping() {
			var err error
			if more, err = w.tendBatch(name, batch); err != nil {
				w.Log.Warn("a batch is put back", "campaign", batch.Campaign, "batch", batch.Batch, "destination", name, "error", err)
			}
		}
		w.tenders.done(name, batch, more)
	}
}

// tendBatch sends what a batch has for the destination, for a slice of time; more
// says that it came to its end. Otherwise the rest is for others: nothing is due, the
// campaign or the worker was stopped, or the destination has no bound any more.
func (w *Worker) tendBatch(name string, batch campaign.BatchID) (more bool, err error) {
	background := context.Background()
	active, err := w.pacer.follow(background, batch.Campaign)
	if err != nil {
		return false, err
	}
	p, err := w.prepared.get(background, w, batch.Campaign)
	if err != nil {
		return false, err
	}
	to, bounded := w.pacer.current().bounded[name]
	v := w.newVisit(p, batch, &to)
	defer w.closeLater(v)
	sliced, done := context.WithTimeout(active, slice)
	defer done()
	for !w.isStopping() && active.Err() == nil {
		if !bounded {
			return false, w.ring(background, batch) // no bound any more: it goes with all others
		}
		n, err := w.sendSome(sliced, v)
		switch {
		case active.Err() != nil:
			return false, nil
		case sliced.Err() != nil:
			return true, nil
		case n == 0 || err != nil:
			return false, err
		}
		next, still := w.pacer.current().bounded[name]
		bounded, v.to = still, &next
	}
	return false, nil
}
