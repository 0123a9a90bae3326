package postgres_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jatak-mail/jatak/gating"
	"github.com/jatak-mail/jatak/internal/campaign"
	"github.com/jatak-mail/jatak/internal/contact"
	"github.com/jatak-mail/jatak/internal/postgres"
	"github.com/jatak-mail/jatak/internal/postgres/postgrestest"
)

// picked returns the ids that a filter picks, as the gate report streams them.
func picked(t *testing.T, db *postgres.DB, f contact.Filter) (ids []contact.ID) {
	t.Helper()
	if err := f.Validate(); err != nil {
		t.Fatal(err)
	}
	f = f.On(noon)
	for r, err := range db.Audience(t.Context(), gating.SubscriptionType{}, contact.Selection{Filter: &f}) {
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, r.ID)
	}
	n, err := db.CountContacts(t.Context(), contact.Selection{Filter: &f})
	if err != nil || n != int64(len(ids)) {
		t.Errorf("%+v is counted as %d, %v, and picks %v", f, n, err, ids)
	}
	return ids
}

func when(field contact.Field, op contact.Operator, value string) contact.Filter {
	return contact.Filter{Groups: []contact.Group{{Conditions: []contact.Condition{{Field: field, Op: op, Value: value}}}}}
}

func TestEachConditionPicksWhomItNames(t *testing.T) {
	t.Parallel()
	db, url := postgrestest.New(t)
	people(t, db,
		person{email: "anna@example.org", company: "open", mailed: "opened"},
		person{email: "bo@Blåbærgrød.example", company: "closed", interests: []string{"Tilbud"}},
		person{email: "carl@example.org", no: true},
		person{email: "", left: true, mailed: "test"})
	upgradeAll(t, db, false)
	c := newCampaign(t, db, "")
	launch(t, db, c.ID)
	// Anna was there before it was kept when people came, Bo came on the first day.
	tamper(t, url, `UPDATE contact SET created_at = CASE id WHEN 2 THEN '2026-10-01 09:00Z'::timestamptz END WHERE id < 3`)
	// Carl's is kept for thirty days.
	tamper(t, url, `UPDATE consent SET expires_at = '2026-12-23 18:00Z' WHERE contact_id = 3 AND purpose = 'emarketing'`)
	yesterday, tomorrow := noon.AddDate(0, 0, -1).Format(time.DateOnly), noon.AddDate(0, 0, 1).Format(time.DateOnly)
	campaignID := fmt.Sprint(c.ID)
	for _, test := range []struct {
		f    contact.Filter
		want []contact.ID
	}{
		{contact.Filter{}, []contact.ID{1, 2, 3, 4}},
		{when(contact.FieldFirstName, contact.OpIs, "BO"), []contact.ID{1, 2, 3, 4}},
		{when(contact.FieldFirstName, contact.OpContainsNot, "o"), nil},
		{when(contact.FieldLastName, contact.OpContains, "%"), nil},
		{when(contact.FieldCompany, contact.OpIs, "åben a/s"), []contact.ID{1}},
		{when(contact.FieldCompany, contact.OpContains, "ÅBEN"), []contact.ID{1}},
		{when(contact.FieldCompany, contact.OpIsNot, "Åben A/S"), []contact.ID{2, 3, 4}},
		{when(contact.FieldCompany, contact.OpContainsNot, "ApS"), []contact.ID{1, 3, 4}},
		{when(contact.FieldDomain, contact.OpIs, "@Example.org"), []contact.ID{1, 3}},
		{when(contact.FieldDomain, contact.OpIs, "blåbærgrød.example"), []contact.ID{2}},
		{when(contact.FieldDomain, contact.OpIsNot, "example.org"), []contact.ID{2, 4}},
		{when(contact.FieldLanguage, contact.OpIs, "DA"), []contact.ID{1, 2, 3, 4}},
		{when(contact.FieldLanguage, contact.OpIsNot, "da"), nil},
		{when(contact.FieldType, contact.OpIn, "promotions"), []contact.ID{2}},
		{when(contact.FieldType, contact.OpOut, "promotions"), nil},
		{when(contact.FieldType, contact.OpUnset, "promotions"), []contact.ID{1, 3, 4}},
		{when(contact.FieldBasis, contact.OpIs, "legitimate_interest"), []contact.ID{1}},
		{when(contact.FieldBasis, contact.OpIs, "withdrawn"), []contact.ID{3}},
		{when(contact.FieldBasis, contact.OpIs, "none"), []contact.ID{2, 4}},
		{when(contact.FieldBasis, contact.OpIsNot, "none"), []contact.ID{1, 3}},
		{when(contact.FieldSource, contact.OpIs, "migration"), []contact.ID{1, 3}},
		{when(contact.FieldSource, contact.OpIsNot, "migration"), []contact.ID{2, 4}},
		{when(contact.FieldConsentSince, contact.OpSince, yesterday), []contact.ID{1, 3}},
		{when(contact.FieldConsentSince, contact.OpBefore, tomorrow), []contact.ID{1, 3}},
		{when(contact.FieldConsentSince, contact.OpBefore, yesterday), nil},
		{when(contact.FieldConsentSince, contact.OpLastDays, "1"), []contact.ID{1, 3}},
		{when(contact.FieldConsentSince, contact.OpMonthsAgo, "1"), nil},
		{when(contact.FieldConsentExpires, contact.OpBefore, tomorrow), nil},
		{when(contact.FieldConsentExpires, contact.OpNextDays, "30"), []contact.ID{3}},
		{when(contact.FieldConsentExpires, contact.OpNextDays, "29"), nil},
		{when(contact.FieldConsentExpires, contact.OpNextMonths, "1"), []contact.ID{3}},
		{when(contact.FieldOnFileSince, contact.OpMonthsAgo, "1"), []contact.ID{2}},
		{when(contact.FieldLastMail, contact.OpLastDays, "1"), []contact.ID{1}},
		{when(contact.FieldLastMail, contact.OpDaysAgo, "1"), nil},
		{when(contact.FieldOnFileSince, contact.OpSince, "2026-10-02"), []contact.ID{3, 4}},
		{when(contact.FieldOnFileSince, contact.OpSince, "2026-10-01"), []contact.ID{2, 3, 4}},
		{when(contact.FieldOnFileSince, contact.OpBefore, "2026-10-02"), []contact.ID{2}},
		{when(contact.FieldCompanyNoMailings, contact.OpYes, ""), []contact.ID{2}},
		{when(contact.FieldCompanyNoMailings, contact.OpNo, ""), []contact.ID{1, 3, 4}},
		{when(contact.FieldLeft, contact.OpYes, ""), []contact.ID{4}},
		{when(contact.FieldLeft, contact.OpNo, ""), []contact.ID{1, 2, 3}},
		{when(contact.FieldCampaign, contact.OpSent, campaignID), nil},
		{when(contact.FieldCampaign, contact.OpNotSent, campaignID), []contact.ID{1, 2, 3, 4}},
		{when(contact.FieldLastMail, contact.OpNever, ""), []contact.ID{2, 3, 4}},
		{when(contact.FieldLastMail, contact.OpSince, yesterday), []contact.ID{1}},
		{when(contact.FieldLastMail, contact.OpBefore, tomorrow), []contact.ID{1}},
		{when(contact.FieldLastMail, contact.OpBefore, yesterday), nil},
		{contact.Filter{Match: contact.Any, Groups: []contact.Group{
			{Conditions: []contact.Condition{{Field: contact.FieldLeft, Op: contact.OpYes}}},
			{Conditions: []contact.Condition{{Field: contact.FieldDomain, Op: contact.OpIs, Value: "example.org"}, {Field: contact.FieldBasis, Op: contact.OpIs, Value: "withdrawn"}}},
		}}, []contact.ID{3, 4}},
		{contact.Filter{Groups: []contact.Group{
			{Match: contact.Any, Conditions: []contact.Condition{{Field: contact.FieldLeft, Op: contact.OpYes}, {Field: contact.FieldDomain, Op: contact.OpIs, Value: "example.org"}}},
			{Conditions: []contact.Condition{{Field: contact.FieldLastMail, Op: contact.OpNever}}}, {},
		}}, []contact.ID{3, 4}},
	} {
		if got := picked(t, db, test.f); !slices.Equal(got, test.want) {
			t.Errorf("%+v picks %v, want %v", test.f, got, test.want)
		}
	}
}

