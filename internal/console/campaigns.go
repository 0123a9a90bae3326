package console

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/jatak-mail/jatak/gating"
	"github.com/jatak-mail/jatak/internal/campaign"
	"github.com/jatak-mail/jatak/internal/contact"
	"github.com/jatak-mail/jatak/internal/staff"
)

// campaignStore is what the pages about campaigns show and do.
type campaignStore interface {
	Campaigns(ctx context.Context) ([]campaign.Campaign, error)
	Campaign(ctx context.Context, id campaign.ID) (campaign.Campaign, error)
	Books(ctx context.Context, id campaign.ID) (campaign.Report, error)
	Verdicts(ctx context.Context, id campaign.ID) (map[gating.Reason]int64, error)
	Audience(ctx context.Context, t gating.SubscriptionType, of contact.Selection) iter.Seq2[contact.Recipient, error]
	// Schedule freezes a draft; the workers launch it at its time.
	Schedule(ctx context.Context, id campaign.ID, at time.Time, override campaign.Override) error
	Unschedule(ctx context.Context, id campaign.ID) error
	Pause(ctx context.Context, id campaign.ID, reason string) error
	Resume(ctx context.Context, id campaign.ID) error
	Cancel(ctx context.Context, id campaign.ID, now time.Time) error
}

func (s *site) campaignRoutes() []route {
	return []route{
		{pattern: "GET /{$}", role: staff.Viewer, handle: s.campaigns},
		{pattern: "GET /campaigns/{id}", role: staff.Viewer, handle: s.campaign},
		{pattern: "GET /campaigns/{id}/events", role: staff.Viewer, handle: s.events},
		{pattern: "GET /campaigns/{id}/report", role: staff.Viewer, handle: s.report},
		{pattern: "POST /campaigns/{id}/{action}", role: staff.Marketer, handle: s.act},
	}
}

type campaignRow struct {
	ID                         campaign.ID
	Name                       string
	State                      campaign.State
	Audience, Sent, When, Note string
}

// mostListed is how many campaigns the list counts the books of.
const mostListed = 50

func (s *site) campaigns(w http.ResponseWriter, r *http.Request) {
	list, err := s.Store.Campaigns(r.Context())
	if err != nil {
		s.fail(w, r, err)
		return
	}
	var rows []campaignRow
	for i, c := range list {
		row := campaignRow{ID: c.ID, Name: c.Name, State: c.State, When: s.when(r, c.Created)}
		if !c.Launched.IsZero() {
			row.When = s.when(r, c.Launched)
		}
		if !c.Launched.IsZero() && i < mostListed {
			books, err := s.Store.Books(r.Context(), c.ID)
			if err != nil {
				s.fail(w, r, err)
				return
			}
			row.Audience, row.Sent = s.number(r, books.Audience), s.number(r, books.Sent)
		}
		rows = append(rows, row)
	}
	s.show(w, r, http.StatusOK, "campaigns", "campaigns", "", rows)
}

// find answers when there is no such campaign.
func (s *site) find(w http.ResponseWriter, r *http.Request) (c campaign.Campaign, ok bool) {
	id, err := strconv.ParseInt(r.PathValue("id"), 10, 64)
	if err != nil {
		s.web.Error(w, r, http.StatusNotFound, "gone")
		return c, false
	}
	c, err = s.Store.Campaign(r.Context(), campaign.ID(id))
	switch {
	case errors.Is(err, campaign.ErrNotFound):
		s.web.Error(w, r, http.StatusNotFound, "gone")
		return c, false
	case err != nil:
		s.fail(w, r, err)
		return c, false
	}
	return c, true
}

type bookLine struct{ Key, Field, Count string }

type campaignPage struct {
	ID                          campaign.ID
	Name, Type, Note, Languages string
	State                       campaign.State
	Launched, Live, Balanced    bool
	Percent                     int
	Books                       []bookLine
	Problems, Actions           []string
}

