package preferences

import (
	"context"
	"time"

	"github.com/jatak-mail/jatak/gating"
	"github.com/jatak-mail/jatak/internal/contact"
)

// Store is what the pages need to know and keep.
type Store interface {
	// Profile returns contact.ErrNotFound for who is not, or no longer, there.
	Profile(ctx context.Context, id contact.ID) (contact.Profile, error)
	// Choose keeps what a contact asks for, and reports whether it changed
	// anything.
	Choose(ctx context.Context, c contact.Choices) (changed bool, err error)
	// OptOut keeps a one-click unsubscribe; it returns contact.ErrNotFound as
	// Profile does.
	OptOut(ctx context.Context, o contact.OptOut) error
	// SenderName returns whose mail a campaign was, or "".
	SenderName(ctx context.Context, campaign int64) (string, error)
	// Rules returns the tenant's rules.
	Rules(ctx context.Context) (contact.Rules, error)
	// TypesInUse returns the subscription types in use.
	TypesInUse(ctx context.Context) ([]contact.TypeChoice, error)
	// CurrentWording and WordingOf return "" for what the tenant has not set.
	CurrentWording(ctx context.Context, purpose gating.Purpose, language string) (string, error)
	WordingOf(ctx context.Context, purpose gating.Purpose, hash string) (string, error)
	// SignUp keeps a request to be mailed, or quietly does not.
	SignUp(ctx context.Context, s contact.SignUp) (contact.SignUpResult, error)
	PendingSignUp(ctx context.Context, id contact.ID, signUp int64, now time.Time) (contact.PendingSignUp, error)
	ConfirmSignUp(ctx context.Context, id contact.ID, signUp int64, now time.Time) error
	ResendSignUp(ctx context.Context, id contact.ID, signUp int64, now time.Time, life time.Duration) error
	// RequestLink asks for a mail with a fresh link to the manage page.
	RequestLink(ctx context.Context, id contact.ID, locale string, now time.Time) error
	// MailLink does the same for whoever has the address, or quietly does not.
	MailLink(ctx context.Context, address contact.Address, network []byte, locale string, now time.Time) error
	// Ping returns an error when nothing can be kept.
	Ping(ctx context.Context) error
}
