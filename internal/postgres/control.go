package postgres

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/jatak-mail/jatak/internal/campaign"
	"github.com/jatak-mail/jatak/internal/staff"
)

// move changes a campaign's state, or says why it cannot.
func (db *DB) move(ctx context.Context, id campaign.ID, verb, set, from string, args ...any) error {
	tag, err := db.pool.Exec(ctx, `UPDATE campaign SET `+set+` WHERE id = $1 AND state IN (`+from+`)`, append([]any{id}, args...)...)
	if err != nil {
		return fmt.Errorf("%s campaign %d: %w", verb, id, err)
	}
	if tag.RowsAffected() == 1 {
		return nil
	}
	return db.whyNotMoved(ctx, id, verb, from)
}

func (db *DB) whyNotMoved(ctx context.Context, id campaign.ID, verb, from string) error {
	kept, err := db.Campaign(ctx, id)
	if err != nil {
		return err
	}
	return refusal("campaign %d is %s; only one that is %s can be told to %s", id, kept.State, from, verb)
}

// noteOverride writes in the audit log that a campaign of the statement's part
// "moved" was let go with an override: that was decided now, whatever becomes of
// the campaign.
const noteOverride = `noted AS (
	INSERT INTO audit (actor, action, campaign_id, detail, at)
	SELECT override_by, 'campaign override', id, override_reason, $2::timestamptz FROM moved WHERE override_reason <> '')`

// Schedule freezes a draft until its time; the sweep launches it then.
func (db *DB) Schedule(ctx context.Context, id campaign.ID, at time.Time, override campaign.Override) error {
	return db.schedule(ctx, id, at, campaign.LocalTime{}, override)
}

// ScheduleLocal freezes a draft until it is the time where each recipient is;
// planning begins when that is the case for the first.
func (db *DB) ScheduleLocal(ctx context.Context, id campaign.ID, at campaign.LocalTime, override campaign.Override) error {
	return db.schedule(ctx, id, at.First(), at, override)
}

func (db *DB) schedule(ctx context.Context, id campaign.ID, at time.Time, local campaign.LocalTime, override campaign.Override) error {
	const verb = "wait for its time"
	var clock *time.Time
	if !local.IsZero() {
		clock = &local.Clock
	}
	var moved int64
	err := db.pool.QueryRow(ctx, `
		WITH moved AS (
			UPDATE campaign SET state = 'scheduled', scheduled_at = $3, local_time = $4, local_zone = $5, override_reason = $6, override_by = $7
			WHERE id = $1 AND state = 'draft' RETURNING id, override_reason, override_by
		), `+noteOverride+`
		SELECT count(*) FROM moved`, id, override.At, at, clock, local.Zone, override.Reason, override.By).Scan(&moved)
	if err != nil {
		return fmt.Errorf("%s campaign %d: %w", verb, id, err)
	}
	if moved == 0 {
		return db.whyNotMoved(ctx, id, verb, `'draft'`)
	}
	return nil
}

// Unschedule makes a scheduled campaign a draft again.
func (db *DB) Unschedule(ctx context.Context, id campaign.ID) error {
	return db.move(ctx, id, "be a draft again", `state = 'draft', scheduled_at = NULL, override_reason = '', override_by = '',
		local_time = NULL, local_zone = ''`, `'scheduled'`)
}

// Pause stops a campaign: nothing more of it is planned or claimed.
func (db *DB) Pause(ctx context.Context, id campaign.ID, reason string) error {
	return db.move(ctx, id, "pause", `state = 'paused', pause_reason = $2`, `'planning', 'sending'`, reason)
}

// PauseFailing stops a campaign of which too many mails fail, if it was resumed so
// often and not since: whoever has resumed it knew.
func (db *DB) PauseFailing(ctx context.Context, id campaign.ID, resumed int, reason string) (paused bool, err error) {
	tag, err := db.pool.Exec(ctx, `
		UPDATE campaign SET state = 'paused', pause_reason = $3 WHERE id = $1 AND resumed = $2 AND state IN ('planning', 'sending')`, id, resumed, reason)
	if err != nil {
		return false, fmt.Errorf("pause campaign %d: %w", id, err)
	}
	return tag.RowsAffected() == 1, nil
}

