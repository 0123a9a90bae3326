package console

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode"

	"github.com/jatak-mail/jatak/internal/campaign"
	"github.com/jatak-mail/jatak/internal/contact"
	"github.com/jatak-mail/jatak/internal/senderdomain"
	"github.com/jatak-mail/jatak/internal/staff"
	"github.com/jatak-mail/jatak/templates"
)

// sendingStore tells how mail leaves.
type sendingStore interface {
	WorkersNow(ctx context.Context, now time.Time) ([]campaign.WorkerSeen, error)
	RelayTests(ctx context.Context) ([]campaign.RelayTest, error)
	AskRelayTest(ctx context.Context, relay, actor string, now time.Time) error
	SenderDomains(ctx context.Context, since time.Time) ([]string, error)
	SendLimits(ctx context.Context) ([]campaign.Limit, error)
	SetLimit(ctx context.Context, l campaign.Limit, actor string, now time.Time) error
	RemoveLimit(ctx context.Context, kind campaign.LimitKind, name, actor string, now time.Time) error
}

func (s *site) sendingRoutes() []route {
	return []route{
		{pattern: "GET /settings/relays", role: staff.Viewer, handle: s.relays},
		{pattern: "POST /settings/relays/test", role: staff.Administrator, handle: s.testRelay},
		{pattern: "POST /settings/limits", role: staff.Administrator, handle: s.setLimit},
		{pattern: "POST /settings/limits/remove", role: staff.Administrator, handle: s.removeLimit},
		{pattern: "GET /settings/domains", role: staff.Viewer, handle: s.domains},
		{pattern: "GET /settings/domains/{domain}", role: staff.Marketer, handle: s.domain},
	}
}

// relayTroubles are those that there are words for.
func relayTroubles() []string {
	return []string{"name", "closed", "silent", "certificate", "login", "refused"}
}

// TestTrouble is what kind of trouble the test met, of those that there are words for.
func (l relayLine) TestTrouble() string {
	if slices.Contains(relayTroubles(), l.Test.Trouble) {
		return l.Test.Trouble
	}
	return "other"
}

// relayLine is a relay as the workers tell of it.
type relayLine struct {
	campaign.Relay
	Workers     int
	Connections int // of all workers together
	Test        campaign.RelayTest
	State       string // of the test: good, bad, waiting, late, or "" for none
}

type relaysPage struct {
	Relays  []relayLine
	Workers []campaign.WorkerSeen
	Pace    string
	Limits  []limitLine
	Form    limitForm
	Waiting bool // a test is under way
	May     bool
}

// limitLine is a limit in words.
type limitLine struct {
	campaign.Limit
	Rate    string // as it is today
	Full    string // when it is warm
	Warming bool
	Curve   string // of the warm-up; "" for none
	Edit    string // leads to the form
}

func (s *site) limitLine(r *http.Request, l campaign.Limit) limitLine {
	now, lang := s.Now(), s.lang(r)
	line := limitLine{Limit: l, Rate: s.rateText(r, l.Rate(now)), Full: s.rateText(r, l.PerSecond),
		Edit: "/settings/relays?" + url.Values{"kind": {string(l.Kind)}, "name": {l.Name}}.Encode() + "#limit"}
	if w := l.WarmUp; w.First > 0 {
		ends := l.WarmUpEnds()
		line.Warming = now.Before(ends)
		line.Curve = s.text(r, "console.limit.curve", s.number(r, int64(w.First)), templates.Date(lang, w.From), plainNumber(lang, w.Growth), templates.Date(lang, ends))
	}
	return line
}

// plainNumber writes a number with as many digits as it has.
func plainNumber(lang string, n float64) string {
	return templates.Numeral(lang, strconv.FormatFloat(n, 'f', -1, 64))
}

// limitForm is a limit as it is written in the form.
type limitForm struct {
	Kind                  campaign.LimitKind
	Name, Domains, AtOnce string
	Pace                  paceForm
	First, From, Growth   string
	Change                bool // of one that there is
}

// usualGrowth is that of a warm-up for which nobody has said another.
const usualGrowth = "1.5"

