package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/jatak-mail/jatak/gating"
	"github.com/jatak-mail/jatak/internal/contact"
)

// SignUp keeps a request to be mailed and asks for its confirmation mail. A
// contact of the address is found or made; nothing else about one that is there
// changes. What is beyond the bounds is not kept.
func (db *DB) SignUp(ctx context.Context, s contact.SignUp) (result contact.SignUpResult, err error) {
	err = db.inTx(ctx, func(tx pgx.Tx) error {
		result, err = signUp(ctx, tx, s)
		return err
	})
	if err != nil {
		return "", fmt.Errorf("sign up: %w", err)
	}
	return result, nil
}

func signUp(ctx context.Context, tx pgx.Tx, s contact.SignUp) (contact.SignUpResult, error) {
	// One sign-up of an address, and of a network, at a time: they are counted.
	_, err := tx.Exec(ctx, `SELECT pg_advisory_xact_lock(k) FROM (
		SELECT hashtextextended(encode(x, 'hex'), 7) AS k FROM unnest($1::bytea[]) AS x ORDER BY 1) keys`, [][]byte{s.Digest, s.Network})
	if err != nil {
		return "", err
	}
	var fromNetwork int
	var suppressed, knownPurpose bool
	err = tx.QueryRow(ctx, `
		SELECT (SELECT count(*) FROM sign_up WHERE network = $1 AND requested_at > $2),
			EXISTS (SELECT FROM suppression WHERE address_digest = $3 AND scope = 'all'),
			EXISTS (SELECT FROM purpose WHERE key = $4 AND retired_at IS NULL)`,
		s.Network, s.Now.Add(-contact.SignUpWindow), s.Digest, s.Purpose).Scan(&fromNetwork, &suppressed, &knownPurpose)
	switch {
	case err != nil:
		return "", err
	case !knownPurpose:
		return contact.SignUpBadPurpose, nil
	case suppressed:
		return contact.SignUpSuppressed, nil
	case fromNetwork >= contact.MostSignUps:
		return contact.SignUpLimited, nil
	}

	id, err := signingContact(ctx, tx, s)
	if err != nil {
		return "", err
	}
	if limited, err := noticeLimit(ctx, tx, id, contact.NoticeConfirm, s.Now); err != nil || limited {
		return contact.SignUpLimited, err
	}
	var signUpID int64
	err = tx.QueryRow(ctx, `
		WITH words AS (
			INSERT INTO wording (hash, text) VALUES (sha256(convert_to($4, 'UTF8')), $4) ON CONFLICT DO NOTHING)
		INSERT INTO sign_up (contact_id, purpose, types, wording, locale, network, requested_at, expires_at)
		SELECT $1, $2, coalesce((SELECT array_agg(t.id) FROM subscription_type t WHERE t.id = ANY($3) AND t.retired_at IS NULL), '{}'),
			sha256(convert_to($4, 'UTF8')), $5, $6, $7, $8
		RETURNING id`, id, s.Purpose, typeIDs(s.Types), s.Wording, s.Locale, s.Network, s.Now, s.Now.Add(s.Life)).Scan(&signUpID)
	if err != nil {
		return "", err
	}
	_, err = tx.Exec(ctx, `UPDATE contact SET awaiting_confirmation = true WHERE id = $1 AND NOT awaiting_confirmation`, id)
	if err != nil {
		return "", err
	}
	return contact.SignUpKept, sendNotice(ctx, tx, id, contact.NoticeConfirm, &signUpID, s.Locale, s.Now)
}

func typeIDs(types []gating.TypeID) []int64 {
	ids := make([]int64, len(types))
	for i, t := range types {
		ids[i] = int64(t)
	}
	return ids
}

