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

// dialTimeout bounds the time from dialling to the end of authentication.
const dialTimeout = 30 * time.Second

// dial opens a connection: greeted, encrypted and logged in. Its error says in
// words what the relay did, and never shows the password.
func (r Relay) dial(ctx context.Context) (*smtp.Client, error) {
	var conn net.Conn
	client, err := r.client(func(ctx context.Context, network, address string) (net.Conn, error) {
		var err error
		conn, err = r.connect(ctx, network, address)
		return conn, err
	})
	if err != nil {
		return nil, err
	}
	open, err := client.DialToSMTPClientWithContext(ctx)
	if err != nil {
		if conn != nil {
			_ = conn.Close() // go-mail leaves it open after a refused login
		}
		return nil, explain(err)
	}
	return open, nil
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
		mail.WithPort(max(1, r.Port)), mail.WithTimeout(min(r.Timeout, dialTimeout)), mail.WithTLSPolicy(policy),
	}
	if r.ImplicitTLS {
		options = append(options, mail.WithSSL()) // go-mail takes a dial function of ours for one without TLS
	} else {
		options = append(options, mail.WithDialContextFunc(dial))
	}
	config, err := r.tls()
	if err != nil {
		return nil, err
	}
	options = append(options, mail.WithTLSConfig(config))
	if r.User != "" {
		options = append(options, mail.WithSMTPAuth(r.authType()), mail.WithUsername(r.User), mail.WithPassword(r.Password))
	}
	if r.Hello != "" {
		options = append(options, mail.WithHELO(r.Hello))
	}
	return mail.NewClient(r.Host, options...)
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
