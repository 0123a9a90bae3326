package mailer

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/wneessen/go-mail"
)

// Relay is a server that mail leaves through.
type Relay struct {
	Host        string
	Port        int
	ImplicitTLS bool // smtps:// (RFC 8314)
	User        string
	Password    string
	Connections int // at most, at once; from 1 to 1000
	STARTTLS    STARTTLS
	Auth        mail.SMTPAuthType
	Hello       string        // the EHLO name; "" is this machine's
	Timeout     time.Duration // for a reply; the one after the final dot may take five times as long
}

// STARTTLS says whether a plain connection must be encrypted (RFC 3207).
type STARTTLS string

// The STARTTLS policies.
const (
	TLSRequired      STARTTLS = "required" // the default
	TLSOpportunistic STARTTLS = "opportunistic"
	TLSNone          STARTTLS = "none" // the default for this machine's own relay
)

// Name returns the relay as host and port.
func (r Relay) Name() string { return net.JoinHostPort(r.Host, strconv.Itoa(r.Port)) }

// String never shows the password.
func (r Relay) String() string { return "relay " + r.Name() }

const relayExample = "write smtp://user:password@mail.example.org:587?max_conns=20"

// ParseRelays reads relay URLs, separated by commas: smtp:// or smtps://, with
// the parameters max_conns, starttls (required, opportunistic, none), auth
// (auto, plain, login, cram-md5, scram-sha-256, xoauth2), helo and timeout. An
// error says what to write and never shows a password.
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
	return relays, nil
}

func parseRelay(s string) (Relay, error) {
	u, err := url.Parse(s)
	if err != nil {
		return Relay{}, errors.New("the URL cannot be read (are @ and / in the password written as %40 and %2F?); " + relayExample)
	}
	r := Relay{Host: u.Hostname(), Connections: 10, STARTTLS: TLSRequired, Timeout: time.Minute}
	switch {
	case u.Scheme != "smtp" && u.Scheme != "smtps":
		return r, fmt.Errorf("the scheme is %q; %s, or smtps:// for TLS from the start", u.Scheme, relayExample)
	case r.Host == "":
		return r, errors.New("the URL names no host; " + relayExample)
	case u.Path != "" && u.Path != "/" || u.Fragment != "":
		return r, errors.New("something follows the host; " + relayExample)
	}
	r.ImplicitTLS = u.Scheme == "smtps"
	r.User = u.User.Username()
	r.Password, _ = u.User.Password()
	if isLoopback(r.Host) {
		r.STARTTLS = TLSNone
	}
	if r.Port, err = port(u.Port(), r); err != nil {
		return r, err
	}
	r.Auth = mail.SMTPAuthNoAuth
	if r.User != "" {
		r.Auth = mail.SMTPAuthAutoDiscover
	}
	if err := r.parameters(u.Query()); err != nil {
		return r, err
	}
	if r.Password != "" && r.STARTTLS == TLSNone && !r.ImplicitTLS && !isLoopback(r.Host) {
		return r, fmt.Errorf("starttls=none would send the password to %s in the clear; remove one of the two", r.Host)
	}
	return r, nil
}

func port(s string, r Relay) (int, error) {
	switch {
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

func (r *Relay) parameters(query url.Values) error {
	for name, values := range query {
		value := values[len(values)-1]
		switch name {
		case "max_conns":
			n, err := strconv.Atoi(value)
			if err != nil || n < 1 || n > 1000 {
				return fmt.Errorf("max_conns is a number from 1 to 1000, not %q", value)
			}
			r.Connections = n
		case "starttls":
			r.STARTTLS = STARTTLS(value)
			if !slices.Contains([]STARTTLS{TLSRequired, TLSOpportunistic, TLSNone}, r.STARTTLS) {
				return fmt.Errorf("starttls is required, opportunistic or none, not %q", value)
			}
		case "auth":
			auth, known := map[string]mail.SMTPAuthType{
				"auto": mail.SMTPAuthAutoDiscover, "plain": mail.SMTPAuthPlain, "login": mail.SMTPAuthLogin,
				"cram-md5": mail.SMTPAuthCramMD5, "scram-sha-256": mail.SMTPAuthSCRAMSHA256, "xoauth2": mail.SMTPAuthXOAUTH2,
			}[value]
			if !known {
				return fmt.Errorf("auth is auto, plain, login, cram-md5, scram-sha-256 or xoauth2, not %q", value)
			}
			r.Auth = auth
		case "helo":
			if value == "" || strings.ContainsAny(value, " \r\n\t") {
				return fmt.Errorf("helo is a host name, not %q", value)
			}
			r.Hello = value
		case "timeout":
			d, err := time.ParseDuration(value)
			if err != nil || d < time.Millisecond || d > time.Hour {
				return fmt.Errorf("timeout is a time such as 60s, not %q", value)
			}
			r.Timeout = d
		default:
			return fmt.Errorf("there is no parameter %q; there are max_conns, starttls, auth, helo and timeout", name)
		}
	}
	return nil
}

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// client returns a go-mail client, which dials, encrypts and authenticates.
func (r Relay) client() (*mail.Client, error) {
	policy := map[STARTTLS]mail.TLSPolicy{
		TLSRequired: mail.TLSMandatory, TLSOpportunistic: mail.TLSOpportunistic, TLSNone: mail.NoTLS,
	}[r.STARTTLS]
	options := []mail.Option{
		mail.WithPort(r.Port), mail.WithTimeout(min(r.Timeout, dialTimeout)), mail.WithTLSPolicy(policy),
	}
	if r.ImplicitTLS {
		options = append(options, mail.WithSSL())
	}
	if r.User != "" {
		auth := r.Auth
		if isLoopback(r.Host) && r.STARTTLS == TLSNone && !r.ImplicitTLS && auth == mail.SMTPAuthAutoDiscover {
			auth = mail.SMTPAuthPlainNoEnc
		}
		options = append(options, mail.WithSMTPAuth(auth), mail.WithUsername(r.User), mail.WithPassword(r.Password))
	}
	if r.Hello != "" {
		options = append(options, mail.WithHELO(r.Hello))
	}
	return mail.NewClient(r.Host, options...)
}

// dialTimeout bounds the time from dialling to the end of authentication.
const dialTimeout = 30 * time.Second
