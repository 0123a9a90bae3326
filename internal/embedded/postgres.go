package embedded

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

const (
	oldestPostgres = 15
	// postgresSocket is how PostgreSQL names its socket for the port that is
	// only a name here: no TCP port is opened.
	postgresSocket = ".s.PGSQL.5432"
)

// PostgresOptions say where and how PostgreSQL runs.
type PostgresOptions struct {
	// Dir is the server's own folder, made if it is missing: the data live in
	// <Dir>/data. Started by root, the server runs as another user, to whom
	// the folder is given. Empty means a temporary folder, removed when the
	// server stops or this process ends, however it ends.
	Dir string
	// Log gets a line on start; nil for none.
	Log *slog.Logger
	// Durable keeps what was committed even if the machine loses power. Tests
	// do without: they are several times faster.
	Durable bool
}

// Postgres is a PostgreSQL server of our own. It ends with this process.
type Postgres struct {
	*server
	url string
}

// URL is the connection string of the database "jatak", whose owner is a
// superuser: the server is private.
func (p *Postgres) URL() string { return p.url }

// StartPostgres starts the machine's own PostgreSQL, at least version 15, on a
// private Unix socket, and returns when it answers. A data folder that was
// left by a crash is recovered.
//
// It fails with a sentence that says what to do when there is no PostgreSQL,
// when it is too old for the folder, or when the folder is in use.
func StartPostgres(ctx context.Context, options PostgresOptions) (*Postgres, error) {
	log := cmp.Or(options.Log, slog.New(slog.DiscardHandler))
	started := time.Now()
	as, err := unprivileged()
	if err != nil {
		return nil, err
	}
	home, temporary, err := folderFor(options.Dir, as)
	if err != nil {
		return nil, fmt.Errorf("prepare the folder of PostgreSQL: %w", err)
	}
	s := &server{name: "PostgreSQL", as: as, log: filepath.Join(home, "postgres.log"), signal: syscall.SIGINT}
	p := &Postgres{server: s}
	if err := p.open(ctx, home, temporary, options.Durable); err != nil {
		s.giveUp()
		if temporary {
			_ = os.RemoveAll(home)
		}
		return nil, err
	}
	log.InfoContext(ctx, "PostgreSQL started", "program", s.path, "folder", home, "took", time.Since(started).Round(time.Millisecond))
	return p, nil
}

func (p *Postgres) open(ctx context.Context, home string, temporary, durable bool) (err error) {
	s, data := p.server, filepath.Join(home, "data")
	if s.holding, err = lock(filepath.Join(home, "postgres.lock")); err != nil {
		return err
	}
	folder, err := p.bin(ctx, data)
	if err != nil {
		return err
	}
	sockets, temporarySockets, err := s.as.socketFolder(filepath.Join(home, "run"), postgresSocket)
	if err != nil {
		return err
	}
	var remove []string
	if temporarySockets {
		remove = append(remove, sockets)
	}
	if temporary {
		remove = append(remove, home)
	}
	lastWord := "INT" // fast shutdown, with a checkpoint
	if temporary {
		lastWord = "QUIT" // at once; there is nothing to keep
	}
	if s.sitter, err = sit(lastWord, remove...); err != nil {
		return err
	}
	if err := p.initialise(ctx, folder, data, durable); err != nil {
		return err
	}

	s.path = filepath.Join(folder, "postgres")
	s.args = []string{
		"-D", data,
		"-c", "listen_addresses=",
		"-c", "port=5432",
		"-c", "unix_socket_directories=" + sockets,
		"-c", "unix_socket_permissions=0700",
		"-c", "max_connections=200",
		"-c", "log_checkpoints=off",
	}
	if !durable {
		s.args = append(s.args, "-c", "fsync=off", "-c", "synchronous_commit=off", "-c", "full_page_writes=off")
	}
	p.url = (&url.URL{
		Scheme: "postgres", User: url.User("jatak"), Path: "/jatak",
		RawQuery: url.Values{"host": {sockets}, "port": {"5432"}, "sslmode": {"disable"}}.Encode(),
	}).String()
	s.ready = p.answer
	return p.startAfterPredecessor(ctx, data)
}

// startAfterPredecessor starts the server, and while the folder's last one is
// still ending, because whoever started it was just killed, waits for it. Our
// lock says that nobody else will keep it alive.
func (p *Postgres) startAfterPredecessor(ctx context.Context, data string) error {
	deadline := time.Now().Add(20 * time.Second)
	for {
		err := p.start(ctx)
		if err == nil {
			return nil
		}
		pid := postmaster(data)
		if pid == 0 || !alive(pid) {
			return err
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("another PostgreSQL (process %d) is running in %s: stop that one, or choose another folder", pid, data)
		}
		for alive(pid) && time.Now().Before(deadline) && ctx.Err() == nil {
			time.Sleep(poll)
		}
	}
}

// postmaster returns the process id in a data folder's lock file, or 0.
func postmaster(data string) int {
	text, err := os.ReadFile(filepath.Join(data, "postmaster.pid"))
	if err != nil {
		return 0
	}
	line, _, _ := strings.Cut(string(text), "\n")
	pid, err := strconv.Atoi(line)
	if err != nil {
		return 0
	}
	return pid
}

