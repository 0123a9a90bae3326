package contact

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/jatak-mail/jatak/gating"
)

// Event is one entry of the consent ledger. It is never changed.
type Event struct {
	ID       int64
	Contact  ID
	Address  Address // at the time
	Purpose  gating.Purpose
	From, To gating.LegalBasis
	Source   gating.Source
	Actor    string    // who did it: a user, "contact", or a program's name
	Wording  string    // the text the person saw
	Locale   string    // the language it was shown in
	Campaign int64     // the campaign that led to it; 0 when none did
	Comment  string    // at most MaxComment characters
	Expires  time.Time // of the basis; zero: never
	At       time.Time
}

// Link is an event as the ledger keeps it: digests in the place of personal
// data, so that erasing a contact leaves the chain whole. Its hash covers all
// of it and the hash of the contact's event before.
type Link struct {
	Event
	WordingHash, AddressDigest, CommentDigest []byte // nil for none
	Hash                                      []byte
}

// Chain returns the hash that the link must have after the event before it;
// previous is nil for a contact's first. The store computes the same.
func (l Link) Chain(previous []byte) []byte {
	micros := func(t time.Time) string {
		if t.IsZero() {
			return ""
		}
		return strconv.FormatInt(t.UnixMicro(), 10)
	}
	campaign := ""
	if l.Campaign != 0 {
		campaign = strconv.FormatInt(l.Campaign, 10)
	}
	h := sha256.New()
	_, _ = h.Write(previous)
	_, _ = fmt.Fprintf(h, "%d|%s|%s|%s|%s|%s|%x|%s|%s|%x|%x|%s|%s", l.Contact, l.Purpose, l.From, l.To, micros(l.Expires),
		l.Source, l.WordingHash, l.Locale, campaign, l.AddressDigest, l.CommentDigest, micros(l.At), l.Actor)
	return h.Sum(nil)
}

// MaxComment is the longest comment of an event, in characters.
const MaxComment = 255

// ActorContact is the actor of what the contact did in person.
const ActorContact = "contact"

// Choices is what a contact asks for with one POST: from the manage page, by
// one click (RFC 8058) or by mail. Nil fields are left as they are.
type Choices struct {
	Contact    ID
	Campaign   int64
	Source     gating.Source // manage_page, one_click or mailto
	Locale     string
	Wording    string
	At         time.Time
	Emarketing *bool // true: yes please; false: stop all
	Types      map[gating.TypeID]gating.Preference
}

// OptOut is a one-click unsubscribe of a mail client (RFC 8058).
type OptOut struct {
	Contact  ID
	Campaign int64         // 0 for none
	Type     gating.TypeID // 0 for all e-marketing
	At       time.Time
}

// OneClickWording is what the button of a mail client says to us.
const OneClickWording = "List-Unsubscribe=One-Click"

// ErrNotTheirs says that only the contact's own confirmed act may raise a
// consent above withdrawn.
var ErrNotTheirs = errors.New("only the contact can take back a withdrawal")

// NextBasis is the rule for the E-marketing toggle: the basis that follows
// when somebody switches it, and whether anything changes. A contact who says
// yes gives consent; a user who switches it on records a legitimate interest.
// A withdrawal by the contact, or one whose maker is unknown, can be taken
// back by nobody else; a withdrawal by staff may be reversed by staff.
func NextBasis(current gating.Consent, withdrawnBy, source gating.Source, on bool) (next gating.LegalBasis, changed bool, err error) {
	switch {
	case on && source == gating.SourceManagePage && current.Basis != gating.BasisConsent:
		return gating.BasisConsent, true, nil // also who stood on another basis: a yes is worth more
	case on && current.Basis.Granted(), !on && current.Basis == gating.BasisWithdrawn:
		return current.Basis, false, nil
	case !on:
		return gating.BasisWithdrawn, true, nil
	case current.Basis == gating.BasisWithdrawn && !(withdrawnBy == gating.SourceUser && source == gating.SourceUser):
		return current.Basis, false, ErrNotTheirs
	}
	return gating.BasisLegitimateInterest, true, nil
}

// BrokenError says that the ledger is not as it was written.
type BrokenError struct {
	Contact ID
	Event   int64
	What    string
}

func (e *BrokenError) Error() string {
	return fmt.Sprintf("the ledger is broken at event %d of contact %d: %s", e.Event, e.Contact, e.What)
}
