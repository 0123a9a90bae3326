package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jatak-mail/jatak/internal/campaign"
	"github.com/jatak-mail/jatak/internal/contact"
	"github.com/jatak-mail/jatak/internal/managelink"
	"github.com/jatak-mail/jatak/internal/postgres"
	"github.com/jatak-mail/jatak/internal/settings"
	"github.com/jatak-mail/jatak/internal/staff"
)

// oneCampaign is what commands about one campaign have in common.
type oneCampaign struct {
	Database settings.Database `embed:""`
	ID       campaign.ID       `arg:"" help:"The campaign's number."`
}

// with opens the database for f.
func (o *oneCampaign) with(ctx context.Context, c *console, f func(*postgres.DB) error) error {
	return withDatabase(ctx, o.Database, c, f)
}

// change changes the campaign by f and writes in the audit log that it was done, in
// one transaction.
func (o *oneCampaign) change(ctx context.Context, c *console, action, detail string, f func(*postgres.DB) error) error {
	return o.with(ctx, c, func(db *postgres.DB) error { return o.changeIn(ctx, db, action, detail, f) })
}

func (o *oneCampaign) changeIn(ctx context.Context, db *postgres.DB, action, detail string, f func(*postgres.DB) error) error {
	return db.Together(ctx, func(db *postgres.DB) error {
		if err := f(db); err != nil {
			return err
		}
		return auditCampaign(ctx, db, o.ID, action, detail)
	})
}

// auditCampaign writes what was done to a campaign at this terminal.
func auditCampaign(ctx context.Context, db *postgres.DB, id campaign.ID, action, detail string) error {
	return db.WriteAudit(ctx, staff.Entry{Actor: actor(), Action: "campaign " + action, Campaign: int64(id), Detail: detail, At: time.Now()})
}

// overrideFor returns an override for a reason; none for "".
func overrideFor(reason string) (campaign.Override, error) {
	if reason == "" {
		return campaign.Override{}, nil
	}
	o, err := campaign.NewOverride(reason, actor(), time.Now())
	if err != nil {
		return o, fmt.Errorf("--override-reason: %w", err)
	}
	return o, nil
}

type campaignPauseCommand struct {
	oneCampaign
	Reason string `help:"Why; campaign list shows it." placeholder:"TEXT"`
}

// Run pauses the campaign.
func (p *campaignPauseCommand) Run(ctx context.Context, c *console) error {
	return p.change(ctx, c, "pause", p.Reason, func(db *postgres.DB) error { return db.Pause(ctx, p.ID, p.Reason) })
}

type campaignResumeCommand struct{ oneCampaign }

// Run lets the campaign go on.
func (r *campaignResumeCommand) Run(ctx context.Context, c *console) error {
	return r.change(ctx, c, "resume", "", func(db *postgres.DB) error { return db.Resume(ctx, r.ID) })
}

type campaignCancelCommand struct {
	oneCampaign
	Yes bool `help:"Do it: this cannot be undone."`
}

// Run cancels the campaign, or says what that would mean.
func (k *campaignCancelCommand) Run(ctx context.Context, c *console) error {
	return k.with(ctx, c, func(db *postgres.DB) error {
		books, err := db.Books(ctx, k.ID)
		if err != nil {
			return err
		}
		if !k.Yes {
			return fmt.Errorf("%s mails of campaign %d would never be sent, and that cannot be undone; say --yes to do it, or pause it",
				number(books.Open()), k.ID)
		}
		now := time.Now()
		err = k.changeIn(ctx, db, "cancel", "", func(db *postgres.DB) error { return db.End(ctx, k.ID, now) })
		if err != nil {
			return err
		}
		return db.CancelRest(ctx, k.ID, now)
	})
}

type campaignScheduleCommand struct {
	oneCampaign
	At             string `arg:"" help:"When: 2026-12-01 09:00, or with an offset: 2026-12-01T09:00:00+01:00."`
	Zone           string `help:"The time zone of a time without an offset, by its IANA name (default: this machine's)." placeholder:"Europe/Copenhagen"`
	Local          bool   `help:"At that time where each recipient is; --zone is for those whose time zone is not on file."`
	OverrideReason string `help:"As for launch."`
}

// Run checks the draft and lets it wait for its time.
func (s *campaignScheduleCommand) Run(ctx context.Context, c *console) error {
	var local campaign.LocalTime
	at, err := parseWhen(s.At, s.Zone)
	if s.Local {
		if local, err = campaign.NewLocalTime(s.At, s.Zone); err == nil {
			at = local.In("")
		}
	}
	if err != nil {
		return err
	}
	if !at.After(time.Now()) {
		return fmt.Errorf("%s is past; jatak campaign launch %d sends at once", at.Format(time.RFC3339), s.ID)
	}
	override, err := overrideFor(s.OverrideReason)
	if err != nil {
		return err
	}
	detail, said := at.UTC().Format(time.RFC3339), "starts at "+at.Format(time.RFC1123Z)
	if s.Local {
		detail, said = s.At+" --local --zone "+local.Zone, "is sent at "+s.At+" where each recipient is"
	}
	err = s.change(ctx, c, "schedule", detail, func(db *postgres.DB) error {
		kept, err := db.Campaign(ctx, s.ID)
		if err != nil {
			return err
		}
		if err := checkContent(kept); err != nil {
			return err
		}
		if s.Local {
			return db.ScheduleLocal(ctx, s.ID, local, override)
		}
		return db.Schedule(ctx, s.ID, at, override)
	})
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(c.err, "Campaign %d %s. To take that back: jatak campaign unschedule %d\n", s.ID, said, s.ID)
	return err
}

