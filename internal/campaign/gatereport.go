package campaign

import (
	"github.com/jatak-mail/jatak/gating"
	"github.com/jatak-mail/jatak/internal/contact"
)

// GateReport counts what the gate would say now about an audience, with
// E-marketing privacy off and on, by reason.
type GateReport struct {
	Off      map[gating.Reason]int64 `json:"off"`
	On       map[gating.Reason]int64 `json:"on"`
	SendOff  int64                   `json:"send_off"`
	SendOn   int64                   `json:"send_on"`
	Audience int64                   `json:"audience"`
	// Lifted are those whom an override would let through while privacy is on, by
	// the reason that holds them back; SendLifted is all who would be mailed then.
	Lifted     map[gating.Reason]int64 `json:"lifted"`
	SendLifted int64                   `json:"send_lifted"`

	off, on               gating.Policy
	plannedOff, plannedOn map[contact.Address]bool
	plannedLifted         map[contact.Address]bool // beside those of plannedOn
}

// NewGateReport returns a report for a campaign under the tenant's policy.
func NewGateReport(c Campaign, policy gating.Policy) *GateReport {
	policy.Class, policy.Type = c.Class, c.Type
	g := &GateReport{
		Off: map[gating.Reason]int64{}, On: map[gating.Reason]int64{}, Lifted: map[gating.Reason]int64{}, off: policy, on: policy,
		plannedOff: map[contact.Address]bool{}, plannedOn: map[contact.Address]bool{}, plannedLifted: map[contact.Address]bool{},
	}
	g.off.Privacy, g.on.Privacy = false, true
	return g
}

// Add asks the gate about one person, in the order of planning, and returns what
// it says with privacy off and on, and whether the person would be mailed with
// privacy on and an override.
func (g *GateReport) Add(r contact.Recipient) (off, on gating.Verdict, lifted bool) {
	g.Audience++
	off = count(r, g.off, g.plannedOff, g.Off, &g.SendOff)
	on = count(r, g.on, g.plannedOn, g.On, &g.SendOn)
	return off, on, g.lift(r, on)
}

// lift asks what an override would change about somebody. Nothing, unless it
// lifts what holds them back; or somebody with the address was lifted before.
func (g *GateReport) lift(r contact.Recipient, on gating.Verdict) bool {
	twin := g.plannedLifted[r.Address]
	if on.Send {
		if !twin {
			g.SendLifted++
		}
		return !twin
	}
	if !on.Reason.Liftable() {
		return false
	}
	r.Facts.Duplicate = twin || g.plannedOn[r.Address]
	policy := g.on
	policy.Override = true
	if !gating.Decide(r.Facts, policy).Send {
		return false
	}
	g.Lifted[on.Reason]++
	g.SendLifted++
	if r.Address != "" {
		g.plannedLifted[r.Address] = true
	}
	return true
}

// count asks the gate about one person and counts what it says.
func count(r contact.Recipient, p gating.Policy, planned map[contact.Address]bool, by map[gating.Reason]int64, sends *int64) gating.Verdict {
	r.Facts.Duplicate = planned[r.Address]
	v := gating.Decide(r.Facts, p)
	by[v.Reason]++
	if !v.Send {
		return v
	}
	*sends++
	if r.Address != "" {
		planned[r.Address] = true
	}
	return v
}

// LedgerMark is how far the ledgers had come at a moment, for telling whether a
// gate report still holds.
type LedgerMark struct {
	Contacts, Consents, Choices int64 // the newest of each
	Lines                       int64 // of all lists together
}
