package senderdomain_test

import (
	"context"
	"errors"
	"net"
	"testing"

	"github.com/jatak-mail/jatak/internal/senderdomain"
)

// zone answers as a name server would: a name that is not there is not found, and
// one whose text is "away" cannot be asked.
type zone map[string][]string

func (z zone) LookupTXT(_ context.Context, name string) ([]string, error) {
	texts, ok := z[name]
	switch {
	case !ok:
		return nil, &net.DNSError{Err: "no such host", Name: name, IsNotFound: true}
	case len(texts) == 1 && texts[0] == "away":
		return nil, errors.New("i/o timeout")
	}
	return texts, nil
}

func TestEachRecordIsRightMissingWrongOrCannotBeAsked(t *testing.T) {
	t.Parallel()
	d := senderdomain.Domain{Name: "news.shop.example", Hosts: []string{"relay.example", "192.0.2.7", "127.0.0.1"},
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
	if got := records[1]; got.State != senderdomain.Unsigned {
		t.Errorf("without a key: %+v", got)
	}
	if got := (senderdomain.Domain{Name: "a.example"}).Records()[0].Want; got != "v=spf1 mx ~all" {
		t.Errorf("without relays: %q", got)
	}
}
