package worker_test

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"slices"
	"sort"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jatak-mail/jatak/gating"
	"github.com/jatak-mail/jatak/internal/campaign"
	"github.com/jatak-mail/jatak/internal/contact"
	"github.com/jatak-mail/jatak/internal/mailer/mailertest"
	"github.com/jatak-mail/jatak/internal/preferences"
	"github.com/jatak-mail/jatak/templates"
	"github.com/jatak-mail/jatak/worker"
)

// claimWatch is a store that notes when each contact was claimed, and how many rows
// are claimed and not yet recorded. What a claim sees is not older than its call.
type claimWatch struct {
	worker.Store
	mu      sync.Mutex
	claims  map[contact.ID]claimed
	out     int
	mostOut int
}

// claimed is when a claim was asked for, and when its answer was there.
type claimed struct{ asked, answered time.Time }

func (w *claimWatch) Claim(ctx context.Context, r campaign.ClaimRequest) (gating.Policy, []campaign.Claimed, error) {
	asked := time.Now()
	policy, rows, err := w.Store.Claim(ctx, r)
	note := claimed{asked, time.Now()}
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, row := range rows {
		w.claims[row.ID] = note // the last, when the first was given back
	}
	w.out += len(rows)
	w.mostOut = max(w.mostOut, w.out)
	return policy, rows, err
}

func (w *claimWatch) Record(ctx context.Context, outcomes []campaign.Outcome) error {
	err := w.Store.Record(ctx, outcomes)
	w.done(len(outcomes), err)
	return err
}

func (w *claimWatch) Release(ctx context.Context, r campaign.ClaimRequest, contacts []contact.ID) error {
	err := w.Store.Release(ctx, r, contacts)
	w.done(len(contacts), err)
	return err
}

func (w *claimWatch) done(rows int, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err == nil {
		w.out -= rows
	}
}

// withdrawals are who withdrew, and when the answer came that it is committed: the
// commit itself was before.
type withdrawals struct {
	mu        sync.Mutex
	committed map[contact.ID]time.Time
}

// choose takes somebody who has not withdrawn: anybody, or somebody whose turn comes
// soon after the last.
func (w *withdrawals) choose(contacts int, last int64) contact.ID {
	w.mu.Lock()
	defer w.mu.Unlock()
	for {
		id := contact.ID(1 + rand.IntN(contacts))
		if rand.IntN(2) == 0 {
			id = contact.ID(min(int64(contacts), last+1+rand.Int64N(400)))
		}
		if _, gone := w.committed[id]; !gone {
			w.committed[id] = time.Time{} // chosen
			return id
		}
	}
}

// People withdraw by the real one-click endpoint, at random moments while a
// campaign is sent at full speed. A mail to one of them is fair only if it was
// claimed before the withdrawal was committed; and never are more claimed than the
// window holds.
func TestFaultFromOptOutToSilence(t *testing.T) {
	t.Parallel()
	const contacts, leaving, window = 50000, 1000, 512
	h := newHouse(t, contacts)
	words, err := templates.New()
	if err != nil {
		t.Fatal(err)
	}
	portal, err := preferences.New(preferences.Options{Store: h.db, Keyring: h.keys, Templates: func(context.Context) *templates.Set { return words }, Now: time.Now,
		Log: slog.New(slog.DiscardHandler), PublicURL: "https://jatak.example"})
	if err != nil {
		t.Fatal(err)
	}
	site := httptest.NewServer(portal)
	t.Cleanup(site.Close)

	// The last mails wait until the last withdrawal is committed.
	var accepted, last atomic.Int64
	allCommitted := make(chan struct{})
	sink := mailertest.New(t, func(at, to string) *mailertest.Do {
		if at != "DOT" {
			return nil
		}
		last.Store(int64(numberOf(to)))
		if accepted.Add(1) > contacts*95/100 {
			return &mailertest.Do{Wait: allCommitted}
		}
		return nil
	})
	sink.Light()
	watch := &claimWatch{Store: h.db, claims: map[contact.ID]claimed{}}
	h.start(sink.URL("max_conns=8"), func(o *worker.Options) { o.Store, o.Window, o.ChunkSize = watch, window, 1000 })
	id := h.launch()

	moments := make([]int64, leaving) // each when so many mails were accepted
	for i := range moments {
		moments[i] = rand.Int64N(contacts * 9 / 10)
	}
	slices.Sort(moments)
	gone := withdrawals{committed: map[contact.ID]time.Time{}}
	var all sync.WaitGroup
	for n := range 8 {
		all.Go(func() {
			tick := time.NewTicker(2 * time.Millisecond)
			defer tick.Stop()
			for i := n; i < leaving; i += 8 {
				for accepted.Load() < moments[i] {
					select {
					case <-tick.C:
					case <-t.Context().Done():
						return
					}
				}
				who := gone.choose(contacts, last.Load())
				link := site.URL + "/u/" + h.keys.Withdraw(int64(who), int64(id), 0, address(int(who)-1))
				response, err := http.Post(link, "application/x-www-form-urlencoded", strings.NewReader("List-Unsubscribe=One-Click"))
				if err != nil || response.StatusCode != http.StatusOK {
					t.Errorf("one-click: %v, %v", response, err)
					return
				}
				_ = response.Body.Close()
				gone.mu.Lock()
				gone.committed[who] = time.Now()
				gone.mu.Unlock()
			}
		})
	}
	all.Wait()
	close(allCommitted)
	books := h.finished(id)
	if books.Sent+books.Blocked[gating.Withdrawn] != contacts {
		t.Errorf("books %+v", books)
	}
	if len(gone.committed) != leaving {
		t.Errorf("%d withdrew, want %d", len(gone.committed), leaving)
	}
	if watch.mostOut > window {
		t.Errorf("%d rows were claimed at once, and the window holds %d", watch.mostOut, window)
	}

	messages := sink.Messages()
	var lastClaim, lastMail time.Duration
	mailed, late, mostBetween := map[contact.ID]bool{}, 0, 0
	for n, m := range messages {
		who := numberOf(m.To)
		mailed[who] = true
		at, withdrew := gone.committed[who]
		if !withdrew || m.At.Before(at) {
			continue
		}
		late++
		claim := watch.claims[who]
		if claim.asked.After(at) {
			t.Errorf("a mail was claimed %s after its withdrawal was committed, and accepted %s after it", claim.asked.Sub(at), m.At.Sub(at))
		}
		lastClaim, lastMail = max(lastClaim, claim.answered.Sub(at)), max(lastMail, m.At.Sub(at))
		mostBetween = max(mostBetween, n-sort.Search(n, func(i int) bool { return messages[i].At.After(at) }))
	}
	silent := 0
	for who := range gone.committed {
		if !mailed[who] {
			silent++
		}
	}
	if silent != int(books.Blocked[gating.Withdrawn]) {
		t.Errorf("%d got nothing, and %d are booked as withdrawn", silent, books.Blocked[gating.Withdrawn])
	}
	t.Logf("%d withdrew while the campaign was sent, %d of them before their mail was claimed; %d mails had been claimed already", leaving, silent, late)
	t.Logf("from a withdrawal's commit: the last claim that could still pick the contact was answered %s after it, the last mail accepted %s and %d other mails after it; at most %d rows were claimed at once",
		lastClaim.Round(time.Microsecond), lastMail.Round(time.Millisecond), mostBetween, watch.mostOut)
}

// numberOf is the contact with an address of newHouse.
func numberOf(email string) (id contact.ID) {
	_, _ = fmt.Sscanf(email, "p%d@", &id)
	return id + 1
}
