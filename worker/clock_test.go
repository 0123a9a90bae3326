package worker_test

import (
	"net/mail"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jatak-mail/jatak/gating"
	"github.com/jatak-mail/jatak/internal/contact"
	"github.com/jatak-mail/jatak/internal/mailer/mailertest"
	"github.com/jatak-mail/jatak/worker"
)

// A worker whose machine is days off decides, defers and dates as the others do: it
// goes by the database's clock.
func TestFaultMachineIsDaysOff(t *testing.T) {
	t.Parallel()
	const day = 24 * time.Hour
	for name, off := range map[string]time.Duration{"ahead": 4 * day, "behind": -4 * day} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			const holds, expired, greylisted = 0, 1, 2
			h := newHouse(t, 3)
			begun := time.Now()
			for setting, value := range map[gating.Setting]string{gating.SettingPrivacy: "on", gating.SettingConsentLife: "30"} {
				if err := h.db.Set(t.Context(), setting, value, "test", begun); err != nil {
					t.Fatal(err)
				}
			}
			on := true
			for n, age := range map[int]time.Duration{holds: 30*day - time.Hour, expired: 30*day + time.Hour, greylisted: time.Hour} {
				changed, err := h.db.Choose(t.Context(), contact.Choices{Contact: contact.ID(n + 1), Source: gating.SourceManagePage, At: begun.Add(-age), Emarketing: &on})
				if err != nil || !changed {
					t.Fatal(changed, err)
				}
			}
			var mu sync.Mutex
			tries := 0
			sink := mailertest.New(t, func(at, to string) *mailertest.Do {
				mu.Lock()
				defer mu.Unlock()
				if at == "RCPT" && to == address(greylisted) {
					if tries++; tries <= 2 {
						return &mailertest.Do{Reply: "451 4.7.1 greylisted"}
					}
				}
				return nil
			})
			h.start(sink.URL(), func(o *worker.Options) {
				o.Now = func() time.Time { return time.Now().Add(off) }
			})
			id := h.launch()
			if books := h.finished(id); books.Sent != 2 || books.Blocked[gating.NoConsent] != 1 {
				t.Errorf("books %+v, want 2 sent and one without consent", books)
			}
			for _, m := range sink.Messages() {
				if m.To == address(expired) {
					t.Error("a mail left whose consent has expired")
				}
				message, err := mail.ReadMessage(strings.NewReader(m.Data))
				if err != nil {
					t.Fatal(err)
				}
				if at, err := message.Header.Date(); err != nil || at.Sub(begun).Abs() > time.Hour {
					t.Errorf("a mail is dated %s, %v", at, err)
				}
			}
			kept, err := h.db.Campaign(t.Context(), id)
			if err != nil {
				t.Fatal(err)
			}
			first, err := h.db.FirstSent(t.Context(), id)
			if err != nil {
				t.Fatal(err)
			}
			for what, at := range map[string]time.Time{"the first mail": first, "the plan": kept.Planned, "the end": kept.Finished} {
				if at.Sub(begun).Abs() > time.Hour {
					t.Errorf("the books date %s at %s", what, at)
				}
			}
		})
	}
}
