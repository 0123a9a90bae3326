package worker

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"time"

	"github.com/jatak-mail/jatak/gating"
	"github.com/jatak-mail/jatak/internal/campaign"
	"github.com/jatak-mail/jatak/internal/contact"
	"github.com/jatak-mail/jatak/internal/mailer"
)

// testMails sends the mails that authors try their drafts with.
func (w *Worker) testMails(ctx context.Context) error {
	for !w.isStopping() {
		now := w.clock.now()
		m, claimed, err := w.Store.ClaimTestMail(ctx, now, now.Add(noticeLease))
		if err != nil || !claimed {
			return err
		}
		o, err := w.testMail(ctx, m)
		if err != nil {
			return fmt.Errorf("test mail %d: %w", m.ID, err)
		}
		if err := w.Store.RecordTestMail(ctx, o); err != nil {
			return err
		}
	}
	return nil
}

// testMail sends one, if the gate lets it: as a service notice, because somebody
// has asked for it, and to no address that is suppressed.
func (w *Worker) testMail(ctx context.Context, m campaign.TestMail) (campaign.TestMailOutcome, error) {
	o := campaign.TestMailOutcome{ID: m.ID, State: campaign.Failed, At: w.clock.now()}
	facts, err := w.Store.AddressFacts(ctx, m.Address, w.Keys.Digest(string(m.Address)))
	if err != nil {
		return o, err
	}
	if v := gating.Decide(facts, gating.Policy{Now: o.At, Class: gating.Service}); !v.Send {
		o.State, o.Reason = campaign.Blocked, v.Reason
		return o, nil
	}
	p, err := w.prepareTestMail(m)
	if err != nil {
		o.Reply = err.Error() // it cannot be made, however often it is tried
		return o, nil
	}
	reply, err := w.sendTest(ctx, p, m.As, m.Address)
	if err != nil && ctx.Err() != nil {
		return o, err
	}
	o.At, o.Reply = w.clock.now(), fmt.Sprintf("%d %s", reply.Code, reply.Text)
	if err != nil {
		o.Reply = err.Error() // the relay is away
	}
	switch {
	case err == nil && reply.Kind == mailer.Accepted:
		o.State = campaign.Sent
	case (err != nil || reply.Kind != mailer.Refused) && m.Attempts < w.MaxAttempts:
		o.State, o.Due = campaign.Pending, o.At.Add(retryDelay(w.RetryBase, m.Attempts))
	}
	return o, nil
}

func (w *Worker) prepareTestMail(m campaign.TestMail) (*prepared, error) {
	c := campaign.Campaign{ID: campaign.ID(m.Draft.ID), Class: m.Content.Class, Content: m.Content}
	if m.Draft.Template {
		c.ID = 0
	}
	if c.Class == "" {
		c.Class = gating.Marketing
	}
	if v, ok := m.Content.Variants[m.Language]; ok { // only this one, which others need not be ready for
		c.Content.Variants, c.Content.DefaultLanguage = map[string]campaign.Variant{m.Language: v}, m.Language
	}
	p, err := w.prepareTest(c)
	if err == nil {
		p.messageID = testMessageID(m.ID, p.messageDomain)
	}
	return p, err
}

// testMessageID is the same each time a test mail is sent, and shows no id.
func testMessageID(id int64, domain string) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "jatak test %s %d", domain, id))
	return hex.EncodeToString(sum[:16]) + "@" + domain
}

// sweepTestMails rings for test mails that are due, and forgets the old ones.
func (w *Worker) sweepTestMails(ctx context.Context, now time.Time) error {
	due, err := w.Store.TestMailsDue(ctx, now)
	if err == nil && due {
		err = w.Bell.RingNotices(ctx, now)
	}
	if err != nil {
		return err
	}
	_, err = w.Store.ForgetTestMails(ctx, now.Add(-campaign.TestMailLife))
	return err
}

// prepareTest makes a draft ready whose links lead nowhere.
func (w *Worker) prepareTest(c campaign.Campaign) (*prepared, error) {
	c.Content.Variants = mapVariants(c.Content.Variants, func(v campaign.Variant) campaign.Variant {
		v.Subject = "[Test] " + v.Subject
		return v
	})
	p, err := w.prepare(c)
	if err == nil {
		p.inert = true
	}
	return p, err
}

// sendTest sends a prepared test to an address and waits for the reply.
func (w *Worker) sendTest(ctx context.Context, p *prepared, as contact.Contact, to contact.Address) (mailer.Outcome, error) {
	route, err := w.Pool.Ready(ctx, p.messageDomain)
	if err != nil {
		return mailer.Outcome{}, err
	}
	as.Address, as.Email = to, string(to)
	now := w.clock.now()
	data, err := w.Signers.Sign(p.messageDomain, p.render(nil, contact.Recipient{Contact: as}, now), now)
	if err != nil {
		return mailer.Outcome{}, err
	}
	replies := make(chan mailer.Outcome, 1)
	mail := &mailer.Mail{From: p.returnPath(as.ID), To: string(to), Data: data, Route: route, Done: func(o mailer.Outcome) { replies <- o }}
	if err := w.Pool.Submit(ctx, mail); err != nil {
		return mailer.Outcome{}, err
	}
	return <-replies, nil
}
