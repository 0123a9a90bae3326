package mailer

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/textproto"
	"os"
	"strings"
	"time"

	"github.com/wneessen/go-mail"
	"github.com/wneessen/go-mail/smtp"
)

// dialTimeout bounds the time for the greeting, and again that for TLS and login,
// where the relay's URL does not say. RFC 5321 section 4.5.3.2.1 has 5 minutes for a
// greeting; meanwhile another relay could have had the mails.
const dialTimeout = 30 * time.Second

// mostBeforeLogin bounds what a relay may say before it is logged in at, in bytes,
// its certificates included. Later each reply has a bound of its own.
const mostBeforeLogin = 256 << 10

// dial opens a connection: greeted, encrypted and logged in. Its error says in
// words what the relay did, and never shows the password. When the context ends,
// the relay is not waited for.
func (r Relay) dial(ctx context.Context) (*smtp.Client, error) {
	var conn *boundedConn
	stop := func() bool { return true }
	client, err := r.client(func(dialling context.Context, network, address string) (net.Conn, error) {
		plain, err := r.connect(dialling, network, address)
		if err != nil {
			return nil, err
		}
		conn = &boundedConn{Conn: plain, left: mostBeforeLogin}
		stop = context.AfterFunc(ctx, func() { _ = plain.Close() })
		if !r.ImplicitTLS {
			return conn, nil
		}
		config, err := r.tls()
		if err != nil {
			return nil, err
		}
		encrypted := tls.Client(conn, config)
		return encrypted, encrypted.HandshakeContext(dialling)
	})
	if err != nil {
		return nil, err
	}
	open, err := client.DialToSMTPClientWithContext(ctx)
	if !stop() && err == nil {
		err = context.Cause(ctx)
	}
	if err != nil {
		if conn != nil {
			_ = conn.Close() // go-mail leaves it open after a refused login
		}
		return nil, explain(err)
	}
	conn.unbound = true
	return open, nil
}

// boundedConn reads no more than it may.
type boundedConn struct {
	net.Conn
	left    int
	unbound bool
}

func (c *boundedConn) Read(b []byte) (int, error) {
	if c.unbound {
		return c.Conn.Read(b)
	}
	if c.left <= 0 {
		return 0, fmt.Errorf("it says more than %d bytes before the login", mostBeforeLogin)
	}
	n, err := c.Conn.Read(b[:min(len(b), c.left)])
	c.left -= n
	return n, err
}

func (r Relay) connect(ctx context.Context, network, address string) (net.Conn, error) {
	if r.Socket != "" {
		network, address = "unix", r.Socket
	}
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, network, address)
	if err == nil && r.LMTP {
		conn = &lmtpConn{Conn: conn}
	}
	return conn, err
}

// lmtpConn says LHLO where go-mail says EHLO. For mails with one recipient that
// is all that RFC 2033 changes: there is one reply after the dot.
type lmtpConn struct {
	net.Conn
	greeted bool
}

func (c *lmtpConn) Write(b []byte) (int, error) {
	if !c.greeted && bytes.HasPrefix(b, []byte("EHLO ")) {
		c.greeted = true
		b = append([]byte("LHLO "), b[len("EHLO "):]...)
	}
	return c.Conn.Write(b)
}

// explain says in words what a relay did when it was dialled.
func explain(err error) error {
	var reply *textproto.Error
	if !errors.As(err, &reply) {
		return err
	}
	says := said{reply}
	switch reply.Code {
	case 534, 535, 538:
		return fmt.Errorf("it refuses the user or the password: %w", says)
	case 530:
		return fmt.Errorf("it wants a login or TLS: %w", says)
	}
	return fmt.Errorf("it answers %w", says)
}

// said is a reply as the relay gave it, on one line.
type said struct{ reply *textproto.Error }

func (s said) Error() string {
	return fmt.Sprintf("%d %s", s.reply.Code, strings.Join(strings.Fields(s.reply.Msg), " "))
}

