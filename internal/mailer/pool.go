package mailer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/wneessen/go-mail/smtp"
)

// Options of a pool.
type Options struct {
	Log   *slog.Logger
	Idle  time.Duration // how long a connection waits for mail, where the relay's URL does not say; default 10 s
	Fresh time.Duration // how long a decision that a mail may leave holds; default 3 s
	Slots Slots         // nil: the relays' connections are this pool's alone
}

// Slots shares the connections of a relay between processes.
type Slots interface {
	// Acquire asks for one more connection to a relay that takes most of them
	// from all processes together. After a no, or an error, nothing is dialled
	// for a second.
	Acquire(ctx context.Context, relay string, most int) (bool, error)
	// Release gives back what Acquire gave.
	Release(relay string)
	// Share is how many connections this process should keep at most at this
	// moment. It is asked between mails and must not block; connections above
	// it are closed in good order.
	Share(relay string, most int) int
}

// Pool keeps connections to the relays and sends over them. Connections are
// opened as mail comes, kept while it does, and closed when it stays away.
type Pool struct {
	options Options
	relays  []*relayState
	groups  map[string]*group // by From domain
	closing chan struct{}
	running sync.WaitGroup

	mu     sync.Mutex
	closed bool
	ready  chan struct{} // closed and replaced whenever a connection opens or fails
}

// relayState is a relay and how it fares.
type relayState struct {
	Relay
	name string
	work chan *Mail // taken by a connection that is ready

	open    atomic.Int32 // connections; written under Pool.mu
	idle    atomic.Int32 // connections that wait for mail
	waiting atomic.Int32 // mails that wait for a connection
	taken   atomic.Int64 // when a connection last took a mail, in Unix nanoseconds
	trouble atomic.Int32 // replies in a row that tell of the relay's own trouble

	// Guarded by Pool.mu.
	opening   int
	failures  int // in a row
	fruitless int // connections in a row that carried no mail, or brought the word that none is taken
	downUntil time.Time
	fullUntil time.Time       // other processes have the connections
	cause     error           // of the last failure
	farewells map[string]bool // RFC 3463 codes of those that the log has told of
	lost      int             // connections, since the log has told of it
	told      time.Time       // of connections that were lost
	reported  bool            // the log says that it cannot be reached
}

// beat is how often those who wait for a connection look again: whether a relay
// is due for another try, others have left a connection free, or a relay hangs.
const beat = 500 * time.Millisecond

// NewPool returns a pool over the relays. It connects when there is mail.
func NewPool(relays []Relay, o Options) (*Pool, error) {
	if o.Idle <= 0 {
		o.Idle = 10 * time.Second
	}
	if o.Fresh <= 0 {
		o.Fresh = 3 * time.Second
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	p := &Pool{options: o, closing: make(chan struct{}), ready: make(chan struct{})}
	for _, r := range relays {
		if _, err := r.client(r.connect); err != nil {
			return nil, err
		}
		if r.Idle <= 0 {
			r.Idle = o.Idle
		}
		p.relays = append(p.relays, &relayState{Relay: r, name: r.Name(), work: make(chan *Mail), farewells: map[string]bool{}})
	}
	p.groups = groups(p.relays)
	p.running.Go(p.wake)
	return p, nil
}

// wake makes those who wait look again.
func (p *Pool) wake() {
	ticker := time.NewTicker(beat)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			p.mu.Lock()
			p.changed()
			p.mu.Unlock()
		case <-p.closing:
			return
		}
	}
}

// Share has the pool share its connections with other processes. It is called
// before the first mail.
func (p *Pool) Share(s Slots) { p.options.Slots = s }

// Window is how many connections there are at most: as many mails as can be
// on their way at once.
func (p *Pool) Window() (n int) {
	for _, r := range p.relays {
		n += r.Connections
	}
	return n
}

// Ready waits until a connection is open to a relay that takes mails whose From
// is in a domain, and returns the one whose turn it is. It returns an
// UnreachableError when no such relay can be reached, so that nothing is claimed
// that could not be sent, and a NoRelayError when there is none.
func (p *Pool) Ready(ctx context.Context, from string) (*Route, error) {
	return p.route(ctx, from, claimSize)
}

