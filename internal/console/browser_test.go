package console_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/jatak-mail/jatak/internal/campaign"
	"github.com/jatak-mail/jatak/internal/console"
	"github.com/jatak-mail/jatak/internal/postgres"
	"github.com/jatak-mail/jatak/internal/staff"
)

// From the set-up link to a campaign that is being sent and told of as it goes
// on, at a desk and on a phone, in both languages.
func TestInABrowser(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("starts a browser")
	}
	program := ""
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome", "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			program = path
			break
		}
	}
	if program == "" {
		t.Fatal("no Chromium; install it with: script/install-deps test")
	}
	profile, err := os.MkdirTemp("", "jatak-browser-")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := chromedp.NewExecAllocator(context.Background(), append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(program), chromedp.NoSandbox, chromedp.UserDataDir(profile))...)
	ctx, cancelTab := chromedp.NewContext(ctx)
	ctx, cancelTime := context.WithTimeout(ctx, 2*time.Minute)
	t.Cleanup(func() {
		cancelTime()
		cancelTab()
		cancel()
		_ = os.RemoveAll(profile)
	})

	o := newOffice(t)
	handler, err := console.New(console.Options{Store: o.db, Templates: o.words, Settings: postgres.Settings(), Now: time.Now, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	token, hash := staff.NewToken()
	if err := o.db.Invite(t.Context(), hash, "", staff.Administrator, time.Now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	do := func(steps ...chromedp.Action[chromedp.Void]) {
		t.Helper()
		if err := chromedp.Do(ctx, steps...); err != nil {
			t.Fatal(err)
		}
	}
	says := func(lang, key string) {
		t.Helper()
		text, err := chromedp.Run(ctx, chromedp.Text(chromedp.CSS("body")))
		if err != nil {
			t.Fatal(err)
		}
		if want := o.words.Text(lang, key); !strings.Contains(text, want) {
			t.Errorf("the page does not say %q:\n%s", want, text)
		}
	}
	do(chromedp.EmulateViewport(1280, 900), chromedp.Navigate(server.URL+"/setup/"+token),
		chromedp.SendKeys(chromedp.CSS("input[name=email]"), "me@jatak.example"), chromedp.SendKeys(chromedp.CSS("input[name=password]"), password),
		chromedp.Click(chromedp.CSS("button.main")), chromedp.WaitVisible(chromedp.CSS("nav .brand")))
	says("en", "console.campaigns")
	do(chromedp.Click(chromedp.CSS(`button[value=da]`)), chromedp.WaitVisible(chromedp.CSS(`html[lang=da] nav .brand`)))
	says("da", "console.campaigns")

	page := fmt.Sprintf("%s/campaigns/%d", server.URL, o.id)
	do(chromedp.Navigate(page), chromedp.Click(chromedp.CSS(`form[action$="/launch"] button`)), chromedp.WaitVisible(chromedp.CSS(`.notice`)))
	says("da", "console.done.launched")
	if _, _, err := o.db.Sweep(t.Context(), true, time.Now().Add(time.Second), time.Now(), 10); err != nil {
		t.Fatal(err)
	}
	// What happens elsewhere shows without a reload.
	do(chromedp.Navigate(page), chromedp.WaitVisible(chromedp.CSS(`[data-events]`)))
	if err := o.db.Pause(t.Context(), o.id, "lunch"); err != nil {
		t.Fatal(err)
	}
	paused := o.words.Text("da", "state."+string(campaign.StatePaused))
	if _, err := chromedp.Run(ctx, chromedp.Poll[bool](fmt.Sprintf(`document.querySelector("[data-live=state_name]").textContent === %q`, paused))); err != nil {
		t.Fatal(err)
	}

	for _, width := range []int64{400, 1280} {
		do(chromedp.EmulateViewport(width, 900))
		for _, path := range []string{"/", fmt.Sprintf("/campaigns/%d", o.id), fmt.Sprintf("/campaigns/%d/report", o.id), "/contacts?q=holm", "/contacts/1", "/settings"} {
			do(chromedp.Navigate(server.URL + path))
			wide, err := chromedp.Run(ctx, chromedp.Evaluate[int64](`document.documentElement.scrollWidth`))
			if err != nil {
				t.Fatal(err)
			}
			if wide > width {
				t.Errorf("%s is %d pixels wide on a screen of %d", path, wide, width)
			}
		}
	}
}
