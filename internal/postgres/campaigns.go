package postgres

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/jatak-mail/jatak/gating"
	"github.com/jatak-mail/jatak/internal/campaign"
	"github.com/jatak-mail/jatak/internal/contact"
)

const campaignColumns = `
	c.id, c.name, c.state, c.class, coalesce(c.type_id, 0), coalesce(t.key, ''),
	coalesce(t.created_at, 'epoch'), c.content, c.override_reason, c.override_by, c.pause_reason,
	c.priority, c.pace, c.created_at, c.scheduled_at, c.launched_at, c.planned_at, c.finished_at,
	c.local_time, c.local_zone`

func scanCampaign(row pgx.CollectableRow) (c campaign.Campaign, err error) {
	var scheduled, launched, planned, finished, clock *time.Time
	err = row.Scan(&c.ID, &c.Name, &c.State, &c.Class, &c.Type.ID, &c.TypeKey, &c.Type.Created, &c.Content,
		&c.OverrideReason, &c.OverrideBy, &c.PauseReason, &c.Priority, &c.Pace, &c.Created, &scheduled, &launched, &planned, &finished,
		&clock, &c.Local.Zone)
	for _, t := range []struct {
		to   *time.Time
		from *time.Time
	}{{&c.Scheduled, scheduled}, {&c.Launched, launched}, {&c.Planned, planned}, {&c.Finished, finished}, {&c.Local.Clock, clock}} {
		if t.from != nil {
			*t.to = *t.from
		}
	}
	return c, err
}