func (p *Pool) route(ctx context.Context, from string, mails int64) (*Route, error) {
	g, err := p.group(from)
	if err != nil {
		return nil, err
	}
	for {
		for _, t := range g.turns {
			if t.relay.open.Load() == 0 {
				p.grow(t.relay)
			}
		}
		p.mu.Lock()
		changed, closed, unreachable := p.ready, p.closed, p.unreachable(g)
		route := p.choose(g, mails, nil)
		p.mu.Unlock()
		switch {
		case closed:
			return nil, ErrClosed
		case route != nil:
			return route, nil
		case unreachable != nil:
			return nil, unreachable
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// Submit hands a mail to a connection of its route's relay, or of another one
// when that is away, and waits until one takes it. When it returns nil, Done
// will be called exactly once; after an error, never. A mail without a route is
// given one by its envelope.
func (p *Pool) Submit(ctx context.Context, m *Mail) error {
	if m.Route == nil {
		route, err := p.route(ctx, m.From, 1)
		if err != nil {
			return err
		}
		m.Route = route
	}
	select {
	case m.Route.turn.relay.work <- m:
		return nil
	default:
	}
	for {
		r := m.Route.turn.relay
		p.grow(r)
		changed, err := p.detour(m)
		if err != nil {
			return err
		}
		r = m.Route.turn.relay
		r.waiting.Add(1)
		select {
		case r.work <- m:
			r.waiting.Add(-1)
			return nil
		case <-changed:
			r.waiting.Add(-1)
		case <-p.closing:
			r.waiting.Add(-1)
			return ErrClosed
		case <-ctx.Done():
			r.waiting.Add(-1)
			return ctx.Err()
		}
	}
}

// detour gives a mail whose relay is away, or hangs, another one if there is
// one. It returns what is closed when there is news.
func (p *Pool) detour(m *Mail) (changed chan struct{}, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil, ErrClosed
	}
	now := time.Now()
	r, g := m.Route.turn.relay, m.Route.group
	if r.isDown(now) || r.open.Load() == 0 && now.Before(r.fullUntil) || r.isStuck(now) {
		if other := p.choose(g, 1, r); other != nil && !other.turn.relay.isStuck(now) {
			m.Route = other
			return p.ready, nil
		}
	}
	return p.ready, p.unreachable(g)
}

// grow opens one more connection to a relay, if there is room.
func (p *Pool) grow(r *relayState) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	most := r.Connections
	if p.options.Slots != nil {
		most = min(most, max(1, p.options.Slots.Share(r.name, r.Connections)))
	}
	if p.closed || int(r.open.Load())+r.opening >= most || now.Before(r.downUntil) || now.Before(r.fullUntil) {
		return
	}
	if r.failures > 0 && (r.opening > 0 || r.fruitless > 0 && r.open.Load() > 0) {
		return // one is enough to try with
	}
	r.opening++
	p.running.Go(func() { p.connect(r) })
}

// changed wakes those who wait for a connection. The caller holds mu.
func (p *Pool) changed() {
	close(p.ready)
	p.ready = make(chan struct{})
}

// errFull says that other processes have all the connections of a relay.
var errFull = errors.New("other processes have the relay's connections")

// connect dials a relay and works on the connection until it ends.
func (p *Pool) connect(r *relayState) {
	client, err := p.dial(r)
	p.mu.Lock()
	r.opening--
	switch {
	case errors.Is(err, errFull):
		r.fullUntil = time.Now().Add(time.Second)
	case err != nil:
		p.failed(r, err)
	default:
		if r.fruitless == 0 {
			p.recovered(r)
		}
		r.taken.Store(time.Now().UnixNano())
		r.open.Add(1)
	}
	p.changed()
	p.mu.Unlock()
	if err != nil {
		return
	}
	c := newConnection(client, r)
	err = p.converse(c)
	_, refuses := errors.AsType[*refusesAll](err)
	bye, left := errors.AsType[*farewell](err)
	switch {
	case err == nil || refuses:
		c.quit()
	case left:
		p.tellFarewell(r, bye)
		_ = client.Close()
	case !errors.Is(err, errDropped):
		p.tellLost(r, err)
		fallthrough
	default:
		_ = client.Close()
	}
	// Before it makes room: whoever opens the next one asks for its place.
	if p.options.Slots != nil {
		p.options.Slots.Release(r.name)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if !c.leaving {
		r.open.Add(-1)
	}
	switch {
	case refuses:
		r.fruitless = mostFruitless // a new connection alone does not prove it well
		p.failed(r, err)
	case err != nil && !c.carried && !(c.rested && !c.answered) && !left && !errors.Is(err, errDropped):
		r.fruitless++
		if r.fruitless >= mostFruitless {
			p.failed(r, err)
		}
	}
	p.changed()
}

// refusesAll is the end of a connection on which the relay has said that it takes no
// mail now, whoever it is from and to.
type refusesAll struct{ reply string }

func (e *refusesAll) Error() string { return "it answers " + e.reply }

// errDropped is the end of a connection that is at fault in nothing: the mail that
// it waits for may no longer leave, and SMTP knows no other way back.
var errDropped = errors.New("dropped before a message that may no longer leave")

// lostEvery is how often the log tells of a relay's lost connections.
const lostEvery = 10 * time.Second

// tellLost tells that connections were lost, now and then: a relay may cut each.
func (p *Pool) tellLost(r *relayState, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	r.lost++
	if now := time.Now(); now.Sub(r.told) >= lostEvery {
		p.options.Log.Warn("connections to a relay were lost", "relay", r.name, "connections", r.lost, "error", err)
		r.lost, r.told = 0, now
	}
}

// mostFarewells bounds how many kinds of farewells the log tells of.
const mostFarewells = 10

// tellFarewell tells why a relay closes connections between mails, each reason once.
func (p *Pool) tellFarewell(r *relayState, f *farewell) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if r.farewells[f.enhanced] || len(r.farewells) == mostFarewells {
		return
	}
	r.farewells[f.enhanced] = true
	p.options.Log.Info("a relay closes connections between mails; its mails go over others", "relay", r.name, "says", f.reply)
}

// dial opens a connection, if the other processes leave one.
func (p *Pool) dial(r *relayState) (*smtp.Client, error) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() {
		defer cancel()
		select {
		case <-p.closing:
		case <-ctx.Done():
		}
	}()
	if p.options.Slots != nil {
		ok, err := p.options.Slots.Acquire(ctx, r.name, r.Connections)
		if err != nil {
			p.options.Log.Debug("ask for a connection that is shared", "relay", r.name, "error", err)
		}
		if err != nil || !ok {
			return nil, errFull
		}
	}
	client, err := r.dial(ctx)
	if err != nil && p.options.Slots != nil {
		p.options.Slots.Release(r.name)
	}
	return client, err
}

