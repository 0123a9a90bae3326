package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/jatak-mail/jatak/gating"
	"github.com/jatak-mail/jatak/internal/contact"
)

// Profile returns what a contact may see and change on the manage page. It
// returns contact.ErrNotFound for a contact that is not, or no longer, there.
func (db *DB) Profile(ctx context.Context, id contact.ID) (contact.Profile, error) {
	p := contact.Profile{Contact: id}
	var address *string
	var expires *time.Time
	err := db.pool.QueryRow(ctx, `
		SELECT c.address, coalesce(nullif(c.page_language, ''), c.language), coalesce((SELECT b.counts_as FROM legal_basis b WHERE b.key = e.basis), e.basis, ''), coalesce(e.event_id, 0), e.expires_at, coalesce(e.source, '')
		FROM contact c LEFT JOIN consent e ON e.contact_id = c.id AND e.purpose = $2
		WHERE c.id = $1 AND c.deleted_at IS NULL`, id, gating.PurposeEmarketing).
		Scan(&address, &p.Language, &p.Emarketing.Basis, &p.Emarketing.Event, &expires, &p.EmarketingSource)
	if errors.Is(err, pgx.ErrNoRows) || err == nil && address == nil {
		return contact.Profile{}, contact.ErrNotFound
	}
	if err != nil {
		return contact.Profile{}, fmt.Errorf("read profile: %w", err)
	}
	p.Address = contact.Address(*address)
	if expires != nil {
		p.Emarketing.Expires = *expires
	}

	p.Types, err = db.typeChoices(ctx, &id)
	if err != nil {
		return contact.Profile{}, fmt.Errorf("read profile: %w", err)
	}
	return p, nil
}

// TypesInUse returns the subscription types that are not retired.
func (db *DB) TypesInUse(ctx context.Context) ([]contact.TypeChoice, error) {
	list, err := db.typeChoices(ctx, nil)
	if err != nil {
		return nil, fmt.Errorf("read subscription types: %w", err)
	}
	return list, nil
}

// typeChoices returns the types in use with a contact's preferences.
func (db *DB) typeChoices(ctx context.Context, id *contact.ID) ([]contact.TypeChoice, error) {
	rows, err := db.pool.Query(ctx, `
		SELECT t.id, coalesce(p.choice, ''),
			(SELECT coalesce(jsonb_object_agg(n.language, n.name), '{}') FROM subscription_type_name n WHERE n.type_id = t.id)
		FROM subscription_type t LEFT JOIN preference p ON p.type_id = t.id AND p.contact_id = $1
		WHERE t.retired_at IS NULL ORDER BY t.position, t.id`, id)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (t contact.TypeChoice, err error) {
		err = row.Scan(&t.ID, &t.Preference, &t.Names)
		return t, err
	})
}

// Choose keeps what a contact asked for: the events and the new state in one
// transaction. It reports whether anything changed; a request that changes
// nothing writes nothing. Requests for one contact wait for each other.
func (db *DB) Choose(ctx context.Context, c contact.Choices) (changed bool, err error) {
	err = db.inTx(ctx, func(tx pgx.Tx) error {
		changed = false
		var id contact.ID
		err := tx.QueryRow(ctx, `
			SELECT id FROM contact WHERE id = $1 AND deleted_at IS NULL FOR NO KEY UPDATE`, c.Contact).Scan(&id)
		if errors.Is(err, pgx.ErrNoRows) {
			return contact.ErrNotFound
		}
		if err != nil {
			return err
		}
		if c.Emarketing != nil {
			switched, err := switchEmarketing(ctx, tx, c)
			if err != nil {
				return err
			}
			changed = switched
			if err := tellWithdrawal(ctx, tx, c, switched); err != nil {
				return err
			}
		}
		if c.Source == gating.SourceManagePage {
			// The language that the page was in is one the contact reads.
			_, err := tx.Exec(ctx, `UPDATE contact SET page_language = $2 WHERE id = $1 AND page_language <> $2`, c.Contact, c.Locale)
			if err != nil {
				return err
			}
		}
		chose, err := chooseTypes(ctx, tx, c)
		changed = changed || chose
		return err
	})
	if err != nil {
		return false, fmt.Errorf("keep choices: %w", err)
	}
	return changed, nil
}

