// Package legacycsv answers one question: what does a legacy CRM export say?
// It reads the four files of an export row by row, in bounded memory, and hands
// every row back either as a value or as a Refusal that says how to mend it.
//
// It refuses to guess: a flag that is neither 0 nor 1, a status it has never
// heard of or a column missing that says who must not be mailed is reported,
// never read as "yes, please". It does not look anything up: whether a
// company_id or contact_id exists is for the importer to find out.
package legacycsv

import (
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"os"
	"strings"
	"time"

	"github.com/jatak-mail/jatak/internal/contact"
)

// Company is a row of companies.csv.
type Company struct {
	ID, Name   string
	NoMailings bool
	Line       int // in the file, the header's is 1
}

// Contact is a row of contacts.csv.
type Contact struct {
	ID string
	// Email is the address as it was written, whether or not it can be
	// mailed. One of more than 320 characters is cut, and ends in " …".
	Email               string
	FirstName, LastName string
	CompanyID           string // blank: none
	Language            string // as it was written; blank: none
	NoMailings, Left    bool
	Interests           []string
	TimeZone            string // of the IANA list; blank: unknown
	Emarketing          string // a legal basis as it was written, in lower case; blank: none is known
	Line                int
}

// Mailing is a row of mailings.csv: one mail of the legacy system to one contact.
type Mailing struct {
	ContactID, Mailing string
	// SentAt is in UTC. It is zero only where nothing was really sent.
	SentAt time.Time
	// Status is sent, opened, clicked, bounced, test, draft, duplicate or blocked.
	Status string
	Line   int
}

// Real reports whether the mail really went out to the contact: it was sent,
// opened, clicked or bounced, and is not a test, draft, duplicate or blocked row.
func (m Mailing) Real() bool { return isReal(m.Status) }

func isReal(status string) bool {
	switch status {
	case "sent", "opened", "clicked", "bounced":
		return true
	}
	return false
}

// Interest is a row of interests.csv: the subscription type that an interest
// becomes. A blank type means that it becomes none.
type Interest struct {
	Interest, SubscriptionType string
	Line                       int
}

// format says what one file of an export is called and which columns it has.
// Whatever decides who may be mailed is required: a missing no_mailings column
// must not read as "nobody ever said no".
type format struct {
	file               string
	required, optional []string
	extra              []string // not missed when they are not there
	absent             string   // what it means that the file is not there
}

func contactsFormat() format {
	return format{
		file:     "contacts.csv",
		required: []string{"id", "email", "company_id", "no_mailings", "left"},
		optional: []string{"first_name", "last_name", "language", "interests"},
		extra:    []string{"emarketing", "time_zone"},
	}
}

func companiesFormat() format {
	return format{
		file:     "companies.csv",
		required: []string{"id", "no_mailings"},
		optional: []string{"name"},
		absent:   "no companies, and no company's No mailings flag, are known",
	}
}

func mailingsFormat() format {
	return format{
		file:     "mailings.csv",
		required: []string{"contact_id", "mailing", "sent_at", "status"},
		absent:   "every contact counts as never mailed",
	}
}

func interestsFormat() format {
	return format{
		file:     "interests.csv",
		required: []string{"interest", "subscription_type"},
		absent:   "no interest becomes a subscription type",
	}
}

// Export is a folder with the files of a legacy export.
type Export struct {
	dir     string
	present map[string]bool
	notes   []string
}

// Open checks the headers of the export in dir. It is an error, which names
// the file and the mend, when contacts.csv is missing, or when any file that is
// there is not UTF-8 text or lacks a required column.
func Open(dir string) (*Export, error) {
	if info, err := os.Stat(dir); err != nil {
		return nil, fmt.Errorf("open legacy export: %w", err)
	} else if !info.IsDir() {
		return nil, fmt.Errorf("open legacy export: %s is not a folder; name the folder that contacts.csv is in", dir)
	}
	e := &Export{dir: dir, present: make(map[string]bool)}
	for _, f := range []format{contactsFormat(), companiesFormat(), mailingsFormat(), interestsFormat()} {
		r, err := openTable(dir, f)
		if errors.Is(err, fs.ErrNotExist) {
			if f.absent == "" {
				return nil, fmt.Errorf("open legacy export: %s has no %s; put the export's contacts there: %w", dir, f.file, fs.ErrNotExist)
			}
			e.notes = append(e.notes, fmt.Sprintf("%s is not there: %s", f.file, f.absent))
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("open legacy export: %w", err)
		}
		e.present[f.file] = true
		e.notes = append(e.notes, r.notes...)
		r.close()
	}
	return e, nil
}

