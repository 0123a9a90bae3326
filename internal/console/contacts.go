package console

import (
	"context"
	"encoding/base64"
	"encoding/json"
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
		{pattern: "POST /contacts", role: staff.Officer, handle: s.findContacts},
		{pattern: "POST /contacts/count", role: staff.Officer, handle: s.hits},
		{pattern: "GET /contacts/{id}/export", role: staff.Officer, handle: s.export},
		{pattern: "GET /contacts/{id}/erase", role: staff.Officer, handle: s.askErase},
		{pattern: "POST /contacts/{id}/erase", role: staff.Officer, handle: s.erase},
		{pattern: "POST /contacts/{id}/type", role: staff.Officer, handle: s.choose},
		{pattern: "POST /contacts/{id}/emarketing", role: staff.Officer, handle: s.emarketing},
	}
}

type contactsPage struct {
	Query      string
	Found      []contact.Contact
	Next       contact.ID // 0 when there are no more
	Later      bool       // it is not the first page
	Asked, Odd bool
	None       bool // nobody is on file yet
	Total      int64
	About      bool // the total is an estimate
	Hits       hitsView
}

// hitsView is how many people a search finds.
type hitsView struct {
	Query   string
	Count   int64
	More    bool // than the count
	Pending bool // it is still being counted
}

const (
	mostFound = 50     // contacts on a page
	mostHits  = 10_000 // that are counted
	mostWords = 8      // that a search looks for
	mostQuery = 200    // characters
)

// contacts searches. An address is not written into the address of a page: a
// search for one is posted.
func (s *site) contacts(w http.ResponseWriter, r *http.Request) {
	if r.URL.Query().Has("last") {
		last := lastSearch(r)
		s.search(w, r, last.Query, last.After)
		return
	}
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

func searchWords(query string) []string {
	words := strings.Fields(query)
	return words[:min(len(words), mostWords)]
}

func (s *site) search(w http.ResponseWriter, r *http.Request, query, after string) {
	p := contactsPage{Query: strings.TrimSpace(query)}
	p.Asked = p.Query != ""
	if p.Odd = p.Asked && !contact.IsLine(p.Query, mostQuery); p.Odd {
		p.Query = ""
	}
	from, _ := strconv.ParseInt(after, 10, 64)
	from = max(from, 0)
	p.Later = from > 0
	s.countAll(0) // beside the search
	if words := searchWords(p.Query); len(words) > 0 {
		s.keepSearch(w, search{p.Query, strconv.FormatInt(from, 10)})
		var err error
		p.Found, err = s.Store.SearchContacts(r.Context(), words, contact.ID(from), mostFound+1)
		if err != nil {
			s.fail(w, r, err)
			return
		}
		p.Hits = hitsView{Query: p.Query, Count: int64(len(p.Found))}
		if len(p.Found) > mostFound {
			p.Found = p.Found[:mostFound]
			p.Next = p.Found[mostFound-1].ID
		}
		if p.Next != 0 || p.Later {
			p.Hits.Count, p.Hits.More, p.Hits.Pending = mostFound, true, true
		}
	}
	var err error
	if p.Total, p.About, err = s.total(r); err == nil && p.Total == 0 {
		var some bool
		some, err = s.Store.HasContacts(r.Context())
		p.None = !some
	}
	if err != nil {
		s.fail(w, r, err)
		return
	}
	s.show(w, r, http.StatusOK, "contacts", "contacts", "", p)
}

// countAll counts everybody on file, and waits so long for it.
func (s *site) countAll(wait time.Duration) *work {
	return s.count.get("contacts", countLife, wait, time.Now(), func(ctx context.Context, _ *work) (any, error) {
		return s.Store.CountContacts(ctx, contact.Selection{})
	})
}

// total is how many are on file, or about how many while they are counted.
func (s *site) total(r *http.Request) (n int64, about bool, err error) {
	if n, ready, err := result[int64](s.countAll(s.Patience / 3)); ready || err != nil {
		return n, false, err
	}
	n, err = s.Store.ContactsOnFile(r.Context())
	return n, true, err
}

// hits shows how many people a search finds, for htmx.
func (s *site) hits(w http.ResponseWriter, r *http.Request) {
	if !s.parse(w, r) {
		return
	}
	v := hitsView{Query: strings.TrimSpace(r.PostForm.Get("q"))}
	words := searchWords(v.Query)
	if !contact.IsLine(v.Query, mostQuery) {
		words = nil
	}
	j := s.count.get("search "+v.Query, countLife, s.Patience, time.Now(), func(ctx context.Context, _ *work) (any, error) {
		found, err := s.Store.SearchContacts(ctx, words, 0, mostHits+1)
		return int64(len(found)), err
	})
	n, ready, err := result[int64](j)
	switch {
	case err != nil:
		s.fail(w, r, err)
		return
	case !ready:
		v.Count, v.More, v.Pending = mostFound, true, true
	default:
		v.Count, v.More = min(n, mostHits), n > mostHits
	}
	s.fragment(w, r, http.StatusOK, "contacts", "hits", v)
}

// search is what was searched for, and behind whom the page began.
type search struct {
	Query string `json:"q"`
	After string `json:"after"`
}

const (
	searchCookie = "jatak_search"
	searchLife   = 8 * time.Hour
)

// keepSearch lets the card of somebody who was found lead back. It is kept by the
// browser and in no address, because a name or an address may be in it.
func (s *site) keepSearch(w http.ResponseWriter, of search) {
	if text, err := json.Marshal(of); err == nil {
		s.setCookie(w, searchCookie, base64.RawURLEncoding.EncodeToString(text), searchLife)
	}
}

func (s *site) forgetSearch(w http.ResponseWriter) { s.setCookie(w, searchCookie, "", -1) }

// lastSearch is what was searched for last; nothing where that is not known.
func lastSearch(r *http.Request) (last search) {
	c, err := r.Cookie(searchCookie)
	if err != nil {
		return search{}
	}
	text, err := base64.RawURLEncoding.DecodeString(c.Value)
	if err != nil || json.Unmarshal(text, &last) != nil {
		return search{}
	}
	return last
}
