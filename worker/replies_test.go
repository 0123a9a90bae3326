package worker_test

import (
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jatak-mail/jatak/gating"
	"github.com/jatak-mail/jatak/internal/campaign"
	"github.com/jatak-mail/jatak/internal/contact"
	"github.com/jatak-mail/jatak/internal/mailer/mailertest"
	"github.com/jatak-mail/jatak/worker"
)

// broken says one thing at one point, until it is mended.
func broken(mended *atomic.Bool, where, reply string) mailertest.Script {
	return func(at, _ string) *mailertest.Do {
		if at == where && !mended.Load() {
			return &mailertest.Do{Reply: reply}
		}
		return nil
	}
}

// What a relay says of itself to everybody fails no mail, and counts as nobody's
// attempt: all wait, the log has the reason, and go on by themselves.
func TestFaultRelaysOwnTroubleCostsNoAttempt(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ at, reply, says string }{
		{"MAIL", "530 5.7.0 Authentication required", "takes no mail"},
		{"MAIL", "421 4.7.0 try again later", "cannot be reached"},
		{"RCPT", "451 4.3.0 Temporary lookup failure", "takes no mail"},
		{"DOT", "452 4.3.1 queue is full", "takes no mail"},
	} {
		t.Run(test.at+" "+test.reply[:3], func(t *testing.T) {
			t.Parallel()
			const contacts = 40
			h := newHouse(t, contacts)
			var mended atomic.Bool
			sink := mailertest.New(t, broken(&mended, test.at, test.reply))
			h.start(sink.URL("max_conns=4"), func(o *worker.Options) { o.MaxAttempts = 1 })
			id := h.launch()
			h.says(test.says)
			if says := h.log.String(); !strings.Contains(says, test.reply[:3]) || !strings.Contains(says, sink.Addr()) {
				t.Errorf("the log does not name %s:\n%s", test.reply, says)
			}
			tells := func(so func(trouble string) bool) {
				t.Helper()
				h.await(id, "word of the relay's trouble", func(campaign.Campaign, campaign.Report) bool {
					progress, err := h.db.Progress(t.Context(), id, time.Now())
					return err == nil && so(progress.Trouble)
				})
			}
			tells(func(trouble string) bool {
				return strings.Contains(trouble, sink.Addr()) && strings.Contains(trouble, test.reply[:3])
			})
			mended.Store(true)
			if books := h.finished(id); books.Sent != contacts {
				t.Errorf("books %+v", books)
			}
			tells(func(trouble string) bool { return trouble == "" })
			once(t, sink, contacts)
			h.triedOnce(id)
		})
	}
}

// A sender that no relay takes mail of is for a person to look at: the campaign is
// paused with the relay's words, and none of its mails has failed.
func TestSenderThatIsRefusedPausesTheCampaign(t *testing.T) {
	t.Parallel()
	for at, reply := range map[string]string{
		"MAIL": "550 5.7.1 news@jatak.example may not send here",
		"RCPT": "554 5.7.1 Relay access denied",
		"DOT":  "550 5.7.60 SMTP; Client does not have permissions to send as this sender",
	} {
		t.Run(at, func(t *testing.T) {
			t.Parallel()
			const contacts = 60
			h := newHouse(t, contacts)
			var mended atomic.Bool
			sink := mailertest.New(t, broken(&mended, at, reply))
			h.start(sink.URL("max_conns=2"), func(o *worker.Options) { o.MaxAttempts = 1 })
			id := h.launch()
			books := h.await(id, "the pause", func(c campaign.Campaign, b campaign.Report) bool {
				return c.State == campaign.StatePaused && b.Sending == 0
			})
			kept, err := h.db.Campaign(t.Context(), id)
			var why campaign.SenderRefused
			if err != nil || !why.Parse(kept.PauseReason) || why.Relay != sink.Addr() || !strings.HasPrefix(reply, why.Reply[:3]) {
				t.Errorf("the reason is %q, %v", kept.PauseReason, err)
			}
			if books.Failed != 0 || books.Sent != 0 {
				t.Errorf("books %+v", books)
			}
			mended.Store(true)
			if err := h.db.Resume(t.Context(), id); err != nil {
				t.Fatal(err)
			}
			if books := h.finished(id); books.Sent != contacts {
				t.Errorf("books %+v", books)
			}
			h.triedOnce(id)
		})
	}
}

