package postgres

import (
	"context"
	"fmt"
	"iter"
	"math"
	"slices"
	"strconv"
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
		WHERE ($1::text[] = '{}' OR c.state = ANY ($1)) AND c.name ILIKE $2 AND ($5::timestamptz IS NULL OR c.launched_at < $5)
		ORDER BY c.id DESC LIMIT $3 OFFSET $4`,
		states, "%"+escapeLike(f.Name)+"%", f.Limit, f.Offset, noneIfZero(f.Before))
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

func noneIfZero(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
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
		SELECT c.audience, coalesce(d.state, ''), coalesce(d.reason, ''), coalesce(d.n, 0), coalesce(d.recent, 0), d.first,
			(SELECT count(*) FROM worker w WHERE w.lease_until > $3),
			coalesce((SELECT CASE WHEN bool_and(r->>'trouble' <> '') THEN max(concat(r->>'name', ': ', r->>'trouble')) END
				FROM worker w CROSS JOIN jsonb_array_elements(w.about->'relays') r WHERE w.lease_until > $3), '')
		FROM campaign c LEFT JOIN (
			SELECT state, CASE WHEN state = 'blocked' THEN reason ELSE '' END AS reason, count(*) AS n,
				count(*) FILTER (WHERE state = 'sent' AND changed_at > since) AS recent,
				min(changed_at) FILTER (WHERE state = 'sent' AND changed_at > since) AS first
			FROM delivery, (SELECT greatest($2::timestamptz, (SELECT resumed_at FROM campaign WHERE id = $1)) AS since) s WHERE campaign_id = $1 GROUP BY 1, 2) d ON true
		WHERE c.id = $1`, id, now.Add(-campaign.RecentWindow), now)
	if err != nil {
		return p, fmt.Errorf("read the progress of campaign %d: %w", id, err)
	}
	var state campaign.DeliveryState
	var reason gating.Reason
	var n, recent int64
	var first *time.Time
	_, err = pgx.ForEachRow(rows, []any{&p.Audience, &state, &reason, &n, &recent, &first, &p.Workers, &p.Trouble}, func() error {
		if recent > 0 {
			p.Rate = campaign.RateOf(recent, orZero(first), now)
		}
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

// Deferrals returns where a campaign's mails have to wait: by
// destination, the most first.
func (db *DB) Deferrals(ctx context.Context, id campaign.ID, most int) ([]campaign.Trouble, error) {
	var domains, names []string
	for domain, name := range campaign.ProviderDomains() {
		domains, names = append(domains, domain), append(names, name)
	}
	return readTroubles(ctx, db.pool, `
		SELECT coalesce(p.name, `+domainOf+`), coalesce((array_agg(d.code ORDER BY d.changed_at DESC))[1], 0), coalesce((array_agg(d.enhanced ORDER BY d.changed_at DESC))[1], ''),
			coalesce((array_agg(d.reply ORDER BY d.changed_at DESC))[1], ''), count(*), min(d.next_attempt_at)
		FROM delivery d JOIN contact c ON c.id = d.contact_id
			LEFT JOIN unnest($3::text[], $4::text[]) AS p(domain, name) ON p.domain = `+domainOf+`
		WHERE d.campaign_id = $1 AND d.state = 'deferred' GROUP BY 1 ORDER BY 5 DESC, 1 LIMIT $2`, id, most, domains, names)
}

// Failures returns why a campaign's mails failed: by reply code, the newest
// first.
func (db *DB) Failures(ctx context.Context, id campaign.ID, most int) ([]campaign.Trouble, error) {
	return readFailures(ctx, db.pool, id, most)
}

func readFailures(ctx context.Context, from asker, id campaign.ID, most int) ([]campaign.Trouble, error) {
	return readTroubles(ctx, from, `
		SELECT '', coalesce(d.code, 0), coalesce(d.enhanced, ''), coalesce((array_agg(d.reply ORDER BY d.changed_at DESC))[1], ''),
			count(*), max(d.changed_at)
		FROM delivery d WHERE d.campaign_id = $1 AND d.state = 'failed' GROUP BY d.code, d.enhanced ORDER BY 6 DESC LIMIT $2`, id, most)
}

func readTroubles(ctx context.Context, from asker, query string, args ...any) ([]campaign.Trouble, error) {
	rows, err := from.Query(ctx, query, args...)
	if err != nil {
		return nil, fmt.Errorf("read what went wrong: %w", err)
	}
	list, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (t campaign.Trouble, err error) {
		return t, row.Scan(&t.Destination, &t.Code, &t.Enhanced, &t.Reply, &t.Count, &t.At)
	})
	if err != nil {
		return nil, fmt.Errorf("read what went wrong: %w", err)
	}
	return list, nil
}

// booking is a look for people in a campaign's books.
type booking struct {
	args []any  // the campaign, and the values of the conditions
	rows string // conditions on a row d of the books
	who  string // conditions on a contact c
	few  bool   // it finds people by themselves, and does not walk the books
}

// bookingOf prepares a look for those whom a filter picks.
func (db *DB) bookingOf(ctx context.Context, id campaign.ID, f campaign.BookingFilter) *booking {
	b := &booking{args: []any{id}}
	if f.State != "" {
		b.add(&b.rows, "d.state = $", f.State)
	}
	if f.Reason != "" {
		b.add(&b.rows, "d.reason = $", f.Reason)
	}
	if f.Code != 0 {
		b.add(&b.rows, "d.code = $", f.Code)
	}
	switch f.Destination {
	case "":
	case "-":
		b.add(&b.who, "("+domainOf+" = '') = $", true)
	default:
		b.addPeople(ctx, db, "c.address IS NOT NULL AND split_part(c.address, '@', 2) = ANY ($)", campaign.DomainsOf(f.Destination))
	}
	if len(f.Beyond) > 0 {
		var beyond []string
		for _, destination := range f.Beyond {
			beyond = append(beyond, campaign.DomainsOf(destination)...)
		}
		b.add(&b.who, domainOf+" <> ALL ($)", beyond)
	}
	switch f.Language {
	case "":
	case "-":
		b.addPeople(ctx, db, "c.language = $", "")
	default:
		b.addPeople(ctx, db, "c.language = $", f.Language)
	}
	if f.Withdrawn {
		b.few = true
		b.add(&b.rows, "d.contact_id = ANY (ARRAY(SELECT w.contact_id FROM "+strings.ReplaceAll(withdrawals, "$1", "$")+" w))", []campaign.ID{id})
	}
	if f.Lifted {
		b.rows += " AND d.lifted IS NOT NULL"
	}
	return b
}

// add adds a condition on a value, which it calls $.
func (b *booking) add(to *string, condition string, value any) {
	b.args = append(b.args, value)
	*to += " AND " + strings.ReplaceAll(condition, "$", "$"+strconv.Itoa(len(b.args)))
}

// addPeople adds a condition on contacts. Where they are few they are looked up
// one by one: the books need not be walked for them.
func (b *booking) addPeople(ctx context.Context, db *DB, are string, value any) {
	if !db.areFew(ctx, strings.ReplaceAll(are, "$", "$1"), value) {
		b.add(&b.who, are, value)
		return
	}
	b.few = true
	b.add(&b.rows, "d.contact_id = ANY (ARRAY(SELECT c.id FROM contact c WHERE "+are+"))", value)
}

// read streams people after a position in batches up to the last, at most so
// many; 0 is all of them. It looks at the rows of these batches first and then at
// the contact of each, whatever the planner makes of the conditions.
func (b *booking) read(ctx context.Context, db *DB, after campaign.Position, last, most int) iter.Seq2[campaign.BookedPerson, error] {
	n := len(b.args)
	args := append(slices.Clone(b.args), after.Batch, after.Contact, last, most)
	return stream(ctx, db, "read the people of a campaign", func(rows pgx.Rows) (p campaign.BookedPerson, err error) {
		err = rows.Scan(&p.ID, &p.Email, &p.FirstName, &p.LastName, &p.Company, &p.Language, &p.State, &p.Reason, &p.At,
			&p.Code, &p.Enhanced, &p.Reply, &p.Position.Batch)
		p.Position.Contact = p.ID
		return p, err
	}, fmt.Sprintf(`
		SELECT c.id, c.email, c.first_name, c.last_name, coalesce((SELECT co.name FROM company co WHERE co.id = c.company_id), ''), c.language,
			d.state, d.reason, d.changed_at, coalesce(d.code, 0), coalesce(d.enhanced, ''), coalesce(d.reply, ''), d.batch
		FROM (
			SELECT d.batch, d.contact_id, d.state, d.reason, d.changed_at, d.code, d.enhanced, d.reply FROM delivery d
			WHERE d.campaign_id = $1 AND (d.batch, d.contact_id) > ($%[1]d, $%[2]d) AND d.batch >= $%[1]d AND d.batch <= $%[3]d%[4]s
			ORDER BY d.batch, d.contact_id OFFSET 0) d
		CROSS JOIN LATERAL (
			SELECT c.id, c.email, c.first_name, c.last_name, c.company_id, c.language FROM contact c WHERE c.id = d.contact_id%[5]s OFFSET 0) c
		ORDER BY d.batch, d.contact_id LIMIT nullif($%[6]d, 0)`, n+1, n+2, n+3, b.rows, b.who, n+4), args...)
}

// Bounds of how many batches are looked through at a time.
const (
	leastBatches = 4
	mostBatches  = 320
	// allBatches is where everybody of them is wanted.
	allBatches = 20
)

// BookedPage returns people of a campaign's books with what became of their mail,
// in the order of planning, after a position, at most so many. It walks for about
// as long as it may: more says that it has not come to the end, next is where to
// go on.
func (db *DB) BookedPage(ctx context.Context, id campaign.ID, f campaign.BookingFilter, after campaign.Position, most int, patience time.Duration) (
	list []campaign.BookedPerson, next campaign.Position, more bool, err error) {
	began := time.Now()
	b := db.bookingOf(ctx, id, f)
	end, err := db.lastBatch(ctx, id)
	if err != nil {
		return nil, after, false, err
	}
	batches, walked := leastBatches, 0
	for next = after; ; {
		last := next.Batch + batches
		if b.few {
			last = end
		}
		for p, err := range b.read(ctx, db, next, last, most-len(list)) {
			if err != nil {
				return nil, after, false, err
			}
			list = append(list, p)
		}
		if len(list) == most {
			return list, list[most-1].Position, true, nil
		}
		if last >= end {
			return list, next, false, nil
		}
		next = campaign.Position{Batch: last, Contact: math.MaxInt64}
		walked += batches
		took := time.Since(began)
		if took >= patience {
			return list, next, true, nil
		}
		// As many as there is time for, as far as one can tell.
		batches = min(max(int(int64(patience-took)*int64(walked)/int64(took)), leastBatches), 4*batches, mostBatches)
	}
}

// lastBatch returns the number of a campaign's last batch.
func (db *DB) lastBatch(ctx context.Context, id campaign.ID) (n int, err error) {
	if err := db.pool.QueryRow(ctx, `SELECT batches FROM campaign WHERE id = $1`, id).Scan(&n); err != nil {
		return 0, fmt.Errorf("read the people of campaign %d: %w", id, err)
	}
	return n, nil
}

// BookedPeople streams all people of a campaign's books whom a filter picks, in
// the order of planning. It reads them in portions, each of a moment of its own,
// so that the first come at once.
func (db *DB) BookedPeople(ctx context.Context, id campaign.ID, f campaign.BookingFilter) iter.Seq2[campaign.BookedPerson, error] {
	return func(yield func(campaign.BookedPerson, error) bool) {
		b := db.bookingOf(ctx, id, f)
		end, err := db.lastBatch(ctx, id)
		if err != nil {
			yield(campaign.BookedPerson{}, err)
			return
		}
		portion := allBatches
		if b.few {
			portion = end
		}
		for from := 0; from < end; from += portion {
			for p, err := range b.read(ctx, db, campaign.Position{Batch: from, Contact: math.MaxInt64}, from+portion, 0) {
				if !yield(p, err) || err != nil {
					return
				}
			}
		}
	}
}

// areFew reports whether few contacts meet a condition that an index covers. An
// error is met again by whoever asked.
func (db *DB) areFew(ctx context.Context, are string, value any) bool {
	const few = 20_000
	n := few + 1
	_ = db.pool.QueryRow(ctx, `SELECT count(*) FROM (SELECT FROM contact c WHERE `+are+` LIMIT $2) c`, value, few+1).Scan(&n)
	return n <= few
}

// LastRate returns how many mails a second the last campaigns left at that no
// pace held back, while they were sent at all: pauses, what was tried again
// later and campaigns of a few mails say nothing. It is 0 when there was none since since, or since
// a pace or a limit was changed.
func (db *DB) LastRate(ctx context.Context, since time.Time) (perSecond float64, err error) {
	err = db.pool.QueryRow(ctx, `
		WITH told AS (
			SELECT id FROM campaign
			WHERE state = 'finished' AND local_time IS NULL AND pace = 0 AND audience >= 100 AND finished_at > $1
				AND launched_at >= coalesce((SELECT max(at) FROM setting_change WHERE name = 'send-pace'), '-infinity')
				AND launched_at >= coalesce((SELECT max(at) FROM audit WHERE split_part(action, ' ', 1) = 'limit'), '-infinity')
			ORDER BY finished_at DESC LIMIT 3),
		span AS (
			SELECT d.campaign_id, floor(extract(epoch FROM d.changed_at) / 10), count(*) AS n
			FROM delivery d WHERE d.campaign_id IN (SELECT id FROM told) AND d.state = 'sent' GROUP BY 1, 2)
		SELECT coalesce(sum(n) / (10.0 * nullif(count(*), 0)), 0)::float8
		FROM (SELECT n, max(n) OVER (PARTITION BY campaign_id) AS most FROM span) s WHERE n >= 0.05 * most`, since).Scan(&perSecond)
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
