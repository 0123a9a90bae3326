package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/jatak-mail/jatak/internal/campaign"
)

// Leases, bells and next attempts are compared between machines, and go by the
// database's clock: two workers whose clocks differ do not take each other's
// mails, and a clock that jumps puts nothing off.

// StartWorker puts a worker on the list and returns its number, under which it
// claims for as long as its lease lasts.
func (db *DB) StartWorker(ctx context.Context, name string, lease time.Duration) (id int64, err error) {
	err = db.pool.QueryRow(ctx, `
		INSERT INTO worker (name, started_at, lease_until) VALUES ($1, now(), now() + $2::interval) RETURNING id`, name, lease).Scan(&id)
	if err != nil {
		return 0, fmt.Errorf("register worker: %w", err)
	}
	return id, nil
}

// RenewLease keeps a worker's claims its own. It reports false when the lease
// had run out: what the worker had claimed may be another's by now.
func (db *DB) RenewLease(ctx context.Context, worker int64, lease time.Duration) (kept bool, err error) {
	tag, err := db.pool.Exec(ctx, `
		UPDATE worker SET lease_until = now() + $2::interval WHERE id = $1 AND lease_until > now()`, worker, lease)
	if err != nil {
		return false, fmt.Errorf("renew lease: %w", err)
	}
	return tag.RowsAffected() == 1, nil
}

