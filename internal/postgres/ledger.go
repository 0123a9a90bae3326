package postgres

import (
	"bytes"
	"context"
	"fmt"
	"iter"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/jatak-mail/jatak/internal/contact"
)

// recordEvents returns the statement that writes consent events and the state
// that they lead to. wanted selects, at most once for each contact: contact_id,
// purpose, to_basis, expires_at, source, actor, wording, locale, campaign_id,
// comment, at. The contacts are to be locked before, by a statement of its own,
// so that each event follows the newest. It is the only way into the ledger. A
// contact's first event is told to the contact by mail if the tenant wants that
// for its source.
func recordEvents(wanted string) string {
	return `
		WITH wanted (contact_id, purpose, to_basis, expires_at, source, actor, wording, locale, campaign_id, comment, at) AS (` + wanted + `
		), event AS (
			SELECT w.*, coalesce(e.basis, '') AS from_basis, c.address, c.language,
				sha256(c.salt || convert_to(c.address, 'UTF8')) AS address_digest,
				CASE WHEN w.comment <> '' THEN sha256(c.salt || convert_to(w.comment, 'UTF8')) END AS comment_digest,
				CASE WHEN w.wording <> '' THEN sha256(convert_to(w.wording, 'UTF8')) END AS wording_hash,
				(SELECT p.hash FROM consent_event p WHERE p.contact_id = w.contact_id ORDER BY p.id DESC LIMIT 1) AS previous
			FROM wanted w JOIN contact c ON c.id = w.contact_id
			LEFT JOIN consent e ON e.contact_id = w.contact_id AND e.purpose = w.purpose
		), words AS (
			INSERT INTO wording (hash, text) SELECT DISTINCT wording_hash, wording FROM event WHERE wording_hash IS NOT NULL
			ON CONFLICT DO NOTHING
		), addresses AS (
			INSERT INTO known_address (contact_id, digest, address)
			SELECT contact_id, address_digest, address FROM event WHERE address_digest IS NOT NULL ON CONFLICT DO NOTHING
		), kept AS (
			INSERT INTO consent_event (contact_id, purpose, from_basis, to_basis, expires_at, source, actor, wording, locale,
				campaign_id, address_digest, comment_digest, at, hash)
			SELECT contact_id, purpose, from_basis, to_basis, expires_at, source, actor, wording_hash, locale,
				campaign_id, address_digest, comment_digest, at,
				consent_event_hash(previous, contact_id, purpose, from_basis, to_basis, expires_at, source, wording_hash,
					locale, campaign_id, address_digest, comment_digest, at, actor)
			FROM event
			RETURNING id, contact_id, purpose, to_basis, source, at, expires_at
		), told AS (
			INSERT INTO notice (contact_id, kind, locale, due_at, created_at, changed_at)
			SELECT contact_id, 'added', coalesce(nullif(locale, ''), language), at, at, at FROM event
			WHERE previous IS NULL AND address IS NOT NULL AND to_basis <> 'withdrawn' AND source = ANY (string_to_array(
				(SELECT value FROM setting_change WHERE name = 'confirm-sources' ORDER BY version DESC LIMIT 1), ','))
		), comments AS (
			INSERT INTO consent_comment (event_id, comment)
			SELECT kept.id, event.comment FROM kept JOIN event USING (contact_id) WHERE event.comment <> ''
		)
		INSERT INTO consent (contact_id, purpose, basis, event_id, source, since, expires_at)
		SELECT contact_id, purpose, to_basis, id, source, at, expires_at FROM kept
		ON CONFLICT (contact_id, purpose) DO UPDATE SET basis = excluded.basis, event_id = excluded.event_id,
			source = excluded.source, since = excluded.since, expires_at = excluded.expires_at`
}

const linkColumns = `
	v.id, v.contact_id, v.purpose, v.from_basis, v.to_basis, v.expires_at, v.source, v.actor, v.wording, v.locale,
	coalesce(v.campaign_id, 0), v.address_digest, v.comment_digest, v.at, v.hash`

func linkTargets(l *contact.Link, expires **time.Time) []any {
	return []any{&l.ID, &l.Contact, &l.Purpose, &l.From, &l.To, expires, &l.Source, &l.Actor, &l.WordingHash, &l.Locale,
		&l.Campaign, &l.AddressDigest, &l.CommentDigest, &l.At, &l.Hash}
}

