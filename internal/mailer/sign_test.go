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

// verifiedByMsgauth returns what go-msgauth says of each signature.
func verifiedByMsgauth(mail string, records map[string]string) ([]*dkim.Verification, error) {
	return dkim.VerifyWithOptions(strings.NewReader(mail), &dkim.VerifyOptions{
		LookupTXT: func(domain string) ([]string, error) { return []string{records[domain]}, nil }})
}

func TestSign(t *testing.T) {
	t.Parallel()
	signers, records := signersOf(t, "rsa", "ed25519")
	mail := signedMail(t)
	signed, err := signers.Sign("jatak.example", mail, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasSuffix(string(signed), string(mail)) {
		t.Error("signing changed the mail itself")
	}
	verify := func(mail string) (good int) {
		t.Helper()
		results, err := verifiedByMsgauth(mail, records)
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
	if other, err := signers.Sign("other.example", mail, time.Now()); err != nil || string(other) != string(mail) {
		t.Errorf("a domain without a key: %v", err)
	}
}

// Each mail that is signed is good for a verifier that shares no code with us.
func FuzzSign(f *testing.F) {
	for _, seed := range [][2]string{
		{"Hej", "ord\r\n"}, {"  a \t b\r\n\tc  ", "ord\r\n\r\n\r\n"}, {"", ""}, {"x", "\r\n"}, {"x\r\nSubject: y", "no end"},
		{"x\r\nsubject \t: y", " \r\n \t\r\n"}, {"x:y", ".\r\n..\r\n"}, {strings.Repeat("long ", 400), strings.Repeat("é", 99)},
	} {
		f.Add(seed[0], seed[1])
	}
	signers, records := signersOf(f, "rsa", "ed25519")
	f.Fuzz(func(t *testing.T, subject, body string) {
		plain := strings.NewReplacer("\r\n", "\r\n", "\r", "", "\n", "", "\x00", "") // line ends are CRLF
		mail := "From: news@jatak.example\r\nSubject: " + plain.Replace(subject) + "\r\nDate: now\r\n\r\n" + plain.Replace(body)
		if header, _, _ := strings.Cut(mail, "\r\n\r\n"); !isHeader(header) {
			return
		}
		signed, err := signers.Sign("jatak.example", []byte(mail), time.Now())
		if err != nil {
			t.Fatal(err)
		}
		results, err := verifiedByMsgauth(string(signed), records)
		if err != nil {
			t.Fatalf("%q: %v", mail, err)
		}
		for _, r := range results {
			if r.Err != nil {
				t.Errorf("%q: %v", mail, r.Err)
			}
		}
		if len(results) != 2 {
			t.Errorf("%q: %d signatures", mail, len(results))
		}
	})
}

// isHeader reports whether each line begins a field or goes on with one.
func isHeader(header string) bool {
	for line := range strings.SplitSeq(header, "\r\n") {
		name, _, found := strings.Cut(line, ":")
		if strings.HasPrefix(line, " ") || strings.HasPrefix(line, "\t") {
			if strings.TrimSpace(line) == "" {
				return false
			}
			continue
		}
		if name = strings.TrimRight(name, " \t"); !found || name == "" || strings.ContainsFunc(name, func(r rune) bool { return r <= ' ' || r >= 0x7f }) {
			return false
		}
	}
	return true
}

func TestSignsForSubdomainsAndLettersBeyondASCII(t *testing.T) {
	t.Parallel()
	key, _, err := NewKey("ed25519")
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "key.pem")
	if err := os.WriteFile(file, []byte(key), 0o600); err != nil {
		t.Fatal(err)
	}
	signers, err := ParseSigners("example.org:a:" + file + ",news.example.org:b:" + file + ",blåbær.dk:c:" + file)
	if err != nil {
		t.Fatal(err)
	}
	for from, says := range map[string]string{
		"example.org": " d=example.org; s=a;", "mail.example.org": " d=example.org; s=a;", "news.example.org": " d=news.example.org; s=b;",
		"blåbær.dk": " d=xn--blbr-roah.dk; s=c;", "xn--blbr-roah.dk": " d=xn--blbr-roah.dk; s=c;",
		"org": "", "badexample.org": "", "example.org.evil.example": "",
	} {
		signed, err := signers.Sign(from, []byte("From: a@"+from+"\r\n\r\nHej\r\n"), time.Now())
		if err != nil {
			t.Fatal(err)
		}
		if isSigned := strings.Contains(string(signed), "DKIM-Signature:"); isSigned != signers.Signs(from) || isSigned != (says != "") || !strings.Contains(string(signed), says) {
			t.Errorf("from %s: wants %q\n%s", from, says, signed)
		}
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
				if _, err := signers.Sign("jatak.example", mail, time.Now()); err != nil {
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
