package console

import (
	"cmp"
	"fmt"
	"net/http"
	"strings"

	"github.com/jatak-mail/jatak/internal/campaign"
	"github.com/jatak-mail/jatak/internal/staff"
)

// resendPage offers to send again what failed, or what nobody knows the outcome of.
type resendPage struct {
	ID      campaign.ID
	Name    string
	Ready   bool // the books are known
	Paused  bool
	Choices []resendChoice
}

// resendChoice are mails that can be sent again together.
type resendChoice struct {
	Value       string // as resendOf reads it
	Words, Mark string // what was replied, in words and as it was
	Count       int64
	Doubt       bool
	Chosen      bool
}

// maySendAgain reports whether a campaign's mails can be sent again.
func maySendAgain(c campaign.Campaign) bool {
	return !c.Launched.IsZero() && c.State != campaign.StateCancelled
}

// resendLink leads to what can be sent again, if there is something.
func (s *site) resendLink(r *http.Request, c campaign.Campaign, b campaign.Report) string {
	if b.Failed+b.InDoubt == 0 || !maySendAgain(c) || !userOf(r).Role.May(staff.Marketer) {
		return ""
	}
	return fmt.Sprintf("/campaigns/%d/resend", c.ID)
}

// resendOf reads which mails are meant: in_doubt, failed, or failed with a reply's
// codes behind it.
func resendOf(value string) (state campaign.DeliveryState, code campaign.ReplyCode, err error) {
	word, rest, _ := strings.Cut(value, " ")
	state = campaign.DeliveryState(word)
	if state != campaign.Failed && (state != campaign.InDoubt || rest != "") {
		return "", campaign.ReplyCode{}, fmt.Errorf("%.40q names no mails that can be sent again", value)
	}
	code, err = campaign.ParseReplyCode(rest)
	return state, code, err
}

// resend asks which mails are to be sent again.
func (s *site) resend(w http.ResponseWriter, r *http.Request) {
	if c, ok := s.launched(w, r); ok {
		s.showResend(w, r, http.StatusOK, c, plain(r.URL.Query().Get("what"), 40), "")
	}
}

func (s *site) showResend(w http.ResponseWriter, r *http.Request, status int, c campaign.Campaign, chosen, problem string) {
	m, ready, err := s.moment(c)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	p := resendPage{ID: c.ID, Name: c.Name, Ready: ready, Paused: c.State == campaign.StatePaused}
	if ready && maySendAgain(c) {
		p.Choices = s.resendChoices(r, m)
	}
	for i := range p.Choices {
		p.Choices[i].Chosen = p.Choices[i].Value == chosen || len(p.Choices) == 1
	}
	s.show(w, r, status, "resend", "campaigns", problem, p)
}

// resendChoices are the mails in doubt, all that failed, and these by their reply
// where it is not one for all.
func (s *site) resendChoices(r *http.Request, m *moment) (list []resendChoice) {
	if n := m.Books.InDoubt; n > 0 {
		list = append(list, resendChoice{Value: string(campaign.InDoubt), Words: s.text(r, "books."+string(campaign.InDoubt)), Count: n, Doubt: true})
	}
	if n := m.Books.Failed; n > 0 {
		list = append(list, resendChoice{Value: string(campaign.Failed), Words: s.text(r, "console.resend.failed"), Count: n})
	}
	if len(m.Failures) < 2 {
		return list
	}
	for _, t := range m.Failures {
		code := campaign.ReplyCode{Basic: t.Code, Enhanced: t.Enhanced}
		if parsed, err := campaign.ParseReplyCode(code.String()); err != nil || parsed != code || code == (campaign.ReplyCode{}) {
			continue // they failed without a reply, and go with all
		}
		row := s.trouble(r, m.Campaign.ID, t, failureFilter(t))
		list = append(list, resendChoice{Value: string(campaign.Failed) + " " + code.String(), Words: row.Words, Mark: strings.TrimSpace(row.Mark + " " + row.Reply), Count: t.Count})
	}
	return list
}

// sendAgain makes mails pending again.
func (s *site) sendAgain(w http.ResponseWriter, r *http.Request) {
	c, ok := s.launched(w, r)
	if !ok {
		return
	}
	what := r.PostFormValue("what")
	state, code, err := resendOf(what)
	switch {
	case err != nil:
		s.showResend(w, r, http.StatusBadRequest, c, "", s.text(r, "console.resend.which"))
		return
	case r.PostFormValue("sure") == "":
		s.showResend(w, r, http.StatusBadRequest, c, what, s.text(r, "console.resend.sure.first"))
		return
	}
	n, err := s.Store.Resend(r.Context(), c.ID, state, code, actor(r), s.Now())
	switch {
	case err != nil:
		s.tooLate(w, r, c, err)
	case n == 0:
		s.showResend(w, r, http.StatusConflict, c, "", s.text(r, "console.resend.nobody"))
	default:
		s.Log.Info("mails are sent again", "campaign", c.ID, "state", state, "code", cmp.Or(code.String(), "any"), "mails", n, "user", userOf(r).ID)
		s.redirect(w, r, fmt.Sprintf("/campaigns/%d?done=resend", c.ID))
	}
}
