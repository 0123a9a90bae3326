package postgres

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/jatak-mail/jatak/gating"
	"github.com/jatak-mail/jatak/internal/contact"
)

// ChooseForContact keeps a choice that staff make, with its reason. A choice
// that is there already writes nothing. It returns contact.ErrNotTheirs for an
// opt-out that only the contact can take back, and contact.ErrNotFound when the
// contact or the type is not there.
func (db *DB) ChooseForContact(ctx context.Context, c contact.StaffChoice) error {
	err := db.inTx(ctx, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `SELECT FROM contact WHERE id = $1 FOR NO KEY UPDATE`, c.Contact); err != nil {
			return err
		}
		var current gating.Preference
		var by gating.Source
		var key string
		err := tx.QueryRow(ctx, `
			SELECT coalesce(p.choice, ''), t.key, coalesce((SELECT v.source FROM preference_event v
				WHERE v.contact_id = c.id AND v.type_id = t.id ORDER BY v.id DESC LIMIT 1), '')
			FROM contact c CROSS JOIN subscription_type t LEFT JOIN preference p ON p.contact_id = c.id AND p.type_id = t.id
			WHERE c.id = $1 AND c.deleted_at IS NULL AND t.id = $2 AND t.retired_at IS NULL`, c.Contact, c.Type).Scan(&current, &key, &by)
		if errors.Is(err, pgx.ErrNoRows) {
			return contact.ErrNotFound
		}
		if err != nil {
			return err
		}
		if err := contact.MayChoose(current, by, c.Choice); err != nil || c.Choice == current {
			return err
		}
		_, err = tx.Exec(ctx, `
			WITH kept AS (
				INSERT INTO preference (contact_id, type_id, choice, changed_at) VALUES ($1, $2, $3, $4)
				ON CONFLICT (contact_id, type_id) DO UPDATE SET choice = excluded.choice, changed_at = excluded.changed_at
			), event AS (
				INSERT INTO preference_event (contact_id, type_id, from_choice, to_choice, source, actor, at)
				VALUES ($1, $2, $5, $3, 'user', $6, $4) RETURNING id
			), audited AS (
				INSERT INTO audit (actor, action, contact_id, detail, at) VALUES ($6, 'preference set', $1, $8, $4)
			)
			INSERT INTO preference_comment (event_id, comment) SELECT id, $7 FROM event`,
			c.Contact, c.Type, c.Choice, c.Now, current, c.Actor, c.Reason, key+" "+string(c.Choice))
		return err
	})
	if err != nil {
		return fmt.Errorf("choose for a contact: %w", err)
	}
	return nil
}
