package postgres

import (
	"context"
	"fmt"
	"iter"

	"github.com/jackc/pgx/v5"

	"github.com/jatak-mail/jatak/gating"
	"github.com/jatak-mail/jatak/internal/campaign"
	"github.com/jatak-mail/jatak/internal/contact"
)

// Underway returns the campaigns that have mails left to send, oldest first.
func (db *DB) Underway(ctx context.Context) ([]campaign.Campaign, error) {
	rows, err := db.pool.Query(ctx, `
		SELECT`+campaignColumns+` FROM campaign c LEFT JOIN subscription_type t ON t.id = c.type_id
		WHERE c.state IN ('scheduled', 'planning', 'sending', 'paused') ORDER BY c.id`)
	if err != nil {
		return nil, fmt.Errorf("read campaigns: %w", err)
	}
	list, err := pgx.CollectRows(rows, scanCampaign)
	if err != nil {
		return nil, fmt.Errorf("read campaigns: %w", err)
	}
	return list, nil
}

// Waiting streams the facts of those whom a campaign still has to mail.
func (db *DB) Waiting(ctx context.Context, id campaign.ID, t gating.SubscriptionType) iter.Seq2[contact.Recipient, error] {
	return stream(ctx, db, "read who is waiting", func(rows pgx.Rows) (r contact.Recipient, err error) {
		var s factScan
		err = rows.Scan(append([]any{&r.ID}, s.targets()...)...)
		r.Facts = s.result()
		return r, err
	}, `
		SELECT c.id,`+factColumns+`
		FROM delivery d JOIN contact c ON c.id = d.contact_id`+allFactJoins+`
		WHERE d.campaign_id = $2 AND d.state IN ('pending', 'deferred')`, typeParameter(t), id)
}

// SettingHistory returns what a setting was set to, the newest first.
func (db *DB) SettingHistory(ctx context.Context, name gating.Setting, most int) ([]contact.SettingChange, error) {
	return db.settingChanges(ctx, `WHERE name = $1 ORDER BY version DESC LIMIT $2`, name, most)
}

// SettingsNow returns the newest change of each setting that was ever set.
func (db *DB) SettingsNow(ctx context.Context) ([]contact.SettingChange, error) {
	return db.settingChanges(ctx, `WHERE version IN (SELECT max(version) FROM setting_change GROUP BY name)`)
}

func (db *DB) settingChanges(ctx context.Context, where string, args ...any) ([]contact.SettingChange, error) {
	rows, err := db.pool.Query(ctx, `SELECT version, name, value, actor, at FROM setting_change `+where, args...)
	if err != nil {
		return nil, fmt.Errorf("read settings: %w", err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowToStructByPos[contact.SettingChange])
	if err != nil {
		return nil, fmt.Errorf("read settings: %w", err)
	}
	return list, nil
}