func (s *site) campaign(w http.ResponseWriter, r *http.Request) {
	if c, ok := s.find(w, r); ok {
		s.showCampaign(w, r, http.StatusOK, c, "")
	}
}

func (s *site) showCampaign(w http.ResponseWriter, r *http.Request, status int, c campaign.Campaign, problem string) {
	p := campaignPage{ID: c.ID, Name: c.Name, Type: c.TypeKey, State: c.State, Languages: strings.Join(c.Content.Languages(), ", "),
		Launched: !c.Launched.IsZero(), Note: c.PauseReason}
	p.Live = p.Launched && !c.State.Ended()
	if c.State == campaign.StateScheduled {
		p.Note = s.when(r, c.Scheduled)
	}
	if c.State == campaign.StateDraft {
		for _, problem := range campaign.Check(c.Content) {
			p.Problems = append(p.Problems, problem.String())
		}
	}
	if userOf(r).Role.May(staff.Marketer) {
		p.Actions = actions(c.State, len(p.Problems) > 0)
	}
	if p.Launched {
		books, err := s.Store.Books(r.Context(), c.ID)
		if err != nil {
			s.fail(w, r, err)
			return
		}
		p.Percent, p.Balanced = percent(books), books.Balanced() == nil
		p.Books = s.lines(r, books)
	}
	s.show(w, r, status, "campaign", "campaigns", problem, p)
}

// actions are what may be done to a campaign.
func actions(state campaign.State, problems bool) []string {
	switch state {
	case campaign.StateDraft:
		if problems {
			return []string{"cancel"}
		}
		return []string{"launch", "cancel"}
	case campaign.StateScheduled:
		return []string{"unschedule", "cancel"}
	case campaign.StatePlanning, campaign.StateSending:
		return []string{"pause", "cancel"}
	case campaign.StatePaused:
		return []string{"resume", "cancel"}
	}
	return nil
}

func percent(b campaign.Report) int {
	if b.Audience == 0 {
		return 0
	}
	return int(100 * (b.Audience - b.Open()) / b.Audience)
}

func (s *site) lines(r *http.Request, b campaign.Report) (lines []bookLine) {
	for _, l := range []struct {
		field string
		n     int64
	}{{"audience", b.Audience}, {"sent", b.Sent}, {"pending", b.Pending}, {"sending", b.Sending}, {"deferred", b.Deferred},
		{"failed", b.Failed}, {"in_doubt", b.InDoubt}, {"cancelled", b.Cancelled}, {"blocked", b.BlockedTotal()}} {
		lines = append(lines, bookLine{"books." + l.field, l.field, s.number(r, l.n)})
	}
	return lines
}

// beat is how often a campaign under way is told of.
const beat = time.Second

// events tells of a campaign as it goes on (server-sent events, HTML Living
// Standard section 9.2).
func (s *site) events(w http.ResponseWriter, r *http.Request) {
	c, ok := s.find(w, r)
	if !ok {
		return
	}
	control := http.NewResponseController(w)
	if err := control.SetWriteDeadline(time.Time{}); err != nil {
		s.fail(w, r, err)
		return
	}
	w.Header().Set("Content-Type", "text/event-stream")
	tick := time.NewTicker(beat)
	defer tick.Stop()
	for {
		c, err := s.Store.Campaign(r.Context(), c.ID)
		if err != nil {
			return // the page asks again
		}
		books, err := s.Store.Books(r.Context(), c.ID)
		if err != nil {
			return
		}
		now := map[string]any{"ended": c.State.Ended(), "percent": percent(books), "state_name": s.text(r, "state."+string(c.State))}
		for _, l := range s.lines(r, books) {
			now[l.Field] = l.Count
		}
		text, err := json.Marshal(now)
		if err != nil {
			return
		}
		if _, err := fmt.Fprintf(w, "data: %s\n\n", text); err != nil || control.Flush() != nil || c.State.Ended() {
			return
		}
		select {
		case <-r.Context().Done():
			return
		case <-tick.C:
		}
	}
}

