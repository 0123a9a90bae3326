package mailer

import (
	"errors"
	"fmt"
	"maps"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/wneessen/go-mail"
	"golang.org/x/net/idna"
)

// Relay is a server that mail leaves through.
type Relay struct {
	Host        string
	Port        int
	Socket      string // a Unix socket, instead of host and port
	LMTP        bool   // RFC 2033
	ImplicitTLS bool   // smtps:// (RFC 8314)
	User        string
	Password    string
	// PasswordFile holds the password, or the token of XOAUTH2, and is read at each
	// login; "" uses Password.
	PasswordFile string
	STARTTLS     STARTTLS
	// TLSName is the name that the relay's certificate must hold; "" is Host.
	TLSName string
	// TLSAuthority is a PEM file of those who may have signed the certificate;
	// "" trusts whom this machine trusts.
	TLSAuthority string
	Auth         mail.SMTPAuthType
	Hello        string // the EHLO name; "" is this machine's

	Connections        int           // at most, at once; from 1 to 1000
	MailsPerConnection int           // after which a fresh one takes its place
	Idle               time.Duration // how long a connection waits for mail; 0 leaves it to the pool
	Timeout            time.Duration // for a reply; the one after the final dot may take five times as long
	ConnectTimeout     time.Duration // for the greeting, and again for TLS and login; 0: Timeout, 30 s at most

	// Weight is the relay's part of the mails, in proportion to the others'; 0,
	// when nobody has said, counts as 1, and a relay that is busy is passed over.
	Weight int
	From   []string // the From domains that it takes; none: all
	// Notify says of what the relay is asked to tell the sender (RFC 3461):
	// FAILURE, DELAY and SUCCESS, or NEVER alone; none: it is not asked.
	Notify []string

	// apart is set where another relay has the same host and port.
	apart bool
}

// STARTTLS says whether a plain connection must be encrypted (RFC 3207).
type STARTTLS string

// The STARTTLS policies.
const (
	TLSRequired      STARTTLS = "required" // the default
	TLSOpportunistic STARTTLS = "opportunistic"
	TLSNone          STARTTLS = "none" // the default for this machine's own relay
)

// Name returns the relay as host and port, or the path of its socket, and with its
// user where another relay is at the same place.
func (r Relay) Name() string {
	if r.apart && r.User != "" {
		return r.User + "@" + r.place()
	}
	return r.place()
}

func (r Relay) place() string {
	if r.Socket != "" {
		return r.Socket
	}
	return net.JoinHostPort(r.Host, strconv.Itoa(r.Port))
}

// String never shows the password.
func (r Relay) String() string { return "relay " + r.Name() }

const relayExample = "write smtp://user:password@mail.example.org:587?max_conns=20"

// ParseRelays reads relay URLs, separated by commas: smtp://, smtps:// or
// lmtp://, or smtp+unix:// or lmtp+unix:// with the path of a socket, with the
// parameters that are listed under parameters. An error says what to write and
// never shows a password.
func ParseRelays(s string) ([]Relay, error) {
	var relays []Relay
	for i, part := range strings.Split(s, ",") {
		part = strings.TrimSpace(part)
		if part == "" {
			continue
		}
		r, err := parseRelay(part)
		if err != nil {
			return nil, fmt.Errorf("relay %d: %w", i+1, err)
		}
		relays = append(relays, r)
	}
	if len(relays) == 0 {
		return nil, errors.New("no relay is named; " + relayExample)
	}
	return relays, tellApart(relays)
}

// tellApart names relays at one place by their users: limits and connections go by
// a relay's name, and two accounts with one provider have their own.
func tellApart(relays []Relay) error {
	at, names := map[string]int{}, map[string]int{}
	for _, r := range relays {
		at[r.place()]++
	}
	for i := range relays {
		r := &relays[i]
		r.apart = at[r.place()] > 1
		if names[r.Name()]++; names[r.Name()] > 1 {
			return fmt.Errorf("relay %d: %s stands there already; give one of the two a user of its own, or the connections and From domains of both", i+1, r.Name())
		}
	}
	return nil
}

