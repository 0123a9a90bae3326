package pace_test

import (
	"bytes"
	"context"
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

// Whoever is first in rank and finds too little goes before the others, in that
// bucket and for as long as it asks.
func TestTakeInTurn(t *testing.T) {
	t.Parallel()
	client, _ := queuetest.New(t)
	l := pace.New(client, slog.New(slog.DiscardHandler))
	shared, own := pace.Bucket{Key: "{t}:shared", Rate: 50, Burst: 5}, pace.Bucket{Key: "{t}:own", Rate: 0.1, Burst: 2}
	take := func(rank, n int, buckets ...pace.Bucket) int {
		t.Helper()
		granted, _, err := l.TakeInTurn(t.Context(), rank, n, buckets...)
		if err != nil {
			t.Fatal(err)
		}
		return granted
	}
	if n := take(1, 3, shared); n != 3 {
		t.Errorf("without haste %d of 3", n)
	}
	if n := take(0, 100, shared); n < 2 || n > 5 {
		t.Errorf("the first in rank gets %d", n)
	}
	begun := time.Now()
	first, behind, after := 0, 0, 0
	for time.Since(begun) < 500*time.Millisecond {
		behind += take(1, 1, shared)
		first += take(0, 100, shared)
	}
	if behind > 0 || first < 15 {
		t.Errorf("while the first in rank is short it got %d, and those behind %d", first, behind)
	}
	for last := time.Now(); after == 0 && time.Since(last) < 5*time.Second; {
		after = take(2, 1, shared)
	}
	if after == 0 {
		t.Error("those behind get nothing after the first in rank has ended")
	}
	// One that is held up by a pace of its own holds nobody up at the shared one.
	if n := take(0, 5, shared, own); n != 2 {
		t.Errorf("its own pace gives %d", n)
	}
	if n := take(1, 1, shared); n != 1 {
		t.Errorf("those behind get %d while the first waits for a pace of its own", n)
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

func TestGiveBack(t *testing.T) {
	t.Parallel()
	client, _ := queuetest.New(t)
	l := pace.New(client, slog.New(slog.DiscardHandler))
	b := pace.Bucket{Key: "{t}:back", Rate: 0.01, Burst: 10}
	for range 5 { // what is given back can be taken again, and never more
		if n, _, err := l.Take(t.Context(), 10, b); n != 10 || err != nil {
			t.Fatalf("%d of 10, %v", n, err)
		}
		if err := l.GiveBack(t.Context(), 10, b); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.GiveBack(t.Context(), 1000, b); err != nil {
		t.Fatal(err)
	}
	if n, _, err := l.Take(t.Context(), 100, b); n != 10 || err != nil {
		t.Errorf("after too much was given back %d are granted, %v", n, err)
	}
}

func TestSlowDownHalvesOnceAtATime(t *testing.T) {
	t.Parallel()
	client, _ := queuetest.New(t)
	l, other := pace.New(client, slog.New(slog.DiscardHandler)), pace.New(client, slog.New(slog.DiscardHandler))
	rate, changed, err := l.SlowDown(t.Context(), "outlook", 80)
	if rate != 40 || !changed || err != nil {
		t.Errorf("slowed from 80 to %v, %v, %v", rate, changed, err)
	}
	rate, changed, err = other.SlowDown(t.Context(), "outlook", 300)
	if rate < 40 || rate > 45 || changed || err != nil {
		t.Errorf("another worker's voice at the same time: %v, %v, %v", rate, changed, err)
	}
	slow, err := other.Slowed(t.Context())
	if len(slow) != 1 || slow["outlook"] < 40 || slow["outlook"] > 45 || err != nil {
		t.Errorf("slowed down are %v, %v", slow, err)
	}
	// What had been slowed down long ago has recovered.
	if err := client.HSet(t.Context(), "jatak:{pace}:slow", "gmail", "10:1000000:20").Err(); err != nil {
		t.Fatal(err)
	}
	if slow, err = l.Slowed(t.Context()); len(slow) != 1 || err != nil {
		t.Errorf("slowed down are %v, %v", slow, err)
	}
	if rate, changed, err = l.SlowDown(t.Context(), "icloud", 0); rate <= 0 || rate > 0.1 || !changed || err != nil {
		t.Errorf("a rate of none is slowed to %v, %v, %v", rate, changed, err)
	}
}

func TestSlotsAreShared(t *testing.T) {
	t.Parallel()
	client, _ := queuetest.New(t)
	log := slog.New(slog.DiscardHandler)
	ctx, cancel := context.WithCancel(t.Context())
	a, b := pace.NewSlots(client, "a", 3*time.Second, log), pace.NewSlots(client, "b", 3*time.Second, log)
	var running sync.WaitGroup
	running.Go(func() { a.Run(ctx) })
	bCtx, endB := context.WithCancel(t.Context())
	running.Go(func() { b.Run(bCtx) })
	t.Cleanup(func() { cancel(); endB(); running.Wait() })

	if n, err := a.AcquireSome(t.Context(), "relay", 8, 5); n != 5 || err != nil {
		t.Fatalf("a has %d of 5, %v", n, err)
	}
	if ok, err := b.Acquire(t.Context(), "relay", 5); ok || err != nil {
		t.Errorf("b got a sixth of five: %v", err)
	}
	// b has shown that it wants some: a hears of it, and gives the half.
	await(t, func() bool { _, _ = a.AcquireSome(t.Context(), "relay", 0, 5); return a.Share("relay", 5) == 3 })
	a.Release("relay")
	a.Release("relay")
	await(t, func() bool { ok, err := b.Acquire(t.Context(), "relay", 5); return ok && err == nil })
	// An emptied Redis is told anew, and grants no more than there are.
	if err := client.FlushAll(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	if n, err := a.AcquireSome(t.Context(), "relay", 0, 5); n != 0 || err != nil {
		t.Fatal(n, err)
	}
	if n, err := b.AcquireSome(t.Context(), "relay", 5, 5); n != 1 || err != nil {
		t.Errorf("b has got %d more, want 1, %v", n, err)
	}
	// Who leaves in good order leaves all places.
	endB()
	await(t, func() bool { n, err := a.AcquireSome(t.Context(), "relay", 2, 5); return n == 2 && err == nil })
}

// await waits until so.
func await(t *testing.T, so func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !so(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("waited too long")
		}
	}
}

// Processes count together, and what was long ago weighs less.
func TestCount(t *testing.T) {
	t.Parallel()
	client, _ := queuetest.New(t)
	for n, want := range []pace.Tally{{Good: 3, Bad: 1}, {Good: 6, Bad: 2}, {Good: 9, Bad: 3}, {Good: 7, Bad: 2}} {
		// Each time another process; the third reaches the most, and the fourth finds half.
		got, err := pace.New(client, slog.New(slog.DiscardHandler)).Count(t.Context(), "x", pace.Tally{Good: 3, Bad: 1}, 12)
		if err != nil || got != want {
			t.Errorf("count %d: %+v, want %+v, %v", n, got, want, err)
		}
	}
}
