package postgres

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/jatak-mail/jatak/gating"
	"github.com/jatak-mail/jatak/internal/campaign"
	"github.com/jatak-mail/jatak/internal/contact"
	"github.com/jatak-mail/jatak/internal/staff"
)

// FindContacts returns who has the address, in the order of their ids.
func (db *DB) FindContacts(ctx context.Context, address contact.Address) ([]contact.ID, error) {
	rows, err := db.pool.Query(ctx, `
		SELECT id FROM contact WHERE address = $1 AND deleted_at IS NULL ORDER BY id`, address)
	if err != nil {
		return nil, fmt.Errorf("find contacts: %w", err)
	}
	ids, err := pgx.CollectRows(rows, pgx.RowTo[contact.ID])
	if err != nil {
		return nil, fmt.Errorf("find contacts: %w", err)
	}
	return ids, nil
}

// People streams contacts by their ids, in that order.
func (db *DB) People(ctx context.Context, ids []contact.ID) iter.Seq2[contact.Contact, error] {
	return stream(ctx, db, "read contacts", func(rows pgx.Rows) (c contact.Contact, err error) {
		return c, rows.Scan(&c.ID, &c.Email, &c.FirstName, &c.LastName, &c.Company, &c.Language)
	}, `
		SELECT c.id, c.email, c.first_name, c.last_name, coalesce(co.name, ''), c.language
		FROM contact c LEFT JOIN company co ON co.id = c.company_id WHERE c.id = ANY($1) ORDER BY c.id`, ids)
}

// stream yields the rows of a query one by one; doing names it in errors.
func stream[T any](ctx context.Context, db *DB, doing string, scan func(pgx.Rows) (T, error), query string, args ...any) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		var none T
		rows, err := db.pool.Query(ctx, query, args...)
		if err != nil {
			yield(none, fmt.Errorf("%s: %w", doing, err))
			return
		}
		defer rows.Close()
		for rows.Next() {
			value, err := scan(rows)
			if err != nil {
				yield(none, fmt.Errorf("%s: %w", doing, err))
				return
			}
			if !yield(value, nil) {
				return
			}
		}
		if err := rows.Err(); err != nil {
			yield(none, fmt.Errorf("%s: %w", doing, err))
		}
	}
}

// Recipient returns a contact with the facts that the gate decides on.
func (db *DB) Recipient(ctx context.Context, id contact.ID, t gating.SubscriptionType) (r contact.Recipient, err error) {
	var s factScan
	err = db.pool.QueryRow(ctx, `
		SELECT `+personColumns+`,`+factColumns+` FROM contact c`+factJoins+` WHERE c.id = $2`, typeParameter(t), id).
		Scan(append([]any{&r.ID, &r.Address, &r.Email, &r.FirstName, &r.LastName, &r.Company, &r.Language}, s.targets()...)...)
	if errors.Is(err, pgx.ErrNoRows) {
		return r, contact.ErrNotFound
	}
	if err != nil {
		return r, fmt.Errorf("read contact %d: %w", id, err)
	}
	r.Facts = s.result()
	return r, nil
}

// Delivery returns what a campaign made of a contact: the stored verdict. ok is
// false when the contact is not of its audience.
func (db *DB) Delivery(ctx context.Context, campaignID campaign.ID, id contact.ID) (d contact.DossierMail, ok bool, err error) {
	rows, err := db.pool.Query(ctx, `
		SELECT `+mailColumns+` WHERE d.contact_id = $1 AND d.campaign_id = $2`, id, campaignID)
	if err != nil {
		return d, false, fmt.Errorf("read a delivery: %w", err)
	}
	d, err = pgx.CollectExactlyOneRow(rows, scanMail)
	if errors.Is(err, pgx.ErrNoRows) {
		return d, false, nil
	}
	if err != nil {
		return d, false, fmt.Errorf("read a delivery: %w", err)
	}
	return d, true, nil
}

const mailColumns = `d.campaign_id, k.name, d.state, d.reason, coalesce(d.event_id, 0), coalesce(d.lifted, '{}'), d.policy_version,
	d.changed_at, coalesce(nullif(concat_ws(' ', d.code::text, d.enhanced, d.reply), ''), '')
	FROM delivery d JOIN campaign k ON k.id = d.campaign_id`

