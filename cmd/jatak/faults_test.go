package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jatak-mail/jatak/internal/campaign"
	"github.com/jatak-mail/jatak/internal/embedded"
	"github.com/jatak-mail/jatak/internal/mailer/mailertest"
	"github.com/jatak-mail/jatak/internal/postgres"
)

// accounted holds the arrivals to the books: everybody has a mail, and no more
// were doubled than may be.
func (i *installation) accounted(contacts, mostDoubled int) {
	i.t.Helper()
	arrived, ids := i.arrivals()
	doubled := 0
	for n := range contacts {
		address := fmt.Sprintf("p%d@example.org", n)
		switch {
		case arrived[address] == 0:
			i.t.Errorf("%s was lost", address)
		case len(ids[address]) != 1:
			i.t.Errorf("the mails to %s have different Message-IDs", address)
		default:
			doubled += arrived[address] - 1
		}
	}
	if doubled > mostDoubled {
		i.t.Errorf("%d mails were doubled, at most %d may be", doubled, mostDoubled)
	}
	i.t.Logf("%d doubled of at most %d", doubled, mostDoubled)
}

// PostgreSQL is killed in the middle of a campaign and comes back after a while.
func TestPostgresKilled(t *testing.T) {
	t.Parallel()
	dir, err := os.MkdirTemp("", "jatak-pg-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o711); err != nil {
		t.Fatal(err)
	}
	start := func() *embedded.Postgres {
		t.Helper()
		pg, err := embedded.StartPostgres(t.Context(), embedded.PostgresOptions{Dir: filepath.Join(dir, "pg"), Durable: true})
		if err != nil {
			t.Fatal(err)
		}
		return pg
	}
	stop := func(pg *embedded.Postgres) {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		_ = pg.Stop(ctx)
	}
	pg := start()
	t.Cleanup(func() { stop(pg) })
	db, err := postgres.Open(t.Context(), pg.URL())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	if _, err := db.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	const contacts = 3000
	i := installOn(t, contacts, nil, db, pg.URL())
	p := i.worker()
	id := i.launch()
	i.await(id, "some mails", func(_ campaign.Campaign, r campaign.Report) bool { return r.Sent > contacts/4 })

	text, err := os.ReadFile(filepath.Join(dir, "pg", "data", "postmaster.pid"))
	if err != nil {
		t.Fatal(err)
	}
	line, _, _ := strings.Cut(string(text), "\n")
	pid, err := strconv.Atoi(line)
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	stop(pg)
	pg = start()
	if url := pg.URL(); !strings.Contains(strings.Join(i.env, " "), url) {
		t.Fatalf("the server came back elsewhere: %s", url)
	}
	for deadline := time.Now().Add(20 * time.Second); db.Ping(t.Context()) != nil; {
		if time.Now().After(deadline) {
			t.Fatal("the database does not come back")
		}
	}
	if books := i.await(id, "the end", finished); books.Sent != contacts {
		t.Errorf("books %+v\n%s", books, &p.log)
	}
	// What was committed before the kill is still there; what was on its way is
	// at most a window.
	i.accounted(contacts, testWindow)
}

// A relay that hangs, cuts connections and says 451 for a domain costs time and
// nobody's mail.
func TestATroublesomeRelay(t *testing.T) {
	t.Parallel()
	const contacts = 400
	var mu sync.Mutex
	seen := map[string]int{}
	i := install(t, contacts, func(at, to string) *mailertest.Do {
		mu.Lock()
		defer mu.Unlock()
		seen[at+to]++
		first := seen[at+to] == 1
		var n int
		_, _ = fmt.Sscanf(to, "p%d@", &n)
		switch {
		case !first:
			return nil
		case at == "RCPT" && n%10 == 1:
			return &mailertest.Do{Reply: "451 4.7.1 greylisted"}
		case at == "MAIL" && n%50 == 0 && len(seen)%37 == 0:
			return &mailertest.Do{Reply: "421 4.3.2 too busy"}
		case at == "DATA" && n%40 == 2:
			return &mailertest.Do{HangUp: true}
		}
		return nil
	})
	i.worker()
	id := i.launch()
	if books := i.await(id, "the end", finished); books.Sent != contacts {
		t.Errorf("books %+v", books)
	}
	i.accounted(contacts, 0) // a connection cut before the dot doubles nothing
}
