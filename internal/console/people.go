package console

import (
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jatak-mail/jatak/gating"
	"github.com/jatak-mail/jatak/internal/campaign"
	"github.com/jatak-mail/jatak/internal/contact"
	"github.com/jatak-mail/jatak/internal/legacycsv"
	"github.com/jatak-mail/jatak/internal/staff"
)

// personRow is a person behind a number.
type personRow struct {
	campaign.BookedPerson
	State, Kind, Reason string
	Words, Answer       string // what the server replied, in words and as it did
}

type peoplePage struct {
	ID       campaign.ID
	Name     string
	Title    string   // a key: what has become, or will become, of their mail
	Back     string   // the page with the numbers
	What     []string // the rest of the filter in words
	Rows     []personRow
	Ledger   bool // they are of the books, with what became of their mail
	Ready    bool
	Next     string
	Further  bool   // fewer than a page were found so far: Next looks on
	First    string // the first page, when this is none
	Download string
	Contacts bool // the user may open them
}

// mostPeople is how many people a page shows.
const mostPeople = 50

// people lists who is behind a number: before launch those that the gate spoke
// about, and then those of the books.
func (s *site) people(w http.ResponseWriter, r *http.Request) {
	c, ok := s.find(w, r)
	if !ok {
		return
	}
	f, err := s.bookingFilter(r, c)
	if s.notCounted(w, r, c, err) {
		return
	}
	query := r.URL.Query()
	p := peoplePage{ID: c.ID, Name: c.Name, Ledger: !c.Launched.IsZero(), Title: peopleTitle(c, f), What: s.filterWords(r, f), Contacts: userOf(r).Role.May(staff.Officer)}
	if who := query.Get("who"); !p.Ledger && slices.Contains([]string{whoAudience, whoOff, whoOn}, who) {
		p.What = append(p.What, s.text(r, "console.people.who."+who))
		if who == whoAudience {
			p.Title = "console.who.all"
		}
	}
	after := query.Get("after")
	query.Del("after")
	link := func(page, after string) string {
		q := url.Values{}
		for name := range query {
			q.Set(name, query.Get(name))
		}
		if after != "" {
			q.Set("after", after)
		}
		return fmt.Sprintf("/campaigns/%d/%s?%s", c.ID, page, q.Encode())
	}
	p.Download = link("people.csv", "")
	if after != "" {
		p.First = link("people", "")
	}
	list := s.booked
	if p.Back = numbersOf(c); !p.Ledger {
		list = s.judged
	}
	rows, next, err := list(r, c, f, after)
	if s.notCounted(w, r, c, err) {
		return
	}
	p.Rows = rows
	if next != "" {
		p.Next, p.Further = link("people", next), len(rows) < mostPeople
	}
	s.show(w, r, http.StatusOK, "people", "campaigns", "", p)
}

// errNotCounted says that the gate has not been asked, or long ago, or that the
// books are not counted.
var errNotCounted = errors.New("it has not been counted")

// numbersOf is the page whose numbers the people are behind.
func numbersOf(c campaign.Campaign) string {
	if c.Launched.IsZero() {
		return fmt.Sprintf("/campaigns/%d/check", c.ID)
	}
	return fmt.Sprintf("/campaigns/%d/report", c.ID)
}

// notCounted answers when people cannot be found: it leads to the page that
// counts them, or tells of the error.
func (s *site) notCounted(w http.ResponseWriter, r *http.Request, c campaign.Campaign, err error) bool {
	switch {
	case errors.Is(err, errNotCounted):
		s.redirect(w, r, numbersOf(c))
	case err != nil:
		s.fail(w, r, err)
	}
	return err != nil
}

// peopleTitle says what has become of the mail to those whom a filter picks, or
// will before launch.
func peopleTitle(c campaign.Campaign, f campaign.BookingFilter) string {
	states := []campaign.DeliveryState{campaign.Pending, campaign.Sending, campaign.Sent, campaign.Deferred, campaign.Failed, campaign.InDoubt, campaign.Cancelled, campaign.Blocked}
	switch {
	case c.Launched.IsZero() && !f.Reason.Blocks():
		return "console.who.will"
	case c.Launched.IsZero():
		return "console.who.will_not"
	case f.Withdrawn:
		return "console.who.withdrawn"
	case slices.Contains(states, f.State):
		return "console.who." + string(f.State)
	}
	return "console.who.all"
}

