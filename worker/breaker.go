package worker

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/jatak-mail/jatak/internal/campaign"
	"github.com/jatak-mail/jatak/internal/mailer"
)

// breaker counts what became of a campaign's mails, and pauses the campaign
// when too many fail or are in doubt: a relay that has begun to refuse everything, or
// to cut the connection at each mail, or a list that was bought, is for a person to
// look at.
type breaker struct {
	mu           sync.Mutex
	sent, failed int
	refused      int              // of the sender, in a row
	newest       campaign.Outcome // of those that failed
	tripped      bool
}

const (
	// leastOutcomes is how many outcomes a breaker judges by, at least.
	leastOutcomes = 100
	// mostOutcomesCounted halves the counts when it is reached, so that what was
	// long ago weighs less.
	mostOutcomesCounted = 2000
	// mostSenderRefused is after how many refusals of the sender in a row, by all
	// relays that may take its mails, a campaign is paused. None of its mails fails.
	mostSenderRefused = 10
)

// count takes an outcome, and reports once that more than percent of them failed or
// were in doubt, or that the sender is refused.
func (b *breaker) count(o campaign.Outcome, blame mailer.Blame, percent int) (trips bool, reason string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case o.State == campaign.Sent:
		b.sent++
		b.refused = 0
	case blame == mailer.BlameSender && o.State == campaign.Deferred:
		if b.refused++; b.refused < mostSenderRefused || b.tripped {
			return false, ""
		}
		b.tripped = true
		return true, campaign.SenderRefused{Relay: o.Relay, Mails: b.refused, Reply: replyOf(o)}.String()
	case o.State == campaign.Failed, o.Doubt:
		b.failed++
		b.newest = o
	default:
		return false, ""
	}
	all := b.sent + b.failed
	if percent > 0 && !b.tripped && all >= leastOutcomes && b.failed*100 > percent*all {
		b.tripped = true
		return true, campaign.TooManyFailures{Failed: b.failed, Of: all, Percent: percent, Reply: replyOf(b.newest)}.String()
	}
	if all >= mostOutcomesCounted {
		b.sent, b.failed = b.sent/2, b.failed/2
	}
	return false, ""
}

// replyOf is the reply as the relay gave it; without a code it is what went wrong.
func replyOf(o campaign.Outcome) string {
	if o.Code == 0 {
		return o.Reply
	}
	return strings.TrimSpace(fmt.Sprintf("%d %s", o.Code, o.Reply))
}

// judge counts an outcome of a prepared campaign.
func (w *Worker) judge(p *prepared, o campaign.Outcome, blame mailer.Blame) {
	trips, reason := p.breaker.count(o, blame, w.pacer.current().limits.FailurePercent)
	if !trips {
		return
	}
	w.Log.Warn("too many mails are not taken: the campaign is paused", "campaign", p.id, "reason", reason)
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		if err := w.Store.Pause(ctx, p.id, reason); err != nil {
			w.Log.Warn("the campaign could not be paused", "campaign", p.id, "error", err)
		}
		w.prepared.forget(p.id) // a person who resumes it starts the count anew
	}()
}

// leastComplaints is how many a campaign is paused for, at least: one of the first
// hundred readers is no measure.
const leastComplaints = 3

// heedComplaints pauses campaigns of which too many recipients complained.
func (w *Worker) heedComplaints(ctx context.Context) error {
	limit := w.pacer.current().limits.ComplaintPercent
	if limit == 0 {
		return nil
	}
	complaints, err := w.Store.Complaints(ctx, leastComplaints)
	if err != nil {
		return err
	}
	for _, c := range complaints {
		percent := 100 * float64(c.Complaints) / float64(max(c.Sent, 1))
		if percent <= limit {
			continue
		}
		reason := campaign.TooManyComplaints{Complaints: int(c.Complaints), Of: int(c.Sent), Percent: limit}.String()
		w.Log.Warn("too many complain: the campaign is paused", "campaign", c.Campaign, "reason", reason)
		if err := w.Store.Pause(ctx, c.Campaign, reason); err != nil {
			return err
		}
	}
	return nil
}
