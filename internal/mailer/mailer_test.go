package mailer

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"mime/quotedprintable"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/emersion/go-message/mail"
	"github.com/google/go-cmp/cmp"

	"github.com/jatak-mail/jatak/internal/logtest"
	"github.com/jatak-mail/jatak/internal/mailer/mailertest"
)

func testDraft() Draft {
	return Draft{
		FromName: "Kafferisteriet Ja Tak, ærligt", FromAddress: "news@jatak.example", ReplyTo: "hej@jatak.example",
		Subject: []Segment{Static("Hej "), Slot(0), Static(", kaffen er klar")},
		Text:    []Segment{Static("Kære "), Slot(0), Static("\n.a dot first\nlast line with a blank \n"), Slot(1)},
		HTML:    []Segment{Static("<p>Kære <b>"), Slot(0), Static("</b> æøå " + strings.Repeat("x", 200) + "</p>\n<a href=\""), Slot(1), Static("\">x</a>")},
		Headers: []Header{
			{Name: "List-Id", Value: []Segment{Static("<news.jatak.example>")}},
			{Name: "List-Unsubscribe", Value: []Segment{Static("<https://jatak.example/u/"), Slot(2), Static(">, <mailto:u@jatak.example?subject="), Slot(2), Static(">")}},
		},
	}
}

// What a reader's program finds in a copy is what was put in.
func TestTemplateIsReadBack(t *testing.T) {
	t.Parallel()
	template, err := Compile(testDraft())
	if err != nil {
		t.Fatal(err)
	}
	date := time.Date(2026, 11, 23, 9, 5, 0, 0, time.FixedZone("", 3600))
	for _, name := range []string{
		"Bo", "", "Åse Æbelø Sørensen", `Quo"te, <b>&`, "=1+1", strings.Repeat("Lang Række Navne ", 20), "日本 太郎", "a\r\nBcc: evil@x.example", ".",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			raw := template.Append(nil, Values{
				ToName: name, ToAddress: "bo@example.org", MessageID: "abc@jatak.example", Date: date,
				Slots: []string{name, "https://jatak.example/m/" + strings.Repeat("t", 57), "token"},
			})
			checkLines(t, raw)
			m, err := mail.CreateReader(bytes.NewReader(raw))
			if err != nil {
				t.Fatalf("%v in\n%s", err, raw)
			}
			oneLine := strings.TrimSpace(strings.NewReplacer("\r", " ", "\n", " ").Replace(name))
			subject, err := m.Header.Subject()
			if want := "Hej " + strings.NewReplacer("\r", " ", "\n", " ").Replace(name) + ", kaffen er klar"; subject != want || err != nil {
				t.Errorf("subject %q (%v), want %q", subject, err, want)
			}
			to, err := m.Header.AddressList("To")
			if err != nil || len(to) != 1 || to[0].Name != oneLine || to[0].Address != "bo@example.org" {
				t.Errorf("To is %v (%v), want %q", to, err, oneLine)
			}
			if got, err := m.Header.Date(); err != nil || !got.Equal(date) {
				t.Errorf("Date is %v (%v)", got, err)
			}
			if got := m.Header.Get("Bcc"); got != "" {
				t.Errorf("a name made a header: %q", got)
			}
			for header, want := range map[string]string{
				"Message-Id": "<abc@jatak.example>", "List-Id": "<news.jatak.example>", "Mime-Version": "1.0",
				"List-Unsubscribe": "<https://jatak.example/u/token>, <mailto:u@jatak.example?subject=token>",
			} {
				if got := m.Header.Get(header); got != want {
					t.Errorf("%s is %q, want %q", header, got, want)
				}
			}
			var bodies []string
			for {
				part, err := m.NextPart()
				if errors.Is(err, io.EOF) {
					break
				}
				if err != nil {
					t.Fatal(err)
				}
				body, err := io.ReadAll(part.Body)
				if err != nil {
					t.Fatal(err)
				}
				bodies = append(bodies, strings.ReplaceAll(string(body), "\r\n", "\n"))
			}
			link := "https://jatak.example/m/" + strings.Repeat("t", 57)
			body := strings.ReplaceAll(name, "\r\n", "\n")
			want := []string{
				"Kære " + body + "\n.a dot first\nlast line with a blank \n" + link,
				"<p>Kære <b>" + body + "</b> æøå " + strings.Repeat("x", 200) + "</p>\n<a href=\"" + link + "\">x</a>",
			}
			if diff := cmp.Diff(want, bodies); diff != "" {
				t.Errorf("bodies (-want +got):\n%s", diff)
			}
		})
	}
}

