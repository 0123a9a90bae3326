package worker

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/jatak-mail/jatak/gating"
	"github.com/jatak-mail/jatak/internal/campaign"
	"github.com/jatak-mail/jatak/internal/contact"
	"github.com/jatak-mail/jatak/internal/mailer"
	"github.com/jatak-mail/jatak/internal/managelink"
)

// prepared is a campaign made ready for sending: parsed, compiled and encoded
// once, so that a recipient's copy is spliced.
type prepared struct {
	id               campaign.ID
	class            gating.Class
	subscriptionType gating.SubscriptionType
	override         bool
	envelopeFrom     string // without a bounce address
	bounceAddress    string
	messageDomain    string
	publicURL        string
	unsubscribeBox   string
	keys             *managelink.Keyring
	linksExpire      time.Time
	content          *campaign.Compiled
	templates        map[*campaign.CompiledVariant]*mailer.Template
	breaker          breaker
	inert            bool   // a test: links lead to nobody's page
	messageID        string // of a test; otherwise it follows from the recipient
}

// preparedCampaigns keeps the campaigns under way ready.
type preparedCampaigns struct {
	mu   sync.Mutex
	byID map[campaign.ID]*prepared
}

func (c *preparedCampaigns) get(ctx context.Context, w *Worker, id campaign.ID) (*prepared, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if p := c.byID[id]; p != nil {
		return p, nil
	}
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	kept, err := w.Store.Campaign(ctx, id)
	if err != nil {
		return nil, err
	}
	p, err := w.prepare(kept)
	if err != nil {
		return nil, fmt.Errorf("prepare campaign %d: %w", id, err)
	}
	active := w.pacer.current().limits.Active
	maps.DeleteFunc(c.byID, func(id campaign.ID, _ *prepared) bool {
		_, is := active[id]
		return !is // ended, or paused, perhaps by another worker
	})
	p.breaker.resumed = active[id].Resumed
	c.byID[id] = p
	if len(w.Signers) > 0 && !w.Signers.Signs(p.messageDomain) {
		w.Log.Warn("there is no DKIM key for the domain of a campaign's From: its mails are not signed", "campaign", id, "domain", p.messageDomain)
	}
	return p, nil
}

// all returns the campaigns that are ready.
func (c *preparedCampaigns) all() []*prepared {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Collect(maps.Values(c.byID))
}

func (c *preparedCampaigns) forget(id campaign.ID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.byID, id)
}

// Slots of the header, beyond those of the content.
const (
	oneClickSlot = iota
	unsubscribeMailSlot
	headerSlots
)

func (w *Worker) prepare(c campaign.Campaign) (*prepared, error) {
	content, err := campaign.Compile(c.Content)
	if err != nil {
		return nil, err
	}
	from, err := contact.ParseAddress(c.Content.FromAddress)
	if err != nil {
		return nil, fmt.Errorf("from address: %w", err)
	}
	p := &prepared{
		id: c.ID, class: c.Class, subscriptionType: c.Type, override: c.OverrideReason != "",
		envelopeFrom: string(from), bounceAddress: w.BounceAddress, messageDomain: from.Domain(),
		publicURL: w.PublicURL, unsubscribeBox: w.UnsubscribeMailbox, keys: w.Keys,
		linksExpire: c.Launched.Add(w.ManageLinkLife),
		content:     content, templates: map[*campaign.CompiledVariant]*mailer.Template{},
	}
	for _, v := range content.Variants() {
		t, err := mailer.Compile(p.draft(c, v))
		if err != nil {
			return nil, fmt.Errorf("variant %q: %w", v.Language, err)
		}
		p.templates[v] = t
	}
	return p, nil
}

// draft lays out the mail of one language. Content slots come after the
// header's own.
func (p *prepared) draft(c campaign.Campaign, v *campaign.CompiledVariant) mailer.Draft {
	d := mailer.Draft{
		FromName: c.Content.FromName, FromAddress: c.Content.FromAddress, ReplyTo: c.Content.ReplyTo,
		Subject: segments(v.Subject), Text: segments(v.Text), HTML: segments(v.HTML),
	}
	list := c.TypeKey
	if list == "" {
		list = "all"
	}
	d.Headers = append(d.Headers,
		// RFC 2919: who files by list sees one list for each type.
		mailer.Header{Name: "List-Id", Value: []mailer.Segment{mailer.Static(fmt.Sprintf("<%s.%s>", list, p.messageDomain))}},
		mailer.Header{Name: "Feedback-ID", Value: []mailer.Segment{
			mailer.Static(fmt.Sprintf("c%d:%s:%s:jatak", c.ID, list, c.Class))}})
	if c.Class == gating.Service {
		return d // nobody can unsubscribe from what they must get
	}
	// RFC 8058: one HTTPS URI that withdraws on a POST without anything else.
	unsubscribe := []mailer.Segment{mailer.Static("<" + p.publicURL + "/u/"), mailer.Slot(oneClickSlot), mailer.Static(">")}
	if p.unsubscribeBox != "" {
		unsubscribe = append(unsubscribe, mailer.Static(", <mailto:"+p.unsubscribeBox+"?subject="), mailer.Slot(unsubscribeMailSlot), mailer.Static(">"))
	}
	d.Headers = append(d.Headers,
		mailer.Header{Name: "List-Unsubscribe", Value: unsubscribe},
		mailer.Header{Name: "List-Unsubscribe-Post", Value: []mailer.Segment{mailer.Static("List-Unsubscribe=One-Click")}})
	return d
}

func segments(from []campaign.Segment) []mailer.Segment {
	to := make([]mailer.Segment, len(from))
	for i, s := range from {
		if s.Slot < 0 {
			to[i] = mailer.Static(s.Static)
		} else {
			to[i] = mailer.Slot(headerSlots + s.Slot)
		}
	}
	return to
}

// returnPath is the MAIL FROM of a recipient's mail, by which its bounce is known.
func (p *prepared) returnPath(r contact.ID) string {
	if p.bounceAddress == "" {
		return p.envelopeFrom
	}
	if p.inert {
		return p.bounceAddress
	}
	return p.keys.ReturnPath(p.bounceAddress, int64(r), int64(p.id))
}

// render appends a recipient's copy to dst.
func (p *prepared) render(dst []byte, r contact.Recipient, now time.Time) []byte {
	v := p.content.For(r.Language)
	withdraw, manage := "test", p.publicURL+"/"
	if !p.inert {
		withdraw = p.keys.Withdraw(int64(r.ID), int64(p.id), int64(p.subscriptionType.ID), string(r.Address))
		manage = p.publicURL + "/m/" + p.keys.Manage(int64(r.ID), int64(p.id), p.linksExpire)
	}
	messageID := p.messageID
	if messageID == "" {
		messageID = campaign.MessageID(p.id, r.ID, p.messageDomain)
	}
	slots := make([]string, headerSlots, headerSlots+8)
	slots[oneClickSlot], slots[unsubscribeMailSlot] = withdraw, withdraw
	slots = v.Values(slots, campaign.Recipient{
		FirstName: r.FirstName, LastName: r.LastName, Email: string(r.Address), Company: r.Company,
		ManageURL: manage,
	})
	return p.templates[v].Append(dst, mailer.Values{
		ToName: r.Name(), ToAddress: string(r.Address),
		MessageID: messageID, Date: now, Slots: slots,
	})
}
