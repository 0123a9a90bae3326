// Package gating answers one question: may this person be mailed, and if not,
// why? It owns the vocabulary of permission (Purpose, LegalBasis, Consent,
// SubscriptionType, Suppression, Reason) and the one function that decides.
//
// It is pure: the caller fetches the facts and brings the clock. It knows
// nothing of databases, networks or words for people to read.
package gating

import "time"

// DefaultBounceLimit is how many bounces in a row end a contact's mail when
// the tenant has set nothing else.
const DefaultBounceLimit = 5

// Facts is all that the gate needs to know about one recipient.
type Facts struct {
	// AddressValid is false when the contact has no address or one that
	// cannot be mailed.
	AddressValid bool
	Suppressions []Suppression
	BouncesInRow int
	Left         bool // deleted, or marked as having left

	Emarketing Consent
	// TwinWithdrawn: another contact with the same normalised address has
	// withdrawn. TwinEvent is the event that says so.
	TwinWithdrawn bool
	TwinEvent     int64

	NoMailings        bool // the legacy flag of a contact not yet upgraded
	CompanyNoMailings bool

	Preference Preference // for the campaign's type
	// LastChoice is when the contact last saved subscription preferences;
	// zero when never.
	LastChoice time.Time

	// AwaitingConfirmation: double opt-in was requested and not confirmed.
	AwaitingConfirmation bool

	// Duplicate: another recipient of this campaign with the same normalised
	// address is already planned.
	Duplicate bool
}

// Policy is what the tenant and the campaign ask for.
type Policy struct {
	Now     time.Time
	Version int64 // the settings' version, stored with each verdict

	Privacy      bool // E-marketing privacy
	ExplicitOnly bool // with privacy on: accept only consent and soft opt-in
	BounceLimit  int  // bounces in a row; < 1 means DefaultBounceLimit

	Class Class
	Type  SubscriptionType // ID 0: "Any", or a tenant without types

	// Override lifts NoConsent, BasisNotAccepted and TypeNotChosen. It is
	// decided at launch by somebody with the right to, for a written reason.
	Override bool
}

// Verdict is the gate's answer for one recipient.
type Verdict struct {
	Send          bool
	Reason        Reason
	Event         int64    // the consent event it rests on; 0 when on none
	Lifted        []Reason // what an override lifted, in table order
	PolicyVersion int64
}

// Decide says whether the person may be mailed. First hit in the table wins;
// an override lifts NoConsent, BasisNotAccepted and TypeNotChosen only, and
// the verdict names what it lifted.
func Decide(f Facts, p Policy) Verdict {
	block := func(r Reason, event int64) Verdict {
		return Verdict{Reason: r, Event: event, PolicyVersion: p.Version}
	}
	send := func(r Reason, event int64, lifted []Reason) Verdict {
		return Verdict{Send: true, Reason: r, Event: event, Lifted: lifted, PolicyVersion: p.Version}
	}

	// Whatever the class: nobody is mailed who cannot or must not be reached.
	switch s := readSuppressions(f.Suppressions, p.Type.ID); {
	case !f.AddressValid:
		return block(NoAddress, 0)
	case s.complained:
		return block(Complained, 0)
	case s.all:
		return block(Suppressed, 0)
	case s.bounced || f.BouncesInRow >= p.bounceLimit():
		return block(Bounced, 0)
	case f.Left:
		return block(Left, 0)
	case p.Class == Service:
		return send(ServiceNotice, 0, nil)

	// What the contact, or the company, has said.
	case f.Emarketing.Basis == BasisWithdrawn:
		return block(Withdrawn, f.Emarketing.Event)
	case f.TwinWithdrawn:
		return block(Withdrawn, f.TwinEvent)
	case s.marketing:
		return block(Withdrawn, 0)
	case f.NoMailings:
		return block(NoMailings, 0)
	case f.CompanyNoMailings:
		return block(CompanyNoMailings, 0)
	case p.Type.ID != 0 && (s.byType || f.Preference != PreferenceIn && f.Preference != PreferenceUnset):
		// A preference that nobody knows may well have meant no.
		return block(TypeOptedOut, 0)
	case f.AwaitingConfirmation && !f.Emarketing.Basis.Granted():
		return block(Unconfirmed, 0)
	}

	// What E-marketing privacy adds, and an override may lift.
	var lifted []Reason
	for _, r := range privacyReasons(f, p) {
		if r == "" {
			continue
		}
		if !p.Override {
			return block(r, f.Emarketing.Event)
		}
		lifted = append(lifted, r)
	}

	switch {
	case f.Duplicate:
		return block(Duplicate, 0)
	case !f.Emarketing.Basis.Granted() && len(lifted) == 0:
		return send(PrivacyOff, 0, nil)
	}
	return send(Consented, f.Emarketing.Event, lifted)
}

func (p Policy) bounceLimit() int {
	if p.BounceLimit < 1 {
		return DefaultBounceLimit
	}
	return p.BounceLimit
}

// privacyReasons returns what speaks against mailing under E-marketing
// privacy, in table order; empty entries do not apply.
func privacyReasons(f Facts, p Policy) (found [3]Reason) {
	if !p.Privacy {
		return found
	}
	if !f.Emarketing.Basis.Granted() || f.Emarketing.ExpiredAt(p.Now) {
		found[0] = NoConsent
	}
	explicit := f.Emarketing.Basis == BasisConsent || f.Emarketing.Basis == BasisSoftOptIn
	if p.ExplicitOnly && !explicit {
		found[1] = BasisNotAccepted
	}
	// Who never chose has no last choice for a type to be newer than.
	newType := p.Type.ID != 0 && !f.LastChoice.IsZero() && p.Type.Created.After(f.LastChoice)
	if newType && f.Preference == PreferenceUnset {
		found[2] = TypeNotChosen
	}
	return found
}

// suppressionSet is what the suppressions of one address amount to.
type suppressionSet struct {
	complained, all, bounced, marketing, byType bool
}

func readSuppressions(list []Suppression, campaignType TypeID) (s suppressionSet) {
	for _, x := range list {
		switch {
		case x.Reason == SuppressedComplaint:
			s.complained = true
		case x.Reason == SuppressedHardBounce || x.Reason == SuppressedBounceLimit:
			s.bounced = true
		case x.Scope == ScopeMarketing:
			s.marketing = true
		case x.Scope == ScopeType:
			s.byType = s.byType || x.Type == campaignType
		default:
			// Scope all, and anything unheard of: the strictest reading.
			s.all = true
		}
	}
	return s
}
