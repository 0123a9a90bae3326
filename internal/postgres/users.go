package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/jatak-mail/jatak/internal/staff"
)

// Members lists all users, those who may no longer log in last.
func (db *DB) Members(ctx context.Context) ([]staff.Member, error) {
	rows, err := db.pool.Query(ctx, `
		SELECT s.id, s.email, s.role, s.created_at, coalesce((SELECT max(t.seen_at) FROM staff_session t WHERE t.staff_id = s.id), 'epoch'),
			s.disabled_at IS NOT NULL
		FROM staff s ORDER BY s.disabled_at IS NOT NULL, s.email`)
	if err != nil {
		return nil, fmt.Errorf("read users: %w", err)
	}
	list, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (m staff.Member, err error) {
		err = row.Scan(&m.ID, &m.Email, &m.Role, &m.Created, &m.Seen, &m.Disabled)
		if m.Seen.Unix() == 0 {
			m.Seen = time.Time{}
		}
		return m, err
	})
	if err != nil {
		return nil, fmt.Errorf("read users: %w", err)
	}
	return list, nil
}

// Invitations lists the links that were not used yet and still work.
func (db *DB) Invitations(ctx context.Context, now time.Time) ([]staff.Invitation, error) {
	rows, err := db.pool.Query(ctx, `
		SELECT id, email, role, invited_by, created_at, expires_at FROM staff_invitation WHERE expires_at > $1 ORDER BY created_at, id`, now)
	if err != nil {
		return nil, fmt.Errorf("read invitations: %w", err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowToStructByPos[staff.Invitation])
	if err != nil {
		return nil, fmt.Errorf("read invitations: %w", err)
	}
	return list, nil
}

// Uninvite ends a link before it is used.
func (db *DB) Uninvite(ctx context.Context, id int64, actor string, now time.Time) error {
	err := db.inTx(ctx, func(tx pgx.Tx) error {
		var email string
		var role staff.Role
		err := tx.QueryRow(ctx, `DELETE FROM staff_invitation WHERE id = $1 RETURNING email, role`, id).Scan(&email, &role)
		if errors.Is(err, pgx.ErrNoRows) {
			return staff.ErrNotFound
		}
		if err != nil {
			return err
		}
		return auditUser(ctx, tx, actor, "user uninvite", email, role, now)
	})
	if err != nil {
		return fmt.Errorf("take back an invitation: %w", err)
	}
	return nil
}

// SetRole gives a user another role. It returns staff.ErrLastAdministrator when
// nobody would be left to change users.
func (db *DB) SetRole(ctx context.Context, user int64, role staff.Role, actor string, now time.Time) error {
	return db.changeUser(ctx, `UPDATE staff SET role = $2 WHERE id = $1 AND disabled_at IS NULL RETURNING email, role`, "user role", actor, now, user, role)
}

// DisableUser ends a user's sessions and links, and lets them in no more. It
// returns staff.ErrLastAdministrator like SetRole.
func (db *DB) DisableUser(ctx context.Context, user int64, actor string, now time.Time) error {
	return db.changeUser(ctx, `
		WITH sessions AS (DELETE FROM staff_session WHERE staff_id = $1),
			links AS (DELETE FROM staff_invitation i USING staff s WHERE s.id = $1 AND i.email = s.email)
		UPDATE staff SET disabled_at = $2 WHERE id = $1 AND disabled_at IS NULL RETURNING email, role`, "user disable", actor, now, user, now)
}

// EndUserSessions logs a user out everywhere.
func (db *DB) EndUserSessions(ctx context.Context, user int64, actor string, now time.Time) error {
	return db.changeUser(ctx, `
		WITH sessions AS (DELETE FROM staff_session WHERE staff_id = $1)
		SELECT email, role FROM staff WHERE id = $1`, "user sessions", actor, now, user)
}

// EnableUser lets a user in again, with their password of before.
func (db *DB) EnableUser(ctx context.Context, user int64, actor string, now time.Time) error {
	return db.changeUser(ctx, `UPDATE staff SET disabled_at = NULL WHERE id = $1 AND disabled_at IS NOT NULL RETURNING email, role`, "user enable", actor, now, user)
}

// changeUser changes a user by a statement that returns their address and role.
func (db *DB) changeUser(ctx context.Context, statement, action, actor string, now time.Time, args ...any) error {
	err := db.inTx(ctx, func(tx pgx.Tx) error {
		var email string
		var role staff.Role
		err := tx.QueryRow(ctx, statement, args...).Scan(&email, &role)
		if errors.Is(err, pgx.ErrNoRows) {
			return staff.ErrNotFound
		}
		if err != nil {
			return err
		}
		if err := auditUser(ctx, tx, actor, action, email, role, now); err != nil {
			return err
		}
		return stillAdministered(ctx, tx)
	})
	if err != nil {
		return fmt.Errorf("%s: %w", action, err)
	}
	return nil
}

// stillAdministered returns staff.ErrLastAdministrator when there are users but
// none who may change them. Two who resign at once wait for each other.
func stillAdministered(ctx context.Context, tx pgx.Tx) error {
	var alone bool
	_, err := tx.Exec(ctx, `SELECT pg_advisory_xact_lock(hashtext('jatak administrators'))`)
	if err == nil {
		err = tx.QueryRow(ctx, `SELECT NOT EXISTS (SELECT FROM staff WHERE role = 'administrator' AND disabled_at IS NULL)`).Scan(&alone)
	}
	if err == nil && alone {
		err = staff.ErrLastAdministrator
	}
	return err
}

// ChangePassword gives a user another password and ends all of their sessions
// but the one of keep.
func (db *DB) ChangePassword(ctx context.Context, user int64, passwordHash string, keep []byte, now time.Time) error {
	err := db.inTx(ctx, func(tx pgx.Tx) error {
		var email string
		var role staff.Role
		err := tx.QueryRow(ctx, `UPDATE staff SET password_hash = $2 WHERE id = $1 RETURNING email, role`, user, passwordHash).Scan(&email, &role)
		if err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, `DELETE FROM staff_session WHERE staff_id = $1 AND token_hash <> $2`, user, keep); err != nil {
			return err
		}
		return auditUser(ctx, tx, "user:"+email, "user password", email, role, now)
	})
	if err != nil {
		return fmt.Errorf("change password: %w", err)
	}
	return nil
}

