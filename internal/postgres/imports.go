package postgres

import (
	"context"
	"fmt"
	"iter"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/jatak-mail/jatak/internal/contact"
)

// Import takes a legacy export in one transaction: all of it, or, when
// anything fails, nothing. It adds and updates, and never deletes. Call its
// methods in the order in which they stand here.
type Import struct {
	tx pgx.Tx
}

// Import runs f in one transaction and keeps what it took if f returns nil.
func (db *DB) Import(ctx context.Context, f func(*Import) error) error {
	return db.inTx(ctx, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, stagingTables); err != nil {
			return fmt.Errorf("prepare import: %w", err)
		}
		if err := f(&Import{tx}); err != nil {
			return err
		}
		// Without statistics, what comes next is planned for empty tables. Not
		// consent: it may be empty now, and statistics that say so would have the
		// upgrade, which fills it, look through it row by row.
		_, err := tx.Exec(ctx, `ANALYZE contact, company`)
		return err
	})
}

const stagingTables = `
	CREATE TEMPORARY TABLE new_company (legacy_id text, name text, no_mailings boolean) ON COMMIT DROP;
	CREATE TEMPORARY TABLE new_contact (legacy_id text, email text, address text, address_digest bytea,
		first_name text, last_name text, company text, language text, time_zone text, no_mailings boolean, has_left boolean,
		interests text[], emarketing text, line integer) ON COMMIT DROP;
	CREATE TEMPORARY TABLE new_mailing (contact text, mailing text, sent_at timestamptz, status text, line integer) ON COMMIT DROP;`

// copyRows streams rows into a staging table.
func copyRows[T any](ctx context.Context, tx pgx.Tx, table string, columns []string, rows iter.Seq2[T, error], values func(T) []any) error {
	next, stop := iter.Pull2(rows)
	defer stop()
	_, err := tx.CopyFrom(ctx, pgx.Identifier{table}, columns, pgx.CopyFromFunc(func() ([]any, error) {
		row, err, ok := next()
		if !ok || err != nil {
			return nil, err
		}
		return values(row), nil
	}))
	return err
}

// Companies takes the companies.
func (im *Import) Companies(ctx context.Context, rows iter.Seq2[contact.LegacyCompany, error]) (n contact.Counts, err error) {
	err = copyRows(ctx, im.tx, "new_company", []string{"legacy_id", "name", "no_mailings"}, rows,
		func(c contact.LegacyCompany) []any { return []any{c.ID, c.Name, c.NoMailings} })
	if err != nil {
		return n, fmt.Errorf("import companies: %w", err)
	}
	err = im.tx.QueryRow(ctx, `
		WITH kept AS (
			INSERT INTO company AS c (legacy_id, name, no_mailings)
			SELECT legacy_id, name, no_mailings FROM new_company
			ON CONFLICT (legacy_id) DO UPDATE SET name = excluded.name, no_mailings = excluded.no_mailings
			WHERE (c.name, c.no_mailings) IS DISTINCT FROM (excluded.name, excluded.no_mailings)
			RETURNING xmax = 0 AS added)
		SELECT count(*) FILTER (WHERE added), count(*) FILTER (WHERE NOT added),
			(SELECT count(*) FROM new_company) - count(*) FROM kept`).Scan(&n.Added, &n.Changed, &n.Unchanged)
	if err != nil {
		return n, fmt.Errorf("import companies: %w", err)
	}
	return n, nil
}