func scanMail(row pgx.CollectableRow) (m contact.DossierMail, err error) {
	err = row.Scan(&m.Campaign, &m.Name, &m.State, &m.Reason, &m.Event, &m.Lifted, &m.PolicyVersion, &m.At, &m.Reply)
	return m, err
}

// Dossier returns all that is kept about a contact, and writes in the audit log
// that it was asked for.
func (db *DB) Dossier(ctx context.Context, id contact.ID, look staff.Entry) (d contact.Dossier, err error) {
	d.Exported = look.At
	var digest []byte
	err = db.pool.QueryRow(ctx, `
		SELECT c.id, coalesce(c.legacy_id, ''), c.email, c.first_name, c.last_name, coalesce(co.name, ''), c.language, c.time_zone, c.has_left,
			c.no_mailings, c.created_at, c.address_digest
		FROM contact c LEFT JOIN company co ON co.id = c.company_id WHERE c.id = $1 AND c.deleted_at IS NULL`, id).
		Scan(&d.Contact.ID, &d.Contact.LegacyID, &d.Contact.Email, &d.Contact.FirstName, &d.Contact.LastName, &d.Contact.Company,
			&d.Contact.Language, &d.Contact.TimeZone, &d.Contact.Left, &d.Contact.NoMailings, &d.Contact.OnFileSince, &digest)
	if errors.Is(err, pgx.ErrNoRows) {
		return d, contact.ErrNotFound
	}
	if err != nil {
		return d, fmt.Errorf("read contact %d: %w", id, err)
	}
	events, err := db.Events(ctx, id)
	if err != nil {
		return d, err
	}
	for _, e := range events {
		d.ConsentEvents = append(d.ConsentEvents, contact.DossierEvent{ID: e.ID, At: e.At, Purpose: e.Purpose, From: e.From, To: e.To,
			Source: e.Source, Actor: e.Actor, Address: e.Address, Wording: e.Wording, Locale: e.Locale, Campaign: e.Campaign, Comment: e.Comment})
	}
	err = errors.Join(
		collect(ctx, db, &d.Consents, func(row pgx.CollectableRow) (c contact.DossierConsent, err error) {
			return c, row.Scan(&c.Purpose, &c.Basis, &c.Source, &c.Since, &c.Expires)
		}, `SELECT purpose, basis, source, since, expires_at FROM consent WHERE contact_id = $1 ORDER BY purpose`, id),
		collect(ctx, db, &d.Subscriptions, func(row pgx.CollectableRow) (t contact.DossierType, err error) {
			return t, row.Scan(&t.Name, &t.Preference)
		}, `SELECT coalesce(n.name, t.key), coalesce(p.choice, '') FROM subscription_type t
			LEFT JOIN subscription_type_name n ON n.type_id = t.id AND n.language = 'en'
			LEFT JOIN preference p ON p.type_id = t.id AND p.contact_id = $1
			WHERE t.retired_at IS NULL OR p.choice IS NOT NULL ORDER BY t.position, t.id`, id),
		collect(ctx, db, &d.Choices, pgx.RowToStructByPos[contact.DossierChoice], `
			SELECT v.at, coalesce(n.name, t.key), v.from_choice, v.to_choice, v.source, v.actor, coalesce(m.comment, ''), t.key
			FROM preference_event v JOIN subscription_type t ON t.id = v.type_id
			LEFT JOIN subscription_type_name n ON n.type_id = t.id AND n.language = 'en'
			LEFT JOIN preference_comment m ON m.event_id = v.id WHERE v.contact_id = $1 ORDER BY v.id`, id),
		collect(ctx, db, &d.Mails, scanMail, `SELECT `+mailColumns+` WHERE d.contact_id = $1 ORDER BY d.campaign_id`, id),
		collect(ctx, db, &d.LegacyMails, func(row pgx.CollectableRow) (m contact.DossierLegacy, err error) {
			return m, row.Scan(&m.Mailing, &m.At, &m.Status)
		}, `SELECT mailing, sent_at, status FROM legacy_mailing WHERE contact_id = $1 ORDER BY sent_at`, id),
		collect(ctx, db, &d.SignUps, func(row pgx.CollectableRow) (s contact.DossierSignUp, err error) {
			return s, row.Scan(&s.Purpose, &s.At, &s.Confirmed, &s.Wording, &s.Locale)
		}, `SELECT s.purpose, s.requested_at, s.confirmed_at, w.text, s.locale FROM sign_up s JOIN wording w ON w.hash = s.wording
			WHERE s.contact_id = $1 ORDER BY s.id`, id),
		collect(ctx, db, &d.Notices, func(row pgx.CollectableRow) (n contact.DossierNotice, err error) {
			return n, row.Scan(&n.Kind, &n.At, &n.State)
		}, `SELECT kind, changed_at, state FROM notice WHERE contact_id = $1 ORDER BY id`, id),
		collect(ctx, db, &d.Suppressions, func(row pgx.CollectableRow) (s contact.DossierSuppressed, err error) {
			return s, row.Scan(&s.Scope, &s.Reason, &s.At)
		}, `SELECT scope, reason, at FROM suppression WHERE address_digest = $1 ORDER BY at`, digest),
	)
	if err != nil {
		return d, fmt.Errorf("read the data of contact %d: %w", id, err)
	}
	look.Contact = int64(id)
	return d, db.WriteAudit(ctx, look)
}

