package worker

import (
	"context"
	"maps"
	"strings"
	"time"

	"github.com/jatak-mail/jatak/internal/campaign"
	"github.com/jatak-mail/jatak/internal/mailer"
)

const (
	// relayTestTime bounds a test of a relay.
	relayTestTime = 20 * time.Second
	// mostSays bounds what is kept of a relay's answer, in bytes.
	mostSays = 500
)

// describe tells the console of this worker's relays and keys; without it, the
// console shows less.
func (w *Worker) describe(ctx context.Context, id int64) {
	troubles := w.Pool.Troubles()
	about := campaign.About{Relays: []campaign.Relay{}, Signers: []campaign.Signer{}}
	for _, r := range w.Relays {
		encryption := string(r.STARTTLS)
		if r.ImplicitTLS {
			encryption = "tls"
		}
		about.Relays = append(about.Relays, campaign.Relay{Name: r.Name(), Host: r.Host, Encryption: encryption, User: r.User, Connections: r.Connections,
			Trouble: words(troubles[r.Name()])})
	}
	_, about.BounceDomain, _ = strings.Cut(w.BounceAddress, "@")
	keys, err := w.Signers.PublicKeys()
	for _, k := range keys {
		about.Signers = append(about.Signers, campaign.Signer{Domain: k.Domain, Selector: k.Selector, Record: k.Record})
	}
	if err == nil {
		err = w.Store.DescribeWorker(ctx, id, about)
	}
	if err != nil && ctx.Err() == nil {
		w.Log.Warn("the console is not told of this worker's relays", "error", err)
	}
}

// words makes what a relay has said fit to be kept.
func words(says string) string {
	return strings.ToValidUTF8(strings.ReplaceAll(says[:min(len(says), mostSays)], "\x00", ""), "")
}

// keepTestingRelays does the tests of relays that the console asks for, and tells it
// of relays that begin to take no mail, or end to.
func (w *Worker) keepTestingRelays(ctx context.Context) {
	if len(w.Relays) == 0 {
		return
	}
	tick := time.NewTicker(w.SweepEvery)
	defer tick.Stop()
	told := map[string]string{}
	for {
		if troubles := w.Pool.Troubles(); !maps.Equal(troubles, told) {
			told = troubles
			w.describe(ctx, w.id.Load())
		}
		if err := w.testRelay(ctx); err != nil && ctx.Err() == nil {
			w.Log.Warn("test of a relay", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// testRelay logs in at a relay, if somebody asks, and keeps what it found.
func (w *Worker) testRelay(ctx context.Context) error {
	byName := map[string]mailer.Relay{}
	var names []string
	for _, r := range w.Relays {
		byName[r.Name()] = r
		names = append(names, r.Name())
	}
	ctx, cancel := context.WithTimeout(ctx, relayTestTime+2*answerTime)
	defer cancel()
	test, ok, err := w.Store.TakeRelayTest(ctx, names, w.clock.now())
	if err != nil || !ok {
		return err
	}
	testing, cancelTesting := context.WithTimeout(ctx, relayTestTime)
	defer cancelTesting()
	offers, err := mailer.Probe(testing, byName[test.Relay])
	test.OK, test.Says, test.Done = err == nil, strings.Join(offers, " "), w.clock.now()
	if err != nil {
		test.Says, test.Trouble = err.Error(), string(mailer.TroubleOf(err))
	}
	test.Says = words(test.Says)
	return w.Store.RecordRelayTest(ctx, test)
}