const (
	// longestDown bounds how long an unreachable relay is left alone.
	longestDown = 30 * time.Second
	// mostFruitless is after how many connections in a row that were lost before
	// they carried a mail a relay counts as unreachable; and after how many replies
	// in a row that tell of trouble of its own.
	mostFruitless = 5
)

// failed leaves a relay alone, twice as long each time. The caller holds mu.
func (p *Pool) failed(r *relayState, err error) {
	r.cause = err
	_, refuses := errors.AsType[*refusesAll](err)
	if now := time.Now(); !now.Before(r.downUntil) { // several connections may bring the same news
		r.failures++
		r.downUntil = now.Add(min(longestDown, time.Second<<min(r.failures-1, 10)))
	}
	switch {
	case r.reported:
	case refuses:
		r.reported = true
		p.options.Log.Warn("a relay takes no mail", "relay", r.name, "error", err)
	case r.open.Load() == 0:
		r.reported = true
		p.options.Log.Warn("a relay cannot be reached", "relay", r.name, "error", err)
	}
}

// recovered forgets what was wrong with a relay. The caller holds mu.
func (p *Pool) recovered(r *relayState) {
	r.trouble.Store(0)
	if r.reported {
		p.options.Log.Info("the relay can be reached again", "relay", r.name)
	}
	r.failures, r.fruitless, r.downUntil, r.cause, r.reported = 0, 0, time.Time{}, nil, false
}

