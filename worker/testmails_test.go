package worker_test

import (
	"net/mail"
	"strings"
	"testing"
	"time"

	"github.com/jatak-mail/jatak/internal/campaign"
	"github.com/jatak-mail/jatak/internal/contact"
	"github.com/jatak-mail/jatak/internal/mailer/mailertest"
)

// A test mail is sent once, by a worker, as it would be for the contact, to the
// address that was asked for; its author reads what became of it.
func TestTestMails(t *testing.T) {
	t.Parallel()
	h := newHouse(t, 2)
	sink := mailertest.New(t, func(at, to string) *mailertest.Do {
		if at == "RCPT" && strings.Contains(to, "gone@") {
			return &mailertest.Do{Reply: "550 5.1.1 nobody here"}
		}
		return nil
	})
	ref := campaign.DraftRef{ID: int64(h.draft())}
	d, err := h.db.Draft(t.Context(), ref)
	if err != nil {
		t.Fatal(err)
	}
	// The other language is not ready, which is no matter.
	d.Content.Variants["en"] = campaign.Variant{}
	if err := h.db.Erase(t.Context(), 2, "test", time.Now()); err != nil {
		t.Fatal(err)
	}
	broken := d.Content
	broken.FromAddress = ""
	ask := func(to string, content campaign.Content) {
		t.Helper()
		err := h.db.QueueTestMail(t.Context(), campaign.TestMail{Draft: ref, Content: content, Language: "da", Contact: 1,
			Address: contact.Address(to), Requested: time.Now(), Actor: "user:test"})
		if err != nil {
			t.Fatal(err)
		}
	}
	ask("author@jatak.example", d.Content)
	ask("gone@example.org", d.Content)
	ask("unready@jatak.example", broken)
	stop := h.start(sink.URL("max_conns=1"), nil)
	var list []campaign.TestMail
	deadline := time.Now().Add(30 * time.Second)
	for tick := time.NewTicker(20 * time.Millisecond); ; <-tick.C {
		if list, err = h.db.TestMails(t.Context(), ref, 10); err != nil {
			t.Fatal(err)
		}
		if len(list) == 3 && list[0].State != campaign.Pending && list[1].State != campaign.Pending && list[2].State != campaign.Pending {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("the test mails are not settled: %+v", list)
		}
	}
	stop()
	if list[2].State != campaign.Sent || list[1].State != campaign.Failed || !strings.Contains(list[1].Reply, "nobody here") ||
		list[0].State != campaign.Failed || !strings.Contains(list[0].Reply, "from_address") {
		t.Errorf("what became of them: %+v", list)
	}
	mails := sink.Messages()
	if len(mails) != 1 {
		t.Fatalf("%d mails", len(mails))
	}
	m, err := mail.ReadMessage(strings.NewReader(mails[0].Data))
	if err != nil {
		t.Fatal(err)
	}
	if m.Header.Get("Subject") != "[Test] Hej Bo" || mails[0].To != "author@jatak.example" || strings.Contains(mails[0].Data, "/m/") {
		t.Errorf("the mail is\n%s", mails[0].Data)
	}
	if n, err := h.db.ForgetTestMails(t.Context(), time.Now().Add(time.Second)); err != nil || n != 3 {
		t.Errorf("forgotten are %d, %v", n, err)
	}
}

// Nobody gets a test mail who gets no mail at all.
func TestTestMailsKeepToTheSuppressions(t *testing.T) {
	t.Parallel()
	h := newHouse(t, 0)
	ref := campaign.DraftRef{ID: int64(h.draft())}
	d, err := h.db.Draft(t.Context(), ref)
	if err != nil {
		t.Fatal(err)
	}
	const to = "erased@example.org"
	_, err = h.db.SignUp(t.Context(), contact.SignUp{Email: to, Address: to, Digest: h.keys.Digest(to), Purpose: "emarketing", Wording: "w", Network: []byte("n"), Now: time.Now(), Life: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	if err := h.db.Erase(t.Context(), 1, "test", time.Now()); err != nil {
		t.Fatal(err)
	}
	if err := h.db.QueueTestMail(t.Context(), campaign.TestMail{Draft: ref, Content: d.Content, Language: "da", Address: to, Requested: time.Now(), Actor: "user:test"}); err != nil {
		t.Fatal(err)
	}
	sink := mailertest.New(t, nil)
	stop := h.start(sink.URL(), nil)
	deadline := time.Now().Add(30 * time.Second)
	for tick := time.NewTicker(20 * time.Millisecond); ; <-tick.C {
		list, err := h.db.TestMails(t.Context(), ref, 10)
		if err != nil {
			t.Fatal(err)
		}
		if list[0].State == campaign.Blocked && list[0].Reason == "suppressed" {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("it is %+v", list)
		}
	}
	stop()
	if n := len(sink.Messages()); n != 0 {
		t.Errorf("%d mails", n)
	}
}
