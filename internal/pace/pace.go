// Package pace answers whether something may happen now and, if not, when. Its
// buckets live in Redis, so that all processes together keep a limit; an emptied
// Redis forgets what was done, not what is allowed.
package pace

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
)

// Bucket is a limit. Its state is kept under Key, which must hold a part in
// braces that all buckets of one question share (Redis Cluster keeps them on one
// node then).
type Bucket struct {
	Key   string
	Rate  float64 // in a second; above 0
	Burst float64 // how many at once after a pause, at least 1
}

// Limiter keeps limits.
type Limiter struct {
	redis redis.UniversalClient
	log   *slog.Logger
	away  atomic.Int64 // until when, in Unix nanoseconds, Allow does not ask
}

// New returns a limiter.
func New(client redis.UniversalClient, log *slog.Logger) *Limiter {
	return &Limiter{redis: client, log: log}
}

// takeTokens is the generic cell rate algorithm (ITU-T I.371) on Redis's own
// clock: of ARGV[1] it grants as many as each bucket allows now, and says in
// microseconds when the next is due. The first half of KEYS are the buckets, the
// second their turns: the rank that has found too little there, for as long as
// ARGV[3] in milliseconds says. Ranks behind it get nothing meanwhile; ARGV[2] is
// the rank that asks. The ARGVs after it are the buckets' rates a second and bursts.
var takeTokens = redis.NewScript(`
local now = redis.call('TIME')
local micros = now[1] * 1000000 + now[2]
local wanted, rank, buckets = tonumber(ARGV[1]), tonumber(ARGV[2]), #KEYS / 2
local grant, wait, frees = wanted, 0, {}
for i = 1, buckets do
	local interval = 1000000 / tonumber(ARGV[2 * i + 2])
	local burst = tonumber(ARGV[2 * i + 3])
	local due = math.max(tonumber(redis.call('GET', KEYS[i]) or 0), micros)
	local free = math.floor(burst - (due - micros) / interval)
	if free < 1 then
		wait = math.max(wait, due - micros - (burst - 1) * interval)
	end
	local turn = redis.call('GET', KEYS[buckets + i])
	if turn and tonumber(turn) < rank then
		wait = math.max(wait, redis.call('PTTL', KEYS[buckets + i]) * 1000)
		free = 0
	else
		frees[i] = free
	end
	grant = math.max(0, math.min(grant, free))
end
for i = 1, buckets do
	if frees[i] and frees[i] <= grant and grant < wanted then
		redis.call('SET', KEYS[buckets + i], rank, 'PX', ARGV[3])
	end
	if grant > 0 then
		local interval = 1000000 / tonumber(ARGV[2 * i + 2])
		local due = math.max(tonumber(redis.call('GET', KEYS[i]) or 0), micros) + grant * interval
		redis.call('SET', KEYS[i], string.format('%.0f', due), 'PX', math.ceil((due - micros) / 1000) + 1000)
	end
end
return {grant, math.ceil(wait)}`)

// turnTime is how long those behind wait for a rank that found too little: whoever
// waits for more asks again before.
const turnTime = time.Second

// Take returns how many of n may happen now, in all buckets together, and how
// long to wait when none may.
func (l *Limiter) Take(ctx context.Context, n int, buckets ...Bucket) (granted int, wait time.Duration, err error) {
	return l.TakeInTurn(ctx, 0, n, buckets...)
}

// TakeInTurn does so in turn: while one of a lower rank finds too little in a
// bucket, and has asked within the last second, it gives nothing to those of higher
// ranks.
func (l *Limiter) TakeInTurn(ctx context.Context, rank, n int, buckets ...Bucket) (granted int, wait time.Duration, err error) {
	if len(buckets) == 0 {
		return n, 0, nil
	}
	keys := make([]string, 2*len(buckets))
	args := make([]any, 0, 3+2*len(buckets))
	args = append(args, n, rank, turnTime.Milliseconds())
	for i, b := range buckets {
		keys[i], keys[len(buckets)+i] = b.Key, b.Key+":turn"
		args = append(args, b.Rate, max(1, b.Burst))
	}
	answer, err := takeTokens.Run(ctx, l.redis, keys, args...).Int64Slice()
	if err != nil {
		return 0, 0, fmt.Errorf("ask for the pace: %w", err)
	}
	return int(answer[0]), max(time.Millisecond, time.Duration(answer[1])*time.Microsecond), nil
}

// giveBack undoes a grant of ARGV[1], without allowing more than a full burst.
// The ARGVs after the first are the rates of KEYS.
var giveBack = redis.NewScript(`
local now = redis.call('TIME')
local micros = now[1] * 1000000 + now[2]
for i, key in ipairs(KEYS) do
	local due = math.max(tonumber(redis.call('GET', key) or 0), micros) - ARGV[1] * 1000000 / ARGV[i + 1]
	if due > micros then
		redis.call('SET', key, string.format('%.0f', due), 'PX', math.ceil((due - micros) / 1000) + 1000)
	else
		redis.call('DEL', key)
	end
end`)

// GiveBack returns what was taken and not used. A negative n takes as many,
// whether they may happen now or not.
func (l *Limiter) GiveBack(ctx context.Context, n int, buckets ...Bucket) error {
	if n == 0 || len(buckets) == 0 {
		return nil
	}
	keys := make([]string, 0, len(buckets))
	args := make([]any, 0, 1+len(buckets))
	args = append(args, n)
	for _, b := range buckets {
		keys, args = append(keys, b.Key), append(args, b.Rate)
	}
	if err := giveBack.Run(ctx, l.redis, keys, args...).Err(); err != nil && !errors.Is(err, redis.Nil) {
		return fmt.Errorf("give back to the pace: %w", err)
	}
	return nil
}

const (
	// allowTime is how long Allow waits for Redis.
	allowTime = 100 * time.Millisecond
	// awayTime is how long Allow does without a Redis that did not answer.
	awayTime = 10 * time.Second
)

// Allow reports whether one more may happen, and if not how long to wait. While
// Redis is away everything may: a limit on abuse is not worth a closed door.
func (l *Limiter) Allow(ctx context.Context, buckets ...Bucket) (ok bool, wait time.Duration) {
	now := time.Now()
	if now.UnixNano() < l.away.Load() {
		return true, 0
	}
	asking, cancel := context.WithTimeout(ctx, allowTime)
	defer cancel()
	granted, wait, err := l.Take(asking, 1, buckets...)
	if err != nil {
		if ctx.Err() == nil && l.away.Swap(now.Add(awayTime).UnixNano()) < now.UnixNano() {
			l.log.Warn("requests are not limited while Redis is away", "error", err)
		}
		return true, 0
	}
	return granted > 0, wait
}
