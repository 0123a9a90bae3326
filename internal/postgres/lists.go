package postgres

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/jatak-mail/jatak/gating"
	"github.com/jatak-mail/jatak/internal/contact"
)

const importColumns = ` id, file_name, size, state, actor, choices, lines, bytes, counts, problem, created_at, finished_at `

// How long what was uploaded is kept: the file of an import that nobody ends,
// and the rows that were refused.
const (
	fileLife    = 7 * 24 * time.Hour
	refusedLife = 30 * 24 * time.Hour
)

// CreateImport begins an upload.
func (db *DB) CreateImport(ctx context.Context, fileName, actor string, now time.Time) (id int64, err error) {
	err = db.pool.QueryRow(ctx, `
		INSERT INTO contact_import (file_name, actor, created_at, changed_at) VALUES ($1, $2, $3, $3) RETURNING id`, fileName, actor, now).Scan(&id)
	if err != nil {
		return 0, fmt.Errorf("begin an upload: %w", err)
	}
	return id, nil
}

// AddImportPart keeps the next part of the file.
func (db *DB) AddImportPart(ctx context.Context, id int64, part int, content []byte) error {
	_, err := db.pool.Exec(ctx, `
		WITH more AS (UPDATE contact_import SET size = size + octet_length($3::bytea) WHERE id = $1 AND state = 'uploading' RETURNING id)
		INSERT INTO contact_import_part (import_id, part, content) SELECT id, $2, $3 FROM more`, id, part, content)
	if err != nil {
		return fmt.Errorf("keep an upload: %w", err)
	}
	return nil
}

// ImportPart returns a part of the file, counted from 0; nil after the last.
func (db *DB) ImportPart(ctx context.Context, id int64, part int) (content []byte, err error) {
	err = db.pool.QueryRow(ctx, `SELECT content FROM contact_import_part WHERE import_id = $1 AND part = $2`, id, part).Scan(&content)
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return nil, fmt.Errorf("read an upload: %w", err)
	}
	return content, nil
}

// ListImport returns an import, or contact.ErrNotFound.
func (db *DB) ListImport(ctx context.Context, id int64) (im contact.ListImport, err error) {
	rows, err := db.pool.Query(ctx, `SELECT`+importColumns+`FROM contact_import WHERE id = $1`, id)
	if err != nil {
		return im, fmt.Errorf("read an import: %w", err)
	}
	im, err = pgx.CollectExactlyOneRow(rows, pgx.RowToStructByPos[contact.ListImport])
	if errors.Is(err, pgx.ErrNoRows) {
		return im, contact.ErrNotFound
	}
	if err != nil {
		return im, fmt.Errorf("read an import: %w", err)
	}
	return im, nil
}

// ListImports returns the newest imports.
func (db *DB) ListImports(ctx context.Context, most int) (list []contact.ListImport, err error) {
	err = collect(ctx, db, &list, pgx.RowToStructByPos[contact.ListImport],
		`SELECT`+importColumns+`FROM contact_import WHERE state <> 'uploading' ORDER BY id DESC LIMIT $1`, most)
	if err != nil {
		return nil, fmt.Errorf("read imports: %w", err)
	}
	return list, nil
}

// StartImport lets an import be checked or run, from the beginning, with the
// choices. It returns contact.ErrImportLost when its state does not allow it.
func (db *DB) StartImport(ctx context.Context, id int64, to contact.ImportState, c contact.ListChoices, actor string, now time.Time) error {
	err := db.inTx(ctx, func(tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, `
			UPDATE contact_import SET state = $2, choices = $3, lines = 0, bytes = 0, counts = '{}', problem = '', lease_until = NULL,
				changed_at = $4, started_at = $4
			WHERE id = $1 AND (CASE WHEN $2 = 'running' THEN state = 'checked' ELSE state IN ('uploaded', 'checked', 'failed') END)
				AND EXISTS (SELECT FROM contact_import_part p WHERE p.import_id = $1)`, id, to, c, now)
		if err != nil {
			return err
		}
		if tag.RowsAffected() == 0 {
			return contact.ErrImportLost
		}
		if _, err = tx.Exec(ctx, `DELETE FROM contact_import_refusal WHERE import_id = $1`, id); err != nil || to != contact.ImportRunning {
			return err
		}
		_, err = tx.Exec(ctx, `INSERT INTO audit (actor, action, detail, at) VALUES ($1, 'contact import', $2, $3)`, actor, fmt.Sprintf("import %d", id), now)
		return err
	})
	if err != nil {
		return fmt.Errorf("start an import: %w", err)
	}
	return nil
}

