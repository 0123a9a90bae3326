package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/jatak-mail/jatak/internal/contact"
	"github.com/jatak-mail/jatak/internal/mailer"
	"github.com/jatak-mail/jatak/internal/managelink"
	"github.com/jatak-mail/jatak/internal/postgres"
	"github.com/jatak-mail/jatak/internal/preferences"
	"github.com/jatak-mail/jatak/internal/settings"
)

type doctorCommand struct {
	Database settings.Database `embed:""`
	Redis    settings.Redis    `embed:""`
	Public   settings.Public   `embed:""`
	Secrets  settings.Secrets  `embed:""`
	SMTP     settings.SMTP     `embed:""`
	Sender   settings.Sender   `embed:""`
	Wait     time.Duration     `help:"Give the pages so long to come up." placeholder:"30s"`
	JSON     bool              `help:"Print one JSON object a line on stdout." name:"json"`
}

// finding is what doctor says about one part.
type finding struct {
	Part string `json:"part"`
	OK   bool   `json:"ok"`
	Says string `json:"says"`
}

const (
	// doctorPatience is how long one part may take to answer.
	doctorPatience = 20 * time.Second
	// mostSkew is how far this machine's clock may be from the database's.
	mostSkew = 5 * time.Second
)

// Run looks at each part that is configured. It ends with status 1 when one is
// not well.
func (d *doctorCommand) Run(ctx context.Context, c *console) error {
	ill := 0
	look := func(part string, examine func(context.Context) (string, error)) {
		examining, cancel := context.WithTimeout(ctx, doctorPatience+d.Wait)
		defer cancel()
		says, err := examine(examining)
		f := finding{part, err == nil, says}
		if err != nil {
			f.Says = err.Error()
			ill++
		}
		if d.JSON {
			_ = writeJSON(c.out, f)
			return
		}
		mark := "ok  "
		if !f.OK {
			mark = "FAIL"
		}
		_, _ = fmt.Fprintf(c.out, "%s  %-9s %s\n", mark, f.Part, f.Says)
	}
	keys, keysErr := managelink.ParseKeys(d.Secrets.Keys)
	look("keys", func(context.Context) (string, error) {
		if keysErr != nil {
			return "", fmt.Errorf("JATAK_SECRET_KEYS: %w", keysErr)
		}
		return "links are signed, and can be opened", nil
	})
	db, dbErr := openDatabase(ctx, d.Database, c)
	if dbErr == nil {
		defer db.Close()
	}
	look("database", func(ctx context.Context) (string, error) {
		if dbErr != nil {
			return "", dbErr
		}
		return examineDatabase(ctx, db)
	})
	look("redis", func(ctx context.Context) (string, error) {
		client, err := openQueue(ctx, d.Redis)
		if err != nil {
			return "", err
		}
		return "answers", client.Close()
	})
	relays, err := mailer.ParseRelays(d.SMTP.URLs)
	if err != nil {
		look("relay", func(context.Context) (string, error) { return "", fmt.Errorf("JATAK_SMTP_URLS: %w", err) })
	}
	for _, r := range relays {
		look("relay", func(ctx context.Context) (string, error) {
			offers, err := mailer.Probe(ctx, r)
			if err != nil {
				return "", fmt.Errorf("%s: %w", r.Name(), err)
			}
			return strings.TrimSpace(r.Name() + " takes mail: " + strings.Join(offers, " ")), nil
		})
	}
	if d.Sender.DKIMKeys != "" {
		look("dkim", func(context.Context) (string, error) {
			_, err := mailer.ParseSigners(d.Sender.DKIMKeys)
			return "the keys can be read", err
		})
	}
	look("pages", func(ctx context.Context) (string, error) {
		if err := errors.Join(keysErr, dbErr); err != nil {
			return "", errors.New("cannot be tried without the keys and the database")
		}
		id, err := db.SelfTestContact(ctx, func(a contact.Address) []byte { return keys.Digest(string(a)) }, time.Now())
		if err != nil {
			return "", err
		}
		if err := d.awaitPages(ctx); err != nil {
			return "", err
		}
		if err := selfTest(db, keys, d.Public).Run(ctx, id); err != nil {
			return "", err
		}
		return d.Public.URL + ": a yes on the page and a one-click unsubscribe are in the ledger", nil
	})
	if ill > 0 {
		return fmt.Errorf("%d of the parts are not well", ill)
	}
	return nil
}

// awaitPages waits until something listens where the pages should be, as long as
// it may.
func (d *doctorCommand) awaitPages(ctx context.Context) error {
	site, err := url.Parse(d.Public.URL)
	if err != nil {
		return err
	}
	address := site.Host
	if site.Port() == "" {
		address = net.JoinHostPort(site.Hostname(), site.Scheme)
	}
	deadline := time.Now().Add(d.Wait)
	var dialer net.Dialer
	for {
		conn, err := dialer.DialContext(ctx, "tcp", address)
		if err == nil {
			return conn.Close()
		}
		if time.Now().After(deadline) {
			return nil // the self-test says what is wrong
		}
		select {
		case <-time.After(200 * time.Millisecond):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func examineDatabase(ctx context.Context, db *postgres.DB) (string, error) {
	s, err := db.Server(ctx)
	if err != nil {
		return "", err
	}
	if skew := time.Since(s.Now).Round(time.Second); skew.Abs() > mostSkew {
		return "", fmt.Errorf("its clock and this machine's are %v apart; set both by NTP", skew.Abs())
	}
	return fmt.Sprintf("PostgreSQL %s, schema %d", s.Version, s.Schema), nil
}

func selfTest(db *postgres.DB, keys *managelink.Keyring, public settings.Public) preferences.SelfTest {
	return preferences.SelfTest{PublicURL: public.URL, Keyring: keys, Profile: db.Profile, Client: &http.Client{Timeout: doctorPatience}}
}