// checkLines holds a message to RFC 5322 and to what SMTP needs.
func checkLines(t *testing.T, raw []byte) {
	t.Helper()
	header := true
	for line := range strings.SplitAfterSeq(string(raw), "\r\n") {
		text := strings.TrimSuffix(line, "\r\n")
		if strings.ContainsAny(text, "\r\n") {
			t.Errorf("a bare CR or LF in %q", text)
		}
		switch {
		case strings.HasPrefix(text, "."):
			t.Errorf("a line begins with a dot: %q", text)
		case !header && len(text) > 76, len(text) > 998:
			t.Errorf("a line of %d characters: %q", len(text), text)
		}
		if text == "" {
			header = false
		}
		if strings.IndexFunc(text, func(r rune) bool { return r > 126 }) >= 0 {
			t.Errorf("not ASCII: %q", text)
		}
	}
}

func FuzzQuotedPrintable(f *testing.F) {
	f.Add("Kære \r\n. x \n", 3)
	f.Add("=\t\n"+strings.Repeat("é", 40), 75)
	f.Fuzz(func(t *testing.T, s string, column int) {
		column = (column%75 + 75) % 75
		start := strings.Repeat("x", column)
		encoded, end := appendQuotedPrintable([]byte(start), s, column)
		lines := strings.Split(string(encoded), "\r\n")
		for i, line := range lines {
			if len(line) > 76 || strings.HasPrefix(line, ".") && i > 0 {
				t.Errorf("line %q", line)
			}
		}
		if last := lines[len(lines)-1]; len(last) != end {
			t.Errorf("the line ends in column %d, not %d", len(last), end)
		}
		got, err := io.ReadAll(quotedprintable.NewReader(bytes.NewReader(encoded)))
		want := strings.ReplaceAll(strings.ReplaceAll(strings.ReplaceAll(s, "\r\n", "\n"), "\r", "\n"), "\n", "\r\n")
		if err != nil || string(got) != start+want {
			t.Errorf("decoded to %q (%v), want %q", got, err, start+want)
		}
	})
}

