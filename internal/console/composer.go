package console

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jatak-mail/jatak/gating"
	"github.com/jatak-mail/jatak/internal/campaign"
	"github.com/jatak-mail/jatak/internal/contact"
	"github.com/jatak-mail/jatak/internal/staff"
)

// composerStore is what writing campaigns and templates needs.
type composerStore interface {
	CreateDraft(ctx context.Context, content campaign.Content, actor string, now time.Time) (campaign.ID, error)
	Draft(ctx context.Context, ref campaign.DraftRef) (campaign.Draft, error)
	KeepDraft(ctx context.Context, save campaign.Save) (version int64, err error)
	ReachStep(ctx context.Context, id campaign.ID, step int) error
	Versions(ctx context.Context, ref campaign.DraftRef) ([]campaign.Version, error)
	DraftVersion(ctx context.Context, ref campaign.DraftRef, number int64) (campaign.Version, error)
	CreateTemplate(ctx context.Context, content campaign.Content, actor string, now time.Time) (int64, error)
	Templates(ctx context.Context) ([]campaign.Draft, error)
	DeleteTemplate(ctx context.Context, id int64, actor string, now time.Time) error
	QueueTestMail(ctx context.Context, m campaign.TestMail) error
	TestMails(ctx context.Context, ref campaign.DraftRef, most int) ([]campaign.TestMail, error)
	TypeNames(ctx context.Context) ([]contact.NewType, error)
}

// composerBody bounds a form with a mail in it: a source and a text part, which
// a form writes in up to three characters a byte.
const composerBody = 6*campaign.MaxPart + 64<<10

func (s *site) composerRoutes() (list []route) {
	for _, kind := range []struct {
		base string
		look staff.Role
	}{{"/campaigns/{id}", staff.Viewer}, {"/templates/{id}", staff.Marketer}} {
		base, look := kind.base, kind.look
		list = append(list,
			route{pattern: "GET " + base + "/edit", role: staff.Marketer, handle: s.resume},
			route{pattern: "GET " + base + "/edit/{step}", role: staff.Marketer, handle: s.compose},
			route{pattern: "POST " + base + "/edit/{step}", role: staff.Marketer, handle: s.save, body: composerBody},
			route{pattern: "GET " + base + "/findings", role: staff.Marketer, handle: s.findings},
			route{pattern: "GET " + base + "/mail", role: look, handle: s.mail},
			route{pattern: "GET " + base + "/preview", role: look, handle: s.preview},
			route{pattern: "GET " + base + "/readers", role: staff.Marketer, handle: s.readers},
			route{pattern: "GET " + base + "/tests", role: staff.Marketer, handle: s.tests},
			route{pattern: "POST " + base + "/test", role: staff.Marketer, handle: s.sendTest},
			route{pattern: "GET " + base + "/versions", role: staff.Marketer, handle: s.versions},
			route{pattern: "GET " + base + "/versions/{version}", role: staff.Marketer, handle: s.version},
			route{pattern: "POST " + base + "/versions/{version}/restore", role: staff.Marketer, handle: s.restore},
		)
	}
	return append(list,
		route{pattern: "GET /campaigns", role: staff.Viewer, handle: s.toList},
		route{pattern: "GET /campaigns/{id}/sent", role: staff.Viewer, handle: s.sent},
		route{pattern: "GET /campaigns/{id}/test", role: staff.Marketer, handle: s.toTest},
		route{pattern: "GET /templates/{id}/test", role: staff.Marketer, handle: s.toTest},
		route{pattern: "GET /campaigns/new", role: staff.Marketer, handle: s.newCampaign},
		route{pattern: "POST /campaigns", role: staff.Marketer, handle: s.createCampaign},
		route{pattern: "GET /templates", role: staff.Marketer, handle: s.templates},
		route{pattern: "GET /templates/new", role: staff.Marketer, handle: s.newTemplate},
		route{pattern: "POST /templates", role: staff.Marketer, handle: s.createTemplate, body: composerBody},
		route{pattern: "GET /templates/{id}", role: staff.Marketer, handle: s.resume},
		route{pattern: "POST /templates/{id}/copy", role: staff.Marketer, handle: s.copyTemplate},
		route{pattern: "GET /templates/{id}/delete", role: staff.Marketer, handle: s.askDelete},
		route{pattern: "POST /templates/{id}/delete", role: staff.Marketer, handle: s.deleteTemplate},
	)
}

