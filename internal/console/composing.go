package console

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/text/language"

	"github.com/jatak-mail/jatak/gating"
	"github.com/jatak-mail/jatak/internal/campaign"
	"github.com/jatak-mail/jatak/templates"
)

// save keeps what a step's form says, and then does what its button says: go on,
// stay, add a language, mend a finding. A page that saves by itself is answered
// in JSON.
func (s *site) save(w http.ResponseWriter, r *http.Request) {
	d, ok := s.writable(w, r)
	if !ok {
		return
	}
	step := r.PathValue("step")
	if step == stepCheck || !slices.Contains(stepsOf(d.DraftRef), step) {
		s.gone(w, r)
		return
	}
	if err := r.ParseForm(); err != nil {
		var large *http.MaxBytesError
		if errors.As(err, &large) {
			s.refuse(w, r, http.StatusRequestEntityTooLarge, d, step, s.text(r, "console.composer.large"))
			return
		}
		s.message(w, r, http.StatusBadRequest, "console.bad")
		return
	}
	lang := r.PostForm.Get("language")
	written := d
	written.Content = written.Content.Clone()
	apply(step, &written.Content, r.PostForm)
	if step == stepAudience && r.Header.Get("X-Autosave") == "" {
		if _, edited := readFilter(r.PostForm); edited { // a button of the filter: nothing is saved yet
			s.showStep(w, r, http.StatusOK, written, step, lang, "")
			return
		}
	}
	lang, problem := do(r.PostForm, &written.Content, lang)
	switch what := r.PostForm.Get("do"); {
	case step == stepAudience && what == "saved":
		problem = s.useSaved(r, &written.Content)
	case step == stepContent && what == "mend:all":
		problem = mendAll(&written.Content, s.keptLinks(r, d.DraftRef))
	}
	if problem == "" {
		problem = s.keep(r, d, &written, "save")
	} else {
		problem = s.text(r, problem)
	}
	if problem == "" {
		s.reach(r, d, step)
	}
	switch {
	case problem == conflicted:
		s.refuse(w, r, http.StatusConflict, written, step, s.text(r, "console.composer.conflict", strings.TrimPrefix(d.ChangedBy, "user:")))
	case problem == broken:
		s.message(w, r, http.StatusServiceUnavailable, "console.error")
	case problem == launched:
		s.redirect(w, r, base(d.DraftRef))
	case problem != "":
		s.refuse(w, r, http.StatusUnprocessableEntity, written, step, problem)
	case r.Header.Get("X-Autosave") != "":
		s.answer(w, http.StatusOK, saved{Version: written.Version, Text: s.text(r, "console.composer.saved", templates.Clock(s.lang(r), s.Now().In(zoneOf(r))))})
	default:
		s.redirect(w, r, s.after(written, step, lang, r.PostForm))
	}
}

// reach remembers how far a campaign's author has come: to the step of a form
// that is saved, or to the next. It is no part of what is written: when it cannot
// be kept, the draft is only resumed earlier.
func (s *site) reach(r *http.Request, d campaign.Draft, step string) {
	if d.Template {
		return
	}
	at := slices.Index(stepsOf(d.DraftRef), step)
	if r.PostForm.Get("do") == "next" {
		at++
	}
	if at <= d.Reached {
		return
	}
	if err := s.Store.ReachStep(r.Context(), campaign.ID(d.ID), at); err != nil {
		s.Log.Error("the step of a draft could not be kept", "campaign", d.ID, "error", err)
	}
}

// useSaved begins the audience with one that has a name. It returns the key of
// what is wrong, or "".
func (s *site) useSaved(r *http.Request, c *campaign.Content) (problem string) {
	saved, err := s.Store.SavedAudiences(r.Context())
	if err != nil {
		s.Log.Error("the saved audiences could not be read", "error", err)
	}
	for _, audience := range saved {
		if fmt.Sprint(audience.ID) == r.PostForm.Get("saved") {
			c.Audience.Filter = &audience.Filter
			return ""
		}
	}
	return "console.composer.audience.saved.gone"
}

// What keep says beside sentences.
const (
	conflicted = "\x00conflict"
	launched   = "\x00launched"
	broken     = "\x00broken"
)

