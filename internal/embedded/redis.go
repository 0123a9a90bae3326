package embedded

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/alicebob/miniredis/v2"
)

// ErrNoRedis means that this machine has neither redis-server nor
// valkey-server.
var ErrNoRedis = errors.New("there is no redis-server or valkey-server on this machine: install one (Debian and Ubuntu: apt-get install redis-server; macOS: brew install redis), or give a server's address as JATAK_REDIS_URL")

// RedisOptions say where and how Redis runs.
type RedisOptions struct {
	// Dir is the server's own folder, made if it is missing. Empty means a
	// temporary folder, removed when the server stops or this process ends.
	Dir string
	// Log gets a line on start; nil for none.
	Log *slog.Logger
	// Durable appends every change to a file. Nothing of ours needs that, as
	// PostgreSQL is the truth, but it saves the sweep some work.
	Durable bool
}

// Redis is a Redis server of our own. It ends with this process.
type Redis struct {
	*server
	url string
}

// URL is the server's address, in the form that redis.ParseURL reads.
func (r *Redis) URL() string { return r.url }

// StartRedis starts the machine's own redis-server or valkey-server on a
// private Unix socket, without a TCP port, and returns when it answers. The
// error is ErrNoRedis when there is none.
func StartRedis(ctx context.Context, options RedisOptions) (*Redis, error) {
	log := cmp.Or(options.Log, slog.New(slog.DiscardHandler))
	started := time.Now()
	program := executable("redis-server", "valkey-server", "/opt/homebrew/bin/redis-server", "/usr/local/bin/redis-server")
	if program == "" {
		return nil, ErrNoRedis
	}
	as := account{uid: uint32(os.Geteuid()), gid: uint32(os.Getegid())}
	home, temporary, err := folderFor(options.Dir, as)
	if err != nil {
		return nil, fmt.Errorf("prepare the folder of Redis: %w", err)
	}
	s := &server{name: "Redis", as: as, path: program, log: filepath.Join(home, "redis.log"), signal: syscall.SIGTERM}
	r := &Redis{server: s}
	if err := r.open(ctx, home, temporary, options.Durable); err != nil {
		s.giveUp()
		if temporary {
			_ = os.RemoveAll(home)
		}
		return nil, err
	}
	log.InfoContext(ctx, "Redis started", "program", program, "folder", home, "took", time.Since(started).Round(time.Millisecond))
	return r, nil
}

func (r *Redis) open(ctx context.Context, home string, temporary, durable bool) (err error) {
	s := r.server
	if s.holding, err = lock(filepath.Join(home, "redis.lock")); err != nil {
		return err
	}
	sockets, temporarySockets, err := s.as.socketFolder(home, "redis.sock")
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
	if s.sitter, err = sit("TERM", remove...); err != nil {
		return err
	}
	socket := filepath.Join(sockets, "redis.sock")
	appendOnly := "no"
	if durable {
		appendOnly = "yes"
	}
	s.args = []string{
		"--port", "0", "--unixsocket", socket, "--unixsocketperm", "700",
		"--dir", home, "--save", "", "--appendonly", appendOnly, "--daemonize", "no",
	}
	s.ready = func(ctx context.Context) error { return ping(ctx, socket) }
	r.url = (&url.URL{Scheme: "unix", Path: socket, RawQuery: "db=0"}).String()
	return s.start(ctx)
}

// ping is content with a Redis that answers and has loaded its data.
func ping(ctx context.Context, socket string) error {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	conn, err := (&net.Dialer{}).DialContext(ctx, "unix", socket)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	if deadline, ok := ctx.Deadline(); ok {
		_ = conn.SetDeadline(deadline)
	}
	if _, err := conn.Write([]byte("PING\r\n")); err != nil {
		return err
	}
	line, err := bufio.NewReader(conn).ReadString('\n')
	if err != nil {
		return err
	}
	if line = strings.TrimSpace(line); line != "+PONG" {
		return fmt.Errorf("PING: %s", line)
	}
	return nil
}

// MiniRedis is a model of Redis inside this process: good enough for a demo on
// a machine without one, and for nothing else. Its data end with it.
type MiniRedis struct {
	mini *miniredis.Miniredis
	stop chan struct{}
}

// StartMiniRedis starts one on a free port of 127.0.0.1.
func StartMiniRedis() (*MiniRedis, error) {
	mini := miniredis.NewMiniRedis()
	if err := mini.Start(); err != nil {
		return nil, fmt.Errorf("start the model of Redis: %w", err)
	}
	m := &MiniRedis{mini: mini, stop: make(chan struct{})}
	go m.tick()
	return m, nil
}

// tick lets time pass: miniredis expires nothing by itself.
func (m *MiniRedis) tick() {
	const step = 100 * time.Millisecond
	ticker := time.NewTicker(step)
	defer ticker.Stop()
	for {
		select {
		case <-m.stop:
			return
		case <-ticker.C:
			m.mini.FastForward(step)
		}
	}
}

// URL is the server's address, in the form that redis.ParseURL reads.
func (m *MiniRedis) URL() string { return "redis://" + m.mini.Addr() + "/0" }

// Close ends it. It must not be called twice.
func (m *MiniRedis) Close() {
	close(m.stop)
	m.mini.Close()
}
