package console

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"path"
	"slices"
	"strconv"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/jatak-mail/jatak/gating"
	"github.com/jatak-mail/jatak/internal/campaign"
)

// startingPoint is what a campaign or template can begin with.
type startingPoint struct {
	Value, Name, Languages, State string
}

type newPage struct {
	Starters, Templates, Campaigns []startingPoint
	Name, Chosen                   string
}

func (s *site) startingPoints(r *http.Request) (p newPage, err error) {
	for i, c := range s.Starters {
		p.Starters = append(p.Starters, startingPoint{fmt.Sprint("starter:", i), c.Name, s.languageList(r, c), string(c.Class)})
	}
	stored, err := s.Store.Templates(r.Context())
	for _, t := range stored {
		p.Templates = append(p.Templates, startingPoint{fmt.Sprint("template:", t.ID), t.Content.Name, s.languageList(r, t.Content), ""})
	}
	return p, err
}

// languageList names the languages that a mail is written in.
func (s *site) languageList(r *http.Request, c campaign.Content) string {
	var names []string
	for _, lang := range c.Languages() {
		names = append(names, s.Templates.LanguageName(s.lang(r), lang))
	}
	return strings.Join(names, ", ")
}

// mostOld is how many campaigns are offered to be copied.
const mostOld = 30

// newCampaign asks what a campaign is to begin with.
func (s *site) newCampaign(w http.ResponseWriter, r *http.Request) {
	s.showNewCampaign(w, r, http.StatusOK, "", "", r.URL.Query().Get("from"))
}

func (s *site) showNewCampaign(w http.ResponseWriter, r *http.Request, status int, problem, name, chosen string) {
	p, err := s.startingPoints(r)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	old, err := s.Store.ListCampaigns(r.Context(), campaign.ListFilter{Limit: mostOld})
	if err != nil {
		s.fail(w, r, err)
		return
	}
	p.Name, p.Chosen = name, chosen
	for _, c := range old {
		p.Campaigns = append(p.Campaigns, startingPoint{fmt.Sprint("campaign:", c.ID), c.Name, s.when(r, c.Created), s.text(r, "state."+string(c.State))})
	}
	s.show(w, r, status, "campaign-new", "campaigns", problem, p)
}

// blank is content to begin with: one empty mail in the author's language.
func (s *site) blank(r *http.Request) campaign.Content {
	lang := s.lang(r)
	return campaign.Content{Class: gating.Marketing, DefaultLanguage: lang, Variants: map[string]campaign.Variant{lang: {}}}
}

// errNoStart says that what to begin with is not there.
var errNoStart = errors.New("nothing to begin with")

// begin returns the content of a starting point: blank, starter:2, template:7 or
// campaign:5.
func (s *site) begin(r *http.Request, from string) (c campaign.Content, err error) {
	kind, number, _ := strings.Cut(from, ":")
	id, err := strconv.ParseInt(number, 10, 64)
	if err != nil && kind != "blank" {
		return c, errNoStart
	}
	switch kind {
	case "blank":
		c = s.blank(r)
		return c, s.sign(r, &c)
	case "starter":
		if id < 0 || int(id) >= len(s.Starters) {
			return c, errNoStart
		}
		c = s.Starters[id].Clone()
		return c, s.sign(r, &c)
	case "template", "campaign":
		d, err := s.Store.Draft(r.Context(), campaign.DraftRef{Template: kind == "template", ID: id})
		if errors.Is(err, campaign.ErrNotFound) {
			return c, errNoStart
		}
		return d.Content.Clone(), err
	}
	return c, errNoStart
}

// createCampaign keeps a draft at once, so that nothing is lost from here on.
func (s *site) createCampaign(w http.ResponseWriter, r *http.Request) {
	if err := r.ParseForm(); err != nil {
		s.message(w, r, http.StatusBadRequest, "console.bad")
		return
	}
	from, name := r.PostForm.Get("from"), strings.TrimSpace(r.PostForm.Get("name"))
	content, err := s.begin(r, from)
	if errors.Is(err, errNoStart) {
		s.showNewCampaign(w, r, http.StatusUnprocessableEntity, s.text(r, "console.composer.start.none"), name, "blank")
		return
	}
	if err != nil {
		s.fail(w, r, err)
		return
	}
	if content.Name = name; name == "" {
		s.showNewCampaign(w, r, http.StatusUnprocessableEntity, s.text(r, "console.fault.name"), name, from)
		return
	}
	if faults := content.DraftFaults(); len(faults) > 0 {
		s.showNewCampaign(w, r, http.StatusUnprocessableEntity, s.say(r, "console.fault."+faults[0].Code, faults[0].Args...), name, from)
		return
	}
	id, err := s.Store.CreateDraft(r.Context(), content, actor(r), s.Now())
	if errors.Is(err, campaign.ErrUnknownType) { // of a starter, or retired since: any
		content.Type = ""
		id, err = s.Store.CreateDraft(r.Context(), content, actor(r), s.Now())
	}
	if err != nil {
		s.fail(w, r, err)
		return
	}
	s.redirect(w, r, fmt.Sprintf("/campaigns/%d/edit", id))
}

