package worker

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/jatak-mail/jatak/internal/campaign"
)

// pacer bounds mails a second for all workers together. It is asked before rows
// are claimed, so that no claimed row waits and no token is held by one.
type pacer struct {
	store Store
	redis redis.UniversalClient
	now   func() time.Time

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

// takeTokens is the generic cell rate algorithm (ITU-T I.371) on Redis's own
// clock: of ARGV[1] mails it grants as many as each bucket allows now, and says
// in microseconds when the next is due. KEYS are the buckets; the ARGVs after
// the first are their rates in mails a second.
var takeTokens = redis.NewScript(`
local now = redis.call('TIME')
local micros = now[1] * 1000000 + now[2]
local grant, wait = tonumber(ARGV[1]), 0
for i, key in ipairs(KEYS) do
	local interval = 1000000 / tonumber(ARGV[i + 1])
	local burst = math.max(1, tonumber(ARGV[i + 1]) / 20)
	local due = math.max(tonumber(redis.call('GET', key) or 0), micros)
	local free = math.floor(burst - (due - micros) / interval)
	if free < 1 then
		wait = math.max(wait, due - micros - (burst - 1) * interval)
	end
	grant = math.max(0, math.min(grant, free))
end
if grant > 0 then
	for i, key in ipairs(KEYS) do
		local interval = 1000000 / tonumber(ARGV[i + 1])
		local due = math.max(tonumber(redis.call('GET', key) or 0), micros) + grant * interval
		redis.call('SET', key, string.format('%.0f', due), 'PX', math.ceil((due - micros) / 1000) + 1000)
	end
end
return {grant, math.ceil(wait)}`)

// take returns how many mails of a campaign may leave now, at most n, and how
// long to wait when none may.
func (p *pacer) take(ctx context.Context, id campaign.ID, n int) (granted int, wait time.Duration, err error) {
	limits, err := p.current(ctx)
	all, of := limits.All, limits.Of[id]
	if err != nil || all == 0 && of == 0 {
		return n, 0, err
	}
	// The braces keep the buckets on one node of a cluster.
	var keys []string
	rates := []any{n}
	if all > 0 {
		keys, rates = append(keys, "jatak:{pace}:all"), append(rates, all)
	}
	if of > 0 {
		keys, rates = append(keys, fmt.Sprintf("jatak:{pace}:c%d", id)), append(rates, of)
	}
	answer, err := takeTokens.Run(ctx, p.redis, keys, rates...).Int64Slice()
	if err != nil {
		return 0, 0, fmt.Errorf("ask for the pace: %w", err)
	}
	return int(answer[0]), max(time.Millisecond, time.Duration(answer[1])*time.Microsecond), nil
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
