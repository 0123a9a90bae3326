package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/jatak-mail/jatak/internal/campaign"
	"github.com/jatak-mail/jatak/internal/mailer/mailertest"
	"github.com/jatak-mail/jatak/internal/postgres/postgrestest"
	"github.com/jatak-mail/jatak/templates"
)

// A marketer who has never seen Jatak gets from the set-up link to the report of a
// first campaign, by what the pages say, in either language.
func TestWalkFromTheEmptySystemToTheReport(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("starts a browser")
	}
	for _, lang := range templates.StaffLanguages() {
		t.Run(lang, func(t *testing.T) {
			t.Parallel()
			walkToTheReport(t, lang)
		})
	}
}

func walkToTheReport(t *testing.T, lang string) {
	db, databaseURL := postgrestest.New(t)
	i := installEmpty(t, nil, db, databaseURL)
	d := i.desk()
	w := newWalker(t, lang)

	w.open(d.link())
	w.press(w.words.Text(lang, "language")) // the switch at the end of the page
	w.sees(w.say("console.setup"))
	w.look("setup")
	w.fill(w.say("console.email"), "maja@jatak.example")
	w.fill(w.say("console.password.new"), "correct horse battery")
	w.press(w.say("console.setup.button"))

	// Nothing is there yet, and the page says what is next.
	w.sees(w.say("console.start"))
	w.look("start")
	w.press(w.say("console.contacts"))
	w.sees(w.say("contacts.none"))
	w.look("contacts")
	w.press(w.say("console.campaigns"))
	w.press(w.say("console.start.contacts.do"))
	list := filepath.Join(t.TempDir(), "kunder.csv")
	if err := os.WriteFile(list, []byte("E-mail;Fornavn;Efternavn;Firma;Sprog\n"+
		"anna@example.org;Anna;Holm;Nordlys;da\nbo@example.org;Bo;Østergård;;da\ncara@other.example;Cara;Lund;;en\ndan@example.org;Dan;Krogh;;da\nikke en adresse;Eva;Bech;;da\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	w.look("imports")
	w.attach(list)
	w.press(w.say("lists.upload"))
	w.sees("kunder.csv")
	w.choose(w.say("lists.basis"), w.say("console.composer.basis.consent"))
	w.fill(w.say("lists.wording"), "Ja tak, send mig nyt om kaffe.")
	w.fill(w.say("lists.reason"), "Messe 2026")
	w.look("import")
	w.press(w.say("lists.check"))
	w.sees(w.say("lists.state.checked"))
	w.look("import-checked")
	w.press(w.say("lists.run"))
	w.sees(w.say("lists.finished"))
	w.look("import-done")

	// Who mails are from, and a worker to send them.
	w.press(w.say("console.campaigns"))
	w.press(w.say("console.start.sender.do"))
	w.fill(w.say("setting.sender-name"), "Kafferisteriet")
	w.fill(w.say("setting.sender-address"), "nyt@jatak.example")
	w.fill(w.say("setting.postal-address"), "Pakhuskaj 7, 5000 Odense C")
	w.press(w.say("console.settings.save"))
	w.sees(w.say("console.done.saved"))
	w.look("sender")
	w.press(w.say("console.campaigns"))
	w.press(w.say("console.start.sending.do"))
	w.sees(w.say("console.relays.none"))
	w.look("relays-none")
	worker := i.worker()                // by whoever runs the installation
	w.press(w.say("console.relay.try")) // it shows by itself
	w.sees(w.say("console.relay.good"))
	w.look("relays")

	// The campaign, step by step.
	w.press(w.say("console.campaigns"))
	w.look("start-ready")
	w.press(w.say("console.composer.new"))
	w.look("new")
	w.fill(w.say("console.name"), "Nyt fra risteriet")
	w.press(w.say("console.composer.create"))
	w.sees(w.say("console.composer.audience.title"))
	w.sees(w.words.CountText(lang, "filter.all", 4))
	w.look("audience")
	w.press(w.say("console.composer.next"))
	w.sees(w.say("console.composer.sender"))
	w.look("type")
	w.press(w.say("console.composer.next"))
	w.sees(w.say("console.composer.preview"))
	w.look("content-empty")
	w.fill(w.say("console.composer.subject"), "Årets høst er ristet")
	w.write("# Hej {{ contact.first_name }}\n\nÅrets høst er ristet. [Smag den](https://shop.example/smag) på fredag.\n")
	w.sees("Hej Anna") // the preview follows
	w.look("content")
	w.press(w.say("console.composer.next"))
	w.sees(w.say("console.check.falls"))
	w.look("check")
	w.press(w.say("console.check.button", w.words.CountText(lang, "console.people", 4), w.words.LanguageName(lang, lang)))

	// It is sent while one looks, and told of without a click.
	w.is(campaign.StateFinished)
	w.look("live")
	w.press(w.say("console.tab.report"))
	w.sees(w.say("console.balanced", "4"))
	w.look("report")
	w.press(w.say("console.campaigns"))
	w.sees("Nyt fra risteriet")
	w.look("campaigns")
	if mails := i.sink.Messages(); len(mails) != 4 {
		t.Errorf("%d mails arrived, want 4", len(mails))
	}
	for _, p := range []*process{worker, d.process} {
		if text := p.log.String(); strings.Contains(text, "@example.org") || strings.Contains(text, "level=ERROR") {
			t.Errorf("the log:\n%s", p.lastWords())
		}
	}
}

// The page of a campaign under way tells the truth while workers and the console
// die, with and without a reload.
func TestFaultTheConsoleTellsTheTruth(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("starts a browser")
	}
	const contacts, some = 600, 200
	relay := &turnstile{most: some, open: make(chan struct{})}
	i := install(t, contacts, relay.pass)
	d := i.desk()
	w := newWalker(t, "en")
	w.open(d.link())
	w.fill(w.say("console.email"), "maja@jatak.example")
	w.fill(w.say("console.password.new"), "correct horse battery")
	w.press(w.say("console.setup.button"))
	p := i.worker()
	id := i.launch()
	w.press(w.say("console.campaigns"))
	w.press("c")
	w.is(campaign.StateSending)
	i.await(id, "mails to be on their way", func(_ campaign.Campaign, b campaign.Report) bool { return relay.taken.Load() > some && b.Sending > 0 })
	noWorker := w.say("console.hint.no_worker")
	w.truth(i, id)

	p.kill()
	w.sees(noWorker)
	w.truth(i, id)

	// With the console the page comes back to life, and a reload says the same.
	d.kill()
	d.start()
	i.run("campaign", "pause", fmt.Sprint(id))
	w.is(campaign.StatePaused)
	i.run("campaign", "resume", fmt.Sprint(id))
	w.sees(noWorker)
	w.truth(i, id)
	w.do("reload", chromedp.Reload())
	w.sees(noWorker)
	w.truth(i, id)
	w.look("no-worker")

	relay.let()
	next := i.worker()
	w.is(campaign.StateFinished)
	w.truth(i, id)
	w.press(w.say("console.tab.report"))
	w.sees(w.say("console.balanced", fmt.Sprint(contacts)))
	i.sentToAll(id, contacts, testWindow)
	says(t, wordDead, next)
}

// truth waits until the page shows the ledger's state and numbers. The ledger may
// go on meanwhile, and the page follows.
func (w *walker) truth(i *installation, id campaign.ID) {
	w.t.Helper()
	i.await(id, "the page to show the books", func(kept campaign.Campaign, b campaign.Report) bool {
		shown := w.shown()
		want := map[string]int64{"state." + string(kept.State): 1}
		for state, n := range map[campaign.DeliveryState]int64{campaign.Sent: b.Sent, campaign.Pending: b.Pending, campaign.Sending: b.Sending, campaign.Deferred: b.Deferred,
			campaign.Failed: b.Failed, campaign.InDoubt: b.InDoubt, campaign.Cancelled: b.Cancelled, campaign.Blocked: b.BlockedTotal()} {
			want["books."+string(state)] = n
		}
		for key, n := range want {
			if shown == nil || shown[w.say(key)] != n { // at the end, what is nothing is not shown
				return false
			}
		}
		return true
	})
}

// shown reads the state and the numbers of a campaign's page.
func (w *walker) shown() map[string]int64 {
	ctx, cancel := context.WithTimeout(w.ctx, 10*time.Second)
	defer cancel()
	numbers, err := chromedp.Run(ctx, chromedp.Evaluate[map[string]int64](`Object.fromEntries([[document.querySelector("h1 ~ p .badge").textContent, 1],
...[...document.querySelectorAll("#live-books li")].map((li) => [li.querySelector(".bar-name").textContent.trim(), Number(li.querySelector(".bar-value").firstChild.textContent.replace(/\D/g, ""))])])`))
	if err != nil {
		return nil // between two pages
	}
	return numbers
}

// turnstile is a relay that takes so many mails and lets the next ones wait.
type turnstile struct {
	most  int64
	taken atomic.Int64
	open  chan struct{}
}

func (r *turnstile) pass(at, _ string) *mailertest.Do {
	if at == "DOT" && r.taken.Add(1) > r.most {
		return &mailertest.Do{Wait: r.open}
	}
	return nil
}

func (r *turnstile) let() { close(r.open) }
