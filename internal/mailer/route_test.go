package mailer

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jatak-mail/jatak/internal/logtest"
	"github.com/jatak-mail/jatak/internal/mailer/mailertest"
)

func (s *sender) wantAccepted(to ...string) {
	s.t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, address := range to {
		if o := s.outcomes[address]; o.Kind != Accepted || o.Code != 250 {
			s.t.Errorf("%s: %+v", address, o)
		}
	}
}

// deadRelay is the address of a relay that nobody listens at.
func deadRelay(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	return listener.Addr().String()
}

func TestMailsAreSharedByWeight(t *testing.T) {
	t.Parallel()
	heavy, light := mailertest.New(t, nil), mailertest.New(t, nil)
	s := newSender(t, heavy.URL("weight=3", "max_conns=2"), light.URL("weight=1", "max_conns=2"))
	s.send("first@example.org") // both are dialled; which one is up first is luck
	s.sendFrom("jatak.example", addresses(800)...)
	s.wantAccepted(addresses(800)...)
	if n := len(heavy.Messages()); n < 560 || n > 640 {
		t.Errorf("with a weight of 3 to 1, %d of 800 mails went to the heavier relay", n)
	}
}

func TestWithoutWeightsMailsGoWhereThereIsRoom(t *testing.T) {
	t.Parallel()
	wait := make(chan struct{})
	slow := mailertest.New(t, func(at, _ string) *mailertest.Do {
		if at == "DOT" {
			return &mailertest.Do{Wait: wait}
		}
		return nil
	})
	quick := mailertest.New(t, nil)
	s := newSender(t, slow.URL("max_conns=1"), quick.URL("max_conns=1"))
	t.Cleanup(func() { close(wait) }) // before the pool is closed
	left := make(chan Outcome, 200)
	for _, to := range addresses(200) {
		route, err := s.pool.Ready(t.Context(), "jatak.example")
		if err != nil {
			t.Fatal(err)
		}
		m := &Mail{To: to, Data: []byte("\r\n"), Route: route, Done: func(o Outcome) { left <- o }}
		if err := s.pool.Submit(t.Context(), m); err != nil {
			t.Fatal(err)
		}
	}
	for n := range 198 { // one hangs, and one may have been announced behind it
		select {
		case o := <-left:
			if o.Kind != Accepted || o.Relay != quick.Addr() {
				t.Errorf("%+v", o)
			}
		case <-time.After(20 * time.Second):
			t.Fatalf("%d mails have left by the quick relay while the other hangs", n)
		}
	}
}

func TestRelayTakesOnlyItsFromDomains(t *testing.T) {
	t.Parallel()
	ours, rest := mailertest.New(t, nil), mailertest.New(t, nil)
	s := newSender(t, ours.URL("from=jatak.example+nordlys.example"), rest.URL("from=other.example"))
	s.sendFrom("Nordlys.example", addresses(20)...)
	if len(ours.Messages()) != 20 || len(rest.Messages()) != 0 {
		t.Errorf("%d and %d mails, want 20 and 0", len(ours.Messages()), len(rest.Messages()))
	}
	_, err := s.pool.Ready(t.Context(), "nobody.example")
	var none *NoRelayError
	if !errors.As(err, &none) || !strings.Contains(err.Error(), "nobody.example") {
		t.Errorf("Ready for a domain that no relay takes: %v", err)
	}
}

func TestRelayWithoutFromTakesTheRestAndHelpsOut(t *testing.T) {
	t.Parallel()
	all := mailertest.New(t, nil)
	s := newSender(t, "smtp://"+deadRelay(t)+"?from=jatak.example", all.URL())
	s.sendFrom("jatak.example", addresses(20)...)
	s.wantAccepted(addresses(20)...)
	if n := len(all.Messages()); n != 20 {
		t.Errorf("%d mails at the relay that takes all, want 20", n)
	}
}

