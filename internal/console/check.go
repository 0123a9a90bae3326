package console

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/jatak-mail/jatak/gating"
	"github.com/jatak-mail/jatak/internal/campaign"
	"github.com/jatak-mail/jatak/internal/contact"
	"github.com/jatak-mail/jatak/internal/staff"
)

// gate is what the gate says about the audience of a draft, with who it says it
// about.
type gate struct {
	At        time.Time
	Key       string              // the content and the rules that it is about
	Mark      campaign.LedgerMark // how far the ledgers had come
	Report    *campaign.GateReport
	Off, On   map[gating.Reason][]contact.ID
	Privacy   bool
	Languages map[string]int64 // of those who get the mail, by variant
	Lifted    map[string]int64 // the same of those who get it with an override
	Zoned     int64            // those who get the mail and whose time zone is on file
	// LiftedZoned is the same of those who get it with an override.
	LiftedZoned int64
	Pace        float64 // mails a second that it would be sent at; 0: nobody knows
	Bound       string  // what the pace comes from: campaign, tenant or history
}

// lifted is how many more an override would let through.
func (g *gate) lifted() (n int64) {
	if !g.Privacy {
		return 0
	}
	for _, count := range g.Report.Lifted {
		n += count
	}
	return n
}

// sends is how many get the mail as things are.
func (g *gate) sends() int64 {
	if g.Privacy {
		return g.Report.SendOn
	}
	return g.Report.SendOff
}

func (g *gate) people(privacy bool) map[gating.Reason][]contact.ID {
	if privacy {
		return g.On
	}
	return g.Off
}

const (
	// gateLife is how long what the gate said is shown without asking it again.
	gateLife = time.Minute
	// peopleLife is how long the people behind its numbers can be looked at.
	peopleLife = time.Hour
	// gainBound is the part of the people in a report, one in so many, that may
	// have come since without its being made anew: where people sign up all the
	// time, no report would ever hold.
	gainBound = 1000
	// gateStep is how often the progress is told, in people.
	gateStep = 1000
)

// gateOf asks the gate about everybody in the audience, in the background. What
// it said is kept for this content under these rules.
func (s *site) gateOf(r *http.Request, c campaign.Campaign, life, wait time.Duration) (*work, error) {
	policy, err := s.Store.Policy(r.Context(), s.Now())
	if err != nil {
		return nil, err
	}
	return s.gates.get(gateKey(c, policy), life, wait, s.Now(), func(ctx context.Context, j *work) (any, error) {
		return s.askGate(ctx, c, policy, j)
	}), nil
}

func gateKey(c campaign.Campaign, policy gating.Policy) string {
	content, _ := json.Marshal(c.Content) // it came from JSON
	return fmt.Sprintf("%d %d %x", c.ID, policy.Version, sha256.Sum256(content))
}

func (s *site) askGate(ctx context.Context, c campaign.Campaign, policy gating.Policy, j *work) (*gate, error) {
	mark, err := s.Store.LedgerMark(ctx)
	if err != nil {
		return nil, err
	}
	g := &gate{At: policy.Now, Key: gateKey(c, policy), Mark: mark, Report: campaign.NewGateReport(c, policy), Off: map[gating.Reason][]contact.ID{}, On: map[gating.Reason][]contact.ID{},
		Privacy: policy.Privacy, Languages: map[string]int64{}, Lifted: map[string]int64{}}
	for recipient, err := range s.Store.Audience(ctx, c.Type, c.Content.Audience.Selection(policy.Now)) {
		if err != nil {
			return nil, err
		}
		off, on, lifted := g.Report.Add(recipient)
		g.Off[off.Reason] = append(g.Off[off.Reason], recipient.ID)
		g.On[on.Reason] = append(g.On[on.Reason], recipient.ID)
		if g.Privacy && on.Send || !g.Privacy && off.Send {
			g.Languages[c.Content.LanguageFor(recipient.Language)]++
			if recipient.TimeZone != "" {
				g.Zoned++
			}
		}
		if lifted {
			g.Lifted[c.Content.LanguageFor(recipient.Language)]++
			if recipient.TimeZone != "" {
				g.LiftedZoned++
			}
		}
		if g.Report.Audience%gateStep == 0 {
			j.Progress.Store(g.Report.Audience)
		}
	}
	return g, s.addPace(ctx, c, g)
}

