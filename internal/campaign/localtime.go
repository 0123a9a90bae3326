package campaign

import (
	"fmt"
	"time"

	"github.com/jatak-mail/jatak/internal/contact"
)

// LocalTime is a time of day on a date, wherever one is. The zero value is none.
type LocalTime struct {
	Clock time.Time // in UTC, whatever the place
	Zone  string    // IANA name; of recipients whose own zone is not known
}

// NewLocalTime reads a time such as 2026-12-01 09:00.
func NewLocalTime(text, zone string) (LocalTime, error) {
	if !contact.IsZone(zone) {
		return LocalTime{}, fmt.Errorf("%q is no IANA time zone; write one like Europe/Copenhagen", zone)
	}
	for _, layout := range []string{"2006-01-02 15:04", "2006-01-02T15:04"} {
		if clock, err := time.Parse(layout, text); err == nil {
			return LocalTime{clock, zone}, nil
		}
	}
	return LocalTime{}, fmt.Errorf("%q is no time of day; write one like 2026-12-01 09:00", text)
}

// IsZero reports whether there is none.
func (l LocalTime) IsZero() bool { return l.Clock.IsZero() }

// earliest is the zone in which a day begins first (UTC+14).
const earliest = 14 * time.Hour

// First returns when it is that time anywhere on Earth.
func (l LocalTime) First() time.Time { return l.Clock.Add(-earliest) }

// In returns when it is that time in a zone; in the default one when the zone is
// empty or nobody knows it. A time that clocks leave out in spring is that of an
// hour later, as package time has it.
func (l LocalTime) In(zone string) time.Time {
	if !contact.IsZone(zone) {
		zone = l.Zone
	}
	location, err := time.LoadLocation(zone)
	if err != nil {
		location = time.UTC // NewLocalTime has seen the zone: it was taken off the list since
	}
	c := l.Clock
	return time.Date(c.Year(), c.Month(), c.Day(), c.Hour(), c.Minute(), 0, 0, location)
}
