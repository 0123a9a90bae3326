package mailer

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/wneessen/go-mail"
)

// Options of a pool.
type Options struct {
	Log  *slog.Logger
	Idle time.Duration // how long a connection waits for mail; default 10 s
}

// Pool keeps connections to the relays and sends over them. Connections are
// opened as mail comes, kept while it does, and closed when it stays away.
type Pool struct {
	options Options
	relays  []*relayState
	work    chan *Mail // taken by a connection that is ready
	closing chan struct{}
	running sync.WaitGroup

	mu     sync.Mutex
	closed bool
	ready  chan struct{} // closed and replaced whenever a connection opens or fails
}

// relayState is a relay and how it fares; guarded by Pool.mu.
type relayState struct {
	Relay
	client    *mail.Client
	open      int // connections that are ready for mail
	opening   int
	failures  int // in a row
	downUntil time.Time
	cause     error // of the last failure
}

// mostMails is how many mails one connection carries before a fresh one takes
// its place.
const mostMails = 1000

// NewPool returns a pool over the relays. It connects when there is mail.
func NewPool(relays []Relay, o Options) (*Pool, error) {
	if o.Idle <= 0 {
		o.Idle = 10 * time.Second
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	p := &Pool{options: o, work: make(chan *Mail), closing: make(chan struct{}), ready: make(chan struct{})}
	for _, r := range relays {
		client, err := r.client()
		if err != nil {
			return nil, err
		}
		p.relays = append(p.relays, &relayState{Relay: r, client: client})
	}
	return p, nil
}

// Window is how many connections there are at most: as many mails as can be
// on their way at once.
func (p *Pool) Window() (n int) {
	for _, r := range p.relays {
		n += r.Connections
	}
	return n
}

// Ready waits until a connection is open. It returns an UnreachableError when
// no relay can be reached, so that nothing is claimed that could not be sent.
func (p *Pool) Ready(ctx context.Context) error {
	for {
		p.mu.Lock()
		changed, open, unreachable, closed := p.ready, 0, p.unreachable(), p.closed
		for _, r := range p.relays {
			open += r.open
		}
		p.mu.Unlock()
		switch {
		case closed:
			return ErrClosed
		case open > 0:
			return nil
		case unreachable != nil:
			return unreachable
		}
		p.grow()
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// unreachable returns an error when every relay has failed and is not yet due
// for another try. The caller holds mu.
func (p *Pool) unreachable() error {
	now := time.Now()
	var last *relayState
	for _, r := range p.relays {
		if r.open+r.opening > 0 || !now.Before(r.downUntil) {
			return nil
		}
		last = r
	}
	return &UnreachableError{Relay: last.Name(), Cause: last.cause}
}

// Submit hands a mail to a connection, and waits until one takes it. When it
// returns nil, Done will be called exactly once; after an error, never.
func (p *Pool) Submit(ctx context.Context, m *Mail) error {
	select {
	case p.work <- m:
		return nil
	default:
	}
	for {
		p.grow()
		p.mu.Lock()
		changed, unreachable, closed := p.ready, p.unreachable(), p.closed
		p.mu.Unlock()
		switch {
		case closed:
			return ErrClosed
		case unreachable != nil:
			return unreachable
		}
		select {
		case p.work <- m:
			return nil
		case <-changed:
		case <-p.closing:
			return ErrClosed
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// grow opens one more connection, to the relay that has most room.
func (p *Pool) grow() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return
	}
	var best *relayState
	now := time.Now()
	for _, r := range p.relays {
		room := r.Connections - r.open - r.opening
		if room <= 0 || now.Before(r.downUntil) || r.failures > 0 && r.opening > 0 {
			continue
		}
		if best == nil || room*best.Connections > (best.Connections-best.open-best.opening)*r.Connections {
			best = r
		}
	}
	if best == nil {
		return
	}
	best.opening++
	p.running.Go(func() { p.connect(best) })
}

// changed wakes those who wait for a connection. The caller holds mu.
func (p *Pool) changed() {
	close(p.ready)
	p.ready = make(chan struct{})
}

// longestDown bounds how long an unreachable relay is left alone.
const longestDown = 30 * time.Second

// connect dials a relay and works on the connection until it ends.
func (p *Pool) connect(r *relayState) {
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		defer cancel()
		select {
		case <-p.closing:
		case <-ctx.Done():
		}
	}()
	client, err := r.client.DialToSMTPClientWithContext(ctx)
	cancel()

	p.mu.Lock()
	r.opening--
	if err != nil {
		r.failures++
		r.cause = err
		r.downUntil = time.Now().Add(min(longestDown, time.Second<<min(r.failures-1, 10)))
		if r.failures == 1 {
			p.options.Log.Warn("a relay cannot be reached", "relay", r.Name(), "error", err)
		}
		p.changed()
		p.mu.Unlock()
		return
	}
	if r.failures > 0 {
		p.options.Log.Info("the relay can be reached again", "relay", r.Name())
	}
	r.failures, r.cause, r.downUntil = 0, nil, time.Time{}
	r.open++
	p.changed()
	p.mu.Unlock()

	c := newConnection(client, r.Relay)
	err = p.converse(c)

	p.mu.Lock()
	r.open--
	p.changed()
	p.mu.Unlock()
	if err != nil {
		p.options.Log.Debug("a connection ended", "relay", r.Name(), "error", err)
		_ = client.Close()
		return
	}
	c.quit()
}

// converse sends mail after mail. It returns nil when the connection is to be
// closed in good order, and an error when it is lost.
func (p *Pool) converse(c *connection) error {
	idle := time.NewTimer(p.options.Idle)
	defer idle.Stop()
	for carried := 0; carried < mostMails; {
		idle.Reset(p.options.Idle)
		select {
		case m := <-p.work:
			n, err := p.carry(c, m)
			carried += n
			if err != nil {
				return err
			}
		case <-idle.C:
			return nil
		case <-p.closing:
			return nil
		}
	}
	return nil
}

// carry sends a mail, and those that can follow it at once, and returns how
// many.
func (p *Pool) carry(c *connection, m *Mail) (carried int, err error) {
	announced := false
	for m != nil {
		carried++
		if why := c.refusal(m); why != "" {
			m.Done(Outcome{Kind: Refused, Enhanced: "5.6.7", Text: why, Relay: c.relay.Name()})
			m, announced = p.next(c, carried), false
			continue
		}
		refused, err := c.open(m, announced)
		announced = false
		if err != nil {
			p.lostBefore(c, m, err)
			return carried, err
		}
		if refused != nil {
			m.Done(*refused)
			if refused.Code == 421 {
				return carried, errLost // RFC 5321 section 3.8: the relay closes
			}
			m = p.next(c, carried)
			continue
		}
		next := p.next(c, carried)
		if next != nil && c.refusal(next) != "" {
			next.Done(Outcome{Kind: Refused, Enhanced: "5.6.7", Text: c.refusal(next), Relay: c.relay.Name()})
			next = nil
		}
		var outcome *Outcome
		announced, err = c.hand(m, next)
		if errors.Is(err, errLost) {
			p.lostBefore(c, m, err)
			if next != nil {
				p.lostBefore(c, next, err)
			}
			return carried, err
		}
		if err == nil {
			outcome, err = c.confirm()
		}
		if err != nil {
			m.Done(Outcome{Kind: InDoubt, Text: "the connection was lost after the mail was handed over: " + err.Error(), Relay: c.relay.Name()})
			if next != nil {
				p.lostBefore(c, next, err)
			}
			return carried, err
		}
		m.Done(*outcome)
		if outcome.Code == 421 {
			if next != nil {
				p.lostBefore(c, next, errLost)
			}
			return carried, errLost
		}
		m = next
	}
	return carried, nil
}

// next takes a mail that is waiting already, if this connection may carry more.
func (p *Pool) next(c *connection, carried int) *Mail {
	if !c.pipelines || carried >= mostMails {
		return nil
	}
	select {
	case m := <-p.work:
		return m
	default:
		return nil
	}
}

// mostAttempts is on how many connections a mail is tried that is lost before
// it is handed over.
const mostAttempts = 3

// lostBefore deals with a mail whose connection broke before the mail was
// handed over: nothing has left, and another connection may have it.
func (p *Pool) lostBefore(c *connection, m *Mail, cause error) {
	m.attempts++
	later := Outcome{Kind: Later, Text: "the connection was lost before the mail was handed over: " + cause.Error(), Relay: c.relay.Name()}
	if m.attempts >= mostAttempts {
		m.Done(later)
		return
	}
	p.running.Go(func() {
		ctx, cancel := context.WithTimeout(context.Background(), dialTimeout)
		defer cancel()
		if p.Submit(ctx, m) != nil {
			m.Done(later)
		}
	})
}

// Close takes no more mail, lets what is on its way end, and closes the
// connections. What is still under way when the context ends is left to its
// connection.
func (p *Pool) Close(ctx context.Context) error {
	p.mu.Lock()
	if !p.closed {
		p.closed = true
		close(p.closing)
	}
	p.mu.Unlock()
	ended := make(chan struct{})
	go func() {
		p.running.Wait()
		close(ended)
	}()
	select {
	case <-ended:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
