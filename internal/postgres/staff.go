package postgres

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/jatak-mail/jatak/internal/staff"
)

// Invite keeps a link, by its hash, by which somebody becomes a user. With email
// "" it is the first user's own.
func (db *DB) Invite(ctx context.Context, hash []byte, email string, role staff.Role, actor string, now, expires time.Time) error {
	err := db.inTx(ctx, func(tx pgx.Tx) error {
		// A new link ends those before it.
		_, err := tx.Exec(ctx, `DELETE FROM staff_invitation WHERE email = lower($1) AND email <> '' OR expires_at <= $2`, email, now)
		if err != nil {
			return err
		}
		_, err = tx.Exec(ctx, `
			INSERT INTO staff_invitation (token_hash, email, role, expires_at, invited_by, created_at) VALUES ($1, lower($2), $3, $4, $5, $6)`,
			hash, email, role, expires, actor, now)
		if err != nil {
			return err
		}
		return auditUser(ctx, tx, actor, "user invite", email, role, now)
	})
	if err != nil {
		return fmt.Errorf("invite: %w", err)
	}
	return nil
}

func auditUser(ctx context.Context, tx pgx.Tx, actor, action, email string, role staff.Role, now time.Time) error {
	_, err := tx.Exec(ctx, `INSERT INTO audit (actor, action, detail, at) VALUES ($1, $2, $3, $4)`, actor, action, strings.TrimSpace(email+" "+string(role)), now)
	return err
}

// Invitation returns whom a link invites, or staff.ErrNotFound. The link of the
// first user works only as long as there is none.
func (db *DB) Invitation(ctx context.Context, hash []byte, now time.Time) (email string, role staff.Role, err error) {
	err = db.pool.QueryRow(ctx, `
		SELECT email, role FROM staff_invitation
		WHERE token_hash = $1 AND expires_at > $2 AND (email <> '' OR NOT EXISTS (SELECT FROM staff))`, hash, now).Scan(&email, &role)
	if errors.Is(err, pgx.ErrNoRows) {
		return "", "", staff.ErrNotFound
	}
	if err != nil {
		return "", "", fmt.Errorf("read invitation: %w", err)
	}
	return email, role, nil
}

// AcceptInvitation makes a user, or gives one another password and role, and ends
// the link and all of the user's sessions. It returns staff.ErrLastAdministrator
// when nobody would be left to change users. As soon as there is a user, links
// that name nobody end: such a link makes the first user and changes none.
func (db *DB) AcceptInvitation(ctx context.Context, hash []byte, u staff.User, now time.Time) error {
	err := db.inTx(ctx, func(tx pgx.Tx) error {
		var invited string
		var role staff.Role
		// Two who would be the first at once wait for each other.
		if _, err := tx.Exec(ctx, `SELECT pg_advisory_xact_lock(hashtext('jatak first user'))`); err != nil {
			return err
		}
		err := tx.QueryRow(ctx, `
			DELETE FROM staff_invitation
			WHERE token_hash = $1 AND expires_at > $2 AND (email <> '' OR NOT EXISTS (SELECT FROM staff))
			RETURNING email, role`, hash, now).Scan(&invited, &role)
		if errors.Is(err, pgx.ErrNoRows) || err == nil && invited != "" && invited != u.Email {
			return staff.ErrNotFound
		}
		if err != nil {
			return err
		}
		var administers bool
		err = tx.QueryRow(ctx, `SELECT EXISTS (SELECT FROM staff WHERE email = lower($1) AND role = 'administrator' AND disabled_at IS NULL)`, u.Email).
			Scan(&administers)
		if err != nil {
			return err
		}
		var id int64
		err = tx.QueryRow(ctx, `
			INSERT INTO staff (email, password_hash, role, language, time_zone, created_at) VALUES (lower($1), $2, $3, $4, $5, $6)
			ON CONFLICT (email) DO UPDATE SET password_hash = excluded.password_hash, role = excluded.role, disabled_at = NULL
			RETURNING id`, u.Email, u.PasswordHash, role, u.Language, u.TimeZone, now).Scan(&id)
		if err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, `DELETE FROM staff_session WHERE staff_id = $1`, id); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, `DELETE FROM staff_invitation WHERE email = ''`); err != nil {
			return err
		}
		if err := auditUser(ctx, tx, "user:"+u.Email, "user enter", u.Email, role, now); err != nil {
			return err
		}
		if !administers {
			return nil
		}
		return stillAdministered(ctx, tx)
	})
	if err != nil {
		return fmt.Errorf("accept invitation: %w", err)
	}
	return nil
}

