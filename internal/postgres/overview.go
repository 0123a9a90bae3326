package postgres

import (
	"context"
	"fmt"
	"iter"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/jatak-mail/jatak/gating"
	"github.com/jatak-mail/jatak/internal/campaign"
)

// ListCampaigns returns campaigns without their content, newest first.
func (db *DB) ListCampaigns(ctx context.Context, f campaign.ListFilter) ([]campaign.Summary, error) {
	states := make([]string, len(f.States))
	for i, s := range f.States {
		states[i] = string(s)
	}
	rows, err := db.pool.Query(ctx, `
		SELECT c.id, c.name, c.state, coalesce(t.key, ''), c.pause_reason, c.audience,
			c.created_at, c.scheduled_at, c.launched_at, c.planned_at, c.finished_at, c.local_time, c.local_zone
		FROM campaign c LEFT JOIN subscription_type t ON t.id = c.type_id
		WHERE ($1::text[] = '{}' OR c.state = ANY ($1)) AND c.name ILIKE $2 ORDER BY c.id DESC LIMIT $3 OFFSET $4`,
		states, "%"+escapeLike(f.Name)+"%", f.Limit, f.Offset)
	if err != nil {
		return nil, fmt.Errorf("list campaigns: %w", err)
	}
	list, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (c campaign.Summary, err error) {
		var scheduled, launched, planned, finished, clock *time.Time
		err = row.Scan(&c.ID, &c.Name, &c.State, &c.TypeKey, &c.PauseReason, &c.Audience, &c.Created, &scheduled, &launched, &planned, &finished,
			&clock, &c.Local.Zone)
		c.Scheduled, c.Launched, c.Planned, c.Finished, c.Local.Clock = orZero(scheduled), orZero(launched), orZero(planned), orZero(finished), orZero(clock)
		return c, err
	})
	if err != nil {
		return nil, fmt.Errorf("list campaigns: %w", err)
	}
	return list, nil
}

func orZero(t *time.Time) time.Time {
	if t == nil {
		return time.Time{}
	}
	return *t
}

