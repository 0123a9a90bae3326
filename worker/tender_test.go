package worker_test

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hibiken/asynq"

	"github.com/jatak-mail/jatak/internal/campaign"
	"github.com/jatak-mail/jatak/internal/contact"
	"github.com/jatak-mail/jatak/internal/mailer/mailertest"
	"github.com/jatak-mail/jatak/worker"
)

// bells are how many tasks to send are in the queues.
func (h *house) bells() (n int) {
	h.t.Helper()
	inspector := asynq.NewInspectorFromRedisClient(h.redis)
	names, err := inspector.Queues()
	if err != nil {
		h.t.Fatal(err)
	}
	for _, name := range names {
		if !strings.HasPrefix(name, "send") {
			continue
		}
		q, err := inspector.GetQueueInfo(name)
		if err != nil {
			h.t.Fatal(err)
		}
		n += q.Size
	}
	return n
}

// A campaign with a pace neither fills the queue nor holds up one without.
func TestPacedCampaignHoldsNobodyUp(t *testing.T) {
	t.Parallel()
	h := newHouse(t, 400)
	sink := mailertest.New(t, nil)
	h.start(sink.URL("max_conns=4"), func(o *worker.Options) { o.ChunkSize, o.Window = 10, 64 })
	paced := h.launchPaced(5)
	h.await(paced, "the plan, and a few mails", func(c campaign.Campaign, b campaign.Report) bool {
		return c.State == campaign.StateSending && b.Sent > 10
	})
	if n := h.bells(); n > 2*40 {
		t.Errorf("%d bells are in the queue for 40 batches", n)
	}
	free := h.launch()
	h.await(free, "the end", func(c campaign.Campaign, _ campaign.Report) bool { return c.State == campaign.StateFinished })
	if c, err := h.db.Campaign(t.Context(), paced); err != nil || c.State.Ended() {
		t.Errorf("the paced campaign is %s before the other, %v", c.State, err)
	}
	if err := h.db.SetPace(t.Context(), paced, 0); err != nil {
		t.Fatal(err)
	}
	if books := h.finished(paced); books.Sent != 400 {
		t.Errorf("books %+v", books)
	}
	for deadline := time.Now().Add(20 * time.Second); h.bells() > 0; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d bells are left", h.bells())
		}
	}
}

// Campaigns that wait for their pace hold no task: one more, without a pace, goes
// out at once, however many they are.
func TestManyPacedCampaignsHoldNobodyUp(t *testing.T) {
	t.Parallel()
	const contacts = 200
	h := newHouse(t, contacts)
	sink := mailertest.New(t, nil)
	h.start(sink.URL("max_conns=4"), func(o *worker.Options) { o.ChunkSize, o.Window = 20, 64 })
	var paced []campaign.ID
	for range 6 {
		paced = append(paced, h.launchPaced(2))
	}
	for _, id := range paced {
		h.await(id, "the plan, and a first mail", func(c campaign.Campaign, b campaign.Report) bool {
			return c.State == campaign.StateSending && b.Sent > 0
		})
	}
	launched := time.Now()
	if books := h.finished(h.launch()); books.Sent != contacts {
		t.Errorf("books %+v", books)
	}
	// A second, and much for a machine that is busy.
	if took := time.Since(launched); took > 8*time.Second {
		t.Errorf("the campaign without a pace took %s", took)
	}
	for _, id := range paced {
		if c, err := h.db.Campaign(t.Context(), id); err != nil || c.State.Ended() {
			t.Errorf("a paced campaign is %s, %v", c.State, err)
		}
	}
}

