package contact

import "time"

// The rows of a legacy system as an import brings them. Line is where a row
// stands in its file, for the report of refused rows.

// LegacyCompany is a company of the legacy system.
type LegacyCompany struct {
	ID, Name   string
	NoMailings bool
	Line       int
}

// LegacyContact is a contact of the legacy system. Address and Digest are
// empty when Email is not one that can be mailed.
type LegacyContact struct {
	ID, Email           string
	Address             Address
	Digest              []byte // the keyed hash of Address
	FirstName, LastName string
	CompanyID           string // "" for none
	Language            string
	TimeZone            string // IANA name; "" for unknown
	NoMailings, Left    bool
	Interests           []string
	Emarketing          string // the legal basis that the row states; "" for none
	Line                int
}

// LegacyMailing says that a mailing of the legacy system concerned a contact.
type LegacyMailing struct {
	ContactID, Mailing string
	SentAt             time.Time
	Status             string
	Line               int
}

// InterestMapping says which subscription type an interest becomes.
type InterestMapping struct {
	Interest, SubscriptionType string
	Line                       int
}

// Objection says what the store found in a row.
type Objection struct {
	Line int
	Why  ObjectionKind
	Name string // what the row names, or what the ledger holds
}

// ObjectionKind is why a row was not taken, or not all of it.
type ObjectionKind string

// The kinds of objections. The last three leave only the consent out.
const (
	ObjectUnknown ObjectionKind = "unknown" // names what is not there
	ObjectErased  ObjectionKind = "erased"  // is of a person who was erased
	ObjectBasis   ObjectionKind = "basis"   // states a basis that is not in use
	ObjectRaise   ObjectionKind = "raise"   // states more than the ledger holds
	ObjectNo      ObjectionKind = "no"      // states a consent and "No mailings"
)

// Imported counts what an import did.
type Imported struct {
	Companies Counts `json:"companies"`
	Contacts  Counts `json:"contacts"`
	Mailings  Counts `json:"mailings"`
	Interests Counts `json:"interests"`
	Consents  int64  `json:"consents"` // that the rows stated and the ledger took
}

// Counts says how many rows were new and how many changed what was there.
// Unchanged rows were there already, the same.
type Counts struct {
	Added     int64 `json:"added"`
	Changed   int64 `json:"changed"`
	Unchanged int64 `json:"unchanged"`
}