func TestDeadRelayIsPassedOverAndReportedOnce(t *testing.T) {
	t.Parallel()
	good := mailertest.New(t, nil)
	var log logtest.Log
	s := newSenderWith(t, Options{Log: slog.New(slog.NewTextHandler(&log, nil))},
		"smtp://"+deadRelay(t)+"?weight=1", good.URL("weight=1"))
	s.sendFrom("jatak.example", addresses(200)...)
	s.wantAccepted(addresses(200)...)
	if n := strings.Count(log.String(), "a relay cannot be reached"); n != 1 {
		t.Errorf("%d log lines for one change:\n%s", n, log.String())
	}
}

// A relay that goes away takes no mail with it: what it had not got goes to
// another, though its route was given out before.
func TestMailsOfARelayThatGoesAwayGoElsewhere(t *testing.T) {
	t.Parallel()
	leaving, staying := mailertest.New(t, nil), mailertest.New(t, nil)
	s := newSender(t, leaving.URL("from=jatak.example", "max_conns=2"), staying.URL("max_conns=2"))
	route := &Route{}
	for route.Relay != leaving.Addr() { // until both are open, and it is this one's turn
		var err error
		if route, err = s.pool.Ready(t.Context(), "jatak.example"); err != nil {
			t.Fatal(err)
		}
	}
	leaving.Close()
	for _, to := range addresses(50) {
		s.submit(&Mail{From: "b@jatak.example", To: to, Data: []byte("\r\n"), Route: route})
	}
	s.waiting.Wait()
	s.wantAccepted(addresses(50)...)
	for to, o := range s.outcomes {
		if o.Relay != staying.Addr() {
			t.Errorf("%s was booked on %s", to, o.Relay)
		}
	}
}

// Connections that died while they waited, as when a relay is restarted, do not use
// up a mail's attempts.
func TestMailOutlivesConnectionsThatDiedMeanwhile(t *testing.T) {
	t.Parallel()
	for name, extensions := range map[string][]string{"pipelining": nil, "without": {"8BITMIME"}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			const connections = 8
			var begun atomic.Int32
			all := make(chan struct{})
			sink := mailertest.New(t, func(at, _ string) *mailertest.Do {
				if at == "MAIL" && begun.Add(1) == connections {
					close(all)
				}
				if at == "MAIL" {
					return &mailertest.Do{Wait: all}
				}
				return nil
			}, extensions...)
			s := newSender(t, sink.URL("max_conns=8", "idle=1m"))
			before := addresses(connections)
			s.send(before...)
			s.wantAccepted(before...)
			sink.Close()
			back := mailertest.NewAt(t, sink.Addr(), nil)
			s.send("late@example.org")
			s.wantAccepted("late@example.org")
			if n := len(back.Messages()); n != 1 {
				t.Errorf("the relay that is back has %d mails", n)
			}
		})
	}
}

func TestRelayThatDropsEveryConnectionIsLeftAlone(t *testing.T) {
	t.Parallel()
	for name, do := range map[string]mailertest.Do{"hangs up": {HangUp: true}, "says 421": {Reply: "421 4.3.2 closing"}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			sink := mailertest.New(t, func(at, _ string) *mailertest.Do {
				if at == "MAIL" {
					return &do
				}
				return nil
			})
			s := newSender(t, sink.URL("max_conns=1"))
			var err error
			for i := range 100 {
				m := &Mail{To: fmt.Sprintf("p%d@example.org", i), Data: []byte("\r\n"), Done: func(o Outcome) {
					if o.Kind != Unsent && o.Kind != Later || o.Blame != BlameRelay {
						t.Errorf("%+v", o)
					}
				}}
				if err = s.pool.Submit(t.Context(), m); err != nil {
					break
				}
			}
			var unreachable *UnreachableError
			if !errors.As(err, &unreachable) {
				t.Errorf("after 100 mails: %v", err)
			}
		})
	}
}

