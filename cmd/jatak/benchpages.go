package main

import (
	"context"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/jatak-mail/jatak/gating"
	"github.com/jatak-mail/jatak/internal/campaign"
	staffsite "github.com/jatak-mail/jatak/internal/console"
	"github.com/jatak-mail/jatak/internal/contact"
	"github.com/jatak-mail/jatak/internal/postgres"
	"github.com/jatak-mail/jatak/internal/staff"
)

// benchPage is a page of the console as somebody asks for it.
type benchPage struct {
	Route      string // its line in the console's table
	Asked      string // what is asked for of it, in words
	Path       string
	Form       string // posted, if there is one
	LinkedFrom string // the page asked for is the style sheet of this one
	First      bool   // it is as long as what it is about: what counts is when it begins
	Moved      bool   // it leads elsewhere
	Search     bool   // it is held to the bound of a search
}

// samples is what benchConsoleCommand has made up, to be asked for.
type samples struct {
	Contacts        int
	Finished        campaign.ID // for everybody
	Running         campaign.ID // for everybody
	Old             campaign.ID
	Draft           campaign.ID
	Version         int64 // of the draft
	Template        int64
	TemplateVersion int64
	Audiences       int64 // the id of the first; there are as many as of benchFilters
	Import          int64
	Contact         contact.ID
	Company         string // a domain that few have
	Invitation      string // the token of a link by which somebody becomes a user
}

const (
	benchUser     = "bench@example.org"
	benchPassword = "a password for measuring"
	// rareLanguage is one that a few people have.
	rareLanguage = "is"
	// Of each kind there are as many as gather in four years.
	oldCampaigns, benchTemplates = 200, 20
	benchAuditLines              = 200_000
)

// benchFilters are saved audiences of different kinds.
func benchFilters() []contact.SavedAudience {
	one := func(name string, conditions ...contact.Condition) contact.SavedAudience {
		return contact.SavedAudience{Name: name, Filter: contact.Filter{Groups: []contact.Group{{Conditions: conditions}}}, Actor: "user:" + benchUser}
	}
	return []contact.SavedAudience{
		one("1 never mailed", contact.Condition{Field: contact.FieldLastMail, Op: contact.OpNever}),
		one("2 Danish and not withdrawn", contact.Condition{Field: contact.FieldLanguage, Op: contact.OpIs, Value: "da"},
			contact.Condition{Field: contact.FieldBasis, Op: contact.OpIsNot, Value: "withdrawn"}),
		one("3 company contains a/s", contact.Condition{Field: contact.FieldCompany, Op: contact.OpContains, Value: "a/s"}),
		one("4 no choice of invitations", contact.Condition{Field: contact.FieldType, Op: contact.OpUnset, Value: "invitations"}),
		one("5 last name contains sen", contact.Condition{Field: contact.FieldLastName, Op: contact.OpContains, Value: "sen"}),
	}
}

// page fills an address of the console's table, with what its {parts} are.
func page(route, asked, query string, parts ...any) benchPage {
	path := strings.TrimSuffix(strings.TrimPrefix(route, "GET "), "{$}")
	for _, p := range parts {
		before, after, _ := strings.Cut(path, "{")
		_, after, _ = strings.Cut(after, "}")
		path = before + fmt.Sprint(p) + after
	}
	if query != "" {
		path += "?" + query
	}
	return benchPage{Route: route, Asked: asked, Path: path}
}

// pagesBeforeUpgrade are those that look through everybody who is not upgraded.
func pagesBeforeUpgrade() []benchPage {
	return []benchPage{
		page("GET /{$}", "before the upgrade", ""),
		page("GET /upgrade", "before the upgrade", ""),
		page("GET /upgrade/links", "before the upgrade", ""),
	}
}

