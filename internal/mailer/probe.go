package mailer

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/textproto"
	"syscall"
)

// Probe opens a connection to a relay as the pool does, encrypted and logged in,
// and closes it. It returns what the relay offers.
func Probe(ctx context.Context, r Relay) (offers []string, err error) {
	open, err := r.dial(ctx)
	if err != nil {
		return nil, err
	}
	defer newConnection(open, &relayState{Relay: r, name: r.Name()}).quit()
	for _, extension := range []string{"STARTTLS", "PIPELINING", "SMTPUTF8", "8BITMIME", "SIZE", "DSN"} {
		if ok, _ := open.Extension(extension); ok {
			offers = append(offers, extension)
		}
	}
	return offers, nil
}

// Trouble is why a relay cannot be used, as far as its error tells.
type Trouble string

// The troubles.
const (
	TroubleName        Trouble = "name"        // nobody knows its name
	TroubleClosed      Trouble = "closed"      // nothing listens there
	TroubleSilent      Trouble = "silent"      // it does not answer in time
	TroubleCertificate Trouble = "certificate" // its certificate cannot be trusted
	TroubleLogin       Trouble = "login"       // it does not take the user or the password, or wants a login
	TroubleRefused     Trouble = "refused"     // it answers, and wants none of us
	TroubleOther       Trouble = "other"
)

// TroubleOf returns what kind of trouble an error of Probe is.
func TroubleOf(err error) Trouble {
	var (
		name        *net.DNSError
		certificate *tls.CertificateVerificationError
		reply       *textproto.Error
		slow        net.Error
	)
	switch {
	case errors.As(err, &name) && !name.IsTimeout:
		return TroubleName
	case errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, syscall.ENOENT):
		return TroubleClosed
	case errors.As(err, &certificate):
		return TroubleCertificate
	case errors.As(err, &reply):
		switch reply.Code {
		case 530, 534, 535, 538:
			return TroubleLogin
		}
		return TroubleRefused
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &slow) && slow.Timeout():
		return TroubleSilent
	}
	return TroubleOther
}
