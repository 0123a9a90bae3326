package mailer

import (
	"os/exec"
	"strings"
	"testing"
	"time"
)

// verifiedByPython returns what python3-dkim says of each signature.
func verifiedByPython(t *testing.T, mail string, records map[string]string) (lines []string) {
	t.Helper()
	arguments := []string{"testdata/verify.py"}
	for name, record := range records {
		arguments = append(arguments, name, record)
	}
	// Debian's own: another Python has no Debian packages.
	c := exec.CommandContext(t.Context(), "/usr/bin/python3", arguments...)
	c.Stdin = strings.NewReader(mail)
	var says strings.Builder
	c.Stderr = &says
	out, err := c.Output()
	if err != nil {
		t.Fatalf("verify by python3-dkim (script/install-deps test installs it): %v\n%s", err, says.String())
	}
	return strings.Split(strings.TrimSpace(string(out)), "\n")
}

func TestSignaturesAreGoodForAnotherImplementation(t *testing.T) {
	t.Parallel()
	signers, records := signersOf(t, "rsa", "ed25519")
	signed, err := signers.Sign("jatak.example", signedMail(t), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	lines := verifiedByPython(t, string(signed), records)
	for i, algorithm := range []string{"rsa-sha256", "ed25519-sha256"} {
		if i >= len(lines) || !strings.HasPrefix(lines[i], algorithm+" True ") {
			t.Errorf("signature %d by %s: %q", i+1, algorithm, lines)
			continue
		}
		for _, field := range []string{"from", "to", "subject", "date", "message-id", "list-unsubscribe", "list-unsubscribe-post"} {
			if !strings.Contains(":"+lines[i][strings.LastIndex(lines[i], " ")+1:]+":", ":"+field+":") {
				t.Errorf("%s does not cover %s: %s", algorithm, field, lines[i])
			}
		}
	}
	for _, line := range verifiedByPython(t, strings.Replace(string(signed), "One-Click", "Two-Click", 1), records) {
		if !strings.Contains(line, " False ") {
			t.Errorf("a changed List-Unsubscribe-Post: %s", line)
		}
	}
}
