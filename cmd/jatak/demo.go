package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/jatak-mail/jatak/examples"
	"github.com/jatak-mail/jatak/gating"
	"github.com/jatak-mail/jatak/internal/campaign"
	"github.com/jatak-mail/jatak/internal/contact"
	"github.com/jatak-mail/jatak/internal/embedded"
	"github.com/jatak-mail/jatak/internal/managelink"
	"github.com/jatak-mail/jatak/internal/postgres"
	"github.com/jatak-mail/jatak/internal/queue"
	"github.com/jatak-mail/jatak/internal/settings"
	"github.com/jatak-mail/jatak/internal/staff"
	"github.com/jatak-mail/jatak/internal/upgrade"
	"github.com/jatak-mail/jatak/internal/web"
)

type demoCommand struct {
	Once     bool   `help:"End when the campaign is sent; exit status 0 only if the books balance and the inbox holds what the ledger calls sent."`
	JSON     bool   `help:"Print the final books as one JSON object on stdout; everything for people goes to stderr." name:"json"`
	Privacy  string `help:"E-marketing privacy: ${enum}." enum:"on,off" default:"off"`
	Contacts int    `help:"How many contacts the legacy export has." default:"1000"`
	Data     string `help:"Keep the data in this folder; a second start goes on from it." placeholder:"DIR" type:"path"`
	Listen   string `help:"Where the pages are served; port 0 takes a free one." default:"127.0.0.1:0"`
}

// mostDemoContacts is what the embedded servers are tried with.
const mostDemoContacts = 1_000_000

// Validate refuses what makes no sense.
func (d *demoCommand) Validate() error {
	if d.Contacts < 100 || d.Contacts > mostDemoContacts {
		return fmt.Errorf("--contacts is a number from 100 to %d, not %d", mostDemoContacts, d.Contacts)
	}
	return nil
}

// Run shows the whole journey.
func (d *demoCommand) Run(ctx context.Context, c *console) (err error) {
	people := c.out
	if d.JSON {
		people = c.err
	}
	dir, remove, err := d.folder()
	if err != nil {
		return err
	}
	// What is removed at the end must be stopped before.
	defer func() { err = errors.Join(err, remove()) }()
	s, err := startDemo(ctx, dir, d, people, c.log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.stop()) }()

	id, err := s.prepareCampaign(ctx, d.Contacts)
	if err != nil {
		return err
	}
	if err := s.send(ctx, id); err != nil {
		return err
	}
	books, err := s.db.Books(ctx, id)
	if err != nil {
		return err
	}
	kept, err := s.db.Campaign(ctx, id)
	if err != nil {
		return err
	}
	s.say("")
	if err := printBooks(people, kept, books); err != nil {
		return err
	}
	if d.JSON {
		if err := writeJSON(c.out, books); err != nil {
			return err
		}
	}
	checked := s.check(ctx, kept, books)
	if err := s.showAddresses(ctx, kept); err != nil {
		return err
	}
	if checked != nil || d.Once {
		return checked
	}
	s.say("\nPress Ctrl-C to stop.")
	<-ctx.Done()
	return nil
}

// folder returns where the demo keeps its data and how to remove it.
func (d *demoCommand) folder() (dir string, remove func() error, err error) {
	if d.Data != "" {
		return d.Data, func() error { return nil }, os.MkdirAll(d.Data, 0o700)
	}
	return embedded.TemporaryFolder()
}

// demo is the running installation.
type demo struct {
	dir string
	// temporary says that dir is removed at the end.
	temporary bool
	out       io.Writer
	log       *slog.Logger
	db        *postgres.DB
	bell      *queue.Client
	keys      *managelink.Keyring
	inbox     *embedded.Inbox
	pages     string // address of the recipients' pages
	inboxAt   string
	consoleAt string
	stops     []func() error // in the order of starting
	failed    chan error
}

func (s *demo) say(format string, args ...any) { _, _ = fmt.Fprintf(s.out, format+"\n", args...) }

