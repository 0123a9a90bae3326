package console

import (
	"context"
	"encoding/json"
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

// audienceStore is what the filter builder and the saved audiences ask for.
type audienceStore interface {
	CountContacts(ctx context.Context, s contact.Selection) (int64, error)
	// EstimateContacts counts about as many, from a sample.
	EstimateContacts(ctx context.Context, s contact.Selection) (int64, error)
	WordsInUse(ctx context.Context) (contact.Words, error)
	SavedAudiences(ctx context.Context) ([]contact.SavedAudience, error)
	// SaveAudience keeps an audience under its name, in the place of one that has
	// the name.
	SaveAudience(ctx context.Context, a contact.SavedAudience, now time.Time) error
	DeleteAudience(ctx context.Context, id int64, actor string, now time.Time) error
}

func (s *site) audienceRoutes() []route {
	return []route{
		{pattern: "GET /audiences", role: staff.Marketer, handle: s.audiences},
		{pattern: "POST /audiences", role: staff.Marketer, handle: s.saveAudience},
		{pattern: "POST /audiences/filter", role: staff.Marketer, handle: s.filter},
		{pattern: "POST /audiences/count", role: staff.Marketer, handle: s.filterCount},
		{pattern: "POST /audiences/{id}/delete", role: staff.Marketer, handle: s.deleteAudience},
	}
}

// option is what a list offers.
type option struct {
	Value, Text string
	Selected    bool
}

// filterView is a filter as the part "filter" shows it.
type filterView struct {
	Groups                    []filterGroup
	Matches                   []option
	Several, More             bool
	Wrong, Pending, Everybody bool
	Count                     int64
	About                     bool // the count is an estimate, while it is being counted
}

type filterGroup struct {
	Index, Number int
	Match         contact.Match
	Matches       []option
	Rows          []filterRow
}

type filterRow struct {
	Index, Group              int
	Value, Said               string
	Kind                      contact.Kind
	Fields, Operators, Values []option
	Problem                   contact.ConditionProblem
	Blank                     bool // the value is missing, which is no problem until it is asked for
}

// insist names the values that are missing, of conditions that are not being
// written any more.
func (v *filterView) insist() {
	for _, group := range v.Groups {
		for i := range group.Rows {
			if group.Rows[i].Blank {
				group.Rows[i].Problem = contact.ProblemEmpty
			}
		}
	}
}

// readFilter reads the fields of the part "filter" out of a form that was
// parsed. It does what its buttons ask for, and reports whether one of them did:
// then the form is to be shown again and nothing else to be done.
func readFilter(form url.Values) (f contact.Filter, edited bool) {
	f.Match = matchOf(form.Get("filter_match"))
	for _, match := range form["filter_group_match"] {
		if len(f.Groups) < contact.MaxGroups {
			f.Groups = append(f.Groups, contact.Group{Match: matchOf(match)})
		}
	}
	if len(f.Groups) == 0 {
		f.Groups = []contact.Group{{Match: contact.All}}
	}
	do, argument, _ := strings.Cut(form.Get("filter_do"), ":")
	target, err := strconv.Atoi(argument)
	if err != nil {
		target = -1
	}
	fields, operators, values := form["filter_field"], form["filter_op"], form["filter_value"]
	for i, group := range form["filter_group"] {
		g, err := strconv.Atoi(group)
		if i >= contact.MaxConditions || err != nil || g < 0 || g >= len(f.Groups) || i >= len(fields) || i >= len(operators) || i >= len(values) {
			break
		}
		if do == "remove" && i == target {
			continue
		}
		c := contact.Condition{Field: contact.Field(fields[i]), Op: contact.Operator(operators[i]), Value: strings.TrimSpace(values[i])}
		f.Groups[g].Conditions = append(f.Groups[g].Conditions, fitting(c))
	}
	switch {
	case do == "add" && target >= 0 && target < len(f.Groups):
		first := contact.Fields()[0]
		f.Groups[target].Conditions = append(f.Groups[target].Conditions, contact.Condition{Field: first, Op: first.Operators()[0]})
	case do == "group" && len(f.Groups) < contact.MaxGroups:
		f.Groups = append(f.Groups, contact.Group{Match: contact.All})
	case do == "drop" && target >= 0 && target < len(f.Groups) && len(f.Groups) > 1:
		f.Groups = slices.Delete(f.Groups, target, target+1)
	}
	return f, do != ""
}

func matchOf(s string) contact.Match {
	if contact.Match(s) == contact.Any {
		return contact.Any
	}
	return contact.All
}

// fitting lets a condition whose field was changed keep what fits the new one.
func fitting(c contact.Condition) contact.Condition {
	operators := c.Field.Operators()
	if len(operators) > 0 && !slices.Contains(operators, c.Op) {
		c.Op, c.Value = operators[0], ""
	}
	_, number := strconv.Atoi(c.Value)
	switch kind := c.Field.Kind(c.Op); {
	case kind == contact.KindNone, kind == contact.KindSpan && number != nil, kind == contact.KindDate && number == nil:
		c.Value = ""
	}
	return c
}

// told is the filter without groups that say nothing; nil picks everybody.
func told(f contact.Filter) *contact.Filter {
	f.Groups = slices.DeleteFunc(slices.Clone(f.Groups), func(g contact.Group) bool { return len(g.Conditions) == 0 })
	if f.Empty() {
		return nil
	}
	return &f
}

// filterView prepares a filter to be shown, nil for everybody. With counted
// the people are counted at once; without, the page asks for their number when
// it is shown.
func (s *site) filterView(r *http.Request, f *contact.Filter, counted bool) (v filterView, err error) {
	if f == nil {
		f = &contact.Filter{}
	}
	words, err := s.conditionWords(r, *f)
	if err != nil {
		return v, err
	}
	groups := f.Groups
	if len(groups) == 0 {
		groups = []contact.Group{{Match: contact.All}}
	}
	v = filterView{Matches: s.matches(r, f.Match), Several: len(groups) > 1, More: len(groups) < contact.MaxGroups, Everybody: f.Empty()}
	problems := conditionProblems(*f)
	index := 0
	for g, group := range groups {
		shown := filterGroup{Index: g, Number: g + 1, Match: group.Match, Matches: s.matches(r, group.Match)}
		for i, c := range group.Conditions {
			row := filterRow{Index: index, Group: g, Value: c.Value, Kind: c.Field.Kind(c.Op), Problem: problems[[2]int{g, i}]}
			for _, field := range contact.Fields() {
				row.Fields = append(row.Fields, option{string(field), s.text(r, "filter.field."+string(field)), field == c.Field})
			}
			for _, op := range c.Field.Operators() {
				row.Operators = append(row.Operators, option{string(op), s.text(r, "filter.op."+string(c.Field)+"."+string(op)), op == c.Op})
			}
			row.Values = words.options(row.Kind, c.Value)
			if row.Problem == contact.ProblemEmpty {
				row.Problem, row.Blank = "", row.Values == nil // a list asks by itself
			}
			row.Said = s.text(r, "filter.field."+string(c.Field))
			shown.Rows = append(shown.Rows, row)
			index++
		}
		v.Groups = append(v.Groups, shown)
	}
	switch {
	case f.Validate() != nil:
		v.Wrong = true
	case !counted:
		v.Pending = true
	default:
		v.Count, v.About, err = s.countPeople(r, campaign.Audience{Filter: told(*f)}.Selection(s.Now()))
	}
	return v, err
}

// countLife is how long a count is shown.
const countLife = 10 * time.Second

// countPeople counts whom a selection picks. Where that takes long it estimates,
// and goes on counting for whoever asks again.
func (s *site) countPeople(r *http.Request, of contact.Selection) (n int64, about bool, err error) {
	same := of
	same.ExpiresBefore = of.ExpiresBefore.Truncate(time.Minute) // it moves with the clock
	key, err := json.Marshal(same)
	if err != nil {
		return 0, false, err
	}
	now := time.Now()
	// Estimating takes its time, too.
	j := s.count.get(string(key), countLife, s.Patience/2, now, func(ctx context.Context, _ *work) (any, error) { return s.Store.CountContacts(ctx, of) })
	if n, ready, err := result[int64](j); err != nil || ready && now.Sub(j.started) < countLife {
		return n, false, err
	}
	n, err = s.Store.EstimateContacts(r.Context(), of)
	return n, true, err
}

func (s *site) matches(r *http.Request, selected contact.Match) (list []option) {
	for _, m := range []contact.Match{contact.All, contact.Any} {
		list = append(list, option{string(m), s.text(r, "filter.match."+string(m)), m == selected})
	}
	return list
}

func conditionProblems(f contact.Filter) map[[2]int]contact.ConditionProblem {
	problems := map[[2]int]contact.ConditionProblem{}
	err := f.Validate()
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return problems
	}
	for _, e := range joined.Unwrap() {
		var wrong *contact.ConditionError
		if errors.As(e, &wrong) {
			problems[[2]int{wrong.Group, wrong.Condition}] = wrong.Problem
		}
	}
	return problems
}

