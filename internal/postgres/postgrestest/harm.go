package postgrestest

import (
	"context"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// connect opens a connection of its own, which is closed when the test ends.
func connect(t testing.TB, databaseURL string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(context.Background(), databaseURL)
	if err != nil {
		t.Fatalf("connect: %v", err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}

func exec(t testing.TB, conn *pgx.Conn, statement string, arguments ...any) {
	t.Helper()
	if _, err := conn.Exec(context.Background(), statement, arguments...); err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
}

// Moments at which a disk may be full.
const (
	WhenClaimed   = "NEW.state = 'sending'"
	WhenRecorded  = "OLD.state = 'sending' AND NEW.state = 'sent'"
	WhenGivenBack = "OLD.state = 'sending' AND NEW.state = 'pending'"
)

// FillDisk makes PostgreSQL refuse a change, such as UPDATE, of a table's rows of a
// kind as it does when its disk is full, until room is made.
func FillDisk(t testing.TB, databaseURL, change, table, when string) (makeRoom func()) {
	t.Helper()
	conn := connect(t, databaseURL)
	exec(t, conn, `
		CREATE OR REPLACE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS $$
		BEGIN
			RAISE EXCEPTION 'could not extend file "base/5/16384": No space left on device' USING ERRCODE = 'disk_full';
		END $$`)
	exec(t, conn, `CREATE TRIGGER full_disk BEFORE `+change+` ON `+table+` FOR EACH ROW WHEN (`+when+`) EXECUTE FUNCTION full_disk()`)
	return func() {
		t.Helper()
		exec(t, conn, `DROP TRIGGER full_disk ON `+table)
	}
}

// Hold keeps everybody from writing to a table until they are let go.
func Hold(t testing.TB, databaseURL, table string) *Held {
	t.Helper()
	h := &Held{t: t, holder: connect(t, databaseURL), watcher: connect(t, databaseURL)}
	exec(t, h.holder, `BEGIN`)
	exec(t, h.holder, `LOCK TABLE `+pgx.Identifier{table}.Sanitize()+` IN SHARE MODE`)
	return h
}

// Held is a table that nobody can write to.
type Held struct {
	t               testing.TB
	holder, watcher *pgx.Conn
}

// Statements that may be held.
const (
	WritePlan = `copy "delivery"%`
	RingAgain = `%with due as%update batch%` // of a sweep
)

// Await waits until a statement is held.
func (h *Held) Await(statement string) {
	h.t.Helper()
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		var waiting bool
		err := h.watcher.QueryRow(context.Background(), `
			SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database()
				AND wait_event_type = 'Lock' AND query ILIKE $1)`, statement).Scan(&waiting)
		if err != nil {
			h.t.Fatal(err)
		}
		if waiting {
			return
		}
	}
	h.t.Fatalf("nobody waits with %s", statement)
}

// LetGo lets all who waited write.
func (h *Held) LetGo() {
	h.t.Helper()
	exec(h.t, h.holder, `COMMIT`)
}

// Tries is what the ledger knows of the attempts at a mail.
type Tries struct {
	Attempts int // how often it was claimed
	Doubts   int // how often its outcome was unknown
}

// TriesOf returns the attempts at a campaign's mails, by address.
func TriesOf(t testing.TB, databaseURL string, campaign int64) map[string]Tries {
	t.Helper()
	rows, err := connect(t, databaseURL).Query(context.Background(), `
		SELECT c.address, d.attempts, d.doubts + d.lapses FROM delivery d JOIN contact c ON c.id = d.contact_id WHERE d.campaign_id = $1`, campaign)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	tries := map[string]Tries{}
	for rows.Next() {
		var address string
		var of Tries
		if err := rows.Scan(&address, &of.Attempts, &of.Doubts); err != nil {
			t.Fatal(err)
		}
		tries[address] = of
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return tries
}

// Tables returns what stands in each table, but for those that are named.
func Tables(t testing.TB, databaseURL string, but ...string) map[string]string {
	t.Helper()
	conn := connect(t, databaseURL)
	list, err := conn.Query(t.Context(), `
		SELECT relname, query_to_xml(format('SELECT * FROM %I t ORDER BY t::text', relname), true, false, '')::text FROM pg_class
		WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace AND relname <> ALL ($1)`, but)
	if err != nil {
		t.Fatal(err)
	}
	tables := map[string]string{}
	var name, content string
	_, err = pgx.ForEachRow(list, []any{&name, &content}, func() error {
		tables[name] = content
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return tables
}
