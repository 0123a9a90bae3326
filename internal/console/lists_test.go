package console_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/jatak-mail/jatak/internal/contact"
	"github.com/jatak-mail/jatak/internal/contactlist"
	"github.com/jatak-mail/jatak/internal/staff"
)

// mortal is a database whose user dies, or stands still, at a portion.
type mortal struct {
	contactlist.Store
	portions int
	before   func(portion int)
	after    func(portion int)
}

func (m *mortal) TakeChunk(ctx context.Context, c contact.ListChunk) error {
	m.portions++
	if m.before != nil {
		m.before(m.portions)
	}
	err := m.Store.TakeChunk(ctx, c)
	if m.after != nil {
		m.after(m.portions)
	}
	return errors.Join(err, ctx.Err())
}

func takes(store contactlist.Store, now time.Time) *contactlist.Runner {
	return &contactlist.Runner{Store: store, Digest: func(a contact.Address) []byte { return []byte(a) }, Now: func() time.Time { return now }, Log: slog.New(slog.DiscardHandler)}
}

// upload keeps a list of so many people, every seventh of them refused, checks it
// and begins to take it. It returns the import's page.
func (o *office) upload(b *browser, people int) (page string) {
	o.t.Helper()
	var file strings.Builder
	file.WriteString("E-mail;Fornavn\n")
	for i := range people {
		if i%7 == 3 {
			fmt.Fprintf(&file, "no address %d;Bo\n", i)
		} else {
			fmt.Fprintf(&file, "listed%d@example.org;Bo\n", i)
		}
	}
	id, err := o.db.CreateImport(o.t.Context(), "list.csv", "test", noon)
	if err == nil {
		err = o.db.AddImportPart(o.t.Context(), id, 0, []byte(file.String()))
	}
	if err == nil {
		err = o.db.EndImport(o.t.Context(), id, contact.ImportUploading, contact.ImportUploaded, "", noon)
	}
	if err != nil {
		o.t.Fatal(err)
	}
	page = fmt.Sprintf("/imports/%d", id)
	for _, action := range []string{"/check", "/run"} {
		form := url.Values{"encoding": {"utf-8"}, "separator": {"semicolon"}, "column": {"email", "first_name"}, "reason": {"the fair"}, "basis": {"consent"}, "wording": {"Yes"}}
		if w := b.do("POST", page+action, form); w.Code != http.StatusSeeOther {
			o.t.Fatalf("%s answers %d: %s", action, w.Code, w.Body)
		}
		if action == "/check" {
			if _, err := takes(o.db, noon).Step(o.t.Context()); err != nil {
				o.t.Fatal(err)
			}
		}
	}
	return page
}

// tells holds an import's page and the contacts on file to how far it has come.
func (o *office) tells(b *browser, page string, state contact.ImportState, rows, taken int) {
	o.t.Helper()
	shown := b.do("GET", page, nil, "HX-Request", "true").Body.String()
	for _, want := range []string{o.words.Text("en", "lists.state."+string(state)), fmt.Sprintf("%d,000 rows", rows/1000)} {
		if rows == 0 && strings.HasSuffix(want, "rows") {
			want = "0 rows"
		}
		if !strings.Contains(shown, want) {
			o.t.Errorf("the page does not say %q: %s", want, shown)
		}
	}
	found, err := o.db.SearchContacts(o.t.Context(), []string{"listed"}, 0, 100_000)
	if err != nil {
		o.t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, c := range found {
		if seen[c.Email] {
			o.t.Fatalf("%s is on file twice", c.Email)
		}
		seen[c.Email] = true
	}
	if len(found) != taken {
		o.t.Errorf("%d people are on file, want %d", len(found), taken)
	}
	if taken > 0 && !strings.Contains(shown, fmt.Sprintf(">%d,%03d<", taken/1000, taken%1000)) {
		o.t.Errorf("the page does not say that %d are taken: %s", taken, shown)
	}
}

func TestAnImportWhoseTakerDiesIsTakenOnWhereItStoppedAndThePageTellsTheTruth(t *testing.T) {
	t.Parallel()
	const people = 5000
	refused := func(rows int) int { return (rows + 3) / 7 }
	for name, test := range map[string]struct {
		after bool // its portion was kept
		rows  int
	}{
		"before its portion is kept": {false, 2000},
		"after its portion is kept":  {true, 4000},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := newOffice(t)
			b := o.as(staff.Officer)
			page := o.upload(b, people)
			ctx, kill := context.WithCancel(t.Context())
			at := func(portion int) {
				if portion == 2 {
					kill()
				}
			}
			dying := &mortal{Store: o.db}
			if test.after {
				dying.after = at
			} else {
				dying.before = at
			}
			if _, err := takes(dying, noon).Step(ctx); !errors.Is(err, context.Canceled) {
				t.Fatalf("it ends with %v", err)
			}
			o.tells(b, page, contact.ImportRunning, test.rows, test.rows-refused(test.rows))
			// As long as its lease holds, nobody else takes the list.
			if worked, err := takes(o.db, noon.Add(20*time.Second)).Step(t.Context()); worked || err != nil {
				t.Errorf("within the lease another takes it: %v, %v", worked, err)
			}
			if worked, err := takes(o.db, noon.Add(time.Minute)).Step(t.Context()); !worked || err != nil {
				t.Fatalf("afterwards: %v, %v", worked, err)
			}
			o.tells(b, page, contact.ImportFinished, people, people-refused(people))
			lines := strings.Count(b.do("GET", page+"/refused", nil).Body.String(), "\n")
			if lines != 1+refused(people) {
				t.Errorf("%d rows are listed as refused, want %d", lines-1, refused(people))
			}
			if n, err := o.db.VerifyLedger(t.Context()); err != nil {
				t.Errorf("the ledger: %+v, %v", n, err)
			}
		})
	}
}

func TestATakerThatStoodStillDoesNotTakeAgainWhatAnotherTook(t *testing.T) {
	t.Parallel()
	const people = 5000
	o := newOffice(t)
	b := o.as(staff.Officer)
	page := o.upload(b, people)
	slow := &mortal{Store: o.db, before: func(portion int) {
		if portion != 2 {
			return
		}
		if worked, err := takes(o.db, noon.Add(time.Minute)).Step(t.Context()); !worked || err != nil {
			t.Errorf("another: %v, %v", worked, err)
		}
	}}
	if worked, err := takes(slow, noon).Step(t.Context()); !worked || err != nil {
		t.Errorf("it ends with %v, %v", worked, err)
	}
	o.tells(b, page, contact.ImportFinished, people, people-(people+3)/7)
}
