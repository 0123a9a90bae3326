package postgres

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/jatak-mail/jatak/internal/campaign"
)

// draftTable names where a draft is kept and the column that points at it.
func draftTable(ref campaign.DraftRef) (table, column string) {
	if ref.Template {
		return "mail_template", "template_id"
	}
	return "campaign", "campaign_id"
}

// CreateDraft keeps the draft of a new campaign, which may lack what a campaign
// must have when it is launched.
func (db *DB) CreateDraft(ctx context.Context, content campaign.Content, actor string, now time.Time) (id campaign.ID, err error) {
	if err := content.ValidateDraft(); err != nil {
		return 0, err
	}
	err = db.inTx(ctx, func(tx pgx.Tx) error {
		err := tx.QueryRow(ctx, `
			INSERT INTO campaign (name, class, type_name, type_id, content, created_at, changed_at, changed_by)
			SELECT $1, $2, $3, t.id, $4, $5, $5, $6
			FROM (SELECT $3 AS subscription_type) m LEFT JOIN subscription_type t ON t.retired_at IS NULL AND `+typeIsNamed+`
			WHERE m.subscription_type = '' OR t.id IS NOT NULL OR NOT EXISTS (SELECT FROM subscription_type WHERE retired_at IS NULL)
			RETURNING id`, content.Name, classOf(content), content.Type, content, now, actor).Scan(&id)
		if errors.Is(err, pgx.ErrNoRows) {
			return campaign.ErrUnknownType
		}
		if err != nil {
			return err
		}
		_, err = tx.Exec(ctx, `INSERT INTO audit (actor, action, campaign_id, at) VALUES ($1, 'campaign create', $2, $3)`, actor, id, now)
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("create campaign: %w", err)
	}
	return id, nil
}

// Draft returns what is being written, or campaign.ErrNotFound. The draft of a
// campaign that is launched is what was sent.
func (db *DB) Draft(ctx context.Context, ref campaign.DraftRef) (d campaign.Draft, err error) {
	state, reached := `state`, `reached`
	if ref.Template {
		state, reached = `'draft'`, `0`
	}
	table, _ := draftTable(ref)
	d.DraftRef = ref
	err = db.pool.QueryRow(ctx, `SELECT content, `+state+`, version, coalesce(changed_at, created_at), changed_by, `+reached+` FROM `+table+` WHERE id = $1`, ref.ID).
		Scan(&d.Content, &d.State, &d.Version, &d.ChangedAt, &d.ChangedBy, &d.Reached)
	if errors.Is(err, pgx.ErrNoRows) {
		return d, campaign.ErrNotFound
	}
	if err != nil {
		return d, fmt.Errorf("read draft: %w", err)
	}
	return d, nil
}

// ReachStep remembers that the draft of a campaign is written as far as a step.
func (db *DB) ReachStep(ctx context.Context, id campaign.ID, step int) error {
	_, err := db.pool.Exec(ctx, `UPDATE campaign SET reached = $2 WHERE id = $1 AND state = 'draft' AND reached < $2`, id, step)
	if err != nil {
		return fmt.Errorf("keep the step of a draft: %w", err)
	}
	return nil
}

// KeepDraft replaces the content of a draft and returns its new version. What it
// replaces can be looked at and restored. It returns campaign.ErrConflict when
// somebody has saved since the base version, and campaign.ErrFrozen when the
// campaign is launched: then nothing changes.
func (db *DB) KeepDraft(ctx context.Context, s campaign.Save) (version int64, err error) {
	if err := s.Content.ValidateDraft(); err != nil {
		return 0, err
	}
	err = db.inTx(ctx, func(tx pgx.Tx) error {
		if err := keepPresent(ctx, tx, s); err != nil {
			return err
		}
		version, err = replaceContent(ctx, tx, s)
		if err != nil {
			return err
		}
		return keepVersion(ctx, tx, s, version)
	})
	if err != nil {
		return 0, fmt.Errorf("save draft: %w", err)
	}
	return version, nil
}

// keepPresent remembers the present content, unless it is remembered already.
func keepPresent(ctx context.Context, tx pgx.Tx, s campaign.Save) error {
	table, column := draftTable(s.DraftRef)
	_, err := tx.Exec(ctx, `
		INSERT INTO content_version (`+column+`, version, content, actor, editor, began_at, at)
		SELECT d.id, d.version, d.content, d.changed_by, '', coalesce(d.changed_at, d.created_at), coalesce(d.changed_at, d.created_at)
		FROM `+table+` d WHERE d.id = $1
			AND NOT EXISTS (SELECT FROM content_version v WHERE v.`+column+` = d.id AND v.version = d.version)
		ON CONFLICT DO NOTHING`, s.ID)
	return err
}

func replaceContent(ctx context.Context, tx pgx.Tx, s campaign.Save) (version int64, err error) {
	if s.Template {
		err = tx.QueryRow(ctx, `
			UPDATE mail_template SET content = $3, version = version + 1, changed_at = $4, changed_by = $5
			WHERE id = $1 AND version = $2 RETURNING version`, s.ID, s.Base, s.Content, s.At, s.Actor).Scan(&version)
	} else {
		err = tx.QueryRow(ctx, `
			UPDATE campaign c SET name = $6, class = $7, type_name = $8, type_id = t.id, content = $3, version = version + 1, changed_at = $4, changed_by = $5
			FROM (SELECT $8::text AS subscription_type) m LEFT JOIN subscription_type t ON t.retired_at IS NULL AND `+typeIsNamed+`
			WHERE c.id = $1 AND c.version = $2 AND c.state = 'draft'
				AND (m.subscription_type = '' OR t.id IS NOT NULL OR NOT EXISTS (SELECT FROM subscription_type WHERE retired_at IS NULL))
			RETURNING c.version`, s.ID, s.Base, s.Content, s.At, s.Actor, s.Content.Name, classOf(s.Content), s.Content.Type).Scan(&version)
	}
	if !errors.Is(err, pgx.ErrNoRows) {
		return version, err
	}
	return 0, whyNotSaved(ctx, tx, s)
}

// whyNotSaved says why no row was there to be changed.
func whyNotSaved(ctx context.Context, tx pgx.Tx, s campaign.Save) error {
	table, _ := draftTable(s.DraftRef)
	state := `state`
	if s.Template {
		state = `'draft'`
	}
	var version int64
	var kept campaign.State
	err := tx.QueryRow(ctx, `SELECT version, `+state+` FROM `+table+` WHERE id = $1`, s.ID).Scan(&version, &kept)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return campaign.ErrNotFound
	case err != nil:
		return err
	case kept != campaign.StateDraft:
		return campaign.ErrFrozen
	case version != s.Base:
		return campaign.ErrConflict
	}
	return campaign.ErrUnknownType
}

