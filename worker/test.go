package worker

import (
	"context"
	"fmt"
	"time"

	"github.com/jatak-mail/jatak/internal/campaign"
	"github.com/jatak-mail/jatak/internal/contact"
	"github.com/jatak-mail/jatak/internal/mailer"
)

// SendTest sends a campaign's mail to an address, as it would be for a contact.
// Its links lead to nobody's page, and nothing is kept of it.
func (w *Worker) SendTest(ctx context.Context, c campaign.Campaign, as contact.Contact, to contact.Address) error {
	c.Content.Variants = mapVariants(c.Content.Variants, func(v campaign.Variant) campaign.Variant {
		v.Subject = "[Test] " + v.Subject
		return v
	})
	p, err := w.prepare(c)
	if err != nil {
		return err
	}
	p.inert = true
	as.Address, as.Email = to, string(to)
	now := w.Now()
	replies := make(chan mailer.Outcome, 1)
	data, err := w.Signers.Sign(p.messageDomain, p.render(nil, contact.Recipient{Contact: as}, now))
	if err != nil {
		return err
	}
	route, err := w.Pool.Ready(ctx, p.messageDomain)
	if err != nil {
		return err
	}
	mail := &mailer.Mail{From: p.returnPath(as.ID), To: string(to), Data: data, Route: route,
		Done: func(o mailer.Outcome) { replies <- o }}
	if err := w.Pool.Submit(ctx, mail); err != nil {
		return err
	}
	reply := <-replies
	if reply.Kind != mailer.Accepted {
		return fmt.Errorf("%s answered %d %s", reply.Relay, reply.Code, reply.Text)
	}
	closing, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	return w.Pool.Close(closing)
}

func mapVariants(of map[string]campaign.Variant, f func(campaign.Variant) campaign.Variant) map[string]campaign.Variant {
	to := make(map[string]campaign.Variant, len(of))
	for lang, v := range of {
		to[lang] = f(v)
	}
	return to
}
