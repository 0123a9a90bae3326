package postgres_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/jatak-mail/jatak/gating"
	"github.com/jatak-mail/jatak/internal/campaign"
	"github.com/jatak-mail/jatak/internal/contact"
	"github.com/jatak-mail/jatak/internal/postgres"
	"github.com/jatak-mail/jatak/internal/postgres/postgrestest"
)

// sampled returns a campaign for so many people whose books are made up.
func sampled(t *testing.T, db *postgres.DB, people int64, ended bool) campaign.ID {
	t.Helper()
	id := newCampaign(t, db, "").ID
	err := db.SampleBooks(t.Context(), postgres.SampleCampaign{ID: id, People: people, Launched: noon, Ended: ended})
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func account(t *testing.T, db *postgres.DB, id campaign.ID) campaign.Account {
	t.Helper()
	a, err := db.Account(t.Context(), id, noon)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func isKept(t *testing.T, db *postgres.DB, id campaign.ID) bool {
	t.Helper()
	kept, err := db.KeptAccounts(t.Context(), []campaign.ID{id})
	if err != nil {
		t.Fatal(err)
	}
	_, ok := kept[id]
	return ok
}

func TestAccountIsWhatTheLedgerSays(t *testing.T) {
	t.Parallel()
	db, _ := postgrestest.New(t)
	people(t, db, crowd(1500)...)
	for _, ended := range []bool{true, false} {
		id := sampled(t, db, 1200, ended)
		a, want := account(t, db, id), books(t, db, id)
		if diff := cmp.Diff(want, a.Report); diff != "" {
			t.Errorf("ended %v: the account's books are not the ledger's:\n%s", ended, diff)
		}
		if want.Audience != 1200 || want.Sent == 0 || want.Failed == 0 || want.BlockedTotal() == 0 || ended != (want.Open() == 0) {
			t.Errorf("ended %v: made-up books %+v", ended, want)
		}
		var domains, languages campaign.Slice
		for _, d := range append(a.Destinations, a.Others) {
			domains.Add(d)
		}
		for _, l := range a.Languages {
			languages.Add(l)
		}
		var sent, failed, withdrawn, refused int64
		for i, h := range a.Spans {
			sent, failed, withdrawn = sent+h.Sent, failed+h.Failed, withdrawn+h.Withdrawn
			if i > 0 && !h.At.After(a.Spans[i-1].At) {
				t.Errorf("span %v comes after %v", h.At, a.Spans[i-1].At)
			}
		}
		for _, f := range a.Failures {
			refused += f.Count
		}
		for name, n := range map[string][2]int64{
			"people by domain": {domains.All, want.Audience}, "people by language": {languages.All, want.Audience}, "sent by language": {languages.Sent, want.Sent},
			"sent over time": {sent, want.Sent}, "failed over time": {failed, want.Failed}, "failed by reply": {refused, want.Failed}, "withdrawn over time": {withdrawn, a.Withdrawn},
			"withdrawn by domain": {domains.Withdrawn, a.Withdrawn}, "withdrawn by language": {languages.Withdrawn, a.Withdrawn}, "failed by domain": {domains.Failed, want.Failed},
		} {
			if n[0] != n[1] {
				t.Errorf("ended %v: %s: %d, want %d", ended, name, n[0], n[1])
			}
		}
		if a.Withdrawn == 0 {
			t.Errorf("ended %v: nobody has withdrawn", ended)
		}
		if isKept(t, db, id) != ended {
			t.Errorf("ended %v: the account is kept: %v", ended, !ended)
		}
		if diff := cmp.Diff(a, account(t, db, id)); diff != "" {
			t.Errorf("ended %v: asked again:\n%s", ended, diff)
		}
	}
}

func TestDestinationsOfAnAccount(t *testing.T) {
	t.Parallel()
	db, _ := postgrestest.New(t)
	list := []person{{email: "a@hotmail.com"}, {email: "b@live.dk"}, {email: "c@outlook.com"}, {email: "d@gmail.com"}, {email: "e@googlemail.com"}, {email: "no address"}, {email: "nor this"}}
	const single = 205
	for i := range single {
		list = append(list, person{email: fmt.Sprintf("p@d%03d.example", i)})
	}
	people(t, db, list...)
	id := sampled(t, db, int64(len(list)), true)
	a := account(t, db, id)
	first := a.Destinations[:4]
	for i, want := range []campaign.Slice{{Name: "outlook", All: 3}, {Name: "", All: 2}, {Name: "gmail", All: 2}, {Name: "d000.example", All: 1}} {
		if first[i].Name != want.Name || first[i].All != want.All {
			t.Errorf("destination %d is %+v, want %+v", i, first[i], want)
		}
	}
	if a.OtherCount != single+3-200 || a.Others.All != a.OtherCount {
		t.Errorf("%d others with %d people", a.OtherCount, a.Others.All)
	}
	var beyond []string
	for _, d := range a.Destinations {
		beyond = append(beyond, d.Name)
	}
	for name, test := range map[string]struct {
		filter campaign.BookingFilter
		want   int64
	}{
		"outlook": {campaign.BookingFilter{Destination: "outlook"}, 3}, "a domain of it": {campaign.BookingFilter{Destination: "live.dk"}, 1},
		"no address": {campaign.BookingFilter{Destination: "-"}, 2}, "others": {campaign.BookingFilter{Beyond: beyond}, a.Others.All},
		"beyond those without an address": {campaign.BookingFilter{Beyond: []string{"", "gmail"}}, int64(len(list)) - 4},
	} {
		var got int64
		for _, err := range db.BookedPeople(t.Context(), id, test.filter) {
			if err != nil {
				t.Fatal(err)
			}
			got++
		}
		if got != test.want {
			t.Errorf("%s: %d people, want %d", name, got, test.want)
		}
	}
}

// Who unsubscribes by a campaign's mail leaves its type, where it has one: that is
// an unsubscribe, too, and each person counts once.
func TestWithdrawalsCountPeople(t *testing.T) {
	t.Parallel()
	db, _ := postgrestest.New(t)
	people(t, db, crowd(10)...)
	for _, key := range []string{"news", "offers"} {
		if err := db.CreateType(t.Context(), contact.NewType{Key: key, Names: map[string]string{"en": key}}, "test", noon); err != nil {
			t.Fatal(err)
		}
	}
	c := newCampaign(t, db, "news")
	launch(t, db, c.ID)
	off, on := false, true
	for _, choice := range []contact.Choices{
		{Contact: 1, Types: map[gating.TypeID]gating.Preference{1: gating.PreferenceOut, 2: gating.PreferenceOut}},
		{Contact: 2, Emarketing: &off},
		{Contact: 2, Emarketing: &on},
		{Contact: 2, Emarketing: &off},
		{Contact: 3, Types: map[gating.TypeID]gating.Preference{1: gating.PreferenceOut}},
		{Contact: 3, Emarketing: &off},
		{Contact: 4, Types: map[gating.TypeID]gating.Preference{2: gating.PreferenceOut}},
	} {
		choice.Source, choice.Campaign, choice.At, choice.Wording = gating.SourceManagePage, int64(c.ID), noon, "w"
		if _, err := db.Choose(t.Context(), choice); err != nil {
			t.Fatal(err)
		}
	}
	counts, err := db.Withdrawals(t.Context(), []campaign.ID{c.ID})
	if want := (campaign.Withdrawals{Withdrawn: 3, OptedOut: 1}); err != nil || counts[c.ID] != want {
		t.Errorf("the withdrawals are %+v, %v; want %+v", counts[c.ID], err, want)
	}
	if a := account(t, db, c.ID); a.Withdrawals != counts[c.ID] {
		t.Errorf("the account's are %+v", a.Withdrawals)
	}
}

// The rate is that of the time since sending began or went on.
func TestRateSinceThePause(t *testing.T) {
	t.Parallel()
	db, _ := postgrestest.New(t)
	people(t, db, crowd(40)...)
	id := newCampaign(t, db, "").ID
	launch(t, db, id)
	worker, err := db.StartWorker(t.Context(), "test", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	send := func(most int, at time.Time) {
		t.Helper()
		_, claimed, err := db.Claim(t.Context(), campaign.ClaimRequest{Worker: worker, Campaign: id, Batch: 1, Limit: most, Now: at})
		if err != nil {
			t.Fatal(err)
		}
		var outcomes []campaign.Outcome
		for _, c := range claimed {
			outcomes = append(outcomes, campaign.Outcome{Worker: worker, Campaign: id, Batch: 1, Contact: c.ID, State: campaign.Sent, At: at,
				Verdict: gating.Verdict{Send: true, Reason: gating.PrivacyOff}, Code: 250})
		}
		if err := db.Record(t.Context(), outcomes); err != nil {
			t.Fatal(err)
		}
	}
	rate := func(now time.Time, want float64) {
		t.Helper()
		if p, err := db.Progress(t.Context(), id, now); err != nil || p.Rate != want {
			t.Errorf("the rate is %v, %v; want %v", p.Rate, err, want)
		}
	}
	now := time.Now().Truncate(time.Second)
	rate(now, 0)
	send(12, now.Add(-4*time.Second))
	rate(now, 3) // though it began only now
	rate(now.Add(time.Minute), 0)
	if err := db.Pause(t.Context(), id, "lunch"); err != nil {
		t.Fatal(err)
	}
	if err := db.Resume(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	rate(now, 0)
	resumed := time.Now().Add(2 * time.Second).Truncate(time.Second)
	send(10, resumed)
	rate(resumed.Add(5*time.Second), 2)
}

func TestKeptAccountGoesWhenTheLedgerChanges(t *testing.T) {
	t.Parallel()
	db, _ := postgrestest.New(t)
	people(t, db, crowd(1200)...)
	id := sampled(t, db, 1200, true)
	before := account(t, db, id)

	var erased contact.ID
	off := false
	for p, err := range db.BookedPeople(t.Context(), id, campaign.BookingFilter{State: campaign.Sent}) {
		if err != nil {
			t.Fatal(err)
		}
		if erased == 0 {
			erased = p.ID
			continue
		}
		_, err = db.Choose(t.Context(), contact.Choices{Contact: p.ID, Source: gating.SourceOneClick, Emarketing: &off, Campaign: int64(id), At: noon.Add(100 * time.Hour)})
		if err != nil {
			t.Fatal(err)
		}
		break
	}
	later := account(t, db, id)
	if later.Withdrawn != before.Withdrawn+1 || later.Spans[len(later.Spans)-1].Withdrawn != 1 || !isKept(t, db, id) {
		t.Errorf("a withdrawal long after the end: %+v after %+v", later, before)
	}

	if err := db.Erase(t.Context(), erased, "test", noon); err != nil {
		t.Fatal(err)
	}
	if isKept(t, db, id) {
		t.Error("an account is kept that somebody was erased from")
	}
	later = account(t, db, id)
	if n := len(later.Languages); n != len(before.Languages)+1 || later.Languages[n-1].Name != "" {
		t.Errorf("who was erased still has a language: %+v", later.Languages)
	}

	if _, err := db.Resend(t.Context(), id, campaign.Failed, campaign.ReplyCode{}, "test", noon); err != nil {
		t.Fatal(err)
	}
	if isKept(t, db, id) {
		t.Error("the account of a campaign that goes on again is kept")
	}
	if again := account(t, db, id); again.Failed != 0 || again.Pending != before.Failed {
		t.Errorf("failed mails are sent again, and the account says %+v", again.Report)
	}
}

func TestEstimateOfFewIsTheirCount(t *testing.T) {
	t.Parallel()
	db, _ := postgrestest.New(t)
	people(t, db, append(crowd(40), person{email: "gone@example.org", left: true, mailed: "sent"})...)
	if err := db.Vacuum(t.Context()); err != nil { // so that the database knows how many there are
		t.Fatal(err)
	}
	for _, f := range []contact.Filter{{}, when(contact.FieldLeft, contact.OpYes, ""), when(contact.FieldLastMail, contact.OpNever, "")} {
		want, err := db.CountContacts(t.Context(), contact.Selection{Filter: &f})
		if err != nil {
			t.Fatal(err)
		}
		got, err := db.EstimateContacts(t.Context(), contact.Selection{Filter: &f})
		if err != nil || got != want {
			t.Errorf("%+v: about %d, %v; there are %d", f, got, err, want)
		}
	}
}

func TestHistoryIsMadeUp(t *testing.T) {
	t.Parallel()
	db, _ := postgrestest.New(t)
	people(t, db, crowd(20)...)
	id, err := db.SampleHistory(t.Context(), 100, "is", noon)
	if err != nil {
		t.Fatal(err)
	}
	refused := 0
	for _, err := range db.Refusals(t.Context(), id) {
		if err != nil {
			t.Fatal(err)
		}
		refused++
	}
	actors, err := db.Actors(t.Context())
	if err != nil || refused != 10 || len(actors) != 17 {
		t.Errorf("%d refused rows, %d actors, %v", refused, len(actors), err)
	}
}

func TestPagesOfTheBooksHoldEverybodyOnce(t *testing.T) {
	t.Parallel()
	db, _ := postgrestest.New(t)
	people(t, db, crowd(1200)...)
	id := newCampaign(t, db, "").ID
	if err := db.SampleBooks(t.Context(), postgres.SampleCampaign{ID: id, People: 1200, Launched: noon, Ended: true, Batch: 10}); err != nil {
		t.Fatal(err)
	}
	if _, err := db.SampleHistory(t.Context(), 10, "is", noon); err != nil { // contact 17 has a language of its own
		t.Fatal(err)
	}
	for _, test := range []struct {
		filter  campaign.BookingFilter
		walks   bool // it takes several looks
		nobody  bool
		patient bool
	}{
		{filter: campaign.BookingFilter{}, walks: true},
		{filter: campaign.BookingFilter{State: campaign.Failed}, walks: true},
		{filter: campaign.BookingFilter{State: campaign.Failed}, walks: true, patient: true},
		{filter: campaign.BookingFilter{State: campaign.Blocked, Reason: gating.NoConsent}, walks: true},
		{filter: campaign.BookingFilter{State: campaign.Failed, Code: 599}, walks: true, nobody: true},
		{filter: campaign.BookingFilter{State: campaign.Failed, Code: 599}, nobody: true, patient: true},
		{filter: campaign.BookingFilter{Language: "is"}},
		{filter: campaign.BookingFilter{Language: "-"}, nobody: true},
		{filter: campaign.BookingFilter{Destination: "example.org"}, walks: true},
		{filter: campaign.BookingFilter{Withdrawn: true}},
	} {
		var want, got []contact.ID
		for p, err := range db.BookedPeople(t.Context(), id, test.filter) {
			if err != nil {
				t.Fatal(err)
			}
			want = append(want, p.ID)
		}
		patience, looks := time.Duration(0), 0
		if test.patient {
			patience = time.Minute
		}
		for after, more := (campaign.Position{}), true; more; looks++ {
			var list []campaign.BookedPerson
			var err error
			if list, after, more, err = db.BookedPage(t.Context(), id, test.filter, after, 20, patience); err != nil {
				t.Fatal(err)
			}
			for _, p := range list {
				got = append(got, p.ID)
			}
		}
		if diff := cmp.Diff(want, got); diff != "" || test.nobody != (len(want) == 0) || test.walks != (looks > 1) {
			t.Errorf("%+v: %d people in %d looks; the pages differ from the list:\n%s", test, len(want), looks, diff)
		}
	}
}
