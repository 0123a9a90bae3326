package console_test

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"html"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"

	"github.com/jatak-mail/jatak/gating"
	"github.com/jatak-mail/jatak/internal/campaign"
	"github.com/jatak-mail/jatak/internal/contact"
	"github.com/jatak-mail/jatak/internal/staff"
	"github.com/jatak-mail/jatak/templates"
)

var hiddenVersion = regexp.MustCompile(`name="version" value="(\d+)"`)

// form returns the fields of a step with the version that its page says, and what
// a test fills in.
func (b *browser) form(path string, filled url.Values) url.Values {
	b.o.t.Helper()
	w := b.do("GET", path, nil)
	m := hiddenVersion.FindStringSubmatch(w.Body.String())
	if w.Code != http.StatusOK || m == nil {
		b.o.t.Fatalf("%s answers %d: %s", path, w.Code, w.Body)
	}
	if filled == nil {
		filled = url.Values{}
	}
	filled.Set("version", m[1])
	return filled
}

// goes posts a form and fails unless it leads somewhere.
func (b *browser) goes(path string, form url.Values, to string) string {
	b.o.t.Helper()
	w := b.do("POST", path, form)
	where := w.Header().Get("Location")
	if w.Code != http.StatusSeeOther || !strings.HasPrefix(where, to) {
		b.o.t.Fatalf("POST %s answers %d and leads to %q, want %q: %s", path, w.Code, where, to, w.Body)
	}
	return where
}

// What a starter fills in is not yet decided by anybody.
func TestACampaignOfAStarterBeginsAtTheFirstStep(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	b := o.as(staff.Marketer)
	for name, value := range map[gating.Setting]string{contact.SettingSenderName: "N", contact.SettingSenderAddress: "news@jatak.example", contact.SettingPostalAddress: "Pakhuskaj 7"} {
		if err := o.db.Set(t.Context(), name, value, "test", noon); err != nil {
			t.Fatal(err)
		}
	}
	long := strings.Repeat("n", 300)
	if w := b.do("POST", "/campaigns", url.Values{"from": {"blank"}, "name": {long}}); w.Code != http.StatusUnprocessableEntity || !strings.Contains(w.Body.String(), `value="`+long) {
		t.Errorf("a name that is too long answers %d and is not kept", w.Code)
	}
	at := strings.TrimSuffix(b.goes("/campaigns", url.Values{"from": {"starter:0"}, "name": {"June"}}, "/campaigns/"), "/edit")
	resumes := func(step string) {
		t.Helper()
		if w := b.do("GET", at+"/edit", nil); w.Header().Get("Location") != at+"/edit/"+step {
			t.Errorf("it goes on at %q, want %s", w.Header().Get("Location"), step)
		}
	}
	ticks := func(want int) string {
		t.Helper()
		page := b.do("GET", at+"/check", nil).Body.String()
		if got := strings.Count(page, `<li class="done">`); got != want {
			t.Errorf("%d steps have a tick, want %d", got, want)
		}
		return page
	}
	sample := o.words.Text("en", "console.composer.sample")
	resumes("audience")
	if page := ticks(0); !strings.Contains(page, sample) {
		t.Error("the sample is not warned of")
	}
	b.goes(at+"/edit/audience", b.form(at+"/edit/audience", url.Values{"audience_language": {"en"}, "do": {"next"}}), at+"/edit/type")
	resumes("type")
	// Also where nothing was to be changed.
	b.goes(at+"/edit/type", b.form(at+"/edit/type", url.Values{"do": {"next"}}), at+"/edit/content")
	resumes("content")
	ticks(2)
	b.goes(at+"/edit/content", b.form(at+"/edit/content", url.Values{"language": {"en"}, "subject": {"Our own"}, "do": {"next"}}), at+"/check")
	if w := b.do("GET", at+"/edit", nil); w.Header().Get("Location") != at+"/check" {
		t.Errorf("it goes on at %q, want the check", w.Header().Get("Location"))
	}
	if page := ticks(3); strings.Contains(page, sample) {
		t.Error("it is warned of a sample that was changed")
	}
	for from, to := range map[string]string{"/campaigns": "/", at + "/test": at + "/edit/content", at + "/edit/check": at + "/check", at + "/launch": at + "/check#launch"} {
		if w := b.do("GET", from, nil); w.Code != http.StatusSeeOther || w.Header().Get("Location") != to {
			t.Errorf("%s answers %d and leads to %q", from, w.Code, w.Header().Get("Location"))
		}
	}
}

// A campaign is made, written, checked and launched by forms alone.
func TestACampaignIsWrittenWithoutJavaScript(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	b := o.as(staff.Marketer)
	b.do("POST", "/language", url.Values{"lang": {"da"}})
	if w := b.do("POST", "/campaigns", url.Values{"from": {"blank"}}); w.Code != http.StatusUnprocessableEntity {
		t.Errorf("without a name it answers %d", w.Code)
	}
	if w := b.do("POST", "/campaigns", url.Values{"from": {"template:99"}, "name": {"Juni"}}); w.Code != http.StatusUnprocessableEntity {
		t.Errorf("of a template that is not there it answers %d", w.Code)
	}
	at := strings.TrimSuffix(b.goes("/campaigns", url.Values{"from": {"blank"}, "name": {"Juni"}}, "/campaigns/"), "/edit")
	if w := b.do("GET", at+"/edit", nil); w.Header().Get("Location") != at+"/edit/audience" {
		t.Errorf("a new one goes on at %q", w.Header().Get("Location"))
	}
	b.goes(at+"/edit/audience", b.form(at+"/edit/audience", url.Values{"name": {"Juni 2027"}, "audience_language": {"da"}, "expiring_days": {""}, "do": {"next"}}), at+"/edit/type")
	b.goes(at+"/edit/type", b.form(at+"/edit/type", url.Values{"class": {"marketing"}, "from_name": {"Nordlys"}, "from_address": {"news@jatak.example"},
		"postal_address": {"Pakhuskaj 7\r\n5000 Odense C"}, "do": {"next"}}), at+"/edit/content")
	// It can be left and resumed.
	if w := b.do("GET", at+"/edit", nil); w.Header().Get("Location") != at+"/edit/content" {
		t.Errorf("it goes on at %q", w.Header().Get("Location"))
	}
	content := at + "/edit/content"
	b.goes(content, b.form(content, url.Values{"language": {"da"}, "format": {"markdown"}, "source": {"# Hej {{ contact.first_name }}\r\n\r\nNyt fra **os**."}, "subject": {"Nyt"}, "preheader": {"Læs"}, "text": {""}, "do": {"next"}}), at+"/check")
	b.goes(at+"/launch", url.Values{"seen": {seen(b.checked(2))}}, at)
	if w := b.do("GET", content, nil); w.Header().Get("Location") != at {
		t.Errorf("what is launched can be written: %d", w.Code)
	}
	if w := b.do("POST", content, url.Values{"language": {"da"}, "subject": {"x"}, "version": {"5"}}); w.Header().Get("Location") != at {
		t.Errorf("what is launched is written: %d", w.Code)
	}
	var id int64
	_, _ = fmt.Sscanf(at, "/campaigns/%d", &id)
	c, err := o.db.Campaign(t.Context(), campaign.ID(id))
	if err != nil || c.State != campaign.StateScheduled || c.Content.Name != "Juni 2027" || c.Content.Audience.Language != "da" ||
		c.Content.PostalAddress != "Pakhuskaj 7\n5000 Odense C" || c.Content.Variants["da"].Markdown != "# Hej {{ contact.first_name }}\n\nNyt fra **os**." {
		t.Errorf("what is kept: %+v, %v", c, err)
	}
	if _, err := campaign.Compile(c.Content); err != nil {
		t.Error(err)
	}
	log, err := o.db.AuditLog(t.Context(), staff.Filter{Most: 50})
	if err != nil {
		t.Fatal(err)
	}
	for _, action := range []string{"campaign create", "campaign save"} {
		if !strings.Contains(fmt.Sprint(log), action) {
			t.Errorf("the audit log lacks %q: %v", action, log)
		}
	}
}

