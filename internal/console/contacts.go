package console

import (
	"context"
	"iter"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

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
	// Dossier writes in the audit log that somebody looked.
	Dossier(ctx context.Context, id contact.ID, look staff.Entry) (contact.Dossier, error)
	ChangeBasis(ctx context.Context, change contact.BulkChange) (contact.BulkResult, error)
	TypeChoices(ctx context.Context, id contact.ID) ([]contact.TypeChoice, error)
	// ChooseForContact returns contact.ErrNotTheirs for what only the contact can
	// take back.
	ChooseForContact(ctx context.Context, c contact.StaffChoice) error
	Erase(ctx context.Context, id contact.ID, actor string, now time.Time) error
}

func (s *site) contactRoutes() []route {
	return []route{
		{pattern: "GET /contacts", role: staff.Officer, handle: s.contacts},
		{pattern: "GET /contacts/{id}", role: staff.Officer, handle: s.contact},
		{pattern: "POST /contacts", role: staff.Officer, handle: s.findContacts, kept: true},
		{pattern: "GET /contacts/{id}/export", role: staff.Officer, handle: s.export},
		{pattern: "GET /contacts/{id}/erase", role: staff.Officer, handle: s.askErase},
		{pattern: "POST /contacts/{id}/erase", role: staff.Officer, handle: s.erase, kept: true},
		{pattern: "POST /contacts/{id}/type", role: staff.Officer, handle: s.choose, kept: true},
		{pattern: "POST /contacts/{id}/emarketing", role: staff.Officer, handle: s.emarketing},
	}
}

type contactsPage struct {
	Query      string
	Found      []contact.Contact
	Next       contact.ID // 0 when there are no more
	Asked, Odd bool
	None       bool // nobody is on file yet
}

const (
	mostFound = 50  // contacts on a page
	mostWords = 8   // that a search looks for
	mostQuery = 200 // characters
)

// contacts searches. An address is not written into the address of a page: a
// search for one is posted.
func (s *site) contacts(w http.ResponseWriter, r *http.Request) {
	s.search(w, r, r.URL.Query().Get("q"), r.URL.Query().Get("after"))
}

func (s *site) findContacts(w http.ResponseWriter, r *http.Request) {
	if !s.parse(w, r) {
		return
	}
	query := strings.TrimSpace(r.PostForm.Get("q"))
	if !strings.Contains(query, "@") && contact.IsLine(query, mostQuery) {
		http.Redirect(w, r, "/contacts?"+url.Values{"q": {query}, "after": {r.PostForm.Get("after")}}.Encode(), http.StatusSeeOther)
		return
	}
	s.search(w, r, query, r.PostForm.Get("after"))
}

func (s *site) search(w http.ResponseWriter, r *http.Request, query, after string) {
	p := contactsPage{Query: strings.TrimSpace(query)}
	p.Asked = p.Query != ""
	if p.Odd = p.Asked && !contact.IsLine(p.Query, mostQuery); p.Odd {
		p.Query = ""
	}
	from, _ := strconv.ParseInt(after, 10, 64)
	if words := strings.Fields(p.Query); len(words) > 0 {
		var err error
		p.Found, err = s.Store.SearchContacts(r.Context(), words[:min(len(words), mostWords)], contact.ID(max(from, 0)), mostFound+1)
		if err != nil {
			s.fail(w, r, err)
			return
		}
		if len(p.Found) > mostFound {
			p.Found = p.Found[:mostFound]
			p.Next = p.Found[mostFound-1].ID
		}
	}
	if len(p.Found) == 0 {
		has, err := s.Store.HasContacts(r.Context())
		if err != nil {
			s.fail(w, r, err)
			return
		}
		p.None = !has
	}
	s.show(w, r, http.StatusOK, "contacts", "contacts", "", p)
}
