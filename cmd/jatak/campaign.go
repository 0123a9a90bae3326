package main

import (
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"iter"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/jatak-mail/jatak/gating"
	"github.com/jatak-mail/jatak/internal/campaign"
	"github.com/jatak-mail/jatak/internal/contact"
	"github.com/jatak-mail/jatak/internal/legacycsv"
	"github.com/jatak-mail/jatak/internal/managelink"
	"github.com/jatak-mail/jatak/internal/postgres"
	"github.com/jatak-mail/jatak/internal/queue"
	"github.com/jatak-mail/jatak/internal/settings"
)

type campaignCommand struct {
	Create campaignCreateCommand `cmd:"" help:"Keep a campaign folder (campaign.json, LANG.html, LANG.txt) as a draft."`
	Report campaignReportCommand `cmd:"" help:"Who would get it and who would not, and why, with E-marketing privacy off and on."`
	Launch campaignLaunchCommand `cmd:"" help:"Check the draft, freeze it, and let the workers send it."`
	Status campaignStatusCommand `cmd:"" help:"The balanced books of a campaign."`
	List   campaignListCommand   `cmd:"" help:"All campaigns, newest first."`

	Test       campaignTestCommand       `cmd:"" help:"Send the mail to yourself, as it would be for a contact."`
	Schedule   campaignScheduleCommand   `cmd:"" help:"Launch it later: jatak campaign schedule 7 \"2026-12-01 09:00\" --zone Europe/Copenhagen."`
	Unschedule campaignUnscheduleCommand `cmd:"" help:"Make a scheduled campaign a draft again."`
	Pause      campaignPauseCommand      `cmd:"" help:"Stop sending, within a second, on every worker."`
	Resume     campaignResumeCommand     `cmd:"" help:"Go on with a paused campaign."`
	Cancel     campaignCancelCommand     `cmd:"" help:"End it: what was not sent will not be."`
	Resend     campaignResendCommand     `cmd:"" help:"Send again to those in doubt, or those that failed."`
	Pace       campaignPaceCommand       `cmd:"" help:"Bound its mails in a time, for all workers together, also while it is being sent."`
	Priority   campaignPriorityCommand   `cmd:"" help:"Which campaign's mails come first."`
}

type campaignCreateCommand struct {
	Database settings.Database `embed:""`
	Dir      string            `arg:"" help:"The campaign's folder." type:"existingdir"`
}

// Run creates the draft.
func (cc *campaignCreateCommand) Run(ctx context.Context, c *console) error {
	content, err := campaign.Load(os.DirFS(cc.Dir))
	if err != nil {
		return fmt.Errorf("%s: %w", cc.Dir, err)
	}
	db, err := openDatabase(ctx, cc.Database, c)
	if err != nil {
		return err
	}
	defer db.Close()
	var id campaign.ID
	err = db.Together(ctx, func(db *postgres.DB) error {
		if id, err = db.CreateCampaign(ctx, content, time.Now()); err != nil {
			return err
		}
		return auditCampaign(ctx, db, id, "create", "")
	})
	if err != nil {
		return err
	}
	_, _ = fmt.Fprintf(c.err, "Campaign %d is a draft. See who would get it: jatak campaign report %d\n", id, id)
	_, err = fmt.Fprintln(c.out, id)
	return err
}

type campaignReportCommand struct {
	Database settings.Database `embed:""`
	ID       campaign.ID       `arg:"" help:"The campaign's number."`
	JSON     bool              `help:"Print the counts as one JSON object on stdout." name:"json"`
	People   bool              `help:"List the contacts behind the numbers as CSV: before launch as it would be now, after it from the books."`
	Reason   gating.Reason     `help:"With --people: only those with this reason." placeholder:"REASON"`
	After    contact.ID        `help:"With --people: go on after this contact." placeholder:"ID"`
	Limit    int               `help:"With --people: how many lines at most." default:"1000"`
}

// Validate refuses what makes no sense.
func (r *campaignReportCommand) Validate() error {
	if r.Reason != "" && !slices.Contains(gating.Reasons(), r.Reason) {
		return fmt.Errorf("there is no reason %q; there are %v", r.Reason, gating.Reasons())
	}
	if r.Limit < 1 {
		return fmt.Errorf("--limit is at least 1, not %d", r.Limit)
	}
	return nil
}

