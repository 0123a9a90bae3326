package postgres

import (
	"cmp"
	"context"
	"errors"
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

// KeptBooks returns the books alone of the accounts that are kept of some
// campaigns: a list needs no more.
func (db *DB) KeptBooks(ctx context.Context, ids []campaign.ID) (map[campaign.ID]campaign.Report, error) {
	rows, err := db.pool.Query(ctx, `
		SELECT campaign_id, account - '{Spans,Destinations,Others,Languages,Failures}'::text[] FROM campaign_account WHERE campaign_id = ANY ($1)`, ids)
	if err != nil {
		return nil, fmt.Errorf("read books: %w", err)
	}
	kept := map[campaign.ID]campaign.Report{}
	var id campaign.ID
	var a campaign.Account
	_, err = pgx.ForEachRow(rows, []any{&id, &a}, func() error {
		kept[id], a = a.Report, campaign.Account{}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read books: %w", err)
	}
	return kept, nil
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
		a, err = keepAccount(ctx, tx, id, now)
		return err
	})
	return a, err
}

// keepAccount looks through the ledger under the lock of holdAccounts.
func keepAccount(ctx context.Context, tx pgx.Tx, id campaign.ID, now time.Time) (a campaign.Account, err error) {
	// Nor may the campaign go on again meanwhile.
	var ended bool
	err = tx.QueryRow(ctx, `SELECT state IN ('finished', 'cancelled') FROM campaign WHERE id = $1 FOR SHARE`, id).Scan(&ended)
	if err != nil {
		return a, err
	}
	if a, err = readAccount(ctx, tx, id); err != nil || !ended || a.Open() > 0 {
		return a, err
	}
	_, err = tx.Exec(ctx, `INSERT INTO campaign_account (campaign_id, account, kept_at) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING`, id, a, now)
	return a, err
}

// endedOfLate is how long after its end a campaign's account is made unasked. One
// that is forgotten later, because somebody is erased, is made when it is read.
const endedOfLate = 24 * time.Hour