// Notes says what was missing or ignored when the export was opened: absent
// files, absent optional columns, unknown columns.
func (e *Export) Notes() []string { return e.notes }

// Contacts streams contacts.csv in the file's order. The error beside each
// value is nil, a *Refusal, or, as the last item, what made the file unreadable.
// With a Refusal that is Kept the contact is good, and its address is not.
//
// An iteration keeps a 64-bit hash of each id and otherwise one row at a time.
// Each call reads the file anew.
func (e *Export) Contacts() iter.Seq2[Contact, error] {
	return read(e, contactsFormat(), func(r *row) Contact {
		c := Contact{
			ID:         r.key("id"),
			FirstName:  r.text("first_name", maxName),
			LastName:   r.text("last_name", maxName),
			CompanyID:  r.text("company_id", maxID),
			NoMailings: r.flag("no_mailings"),
			Left:       r.flag("left"),
			Language:   r.text("language", maxWord),
			TimeZone:   r.zone("time_zone"),
			Interests:  r.list("interests"),
			Emarketing: strings.ToLower(r.text("emarketing", maxName)),
			Line:       r.line,
		}
		// Last, so that a reason to refuse the row is found before one to keep it.
		c.Email = r.address("email")
		return c
	})
}

// Companies streams companies.csv; see Contacts.
func (e *Export) Companies() iter.Seq2[Company, error] {
	return read(e, companiesFormat(), func(r *row) Company {
		return Company{
			ID:         r.key("id"),
			Name:       r.text("name", maxName),
			NoMailings: r.flag("no_mailings"),
			Line:       r.line,
		}
	})
}

// Mailings streams mailings.csv, which may hold any number of rows for one
// contact; see Contacts.
func (e *Export) Mailings() iter.Seq2[Mailing, error] {
	return read(e, mailingsFormat(), func(r *row) Mailing {
		m := Mailing{
			ContactID: r.required("contact_id", maxID),
			Mailing:   r.text("mailing", maxName),
			Status:    r.status("status"),
			Line:      r.line,
		}
		m.SentAt = r.time("sent_at", isReal(m.Status))
		return m
	})
}

// Interests streams interests.csv. One interest may become several types; the
// same pair twice is refused. See Contacts.
func (e *Export) Interests() iter.Seq2[Interest, error] {
	return read(e, interestsFormat(), func(r *row) Interest {
		i := Interest{
			Interest:         r.required("interest", maxName),
			SubscriptionType: r.text("subscription_type", maxName),
			Line:             r.line,
		}
		r.unique("interest", i.Interest+"\x00"+i.SubscriptionType)
		return i
	})
}

// read opens the file and yields parse's value, or the refusal, for each row.
func read[T any](e *Export, f format, parse func(*row) T) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		var none T
		if !e.present[f.file] {
			return
		}
		t, err := openTable(e.dir, f)
		if err != nil {
			yield(none, err)
			return
		}
		defer t.close()
		for {
			r, err := t.next()
			if err != nil {
				yield(none, err)
				return
			}
			if r == nil {
				return
			}
			value := none
			if r.refusal == nil {
				value = parse(r)
			}
			refusal := t.settle(r)
			switch {
			case refusal == nil:
				err = nil
			case refusal.Kept:
				err = refusal
			default:
				value, err = none, refusal
			}
			if !yield(value, err) {
				return
			}
		}
	}
}

// mailable says what is wrong with an address, or "".
func mailable(email string) string {
	_, err := contact.ParseAddress(email)
	if err == nil || errors.Is(err, contact.ErrNoAddress) {
		return "" // no address is no defect of the row
	}
	return err.Error()
}
