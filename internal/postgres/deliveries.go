package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/jatak-mail/jatak/gating"
	"github.com/jatak-mail/jatak/internal/campaign"
	"github.com/jatak-mail/jatak/internal/contact"
)

// PlanChunk plans the next contacts of a campaign, at most limit of them: it
// reads their facts, asks decide about each, and keeps the verdicts as one
// batch; or as one for each time zone, when the campaign waits for the
// recipients' own time. It returns the batches that are to be sent now. It is
// done when nobody was left, and the campaign is then planned. Two planners
// cannot plan the same contacts, and one that is interrupted is carried on by
// the next.
func (db *DB) PlanChunk(ctx context.Context, id campaign.ID, limit int, now time.Time,
	decide func(gating.Facts, gating.Policy) gating.Verdict) (due []int, done bool, err error) {
	err = db.inTx(ctx, func(tx pgx.Tx) error {
		due, done, err = planChunk(ctx, tx, id, limit, now, decide)
		return err
	})
	if err != nil {
		return nil, false, fmt.Errorf("plan campaign %d: %w", id, err)
	}
	return due, done, nil
}

func planChunk(ctx context.Context, tx pgx.Tx, id campaign.ID, limit int, now time.Time,
	decide func(gating.Facts, gating.Policy) gating.Verdict) (due []int, done bool, err error) {
	policy, progress, err := lockPlan(ctx, tx, id, now)
	if err != nil {
		return nil, false, err
	}
	recipients, err := audienceChunk(ctx, tx, id, policy.Type, progress.audience.Selection(now), progress.through, progress.end, limit)
	if err != nil {
		return nil, false, err
	}
	if len(recipients) == 0 {
		_, err := tx.Exec(ctx, `UPDATE campaign SET state = 'sending', planned_at = $2 WHERE id = $1`, id, now)
		return nil, true, err
	}

	batches := newBatches(progress)
	planned := make(map[contact.Address]bool, len(recipients))
	_, err = tx.CopyFrom(ctx, pgx.Identifier{"delivery"},
		[]string{"campaign_id", "batch", "contact_id", "state", "reason", "event_id", "lifted", "policy_version", "lane", "changed_at"},
		pgx.CopyFromSlice(len(recipients), func(i int) ([]any, error) {
			r := &recipients[i]
			r.Facts.Duplicate = r.Facts.Duplicate || planned[r.Address]
			v := decide(r.Facts, policy)
			batch := batches.of(r.TimeZone)
			state := campaign.Blocked
			if v.Send {
				state = campaign.Pending
				planned[r.Address] = true
				batch.pending = true
			}
			return []any{id, batch.number, r.ID, state, v.Reason, optional(v.Event), v.Lifted, v.PolicyVersion,
				campaign.LaneOf(r.Address.Domain()), now}, nil
		}))
	if err != nil {
		return nil, false, err
	}
	requests := &pgx.Batch{}
	for _, b := range batches.all {
		var closed, notBefore *time.Time
		if !b.pending {
			closed = &now
		} else if b.notBefore.After(now) {
			notBefore = &b.notBefore
		} else {
			due = append(due, b.number)
		}
		requests.Queue(`INSERT INTO batch (campaign_id, batch, rung_at, closed_at, not_before) VALUES ($1, $2, now(), $3, $4)`,
			id, b.number, closed, notBefore)
	}
	requests.Queue(`UPDATE campaign SET planned_through = $2, batches = $3, audience = audience + $4, planning_at = now() WHERE id = $1`,
		id, recipients[len(recipients)-1].ID, progress.batches+len(batches.all), len(recipients))
	return due, false, tx.SendBatch(ctx, requests).Close()
}

// plannedBatch is a batch in the making.
type plannedBatch struct {
	number    int
	notBefore time.Time
	pending   bool
}

// plannedBatches hands out the batches of a chunk: one, or one for each zone.
type plannedBatches struct {
	local  campaign.LocalTime
	next   int
	all    []*plannedBatch
	byZone map[string]*plannedBatch
}

func newBatches(p planProgress) *plannedBatches {
	return &plannedBatches{local: p.local, next: p.batches + 1, byZone: map[string]*plannedBatch{}}
}

