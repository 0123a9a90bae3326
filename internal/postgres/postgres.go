// Package postgres answers how our people, permissions and campaigns are
// kept: it holds all SQL of the project and nothing else does. Rules live in
// the packages that own them; a statement here fetches facts or keeps results.
//
// The time is a parameter, except where machines with clocks of their own must
// agree: leases, bells and next attempts go by the database's. Statements work on sets, and what must hold
// together is written in one transaction.
package postgres

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"

	"github.com/jatak-mail/jatak/internal/staff"
)

//go:embed migrations/*.sql
var migrations embed.FS

// DB is the database.
type DB struct {
	pool    conn
	whole   *pgxpool.Pool // nil within Together
	optOuts optOuts
}

// conn is the pool, or the transaction of Together.
type conn interface {
	asker
	Begin(ctx context.Context) (pgx.Tx, error)
	Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error)
	SendBatch(ctx context.Context, b *pgx.Batch) pgx.BatchResults
}

// oldestServer is the first PostgreSQL that we are tested on.
const oldestServer = 150000

const idleTimeout = "idle_in_transaction_session_timeout"

// Open connects to the database at the URL and tells what is wrong if it
// cannot: the error names the server, never the password.
func Open(ctx context.Context, databaseURL string) (*DB, error) {
	config, err := pgxpool.ParseConfig(databaseURL)
	if err != nil {
		return nil, errors.New("the database URL cannot be read; write postgres://user:password@host:5432/name")
	}
	config.MaxConns = max(config.MaxConns, 24)
	config.ConnConfig.RuntimeParams["application_name"] = "jatak"
	config.ConnConfig.RuntimeParams["timezone"] = "UTC"
	// Compiling our queries takes longer than they do: a gate report of a million
	// contacts takes 10.6 s with it and 6.5 s without.
	config.ConnConfig.RuntimeParams["jit"] = "off"
	// A process that is frozen, or whose machine is gone without a word, in the middle
	// of a transaction would hold its locks, and with them all others, for hours. We
	// keep nobody waiting while we think.
	if _, own := config.ConnConfig.RuntimeParams[idleTimeout]; !own {
		config.ConnConfig.RuntimeParams[idleTimeout] = "20s"
	}
	if config.ConnConfig.ConnectTimeout == 0 {
		config.ConnConfig.ConnectTimeout = 10 * time.Second
	}
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, fmt.Errorf("database %s: %w", Redact(databaseURL), err)
	}
	db := &DB{pool: pool, whole: pool}
	if err := db.check(ctx); err != nil {
		pool.Close()
		return nil, fmt.Errorf("database %s: %w", Redact(databaseURL), err)
	}
	return db, nil
}

func (db *DB) check(ctx context.Context) error {
	var version int
	err := db.pool.QueryRow(ctx, `SELECT current_setting('server_version_num')::int`).Scan(&version)
	var refused *pgconn.PgError
	switch {
	case errors.As(err, &refused) && (refused.Code == "28P01" || refused.Code == "28000"):
		return errors.New("the server refuses the user or the password")
	case errors.As(err, &refused) && refused.Code == "3D000":
		return errors.New("there is no database of that name; make it with createdb")
	case errors.As(err, &refused):
		return fmt.Errorf("the server says: %s", refused.Message)
	case err != nil:
		return fmt.Errorf("cannot be reached: %w", connectCause(err))
	case version < oldestServer:
		return fmt.Errorf("runs PostgreSQL %d; 15 or later is needed", version/10000)
	}
	return nil
}

// connectCause drops pgx's preamble, which repeats the connection's settings.
func connectCause(err error) error {
	for e := err; e != nil; e = errors.Unwrap(e) {
		var c *pgconn.ConnectError
		if !errors.As(e, &c) {
			return e
		}
	}
	return err
}