func TestLanguagesComeAndGo(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	b := o.as(staff.Marketer)
	at := fmt.Sprintf("/campaigns/%d", o.id)
	content := at + "/edit/content"
	send := func(do string, more url.Values) *httptest.ResponseRecorder {
		form := b.form(content, more)
		form.Set("do", do)
		return b.do("POST", content, form)
	}
	if w := send("remove", url.Values{"language": {"en"}}); w.Code != http.StatusUnprocessableEntity {
		t.Errorf("removing the only language answers %d", w.Code)
	}
	if w := send("add", url.Values{"language": {"en"}, "new_language": {"da"}, "copy": {"1"}, "subject": {"Changed first"}}); !strings.Contains(w.Header().Get("Location"), "lang=da") {
		t.Fatalf("adding answers %d, %s", w.Code, w.Header().Get("Location"))
	}
	if w := send("add", url.Values{"language": {"en"}, "new_language": {"klingonsk?"}}); w.Code != http.StatusUnprocessableEntity {
		t.Errorf("adding what is no language answers %d", w.Code)
	}
	if w := send("default", url.Values{"language": {"da"}, "subject": {"Nyt"}}); w.Code != http.StatusSeeOther {
		t.Errorf("another default answers %d", w.Code)
	}
	d, err := o.db.Draft(t.Context(), campaign.DraftRef{ID: int64(o.id)})
	if err != nil || d.Content.DefaultLanguage != "da" || d.Content.Variants["da"].Subject != "Nyt" || d.Content.Variants["da"].HTML == "" || d.Content.Variants["en"].Subject != "Changed first" {
		t.Errorf("what is kept: %+v, %v", d.Content, err)
	}
	if w := send("remove", url.Values{"language": {"da"}}); !strings.Contains(w.Header().Get("Location"), "lang=en") {
		t.Errorf("removing the default leads to %s", w.Header().Get("Location"))
	}
	if w := send("format:markdown", url.Values{"language": {"en"}, "format": {"html"}, "source": {"<p>x"}}); w.Code != http.StatusUnprocessableEntity {
		t.Errorf("HTML to Markdown answers %d", w.Code)
	}
	send("format:html", url.Values{"language": {"en"}, "format": {"markdown"}, "source": {"# Hi"}})
	if d, err = o.db.Draft(t.Context(), d.DraftRef); err != nil || !strings.Contains(d.Content.Variants["en"].HTML, "Hi</h1>") || d.Content.Variants["en"].Markdown != "" {
		t.Errorf("Markdown to HTML: %+v, %v", d.Content, err)
	}
}

// Of two who write one draft, the later is told and loses nothing.
func TestTwoEditors(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	b := o.as(staff.Marketer)
	bo := o.as(staff.Administrator)
	at := fmt.Sprintf("/campaigns/%d/edit/content", o.id)
	mine, theirs := b.form(at, url.Values{"language": {"en"}, "subject": {"Mine"}}), bo.form(at, url.Values{"language": {"en"}, "subject": {"Theirs"}, "editor": {"p2"}})
	auto := bo.do("POST", at, theirs, "X-Autosave", "1")
	var answer struct {
		Version int64
		Text    string
	}
	if err := json.Unmarshal(auto.Body.Bytes(), &answer); err != nil || auto.Code != http.StatusOK || answer.Version != 2 || !strings.Contains(answer.Text, "Saved at") {
		t.Fatalf("saving answers %d, %s, %v", auto.Code, auto.Body, err)
	}
	if w := b.do("POST", at, mine, "X-Autosave", "1"); w.Code != http.StatusConflict || !strings.Contains(w.Body.String(), "administrator@jatak.example") {
		t.Errorf("a page that saves by itself is answered %d: %s", w.Code, w.Body)
	}
	w := b.do("POST", at, mine)
	if w.Code != http.StatusConflict || !strings.Contains(w.Body.String(), `value="Mine"`) || !strings.Contains(w.Body.String(), `name="version" value="2"`) {
		t.Errorf("a form is answered %d: %s", w.Code, w.Body)
	}
	mine.Set("version", "2")
	b.goes(at, mine, at)
	old, err := o.db.DraftVersion(t.Context(), campaign.DraftRef{ID: int64(o.id)}, 2)
	if err != nil || old.Content.Variants["en"].Subject != "Theirs" {
		t.Fatalf("the other version: %+v, %v", old, err)
	}
	versions := fmt.Sprintf("/campaigns/%d/versions", o.id)
	if w := b.do("GET", versions+"/2", nil); w.Code != http.StatusOK || !strings.Contains(w.Body.String(), "Theirs") {
		t.Errorf("the version's page: %d, %s", w.Code, w.Body)
	}
	if w := b.do("POST", versions+"/2/restore", url.Values{"version": {"1"}}); w.Code != http.StatusConflict {
		t.Errorf("restoring over what was not seen answers %d", w.Code)
	}
	b.goes(versions+"/2/restore", url.Values{"version": {"3"}}, fmt.Sprintf("/campaigns/%d/edit/content", o.id))
	if d, err := o.db.Draft(t.Context(), campaign.DraftRef{ID: int64(o.id)}); err != nil || d.Content.Variants["en"].Subject != "Theirs" || d.Version != 4 {
		t.Errorf("restored: %+v, %v", d, err)
	}
	for _, path := range []string{"/99", "/x", "/99999999999999999999"} {
		if w := b.do("GET", versions+path, nil); w.Code != http.StatusNotFound {
			t.Errorf("version %s answers %d", path, w.Code)
		}
	}
}

