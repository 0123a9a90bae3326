// Package gating answers one question: may this person be mailed, and if not,
// why? It owns the vocabulary of permission (Purpose, LegalBasis, Consent,
// SubscriptionType, Suppression, Reason) and the one function that decides.
//
// It is pure: the caller fetches the facts and brings the clock. It knows
// nothing of databases, networks or words for people to read.
package gating

import (
	"fmt"
	"time"
)

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

	// LastUse is when the present basis was given, or a mail last sent, what
	// is later. It is needed only under Policy.ConsentLife.
	LastUse time.Time

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
	// ConsentLife is how long a basis counts that is not used; 0: for ever.
	ConsentLife time.Duration

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
	i := inquiry{facts: &f, policy: &p, suppressed: readSuppressions(f.Suppressions, p.Type.ID)}
	v := Verdict{PolicyVersion: p.Version}
	for _, r := range questions {
		holds, event := i.ask(r)
		switch {
		case !holds:
		case p.Override && r.Liftable():
			v.Lifted = append(v.Lifted, r)
		default:
			v.Send, v.Reason, v.Event = !r.Blocks(), r, event
			v.Lifted = nil // nothing was lifted that mattered
			return v
		}
	}
	v.Send, v.Reason, v.Event = true, Consented, f.Emarketing.Event
	if !f.Emarketing.Basis.Granted() && len(v.Lifted) == 0 {
		v.Reason, v.Event = PrivacyOff, 0
	}
	return v
}

// Step is one row of the table, asked about one person.
type Step struct {
	Reason  Reason
	Holds   bool
	Lifted  bool // it holds, and the override lifts it
	Decided bool // the verdict rests on it
	// Found are the facts that the row looks at, as name=value.
	Found []string
}

// Explain asks every row of the table in order, also those behind the one that
// decides. Its verdict is Decide's.
func Explain(f Facts, p Policy) ([]Step, Verdict) {
	i := inquiry{facts: &f, policy: &p, suppressed: readSuppressions(f.Suppressions, p.Type.ID)}
	v := Decide(f, p)
	steps := make([]Step, 0, len(questions)+1)
	for _, r := range questions {
		holds, _ := i.ask(r)
		steps = append(steps, Step{Reason: r, Holds: holds, Lifted: holds && p.Override && r.Liftable(),
			Decided: r == v.Reason, Found: i.found(r)})
	}
	if v.Reason == Consented || v.Reason == PrivacyOff {
		steps = append(steps, Step{Reason: v.Reason, Holds: true, Decided: true, Found: i.found(Withdrawn)})
	}
	return steps, v
}

// questions are the rows of the table in order, but for the last: who gets
// past all of them is mailed.
var questions = [...]Reason{
	// Whatever the class: nobody is mailed who cannot or must not be reached.
	NoAddress, Complained, Suppressed, Bounced, Left, ServiceNotice,
	// What the contact, or the company, has said.
	Withdrawn, NoMailings, CompanyNoMailings, TypeOptedOut, Unconfirmed,
	// What E-marketing privacy adds.
	NoConsent, BasisNotAccepted, TypeNotChosen,
	Duplicate,
}

// Liftable reports whether an override lifts the reason.
func (r Reason) Liftable() bool { return r == NoConsent || r == BasisNotAccepted || r == TypeNotChosen }

// inquiry is the facts and rules of one decision.
type inquiry struct {
	facts      *Facts
	policy     *Policy
	suppressed suppressionSet
}

