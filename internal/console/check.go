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
	Key       string              // the audience and the rules that it is about
	Policy    int64               // the version of the rules
	Mark      campaign.LedgerMark // how far the ledgers had come
	Report    *campaign.GateReport
	Off, On   map[gating.Reason][]contact.ID
	Privacy   bool
	Languages map[string]int64 // of those who get the mail, by variant
	Lifted    map[string]int64 // the same of those who get it with an override
	Zoned     int64            // those who get the mail and whose time zone is on file
	// LiftedZoned is the same of those who get it with an override.
	LiftedZoned int64
	To          map[string]int64 // of those who get the mail, by destination
	History     float64          // mails a second that the last campaigns were sent at; 0: nobody knows
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
	// launchLife is how long somebody may think before launching on it. Those who
	// withdraw meanwhile get nothing all the same, and when many have come it is
	// made anew at once.
	launchLife = 15 * time.Minute
	// peopleLife is how long the people behind its numbers can be looked at.
	peopleLife = time.Hour
	// gainBound is the part of the people in a report, one in so many, that may
	// have come since without its being made anew: where people sign up all the
	// time, no report would ever hold.
	gainBound = 1000
	// gateStep is how often the progress is told, in people.
	gateStep = 1000
	// historyLife is how long what campaigns were sent at tells of the next.
	historyLife = 90 * 24 * time.Hour
)

// gateOf asks the gate about everybody in the audience, in the background. What
// it said is kept for this audience under these rules: to write in the mail
// changes nothing about it.
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
	about, _ := json.Marshal(struct { // it came from JSON
		Audience  campaign.Audience
		Class     gating.Class
		Type      gating.SubscriptionType
		Default   string
		Languages []string
	}{c.Content.Audience, c.Class, c.Type, c.Content.DefaultLanguage, c.Content.Languages()})
	return fmt.Sprintf("%d %d %x", c.ID, policy.Version, sha256.Sum256(about))
}

