package main

import (
	"fmt"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jatak-mail/jatak/internal/mailer/mailertest"
	"github.com/jatak-mail/jatak/internal/queue"
)

// A server that is frozen keeps its connections and says nothing: what asks it has
// to end the waiting itself.

// freeze stops processes, and returns what lets them go on.
func freeze(t *testing.T, pids ...int) (thaw func()) {
	t.Helper()
	signal := func(s syscall.Signal) {
		for _, pid := range pids {
			_ = syscall.Kill(pid, s) // a backend may have ended meanwhile
		}
	}
	t.Cleanup(func() { signal(syscall.SIGCONT) })
	signal(syscall.SIGSTOP)
	return func() { signal(syscall.SIGCONT) }
}

// freezePostgres stops a server: its first process, which starts the others, before
// these are listed.
func freezePostgres(t *testing.T, data string) (thaw func()) {
	t.Helper()
	first := freeze(t, postmasterOf(t, data))
	others := freeze(t, children(t, data)...)
	return func() {
		others()
		first()
	}
}

// redisProcess is the process of the installation's Redis.
func (i *installation) redisProcess() int {
	i.t.Helper()
	client, err := queue.Connect(i.redis.URL())
	if err != nil {
		i.t.Fatal(err)
	}
	defer func() { _ = client.Close() }()
	text, err := client.Info(i.t.Context(), "server").Result()
	if err != nil {
		i.t.Fatal(err)
	}
	_, rest, _ := strings.Cut(text, "process_id:")
	number, _, _ := strings.Cut(rest, "\r\n")
	pid, err := strconv.Atoi(number)
	if err != nil {
		i.t.Fatal(err)
	}
	return pid
}

// slowly lets mails be on their way at every moment.
func slowly(at, _ string) *mailertest.Do {
	if at != "DOT" {
		return nil
	}
	return &mailertest.Do{Wait: mailertest.After(10 * time.Millisecond)}
}

// slowlyButOne does so too, and keeps one mail until it is let go: so its outcome comes
// when nothing can be kept.
func slowlyButOne(t *testing.T) (script mailertest.Script, letGo func()) {
	gate, letGo := mailertest.Gate(t)
	return func(at, to string) *mailertest.Do {
		if at == "DOT" && to == person(0) {
			return &mailertest.Do{Wait: gate}
		}
		return slowly(at, to)
	}, letGo
}

// PostgreSQL is frozen for longer than the lease, and goes on: so does the campaign.
func TestFaultPostgresFrozen(t *testing.T) {
	t.Parallel()
	const contacts = 3000
	pg, db, data := ownPostgres(t)
	script, letGo := slowlyButOne(t)
	i := installOn(t, contacts, script, db, pg.URL())
	p := i.worker()
	id := i.launch()
	i.await(id, "some mails", moreThan(contacts/5))
	thaw := freezePostgres(t, data)
	letGo()
	says(t, wordNoLease, p)
	says(t, wordNotKept, p) // after a lease
	thaw()
	i.sentToAll(id, contacts, testWindow)
	says(t, wordKept, p)
	says(t, wordLease, p)
}

// Redis is frozen for longer than its clients wait for an answer.
func TestFaultRedisFrozen(t *testing.T) {
	t.Parallel()
	const contacts = 4000
	i := install(t, contacts, slowly)
	p := i.worker()
	id := i.launch()
	i.await(id, "some mails", moreThan(contacts/6))
	thaw := freeze(t, i.redisProcess())
	says(t, wordNoRedis, p)
	thaw()
	i.sentToAll(id, contacts, 0)
	says(t, wordRedisBack, p)
}

// Whatever is frozen, a worker that is told to stop ends within its grace, with
// status 0, and the next goes on where it was.
func TestFaultTermWhileFrozen(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		postgres bool // beside Redis
		most     int  // mails doubled
		says     []string
	}{
		"Redis": {false, 0, nil},
		"both":  {true, testWindow, []string{wordDoubt, wordLeaseEnds}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			const contacts, grace = 1500, 4 * time.Second
			pg, db, data := ownPostgres(t)
			script, letGo := slowlyButOne(t)
			i := installOn(t, contacts, script, db, pg.URL())
			i.set(fmt.Sprint("JATAK_GRACE=", grace))
			p := i.worker()
			id := i.launch()
			i.await(id, "some mails", moreThan(contacts/5))
			thaw := []func(){freeze(t, i.redisProcess())}
			if test.postgres {
				thaw = append(thaw, freezePostgres(t, data))
			}
			letGo()
			told := time.Now()
			p.term(t)
			// The grace, and something for a machine that is busy.
			if took := time.Since(told); took > grace+2*time.Second {
				t.Errorf("the worker took %s to stop, its grace is %s\n%s", took, grace, p.lastWords())
			}
			for _, server := range thaw {
				server()
			}
			for _, sentence := range append(test.says, wordStops, "worker stopped") {
				says(t, sentence, p)
			}
			i.worker()
			i.sentToAll(id, contacts, test.most)
		})
	}
}
