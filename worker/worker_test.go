package worker_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"net/mail"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/jatak-mail/jatak/gating"
	"github.com/jatak-mail/jatak/internal/campaign"
	"github.com/jatak-mail/jatak/internal/contact"
	"github.com/jatak-mail/jatak/internal/logtest"
	"github.com/jatak-mail/jatak/internal/mailer"
	"github.com/jatak-mail/jatak/internal/mailer/mailertest"
	"github.com/jatak-mail/jatak/internal/managelink"
	"github.com/jatak-mail/jatak/internal/postgres"
	"github.com/jatak-mail/jatak/internal/postgres/postgrestest"
	"github.com/jatak-mail/jatak/internal/queue"
	"github.com/jatak-mail/jatak/internal/queue/queuetest"
	"github.com/jatak-mail/jatak/internal/staff"
	"github.com/jatak-mail/jatak/templates"
	"github.com/jatak-mail/jatak/worker"
)

// house is a whole installation for one test.
type house struct {
	t     *testing.T
	db    *postgres.DB
	url   string // of the database
	redis redis.UniversalClient
	bell  *queue.Client
	keys  *managelink.Keyring
	log   logtest.Log   // of the workers
	fresh time.Duration // of the workers' pools; 0: the default
}

// says waits until a worker has logged a sentence.
func (h *house) says(sentence string) {
	h.t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(30 * time.Second); !strings.Contains(h.log.String(), sentence); <-tick.C {
		if time.Now().After(deadline) {
			h.t.Fatalf("no log says %q:\n%s", sentence, h.log.String())
		}
	}
}

// tries returns the attempts at a campaign's mails, by address.
func (h *house) tries(id campaign.ID) map[string]postgrestest.Tries {
	h.t.Helper()
	return postgrestest.TriesOf(h.t, h.url, int64(id))
}

