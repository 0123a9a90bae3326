package contact

import (
	"fmt"
	"time"

	"github.com/jatak-mail/jatak/gating"
)

// StaffChoice is a choice of a subscription type that staff make for a contact.
type StaffChoice struct {
	Contact ID
	Type    gating.TypeID
	Choice  gating.Preference // in or out
	Reason  string            // at most MaxComment characters
	Actor   string
	Now     time.Time
}

// MayChoose is the rule for such a choice: staff may opt anybody out, and may
// take back an opt-out of staff. One that came any other way is the contact's:
// ErrNotTheirs.
func MayChoose(current gating.Preference, by gating.Source, next gating.Preference) error {
	switch {
	case next != gating.PreferenceIn && next != gating.PreferenceOut:
		return fmt.Errorf("preference %q is neither in nor out", next)
	case next == gating.PreferenceIn && current == gating.PreferenceOut && by != gating.SourceUser:
		return ErrNotTheirs
	}
	return nil
}
