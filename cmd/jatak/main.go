// Command jatak sends e-mail campaigns to those who may be mailed, and keeps
// the proof. It wires the packages together and decides nothing.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"
	_ "time/tzdata" // a machine may have none

	"github.com/alecthomas/kong"

	"github.com/jatak-mail/jatak/internal/settings"
)

// cli is the command line: one field for each subcommand.
type cli struct {
	Log settings.Log `embed:"" prefix:"log-"`

	Demo     demoCommand     `cmd:"" help:"Show all of it on this machine: import, upgrade, gate report, campaign, inbox."`
	Serve    serveCommand    `cmd:"" help:"Serve the recipients' pages; with --worker send mails too."`
	Worker   workerCommand   `cmd:"" help:"Plan and send campaigns. Start as many as you like."`
	Import   importCommand   `cmd:"" help:"Import a legacy export: contacts, companies, mailings and interests as CSV."`
	Upgrade  upgradeCommand  `cmd:"" help:"Give imported contacts purposes, legal bases and subscriptions."`
	Settings settingsCommand `cmd:"" help:"Read and change the rules, such as E-marketing privacy."`
	Campaign campaignCommand `cmd:"" help:"Create, check, launch and follow campaigns."`
	Limit    limitCommand    `cmd:"" help:"How fast mail may go through a relay or to a destination."`
	Template templateCommand `cmd:"" help:"Check the files of mails."`
	Consent  consentCommand  `cmd:"" help:"The consent ledger: verify, rebuild, list, change for many."`
	Contact  contactCommand  `cmd:"" help:"One person: export, erase, and complaints of spam."`
	Explain  explainCommand  `cmd:"" help:"Why somebody is mailed or not: every condition, the fact found, and which one decides."`
	Type     typeCommand     `cmd:"" help:"Subscription types."`
	Term     termCommand     `cmd:"" help:"Purposes and legal bases, and your own."`
	Wording  wordingCommand  `cmd:"" help:"The words that people are asked with, in versions."`
	Brand    brandCommand    `cmd:"" help:"What the recipients' pages look like: your colour, your logo, your words."`
	Audit    auditCommand    `cmd:"" help:"Who changed what."`
	User     userCommand     `cmd:"" help:"Users of the console."`
	Keys     keysCommand     `cmd:"" help:"The keys that personal links are signed with."`
	DKIM     dkimCommand     `cmd:"" name:"dkim" help:"Keys that mails are signed with."`
	Doctor   doctorCommand   `cmd:"" help:"Is everything well? Tries the database, Redis, the relays and, as recipients do, the pages."`
	Bench    benchCommand    `cmd:"" help:"Measure this machine."`
	Migrate  migrateCommand  `cmd:"" help:"Bring the database schema up to date (every command does at its start)."`
	Version  versionCommand  `cmd:"" help:"Print the version."`
}

func main() {
	// The first signal asks to stop, the second ends the program at once.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// console is where a command speaks: results to out, everything else to err.
type console struct {
	out, err io.Writer
	log      *slog.Logger
}

func newParser(c *cli, options ...kong.Option) (*kong.Kong, error) {
	return kong.New(c, append(options,
		kong.Name("jatak"),
		kong.Description("E-mail campaigns to those who said yes, please. Try it with: jatak demo"),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true}),
		kong.UsageOnError(),
	)...)
}

func run(ctx context.Context, args []string, out, errOut io.Writer) (status int) {
	var c cli
	exited := false
	parser, err := newParser(&c, kong.Writers(out, errOut), kong.Exit(func(s int) { exited, status = true, s }))
	if err != nil {
		_, _ = fmt.Fprintln(errOut, "jatak:", err)
		return 1
	}
	command, err := parser.Parse(args)
	if exited { // --help
		return status
	}
	if err != nil {
		_, _ = fmt.Fprintf(errOut, "jatak: %v\nRun jatak --help, or jatak COMMAND --help, for what can be written.\n", err)
		return 2
	}
	command.BindTo(ctx, (*context.Context)(nil))
	err = command.Run(&console{out: out, err: errOut, log: c.Log.Logger(errOut)})
	switch {
	case errors.Is(err, context.Canceled) && ctx.Err() != nil:
		return 130
	case err != nil:
		_, _ = fmt.Fprintf(errOut, "jatak: %v\n", err)
		return 1
	}
	return 0
}

type versionCommand struct{}

// Run prints what this binary was built from.
func (versionCommand) Run(c *console) error {
	info, ok := debug.ReadBuildInfo()
	version, revision := "unknown", ""
	if ok {
		version = info.Main.Version
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" {
				revision = " " + s.Value
			}
		}
		version += revision + " " + info.GoVersion
	}
	_, err := fmt.Fprintln(c.out, "jatak", version)
	return err
}
