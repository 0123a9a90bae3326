package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/jatak-mail/jatak/gating"
	"github.com/jatak-mail/jatak/internal/contact"
)

// ClaimNotices takes notices that are due, at most limit of them, with the
// facts and the policy of this moment. Whoever claims them has until retryAt:
// then they are due again.
func (db *DB) ClaimNotices(ctx context.Context, limit int, now, retryAt time.Time) (policy gating.Policy, claimed []contact.Notice, err error) {
	requests := &pgx.Batch{}
	requests.Queue(currentSettings).Query(func(rows pgx.Rows) (err error) {
		policy, err = collectPolicy(rows, now)
		policy.Class = gating.Service
		return err
	})
	requests.Queue(`
		WITH picked AS (
			SELECT id FROM notice WHERE state = 'pending' AND due_at <= $2 ORDER BY due_at LIMIT $3 FOR NO KEY UPDATE SKIP LOCKED
		), claimed AS (
			UPDATE notice n SET attempts = n.attempts + 1, due_at = $4, changed_at = $2 FROM picked WHERE n.id = picked.id
			RETURNING n.id, n.kind, n.sign_up_id, n.locale, n.attempts, n.contact_id
		)
		SELECT claimed.id, claimed.kind, coalesce(claimed.sign_up_id, 0), coalesce(u.expires_at, 'epoch'), claimed.locale, claimed.attempts,`+personColumns+`,`+factColumns+`
		FROM claimed JOIN contact c ON c.id = claimed.contact_id LEFT JOIN sign_up u ON u.id = claimed.sign_up_id`+factJoins,
		nil, now, limit, retryAt).Query(func(rows pgx.Rows) (err error) {
		claimed, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (n contact.Notice, err error) {
			var s factScan
			err = row.Scan(append([]any{&n.ID, &n.Kind, &n.SignUp, &n.Expires, &n.Locale, &n.Attempts,
				&n.Recipient.ID, &n.Address, &n.Email, &n.FirstName, &n.LastName, &n.Company, &n.Language}, s.targets()...)...)
			n.Facts = s.result()
			return n, err
		})
		return err
	})
	if err := db.pool.SendBatch(ctx, requests).Close(); err != nil {
		return policy, nil, fmt.Errorf("claim notices: %w", err)
	}
	return policy, claimed, nil
}

// RecordNotice keeps what became of a notice.
func (db *DB) RecordNotice(ctx context.Context, o contact.NoticeOutcome) error {
	_, err := db.pool.Exec(ctx, `
		UPDATE notice SET state = $2, reason = $3, reply = $4, due_at = CASE WHEN $2 = 'pending' THEN $5 ELSE due_at END, changed_at = $6
		WHERE id = $1 AND state = 'pending'`, o.ID, o.State, o.Reason, o.Reply, o.Due, o.At)
	if err != nil {
		return fmt.Errorf("record notice %d: %w", o.ID, err)
	}
	return nil
}

// NoticesDue reports whether there is a notice to send.
func (db *DB) NoticesDue(ctx context.Context, now time.Time) (due bool, err error) {
	err = db.pool.QueryRow(ctx, `SELECT EXISTS (SELECT FROM notice WHERE state = 'pending' AND due_at <= $1)`, now).Scan(&due)
	if err != nil {
		return false, fmt.Errorf("look for notices: %w", err)
	}
	return due, nil
}
