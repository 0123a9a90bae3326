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
	p, err := w.prepareTest(c)
	if err != nil {
		return err
	}
	reply, err := w.sendTest(ctx, p, as, to)
	if err != nil {
		return err
	}
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