// An urgent campaign goes before all others where they share a pace, at every worker.
func TestUrgentCampaignHasTheSharedPaceToItself(t *testing.T) {
	t.Parallel()
	const contacts, perSecond = 120, 40
	h := newHouse(t, contacts)
	if err := h.db.Set(t.Context(), contact.SettingSendPace, fmt.Sprint(perSecond, "/s"), "test", time.Now()); err != nil {
		t.Fatal(err)
	}
	sink := mailertest.New(t, nil)
	for range 2 {
		h.start(sink.URL("max_conns=2"), func(o *worker.Options) { o.ChunkSize, o.Window = 40, 64 })
	}
	var others []campaign.ID
	for range 6 {
		others = append(others, h.launch())
	}
	sent := func() (n int64) {
		t.Helper()
		for _, id := range others {
			books, err := h.db.Books(t.Context(), id)
			if err != nil {
				t.Fatal(err)
			}
			n += books.Sent
		}
		return n
	}
	h.await(others[5], "a first mail of the last", func(_ campaign.Campaign, b campaign.Report) bool { return b.Sent > 0 })
	urgent := h.draft()
	if err := h.db.SetPriority(t.Context(), urgent, campaign.PriorityHigh); err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	if err := h.db.Launch(t.Context(), urgent, campaign.Override{}, now); err != nil {
		t.Fatal(err)
	}
	if err := h.bell.RingPlan(t.Context(), urgent, now); err != nil {
		t.Fatal(err)
	}
	h.await(urgent, "a first mail", func(_ campaign.Campaign, b campaign.Report) bool { return b.Sent > 0 })
	before := sent()
	if books := h.finished(urgent); books.Sent != contacts {
		t.Errorf("books %+v", books)
	}
	// What was claimed already, and what the pace gave while a worker had nothing to ask for.
	if n := sent() - before; n > contacts/4 {
		t.Errorf("%d mails of the others left while the urgent campaign's %d did", n, contacts)
	}
}

// Campaigns with mail for one limited destination take turns, and one that becomes
// urgent meanwhile goes first.
func TestCampaignsTakeTurnsAtLimitedDestination(t *testing.T) {
	t.Parallel()
	h := newHouse(t, 0)
	h.bringTo("slow.example", 120)
	limit := campaign.Limit{Kind: campaign.DestinationLimit, Name: "slow.example", PerSecond: 20}
	if err := h.db.SetLimit(t.Context(), limit, "test", time.Now()); err != nil {
		t.Fatal(err)
	}
	sink := mailertest.New(t, nil)
	h.start(sink.URL("max_conns=2"), func(o *worker.Options) { o.ChunkSize = 200 })
	first := h.launch()
	h.await(first, "some mails", func(_ campaign.Campaign, b campaign.Report) bool { return b.Sent > 2 })
	second := h.launch()
	h.await(second, "its turn", func(_ campaign.Campaign, b campaign.Report) bool { return b.Sent > 0 })
	if c, err := h.db.Campaign(t.Context(), first); err != nil || c.State.Ended() {
		t.Errorf("the first campaign is %s before the second had a turn, %v", c.State, err)
	}
	if err := h.db.SetPriority(t.Context(), second, campaign.PriorityHigh); err != nil {
		t.Fatal(err)
	}
	if books := h.finished(second); books.Sent != 120 {
		t.Errorf("books %+v", books)
	}
	if c, err := h.db.Campaign(t.Context(), first); err != nil || c.State.Ended() {
		t.Errorf("the first campaign is %s before the urgent one, %v", c.State, err)
	}
	if books := h.finished(first); books.Sent != 120 {
		t.Errorf("books %+v", books)
	}
}

// Mails that a relay puts off hold up nobody whom it was not asked about yet, however
// slowly it answers.
func TestWhatIsPutOffHoldsNobodyUp(t *testing.T) {
	t.Parallel()
	const each = 25 // more than a visit has time for
	h := newHouse(t, 0)
	for i := range 2 * each {
		h.bringTo(fmt.Sprintf("d%d.example", i), 1) // not one domain, that would be slowed down to
	}
	var arrived atomic.Int64
	sink := mailertest.New(t, func(at, to string) *mailertest.Do {
		if at != "RCPT" {
			return nil
		}
		passed := mailertest.After(100 * time.Millisecond)
		var n int
		if _, err := fmt.Sscanf(to, "s0@d%d.example", &n); err != nil {
			t.Error(err)
		}
		if n < each && arrived.Load() < each {
			return &mailertest.Do{Wait: passed, Reply: "450 4.2.0 later"}
		}
		if n >= each {
			arrived.Add(1)
		}
		return &mailertest.Do{Wait: passed}
	})
	h.start(sink.URL("max_conns=1"), func(o *worker.Options) { o.RetryBase, o.MaxAttempts, o.Tasks = time.Millisecond, 5, 1 })
	if books := h.finished(h.launch()); books.Sent != 2*each {
		t.Errorf("books %+v, want %d sent", books, 2*each)
	}
}
