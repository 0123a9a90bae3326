package worker_test

import (
	"net/mail"
	"strings"
	"testing"
	"time"

	"github.com/jatak-mail/jatak/internal/mailer/mailertest"
	"github.com/jatak-mail/jatak/internal/managelink"
	"github.com/jatak-mail/jatak/worker"
)

func TestReturnPathSaysWhoseMailComesBack(t *testing.T) {
	t.Parallel()
	h := newHouse(t, 20)
	sink := mailertest.New(t, nil)
	h.start(sink.URL(), func(o *worker.Options) { o.BounceAddress = "bounces@back.example" })
	id := h.launch()
	h.finished(id)
	for _, m := range sink.Messages() {
		token, ours := strings.CutPrefix(strings.TrimSuffix(m.From, "@back.example"), "bounces+")
		bounce, err := h.keys.OpenBounce(token)
		if !ours || err != nil || bounce.Campaign != int64(id) {
			t.Fatalf("MAIL FROM %q: %+v, %v", m.From, bounce, err)
		}
		message, err := mail.ReadMessage(strings.NewReader(m.Data))
		if err != nil {
			t.Fatal(err)
		}
		withdraw, _, _ := strings.Cut(strings.TrimPrefix(message.Header.Get("List-Unsubscribe"), "<https://jatak.example/u/"), ">")
		link, err := h.keys.Open(withdraw, time.Now())
		if err != nil || link.Kind != managelink.Withdraw || link.Contact != bounce.Contact {
			t.Errorf("the return path is contact %d's, the mail contact %d's (%v)", bounce.Contact, link.Contact, err)
		}
	}
	if n := len(sink.Messages()); n != 20 {
		t.Errorf("%d mails, want 20", n)
	}
}
