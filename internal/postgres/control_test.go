package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/jatak-mail/jatak/gating"
	"github.com/jatak-mail/jatak/internal/campaign"
	"github.com/jatak-mail/jatak/internal/contact"
	"github.com/jatak-mail/jatak/internal/postgres"
	"github.com/jatak-mail/jatak/internal/postgres/postgrestest"
	"github.com/jatak-mail/jatak/internal/staff"
)

// meanwhile does something in a transaction, lets others begin until they wait for it
// or are done, and commits.
func meanwhile(t *testing.T, url string, do func(tx pgx.Tx) error, others func()) {
	t.Helper()
	open := func() *pgx.Conn {
		conn, err := pgx.Connect(t.Context(), url)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close(context.WithoutCancel(t.Context())) })
		return conn
	}
	first, watcher := open(), open()
	tx, err := first.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := do(tx); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		others()
		close(ended)
	}()
	for waiting, deadline := false, time.After(20*time.Second); !waiting; {
		select {
		case <-deadline:
			t.Fatal("nobody waits for the transaction")
		case <-ended:
			waiting = true
			continue
		default:
		}
		if err := watcher.QueryRow(t.Context(), `SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted AND $1::int = ANY(pg_blocking_pids(pid)))`,
			first.PgConn().PID()).Scan(&waiting); err != nil {
			t.Fatal(err)
		}
	}
	if err := tx.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	<-ended
}

// sweep looks over the ledger as workers do.
func sweep(t *testing.T, db *postgres.DB) {
	t.Helper()
	if _, _, err := db.Sweep(t.Context(), true, noon, time.Hour, 100); err != nil {
		t.Fatal(err)
	}
}

// Mails that are claimed while their campaign is cancelled, and come back, are
// cancelled then.
func TestCancelMeetsAClaim(t *testing.T) {
	t.Parallel()
	db, url := postgrestest.New(t)
	people(t, db, crowd(10)...)
	c := launched(t, db)
	plan(t, db, c.ID, 100)
	w := worker(t, db, time.Hour)
	meanwhile(t, url, func(tx pgx.Tx) error {
		_, err := tx.Exec(t.Context(), `UPDATE delivery SET state = 'sending', worker_id = $1, attempts = 1, changed_at = $2 WHERE state = 'pending'`, w, noon)
		return err
	}, func() {
		if err := errors.Join(db.End(t.Context(), c.ID, noon), db.CancelRest(t.Context(), c.ID, noon)); err != nil {
			t.Error(err)
		}
	})
	if b := books(t, db, c.ID); b.Sending != 10 {
		t.Fatalf("books while the mails are claimed: %+v", b)
	}
	var all []contact.ID
	for id := range contact.ID(1000) {
		all = append(all, id)
	}
	if err := db.Release(t.Context(), campaign.ClaimRequest{Worker: w, Campaign: c.ID, Batch: 1, Now: noon}, all); err != nil {
		t.Fatal(err)
	}
	if b := books(t, db, c.ID); b.Pending != 10 {
		t.Fatalf("books when the mails have come back: %+v", b)
	}
	sweep(t, db)
	if b := books(t, db, c.ID); b.Cancelled != 10 || b.Open() != 0 {
		t.Errorf("books after the sweep: %+v", b)
	}
}

// A worker dies after its campaign was cancelled. Its mails may have arrived: under
// either policy they are neither sent again nor called cancelled, and the campaign's
// account is made.
func TestCancelledCampaignSettlesMailsInDoubt(t *testing.T) {
	t.Parallel()
	for _, resend := range []bool{true, false} {
		db, url := postgrestest.New(t)
		people(t, db, crowd(10)...)
		c := launched(t, db)
		plan(t, db, c.ID, 100)
		w := worker(t, db, time.Hour)
		tamper(t, url, fmt.Sprintf(`UPDATE delivery SET state = 'sending', worker_id = %d, attempts = 1 WHERE contact_id IN (SELECT id FROM contact ORDER BY id LIMIT 4)`, w),
			`UPDATE delivery SET state = 'deferred', doubts = 1, next_attempt_at = now() WHERE contact_id = (SELECT max(id) FROM contact)`)
		if err := errors.Join(db.End(t.Context(), c.ID, noon), db.CancelRest(t.Context(), c.ID, noon)); err != nil {
			t.Fatal(err)
		}
		if b := books(t, db, c.ID); b.Sending != 4 || b.InDoubt != 1 || b.Cancelled != 5 {
			t.Fatalf("books while four are on their way: %+v", b)
		}
		if id, err := db.KeepNextAccount(t.Context(), noon); err != nil || id != 0 {
			t.Fatalf("an account is made of a campaign with mails on their way: %d, %v", id, err)
		}
		if err := db.StopWorker(t.Context(), w); err != nil {
			t.Fatal(err)
		}
		found, _, err := db.Sweep(t.Context(), resend, noon, time.Hour, 100)
		if err != nil || found.InDoubt != 4 {
			t.Fatalf("the sweep finds %+v, %v", found, err)
		}
		if b := books(t, db, c.ID); b.InDoubt != 5 || b.Cancelled != 5 || b.Open() != 0 {
			t.Errorf("resend %v: books after the sweep: %+v", resend, b)
		}
		if id, err := db.KeepNextAccount(t.Context(), noon); err != nil || id != c.ID || !isKept(t, db, c.ID) {
			t.Errorf("resend %v: the account made is that of %d, %v", resend, id, err)
		}
		if id, err := db.KeepNextAccount(t.Context(), noon); err != nil || id != 0 {
			t.Errorf("resend %v: an account is made twice: %d, %v", resend, id, err)
		}
	}
}