// signingContact returns the contact of the address, which it makes when there
// is none.
func signingContact(ctx context.Context, tx pgx.Tx, s contact.SignUp) (id contact.ID, err error) {
	err = tx.QueryRow(ctx, `
		SELECT id FROM contact WHERE address = $1 AND deleted_at IS NULL ORDER BY has_left, id LIMIT 1 FOR NO KEY UPDATE`, s.Address).Scan(&id)
	if !errors.Is(err, pgx.ErrNoRows) {
		return id, err
	}
	err = tx.QueryRow(ctx, `
		INSERT INTO contact (email, address, address_digest, first_name, last_name, language, upgraded_at, created_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $7) RETURNING id`,
		s.Email, s.Address, s.Digest, s.FirstName, s.LastName, s.Locale, s.Now).Scan(&id)
	return id, err
}

// noticeLimit reports whether the contact was sent as many mails of the kind as
// may be.
func noticeLimit(ctx context.Context, tx pgx.Tx, id contact.ID, kind contact.NoticeKind, now time.Time) (limited bool, err error) {
	err = tx.QueryRow(ctx, `
		SELECT count(*) >= $4 FROM notice WHERE contact_id = $1 AND kind = $2 AND created_at > $3`,
		id, kind, now.Add(-contact.NoticeWindow), contact.MostNotices).Scan(&limited)
	return limited, err
}

// queueNotice keeps a notice, if the tenant has said who it is from and the
// contact was not sent as many of the kind as may be.
func queueNotice(b *pgx.Batch, id contact.ID, kind contact.NoticeKind, signUp *int64, locale string, now time.Time) {
	b.Queue(`
		INSERT INTO notice (contact_id, kind, sign_up_id, locale, due_at, created_at, changed_at)
		SELECT $1::bigint, $2::text, $3::bigint, $4, $5::timestamptz, $5, $5
		WHERE ((SELECT value FROM setting_change WHERE name = 'sender-address' ORDER BY version DESC LIMIT 1) <> '' OR $3 IS NOT NULL)
			AND (SELECT count(*) FROM notice WHERE contact_id = $1 AND kind = $2 AND created_at > $6) < $7`,
		id, kind, signUp, locale, now, now.Add(-contact.NoticeWindow), contact.MostNotices)
}

// sendNotice does so at once.
func sendNotice(ctx context.Context, tx pgx.Tx, id contact.ID, kind contact.NoticeKind, signUp *int64, locale string, now time.Time) error {
	b := &pgx.Batch{}
	queueNotice(b, id, kind, signUp, locale, now)
	return tx.SendBatch(ctx, b).Close()
}

// PendingSignUp returns a sign-up of a contact, or contact.ErrNotFound.
func (db *DB) PendingSignUp(ctx context.Context, id contact.ID, signUp int64, now time.Time) (p contact.PendingSignUp, err error) {
	err = db.pool.QueryRow(ctx, `
		SELECT c.address, w.text, s.locale, s.expires_at <= $3, s.confirmed_at IS NOT NULL,
			coalesce((SELECT jsonb_agg(jsonb_build_object('id', t.id, 'names',
				(SELECT coalesce(jsonb_object_agg(n.language, n.name), '{}') FROM subscription_type_name n WHERE n.type_id = t.id)) ORDER BY t.position, t.id)
				FROM subscription_type t WHERE t.id = ANY(s.types)), '[]')
		FROM sign_up s JOIN contact c ON c.id = s.contact_id JOIN wording w ON w.hash = s.wording
		WHERE s.id = $2 AND s.contact_id = $1 AND c.deleted_at IS NULL AND c.address IS NOT NULL`, id, signUp, now).
		Scan(&p.Address, &p.Wording, &p.Locale, &p.Expired, &p.Confirmed, &p.Types)
	if errors.Is(err, pgx.ErrNoRows) {
		return p, contact.ErrNotFound
	}
	if err != nil {
		return p, fmt.Errorf("read sign-up: %w", err)
	}
	return p, nil
}

