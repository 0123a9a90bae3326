package console

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/jatak-mail/jatak/gating"
	"github.com/jatak-mail/jatak/internal/campaign"
	"github.com/jatak-mail/jatak/internal/contact"
	"github.com/jatak-mail/jatak/internal/staff"
	"github.com/jatak-mail/jatak/templates"
)

// settingStore is what the settings pages show and change.
type settingStore interface {
	Setting(ctx context.Context, name gating.Setting) (string, error)
	Set(ctx context.Context, name gating.Setting, value, actor string, now time.Time) error
	SettingsNow(ctx context.Context) ([]contact.SettingChange, error)
	SettingHistory(ctx context.Context, name gating.Setting, most int) ([]contact.SettingChange, error)
	Underway(ctx context.Context) ([]campaign.Campaign, error)
	Waiting(ctx context.Context, id campaign.ID, t gating.SubscriptionType) iter.Seq2[contact.Recipient, error]
}

func (s *site) settingRoutes() []route {
	return []route{
		{pattern: "GET /settings", role: staff.Viewer, handle: s.settings},
		{pattern: "GET /settings/rules/{name}", role: staff.Viewer, handle: s.setting},
		{pattern: "POST /settings/rules/{name}", role: staff.Administrator, handle: s.set},
		{pattern: "GET /settings/privacy/effect", role: staff.Marketer, handle: s.privacyEffect},
	}
}

// plainLine reports whether a text stands on one line of at most so many
// characters.
func plainLine(text string, most int) bool {
	return utf8.ValidString(text) && utf8.RuneCountInString(text) <= most && !strings.ContainsFunc(text, contact.IsControl)
}

// settingGroups are the settings as the page shows them together; what is in
// none comes last.
func settingGroups() []settingGroup {
	return []settingGroup{
		{Key: "permission", names: []gating.Setting{gating.SettingPrivacy, gating.SettingExplicitOnly, gating.SettingConsentLife, gating.SettingBounceLimit}},
		{Key: "contacts", names: []gating.Setting{contact.SettingDefaultPurpose, contact.SettingDefaultBasis, contact.SettingConfirmSources, contact.SettingSignUpLife}},
		{Key: "sender", names: []gating.Setting{contact.SettingSenderName, contact.SettingSenderAddress, contact.SettingPostalAddress}},
		{Key: "sending", names: []gating.Setting{contact.SettingSendPace, contact.SettingFailureLimit, contact.SettingComplaintLimit, contact.SettingConfirmAbove}},
		{Key: "place", names: []gating.Setting{contact.SettingTimeZone}},
	}
}

type settingGroup struct {
	Key   string
	Rows  []settingRow
	names []gating.Setting
}

// settingRow is a setting with its value in words.
type settingRow struct {
	Name           gating.Setting
	Value, Default string
	Changed        contact.SettingChange // the last; zero when nobody has set it
}

// settingText says a value as people do.
func (s *site) settingText(r *http.Request, name gating.Setting, value string) string {
	if value == "" {
		return s.text(r, "console.setting.empty")
	}
	switch value {
	case "on", "off", "never", "unlimited":
		return s.text(r, "console.setting.value."+value)
	}
	switch name {
	case gating.SettingConsentLife, contact.SettingSignUpLife:
		return s.text(r, "console.setting.value.days", templates.Numeral(s.lang(r), value))
	case contact.SettingFailureLimit, contact.SettingComplaintLimit:
		return templates.Percent(s.lang(r), value)
	case contact.SettingConfirmAbove:
		if n, err := strconv.ParseInt(value, 10, 64); err == nil {
			return s.number(r, n)
		}
	case contact.SettingSendPace:
		return s.paceText(r, value)
	case contact.SettingConfirmSources:
		var names []string
		for source := range strings.SplitSeq(value, ",") {
			names = append(names, s.text(r, "console.source."+source))
		}
		return strings.Join(names, ", ")
	case contact.SettingDefaultPurpose:
		return s.termText(r, contact.Purposes, value)
	case contact.SettingDefaultBasis:
		return s.termText(r, contact.LegalBases, value)
	}
	return value
}

// termText is the name of a term, or its key when that cannot be found.
func (s *site) termText(r *http.Request, of contact.Vocabulary, key string) string {
	terms, err := s.Store.Terms(r.Context(), of)
	if err != nil {
		s.Log.Error("the terms could not be read", "error", err)
	}
	for _, t := range terms {
		if t.Key == key {
			return nameIn(t.Names, s.lang(r), key)
		}
	}
	return key
}