// EndImport brings an import into another state. Where it has ended, its file
// is dropped.
func (db *DB) EndImport(ctx context.Context, id int64, from, to contact.ImportState, problem string, now time.Time) error {
	var rows int64
	err := db.inTx(ctx, func(tx pgx.Tx) error {
		err := tx.QueryRow(ctx, `
			UPDATE contact_import SET state = $3, problem = $4, changed_at = $5, lease_until = NULL,
				finished_at = CASE WHEN $3 IN ('finished', 'cancelled') THEN $5::timestamptz END
			WHERE id = $1 AND state = $2 RETURNING lines`, id, from, to, problem, now).Scan(&rows)
		if errors.Is(err, pgx.ErrNoRows) {
			return contact.ErrImportLost
		}
		if err == nil && (to == contact.ImportFinished || to == contact.ImportCancelled) {
			_, err = tx.Exec(ctx, `DELETE FROM contact_import_part WHERE import_id = $1`, id)
		}
		return err
	})
	if err == nil && to == contact.ImportFinished {
		_, err = db.pool.Exec(ctx, `ANALYZE contact, company, consent`)
	}
	if err != nil {
		return fmt.Errorf("end an import: %w", err)
	}
	return nil
}

// ClaimImport takes an import that is due and that nobody works on, and drops
// what was uploaded too long ago.
func (db *DB) ClaimImport(ctx context.Context, now, lease time.Time) (im contact.ListImport, ok bool, err error) {
	_, err = db.pool.Exec(ctx, `
		WITH old AS (UPDATE contact_import SET state = 'cancelled', finished_at = $1
			WHERE state IN ('uploading', 'uploaded', 'checked', 'failed') AND changed_at < $2 RETURNING id
		), parts AS (DELETE FROM contact_import_part WHERE import_id IN (SELECT id FROM old))
		DELETE FROM contact_import_refusal WHERE import_id IN (SELECT id FROM contact_import WHERE changed_at < $3)`, now, now.Add(-fileLife), now.Add(-refusedLife))
	if err != nil {
		return im, false, fmt.Errorf("drop old uploads: %w", err)
	}
	rows, err := db.pool.Query(ctx, `
		UPDATE contact_import SET lease_until = $2 WHERE id = (
			SELECT id FROM contact_import WHERE state IN ('checking', 'running') AND (lease_until IS NULL OR lease_until < $1)
			ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED)
		RETURNING`+importColumns, now, lease)
	if err == nil {
		im, err = pgx.CollectExactlyOneRow(rows, pgx.RowToStructByPos[contact.ListImport])
	}
	if errors.Is(err, pgx.ErrNoRows) {
		return im, false, nil
	}
	if err != nil {
		return im, false, fmt.Errorf("claim an import: %w", err)
	}
	return im, true, nil
}

// Refusals streams the rows of an import that were not taken, or not whole.
func (db *DB) Refusals(ctx context.Context, id int64) iter.Seq2[contact.ListRefusal, error] {
	return stream(ctx, db, "read refused rows", func(rows pgx.Rows) (f contact.ListRefusal, err error) {
		return f, rows.Scan(&f.Line, &f.Column, &f.Reason, &f.Detail, &f.Kept, &f.Row)
	}, `SELECT line, column_name, reason, detail, kept, row FROM contact_import_refusal WHERE import_id = $1 ORDER BY line`, id)
}

