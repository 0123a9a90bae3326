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

// SetWording makes a text the one that a purpose is asked for with in a
// language, from now on.
func (db *DB) SetWording(ctx context.Context, purpose gating.Purpose, language, text, actor string, now time.Time) error {
	if err := db.knownTerm(ctx, contact.Purposes, string(purpose)); err != nil {
		return err
	}
	_, err := db.pool.Exec(ctx, `
		WITH words AS (INSERT INTO wording (hash, text) VALUES (sha256(convert_to($3, 'UTF8')), $3) ON CONFLICT DO NOTHING)
		INSERT INTO wording_version (purpose, language, hash, actor, at) VALUES ($1, $2, sha256(convert_to($3, 'UTF8')), $4, $5)`,
		purpose, language, text, actor, now)
	if err != nil {
		return fmt.Errorf("set wording: %w", err)
	}
	return nil
}

const wordingColumns = `v.version, v.purpose, v.language, encode(v.hash, 'hex'), w.text, v.actor, v.at
	FROM wording_version v JOIN wording w ON w.hash = v.hash`

// Wordings returns all versions, newest first.
func (db *DB) Wordings(ctx context.Context) ([]contact.Wording, error) {
	rows, err := db.pool.Query(ctx, `SELECT `+wordingColumns+` ORDER BY v.version DESC`)
	if err != nil {
		return nil, fmt.Errorf("read wordings: %w", err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowToStructByPos[contact.Wording])
	if err != nil {
		return nil, fmt.Errorf("read wordings: %w", err)
	}
	return list, nil
}

// CurrentWording returns the text that is shown now, or "" when the tenant has
// set none.
func (db *DB) CurrentWording(ctx context.Context, purpose gating.Purpose, language string) (string, error) {
	return db.oneWording(ctx, `WHERE v.purpose = $1 AND v.language = $2 ORDER BY v.version DESC LIMIT 1`, purpose, language)
}

// WordingOf returns the text of a hash that was shown for a purpose at some
// time, or "".
func (db *DB) WordingOf(ctx context.Context, purpose gating.Purpose, hash string) (string, error) {
	return db.oneWording(ctx, `WHERE v.purpose = $1 AND encode(v.hash, 'hex') = $2 LIMIT 1`, purpose, hash)
}

func (db *DB) oneWording(ctx context.Context, where string, args ...any) (string, error) {
	rows, err := db.pool.Query(ctx, `SELECT `+wordingColumns+` `+where, args...)
	if err != nil {
		return "", fmt.Errorf("read wording: %w", err)
	}
	w, err := pgx.CollectExactlyOneRow(rows, pgx.RowToStructByPos[contact.Wording])
	if errors.Is(err, pgx.ErrNoRows) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("read wording: %w", err)
	}
	return w.Text, nil
}
