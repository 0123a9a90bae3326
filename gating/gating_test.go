package gating_test

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/jatak-mail/jatak/gating"
)

var (
	now       = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	yesterday = now.AddDate(0, 0, -1)
	tomorrow  = now.AddDate(0, 0, 1)
	lastYear  = now.AddDate(-1, 0, 0)
)

// The events that the facts below rest on.
const (
	ownEvent  = 11
	twinEvent = 22
	version   = 33
)

var news = gating.SubscriptionType{ID: 7, Created: lastYear}

// willing is somebody who said yes, asked under the strictest policy: a change
// to either is what a test is about.
func willing() (gating.Facts, gating.Policy) {
	return gating.Facts{
			AddressValid: true,
			Emarketing:   gating.Consent{Basis: gating.BasisConsent, Event: ownEvent},
			LastChoice:   yesterday,
		}, gating.Policy{
			Now: now, Version: version,
			Privacy: true, ExplicitOnly: true,
			Class: gating.Marketing, Type: news,
		}
}

type change func(*gating.Facts, *gating.Policy)

func suppressed(scope gating.Scope, reason gating.SuppressionReason) change {
	return func(f *gating.Facts, _ *gating.Policy) {
		f.Suppressions = append(f.Suppressions, gating.Suppression{Scope: scope, Reason: reason})
	}
}

func suppressedType(id gating.TypeID, reason gating.SuppressionReason) change {
	return func(f *gating.Facts, _ *gating.Policy) {
		f.Suppressions = append(f.Suppressions, gating.Suppression{Scope: gating.ScopeType, Type: id, Reason: reason})
	}
}

func basis(b gating.LegalBasis) change {
	return func(f *gating.Facts, _ *gating.Policy) { f.Emarketing = gating.Consent{Basis: b, Event: ownEvent} }
}

func preference(c gating.Preference) change {
	return func(f *gating.Facts, _ *gating.Policy) { f.Preference = c }
}

func expires(at time.Time) change {
	return func(f *gating.Facts, _ *gating.Policy) { f.Emarketing.Expires = at }
}

const year = 365 * 24 * time.Hour

func life(_ *gating.Facts, p *gating.Policy) { p.ConsentLife = year }

func used(at time.Time) change {
	return func(f *gating.Facts, _ *gating.Policy) { f.LastUse = at }
}

func chose(at time.Time) change {
	return func(f *gating.Facts, _ *gating.Policy) { f.LastChoice = at }
}

func bounces(inRow, limit int) change {
	return func(f *gating.Facts, p *gating.Policy) { f.BouncesInRow, p.BounceLimit = inRow, limit }
}

func noAddress(f *gating.Facts, _ *gating.Policy)         { f.AddressValid = false }
func left(f *gating.Facts, _ *gating.Policy)              { f.Left = true }
func service(_ *gating.Facts, p *gating.Policy)           { p.Class = gating.Service }
func neverAsked(f *gating.Facts, _ *gating.Policy)        { f.Emarketing = gating.Consent{} }
func twinWithdrawn(f *gating.Facts, _ *gating.Policy)     { f.TwinWithdrawn, f.TwinEvent = true, twinEvent }
func noMailings(f *gating.Facts, _ *gating.Policy)        { f.NoMailings = true }
func companyNoMailings(f *gating.Facts, _ *gating.Policy) { f.CompanyNoMailings = true }
func awaiting(f *gating.Facts, _ *gating.Policy)          { f.AwaitingConfirmation = true }
func duplicate(f *gating.Facts, _ *gating.Policy)         { f.Duplicate = true }
func privacyOff(_ *gating.Facts, p *gating.Policy)        { p.Privacy = false }
func anyBasis(_ *gating.Facts, p *gating.Policy)          { p.ExplicitOnly = false }
func anyType(_ *gating.Facts, p *gating.Policy)           { p.Type = gating.SubscriptionType{} }
func typeIsNew(_ *gating.Facts, p *gating.Policy)         { p.Type.Created = now }
func override(_ *gating.Facts, p *gating.Policy)          { p.Override = true }

