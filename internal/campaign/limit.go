package campaign

import (
	"fmt"
	"hash/fnv"
	"math"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/jatak-mail/jatak/internal/contact"
)

// Lane is where a mail goes, as pacing sees it: a hash of the recipient's domain,
// so that the ledger need not hold the domain itself. Two domains of one lane
// share a limit, which is rare and harmless.
type Lane int32

// LaneOf returns the lane of a domain in its normal form.
func LaneOf(domain string) Lane {
	h := fnv.New32a()
	_, _ = h.Write([]byte(domain)) // never fails
	return Lane(h.Sum32())
}

// LimitKind is what a limit is for.
type LimitKind string

// The kinds of limits.
const (
	RelayLimit       LimitKind = "relay"
	DestinationLimit LimitKind = "destination"
)

// Limit bounds mails to a destination or through a relay, for all workers
// together.
type Limit struct {
	Kind LimitKind
	// Name is a relay's host and port, a provider such as outlook, or a domain.
	Name string
	// Domains are the destination's; none stands for the provider's own, or for
	// the domain that is the name.
	Domains     []string
	PerSecond   float64 // 0: no bound
	Connections int     // at once; to a destination: mails under way at once; 0: no bound
	WarmUp      WarmUp
}

// WarmUp is how a new sender earns its name: so many mails on the first day, and
// each day by so much more, until the limit's own rate is reached. The zero value
// is none.
type WarmUp struct {
	From   time.Time // the first day
	First  int       // mails of the first day
	Growth float64   // a day's mails by those of the day before, above 1
}

// mostRate is where a warm-up without a rate of its own ends, in mails a second.
const mostRate = 1000

// Rate returns the bound at a time in mails a second; 0 is none.
func (l Limit) Rate(now time.Time) float64 {
	w := l.WarmUp
	if w.First == 0 {
		return l.PerSecond
	}
	day := max(0, math.Floor(now.Sub(w.From).Hours()/24))
	rate := float64(w.First) * math.Pow(w.Growth, day) / (24 * 60 * 60)
	switch {
	case l.PerSecond > 0:
		return min(rate, l.PerSecond)
	case rate >= mostRate:
		return 0
	}
	return rate
}

// mostWarmUpDays is when a warm-up is said to end that hardly grows.
const mostWarmUpDays = 36_500

// WarmUpEnds returns the first day on which the warm-up slows nothing down; zero
// when there is none.
func (l Limit) WarmUpEnds() time.Time {
	w := l.WarmUp
	if w.First == 0 {
		return time.Time{}
	}
	full := l.PerSecond
	if full == 0 {
		full = mostRate
	}
	days := math.Ceil(math.Log(full*24*60*60/float64(w.First))/math.Log(w.Growth) - 1e-9)
	return w.From.AddDate(0, 0, int(min(max(days, 0), mostWarmUpDays)))
}

// Lanes returns the lanes of a destination's limit.
func (l Limit) Lanes() []Lane {
	domains := l.Domains
	if len(domains) == 0 {
		if domains = providers()[l.Name]; domains == nil {
			domains = []string{l.Name}
		}
	}
	lanes := make([]Lane, len(domains))
	for i, d := range domains {
		if normal, err := contact.ParseAddress("x@" + d); err == nil {
			d = normal.Domain() // blåbær.dk is xn--... in addresses
		}
		lanes[i] = LaneOf(d)
	}
	return lanes
}

// providers are the domains that a large provider keeps mailboxes under. What
// one of them thinks of us holds for all.
func providers() map[string][]string {
	return map[string][]string{
		"gmail": {"gmail.com", "googlemail.com"},
		"outlook": {"outlook.com", "outlook.dk", "outlook.de", "outlook.fr", "outlook.es", "outlook.it", "hotmail.com", "hotmail.dk",
			"hotmail.se", "hotmail.no", "hotmail.de", "hotmail.fr", "hotmail.it", "hotmail.es", "hotmail.co.uk", "live.com", "live.dk",
			"live.se", "live.no", "live.nl", "live.de", "live.fr", "live.co.uk", "msn.com"},
		"yahoo":  {"yahoo.com", "yahoo.dk", "yahoo.se", "yahoo.no", "yahoo.de", "yahoo.fr", "yahoo.it", "yahoo.es", "yahoo.co.uk", "ymail.com", "rocketmail.com", "aol.com"},
		"icloud": {"icloud.com", "me.com", "mac.com"},
	}
}

// ProviderDomains maps the domains that large providers keep mailboxes under to
// the provider's name.
func ProviderDomains() map[string]string {
	names := map[string]string{}
	for name, domains := range providers() {
		for _, d := range domains {
			names[d] = name
		}
	}
	return names
}

// DomainsOf returns the domains of a destination, which is a provider or one
// domain.
func DomainsOf(destination string) []string {
	if domains := providers()[destination]; domains != nil {
		return domains
	}
	return []string{destination}
}

// Destinations returns the name that pacing knows each lane by: that of a limit,
// or of the provider. Lanes that are not in it stand alone.
func (l Limits) Destinations() map[Lane]string {
	names := map[Lane]string{}
	for domain, name := range ProviderDomains() {
		names[LaneOf(domain)] = name
	}
	for _, limit := range l.Limited {
		for _, lane := range limit.Lanes() {
			names[lane] = limit.Name
		}
	}
	return names
}

