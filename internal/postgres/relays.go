package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/jatak-mail/jatak/internal/campaign"
)

// DescribeWorker keeps what a worker says of itself.
func (db *DB) DescribeWorker(ctx context.Context, worker int64, about campaign.About) error {
	if _, err := db.pool.Exec(ctx, `UPDATE worker SET about = $2 WHERE id = $1`, worker, about); err != nil {
		return fmt.Errorf("describe worker: %w", err)
	}
	return nil
}

// WorkersNow lists the workers that hold a lease.
func (db *DB) WorkersNow(ctx context.Context, now time.Time) ([]campaign.WorkerSeen, error) {
	rows, err := db.pool.Query(ctx, `SELECT id, name, started_at, about FROM worker WHERE lease_until > $1 ORDER BY id`, now)
	if err != nil {
		return nil, fmt.Errorf("read workers: %w", err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowToStructByPos[campaign.WorkerSeen])
	if err != nil {
		return nil, fmt.Errorf("read workers: %w", err)
	}
	return list, nil
}

// relayTestLife is how long a test waits for a worker.
const relayTestLife = 2 * time.Minute

// AskRelayTest asks that a worker tries a relay; one that is asked for already
// is not asked for twice.
func (db *DB) AskRelayTest(ctx context.Context, relay, actor string, now time.Time) error {
	return db.Together(ctx, func(db *DB) error {
		_, err := db.pool.Exec(ctx, `
			INSERT INTO relay_test (relay, actor, asked_at) SELECT $1, $2, $3
			WHERE NOT EXISTS (SELECT FROM relay_test WHERE relay = $1 AND done_at IS NULL AND asked_at > $4)`, relay, actor, now, now.Add(-relayTestLife))
		if err != nil {
			return fmt.Errorf("ask for a test: %w", err)
		}
		return db.audit(ctx, actor, "relay test", relay, now)
	})
}

// TakeRelayTest gives a worker one of the tests that are asked for of its
// relays; ok is false when there is none.
func (db *DB) TakeRelayTest(ctx context.Context, relays []string, now time.Time) (t campaign.RelayTest, ok bool, err error) {
	rows, err := db.pool.Query(ctx, `
		UPDATE relay_test SET taken_at = $2 WHERE id = (
			SELECT id FROM relay_test WHERE taken_at IS NULL AND relay = ANY($1) AND asked_at > $3 ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED)
		RETURNING id, relay`, relays, now, now.Add(-relayTestLife))
	if err != nil {
		return t, false, fmt.Errorf("take a test: %w", err)
	}
	_, err = pgx.ForEachRow(rows, []any{&t.ID, &t.Relay}, func() error { ok = true; return nil })
	if err != nil {
		return t, false, fmt.Errorf("take a test: %w", err)
	}
	return t, ok, nil
}

// RecordRelayTest keeps what a test found.
func (db *DB) RecordRelayTest(ctx context.Context, t campaign.RelayTest) error {
	_, err := db.pool.Exec(ctx, `UPDATE relay_test SET done_at = $2, ok = $3, says = $4, trouble = $5 WHERE id = $1`, t.ID, t.Done, t.OK, t.Says, t.Trouble)
	if err != nil {
		return fmt.Errorf("record a test: %w", err)
	}
	return nil
}

// RelayTests returns the newest test of each relay.
func (db *DB) RelayTests(ctx context.Context) ([]campaign.RelayTest, error) {
	rows, err := db.pool.Query(ctx, `
		SELECT DISTINCT ON (relay) id, relay, actor, asked_at, coalesce(taken_at, '0001-01-01 00:00+00'), coalesce(done_at, '0001-01-01 00:00+00'), ok, says, trouble
		FROM relay_test ORDER BY relay, id DESC`)
	if err != nil {
		return nil, fmt.Errorf("read tests: %w", err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowToStructByPos[campaign.RelayTest])
	if err != nil {
		return nil, fmt.Errorf("read tests: %w", err)
	}
	for i := range list { // the zero time of the database is in the session's zone
		list[i].Taken, list[i].Done = list[i].Taken.UTC(), list[i].Done.UTC()
	}
	return list, nil
}

// SenderDomains lists the domains that campaigns of late are from.
func (db *DB) SenderDomains(ctx context.Context, since time.Time) ([]string, error) {
	rows, err := db.pool.Query(ctx, `
		SELECT DISTINCT lower(split_part(content->>'from_address', '@', 2)) FROM campaign
		WHERE created_at > $1 AND content->>'from_address' LIKE '%@%' ORDER BY 1 LIMIT 100`, since)
	if err != nil {
		return nil, fmt.Errorf("read sender domains: %w", err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, fmt.Errorf("read sender domains: %w", err)
	}
	return list, nil
}
