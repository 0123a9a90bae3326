package console

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/jatak-mail/jatak/gating"
	"github.com/jatak-mail/jatak/internal/contact"
	"github.com/jatak-mail/jatak/internal/staff"
)

// contactStore is what the pages about people show and change.
type contactStore interface {
	SearchContacts(ctx context.Context, words []string, after contact.ID, limit int) ([]contact.Contact, error)
	People(ctx context.Context, ids []contact.ID) iter.Seq2[contact.Contact, error]
	Recipient(ctx context.Context, id contact.ID, t gating.SubscriptionType) (contact.Recipient, error)
	Events(ctx context.Context, id contact.ID) ([]contact.Event, error)
	Dossier(ctx context.Context, id contact.ID, actor string, now time.Time) (contact.Dossier, error)
	ChangeBasis(ctx context.Context, change contact.BulkChange) (contact.BulkResult, error)
}

func (s *site) contactRoutes() []route {
	return []route{
		{pattern: "GET /contacts", role: staff.Officer, handle: s.contacts},
		{pattern: "GET /contacts/{id}", role: staff.Officer, handle: s.contact},
		{pattern: "POST /contacts/{id}/emarketing", role: staff.Officer, handle: s.emarketing},
	}
}

type contactsPage struct {
	Query string
	Found []contact.Contact
	More  bool
}

// mostFound is how many contacts a search shows.
const mostFound = 50

func (s *site) contacts(w http.ResponseWriter, r *http.Request) {
	p := contactsPage{Query: strings.TrimSpace(r.URL.Query().Get("q"))}
	if words := strings.Fields(p.Query); len(words) > 0 && utf8.ValidString(p.Query) && !strings.ContainsRune(p.Query, 0) {
		var err error
		if p.Found, err = s.Store.SearchContacts(r.Context(), words[:min(len(words), 8)], 0, mostFound+1); err != nil {
			s.fail(w, r, err)
			return
		}
		if p.More = len(p.Found) > mostFound; p.More {
			p.Found = p.Found[:mostFound]
		}
	}
	s.show(w, r, http.StatusOK, "contacts", "contacts", "", p)
}

type stepRow struct {
	Text, Found, Holds string
	Decides            bool
}

type contactPage struct {
	ID                             contact.ID
	Name, Email, Company, Language string
	Send                           bool
	Reason, Mend                   string
	Steps                          []stepRow
	Events, Mails                  [][]string
}

func (s *site) contact(w http.ResponseWriter, r *http.Request) {
	s.showContact(w, r, http.StatusOK, "")
}

func (s *site) showContact(w http.ResponseWriter, r *http.Request, status int, problem string) {
	id, err := strconv.ParseInt(r.PathValue("id"), 10, 64)
	if err != nil {
		s.web.Error(w, r, http.StatusNotFound, "gone")
		return
	}
	p, err := s.person(r, contact.ID(id))
	switch {
	case errors.Is(err, contact.ErrNotFound):
		s.web.Error(w, r, http.StatusNotFound, "gone")
	case err != nil:
		s.fail(w, r, err)
	default:
		s.show(w, r, status, "contact", "contacts", problem, p)
	}
}

// person gathers what the card shows; looking at it is audited.
func (s *site) person(r *http.Request, id contact.ID) (p contactPage, err error) {
	ctx, now, lang := r.Context(), s.Now(), s.lang(r)
	policy, err := s.Store.Policy(ctx, now)
	if err != nil {
		return p, err
	}
	recipient, err := s.Store.Recipient(ctx, id, gating.SubscriptionType{})
	if err != nil {
		return p, err
	}
	d, err := s.Store.Dossier(ctx, id, actor(r), now)
	if err != nil {
		return p, err
	}
	steps, v := gating.Explain(recipient.Facts, policy)
	p = contactPage{ID: id, Name: recipient.Name(), Email: recipient.Email, Company: recipient.Company, Language: recipient.Language, Send: v.Send,
		Reason: s.Templates.ReasonText(lang, v.Reason), Mend: s.Templates.Text(lang, "mend."+string(v.Reason))}
	if p.Name == "" {
		p.Name = fmt.Sprint(id)
	}
	for _, step := range steps {
		row := stepRow{Text: s.Templates.ReasonText(lang, step.Reason), Found: strings.Join(step.Found, ", "), Holds: "explain.no", Decides: step.Decided}
		switch {
		case step.Decided:
			row.Holds = "explain.decides"
		case step.Holds:
			row.Holds = "explain.yes"
		}
		p.Steps = append(p.Steps, row)
	}
	for _, e := range d.ConsentEvents {
		p.Events = append(p.Events, []string{s.when(r, e.At), string(e.Purpose), string(e.From) + " → " + string(e.To), string(e.Source), e.Actor, e.Wording, e.Comment})
	}
	for _, m := range d.Mails {
		p.Mails = append(p.Mails, []string{s.when(r, m.At), m.Name, m.State, s.Templates.ReasonText(lang, m.Reason)})
	}
	return p, nil
}

// emarketing switches the E-marketing toggle of a contact, by staff and with a
// reason: on is a legitimate interest.
func (s *site) emarketing(w http.ResponseWriter, r *http.Request) {
	reason := strings.TrimSpace(r.PostFormValue("reason"))
	id, err := strconv.ParseInt(r.PathValue("id"), 10, 64)
	if n := utf8.RuneCountInString(reason); err != nil || n == 0 || n > contact.MaxComment || !utf8.ValidString(reason) || strings.ContainsRune(reason, 0) {
		s.showContact(w, r, http.StatusBadRequest, s.text(r, "console.why"))
		return
	}
	basis := gating.BasisWithdrawn
	if r.PostFormValue("on") == "1" {
		basis = gating.BasisLegitimateInterest
	}
	result, err := s.Store.ChangeBasis(r.Context(), contact.BulkChange{Selection: contact.Selection{ID: contact.ID(id)}, Purpose: gating.PurposeEmarketing,
		Basis: basis, Reason: reason, Actor: actor(r), Now: s.Now()})
	switch {
	case err != nil:
		s.fail(w, r, err)
	case result.Withdrawn > 0:
		s.showContact(w, r, http.StatusConflict, s.text(r, "console.theirs"))
	default:
		http.Redirect(w, r, fmt.Sprintf("/contacts/%d?done=changed", id), http.StatusSeeOther)
	}
}
