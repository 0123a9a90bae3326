package pace

import (
	"context"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"
)

// Tally counts two kinds of things that all processes see together.
type Tally struct{ Good, Bad int }

// All is how many there are of both.
func (t Tally) All() int { return t.Good + t.Bad }

// Add returns a tally with another one; what reaches most is halved, so that what was
// long ago weighs less.
func (t Tally) Add(other Tally, most int) Tally {
	t.Good, t.Bad = t.Good+other.Good, t.Bad+other.Bad
	if t.All() >= most {
		t.Good, t.Bad = t.Good/2, t.Bad/2
	}
	return t
}

// tallyLife is how long a tally is kept that nobody adds to.
const tallyLife = 24 * time.Hour

// addToTally adds ARGV[1] good and ARGV[2] bad ones as Add does, with ARGV[3] as most,
// and returns all of them.
var addToTally = redis.NewScript(`
local good = redis.call('HINCRBY', KEYS[1], 'good', ARGV[1])
local bad = redis.call('HINCRBY', KEYS[1], 'bad', ARGV[2])
if good + bad >= tonumber(ARGV[3]) then
	redis.call('HSET', KEYS[1], 'good', math.floor(good / 2), 'bad', math.floor(bad / 2))
end
redis.call('PEXPIRE', KEYS[1], ARGV[4])
return {good, bad}`)

// Count adds to the tally of a name, and returns it. One that has reached most is
// halved for the next.
func (l *Limiter) Count(ctx context.Context, name string, add Tally, most int) (Tally, error) {
	answer, err := addToTally.Run(ctx, l.redis, []string{"jatak:{tally}:" + name}, add.Good, add.Bad, most, tallyLife.Milliseconds()).Int64Slice()
	if err != nil {
		return Tally{}, fmt.Errorf("count: %w", err)
	}
	return Tally{int(answer[0]), int(answer[1])}, nil
}
