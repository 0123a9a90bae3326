package worker

import (
	"slices"
	"sync"

	"github.com/jatak-mail/jatak/internal/campaign"
)

// waiters sees to it that one task at most waits for the pace of a campaign: one
// takes all the tokens there are, and the slots of the others are for other mail.
// The batches that have to wait are known to this process alone: the sweep rings
// again for what dies with it.
type waiters struct {
	mu         sync.Mutex
	byCampaign map[campaign.ID]*waiter
}

type waiter struct {
	batch  int                // the one whose task waits, or nobody
	behind []campaign.BatchID // those to be rung for afterwards
}

// nobody is no batch.
const nobody = -1

// mayWait reports whether the task of a batch is the one that waits; otherwise the
// batch is put behind that one.
func (s *waiters) mayWait(b campaign.BatchID) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	of := s.byCampaign[b.Campaign]
	if of == nil {
		of = &waiter{batch: nobody}
		s.byCampaign[b.Campaign] = of
	}
	of.behind = slices.DeleteFunc(of.behind, func(old campaign.BatchID) bool { return old.Batch == b.Batch })
	if of.batch == nobody {
		of.batch = b.Batch
	}
	if of.batch != b.Batch {
		of.behind = append(of.behind, b)
		return false
	}
	return true
}

// done ends the visit of a batch, and returns those to ring for: the next one, or
// all when the visit did not have to wait. With more, the batch itself is the next.
func (s *waiters) done(b campaign.BatchID, more bool) (next []campaign.BatchID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	of := s.byCampaign[b.Campaign]
	switch {
	case of == nil:
		return nil
	case of.batch == nobody:
		next, of.behind = of.behind, nil
	case of.batch != b.Batch:
		return nil
	case !more && len(of.behind) > 0:
		next, of.behind = of.behind[:1:1], of.behind[1:]
	}
	of.batch = nobody
	if len(of.behind) == 0 {
		delete(s.byCampaign, b.Campaign)
	}
	return next
}

// forget forgets a campaign that was stopped: whoever resumes it has its batches
// rung for.
func (s *waiters) forget(id campaign.ID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.byCampaign, id)
}