// parseWhen reads a moment.
func parseWhen(text, zone string) (time.Time, error) {
	if at, err := time.Parse(time.RFC3339, text); err == nil {
		return at, nil
	}
	location := time.Local
	if zone != "" {
		var err error
		if location, err = time.LoadLocation(zone); err != nil {
			return time.Time{}, fmt.Errorf("--zone %q is no IANA time zone; write one like Europe/Copenhagen", zone)
		}
	}
	for _, layout := range []string{"2006-01-02 15:04", "2006-01-02T15:04", time.DateTime} {
		if at, err := time.ParseInLocation(layout, text, location); err == nil {
			return at, nil
		}
	}
	return time.Time{}, fmt.Errorf("%q is no time; write one like 2026-12-01 09:00", text)
}

type campaignUnscheduleCommand struct{ oneCampaign }

// Run makes the campaign a draft again.
func (u *campaignUnscheduleCommand) Run(ctx context.Context, c *console) error {
	return u.change(ctx, c, "unschedule", "", func(db *postgres.DB) error { return db.Unschedule(ctx, u.ID) })
}

type campaignResendCommand struct {
	oneCampaign
	InDoubt bool   `help:"Those whose outcome is unknown, with the same Message-ID."`
	Failed  bool   `help:"Those that failed."`
	Code    string `help:"Of the failed: only those with this reply, by its SMTP code (550), its enhanced code (5.7.1), a class of these (5.7), or both (550 5.7.1)." placeholder:"CODE"`
	DryRun  bool   `help:"Print how many; send nothing."`
}

// Run makes mails pending again.
func (r *campaignResendCommand) Run(ctx context.Context, c *console) error {
	if r.InDoubt == r.Failed {
		return errors.New("say which: --in-doubt or --failed")
	}
	state := campaign.Failed
	if r.InDoubt {
		state = campaign.InDoubt
	}
	code, err := campaign.ParseReplyCode(r.Code)
	if err != nil {
		return fmt.Errorf("--code: %w", err)
	}
	if r.InDoubt && r.Code != "" {
		return errors.New("--code goes with --failed: no reply is known of mails in doubt")
	}
	return r.with(ctx, c, func(db *postgres.DB) error {
		if r.DryRun {
			n, err := db.CountResend(ctx, r.ID, state, code)
			if err == nil {
				_, err = fmt.Fprintf(c.out, "%s mails would be pending again; nothing is changed\n", number(n))
			}
			return err
		}
		n, err := db.Resend(ctx, r.ID, state, code, actor(), time.Now())
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(c.out, "%s mails are pending again\n", number(n))
		return err
	})
}

type campaignPaceCommand struct {
	oneCampaign
	Pace string `arg:"" help:"50/s, 600/m, 20000/h, 100000/d, or unlimited."`
}

// Run changes the pace.
func (p *campaignPaceCommand) Run(ctx context.Context, c *console) error {
	pace, err := contact.ParsePace(p.Pace)
	if err != nil {
		return fmt.Errorf("the pace %w", err)
	}
	return p.change(ctx, c, "pace", contact.PaceText(pace), func(db *postgres.DB) error { return db.SetPace(ctx, p.ID, pace) })
}

type campaignPriorityCommand struct {
	oneCampaign
	Priority campaign.Priority `arg:"" help:"${enum}." enum:"high,normal,low"`
}

// Run changes the priority.
func (p *campaignPriorityCommand) Run(ctx context.Context, c *console) error {
	return p.change(ctx, c, "priority", string(p.Priority), func(db *postgres.DB) error { return db.SetPriority(ctx, p.ID, p.Priority) })
}

type campaignTestCommand struct {
	oneCampaign
	To      string           `arg:"" help:"The address that gets the mail."`
	As      string           `help:"Filled in as for the contact with this address." placeholder:"EMAIL"`
	Lang    string           `help:"In this language (default: the contact's, or the campaign's)." placeholder:"LANG"`
	Public  settings.Public  `embed:""`
	Secrets settings.Secrets `embed:""`
	SMTP    settings.SMTP    `embed:""`
	Sender  settings.Sender  `embed:""`
}

// Run sends the campaign's mail to one address.
func (t *campaignTestCommand) Run(ctx context.Context, c *console) error {
	to, err := contact.ParseAddress(t.To)
	if err != nil {
		return fmt.Errorf("%q: %w", t.To, err)
	}
	keys, err := managelink.ParseKeys(t.Secrets.Keys)
	if err != nil {
		return fmt.Errorf("JATAK_SECRET_KEYS: %w", err)
	}
	return t.with(ctx, c, func(db *postgres.DB) error {
		kept, err := db.Campaign(ctx, t.ID)
		if err != nil {
			return err
		}
		if err := checkContent(kept); err != nil {
			return err
		}
		as := contact.Contact{FirstName: "Anna", LastName: "Holm", Company: "Holm & Søn"}
		if t.As != "" {
			ids, err := contactsOf(ctx, db, t.As)
			if err != nil {
				return err
			}
			for person, err := range db.People(ctx, ids[:1]) {
				if err != nil {
					return err
				}
				as = person
			}
		}
		if t.Lang != "" {
			as.Language = t.Lang
		}
		hands, err := newWorker(db, nil, keys, t.Public, sending{SMTP: t.SMTP, Sender: t.Sender}, c)
		if err != nil {
			return err
		}
		if err := hands.SendTest(ctx, kept, as, to); err != nil {
			return err
		}
		_, err = fmt.Fprintln(c.err, "Sent. The links in a test mail lead to nobody's page.")
		return err
	})
}
