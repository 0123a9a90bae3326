package worker

import (
	"context"
	"time"

	"github.com/jatak-mail/jatak/gating"
	"github.com/jatak-mail/jatak/internal/campaign"
	"github.com/jatak-mail/jatak/internal/contact"
)

// Store is the ledger as the worker needs it.
type Store interface {
	Campaign(ctx context.Context, id campaign.ID) (campaign.Campaign, error)
	// PlanChunk plans the next contacts, and returns the batches that are to be
	// sent now; done says that none was left and the campaign is planned.
	PlanChunk(ctx context.Context, id campaign.ID, limit int, now time.Time,
		decide func(gating.Facts, gating.Policy) gating.Verdict) (due []int, done bool, err error)
	// Visit notes that a batch is being worked on; it reports false when it is closed,
	// or was visited since the bell was rung, unless again.
	Visit(ctx context.Context, b campaign.BatchID, again bool) (visits int, open bool, err error)
	Claim(ctx context.Context, r campaign.ClaimRequest) (gating.Policy, []campaign.Claimed, error)
	// Reconsider returns what the gate decides on, once more, about a contact of the
	// claim's batch; still is false when the row is not the worker's, or the campaign
	// not under way.
	Reconsider(ctx context.Context, r campaign.ClaimRequest, who contact.ID) (policy gating.Policy, facts gating.Facts, still bool, err error)
	// Unclaim gives back what a claim that ended with campaign.ErrUnheard has taken.
	Unclaim(ctx context.Context, r campaign.ClaimRequest) (int64, error)
	DueLanes(ctx context.Context, id campaign.ID, batch int, lanes []campaign.Lane) ([]campaign.Lane, error)
	Record(ctx context.Context, outcomes []campaign.Outcome) error
	Release(ctx context.Context, r campaign.ClaimRequest, contacts []contact.ID) error
	CloseBatch(ctx context.Context, id campaign.ID, batch int, now time.Time) (finished bool, err error)
	Finish(ctx context.Context, id campaign.ID, now time.Time) (finished bool, err error)
	// KeepNextAccount makes one account that is not kept, and returns whose; 0 for none.
	KeepNextAccount(ctx context.Context, now time.Time) (campaign.ID, error)
	Limits(ctx context.Context) (campaign.Limits, error)
	Pause(ctx context.Context, id campaign.ID, reason string) error
	PauseFailing(ctx context.Context, id campaign.ID, resumed int, reason string) (paused bool, err error)
	// Complaints counts those of campaigns under way that have so many at least.
	Complaints(ctx context.Context, least int) ([]campaign.Complaints, error)
	Rules(ctx context.Context) (contact.Rules, error)
	ClaimNotices(ctx context.Context, limit int, now, retryAt time.Time) (gating.Policy, []contact.Notice, error)
	RecordNotice(ctx context.Context, o contact.NoticeOutcome) error
	NoticesDue(ctx context.Context, now time.Time) (bool, error)
	TestMailsDue(ctx context.Context, now time.Time) (bool, error)
	ClaimTestMail(ctx context.Context, now, retryAt time.Time) (m campaign.TestMail, claimed bool, err error)
	AddressFacts(ctx context.Context, address contact.Address, digest []byte) (gating.Facts, error)
	RecordTestMail(ctx context.Context, o campaign.TestMailOutcome) error
	ForgetTestMails(ctx context.Context, before time.Time) (int64, error)
	ForgetSignUps(ctx context.Context, now time.Time) (int64, error)
	Sweep(ctx context.Context, resend bool, now time.Time, patience time.Duration, most int) (s campaign.Sweep, ran bool, err error)
	StartWorker(ctx context.Context, name string, lease time.Duration) (id int64, err error)
	RenewLease(ctx context.Context, worker int64, lease time.Duration) (kept bool, err error)
	DescribeWorker(ctx context.Context, worker int64, about campaign.About) error
	TakeRelayTest(ctx context.Context, relays []string, now time.Time) (t campaign.RelayTest, ok bool, err error)
	RecordRelayTest(ctx context.Context, t campaign.RelayTest) error
	StopWorker(ctx context.Context, worker int64) error
}

// Bell asks for work to be done.
type Bell interface {
	RingPlan(ctx context.Context, id campaign.ID, epoch time.Time) error
	RingNotices(ctx context.Context, epoch time.Time) error
	RingSend(ctx context.Context, b campaign.BatchID) error
}
