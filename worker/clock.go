package worker

import (
	"sync/atomic"
	"time"
)

// clock is the database's, as far as a worker knows it: what was read last, and how
// long ago. All workers go by it, so that one whose machine has the wrong time, or
// changes it, decides and books as the others do.
type clock struct {
	machine func() time.Time // until the database's is known
	last    atomic.Pointer[reading]
}

// reading is a time that the database told, and when it was heard.
type reading struct{ told, heard time.Time }

// latestReading is how long an answer with a time in it may take to count, when
// there is one already.
const latestReading = time.Second

// set takes the time in an answer that took so long.
func (c *clock) set(told time.Time, took time.Duration) {
	if took < latestReading || c.last.Load() == nil {
		c.last.Store(&reading{told, time.Now()})
	}
}

func (c *clock) now() time.Time {
	if r := c.last.Load(); r != nil {
		return r.told.Add(time.Since(r.heard)) // which no change of the machine's clock touches
	}
	return c.machine()
}