// TestTheTable is the table of the gate, row by row.
func TestTheTable(t *testing.T) {
	t.Parallel()
	is := func(changes ...change) []change { return changes }
	tests := []struct {
		name   string
		given  []change
		reason gating.Reason
		event  int64
		lifted []gating.Reason
	}{
		// Row 1.
		{"nobody is mailed without an address", is(noAddress), gating.NoAddress, 0, nil},
		{"a service notice needs an address too", is(noAddress, service), gating.NoAddress, 0, nil},

		// Row 2.
		{"who complained is not mailed", is(suppressed(gating.ScopeAll, gating.SuppressedComplaint)), gating.Complained, 0, nil},
		{"a complaint counts whatever its scope", is(suppressed(gating.ScopeMarketing, gating.SuppressedComplaint)), gating.Complained, 0, nil},
		{"a complaint about another type counts too", is(suppressedType(8, gating.SuppressedComplaint)), gating.Complained, 0, nil},
		{"who complained gets no service notice", is(suppressed(gating.ScopeAll, gating.SuppressedComplaint), service), gating.Complained, 0, nil},
		{"a complaint is found behind other entries", is(suppressed(gating.ScopeAll, gating.SuppressedManual), suppressed(gating.ScopeAll, gating.SuppressedHardBounce), suppressed(gating.ScopeAll, gating.SuppressedComplaint)), gating.Complained, 0, nil},

		// Row 3.
		{"who was erased is not mailed", is(suppressed(gating.ScopeAll, gating.SuppressedErased)), gating.Suppressed, 0, nil},
		{"who was suppressed by hand is not mailed", is(suppressed(gating.ScopeAll, gating.SuppressedManual)), gating.Suppressed, 0, nil},
		{"who was erased gets no service notice", is(suppressed(gating.ScopeAll, gating.SuppressedErased), service), gating.Suppressed, 0, nil},
		{"an unknown scope suppresses all", is(suppressed("banana", gating.SuppressedManual), service), gating.Suppressed, 0, nil},
		{"an unknown reason suppresses all", is(suppressed(gating.ScopeAll, "banana"), service), gating.Suppressed, 0, nil},

		// Row 4.
		{"an address that bounced hard is not mailed", is(suppressed(gating.ScopeAll, gating.SuppressedHardBounce)), gating.Bounced, 0, nil},
		{"an address at the bounce limit is not mailed", is(suppressed(gating.ScopeAll, gating.SuppressedBounceLimit)), gating.Bounced, 0, nil},
		{"a hard bounce counts whatever its scope", is(suppressed(gating.ScopeMarketing, gating.SuppressedHardBounce)), gating.Bounced, 0, nil},
		{"five bounces in a row are too many", is(bounces(5, 0)), gating.Bounced, 0, nil},
		{"four bounces in a row are not", is(bounces(4, 0)), gating.Consented, ownEvent, nil},
		{"a tenant may allow more bounces", is(bounces(9, 10)), gating.Consented, ownEvent, nil},
		{"the tenant's limit is the first that blocks", is(bounces(10, 10)), gating.Bounced, 0, nil},
		{"a tenant may allow fewer bounces", is(bounces(1, 1)), gating.Bounced, 0, nil},
		{"a limit below one is the default", is(bounces(0, -1)), gating.Consented, ownEvent, nil},
		{"a bounced address gets no service notice", is(bounces(5, 5), service), gating.Bounced, 0, nil},

		// Row 5.
		{"who has left is not mailed", is(left), gating.Left, 0, nil},
		{"who has left gets no service notice", is(left, service), gating.Left, 0, nil},

		// Class service stops here.
		{"a service notice needs no consent", is(service, neverAsked), gating.ServiceNotice, 0, nil},
		{"a service notice reaches who withdrew", is(service, basis(gating.BasisWithdrawn)), gating.ServiceNotice, 0, nil},
		{"a service notice heeds no rule of marketing", is(service, twinWithdrawn, suppressed(gating.ScopeMarketing, gating.SuppressedManual),
			noMailings, companyNoMailings, preference(gating.PreferenceOut), awaiting, typeIsNew, duplicate), gating.ServiceNotice, 0, nil},
		{"an override lifts nothing from a service notice", is(service, neverAsked, override), gating.ServiceNotice, 0, nil},
		{"an unknown class counts as marketing", is(func(_ *gating.Facts, p *gating.Policy) { p.Class = "banana" }, neverAsked), gating.NoConsent, 0, nil},
		{"no class counts as marketing", is(func(_ *gating.Facts, p *gating.Policy) { p.Class = "" }, neverAsked), gating.NoConsent, 0, nil},

		// Row 6.
		{"who withdrew is not mailed", is(basis(gating.BasisWithdrawn)), gating.Withdrawn, ownEvent, nil},
		{"who withdrew is not mailed with privacy off", is(basis(gating.BasisWithdrawn), privacyOff), gating.Withdrawn, ownEvent, nil},
		{"a withdrawal does not expire", is(basis(gating.BasisWithdrawn), expires(yesterday), privacyOff), gating.Withdrawn, ownEvent, nil},
		{"a twin's withdrawal counts", is(twinWithdrawn), gating.Withdrawn, twinEvent, nil},
		{"a twin's withdrawal counts with privacy off", is(twinWithdrawn, neverAsked, privacyOff), gating.Withdrawn, twinEvent, nil},
		{"one's own withdrawal is named before the twin's", is(basis(gating.BasisWithdrawn), twinWithdrawn), gating.Withdrawn, ownEvent, nil},
		{"a suppression of marketing is a withdrawal", is(suppressed(gating.ScopeMarketing, gating.SuppressedManual)), gating.Withdrawn, 0, nil},
		{"a suppression of marketing lets service notices pass", is(suppressed(gating.ScopeMarketing, gating.SuppressedErased), service), gating.ServiceNotice, 0, nil},
		{"nothing lifts a withdrawal", is(basis(gating.BasisWithdrawn), override), gating.Withdrawn, ownEvent, nil},
		{"nothing lifts a twin's withdrawal", is(twinWithdrawn, override), gating.Withdrawn, twinEvent, nil},

		// Rows 7 and 8.
		{"the legacy flag blocks before the upgrade", is(noMailings), gating.NoMailings, 0, nil},
		{"the legacy flag blocks with privacy off", is(noMailings, privacyOff), gating.NoMailings, 0, nil},
		{"nothing lifts the legacy flag", is(noMailings, override), gating.NoMailings, 0, nil},
		{"the company's flag blocks", is(companyNoMailings), gating.CompanyNoMailings, 0, nil},
		{"the company's flag blocks with privacy off", is(companyNoMailings, privacyOff), gating.CompanyNoMailings, 0, nil},
		{"nothing lifts the company's flag", is(companyNoMailings, override), gating.CompanyNoMailings, 0, nil},

		// Row 9.
		{"who left the type is not mailed", is(preference(gating.PreferenceOut)), gating.TypeOptedOut, 0, nil},
		{"who left the type is not mailed with privacy off", is(preference(gating.PreferenceOut), privacyOff), gating.TypeOptedOut, 0, nil},
		{"a preference that nobody knows blocks", is(preference("banana")), gating.TypeOptedOut, 0, nil},
		{"who chose the type is mailed", is(preference(gating.PreferenceIn)), gating.Consented, ownEvent, nil},
		{"a suppression of the type blocks it", is(suppressedType(news.ID, gating.SuppressedManual)), gating.TypeOptedOut, 0, nil},
		{"a suppression of the type is found among others", is(suppressedType(8, gating.SuppressedManual), suppressedType(news.ID, gating.SuppressedManual), suppressedType(9, gating.SuppressedManual)), gating.TypeOptedOut, 0, nil},
		{"a suppression of another type does not", is(suppressedType(8, gating.SuppressedManual)), gating.Consented, ownEvent, nil},
		{"nothing lifts a choice against the type", is(preference(gating.PreferenceOut), override), gating.TypeOptedOut, 0, nil},
		{"a campaign of any type skips the preference", is(preference(gating.PreferenceOut), anyType), gating.Consented, ownEvent, nil},
		{"a campaign of any type skips unknown preferences", is(preference("banana"), anyType), gating.Consented, ownEvent, nil},
		{"a campaign of any type skips suppressions of types", is(suppressedType(news.ID, gating.SuppressedManual), suppressedType(0, gating.SuppressedManual), anyType), gating.Consented, ownEvent, nil},

		// Row 10.
		{"a double opt-in that was not confirmed blocks", is(awaiting, neverAsked), gating.Unconfirmed, 0, nil},
		{"it blocks with privacy off", is(awaiting, neverAsked, privacyOff), gating.Unconfirmed, 0, nil},
		{"it does not take away another basis", is(awaiting), gating.Consented, ownEvent, nil},
		{"an unknown basis is no other basis", is(awaiting, basis("banana"), privacyOff), gating.Unconfirmed, 0, nil},
		{"nothing lifts a missing confirmation", is(awaiting, neverAsked, override), gating.Unconfirmed, 0, nil},

		// Row 11.
		{"privacy on blocks who was never asked", is(neverAsked), gating.NoConsent, 0, nil},
		{"privacy on blocks an unknown basis", is(basis("banana"), anyBasis), gating.NoConsent, ownEvent, nil},
		{"privacy on blocks a consent that has expired", is(expires(yesterday)), gating.NoConsent, ownEvent, nil},
		{"a consent that was not used for its life has none", is(life, used(now.Add(-year))), gating.NoConsent, ownEvent, nil},
		{"a consent that was used holds", is(life, used(now.Add(-year+time.Second))), gating.Consented, ownEvent, nil},
		{"who knows not when it was used counts it as unused", is(life), gating.NoConsent, ownEvent, nil},
		{"an unused consent blocks nobody with privacy off", is(life, privacyOff), gating.Consented, ownEvent, nil},
		{"a consent expires at its time, not after", is(expires(now)), gating.NoConsent, ownEvent, nil},
		{"a consent holds until it expires", is(expires(tomorrow)), gating.Consented, ownEvent, nil},
		{"privacy on accepts a legitimate interest", is(basis(gating.BasisLegitimateInterest), anyBasis), gating.Consented, ownEvent, nil},
		{"an override lifts a missing consent, and says so", is(neverAsked, anyBasis, override), gating.Consented, 0, []gating.Reason{gating.NoConsent}},
		{"an override lifts an expiry, and says so", is(expires(yesterday), override), gating.Consented, ownEvent, []gating.Reason{gating.NoConsent}},

		// Row 12.
		{"explicit only refuses a legitimate interest", is(basis(gating.BasisLegitimateInterest)), gating.BasisNotAccepted, ownEvent, nil},
		{"explicit only refuses a contract", is(basis(gating.BasisContract)), gating.BasisNotAccepted, ownEvent, nil},
		{"explicit only accepts a soft opt-in", is(basis(gating.BasisSoftOptIn)), gating.Consented, ownEvent, nil},
		{"explicit only accepts a consent", is(basis(gating.BasisConsent)), gating.Consented, ownEvent, nil},
		{"explicit only asks nothing with privacy off", is(basis(gating.BasisContract), privacyOff), gating.Consented, ownEvent, nil},
		{"an override lifts the basis, and says so", is(basis(gating.BasisLegitimateInterest), override), gating.Consented, ownEvent, []gating.Reason{gating.BasisNotAccepted}},

		// Row 13.
		{"a type newer than the last choice must be chosen", is(typeIsNew), gating.TypeNotChosen, ownEvent, nil},
		{"a new type that was chosen may be mailed", is(typeIsNew, preference(gating.PreferenceIn)), gating.Consented, ownEvent, nil},
		{"a type as old as the last choice was seen", is(typeIsNew, chose(now)), gating.Consented, ownEvent, nil},
		{"who never chose has no last choice to be older", is(typeIsNew, chose(time.Time{})), gating.Consented, ownEvent, nil},
		{"a new type needs no choice with privacy off", is(typeIsNew, privacyOff), gating.Consented, ownEvent, nil},
		{"a campaign of any type needs no choice", is(func(_ *gating.Facts, p *gating.Policy) { p.Type = gating.SubscriptionType{Created: now} }), gating.Consented, ownEvent, nil},
		{"an override lifts a missing choice, and says so", is(typeIsNew, override), gating.Consented, ownEvent, []gating.Reason{gating.TypeNotChosen}},
		{"an override names all that it lifted, in table order", is(neverAsked, typeIsNew, override), gating.Consented, 0,
			[]gating.Reason{gating.NoConsent, gating.BasisNotAccepted, gating.TypeNotChosen}},

		// Row 14.
		{"one address gets one mail", is(duplicate), gating.Duplicate, 0, nil},
		{"one address gets one mail with privacy off", is(duplicate, privacyOff), gating.Duplicate, 0, nil},
		{"nothing lifts a duplicate", is(duplicate, neverAsked, override), gating.Duplicate, 0, nil},

		// Row 15.
		{"who consented is mailed", nil, gating.Consented, ownEvent, nil},
		{"who consented is mailed with privacy off", is(privacyOff), gating.Consented, ownEvent, nil},
		{"who was never asked is mailed with privacy off", is(neverAsked, privacyOff), gating.PrivacyOff, 0, nil},
		{"an unknown basis is no consent with privacy off", is(basis("banana"), privacyOff), gating.PrivacyOff, 0, nil},
		{"an expiry blocks nobody with privacy off", is(expires(yesterday), privacyOff), gating.Consented, ownEvent, nil},
		{"an override that was not needed lifts nothing", is(override), gating.Consented, ownEvent, nil},
		{"an override lifts nothing with privacy off", is(neverAsked, typeIsNew, privacyOff, override), gating.PrivacyOff, 0, nil},
	}
	asked := map[gating.Reason]bool{}
	for _, tt := range tests {
		asked[tt.reason] = true
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			f, p := willing()
			for _, change := range tt.given {
				change(&f, &p)
			}
			want := gating.Verdict{Send: !tt.reason.Blocks(), Reason: tt.reason, Event: tt.event, Lifted: tt.lifted, PolicyVersion: version}
			if diff := cmp.Diff(want, gating.Decide(f, p)); diff != "" {
				t.Errorf("verdict (-want +got):\n%s", diff)
			}
		})
	}
	for _, r := range gating.Reasons() {
		if !asked[r] {
			t.Errorf("no case ends in %s", r)
		}
	}
}

