package worker

import (
	"context"
	"time"
)

// mostBells bounds how many batches one sweep rings for.
const mostBells = 1000

// keepSweeping looks over the ledger now and then, for what no bell rings for:
// rows of dead workers, deferred mails that are due, bells lost with Redis.
func (w *Worker) keepSweeping(ctx context.Context) {
	tick := time.NewTicker(w.SweepEvery)
	defer tick.Stop()
	for {
		if err := w.sweep(ctx); err != nil && ctx.Err() == nil {
			w.Log.Warn("sweep", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func (w *Worker) sweep(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, lookTime)
	defer cancel()
	now := w.clock.now()
	found, ran, err := w.Store.Sweep(ctx, w.Resend, now, w.BellPatience, mostBells)
	if err != nil || !ran {
		return err
	}
	if found.InDoubt > 0 {
		w.Log.Warn("a worker ended without a word; the outcome of its mails is unknown",
			"mails", found.InDoubt, "resend", w.Resend)
	}
	for _, id := range found.Finished {
		w.finished(id)
	}
	for _, id := range found.Plans {
		if err := w.Bell.RingPlan(ctx, id, now); err != nil {
			return err
		}
		w.Log.Info("rang again for planning", "campaign", id)
	}
	for _, b := range found.Batches {
		if err := w.Bell.RingSend(ctx, b); err != nil {
			return err
		}
	}
	if err := w.heedComplaints(ctx); err != nil {
		return err
	}
	if err := w.sweepNotices(ctx, now); err != nil {
		return err
	}
	if err := w.sweepTestMails(ctx, now); err != nil {
		return err
	}
	if n := len(found.Batches); n > 0 {
		w.Log.Info("rang for batches that are due", "batches", n)
	}
	return nil
}

// sweepNotices rings for notices that are due, and forgets sign-ups that nobody
// confirmed.
func (w *Worker) sweepNotices(ctx context.Context, now time.Time) error {
	due, err := w.Store.NoticesDue(ctx, now)
	if err == nil && due {
		err = w.Bell.RingNotices(ctx, now)
	}
	if err != nil {
		return err
	}
	forgotten, err := w.Store.ForgetSignUps(ctx, now)
	if forgotten > 0 {
		w.Log.Info("forgot sign-ups that were never confirmed", "sign_ups", forgotten)
	}
	return err
}