// The steps of writing a campaign.
const (
	stepAudience = "audience"
	stepType     = "type"
	stepContent  = "content"
	stepCheck    = "check"
	stepLaunch   = "launch" // a part of the page of stepCheck
)

// stepsOf lists the steps of a draft in their order. A template is for nobody
// yet, and is not launched.
func stepsOf(ref campaign.DraftRef) []string {
	if ref.Template {
		return []string{stepContent, stepType}
	}
	return []string{stepAudience, stepType, stepContent, stepCheck}
}

// stepFor names the step in which a fault is mended.
func stepFor(fault campaign.Fault) string {
	switch fault.Code {
	case "name", "name_lines", "expiring_days", "audience_basis", "audience_filter":
		return stepAudience
	case "class", "from_address", "reply_to", "postal_address", "sender_lines":
		return stepType
	}
	return stepContent
}

// stepPath is where a step is.
func stepPath(ref campaign.DraftRef, step string) string {
	if step == stepCheck {
		return base(ref) + "/check"
	}
	return base(ref) + "/edit/" + step
}

// base is where the pages of a draft are.
func base(ref campaign.DraftRef) string {
	if ref.Template {
		return fmt.Sprintf("/templates/%d", ref.ID)
	}
	return fmt.Sprintf("/campaigns/%d", ref.ID)
}

// findDraft answers when there is none.
func (s *site) findDraft(w http.ResponseWriter, r *http.Request) (d campaign.Draft, ok bool) {
	ref := campaign.DraftRef{Template: strings.Contains(r.Pattern, " /templates/")}
	var err error
	if ref.ID, err = strconv.ParseInt(r.PathValue("id"), 10, 64); err != nil {
		s.gone(w, r)
		return d, false
	}
	d, err = s.Store.Draft(r.Context(), ref)
	switch {
	case errors.Is(err, campaign.ErrNotFound):
		s.gone(w, r)
	case err != nil:
		s.fail(w, r, err)
	default:
		return d, true
	}
	return d, false
}

// writable also answers when the draft is launched: its page shows it.
func (s *site) writable(w http.ResponseWriter, r *http.Request) (d campaign.Draft, ok bool) {
	d, ok = s.findDraft(w, r)
	if ok && d.State != campaign.StateDraft {
		s.redirect(w, r, base(d.DraftRef))
		return d, false
	}
	return d, ok
}

// toList leads to the list of campaigns, which is the first page.
func (s *site) toList(w http.ResponseWriter, r *http.Request) { s.redirect(w, r, "/") }

// toTest leads to the step with the form for test mails, which posts here.
func (s *site) toTest(w http.ResponseWriter, r *http.Request) {
	if d, ok := s.writable(w, r); ok {
		s.redirect(w, r, base(d.DraftRef)+"/edit/"+stepContent)
	}
}

// resume leads to the step that the author has come to, or to one before it at
// which something is missing.
func (s *site) resume(w http.ResponseWriter, r *http.Request) {
	d, ok := s.writable(w, r)
	if !ok {
		return
	}
	if d.Template {
		s.redirect(w, r, stepPath(d.DraftRef, stepContent))
		return
	}
	steps, faults := stepsOf(d.DraftRef), d.Content.Faults()
	at := min(d.Reached, len(steps)-1)
	if first := slices.IndexFunc(steps[:at], func(name string) bool { return faulty(faults, name) }); first >= 0 {
		at = first
	}
	s.redirect(w, r, stepPath(d.DraftRef, steps[at]))
}

