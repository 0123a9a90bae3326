package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/user"
	"path/filepath"
	"time"

	"github.com/jatak-mail/jatak/gating"
	"github.com/jatak-mail/jatak/internal/contact"
	"github.com/jatak-mail/jatak/internal/legacycsv"
	"github.com/jatak-mail/jatak/internal/managelink"
	"github.com/jatak-mail/jatak/internal/postgres"
	"github.com/jatak-mail/jatak/internal/settings"
	"github.com/jatak-mail/jatak/internal/staff"
	"github.com/jatak-mail/jatak/internal/upgrade"
)

// actor names who gives a command, for the history.
func actor() string {
	if u, err := user.Current(); err == nil {
		return "cli:" + u.Username
	}
	return "cli"
}

type importCommand struct {
	Database settings.Database `embed:""`
	Secrets  settings.Secrets  `embed:""`
	Dir      string            `arg:"" help:"The folder that contacts.csv is in." type:"path"`
	Refused  string            `help:"Where to write the rows that were refused." placeholder:"FILE" default:"refused.csv" type:"path"`
	JSON     bool              `help:"Print the counts as one JSON object on stdout." name:"json"`
}

// Run imports the export.
func (i *importCommand) Run(ctx context.Context, c *console) error {
	keys, err := managelink.ParseKeys(i.Secrets.Keys)
	if err != nil {
		return fmt.Errorf("JATAK_SECRET_KEYS: %w", err)
	}
	db, err := openDatabase(ctx, i.Database, c)
	if err != nil {
		return err
	}
	defer db.Close()
	result, err := importExport(ctx, db, keys, i.Dir, i.Refused)
	if err != nil {
		return err
	}
	if i.JSON {
		return writeJSON(c.out, result)
	}
	result.print(c.out)
	return nil
}

// importResult is what an import did.
type importResult struct {
	contact.Imported
	Refused  int      `json:"refused"`  // rows not taken
	Warnings int      `json:"warnings"` // rows taken with a warning
	File     string   `json:"refused_file,omitempty"`
	Notes    []string `json:"notes,omitempty"`
}

func (r importResult) print(w io.Writer) {
	for _, line := range []struct {
		noun string
		n    contact.Counts
	}{{"companies", r.Companies}, {"contacts", r.Contacts}, {"mailings", r.Mailings}, {"interest mappings", r.Interests}} {
		_, _ = fmt.Fprintf(w, "  %9s %-18s %s changed, %s unchanged\n",
			number(line.n.Added), line.noun, number(line.n.Changed), number(line.n.Unchanged))
	}
	if r.Consents > 0 {
		_, _ = fmt.Fprintf(w, "  %9s E-marketing bases taken from the rows\n", number(r.Consents))
	}
	for _, note := range r.Notes {
		_, _ = fmt.Fprintln(w, "  note:", note)
	}
	if r.Refused+r.Warnings > 0 {
		where := ""
		if r.File != "" {
			where = "; each with its reason in " + r.File
		}
		_, _ = fmt.Fprintf(w, "  %9s rows refused, %s taken with a warning%s\n", number(int64(r.Refused)), number(int64(r.Warnings)), where)
	}
}

// importExport reads the export in dir. The rows that were refused are written
// to a file at refusedPath, which is made only when there are any.
func importExport(ctx context.Context, db *postgres.DB, keys *managelink.Keyring, dir, refusedPath string) (r importResult, err error) {
	export, err := legacycsv.Open(dir)
	if err != nil {
		return r, err
	}
	r.Notes = export.Notes()
	file, err := os.CreateTemp(filepath.Dir(refusedPath), ".refused-*.csv")
	if err != nil {
		return r, fmt.Errorf("write refused rows: %w", err)
	}
	defer func() { _ = os.Remove(file.Name()) }()
	defer func() { _ = file.Close() }()
	refused := legacycsv.NewRefusalWriter(file)

	err = db.Together(ctx, func(db *postgres.DB) error {
		err := db.Import(ctx, func(im *postgres.Import) (err error) {
			r.Imported, err = upgrade.Import(ctx, im, export, upgrade.ImportOptions{
				Actor: actor(), Now: time.Now(), Digest: func(a contact.Address) []byte { return keys.Digest(string(a)) },
				Refuse: func(refusal *legacycsv.Refusal) error {
					if refusal.Kept {
						r.Warnings++
					} else {
						r.Refused++
					}
					return refused.Write(refusal)
				},
			})
			return err
		})
		if err != nil {
			return err
		}
		return db.WriteAudit(ctx, staff.Entry{Actor: actor(), Action: "contact import", At: time.Now()})
	})
	if err != nil {
		return r, err
	}
	if refused.Len() == 0 {
		return r, nil
	}
	r.File = refusedPath
	if err := errors.Join(refused.Flush(), file.Chmod(0o600), file.Close()); err != nil {
		return r, fmt.Errorf("write refused rows: %w", err)
	}
	return r, os.Rename(file.Name(), refusedPath)
}

type upgradeCommand struct {
	Database   settings.Database `embed:""`
	DryRun     bool              `help:"Print the same counts and change nothing."`
	Threshold  int               `help:"How many real mailings make an E-marketing consent." default:"1"`
	StoreBasis string            `help:"The legal basis for storing contacts (default: the setting default-basis)." placeholder:"BASIS"`
	LegacyURLs []string          `help:"Addresses of the legacy system's unsubscribe pages, whose links are rewritten." name:"legacy-url" placeholder:"URL"`
	JSON       bool              `help:"Print the counts as one JSON object on stdout." name:"json"`
}

