package worker

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/jatak-mail/jatak/internal/campaign"
	"github.com/jatak-mail/jatak/internal/mailer"
	"github.com/jatak-mail/jatak/internal/pace"
)

// breaker counts what became of a campaign's mails, with those of all other workers,
// and pauses the campaign when too many fail or are in doubt: a relay that has begun
// to refuse everything, or to cut the connection at each mail, or a list that was
// bought, is for a person to look at.
type breaker struct {
	mu      sync.Mutex
	resumed int              // what was before the campaign was resumed last does not count
	news    pace.Tally       // what the others have not been told
	own     pace.Tally       // of this worker; what counts while Redis is away
	newest  campaign.Outcome // of those that failed here
	refused senderRefusals
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
	// urgentFailures are told to the others at once.
	urgentFailures = leastOutcomes / 4
)

// senderRefusals are those in a row that this worker has seen.
type senderRefusals struct {
	mails  int
	newest campaign.Outcome
}

// count takes an outcome, and reports whether it should be judged at once.
func (b *breaker) count(o campaign.Outcome, blame mailer.Blame) (urgent bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	var one pace.Tally
	switch {
	case o.State == campaign.Sent:
		one.Good, b.refused.mails = 1, 0
	case blame == mailer.BlameSender && o.State == campaign.Deferred:
		b.refused = senderRefusals{b.refused.mails + 1, o}
		return b.refused.mails >= mostSenderRefused
	case o.State == campaign.Failed, o.Doubt:
		one.Bad = 1
	default:
		return false
	}
	if one.Bad > 0 {
		b.newest = o
	}
	b.news, b.own = b.news.Add(one, mostOutcomesCounted), b.own.Add(one, mostOutcomesCounted)
	return b.news.Bad >= urgentFailures
}

// take takes what there is to tell the others, and returns what this worker has seen
// since the campaign was resumed last.
func (b *breaker) take(resumed int) (news, own pace.Tally, newest campaign.Outcome, refused senderRefusals) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.resumed != resumed {
		b.resumed, b.news, b.own, b.newest, b.refused = resumed, pace.Tally{}, pace.Tally{}, campaign.Outcome{}, senderRefusals{}
	}
	news, b.news = b.news, pace.Tally{}
	return news, b.own, b.newest, b.refused
}

// untold takes back what the others could not be told.
func (b *breaker) untold(news pace.Tally) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.news = b.news.Add(news, mostOutcomesCounted)
}

// replyOf is the reply as the relay gave it; without a code it is what went wrong.
func replyOf(o campaign.Outcome) string {
	if o.Code == 0 {
		return o.Reply
	}
	return strings.TrimSpace(fmt.Sprintf("%d %s", o.Code, o.Reply))
}

// heedOutcome counts an outcome of a prepared campaign.
func (w *Worker) heedOutcome(p *prepared, o campaign.Outcome, blame mailer.Blame) {
	if p.breaker.count(o, blame) {
		select {
		case w.judging <- struct{}{}:
		default: // it is on its way
		}
	}
}

// keepJudging tells the other workers what became of this one's mails, hears of
// theirs, and pauses campaigns of which too many fail.
func (w *Worker) keepJudging(ctx context.Context) {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-w.judging:
		case <-tick.C:
		}
		for _, p := range w.prepared.all() {
			w.judge(ctx, p)
		}
	}
}

// judge pauses a campaign whose sender is refused, or of which more mails fail than may.
func (w *Worker) judge(ctx context.Context, p *prepared) {
	limits := w.pacer.current().limits
	active, is := limits.Active[p.id]
	if !is {
		return // paused already, or ended
	}
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	news, own, newest, refused := p.breaker.take(active.Resumed)
	if refused.mails >= mostSenderRefused {
		w.pauseFailing(ctx, p, active, campaign.SenderRefused{Relay: refused.newest.Relay, Mails: refused.mails, Reply: replyOf(refused.newest)}.String())
	}
	if news.All() == 0 && newest.State == "" {
		return // who has seen a failure looks on: it knows a reason
	}
	asking, cancelAsking := context.WithTimeout(ctx, time.Second)
	defer cancelAsking()
	all, err := w.pacer.limiter.Count(asking, fmt.Sprintf("c%d.%d", p.id, active.Resumed), news, mostOutcomesCounted)
	if err != nil {
		p.breaker.untold(news)
		all = own
	}
	percent := limits.FailurePercent
	if percent == 0 || all.All() < leastOutcomes || all.Bad*100 <= percent*all.All() || newest.State == "" {
		return
	}
	w.pauseFailing(ctx, p, active, campaign.TooManyFailures{Failed: all.Bad, Of: all.All(), Percent: percent, Reply: replyOf(newest)}.String())
}

// pauseFailing pauses a campaign, unless somebody who knew has resumed it meanwhile.
func (w *Worker) pauseFailing(ctx context.Context, p *prepared, active campaign.Activity, reason string) {
	switch paused, err := w.Store.PauseFailing(ctx, p.id, active.Resumed, reason); {
	case err != nil:
		w.Log.Warn("the campaign could not be paused yet", "campaign", p.id, "reason", mailer.WithoutAddresses(reason), "error", err)
	case paused:
		w.Log.Warn("too many mails are not taken: the campaign is paused", "campaign", p.id, "reason", mailer.WithoutAddresses(reason))
	}
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
