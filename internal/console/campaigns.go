package console

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"net/url"
	"regexp"
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

// campaignStore is what the pages about campaigns show and do.
type campaignStore interface {
	ListCampaigns(ctx context.Context, f campaign.ListFilter) ([]campaign.Summary, error)
	CountCampaigns(ctx context.Context) (map[campaign.State]int64, error)
	Campaign(ctx context.Context, id campaign.ID) (campaign.Campaign, error)
	Books(ctx context.Context, id campaign.ID) (campaign.Report, error)
	Progress(ctx context.Context, id campaign.ID, now time.Time) (campaign.Progress, error)
	Deferrals(ctx context.Context, id campaign.ID, most int) ([]campaign.Trouble, error)
	Failures(ctx context.Context, id campaign.ID, most int) ([]campaign.Trouble, error)
	// Account is kept once the campaign has ended; KeptBooks are the books of those.
	Account(ctx context.Context, id campaign.ID, now time.Time) (campaign.Account, error)
	KeptBooks(ctx context.Context, ids []campaign.ID) (map[campaign.ID]campaign.Report, error)
	Withdrawals(ctx context.Context, ids []campaign.ID) (map[campaign.ID]campaign.Withdrawals, error)
	BookedPeople(ctx context.Context, id campaign.ID, f campaign.BookingFilter) iter.Seq2[campaign.BookedPerson, error]
	// BookedPage walks for about as long as it may; more says that it has not come
	// to the end.
	BookedPage(ctx context.Context, id campaign.ID, f campaign.BookingFilter, after campaign.Position, most int, patience time.Duration) (
		list []campaign.BookedPerson, next campaign.Position, more bool, err error)
	NoteExport(ctx context.Context, id campaign.ID, actor, what string, now time.Time) error
	Audience(ctx context.Context, t gating.SubscriptionType, of contact.Selection) iter.Seq2[contact.Recipient, error]
	ContactsOnFile(ctx context.Context) (int64, error)
	Limits(ctx context.Context) (campaign.Limits, error)
	LedgerMark(ctx context.Context) (campaign.LedgerMark, error)
	MostGained(ctx context.Context, since campaign.LedgerMark) (people int64, err error)
	LastRate(ctx context.Context, since time.Time) (perSecond float64, err error)
	Rules(ctx context.Context) (contact.Rules, error)
	// Schedule freezes a draft; the workers launch it at its time.
	Schedule(ctx context.Context, id campaign.ID, at time.Time, override campaign.Override) error
	// ScheduleLocal does so for a time of day wherever the recipients are.
	ScheduleLocal(ctx context.Context, id campaign.ID, at campaign.LocalTime, override campaign.Override) error
	Departures(ctx context.Context, id campaign.ID, now time.Time) ([]campaign.Departure, error)
	Unschedule(ctx context.Context, id campaign.ID) error
	Pause(ctx context.Context, id campaign.ID, reason string) error
	Resume(ctx context.Context, id campaign.ID) error
	End(ctx context.Context, id campaign.ID, now time.Time) error
	CancelRest(ctx context.Context, id campaign.ID, now time.Time) error
	SetPace(ctx context.Context, id campaign.ID, perSecond float64) error
	SetPriority(ctx context.Context, id campaign.ID, p campaign.Priority) error
	// Resend writes its line of the audit log itself.
	Resend(ctx context.Context, id campaign.ID, state campaign.DeliveryState, code campaign.ReplyCode, actor string, now time.Time) (mails int64, err error)
}