// Providers lists the names of the provider groups.
func Providers() []string {
	var names []string
	for name := range providers() {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

var domainName = regexp.MustCompile(`^[\p{L}\p{N}]([\p{L}\p{N}-]*[\p{L}\p{N}])?(\.[\p{L}\p{N}]([\p{L}\p{N}-]*[\p{L}\p{N}])?)+$`)

// relayName is a host, or an IPv6 address in brackets, with a port; or a socket.
var relayName = regexp.MustCompile(`^(\[[0-9a-fA-F:]+\]|[^:\[\]]+):[0-9]{1,5}$|^/`)

// Bounds of a limit.
const (
	mostLimitName   = 253 // RFC 1035 section 2.3.4
	mostDomains     = 1000
	mostAtOnce      = 10_000
	mostWarmUpFirst = 10_000_000
)

// LimitError says what is wrong with a limit, and what to write instead.
type LimitError struct {
	Problem LimitProblem
	Value   string // what was written, where the problem is about one of several
	says    string
}

func (e *LimitError) Error() string { return e.says }

// LimitProblem is what is wrong with a limit.
type LimitProblem string

// The problems.
const (
	LimitKindUnknown      LimitProblem = "kind"
	LimitNameWrong        LimitProblem = "name"
	LimitRelayWrong       LimitProblem = "relay"         // the name is no host and port
	LimitRelayWithDomains LimitProblem = "relay_domains" // only destinations have domains
	LimitDomainsMany      LimitProblem = "domains_many"
	LimitDomainsMissing   LimitProblem = "domains" // of a name that stands for none
	LimitDomainWrong      LimitProblem = "domain"
	LimitPaceWrong        LimitProblem = "pace"
	LimitAtOnceWrong      LimitProblem = "connections"
	LimitBoundsNothing    LimitProblem = "nothing"
	LimitFirstWrong       LimitProblem = "first" // of the warm-up, like those below
	LimitGrowthWrong      LimitProblem = "growth"
	LimitFromWrong        LimitProblem = "from"
)

func wrongLimit(problem LimitProblem, value, format string, args ...any) error {
	return &LimitError{problem, value, fmt.Sprintf(format, args...)}
}

// Validate returns what is wrong with a limit, a LimitError, or nil.
func (l Limit) Validate() error {
	switch {
	case l.Kind != RelayLimit && l.Kind != DestinationLimit:
		return wrongLimit(LimitKindUnknown, "", "a limit is for a %s or a %s, not %q", RelayLimit, DestinationLimit, l.Kind)
	case l.Name == "" || len(l.Name) > mostLimitName || !utf8.ValidString(l.Name) || strings.ContainsAny(l.Name, " \t\r\n\x00{}"):
		return wrongLimit(LimitNameWrong, "", "%q is no name of a limit; write outlook, example.org, or a relay as mail.example.org:587", l.Name)
	case l.Kind == RelayLimit && len(l.Domains) > 0:
		return wrongLimit(LimitRelayWithDomains, "", "the limit of a relay has no domains; remove them, or make it the limit of a destination")
	case len(l.Domains) > mostDomains:
		return wrongLimit(LimitDomainsMany, "", "a limit has at most %d domains, not %d", mostDomains, len(l.Domains))
	case l.PerSecond < 0 || math.IsNaN(l.PerSecond) || math.IsInf(l.PerSecond, 0):
		return wrongLimit(LimitPaceWrong, "", "the pace of a limit cannot be %v", l.PerSecond)
	case l.Connections < 0 || l.Connections > mostAtOnce:
		return wrongLimit(LimitAtOnceWrong, "", "the connections are a number from 1 to %d, not %d", mostAtOnce, l.Connections)
	case l.PerSecond == 0 && l.Connections == 0 && l.WarmUp.First == 0:
		return wrongLimit(LimitBoundsNothing, "", "the limit bounds nothing; give a pace, connections or a warm-up")
	}
	if l.Kind == RelayLimit {
		if !relayName.MatchString(l.Name) {
			return wrongLimit(LimitRelayWrong, l.Name, "%q is no relay; write host and port, such as mail.example.org:587", l.Name)
		}
	} else if len(l.Domains) == 0 && providers()[l.Name] == nil && !domainName.MatchString(l.Name) {
		return wrongLimit(LimitDomainsMissing, l.Name, "%q is neither a domain nor one of %s; name the domains that it is for", l.Name, strings.Join(Providers(), ", "))
	}
	for _, d := range l.Domains {
		if len(d) > mostLimitName || !domainName.MatchString(d) {
			return wrongLimit(LimitDomainWrong, d, "%q is no domain; write one like example.org", d)
		}
	}
	return l.WarmUp.validate()
}

func (w WarmUp) validate() error {
	switch {
	case w == WarmUp{}:
		return nil
	case w.First < 1 || w.First > mostWarmUpFirst:
		return wrongLimit(LimitFirstWrong, "", "a warm-up begins with 1 to %d mails a day, not %d", mostWarmUpFirst, w.First)
	case !(w.Growth > 1 && w.Growth <= 10):
		return wrongLimit(LimitGrowthWrong, "", "a warm-up grows each day by a factor above 1 and at most 10, not %v", w.Growth)
	case w.From.IsZero():
		return wrongLimit(LimitFromWrong, "", "a warm-up needs its first day; write one like 2026-12-01")
	}
	return nil
}

// Limits bound sending. Paces are in mails a second; 0 is no bound.
type Limits struct {
	Now              time.Time       // by the database's clock
	All              float64         // of all campaigns together
	Active           map[ID]Activity // the campaigns that are planned or sent now
	FailurePercent   int             // of failures that pauses a campaign; 0: none does
	ComplaintPercent float64         // of complaints that does
	Relays           map[string]Limit
	Limited          []Limit // destinations
}

// Activity is a campaign under way.
type Activity struct {
	Pace     float64 // mails a second; 0: no bound of its own
	Priority Priority
	Resumed  int // how often it was let go on
}
