package pace

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

// Slots are places that all processes share, such as connections to a relay. A
// process tells again and again how many it holds; what a dead one held is free
// after a while. While Redis is away nobody gets more, and everybody keeps what
// they have.
type Slots struct {
	redis  redis.UniversalClient
	holder string
	life   time.Duration
	log    *slog.Logger

	asking chan struct{} // one question at a time, so that each builds on the answer before
	mu     sync.Mutex    // never held while Redis is asked
	held   map[string]*holding
}

// holding is what this process has under a key.
type holding struct {
	n       int
	told    int // what Redis was told last
	at      time.Time
	holders int // processes that hold or want some, as far as known
}

// slotBeat is how soon Redis is told of places that are free again.
const slotBeat = 100 * time.Millisecond

// NewSlots returns the slots of this process, whose name no other has. Others
// have what it held when they have not heard of it for the life, some seconds.
func NewSlots(client redis.UniversalClient, holder string, life time.Duration, log *slog.Logger) *Slots {
	return &Slots{redis: client, holder: holder, life: life, log: log, asking: make(chan struct{}, 1), held: map[string]*holding{}}
}

// hold tells of ARGV[2] places that ARGV[1] holds and asks for ARGV[3] more, of
// ARGV[4] in all. It returns how many were granted and how many processes share
// them. ARGV[5] is the life in milliseconds.
var hold = redis.NewScript(`
local now = redis.call('TIME')
local millis = now[1] * 1000 + math.floor(now[2] / 1000)
local mine, others, holders = tonumber(ARGV[2]), 0, 1
local all = redis.call('HGETALL', KEYS[1])
for i = 1, #all, 2 do
	if all[i] ~= ARGV[1] then
		local n, ends = string.match(all[i + 1], '(%d+):(%d+)')
		if tonumber(ends) <= millis then
			redis.call('HDEL', KEYS[1], all[i])
		else
			others, holders = others + tonumber(n), holders + 1
		end
	end
end
local grant = math.max(0, math.min(tonumber(ARGV[3]), tonumber(ARGV[4]) - others - mine))
redis.call('HSET', KEYS[1], ARGV[1], string.format('%d:%d', mine + grant, millis + ARGV[5]))
redis.call('PEXPIRE', KEYS[1], ARGV[5] * 2)
return {grant, holders}`)

func slotKey(key string) string { return "jatak:{slots}:" + key }

// AcquireSome asks for n places, when all processes together may hold most. It
// returns how many there were.
func (s *Slots) AcquireSome(ctx context.Context, key string, n, most int) (int, error) {
	select {
	case s.asking <- struct{}{}:
	case <-ctx.Done():
		return 0, fmt.Errorf("ask for a place with %s: %w", key, ctx.Err())
	}
	defer func() { <-s.asking }()
	granted, err := s.ask(ctx, key, n, most)
	if err != nil {
		return 0, fmt.Errorf("ask for a place with %s: %w", key, err)
	}
	return granted, nil
}

// ask tells Redis what is held under a key and asks for more. The caller is the one
// that is asking.
func (s *Slots) ask(ctx context.Context, key string, n, most int) (granted int, err error) {
	s.mu.Lock()
	h := s.held[key]
	if h == nil {
		h = &holding{holders: 1}
		s.held[key] = h
	}
	mine := h.n
	s.mu.Unlock()
	answer, err := hold.Run(ctx, s.redis, []string{slotKey(key)}, s.holder, mine, n, most, s.life.Milliseconds()).Int64Slice()
	if err != nil {
		return 0, err
	}
	granted = int(answer[0])
	s.mu.Lock()
	defer s.mu.Unlock()
	h.n += granted
	h.told, h.at, h.holders = mine+granted, time.Now(), int(answer[1])
	return granted, nil
}

// Acquire asks for one place.
func (s *Slots) Acquire(ctx context.Context, key string, most int) (bool, error) {
	n, err := s.AcquireSome(ctx, key, 1, most)
	return n == 1, err
}

// Release gives a place back.
func (s *Slots) Release(key string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if h := s.held[key]; h != nil && h.n > 0 {
		h.n--
	}
}

// Share returns how many of most places this process should keep, when others
// want some too.
func (s *Slots) Share(key string, most int) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	h := s.held[key]
	if h == nil || h.holders <= 1 {
		return most
	}
	return (most + h.holders - 1) / h.holders
}

// Run tells Redis what is held until the context is done, and then that nothing
// is.
func (s *Slots) Run(ctx context.Context) {
	tick := time.NewTicker(slotBeat)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			s.leave()
			return
		case <-tick.C:
			s.tell(ctx)
		}
	}
}

// tell writes what has changed, and what would soon be forgotten.
func (s *Slots) tell(ctx context.Context) {
	s.asking <- struct{}{} // who holds it has a deadline
	defer func() { <-s.asking }()
	for _, key := range s.untold() {
		asking, cancel := context.WithTimeout(ctx, s.life/3)
		_, err := s.ask(asking, key, 0, 0)
		cancel()
		if err != nil {
			if ctx.Err() == nil {
				s.log.Debug("the places held could not be told", "key", key, "error", err)
			}
			return
		}
	}
}

func (s *Slots) untold() (keys []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for key, h := range s.held {
		if h.n < h.told || h.n > 0 && time.Since(h.at) > s.life/3 {
			keys = append(keys, key)
		}
	}
	return keys
}

// leave gives all places back.
func (s *Slots) leave() {
	s.mu.Lock()
	defer s.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	for key := range s.held {
		_ = s.redis.HDel(ctx, slotKey(key), s.holder).Err() // it expires by itself
	}
}