type templateRow struct {
	ID                             int64
	Name, Languages, Subject, When string
	Who                            string
	Errors, Warnings               int
}

// templates lists those that are kept, with what is to be mended.
func (s *site) templates(w http.ResponseWriter, r *http.Request) {
	list, err := s.Store.Templates(r.Context())
	if err != nil {
		s.fail(w, r, err)
		return
	}
	kept, err := s.Store.KeptLinks(r.Context())
	if err != nil {
		s.fail(w, r, err)
		return
	}
	var rows []templateRow
	for _, t := range list {
		row := templateRow{ID: t.ID, Name: t.Content.Name, Languages: s.languageList(r, t.Content), When: s.when(r, t.ChangedAt), Who: strings.TrimPrefix(t.ChangedBy, "user:"),
			Subject: t.Content.Variants[variantOf(t.Content, "")].Subject}
		rows = append(rows, row)
	}
	s.lints.fill(rows, list, kept)
	s.show(w, r, http.StatusOK, "templates", "templates", "", rows)
}

// lints keep what was found in templates, with the version and the kept links
// that it was found with: reading their HTML takes longer than all else on the page.
type lints struct {
	mu    sync.Mutex
	found map[int64]found
}

type found struct {
	version          int64
	kept             campaign.KeptLinks
	errors, warnings int
}

// fill says of each row what is to be mended in its template. Only what was
// written or decided since is read; templates that are not listed are forgotten.
func (l *lints) fill(rows []templateRow, list []campaign.Draft, kept campaign.KeptLinks) {
	l.mu.Lock()
	before := l.found
	l.mu.Unlock()
	now := make(map[int64]found, len(list))
	for i, t := range list {
		f, known := before[t.ID]
		if of := kept.Of(t.DraftRef); !known || f.version != t.Version || !slices.Equal(f.kept, of) {
			f = lint(t, of)
		}
		now[t.ID], rows[i].Errors, rows[i].Warnings = f, f.errors, f.warnings
	}
	l.mu.Lock()
	l.found = now
	l.mu.Unlock()
}

// lint counts what is to be mended in a template.
func lint(t campaign.Draft, kept campaign.KeptLinks) found {
	f := found{version: t.Version, kept: kept}
	for _, lang := range t.Content.Languages() {
		for _, finding := range campaign.Findings(t.Content, lang) {
			if isKept(kept, lang, finding) {
				continue
			}
			switch finding.Level {
			case campaign.LevelError:
				f.errors++
			case campaign.LevelWarning:
				f.warnings++
			}
		}
	}
	return f
}

func (s *site) newTemplate(w http.ResponseWriter, r *http.Request) {
	s.showNewTemplate(w, r, http.StatusOK, "", "")
}

func (s *site) showNewTemplate(w http.ResponseWriter, r *http.Request, status int, problem, name string) {
	p, err := s.startingPoints(r)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	p.Name = name
	s.show(w, r, status, "template-new", "templates", problem, p)
}

