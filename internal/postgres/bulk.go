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
	"github.com/jatak-mail/jatak/internal/contact"
)

// where holds for a contact c, with the consent e, that is of the selection. It
// adds its values to args.
func where(s contact.Selection, args *[]any) string {
	conditions := []string{"c.deleted_at IS NULL"}
	add := func(condition string, value any) {
		*args = append(*args, value)
		conditions = append(conditions, strings.ReplaceAll(condition, "$", fmt.Sprintf("$%d", len(*args))))
	}
	if s.ID != 0 {
		add("c.id = $", s.ID)
	}
	if s.Address != "" {
		add("c.address = $", s.Address)
	}
	if s.Company != "" {
		add("EXISTS (SELECT FROM company sc WHERE sc.id = c.company_id AND lower(sc.name) = lower($))", s.Company)
	}
	if s.Language != "" {
		add("(c.language = $ OR c.language LIKE $ || '-%')", s.Language)
	}
	switch s.Basis {
	case "":
	case "none":
		add("coalesce(e.basis, '') = $", "")
	default:
		add("e.basis = $", s.Basis)
	}
	if s.Source != "" {
		add("e.source = $", s.Source)
	}
	if !s.ExpiresBefore.IsZero() {
		add(expiry+" <= $", s.ExpiresBefore)
	}
	if s.Filter != nil {
		conditions = append(conditions, filterCondition(*s.Filter, args))
	}
	return strings.Join(conditions, " AND ")
}

// Selected streams the contacts of a selection with their consent.
func (db *DB) Selected(ctx context.Context, purpose gating.Purpose, s contact.Selection) iter.Seq2[contact.Standing, error] {
	args := []any{purpose}
	condition := where(s, &args)
	return stream(ctx, db, "read a selection", func(rows pgx.Rows) (c contact.Standing, err error) {
		return c, rows.Scan(&c.ID, &c.Email, &c.FirstName, &c.LastName, &c.Basis, &c.Source, &c.Since, &c.Expires)
	}, `
		SELECT c.id, c.email, c.first_name, c.last_name, coalesce(e.basis, ''), coalesce(e.source, ''),
			coalesce(e.since, 'epoch'), coalesce(`+expiry+`, 'epoch')
		FROM contact c LEFT JOIN consent e ON e.contact_id = c.id AND e.purpose = $1
		WHERE `+condition+` ORDER BY c.id`, args...)
}

// ChangeBasis gives a selection another basis, with an event for each contact.
// Who has withdrawn in person is left out: nobody else can take that back. With
// DryRun it counts and keeps nothing.
func (db *DB) ChangeBasis(ctx context.Context, change contact.BulkChange) (r contact.BulkResult, err error) {
	if change.Source == "" {
		change.Source = gating.SourceUser
	}
	if err := errors.Join(db.knownTerm(ctx, contact.Purposes, string(change.Purpose)), db.knownTerm(ctx, contact.LegalBases, string(change.Basis))); err != nil {
		return r, err
	}
	err = db.inTx(ctx, func(tx pgx.Tx) error {
		r = contact.BulkResult{}
		args := []any{change.Purpose}
		_, err := tx.Exec(ctx, `
			CREATE TEMPORARY TABLE changing ON COMMIT DROP AS
			SELECT c.id, coalesce(e.basis, '') AS basis, coalesce(e.source, '') AS source
			FROM contact c LEFT JOIN consent e ON e.contact_id = c.id AND e.purpose = $1
			WHERE `+where(change.Selection, &args)+` FOR NO KEY UPDATE OF c`, args...)
		if err != nil {
			return err
		}
		err = tx.QueryRow(ctx, `
			SELECT count(*), count(*) FILTER (WHERE basis = $1),
				count(*) FILTER (WHERE basis = 'withdrawn' AND basis <> $1 AND source <> 'user') FROM changing`, change.Basis).
			Scan(&r.Selected, &r.Unchanged, &r.Withdrawn)
		if err != nil {
			return err
		}
		err = tx.QueryRow(ctx, `
			INSERT INTO bulk_change (purpose, to_basis, reason, actor, at) VALUES ($1, $2, $3, $4, $5) RETURNING id`,
			change.Purpose, change.Basis, change.Reason, change.Actor, change.Now).Scan(&r.ID)
		if err != nil {
			return err
		}
		const changes = `basis <> $2 AND NOT (basis = 'withdrawn' AND source <> 'user')`
		_, err = tx.Exec(ctx, recordEvents(`
			SELECT id, $1::text, $2::text, NULL::timestamptz, $6::text, $3::text, '', '', NULL::bigint, $4::text, $5::timestamptz
			FROM changing WHERE `+changes), change.Purpose, change.Basis, change.Actor, change.Reason, change.Now, change.Source)
		if err != nil {
			return err
		}
		tag, err := tx.Exec(ctx, `
			INSERT INTO bulk_change_event (bulk_id, event_id)
			SELECT $3, e.event_id FROM (SELECT id FROM changing WHERE `+changes+`) k
			JOIN consent e ON e.contact_id = k.id AND e.purpose = $1`, change.Purpose, change.Basis, r.ID)
		if err != nil {
			return err
		}
		r.Changed = tag.RowsAffected()
		if change.DryRun || r.Changed == 0 {
			r.ID = 0
			return errDryRun
		}
		return nil
	})
	if err != nil && !errors.Is(err, errDryRun) {
		return contact.BulkResult{}, fmt.Errorf("change the basis of a selection: %w", err)
	}
	return r, nil
}

// UndoBasis takes a bulk change back, with an event for each contact whose
// basis is still the one it wrote. What was said since stays.
func (db *DB) UndoBasis(ctx context.Context, id int64, actor string, now time.Time) (r contact.BulkResult, err error) {
	r.ID = id
	err = db.inTx(ctx, func(tx pgx.Tx) error {
		var purpose gating.Purpose
		err := tx.QueryRow(ctx, `
			UPDATE bulk_change SET undone_at = $2 WHERE id = $1 AND undone_at IS NULL RETURNING purpose`, id, now).Scan(&purpose)
		if errors.Is(err, pgx.ErrNoRows) {
			return fmt.Errorf("there is no change %d that could be undone", id)
		}
		if err != nil {
			return err
		}
		_, err = tx.Exec(ctx, `
			CREATE TEMPORARY TABLE undoing ON COMMIT DROP AS
			SELECT c.id, v.id AS event_id, v.from_basis FROM bulk_change_event b JOIN consent_event v ON v.id = b.event_id
			JOIN contact c ON c.id = v.contact_id WHERE b.bulk_id = $1 AND c.deleted_at IS NULL FOR NO KEY UPDATE OF c`, id)
		if err != nil {
			return err
		}
		if err := tx.QueryRow(ctx, `SELECT count(*) FROM undoing`).Scan(&r.Selected); err != nil {
			return err
		}
		tag, err := tx.Exec(ctx, recordEvents(`
			SELECT u.id, $1::text, u.from_basis, NULL::timestamptz, 'user', $2::text, '', '', NULL::bigint, $3::text, $4::timestamptz
			FROM undoing u JOIN consent e ON e.contact_id = u.id AND e.purpose = $1 AND e.event_id = u.event_id`),
			purpose, actor, fmt.Sprintf("undo of change %d", id), now)
		r.Changed = tag.RowsAffected()
		r.Unchanged = r.Selected - r.Changed
		return err
	})
	if err != nil {
		return contact.BulkResult{}, fmt.Errorf("undo: %w", err)
	}
	return r, nil
}