func (b *plannedBatches) of(zone string) *plannedBatch {
	if b.local.IsZero() {
		zone = ""
	}
	if planned := b.byZone[zone]; planned != nil {
		return planned
	}
	planned := &plannedBatch{number: b.next}
	if !b.local.IsZero() {
		planned.notBefore = b.local.In(zone)
	}
	b.next++
	b.all, b.byZone[zone] = append(b.all, planned), planned
	return planned
}

type planProgress struct {
	through, end contact.ID
	batches      int
	audience     campaign.Audience
	local        campaign.LocalTime
}

// lockPlan holds the campaign for this chunk. It returns campaign.ErrNotPlanning
// when the campaign is in another state, or another planner is at it.
func lockPlan(ctx context.Context, tx pgx.Tx, id campaign.ID, now time.Time) (p gating.Policy, progress planProgress, err error) {
	rows, err := tx.Query(ctx, currentSettings)
	if err != nil {
		return p, progress, err
	}
	if p, err = collectPolicy(rows, now); err != nil {
		return p, progress, err
	}
	var clock *time.Time
	err = tx.QueryRow(ctx, `
		SELECT c.class, coalesce(c.type_id, 0), coalesce(t.created_at, 'epoch'), c.override_reason <> '',
			c.planned_through, c.audience_end, c.batches, coalesce(c.content->'audience', '{}'), c.local_time, c.local_zone
		FROM campaign c LEFT JOIN subscription_type t ON t.id = c.type_id
		WHERE c.id = $1 AND c.state = 'planning' FOR NO KEY UPDATE OF c SKIP LOCKED`, id).
		Scan(&p.Class, &p.Type.ID, &p.Type.Created, &p.Override, &progress.through, &progress.end, &progress.batches, &progress.audience,
			&clock, &progress.local.Zone)
	if clock != nil {
		progress.local.Clock = *clock
	}
	if errors.Is(err, pgx.ErrNoRows) {
		err = campaign.ErrNotPlanning
	}
	return p, progress, err
}

// Claim takes at most Limit rows of a batch that are pending or, unless the request
// is for pending ones, deferred and due: they are now in state sending under the
// worker's name. Rows, facts and policy are those of this moment and come in one
// round trip; rows that another worker is claiming are passed over. Nothing is claimed when the
// campaign is not being sent, the batch waits for its time, or the worker's
// lease has run out. After campaign.ErrUnheard rows may have been claimed, or may
// be yet: Unclaim gives them back. After other errors none was.
func (db *DB) Claim(ctx context.Context, r campaign.ClaimRequest) (policy gating.Policy, claimed []campaign.Claimed, err error) {
	requests := &pgx.Batch{}
	requests.Queue(currentSettings).Query(func(rows pgx.Rows) (err error) {
		policy, err = collectPolicy(rows, r.Now)
		policy.Class, policy.Type, policy.Override = r.Class, r.Type, r.Override
		return err
	})
	requests.Queue(`
		WITH picked AS (
			SELECT d.ctid FROM delivery d
			WHERE d.campaign_id = $2 AND d.batch = $3 AND d.contact_id > $9
				AND (d.state = 'pending' OR NOT $10 AND d.state = 'deferred' AND d.next_attempt_at <= now())
				AND (d.lane = ANY ($7)) IS DISTINCT FROM $8
				AND EXISTS (SELECT FROM batch b WHERE b.campaign_id = $2 AND b.batch = $3 AND coalesce(b.not_before <= now(), true))
				AND EXISTS (SELECT FROM campaign k WHERE k.id = $2 AND k.state IN ('planning', 'sending'))
				AND EXISTS (SELECT FROM worker w WHERE w.id = $4 AND w.lease_until > now())
			ORDER BY d.contact_id LIMIT $5 FOR NO KEY UPDATE OF d SKIP LOCKED
		), claimed AS (
			UPDATE delivery d SET state = 'sending', worker_id = $4, next_attempt_at = NULL,
				attempts = d.attempts + 1, changed_at = $6
			-- By their places: they are locked, so that nobody moves them.
			WHERE d.ctid = ANY (ARRAY(SELECT ctid FROM picked))
			RETURNING d.contact_id, d.attempts, d.doubts, d.lane, d.deferred_since
		)
		SELECT claimed.attempts, claimed.doubts, claimed.lane, coalesce(claimed.deferred_since, 'epoch'),`+personColumns+`,`+factColumns+`
		FROM claimed JOIN contact c ON c.id = claimed.contact_id`+factJoins,
		typeParameter(r.Type), r.Campaign, r.Batch, r.Worker, r.Limit, r.Now, r.Lanes, r.Except, r.After, r.Pending).Query(func(rows pgx.Rows) (err error) {
		claimed, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (r campaign.Claimed, err error) {
			var s factScan
			err = row.Scan(append([]any{&r.Attempts, &r.Doubts, &r.Lane, &r.Deferred, &r.ID, &r.Address, &r.Email, &r.FirstName, &r.LastName, &r.Company, &r.Language},
				s.targets()...)...)
			r.Facts = s.result()
			if r.Deferred.Unix() == 0 {
				r.Deferred = time.Time{}
			}
			return r, err
		})
		return err
	})
	if err := db.pool.SendBatch(ctx, requests).Close(); err != nil {
		return policy, nil, fmt.Errorf("claim from batch %d of campaign %d: %w", r.Batch, r.Campaign, unheard(err))
	}
	return policy, claimed, nil
}

