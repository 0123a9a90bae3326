package console_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"

	"github.com/jatak-mail/jatak/internal/browsertest"
	"github.com/jatak-mail/jatak/internal/campaign"
	"github.com/jatak-mail/jatak/internal/console"
	"github.com/jatak-mail/jatak/internal/postgres"
	"github.com/jatak-mail/jatak/internal/staff"
)

// tab is a browser's window on an office's console.
type tab struct {
	t   *testing.T
	ctx context.Context
	url string
}

// browse opens a browser on the console and logs somebody of a role in.
func (o *office) browse(role staff.Role) *tab {
	o.t.Helper()
	b := o.open()
	token, hash := staff.NewToken()
	if err := o.db.Invite(o.t.Context(), hash, string(role)+"@browser.example", role, "test", time.Now(), time.Now().Add(time.Hour)); err != nil {
		o.t.Fatal(err)
	}
	b.do(chromedp.EmulateViewport(1280, 900), chromedp.Navigate(b.url+"/setup/"+token),
		chromedp.SendKeys(chromedp.CSS("input[name=password]"), password),
		chromedp.Click(chromedp.CSS("button.main")), chromedp.WaitVisible(chromedp.CSS("header .brand")))
	return b
}

// open opens a browser on the console, before login.
func (o *office) open() *tab {
	t := o.t
	t.Helper()
	ctx := browsertest.New(t, 5*time.Minute)
	handler, err := console.New(console.Options{Store: o.db, Together: o.together, Templates: o.words, Settings: postgres.Settings(), Now: time.Now, Log: slog.New(slog.DiscardHandler),
		URL: "http://console.example", Resolver: deaf{}, Upgrades: o, Patience: patience})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(handler)
	t.Cleanup(func() {
		server.CloseClientConnections() // the browser still listens for events
		server.Close()
	})
	return &tab{t, ctx, server.URL}
}

func (b *tab) do(steps ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, time.Minute)
	defer cancel()
	if err := chromedp.Do(ctx, steps...); err != nil {
		b.t.Fatal(err)
	}
}

// says fails unless the page says a text.
func (b *tab) says(want string) {
	b.t.Helper()
	text, err := chromedp.Run(b.ctx, chromedp.Text(chromedp.CSS("body")))
	if err != nil {
		b.t.Fatal(err)
	}
	if !strings.Contains(text, want) {
		b.t.Errorf("the page does not say %q:\n%s", want, text)
	}
}

// axe is what axe-core finds wrong with a page.
type axe struct {
	ID, Impact, Help string
	Nodes            []struct {
		HTML           string
		FailureSummary string
	}
}

// inspect opens a page on a phone and at a desk, in light and in dark: it fits the
// screen, and axe-core finds nothing against WCAG 2.2 AA. With JATAK_SCREENSHOTS
// each is kept as a picture in that folder.
func (b *tab) inspect(path string) {
	b.t.Helper()
	engine, err := os.ReadFile("testdata/axe/axe.min.js")
	if err != nil {
		b.t.Fatal(err)
	}
	b.do(chromedp.Navigate(b.url+path), chromedp.WaitReady(chromedp.CSS("main")))
	// The expression must have a small value: the engine itself is none.
	if _, err := chromedp.Run(b.ctx, chromedp.Evaluate[bool](string(engine)+";true")); err != nil {
		b.t.Fatal(err)
	}
	for _, width := range []int64{400, 1280} {
		// What is not of colours is the same in both themes.
		rules := `["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]`
		for _, theme := range []string{"dark", "light"} {
			where := fmt.Sprintf("%s at %d in %s", path, width, theme)
			b.do(chromedp.EmulateViewport(width, 900), b.theme(theme))
			// Scripts hear of a new theme with the next picture.
			wide, err := chromedp.Run(b.ctx, chromedp.Evaluate[int64](`new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => done(document.documentElement.scrollWidth))))`,
				chromedp.EvalAwaitPromise))
			if err != nil {
				b.t.Fatal(err)
			}
			if wide > width {
				b.t.Errorf("%s: %d pixels wide", where, wide)
			}
			b.shoot(path, width, theme)
			for _, v := range b.violations(rules) {
				b.t.Errorf("%s: %s (%s), %s: %.600v", where, v.Help, v.ID, v.Impact, v.Nodes)
			}
			rules = `{type: "rule", values: ["color-contrast", "link-in-text-block"]}`
		}
	}
	b.do(chromedp.EmulateViewport(1280, 900), b.theme("light"))
}