// act does to a campaign what its buttons say.
func (s *site) act(w http.ResponseWriter, r *http.Request) {
	c, ok := s.find(w, r)
	if !ok {
		return
	}
	ctx, now, done := r.Context(), s.Now(), "changed"
	var err error
	switch r.PathValue("action") {
	case "launch":
		done = "launched"
		if problems := campaign.Check(c.Content); len(problems) > 0 {
			s.showCampaign(w, r, http.StatusConflict, c, s.text(r, "console.problems"))
			return
		}
		err = s.Store.Schedule(ctx, c.ID, now, campaign.Override{}) // the sweep launches it at its next look
	case "unschedule":
		err = s.Store.Unschedule(ctx, c.ID)
	case "pause":
		err = s.Store.Pause(ctx, c.ID, actor(r))
	case "resume":
		err = s.Store.Resume(ctx, c.ID)
	case "cancel":
		if r.PostFormValue("sure") == "" {
			s.showCampaign(w, r, http.StatusBadRequest, c, s.text(r, "console.sure"))
			return
		}
		err = s.Store.Cancel(ctx, c.ID, now)
	default:
		s.web.Error(w, r, http.StatusNotFound, "gone")
		return
	}
	if err != nil {
		// Somebody was faster, or the state does not allow it: the page says so.
		s.Log.Warn("a campaign could not be changed", "campaign", c.ID, "error", err)
		s.showCampaign(w, r, http.StatusConflict, c, err.Error())
		return
	}
	s.Log.Info("campaign changed", "campaign", c.ID, "action", r.PathValue("action"), "user", userOf(r).ID)
	http.Redirect(w, r, fmt.Sprintf("/campaigns/%d?done=%s", c.ID, done), http.StatusSeeOther)
}

type reportRow struct {
	Reason          gating.Reason
	Text            string
	Off, On, Ledger string
	Send            bool
}

type reportPage struct {
	ID                        campaign.ID
	Name, Privacy             string
	Rows                      []reportRow
	SendOff, SendOn, Audience string
	HasLedger                 bool
}

// report asks the gate about everybody, with privacy off and on.
func (s *site) report(w http.ResponseWriter, r *http.Request) {
	c, ok := s.find(w, r)
	if !ok {
		return
	}
	now := s.Now()
	policy, err := s.Store.Policy(r.Context(), now)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	p := reportPage{ID: c.ID, Name: c.Name, Privacy: "off", HasLedger: !c.Launched.IsZero()}
	if policy.Privacy {
		p.Privacy = "on"
	}
	g := campaign.NewGateReport(c, policy)
	for recipient, err := range s.Store.Audience(r.Context(), c.Type, c.Content.Audience.Selection(now)) {
		if err != nil {
			s.fail(w, r, err)
			return
		}
		g.Add(recipient)
	}
	ledger := map[gating.Reason]int64{}
	if p.HasLedger {
		if ledger, err = s.Store.Verdicts(r.Context(), c.ID); err != nil {
			s.fail(w, r, err)
			return
		}
	}
	for _, reason := range gating.Reasons() {
		if g.Off[reason]+g.On[reason]+ledger[reason] == 0 {
			continue
		}
		p.Rows = append(p.Rows, reportRow{Reason: reason, Text: s.Templates.ReasonText(s.lang(r), reason), Send: !reason.Blocks(),
			Off: s.number(r, g.Off[reason]), On: s.number(r, g.On[reason]), Ledger: s.number(r, ledger[reason])})
	}
	p.SendOff, p.SendOn, p.Audience = s.number(r, g.SendOff), s.number(r, g.SendOn), s.number(r, g.Audience)
	s.show(w, r, http.StatusOK, "report", "campaigns", "", p)
}
