package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/jatak-mail/jatak/internal/contact"
)

// Terms returns a vocabulary, what is built in first.
func (db *DB) Terms(ctx context.Context, v contact.Vocabulary) ([]contact.Term, error) {
	counts := `''`
	if v == contact.LegalBases {
		counts = `counts_as`
	}
	rows, err := db.pool.Query(ctx, `
		SELECT key, `+counts+`, names, built_in, retired_at IS NOT NULL FROM `+termTable(v)+` ORDER BY NOT built_in, retired_at IS NOT NULL, created_at, key`)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", v, err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowToStructByPos[contact.Term])
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", v, err)
	}
	return list, nil
}

func termTable(v contact.Vocabulary) string { return pgx.Identifier{string(v)}.Sanitize() }

// CreateTerm adds a term. A legal basis counts as a built-in one other than
// withdrawn.
func (db *DB) CreateTerm(ctx context.Context, v contact.Vocabulary, t contact.Term, actor string, now time.Time) (err error) {
	return db.Together(ctx, func(db *DB) error {
		if v == contact.LegalBases {
			if !t.CountsAs.Granted() {
				return refusal("a legal basis counts as one of the built-in ones that permit something, not as %q", t.CountsAs)
			}
			_, err = db.pool.Exec(ctx, `INSERT INTO legal_basis (key, counts_as, names, created_at) VALUES ($1, $2, $3, $4)`, t.Key, t.CountsAs, t.Names, now)
		} else {
			_, err = db.pool.Exec(ctx, `INSERT INTO purpose (key, names, created_at) VALUES ($1, $2, $3)`, t.Key, t.Names, now)
		}
		var refused *pgconn.PgError
		if errors.As(err, &refused) && refused.Code == "23505" { // unique_violation
			return refusal("there is a %s %q already", v, t.Key)
		}
		if err != nil {
			return fmt.Errorf("create %s: %w", v, err)
		}
		return db.audit(ctx, actor, "term create", fmt.Sprintf("%s %s %s", v, t.Key, t.CountsAs), now)
	})
}

// RenameTerm gives a term other names; languages that are not named stay.
func (db *DB) RenameTerm(ctx context.Context, v contact.Vocabulary, key string, names map[string]string, actor string, now time.Time) error {
	return db.Together(ctx, func(db *DB) error {
		tag, err := db.pool.Exec(ctx, `UPDATE `+termTable(v)+` SET names = names || $2 WHERE key = $1`, key, names)
		if err != nil {
			return fmt.Errorf("rename %s: %w", v, err)
		}
		if tag.RowsAffected() == 0 {
			return refusal("there is no %s %q", v, key)
		}
		return db.audit(ctx, actor, "term rename", fmt.Sprintf("%s %s", v, key), now)
	})
}

// RetireTerm takes a term out of use; what rests on it stays.
func (db *DB) RetireTerm(ctx context.Context, v contact.Vocabulary, key, actor string, now time.Time) error {
	return db.Together(ctx, func(db *DB) error {
		tag, err := db.pool.Exec(ctx, `UPDATE `+termTable(v)+` SET retired_at = $2 WHERE key = $1 AND retired_at IS NULL AND NOT built_in`, key, now)
		if err != nil {
			return fmt.Errorf("retire %s: %w", v, err)
		}
		if tag.RowsAffected() == 0 {
			return refusal("there is no %s %q of your own in use", v, key)
		}
		return db.audit(ctx, actor, "term retire", fmt.Sprintf("%s %s", v, key), now)
	})
}

// knownTerm returns an error for a term that is not there or out of use.
func (db *DB) knownTerm(ctx context.Context, v contact.Vocabulary, key string) error {
	var known bool
	err := db.pool.QueryRow(ctx, `SELECT EXISTS (SELECT FROM `+termTable(v)+` WHERE key = $1 AND retired_at IS NULL)`, key).Scan(&known)
	if err != nil {
		return fmt.Errorf("read %s: %w", v, err)
	}
	if !known {
		return refusal("there is no %s %q in use", v, key)
	}
	return nil
}
