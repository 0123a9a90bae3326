package worker

import (
	"context"
	"time"

	"github.com/jatak-mail/jatak/internal/campaign"
)

// finish ends a campaign that has nothing left to do.
func (w *Worker) finish(ctx context.Context, id campaign.ID) error {
	finished, err := w.Store.Finish(ctx, id, w.clock.now())
	if finished {
		w.finished(id)
	}
	return err
}

func (w *Worker) finished(id campaign.ID) {
	w.prepared.forget(id)
	w.Log.Info("campaign finished", "campaign", id)
}

// keepAccounting makes the accounts of campaigns that have ended. It takes seconds for
// a million mails, so that the sweep does not wait for it.
func (w *Worker) keepAccounting(ctx context.Context) {
	tick := time.NewTicker(w.SweepEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		looking, cancel := context.WithTimeout(ctx, lookTime)
		id, err := w.Store.KeepNextAccount(looking, w.clock.now())
		cancel()
		switch {
		case err != nil && ctx.Err() == nil:
			w.Log.Warn("the account of a campaign that has ended is made later", "error", err)
		case id != 0:
			w.Log.Info("the account of the campaign is made", "campaign", id)
		}
	}
}
