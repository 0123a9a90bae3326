// Package contact answers who our people are and what they have said: the
// contact, the normalised address, the consent event, and the rule for which
// event may follow which state. It keeps nothing itself: postgres stores, the
// clock is passed in.
package contact

import (
	"errors"
	"time"

	"github.com/jatak-mail/jatak/gating"
)

// ID identifies a contact.
type ID int64

// ErrNotFound says that there is no such contact, or no longer.
var ErrNotFound = errors.New("no such contact")

// Contact is a natural person with an e-mail address.
type Contact struct {
	ID        ID
	LegacyID  string // the id in the system it was imported from
	Email     string // as it was written
	Address   Address
	FirstName string
	LastName  string
	Company   string
	Language  string // BCP 47, lower case; "" when unknown
	TimeZone  string // IANA name; "" when unknown
	Left      bool
}

// Profile is what a contact may see and change on the manage page.
type Profile struct {
	Contact    ID
	Address    Address
	Language   string
	Emarketing gating.Consent
	// EmarketingSource is how the present E-marketing state came about.
	EmarketingSource gating.Source
	Types            []TypeChoice // in the order in which to show them
}

// TypeChoice is a subscription type with the contact's preference for it.
type TypeChoice struct {
	ID         gating.TypeID
	Names      map[string]string // by language
	Preference gating.Preference
}

// Name returns the type's name in the language, or else in English, or else
// in any language it has.
func (t TypeChoice) Name(language string) string {
	for _, l := range []string{language, "en"} {
		if n := t.Names[l]; n != "" {
			return n
		}
	}
	for _, n := range t.Names {
		return n
	}
	return ""
}

// Name returns the contact's full name, or "".
func (c Contact) Name() string {
	if c.FirstName == "" || c.LastName == "" {
		return c.FirstName + c.LastName
	}
	return c.FirstName + " " + c.LastName
}

// mostZone is more than the longest name in the list has.
const mostZone = 64

// IsZone reports whether there is a time zone of that name in the IANA list.
func IsZone(name string) bool {
	if name == "" || name == "Local" || len(name) > mostZone {
		return false
	}
	_, err := time.LoadLocation(name)
	return err == nil
}
