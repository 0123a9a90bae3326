// Package settings answers what can be set when a program starts, and whether
// it is right. Each setting is declared once, with its flag, its environment
// variable, its default and its help; a wrong one is refused with a sentence
// that names it and says what to write. What the formats of relays and keys
// are is known by the packages that use them.
package settings

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/mail"
	"net/netip"
	"net/url"
	"os"
	"strings"
	"time"
)

// Database says where PostgreSQL is.
type Database struct {
	URL string `name:"database-url" env:"JATAK_DATABASE_URL" help:"PostgreSQL: postgres://user:password@host:5432/name." placeholder:"URL" group:"Servers"`
}

// Validate refuses what is no PostgreSQL URL.
func (d *Database) Validate() error {
	if d.URL == "" {
		return errors.New("JATAK_DATABASE_URL is not set; write postgres://user:password@host:5432/name")
	}
	u, err := url.Parse(d.URL)
	if err != nil || u.Scheme != "postgres" && u.Scheme != "postgresql" {
		return errors.New("JATAK_DATABASE_URL is not a PostgreSQL URL; write postgres://user:password@host:5432/name")
	}
	if u.Host == "" && u.Query().Get("host") == "" {
		return errors.New("JATAK_DATABASE_URL names no host; write postgres://user:password@host:5432/name")
	}
	return nil
}

// Redis says where the queue is.
type Redis struct {
	URL string `name:"redis-url" env:"JATAK_REDIS_URL" help:"Redis: redis://:password@host:6379/0, rediss:// for TLS, unix:///path, redis-sentinel:// or redis-cluster://." placeholder:"URL" group:"Servers"`
}

// Validate refuses what is no Redis URL.
func (r *Redis) Validate() error {
	if r.URL == "" {
		return nil
	}
	scheme, rest, ok := strings.Cut(r.URL, "://")
	switch {
	case !ok || !oneOf(scheme, "redis", "rediss", "unix", "redis-sentinel", "redis-cluster"):
		return errors.New("JATAK_REDIS_URL is not a Redis URL; write redis://:password@host:6379/0")
	case rest == "":
		return errors.New("JATAK_REDIS_URL names no host; write redis://:password@host:6379/0")
	}
	return nil
}

// SMTP says which relays mail leaves through.
type SMTP struct {
	URLs string `name:"smtp-urls" env:"JATAK_SMTP_URLS" help:"Relays, separated by commas: smtp://user:password@host:587?max_conns=20&starttls=required, or smtps://." placeholder:"URLS" group:"Servers"`
}

// Public is the site that recipients see.
type Public struct {
	URL           string   `name:"public-url" env:"JATAK_PUBLIC_URL" help:"Where recipients reach their pages: https://mail.example.org." placeholder:"URL" group:"Site"`
	ConsoleListen string   `name:"console-listen" env:"JATAK_CONSOLE_LISTEN" help:"The address that the console is served on, such as 127.0.0.1:8081; nowhere when not set." placeholder:"ADDRESS" group:"Site"`
	ConsoleURL    string   `name:"console-url" env:"JATAK_CONSOLE_URL" help:"Where staff reach the console (default: by http at the address it is served on)." placeholder:"URL" group:"Site"`
	Trusted       []string `name:"trusted-proxies" env:"JATAK_TRUSTED_PROXIES" help:"Networks of proxies whose X-Forwarded-For is believed, for the limit on sign-ups." default:"127.0.0.0/8,::1/128,10.0.0.0/8,172.16.0.0/12,192.168.0.0/16,fc00::/7" placeholder:"CIDR" group:"Site"`
	Listen        string   `name:"listen" env:"JATAK_LISTEN" help:"The address that the pages are served on." default:":8080" group:"Site"`
}

