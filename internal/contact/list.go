package contact

import (
	"errors"
	"time"

	"github.com/jatak-mail/jatak/gating"
)

// ListField is what a column of a list of contacts holds.
type ListField string

// The fields; a column may also be left out, as "".
const (
	ListEmail     ListField = "email"
	ListFirstName ListField = "first_name"
	ListLastName  ListField = "last_name"
	ListName      ListField = "name" // both; the last word is the last name
	ListCompany   ListField = "company"
	ListLanguage  ListField = "language"
	ListTimeZone  ListField = "time_zone" // IANA name
)

// ListFields lists them.
func ListFields() []ListField {
	return []ListField{ListEmail, ListFirstName, ListLastName, ListName, ListCompany, ListLanguage, ListTimeZone}
}

// ListChoices says how a list is read, and what consent it states.
type ListChoices struct {
	Encoding  string      `json:"encoding"`  // utf-8, windows-1252 or utf-16
	Separator string      `json:"separator"` // one character
	Columns   []ListField `json:"columns"`
	Names     []string    `json:"names,omitempty"` // of the columns, as the file has them
	// Basis is the E-marketing basis of everybody in the list; "" states none.
	Basis   gating.LegalBasis `json:"basis,omitempty"`
	Wording string            `json:"wording,omitempty"` // what they said yes to
	Reason  string            `json:"reason,omitempty"`  // where the list comes from
	Locale  string            `json:"locale,omitempty"`
}

// ListImport is a list that somebody uploads, and how far it has come.
type ListImport struct {
	ID       int64
	FileName string
	Size     int64
	State    ImportState
	Actor    string
	Choices  ListChoices
	Rows     int64 // checked or taken
	Bytes    int64 // of the file that they are
	Counts   ListCounts
	Problem  string
	Created  time.Time
	Finished *time.Time
}

// ImportState is where an import stands.
type ImportState string

// The states.
const (
	ImportUploading ImportState = "uploading"
	ImportUploaded  ImportState = "uploaded"
	ImportChecking  ImportState = "checking"
	ImportChecked   ImportState = "checked"
	ImportRunning   ImportState = "running"
	ImportFinished  ImportState = "finished"
	ImportFailed    ImportState = "failed"
	ImportCancelled ImportState = "cancelled"
)

// ListCounts counts what became, or would become, of the rows.
type ListCounts struct {
	Added     int64 `json:"added"`
	Changed   int64 `json:"changed"`
	Unchanged int64 `json:"unchanged"`
	Refused   int64 `json:"refused"`
	Warned    int64 `json:"warned"`   // taken, but not all of it
	Consents  int64 `json:"consents"` // taken into the ledger
}

// ListRow is a person of a list. Fields that are "" leave what is there.
type ListRow struct {
	Line                         int64
	Email                        string
	Address                      Address
	Digest                       []byte
	FirstName, LastName, Company string
	Language, TimeZone           string
	Raw                          string // the row as it was, what is no text shown as U+FFFD
}

// ListRefusal is a row that was not taken or, when Kept, not all of it.
type ListRefusal struct {
	Line           int64
	Column, Reason string
	Detail         string
	Kept           bool
	Row            string
}

// ListReason is why rows were not taken, or not whole, and how many.
type ListReason struct {
	Reason string
	Rows   int64
}

// ListChunk is the next part of a list.
type ListChunk struct {
	Import   int64
	State    ImportState // checking keeps nothing of the people
	Before   int64       // rows before it
	Through  int64       // rows with it
	Bytes    int64
	Rows     []ListRow
	Refusals []ListRefusal
	Choices  ListChoices
	Actor    string
	Now      time.Time
	Lease    time.Time
}

// ErrImportLost says that an import is no longer ours: it was cancelled, or
// somebody else goes on with it.
var ErrImportLost = errors.New("the import was taken over or cancelled")