func (s *site) askGate(ctx context.Context, c campaign.Campaign, policy gating.Policy, j *work) (*gate, error) {
	mark, err := s.Store.LedgerMark(ctx)
	if err != nil {
		return nil, err
	}
	limits, err := s.Store.Limits(ctx)
	if err != nil {
		return nil, err
	}
	destinations := limits.Destinations()
	g := &gate{At: policy.Now, Key: gateKey(c, policy), Policy: policy.Version, Mark: mark, Report: campaign.NewGateReport(c, policy), Off: map[gating.Reason][]contact.ID{}, On: map[gating.Reason][]contact.ID{},
		Privacy: policy.Privacy, Languages: map[string]int64{}, Lifted: map[string]int64{}, To: map[string]int64{}}
	for recipient, err := range s.Store.Audience(ctx, c.Type, c.Content.Audience.Selection(policy.Now)) {
		if err != nil {
			return nil, err
		}
		off, on, lifted := g.Report.Add(recipient)
		g.Off[off.Reason] = append(g.Off[off.Reason], recipient.ID)
		g.On[on.Reason] = append(g.On[on.Reason], recipient.ID)
		if g.Privacy && on.Send || !g.Privacy && off.Send {
			g.Languages[c.Content.LanguageFor(recipient.Language)]++
			if name := destinations[campaign.LaneOf(recipient.Address.Domain())]; name != "" {
				g.To[name]++
			}
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
	g.History, err = s.Store.LastRate(ctx, s.Now().Add(-historyLife))
	return g, err
}

// estimate says how long a campaign takes to be sent by the workers and with the
// limits of now; idle reports that there is no worker.
func (s *site) estimate(ctx context.Context, c campaign.Campaign, g *gate) (e campaign.Estimate, idle bool, err error) {
	limits, err := s.Store.Limits(ctx)
	if err != nil {
		return e, false, err
	}
	workers, err := s.Store.WorkersNow(ctx, s.Now())
	if err != nil {
		return e, false, err
	}
	load := campaign.Workload{Mails: g.sends(), To: g.To, Pace: c.Pace, History: g.History}
	for _, worker := range workers {
		for _, relay := range worker.About.Relays {
			if !slices.Contains(load.Relays, relay.Name) {
				load.Relays = append(load.Relays, relay.Name)
			}
		}
	}
	return limits.Estimate(load, s.Now()), len(workers) == 0, nil
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
	Steps     []stepLink // while it is a draft that the user may write
	SavedAt   time.Time
	Version   int64
	Review    []line // what is wrong with it, and what is better mended
	MendAll   bool   // more than one of them can be mended by a click
	Other     bool   // there is more than one language
	Fit       bool   // nothing keeps it from being launched
	Ready     bool
	Progress  int64
	OnFile    int64
	Waiting   *waitingPart // a launch that waits for the numbers
	Seen      string       // what this page shows, as a launch names it
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
	Whole     bar
	Estimate  string // how long it takes; "" when nobody knows
	Pace      string // what decides that
	Idle      bool   // no worker is there to send it
	MayLaunch bool
	Type      bool // the number must be typed
	Number    numberPart
	Later     laterPart
	Override  overridePart
}

// numberPart is a number that must be typed, and what was.
type numberPart struct {
	Wanted int64
	Typed  string
}

// waitingPart is a launch as it was filled in, to be sent again.
type waitingPart struct {
	Action string
	Fields []formField
}

type formField struct{ Name, Value string }

// waiting is what a launch's form says.
func (s *site) waiting(r *http.Request) *waitingPart {
	w := &waitingPart{Action: r.URL.Path}
	for _, name := range []string{"seen", "number", "at", "local", "reason"} {
		if value := r.PostFormValue(name); value != "" {
			w.Fields = append(w.Fields, formField{name, value})
		}
	}
	return w
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
	Number  numberPart
	Reason  string // as it was filled in, or is kept
	By      string // who decided it; "" before
	Most    int    // characters of a reason
	Later   laterPart
}

func (s *site) check(w http.ResponseWriter, r *http.Request) {
	c, ok := s.find(w, r)
	switch {
	case !ok:
	case partial(r) && r.URL.Query().Has("waiting"):
		s.counting(w, r, c)
	default:
		s.showCheck(w, r, http.StatusOK, c, "")
	}
}

// counting tells a launch that waits how far the counting has come.
func (s *site) counting(w http.ResponseWriter, r *http.Request, c campaign.Campaign) {
	j, err := s.gateOf(r, c, launchLife, s.Patience)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	p := checkPage{ID: c.ID, Ready: j.over(), Progress: j.Progress.Load()}
	if p.OnFile, err = s.Store.ContactsOnFile(r.Context()); err != nil {
		s.fail(w, r, err)
		return
	}
	p.OnFile = max(p.OnFile, p.Progress, 1)
	s.fragment(w, r, http.StatusOK, "check", "counting", p)
}

// reachPart is how many of a draft's audience would get it, as its type, class
// and audience are saved.
type reachPart struct {
	ID                       campaign.ID
	Ready                    bool
	Audience, Sends, Without int64 // Without: kept back by the type alone
	Link                     string
}

// reachOf tells it to the step in which the type is chosen. The check then has
// its numbers already.
func (s *site) reachOf(w http.ResponseWriter, r *http.Request) {
	c, ok := s.find(w, r)
	if !ok {
		return
	}
	p, err := s.reachPart(r, c)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	s.fragment(w, r, http.StatusOK, "composer", "reach", p)
}

func (s *site) reachPart(r *http.Request, c campaign.Campaign) (p reachPart, err error) {
	p.ID = c.ID
	if p.Ready = !c.Launched.IsZero(); p.Ready {
		return p, nil // the report says it
	}
	j, err := s.gateOf(r, c, gateLife, s.Patience/2)
	if err != nil {
		return p, err
	}
	g, ok, err := result[*gate](j)
	if err != nil || !ok {
		return p, err
	}
	counts := g.Report.Off
	if g.Privacy {
		counts = g.Report.On
	}
	p.Ready, p.Audience, p.Sends, p.Without = true, g.Report.Audience, g.sends(), counts[gating.TypeOptedOut]+counts[gating.TypeNotChosen]
	p.Link = s.peopleLink(r, c.ID, url.Values{"reason": {string(gating.TypeOptedOut)}}, counts[gating.TypeOptedOut])
	return p, nil
}

func (s *site) showCheck(w http.ResponseWriter, r *http.Request, status int, c campaign.Campaign, problem string) {
	if !c.Launched.IsZero() {
		s.redirect(w, r, fmt.Sprintf("/campaigns/%d/report", c.ID)) // the ledger knows better
		return
	}
	p := checkPage{ID: c.ID, Name: c.Name, State: c.State, Later: laterPart{When: r.PostFormValue("at"), Local: r.PostFormValue("local") != "", Zone: zoneOf(r).String()}}
	if err := s.fillReview(r, &p, c); err != nil {
		s.fail(w, r, err)
		return
	}
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
		if r.Method == http.MethodPost { // what was filled in is kept until the numbers are there
			p.Waiting, status, problem = s.waiting(r), http.StatusAccepted, ""
		}
		s.show(w, r, status, "check", "campaigns", problem, p)
		return
	}
	rules, err := s.Store.Rules(r.Context())
	if err != nil {
		s.fail(w, r, err)
		return
	}
	s.fillCheck(r, &p, g)
	p.Seen = seen(c, g)
	if err := s.fillEstimate(r, &p, c, g); err != nil {
		s.fail(w, r, err)
		return
	}
	p.Again = s.Now().Sub(g.At) >= gateLife
	fit := c.State == campaign.StateDraft && p.Fit
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
	p.Number, p.Override.Number = typed(r, p.Sends), typed(r, p.Override.Sends)
	s.show(w, r, status, "check", "campaigns", problem, p)
}

// typed keeps a number that was typed right, when something else was wrong.
func typed(r *http.Request, wanted int64) numberPart {
	n := numberPart{Wanted: wanted}
	if said := r.PostFormValue("number"); digits(said) == strconv.FormatInt(wanted, 10) {
		n.Typed = said
	}
	return n
}

// fillReview says what is to be mended, and in which step.
func (s *site) fillReview(r *http.Request, p *checkPage, c campaign.Campaign) error {
	ref := campaign.DraftRef{ID: int64(c.ID)}
	p.Review, p.Fit = s.review(r, ref, c.Content)
	if c.State != campaign.StateDraft || !userOf(r).Role.May(staff.Marketer) {
		for i := range p.Review {
			p.Review[i].Href, p.Review[i].Mend = "", ""
		}
		return nil
	}
	d, err := s.Store.Draft(r.Context(), ref)
	if err != nil {
		return err
	}
	p.Steps, p.SavedAt, p.Version = stepLinks(d, stepCheck), d.ChangedAt, d.Version
	p.MendAll, p.Other = mends(p.Review) > 1, len(c.Content.Variants) > 1
	return nil
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
	p.Ready, p.At, p.Audience, p.Sends, p.Privacy = true, g.At, g.Report.Audience, g.sends(), g.Privacy
	people := func(who string, n int64) string { return s.peopleLink(r, p.ID, url.Values{"who": {who}}, n) }
	p.Whole = newBar(s.text(r, "console.audience"), "", p.Audience, p.Audience, people(whoAudience, p.Audience))
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
		key, who, n := "console.check.with_off", whoOff, g.Report.SendOff
		if privacy {
			key, who, n = "console.check.with_on", whoOn, g.Report.SendOn
		}
		b := newBar(s.text(r, key), "", n, p.Audience, people(who, n))
		if privacy == g.Privacy {
			b.Kind, b.Note = "good", s.text(r, "console.check.in_force")
		}
		p.Compare = append(p.Compare, b)
	}
	for _, lang := range slices.Sorted(maps.Keys(g.Languages)) {
		p.Languages = append(p.Languages, nameCount{capital(s.Templates.LanguageName(s.lang(r), lang)), g.Languages[lang]})
	}
	p.Named = s.languageNames(r, g.Languages)
}