// RefusalReasons counts the rows that were not taken, or not whole, by reason, and
// returns the first of them, each with at most 1,000 characters of its row.
func (db *DB) RefusalReasons(ctx context.Context, id int64, most int) (reasons []contact.ListReason, first []contact.ListRefusal, err error) {
	err = errors.Join(
		collect(ctx, db, &reasons, pgx.RowToStructByPos[contact.ListReason],
			`SELECT reason, count(*) FROM contact_import_refusal WHERE import_id = $1 GROUP BY reason ORDER BY 2 DESC, 1`, id),
		collect(ctx, db, &first, pgx.RowToStructByPos[contact.ListRefusal],
			`SELECT line, column_name, reason, detail, kept, left(row, 1000) FROM contact_import_refusal WHERE import_id = $1 ORDER BY line LIMIT $2`, id, most))
	if err != nil {
		return nil, nil, fmt.Errorf("count refused rows: %w", err)
	}
	return reasons, first, nil
}

// TakeChunk keeps a portion of a list and how far the import has come, in one
// transaction. While it is checked, what would be kept is counted and taken
// back.
func (db *DB) TakeChunk(ctx context.Context, c contact.ListChunk) error {
	rules, err := db.Rules(ctx)
	if err != nil {
		return err
	}
	err = db.inTx(ctx, func(tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, `
			UPDATE contact_import SET lines = $4, bytes = $5, lease_until = $6, changed_at = $7 WHERE id = $1 AND state = $2 AND lines = $3`,
			c.Import, c.State, c.Before, c.Through, c.Bytes, c.Lease, c.Now)
		if err != nil {
			return err
		}
		if tag.RowsAffected() == 0 {
			return contact.ErrImportLost
		}
		var n contact.ListCounts
		refusals := c.Refusals
		attempt, err := tx.Begin(ctx) // a savepoint
		if err != nil {
			return err
		}
		t := listTaker{tx: attempt, chunk: c, rules: rules, counts: &n, refusals: &refusals}
		if err := t.take(ctx); err != nil {
			return err
		}
		if c.State == contact.ImportChecking {
			err = attempt.Rollback(ctx)
		} else {
			err = attempt.Commit(ctx)
		}
		if err != nil {
			return err
		}
		return keepChunk(ctx, tx, c.Import, n, refusals)
	})
	if err != nil {
		return fmt.Errorf("take a portion of a list: %w", err)
	}
	return nil
}

func keepChunk(ctx context.Context, tx pgx.Tx, id int64, n contact.ListCounts, refusals []contact.ListRefusal) error {
	for _, f := range gravest(refusals) {
		if f.Kept {
			n.Warned++
		} else {
			n.Refused++
		}
		_, err := tx.Exec(ctx, `
			INSERT INTO contact_import_refusal (import_id, line, column_name, reason, detail, kept, row) VALUES ($1, $2, $3, $4, $5, $6, $7)
			ON CONFLICT DO NOTHING`, id, f.Line, f.Column, f.Reason, f.Detail, f.Kept, f.Row)
		if err != nil {
			return err
		}
	}
	_, err := tx.Exec(ctx, `
		UPDATE contact_import SET counts = jsonb_build_object(
			'added', coalesce((counts->>'added')::bigint, 0) + $2::bigint, 'changed', coalesce((counts->>'changed')::bigint, 0) + $3::bigint,
			'unchanged', coalesce((counts->>'unchanged')::bigint, 0) + $4::bigint, 'refused', coalesce((counts->>'refused')::bigint, 0) + $5::bigint,
			'warned', coalesce((counts->>'warned')::bigint, 0) + $6::bigint, 'consents', coalesce((counts->>'consents')::bigint, 0) + $7::bigint)
		WHERE id = $1`, id, n.Added, n.Changed, n.Unchanged, n.Refused, n.Warned, n.Consents)
	return err
}

