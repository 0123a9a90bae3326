package postgres

import (
	"context"
	"fmt"
	"iter"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/jatak-mail/jatak/gating"
	"github.com/jatak-mail/jatak/internal/campaign"
	"github.com/jatak-mail/jatak/internal/contact"
)

// lastUse is when the consent e of a contact c was given or last mailed on;
// null while no setting asks for it.
const lastUse = `
	CASE WHEN (` + consentLife + `) IS NOT NULL THEN greatest(e.since,
		(SELECT max(d.changed_at) FROM delivery d WHERE d.contact_id = c.id AND d.state = 'sent')) END`

// consentLife selects how many days a consent counts that is not used; null
// for ever.
const consentLife = `
	SELECT nullif(value, 'never')::integer FROM setting_change WHERE name = 'consent-life' ORDER BY version DESC LIMIT 1`

// expiry is when the consent e loses its force; null for never.
const expiry = `least(e.expires_at, ` + lastUse + ` + (` + consentLife + `) * interval '1 day')`

// What the gate decides on, for a contact c. The parameter $1 is the
// campaign's subscription type, null for any.
const (
	factColumns = `
		c.address IS NOT NULL, c.bounces, c.has_left OR c.deleted_at IS NOT NULL,
		coalesce(own.counts_as, e.basis),
		e.event_id, e.expires_at, ` + lastUse + `, twin.event_id,
		c.no_mailings AND c.upgraded_at IS NULL, co.no_mailings,
		p.choice, c.chosen_at, c.awaiting_confirmation, s.entries`
	baseJoins = `
		LEFT JOIN consent e ON e.contact_id = c.id AND e.purpose = 'emarketing'
		LEFT JOIN legal_basis own ON own.key = e.basis AND NOT own.built_in
		LEFT JOIN company co ON co.id = c.company_id
		LEFT JOIN preference p ON p.contact_id = c.id AND p.type_id = $1`
	// For a few contacts: look up each.
	factJoins = baseJoins + `
		LEFT JOIN LATERAL (
			SELECT te.event_id FROM contact t JOIN consent te ON te.contact_id = t.id AND te.purpose = 'emarketing'
			WHERE t.address = c.address AND t.id <> c.id AND te.basis = 'withdrawn' LIMIT 1) twin ON true
		LEFT JOIN LATERAL (
			SELECT array_agg(ARRAY[s.scope, s.type_id::text, s.reason]) AS entries
			FROM suppression s WHERE s.address_digest = c.address_digest) s ON true`
	// For everybody: join whole tables, and look twins up only where an address
	// is shared.
	allFactJoins = baseJoins + `
		LEFT JOIN (SELECT address FROM contact WHERE address IS NOT NULL AND deleted_at IS NULL GROUP BY address HAVING count(*) > 1) shared
			ON shared.address = c.address
		LEFT JOIN LATERAL (
			SELECT te.event_id FROM contact t JOIN consent te ON te.contact_id = t.id AND te.purpose = 'emarketing'
			WHERE t.address = shared.address AND t.id <> c.id AND te.basis = 'withdrawn' LIMIT 1) twin ON shared.address IS NOT NULL
		LEFT JOIN (
			SELECT address_digest, array_agg(ARRAY[scope, type_id::text, reason]) AS entries FROM suppression GROUP BY address_digest) s
			ON s.address_digest = c.address_digest`
	personColumns = `c.id, coalesce(c.address, ''), c.email, c.first_name, c.last_name, coalesce(co.name, ''), c.language`
)

// factScan receives factColumns, whose joined parts may be null.
type factScan struct {
	facts             gating.Facts
	basis, choice     *string
	event, twin       *int64
	expires, chosen   *time.Time
	used              *time.Time
	companyNoMailings *bool
	suppressions      [][]string
}

func (s *factScan) targets() []any {
	return []any{&s.facts.AddressValid, &s.facts.BouncesInRow, &s.facts.Left, &s.basis, &s.event, &s.expires, &s.used, &s.twin,
		&s.facts.NoMailings, &s.companyNoMailings, &s.choice, &s.chosen, &s.facts.AwaitingConfirmation, &s.suppressions}
}

