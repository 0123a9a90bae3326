package worker

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/hibiken/asynq"

	"github.com/jatak-mail/jatak/gating"
	"github.com/jatak-mail/jatak/internal/campaign"
	"github.com/jatak-mail/jatak/internal/contact"
	"github.com/jatak-mail/jatak/internal/mailer"
	"github.com/jatak-mail/jatak/internal/queue"
)

// send works off what is due in a batch: it claims as many rows as the window
// has room for, decides about each anew, and hands the mails to connections.
func (w *Worker) send(ctx context.Context, t *asynq.Task) error {
	task, err := queue.ParseSend(t)
	if err != nil {
		return err
	}
	p, err := w.prepared.get(ctx, w, task.Campaign)
	if err != nil {
		return err
	}
	var inFlight sync.WaitGroup // until recorded
	share := max(1, w.Window/w.Tasks)
	claim := min(share, firstClaim)
	limits, err := w.pacer.current(ctx)
	if err != nil {
		return err
	}
	w.failurePercent.Store(int64(limits.FailurePercent))
	for !w.isStopping() {
		begun := w.Now()
		n, err := w.sendSome(ctx, p, task.Batch, claim, &inFlight)
		if err != nil {
			inFlight.Wait()
			return err
		}
		if n == 0 {
			break // nothing is due, or the campaign is paused
		}
		switch took := w.Now().Sub(begun); {
		case took > longestClaim:
			claim = max(1, claim/2)
		case took < longestClaim/2 && n == claim:
			claim = min(share, 2*claim)
		}
	}
	inFlight.Wait()
	finished, err := w.Store.CloseBatch(ctx, task.Campaign, task.Batch, w.Now())
	if finished {
		w.finished(task.Campaign)
	}
	return err
}

// A claim is a round trip, so that many rows at once are cheap; but a row that
// is claimed cannot be withdrawn any more, so that it should leave soon. Claims
// grow while they are handed to connections faster than longestClaim.
const (
	firstClaim   = 16
	longestClaim = 300 * time.Millisecond
)

// waited says that nothing was claimed because the pace did not allow it yet.
const waited = -1

// sendSome claims and sends a few rows; it returns how many it claimed, or waited.
func (w *Worker) sendSome(ctx context.Context, p *prepared, batch, most int, inFlight *sync.WaitGroup) (int, error) {
	route, err := w.Pool.Ready(ctx, p.messageDomain)
	if err != nil {
		return 0, err // nothing is claimed that cannot leave
	}
	limit, err := w.reserve(ctx, most)
	if err != nil {
		return 0, err
	}
	if limit, err = w.pace(ctx, p.id, limit); err != nil {
		return 0, err
	}
	if limit == 0 {
		return waited, nil
	}
	now := w.Now()
	workerID := w.id.Load()
	w.claiming.Lock()
	policy, rows, err := w.Store.Claim(ctx, campaign.ClaimRequest{
		Worker: workerID, Campaign: p.id, Batch: batch, Limit: limit, Now: now,
		Class: p.class, Type: p.subscriptionType, Override: p.override,
	})
	w.claiming.Unlock()
	for range limit - len(rows) {
		<-w.window
	}
	if err != nil {
		return 0, err
	}
	for i, row := range rows {
		o := campaign.Outcome{Worker: workerID, Campaign: p.id, Batch: batch, Contact: row.ID}
		o.Verdict = gating.Decide(row.Facts, policy)
		if !o.Verdict.Send {
			o.State, o.At = campaign.Blocked, now
			inFlight.Add(1)
			w.recorder.add(o, inFlight.Done)
			continue
		}
		inFlight.Add(1)
		if err := w.hand(ctx, p, route, row, o, inFlight.Done); err != nil {
			inFlight.Done()
			return 0, w.giveBack(ctx, workerID, p.id, batch, rows[i:], err)
		}
	}
	return len(rows), nil
}

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

// hand renders a mail and hands it to a connection. After an error nothing has
// left.
func (w *Worker) hand(ctx context.Context, p *prepared, route *mailer.Route, row campaign.Claimed, o campaign.Outcome, recorded func()) error {
	buffer := mailBuffers.Get().(*[]byte)
	*buffer = p.render((*buffer)[:0], row.Recipient, w.Now())
	data, err := w.Signers.Sign(p.messageDomain, *buffer)
	if err != nil {
		mailBuffers.Put(buffer)
		return err
	}
	mail := &mailer.Mail{From: p.returnPath(row.ID), To: string(row.Address), Data: data, Route: route}
	mail.Done = func(reply mailer.Outcome) {
		mailBuffers.Put(buffer)
		w.settle(&o, reply, row.Attempts)
		w.judge(p, o)
		w.recorder.add(o, recorded)
	}
	if err := w.Pool.Submit(ctx, mail); err != nil {
		mailBuffers.Put(buffer)
		return fmt.Errorf("hand a mail to a connection: %w", err)
	}
	return nil
}

// settle says what a reply means for the row.
func (w *Worker) settle(o *campaign.Outcome, reply mailer.Outcome, attempts int) {
	o.At = w.Now()
	o.Code, o.Enhanced, o.Reply, o.Relay = reply.Code, reply.Enhanced, reply.Text, reply.Relay
	switch reply.Kind {
	case mailer.Accepted:
		o.State = campaign.Sent
	case mailer.Refused:
		o.State = campaign.Failed
	case mailer.InDoubt:
		o.Doubt = true
		o.State = campaign.InDoubt
		if w.Resend {
			w.deferOrFail(o, attempts, campaign.InDoubt)
		}
	default:
		w.deferOrFail(o, attempts, campaign.Failed)
	}
}

// deferOrFail defers a mail with a growing delay, or ends it in the last state
// when it was tried often enough.
func (w *Worker) deferOrFail(o *campaign.Outcome, attempts int, last campaign.DeliveryState) {
	if attempts >= w.MaxAttempts {
		o.State = last
		return
	}
	o.State = campaign.Deferred
	o.NextAttempt = o.At.Add(retryDelay(w.RetryBase, attempts))
}

// longestDelay bounds the time between two attempts.
const longestDelay = 6 * time.Hour

// retryDelay doubles with each attempt and varies by a fifth, so that mails
// deferred together do not come back together.
func retryDelay(base time.Duration, attempts int) time.Duration {
	delay := longestDelay
	if shift := max(0, attempts-1); shift < 20 {
		delay = min(longestDelay, base<<shift)
	}
	return delay - time.Duration(rand.Int64N(int64(delay)/5+1))
}

// giveBack releases rows that no connection took, and returns the cause.
func (w *Worker) giveBack(ctx context.Context, worker int64, id campaign.ID, batch int, rows []campaign.Claimed, cause error) error {
	contacts := make([]contact.ID, len(rows))
	for i, r := range rows {
		contacts[i] = r.ID
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	err := w.Store.Release(ctx, worker, id, batch, contacts, w.Now())
	for range rows {
		<-w.window
	}
	if err != nil {
		w.Log.Warn("claims come back when the lease runs out", "mails", len(rows), "error", err)
	}
	if w.isStopping() {
		return nil
	}
	return cause
}

// mailBuffers lends the space in which mails are rendered.
var mailBuffers = sync.Pool{New: func() any { b := make([]byte, 0, 32<<10); return &b }}