// Contacts takes the contacts, except those of a company that is not there:
// whether such a person may be mailed cannot be told. A contact that is there
// already is updated. A "no mailings" flag that is new since the upgrade
// holds at once and makes the contact one to upgrade again; a flag that is
// gone changes nothing, because an import cannot raise a consent.
func (im *Import) Contacts(ctx context.Context, rows iter.Seq2[contact.LegacyContact, error], object func(contact.Objection)) (n contact.Counts, err error) {
	err = copyRows(ctx, im.tx, "new_contact", []string{"legacy_id", "email", "address", "address_digest", "first_name",
		"last_name", "company", "language", "time_zone", "no_mailings", "has_left", "interests", "emarketing", "line"}, rows,
		func(c contact.LegacyContact) []any {
			var address *string
			if c.Address != "" {
				address = (*string)(&c.Address)
			}
			return []any{c.ID, c.Email, address, c.Digest, c.FirstName, c.LastName, c.CompanyID, c.Language, c.TimeZone,
				c.NoMailings, c.Left, c.Interests, c.Emarketing, c.Line}
		})
	if err != nil {
		return n, fmt.Errorf("import contacts: %w", err)
	}
	err = im.object(ctx, object, `
		DELETE FROM new_contact n WHERE company <> '' AND NOT EXISTS (SELECT FROM company c WHERE c.legacy_id = n.company)
		RETURNING line, 'unknown', company`)
	if err == nil {
		err = im.object(ctx, object, `
			DELETE FROM new_contact n USING suppression s WHERE s.address_digest = n.address_digest AND s.reason = 'erased'
			RETURNING n.line, 'erased', ''`)
	}
	if err != nil {
		return n, fmt.Errorf("import contacts: %w", err)
	}
	err = im.tx.QueryRow(ctx, `
		WITH kept AS (
			INSERT INTO contact AS c (legacy_id, email, address, address_digest, first_name, last_name, company_id,
				language, time_zone, no_mailings, has_left)
			SELECT n.legacy_id, n.email, n.address, n.address_digest, n.first_name, n.last_name, co.id,
				n.language, n.time_zone, n.no_mailings, n.has_left
			FROM new_contact n LEFT JOIN company co ON co.legacy_id = n.company AND n.company <> ''
			ON CONFLICT (legacy_id) DO UPDATE SET
				email = excluded.email, address = excluded.address, address_digest = excluded.address_digest,
				first_name = excluded.first_name, last_name = excluded.last_name, company_id = excluded.company_id,
				language = excluded.language, time_zone = excluded.time_zone, has_left = excluded.has_left,
				bounces = CASE WHEN c.address = excluded.address THEN c.bounces ELSE 0 END,
				no_mailings = c.no_mailings OR excluded.no_mailings,
				upgraded_at = CASE WHEN excluded.no_mailings AND NOT c.no_mailings THEN NULL ELSE c.upgraded_at END
			WHERE c.deleted_at IS NULL AND
				(c.email, c.first_name, c.last_name, c.company_id, c.language, c.time_zone, c.has_left, c.address_digest,
					c.no_mailings OR NOT excluded.no_mailings)
				IS DISTINCT FROM (excluded.email, excluded.first_name, excluded.last_name, excluded.company_id,
					excluded.language, excluded.time_zone, excluded.has_left, excluded.address_digest, true)
			RETURNING xmax = 0 AS added)
		SELECT count(*) FILTER (WHERE added), count(*) FILTER (WHERE NOT added),
			(SELECT count(*) FROM new_contact) - count(*) FROM kept`).Scan(&n.Added, &n.Changed, &n.Unchanged)
	if err != nil {
		return n, fmt.Errorf("import contacts: %w", err)
	}
	_, err = im.tx.Exec(ctx, `
		INSERT INTO legacy_interest (contact_id, interest)
		SELECT DISTINCT c.id, i FROM new_contact n JOIN contact c ON c.legacy_id = n.legacy_id, unnest(n.interests) AS i
		ON CONFLICT DO NOTHING`)
	if err != nil {
		return n, fmt.Errorf("import contacts: %w", err)
	}
	return n, nil
}

