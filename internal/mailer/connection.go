package mailer

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/wneessen/go-mail/smtp"
	"golang.org/x/net/idna"
)

// connection is one conversation with a relay. go-mail dials, encrypts and
// authenticates; the transactions are ours, because only so do we know in which
// phase a connection was lost, and because pipelining (RFC 2920) lets the next
// envelope travel with a mail's final dot: one round trip for each mail.
type connection struct {
	client    *smtp.Client
	relay     *relayState
	pipelines bool
	utf8      bool  // the relay takes SMTPUTF8 (RFC 6531)
	eightBit  bool  // and 8BITMIME (RFC 6152)
	notifies  bool  // and DSN (RFC 3461), and is asked for it
	sizes     bool  // and SIZE (RFC 1870)
	largest   int64 // the largest message it takes; 0 when it does not say
	reset     bool  // the last transaction is still open
	carried   bool  // a mail has come to its end here
	mails     int   // that were taken
	answered  bool  // and the relay has answered since the newest began
	rested    bool  // it had waited for the newest for a while
	closing   reply // the 421 by which the relay has closed it, if it has
	leaving   bool  // the connection is to be closed, and others have its place
	write     []byte
}

// reply is a relay's answer.
type reply struct {
	code     int
	enhanced string
	text     string
}

// String is the reply as a log may have it.
func (r reply) String() string {
	return WithoutAddresses(fmt.Sprintf("%d %s %s", r.code, r.enhanced, r.text))
}

// WithoutAddresses returns what a relay says without the e-mail addresses in it, for
// logs.
func WithoutAddresses(says string) string {
	words := strings.Fields(says)
	for i, w := range words {
		if strings.Contains(w, "@") {
			words[i] = "…"
		}
	}
	return strings.Join(words, " ")
}

func newConnection(client *smtp.Client, relay *relayState) *connection {
	c := &connection{client: client, relay: relay}
	c.pipelines, _ = client.Extension("PIPELINING")
	c.utf8, _ = client.Extension("SMTPUTF8")
	c.eightBit, _ = client.Extension("8BITMIME")
	if len(relay.Notify) > 0 {
		c.notifies, _ = client.Extension("DSN")
	}
	var most string
	if c.sizes, most = client.Extension("SIZE"); c.sizes {
		c.largest, _ = strconv.ParseInt(strings.TrimSpace(most), 10, 64)
	}
	return c
}

// quit says goodbye without waiting long for an answer.
func (c *connection) quit() {
	_ = c.client.UpdateDeadline(time.Second)
	if _, err := c.client.Text.W.WriteString("QUIT\r\n"); err == nil && c.client.Text.W.Flush() == nil {
		_, _ = c.read()
	}
	_ = c.client.Close()
}

// refusal says why a mail cannot even be offered to this relay, or nil.
func (c *connection) refusal(m *Mail) *Outcome {
	refused := func(enhanced, text string) *Outcome {
		return &Outcome{Kind: Refused, Enhanced: enhanced, Text: text, Relay: c.relay.name}
	}
	for _, a := range []string{m.From, m.To} {
		if strings.ContainsAny(a, "<>\r\n\x00 \t") || !utf8.ValidString(a) {
			return refused("5.6.7", "the address holds a character that SMTP does not take")
		}
		if !c.utf8 && !isASCII(c.spelled(a)) {
			return refused("5.6.7", "the relay does not take addresses with letters beyond ASCII (SMTPUTF8)")
		}
	}
	if c.largest > 0 && int64(len(m.Data)) > c.largest {
		return refused("5.3.4", fmt.Sprintf("the message has %d bytes, and the relay takes %d at most", len(m.Data), c.largest))
	}
	if !c.eightBit && hasEightBit(m.Data) {
		return refused("5.6.3", "the message has bytes beyond ASCII, and the relay does not take them (8BITMIME)")
	}
	return nil
}

// spelled writes an address as the relay takes it: where it knows no SMTPUTF8,
// with the domain's letters beyond ASCII as IDNA has them.
func (c *connection) spelled(address string) string {
	if c.utf8 {
		return address
	}
	return asciiDomain(address)
}

