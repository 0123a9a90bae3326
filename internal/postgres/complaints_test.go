package postgres_test

import (
	"errors"
	"testing"
	"time"

	"github.com/jatak-mail/jatak/gating"
	"github.com/jatak-mail/jatak/internal/campaign"
	"github.com/jatak-mail/jatak/internal/contact"
	"github.com/jatak-mail/jatak/internal/postgres/postgrestest"
	"github.com/jatak-mail/jatak/internal/staff"
)

// Who complains is mailed no more, not even notices, and the complaint counts once for
// the campaign whose mail it was.
func TestComplaintWithdrawsAndCounts(t *testing.T) {
	t.Parallel()
	db, url := postgrestest.New(t)
	people(t, db, person{email: "a@example.org"}, person{email: "A@example.org"}, person{email: "b@example.org"})
	c := launched(t, db)
	plan(t, db, c.ID, 100)
	tamper(t, url, `UPDATE delivery SET state = 'sent' WHERE state = 'pending'`)
	for i, new := range []bool{true, false} {
		kept, err := db.Complain(t.Context(), contact.Complaint{Address: "a@example.org", Comment: "by Yahoo's feed", Actor: "cli:test", At: noon.Add(time.Duration(i) * time.Minute)})
		if err != nil || kept.New != new || kept.Campaign != int64(c.ID) {
			t.Fatalf("kept %+v, %v", kept, err)
		}
	}
	_, err := db.Complain(t.Context(), contact.Complaint{Address: "a@example.org", Campaign: 99, Actor: "cli:test", At: noon})
	if !errors.Is(err, contact.ErrNotMailed) {
		t.Errorf("a complaint of a campaign that sent no mail: %v", err)
	}
	if _, err := db.Complain(t.Context(), contact.Complaint{Address: "nobody@example.org", Actor: "cli:test", At: noon}); !errors.Is(err, contact.ErrNotFound) {
		t.Errorf("a complaint of nobody: %v", err)
	}
	if counts, err := db.Complaints(t.Context(), 1); err != nil || len(counts) != 1 || counts[0].Complaints != 1 {
		t.Errorf("complaints for the breaker: %+v, %v", counts, err)
	}
	if a := account(t, db, c.ID); a.Withdrawn != 1 || a.Complained != 1 {
		t.Errorf("the report counts %+v", a.Withdrawals)
	}
	log, err := db.AuditLog(t.Context(), staff.Filter{Action: "contact complaint", Most: 10})
	if err != nil || len(log) != 1 || log[0].Actor != "cli:test" || log[0].Campaign != int64(c.ID) || log[0].Contact == 0 {
		t.Errorf("the audit log: %+v, %v", log, err)
	}
	verified(t, db)

	next := launched(t, db)
	plan(t, db, next.ID, 100)
	if b := books(t, db, next.ID); b.Pending != 1 || b.Blocked[gating.Complained] != 2 {
		t.Errorf("the next campaign: %+v", b)
	}
}

// Somebody who had unsubscribed before complaining counts as a complaint, too.
func TestComplaintAfterAWithdrawalCounts(t *testing.T) {
	t.Parallel()
	db, url := postgrestest.New(t)
	people(t, db, person{email: "a@example.org"})
	c := launched(t, db)
	plan(t, db, c.ID, 100)
	tamper(t, url, `UPDATE delivery SET state = 'sent'`)
	ids, err := db.FindContacts(t.Context(), "a@example.org")
	if err != nil {
		t.Fatal(err)
	}
	if err := db.OptOut(t.Context(), contact.OptOut{Contact: ids[0], Campaign: int64(c.ID), At: noon}); err != nil {
		t.Fatal(err)
	}
	if _, err := db.Complain(t.Context(), contact.Complaint{Address: "a@example.org", Campaign: int64(c.ID), Actor: "cli:test", At: noon.Add(time.Minute)}); err != nil {
		t.Fatal(err)
	}
	counts, err := db.Withdrawals(t.Context(), []campaign.ID{c.ID})
	if got := counts[c.ID]; err != nil || got.Withdrawn != 1 || got.Complained != 1 {
		t.Errorf("the report counts %+v, %v", got, err)
	}
	verified(t, db)
}
