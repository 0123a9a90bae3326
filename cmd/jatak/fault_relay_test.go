package main

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/jatak-mail/jatak/internal/campaign"
	"github.com/jatak-mail/jatak/internal/mailer/mailertest"
)

// firstTime plays a script the first time that a point is reached for an
// address; after that all goes well.
func firstTime(script mailertest.Script) mailertest.Script {
	var mu sync.Mutex
	seen := map[string]bool{}
	return func(at, to string) *mailertest.Do {
		mu.Lock()
		before := seen[at+to]
		seen[at+to] = true
		mu.Unlock()
		if before {
			return nil
		}
		return script(at, to)
	}
}

func numberOf(address string) (n int) {
	_, _ = fmt.Sscanf(address, "p%d@", &n)
	return n
}

// What a relay does before the final dot costs time, and neither loses a mail
// nor doubles one.
func TestFaultRelayBeforeTheDot(t *testing.T) {
	t.Parallel()
	const contacts = 400
	var mu sync.Mutex
	greeted, mails := 0, 0
	never := make(chan struct{})
	t.Cleanup(func() { close(never) })
	for name, test := range map[string]struct {
		script mailertest.Script
		says   []string
	}{
		"421 on connect": {func(at, _ string) *mailertest.Do {
			mu.Lock()
			defer mu.Unlock()
			if greeted++; at == "CONNECT" && greeted <= 3 {
				return &mailertest.Do{Reply: "421 4.3.2 too busy"}
			}
			return nil
		}, []string{wordRelayGone, wordRelayBack}},
		"421 in mid-session": {func(at, _ string) *mailertest.Do {
			mu.Lock()
			defer mu.Unlock()
			if at == "MAIL" {
				if mails++; mails%60 == 0 {
					return &mailertest.Do{Reply: "421 4.3.2 too busy"}
				}
			}
			return nil
		}, []string{wordFarewell}}, // each mail has another connection at once
		"451 for a domain": {firstTime(func(at, to string) *mailertest.Do {
			if at == "RCPT" && strings.HasSuffix(to, "@other.example") {
				return &mailertest.Do{Reply: "451 4.7.1 greylisted"}
			}
			return nil
		}), []string{wordRang}},
		"hanging": {firstTime(func(at, to string) *mailertest.Do {
			if at == "DATA" && numberOf(to)%100 == 7 {
				return &mailertest.Do{Wait: never, HangUp: true}
			}
			return nil
		}), []string{wordLost}},
		"cut after DATA": {firstTime(func(at, to string) *mailertest.Do {
			if at == "DATA" && numberOf(to)%40 == 2 {
				return &mailertest.Do{HangUp: true}
			}
			return nil
		}), []string{wordLost}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			i := install(t, contacts, test.script)
			i.set("JATAK_SMTP_URLS=" + i.sink.URL("max_conns=8", "timeout=2s"))
			p := i.worker()
			i.sentToAll(i.launch(), contacts, 0)
			for _, sentence := range append(test.says, wordFinished) {
				says(t, sentence, p)
			}
		})
	}
}

// A connection that is cut after the final dot, of a mail that the relay has taken,
// leaves a doubt: resend sends the same mail again, hold waits for a person.
func TestFaultRelayCutAfterTheDot(t *testing.T) {
	t.Parallel()
	for _, policy := range []string{"resend", "hold"} {
		t.Run(policy, func(t *testing.T) {
			t.Parallel()
			const contacts, cut = 400, 10
			i := install(t, contacts, firstTime(func(at, to string) *mailertest.Do {
				if at == "DOT" && numberOf(to)%40 == 2 {
					return &mailertest.Do{HangUp: true, Keep: true}
				}
				return nil
			}))
			i.set("JATAK_IN_DOUBT=" + policy)
			p := i.worker()
			id := i.launch()
			if policy == "hold" {
				books := i.await(id, "the end", finished)
				if books.InDoubt != cut || books.Sent != contacts-cut {
					t.Errorf("books %+v, want %d in doubt", books, cut)
				}
				i.run("campaign", "resend", fmt.Sprint(id), "--in-doubt")
				i.await(id, "going on", func(_ campaign.Campaign, r campaign.Report) bool { return r.InDoubt == 0 })
			}
			i.sentToAll(id, contacts, cut)
			if n := len(i.sink.Messages()); n != contacts+cut {
				t.Errorf("%d mails arrived, want %d", n, contacts+cut)
			}
			says(t, wordLost, p)
			says(t, wordFinished, p)
		})
	}
}