// fillEstimate says how long sending takes, and what that rests on.
func (s *site) fillEstimate(r *http.Request, p *checkPage, c campaign.Campaign, g *gate) error {
	e, idle, err := s.estimate(r.Context(), c, g)
	p.Idle = idle
	if err != nil || e.Takes == 0 {
		return err
	}
	p.Estimate = s.duration(r, e.Takes)
	if p.Pace = s.text(r, "console.check.bound."+string(e.Bound), s.rate(r, e.Rate)); e.Name != "" {
		p.Pace = s.text(r, "console.check.bound."+string(e.Bound), s.rate(r, e.Rate), e.Name)
	}
	return nil
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

// seen names what a check shows: the campaign, the rules and the numbers. A
// launch says it again.
func seen(c campaign.Campaign, g *gate) string {
	return fmt.Sprintf("%s-%d-%d-%d", contentMark(c), g.Policy, g.sends(), g.Report.SendLifted)
}

func contentMark(c campaign.Campaign) string {
	content, _ := json.Marshal(c.Content) // it came from JSON
	return fmt.Sprintf("%x", sha256.Sum256(content))
}

// The ways in which what was seen no longer holds.
const (
	changedContent = "content"
	changedRules   = "rules"
	changedMore    = "more" // people get the mail
)

// holds says how many people a check has shown, and what has changed so that it
// no longer holds; "" when it does: it is about the same, and no more people get
// the mail.
func holds(c campaign.Campaign, g *gate, seen string, lifted bool) (shown int64, changed string) {
	parts := strings.Split(seen, "-")
	if len(parts) != 4 || parts[0] != contentMark(c) {
		return 0, changedContent
	}
	plain, now := parts[2], g.sends()
	if lifted {
		plain, now = parts[3], g.Report.SendLifted
	}
	shown, err := strconv.ParseInt(plain, 10, 64)
	switch {
	case err != nil || parts[1] != strconv.FormatInt(g.Policy, 10):
		return shown, changedRules
	case now > shown:
		return shown, changedMore
	}
	return shown, ""
}

// fresh returns what the gate says now: a report that is old, or after which many
// may have come, is made anew. It is nil while that goes on.
func (s *site) fresh(r *http.Request, c campaign.Campaign) (*gate, error) {
	for range 2 {
		j, err := s.gateOf(r, c, launchLife, s.Patience)
		if err != nil {
			return nil, err
		}
		g, ok, err := result[*gate](j)
		if err != nil || !ok || s.Now().Sub(g.At) >= launchLife {
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
		s.tooLate(w, r, c, staff.Refusal(fmt.Sprintf("campaign %d is %s", c.ID, c.State)))
		return
	}
	if len(campaign.Check(c.Content)) > 0 {
		s.showCheck(w, r, http.StatusConflict, c, s.text(r, "console.check.unfit"))
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
		s.showWaiting(w, r, c)
		return
	}
	shown, changed := holds(c, g, r.PostFormValue("seen"), override.Reason != "")
	at, ok := s.launchTime(r)
	switch {
	case changed == changedMore:
		s.showCheck(w, r, http.StatusConflict, c, s.text(r, "console.check.changed.more", s.number(r, shown), s.number(r, sends(g))))
		return
	case changed != "":
		s.showCheck(w, r, http.StatusConflict, c, s.text(r, "console.check.changed."+changed))
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
	if !at.local.IsZero() || at.moment.After(s.Now()) {
		done = "scheduled"
	}
	let := func(db Store) error {
		if !at.local.IsZero() {
			return db.ScheduleLocal(r.Context(), c.ID, at.local, override)
		}
		return db.Schedule(r.Context(), c.ID, at.moment, override)
	}
	if override.Reason != "" {
		err = let(s.Store) // the store tells of an override, with its reason
	} else {
		err = s.change(r, let)
	}
	if err != nil {
		s.tooLate(w, r, c, err)
		return
	}
	s.Log.Info("campaign launched", "campaign", c.ID, "user", userOf(r).ID, "override", override.Reason != "")
	s.redirect(w, r, fmt.Sprintf("/campaigns/%d?done=%s", c.ID, done))
}

// showWaiting keeps what a launch's form says until the audience is counted, and
// then launches by itself: the answer says that nothing is launched yet.
func (s *site) showWaiting(w http.ResponseWriter, r *http.Request, c campaign.Campaign) {
	p := checkPage{ID: c.ID, Name: c.Name, State: c.State, Waiting: s.waiting(r)}
	err := s.fillReview(r, &p, c)
	if err == nil {
		p.OnFile, err = s.Store.ContactsOnFile(r.Context())
	}
	if err != nil {
		s.fail(w, r, err)
		return
	}
	p.OnFile = max(p.OnFile, 1)
	s.show(w, r, http.StatusAccepted, "check", "campaigns", "", p)
}

// toLaunch leads to the page with the form that posts here.
func (s *site) toLaunch(w http.ResponseWriter, r *http.Request) {
	if c, ok := s.find(w, r); ok {
		s.redirect(w, r, fmt.Sprintf("/campaigns/%d/check#launch", c.ID))
	}
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
