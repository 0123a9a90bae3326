package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/jatak-mail/jatak/gating"
	"github.com/jatak-mail/jatak/internal/campaign"
)

// Campaign is a campaign as it is kept.
type Campaign = campaign.Campaign

const campaignColumns = `
	c.id, c.name, c.state, c.class, coalesce(c.type_id, 0), coalesce(t.key, ''),
	coalesce(t.created_at, 'epoch'), c.content, c.override_reason, c.override_by, c.pause_reason,
	c.created_at, c.launched_at, c.planned_at, c.finished_at`

func scanCampaign(row pgx.CollectableRow) (c Campaign, err error) {
	var launched, planned, finished *time.Time
	err = row.Scan(&c.ID, &c.Name, &c.State, &c.Class, &c.Type.ID, &c.TypeKey, &c.Type.Created, &c.Content,
		&c.OverrideReason, &c.OverrideBy, &c.PauseReason, &c.Created, &launched, &planned, &finished)
	for _, t := range []struct {
		to   *time.Time
		from *time.Time
	}{{&c.Launched, launched}, {&c.Planned, planned}, {&c.Finished, finished}} {
		if t.from != nil {
			*t.to = *t.from
		}
	}
	return c, err
}

// CreateCampaign keeps a new draft and returns its id. The content's
// subscription type must exist; "" stands for any.
func (db *DB) CreateCampaign(ctx context.Context, content campaign.Content, now time.Time) (campaign.ID, error) {
	var id campaign.ID
	err := db.pool.QueryRow(ctx, `
		INSERT INTO campaign (name, class, type_id, content, created_at)
		SELECT $1, $2, t.id, $4, $5
		FROM (SELECT 1) one LEFT JOIN subscription_type t ON t.key = $3 AND t.retired_at IS NULL
		WHERE $3 = '' OR t.id IS NOT NULL
		RETURNING id`, content.Name, classOf(content), content.Type, content, now).Scan(&id)
	if errors.Is(err, pgx.ErrNoRows) {
		keys, keysErr := db.typeKeys(ctx)
		if keysErr != nil {
			return 0, keysErr
		}
		return 0, fmt.Errorf("there is no subscription type %q; there are %v, or leave it out for any", content.Type, keys)
	}
	if err != nil {
		return 0, fmt.Errorf("create campaign: %w", err)
	}
	return id, nil
}

func classOf(c campaign.Content) gating.Class {
	if c.Class == "" {
		return gating.Marketing
	}
	return c.Class
}

func (db *DB) typeKeys(ctx context.Context) ([]string, error) {
	rows, err := db.pool.Query(ctx, `SELECT key FROM subscription_type WHERE retired_at IS NULL ORDER BY position, id`)
	if err != nil {
		return nil, fmt.Errorf("read subscription types: %w", err)
	}
	return pgx.CollectRows(rows, pgx.RowTo[string])
}

// Campaign returns a campaign, or campaign.ErrNotFound.
func (db *DB) Campaign(ctx context.Context, id campaign.ID) (Campaign, error) {
	rows, err := db.pool.Query(ctx, `
		SELECT`+campaignColumns+` FROM campaign c LEFT JOIN subscription_type t ON t.id = c.type_id WHERE c.id = $1`, id)
	if err != nil {
		return Campaign{}, fmt.Errorf("read campaign %d: %w", id, err)
	}
	c, err := pgx.CollectExactlyOneRow(rows, scanCampaign)
	if errors.Is(err, pgx.ErrNoRows) {
		return Campaign{}, campaign.ErrNotFound
	}
	if err != nil {
		return Campaign{}, fmt.Errorf("read campaign %d: %w", id, err)
	}
	return c, nil
}

// Campaigns returns all campaigns, newest first.
func (db *DB) Campaigns(ctx context.Context) ([]Campaign, error) {
	rows, err := db.pool.Query(ctx, `
		SELECT`+campaignColumns+` FROM campaign c LEFT JOIN subscription_type t ON t.id = c.type_id ORDER BY c.id DESC`)
	if err != nil {
		return nil, fmt.Errorf("read campaigns: %w", err)
	}
	list, err := pgx.CollectRows(rows, scanCampaign)
	if err != nil {
		return nil, fmt.Errorf("read campaigns: %w", err)
	}
	return list, nil
}

// SaveDraft replaces a draft's content. A campaign that is no longer a draft
// is frozen: campaign.ErrFrozen.
func (db *DB) SaveDraft(ctx context.Context, id campaign.ID, content campaign.Content) error {
	tag, err := db.pool.Exec(ctx, `
		UPDATE campaign SET name = $2, content = $3 WHERE id = $1 AND state = 'draft'`, id, content.Name, content)
	if err != nil {
		return fmt.Errorf("save campaign %d: %w", id, err)
	}
	if tag.RowsAffected() == 0 {
		return campaign.ErrFrozen
	}
	return nil
}

// Launch freezes a draft and lets planning begin. Its audience is everyone on
// file at this moment. It returns campaign.ErrFrozen when the campaign is not
// a draft, so that launching twice launches once.
func (db *DB) Launch(ctx context.Context, id campaign.ID, override campaign.Override, now time.Time) error {
	tag, err := db.pool.Exec(ctx, `
		UPDATE campaign SET state = 'planning', launched_at = $2, override_reason = $3, override_by = $4,
			audience_end = (SELECT coalesce(max(id), 0) FROM contact)
		WHERE id = $1 AND state = 'draft'`, id, now, override.Reason, override.By)
	if err != nil {
		return fmt.Errorf("launch campaign %d: %w", id, err)
	}
	if tag.RowsAffected() == 0 {
		if _, err := db.Campaign(ctx, id); err != nil {
			return err
		}
		return campaign.ErrFrozen
	}
	return nil
}

// Books returns a campaign's report from its ledger. They balance when
// planning is done; while it goes on, the audience is what is planned so far.
func (db *DB) Books(ctx context.Context, id campaign.ID) (campaign.Report, error) {
	r := campaign.Report{Campaign: id, Blocked: map[gating.Reason]int64{}}
	rows, err := db.pool.Query(ctx, `
		SELECT state, CASE WHEN state = 'blocked' THEN reason ELSE '' END, count(*)
		FROM delivery WHERE campaign_id = $1 GROUP BY 1, 2`, id)
	if err != nil {
		return r, fmt.Errorf("read the books of campaign %d: %w", id, err)
	}
	var state campaign.DeliveryState
	var reason gating.Reason
	var n int64
	_, err = pgx.ForEachRow(rows, []any{&state, &reason, &n}, func() error {
		return r.Add(state, reason, n)
	})
	if err != nil {
		return r, fmt.Errorf("read the books of campaign %d: %w", id, err)
	}
	return r, nil
}