func newHouse(t *testing.T, contacts int) *house {
	t.Helper()
	h := &house{t: t}
	h.db, h.url = postgrestest.New(t)
	h.redis, _ = queuetest.New(t)
	h.bell = queue.NewClient(h.redis)
	var err error
	if h.keys, err = managelink.ParseKeys("k1:5f2c9a7e1b3d4860f7a91c2e8b6d5043"); err != nil {
		t.Fatal(err)
	}
	err = h.db.Import(t.Context(), func(im *postgres.Import) error {
		_, err := im.Contacts(t.Context(), crowd(contacts), func(u contact.Objection) { t.Errorf("unknown %v", u) })
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func address(n int) string { return fmt.Sprintf("p%d@example.org", n) }

func crowd(n int) iter.Seq2[contact.LegacyContact, error] {
	return func(yield func(contact.LegacyContact, error) bool) {
		for i := range n {
			a := address(i)
			c := contact.LegacyContact{ID: fmt.Sprint(i), Email: a, Address: contact.Address(a), Digest: []byte(a),
				FirstName: "Bo", LastName: fmt.Sprint("Nr", i), Language: "da"}
			if !yield(c, nil) {
				return
			}
		}
	}
}

// draft keeps a campaign.
func (h *house) draft() campaign.ID {
	h.t.Helper()
	id, err := h.db.CreateCampaign(h.t.Context(), campaign.Content{
		Name: "c", FromName: "Ja Tak", FromAddress: "news@jatak.example", PostalAddress: "Pakhuskaj 7", DefaultLanguage: "da",
		Variants: map[string]campaign.Variant{"da": {
			Subject: "Hej {{ contact.first_name }}", HTML: `<p>Hej {{ contact.last_name }}</p><a href="[[link.subscription]]">Afmeld her</a> Pakhuskaj 7`}},
	}, time.Now())
	if err != nil {
		h.t.Fatal(err)
	}
	return id
}

// launch keeps and launches a campaign.
func (h *house) launch() campaign.ID { return h.launchPaced(0) }

// launchPaced does so with a bound on its mails a second.
func (h *house) launchPaced(perSecond float64) campaign.ID {
	h.t.Helper()
	now := time.Now()
	id := h.draft()
	if err := h.db.SetPace(h.t.Context(), id, perSecond); err != nil {
		h.t.Fatal(err)
	}
	if err := h.db.Launch(h.t.Context(), id, campaign.Override{}, now); err != nil {
		h.t.Fatal(err)
	}
	if err := h.bell.RingPlan(h.t.Context(), id, now); err != nil {
		h.t.Fatal(err)
	}
	return id
}

// start runs a worker; stop ends it in good order.
func (h *house) start(relay string, change func(*worker.Options)) (stop func()) {
	h.t.Helper()
	relays, err := mailer.ParseRelays(relay)
	if err != nil {
		h.t.Fatal(err)
	}
	log := slog.New(slog.NewTextHandler(&h.log, nil))
	pool, err := mailer.NewPool(relays, mailer.Options{Log: log, Fresh: h.fresh})
	if err != nil {
		h.t.Fatal(err)
	}
	words, err := templates.New()
	if err != nil {
		h.t.Fatal(err)
	}
	o := worker.Options{
		Words: func(context.Context) *templates.Set { return words }, Store: h.db, Bell: h.bell, Redis: h.redis, Pool: pool, Relays: relays, Keys: h.keys, Log: log,
		PublicURL: "https://jatak.example", UnsubscribeMailbox: "unsubscribe@jatak.example", ChunkSize: 50, Window: 8,
		Lease: 3 * time.Second, SweepEvery: 100 * time.Millisecond, BellPatience: 300 * time.Millisecond,
		RetryBase: 50 * time.Millisecond, Resend: true, Grace: 10 * time.Second,
	}
	if change != nil {
		change(&o)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- worker.New(o).Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			h.t.Errorf("the worker ended with %v", err)
		}
	})
	h.t.Cleanup(stop)
	return stop
}

// await waits until the books say so.
func (h *house) await(id campaign.ID, what string, so func(campaign.Campaign, campaign.Report) bool) campaign.Report {
	h.t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		c, err := h.db.Campaign(h.t.Context(), id)
		if err != nil {
			h.t.Fatal(err)
		}
		books, err := h.db.Books(h.t.Context(), id)
		if err != nil {
			h.t.Fatal(err)
		}
		if err := books.Balanced(); err != nil {
			h.t.Fatal(err)
		}
		if so(c, books) {
			return books
		}
		if time.Now().After(deadline) {
			h.t.Fatalf("waited too long for %s: %s, %+v", what, c.State, books)
		}
		<-tick.C
	}
}

func (h *house) finished(id campaign.ID) campaign.Report {
	h.t.Helper()
	return h.await(id, "the end", func(c campaign.Campaign, _ campaign.Report) bool { return c.State == campaign.StateFinished })
}

// once holds the sink to each of the addresses having one mail.
func once(t *testing.T, sink *mailertest.Sink, n int) {
	t.Helper()
	got := map[string]int{}
	for _, m := range sink.Messages() {
		got[m.To]++
	}
	for i := range n {
		if got[address(i)] != 1 {
			t.Errorf("%s got %d mails", address(i), got[address(i)])
		}
	}
	if len(got) != n {
		t.Errorf("%d addresses got mail, want %d", len(got), n)
	}
}