// benchPages are all pages of the console, with what people ask for of them.
func benchPages(s samples) []benchPage {
	return slices.Concat(plainPages(s), campaignPages(s), writingPages("/campaigns/{id}", int64(s.Draft), s.Version),
		writingPages("/templates/{id}", s.Template, s.TemplateVersion), peoplePages(s), audiencePages(s))
}

// plainPages are those that do not depend on how many people or mails there are.
func plainPages(s samples) []benchPage {
	sheet := page("GET /static/{name}", "", "")
	sheet.LinkedFrom = "/login"
	look := page("GET /settings/look/preview/{colour}/static/{name}", "", "")
	look.LinkedFrom = "/settings/look/preview"
	list := []benchPage{sheet, look}
	for _, route := range []string{"GET /login", "GET /healthz", "GET /account", "GET /settings", "GET /settings/look", "GET /settings/look/words",
		"GET /settings/look/preview", "GET /settings/sender", "GET /settings/relays", "GET /settings/domains", "GET /settings/users", "GET /settings/types",
		"GET /settings/terms", "GET /settings/wording", "GET /imports"} {
		list = append(list, page(route, "", ""))
	}
	return append(list,
		page("GET /setup/{token}", "", "", s.Invitation),
		page("GET /settings/domains/{domain}", "", "", "jatak.example"),
		page("GET /settings/rules/{name}", "", "", gating.SettingPrivacy),
		page("GET /settings/rules/{name}", "", "", contact.SettingSendPace),
		page("GET /settings/privacy/effect", "not counted yet", "to=off"),
		page("GET /settings/privacy/effect", "counted", "to=off"),
		page("GET /imports/{id}", "", "", s.Import),
		starts(page("GET /imports/{id}/refused", "", "", s.Import)),
		page("GET /audit", "", ""),
		page("GET /audit", "of one person", "who="+url.QueryEscape("user:staff3@example.org")),
		page("GET /audit", "of one person and topic", "who="+url.QueryEscape("user:staff3@example.org")+"&what=campaign"),
		page("GET /audit", "a topic that nothing is about", "what=brand"),
		page("GET /audit", "one kind of action", "what=campaign+launch"),
		page("GET /audit", "a kind of action that nobody did", "what=campaign+upgrade"),
		page("GET /audit", "about one contact", fmt.Sprintf("contact=%d", s.Contact)),
		page("GET /audit", "two days, two years ago", "from="+day(-730)+"&until="+day(-729)),
		page("GET /audit", "far back", fmt.Sprintf("before=%d.5.1", time.Now().AddDate(-2, 0, 0).UnixMicro())),
		starts(page("GET /audit.csv", "begins", "")),
		page("GET /upgrade", "", ""),
		page("GET /upgrade/links", "", ""),
	)
}

// starts holds a page to when it begins.
func starts(p benchPage) benchPage {
	p.First = true
	return p
}

func day(from int) string { return time.Now().AddDate(0, 0, from).Format(time.DateOnly) }

