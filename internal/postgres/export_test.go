package postgres

import (
	"context"

	"github.com/jatak-mail/jatak/internal/contact"
)

// SearchByIndex searches without looking through the first contacts.
func (db *DB) SearchByIndex(ctx context.Context, words []string, after contact.ID, limit int) ([]contact.Contact, error) {
	return db.searchFar(ctx, words, after, limit)
}
