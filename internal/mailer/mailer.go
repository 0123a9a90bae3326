// Package mailer answers how mail leaves: it composes a message once and
// splices each recipient's copy, keeps connections to the relays, and says of
// each mail what became of it. It knows nothing of consent or campaigns: whoever
// submits a mail has decided that it may be sent.
package mailer

import "errors"

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
)

func (k Kind) String() string {
	return [...]string{"later", "accepted", "refused", "in doubt"}[k]
}

// Outcome is the end of an attempt to send a mail.
type Outcome struct {
	Kind     Kind
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
	// Done is called once, from another goroutine, with what became of it.
	Done func(Outcome)

	attempts int // on connections that were lost before the mail was handed over
	stale    int // and on those that had died before it came
}

// ErrClosed says that the pool takes no more mail.
var ErrClosed = errors.New("the mail pool is closed")

// UnreachableError says that no relay can be reached; the mail has not left.
type UnreachableError struct {
	Relay string
	Cause error
}

func (e *UnreachableError) Error() string {
	return "the relay " + e.Relay + " cannot be reached: " + e.Cause.Error()
}

func (e *UnreachableError) Unwrap() error { return e.Cause }