// campaignPages are about campaigns that are launched, and the check before.
func campaignPages(s samples) []benchPage {
	const one, report, people = "GET /campaigns/{id}", "GET /campaigns/{id}/report", "GET /campaigns/{id}/people"
	all := page("GET /campaigns", "", "")
	launch, override := page("GET /campaigns/{id}/launch", "", "", s.Draft), page("GET /campaigns/{id}/override", "", "", s.Draft)
	all.Moved, launch.Moved, override.Moved = true, true, true
	list := []benchPage{
		all,
		page("GET /{$}", "", ""),
		page("GET /{$}", "ended", "state=ended"),
		page("GET /{$}", "found by name", "q=newsletter+17"),
		page("GET /{$}", "the oldest", "page=8"),
		page(one, "finished", "", s.Finished),
		page(one, "under way", "", s.Running),
		page(one, "under way, counted", "", s.Running),
		page(one, "an old one", "", s.Old),
		page(one, "a draft", "", s.Draft),
		starts(page("GET /campaigns/{id}/events", "begins, under way", "", s.Running)),
		page(report, "finished", "", s.Finished),
		page(report, "finished, all destinations, by what failed", "all=1&sort=failed", s.Finished),
		page(report, "finished, compared with chosen ones", fmt.Sprintf("with=%d&with=%d", s.Old, s.Old-7), s.Finished),
		page(report+".csv", "destinations", "part=destinations", s.Finished),
		page(report+".csv", "over time", "part=time", s.Finished),
		page("GET /campaigns/{id}/sent", "", "", s.Finished),
		page("GET /campaigns/{id}/resend", "", "", s.Finished),
		page(report, "under way", "", s.Running),
		page(report, "under way, counted", "", s.Running),
		page(report, "an old one", "", s.Old),
		launch,
		override,
		page("GET /campaigns/{id}/check", "not counted yet", "", s.Draft),
		page("GET /campaigns/{id}/reach", "", "", s.Draft),
		page("GET /campaigns/{id}/check", "counted", "", s.Draft),
		page(people, "of a draft", "reason=no_consent", s.Draft),
		page(people, "of a draft, far back", "reason=consented&after=20000", s.Draft),
		page(people, "of a draft, the whole audience, far back", "who=audience&after=500000", s.Draft),
		starts(page(people+".csv", "begins, of a draft", "reason=no_consent", s.Draft)),
	}
	for _, of := range []struct {
		name string
		id   campaign.ID
	}{{"finished", s.Finished}, {"under way", s.Running}} {
		far := fmt.Sprintf("&after=%d.0", s.Contacts/1000*4/10)
		for _, f := range []struct{ name, query string }{
			{"all", "x="}, {"all, far back", "x=" + far}, {"sent", "state=sent"}, {"sent, far back", "state=sent" + far},
			{"kept back", "state=blocked"}, {"no consent", "state=blocked&reason=no_consent"}, {"a rare reason", "state=blocked&reason=complained"},
			{"a reason that nobody has", "state=blocked&reason=no_address"}, {"failed", "state=failed"}, {"a common code", "state=failed&code=550"},
			{"a rare code", "state=failed&code=521"}, {"a code that nobody has", "state=failed&code=571"}, {"in doubt", "state=in_doubt"},
			{"a common domain", "domain=post.example"}, {"a rare domain", "domain=" + s.Company}, {"a common domain, failed", "domain=post.example&state=failed"},
			{"a common language", "language=da"}, {"a rare language", "language=" + rareLanguage}, {"no language", "language=-"},
			{"withdrawn", "withdrawn=1"}, {"withdrawn, of a common domain", "withdrawn=1&domain=post.example"},
			{"a provider", "domain=gmail"}, {"without an address", "domain=-"},
		} {
			list = append(list, page(people, of.name+": "+f.name, f.query, of.id))
		}
		list = append(list, starts(page(people+".csv", "begins, "+of.name, "", of.id)),
			starts(page(people+".csv", "begins, "+of.name+": a rare code", "state=failed&code=521", of.id)))
	}
	return list
}

// writingPages are those of the composer, for a draft or a template.
func writingPages(base string, id, version int64) []benchPage {
	edit := page("GET "+base+"/edit", "", "", id)
	edit.Moved = true
	test := page("GET "+base+"/test", "", "", id)
	test.Moved = true
	list := []benchPage{edit, test}
	steps := []string{"audience", "type", "content"}
	if strings.HasPrefix(base, "/templates") {
		steps = []string{"content", "type"}
		resume := page("GET "+base, "", "", id)
		resume.Moved = true
		list = append(list, resume, page("GET /templates", "", ""), page("GET /templates/new", "", ""), page("GET "+base+"/delete", "", "", id))
	} else {
		list = append(list, page("GET /campaigns/new", "", ""))
	}
	for _, step := range steps {
		list = append(list, page("GET "+base+"/edit/{step}", step, "", id, step))
	}
	for _, part := range []string{"findings", "mail", "preview", "tests", "versions"} {
		list = append(list, page("GET "+base+"/"+part, "", "", id))
	}
	return append(list,
		page("GET "+base+"/readers", "found", "q=anna+jensen", id),
		page("GET "+base+"/versions/{version}", "", "", id, version),
	)
}

