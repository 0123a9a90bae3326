package pace

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"
)

// slowKey is a hash of destinations that have asked for less, each as
// rate:since:before in mails a second, microseconds and mails a second.
const slowKey = "jatak:{pace}:slow"

const (
	// recovery is how long it takes until a destination that was slowed down is
	// trusted with twice as much.
	recovery = 30 * time.Second
	// leastGap is how long one slow-down is given to show.
	leastGap = 10 * time.Second
	// leastRate is the slowest that a destination is slowed down to, in mails a
	// second.
	leastRate = 1.0 / 60
)

// slowDown halves the rate of ARGV[1]. ARGV[2] is the rate that was seen, ARGV[3]
// to ARGV[5] are recovery, leastGap in microseconds, and leastRate. It returns the
// rate and whether it is new.
var slowDown = redis.NewScript(`
local now = redis.call('TIME')
local micros = now[1] * 1000000 + now[2]
local rate, before = tonumber(ARGV[2]), tonumber(ARGV[2])
local kept = redis.call('HGET', KEYS[1], ARGV[1])
if kept then
	local r, at, b = string.match(kept, '([^:]+):([^:]+):([^:]+)')
	r, at, b = tonumber(r), tonumber(at), tonumber(b)
	local risen = r * 2 ^ ((micros - at) / ARGV[3])
	if risen < b then
		if micros - at < tonumber(ARGV[4]) then return {tostring(risen), 0} end
		rate, before = risen, b
	end
end
rate = math.max(rate / 2, tonumber(ARGV[5]))
before = math.max(before, 2 * rate)
redis.call('HSET', KEYS[1], ARGV[1], string.format('%.17g:%.0f:%.17g', rate, micros, before))
redis.call('PEXPIRE', KEYS[1], 86400000)
return {tostring(rate), 1}`)

// SlowDown halves the rate to a destination that has asked for it, down from the
// rate seen. It returns the new rate in mails a second, and whether this call has
// changed it: a slow-down is given some time before the next. The rate rises by
// itself, doubled every half minute, until it is what it was.
func (l *Limiter) SlowDown(ctx context.Context, destination string, seen float64) (rate float64, changed bool, err error) {
	answer, err := slowDown.Run(ctx, l.redis, []string{slowKey}, destination, max(seen, leastRate),
		recovery.Microseconds(), leastGap.Microseconds(), leastRate).Slice()
	if err != nil || len(answer) != 2 {
		return 0, false, fmt.Errorf("slow down: %w", err)
	}
	text, _ := answer[0].(string)
	if rate, err = strconv.ParseFloat(text, 64); err != nil {
		return 0, false, fmt.Errorf("slow down: %w", err)
	}
	return rate, answer[1] == int64(1), nil
}

// slowed lists who is slowed down, with the rates of now, and forgets who has
// recovered. ARGV[1] is recovery.
var slowed = redis.NewScript(`
local now = redis.call('TIME')
local micros = now[1] * 1000000 + now[2]
local list = {}
local all = redis.call('HGETALL', KEYS[1])
for i = 1, #all, 2 do
	local rate, at, before = string.match(all[i + 1], '([^:]+):([^:]+):([^:]+)')
	local risen = tonumber(rate) * 2 ^ ((micros - tonumber(at)) / ARGV[1])
	if risen < tonumber(before) then
		list[#list + 1] = all[i]
		list[#list + 1] = tostring(risen)
	else
		redis.call('HDEL', KEYS[1], all[i])
	end
end
return list`)

// Slowed returns the destinations that are slowed down now, with their rates in
// mails a second.
func (l *Limiter) Slowed(ctx context.Context) (map[string]float64, error) {
	list, err := slowed.Run(ctx, l.redis, []string{slowKey}, recovery.Microseconds()).StringSlice()
	if err != nil {
		return nil, fmt.Errorf("read who is slowed down: %w", err)
	}
	rates := make(map[string]float64, len(list)/2)
	for i := 0; i+1 < len(list); i += 2 {
		if rates[list[i]], err = strconv.ParseFloat(list[i+1], 64); err != nil {
			return nil, fmt.Errorf("read who is slowed down: %w", err)
		}
	}
	return rates, nil
}