// escapeLike makes text stand for itself in a LIKE pattern.
func escapeLike(text string) string {
	return strings.NewReplacer(`\`, `\\`, `%`, `\%`, `_`, `\_`).Replace(text)
}

// CountCampaigns returns how many campaigns are in each state.
func (db *DB) CountCampaigns(ctx context.Context) (map[campaign.State]int64, error) {
	rows, err := db.pool.Query(ctx, `SELECT state, count(*) FROM campaign GROUP BY state`)
	if err != nil {
		return nil, fmt.Errorf("count campaigns: %w", err)
	}
	counts := map[campaign.State]int64{}
	var state campaign.State
	var n int64
	_, err = pgx.ForEachRow(rows, []any{&state, &n}, func() error {
		counts[state] = n
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("count campaigns: %w", err)
	}
	return counts, nil
}

// Progress returns a campaign's books and how much was sent just now, by one
// look at the ledger.
func (db *DB) Progress(ctx context.Context, id campaign.ID, now time.Time) (p campaign.Progress, err error) {
	p.Report = campaign.Report{Campaign: id, Blocked: map[gating.Reason]int64{}}
	rows, err := db.pool.Query(ctx, `
		SELECT c.audience, coalesce(d.state, ''), coalesce(d.reason, ''), coalesce(d.n, 0), coalesce(d.recent, 0),
			(SELECT count(*) FROM worker w WHERE w.lease_until > $3)
		FROM campaign c LEFT JOIN (
			SELECT state, CASE WHEN state = 'blocked' THEN reason ELSE '' END AS reason, count(*) AS n,
				count(*) FILTER (WHERE state = 'sent' AND changed_at > $2) AS recent
			FROM delivery WHERE campaign_id = $1 GROUP BY 1, 2) d ON true
		WHERE c.id = $1`, id, now.Add(-campaign.RecentWindow), now)
	if err != nil {
		return p, fmt.Errorf("read the progress of campaign %d: %w", id, err)
	}
	var state campaign.DeliveryState
	var reason gating.Reason
	var n, recent int64
	_, err = pgx.ForEachRow(rows, []any{&p.Audience, &state, &reason, &n, &recent, &p.Workers}, func() error {
		p.Recent += recent
		if state == "" {
			return nil // nobody is planned yet
		}
		return p.Add(state, reason, n)
	})
	if err != nil {
		return p, fmt.Errorf("read the progress of campaign %d: %w", id, err)
	}
	return p, nil
}

const domainOf = `coalesce(split_part(c.address, '@', 2), '')`

// Departures returns what of a campaign still waits for the recipients' own time,
// the first first.
func (db *DB) Departures(ctx context.Context, id campaign.ID, now time.Time) ([]campaign.Departure, error) {
	rows, err := db.pool.Query(ctx, `
		SELECT b.not_before, count(*) FROM batch b
			JOIN delivery d ON d.campaign_id = b.campaign_id AND d.batch = b.batch AND d.state = 'pending'
		WHERE b.campaign_id = $1 AND b.closed_at IS NULL AND b.not_before > $2 GROUP BY 1 ORDER BY 1`, id, now)
	if err != nil {
		return nil, fmt.Errorf("read what waits of campaign %d: %w", id, err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowToStructByPos[campaign.Departure])
	if err != nil {
		return nil, fmt.Errorf("read what waits of campaign %d: %w", id, err)
	}
	return list, nil
}

// Deferrals returns where a campaign's mails have to wait: by destination
// domain, the most first.
func (db *DB) Deferrals(ctx context.Context, id campaign.ID, most int) ([]campaign.Trouble, error) {
	return db.troubles(ctx, `
		SELECT `+domainOf+`, coalesce((array_agg(d.code ORDER BY d.changed_at DESC))[1], 0), coalesce((array_agg(d.enhanced ORDER BY d.changed_at DESC))[1], ''),
			coalesce((array_agg(d.reply ORDER BY d.changed_at DESC))[1], ''), count(*), min(d.next_attempt_at)
		FROM delivery d JOIN contact c ON c.id = d.contact_id
		WHERE d.campaign_id = $1 AND d.state = 'deferred' GROUP BY 1 ORDER BY 5 DESC, 1 LIMIT $2`, id, most)
}

// Failures returns why a campaign's mails failed: by reply code, the newest
// first.
func (db *DB) Failures(ctx context.Context, id campaign.ID, most int) ([]campaign.Trouble, error) {
	return db.troubles(ctx, `
		SELECT '', coalesce(d.code, 0), coalesce(d.enhanced, ''), coalesce((array_agg(d.reply ORDER BY d.changed_at DESC))[1], ''),
			count(*), max(d.changed_at)
		FROM delivery d WHERE d.campaign_id = $1 AND d.state = 'failed' GROUP BY d.code, d.enhanced ORDER BY 6 DESC LIMIT $2`, id, most)
}

func (db *DB) troubles(ctx context.Context, query string, args ...any) ([]campaign.Trouble, error) {
	rows, err := db.pool.Query(ctx, query, args...)
	if err != nil {
		return nil, fmt.Errorf("read what went wrong: %w", err)
	}
	list, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (t campaign.Trouble, err error) {
		return t, row.Scan(&t.Domain, &t.Code, &t.Enhanced, &t.Reply, &t.Count, &t.At)
	})
	if err != nil {
		return nil, fmt.Errorf("read what went wrong: %w", err)
	}
	return list, nil
}

// Withdrawals counts the withdrawals by mails of each of some campaigns.
func (db *DB) Withdrawals(ctx context.Context, ids []campaign.ID) (map[campaign.ID]int64, error) {
	rows, err := db.pool.Query(ctx, `
		SELECT campaign_id, count(*) FROM consent_event WHERE campaign_id = ANY ($1) AND to_basis = 'withdrawn' GROUP BY 1`, ids)
	if err != nil {
		return nil, fmt.Errorf("count withdrawals: %w", err)
	}
	counts := map[campaign.ID]int64{}
	var id campaign.ID
	var n int64
	_, err = pgx.ForEachRow(rows, []any{&id, &n}, func() error {
		counts[id] = n
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("count withdrawals: %w", err)
	}
	return counts, nil
}

// mostDomains is how many destination domains a breakdown tells apart.
const mostDomains = 12

// Breakdown returns a campaign's books in parts, all of one moment.
func (db *DB) Breakdown(ctx context.Context, id campaign.ID) (b campaign.Breakdown, err error) {
	if b.Report, err = db.Books(ctx, id); err != nil {
		return b, err
	}
	if b.Hours, err = db.hours(ctx, id); err != nil {
		return b, fmt.Errorf("read the hours of campaign %d: %w", id, err)
	}
	for _, h := range b.Hours {
		b.Withdrawn += h.Withdrawn
	}
	err = db.pool.QueryRow(ctx, `
		SELECT count(*) FROM campaign c JOIN delivery d ON d.campaign_id = c.id AND d.lifted IS NOT NULL
		WHERE c.id = $1 AND c.override_reason <> ''`, id).Scan(&b.Lifted)
	if err != nil {
		return b, fmt.Errorf("read the parts of campaign %d: %w", id, err)
	}
	rows, err := db.pool.Query(ctx, `
		SELECT grouping(domain), coalesce(domain, language, ''), sum(n), sum(n) FILTER (WHERE state = 'sent'), sum(n) FILTER (WHERE state = 'failed'),
			sum(n) FILTER (WHERE state IN ('pending', 'sending', 'deferred')), sum(n) FILTER (WHERE state = 'in_doubt'),
			sum(n) FILTER (WHERE state = 'cancelled'), sum(n) FILTER (WHERE state = 'blocked')
		FROM (
			SELECT `+domainOf+` AS domain, c.language, d.state, count(*) AS n
			FROM delivery d JOIN contact c ON c.id = d.contact_id WHERE d.campaign_id = $1 GROUP BY 1, 2, 3) part
		GROUP BY GROUPING SETS ((domain), (language)) ORDER BY 1, 3 DESC, 2`, id)
	if err != nil {
		return b, fmt.Errorf("read the parts of campaign %d: %w", id, err)
	}
	var byLanguage int
	var s campaign.Slice
	var sent, failed, open, doubt, cancelled, blocked *int64
	_, err = pgx.ForEachRow(rows, []any{&byLanguage, &s.Name, &s.All, &sent, &failed, &open, &doubt, &cancelled, &blocked}, func() error {
		s.Sent, s.Failed, s.Open, s.InDoubt, s.Cancelled, s.Blocked = orNone(sent), orNone(failed), orNone(open), orNone(doubt), orNone(cancelled), orNone(blocked)
		switch {
		case byLanguage == 1:
			b.Languages = append(b.Languages, s)
		case len(b.Domains) < mostDomains:
			b.Domains = append(b.Domains, s)
		default:
			b.Others.Add(s)
		}
		return nil
	})
	if err != nil {
		return b, fmt.Errorf("read the parts of campaign %d: %w", id, err)
	}
	return b, nil
}

func orNone(n *int64) int64 {
	if n == nil {
		return 0
	}
	return *n
}

func (db *DB) hours(ctx context.Context, id campaign.ID) ([]campaign.Hour, error) {
	rows, err := db.pool.Query(ctx, `
		SELECT coalesce(d.hour, w.hour), coalesce(d.sent, 0), coalesce(d.failed, 0), coalesce(w.n, 0)
		FROM (
			SELECT date_trunc('hour', changed_at) AS hour, count(*) FILTER (WHERE state = 'sent') AS sent, count(*) FILTER (WHERE state = 'failed') AS failed
			FROM delivery WHERE campaign_id = $1 AND state IN ('sent', 'failed') GROUP BY 1) d
		FULL JOIN (
			SELECT date_trunc('hour', at) AS hour, count(*) AS n
			FROM consent_event WHERE campaign_id = $1 AND to_basis = 'withdrawn' GROUP BY 1) w ON w.hour = d.hour
		ORDER BY 1`, id)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (h campaign.Hour, err error) {
		return h, row.Scan(&h.At, &h.Sent, &h.Failed, &h.Withdrawn)
	})
}

// BookedPeople streams people of a campaign's books with what became of their
// mail, in the order of planning, after a position; most 0 is all of them.
func (db *DB) BookedPeople(ctx context.Context, id campaign.ID, f campaign.BookingFilter, after campaign.Position, most int) iter.Seq2[campaign.BookedPerson, error] {
	args := []any{id, after.Batch, after.Contact}
	var conditions strings.Builder
	add := func(condition string, value any) {
		args = append(args, value)
		fmt.Fprintf(&conditions, " AND "+condition, len(args))
	}
	if f.State != "" {
		add("d.state = $%d", f.State)
	}
	if f.Reason != "" {
		add("d.reason = $%d", f.Reason)
	}
	if f.Code != 0 {
		add("d.code = $%d", f.Code)
	}
	if f.Domain != "" {
		condition := "c.address IS NOT NULL AND split_part(c.address, '@', 2) = $%d"
		if db.isSmallDomain(ctx, f.Domain) {
			// Looked up one by one: the books need not be walked for them.
			condition = "d.contact_id = ANY (ARRAY(SELECT id FROM contact WHERE address IS NOT NULL AND split_part(address, '@', 2) = $%d))"
		}
		add(condition, f.Domain)
	}
	if f.Language == "-" {
		f.Language = ""
		add("c.language = $%d", "")
	}
	if f.Language != "" {
		add("c.language = $%d", f.Language)
	}
	if f.Withdrawn {
		conditions.WriteString(" AND d.contact_id IN (SELECT v.contact_id FROM consent_event v WHERE v.campaign_id = $1 AND v.to_basis = 'withdrawn')")
	}
	if f.Lifted {
		conditions.WriteString(" AND d.lifted IS NOT NULL")
	}
	limit := ""
	if most > 0 {
		limit = fmt.Sprintf(" LIMIT %d", most)
	}
	return stream(ctx, db, "read the people of a campaign", func(rows pgx.Rows) (p campaign.BookedPerson, err error) {
		err = rows.Scan(&p.ID, &p.Email, &p.FirstName, &p.LastName, &p.Company, &p.Language, &p.State, &p.Reason, &p.At,
			&p.Code, &p.Enhanced, &p.Reply, &p.Position.Batch)
		p.Position.Contact = p.ID
		return p, err
	}, `
		SELECT c.id, c.email, c.first_name, c.last_name, coalesce(co.name, ''), c.language, d.state, d.reason, d.changed_at,
			coalesce(d.code, 0), coalesce(d.enhanced, ''), coalesce(d.reply, ''), d.batch
		FROM delivery d JOIN contact c ON c.id = d.contact_id LEFT JOIN company co ON co.id = c.company_id
		WHERE d.campaign_id = $1 AND (d.batch, d.contact_id) > ($2, $3)`+conditions.String()+`
		ORDER BY d.batch, d.contact_id`+limit, args...)
}

// isSmallDomain reports whether few contacts have an address in a domain. An error
// is met again by whoever asked.
func (db *DB) isSmallDomain(ctx context.Context, domain string) bool {
	const few = 20_000
	n := few + 1
	_ = db.pool.QueryRow(ctx, `
		SELECT count(*) FROM (SELECT FROM contact WHERE address IS NOT NULL AND split_part(address, '@', 2) = $1 LIMIT $2) c`, domain, few+1).Scan(&n)
	return n <= few
}

// LastRate returns how many mails a second the last campaigns that finished
// were sent at, 0 when there was none. The last twentieth, which waits for slow
// servers, does not count, nor do campaigns that waited for time zones.
func (db *DB) LastRate(ctx context.Context) (perSecond float64, err error) {
	err = db.pool.QueryRow(ctx, `
		SELECT coalesce(sum(0.95 * sent.n) / nullif(sum(extract(epoch FROM sent.most_at - c.launched_at)), 0), 0)::float8
		FROM (SELECT id, launched_at FROM campaign WHERE state = 'finished' AND local_time IS NULL ORDER BY finished_at DESC LIMIT 3) c
		CROSS JOIN LATERAL (
			SELECT count(*) AS n, percentile_disc(0.95) WITHIN GROUP (ORDER BY d.changed_at) AS most_at
			FROM delivery d WHERE d.campaign_id = c.id AND d.state = 'sent') sent
		WHERE sent.n > 0`).Scan(&perSecond)
	if err != nil {
		return 0, fmt.Errorf("read the rate of the last campaigns: %w", err)
	}
	return perSecond, nil
}

// NoteExport writes in the audit log that the people of a campaign's books were
// taken out.
func (db *DB) NoteExport(ctx context.Context, id campaign.ID, actor, what string, now time.Time) error {
	_, err := db.pool.Exec(ctx, `INSERT INTO audit (actor, action, campaign_id, detail, at) VALUES ($1, 'campaign export', $2, $3, $4)`, actor, id, what, now)
	if err != nil {
		return fmt.Errorf("note an export: %w", err)
	}
	return nil
}

// ContactsOnFile estimates how many contacts there are, as the database's own
// statistics know it.
func (db *DB) ContactsOnFile(ctx context.Context) (n int64, err error) {
	err = db.pool.QueryRow(ctx, `SELECT greatest(reltuples, 0)::bigint FROM pg_class WHERE oid = 'contact'::regclass`).Scan(&n)
	if err != nil {
		return 0, fmt.Errorf("estimate the contacts: %w", err)
	}
	return n, nil
}
