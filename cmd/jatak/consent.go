package main

import (
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"
	"unicode/utf8"

	"github.com/jatak-mail/jatak/gating"
	"github.com/jatak-mail/jatak/internal/campaign"
	staffsite "github.com/jatak-mail/jatak/internal/console"
	"github.com/jatak-mail/jatak/internal/contact"
	"github.com/jatak-mail/jatak/internal/legacycsv"
	"github.com/jatak-mail/jatak/internal/postgres"
	"github.com/jatak-mail/jatak/internal/settings"
	"github.com/jatak-mail/jatak/internal/staff"
	"github.com/jatak-mail/jatak/templates"
)

type consentCommand struct {
	Verify  consentVerifyCommand  `cmd:"" help:"Walk the whole ledger and hold every event against its hash; the first that does not fit is named."`
	Rebuild consentRebuildCommand `cmd:"" help:"Make the present state anew from the events."`
	List    consentListCommand    `cmd:"" help:"Who stands on which basis, as CSV: for example those from the migration, to be renewed."`
	Change  consentChangeCommand  `cmd:"" help:"Give a selection of contacts another legal basis, with an event for each."`
	Undo    consentUndoCommand    `cmd:"" help:"Take such a change back, with an event for each."`
}

type consentVerifyCommand struct {
	Database settings.Database `embed:""`
}

// Run verifies the ledger.
func (v *consentVerifyCommand) Run(ctx context.Context, c *console) error {
	db, err := openDatabase(ctx, v.Database, c)
	if err != nil {
		return err
	}
	defer db.Close()
	events, err := db.VerifyLedger(ctx)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(c.out, "%s events, each as it was written; the present state is what they lead to\n", number(events))
	return err
}

type consentRebuildCommand struct {
	Database settings.Database `embed:""`
}

// Run rebuilds the present state.
func (r *consentRebuildCommand) Run(ctx context.Context, c *console) error {
	db, err := openDatabase(ctx, r.Database, c)
	if err != nil {
		return err
	}
	defer db.Close()
	var mended int64
	err = db.Together(ctx, func(db *postgres.DB) error {
		if mended, err = db.RebuildState(ctx); err != nil {
			return err
		}
		return db.WriteAudit(ctx, staff.Entry{Actor: actor(), Action: "consent rebuild", Detail: fmt.Sprint(mended), At: time.Now()})
	})
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(c.out, "%s states were not as the events say, and are now\n", number(mended))
	return err
}

// selection picks contacts on the command line.
type selection struct {
	Email    string        `help:"The contacts with this address." group:"Selection"`
	Company  string        `help:"Those of this company." group:"Selection"`
	Language string        `help:"Those who read this language." group:"Selection"`
	Basis    string        `help:"Those who stand on this basis now; none for who was never asked." group:"Selection"`
	Source   string        `help:"Those whose basis came so, such as migration." group:"Selection"`
	Expiring time.Duration `help:"Those whose basis expires within this time, such as 720h." group:"Selection"`
	All      bool          `help:"Everybody." group:"Selection"`
}

func (s selection) of(now time.Time) (contact.Selection, error) {
	picked := contact.Selection{Company: s.Company, Language: strings.ToLower(s.Language), Basis: s.Basis, Source: s.Source}
	if s.Email != "" {
		address, err := contact.ParseAddress(s.Email)
		if err != nil {
			return picked, fmt.Errorf("--email %q: %w", s.Email, err)
		}
		picked.Address = address
	}
	if s.Expiring > 0 {
		picked.ExpiresBefore = now.Add(s.Expiring)
	}
	if picked == (contact.Selection{}) != s.All {
		return picked, errors.New("say whom: --email, --company, --language, --basis, --source or --expiring, or --all for everybody")
	}
	return picked, nil
}

type consentListCommand struct {
	Database settings.Database `embed:""`
	selection
	Purpose gating.Purpose `help:"The purpose that is looked at." default:"emarketing"`
}