// formOf shows a limit in the form, to be changed.
func (s *site) formOf(r *http.Request, l campaign.Limit) limitForm {
	lang := s.lang(r)
	f := limitForm{Kind: l.Kind, Name: l.Name, Domains: strings.Join(l.Domains, "\n"), Change: true, Growth: templates.Numeral(lang, usualGrowth),
		Pace: paceFormOf(lang, contact.PaceText(l.PerSecond))}
	if l.Connections > 0 {
		f.AtOnce = templates.Numeral(lang, strconv.Itoa(l.Connections))
	}
	if w := l.WarmUp; w.First > 0 {
		f.First, f.From, f.Growth = templates.Numeral(lang, strconv.Itoa(w.First)), w.From.Format(time.DateOnly), plainNumber(lang, w.Growth)
	}
	return f
}

// readLimit reads the form's fields.
func readLimit(r *http.Request) limitForm {
	get := func(name string) string { return strings.TrimSpace(r.PostFormValue(name)) }
	f := limitForm{Kind: campaign.LimitKind(get("kind")), Name: get("name"), Domains: get("domains"), Pace: readPace(r, "pace"), AtOnce: get("connections"),
		First: get("first"), From: get("from"), Growth: get("growth"), Change: get("change") != ""}
	if f.Kind != campaign.RelayLimit {
		f.Name = strings.ToLower(f.Name)
	}
	return f
}

// limit is what the form says, or a campaign.LimitError.
func (f limitForm) limit(lang string, today time.Time) (l campaign.Limit, err error) {
	l = campaign.Limit{Kind: f.Kind, Name: f.Name}
	wrong := func(p campaign.LimitProblem) (campaign.Limit, error) { return l, &campaign.LimitError{Problem: p} }
	l.Domains = strings.FieldsFunc(strings.ToLower(f.Domains), func(c rune) bool { return unicode.IsSpace(c) || c == ',' || c == ';' })
	if l.PerSecond, err = contact.ParsePace(f.Pace.pace(lang)); err != nil {
		return wrong(campaign.LimitPaceWrong)
	}
	if f.AtOnce != "" {
		if l.Connections, err = strconv.Atoi(templates.ReadNumeral(lang, f.AtOnce)); err != nil {
			return wrong(campaign.LimitAtOnceWrong)
		}
	}
	if f.First != "" {
		l.WarmUp.From = today
		if l.WarmUp.First, err = strconv.Atoi(templates.ReadNumeral(lang, f.First)); err != nil || l.WarmUp.First == 0 {
			return wrong(campaign.LimitFirstWrong)
		}
		if l.WarmUp.Growth, err = strconv.ParseFloat(templates.ReadNumeral(lang, cmp.Or(f.Growth, usualGrowth)), 64); err != nil {
			return wrong(campaign.LimitGrowthWrong)
		}
		if f.From != "" {
			if l.WarmUp.From, err = time.Parse(time.DateOnly, f.From); err != nil {
				return wrong(campaign.LimitFromWrong)
			}
		}
	}
	return l, l.Validate()
}

// setLimit keeps a limit as the form says. One that there is already is changed
// only by a form that has shown it.
func (s *site) setLimit(w http.ResponseWriter, r *http.Request) {
	p, err := s.relaysPage(r)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	p.Form = readLimit(r)
	for _, kept := range p.Limits {
		if kept.Kind == p.Form.Kind && kept.Name == p.Form.Name && !p.Form.Change {
			p.Form = s.formOf(r, kept.Limit)
			s.show(w, r, http.StatusConflict, "relays", "settings", s.text(r, "console.limit.there", kept.Name), p)
			return
		}
	}
	l, err := p.Form.limit(s.lang(r), s.Now().UTC().Truncate(24*time.Hour))
	if err != nil {
		s.Log.Info("a limit was not taken", "error", err)
		s.show(w, r, http.StatusBadRequest, "relays", "settings", s.limitProblem(r, err), p)
		return
	}
	if err := s.Store.SetLimit(r.Context(), l, actor(r), s.Now()); err != nil {
		s.fail(w, r, err)
		return
	}
	s.redirect(w, r, "/settings/relays?done=saved")
}

// limitProblem says in words what is wrong with a limit.
func (s *site) limitProblem(r *http.Request, err error) string {
	var wrong *campaign.LimitError
	switch {
	case !errors.As(err, &wrong):
		return s.text(r, "console.limit.wrong")
	case wrong.Value != "":
		return s.text(r, "console.limit.wrong."+string(wrong.Problem), clipped(wrong.Value))
	}
	return s.text(r, "console.limit.wrong."+string(wrong.Problem))
}

