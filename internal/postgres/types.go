package postgres

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/jatak-mail/jatak/internal/contact"
)

// Types returns all subscription types, those that are retired last.
func (db *DB) Types(ctx context.Context) ([]contact.SubscriptionType, error) {
	rows, err := db.pool.Query(ctx, `
		SELECT t.key, (SELECT coalesce(jsonb_object_agg(n.language, n.name), '{}') FROM subscription_type_name n WHERE n.type_id = t.id),
			t.created_at, t.retired_at IS NOT NULL
		FROM subscription_type t ORDER BY t.retired_at IS NOT NULL, t.position, t.id`)
	if err != nil {
		return nil, fmt.Errorf("read subscription types: %w", err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowToStructByPos[contact.SubscriptionType])
	if err != nil {
		return nil, fmt.Errorf("read subscription types: %w", err)
	}
	return list, nil
}

// CountChoices returns how many contacts have a preference for each subscription
// type, by its key. It looks through all preferences.
func (db *DB) CountChoices(ctx context.Context) (map[string]int64, error) {
	rows, err := db.pool.Query(ctx, `
		SELECT t.key, p.n FROM (SELECT type_id, count(*) AS n FROM preference GROUP BY type_id) p JOIN subscription_type t ON t.id = p.type_id`)
	if err != nil {
		return nil, fmt.Errorf("count preferences: %w", err)
	}
	counts := map[string]int64{}
	var key string
	var n int64
	_, err = pgx.ForEachRow(rows, []any{&key, &n}, func() error {
		counts[key] = n
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("count preferences: %w", err)
	}
	return counts, nil
}

// TypeNames returns the subscription types in use, in their order, by their keys
// and names.
func (db *DB) TypeNames(ctx context.Context) ([]contact.NewType, error) {
	rows, err := db.pool.Query(ctx, `
		SELECT t.key, (SELECT coalesce(jsonb_object_agg(n.language, n.name), '{}') FROM subscription_type_name n WHERE n.type_id = t.id)
		FROM subscription_type t WHERE t.retired_at IS NULL ORDER BY t.position, t.id`)
	if err != nil {
		return nil, fmt.Errorf("read subscription types: %w", err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowToStructByPos[contact.NewType])
	if err != nil {
		return nil, fmt.Errorf("read subscription types: %w", err)
	}
	return list, nil
}

// CreateType makes a subscription type, last in order.
func (db *DB) CreateType(ctx context.Context, t contact.NewType, actor string, now time.Time) error {
	return db.Together(ctx, func(db *DB) error {
		err := db.inTx(ctx, func(tx pgx.Tx) error {
			var id int64
			err := tx.QueryRow(ctx, `
				INSERT INTO subscription_type (key, position, created_at)
				SELECT $1, coalesce(max(position) + 1, 0), $2 FROM subscription_type RETURNING id`, t.Key, now).Scan(&id)
			if err != nil {
				return err
			}
			return nameType(ctx, tx, id, t.Names)
		})
		var refused *pgconn.PgError
		if errors.As(err, &refused) && refused.Code == "23505" { // unique_violation
			return refusal("there is a subscription type %q already", t.Key)
		}
		if err != nil {
			return fmt.Errorf("create subscription type: %w", err)
		}
		return db.audit(ctx, actor, "type create", t.Key, now)
	})
}

// RenameType gives a type other names; languages that are not named stay.
func (db *DB) RenameType(ctx context.Context, t contact.NewType, actor string, now time.Time) error {
	return db.Together(ctx, func(db *DB) error {
		err := db.inTx(ctx, func(tx pgx.Tx) error {
			var id int64
			err := tx.QueryRow(ctx, `SELECT id FROM subscription_type WHERE key = $1 FOR UPDATE`, t.Key).Scan(&id)
			if errors.Is(err, pgx.ErrNoRows) {
				return refusal("there is no subscription type %q", t.Key)
			}
			if err != nil {
				return err
			}
			return nameType(ctx, tx, id, t.Names)
		})
		if err != nil {
			return fmt.Errorf("rename subscription type: %w", err)
		}
		return db.audit(ctx, actor, "type rename", t.Key, now)
	})
}

func nameType(ctx context.Context, tx pgx.Tx, id int64, names map[string]string) error {
	for language, name := range names {
		_, err := tx.Exec(ctx, `
			INSERT INTO subscription_type_name (type_id, language, name) VALUES ($1, $2, $3)
			ON CONFLICT (type_id, language) DO UPDATE SET name = excluded.name`, id, language, name)
		if err != nil {
			return err
		}
	}
	return nil
}

// RetireType takes a type out of use: nobody is shown it, no new campaign can
// have it, and what people said about it is kept.
func (db *DB) RetireType(ctx context.Context, key, actor string, now time.Time) error {
	return db.Together(ctx, func(db *DB) error {
		tag, err := db.pool.Exec(ctx, `UPDATE subscription_type SET retired_at = $2 WHERE key = $1 AND retired_at IS NULL`, key, now)
		if err != nil {
			return fmt.Errorf("retire subscription type: %w", err)
		}
		if tag.RowsAffected() == 0 {
			return refusal("there is no subscription type %q in use", key)
		}
		return db.audit(ctx, actor, "type retire", key, now)
	})
}

// MoveType shows a type one place earlier or later to those who choose.
func (db *DB) MoveType(ctx context.Context, key string, later bool, actor string, now time.Time) error {
	return db.Together(ctx, func(db *DB) error {
		err := db.inTx(ctx, func(tx pgx.Tx) error {
			rows, err := tx.Query(ctx, `SELECT key FROM subscription_type WHERE retired_at IS NULL ORDER BY position, id FOR UPDATE`)
			if err != nil {
				return err
			}
			keys, err := pgx.CollectRows(rows, pgx.RowTo[string])
			if err != nil {
				return err
			}
			from := slices.Index(keys, key)
			if from < 0 {
				return refusal("there is no subscription type %q in use", key)
			}
			to := from - 1
			if later {
				to = from + 1
			}
			if to < 0 || to >= len(keys) {
				return nil
			}
			keys[from], keys[to] = keys[to], keys[from]
			_, err = tx.Exec(ctx, `
				UPDATE subscription_type t SET position = o.n FROM unnest($1::text[]) WITH ORDINALITY AS o(key, n) WHERE t.key = o.key`, keys)
			return err
		})
		if err != nil {
			return fmt.Errorf("move subscription type: %w", err)
		}
		return db.audit(ctx, actor, "type move", key, now)
	})
}
