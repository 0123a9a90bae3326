package mailer

import (
	"crypto"
	"crypto/rand"
	"crypto/sha256"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-msgauth/dkim"
)

func signersOf(t testing.TB, kinds ...string) (Signers, map[string]string) {
	t.Helper()
	records := map[string]string{}
	var list []string
	for _, kind := range kinds {
		key, record, err := NewKey(kind)
		if err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(t.TempDir(), kind+".pem")
		if err := os.WriteFile(file, []byte(key), 0o600); err != nil {
			t.Fatal(err)
		}
		list = append(list, "Jatak.example:"+kind+"1:"+file)
		records[kind+"1._domainkey.jatak.example"] = record
	}
	signers, err := ParseSigners(strings.Join(list, ", "))
	if err != nil {
		t.Fatal(err)
	}
	return signers, records
}

func signedMail(t testing.TB) []byte {
	t.Helper()
	template, err := Compile(Draft{
		FromName: "Nordlys & Søn", FromAddress: "news@jatak.example", Subject: []Segment{Static("Smag på æbler, pærer og "), Slot(0)},
		Text: []Segment{Static("Hej " + strings.Repeat("ord ", 300)), Slot(0)}, HTML: []Segment{Static("<p>Hej " + strings.Repeat("<b>ord</b> ", 900)), Slot(0), Static("</p>")},
		Headers: []Header{
			{"List-Unsubscribe", []Segment{Static("<https://jatak.example/u/" + strings.Repeat("x", 40) + ">, <mailto:unsubscribe@jatak.example?subject=" + strings.Repeat("x", 40) + ">")}},
			{"List-Unsubscribe-Post", []Segment{Static("List-Unsubscribe=One-Click")}},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	return template.Append(nil, Values{ToName: "Åse", ToAddress: "aase@example.org", MessageID: "a@jatak.example", Date: time.Unix(0, 0), Slots: []string{"Åse"}})
}

func TestSign(t *testing.T) {
	t.Parallel()
	signers, records := signersOf(t, "rsa", "ed25519")
	mail := signedMail(t)
	signed, err := signers.Sign("jatak.example", mail)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasSuffix(string(signed), string(mail)) {
		t.Error("signing changed the mail itself")
	}
	verify := func(mail string) (good int) {
		t.Helper()
		results, err := dkim.VerifyWithOptions(strings.NewReader(mail), &dkim.VerifyOptions{
			LookupTXT: func(domain string) ([]string, error) { return []string{records[domain]}, nil }})
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range results {
			if r.Err == nil && r.Domain == "jatak.example" {
				good++
			}
			covered := strings.ToLower(strings.Join(r.HeaderKeys, " "))
			if r.Err == nil && (!strings.Contains(covered, "list-unsubscribe ") || !strings.Contains(covered, "list-unsubscribe-post")) {
				t.Errorf("the signature covers only %s", covered)
			}
		}
		return good
	}
	if n := verify(string(signed)); n != 2 {
		t.Errorf("%d of 2 signatures are good", n)
	}
	for name, change := range map[string][2]string{
		"the body": {"ord ord", "ord lie"}, "the way out": {"List-Unsubscribe=One-Click", "List-Unsubscribe=Two-Click"}, "the subject": {"Subject: ", "Subject: Re: "},
	} {
		if n := verify(strings.Replace(string(signed), change[0], change[1], 1)); n != 0 {
			t.Errorf("after a change of %s, %d signatures are good", name, n)
		}
	}
	if other, err := signers.Sign("other.example", mail); err != nil || string(other) != string(mail) {
		t.Errorf("a domain without a key: %v", err)
	}
}

func TestParseSignersSaysWhatToMend(t *testing.T) {
	t.Parallel()
	empty := filepath.Join(t.TempDir(), "empty.pem")
	if err := os.WriteFile(empty, []byte("no key"), 0o600); err != nil {
		t.Fatal(err)
	}
	for given, says := range map[string]string{
		"jatak.example": "write domain:selector:file", "a:b:": "write domain:selector:file",
		"a.example:s:/no/such/file": "no such file", "a.example:s:" + empty: "jatak dkim keygen",
	} {
		if _, err := ParseSigners(given); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%q: %v", given, err)
		}
	}
	if s, err := ParseSigners(""); err != nil || len(s) != 0 {
		t.Errorf("no keys: %v, %v", s, err)
	}
}

func BenchmarkSign(b *testing.B) {
	mail := signedMail(b)
	for _, kind := range []string{"rsa", "ed25519"} {
		signers, _ := signersOf(b, kind)
		b.Run(kind, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := signers.Sign("jatak.example", mail); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	// What a core can sign at most.
	signers, _ := signersOf(b, "rsa")
	digest := sha256.Sum256(mail)
	b.Run("rsa alone", func(b *testing.B) {
		for b.Loop() {
			if _, err := signers["jatak.example"][0].key.Sign(rand.Reader, digest[:], crypto.SHA256); err != nil {
				b.Fatal(err)
			}
		}
	})
}
