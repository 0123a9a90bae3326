package postgres

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/jatak-mail/jatak/gating"
	"github.com/jatak-mail/jatak/internal/contact"
)

// errDryRun undoes a transaction that was only to be counted.
var errDryRun = errors.New("dry run")

// Upgrade gives every contact not yet upgraded a purpose and a legal basis,
// in set-based statements within one transaction. With DryRun it does the
// same, counts, and undoes it.
func (db *DB) Upgrade(ctx context.Context, u contact.Upgrade) (counts contact.Upgraded, err error) {
	if err := errors.Join(db.knownTerm(ctx, contact.Purposes, string(u.Purpose)), db.knownTerm(ctx, contact.LegalBases, string(u.StoreBasis))); err != nil {
		return counts, err
	}
	err = db.inTx(ctx, func(tx pgx.Tx) error {
		counts, err = upgrade(ctx, tx, u)
		if err == nil && u.DryRun {
			return errDryRun
		}
		return err
	})
	if errors.Is(err, errDryRun) {
		err = nil
	}
	if err != nil {
		return contact.Upgraded{}, fmt.Errorf("upgrade: %w", err)
	}
	return counts, nil
}

func upgrade(ctx context.Context, tx pgx.Tx, u contact.Upgrade) (n contact.Upgraded, err error) {
	begin := func(point contact.UpgradePoint) {
		if u.Step != nil {
			u.Step(int(point))
		}
	}
	// Two upgrades at once would count the same contacts.
	if _, err := tx.Exec(ctx, `SELECT pg_advisory_xact_lock(hashtext('jatak upgrade'))`); err != nil {
		return n, err
	}
	// Fresh from an import, the tables have no statistics, and without them the
	// planner joins row by row.
	if _, err := tx.Exec(ctx, `ANALYZE contact, company, legacy_mailing, legacy_interest, interest_mapping`); err != nil {
		return n, err
	}
	_, err = tx.Exec(ctx, `
		CREATE TEMPORARY TABLE upgrading ON COMMIT DROP AS
		SELECT c.id, c.no_mailings, coalesce(s.sends, 0) AS sends
		FROM contact c LEFT JOIN (
			SELECT contact_id, count(*) AS sends FROM legacy_mailing
			WHERE status IN ('sent', 'opened', 'clicked', 'bounced') GROUP BY contact_id) s ON s.contact_id = c.id
		WHERE c.upgraded_at IS NULL AND c.deleted_at IS NULL
		FOR NO KEY UPDATE OF c`)
	if err != nil {
		return n, err
	}
	if _, err = tx.Exec(ctx, `CREATE UNIQUE INDEX ON upgrading (id)`); err != nil {
		return n, err
	}
	if _, err = tx.Exec(ctx, `ANALYZE upgrading`); err != nil {
		return n, err
	}
	if err = tx.QueryRow(ctx, `SELECT count(*) FROM upgrading`).Scan(&n.Contacts); err != nil {
		return n, err
	}

	begin(contact.PointStored)
	// 1: every contact has a purpose for being stored.
	n.Stored, err = grandfather(ctx, tx, u, u.Purpose, u.StoreBasis, `true`)
	if err != nil {
		return n, err
	}
	begin(contact.PointWithdrawn)
	// 4 before 2: "No mailings" wins over having been mailed.
	n.Withdrawn, err = grandfather(ctx, tx, u, gating.PurposeEmarketing, gating.BasisWithdrawn, `g.no_mailings`)
	if err != nil {
		return n, err
	}
	begin(contact.PointMailed)
	n.Emarketing, err = grandfather(ctx, tx, u, gating.PurposeEmarketing, gating.BasisLegitimateInterest,
		fmt.Sprintf(`NOT g.no_mailings AND g.sends >= %d`, u.Threshold))
	if err != nil {
		return n, err
	}
	begin(contact.PointNever)
	// 3: the rest has no row, and is counted.
	err = tx.QueryRow(ctx, `
		SELECT count(*) FROM upgrading g
		WHERE NOT EXISTS (SELECT FROM consent e WHERE e.contact_id = g.id AND e.purpose = $1)`,
		gating.PurposeEmarketing).Scan(&n.NeverMailed)
	if err != nil {
		return n, err
	}
	err = tx.QueryRow(ctx, `SELECT count(*) FROM company WHERE no_mailings`).Scan(&n.CompaniesNoMailings)
	if err != nil {
		return n, err
	}

	begin(contact.PointTypes)
	if err := createTypes(ctx, tx, u, &n); err != nil {
		return n, err
	}
	if err := convertInterests(ctx, tx, u, &n); err != nil {
		return n, err
	}
	_, err = tx.Exec(ctx, `
		UPDATE contact c SET upgraded_at = $1::timestamptz,
			chosen_at = coalesce(c.chosen_at, CASE WHEN EXISTS (SELECT FROM preference p WHERE p.contact_id = c.id) THEN $1::timestamptz END)
		FROM upgrading g WHERE c.id = g.id`, u.Now)
	if err != nil {
		return n, err
	}
	_, err = tx.Exec(ctx, `ANALYZE contact, consent, preference`)
	return n, err
}

