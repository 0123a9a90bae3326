package campaign

import (
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/jatak-mail/jatak/gating"
	"github.com/jatak-mail/jatak/internal/contact"
)

// What a store says of a campaign.
var (
	ErrNotFound    = errors.New("no such campaign")
	ErrFrozen      = errors.New("the campaign is launched; its content can no longer change")
	ErrNotPlanning = errors.New("the campaign is not being planned, or by somebody else")
	// ErrUnheard says that nobody knows whether something was done: the answer was
	// lost, or has not come yet.
	ErrUnheard = errors.New("the answer was lost")
)

// Campaign is a campaign as it is kept.
type Campaign struct {
	ID             ID
	Name           string
	State          State
	Class          gating.Class
	Type           gating.SubscriptionType // ID 0: any
	TypeKey        string
	Content        Content
	OverrideReason string // not empty: the override is on
	OverrideBy     string
	PauseReason    string
	Priority       Priority
	Pace           float64   // mails a second at most; 0: as fast as can be
	Scheduled      time.Time // zero when not
	Local          LocalTime // not zero: each recipient's mail waits for this time where they are
	Created        time.Time
	Launched       time.Time // zero until it happens, like those below
	Planned        time.Time
	Finished       time.Time
}

// Override lifts what E-marketing privacy adds, for a written reason. The zero
// value lifts nothing.
type Override struct {
	Reason, By string
	At         time.Time // when it was decided
}

// MaxOverrideReason bounds the reason of an override, in characters.
const MaxOverrideReason = 500

// NewOverride returns an override for a reason of one or more words.
func NewOverride(reason, by string, now time.Time) (Override, error) {
	reason = strings.Join(strings.Fields(reason), " ")
	switch {
	case reason == "":
		return Override{}, errors.New("an override needs a written reason")
	case utf8.RuneCountInString(reason) > MaxOverrideReason:
		return Override{}, fmt.Errorf("the reason of an override has at most %d characters, not %d", MaxOverrideReason, utf8.RuneCountInString(reason))
	case !utf8.ValidString(reason) || strings.ContainsFunc(reason, unicode.IsControl):
		return Override{}, errors.New("the reason of an override holds what is no text")
	}
	return Override{reason, by, now}, nil
}

// ClaimRequest asks for rows of a batch to send.
type ClaimRequest struct {
	Worker   int64
	Campaign ID
	Batch    int
	After    contact.ID // only contacts behind this one
	Limit    int
	Now      time.Time
	Pending  bool // leaves alone what is deferred, also when it is due
	// Lanes are the only ones to claim from or, with Except, those to leave.
	Lanes  []Lane
	Except bool
	// Class, Type and Override are the campaign's, frozen at launch.
	Class    gating.Class
	Type     gating.SubscriptionType
	Override bool
}

// Claimed is a row that a worker has taken on itself to send.
type Claimed struct {
	contact.Recipient
	Attempts int // this one included
	Doubts   int // attempts before, at which a relay cut the connection before its last reply
	Lane     Lane
	// Deferred is when the mail was deferred first; zero when it never was.
	Deferred time.Time
}

// Outcome is what became of a claimed row.
type Outcome struct {
	Worker   int64
	Campaign ID
	Batch    int
	Contact  contact.ID
	State    DeliveryState
	Verdict  gating.Verdict
	At       time.Time
	// NextAttempt is when a deferred mail is due again.
	NextAttempt time.Time
	// Doubt: the reply of this attempt was lost after the mail was handed over.
	Doubt bool
	// Uncharged: the attempt does not count. It failed by the relay's fault.
	Uncharged bool
	// Bounced: there is no such mailbox. Reached: one that had bounced has taken it.
	Bounced, Reached bool
	// The relay's reply: SMTP code, RFC 3463 code, text, and the relay's name.
	Code     int
	Enhanced string
	Reply    string
	Relay    string
}

// BatchID names a part of a campaign that one task works on.
type BatchID struct {
	Campaign ID
	Batch    int
	Priority Priority
	// Visits is how often the batch had been visited when it was named.
	Visits int
}

// Same reports whether another names the same part.
func (b BatchID) Same(other BatchID) bool {
	return b.Campaign == other.Campaign && b.Batch == other.Batch
}

// Sweep is what a look over the ledger found to be done.
type Sweep struct {
	InDoubt  int64     // rows whose worker ended without a word
	Batches  []BatchID // with something to send and no bell
	Plans    []ID      // planning that stands still
	Finished []ID      // campaigns that ended
}

// Booking is a person behind a number of the books.
type Booking struct {
	contact.Contact
	State  DeliveryState
	Reason gating.Reason
}

// Complaints are how many of those who got a campaign complained of spam.
type Complaints struct {
	Campaign         ID
	Complaints, Sent int64
}
