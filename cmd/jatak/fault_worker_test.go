package main

import (
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jatak-mail/jatak/internal/campaign"
	"github.com/jatak-mail/jatak/internal/mailer/mailertest"
	"github.com/jatak-mail/jatak/internal/postgres/postgrestest"
)

// A worker killed again and again, in planning as well as in sending, loses
// nobody, and doubles at most one window for each time.
func TestFaultWorkerKilledTwentyTimes(t *testing.T) {
	t.Parallel()
	const contacts, kills = 20000, 20
	i := install(t, contacts, nil)
	workers := []*process{i.worker()}
	id := i.launch()
	for n := range kills {
		i.await(id, "some mails", moreThan(contacts*9/10*n/kills))
		workers[n].kill()
		workers = append(workers, i.worker())
	}
	i.sentToAll(id, contacts, kills*testWindow)
	says(t, wordDead, workers...)
	says(t, wordFinished, workers...)
}

func TestFaultAllWorkersKilled(t *testing.T) {
	t.Parallel()
	const contacts = 3000
	i := install(t, contacts, nil)
	workers := []*process{i.worker(), i.worker(), i.worker()}
	id := i.launch()
	i.await(id, "some mails", moreThan(contacts/3))
	for _, p := range workers {
		_ = p.Process.Signal(syscall.SIGKILL)
	}
	for _, p := range workers {
		<-p.ended
	}
	next := i.worker()
	i.sentToAll(id, contacts, 3*testWindow)
	says(t, wordDead, next)
	says(t, wordFinished, next)
}

// A worker that is killed while it plans is carried on by the next: everybody
// is planned once.
func TestFaultPlanInterrupted(t *testing.T) {
	t.Parallel()
	const contacts, kills = 6000, 3
	// The relay greets nobody meanwhile: only planning goes on.
	gate := make(chan struct{})
	i := install(t, contacts, func(at, _ string) *mailertest.Do {
		if at == "CONNECT" {
			return &mailertest.Do{Wait: gate}
		}
		return nil
	})
	p := i.worker()
	workers := []*process{p}
	id := i.launch()
	for n := range kills {
		i.await(id, "some of the plan", func(c campaign.Campaign, r campaign.Report) bool {
			return r.Audience > int64(n*1000) || c.State == campaign.StateSending
		})
		p.kill()
		p = i.worker()
		workers = append(workers, p)
	}
	planned := i.await(id, "the plan", func(c campaign.Campaign, _ campaign.Report) bool { return c.State == campaign.StateSending })
	if planned.Audience != contacts {
		t.Errorf("%d people were planned, want %d", planned.Audience, contacts)
	}
	close(gate)
	i.sentToAll(id, contacts, kills*testWindow)
	says(t, "campaign planned", workers...)
}

// A worker is killed when a part of the plan is committed and its bell not yet rung:
// Redis takes nothing at that moment. The next worker finds both, the rows that wait
// and the plan that stands still.
func TestFaultKilledBeforeTheBell(t *testing.T) {
	t.Parallel()
	const contacts = 1500
	i := install(t, contacts, nil)
	p := i.worker()
	says(t, "worker started", p)
	held := postgrestest.Hold(t, i.url, "delivery")
	id := i.launch()
	held.Await(postgrestest.WritePlan)
	i.redisDo("CLIENT", "PAUSE", "60000", "WRITE")
	held.LetGo()
	i.await(id, "the first part of the plan", func(_ campaign.Campaign, r campaign.Report) bool { return r.Audience > 0 })
	p.kill()
	if n := len(i.sink.Messages()); n > 0 {
		t.Errorf("%d mails left before a bell was rung", n)
	}
	i.redisDo("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes") // and what they had asked for
	i.redisDo("CLIENT", "UNPAUSE")
	next := i.worker()
	i.sentToAll(id, contacts, 0)
	says(t, wordPlan, next)
	says(t, wordRang, next)
}