// A change whose line in the audit log cannot be written is not made.
func TestChangeAndAuditLineAreKeptTogether(t *testing.T) {
	t.Parallel()
	db, url := postgrestest.New(t)
	people(t, db, crowd(3)...)
	c := launched(t, db)
	tamper(t, url, `ALTER TABLE audit ADD CHECK (false) NOT VALID`)
	for name, change := range map[string]func() error{
		"a type": func() error {
			return db.CreateType(t.Context(), contact.NewType{Key: "events", Names: map[string]string{"en": "Events"}}, "test", noon)
		},
		"a limit": func() error {
			return db.SetLimit(t.Context(), campaign.Limit{Kind: campaign.RelayLimit, Name: "relay:25", PerSecond: 1}, "test", noon)
		},
		"a pause": func() error {
			return db.Together(t.Context(), func(db *postgres.DB) error {
				if err := db.Pause(t.Context(), c.ID, ""); err != nil {
					return err
				}
				return db.WriteAudit(t.Context(), staff.Entry{Actor: "test", Action: "campaign pause", At: noon})
			})
		},
	} {
		if err := change(); err == nil || !strings.Contains(err.Error(), "write the audit log") {
			t.Errorf("%s: %v", name, err)
		}
	}
	types, err := db.TypeNames(t.Context())
	if err != nil || len(types) != 0 {
		t.Errorf("there are types %v, %v", types, err)
	}
	limits, err := db.SendLimits(t.Context())
	if err != nil || len(limits) != 0 {
		t.Errorf("there are limits %v, %v", limits, err)
	}
	if kept, err := db.Campaign(t.Context(), c.ID); err != nil || kept.State != campaign.StatePlanning {
		t.Errorf("the campaign is %s, %v", kept.State, err)
	}
}

func TestResendPicksByTheReply(t *testing.T) {
	t.Parallel()
	db, url := postgrestest.New(t)
	people(t, db, crowd(6)...)
	c := launched(t, db)
	plan(t, db, c.ID, 100)
	tamper(t, url, `UPDATE delivery d SET state = 'failed', code = r.code, enhanced = r.enhanced
		FROM (SELECT id, row_number() OVER (ORDER BY id) AS n FROM contact) c,
			(VALUES (1, 550, '5.7.1'), (2, 550, '5.7.26'), (3, 554, '5.70.1'), (4, 452, '4.2.2'), (5, 550, NULL), (6, 550, '5.1.1')) r (n, code, enhanced)
		WHERE c.id = d.contact_id AND r.n = c.n`)
	for code, want := range map[string]int64{"": 6, "550": 4, "5.7": 2, "5.7.1": 1, "5.7.2": 0, "4.2.2": 1, "4.2": 1} {
		parsed, err := campaign.ParseReplyCode(code)
		if err != nil {
			t.Fatal(err)
		}
		if n, err := db.CountResend(t.Context(), c.ID, campaign.Failed, parsed); err != nil || n != want {
			t.Errorf("code %q: %d mails would be sent again, not %d, %v", code, n, want, err)
		}
	}
	if b := books(t, db, c.ID); b.Failed != 6 {
		t.Fatalf("counting changes the books: %+v", b)
	}
	if n, err := db.Resend(t.Context(), c.ID, campaign.Failed, campaign.ReplyCode{Enhanced: "5.7"}, "test", noon); err != nil || n != 2 {
		t.Errorf("5.7: %d mails are sent again, %v", n, err)
	}
	kept, err := db.AuditLog(t.Context(), staff.Filter{Most: 1})
	if err != nil || len(kept) != 1 || kept[0].Action != "campaign resend" || kept[0].Detail != "failed 5.7: 2" || kept[0].Campaign != int64(c.ID) || kept[0].Actor != "test" {
		t.Errorf("the audit log ends with %+v, %v", kept, err)
	}
	if b := books(t, db, c.ID); b.Failed != 4 || b.Pending != 2 {
		t.Errorf("books: %+v", b)
	}
}

