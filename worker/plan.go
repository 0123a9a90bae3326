package worker

import (
	"context"
	"errors"
	"time"

	"github.com/hibiken/asynq"

	"github.com/jatak-mail/jatak/gating"
	"github.com/jatak-mail/jatak/internal/campaign"
	"github.com/jatak-mail/jatak/internal/queue"
)

// firstChunk is small, so that the first mails leave while the rest is planned.
const firstChunk = 100

// plan writes one delivery row for each person of the audience, a chunk at a
// time, and rings for each chunk as soon as it is kept.
func (w *Worker) plan(ctx context.Context, t *asynq.Task) error {
	task, err := queue.ParsePlan(t)
	if err != nil {
		return err
	}
	asking, cancel := context.WithTimeout(ctx, answerTime)
	kept, err := w.Store.Campaign(asking, task.Campaign)
	cancel()
	if err != nil {
		return err
	}
	started := time.Now()
	size := min(firstChunk, w.ChunkSize)
	for !w.isStopping() {
		due, done, err := w.planChunk(ctx, task.Campaign, size)
		if errors.Is(err, campaign.ErrNotPlanning) {
			return nil // planned, paused or cancelled, or another is at it
		}
		if err != nil {
			return err
		}
		if done {
			w.Log.Info("campaign planned", "campaign", task.Campaign, "took", time.Since(started).Round(time.Millisecond))
			// Sending may have ended before planning did.
			return w.finish(ctx, task.Campaign)
		}
		for _, batch := range due {
			id := campaign.BatchID{Campaign: task.Campaign, Batch: batch, Priority: kept.Priority}
			if err := w.Bell.RingSend(ctx, id); err != nil {
				w.Log.Warn("the sweep will ring for the batch", "campaign", task.Campaign, "batch", batch, "error", err)
			}
		}
		size = w.ChunkSize
	}
	return nil // the sweep of another worker rings for the rest
}

func (w *Worker) planChunk(ctx context.Context, id campaign.ID, size int) (due []int, done bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, lookTime)
	defer cancel()
	return w.Store.PlanChunk(ctx, id, size, w.clock.now(), gating.Decide)
}
