package contact

import (
	"time"

	"github.com/jatak-mail/jatak/gating"
)

// Selection picks contacts by what is known of them. Zero fields pick
// everybody.
type Selection struct {
	ID       ID
	Address  Address
	Company  string
	Language string // with its regional forms
	// Basis is the present legal basis of the purpose; "none" picks those who
	// were never asked.
	Basis         string
	Source        string // how the present basis came
	ExpiresBefore time.Time
	Filter        *Filter // as it is on a day; nil picks everybody
}

// Standing is a contact with the consent that a selection asked about. Since
// and Expires are of 1970 when there is none.
type Standing struct {
	Contact
	Basis          gating.LegalBasis
	Source         gating.Source
	Since, Expires time.Time
}

// BulkChange gives many contacts another legal basis.
type BulkChange struct {
	Selection Selection
	Purpose   gating.Purpose
	Basis     gating.LegalBasis
	Source    gating.Source // how it came
	Reason    string        // at most MaxComment characters
	Actor     string
	Now       time.Time
	DryRun    bool
}

// BulkResult counts what a bulk change did.
type BulkResult struct {
	ID        int64 `json:"change"` // to undo it by; 0 when nothing was kept
	Selected  int64 `json:"selected"`
	Changed   int64 `json:"changed"`
	Unchanged int64 `json:"unchanged"` // had the basis already
	Withdrawn int64 `json:"withdrawn"` // left out: only the contact can take a withdrawal back
}
