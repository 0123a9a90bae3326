package postgres_test

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/jatak-mail/jatak/gating"
	"github.com/jatak-mail/jatak/internal/contact"
	"github.com/jatak-mail/jatak/internal/postgres"
	"github.com/jatak-mail/jatak/internal/postgres/postgrestest"
)

const yesPlease = "Ja tak, send mig nyheder"

func signUp(t *testing.T, db *postgres.DB, email, network string, at time.Time, types ...gating.TypeID) contact.SignUpResult {
	t.Helper()
	address, err := contact.ParseAddress(email)
	if err != nil {
		t.Fatal(err)
	}
	result, err := db.SignUp(t.Context(), contact.SignUp{
		Email: email, Address: address, Digest: digest(address), FirstName: "Nora", Purpose: gating.PurposeEmarketing, Types: types,
		Wording: yesPlease, Locale: "da", Network: []byte(network), Now: at, Life: 7 * 24 * time.Hour,
	})
	if err != nil {
		t.Fatal(err)
	}
	return result
}

func one(t *testing.T, db *postgres.DB, address contact.Address) contact.ID {
	t.Helper()
	ids, err := db.FindContacts(t.Context(), address)
	if err != nil || len(ids) != 1 {
		t.Fatalf("%s: %v, %v", address, ids, err)
	}
	return ids[0]
}

