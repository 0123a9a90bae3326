package console

import (
	"context"
	"time"

	"github.com/jatak-mail/jatak/gating"
)

// Store is what the console shows and changes. Each section states its part
// beside its pages.
type Store interface {
	accessStore
	campaignStore
	contactStore
	audienceStore
	listStore
	settingStore
	Policy(ctx context.Context, now time.Time) (gating.Policy, error)
	Ping(ctx context.Context) error
}