// Redact returns the URL without its password.
func Redact(databaseURL string) string {
	u, err := url.Parse(databaseURL)
	if err != nil || u.Scheme == "" {
		return "(as configured)"
	}
	u.RawQuery = ""
	return u.Redacted()
}

// Close gives the connections back, and waits a moment for it: a server that is
// frozen takes none.
func (db *DB) Close() {
	closed := make(chan struct{})
	go func() {
		db.whole.Close()
		close(closed)
	}()
	select {
	case <-closed:
	case <-time.After(closeTime):
	}
}

const closeTime = 250 * time.Millisecond

// Migration is one step that Migrate took.
type Migration struct {
	Version int64
	Name    string
	Took    time.Duration
}

// Migrate brings the schema up to date. Programs that start together wait for
// each other under an advisory lock.
func (db *DB) Migrate(ctx context.Context) ([]Migration, error) {
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return nil, err
	}
	locker, err := lock.NewPostgresSessionLocker()
	if err != nil {
		return nil, err
	}
	conn := stdlib.OpenDBFromPool(db.whole)
	defer func() { _ = conn.Close() }()
	provider, err := goose.NewProvider(goose.DialectPostgres, conn, files, goose.WithSessionLocker(locker))
	if err != nil {
		return nil, fmt.Errorf("migrate: %w", err)
	}
	results, err := provider.Up(ctx)
	if err != nil {
		return nil, fmt.Errorf("migrate: %w", err)
	}
	var done []Migration
	for _, r := range results {
		done = append(done, Migration{Version: r.Source.Version, Name: r.Source.Path, Took: r.Duration})
	}
	return done, nil
}

// inTx runs f in one transaction: all of it is kept, or nothing.
// inTwoBatches runs a transaction in two round trips: what first asks, and then
// what then queues, which may rest on the answers.
func (db *DB) inTwoBatches(ctx context.Context, first *pgx.Batch, then func(*pgx.Batch) error) error {
	if db.whole == nil {
		return db.inTx(ctx, func(tx pgx.Tx) error {
			second := &pgx.Batch{}
			err := tx.SendBatch(ctx, first).Close()
			if err == nil {
				err = then(second)
			}
			if err == nil {
				err = tx.SendBatch(ctx, second).Close()
			}
			return err
		})
	}
	conn, err := db.whole.Acquire(ctx)
	if err != nil {
		return err
	}
	defer conn.Release() // closes a connection that is left in a transaction
	begin := &pgx.Batch{}
	begin.Queue(`BEGIN`)
	begin.QueuedQueries = append(begin.QueuedQueries, first.QueuedQueries...)
	second := &pgx.Batch{}
	if err = conn.SendBatch(ctx, begin).Close(); err == nil {
		err = then(second)
	}
	if err == nil {
		second.Queue(`COMMIT`)
		err = conn.SendBatch(ctx, second).Close()
	}
	if err != nil {
		_, rollbackErr := conn.Exec(context.WithoutCancel(ctx), `ROLLBACK`)
		return errors.Join(err, rollbackErr)
	}
	return nil
}

func (db *DB) inTx(ctx context.Context, f func(tx pgx.Tx) error) error {
	return pgx.BeginFunc(ctx, db.pool, f)
}

// Together does in one transaction what f does with the database that it is given: a
// change and the line of the audit log that tells of it are kept both, or neither.
func (db *DB) Together(ctx context.Context, f func(*DB) error) error {
	return db.inTx(ctx, func(tx pgx.Tx) error { return f(&DB{pool: tx}) })
}

// refusal returns a staff.Refusal.
func refusal(format string, args ...any) error { return staff.Refusal(fmt.Sprintf(format, args...)) }

// Analyze gives the planner statistics, as autovacuum does after a while.
func (db *DB) Analyze(ctx context.Context) error {
	_, err := db.pool.Exec(ctx, `ANALYZE`)
	return err
}

// Ping returns an error when the database does not answer.
func (db *DB) Ping(ctx context.Context) error { return db.whole.Ping(ctx) }
