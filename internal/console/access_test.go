package console_test

import (
	"fmt"
	"html"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/jatak-mail/jatak/internal/campaign"
	"github.com/jatak-mail/jatak/internal/staff"
)

// Who follows a link to a page is led to it by the login, and to no other site.
func TestALoginLeadsOnToThePageThatWasAskedFor(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	o.as(staff.Viewer)
	page := fmt.Sprintf("/campaigns/%d/people?state=pending", o.id)
	login := o.visitor().do("GET", page, nil).Header().Get("Location")
	form := url.Values{"email": {"viewer@jatak.example"}, "password": {password}}
	if w := o.visitor().do("POST", login, form); w.Header().Get("Location") != page {
		t.Errorf("%s leads by %s to %q", page, login, w.Header().Get("Location"))
	}
	for _, next := range []string{"", "https://evil.example/", "//evil.example/", "/%2Fevil.example", "/\\evil.example", "\\\\evil.example", "javascript:alert(1)", "people"} {
		w := o.visitor().do("POST", "/login?"+url.Values{"next": {next}}.Encode(), form)
		if to := w.Header().Get("Location"); to != "/" {
			t.Errorf("the login leads by %q to %q: %d", next, to, w.Code)
		}
	}
	for _, w := range []string{o.visitor().do("POST", "/logout", url.Values{}).Header().Get("Location"), o.visitor().do("GET", page, nil, "HX-Request", "true").Header().Get("HX-Redirect")} {
		if w != "/login" {
			t.Errorf("what is no page leads on by %q", w)
		}
	}
}

// A colleague whose link was used is told what to do, in their language.
func TestASetUpLinkThatEndedSaysHowToGetAnother(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	for _, lang := range []string{"da", "en"} {
		said := html.UnescapeString(o.visitor().do("GET", "/setup/old", nil, "Accept-Language", lang).Body.String())
		if want := o.words.Text(lang, "console.setup.nobody.text"); !strings.Contains(said, want) || !strings.Contains(want, "jatak user invite --role administrator") {
			t.Errorf("before there is a user the page does not say %q:\n%s", want, said)
		}
	}
	o.as(staff.Administrator)
	for _, lang := range []string{"da", "en"} {
		for _, method := range []string{"GET", "POST"} {
			w := o.visitor().do(method, "/setup/old", url.Values{}, "Accept-Language", lang)
			said := html.UnescapeString(w.Body.String())
			if want := o.words.Text(lang, "console.setup.ended.text"); w.Code != http.StatusNotFound || !strings.Contains(said, want) {
				t.Errorf("%s answers %d and does not say %q:\n%s", method, w.Code, want, said)
			}
		}
	}
}

func TestTheSetUpFormSaysInTheReadersLanguageWhatIsWrong(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	token, hash := staff.NewToken()
	if err := o.db.Invite(t.Context(), hash, "", staff.Administrator, "test", noon, noon.Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	for _, lang := range []string{"da", "en"} {
		for _, test := range []struct{ email, password, want string }{
			{"anna", password, o.words.Text(lang, "console.users.email.wrong")},
			{"anna@jatak.example", "short", o.words.Text(lang, "console.account.short", staff.LeastPassword, staff.MostPassword)},
		} {
			w := o.visitor().do("POST", "/setup/"+token, url.Values{"email": {test.email}, "password": {test.password}}, "Accept-Language", lang)
			if w.Code != http.StatusBadRequest || !strings.Contains(html.UnescapeString(w.Body.String()), test.want) {
				t.Errorf("%q and %q answer %d and do not say %q", test.email, test.password, w.Code, test.want)
			}
		}
	}
}

// waits awaits what a page comes to be.
func (b *tab) waits(what, condition string) {
	b.t.Helper()
	deadline := time.Now().Add(45 * time.Second)
	for tick := time.NewTicker(50 * time.Millisecond); ; <-tick.C {
		// A page that is being loaded has no answer yet.
		if done, err := chromedp.Run(b.ctx, chromedp.Evaluate[bool](condition)); err == nil && done {
			return
		}
		if time.Now().After(deadline) {
			b.t.Fatal(what)
		}
	}
}

// While a proxy answers in the server's place, the page says that its figures
// are old; afterwards it follows again. When the session has ended it shows the
// login.
func TestALivePageOutlivesARestartBehindAProxy(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("starts a browser")
	}
	o := newOffice(t)
	b := o.browse(staff.Administrator)
	target, err := url.Parse(b.url)
	if err != nil {
		t.Fatal(err)
	}
	var away atomic.Bool
	to := &httputil.ReverseProxy{FlushInterval: -1, Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(target) }}
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if away.Load() {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		to.ServeHTTP(w, r)
	}))
	t.Cleanup(func() {
		proxy.CloseClientConnections()
		proxy.Close()
	})
	b.do(chromedp.Navigate(fmt.Sprintf("%s/campaigns/%d/check", b.url, o.id)), chromedp.Click(chromedp.CSS(`form[action$="/launch"] button`)), chromedp.WaitVisible(chromedp.CSS(`.notice[role=status]`)))
	if _, _, err := o.db.Sweep(t.Context(), true, time.Now(), 0, 10); err != nil {
		t.Fatal(err)
	}
	// Cookies are of the host, whatever the port.
	b.do(chromedp.Navigate(fmt.Sprintf("%s/campaigns/%d", proxy.URL, o.id)), chromedp.WaitVisible(chromedp.CSS(`[data-events]`)))
	away.Store(true)
	proxy.CloseClientConnections()
	words, _, _ := strings.Cut(o.words.Text("en", "console.live.broken"), "%s")
	b.waits("the page does not say that it is cut off", fmt.Sprintf(`(() => { const p = document.getElementById("broken"); return !p.hidden && p.textContent.startsWith(%q) && /\d:\d\d/.test(p.textContent); })()`, words))
	if err := o.db.Pause(t.Context(), o.id, "lunch"); err != nil {
		t.Fatal(err)
	}
	away.Store(false)
	b.waits("the page does not follow again", fmt.Sprintf(`document.getElementById("broken").hidden && document.querySelector("#live-state .badge").textContent === %q`,
		o.words.Text("en", "state."+string(campaign.StatePaused))))

	o.logOut("administrator@browser.example")
	proxy.CloseClientConnections()
	b.waits("the login does not show", `location.pathname === "/login"`)
}

