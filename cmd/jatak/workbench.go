package main

import (
	"context"
	"path/filepath"
	"time"

	"github.com/jatak-mail/jatak/examples"
	"github.com/jatak-mail/jatak/internal/embedded"
	"github.com/jatak-mail/jatak/internal/managelink"
	"github.com/jatak-mail/jatak/internal/postgres"
	"github.com/jatak-mail/jatak/internal/settings"
)

// workbench is what a bench command measures on: a database of its own, durable
// as a real one, and a folder.
type workbench struct {
	dir  string
	url  string // of the database
	db   *postgres.DB
	keys *managelink.Keyring
}

// withWorkbench opens a workbench for f, in a folder that is kept, or with "" in
// one that goes when f returns.
func withWorkbench(ctx context.Context, dir string, c *console, f func(workbench) error) error {
	if dir == "" {
		temporary, remove, err := embedded.TemporaryFolder()
		if err != nil {
			return err
		}
		defer func() { _ = remove() }()
		dir = temporary
	}
	pg, err := embedded.StartPostgres(ctx, embedded.PostgresOptions{Dir: filepath.Join(dir, "postgres"), Durable: true})
	if err != nil {
		return err
	}
	defer func() { _ = pg.Stop(context.WithoutCancel(ctx)) }()
	db, err := openDatabase(ctx, settings.Database{URL: pg.URL()}, c)
	if err != nil {
		return err
	}
	defer db.Close()
	keys, err := demoKeys(dir)
	if err != nil {
		return err
	}
	return f(workbench{dir, pg.URL(), db, keys})
}

// importContacts makes a legacy export of so many contacts and imports it. It
// returns how long importing took.
func (w workbench) importContacts(ctx context.Context, contacts int) (took time.Duration, err error) {
	export := filepath.Join(w.dir, "legacy-crm")
	if err := examples.Generate(export, contacts, examples.Seed); err != nil {
		return 0, err
	}
	begin := time.Now()
	_, err = importExport(ctx, w.db, w.keys, export, filepath.Join(w.dir, "refused.csv"))
	return time.Since(begin), err
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
