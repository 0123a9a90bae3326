package preferences_test

import (
	"fmt"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"

	"github.com/jatak-mail/jatak/gating"
	"github.com/jatak-mail/jatak/internal/browsertest"
)

// What a recipient does, on a phone and on a desk, in both languages, with
// scripts switched off.
func TestInABrowser(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("starts a browser")
	}
	browser := browsertest.New(t, 3*time.Minute)
	for _, size := range []struct{ width, height int64 }{{320, 640}, {1280, 900}} {
		for _, lang := range []string{"da", "en", "de", "fi", "fr"} {
			p := newPortal(t, "http://portal.localhost")
			server := httptest.NewServer(p.handler)
			t.Cleanup(server.Close)
			t.Run(fmt.Sprintf("%s, %d pixels", lang, size.width), func(t *testing.T) {
				do := func(steps ...chromedp.Action[chromedp.Void]) {
					t.Helper()
					if err := chromedp.Do(browser, steps...); err != nil {
						t.Fatal(err)
					}
				}
				measure := func(expression string) int64 {
					t.Helper()
					n, err := chromedp.Run(browser, chromedp.Evaluate[int64](expression))
					if err != nil {
						t.Fatal(err)
					}
					return n
				}
				fits := func(where string) {
					t.Helper()
					if wide := measure(`document.documentElement.scrollWidth`); wide > size.width {
						t.Errorf("%s is %d pixels wide on a screen of %d", where, wide, size.width)
					}
					if smallest := measure(`Math.min(...[...document.querySelectorAll("button, label.choice")].map(e => Math.round(e.getBoundingClientRect().height)))`); smallest < 44 {
						t.Errorf("%s has something to touch that is only %d pixels high", where, smallest)
					}
				}
				says := func(key string) {
					t.Helper()
					text, err := chromedp.Run(browser, chromedp.Text(chromedp.CSS("main")))
					if err != nil {
						t.Fatal(err)
					}
					if want := p.says(lang, key); !containsFolded(text, want) {
						t.Errorf("the page does not say %q:\n%s", want, text)
					}
				}
				press := func(button string, appears chromedp.CSS) {
					t.Helper()
					do(chromedp.Click(chromedp.CSS(button)), chromedp.WaitVisible(appears))
				}
				if _, err := chromedp.Call(browser, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true}); err != nil {
					t.Fatal(err)
				}
				do(chromedp.EmulateViewport(size.width, size.height), chromedp.Navigate(server.URL+p.manage(anna)+"?lang="+lang))
				says("manage.types")
				fits("the manage page")

				do(chromedp.Click(chromedp.CSS(fmt.Sprintf(`input[name=type][value="%d"]`, p.types["News"]))))
				press("button[value=save]", ".notice")
				says("done.saved")
				if got := p.preference(anna, "News"); got != gating.PreferenceOut {
					t.Errorf("after taking the mark off, News is %q", got)
				}

				press("button[value=stop]", "button[value=undo]")
				says("done.stopped")
				fits("the page after stopping")
				if got := p.profile(anna).Emarketing.Basis; got != gating.BasisWithdrawn {
					t.Errorf("after stopping, the basis is %q", got)
				}

				press("button[value=undo]", "button[value=stop]")
				says("done.started")

				do(chromedp.Navigate(server.URL + p.withdraw(anna, 0) + "?lang=" + lang))
				says("unsubscribe.ask.all")
				fits("the unsubscribe page")
				press("button.danger", ".notice")
				says("unsubscribe.done.all")
			})
		}
	}
}

// No language's words are too long for a narrow phone.
func TestEveryLanguageFits(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("starts a browser")
	}
	browser := browsertest.New(t, 3*time.Minute)
	p := newPortal(t, "http://portal.localhost")
	server := httptest.NewServer(p.handler)
	t.Cleanup(server.Close)
	for _, lang := range p.words.Languages() {
		for _, path := range []string{p.manage(anna), p.withdraw(anna, p.types["News"]), "/nowhere"} {
			if err := chromedp.Do(browser, chromedp.EmulateViewport(320, 640), chromedp.Navigate(server.URL+path+"?lang="+lang)); err != nil {
				t.Fatal(err)
			}
			wide, err := chromedp.Run(browser, chromedp.Evaluate[int64](`document.documentElement.lang === "`+lang+`" ? document.documentElement.scrollWidth : -1`))
			if err != nil || wide < 0 || wide > 320 {
				t.Errorf("%s %s is %d pixels wide, %v", lang, path[:3], wide, err)
			}
		}
	}
}
