package campaign

import (
	"fmt"

	"github.com/jatak-mail/jatak/gating"
)

// Report is a campaign's books: what became of everyone in its audience.
type Report struct {
	Campaign  ID                      `json:"campaign"`
	Audience  int64                   `json:"audience"`
	Pending   int64                   `json:"pending"`
	Sending   int64                   `json:"sending"`
	Sent      int64                   `json:"sent"`
	Deferred  int64                   `json:"deferred"`
	Failed    int64                   `json:"failed"`
	InDoubt   int64                   `json:"in_doubt"`
	Cancelled int64                   `json:"cancelled"`
	Blocked   map[gating.Reason]int64 `json:"blocked"`
}

// Add books n recipients in a state; the reason is that of a block.
func (r *Report) Add(state DeliveryState, reason gating.Reason, n int64) error {
	switch state {
	case Pending:
		r.Pending += n
	case Sending:
		r.Sending += n
	case Sent:
		r.Sent += n
	case Deferred:
		r.Deferred += n
	case Failed:
		r.Failed += n
	case InDoubt:
		r.InDoubt += n
	case Cancelled:
		r.Cancelled += n
	case Blocked:
		if r.Blocked == nil {
			r.Blocked = map[gating.Reason]int64{}
		}
		r.Blocked[reason] += n
	default:
		return fmt.Errorf("there is no delivery state %q", state)
	}
	return nil
}

// BlockedTotal is how many were kept back, for whatever reason.
func (r Report) BlockedTotal() (n int64) {
	for _, count := range r.Blocked {
		n += count
	}
	return n
}

// Open is how many are still to be sent or being sent.
func (r Report) Open() int64 { return r.Pending + r.Sending + r.Deferred }

// Balanced returns nil when the audience is the sum of all outcomes, and
// otherwise an error that says by how much it is not.
func (r Report) Balanced() error {
	sum := r.Open() + r.Sent + r.Failed + r.InDoubt + r.Cancelled + r.BlockedTotal()
	if sum != r.Audience {
		return fmt.Errorf("the books do not balance: the audience is %d and the outcomes are %d", r.Audience, sum)
	}
	return nil
}