// keepVersion remembers what was saved: in the row of the stretch that the page
// is in, or in one of its own, which the audit log tells of. The oldest go.
func keepVersion(ctx context.Context, tx pgx.Tx, s campaign.Save, version int64) error {
	_, column := draftTable(s.DraftRef)
	tag, err := tx.Exec(ctx, `
		UPDATE content_version SET version = $3, content = $4, at = $5
		WHERE `+column+` = $1 AND version = $2 AND editor = $6 AND editor <> '' AND actor = $7 AND began_at > $8`,
		s.ID, s.Base, version, s.Content, s.At, s.Editor, s.Actor, s.At.Add(-campaign.Stretch))
	if err != nil || tag.RowsAffected() > 0 {
		return err
	}
	_, err = tx.Exec(ctx, `
		INSERT INTO content_version (`+column+`, version, content, actor, editor, began_at, at) VALUES ($1, $2, $3, $4, $5, $6, $6)`,
		s.ID, version, s.Content, s.Actor, s.Editor, s.At)
	if err != nil {
		return err
	}
	_, err = tx.Exec(ctx, `
		DELETE FROM content_version WHERE `+column+` = $1 AND version <= (
			SELECT version FROM content_version WHERE `+column+` = $1 ORDER BY version DESC OFFSET $2 LIMIT 1)`, s.ID, campaign.MostVersions)
	if err != nil {
		return err
	}
	return auditDraft(ctx, tx, s.DraftRef, s.Action, fmt.Sprint("version ", version), s.Actor, s.At)
}

