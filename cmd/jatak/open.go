package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/jatak-mail/jatak/examples"
	"github.com/jatak-mail/jatak/internal/campaign"
	staffsite "github.com/jatak-mail/jatak/internal/console"
	"github.com/jatak-mail/jatak/internal/contact"
	"github.com/jatak-mail/jatak/internal/contactlist"
	"github.com/jatak-mail/jatak/internal/mailer"
	"github.com/jatak-mail/jatak/internal/managelink"
	"github.com/jatak-mail/jatak/internal/pace"
	"github.com/jatak-mail/jatak/internal/postgres"
	"github.com/jatak-mail/jatak/internal/preferences"
	"github.com/jatak-mail/jatak/internal/queue"
	"github.com/jatak-mail/jatak/internal/senderdomain"
	"github.com/jatak-mail/jatak/internal/settings"
	"github.com/jatak-mail/jatak/internal/staff"
	"github.com/jatak-mail/jatak/templates"
	"github.com/jatak-mail/jatak/worker"
)

// openDatabase connects and brings the schema up to date.
func openDatabase(ctx context.Context, s settings.Database, c *console) (*postgres.DB, error) {
	db, err := postgres.Open(ctx, s.URL)
	if err != nil {
		return nil, err
	}
	done, err := db.Migrate(ctx)
	if err != nil {
		db.Close()
		return nil, err
	}
	for _, m := range done {
		c.log.Info("migrated", "step", m.Name, "took", m.Took)
	}
	return db, nil
}

// withDatabase opens the database for f.
func withDatabase(ctx context.Context, s settings.Database, c *console, f func(*postgres.DB) error) error {
	db, err := openDatabase(ctx, s, c)
	if err != nil {
		return err
	}
	defer db.Close()
	return f(db)
}

// openQueue connects to Redis. Whoever runs a worker on the connection does not close
// it: when Redis is frozen as the worker stops, asynq is left behind with it, and
// panics when it is closed.
func openQueue(ctx context.Context, s settings.Redis) (redis.UniversalClient, error) {
	if s.URL == "" {
		return nil, errors.New("JATAK_REDIS_URL is not set; write redis://:password@host:6379/0")
	}
	client, err := queue.Connect(s.URL)
	if err != nil {
		return nil, err
	}
	if err := queue.Ping(ctx, client, s.URL); err != nil {
		_ = client.Close()
		return nil, err
	}
	return client, nil
}

// newPortal returns the recipients' site; without a limiter it has no limits.
func newPortal(db *postgres.DB, keys *managelink.Keyring, public settings.Public, limiter *pace.Limiter, c *console) (http.Handler, error) {
	words, err := brandedWords(db, c.log)
	if err != nil {
		return nil, err
	}
	return preferences.New(preferences.Options{
		Store: db, Keyring: keys, Templates: words, Now: time.Now, Log: c.log, PublicURL: public.URL, TrustedProxies: public.Proxies(),
		Limiter: limiter,
	})
}

// newConsole returns the staff's site, which works until the context ends, and
// what stops the work that it has begun. As long as there is no user, it logs a
// link by which somebody becomes the first administrator.
func newConsole(ctx context.Context, db *postgres.DB, public settings.Public, names senderdomain.Resolver, c *console) (h http.Handler, stop func(), err error) {
	words, err := templates.New()
	if err != nil {
		return nil, nil, fmt.Errorf("templates: %w", err)
	}
	starters, err := starters()
	if err != nil {
		return nil, nil, err
	}
	runner := newUpgradeRunner(ctx, db, c.log)
	h, err = staffsite.New(staffsite.Options{Store: db, Together: together(db), Templates: words, Settings: postgres.Settings(), Now: time.Now, Log: c.log,
		Secure: strings.HasPrefix(public.ConsoleURL, "https://"), URL: public.ConsoleURL, TrustedProxies: public.Proxies(),
		Resolver: names, Upgrades: runner, Starters: starters, Until: ctx})
	if err != nil {
		return nil, nil, err
	}
	has, err := db.HasStaff(ctx)
	if err != nil || has {
		return h, runner.Stop, err
	}
	link, err := invite(ctx, db, public.ConsoleURL, "", staff.Administrator)
	if err != nil {
		return nil, nil, err
	}
	_, _ = fmt.Fprintf(c.err, "The console has no user yet. Become its administrator here, within a day: %s\n", link)
	return h, runner.Stop, nil
}

// together lets the console do in one transaction what belongs together.
func together(db *postgres.DB) func(context.Context, func(staffsite.Store) error) error {
	return func(ctx context.Context, do func(staffsite.Store) error) error {
		return db.Together(ctx, func(db *postgres.DB) error { return do(db) })
	}
}

// newImporter returns who takes the lists of contacts that are uploaded.
func newImporter(db *postgres.DB, keys *managelink.Keyring, c *console) *contactlist.Runner {
	return &contactlist.Runner{Store: db, Digest: func(a contact.Address) []byte { return keys.Digest(string(a)) }, Now: time.Now, Log: c.log}
}

// invite returns a link by which somebody becomes a user.
func invite(ctx context.Context, db *postgres.DB, site, email string, role staff.Role) (link string, err error) {
	token, hash := staff.NewToken()
	now := time.Now()
	return site + "/setup/" + token, db.Invite(ctx, hash, email, role, actor(), now, now.Add(staff.InvitationLife))
}

// sending is what a worker is configured with.
type sending struct {
	SMTP   settings.SMTP   `embed:""`
	Sender settings.Sender `embed:""`
	Worker settings.Worker `embed:""`
}

// newWorker returns a worker and the pool that it sends through.
func newWorker(db *postgres.DB, client redis.UniversalClient, keys *managelink.Keyring, public settings.Public, s sending, c *console) (*worker.Worker, error) {
	if s.SMTP.URLs == "" {
		return nil, errors.New("JATAK_SMTP_URLS is not set; write smtp://user:password@mail.example.org:587")
	}
	relays, err := mailer.ParseRelays(s.SMTP.URLs)
	if err != nil {
		return nil, fmt.Errorf("JATAK_SMTP_URLS: %w", err)
	}
	signers, err := mailer.ParseSigners(s.Sender.DKIMKeys)
	if err != nil {
		return nil, fmt.Errorf("JATAK_DKIM_KEYS: %w", err)
	}
	pool, err := mailer.NewPool(relays, mailer.Options{Log: c.log})
	if err != nil {
		return nil, err
	}
	words, err := brandedWords(db, c.log)
	if err != nil {
		return nil, err
	}
	return worker.New(worker.Options{
		Store: db, Bell: queue.NewClient(client), Redis: client, Pool: pool, Relays: relays, Keys: keys, Words: words, Log: c.log, Signers: signers,
		PublicURL: public.URL, UnsubscribeMailbox: s.Sender.UnsubscribeMailbox, BounceAddress: s.Sender.BounceAddress,
		Lease: s.Worker.Lease, SweepEvery: s.Worker.SweepEvery, Grace: s.Worker.Grace,
		Resend: s.Worker.InDoubt == "resend", MaxAttempts: s.Worker.MaxAttempts, MaxAge: s.Worker.MaxAge, RetryBase: s.Worker.RetryBase,
		Tasks: s.Worker.Concurrency, Window: s.Worker.Window,
	}), nil
}

// starters are the mails that come with Jatak, as they were written.
func starters() (list []campaign.Content, err error) {
	for _, name := range examples.Campaigns() {
		folder, err := examples.Campaign(name)
		if err != nil {
			return nil, err
		}
		content, err := campaign.Read(folder)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		list = append(list, content)
	}
	return list, nil
}
