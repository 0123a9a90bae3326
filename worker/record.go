package worker

import (
	"context"
	"log/slog"
	"time"

	"github.com/jatak-mail/jatak/internal/campaign"
)

// recorder keeps outcomes by group commit: what arrives while one commit is
// under way goes into the next.
type recorder struct {
	store   Store
	log     *slog.Logger
	lease   time.Duration
	arrived chan recording
	closing chan struct{}
	ended   chan struct{}
}

type recording struct {
	outcome campaign.Outcome
	kept    func()
}

func newRecorder(store Store, log *slog.Logger, lease time.Duration) *recorder {
	return &recorder{store: store, log: log, lease: lease, arrived: make(chan recording, 1024),
		closing: make(chan struct{}), ended: make(chan struct{})}
}

// add takes an outcome; kept is called once it is in the store. What comes
// after the end is lost to us: its row is in doubt when the lease runs out.
func (r *recorder) add(o campaign.Outcome, kept func()) {
	select {
	case r.arrived <- recording{o, kept}:
	case <-r.ended:
		kept()
	}
}

// close lets run end when all that was added is kept.
func (r *recorder) close() { close(r.closing) }

const (
	// mostOutcomes bounds one statement.
	mostOutcomes = 2000
	// enoughOutcomes are not held up any more, nor is any for longer than company: a
	// commit costs PostgreSQL about as much as twenty rows do.
	enoughOutcomes = 48
	company        = 16 * time.Millisecond
	looks          = 8 // meanwhile
)

// run keeps what arrives until it is closed. When the context ends before, what is
// left is lost to us.
func (r *recorder) run(ctx context.Context) {
	defer close(r.ended)
	var outcomes []campaign.Outcome
	var kept []func()
	for {
		outcomes, kept = outcomes[:0], kept[:0]
		select {
		case first := <-r.arrived:
			outcomes, kept = append(outcomes, first.outcome), append(kept, first.kept)
			r.awaitOthers()
		case <-r.closing:
		}
	gather:
		for len(outcomes) < mostOutcomes {
			select {
			case next := <-r.arrived:
				outcomes, kept = append(outcomes, next.outcome), append(kept, next.kept)
			default:
				break gather
			}
		}
		if len(outcomes) == 0 {
			return // closing, and all is kept
		}
		r.keep(ctx, outcomes)
		for _, k := range kept {
			k()
		}
	}
}

// awaitOthers waits until there are enough outcomes for a commit, or the first has
// waited long enough. It looks now and then: to be woken for each would cost more.
func (r *recorder) awaitOthers() {
	look := time.NewTicker(company / looks)
	defer look.Stop()
	for range looks {
		select {
		case <-look.C:
		case <-r.closing:
			return
		}
		if len(r.arrived) >= enoughOutcomes {
			return
		}
	}
}

// keep writes outcomes, again and again while the database is away, until the
// context ends: nothing more is claimed meanwhile, because the window is full.
func (r *recorder) keep(ctx context.Context, outcomes []campaign.Outcome) {
	begun := time.Now()
	for tries, wait := 1, 50*time.Millisecond; ; tries, wait = tries+1, min(2*wait, 5*time.Second) {
		err := r.try(ctx, outcomes)
		if err == nil {
			if tries > 1 {
				r.log.Info("outcomes are kept again", "mails", len(outcomes), "after", time.Since(begun).Round(time.Millisecond))
			}
			return
		}
		if ctx.Err() != nil {
			r.log.Error("outcomes could not be kept; their mails are in doubt", "mails", len(outcomes), "error", err)
			return
		}
		r.log.Warn("outcomes could not be kept yet; trying again", "mails", len(outcomes), "error", err)
		select {
		case <-ctx.Done():
		case <-time.After(wait):
		}
	}
}

// try writes outcomes once. A database that has not answered within a lease is asked
// over another connection: what it has kept meanwhile, it leaves alone then.
func (r *recorder) try(ctx context.Context, outcomes []campaign.Outcome) error {
	ctx, cancel := context.WithTimeout(ctx, r.lease)
	defer cancel()
	return r.store.Record(ctx, outcomes)
}