// auditDraft writes who did what to a draft or template.
func auditDraft(ctx context.Context, tx pgx.Tx, ref campaign.DraftRef, action, detail, actor string, now time.Time) error {
	kind, id := "campaign ", &ref.ID
	if ref.Template {
		kind, id, detail = "template ", nil, fmt.Sprintf("template %d %s", ref.ID, detail)
	}
	_, err := tx.Exec(ctx, `INSERT INTO audit (actor, action, campaign_id, detail, at) VALUES ($1, $2, $3, $4, $5)`,
		actor, kind+action, id, strings.TrimSpace(detail), now)
	return err
}

// Versions returns what is remembered of a draft, newest first, without the
// content.
func (db *DB) Versions(ctx context.Context, ref campaign.DraftRef) ([]campaign.Version, error) {
	_, column := draftTable(ref)
	rows, err := db.pool.Query(ctx, `
		SELECT version, actor, began_at, at FROM content_version WHERE `+column+` = $1 ORDER BY version DESC`, ref.ID)
	if err != nil {
		return nil, fmt.Errorf("read versions: %w", err)
	}
	list, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (v campaign.Version, err error) {
		return v, row.Scan(&v.Number, &v.Actor, &v.Began, &v.At)
	})
	if err != nil {
		return nil, fmt.Errorf("read versions: %w", err)
	}
	return list, nil
}

// DraftVersion returns what a draft looked like, or campaign.ErrVersionNotFound.
func (db *DB) DraftVersion(ctx context.Context, ref campaign.DraftRef, number int64) (v campaign.Version, err error) {
	_, column := draftTable(ref)
	v.Number = number
	err = db.pool.QueryRow(ctx, `SELECT content, actor, began_at, at FROM content_version WHERE `+column+` = $1 AND version = $2`, ref.ID, number).
		Scan(&v.Content, &v.Actor, &v.Began, &v.At)
	if errors.Is(err, pgx.ErrNoRows) {
		return v, campaign.ErrVersionNotFound
	}
	if err != nil {
		return v, fmt.Errorf("read version %d: %w", number, err)
	}
	return v, nil
}

// CreateTemplate keeps a new template and returns its id.
func (db *DB) CreateTemplate(ctx context.Context, content campaign.Content, actor string, now time.Time) (id int64, err error) {
	if err := content.ValidateDraft(); err != nil {
		return 0, err
	}
	err = db.inTx(ctx, func(tx pgx.Tx) error {
		err := tx.QueryRow(ctx, `
			INSERT INTO mail_template (content, created_at, changed_at, changed_by) VALUES ($1, $2, $2, $3) RETURNING id`, content, now, actor).Scan(&id)
		if err != nil {
			return err
		}
		return auditDraft(ctx, tx, campaign.DraftRef{Template: true, ID: id}, "create", "", actor, now)
	})
	if err != nil {
		return 0, fmt.Errorf("create template: %w", err)
	}
	return id, nil
}

// Templates returns all templates by their names.
func (db *DB) Templates(ctx context.Context) ([]campaign.Draft, error) {
	rows, err := db.pool.Query(ctx, `SELECT id, content, version, changed_at, changed_by FROM mail_template ORDER BY lower(content->>'name'), id`)
	if err != nil {
		return nil, fmt.Errorf("read templates: %w", err)
	}
	list, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (d campaign.Draft, err error) {
		d.Template, d.State = true, campaign.StateDraft
		return d, row.Scan(&d.ID, &d.Content, &d.Version, &d.ChangedAt, &d.ChangedBy)
	})
	if err != nil {
		return nil, fmt.Errorf("read templates: %w", err)
	}
	return list, nil
}

// DeleteTemplate removes a template with its versions. Campaigns that began
// with it have their own content and stay.
func (db *DB) DeleteTemplate(ctx context.Context, id int64, actor string, now time.Time) error {
	err := db.inTx(ctx, func(tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, `DELETE FROM mail_template WHERE id = $1`, id)
		if err != nil {
			return err
		}
		if tag.RowsAffected() == 0 {
			return campaign.ErrNotFound
		}
		return auditDraft(ctx, tx, campaign.DraftRef{Template: true, ID: id}, "delete", "", actor, now)
	})
	if err != nil {
		return fmt.Errorf("delete template: %w", err)
	}
	return nil
}
