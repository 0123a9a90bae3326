// Package worker is the hands of Jatak: it answers the queue's bells. It plans
// campaigns, claims and sends what is due, records what became of it, and
// looks over the ledger for what was forgotten. What must be true of a
// recipient is decided by gating; what has happened stands in the store.
//
// A worker owns the rows it has claimed for as long as it renews its lease.
// When it dies, the sweep of another worker finds them by their lapsed lease.
package worker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"github.com/jatak-mail/jatak/internal/campaign"
	"github.com/jatak-mail/jatak/internal/mailer"
	"github.com/jatak-mail/jatak/internal/managelink"
	"github.com/jatak-mail/jatak/internal/pace"
	"github.com/jatak-mail/jatak/internal/queue"
	"github.com/jatak-mail/jatak/templates"
)

// Options is what a worker needs. All fields without a default are required.
type Options struct {
	Store Store
	Bell  Bell
	Redis redis.UniversalClient
	Pool  *mailer.Pool
	// Relays are those of the pool, for the console to show and test. Optional.
	Relays []mailer.Relay
	Keys   *managelink.Keyring
	Words  func(context.Context) *templates.Set
	Log    *slog.Logger
	// Now is the machine's clock, which counts until the database's is known; default
	// time.Now.
	Now func() time.Time

	// Signers sign mails by their From's domain; nil signs none.
	Signers mailer.Signers
	// PublicURL is where the recipients' pages are, without a slash at the end.
	PublicURL string
	// UnsubscribeMailbox is the address that takes unsubscribe mails; "" for none.
	UnsubscribeMailbox string
	// BounceAddress takes what comes back: each mail's MAIL FROM is made of it
	// and a token. "" uses the campaign's From.
	BounceAddress  string
	ManageLinkLife time.Duration // default 60 days

	// Window bounds how many rows this worker may have claimed and not yet
	// recorded. Default: twice the pool's connections, at least 512: a claim is
	// a round trip, and costs as much for one row as for fifty.
	Window int
	// Tasks is how many batches are worked on at once; default 4.
	Tasks int
	// ChunkSize is how many contacts one planning step takes; default 1000.
	ChunkSize int

	Lease      time.Duration // default 30 s; renewed three times as often
	SweepEvery time.Duration // default 5 s
	// BellPatience is how long a bell that was rung is trusted to be heard;
	// default Lease.
	BellPatience time.Duration
	Grace        time.Duration // from being told to stop to the end, whatever hangs; default 30 s
	// Resend sends mails whose outcome is unknown again, with the same
	// Message-ID; without it they wait for a person.
	Resend bool
	// MaxAttempts ends the deferring of a mail; default 10.
	MaxAttempts int
	// MaxAge ends it too, so long after the first time; default 3 days.
	MaxAge    time.Duration
	RetryBase time.Duration // the first delay, doubled each time; default 1 min
}

func (o *Options) setDefaults() {
	setDefault(&o.Window, max(512, 2*o.Pool.Window()))
	setDefault(&o.Tasks, 4)
	setDefault(&o.ChunkSize, 1000)
	setDefault(&o.Lease, 30*time.Second)
	setDefault(&o.SweepEvery, 5*time.Second)
	setDefault(&o.BellPatience, o.Lease)
	setDefault(&o.Grace, 30*time.Second)
	setDefault(&o.MaxAttempts, 10)
	setDefault(&o.MaxAge, 72*time.Hour)
	setDefault(&o.RetryBase, time.Minute)
	setDefault(&o.ManageLinkLife, 60*24*time.Hour)
	if o.Now == nil {
		o.Now = time.Now
	}
}

func setDefault[T int | time.Duration](option *T, value T) {
	if *option <= 0 {
		*option = value
	}
}

// Worker works off the queue.
type Worker struct {
	Options
	id       atomic.Int64 // under which rows are claimed
	clock    clock
	recorder *recorder
	pacer    *pacer
	window   chan struct{} // one token for each row claimed and not recorded
	prepared preparedCampaigns
	// One claim at a time: two only slow each other down in the database.
	claiming sync.Mutex
	tenders  tenders
	judging  chan struct{} // a breaker has something that cannot wait
	// closing are the visits whose mails are still to be recorded, beside what
	// runs along.
	closing, beside errands
	stopping        chan struct{}
}

