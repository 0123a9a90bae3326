package contact

import (
	"time"

	"github.com/jatak-mail/jatak/gating"
)

// Dossier is all that is kept about one person, for the person (GDPR articles
// 15 and 20).
type Dossier struct {
	Contact       DossierContact      `json:"contact"`
	Consents      []DossierConsent    `json:"consents"`       // as they are now
	ConsentEvents []DossierEvent      `json:"consent_events"` // how they came about, oldest first
	Subscriptions []DossierType       `json:"subscriptions"`
	Choices       []DossierChoice     `json:"subscription_events"` // how those came about
	Mails         []DossierMail       `json:"mails"`
	LegacyMails   []DossierLegacy     `json:"legacy_mailings"`
	SignUps       []DossierSignUp     `json:"sign_ups"`
	Notices       []DossierNotice     `json:"notices"` // mails that were sent outside of campaigns
	Suppressions  []DossierSuppressed `json:"suppressions"`
	Exported      time.Time           `json:"exported_at"`
}

// DossierContact is the person.
type DossierContact struct {
	ID         ID     `json:"id"`
	LegacyID   string `json:"legacy_id,omitempty"`
	Email      string `json:"email"`
	FirstName  string `json:"first_name"`
	LastName   string `json:"last_name"`
	Company    string `json:"company,omitempty"`
	Language   string `json:"language,omitempty"`
	TimeZone   string `json:"time_zone,omitempty"`
	Left       bool   `json:"left"`
	NoMailings bool   `json:"legacy_no_mailings"`
	// OnFileSince is nil for who was there before it was kept.
	OnFileSince *time.Time `json:"on_file_since,omitempty"`
}

// DossierConsent is the state of one purpose.
type DossierConsent struct {
	Purpose gating.Purpose    `json:"purpose"`
	Basis   gating.LegalBasis `json:"legal_basis"`
	Source  gating.Source     `json:"source"`
	Since   time.Time         `json:"since"`
	Expires *time.Time        `json:"expires,omitempty"`
}

// DossierEvent is a consent event with the words that the person saw.
type DossierEvent struct {
	ID       int64             `json:"id"`
	At       time.Time         `json:"at"`
	Purpose  gating.Purpose    `json:"purpose"`
	From     gating.LegalBasis `json:"from"`
	To       gating.LegalBasis `json:"to"`
	Source   gating.Source     `json:"source"`
	Actor    string            `json:"actor"`
	Address  Address           `json:"address,omitempty"`
	Wording  string            `json:"wording,omitempty"`
	Locale   string            `json:"locale,omitempty"`
	Campaign int64             `json:"campaign,omitempty"`
	Comment  string            `json:"comment,omitempty"`
}

// DossierType is a subscription type with the person's choice: in, out or "".
type DossierType struct {
	Name       string            `json:"name"`
	Preference gating.Preference `json:"preference"`
}

// DossierChoice is a change of a subscription type's choice.
type DossierChoice struct {
	At      time.Time         `json:"at"`
	Name    string            `json:"name"`
	From    gating.Preference `json:"from"`
	To      gating.Preference `json:"to"`
	Source  gating.Source     `json:"source"`
	Actor   string            `json:"actor"`
	Comment string            `json:"comment,omitempty"`
	Type    string            `json:"type"` // its key
}

// DossierMail is a campaign that concerned the person, with the verdict.
type DossierMail struct {
	Campaign      int64         `json:"campaign"`
	Name          string        `json:"name"`
	State         string        `json:"state"`
	Reason        gating.Reason `json:"reason"`
	Event         int64         `json:"consent_event,omitempty"`
	Lifted        []string      `json:"lifted,omitempty"`
	PolicyVersion int64         `json:"policy_version"`
	At            time.Time     `json:"at"`
	Reply         string        `json:"reply,omitempty"`
}

// DossierLegacy is a mailing of the system before.
type DossierLegacy struct {
	Mailing string    `json:"mailing"`
	At      time.Time `json:"at"`
	Status  string    `json:"status"`
}

// DossierSuppressed is an entry of the list of those not to be mailed.
type DossierSuppressed struct {
	Scope  gating.Scope             `json:"scope"`
	Reason gating.SuppressionReason `json:"reason"`
	At     time.Time                `json:"at"`
}

// DossierSignUp is a request to be mailed.
type DossierSignUp struct {
	Purpose   gating.Purpose `json:"purpose"`
	At        time.Time      `json:"at"`
	Confirmed *time.Time     `json:"confirmed,omitempty"`
	Wording   string         `json:"wording"`
	Locale    string         `json:"locale"`
}

// DossierNotice is a mail that was sent outside of campaigns.
type DossierNotice struct {
	Kind  NoticeKind `json:"kind"`
	At    time.Time  `json:"at"`
	State string     `json:"state"`
}
