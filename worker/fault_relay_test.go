package worker_test

import (
	"strings"
	"testing"
	"time"

	"github.com/jatak-mail/jatak/internal/campaign"
	"github.com/jatak-mail/jatak/internal/mailer/mailertest"
	"github.com/jatak-mail/jatak/worker"
)

// doubledOnlyInDoubt holds sinks to everybody having a mail, all copies of one the
// same Message-ID, and the ledger to know of each copy that may have been too many.
func (h *house) doubledOnlyInDoubt(id campaign.ID, contacts, most int, sinks ...*mailertest.Sink) {
	h.t.Helper()
	copies, ids := map[string]int{}, map[string]string{}
	for _, sink := range sinks {
		for _, m := range sink.Messages() {
			copies[m.To]++
			if before := ids[m.To]; before != "" && before != m.ID {
				h.t.Errorf("the mails to %s have different Message-IDs", m.To)
			}
			ids[m.To] = m.ID
		}
	}
	tries := h.tries(id)
	doubled := 0
	for n := range contacts {
		to := address(n)
		if copies[to] == 0 {
			h.t.Errorf("%s was lost", to)
			continue
		}
		doubled += copies[to] - 1
		if copies[to]-1 > tries[to].Doubts {
			h.t.Errorf("%s got %d mails, and the ledger has %d doubts", to, copies[to], tries[to].Doubts)
		}
	}
	if len(copies) != contacts || doubled > most {
		h.t.Errorf("%d people got mail, want %d; %d mails were doubled, at most %d may be", len(copies), contacts, doubled, most)
	}
}

// A relay that takes a second for each reply costs time only: the lease is renewed
// meanwhile, and nothing is given up.
func TestFaultRelayIsSlow(t *testing.T) {
	t.Parallel()
	const contacts = 8
	h := newHouse(t, contacts)
	sink := mailertest.New(t, func(string, string) *mailertest.Do {
		return &mailertest.Do{Wait: mailertest.After(time.Second)}
	})
	h.start(sink.URL("max_conns=8"), nil) // a mail takes longer than the lease
	id := h.launch()
	if books := h.finished(id); books.Sent != contacts {
		t.Errorf("books %+v", books)
	}
	once(t, sink, contacts)
	h.triedOnce(id)
	if strings.Contains(h.log.String(), "cannot be reached") {
		t.Errorf("a slow relay is told to be away:\n%s", h.log.String())
	}
}

// A relay ends in the middle of a campaign. The other takes its mails, and it gets
// its part again if it comes back.
func TestFaultRelayEnds(t *testing.T) {
	t.Parallel()
	for name, comesBack := range map[string]bool{"for good": false, "and comes back": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			const contacts, connections = 1000, 2
			h := newHouse(t, contacts)
			ends, stays := mailertest.New(t, nil), mailertest.New(t, nil)
			sinks := []*mailertest.Sink{ends, stays}
			h.start(ends.URL("max_conns=2", "weight=1")+","+stays.URL("max_conns=2", "weight=1"), func(o *worker.Options) { o.Window = 32 })
			id := h.launchPaced(100)
			h.await(id, "mails by both", func(campaign.Campaign, campaign.Report) bool {
				return len(ends.Messages()) > 30 && len(stays.Messages()) > 30
			})
			ends.Close()
			before := len(stays.Messages())
			h.says("a relay cannot be reached")
			h.await(id, "mails by the other", func(campaign.Campaign, campaign.Report) bool { return len(stays.Messages()) > before+50 })
			if comesBack {
				back := mailertest.NewAt(t, ends.Addr(), nil)
				sinks = append(sinks, back)
				h.says("the relay can be reached again")
				h.await(id, "mails by the relay that is back", func(campaign.Campaign, campaign.Report) bool { return len(back.Messages()) > 10 })
			}
			if err := h.db.SetPace(t.Context(), id, 0); err != nil {
				t.Fatal(err)
			}
			if books := h.finished(id); books.Sent != contacts {
				t.Errorf("books %+v", books)
			}
			h.doubledOnlyInDoubt(id, contacts, connections, sinks...)
			if !strings.Contains(h.log.String(), "relay="+ends.Addr()) || strings.Contains(h.log.String(), "relay="+stays.Addr()) {
				t.Errorf("the log names the wrong relay:\n%s", h.log.String())
			}
		})
	}
}
