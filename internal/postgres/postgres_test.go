package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/jatak-mail/jatak/gating"
	"github.com/jatak-mail/jatak/internal/campaign"
	"github.com/jatak-mail/jatak/internal/contact"
	"github.com/jatak-mail/jatak/internal/postgres"
	"github.com/jatak-mail/jatak/internal/postgres/postgrestest"
)

var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

// person is a legacy contact with what a test says of it.
type person struct {
	email     string
	no        bool // no mailings
	company   string
	left      bool
	interests []string
	mailed    string // the status of a mailing; "" for none
}

func digest(a contact.Address) []byte { return []byte("digest of " + a) }

// people imports contacts; their ids are "1", "2", ... in this order.
func people(t *testing.T, db *postgres.DB, list ...person) (counts contact.Imported) {
	t.Helper()
	err := db.Import(t.Context(), func(im *postgres.Import) (err error) {
		companies := []contact.LegacyCompany{{ID: "open", Name: "Åben A/S"}, {ID: "closed", Name: "Lukket ApS", NoMailings: true}}
		if counts.Companies, err = im.Companies(t.Context(), each(companies)); err != nil {
			return err
		}
		var contacts []contact.LegacyContact
		var mailings []contact.LegacyMailing
		for i, p := range list {
			c := contact.LegacyContact{ID: fmt.Sprint(i + 1), Email: p.email, FirstName: "Bo", CompanyID: p.company,
				Language: "da", NoMailings: p.no, Left: p.left, Interests: p.interests, Line: i + 2}
			if a, err := contact.ParseAddress(p.email); err == nil {
				c.Address, c.Digest = a, digest(a)
			}
			contacts = append(contacts, c)
			if p.mailed != "" {
				mailings = append(mailings, contact.LegacyMailing{ContactID: c.ID, Mailing: "m", SentAt: noon, Status: p.mailed})
			}
		}
		var unknown []contact.Objection
		if counts.Contacts, err = im.Contacts(t.Context(), each(contacts), func(u contact.Objection) { unknown = append(unknown, u) }); err != nil {
			return err
		}
		if counts.Mailings, err = im.Mailings(t.Context(), each(mailings), func(u contact.Objection) { unknown = append(unknown, u) }); err != nil {
			return err
		}
		if len(unknown) > 0 {
			t.Errorf("unknown references: %v", unknown)
		}
		counts.Interests, err = im.InterestMappings(t.Context(), each([]contact.InterestMapping{
			{Interest: "Tilbud", SubscriptionType: "promotions"}, {Interest: "Nyt", SubscriptionType: "News"}, {Interest: "Golf", SubscriptionType: "Golf"}}))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return counts
}

func each[T any](list []T) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		for _, x := range list {
			if !yield(x, nil) {
				return
			}
		}
	}
}

