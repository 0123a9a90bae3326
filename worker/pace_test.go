package worker_test

import (
	"fmt"
	"iter"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jatak-mail/jatak/gating"
	"github.com/jatak-mail/jatak/internal/campaign"
	"github.com/jatak-mail/jatak/internal/contact"
	"github.com/jatak-mail/jatak/internal/logtest"
	"github.com/jatak-mail/jatak/internal/mailer/mailertest"
	"github.com/jatak-mail/jatak/internal/pace"
	"github.com/jatak-mail/jatak/internal/postgres"
	"github.com/jatak-mail/jatak/worker"
)

// bring keeps contacts with these addresses, beside those that are there.
func (h *house) bring(people ...contact.LegacyContact) {
	h.t.Helper()
	rows := func(yield func(contact.LegacyContact, error) bool) {
		for i, c := range people {
			c.ID, c.Address, c.Digest, c.Language = fmt.Sprint("x", i, c.Email), contact.Address(c.Email), []byte(c.Email), "da"
			if !yield(c, nil) {
				return
			}
		}
	}
	err := h.db.Import(h.t.Context(), func(im *postgres.Import) error {
		_, err := im.Contacts(h.t.Context(), iter.Seq2[contact.LegacyContact, error](rows), func(u contact.Objection) { h.t.Errorf("unknown %v", u) })
		return err
	})
	if err != nil {
		h.t.Fatal(err)
	}
}

func (h *house) bringTo(domain string, n int) {
	h.t.Helper()
	people := make([]contact.LegacyContact, n)
	for i := range people {
		people[i].Email = fmt.Sprintf("s%d@%s", i, domain)
	}
	h.bring(people...)
}

// arrivals are the times at which mails of a domain arrived.
func arrivals(sink *mailertest.Sink, domain string) (at []time.Time) {
	for _, m := range sink.Messages() {
		if strings.HasSuffix(m.To, "@"+domain) {
			at = append(at, m.At)
		}
	}
	return at
}

// A limited destination keeps its pace, whoever sends to it, and holds nobody
// else up.
func TestLimitedDestinationHoldsNobodyUp(t *testing.T) {
	t.Parallel()
	h := newHouse(t, 200)
	h.bringTo("slow.example", 40)
	h.bringTo("hotmail.dk", 20)
	for _, l := range []campaign.Limit{
		{Kind: campaign.DestinationLimit, Name: "slow.example", PerSecond: 20, Connections: 1},
		{Kind: campaign.DestinationLimit, Name: "outlook", PerSecond: 20},
	} {
		if err := h.db.SetLimit(t.Context(), l, "test", time.Now()); err != nil {
			t.Fatal(err)
		}
	}
	var mu sync.Mutex
	atOnce, most := 0, 0
	sink := mailertest.New(t, func(at, to string) *mailertest.Do {
		if !strings.HasSuffix(to, "@slow.example") {
			return nil
		}
		mu.Lock()
		defer mu.Unlock()
		switch at {
		case "RCPT":
			atOnce++
			most = max(most, atOnce)
		case "DOT":
			atOnce--
		}
		return nil
	})
	h.start(sink.URL("max_conns=4"), nil)
	h.start(sink.URL("max_conns=4"), nil)
	id := h.launch()
	h.await(id, "the fast mails", func(_ campaign.Campaign, _ campaign.Report) bool { return len(arrivals(sink, "example.org")) == 200 })
	if n := len(arrivals(sink, "slow.example")); n == 40 {
		t.Error("the limited mails did not wait")
	}
	if books := h.finished(id); books.Sent != 260 {
		t.Errorf("books %+v", books)
	}
	for _, domain := range []string{"slow.example", "hotmail.dk"} {
		at := arrivals(sink, domain)
		// In the time from the first to the last there is room for so many; one more
		// may leave at once, and the relay may hand over a moment later.
		if allowed := 20*at[len(at)-1].Sub(at[0]).Seconds() + 3; float64(len(at)) > allowed {
			t.Errorf("%d mails to %s in %s at 20/s", len(at), domain, at[len(at)-1].Sub(at[0]))
		}
	}
	if most > 1 {
		t.Errorf("%d mails to slow.example were under way at once, 1 may be", most)
	}
}