// Run lists contacts with their consent.
func (l *consentListCommand) Run(ctx context.Context, c *console) error {
	picked, err := l.of(time.Now())
	if err != nil {
		return err
	}
	db, err := openDatabase(ctx, l.Database, c)
	if err != nil {
		return err
	}
	defer db.Close()
	w := csv.NewWriter(c.out)
	_ = w.Write([]string{"contact", "email", "first_name", "last_name", "basis", "source", "since", "expires"})
	day := func(t time.Time) string {
		if t.Unix() == 0 {
			return ""
		}
		return t.Format(time.DateOnly)
	}
	for s, err := range db.Selected(ctx, l.Purpose, picked) {
		if err != nil {
			return err
		}
		_ = w.Write([]string{fmt.Sprint(s.ID), legacycsv.Disarm(s.Email), legacycsv.Disarm(s.FirstName), legacycsv.Disarm(s.LastName), string(s.Basis), string(s.Source), day(s.Since), day(s.Expires)})
	}
	w.Flush()
	return w.Error()
}

type consentChangeCommand struct {
	Database settings.Database `embed:""`
	selection
	Purpose gating.Purpose    `help:"Of this purpose." default:"emarketing"`
	To      gating.LegalBasis `help:"The new basis, such as consent, soft_opt_in or withdrawn; jatak term list legal_basis lists all." required:""`
	How     gating.Source     `help:"How you know: ${enum}." enum:"user,email,incoming_request,chat,web_form,customer_portal,integration" default:"user"`
	Reason  string            `help:"Why; it is kept with each event." required:""`
	DryRun  bool              `help:"Count, and change nothing."`
	JSON    bool              `help:"Print the counts as one JSON object on stdout." name:"json"`
}

// Run changes the basis.
func (ch *consentChangeCommand) Run(ctx context.Context, c *console) error {
	now := time.Now()
	picked, err := ch.of(now)
	if err != nil {
		return err
	}
	if n := utf8.RuneCountInString(ch.Reason); n == 0 || n > contact.MaxComment {
		return fmt.Errorf("--reason has 1 to %d characters, not %d", contact.MaxComment, n)
	}
	db, err := openDatabase(ctx, ch.Database, c)
	if err != nil {
		return err
	}
	defer db.Close()
	r, err := db.ChangeBasis(ctx, contact.BulkChange{Selection: picked, Purpose: ch.Purpose, Basis: ch.To, Source: ch.How, Reason: ch.Reason,
		Actor: actor(), Now: now, DryRun: ch.DryRun})
	if err != nil {
		return err
	}
	if ch.JSON {
		return writeJSON(c.out, r)
	}
	_, _ = fmt.Fprintf(c.out, "%s selected: %s changed, %s stood on it already, %s withdrew in person and stay withdrawn\n",
		number(r.Selected), number(r.Changed), number(r.Unchanged), number(r.Withdrawn))
	switch {
	case ch.DryRun:
		_, err = fmt.Fprintln(c.err, "Dry run: nothing is changed.")
	case r.ID != 0:
		_, err = fmt.Fprintf(c.err, "To take it back: jatak consent undo %d\n", r.ID)
	}
	return err
}

type consentUndoCommand struct {
	Database settings.Database `embed:""`
	Change   int64             `arg:"" help:"The change's number."`
}

// Run undoes a change.
func (u *consentUndoCommand) Run(ctx context.Context, c *console) error {
	db, err := openDatabase(ctx, u.Database, c)
	if err != nil {
		return err
	}
	defer db.Close()
	r, err := db.UndoBasis(ctx, u.Change, actor(), time.Now())
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(c.out, "%s of %s are as before; the others have said something since\n", number(r.Changed), number(r.Selected))
	return err
}

type contactCommand struct {
	Export contactExportCommand `cmd:"" help:"All that is kept about a person, as JSON or as a page to read (GDPR 15 and 20)."`
	Erase  contactEraseCommand  `cmd:"" help:"Erase a person (GDPR 17): the address stays unmailed, the ledger stays whole."`

	Complaint contactComplaintCommand `cmd:"" help:"Keep that somebody reported a mail as spam: they are mailed no more, and it counts for the campaign."`
}

