package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/jatak-mail/jatak/internal/contact"
)

// SelfTestContact returns the contact that self-tests are made with: marked as
// having left, at an address that cannot exist (RFC 2606), so that nobody mails
// it. It is made the first time.
func (db *DB) SelfTestContact(ctx context.Context, digest func(contact.Address) []byte, now time.Time) (id contact.ID, err error) {
	const address contact.Address = "self-test@jatak.invalid"
	err = db.pool.QueryRow(ctx, `
		WITH made AS (
			INSERT INTO contact (legacy_id, email, address, address_digest, first_name, last_name, language, has_left, upgraded_at)
			VALUES ('jatak:self-test', $1, $1, $2, 'Self', 'Test', '', true, $3) ON CONFLICT (legacy_id) DO NOTHING RETURNING id)
		SELECT id FROM made UNION ALL SELECT id FROM contact WHERE legacy_id = 'jatak:self-test' LIMIT 1`, address, digest(address), now).Scan(&id)
	if err != nil {
		return 0, fmt.Errorf("make the contact of self-tests: %w", err)
	}
	return id, nil
}

// SomeContact returns a contact that has an address, or contact.ErrNotFound.
func (db *DB) SomeContact(ctx context.Context) (id contact.ID, err error) {
	err = db.pool.QueryRow(ctx, `SELECT id FROM contact WHERE address IS NOT NULL AND deleted_at IS NULL LIMIT 1`).Scan(&id)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return 0, contact.ErrNotFound
	case err != nil:
		return 0, fmt.Errorf("find a contact: %w", err)
	}
	return id, nil
}

// Server is what a database server says of itself.
type Server struct {
	Version string
	Schema  int64
	Now     time.Time
}

// Server asks the server about itself.
func (db *DB) Server(ctx context.Context) (s Server, err error) {
	err = db.pool.QueryRow(ctx, `SELECT current_setting('server_version'), (SELECT max(version_id) FROM goose_db_version WHERE is_applied), clock_timestamp()`).
		Scan(&s.Version, &s.Schema, &s.Now)
	if err != nil {
		return s, fmt.Errorf("ask the server: %w", err)
	}
	return s, nil
}