// ConfirmSignUp makes a sign-up a consent: the contact's own act, which may
// also take a withdrawal back. A second confirmation changes nothing. It
// returns contact.ErrNotFound or contact.ErrExpired.
func (db *DB) ConfirmSignUp(ctx context.Context, id contact.ID, signUp int64, now time.Time) error {
	err := db.inTx(ctx, func(tx pgx.Tx) error {
		var c contact.SignUp
		var confirmed *time.Time
		var expires time.Time
		err := tx.QueryRow(ctx, `
			SELECT s.purpose, s.types, w.text, s.locale, s.expires_at, s.confirmed_at
			FROM contact c JOIN sign_up s ON s.contact_id = c.id JOIN wording w ON w.hash = s.wording
			WHERE c.id = $1 AND s.id = $2 AND c.deleted_at IS NULL FOR NO KEY UPDATE OF c, s`, id, signUp).
			Scan(&c.Purpose, &c.Types, &c.Wording, &c.Locale, &expires, &confirmed)
		switch {
		case errors.Is(err, pgx.ErrNoRows):
			return contact.ErrNotFound
		case err != nil:
			return err
		case confirmed != nil:
			return nil
		case !now.Before(expires):
			return contact.ErrExpired
		}
		_, err = tx.Exec(ctx, recordEvents(`
			SELECT $1::bigint, $2::text, 'consent', NULL::timestamptz, $3::text, $4::text, $5::text, $6::text, NULL::bigint, '', $7::timestamptz
			WHERE NOT EXISTS (SELECT FROM consent e WHERE e.contact_id = $1 AND e.purpose = $2 AND e.basis = 'consent')`),
			id, c.Purpose, gating.SourceWebForm, contact.ActorContact, c.Wording, c.Locale, now)
		if err != nil {
			return err
		}
		choices := contact.Choices{Contact: id, Source: gating.SourceWebForm, Locale: c.Locale, Wording: c.Wording, At: now,
			Types: map[gating.TypeID]gating.Preference{}}
		for _, t := range c.Types {
			choices.Types[t] = gating.PreferenceIn
		}
		types, changed := &pgx.Batch{}, false
		if err := errors.Join(queueTypes(types, choices, &changed), tx.SendBatch(ctx, types).Close()); err != nil {
			return err
		}
		_, err = tx.Exec(ctx, `
			WITH done AS (UPDATE sign_up SET confirmed_at = $3 WHERE id = $2)
			UPDATE contact SET awaiting_confirmation = false WHERE id = $1`, id, signUp, now)
		return err
	})
	if err != nil {
		return fmt.Errorf("confirm sign-up: %w", err)
	}
	return nil
}

// ResendSignUp asks for another confirmation mail of a sign-up that was not
// confirmed, which may then be confirmed for the given time. It does nothing
// beyond the bounds.
func (db *DB) ResendSignUp(ctx context.Context, id contact.ID, signUp int64, now time.Time, life time.Duration) error {
	err := db.inTx(ctx, func(tx pgx.Tx) error {
		var locale string
		err := tx.QueryRow(ctx, `
			SELECT s.locale FROM contact c JOIN sign_up s ON s.contact_id = c.id
			WHERE c.id = $1 AND s.id = $2 AND s.confirmed_at IS NULL AND c.deleted_at IS NULL FOR NO KEY UPDATE OF c, s`, id, signUp).Scan(&locale)
		if errors.Is(err, pgx.ErrNoRows) {
			return nil // confirmed since
		}
		if err != nil {
			return err
		}
		if limited, err := noticeLimit(ctx, tx, id, contact.NoticeConfirm, now); err != nil || limited {
			return err
		}
		if _, err := tx.Exec(ctx, `UPDATE sign_up SET expires_at = $2 WHERE id = $1`, signUp, now.Add(life)); err != nil {
			return err
		}
		return sendNotice(ctx, tx, id, contact.NoticeConfirm, &signUp, locale, now)
	})
	if err != nil {
		return fmt.Errorf("send a confirmation again: %w", err)
	}
	return nil
}

// signUpMemory is how long a sign-up that was not confirmed is kept after its
// time, so that its link can still ask for a fresh one.
const signUpMemory = 30 * 24 * time.Hour

