package postgres

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/jatak-mail/jatak/internal/campaign"
)

// SampleCampaign says which books SampleBooks makes up.
type SampleCampaign struct {
	ID       campaign.ID // a draft
	People   int64       // those with the first ids; fewer when there are not so many
	Launched time.Time
	// Ended: everybody has an outcome. Else half of the batches are still to be
	// sent, and some of the others' mails wait.
	Ended bool
	Batch int64 // how many are in each; 0: 1,000
}

// SampleBooks makes up the books of a draft as if it had been launched, for
// measuring: a seventh is kept back for several reasons, a twentieth fails with
// several codes, and of those sent one of 300 withdraws. Nothing is mailed.
func (db *DB) SampleBooks(ctx context.Context, s SampleCampaign) error {
	err := db.inTx(ctx, func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, `
			INSERT INTO delivery (campaign_id, batch, contact_id, state, reason, policy_version, attempts, next_attempt_at, changed_at, code, enhanced, reply, relay)
			SELECT $1, p.batch, p.id, o.state, o.reason, 1, (o.state NOT IN ('blocked', 'pending'))::int,
				CASE WHEN o.state = 'deferred' THEN $3::timestamptz + interval '1 day' END, $3::timestamptz + p.batch * interval '7 seconds',
				o.code, o.enhanced, o.reply, CASE WHEN o.code IS NOT NULL THEN 'relay.example:587' END
			FROM (
				SELECT id, batch, CASE
					WHEN dice < 9000 THEN 'no consent' WHEN dice < 12000 THEN 'withdrawn' WHEN dice < 14000 THEN 'company'
					WHEN dice < 14300 THEN 'twice' WHEN dice < 14310 THEN 'complained'
					WHEN NOT $4 AND (batch - 1) * $5 >= $2 / 2 THEN 'waits'
					WHEN dice < 18000 THEN 'unknown' WHEN dice < 19000 THEN 'full' WHEN dice < 19003 THEN 'no mail' WHEN dice < 19010 THEN 'doubt'
					WHEN NOT $4 AND dice < 21000 THEN 'later' ELSE 'sent' END AS outcome
				FROM (
					SELECT id, (row_number() OVER (ORDER BY id) - 1) / $5 + 1 AS batch, mod(abs(hashint8(id + $1 * 7919)::bigint), 100000) AS dice
					FROM contact ORDER BY id LIMIT $2) c) p
			JOIN (VALUES
				('no consent', 'blocked', 'no_consent', NULL::smallint, NULL, NULL), ('withdrawn', 'blocked', 'withdrawn', NULL, NULL, NULL),
				('company', 'blocked', 'company_no_mailings', NULL, NULL, NULL), ('twice', 'blocked', 'duplicate', NULL, NULL, NULL),
				('complained', 'blocked', 'complained', NULL, NULL, NULL), ('waits', 'pending', 'consented', NULL, NULL, NULL),
				('unknown', 'failed', 'consented', 550, '5.1.1', 'no such user here'), ('full', 'failed', 'consented', 552, '5.2.2', 'mailbox is full'),
				('no mail', 'failed', 'consented', 521, '5.3.2', 'does not accept mail'), ('doubt', 'in_doubt', 'consented', NULL, NULL, 'connection lost'),
				('later', 'deferred', 'consented', 421, '4.7.0', 'try again later'), ('sent', 'sent', 'consented', 250, '2.0.0', 'queued')
			) o (outcome, state, reason, code, enhanced, reply) ON o.outcome = p.outcome
			ORDER BY p.batch, p.id`, s.ID, s.People, s.Launched, s.Ended, cmp.Or(s.Batch, 1000))
		if err != nil {
			return err
		}
		_, err = tx.Exec(ctx, `
			INSERT INTO batch (campaign_id, batch, rung_at, closed_at)
			SELECT $1, batch, $2, CASE WHEN NOT bool_or(state IN ('pending', 'deferred')) THEN max(changed_at) END
			FROM delivery WHERE campaign_id = $1 GROUP BY batch`, s.ID, s.Launched)
		if err != nil {
			return err
		}
		_, err = tx.Exec(ctx, `
			UPDATE campaign SET state = CASE WHEN $3 THEN 'finished' ELSE 'sending' END, launched_at = $2, planned_at = $2::timestamptz + interval '1 minute',
				audience = b.people, batches = b.batches, planned_through = b.last, audience_end = b.last, finished_at = CASE WHEN $3 THEN b.ended END
			FROM (SELECT count(*) AS people, max(batch) AS batches, max(contact_id) AS last, max(changed_at) AS ended FROM delivery WHERE campaign_id = $1) b
			WHERE id = $1 AND state = 'draft'`, s.ID, s.Launched, s.Ended)
		if err != nil {
			return err
		}
		_, err = tx.Exec(ctx, recordEvents(`
				SELECT contact_id, 'emarketing', 'withdrawn', NULL::timestamptz, 'manage_page', 'contact', '', 'da', $1::bigint, '',
					$2::timestamptz + contact_id % 48 * interval '1 hour'
				FROM delivery WHERE campaign_id = $1 AND state = 'sent' AND contact_id % 300 = $1 % 300`), s.ID, s.Launched)
		return err
	})
	if err != nil {
		return fmt.Errorf("make up the books of campaign %d: %w", s.ID, err)
	}
	return nil
}