// ask reports whether a row's condition holds, and the consent event that says
// so.
func (i *inquiry) ask(r Reason) (holds bool, event int64) {
	f, p, s := i.facts, i.policy, i.suppressed
	switch r {
	case NoAddress:
		return !f.AddressValid, 0
	case Complained:
		return s.complained, 0
	case Suppressed:
		return s.all, 0
	case Bounced:
		return s.bounced || f.BouncesInRow >= p.bounceLimit(), 0
	case Left:
		return f.Left, 0
	case ServiceNotice:
		return p.Class == Service, 0
	case Withdrawn:
		switch {
		case f.Emarketing.Basis == BasisWithdrawn:
			return true, f.Emarketing.Event
		case f.TwinWithdrawn:
			return true, f.TwinEvent
		}
		return s.marketing, 0
	case NoMailings:
		return f.NoMailings, 0
	case CompanyNoMailings:
		return f.CompanyNoMailings, 0
	case TypeOptedOut:
		// A preference that nobody knows may well have meant no.
		said := f.Preference != PreferenceIn && f.Preference != PreferenceUnset
		return p.Type.ID != 0 && (s.byType || said), 0
	case Unconfirmed:
		return f.AwaitingConfirmation && !f.Emarketing.Basis.Granted(), 0
	case NoConsent:
		return p.Privacy && (!f.Emarketing.Basis.Granted() || f.Emarketing.ExpiredAt(p.Now) || p.unused(f.LastUse)), f.Emarketing.Event
	case BasisNotAccepted:
		explicit := f.Emarketing.Basis == BasisConsent || f.Emarketing.Basis == BasisSoftOptIn
		return p.Privacy && p.ExplicitOnly && !explicit, f.Emarketing.Event
	case TypeNotChosen:
		// Who never chose has no last choice for a type to be newer than.
		newer := !f.LastChoice.IsZero() && p.Type.Created.After(f.LastChoice)
		return p.Privacy && p.Type.ID != 0 && newer && f.Preference == PreferenceUnset, f.Emarketing.Event
	case Duplicate:
		return f.Duplicate, 0
	}
	return true, 0 // default deny: a row that nobody knows holds
}

// found names the facts that a row looks at.
func (i *inquiry) found(r Reason) []string {
	f, p := i.facts, i.policy
	pair := func(name string, value any) string {
		if t, ok := value.(time.Time); ok {
			value = "never"
			if !t.IsZero() {
				value = t.UTC().Format(time.RFC3339)
			}
		}
		if value == "" || value == LegalBasis("") || value == Preference("") {
			value = "none"
		}
		return fmt.Sprintf("%s=%v", name, value)
	}
	basis := pair("emarketing", f.Emarketing.Basis)
	switch r {
	case NoAddress:
		return []string{pair("valid_address", f.AddressValid)}
	case Complained, Suppressed:
		return []string{pair("suppressions", len(f.Suppressions))}
	case Bounced:
		return []string{pair("bounces_in_row", f.BouncesInRow), pair("limit", p.bounceLimit())}
	case Left:
		return []string{pair("left", f.Left)}
	case ServiceNotice:
		return []string{pair("class", p.Class)}
	case Withdrawn:
		return []string{basis, pair("twin_withdrawn", f.TwinWithdrawn)}
	case NoMailings:
		return []string{pair("no_mailings", f.NoMailings)}
	case CompanyNoMailings:
		return []string{pair("company_no_mailings", f.CompanyNoMailings)}
	case TypeOptedOut:
		return []string{pair("type", p.Type.ID), pair("preference", f.Preference)}
	case Unconfirmed:
		return []string{pair("awaiting_confirmation", f.AwaitingConfirmation), basis}
	case NoConsent:
		found := []string{pair("privacy", p.Privacy), basis, pair("expires", f.Emarketing.Expires)}
		if p.ConsentLife > 0 {
			found = append(found, pair("last_use", f.LastUse), pair("consent_life", p.ConsentLife))
		}
		return found
	case BasisNotAccepted:
		return []string{pair("privacy", p.Privacy), pair("explicit_only", p.ExplicitOnly), basis}
	case TypeNotChosen:
		return []string{pair("privacy", p.Privacy), pair("type_created", p.Type.Created), pair("last_choice", f.LastChoice)}
	case Duplicate:
		return []string{pair("planned_under_another_contact", f.Duplicate)}
	}
	return nil
}

// unused reports whether a basis has lost its force by not being used. One
// whose last use nobody knows has.
func (p Policy) unused(last time.Time) bool {
	return p.ConsentLife > 0 && !p.Now.Before(last.Add(p.ConsentLife))
}

func (p Policy) bounceLimit() int {
	if p.BounceLimit < 1 {
		return DefaultBounceLimit
	}
	return p.BounceLimit
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