// violations asks axe-core, which the page has loaded, about rules by their tags.
// Frames hold mails, which are their authors'.
func (b *tab) violations(rules string) (found []axe) {
	b.t.Helper()
	text, err := chromedp.Run(b.ctx, chromedp.Evaluate[string](`axe.run(document, {iframes: false, runOnly: `+rules+`, resultTypes: ["violations"]})
		.then((r) => JSON.stringify(r.violations.map((v) => ({id: v.id, impact: v.impact, help: v.help, nodes: v.nodes.map((n) => ({html: n.html, failureSummary: n.failureSummary}))}))))`,
		chromedp.EvalAwaitPromise))
	if err != nil {
		b.t.Fatal(err)
	}
	if err := json.Unmarshal([]byte(text), &found); err != nil {
		b.t.Fatal(err)
	}
	return found
}

func (b *tab) theme(name string) chromedp.Action[chromedp.Void] {
	return chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := cdp.Call(ctx, t, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: name}}})
		return err
	})
}

func (b *tab) shoot(path string, width int64, theme string) {
	folder := os.Getenv("JATAK_SCREENSHOTS")
	if folder == "" {
		return
	}
	b.t.Helper()
	picture, err := chromedp.Run(b.ctx, chromedp.FullScreenshot(100))
	if err != nil {
		b.t.Fatal(err)
	}
	name := strings.Trim(strings.NewReplacer("/", "-", "?", "-", "=", "-", "&", "-").Replace(path), "-")
	if name == "" {
		name = "campaigns"
	}
	if err := os.WriteFile(filepath.Join(folder, fmt.Sprintf("%s.%d.%s.png", name, width, theme)), picture, 0o644); err != nil {
		b.t.Fatal(err)
	}
}

// From the set-up link to a campaign that is being sent and told of as it goes
// on, in both languages.
func TestInABrowser(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("starts a browser")
	}
	o := newOffice(t)
	b := o.browse(staff.Administrator)
	b.says(o.words.Text("en", "console.campaigns"))
	b.do(chromedp.Click(chromedp.CSS(`button[value=da]`)), chromedp.WaitVisible(chromedp.CSS(`html[lang=da] header .brand`)))
	b.says(o.words.Text("da", "console.campaigns"))

	page := fmt.Sprintf("%s/campaigns/%d", b.url, o.id)
	b.do(chromedp.Navigate(page+"/check"), chromedp.Click(chromedp.CSS(`form[action$="/launch"] button`)), chromedp.WaitVisible(chromedp.CSS(`.notice[role=status]`)))
	b.says(o.words.Text("da", "console.done.launched"))
	if _, _, err := o.db.Sweep(t.Context(), true, time.Now(), 0, 10); err != nil {
		t.Fatal(err)
	}

	// What happens elsewhere shows without a reload.
	b.do(chromedp.Navigate(page), chromedp.WaitVisible(chromedp.CSS(`[data-events]`)))
	if err := o.db.Pause(t.Context(), o.id, "lunch"); err != nil {
		t.Fatal(err)
	}
	paused := o.words.Text("da", "state."+string(campaign.StatePaused))
	if _, err := chromedp.Run(b.ctx, chromedp.Poll[bool](fmt.Sprintf(`document.querySelector("#live-state .badge").textContent === %q`, paused))); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"/", fmt.Sprintf("/campaigns/%d", o.id), fmt.Sprintf("/campaigns/%d/report", o.id), fmt.Sprintf("/campaigns/%d/people?state=pending", o.id), "/contacts?q=holm", "/contacts/1", "/settings"} {
		b.inspect(path)
	}
}