func (s *factScan) result() gating.Facts {
	f := s.facts
	if s.basis != nil {
		f.Emarketing = gating.Consent{Basis: gating.LegalBasis(*s.basis), Event: *s.event}
	}
	if s.expires != nil {
		f.Emarketing.Expires = *s.expires
	}
	if s.twin != nil {
		f.TwinWithdrawn, f.TwinEvent = true, *s.twin
	}
	if s.choice != nil {
		f.Preference = gating.Preference(*s.choice)
	}
	if s.used != nil {
		f.LastUse = *s.used
	}
	if s.chosen != nil {
		f.LastChoice = *s.chosen
	}
	f.CompanyNoMailings = s.companyNoMailings != nil && *s.companyNoMailings
	for _, entry := range s.suppressions {
		var typeID gating.TypeID
		_, _ = fmt.Sscan(entry[1], &typeID) // a bigint printed by the database
		f.Suppressions = append(f.Suppressions, gating.Suppression{
			Scope: gating.Scope(entry[0]), Type: typeID, Reason: gating.SuppressionReason(entry[2])})
	}
	return f
}

func typeParameter(t gating.SubscriptionType) *int64 {
	if t.ID == 0 {
		return nil
	}
	id := int64(t.ID)
	return &id
}

// Audience streams the selection with the facts that the gate decides on, in
// the order of planning, for a report before launch. The address is given
// only where several contacts share it: Duplicate is left for the caller to
// find.
func (db *DB) Audience(ctx context.Context, t gating.SubscriptionType, of contact.Selection) iter.Seq2[contact.Recipient, error] {
	args := []any{typeParameter(t)}
	condition := where(of, &args)
	return stream(ctx, db, "read the audience", func(rows pgx.Rows) (r contact.Recipient, err error) {
		var s factScan
		err = rows.Scan(append([]any{&r.ID, &r.Address, &r.Language, &r.TimeZone}, s.targets()...)...)
		r.Facts = s.result()
		return r, err
	}, `
		SELECT c.id, coalesce(shared.address, ''), c.language, c.time_zone,`+factColumns+`
		FROM contact c`+allFactJoins+` WHERE `+condition+` ORDER BY c.id`, args...)
}

// audienceChunk reads the next contacts to plan, with Duplicate set where a
// contact with the same address is planned already.
func audienceChunk(ctx context.Context, tx pgx.Tx, id campaign.ID, t gating.SubscriptionType, of contact.Selection, after, end contact.ID, limit int) ([]contact.Recipient, error) {
	args := []any{typeParameter(t), after, end, limit, id}
	rows, err := tx.Query(ctx, `
		SELECT c.id, coalesce(c.address, ''), c.time_zone, EXISTS (
			SELECT FROM contact t JOIN delivery d ON d.contact_id = t.id AND d.campaign_id = $5
			WHERE t.address = c.address AND t.id <> c.id AND d.state <> 'blocked'),`+factColumns+`
		FROM contact c`+factJoins+`
		WHERE c.id > $2 AND c.id <= $3 AND `+where(of, &args)+` ORDER BY c.id LIMIT $4`, args...)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (r contact.Recipient, err error) {
		var s factScan
		var duplicate bool
		err = row.Scan(append([]any{&r.ID, &r.Address, &r.TimeZone, &duplicate}, s.targets()...)...)
		r.Facts = s.result()
		r.Facts.Duplicate = duplicate
		return r, err
	})
}

// LedgerMark says how far everything has come that decides who gets a mail.
func (db *DB) LedgerMark(ctx context.Context) (m campaign.LedgerMark, err error) {
	err = db.pool.QueryRow(ctx, `
		SELECT coalesce((SELECT max(id) FROM contact), 0), coalesce((SELECT max(id) FROM consent_event), 0),
			coalesce((SELECT max(id) FROM preference_event), 0), coalesce((SELECT sum(lines) FROM contact_import), 0)::bigint`).
		Scan(&m.Contacts, &m.Consents, &m.Choices, &m.Lines)
	if err != nil {
		return m, fmt.Errorf("read how far the ledgers have come: %w", err)
	}
	return m, nil
}

// MostGained bounds how many people may have come since a mark: new contacts,
// lines of lists, and changes that are no withdrawals.
func (db *DB) MostGained(ctx context.Context, since campaign.LedgerMark) (people int64, err error) {
	err = db.pool.QueryRow(ctx, `
		SELECT coalesce((SELECT max(id) FROM contact), 0) - $1
			+ (SELECT count(*) FROM consent_event WHERE id > $2 AND to_basis <> 'withdrawn')
			+ (SELECT count(*) FROM preference_event WHERE id > $3 AND to_choice <> 'out')
			+ coalesce((SELECT sum(lines) FROM contact_import), 0)::bigint - $4`,
		since.Contacts, since.Consents, since.Choices, since.Lines).Scan(&people)
	if err != nil {
		return 0, fmt.Errorf("read what has come to the ledgers: %w", err)
	}
	return people, nil
}