func TestACampaignIsPlannedForWhomItsFilterPicks(t *testing.T) {
	t.Parallel()
	db, _ := postgrestest.New(t)
	people(t, db, person{email: "anna@example.org", company: "open", mailed: "sent"}, person{email: "bo@example.org", mailed: "sent"}, person{email: "carl@example.org", company: "open"})
	content := newCampaign(t, db, "").Content
	f := when(contact.FieldCompany, contact.OpContains, "åben")
	f.Groups = append(f.Groups, when(contact.FieldLastMail, contact.OpLastDays, "1").Groups...)
	content.Audience.Filter = &f
	id, err := db.CreateCampaign(t.Context(), content, noon)
	if err != nil {
		t.Fatal(err)
	}
	launch(t, db, id)
	books, err := db.Books(t.Context(), id)
	if err != nil || books.Audience != 1 {
		t.Errorf("the audience is %d, %v", books.Audience, err)
	}
}

func TestASearchFindsAnyPartOfNameAddressAndCompany(t *testing.T) {
	t.Parallel()
	db, _ := postgrestest.New(t)
	people(t, db, person{email: "anna.holm@example.org", company: "open"}, person{email: "bo%20@example.org", company: "closed"}, person{email: "carl_x@example.net"})
	for _, test := range []struct {
		words string
		want  []contact.ID
	}{
		{"nna", []contact.ID{1}}, {"ÅBEN", []contact.ID{1}}, {"a/s", []contact.ID{1}}, {"example", []contact.ID{1, 2, 3}}, {"example.net", []contact.ID{3}},
		{"holm åben", []contact.ID{1}}, {"holm lukket", nil}, {"bo", []contact.ID{1, 2, 3}}, {"b", []contact.ID{1, 2, 3}}, {"lu", []contact.ID{2}}, {"olm", []contact.ID{1}},
		{"o%2", []contact.ID{2}}, {"l_x", []contact.ID{3}}, {"l%x", nil}, {`\`, nil}, {"'", nil}, {"ol", nil},
	} {
		// Found by looking through everybody, and by the index alone.
		for _, window := range []bool{true, false} {
			got := searched(t, db, strings.Fields(test.words), window)
			if !slices.Equal(got, test.want) {
				t.Errorf("%q (window %t) finds %v, want %v", test.words, window, got, test.want)
			}
		}
	}
	first, err := db.SearchContacts(t.Context(), []string{"example"}, 0, 2)
	if err != nil || len(first) != 2 {
		t.Fatalf("the first page: %v, %v", first, err)
	}
	next, err := db.SearchContacts(t.Context(), []string{"example"}, first[1].ID, 2)
	if err != nil || len(next) != 1 || next[0].ID != 3 {
		t.Errorf("the next page: %v, %v", next, err)
	}
}

func searched(t *testing.T, db *postgres.DB, words []string, window bool) (ids []contact.ID) {
	t.Helper()
	search := db.SearchByIndex
	if window {
		search = db.SearchContacts
	}
	found, err := search(t.Context(), words, 0, 50)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range found {
		ids = append(ids, c.ID)
	}
	return ids
}

func launch(t *testing.T, db *postgres.DB, id campaign.ID) {
	t.Helper()
	if err := db.Launch(t.Context(), id, campaign.Override{}, noon); err != nil {
		t.Fatal(err)
	}
	plan(t, db, id, 100)
}
