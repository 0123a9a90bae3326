package embedded

import (
	"bytes"
	"fmt"
	"io"
	"net/http/httptest"
	"net/smtp"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func startInbox(t *testing.T, dir string) *Inbox {
	t.Helper()
	i, err := StartInbox(t.Context(), InboxOptions{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	return i
}

func deliver(t *testing.T, i *Inbox, from, to, text string) {
	t.Helper()
	if err := smtp.SendMail(i.SMTPAddr(), nil, from, []string{to}, []byte(text)); err != nil {
		t.Fatal(err)
	}
}

const odd = "Subject: =?utf-8?q?Gr=C3=B8d?=\r\nMessage-ID: <a@x>\r\n\r\nFrom here on\r\n>From there\r\n\r\nFrom the end\r\n"

// What comes in comes out, also after a start anew, and whatever the mail says.
func TestInboxKeepsMails(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	i := startInbox(t, dir)
	deliver(t, i, "news@jatak.example", "anna@example.org", odd)
	deliver(t, i, "news@jatak.example", "bo@example.org", "Subject: two\r\n\r\nx")
	check := func(i *Inbox) {
		t.Helper()
		if i.Len() != 2 {
			t.Fatalf("%d mails", i.Len())
		}
		m, ok := i.Message(1)
		if !ok || m.Subject != "Grød" || m.From != "news@jatak.example" || len(m.To) != 1 || m.To[0] != "anna@example.org" || m.MessageID != "<a@x>" {
			t.Errorf("the first is %+v", m)
		}
		raw, err := i.Raw(m)
		if err != nil || !strings.HasSuffix(string(raw), strings.ReplaceAll(odd, "\r\n", "\n")) {
			t.Errorf("its text is %q, %v", raw, err)
		}
	}
	check(i)
	if err := i.Close(); err != nil {
		t.Fatal(err)
	}

	// The power went while the third was written.
	file := filepath.Join(dir, "inbox.mbox")
	f, err := os.OpenFile(file, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString("From x Mon Nov 23 12:00:00 2026\nReturn-Path: <x>\nSubj"); err != nil {
		t.Fatal(err)
	}
	_ = f.Close()
	i = startInbox(t, dir)
	check(i)
	deliver(t, i, "n@jatak.example", "carla@example.org", "Subject: three\r\n\r\nx\r\n")
	if err := i.Close(); err != nil {
		t.Fatal(err)
	}
	i = startInbox(t, dir)
	if m, ok := i.Message(3); !ok || m.Subject != "three" || i.Len() != 3 {
		t.Errorf("after the torn mail, the third is %+v, %v", m, ok)
	}
	if _, err := StartInbox(t.Context(), InboxOptions{Dir: dir}); err == nil {
		t.Error("two programs hold one inbox")
	}
	if err := i.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestInboxPages(t *testing.T) {
	t.Parallel()
	i := startInbox(t, t.TempDir())
	t.Cleanup(func() { _ = i.Close() })
	for n := range 60 {
		deliver(t, i, "n@jatak.example", fmt.Sprintf("p%d@example.org", n), fmt.Sprintf(
			"Subject: <b>mail %d</b>\r\nContent-Type: text/html; charset=utf-8\r\n\r\n<script>alert(1)</script><p>Hej %d</p>\r\n", n, n))
	}
	get := func(path string) (int, string, string) {
		w := httptest.NewRecorder()
		i.Handler().ServeHTTP(w, httptest.NewRequest("GET", path, nil))
		body, _ := io.ReadAll(w.Body)
		return w.Code, string(body), w.Header().Get("Content-Security-Policy")
	}
	code, list, _ := get("/")
	if code != 200 || strings.Contains(list, "<b>mail") || !strings.Contains(list, "&lt;b&gt;mail 59&lt;/b&gt;") {
		t.Errorf("the list (%d) is not what came last, escaped", code)
	}
	if code, html, policy := get("/messages/1/html"); code != 200 || !strings.Contains(html, "Hej 0") || !strings.Contains(policy, "sandbox") || strings.Contains(policy, "allow-scripts") {
		t.Errorf("the mail's own page (%d) may run scripts: %q", code, policy)
	}
	if code, source, _ := get("/messages/1/source"); code != 200 || !strings.Contains(source, "Subject: <b>mail 0</b>") {
		t.Errorf("the source (%d): %q", code, source)
	}
	if code, lines, _ := get("/api/messages"); code != 200 || bytes.Count([]byte(lines), []byte("\n")) != 60 {
		t.Errorf("the list for programs (%d) has %d lines", code, strings.Count(lines, "\n"))
	}
	for _, path := range []string{"/messages/0", "/messages/61", "/messages/x", "/messages/99999999999999999999", "/nothing"} {
		if code, _, _ := get(path); code != 404 {
			t.Errorf("%s answers %d", path, code)
		}
	}
}