// peoplePages are those about contacts.
func peoplePages(s samples) []benchPage {
	list := []benchPage{
		page("GET /contacts", "not asked", ""),
		page("GET /contacts/{id}", "", "", s.Contact),
		page("GET /contacts/{id}/export", "", "", s.Contact),
		page("GET /contacts/{id}/export", "as JSON", "as=json", s.Contact),
		page("GET /contacts/{id}/erase", "", "", s.Contact),
	}
	for _, query := range []string{"anna", "jensen", "anna jensen", "anna jensen 77", "anna marie jensen a/s", "a", "zz", "zzzzqqq", "zzzzqqq a/s", "nielsen zzzzqqq a/s", "a/s",
		"sen ann example"} {
		search := page("GET /contacts", query, "q="+url.QueryEscape(query))
		search.Search = true
		list = append(list, search)
	}
	far := page("GET /contacts", "anna, far back", fmt.Sprintf("q=anna&after=%d", s.Contacts*9/10))
	far.Search = true
	address := page("GET /contacts", "an address (posted)", "")
	address.Form, address.Search = "q="+url.QueryEscape("anna.jensen@post.example"), true
	return append(list, far, address)
}

// audiencePages are the builder and the counts that load after it.
func audiencePages(s samples) []benchPage {
	const route = "GET /audiences"
	list := []benchPage{page(route, "", "")}
	for i, saved := range benchFilters() {
		_, name, _ := strings.Cut(saved.Name, " ")
		list = append(list, page(route, name, fmt.Sprintf("id=%d", s.Audiences+int64(i))))
		form := url.Values{"filter_group_match": {"all"}}
		for _, c := range saved.Filter.Groups[0].Conditions {
			form.Add("filter_group", "0")
			form.Add("filter_field", string(c.Field))
			form.Add("filter_op", string(c.Op))
			form.Add("filter_value", c.Value)
		}
		for _, when := range []string{"count, asked first", "count, asked again"} {
			list = append(list, benchPage{Route: "POST /audiences/count", Asked: name + ": " + when, Path: "/audiences/count", Form: form.Encode()})
		}
	}
	return list
}

// missingPages names the pages of the console's table that are not asked for.
func missingPages(routes []staffsite.Route, pages []benchPage) (missing []string) {
	for _, r := range routes {
		if strings.HasPrefix(r.Pattern, "GET ") && !slices.ContainsFunc(pages, func(p benchPage) bool { return p.Route == r.Pattern }) {
			missing = append(missing, r.Pattern)
		}
	}
	return missing
}

// inviteBench makes the user that measures, who may see everything.
func inviteBench(ctx context.Context, db *postgres.DB) error {
	_, hash := staff.NewToken()
	now := time.Now()
	if err := db.Invite(ctx, hash, benchUser, staff.Administrator, "bench", now, now.Add(time.Hour)); err != nil {
		return err
	}
	password, err := staff.HashPassword(benchPassword)
	if err != nil {
		return err
	}
	return db.AcceptInvitation(ctx, hash, staff.User{Email: benchUser, PasswordHash: password, Language: "da"}, now)
}

