package upgrade

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strings"

	"github.com/jatak-mail/jatak/internal/contact"
	"github.com/jatak-mail/jatak/internal/legacycsv"
)

// Importer takes the rows of a legacy export within one transaction. An
// Unknown function is told of rows that name what is not there; they are not
// taken.
type Importer interface {
	Companies(context.Context, iter.Seq2[contact.LegacyCompany, error]) (contact.Counts, error)
	Contacts(context.Context, iter.Seq2[contact.LegacyContact, error], func(contact.Unknown)) (contact.Counts, error)
	Mailings(context.Context, iter.Seq2[contact.LegacyMailing, error], func(contact.Unknown)) (contact.Counts, error)
	InterestMappings(context.Context, iter.Seq2[contact.InterestMapping, error]) (contact.Counts, error)
}

// Digest returns the keyed hash of an address, by which suppressions are found.
type Digest func(contact.Address) []byte

// Import reads an export into the store. Rows that cannot be taken are handed
// to refuse, with the reason, and the others are taken; rows that are taken
// with a warning are handed to it as well. An error means that nothing at all
// was taken.
func Import(ctx context.Context, to Importer, export *legacycsv.Export, digest Digest, refuse func(*legacycsv.Refusal) error) (n contact.Imported, err error) {
	n.Companies, err = to.Companies(ctx, taken(export.Companies(), refuse, func(c legacycsv.Company) (contact.LegacyCompany, bool) {
		return contact.LegacyCompany(c), true
	}))
	if err != nil {
		return n, err
	}
	n.Contacts, err = withUnknown("contacts.csv", "company_id", "company", refuse, func(unknown func(contact.Unknown)) (contact.Counts, error) {
		return to.Contacts(ctx, taken(export.Contacts(), refuse, func(c legacycsv.Contact) (contact.LegacyContact, bool) {
			return legacyContact(c, digest), true
		}), unknown)
	})
	if err != nil {
		return n, err
	}
	n.Mailings, err = withUnknown("mailings.csv", "contact_id", "contact", refuse, func(unknown func(contact.Unknown)) (contact.Counts, error) {
		return to.Mailings(ctx, taken(export.Mailings(), refuse, func(m legacycsv.Mailing) (contact.LegacyMailing, bool) {
			return contact.LegacyMailing(m), true
		}), unknown)
	})
	if err != nil {
		return n, err
	}
	n.Interests, err = to.InterestMappings(ctx, taken(export.Interests(), refuse, func(i legacycsv.Interest) (contact.InterestMapping, bool) {
		return contact.InterestMapping(i), i.SubscriptionType != ""
	}))
	return n, err
}

func legacyContact(c legacycsv.Contact, digest Digest) contact.LegacyContact {
	to := contact.LegacyContact{
		ID: c.ID, Email: c.Email, FirstName: c.FirstName, LastName: c.LastName, CompanyID: c.CompanyID,
		Language: strings.ToLower(strings.TrimSpace(c.Language)), NoMailings: c.NoMailings, Left: c.Left,
		Interests: c.Interests, Line: c.Line,
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

// withUnknown turns the rows that name what is not there into refusals.
func withUnknown(file, column, noun string, refuse func(*legacycsv.Refusal) error, run func(func(contact.Unknown)) (contact.Counts, error)) (contact.Counts, error) {
	var refuseErr error
	n, err := run(func(u contact.Unknown) {
		r := &legacycsv.Refusal{File: file, Line: u.Line, Column: column,
			Reason: fmt.Sprintf("There is no %s %q that could be taken; add it to the export, or mend its own row.", noun, u.Name)}
		if u.Erased {
			r.Column, r.Reason = "email", "This person was erased, and stays so; take the row out of the export."
		}
		refuseErr = errors.Join(refuseErr, refuse(r))
	})
	return n, errors.Join(err, refuseErr)
}
