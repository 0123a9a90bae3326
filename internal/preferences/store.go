package preferences

import (
	"context"

	"github.com/jatak-mail/jatak/internal/contact"
)

// Store is what the pages need to know and keep.
type Store interface {
	// Profile returns contact.ErrNotFound for who is not, or no longer, there.
	Profile(ctx context.Context, id contact.ID) (contact.Profile, error)
	// Choose keeps what a contact asks for, and reports whether it changed
	// anything.
	Choose(ctx context.Context, c contact.Choices) (changed bool, err error)
	// SenderName returns whose mail a campaign was, or "".
	SenderName(ctx context.Context, campaign int64) (string, error)
	// Ping returns an error when nothing can be kept.
	Ping(ctx context.Context) error
}
