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
	States []State   // none: any
	Name   string    // a part of it
	Before time.Time // they were launched before; zero: at any time, or not at all
	Limit  int
	Offset int
}

// Progress is a campaign's books at a moment while it runs.
type Progress struct {
	Report
	Rate    float64 // mails sent a second just now
	Workers int64   // that are alive, for all campaigns
	// Trouble is which relay takes no mail at this moment, and why, when none does
	// of any worker.
	Trouble string
}

// RecentWindow is what the present rate of sending is measured over, or less
// when it began or went on later.
const RecentWindow = 30 * time.Second

// leastWindow is what it is measured over at least.
const leastWindow = 2 * time.Second

// RateOf is the rate of so many mails of which the first was sent then.
func RateOf(mails int64, first, now time.Time) float64 {
	if mails == 0 {
		return 0
	}
	return float64(mails) / max(now.Sub(first), leastWindow).Seconds()
}

// Departure is a part of a campaign that waits until it is its time where the
// recipients are.
type Departure struct {
	At     time.Time
	People int64
}

// Trouble is a kind of reply that mails got, with how many got it.
type Trouble struct {
	Destination string // as of a Slice; "" when the trouble is not told by destination
	Code        int
	Enhanced    string // RFC 3463
	Reply       string // the newest of them
	Count       int64
	At          time.Time // when the newest came; of deferred mails, when the next is due
}

// SpanLength is how exactly an account tells times.
const SpanLength = 5 * time.Minute

// Span counts what happened within SpanLength.
type Span struct {
	At                      time.Time // its beginning
	Sent, Failed, Withdrawn int64
}

// Slice is a part of the books: that of a destination or a language. A
// destination is a provider, as DomainsOf knows it, or a domain.
type Slice struct {
	Name                                                 string
	All, Sent, Failed, Open, InDoubt, Cancelled, Blocked int64
	Withdrawn                                            int64 // as of an Account
}

// Tried is how many mails the part is of: everybody but those kept back.
func (s Slice) Tried() int64 { return s.All - s.Blocked }

// Add adds another part.
func (s *Slice) Add(o Slice) {
	s.All += o.All
	s.Sent += o.Sent
	s.Failed += o.Failed
	s.Open += o.Open
	s.InDoubt += o.InDoubt
	s.Cancelled += o.Cancelled
	s.Blocked += o.Blocked
	s.Withdrawn += o.Withdrawn
}

// Account is the whole of a campaign's books.
type Account struct {
	Report
	Spans        []Span  // those in which something happened, the first first
	Destinations []Slice // the largest first; see Others
	Others       Slice   // all other destinations together, without a name
	OtherCount   int64   // how many destinations those are
	Languages    []Slice
	Failures     []Trouble // why mails failed: by reply code, the newest first
	Withdrawals
	Lifted int64 // who got past the gate by an override
}

// Withdrawals counts the people who have unsubscribed by a campaign's mails until
// now: from all E-marketing, or from the campaign's type.
type Withdrawals struct {
	Withdrawn  int64
	OptedOut   int64 // of them, those who left the campaign's type alone
	Complained int64 // of them, those who reported a mail as spam
}

// BookingFilter picks people of a campaign's books. Zero fields pick all.
type BookingFilter struct {
	State  DeliveryState
	Reason gating.Reason
	// Destination is a provider or a domain; "-" picks those without an address.
	Destination string
	// Beyond picks those of all other destinations than these; "" is no address.
	Beyond   []string
	Language string // "-" picks those without
	Code     int    // of the last reply
	// Withdrawn picks those whom Withdrawals counts.
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