func TestParseRelays(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ in, want string }{
		{"smtp://mail.example.org", "mail.example.org:25 required 10"},
		{"smtp://u:p@mail.example.org?max_conns=20", "mail.example.org:587 required 20"},
		{"smtps://u:p@mail.example.org", "mail.example.org:465 required 10"},
		{"smtp://localhost:2525", "localhost:2525 none 10"},
		{"smtp://[::1]:25?starttls=opportunistic", "[::1]:25 opportunistic 10"},
		{"", "no relay is named"},
		{"mail.example.org:25", "the scheme is"},
		{"http://mail.example.org", `the scheme is "http"`},
		{"smtp://", "names no host"},
		{"smtp://u:hunter2@mail.example.org?starttls=none", "in the clear"},
		{"smtp://mail.example.org?max_conns=0", "max_conns is a number"},
		{"smtp://mail.example.org?starttls=yes", "starttls is required"},
		{"smtp://mail.example.org?conns=1", `no parameter "conns"`},
		{"smtp://mail.example.org:99999", "not a port"},
		{"smtp://u:hunter2/@mail.example.org", "cannot be read"},
		{"lmtp://localhost", "localhost:24 none 10"},
		{"lmtp+unix:///run/dovecot/lmtp?max_conns=3", "/run/dovecot/lmtp none 3"},
		{"smtp+unix:///run/relay.sock", "/run/relay.sock none 10"},
		{"lmtp://mail.example.org", "LMTP is spoken without TLS"},
		{"lmtp://mail.example.org?starttls=none", "mail.example.org:24 none 10"},
		{"lmtp://u:hunter2@mail.example.org?starttls=none", "in the clear"},
		{"smtp+unix://mail.example.org/x", "names no socket"},
		{"smtp+unix://", "names no socket"},
		{"smtp://mail.example.org?weight=0", "weight is a number from 1 to 1000"},
		{"smtp://mail.example.org?weight=1001", "weight is a number from 1 to 1000"},
		{"smtp://mail.example.org?mails_per_conn=x", "mails_per_conn is a number"},
		{"smtp://mail.example.org?idle=5", "idle is a time"},
		{"smtp://mail.example.org?from=", "from names no domain"},
		{"smtp://mail.example.org?from=news", "not a domain"},
		{"smtp://mail.example.org?dsn=often", "dsn is never, or"},
		{"smtp://mail.example.org?dsn=never+failure", "dsn is never, or"},
		{"smtp://mail.example.org?auth=plain", "names no user"},
		{"smtp://mail.example.org?password_file=/run/secrets/smtp", "names no user"},
		{"smtp://u:hunter2@mail.example.org?password_file=/run/secrets/smtp", "remove one of the two"},
		{"smtp://u@mail.example.org?starttls=none&password_file=/run/secrets/smtp", "in the clear"},
		{"smtp://u@mail.example.org?connect_timeout=5", "connect_timeout is a time"},
		{"smtp://u:hunter2@mail.example.org?auth=digest", "auth is auto, plain"},
		{"smtp://mail.example.org?tls_name=a/b", "tls_name is the host name"},
		{"smtp://mail.example.org?max_conns=%zz", "cannot be read"},
		{"smtp://u:x@mail.example.org?from=a.example,smtp://v:x@mail.example.org?from=b.example", "u@mail.example.org:587 required"},
		{"smtp://u:x@mail.example.org,smtp://u:x@mail.example.org:25", "mail.example.org:587 required"},
		{"smtp://u:hunter2@mail.example.org,smtp://u:hunter2@mail.example.org:587?from=b.example", "relay 2: u@mail.example.org:587 stands there already"},
	} {
		t.Run(test.in, func(t *testing.T) {
			t.Parallel()
			relays, err := ParseRelays(test.in)
			got := ""
			if err != nil {
				got = err.Error()
			} else {
				got = fmt.Sprint(relays[0].Name(), " ", relays[0].STARTTLS, " ", relays[0].Connections)
			}
			if !strings.Contains(got, test.want) || strings.Contains(got, "hunter2") {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

// sender submits mails and gathers outcomes.
type sender struct {
	t        *testing.T
	pool     *Pool
	mu       sync.Mutex
	outcomes map[string]Outcome
	waiting  sync.WaitGroup
}

func newSender(t *testing.T, urls ...string) *sender {
	t.Helper()
	return newSenderWith(t, Options{}, urls...)
}

func newSenderWith(t *testing.T, options Options, urls ...string) *sender {
	t.Helper()
	relays, err := ParseRelays(strings.Join(urls, ","))
	if err != nil {
		t.Fatal(err)
	}
	pool, err := NewPool(relays, options)
	if err != nil {
		t.Fatal(err)
	}
	s := &sender{t: t, pool: pool, outcomes: map[string]Outcome{}}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := pool.Close(ctx); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return s
}

// send sends mails and waits for their outcomes.
func (s *sender) send(to ...string) map[string]Outcome {
	s.t.Helper()
	for _, address := range to {
		s.submit(&Mail{From: "bounce@jatak.example", To: address, Data: []byte("Subject: x\r\n\r\n.dot\r\n" + address + "\r\n")})
	}
	s.waiting.Wait()
	return s.outcomes
}

func (s *sender) submit(m *Mail) {
	s.t.Helper()
	s.waiting.Add(1)
	m.Done = func(o Outcome) {
		s.mu.Lock()
		defer s.mu.Unlock()
		if _, twice := s.outcomes[m.To]; twice {
			s.t.Errorf("Done was called twice for %s", m.To)
		}
		s.outcomes[m.To] = o
		s.waiting.Done()
	}
	if err := s.pool.Submit(s.t.Context(), m); err != nil {
		s.t.Fatal(err)
	}
}

// sendFrom sends mails as a worker does: a few for each route.
func (s *sender) sendFrom(domain string, to ...string) {
	s.t.Helper()
	for batch := range slices.Chunk(to, 10) {
		route, err := s.pool.Ready(s.t.Context(), domain)
		if err != nil {
			s.t.Fatal(err)
		}
		for _, address := range batch {
			s.submit(&Mail{From: "bounce@" + domain, To: address, Data: []byte("Subject: x\r\n\r\n" + address + "\r\n"), Route: route})
		}
	}
	s.waiting.Wait()
}

func addresses(n int) (list []string) {
	for i := range n {
		list = append(list, fmt.Sprintf("p%d@example.org", i))
	}
	return list
}

func TestEveryMailArrivesOnce(t *testing.T) {
	t.Parallel()
	for name, extensions := range map[string][]string{"pipelining": nil, "without pipelining": {"8BITMIME"}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			sink := mailertest.New(t, nil, extensions...)
			outcomes := newSender(t, sink.URL("max_conns=3")).send(addresses(300)...)
			got := map[string]int{}
			for _, m := range sink.Messages() {
				got[m.To]++
				if want := "Subject: x\r\n\r\n.dot\r\n" + m.To + "\r\n"; m.Data != want || m.From != "bounce@jatak.example" {
					t.Fatalf("message %+v, want data %q", m, want)
				}
			}
			for _, address := range addresses(300) {
				if got[address] != 1 || outcomes[address].Kind != Accepted || outcomes[address].Code != 250 {
					t.Errorf("%s arrived %d times: %+v", address, got[address], outcomes[address])
				}
			}
			if _, most := sink.Connections(); most > 3 {
				t.Errorf("%d connections at once, allowed are 3", most)
			}
		})
	}
}

// Each way in which a relay may fail one recipient leaves the others alone.
func TestOutcomes(t *testing.T) {
	t.Parallel()
	first := func(do mailertest.Do) func() *mailertest.Do { // once, then the usual way
		var once sync.Once
		return func() (d *mailertest.Do) {
			once.Do(func() { d = &do })
			return d
		}
	}
	for _, test := range []struct {
		name, at string
		do       func() *mailertest.Do
		want     Outcome // without Text and Relay
		arrived  int
	}{
		{"unknown mailbox", "RCPT", func() *mailertest.Do { return &mailertest.Do{Reply: "550 5.1.1 nobody here"} }, Outcome{Kind: Refused, Blame: BlameRecipient, Code: 550, Enhanced: "5.1.1"}, 0},
		{"greylisted", "RCPT", func() *mailertest.Do { return &mailertest.Do{Reply: "451 4.7.1 come back"} }, Outcome{Kind: Later, Code: 451, Enhanced: "4.7.1"}, 0},
		{"DATA refused", "DATA", func() *mailertest.Do { return &mailertest.Do{Reply: "554 no"} }, Outcome{Kind: Refused, Code: 554}, 0},
		{"content refused", "DOT", func() *mailertest.Do { return &mailertest.Do{Reply: "554 5.7.1 spam"} }, Outcome{Kind: Refused, Code: 554, Enhanced: "5.7.1"}, 0},
		{"full for now", "DOT", func() *mailertest.Do { return &mailertest.Do{Reply: "452 4.2.2 full"} }, Outcome{Kind: Later, Blame: BlameRecipient, Code: 452, Enhanced: "4.2.2"}, 0},
		{"closing", "RCPT", func() *mailertest.Do { return &mailertest.Do{Reply: "421 4.3.2 shutting down"} }, Outcome{Kind: Later, Blame: BlameRelay, Code: 421, Enhanced: "4.3.2"}, 0},
		{"closing, once", "RCPT", first(mailertest.Do{Reply: "421 4.3.2 shutting down"}), Outcome{Kind: Accepted, Code: 250, Enhanced: "2.0.0"}, 1},
		{"closing at MAIL, once", "MAIL", first(mailertest.Do{Reply: "421 4.4.2 too many mails on one connection"}), Outcome{Kind: Accepted, Code: 250, Enhanced: "2.0.0"}, 1},
		{"closing at the dot, once", "DOT", first(mailertest.Do{Reply: "421 4.7.0 later"}), Outcome{Kind: Accepted, Code: 250, Enhanced: "2.0.0"}, 1},
		{"closing for this one", "DOT", func() *mailertest.Do { return &mailertest.Do{Reply: "421 4.7.28 unusual rate"} }, Outcome{Kind: Later, Code: 421, Enhanced: "4.7.28"}, 0},
		{"trouble for this one", "RCPT", func() *mailertest.Do { return &mailertest.Do{Reply: "451 4.3.0 temporary lookup failure"} }, Outcome{Kind: Later, Blame: BlameRelay, Code: 451, Enhanced: "4.3.0"}, 0},
		{"the sender refused", "RCPT", func() *mailertest.Do {
			return &mailertest.Do{Reply: "553 5.7.1 <a@b>: Sender address rejected: not owned by user x"}
		}, Outcome{Kind: Later, Blame: BlameSender, Code: 553, Enhanced: "5.7.1"}, 0},
		{"hangs up at RCPT, once", "RCPT", first(mailertest.Do{HangUp: true}), Outcome{Kind: Accepted, Code: 250, Enhanced: "2.0.0"}, 1},
		{"hangs up at RCPT, always", "RCPT", func() *mailertest.Do { return &mailertest.Do{HangUp: true} }, Outcome{Kind: Later, Blame: BlameRelay}, 0},
		{"hangs up after the dot", "DOT", func() *mailertest.Do { return &mailertest.Do{HangUp: true} }, Outcome{Kind: InDoubt}, 0},
		{"250 to DATA", "DATA", func() *mailertest.Do { return &mailertest.Do{Reply: "250 2.0.0 OK"} }, Outcome{Kind: Later, Blame: BlameRelay}, 0},
		{"250 to DATA, once", "DATA", first(mailertest.Do{Reply: "250 2.0.0 OK"}), Outcome{Kind: Accepted, Code: 250, Enhanced: "2.0.0"}, 1},
		{"354 to RCPT", "RCPT", func() *mailertest.Do { return &mailertest.Do{Reply: "354 go ahead"} }, Outcome{Kind: Later, Blame: BlameRelay}, 0},
		{"354 to the dot", "DOT", func() *mailertest.Do { return &mailertest.Do{Reply: "354 go on"} }, Outcome{Kind: InDoubt}, 1},
		{"a long reply", "DOT", func() *mailertest.Do { return &mailertest.Do{Reply: "250 2.0.0 " + strings.Repeat("long ", 9000)} }, Outcome{Kind: Accepted, Code: 250, Enhanced: "2.0.0"}, 1},
		{"a reply of many lines", "DOT", func() *mailertest.Do {
			return &mailertest.Do{Reply: strings.Repeat("250-2.0.0 line\r\n", 300) + "250 2.0.0 queued"}
		}, Outcome{Kind: Accepted, Code: 250, Enhanced: "2.0.0"}, 1},
		{"a reply without end", "DOT", func() *mailertest.Do { return &mailertest.Do{Reply: "250 " + strings.Repeat("long ", 40_000)} }, Outcome{Kind: InDoubt}, 1},
		{"the dot answered before it is written", "DATA", func() *mailertest.Do { return &mailertest.Do{Reply: "354 go ahead\r\n250 2.0.0 queued"} }, Outcome{Kind: Later, Blame: BlameRelay}, 0},
		{"the dot answered twice", "DOT", func() *mailertest.Do { return &mailertest.Do{Reply: "250 2.0.0 queued\r\n250 2.0.0 queued"} }, Outcome{Kind: Accepted, Code: 250, Enhanced: "2.0.0"}, 1},
		{"speaks nonsense", "RCPT", func() *mailertest.Do { return &mailertest.Do{Reply: "hello"} }, Outcome{Kind: Later, Blame: BlameRelay}, 0},
	} {
		for name, extensions := range map[string][]string{"pipelining": {"PIPELINING"}, "without": {"8BITMIME"}} {
			t.Run(test.name+"/"+name, func(t *testing.T) {
				t.Parallel()
				const victim = "p7@example.org"
				sink := mailertest.New(t, func(at, to string) *mailertest.Do {
					if at == test.at && (to == victim || at == "MAIL") {
						return test.do()
					}
					return nil
				}, extensions...)
				outcomes := newSender(t, sink.URL("max_conns=2")).send(addresses(20)...)
				got := outcomes[victim]
				if got.Relay != sink.Addr() || got.Text == "" {
					t.Errorf("outcome %+v names no relay or no text", got)
				}
				got.Relay, got.Text = "", ""
				if diff := cmp.Diff(test.want, got); diff != "" {
					t.Errorf("outcome (-want +got):\n%s", diff)
				}
				sink.Close() // it has kept what it was about to keep
				arrived := map[string]int{}
				for _, m := range sink.Messages() {
					arrived[m.To]++
				}
				for _, address := range addresses(20) {
					want := 1
					if address == victim {
						want = test.arrived
					} else if outcomes[address].Kind != Accepted {
						t.Errorf("%s suffered: %+v", address, outcomes[address])
					}
					if arrived[address] != want {
						t.Errorf("%s arrived %d times, want %d", address, arrived[address], want)
					}
				}
			})
		}
	}
}

// A relay that refuses RSET keeps the last envelope: the mails behind it go over
// another connection.
func TestRefusedResetCostsNoOtherMail(t *testing.T) {
	t.Parallel()
	for name, extensions := range map[string][]string{"pipelining": nil, "without pipelining": {"8BITMIME"}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			wrong := func(address string) bool { return strings.Contains(address, "3") }
			sink := mailertest.New(t, func(at, to string) *mailertest.Do {
				switch {
				case at == "RSET":
					return &mailertest.Do{Reply: "503 5.5.1 not now"}
				case at == "RCPT" && wrong(to):
					return &mailertest.Do{Reply: "550 5.1.1 nobody of that name"}
				}
				return nil
			}, extensions...)
			outcomes := newSender(t, sink.URL("max_conns=2")).send(addresses(60)...)
			for address, o := range outcomes {
				if wrong(address) != (o.Kind == Refused && o.Code == 550) || !wrong(address) && o.Kind != Accepted {
					t.Errorf("%s: %+v", address, o)
				}
			}
		})
	}
}