// TestAnEarlierRowWinsOverEveryLaterOne makes every pair of rows hold at once.
func TestAnEarlierRowWinsOverEveryLaterOne(t *testing.T) {
	t.Parallel()
	rows := []struct {
		reason gating.Reason
		holds  change
	}{
		{gating.NoAddress, noAddress},
		{gating.Complained, suppressed(gating.ScopeAll, gating.SuppressedComplaint)},
		{gating.Suppressed, suppressed(gating.ScopeAll, gating.SuppressedErased)},
		{gating.Bounced, bounces(5, 5)},
		{gating.Left, left},
		{gating.ServiceNotice, service},
		{gating.Withdrawn, twinWithdrawn},
		{gating.NoMailings, noMailings},
		{gating.CompanyNoMailings, companyNoMailings},
		{gating.TypeOptedOut, suppressedType(news.ID, gating.SuppressedManual)},
		{gating.Unconfirmed, func(f *gating.Facts, p *gating.Policy) { awaiting(f, p); neverAsked(f, p) }},
		{gating.NoConsent, expires(yesterday)},
		{gating.BasisNotAccepted, basis(gating.BasisContract)},
		{gating.TypeNotChosen, typeIsNew},
		{gating.Duplicate, duplicate},
	}
	for i, earlier := range rows {
		all, policy := willing()
		for _, later := range slices.Backward(rows[i+1:]) {
			f, p := willing()
			later.holds(&f, &p)
			if got := gating.Decide(f, p).Reason; got != later.reason {
				t.Fatalf("row %s alone ends in %s", later.reason, got)
			}
			earlier.holds(&f, &p)
			if got := gating.Decide(f, p).Reason; got != earlier.reason {
				t.Errorf("%s and %s end in %s, want the first", earlier.reason, later.reason, got)
			}
			if later.reason != gating.ServiceNotice {
				later.holds(&all, &policy)
			}
		}
		earlier.holds(&all, &policy)
		if got := gating.Decide(all, policy).Reason; got != earlier.reason {
			t.Errorf("%s and all later rows end in %s", earlier.reason, got)
		}
	}
}

