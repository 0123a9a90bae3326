package postgres

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/jatak-mail/jatak/internal/campaign"
)

// mostFailures is how many kinds of replies an account tells apart.
const mostFailures = 20

// Account returns the whole of a campaign's books. What is found out about a
// campaign that has ended, with nothing left open, is kept until the ledger
// changes: it takes seconds for a million mails. Withdrawals go on after the end,
// and are those of this moment.
func (db *DB) Account(ctx context.Context, id campaign.ID, now time.Time) (a campaign.Account, err error) {
	kept, err := db.KeptAccounts(ctx, []campaign.ID{id})
	if err != nil {
		return a, err
	}
	a, ok := kept[id]
	if !ok {
		if a, err = db.makeAccount(ctx, id, now); err != nil {
			return a, fmt.Errorf("make the account of campaign %d: %w", id, err)
		}
	}
	err = db.addWithdrawals(ctx, id, &a)
	return a, err
}

// KeptAccounts returns the accounts that are kept of some campaigns, without
// withdrawals.
func (db *DB) KeptAccounts(ctx context.Context, ids []campaign.ID) (map[campaign.ID]campaign.Account, error) {
	return readKept(ctx, db.pool, ids)
}

func readKept(ctx context.Context, from asker, ids []campaign.ID) (map[campaign.ID]campaign.Account, error) {
	rows, err := from.Query(ctx, `SELECT campaign_id, account FROM campaign_account WHERE campaign_id = ANY ($1)`, ids)
	if err != nil {
		return nil, fmt.Errorf("read accounts: %w", err)
	}
	kept := map[campaign.ID]campaign.Account{}
	_, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (id campaign.ID, err error) {
		var a campaign.Account
		err = row.Scan(&id, &a)
		kept[id] = a
		return id, err
	})
	if err != nil {
		return nil, fmt.Errorf("read accounts: %w", err)
	}
	return kept, nil
}

// makeAccount looks through the ledger, and keeps what it finds if it is the last
// word.
func (db *DB) makeAccount(ctx context.Context, id campaign.ID, now time.Time) (a campaign.Account, err error) {
	c, err := db.Campaign(ctx, id)
	if err != nil {
		return a, err
	}
	if !c.State.Ended() {
		return readAccount(ctx, db.pool, id)
	}
	err = db.inTx(ctx, func(tx pgx.Tx) error {
		if err := holdAccounts(ctx, tx); err != nil {
			return err
		}
		kept, err := readKept(ctx, tx, []campaign.ID{id})
		if err != nil {
			return err
		}
		if made, ok := kept[id]; ok { // by whom we waited for
			a = made
			return nil
		}
		// Nor may the campaign go on again meanwhile.
		var ended bool
		err = tx.QueryRow(ctx, `SELECT state IN ('finished', 'cancelled') FROM campaign WHERE id = $1 FOR SHARE`, id).Scan(&ended)
		if err != nil {
			return err
		}
		if a, err = readAccount(ctx, tx, id); err != nil || !ended || a.Open() > 0 {
			return err
		}
		_, err = tx.Exec(ctx, `INSERT INTO campaign_account (campaign_id, account, kept_at) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING`, id, a, now)
		return err
	})
	return a, err
}

// holdAccounts lets one transaction at a time make or forget accounts, so that
// none is kept of what somebody is erased from meanwhile.
func holdAccounts(ctx context.Context, tx pgx.Tx) error {
	_, err := tx.Exec(ctx, `SELECT pg_advisory_xact_lock(hashtext('jatak accounts'))`)
	return err
}

// asker is the pool or a transaction.
type asker interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

// readAccount reads an account without withdrawals.
func readAccount(ctx context.Context, from asker, id campaign.ID) (a campaign.Account, err error) {
	if a.Report, err = readBooks(ctx, from, id); err != nil {
		return a, err
	}
	if a.Hours, err = readHours(ctx, from, id); err != nil {
		return a, err
	}
	if a.Failures, err = readFailures(ctx, from, id, mostFailures); err != nil {
		return a, err
	}
	if err = readParts(ctx, from, id, &a); err != nil {
		return a, err
	}
	err = from.QueryRow(ctx, `
		SELECT count(*) FROM campaign c JOIN delivery d ON d.campaign_id = c.id AND d.lifted IS NOT NULL
		WHERE c.id = $1 AND c.override_reason <> ''`, id).Scan(&a.Lifted)
	return a, err
}

