package worker

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/jatak-mail/jatak/internal/campaign"
	"github.com/jatak-mail/jatak/internal/pace"
)

// pacer bounds mails a second for all workers together. It is asked before rows
// are claimed, so that no claimed row waits and no token is held by one.
type pacer struct {
	store   Store
	limiter *pace.Limiter
	now     func() time.Time

	mu     sync.Mutex
	read   time.Time // when limits was read
	limits campaign.Limits
}

// limitMemory is how long limits are trusted: a change acts within it.
const limitMemory = time.Second

func (p *pacer) current(ctx context.Context) (l campaign.Limits, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if now := p.now(); now.Sub(p.read) >= limitMemory {
		if l, err = p.store.Limits(ctx); err != nil {
			return l, err
		}
		p.read, p.limits = now, l
	}
	return p.limits, nil
}

// bucket holds mails at a rate a second, of which a twentieth of a second's may
// leave at once. The braces keep all of them on one node of a cluster.
func bucket(name string, rate float64) pace.Bucket {
	return pace.Bucket{Key: "jatak:{pace}:" + name, Rate: rate, Burst: rate / 20}
}

// take returns how many mails of a campaign may leave now, at most n, and how
// long to wait when none may.
func (p *pacer) take(ctx context.Context, id campaign.ID, n int) (granted int, wait time.Duration, err error) {
	limits, err := p.current(ctx)
	if err != nil {
		return 0, 0, err
	}
	var buckets []pace.Bucket
	if limits.All > 0 {
		buckets = append(buckets, bucket("all", limits.All))
	}
	if of := limits.Of[id]; of > 0 {
		buckets = append(buckets, bucket(fmt.Sprintf("c%d", id), of))
	}
	return p.limiter.Take(ctx, n, buckets...)
}

// longestPace bounds how long a worker waits before it looks again: the pace, or
// the campaign, may have changed.
const longestPace = 500 * time.Millisecond

// pace waits until at least one mail of a campaign may leave, and returns how
// many of the n places in the window may be used. It gives the others back; 0
// says that the campaign, or the worker, may have been stopped meanwhile.
func (w *Worker) pace(ctx context.Context, id campaign.ID, n int) (int, error) {
	granted, wait, err := w.pacer.take(ctx, id, n)
	for range n - granted {
		<-w.window
	}
	if err != nil || granted > 0 {
		return granted, err
	}
	timer := time.NewTimer(min(wait, longestPace))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-w.stopping:
	case <-ctx.Done():
	}
	return 0, ctx.Err()
}