// keep saves what was written, over the version that the form names. It returns
// "" or what is wrong.
func (s *site) keep(r *http.Request, d campaign.Draft, written *campaign.Draft, action string) (problem string) {
	if faults := written.Content.DraftFaults(); len(faults) > 0 {
		var sentences []string
		for _, f := range faults {
			sentences = append(sentences, s.say(r, "console.fault."+f.Code, f.Args...))
		}
		return strings.Join(sentences, " ")
	}
	version, err := strconv.ParseInt(r.PostForm.Get("version"), 10, 64)
	if err != nil {
		return s.text(r, "bad.text")
	}
	if version == d.Version && reflect.DeepEqual(d.Content, written.Content) {
		return ""
	}
	kept, err := s.Store.KeepDraft(r.Context(), campaign.Save{DraftRef: d.DraftRef, Base: version, Content: written.Content,
		Actor: actor(r), Editor: editorOf(r), Action: action, At: s.Now()})
	switch {
	case errors.Is(err, campaign.ErrConflict):
		return conflicted
	case errors.Is(err, campaign.ErrFrozen):
		return launched
	case errors.Is(err, campaign.ErrUnknownType):
		return s.text(r, "console.fault.type")
	case err != nil:
		s.Log.Error("a draft could not be saved", "pattern", r.Pattern, "error", err)
		return broken
	}
	written.Version = kept
	return ""
}

// saved answers a page that saves by itself.
type saved struct {
	Version int64  `json:"version"`
	Text    string `json:"text"`
}

