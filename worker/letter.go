package worker

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/jatak-mail/jatak/gating"
	"github.com/jatak-mail/jatak/internal/campaign"
	"github.com/jatak-mail/jatak/internal/mailer"
)

// letter is a mail of a campaign on its way: a claimed row, and what becomes of it.
type letter struct {
	mailer.Mail
	w        *Worker
	p        *prepared
	claim    *campaign.ClaimRequest
	row      campaign.Claimed
	outcome  campaign.Outcome
	relay    string // whose turn it was
	buffer   *[]byte
	recorded func()
}

// hand renders the mail and hands it to a connection. After an error nothing has
// left.
func (l *letter) hand(ctx context.Context, route *mailer.Route, decided time.Time) error {
	l.buffer = mailBuffers.Get().(*[]byte)
	now := l.w.clock.now()
	*l.buffer = l.p.render((*l.buffer)[:0], l.row.Recipient, now)
	data, err := l.w.Signers.Sign(l.p.messageDomain, *l.buffer, now)
	if err != nil {
		mailBuffers.Put(l.buffer)
		return err
	}
	l.relay = route.Relay
	l.Mail = mailer.Mail{From: l.p.returnPath(l.row.ID), To: string(l.row.Address), Data: data, NoDots: true, Route: route,
		Decided: decided, Still: l.still, Done: l.done}
	if err := l.w.Pool.Submit(ctx, &l.Mail); err != nil {
		mailBuffers.Put(l.buffer)
		return fmt.Errorf("hand a mail to a connection: %w", err)
	}
	return nil
}

// still asks the gate anew, and the ledger whether the row is ours and its campaign
// under way.
func (l *letter) still() bool {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	request := *l.claim
	request.Now = l.w.clock.now()
	policy, facts, ours, err := l.w.Store.Reconsider(ctx, request, l.row.ID)
	if err != nil || !ours {
		return false
	}
	l.outcome.Verdict = gating.Decide(facts, policy)
	return l.outcome.Verdict.Send
}

// done books what became of the mail.
func (l *letter) done(reply mailer.Outcome) {
	mailBuffers.Put(l.buffer)
	l.settle(reply)
	l.w.heed(l.row.Lane, reply)
	if reply.Relay != l.relay && reply.Kind != mailer.Unsent {
		l.w.pacer.charge(reply.Relay)
	}
	l.w.heedOutcome(l.p, l.outcome, reply.Blame)
	l.w.recorder.add(l.outcome, l.recorded)
}

// mostResent is how often a mail in doubt is sent again without a person: a relay
// that takes a mail and cuts the connection once may do so each time.
const mostResent = 1

// settle says what a reply means for the row.
func (l *letter) settle(reply mailer.Outcome) {
	o := &l.outcome
	o.At = l.w.clock.now()
	o.Code, o.Enhanced, o.Reply, o.Relay = reply.Code, reply.Enhanced, reply.Text, reply.Relay
	switch {
	case reply.Kind == mailer.Accepted:
		o.State = campaign.Sent
		o.Reached = l.row.Facts.BouncesInRow > 0
	case reply.Kind == mailer.Refused:
		o.State = campaign.Failed
		o.Bounced = reply.Blame == mailer.BlameRecipient
	case reply.Kind == mailer.InDoubt:
		o.Doubt = true
		o.State = campaign.InDoubt
		if l.w.Resend && l.row.Doubts < mostResent {
			l.deferOrFail(campaign.InDoubt)
		}
	case reply.Kind == mailer.Unsent && !o.Verdict.Send:
		o.State = campaign.Blocked // who withdrew while it waited
		o.Reply, o.Relay = "", ""
	case reply.Kind == mailer.Unsent:
		o.State, o.Uncharged = campaign.Pending, true
	case reply.Blame == mailer.BlameRelay, reply.Blame == mailer.BlameSender:
		l.putOff()
	default:
		l.deferOrFail(campaign.Failed)
	}
}

// isOld reports whether the mail was deferred first so long ago that it is given up.
func (l *letter) isOld() bool {
	return !l.row.Deferred.IsZero() && l.outcome.At.Sub(l.row.Deferred) >= l.w.MaxAge
}

// deferOrFail defers a mail with a growing delay, or ends it in the last state
// when it was tried often or long enough.
func (l *letter) deferOrFail(last campaign.DeliveryState) {
	o := &l.outcome
	if l.row.Attempts >= l.w.MaxAttempts || l.isOld() {
		o.State = last
		return
	}
	o.State = campaign.Deferred
	o.NextAttempt = o.At.Add(retryDelay(l.w.RetryBase, l.row.Attempts))
}

// putOff defers a mail that is not to blame: no attempt is counted, and it fails by
// its age alone. The delay grows with that.
func (l *letter) putOff() {
	o := &l.outcome
	if l.isOld() {
		o.State = campaign.Failed
		return
	}
	delay := l.w.RetryBase
	if !l.row.Deferred.IsZero() {
		delay = max(delay, o.At.Sub(l.row.Deferred)/4)
	}
	o.State, o.Uncharged = campaign.Deferred, true
	o.NextAttempt = o.At.Add(retryDelay(min(delay, longestDelay), 1))
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

// mailBuffers lends the space in which mails are rendered.
var mailBuffers = sync.Pool{New: func() any { b := make([]byte, 0, 32<<10); return &b }}
