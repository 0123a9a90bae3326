package campaign

import (
	"time"

	"github.com/jatak-mail/jatak/gating"
	"github.com/jatak-mail/jatak/internal/contact"
)

// Summary is a campaign as a list shows it, without its content.
type Summary struct {
	ID                                              ID
	Name                                            string
	State                                           State
	TypeKey                                         string
	PauseReason                                     string
	Audience                                        int64     // planned so far
	Created, Scheduled, Launched, Planned, Finished time.Time // zero until it happens
	Local                                           LocalTime // as a Campaign's
}

// ListFilter picks campaigns of a list.
type ListFilter struct {
	States []State // none: any
	Name   string  // a part of it
	Limit  int
	Offset int
}

// Progress is a campaign's books at a moment while it runs.
type Progress struct {
	Report
	Recent  int64 // sent within the last RecentWindow
	Workers int64 // that are alive, for all campaigns
	// Trouble is which relay takes no mail at this moment, and why, when none does
	// of any worker.
	Trouble string
}

// RecentWindow is what the present rate of sending is measured over.
const RecentWindow = 10 * time.Second

// Departure is a part of a campaign that waits until it is its time where the
// recipients are.
type Departure struct {
	At     time.Time
	People int64
}

// Trouble is a kind of reply that mails got, with how many got it.
type Trouble struct {
	Domain   string // of the addresses; "" when the trouble is not told by domain
	Code     int
	Enhanced string // RFC 3463
	Reply    string // the newest of them
	Count    int64
	At       time.Time // when the newest came; of deferred mails, when the next is due
}

// Hour counts what happened within an hour.
type Hour struct {
	At                      time.Time // its beginning
	Sent, Failed, Withdrawn int64
}

// Slice is a part of the books: that of a destination domain or a language.
type Slice struct {
	Name                                                 string
	All, Sent, Failed, Open, InDoubt, Cancelled, Blocked int64
}

// Add adds another part.
func (s *Slice) Add(o Slice) {
	s.All += o.All
	s.Sent += o.Sent
	s.Failed += o.Failed
	s.Open += o.Open
	s.InDoubt += o.InDoubt
	s.Cancelled += o.Cancelled
	s.Blocked += o.Blocked
}

// Account is the whole of a campaign's books.
type Account struct {
	Report
	Hours     []Hour  // those in which something happened, the first first
	Domains   []Slice // the largest; see Others
	Others    Slice   // all other domains together, without a name
	Languages []Slice
	Failures  []Trouble // why mails failed: by reply code, the newest first
	Withdrawn int64     // by this campaign's mails, until now
	Lifted    int64     // who got past the gate by an override
}

// BookingFilter picks people of a campaign's books. Zero fields pick all.
type BookingFilter struct {
	State    DeliveryState
	Reason   gating.Reason
	Domain   string
	Language string // "-" picks those without
	Code     int    // of the last reply
	// Withdrawn picks those who have withdrawn by this campaign's mail.
	Withdrawn bool
	// Lifted picks those who got past the gate by an override.
	Lifted bool
}

// Position is a place in a campaign's books, to go on from.
type Position struct {
	Batch   int
	Contact contact.ID
}

// BookedPerson is a person of the books with what became of their mail.
type BookedPerson struct {
	Booking
	Language string
	Position Position
	At       time.Time // when the state last changed
	Code     int
	Enhanced string
	Reply    string
}