func (s *site) campaignRoutes() []route {
	return []route{
		{pattern: "GET /{$}", role: staff.Viewer, handle: s.campaigns},
		{pattern: "GET /campaigns/{id}", role: staff.Viewer, handle: s.campaign},
		{pattern: "GET /campaigns/{id}/events", role: staff.Viewer, handle: s.events},
		{pattern: "GET /campaigns/{id}/check", role: staff.Viewer, handle: s.check},
		{pattern: "GET /campaigns/{id}/reach", role: staff.Marketer, handle: s.reachOf},
		{pattern: "GET /campaigns/{id}/launch", role: staff.Marketer, handle: s.toLaunch},
		{pattern: "GET /campaigns/{id}/override", role: staff.Officer, handle: s.toLaunch},
		{pattern: "POST /campaigns/{id}/recount", role: staff.Marketer, handle: s.recount},
		{pattern: "GET /campaigns/{id}/report", role: staff.Viewer, handle: s.report},
		{pattern: "GET /campaigns/{id}/report.csv", role: staff.Viewer, handle: s.reportCSV},
		{pattern: "GET /campaigns/{id}/people", role: staff.Marketer, handle: s.people},
		{pattern: "GET /campaigns/{id}/people.csv", role: staff.Marketer, handle: s.peopleCSV},
		{pattern: "GET /campaigns/{id}/resend", role: staff.Marketer, handle: s.resend},
		{pattern: "POST /campaigns/{id}/resend", role: staff.Marketer, handle: s.sendAgain},
		{pattern: "POST /campaigns/{id}/copy", role: staff.Marketer, handle: s.copyCampaign},
		{pattern: "POST /campaigns/{id}/launch", role: staff.Marketer, handle: s.launch},
		{pattern: "POST /campaigns/{id}/override", role: staff.Officer, handle: s.override},
		{pattern: "POST /campaigns/{id}/{action}", role: staff.Marketer, handle: s.act},
	}
}

// mostListed is how many campaigns a page of the list shows.
const mostListed = 25

// stateGroups are the filters of the list.
func stateGroups() []stateGroup {
	return []stateGroup{
		{Key: "all"},
		{Key: "drafts", States: []campaign.State{campaign.StateDraft}},
		{Key: "running", States: []campaign.State{campaign.StateScheduled, campaign.StatePlanning, campaign.StateSending, campaign.StatePaused}},
		{Key: "ended", States: []campaign.State{campaign.StateFinished, campaign.StateCancelled}},
	}
}

// stateGroup is a filter, with how many campaigns it lets through.
type stateGroup struct {
	Key     string
	States  []campaign.State
	Count   int64
	Link    string
	Current bool
}

// campaignRow is a line of the list. Known is false while its books are being
// counted.
type campaignRow struct {
	campaign.Summary
	Kind            string // of its badge
	Known, HasBooks bool
	Books           campaign.Report
	Paused          string // by whom or why
	Mailed, Done    int64  // the audience without those kept back, and those of them who have an outcome
	Withdrawn       int64
	When            time.Time
	LocalTime       string // of a campaign that waits for each recipient's own
}

type listPage struct {
	Groups     []stateGroup
	Query      string
	Rows       []campaignRow
	Any        bool // there is any campaign at all
	Start      []startStep
	Again      int // seconds after which the list is asked for again; 0: never
	Self       string
	Next, Back string
}

func (s *site) campaigns(w http.ResponseWriter, r *http.Request) {
	p, err := s.list(r)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	s.show(w, r, http.StatusOK, "campaigns", "campaigns", "", p)
}

func (s *site) list(r *http.Request) (p listPage, err error) {
	query := r.URL.Query()
	p.Query = plain(query.Get("q"), 200)
	number, _ := strconv.Atoi(query.Get("page"))
	number = min(max(number, 1), 100_000)
	link := func(group string, page int) string {
		q := url.Values{}
		if group != "all" {
			q.Set("state", group)
		}
		if p.Query != "" {
			q.Set("q", p.Query)
		}
		if page > 1 {
			q.Set("page", strconv.Itoa(page))
		}
		return "/?" + q.Encode()
	}
	counts, err := s.Store.CountCampaigns(r.Context())
	if err != nil {
		return p, err
	}
	if p.Start, err = s.start(r, counts); err != nil {
		return p, err
	}
	chosen := stateGroups()[0]
	for _, g := range stateGroups() {
		g.Link, g.Current = link(g.Key, 1), g.Key == query.Get("state") || g.Key == "all" && query.Get("state") == ""
		for state, n := range counts {
			if g.States == nil || contains(g.States, state) {
				g.Count += n
			}
		}
		p.Any = p.Any || g.Count > 0
		if g.Current {
			chosen = g
		}
		p.Groups = append(p.Groups, g)
	}
	list, err := s.Store.ListCampaigns(r.Context(), campaign.ListFilter{States: chosen.States, Name: p.Query, Limit: mostListed + 1, Offset: (number - 1) * mostListed})
	if err != nil {
		return p, err
	}
	if len(list) > mostListed {
		list, p.Next = list[:mostListed], link(chosen.Key, number+1)
	}
	if number > 1 {
		p.Back = link(chosen.Key, number-1)
	}
	p.Self = link(chosen.Key, number)
	return p, s.fillRows(r, &p, list)
}

