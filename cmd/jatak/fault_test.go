package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jatak-mail/jatak/internal/campaign"
	"github.com/jatak-mail/jatak/internal/embedded"
	"github.com/jatak-mail/jatak/internal/logtest"
	"github.com/jatak-mail/jatak/internal/mailer/mailertest"
	"github.com/jatak-mail/jatak/internal/postgres"
	"github.com/jatak-mail/jatak/internal/postgres/postgrestest"
	"github.com/jatak-mail/jatak/internal/queue"
)

// The faults: real processes, and real servers that die. After each, nobody is
// lost, mails are doubled within the window only, the books balance at every
// look, and the log says what happened. "make test-faults" runs them alone.

// installation is servers for worker processes.
type installation struct {
	t     *testing.T
	db    *postgres.DB
	redis *embedded.Redis
	bell  *queue.Client
	env   []string
	url   string // of the database
	sink  *mailertest.Sink
}

// testWindow is --window of the workers: how many mails the death of one may
// double.
const testWindow = 16

func install(t *testing.T, contacts int, script mailertest.Script) *installation {
	t.Helper()
	db, databaseURL := postgrestest.New(t)
	return installOn(t, contacts, script, db, databaseURL)
}

// installOn does so on a database of the test's.
func installOn(t *testing.T, contacts int, script mailertest.Script, db *postgres.DB, databaseURL string) *installation {
	t.Helper()
	i := installEmpty(t, script, db, databaseURL)
	i.people(contacts)
	return i
}

// installEmpty does so, with nobody on file.
func installEmpty(t *testing.T, script mailertest.Script, db *postgres.DB, databaseURL string) *installation {
	t.Helper()
	i := &installation{t: t, sink: mailertest.New(t, script), db: db, url: databaseURL}
	i.sink.Light()
	var err error
	if i.redis, err = embedded.StartRedis(context.Background(), embedded.RedisOptions{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stopServer(i.redis) })
	client, err := queue.Connect(i.redis.URL())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	i.bell = queue.NewClient(client)
	i.env = append(os.Environ(),
		"JATAK_DATABASE_URL="+databaseURL, "JATAK_REDIS_URL="+i.redis.URL(), "JATAK_SMTP_URLS="+i.sink.URL("max_conns=8"),
		"JATAK_PUBLIC_URL=https://jatak.example", "JATAK_SECRET_KEYS=k:4be1ab23c8f05d7796e34f1a0c52d8e7", "JATAK_SELF_TEST=off",
		fmt.Sprint("JATAK_WINDOW=", testWindow), "JATAK_LEASE=3s", "JATAK_SWEEP_EVERY=100ms", "JATAK_RETRY_BASE=1s")
	return i
}

// people imports so many.
func (i *installation) people(contacts int) {
	i.t.Helper()
	dir := i.t.TempDir()
	var rows strings.Builder
	rows.WriteString("id,email,first_name,last_name,company_id,language,no_mailings,left,interests\n")
	for n := range contacts {
		fmt.Fprintf(&rows, "%d,%s,Bo,Nr %d,,da,0,0,\n", n, person(n), n)
	}
	for name, text := range map[string]string{
		"contacts.csv": rows.String(), "companies.csv": "id,name,no_mailings\n",
		"mailings.csv": "contact_id,mailing,sent_at,status\n", "interests.csv": "interest,subscription_type\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			i.t.Fatal(err)
		}
	}
	i.run("import", dir)
}

// person is the address of a contact: every tenth is at a domain of its own.
func person(n int) string {
	if n%10 == 3 {
		return fmt.Sprintf("p%d@other.example", n)
	}
	return fmt.Sprintf("p%d@example.org", n)
}

// set changes a setting of the processes that are started from now on.
func (i *installation) set(settings ...string) { i.env = append(i.env, settings...) }

func stopServer(s interface{ Stop(context.Context) error }) {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	_ = s.Stop(ctx)
}

// run runs a command to its end and returns what it printed.
func (i *installation) run(args ...string) string {
	i.t.Helper()
	command := exec.Command("jatak", args...)
	command.Env, command.Dir = i.env, i.t.TempDir()
	var stderr bytes.Buffer
	command.Stderr = &stderr
	out, err := command.Output()
	if err != nil {
		i.t.Fatalf("jatak %v: %v\n%s", args, err, &stderr)
	}
	return string(out)
}

// process is a worker or console in a process of its own.
type process struct {
	*exec.Cmd
	log   logtest.Log // what it says
	ended chan error
}

// lastWords returns the last of its log, for a message.
func (p *process) lastWords() string {
	text := p.log.String()
	return text[max(0, len(text)-4000):]
}

func (i *installation) worker() *process {
	i.t.Helper()
	return i.start("worker")
}

// start starts a command in a process of its own.
func (i *installation) start(command string) *process {
	i.t.Helper()
	p := &process{Cmd: exec.Command("jatak", command), ended: make(chan error, 1)}
	p.Env, p.Stderr = i.env, &p.log
	if err := p.Start(); err != nil {
		i.t.Fatal(err)
	}
	go func() { p.ended <- p.Wait() }()
	i.t.Cleanup(func() { _ = p.Process.Kill() })
	return p
}

// kill is kill -9.
func (p *process) kill() {
	_ = p.Process.Signal(syscall.SIGKILL)
	<-p.ended
}