func parseRelay(s string) (Relay, error) {
	u, err := url.Parse(s)
	if err != nil {
		return Relay{}, errors.New("the URL cannot be read (are @ and / in the password written as %40 and %2F?); " + relayExample)
	}
	r := Relay{Host: u.Hostname(), Connections: 10, MailsPerConnection: 1000, STARTTLS: TLSRequired, Timeout: time.Minute}
	scheme, socket := strings.CutSuffix(u.Scheme, "+unix")
	switch {
	case scheme != "smtp" && scheme != "lmtp" && u.Scheme != "smtps":
		return r, fmt.Errorf("the scheme is %q; %s, or smtps://, lmtp://, smtp+unix:// or lmtp+unix://", u.Scheme, relayExample)
	case socket && (u.Host != "" || len(u.Path) < 2):
		return r, fmt.Errorf("the URL names no socket; write %s:///run/relay.sock", u.Scheme)
	case !socket && r.Host == "":
		return r, errors.New("the URL names no host; " + relayExample)
	case !socket && u.Path != "" && u.Path != "/" || u.Fragment != "":
		return r, errors.New("something follows the host; " + relayExample)
	}
	r.LMTP = scheme == "lmtp"
	r.ImplicitTLS = u.Scheme == "smtps"
	r.User = u.User.Username()
	r.Password, _ = u.User.Password()
	if socket {
		r.Host, r.Socket = "localhost", u.Path
	}
	if r.isLocal() {
		r.STARTTLS = TLSNone
	}
	if r.Port, err = port(u.Port(), r); err != nil {
		return r, err
	}
	r.Auth = mail.SMTPAuthNoAuth
	if r.User != "" {
		r.Auth = mail.SMTPAuthAutoDiscover
	}
	query, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return r, errors.New("the parameters cannot be read; " + relayExample)
	}
	if err := r.parameters(query); err != nil {
		return r, err
	}
	return r, r.check()
}

// check refuses combinations that cannot work, or would show a password.
func (r Relay) check() error {
	switch {
	case r.Password != "" && r.PasswordFile != "":
		return errors.New("the URL holds a password, and password_file another; remove one of the two")
	case r.PasswordFile != "" && r.User == "":
		return errors.New("password_file is set, and the URL names no user; write smtp://user@mail.example.org:587?password_file=/run/secrets/smtp")
	case r.Password+r.PasswordFile != "" && r.STARTTLS == TLSNone && !r.ImplicitTLS && !r.isLocal():
		return fmt.Errorf("starttls=none would send the password to %s in the clear; remove one of the two", r.Host)
	case r.LMTP && r.STARTTLS != TLSNone:
		return fmt.Errorf("LMTP is spoken without TLS; if the way to %s is private, write starttls=none", r.Name())
	case r.Auth != mail.SMTPAuthNoAuth && r.User == "":
		return errors.New("auth is set, and the URL names no user; " + relayExample)
	}
	return nil
}

func port(s string, r Relay) (int, error) {
	switch {
	case r.Socket != "":
		return 0, nil
	case s == "" && r.LMTP:
		return 24, nil
	case s == "" && r.ImplicitTLS:
		return 465, nil
	case s == "" && r.User != "":
		return 587, nil
	case s == "":
		return 25, nil
	}
	n, err := strconv.Atoi(s)
	if err != nil || n < 1 || n > 65535 {
		return 0, fmt.Errorf("%q is not a port from 1 to 65535", s)
	}
	return n, nil
}

// parameters returns what may follow the question mark of a relay's URL. Each
// sets a field, or says what to write.
func parameters() map[string]func(r *Relay, value string) error {
	number := func(name string, most int, field func(*Relay) *int) func(*Relay, string) error {
		return func(r *Relay, value string) error {
			n, err := strconv.Atoi(value)
			if err != nil || n < 1 || n > most {
				return fmt.Errorf("%s is a number from 1 to %d, not %q", name, most, value)
			}
			*field(r) = n
			return nil
		}
	}
	duration := func(name string, field func(*Relay) *time.Duration) func(*Relay, string) error {
		return func(r *Relay, value string) error {
			d, err := time.ParseDuration(value)
			if err != nil || d < time.Millisecond || d > time.Hour {
				return fmt.Errorf("%s is a time such as 60s, not %q", name, value)
			}
			*field(r) = d
			return nil
		}
	}
	return map[string]func(*Relay, string) error{
		"max_conns":       number("max_conns", 1000, func(r *Relay) *int { return &r.Connections }),
		"mails_per_conn":  number("mails_per_conn", 1_000_000, func(r *Relay) *int { return &r.MailsPerConnection }),
		"weight":          number("weight", 1000, func(r *Relay) *int { return &r.Weight }),
		"idle":            duration("idle", func(r *Relay) *time.Duration { return &r.Idle }),
		"timeout":         duration("timeout", func(r *Relay) *time.Duration { return &r.Timeout }),
		"connect_timeout": duration("connect_timeout", func(r *Relay) *time.Duration { return &r.ConnectTimeout }),
		"password_file":   (*Relay).setPasswordFile,
		"starttls":        (*Relay).setSTARTTLS,
		"tls_name":        (*Relay).setTLSName,
		"tls_ca":          (*Relay).setTLSAuthority,
		"auth":            (*Relay).setAuth,
		"helo":            (*Relay).setHello,
		"from":            (*Relay).setFrom,
		"dsn":             (*Relay).setNotify,
	}
}