func upgradeAll(t *testing.T, db *postgres.DB, dryRun bool) contact.Upgraded {
	t.Helper()
	n, err := db.Upgrade(t.Context(), contact.Upgrade{Now: noon, Actor: "test", DryRun: dryRun,
		Purpose: gating.PurposeStore, StoreBasis: gating.BasisLegitimateInterest, Threshold: 1, Types: contact.DefaultTypes()})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func newCampaign(t *testing.T, db *postgres.DB, typeName string) campaign.Campaign {
	t.Helper()
	id, err := db.CreateCampaign(t.Context(), campaign.Content{
		Name: "c", Type: typeName, FromName: "Ja Tak", FromAddress: "news@jatak.example", PostalAddress: "x", DefaultLanguage: "en",
		Variants: map[string]campaign.Variant{"en": {Subject: "s", HTML: "<p>h</p>", Text: "t"}},
	}, noon)
	if err != nil {
		t.Fatal(err)
	}
	c, err := db.Campaign(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func reasons(t *testing.T, db *postgres.DB, c campaign.Campaign, privacy bool) map[string]gating.Reason {
	t.Helper()
	got := map[string]gating.Reason{}
	for r, err := range db.Audience(t.Context(), c.Type, contact.Selection{}) {
		if err != nil {
			t.Fatal(err)
		}
		v := gating.Decide(r.Facts, gating.Policy{Now: noon, Privacy: privacy, Class: c.Class, Type: c.Type})
		got[fmt.Sprint(r.ID)] = v.Reason
	}
	return got
}

// The upgrade does what its six points say, for every kind of contact.
func TestUpgrade(t *testing.T) {
	t.Parallel()
	db, _ := postgrestest.New(t)
	people(t, db,
		person{email: "mailed@example.org", mailed: "opened"},
		person{email: "never@example.org"},
		person{email: "tested@example.org", mailed: "test"},
		person{email: "no@example.org", no: true, mailed: "sent"},
		person{email: "firm@example.org", company: "closed", mailed: "sent"},
		person{email: "twin@example.org", mailed: "sent"},
		person{email: "Twin@Example.org", no: true},
		person{email: "", mailed: "sent"},
		person{email: "left@example.org", left: true, mailed: "sent"},
		person{email: "offers@example.org", interests: []string{"Tilbud", "Golf"}, mailed: "sent"},
	)
	dry := upgradeAll(t, db, true)
	if events, err := db.Events(t.Context(), 1); err != nil || len(events) > 0 {
		t.Fatalf("the dry run wrote %v (%v)", events, err)
	}
	got := upgradeAll(t, db, false)
	if diff := cmp.Diff(dry, got); diff != "" {
		t.Errorf("the dry run promised something else (-dry +run):\n%s", diff)
	}
	want := contact.Upgraded{Contacts: 10, Stored: 10, Emarketing: 6, NeverMailed: 2, Withdrawn: 2, CompaniesNoMailings: 1,
		TypesCreated: 4, InterestsMapped: 2, InterestsUnmapped: 1, PreferencesIn: 1, PreferencesOut: 1}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("counts (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(contact.Upgraded{CompaniesNoMailings: 1, InterestsMapped: 2, InterestsUnmapped: 1}, upgradeAll(t, db, false)); diff != "" {
		t.Errorf("a second run did something (-want +got):\n%s", diff)
	}

	any := newCampaign(t, db, "")
	for privacy, want := range map[bool]map[string]gating.Reason{
		false: {"1": gating.Consented, "2": gating.PrivacyOff, "3": gating.PrivacyOff, "4": gating.Withdrawn, "5": gating.CompanyNoMailings,
			"6": gating.Withdrawn, "7": gating.Withdrawn, "8": gating.NoAddress, "9": gating.Left, "10": gating.Consented},
		true: {"1": gating.Consented, "2": gating.NoConsent, "3": gating.NoConsent, "4": gating.Withdrawn, "5": gating.CompanyNoMailings,
			"6": gating.Withdrawn, "7": gating.Withdrawn, "8": gating.NoAddress, "9": gating.Left, "10": gating.Consented},
	} {
		if diff := cmp.Diff(want, reasons(t, db, any, privacy)); diff != "" {
			t.Errorf("privacy %v (-want +got):\n%s", privacy, diff)
		}
	}
	if got := reasons(t, db, newCampaign(t, db, "News"), false)["10"]; got != gating.TypeOptedOut {
		t.Errorf("who chose offers only gets News: %s", got)
	}

	events, err := db.Events(t.Context(), 4)
	if err != nil || len(events) != 2 {
		t.Fatalf("events %v, %v", events, err)
	}
	for i, want := range []contact.Event{
		{Purpose: gating.PurposeStore, To: gating.BasisLegitimateInterest}, {Purpose: gating.PurposeEmarketing, To: gating.BasisWithdrawn},
	} {
		e := events[i]
		if e.Purpose != want.Purpose || e.To != want.To || e.Source != gating.SourceMigration || e.Actor != "test" || e.Address != "no@example.org" || !e.At.Equal(noon) {
			t.Errorf("event %+v, want %+v from the migration", e, want)
		}
	}
}

// What a contact has said after an upgrade is not overwritten by a later one.
func TestUpgradeLeavesLaterChangesAlone(t *testing.T) {
	t.Parallel()
	db, _ := postgrestest.New(t)
	people(t, db, person{email: "a@example.org", mailed: "sent"})
	upgradeAll(t, db, false)
	stop(t, db, 1)
	people(t, db, person{email: "a@example.org", mailed: "sent"}, person{email: "b@example.org", mailed: "sent"})
	if n := upgradeAll(t, db, false); n.Contacts != 1 || n.Emarketing != 1 {
		t.Errorf("the second upgrade took %+v, want the new contact alone", n)
	}
	p, err := db.Profile(t.Context(), 1)
	if err != nil || p.Emarketing.Basis != gating.BasisWithdrawn {
		t.Errorf("profile %+v (%v), want withdrawn", p, err)
	}
}

func stop(t *testing.T, db *postgres.DB, id contact.ID) bool {
	t.Helper()
	off := false
	changed, err := db.Choose(t.Context(), contact.Choices{Contact: id, Campaign: 9, Source: gating.SourceOneClick, Locale: "da",
		Wording: "Stop", At: noon, Emarketing: &off})
	if err != nil {
		t.Fatal(err)
	}
	return changed
}

func TestImportAgainChangesOnlyWhatDiffers(t *testing.T) {
	t.Parallel()
	db, _ := postgrestest.New(t)
	first := people(t, db, person{email: "a@example.org"}, person{email: "b@example.org"})
	if first.Contacts.Added != 2 || first.Companies.Added != 2 {
		t.Errorf("first import: %+v", first)
	}
	again := people(t, db, person{email: "a@example.org"}, person{email: "new@example.org"})
	if want := (contact.Counts{Changed: 1, Unchanged: 1}); again.Contacts != want {
		t.Errorf("contacts of the second import: %+v, want %+v", again.Contacts, want)
	}
}

func TestFailedImportLeavesNothing(t *testing.T) {
	t.Parallel()
	db, _ := postgrestest.New(t)
	broken := errors.New("the disk is full")
	err := db.Import(t.Context(), func(im *postgres.Import) error {
		if _, err := im.Companies(t.Context(), each([]contact.LegacyCompany{{ID: "1", Name: "x"}})); err != nil {
			return err
		}
		return broken
	})
	if !errors.Is(err, broken) {
		t.Fatal(err)
	}
	if counts := people(t, db); counts.Companies.Added != 2 {
		t.Errorf("a company of the failed import is there: %+v", counts)
	}
}

func TestOneClickTwiceWritesOneEvent(t *testing.T) {
	t.Parallel()
	db, _ := postgrestest.New(t)
	people(t, db, person{email: "a@example.org", mailed: "sent"})
	upgradeAll(t, db, false)
	var changes sync.Map
	var clients sync.WaitGroup
	for i := range 20 {
		clients.Go(func() { changes.Store(i, stop(t, db, 1)) })
	}
	clients.Wait()
	n := 0
	changes.Range(func(_, changed any) bool {
		if changed.(bool) {
			n++
		}
		return true
	})
	events, err := db.Events(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	last := events[len(events)-1]
	if n != 1 || len(events) != 3 || last.From != gating.BasisLegitimateInterest || last.To != gating.BasisWithdrawn ||
		last.Source != gating.SourceOneClick || last.Wording != "Stop" || last.Campaign != 9 || last.Actor != contact.ActorContact {
		t.Errorf("%d requests changed something; events %+v", n, events)
	}
}

func TestLedgerRefusesChange(t *testing.T) {
	t.Parallel()
	db, url := postgrestest.New(t)
	people(t, db, person{email: "a@example.org", mailed: "sent"})
	upgradeAll(t, db, false)
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.Background()) }()
	for _, statement := range []string{"UPDATE consent_event SET actor = 'x'", "DELETE FROM consent_event", "TRUNCATE consent_event CASCADE"} {
		if _, err := conn.Exec(t.Context(), statement); err == nil {
			t.Errorf("%s succeeded", statement)
		}
	}
}

// plan plans a whole campaign in chunks of size.
func plan(t *testing.T, db *postgres.DB, id campaign.ID, size int) (batches int) {
	t.Helper()
	for {
		_, done, err := db.PlanChunk(t.Context(), id, size, noon, gating.Decide)
		if err != nil {
			t.Fatal(err)
		}
		if done {
			return batches
		}
		batches++
	}
}

func launched(t *testing.T, db *postgres.DB) campaign.Campaign {
	t.Helper()
	c := newCampaign(t, db, "")
	if err := db.Launch(t.Context(), c.ID, campaign.Override{}, noon); err != nil {
		t.Fatal(err)
	}
	return c
}

func books(t *testing.T, db *postgres.DB, id campaign.ID) campaign.Report {
	t.Helper()
	r, err := db.Books(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Balanced(); err != nil {
		t.Error(err)
	}
	return r
}

func worker(t *testing.T, db *postgres.DB, lease time.Duration) int64 {
	t.Helper()
	id, err := db.StartWorker(t.Context(), "test", lease)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func crowd(n int) (list []person) {
	for i := range n {
		list = append(list, person{email: fmt.Sprintf("p%d@example.org", i)})
	}
	return list
}

func TestCampaignLife(t *testing.T) {
	t.Parallel()
	db, _ := postgrestest.New(t)
	people(t, db, append(crowd(25), person{email: "P3@example.org"}, person{email: "no@example.org", no: true})...)
	upgradeAll(t, db, false)
	c := launched(t, db)
	if err := db.Launch(t.Context(), c.ID, campaign.Override{}, noon); !errors.Is(err, campaign.ErrFrozen) {
		t.Errorf("a second launch: %v, want ErrFrozen", err)
	}
	if err := db.SaveDraft(t.Context(), c.ID, campaign.Content{}); !errors.Is(err, campaign.ErrFrozen) {
		t.Errorf("a launched campaign was edited: %v", err)
	}
	people(t, db, append(crowd(25), person{email: "P3@example.org"}, person{email: "no@example.org", no: true}, person{email: "late@example.org"})...)
	if n := plan(t, db, c.ID, 10); n != 3 {
		t.Errorf("%d batches, want 3", n)
	}
	if _, _, err := db.PlanChunk(t.Context(), c.ID, 10, noon, gating.Decide); !errors.Is(err, campaign.ErrNotPlanning) {
		t.Errorf("planning again: %v, want ErrNotPlanning", err)
	}
	want := campaign.Report{Campaign: c.ID, Audience: 27, Pending: 25, Blocked: map[gating.Reason]int64{gating.Duplicate: 1, gating.Withdrawn: 1}}
	if diff := cmp.Diff(want, books(t, db, c.ID)); diff != "" {
		t.Errorf("books after planning; who came after launch is not of the audience (-want +got):\n%s", diff)
	}

	w := worker(t, db, time.Minute)
	request := campaign.ClaimRequest{Worker: w, Campaign: c.ID, Batch: 1, Limit: 4, Now: noon, Class: c.Class}
	policy, claimed, err := db.Claim(t.Context(), request)
	if err != nil || len(claimed) != 4 {
		t.Fatalf("claimed %d rows (%v), want 4", len(claimed), err)
	}
	if policy.Privacy || claimed[0].Attempts != 1 || claimed[0].Address == "" || claimed[0].FirstName != "Bo" || claimed[0].Language != "da" {
		t.Errorf("claimed %+v under %+v", claimed[0], policy)
	}
	outcomes := make([]campaign.Outcome, 4)
	for i := range outcomes {
		outcomes[i] = campaign.Outcome{Worker: w, Campaign: c.ID, Batch: 1, Contact: claimed[i].ID, State: campaign.Sent, At: noon,
			Verdict: gating.Decide(claimed[i].Facts, policy), Code: 250, Enhanced: "2.0.0", Reply: "queued", Relay: "r:25"}
	}
	outcomes[1].State, outcomes[1].Code = campaign.Failed, 550
	outcomes[2].State, outcomes[2].NextAttempt = campaign.Deferred, noon.Add(time.Hour)
	outcomes[3].Worker++ // somebody else's
	if err := db.Record(t.Context(), outcomes); err != nil {
		t.Fatal(err)
	}
	got := books(t, db, c.ID)
	if got.Sent != 1 || got.Failed != 1 || got.Deferred != 1 || got.Sending != 1 {
		t.Errorf("books %+v", got)
	}
	before, all := request, make([]contact.ID, len(claimed))
	for i := range claimed {
		all[i] = claimed[i].ID
	}
	if err := db.Release(t.Context(), before, all); err != nil {
		t.Fatal(err)
	}
	// The deferred row is not due yet: what is left of the batch is pending.
	request.Limit, request.Now = 100, noon.Add(time.Second)
	if _, claimed, err = db.Claim(t.Context(), request); err != nil || len(claimed) != 7 {
		t.Errorf("claimed %d (%v), want 7", len(claimed), err)
	}
	// A release that the database carries out late takes nothing from a later claim.
	if err := db.Release(t.Context(), before, all); err != nil {
		t.Fatal(err)
	}
	if got := books(t, db, c.ID); got.Sending != 7 {
		t.Errorf("books after a late release %+v, want 7 being sent", got)
	}
	if finished, err := db.CloseBatch(t.Context(), c.ID, 1, noon); err != nil || finished {
		t.Errorf("a batch under way was closed: %v, %v", finished, err)
	}
	if err := db.StopWorker(t.Context(), w); err != nil {
		t.Fatal(err)
	}
	if _, claimed, err = db.Claim(t.Context(), request); err != nil || len(claimed) != 0 {
		t.Errorf("a worker whose lease has run out claimed %d (%v)", len(claimed), err)
	}
}

// Two claims at once never take the same row.
func TestClaimsDoNotMeet(t *testing.T) {
	t.Parallel()
	db, _ := postgrestest.New(t)
	people(t, db, crowd(200)...)
	c := launched(t, db)
	plan(t, db, c.ID, 200)
	w := worker(t, db, time.Minute)
	var mu sync.Mutex
	taken := map[contact.ID]int{}
	var claimers sync.WaitGroup
	for range 8 {
		claimers.Go(func() {
			for {
				_, rows, err := db.Claim(t.Context(), campaign.ClaimRequest{Worker: w, Campaign: c.ID, Batch: 1, Limit: 7, Now: noon, Class: c.Class})
				if err != nil {
					t.Error(err)
				}
				if len(rows) == 0 {
					return
				}
				mu.Lock()
				for _, r := range rows {
					taken[r.ID]++
				}
				mu.Unlock()
			}
		})
	}
	claimers.Wait()
	for id, n := range taken {
		if n != 1 {
			t.Errorf("contact %d was claimed %d times", id, n)
		}
	}
	if len(taken) != 200 {
		t.Errorf("%d of 200 were claimed", len(taken))
	}
}

// A withdrawal, and a policy, count from the commit on: the claim sees them.
func TestClaimSeesWhatWasSaidAfterPlanning(t *testing.T) {
	t.Parallel()
	db, _ := postgrestest.New(t)
	people(t, db, person{email: "a@example.org", mailed: "sent"}, person{email: "b@example.org"}, person{email: "c@example.org", mailed: "sent"})
	upgradeAll(t, db, false)
	c := launched(t, db)
	plan(t, db, c.ID, 10)
	stop(t, db, 1)
	if err := db.Set(t.Context(), gating.SettingPrivacy, "on", "test", noon); err != nil {
		t.Fatal(err)
	}
	policy, rows, err := db.Claim(t.Context(), campaign.ClaimRequest{Worker: worker(t, db, time.Minute), Campaign: c.ID, Batch: 1, Limit: 10, Now: noon, Class: c.Class})
	if err != nil {
		t.Fatal(err)
	}
	got := map[contact.ID]gating.Reason{}
	for _, r := range rows {
		v := gating.Decide(r.Facts, policy)
		got[r.ID] = v.Reason
		if v.PolicyVersion == 0 {
			t.Errorf("the verdict names no policy version: %+v", v)
		}
	}
	if diff := cmp.Diff(map[contact.ID]gating.Reason{1: gating.Withdrawn, 2: gating.NoConsent, 3: gating.Consented}, got); diff != "" {
		t.Errorf("verdicts at the claim (-want +got):\n%s", diff)
	}
}

func TestSweep(t *testing.T) {
	t.Parallel()
	for _, resend := range []bool{true, false} {
		t.Run(fmt.Sprintf("resend %v", resend), func(t *testing.T) {
			t.Parallel()
			db, _ := postgrestest.New(t)
			people(t, db, crowd(10)...)
			c := launched(t, db)
			plan(t, db, c.ID, 10)
			w := worker(t, db, time.Minute)
			if _, rows, err := db.Claim(t.Context(), campaign.ClaimRequest{Worker: w, Campaign: c.ID, Batch: 1, Limit: 4, Now: noon, Class: c.Class}); err != nil || len(rows) != 4 {
				t.Fatal(len(rows), err)
			}
			// The clock of the machine that sweeps is an hour ahead.
			sweep := func(patience time.Duration) campaign.Sweep {
				s, ran, err := db.Sweep(t.Context(), resend, time.Now().Add(time.Hour), patience, 100)
				if err != nil || !ran {
					t.Fatal(ran, err)
				}
				return s
			}
			if s := sweep(time.Minute); s.InDoubt != 0 {
				t.Errorf("a living worker's rows were taken: %+v", s)
			}
			if err := db.StopWorker(t.Context(), w); err != nil {
				t.Fatal(err)
			}
			if s := sweep(0); s.InDoubt != 4 || len(s.Batches) != 1 || s.Batches[0] != (campaign.BatchID{Campaign: c.ID, Batch: 1, Priority: campaign.PriorityNormal}) {
				t.Errorf("sweep found %+v, want 4 in doubt and the batch", s)
			}
			got := books(t, db, c.ID)
			if resend && got.Pending != 10 || !resend && (got.InDoubt != 4 || got.Pending != 6) {
				t.Errorf("books %+v", got)
			}
			if s := sweep(time.Minute); len(s.Batches) != 0 {
				t.Errorf("rang twice for one batch: %+v", s)
			}
			if kept, err := db.RenewLease(t.Context(), w, time.Minute); err != nil || kept {
				t.Errorf("a lease that had run out was renewed: %v, %v", kept, err)
			}
		})
	}
}

func TestSweepRingsForPlanningThatStandsStill(t *testing.T) {
	t.Parallel()
	db, _ := postgrestest.New(t)
	people(t, db, crowd(3)...)
	c := launched(t, db)
	s, _, err := db.Sweep(t.Context(), true, noon.Add(time.Minute), 30*time.Second, 10)
	if err != nil || len(s.Plans) != 1 || s.Plans[0] != c.ID {
		t.Errorf("sweep found %+v (%v), want the campaign to plan", s, err)
	}
	plan(t, db, c.ID, 10)
	w := worker(t, db, time.Hour)
	policy, rows, err := db.Claim(t.Context(), campaign.ClaimRequest{Worker: w, Campaign: c.ID, Batch: 1, Limit: 10, Now: noon, Class: c.Class})
	if err != nil {
		t.Fatal(err)
	}
	var outcomes []campaign.Outcome
	for _, r := range rows {
		outcomes = append(outcomes, campaign.Outcome{Worker: w, Campaign: c.ID, Batch: 1, Contact: r.ID, State: campaign.Sent, At: noon, Verdict: gating.Decide(r.Facts, policy)})
	}
	if err := db.Record(t.Context(), outcomes); err != nil {
		t.Fatal(err)
	}
	finished, err := db.CloseBatch(t.Context(), c.ID, 1, noon)
	if err != nil || !finished {
		t.Errorf("the campaign is not finished: %v, %v", finished, err)
	}
}

func TestSettingsAreVersionedAndChecked(t *testing.T) {
	t.Parallel()
	db, _ := postgrestest.New(t)
	before, err := db.Policy(t.Context(), noon)
	if err != nil || before.Privacy || before.BounceLimit != gating.DefaultBounceLimit {
		t.Fatalf("policy %+v, %v", before, err)
	}
	if err := db.Set(t.Context(), gating.SettingPrivacy, "on", "test", noon); err != nil {
		t.Fatal(err)
	}
	after, err := db.Policy(t.Context(), noon)
	if err != nil || !after.Privacy || after.Version <= before.Version {
		t.Errorf("policy %+v, %v", after, err)
	}
	for name, value := range map[gating.Setting]string{gating.SettingPrivacy: "maybe", "colour": "red"} {
		if err := db.Set(t.Context(), name, value, "test", noon); err == nil {
			t.Errorf("%s = %s was taken", name, value)
		}
	}
}

func TestMissingThingsAreNamed(t *testing.T) {
	t.Parallel()
	db, url := postgrestest.New(t)
	if _, err := db.Campaign(t.Context(), 99); !errors.Is(err, campaign.ErrNotFound) {
		t.Errorf("campaign: %v", err)
	}
	if _, err := db.Profile(t.Context(), 99); !errors.Is(err, contact.ErrNotFound) {
		t.Errorf("profile: %v", err)
	}
	if _, err := db.Choose(t.Context(), contact.Choices{Contact: 99}); !errors.Is(err, contact.ErrNotFound) {
		t.Errorf("choose: %v", err)
	}
	upgradeAll(t, db, false)
	_, err := db.CreateCampaign(t.Context(), campaign.Content{Name: "x", Type: "Nws"}, noon)
	if err == nil || !strings.Contains(err.Error(), `"Nws"`) || !strings.Contains(err.Error(), "news") {
		t.Errorf("unknown type: %v", err)
	}
	for _, bad := range []string{"postgres://x:hunter2@127.0.0.1:1/x", strings.Replace(url, "/test_", "/nothing_", 1), "::"} {
		if _, err := postgres.Open(t.Context(), bad); err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("Open(%q): %v", bad, err)
		}
	}
}

func TestMigrateTwiceAtOnce(t *testing.T) {
	t.Parallel()
	db, _ := postgrestest.New(t)
	var starts sync.WaitGroup
	for range 4 {
		starts.Go(func() {
			if done, err := db.Migrate(t.Context()); err != nil || len(done) > 0 {
				t.Errorf("migrated %v, %v", done, err)
			}
		})
	}
	starts.Wait()
}