// SampleHistory makes up what else gathers over the years, for measuring: lines
// of the audit log, an import with as many refused rows as a tenth of them, and a
// few people with a language that nobody else has. It returns the import.
func (db *DB) SampleHistory(ctx context.Context, lines int, language string, now time.Time) (listImport int64, err error) {
	err = db.inTx(ctx, func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, `
			INSERT INTO audit (actor, action, contact_id, campaign_id, detail, at)
			SELECT 'user:staff' || i % 17 || '@example.org', (ARRAY['contact export', 'contact emarketing', 'campaign launch', 'campaign pause', 'user invite', 'contact type'])[i % 6 + 1],
				CASE WHEN i % 6 IN (0, 1, 5) THEN i END, CASE WHEN i % 6 IN (2, 3) THEN i % 50 END, '', $2::timestamptz - i * interval '9 minutes'
			FROM generate_series(1, $1::bigint) i`, lines, now)
		if err != nil {
			return err
		}
		if _, err = tx.Exec(ctx, `UPDATE contact SET language = $1 WHERE id % 50000 = 17`, language); err != nil {
			return err
		}
		err = tx.QueryRow(ctx, `
			INSERT INTO contact_import (file_name, size, state, actor, lines, counts, created_at, changed_at, started_at, finished_at)
			VALUES ('members.csv', 1000000, 'finished', 'user:staff1@example.org', $1::bigint, jsonb_build_object('added', $1::bigint / 2, 'refused', $1::bigint / 10), $2, $2, $2, $2)
			RETURNING id`, lines, now).Scan(&listImport)
		if err != nil {
			return err
		}
		_, err = tx.Exec(ctx, `
			INSERT INTO contact_import_refusal (import_id, line, column_name, reason, detail, kept, row)
			SELECT $1, i, 'email', 'email', '', false, 'reader' || i || ';Anna;Holm' FROM generate_series(1, $2::bigint / 10) i`, listImport, lines)
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("make up a history: %w", err)
	}
	return listImport, nil
}

// Vacuum does what autovacuum does after a while: it gives the planner
// statistics, and marks pages that everybody may see.
func (db *DB) Vacuum(ctx context.Context) error {
	_, err := db.pool.Exec(ctx, `VACUUM (ANALYZE)`)
	return err
}

// VacuumImported does so for what an import fills, and not for what is empty
// until the upgrade.
func (db *DB) VacuumImported(ctx context.Context) error {
	_, err := db.pool.Exec(ctx, `VACUUM (ANALYZE) contact, company, legacy_mailing, legacy_interest`)
	return err
}

// Busy reports whether somebody else's statement is under way.
func (db *DB) Busy(ctx context.Context) (busy bool, err error) {
	err = db.pool.QueryRow(ctx, `
		SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() AND backend_type = 'client backend'
			AND state <> 'idle' AND pid <> pg_backend_pid())`).Scan(&busy)
	return busy, err
}