// gravest returns one refusal for each line: the one that costs the whole row, or
// else the first.
func gravest(refusals []contact.ListRefusal) (list []contact.ListRefusal) {
	at := map[int64]int{}
	for _, f := range refusals {
		i, there := at[f.Line]
		switch {
		case !there:
			at[f.Line] = len(list)
			list = append(list, f)
		case list[i].Kept && !f.Kept:
			list[i] = f
		}
	}
	return list
}

// listTaker takes the people of a chunk.
type listTaker struct {
	tx       pgx.Tx
	chunk    contact.ListChunk
	rules    contact.Rules
	counts   *contact.ListCounts
	refusals *[]contact.ListRefusal
}

func (t listTaker) take(ctx context.Context) error {
	if len(t.chunk.Rows) == 0 {
		return nil
	}
	for _, step := range []func(context.Context) error{t.stage, t.refuseErased, t.keepPeople, t.keepConsents} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (t listTaker) stage(ctx context.Context) error {
	_, err := t.tx.Exec(ctx, `
		CREATE TEMPORARY TABLE listed (line bigint, email text, address text, address_digest bytea, first_name text, last_name text,
			company text, language text, time_zone text, raw text, contact_id bigint, company_id bigint, added boolean NOT NULL DEFAULT false) ON COMMIT DROP`)
	if err != nil {
		return err
	}
	rows := t.chunk.Rows
	_, err = t.tx.CopyFrom(ctx, pgx.Identifier{"listed"},
		[]string{"line", "email", "address", "address_digest", "first_name", "last_name", "company", "language", "time_zone", "raw"},
		pgx.CopyFromSlice(len(rows), func(i int) ([]any, error) {
			r := &rows[i]
			return []any{r.Line, r.Email, string(r.Address), r.Digest, r.FirstName, r.LastName, r.Company, r.Language, r.TimeZone, r.Raw}, nil
		}))
	return err
}

func (t listTaker) refuseErased(ctx context.Context) error {
	return t.refuse(ctx, `
		DELETE FROM listed l USING suppression s WHERE s.address_digest = l.address_digest AND s.reason = 'erased'
		RETURNING l.line, 'email', 'erased', '', false, l.raw`)
}

func (t listTaker) refuse(ctx context.Context, statement string, args ...any) error {
	rows, err := t.tx.Query(ctx, statement, args...)
	if err != nil {
		return err
	}
	more, err := pgx.CollectRows(rows, pgx.RowToStructByPos[contact.ListRefusal])
	*t.refusals = append(*t.refusals, more...)
	return err
}

// keepPeople adds who is not there and changes who is: the first contact with
// the address. What a row leaves blank stays.
func (t listTaker) keepPeople(ctx context.Context) error {
	for _, statement := range []string{
		`UPDATE listed l SET contact_id = (SELECT min(c.id) FROM contact c WHERE c.address = l.address AND c.deleted_at IS NULL)`,
		`SELECT FROM contact WHERE id IN (SELECT contact_id FROM listed) ORDER BY id FOR NO KEY UPDATE`,
		`INSERT INTO company (name) SELECT min(l.company) FROM listed l WHERE l.company <> ''
			AND NOT EXISTS (SELECT FROM company co WHERE lower(co.name) = lower(l.company)) GROUP BY lower(l.company)`,
		`UPDATE listed l SET company_id = (SELECT min(co.id) FROM company co WHERE lower(co.name) = lower(l.company)) WHERE l.company <> ''`,
	} {
		if _, err := t.tx.Exec(ctx, statement); err != nil {
			return err
		}
	}
	changed, err := t.tx.Exec(ctx, `
		UPDATE contact c SET first_name = coalesce(nullif(l.first_name, ''), c.first_name), last_name = coalesce(nullif(l.last_name, ''), c.last_name),
			company_id = coalesce(l.company_id, c.company_id), language = coalesce(nullif(l.language, ''), c.language),
			time_zone = coalesce(nullif(l.time_zone, ''), c.time_zone)
		FROM listed l WHERE c.id = l.contact_id AND (c.first_name, c.last_name, c.company_id, c.language, c.time_zone) IS DISTINCT FROM
			(coalesce(nullif(l.first_name, ''), c.first_name), coalesce(nullif(l.last_name, ''), c.last_name),
			coalesce(l.company_id, c.company_id), coalesce(nullif(l.language, ''), c.language), coalesce(nullif(l.time_zone, ''), c.time_zone))`)
	if err != nil {
		return err
	}
	added, err := t.tx.Exec(ctx, `
		WITH new AS (
			INSERT INTO contact (email, address, address_digest, first_name, last_name, company_id, language, time_zone, upgraded_at, created_at)
			SELECT email, address, address_digest, first_name, last_name, company_id, language, time_zone, $1::timestamptz, $1 FROM listed WHERE contact_id IS NULL
			RETURNING id, address)
		UPDATE listed l SET contact_id = new.id, added = true FROM new WHERE new.address = l.address`, t.chunk.Now)
	if err != nil {
		return err
	}
	t.counts.Changed, t.counts.Added = changed.RowsAffected(), added.RowsAffected()
	err = t.tx.QueryRow(ctx, `SELECT count(*) - $1 - $2 FROM listed`, t.counts.Changed, t.counts.Added).Scan(&t.counts.Unchanged)
	if err != nil {
		return err
	}
	_, err = t.tx.Exec(ctx, recordEvents(`
			SELECT contact_id, $1::text, $2::text, NULL::timestamptz, $3::text, $4::text, '', '', NULL::bigint, $5::text, $6::timestamptz
			FROM listed WHERE added`),
		t.rules.DefaultPurpose, t.rules.DefaultBasis, gating.SourceImport, t.chunk.Actor, t.chunk.Choices.Reason, t.chunk.Now)
	return err
}

// keepConsents takes the basis that the list states: for who was never asked,
// and withdrawals. An import cannot raise a consent, nor state one over a "No
// mailings" or the withdrawal of a twin.
func (t listTaker) keepConsents(ctx context.Context) error {
	basis := t.chunk.Choices.Basis
	if basis == gating.BasisNone {
		return nil
	}
	_, err := t.tx.Exec(ctx, `
		CREATE TEMPORARY TABLE stated ON COMMIT DROP AS
		SELECT l.contact_id, l.line, l.raw, coalesce(e.basis, '') AS basis, CASE
			WHEN $1 IN ('withdrawn', coalesce(e.basis, '')) THEN ''
			WHEN EXISTS (SELECT FROM contact t JOIN consent te ON te.contact_id = t.id AND te.purpose = 'emarketing'
				WHERE t.address = l.address AND te.basis = 'withdrawn') THEN 'raise'
			WHEN c.no_mailings AND c.upgraded_at IS NULL THEN 'no'
			WHEN coalesce(e.basis, '') <> '' THEN 'raise' ELSE '' END AS objection
		FROM listed l JOIN contact c ON c.id = l.contact_id LEFT JOIN consent e ON e.contact_id = c.id AND e.purpose = 'emarketing'`, string(basis))
	if err != nil {
		return err
	}
	err = t.refuse(ctx, `SELECT line, 'basis', objection, basis, true, raw FROM stated WHERE objection <> '' ORDER BY line`)
	if err != nil {
		return err
	}
	tag, err := t.tx.Exec(ctx, recordEvents(`
			SELECT contact_id, 'emarketing', $1::text, NULL::timestamptz, 'import', $2::text, $3::text, $4::text, NULL::bigint, $5::text, $6::timestamptz
			FROM stated WHERE objection = '' AND basis <> $1`),
		string(basis), t.chunk.Actor, t.chunk.Choices.Wording, t.chunk.Choices.Locale, t.chunk.Choices.Reason, t.chunk.Now)
	t.counts.Consents = tag.RowsAffected()
	return err
}
