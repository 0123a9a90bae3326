package campaign

import (
	"errors"
	"time"

	"github.com/jatak-mail/jatak/gating"
	"github.com/jatak-mail/jatak/internal/contact"
)

// DraftRef names what is being written: the draft of a campaign, or a template.
type DraftRef struct {
	Template bool
	ID       int64
}

// Draft is content that is being written.
type Draft struct {
	DraftRef
	Content   Content
	State     State // of a campaign; a template is always a draft
	Version   int64 // changes with each save
	ChangedAt time.Time
	ChangedBy string
	Reached   int // the number of the step that a campaign's author has come to, from 0
}

// What a store says of a draft.
var (
	ErrConflict        = errors.New("somebody else has saved the draft meanwhile")
	ErrUnknownType     = errors.New("there is no such subscription type")
	ErrVersionNotFound = errors.New("there is no such version")
)

// Bounds of what is remembered of a draft.
const (
	// Stretch is how long the saves of one page make one version.
	Stretch = 5 * time.Minute
	// MostVersions is how many versions of a draft are kept.
	MostVersions = 50
)

// Save asks to keep a draft.
type Save struct {
	DraftRef
	Base    int64 // the version that the content was made from
	Content Content
	Actor   string
	Editor  string // the page that saves
	Action  string // what the audit log calls it
	At      time.Time
}

// Version is what a draft looked like.
type Version struct {
	Number  int64
	Content Content
	Actor   string
	Began   time.Time
	At      time.Time
}

// TestMail is a mail to try a draft with.
type TestMail struct {
	ID        int64
	Draft     DraftRef
	Content   Content
	Language  string
	Contact   contact.ID // as whom; 0: a made-up reader
	As        contact.Contact
	Address   contact.Address
	Requested time.Time
	Actor     string
	State     DeliveryState // pending, sent, failed or blocked
	Reason    gating.Reason // when blocked
	Reply     string        // of the relay
	Attempts  int
	At        time.Time
}

// Bounds of trying.
const (
	MostTestMails  = 20 // of one user within TestMailWindow
	TestMailWindow = time.Hour
	// TestMailLife is how long a test mail is remembered.
	TestMailLife = 24 * time.Hour
)

// TestMailOutcome is what became of a test mail.
type TestMailOutcome struct {
	ID     int64
	State  DeliveryState
	Reason gating.Reason
	Reply  string
	Due    time.Time // when it is tried again, while it is pending
	At     time.Time
}
