package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/jatak-mail/jatak/internal/campaign"
)

const limitColumns = `kind, name, domains, per_second, connections, coalesce(warm_up_from, '0001-01-01'), warm_up_first, warm_up_growth`

func scanLimit(row pgx.CollectableRow) (l campaign.Limit, err error) {
	err = row.Scan(&l.Kind, &l.Name, &l.Domains, &l.PerSecond, &l.Connections, &l.WarmUp.From, &l.WarmUp.First, &l.WarmUp.Growth)
	return l, err
}

// SendLimits returns the limits of relays and destinations.
func (db *DB) SendLimits(ctx context.Context) ([]campaign.Limit, error) {
	rows, err := db.pool.Query(ctx, `SELECT `+limitColumns+` FROM send_limit ORDER BY kind DESC, name`)
	if err != nil {
		return nil, fmt.Errorf("read limits: %w", err)
	}
	list, err := pgx.CollectRows(rows, scanLimit)
	if err != nil {
		return nil, fmt.Errorf("read limits: %w", err)
	}
	return list, nil
}

// SetLimit keeps a limit in the place of one of the same kind and name. It holds
// from the next claims on, within a second.
func (db *DB) SetLimit(ctx context.Context, l campaign.Limit, actor string, now time.Time) error {
	return db.Together(ctx, func(db *DB) error {
		if err := l.Validate(); err != nil {
			return err
		}
		if l.Domains == nil {
			l.Domains = []string{}
		}
		var from *time.Time
		if l.WarmUp.First > 0 {
			from = &l.WarmUp.From
		}
		_, err := db.pool.Exec(ctx, `
			INSERT INTO send_limit (kind, name, domains, per_second, connections, warm_up_from, warm_up_first, warm_up_growth)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
			ON CONFLICT (kind, name) DO UPDATE SET domains = $3, per_second = $4, connections = $5,
				warm_up_from = $6, warm_up_first = $7, warm_up_growth = $8`,
			l.Kind, l.Name, l.Domains, l.PerSecond, l.Connections, from, l.WarmUp.First, l.WarmUp.Growth)
		if err != nil {
			return fmt.Errorf("keep the limit of %s: %w", l.Name, err)
		}
		return db.audit(ctx, actor, "limit set", fmt.Sprintf("%s %s", l.Kind, l.Name), now)
	})
}

// RemoveLimit removes a limit, or says that there is none.
func (db *DB) RemoveLimit(ctx context.Context, kind campaign.LimitKind, name, actor string, now time.Time) error {
	return db.Together(ctx, func(db *DB) error {
		tag, err := db.pool.Exec(ctx, `DELETE FROM send_limit WHERE kind = $1 AND name = $2`, kind, name)
		if err != nil {
			return fmt.Errorf("remove the limit of %s: %w", name, err)
		}
		if tag.RowsAffected() == 0 {
			return refusal("there is no limit of the %s %q; jatak limit list shows those there are", kind, name)
		}
		return db.audit(ctx, actor, "limit remove", fmt.Sprintf("%s %s", kind, name), now)
	})
}

// Limits returns the bounds on sending as they are now, and which campaigns are
// under way, in one round trip.
func (db *DB) Limits(ctx context.Context) (l campaign.Limits, err error) {
	l = campaign.Limits{Active: map[campaign.ID]campaign.Activity{}, Relays: map[string]campaign.Limit{}}
	requests := &pgx.Batch{}
	requests.Queue(currentSettings).Query(func(rows pgx.Rows) error {
		rules, err := collectRules(rows)
		l.All, l.FailurePercent, l.ComplaintPercent = rules.SendPace, rules.FailureLimit, rules.ComplaintLimit
		return err
	})
	requests.Queue(`SELECT now()`).QueryRow(func(row pgx.Row) error { return row.Scan(&l.Now) })
	requests.Queue(`SELECT id, pace, priority, resumed FROM campaign WHERE state IN ('planning', 'sending')`).Query(func(rows pgx.Rows) error {
		var id campaign.ID
		var active campaign.Activity
		_, err := pgx.ForEachRow(rows, []any{&id, &active.Pace, &active.Priority, &active.Resumed}, func() error {
			l.Active[id] = active
			return nil
		})
		return err
	})
	requests.Queue(`SELECT ` + limitColumns + ` FROM send_limit ORDER BY name`).Query(func(rows pgx.Rows) error {
		list, err := pgx.CollectRows(rows, scanLimit)
		for _, limit := range list {
			if limit.Kind == campaign.RelayLimit {
				l.Relays[limit.Name] = limit
			} else {
				l.Limited = append(l.Limited, limit)
			}
		}
		return err
	})
	if err := db.pool.SendBatch(ctx, requests).Close(); err != nil {
		return l, fmt.Errorf("read the limits on sending: %w", err)
	}
	return l, nil
}

// Complaints counts the complaints about campaigns under way that have so many at
// least.
func (db *DB) Complaints(ctx context.Context, least int) ([]campaign.Complaints, error) {
	rows, err := db.pool.Query(ctx, `
		SELECT c.id, v.n, (SELECT count(*) FROM delivery d WHERE d.campaign_id = c.id AND d.state = 'sent')
		FROM campaign c CROSS JOIN LATERAL (
			SELECT count(*) AS n FROM consent_event v WHERE v.campaign_id = c.id AND v.source = 'complaint') v
		WHERE c.state IN ('planning', 'sending') AND v.n >= $1`, least)
	if err != nil {
		return nil, fmt.Errorf("count complaints: %w", err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowToStructByPos[campaign.Complaints])
	if err != nil {
		return nil, fmt.Errorf("count complaints: %w", err)
	}
	return list, nil
}
