package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/jatak-mail/jatak/gating"
	"github.com/jatak-mail/jatak/internal/contact"
)

// ToUpgrade reports whether there are contacts that are not upgraded.
func (db *DB) ToUpgrade(ctx context.Context) (some bool, err error) {
	err = db.pool.QueryRow(ctx, `SELECT EXISTS (SELECT FROM contact WHERE upgraded_at IS NULL AND deleted_at IS NULL)`).Scan(&some)
	if err != nil {
		return false, fmt.Errorf("read contacts: %w", err)
	}
	return some, nil
}

// CountToUpgrade returns how many contacts are not upgraded, and counts no
// further than most.
func (db *DB) CountToUpgrade(ctx context.Context, most int) (n int64, err error) {
	err = db.pool.QueryRow(ctx, `SELECT count(*) FROM (SELECT FROM contact WHERE upgraded_at IS NULL AND deleted_at IS NULL LIMIT $1) c`, most).Scan(&n)
	if err != nil {
		return 0, fmt.Errorf("count contacts: %w", err)
	}
	return n, nil
}

// upgradeConcerns holds for the contacts c that a point of the upgrade is about;
// $1 is how many real sends make an E-marketing consent. What was said before
// stays as it is.
func upgradeConcerns(point contact.UpgradePoint) string {
	const mailed = `(SELECT count(*) FROM (SELECT FROM legacy_mailing l WHERE l.contact_id = c.id
		AND l.status IN ('sent', 'opened', 'clicked', 'bounced') LIMIT $1) s) >= $1`
	const asked = `EXISTS (SELECT FROM consent e WHERE e.contact_id = c.id AND e.purpose = '` + string(gating.PurposeEmarketing) + `'`
	return map[contact.UpgradePoint]string{
		contact.PointStored:    `$1 > 0`,
		contact.PointMailed:    `NOT c.no_mailings AND ` + mailed + ` AND NOT ` + asked + `)`,
		contact.PointNever:     `NOT c.no_mailings AND NOT ` + mailed + ` AND NOT ` + asked + `)`,
		contact.PointWithdrawn: `c.no_mailings AND $1 > 0 AND NOT ` + asked + ` AND (e.source <> '` + string(gating.SourceMigration) + `' OR e.basis = 'withdrawn'))`,
		contact.PointTypes: `$1 > 0 AND EXISTS (SELECT FROM legacy_interest i JOIN interest_mapping m ON m.interest = i.interest
			WHERE i.contact_id = c.id)`,
	}[point]
}

// CountUpgrade returns how many contacts each point of the upgrade is about, and
// counts no further than most of each. With a million contacts of whom few are
// concerned it takes seconds.
func (db *DB) CountUpgrade(ctx context.Context, threshold, most int) (map[contact.UpgradePoint]int64, error) {
	counts := map[contact.UpgradePoint]int64{}
	for _, point := range contact.UpgradePoints() {
		concerns := upgradeConcerns(point)
		if concerns == "" {
			continue
		}
		var n int64
		err := db.pool.QueryRow(ctx, `
			SELECT count(*) FROM (SELECT FROM contact c WHERE upgraded_at IS NULL AND deleted_at IS NULL AND `+concerns+` LIMIT $2) c`, threshold, most).Scan(&n)
		if err != nil {
			return nil, fmt.Errorf("count contacts: %w", err)
		}
		counts[point] = n
	}
	return counts, nil
}

// upgradeWindow is how many contacts examples are looked for among.
const upgradeWindow = 20_000

// UpgradeExamples returns some of the contacts that a point of the upgrade is
// about, of those that are upgraded first.
func (db *DB) UpgradeExamples(ctx context.Context, point contact.UpgradePoint, threshold, most int) ([]contact.Contact, error) {
	concerns := upgradeConcerns(point)
	if concerns == "" {
		return nil, nil
	}
	rows, err := db.pool.Query(ctx, `
		SELECT c.id, c.email, c.first_name, c.last_name, coalesce(co.name, '')
		FROM (SELECT id, email, first_name, last_name, company_id, no_mailings FROM contact
			WHERE upgraded_at IS NULL AND deleted_at IS NULL ORDER BY id LIMIT $3) c LEFT JOIN company co ON co.id = c.company_id
		WHERE `+concerns+` ORDER BY c.id LIMIT $2`, threshold, most, upgradeWindow)
	if err != nil {
		return nil, fmt.Errorf("read examples: %w", err)
	}
	list, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (c contact.Contact, err error) {
		return c, row.Scan(&c.ID, &c.Email, &c.FirstName, &c.LastName, &c.Company)
	})
	if err != nil {
		return nil, fmt.Errorf("read examples: %w", err)
	}
	return list, nil
}

