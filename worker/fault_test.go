package worker_test

import (
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jatak-mail/jatak/gating"
	"github.com/jatak-mail/jatak/internal/campaign"
	"github.com/jatak-mail/jatak/internal/mailer/mailertest"
	"github.com/jatak-mail/jatak/worker"
)

// Two workers' clocks differ by minutes, and one of them jumps an hour forward
// and back: neither takes the other's mails, and nothing waits for an hour.
func TestFaultClocksDifferAndJump(t *testing.T) {
	t.Parallel()
	const contacts = 2000
	h := newHouse(t, contacts)
	var mu sync.Mutex
	seen := map[string]bool{}
	sink := mailertest.New(t, func(at, to string) *mailertest.Do {
		mu.Lock()
		defer mu.Unlock()
		first := !seen[to]
		seen[to] = true
		if at == "RCPT" && first && to[1] == '7' {
			return &mailertest.Do{Reply: "451 4.7.1 greylisted"}
		}
		return nil
	})
	var ahead atomic.Int64
	slow := func(o *worker.Options) {
		o.Now = func() time.Time { return time.Now().Add(-5 * time.Minute).Round(0) }
	}
	jumping := func(o *worker.Options) {
		o.Now = func() time.Time { return time.Now().Add(time.Duration(ahead.Load())).Round(0) }
	}
	h.start(sink.URL("max_conns=4"), slow)
	h.start(sink.URL("max_conns=4"), jumping)
	id := h.launch()
	for n, jump := range []time.Duration{time.Hour, 0, -time.Hour, 0, time.Hour, 0} {
		h.await(id, "some mails", func(_ campaign.Campaign, r campaign.Report) bool { return r.Sent >= int64(n*contacts/8) })
		ahead.Store(int64(jump))
	}
	if books := h.finished(id); books.Sent != contacts {
		t.Errorf("books %+v", books)
	}
	once(t, sink, contacts)
}

// Many sweeps at once put the mails of a dead worker in doubt once, and ring
// once.
func TestFaultSweepsAtOnce(t *testing.T) {
	t.Parallel()
	h := newHouse(t, 50)
	id := h.draft()
	if err := h.db.Launch(t.Context(), id, campaign.Override{}, time.Now()); err != nil {
		t.Fatal(err)
	}
	if _, _, err := h.db.PlanChunk(t.Context(), id, 50, time.Now(), gating.Decide); err != nil {
		t.Fatal(err)
	}
	dead, err := h.db.StartWorker(t.Context(), "dead", time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	c, err := h.db.Campaign(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	_, claimed, err := h.db.Claim(t.Context(), campaign.ClaimRequest{Worker: dead, Campaign: id, Batch: 1, Limit: 20, Now: time.Now(), Class: c.Class})
	if err != nil || len(claimed) != 20 {
		t.Fatal(len(claimed), err)
	}
	if err := h.db.StopWorker(t.Context(), dead); err != nil {
		t.Fatal(err)
	}
	begin := make(chan struct{})
	var inDoubt, bells, ran atomic.Int64
	var sweeps sync.WaitGroup
	for range 8 {
		sweeps.Go(func() {
			<-begin
			found, did, err := h.db.Sweep(t.Context(), true, time.Now(), 0, 10)
			if err != nil {
				t.Error(err)
			}
			if did {
				ran.Add(1)
			}
			inDoubt.Add(found.InDoubt)
			bells.Add(int64(len(found.Batches)))
		})
	}
	close(begin)
	sweeps.Wait()
	if inDoubt.Load() != 20 || ran.Load() == 0 || bells.Load() != ran.Load() {
		t.Errorf("%d in doubt and %d bells by %d sweeps, want 20 and one bell for each that ran", inDoubt.Load(), bells.Load(), ran.Load())
	}
}
