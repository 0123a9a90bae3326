package settings

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestDatabase(t *testing.T) {
	t.Parallel()
	for url, good := range map[string]bool{
		"postgres://u:p@db:5432/jatak": true, "postgresql://db/jatak": true, "postgres:///jatak?host=/run/postgresql": true,
		"": false, "mysql://db/jatak": false, "db:5432": false, "postgres:///jatak": false, "://": false,
	} {
		err := (&Database{URL: url}).Validate()
		if (err == nil) != good {
			t.Errorf("%q: %v", url, err)
		}
		if err != nil && !strings.Contains(err.Error(), "JATAK_DATABASE_URL") {
			t.Errorf("%q: the error does not name the setting: %v", url, err)
		}
	}
	if err := (&Database{URL: "mysql://u:geheim@db"}).Validate(); strings.Contains(err.Error(), "geheim") {
		t.Errorf("the error shows the password: %v", err)
	}
}

func TestRedis(t *testing.T) {
	t.Parallel()
	for url, good := range map[string]bool{
		"": true, "redis://h:6379/0": true, "rediss://h": true, "unix:///run/redis.sock": true,
		"redis://": false, "h:6379": false, "http://h": false,
	} {
		if err := (&Redis{URL: url}).Validate(); (err == nil) != good {
			t.Errorf("%q: %v", url, err)
		}
	}
}

func TestPublic(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ url, kept, says string }{
		{"https://mail.example.org", "https://mail.example.org", ""},
		{"https://example.org/mails/", "https://example.org/mails", ""},
		{"http://127.0.0.1:8080", "http://127.0.0.1:8080", ""},
		{"http://portal.localhost", "http://portal.localhost", ""},
		{"", "", "is not set"},
		{"mail.example.org", "", "no scheme or no host"},
		{"ftp://mail.example.org", "", "the scheme is ftp"},
		{"http://mail.example.org", "", "https only"},
		{"https://u:p@mail.example.org", "", "more than an address"},
		{"https://mail.example.org?x=1", "", "more than an address"},
	} {
		p := Public{URL: test.url}
		err := p.Validate()
		if test.says == "" && (err != nil || p.URL != test.kept) {
			t.Errorf("%q: %v, kept as %q", test.url, err, p.URL)
		}
		if test.says != "" && (err == nil || !strings.Contains(err.Error(), test.says) || !strings.Contains(err.Error(), "JATAK_PUBLIC_URL")) {
			t.Errorf("%q: %v; want %q", test.url, err, test.says)
		}
	}
}

func TestConsoleURL(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ listen, url, want string }{
		{"127.0.0.1:8081", "", "http://127.0.0.1:8081"}, {":8081", "", "http://localhost:8081"},
		{":8081", "https://console.example.org", "https://console.example.org"},
		{":8081", "http://console.example.org", ""}, {":8081", "https://example.org/console", ""}, {":8081", "console", ""},
	} {
		p := Public{URL: "https://mail.example.org", ConsoleListen: test.listen, ConsoleURL: test.url}
		err := p.Validate()
		if (err == nil) != (test.want != "") || err == nil && p.ConsoleURL != test.want {
			t.Errorf("%q, %q: %q, %v", test.listen, test.url, p.ConsoleURL, err)
		}
	}
}

func TestSecrets(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "keys")
	if err := os.WriteFile(file, []byte("new:abc\nold:def\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	empty := filepath.Join(t.TempDir(), "empty")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	s := Secrets{File: file}
	if err := s.Validate(); err != nil || s.Keys != "new:abc,old:def" {
		t.Errorf("from a file: %v, %q", err, s.Keys)
	}
	for says, s := range map[string]Secrets{
		"is not set":     {},
		"both set":       {Keys: "a:b", File: file},
		"no such file":   {File: file + ".gone"},
		"_FILE is empty": {File: empty},
	} {
		if err := s.Validate(); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%v; want %q", err, says)
		}
	}
}

func TestSender(t *testing.T) {
	t.Parallel()
	if err := (&Sender{BounceAddress: "newsletter-bounces@example.org"}).Validate(); err == nil || !strings.Contains(err.Error(), "JATAK_BOUNCE_ADDRESS") {
		t.Errorf("a mailbox that leaves no room for a token: %v", err)
	}
	for address, good := range map[string]bool{
		"": true, "bounces@example.org": true, "Bounces <bounces@example.org>": false, "bounces": false, "a@b\r\nX: y": false,
	} {
		if err := (&Sender{BounceAddress: address}).Validate(); (err == nil) != good {
			t.Errorf("%q: %v", address, err)
		}
		if err := (&Sender{UnsubscribeMailbox: address}).Validate(); (err == nil) != good {
			t.Errorf("%q: %v", address, err)
		}
	}
}

func TestWorker(t *testing.T) {
	t.Parallel()
	good := Worker{Concurrency: 4, MaxAttempts: 10, MaxAge: 72 * time.Hour, RetryBase: time.Minute, Lease: 30 * time.Second, SweepEvery: 5 * time.Second, Grace: 30 * time.Second}
	if err := good.Validate(); err != nil {
		t.Fatalf("the defaults: %v", err)
	}
	for name, change := range map[string]func(*Worker){
		"JATAK_CONCURRENCY":  func(w *Worker) { w.Concurrency = 0 },
		"JATAK_WINDOW":       func(w *Worker) { w.Window = -1 },
		"JATAK_MAX_ATTEMPTS": func(w *Worker) { w.MaxAttempts = 101 },
		"JATAK_RETRY_BASE":   func(w *Worker) { w.RetryBase = 0 },
		"JATAK_LEASE":        func(w *Worker) { w.Lease = time.Second },
		"JATAK_SWEEP_EVERY":  func(w *Worker) { w.SweepEvery = time.Hour },
		"JATAK_GRACE":        func(w *Worker) { w.Grace = 0 },
	} {
		w := good
		change(&w)
		if err := w.Validate(); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s out of range: %v", name, err)
		}
	}
}
