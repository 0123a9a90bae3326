package postgres

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/jatak-mail/jatak/gating"
	"github.com/jatak-mail/jatak/internal/contact"
)

// Complain keeps that the recipient of a mail reported it as spam, in one
// transaction: the address is suppressed, each contact that has it is withdrawn from
// e-marketing, the complaint counts for the campaign, and the audit log says who kept
// it. Without a campaign in c it is that of the last mail to the address, if there was
// any. One that is kept already changes nothing. It returns contact.ErrNotFound when
// nobody has the address, and contact.ErrNotMailed when the campaign did not mail it.
func (db *DB) Complain(ctx context.Context, c contact.Complaint) (kept contact.KeptComplaint, err error) {
	err = db.inTx(ctx, func(tx pgx.Tx) error {
		var ids []contact.ID
		rows, err := tx.Query(ctx, `SELECT id FROM contact WHERE address = $1 AND deleted_at IS NULL ORDER BY id FOR NO KEY UPDATE`, c.Address)
		if err == nil {
			ids, err = pgx.CollectRows(rows, pgx.RowTo[contact.ID])
		}
		if err != nil {
			return err
		}
		if len(ids) == 0 {
			return contact.ErrNotFound
		}
		kept.Contact = ids[0]
		err = tx.QueryRow(ctx, `
			SELECT d.campaign_id, d.contact_id FROM delivery d
			WHERE d.contact_id = ANY ($1) AND ($2::bigint = 0 OR d.campaign_id = $2) AND d.state IN ('sent', 'in_doubt', 'sending')
			ORDER BY d.changed_at DESC LIMIT 1`, ids, c.Campaign).Scan(&kept.Campaign, &kept.Contact)
		if errors.Is(err, pgx.ErrNoRows) {
			err = nil
			if c.Campaign != 0 {
				return contact.ErrNotMailed
			}
		}
		if err != nil {
			return err
		}
		kept.New, err = keepComplaint(ctx, tx, c, kept, ids)
		return err
	})
	if err != nil {
		return kept, fmt.Errorf("keep a complaint: %w", err)
	}
	return kept, nil
}

// keepComplaint writes what follows from a complaint. Who got the mail has an event
// for each campaign complained of, also when withdrawn before: the breaker and the
// report count them.
func keepComplaint(ctx context.Context, tx pgx.Tx, c contact.Complaint, of contact.KeptComplaint, ids []contact.ID) (changed bool, err error) {
	events, err := tx.Exec(ctx, recordEvents(`
			SELECT c.id, $1::text, $2::text, NULL::timestamptz, $3::text, $4::text, '', c.language,
				CASE WHEN c.id = $5 THEN nullif($6::bigint, 0) END, $7::text, $8::timestamptz
			FROM contact c WHERE c.id = ANY ($9) AND CASE WHEN c.id = $5
				THEN NOT EXISTS (SELECT FROM consent_event v WHERE v.contact_id = c.id AND v.purpose = $1 AND v.source = $3
					AND v.campaign_id IS NOT DISTINCT FROM nullif($6::bigint, 0))
				ELSE NOT EXISTS (SELECT FROM consent e WHERE e.contact_id = c.id AND e.purpose = $1 AND e.basis = $2) END`),
		gating.PurposeEmarketing, gating.BasisWithdrawn, gating.SourceComplaint, c.Actor, of.Contact, of.Campaign, c.Comment, c.At, ids)
	if err != nil {
		return false, err
	}
	suppressed, err := tx.Exec(ctx, `
		INSERT INTO suppression (address_digest, scope, reason, at)
		SELECT address_digest, 'all', $2, $3 FROM contact WHERE id = $1 AND address_digest IS NOT NULL ON CONFLICT DO NOTHING`,
		of.Contact, gating.SuppressedComplaint, c.At)
	if err != nil || events.RowsAffected()+suppressed.RowsAffected() == 0 {
		return false, err
	}
	_, err = tx.Exec(ctx, `
		INSERT INTO audit (actor, action, contact_id, campaign_id, detail, at) VALUES ($1, 'contact complaint', $2, nullif($3::bigint, 0), '', $4)`,
		c.Actor, of.Contact, of.Campaign, c.At)
	return true, err
}