// bookingFilter reads a filter from an address; what it does not know, it
// ignores.
func (s *site) bookingFilter(r *http.Request, c campaign.Campaign) (f campaign.BookingFilter, err error) {
	q := r.URL.Query()
	f.State = campaign.DeliveryState(plain(q.Get("state"), 20))
	f.Reason = gating.Reason(plain(q.Get("reason"), 40))
	f.Destination = strings.ToLower(plain(q.Get("domain"), 255))
	f.Language = plain(q.Get("language"), 35)
	if code, err := strconv.Atoi(q.Get("code")); err == nil && code >= 200 && code <= 599 {
		f.Code = code
	}
	f.Withdrawn, f.Lifted = q.Get("withdrawn") != "", q.Get("lifted") != ""
	if f.Destination != everyOther {
		return f, nil
	}
	a, ready, err := s.accountOf(c.ID, c.State, c.Finished, s.Patience)
	if err == nil && !ready {
		err = errNotCounted
	}
	f.Destination = ""
	for _, d := range a.Destinations {
		f.Beyond = append(f.Beyond, d.Name)
	}
	return f, err
}

// filterWords says a filter in words.
func (s *site) filterWords(r *http.Request, f campaign.BookingFilter) (words []string) {
	if f.Reason != "" && slices.Contains(gating.Reasons(), f.Reason) {
		words = append(words, s.Templates.ReasonText(s.lang(r), f.Reason))
	}
	switch f.Destination {
	case "":
	case "-":
		words = append(words, s.text(r, "console.report.no_domain"))
	default:
		words = append(words, s.destinationName(r, f.Destination))
	}
	if len(f.Beyond) > 0 {
		words = append(words, s.text(r, "console.report.beyond"))
	}
	switch f.Language {
	case "":
	case "-":
		words = append(words, s.text(r, "console.report.no_language"))
	default:
		words = append(words, s.Templates.LanguageName(s.lang(r), f.Language))
	}
	if f.Code != 0 {
		words = append(words, s.replyWords(r, f.Code, "")+" ("+strconv.Itoa(f.Code)+")")
	}
	if f.Lifted {
		words = append(words, s.text(r, "console.override.by"))
	}
	return words
}

// booked are people of the books after a position.
func (s *site) booked(r *http.Request, c campaign.Campaign, f campaign.BookingFilter, after string) (rows []personRow, next string, err error) {
	var position campaign.Position
	if after != "" {
		if _, err := fmt.Sscanf(after, "%d.%d", &position.Batch, &position.Contact); err != nil || position.Batch < 0 || position.Batch > math.MaxInt32 {
			position = campaign.Position{} // nobody wrote this link: from the start
		}
	}
	list, reached, more, err := s.Store.BookedPage(r.Context(), c.ID, f, position, mostPeople+1, s.Patience)
	if err != nil {
		return nil, "", err
	}
	if len(list) > mostPeople {
		list = list[:mostPeople]
		reached = list[mostPeople-1].Position
	}
	for _, person := range list {
		rows = append(rows, s.personRow(r, person))
	}
	if more {
		next = fmt.Sprintf("%d.%d", reached.Batch, reached.Contact)
	}
	return rows, next, nil
}

func (s *site) personRow(r *http.Request, person campaign.BookedPerson) personRow {
	row := personRow{BookedPerson: person, State: s.text(r, "books."+string(person.State)), Reason: s.Templates.ReasonText(s.lang(r), person.Reason)}
	// Who got it no longer "gets it".
	if past := "console.who.reason." + string(person.Reason); (person.State == campaign.Sent || person.State == campaign.Blocked) && s.text(r, past) != past {
		row.Reason = s.text(r, past)
	}
	row.Kind = map[campaign.DeliveryState]string{campaign.Sent: "good", campaign.Failed: "bad", campaign.Deferred: "warn", campaign.InDoubt: "warn"}[person.State]
	if person.State == campaign.Failed || person.State == campaign.Deferred || person.State == campaign.InDoubt {
		row.Words = s.replyWords(r, person.Code, person.Enhanced)
		row.Answer = strings.TrimSpace(fmt.Sprintf("%d %s %s", person.Code, person.Enhanced, person.Reply))
		if person.Code == 0 {
			row.Answer = person.Reply
		}
	}
	return row
}

// Those behind the bars of a check that are of more than one reason.
const (
	whoAudience = "audience"
	whoOff      = "off" // get the mail with E-marketing privacy off
	whoOn       = "on"
)

// verdicts are people that the gate gave one reason about.
type verdicts struct {
	reason gating.Reason
	ids    []contact.ID
}

// judged are people that the gate spoke about, after so many of them.
func (s *site) judged(r *http.Request, c campaign.Campaign, f campaign.BookingFilter, after string) (rows []personRow, next string, err error) {
	groups, err := s.judgedGroups(r, c, f)
	if err != nil {
		return nil, "", err
	}
	start, _ := strconv.Atoi(after)
	start = max(start, 0)
	passed := 0
	for _, of := range groups {
		from := min(max(start-passed, 0), len(of.ids))
		to := min(from+mostPeople-len(rows), len(of.ids))
		passed += to
		for person, err := range s.Store.People(r.Context(), of.ids[from:to]) {
			if err != nil {
				return nil, "", err
			}
			rows = append(rows, personRow{BookedPerson: campaign.BookedPerson{Booking: campaign.Booking{Contact: person, Reason: of.reason}}, Reason: s.reasonLine(r, of.reason)})
		}
		if to < len(of.ids) {
			return rows, strconv.Itoa(passed), nil
		}
	}
	return rows, "", nil
}

