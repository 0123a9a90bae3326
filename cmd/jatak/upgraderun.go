package main

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jatak-mail/jatak/internal/contact"
	"github.com/jatak-mail/jatak/internal/postgres"
	"github.com/jatak-mail/jatak/internal/upgrade"
)

// upgradeBeat is how often a run says that it goes on.
const upgradeBeat = contact.UpgradePatience / 6

// upgradeRunner runs the upgrades that are asked for in the console, one at a
// time. One that is interrupted has changed no contact: it is one transaction.
type upgradeRunner struct {
	ctx     context.Context // ends the runs
	db      *postgres.DB
	end     context.CancelFunc
	log     *slog.Logger
	running sync.WaitGroup
}

func newUpgradeRunner(ctx context.Context, db *postgres.DB, log *slog.Logger) *upgradeRunner {
	u := &upgradeRunner{db: db, log: log}
	u.ctx, u.end = context.WithCancel(context.WithoutCancel(ctx))
	return u
}

// Start begins a run, and returns contact.ErrUpgrading while another goes on.
func (u *upgradeRunner) Start(ctx context.Context, r contact.UpgradeRun) (err error) {
	if r.ID, err = u.db.StartUpgradeRun(ctx, r); err != nil {
		return err
	}
	u.running.Go(func() { u.run(r) })
	return nil
}

func (u *upgradeRunner) run(r contact.UpgradeRun) {
	var step atomic.Int64
	beat := func() {
		if err := u.db.BeatUpgradeRun(u.ctx, r.ID, int(step.Load()), time.Now()); err != nil && u.ctx.Err() == nil {
			u.log.Warn("the upgrade's progress could not be kept", "error", err)
		}
	}
	beating, end := context.WithCancel(u.ctx)
	var beside sync.WaitGroup
	beside.Go(func() {
		tick := time.NewTicker(upgradeBeat)
		defer tick.Stop()
		for {
			select {
			case <-beating.Done():
				return
			case <-tick.C:
				beat()
			}
		}
	})
	report, err := upgrade.Run(u.ctx, u.db, upgrade.Options{DryRun: r.DryRun, Actor: r.Actor, Threshold: r.Threshold, LegacyURLs: r.LegacyURLs,
		Step: func(point int) { step.Store(int64(point)); beat() }}, r.Started)
	end()
	beside.Wait()
	r.Report = contact.UpgradeReport{Upgraded: report.Upgraded, Templates: report.Templates, LinksRewritten: report.LinksRewritten}
	r.Finished = time.Now()
	if err != nil {
		r.Problem = err.Error()
		u.log.Error("upgrade", "run", r.ID, "error", err)
	}
	keeping, cancel := context.WithTimeout(context.WithoutCancel(u.ctx), upgradeBeat)
	defer cancel()
	if err := u.db.FinishUpgradeRun(keeping, r); err != nil {
		u.log.Error("what became of the upgrade could not be kept", "run", r.ID, "error", err)
	}
}

// Stop interrupts what runs, and returns when it has ended.
func (u *upgradeRunner) Stop() {
	u.end()
	u.running.Wait()
}