func (s *site) settings(w http.ResponseWriter, r *http.Request) {
	changes, err := s.Store.SettingsNow(r.Context())
	if err != nil {
		s.fail(w, r, err)
		return
	}
	groups := append(settingGroups(), settingGroup{Key: "other"})
	for _, d := range s.Settings {
		row := settingRow{Name: d.Name, Default: s.settingText(r, d.Name, d.Default), Value: s.settingText(r, d.Name, d.Default)}
		for _, c := range changes {
			if c.Name == d.Name {
				row.Value, row.Changed = s.settingText(r, d.Name, c.Value), c
			}
		}
		at := slices.IndexFunc(groups, func(g settingGroup) bool { return slices.Contains(g.names, d.Name) })
		if at < 0 {
			at = len(groups) - 1
		}
		groups[at].Rows = append(groups[at].Rows, row)
	}
	groups = slices.DeleteFunc(groups, func(g settingGroup) bool { return len(g.Rows) == 0 })
	s.show(w, r, http.StatusOK, "settings", "settings", "", groups)
}

// choice is something to choose from.
type choice struct {
	Value, Text string
	Chosen      bool
}

type settingPage struct {
	settingRow
	Written string // what is in the form
	Kind    string // of the form: choice, many, pace, zone, text
	Choices []choice
	Pace    paceForm
	Zones   []zoneGroup
	History []settingHistory
	May     bool
	// Shown: what a change does is shown before it is made. To is what is asked
	// for, and asked about now, or "".
	Shown bool
	IsOn  bool // of a switch
	To    string
}

type settingHistory struct {
	contact.SettingChange
	Text string
}

// mostHistory is how many changes of a setting are shown.
const mostHistory = 50

func (s *site) setting(w http.ResponseWriter, r *http.Request) {
	s.showSetting(w, r, http.StatusOK, "", "", "")
}

// showSetting shows a setting; written is what was asked for and not taken, to
// what is asked about before it is done.
func (s *site) showSetting(w http.ResponseWriter, r *http.Request, status int, problem, written, to string) {
	name := gating.Setting(r.PathValue("name"))
	at := slices.IndexFunc(s.Settings, func(d gating.SettingDefault) bool { return d.Name == name })
	if at < 0 {
		s.gone(w, r)
		return
	}
	history, err := s.Store.SettingHistory(r.Context(), name, mostHistory)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	d := s.Settings[at]
	p := settingPage{settingRow: settingRow{Name: name, Default: s.settingText(r, name, d.Default)}, Kind: "text", Written: d.Default,
		May: userOf(r).Role.May(staff.Administrator), Shown: name == gating.SettingPrivacy, To: to}
	for _, c := range history {
		p.History = append(p.History, settingHistory{c, s.settingText(r, name, c.Value)})
	}
	if len(history) > 0 {
		p.Written, p.Changed = history[0].Value, history[0]
	}
	p.Value, p.IsOn = s.settingText(r, name, p.Written), p.Written == "on"
	if err := s.settingChoices(r, &p); err != nil {
		s.fail(w, r, err)
		return
	}
	p.Written = s.settingField(r, name, p.Written)
	if problem != "" {
		p.Written = written
		if p.Kind == "pace" {
			p.Pace = readPace(r, "value")
		}
	}
	s.show(w, r, status, "setting", "settings", problem, p)
}

// settingChoices fills in what a setting can be chosen from.
func (s *site) settingChoices(r *http.Request, p *settingPage) error {
	add := func(value, text string) {
		p.Choices = append(p.Choices, choice{value, text, slices.Contains(strings.Split(p.Written, ","), value)})
	}
	switch p.Name {
	case gating.SettingPrivacy, gating.SettingExplicitOnly:
		p.Kind = "choice"
		for _, v := range []string{"off", "on"} {
			add(v, s.settingText(r, p.Name, v))
		}
	case contact.SettingDefaultPurpose, contact.SettingDefaultBasis:
		p.Kind = "choice"
		vocabulary := contact.Purposes
		if p.Name == contact.SettingDefaultBasis {
			vocabulary = contact.LegalBases
		}
		terms, err := s.Store.Terms(r.Context(), vocabulary)
		if err != nil {
			return err
		}
		for _, t := range terms {
			if !t.Retired && t.Key != string(gating.BasisWithdrawn) {
				add(t.Key, nameIn(t.Names, s.lang(r), t.Key))
			}
		}
	case contact.SettingSendPace:
		p.Kind, p.Pace = "pace", paceFormOf(s.lang(r), p.Written)
	case contact.SettingTimeZone:
		p.Kind, p.Zones = "zone", s.zones(r, p.Written)
	case contact.SettingConfirmSources:
		p.Kind = "many"
		for _, source := range contact.AddingSources() {
			add(string(source), s.text(r, "console.source."+string(source)))
		}
	}
	return nil
}