// New returns a worker that is not yet running.
func New(o Options) *Worker {
	o.setDefaults()
	w := &Worker{
		Options:  o,
		window:   make(chan struct{}, o.Window),
		judging:  make(chan struct{}, 1),
		stopping: make(chan struct{}),
	}
	w.clock.machine = o.Now
	w.prepared.byID = map[campaign.ID]*prepared{}
	w.tenders.by = map[tended]*tender{}
	w.pacer = &pacer{store: o.Store, limiter: pace.New(o.Redis, o.Log), slots: pace.NewSlots(o.Redis, holderName(), o.Lease/3, o.Log), clock: &w.clock, log: o.Log,
		tallies: tallies{of: map[string]*tally{}}, asked: make(chan asked, 8), owing: make(chan struct{}, 1), debts: map[string]int{}, following: map[campaign.ID]following{}}
	w.recorder = newRecorder(o.Store, o.Log, o.Lease)
	return w
}

// holderName tells this worker from all others.
func holderName() string {
	host, _ := os.Hostname()
	return fmt.Sprintf("%s/%d/%x", host, os.Getpid(), rand.Uint64())
}

// Run works until the context is done; then it stops claiming, finishes what
// is in flight within the grace period, gives the rest back, and returns nil.
func (w *Worker) Run(ctx context.Context) error {
	host, _ := os.Hostname()
	id, err := w.Store.StartWorker(ctx, fmt.Sprintf("%s/%d", host, os.Getpid()), w.Lease)
	switch {
	case err != nil && ctx.Err() != nil:
		return nil // told to stop before it began
	case err != nil:
		return err
	}
	w.id.Store(id)
	if err := w.pacer.look(ctx); err != nil && ctx.Err() == nil {
		return err // all that is done goes by the time that it brings
	}
	w.Log.Info("worker started", "worker", id, "window", w.Window, "connections", w.Pool.Window())

	// The recorder and the lease outlive ctx: what is in flight when it ends
	// is still ours, and its outcome is still to be kept.
	background := context.WithoutCancel(ctx)
	leaseCtx, endLease := context.WithCancel(background)
	recording, endRecording := context.WithCancel(background)
	defer endRecording()
	var running sync.WaitGroup
	running.Go(func() { w.recorder.run(recording) })
	w.beside.Go(func() { w.keepLease(leaseCtx) })
	w.beside.Go(func() { w.keepSweeping(ctx) })
	w.beside.Go(func() { w.keepAccounting(ctx) })
	w.beside.Go(func() { w.keepTestingRelays(ctx) })
	w.beside.Go(func() { w.keepTryingRedis(ctx) })
	w.beside.Go(func() { w.keepJudging(leaseCtx) })
	w.beside.Go(func() { w.pacer.run(leaseCtx) })
	w.beside.Go(func() { w.pacer.slots.Run(leaseCtx) })
	w.describe(ctx, id)

	w.Pool.Share(w.pacer)
	server := asynq.NewServerFromRedisClient(w.Redis, asynq.Config{
		Concurrency:              w.Tasks + 1, // one more, so that planning does not wait for sending
		BaseContext:              func() context.Context { return background },
		Queues:                   queue.Priorities(),
		TaskCheckInterval:        100 * time.Millisecond,
		DelayedTaskCheckInterval: time.Second,
		RetryDelayFunc:           retryTask,
		ShutdownTimeout:          w.Grace - w.lastWord(),
		Logger:                   asynqLog{w.Log},
		LogLevel:                 asynq.WarnLevel,
		ErrorHandler:             asynq.ErrorHandlerFunc(w.taskFailed),
	})
	mux := asynq.NewServeMux()
	mux.HandleFunc(queue.PlanTask, w.plan)       // rung at launch and by the sweep; a repeat carries on where planning stood
	mux.HandleFunc(queue.NoticeTask, w.personal) // rung by the sweep; a repeat finds what is still due
	mux.HandleFunc(queue.SendTask, w.send)       // rung by planning and by the sweep; a repeat finds what is still due
	if err := server.Start(mux); err != nil {
		endLease()
		w.beside.wait()
		w.recorder.close()
		running.Wait()
		return fmt.Errorf("start on the queue: %w", err)
	}

	<-ctx.Done()
	w.Log.Info("worker stops: finishing what is in flight", "grace", w.Grace)
	close(w.stopping)
	draining, endDraining := context.WithTimeout(background, w.Grace-w.lastWord())
	defer endDraining()
	ending, end := context.WithTimeout(background, w.Grace-w.lastWord()/4)
	defer end()
	defer time.AfterFunc(w.Grace-w.lastWord()/2, endRecording).Stop() // a database that is away does not hold us
	w.pacer.stop()                                                    // whoever waits for a connection gives its rows back
	var drained sync.WaitGroup
	answered := true
	drained.Go(func() {
		answered = within(draining, func() { server.Shutdown(); w.tenders.wait() })
	})
	err = w.Pool.Close(draining)
	if err != nil {
		w.Log.Warn("a relay did not answer within the grace period; the mails it had are in doubt")
	}
	drained.Wait()
	w.recorder.close()
	running.Wait()
	if err == nil { // nothing is on its way any more
		answered = within(ending, w.closing.wait) && answered
	}
	endLease()
	if answered = within(ending, w.beside.wait) && answered; !answered {
		w.Log.Warn("PostgreSQL or Redis did not answer within the grace period; the sweep of another worker sees to what waited for it")
	}
	if err := w.Store.StopWorker(ending, w.id.Load()); err != nil {
		w.Log.Warn("the lease runs out by itself", "error", err)
	}
	w.Log.Info("worker stopped")
	return nil
}

