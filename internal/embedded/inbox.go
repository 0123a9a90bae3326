package embedded

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"net"
	"net/mail"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/emersion/go-smtp"
)

// mostMessage is the largest message that the inbox takes, in bytes.
const mostMessage = 25 << 20

// InboxOptions say where the inbox is.
type InboxOptions struct {
	// Dir holds inbox.mbox, which is gone on with if it is there.
	Dir string
	Log *slog.Logger // nil for none
}

// InboxMessage is a mail that was caught.
type InboxMessage struct {
	Number    int // from 1, in order of arrival
	From      string
	To        []string // of the envelope
	MessageID string
	Subject   string // decoded
	Arrived   time.Time

	offset, length int64 // in the file, without the mbox line
}

// Inbox is a mail server that delivers nothing: whatever is sent to whomever
// ends in one mbox file (RFC 4155, quoted the mboxrd way), and on a page.
type Inbox struct {
	server   *smtp.Server
	listener net.Listener
	file     *os.File
	holding  *os.File // the lock
	served   chan error

	mu       sync.RWMutex
	messages []InboxMessage
	size     int64
}

// StartInbox opens the inbox and listens on a free port of this machine.
func StartInbox(_ context.Context, options InboxOptions) (_ *Inbox, err error) {
	if err := os.MkdirAll(options.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("inbox: %w", err)
	}
	i := &Inbox{served: make(chan error, 1)}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("inbox: %w", err), i.closeFiles())
		}
	}()
	if i.holding, err = lock(filepath.Join(options.Dir, "inbox.lock")); err != nil {
		return nil, err
	}
	i.file, err = os.OpenFile(filepath.Join(options.Dir, "inbox.mbox"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := i.index(); err != nil {
		return nil, err
	}
	i.listener, err = net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	i.server = smtp.NewServer(smtp.BackendFunc(func(*smtp.Conn) (smtp.Session, error) { return &inboxSession{inbox: i}, nil }))
	i.server.Domain = "inbox.jatak.invalid"
	i.server.EnableSMTPUTF8 = true
	i.server.MaxMessageBytes = mostMessage
	i.server.ReadTimeout, i.server.WriteTimeout = 5*time.Minute, time.Minute
	i.server.ErrorLog = inboxLog{options.Log}
	go func() { i.served <- i.server.Serve(i.listener) }()
	return i, nil
}

// inboxLog hands the server's own lines to ours.
type inboxLog struct{ to *slog.Logger }

func (l inboxLog) Printf(format string, v ...any) { l.Println(fmt.Sprintf(format, v...)) }
func (l inboxLog) Println(v ...any) {
	if l.to != nil {
		l.to.Debug("inbox: " + fmt.Sprint(v...))
	}
}

// SMTPAddr is host and port of the mail server.
func (i *Inbox) SMTPAddr() string { return i.listener.Addr().String() }

// Close ends the mail server and closes the file.
func (i *Inbox) Close() error {
	// A server that has not begun to serve does not know its listener yet.
	_ = i.listener.Close()
	err := i.server.Close()
	if errors.Is(err, net.ErrClosed) {
		err = nil
	}
	<-i.served
	return errors.Join(err, i.closeFiles())
}

func (i *Inbox) closeFiles() (err error) {
	for _, f := range []*os.File{i.file, i.holding} {
		if f != nil {
			err = errors.Join(err, f.Close())
		}
	}
	return err
}

// All yields every message in order of arrival.
func (i *Inbox) All() iter.Seq[InboxMessage] {
	return func(yield func(InboxMessage) bool) {
		for n := 0; ; n++ {
			i.mu.RLock()
			if n >= len(i.messages) {
				i.mu.RUnlock()
				return
			}
			m := i.messages[n]
			i.mu.RUnlock()
			if !yield(m) {
				return
			}
		}
	}
}

// Len returns how many messages there are.
func (i *Inbox) Len() int {
	i.mu.RLock()
	defer i.mu.RUnlock()
	return len(i.messages)
}

// Message returns a message by its number.
func (i *Inbox) Message(number int) (m InboxMessage, ok bool) {
	i.mu.RLock()
	defer i.mu.RUnlock()
	if number < 1 || number > len(i.messages) {
		return m, false
	}
	return i.messages[number-1], true
}

// Raw returns the whole text of a message, with LF line ends. It begins with
// what the envelope said: Return-Path and Delivered-To.
func (i *Inbox) Raw(m InboxMessage) ([]byte, error) {
	quoted := make([]byte, m.length)
	if _, err := i.file.ReadAt(quoted, m.offset); err != nil {
		return nil, fmt.Errorf("read message %d: %w", m.Number, err)
	}
	return unquoteFrom(quoted), nil
}

// inboxSession is one conversation.
type inboxSession struct {
	inbox *Inbox
	from  string
	to    []string
}

func (s *inboxSession) Mail(from string, _ *smtp.MailOptions) error {
	s.from = from
	return nil
}

func (s *inboxSession) Rcpt(to string, _ *smtp.RcptOptions) error {
	s.to = append(s.to, to)
	return nil
}

func (s *inboxSession) Data(r io.Reader) error {
	raw, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	return s.inbox.keep(s.from, s.to, raw)
}

func (s *inboxSession) Reset()        { s.from, s.to = "", nil }
func (s *inboxSession) Logout() error { return nil }

// keep appends a message to the file.
func (i *Inbox) keep(from string, to []string, raw []byte) error {
	now := time.Now().UTC()
	var b bytes.Buffer
	sender := from
	if sender == "" {
		sender = "MAILER-DAEMON"
	}
	fmt.Fprintf(&b, "From %s %s\n", sender, now.Format(time.ANSIC))
	head := int64(b.Len())
	fmt.Fprintf(&b, "Return-Path: <%s>\n", from)
	for _, t := range to {
		fmt.Fprintf(&b, "Delivered-To: %s\n", t)
	}
	b.Write(quoteFrom(bytes.ReplaceAll(raw, []byte("\r\n"), []byte("\n"))))
	if !bytes.HasSuffix(b.Bytes(), []byte("\n")) {
		b.WriteByte('\n')
	}
	length := int64(b.Len()) - head
	b.WriteByte('\n')

	m := describe(b.Bytes()[head:])
	m.Arrived, m.length = now, length
	i.mu.Lock()
	defer i.mu.Unlock()
	if _, err := i.file.WriteAt(b.Bytes(), i.size); err != nil {
		return &smtp.SMTPError{Code: 452, EnhancedCode: smtp.EnhancedCode{4, 3, 1}, Message: "the inbox cannot be written: " + err.Error()}
	}
	m.offset, m.Number = i.size+head, len(i.messages)+1
	i.size += int64(b.Len())
	i.messages = append(i.messages, m)
	return nil
}

// quoteFrom quotes lines that an mbox would take for the next message.
func quoteFrom(text []byte) []byte {
	if !bytes.Contains(text, []byte("From ")) {
		return text
	}
	lines := bytes.SplitAfter(text, []byte("\n"))
	for n, line := range lines {
		if bytes.HasPrefix(bytes.TrimLeft(line, ">"), []byte("From ")) {
			lines[n] = append([]byte(">"), line...)
		}
	}
	return bytes.Join(lines, nil)
}

func unquoteFrom(text []byte) []byte {
	if !bytes.Contains(text, []byte(">From ")) {
		return text
	}
	lines := bytes.SplitAfter(text, []byte("\n"))
	for n, line := range lines {
		if bytes.HasPrefix(line, []byte(">")) && bytes.HasPrefix(bytes.TrimLeft(line, ">"), []byte("From ")) {
			lines[n] = line[1:]
		}
	}
	return bytes.Join(lines, nil)
}

// index reads what an earlier start left. A message that was cut off by a crash
// is dropped.
func (i *Inbox) index() error {
	r := bufio.NewReaderSize(i.file, 1<<20)
	var at, start int64 // of the line, and of the message
	var arrived time.Time
	var text []byte
	open, blank := false, true
	finish := func(end int64) {
		if !open {
			return
		}
		m := describe(text)
		m.Number, m.Arrived, m.offset, m.length = len(i.messages)+1, arrived, start, end-start
		i.messages = append(i.messages, m)
		i.size = end + 1
	}
	for {
		line, err := r.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		if blank && bytes.HasPrefix(line, []byte("From ")) {
			finish(at - 1)
			if fields := strings.Fields(string(line)); len(fields) > 6 {
				arrived, _ = time.Parse(time.ANSIC, strings.Join(fields[2:], " "))
			}
			text, open, start = text[:0], true, at+int64(len(line))
		} else {
			text = append(text, line...)
		}
		at += int64(len(line))
		blank = len(line) == 1
	}
	if blank {
		finish(at - 1)
	}
	return i.file.Truncate(i.size)
}

// describe reads the header of a message that was kept.
func describe(text []byte) (m InboxMessage) {
	parsed, err := mail.ReadMessage(bytes.NewReader(text))
	if err != nil {
		return m
	}
	m.From = strings.Trim(parsed.Header.Get("Return-Path"), "<>")
	m.To = parsed.Header["Delivered-To"]
	m.MessageID = parsed.Header.Get("Message-Id")
	m.Subject = decodeHeader(parsed.Header.Get("Subject"))
	return m
}