// settingWords are the values that are words, in a field for a number.
func settingWords() []string { return []string{"never", "off", "unlimited"} }

// settingField writes a value as it stands in its field: a number or a word in
// the user's language.
func (s *site) settingField(r *http.Request, name gating.Setting, value string) string {
	if !numeric(name) {
		return value
	}
	if slices.Contains(settingWords(), value) {
		return s.text(r, "console.setting.word."+value)
	}
	return templates.Numeral(s.lang(r), value)
}

// readSetting reads what settingField writes, and the words in English.
func (s *site) readSetting(r *http.Request, name gating.Setting, text string) string {
	if !numeric(name) {
		return text
	}
	if word := s.settingWord(r, text); word != "" {
		return word
	}
	return templates.ReadNumeral(s.lang(r), text)
}

// settingWord returns the word that is written, in English or the user's language;
// "" when it is none.
func (s *site) settingWord(r *http.Request, text string) string {
	for _, word := range settingWords() {
		if strings.EqualFold(text, word) || strings.EqualFold(text, s.text(r, "console.setting.word."+word)) {
			return word
		}
	}
	return ""
}

// zoneGroup is the time zones of a part of the world.
type zoneGroup struct {
	Name    string
	Choices []choice
}

// zones are the time zones to choose from; chosen is among them whatever it is.
func (s *site) zones(r *http.Request, chosen string) (groups []zoneGroup) {
	list := contact.Zones()
	if chosen != "" && !slices.Contains(list, chosen) {
		list = append(list, chosen)
	}
	for _, zone := range list {
		part, place, ok := strings.Cut(zone, "/")
		if !ok {
			part, place = "", zone
		}
		name := s.text(r, "console.zone."+strings.ToLower(part))
		at := slices.IndexFunc(groups, func(g zoneGroup) bool { return g.Name == name })
		if at < 0 {
			at = len(groups)
			groups = append(groups, zoneGroup{Name: name})
		}
		text := strings.NewReplacer("_", " ", "/", ", ").Replace(place)
		groups[at].Choices = append(groups[at].Choices, choice{zone, text, zone == chosen})
	}
	return groups
}

// numeric reports whether a setting is a number.
func numeric(name gating.Setting) bool {
	switch name {
	case gating.SettingConsentLife, gating.SettingBounceLimit, contact.SettingSignUpLife, contact.SettingFailureLimit,
		contact.SettingComplaintLimit, contact.SettingConfirmAbove:
		return true
	}
	return false
}

// nameIn returns a name in the language, or else in English, or else the key.
func nameIn(names map[string]string, lang, key string) string {
	for _, l := range []string{lang, "en"} {
		if names[l] != "" {
			return names[l]
		}
	}
	return key
}

// set changes a setting. E-marketing privacy is asked about first.
func (s *site) set(w http.ResponseWriter, r *http.Request) {
	name := gating.Setting(r.PathValue("name"))
	if err := r.ParseForm(); err != nil {
		s.message(w, r, http.StatusBadRequest, "console.bad")
		return
	}
	value := strings.TrimSpace(strings.Join(r.PostForm["value"], ","))
	if name == contact.SettingSendPace {
		if value = s.settingWord(r, value); value == "" {
			value = readPace(r, "value").pace(s.lang(r))
		}
	}
	if value != "" && !plainLine(value, 500) {
		s.showSetting(w, r, http.StatusBadRequest, s.text(r, "setting."+string(name)+".wrong"), "", "")
		return
	}
	if name == gating.SettingPrivacy && r.PostForm.Get("sure") == "" && (value == "on" || value == "off") {
		now, err := s.Store.Setting(r.Context(), name)
		if err != nil {
			s.fail(w, r, err)
			return
		}
		if now != value {
			s.showSetting(w, r, http.StatusOK, "", "", value)
			return
		}
	}
	err := s.Store.Set(r.Context(), name, s.readSetting(r, name, value), actor(r), s.Now())
	if s.broke(w, r, err) {
		return
	}
	if err != nil {
		s.Log.Info("a setting was not taken", "setting", name, "error", err)
		key := "setting." + string(name) + ".wrong"
		problem := s.text(r, key)
		if problem == key {
			problem = err.Error()
		}
		s.showSetting(w, r, http.StatusBadRequest, problem, value, "")
		return
	}
	s.redirect(w, r, "/settings/rules/"+string(name)+"?done=saved")
}