// Reconsider returns, in one round trip, what the gate decides on about a contact
// that was claimed a while ago, as Claim does. It reports false when the row is not
// the worker's any more, or the campaign is not being sent.
func (db *DB) Reconsider(ctx context.Context, r campaign.ClaimRequest, who contact.ID) (policy gating.Policy, facts gating.Facts, still bool, err error) {
	requests := &pgx.Batch{}
	requests.Queue(currentSettings).Query(func(rows pgx.Rows) (err error) {
		policy, err = collectPolicy(rows, r.Now)
		policy.Class, policy.Type, policy.Override = r.Class, r.Type, r.Override
		return err
	})
	var s factScan
	requests.Queue(`
		SELECT`+factColumns+`
		FROM delivery d JOIN contact c ON c.id = d.contact_id`+factJoins+`
		WHERE d.campaign_id = $2 AND d.batch = $3 AND d.contact_id = $5 AND d.state = 'sending' AND d.worker_id = $4
			AND EXISTS (SELECT FROM campaign k WHERE k.id = $2 AND k.state IN ('planning', 'sending'))
			AND EXISTS (SELECT FROM worker w WHERE w.id = $4 AND w.lease_until > now())`,
		typeParameter(r.Type), r.Campaign, r.Batch, r.Worker, who).QueryRow(func(row pgx.Row) error {
		err := row.Scan(s.targets()...)
		still = err == nil
		if errors.Is(err, pgx.ErrNoRows) {
			return nil
		}
		return err
	})
	if err := db.pool.SendBatch(ctx, requests).Close(); err != nil {
		return policy, facts, false, fmt.Errorf("reconsider contact %d of campaign %d: %w", who, r.Campaign, err)
	}
	return policy, s.result(), still, nil
}

// unheard marks an error after which nobody knows whether the statement was carried
// out: it was sent, and the server has not said that it refuses it.
func unheard(err error) error {
	refusal, answered := errors.AsType[*pgconn.PgError](err)
	_, unreached := errors.AsType[*pgconn.ConnectError](err)
	if answered && refusal.SeverityUnlocalized == "ERROR" || unreached || pgconn.SafeToRetry(err) {
		return err
	}
	return fmt.Errorf("%w: %w", campaign.ErrUnheard, err)
}

