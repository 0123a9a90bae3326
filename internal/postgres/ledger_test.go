package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/jatak-mail/jatak/gating"
	"github.com/jatak-mail/jatak/internal/contact"
	"github.com/jatak-mail/jatak/internal/postgres"
	"github.com/jatak-mail/jatak/internal/postgres/postgrestest"
	"github.com/jatak-mail/jatak/internal/staff"
)

// tamper runs statements as somebody who can switch the guards off.
func tamper(t *testing.T, url string, statements ...string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.Background()) }()
	for _, s := range append([]string{"SET session_replication_role = replica"}, statements...) {
		if _, err := conn.Exec(t.Context(), s); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
}

func verified(t *testing.T, db *postgres.DB) int64 {
	t.Helper()
	events, err := db.VerifyLedger(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return events
}

func TestTamperingShows(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		statement string
		contact   contact.ID
	}{
		"a changed basis":      {"UPDATE consent_event SET to_basis = 'consent' WHERE contact_id = 2 AND purpose = 'emarketing'", 2},
		"a changed time":       {"UPDATE consent_event SET at = at - interval '1 day' WHERE contact_id = 1 AND purpose = 'store'", 1},
		"another wording":      {"UPDATE consent_event SET wording = NULL WHERE contact_id = 3 AND source = 'one_click'", 3},
		"an event taken out":   {"DELETE FROM consent_event WHERE contact_id = 3 AND purpose = 'store'", 3},
		"the last taken out":   {"DELETE FROM consent_event WHERE contact_id = 3 AND source = 'one_click'", 3},
		"a state without word": {"UPDATE consent SET basis = 'consent' WHERE contact_id = 1 AND purpose = 'emarketing'", 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db, url := postgrestest.New(t)
			people(t, db, person{email: "a@example.org", mailed: "sent"}, person{email: "b@example.org", no: true}, person{email: "c@example.org", mailed: "sent"})
			upgradeAll(t, db, false)
			stop(t, db, 3)
			if n := verified(t, db); n != 7 {
				t.Errorf("%d events, want 7", n)
			}
			tamper(t, url, test.statement)
			_, err := db.VerifyLedger(t.Context())
			var broken *contact.BrokenError
			if !errors.As(err, &broken) || broken.Contact != test.contact {
				t.Errorf("verify says %v, want a break at contact %d", err, test.contact)
			}
		})
	}
}

func TestStateIsRebuiltFromTheEvents(t *testing.T) {
	t.Parallel()
	db, url := postgrestest.New(t)
	people(t, db, person{email: "a@example.org", mailed: "sent"}, person{email: "b@example.org", no: true}, person{email: "c@example.org"})
	upgradeAll(t, db, false)
	stop(t, db, 1)
	before := standings(t, db)
	tamper(t, url, "DELETE FROM consent WHERE contact_id = 1", "UPDATE consent SET basis = 'consent' WHERE contact_id = 2",
		"INSERT INTO consent (contact_id, purpose, basis, event_id, source, since) VALUES (3, 'emarketing', 'consent', 1, 'import', now())")
	if n, err := db.RebuildState(t.Context()); err != nil || n != 5 {
		t.Errorf("%d states were mended (%v), want 5", n, err)
	}
	if diff := cmp.Diff(before, standings(t, db)); diff != "" {
		t.Errorf("rebuilt (-before +after):\n%s", diff)
	}
	verified(t, db)
	if n, err := db.RebuildState(t.Context()); err != nil || n != 0 {
		t.Errorf("a second rebuild mended %d (%v)", n, err)
	}
}

func standings(t *testing.T, db *postgres.DB) (list []contact.Standing) {
	t.Helper()
	for s, err := range db.Selected(t.Context(), gating.PurposeEmarketing, contact.Selection{}) {
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, s)
	}
	return list
}