// faulty reports whether something is missing or wrong in a step.
func faulty(faults []campaign.Fault, step string) bool {
	return slices.ContainsFunc(faults, func(f campaign.Fault) bool { return stepFor(f) == step })
}

// sample reports whether a mail in the content is still that of a starter.
func (s *site) sample(c campaign.Content) bool {
	for _, starter := range s.Starters {
		for lang, v := range c.Variants {
			if began, ok := starter.Variants[lang]; ok && v == began {
				return true
			}
		}
	}
	return false
}

type stepLink struct {
	Name, Href    string
	Done, Current bool
}

type languageTab struct {
	Code, Name       string
	Current, Default bool
}

// line is a sentence about something, with where to mend it.
type line struct {
	Level, Text, Place, Href     string
	Language, Part, Code         string
	Line, Column                 int
	Mend, Do, Original, Proposal string
}

type composerPage struct {
	Ref               campaign.DraftRef
	Base, Step, Query string
	Steps             []stepLink
	Content           campaign.Content
	Version           int64
	Editor            string // names this page when it saves
	Conflict          bool
	SavedAt           time.Time
	SavedBy           string

	Types, Classes, Bases, Sources, Languages []choice
	Reach                                     reachPart

	Language        string
	Tabs            []languageTab
	Variant         campaign.Variant
	Markdown, Other bool // Other: there is more than one language
	Findings        []line
	Looking         bool // on a small screen the preview is shown first
	MendAll         bool // more than one, in any language, can be mended by a click
	Blank           bool // nothing is written yet

	Filter   filterView
	Saved    []choice // audiences that have a name
	Narrowed bool     // beside the filter
	Preview  previewPane
	Tests    testsPane
}

// compose shows a step.
func (s *site) compose(w http.ResponseWriter, r *http.Request) {
	d, ok := s.writable(w, r)
	if !ok {
		return
	}
	step := r.PathValue("step")
	switch {
	case !slices.Contains(stepsOf(d.DraftRef), step):
		s.gone(w, r)
		return
	case step == stepCheck: // it has a page of its own
		s.redirect(w, r, stepPath(d.DraftRef, step))
		return
	}
	s.showStep(w, r, http.StatusOK, d, step, r.URL.Query().Get("lang"), "")
}

// showStep renders a step of a draft, which may hold what is not saved.
func (s *site) showStep(w http.ResponseWriter, r *http.Request, status int, d campaign.Draft, step, lang, problem string) {
	p := composerPage{Ref: d.DraftRef, Base: base(d.DraftRef), Step: step, Content: d.Content, Version: d.Version, Editor: editorOf(r),
		SavedAt: d.ChangedAt, SavedBy: strings.TrimPrefix(d.ChangedBy, "user:"), Conflict: status == http.StatusConflict}
	p.Steps = stepLinks(d, step)
	var err error
	switch step {
	case stepAudience:
		err = s.fillAudience(r, &p)
	case stepType:
		err = s.fillType(r, &p)
	case stepContent:
		err = s.fillContent(r, &p, lang)
	}
	if err != nil {
		s.fail(w, r, err)
		return
	}
	nav := "campaigns"
	if d.Template {
		nav = "templates"
	}
	s.show(w, r, status, "composer", nav, problem, p)
}

// editorOf names the page that saves. A page that is shown again keeps its name.
func editorOf(r *http.Request) string {
	if kept := r.PostFormValue("editor"); kept != "" && len(kept) <= 40 {
		return kept
	}
	return rand.Text()
}

// stepLinks are the steps of a draft as every page of it shows them, of which
// one is current, or none. Launching is the last, at the end of the check.
func stepLinks(d campaign.Draft, current string) (links []stepLink) {
	faults := d.Content.Faults()
	for i, name := range stepsOf(d.DraftRef) {
		l := stepLink{Name: name, Href: stepPath(d.DraftRef, name), Current: name == current}
		l.Done = name != stepCheck && (d.Template || i < d.Reached) && !faulty(faults, name)
		links = append(links, l)
	}
	if !d.Template {
		links = append(links, stepLink{Name: stepLaunch, Href: stepPath(d.DraftRef, stepCheck) + "#launch"})
	}
	return links
}