func TestOnlyKnownBasesGrant(t *testing.T) {
	t.Parallel()
	for basis, want := range map[gating.LegalBasis]bool{
		gating.BasisConsent: true, gating.BasisContract: true, gating.BasisLegalObligation: true,
		gating.BasisVitalInterests: true, gating.BasisPublicInterest: true,
		gating.BasisLegitimateInterest: true, gating.BasisSoftOptIn: true,
		gating.BasisNone: false, gating.BasisWithdrawn: false,
		"banana": false, "Consent": false, " consent": false,
	} {
		if got := basis.Granted(); got != want {
			t.Errorf("%q granted: %v, want %v", basis, got, want)
		}
	}
}

func TestEveryReasonStandsOnceInTheTable(t *testing.T) {
	t.Parallel()
	seen := map[gating.Reason]bool{}
	var sends []gating.Reason
	for _, r := range gating.Reasons() {
		if seen[r] {
			t.Errorf("%s stands twice", r)
		}
		seen[r] = true
		if !r.Blocks() {
			sends = append(sends, r)
		}
	}
	if diff := cmp.Diff([]gating.Reason{gating.ServiceNotice, gating.Consented, gating.PrivacyOff}, sends); diff != "" {
		t.Errorf("reasons to send (-want +got):\n%s", diff)
	}
	if !gating.Reason("banana").Blocks() || !gating.Reason("").Blocks() {
		t.Error("a reason that nobody knows lets mail pass")
	}
}

func BenchmarkDecide(b *testing.B) {
	for _, bm := range []struct {
		name  string
		given change
	}{
		{"consented", func(*gating.Facts, *gating.Policy) {}},
		{"never asked", neverAsked},
		{"suppressed", suppressedType(news.ID, gating.SuppressedManual)},
		{"service", service},
	} {
		b.Run(bm.name, func(b *testing.B) {
			f, p := willing()
			bm.given(&f, &p)
			b.ReportAllocs()
			for b.Loop() {
				gating.Decide(f, p)
			}
		})
	}
}

func TestDecidingAllocatesNothingUnlessSomethingIsLifted(t *testing.T) {
	f, p := willing()
	suppressedType(8, gating.SuppressedManual)(&f, &p)
	if n := testing.AllocsPerRun(100, func() { gating.Decide(f, p) }); n != 0 {
		t.Errorf("%v allocations for each decision", n)
	}
}