// fillRows adds the books to a list. Those that are not counted yet are asked for
// again by the page.
func (s *site) fillRows(r *http.Request, p *listPage, list []campaign.Summary) error {
	kept, err := s.Store.KeptBooks(r.Context(), idsOf(list))
	if err != nil {
		return err
	}
	withdrawn, err := s.Store.Withdrawals(r.Context(), idsOf(list))
	if err != nil {
		return err
	}
	until := time.Now().Add(s.Patience)
	for _, c := range list {
		row := campaignRow{Summary: c, Kind: kindOf(c.State), Paused: s.pausedBy(r, c.PauseReason), When: c.Created, HasBooks: !c.Launched.IsZero()}
		if row.HasBooks {
			row.When = c.Launched
			books, known, err := s.booksOf(c, kept, time.Until(until))
			if err != nil {
				return err
			}
			row.Known, row.Books = known, books
			row.Mailed = books.Audience - books.BlockedTotal()
			row.Done, row.Withdrawn = row.Mailed-books.Open(), withdrawn[c.ID].Withdrawn
			if !known {
				p.Again = 1
			}
			if !c.State.Ended() && p.Again == 0 {
				p.Again = 4
			}
		} else if c.State == campaign.StateScheduled {
			row.When, row.LocalTime = c.Scheduled, s.localTime(r, c.Local)
		}
		p.Rows = append(p.Rows, row)
	}
	return nil
}

func idsOf(list []campaign.Summary) (ids []campaign.ID) {
	for _, c := range list {
		ids = append(ids, c.ID)
	}
	return ids
}

// booksOf returns a campaign's books: those that are kept, or else those of the
// last seconds, if they are found out in time.
func (s *site) booksOf(c campaign.Summary, kept map[campaign.ID]campaign.Report, wait time.Duration) (books campaign.Report, known bool, err error) {
	if books, ok := kept[c.ID]; ok {
		return books, true, nil
	}
	if c.State.Ended() {
		a, known, err := s.accountOf(c.ID, c.State, c.Finished, wait)
		return a.Report, known, err
	}
	key := fmt.Sprintf("books %d %s", c.ID, c.State)
	j := s.books.get(key, 2*time.Second, max(wait, time.Millisecond), time.Now(), func(ctx context.Context, _ *work) (any, error) { return s.Store.Books(ctx, c.ID) })
	return result[campaign.Report](j)
}

// kindOf is the look of a state.
func kindOf(state campaign.State) string {
	return map[campaign.State]string{campaign.StateScheduled: "busy", campaign.StatePlanning: "busy", campaign.StateSending: "busy",
		campaign.StatePaused: "warn", campaign.StateFinished: "good", campaign.StateCancelled: "bad"}[state]
}

func contains[T comparable](list []T, wanted T) bool {
	for _, v := range list {
		if v == wanted {
			return true
		}
	}
	return false
}

// plain is text from outside that a database takes, of at most so many
// characters.
func plain(text string, most int) string {
	text = strings.TrimSpace(text)
	if !utf8.ValidString(text) || strings.ContainsRune(text, 0) || utf8.RuneCountInString(text) > most {
		return ""
	}
	return text
}

// find answers when there is no such campaign.
func (s *site) find(w http.ResponseWriter, r *http.Request) (c campaign.Campaign, ok bool) {
	id, err := strconv.ParseInt(r.PathValue("id"), 10, 64)
	if err != nil {
		s.gone(w, r)
		return c, false
	}
	c, err = s.Store.Campaign(r.Context(), campaign.ID(id))
	switch {
	case errors.Is(err, campaign.ErrNotFound):
		s.gone(w, r)
		return c, false
	case err != nil:
		s.fail(w, r, err)
		return c, false
	}
	return c, true
}

