package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/jatak-mail/jatak/gating"
	"github.com/jatak-mail/jatak/internal/campaign"
	"github.com/jatak-mail/jatak/internal/contact"
)

// QueueTestMail keeps a mail to try a draft with; a worker sends it.
func (db *DB) QueueTestMail(ctx context.Context, m campaign.TestMail) error {
	_, column := draftTable(m.Draft)
	var as *int64
	if m.Contact != 0 {
		id := int64(m.Contact)
		as = &id
	}
	err := db.inTx(ctx, func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, `
			INSERT INTO test_mail (`+column+`, content, language, contact_id, address, requested_by, requested_at, due_at, changed_at)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $7, $7)`, m.Draft.ID, m.Content, m.Language, as, m.Address, m.Actor, m.Requested)
		if err != nil {
			return err
		}
		return auditDraft(ctx, tx, m.Draft, "test", m.Language, m.Actor, m.Requested)
	})
	if err != nil {
		return fmt.Errorf("queue test mail: %w", err)
	}
	return nil
}

// TestMails returns the newest test mails of a draft, without their content.
func (db *DB) TestMails(ctx context.Context, ref campaign.DraftRef, most int) ([]campaign.TestMail, error) {
	_, column := draftTable(ref)
	rows, err := db.pool.Query(ctx, `
		SELECT id, language, address, requested_at, requested_by, state, reason, reply, attempts, changed_at
		FROM test_mail WHERE `+column+` = $1 ORDER BY id DESC LIMIT $2`, ref.ID, most)
	if err != nil {
		return nil, fmt.Errorf("read test mails: %w", err)
	}
	list, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (m campaign.TestMail, err error) {
		m.Draft = ref
		return m, row.Scan(&m.ID, &m.Language, &m.Address, &m.Requested, &m.Actor, &m.State, &m.Reason, &m.Reply, &m.Attempts, &m.At)
	})
	if err != nil {
		return nil, fmt.Errorf("read test mails: %w", err)
	}
	return list, nil
}

// TestMailsDue reports whether there is a test mail to send.
func (db *DB) TestMailsDue(ctx context.Context, now time.Time) (due bool, err error) {
	err = db.pool.QueryRow(ctx, `SELECT EXISTS (SELECT FROM test_mail WHERE state = 'pending' AND due_at <= $1)`, now).Scan(&due)
	if err != nil {
		return false, fmt.Errorf("look for test mails: %w", err)
	}
	return due, nil
}

// ClaimTestMail takes a test mail that is due; without one it reports false.
// Whoever claims it has until retryAt: then it is due again.
func (db *DB) ClaimTestMail(ctx context.Context, now, retryAt time.Time) (m campaign.TestMail, claimed bool, err error) {
	var campaignID, templateID *int64
	err = db.pool.QueryRow(ctx, `
		WITH picked AS (
			SELECT id FROM test_mail WHERE state = 'pending' AND due_at <= $1 ORDER BY due_at LIMIT 1 FOR NO KEY UPDATE SKIP LOCKED
		), claimed AS (
			UPDATE test_mail m SET attempts = m.attempts + 1, due_at = $2, changed_at = $1 FROM picked WHERE m.id = picked.id
			RETURNING m.id, m.campaign_id, m.template_id, m.content, m.language, m.address, m.attempts, m.contact_id
		)
		SELECT m.id, m.campaign_id, m.template_id, m.content, m.language, m.address, m.attempts,
			coalesce(c.id, 0), coalesce(c.email, ''), coalesce(c.first_name, ''), coalesce(c.last_name, ''), coalesce(co.name, '')
		FROM claimed m LEFT JOIN contact c ON c.id = m.contact_id AND c.deleted_at IS NULL LEFT JOIN company co ON co.id = c.company_id`, now, retryAt).
		Scan(&m.ID, &campaignID, &templateID, &m.Content, &m.Language, &m.Address, &m.Attempts,
			&m.Contact, &m.As.Email, &m.As.FirstName, &m.As.LastName, &m.As.Company)
	if errors.Is(err, pgx.ErrNoRows) {
		return m, false, nil
	}
	if err != nil {
		return m, false, fmt.Errorf("claim test mail: %w", err)
	}
	if templateID != nil {
		m.Draft = campaign.DraftRef{Template: true, ID: *templateID}
	} else {
		m.Draft.ID = *campaignID
	}
	m.As.ID = m.Contact
	return m, true, nil
}

// AddressFacts returns what the gate asks about a mail that is not for a contact
// but for an address: whether it is suppressed, or bounces.
func (db *DB) AddressFacts(ctx context.Context, address contact.Address, digest []byte) (gating.Facts, error) {
	var s factScan
	err := db.pool.QueryRow(ctx, `
		SELECT coalesce((SELECT max(bounces) FROM contact WHERE address = $1 AND deleted_at IS NULL), 0),
			(SELECT array_agg(ARRAY[s.scope, s.type_id::text, s.reason]) FROM suppression s WHERE s.address_digest = $2)`, address, digest).
		Scan(&s.facts.BouncesInRow, &s.suppressions)
	if err != nil {
		return gating.Facts{}, fmt.Errorf("read the facts of an address: %w", err)
	}
	s.facts.AddressValid = address != ""
	return s.result(), nil
}

// RecordTestMail keeps what became of a test mail.
func (db *DB) RecordTestMail(ctx context.Context, o campaign.TestMailOutcome) error {
	_, err := db.pool.Exec(ctx, `
		UPDATE test_mail SET state = $2, reason = $3, reply = $4, due_at = CASE WHEN $2 = 'pending' THEN $5 ELSE due_at END, changed_at = $6
		WHERE id = $1 AND state = 'pending'`, o.ID, o.State, o.Reason, o.Reply, o.Due, o.At)
	if err != nil {
		return fmt.Errorf("record test mail %d: %w", o.ID, err)
	}
	return nil
}

// ForgetTestMails removes test mails that were asked for before a time: they
// hold addresses.
func (db *DB) ForgetTestMails(ctx context.Context, before time.Time) (n int64, err error) {
	tag, err := db.pool.Exec(ctx, `DELETE FROM test_mail WHERE requested_at < $1`, before)
	if err != nil {
		return 0, fmt.Errorf("forget test mails: %w", err)
	}
	return tag.RowsAffected(), nil
}
