package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"github.com/jatak-mail/jatak/internal/campaign"
	"github.com/jatak-mail/jatak/internal/upgrade"
)

type benchCommand struct {
	Send    benchSendCommand    `cmd:"" help:"Mails a second, from launch to finished, against Postfix's own source."`
	Portal  benchPortalCommand  `cmd:"" help:"One-click unsubscribes a second, each durable."`
	Gate    benchGateCommand    `cmd:"" help:"Import, upgrade and gate report of a large export, in seconds and megabytes."`
	People  benchPeopleCommand  `cmd:"" help:"Searching and counting a large number of contacts, in milliseconds."`
	Console benchConsoleCommand `cmd:"" help:"How long each page of the console takes with a large number of contacts, in milliseconds."`
}

type benchGateCommand struct {
	Contacts int  `help:"How many contacts." default:"1000000"`
	JSON     bool `help:"Print one JSON object on stdout." name:"json"`
}

// gateFigures is what benchGateCommand measures.
type gateFigures struct {
	Contacts    int     `json:"contacts"`
	ImportSec   float64 `json:"import_s"`
	UpgradeSec  float64 `json:"upgrade_s"`
	ReportSec   float64 `json:"report_s"`
	ReportRSSMB int64   `json:"report_peak_rss_mb"`
	VerifySec   float64 `json:"verify_s"`
	SendOff     int64   `json:"send_off"`
	SendOn      int64   `json:"send_on"`
}

// Run measures. The report runs in a process of its own, as a user would start
// it, so that its memory can be told.
func (b *benchGateCommand) Run(ctx context.Context, c *console) error {
	return withWorkbench(ctx, "", c, func(w workbench) error { return b.measure(ctx, w, c) })
}

func (b *benchGateCommand) measure(ctx context.Context, w workbench, c *console) error {
	f := gateFigures{Contacts: b.Contacts}
	took, err := w.importContacts(ctx, b.Contacts)
	if err != nil {
		return err
	}
	f.ImportSec = took.Seconds()
	clock := time.Now()
	lap := func(to *float64) {
		now := time.Now()
		*to = now.Sub(clock).Seconds()
		clock = now
	}
	id, err := keepSample(ctx, w.db)
	if err != nil {
		return err
	}
	if _, err := upgrade.Run(ctx, w.db, upgrade.Options{Actor: "bench"}, time.Now()); err != nil {
		return err
	}
	lap(&f.UpgradeSec)
	var comparison gateComparison
	f.ReportRSSMB, err = b.report(ctx, w.url, id, &comparison)
	if err != nil {
		return err
	}
	lap(&f.ReportSec)
	f.SendOff, f.SendOn = comparison.SendOff, comparison.SendOn
	if _, err := w.db.VerifyLedger(ctx); err != nil {
		return err
	}
	lap(&f.VerifySec)
	if b.JSON {
		return writeJSON(c.out, f)
	}
	_, err = fmt.Fprintf(c.out, "%s contacts: import %.1f s, upgrade %.1f s, gate report %.1f s and %d MB, ledger verified in %.1f s\n",
		number(int64(f.Contacts)), f.ImportSec, f.UpgradeSec, f.ReportSec, f.ReportRSSMB, f.VerifySec)
	return err
}

// report runs "jatak campaign report" and returns its peak memory in MB.
func (b *benchGateCommand) report(ctx context.Context, databaseURL string, id campaign.ID, to *gateComparison) (rss int64, err error) {
	self, err := os.Executable()
	if err != nil {
		return 0, err
	}
	command := exec.CommandContext(ctx, self, "campaign", "report", fmt.Sprint(id), "--json", "--database-url="+databaseURL)
	var errors bytes.Buffer
	command.Stderr = &errors
	out, err := command.Output()
	if err != nil {
		return 0, fmt.Errorf("campaign report: %w: %s", err, strings.TrimSpace(errors.String()))
	}
	usage, ok := command.ProcessState.SysUsage().(*syscall.Rusage)
	if ok {
		rss = int64(usage.Maxrss) / 1024 // kilobytes on Linux
	}
	return rss, json.NewDecoder(bufio.NewReader(bytes.NewReader(out))).Decode(to)
}