// contactOf returns the contacts that have an address; one must.
func contactsOf(ctx context.Context, db *postgres.DB, email string) ([]contact.ID, error) {
	address, err := contact.ParseAddress(email)
	if err != nil {
		return nil, err
	}
	ids, err := db.FindContacts(ctx, address)
	if err == nil && len(ids) == 0 {
		err = errors.New("nobody on file has this address")
	}
	return ids, err
}

type contactExportCommand struct {
	Database settings.Database `embed:""`
	Email    string            `arg:"" help:"The person's address."`
	HTML     bool              `help:"A page to read and print instead of JSON." name:"html"`
	Language string            `help:"The page's language." default:"en"`
}

// Run exports the person's data.
func (e *contactExportCommand) Run(ctx context.Context, c *console) error {
	db, err := openDatabase(ctx, e.Database, c)
	if err != nil {
		return err
	}
	defer db.Close()
	ids, err := contactsOf(ctx, db, e.Email)
	if err != nil {
		return err
	}
	form := "JSON"
	if e.HTML {
		form = "HTML"
	}
	var dossiers []contact.Dossier
	for _, id := range ids {
		d, err := db.Dossier(ctx, id, staff.Entry{Actor: actor(), Action: staff.ContactExport, Detail: form, At: time.Now()})
		if err != nil {
			return err
		}
		dossiers = append(dossiers, d)
	}
	if !e.HTML {
		encoder := json.NewEncoder(c.out)
		encoder.SetIndent("", "  ")
		encoder.SetEscapeHTML(false)
		return encoder.Encode(dossiers)
	}
	words, err := templates.New()
	if err != nil {
		return err
	}
	return words.Dossier(c.out, words.Match(e.Language), staffsite.DossierTables(dossiers))
}

type contactEraseCommand struct {
	Database settings.Database `embed:""`
	Email    string            `arg:"" help:"The person's address."`
	DryRun   bool              `help:"Say who would be erased, and erase nobody."`
	Yes      bool              `help:"Do it: this cannot be undone."`
}

// Run erases the person.
func (e *contactEraseCommand) Run(ctx context.Context, c *console) error {
	db, err := openDatabase(ctx, e.Database, c)
	if err != nil {
		return err
	}
	defer db.Close()
	ids, err := contactsOf(ctx, db, e.Email)
	if err != nil {
		return err
	}
	if e.DryRun || !e.Yes {
		_, _ = fmt.Fprintf(c.out, "%d contacts have this address: %v\n", len(ids), ids)
		if !e.DryRun {
			return errors.New("erasing cannot be undone; say --yes, or keep a copy first: jatak contact export")
		}
		return nil
	}
	for _, id := range ids {
		if err := db.Erase(ctx, id, actor(), time.Now()); err != nil {
			return err
		}
	}
	_, err = fmt.Fprintf(c.out, "%d contacts are erased; the address stays unmailed\n", len(ids))
	return err
}

type explainCommand struct {
	Database settings.Database `embed:""`
	Email    string            `arg:"" help:"The person's address."`
	Campaign campaign.ID       `help:"For this campaign; without it, for a marketing mail of no type." placeholder:"ID"`
	Language string            `help:"The language of the sentences." default:"en"`
	JSON     bool              `help:"Print one JSON object for each contact on stdout." name:"json"`
}

// explanation is why a person is mailed or not.
type explanation struct {
	Contact contact.ID           `json:"contact"`
	Send    bool                 `json:"send"`
	Reason  gating.Reason        `json:"reason"`
	Event   int64                `json:"consent_event,omitempty"`
	Steps   []explainStep        `json:"steps"`
	Mend    string               `json:"what_would_change_it"`
	Stored  *contact.DossierMail `json:"stored,omitempty"`
}

type explainStep struct {
	Reason  gating.Reason `json:"reason"`
	Holds   bool          `json:"holds"`
	Lifted  bool          `json:"lifted,omitempty"`
	Decided bool          `json:"decided,omitempty"`
	Found   []string      `json:"found"`
}