// wordless finds a key that no language has words for.
var wordless = regexp.MustCompile(`console\.(?:composer\.[a-z]+[^a-z.0-9]|fault|finding)`)

// What is too much or malformed is told in words, and what was written is shown.
func TestDraftsAreBounded(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	b := o.as(staff.Marketer)
	at := fmt.Sprintf("/campaigns/%d/edit/", o.id)
	for name, c := range map[string]struct {
		step string
		form url.Values
		want int
	}{
		"a long name":         {"audience", url.Values{"name": {strings.Repeat("x", 201)}}, http.StatusUnprocessableEntity},
		"a name of 1 MB":      {"audience", url.Values{"name": {strings.Repeat("x", 1<<20)}}, http.StatusUnprocessableEntity},
		"a day that is none":  {"audience", url.Values{"expiring_days": {"soon"}}, http.StatusUnprocessableEntity},
		"a header":            {"type", url.Values{"from_name": {"A\r\nBcc: b@example.org"}}, http.StatusUnprocessableEntity},
		"a class":             {"type", url.Values{"class": {"advert"}}, http.StatusUnprocessableEntity},
		"a NUL":               {"content", url.Values{"language": {"en"}, "subject": {"a\x00b"}}, http.StatusUnprocessableEntity},
		"a part too large":    {"content", url.Values{"language": {"en"}, "format": {"html"}, "source": {strings.Repeat("x", 2<<20+1)}}, http.StatusUnprocessableEntity},
		"a body too large":    {"content", url.Values{"language": {"en"}, "format": {"html"}, "source": {strings.Repeat("x", 14<<20)}}, http.StatusRequestEntityTooLarge},
		"a language not here": {"content", url.Values{"language": {"xx"}, "subject": {"x"}}, http.StatusSeeOther},
		"no such step":        {"nothing", url.Values{}, http.StatusNotFound},
		"a half address":      {"type", url.Values{"from_address": {"news@"}}, http.StatusSeeOther},
	} {
		form := b.form(at+"audience", c.form)
		w := b.do("POST", at+c.step, form)
		if w.Code != c.want || wordless.MatchString(w.Body.String()) {
			t.Errorf("%s answers %d, want %d: %.300s", name, w.Code, c.want, w.Body)
		}
	}
	d, err := o.db.Draft(t.Context(), campaign.DraftRef{ID: int64(o.id)})
	if err != nil || d.Version != 2 || d.Content.FromAddress != "news@" {
		t.Errorf("what is kept: %+v, %v", d, err)
	}
}

func TestThePreviewIsShutIn(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	b := o.as(staff.Marketer)
	at := fmt.Sprintf("/campaigns/%d", o.id)
	content := at + "/edit/content"
	b.goes(content, b.form(content, url.Values{"language": {"en"}, "format": {"html"}, "subject": {"Hi {{ contact.first_name }} " + nasty}, "preheader": {nasty},
		"source": {`<script>alert(1)</script><p>Dear {{ contact.first_name }}</p><a href="https://shop.example">shop</a>`}}), content)
	w := b.do("GET", at+"/mail?lang=en&as=2&dark=1", nil)
	policy := w.Header().Get("Content-Security-Policy")
	if !strings.HasPrefix(policy, "sandbox; default-src 'none'; img-src data: https:; style-src 'unsafe-inline'") || w.Header().Get("X-Frame-Options") != "SAMEORIGIN" {
		t.Errorf("the mail's headers: %v", w.Header())
	}
	if !strings.Contains(w.Body.String(), "Dear &lt;script&gt;") || !strings.Contains(w.Body.String(), `target="_blank"`) || !strings.Contains(w.Body.String(), "color-scheme:dark") {
		t.Errorf("the mail is %s", w.Body)
	}
	pane := b.do("GET", at+"/preview?lang=en&as=1&width=phone", nil)
	if !strings.Contains(pane.Body.String(), "Hi Anna") || strings.Contains(pane.Body.String(), "<script>alert") || strings.Contains(pane.Body.String(), "<html") {
		t.Errorf("the pane is %s", pane.Body)
	}
	readers := b.do("GET", at+"/readers?lang=en&q=holm", nil)
	if !strings.Contains(readers.Body.String(), "as=1") || strings.Contains(readers.Body.String(), "p0@example.org") || strings.Contains(readers.Body.String(), nasty) {
		t.Errorf("the readers are %s", readers.Body)
	}
	for _, query := range []string{"as=999", "as=x", "lang=xx", "as=-1", "lang=%ff", "q=%00", "version=1&lang=en", "q=" + strings.Repeat("x", 5000)} {
		for _, page := range []string{"/preview?", "/edit/content?", "/readers?"} {
			if w := b.do("GET", at+page+query, nil); w.Code != http.StatusOK {
				t.Errorf("%s%s answers %d", page, query, w.Code)
			}
		}
	}
	if w := b.do("GET", at+"/mail?version=77", nil); w.Code != http.StatusNotFound {
		t.Errorf("a version that is not there answers %d", w.Code)
	}
}