// Validate refuses an address that recipients could not open.
func (p *Public) Validate() error {
	if p.URL == "" {
		return errors.New("JATAK_PUBLIC_URL is not set; write https://mail.example.org")
	}
	u, err := url.Parse(p.URL)
	switch {
	case err != nil || u.Scheme == "" || u.Host == "":
		return fmt.Errorf("JATAK_PUBLIC_URL: %q has no scheme or no host; write https://mail.example.org", p.URL)
	case u.Scheme != "https" && u.Scheme != "http":
		return fmt.Errorf("JATAK_PUBLIC_URL: the scheme is %s; write https://%s", u.Scheme, u.Host)
	case u.Scheme == "http" && !loopback(u.Hostname()):
		return fmt.Errorf("JATAK_PUBLIC_URL: mail clients unsubscribe by https only (RFC 8058); write https://%s", u.Host)
	case u.User != nil || u.RawQuery != "" || u.Fragment != "":
		return errors.New("JATAK_PUBLIC_URL holds more than an address; write https://mail.example.org")
	}
	p.URL = strings.TrimRight(p.URL, "/")
	switch u, err := url.Parse(p.ConsoleURL); {
	case p.ConsoleURL == "" && strings.HasPrefix(p.ConsoleListen, ":"):
		p.ConsoleURL = "http://localhost" + p.ConsoleListen
	case p.ConsoleURL == "":
		p.ConsoleURL = "http://" + p.ConsoleListen
	case err != nil || u.Host == "" || u.Path != "" || u.Scheme != "https" && !(u.Scheme == "http" && loopback(u.Hostname())):
		return fmt.Errorf("JATAK_CONSOLE_URL: %q is not https and a host alone; write https://console.example.org", p.ConsoleURL)
	}
	for _, network := range p.Trusted {
		if _, err := netip.ParsePrefix(network); err != nil {
			return fmt.Errorf("JATAK_TRUSTED_PROXIES: %q is not a network; write one like 10.0.0.0/8", network)
		}
	}
	return nil
}

// Proxies returns the trusted networks.
func (p *Public) Proxies() []netip.Prefix {
	networks := make([]netip.Prefix, 0, len(p.Trusted))
	for _, network := range p.Trusted {
		if prefix, err := netip.ParsePrefix(network); err == nil { // as Validate has seen
			networks = append(networks, prefix)
		}
	}
	return networks
}

func loopback(host string) bool {
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}

// Secrets are the keys that personal links are signed with.
type Secrets struct {
	Keys string `name:"secret-keys" env:"JATAK_SECRET_KEYS" help:"Keys of the personal links, id:key,id:key: the first signs, all verify. Make a key with: openssl rand -hex 32." placeholder:"ID:KEY" group:"Secrets"`
	File string `name:"secret-keys-file" env:"JATAK_SECRET_KEYS_FILE" help:"A file that holds the keys instead." placeholder:"FILE" group:"Secrets"`
}

// mostKeyBytes bounds the key file.
const mostKeyBytes = 64 << 10

// Validate reads the keys from their file when one is given.
func (s *Secrets) Validate() error {
	switch {
	case s.File == "" && s.Keys == "":
		return errors.New("JATAK_SECRET_KEYS is not set; write id:key, with a key made by: openssl rand -hex 32")
	case s.File == "":
		return nil
	case s.Keys != "":
		return errors.New("JATAK_SECRET_KEYS and JATAK_SECRET_KEYS_FILE are both set; keep one of them")
	}
	f, err := os.Open(s.File)
	if err != nil {
		return fmt.Errorf("JATAK_SECRET_KEYS_FILE: %w", err)
	}
	defer func() { _ = f.Close() }()
	text, err := io.ReadAll(io.LimitReader(f, mostKeyBytes))
	if err != nil {
		return fmt.Errorf("JATAK_SECRET_KEYS_FILE: %w", err)
	}
	s.Keys, s.File = strings.Join(strings.Fields(string(text)), ","), ""
	if s.Keys == "" {
		return errors.New("JATAK_SECRET_KEYS_FILE is empty; write id:key, one on a line")
	}
	return nil
}

// Sender is where answers to mails go.
type Sender struct {
	BounceAddress      string `name:"bounce-address" env:"JATAK_BOUNCE_ADDRESS" help:"Where mails come back that cannot be delivered: bounces@example.org gives each mail the MAIL FROM bounces+<token>@example.org (default: the campaign's From)." placeholder:"ADDRESS" group:"Sending"`
	DKIMKeys           string `name:"dkim-keys" env:"JATAK_DKIM_KEYS" help:"Keys that mails are signed with, domain:selector:file,...; make one with: jatak dkim keygen." placeholder:"KEYS" group:"Sending"`
	UnsubscribeMailbox string `name:"unsubscribe-mailbox" env:"JATAK_UNSUBSCRIBE_MAILBOX" help:"The address that takes unsubscribe mails, for List-Unsubscribe." placeholder:"ADDRESS" group:"Sending"`
}

// Validate refuses what is no address.
func (s *Sender) Validate() error {
	for _, a := range []struct{ name, value string }{
		{"JATAK_BOUNCE_ADDRESS", s.BounceAddress}, {"JATAK_UNSUBSCRIBE_MAILBOX", s.UnsubscribeMailbox},
	} {
		if a.value == "" {
			continue
		}
		if parsed, err := mail.ParseAddress(a.value); err != nil || parsed.Address != a.value {
			return fmt.Errorf("%s: %q is not an e-mail address; write one like bounces@example.org", a.name, a.value)
		}
	}
	if local, _, _ := strings.Cut(s.BounceAddress, "@"); len(local) > longestBounceMailbox {
		return fmt.Errorf("JATAK_BOUNCE_ADDRESS: %q has more than %d characters before the @, and leaves no room for the token that follows; write one like bounces@example.org",
			s.BounceAddress, longestBounceMailbox)
	}
	return nil
}