// A relay that closes connections between mails, with a word of why, costs no mail
// anything. The log has each reason once, and nobody's address.
func TestRelayThatClosesBetweenMails(t *testing.T) {
	t.Parallel()
	for name, extensions := range map[string][]string{"pipelining": nil, "without pipelining": {"8BITMIME"}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var mails atomic.Int32
			sink := mailertest.New(t, func(at, to string) *mailertest.Do {
				switch {
				case at == "RCPT" && strings.Contains(to, "3"):
					return &mailertest.Do{Reply: "452 4.2.2 full"}
				case at == "RSET":
					return &mailertest.Do{Reply: "421 4.7.0 sink.test Error: too many errors, bo@example.org"}
				case at == "MAIL" && mails.Add(1)%9 == 0:
					return &mailertest.Do{Reply: "421 4.4.2 sink.test Error: timeout exceeded"}
				}
				return nil
			}, extensions...)
			var log logtest.Log
			s := newSenderWith(t, Options{Log: slog.New(slog.NewTextHandler(&log, nil))}, sink.URL("max_conns=2"))
			for address, o := range s.send(addresses(100)...) {
				if full := strings.Contains(address, "3"); full != (o.Code == 452) || !full && o.Kind != Accepted {
					t.Errorf("%s: %+v", address, o)
				}
			}
			says := log.String()
			for _, reason := range []string{"421 4.4.2 sink.test Error: timeout exceeded", "421 4.7.0 sink.test Error: too many errors"} {
				if strings.Count(says, `says="`+reason) != 1 {
					t.Errorf("the log does not say %q once:\n%s", reason, says)
				}
			}
			if strings.Contains(says, "bo@") {
				t.Errorf("the log has an address:\n%s", says)
			}
		})
	}
}