// KeepNextAccount makes the account of a campaign that has ended of late and has none
// kept, so that whoever reads its report does not wait for it. It returns 0 when there
// is none, or when somebody else is making one.
func (db *DB) KeepNextAccount(ctx context.Context, now time.Time) (id campaign.ID, err error) {
	err = db.inTx(ctx, func(tx pgx.Tx) error {
		var free bool
		if err := tx.QueryRow(ctx, `SELECT pg_try_advisory_xact_lock(hashtext('jatak accounts'))`).Scan(&free); err != nil || !free {
			return err
		}
		err := tx.QueryRow(ctx, `
			SELECT c.id FROM campaign c
			WHERE c.state IN ('finished', 'cancelled') AND c.launched_at IS NOT NULL AND c.finished_at > $1
				AND NOT EXISTS (SELECT FROM campaign_account a WHERE a.campaign_id = c.id)
				AND NOT EXISTS (SELECT FROM batch b WHERE b.campaign_id = c.id AND b.closed_at IS NULL)
			ORDER BY c.finished_at LIMIT 1`, now.Add(-endedOfLate)).Scan(&id)
		if errors.Is(err, pgx.ErrNoRows) {
			return nil
		}
		if err != nil {
			return err
		}
		_, err = keepAccount(ctx, tx, id, now)
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("make the account of campaign %d: %w", id, err)
	}
	return id, nil
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
	if a.Spans, err = readSpans(ctx, from, id); err != nil {
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

// readSpans reads when mails were sent or failed.
func readSpans(ctx context.Context, from asker, id campaign.ID) ([]campaign.Span, error) {
	rows, err := from.Query(ctx, `
		SELECT date_bin($2, changed_at, 'epoch'), count(*) FILTER (WHERE state = 'sent'), count(*) FILTER (WHERE state = 'failed')
		FROM delivery WHERE campaign_id = $1 AND state IN ('sent', 'failed') GROUP BY 1 ORDER BY 1`, id, campaign.SpanLength)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (s campaign.Span, err error) {
		return s, row.Scan(&s.At, &s.Sent, &s.Failed)
	})
}

// withdrawals are those who have unsubscribed by the mails of some campaigns, $1:
// each person of a campaign once, when they first did.
const withdrawals = `(
	SELECT campaign_id, contact_id, min(at) AS at, NOT bool_or(all_mails) AS opted_out, bool_or(source = 'complaint') AS complained
	FROM (
		SELECT v.campaign_id, v.contact_id, v.at, v.source, true AS all_mails FROM consent_event v
		WHERE v.campaign_id = ANY ($1) AND v.to_basis = 'withdrawn'
		UNION ALL
		SELECT v.campaign_id, v.contact_id, v.at, v.source, false FROM preference_event v JOIN campaign c ON c.id = v.campaign_id AND c.type_id = v.type_id
		WHERE v.campaign_id = ANY ($1) AND v.to_choice = 'out') v
	GROUP BY campaign_id, contact_id)`

// Withdrawals counts who has unsubscribed by the mails of each of some campaigns.
func (db *DB) Withdrawals(ctx context.Context, ids []campaign.ID) (map[campaign.ID]campaign.Withdrawals, error) {
	rows, err := db.pool.Query(ctx, `
		SELECT campaign_id, count(*), count(*) FILTER (WHERE opted_out), count(*) FILTER (WHERE complained)
		FROM `+withdrawals+` w GROUP BY campaign_id`, ids)
	if err != nil {
		return nil, fmt.Errorf("count withdrawals: %w", err)
	}
	counts := map[campaign.ID]campaign.Withdrawals{}
	var id campaign.ID
	var w campaign.Withdrawals
	_, err = pgx.ForEachRow(rows, []any{&id, &w.Withdrawn, &w.OptedOut, &w.Complained}, func() error {
		counts[id] = w
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("count withdrawals: %w", err)
	}
	return counts, nil
}

// addWithdrawals adds who has unsubscribed by a campaign's mails: when, and of
// which parts they are.
func (db *DB) addWithdrawals(ctx context.Context, id campaign.ID, a *campaign.Account) error {
	counts, err := db.Withdrawals(ctx, []campaign.ID{id})
	if err != nil {
		return err
	}
	if a.Withdrawals = counts[id]; a.Withdrawn == 0 {
		return nil
	}
	rows, err := db.pool.Query(ctx, `
		SELECT date_bin($2, w.at, 'epoch'), `+domainOf+`, c.language, count(*)
		FROM `+withdrawals+` w JOIN contact c ON c.id = w.contact_id GROUP BY 1, 2, 3`, []campaign.ID{id}, campaign.SpanLength)
	if err != nil {
		return fmt.Errorf("read the withdrawals of campaign %d: %w", id, err)
	}
	var at time.Time
	var domain, language string
	var n int64
	providers := campaign.ProviderDomains()
	_, err = pgx.ForEachRow(rows, []any{&at, &domain, &language, &n}, func() error {
		i, found := slices.BinarySearchFunc(a.Spans, at, func(s campaign.Span, at time.Time) int { return s.At.Compare(at) })
		if !found {
			a.Spans = slices.Insert(a.Spans, i, campaign.Span{At: at})
		}
		a.Spans[i].Withdrawn += n
		// Whose address or language is another by now may be of a part that had nobody.
		if part := sliceOf(a.Destinations, cmp.Or(providers[domain], domain)); part != nil {
			part.Withdrawn += n
		} else {
			a.Others.Withdrawn += n
		}
		if part := sliceOf(a.Languages, language); part != nil {
			part.Withdrawn += n
		} else {
			a.Languages = append(a.Languages, campaign.Slice{Name: language, Withdrawn: n})
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("read the withdrawals of campaign %d: %w", id, err)
	}
	return nil
}

func sliceOf(parts []campaign.Slice, name string) *campaign.Slice {
	i := slices.IndexFunc(parts, func(s campaign.Slice) bool { return s.Name == name })
	if i < 0 {
		return nil
	}
	return &parts[i]
}

// mostDestinations is how many destinations an account tells apart.
const mostDestinations = 200

// readParts reads the books by destination and language.
func readParts(ctx context.Context, from asker, id campaign.ID, a *campaign.Account) error {
	rows, err := from.Query(ctx, `
		SELECT grouping(domain), coalesce(domain, language, ''), sum(n), sum(n) FILTER (WHERE state = 'sent'), sum(n) FILTER (WHERE state = 'failed'),
			sum(n) FILTER (WHERE state IN ('pending', 'sending', 'deferred')), sum(n) FILTER (WHERE state = 'in_doubt'),
			sum(n) FILTER (WHERE state = 'cancelled'), sum(n) FILTER (WHERE state = 'blocked')
		FROM (
			SELECT `+domainOf+` AS domain, c.language, d.state, count(*) AS n
			FROM delivery d JOIN contact c ON c.id = d.contact_id WHERE d.campaign_id = $1 GROUP BY 1, 2, 3) part
		GROUP BY GROUPING SETS ((domain), (language))`, id)
	if err != nil {
		return err
	}
	var byLanguage int
	var s campaign.Slice
	var sent, failed, open, doubt, cancelled, blocked *int64
	providers := campaign.ProviderDomains()
	ofProvider := map[string]campaign.Slice{}
	_, err = pgx.ForEachRow(rows, []any{&byLanguage, &s.Name, &s.All, &sent, &failed, &open, &doubt, &cancelled, &blocked}, func() error {
		s.Sent, s.Failed, s.Open, s.InDoubt, s.Cancelled, s.Blocked = orNone(sent), orNone(failed), orNone(open), orNone(doubt), orNone(cancelled), orNone(blocked)
		provider := providers[s.Name]
		switch {
		case byLanguage == 1:
			a.Languages = append(a.Languages, s)
		case provider != "":
			sum := ofProvider[provider]
			sum.Add(s)
			ofProvider[provider] = sum
		default:
			a.Destinations = append(a.Destinations, s)
		}
		return nil
	})
	if err != nil {
		return err
	}
	for name, sum := range ofProvider {
		sum.Name = name
		a.Destinations = append(a.Destinations, sum)
	}
	largest := func(x, y campaign.Slice) int { return cmp.Or(cmp.Compare(y.All, x.All), cmp.Compare(x.Name, y.Name)) }
	slices.SortFunc(a.Languages, largest)
	slices.SortFunc(a.Destinations, largest)
	for len(a.Destinations) > mostDestinations {
		last := len(a.Destinations) - 1
		a.Others.Add(a.Destinations[last])
		a.OtherCount++
		a.Destinations = a.Destinations[:last]
	}
	a.Destinations = slices.Clip(a.Destinations)
	return nil
}

func orNone(n *int64) int64 {
	if n == nil {
		return 0
	}
	return *n
}