// people lists the contacts behind the report's numbers.
func (r *campaignReportCommand) people(ctx context.Context, c *console, db *postgres.DB, kept campaign.Campaign) error {
	rows := db.Booked(ctx, kept.ID, r.Reason, r.After, r.Limit)
	if kept.State == campaign.StateDraft {
		var err error
		if rows, err = wouldBeBooked(ctx, db, kept, r.Reason, r.After, r.Limit); err != nil {
			return err
		}
	}
	w := csv.NewWriter(c.out)
	_ = w.Write([]string{"contact", "email", "first_name", "last_name", "company", "state", "reason"})
	for b, err := range rows {
		if err != nil {
			return err
		}
		_ = w.Write([]string{fmt.Sprint(b.ID), legacycsv.Disarm(b.Email), legacycsv.Disarm(b.FirstName), legacycsv.Disarm(b.LastName), legacycsv.Disarm(b.Company), string(b.State), string(b.Reason)})
	}
	w.Flush()
	return w.Error()
}

// wouldBeBooked asks the gate about the audience of a draft.
func wouldBeBooked(ctx context.Context, db *postgres.DB, kept campaign.Campaign, reason gating.Reason, after contact.ID, limit int) (iter.Seq2[campaign.Booking, error], error) {
	now := time.Now()
	policy, err := db.Policy(ctx, now)
	if err != nil {
		return nil, err
	}
	policy.Class, policy.Type = kept.Class, kept.Type
	reasons := map[contact.ID]gating.Reason{}
	planned := map[contact.Address]bool{}
	for r, err := range db.Audience(ctx, kept.Type, kept.Content.Audience.Selection(now)) {
		if err != nil {
			return nil, err
		}
		r.Facts.Duplicate = planned[r.Address]
		v := gating.Decide(r.Facts, policy)
		if v.Send && r.Address != "" {
			planned[r.Address] = true
		}
		if r.ID > after && (reason == "" || v.Reason == reason) {
			reasons[r.ID] = v.Reason
		}
		if len(reasons) == limit {
			break
		}
	}
	ids := slices.Sorted(maps.Keys(reasons))
	return func(yield func(campaign.Booking, error) bool) {
		for person, err := range db.People(ctx, ids) {
			b := campaign.Booking{Contact: person, Reason: reasons[person.ID], State: campaign.Pending}
			if b.Reason.Blocks() {
				b.State = campaign.Blocked
			}
			if !yield(b, err) {
				return
			}
		}
	}, nil
}

// Run prints the gate report.
func (r *campaignReportCommand) Run(ctx context.Context, c *console) error {
	db, err := openDatabase(ctx, r.Database, c)
	if err != nil {
		return err
	}
	defer db.Close()
	kept, err := db.Campaign(ctx, r.ID)
	if err != nil {
		return err
	}
	if r.People {
		return r.people(ctx, c, db, kept)
	}
	reports, err := gateReports(ctx, db, kept, time.Now())
	if err != nil {
		return err
	}
	if r.JSON {
		return writeJSON(c.out, reports)
	}
	return printGateReports(c.out, reports)
}

type campaignLaunchCommand struct {
	Database       settings.Database `embed:""`
	Redis          settings.Redis    `embed:""`
	ID             campaign.ID       `arg:"" help:"The campaign's number."`
	DryRun         bool              `help:"Check and print who would get it; launch nothing."`
	PublicURL      string            `help:"For the self-test: where recipients reach their pages." env:"JATAK_PUBLIC_URL" placeholder:"URL"`
	SecretKeys     string            `help:"For the self-test: the keys of the personal links." env:"JATAK_SECRET_KEYS" placeholder:"ID:KEY"`
	SecretKeysFile string            `help:"A file that holds the keys instead." env:"JATAK_SECRET_KEYS_FILE" placeholder:"FILE"`
	SelfTest       string            `help:"Fetch a recipient's page through the public URL, if this machine has the keys: refuse to launch when it does not answer, warn after launching, or off." env:"JATAK_SELF_TEST" enum:"refuse,warn,off" default:"warn"`
	OverrideReason string            `help:"Lift no_consent, basis_not_accepted and type_not_chosen, for this written reason."`
}

// Run launches the draft.
func (l *campaignLaunchCommand) Run(ctx context.Context, c *console) error {
	db, err := openDatabase(ctx, l.Database, c)
	if err != nil {
		return err
	}
	defer db.Close()
	kept, err := db.Campaign(ctx, l.ID)
	if err != nil {
		return err
	}
	if l.DryRun {
		if err := checkContent(kept); err != nil {
			return err
		}
		reports, err := gateReports(ctx, db, kept, time.Now())
		if err != nil {
			return err
		}
		return printGateReports(c.out, reports)
	}
	override, err := overrideFor(l.OverrideReason)
	if err != nil {
		return err
	}
	client, err := openQueue(ctx, l.Redis)
	if err != nil {
		return err
	}
	defer func() { _ = client.Close() }()
	if l.SelfTest == "refuse" {
		if err := l.reach(ctx, db); err != nil {
			return fmt.Errorf("campaign %d is not launched, because recipients could not reach their pages: %w", l.ID, err)
		}
	}
	if err := launch(ctx, db, queue.NewClient(client), kept, override); err != nil {
		return err
	}
	_, err = fmt.Fprintf(c.err, "Campaign %d is launched. Follow it: jatak campaign status %d --follow\n", l.ID, l.ID)
	if l.SelfTest == "warn" && l.PublicURL != "" && l.SecretKeys+l.SecretKeysFile != "" {
		if err := l.reach(ctx, db); err != nil {
			_, _ = fmt.Fprintf(c.err, "Warning: from here, recipients' pages cannot be reached: %v\n", err)
		}
	}
	return err
}

