package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"golang.org/x/text/language"
	"golang.org/x/text/message"

	"github.com/jatak-mail/jatak/gating"
	"github.com/jatak-mail/jatak/internal/campaign"
	"github.com/jatak-mail/jatak/internal/postgres"
	"github.com/jatak-mail/jatak/templates"
)

// number writes 12345 as 12,345.
func number(n int64) string { return message.NewPrinter(language.English).Sprintf("%d", n) }

// gateComparison is the gate report of a campaign, beside what was written when
// it was sent.
type gateComparison struct {
	Campaign campaign.ID `json:"campaign"`
	Privacy  string      `json:"emarketing_privacy"` // as it is set now
	*campaign.GateReport
	// Ledger is what was written when the campaign was sent; nil before.
	Ledger map[gating.Reason]int64 `json:"ledger,omitempty"`
}

// gateReports asks the gate about the audience, once for each setting of
// E-marketing privacy.
func gateReports(ctx context.Context, db *postgres.DB, kept campaign.Campaign, now time.Time) (g gateComparison, err error) {
	policy, err := db.Policy(ctx, now)
	if err != nil {
		return g, err
	}
	g = gateComparison{Campaign: kept.ID, Privacy: "off", GateReport: campaign.NewGateReport(kept, policy)}
	if policy.Privacy {
		g.Privacy = "on"
	}
	for r, err := range db.Audience(ctx, kept.Type, kept.Content.Audience.Selection(now)) {
		if err != nil {
			return g, err
		}
		g.Add(r)
	}
	if kept.State != campaign.StateDraft {
		g.Ledger, err = db.Verdicts(ctx, kept.ID)
	}
	return g, err
}

func printGateReports(w io.Writer, g gateComparison) error {
	words, err := templates.New()
	if err != nil {
		return err
	}
	var b strings.Builder
	row := func(name string, off, on, written int64, note string) {
		fmt.Fprintf(&b, "  %-28s %10s %10s", name, number(off), number(on))
		if g.Ledger != nil {
			fmt.Fprintf(&b, " %10s", number(written))
		}
		fmt.Fprintf(&b, "  %s\n", note)
	}
	heading := fmt.Sprintf("  %-28s %10s %10s", "E-marketing privacy", "off", "on")
	if g.Ledger != nil {
		heading += fmt.Sprintf(" %10s", "as sent")
	}
	b.WriteString(heading + "\n")
	var sent, kept int64
	for _, r := range gating.Reasons() {
		name := string(r)
		if r.Blocks() {
			kept += g.Ledger[r]
		} else {
			name = "send: " + name
			sent += g.Ledger[r]
		}
		if g.Off[r]+g.On[r]+g.Ledger[r] > 0 {
			row(name, g.Off[r], g.On[r], g.Ledger[r], words.ReasonText("en", r))
		}
	}
	row("get the mail", g.SendOff, g.SendOn, sent, "")
	row("do not", g.Audience-g.SendOff, g.Audience-g.SendOn, kept, "")
	row("audience", g.Audience, g.Audience, sent+kept, "the privacy setting is "+g.Privacy+" now")
	_, err = io.WriteString(w, b.String())
	return err
}

func printBooks(w io.Writer, kept campaign.Campaign, books campaign.Report) error {
	var b strings.Builder
	fmt.Fprintf(&b, "  campaign %d, %s: %s\n", kept.ID, kept.State, kept.Name)
	if kept.OverrideReason != "" {
		fmt.Fprintf(&b, "  with an override by %s: %s\n", kept.OverrideBy, kept.OverrideReason)
	}
	row := func(name string, n int64) { fmt.Fprintf(&b, "  %-36s %10s\n", name, number(n)) }
	row("audience", books.Audience)
	row("  sent", books.Sent)
	for _, s := range []struct {
		name string
		n    int64
	}{{"  pending", books.Pending}, {"  sending", books.Sending}, {"  deferred", books.Deferred},
		{"  failed", books.Failed}, {"  in doubt", books.InDoubt}, {"  cancelled", books.Cancelled}} {
		if s.n > 0 {
			row(s.name, s.n)
		}
	}
	for _, r := range gating.Reasons() {
		if n := books.Blocked[r]; n > 0 {
			row("  blocked: "+string(r), n)
		}
	}
	switch err := books.Balanced(); {
	case kept.Planned.IsZero() && !kept.State.Ended():
		b.WriteString("  planning goes on: the audience is what is planned so far\n")
	case err != nil:
		fmt.Fprintf(&b, "  THE BOOKS DO NOT BALANCE: %v\n", err)
	default:
		b.WriteString("  the books balance\n")
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// follow shows a campaign's progress until it ends.
func follow(ctx context.Context, db *postgres.DB, id campaign.ID, w io.Writer) error {
	const every = 200 * time.Millisecond
	tick := time.NewTicker(every)
	defer tick.Stop()
	terminal := isTerminal(w)
	started := time.Now()
	for shown := ""; ; {
		kept, err := db.Campaign(ctx, id)
		if err != nil {
			return err
		}
		books, err := db.Books(ctx, id)
		if err != nil {
			return err
		}
		line := progress(kept, books, time.Since(started))
		ended := kept.State.Ended()
		switch {
		case terminal:
			_, _ = fmt.Fprintf(w, "\r\x1b[K%s", line)
			if ended {
				_, _ = fmt.Fprintln(w)
			}
		case ended || line != shown && time.Since(started).Round(every)%(5*time.Second) == 0:
			_, _ = fmt.Fprintln(w, line)
		}
		shown = line
		if ended {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}

// progress is one line: a bar, the share done, and how fast it goes.
func progress(kept campaign.Campaign, books campaign.Report, took time.Duration) string {
	const width = 30
	open := books.Pending + books.Sending + books.Deferred
	share := 0.0
	if books.Audience > 0 {
		share = float64(books.Audience-open) / float64(books.Audience)
	}
	full := int(share * width)
	bar := strings.Repeat("█", full) + strings.Repeat("░", width-full)
	rate := float64(books.Sent) / max(took.Seconds(), 0.1)
	line := fmt.Sprintf("  %s %3.0f %%  %s sent, %.0f/s", bar, share*100, number(books.Sent), rate)
	switch {
	case kept.Planned.IsZero():
		line += ", planning"
	case books.Deferred > 0:
		line += fmt.Sprintf(", %s deferred", number(books.Deferred))
	case rate > 0 && open > 0:
		line += fmt.Sprintf(", about %s left", (time.Duration(float64(open) / rate * float64(time.Second))).Round(time.Second))
	}
	return line
}

// isTerminal reports whether w shows a person what is overwritten.
func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