// Run answers "why did she get this mail?".
func (e *explainCommand) Run(ctx context.Context, c *console) error {
	db, err := openDatabase(ctx, e.Database, c)
	if err != nil {
		return err
	}
	defer db.Close()
	words, err := templates.New()
	if err != nil {
		return err
	}
	lang := words.Match(e.Language)
	ids, err := contactsOf(ctx, db, e.Email)
	if err != nil {
		return err
	}
	policy, err := db.Policy(ctx, time.Now())
	if err != nil {
		return err
	}
	policy.Class = gating.Marketing
	if e.Campaign != 0 {
		kept, err := db.Campaign(ctx, e.Campaign)
		if err != nil {
			return err
		}
		policy.Class, policy.Type, policy.Override = kept.Class, kept.Type, kept.OverrideReason != ""
	}
	for _, id := range ids {
		r, err := db.Recipient(ctx, id, policy.Type)
		if err != nil {
			return err
		}
		x := explanation{Contact: id}
		if e.Campaign != 0 {
			stored, ok, err := db.Delivery(ctx, e.Campaign, id)
			if err != nil {
				return err
			}
			if ok {
				x.Stored = &stored
				r.Facts.Duplicate = stored.Reason == gating.Duplicate
			}
		}
		steps, v := gating.Explain(r.Facts, policy)
		x.Send, x.Reason, x.Event = v.Send, v.Reason, v.Event
		x.Mend = words.Text(lang, "mend."+string(v.Reason))
		for _, s := range steps {
			x.Steps = append(x.Steps, explainStep(s))
		}
		if e.JSON {
			err = writeJSON(c.out, x)
		} else {
			err = e.print(ctx, c.out, db, words, lang, x)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (e *explainCommand) print(ctx context.Context, w io.Writer, db *postgres.DB, words *templates.Set, lang string, x explanation) error {
	verdict := words.Text(lang, "explain.block")
	if x.Send {
		verdict = words.Text(lang, "explain.send")
	}
	_, _ = fmt.Fprintf(w, "%s %d: %s (%s): %s\n", words.Text(lang, "explain.contact"), x.Contact, verdict, x.Reason, words.ReasonText(lang, x.Reason))
	table := tabwriter.NewWriter(w, 2, 0, 2, ' ', 0)
	behind := false
	for i, s := range x.Steps {
		mark := words.Text(lang, "explain.no")
		switch {
		case s.Decided:
			mark = words.Text(lang, "explain.decides")
		case s.Lifted:
			mark = words.Text(lang, "explain.lifted")
		case behind && s.Holds:
			mark = words.Text(lang, "explain.behind")
		case s.Holds:
			mark = words.Text(lang, "explain.yes")
		}
		_, _ = fmt.Fprintf(table, "  %d\t%s\t%s\t%s\n", i+1, s.Reason, mark, strings.Join(s.Found, ", "))
		behind = behind || s.Decided
	}
	_ = table.Flush()
	if x.Event != 0 {
		events, err := db.Events(ctx, x.Contact)
		if err != nil {
			return err
		}
		for _, v := range events {
			if v.ID == x.Event {
				_, _ = fmt.Fprintf(w, "%s\n", words.Text(lang, "explain.event", v.ID, v.At.Format("2006-01-02 15:04"), v.To, v.Source, v.Actor, v.Wording, v.Comment))
			}
		}
	}
	if x.Mend != "" {
		_, _ = fmt.Fprintf(w, "%s %s\n", words.Text(lang, "explain.mend"), x.Mend)
	}
	if x.Stored != nil {
		_, _ = fmt.Fprintf(w, "%s\n", words.Text(lang, "explain.stored", x.Stored.Campaign, x.Stored.State, x.Stored.Reason, x.Stored.Event, x.Stored.PolicyVersion, x.Stored.At.Format("2006-01-02 15:04:05")))
	}
	return nil
}

type typeCommand struct {
	List   typeListCommand   `cmd:"" help:"All subscription types, as JSON lines."`
	Create typeCreateCommand `cmd:"" help:"Create a type: jatak type create events en=Events da=Arrangementer."`
	Rename typeRenameCommand `cmd:"" help:"Rename a type: jatak type rename news da=Nyt."`
	Retire typeRetireCommand `cmd:"" help:"Take a type out of use; what people said about it is kept."`
}

type typeListCommand struct {
	Database settings.Database `embed:""`
}

// Run lists the types.
func (l *typeListCommand) Run(ctx context.Context, c *console) error {
	db, err := openDatabase(ctx, l.Database, c)
	if err != nil {
		return err
	}
	defer db.Close()
	types, err := db.Types(ctx)
	if err != nil {
		return err
	}
	chosen, err := db.CountChoices(ctx)
	if err != nil {
		return err
	}
	for _, t := range types {
		line := struct {
			contact.SubscriptionType
			ChosenBy int64 `json:"chosen_by"` // contacts with a preference for it
		}{t, chosen[t.Key]}
		if err := writeJSON(c.out, line); err != nil {
			return err
		}
	}
	return nil
}

type typeCreateCommand struct {
	Database settings.Database `embed:""`
	Key      string            `arg:"" help:"How the type is called in campaigns and List-Id."`
	Names    map[string]string `arg:"" help:"LANGUAGE=NAME, one or more."`
}

// Run creates the type.
func (t *typeCreateCommand) Run(ctx context.Context, c *console) error {
	if err := checkNames(t.Key, t.Names); err != nil {
		return err
	}
	db, err := openDatabase(ctx, t.Database, c)
	if err != nil {
		return err
	}
	defer db.Close()
	return db.CreateType(ctx, contact.NewType{Key: t.Key, Names: t.Names}, actor(), time.Now())
}

type typeRenameCommand struct {
	Database settings.Database `embed:""`
	Key      string            `arg:"" help:"The type's key."`
	Names    map[string]string `arg:"" help:"LANGUAGE=NAME, one or more."`
}

// Run renames the type.
func (t *typeRenameCommand) Run(ctx context.Context, c *console) error {
	if err := checkNames(t.Key, t.Names); err != nil {
		return err
	}
	db, err := openDatabase(ctx, t.Database, c)
	if err != nil {
		return err
	}
	defer db.Close()
	return db.RenameType(ctx, contact.NewType{Key: t.Key, Names: t.Names}, actor(), time.Now())
}

type typeRetireCommand struct {
	Database settings.Database `embed:""`
	Keys     []string          `arg:"" optional:"" help:"The types' keys."`
	All      bool              `help:"All of them."`
}

// Run retires types.
func (t *typeRetireCommand) Run(ctx context.Context, c *console) error {
	db, err := openDatabase(ctx, t.Database, c)
	if err != nil {
		return err
	}
	defer db.Close()
	keys := t.Keys
	if t.All {
		types, err := db.Types(ctx)
		if err != nil {
			return err
		}
		for _, known := range types {
			if !known.Retired {
				keys = append(keys, known.Key)
			}
		}
	}
	if len(keys) == 0 {
		return errors.New("say which types to retire, or --all")
	}
	for _, key := range keys {
		if err := db.RetireType(ctx, key, actor(), time.Now()); err != nil {
			return err
		}
	}
	return nil
}

type auditCommand struct {
	Database settings.Database `embed:""`
	Limit    int               `help:"How many lines, newest first." default:"50"`
}

// Run prints the audit log.
func (a *auditCommand) Run(ctx context.Context, c *console) error {
	db, err := openDatabase(ctx, a.Database, c)
	if err != nil {
		return err
	}
	defer db.Close()
	entries, err := db.AuditLog(ctx, staff.Filter{Most: a.Limit})
	if err != nil {
		return err
	}
	for _, e := range entries {
		who := ""
		if e.Contact != 0 {
			who = fmt.Sprintf(" contact %d", e.Contact)
		}
		if e.Campaign != 0 {
			who = fmt.Sprintf(" campaign %d", e.Campaign)
		}
		_, _ = fmt.Fprintf(c.out, "%s  %s  %s%s %s\n", e.At.UTC().Format(time.DateTime), e.Actor, e.Action, who, e.Detail)
	}
	return nil
}
