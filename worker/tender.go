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
	batches []campaign.BatchID // the one to look at next is first
}

// add gives the destination's tender one more batch.
func (t *tenders) add(w *Worker, name string, batch campaign.BatchID) {
	t.mu.Lock()
	defer t.mu.Unlock()
	of := t.byName[name]
	if of == nil {
		of = &tender{}
		t.byName[name] = of
		t.running.Go(func() { w.tend(name) })
	}
	if !slices.Contains(of.batches, batch) {
		of.batches = append(of.batches, batch)
		slices.SortStableFunc(of.batches, func(a, b campaign.BatchID) int { return cmp.Compare(a.Priority.Rank(), b.Priority.Rank()) })
	}
}

// next returns the batch to look at; without one the tender has ended.
func (t *tenders) next(name string) (batch campaign.BatchID, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	of := t.byName[name]
	if len(of.batches) == 0 {
		delete(t.byName, name)
		return batch, false
	}
	return of.batches[0], true
}

// done takes a batch away that has nothing left for the destination.
func (t *tenders) done(name string, batch campaign.BatchID) {
	t.mu.Lock()
	defer t.mu.Unlock()
	of := t.byName[name]
	of.batches = slices.DeleteFunc(of.batches, func(b campaign.BatchID) bool { return b == batch })
}

func (t *tenders) wait() { t.running.Wait() }

// tend sends to one destination until there is nothing left, or the worker stops.
func (w *Worker) tend(name string) {
	for {
		batch, ok := w.tenders.next(name)
		if !ok {
			return
		}
		if !w.isStopping() {
			if err := w.tendBatch(name, batch); err != nil {
				w.Log.Warn("a batch is put back", "campaign", batch.Campaign, "batch", batch.Batch, "destination", name, "error", err)
			}
		}
		w.tenders.done(name, batch)
	}
}

// tendBatch sends what a batch has for the destination. When it returns, the rest
// is for others: nothing is due, the campaign or the worker was stopped, or the
// destination has no bound any more.
func (w *Worker) tendBatch(name string, batch campaign.BatchID) error {
	background := context.Background()
	active, err := w.pacer.follow(background, batch.Campaign)
	if err != nil {
		return err
	}
	p, err := w.prepared.get(background, w, batch.Campaign)
	if err != nil {
		return err
	}
	to, bounded := w.pacer.current().bounded[name]
	v := w.newVisit(p, batch, &to)
	defer w.closeLater(v)
	for !w.isStopping() && active.Err() == nil {
		if !bounded {
			return w.Bell.RingSend(background, batch) // no bound any more: it goes with all others
		}
		n, err := w.sendSome(active, v)
		if n == 0 || err != nil && active.Err() == nil {
			return err
		}
		next, still := w.pacer.current().bounded[name]
		bounded, v.to = still, &next
	}
	return nil
}