// Who says 451 to everybody is slowed down; the others are not.
func TestThrottledDestinationIsSlowedDown(t *testing.T) {
	t.Parallel()
	h := newHouse(t, 100)
	h.bringTo("busy.example", 60)
	var mu sync.Mutex
	told := map[string]int{}
	sink := mailertest.New(t, func(at, to string) *mailertest.Do {
		mu.Lock()
		defer mu.Unlock()
		if at == "RCPT" && strings.HasSuffix(to, "@busy.example") && told[to] == 0 {
			told[to]++
			return &mailertest.Do{Reply: "451 4.7.1 slow down"}
		}
		return nil
	})
	var log logtest.Log
	h.start(sink.URL("max_conns=4"), func(o *worker.Options) { o.Log = slog.New(slog.NewTextHandler(&log, nil)) })
	id := h.launch()
	h.await(id, "the others", func(_ campaign.Campaign, _ campaign.Report) bool { return len(arrivals(sink, "example.org")) == 100 })
	limiter := pace.New(h.redis, slog.New(slog.DiscardHandler))
	name := fmt.Sprintf("lane:%d", campaign.LaneOf("busy.example"))
	h.await(id, "the slow-down", func(campaign.Campaign, campaign.Report) bool {
		slow, err := limiter.Slowed(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return slow[name] > 0 && len(slow) == 1
	})
	if !strings.Contains(log.String(), "a destination asks for less: it is slowed down") || strings.Contains(log.String(), "@busy.example") {
		t.Errorf("the log says: %s", log.String())
	}
}

// A small urgent campaign does not wait behind a large one, even when the pace
// lets only little through.
func TestUrgentCampaignOvertakes(t *testing.T) {
	t.Parallel()
	h := newHouse(t, 500)
	sink := mailertest.New(t, nil)
	if err := h.db.Set(t.Context(), contact.SettingSendPace, "60/s", "test", time.Now()); err != nil {
		t.Fatal(err)
	}
	h.start(sink.URL("max_conns=2"), nil)
	large := h.launch()
	h.await(large, "some mails", func(_ campaign.Campaign, b campaign.Report) bool { return b.Sent > 10 })
	small, err := h.db.CreateCampaign(t.Context(), campaign.Content{
		Name: "urgent", FromName: "Ja Tak", FromAddress: "news@jatak.example", PostalAddress: "Pakhuskaj 7", DefaultLanguage: "da",
		Audience: campaign.Audience{Language: "nb"},
		Variants: map[string]campaign.Variant{"da": {Subject: "Nu", HTML: `<a href="[[link.subscription]]">Afmeld her</a> Pakhuskaj 7`}},
	}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	err = h.db.Import(t.Context(), func(im *postgres.Import) error {
		_, err := im.Contacts(t.Context(), func(yield func(contact.LegacyContact, error) bool) {
			yield(contact.LegacyContact{ID: "urgent", Email: "u@urgent.example", Address: "u@urgent.example", Digest: []byte("u"), Language: "nb"}, nil)
		}, func(contact.Objection) {})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := h.db.SetPriority(t.Context(), small, campaign.PriorityHigh); err != nil {
		t.Fatal(err)
	}
	if err := h.db.Launch(t.Context(), small, campaign.Override{}, time.Now()); err != nil {
		t.Fatal(err)
	}
	if err := h.bell.RingPlan(t.Context(), small, time.Now()); err != nil {
		t.Fatal(err)
	}
	h.finished(small)
	if c, err := h.db.Campaign(t.Context(), large); err != nil || c.State.Ended() {
		t.Errorf("the large campaign is %s before the urgent one, %v", c.State, err)
	}
}

// A pause reaches what is claimed and waits for a connection that hangs.
func TestPauseReachesWhatIsClaimed(t *testing.T) {
	t.Parallel()
	h := newHouse(t, 100)
	gate, open := mailertest.Gate(t)
	sink := mailertest.New(t, func(at, to string) *mailertest.Do {
		if at == "DOT" {
			return &mailertest.Do{Wait: gate}
		}
		return nil
	})
	h.start(sink.URL("max_conns=2"), func(o *worker.Options) { o.Window, o.Tasks = 64, 1 })
	id := h.launch()
	h.await(id, "claims", func(_ campaign.Campaign, b campaign.Report) bool { return b.Sending > 4 })
	if err := h.db.Pause(t.Context(), id, "lunch"); err != nil {
		t.Fatal(err)
	}
	// On each of the two connections is a mail, and maybe the next one's envelope.
	h.await(id, "claims to be given back", func(_ campaign.Campaign, b campaign.Report) bool { return b.Sending <= 4 })
	open()
	if err := h.db.Resume(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	if books := h.finished(id); books.Sent != 100 {
		t.Errorf("books %+v", books)
	}
	once(t, sink, 100)
}

// Each recipient's mail waits for the time where they are.
func TestLocalTime(t *testing.T) {
	t.Parallel()
	h := newHouse(t, 0)
	h.bring(contact.LegacyContact{Email: "kiritimati@a.example", TimeZone: "Pacific/Kiritimati"}, contact.LegacyContact{Email: "tokyo@a.example", TimeZone: "Asia/Tokyo"},
		contact.LegacyContact{Email: "unknown@a.example"}, contact.LegacyContact{Email: "honolulu@a.example", TimeZone: "Pacific/Honolulu"})
	sink := mailertest.New(t, nil)
	h.start(sink.URL(""), nil)
	// A quarter of an hour ago in Tokyo, and so in Kiritimati too; not yet in UTC.
	tokyo := time.FixedZone("Tokyo", 9*60*60)
	local, err := campaign.NewLocalTime(time.Now().In(tokyo).Add(-15*time.Minute).Format("2006-01-02 15:04"), "Etc/UTC")
	if err != nil {
		t.Fatal(err)
	}
	id := h.draft()
	if err := h.db.ScheduleLocal(t.Context(), id, local, campaign.Override{}); err != nil {
		t.Fatal(err)
	}
	books := h.await(id, "the east", func(_ campaign.Campaign, b campaign.Report) bool { return b.Sent == 2 })
	if books.Pending != 2 {
		t.Errorf("books %+v", books)
	}
	got := map[string]bool{}
	for _, m := range sink.Messages() {
		got[m.To] = true
	}
	if len(got) != 2 || !got["kiritimati@a.example"] || !got["tokyo@a.example"] {
		t.Errorf("mail went to %v", got)
	}
}

// Complaints pause a campaign; a few among many do not.
func TestComplaintsPauseTheCampaign(t *testing.T) {
	t.Parallel()
	h := newHouse(t, 50)
	sink := mailertest.New(t, nil)
	h.start(sink.URL("max_conns=2"), nil)
	id := h.launchPaced(20)
	h.await(id, "some mails", func(_ campaign.Campaign, b campaign.Report) bool { return b.Sent >= 5 })
	off := false
	for n := range 3 {
		_, err := h.db.Choose(t.Context(), contact.Choices{Contact: contact.ID(n + 1), Source: gating.SourceComplaint, Campaign: int64(id), At: time.Now(), Emarketing: &off})
		if err != nil {
			t.Fatal(err)
		}
	}
	h.await(id, "the pause", func(c campaign.Campaign, _ campaign.Report) bool {
		return c.State == campaign.StatePaused && strings.Contains(c.PauseReason, "complained of spam")
	})
}

// A mail that is deferred again and again is given up by its age.
func TestOldDeferralsFail(t *testing.T) {
	t.Parallel()
	h := newHouse(t, 3)
	sink := mailertest.New(t, func(at, to string) *mailertest.Do {
		if at == "RCPT" && to == address(1) {
			return &mailertest.Do{Reply: "450 4.2.2 mailbox full"}
		}
		return nil
	})
	h.start(sink.URL(""), func(o *worker.Options) { o.MaxAttempts, o.MaxAge = 1000, 300*time.Millisecond })
	if books := h.finished(h.launch()); books.Sent != 2 || books.Failed != 1 {
		t.Errorf("books %+v", books)
	}
}

// Four workers share the connections and the pace of one relay exactly.
func TestRelayLimitIsShared(t *testing.T) {
	t.Parallel()
	h := newHouse(t, 240)
	var mu sync.Mutex
	atOnce, most := 0, 0
	sink := mailertest.New(t, func(at, _ string) *mailertest.Do {
		mu.Lock()
		defer mu.Unlock()
		switch at {
		case "DATA":
			atOnce++
			most = max(most, atOnce)
		case "DOT":
			atOnce--
		}
		return nil
	})
	relay, _, _ := strings.Cut(strings.TrimPrefix(sink.URL(""), "smtp://"), "?")
	if err := h.db.SetLimit(t.Context(), campaign.Limit{Kind: campaign.RelayLimit, Name: relay, PerSecond: 60, Connections: 3}, "test", time.Now()); err != nil {
		t.Fatal(err)
	}
	for range 4 {
		h.start(sink.URL("max_conns=8"), nil)
	}
	if books := h.finished(h.launch()); books.Sent != 240 {
		t.Errorf("books %+v", books)
	}
	once(t, sink, 240)
	at := arrivals(sink, "example.org")
	took := at[len(at)-1].Sub(at[0])
	// A burst may leave at once, and each worker may have had its first mails in hand
	// while it connected.
	if allowed := 60*took.Seconds() + 8; float64(len(at)) > allowed {
		t.Errorf("%d mails in %s at 60/s", len(at), took)
	}
	if most > 3 {
		t.Errorf("%d connections were busy at once, 3 may be", most)
	}
	t.Logf("%d mails in %s at 60/s, over %d connections at most", len(at), took.Round(time.Millisecond), most)
}