// Resume lets a paused campaign go on. Its bells are due at once.
func (db *DB) Resume(ctx context.Context, id campaign.ID) error {
	err := db.move(ctx, id, "go on", `state = CASE WHEN planned_at IS NULL THEN 'planning' ELSE 'sending' END, pause_reason = '', planning_at = 'epoch',
		resumed = resumed + 1, resumed_at = now()`, `'paused'`)
	if err != nil {
		return err
	}
	return db.ringSoon(ctx, id)
}

// ringSoon makes the sweep ring for a campaign's open batches at its next look.
func (db *DB) ringSoon(ctx context.Context, id campaign.ID) error {
	_, err := db.pool.Exec(ctx, `UPDATE batch SET rung_at = 'epoch' WHERE campaign_id = $1 AND closed_at IS NULL`, id)
	if err != nil {
		return fmt.Errorf("ring for campaign %d: %w", id, err)
	}
	return nil
}

// End cancels a campaign: what was not sent will not be, and what is on its way at
// this moment still arrives. The mails that it leaves open are for CancelRest or, if
// that is not reached, the sweep: a million take a while.
func (db *DB) End(ctx context.Context, id campaign.ID, now time.Time) error {
	return db.move(ctx, id, "end", `state = 'cancelled', finished_at = $2`, `'draft', 'scheduled', 'planning', 'sending', 'paused'`, now)
}

// CancelRest cancels all that a cancelled campaign has left.
func (db *DB) CancelRest(ctx context.Context, id campaign.ID, now time.Time) error {
	for {
		n, err := db.cancelRest(ctx, id, now)
		if err != nil || n == 0 {
			return err
		}
	}
}

// cancelRest cancels what a cancelled campaign has left in some of its batches,
// closes those that have nothing left, and returns how many batches it saw to. A
// mail that may have arrived is in doubt for good: it is not sent again, and to
// call it cancelled would be to say that it was not sent. With id 0 it looks at all.
func (db *DB) cancelRest(ctx context.Context, id campaign.ID, now time.Time) (batches int, err error) {
	err = db.inTx(ctx, func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, `
			SELECT b.campaign_id, b.batch FROM batch b JOIN campaign c ON c.id = b.campaign_id
			WHERE b.closed_at IS NULL AND c.state = 'cancelled' AND ($1::bigint = 0 OR c.id = $1)
				AND (`+nothingOpen+`
					OR EXISTS (SELECT FROM delivery d WHERE d.campaign_id = b.campaign_id AND d.batch = b.batch AND d.state IN ('pending', 'deferred')))
			LIMIT 20`, id)
		if err != nil {
			return err
		}
		var ids []campaign.ID
		var numbers []int
		part, err := pgx.CollectRows(rows, pgx.RowToStructByPos[struct {
			Campaign campaign.ID
			Batch    int
		}])
		if err != nil {
			return err
		}
		for _, b := range part {
			ids, numbers = append(ids, b.Campaign), append(numbers, b.Batch)
		}
		if batches = len(part); batches == 0 {
			return nil
		}
		if _, err := tx.Exec(ctx, `
			UPDATE delivery d SET state = CASE WHEN d.doubts > 0 OR d.lapses > 0 THEN 'in_doubt' ELSE 'cancelled' END,
				next_attempt_at = NULL, changed_at = $3
			FROM unnest($1::bigint[], $2::int[]) AS part (campaign_id, batch)
			WHERE d.campaign_id = part.campaign_id AND d.batch = part.batch AND d.state IN ('pending', 'deferred')`, ids, numbers, now); err != nil {
			return err
		}
		// A second statement: it sees what a claim took for which the first one waited.
		_, err = tx.Exec(ctx, `
			UPDATE batch b SET closed_at = $3 FROM unnest($1::bigint[], $2::int[]) AS part (campaign_id, batch)
			WHERE b.campaign_id = part.campaign_id AND b.batch = part.batch AND `+nothingOpen, ids, numbers, now)
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("cancel what is left: %w", err)
	}
	return batches, nil
}

// nothingOpen is true of a batch b that has nothing left to send.
const nothingOpen = `NOT EXISTS (SELECT FROM delivery d WHERE d.campaign_id = b.campaign_id AND d.batch = b.batch
	AND d.state IN ('pending', 'sending', 'deferred'))`