// The mail of a campaign can be looked at when it is launched too, as any contact,
// in each language; who may not see contacts sees it as a made-up reader.
func TestASentMailCanBeLookedAt(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	b, viewer := o.as(staff.Marketer), o.as(staff.Viewer)
	variant := func(hello string) campaign.Variant {
		return campaign.Variant{Subject: hello + " {{ contact.first_name }}", Preheader: "Before " + hello, HTML: "<p>" + hello + ` {{ contact.first_name }}</p><a href="{{ manage_url }}">Manage</a> Pakhuskaj 7`}
	}
	id, err := o.db.CreateCampaign(t.Context(), campaign.Content{Name: "July", FromName: "N", FromAddress: "news@jatak.example", PostalAddress: "Pakhuskaj 7", DefaultLanguage: "en",
		Variants: map[string]campaign.Variant{"en": variant("Dear"), "da": variant("Kære")}}, noon)
	if err != nil {
		t.Fatal(err)
	}
	at := fmt.Sprintf("/campaigns/%d", id)
	sees := func(b *browser, path string, want ...string) string {
		t.Helper()
		page := html.UnescapeString(b.do("GET", path, nil).Body.String())
		for _, text := range want {
			if !strings.Contains(page, text) {
				t.Errorf("%s does not show %q: %s", path, text, page)
			}
		}
		return page
	}
	if w := b.do("GET", at+"/sent", nil); w.Header().Get("Location") != at {
		t.Errorf("of a draft it answers %d", w.Code)
	}
	if err := o.db.Schedule(t.Context(), id, noon.Add(time.Hour), campaign.Override{}); err != nil {
		t.Fatal(err)
	}
	sees(viewer, at, at+"/sent")
	if err := errors.Join(o.db.Unschedule(t.Context(), id), o.db.Launch(t.Context(), id, campaign.Override{}, noon)); err != nil {
		t.Fatal(err)
	}
	sees(b, at, at+"/sent")
	sees(b, at+"/report", at+"/sent")
	page := sees(b, at+"/sent", "Dear Anna", "Before Dear", "N <news@jatak.example>", at+"/mail?as=0&lang=en", at+"/sent?lang=da", at+"/readers")
	if strings.Contains(page, "/edit/") {
		t.Errorf("what is sent can be written: %s", page)
	}
	// A contact gets it in their own language, or in one that is asked for.
	sees(b, at+"/readers?q=holm", at+"/sent?as=2")
	sees(b, at+"/sent?as=2", "Kære "+nasty, at+"/mail?as=2&lang=da", at+"/sent?as=2&lang=en")
	sees(b, at+"/sent?as=2&lang=en", "Dear "+nasty)
	sees(b, at+"/preview?as=2&lang=da&width=phone", "Kære "+nasty, at+"/sent", "frame phone")
	sees(b, at+"/mail?as=2&lang=da", "Kære "+nasty)
	for _, path := range []string{"/sent?as=2", "/preview?as=2&lang=en", "/mail?as=2&lang=en"} {
		page := sees(viewer, at+path, "Dear Anna")
		if strings.Contains(page, "Dear <") || strings.Contains(page, "/readers") {
			t.Errorf("%s shows a contact to a viewer: %s", path, page)
		}
	}
}

// A preview with nothing to show says so, and what to do.
func TestAPreviewOfNothingSaysSo(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	b := o.as(staff.Marketer)
	words := func(key string) string { return html.EscapeString(o.words.Text("en", key)) }
	at := strings.TrimSuffix(b.goes("/campaigns", url.Values{"from": {"blank"}, "name": {"June"}}, "/campaigns/"), "/edit")
	for _, format := range []string{"markdown", "html"} {
		b.goes(at+"/edit/content", b.form(at+"/edit/content", url.Values{"language": {"en"}, "format": {format}, "subject": {"S"}, "source": {""}, "do": {"format:" + format}}), at)
		for _, path := range []string{"/edit/content", "/preview?lang=en"} {
			if page := b.do("GET", at+path, nil).Body.String(); !strings.Contains(page, words("console.composer.preview.bare")) || strings.Contains(page, "<iframe") || strings.Contains(page, words("console.composer.preview.nobody")) {
				t.Errorf("an empty mail in %s shows %s", format, page)
			}
		}
	}
	b.goes(at+"/edit/content", b.form(at+"/edit/content", url.Values{"language": {"en"}, "format": {"markdown"}, "source": {"Hello"}}), at)
	if page := b.do("GET", at+"/preview?lang=en", nil).Body.String(); strings.Contains(page, words("console.composer.preview.bare")) || !strings.Contains(page, "<iframe") {
		t.Errorf("a mail shows %s", page)
	}
	for _, id := range []string{"1", "2"} {
		if w := o.as(staff.Officer).do("POST", "/contacts/"+id+"/erase", url.Values{"number": {id}}); w.Code != http.StatusSeeOther {
			t.Fatalf("erasing answers %d: %s", w.Code, w.Body)
		}
	}
	if page := b.do("GET", at+"/preview?lang=en", nil).Body.String(); !strings.Contains(page, words("console.composer.preview.nobody")) || !strings.Contains(page, "/imports") || !strings.Contains(page, "<iframe") {
		t.Errorf("with no contacts it shows %s", page)
	}
}

func TestTestMailsAreAskedFor(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	b := o.as(staff.Marketer)
	at := fmt.Sprintf("/campaigns/%d", o.id)
	ask := func(to string) *httptest.ResponseRecorder {
		return b.do("POST", at+"/test", url.Values{"language": {"en"}, "as": {"1"}, "address": {to}})
	}
	if w := ask("nobody"); w.Code != http.StatusUnprocessableEntity || !strings.Contains(w.Body.String(), "typing error") {
		t.Errorf("to nobody it answers %d", w.Code)
	}
	if w := ask("author@jatak.example"); w.Code != http.StatusSeeOther {
		t.Fatalf("it answers %d: %s", w.Code, w.Body)
	}
	if w := b.do("GET", at+"/tests", nil); !strings.Contains(w.Body.String(), "author@jatak.example") || !strings.Contains(w.Body.String(), `hx-trigger="every 2s"`) {
		t.Errorf("the state is %s", w.Body)
	}
	m, claimed, err := o.db.ClaimTestMail(t.Context(), noon.Add(time.Second), noon.Add(time.Minute))
	if err != nil || !claimed || m.As.FirstName != "Anna" || m.Language != "en" || m.Content.Variants["en"].Subject != "s" {
		t.Fatalf("the worker finds %+v, %v", m, err)
	}
	if err := o.db.RecordTestMail(t.Context(), campaign.TestMailOutcome{ID: m.ID, State: campaign.Failed, Reply: "550 5.7.1 " + nasty, At: noon}); err != nil {
		t.Fatal(err)
	}
	if w := b.do("GET", at+"/tests", nil); !strings.Contains(w.Body.String(), "550 5.7.1 &lt;script") || strings.Contains(w.Body.String(), "every 2s") {
		t.Errorf("the state is %s", w.Body)
	}
	content := at + "/edit/type"
	b.goes(content, b.form(content, url.Values{"postal_address": {""}}), content)
	if w := ask("author@jatak.example"); w.Code != http.StatusUnprocessableEntity || !strings.Contains(w.Body.String(), o.words.Text("en", "console.fault.postal_address")) {
		t.Errorf("what is not ready answers %d", w.Code)
	}
	b.goes(content, b.form(content, url.Values{"postal_address": {"Pakhuskaj 7"}}), content)
	for range campaign.MostTestMails {
		ask("author@jatak.example")
	}
	if w := ask("author@jatak.example"); w.Code != http.StatusTooManyRequests {
		t.Errorf("after many it answers %d", w.Code)
	}
}