func (s *site) fillAudience(r *http.Request, p *composerPage) (err error) {
	a := p.Content.Audience
	if p.Filter, err = s.filterView(r, a.Filter, false); err != nil {
		return err
	}
	if !r.PostForm.Has("filter_do") {
		p.Filter.insist()
	}
	beside := a
	beside.Filter = nil
	p.Narrowed = beside != campaign.Audience{}
	saved, err := s.Store.SavedAudiences(r.Context())
	for _, audience := range saved {
		p.Saved = append(p.Saved, choice{Value: fmt.Sprint(audience.ID), Text: audience.Name})
	}
	p.Languages = s.languageChoices(a.Language)
	for _, b := range append([]string{"none"}, basisNames()...) {
		p.Bases = append(p.Bases, choice{b, s.text(r, "console.composer.basis."+b), b == a.Basis})
	}
	if a.Basis != "" && !slices.ContainsFunc(p.Bases, func(c choice) bool { return c.Chosen }) {
		p.Bases = append(p.Bases, choice{a.Basis, a.Basis, true}) // one of the tenant's own
	}
	for _, source := range []gating.Source{gating.SourceMigration, gating.SourceImport, gating.SourceWebForm, gating.SourceManagePage, gating.SourceUser} {
		p.Sources = append(p.Sources, choice{string(source), s.text(r, "console.composer.source."+string(source)), source == a.Source})
	}
	if a.Source != "" && !slices.ContainsFunc(p.Sources, func(c choice) bool { return c.Chosen }) {
		p.Sources = append(p.Sources, choice{string(a.Source), string(a.Source), true})
	}
	return err
}

func basisNames() []string {
	return []string{string(gating.BasisConsent), string(gating.BasisSoftOptIn), string(gating.BasisLegitimateInterest), string(gating.BasisContract)}
}

// ownName is what a language calls itself.
func (s *site) ownName(code string) string {
	if slices.Contains(s.Templates.Languages(), code) {
		return s.Templates.Text(code, "language")
	}
	return code
}

// languageChoices lists the languages by their own names.
func (s *site) languageChoices(chosen string) (list []choice) {
	for _, code := range s.Templates.Languages() {
		list = append(list, choice{code, s.Templates.Text(code, "language"), code == chosen})
	}
	if chosen != "" && !slices.ContainsFunc(list, func(c choice) bool { return c.Chosen }) {
		list = append(list, choice{chosen, chosen, true})
	}
	return list
}

func (s *site) fillType(r *http.Request, p *composerPage) error {
	types, err := s.Store.TypeNames(r.Context())
	if err != nil {
		return err
	}
	known := p.Content.Type == ""
	for _, t := range types {
		chosen := p.Content.Type == t.Key
		for _, other := range t.Names { // a campaign folder may name it in any language
			chosen = chosen || p.Content.Type != "" && strings.EqualFold(other, p.Content.Type)
		}
		known = known || chosen
		p.Types = append(p.Types, choice{t.Key, nameIn(t.Names, s.lang(r), t.Key), chosen})
	}
	if !known {
		p.Types = append(p.Types, choice{p.Content.Type, p.Content.Type, true})
	}
	for _, class := range []gating.Class{gating.Marketing, gating.Service} {
		p.Classes = append(p.Classes, choice{string(class), "", class == p.Content.Class || p.Content.Class == "" && class == gating.Marketing})
	}
	if p.Ref.Template {
		return nil
	}
	c, err := s.Store.Campaign(r.Context(), campaign.ID(p.Ref.ID))
	if err == nil {
		p.Reach, err = s.reachPart(r, c)
	}
	return err
}

// variantOf is the language that is written: the one asked for, or the default,
// or the first.
func variantOf(c campaign.Content, lang string) string {
	for _, candidate := range append([]string{lang, c.DefaultLanguage}, c.Languages()...) {
		if _, ok := c.Variants[candidate]; ok {
			return candidate
		}
	}
	return ""
}