func TestCampaignReachesEverybodyOnce(t *testing.T) {
	t.Parallel()
	h := newHouse(t, 300)
	sink := mailertest.New(t, nil)
	h.start(sink.URL("max_conns=4"), nil)
	id := h.launch()
	if books := h.finished(id); books.Sent != 300 || books.Audience != 300 {
		t.Errorf("books %+v", books)
	}
	once(t, sink, 300)

	seen := map[string]bool{}
	for _, m := range sink.Messages() {
		message, err := mail.ReadMessage(strings.NewReader(m.Data))
		if err != nil {
			t.Fatal(err)
		}
		header := message.Header
		for name, want := range map[string]string{
			"List-Unsubscribe-Post": "List-Unsubscribe=One-Click", "List-Id": "<all.jatak.example>", "Subject": "Hej Bo",
		} {
			if header.Get(name) != want {
				t.Errorf("%s is %q, want %q", name, header.Get(name), want)
			}
		}
		unsubscribe := header.Get("List-Unsubscribe")
		token, _, _ := strings.Cut(strings.TrimPrefix(unsubscribe, "<https://jatak.example/u/"), ">")
		link, err := h.keys.Open(token, time.Now())
		if err != nil || link.Kind != managelink.Withdraw || link.Campaign != int64(id) || !strings.Contains(unsubscribe, "<mailto:unsubscribe@jatak.example?subject="+token+">") {
			t.Errorf("List-Unsubscribe %q: %+v, %v", unsubscribe, link, err)
		}
		for _, personal := range []string{unsubscribe, header.Get("Message-Id")} {
			if seen[personal] || strings.Contains(personal, "p1@") {
				t.Errorf("%q is not the recipient's own, or shows who it is", personal)
			}
			seen[personal] = true
		}
	}
}

func TestTwoWorkersShareACampaign(t *testing.T) {
	t.Parallel()
	h := newHouse(t, 600)
	sink := mailertest.New(t, nil)
	h.start(sink.URL("max_conns=2"), nil)
	h.start(sink.URL("max_conns=2"), nil)
	if books := h.finished(h.launch()); books.Sent != 600 {
		t.Errorf("books %+v", books)
	}
	once(t, sink, 600)
}

// What a relay does to some is booked for those, and tried again when there is
// sense in it.
func TestRepliesAreBooked(t *testing.T) {
	t.Parallel()
	h := newHouse(t, 40)
	var mu sync.Mutex
	tries := map[string]int{}
	sink := mailertest.New(t, func(at, to string) *mailertest.Do {
		mu.Lock()
		defer mu.Unlock()
		switch {
		case at == "RCPT" && to == address(3):
			return &mailertest.Do{Reply: "550 5.1.1 no such user"}
		case at == "RCPT" && to == address(5):
			if tries[to]++; tries[to] <= 2 {
				return &mailertest.Do{Reply: "451 4.7.1 greylisted"}
			}
		case at == "DOT" && to == address(7):
			if tries[to]++; tries[to] == 1 {
				return &mailertest.Do{HangUp: true}
			}
		case at == "RCPT" && to == address(9):
			return &mailertest.Do{Reply: "452 4.2.2 always full"}
		case at == "DOT" && to == address(11):
			return &mailertest.Do{Reply: "250 2.0.0 queued as \x00\x1b[1m\xff"}
		case at == "RCPT" && to == address(13):
			return &mailertest.Do{Reply: "550 5.1.1 no \x00 such user"}
		}
		return nil
	})
	h.start(sink.URL("max_conns=2"), func(o *worker.Options) { o.MaxAttempts = 4 })
	books := h.finished(h.launch())
	if books.Sent != 37 || books.Failed != 3 {
		t.Errorf("books %+v, want 37 sent and 3 failed", books)
	}
	got := map[string]int{}
	for _, m := range sink.Messages() {
		got[m.To]++
	}
	if got[address(3)] != 0 || got[address(5)] != 1 || got[address(7)] != 1 || got[address(9)] != 0 {
		t.Errorf("arrived %v", got)
	}
}

func TestDoubtWaitsForAPersonWhenHeld(t *testing.T) {
	t.Parallel()
	h := newHouse(t, 5)
	sink := mailertest.New(t, func(at, to string) *mailertest.Do {
		if at == "DOT" && to == address(2) {
			return &mailertest.Do{HangUp: true}
		}
		return nil
	})
	h.start(sink.URL(), func(o *worker.Options) { o.Resend = false })
	if books := h.finished(h.launch()); books.Sent != 4 || books.InDoubt != 1 {
		t.Errorf("books %+v, want one in doubt", books)
	}
}