// campaignPage is a campaign: before its launch what is next, and then how it
// goes.
type campaignPage struct {
	Live      livePage
	Draft     bool // or scheduled
	Steps     []stepLink
	Problems  []string
	Languages []string
	From      string
	Type      string // its subscription type's name
}

func (s *site) campaign(w http.ResponseWriter, r *http.Request) {
	if c, ok := s.find(w, r); ok {
		s.showCampaign(w, r, http.StatusOK, c, "")
	}
}

func (s *site) showCampaign(w http.ResponseWriter, r *http.Request, status int, c campaign.Campaign, problem string) {
	p := campaignPage{Draft: c.Launched.IsZero(), From: c.Content.FromName + " <" + c.Content.FromAddress + ">"}
	for _, lang := range c.Content.Languages() {
		p.Languages = append(p.Languages, s.Templates.LanguageName(s.lang(r), lang))
	}
	types, err := s.Store.TypeNames(r.Context())
	if err != nil {
		s.fail(w, r, err)
		return
	}
	p.Type = c.TypeKey
	for _, t := range types {
		if t.Key == c.TypeKey {
			p.Type = nameIn(t.Names, s.lang(r), t.Key)
		}
	}
	if p.Draft {
		p.Live = s.livePage(r, &moment{At: s.Now(), Campaign: c})
		if c.State == campaign.StateDraft {
			p.Problems = s.problems(r, c.Content)
			d, err := s.Store.Draft(r.Context(), campaign.DraftRef{ID: int64(c.ID)})
			if err != nil {
				s.fail(w, r, err)
				return
			}
			if userOf(r).Role.May(staff.Marketer) {
				p.Steps = stepLinks(d, "")
			}
		}
		s.show(w, r, status, "campaign", "campaigns", problem, p)
		return
	}
	m, ready, err := s.moment(c)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	p.Live = s.livePage(r, m)
	p.Live.Counting = !ready
	s.show(w, r, status, "campaign", "campaigns", problem, p)
}

// livePage is what a page says of a campaign under way.
type livePage struct {
	campaign.Campaign
	Kind      string // of the state's badge
	Clock     string // of what time the figures are
	Paused    string // by whom or why
	Under     bool   // under way: it may still change by itself
	Counting  bool   // the books are not known yet: the page is told of them
	Done      int64  // those of the audience who have an outcome
	Mailed    int64  // the audience without those kept back
	MailsDone int64  // those of them who have an outcome
	Open      int64
	Books     campaign.Progress
	Lines     []bar
	campaign.Withdrawals
	WithdrawnLink string
	Balanced      bool
	Rate          string // mails a second just now; "" when none
	Left          string // how long it will still take; "" when that cannot be said
	LocalTime     string // the time of day it is sent at wherever the recipients are; "" for none
	Waiting       int64  // who wait for that time
	Waits         []campaign.Departure
	LastLeave     time.Time // when it is that time for the last of them
	Hint          string    // why nothing goes on
	Deferrals     []troubleRow
	Failures      []troubleRow
	Resend        string // leads to what can be sent again
	Actions       []string
}

// troubleRow is a kind of reply in words.
type troubleRow struct {
	campaign.Trouble
	Name              string // of the destination
	Words, Mark, Link string
}