func TestRelayThatHangsIsGivenUp(t *testing.T) {
	t.Parallel()
	wait := make(chan struct{})
	sink := mailertest.New(t, func(at, _ string) *mailertest.Do {
		if at == "DOT" {
			return &mailertest.Do{Wait: wait}
		}
		return nil
	})
	t.Cleanup(func() { close(wait) }) // before the sink is closed
	got := newSender(t, sink.URL("timeout=20ms")).send("p@example.org")["p@example.org"]
	if got.Kind != InDoubt {
		t.Errorf("outcome %+v, want in doubt", got)
	}
}

func TestUnreachableRelayIsNamedAndNothingIsTaken(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	_ = listener.Close() // nobody listens there now
	s := newSender(t, "smtp://"+address)
	_, err = s.pool.Ready(t.Context(), "jatak.example")
	var unreachable *UnreachableError
	if !errors.As(err, &unreachable) || !strings.Contains(err.Error(), address) {
		t.Errorf("Ready: %v", err)
	}
	err = s.pool.Submit(t.Context(), &Mail{To: "p@example.org", Done: func(Outcome) { t.Error("Done was called") }})
	if !errors.As(err, &unreachable) {
		t.Errorf("Submit: %v", err)
	}
}

func TestAddressesThatSMTPDoesNotTakeAreRefused(t *testing.T) {
	t.Parallel()
	sink := mailertest.New(t, nil, "PIPELINING") // no SMTPUTF8
	outcomes := newSender(t, sink.URL()).send("a@example.org", "søren@example.org", "x@example.org> NOTIFY=NEVER", "b@example.org\r\nRSET")
	for address, o := range outcomes {
		if want := map[bool]Kind{true: Accepted, false: Refused}[address == "a@example.org"]; o.Kind != want {
			t.Errorf("%q: %+v", address, o)
		}
	}
	if n := len(sink.Messages()); n != 1 {
		t.Errorf("%d messages arrived, want 1", n)
	}
}