// longestBounceMailbox leaves room for a plus and a bounce token in the 64 bytes
// of a local part.
const longestBounceMailbox = 16

// Worker says how mails are sent.
type Worker struct {
	Concurrency int           `name:"concurrency" env:"JATAK_CONCURRENCY" help:"Batches worked on at once." default:"4" group:"Sending"`
	Window      int           `name:"window" env:"JATAK_WINDOW" help:"Mails claimed and not yet recorded, at most (default: twice the connections, at least 512)." default:"0" group:"Sending"`
	InDoubt     string        `name:"in-doubt" env:"JATAK_IN_DOUBT" help:"What becomes of mails whose outcome is unknown: resend (same Message-ID) or hold (a person decides)." enum:"resend,hold" default:"resend" group:"Sending"`
	MaxAttempts int           `name:"max-attempts" env:"JATAK_MAX_ATTEMPTS" help:"Attempts before a deferred mail counts as failed." default:"10" group:"Sending"`
	MaxAge      time.Duration `name:"max-age" env:"JATAK_MAX_AGE" help:"How long after its first deferral a mail is still tried." default:"72h" group:"Sending"`
	RetryBase   time.Duration `name:"retry-base" env:"JATAK_RETRY_BASE" help:"The first delay of a deferred mail; it doubles each time." default:"1m" group:"Sending"`
	Lease       time.Duration `name:"lease" env:"JATAK_LEASE" help:"How long a silent worker keeps what it claimed." default:"30s" group:"Sending"`
	SweepEvery  time.Duration `name:"sweep-every" env:"JATAK_SWEEP_EVERY" help:"How often the ledger is looked over for forgotten work." default:"5s" group:"Sending"`
	Grace       time.Duration `name:"grace" env:"JATAK_GRACE" help:"Time for what is in flight when the worker is told to stop." default:"30s" group:"Sending"`
}

// Validate refuses values out of range.
func (w *Worker) Validate() error {
	const mostWindow = 10_000
	switch {
	case w.Concurrency < 1 || w.Concurrency > 256:
		return fmt.Errorf("JATAK_CONCURRENCY is a number from 1 to 256, not %d", w.Concurrency)
	case w.Window < 0 || w.Window > mostWindow:
		return fmt.Errorf("JATAK_WINDOW is a number from 1 to %d, not %d", mostWindow, w.Window)
	case w.MaxAttempts < 1 || w.MaxAttempts > 100:
		return fmt.Errorf("JATAK_MAX_ATTEMPTS is a number from 1 to 100, not %d", w.MaxAttempts)
	}
	for _, d := range []struct {
		name        string
		value       time.Duration
		least, most time.Duration
	}{
		{"JATAK_RETRY_BASE", w.RetryBase, time.Second, time.Hour},
		{"JATAK_MAX_AGE", w.MaxAge, time.Minute, 30 * 24 * time.Hour},
		{"JATAK_LEASE", w.Lease, 3 * time.Second, time.Hour},
		{"JATAK_SWEEP_EVERY", w.SweepEvery, 100 * time.Millisecond, 10 * time.Minute},
		{"JATAK_GRACE", w.Grace, time.Second, time.Hour},
	} {
		if d.value < d.least || d.value > d.most {
			return fmt.Errorf("%s is a time from %s to %s, such as 30s, not %s", d.name, d.least, d.most, d.value)
		}
	}
	return nil
}

// Log says how the program tells what it does, on stderr.
type Log struct {
	Level  slog.Level `name:"level" env:"JATAK_LOG_LEVEL" help:"What is logged: debug, info, warn or error." default:"info"`
	Format string     `name:"format" env:"JATAK_LOG_FORMAT" help:"How: text or json." enum:"text,json" default:"text"`
}

// Logger returns a logger that writes to w.
func (l Log) Logger(w io.Writer) *slog.Logger {
	o := &slog.HandlerOptions{Level: l.Level}
	if l.Format == "json" {
		return slog.New(slog.NewJSONHandler(w, o))
	}
	return slog.New(slog.NewTextHandler(w, o))
}

func oneOf(s string, of ...string) bool {
	for _, o := range of {
		if s == o {
			return true
		}
	}
	return false
}