func (s *site) livePage(r *http.Request, m *moment) livePage {
	c, books := m.Campaign, m.Books
	p := livePage{Campaign: c, Kind: kindOf(c.State), Clock: s.clock(r, m.At), Paused: s.pausedBy(r, c.PauseReason), Under: !c.Launched.IsZero() && !c.State.Ended(), Books: books, Open: books.Open(),
		Done: books.Audience - books.Open(), Mailed: books.Audience - books.BlockedTotal(), Withdrawals: m.Withdrawals, Balanced: books.Balanced() == nil, LocalTime: s.localTime(r, c.Local), Waits: m.Departures, Hint: s.hint(r, c, books)}
	for _, d := range m.Departures {
		p.Waiting, p.LastLeave = p.Waiting+d.People, d.At
	}
	p.MailsDone = p.Mailed - p.Open
	// What waits for its next try or for its time is not a matter of the rate.
	left := books.Pending + books.Sending
	if books.Rate > 0 && (c.State == campaign.StatePlanning || c.State == campaign.StateSending && left > 0) {
		p.Rate = s.rate(r, books.Rate)
		if c.State == campaign.StateSending && p.Waiting == 0 {
			p.Left = s.duration(r, time.Duration(float64(left)/books.Rate*float64(time.Second)))
		}
	}
	p.WithdrawnLink = s.peopleLink(r, c.ID, url.Values{"withdrawn": {"1"}}, p.Withdrawn)
	p.Resend = s.resendLink(r, c, books.Report)
	p.Lines = s.bookLines(r, c.ID, books.Report)
	// What hopefully never happens is told of when it has.
	rare := []string{s.text(r, "books."+string(campaign.InDoubt)), s.text(r, "books."+string(campaign.Cancelled))}
	p.Lines = slices.DeleteFunc(p.Lines, func(l bar) bool { return l.Count == 0 && (c.State.Ended() || slices.Contains(rare, l.Name)) })
	for _, t := range m.Deferrals {
		p.Deferrals = append(p.Deferrals, s.trouble(r, c.ID, t, url.Values{"state": {string(campaign.Deferred)}, "domain": {cmp.Or(t.Destination, "-")}}))
	}
	for _, t := range m.Failures {
		p.Failures = append(p.Failures, s.trouble(r, c.ID, t, failureFilter(t)))
	}
	if userOf(r).Role.May(staff.Marketer) {
		p.Actions = actions(c.State)
	}
	return p
}

// localTime writes a time of day of which each recipient has their own.
func (s *site) localTime(r *http.Request, l campaign.LocalTime) string {
	if l.IsZero() {
		return ""
	}
	return templates.Time(s.lang(r), l.Clock)
}

// pausedBy says in words who paused a campaign, or why Jatak did.
func (s *site) pausedBy(r *http.Request, reason string) string {
	var failures campaign.TooManyFailures
	var complaints campaign.TooManyComplaints
	var refused campaign.SenderRefused
	switch {
	case reason == "":
		return ""
	case failures.Parse(reason):
		return s.text(r, "console.paused.failures", failures.Failed, failures.Of, s.percent(r, float64(failures.Percent)), mailboxes.ReplaceAllString(failures.Reply, "…@"))
	case refused.Parse(reason):
		return s.text(r, "console.paused.sender", refused.Relay, mailboxes.ReplaceAllString(refused.Reply, "…@"))
	case complaints.Parse(reason):
		return s.text(r, "console.paused.complaints", complaints.Complaints, complaints.Of, s.percent(r, complaints.Percent))
	}
	return s.text(r, "console.paused_by", strings.TrimPrefix(reason, "user:"))
}

// percent writes a share that a rule names.
func (s *site) percent(r *http.Request, n float64) string {
	return templates.Percent(s.lang(r), strconv.FormatFloat(n, 'f', -1, 64))
}

// hint says why a campaign that should go on does not.
func (s *site) hint(r *http.Request, c campaign.Campaign, books campaign.Progress) string {
	switch {
	case c.State != campaign.StatePlanning && c.State != campaign.StateSending:
		return ""
	case books.Workers == 0:
		return s.text(r, "console.hint.no_worker")
	case books.Rate > 0:
		return ""
	case books.Trouble != "":
		return s.text(r, "console.hint.relay", mailboxes.ReplaceAllString(books.Trouble, "…@"))
	case c.State == campaign.StateSending && books.Pending == 0 && books.Sending == 0 && books.Deferred > 0:
		return s.text(r, "console.hint.deferred")
	}
	return ""
}

// bookLines are the books by state, each with the people behind it.
func (s *site) bookLines(r *http.Request, id campaign.ID, b campaign.Report) (lines []bar) {
	for _, l := range []struct {
		state campaign.DeliveryState
		kind  string
		n     int64
	}{{campaign.Sent, "good", b.Sent}, {campaign.Pending, "", b.Pending}, {campaign.Sending, "", b.Sending}, {campaign.Deferred, "warn", b.Deferred},
		{campaign.Failed, "bad", b.Failed}, {campaign.InDoubt, "warn", b.InDoubt}, {campaign.Cancelled, "", b.Cancelled}, {campaign.Blocked, "", b.BlockedTotal()}} {
		lines = append(lines, newBar(s.text(r, "books."+string(l.state)), l.kind, l.n, b.Audience, s.peopleLink(r, id, stateFilter(l.state), l.n)))
	}
	return lines
}

