// Package senderdomain answers what the DNS must say of a domain that mails are
// from, and what it does say: SPF, DKIM and DMARC. It asks a resolver and
// changes nothing.
package senderdomain

import (
	"context"
	"errors"
	"net"
	"slices"
	"strings"
	"time"

	"golang.org/x/net/publicsuffix"
)

// Resolver asks the DNS; *net.Resolver does.
type Resolver interface {
	LookupTXT(ctx context.Context, name string) ([]string, error)
	LookupMX(ctx context.Context, name string) ([]*net.MX, error)
	LookupIPAddr(ctx context.Context, host string) ([]net.IPAddr, error)
	LookupAddr(ctx context.Context, addr string) ([]string, error)
}

// Kind is what a record is for.
type Kind string

// The kinds of records.
const (
	SPF   Kind = "spf"   // RFC 7208
	DKIM  Kind = "dkim"  // RFC 6376
	DMARC Kind = "dmarc" // RFC 7489
)

// State is what was found.
type State string

// The states. Those after Missing say what is wrong.
const (
	Right    State = "right"
	Missing  State = "missing"
	Unknown  State = "unknown"  // the DNS could not be asked
	Twice    State = "twice"    // there are several, and receivers take none
	Open     State = "open"     // it lets everybody send
	Other    State = "other"    // it holds another key
	Revoked  State = "revoked"  // it holds no key any more
	Policy   State = "policy"   // it states no policy
	Unsigned State = "unsigned" // no worker has a key for the domain
	// Uncovered may be right all the same: a provider's servers that take mails
	// are often not those that pass them on.
	Uncovered State = "uncovered" // it does not let the relay send
	Broken    State = "broken"    // receivers cannot evaluate it
	Lookups   State = "lookups"   // they would have to ask too much
)

// Wrong reports whether there is a record, and it must be changed.
func (s State) Wrong() bool {
	return slices.Contains([]State{Twice, Open, Other, Revoked, Policy, Broken, Lookups}, s)
}

// Done reports whether there is nothing to publish or mend, as far as the DNS can
// be asked.
func (s State) Done() bool { return s == Right || s == Unknown }

// Key is a key that mails are signed with.
type Key struct{ Selector, Record string }

// Domain is a domain that mails are from.
type Domain struct {
	Name   string
	Bounce string   // the domain of MAIL FROM, which SPF is about; "": Name
	Hosts  []string // of the relays
	Keys   []Key
}

// Record is a record of the DNS.
type Record struct {
	Kind  Kind
	Name  string // where it stands
	Host  string // the same within its zone, as many DNS hosts ask for it: "@" for the zone's own
	Want  string // what to publish; "" when there is nothing to
	Found []string
	State State
	Lacks []string // relays that an SPF record does not let send
	Add   string   // what would let them

	hosts []string // of the relays
}

// patience bounds the time for one answer.
const patience = 5 * time.Second

// Records returns what the DNS should say, not yet asked.
func (d Domain) Records() []Record {
	bounce := d.Bounce
	if bounce == "" {
		bounce = d.Name
	}
	list := []Record{{Kind: SPF, Name: bounce, Host: within(bounce), Want: wanted(d.Hosts), hosts: d.Hosts}}
	for _, k := range d.Keys {
		name := k.Selector + "._domainkey." + d.Name
		list = append(list, Record{Kind: DKIM, Name: name, Host: within(name), Want: k.Record})
	}
	if len(d.Keys) == 0 {
		list = append(list, Record{Kind: DKIM, State: Unsigned}) // its name comes with the key
	}
	dmarc := "_dmarc." + d.Name
	return append(list, Record{Kind: DMARC, Name: dmarc, Host: within(dmarc), Want: "v=DMARC1; p=none"})
}

// within is a name as it stands in its zone, which is taken to be the domain that
// was registered.
func within(name string) string {
	zone, err := publicsuffix.EffectiveTLDPlusOne(name)
	switch {
	case err != nil:
		return name
	case name == zone:
		return "@"
	}
	return strings.TrimSuffix(name, "."+zone)
}

// Ask asks the DNS about a record and says what it finds.
func Ask(ctx context.Context, resolver Resolver, r Record) Record {
	texts, err := lookup(ctx, resolver, r.Name)
	if r.Kind == DMARC && err == nil && len(marked(texts, "v=dmarc1")) == 0 {
		// RFC 7489 section 6.6.3: then that of the domain above counts.
		if parent, ok := above(r.Name); ok {
			texts, err = lookup(ctx, resolver, parent)
		}
	}
	if err != nil {
		r.State = Unknown
		return r
	}
	switch r.Kind {
	case SPF:
		r.Found = marked(texts, "v=spf1")
		if r.State = judgeSPF(r.Found); r.State == Right {
			r = cover(ctx, resolver, r)
		}
	case DKIM:
		r.Found = slices.DeleteFunc(texts, func(t string) bool { return !strings.Contains(t, "p=") })
		r.State = judgeDKIM(r.Found, r.Want)
	case DMARC:
		r.Found = marked(texts, "v=dmarc1")
		r.State = judgeDMARC(r.Found)
	}
	return r
}

// above is where the record of the domain that was registered stands.
func above(name string) (string, bool) {
	domain := strings.TrimPrefix(name, "_dmarc.")
	registered, err := publicsuffix.EffectiveTLDPlusOne(domain)
	return "_dmarc." + registered, err == nil && registered != domain
}

// lookup returns no texts and no error when the name has none.
func lookup(ctx context.Context, resolver Resolver, name string) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	texts, err := resolver.LookupTXT(ctx, name+".") // the dot: no search list
	var dns *net.DNSError
	if errors.As(err, &dns) && dns.IsNotFound {
		return nil, nil
	}
	return texts, err
}

func marked(texts []string, mark string) (list []string) {
	for _, t := range texts {
		first, _, _ := strings.Cut(strings.ToLower(strings.TrimSpace(t)), " ")
		if first == mark || strings.HasPrefix(strings.ReplaceAll(strings.ToLower(t), " ", ""), mark+";") {
			list = append(list, t)
		}
	}
	return list
}

func judgeSPF(found []string) State {
	switch {
	case len(found) == 0:
		return Missing
	case len(found) > 1:
		return Twice
	}
	for _, term := range strings.Fields(strings.ToLower(found[0])) {
		if term == "all" || term == "+all" {
			return Open
		}
	}
	return Right
}

func judgeDKIM(found []string, want string) State {
	if len(found) == 0 {
		return Missing
	}
	if len(found) > 1 {
		return Twice
	}
	switch key := tag(found[0], "p"); key {
	case "":
		return Revoked
	case tag(want, "p"):
		return Right
	}
	return Other
}

func judgeDMARC(found []string) State {
	switch {
	case len(found) == 0:
		return Missing
	case len(found) > 1:
		return Twice
	case !slices.Contains([]string{"none", "quarantine", "reject"}, strings.ToLower(tag(found[0], "p"))):
		return Policy
	}
	return Right
}

// tag returns the value of a tag in a list such as v=DKIM1; p=..., without the
// white space that may stand in it.
func tag(list, name string) string {
	for part := range strings.SplitSeq(list, ";") {
		key, value, _ := strings.Cut(part, "=")
		if strings.TrimSpace(key) == name {
			return strings.Join(strings.Fields(value), "")
		}
	}
	return ""
}