// reachPatience is how long a launch waits for a recipient's page.
const reachPatience = 5 * time.Second

// reach fetches somebody's page, which changes nothing.
func (l *campaignLaunchCommand) reach(ctx context.Context, db *postgres.DB) error {
	public, secrets := settings.Public{URL: l.PublicURL}, settings.Secrets{Keys: l.SecretKeys, File: l.SecretKeysFile}
	if err := errors.Join(public.Validate(), secrets.Validate()); err != nil {
		return err
	}
	keys, err := managelink.ParseKeys(secrets.Keys)
	if err != nil {
		return fmt.Errorf("JATAK_SECRET_KEYS: %w", err)
	}
	id, err := db.SomeContact(ctx)
	if errors.Is(err, contact.ErrNotFound) {
		return nil // nobody gets a mail
	}
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, reachPatience)
	defer cancel()
	return selfTest(db, keys, public).Reach(ctx, id)
}

// launch freezes a checked draft and rings for its planning. A bell that
// cannot be rung is no error: the sweep rings.
func launch(ctx context.Context, db *postgres.DB, bell *queue.Client, kept campaign.Campaign, override campaign.Override) error {
	if err := checkContent(kept); err != nil {
		return err
	}
	now := time.Now()
	err := db.Together(ctx, func(db *postgres.DB) error {
		if err := db.Launch(ctx, kept.ID, override, now); err != nil {
			return err
		}
		return auditCampaign(ctx, db, kept.ID, "launch", "")
	})
	if err != nil {
		return err
	}
	return bell.RingPlan(ctx, kept.ID, now)
}

// checkContent refuses a draft that is not fit to be sent.
func checkContent(kept campaign.Campaign) error {
	problems := campaign.Check(kept.Content)
	if len(problems) == 0 {
		return nil
	}
	var list strings.Builder
	for _, p := range problems {
		fmt.Fprintf(&list, "\n  %s", p)
	}
	return fmt.Errorf("campaign %d is not fit to be sent:%s", kept.ID, &list)
}

type campaignStatusCommand struct {
	Database settings.Database `embed:""`
	ID       campaign.ID       `arg:"" help:"The campaign's number."`
	Follow   bool              `help:"Show the progress until the campaign is finished." short:"f"`
	JSON     bool              `help:"Print the books as one JSON object on stdout." name:"json"`
}

// Run prints the books.
func (s *campaignStatusCommand) Run(ctx context.Context, c *console) error {
	db, err := openDatabase(ctx, s.Database, c)
	if err != nil {
		return err
	}
	defer db.Close()
	if s.Follow {
		if err := follow(ctx, db, s.ID, c.err); err != nil {
			return err
		}
	}
	kept, err := db.Campaign(ctx, s.ID)
	if err != nil {
		return err
	}
	books, err := db.Books(ctx, s.ID)
	if err != nil {
		return err
	}
	if s.JSON {
		return writeJSON(c.out, books)
	}
	return printBooks(c.out, kept, books)
}

type campaignListCommand struct {
	Database settings.Database `embed:""`
}

// Run prints the campaigns.
func (l *campaignListCommand) Run(ctx context.Context, c *console) error {
	db, err := openDatabase(ctx, l.Database, c)
	if err != nil {
		return err
	}
	defer db.Close()
	campaigns, err := db.Campaigns(ctx)
	if err != nil {
		return err
	}
	if len(campaigns) == 0 {
		_, _ = fmt.Fprintln(c.err, "There is no campaign yet. Keep a first one: jatak campaign create examples/campaigns/newsletter")
	}
	for _, k := range campaigns {
		note := ""
		switch {
		case k.State == campaign.StateScheduled && !k.Local.IsZero():
			note = "  (is sent at " + k.Local.Clock.Format("2006-01-02 15:04") + " where each recipient is)"
		case k.State == campaign.StateScheduled:
			note = "  (starts " + k.Scheduled.Local().Format(time.RFC1123Z) + ")"
		case k.PauseReason != "":
			note = "  (" + k.PauseReason + ")"
		}
		_, _ = fmt.Fprintf(c.out, "%6d  %-10s %s%s\n", k.ID, k.State, k.Name, note)
	}
	return nil
}
