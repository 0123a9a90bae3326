// Package mailer answers how mail leaves: it composes a message once and
// splices each recipient's copy, keeps connections to the relays, and says of
// each mail what became of it. It knows nothing of consent or campaigns: whoever
// submits a mail has decided that it may be sent.
package mailer

import (
	"errors"
	"time"
)

// Kind is what became of a mail.
type Kind int

// The kinds of outcomes.
const (
	// Later: not accepted, and worth another attempt: a 4xx reply, or a
	// connection that was lost before the mail was handed over.
	Later Kind = iota
	// Accepted: the relay has taken responsibility (2xx after the final dot).
	Accepted
	// Refused: a 5xx reply; another attempt would be refused as well.
	Refused
	// InDoubt: the connection was lost after the final dot and before the
	// reply. The relay may or may not have the mail (RFC 1047).
	InDoubt
	// Unsent: the mail has not left, and nobody has said a word about it: the
	// relay takes no mail now, or the mail may no longer leave. It is as if it had
	// not been submitted.
	Unsent
)

func (k Kind) String() string {
	return [...]string{"later", "accepted", "refused", "in doubt", "unsent"}[k]
}

// Blame is whose doing it is that a mail was not accepted.
type Blame int

// Who may be to blame.
const (
	// BlameMail: the message, where it goes, or nobody knows.
	BlameMail Blame = iota
	// BlameRecipient: there is no such mailbox, or it takes nothing now.
	BlameRecipient
	// BlameSender: the relay does not take mail of this sender, whoever it is to.
	BlameSender
	// BlameRelay: the relay, or the way to it.
	BlameRelay
)

func (b Blame) String() string {
	return [...]string{"mail", "recipient", "sender", "relay"}[b]
}

// Outcome is the end of an attempt to send a mail.
type Outcome struct {
	Kind     Kind
	Blame    Blame
	Code     int    // the SMTP reply code; 0 when there was no reply
	Enhanced string // the RFC 3463 code, such as 5.1.1; "" when there was none
	Text     string // the reply's text, or what went wrong
	Relay    string // its name: host and port, or socket
}

// Mail is a message on its way. Data is the whole message with CRLF line ends;
// it belongs to the pool until Done is called.
type Mail struct {
	From string // MAIL FROM; "" is the null sender
	To   string // RCPT TO
	Data []byte
	// Route is from Pool.Ready; nil lets the pool choose one by From.
	Route *Route
	// NoDots says that no line of Data begins with a dot, as in what Template makes.
	NoDots bool
	// Decided is when it was decided that the mail may leave, and Still asks once
	// more, when that is long ago: a relay may hang, and let the mail wait for
	// minutes. Still is called before the message is handed over, and the mail is
	// Unsent when it says no. Nil: the mail may wait.
	Decided time.Time
	Still   func() bool
	// Done is called once, from another goroutine, with what became of it.
	Done func(Outcome)

	attempts  int           // on connections that were lost before the mail was handed over
	stale     int           // and on those that had died before it came
	closed    int           // on connections that the relay closed with 421
	refusedBy []*relayState // relays that would not have it for reasons of their own
}

// mayLeave reports whether the mail may still leave, and asks if that was decided
// longer ago than patience.
func (m *Mail) mayLeave(patience time.Duration) bool {
	if m.Still == nil || time.Since(m.Decided) <= patience {
		return true
	}
	if !m.Still() {
		return false
	}
	m.Decided = time.Now()
	return true
}

// ErrClosed says that the pool takes no more mail.
var ErrClosed = errors.New("the mail pool is closed")

// UnreachableError says that no relay can be reached, or takes mail; the mail has
// not left.
type UnreachableError struct {
	Relay string
	Cause error
}

func (e *UnreachableError) Error() string {
	if _, refuses := errors.AsType[*refusesAll](e.Cause); refuses {
		return "the relay " + e.Relay + " takes no mail: " + e.Cause.Error()
	}
	return "the relay " + e.Relay + " cannot be reached: " + e.Cause.Error()
}

func (e *UnreachableError) Unwrap() error { return e.Cause }
