package pace_test

import (
	"bytes"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/jatak-mail/jatak/internal/pace"
	"github.com/jatak-mail/jatak/internal/queue/queuetest"
)

func TestTake(t *testing.T) {
	t.Parallel()
	client, _ := queuetest.New(t)
	l := pace.New(client, slog.New(slog.DiscardHandler))
	slow, fast := pace.Bucket{Key: "{t}:slow", Rate: 0.1, Burst: 5}, pace.Bucket{Key: "{t}:fast", Rate: 100, Burst: 50}
	if n, _, err := l.Take(t.Context(), 3); n != 3 || err != nil {
		t.Errorf("without a limit %d of 3, %v", n, err)
	}
	if n, _, err := l.Take(t.Context(), 8, slow, fast); n != 5 || err != nil {
		t.Errorf("the tightest bucket gives %d of 8, %v", n, err)
	}
	n, wait, err := l.Take(t.Context(), 1, slow, fast)
	if n != 0 || err != nil || wait < 9*time.Second || wait > 10*time.Second {
		t.Errorf("an empty bucket gives %d, wait %v, %v", n, wait, err)
	}
	if n, _, err := l.Take(t.Context(), 45, fast); n != 45 || err != nil {
		t.Errorf("what the empty bucket refused was taken from the other: %d of 45, %v", n, err)
	}
}

// Many who ask at once share a limit exactly.
func TestTakeIsShared(t *testing.T) {
	t.Parallel()
	client, _ := queuetest.New(t)
	var granted atomic.Int64
	var all sync.WaitGroup
	for range 8 {
		l := pace.New(client, slog.New(slog.DiscardHandler))
		all.Go(func() {
			for range 20 {
				n, _, err := l.Take(t.Context(), 3, pace.Bucket{Key: "{t}:one", Rate: 0.001, Burst: 100})
				if err != nil {
					t.Error(err)
				}
				granted.Add(int64(n))
			}
		})
	}
	all.Wait()
	if n := granted.Load(); n != 100 {
		t.Errorf("%d were granted of 100", n)
	}
}

func TestAllowWithoutRedis(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	client := redis.NewClient(&redis.Options{Addr: "127.0.0.1:1", MaxRetries: -1})
	t.Cleanup(func() { _ = client.Close() })
	l := pace.New(client, slog.New(slog.NewTextHandler(&log, nil)))
	begun := time.Now()
	for range 50 {
		if ok, _ := l.Allow(t.Context(), pace.Bucket{Key: "{t}:x", Rate: 0.001, Burst: 1}); !ok {
			t.Fatal("a Redis that is away closes the door")
		}
	}
	if took := time.Since(begun); took > 5*time.Second || strings.Count(log.String(), "while Redis is away") != 1 {
		t.Errorf("50 questions took %v and said: %s", took, log.String())
	}
}