// A template comes from another tool, is mended finding by finding, and becomes a
// campaign.
func TestTemplates(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	b := o.as(staff.Marketer)
	if w := b.do("GET", "/templates", nil); !strings.Contains(w.Body.String(), o.words.Text("en", "console.templates.none")) {
		t.Errorf("the empty list: %d, %s", w.Code, w.Body)
	}
	upload := func(name string, content []byte) *httptest.ResponseRecorder {
		var body bytes.Buffer
		form := multipart.NewWriter(&body)
		_ = form.WriteField("from", "file")
		file, err := form.CreateFormFile("file", name)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = file.Write(content)
		_ = form.Close()
		r := httptest.NewRequest("POST", "/templates", &body)
		r.Header.Set("Content-Type", form.FormDataContentType())
		for name, value := range b.cookies {
			r.AddCookie(&http.Cookie{Name: name, Value: value})
		}
		w := httptest.NewRecorder()
		o.handler.ServeHTTP(w, r)
		return w
	}
	for name, content := range map[string][]byte{"empty": nil, "binary": []byte("a\x00b"), "latin 1": []byte("bl\xe5"), "large": make([]byte, campaign.MaxPart+2)} {
		if w := upload("x.html", content); w.Code != http.StatusUnprocessableEntity {
			t.Errorf("%s answers %d", name, w.Code)
		}
	}
	if w := upload("x.html", make([]byte, 20<<20)); w.Code != http.StatusRequestEntityTooLarge {
		t.Errorf("far too large answers %d", w.Code)
	}
	w := upload(`C:\mails\Newsletter.html`, []byte("<html><body>\r\n<p>Hej *|FNAME|*</p>\r\n<a href=\"*|UNSUB|*\">unsubscribe</a> <a href=\"https://shop.example/unsubscribe\">Unsubscribe</a>\r\n</body></html>"))
	at := strings.TrimSuffix(w.Header().Get("Location"), "/edit/content")
	if w.Code != http.StatusSeeOther || at == "" {
		t.Fatalf("the upload answers %d: %s", w.Code, w.Body)
	}
	content := at + "/edit/content"
	mendButton := regexp.MustCompile(`name="do" value="(mend:[^"]+)"`)
	turns := 0
	for ; turns < 10; turns++ {
		page := b.do("GET", content, nil).Body.String()
		m := mendButton.FindStringSubmatch(page)
		if m == nil {
			break
		}
		if turns == 0 && (!strings.Contains(page, "https://shop.example/unsubscribe") || !strings.Contains(page, o.words.Text("en", "console.composer.proposal"))) {
			t.Errorf("the custom link is not shown with its proposal: %s", page)
		}
		b.goes(content, b.form(content, url.Values{"language": {"en"}, "do": {m[1]}}), content)
	}
	if turns != 4 {
		t.Errorf("it took %d mends", turns)
	}
	if w := b.do("POST", content, b.form(content, url.Values{"language": {"en"}, "do": {"mend:html:2:8:placeholder_left"}})); w.Code != http.StatusUnprocessableEntity {
		t.Errorf("mending what is gone answers %d", w.Code)
	}
	var id int64
	_, _ = fmt.Sscanf(at, "/templates/%d", &id)
	d, err := o.db.Draft(t.Context(), campaign.DraftRef{Template: true, ID: id})
	html := d.Content.Variants["en"].HTML
	if err != nil || d.Content.Name != "Newsletter" || strings.Contains(html, "FNAME") || strings.Contains(html, "shop.example") || strings.Count(html, "{{ manage_url }}") != 2 {
		t.Errorf("the template is %+v, %v", d, err)
	}
	where := b.goes("/campaigns", url.Values{"name": {"July"}, "from": {fmt.Sprint("template:", id)}}, "/campaigns/")
	if w := b.do("GET", strings.TrimSuffix(where, "/edit")+"/edit/content", nil); !strings.Contains(w.Body.String(), "manage_url") {
		t.Errorf("the campaign of it: %s", w.Body)
	}
	b.goes("/campaigns", url.Values{"name": {"Again"}, "from": {fmt.Sprint("campaign:", o.id)}}, "/campaigns/")
	b.goes(at+"/copy", url.Values{}, "/templates/")
	if w := b.do("POST", at+"/delete", url.Values{}); w.Code != http.StatusUnprocessableEntity {
		t.Errorf("deleting without being sure answers %d", w.Code)
	}
	b.goes(at+"/delete", url.Values{"sure": {"1"}}, "/templates")
	if w := b.do("GET", content, nil); w.Code != http.StatusNotFound {
		t.Errorf("what is deleted answers %d", w.Code)
	}
	if list := b.do("GET", "/templates", nil).Body.String(); !strings.Contains(list, "Copy of Newsletter") {
		t.Errorf("the list is %s", list)
	}
	b.goes("/templates", url.Values{"name": {nasty}, "from": {"paste"}, "source": {nasty}}, "/templates/")
	if list := b.do("GET", "/templates", nil).Body.String(); strings.Contains(list, nasty) {
		t.Errorf("a name is not escaped: %s", list)
	}
	log, err := o.db.AuditLog(t.Context(), staff.Filter{Most: 50})
	if err != nil || !strings.Contains(fmt.Sprint(log), "template delete") || !strings.Contains(fmt.Sprint(log), "template create") {
		t.Errorf("the audit log is %v, %v", log, err)
	}
}

// The list says what is to be mended in a template as it is now, however often it
// was asked before.
func TestTheListOfTemplatesKnowsWhatIsMended(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	b := o.as(staff.Marketer)
	content := campaign.Content{Name: "Letter", PostalAddress: "Pakhuskaj 7", DefaultLanguage: "en", Variants: map[string]campaign.Variant{"en": {Subject: "s", HTML: `<p>*|UNSUB|*</p>`}}}
	id, err := o.db.CreateTemplate(t.Context(), content, "test", noon)
	if err != nil {
		t.Fatal(err)
	}
	fine := o.words.Text("en", "console.templates.fine")
	for range 2 {
		if page := b.do("GET", "/templates", nil).Body.String(); strings.Contains(page, fine) {
			t.Errorf("what is to be mended is not told of: %s", page)
		}
	}
	content.Variants = map[string]campaign.Variant{"en": {Subject: "s", Markdown: "Hello"}}
	if _, err := o.db.KeepDraft(t.Context(), campaign.Save{DraftRef: campaign.DraftRef{Template: true, ID: id}, Base: 1, Content: content, Actor: "test", Action: "save", At: noon}); err != nil {
		t.Fatal(err)
	}
	if page := b.do("GET", "/templates", nil).Body.String(); !strings.Contains(page, fine) {
		t.Errorf("what was mended is still told of: %s", page)
	}
}

