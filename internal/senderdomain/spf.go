package senderdomain

import (
	"context"
	"errors"
	"net"
	"strings"

	"blitiri.com.ar/go/spf"
)

// wanted lets the relays send, and asks receivers to doubt others.
func wanted(hosts []string) string {
	terms := []string{"v=spf1"}
	for _, host := range hosts {
		ip := net.ParseIP(host)
		switch {
		case host == "" || host == "localhost" || ip != nil && !public(ip):
		case ip == nil:
			terms = append(terms, "a:"+host)
		default:
			terms = append(terms, ipTerm(ip))
		}
	}
	if len(terms) == 1 {
		terms = append(terms, "mx")
	}
	return strings.Join(append(terms, "~all"), " ")
}

func ipTerm(ip net.IP) string {
	if ip.To4() != nil {
		return "ip4:" + ip.String()
	}
	return "ip6:" + ip.String()
}

// public reports whether receivers can see mails come from an address: a relay on
// this machine or in a network of one's own passes them on from another.
func public(ip net.IP) bool { return ip.IsGlobalUnicast() && !ip.IsPrivate() }

// Bounds of evaluating a record for all relays.
const (
	mostAddresses = 16 // of one relay
	coverPatience = 3 * patience
)

// cover evaluates an SPF record for each address of the relays, within the limits
// of RFC 7208 section 4.6.4, and says what it lacks.
func cover(ctx context.Context, resolver Resolver, r Record) Record {
	ctx, cancel := context.WithTimeout(ctx, coverPatience)
	defer cancel()
	resolver = rooted{resolver}
	var add []string
	for _, host := range r.hosts {
		addresses, err := addressesOf(ctx, resolver, host)
		if err != nil {
			r.State = Unknown
			return r
		}
		var lacking []string
		for _, ip := range addresses {
			switch state := evaluate(ctx, resolver, r.Name, ip); state {
			case Right:
			case Uncovered:
				lacking = append(lacking, ipTerm(ip))
				r.Lacks = append(r.Lacks, named(host, ip))
			default:
				r.State, r.Lacks, r.Want = state, nil, ""
				return r
			}
		}
		if len(lacking) > 0 && len(lacking) == len(addresses) && net.ParseIP(host) == nil {
			lacking = []string{"a:" + host}
		}
		add = append(add, lacking...)
	}
	if len(add) > 0 {
		r.State, r.Add = Uncovered, strings.Join(add, " ")
		r.Want = withTerms(r.Found[0], r.Add)
	}
	return r
}

func named(host string, ip net.IP) string {
	if host == ip.String() {
		return host
	}
	return host + " (" + ip.String() + ")"
}

// addressesOf returns those that receivers can see.
func addressesOf(ctx context.Context, resolver Resolver, host string) (list []net.IP, err error) {
	if host == "" || host == "localhost" {
		return nil, nil
	}
	found := []net.IPAddr{{IP: net.ParseIP(host)}}
	if found[0].IP == nil {
		if found, err = resolver.LookupIPAddr(ctx, host); err != nil {
			return nil, err
		}
	}
	for _, a := range found[:min(len(found), mostAddresses)] {
		if public(a.IP) {
			list = append(list, a.IP)
		}
	}
	return list, nil
}

// evaluate asks what a receiver would think of a mail from an address.
func evaluate(ctx context.Context, resolver Resolver, domain string, ip net.IP) State {
	result, err := spf.CheckHostWithSender(ip, domain, "postmaster@"+domain, spf.WithContext(ctx), spf.WithResolver(resolver))
	switch result {
	case spf.Pass:
		return Right
	case spf.TempError:
		return Unknown
	case spf.PermError:
		if errors.Is(err, spf.ErrLookupLimitReached) || errors.Is(err, spf.ErrVoidLookupLimitReached) || errors.Is(err, spf.ErrTooManyMXRecords) {
			return Lookups
		}
		return Broken
	}
	return Uncovered
}

// withTerms puts terms at a record's beginning: the first that matches counts.
func withTerms(record, add string) string {
	terms := strings.Fields(record)
	return strings.Join(append([]string{terms[0], add}, terms[1:]...), " ")
}

// rooted asks for names as they are, without this machine's search list, and
// tells whatever keeps it from an answer as something that may pass.
type rooted struct{ Resolver }

func root(name string) string { return strings.TrimSuffix(name, ".") + "." }

func passing(err error) error {
	var dns *net.DNSError
	if err == nil || errors.As(err, &dns) && dns.IsNotFound {
		return err
	}
	return &net.DNSError{Err: err.Error(), IsTemporary: true}
}

func (r rooted) LookupTXT(ctx context.Context, name string) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	texts, err := r.Resolver.LookupTXT(ctx, root(name))
	return texts, passing(err)
}

func (r rooted) LookupMX(ctx context.Context, name string) ([]*net.MX, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	list, err := r.Resolver.LookupMX(ctx, root(name))
	return list, passing(err)
}

func (r rooted) LookupIPAddr(ctx context.Context, host string) ([]net.IPAddr, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	list, err := r.Resolver.LookupIPAddr(ctx, root(host))
	return list, passing(err)
}