func (s *demo) stop() (err error) {
	for i := len(s.stops) - 1; i >= 0; i-- {
		err = errors.Join(err, s.stops[i]())
	}
	return err
}

// startDemo starts the servers, the portal and a worker.
func startDemo(ctx context.Context, dir string, d *demoCommand, out io.Writer, log *slog.Logger) (s *demo, err error) {
	s = &demo{dir: dir, temporary: d.Data == "", out: out, log: log, failed: make(chan error, 3)}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.stop())
		}
	}()
	// A signal asks us to stop; it is we who stop the servers, in order.
	background := context.WithoutCancel(ctx)
	withTimeout := func(f func(context.Context) error) func() error {
		return func() error {
			ctx, cancel := context.WithTimeout(background, 30*time.Second)
			defer cancel()
			return f(ctx)
		}
	}

	s.say("Starting PostgreSQL, Redis and an inbox of our own ...")
	pg, err := embedded.StartPostgres(ctx, embedded.PostgresOptions{Dir: filepath.Join(dir, "postgres"), Durable: true})
	if err != nil {
		return s, err
	}
	s.stops = append(s.stops, withTimeout(pg.Stop))
	redisURL, stopRedis, err := s.startRedis(ctx, filepath.Join(dir, "redis"))
	if err != nil {
		return s, err
	}
	s.stops = append(s.stops, withTimeout(stopRedis))
	s.inbox, err = embedded.StartInbox(ctx, embedded.InboxOptions{Dir: filepath.Join(dir, "inbox")})
	if err != nil {
		return s, err
	}
	s.stops = append(s.stops, s.inbox.Close)

	c := &console{out: out, err: out, log: log}
	if s.db, err = openDatabase(ctx, settings.Database{URL: pg.URL()}, c); err != nil {
		return s, err
	}
	s.stops = append(s.stops, func() error { s.db.Close(); return nil })
	client, err := openQueue(ctx, settings.Redis{URL: redisURL})
	if err != nil {
		return s, err
	}
	s.stops = append(s.stops, client.Close)
	s.bell = queue.NewClient(client)
	if s.keys, err = demoKeys(dir); err != nil {
		return s, err
	}
	if err := s.serve(background, d.Listen, c); err != nil {
		return s, err
	}
	hands, err := newWorker(s.db, client, s.keys, settings.Public{URL: s.pages}, sending{
		SMTP:   settings.SMTP{URLs: "smtp://" + s.inbox.SMTPAddr() + "?max_conns=8"},
		Sender: settings.Sender{UnsubscribeMailbox: "unsubscribe@jatak.example"},
		Worker: settings.Worker{InDoubt: "resend"},
	}, c)
	if err != nil {
		return s, err
	}
	s.background(background, hands.Run)
	return s, s.set(ctx, d.Privacy)
}

// set writes the demo's rules.
func (s *demo) set(ctx context.Context, privacy string) error {
	for _, rule := range []struct {
		name  gating.Setting
		value string
	}{
		{gating.SettingPrivacy, privacy},
		{contact.SettingSenderName, "Kafferisteriet Ja Tak"},
		{contact.SettingSenderAddress, "news@jatak.example"},
		{contact.SettingPostalAddress, "Kafferisteriet Ja Tak ApS, Pakhuskaj 7, 5000 Odense C, Danmark"},
	} {
		if err := s.db.Set(ctx, rule.name, rule.value, "demo", time.Now()); err != nil {
			return err
		}
	}
	return nil
}

// startRedis starts the machine's own Redis, or a model of it in this process
// where the machine has none.
func (s *demo) startRedis(ctx context.Context, dir string) (url string, stop func(context.Context) error, err error) {
	r, err := embedded.StartRedis(ctx, embedded.RedisOptions{Dir: dir, Durable: true})
	if errors.Is(err, embedded.ErrNoRedis) {
		s.say("This machine has no redis-server: the demo goes on with a small one in its own process.")
		m, err := embedded.StartMiniRedis()
		if err != nil {
			return "", nil, err
		}
		return m.URL(), func(context.Context) error { m.Close(); return nil }, nil
	}
	if err != nil {
		return "", nil, err
	}
	return r.URL(), r.Stop, nil
}