// A mailbox that is refused again and again is given up, and one that takes a mail
// meanwhile is well again.
func TestRefusedMailboxesAreBouncesInARow(t *testing.T) {
	t.Parallel()
	const contacts = 4
	h := newHouse(t, contacts)
	if err := h.db.Set(t.Context(), gating.SettingBounceLimit, "2", "test", time.Now()); err != nil {
		t.Fatal(err)
	}
	var round atomic.Int32
	sink := mailertest.New(t, func(at, to string) *mailertest.Do {
		switch {
		case at != "RCPT":
		case to == address(0):
			return &mailertest.Do{Reply: "550 5.1.1 no such user"}
		case to == address(1) && round.Load() != 1:
			return &mailertest.Do{Reply: "550 Unknown user"}
		case to == address(2):
			return &mailertest.Do{Reply: "550 5.7.1 your mails are spam"} // says nothing of the mailbox
		}
		return nil
	})
	h.start(sink.URL("max_conns=2"), nil)
	for n, want := range [][contacts]int{{1, 1, 0, 0}, {2, 0, 0, 0}, {2, 1, 0, 0}} {
		round.Store(int32(n))
		id := h.launch()
		books := h.finished(id)
		for i, bounces := range want {
			r, err := h.db.Recipient(t.Context(), contact.ID(i+1), gating.SubscriptionType{})
			if err != nil || r.Facts.BouncesInRow != bounces {
				t.Errorf("round %d: %s bounced %d times in a row (%v), want %d", n, address(i), r.Facts.BouncesInRow, err, bounces)
			}
		}
		if n == 2 && books.Blocked[gating.Bounced] != 1 {
			t.Errorf("books %+v, want one who bounces", books)
		}
	}
	policy, err := h.db.Policy(t.Context(), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	gone, err := h.db.Recipient(t.Context(), 1, gating.SubscriptionType{})
	steps, v := gating.Explain(gone.Facts, policy)
	if err != nil || v.Send || v.Reason != gating.Bounced {
		t.Errorf("the gate says %+v, %v", v, err)
	}
	for _, step := range steps {
		if step.Decided && (step.Reason != gating.Bounced || !strings.Contains(strings.Join(step.Found, " "), "bounces_in_row=2")) {
			t.Errorf("explained by %+v", step)
		}
	}
}

// Mails that a hanging relay has kept waiting leave only if they still may. Who
// withdrew meanwhile gets none, whether the relay goes on or is given up.
func TestFaultHangingRelayAndOptOutToSilence(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		at string
		do mailertest.Do
	}{
		"goes on after a while":    {"DATA", mailertest.Do{}},
		"hangs up after a while":   {"RCPT", mailertest.Do{HangUp: true}},
		"says 421 after a while":   {"MAIL", mailertest.Do{Reply: "421 4.4.2 closing"}},
		"has trouble, and is well": {"RCPT", mailertest.Do{Reply: "451 4.3.0 lookup"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			const contacts, connections = 12, 2
			h := newHouse(t, contacts)
			h.fresh = 50 * time.Millisecond
			release := make(chan struct{})
			var hanging atomic.Int32
			full := make(chan struct{})
			sink := mailertest.New(t, func(at, _ string) *mailertest.Do {
				select {
				case <-release:
					return nil
				default:
				}
				if at != test.at {
					return nil
				}
				if hanging.Add(1) == connections {
					close(full)
				}
				do := test.do
				do.Wait = release
				return &do
			})
			h.start(sink.URL("max_conns=2", "timeout=20s"), nil)
			id := h.launch()
			select {
			case <-full:
			case <-time.After(20 * time.Second):
				t.Fatal("the relay does not hang")
			}
			h.await(id, "claims", func(_ campaign.Campaign, r campaign.Report) bool { return r.Sending > connections })
			off := false
			for n := range contacts / 2 {
				if _, err := h.db.Choose(t.Context(), contact.Choices{Contact: contact.ID(2*n + 1), Source: gating.SourceOneClick, At: time.Now(), Emarketing: &off}); err != nil {
					t.Fatal(err)
				}
			}
			time.AfterFunc(2*h.fresh, func() { close(release) }) // all that was claimed has waited too long
			books := h.finished(id)
			if books.Blocked[gating.Withdrawn] != contacts/2 || books.Sent != contacts/2 {
				t.Errorf("books %+v", books)
			}
			for _, m := range sink.Messages() {
				if numberOf(m.To)%2 == 1 {
					t.Errorf("%s got a mail after the withdrawal", m.To)
				}
			}
			for to, tries := range h.tries(id) {
				if tries.Doubts > 0 {
					t.Errorf("%s: %+v", to, tries)
				}
			}
		})
	}
}