// peopleLink leads to the people behind a number, if there are any and the user
// may see them.
func (s *site) peopleLink(r *http.Request, id campaign.ID, filter url.Values, n int64) string {
	if n == 0 || !userOf(r).Role.May(staff.Marketer) {
		return ""
	}
	return fmt.Sprintf("/campaigns/%d/people?%s", id, filter.Encode())
}

// stateFilter picks people by what became of their mail.
func stateFilter(state campaign.DeliveryState) url.Values {
	return url.Values{"state": {string(state)}}
}

// failureFilter picks those whose mail failed with a reply.
func failureFilter(t campaign.Trouble) url.Values {
	return url.Values{"state": {string(campaign.Failed)}, "code": {strconv.Itoa(t.Code)}}
}

var mailboxes = regexp.MustCompile(`[^\s<>@]+@`)

// trouble says a kind of reply in words: those of its RFC 3463 code, or of its
// class.
func (s *site) trouble(r *http.Request, id campaign.ID, t campaign.Trouble, filter url.Values) troubleRow {
	row := troubleRow{Trouble: t, Name: s.destinationName(r, t.Destination), Words: s.replyWords(r, t.Code, t.Enhanced), Link: s.peopleLink(r, id, filter, t.Count)}
	// They are told of many at once: no address belongs there.
	row.Reply = mailboxes.ReplaceAllString(t.Reply, "…@")
	row.Mark = strings.TrimSpace(t.Enhanced)
	if t.Code != 0 {
		row.Mark = strings.TrimSpace(strconv.Itoa(t.Code) + " " + t.Enhanced)
	}
	return row
}

func (s *site) replyWords(r *http.Request, code int, enhanced string) string {
	keys := []string{"console.reply." + enhanced}
	if _, detail, ok := strings.Cut(enhanced, "."); ok {
		keys = append(keys, "console.reply.x."+detail)
	}
	keys = append(keys, "console.reply."+strconv.Itoa(code), "console.reply."+strconv.Itoa(code/100)+"xx")
	for _, key := range keys {
		if text := s.text(r, key); text != key {
			return text
		}
	}
	return s.text(r, "console.reply.none")
}

// actions are what may be done to a campaign.
func actions(state campaign.State) []string {
	switch state {
	case campaign.StateScheduled:
		return []string{"unschedule"}
	case campaign.StatePlanning, campaign.StateSending:
		return []string{"pause"}
	case campaign.StatePaused:
		return []string{"resume"}
	}
	return nil
}

// act does to a campaign what its buttons say.
func (s *site) act(w http.ResponseWriter, r *http.Request) {
	c, ok := s.find(w, r)
	if !ok {
		return
	}
	ctx := r.Context()
	var do func(Store) error
	switch r.PathValue("action") {
	case "unschedule":
		do = func(db Store) error { return db.Unschedule(ctx, c.ID) }
	case "pause":
		do = func(db Store) error { return db.Pause(ctx, c.ID, actor(r)) }
	case "resume":
		do = func(db Store) error { return db.Resume(ctx, c.ID) }
	case "speed":
		do = func(db Store) error { return s.setSpeed(r, db, c) }
	case "cancel":
		if r.PostFormValue("sure") == "" {
			s.showCampaign(w, r, http.StatusBadRequest, c, s.text(r, "console.sure.first"))
			return
		}
		do = func(db Store) error { return db.End(ctx, c.ID, s.Now()) }
	default:
		s.gone(w, r)
		return
	}
	err := s.change(r, do)
	if err == nil && r.PathValue("action") == "cancel" {
		err = s.Store.CancelRest(ctx, c.ID, s.Now())
	}
	var bad *badInput
	if errors.As(err, &bad) {
		s.showCampaign(w, r, http.StatusBadRequest, c, s.text(r, bad.key))
		return
	}
	if err != nil {
		s.tooLate(w, r, c, err)
		return
	}
	s.Log.Info("campaign changed", "campaign", c.ID, "action", r.PathValue("action"), "user", userOf(r).ID)
	s.redirect(w, r, fmt.Sprintf("/campaigns/%d?done=%s", c.ID, r.PathValue("action")))
}

