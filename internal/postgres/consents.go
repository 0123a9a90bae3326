package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/jatak-mail/jatak/gating"
	"github.com/jatak-mail/jatak/internal/contact"
)

// Profile returns what a contact may see and change on the manage page. It
// returns contact.ErrNotFound for a contact that is not, or no longer, there.
func (db *DB) Profile(ctx context.Context, id contact.ID) (contact.Profile, error) {
	p := contact.Profile{Contact: id}
	var address *string
	var expires *time.Time
	requests := &pgx.Batch{} // one round trip
	requests.Queue(`
		SELECT c.address, coalesce(nullif(c.page_language, ''), c.language), coalesce(b.counts_as, e.basis, ''),
			coalesce(e.event_id, 0), e.expires_at, coalesce(e.source, '')
		FROM contact c LEFT JOIN consent e ON e.contact_id = c.id AND e.purpose = $2 LEFT JOIN legal_basis b ON b.key = e.basis
		WHERE c.id = $1 AND c.deleted_at IS NULL AND c.address IS NOT NULL`, id, gating.PurposeEmarketing).QueryRow(func(row pgx.Row) error {
		return row.Scan(&address, &p.Language, &p.Emarketing.Basis, &p.Emarketing.Event, &expires, &p.EmarketingSource)
	})
	requests.Queue(typeChoices, id).Query(func(rows pgx.Rows) (err error) {
		p.Types, err = pgx.CollectRows(rows, scanTypeChoice)
		return err
	})
	err := db.pool.SendBatch(ctx, requests).Close()
	if errors.Is(err, pgx.ErrNoRows) {
		return contact.Profile{}, contact.ErrNotFound
	}
	if err != nil {
		return contact.Profile{}, fmt.Errorf("read profile: %w", err)
	}
	p.Address = contact.Address(*address)
	if expires != nil {
		p.Emarketing.Expires = *expires
	}
	return p, nil
}

// TypesInUse returns the subscription types that are not retired.
func (db *DB) TypesInUse(ctx context.Context) ([]contact.TypeChoice, error) {
	rows, err := db.pool.Query(ctx, typeChoices, nil)
	if err != nil {
		return nil, fmt.Errorf("read subscription types: %w", err)
	}
	list, err := pgx.CollectRows(rows, scanTypeChoice)
	if err != nil {
		return nil, fmt.Errorf("read subscription types: %w", err)
	}
	return list, nil
}

// TypeChoices returns the subscription types in use with a contact's choices.
func (db *DB) TypeChoices(ctx context.Context, id contact.ID) ([]contact.TypeChoice, error) {
	rows, err := db.pool.Query(ctx, typeChoices, id)
	if err != nil {
		return nil, fmt.Errorf("read subscription types: %w", err)
	}
	list, err := pgx.CollectRows(rows, scanTypeChoice)
	if err != nil {
		return nil, fmt.Errorf("read subscription types: %w", err)
	}
	return list, nil
}

// typeChoices selects the types in use with a contact's preferences.
const typeChoices = `
	SELECT t.id, coalesce(p.choice, ''),
		(SELECT coalesce(jsonb_object_agg(n.language, n.name), '{}') FROM subscription_type_name n WHERE n.type_id = t.id)
	FROM subscription_type t LEFT JOIN preference p ON p.type_id = t.id AND p.contact_id = $1
	WHERE t.retired_at IS NULL ORDER BY t.position, t.id`

func scanTypeChoice(row pgx.CollectableRow) (t contact.TypeChoice, err error) {
	err = row.Scan(&t.ID, &t.Preference, &t.Names)
	return t, err
}

// Choose keeps what a contact asked for: the events and the new state in one
// transaction of two round trips. It reports whether anything changed; a request
// that changes nothing writes no event. Requests for one contact wait for each
// other.
func (db *DB) Choose(ctx context.Context, c contact.Choices) (changed bool, err error) {
	var current gating.Consent
	var source gating.Source
	err = db.inTwoBatches(ctx, lockState(c.Contact, &current, &source), func(b *pgx.Batch) error {
		if c.Emarketing != nil {
			next, switched, err := contact.NextBasis(current, source, c.Source, *c.Emarketing)
			if err != nil {
				return err
			}
			if changed = switched; changed {
				queueSwitch(b, c, next)
			}
		}
		if c.Source == gating.SourceManagePage {
			// The language that the page was in is one the contact reads.
			b.Queue(`UPDATE contact SET page_language = $2 WHERE id = $1 AND page_language <> $2`, c.Contact, c.Locale)
		}
		return queueTypes(b, c, &changed)
	})
	if err != nil {
		return false, fmt.Errorf("keep choices: %w", err)
	}
	return changed, nil
}

