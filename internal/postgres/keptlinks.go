package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/jatak-mail/jatak/internal/campaign"
)

// KeepLink remembers that a link stays. It returns campaign.ErrConflict when the
// draft was saved since that version or the link is kept already, and
// campaign.ErrNotFound when the draft is gone or launched.
func (db *DB) KeepLink(ctx context.Context, k campaign.KeepLink) error {
	table, column := draftTable(k.DraftRef)
	draft := `state = 'draft'`
	if k.Template {
		draft = `true`
	}
	err := db.inTx(ctx, func(tx pgx.Tx) error {
		var version int64
		err := tx.QueryRow(ctx, `SELECT version FROM `+table+` WHERE id = $1 AND `+draft+` FOR SHARE`, k.DraftRef.ID).Scan(&version)
		if errors.Is(err, pgx.ErrNoRows) {
			return campaign.ErrNotFound
		}
		if err != nil {
			return err
		}
		if version != k.Version {
			return campaign.ErrConflict
		}
		tag, err := tx.Exec(ctx, `
			INSERT INTO kept_link (`+column+`, language, part, original, reason, actor, at) VALUES ($1, $2, $3, $4, $5, $6, $7)
			ON CONFLICT DO NOTHING`, k.DraftRef.ID, k.Language, k.Part, k.Source, k.Reason, k.Actor, k.At)
		if err != nil {
			return err
		}
		if tag.RowsAffected() == 0 {
			return campaign.ErrConflict
		}
		return auditDraft(ctx, tx, k.DraftRef, "link keep", fmt.Sprintf("version %d line %d: %s", version, k.Line, k.Reason), k.Actor, k.At)
	})
	if err != nil {
		return fmt.Errorf("keep a link: %w", err)
	}
	return nil
}

// AskAboutLink forgets that a link is kept, so that it is asked about again. It
// returns campaign.ErrNotFound when somebody else was faster.
func (db *DB) AskAboutLink(ctx context.Context, id int64, actor string, now time.Time) error {
	err := db.inTx(ctx, func(tx pgx.Tx) error {
		var ref campaign.DraftRef
		var version int64
		var reason string
		err := tx.QueryRow(ctx, `
			DELETE FROM kept_link k WHERE id = $1 RETURNING coalesce(campaign_id, template_id), template_id IS NOT NULL, reason,
				coalesce((SELECT version FROM campaign WHERE id = k.campaign_id), (SELECT version FROM mail_template WHERE id = k.template_id))`, id).
			Scan(&ref.ID, &ref.Template, &reason, &version)
		if errors.Is(err, pgx.ErrNoRows) {
			return campaign.ErrNotFound
		}
		if err != nil {
			return err
		}
		return auditDraft(ctx, tx, ref, "link ask", fmt.Sprintf("version %d: %s", version, reason), actor, now)
	})
	if err != nil {
		return fmt.Errorf("ask about a link again: %w", err)
	}
	return nil
}

// KeptLinks returns the links that are kept in drafts and templates.
func (db *DB) KeptLinks(ctx context.Context) (list campaign.KeptLinks, err error) {
	rows, err := db.pool.Query(ctx, `
		SELECT k.id, coalesce(k.campaign_id, k.template_id), k.template_id IS NOT NULL, k.language, k.part, k.original, k.reason, k.actor, k.at
		FROM kept_link k LEFT JOIN campaign c ON c.id = k.campaign_id
		WHERE k.template_id IS NOT NULL OR c.state = 'draft' ORDER BY k.id`)
	if err != nil {
		return nil, fmt.Errorf("read kept links: %w", err)
	}
	list, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (k campaign.KeptLink, err error) {
		return k, row.Scan(&k.ID, &k.DraftRef.ID, &k.Template, &k.Language, &k.Part, &k.Source, &k.Reason, &k.Actor, &k.At)
	})
	if err != nil {
		return nil, fmt.Errorf("read kept links: %w", err)
	}
	return list, nil
}