// tellWithdrawal asks for a mail that tells the contact of a withdrawal made on
// the page: mails get forwarded, and their links with them.
func tellWithdrawal(ctx context.Context, tx pgx.Tx, c contact.Choices, switched bool) error {
	if !switched || *c.Emarketing || c.Source != gating.SourceManagePage {
		return nil
	}
	if limited, err := noticeLimit(ctx, tx, c.Contact, contact.NoticeWithdrawn, c.At); err != nil || limited {
		return err
	}
	return queueNotice(ctx, tx, c.Contact, contact.NoticeWithdrawn, nil, c.Locale, c.At)
}

func switchEmarketing(ctx context.Context, tx pgx.Tx, c contact.Choices) (bool, error) {
	var current gating.Consent
	var source gating.Source
	err := tx.QueryRow(ctx, `
		SELECT coalesce((SELECT b.counts_as FROM legal_basis b WHERE b.key = basis), basis), event_id, source FROM consent WHERE contact_id = $1 AND purpose = $2`,
		c.Contact, gating.PurposeEmarketing).Scan(&current.Basis, &current.Event, &source)
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return false, err
	}
	next, changed, err := contact.NextBasis(current, source, c.Source, *c.Emarketing)
	if err != nil || !changed {
		return false, err
	}
	_, err = tx.Exec(ctx, recordEvents(`
			SELECT $1::bigint, $2::text, $3::text, NULL::timestamptz, $4::text, $5::text, $6::text, $7::text,
				nullif($8::bigint, 0), '', $9::timestamptz`),
		c.Contact, gating.PurposeEmarketing, next, c.Source, contact.ActorContact, c.Wording, c.Locale, c.Campaign, c.At)
	return err == nil, err
}

// chooseTypes keeps the preferences that differ from what is on file.
func chooseTypes(ctx context.Context, tx pgx.Tx, c contact.Choices) (bool, error) {
	if len(c.Types) == 0 {
		return false, nil
	}
	var types []int64
	var choices []string
	for id, choice := range c.Types {
		if choice != gating.PreferenceIn && choice != gating.PreferenceOut {
			return false, fmt.Errorf("preference %q is neither in nor out", choice)
		}
		types = append(types, int64(id))
		choices = append(choices, string(choice))
	}
	tag, err := tx.Exec(ctx, `
		WITH wanted AS (
			SELECT w.type_id, w.choice, p.choice AS before
			FROM unnest($2::bigint[], $3::text[]) AS w(type_id, choice)
			JOIN subscription_type t ON t.id = w.type_id
			LEFT JOIN preference p ON p.contact_id = $1 AND p.type_id = w.type_id
			WHERE p.choice IS DISTINCT FROM w.choice
		), words AS (
			INSERT INTO wording (hash, text)
			SELECT DISTINCT sha256(convert_to($7, 'UTF8')), $7 FROM wanted WHERE $7 <> '' ON CONFLICT DO NOTHING
		), kept AS (
			INSERT INTO preference (contact_id, type_id, choice, changed_at)
			SELECT $1, type_id, choice, $4 FROM wanted
			ON CONFLICT (contact_id, type_id) DO UPDATE SET choice = excluded.choice, changed_at = excluded.changed_at
		)
		INSERT INTO preference_event (contact_id, type_id, from_choice, to_choice, source, actor, wording, locale, campaign_id, at)
		SELECT $1, type_id, coalesce(before, ''), choice, $5, $6, CASE WHEN $7::text <> '' THEN sha256(convert_to($7, 'UTF8')) END,
			$8, nullif($9::bigint, 0), $4 FROM wanted`,
		c.Contact, types, choices, c.At, c.Source, contact.ActorContact, c.Wording, c.Locale, c.Campaign)
	if err != nil {
		return false, err
	}
	if tag.RowsAffected() == 0 {
		return false, nil
	}
	_, err = tx.Exec(ctx, `UPDATE contact SET chosen_at = $2 WHERE id = $1`, c.Contact, c.At)
	return true, err
}

// SenderName returns whose mail a campaign was, or "" for one that is gone.
func (db *DB) SenderName(ctx context.Context, campaign int64) (name string, err error) {
	err = db.pool.QueryRow(ctx, `SELECT coalesce(content->>'from_name', '') FROM campaign WHERE id = $1`, campaign).Scan(&name)
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return "", fmt.Errorf("read sender name: %w", err)
	}
	return name, nil
}
