package console

import (
	"context"
	"net/http"
	"strings"

	"github.com/jatak-mail/jatak/gating"
	"github.com/jatak-mail/jatak/internal/campaign"
	"github.com/jatak-mail/jatak/internal/contact"
	"github.com/jatak-mail/jatak/internal/staff"
)

// startStore knows how far a new installation has come.
type startStore interface {
	HasContacts(ctx context.Context) (bool, error)
}

func (s *site) startRoutes() []route {
	return []route{
		{pattern: "GET /settings/sender", role: staff.Viewer, handle: s.sender},
		{pattern: "POST /settings/sender", role: staff.Administrator, handle: s.setSender},
	}
}

// startStep is something that the first campaign needs.
type startStep struct {
	Key, Link       string
	Done, May, Next bool // Next: the first that is not done
}

// start lists what the first campaign needs; nothing once one was launched.
func (s *site) start(r *http.Request, counts map[campaign.State]int64) ([]startStep, error) {
	for state, n := range counts {
		if state != campaign.StateDraft && n > 0 {
			return nil, nil
		}
	}
	people, err := s.Store.HasContacts(r.Context())
	if err != nil {
		return nil, err
	}
	from, err := s.senderOf(r)
	if err != nil {
		return nil, err
	}
	workers, err := s.Store.WorkersNow(r.Context(), s.Now())
	if err != nil {
		return nil, err
	}
	may := userOf(r).Role.May
	steps := []startStep{
		{Key: "contacts", Link: "/imports", Done: people, May: may(staff.Officer)},
		{Key: "sender", Link: "/settings/sender", Done: from.Name != "" && from.Address != "" && from.Postal != "", May: may(staff.Administrator)},
		{Key: "sending", Link: "/settings/relays", Done: len(workers) > 0, May: true},
		{Key: "campaign", Link: "/campaigns/new", May: may(staff.Marketer)},
	}
	for i := range steps {
		if !steps[i].Done {
			steps[i].Next = true
			break
		}
	}
	return steps, nil
}

// senderPage is who mails are from, as the settings say.
type senderPage struct {
	Name, Address, Postal string
	May                   bool
}

func (s *site) senderOf(r *http.Request) (p senderPage, err error) {
	p.May = userOf(r).Role.May(staff.Administrator)
	for _, f := range p.fields() {
		if *f.to, err = s.Store.Setting(r.Context(), f.name); err != nil {
			return p, err
		}
	}
	return p, nil
}

type senderField struct {
	name gating.Setting
	to   *string
}

// fields are the settings that the page holds.
func (p *senderPage) fields() []senderField {
	return []senderField{{contact.SettingSenderName, &p.Name}, {contact.SettingSenderAddress, &p.Address}, {contact.SettingPostalAddress, &p.Postal}}
}

func (s *site) sender(w http.ResponseWriter, r *http.Request) {
	p, err := s.senderOf(r)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	s.show(w, r, http.StatusOK, "sender", "settings", "", p)
}

// setSender keeps all that is right of the form, and names what is not.
func (s *site) setSender(w http.ResponseWriter, r *http.Request) {
	if !s.parse(w, r) {
		return
	}
	p, err := s.senderOf(r)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	var problems []string
	for _, f := range p.fields() {
		before := *f.to
		*f.to = strings.Join(strings.Fields(r.PostForm.Get(string(f.name))), " ")
		if *f.to == before {
			continue
		}
		err := s.Store.Set(r.Context(), f.name, *f.to, actor(r), s.Now())
		if s.broke(w, r, err) {
			return
		}
		if err != nil {
			s.Log.Info("a setting was not taken", "setting", f.name, "error", err)
			problems = append(problems, s.text(r, "setting."+string(f.name)+".wrong"))
		}
	}
	if len(problems) > 0 {
		s.show(w, r, http.StatusBadRequest, "sender", "settings", strings.Join(problems, " "), p)
		return
	}
	s.redirect(w, r, "/settings/sender?done=saved")
}

// sign puts the installation's sender on a mail to begin with.
func (s *site) sign(r *http.Request, c *campaign.Content) error {
	from, err := s.senderOf(r)
	if err == nil {
		c.FromName, c.FromAddress, c.PostalAddress = from.Name, from.Address, from.Postal
	}
	return err
}
