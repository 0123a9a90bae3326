package main

import (
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/jatak-mail/jatak/internal/contact"
	"github.com/jatak-mail/jatak/internal/postgres"
	"github.com/jatak-mail/jatak/internal/postgres/postgrestest"
)

// An upgrade that the console asks for runs beside it, and one that is stopped has
// changed nobody.
func TestUpgradeRunsBesideTheConsole(t *testing.T) {
	t.Parallel()
	db, _ := postgrestest.New(t)
	err := db.Import(t.Context(), func(im *postgres.Import) error {
		_, err := im.Contacts(t.Context(), func(yield func(contact.LegacyContact, error) bool) {
			yield(contact.LegacyContact{ID: "1", Email: "a@example.org", Address: "a@example.org", Digest: []byte("a")}, nil)
		}, func(contact.Objection) {})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	left := func() int64 {
		t.Helper()
		n, err := db.CountToUpgrade(t.Context(), 10)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	last := func() contact.UpgradeRun {
		t.Helper()
		runs, err := db.UpgradeRuns(t.Context(), 1)
		if err != nil || len(runs) != 1 {
			t.Fatalf("%+v, %v", runs, err)
		}
		return runs[0]
	}
	stopped := newUpgradeRunner(t.Context(), db, slog.New(slog.DiscardHandler))
	stopped.end()
	if err := stopped.Start(t.Context(), contact.UpgradeRun{Actor: "test", Threshold: 1, Started: time.Now()}); err != nil {
		t.Fatal(err)
	}
	stopped.Stop()
	if r := last(); r.Finished.IsZero() || r.Problem == "" || left() != 1 {
		t.Errorf("one that was stopped: %+v, %d left", r, left())
	}

	runner := newUpgradeRunner(t.Context(), db, slog.New(slog.DiscardHandler))
	if err := runner.Start(t.Context(), contact.UpgradeRun{Actor: "test", Threshold: 1, Started: time.Now()}); err != nil {
		t.Fatal(err)
	}
	runner.running.Wait()
	if r := last(); r.Finished.IsZero() || r.Problem != "" || r.Report.Contacts != 1 || r.Report.Stored != 1 || left() != 0 {
		t.Errorf("the run: %+v, %d left", r, left())
	}
	if _, err := db.StartUpgradeRun(t.Context(), contact.UpgradeRun{Actor: "other", Threshold: 1, Started: time.Now()}); err != nil {
		t.Fatal(err)
	}
	if err := runner.Start(t.Context(), contact.UpgradeRun{Actor: "test", Threshold: 1, Started: time.Now()}); !errors.Is(err, contact.ErrUpgrading) {
		t.Errorf("beside another: %v", err)
	}
}