// asciiDomain writes the domain of an address, or a domain alone, as IDNA has it.
// One that IDNA does not know stays as it is.
func asciiDomain(address string) string {
	if isASCII(address) {
		return address
	}
	at := strings.LastIndexByte(address, '@') + 1
	ascii, err := idna.Lookup.ToASCII(address[at:])
	if err != nil {
		return address
	}
	return address[:at] + ascii
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// hasEightBit reports whether data has bytes beyond ASCII, eight at a time.
func hasEightBit(data []byte) bool {
	const high = 0x8080808080808080
	for len(data) >= 8 {
		if binary.NativeEndian.Uint64(data)&high != 0 {
			return true
		}
		data = data[8:]
	}
	for _, b := range data {
		if b >= utf8.RuneSelf {
			return true
		}
	}
	return false
}

// appendEnvelope appends the commands that open a transaction, and returns
// where each ends.
func (c *connection) appendEnvelope(dst []byte, m *Mail) (commands []byte, ends [3]int) {
	dst = append(dst, "MAIL FROM:<"...)
	dst = append(dst, c.spelled(m.From)...)
	dst = append(dst, '>')
	if c.sizes {
		dst = append(dst, " SIZE="...)
		dst = strconv.AppendInt(dst, int64(len(m.Data)), 10)
	}
	if c.eightBit && hasEightBit(m.Data) {
		dst = append(dst, " BODY=8BITMIME"...)
	}
	if c.utf8 && !(isASCII(m.From) && isASCII(m.To)) {
		dst = append(dst, " SMTPUTF8"...)
	}
	if c.notifies {
		dst = append(dst, " RET=HDRS"...)
		if id := messageID(m.Data); len(id) > 0 {
			dst = appendXtext(append(dst, " ENVID="...), id)
		}
	}
	dst = append(dst, "\r\n"...)
	ends[0] = len(dst)
	dst = append(dst, "RCPT TO:<"...)
	dst = append(dst, c.spelled(m.To)...)
	dst = append(dst, '>')
	if c.notifies {
		dst = append(dst, " NOTIFY="...)
		dst = append(dst, strings.Join(c.relay.Notify, ",")...)
	}
	dst = append(dst, "\r\n"...)
	ends[1] = len(dst)
	dst = append(dst, "DATA\r\n"...)
	ends[2] = len(dst)
	return dst, ends
}

// messageID returns what names a message: its Message-ID without brackets, or
// nothing.
func messageID(data []byte) []byte {
	header, _, _ := bytes.Cut(data, []byte("\r\n\r\n"))
	_, id, _ := bytes.Cut(header, []byte("\r\nMessage-ID: <"))
	id, _, _ = bytes.Cut(id, []byte(">"))
	return id
}

// longestEnvelopeID is RFC 3461 section 4.4's.
const longestEnvelopeID = 100

// appendXtext appends text as RFC 3461 section 4 writes it, if it is short
// enough for an envelope id.
func appendXtext(dst, text []byte) []byte {
	begin := len(dst)
	for _, c := range text {
		if c > ' ' && c < 0x7f && c != '+' && c != '=' {
			dst = append(dst, c)
		} else {
			dst = fmt.Appendf(dst, "+%02X", c)
		}
	}
	return dst[:min(len(dst), begin+longestEnvelopeID)]
}

// errLost says that the connection broke before the mail was handed over.
var errLost = errors.New("the connection was lost")

// open begins a transaction. It returns the outcome when the relay refuses
// the envelope, and nil when it waits for the message. An error means that the
// connection is lost and the mail was not handed over. With announced the
// commands have been written with the mail before.
func (c *connection) open(m *Mail, announced bool) (*Outcome, error) {
	c.answered = false
	if !announced {
		err := c.inStep()
		c.answered = false // what it says of itself is no answer
		if err != nil {
			return nil, err
		}
	}
	if c.pipelines {
		if !announced {
			c.write, _ = c.appendEnvelope(c.write[:0], m)
			if err := c.flush(c.write); err != nil {
				return nil, err
			}
		}
		return c.readEnvelope()
	}
	commands, ends := c.appendEnvelope(nil, m)
	from := 0
	for i, end := range ends {
		r, err := c.command(string(commands[from:end]))
		from = end
		if err != nil {
			return nil, err
		}
		if isOutOfStep(r, step(i)) {
			return nil, outOfStep(r)
		}
		if !accepts(r, step(i)) {
			c.reset = i > 0
			return c.outcome(step(i), r), nil
		}
	}
	return nil, nil
}

// readEnvelope reads the replies to a pipelined envelope.
func (c *connection) readEnvelope() (*Outcome, error) {
	var refused *reply
	var at step
	for i := range atDot {
		r, err := c.read()
		switch {
		case err != nil && refused != nil:
			return c.outcome(at, *refused), nil // the next mail finds out that the connection is lost
		case err != nil:
			return nil, err
		case refused == nil && isOutOfStep(r, i):
			return nil, outOfStep(r)
		case refused == nil && !accepts(r, i):
			refused, at = &r, i
			c.reset = i > 0
			if r.code == 421 {
				return c.outcome(at, r), nil // the relay closes, and answers no more
			}
		case refused != nil && r.code == 421:
			c.closing = r
			return c.outcome(at, *refused), nil
		case refused != nil && i == atData && r.code == 354:
			// RFC 2920 section 3.1: end the message that nobody is to get.
			if _, err := c.command(".\r\n"); err != nil {
				return nil, err
			}
			c.reset = false
		}
	}
	if refused != nil {
		return c.outcome(at, *refused), nil
	}
	return nil, nil
}

// abandon ends a transaction that the relay has refused in the middle. RSET cannot be
// refused (RFC 5321 section 4.1.1.5): a relay that does so holds on to the envelope,
// and would refuse the next mail for it.
func (c *connection) abandon() error {
	if c.closing.code != 0 {
		return c.left(c.closing)
	}
	if !c.reset {
		return nil
	}
	c.reset = false
	r, err := c.command("RSET\r\n")
	switch {
	case err == nil && r.code == 421:
		err = c.left(r)
	case err == nil && r.code/100 != 2:
		err = fmt.Errorf("%w: the relay refuses RSET: %s", errLost, r)
	}
	return err
}

// farewell is the end of a connection that the relay has closed between two mails,
// with its words: of an idle one, say, or after too many refusals.
type farewell struct{ reply }

func (f *farewell) Error() string { return "the relay has closed the connection: " + f.reply.String() }

func (f *farewell) Unwrap() error { return errLost }

// left is the end that a 421 brings (RFC 5321 section 3.8). It is a farewell, and no
// trouble, where the relay has taken mails or has been left waiting.
func (c *connection) left(r reply) error {
	if c.isProven() {
		return &farewell{r}
	}
	return fmt.Errorf("%w: %s", errLost, r)
}

// isProven reports whether an end of the connection, before the relay has answered,
// says nothing of the relay.
func (c *connection) isProven() bool { return c.carried || c.rested }

// accepts reports whether the reply to a step is good.
func accepts(r reply, at step) bool {
	if at == atData {
		return r.code == 354
	}
	return r.code/100 == 2
}

// isOutOfStep reports whether a reply neither takes nor refuses the command: who
// answers so answers something else, and nothing it says counts as a mail accepted.
func isOutOfStep(r reply, at step) bool {
	return !accepts(r, at) && r.code/100 != 4 && r.code/100 != 5
}

func outOfStep(r reply) error {
	return fmt.Errorf("%w: the relay's reply is for something else: %s", errLost, r)
}

// inStep holds a relay from which no reply is outstanding to having sent none: the
// next ones would be taken for those of the wrong command.
func (c *connection) inStep() error {
	if c.client.Text.R.Buffered() == 0 {
		return nil
	}
	if r, err := c.read(); err == nil && r.code == 421 {
		return c.left(r)
	}
	return fmt.Errorf("%w: the relay says what nobody asked for", errLost)
}

// hand writes the message and its final dot, and with it the envelope of the
// next mail if there is one. Once the dot is written a loss is a doubt: nobody
// knows how much the relay has read. Before, it is errLost.
func (c *connection) hand(m, next *Mail) (announced bool, err error) {
	if err := c.inStep(); err != nil {
		return false, err
	}
	out := m.Data // behind it is room, mostly
	if !m.NoDots {
		c.write = appendStuffed(c.write[:0], m.Data)
		out = c.write
	}
	if !bytes.HasSuffix(m.Data, []byte("\r\n")) {
		out = append(out, "\r\n"...)
	}
	out = append(out, ".\r\n"...)
	message := len(out)
	if next != nil && c.pipelines {
		out, _ = c.appendEnvelope(out, next)
		announced = true
	}
	_ = c.client.UpdateDeadline(5 * c.relay.Timeout) // RFC 5321 section 4.5.3.2.6 asks for patience here
	n, err := c.client.Text.W.Write(out)
	if err == nil {
		err = c.client.Text.W.Flush()
	} else if n < message {
		err = fmt.Errorf("%w: %w", errLost, err)
	}
	return announced, err
}

// appendStuffed doubles dots at the beginning of lines (RFC 5321 section
// 4.5.2). Messages of Template have none.
func appendStuffed(dst, data []byte) []byte {
	if bytes.HasPrefix(data, []byte(".")) {
		dst = append(dst, '.')
	}
	for {
		i := bytes.Index(data, []byte("\n."))
		if i < 0 {
			return append(dst, data...)
		}
		dst = append(dst, data[:i+2]...)
		dst = append(dst, '.')
		data = data[i+2:]
	}
}

// confirm reads the reply to the final dot.
func (c *connection) confirm() (*Outcome, error) {
	r, err := c.read()
	if err != nil {
		return nil, err
	}
	if isOutOfStep(r, atDot) {
		return nil, outOfStep(r)
	}
	return c.outcome(atDot, r), nil
}

func (c *connection) command(line string) (reply, error) {
	if err := c.flush([]byte(line)); err != nil {
		return reply{}, err
	}
	return c.read()
}

func (c *connection) flush(b []byte) error {
	_ = c.client.UpdateDeadline(c.relay.Timeout)
	if _, err := c.client.Text.W.Write(b); err != nil {
		return fmt.Errorf("%w: %w", errLost, err)
	}
	if err := c.client.Text.W.Flush(); err != nil {
		return fmt.Errorf("%w: %w", errLost, err)
	}
	return nil
}

// Bounds of a reply, in bytes, against a relay that never ends one.
const (
	longestReply  = 64 << 10
	mostReplyText = 500
)

// read reads one reply (RFC 5321 section 4.2), which may have many lines.
func (c *connection) read() (reply, error) {
	var r reply
	var text []byte
	for size := 0; size < longestReply; {
		line, err := c.client.Text.R.ReadSlice('\n')
		begins := line
		for size += len(line); errors.Is(err, bufio.ErrBufferFull) && size < longestReply; size += len(line) {
			begins = bytes.Clone(begins[:min(len(begins), mostReplyText)])
			line, err = c.client.Text.R.ReadSlice('\n') // the rest of a line of which the beginning says enough
		}
		if err != nil {
			return r, fmt.Errorf("%w: %w", errLost, err)
		}
		line = bytes.TrimRight(begins, "\r\n")
		if len(line) < 3 || !isDigits(line[:3]) || len(line) > 3 && line[3] != ' ' && line[3] != '-' {
			return r, fmt.Errorf("%w: the relay speaks no SMTP", errLost)
		}
		r.code = int(line[0]-'0')*100 + int(line[1]-'0')*10 + int(line[2]-'0')
		last := len(line) == 3 || line[3] == ' '
		if len(line) > 4 && len(text) < mostReplyText {
			if len(text) > 0 {
				text = append(text, ' ')
			}
			text = append(text, line[4:]...)
		}
		if last {
			r.text = strings.Map(printable, string(text[:min(len(text), mostReplyText)]))
			r.enhanced, r.text = cutEnhanced(r.code, r.text)
			c.answered = true
			return r, nil
		}
	}
	return r, fmt.Errorf("%w: the relay's reply does not end", errLost)
}

// printable replaces what a reply should not hold, and a ledger or log cannot: bytes
// that are no UTF-8, and control characters.
func printable(r rune) rune {
	if r == utf8.RuneError || unicode.IsControl(r) {
		return '?'
	}
	return r
}

func isDigits(b []byte) bool {
	for _, c := range b {
		if c < '0' || c > '9' {
			return false
		}
	}
	return true
}

// cutEnhanced cuts an RFC 3463 code, of the reply's class, off the text.
func cutEnhanced(code int, text string) (enhanced, rest string) {
	first, rest, _ := strings.Cut(text, " ")
	parts := strings.Split(first, ".")
	if len(parts) != 3 || parts[0] != string(rune('0'+code/100)) {
		return "", text
	}
	for _, p := range parts {
		if p == "" || len(p) > 3 || !isDigits([]byte(p)) {
			return "", text
		}
	}
	return first, rest
}

// outcome says what a reply means for the mail.
func (c *connection) outcome(at step, r reply) *Outcome {
	o := &Outcome{Code: r.code, Enhanced: r.enhanced, Text: r.text, Relay: c.relay.name}
	o.Kind, o.Blame = class(at, r)
	return o
}
