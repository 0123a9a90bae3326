package contact_test

import (
	"slices"
	"testing"

	"github.com/jatak-mail/jatak/internal/contact"
)

func TestEveryTimeZoneToChooseIsOne(t *testing.T) {
	t.Parallel()
	zones := contact.Zones()
	if len(zones) < 400 || !slices.Contains(zones, "Europe/Copenhagen") {
		t.Errorf("%d zones", len(zones))
	}
	for _, zone := range zones {
		if !contact.IsZone(zone) {
			t.Errorf("%q is no time zone", zone)
		}
	}
}
