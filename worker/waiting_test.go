package worker_test

import (
	"strings"
	"testing"
	"time"

	"github.com/hibiken/asynq"

	"github.com/jatak-mail/jatak/internal/campaign"
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