// addPace finds out how fast the campaign would be sent: the least of the bounds
// there are, or else what the last campaigns were sent at.
func (s *site) addPace(ctx context.Context, c campaign.Campaign, g *gate) error {
	limits, err := s.Store.Limits(ctx)
	if err != nil {
		return err
	}
	if limits.All > 0 {
		g.Pace, g.Bound = limits.All, "tenant"
	}
	if c.Pace > 0 && (g.Pace == 0 || c.Pace < g.Pace) {
		g.Pace, g.Bound = c.Pace, "campaign"
	}
	last, err := s.Store.LastRate(ctx)
	if err != nil {
		return err
	}
	if last > 0 && (g.Pace == 0 || last < g.Pace) {
		g.Pace, g.Bound = last, "history"
	}
	return nil
}

type nameCount struct {
	Name  string
	Count int64
}

// checkPage is the check before launch.
type checkPage struct {
	ID        campaign.ID
	Name      string
	State     campaign.State
	Ready     bool
	Progress  int64
	OnFile    int64
	Seen      string // which report this is
	At        time.Time
	Again     bool // it is being made anew
	Audience  int64
	Sends     int64
	Falls     []bar // who falls away, by reason, in the gate's order
	Gets      []bar // who gets it, and on which ground
	Privacy   bool
	Compare   []bar // those who get it with privacy off and on
	Languages []nameCount
	Named     string // the languages in a sentence
	Problems  []string
	Sample    bool   // the mail is that of a starter, unchanged
	Estimate  string // how long it takes; "" when nobody knows
	Rate      string
	Bound     string
	MayLaunch bool
	Type      bool // the number must be typed
	Later     laterPart
	Override  overridePart
}

// laterPart is when a campaign is to leave, as it was filled in.
type laterPart struct {
	When  string
	Local bool // at that time wherever the recipients are
	Zone  string
	Zoned int64 // of those who get it, whose time zone is on file
}

// overridePart is what an override would change, or changes.
type overridePart struct {
	Lifted  int64 // whom it lets through; 0: it would change nothing
	Reasons []nameCount
	Sends   int64
	Named   string // the languages in a sentence
	May     bool   // the user may launch with one
	Type    bool   // the number must be typed
	Reason  string // as it was filled in, or is kept
	By      string // who decided it; "" before
	Most    int    // characters of a reason
	Later   laterPart
}

func (s *site) check(w http.ResponseWriter, r *http.Request) {
	if c, ok := s.find(w, r); ok {
		s.showCheck(w, r, http.StatusOK, c, "")
	}
}

