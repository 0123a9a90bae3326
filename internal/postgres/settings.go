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

// The newest change of each setting; the policy's version is the newest of all.
const currentSettings = `
	SELECT DISTINCT ON (name) name, value, version FROM setting_change ORDER BY name, version DESC`

// Policy returns the tenant's rules as they are now. Class, type and override
// are the campaign's to fill in.
func (db *DB) Policy(ctx context.Context, now time.Time) (gating.Policy, error) {
	rows, err := db.pool.Query(ctx, currentSettings)
	if err != nil {
		return gating.Policy{}, fmt.Errorf("read settings: %w", err)
	}
	return collectPolicy(rows, now)
}

func collectPolicy(rows pgx.Rows, now time.Time) (gating.Policy, error) {
	p := gating.Policy{Now: now, BounceLimit: gating.DefaultBounceLimit}
	var name, value string
	var version int64
	_, err := pgx.ForEachRow(rows, []any{&name, &value, &version}, func() error {
		if contact.IsRule(gating.Setting(name)) {
			return nil
		}
		p.Version = max(p.Version, version)
		return p.Set(gating.Setting(name), value)
	})
	if err != nil {
		return gating.Policy{}, fmt.Errorf("read settings: %w", err)
	}
	return p, nil
}

// Rules returns the tenant's rules beyond those of the gate.
func (db *DB) Rules(ctx context.Context) (contact.Rules, error) {
	rows, err := db.pool.Query(ctx, currentSettings)
	if err != nil {
		return contact.Rules{}, fmt.Errorf("read settings: %w", err)
	}
	return collectRules(rows)
}

func collectRules(rows pgx.Rows) (contact.Rules, error) {
	r := contact.DefaultRules()
	var name gating.Setting
	var value string
	var version int64
	_, err := pgx.ForEachRow(rows, []any{&name, &value, &version}, func() error {
		if !contact.IsRule(name) {
			return nil
		}
		return r.Set(name, value)
	})
	if err != nil {
		return r, fmt.Errorf("read settings: %w", err)
	}
	return r, nil
}

// Settings lists every setting with its default.
func Settings() []gating.SettingDefault { return append(gating.Settings(), contact.RuleDefaults()...) }

// Setting returns a setting's value, or its default when nobody has set it.
func (db *DB) Setting(ctx context.Context, name gating.Setting) (string, error) {
	var value string
	err := db.pool.QueryRow(ctx, `
		SELECT value FROM setting_change WHERE name = $1 ORDER BY version DESC LIMIT 1`, name).Scan(&value)
	if errors.Is(err, pgx.ErrNoRows) {
		for _, s := range Settings() {
			if s.Name == name {
				return s.Default, nil
			}
		}
		return "", fmt.Errorf("there is no setting %q", name)
	}
	if err != nil {
		return "", fmt.Errorf("read setting %s: %w", name, err)
	}
	return value, nil
}

// Set writes a setting, with who did it. A value that is already in force is
// not written again. Claims made from the commit on decide by it.
func (db *DB) Set(ctx context.Context, name gating.Setting, value, actor string, now time.Time) error {
	if err := db.checkSetting(ctx, name, value); err != nil {
		return err
	}
	_, err := db.pool.Exec(ctx, `
		INSERT INTO setting_change (name, value, actor, at)
		SELECT $1, $2, $3, $4
		WHERE $2 IS DISTINCT FROM
			(SELECT value FROM setting_change WHERE name = $1 ORDER BY version DESC LIMIT 1)`,
		name, value, actor, now)
	if err != nil {
		return fmt.Errorf("write setting %s: %w", name, err)
	}
	return nil
}

// checkSetting returns an error that says what to write instead.
func (db *DB) checkSetting(ctx context.Context, name gating.Setting, value string) error {
	set := new(gating.Policy).Set
	if contact.IsRule(name) {
		set = new(contact.Rules).Set
	}
	if err := set(name, value); err != nil {
		return refusal("%s", err)
	}
	switch name {
	case contact.SettingDefaultPurpose:
		return db.knownTerm(ctx, contact.Purposes, value)
	case contact.SettingDefaultBasis:
		return db.knownTerm(ctx, contact.LegalBases, value)
	}
	return nil
}
