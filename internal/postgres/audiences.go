package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/jatak-mail/jatak/internal/contact"
)

// WordsInUse returns the tenant's words that are in use.
func (db *DB) WordsInUse(ctx context.Context) (v contact.Words, err error) {
	scan := pgx.RowToStructByPos[contact.Word]
	err = errors.Join(
		collect(ctx, db, &v.Types, scan, `
			SELECT t.key, (SELECT coalesce(jsonb_object_agg(n.language, n.name), '{}') FROM subscription_type_name n WHERE n.type_id = t.id)
			FROM subscription_type t WHERE t.retired_at IS NULL ORDER BY t.position, t.id`),
		collect(ctx, db, &v.Purposes, scan, `SELECT key, names FROM purpose WHERE retired_at IS NULL ORDER BY NOT built_in, created_at, key`),
		collect(ctx, db, &v.Bases, scan, `SELECT key, names FROM legal_basis WHERE retired_at IS NULL ORDER BY NOT built_in, created_at, key`))
	if err != nil {
		return v, fmt.Errorf("read the vocabulary: %w", err)
	}
	return v, nil
}

// SavedAudiences returns them by their names.
func (db *DB) SavedAudiences(ctx context.Context) (list []contact.SavedAudience, err error) {
	err = collect(ctx, db, &list, pgx.RowToStructByPos[contact.SavedAudience],
		`SELECT id, name, filter, actor, changed_at FROM saved_audience ORDER BY lower(name), id`)
	if err != nil {
		return nil, fmt.Errorf("read audiences: %w", err)
	}
	return list, nil
}

// SaveAudience keeps an audience under its name, in the place of one that has
// the name.
func (db *DB) SaveAudience(ctx context.Context, a contact.SavedAudience, now time.Time) error {
	return db.Together(ctx, func(db *DB) error {
		_, err := db.pool.Exec(ctx, `
			INSERT INTO saved_audience (name, filter, actor, changed_at) VALUES ($1, $2, $3, $4)
			ON CONFLICT (name) DO UPDATE SET filter = excluded.filter, actor = excluded.actor, changed_at = excluded.changed_at`,
			a.Name, a.Filter, a.Actor, now)
		if err != nil {
			return fmt.Errorf("save an audience: %w", err)
		}
		return db.audit(ctx, a.Actor, "audience save", a.Name, now)
	})
}

// DeleteAudience forgets an audience; campaigns keep the copy that they have.
func (db *DB) DeleteAudience(ctx context.Context, id int64, actor string, now time.Time) error {
	return db.Together(ctx, func(db *DB) error {
		var name string
		err := db.pool.QueryRow(ctx, `DELETE FROM saved_audience WHERE id = $1 RETURNING name`, id).Scan(&name)
		if errors.Is(err, pgx.ErrNoRows) {
			return contact.ErrNotFound
		}
		if err != nil {
			return fmt.Errorf("delete an audience: %w", err)
		}
		return db.audit(ctx, actor, "audience delete", name, now)
	})
}