func (s *site) showCheck(w http.ResponseWriter, r *http.Request, status int, c campaign.Campaign, problem string) {
	if !c.Launched.IsZero() {
		s.redirect(w, r, fmt.Sprintf("/campaigns/%d/report", c.ID)) // the ledger knows better
		return
	}
	p := checkPage{ID: c.ID, Name: c.Name, State: c.State, Problems: s.problems(r, c.Content), Sample: s.sample(c.Content),
		Later: laterPart{When: r.PostFormValue("at"), Local: r.PostFormValue("local") != "", Zone: zoneOf(r).String()}}
	j, err := s.gateOf(r, c, gateLife, s.Patience)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	g, ok, err := result[*gate](j)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	if !ok {
		p.Progress = j.Progress.Load()
		if p.OnFile, err = s.Store.ContactsOnFile(r.Context()); err != nil {
			s.fail(w, r, err)
			return
		}
		p.OnFile = max(p.OnFile, p.Progress)
		s.show(w, r, status, "check", "campaigns", problem, p)
		return
	}
	rules, err := s.Store.Rules(r.Context())
	if err != nil {
		s.fail(w, r, err)
		return
	}
	s.fillCheck(r, &p, g)
	p.Again = s.Now().Sub(g.At) >= gateLife
	fit := c.State == campaign.StateDraft && len(p.Problems) == 0
	p.MayLaunch = fit && p.Sends > 0 && userOf(r).Role.May(staff.Marketer)
	p.Type = p.Sends > rules.ConfirmAbove
	p.Override = s.overridePart(r, g, c)
	p.Override.Later = p.Later
	p.Later.Zoned, p.Override.Later.Zoned = g.Zoned, g.LiftedZoned
	if p.Override.By != "" && g.Privacy {
		p.Sends = p.Override.Sends
	}
	p.Override.May = fit && p.Override.Lifted > 0 && userOf(r).Role.May(staff.Officer)
	p.Override.Type = p.Override.Sends > rules.ConfirmAbove
	s.show(w, r, status, "check", "campaigns", problem, p)
}

// overridePart says whom an override of the campaign lets through.
func (s *site) overridePart(r *http.Request, g *gate, c campaign.Campaign) overridePart {
	o := overridePart{Lifted: g.lifted(), Sends: g.Report.SendLifted, Named: s.languageNames(r, g.Lifted), Most: campaign.MaxOverrideReason,
		Reason: r.PostFormValue("reason")}
	if c.OverrideReason != "" {
		o.Reason, o.By = c.OverrideReason, strings.TrimPrefix(c.OverrideBy, "user:")
	}
	for _, reason := range gating.Reasons() {
		if n := g.Report.Lifted[reason]; n > 0 {
			o.Reasons = append(o.Reasons, nameCount{s.reasonLine(r, reason), n})
		}
	}
	return o
}

func (s *site) fillCheck(r *http.Request, p *checkPage, g *gate) {
	p.Ready, p.Seen, p.At, p.Audience, p.Sends, p.Privacy = true, g.seen(), g.At, g.Report.Audience, g.sends(), g.Privacy
	counts := g.Report.Off
	if g.Privacy {
		counts = g.Report.On
	}
	left := p.Audience
	for _, reason := range gating.Reasons() {
		n := counts[reason]
		if n == 0 {
			continue
		}
		b := newBar(s.reasonLine(r, reason), "good", n, p.Audience, s.peopleLink(r, p.ID, url.Values{"reason": {string(reason)}}, n))
		if !reason.Blocks() {
			p.Gets = append(p.Gets, b)
			continue
		}
		// Those who fall away leave from the end of those who are left.
		left -= n
		b.Kind, b.Note = "bad", s.text(r, "explain.mend")+" "+s.text(r, "mend."+string(reason))
		b.X = min(100-b.Width, 100*float64(left)/float64(p.Audience))
		p.Falls = append(p.Falls, b)
	}
	for _, privacy := range []bool{false, true} {
		key, n := "console.check.with_off", g.Report.SendOff
		if privacy {
			key, n = "console.check.with_on", g.Report.SendOn
		}
		b := newBar(s.text(r, key), "", n, p.Audience, "")
		if privacy == g.Privacy {
			b.Kind, b.Note = "good", s.text(r, "console.check.in_force")
		}
		p.Compare = append(p.Compare, b)
	}
	for _, lang := range slices.Sorted(maps.Keys(g.Languages)) {
		p.Languages = append(p.Languages, nameCount{capital(s.Templates.LanguageName(s.lang(r), lang)), g.Languages[lang]})
	}
	p.Named = s.languageNames(r, g.Languages)
	if g.Pace > 0 && p.Sends > 0 {
		p.Estimate, p.Rate, p.Bound = s.duration(r, time.Duration(float64(p.Sends)/g.Pace*float64(time.Second))), s.rate(r, g.Pace), g.Bound
	}
}