// conditionWords are the values that a filter's lists offer.
type conditionWords struct {
	choose string
	lists  map[contact.Kind][]option
}

// mostCampaignsOffered bounds the list of campaigns.
const mostCampaignsOffered = 200

// conditionWords fetches only what the filter's conditions ask for.
func (s *site) conditionWords(r *http.Request, f contact.Filter) (w conditionWords, err error) {
	w = conditionWords{s.text(r, "filter.choose"), map[contact.Kind][]option{}}
	lang := s.lang(r)
	for _, group := range f.Groups {
		for _, c := range group.Conditions {
			kind := c.Field.Kind(c.Op)
			if w.lists[kind] != nil {
				continue
			}
			switch kind {
			case contact.KindLanguage:
				for _, code := range s.Templates.Languages() {
					w.lists[kind] = append(w.lists[kind], option{Value: strings.ToLower(code), Text: s.Templates.Text(code, "language")})
				}
			case contact.KindSource:
				for _, source := range contact.ConsentSources() {
					w.lists[kind] = append(w.lists[kind], option{Value: string(source), Text: s.text(r, "source."+string(source))})
				}
			case contact.KindType, contact.KindBasis:
				words, err := s.Store.WordsInUse(r.Context())
				if err != nil {
					return w, err
				}
				w.lists[contact.KindType] = termOptions(words.Types, lang)
				w.lists[contact.KindBasis] = append([]option{{Value: contact.BasisNever, Text: s.text(r, "filter.basis.none")}}, termOptions(words.Bases, lang)...)
			case contact.KindCampaign:
				if w.lists[kind], err = s.campaignOptions(r); err != nil {
					return w, err
				}
			}
		}
	}
	return w, nil
}