// answer connects, and makes the database when it is not there yet.
func (p *Postgres) answer(ctx context.Context) error {
	conn, err := pgx.Connect(ctx, p.url)
	if err == nil {
		return conn.Close(ctx)
	}
	if refused, ok := errors.AsType[*pgconn.PgError](err); !ok || refused.Code != "3D000" { // invalid_catalog_name
		return err
	}
	conn, err = pgx.Connect(ctx, strings.Replace(p.url, "/jatak?", "/postgres?", 1))
	if err != nil {
		return err
	}
	_, err = conn.Exec(ctx, "CREATE DATABASE jatak")
	return errors.Join(err, conn.Close(ctx))
}

// initialise makes the data folder if it is new. It comes into being whole:
// an interrupted initdb is begun again.
func (p *Postgres) initialise(ctx context.Context, folder, data string, durable bool) error {
	if _, err := os.Stat(data); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	unfinished := data + ".new"
	if err := os.RemoveAll(unfinished); err != nil {
		return err
	}
	version, err := majorVersion(ctx, folder)
	if err != nil {
		return err
	}
	args := []string{"-D", unfinished, "-U", "jatak", "-E", "UTF8", "--locale=C", "-A", "trust", "--no-instructions"}
	// Sorted by bytes, but lower('Æ') is 'æ'.
	switch {
	case version >= 17:
		args = append(args, "--locale-provider=builtin", "--builtin-locale=C.UTF-8")
	case runtime.GOOS == "darwin":
		args = append(args, "--lc-ctype=UTF-8")
	default:
		args = append(args, "--lc-ctype=C.UTF-8")
	}
	if !durable {
		args = append(args, "--no-sync")
	}
	command := exec.CommandContext(ctx, filepath.Join(folder, "initdb"), args...)
	command.Dir, command.Env, command.SysProcAttr = "/", environment(), p.as.attributes()
	if output, err := command.CombinedOutput(); err != nil {
		return fmt.Errorf("initdb: %w: %s", err, strings.TrimSpace(string(output)))
	}
	return os.Rename(unfinished, data)
}

// bin returns the folder of the newest PostgreSQL programs of this machine,
// or, for a data folder that exists, of those that made it.
func (p *Postgres) bin(ctx context.Context, data string) (string, error) {
	made := 0
	if text, err := os.ReadFile(filepath.Join(data, "PG_VERSION")); err == nil {
		if made, err = strconv.Atoi(strings.TrimSpace(string(text))); err != nil {
			return "", fmt.Errorf("%s: %q is not the version of a PostgreSQL", filepath.Join(data, "PG_VERSION"), text)
		}
	}
	var seen []string
	for _, folder := range postgresFolders() {
		version, err := majorVersion(ctx, folder)
		if err != nil {
			continue
		}
		if version == made || made == 0 && version >= oldestPostgres {
			return folder, nil
		}
		seen = append(seen, strconv.Itoa(version))
	}
	switch {
	case len(seen) == 0:
		return "", fmt.Errorf("there is no PostgreSQL on this machine: install it (Debian and Ubuntu: apt-get install postgresql; macOS: brew install postgresql@17), or give a server's address as JATAK_DATABASE_URL")
	case made != 0:
		return "", fmt.Errorf("%s was made by PostgreSQL %d, and this machine has only %s: install PostgreSQL %d, or choose another folder", data, made, strings.Join(seen, " and "), made)
	default:
		return "", fmt.Errorf("PostgreSQL %d or newer is needed, and this machine has only %s", oldestPostgres, strings.Join(seen, " and "))
	}
}

// postgresFolders lists where the programs may be, most wanted first: on the
// PATH, then where Debian, Red Hat and Homebrew put them, newest first.
func postgresFolders() []string {
	var folders []string
	if initdb := executable("initdb"); initdb != "" {
		// Beside the real initdb, not beside a link to it.
		if real, err := filepath.EvalSymlinks(initdb); err == nil {
			folders = append(folders, filepath.Dir(real))
		}
	}
	var found []string
	for _, pattern := range []string{
		"/usr/lib/postgresql/*/bin",
		"/usr/pgsql-*/bin",
		"/opt/homebrew/opt/postgresql@*/bin",
		"/usr/local/opt/postgresql@*/bin",
	} {
		matches, err := filepath.Glob(pattern)
		if err == nil {
			found = append(found, matches...)
		}
	}
	slices.SortStableFunc(found, func(a, b string) int { return cmp.Compare(versionInPath(b), versionInPath(a)) })
	return append(folders, found...)
}

func versionInPath(folder string) int {
	for _, part := range strings.FieldsFunc(folder, func(r rune) bool { return r == '/' || r == '-' || r == '@' }) {
		if version, err := strconv.Atoi(part); err == nil {
			return version
		}
	}
	return 0
}

// majorVersion asks the programs of a folder for their version. Both initdb
// and postgres must be there: client packages bring neither.
func majorVersion(ctx context.Context, folder string) (int, error) {
	if _, err := os.Stat(filepath.Join(folder, "initdb")); err != nil {
		return 0, err
	}
	command := exec.CommandContext(ctx, filepath.Join(folder, "postgres"), "--version")
	command.Env = environment()
	output, err := command.Output()
	if err != nil {
		return 0, err
	}
	return parseVersion(string(output))
}

// parseVersion reads "postgres (PostgreSQL) 15.14 (Debian 15.14-0+deb12u1)".
func parseVersion(output string) (int, error) {
	match := regexp.MustCompile(`\(PostgreSQL\) (\d+)`).FindStringSubmatch(output)
	if match == nil {
		return 0, fmt.Errorf("%q names no version of PostgreSQL", strings.TrimSpace(output))
	}
	return strconv.Atoi(match[1])
}
