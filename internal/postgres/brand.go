package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/jatak-mail/jatak/internal/brand"
)

// Brand returns the look of the recipients' pages; the zero value for ours.
func (db *DB) Brand(ctx context.Context) (b brand.Brand, err error) {
	err = db.pool.QueryRow(ctx, `SELECT version, colour, logo, logo_alt, words FROM brand`).Scan(&b.Version, &b.Colour, &b.Logo, &b.LogoAlt, &b.Words)
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return b, fmt.Errorf("read the brand: %w", err)
	}
	return b, nil
}

// BrandVersion returns the version of the brand, 0 for ours.
func (db *DB) BrandVersion(ctx context.Context) (version int64, err error) {
	err = db.pool.QueryRow(ctx, `SELECT coalesce((SELECT version FROM brand), 0)`).Scan(&version)
	if err != nil {
		return 0, fmt.Errorf("read the brand's version: %w", err)
	}
	return version, nil
}

// SetBrand replaces the brand of b's version by b. It refuses when somebody else
// has changed it since.
func (db *DB) SetBrand(ctx context.Context, b brand.Brand, what, actor string, now time.Time) error {
	if b.Words == nil {
		b.Words = map[string]map[string]string{}
	}
	return db.inTx(ctx, func(tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, `
			INSERT INTO brand (version, colour, logo, logo_alt, words, changed_at) VALUES ($1 + 1, $2, $3, $4, $5, $6)
			ON CONFLICT (only_row) DO UPDATE SET version = excluded.version, colour = excluded.colour, logo = excluded.logo,
				logo_alt = excluded.logo_alt, words = excluded.words, changed_at = excluded.changed_at
			WHERE brand.version = $1`, b.Version, b.Colour, b.Logo, b.LogoAlt, b.Words, now)
		switch {
		case err != nil:
			return fmt.Errorf("keep the brand: %w", err)
		case tag.RowsAffected() == 0:
			return refusal("somebody else has changed the brand meanwhile; look at it and try again")
		}
		if _, err := tx.Exec(ctx, `INSERT INTO audit (actor, action, detail, at) VALUES ($1, 'brand', $2, $3)`, actor, what, now); err != nil {
			return fmt.Errorf("write the audit log: %w", err)
		}
		return nil
	})
}