// toResend is true of the rows of campaign $1 in state $2 with a basic code $3 (0:
// any) and an enhanced one $4 or one that begins with it (”: any).
const toResend = `campaign_id = $1 AND state = $2 AND ($3 = 0 OR code = $3) AND ($4 = '' OR enhanced = $4 OR starts_with(enhanced, $4 || '.'))`

// mayResend locks a campaign and says why none of its mails can be sent again.
func mayResend(ctx context.Context, tx pgx.Tx, id campaign.ID, state campaign.DeliveryState) error {
	if state != campaign.InDoubt && state != campaign.Failed {
		return fmt.Errorf("only mails that are %s or %s can be sent again, not those that are %s", campaign.InDoubt, campaign.Failed, state)
	}
	var may bool
	err := tx.QueryRow(ctx, `SELECT state IN ('planning', 'sending', 'paused', 'finished') FROM campaign WHERE id = $1 FOR UPDATE`, id).Scan(&may)
	switch {
	case err == pgx.ErrNoRows:
		return campaign.ErrNotFound
	case err != nil:
		return err
	case !may:
		return refusal("campaign %d was not launched, or is cancelled", id)
	}
	return nil
}

// CountResend returns how many rows Resend would make pending, and changes nothing.
func (db *DB) CountResend(ctx context.Context, id campaign.ID, state campaign.DeliveryState, code campaign.ReplyCode) (rows int64, err error) {
	err = db.inTx(ctx, func(tx pgx.Tx) error {
		if err := mayResend(ctx, tx, id, state); err != nil {
			return err
		}
		return tx.QueryRow(ctx, `SELECT count(*) FROM delivery WHERE `+toResend, id, state, code.Basic, code.Enhanced).Scan(&rows)
	})
	if err != nil {
		return 0, fmt.Errorf("send again: %w", err)
	}
	return rows, nil
}

// Resend makes rows that ended in a state pending again: in doubt, or failed
// with a reply code. The campaign goes on if it had finished.
func (db *DB) Resend(ctx context.Context, id campaign.ID, state campaign.DeliveryState, code campaign.ReplyCode, actor string, now time.Time) (rows int64, err error) {
	err = db.inTx(ctx, func(tx pgx.Tx) error {
		if err := mayResend(ctx, tx, id, state); err != nil {
			return err
		}
		tag, err := tx.Exec(ctx, `
			UPDATE delivery SET state = 'pending', attempts = 0, deferred_since = NULL, changed_at = $5 WHERE `+toResend,
			id, state, code.Basic, code.Enhanced, now)
		if err != nil {
			return err
		}
		rows = tag.RowsAffected()
		if rows == 0 {
			return nil
		}
		if _, err = tx.Exec(ctx, `DELETE FROM campaign_account WHERE campaign_id = $1`, id); err != nil {
			return err
		}
		what := fmt.Sprintf("%s: %d", strings.TrimSpace(string(state)+" "+code.String()), rows)
		if err = (&DB{pool: tx}).WriteAudit(ctx, staff.Entry{Actor: actor, Action: "campaign resend", Campaign: int64(id), Detail: what, At: now}); err != nil {
			return err
		}
		_, err = tx.Exec(ctx, `
			UPDATE batch b SET closed_at = NULL, rung_at = 'epoch' WHERE campaign_id = $1
				AND EXISTS (SELECT FROM delivery d WHERE d.campaign_id = b.campaign_id AND d.batch = b.batch AND d.state = 'pending')`, id)
		if err != nil {
			return err
		}
		_, err = tx.Exec(ctx, `UPDATE campaign SET state = 'sending', finished_at = NULL, resumed = resumed + 1 WHERE id = $1 AND state = 'finished'`, id)
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("send again: %w", err)
	}
	return rows, nil
}

// SetPriority changes which campaign's batches come first, from the next bell
// on.
func (db *DB) SetPriority(ctx context.Context, id campaign.ID, p campaign.Priority) error {
	return db.move(ctx, id, "change its priority", `priority = $2`, `'draft', 'scheduled', 'planning', 'sending', 'paused'`, p)
}

// SetPace bounds a campaign's mails a second, from the next claim on; 0 is no
// bound.
func (db *DB) SetPace(ctx context.Context, id campaign.ID, perSecond float64) error {
	return db.move(ctx, id, "change its pace", `pace = $2`, `'draft', 'scheduled', 'planning', 'sending', 'paused'`, perSecond)
}
