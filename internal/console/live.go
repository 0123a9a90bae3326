package console

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/jatak-mail/jatak/internal/campaign"
	"github.com/jatak-mail/jatak/templates"
)

// moment is a campaign under way as the database knows it at a time.
type moment struct {
	At        time.Time
	Campaign  campaign.Campaign
	Books     campaign.Progress
	Deferrals []campaign.Trouble
	Failures  []campaign.Trouble
	campaign.Withdrawals
	// Departures wait for the recipients' own time.
	Departures []campaign.Departure
}

// watches looks at the campaigns that somebody watches: once for all who watch
// one, and not at all when nobody does.
type watches struct {
	ctx   context.Context
	store campaignStore
	now   func() time.Time
	mu    sync.Mutex
	of    map[campaign.ID]*watch
}

// watch is a campaign that is watched.
type watch struct {
	viewers int
	stop    context.CancelFunc
	last    *moment
	next    chan struct{} // closed when last is replaced
}

func newWatches(ctx context.Context, store campaignStore, now func() time.Time) *watches {
	return &watches{ctx: ctx, store: store, now: now, of: map[campaign.ID]*watch{}}
}

// join begins to watch; leave must be called in the end.
func (w *watches) join(id campaign.ID) (leave func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	watched := w.of[id]
	if watched == nil {
		ctx, stop := context.WithCancel(w.ctx)
		watched = &watch{stop: stop, next: make(chan struct{})}
		w.of[id] = watched
		go w.look(ctx, id, watched)
	}
	watched.viewers++
	return func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		if watched.viewers--; watched.viewers == 0 {
			watched.stop()
			delete(w.of, id)
		}
	}
}

// newest returns the newest moment of a campaign that is watched, nil before the
// first, and a channel that is closed when there is a newer.
func (w *watches) newest(id campaign.ID) (*moment, <-chan struct{}) {
	w.mu.Lock()
	defer w.mu.Unlock()
	watched := w.of[id]
	if watched == nil {
		return nil, nil
	}
	return watched.last, watched.next
}

const (
	// beat is how often a campaign under way is looked at, at most.
	beat = time.Second
	// share is how large a part of the time a look may take: one of a large
	// campaign takes longer, and comes more seldom.
	share = 8
	// troubleBeat is how often replies are looked at.
	troubleBeat = 5 * time.Second
	mostTrouble = 8
)

// look looks at a campaign until nobody watches it. An error is passed over: the
// next look may succeed, and meanwhile viewers keep what they have.
func (w *watches) look(ctx context.Context, id campaign.ID, watched *watch) {
	for {
		began := time.Now()
		m, err := w.moment(ctx, id, watched.last)
		if err == nil {
			w.mu.Lock()
			watched.last = m
			close(watched.next)
			watched.next = make(chan struct{})
			w.mu.Unlock()
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(max(beat, share*time.Since(began))):
		}
	}
}

// moment looks at a campaign. What took long to find and cannot have changed is
// taken from the moment before.
func (w *watches) moment(ctx context.Context, id campaign.ID, before *moment) (m *moment, err error) {
	m = &moment{At: w.now()}
	if m.Campaign, err = w.store.Campaign(ctx, id); err != nil {
		return nil, err
	}
	if m.Campaign.State.Ended() {
		a, err := w.store.Account(ctx, id, m.At)
		m.Books.Report, m.Withdrawals, m.Failures = a.Report, a.Withdrawals, a.Failures[:min(len(a.Failures), mostTrouble)]
		return m, err
	}
	if m.Books, err = w.store.Progress(ctx, id, m.At); err != nil {
		return nil, err
	}
	withdrawn, err := w.store.Withdrawals(ctx, []campaign.ID{id})
	if err != nil {
		return nil, err
	}
	m.Withdrawals = withdrawn[id]
	recent := before != nil && m.At.Sub(before.At) < troubleBeat
	switch {
	case m.Campaign.Local.IsZero() || m.Books.Pending == 0:
	case recent && m.Books.Pending == before.Books.Pending:
		m.Departures = before.Departures
	default:
		if m.Departures, err = w.store.Departures(ctx, id, m.At); err != nil {
			return nil, err
		}
	}
	switch {
	case m.Books.Deferred == 0:
	case recent && m.Books.Deferred == before.Books.Deferred:
		m.Deferrals = before.Deferrals
	default:
		if m.Deferrals, err = w.store.Deferrals(ctx, id, mostTrouble); err != nil {
			return nil, err
		}
	}
	switch {
	case m.Books.Failed == 0:
	case before != nil && m.Books.Failed == before.Books.Failed:
		m.Failures = before.Failures
	default:
		if m.Failures, err = w.store.Failures(ctx, id, mostTrouble); err != nil {
			return nil, err
		}
	}
	return m, nil
}

