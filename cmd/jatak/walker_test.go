package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/chromedp"

	"github.com/jatak-mail/jatak/internal/browsertest"
	"github.com/jatak-mail/jatak/internal/campaign"
	"github.com/jatak-mail/jatak/templates"
)

// walker is a person at a browser, who reads what is on the screen and clicks on
// it. There is no other way through: no addresses, no selectors, no store.
type walker struct {
	t     *testing.T
	ctx   context.Context
	words *templates.Set
	lang  string
	seen  int // pictures that were taken
}

const (
	// stepLimit is how long anything that a walker waits for may take.
	stepLimit = 40 * time.Second
	// walkLimit is how long a walk may take in all.
	walkLimit = 10 * time.Minute
)

func newWalker(t *testing.T, lang string) *walker {
	t.Helper()
	words, err := templates.New()
	if err != nil {
		t.Fatal(err)
	}
	ctx := browsertest.New(t, walkLimit, chromedp.Flag("accept-lang", "en"))
	w := &walker{t: t, ctx: ctx, words: words, lang: lang}
	if err := chromedp.Do(ctx, chromedp.EmulateViewport(1280, 900)); err != nil {
		t.Fatal(err)
	}
	return w
}

// say is the sentence of a key in the walker's language.
func (w *walker) say(key string, args ...any) string { return w.words.Text(w.lang, key, args...) }

func (w *walker) do(what string, steps ...chromedp.Action[chromedp.Void]) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.ctx, stepLimit)
	defer cancel()
	if err := chromedp.Do(ctx, steps...); err != nil {
		w.t.Fatalf("%s: %v\n%s", what, err, w.page())
	}
}

// page is what the page says, for a message.
func (w *walker) page() string {
	ctx, cancel := context.WithTimeout(w.ctx, 5*time.Second)
	defer cancel()
	text, err := chromedp.Run(ctx, chromedp.Evaluate[string](`location.pathname + "\n" + document.body.innerText`))
	if err != nil {
		return err.Error()
	}
	return text
}

// open follows a link that was given by other means.
func (w *walker) open(url string) { w.do("open the link", chromedp.Navigate(url)) }

// spot is where something is on the screen.
type spot struct {
	X, Y   float64
	Leaves bool   // a click on it leads to another page
	Why    string // it cannot be clicked on; "" when it can
}

// spotting finds what can be clicked on and says a text, as a person does: it is
// on the screen and nothing covers it. What is only read aloud is no part of its
// text.
const spotting = `(() => {
const said = (e) => { const c = e.cloneNode(true); for (const away of c.querySelectorAll(".away, small, .badge")) away.remove(); return c.textContent.replace(/\s+/g, " ").trim() };
const found = [...document.querySelectorAll(%q)].filter((e) => said(e) === %q && e.checkVisibility({visibilityProperty: true}));
if (found.length === 0) return {why: "nothing on the page says so"};
const e = found[0], control = %t ? e.closest("label").control : e;
if (!control) return {why: "there is no field to it"};
control.scrollIntoView({block: "center", behavior: "instant"});
const box = control.getClientRects()[0] || e.getClientRects()[0];
const x = box.left + box.width / 2, y = box.top + box.height / 2, hit = document.elementFromPoint(x, y);
if (control.disabled) return {why: "it is disabled"};
if (!hit || !control.contains(hit) && !e.contains(hit)) return {why: "something covers it: " + (hit ? hit.outerHTML.slice(0, 200) : "it is off the screen")};
const form = control.closest("form");
const leaves = control.matches("a[href]:not([hx-get])") || control.matches("button:not([type=button]):not([hx-post])") && !!form && form.checkValidity();
if (leaves) document.documentElement.dataset.walked = "1";
return {x, y, leaves};
})()`

// find waits until something of a kind says a text and can be clicked on.
func (w *walker) find(kinds, text string, control bool) (at spot) {
	w.t.Helper()
	w.poll(func(ctx context.Context) (missing string) {
		raw, err := chromedp.Run(ctx, chromedp.Evaluate[json.RawMessage](fmt.Sprintf(spotting, kinds, text, control)))
		at = spot{}
		if err == nil {
			err = json.Unmarshal(raw, &at)
		}
		if err != nil || at.Why != "" {
			return fmt.Sprintf("%q: %s, %v", text, at.Why, err)
		}
		return ""
	})
	return at
}

// poll looks until nothing is missing any more.
func (w *walker) poll(look func(context.Context) (missing string)) {
	w.t.Helper()
	deadline := time.Now().Add(stepLimit)
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for ; ; <-tick.C {
		ctx, cancel := context.WithTimeout(w.ctx, 10*time.Second)
		missing := look(ctx)
		cancel()
		if missing == "" {
			return
		}
		if time.Now().After(deadline) {
			w.t.Fatalf("%s\n%s", missing, w.page())
		}
	}
}