// languageNames lists languages in a sentence.
func (s *site) languageNames(r *http.Request, counts map[string]int64) string {
	var names []string
	for _, lang := range slices.Sorted(maps.Keys(counts)) {
		names = append(names, s.Templates.LanguageName(s.lang(r), lang))
	}
	return s.inWords(r, names)
}

// reasonLine is a reason as the beginning of a line.
func (s *site) reasonLine(r *http.Request, reason gating.Reason) string {
	return capital(s.Templates.ReasonText(s.lang(r), reason))
}

// capital writes the first letter large, for the beginning of a line.
func capital(text string) string {
	first, size := utf8.DecodeRuneInString(text)
	return string(unicode.ToUpper(first)) + text[size:]
}

// seen names a report: a launch says what it is about and the numbers that were
// shown.
func (g *gate) seen() string {
	return fmt.Sprintf("%s-%d-%d", g.about(), g.sends(), g.Report.SendLifted)
}

// about names what the report is about.
func (g *gate) about() string { return fmt.Sprintf("%x", sha256.Sum256([]byte(g.Key))) }

// holds reports whether what was seen still does: it is about the same, and no
// more people get the mail. It returns how many it showed.
func (g *gate) holds(seen string, lifted bool) (shown int64, ok bool) {
	about, numbers, _ := strings.Cut(seen, "-")
	plain, override, _ := strings.Cut(numbers, "-")
	now := g.sends()
	if lifted {
		plain, now = override, g.Report.SendLifted
	}
	shown, err := strconv.ParseInt(plain, 10, 64)
	return shown, err == nil && about == g.about() && now <= shown
}

// fresh returns what the gate says now: a report that is a minute old, or after
// which many may have come, is made anew. It is nil while that goes on.
func (s *site) fresh(r *http.Request, c campaign.Campaign) (*gate, error) {
	for range 2 {
		j, err := s.gateOf(r, c, gateLife, s.Patience)
		if err != nil {
			return nil, err
		}
		g, ok, err := result[*gate](j)
		if err != nil || !ok || s.Now().Sub(g.At) >= gateLife {
			return nil, err
		}
		gained, err := s.Store.MostGained(r.Context(), g.Mark)
		if err != nil {
			return nil, err
		}
		if gained <= g.Report.Audience/gainBound {
			return g, nil
		}
		s.gates.drop(g.Key)
	}
	return nil, nil
}

// inWords lists names in a sentence: a, b and c.
func (s *site) inWords(r *http.Request, names []string) string {
	if len(names) < 2 {
		return strings.Join(names, "")
	}
	return strings.Join(names[:len(names)-1], ", ") + " " + s.text(r, "console.and") + " " + names[len(names)-1]
}

// recount asks the gate anew.
func (s *site) recount(w http.ResponseWriter, r *http.Request) {
	c, ok := s.find(w, r)
	if !ok {
		return
	}
	policy, err := s.Store.Policy(r.Context(), s.Now())
	if err != nil {
		s.fail(w, r, err)
		return
	}
	s.gates.drop(gateKey(c, policy))
	s.redirect(w, r, fmt.Sprintf("/campaigns/%d/check", c.ID))
}

// launch lets a draft go, now or at a time, for the people that the check showed.
func (s *site) launch(w http.ResponseWriter, r *http.Request) {
	s.letGo(w, r, func(g *gate) int64 { return g.sends() }, campaign.Override{})
}

// override lets a draft go also to those whom only E-marketing privacy keeps
// back, for a written reason. The store writes it in the audit log.
func (s *site) override(w http.ResponseWriter, r *http.Request) {
	override, err := campaign.NewOverride(r.PostFormValue("reason"), actor(r), s.Now())
	if err != nil {
		if c, ok := s.find(w, r); ok {
			s.showCheck(w, r, http.StatusBadRequest, c, s.text(r, "console.override.reason.wrong", s.number(r, campaign.MaxOverrideReason)))
		}
		return
	}
	s.letGo(w, r, func(g *gate) int64 {
		if g.lifted() == 0 {
			return 0 // an override that changes nothing is none
		}
		return g.Report.SendLifted
	}, override)
}