// Validate refuses what makes no sense.
func (u *upgradeCommand) Validate() error {
	if u.Threshold < 1 {
		return fmt.Errorf("--threshold is at least 1, not %d", u.Threshold)
	}
	return nil
}

// Run upgrades what is not yet upgraded.
func (u *upgradeCommand) Run(ctx context.Context, c *console) error {
	db, err := openDatabase(ctx, u.Database, c)
	if err != nil {
		return err
	}
	defer db.Close()
	var report upgrade.Report
	err = db.Together(ctx, func(db *postgres.DB) error {
		now := time.Now()
		report, err = upgrade.Run(ctx, db, upgrade.Options{
			DryRun: u.DryRun, Actor: actor(), StoreBasis: gating.LegalBasis(u.StoreBasis), Threshold: u.Threshold,
			LegacyURLs: u.LegacyURLs,
		}, now)
		if err != nil || u.DryRun {
			return err
		}
		return db.WriteAudit(ctx, staff.Entry{Actor: actor(), Action: "upgrade run", At: now})
	})
	if err != nil {
		return err
	}
	if u.JSON {
		return writeJSON(c.out, report)
	}
	printUpgrade(c.out, report)
	return nil
}

func printUpgrade(w io.Writer, r upgrade.Report) {
	verb := ""
	if r.DryRun {
		verb = "dry run, nothing is changed: "
	}
	_, _ = fmt.Fprintf(w, "  %s%s contacts not upgraded before\n", verb, number(r.Contacts))
	line := func(point int, n int64, format string, args ...any) {
		_, _ = fmt.Fprintf(w, "  %d. %9s %s\n", point, number(n), fmt.Sprintf(format, args...))
	}
	line(1, r.Stored, "contacts get the purpose Sales and service, with a legal basis for storing")
	line(2, r.Emarketing, "have been mailed before: E-marketing on (legitimate interest)")
	line(3, r.NeverMailed, "were never mailed: no E-marketing consent, mailable while E-marketing privacy is off")
	line(4, r.Withdrawn, "had \"No mailings\": E-marketing withdrawn (%s companies with \"No mailings\" are left as they are)", number(r.CompaniesNoMailings))
	line(5, r.TypesCreated, "subscription types created; %s interests become %s \"in\" and %s \"out\" (%s interests name no type)",
		number(r.InterestsMapped), number(r.PreferencesIn), number(r.PreferencesOut), number(r.InterestsUnmapped))
	line(6, int64(r.LinksRewritten), "unsubscribe links in drafts and templates become Manage subscriptions; %d of your own are left for you to decide, %d are kept",
		len(r.CustomLinks), r.LinksKept)
	for _, l := range r.CustomLinks {
		where := fmt.Sprintf("campaign %d", l.Campaign)
		if l.Template != 0 {
			where = fmt.Sprintf("template %d", l.Template)
		}
		_, _ = fmt.Fprintf(w, "       %s, %s %s, line %d: %s -> %s\n", where, l.Language, l.Part, l.Finding.Line, l.Finding.Original, l.Finding.Proposal)
	}
}

type settingsCommand struct {
	Get  settingsGetCommand  `cmd:"" help:"Print a setting."`
	Set  settingsSetCommand  `cmd:"" help:"Change a setting; it holds from the next claim on."`
	List settingsListCommand `cmd:"" help:"Print all settings."`
}

type settingsGetCommand struct {
	Database settings.Database `embed:""`
	Name     gating.Setting    `arg:"" help:"For example emarketing-privacy."`
}

// Run prints the setting.
func (s *settingsGetCommand) Run(ctx context.Context, c *console) error {
	db, err := openDatabase(ctx, s.Database, c)
	if err != nil {
		return err
	}
	defer db.Close()
	value, err := db.Setting(ctx, s.Name)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(c.out, value)
	return err
}

type settingsSetCommand struct {
	Database settings.Database `embed:""`
	Name     gating.Setting    `arg:"" help:"For example emarketing-privacy."`
	Value    string            `arg:"" help:"For example on."`
}

// Run changes the setting.
func (s *settingsSetCommand) Run(ctx context.Context, c *console) error {
	db, err := openDatabase(ctx, s.Database, c)
	if err != nil {
		return err
	}
	defer db.Close()
	return db.Set(ctx, s.Name, s.Value, actor(), time.Now())
}

type settingsListCommand struct {
	Database settings.Database `embed:""`
}

// Run prints the settings.
func (s *settingsListCommand) Run(ctx context.Context, c *console) error {
	db, err := openDatabase(ctx, s.Database, c)
	if err != nil {
		return err
	}
	defer db.Close()
	for _, setting := range postgres.Settings() {
		value, err := db.Setting(ctx, setting.Name)
		if err != nil {
			return err
		}
		_, _ = fmt.Fprintf(c.out, "%-24s %s\n", setting.Name, value)
	}
	return nil
}

type migrateCommand struct {
	Database settings.Database `embed:""`
}

// Run brings the schema up to date and says what it did.
func (m *migrateCommand) Run(ctx context.Context, c *console) error {
	db, err := postgres.Open(ctx, m.Database.URL)
	if err != nil {
		return err
	}
	defer db.Close()
	done, err := db.Migrate(ctx)
	for _, step := range done {
		_, _ = fmt.Fprintf(c.out, "%s (%s)\n", step.Name, step.Took.Round(time.Millisecond))
	}
	if err == nil && len(done) == 0 {
		_, _ = fmt.Fprintln(c.out, "the schema is up to date")
	}
	return err
}

func writeJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	return e.Encode(v)
}