// A worker that stood still for longer than its lease finds that its mails are
// another's: it sends at most its window again, and overwrites no outcome.
func TestFaultWorkerStandsStill(t *testing.T) {
	t.Parallel()
	const contacts = 4000
	i := install(t, contacts, nil)
	p := i.worker()
	id := i.launch()
	i.await(id, "some mails", moreThan(contacts/4))
	if err := p.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	other := i.worker()
	says(t, wordDead, other)
	i.await(id, "more mails", moreThan(contacts/2))
	if err := p.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	i.sentToAll(id, contacts, testWindow)
	says(t, wordLease, p)
}

// A worker stands still in the middle of its sweep, a transaction that lets nobody
// else sweep: PostgreSQL ends it, and another worker takes over its mails.
func TestFaultWorkerStandsStillInItsSweep(t *testing.T) {
	t.Parallel()
	const contacts = 200
	gate, open := mailertest.Gate(t)
	i := install(t, contacts, func(at, to string) *mailertest.Do {
		if at == "DOT" && to == person(100) {
			return &mailertest.Do{Wait: gate}
		}
		return nil
	})
	p := i.worker()
	id := i.launch()
	i.await(id, "all mails but that one and one that follows it", moreThan(contacts-3))
	held := postgrestest.Hold(t, i.url, "batch")
	held.Await(postgrestest.RingAgain)
	if err := p.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	held.LetGo()
	other := i.worker()
	says(t, wordDead, other)
	open()
	if err := p.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	i.sentToAll(id, contacts, 1)
	says(t, wordLease, p)
}

func TestFaultTwoWorkersShareACampaign(t *testing.T) {
	t.Parallel()
	const contacts = 3000
	i := install(t, contacts, nil)
	workers := []*process{i.worker(), i.worker()}
	i.sentToAll(i.launch(), contacts, 0)
	for _, p := range workers {
		p.term(t)
		if text := p.log.String(); strings.Contains(text, "@example.org") {
			t.Errorf("the log names recipients:\n%s", text)
		}
	}
}

// SIGTERM drains what is in flight and ends with status 0, and the next worker
// finds nothing in doubt.
func TestFaultTermDrains(t *testing.T) {
	t.Parallel()
	const contacts = 500
	gate, open := mailertest.Gate(t)
	i := install(t, contacts, func(at, to string) *mailertest.Do {
		if at == "DOT" && to == "p300@example.org" {
			return &mailertest.Do{Wait: gate}
		}
		return nil
	})
	p := i.worker()
	id := i.launch()
	i.await(id, "the mail that waits", moreThan(310))
	_ = p.Process.Signal(syscall.SIGTERM)
	says(t, wordStops, p)
	open()
	if err := <-p.ended; err != nil {
		t.Errorf("the worker ended with %v\n%s", err, p.lastWords())
	}
	i.await(id, "nothing in flight", func(_ campaign.Campaign, r campaign.Report) bool { return r.Sending == 0 })
	i.worker()
	i.sentToAll(id, contacts, 0)
}

// A relay that never answers does not hold a worker that is told to stop: it
// ends within its grace, and what was in flight is in doubt.
func TestFaultTermWithAHangingRelay(t *testing.T) {
	t.Parallel()
	const contacts = 500
	gate, open := mailertest.Gate(t)
	var mu sync.Mutex
	hang := true
	i := install(t, contacts, func(at, to string) *mailertest.Do {
		mu.Lock()
		defer mu.Unlock()
		if hang && at == "DOT" && len(to) > 0 && to[1] == '3' {
			return &mailertest.Do{Wait: gate, HangUp: true}
		}
		return nil
	})
	i.set("JATAK_GRACE=2s")
	p := i.worker()
	id := i.launch()
	i.await(id, "mails that hang", func(_ campaign.Campaign, r campaign.Report) bool { return r.Sent > 20 && r.Sending >= 8 })
	told := time.Now()
	p.term(t)
	// The grace, and much for a machine that is busy.
	if took := time.Since(told); took > 15*time.Second {
		t.Errorf("the worker took %s to stop", took)
	}
	mu.Lock()
	hang = false
	mu.Unlock()
	open()
	next := i.worker()
	i.sentToAll(id, contacts, testWindow)
	says(t, "a relay did not answer within the grace period", p)
	says(t, wordDead, next)
}