// claimed takes all notices that are due.
func claimed(t *testing.T, db *postgres.DB, at time.Time) []contact.Notice {
	t.Helper()
	_, notices, err := db.ClaimNotices(t.Context(), 100, at, at.Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	return notices
}

func TestSignUpCountsOnlyWhenConfirmed(t *testing.T) {
	t.Parallel()
	db, _ := postgrestest.New(t)
	people(t, db, person{email: "old@example.org"}, person{email: "gone@example.org", no: true})
	upgradeAll(t, db, false)
	c := newCampaign(t, db, "News")

	for _, email := range []string{"Nora@Example.org", "old@example.org", "gone@example.org"} {
		if got := signUp(t, db, email, "net", noon, c.Type.ID, 999); got != contact.SignUpKept {
			t.Fatalf("%s: %s", email, got)
		}
	}
	nora := one(t, db, "nora@example.org")
	before := reasons(t, db, c, false)
	if before[fmt.Sprint(nora)] != gating.Unconfirmed || before["1"] != gating.Unconfirmed || before["2"] != gating.Withdrawn {
		t.Errorf("before the confirmation: %v", before)
	}
	notices := claimed(t, db, noon)
	if len(notices) != 3 || len(claimed(t, db, noon)) != 0 {
		t.Fatalf("%d notices", len(notices))
	}
	for _, n := range notices {
		if n.Kind != contact.NoticeConfirm || n.Locale != "da" || !n.Expires.Equal(noon.AddDate(0, 0, 7)) || n.Attempts != 1 {
			t.Errorf("the notice is %+v", n)
		}
		p, err := db.PendingSignUp(t.Context(), n.Recipient.ID, n.SignUp, noon)
		if err != nil || p.Wording != yesPlease || len(p.Types) != 1 || p.Types[0].Name("da") != "Nyheder" || p.Expired || p.Confirmed {
			t.Errorf("pending: %+v, %v", p, err)
		}
		if err := db.ConfirmSignUp(t.Context(), n.Recipient.ID+1, n.SignUp, noon); !errors.Is(err, contact.ErrNotFound) {
			t.Errorf("another contact confirms: %v", err)
		}
		for range 2 { // the second changes nothing
			if err := db.ConfirmSignUp(t.Context(), n.Recipient.ID, n.SignUp, noon.Add(time.Minute)); err != nil {
				t.Fatal(err)
			}
		}
		events, err := db.Events(t.Context(), n.Recipient.ID)
		if err != nil {
			t.Fatal(err)
		}
		last := events[len(events)-1]
		if last.To != gating.BasisConsent || last.Source != gating.SourceWebForm || last.Wording != yesPlease || last.Locale != "da" || last.Actor != contact.ActorContact {
			t.Errorf("the event is %+v", last)
		}
		if len(events) > 1 && events[len(events)-2].To == gating.BasisConsent {
			t.Error("two events for one confirmation")
		}
	}
	for who, reason := range reasons(t, db, c, true) {
		if reason != gating.Consented {
			t.Errorf("after the confirmation, %s is %s", who, reason)
		}
	}
	verified(t, db)
}

func TestSignUpsAreBounded(t *testing.T) {
	t.Parallel()
	db, _ := postgrestest.New(t)
	for i := range contact.MostNotices + 2 {
		want := contact.SignUpKept
		if i >= contact.MostNotices {
			want = contact.SignUpLimited
		}
		if got := signUp(t, db, "nora@example.org", fmt.Sprint("net", i), noon); got != want {
			t.Errorf("sign-up %d of an address: %s, want %s", i+1, got, want)
		}
	}
	if got := signUp(t, db, "nora@example.org", "net", noon.Add(contact.NoticeWindow+time.Second)); got != contact.SignUpKept {
		t.Errorf("a day later: %s", got)
	}
	// From one network, many at once.
	var kept, limited int
	var mu sync.Mutex
	var all sync.WaitGroup
	for i := range contact.MostSignUps + 15 {
		all.Go(func() {
			got := signUp(t, db, fmt.Sprintf("p%d@example.org", i), "one network", noon)
			mu.Lock()
			defer mu.Unlock()
			switch got {
			case contact.SignUpKept:
				kept++
			case contact.SignUpLimited:
				limited++
			}
		})
	}
	all.Wait()
	if kept != contact.MostSignUps || limited != 15 {
		t.Errorf("from one network: %d kept, %d limited", kept, limited)
	}
}

func TestTheErasedCannotBeSignedUp(t *testing.T) {
	t.Parallel()
	db, _ := postgrestest.New(t)
	people(t, db, person{email: "anna@example.org"})
	if err := db.Erase(t.Context(), 1, "test", noon); err != nil {
		t.Fatal(err)
	}
	if got := signUp(t, db, "anna@example.org", "net", noon); got != contact.SignUpSuppressed {
		t.Errorf("an erased person: %s", got)
	}
	if ids, err := db.FindContacts(t.Context(), "anna@example.org"); err != nil || len(ids) != 0 {
		t.Errorf("the erased person is on file again: %v, %v", ids, err)
	}
}

func TestSignUpsThatNobodyConfirms(t *testing.T) {
	t.Parallel()
	db, _ := postgrestest.New(t)
	people(t, db, person{email: "old@example.org"})
	upgradeAll(t, db, false)
	signUp(t, db, "nora@example.org", "net", noon)
	signUp(t, db, "old@example.org", "net", noon)
	nora := one(t, db, "nora@example.org")
	late := noon.AddDate(0, 0, 8)
	var confirm contact.Notice
	for _, n := range claimed(t, db, noon) {
		if n.Recipient.ID == nora {
			confirm = n
		}
	}
	if err := db.ConfirmSignUp(t.Context(), nora, confirm.SignUp, late); !errors.Is(err, contact.ErrExpired) {
		t.Fatalf("confirmed too late: %v", err)
	}
	if err := db.ResendSignUp(t.Context(), nora, confirm.SignUp, late, 7*24*time.Hour); err != nil {
		t.Fatal(err)
	}
	again := claimed(t, db, late)
	if len(again) < 1 {
		t.Fatal("no fresh confirmation mail")
	}
	if p, err := db.PendingSignUp(t.Context(), nora, confirm.SignUp, late); err != nil || p.Expired {
		t.Errorf("after asking for a fresh link: %+v, %v", p, err)
	}

	// Much later, what was never confirmed is forgotten.
	end := noon.AddDate(0, 3, 0)
	if n, err := db.ForgetSignUps(t.Context(), end); err != nil || n != 2 {
		t.Errorf("forgot %d, %v", n, err)
	}
	if ids, err := db.FindContacts(t.Context(), "nora@example.org"); err != nil || len(ids) != 0 {
		t.Errorf("who never confirmed is still on file: %v, %v", ids, err)
	}
	old := one(t, db, "old@example.org")
	r, err := db.Recipient(t.Context(), old, gating.SubscriptionType{})
	if err != nil || r.Facts.AwaitingConfirmation {
		t.Errorf("who was a contact before still waits: %+v, %v", r.Facts, err)
	}
}

func TestSomeSourcesAreToldToTheContact(t *testing.T) {
	t.Parallel()
	db, _ := postgrestest.New(t)
	people(t, db, person{email: "anna@example.org"}, person{email: "bo@example.org"})
	set := func(value string) {
		if err := db.Set(t.Context(), contact.SettingConfirmSources, value, "test", noon); err != nil {
			t.Fatal(err)
		}
	}
	change := func(address contact.Address, source gating.Source) {
		_, err := db.ChangeBasis(t.Context(), contact.BulkChange{Selection: contact.Selection{Address: address}, Purpose: gating.PurposeEmarketing,
			Basis: gating.BasisConsent, Source: source, Reason: "met at a fair", Actor: "test", Now: noon})
		if err != nil {
			t.Fatal(err)
		}
	}
	change("anna@example.org", gating.SourceEmail)
	set("email,import")
	change("anna@example.org", gating.SourceEmail) // no news
	change("bo@example.org", gating.SourceEmail)
	notices := claimed(t, db, noon)
	if len(notices) != 1 || notices[0].Kind != contact.NoticeAdded || notices[0].Address != "bo@example.org" {
		t.Errorf("told: %+v", notices)
	}
	if err := db.Set(t.Context(), contact.SettingConfirmSources, "migration", "test", noon); err == nil {
		t.Error("an upgrade may mail everybody")
	}
}

func TestYourOwnBasisCountsAsABuiltInOne(t *testing.T) {
	t.Parallel()
	db, _ := postgrestest.New(t)
	people(t, db, person{email: "anna@example.org"})
	upgradeAll(t, db, false)
	c := newCampaign(t, db, "")
	names := map[string]string{"en": "Membership"}
	for _, wrong := range []gating.LegalBasis{"", "withdrawn", "membership"} {
		if err := db.CreateTerm(t.Context(), contact.LegalBases, contact.Term{Key: "membership", CountsAs: wrong, Names: names}, "test", noon); err == nil {
			t.Errorf("a basis that counts as %q was made", wrong)
		}
	}
	if err := db.CreateTerm(t.Context(), contact.LegalBases, contact.Term{Key: "membership", CountsAs: gating.BasisContract, Names: names}, "test", noon); err != nil {
		t.Fatal(err)
	}
	change := contact.BulkChange{Selection: contact.Selection{Address: "anna@example.org"}, Purpose: gating.PurposeEmarketing,
		Basis: "membership", Reason: "a member", Actor: "test", Now: noon}
	if _, err := db.ChangeBasis(t.Context(), change); err != nil {
		t.Fatal(err)
	}
	if got := reasons(t, db, c, true); got["1"] != gating.Consented {
		t.Errorf("a member is %v", got)
	}
	// Out of use, it still carries what rests on it.
	if err := db.RetireTerm(t.Context(), contact.LegalBases, "membership", "test", noon); err != nil {
		t.Fatal(err)
	}
	if got := reasons(t, db, c, true); got["1"] != gating.Consented {
		t.Errorf("after retiring the basis, a member is %v", got)
	}
	if _, err := db.ChangeBasis(t.Context(), change); err == nil {
		t.Error("a basis out of use was given")
	}
	if err := db.RetireTerm(t.Context(), contact.LegalBases, "consent", "test", noon); err == nil {
		t.Error("a built-in basis was retired")
	}
	verified(t, db)
}

func TestUnusedConsentsExpire(t *testing.T) {
	t.Parallel()
	db, _ := postgrestest.New(t)
	people(t, db, person{email: "anna@example.org", mailed: "sent"})
	upgradeAll(t, db, false)
	if err := db.Set(t.Context(), gating.SettingConsentLife, "365", "test", noon); err != nil {
		t.Fatal(err)
	}
	policy, err := db.Policy(t.Context(), noon)
	if err != nil {
		t.Fatal(err)
	}
	policy.Privacy = true
	r, err := db.Recipient(t.Context(), 1, gating.SubscriptionType{})
	if err != nil {
		t.Fatal(err)
	}
	for days, want := range map[int]gating.Reason{364: gating.Consented, 365: gating.NoConsent} {
		policy.Now = noon.AddDate(0, 0, days)
		if v := gating.Decide(r.Facts, policy); v.Reason != want {
			t.Errorf("after %d days: %s, want %s", days, v.Reason, want)
		}
	}
	for before, want := range map[time.Time]int{noon.AddDate(0, 0, 364): 0, noon.AddDate(0, 0, 366): 1} {
		n := 0
		for s, err := range db.Selected(t.Context(), gating.PurposeEmarketing, contact.Selection{ExpiresBefore: before}) {
			if err != nil {
				t.Fatal(err)
			}
			if !s.Expires.Equal(noon.AddDate(0, 0, 365)) {
				t.Errorf("it expires %s", s.Expires)
			}
			n++
		}
		if n != want {
			t.Errorf("%d expire before %s, want %d", n, before, want)
		}
	}
}