// In a browser: the editor takes what is typed, it is saved by itself, the preview
// follows; nothing that the page does is against its own policy.
func TestComposerInABrowser(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("starts a browser")
	}
	o := newOffice(t)
	template, err := o.db.CreateTemplate(t.Context(), campaign.Content{Name: "Newsletter", DefaultLanguage: "en", Variants: map[string]campaign.Variant{"en": {Subject: "News",
		HTML: "<p>Hi *|FNAME|*</p>\n<a href=\"https://shop.example/unsubscribe\">Unsubscribe</a>"}}}, "user:anna@jatak.example", noon)
	if err != nil {
		t.Fatal(err)
	}
	id, err := o.db.CreateDraft(t.Context(), campaign.Content{Name: "June", Class: "marketing", FromName: "Nordlys", FromAddress: "news@jatak.example", PostalAddress: "Pakhuskaj 7", DefaultLanguage: "en",
		Variants: map[string]campaign.Variant{"en": {Subject: "June", Markdown: "# Hello {{ contact.first_name }}\n\nThis is **new**. [Read on](https://shop.example)\n"}, "da": {Subject: "Juni", Markdown: "# Hej"}}}, "user:anna@jatak.example", noon)
	if err != nil {
		t.Fatal(err)
	}
	b := o.browse(staff.Administrator)
	// Before any script of the page, so that nothing escapes it.
	b.do(chromedp.Func(onEveryPage(`window.violations = []; document.addEventListener("securitypolicyviolation", (e) => window.violations.push(e.violatedDirective + " " + e.blockedURI + " " + e.sourceFile));`)))
	at := fmt.Sprintf("/campaigns/%d", id)
	b.do(chromedp.Navigate(b.url+at+"/edit/content"), chromedp.WaitVisible(chromedp.CSS(`.editor-host`)))
	ref := campaign.DraftRef{ID: int64(id)}
	until := func(what string, done func() bool) {
		t.Helper()
		deadline := time.Now().Add(30 * time.Second)
		for tick := time.NewTicker(50 * time.Millisecond); !done(); <-tick.C {
			if time.Now().After(deadline) {
				t.Fatal(what)
			}
		}
	}
	source := func() string {
		d, err := o.db.Draft(t.Context(), ref)
		if err != nil {
			t.Fatal(err)
		}
		return d.Content.Variants["en"].Markdown
	}
	if _, err := chromedp.Run(b.ctx, chromedp.Evaluate[bool](`document.querySelector(".editor-host").shadowRoot.querySelector(".cm-content").focus(); true`)); err != nil {
		t.Fatal(err)
	}
	b.do(chromedp.KeyEvent("Typed here. "))
	until("what is typed is not saved", func() bool { return strings.HasPrefix(source(), "Typed here. # Hello") })
	if _, err := chromedp.Run(b.ctx, chromedp.Poll[bool](`document.querySelector("#preview pre").textContent.includes("Typed here.")`)); err != nil {
		t.Errorf("the preview does not follow: %v", err)
	}
	// Somebody else is faster: the words say so, nothing is lost, and mine is kept on demand.
	d, err := o.db.Draft(t.Context(), ref)
	if err != nil {
		t.Fatal(err)
	}
	theirs := d.Content.Clone()
	theirs.Variants["en"] = campaign.Variant{Subject: "Theirs", Markdown: "Theirs"}
	if _, err := o.db.KeepDraft(t.Context(), campaign.Save{DraftRef: ref, Base: d.Version, Content: theirs, Actor: "user:bo@jatak.example", Editor: "bo", Action: "save", At: time.Now()}); err != nil {
		t.Fatal(err)
	}
	b.do(chromedp.KeyEvent("More. "), chromedp.WaitVisible(chromedp.CSS(`#conflict`)))
	b.says("bo@jatak.example has saved")
	if source() != "Theirs" {
		t.Errorf("their words are gone: %q", source())
	}
	b.do(chromedp.Click(chromedp.CSS(`[data-overwrite]`)))
	until("mine is not saved", func() bool { return strings.HasPrefix(source(), "Typed here. More. ") })

	// Buttons write for those who know no Markdown, and fields wherever one is.
	press := func(where string) {
		t.Helper()
		b.do(chromedp.Click(chromedp.CSS(`#insert [` + where + `]`)))
	}
	press(`data-before="**"`)
	until("no bold words", func() bool { return strings.HasPrefix(source(), "Typed here. More. **bold text**") })
	press(`data-mark="## "`)
	until("no heading", func() bool { return strings.HasPrefix(source(), "## Typed here.") })
	b.do(chromedp.Focus(chromedp.CSS(`[name=subject]`)))
	press(`data-field="{{ contact.first_name }}"`)
	until("no field in the subject", func() bool {
		d, err := o.db.Draft(t.Context(), ref)
		return err == nil && strings.Contains(d.Content.Variants["en"].Subject, "{{ contact.first_name }}")
	})

	check := func(path string) {
		t.Helper()
		found, err := chromedp.Run(b.ctx, chromedp.Evaluate[string](`JSON.stringify(window.violations)`))
		if err != nil || found != "[]" {
			t.Errorf("%s is against its own policy: %s, %v", path, found, err)
		}
	}
	check("writing")
	if _, err := chromedp.Run(b.ctx, chromedp.Poll[bool](`document.querySelector("#preview iframe") !== null && getComputedStyle(document.querySelector(".editor-host").shadowRoot.querySelector(".cm-editor")).display === "flex"`)); err != nil {
		t.Errorf("the editor has no style: %v", err)
	}
	// By one script: the preview may be replaced between finding and clicking.
	if _, err := chromedp.Run(b.ctx, chromedp.Evaluate[bool](`document.querySelector("#scheme-dark").click(); true`)); err != nil {
		t.Fatal(err)
	}
	b.do(chromedp.WaitReady(chromedp.CSS(`.frame.dark iframe`)))
	check("the dark preview")
	for _, path := range []string{at + "/edit/audience", at + "/edit/type", at + "/edit/content", at + "/edit/content?width=phone&dark=1&q=holm", at + "/check", at + "/versions", at + "/versions/2",
		"/campaigns/new", "/templates", "/templates/new", fmt.Sprintf("/templates/%d/edit/content", template), fmt.Sprintf("/templates/%d/edit/type", template), fmt.Sprintf("/templates/%d/delete", template)} {
		b.inspect(path)
		check(path)
	}
}