// readHours reads when mails were sent or failed.
func readHours(ctx context.Context, from asker, id campaign.ID) ([]campaign.Hour, error) {
	rows, err := from.Query(ctx, `
		SELECT date_trunc('hour', changed_at), count(*) FILTER (WHERE state = 'sent'), count(*) FILTER (WHERE state = 'failed')
		FROM delivery WHERE campaign_id = $1 AND state IN ('sent', 'failed') GROUP BY 1 ORDER BY 1`, id)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (h campaign.Hour, err error) {
		return h, row.Scan(&h.At, &h.Sent, &h.Failed)
	})
}

// addWithdrawals adds who has withdrawn by a campaign's mails, hour by hour.
func (db *DB) addWithdrawals(ctx context.Context, id campaign.ID, a *campaign.Account) error {
	rows, err := db.pool.Query(ctx, `
		SELECT date_trunc('hour', at), count(*) FROM consent_event WHERE campaign_id = $1 AND to_basis = 'withdrawn' GROUP BY 1`, id)
	if err != nil {
		return fmt.Errorf("read the withdrawals of campaign %d: %w", id, err)
	}
	var at time.Time
	var n int64
	_, err = pgx.ForEachRow(rows, []any{&at, &n}, func() error {
		a.Withdrawn += n
		i, found := slices.BinarySearchFunc(a.Hours, at, func(h campaign.Hour, at time.Time) int { return h.At.Compare(at) })
		if !found {
			a.Hours = slices.Insert(a.Hours, i, campaign.Hour{At: at})
		}
		a.Hours[i].Withdrawn = n
		return nil
	})
	if err != nil {
		return fmt.Errorf("read the withdrawals of campaign %d: %w", id, err)
	}
	return nil
}

// mostDomains is how many destination domains an account tells apart.
const mostDomains = 12

// readParts reads the books by destination domain and language.
func readParts(ctx context.Context, from asker, id campaign.ID, a *campaign.Account) error {
	rows, err := from.Query(ctx, `
		SELECT grouping(domain), coalesce(domain, language, ''), sum(n), sum(n) FILTER (WHERE state = 'sent'), sum(n) FILTER (WHERE state = 'failed'),
			sum(n) FILTER (WHERE state IN ('pending', 'sending', 'deferred')), sum(n) FILTER (WHERE state = 'in_doubt'),
			sum(n) FILTER (WHERE state = 'cancelled'), sum(n) FILTER (WHERE state = 'blocked')
		FROM (
			SELECT `+domainOf+` AS domain, c.language, d.state, count(*) AS n
			FROM delivery d JOIN contact c ON c.id = d.contact_id WHERE d.campaign_id = $1 GROUP BY 1, 2, 3) part
		GROUP BY GROUPING SETS ((domain), (language)) ORDER BY 1, 3 DESC, 2`, id)
	if err != nil {
		return err
	}
	var byLanguage int
	var s campaign.Slice
	var sent, failed, open, doubt, cancelled, blocked *int64
	_, err = pgx.ForEachRow(rows, []any{&byLanguage, &s.Name, &s.All, &sent, &failed, &open, &doubt, &cancelled, &blocked}, func() error {
		s.Sent, s.Failed, s.Open, s.InDoubt, s.Cancelled, s.Blocked = orNone(sent), orNone(failed), orNone(open), orNone(doubt), orNone(cancelled), orNone(blocked)
		switch {
		case byLanguage == 1:
			a.Languages = append(a.Languages, s)
		case len(a.Domains) < mostDomains:
			a.Domains = append(a.Domains, s)
		default:
			a.Others.Add(s)
		}
		return nil
	})
	return err
}

func orNone(n *int64) int64 {
	if n == nil {
		return 0
	}
	return *n
}