func (r *Relay) parameters(query url.Values) error {
	known := parameters()
	for _, name := range slices.Sorted(maps.Keys(query)) {
		set, ok := known[name]
		if !ok {
			return fmt.Errorf("there is no parameter %q; there are %s", name, strings.Join(slices.Sorted(maps.Keys(known)), ", "))
		}
		values := query[name]
		if err := set(r, values[len(values)-1]); err != nil {
			return err
		}
	}
	return nil
}

func (r *Relay) setSTARTTLS(value string) error {
	r.STARTTLS = STARTTLS(value)
	if !slices.Contains([]STARTTLS{TLSRequired, TLSOpportunistic, TLSNone}, r.STARTTLS) {
		return fmt.Errorf("starttls is required, opportunistic or none, not %q", value)
	}
	return nil
}

func (r *Relay) setAuth(value string) error {
	auth, known := map[string]mail.SMTPAuthType{
		"auto": mail.SMTPAuthAutoDiscover, "plain": mail.SMTPAuthPlain, "login": mail.SMTPAuthLogin, "cram-md5": mail.SMTPAuthCramMD5,
		"scram-sha-1": mail.SMTPAuthSCRAMSHA1, "scram-sha-1-plus": mail.SMTPAuthSCRAMSHA1PLUS,
		"scram-sha-256": mail.SMTPAuthSCRAMSHA256, "scram-sha-256-plus": mail.SMTPAuthSCRAMSHA256PLUS, "xoauth2": mail.SMTPAuthXOAUTH2,
	}[value]
	if !known {
		return fmt.Errorf("auth is auto, plain, login, cram-md5, scram-sha-1, scram-sha-256, either of these with -plus, or xoauth2, not %q", value)
	}
	r.Auth = auth
	return nil
}

func (r *Relay) setPasswordFile(value string) error {
	if value == "" {
		return errors.New("password_file is a file with the password or token; write password_file=/run/secrets/smtp")
	}
	r.PasswordFile = value
	return nil
}

func (r *Relay) setHello(value string) error {
	if value == "" || strings.ContainsAny(value, " \r\n\t") {
		return fmt.Errorf("helo is a host name, not %q", value)
	}
	r.Hello = value
	return nil
}

func (r *Relay) setTLSName(value string) error {
	if value == "" || strings.ContainsAny(value, " \r\n\t:/") {
		return fmt.Errorf("tls_name is the host name in the relay's certificate, not %q", value)
	}
	r.TLSName = value
	return nil
}

func (r *Relay) setTLSAuthority(value string) error {
	if value == "" {
		return errors.New("tls_ca is a file of certificates in PEM; write tls_ca=/etc/jatak/ca.pem")
	}
	r.TLSAuthority = value
	return nil
}

// list cuts a value at its pluses; in a URL's query they are blanks.
func list(value string) []string {
	return strings.FieldsFunc(value, func(c rune) bool { return c == '+' || c == ' ' })
}

func (r *Relay) setFrom(value string) error {
	for _, domain := range list(value) {
		ascii, err := idna.Lookup.ToASCII(domain)
		if err != nil || !strings.Contains(ascii, ".") {
			return fmt.Errorf("from holds %q, which is not a domain; write from=example.org+example.com", domain)
		}
		r.From = append(r.From, ascii)
	}
	if len(r.From) == 0 {
		return errors.New("from names no domain; write from=example.org+example.com")
	}
	return nil
}

func (r *Relay) setNotify(value string) error {
	for _, event := range list(value) {
		r.Notify = append(r.Notify, strings.ToUpper(event))
		if !slices.Contains([]string{"never", "failure", "delay", "success"}, event) {
			return fmt.Errorf("dsn is never, or failure, delay and success, with + between them, not %q", value)
		}
	}
	if len(r.Notify) == 0 || len(r.Notify) > 1 && slices.Contains(r.Notify, "NEVER") {
		return fmt.Errorf("dsn is never, or failure, delay and success, with + between them, not %q", value)
	}
	return nil
}

// isLocal reports whether the relay is on this machine.
func (r Relay) isLocal() bool { return r.Socket != "" || isLoopback(r.Host) }

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}