// letGo lets a draft go as its form says, if the check that the form was on still
// holds and somebody gets the mail.
func (s *site) letGo(w http.ResponseWriter, r *http.Request, sends func(*gate) int64, override campaign.Override) {
	c, ok := s.find(w, r)
	if !ok {
		return
	}
	if c.State != campaign.StateDraft {
		s.tooLate(w, r, c, fmt.Errorf("campaign %d is %s", c.ID, c.State))
		return
	}
	if len(campaign.Check(c.Content)) > 0 {
		s.showCheck(w, r, http.StatusConflict, c, s.text(r, "console.problems"))
		return
	}
	g, err := s.fresh(r, c)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	rules, err := s.Store.Rules(r.Context())
	if err != nil {
		s.fail(w, r, err)
		return
	}
	if g == nil {
		s.showCheck(w, r, http.StatusConflict, c, s.text(r, "console.check.changed"))
		return
	}
	shown, holds := g.holds(r.PostFormValue("seen"), override.Reason != "")
	at, ok := s.launchTime(r)
	switch {
	case !holds:
		s.showCheck(w, r, http.StatusConflict, c, s.text(r, "console.check.changed"))
		return
	case sends(g) == 0:
		s.showCheck(w, r, http.StatusConflict, c, s.text(r, "console.check.nobody"))
		return
	case sends(g) > rules.ConfirmAbove && digits(r.PostFormValue("number")) != strconv.FormatInt(shown, 10):
		s.showCheck(w, r, http.StatusBadRequest, c, s.text(r, "console.check.type.wrong", s.number(r, sends(g))))
		return
	case !ok:
		s.showCheck(w, r, http.StatusBadRequest, c, s.text(r, "console.check.at.bad"))
		return
	}
	done := "launched"
	switch {
	case !at.local.IsZero():
		done = "scheduled"
		err = s.Store.ScheduleLocal(r.Context(), c.ID, at.local, override)
	default:
		if at.moment.After(s.Now()) {
			done = "scheduled"
		}
		err = s.Store.Schedule(r.Context(), c.ID, at.moment, override)
	}
	if err != nil {
		s.tooLate(w, r, c, err)
		return
	}
	s.Log.Info("campaign launched", "campaign", c.ID, "user", userOf(r).ID, "override", override.Reason != "")
	s.redirect(w, r, fmt.Sprintf("/campaigns/%d?done=%s", c.ID, done))
}

// launchTime is when a campaign is to be launched: at a moment, or at a time of
// day wherever the recipients are.
type launchTime struct {
	moment time.Time
	local  campaign.LocalTime
}

// launchTime reads it from a form; ok is false when what was filled in is no time
// to come in the user's zone.
func (s *site) launchTime(r *http.Request) (t launchTime, ok bool) {
	text, everywhere := r.PostFormValue("at"), r.PostFormValue("local") != ""
	if text == "" {
		return launchTime{moment: s.Now()}, !everywhere
	}
	at, err := time.ParseInLocation("2006-01-02T15:04", text, zoneOf(r))
	if err != nil || !at.After(s.Now()) || !at.Before(s.Now().AddDate(2, 0, 0)) {
		return launchTime{}, false
	}
	if !everywhere {
		return launchTime{moment: at}, true
	}
	local, err := campaign.NewLocalTime(text, zoneOf(r).String())
	return launchTime{local: local}, err == nil
}

// digits are those of a number as somebody typed it, whatever stands between.
func digits(text string) string {
	return strings.Map(func(c rune) rune {
		if unicode.IsDigit(c) {
			return c
		}
		return -1
	}, text)
}
