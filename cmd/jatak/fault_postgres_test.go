package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jatak-mail/jatak/internal/embedded"
	"github.com/jatak-mail/jatak/internal/mailer/mailertest"
	"github.com/jatak-mail/jatak/internal/postgres"
	"github.com/jatak-mail/jatak/internal/postgres/postgrestest"
)

// ownPostgres starts a durable server for a test that will harm it.
func ownPostgres(t *testing.T) (pg *embedded.Postgres, db *postgres.DB, data string) {
	t.Helper()
	dir, err := os.MkdirTemp("", "jatak-pg-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o711); err != nil {
		t.Fatal(err)
	}
	pg, err = embedded.StartPostgres(context.Background(), embedded.PostgresOptions{Dir: filepath.Join(dir, "pg"), Durable: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stopServer(pg) })
	if db, err = postgres.Open(t.Context(), pg.URL()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	if _, err := db.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	return pg, db, filepath.Join(dir, "pg", "data")
}

// PostgreSQL is restarted, or killed, in the middle of a campaign, with mails on
// their way. What was committed is still there; what was on its way is at most a
// window.
func TestFaultPostgresEnds(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(*testing.T, *embedded.Postgres, string){
		"restarted": func(t *testing.T, _ *embedded.Postgres, data string) { endFast(t, data) },
		"killed": func(t *testing.T, pg *embedded.Postgres, _ string) {
			if err := pg.Kill(); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			pg, db, data := ownPostgres(t)
			const contacts = 3000
			ended := make(chan struct{})
			i := installOn(t, contacts, func(at, to string) *mailertest.Do {
				if at == "DOT" && numberOf(to)%100 == 99 {
					return &mailertest.Do{Wait: ended} // a mail of each chunk has no reply before
				}
				return nil
			}, db, pg.URL())
			p := i.worker()
			id := i.launch()
			i.await(id, "some mails", moreThan(contacts/5))
			end(t, pg, data)
			close(ended)
			says(t, wordNotKept, p)
			if err := pg.Restart(t.Context()); err != nil {
				t.Fatal(err)
			}
			i.sentToAll(id, contacts, testWindow)
			says(t, wordKept, p)
		})
	}
}

// endFast ends PostgreSQL in good order, without waiting for its clients.
func endFast(t *testing.T, data string) {
	t.Helper()
	pid := postmasterOf(t, data)
	if err := syscall.Kill(pid, syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(30 * time.Second); syscall.Kill(pid, 0) == nil; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("PostgreSQL does not end")
		}
	}
}

// Every connection to the database is ended, again and again.
func TestFaultPostgresEndsConnections(t *testing.T) {
	t.Parallel()
	pg, db, data := ownPostgres(t)
	const contacts = 4000
	i := installOn(t, contacts, nil, db, pg.URL())
	p := i.worker()
	id := i.launch()
	for n := range 5 {
		i.await(id, "some mails", moreThan(n*contacts/6))
		for _, pid := range backends(t, data) {
			_ = syscall.Kill(pid, syscall.SIGTERM)
		}
	}
	i.sentToAll(id, contacts, 5*testWindow)
	says(t, "terminating connection", p)
}

// The disk is full: PostgreSQL's processes may make no file longer than their
// table of deliveries is. That needs no rights and no file system of its own,
// and PostgreSQL meets it where it would meet a full disk: as it extends a file.
func TestFaultDiskFull(t *testing.T) {
	t.Parallel()
	pg, db, data := ownPostgres(t)
	const contacts = 3000
	i := installOn(t, contacts, nil, db, pg.URL())
	// Files of the log in advance are 16 MB: the table has to be longer.
	size := postgrestest.Fatten(t, pg.URL(), 17<<20)
	limit := func(bytes string) {
		t.Helper()
		// The postmaster first: what it starts from then on has its limit.
		limitFiles(t, postmasterOf(t, data), bytes)
		for _, pid := range children(t, data) {
			limitFiles(t, pid, bytes)
		}
	}
	limit(fmt.Sprint(size))
	p := i.worker()
	id := i.launch()
	says(t, "could not extend file", p)
	says(t, wordTask, p)
	limit("unlimited")
	i.sentToAll(id, contacts, 0)
}

func postmasterOf(t *testing.T, data string) int {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(data, "postmaster.pid"))
	if err != nil {
		t.Fatal(err)
	}
	line, _, _ := strings.Cut(string(text), "\n")
	pid, err := strconv.Atoi(line)
	if err != nil {
		t.Fatal(err)
	}
	return pid
}

// children are the server's processes; those that serve a connection are backends.
func children(t *testing.T, data string) []int { return processes(t, data, "") }

func backends(t *testing.T, data string) []int {
	return processes(t, data, "jatak jatak [local]")
}

func processes(t *testing.T, data, title string) (pids []int) {
	t.Helper()
	out, err := exec.Command("ps", "-o", "pid=,args=", "--ppid", fmt.Sprint(postmasterOf(t, data))).Output()
	if err != nil {
		t.Fatalf("ps: %v", err)
	}
	for line := range strings.Lines(string(out)) {
		if !strings.Contains(line, title) {
			continue
		}
		pid, err := strconv.Atoi(strings.Fields(line)[0])
		if err != nil {
			t.Fatal(err)
		}
		pids = append(pids, pid)
	}
	return pids
}

// limitFiles bounds the files of a process, as the user that the process runs as:
// only the soft limit, which may be raised again.
func limitFiles(t *testing.T, pid int, bytes string) {
	t.Helper()
	command := exec.Command("prlimit", "--pid", fmt.Sprint(pid), "--fsize="+bytes+":")
	if info, err := os.Stat(fmt.Sprintf("/proc/%d", pid)); err == nil && os.Geteuid() == 0 {
		owner := info.Sys().(*syscall.Stat_t)
		command.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: owner.Uid, Gid: owner.Gid}}
	}
	if out, err := command.CombinedOutput(); err != nil {
		if _, gone := os.Stat(fmt.Sprintf("/proc/%d", pid)); gone == nil {
			t.Fatalf("prlimit: %v: %s", err, out)
		}
	}
}
