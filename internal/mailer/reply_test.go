package mailer

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/jatak-mail/jatak/internal/logtest"
	"github.com/jatak-mail/jatak/internal/mailer/mailertest"
)

// What servers say, and what it means for the mail.
func TestReplies(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		at   step
		says string
		want string
	}{
		{atDot, "250 2.0.0 queued", "accepted, mail"},
		// Nobody gets in.
		{atMail, "530 5.7.0 Authentication required", "unsent, relay"},
		{atMail, "530 5.7.57 SMTP; Client was not authenticated to send anonymous mail during MAIL FROM", "unsent, relay"},
		{atMail, "535 5.7.8 credentials expired", "unsent, relay"},
		{atMail, "538 5.7.11 Encryption required", "unsent, relay"},
		{atRcpt, "550 5.7.8 log in again", "unsent, relay"},
		{atRcpt, "550 5.7.1 Authentication required", "unsent, relay"},
		{atRcpt, "550 Unauthenticated senders not allowed", "unsent, relay"},
		{atMail, "454 4.7.0 TLS not available due to local problem", "unsent, relay"},
		{atMail, "421 4.4.2 timeout exceeded", "unsent, relay"},
		{atMail, "452 4.3.1 Insufficient system storage", "unsent, relay"},
		{atMail, "451 try later", "unsent, relay"},
		{atMail, "550 5.3.2 not accepting mail", "unsent, relay"},
		// Not from this sender.
		{atMail, "550 5.7.1 Relaying denied", "later, sender"},
		{atMail, "553 5.1.8 domain of sender does not exist", "later, sender"},
		{atMail, "550 no", "later, sender"},
		{atMail, "501 5.1.7 bad address syntax", "later, sender"},
		{atMail, "450 4.7.1 too many mails of this sender", "later, sender"},
		{atRcpt, "554 5.7.1 <bo@example.org>: Relay access denied", "later, sender"},
		{atRcpt, "454 4.7.1 <bo@example.org>: Relay access denied", "later, sender"},
		{atRcpt, "550 relay not permitted", "later, sender"},
		{atRcpt, "550 5.7.54 SMTP; Unable to relay recipient in non-accepted domain", "later, sender"},
		{atRcpt, "553 5.7.1 <news@jatak.example>: Sender address rejected: not owned by user x", "later, sender"},
		{atRcpt, "450 4.1.8 <news@jatak.example>: Sender address rejected: Domain not found", "later, sender"},
		{atDot, "550 5.7.60 SMTP; Client does not have permissions to send as this sender", "later, sender"},
		{atDot, "554 5.2.252 SendAsDenied; news@jatak.example not allowed to send", "later, sender"},
		{atDot, "554 Message rejected: Email address is not verified.", "later, sender"},
		{atDot, "550 The from address does not match a verified Sender Identity", "later, sender"},
		// Trouble of its own.
		{atRcpt, "451 4.3.0 <bo@example.org>: Temporary lookup failure", "later, relay"},
		{atRcpt, "451 4.3.5 Server configuration error", "later, relay"},
		{atDot, "452 4.3.1 queue is full", "later, relay"},
		{atDot, "432 4.3.2 Concurrent connections limit exceeded", "later, relay"},
		{atDot, "554 5.3.5 system incorrectly configured", "later, relay"},
		{atDot, "454 Throttling failure: Maximum sending rate exceeded.", "later, relay"},
		{atDot, "550 5.1.90 you have reached your daily limit", "later, relay"},
		{atRcpt, "421 4.3.2 shutting down", "later, relay"},
		{atMail, "450 4.7.1 Error: too much mail from 192.0.2.1", "unsent, relay"},
		{atRcpt, "450 4.7.1 Error: too many recipients from 192.0.2.1", "later, relay"},
		// One mailbox wants it later.
		{atRcpt, "452 4.2.2 mailbox full", "later, recipient"},
		{atRcpt, "450 4.1.1 unverified address", "later, recipient"},
		// The destination wants less, or later.
		{atRcpt, "421 4.7.0 [TSS04] temporarily deferred", "later, mail"},
		{atDot, "421-4.7.28 unusual rate of mail", "later, mail"},
		{atRcpt, "451 4.7.1 greylisted", "later, mail"},
		{atRcpt, "450 4.2.1 receiving mail too quickly", "later, mail"},
		{atRcpt, "552 5.2.2 mailbox full", "later, mail"},
		{atRcpt, "552 too many recipients", "later, mail"},
		// Nobody is there.
		{atRcpt, "550 5.1.1 no such user", "refused, recipient"},
		{atRcpt, "550 5.1.2 no such domain", "refused, recipient"},
		{atRcpt, "551 5.1.6 moved", "refused, recipient"},
		{atRcpt, "556 5.1.10 null MX", "refused, recipient"},
		{atRcpt, "550 5.2.1 disabled", "refused, recipient"},
		{atRcpt, "550 5.4.1 Recipient address rejected: Access denied.", "refused, recipient"},
		{atRcpt, "550 Unknown user", "refused, recipient"},
		{atDot, "550 5.1.1 no such user (LMTP)", "refused, recipient"},
		// The message.
		{atMail, "552 5.3.4 Message size exceeds fixed limit", "refused, mail"},
		{atMail, "552 too large", "refused, mail"},
		{atRcpt, "552 5.2.3 too large for this mailbox", "refused, mail"},
		{atMail, "553 5.6.7 SMTPUTF8 is needed", "refused, mail"},
		{atDot, "552 too large", "refused, mail"},
		{atDot, "554 5.7.1 spam", "refused, mail"},
		{atDot, "550 5.7.26 unauthenticated mail is prohibited", "refused, mail"},
		{atRcpt, "550 5.7.1 blocked by policy", "refused, mail"},
		{atRcpt, "550 5.3.0 other", "refused, mail"},
		{atData, "554 no", "refused, mail"},
	} {
		t.Run(test.says, func(t *testing.T) {
			t.Parallel()
			r := reply{}
			_, _ = fmt.Sscan(test.says[:3], &r.code)
			r.enhanced, r.text = cutEnhanced(r.code, test.says[4:])
			kind, blame := class(test.at, r)
			if got := fmt.Sprint(kind, ", ", blame); got != test.want {
				t.Errorf("%s, want %s", got, test.want)
			}
		})
	}
}

