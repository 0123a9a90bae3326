// Package mailertest answers what a relay may do to us: it is an SMTP server
// for tests that follows a script, and keeps what it has accepted.
package mailertest

import (
	"bufio"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// Message is a mail that the sink has accepted.
type Message struct {
	From, To string
	// MailParameters and RcptParameters are what followed the addresses, such as
	// BODY=8BITMIME and NOTIFY=NEVER.
	MailParameters, RcptParameters string
	Login                          string // the mechanism that the sender logged in by, over TLS
	ID                             string // its Message-ID
	Data                           string // with CRLF line ends, dots undoubled
	At                             time.Time
}

// Do is what the sink does at a point of a conversation.
type Do struct {
	Reply  string // instead of the usual one
	HangUp bool   // without a reply
	Keep   bool   // with HangUp at DOT: the mail is accepted, and nobody told so
	// Wait is received from before anything is done, or until the sink closes.
	Wait <-chan struct{}
}

// Gate returns what a Do waits for until open is called, or the test has ended.
func Gate(t testing.TB) (wait <-chan struct{}, open func()) {
	gate := make(chan struct{})
	open = sync.OnceFunc(func() { close(gate) })
	t.Cleanup(open)
	return gate, open
}

// After returns what a Do waits for until the time has passed.
func After(d time.Duration) <-chan struct{} {
	passed := make(chan struct{})
	time.AfterFunc(d, func() { close(passed) })
	return passed
}

// Script decides what happens: at is CONNECT, AUTH (to is the mechanism), MAIL, RCPT, DATA, DOT or RSET, and to the
// recipient, or at MAIL the sender. nil goes the usual way.
type Script func(at, to string) *Do

// Sink is the server.
type Sink struct {
	listener net.Listener
	lmtp     bool
	secure   *secure
	script   Script
	hello    []string
	running  sync.WaitGroup
	closing  chan struct{}

	mu       sync.Mutex
	messages []Message
	open     map[net.Conn]bool
	served   int
	most     int
	light    bool
}

// Light makes the sink keep addresses, Message-IDs and times, and not the data,
// of what it accepts from now on: for many mails at full speed.
func (s *Sink) Light() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.light = true
}

// New starts a sink that is closed when the test ends. Extensions are what it
// answers to EHLO, PIPELINING among them when none are given.
func New(t testing.TB, script Script, extensions ...string) *Sink {
	t.Helper()
	return start(t, "tcp", "127.0.0.1:0", false, script, extensions)
}

// NewAt starts a sink where another was: a relay that comes back.
func NewAt(t testing.TB, address string, script Script) *Sink {
	t.Helper()
	return start(t, "tcp", address, false, script, nil)
}

// NewLMTP starts a sink that speaks LMTP (RFC 2033).
func NewLMTP(t testing.TB, script Script, extensions ...string) *Sink {
	t.Helper()
	return start(t, "tcp", "127.0.0.1:0", true, script, extensions)
}

// NewSocket starts a sink on a Unix socket, which speaks LMTP if asked to.
func NewSocket(t testing.TB, lmtp bool, script Script, extensions ...string) *Sink {
	t.Helper()
	folder, err := os.MkdirTemp("", "sink") // a socket's path must be short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(folder) })
	return start(t, "unix", filepath.Join(folder, "sink.sock"), lmtp, script, extensions)
}

func start(t testing.TB, network, address string, lmtp bool, script Script, extensions []string) *Sink {
	t.Helper()
	return startWith(t, network, address, lmtp, script, extensions, nil)
}

func startWith(t testing.TB, network, address string, lmtp bool, script Script, extensions []string, wants *secure) *Sink {
	t.Helper()
	listener, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	if len(extensions) == 0 {
		extensions = []string{"PIPELINING", "8BITMIME", "SMTPUTF8", "ENHANCEDSTATUSCODES"}
	}
	if script == nil {
		script = func(string, string) *Do { return nil }
	}
	s := &Sink{listener: listener, lmtp: lmtp, secure: wants, script: script, hello: extensions, open: map[net.Conn]bool{}, closing: make(chan struct{})}
	s.running.Go(s.accept)
	t.Cleanup(s.Close)
	return s
}

// Addr is the sink's host and port, or socket.
func (s *Sink) Addr() string { return s.listener.Addr().String() }

// URL is the sink as a relay's URL with parameters such as max_conns=2.
func (s *Sink) URL(parameters ...string) string {
	scheme := "smtp"
	if s.lmtp {
		scheme = "lmtp"
	}
	if s.listener.Addr().Network() == "unix" {
		scheme += "+unix"
	}
	who := ""
	switch {
	case s.secure != nil && s.secure.implicit:
		scheme = "smtps"
	case s.secure != nil:
		parameters = append(parameters, "starttls=required")
	}
	if s.secure != nil {
		who = url.UserPassword(User, Password).String() + "@"
		parameters = append(parameters, "tls_ca="+url.QueryEscape(s.secure.authority))
	}
	return scheme + "://" + who + s.Addr() + "?" + strings.Join(parameters, "&")
}

// Messages returns what was accepted, in order.
func (s *Sink) Messages() []Message {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Message(nil), s.messages...)
}

// Connections returns how many there were, and how many at once at most.
func (s *Sink) Connections() (all, atOnce int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.served, s.most
}

// Close hangs up on everybody.
func (s *Sink) Close() {
	if s.listener.Close() != nil {
		return // closed before
	}
	close(s.closing)
	s.mu.Lock()
	for c := range s.open {
		_ = c.Close()
	}
	s.mu.Unlock()
	s.running.Wait()
}

