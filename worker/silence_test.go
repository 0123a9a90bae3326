package worker_test

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jatak-mail/jatak/gating"
	"github.com/jatak-mail/jatak/internal/contact"
	"github.com/jatak-mail/jatak/internal/mailer/mailertest"
	"github.com/jatak-mail/jatak/internal/preferences"
	"github.com/jatak-mail/jatak/templates"
	"github.com/jatak-mail/jatak/worker"
)

// People withdraw by the real one-click endpoint while a campaign is sent at
// full speed. Whoever's withdrawal was committed before the claim gets nothing,
// and the time from the commit to the last mail that was claimed before it is
// short.
func TestFaultFromOptOutToSilence(t *testing.T) {
	t.Parallel()
	const contacts, leaving = 50000, 1000
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
	sink := mailertest.New(t, nil)
	sink.Light()
	h.start(sink.URL("max_conns=8"), func(o *worker.Options) { o.Window, o.ChunkSize = 512, 1000 })
	id := h.launch()

	var mu sync.Mutex
	committed := map[string]time.Time{}
	var all sync.WaitGroup
	for n := range 4 {
		all.Go(func() {
			moments := time.NewTicker(30 * time.Millisecond) // spread over the campaign
			defer moments.Stop()
			for i := n; i < leaving; i += 4 {
				<-moments.C
				who := rand.IntN(contacts)
				ids, err := h.db.FindContacts(t.Context(), contact.Address(address(who)))
				if err != nil || len(ids) != 1 {
					t.Errorf("%s: %v, %v", address(who), ids, err)
					return
				}
				link := site.URL + "/u/" + h.keys.Withdraw(int64(ids[0]), int64(id), 0, address(who))
				response, err := http.Post(link, "application/x-www-form-urlencoded", strings.NewReader("List-Unsubscribe=One-Click"))
				if err != nil || response.StatusCode != http.StatusOK {
					t.Errorf("one-click: %v, %v", response, err)
					return
				}
				_ = response.Body.Close()
				mu.Lock()
				if _, twice := committed[address(who)]; !twice {
					committed[address(who)] = time.Now()
				}
				mu.Unlock()
			}
		})
	}
	all.Wait()
	books := h.finished(id)
	if books.Sent+books.Blocked[gating.Withdrawn] != contacts {
		t.Errorf("books %+v", books)
	}
	var longest time.Duration
	mailed, late := map[string]bool{}, 0
	for _, m := range sink.Messages() {
		mailed[m.To] = true
		if at, withdrew := committed[m.To]; withdrew && m.At.After(at) {
			late++
			longest = max(longest, m.At.Sub(at))
		}
	}
	silent := 0
	for who := range committed {
		if !mailed[who] {
			silent++
		}
	}
	if silent != int(books.Blocked[gating.Withdrawn]) {
		t.Errorf("%d got nothing, and %d are booked as withdrawn", silent, books.Blocked[gating.Withdrawn])
	}
	// A claim waits at most for its turn on a connection.
	if longest > 2*time.Second {
		t.Errorf("a mail left %s after the withdrawal was committed", longest)
	}
	t.Logf("%d withdrew, %d of them before their mail; %d mails were claimed already, the last arrived %s after the commit",
		len(committed), silent, late, longest.Round(time.Millisecond))
}