func (s *site) answer(w http.ResponseWriter, status int, a saved) {
	text, err := json.Marshal(a)
	if err != nil {
		status = http.StatusInternalServerError
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(text)
}

// refuse shows what was written, unsaved, with what is wrong. The version is the
// one that there is now: who saves again has been told.
func (s *site) refuse(w http.ResponseWriter, r *http.Request, status int, written campaign.Draft, step, problem string) {
	if r.Header.Get("X-Autosave") != "" {
		s.answer(w, status, saved{Version: written.Version, Text: problem})
		return
	}
	s.showStep(w, r, status, written, step, r.PostForm.Get("language"), problem)
}

// after is where the author goes on.
func (s *site) after(d campaign.Draft, step, lang string, form url.Values) string {
	steps := stepsOf(d.DraftRef)
	at := slices.Index(steps, step)
	if form.Get("do") == "next" && at+1 < len(steps) {
		return stepPath(d.DraftRef, steps[at+1])
	}
	if form.Get("back") == stepCheck && !d.Template { // a mend of the check's
		return stepPath(d.DraftRef, stepCheck) + "?done=mended"
	}
	query := url.Values{"done": {"saved"}}
	if strings.HasPrefix(form.Get("do"), "mend:") {
		query.Set("done", "mended")
	}
	if step == stepContent {
		query.Set("lang", lang)
		for _, kept := range []string{"as", "dark", "width"} {
			if v := form.Get(kept); v != "" {
				query.Set(kept, v)
			}
		}
	}
	return stepPath(d.DraftRef, step) + "?" + query.Encode()
}

// unixLines turns the line ends of a form (CRLF) into those of text.
func unixLines(s string) string { return strings.ReplaceAll(s, "\r\n", "\n") }

// apply writes a form's fields into the content. Fields that the form lacks stay.
func apply(step string, c *campaign.Content, form url.Values) {
	set := func(name string, to *string) {
		if form.Has(name) {
			*to = strings.TrimSpace(unixLines(form.Get(name)))
		}
	}
	set("name", &c.Name)
	switch step {
	case stepAudience:
		set("company", &c.Audience.Company)
		set("audience_language", &c.Audience.Language)
		set("basis", &c.Audience.Basis)
		source := string(c.Audience.Source)
		set("source", &source)
		c.Audience.Source = gating.Source(source)
		if form.Has("expiring_days") {
			days := strings.TrimSpace(form.Get("expiring_days"))
			n, err := strconv.Atoi(days)
			if err != nil && days != "" {
				n = -1 // a fault
			}
			c.Audience.ExpiringDays = n
		}
		if form.Has("filter_group_match") {
			f, edited := readFilter(form)
			if c.Audience.Filter = told(f); edited {
				c.Audience.Filter = &f // with groups that say nothing yet
			}
		}
	case stepType:
		class := string(c.Class)
		set("class", &class)
		c.Class = gating.Class(class)
		set("type", &c.Type)
		set("from_name", &c.FromName)
		set("from_address", &c.FromAddress)
		set("reply_to", &c.ReplyTo)
		set("postal_address", &c.PostalAddress)
	case stepContent:
		applyVariant(c, form, set)
	}
}

func applyVariant(c *campaign.Content, form url.Values, set func(string, *string)) {
	lang := form.Get("language")
	v, ok := c.Variants[lang]
	if !ok {
		return
	}
	set("subject", &v.Subject)
	set("preheader", &v.Preheader)
	if form.Has("source") {
		source := unixLines(form.Get("source"))
		switch form.Get("format") {
		case "markdown":
			v.Markdown, v.HTML = source, ""
		case "html":
			v.HTML, v.Markdown = source, ""
		}
	}
	if form.Has("text") {
		v.Text = unixLines(form.Get("text"))
		if strings.TrimSpace(v.Text) == "" {
			v.Text = ""
		}
	}
	if form.Has("layout") { // the form with the box
		c.InlineCSS = form.Get("inline_css") != ""
	}
	c.Variants[lang] = v
}

// do does to the content what a button says. It returns the language to go on
// with, and the key of what is wrong, or "".
func do(form url.Values, c *campaign.Content, lang string) (next, problem string) {
	what, detail, _ := strings.Cut(form.Get("do"), ":")
	v := c.Variants[lang]
	switch what {
	case "add":
		added := strings.TrimSpace(form.Get("new_language"))
		if tag, err := language.Parse(added); err != nil || tag == language.Und {
			return lang, "console.composer.language.unknown"
		}
		if _, has := c.Variants[added]; !has {
			c.Variants[added] = campaign.Variant{}
		}
		if form.Get("copy") != "" { // begin with what there is
			c.Variants[added] = v
		}
		return added, ""
	case "remove":
		if len(c.Variants) < 2 {
			return lang, "console.composer.language.last"
		}
		delete(c.Variants, lang)
		if c.DefaultLanguage == lang {
			c.DefaultLanguage = c.Languages()[0]
		}
		return c.DefaultLanguage, ""
	case "show":
		return detail, ""
	case "default":
		c.DefaultLanguage = lang
	case "format":
		return lang, reformat(c, lang, detail)
	case "mend":
		return lang, mend(c, lang, detail)
	}
	return lang, ""
}

// reformat makes HTML of Markdown. The way back is open to what is empty.
func reformat(c *campaign.Content, lang, format string) (problem string) {
	v := c.Variants[lang]
	switch {
	case format == "html" && strings.TrimSpace(v.Markdown) == "":
		v.HTML, v.Markdown = emptyHTML, ""
	case format == "html":
		only := *c
		bare := v
		bare.Preheader = ""
		only.Variants = map[string]campaign.Variant{lang: bare}
		built, err := only.Build()
		if err != nil {
			return "console.composer.format.broken"
		}
		v.HTML, v.Markdown = built.Variants[lang].HTML, ""
	case format == "markdown" && (strings.TrimSpace(v.HTML) == "" || strings.TrimSpace(v.HTML) == strings.TrimSpace(emptyHTML)):
		v.HTML, v.Markdown = "", ""
	case format == "markdown":
		return "console.composer.format.full"
	}
	c.Variants[lang] = v
	return ""
}

// emptyHTML is what a mail in HTML begins with.
const emptyHTML = `<!DOCTYPE html>
<html>
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title></title>
</head>
<body>

</body>
</html>
`

// mend applies the one-click mend of a finding, which is named by its part, line,
// column and code.
func mend(c *campaign.Content, lang, finding string) (problem string) {
	parts := strings.Split(finding, ":")
	if len(parts) != 4 || !mendFirst(c, lang, func(f campaign.Finding) bool {
		return f.Part == parts[0] && strconv.Itoa(f.Line) == parts[1] && strconv.Itoa(f.Column) == parts[2] && f.Code == parts[3]
	}) {
		return "console.composer.mended"
	}
	return ""
}

// mostMends bounds how many findings one click mends: each is looked for anew.
const mostMends = 200

// mendAll applies the mends of all findings in every language, but not of links
// that somebody has decided to keep.
func mendAll(c *campaign.Content, kept campaign.KeptLinks) (problem string) {
	left := mostMends
	for _, lang := range c.Languages() {
		open := func(f campaign.Finding) bool { return !isKept(kept, lang, f) }
		for left > 0 && mendFirst(c, lang, open) {
			left--
		}
	}
	if left == mostMends {
		return "console.composer.mended"
	}
	return ""
}

// mendable counts the findings of one language that mendAll mends.
func mendable(c campaign.Content, lang string, kept campaign.KeptLinks) (n int) {
	for _, f := range campaign.Findings(c, lang) {
		if f.Mend != campaign.MendNone && !isKept(kept, lang, f) {
			n++
		}
	}
	return n
}

// mends counts the lines that a click mends.
func mends(lines []line) (n int) {
	for _, l := range lines {
		if l.Mend != "" {
			n++
		}
	}
	return n
}

func isKept(kept campaign.KeptLinks, lang string, f campaign.Finding) bool {
	_, found := kept.Find(lang, f)
	return found
}

// mendFirst mends the first of the findings that are wanted and can be.
func mendFirst(c *campaign.Content, lang string, wanted func(campaign.Finding) bool) bool {
	for _, f := range campaign.Findings(*c, lang) {
		if f.Mend == campaign.MendNone || !wanted(f) {
			continue
		}
		if mended, changed := campaign.Apply(*c, lang, f); changed {
			*c = mended
			return true
		}
	}
	return false
}