// Events returns a contact's consent events with their words, oldest first.
func (db *DB) Events(ctx context.Context, id contact.ID) ([]contact.Event, error) {
	rows, err := db.pool.Query(ctx, `
		SELECT`+linkColumns+`, coalesce(w.text, ''), coalesce(a.address, ''), coalesce(m.comment, '')
		FROM consent_event v LEFT JOIN wording w ON w.hash = v.wording
		LEFT JOIN known_address a ON a.contact_id = v.contact_id AND a.digest = v.address_digest
		LEFT JOIN consent_comment m ON m.event_id = v.id
		WHERE v.contact_id = $1 ORDER BY v.id`, id)
	if err != nil {
		return nil, fmt.Errorf("read consent events: %w", err)
	}
	events, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (contact.Event, error) {
		var l contact.Link
		var expires *time.Time
		err := row.Scan(append(linkTargets(&l, &expires), &l.Wording, &l.Address, &l.Comment)...)
		if expires != nil {
			l.Expires = *expires
		}
		return l.Event, err
	})
	if err != nil {
		return nil, fmt.Errorf("read consent events: %w", err)
	}
	return slices.Clip(events), nil
}

// Links streams the whole ledger, contact by contact, oldest first.
func (db *DB) Links(ctx context.Context) iter.Seq2[contact.Link, error] {
	return stream(ctx, db, "read the ledger", func(rows pgx.Rows) (l contact.Link, err error) {
		var expires *time.Time
		err = rows.Scan(linkTargets(&l, &expires)...)
		if expires != nil {
			l.Expires = *expires
		}
		return l, err
	}, `SELECT`+linkColumns+` FROM consent_event v ORDER BY v.contact_id, v.id`)
}

// VerifyLedger walks every event and holds its hash against what it covers, and
// then the present state against the events. It returns how many events there
// are, and a *contact.BrokenError for the first that is not as it was written.
func (db *DB) VerifyLedger(ctx context.Context) (events int64, err error) {
	var last contact.Link
	for l, err := range db.Links(ctx) {
		if err != nil {
			return events, err
		}
		events++
		var previous []byte
		if l.Contact == last.Contact {
			previous = last.Hash
		}
		if !bytes.Equal(l.Chain(previous), l.Hash) {
			return events, &contact.BrokenError{Contact: l.Contact, Event: l.ID, What: "its hash does not fit what it says, or the event before it"}
		}
		last = l
	}
	b := &contact.BrokenError{What: "the present state is not what the events lead to"}
	err = db.pool.QueryRow(ctx, `
		SELECT coalesce(e.contact_id, f.contact_id), coalesce(f.id, e.event_id)
		FROM consent e FULL JOIN (`+foldedEvents+`) f ON f.contact_id = e.contact_id AND f.purpose = e.purpose
		WHERE (e.basis, e.event_id, e.source, e.since, e.expires_at) IS DISTINCT FROM (f.to_basis, f.id, f.source, f.at, f.expires_at)
		ORDER BY 1 LIMIT 1`).Scan(&b.Contact, &b.Event)
	switch {
	case err == nil:
		return events, b
	case err == pgx.ErrNoRows:
		return events, nil
	}
	return events, fmt.Errorf("verify the present state: %w", err)
}

// foldedEvents selects the newest event of each contact and purpose: the state
// that the ledger leads to.
const foldedEvents = `
	SELECT DISTINCT ON (contact_id, purpose) id, contact_id, purpose, to_basis, source, at, expires_at
	FROM consent_event ORDER BY contact_id, purpose, id DESC`

// RebuildState makes the present state anew from the events, and returns how
// many rows were not as the events say.
func (db *DB) RebuildState(ctx context.Context) (mended int64, err error) {
	err = db.inTx(ctx, func(tx pgx.Tx) error {
		mended = 0
		// Nobody writes an event meanwhile; readers go on.
		if _, err := tx.Exec(ctx, `LOCK TABLE consent IN SHARE ROW EXCLUSIVE MODE`); err != nil {
			return err
		}
		for _, statement := range []string{`
			DELETE FROM consent e WHERE NOT EXISTS (
				SELECT FROM consent_event v WHERE v.contact_id = e.contact_id AND v.purpose = e.purpose)`, `
			INSERT INTO consent AS e (contact_id, purpose, basis, event_id, source, since, expires_at)
			SELECT contact_id, purpose, to_basis, id, source, at, expires_at FROM (` + foldedEvents + `) f
			ON CONFLICT (contact_id, purpose) DO UPDATE SET basis = excluded.basis, event_id = excluded.event_id,
				source = excluded.source, since = excluded.since, expires_at = excluded.expires_at
			WHERE (e.basis, e.event_id, e.source, e.since, e.expires_at) IS DISTINCT FROM
				(excluded.basis, excluded.event_id, excluded.source, excluded.since, excluded.expires_at)`} {
			tag, err := tx.Exec(ctx, statement)
			if err != nil {
				return err
			}
			mended += tag.RowsAffected()
		}
		return nil
	})
	if err != nil {
		return 0, fmt.Errorf("rebuild the present state: %w", err)
	}
	return mended, nil
}