// Consents takes the E-marketing bases that the contacts' rows state: for who
// was never asked, and withdrawals. A row that states more than the ledger holds
// is objected to: an import cannot raise a consent.
func (im *Import) Consents(ctx context.Context, actor string, now time.Time, object func(contact.Objection)) (taken int64, err error) {
	_, err = im.tx.Exec(ctx, `
		CREATE TEMPORARY TABLE stated ON COMMIT DROP AS
		SELECT c.id, n.line, n.emarketing, coalesce(e.basis, '') AS basis, CASE
			WHEN NOT EXISTS (SELECT FROM legal_basis b WHERE b.key = n.emarketing AND b.retired_at IS NULL) THEN 'basis'
			WHEN n.emarketing IN ('withdrawn', coalesce(e.basis, '')) THEN ''
			WHEN n.no_mailings OR c.no_mailings AND c.upgraded_at IS NULL THEN 'no'
			WHEN coalesce(e.basis, '') <> '' THEN 'raise' ELSE '' END AS objection
		FROM new_contact n JOIN contact c ON c.legacy_id = n.legacy_id
		LEFT JOIN consent e ON e.contact_id = c.id AND e.purpose = 'emarketing'
		WHERE n.emarketing <> '' AND c.deleted_at IS NULL FOR NO KEY UPDATE OF c`)
	if err == nil {
		err = im.object(ctx, object, `
			SELECT line, objection, CASE objection WHEN 'basis' THEN emarketing ELSE basis END FROM stated WHERE objection <> '' ORDER BY line`)
	}
	if err != nil {
		return 0, fmt.Errorf("import consents: %w", err)
	}
	tag, err := im.tx.Exec(ctx, recordEvents(`
			SELECT id, 'emarketing', emarketing, NULL::timestamptz, 'import', $1::text, '', '', NULL::bigint, '', $2::timestamptz
			FROM stated WHERE objection = '' AND emarketing <> basis`), actor, now)
	if err == nil && tag.RowsAffected() > 0 {
		_, err = im.tx.Exec(ctx, `ANALYZE consent`)
	}
	if err != nil {
		return 0, fmt.Errorf("import consents: %w", err)
	}
	return tag.RowsAffected(), nil
}

// Mailings takes the mailing history, except rows of contacts that are not there.
func (im *Import) Mailings(ctx context.Context, rows iter.Seq2[contact.LegacyMailing, error], object func(contact.Objection)) (n contact.Counts, err error) {
	err = copyRows(ctx, im.tx, "new_mailing", []string{"contact", "mailing", "sent_at", "status", "line"}, rows,
		func(m contact.LegacyMailing) []any {
			return []any{m.ContactID, m.Mailing, m.SentAt, m.Status, m.Line}
		})
	if err != nil {
		return n, fmt.Errorf("import mailings: %w", err)
	}
	err = im.object(ctx, object, `
		DELETE FROM new_mailing n WHERE NOT EXISTS (SELECT FROM contact c WHERE c.legacy_id = n.contact)
		RETURNING line, 'unknown', contact`)
	if err != nil {
		return n, fmt.Errorf("import mailings: %w", err)
	}
	err = im.tx.QueryRow(ctx, `
		WITH kept AS (
			INSERT INTO legacy_mailing (contact_id, mailing, sent_at, status)
			SELECT c.id, n.mailing, n.sent_at, n.status FROM new_mailing n JOIN contact c ON c.legacy_id = n.contact
			ON CONFLICT DO NOTHING RETURNING 1)
		SELECT count(*), (SELECT count(*) FROM new_mailing) - count(*) FROM kept`).Scan(&n.Added, &n.Unchanged)
	if err != nil {
		return n, fmt.Errorf("import mailings: %w", err)
	}
	return n, nil
}

// InterestMappings takes which subscription type each interest becomes.
func (im *Import) InterestMappings(ctx context.Context, rows iter.Seq2[contact.InterestMapping, error]) (n contact.Counts, err error) {
	for m, err := range rows {
		if err != nil {
			return n, fmt.Errorf("import interests: %w", err)
		}
		tag, err := im.tx.Exec(ctx, `
			INSERT INTO interest_mapping (interest, subscription_type) VALUES ($1, $2) ON CONFLICT DO NOTHING`,
			m.Interest, m.SubscriptionType)
		if err != nil {
			return n, fmt.Errorf("import interests: %w", err)
		}
		n.Added += tag.RowsAffected()
		n.Unchanged += 1 - tag.RowsAffected()
	}
	return n, nil
}

// object runs a statement that finds or drops staged rows and tells of each.
func (im *Import) object(ctx context.Context, object func(contact.Objection), statement string) error {
	rows, err := im.tx.Query(ctx, statement)
	if err != nil {
		return err
	}
	var o contact.Objection
	_, err = pgx.ForEachRow(rows, []any{&o.Line, &o.Why, &o.Name}, func() error {
		object(o)
		return nil
	})
	return err
}