// resendHeldOpen is what Resend does before it commits.
func resendHeldOpen(t *testing.T) func(pgx.Tx) error {
	return func(tx pgx.Tx) error {
		for _, statement := range []string{
			`SELECT state FROM campaign FOR UPDATE`, `UPDATE delivery SET state = 'pending', attempts = 0`, `UPDATE batch SET closed_at = NULL, rung_at = 'epoch'`,
		} {
			if _, err := tx.Exec(t.Context(), statement); err != nil {
				return err
			}
		}
		return nil
	}
}

// A campaign whose mails are sent again while its last batch is closed goes on.
func TestResendMeetsTheEnd(t *testing.T) {
	t.Parallel()
	db, url := postgrestest.New(t)
	people(t, db, crowd(10)...)
	c := launched(t, db)
	plan(t, db, c.ID, 100)
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.WithoutCancel(t.Context())) }()
	tamper(t, url, `UPDATE delivery SET state = 'failed', code = 550, deferred_since = '2000-01-01'`)
	meanwhile(t, url, resendHeldOpen(t), func() {
		if finished, err := db.CloseBatch(t.Context(), c.ID, 1, noon); err != nil || finished {
			t.Errorf("finished %v, %v", finished, err)
		}
	})
	kept, err := db.Campaign(t.Context(), c.ID)
	if err != nil || kept.State != campaign.StateSending {
		t.Errorf("the campaign is %s, %v", kept.State, err)
	}
	found, _, err := db.Sweep(t.Context(), true, noon, time.Hour, 100)
	if err != nil || len(found.Batches) != 1 {
		t.Errorf("the sweep rings for %+v, %v", found.Batches, err)
	}
	// The age of what is sent again is counted anew.
	tamper(t, url, `UPDATE delivery SET state = 'failed', code = 550, deferred_since = '2000-01-01'`)
	if n, err := db.Resend(t.Context(), c.ID, campaign.Failed, campaign.ReplyCode{Basic: 550}, "test", noon); err != nil || n != 10 {
		t.Fatalf("%d are sent again, %v", n, err)
	}
	var old int
	if err := conn.QueryRow(t.Context(), `SELECT count(*) FROM delivery WHERE deferred_since IS NOT NULL`).Scan(&old); err != nil || old != 0 {
		t.Errorf("%d mails that are sent again are old, %v", old, err)
	}
}

// A sweep that meets a campaign whose mails are being sent again does not finish it.
func TestResendMeetsTheSweep(t *testing.T) {
	t.Parallel()
	db, url := postgrestest.New(t)
	people(t, db, crowd(10)...)
	c := launched(t, db)
	plan(t, db, c.ID, 100)
	tamper(t, url, `UPDATE delivery SET state = 'failed', code = 550`, `UPDATE batch SET closed_at = now()`)
	meanwhile(t, url, resendHeldOpen(t), func() { sweep(t, db) })
	if kept, err := db.Campaign(t.Context(), c.ID); err != nil || kept.State != campaign.StateSending {
		t.Errorf("the campaign is %s, %v", kept.State, err)
	}
	tamper(t, url, `UPDATE delivery SET state = 'failed'`, `UPDATE batch SET closed_at = now()`)
	sweep(t, db)
	if kept, err := db.Campaign(t.Context(), c.ID); err != nil || kept.State != campaign.StateFinished {
		t.Errorf("when all has failed anew the campaign is %s, %v", kept.State, err)
	}
}

// A campaign that is paused right after its launch is planned on as soon as it goes on.
func TestResumedPlanningIsRungForAtOnce(t *testing.T) {
	t.Parallel()
	db, url := postgrestest.New(t)
	people(t, db, crowd(10)...)
	c := launched(t, db)
	if _, _, err := db.PlanChunk(t.Context(), c.ID, 5, noon, gating.Decide); err != nil {
		t.Fatal(err)
	}
	tamper(t, url, `UPDATE campaign SET launched_at = now()`)
	if err := db.Pause(t.Context(), c.ID, "test"); err != nil {
		t.Fatal(err)
	}
	if err := db.Resume(t.Context(), c.ID); err != nil {
		t.Fatal(err)
	}
	found, _, err := db.Sweep(t.Context(), true, noon, time.Hour, 100)
	if err != nil || len(found.Plans) != 1 {
		t.Errorf("the sweep rings for the planning of %v, %v", found.Plans, err)
	}
	if _, _, err := db.PlanChunk(t.Context(), c.ID, 5, noon, gating.Decide); err != nil {
		t.Fatal(err)
	}
	if found, _, err = db.Sweep(t.Context(), true, noon, time.Hour, 100); err != nil || len(found.Plans) != 0 {
		t.Errorf("when it gets on the sweep rings for the planning of %v, %v", found.Plans, err)
	}
}