// moment returns how a campaign stands: what those who watch it see, if that is
// fresh, or else what a look for all who ask at this moment finds. Where that
// takes long, it is not ready, and says nothing of the books.
func (s *site) moment(c campaign.Campaign) (m *moment, ready bool, err error) {
	if m, _ := s.live.newest(c.ID); m != nil && m.Campaign.State == c.State && s.Now().Sub(m.At) < beat {
		return m, true, nil
	}
	life := beat
	if c.State.Ended() {
		life = reportLife
	}
	key := fmt.Sprintf("moment %d %s %d", c.ID, c.State, c.Finished.Unix())
	j := s.books.get(key, life, s.Patience, time.Now(), func(ctx context.Context, _ *work) (any, error) { return s.live.moment(ctx, c.ID, nil) })
	found, ready, err := result[*moment](j)
	if err != nil || !ready {
		return &moment{At: s.Now(), Campaign: c}, false, err
	}
	// What was changed just now shows at once.
	now := *found
	now.Campaign = c
	return &now, true, nil
}

// news is what a page of a campaign under way is told: parts of it by their id,
// those that have changed.
type news struct {
	Launched bool              `json:"launched"`
	Ended    bool              `json:"ended"`
	At       string            `json:"at"` // of what the figures are, as the reader is told times
	Parts    map[string]string `json:"parts"`
}

// liveParts are the parts of the page that change while a campaign runs.
func liveParts() []string {
	return []string{"live-state", "live-progress", "live-books", "live-trouble", "live-controls"}
}

// events tells of a campaign as it goes on (server-sent events, HTML Living
// Standard section 9.2). Whoever loses the connection is told all anew.
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
	if control.Flush() != nil { // it is open at once; the first news may take a while
		return
	}
	leave := s.live.join(c.ID)
	defer leave()
	told := map[string]string{}
	for {
		m, next := s.live.newest(c.ID)
		if m != nil && (!s.tell(w, r, m, told) || control.Flush() != nil || m.Campaign.State.Ended()) {
			return
		}
		select {
		case <-r.Context().Done():
			return
		case <-s.Until.Done():
			return
		case <-next:
		}
	}
}

// clock writes a time of this day.
func (s *site) clock(r *http.Request, t time.Time) string {
	return templates.Clock(s.lang(r), t.In(zoneOf(r)))
}

// tell writes the parts that have changed since they were told last.
func (s *site) tell(w http.ResponseWriter, r *http.Request, m *moment, told map[string]string) bool {
	n := news{Launched: !m.Campaign.Launched.IsZero(), Ended: m.Campaign.State.Ended(), At: s.clock(r, m.At), Parts: map[string]string{}}
	page := s.page(r, "campaigns", "", s.livePage(r, m))
	for _, part := range liveParts() {
		var b bytes.Buffer
		if err := s.Templates.ConsoleFragment(&b, "campaign", part, page); err != nil {
			s.Log.Error("a campaign under way could not be told of", "campaign", m.Campaign.ID, "error", err)
			return false
		}
		if html := b.String(); told[part] != html {
			n.Parts[part], told[part] = html, html
		}
	}
	text, err := json.Marshal(n)
	if err != nil {
		return false
	}
	_, err = fmt.Fprintf(w, "data: %s\n\n", text)
	return err == nil
}