// background runs f until the demo stops.
func (s *demo) background(ctx context.Context, f func(context.Context) error) {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() {
		err := f(ctx)
		if err != nil {
			s.failed <- err
		}
		done <- err
	}()
	s.stops = append(s.stops, func() error {
		cancel()
		return <-done
	})
}

// serve puts the recipients' pages and the inbox page on the network.
func (s *demo) serve(ctx context.Context, listen string, c *console) error {
	pages, err := net.Listen("tcp", listen)
	if err != nil {
		return fmt.Errorf("--listen: %w", err)
	}
	s.pages = "http://" + pages.Addr().String()
	portal, err := newPortal(s.db, s.keys, settings.Public{URL: s.pages}, nil, c)
	if err != nil {
		_ = pages.Close()
		return err
	}
	inbox, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		_ = pages.Close()
		return err
	}
	s.inboxAt = "http://" + inbox.Addr().String()
	staffSite, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return errors.Join(err, pages.Close(), inbox.Close())
	}
	s.consoleAt = "http://" + staffSite.Addr().String()
	working, stop := context.WithCancel(ctx)
	staffPages, stopStaff, err := newConsole(working, s.db, settings.Public{ConsoleURL: s.consoleAt}, net.DefaultResolver, &console{out: c.out, err: io.Discard, log: c.log})
	if err != nil {
		stop()
		return errors.Join(err, pages.Close(), inbox.Close(), staffSite.Close())
	}
	s.background(ctx, newImporter(s.db, s.keys, c).Run)
	// Whoever watches a campaign is let go before the sites close.
	defer func() { s.stops = append(s.stops, func() error { stop(); stopStaff(); return nil }) }()
	for _, site := range []struct {
		listener net.Listener
		handler  http.Handler
	}{{pages, portal}, {inbox, s.inbox.Handler()}, {staffSite, staffPages}} {
		s.background(ctx, func(ctx context.Context) error {
			return web.ServeListener(ctx, site.listener, site.handler, s.log)
		})
	}
	return nil
}

// demoKeys makes the installation's keys once and keeps them with its data, so
// that links in mails sent by an earlier start still work.
func demoKeys(dir string) (*managelink.Keyring, error) {
	path := filepath.Join(dir, "secret-keys")
	text, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		var key [32]byte
		_, _ = rand.Read(key[:]) // never fails
		text = []byte("demo:" + hex.EncodeToString(key[:]))
		err = os.WriteFile(path, text, 0o600)
	}
	if err != nil {
		return nil, fmt.Errorf("secret keys: %w", err)
	}
	return managelink.ParseKeys(string(text))
}

// prepareCampaign imports, upgrades and keeps the sample campaign. What an
// earlier start has done is not done again.
func (s *demo) prepareCampaign(ctx context.Context, contacts int) (campaign.ID, error) {
	known, err := s.db.Campaigns(ctx)
	if err != nil {
		return 0, err
	}
	if len(known) > 0 {
		s.say("Going on with the data in %s", s.dir)
		return known[0].ID, nil
	}
	export := filepath.Join(s.dir, "legacy-crm")
	s.say("\n1. Import of a legacy export (%s contacts)", number(int64(contacts)))
	if contacts == 1000 {
		err = examples.Extract(export)
	} else {
		err = examples.Generate(export, contacts, examples.Seed)
	}
	if err != nil {
		return 0, err
	}
	imported, err := importExport(ctx, s.db, s.keys, export, filepath.Join(s.dir, "refused.csv"))
	if err != nil {
		return 0, err
	}
	if s.temporary {
		imported.File = "" // gone when the demo ends
	}
	imported.print(s.out)

	// The template is stored before the upgrade, which rewrites its link.
	id, err := keepSample(ctx, s.db)
	if err != nil {
		return 0, err
	}
	s.say("\n2. Upgrade: purposes, legal bases, subscriptions")
	report, err := upgrade.Run(ctx, s.db, upgrade.Options{Actor: "demo"}, time.Now())
	if err != nil {
		return 0, err
	}
	printUpgrade(s.out, report)

	kept, err := s.db.Campaign(ctx, id)
	if err != nil {
		return 0, err
	}
	s.say("\n3. Gate report of %q: who gets it, who does not, and why", kept.Name)
	reports, err := gateReports(ctx, s.db, kept, time.Now())
	if err != nil {
		return 0, err
	}
	return id, printGateReports(s.out, reports)
}