func TestClosedPoolTakesNoMail(t *testing.T) {
	t.Parallel()
	sink := mailertest.New(t, nil)
	s := newSender(t, sink.URL())
	s.send("a@example.org")
	if err := s.pool.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := s.pool.Submit(t.Context(), &Mail{To: "p@example.org"}); !errors.Is(err, ErrClosed) {
		t.Errorf("Submit: %v, want ErrClosed", err)
	}
}

func BenchmarkAppend(b *testing.B) {
	d := testDraft()
	d.HTML = append(d.HTML, Static(strings.Repeat("<p style=\"color:red\">Some words of a newsletter, æøå.</p>\n", 180)))
	template, err := Compile(d)
	if err != nil {
		b.Fatal(err)
	}
	v := Values{ToName: "Åse Sørensen", ToAddress: "aase@example.org", MessageID: "abc@jatak.example", Date: time.Unix(1e9, 0),
		Slots: []string{"Åse", "https://jatak.example/m/" + strings.Repeat("t", 57), "token"}}
	var buffer []byte
	b.ReportAllocs()
	for b.Loop() {
		buffer = template.Append(buffer[:0], v)
	}
	b.SetBytes(int64(len(buffer)))
}

func TestSenderDomainIsASCIIInHeaders(t *testing.T) {
	t.Parallel()
	template, err := Compile(Draft{FromName: "Blåbær", FromAddress: "news@blåbær.dk", ReplyTo: "svar@blåbær.dk",
		Subject: []Segment{Static("Hej")}, Text: []Segment{Static("Hej")}})
	if err != nil {
		t.Fatal(err)
	}
	mail := template.Append(nil, Values{ToName: "Åse", ToAddress: "aase@example.org", MessageID: "a@x", Date: time.Unix(0, 0)})
	if hasEightBit(mail) {
		t.Errorf("a header has bytes beyond ASCII:\n%s", mail)
	}
	for _, says := range []string{"<news@xn--blbr-roah.dk>", "<svar@xn--blbr-roah.dk>"} {
		if !strings.Contains(string(mail), says) {
			t.Errorf("no %s in\n%s", says, mail)
		}
	}
}