// What a relay says when it is dialled is told in words.
func TestRelayThatDoesNotLetUsIn(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct{ at, reply, says string }{
		"busy":           {"CONNECT", "421 4.7.0 too many connections", "it answers 421 4.7.0 too many connections"},
		"greylisted":     {"CONNECT", "450 4.3.2 come back", "it answers 450 4.3.2 come back"},
		"blocked":        {"CONNECT", "554 5.7.1 you are on a list", "it answers 554 5.7.1 you are on a list"},
		"wrong password": {"AUTH", "535 5.7.8 bad credentials", "it refuses the user or the password: 535 5.7.8 bad credentials"},
		"login is down":  {"AUTH", "454 4.7.0 later", "it answers 454 4.7.0 later"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			sink := mailertest.New(t, func(at, _ string) *mailertest.Do {
				if at == test.at {
					return &mailertest.Do{Reply: test.reply}
				}
				return nil
			}, "PIPELINING", "AUTH PLAIN LOGIN")
			var log logtest.Log
			s := newSenderWith(t, Options{Log: slog.New(slog.NewTextHandler(&log, nil))}, strings.Replace(sink.URL(), "smtp://", "smtp://jatak:hunter2@", 1))
			_, err := s.pool.Ready(t.Context(), "jatak.example")
			var unreachable *UnreachableError
			if !errors.As(err, &unreachable) || !strings.Contains(err.Error(), test.says) || !strings.Contains(err.Error(), sink.Addr()) {
				t.Errorf("Ready: %v, want %q", err, test.says)
			}
			if all := fmt.Sprint(err, log.String()); strings.Contains(all, "hunter2") || !strings.Contains(log.String(), test.says) {
				t.Errorf("the log says:\n%s", all)
			}
		})
	}
}

func TestLogin(t *testing.T) {
	t.Parallel()
	for _, auth := range []string{"auto", "plain"} {
		t.Run(auth, func(t *testing.T) {
			t.Parallel()
			sink := mailertest.New(t, nil, "PIPELINING", "AUTH PLAIN LOGIN")
			url := strings.Replace(sink.URL("auth="+auth), "smtp://", "smtp://jatak:hunter2@", 1)
			newSender(t, url).send("p@example.org")
			if n := len(sink.Messages()); n != 1 {
				t.Errorf("%d mails, want 1", n)
			}
		})
	}
}

// The sink holds its part of each exchange itself, over TLS.
func TestLoginOverTLS(t *testing.T) {
	t.Parallel()
	for auth, mechanism := range map[string]string{
		"plain": "PLAIN", "login": "LOGIN", "cram-md5": "CRAM-MD5", "scram-sha-256": "SCRAM-SHA-256", "scram-sha-256-plus": "SCRAM-SHA-256-PLUS",
		"auto": "SCRAM-SHA-256-PLUS",
	} {
		for way, start := range map[string]func(testing.TB, mailertest.Script, ...string) *mailertest.Sink{
			"STARTTLS": mailertest.NewSecure, "from the start": mailertest.NewImplicit,
		} {
			t.Run(auth+"/"+way, func(t *testing.T) {
				t.Parallel()
				sink := start(t, nil, "PLAIN", "LOGIN", "CRAM-MD5", "SCRAM-SHA-256", "SCRAM-SHA-256-PLUS")
				newSender(t, sink.URL("auth="+auth)).send("p@example.org")
				if got := sink.Messages(); len(got) != 1 || got[0].Login != mechanism {
					t.Errorf("the sink got %+v, want one mail after a login by %s", got, mechanism)
				}
				wrong := newSender(t, strings.Replace(sink.URL("auth="+auth), "jatak:p", "jatak:q", 1))
				_, err := wrong.pool.Ready(t.Context(), "jatak.example")
				if err == nil || !strings.Contains(err.Error(), "it refuses the user or the password: 535 5.7.8") {
					t.Errorf("with a wrong password: %v", err)
				}
			})
		}
	}
}