// lockState holds the contact and reads its E-marketing state, after the lock
// is had, by a statement of its own.
func lockState(id contact.ID, current *gating.Consent, source *gating.Source) *pgx.Batch {
	b := &pgx.Batch{}
	b.Queue(`SELECT id FROM contact WHERE id = $1 AND deleted_at IS NULL FOR NO KEY UPDATE`, id).QueryRow(func(row pgx.Row) error {
		if err := row.Scan(&id); !errors.Is(err, pgx.ErrNoRows) {
			return err
		}
		return contact.ErrNotFound
	})
	b.Queue(`
		SELECT coalesce(b.counts_as, e.basis), e.event_id, e.source FROM consent e LEFT JOIN legal_basis b ON b.key = e.basis
		WHERE e.contact_id = $1 AND e.purpose = $2`, id, gating.PurposeEmarketing).QueryRow(func(row pgx.Row) error {
		if err := row.Scan(&current.Basis, &current.Event, source); !errors.Is(err, pgx.ErrNoRows) {
			return err
		}
		return nil
	})
	return b
}

func queueSwitch(b *pgx.Batch, c contact.Choices, next gating.LegalBasis) {
	b.Queue(recordEvents(`
			SELECT $1::bigint, $2::text, $3::text, NULL::timestamptz, $4::text, $5::text, $6::text, $7::text,
				nullif($8::bigint, 0), '', $9::timestamptz`),
		c.Contact, gating.PurposeEmarketing, next, c.Source, contact.ActorContact, c.Wording, c.Locale, c.Campaign, c.At)
	if !*c.Emarketing && c.Source == gating.SourceManagePage {
		// Mails get forwarded, and their links with them: the contact is told.
		queueNotice(b, c.Contact, contact.NoticeWithdrawn, nil, c.Locale, c.At)
	}
}

// queueTypes keeps the preferences that differ from what is on file, and sets
// changed if there are any.
func queueTypes(b *pgx.Batch, c contact.Choices, changed *bool) error {
	if len(c.Types) == 0 {
		return nil
	}
	var types []int64
	var choices []string
	for id, choice := range c.Types {
		if choice != gating.PreferenceIn && choice != gating.PreferenceOut {
			return fmt.Errorf("preference %q is neither in nor out", choice)
		}
		types = append(types, int64(id))
		choices = append(choices, string(choice))
	}
	b.Queue(`
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
		), chosen AS (
			UPDATE contact SET chosen_at = $4 WHERE id = $1 AND EXISTS (SELECT FROM wanted)
		)
		INSERT INTO preference_event (contact_id, type_id, from_choice, to_choice, source, actor, wording, locale, campaign_id, at)
		SELECT $1, type_id, coalesce(before, ''), choice, $5, $6, CASE WHEN $7::text <> '' THEN sha256(convert_to($7, 'UTF8')) END,
			$8, nullif($9::bigint, 0), $4 FROM wanted`,
		c.Contact, types, choices, c.At, c.Source, contact.ActorContact, c.Wording, c.Locale, c.Campaign).Exec(func(tag pgconn.CommandTag) error {
		*changed = *changed || tag.RowsAffected() > 0
		return nil
	})
	return nil
}

// SenderName returns whose mail a campaign was, or "" for one that is gone.
func (db *DB) SenderName(ctx context.Context, campaign int64) (name string, err error) {
	err = db.pool.QueryRow(ctx, `SELECT coalesce(content->>'from_name', '') FROM campaign WHERE id = $1`, campaign).Scan(&name)
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return "", fmt.Errorf("read sender name: %w", err)
	}
	return name, nil
}
