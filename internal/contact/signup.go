package contact

import (
	"errors"
	"time"

	"github.com/jatak-mail/jatak/gating"
)

// SignUp is a request to be mailed. It counts for nothing until it is
// confirmed from the mailbox.
type SignUp struct {
	Email               string // as it was written
	Address             Address
	Digest              []byte // the keyed hash of Address
	FirstName, LastName string
	Purpose             gating.Purpose
	Types               []gating.TypeID // that were chosen
	Wording             string          // the words that were shown
	Locale              string
	Network             []byte // keyed hash of the network it comes from
	Now                 time.Time
	Life                time.Duration // how long it may be confirmed
}

// Bounds of sign-ups, so that a form cannot be used to bomb a mailbox.
const (
	// MostNotices is how many mails of one kind a contact is sent within
	// NoticeWindow.
	MostNotices  = 3
	NoticeWindow = 24 * time.Hour
	// MostSignUps is how many sign-ups one network may make within SignUpWindow.
	MostSignUps  = 20
	SignUpWindow = time.Hour
)

// SignUpResult says what became of a sign-up. It is for the log: who signs up
// is told the same whatever it is.
type SignUpResult string

// The results.
const (
	SignUpKept       SignUpResult = "kept"        // a confirmation mail is on its way
	SignUpLimited    SignUpResult = "limited"     // too many for the address or the network
	SignUpSuppressed SignUpResult = "suppressed"  // the address must not be mailed
	SignUpBadPurpose SignUpResult = "bad_purpose" // the purpose is not in use
)

// PendingSignUp is a sign-up as its confirmation page shows it.
type PendingSignUp struct {
	Address   Address
	Wording   string
	Locale    string
	Types     []TypeChoice
	Expired   bool
	Confirmed bool
}

// ErrExpired says that a request is too old to be confirmed.
var ErrExpired = errors.New("the request is too old")

// NoticeKind is what a mail that we send by ourselves is about.
type NoticeKind string

// The kinds of notices.
const (
	NoticeConfirm NoticeKind = "confirm" // please confirm your sign-up
	NoticeLink    NoticeKind = "link"    // a fresh link to the manage page
	NoticeAdded   NoticeKind = "added"   // you were added
	// You have withdrawn on the page; was it you?
	NoticeWithdrawn NoticeKind = "withdrawn"
)

// Notice is such a mail, claimed to be sent.
type Notice struct {
	ID       int64
	Kind     NoticeKind
	SignUp   int64     // of a confirmation
	Expires  time.Time // of what its link leads to; zero when that has its own time
	Locale   string
	Attempts int // this one included
	Recipient
}

// NoticeOutcome is what became of it.
type NoticeOutcome struct {
	ID     int64
	State  string // sent, failed, blocked, or pending to be tried again
	Reason gating.Reason
	Reply  string
	Due    time.Time // when pending
	At     time.Time
}

// Wording is a version of the words that a purpose is asked for with.
type Wording struct {
	Version  int64          `json:"version"`
	Purpose  gating.Purpose `json:"purpose"`
	Language string         `json:"language"`
	Hash     string         `json:"hash"` // SHA-256 in hexadecimal: what a form sends
	Text     string         `json:"text"`
	Actor    string         `json:"actor"`
	At       time.Time      `json:"at"`
}