// CreateCampaign keeps a new draft and returns its id. The content's
// subscription type, by its key or a name, must exist; "" stands for any.
// Before the upgrade there are no types: they are looked up when it makes them.
func (db *DB) CreateCampaign(ctx context.Context, content campaign.Content, now time.Time) (campaign.ID, error) {
	keys, err := db.typeKeys(ctx)
	if err != nil {
		return 0, err
	}
	var id campaign.ID
	err = db.pool.QueryRow(ctx, `
		INSERT INTO campaign (name, class, type_name, type_id, content, created_at)
		SELECT $1, $2, $3, t.id, $4, $5
		FROM (SELECT $3 AS subscription_type) m LEFT JOIN subscription_type t ON t.retired_at IS NULL AND `+typeIsNamed+`
		WHERE m.subscription_type = '' OR t.id IS NOT NULL OR $6
		RETURNING id`, content.Name, classOf(content), content.Type, content, now, len(keys) == 0).Scan(&id)
	if errors.Is(err, pgx.ErrNoRows) {
		return 0, fmt.Errorf("there is no subscription type %q; there are %s, or leave it out for any",
			content.Type, strings.Join(keys, ", "))
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
func (db *DB) Campaign(ctx context.Context, id campaign.ID) (campaign.Campaign, error) {
	rows, err := db.pool.Query(ctx, `
		SELECT`+campaignColumns+` FROM campaign c LEFT JOIN subscription_type t ON t.id = c.type_id WHERE c.id = $1`, id)
	if err != nil {
		return campaign.Campaign{}, fmt.Errorf("read campaign %d: %w", id, err)
	}
	c, err := pgx.CollectExactlyOneRow(rows, scanCampaign)
	if errors.Is(err, pgx.ErrNoRows) {
		return campaign.Campaign{}, campaign.ErrNotFound
	}
	if err != nil {
		return campaign.Campaign{}, fmt.Errorf("read campaign %d: %w", id, err)
	}
	return c, nil
}

// Campaigns returns all campaigns, newest first.
func (db *DB) Campaigns(ctx context.Context) ([]campaign.Campaign, error) {
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
		UPDATE campaign SET name = $2, content = $3, version = version + 1 WHERE id = $1 AND state = 'draft'`, id, content.Name, content)
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
	var moved int64
	err := db.pool.QueryRow(ctx, `
		WITH moved AS (
			UPDATE campaign SET state = 'planning', launched_at = $2, override_reason = $3, override_by = $4,
				audience_end = (SELECT coalesce(max(id), 0) FROM contact)
			WHERE id = $1 AND state = 'draft' AND (type_name = '' OR type_id IS NOT NULL) RETURNING id, override_reason, override_by
		), `+noteOverride+`
		SELECT count(*) FROM moved`, id, now, override.Reason, override.By).Scan(&moved)
	if err != nil {
		return fmt.Errorf("launch campaign %d: %w", id, err)
	}
	if moved == 0 {
		kept, err := db.Campaign(ctx, id)
		if err != nil {
			return err
		}
		if kept.State == campaign.StateDraft {
			return fmt.Errorf("there is no subscription type %q; create it, or run the upgrade, which makes the usual four", kept.Content.Type)
		}
		return campaign.ErrFrozen
	}
	return nil
}

// Books returns a campaign's report: the audience as planning counted it, and
// the outcomes from the ledger, both of one moment. While planning goes on, the
// audience is what is planned so far.
func (db *DB) Books(ctx context.Context, id campaign.ID) (campaign.Report, error) {
	return readBooks(ctx, db.pool, id)
}

func readBooks(ctx context.Context, from asker, id campaign.ID) (campaign.Report, error) {
	r := campaign.Report{Campaign: id, Blocked: map[gating.Reason]int64{}}
	rows, err := from.Query(ctx, `
		SELECT c.audience, coalesce(d.state, ''), coalesce(d.reason, ''), coalesce(d.n, 0)
		FROM campaign c LEFT JOIN (
			SELECT state, CASE WHEN state = 'blocked' THEN reason ELSE '' END AS reason, count(*) AS n
			FROM delivery WHERE campaign_id = $1 GROUP BY 1, 2) d ON true
		WHERE c.id = $1`, id)
	if err != nil {
		return r, fmt.Errorf("read the books of campaign %d: %w", id, err)
	}
	var state campaign.DeliveryState
	var reason gating.Reason
	var n int64
	_, err = pgx.ForEachRow(rows, []any{&r.Audience, &state, &reason, &n}, func() error {
		if state == "" {
			return nil // nobody is planned yet
		}
		return r.Add(state, reason, n)
	})
	if err != nil {
		return r, fmt.Errorf("read the books of campaign %d: %w", id, err)
	}
	return r, nil
}

// FirstSent returns when the first mail of a campaign was accepted.
func (db *DB) FirstSent(ctx context.Context, id campaign.ID) (at time.Time, err error) {
	err = db.pool.QueryRow(ctx, `SELECT min(changed_at) FROM delivery WHERE campaign_id = $1 AND state = 'sent'`, id).Scan(&at)
	if err != nil {
		return at, fmt.Errorf("read the first mail of campaign %d: %w", id, err)
	}
	return at, nil
}

// Verdicts counts the recipients of a launched campaign by the reason of the
// last verdict about each, those who were let through among them.
func (db *DB) Verdicts(ctx context.Context, id campaign.ID) (map[gating.Reason]int64, error) {
	rows, err := db.pool.Query(ctx, `SELECT reason, count(*) FROM delivery WHERE campaign_id = $1 GROUP BY reason`, id)
	if err != nil {
		return nil, fmt.Errorf("read the verdicts of campaign %d: %w", id, err)
	}
	counts := map[gating.Reason]int64{}
	var reason gating.Reason
	var n int64
	_, err = pgx.ForEachRow(rows, []any{&reason, &n}, func() error {
		counts[reason] = n
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read the verdicts of campaign %d: %w", id, err)
	}
	return counts, nil
}

// Sent streams whom a campaign was sent to: the contact's id and address.
func (db *DB) Sent(ctx context.Context, id campaign.ID) iter.Seq2[contact.Contact, error] {
	return stream(ctx, db, "read whom a campaign was sent to", func(rows pgx.Rows) (c contact.Contact, err error) {
		return c, rows.Scan(&c.ID, &c.Address)
	}, `
		SELECT c.id, coalesce(c.address, '') FROM delivery d JOIN contact c ON c.id = d.contact_id
		WHERE d.campaign_id = $1 AND d.state = 'sent' ORDER BY d.batch, d.contact_id`, id)
}

// Booked streams the people of a campaign's books after a contact, in the order
// of their ids, at most so many; with a reason only those who have it.
func (db *DB) Booked(ctx context.Context, id campaign.ID, reason gating.Reason, after contact.ID, most int) iter.Seq2[campaign.Booking, error] {
	return stream(ctx, db, "read the people of a campaign", func(rows pgx.Rows) (b campaign.Booking, err error) {
		return b, rows.Scan(&b.ID, &b.Email, &b.FirstName, &b.LastName, &b.Company, &b.State, &b.Reason)
	}, `
		SELECT c.id, c.email, c.first_name, c.last_name, coalesce(co.name, ''), d.state, d.reason
		FROM delivery d JOIN contact c ON c.id = d.contact_id LEFT JOIN company co ON co.id = c.company_id
		WHERE d.campaign_id = $1 AND d.contact_id > $3 AND ($2 = '' OR d.reason = $2) ORDER BY d.contact_id LIMIT $4`,
		id, string(reason), after, most)
}