// keepSample keeps the sample campaign as a draft.
func keepSample(ctx context.Context, db *postgres.DB) (campaign.ID, error) {
	folder, err := examples.Campaign("newsletter")
	if err != nil {
		return 0, err
	}
	content, err := campaign.Load(folder)
	if err != nil {
		return 0, err
	}
	return db.CreateCampaign(ctx, content, time.Now())
}

// send launches the campaign, unless an earlier start did, and waits for its end.
func (s *demo) send(ctx context.Context, id campaign.ID) error {
	kept, err := s.db.Campaign(ctx, id)
	if err != nil {
		return err
	}
	if kept.State == campaign.StateDraft {
		s.say("\n4. Launch")
		if err := launch(ctx, s.db, s.bell, kept, campaign.Override{}); err != nil {
			return err
		}
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	ended := make(chan struct{})
	defer close(ended)
	go func() {
		select {
		case err := <-s.failed:
			cancel(err)
		case <-ended:
		}
	}()
	if err := follow(ctx, s.db, id, s.out); err != nil {
		if cause := context.Cause(ctx); cause != nil && !errors.Is(cause, context.Canceled) {
			return cause
		}
		return err
	}
	return nil
}

// check holds the books against themselves and the inbox against the books.
func (s *demo) check(ctx context.Context, kept campaign.Campaign, books campaign.Report) error {
	if err := books.Balanced(); err != nil {
		return err
	}
	from, err := contact.ParseAddress(kept.Content.FromAddress)
	if err != nil {
		return err
	}
	sent := map[string]contact.Address{}
	for m, err := range s.db.Sent(ctx, kept.ID) {
		if err != nil {
			return err
		}
		sent[campaign.MessageID(kept.ID, m.ID, from.Domain())] = m.Address
	}
	for m := range s.inbox.All() {
		id := strings.Trim(m.MessageID, "<>")
		to, known := sent[id]
		switch {
		case !known:
			return fmt.Errorf("the inbox holds a mail that the ledger does not call sent: %s", m.MessageID)
		case len(m.To) != 1 || !strings.EqualFold(m.To[0], string(to)):
			return fmt.Errorf("the mail %s went to another address than the ledger's", m.MessageID)
		}
		delete(sent, id)
	}
	if len(sent) > 0 {
		return fmt.Errorf("%d mails that the ledger calls sent are not in the inbox", len(sent))
	}
	s.say("  the inbox holds exactly the mails that the ledger calls sent")
	return nil
}

func (s *demo) showAddresses(ctx context.Context, kept campaign.Campaign) error {
	s.say("\nThe inbox:                   %s", s.inboxAt)
	for m, err := range s.db.Sent(ctx, kept.ID) {
		if err != nil {
			return err
		}
		token := s.keys.Manage(int64(m.ID), int64(kept.ID), time.Now().Add(24*time.Hour))
		s.say("One recipient's manage page: %s/m/%s", s.pages, token)
		break
	}
	s.say("The sign-up form:            %s/sign-up", s.pages)
	has, err := s.db.HasStaff(ctx)
	if err != nil {
		return err
	}
	link := s.consoleAt
	if !has {
		if link, err = invite(ctx, s.db, s.consoleAt, "", staff.Administrator); err != nil {
			return err
		}
	}
	s.say("The console:                 %s", link)
	return nil
}
