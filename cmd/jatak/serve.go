package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"runtime/debug"
	"runtime/pprof"

	"golang.org/x/sync/errgroup"

	"github.com/jatak-mail/jatak/internal/managelink"
	"github.com/jatak-mail/jatak/internal/pace"
	"github.com/jatak-mail/jatak/internal/queue"
	"github.com/jatak-mail/jatak/internal/settings"
	"github.com/jatak-mail/jatak/internal/web"
)

type serveCommand struct {
	Database settings.Database `embed:""`
	Public   settings.Public   `embed:""`
	Secrets  settings.Secrets  `embed:""`
	Worker   bool              `help:"Send mails in this process too."`
	Redis    settings.Redis    `embed:""`
	Sending  sending           `embed:""`
}

// Run serves until it is told to stop.
func (s *serveCommand) Run(ctx context.Context, c *console) error {
	keys, err := managelink.ParseKeys(s.Secrets.Keys)
	if err != nil {
		return fmt.Errorf("JATAK_SECRET_KEYS: %w", err)
	}
	db, err := openDatabase(ctx, s.Database, c)
	if err != nil {
		return err
	}
	defer db.Close()
	var limiter *pace.Limiter
	if s.Redis.URL != "" {
		// The pages do without Redis when they must.
		client, err := queue.Connect(s.Redis.URL)
		if err != nil {
			return err
		}
		defer func() { _ = client.Close() }()
		limiter = pace.New(client, c.log)
	}
	portal, err := newPortal(db, keys, s.Public, limiter, c)
	if err != nil {
		return err
	}

	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		return web.Serve(ctx, s.Public.Listen, portal, c.log)
	})
	if s.Public.ConsoleListen != "" {
		handler, stop, err := newConsole(ctx, db, s.Public, net.DefaultResolver, c)
		if err != nil {
			return err
		}
		defer stop()
		group.Go(func() error { return web.Serve(ctx, s.Public.ConsoleListen, handler, c.log) })
		group.Go(func() error { return newImporter(db, keys, c).Run(ctx) })
	}
	if s.Worker {
		client, err := openQueue(ctx, s.Redis) // the process's end closes it: see openQueue
		if err != nil {
			return err
		}
		w, err := newWorker(db, client, keys, s.Public, s.Sending, c)
		if err != nil {
			return err
		}
		group.Go(func() error { return w.Run(ctx) })
	}
	return group.Wait()
}

// workerMemory is what a worker keeps its memory below, in bytes, if it can.
const workerMemory = 96 << 20

type workerCommand struct {
	Database settings.Database `embed:""`
	Redis    settings.Redis    `embed:""`
	Public   settings.Public   `embed:""`
	Secrets  settings.Secrets  `embed:""`
	Sending  sending           `embed:""`
	Profile  string            `help:"Write a CPU profile to a file, for go tool pprof." name:"cpu-profile" placeholder:"FILE"`
}

// Run works until it is told to stop.
func (w *workerCommand) Run(ctx context.Context, c *console) error {
	if w.Profile != "" {
		f, err := os.Create(w.Profile)
		if err != nil {
			return err
		}
		defer func() { _ = f.Close() }()
		if err := pprof.StartCPUProfile(f); err != nil {
			return err
		}
		defer pprof.StopCPUProfile()
	}
	keys, err := managelink.ParseKeys(w.Secrets.Keys)
	if err != nil {
		return fmt.Errorf("JATAK_SECRET_KEYS: %w", err)
	}
	db, err := openDatabase(ctx, w.Database, c)
	if err != nil {
		return err
	}
	defer db.Close()
	client, err := openQueue(ctx, w.Redis) // the process's end closes it: see openQueue
	if err != nil {
		return err
	}
	// A worker makes much that lives as long as one mail: fewer collections, up to
	// a bound, leave more time for mail.
	if os.Getenv("GOGC") == "" && os.Getenv("GOMEMLIMIT") == "" {
		debug.SetGCPercent(400)
		debug.SetMemoryLimit(workerMemory)
	}
	hands, err := newWorker(db, client, keys, w.Public, w.Sending, c)
	if err != nil {
		return err
	}
	if err := batchWork(); err != nil {
		c.log.Debug("the kernel is not told that this is batch work", "error", err)
	}
	return hands.Run(ctx)
}
