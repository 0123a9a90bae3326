package senderdomain_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"testing"

	"github.com/jatak-mail/jatak/internal/senderdomain"
)

// zone answers as a name server would: by the name and the kind of record. A
// name that is not there is not found, and one whose text is "away" cannot be
// asked.
type zone map[string][]string

func (z zone) ask(key string) ([]string, error) {
	texts, ok := z[key]
	switch {
	case !ok:
		return nil, &net.DNSError{Err: "no such host", Name: key, IsNotFound: true}
	case len(texts) == 1 && texts[0] == "away":
		return nil, errors.New("i/o timeout")
	}
	return texts, nil
}

func (z zone) LookupTXT(_ context.Context, name string) ([]string, error) { return z.ask(name) }

func (z zone) LookupMX(_ context.Context, name string) (list []*net.MX, err error) {
	hosts, err := z.ask("MX " + name)
	for _, host := range hosts {
		list = append(list, &net.MX{Host: host, Pref: 10})
	}
	return list, err
}

func (z zone) LookupIPAddr(_ context.Context, host string) (list []net.IPAddr, err error) {
	addresses, err := z.ask("A " + host)
	for _, a := range addresses {
		list = append(list, net.IPAddr{IP: net.ParseIP(a)})
	}
	return list, err
}

func (z zone) LookupAddr(_ context.Context, addr string) ([]string, error) {
	return z.ask("PTR " + addr)
}

func TestEachRecordIsRightMissingWrongOrCannotBeAsked(t *testing.T) {
	t.Parallel()
	d := senderdomain.Domain{Name: "news.shop.example", Hosts: []string{"127.0.0.1"},
		Keys: []senderdomain.Key{{Selector: "j1", Record: "v=DKIM1; k=rsa; p=AAAABBBB"}}}
	const spf, dkim, dmarc, above = "news.shop.example.", "j1._domainkey.news.shop.example.", "_dmarc.news.shop.example.", "_dmarc.shop.example."
	for name, test := range map[string]struct {
		zone zone
		want [3]senderdomain.State
	}{
		"nothing": {zone{}, [3]senderdomain.State{senderdomain.Missing, senderdomain.Missing, senderdomain.Missing}},
		"all of it": {zone{spf: {"google-site=x", "v=spf1 include:relay.example -all"}, dkim: {"v=DKIM1; k=rsa; p=AAAA BBBB"}, dmarc: {"v=DMARC1; p=reject"}},
			[3]senderdomain.State{senderdomain.Right, senderdomain.Right, senderdomain.Right}},
		"the domain above": {zone{spf: {"v=spf1 ~all"}, dkim: {"p=AAAABBBB"}, above: {"v=DMARC1;p=none"}},
			[3]senderdomain.State{senderdomain.Right, senderdomain.Right, senderdomain.Right}},
		"wrong": {zone{spf: {"v=spf1 +all"}, dkim: {"v=DKIM1; p=CCCC"}, dmarc: {"v=DMARC1; rua=mailto:x@shop.example"}},
			[3]senderdomain.State{senderdomain.Open, senderdomain.Other, senderdomain.Policy}},
		"twice, and revoked": {zone{spf: {"v=spf1 mx ~all", "v=spf1 a ~all"}, dkim: {"v=DKIM1; p="}, dmarc: {"v=DMARC1; p=none", "v=DMARC1; p=reject"}},
			[3]senderdomain.State{senderdomain.Twice, senderdomain.Revoked, senderdomain.Twice}},
		"away": {zone{spf: {"away"}, dkim: {"away"}, dmarc: {"away"}}, [3]senderdomain.State{senderdomain.Unknown, senderdomain.Unknown, senderdomain.Unknown}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			records := d.Records()
			if len(records) != 3 {
				t.Fatalf("%d records", len(records))
			}
			for i, r := range records {
				r = senderdomain.Ask(t.Context(), test.zone, r)
				if r.State != test.want[i] {
					t.Errorf("%s is %s, want %s (found %q)", r.Kind, r.State, test.want[i], r.Found)
				}
			}
		})
	}
}