// A token that somebody renews in its file is used from the next login on, and no
// mail suffers from the old one.
func TestTokenIsReadAtEachLogin(t *testing.T) {
	t.Parallel()
	var expired atomic.Bool
	sink := mailertest.NewImplicit(t, func(at, _ string) *mailertest.Do {
		if at == "MAIL" && expired.Load() {
			return &mailertest.Do{Reply: "530 5.7.0 the token has expired"}
		}
		return nil
	}, "XOAUTH2")
	sink.SetToken("first")
	file := filepath.Join(t.TempDir(), "token")
	write := func(token string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(token+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("first")
	_, after, _ := strings.Cut(sink.URL("auth=xoauth2", "max_conns=1", "password_file="+file), "@")
	s := newSender(t, "smtps://"+mailertest.User+"@"+after)
	s.send("a@example.org")
	s.wantAccepted("a@example.org")

	sink.SetToken("second")
	expired.Store(true)
	s.send("b@example.org")
	if o := s.outcomes["b@example.org"]; o.Kind != Unsent || o.Blame != BlameRelay {
		t.Errorf("with the old token: %+v", o)
	}
	expired.Store(false)
	write("second")
	done := make(chan Outcome, 1)
	mail := &Mail{From: "b@jatak.example", To: "c@example.org", Data: []byte("\r\n"), Done: func(o Outcome) { done <- o }}
	for { // the relay is left alone for a second
		s.pool.mu.Lock()
		changed := s.pool.ready
		s.pool.mu.Unlock()
		err := s.pool.Submit(t.Context(), mail)
		if err == nil {
			break
		}
		if !strings.Contains(err.Error(), "the token has expired") {
			t.Fatal(err)
		}
		<-changed
	}
	if o := <-done; o.Kind != Accepted {
		t.Errorf("with the new token: %+v", o)
	}
}

// A relay that says nothing, or too much, before the login costs neither memory nor
// time without bound, and Close does not wait for it.
func TestRelayThatNeverComesToTheLogin(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		greeting, hello string
		says            string
	}{
		"silence":                {"", "", "timeout"},
		"a greeting without end": {"220-hello\r\n", "", "says more than"},
		"a line without end":     {"220 hello", "", "says more than"},
		"an EHLO without end":    {"", "250-hello\r\n", "says more than"},
		"no answer to EHLO":      {"220 hello\r\n.", "", "timeout"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			listener, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = listener.Close() })
			var said atomic.Int64
			go func() {
				for {
					conn, err := listener.Accept()
					if err != nil {
						return
					}
					go func() {
						defer conn.Close()
						again := test.greeting
						if once, only := strings.CutSuffix(test.greeting, "."); only {
							_, _ = io.WriteString(conn, once)
							again = ""
						}
						if test.hello != "" {
							_, _ = io.WriteString(conn, "220 hello\r\n")
							_, _ = bufio.NewReader(conn).ReadString('\n')
							again = test.hello
						}
						for again != "" {
							n, err := io.WriteString(conn, strings.Repeat(again, 100))
							said.Add(int64(n))
							if err != nil {
								return
							}
						}
						_, _ = io.Copy(io.Discard, conn) // until they hang up
					}()
				}
			}()
			timeout := "connect_timeout=1m"
			if test.says == "timeout" {
				timeout = "connect_timeout=50ms"
			}
			s := newSender(t, "smtp://"+listener.Addr().String()+"?"+timeout)
			if _, err = s.pool.Ready(t.Context(), "jatak.example"); err == nil || !strings.Contains(err.Error(), test.says) {
				t.Errorf("%v, want %q", err, test.says)
			}
			if n := said.Load(); n > 16<<20 {
				t.Errorf("%d bytes were taken", n)
			}
		})
	}
	t.Run("and is not waited for", func(t *testing.T) {
		t.Parallel()
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer listener.Close()
		s := newSender(t, "smtp://"+listener.Addr().String()+"?timeout=1m&connect_timeout=1m")
		begun := make(chan error, 1)
		go func() {
			_, err := s.pool.Ready(t.Context(), "jatak.example")
			begun <- err
		}()
		conn, err := listener.Accept()
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		closing, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		if err := s.pool.Close(closing); err != nil {
			t.Errorf("Close: %v", err)
		}
		if err := <-begun; err == nil {
			t.Error("Ready found a relay")
		}
	})
}

