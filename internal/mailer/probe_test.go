package mailer

import (
	"net"
	"strings"
	"testing"

	"github.com/jatak-mail/jatak/internal/mailer/mailertest"
)

// Why a relay cannot be used is told apart by what it did.
func TestTheTroubleWithARelayIsToldApart(t *testing.T) {
	t.Parallel()
	answers := func(at, reply string) string {
		sink := mailertest.New(t, func(now, _ string) *mailertest.Do {
			if now == at {
				return &mailertest.Do{Reply: reply}
			}
			return nil
		}, "AUTH PLAIN LOGIN")
		return strings.Replace(sink.URL(), "smtp://", "smtp://jatak:hunter2@", 1)
	}
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = silent.Close() })
	_ = closed.Close()
	unknown, _, _ := strings.Cut(mailertest.NewSecure(t, nil, "PLAIN").URL(), "&tls_ca=") // nobody vouches for it
	for want, url := range map[Trouble]string{
		TroubleName:        "smtp://no-such-host.invalid:25?starttls=none",
		TroubleClosed:      "smtp://" + closed.Addr().String() + "?starttls=none",
		TroubleSilent:      "smtp://" + silent.Addr().String() + "?starttls=none&timeout=50ms",
		TroubleCertificate: unknown,
		TroubleLogin:       answers("AUTH", "535 5.7.8 bad credentials"),
		TroubleRefused:     answers("CONNECT", "554 5.7.1 you are on a list"),
		TroubleOther:       mailertest.New(t, nil).URL("starttls=required"),
	} {
		t.Run(string(want), func(t *testing.T) {
			t.Parallel()
			relay, err := parseRelay(url)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := Probe(t.Context(), relay); err == nil || TroubleOf(err) != want {
				t.Errorf("%v is %q", err, TroubleOf(err))
			}
		})
	}
}