func termOptions(terms []contact.Word, lang string) []option {
	list := []option{}
	for _, t := range terms {
		list = append(list, option{Value: t.Key, Text: t.Name(lang)})
	}
	return list
}

func (s *site) campaignOptions(r *http.Request) ([]option, error) {
	all, err := s.Store.ListCampaigns(r.Context(), campaign.ListFilter{Limit: mostCampaignsOffered, States: []campaign.State{
		campaign.StatePlanning, campaign.StateSending, campaign.StatePaused, campaign.StateFinished, campaign.StateCancelled}})
	if err != nil {
		return nil, err
	}
	list := []option{}
	for _, c := range all {
		if !c.Launched.IsZero() {
			list = append(list, option{Value: fmt.Sprint(c.ID), Text: s.campaignLabel(r, c)})
		}
	}
	return list, nil
}

func (s *site) campaignLabel(r *http.Request, c campaign.Summary) string {
	return c.Name + " · " + s.when(r, c.Launched)
}

// options is the list for a kind of value with one selected; nil for what is
// typed. A value that the list lacks stays in it.
func (w conditionWords) options(kind contact.Kind, value string) []option {
	list, ok := w.lists[kind]
	if !ok {
		return nil
	}
	shown := []option{}
	found := false
	for _, o := range list {
		o.Selected = o.Value == value || kind == contact.KindLanguage && strings.EqualFold(o.Value, value)
		found = found || o.Selected
		shown = append(shown, o)
	}
	if !found {
		text := value
		if value == "" {
			text = w.choose
		}
		shown = append([]option{{value, text, true}}, shown...)
	}
	return shown
}

// filter shows the part "filter" as its buttons and lists were used, for htmx.
func (s *site) filter(w http.ResponseWriter, r *http.Request) {
	if !s.parse(w, r) {
		return
	}
	f, _ := readFilter(r.PostForm)
	view, err := s.filterView(r, &f, false)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	s.fragment(w, r, http.StatusOK, "audiences", "filter", view)
}

