// Package mailertest answers what a relay may do to us: it is an SMTP server
// for tests that follows a script, and keeps what it has accepted.
package mailertest

import (
	"bufio"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"
)

// Message is a mail that the sink has accepted.
type Message struct {
	From, To string
	ID       string // its Message-ID
	Data     string // with CRLF line ends, dots undoubled
	At       time.Time
}

// Do is what the sink does at a point of a conversation.
type Do struct {
	Reply  string // instead of the usual one
	HangUp bool   // without a reply
	// Wait is received from before anything is done, or until the sink closes.
	Wait <-chan struct{}
}

// Script decides what happens: at is CONNECT (to is empty), MAIL, RCPT, DATA or DOT, and to the
// recipient, or at MAIL the sender. nil goes the usual way.
type Script func(at, to string) *Do

// Sink is the server.
type Sink struct {
	listener net.Listener
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
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if len(extensions) == 0 {
		extensions = []string{"PIPELINING", "8BITMIME", "SMTPUTF8", "ENHANCEDSTATUSCODES"}
	}
	if script == nil {
		script = func(string, string) *Do { return nil }
	}
	s := &Sink{listener: listener, script: script, hello: extensions, open: map[net.Conn]bool{}, closing: make(chan struct{})}
	s.running.Go(s.accept)
	t.Cleanup(s.Close)
	return s
}

// Addr is the sink's host and port.
func (s *Sink) Addr() string { return s.listener.Addr().String() }

// URL is the sink as a relay's URL with parameters such as max_conns=2.
func (s *Sink) URL(parameters ...string) string {
	return "smtp://" + s.Addr() + "?" + strings.Join(parameters, "&")
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
			return false, false
		}
		if do.Reply == "" {
			do.Reply = usual
		}
		say(do.Reply)
		return do.Reply[0] == '2' || do.Reply[0] == '3', !strings.HasPrefix(do.Reply, "421")
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
		case "EHLO", "HELO":
			for _, e := range s.hello {
				say("250-" + e)
			}
			say("250 OK")
		case "MAIL":
			if inMail {
				say("503 5.5.1 nested MAIL")
				continue
			}
			m = Message{From: address(rest)}
			inMail, alive = answer("MAIL", m.From, "250 2.1.0 OK")
		case "RCPT":
			if !inMail {
				say("503 5.5.1 MAIL first")
				continue
			}
			m.To = address(rest)
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
			inMail, inRcpt = false, false
			say("250 2.0.0 OK")
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

func address(s string) string {
	_, s, _ = strings.Cut(s, "<")
	s, _, _ = strings.Cut(s, ">")
	return s
}