// AwaitWorkers waits until so many workers hold a lease.
func (db *DB) AwaitWorkers(ctx context.Context, n int) error {
	for {
		var working int
		err := db.pool.QueryRow(ctx, `SELECT count(*) FROM worker WHERE lease_until > now()`).Scan(&working)
		if err != nil || working >= n {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// StopWorker ends a worker's lease at once.
func (db *DB) StopWorker(ctx context.Context, worker int64) error {
	_, err := db.pool.Exec(ctx, `UPDATE worker SET lease_until = now() WHERE id = $1`, worker)
	if err != nil {
		return fmt.Errorf("end lease: %w", err)
	}
	return nil
}

// forgetWorker is how long after its lease a worker is looked for in the ledger: a
// claim that began within the lease is committed or lost long before.
const forgetWorker = 10 * time.Minute

// takeFromLapsed takes the rows of workers whose lease has run out, and forgets the
// workers after a while. Of a cancelled campaign nothing is sent again: its rows are
// in doubt for good. The ledger is read only when there are some: the open part
// of a large campaign is a million rows.
func takeFromLapsed(ctx context.Context, tx pgx.Tx, state campaign.DeliveryState, now time.Time) (taken int64, err error) {
	rows, err := tx.Query(ctx, `SELECT id FROM worker WHERE lease_until <= now()`)
	if err != nil {
		return 0, err
	}
	lapsed, err := pgx.CollectRows(rows, pgx.RowTo[int64])
	if err != nil || len(lapsed) == 0 {
		return 0, err
	}
	tag, err := tx.Exec(ctx, `
		UPDATE delivery d SET state = CASE WHEN c.state = 'cancelled' THEN 'in_doubt' ELSE $2::text END,
			worker_id = NULL, lapses = lapses + 1, changed_at = $1,
			reply = 'the worker that was sending it ended without a word'
		FROM batch b JOIN campaign c ON c.id = b.campaign_id
		WHERE b.closed_at IS NULL AND d.campaign_id = b.campaign_id AND d.batch = b.batch
			AND d.state = 'sending' AND d.worker_id = ANY ($3)`, now, state, lapsed)
	if err != nil {
		return 0, err
	}
	_, err = tx.Exec(ctx, `DELETE FROM worker WHERE id = ANY ($1) AND lease_until <= now() - $2::interval`, lapsed, forgetWorker)
	return tag.RowsAffected(), err
}

// Visit notes that a batch is being worked on, so that the sweep need not ring for
// it, and returns how often it was. It reports false when the batch is closed, or was
// visited since the bell was rung; with again, the latter does not count.
func (db *DB) Visit(ctx context.Context, b campaign.BatchID, again bool) (visits int, open bool, err error) {
	err = db.pool.QueryRow(ctx, `
		UPDATE batch SET rung_at = now(), visits = visits + 1
		WHERE campaign_id = $1 AND batch = $2 AND closed_at IS NULL AND ($4 OR visits = $3)
		RETURNING visits`, b.Campaign, b.Batch, b.Visits, again).Scan(&visits)
	if errors.Is(err, pgx.ErrNoRows) {
		return 0, false, nil
	}
	if err != nil {
		return 0, false, fmt.Errorf("visit batch %d of campaign %d: %w", b.Batch, b.Campaign, err)
	}
	return visits, true, nil
}

// Sweep looks over the ledger. Rows of workers whose lease has run out are in
// doubt: with resend they are pending again, without it they wait for a
// person. Batches that have something to send and that nobody has rung for
// within patience, and campaigns whose planning stands still, are returned for
// ringing, and campaigns that are done are finished. One sweep runs at a time;
// ran is false when another was at it.
func (db *DB) Sweep(ctx context.Context, resend bool, now time.Time, patience time.Duration, most int) (s campaign.Sweep, ran bool, err error) {
	err = db.inTx(ctx, func(tx pgx.Tx) error {
		if err := tx.QueryRow(ctx, `SELECT pg_try_advisory_xact_lock(hashtext('jatak sweep'))`).Scan(&ran); err != nil || !ran {
			return err
		}
		state := campaign.InDoubt
		if resend {
			state = campaign.Pending
		}
		if s.InDoubt, err = takeFromLapsed(ctx, tx, state, now); err != nil {
			return err
		}

		// Campaigns whose time has come.
		_, err := tx.Exec(ctx, `
			UPDATE campaign SET state = 'planning', launched_at = now(), audience_end = (SELECT coalesce(max(id), 0) FROM contact)
			WHERE state = 'scheduled' AND scheduled_at <= now()`)
		if err != nil {
			return err
		}

		rows, err := tx.Query(ctx, `
			SELECT c.id FROM campaign c WHERE c.state = 'planning'
			AND (coalesce(c.planning_at, c.launched_at) <= now() - $1::interval OR c.scheduled_at IS NOT NULL AND c.batches = 0)`, patience)
		if err != nil {
			return err
		}
		s.Plans, err = pgx.CollectRows(rows, pgx.RowTo[campaign.ID])
		if err != nil {
			return err
		}

		rows, err = tx.Query(ctx, `
			WITH due AS (
				SELECT b.campaign_id, b.batch, c.priority FROM batch b JOIN campaign c ON c.id = b.campaign_id
				WHERE b.closed_at IS NULL AND b.rung_at <= now() - $1::interval AND c.state IN ('planning', 'sending')
				AND coalesce(b.not_before <= now(), true)
				AND (EXISTS (SELECT FROM delivery d WHERE d.campaign_id = b.campaign_id AND d.batch = b.batch
						AND (d.state = 'pending' OR d.state = 'deferred' AND d.next_attempt_at <= now()))
					OR NOT EXISTS (SELECT FROM delivery d WHERE d.campaign_id = b.campaign_id AND d.batch = b.batch
						AND d.state IN ('pending', 'deferred')))
				ORDER BY b.rung_at LIMIT $2)
			UPDATE batch b SET rung_at = now() FROM due WHERE b.campaign_id = due.campaign_id AND b.batch = due.batch
			RETURNING b.campaign_id, b.batch, due.priority, b.visits`, patience, most)
		if err != nil {
			return err
		}
		s.Batches, err = pgx.CollectRows(rows, pgx.RowToStructByPos[campaign.BatchID])
		if err != nil {
			return err
		}

		s.Finished, err = finishEnded(ctx, tx, now)
		return err
	})
	if err != nil {
		return campaign.Sweep{}, false, fmt.Errorf("sweep: %w", err)
	}
	if ran {
		_, err = db.cancelRest(ctx, 0, now) // what came back after a cancellation
	}
	return s, ran, err
}

// finishEnded finishes the campaigns that have ended. One that somebody is changing
// is left to the next sweep: whoever has mails sent again holds the campaign and
// wants its batches, which this sweep may hold.
func finishEnded(ctx context.Context, tx pgx.Tx, now time.Time) ([]campaign.ID, error) {
	rows, err := tx.Query(ctx, `SELECT c.id FROM campaign c WHERE `+hasEnded+` FOR UPDATE SKIP LOCKED`)
	if err != nil {
		return nil, err
	}
	ended, err := pgx.CollectRows(rows, pgx.RowTo[campaign.ID])
	if err != nil || len(ended) == 0 {
		return nil, err
	}
	// Once more under the lock: some may have been sent again just before it.
	rows, err = tx.Query(ctx, `
		UPDATE campaign c SET state = 'finished', finished_at = $1 WHERE c.id = ANY ($2) AND `+hasEnded+` RETURNING c.id`, now, ended)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[campaign.ID])
}
