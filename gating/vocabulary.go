package gating

import "time"

// Purpose says why data about a contact are kept. Tenants may add their own.
type Purpose string

// The two built-in purposes.
const (
	PurposeStore      Purpose = "store"
	PurposeEmarketing Purpose = "emarketing"
)

// LegalBasis is the ground in law that a purpose rests on: GDPR article 6(1),
// the ePrivacy soft opt-in, or Withdrawn when the contact has said no.
type LegalBasis string

// The legal bases. The zero value means that the contact was never asked.
const (
	BasisNone               LegalBasis = ""
	BasisConsent            LegalBasis = "consent"             // GDPR 6(1)(a)
	BasisContract           LegalBasis = "contract"            // GDPR 6(1)(b)
	BasisLegalObligation    LegalBasis = "legal_obligation"    // GDPR 6(1)(c)
	BasisVitalInterests     LegalBasis = "vital_interests"     // GDPR 6(1)(d)
	BasisPublicInterest     LegalBasis = "public_interest"     // GDPR 6(1)(e)
	BasisLegitimateInterest LegalBasis = "legitimate_interest" // GDPR 6(1)(f)
	BasisSoftOptIn          LegalBasis = "soft_opt_in"         // ePrivacy 13(2), MFL 10(2)
	BasisWithdrawn          LegalBasis = "withdrawn"
)

// Granted reports whether the basis permits something: it is neither absent
// nor withdrawn, nor a word that nobody knows. It is what the E-marketing
// toggle shows.
func (b LegalBasis) Granted() bool {
	switch b {
	case BasisConsent, BasisContract, BasisLegalObligation, BasisVitalInterests,
		BasisPublicInterest, BasisLegitimateInterest, BasisSoftOptIn:
		return true
	}
	return false
}

// Source says how a consent event came about.
type Source string

// The sources of a consent event.
const (
	SourceUser            Source = "user"
	SourceEmail           Source = "email"
	SourceIncomingRequest Source = "incoming_request"
	SourceChat            Source = "chat"
	SourceWebForm         Source = "web_form"
	SourceCustomerPortal  Source = "customer_portal"
	SourceImport          Source = "import"
	SourceIntegration     Source = "integration"
	SourceMigration       Source = "migration"
	SourceManagePage      Source = "manage_page"
	SourceOneClick        Source = "one_click"
	SourceMailto          Source = "mailto"
	SourceComplaint       Source = "complaint"
	SourceUnknown         Source = "unknown"
)

// Consent is the state of one purpose for one contact: the fold of its
// events. The zero value means that the contact was never asked.
type Consent struct {
	Basis   LegalBasis
	Event   int64     // the consent event this state rests on; 0 when never asked
	Expires time.Time // zero: never
}

// ExpiredAt reports whether the consent has lost its force at the given time.
func (c Consent) ExpiredAt(now time.Time) bool {
	return !c.Expires.IsZero() && !now.Before(c.Expires)
}

// TypeID identifies a subscription type; 0 is "Any".
type TypeID int64

// SubscriptionType is a kind of mailing that a contact may choose.
type SubscriptionType struct {
	ID      TypeID
	Created time.Time
}

// Preference is a contact's choice for one subscription type.
type Preference string

// The three preferences. A contact that has not chosen is Unset.
const (
	PreferenceUnset Preference = ""
	PreferenceIn    Preference = "in"
	PreferenceOut   Preference = "out"
)

// Suppression is one entry of the list of addresses that must not be mailed.
// Several may hold for one address.
type Suppression struct {
	Scope  Scope
	Type   TypeID // set when Scope is ScopeType
	Reason SuppressionReason
}

// Scope says what a suppression covers.
type Scope string

// The scopes of a suppression.
const (
	ScopeAll       Scope = "all"
	ScopeMarketing Scope = "marketing"
	ScopeType      Scope = "type"
)

// SuppressionReason says why an address is suppressed.
type SuppressionReason string

// The reasons for a suppression.
const (
	SuppressedComplaint   SuppressionReason = "complaint"
	SuppressedHardBounce  SuppressionReason = "hard_bounce"
	SuppressedBounceLimit SuppressionReason = "bounce_limit"
	SuppressedErased      SuppressionReason = "erased"
	SuppressedManual      SuppressionReason = "manual"
)

// Class is what kind of campaign is being sent.
type Class string

// The campaign classes. The zero value counts as Marketing, the stricter one.
const (
	Marketing Class = "marketing"
	Service   Class = "service" // a notice the recipient must get; never an advertisement
)

// Reason names the row of the gate's table that decided. Its sentence in each
// language lives with the texts that people read, not here.
type Reason string

// The reasons, in the order in which the gate asks. First hit wins.
const (
	NoAddress         Reason = "no_address"
	Complained        Reason = "complained"
	Suppressed        Reason = "suppressed"
	Bounced           Reason = "bounced"
	Left              Reason = "left"
	ServiceNotice     Reason = "service"
	Withdrawn         Reason = "withdrawn"
	NoMailings        Reason = "no_mailings"
	CompanyNoMailings Reason = "company_no_mailings"
	TypeOptedOut      Reason = "type_opted_out"
	Unconfirmed       Reason = "unconfirmed"
	NoConsent         Reason = "no_consent"
	BasisNotAccepted  Reason = "basis_not_accepted"
	TypeNotChosen     Reason = "type_not_chosen"
	Duplicate         Reason = "duplicate"
	Consented         Reason = "consented"
	PrivacyOff        Reason = "privacy_off"
)

// Reasons lists every reason in the order of the table.
func Reasons() []Reason {
	return []Reason{
		NoAddress, Complained, Suppressed, Bounced, Left, ServiceNotice,
		Withdrawn, NoMailings, CompanyNoMailings, TypeOptedOut, Unconfirmed,
		NoConsent, BasisNotAccepted, TypeNotChosen, Duplicate,
		Consented, PrivacyOff,
	}
}

// Blocks reports whether the reason is one that keeps a mail back.
func (r Reason) Blocks() bool {
	switch r {
	case ServiceNotice, Consented, PrivacyOff:
		return false
	}
	return true
}