// makeSamples makes up what a tenant has after some years: campaigns, templates,
// audiences, an import, a log, and a worker that says what it is.
func makeSamples(ctx context.Context, db *postgres.DB, contacts int) (s samples, err error) {
	s.Contacts = contacts
	now := time.Now()
	mails, err := starters()
	if err != nil {
		return s, err
	}
	if err := db.Set(ctx, gating.SettingPrivacy, "on", "bench", now); err != nil {
		return s, err
	}
	if err := s.makeCampaigns(ctx, db, mails[0], now); err != nil {
		return s, err
	}
	if err := s.makeDrafts(ctx, db, mails[0], now); err != nil {
		return s, err
	}
	for _, a := range benchFilters() {
		if err := db.SaveAudience(ctx, a, now); err != nil {
			return s, err
		}
	}
	saved, err := db.SavedAudiences(ctx)
	if err != nil {
		return s, err
	}
	s.Audiences = saved[0].ID
	if s.Import, err = db.SampleHistory(ctx, benchAuditLines, rareLanguage, now); err != nil {
		return s, err
	}
	if s.Contact, err = db.SomeContact(ctx); err != nil {
		return s, err
	}
	person, err := db.Recipient(ctx, s.Contact, gating.SubscriptionType{})
	if err != nil {
		return s, err
	}
	s.Company = person.Address.Domain()
	token, hash := staff.NewToken()
	s.Invitation = token
	if err := db.Invite(ctx, hash, "invited@jatak.example", staff.Viewer, "bench", now, now.AddDate(1, 0, 0)); err != nil {
		return s, err
	}
	worker, err := db.StartWorker(ctx, "bench", 365*24*time.Hour)
	if err != nil {
		return s, err
	}
	return s, db.DescribeWorker(ctx, worker, campaign.About{Relays: []campaign.Relay{{Name: "relay.example:587", Host: "relay.example", Encryption: "required", Connections: 20}},
		Signers: []campaign.Signer{{Domain: "jatak.example", Selector: "bench", Record: "v=DKIM1; p="}}})
}

// makeCampaigns makes those that were sent, the oldest first, each about a week
// after the one before.
func (s *samples) makeCampaigns(ctx context.Context, db *postgres.DB, mail campaign.Content, now time.Time) error {
	for i := range oldCampaigns + 2 {
		mail.Name = fmt.Sprintf("Newsletter %d", i+1)
		launched := now.AddDate(0, 0, -7*(oldCampaigns+1-i)).Add(-3 * time.Hour)
		id, err := db.CreateCampaign(ctx, mail, launched.Add(-time.Hour))
		if err != nil {
			return err
		}
		of := postgres.SampleCampaign{ID: id, People: min(1000, int64(s.Contacts)), Launched: launched, Ended: true}
		switch i {
		case oldCampaigns:
			s.Finished, of.People = id, int64(s.Contacts)
		case oldCampaigns + 1:
			s.Running, of.People, of.Ended = id, int64(s.Contacts), false
		default:
			s.Old = id
		}
		if err := db.SampleBooks(ctx, of); err != nil {
			return err
		}
	}
	return nil
}

// makeDrafts makes a campaign and templates that are being written.
func (s *samples) makeDrafts(ctx context.Context, db *postgres.DB, mail campaign.Content, now time.Time) (err error) {
	const author = "user:" + benchUser
	mail.Name = "Next newsletter"
	if s.Draft, err = db.CreateDraft(ctx, mail, author, now); err != nil {
		return err
	}
	for i := range benchTemplates {
		mail.Name = fmt.Sprintf("Template %d", i+1)
		if s.Template, err = db.CreateTemplate(ctx, mail, author, now); err != nil {
			return err
		}
	}
	keep := func(ref campaign.DraftRef) (version int64, err error) {
		version = 1
		for i := range 10 {
			mail.PostalAddress = fmt.Sprintf("Pakhuskaj %d, 5000 Odense C", i+1)
			version, err = db.KeepDraft(ctx, campaign.Save{DraftRef: ref, Base: version, Content: mail, Actor: author, Editor: fmt.Sprint(i), Action: "save", At: now})
			if err != nil {
				return 0, err
			}
		}
		return version, nil
	}
	if s.TemplateVersion, err = keep(campaign.DraftRef{Template: true, ID: s.Template}); err != nil {
		return err
	}
	mail.Name = "Next newsletter"
	s.Version, err = keep(campaign.DraftRef{ID: int64(s.Draft)})
	return err
}
