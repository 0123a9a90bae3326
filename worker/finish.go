package worker

import (
	"context"

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