// logOut ends all sessions of a user.
func (o *office) logOut(email string) {
	o.t.Helper()
	user, err := o.db.UserByEmail(o.t.Context(), email)
	if err == nil {
		err = o.db.EndSessionOf(o.t.Context(), user.ID, 0, []byte{})
	}
	if err != nil {
		o.t.Fatal(err)
	}
}

// What is written after the session has ended stays on the page, and is saved
// when its author has logged in elsewhere.
func TestWhatIsWrittenOutlivesTheSession(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("starts a browser")
	}
	o := newOffice(t)
	id, err := o.db.CreateDraft(t.Context(), campaign.Content{Name: "June", Class: "marketing", FromName: "Nordlys", FromAddress: "news@jatak.example", DefaultLanguage: "en",
		Variants: map[string]campaign.Variant{"en": {Subject: "June", Markdown: "Hello"}}}, "user:anna@jatak.example", noon)
	if err != nil {
		t.Fatal(err)
	}
	b := o.browse(staff.Administrator)
	b.do(chromedp.Navigate(fmt.Sprintf("%s/campaigns/%d/edit/content", b.url, id)), chromedp.WaitVisible(chromedp.CSS(`.editor-host`)))
	o.logOut("administrator@browser.example")
	b.do(chromedp.SendKeys(chromedp.CSS("input[name=subject]"), "news "))
	ended := fmt.Sprintf(`document.getElementById("saved").textContent === %q`, o.words.Text("en", "console.composer.ended"))
	b.waits("the page does not say that one is logged out", ended)
	warns := `(() => { const e = new Event("beforeunload", {cancelable: true}); window.dispatchEvent(e); return e.defaultPrevented; })()`
	b.waits("leaving does not warn", warns)
	// Going on by a button loses nothing either.
	b.do(chromedp.Click(chromedp.CSS(`button[form=composer][value=next]`)))
	b.waits("the page is left", ended)

	form := url.Values{"email": {"administrator@browser.example"}, "password": {password}}
	b.waits("one cannot log in", fmt.Sprintf(`(fetch("/login", {method: "POST", body: new URLSearchParams(%q)}), true)`, form.Encode()))
	b.waits("what was written is not saved", `document.getElementById("saved").textContent.startsWith("Saved")`)
	d, err := o.db.Draft(t.Context(), campaign.DraftRef{ID: int64(id)})
	if err != nil || d.Content.Variants["en"].Subject != "news June" {
		t.Errorf("kept is %q: %v", d.Content.Variants["en"].Subject, err)
	}
	b.waits("leaving warns of nothing", "!"+warns)
}

// The login says what to do without a password, and before there is anybody.
func TestTheLoginSaysHowToGetIn(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	says := func(want, not string) {
		t.Helper()
		page := o.visitor().do("GET", "/login", nil).Body.String()
		if !strings.Contains(page, o.words.Text("en", want)) || strings.Contains(page, o.words.Text("en", not)) || !strings.Contains(page, "jatak user invite --role administrator") {
			t.Errorf("the login does not say %q, or says %q: %s", want, not, page)
		}
	}
	says("console.login.nobody", "console.login.forgotten.ask")
	o.as(staff.Viewer)
	says("console.login.forgotten.ask", "console.login.nobody")
}