// A relay that takes a mail and cuts the connection each time does not get it again
// and again.
func TestMailInDoubtIsSentAgainOnce(t *testing.T) {
	t.Parallel()
	h := newHouse(t, 5)
	sink := mailertest.New(t, func(at, to string) *mailertest.Do {
		if at == "DOT" && to == address(2) {
			return &mailertest.Do{HangUp: true, Keep: true}
		}
		return nil
	})
	h.start(sink.URL(), nil)
	id := h.launch()
	if books := h.finished(id); books.Sent != 4 || books.InDoubt != 1 {
		t.Errorf("books %+v, want one in doubt", books)
	}
	h.doubledOnlyInDoubt(id, 5, 1, sink)
}

// Four workers see a part of the failures each, too few for any of them to judge by.
// Together they pause the campaign, and whoever resumes it begins anew.
func TestWorkersCountFailuresTogether(t *testing.T) {
	t.Parallel()
	const contacts, workers = 240, 4
	h := newHouse(t, contacts)
	var mu sync.Mutex
	refuses := true
	sink := mailertest.New(t, func(at, _ string) *mailertest.Do {
		mu.Lock()
		defer mu.Unlock()
		if at == "RCPT" && refuses {
			return &mailertest.Do{Reply: "550 5.7.1 we do not want your mail"}
		}
		return nil
	})
	id := h.launchPaced(60)
	for n := range workers - 1 {
		stop := h.start(sink.URL("max_conns=1"), func(o *worker.Options) { o.ChunkSize = 10 })
		h.await(id, "failures at one worker", func(_ campaign.Campaign, b campaign.Report) bool { return b.Failed > int64(25*(n+1)) })
		stop()
	}
	h.start(sink.URL("max_conns=1"), nil)
	books := h.await(id, "the pause", func(c campaign.Campaign, b campaign.Report) bool {
		return c.State == campaign.StatePaused && b.Sending == 0
	})
	if books.Failed < 100 || books.Failed > 160 {
		t.Errorf("%d mails failed before the pause, want about 100", books.Failed)
	}
	kept, err := h.db.Campaign(t.Context(), id)
	if err != nil || !strings.HasSuffix(kept.PauseReason, "550 we do not want your mail") {
		t.Errorf("the reason is %q, %v", kept.PauseReason, err)
	}
	mu.Lock()
	refuses = false
	mu.Unlock()
	if err := h.db.Resume(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	if after := h.finished(id); after.Sent != contacts-books.Failed || after.Failed != books.Failed {
		t.Errorf("books %+v after the relay was mended, with %d failed before", after, books.Failed)
	}
}

// Doubts of workers that were killed are no reason to leave a mail for a person: the
// next time its relay cuts the connection it is sent again.
func TestLapseIsNoDoubtOfTheRelay(t *testing.T) {
	t.Parallel()
	h := newHouse(t, 1)
	sink := mailertest.New(t, firstTimes(1, func(at, _ string) *mailertest.Do {
		if at == "DOT" {
			return &mailertest.Do{HangUp: true}
		}
		return nil
	}))
	id := h.draft()
	now := time.Now()
	if err := h.db.Launch(t.Context(), id, campaign.Override{}, now); err != nil {
		t.Fatal(err)
	}
	if _, _, err := h.db.PlanChunk(t.Context(), id, 10, now, gating.Decide); err != nil {
		t.Fatal(err)
	}
	dead, err := h.db.StartWorker(t.Context(), "dead", time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	_, rows, err := h.db.Claim(t.Context(), campaign.ClaimRequest{Worker: dead, Campaign: id, Batch: 1, Limit: 10, Now: now, Class: gating.Marketing})
	if err != nil || len(rows) != 1 {
		t.Fatal(len(rows), err)
	}
	if err := h.db.StopWorker(t.Context(), dead); err != nil {
		t.Fatal(err)
	}
	h.start(sink.URL(), nil)
	if books := h.finished(id); books.Sent != 1 {
		t.Errorf("books %+v, want it sent", books)
	}
	if tries := h.tries(id)[address(0)]; tries.Doubts != 2 {
		t.Errorf("%+v, want both doubts in the ledger", tries)
	}
}

// firstTimes plays a script for the first so many times that it does something.
func firstTimes(n int, script mailertest.Script) mailertest.Script {
	var mu sync.Mutex
	return func(at, to string) *mailertest.Do {
		do := script(at, to)
		mu.Lock()
		defer mu.Unlock()
		if do == nil || n == 0 {
			return nil
		}
		n--
		return do
	}
}

// When many mails are in doubt, the campaign is paused with the reason.
func TestTooManyDoubtsPauseTheCampaign(t *testing.T) {
	t.Parallel()
	const contacts = 300
	h := newHouse(t, contacts)
	sink := mailertest.New(t, func(at, to string) *mailertest.Do {
		if local, _, _ := strings.Cut(to, "@"); at == "DOT" && strings.ContainsAny(local[len(local)-1:], "258") {
			return &mailertest.Do{HangUp: true, Keep: true}
		}
		return nil
	})
	h.start(sink.URL("max_conns=2"), nil)
	id := h.launch()
	h.await(id, "the pause", func(c campaign.Campaign, b campaign.Report) bool {
		return c.State == campaign.StatePaused && b.Sending == 0
	})
	kept, err := h.db.Campaign(t.Context(), id)
	if err != nil || !strings.HasSuffix(kept.PauseReason, "EOF") || !strings.Contains(kept.PauseReason, "lost after the mail was handed over") {
		t.Errorf("the reason is %q, %v", kept.PauseReason, err)
	}
	copies := map[string]int{}
	for _, m := range sink.Messages() {
		if copies[m.To]++; copies[m.To] > 2 {
			t.Errorf("%s got %d mails", m.To, copies[m.To])
		}
	}
}

// Whoever withdraws while the campaign runs is not mailed: only what is in the
// window may still leave.
func TestWithdrawalStopsAMailThatIsPlanned(t *testing.T) {
	t.Parallel()
	const n = 100
	h := newHouse(t, n)
	gate := make(chan struct{})
	sink := mailertest.New(t, func(at, _ string) *mailertest.Do {
		if at == "DATA" {
			return &mailertest.Do{Wait: gate}
		}
		return nil
	})
	h.start(sink.URL("max_conns=1"), func(o *worker.Options) { o.Window = 4; o.Tasks = 1 })
	id := h.launch()
	h.await(id, "planning", func(c campaign.Campaign, _ campaign.Report) bool { return c.State == campaign.StateSending })
	off := false
	for i := n - 10; i < n; i++ {
		changed, err := h.db.Choose(t.Context(), contact.Choices{Contact: contact.ID(i + 1), Source: gating.SourceOneClick, At: time.Now(), Emarketing: &off})
		if err != nil || !changed {
			t.Fatal(changed, err)
		}
	}
	close(gate)
	books := h.finished(id)
	if books.Sent != n-10 || books.Blocked[gating.Withdrawn] != 10 {
		t.Errorf("books %+v", books)
	}
	once(t, sink, n-10)
}

func TestStoppedWorkerLeavesNothingBehindAndTheNextGoesOn(t *testing.T) {
	t.Parallel()
	h := newHouse(t, 400)
	sink := mailertest.New(t, nil)
	stop := h.start(sink.URL("max_conns=2"), nil)
	id := h.launch()
	h.await(id, "the first mails", func(_ campaign.Campaign, r campaign.Report) bool { return r.Sent > 20 })
	stop()
	h.await(id, "nothing in flight", func(_ campaign.Campaign, r campaign.Report) bool { return r.Sending == 0 })
	h.start(sink.URL("max_conns=2"), nil)
	if books := h.finished(id); books.Sent != 400 {
		t.Errorf("books %+v", books)
	}
	once(t, sink, 400)
}

func TestEmptiedRedisCostsSecondsNotMails(t *testing.T) {
	t.Parallel()
	h := newHouse(t, 400)
	gate := make(chan struct{})
	sink := mailertest.New(t, func(at, to string) *mailertest.Do {
		if at == "DATA" && to == address(150) {
			return &mailertest.Do{Wait: gate}
		}
		return nil
	})
	h.start(sink.URL("max_conns=2"), nil)
	id := h.launch()
	h.await(id, "the first mails", func(_ campaign.Campaign, r campaign.Report) bool { return r.Sent > 20 })
	if err := h.redis.FlushAll(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	close(gate)
	if books := h.finished(id); books.Sent != 400 {
		t.Errorf("books %+v", books)
	}
	once(t, sink, 400)
}

// With no relay to be reached nothing is claimed, and no attempt is counted.
func TestRelayThatIsAwayCostsNoAttempts(t *testing.T) {
	t.Parallel()
	h := newHouse(t, 30)
	away := mailertest.New(t, nil)
	url := away.URL("max_conns=2")
	away.Close()
	stop := h.start(url, func(o *worker.Options) { o.MaxAttempts = 1 })
	id := h.launch()
	h.await(id, "planning", func(c campaign.Campaign, _ campaign.Report) bool { return c.State == campaign.StateSending })
	books := h.await(id, "all pending", func(_ campaign.Campaign, r campaign.Report) bool { return r.Sending == 0 })
	if books.Pending != 30 {
		t.Errorf("books %+v, want all pending", books)
	}
	stop()
	back := mailertest.New(t, nil)
	h.start(back.URL("max_conns=2"), func(o *worker.Options) { o.MaxAttempts = 1 })
	if books := h.finished(id); books.Sent != 30 {
		t.Errorf("books %+v", books)
	}
}

// A person who signs up gets one confirmation mail, whose link confirms.
func TestNotices(t *testing.T) {
	t.Parallel()
	h := newHouse(t, 0)
	first := true
	var mu sync.Mutex
	sink := mailertest.New(t, func(at, to string) *mailertest.Do {
		mu.Lock()
		defer mu.Unlock()
		if at == "RCPT" && strings.Contains(to, "gone@") {
			return &mailertest.Do{Reply: "550 5.1.1 nobody here"}
		}
		if at == "RCPT" && first {
			first = false
			return &mailertest.Do{Reply: "451 4.3.0 later"}
		}
		return nil
	})
	now := time.Now()
	for name, value := range map[gating.Setting]string{
		contact.SettingSenderName: "Nordlys & Søn", contact.SettingSenderAddress: "news@jatak.example", contact.SettingPostalAddress: "Pakhuskaj 7",
	} {
		if err := h.db.Set(t.Context(), name, value, "test", now); err != nil {
			t.Fatal(err)
		}
	}
	for _, a := range []contact.Address{"nora@example.org", "gone@example.org"} {
		result, err := h.db.SignUp(t.Context(), contact.SignUp{Email: string(a), Address: a, Digest: []byte(a), FirstName: "Nora", Purpose: gating.PurposeEmarketing,
			Wording: "Ja tak", Locale: "da", Network: []byte("net"), Now: now, Life: time.Hour})
		if err != nil || result != contact.SignUpKept {
			t.Fatalf("%s: %s, %v", a, result, err)
		}
	}
	stop := h.start(sink.URL("max_conns=1"), nil)
	deadline := time.Now().Add(30 * time.Second)
	settled := func() bool {
		for _, a := range []contact.Address{"nora@example.org", "gone@example.org"} {
			ids, err := h.db.FindContacts(t.Context(), a)
			if err != nil || len(ids) != 1 {
				t.Fatalf("%s: %v, %v", a, ids, err)
			}
			d, err := h.db.Dossier(t.Context(), ids[0], staff.Entry{Actor: "test", Action: staff.ContactView, At: now})
			if err != nil || len(d.Notices) != 1 {
				t.Fatalf("%s: %v, %v", a, d.Notices, err)
			}
			want := map[contact.Address]string{"nora@example.org": "sent", "gone@example.org": "failed"}[a]
			if d.Notices[0].State != want {
				return false
			}
		}
		return true
	}
	for tick := time.NewTicker(20 * time.Millisecond); !settled(); <-tick.C {
		if time.Now().After(deadline) {
			t.Fatal("the notices are not settled")
		}
	}
	stop()
	mails := sink.Messages()
	if len(mails) != 1 {
		t.Fatalf("%d mails", len(mails))
	}
	m, err := mail.ReadMessage(strings.NewReader(mails[0].Data))
	if err != nil {
		t.Fatal(err)
	}
	if m.Header.Get("Auto-Submitted") != "auto-generated" || m.Header.Get("List-Unsubscribe") != "" || !strings.Contains(m.Header.Get("To"), "nora@example.org") {
		t.Errorf("the header is %v", m.Header)
	}
	_, rest, found := strings.Cut(strings.ReplaceAll(mails[0].Data, "=\r\n", ""), "https://jatak.example/c/")
	token, _, _ := strings.Cut(rest, "\r\n")
	link, err := h.keys.Open(strings.TrimSpace(token), time.Now())
	if !found || err != nil || link.Kind != managelink.Confirm {
		t.Fatalf("the link %q: %+v, %v", token, link, err)
	}
	if err := h.db.ConfirmSignUp(t.Context(), contact.ID(link.Contact), link.SignUp, time.Now()); err != nil {
		t.Error(err)
	}
}

// Pause, resume and cancel act on a campaign that is being sent.
func TestPauseResumeCancel(t *testing.T) {
	t.Parallel()
	h := newHouse(t, 400)
	sink := mailertest.New(t, nil)
	h.start(sink.URL("max_conns=2"), nil)
	id := h.launchPaced(200)
	h.await(id, "some mails", func(_ campaign.Campaign, b campaign.Report) bool { return b.Sent > 20 })
	if err := h.db.Pause(t.Context(), id, "lunch"); err != nil {
		t.Fatal(err)
	}
	// In flight is at most a window; after it, nothing.
	h.await(id, "silence", func(_ campaign.Campaign, b campaign.Report) bool { return b.Sending == 0 })
	before := len(sink.Messages())
	time.Sleep(500 * time.Millisecond) // what must not happen cannot be awaited
	if n := len(sink.Messages()); n != before {
		t.Errorf("%d mails left while the campaign was paused", n-before)
	}
	if err := h.db.Resume(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	h.await(id, "more mails", func(_ campaign.Campaign, b campaign.Report) bool { return b.Sent > int64(before)+20 })
	if err := errors.Join(h.db.End(t.Context(), id, time.Now()), h.db.CancelRest(t.Context(), id, time.Now())); err != nil {
		t.Fatal(err)
	}
	books := h.await(id, "the end", func(_ campaign.Campaign, b campaign.Report) bool { return b.Open() == 0 })
	if books.Cancelled == 0 || books.Sent+books.Cancelled != books.Audience {
		t.Errorf("books %+v", books)
	}
	if int64(len(sink.Messages())) != books.Sent {
		t.Errorf("%d mails for %d sent", len(sink.Messages()), books.Sent)
	}
	for name, err := range map[string]error{
		"resume": h.db.Resume(t.Context(), id), "pause": h.db.Pause(t.Context(), id, ""), "cancel": h.db.End(t.Context(), id, time.Now()),
	} {
		if err == nil {
			t.Errorf("a cancelled campaign can be told to %s", name)
		}
	}
}

// A pace holds for all workers together, and can be changed while sending.
func TestPaceIsSharedByAllWorkers(t *testing.T) {
	t.Parallel()
	h := newHouse(t, 300)
	sink := mailertest.New(t, nil)
	for range 3 {
		h.start(sink.URL("max_conns=4"), nil)
	}
	started := time.Now()
	id := h.launchPaced(100)
	h.await(id, "some mails", func(_ campaign.Campaign, b campaign.Report) bool { return b.Sent >= 150 })
	// The bucket holds a twentieth of a second.
	if took := time.Since(started); took < 1400*time.Millisecond {
		t.Errorf("150 mails at 100/s took %s", took)
	}
	if err := h.db.SetPace(t.Context(), id, 0); err != nil {
		t.Fatal(err)
	}
	if books := h.finished(id); books.Sent != 300 {
		t.Errorf("books %+v", books)
	}
	once(t, sink, 300)
}

func TestScheduledCampaignsStartByThemselves(t *testing.T) {
	t.Parallel()
	h := newHouse(t, 20)
	sink := mailertest.New(t, nil)
	id := h.draft()
	at := time.Now().Add(700 * time.Millisecond)
	if err := h.db.Schedule(t.Context(), id, at, campaign.Override{}); err != nil {
		t.Fatal(err)
	}
	h.start(sink.URL(""), nil)
	if books := h.finished(id); books.Sent != 20 {
		t.Errorf("books %+v", books)
	}
	c, err := h.db.Campaign(t.Context(), id)
	if err != nil || c.Launched.Before(at) {
		t.Errorf("launched %s, scheduled for %s, %v", c.Launched, at, err)
	}
}

// What failed, or is in doubt, can be sent again, and the campaign ends anew.
func TestResend(t *testing.T) {
	t.Parallel()
	h := newHouse(t, 10)
	var mu sync.Mutex
	refuse := true
	sink := mailertest.New(t, func(at, to string) *mailertest.Do {
		mu.Lock()
		defer mu.Unlock()
		if refuse && at == "RCPT" && strings.HasPrefix(to, "p3@") {
			return &mailertest.Do{Reply: "550 5.1.1 nobody here"}
		}
		return nil
	})
	h.start(sink.URL(""), nil)
	id := h.launch()
	if books := h.finished(id); books.Sent != 9 || books.Failed != 1 {
		t.Fatalf("books %+v", books)
	}
	mu.Lock()
	refuse = false
	mu.Unlock()
	if n, err := h.db.Resend(t.Context(), id, campaign.Failed, campaign.ReplyCode{Basic: 451}, "test", time.Now()); err != nil || n != 0 {
		t.Errorf("with another code: %d, %v", n, err)
	}
	if n, err := h.db.Resend(t.Context(), id, campaign.Failed, campaign.ReplyCode{Basic: 550}, "test", time.Now()); err != nil || n != 1 {
		t.Fatalf("resend: %d, %v", n, err)
	}
	if books := h.finished(id); books.Sent != 10 || books.Failed != 0 {
		t.Errorf("books %+v", books)
	}
	once(t, sink, 10)
}

// When nearly everything fails, the campaign is paused with the reason, and a
// person can let it go on.
func TestTooManyFailuresPauseTheCampaign(t *testing.T) {
	t.Parallel()
	h := newHouse(t, 1000)
	var mu sync.Mutex
	blocked := true
	sink := mailertest.New(t, func(at, to string) *mailertest.Do {
		mu.Lock()
		defer mu.Unlock()
		if blocked && at == "RCPT" {
			return &mailertest.Do{Reply: "550 5.7.1 your network is on a list"}
		}
		return nil
	})
	h.start(sink.URL("max_conns=2"), nil)
	id := h.launch()
	books := h.await(id, "the pause", func(c campaign.Campaign, b campaign.Report) bool {
		return c.State == campaign.StatePaused && b.Sending == 0
	})
	if books.Failed == 0 || books.Failed > 400 {
		t.Errorf("%d of 1000 failed before the pause", books.Failed)
	}
	kept, err := h.db.Campaign(t.Context(), id)
	if err != nil || !strings.Contains(kept.PauseReason, "your network is on a list") {
		t.Errorf("the reason is %q, %v", kept.PauseReason, err)
	}
	mu.Lock()
	blocked = false
	mu.Unlock()
	if err := h.db.Resume(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	if got := h.finished(id); got.Sent != 1000-books.Failed {
		t.Errorf("books %+v", got)
	}
}
