package mailer

import "context"

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
