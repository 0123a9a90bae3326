package postgres

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/jatak-mail/jatak/internal/staff"
)

// auditLogs are the logs that tell who did what, each with its columns named
// alike.
func auditLogs() []string {
	return []string{
		`SELECT at, id, actor, action, contact_id AS contact, campaign_id AS campaign, detail FROM audit`,
		`SELECT at, version AS id, actor, 'settings set' AS action, NULL::bigint AS contact, NULL::bigint AS campaign, name || ' = ' || value AS detail FROM setting_change`,
		`SELECT at, version AS id, actor, 'wording set' AS action, NULL::bigint AS contact, NULL::bigint AS campaign, purpose || ' ' || language AS detail FROM wording_version`,
		`SELECT at, id, actor, 'consent change' AS action, NULL::bigint AS contact, NULL::bigint AS campaign, id || ': ' || purpose || ' → ' || to_basis AS detail FROM bulk_change`,
	}
}

// AuditLog returns lines of the audit log, the newest first.
func (db *DB) AuditLog(ctx context.Context, f staff.Filter) ([]staff.Entry, error) {
	args := []any{f.Most}
	var conditions []string
	add := func(condition string, values ...any) {
		for _, v := range values {
			args = append(args, v)
			condition = strings.Replace(condition, "?", fmt.Sprintf("$%d", len(args)), 1)
		}
		conditions = append(conditions, condition)
	}
	if f.Actor != "" {
		add("actor = ?", f.Actor)
	}
	if f.Topic != "" {
		add("split_part(action, ' ', 1) = ?", f.Topic)
	}
	if f.Action != "" {
		add("action = ?", f.Action)
	}
	if f.Contact != 0 {
		add("contact = ?", f.Contact)
	}
	if f.Campaign != 0 {
		add("campaign = ?", f.Campaign)
	}
	if !f.From.IsZero() {
		add("at >= ?", f.From)
	}
	if !f.Until.IsZero() {
		add("at < ?", f.Until)
	}
	if !f.Before.At.IsZero() {
		add("at <= ? AND (at, kind, id) < (?, ?, ?)", f.Before.At, f.Before.At, f.Before.Kind, f.Before.ID)
	}
	where := ""
	if len(conditions) > 0 {
		where = " WHERE " + strings.Join(conditions, " AND ")
	}
	var logs []string
	all := auditLogs()
	for i, log := range all {
		kind := len(all) - i // at the same moment, the first log's come first
		logs = append(logs, fmt.Sprintf(`(SELECT at, kind, id, actor, action, coalesce(contact, 0), coalesce(campaign, 0), detail FROM (SELECT %d AS kind, l.* FROM (%s) l) k%s
			ORDER BY at DESC, id DESC LIMIT $1)`, kind, log, where))
	}
	rows, err := db.pool.Query(ctx, strings.Join(logs, " UNION ALL ")+` ORDER BY at DESC, kind DESC, id DESC LIMIT $1`, args...)
	if err != nil {
		return nil, fmt.Errorf("read the audit log: %w", err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowToStructByPos[staff.Entry])
	if err != nil {
		return nil, fmt.Errorf("read the audit log: %w", err)
	}
	return list, nil
}

// mostActors bounds how many actors are listed.
const mostActors = 200

// Actors lists who stands in the audit log.
func (db *DB) Actors(ctx context.Context) ([]string, error) {
	// One look at the index for each actor, not one for each line.
	rows, err := db.pool.Query(ctx, `
		WITH RECURSIVE next AS (
			(SELECT actor FROM audit ORDER BY actor LIMIT 1)
			UNION ALL
			SELECT (SELECT a.actor FROM audit a WHERE a.actor > n.actor ORDER BY a.actor LIMIT 1) FROM next n WHERE n.actor IS NOT NULL)
		(SELECT actor FROM next WHERE actor IS NOT NULL LIMIT $1) UNION SELECT actor FROM setting_change UNION SELECT actor FROM wording_version
		ORDER BY 1 LIMIT $1`, mostActors)
	if err != nil {
		return nil, fmt.Errorf("read the audit log: %w", err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, fmt.Errorf("read the audit log: %w", err)
	}
	return list, nil
}

// WriteAudit keeps a line of the audit log.
func (db *DB) WriteAudit(ctx context.Context, e staff.Entry) error {
	_, err := db.pool.Exec(ctx, `
		INSERT INTO audit (actor, action, contact_id, campaign_id, detail, at) VALUES ($1, $2, nullif($3, 0), nullif($4, 0), $5, $6)`,
		e.Actor, e.Action, e.Contact, e.Campaign, e.Detail, e.At)
	if err != nil {
		return fmt.Errorf("write the audit log: %w", err)
	}
	return nil
}

// audit writes who did what, where no ledger of its own says so.
func (db *DB) audit(ctx context.Context, actor, action, detail string, now time.Time) error {
	return db.WriteAudit(ctx, staff.Entry{Actor: actor, Action: action, Detail: detail, At: now})
}