// tooLate answers when somebody was faster, or the campaign's state does not
// allow what was asked: the page shows the state as it is now.
func (s *site) tooLate(w http.ResponseWriter, r *http.Request, c campaign.Campaign, err error) {
	if s.broke(w, r, err) {
		return
	}
	s.Log.Info("a campaign could not be changed", "campaign", c.ID, "error", err)
	now, findErr := s.Store.Campaign(r.Context(), c.ID)
	if findErr != nil {
		s.fail(w, r, findErr)
		return
	}
	s.showCampaign(w, r, http.StatusConflict, now, s.text(r, "console.too_late", s.text(r, "state."+string(now.State))))
}

// badInput is something that a form was filled in wrong with; key says it in
// words.
type badInput struct{ key string }

func (b *badInput) Error() string { return b.key }

// mostPace is the fastest that anybody needs to be slowed down to.
const mostPace = 100_000

// setSpeed changes a campaign's pace and its place among the others.
func (s *site) setSpeed(r *http.Request, db Store, c campaign.Campaign) error {
	pace := 0.0
	if text := templates.ReadNumeral(s.lang(r), strings.TrimSpace(r.PostFormValue("pace"))); text != "" {
		var err error
		if pace, err = strconv.ParseFloat(text, 64); err != nil || !(pace >= 0 && pace <= mostPace) {
			return &badInput{"console.pace.bad"}
		}
	}
	priority := campaign.Priority(r.PostFormValue("priority"))
	if !contains([]campaign.Priority{campaign.PriorityHigh, campaign.PriorityNormal, campaign.PriorityLow}, priority) {
		return &badInput{"console.priority.bad"}
	}
	if err := db.SetPace(r.Context(), c.ID, pace); err != nil {
		return err
	}
	return db.SetPriority(r.Context(), c.ID, priority)
}

// copyCampaign makes a draft of a campaign's content.
func (s *site) copyCampaign(w http.ResponseWriter, r *http.Request) {
	c, ok := s.find(w, r)
	if !ok {
		return
	}
	content := c.Content
	content.Name = s.text(r, "console.copy.name", c.Name)
	id, err := s.Store.CreateDraft(r.Context(), content, actor(r), s.Now())
	switch {
	case errors.Is(err, campaign.ErrUnknownType), content.ValidateDraft() != nil: // what was fit once
		s.Log.Info("a campaign could not be copied", "campaign", c.ID, "error", err)
		s.showCampaign(w, r, http.StatusConflict, c, s.text(r, "console.copy.failed"))
	case err != nil:
		s.fail(w, r, err)
	default:
		s.redirect(w, r, fmt.Sprintf("/campaigns/%d/edit/%s?done=copied", id, stepAudience))
	}
}

// rate writes how many mails a second leave.
func (s *site) rate(r *http.Request, perSecond float64) string {
	if perSecond < 1 {
		return s.text(r, "console.rate.minute", s.decimal(r, 60*perSecond))
	}
	return s.text(r, "console.rate", s.decimal(r, perSecond))
}

// duration writes about how long something takes.
func (s *site) duration(r *http.Request, d time.Duration) string {
	lang := s.lang(r)
	switch {
	case d < 90*time.Second:
		return s.Templates.CountText(lang, "console.duration.seconds", int64(max(1, d.Round(time.Second)/time.Second)))
	case d < 90*time.Minute:
		return s.Templates.CountText(lang, "console.duration.minutes", int64(d.Round(time.Minute)/time.Minute))
	case d < 48*time.Hour:
		return s.Templates.CountText(lang, "console.duration.hours", int64(d.Round(time.Hour)/time.Hour))
	}
	return s.Templates.CountText(lang, "console.duration.days", int64(d.Round(24*time.Hour)/(24*time.Hour)))
}
