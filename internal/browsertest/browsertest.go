// Package browsertest gives each test a real Chromium of its own.
package browsertest

import (
	"context"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

// New starts a browser that ends with the test, or with its life, and returns the
// context of its first page. Flags are Chromium's.
func New(t testing.TB, life time.Duration, flags ...chromedp.ExecAllocatorOption) context.Context {
	t.Helper()
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
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(program), chromedp.NoSandbox, chromedp.UserDataDir(profile))
	ctx, cancel := chromedp.NewExecAllocator(context.Background(), append(options, flags...)...)
	ctx, cancelTab := chromedp.NewContext(ctx)
	ctx, cancelLife := context.WithTimeout(ctx, life)
	t.Cleanup(func() {
		cancelLife()
		cancelTab()
		cancel()
		_ = os.RemoveAll(profile) // a dying browser may still write
	})
	// The browser lives as long as the context of its first step.
	if err := chromedp.Do(ctx); err != nil {
		t.Fatal(err)
	}
	return ctx
}
