package worker_test

import (
	"strings"
	"testing"
	"time"

	"github.com/jatak-mail/jatak/internal/campaign"
	"github.com/jatak-mail/jatak/internal/mailer/mailertest"
	"github.com/jatak-mail/jatak/internal/postgres/postgrestest"
	"github.com/jatak-mail/jatak/worker"
)

// longLease is longer than any test: what comes back does not by a lapsed lease.
const longLease = 10 * time.Minute

// gated is a sink that answers no final dot until the gate is opened.
func gated(t *testing.T, gate chan struct{}) *mailertest.Sink {
	t.Helper()
	return mailertest.New(t, func(at, _ string) *mailertest.Do {
		if at == "DOT" {
			return &mailertest.Do{Wait: gate}
		}
		return nil
	})
}

// triedOnce holds the ledger to one attempt at each mail, and no doubt.
func (h *house) triedOnce(id campaign.ID) {
	h.t.Helper()
	for address, tries := range h.tries(id) {
		if tries != (postgrestest.Tries{Attempts: 1}) {
			h.t.Errorf("%s: %+v, want one attempt and no doubt", address, tries)
		}
	}
}

// Claims are committed whose answers never arrive, or that arrive themselves after
// the connection broke. Their rows are given back, and sent once.
func TestFaultAnswerToAClaimIsLost(t *testing.T) {
	t.Parallel()
	for name, lost := range map[string]fate{"the answer": unanswered, "the connection before": late} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			const contacts = 300
			h := newHouse(t, contacts)
			gate := make(chan struct{})
			sink := gated(t, gate)
			_, behind := newWire(t, h.url, func(claim int) fate {
				if claim < 12 && claim%3 == 1 {
					return lost
				}
				return arrives
			})
			h.start(sink.URL("max_conns=2"), func(o *worker.Options) { o.Store, o.Lease, o.BellPatience = behind, longLease, 300*time.Millisecond })
			id := h.launch()
			h.says("the answer to a claim was lost: its mails are given back")
			close(gate)
			if books := h.finished(id); books.Sent != contacts {
				t.Errorf("books %+v", books)
			}
			once(t, sink, contacts)
			h.triedOnce(id)
		})
	}
}

// Rows that cannot be given back at once are when the database has room again.
func TestFaultClaimsCannotBeGivenBack(t *testing.T) {
	t.Parallel()
	const contacts = 100
	h := newHouse(t, contacts)
	gate := make(chan struct{})
	sink := gated(t, gate)
	h.start(sink.URL("max_conns=1"), func(o *worker.Options) { o.Lease, o.ChunkSize = longLease, 20 })
	id := h.launch()
	h.await(id, "a full window", func(_ campaign.Campaign, r campaign.Report) bool { return r.Sending == 8 })
	makeRoom := postgrestest.FillDisk(t, h.url, "UPDATE", "delivery", postgrestest.WhenGivenBack)
	if err := h.db.Pause(t.Context(), id, "lunch"); err != nil {
		t.Fatal(err)
	}
	h.says("claims could not be given back yet; trying again")
	makeRoom()
	h.await(id, "claims to be given back", func(_ campaign.Campaign, r campaign.Report) bool { return r.Sending <= 2 })
	close(gate)
	if err := h.db.Resume(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	if books := h.finished(id); books.Sent != contacts {
		t.Errorf("books %+v", books)
	}
	once(t, sink, contacts)
	h.triedOnce(id)
}

// The database's disk is full while rows are claimed, or while outcomes are
// recorded: sending waits, and goes on by itself.
func TestFaultDiskFullWhileSending(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct{ when, says, back string }{
		"claiming":  {postgrestest.WhenClaimed, "task failed; it will be tried again", "campaign finished"},
		"recording": {postgrestest.WhenRecorded, "outcomes could not be kept yet; trying again", "outcomes are kept again"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			const contacts = 300
			h := newHouse(t, contacts)
			sink := mailertest.New(t, nil)
			h.start(sink.URL("max_conns=2"), func(o *worker.Options) { o.Lease, o.BellPatience = longLease, 300*time.Millisecond })
			id := h.launchPaced(200)
			h.await(id, "some mails", func(_ campaign.Campaign, r campaign.Report) bool { return r.Sent > 30 })
			makeRoom := postgrestest.FillDisk(t, h.url, "UPDATE", "delivery", test.when)
			h.says(test.says)
			if !strings.Contains(h.log.String(), "No space left on device") {
				t.Errorf("the log does not say why:\n%s", h.log.String())
			}
			if books := h.await(id, "the books", func(_ campaign.Campaign, r campaign.Report) bool { return true }); books.Sending > 8 {
				t.Errorf("%d rows are claimed, and the window holds 8", books.Sending)
			}
			makeRoom()
			if books := h.finished(id); books.Sent != contacts {
				t.Errorf("books %+v", books)
			}
			h.says(test.back)
			once(t, sink, contacts)
			h.triedOnce(id)
		})
	}
}

// A database that is away does not hold a worker that is told to stop. What it could
// not keep is in doubt for the next.
func TestFaultTermWithPostgresAway(t *testing.T) {
	t.Parallel()
	const contacts = 100
	h := newHouse(t, contacts)
	gate := make(chan struct{})
	sink := gated(t, gate)
	wire, behind := newWire(t, h.url, func(int) fate { return arrives })
	stop := h.start(sink.URL("max_conns=2"), func(o *worker.Options) { o.Store, o.Grace, o.ChunkSize = behind, 500*time.Millisecond, 20 })
	id := h.launch()
	h.await(id, "a full window", func(_ campaign.Campaign, r campaign.Report) bool { return r.Sending == 8 })
	wire.breakOff()
	close(gate)
	h.says("outcomes could not be kept yet; trying again")
	told := time.Now()
	stop()
	// The grace, the last word, and much for a machine that is busy.
	if took := time.Since(told); took > 25*time.Second {
		t.Errorf("the worker took %s to stop", took)
	}
	h.says("outcomes could not be kept; their mails are in doubt")
	h.start(sink.URL("max_conns=2"), nil)
	if books := h.finished(id); books.Sent != contacts {
		t.Errorf("books %+v", books)
	}
	h.doubledOnlyInDoubt(id, contacts, 8, sink)
}