// filterCount shows how many people a filter picks, for htmx.
func (s *site) filterCount(w http.ResponseWriter, r *http.Request) {
	if !s.parse(w, r) {
		return
	}
	f, _ := readFilter(r.PostForm)
	view := filterView{Everybody: f.Empty()}
	if f.Validate() != nil {
		view.Wrong = true
	} else {
		var of campaign.Content // the composer's form asks for more than the filter does
		apply(stepAudience, &of, r.PostForm)
		of.Audience.Filter = told(f)
		view.Everybody = of.Audience == campaign.Audience{}
		var err error
		if view.Count, view.About, err = s.countPeople(r, of.Audience.Selection(s.Now())); err != nil {
			s.fail(w, r, err)
			return
		}
	}
	s.fragment(w, r, http.StatusOK, "audiences", "filter-count", view)
}

// parse reads a form, and answers when it cannot be read.
func (s *site) parse(w http.ResponseWriter, r *http.Request) bool {
	if err := r.ParseForm(); err != nil {
		s.message(w, r, http.StatusBadRequest, "console.bad")
		return false
	}
	return true
}

type audiencesPage struct {
	Saved  []contact.SavedAudience
	Name   string
	Filter filterView
}

// audiences shows the saved audiences, and the builder; with ?id= one of them
// in it.
func (s *site) audiences(w http.ResponseWriter, r *http.Request) {
	id, _ := strconv.ParseInt(r.URL.Query().Get("id"), 10, 64)
	saved, err := s.Store.SavedAudiences(r.Context())
	if err != nil {
		s.fail(w, r, err)
		return
	}
	name, f := "", (*contact.Filter)(nil)
	for _, a := range saved {
		if a.ID == id {
			name, f = a.Name, &a.Filter
		}
	}
	s.showAudiences(w, r, http.StatusOK, "", name, f)
}

func (s *site) showAudiences(w http.ResponseWriter, r *http.Request, status int, problem, name string, f *contact.Filter) {
	p := audiencesPage{Name: name}
	var err error
	if p.Saved, err = s.Store.SavedAudiences(r.Context()); err == nil {
		p.Filter, err = s.filterView(r, f, true)
	}
	if problem != "" {
		p.Filter.insist()
	}
	if err != nil {
		s.fail(w, r, err)
		return
	}
	s.show(w, r, status, "audiences", "audiences", problem, p)
}

func (s *site) saveAudience(w http.ResponseWriter, r *http.Request) {
	if !s.parse(w, r) {
		return
	}
	f, edited := readFilter(r.PostForm)
	name := strings.TrimSpace(r.PostForm.Get("name"))
	switch wrong := f.Validate() != nil || f.Empty(); {
	case edited:
		s.showAudiences(w, r, http.StatusOK, "", name, &f)
		return
	case !contact.IsLine(name, contact.MaxAudienceName):
		s.showAudiences(w, r, http.StatusBadRequest, s.text(r, "audiences.name.wrong"), name, &f)
		return
	case wrong:
		s.showAudiences(w, r, http.StatusBadRequest, s.text(r, "audiences.filter.wrong"), name, &f)
		return
	}
	err := s.Store.SaveAudience(r.Context(), contact.SavedAudience{Name: name, Filter: *told(f), Actor: actor(r)}, s.Now())
	if err != nil {
		s.fail(w, r, err)
		return
	}
	http.Redirect(w, r, "/audiences?done=saved", http.StatusSeeOther)
}

func (s *site) deleteAudience(w http.ResponseWriter, r *http.Request) {
	id, err := strconv.ParseInt(r.PathValue("id"), 10, 64)
	if err == nil {
		err = s.Store.DeleteAudience(r.Context(), id, actor(r), s.Now())
	} else {
		err = contact.ErrNotFound
	}
	switch {
	case errors.Is(err, contact.ErrNotFound):
		s.gone(w, r)
	case err != nil:
		s.fail(w, r, err)
	default:
		http.Redirect(w, r, "/audiences?done=changed", http.StatusSeeOther)
	}
}

// sourceText is a source in words.
func (s *site) sourceText(r *http.Request, source gating.Source) string {
	if source == "" {
		return ""
	}
	return s.text(r, "source."+string(source))
}