// press clicks on what says a text, and waits for the page that it leads to.
func (w *walker) press(text string) {
	w.t.Helper()
	at := w.find("a, button, summary, label", text, false)
	w.do("press "+text, chromedp.MouseClickXY(at.X, at.Y))
	if at.Leaves {
		w.until(fmt.Sprintf("the page behind %q", text), `!document.documentElement.dataset.walked && document.readyState === "complete"`)
	}
}

// until waits for a condition of the page.
func (w *walker) until(what, condition string) {
	w.t.Helper()
	w.poll(func(ctx context.Context) (missing string) {
		ok, err := chromedp.Run(ctx, chromedp.Evaluate[bool](condition))
		if err != nil || !ok { // between two pages there is none to ask
			return fmt.Sprintf("waited too long for %s, %v", what, err)
		}
		return ""
	})
}

// sees waits until the page says a text, whatever capitals it is shown in.
func (w *walker) sees(text string) {
	w.t.Helper()
	w.until(fmt.Sprintf("%q", text), fmt.Sprintf(`document.body.innerText.replace(/\s+/g, " ").includes(%q)`, strings.Join(strings.Fields(text), " ")))
}

// is waits until the page of a campaign names its state: the word alone may be part
// of another one.
func (w *walker) is(state campaign.State) {
	w.t.Helper()
	w.until(fmt.Sprintf("state %s", state), fmt.Sprintf(`document.querySelector("h1 ~ p .badge")?.textContent.trim() === %q`, w.say("state."+string(state))))
}

// fill types into the field of a label.
func (w *walker) fill(label, value string) {
	w.t.Helper()
	at := w.find("label, label > span", label, true)
	w.do("fill in "+label, chromedp.MouseClickXY(at.X, at.Y, chromedp.ClickCount(3)), insert(value))
}

// choose takes what is offered in the list of a label.
func (w *walker) choose(label, text string) {
	w.t.Helper()
	w.find("label > span", label, true)
	w.until(fmt.Sprintf("%q in %q", text, label), fmt.Sprintf(`(() => {
const label = [...document.querySelectorAll("label")].find((l) => l.querySelector("span")?.textContent.trim() === %q);
const option = [...label.control.options].find((o) => o.textContent.trim() === %q);
if (!option) return false;
label.control.value = option.value;
label.control.dispatchEvent(new Event("input", {bubbles: true}));
label.control.dispatchEvent(new Event("change", {bubbles: true}));
return true })()`, label, text))
}

// write types into the editor, the only large field of its page.
func (w *walker) write(text string) {
	w.t.Helper()
	w.do("write", chromedp.Click(chromedp.CSS(".editor-host")), insert(text))
}

func insert(text string) chromedp.Action[chromedp.Void] {
	return chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := cdp.Call(ctx, t, input.InsertText, input.InsertTextParams{Text: text})
		return err
	})
}

// attach puts a file into the only file field.
func (w *walker) attach(file string) {
	w.t.Helper()
	w.do("attach", chromedp.SetUploadFiles(chromedp.CSS("input[type=file]"), []string{file}))
}

// look keeps the page as pictures in the folder that JATAK_SCREENSHOTS names.
func (w *walker) look(name string) {
	folder := os.Getenv("JATAK_SCREENSHOTS")
	if folder == "" {
		return
	}
	w.t.Helper()
	w.seen++
	for _, width := range []int64{400, 1280} {
		theme := map[int64]string{400: "dark", 1280: "light"}[width]
		w.do("look", chromedp.EmulateViewport(width, 900), chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
			_, err := cdp.Call(ctx, t, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: theme}}})
			return err
		}))
		picture, err := chromedp.Run(w.ctx, chromedp.FullScreenshot(100))
		if err == nil {
			err = os.WriteFile(filepath.Join(folder, fmt.Sprintf("walk-%s-%02d-%s.%d.png", w.lang, w.seen, name, width)), picture, 0o600)
		}
		if err != nil {
			w.t.Fatal(err)
		}
	}
}

// desk is a console in a process of its own, at an address that stays the same
// when it is started again.
type desk struct {
	*process
	i       *installation
	address string
}

func (i *installation) desk() *desk {
	i.t.Helper()
	d := &desk{i: i, address: freeAddress()}
	i.set("JATAK_CONSOLE_LISTEN="+d.address, "JATAK_LISTEN="+freeAddress())
	d.start()
	return d
}

// start starts it, again after it was killed.
func (d *desk) start() {
	d.i.t.Helper()
	d.process = d.i.start("serve")
}

var setupLink = regexp.MustCompile(`http://\S+/setup/\S+`)

// link is the one that the console prints at its first start.
func (d *desk) link() string {
	d.i.t.Helper()
	says(d.i.t, "/setup/", d.process)
	return setupLink.FindString(d.log.String())
}