func onEveryPage(script string) func(ctx context.Context, t *chromedp.Target) error {
	return func(ctx context.Context, t *chromedp.Target) error {
		_, err := cdp.Call(ctx, t, page.AddScriptToEvaluateOnNewDocument, page.AddScriptToEvaluateOnNewDocumentParams{Source: script})
		return err
	}
}

// Whatever can be wrong with a mail has words in the staff's languages.
func TestEveryFaultHasWords(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	var keys []string
	for file, pattern := range map[string]string{
		"../campaign/fault.go":  `f\.(?:wrong|missing)\("([a-z_]+)"`,
		"../campaign/fields.go": `fail\("([a-z_]+)"`,
		"../campaign/liquid.go": `fieldError\(text, [^"]*?"([a-z_]+)"`,
		"../campaign/advice.go": `Code[A-Za-z]+ += "([a-z_]+)"`,
	} {
		source, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		found := regexp.MustCompile(pattern).FindAllStringSubmatch(string(source), -1)
		if len(found) < 3 {
			t.Errorf("%s: only %d were found", file, len(found))
		}
		prefix := map[string]string{"fault.go": "console.fault.", "advice.go": "console.finding."}[path.Base(file)]
		for _, m := range found {
			keys = append(keys, cmp.Or(prefix, "console.finding.merge_field.")+m[1])
		}
	}
	for _, key := range keys {
		for _, lang := range templates.StaffLanguages() {
			if o.words.Text(lang, key) == key {
				t.Errorf("%s has no words for %s", lang, key)
			}
		}
	}
}

// The filter of an audience is built by buttons alone, and kept with the draft.
func TestTheAudienceIsFilteredInTheComposer(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	b := o.as(staff.Marketer)
	at := fmt.Sprintf("/campaigns/%d", o.id)
	step := at + "/edit/audience"
	filter := func() *contact.Filter {
		c, err := o.db.Campaign(t.Context(), o.id)
		if err != nil {
			t.Fatal(err)
		}
		return c.Content.Audience.Filter
	}
	if w := b.do("POST", step, b.form(step, url.Values{"name": {"June"}, "filter_group_match": {"all"}, "filter_do": {"add:0"}})); w.Code != http.StatusOK ||
		!strings.Contains(w.Body.String(), `name="filter_field"`) || filter() != nil {
		t.Errorf("one more condition answers %d, and %+v is kept", w.Code, filter())
	}
	written := url.Values{"name": {"June"}, "filter_group_match": {"all"}, "filter_group": {"0"}, "filter_field": {"domain"}, "filter_op": {"is"},
		"filter_value": {"example.org"}, "do": {"next"}}
	b.goes(step, b.form(step, written), at+"/edit/type")
	if f := filter(); f == nil || len(f.Groups) != 1 || len(f.Groups[0].Conditions) != 1 || f.Groups[0].Conditions[0].Value != "example.org" {
		t.Errorf("kept is %+v", f)
	}
	if w := b.do("GET", step, nil); !strings.Contains(w.Body.String(), `value="example.org"`) {
		t.Error("what is kept is not shown")
	}
	// What is not finished may be kept, and is not launched.
	written.Set("filter_value", "")
	b.goes(step, b.form(step, written), at+"/edit/type")
	c, err := o.db.Campaign(t.Context(), o.id)
	if err != nil || c.Content.Validate() == nil {
		t.Errorf("a filter without a value may be launched: %v", err)
	}
	// The number is that of all choices together.
	count := b.do("POST", "/audiences/count", url.Values{"filter_group_match": {"all"}, "audience_language": {"xx"}})
	if count.Code != http.StatusOK || !strings.Contains(count.Body.String(), "<strong>0") && !strings.Contains(count.Body.String(), "Nobody") && !strings.Contains(count.Body.String(), "nobody") {
		t.Errorf("for a language that nobody reads it says %d: %s", count.Code, count.Body)
	}
}

// A mail that cannot be put together shows where it is broken, and one that is
// not begun says how to begin.
func TestABrokenMailShowsWhereItIsBroken(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	b := o.as(staff.Marketer)
	at := fmt.Sprintf("/campaigns/%d", o.id)
	content := at + "/edit/content"
	write := func(source string) {
		b.goes(content, b.form(content, url.Values{"language": {"en"}, "format": {"html"}, "source": {source}}), content)
	}
	write("<p>one</p>\n<p>two</p>\n<p>three</p>\n<p>Hi {{ contact.shoe_size }} " + nasty + "</p>\n<p>five</p>\n<p>six</p>\n<p>seven</p>")
	for _, path := range []string{content, at + "/preview?lang=en"} {
		page := b.do("GET", path, nil).Body.String()
		for _, want := range []string{"There is no merge field contact.shoe_size", "HTML, line 4", `wrong"><span class="excerpt-number">4</span><mark>&lt;p&gt;Hi {{ contact.shoe_size }}`, ">2</span>", ">6</span>"} {
			if !strings.Contains(page, want) {
				t.Errorf("%s does not show %q: %s", path, want, page)
			}
		}
		for _, not := range []string{"<iframe", ">1</span>", ">7</span>"} {
			if strings.Contains(page, not) {
				t.Errorf("%s shows %q: %s", path, not, page)
			}
		}
	}
	write(strings.Repeat("å", 5000) + "{{ contact.shoe_size }}" + strings.Repeat("ø", 5000))
	if page := b.do("GET", at+"/preview?lang=en", nil).Body.String(); !strings.Contains(page, "åå{{ contact.shoe_size }}øø") || strings.Count(page, "å") > 200 {
		t.Errorf("of a long line it shows %s", page)
	}
	write("<p>Hi</p>")
	if page := b.do("GET", at+"/preview?lang=en", nil).Body.String(); !strings.Contains(page, "<iframe") || strings.Contains(page, "excerpt") {
		t.Errorf("mended it shows %s", page)
	}
	empty := strings.TrimSuffix(b.goes("/campaigns", url.Values{"from": {"blank"}, "name": {"June"}}, "/campaigns/"), "/edit") + "/edit/content"
	if page := b.do("GET", empty, nil).Body.String(); !strings.Contains(page, o.words.Text("en", "console.composer.findings.blank")) || strings.Contains(page, o.words.Text("en", "console.composer.findings.none")) {
		t.Errorf("an empty mail says %s", page)
	}
}

