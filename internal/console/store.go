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
	composerStore
	contactStore
	audienceStore
	listStore
	settingStore
	vocabularyStore
	sendingStore
	lookStore
	startStore
	userStore
	auditStore
	upgradeStore
	Policy(ctx context.Context, now time.Time) (gating.Policy, error)
	Ping(ctx context.Context) error
}