func TestEncryptionThatIsRequired(t *testing.T) {
	t.Parallel()
	plain, secure := mailertest.New(t, nil), mailertest.NewSecure(t, nil, "PLAIN")
	unknown, _, _ := strings.Cut(secure.URL(), "&tls_ca=") // nobody vouches for it
	for name, test := range map[string]struct{ url, says string }{
		"is not offered":                 {plain.URL("starttls=required"), "STARTTLS"},
		"by somebody nobody vouches for": {unknown, "certificate"},
		"by another":                     {secure.URL("tls_name=other.example"), "other.example"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := newSender(t, test.url).pool.Ready(t.Context(), "jatak.example")
			if err == nil || !strings.Contains(err.Error(), test.says) {
				t.Errorf("%v, want %q", err, test.says)
			}
		})
	}
}

func TestLMTPAndSockets(t *testing.T) {
	t.Parallel()
	for name, sink := range map[string]*mailertest.Sink{
		"lmtp": mailertest.NewLMTP(t, nil), "lmtp+unix": mailertest.NewSocket(t, true, nil),
		"smtp+unix": mailertest.NewSocket(t, false, nil), "lmtp, no pipelining": mailertest.NewLMTP(t, nil, "8BITMIME"),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSender(t, sink.URL("max_conns=2"))
			s.send(addresses(50)...)
			s.wantAccepted(addresses(50)...)
			if o := s.outcomes["p7@example.org"]; o.Relay != sink.Addr() || len(sink.Messages()) != 50 {
				t.Errorf("%d mails arrived; %+v", len(sink.Messages()), o)
			}
		})
	}
}

func TestEnvelopeAsksOnlyForWhatTheRelayOffers(t *testing.T) {
	t.Parallel()
	plain, eightBit := "Subject: x\r\nMessage-ID: <abc+1@jatak.example>\r\n\r\nHej\r\n", "Subject: x\r\n\r\nKære\r\n"
	for _, test := range []struct {
		name, extensions, parameters, to, data string
		wantTo, mail, rcpt                     string
		refused                                string
	}{
		{name: "nothing to ask for", extensions: "8BITMIME, SMTPUTF8, DSN", data: plain},
		{name: "eight bits", extensions: "8BITMIME", data: eightBit, mail: "BODY=8BITMIME"},
		{name: "eight bits, not offered", extensions: "PIPELINING", data: eightBit, refused: "5.6.3"},
		{name: "a name beyond ASCII", extensions: "SMTPUTF8", to: "søren@example.org", data: plain, mail: "SMTPUTF8"},
		{name: "a name beyond ASCII, not offered", extensions: "PIPELINING", to: "søren@example.org", data: plain, refused: "5.6.7"},
		{name: "a domain beyond ASCII", extensions: "SMTPUTF8", to: "bo@blåbær.example", data: plain, mail: "SMTPUTF8"},
		{name: "a domain beyond ASCII, not offered", extensions: "PIPELINING", to: "bo@blåbær.example", data: plain, wantTo: "bo@xn--blbr-roah.example"},
		{name: "size", extensions: "SIZE 1000", data: plain, mail: fmt.Sprint("SIZE=", len(plain))},
		{name: "size without a limit", extensions: "SIZE", data: plain, mail: fmt.Sprint("SIZE=", len(plain))},
		{name: "too large", extensions: "SIZE 20", data: plain, refused: "5.3.4"},
		{name: "notification", extensions: "DSN", parameters: "dsn=failure+delay", data: plain,
			mail: "RET=HDRS ENVID=abc+2B1@jatak.example", rcpt: "NOTIFY=FAILURE,DELAY"},
		{name: "no notification", extensions: "DSN", parameters: "dsn=never", data: eightBit[:14], mail: "RET=HDRS", rcpt: "NOTIFY=NEVER"},
		{name: "notification, not offered", extensions: "PIPELINING", parameters: "dsn=failure", data: plain},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			if test.to == "" {
				test.to = "bo@example.org"
			}
			if test.wantTo == "" {
				test.wantTo = test.to
			}
			sink := mailertest.New(t, nil, strings.Split(test.extensions, ", ")...)
			s := newSender(t, sink.URL(test.parameters))
			s.submit(&Mail{From: "b@jatak.example", To: test.to, Data: []byte(test.data)})
			s.waiting.Wait()
			if test.refused != "" {
				if o := s.outcomes[test.to]; o.Kind != Refused || o.Enhanced != test.refused || o.Text == "" || o.Relay == "" {
					t.Errorf("outcome %+v, want refused with %s", o, test.refused)
				}
				if n := len(sink.Messages()); n != 0 {
					t.Errorf("%d mails arrived, want none", n)
				}
				return
			}
			s.wantAccepted(test.to)
			m := sink.Messages()[0]
			if m.To != test.wantTo || m.MailParameters != test.mail || m.RcptParameters != test.rcpt {
				t.Errorf("to %q, MAIL %q, RCPT %q; want %q, %q, %q", m.To, m.MailParameters, m.RcptParameters, test.wantTo, test.mail, test.rcpt)
			}
		})
	}
}