func (s *site) removeLimit(w http.ResponseWriter, r *http.Request) {
	err := s.Store.RemoveLimit(r.Context(), campaign.LimitKind(r.PostFormValue("kind")), r.PostFormValue("name"), actor(r), s.Now())
	if s.broke(w, r, err) {
		return
	}
	// One that is gone already cannot be removed: the page shows what there is.
	s.redirect(w, r, "/settings/relays?done=changed")
}

// testPatience is how long a test is waited for.
const testPatience = 2 * time.Minute

func (s *site) relays(w http.ResponseWriter, r *http.Request) {
	p, err := s.relaysPage(r)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	if partial(r) {
		s.fragment(w, r, http.StatusOK, "relays", "relay-list", p)
		return
	}
	s.show(w, r, http.StatusOK, "relays", "settings", "", p)
}

func (s *site) relaysPage(r *http.Request) (p relaysPage, err error) {
	ctx, now := r.Context(), s.Now()
	p.May = userOf(r).Role.May(staff.Administrator)
	p.Form.Growth, p.Form.Pace.Per = templates.Numeral(s.lang(r), usualGrowth), usualUnit
	if p.Workers, err = s.Store.WorkersNow(ctx, now); err != nil {
		return p, err
	}
	pace, err := s.Store.Setting(ctx, contact.SettingSendPace)
	if err != nil {
		return p, err
	}
	p.Pace = s.settingText(r, contact.SettingSendPace, pace)
	limits, err := s.Store.SendLimits(ctx)
	if err != nil {
		return p, err
	}
	for _, l := range limits {
		p.Limits = append(p.Limits, s.limitLine(r, l))
		if q := r.URL.Query(); q.Get("kind") == string(l.Kind) && q.Get("name") == l.Name && p.May {
			p.Form = s.formOf(r, l)
		}
	}
	tests, err := s.Store.RelayTests(ctx)
	if err != nil {
		return p, err
	}
	for _, worker := range p.Workers {
		for _, relay := range worker.About.Relays {
			at := slices.IndexFunc(p.Relays, func(l relayLine) bool { return l.Name == relay.Name })
			if at < 0 {
				at = len(p.Relays)
				p.Relays = append(p.Relays, relayLine{Relay: relay})
			}
			p.Relays[at].Relay.Trouble = cmp.Or(p.Relays[at].Relay.Trouble, relay.Trouble)
			p.Relays[at].Workers++
			p.Relays[at].Connections += relay.Connections
		}
	}
	for i := range p.Relays {
		l := &p.Relays[i]
		for _, t := range tests {
			if t.Relay == l.Name {
				l.Test = t
			}
		}
		switch {
		case l.Test.ID == 0:
		case !l.Test.Done.IsZero() && l.Test.OK:
			l.State = "good"
		case !l.Test.Done.IsZero():
			l.State = "bad"
		case now.Sub(l.Test.Asked) > testPatience:
			l.State = "late"
		default:
			l.State, p.Waiting = "waiting", true
		}
	}
	return p, nil
}

// testRelay asks the workers to log in at a relay.
func (s *site) testRelay(w http.ResponseWriter, r *http.Request) {
	relay := r.PostFormValue("relay")
	p, err := s.relaysPage(r)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	if !slices.ContainsFunc(p.Relays, func(l relayLine) bool { return l.Name == relay }) {
		s.show(w, r, http.StatusBadRequest, "relays", "settings", s.text(r, "console.relays.gone"), p)
		return
	}
	if err := s.Store.AskRelayTest(r.Context(), relay, actor(r), s.Now()); err != nil {
		s.fail(w, r, err)
		return
	}
	s.redirect(w, r, "/settings/relays?done=asked")
}

// senderMemory is how far back campaigns tell which domains mails are from.
const senderMemory = 2 * 365 * 24 * time.Hour