// HasStaff reports whether anybody can log in.
func (db *DB) HasStaff(ctx context.Context) (has bool, err error) {
	err = db.pool.QueryRow(ctx, `SELECT EXISTS (SELECT FROM staff WHERE disabled_at IS NULL)`).Scan(&has)
	if err != nil {
		return false, fmt.Errorf("read users: %w", err)
	}
	return has, nil
}

// UserByEmail returns a user who may log in, or staff.ErrNotFound.
func (db *DB) UserByEmail(ctx context.Context, email string) (staff.User, error) {
	return db.user(ctx, `SELECT id, email, role, language, time_zone, password_hash FROM staff WHERE email = lower($1) AND disabled_at IS NULL`, email)
}

// UserBySession returns whose session it is, or staff.ErrNotFound.
func (db *DB) UserBySession(ctx context.Context, hash []byte, now time.Time) (staff.User, error) {
	return db.user(ctx, `
		WITH seen AS (UPDATE staff_session SET seen_at = $2 WHERE token_hash = $1 AND seen_at < $2::timestamptz - interval '1 minute')
		SELECT s.id, s.email, s.role, s.language, s.time_zone, '' FROM staff_session t JOIN staff s ON s.id = t.staff_id
		WHERE t.token_hash = $1 AND t.expires_at > $2 AND s.disabled_at IS NULL`, hash, now)
}

func (db *DB) user(ctx context.Context, query string, args ...any) (u staff.User, err error) {
	err = db.pool.QueryRow(ctx, query, args...).Scan(&u.ID, &u.Email, &u.Role, &u.Language, &u.TimeZone, &u.PasswordHash)
	if errors.Is(err, pgx.ErrNoRows) {
		return u, staff.ErrNotFound
	}
	if err != nil {
		return u, fmt.Errorf("read user: %w", err)
	}
	return u, nil
}

// StartSession keeps a session by its hash, and drops those that have ended.
func (db *DB) StartSession(ctx context.Context, user int64, hash []byte, agent string, now time.Time) error {
	_, err := db.pool.Exec(ctx, `
		WITH ended AS (DELETE FROM staff_session WHERE expires_at <= $3)
		INSERT INTO staff_session (token_hash, staff_id, created_at, seen_at, expires_at, agent) VALUES ($1, $2, $3, $3, $4, $5)`,
		hash, user, now, now.Add(staff.SessionLife), agent)
	if err != nil {
		return fmt.Errorf("start session: %w", err)
	}
	return nil
}

// EndSession ends a session.
func (db *DB) EndSession(ctx context.Context, hash []byte) error {
	if _, err := db.pool.Exec(ctx, `DELETE FROM staff_session WHERE token_hash = $1`, hash); err != nil {
		return fmt.Errorf("end session: %w", err)
	}
	return nil
}

// SetUserLanguage keeps the language that a user reads the console in.
func (db *DB) SetUserLanguage(ctx context.Context, user int64, language string) error {
	if _, err := db.pool.Exec(ctx, `UPDATE staff SET language = $2 WHERE id = $1`, user, language); err != nil {
		return fmt.Errorf("set language: %w", err)
	}
	return nil
}

// Attempt counts an attempt under a key, if there were fewer than most within the
// window, and returns how long to wait otherwise; 0 when it may be made. One that
// may not is not counted: trying meanwhile makes nobody wait longer.
func (db *DB) Attempt(ctx context.Context, key []byte, most int, window time.Duration, now time.Time) (wait time.Duration, err error) {
	var oldest *time.Time
	err = db.pool.QueryRow(ctx, `
		WITH recent AS (SELECT at FROM form_use WHERE network = $1 AND at > $4 ORDER BY at DESC LIMIT $3),
			used AS (INSERT INTO form_use (network, at) SELECT $1, $2 WHERE (SELECT count(*) FROM recent) < $3)
		SELECT CASE WHEN count(*) >= $3 THEN min(at) END FROM recent`, key, now, most, now.Add(-window)).Scan(&oldest)
	if err != nil {
		return 0, fmt.Errorf("count attempts: %w", err)
	}
	if oldest == nil {
		return 0, nil
	}
	return max(time.Second, oldest.Add(window).Sub(now)), nil
}
