package console

import (
	"context"
	"iter"
	"time"

	"github.com/jatak-mail/jatak/gating"
	"github.com/jatak-mail/jatak/internal/campaign"
	"github.com/jatak-mail/jatak/internal/contact"
	"github.com/jatak-mail/jatak/internal/staff"
)

// Store is what the console shows and changes.
type Store interface {
	HasStaff(ctx context.Context) (bool, error)
	Invitation(ctx context.Context, hash []byte, now time.Time) (email string, role staff.Role, err error)
	AcceptInvitation(ctx context.Context, hash []byte, u staff.User, now time.Time) error
	UserByEmail(ctx context.Context, email string) (staff.User, error)
	UserBySession(ctx context.Context, hash []byte, now time.Time) (staff.User, error)
	StartSession(ctx context.Context, user int64, hash []byte, now time.Time) error
	EndSession(ctx context.Context, hash []byte) error
	SetUserLanguage(ctx context.Context, user int64, language string) error
	// Attempt counts an attempt, and reports whether there were fewer than most.
	Attempt(ctx context.Context, key []byte, most int, window time.Duration, now time.Time) (bool, error)

	Campaigns(ctx context.Context) ([]campaign.Campaign, error)
	Campaign(ctx context.Context, id campaign.ID) (campaign.Campaign, error)
	Books(ctx context.Context, id campaign.ID) (campaign.Report, error)
	Verdicts(ctx context.Context, id campaign.ID) (map[gating.Reason]int64, error)
	Audience(ctx context.Context, t gating.SubscriptionType, of contact.Selection) iter.Seq2[contact.Recipient, error]
	// Schedule freezes a draft; the workers launch it at its time.
	Schedule(ctx context.Context, id campaign.ID, at time.Time, override campaign.Override) error
	Unschedule(ctx context.Context, id campaign.ID) error
	Pause(ctx context.Context, id campaign.ID, reason string) error
	Resume(ctx context.Context, id campaign.ID) error
	Cancel(ctx context.Context, id campaign.ID, now time.Time) error

	SearchContacts(ctx context.Context, words []string, after contact.ID, limit int) ([]contact.Contact, error)
	People(ctx context.Context, ids []contact.ID) iter.Seq2[contact.Contact, error]
	Recipient(ctx context.Context, id contact.ID, t gating.SubscriptionType) (contact.Recipient, error)
	Events(ctx context.Context, id contact.ID) ([]contact.Event, error)
	Dossier(ctx context.Context, id contact.ID, actor string, now time.Time) (contact.Dossier, error)
	ChangeBasis(ctx context.Context, change contact.BulkChange) (contact.BulkResult, error)

	Policy(ctx context.Context, now time.Time) (gating.Policy, error)
	Setting(ctx context.Context, name gating.Setting) (string, error)
	Set(ctx context.Context, name gating.Setting, value, actor string, now time.Time) error
	Ping(ctx context.Context) error
}