// Record keeps what became of claimed rows, all in one statement, and of contacts
// whose mails have come back how often in a row. A row that is no longer the
// worker's, because its lease ran out, is left alone.
func (db *DB) Record(ctx context.Context, outcomes []campaign.Outcome) error {
	n := len(outcomes)
	var (
		workers   = make([]int64, n)
		campaigns = make([]int64, n)
		batches   = make([]int32, n)
		contacts  = make([]int64, n)
		states    = make([]string, n)
		reasons   = make([]string, n)
		events    = make([]*int64, n)
		lifted    = make([]string, n)
		policies  = make([]int64, n)
		next      = make([]*time.Time, n)
		at        = make([]time.Time, n)
		codes     = make([]int16, n)
		enhanced  = make([]string, n)
		replies   = make([]string, n)
		relays    = make([]string, n)
		doubts    = make([]bool, n)
		uncharged = make([]bool, n)
		bounced   = make([]*bool, n) // null: nothing is learnt of the mailbox
	)
	statement := recordOutcomes
	for i, o := range outcomes {
		workers[i], doubts[i], uncharged[i] = o.Worker, o.Doubt, o.Uncharged
		campaigns[i], batches[i], contacts[i] = int64(o.Campaign), int32(o.Batch), int64(o.Contact)
		states[i], reasons[i] = string(o.State), string(o.Verdict.Reason)
		events[i], policies[i] = optional(o.Verdict.Event), o.Verdict.PolicyVersion
		for j, l := range o.Verdict.Lifted {
			if j > 0 {
				lifted[i] += ","
			}
			lifted[i] += string(l)
		}
		if o.State == campaign.Deferred {
			next[i] = &outcomes[i].NextAttempt
		}
		if o.Bounced || o.Reached {
			bounced[i] = &outcomes[i].Bounced
			statement = `WITH kept AS (` + recordOutcomes + ` RETURNING d.contact_id, o.bounced)` + countBounces
		}
		at[i], codes[i], enhanced[i], replies[i], relays[i] = o.At, int16(o.Code), o.Enhanced, o.Reply, o.Relay
	}
	_, err := db.pool.Exec(ctx, statement, workers, campaigns, batches, contacts, states, reasons, events, lifted, policies, next, at,
		codes, enhanced, replies, relays, doubts, uncharged, bounced)
	if err != nil {
		return fmt.Errorf("record %d outcomes: %w", n, err)
	}
	return nil
}

const (
	recordOutcomes = `
		UPDATE delivery d SET state = o.state, worker_id = NULL, next_attempt_at = now() + (o.next - o.at), changed_at = o.at,
			deferred_since = CASE WHEN o.next IS NULL THEN d.deferred_since ELSE coalesce(d.deferred_since, now()) END,
			reason = o.reason, event_id = o.event_id, lifted = string_to_array(nullif(o.lifted, ''), ','),
			policy_version = o.policy, doubts = d.doubts + o.doubt::int, attempts = d.attempts - o.uncharged::int,
			code = nullif(o.code, 0), enhanced = nullif(o.enhanced, ''), reply = nullif(o.reply, ''), relay = nullif(o.relay, '')
		FROM unnest($1::bigint[], $2::bigint[], $3::int[], $4::bigint[], $5::text[], $6::text[], $7::bigint[], $8::text[], $9::bigint[],
			$10::timestamptz[], $11::timestamptz[], $12::smallint[], $13::text[], $14::text[], $15::text[], $16::boolean[],
			$17::boolean[], $18::boolean[])
			AS o(worker_id, campaign_id, batch, contact_id, state, reason, event_id, lifted, policy, next, at, code, enhanced,
				reply, relay, doubt, uncharged, bounced)
		WHERE d.campaign_id = o.campaign_id AND d.batch = o.batch AND d.contact_id = o.contact_id
			AND d.state = 'sending' AND d.worker_id = o.worker_id`
	// In the order of their ids, as everybody locks them who locks several. Contacts
	// of whom nothing is learnt are not touched: most mails are to such.
	countBounces = `, learnt AS (
			SELECT c.id, CASE WHEN k.reached THEN 0 ELSE c.bounces + k.bounces END AS bounces
			FROM (SELECT contact_id, NOT bool_and(bounced) AS reached, count(*)::int AS bounces
				FROM kept WHERE bounced IS NOT NULL GROUP BY contact_id) k
			JOIN contact c ON c.id = k.contact_id AND c.address IS NOT NULL
			ORDER BY c.id FOR NO KEY UPDATE OF c)
		UPDATE contact c SET bounces = learnt.bounces FROM learnt WHERE c.id = learnt.id`
)