// senders are the domains that mails are from, and what the workers know of them.
func (s *site) senders(ctx context.Context) ([]senderdomain.Domain, error) {
	names, err := s.Store.SenderDomains(ctx, s.Now().Add(-senderMemory))
	if err != nil {
		return nil, err
	}
	address, err := s.Store.Setting(ctx, contact.SettingSenderAddress)
	if err != nil {
		return nil, err
	}
	if _, domain, ok := strings.Cut(address, "@"); ok {
		names = append(names, strings.ToLower(domain))
	}
	workers, err := s.Store.WorkersNow(ctx, s.Now())
	if err != nil {
		return nil, err
	}
	var hosts []string
	bounce := ""
	keys := map[string][]senderdomain.Key{}
	for _, worker := range workers {
		for _, r := range worker.About.Relays {
			hosts = append(hosts, r.Host)
		}
		for _, k := range worker.About.Signers {
			names = append(names, k.Domain)
			key := senderdomain.Key{Selector: k.Selector, Record: k.Record}
			if !slices.Contains(keys[k.Domain], key) {
				keys[k.Domain] = append(keys[k.Domain], key)
			}
		}
		bounce = worker.About.BounceDomain
	}
	slices.Sort(names)
	slices.Sort(hosts)
	var list []senderdomain.Domain
	for _, name := range slices.Compact(names) {
		list = append(list, senderdomain.Domain{Name: name, Bounce: bounce, Hosts: slices.Compact(hosts), Keys: keys[name]})
	}
	return list, nil
}

func (s *site) domains(w http.ResponseWriter, r *http.Request) {
	list, err := s.senders(r.Context())
	if err != nil {
		s.fail(w, r, err)
		return
	}
	s.show(w, r, http.StatusOK, "domains", "settings", "", list)
}

type domainPage struct {
	Name    string
	Records []domainRecord
	Signed  bool
	Asked   bool   // all of it could be asked
	Lacks   int    // records that are missing or wrong
	Letter  string // to whoever keeps the DNS; "" when there is nothing to do
}

type domainRecord struct {
	senderdomain.Record
	Field string // the id of its fields
}

// Publish reports whether there is something to publish.
func (r domainRecord) Publish() bool { return r.Want != "" && !r.State.Done() }

// domain asks the DNS about a domain and says what to publish.
func (s *site) domain(w http.ResponseWriter, r *http.Request) {
	list, err := s.senders(r.Context())
	if err != nil {
		s.fail(w, r, err)
		return
	}
	at := slices.IndexFunc(list, func(d senderdomain.Domain) bool { return d.Name == r.PathValue("domain") })
	if at < 0 {
		s.gone(w, r)
		return
	}
	p := domainPage{Name: list[at].Name, Signed: len(list[at].Keys) > 0, Asked: true}
	for i, record := range s.checkDomain(r.Context(), list[at]) {
		p.Records = append(p.Records, domainRecord{record, fmt.Sprint("record-", i+1)})
		p.Asked = p.Asked && record.State != senderdomain.Unknown
		if !record.State.Done() {
			p.Lacks++
		}
	}
	p.Letter = s.dnsLetter(r, p)
	s.show(w, r, http.StatusOK, "domain", "settings", "", p)
}

// dnsLetter asks whoever keeps the DNS of a domain for what it lacks.
func (s *site) dnsLetter(r *http.Request, p domainPage) string {
	var asks []string
	for _, record := range p.Records {
		if !record.Publish() {
			continue
		}
		key, found := "console.dns.letter.add", ""
		if len(record.Found) > 0 {
			key, found = "console.dns.letter.change", strings.Join(record.Found, "\n  ")
		}
		asks = append(asks, fmt.Sprintf("%d. ", len(asks)+1)+s.text(r, key, record.Name, record.Want, found))
	}
	if len(asks) == 0 {
		return ""
	}
	return s.text(r, "console.dns.letter.hello", p.Name) + "\n\n" + strings.Join(asks, "\n\n") + "\n\n" + s.text(r, "console.dns.letter.bye")
}

// checkDomain asks about all records at once.
func (s *site) checkDomain(ctx context.Context, d senderdomain.Domain) []senderdomain.Record {
	records := d.Records()
	var asking sync.WaitGroup
	for i, r := range records {
		if r.State == "" {
			asking.Go(func() { records[i] = senderdomain.Ask(ctx, s.Resolver, r) })
		}
	}
	asking.Wait()
	return records
}