// createTemplate makes one of a starting point, of a file, or of what was pasted.
func (s *site) createTemplate(w http.ResponseWriter, r *http.Request) {
	err := r.ParseMultipartForm(1 << 20)
	if errors.Is(err, http.ErrNotMultipart) {
		err = r.ParseForm()
	}
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		s.showNewTemplate(w, r, http.StatusRequestEntityTooLarge, s.text(r, "console.composer.large"), "")
		return
	case err != nil:
		s.message(w, r, http.StatusBadRequest, "console.bad")
		return
	}
	if r.MultipartForm != nil {
		defer func() { _ = r.MultipartForm.RemoveAll() }()
	}
	name := strings.TrimSpace(r.PostForm.Get("name"))
	refuse := func(problem string) { s.showNewTemplate(w, r, http.StatusUnprocessableEntity, problem, name) }
	var content campaign.Content
	if from := r.PostForm.Get("from"); from == "file" || from == "paste" {
		source, fileName, problem := s.source(r, from)
		if problem != "" {
			refuse(problem)
			return
		}
		if content, err = s.begin(r, "blank"); err != nil {
			s.fail(w, r, err)
			return
		}
		v := campaign.Variant{HTML: source}
		if extension := strings.ToLower(path.Ext(fileName)); extension == ".md" || extension == ".markdown" {
			v = campaign.Variant{Markdown: source}
		}
		content.Variants[content.DefaultLanguage] = v
		if name == "" {
			name = strings.TrimSuffix(fileName, path.Ext(fileName))
		}
	} else if content, err = s.begin(r, from); errors.Is(err, errNoStart) {
		refuse(s.text(r, "console.composer.start.none"))
		return
	} else if err != nil {
		s.fail(w, r, err)
		return
	}
	if name != "" {
		content.Name = name
	}
	if strings.TrimSpace(content.Name) == "" {
		refuse(s.text(r, "console.fault.name"))
		return
	}
	if faults := content.DraftFaults(); len(faults) > 0 {
		refuse(s.say(r, "console.fault."+faults[0].Code, faults[0].Args...))
		return
	}
	id, err := s.Store.CreateTemplate(r.Context(), content, actor(r), s.Now())
	if err != nil {
		s.fail(w, r, err)
		return
	}
	s.redirect(w, r, fmt.Sprintf("/templates/%d/edit/content", id))
}

// source reads the HTML or Markdown that was uploaded or pasted. problem is a
// sentence.
func (s *site) source(r *http.Request, from string) (source, name, problem string) {
	if from == "paste" {
		source = unixLines(r.PostForm.Get("source"))
	} else {
		f, header, err := r.FormFile("file")
		if err != nil {
			return "", "", s.text(r, "console.composer.file.none")
		}
		defer func() { _ = f.Close() }()
		raw, err := io.ReadAll(io.LimitReader(f, campaign.MaxPart+1))
		if err != nil {
			return "", "", s.text(r, "console.composer.file.none")
		}
		source, name = strings.TrimPrefix(unixLines(string(raw)), "\ufeff"), path.Base(strings.ReplaceAll(header.Filename, `\`, "/"))
	}
	switch {
	case len(source) > campaign.MaxPart:
		return "", "", s.text(r, "console.composer.large")
	case !utf8.ValidString(source) || strings.ContainsRune(source, 0):
		return "", "", s.text(r, "console.composer.file.text")
	case strings.TrimSpace(source) == "":
		return "", "", s.text(r, "console.composer.file.empty")
	}
	return source, name, ""
}

// copyTemplate makes another of the same content.
func (s *site) copyTemplate(w http.ResponseWriter, r *http.Request) {
	d, ok := s.findDraft(w, r)
	if !ok {
		return
	}
	d.Content.Name = s.text(r, "console.composer.copy.name", d.Content.Name)
	if len(d.Content.DraftFaults()) > 0 {
		d.Content.Name = s.text(r, "console.templates.title") // the old one cannot be longer
	}
	id, err := s.Store.CreateTemplate(r.Context(), d.Content, actor(r), s.Now())
	if err != nil {
		s.fail(w, r, err)
		return
	}
	s.redirect(w, r, fmt.Sprintf("/templates/%d/edit/content?done=duplicated", id))
}

func (s *site) askDelete(w http.ResponseWriter, r *http.Request) {
	if d, ok := s.findDraft(w, r); ok {
		s.show(w, r, http.StatusOK, "template-delete", "templates", "", templateRow{ID: d.ID, Name: d.Content.Name})
	}
}

// deleteTemplate removes one, when whoever asks is sure.
func (s *site) deleteTemplate(w http.ResponseWriter, r *http.Request) {
	d, ok := s.findDraft(w, r)
	if !ok {
		return
	}
	if r.PostFormValue("sure") == "" {
		s.show(w, r, http.StatusUnprocessableEntity, "template-delete", "templates", s.text(r, "console.templates.sure"), templateRow{ID: d.ID, Name: d.Content.Name})
		return
	}
	if err := s.Store.DeleteTemplate(r.Context(), d.ID, actor(r), s.Now()); err != nil && !errors.Is(err, campaign.ErrNotFound) {
		s.fail(w, r, err)
		return
	}
	s.redirect(w, r, "/templates?done=template_deleted")
}