// StartUpgradeRun keeps that an upgrade has begun, and ends those that went
// silent. It returns contact.ErrUpgrading while another is under way.
func (db *DB) StartUpgradeRun(ctx context.Context, r contact.UpgradeRun) (id int64, err error) {
	err = db.inTx(ctx, func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, `
			UPDATE upgrade_run SET finished_at = $1, problem = 'interrupted' WHERE finished_at IS NULL AND beat_at < $2`,
			r.Started, r.Started.Add(-contact.UpgradePatience))
		if err != nil {
			return err
		}
		err = tx.QueryRow(ctx, `
			INSERT INTO upgrade_run (actor, dry_run, threshold, legacy_urls, started_at, beat_at) VALUES ($1, $2, $3, $4, $5, $5) RETURNING id`,
			r.Actor, r.DryRun, r.Threshold, append([]string{}, r.LegacyURLs...), r.Started).Scan(&id)
		if err != nil {
			return err
		}
		action := "upgrade run"
		if r.DryRun {
			action = "upgrade try"
		}
		_, err = tx.Exec(ctx, `INSERT INTO audit (actor, action, detail, at) VALUES ($1, $2, $3, $4)`, r.Actor, action, fmt.Sprint("run ", id), r.Started)
		return err
	})
	var refused *pgconn.PgError
	if errors.As(err, &refused) && refused.Code == "23505" { // unique_violation
		return 0, contact.ErrUpgrading
	}
	if err != nil {
		return 0, fmt.Errorf("start upgrade: %w", err)
	}
	return id, nil
}

// BeatUpgradeRun says that an upgrade goes on, and at which point it is.
func (db *DB) BeatUpgradeRun(ctx context.Context, id int64, step int, now time.Time) error {
	_, err := db.pool.Exec(ctx, `UPDATE upgrade_run SET step = $2, beat_at = $3 WHERE id = $1 AND finished_at IS NULL`, id, step, now)
	if err != nil {
		return fmt.Errorf("tell of the upgrade: %w", err)
	}
	return nil
}

// FinishUpgradeRun keeps what became of an upgrade.
func (db *DB) FinishUpgradeRun(ctx context.Context, r contact.UpgradeRun) error {
	_, err := db.pool.Exec(ctx, `
		UPDATE upgrade_run SET finished_at = $2, report = $3, problem = $4, beat_at = $2 WHERE id = $1`, r.ID, r.Finished, r.Report, r.Problem)
	if err != nil {
		return fmt.Errorf("finish upgrade: %w", err)
	}
	return nil
}

// UpgradeRuns returns the newest runs, the newest first.
func (db *DB) UpgradeRuns(ctx context.Context, most int) ([]contact.UpgradeRun, error) {
	rows, err := db.pool.Query(ctx, `
		SELECT id, actor, dry_run, threshold, legacy_urls, started_at, beat_at, step, finished_at, report, problem
		FROM upgrade_run ORDER BY id DESC LIMIT $1`, most)
	if err != nil {
		return nil, fmt.Errorf("read upgrades: %w", err)
	}
	list, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (r contact.UpgradeRun, err error) {
		var finished *time.Time
		err = row.Scan(&r.ID, &r.Actor, &r.DryRun, &r.Threshold, &r.LegacyURLs, &r.Started, &r.Beat, &r.Step, &finished, &r.Report, &r.Problem)
		if finished != nil {
			r.Finished = *finished
		}
		return r, err
	})
	if err != nil {
		return nil, fmt.Errorf("read upgrades: %w", err)
	}
	return list, nil
}