// lastWord is the part of its grace that a worker keeps for the last outcomes, and
// for giving its lease back.
func (w *Worker) lastWord() time.Duration { return min(w.Grace/4, 5*time.Second) }

// errands are done beside the tasks of the queue, until they are waited for. Then no
// more are begun: a task that a frozen server holds, and the grace has left behind,
// may still ask for one.
type errands struct {
	running sync.WaitGroup
	mu      sync.Mutex
	ended   bool
}

// Go begins one. After the end it does not: the sweep of another worker sees to it.
func (e *errands) Go(f func()) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if !e.ended {
		e.running.Go(f)
	}
}

// wait lets none begin any more, and returns when all have ended.
func (e *errands) wait() {
	e.mu.Lock()
	e.ended = true
	e.mu.Unlock()
	e.running.Wait()
}

// within waits for f until the context ends, and reports whether f has ended: what
// hangs on a server that is frozen is left behind.
func within(ctx context.Context, f func()) bool {
	ended := make(chan struct{})
	go func() {
		f()
		close(ended)
	}()
	select {
	case <-ended:
		return true
	case <-ctx.Done():
		return false
	}
}

const (
	// answerTime is how long PostgreSQL may take for what takes it milliseconds. One
	// that is frozen, or behind a network that swallows what it says, does not tell:
	// it is asked again, over another connection.
	answerTime = 5 * time.Second
	// lookTime is the same for what looks through much: a chunk of a plan, a sweep.
	lookTime = 2 * time.Minute
)

// isStopping reports whether no more rows are to be claimed.
func (w *Worker) isStopping() bool {
	select {
	case <-w.stopping:
		return true
	default:
		return false
	}
}

// keepLease renews the worker's lease. A lease that ran out, because the
// machine slept or the database was away, is replaced by a new one: the rows
// claimed under the old one may be another's by now.
func (w *Worker) keepLease(ctx context.Context) {
	tick := time.NewTicker(w.Lease / 3)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if err := w.renewLease(ctx); err != nil && ctx.Err() == nil {
			w.Log.Warn("the lease could not be renewed", "error", err)
		}
	}
}

func (w *Worker) renewLease(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, w.Lease/2) // and again, while there is time
	defer cancel()
	kept, err := w.Store.RenewLease(ctx, w.id.Load(), w.Lease)
	if err != nil || kept {
		return err
	}
	id, err := w.Store.StartWorker(ctx, "renewed", w.Lease)
	if err != nil {
		return err
	}
	w.Log.Warn("the lease had run out: going on under a new number", "worker", id, "before", w.id.Load())
	w.id.Store(id)
	w.describe(ctx, id)
	return nil
}

// taskFailed tells of a task that returned an error; asynq tries it again, and
// the sweep rings for what it leaves undone.
func (w *Worker) taskFailed(_ context.Context, t *asynq.Task, err error) {
	if errors.Is(err, context.Canceled) {
		return
	}
	w.Log.Error("task failed; it will be tried again", "task", t.Type(), "payload", string(t.Payload()), "error", err)
}

// retryTask says how long a task that failed waits: a relay or a database that
// is away may be back soon.
func retryTask(n int, _ error, _ *asynq.Task) time.Duration {
	return min(30*time.Second, time.Second<<min(n, 5))
}

// asynqLog hands asynq's own log lines to ours.
type asynqLog struct{ log *slog.Logger }

func (l asynqLog) Debug(args ...any) { l.log.Debug("queue: " + fmt.Sprint(args...)) }
func (l asynqLog) Info(args ...any)  { l.log.Info("queue: " + fmt.Sprint(args...)) }
func (l asynqLog) Warn(args ...any)  { l.log.Warn("queue: " + fmt.Sprint(args...)) }
func (l asynqLog) Error(args ...any) { l.log.Error("queue: " + fmt.Sprint(args...)) }

// Fatal is only logged: a library does not end our process.
func (l asynqLog) Fatal(args ...any) { l.log.Error("queue: " + fmt.Sprint(args...)) }