// effectRow says what switching E-marketing privacy would do to a campaign.
type effectRow struct {
	ID        campaign.ID
	Name      string
	State     campaign.State
	Planning  bool // more will be planned
	Waiting   int64
	Now, Then int64 // who would be mailed
	Reasons   []effectReason
}

// Held is how many would be kept back that now are not.
func (r effectRow) Held() int64 { return max(0, r.Now-r.Then) }

type effectReason struct {
	Text  string
	Count int64
}

// effects is what switching E-marketing privacy would change: for the campaigns
// under way, and for a mail to everybody that has no type.
type effects struct {
	Rows     []effectRow
	Everyone effectRow
}

type effectPage struct {
	effects
	To      string
	Held    int64 // who would be kept back of the mails under way that now are not
	Pending bool  // it is being counted
	Looked  int64 // how many people were asked about so far
}

// effectLife is how long what was counted is shown.
const effectLife = time.Minute

// privacyEffect counts what switching E-marketing privacy would do: the gate is
// asked about each who is still to be mailed, and about each contact.
func (s *site) privacyEffect(w http.ResponseWriter, r *http.Request) {
	p := effectPage{To: r.URL.Query().Get("to")}
	if p.To != "on" && p.To != "off" {
		s.gone(w, r)
		return
	}
	policy, err := s.Store.Policy(r.Context(), s.Now())
	if err != nil {
		s.fail(w, r, err)
		return
	}
	lang, on := s.lang(r), p.To == "on"
	j := s.books.get(fmt.Sprintf("effect %s %s %d", p.To, lang, policy.Version), effectLife, s.Patience, time.Now(), func(ctx context.Context, j *work) (any, error) {
		return s.effects(ctx, j, lang, policy, on)
	})
	found, ready, err := result[effects](j)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	p.effects, p.Pending, p.Looked = found, !ready, j.Progress.Load()
	for _, row := range p.Rows {
		p.Held += row.Held()
	}
	if partial(r) {
		s.fragment(w, r, http.StatusOK, "effect", "effect", p)
		return
	}
	s.show(w, r, http.StatusOK, "effect", "settings", "", p)
}

func (s *site) effects(ctx context.Context, j *work, lang string, policy gating.Policy, on bool) (found effects, err error) {
	underway, err := s.Store.Underway(ctx)
	if err != nil {
		return found, err
	}
	for _, c := range underway {
		people := s.Store.Waiting(ctx, c.ID, c.Type)
		if c.State == campaign.StateScheduled {
			people = s.Store.Audience(ctx, c.Type, c.Content.Audience.Selection(policy.Now))
		}
		row, err := s.effect(j, lang, c, people, policy, on)
		if err != nil {
			return found, err
		}
		found.Rows = append(found.Rows, row)
	}
	mail := campaign.Campaign{Class: gating.Marketing}
	found.Everyone, err = s.effect(j, lang, mail, s.Store.Audience(ctx, mail.Type, contact.Selection{}), policy, on)
	return found, err
}

func (s *site) effect(j *work, lang string, c campaign.Campaign, people iter.Seq2[contact.Recipient, error], policy gating.Policy, on bool) (row effectRow, err error) {
	row = effectRow{ID: c.ID, Name: c.Name, State: c.State, Planning: c.State != campaign.StateScheduled && c.Planned.IsZero()}
	policy.Override = c.OverrideReason != ""
	report := campaign.NewGateReport(c, policy)
	for person, err := range people {
		if err != nil {
			return row, errors.Join(errors.New("ask the gate"), err)
		}
		report.Add(person)
		j.Progress.Add(1)
	}
	row.Waiting = report.Audience
	by := report.On
	row.Now, row.Then = report.SendOff, report.SendOn
	if policy.Privacy {
		row.Now = report.SendOn
	}
	if !on {
		row.Then, by = report.SendOff, report.Off
	}
	for _, reason := range gating.Reasons() {
		if reason.Blocks() && by[reason] > 0 {
			row.Reasons = append(row.Reasons, effectReason{s.Templates.ReasonText(lang, reason), by[reason]})
		}
	}
	return row, nil
}