// Unclaim gives back what a claim whose answer was lost may have taken, rows that
// were claimed at its time, and returns how many.
func (db *DB) Unclaim(ctx context.Context, r campaign.ClaimRequest) (int64, error) {
	tag, err := db.pool.Exec(ctx, `
		UPDATE delivery SET state = 'pending', worker_id = NULL, attempts = attempts - 1
		WHERE campaign_id = $1 AND batch = $2 AND state = 'sending' AND worker_id = $3 AND changed_at = $4`,
		r.Campaign, r.Batch, r.Worker, r.Now)
	if err != nil {
		return 0, fmt.Errorf("give back a claim that was lost: %w", err)
	}
	return tag.RowsAffected(), nil
}

// DueLanes returns which of the lanes have something to send in a batch.
func (db *DB) DueLanes(ctx context.Context, id campaign.ID, batch int, lanes []campaign.Lane) ([]campaign.Lane, error) {
	rows, err := db.pool.Query(ctx, `
		SELECT DISTINCT d.lane FROM delivery d WHERE d.campaign_id = $1 AND d.batch = $2 AND d.lane = ANY ($3)
			AND (d.state = 'pending' OR d.state = 'deferred' AND d.next_attempt_at <= now())`, id, batch, lanes)
	if err != nil {
		return nil, fmt.Errorf("read the lanes of batch %d of campaign %d: %w", batch, id, err)
	}
	due, err := pgx.CollectRows(rows, pgx.RowTo[campaign.Lane])
	if err != nil {
		return nil, fmt.Errorf("read the lanes of batch %d of campaign %d: %w", batch, id, err)
	}
	return due, nil
}

// Release gives back rows of a claim that were not handed to a connection. One that
// is carried out late takes nothing from a later claim.
func (db *DB) Release(ctx context.Context, r campaign.ClaimRequest, contacts []contact.ID) error {
	_, err := db.pool.Exec(ctx, `
		UPDATE delivery SET state = 'pending', worker_id = NULL, attempts = attempts - 1
		WHERE campaign_id = $1 AND batch = $2 AND state = 'sending' AND worker_id = $3 AND changed_at = $4 AND contact_id = ANY ($5)`,
		r.Campaign, r.Batch, r.Worker, r.Now, contacts)
	if err != nil {
		return fmt.Errorf("release %d claims: %w", len(contacts), err)
	}
	return nil
}

// CloseBatch closes a batch that has nothing left to send, and finishes its
// campaign when that was the last one. It reports whether the campaign
// finished by this call.
func (db *DB) CloseBatch(ctx context.Context, id campaign.ID, batch int, now time.Time) (finished bool, err error) {
	err = db.inTx(ctx, func(tx pgx.Tx) error {
		// First the lock, then the look: whoever has mails sent again holds it meanwhile.
		if _, err := tx.Exec(ctx, `SELECT FROM batch WHERE campaign_id = $1 AND batch = $2 AND closed_at IS NULL FOR UPDATE`, id, batch); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, `
			UPDATE batch b SET closed_at = $3 WHERE b.campaign_id = $1 AND b.batch = $2 AND b.closed_at IS NULL AND `+nothingOpen, id, batch, now)
		return err
	})
	if err != nil {
		return false, fmt.Errorf("close batch %d of campaign %d: %w", batch, id, err)
	}
	return db.Finish(ctx, id, now)
}

// hasEnded is true of a campaign c that is planned and has no open batch.
const hasEnded = `c.state = 'sending' AND c.planned_at IS NOT NULL
	AND NOT EXISTS (SELECT FROM batch b WHERE b.campaign_id = c.id AND b.closed_at IS NULL)`

// Finish ends a campaign that is planned and has no open batch.
func (db *DB) Finish(ctx context.Context, id campaign.ID, now time.Time) (finished bool, err error) {
	err = db.inTx(ctx, func(tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, `SELECT FROM campaign c WHERE c.id = $1 AND `+hasEnded+` FOR UPDATE`, id)
		if err != nil || tag.RowsAffected() == 0 {
			return err
		}
		// Once more under the lock: some may have been sent again while we waited.
		tag, err = tx.Exec(ctx, `UPDATE campaign c SET state = 'finished', finished_at = $2 WHERE c.id = $1 AND `+hasEnded, id, now)
		finished = tag.RowsAffected() == 1
		return err
	})
	if err != nil {
		return false, fmt.Errorf("finish campaign %d: %w", id, err)
	}
	return finished, nil
}

func optional(id int64) *int64 {
	if id == 0 {
		return nil
	}
	return &id
}