func TestConnectionCarriesSoManyMails(t *testing.T) {
	t.Parallel()
	sink := mailertest.New(t, nil)
	s := newSender(t, sink.URL("max_conns=1", "mails_per_conn=10"))
	s.send(addresses(100)...)
	s.wantAccepted(addresses(100)...)
	if all, most := sink.Connections(); all < 10 {
		t.Errorf("%d connections (%d at once) for 100 mails, want 10 at least", all, most)
	}
}

// slots is a share of connections that a test sets.
type slots struct {
	share    atomic.Int64
	released chan struct{}
	mu       sync.Mutex
	taken    int
	most     int
	refused  int
}

func (s *slots) Acquire(_ context.Context, _ string, most int) (bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.taken >= int(s.share.Load()) {
		s.refused++
		return false, nil
	}
	s.taken++
	s.most = max(s.most, s.taken)
	return true, nil
}

func (s *slots) Release(string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.taken--
	s.released <- struct{}{}
}

func (s *slots) now() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.taken
}

func (s *slots) Share(string, int) int { return int(s.share.Load()) }

func TestConnectionsAreSharedBetweenProcesses(t *testing.T) {
	t.Parallel()
	sink := mailertest.New(t, nil)
	shared := &slots{released: make(chan struct{}, 100)}
	s := newSenderWith(t, Options{Slots: shared}, sink.URL("max_conns=8"))
	waiting, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if route, err := s.pool.Ready(waiting, "jatak.example"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("others have every connection: %v, %v", route, err)
	}
	shared.share.Store(3)
	s.sendFrom("jatak.example", addresses(300)...)
	shared.mu.Lock()
	if shared.most > 3 {
		t.Errorf("%d connections at once, and 3 are ours", shared.most)
	}
	shared.mu.Unlock()
	shared.share.Store(1)
	s.outcomes = map[string]Outcome{}
	s.sendFrom("jatak.example", addresses(100)...)
	s.wantAccepted(addresses(100)...)
	for shared.now() > 1 {
		select {
		case <-shared.released: // the last of them ends after its last mail
		case <-time.After(20 * time.Second):
			t.Fatalf("%d connections are kept, and 1 is ours", shared.now())
		}
	}
	if err := s.pool.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := shared.now(); n != 0 {
		t.Errorf("%d connections were not given back", n)
	}
}

// A no costs a second without a new connection.
func TestAConnectionIsGivenBackBeforeTheNextIsAskedFor(t *testing.T) {
	t.Parallel()
	sink := mailertest.New(t, nil)
	shared := &slots{released: make(chan struct{}, 100)}
	shared.share.Store(3)
	s := newSenderWith(t, Options{Slots: shared}, sink.URL("max_conns=3&mails_per_conn=2"))
	s.sendFrom("jatak.example", addresses(60)...)
	s.wantAccepted(addresses(60)...)
	shared.mu.Lock()
	defer shared.mu.Unlock()
	if shared.refused > 0 {
		t.Errorf("asked %d times for a place that the pool still held itself", shared.refused)
	}
}