// term is SIGTERM, and holds the worker to an end in good order.
func (p *process) term(t *testing.T) {
	t.Helper()
	_ = p.Process.Signal(syscall.SIGTERM)
	if err := <-p.ended; err != nil {
		t.Errorf("SIGTERM: %v\n%s", err, p.lastWords())
	}
}

// says waits until one of the workers has logged a sentence.
func says(t *testing.T, sentence string, workers ...*process) {
	t.Helper()
	deadline := time.Now().Add(60 * time.Second)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		for _, p := range workers {
			if strings.Contains(p.log.String(), sentence) {
				return
			}
		}
		if time.Now().After(deadline) {
			t.Fatalf("no log says %q; the last one ends:\n%s", sentence, workers[len(workers)-1].lastWords())
		}
		<-tick.C
	}
}

func (i *installation) launch() campaign.ID {
	i.t.Helper()
	content := campaign.Content{
		Name: "c", FromName: "Ja Tak", FromAddress: "news@jatak.example", PostalAddress: "Pakhuskaj 7", DefaultLanguage: "da",
		Variants: map[string]campaign.Variant{"da": {Subject: "Hej", HTML: `<a href="[[link.subscription]]">Afmeld her</a> Pakhuskaj 7`}},
	}
	id, err := i.db.CreateCampaign(i.t.Context(), content, time.Now())
	if err != nil {
		i.t.Fatal(err)
	}
	i.run("campaign", "launch", fmt.Sprint(id))
	return id
}

// await waits until the books say so, and holds them to balance at every look.
// A database that is away is looked at again.
func (i *installation) await(id campaign.ID, what string, so func(campaign.Campaign, campaign.Report) bool) campaign.Report {
	i.t.Helper()
	ctx, cancel := context.WithTimeout(i.t.Context(), 120*time.Second)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		kept, err := i.db.Campaign(ctx, id)
		var books campaign.Report
		if err == nil {
			books, err = i.db.Books(ctx, id)
		}
		if err == nil {
			if err := books.Balanced(); err != nil {
				i.t.Fatal(err)
			}
			if so(kept, books) {
				return books
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			i.t.Fatalf("waited too long for %s: %s, %+v, %v", what, kept.State, books, err)
		}
	}
}

func finished(kept campaign.Campaign, _ campaign.Report) bool {
	return kept.State == campaign.StateFinished
}

// moreThan waits for a number of sent mails.
func moreThan(n int) func(campaign.Campaign, campaign.Report) bool {
	return func(_ campaign.Campaign, r campaign.Report) bool { return r.Sent > int64(n) }
}

// sentToAll waits for the end and holds the books and the arrivals to it:
// everybody has a mail, all copies of one have the same Message-ID, no more were
// doubled than may be, and the ledger doubts each that was.
func (i *installation) sentToAll(id campaign.ID, contacts, mostDoubled int) {
	i.t.Helper()
	if books := i.await(id, "the end", finished); books.Sent != int64(contacts) || books.Audience != int64(contacts) {
		i.t.Errorf("books %+v, want %d sent", books, contacts)
	}
	i.arrived(id, contacts, mostDoubled)
}

func (i *installation) arrived(id campaign.ID, contacts, mostDoubled int) {
	i.t.Helper()
	tries := postgrestest.TriesOf(i.t, i.url, int64(id))
	copies, ids := map[string]int{}, map[string]string{}
	for _, m := range i.sink.Messages() {
		copies[m.To]++
		if before := ids[m.To]; before != "" && before != m.ID {
			i.t.Errorf("the mails to %s have different Message-IDs", m.To)
		}
		ids[m.To] = m.ID
	}
	doubled, lost, doubts := 0, 0, 0
	for n := range contacts {
		if copies[person(n)] == 0 {
			lost++
			continue
		}
		doubled += copies[person(n)] - 1
		of := tries[person(n)].Doubts
		if doubts += of; copies[person(n)]-1 > of {
			i.t.Errorf("%s got %d mails, and the ledger has %d doubts", person(n), copies[person(n)], of)
		}
	}
	if lost > 0 {
		i.t.Errorf("%d people were lost", lost)
	}
	if len(copies) > contacts {
		i.t.Errorf("%d people got mail, and there are %d", len(copies), contacts)
	}
	if doubled > mostDoubled {
		i.t.Errorf("%d mails were doubled, at most %d may be", doubled, mostDoubled)
	}
	i.t.Logf("%d mails doubled of %d in doubt, at most %d may be", doubled, doubts, mostDoubled)
}

const (
	wordDead      = "a worker ended without a word; the outcome of its mails is unknown"
	wordLease     = "the lease had run out: going on under a new number"
	wordRang      = "rang for batches that are due"
	wordFinished  = "campaign finished"
	wordTask      = "task failed; it will be tried again"
	wordRelayBack = "the relay can be reached again"
	wordStops     = "worker stops: finishing what is in flight"
	wordRelayGone = "a relay cannot be reached"
	wordLost      = "connections to a relay were lost"
	wordFarewell  = "a relay closes connections between mails"
	wordNotKept   = "outcomes could not be kept yet; trying again"
	wordKept      = "outcomes are kept again"
	wordPlan      = "rang again for planning"
	wordNoRedis   = "Redis cannot be used: bells and limits wait for it"
	wordRedisBack = "Redis can be used again"
	wordNoLease   = "the lease could not be renewed"
	wordLeaseEnds = "the lease runs out by itself"
	wordDoubt     = "outcomes could not be kept; their mails are in doubt"
)
