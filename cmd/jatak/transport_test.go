package main

import (
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/jatak-mail/jatak/internal/mailer/mailertest"
)

var (
	zoneLine   = regexp.MustCompile(`^(\S+)\. IN TXT \((.*)\)\n$`)
	zoneString = regexp.MustCompile(`"[^"]*"`)
)

// published reads the record that keygen prints as a name server does: its strings
// joined.
func published(t *testing.T, line string) (name, record string) {
	t.Helper()
	parts := zoneLine.FindStringSubmatch(line)
	if parts == nil {
		t.Fatalf("no line of a zone: %q", line)
	}
	for _, quoted := range zoneString.FindAllString(parts[2], -1) {
		text, err := strconv.Unquote(quoted)
		if err != nil || len(text) > 255 {
			t.Fatalf("no string of the DNS: %s", quoted)
		}
		record += text
	}
	return parts[1], record
}

// A campaign leaves over TLS, after a login, with two signatures that another
// implementation finds good by the records that keygen has printed.
func TestMailsLeaveEncryptedLoggedInAndSigned(t *testing.T) {
	t.Parallel()
	const contacts = 1
	i := install(t, contacts, nil)
	verify := []string{"../../internal/mailer/testdata/verify.py"}
	var keys []string
	for _, kind := range []string{"rsa", "ed25519"} {
		file := filepath.Join(t.TempDir(), "dkim.pem")
		name, record := published(t, i.run("dkim", "keygen", "jatak.example", kind+"1", "--type", kind, "--file", file))
		if name != kind+"1._domainkey.jatak.example" {
			t.Errorf("the record's name is %s", name)
		}
		verify = append(verify, name, record)
		keys = append(keys, "jatak.example:"+kind+"1:"+file)
	}
	i.set("JATAK_DKIM_KEYS=" + strings.Join(keys, ","))
	for auth, mechanism := range map[string]string{"scram-sha-256": "SCRAM-SHA-256", "login": "LOGIN", "cram-md5": "CRAM-MD5"} {
		sink := mailertest.NewSecure(t, nil, mechanism)
		i.set("JATAK_SMTP_URLS=" + sink.URL("auth="+auth))
		p := i.worker()
		i.await(i.launch(), "the end by "+mechanism, finished)
		p.term(t)
		if n := len(sink.Messages()); n != contacts {
			t.Errorf("%d mails by %s, want %d", n, mechanism, contacts)
		}
		for _, m := range sink.Messages() {
			if m.Login != mechanism {
				t.Errorf("a mail came after a login by %q, want %s", m.Login, mechanism)
			}
			c := exec.CommandContext(t.Context(), "/usr/bin/python3", verify...)
			c.Stdin = strings.NewReader(m.Data)
			out, err := c.CombinedOutput()
			if err != nil {
				t.Fatalf("verify by python3-dkim (script/install-deps test installs it): %v\n%s", err, out)
			}
			for _, algorithm := range []string{"rsa-sha256", "ed25519-sha256"} {
				if !regexp.MustCompile(`(?m)^` + algorithm + ` True .*list-unsubscribe:list-unsubscribe-post`).Match(out) {
					t.Errorf("%s, after a login by %s: %s", algorithm, mechanism, out)
				}
			}
		}
	}
}