// One press mends all that a click can, what is only better mended too, in every
// language, from the check and from the composer. What somebody decided to keep stays.
func TestOnePressMendsAll(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	b := o.as(staff.Marketer)
	variant := func(word string) campaign.Variant {
		return campaign.Variant{Subject: "Hi *|FNAME|*", HTML: "<html><body><p>Hi *|FNAME|* {{ contact.firstname }}</p>\n<img src=\"https://shop.example/a.png\">\n" +
			"<a href=\"https://shop.example/unsubscribe\">" + word + "</a>\n<a href=\"https://shop.example/stop\">" + word + "</a></body></html>", Text: "*|UNSUB|*"}
	}
	for _, from := range []string{"check", "content"} {
		written := campaign.Content{Name: "June", Class: "marketing", FromName: "N", FromAddress: "news@jatak.example", PostalAddress: "Pakhuskaj 7", DefaultLanguage: "en",
			Variants: map[string]campaign.Variant{"en": variant("Unsubscribe"), "da": variant("Afmeld")}}
		id, err := o.db.CreateDraft(t.Context(), written, "test", noon)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range campaign.Findings(written, "da") {
			if strings.Contains(f.Source, "/stop") {
				if err := o.db.KeepLink(t.Context(), campaign.KeepLink{KeptLink: campaign.KeptLink{DraftRef: campaign.DraftRef{ID: int64(id)}, Language: "da", Part: f.Part, Source: f.Source, Reason: "ours", Actor: "test", At: noon}, Version: 1, Line: f.Line}); err != nil {
					t.Fatal(err)
				}
			}
		}
		at := fmt.Sprintf("/campaigns/%d", id)
		content, checks := at+"/edit/content", func() string { return b.checked(id).Body.String() }
		page := checks()
		for _, page := range []string{page, b.do("GET", content, nil).Body.String(), b.do("GET", at+"/findings?lang=da", nil).Body.String()} {
			if !strings.Contains(page, `value="mend:all"`) || !strings.Contains(page, o.words.Text("en", "console.composer.mend.all.languages")) {
				t.Errorf("no mend of all is offered: %s", page)
			}
		}
		m := regexp.MustCompile(`name="version" value="(\d+)"`).FindStringSubmatch(page)
		if from == "check" {
			b.goes(content, url.Values{"version": {m[1]}, "back": {"check"}, "do": {"mend:all"}}, at+"/check?done=mended")
		} else {
			b.goes(content, b.form(content, url.Values{"language": {"da"}, "subject": {"Hej *|FNAME|*"}, "do": {"mend:all"}}), content+"?done=mended&lang=da")
		}
		d, err := o.db.Draft(t.Context(), campaign.DraftRef{ID: int64(id)})
		if err != nil {
			t.Fatal(err)
		}
		for lang, v := range d.Content.Variants {
			if all := v.Subject + v.HTML + v.Text; strings.Contains(all, "*|") || strings.Contains(all, "firstname") || strings.Contains(all, "shop.example/unsub") || !strings.Contains(all, "{{ sender.address }}") || strings.Contains(all, "/stop") != (lang == "da") {
				t.Errorf("from the %s page, %s becomes %+v", from, lang, v)
			}
		}
		if from == "content" && d.Content.Variants["da"].Subject != "Hej {{ contact.first_name }}" {
			t.Errorf("what was written beside the press is %q", d.Content.Variants["da"].Subject)
		}
		// What only a person can mend stays, and can be launched.
		page = checks()
		if strings.Contains(page, `value="mend:`) || !strings.Contains(page, html.EscapeString(o.words.Text("en", "console.finding."+campaign.CodeNoAlt))) || seen(b.checked(id)) == "" {
			t.Errorf("mended the check says %s", page)
		}
		if w := b.do("POST", content, b.form(content, url.Values{"language": {"en"}, "do": {"mend:all"}})); w.Code != http.StatusUnprocessableEntity {
			t.Errorf("mending all of nothing answers %d", w.Code)
		}
	}
}

// The check says what to mend and mends it, and then the campaign can be launched.
func TestTheCheckMends(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	b := o.as(staff.Marketer)
	at := fmt.Sprintf("/campaigns/%d", o.id)
	content := at + "/edit/content"
	b.goes(content, b.form(content, url.Values{"language": {"en"}, "subject": {"Hi *|FNAME|*"}, "format": {"html"},
		"source": {"<p>Hi {{ contact.firstname }}</p>\n<a href=\"https://shop.example/unsubscribe\">Unsubscribe</a>\n{{ first_name }}"}}), content)
	page := b.do("GET", content, nil).Body.String()
	if !strings.Contains(page, `value="mend:all"`) || !strings.Contains(page, "{{ contact.first_name }}") {
		t.Errorf("the composer offers no mend of all: %s", page)
	}
	check := func() string { return b.checked(o.id).Body.String() }
	page = check()
	for _, want := range []string{o.words.Text("en", "console.problems"), "Subject", "HTML, line 2", content + "?lang=en", o.words.Text("en", "console.check.unfit")} {
		if !strings.Contains(page, want) {
			t.Errorf("the check does not say %q: %s", want, page)
		}
	}
	if seen(b.checked(o.id)) != "" {
		t.Error("a mail with mistakes can be launched")
	}
	mendForm := regexp.MustCompile(`name="version" value="(\d+)"><input type="hidden" name="language" value="en"><input type="hidden" name="back" value="check"><button class="quiet small" name="do" value="(mend:[^"]+)"`)
	turns := 0
	for ; turns < 10; turns++ {
		m := mendForm.FindStringSubmatch(page)
		if m == nil {
			break
		}
		b.goes(content, url.Values{"version": {m[1]}, "language": {"en"}, "back": {"check"}, "do": {m[2]}}, at+"/check?done=mended")
		page = check()
	}
	if turns < 5 || seen(b.checked(o.id)) == "" {
		t.Errorf("after %d mends it cannot be launched: %s", turns, page)
	}
	d, err := o.db.Draft(t.Context(), campaign.DraftRef{ID: int64(o.id)})
	if v := d.Content.Variants["en"]; err != nil || v.Subject != "Hi {{ contact.first_name }}" || strings.Count(v.HTML, "{{ contact.first_name }}") != 2 || strings.Contains(v.HTML, "shop.example") {
		t.Errorf("mended it is %+v, %v", d.Content, err)
	}
	// Whoever may not write sees what is wrong and can change nothing.
	if page := o.as(staff.Viewer).checked(o.id).Body.String(); strings.Contains(page, "/edit/") {
		t.Errorf("a viewer is led to writing: %s", page)
	}
}
