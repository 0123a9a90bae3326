package postgres

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/jatak-mail/jatak/gating"
	"github.com/jatak-mail/jatak/internal/contact"
)

// optOuts gathers one-click unsubscribes while a commit is under way, so that
// the next keeps all of them: after a newsletter they come in waves.
type optOuts struct {
	mu      sync.Mutex
	waiting []*optOut
	keepers int
}

// optOut is a request and whoever waits for it to be on disk.
type optOut struct {
	contact.OptOut
	done chan error
}

const (
	// mostKeepers is how many commits are under way at once: while one is
	// written, the other is read.
	mostKeepers = 2
	// mostOptOuts bounds what one commit keeps.
	mostOptOuts = 256
	// optOutTime bounds a commit; nobody's request ends it.
	optOutTime = 20 * time.Second
)

// OptOut keeps a one-click unsubscribe: it is on disk when OptOut returns. From
// a type that is retired, it is from all e-marketing. Who is out already stays
// so, without an event. It returns contact.ErrNotFound for a contact that is
// not, or no longer, there.
func (db *DB) OptOut(ctx context.Context, o contact.OptOut) error {
	waiting := &optOut{OptOut: o, done: make(chan error, 1)}
	db.optOuts.mu.Lock()
	db.optOuts.waiting = append(db.optOuts.waiting, waiting)
	if db.optOuts.keepers < mostKeepers {
		db.optOuts.keepers++
		go db.keepOptOuts()
	}
	db.optOuts.mu.Unlock()
	select {
	case err := <-waiting.done:
		return err
	case <-ctx.Done():
		return ctx.Err() // it is kept all the same
	}
}

// keepOptOuts keeps what waits until nothing does.
func (db *DB) keepOptOuts() {
	for {
		db.optOuts.mu.Lock()
		n := min(len(db.optOuts.waiting), mostOptOuts)
		batch := slices.Clone(db.optOuts.waiting[:n])
		db.optOuts.waiting = slices.Delete(db.optOuts.waiting, 0, n)
		if n == 0 {
			db.optOuts.keepers--
			db.optOuts.mu.Unlock()
			return
		}
		db.optOuts.mu.Unlock()

		missing, err := db.keepBatch(batch)
		var answer *pgconn.PgError
		refused := errors.As(err, &answer)
		for _, o := range batch {
			alone := err
			if refused && n > 1 {
				missing, alone = db.keepBatch([]*optOut{o}) // one spoilt it for all
			}
			if alone == nil && missing[o.Contact] {
				alone = contact.ErrNotFound
			}
			o.done <- alone
		}
	}
}

// keepBatch keeps a batch in one transaction of two round trips, and returns
// who is not there.
func (db *DB) keepBatch(batch []*optOut) (missing map[contact.ID]bool, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), optOutTime)
	defer cancel()
	missing = map[contact.ID]bool{}
	var ids []int64
	for _, o := range batch {
		if !missing[o.Contact] {
			missing[o.Contact] = true
			ids = append(ids, int64(o.Contact))
		}
	}
	state, types := map[contact.ID]consentState{}, map[gating.TypeID]bool{}
	first := &pgx.Batch{}
	first.Queue(`SELECT id FROM contact WHERE id = ANY($1) AND deleted_at IS NULL AND address IS NOT NULL ORDER BY id FOR NO KEY UPDATE`, ids).
		Query(each(func(row pgx.CollectableRow) error {
			var id contact.ID
			err := row.Scan(&id)
			delete(missing, id)
			return err
		}))
	first.Queue(`
		SELECT e.contact_id, coalesce(b.counts_as, e.basis), e.event_id, e.source
		FROM consent e LEFT JOIN legal_basis b ON b.key = e.basis WHERE e.contact_id = ANY($1) AND e.purpose = $2`, ids, gating.PurposeEmarketing).
		Query(each(func(row pgx.CollectableRow) error {
			var id contact.ID
			var s consentState
			err := row.Scan(&id, &s.Basis, &s.Event, &s.source)
			state[id] = s
			return err
		}))
	first.Queue(`SELECT id FROM subscription_type WHERE retired_at IS NULL`).Query(each(func(row pgx.CollectableRow) error {
		var id gating.TypeID
		err := row.Scan(&id)
		types[id] = true
		return err
	}))
	err = db.inTwoBatches(ctx, first, func(b *pgx.Batch) error {
		var withdrawn, left optOutRows
		for _, o := range batch {
			switch {
			case missing[o.Contact]:
			case types[o.Type]:
				left.add(o.OptOut)
			default:
				s := state[o.Contact]
				next, switched, err := contact.NextBasis(s.Consent, s.source, gating.SourceOneClick, false)
				if err != nil {
					return err
				}
				if switched {
					withdrawn.add(o.OptOut)
				}
				state[o.Contact] = consentState{Consent: gating.Consent{Basis: next}, source: gating.SourceOneClick}
			}
		}
		withdrawn.queueWithdrawals(b)
		left.queueTypes(b)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("keep unsubscribes: %w", err)
	}
	return missing, nil
}