func (s said) Unwrap() error { return s.reply }

// client returns a go-mail client, which dials, encrypts and authenticates.
func (r Relay) client(dial mail.DialContextFunc) (*mail.Client, error) {
	policy := map[STARTTLS]mail.TLSPolicy{
		TLSRequired: mail.TLSMandatory, TLSOpportunistic: mail.TLSOpportunistic, TLSNone: mail.NoTLS,
	}[r.STARTTLS]
	options := []mail.Option{
		mail.WithPort(max(1, r.Port)), mail.WithTimeout(r.dialTimeout()), mail.WithTLSPolicy(policy), mail.WithDialContextFunc(dial),
	}
	if r.ImplicitTLS {
		options = append(options, mail.WithSSL())
	}
	config, err := r.tls()
	if err != nil {
		return nil, err
	}
	options = append(options, mail.WithTLSConfig(config))
	if r.User != "" {
		password, err := r.password()
		if err != nil {
			return nil, err
		}
		options = append(options, r.auth(), mail.WithUsername(r.User), mail.WithPassword(password))
	}
	if r.Hello != "" {
		options = append(options, mail.WithHELO(r.Hello))
	}
	return mail.NewClient(r.Host, options...)
}

func (r Relay) dialTimeout() time.Duration {
	if r.ConnectTimeout > 0 {
		return r.ConnectTimeout
	}
	return min(r.Timeout, dialTimeout)
}

// password returns what to log in with: a file is read anew each time, since the
// tokens of XOAUTH2 hold for an hour.
func (r Relay) password() (string, error) {
	if r.PasswordFile == "" {
		return r.Password, nil
	}
	content, err := os.ReadFile(r.PasswordFile)
	if err != nil {
		return "", fmt.Errorf("%s: password_file: %w", r, err)
	}
	password := strings.TrimRight(string(content), "\r\n")
	if password == "" {
		return "", fmt.Errorf("%s: password_file: %s is empty", r, r.PasswordFile)
	}
	return password, nil
}

// auth is the option for the way to log in.
func (r Relay) auth() mail.Option {
	if r.ImplicitTLS && r.Auth == mail.SMTPAuthAutoDiscover {
		// go-mail takes a connection of ours for one without TLS, and would not find PLAIN.
		return mail.WithOpportunisticSMTPAuth(mail.SMTPAuthSCRAMSHA256PLUS, mail.SMTPAuthSCRAMSHA256, mail.SMTPAuthSCRAMSHA1PLUS,
			mail.SMTPAuthSCRAMSHA1, mail.SMTPAuthCramMD5, mail.SMTPAuthPlain, mail.SMTPAuthLogin)
	}
	return mail.WithSMTPAuth(r.authType())
}

// authType is the way to log in; what sends the password in the clear is allowed
// on this machine only.
func (r Relay) authType() mail.SMTPAuthType {
	if r.isLocal() && r.STARTTLS == TLSNone && !r.ImplicitTLS {
		switch r.Auth {
		case mail.SMTPAuthAutoDiscover, mail.SMTPAuthPlain:
			return mail.SMTPAuthPlainNoEnc
		case mail.SMTPAuthLogin:
			return mail.SMTPAuthLoginNoEnc
		}
	}
	return r.Auth
}

func (r Relay) tls() (*tls.Config, error) {
	config := &tls.Config{ServerName: r.Host, MinVersion: tls.VersionTLS12}
	if r.TLSName != "" {
		config.ServerName = r.TLSName
	}
	if r.TLSAuthority == "" {
		return config, nil
	}
	certificates, err := os.ReadFile(r.TLSAuthority)
	if err != nil {
		return nil, fmt.Errorf("%s: tls_ca: %w", r, err)
	}
	config.RootCAs = x509.NewCertPool()
	if !config.RootCAs.AppendCertsFromPEM(certificates) {
		return nil, fmt.Errorf("%s: tls_ca: %s holds no certificate in PEM", r, r.TLSAuthority)
	}
	return config, nil
}
