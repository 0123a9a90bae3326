package contact

import (
	"errors"
	"testing"
	"time"

	"github.com/jatak-mail/jatak/gating"
)

func TestNextBasis(t *testing.T) {
	t.Parallel()
	const (
		none      = gating.BasisNone
		consent   = gating.BasisConsent
		interest  = gating.BasisLegitimateInterest
		withdrawn = gating.BasisWithdrawn
		page      = gating.SourceManagePage
		user      = gating.SourceUser
		click     = gating.SourceOneClick
		unknown   = gating.SourceUnknown
	)
	for _, test := range []struct {
		name    string
		current gating.LegalBasis
		by      gating.Source // of a withdrawal
		source  gating.Source
		on      bool
		next    gating.LegalBasis
		changed bool
		err     error
	}{
		{"the contact says yes", none, "", page, true, consent, true, nil},
		{"the contact confirms another basis", interest, "", page, true, consent, true, nil},
		{"the contact says yes twice", consent, "", page, true, consent, false, nil},
		{"the contact takes a withdrawal back", withdrawn, click, page, true, consent, true, nil},
		{"the contact lifts No mailings", withdrawn, unknown, page, true, consent, true, nil},
		{"the contact stops", consent, "", page, false, withdrawn, true, nil},
		{"one click", interest, "", click, false, withdrawn, true, nil},
		{"one click of who was never asked", none, "", click, false, withdrawn, true, nil},
		{"one click twice", withdrawn, click, click, false, withdrawn, false, nil},
		{"a user switches it on", none, "", user, true, interest, true, nil},
		{"a user finds it on", consent, "", user, true, consent, false, nil},
		{"a user withdraws", consent, "", user, false, withdrawn, true, nil},
		{"a user reverses a user", withdrawn, user, user, true, interest, true, nil},
		{"a user cannot reverse the contact", withdrawn, page, user, true, withdrawn, false, ErrNotTheirs},
		{"a user cannot reverse one click", withdrawn, click, user, true, withdrawn, false, ErrNotTheirs},
		{"a user cannot reverse an unknown hand", withdrawn, unknown, user, true, withdrawn, false, ErrNotTheirs},
		{"one click never raises", withdrawn, user, click, true, withdrawn, false, ErrNotTheirs},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			next, changed, err := NextBasis(gating.Consent{Basis: test.current}, test.by, test.source, test.on)
			if next != test.next || changed != test.changed || !errors.Is(err, test.err) {
				t.Errorf("NextBasis = %q, %v, %v; want %q, %v, %v", next, changed, err, test.next, test.changed, test.err)
			}
		})
	}
}

// Each thing that an event says changes its hash, and so does what came before.
func TestChainCoversEverything(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	plain := Link{Event: Event{Contact: 1, Purpose: gating.PurposeEmarketing, To: gating.BasisConsent, Source: gating.SourceUser, Actor: "a", At: at}}
	seen := map[string]string{string(plain.Chain(nil)): "the plain event", string(plain.Chain([]byte("before"))): "another event before"}
	for name, change := range map[string]func(*Link){
		"contact":  func(l *Link) { l.Contact = 2 },
		"purpose":  func(l *Link) { l.Purpose = gating.PurposeStore },
		"from":     func(l *Link) { l.From = gating.BasisWithdrawn },
		"to":       func(l *Link) { l.To = gating.BasisWithdrawn },
		"expiry":   func(l *Link) { l.Expires = at },
		"source":   func(l *Link) { l.Source = gating.SourceImport },
		"wording":  func(l *Link) { l.WordingHash = []byte{1} },
		"locale":   func(l *Link) { l.Locale = "da" },
		"campaign": func(l *Link) { l.Campaign = 7 },
		"address":  func(l *Link) { l.AddressDigest = []byte{1} },
		"comment":  func(l *Link) { l.CommentDigest = []byte{1} },
		"time":     func(l *Link) { l.At = at.Add(time.Microsecond) },
		"actor":    func(l *Link) { l.Actor = "b" },
	} {
		l := plain
		change(&l)
		hash := string(l.Chain(nil))
		if other, taken := seen[hash]; taken {
			t.Errorf("another %s gives the hash of %s", name, other)
		}
		seen[hash] = "another " + name
	}
}