type consentState struct {
	gating.Consent
	source gating.Source
}

// each returns a reader of all rows of an answer.
func each(scan func(pgx.CollectableRow) error) func(pgx.Rows) error {
	return func(rows pgx.Rows) error {
		for rows.Next() {
			if err := scan(rows); err != nil {
				return err
			}
		}
		return rows.Err()
	}
}

// optOutRows are opt-outs as columns; an opt-out that is asked for twice is in
// them once.
type optOutRows struct {
	contacts, types, campaigns []int64
	ats                        []time.Time
	seen                       map[[2]int64]bool
}

func (r *optOutRows) add(o contact.OptOut) {
	key := [2]int64{int64(o.Contact), int64(o.Type)}
	if r.seen[key] {
		return
	}
	if r.seen == nil {
		r.seen = map[[2]int64]bool{}
	}
	r.seen[key] = true
	r.contacts, r.types = append(r.contacts, key[0]), append(r.types, key[1])
	r.campaigns, r.ats = append(r.campaigns, o.Campaign), append(r.ats, o.At)
}

// optOutLocale is the language that the contact c is written to.
const optOutLocale = `coalesce(nullif(c.page_language, ''), c.language)`

func (r *optOutRows) queueWithdrawals(b *pgx.Batch) {
	if len(r.contacts) == 0 {
		return
	}
	b.Queue(recordEvents(`
			SELECT c.id, $1::text, $2::text, NULL::timestamptz, $3::text, $4::text, $5::text, `+optOutLocale+`,
				nullif(o.campaign, 0), '', o.at
			FROM unnest($6::bigint[], $7::bigint[], $8::timestamptz[]) AS o(contact_id, campaign, at) JOIN contact c ON c.id = o.contact_id`),
		gating.PurposeEmarketing, gating.BasisWithdrawn, gating.SourceOneClick, contact.ActorContact, contact.OneClickWording, r.contacts, r.campaigns, r.ats)
}

func (r *optOutRows) queueTypes(b *pgx.Batch) {
	if len(r.contacts) == 0 {
		return
	}
	b.Queue(`
		WITH wanted AS (
			SELECT c.id AS contact_id, o.type_id, o.campaign, o.at, p.choice AS before, `+optOutLocale+` AS locale
			FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::timestamptz[]) AS o(contact_id, type_id, campaign, at)
			JOIN contact c ON c.id = o.contact_id
			LEFT JOIN preference p ON p.contact_id = o.contact_id AND p.type_id = o.type_id
			WHERE p.choice IS DISTINCT FROM 'out'
		), words AS (
			INSERT INTO wording (hash, text) SELECT DISTINCT sha256(convert_to($5, 'UTF8')), $5 FROM wanted ON CONFLICT DO NOTHING
		), kept AS (
			INSERT INTO preference (contact_id, type_id, choice, changed_at) SELECT contact_id, type_id, 'out', at FROM wanted
			ON CONFLICT (contact_id, type_id) DO UPDATE SET choice = excluded.choice, changed_at = excluded.changed_at
		), chosen AS (
			UPDATE contact SET chosen_at = w.at FROM (SELECT contact_id, max(at) AS at FROM wanted GROUP BY contact_id) w WHERE id = w.contact_id
		)
		INSERT INTO preference_event (contact_id, type_id, from_choice, to_choice, source, actor, wording, locale, campaign_id, at)
		SELECT contact_id, type_id, coalesce(before, ''), 'out', $6, $7, sha256(convert_to($5, 'UTF8')), locale, nullif(campaign, 0), at FROM wanted`,
		r.contacts, r.types, r.campaigns, r.ats, contact.OneClickWording, gating.SourceOneClick, contact.ActorContact)
}