// SetUserZone keeps the time zone that a user is told times in; "" for the
// installation's.
func (db *DB) SetUserZone(ctx context.Context, user int64, zone string) error {
	if _, err := db.pool.Exec(ctx, `UPDATE staff SET time_zone = $2 WHERE id = $1`, user, zone); err != nil {
		return fmt.Errorf("set time zone: %w", err)
	}
	return nil
}

// Sessions lists where a user is logged in, the last seen first; current is the
// hash of the one that asks.
func (db *DB) Sessions(ctx context.Context, user int64, current []byte, now time.Time) ([]staff.Session, error) {
	rows, err := db.pool.Query(ctx, `
		SELECT id, agent, created_at, seen_at, expires_at, token_hash = $2 FROM staff_session
		WHERE staff_id = $1 AND expires_at > $3 ORDER BY seen_at DESC, id DESC`, user, current, now)
	if err != nil {
		return nil, fmt.Errorf("read sessions: %w", err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowToStructByPos[staff.Session])
	if err != nil {
		return nil, fmt.Errorf("read sessions: %w", err)
	}
	return list, nil
}

// EndSessionOf ends a session of a user, or all but the one of keep when id is 0.
func (db *DB) EndSessionOf(ctx context.Context, user, id int64, keep []byte) error {
	_, err := db.pool.Exec(ctx, `
		DELETE FROM staff_session WHERE staff_id = $1 AND (id = $2 OR $2 = 0 AND token_hash <> $3)`, user, id, keep)
	if err != nil {
		return fmt.Errorf("end session: %w", err)
	}
	return nil
}