// Troubles returns why relays are left alone at this moment, by their names.
func (p *Pool) Troubles() map[string]string {
	p.mu.Lock()
	defer p.mu.Unlock()
	troubles := map[string]string{}
	for _, r := range p.relays {
		if r.reported && r.cause != nil {
			troubles[r.name] = r.cause.Error()
		}
	}
	return troubles
}

// proven notes that a connection has carried a mail to its end.
func (p *Pool) proven(c *connection) {
	if c.carried {
		return
	}
	c.carried = true
	p.mu.Lock()
	defer p.mu.Unlock()
	if c.relay.fruitless > 0 {
		p.recovered(c.relay)
	}
}

// surplus reports whether a connection should be closed because others are to
// have it; from then on it does not count as open.
func (p *Pool) surplus(c *connection) bool {
	r := c.relay
	if c.leaving || p.options.Slots == nil {
		return c.leaving
	}
	keep := p.options.Slots.Share(r.name, r.Connections)
	if int(r.open.Load()) <= keep {
		return false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if int(r.open.Load()) > keep {
		c.leaving = true
		r.open.Add(-1)
	}
	return c.leaving
}

// converse sends mail after mail. It returns nil when the connection is to be
// closed in good order, and an error when it is lost.
func (p *Pool) converse(c *connection) error {
	r := c.relay
	idle := time.NewTimer(r.Idle)
	defer idle.Stop()
	for c.mails < r.MailsPerConnection && !p.surplus(c) {
		idle.Reset(r.Idle)
		r.idle.Add(1)
		waits := time.Now()
		select {
		case m := <-r.work:
			r.idle.Add(-1)
			c.rested = time.Since(waits) >= longRest
			if err := p.carry(c, m); err != nil {
				return err
			}
		case <-idle.C:
			r.idle.Add(-1)
			return nil
		case <-p.closing:
			r.idle.Add(-1)
			return nil
		}
	}
	return nil
}

// carry sends a mail, and those that can follow it at once. An error is the end of
// the connection.
func (p *Pool) carry(c *connection, m *Mail) error {
	announced := false
	m.Route.count()
	for m != nil {
		c.mails++
		if refused := c.refusal(m); refused != nil {
			m.Done(*refused)
			m, announced = p.next(c), false
			continue
		}
		if !announced && !m.mayLeave(p.options.Fresh) {
			m.Done(tooLate(c))
			m = p.next(c)
			continue
		}
		refused, err := c.open(m, announced)
		announced = false
		if err != nil {
			p.lostBefore(c, m, err)
			return err
		}
		if refused != nil {
			if err := p.refused(c, m, refused); err != nil {
				return err
			}
			if err := c.abandon(); err != nil {
				return err
			}
			m = p.next(c)
			continue
		}
		if !m.mayLeave(p.options.Fresh) { // the relay took its time
			m.Done(tooLate(c))
			return errDropped
		}
		next := p.next(c)
		if next != nil {
			if refused := c.refusal(next); refused != nil {
				next.Done(*refused)
				next = nil
			}
		}
		var outcome *Outcome
		announced, err = c.hand(m, next)
		if errors.Is(err, errLost) {
			p.lostBefore(c, m, err)
			p.lostNext(c, next, err)
			return err
		}
		if err == nil {
			outcome, err = c.confirm()
		}
		if err != nil {
			m.Done(Outcome{Kind: InDoubt, Text: "the connection was lost after the mail was handed over: " + err.Error(), Relay: c.relay.name})
			p.lostNext(c, next, err)
			return err
		}
		if outcome.Kind != Accepted {
			if err := p.refused(c, m, outcome); err != nil {
				p.lostNext(c, next, err)
				return err
			}
		} else {
			m.Done(*outcome)
			if c.relay.trouble.Load() > 0 {
				c.relay.trouble.Store(0)
			}
			p.proven(c)
		}
		m = next
	}
	return nil
}

// longRest is after how long a relay may well close a connection that brings nothing.
const longRest = time.Second

func tooLate(c *connection) Outcome {
	return Outcome{Kind: Unsent, Text: "it waited, and may no longer leave", Relay: c.relay.name}
}

// refused deals with a mail that the relay has not taken. What the relay says of
// itself or of the sender does not end it while another relay may have it, and after
// a 421 it has one more connection. It returns an error when the connection ends.
func (p *Pool) refused(c *connection, m *Mail, o *Outcome) error {
	r := c.relay
	closing := o.Code == 421 // RFC 5321 section 3.8: the relay closes the connection
	between := closing && o.Kind == Unsent && c.isProven()
	switch {
	case between && m.stale < p.Window():
		m.stale++
		p.resubmit(c, m, *o)
	case (o.Blame == BlameSender || o.Blame == BlameRelay && !closing) && p.elsewhere(c, m, *o):
	case closing && m.closed == 0:
		m.closed++
		p.resubmit(c, m, *o)
	default:
		m.Done(*o)
	}
	says := reply{o.Code, o.Enhanced, o.Text}
	switch {
	case between:
		return &farewell{says}
	case closing:
		return fmt.Errorf("%w: %s", errLost, says)
	case o.Kind == Unsent:
		return &refusesAll{says.String()}
	case o.Blame == BlameRelay && r.trouble.Add(1) >= mostFruitless:
		return &refusesAll{says.String()}
	case o.Blame != BlameRelay:
		p.proven(c)
	}
	return nil
}

// elsewhere gives a mail that a relay has not taken to one that has not been asked
// yet, and reports whether there was one.
func (p *Pool) elsewhere(c *connection, m *Mail, o Outcome) bool {
	m.refusedBy = append(m.refusedBy, c.relay)
	p.mu.Lock()
	other := p.choose(m.Route.group, 1, m.refusedBy...)
	p.mu.Unlock()
	if other == nil {
		return false
	}
	m.Route = other
	p.resubmit(c, m, o)
	return true
}

// next takes a mail that is waiting already, if this connection may carry more.
func (p *Pool) next(c *connection) *Mail {
	if !c.pipelines || c.mails >= c.relay.MailsPerConnection || p.surplus(c) {
		return nil
	}
	select {
	case m := <-c.relay.work:
		m.Route.count()
		return m
	default:
		return nil
	}
}

// mostAttempts is on how many connections a mail is tried that is lost before
// it is handed over; those that had died before it came are not counted.
const mostAttempts = 3

// lostBefore deals with a mail whose connection broke before the mail was
// handed over: nothing has left, and another connection may have it, of another
// relay if there is one.
func (p *Pool) lostBefore(c *connection, m *Mail, cause error) {
	if c.isProven() && !c.answered && m.stale < p.Window() {
		m.stale++ // the relay was restarted, say: that is no fault of this mail
	} else {
		m.attempts++
	}
	later := Outcome{Kind: Later, Blame: BlameRelay, Text: "the connection was lost before the mail was handed over: " + cause.Error(), Relay: c.relay.name}
	if m.attempts >= mostAttempts {
		m.Done(later)
		return
	}
	p.resubmit(c, m, later)
}

// lostNext gives back the mail that was to follow on a connection, if there was one:
// the relay has not been asked for it, or has not answered.
func (p *Pool) lostNext(c *connection, next *Mail, cause error) {
	if next != nil {
		p.resubmit(c, next, Outcome{Text: "the connection was lost before the mail was handed over: " + cause.Error(), Relay: c.relay.name})
	}
}

// resubmit gives a mail to another connection, of another relay if one is open.
// When none takes it, it is Unsent, with the words of the outcome.
func (p *Pool) resubmit(c *connection, m *Mail, o Outcome) {
	p.mu.Lock()
	if m.Route.turn.relay == c.relay {
		if other := p.choose(m.Route.group, 1, c.relay); other != nil {
			m.Route = other
		}
	}
	p.mu.Unlock()
	o.Kind, o.Blame = Unsent, BlameRelay
	p.running.Go(func() {
		ctx, cancel := context.WithTimeout(context.Background(), dialTimeout)
		defer cancel()
		if p.Submit(ctx, m) != nil {
			m.Done(o)
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
