package postgres

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/jatak-mail/jatak/internal/contact"
)

// filterCondition holds for a contact c, with its E-marketing consent e, that a
// filter picks. It adds the filter's values to args and puts nothing of them
// into the text.
func filterCondition(f contact.Filter, args *[]any) string {
	add := func(value any) string {
		*args = append(*args, value)
		return "$" + strconv.Itoa(len(*args))
	}
	var groups []string
	for _, group := range f.Groups {
		var conditions []string
		for _, c := range group.Conditions {
			conditions = append(conditions, conditionText(c, add))
		}
		if len(conditions) > 0 {
			groups = append(groups, "("+strings.Join(conditions, joint(group.Match))+")")
		}
	}
	if len(groups) == 0 {
		return "true"
	}
	return "(" + strings.Join(groups, joint(f.Match)) + ")"
}

func joint(m contact.Match) string {
	if m == contact.Any {
		return " OR "
	}
	return " AND "
}

// conditionText is one condition. A filter is validated before it is kept; a
// condition that nobody knows picks nobody.
func conditionText(c contact.Condition, add func(any) string) string {
	switch c.Field {
	case contact.FieldFirstName:
		return textCondition("lower(c.first_name)", c, add)
	case contact.FieldLastName:
		return textCondition("lower(c.last_name)", c, add)
	case contact.FieldDomain:
		domain := strings.ToLower(strings.TrimPrefix(strings.TrimSpace(c.Value), "@"))
		if ascii, err := contact.ParseAddress("x@" + domain); err == nil {
			domain = ascii.Domain()
		}
		return negated(c.Op == contact.OpIsNot, "coalesce(split_part(c.address, '@', 2), '') = "+add(domain))
	case contact.FieldCompany:
		of := contact.Condition{Op: contact.OpIs, Value: c.Value}
		if c.Op == contact.OpContains || c.Op == contact.OpContainsNot {
			of.Op = contact.OpContains
		}
		return negated(c.Op == contact.OpIsNot || c.Op == contact.OpContainsNot,
			"EXISTS (SELECT FROM company fc WHERE fc.id = c.company_id AND "+textCondition("lower(fc.name)", of, add)+")")
	case contact.FieldLanguage:
		p := add(strings.ToLower(c.Value))
		return negated(c.Op == contact.OpIsNot, "(c.language = "+p+" OR c.language LIKE "+p+" || '-%')")
	case contact.FieldType:
		chosen := "EXISTS (SELECT FROM preference fp WHERE fp.contact_id = c.id AND fp.type_id = (SELECT ft.id FROM subscription_type ft WHERE ft.key = " + add(c.Value) + ")"
		if c.Op == contact.OpUnset {
			return "NOT " + chosen + ")"
		}
		return chosen + " AND fp.choice = " + add(string(c.Op)) + ")"
	case contact.FieldBasis:
		basis := c.Value
		if basis == contact.BasisNever {
			basis = ""
		}
		return negated(c.Op == contact.OpIsNot, "coalesce(e.basis, '') = "+add(basis))
	case contact.FieldSource:
		return negated(c.Op == contact.OpIsNot, "coalesce(e.source, '') = "+add(c.Value))
	case contact.FieldConsentSince:
		return dateCondition("e.basis <> '' AND e.since", c, add)
	case contact.FieldConsentExpires:
		return dateCondition(expiry, c, add)
	case contact.FieldCompanyNoMailings:
		return negated(c.Op == contact.OpNo, "EXISTS (SELECT FROM company fc WHERE fc.id = c.company_id AND fc.no_mailings)")
	case contact.FieldCampaign:
		id, _ := strconv.ParseInt(c.Value, 10, 64)
		return negated(c.Op == contact.OpNotSent,
			"EXISTS (SELECT FROM delivery fd WHERE fd.contact_id = c.id AND fd.campaign_id = "+add(id)+"::bigint AND fd.state IN ('sent', 'in_doubt'))")
	case contact.FieldLastMail:
		return lastMailCondition(c, add)
	case contact.FieldOnFileSince:
		return dateCondition("c.created_at", c, add)
	case contact.FieldLeft:
		return negated(c.Op == contact.OpNo, "c.has_left")
	}
	return "false"
}

