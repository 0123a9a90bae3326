package upgrade

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strings"
	"time"

	"github.com/jatak-mail/jatak/internal/contact"
	"github.com/jatak-mail/jatak/internal/legacycsv"
)

// Importer takes the rows of a legacy export within one transaction. It is
// told whom to tell of rows that it cannot take, or not all of.
type Importer interface {
	Companies(context.Context, iter.Seq2[contact.LegacyCompany, error]) (contact.Counts, error)
	Contacts(context.Context, iter.Seq2[contact.LegacyContact, error], func(contact.Objection)) (contact.Counts, error)
	Consents(ctx context.Context, actor string, now time.Time, object func(contact.Objection)) (int64, error)
	Mailings(context.Context, iter.Seq2[contact.LegacyMailing, error], func(contact.Objection)) (contact.Counts, error)
	InterestMappings(context.Context, iter.Seq2[contact.InterestMapping, error]) (contact.Counts, error)
}

// ImportOptions say who imports, and what becomes of what is not taken.
type ImportOptions struct {
	Actor  string
	Now    time.Time
	Digest func(contact.Address) []byte // the keyed hash by which suppressions are found
	// Refuse is handed each row that is not taken, with the reason, and each
	// that is taken with a warning. The others are taken.
	Refuse func(*legacycsv.Refusal) error
}

// Import reads an export into the store. An error means that nothing at all
// was taken.
func Import(ctx context.Context, to Importer, export *legacycsv.Export, o ImportOptions) (n contact.Imported, err error) {
	n.Companies, err = to.Companies(ctx, taken(export.Companies(), o.Refuse, func(c legacycsv.Company) (contact.LegacyCompany, bool) {
		return contact.LegacyCompany(c), true
	}))
	if err != nil {
		return n, err
	}
	contacts := objections{file: "contacts.csv", column: "company_id", noun: "company", refuse: o.Refuse}
	n.Contacts, err = to.Contacts(ctx, taken(export.Contacts(), o.Refuse, func(c legacycsv.Contact) (contact.LegacyContact, bool) {
		return legacyContact(c, o.Digest), true
	}), contacts.add)
	if err == nil {
		n.Consents, err = to.Consents(ctx, o.Actor, o.Now, contacts.add)
	}
	if err = errors.Join(err, contacts.err); err != nil {
		return n, err
	}
	mailings := objections{file: "mailings.csv", column: "contact_id", noun: "contact", refuse: o.Refuse}
	n.Mailings, err = to.Mailings(ctx, taken(export.Mailings(), o.Refuse, func(m legacycsv.Mailing) (contact.LegacyMailing, bool) {
		return contact.LegacyMailing(m), true
	}), mailings.add)
	if err = errors.Join(err, mailings.err); err != nil {
		return n, err
	}
	n.Interests, err = to.InterestMappings(ctx, taken(export.Interests(), o.Refuse, func(i legacycsv.Interest) (contact.InterestMapping, bool) {
		return contact.InterestMapping(i), i.SubscriptionType != ""
	}))
	return n, err
}

func legacyContact(c legacycsv.Contact, digest func(contact.Address) []byte) contact.LegacyContact {
	to := contact.LegacyContact{
		ID: c.ID, Email: c.Email, FirstName: c.FirstName, LastName: c.LastName, CompanyID: c.CompanyID,
		Language: strings.ToLower(strings.TrimSpace(c.Language)), NoMailings: c.NoMailings, Left: c.Left,
		TimeZone: c.TimeZone, Interests: c.Interests, Emarketing: c.Emarketing, Line: c.Line,
	}
	if address, err := contact.ParseAddress(c.Email); err == nil {
		to.Address, to.Digest = address, digest(address)
	}
	return to
}

// taken yields the rows that are taken, as the importer wants them.
func taken[From, To any](rows iter.Seq2[From, error], refuse func(*legacycsv.Refusal) error, convert func(From) (To, bool)) iter.Seq2[To, error] {
	return func(yield func(To, error) bool) {
		for row, err := range rows {
			var refusal *legacycsv.Refusal
			if errors.As(err, &refusal) {
				err = refuse(refusal)
				if err == nil && !refusal.Kept {
					continue
				}
			}
			to, wanted := convert(row)
			if err == nil && !wanted {
				continue
			}
			if !yield(to, err) || err != nil {
				return
			}
		}
	}
}

// objections turns what the store objects to into refusals.
type objections struct {
	file, column, noun string // of rows that name what is not there
	refuse             func(*legacycsv.Refusal) error
	err                error
}

func (o *objections) add(from contact.Objection) {
	r := &legacycsv.Refusal{File: o.file, Line: from.Line, Column: "emarketing", Kept: true}
	switch from.Why {
	case contact.ObjectUnknown:
		r.Column, r.Kept = o.column, false
		r.Reason = fmt.Sprintf("There is no %s %q that could be taken; add it to the export, or mend its own row.", o.noun, from.Name)
	case contact.ObjectErased:
		r.Column, r.Kept = "email", false
		r.Reason = "This person was erased, and stays so; take the row out of the export."
	case contact.ObjectBasis:
		r.Reason = fmt.Sprintf("The basis %q is not in use; the contact is taken without it. jatak term list legal_basis lists those that are.", from.Name)
	case contact.ObjectRaise:
		r.Reason = fmt.Sprintf("The ledger holds %q, and an import cannot raise a consent; the rest of the row is taken.", from.Name)
	case contact.ObjectNo:
		r.Reason = "The row states a consent and \"No mailings\", and no wins; the rest of the row is taken."
	}
	o.err = errors.Join(o.err, o.refuse(r))
}
