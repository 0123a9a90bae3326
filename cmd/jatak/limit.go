package main

import (
	"context"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/jatak-mail/jatak/internal/campaign"
	"github.com/jatak-mail/jatak/internal/contact"
	"github.com/jatak-mail/jatak/internal/postgres"
	"github.com/jatak-mail/jatak/internal/settings"
)

type limitCommand struct {
	List   limitListCommand   `cmd:"" help:"List the limits."`
	Set    limitSetCommand    `cmd:"" help:"Set a limit, for all workers together, from the next mails on."`
	Remove limitRemoveCommand `cmd:"" help:"Remove a limit."`
}

type limitListCommand struct {
	Database settings.Database `embed:""`
	JSON     bool              `help:"Print JSON." name:"json"`
}

// limitLine is a limit as scripts read it.
type limitLine struct {
	Kind        campaign.LimitKind `json:"kind"`
	Name        string             `json:"name"`
	Domains     []string           `json:"domains,omitempty"`
	PerSecond   float64            `json:"per_second"` // 0: no bound
	Connections int                `json:"connections"`
	Now         float64            `json:"per_second_now"` // what a warm-up leaves of it today
}

// Run prints the limits.
func (l *limitListCommand) Run(ctx context.Context, c *console) error {
	return withDatabase(ctx, l.Database, c, func(db *postgres.DB) error {
		limits, err := db.SendLimits(ctx)
		if err != nil {
			return err
		}
		lines := []limitLine{}
		for _, limit := range limits {
			line := limitLine{limit.Kind, limit.Name, limit.Domains, limit.PerSecond, limit.Connections, limit.Rate(time.Now())}
			lines = append(lines, line)
		}
		if l.JSON {
			return writeJSON(c.out, lines)
		}
		if len(lines) == 0 {
			_, err := fmt.Fprintln(c.out, "No limits. To set one: jatak limit set outlook --pace 20/s --connections 10")
			return err
		}
		table := tabwriter.NewWriter(c.out, 0, 0, 2, ' ', 0)
		_, _ = fmt.Fprintln(table, "KIND\tNAME\tPACE\tTODAY\tCONNECTIONS\tDOMAINS")
		for _, l := range lines {
			_, _ = fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%d\t%s\n", l.Kind, l.Name, contact.PaceText(l.PerSecond), contact.PaceText(l.Now), l.Connections, strings.Join(l.Domains, " "))
		}
		return table.Flush()
	})
}

type limitSetCommand struct {
	Database    settings.Database `embed:""`
	Name        string            `arg:"" help:"A provider (gmail, icloud, outlook, yahoo), a domain, a name for --domains, or a relay as host:port."`
	Relay       bool              `help:"The name is a relay's."`
	Domains     []string          `help:"The domains that the limit is for." placeholder:"DOMAIN"`
	Pace        string            `help:"50/s, 600/m, 20000/h, 100000/d, or unlimited." default:"unlimited"`
	Connections int               `help:"Connections to the relay, or mails under way to the destination, at once."`
	WarmUp      int               `help:"So many mails on the first day, and more each day." placeholder:"MAILS"`
	WarmUpFrom  string            `help:"The first day (default: today)." placeholder:"2026-12-01"`
	Growth      float64           `help:"Mails of a day by those of the day before." default:"1.5"`
}

// Run keeps the limit.
func (l *limitSetCommand) Run(ctx context.Context, c *console) error {
	pace, err := contact.ParsePace(l.Pace)
	if err != nil {
		return fmt.Errorf("--pace %w", err)
	}
	limit := campaign.Limit{Kind: campaign.DestinationLimit, Name: strings.ToLower(l.Name), PerSecond: pace, Connections: l.Connections}
	if l.Relay {
		limit.Kind, limit.Name = campaign.RelayLimit, l.Name
	}
	for _, d := range l.Domains {
		limit.Domains = append(limit.Domains, strings.ToLower(d))
	}
	if l.WarmUp != 0 {
		limit.WarmUp = campaign.WarmUp{First: l.WarmUp, Growth: l.Growth, From: time.Now().UTC().Truncate(24 * time.Hour)}
		if l.WarmUpFrom != "" {
			if limit.WarmUp.From, err = time.Parse(time.DateOnly, l.WarmUpFrom); err != nil {
				return fmt.Errorf("--warm-up-from %q is no day; write one like 2026-12-01", l.WarmUpFrom)
			}
		}
	}
	return withDatabase(ctx, l.Database, c, func(db *postgres.DB) error { return db.SetLimit(ctx, limit, actor(), time.Now()) })
}

type limitRemoveCommand struct {
	Database settings.Database `embed:""`
	Name     string            `arg:"" help:"As limit list shows it."`
	Relay    bool              `help:"The name is a relay's."`
}

// Run removes the limit.
func (l *limitRemoveCommand) Run(ctx context.Context, c *console) error {
	kind := campaign.DestinationLimit
	if l.Relay {
		kind = campaign.RelayLimit
	}
	return withDatabase(ctx, l.Database, c, func(db *postgres.DB) error { return db.RemoveLimit(ctx, kind, l.Name, actor(), time.Now()) })
}
