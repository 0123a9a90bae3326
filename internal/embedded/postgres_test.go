package embedded

import (
	"context"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
)

func startPostgres(t *testing.T, options PostgresOptions) *Postgres {
	t.Helper()
	p, err := StartPostgres(t.Context(), options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return p
}

// ask runs one query that returns one value as text.
func ask(t *testing.T, p *Postgres, query string) string {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), p.URL())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.Background()) }()
	var value string
	if err := conn.QueryRow(t.Context(), query).Scan(&value); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return value
}

func tell(t *testing.T, p *Postgres, statement string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), p.URL())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.Background()) }()
	if _, err := conn.Exec(t.Context(), statement); err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
}

func TestPostgresOpensNoPortAndKnowsDanishLetters(t *testing.T) {
	t.Parallel()
	p := startPostgres(t, PostgresOptions{Dir: t.TempDir()})
	for query, want := range map[string]string{
		"SELECT current_database()": "jatak",
		"SHOW listen_addresses":     "",
		"SHOW server_encoding":      "UTF8",
		"SELECT lower('ÆRØ')":       "ærø",
		"SELECT string_agg(c, '' ORDER BY c) FROM unnest('{ø,Z,a}'::text[]) AS c": "Zaø",
	} {
		if got := ask(t, p, query); got != want {
			t.Errorf("%s = %q, want %q", query, got, want)
		}
	}
	address, err := url.Parse(p.URL())
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(address.Query().Get("host"))
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o700 {
		t.Errorf("the folder of the socket has mode %v: others may connect", info.Mode())
	}
}

func TestPostgresKeepsItsDataAcrossStopAndCrash(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	p := startPostgres(t, PostgresOptions{Dir: dir, Durable: true})
	tell(t, p, "CREATE TABLE kept AS SELECT 'first' AS word")
	if err := p.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := p.Restart(t.Context()); err != nil {
		t.Fatalf("after a crash: %v", err)
	}
	if got := ask(t, p, "SELECT word FROM kept"); got != "first" {
		t.Errorf("after a crash %q is kept, want first", got)
	}
	if err := p.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	again := startPostgres(t, PostgresOptions{Dir: dir, Durable: true})
	if got := ask(t, again, "SELECT word FROM kept"); got != "first" {
		t.Errorf("after a stop %q is kept, want first", got)
	}
}

func TestASecondPostgresOnTheSameFolderIsRefused(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	p := startPostgres(t, PostgresOptions{Dir: dir})
	_, err := StartPostgres(t.Context(), PostgresOptions{Dir: dir})
	if err == nil || !strings.Contains(err.Error(), "in use by another jatak") {
		t.Errorf("error %v, want one that says the folder is in use", err)
	}
	if got := ask(t, p, "SELECT 'alive'"); got != "alive" {
		t.Errorf("the first server answers %q after the second was refused", got)
	}
}

func TestALongPathGetsAShortSocket(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), strings.Repeat("long-", 20))
	p := startPostgres(t, PostgresOptions{Dir: dir})
	if got := ask(t, p, "SELECT 'here'"); got != "here" {
		t.Errorf("got %q", got)
	}
}
