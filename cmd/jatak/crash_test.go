package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jatak-mail/jatak/internal/campaign"
	"github.com/jatak-mail/jatak/internal/mailer/mailertest"
	"github.com/jatak-mail/jatak/internal/postgres"
	"github.com/jatak-mail/jatak/internal/postgres/postgrestest"
	"github.com/jatak-mail/jatak/internal/queue"
	"github.com/jatak-mail/jatak/internal/queue/queuetest"
)

// installation is servers for worker processes.
type installation struct {
	t    *testing.T
	db   *postgres.DB
	bell *queue.Client
	env  []string
	sink *mailertest.Sink
}

const testWindow = 16

func install(t *testing.T, contacts int, script mailertest.Script) *installation {
	t.Helper()
	db, databaseURL := postgrestest.New(t)
	return installOn(t, contacts, script, db, databaseURL)
}

// installOn does so on a database of the test's.
func installOn(t *testing.T, contacts int, script mailertest.Script, db *postgres.DB, databaseURL string) *installation {
	t.Helper()
	i := &installation{t: t, sink: mailertest.New(t, script), db: db}
	client, redisURL := queuetest.New(t)
	i.bell = queue.NewClient(client)
	i.env = append(os.Environ(),
		"JATAK_DATABASE_URL="+databaseURL, "JATAK_REDIS_URL="+redisURL, "JATAK_SMTP_URLS="+i.sink.URL("max_conns=8"),
		"JATAK_PUBLIC_URL=https://jatak.example", "JATAK_SECRET_KEYS=k:4be1ab23c8f05d7796e34f1a0c52d8e7",
		fmt.Sprint("JATAK_WINDOW=", testWindow), "JATAK_LEASE=3s", "JATAK_SWEEP_EVERY=100ms", "JATAK_RETRY_BASE=1s")

	dir := t.TempDir()
	var rows strings.Builder
	rows.WriteString("id,email,first_name,last_name,company_id,language,no_mailings,left,interests\n")
	for n := range contacts {
		fmt.Fprintf(&rows, "%d,p%d@example.org,Bo,Nr %d,,da,0,0,\n", n, n, n)
	}
	for name, text := range map[string]string{
		"contacts.csv": rows.String(), "companies.csv": "id,name,no_mailings\n",
		"mailings.csv": "contact_id,mailing,sent_at,status\n", "interests.csv": "interest,subscription_type\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	i.run("import", dir)
	return i
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

// process is a worker in a process of its own.
type process struct {
	*exec.Cmd
	log   bytes.Buffer
	ended chan error
}

func (i *installation) worker() *process {
	i.t.Helper()
	p := &process{Cmd: exec.Command("jatak", "worker"), ended: make(chan error, 1)}
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

func (i *installation) await(id campaign.ID, what string, so func(campaign.Campaign, campaign.Report) bool) campaign.Report {
	i.t.Helper()
	ctx, cancel := context.WithTimeout(i.t.Context(), 90*time.Second)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		kept, err := i.db.Campaign(ctx, id)
		if err != nil {
			i.t.Fatalf("waiting for %s: %v", what, err)
		}
		books, err := i.db.Books(ctx, id)
		if err != nil {
			i.t.Fatalf("waiting for %s: %v", what, err)
		}
		if err := books.Balanced(); err != nil {
			i.t.Fatal(err)
		}
		if so(kept, books) {
			return books
		}
		<-tick.C
	}
}

func finished(kept campaign.Campaign, _ campaign.Report) bool {
	return kept.State == campaign.StateFinished
}

// arrivals counts the mails of each address, by Message-ID.
func (i *installation) arrivals() (byAddress map[string]int, ids map[string]map[string]bool) {
	byAddress, ids = map[string]int{}, map[string]map[string]bool{}
	for _, m := range i.sink.Messages() {
		byAddress[m.To]++
		_, rest, _ := strings.Cut(m.Data, "Message-ID: ")
		id, _, _ := strings.Cut(rest, "\r\n")
		if ids[m.To] == nil {
			ids[m.To] = map[string]bool{}
		}
		ids[m.To][id] = true
	}
	return byAddress, ids
}

// A worker killed again and again, in planning as well as in sending, loses
// nobody, and doubles at most one window for each time.
func TestKilledWorkersLoseNobody(t *testing.T) {
	t.Parallel()
	const contacts, kills = 4000, 8
	i := install(t, contacts, nil)
	p := i.worker()
	id := i.launch()
	for n := range kills {
		want := int64(contacts * n / (2 * kills))
		i.await(id, "some mails", func(_ campaign.Campaign, r campaign.Report) bool { return r.Sent > want })
		p.kill()
		p = i.worker()
	}
	books := i.await(id, "the end", finished)
	if books.Sent != contacts {
		t.Errorf("books %+v, want %d sent\n%s", books, contacts, &p.log)
	}
	arrived, ids := i.arrivals()
	doubled := 0
	for n := range contacts {
		address := fmt.Sprintf("p%d@example.org", n)
		switch {
		case arrived[address] == 0:
			t.Errorf("%s was lost", address)
		case len(ids[address]) != 1:
			t.Errorf("the mails to %s have different Message-IDs: %v", address, ids[address])
		}
		doubled += arrived[address] - 1
	}
	if doubled > kills*testWindow {
		t.Errorf("%d mails were doubled, at most %d may be", doubled, kills*testWindow)
	}
	t.Logf("%d mails doubled by %d kills; the window is %d", doubled, kills, testWindow)
}

func TestTwoWorkerProcessesShareACampaign(t *testing.T) {
	t.Parallel()
	const contacts = 3000
	i := install(t, contacts, nil)
	first, second := i.worker(), i.worker()
	if books := i.await(i.launch(), "the end", finished); books.Sent != contacts {
		t.Errorf("books %+v", books)
	}
	arrived, _ := i.arrivals()
	for address, n := range arrived {
		if n != 1 {
			t.Errorf("%s got %d mails", address, n)
		}
	}
	if len(arrived) != contacts {
		t.Errorf("%d people got mail, want %d", len(arrived), contacts)
	}
	for _, p := range []*process{first, second} {
		_ = p.Process.Signal(syscall.SIGTERM)
		if err := <-p.ended; err != nil {
			t.Errorf("SIGTERM: %v\n%s", err, &p.log)
		}
		if strings.Contains(p.log.String(), "@example.org") {
			t.Errorf("the log names recipients:\n%s", &p.log)
		}
	}
}

// SIGTERM drains what is in flight and ends with status 0, and the next worker
// finds nothing in doubt.
func TestTermDrains(t *testing.T) {
	t.Parallel()
	const contacts = 500
	gate := make(chan struct{})
	open := sync.OnceFunc(func() { close(gate) })
	t.Cleanup(open)
	i := install(t, contacts, func(at, to string) *mailertest.Do {
		if at == "DOT" && to == "p300@example.org" {
			return &mailertest.Do{Wait: gate}
		}
		return nil
	})
	p := i.worker()
	id := i.launch()
	i.await(id, "the mail that waits", func(_ campaign.Campaign, r campaign.Report) bool { return r.Sent > 310 })
	_ = p.Process.Signal(syscall.SIGTERM)
	open()
	if err := <-p.ended; err != nil {
		t.Errorf("the worker ended with %v\n%s", err, &p.log)
	}
	i.await(id, "nothing in flight", func(_ campaign.Campaign, r campaign.Report) bool { return r.Sending == 0 })
	i.worker()
	if books := i.await(id, "the end", finished); books.Sent != contacts {
		t.Errorf("books %+v", books)
	}
	if arrived, _ := i.arrivals(); len(arrived) != contacts || len(i.sink.Messages()) != contacts {
		t.Errorf("%d people got %d mails, want %d each", len(arrived), len(i.sink.Messages()), contacts)
	}
}
