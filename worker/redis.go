package worker

import (
	"context"
	"time"
)

const (
	// redisBeat is how often it is tried whether Redis takes what is written.
	redisBeat = time.Second
	redisKey  = "jatak:{beat}"
)

// keepTryingRedis tells once that Redis cannot be used, because it is away, full or
// a replica, and once that it can again. Nothing else rests on it.
func (w *Worker) keepTryingRedis(ctx context.Context) {
	tick := time.NewTicker(redisBeat)
	defer tick.Stop()
	var without time.Time // since when; zero when it can be used
	for {
		trying, cancel := context.WithTimeout(ctx, 5*redisBeat)
		err := w.Redis.Set(trying, redisKey, "", time.Minute).Err()
		cancel()
		switch {
		case ctx.Err() != nil:
			return
		case err != nil && without.IsZero():
			without = time.Now()
			w.Log.Warn("Redis cannot be used: bells and limits wait for it", "error", err)
		case err == nil && !without.IsZero():
			w.Log.Info("Redis can be used again", "after", time.Since(without).Round(time.Millisecond))
			without = time.Time{}
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}