func (s *site) fillContent(r *http.Request, p *composerPage, lang string) error {
	p.Language = variantOf(p.Content, lang)
	p.Variant = p.Content.Variants[p.Language]
	p.Markdown = isMarkdown(p.Variant)
	for _, code := range p.Content.Languages() {
		p.Tabs = append(p.Tabs, languageTab{code, s.ownName(code), code == p.Language, code == p.Content.DefaultLanguage})
	}
	for _, l := range s.languageChoices("") {
		if _, has := p.Content.Variants[l.Value]; !has {
			p.Languages = append(p.Languages, l)
		}
	}
	s.fillFindings(r, p)
	query := r.URL.Query()
	p.Looking = query.Has("q") || query.Has("width") || query.Has("dark")
	var err error
	if p.Preview, err = s.previewPane(r, campaign.Draft{DraftRef: p.Ref, Content: p.Content, State: campaign.StateDraft}, p.Language); err != nil {
		return err
	}
	p.Tests, err = s.testsPane(r, p.Ref)
	return err
}

// fillFindings says what is to be mended in the language that is written.
func (s *site) fillFindings(r *http.Request, p *composerPage) {
	v := p.Content.Variants[p.Language]
	p.Other = len(p.Content.Variants) > 1
	p.Blank = strings.TrimSpace(v.Subject) == "" && bare(v)
	if p.Blank {
		return
	}
	for _, f := range p.Content.Faults() { // they stand beside their fields
		if f.Language == p.Language {
			p.Findings = append(p.Findings, line{Level: string(campaign.LevelError), Text: s.say(r, "console.fault."+f.Code, f.Args...)})
		}
	}
	kept := s.keptLinks(r, p.Ref)
	p.Findings = append(p.Findings, s.findingLines(r, p.Content, p.Language, kept)...)
	here, elsewhere := mends(p.Findings), 0
	for _, lang := range p.Content.Languages() {
		if lang != p.Language {
			elsewhere += mendable(p.Content, lang, kept)
		}
	}
	p.MendAll = here > 0 && here+elsewhere > 1
}

// bare reports that there is no mail to a subject yet.
func bare(v campaign.Variant) bool {
	return strings.TrimSpace(v.Markdown+v.Text+strings.ReplaceAll(v.HTML, strings.TrimSpace(emptyHTML), "")) == ""
}

// isMarkdown reports whether a variant is written in Markdown. A new one is: it
// gets a layout by itself.
func isMarkdown(v campaign.Variant) bool { return strings.TrimSpace(v.HTML) == "" }

// review gathers what is missing and what is wrong in any language, what keeps
// the campaign from being launched first. What mends itself is left out. fit
// reports whether it may be launched.
func (s *site) review(r *http.Request, ref campaign.DraftRef, c campaign.Content) (lines []line, fit bool) {
	for _, f := range c.Faults() {
		l := line{Level: string(campaign.LevelError), Text: s.say(r, "console.fault."+f.Code, f.Args...), Href: stepPath(ref, stepFor(f))}
		if f.Language != "" {
			l.Place, l.Href = s.Templates.LanguageName(s.lang(r), f.Language), l.Href+"?lang="+url.QueryEscape(f.Language)
		}
		lines = append(lines, l)
	}
	kept := s.keptLinks(r, ref)
	for _, lang := range c.Languages() {
		for _, l := range s.findingLines(r, c, lang, kept) {
			if l.Level == string(campaign.LevelNote) {
				continue
			}
			l.Href = stepPath(ref, stepContent) + "?lang=" + url.QueryEscape(lang)
			if len(c.Variants) > 1 {
				l.Place = strings.Trim(s.Templates.LanguageName(s.lang(r), lang)+" · "+l.Place, " ·")
			}
			lines = append(lines, l)
		}
	}
	if s.sample(c) {
		lines = append(lines, line{Level: string(campaign.LevelWarning), Text: s.text(r, "console.composer.sample"), Href: stepPath(ref, stepContent)})
	}
	fit = len(campaign.Check(c)) == 0
	isError := func(l line) bool { return l.Level == string(campaign.LevelError) }
	if !fit && !slices.ContainsFunc(lines, isError) { // it shows in what is made of the source alone
		for _, problem := range s.problems(r, c) {
			lines = append(lines, line{Level: string(campaign.LevelError), Text: problem, Href: stepPath(ref, stepContent)})
		}
	}
	slices.SortStableFunc(lines, func(a, b line) int {
		switch {
		case isError(a) == isError(b):
			return 0
		case isError(a):
			return -1
		}
		return 1
	})
	return lines, fit
}