// collect reads rows into a list that is never null in JSON.
func collect[T any](ctx context.Context, db *DB, to *[]T, scan pgx.RowToFunc[T], query string, args ...any) error {
	rows, err := db.pool.Query(ctx, query, args...)
	if err != nil {
		return err
	}
	list, err := pgx.CollectRows(rows, scan)
	if err != nil {
		return err
	}
	*to = append([]T{}, list...)
	return nil
}

// Erase removes the personal data of a contact (GDPR article 17). What stays is
// the keyed hash of the address, by which it stays unmailed even when it is
// imported again, and the consent events, which then belong to nobody.
func (db *DB) Erase(ctx context.Context, id contact.ID, actor string, now time.Time) error {
	err := db.inTx(ctx, func(tx pgx.Tx) error {
		if err := holdAccounts(ctx, tx); err != nil {
			return err
		}
		var digest []byte
		err := tx.QueryRow(ctx, `
			SELECT address_digest FROM contact WHERE id = $1 AND deleted_at IS NULL FOR UPDATE`, id).Scan(&digest)
		if errors.Is(err, pgx.ErrNoRows) {
			return contact.ErrNotFound
		}
		if err != nil {
			return err
		}
		batch := &pgx.Batch{}
		batch.Queue(`DELETE FROM contact_import_refusal f USING contact c WHERE c.id = $1 AND c.address IS NOT NULL AND position(c.address IN lower(f.row)) > 0`, id)
		if digest != nil {
			batch.Queue(`INSERT INTO suppression (address_digest, scope, reason, at) VALUES ($1, 'all', 'erased', $2)
				ON CONFLICT DO NOTHING`, digest, now)
		}
		batch.Queue(`UPDATE contact SET legacy_id = NULL, email = '', address = NULL, address_digest = NULL, first_name = '',
			last_name = '', company_id = NULL, language = '', time_zone = '', salt = NULL, deleted_at = $2 WHERE id = $1`, id, now)
		for _, statement := range []string{
			`DELETE FROM known_address WHERE contact_id = $1`,
			`DELETE FROM consent_comment m USING consent_event v WHERE v.id = m.event_id AND v.contact_id = $1`,
			`DELETE FROM preference_comment m USING preference_event v WHERE v.id = m.event_id AND v.contact_id = $1`,
			`DELETE FROM legacy_mailing WHERE contact_id = $1`,
			`DELETE FROM legacy_interest WHERE contact_id = $1`,
			`DELETE FROM preference WHERE contact_id = $1`,
			`DELETE FROM notice WHERE contact_id = $1`,
			`DELETE FROM sign_up WHERE contact_id = $1`,
			`DELETE FROM test_mail WHERE contact_id = $1`,
			`UPDATE delivery SET reply = NULL, lane = 0 WHERE contact_id = $1`, // relays quote addresses
			`DELETE FROM campaign_account a USING delivery d WHERE d.contact_id = $1 AND a.campaign_id = d.campaign_id`,
		} {
			batch.Queue(statement, id)
		}
		batch.Queue(`INSERT INTO audit (actor, action, contact_id, at) VALUES ($1, 'contact erase', $2, $3)`, actor, id, now)
		return tx.SendBatch(ctx, batch).Close()
	})
	if err != nil {
		return fmt.Errorf("erase contact: %w", err)
	}
	return nil
}
