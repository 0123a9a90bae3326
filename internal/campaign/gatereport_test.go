package campaign_test

import (
	"testing"

	"github.com/jatak-mail/jatak/gating"
	"github.com/jatak-mail/jatak/internal/campaign"
	"github.com/jatak-mail/jatak/internal/contact"
)

// An override lets through whom nothing but E-marketing privacy holds back, and
// nobody twice.
func TestTheReportSaysWhomAnOverrideLetsThrough(t *testing.T) {
	t.Parallel()
	yes := gating.Consent{Basis: gating.BasisConsent, Event: 1}
	no := gating.Consent{Basis: gating.BasisWithdrawn, Event: 2}
	report := campaign.NewGateReport(campaign.Campaign{Class: gating.Marketing}, gating.Policy{})
	for i, c := range []struct {
		address contact.Address
		consent gating.Consent
		lifted  bool
	}{
		{"a@example.org", yes, true},
		{"b@example.org", gating.Consent{}, true},
		{"b@example.org", gating.Consent{}, false}, // the same address
		{"b@example.org", yes, false},              // with a consent, and already lifted
		{"a@example.org", gating.Consent{}, false}, // gets it as it is
		{"c@example.org", no, false},
		// A store need not tell the address of who shares it with nobody.
		{"", gating.Consent{}, true},
		{"", gating.Consent{}, true},
	} {
		r := contact.Recipient{Facts: gating.Facts{AddressValid: true, Emarketing: c.consent}}
		r.Address = c.address
		if _, _, lifted := report.Add(r); lifted != c.lifted {
			t.Errorf("with an override, number %d is mailed: %t", i, lifted)
		}
	}
	if report.SendOn != 2 || report.SendLifted != 4 || report.Lifted[gating.NoConsent] != 3 || len(report.Lifted) != 1 {
		t.Errorf("%d are mailed, %d with an override, which lifts %v", report.SendOn, report.SendLifted, report.Lifted)
	}
}