// grandfather writes the basis for those of the contacts being upgraded that
// meet the condition. What was said after an earlier upgrade stays as it is:
// an existing row is replaced only by a withdrawal, and only when it came from
// the upgrade itself.
func grandfather(ctx context.Context, tx pgx.Tx, u contact.Upgrade, purpose gating.Purpose, basis gating.LegalBasis, condition string) (int64, error) {
	tag, err := tx.Exec(ctx, recordEvents(`
			SELECT g.id, $1::text, $2::text, NULL::timestamptz, $3::text, $4::text, '', '', NULL::bigint, '', $5::timestamptz
			FROM upgrading g LEFT JOIN consent e ON e.contact_id = g.id AND e.purpose = $1
			WHERE (`+condition+`)
			AND (e.contact_id IS NULL OR $2 = 'withdrawn' AND e.source = $3 AND e.basis <> $2)`),
		purpose, string(basis), gating.SourceMigration, u.Actor, u.Now)
	return tag.RowsAffected(), err
}

func createTypes(ctx context.Context, tx pgx.Tx, u contact.Upgrade, n *contact.Upgraded) error {
	for i, t := range u.Types {
		tag, err := tx.Exec(ctx, `
			INSERT INTO subscription_type (key, position, created_at) VALUES ($1, $2, $3)
			ON CONFLICT (key) DO NOTHING`, t.Key, i, u.Now)
		if err != nil {
			return err
		}
		n.TypesCreated += tag.RowsAffected()
		if tag.RowsAffected() == 0 {
			continue // names may have been edited since
		}
		for language, name := range t.Names {
			_, err := tx.Exec(ctx, `
				INSERT INTO subscription_type_name (type_id, language, name)
				SELECT id, $2, $3 FROM subscription_type WHERE key = $1`, t.Key, language, name)
			if err != nil {
				return err
			}
		}
	}
	// Drafts kept before there were types.
	_, err := tx.Exec(ctx, `
		UPDATE campaign c SET type_id = t.id
		FROM subscription_type t, (SELECT id, type_name AS subscription_type FROM campaign) m
		WHERE c.state = 'draft' AND c.type_id IS NULL AND c.type_name <> '' AND m.id = c.id
			AND t.retired_at IS NULL AND `+typeIsNamed)
	return err
}

// typeIsNamed holds when mapping m names type t by its key or a name.
const typeIsNamed = `
	(t.key = lower(m.subscription_type) OR EXISTS (SELECT FROM subscription_type_name tn
		WHERE tn.type_id = t.id AND lower(tn.name) = lower(m.subscription_type)))`

// convertInterests turns interests into preferences by the tenant's mapping.
// A contact with at least one mapped interest has chosen: in for the types of
// its interests, out for the other types that interests stand for. A contact
// with none has not been asked, and gets no preference.
func convertInterests(ctx context.Context, tx pgx.Tx, u contact.Upgrade, n *contact.Upgraded) error {
	if _, err := tx.Exec(ctx, `ANALYZE subscription_type, subscription_type_name`); err != nil {
		return err
	}
	err := tx.QueryRow(ctx, `
		SELECT count(*) FILTER (WHERE known), count(*) FILTER (WHERE NOT known)
		FROM (SELECT EXISTS (SELECT FROM subscription_type t WHERE `+typeIsNamed+`) AS known FROM interest_mapping m) x`).
		Scan(&n.InterestsMapped, &n.InterestsUnmapped)
	if err != nil {
		return err
	}
	return tx.QueryRow(ctx, `
		WITH mapping AS (
			SELECT DISTINCT m.interest, t.id AS type_id
			FROM interest_mapping m
			JOIN subscription_type t ON `+typeIsNamed+`
		), has AS (
			SELECT DISTINCT i.contact_id, m.type_id
			FROM legacy_interest i JOIN upgrading g ON g.id = i.contact_id JOIN mapping m ON m.interest = i.interest
		), wanted AS (
			SELECT chooser.contact_id, t.type_id,
				CASE WHEN has.type_id IS NULL THEN 'out' ELSE 'in' END AS choice
			FROM (SELECT DISTINCT contact_id FROM has) chooser
			CROSS JOIN (SELECT DISTINCT type_id FROM mapping) t
			LEFT JOIN has ON has.contact_id = chooser.contact_id AND has.type_id = t.type_id
		), kept AS (
			INSERT INTO preference (contact_id, type_id, choice, changed_at)
			SELECT contact_id, type_id, choice, $1 FROM wanted
			ON CONFLICT DO NOTHING RETURNING contact_id, type_id, choice
		), event AS (
			INSERT INTO preference_event (contact_id, type_id, to_choice, source, actor, at)
			SELECT contact_id, type_id, choice, $2, $3, $1 FROM kept
		)
		SELECT count(*) FILTER (WHERE choice = 'in'), count(*) FILTER (WHERE choice = 'out') FROM kept`,
		u.Now, gating.SourceMigration, u.Actor).Scan(&n.PreferencesIn, &n.PreferencesOut)
}
