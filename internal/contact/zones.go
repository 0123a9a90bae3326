package contact

import (
	_ "embed"
	"strings"
)

// zones is a name on a line: those of the IANA list's zone.tab, which has one or
// more for each country.
//
//go:embed zones.txt
var zones string

// Zones lists the time zones to choose from, sorted. IsZone knows more: old
// names, and those of no country.
func Zones() []string { return append(strings.Fields(zones), "UTC") }