// Fifty clients that toggle the same contact leave a ledger that verifies.
func TestManyAtOnceLeaveAChain(t *testing.T) {
	t.Parallel()
	db, _ := postgrestest.New(t)
	people(t, db, person{email: "a@example.org", mailed: "sent"})
	upgradeAll(t, db, false)
	var clients sync.WaitGroup
	for i := range 50 {
		clients.Go(func() {
			random := rand.New(rand.NewPCG(uint64(i), 1))
			for range 4 {
				on := random.IntN(2) == 0
				_, err := db.Choose(t.Context(), contact.Choices{Contact: 1, Source: gating.SourceManagePage, Wording: "Ja tak", Locale: "da", At: noon, Emarketing: &on})
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	clients.Wait()
	verified(t, db)
	events, err := db.Events(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	basis := gating.LegalBasis("")
	for _, e := range events {
		if e.Purpose != gating.PurposeEmarketing {
			continue
		}
		if e.From != basis || e.To == basis {
			t.Errorf("event %d goes from %q to %q after %q", e.ID, e.From, e.To, basis)
		}
		basis = e.To
	}
}

func TestErasedPersonIsGoneAndStaysUnmailed(t *testing.T) {
	t.Parallel()
	db, url := postgrestest.New(t)
	people(t, db, person{email: "a@example.org", mailed: "sent", interests: []string{"Tilbud"}}, person{email: "b@example.org", mailed: "sent"})
	upgradeAll(t, db, false)
	stop(t, db, 1)
	if _, err := db.ChangeBasis(t.Context(), contact.BulkChange{Purpose: gating.PurposeStore, Basis: gating.BasisContract, Reason: "about a@example.org", Actor: "test", Now: noon}); err != nil {
		t.Fatal(err)
	}
	before := verified(t, db)
	if err := db.Erase(t.Context(), 1, "officer", noon); err != nil {
		t.Fatal(err)
	}
	if n := verified(t, db); n != before {
		t.Errorf("%d events after erasing, %d before", n, before)
	}
	if err := db.Erase(t.Context(), 1, "officer", noon); !errors.Is(err, contact.ErrNotFound) {
		t.Errorf("erased twice: %v", err)
	}
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.Background()) }()
	tables, err := conn.Query(t.Context(), `SELECT table_name FROM information_schema.tables WHERE table_schema = 'public' AND table_type = 'BASE TABLE'`)
	if err != nil {
		t.Fatal(err)
	}
	names, err := pgx.CollectRows(tables, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		rows, err := conn.Query(t.Context(), `SELECT t::text FROM `+pgx.Identifier{name}.Sanitize()+` t`)
		if err != nil {
			t.Fatal(err)
		}
		texts, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil {
			t.Fatal(err)
		}
		for _, text := range texts {
			if strings.Contains(text, "a@example.org") {
				// The comment of the other contact's event is the officer's own words.
				if name != "bulk_change" && name != "consent_comment" {
					t.Errorf("the address is still in %s: %s", name, text)
				}
			}
		}
	}

	// Imported again, the person is refused; so is a twin.
	err = db.Import(t.Context(), func(im *postgres.Import) error {
		var refused []contact.Objection
		counts, err := im.Contacts(t.Context(), each([]contact.LegacyContact{
			{ID: "1", Email: "A@example.org", Address: "a@example.org", Digest: digest("a@example.org"), Line: 7}}), func(u contact.Objection) { refused = append(refused, u) })
		if len(refused) != 1 || refused[0].Why != contact.ObjectErased || refused[0].Line != 7 || counts.Added != 0 {
			t.Errorf("imported again: %+v, refused %+v", counts, refused)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	audit, err := db.AuditLog(t.Context(), staff.Filter{Most: 10})
	if err != nil || len(audit) != 2 || strings.Contains(fmt.Sprint(audit), "@") || audit[0].Actor != "officer" || audit[0].Action != "contact erase" {
		t.Errorf("audit %+v, %v", audit, err)
	}
}

func TestBulkChangeAndItsUndo(t *testing.T) {
	t.Parallel()
	db, _ := postgrestest.New(t)
	people(t, db, person{email: "a@example.org", mailed: "sent"}, person{email: "b@example.org"}, person{email: "c@example.org", mailed: "sent"}, person{email: "d@example.org", no: true})
	upgradeAll(t, db, false)
	stop(t, db, 3)
	before := standings(t, db)
	change := contact.BulkChange{Purpose: gating.PurposeEmarketing, Basis: gating.BasisSoftOptIn, Reason: "customers", Actor: "test", Now: noon, DryRun: true}
	want := contact.BulkResult{Selected: 4, Changed: 2, Withdrawn: 2}
	if r, err := db.ChangeBasis(t.Context(), change); err != nil || r != want {
		t.Errorf("dry run: %+v, %v, want %+v", r, err, want)
	}
	if diff := cmp.Diff(before, standings(t, db)); diff != "" {
		t.Errorf("the dry run changed something:\n%s", diff)
	}
	change.DryRun = false
	r, err := db.ChangeBasis(t.Context(), change)
	if err != nil || r.Changed != 2 || r.ID == 0 {
		t.Fatalf("%+v, %v", r, err)
	}
	for _, s := range standings(t, db) {
		want := gating.BasisSoftOptIn
		if s.ID >= 3 {
			want = gating.BasisWithdrawn
		}
		if s.Basis != want {
			t.Errorf("contact %d stands on %s, want %s", s.ID, s.Basis, want)
		}
	}
	stop(t, db, 1) // has said something since
	undone, err := db.UndoBasis(t.Context(), r.ID, "test", noon)
	if err != nil || undone.Changed != 1 || undone.Unchanged != 1 {
		t.Errorf("undo: %+v, %v", undone, err)
	}
	if got := reasons(t, db, newCampaign(t, db, ""), true); got["1"] != gating.Withdrawn || got["2"] != gating.NoConsent {
		t.Errorf("after the undo: %v", got)
	}
	verified(t, db)
	if _, err := db.UndoBasis(t.Context(), r.ID, "test", noon); err == nil {
		t.Error("a change was undone twice")
	}
	if n, err := db.RebuildState(t.Context()); err != nil || n != 0 {
		t.Errorf("the fold differs in %d states (%v)", n, err)
	}
}

// Whichever of two contacts with one address withdraws, neither is mailed.
func TestSameAddressMostRestrictiveWins(t *testing.T) {
	t.Parallel()
	for _, who := range []contact.ID{1, 2} {
		db, _ := postgrestest.New(t)
		people(t, db, person{email: "same@example.org", mailed: "sent"}, person{email: "SAME@example.org", mailed: "sent"})
		upgradeAll(t, db, false)
		any := newCampaign(t, db, "")
		if got := reasons(t, db, any, true); got["1"] != gating.Consented || got["2"] != gating.Consented {
			t.Fatalf("before: %v", got)
		}
		stop(t, db, who)
		if got := reasons(t, db, any, true); got["1"] != gating.Withdrawn || got["2"] != gating.Withdrawn {
			t.Errorf("contact %d withdrew: %v", who, got)
		}
	}
}

func TestTypes(t *testing.T) {
	t.Parallel()
	db, _ := postgrestest.New(t)
	upgradeAll(t, db, false)
	events := contact.NewType{Key: "events", Names: map[string]string{"en": "Events"}}
	if err := db.CreateType(t.Context(), events, "test", noon); err != nil {
		t.Fatal(err)
	}
	if err := db.CreateType(t.Context(), events, "test", noon); err == nil || !strings.Contains(err.Error(), `"events" already`) {
		t.Errorf("created twice: %v", err)
	}
	if err := db.RenameType(t.Context(), contact.NewType{Key: "events", Names: map[string]string{"da": "Arrangementer"}}, "test", noon); err != nil {
		t.Fatal(err)
	}
	if err := db.RenameType(t.Context(), contact.NewType{Key: "nothing"}, "test", noon); err == nil {
		t.Error("a type that is not there was renamed")
	}
	if err := db.RetireType(t.Context(), "news", "test", noon); err != nil {
		t.Fatal(err)
	}
	types, err := db.Types(t.Context())
	if err != nil || len(types) != 5 {
		t.Fatal(types, err)
	}
	if got := types[3]; got.Key != "events" || got.Names["da"] != "Arrangementer" || got.Names["en"] != "Events" || got.Retired {
		t.Errorf("type %+v", got)
	}
	if got := types[4]; got.Key != "news" || !got.Retired {
		t.Errorf("the retired type is %+v", got)
	}
}

func TestDossierHoldsWhatWasSaid(t *testing.T) {
	t.Parallel()
	db, _ := postgrestest.New(t)
	people(t, db, person{email: "a@example.org", mailed: "sent", company: "open"})
	upgradeAll(t, db, false)
	stop(t, db, 1)
	d, err := db.Dossier(t.Context(), 1, staff.Entry{Actor: "officer", Action: staff.ContactExport, At: noon})
	if err != nil {
		t.Fatal(err)
	}
	if d.Contact.Email != "a@example.org" || d.Contact.Company != "Åben A/S" || len(d.Consents) != 2 || len(d.ConsentEvents) != 3 ||
		len(d.LegacyMails) != 1 || len(d.Subscriptions) != 4 || !d.Exported.Equal(noon) {
		t.Errorf("dossier %+v", d)
	}
	if last := d.ConsentEvents[2]; last.Wording != "Stop" || last.Address != "a@example.org" || last.Source != gating.SourceOneClick {
		t.Errorf("event %+v", last)
	}
	audit, err := db.AuditLog(t.Context(), staff.Filter{Most: 1})
	if err != nil || len(audit) != 1 || audit[0].Action != "contact export" || audit[0].At.Sub(noon) != time.Duration(0) {
		t.Errorf("audit %+v, %v", audit, err)
	}
}