// lastMailCondition is about all mails that went out to the contact, those of
// the system before included.
func lastMailCondition(c contact.Condition, add func(any) string) string {
	since := ""
	if c.Op != contact.OpNever {
		since = add(day(c.Value)) + "::timestamptz"
	}
	mailed := func(since string) string {
		ours, theirs := "", ""
		if since != "" {
			ours, theirs = " AND fd.changed_at >= "+since, " AND fl.sent_at >= "+since
		}
		return `(EXISTS (SELECT FROM delivery fd WHERE fd.contact_id = c.id AND fd.state IN ('sent', 'in_doubt')` + ours + `)
			OR EXISTS (SELECT FROM legacy_mailing fl WHERE fl.contact_id = c.id AND fl.status IN ('sent', 'opened', 'clicked', 'bounced')` + theirs + `))`
	}
	switch c.Op {
	case contact.OpSince:
		return mailed(since)
	case contact.OpBefore: // mailed, but not since
		return "(" + mailed("") + " AND NOT " + mailed(since) + ")"
	}
	return "NOT " + mailed("")
}

func textCondition(column string, c contact.Condition, add func(any) string) string {
	value := strings.ToLower(strings.TrimSpace(c.Value))
	contains := c.Op == contact.OpContains || c.Op == contact.OpContainsNot
	condition := column + " = "
	if contains {
		condition, value = column+" LIKE ", "%"+likeEscaper().Replace(value)+"%"
	}
	return negated(c.Op == contact.OpIsNot || c.Op == contact.OpContainsNot, condition+add(value))
}

// dateCondition holds for a time on the day or later, before it, or on one of the
// days from one to another; not where there is none.
func dateCondition(column string, c contact.Condition, add func(any) string) string {
	if first, last, ok := strings.Cut(c.Value, "/"); ok {
		return "coalesce(" + column + " >= " + add(day(first)) + "::timestamptz AND " + column + " < " + add(day(last).AddDate(0, 0, 1)) + "::timestamptz, false)"
	}
	compare := " >= "
	if c.Op == contact.OpBefore {
		compare = " < "
	}
	return "coalesce(" + column + compare + add(day(c.Value)) + "::timestamptz, false)"
}

func day(value string) time.Time {
	t, _ := time.Parse(time.DateOnly, value)
	return t
}

func negated(not bool, condition string) string {
	if not {
		return "NOT (" + condition + ")"
	}
	return condition
}

func likeEscaper() *strings.Replacer { return strings.NewReplacer(`\`, `\\`, `%`, `\%`, `_`, `\_`) }

// sampleOfContacts is how many contacts an estimate looks at.
const sampleOfContacts = 4000

// EstimateContacts counts about how many a selection picks: it looks at some of
// the contacts, the same ones each time. Of few contacts it looks at all.
func (db *DB) EstimateContacts(ctx context.Context, s contact.Selection) (n int64, err error) {
	all, err := db.ContactsOnFile(ctx)
	if err != nil {
		return 0, err
	}
	share := min(1, sampleOfContacts/float64(max(all, 1)))
	args := []any{pgx.QueryExecModeExec}
	values := []any{100 * share}
	condition := where(s, &values)
	err = db.pool.QueryRow(ctx, `
		SELECT count(*) FROM contact AS c TABLESAMPLE SYSTEM ($1::real) REPEATABLE (1)
		LEFT JOIN consent e ON e.contact_id = c.id AND e.purpose = 'emarketing' WHERE `+condition, append(args, values...)...).Scan(&n)
	if err != nil {
		return 0, fmt.Errorf("estimate a selection: %w", err)
	}
	return rounded(int64(float64(n) / share)), nil
}

// rounded keeps two digits of a number: more would say what nobody knows.
func rounded(n int64) int64 {
	unit := int64(1)
	for n/unit >= 100 {
		unit *= 10
	}
	return (n + unit/2) / unit * unit
}

// CountContacts counts a selection. Memory for the sets that it compares with
// is worth a look-up for each of a million contacts.
func (db *DB) CountContacts(ctx context.Context, s contact.Selection) (n int64, err error) {
	err = db.inTx(ctx, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `SET LOCAL work_mem = '96MB'`); err != nil {
			return err
		}
		args := []any{pgx.QueryExecModeExec}
		values := []any{}
		condition := where(s, &values)
		return tx.QueryRow(ctx, `
			SELECT count(*) FROM contact c LEFT JOIN consent e ON e.contact_id = c.id AND e.purpose = 'emarketing'
			WHERE `+condition, append(args, values...)...).Scan(&n)
	})
	if err != nil {
		return 0, fmt.Errorf("count a selection: %w", err)
	}
	return n, nil
}
