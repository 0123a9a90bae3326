package worker_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jatak-mail/jatak/internal/campaign"
	"github.com/jatak-mail/jatak/internal/mailer"
	"github.com/jatak-mail/jatak/internal/mailer/mailertest"
	"github.com/jatak-mail/jatak/worker"
)

// A worker tells of its relays and keys, never of a password, and tries a relay
// when somebody asks.
func TestWorkerTellsOfItsRelaysAndTestsThem(t *testing.T) {
	t.Parallel()
	h := newHouse(t, 1)
	sink := mailertest.New(t, nil)
	away := mailertest.New(t, nil)
	awayURL, awayName := away.URL(), away.Addr()
	away.Close()
	relays, err := mailer.ParseRelays(sink.URL("max_conns=3") + "," + strings.Replace(awayURL, "://", "://user:geheim@", 1))
	if err != nil {
		t.Fatal(err)
	}
	pemText, record, err := mailer.NewKey("ed25519")
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "dkim.pem")
	if err := os.WriteFile(file, []byte(pemText), 0o600); err != nil {
		t.Fatal(err)
	}
	signers, err := mailer.ParseSigners("jatak.example:j1:" + file)
	if err != nil {
		t.Fatal(err)
	}
	h.start(sink.URL(), func(o *worker.Options) {
		o.Relays, o.Signers, o.BounceAddress = relays, signers, "bounce@back.example"
	})
	now := time.Now()
	for _, relay := range []string{sink.Addr(), awayName} {
		if err := h.db.AskRelayTest(t.Context(), relay, "test", now); err != nil {
			t.Fatal(err)
		}
	}
	found := map[string]campaign.RelayTest{}
	for deadline := time.Now().Add(30 * time.Second); len(found) < 2; {
		if time.Now().After(deadline) {
			t.Fatalf("the tests are not done: %+v", found)
		}
		tests, err := h.db.RelayTests(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, test := range tests {
			if !test.Done.IsZero() {
				found[test.Relay] = test
			}
		}
	}
	if test := found[sink.Addr()]; !test.OK {
		t.Errorf("the relay that works: %+v", test)
	}
	if test := found[awayName]; test.OK || test.Says == "" {
		t.Errorf("the relay that is away: %+v", test)
	}
	workers, err := h.db.WorkersNow(t.Context(), time.Now())
	if err != nil || len(workers) != 1 {
		t.Fatalf("workers %+v, %v", workers, err)
	}
	about := workers[0].About
	if len(about.Relays) != 2 || about.Relays[0].Connections != 3 || about.Relays[1].User != "user" || about.BounceDomain != "back.example" || strings.Contains(fmt.Sprint(workers), "geheim") {
		t.Errorf("the worker says %+v", about)
	}
	if want := (campaign.Signer{Domain: "jatak.example", Selector: "j1", Record: record}); len(about.Signers) != 1 || about.Signers[0] != want {
		t.Errorf("the keys are %+v, want %+v", about.Signers, want)
	}
}

// A relay with a limit does not slow down the one beside it.
func TestLimitedRelayHoldsNobodyUp(t *testing.T) {
	t.Parallel()
	h := newHouse(t, 1000)
	limited, free := mailertest.New(t, nil), mailertest.New(t, nil)
	limit := campaign.Limit{Kind: campaign.RelayLimit, Name: limited.Addr(), PerSecond: 1}
	if err := h.db.SetLimit(t.Context(), limit, "test", time.Now()); err != nil {
		t.Fatal(err)
	}
	h.start(limited.URL("max_conns=2")+","+free.URL("max_conns=2"), func(o *worker.Options) { o.Window = 64 })
	id := h.launch()
	if books := h.finished(id); books.Sent != 1000 { // within 30 s
		t.Errorf("books %+v", books)
	}
	messages := free.Messages()
	took := messages[len(messages)-1].At.Sub(messages[0].At)
	if n := len(limited.Messages()); float64(n) > 10+2*took.Seconds() {
		t.Errorf("%d mails went to the relay with a limit of 1/s", n)
	}
	t.Logf("%d mails in %s, %d by the relay with a limit", 1000, took, len(limited.Messages()))
}
