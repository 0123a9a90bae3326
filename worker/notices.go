package worker

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/hibiken/asynq"

	"github.com/jatak-mail/jatak/gating"
	"github.com/jatak-mail/jatak/internal/contact"
	"github.com/jatak-mail/jatak/internal/mailer"
	"github.com/jatak-mail/jatak/templates"
)

const (
	// noticeChunk is how many notices are claimed at once.
	noticeChunk = 50
	// noticeLease is how long a notice that was claimed is left alone: after it,
	// its worker must have died.
	noticeLease = 10 * time.Minute
)

// personal sends the mails for which one person waits.
func (w *Worker) personal(ctx context.Context, _ *asynq.Task) error {
	ctx, cancel := context.WithTimeout(ctx, noticeLease) // what it has claimed is another's then
	defer cancel()
	return errors.Join(w.testMails(ctx), w.notices(ctx))
}

// notices sends the mails that go to one person outside of campaigns: the
// confirmation of a sign-up, a fresh link, "you were added".
func (w *Worker) notices(ctx context.Context) error {
	for !w.isStopping() {
		rules, err := w.Store.Rules(ctx)
		if err != nil || rules.SenderAddress == "" {
			return err // they wait until the tenant says who they are from
		}
		route, err := w.Pool.Ready(ctx, rules.SenderAddress.Domain())
		if err != nil {
			return err
		}
		now := w.clock.now()
		policy, claimed, err := w.Store.ClaimNotices(ctx, noticeChunk, now, now.Add(noticeLease))
		if err != nil || len(claimed) == 0 {
			return err
		}
		for _, n := range claimed {
			if err := w.notice(ctx, n, policy, rules, route); err != nil {
				return fmt.Errorf("notice %d: %w", n.ID, err)
			}
		}
	}
	return nil
}

// notice sends one, if the gate lets it: as a service notice, it goes to
// everybody who can and may be reached at all.
func (w *Worker) notice(ctx context.Context, n contact.Notice, policy gating.Policy, rules contact.Rules, route *mailer.Route) error {
	o := contact.NoticeOutcome{ID: n.ID, State: "blocked", At: w.clock.now()}
	v := gating.Decide(n.Facts, policy)
	o.Reason = v.Reason
	if !v.Send {
		return w.Store.RecordNotice(ctx, o)
	}
	mail, err := w.renderNotice(ctx, n, rules)
	if err != nil {
		return err
	}
	replies := make(chan mailer.Outcome, 1)
	mail.Route = route
	mail.Done = func(reply mailer.Outcome) { replies <- reply }
	if err := w.Pool.Submit(ctx, mail); err != nil {
		o.State, o.Reply, o.Due = "pending", err.Error(), w.clock.now()
		return w.Store.RecordNotice(ctx, o)
	}
	reply := <-replies
	o.At, o.Reply = w.clock.now(), fmt.Sprintf("%d %s", reply.Code, reply.Text)
	switch {
	case reply.Kind == mailer.Accepted:
		o.State = "sent"
	case reply.Kind == mailer.Refused, reply.Kind != mailer.Unsent && n.Attempts >= w.MaxAttempts:
		o.State = "failed"
	default:
		o.State, o.Due = "pending", o.At.Add(retryDelay(w.RetryBase, n.Attempts))
	}
	return w.Store.RecordNotice(ctx, o)
}

func (w *Worker) renderNotice(ctx context.Context, n contact.Notice, rules contact.Rules) (*mailer.Mail, error) {
	days := 0
	link := w.PublicURL + "/m/" + w.Keys.Manage(int64(n.Recipient.ID), 0, w.clock.now().Add(w.ManageLinkLife))
	if n.Kind == contact.NoticeConfirm {
		link = w.PublicURL + "/c/" + w.Keys.Confirm(int64(n.Recipient.ID), n.SignUp, n.Expires)
		days = int(math.Ceil(n.Expires.Sub(w.clock.now()).Hours() / 24))
	}
	sender := rules.SenderName
	if sender == "" {
		sender = rules.SenderAddress.Domain()
	}
	words := w.Words(ctx)
	subject, text, html, err := words.Notice(templates.NoticeMail{
		Kind: string(n.Kind), Language: words.Match(n.Locale, n.Language), Sender: sender, PostalAddress: rules.PostalAddress,
		ToName: n.FirstName, Link: link, Days: days,
	})
	if err != nil {
		return nil, err
	}
	template, err := mailer.Compile(mailer.Draft{
		FromName: sender, FromAddress: string(rules.SenderAddress),
		Subject: []mailer.Segment{mailer.Static(subject)}, Text: []mailer.Segment{mailer.Static(text)}, HTML: []mailer.Segment{mailer.Static(html)},
		// RFC 3834: nobody's holiday answer is asked for.
		Headers: []mailer.Header{{Name: "Auto-Submitted", Value: []mailer.Segment{mailer.Static("auto-generated")}}},
	})
	if err != nil {
		return nil, err
	}
	from := string(rules.SenderAddress)
	if w.BounceAddress != "" {
		from = w.Keys.ReturnPath(w.BounceAddress, int64(n.Recipient.ID), 0)
	}
	now := w.clock.now()
	data, err := w.Signers.Sign(rules.SenderAddress.Domain(), template.Append(nil, mailer.Values{
		ToName: n.Name(), ToAddress: string(n.Address), MessageID: noticeMessageID(n.ID, rules.SenderAddress.Domain()), Date: now,
	}), now)
	return &mailer.Mail{From: from, To: string(n.Address), Data: data}, err
}

// noticeMessageID is the same each time a notice is sent, and shows no id.
func noticeMessageID(id int64, domain string) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "jatak notice %s %d", domain, id))
	return hex.EncodeToString(sum[:16]) + "@" + domain
}
