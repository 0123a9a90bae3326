package contact

import (
	"errors"
	"time"

	"github.com/jatak-mail/jatak/gating"
)

// Upgrade says how contacts of a legacy system get purposes and legal bases.
type Upgrade struct {
	Now        time.Time
	Actor      string
	DryRun     bool
	Purpose    gating.Purpose    // why contacts are stored
	StoreBasis gating.LegalBasis // for that purpose
	Threshold  int               // real e-marketing sends that make an E-marketing consent
	Types      []NewType
	Step       func(point int) // is told which point begins; nil: nobody is
}

// UpgradePoint is one of the six points of the upgrade.
type UpgradePoint int

// The points, by their numbers.
const (
	PointStored UpgradePoint = iota + 1
	PointMailed
	PointNever
	PointWithdrawn
	PointTypes
	PointLinks
)

// UpgradePoints lists them in their order.
func UpgradePoints() []UpgradePoint {
	return []UpgradePoint{PointStored, PointMailed, PointNever, PointWithdrawn, PointTypes, PointLinks}
}

// UpgradeRun is an upgrade, or a dry run of one, that was asked for.
type UpgradeRun struct {
	ID         int64
	Actor      string
	DryRun     bool
	Threshold  int
	LegacyURLs []string
	Started    time.Time
	Beat       time.Time // when whoever runs it said so last
	Step       int       // the point that is being done
	Finished   time.Time // zero while it runs
	Report     UpgradeReport
	Problem    string // why it ended without a result
}

// UpgradeReport counts what an upgrade did, or would do.
type UpgradeReport struct {
	Upgraded
	Templates      int `json:"templates"`
	LinksRewritten int `json:"links_rewritten"`
}

// ErrUpgrading says that an upgrade is under way.
var ErrUpgrading = errors.New("an upgrade is under way")

// UpgradePatience is how long a run may be silent before it counts as ended.
const UpgradePatience = time.Minute

// Bounds of a run.
const (
	MostThreshold  = 1000
	MostLegacyURLs = 50
)

// NewType is a subscription type to create unless its key is taken.
type NewType struct {
	Key   string
	Names map[string]string // by language
}

// DefaultTypes returns the four subscription types of a new installation.
func DefaultTypes() []NewType {
	return []NewType{
		{"invitations", map[string]string{"en": "Invitations", "da": "Invitationer"}},
		{"news", map[string]string{"en": "News", "da": "Nyheder"}},
		{"promotions", map[string]string{"en": "Promotions", "da": "Tilbud"}},
		{"urgent", map[string]string{"en": "Urgent messages", "da": "Vigtige meddelelser"}},
	}
}

// Upgraded counts what an upgrade did.
type Upgraded struct {
	Contacts            int64 `json:"contacts"`              // looked at: those not upgraded before
	Stored              int64 `json:"stored"`                // got the purpose store
	Emarketing          int64 `json:"emarketing"`            // mailed before: E-marketing on
	NeverMailed         int64 `json:"never_mailed"`          // no E-marketing consent written
	Withdrawn           int64 `json:"withdrawn"`             // had "No mailings"
	CompaniesNoMailings int64 `json:"companies_no_mailings"` // left as they are
	TypesCreated        int64 `json:"types_created"`
	InterestsMapped     int64 `json:"interests_mapped"`
	InterestsUnmapped   int64 `json:"interests_unmapped"` // the mapping names no type that is there
	PreferencesIn       int64 `json:"preferences_in"`
	PreferencesOut      int64 `json:"preferences_out"`
}