func TestWhatToPublish(t *testing.T) {
	t.Parallel()
	d := senderdomain.Domain{Name: "shop.example", Bounce: "bounce.shop.example", Hosts: []string{"relay.example", "192.0.2.7", "2001:db8::7", "localhost"}}
	records := d.Records()
	if got := records[0]; got.Name != "bounce.shop.example" || got.Want != "v=spf1 a:relay.example ip4:192.0.2.7 ip6:2001:db8::7 ~all" {
		t.Errorf("SPF: %+v", got)
	}
	for i, want := range []string{"bounce", "", "_dmarc"} {
		if records[i].Host != want {
			t.Errorf("%s stands in its zone at %q, want %q", records[i].Name, records[i].Host, want)
		}
	}
	uk := (senderdomain.Domain{Name: "shop.co.uk", Keys: []senderdomain.Key{{Selector: "j1"}}}).Records()
	below := (senderdomain.Domain{Name: "news.shop.co.uk"}).Records()[2]
	if got := senderdomain.Ask(t.Context(), zone{"_dmarc.co.uk.": {"v=DMARC1; p=none"}}, below).State; got != senderdomain.Missing {
		t.Errorf("the record of all of co.uk counts: %s", got)
	}
	if got := senderdomain.Ask(t.Context(), zone{"_dmarc.shop.co.uk.": {"v=DMARC1; p=none"}}, below).State; got != senderdomain.Right {
		t.Errorf("the record of the domain that was registered: %s", got)
	}
	if uk[0].Host != "@" || uk[1].Host != "j1._domainkey" {
		t.Errorf("below co.uk: %q, %q", uk[0].Host, uk[1].Host)
	}
	if got := records[1]; got.State != senderdomain.Unsigned {
		t.Errorf("without a key: %+v", got)
	}
	if got := (senderdomain.Domain{Name: "a.example"}).Records()[0].Want; got != "v=spf1 mx ~all" {
		t.Errorf("without relays: %q", got)
	}
}