// A relay that says the same to everybody is left alone and named, whatever that is;
// another one takes its mails, and without another they are as if never submitted.
func TestRelaysOwnFaultIsNoMails(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		at, reply string
		judged    Kind // what the first mails come to before the relay is left alone
	}{
		{"MAIL", "530 5.7.0 Authentication required", Unsent},
		{"MAIL", "452 4.3.1 Insufficient system storage", Unsent},
		{"MAIL", "421 4.7.0 try again later", Unsent},
		{"RCPT", "535 5.7.8 credentials expired", Unsent},
		{"RCPT", "451 4.3.0 Temporary lookup failure", Later},
		{"RCPT", "421 4.3.2 shutting down", Later},
		{"DOT", "452 4.3.1 queue is full", Later},
	} {
		script := func(at, _ string) *mailertest.Do {
			if at == test.at {
				return &mailertest.Do{Reply: test.reply}
			}
			return nil
		}
		t.Run(test.at+" "+test.reply+"/alone", func(t *testing.T) {
			t.Parallel()
			sink := mailertest.New(t, script)
			var log logtest.Log
			s := newSenderWith(t, Options{Log: slog.New(slog.NewTextHandler(&log, nil))}, sink.URL("max_conns=2"))
			var err error
			for n := 0; err == nil && n < 100; n++ {
				done := make(chan Outcome, 1)
				m := &Mail{To: fmt.Sprintf("p%d@example.org", n), Data: []byte("\r\n"), Done: func(o Outcome) { done <- o }}
				if err = s.pool.Submit(t.Context(), m); err != nil {
					break
				}
				if o := <-done; o.Kind != Unsent && o.Kind != test.judged || o.Blame != BlameRelay {
					t.Errorf("%+v", o)
				}
			}
			var unreachable *UnreachableError
			if !errors.As(err, &unreachable) || !strings.Contains(err.Error(), test.reply[:3]) {
				t.Errorf("after many mails: %v, want %s", err, test.reply)
			}
			if says := log.String(); !strings.Contains(says, sink.Addr()) || !strings.Contains(says, test.reply[:3]) {
				t.Errorf("the log says\n%s", says)
			}
			if all, _ := sink.Connections(); all > 12 {
				t.Errorf("%d connections for a relay that takes no mail", all)
			}
		})
		t.Run(test.at+" "+test.reply+"/beside another", func(t *testing.T) {
			t.Parallel()
			bad, good := mailertest.New(t, script), mailertest.New(t, nil)
			s := newSender(t, bad.URL("max_conns=2"), good.URL("max_conns=2"))
			if _, err := s.pool.Ready(t.Context(), "jatak.example"); err != nil {
				t.Fatal(err)
			}
			s.openBoth()
			s.sendFrom("jatak.example", addresses(100)...)
			s.wantAccepted(addresses(100)...)
			if len(good.Messages()) != 100 || len(bad.Messages()) != 0 {
				t.Errorf("%d mails by the good relay", len(good.Messages()))
			}
		})
	}
}

// openBoth waits until every relay has a connection.
func (s *sender) openBoth() {
	s.t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for range 2000 {
		open := 0
		for _, r := range s.pool.relays {
			if r.open.Load() > 0 {
				open++
			}
		}
		if open == len(s.pool.relays) {
			return
		}
		<-tick.C
	}
	s.t.Fatal("not every relay was reached")
}

// A relay that does not take a sender costs that sender's mails nothing but the way
// to another relay, and leaves those of others alone.
func TestSenderThatOneRelayRefuses(t *testing.T) {
	t.Parallel()
	script := func(at, from string) *mailertest.Do {
		if at == "MAIL" && strings.HasSuffix(from, "@jatak.example") {
			return &mailertest.Do{Reply: "553 5.7.1 not your address"}
		}
		return nil
	}
	picky, other := mailertest.New(t, script), mailertest.New(t, nil)
	both := newSender(t, picky.URL("max_conns=2"), other.URL("max_conns=2"))
	if _, err := both.pool.Ready(t.Context(), "jatak.example"); err != nil {
		t.Fatal(err)
	}
	both.openBoth()
	both.sendFrom("jatak.example", addresses(40)...)
	both.wantAccepted(addresses(40)...)

	alone := newSender(t, picky.URL("max_conns=2"))
	alone.sendFrom("jatak.example", addresses(20)...)
	for _, to := range addresses(20) {
		if o := alone.outcomes[to]; o.Kind != Later || o.Blame != BlameSender || o.Code != 553 {
			t.Errorf("%s: %+v", to, o)
		}
	}
	alone.outcomes = map[string]Outcome{}
	alone.sendFrom("other.example", addresses(20)...)
	alone.wantAccepted(addresses(20)...)
}