// keptLinks are those of a draft. Who cannot be told of them is asked once more.
func (s *site) keptLinks(r *http.Request, ref campaign.DraftRef) campaign.KeptLinks {
	kept, err := s.Store.KeptLinks(r.Context())
	if err != nil {
		s.Log.Error("the links that are kept could not be read", "error", err)
	}
	return kept.Of(ref)
}

// findingLines says in words what was found in one language. Of links that are
// kept nobody is told.
func (s *site) findingLines(r *http.Request, c campaign.Content, lang string, kept campaign.KeptLinks) (lines []line) {
	for _, f := range campaign.Findings(c, lang) {
		if isKept(kept, lang, f) {
			continue
		}
		key := "console.finding." + f.Code
		if f.Detail != "" {
			key += "." + f.Detail
		}
		l := line{Level: string(f.Level), Text: s.say(r, key, f.Args...), Language: lang, Part: f.Part, Code: f.Code, Line: f.Line, Column: f.Column, Mend: string(f.Mend), Original: f.Original, Proposal: f.Proposal}
		l.Place = s.text(r, "console.composer.part."+f.Part)
		if f.Line > 0 {
			l.Place += ", " + s.text(r, "console.composer.line", f.Line)
		}
		if f.Mend != campaign.MendNone {
			l.Do = fmt.Sprintf("mend:%s:%d:%d:%s", f.Part, f.Line, f.Column, f.Code)
		}
		if f.Mend == campaign.MendTag { // its sentence names it
			l.Original = ""
		}
		lines = append(lines, l)
	}
	if _, err := campaign.Preview(c, lang, campaign.Recipient{}); err != nil && len(lines) == 0 {
		lines = append(lines, line{Level: string(campaign.LevelError), Code: campaign.CodeUnbuildable, Language: lang, Text: s.say(r, "console.finding.unbuildable", err.Error())})
	}
	return lines
}

// problems says in words what keeps content from being launched.
func (s *site) problems(r *http.Request, c campaign.Content) (sentences []string) {
	for _, p := range campaign.Check(c) {
		key := "console.finding." + p.Code
		if p.File == "campaign" {
			key = "console.fault." + p.Code
		}
		if p.Detail != "" {
			key += "." + p.Detail
		}
		text := s.say(r, key, p.Args...)
		if p.Line > 0 {
			text = s.text(r, "console.composer.part."+p.File) + ", " + s.text(r, "console.composer.line", p.Line) + ": " + text
		}
		if p.Language != "" {
			text = s.Templates.LanguageName(s.lang(r), p.Language) + " · " + text
		}
		sentences = append(sentences, text)
	}
	return sentences
}

// say fills args into the sentence of a key, if it names any.
func (s *site) say(r *http.Request, key string, args ...any) string {
	if text := s.text(r, key); !strings.Contains(text, "%") {
		return text
	}
	return s.text(r, key, args...)
}

// findings is the part of the content step that changes with what is written.
func (s *site) findings(w http.ResponseWriter, r *http.Request) {
	d, ok := s.writable(w, r)
	if !ok {
		return
	}
	lang := variantOf(d.Content, r.URL.Query().Get("lang"))
	p := composerPage{Ref: d.DraftRef, Base: base(d.DraftRef), Language: lang, Content: d.Content}
	s.fillFindings(r, &p)
	s.fragment(w, r, http.StatusOK, "composer", "findings", p)
}