// ForgetSignUps drops sign-ups that were never confirmed, at most a thousand,
// and erases the contacts that are there for nothing else.
func (db *DB) ForgetSignUps(ctx context.Context, now time.Time) (forgotten int64, err error) {
	err = db.inTx(ctx, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `DELETE FROM form_use WHERE at < $1`, now.Add(-contact.NoticeWindow)); err != nil {
			return err
		}
		rows, err := tx.Query(ctx, `
			DELETE FROM sign_up WHERE id IN (SELECT id FROM sign_up WHERE confirmed_at IS NULL AND expires_at <= $1 LIMIT 1000)
			RETURNING contact_id`, now.Add(-signUpMemory))
		if err != nil {
			return err
		}
		contacts, err := pgx.CollectRows(rows, pgx.RowTo[int64])
		if err != nil || len(contacts) == 0 {
			return err
		}
		forgotten = int64(len(contacts))
		batch := &pgx.Batch{}
		batch.Queue(`DELETE FROM notice n WHERE kind = 'confirm' AND contact_id = ANY($1)
			AND NOT EXISTS (SELECT FROM sign_up s WHERE s.id = n.sign_up_id)`, contacts)
		batch.Queue(`UPDATE contact c SET awaiting_confirmation = false WHERE id = ANY($1) AND awaiting_confirmation
			AND NOT EXISTS (SELECT FROM sign_up s WHERE s.contact_id = c.id AND s.confirmed_at IS NULL)`, contacts)
		batch.Queue(`UPDATE contact c SET email = '', address = NULL, address_digest = NULL, first_name = '', last_name = '',
				language = '', salt = NULL, deleted_at = $2
			WHERE id = ANY($1) AND legacy_id IS NULL AND deleted_at IS NULL
				AND NOT EXISTS (SELECT FROM sign_up s WHERE s.contact_id = c.id)
				AND NOT EXISTS (SELECT FROM consent_event v WHERE v.contact_id = c.id)
				AND NOT EXISTS (SELECT FROM preference_event v WHERE v.contact_id = c.id)`, contacts, now)
		return tx.SendBatch(ctx, batch).Close()
	})
	if err != nil {
		return 0, fmt.Errorf("forget old sign-ups: %w", err)
	}
	return forgotten, nil
}

// MailLink asks for a mail with a fresh link to the contact of the address, if
// there is one and neither the address nor the network is over its bounds.
func (db *DB) MailLink(ctx context.Context, address contact.Address, network []byte, locale string, now time.Time) error {
	var id contact.ID
	err := db.inTx(ctx, func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, `SELECT pg_advisory_xact_lock(hashtextextended(encode($1, 'hex'), 11))`, network)
		if err != nil {
			return err
		}
		err = tx.QueryRow(ctx, `
			WITH used AS (INSERT INTO form_use (network, at) VALUES ($1, $2))
			SELECT coalesce((SELECT id FROM contact WHERE address = $3 AND deleted_at IS NULL ORDER BY has_left, id LIMIT 1), 0)
			WHERE (SELECT count(*) FROM form_use WHERE network = $1 AND at > $4) < $5`,
			network, now, address, now.Add(-contact.SignUpWindow), contact.MostSignUps).Scan(&id)
		if errors.Is(err, pgx.ErrNoRows) {
			return nil // too many
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("ask for a link: %w", err)
	}
	if id == 0 {
		return nil
	}
	if err := db.RequestLink(ctx, id, locale, now); !errors.Is(err, contact.ErrNotFound) {
		return err
	}
	return nil
}

// RequestLink asks for a mail with a fresh link to the manage page; beyond the
// bounds it does nothing.
func (db *DB) RequestLink(ctx context.Context, id contact.ID, locale string, now time.Time) error {
	err := db.inTx(ctx, func(tx pgx.Tx) error {
		var known contact.ID
		err := tx.QueryRow(ctx, `SELECT id FROM contact WHERE id = $1 AND deleted_at IS NULL FOR NO KEY UPDATE`, id).Scan(&known)
		if errors.Is(err, pgx.ErrNoRows) {
			return contact.ErrNotFound
		}
		if err != nil {
			return err
		}
		return sendNotice(ctx, tx, id, contact.NoticeLink, nil, locale, now)
	})
	if err != nil {
		return fmt.Errorf("ask for a fresh link: %w", err)
	}
	return nil
}
