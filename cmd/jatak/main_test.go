package main

import (
	"bytes"
	"context"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/jatak-mail/jatak/internal/embedded"
)

// TestMain lets tests start the program as a process of its own: "jatak" is on
// their path.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"jatak": main, "inbox": inboxMain})
}

// inboxMain is a relay for scripts: it catches mail in the folder it is given
// and writes its address to the file "address" there.
func inboxMain() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	inbox, err := embedded.StartInbox(ctx, embedded.InboxOptions{Dir: os.Args[1]})
	if err == nil {
		err = os.WriteFile(os.Args[1]+"/address", []byte(inbox.SMTPAddr()), 0o600)
	}
	if err != nil {
		_, _ = os.Stderr.WriteString(err.Error())
		os.Exit(1)
	}
	<-ctx.Done()
	_ = inbox.Close()
}

// jatak runs the program in this process.
func jatak(t *testing.T, args ...string) (status int, out, errOut string) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	status = run(t.Context(), args, &stdout, &stderr)
	return status, stdout.String(), stderr.String()
}

// Every command explains itself, and every setting has an environment
// variable.
func TestHelp(t *testing.T) {
	t.Parallel()
	for _, command := range []string{"", "demo", "serve", "worker", "import", "upgrade", "migrate", "version", "settings set", "settings get",
		"campaign create", "campaign report", "campaign launch", "campaign status", "campaign list"} {
		t.Run(command, func(t *testing.T) {
			t.Parallel()
			status, out, errOut := jatak(t, append(strings.Fields(command), "--help")...)
			if status != 0 || !strings.HasPrefix(out, "Usage: jatak") || errOut != "" {
				t.Errorf("status %d, help %q, errors %q", status, out, errOut)
			}
			if command == "worker" || command == "serve" {
				for _, name := range []string{"DATABASE_URL", "REDIS_URL", "SMTP_URLS", "PUBLIC_URL", "SECRET_KEYS"} {
					if !strings.Contains(out, "$JATAK_"+name) {
						t.Errorf("the help does not name JATAK_%s", name)
					}
				}
			}
		})
	}
}

// What is wrong at the start is told in a sentence that says what to write,
// and no secret is in it.
func TestWrongSettingsAreRefused(t *testing.T) {
	const keys = "k:4be1ab23c8f05d7796e34f1a0c52d8e7"
	good := []string{"--database-url=postgres://u:hunter2@127.0.0.1:1/x", "--redis-url=redis://127.0.0.1:1", "--smtp-urls=smtp://127.0.0.1:1",
		"--public-url=https://jatak.example", "--secret-keys=" + keys}
	for _, test := range []struct{ name, flag, want string }{
		{"no database", "--database-url=", "JATAK_DATABASE_URL is not set; write postgres://"},
		{"another database", "--database-url=mysql://u:hunter2@x/y", "JATAK_DATABASE_URL is not a PostgreSQL URL; write postgres://"},
		{"a database that is away", "--database-url=postgres://u:hunter2@127.0.0.1:1/x", "127.0.0.1:1/x: cannot be reached"},
		{"no scheme", "--redis-url=localhost", "JATAK_REDIS_URL is not a Redis URL; write redis://"},
		{"plain http", "--public-url=http://jatak.example", "write https://jatak.example"},
		{"short key", "--secret-keys=k:short", "openssl rand -hex 32"},
		{"well-known key", "--secret-keys=k:changeme-4be1ab23c8f05d7796e34f1a", "everybody knows"},
		{"window", "--window=-1", "JATAK_WINDOW is a number from"},
		{"lease", "--lease=1s", "JATAK_LEASE is a time from"},
		{"in doubt", "--in-doubt=guess", "resend"},
		{"unknown", "--colour=red", "unknown flag --colour"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			status, out, errOut := jatak(t, append(append([]string{"worker"}, good...), test.flag)...)
			if status == 0 || !strings.Contains(errOut, test.want) || out != "" {
				t.Errorf("status %d, said %q and %q, want %q", status, out, errOut, test.want)
			}
			for _, secret := range []string{"hunter2", "goroutine", keys[2:]} {
				if strings.Contains(errOut, secret) {
					t.Errorf("%q is in %q", secret, errOut)
				}
			}
		})
	}
}