// judgedGroups are those behind a number of a check, by the reason about them.
func (s *site) judgedGroups(r *http.Request, c campaign.Campaign, f campaign.BookingFilter) (groups []verdicts, err error) {
	j, err := s.gateOf(r, c, peopleLife, s.Patience)
	if err != nil {
		return nil, err
	}
	g, ok, err := result[*gate](j)
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, errNotCounted
	}
	who := r.URL.Query().Get("who")
	all, wanted := g.people(g.Privacy), func(reason gating.Reason) bool { return reason == f.Reason }
	switch who {
	case whoAudience:
		wanted = func(gating.Reason) bool { return true }
	case whoOff, whoOn:
		all, wanted = g.people(who == whoOn), func(reason gating.Reason) bool { return !reason.Blocks() }
	}
	for _, reason := range gating.Reasons() {
		if wanted(reason) && len(all[reason]) > 0 {
			groups = append(groups, verdicts{reason, all[reason]})
		}
	}
	return groups, nil
}

// peopleCSV writes all people behind a number, as they come from the database.
// It is noted in the audit log.
func (s *site) peopleCSV(w http.ResponseWriter, r *http.Request) {
	c, ok := s.find(w, r)
	if !ok {
		return
	}
	f, err := s.bookingFilter(r, c)
	var judged []verdicts
	ledger := !c.Launched.IsZero()
	if err == nil && !ledger {
		judged, err = s.judgedGroups(r, c, f)
	}
	if s.notCounted(w, r, c, err) {
		return
	}
	what := strings.Join([]string{string(f.State), string(f.Reason), f.Destination, f.Language, plain(r.URL.Query().Get("who"), 10)}, " ")
	if err := s.Store.NoteExport(r.Context(), c.ID, actor(r), strings.TrimSpace(what), s.Now()); err != nil {
		s.fail(w, r, err)
		return
	}
	// It may take longer than a page.
	if err := http.NewResponseController(w).SetWriteDeadline(time.Time{}); err != nil && !errors.Is(err, http.ErrNotSupported) {
		s.fail(w, r, err)
		return
	}
	w.Header().Set("Content-Type", "text/csv; charset=utf-8")
	w.Header().Set("Content-Disposition", fmt.Sprintf(`attachment; filename="campaign-%d.csv"`, c.ID))
	out := newSheet(w)
	head := []string{"console.name", "console.email", "console.company", "console.language"}
	if ledger {
		head = append(head, "console.state", "console.reason", "console.when", "console.reply")
	} else {
		head = append(head, "console.reason")
	}
	for i, key := range head {
		head[i] = s.text(r, key)
	}
	out.row(head...)
	out.w.Flush() // it begins at once, however long the first is looked for
	_ = http.NewResponseController(w).Flush()
	if err := s.writePeople(r, out, c, f, ledger, judged); err != nil {
		// Half a file has left: the connection breaks, so that it is not taken for a
		// whole one.
		s.Log.Error("people could not be written", "campaign", c.ID, "error", err)
		panic(http.ErrAbortHandler)
	}
}

func (s *site) writePeople(r *http.Request, out *sheet, c campaign.Campaign, f campaign.BookingFilter, ledger bool, judged []verdicts) error {
	if !ledger {
		for _, of := range judged {
			for ids := range slices.Chunk(of.ids, 1000) {
				for person, err := range s.Store.People(r.Context(), ids) {
					if err != nil {
						return err
					}
					out.row(person.Name(), person.Email, person.Company, person.Language, s.reasonLine(r, of.reason))
				}
			}
		}
		return out.end(r.Context())
	}
	for person, err := range s.Store.BookedPeople(r.Context(), c.ID, f) {
		if err != nil {
			return err
		}
		row := s.personRow(r, person)
		out.row(person.Name(), person.Email, person.Company, person.Language, row.State, row.Reason,
			person.At.In(zoneOf(r)).Format("2006-01-02 15:04:05"), row.Answer)
	}
	return out.end(r.Context())
}

// sheet writes CSV that a spreadsheet opens without running anything in it.
type sheet struct{ w *csv.Writer }

func newSheet(w io.Writer) *sheet {
	_, _ = io.WriteString(w, "\ufeff") // so that spreadsheets know it for UTF-8
	return &sheet{csv.NewWriter(w)}
}

// row writes a line. What a spreadsheet would take for a formula begins with an
// apostrophe.
func (s *sheet) row(cells ...string) {
	guarded := make([]string, len(cells))
	for i, cell := range cells {
		guarded[i] = legacycsv.Disarm(cell)
	}
	_ = s.w.Write(guarded) // end tells
}

// end writes what is left, and tells what went wrong.
func (s *sheet) end(ctx context.Context) error {
	s.w.Flush()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return s.w.Error()
}
