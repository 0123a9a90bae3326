package postgres

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/jackc/pgx/v5"

	"github.com/jatak-mail/jatak/internal/contact"
)

// searchWindow is how many contacts are looked through one by one before the
// index is asked. What is common is found among them at once; the index is then
// only asked for what is rare, which is what it is quick at.
const searchWindow = 10_000

// searchText is what a search looks at; the index contact_search covers it. The
// blank in front lets a short word be looked for where a name begins.
const searchText = `lower(' ' || c.email || ' ' || c.first_name || ' ' || c.last_name)`

// HasContacts reports whether there is anybody on file.
func (db *DB) HasContacts(ctx context.Context) (has bool, err error) {
	if err = db.pool.QueryRow(ctx, `SELECT EXISTS (SELECT FROM contact WHERE deleted_at IS NULL)`).Scan(&has); err != nil {
		return false, fmt.Errorf("look for contacts: %w", err)
	}
	return has, nil
}

// SearchContacts returns contacts after one, in the order of their ids, that
// have all the words in their name, address or company, at most limit of them.
// A word of one or two letters is looked for where a name, an address or a
// company begins.
func (db *DB) SearchContacts(ctx context.Context, words []string, after contact.ID, limit int) ([]contact.Contact, error) {
	if len(words) == 0 {
		return nil, nil
	}
	found, through, err := db.searchNear(ctx, words, after, limit)
	if err == nil && len(found) < limit && through > after {
		var rest []contact.Contact
		rest, err = db.searchFar(ctx, words, through, limit-len(found))
		found = append(found, rest...)
	}
	if err != nil {
		return nil, fmt.Errorf("search contacts: %w", err)
	}
	return found, nil
}

// searchNear looks through the next contacts, and returns the last that it has
// seen.
func (db *DB) searchNear(ctx context.Context, words []string, after contact.ID, limit int) (found []contact.Contact, through contact.ID, err error) {
	err = db.pool.QueryRow(ctx, `
		SELECT coalesce(max(id), $1) FROM (SELECT id FROM contact WHERE id > $1 ORDER BY id LIMIT $2) c`, after, searchWindow).Scan(&through)
	if err != nil {
		return nil, after, err
	}
	args := []any{pgx.QueryExecModeExec, after, through, limit}
	conditions := ""
	for _, pattern := range patterns(words) {
		args = append(args, pattern)
		n := len(args) - 1 // the mode is no parameter
		conditions += fmt.Sprintf(` AND (%s LIKE $%d OR lower(' ' || co.name) LIKE $%d)`, searchText, n, n)
	}
	found, err = db.searchRows(ctx, `
		SELECT`+foundColumns+` FROM contact c LEFT JOIN company co ON co.id = c.company_id
		WHERE c.deleted_at IS NULL AND c.id > $1 AND c.id <= $2`+conditions+` ORDER BY c.id LIMIT $3`, args)
	return found, through, err
}

// manyCompanies is more companies than are looked up one by one.
const manyCompanies = 1000

// searchFar asks the indices: for those who have all the words in their name and
// address, which is one look for the rarest of them, and then for the people of
// the companies that have one of the words. Each time, the statement is planned
// for the words that are asked for.
func (db *DB) searchFar(ctx context.Context, words []string, after contact.ID, limit int) ([]contact.Contact, error) {
	looked := patterns(words)
	companies, err := db.companiesLike(ctx, looked)
	if err != nil {
		return nil, err
	}
	args := []any{pgx.QueryExecModeExec, after, limit}
	add := func(value any) string {
		args = append(args, value)
		return fmt.Sprintf("$%d", len(args)-1) // the mode is no parameter
	}
	inText, ofCompany, either := make([]string, len(words)), make([]string, len(words)), make([]string, len(words))
	for i, pattern := range looked {
		word := add(pattern)
		inText[i] = searchText + " LIKE " + word
		if local, _, ok := strings.Cut(pattern, "@"); ok && utf8.RuneCountInString(local) > shortWord {
			// Domains are common and long: the index is asked for what is before.
			inText[i] = "(" + searchText + " LIKE " + add(local+"@%") + " AND " + searchText + " || '' LIKE " + word + ")"
		}
		either[i] = inText[i]
		switch {
		case companies[i] == nil:
			ofCompany[i] = "c.company_id IN (SELECT sc.id FROM company sc WHERE lower(' ' || sc.name) LIKE " + word + ")"
		case len(companies[i]) > 0:
			ofCompany[i] = "c.company_id = ANY (" + add(companies[i]) + "::bigint[])"
		default:
			continue
		}
		either[i] = "(" + inText[i] + " OR " + ofCompany[i] + ")"
	}
	// c.id + 0 keeps the planner from walking through everybody in order.
	look := func(conditions []string) string {
		return "(SELECT c.id FROM contact c WHERE c.deleted_at IS NULL AND c.id + 0 > $1 AND " + strings.Join(conditions, " AND ") + " ORDER BY c.id + 0 LIMIT $2)"
	}
	looks := []string{look(inText)}
	for i, of := range ofCompany {
		if of != "" {
			looks = append(looks, look(append([]string{of}, slices.Concat(either[:i], either[i+1:])...)))
		}
	}
	return db.searchRows(ctx, `
		SELECT`+foundColumns+` FROM (`+strings.Join(looks, " UNION ")+`) f JOIN contact c ON c.id = f.id LEFT JOIN company co ON co.id = c.company_id
		ORDER BY c.id LIMIT $2`, args)
}

// companiesLike returns the companies whose name has a pattern, for each of some;
// nil where they are many.
func (db *DB) companiesLike(ctx context.Context, looked []string) ([][]int64, error) {
	args := []any{pgx.QueryExecModeExec, manyCompanies}
	columns := make([]string, len(looked))
	found, targets := make([][]int64, len(looked)), make([]any, len(looked))
	for i, pattern := range looked {
		args = append(args, pattern)
		columns[i] = fmt.Sprintf(`(SELECT CASE WHEN count(*) <= $1 THEN coalesce(array_agg(sc.id), '{}') END FROM company sc WHERE lower(' ' || sc.name) LIKE $%d)`, i+2)
		targets[i] = &found[i]
	}
	return found, db.pool.QueryRow(ctx, `SELECT `+strings.Join(columns, ", "), args...).Scan(targets...)
}

const foundColumns = ` c.id, c.email, coalesce(c.address, ''), c.first_name, c.last_name, coalesce(co.name, ''), c.language, c.has_left`

func (db *DB) searchRows(ctx context.Context, query string, args []any) ([]contact.Contact, error) {
	rows, err := db.pool.Query(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (c contact.Contact, err error) {
		err = row.Scan(&c.ID, &c.Email, &c.Address, &c.FirstName, &c.LastName, &c.Company, &c.Language, &c.Left)
		return c, err
	})
}

// shortWord is how many letters the index needs to find a word anywhere.
const shortWord = 3

// patterns returns the words as LIKE wants them.
func patterns(words []string) []string {
	list := make([]string, len(words))
	for i, word := range words {
		escaped := likeEscaper().Replace(strings.ToLower(word))
		if list[i] = "%" + escaped + "%"; utf8.RuneCountInString(word) < shortWord {
			list[i] = "% " + escaped + "%"
		}
	}
	return list
}