func (s *Sink) accept() {
	for {
		conn, err := s.listener.Accept()
		if err != nil {
			return
		}
		s.mu.Lock()
		s.served++
		s.open[conn] = true
		s.most = max(s.most, len(s.open))
		s.mu.Unlock()
		s.running.Go(func() {
			s.converse(conn)
			_ = conn.Close()
			s.mu.Lock()
			delete(s.open, conn)
			s.mu.Unlock()
		})
	}
}

func (s *Sink) converse(conn net.Conn) {
	r, w := bufio.NewReader(conn), bufio.NewWriter(conn)
	say := func(line string) { _, _ = fmt.Fprintf(w, "%s\r\n", line) }
	// answer plays the script; false ends the conversation.
	answer := func(at, to, usual string) (went bool, alive bool) {
		do := s.script(at, to)
		if do == nil {
			say(usual)
			return true, true
		}
		if do.Wait != nil {
			_ = w.Flush()
			select {
			case <-do.Wait:
			case <-s.closing:
			}
		}
		if do.HangUp {
			_ = w.Flush()
			return do.Keep, false
		}
		if do.Reply == "" {
			do.Reply = usual
		}
		say(do.Reply)
		return do.Reply[0] == '2' || do.Reply[0] == '3', !strings.HasPrefix(do.Reply, "421")
	}
	login := session{secure: s.secure, r: r, w: w}
	if s.secure != nil && s.secure.implicit && login.encrypt(conn) != nil {
		return
	}
	if _, alive := answer("CONNECT", "", "220 sink.test ESMTP"); !alive {
		_ = w.Flush()
		return
	}
	var m Message
	inMail, inRcpt := false, false
	for {
		if r.Buffered() == 0 {
			if w.Flush() != nil {
				return
			}
		}
		line, err := r.ReadString('\n')
		if err != nil {
			return
		}
		line = strings.TrimRight(line, "\r\n")
		verb, rest, _ := strings.Cut(line, " ")
		alive := true
		switch strings.ToUpper(verb) {
		case "EHLO", "HELO", "LHLO":
			if s.lmtp != (strings.ToUpper(verb) == "LHLO") {
				say("500 5.5.1 not here")
				continue
			}
			say("250-sink.test") // RFC 5321 section 4.1.1.1: extensions follow on further lines
			for _, e := range append(login.offers(), s.hello...) {
				say("250-" + e)
			}
			say("250 HELP")
		case "STARTTLS":
			if s.secure == nil || login.tls != nil {
				say("503 5.5.1 not here")
				continue
			}
			say("220 2.0.0 go ahead")
			if w.Flush() != nil || login.encrypt(conn) != nil {
				return
			}
		case "AUTH":
			mechanism, initial, _ := strings.Cut(rest, " ")
			usual := "235 2.7.0 welcome"
			if s.secure != nil {
				usual = login.authenticate(mechanism, initial)
			}
			_, alive = answer("AUTH", mechanism, usual)
		case "MAIL":
			if missing := login.wants(); missing != "" {
				say(missing)
				continue
			}
			if inMail {
				say("503 5.5.1 nested MAIL")
				continue
			}
			m = Message{Login: login.login}
			m.From, m.MailParameters = address(rest)
			inMail, alive = answer("MAIL", m.From, "250 2.1.0 OK")
		case "RCPT":
			if !inMail {
				say("503 5.5.1 MAIL first")
				continue
			}
			m.To, m.RcptParameters = address(rest)
			inRcpt, alive = answer("RCPT", m.To, "250 2.1.5 OK")
		case "DATA":
			if !inRcpt {
				say("503 5.5.1 RCPT first")
				continue
			}
			var went bool
			if went, alive = answer("DATA", m.To, "354 go ahead"); !went {
				break
			}
			if w.Flush() != nil {
				return
			}
			if m.Data, err = readData(r); err != nil {
				return
			}
			if went, alive = answer("DOT", m.To, "250 2.0.0 queued"); went {
				s.mu.Lock()
				m.At, m.ID = time.Now(), messageID(m.Data)
				if s.light {
					m.Data = ""
				}
				s.messages = append(s.messages, m)
				s.mu.Unlock()
			}
			inMail, inRcpt = false, false
		case "RSET":
			var went bool
			if went, alive = answer("RSET", "", "250 2.0.0 OK"); went {
				inMail, inRcpt = false, false
			}
		case "NOOP":
			say("250 2.0.0 OK")
		case "QUIT":
			say("221 2.0.0 bye")
			_ = w.Flush()
			return
		default:
			say("502 5.5.1 what?")
		}
		if !alive {
			_ = w.Flush()
			return
		}
	}
}

func readData(r *bufio.Reader) (string, error) {
	var b strings.Builder
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return "", err
		}
		if line == ".\r\n" {
			return b.String(), nil
		}
		b.WriteString(strings.TrimPrefix(line, "."))
	}
}

func messageID(data string) string {
	_, rest, _ := strings.Cut(data, "Message-ID: ")
	id, _, _ := strings.Cut(rest, "\r\n")
	return strings.Clone(id)
}

func address(s string) (inBrackets, parameters string) {
	_, s, _ = strings.Cut(s, "<")
	inBrackets, parameters, _ = strings.Cut(s, ">")
	return inBrackets, strings.TrimSpace(parameters)
}