func TestAnSPFRecordIsEvaluatedForTheRelaysAsAReceiverWould(t *testing.T) {
	t.Parallel()
	many := zone{"shop.example.": {"v=spf1"}, "A relay.example.": {"192.0.2.7"}}
	for i := range 12 {
		name := fmt.Sprintf("i%d.example", i)
		many["shop.example."][0] += " include:" + name
		many[name+"."] = []string{"v=spf1 ip4:198.51.100.1 -all"}
	}
	many["shop.example."][0] += " ip4:192.0.2.7 -all"
	for name, test := range map[string]struct {
		record string
		more   zone
		hosts  []string // relay.example when there are none
		want   senderdomain.State
		add    string
		merged string // what to publish
	}{
		"its address":                     {record: "v=spf1 ip4:192.0.2.7 -all", want: senderdomain.Right},
		"its network":                     {record: "v=spf1 ip4:192.0.2.0/24 -all", want: senderdomain.Right},
		"its name":                        {record: "v=spf1 a:relay.example ~all", want: senderdomain.Right},
		"the domain's own address":        {record: "v=spf1 a -all", more: zone{"A shop.example.": {"192.0.2.7"}}, want: senderdomain.Right},
		"a mail exchanger":                {record: "v=spf1 mx -all", more: zone{"MX shop.example.": {"in.shop.example."}, "A in.shop.example.": {"192.0.2.7"}}, want: senderdomain.Right},
		"an include":                      {record: "v=spf1 include:provider.example -all", more: zone{"provider.example.": {"v=spf1 ip4:192.0.2.0/28 ?all"}}, want: senderdomain.Right},
		"an include within an include":    {record: "v=spf1 include:one.example -all", more: zone{"one.example.": {"v=spf1 include:two.example -all"}, "two.example.": {"v=spf1 ip4:192.0.2.7 -all"}}, want: senderdomain.Right},
		"a redirect":                      {record: "v=spf1 redirect=provider.example", more: zone{"provider.example.": {"v=spf1 ip4:192.0.2.7 -all"}}, want: senderdomain.Right},
		"capitals and spaces":             {record: "V=SPF1  IP4:192.0.2.7   -ALL", want: senderdomain.Right},
		"both addresses":                  {record: "v=spf1 ip4:192.0.2.7 ip6:2001:db8::/32 -all", more: zone{"A relay.example.": {"192.0.2.7", "2001:db8::7"}}, want: senderdomain.Right},
		"a relay on this machine":         {record: "v=spf1 -all", hosts: []string{"127.0.0.1", "localhost", "::1", "10.0.0.5"}, want: senderdomain.Right},
		"a relay in a network of our own": {record: "v=spf1 -all", more: zone{"A relay.example.": {"10.0.0.5", "fd00::5"}}, want: senderdomain.Right},

		"nobody":                     {record: "v=spf1 -all", want: senderdomain.Uncovered, add: "a:relay.example", merged: "v=spf1 a:relay.example -all"},
		"another":                    {record: "v=spf1 include:provider.example mx ~all", more: zone{"provider.example.": {"v=spf1 ip4:198.51.100.0/24 -all"}, "MX shop.example.": {}}, want: senderdomain.Uncovered, add: "a:relay.example", merged: "v=spf1 a:relay.example include:provider.example mx ~all"},
		"no word about others":       {record: "v=spf1 ip4:198.51.100.1", want: senderdomain.Uncovered, add: "a:relay.example", merged: "v=spf1 a:relay.example ip4:198.51.100.1"},
		"a redirect to another":      {record: "v=spf1 redirect=provider.example", more: zone{"provider.example.": {"v=spf1 ip4:198.51.100.1 -all"}}, want: senderdomain.Uncovered, add: "a:relay.example", merged: "v=spf1 a:relay.example redirect=provider.example"},
		"taken out by name":          {record: "v=spf1 -ip4:192.0.2.7 +ip4:192.0.2.0/24 -all", want: senderdomain.Uncovered, add: "a:relay.example", merged: "v=spf1 a:relay.example -ip4:192.0.2.7 +ip4:192.0.2.0/24 -all"},
		"one of two addresses":       {record: "v=spf1 ip4:192.0.2.7 -all", more: zone{"A relay.example.": {"192.0.2.7", "2001:db8::7"}}, want: senderdomain.Uncovered, add: "ip6:2001:db8::7", merged: "v=spf1 ip6:2001:db8::7 ip4:192.0.2.7 -all"},
		"one of two relays":          {record: "v=spf1 ip4:192.0.2.7 -all", hosts: []string{"192.0.2.7", "198.51.100.9"}, want: senderdomain.Uncovered, add: "ip4:198.51.100.9", merged: "v=spf1 ip4:198.51.100.9 ip4:192.0.2.7 -all"},
		"a word that is no term":     {record: "v=spf1 ipv4:192.0.2.7 -all", want: senderdomain.Broken},
		"an address that is none":    {record: "v=spf1 ip4:192.0.2 -all", want: senderdomain.Broken},
		"an include of nothing":      {record: "v=spf1 include:nobody.example ip4:192.0.2.7 -all", want: senderdomain.Broken},
		"an include of itself":       {record: "v=spf1 include:shop.example ip4:192.0.2.7 -all", want: senderdomain.Lookups},
		"more than ten look-ups":     {record: many["shop.example."][0], more: many, want: senderdomain.Lookups},
		"look-ups that find nothing": {record: "v=spf1 a:x.example a:y.example a:z.example ip4:192.0.2.7 -all", want: senderdomain.Lookups},
		"an include that is away":    {record: "v=spf1 include:provider.example -all", more: zone{"provider.example.": {"away"}}, want: senderdomain.Unknown},
		"a relay that is away":       {record: "v=spf1 -all", more: zone{"A relay.example.": {"away"}}, want: senderdomain.Unknown},
		"a relay nobody knows":       {record: "v=spf1 -all", hosts: []string{"gone.example"}, want: senderdomain.Unknown},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			z := zone{"A relay.example.": {"192.0.2.7"}}
			maps.Copy(z, test.more)
			z["shop.example."] = []string{"some-site-verification=1", test.record}
			d := senderdomain.Domain{Name: "shop.example", Hosts: test.hosts}
			if len(d.Hosts) == 0 {
				d.Hosts = []string{"relay.example"}
			}
			got := senderdomain.Ask(t.Context(), z, d.Records()[0])
			if got.State != test.want || got.Add != test.add || (len(got.Lacks) > 0) != (test.add != "") {
				t.Fatalf("it is %s, lacks %q, add %q; want %s, %q", got.State, got.Lacks, got.Add, test.want, test.add)
			}
			if test.merged == "" {
				return
			}
			if got.Want != test.merged {
				t.Errorf("to publish: %s, want %s", got.Want, test.merged)
			}
			z["shop.example."] = []string{got.Want}
			if again := senderdomain.Ask(t.Context(), z, d.Records()[0]); again.State != senderdomain.Right {
				t.Errorf("published, it is %s, and lacks %q", again.State, again.Lacks)
			}
		})
	}
}
