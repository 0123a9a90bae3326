package console_test

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"net/textproto"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/PuerkitoBio/goquery"

	"github.com/jatak-mail/jatak/gating"
	"github.com/jatak-mail/jatak/internal/campaign"
	"github.com/jatak-mail/jatak/internal/console"
	"github.com/jatak-mail/jatak/internal/contact"
	"github.com/jatak-mail/jatak/internal/contactlist"
	"github.com/jatak-mail/jatak/internal/postgres"
	"github.com/jatak-mail/jatak/internal/postgres/postgrestest"
	"github.com/jatak-mail/jatak/internal/staff"
)

// hostile are strings that do harm where they are not handled as text. Those
// that are plain lines may be kept, the others must be refused or made harmless.
func hostile() []hostileString {
	return []hostileString{
		{"a script, and templates", `<script>evil()</script>{{.}}{{7*7}}{{ contact.email }}{% x %}`},
		{"an image and SQL", `"><img src=x onerror=evil()>' OR 1=1 --`},
		{"a formula", `=cmd|' /C calc'!A0`},
		{"a header", "a\r\nBcc: evil@example.org\r\n\r\nx"},
		{"another direction", "a\u202egpj.exe"},
		{"a NUL", "a\x00b"},
		{"no UTF-8", "a\xff\xfeb"},
		{"a megabyte", strings.Repeat("x", 1<<20)},
	}
}

type hostileString struct{ name, text string }

// besieged is an office with one of everything, so that every page has its
// forms.
func besieged(t *testing.T) *office {
	o := newOffice(t)
	content := campaign.Content{Name: "Letter", FromName: "N", FromAddress: "n@jatak.example", PostalAddress: "P", DefaultLanguage: "en",
		Variants: map[string]campaign.Variant{"en": {Subject: "s", HTML: `<p><a href="https://ours.example/stop">Unsubscribe</a></p>`, Text: "Hi"}}}
	template, err := o.db.CreateTemplate(t.Context(), content, "test", noon)
	if err != nil || template != 1 || o.id != 1 {
		t.Fatalf("campaign %d, template %d, %v", o.id, template, err)
	}
	if _, err := o.db.CreateTemplate(t.Context(), content, "test", noon); err != nil { // whose link stays
		t.Fatal(err)
	}
	draft := campaign.DraftRef{Template: true, ID: template}
	other := content.Clone()
	other.Variants["en"] = campaign.Variant{Markdown: "Hi", Subject: "s"}
	worker, err := o.db.StartWorker(t.Context(), "w", time.Hour)
	must := []func() error{
		func() error { return err },
		func() error {
			clean := content.Clone()
			clean.Variants["en"] = campaign.Variant{Subject: "s", HTML: `<a href="{{ manage_url }}">Manage</a> P`}
			_, err := o.db.CreateCampaign(t.Context(), clean, noon)
			return err
		},
		func() error { // so that there is somebody to mail, and somebody for an override
			return o.db.Set(t.Context(), gating.SettingPrivacy, "on", "test", noon)
		},
		func() error {
			on := true
			_, err := o.db.Choose(t.Context(), contact.Choices{Contact: 1, Source: gating.SourceManagePage, Emarketing: &on, At: noon, Locale: "da", Wording: "Ja tak"})
			return err
		},
		func() error {
			_, err := o.db.KeepDraft(t.Context(), campaign.Save{DraftRef: draft, Base: 1, Content: other, Actor: "test", Action: "save", At: noon})
			return err
		},
		func() error {
			_, err := o.db.KeepDraft(t.Context(), campaign.Save{DraftRef: draft, Base: 2, Content: content, Actor: "test", Action: "save", At: noon})
			return err
		},
		func() error {
			return o.db.DescribeWorker(t.Context(), worker, campaign.About{Relays: []campaign.Relay{{Name: "mail.example:25", Host: "mail.example", Encryption: "none"}}})
		},
		func() error {
			return o.db.SetLimit(t.Context(), campaign.Limit{Kind: campaign.DestinationLimit, Name: "outlook", PerSecond: 20}, "test", noon)
		},
		func() error {
			return o.db.CreateType(t.Context(), contact.NewType{Key: "news", Names: map[string]string{"en": "News", "da": "Nyheder"}}, "test", noon)
		},
		func() error {
			filter := contact.Filter{Groups: []contact.Group{{Match: contact.Any, Conditions: []contact.Condition{{Field: contact.FieldDomain, Op: contact.OpIs, Value: "example.org"}}}}}
			return o.db.SaveAudience(t.Context(), contact.SavedAudience{Name: "Example", Filter: filter, Actor: "test"}, noon)
		},
		func() error {
			id, err := o.db.CreateImport(t.Context(), "list.csv", "test", noon)
			if err != nil || id != 1 {
				return fmt.Errorf("import %d, %w", id, err)
			}
			return o.db.AddImportPart(t.Context(), id, 0, []byte("E-mail;Navn;\"=1+1 <script>evil()</script>\"\nbo@example.org;\"<script>evil()</script>\";x\nno address;=1+1;\"<img src=x onerror=evil()>\"\n"))
		},
		func() error {
			return o.db.EndImport(t.Context(), 1, contact.ImportUploading, contact.ImportUploaded, "", noon)
		},
		func() error { return o.refusedBy(hostile()) },
	}
	for _, step := range must {
		if err := step(); err != nil {
			t.Fatal(err)
		}
	}
	return o
}

// quiet is the site without a log, which has starters and waits for nothing.
func (o *office) quiet() http.Handler {
	o.t.Helper()
	site, err := console.New(console.Options{Store: o.db, Together: o.together, Templates: o.words, Settings: postgres.Settings(), Now: func() time.Time { return noon }, Log: slog.New(slog.DiscardHandler),
		Secure: true, URL: "https://console.example", Resolver: deaf{}, Upgrades: o, Starters: starters()})
	if err != nil {
		o.t.Fatal(err)
	}
	return site
}

// refusedBy launches a third campaign, whose mails a server refuses with words of a
// stranger's.
func (o *office) refusedBy(words []hostileString) error {
	ctx := o.t.Context()
	id, err := o.db.CreateCampaign(ctx, campaign.Content{Name: "Refused", FromName: "Ja Tak", FromAddress: "news@jatak.example", DefaultLanguage: "en",
		Variants: map[string]campaign.Variant{"en": {Subject: "s", HTML: `<a href="{{ manage_url }}">Manage</a>`}}}, noon)
	if err != nil || id != 3 {
		return fmt.Errorf("campaign %d, %w", id, err)
	}
	if err := o.db.Launch(ctx, id, campaign.Override{}, noon); err != nil {
		return err
	}
	batches, _, err := o.db.PlanChunk(ctx, id, 1000, noon, gating.Decide)
	if err != nil || len(batches) == 0 {
		return fmt.Errorf("batches %v, %w", batches, err)
	}
	worker, err := o.db.StartWorker(ctx, "w", time.Hour)
	if err != nil {
		return err
	}
	_, claimed, err := o.db.Claim(ctx, campaign.ClaimRequest{Worker: worker, Campaign: id, Batch: batches[0], Limit: 1000, Now: noon})
	if err != nil || len(claimed) == 0 {
		return fmt.Errorf("%d were claimed, %w", len(claimed), err)
	}
	var outcomes []campaign.Outcome
	for i, c := range claimed {
		reply := strings.ToValidUTF8(strings.ReplaceAll(words[i%len(words)].text, "\x00", ""), "\ufffd")
		outcomes = append(outcomes, campaign.Outcome{Worker: worker, Campaign: id, Batch: batches[0], Contact: c.ID, State: campaign.Failed, At: noon,
			Verdict: gating.Verdict{Send: true, Reason: gating.PrivacyOff}, Code: 550 + i%5, Enhanced: "5.7.1", Reply: reply[:min(len(reply), 500)]})
	}
	return o.db.Record(ctx, outcomes)
}

// launchable is the check of a campaign that nobody writes on, and refused is a
// campaign that was launched.
const (
	launchable = "/campaigns/2/check"
	refused    = "/campaigns/3"
)

// pagesOf lists the pages of the role table, with what there is one of in the
// place of what their addresses leave open.
func pagesOf(t *testing.T) (pages []string) {
	open := regexp.MustCompile(`\{[a-z]+\}`)
	for _, route := range console.Routes() {
		method, path, _ := strings.Cut(route.Pattern, " ")
		if method != http.MethodGet || strings.HasPrefix(path, "/static/") || strings.HasSuffix(path, "/static/{name}") || strings.HasSuffix(path, "/events") || path == "/setup/{token}" {
			continue
		}
		path = strings.NewReplacer("{$}", "", "{id}", "1", "{version}", "1", "{domain}", "jatak.example").Replace(path)
		switch {
		case path == "/campaigns/1/check":
			pages = append(pages, launchable)
		case path == "/campaigns/1", path == "/campaigns/1/report", path == "/campaigns/1/people":
			pages = append(pages, path, strings.Replace(path, "/campaigns/1", refused, 1))
		case path == "/campaigns/1/resend":
			pages = append(pages, refused+"/resend")
		case strings.HasSuffix(path, "{step}"):
			for _, step := range []string{"audience", "type", "content", "check"} {
				pages = append(pages, strings.Replace(path, "{step}", step, 1))
			}
		case path == "/settings/rules/{name}":
			for _, name := range []gating.Setting{gating.SettingBounceLimit, gating.SettingPrivacy, contact.SettingSenderName, contact.SettingSenderAddress, contact.SettingPostalAddress, contact.SettingTimeZone, contact.SettingSendPace} {
				pages = append(pages, "/settings/rules/"+string(name))
			}
		case path == "/audiences":
			pages = append(pages, "/audiences", "/audiences?id=1")
		case path == "/settings/look/words":
			pages = append(pages, "/settings/look/words?lang=da")
		case open.MatchString(path):
			t.Errorf("%s: say here what to fill in, so that hostile strings are tried there", path)
		default:
			pages = append(pages, path)
		}
	}
	return pages
}

// form is a form of a page, as it stands there.
type form struct {
	page, method, action string
	values               url.Values
	fields               []string // those that anything can be written in
	others               []string // those that a browser fills in
}

// formsOf reads the forms of a page.
func formsOf(page string, doc *goquery.Document) (forms []form) {
	doc.Find("form").Each(func(_ int, s *goquery.Selection) {
		f := form{page: page, method: strings.ToUpper(s.AttrOr("method", "get")), action: s.AttrOr("action", page), values: url.Values{}}
		s.Find("input[name], textarea[name], select[name]").Each(func(_ int, c *goquery.Selection) {
			name := c.AttrOr("name", "")
			kind := c.AttrOr("type", "text")
			list := &f.others
			switch value := c.AttrOr("value", ""); {
			case goquery.NodeName(c) == "textarea":
				f.values.Add(name, c.Text())
				list = &f.fields
			case goquery.NodeName(c) == "select":
				chosen := c.Find("option[selected]")
				if chosen.Length() == 0 {
					chosen = c.Find("option").First()
				}
				f.values.Add(name, chosen.AttrOr("value", chosen.Text()))
			case kind == "checkbox" || kind == "radio":
				if _, checked := c.Attr("checked"); checked {
					f.values.Add(name, value)
				}
				if kind == "checkbox" { // anything in it is a yes
					return
				}
			case kind == "file":
				return
			default:
				f.values.Add(name, value)
				if kind != "hidden" {
					list = &f.fields
				}
			}
			// All texts of the recipients' pages are read in one way: two will do.
			alike := strings.HasPrefix(name, "text.") && len(*list) >= 2
			if !slices.Contains(*list, name) && !alike {
				*list = append(*list, name)
			}
		})
		forms = append(forms, f)
		counts := map[bool]string{s.Find(`[hx-post="/audiences/filter"]`).Length() > 0: "/audiences/count", f.action == "/contacts": "/contacts/count"}[true]
		if counts != "" {
			count := f
			count.action, count.method = counts, http.MethodPost // once the page is there
			forms = append(forms, count)
		}
		s.AddSelection(s.Find("[formaction], [hx-post]")).Each(func(_ int, c *goquery.Selection) {
			for _, attribute := range []string{"formaction", "hx-post"} {
				if action, ok := c.Attr(attribute); ok && action != f.action {
					also := f
					also.action, also.method = action, http.MethodPost
					forms = append(forms, also)
				}
			}
		})
	})
	return forms
}

// siege posts to an office.
type siege struct {
	*office
	b *browser
}

// besiege returns a besieged office, quiet, and its administrator at it.
func besiege(t *testing.T) (*office, siege) {
	t.Helper()
	o := besieged(t)
	s := siege{o, o.as(staff.Administrator)}
	o.handler = o.quiet()
	return o, s
}

// harmless reads an answer as a browser would and says what could do harm in it.
func (s siege) harmless(what string, w *httptest.ResponseRecorder) {
	s.t.Helper()
	if w.Code >= 500 {
		s.t.Errorf("%s answers %d", what, w.Code)
	}
	for name, values := range w.Header() {
		if strings.ContainsAny(strings.Join(values, ""), "\r\n\x00") || name == "Bcc" {
			s.t.Errorf("%s: the header %s is %q", what, name, values)
		}
	}
	kind := w.Header().Get("Content-Type")
	switch {
	case strings.HasPrefix(kind, "text/csv"):
		s.noFormula(what, w.Body.String())
		return
	case !strings.HasPrefix(kind, "text/html"):
		return // nosniff, which another test holds
	case strings.Contains(w.Header().Get("Content-Security-Policy"), "sandbox"):
		return // the mail itself, as its author wrote it
	}
	doc, err := goquery.NewDocumentFromReader(w.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	doc.Find("*").Each(func(_ int, e *goquery.Selection) {
		for _, a := range e.Nodes[0].Attr {
			if strings.HasPrefix(a.Key, "on") || a.Key == "style" || a.Key == "srcdoc" || a.Key != "value" && strings.HasPrefix(strings.ToLower(strings.TrimSpace(a.Val)), "javascript:") {
				s.t.Errorf("%s: <%s %s=%q>", what, e.Nodes[0].Data, a.Key, a.Val)
			}
		}
		if _, linked := e.Attr("src"); e.Nodes[0].Data == "script" && !linked || e.Nodes[0].Data == "img" && e.AttrOr("src", "") == "x" {
			s.t.Errorf("%s: <%s> %s", what, e.Nodes[0].Data, e.Text())
		}
	})
	if w.Code >= 400 && strings.TrimSpace(doc.Find(`[role=alert]`).Text()) == "" && strings.TrimSpace(doc.Find("main h1").Text()) == "" {
		s.t.Errorf("%s answers %d and does not say why", what, w.Code)
	}
}

func (s siege) noFormula(what, text string) {
	s.t.Helper()
	rows, err := csv.NewReader(strings.NewReader(text)).ReadAll()
	if err != nil {
		s.t.Errorf("%s: %v", what, err)
	}
	for _, row := range rows {
		for _, cell := range row {
			if cell = strings.TrimLeft(cell, " \t"); cell != "" && strings.ContainsRune("=+-@", rune(cell[0])) {
				s.t.Errorf("%s holds the formula %q", what, cell)
			}
		}
	}
}

// try sends a form with a hostile string in one of its fields, and returns the
// status of the answer.
func (s siege) try(f form, field, name, value string) int {
	s.t.Helper()
	values := url.Values{}
	for key, kept := range f.values {
		values[key] = slices.Clone(kept)
	}
	values[field] = []string{value}
	what := fmt.Sprintf("%s %s with %s in %s", f.method, f.action, name, field)
	if f.method == http.MethodGet {
		if len(value) > 10_000 {
			return 0 // no server of ours reads such an address
		}
		w := s.b.do("GET", f.action+"?"+values.Encode(), nil)
		s.harmless(what, w)
		return w.Code
	}
	w := s.b.do("POST", f.action, values)
	s.harmless(what, w)
	return w.Code
}

// forms reads the forms of a page of the office.
func (s siege) forms(page string) []form {
	s.t.Helper()
	w := s.b.do("GET", page, nil)
	if !strings.HasPrefix(w.Header().Get("Content-Type"), "text/html") {
		return nil
	}
	doc, err := goquery.NewDocumentFromReader(w.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return formsOf(page, doc)
}

// counted waits until the gate has been asked, which goes on beside the page.
func (s siege) counted(page string) {
	s.t.Helper()
	for until := time.Now().Add(30 * time.Second); !strings.Contains(s.b.do("GET", page, nil).Body.String(), `/override"`); {
		if time.Now().After(until) {
			s.t.Fatalf("%s does not come to an end", page)
		}
		runtime.Gosched()
	}
}

// siegeField tries each string in a field of a page's form. A draft has a new
// version after each save, so that its form is read anew.
func (s siege) siegeField(f form, at int, field string) {
	s.t.Helper()
	few := !slices.Contains(f.fields, field) || strings.Contains(field, "password") || f.action == "/account/password" // hashing takes long
	kept := f.values[field]
	for _, h := range hostile() {
		if few && h.name != "a script, and templates" && h.name != "a NUL" {
			continue
		}
		code := s.try(f, field, h.name, h.text)
		if !strings.Contains(f.page, "/edit/") || code != http.StatusSeeOther && code != http.StatusConflict {
			continue
		}
		if now := s.forms(f.page); at < len(now) && now[at].action == f.action {
			f.values = now[at].values
		}
	}
	if strings.Contains(f.page, "/edit/") && len(kept) > 0 { // a mail of a megabyte takes its time each time
		s.try(f, field, "what it was", kept[0])
	}
}

// Whatever is written into whichever field of the console, nothing breaks, nothing
// runs, and what is refused is refused in words. The forms are read off the pages,
// so that a new one is tried by itself.
func TestHostileStringsInEveryFieldDoNoHarm(t *testing.T) {
	t.Parallel()
	o, s := besiege(t)
	pages := pagesOf(t)
	tried, posted := map[string]bool{}, map[string]bool{} // method, action and field; method and action
	for _, page := range pages {
		if page == launchable {
			s.counted(page)
		}
		forms := s.forms(page)
		for i, f := range forms {
			path, _, _ := strings.Cut(f.action, "?")
			for _, field := range slices.Concat(f.fields, f.others) {
				posted[f.method+" "+path] = true
				if key := f.method + " " + f.action + " " + field; !tried[key] {
					tried[key] = true
					s.siegeField(f, i, field)
				}
			}
		}
	}
	for _, route := range console.Routes() {
		method, path, _ := strings.Cut(route.Pattern, " ")
		pattern := regexp.MustCompile("^POST " + regexp.MustCompile(`\\\{[a-z]+\\\}`).ReplaceAllString(regexp.QuoteMeta(path), "[^/]+") + "$")
		if method != http.MethodPost || withoutText[path] || path == "/setup/{token}" {
			continue
		}
		found := false
		for action := range posted {
			found = found || pattern.MatchString(action)
		}
		if !found {
			t.Errorf("%s: no page that was read has its form; say here where it is, or that it keeps no text", route.Pattern)
		}
	}
	// The list goes its way, so that its refused rows are there.
	runner := &contactlist.Runner{Store: o.db, Digest: func(a contact.Address) []byte { return []byte(a) }, Now: func() time.Time { return noon }, Log: slog.New(slog.DiscardHandler)}
	step := func() {
		if _, err := runner.Step(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	step() // a hostile reason may have begun it
	choices := url.Values{"encoding": {"utf-8"}, "separator": {"semicolon"}, "column": {"email", "name", ""}, "reason": {"the fair"}}
	for _, action := range []string{"check", "run"} {
		if w := s.b.do("POST", "/imports/1/"+action, choices); w.Code != http.StatusSeeOther {
			t.Fatalf("%s answers %d: %s", action, w.Code, w.Body)
		}
		step()
	}
	for _, page := range append(pages, "/contacts/2", "/contacts/3", "/campaigns/2", "/campaigns/2/edit/content", "/templates/2") {
		for _, lang := range []string{"da", "en"} {
			s.b.do("POST", "/language", url.Values{"lang": {lang}})
			w := s.b.do("GET", page, nil)
			if w.Code >= 400 && w.Code != http.StatusNotFound && w.Code != http.StatusConflict {
				t.Errorf("afterwards %s answers %d", page, w.Code)
			}
			s.harmless(page, w)
		}
	}
	s.keptLines()
}

// withoutText are the actions that take no text but what their address and their
// buttons say.
var withoutText = map[string]bool{"/logout": true, "/campaigns/{id}/recount": true, "/campaigns/{id}/copy": true, "/templates/{id}/copy": true, "/templates/{id}/delete": true,
	"/audiences/{id}/delete": true, "/imports/{id}/run": true, "/imports/{id}/cancel": true, "/account/sessions": true, "/upgrade/kept/{id}/ask": true,
	"/imports": true} // a file, which contactlist is tried with

// keptLines holds what ends in the headers of mails to lines.
func (s siege) keptLines() {
	s.t.Helper()
	campaigns, err := s.db.Campaigns(s.t.Context())
	if err != nil {
		s.t.Fatal(err)
	}
	stored, err := s.db.Templates(s.t.Context())
	if err != nil {
		s.t.Fatal(err)
	}
	for _, c := range campaigns {
		stored = append(stored, campaign.Draft{Content: c.Content})
	}
	for _, d := range stored {
		lines := []string{d.Content.Name, d.Content.FromName, d.Content.FromAddress, d.Content.ReplyTo}
		for _, v := range d.Content.Variants {
			lines = append(lines, strings.NewReplacer("\u202e", "").Replace(v.Subject)) // its author may turn it
		}
		for _, line := range lines {
			if line != "" && !contact.IsLine(line, 1000) {
				s.t.Errorf("a mail has the header %.80q", line)
			}
		}
	}
	look, err := s.db.Brand(s.t.Context())
	if err != nil {
		s.t.Fatal(err)
	}
	if err := look.Validate(); err != nil {
		s.t.Errorf("the look: %v", err)
	}
}

// A user's browser and the name of a file are strings from outside, too.
func TestHostileNamesOfFilesAndBrowsersDoNoHarm(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	o.as(staff.Administrator)
	for _, h := range hostile() {
		name, value := h.name, h.text
		b := o.visitor()
		s := siege{o, b}
		agent := strings.NewReplacer("\r", "", "\n", "").Replace(value)
		token, hash := staff.NewToken()
		if err := o.db.Invite(t.Context(), hash, "viewer@jatak.example", staff.Viewer, "test", noon, noon.Add(time.Hour)); err != nil {
			t.Fatal(err)
		}
		w := b.do("POST", "/setup/"+token, url.Values{"email": {value}, "password": {password}})
		siege{o, b}.harmless("an invitation with "+name, w)
		if w.Code < 400 {
			t.Errorf("an invitation with %s as the address answers %d", name, w.Code)
		}
		if w := b.do("POST", "/login", url.Values{"email": {"administrator@jatak.example"}, "password": {password}}, "User-Agent", agent, "X-Forwarded-For", agent); w.Code != http.StatusSeeOther {
			t.Fatalf("with %s as its name a browser gets %d: %s", name, w.Code, w.Body)
		}
		s.harmless("the sessions with "+name, b.do("GET", "/account", nil))
	}
}

// parameters are the names of all that the site reads of an address or a form, as
// its source has them, so that a new one is tried by itself.
func parameters(t *testing.T) (names []string) {
	t.Helper()
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	read := regexp.MustCompile(`(?:Get|Has|FormValue|get)\("([a-z][a-z_]*)"`)
	for _, file := range files {
		source, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		for _, m := range read.FindAllStringSubmatch(string(source), -1) {
			if !slices.Contains(names, m[1]) {
				names = append(names, m[1])
			}
		}
	}
	if len(names) < 50 {
		t.Fatalf("the site reads only %q", names)
	}
	return names
}

// Whatever stands in the address of a page, in its path or behind it, nothing
// breaks, nothing runs, nothing is changed, and what is not there is said in the
// reader's language.
func TestHostileAddressesDoNoHarm(t *testing.T) {
	t.Parallel()
	o, s := besiege(t)
	names := parameters(t)
	values := []string{"0", "-1", "9000000000000000000", "99999999999999999999999", "1 or 1=1", "9223372036854775807.9223372036854775807.9223372036854775807", "0000-00-00", "9999-12-31",
		"NaN", "%", "..", "//evil.example", `\\evil.example`, "javascript:evil()"}
	for _, h := range hostile() {
		values = append(values, h.text[:min(len(h.text), 5000)]) // no server of ours reads a longer address
	}
	s.counted(launchable)
	// What a look leaves behind is no change: the audit log, when a session was used
	// last, and books that were counted.
	kept := func() map[string]string {
		return postgrestest.Tables(t, o.url, "audit", "staff_session", "form_use", "campaign_account")
	}
	before := kept()
	s.b.cookies["jatak_language"] = "da"
	for i, value := range values {
		query := url.Values{}
		for _, name := range names {
			query.Set(name, value[:min(len(value), 200)])
		}
		// One parameter after the other could keep those behind it from being read.
		longer := url.Values{names[i%len(names)]: {value}, "no_such": {value, value}}
		for _, page := range pagesOf(t) {
			path, _, _ := strings.Cut(page, "?")
			for _, q := range []url.Values{query, longer} {
				s.harmless(fmt.Sprintf("GET %s with %.40q", path, value), s.b.do("GET", path+"?"+q.Encode(), nil))
			}
		}
		open := regexp.MustCompile(`\{[a-z]+\}`)
		for _, route := range console.Routes() {
			method, path, _ := strings.Cut(route.Pattern, " ")
			if method != http.MethodGet || !open.MatchString(path) {
				continue
			}
			path = open.ReplaceAllLiteralString(path, url.PathEscape(value))
			what := fmt.Sprintf("GET %s with %.40q", route.Pattern, value)
			w := s.b.do("GET", path, nil)
			if page := w.Body.String(); w.Code == http.StatusNotFound && strings.HasPrefix(w.Header().Get("Content-Type"), "text/html") && !strings.Contains(page, `<html lang="en"`) {
				t.Errorf("%s is answered in another language", what)
			}
			s.harmless(what, w)
		}
	}
	after := kept()
	for table, content := range before {
		if after[table] != content {
			t.Errorf("a look at a page changed the table %s", table)
		}
	}
}

// A form that no page of ours has sent is refused in words or read as far as it
// is known: fields more than once, fields that nobody knows, files in the place of
// texts, and what is no form at all.
func TestHostileFormsDoNoHarm(t *testing.T) {
	t.Parallel()
	_, s := besiege(t)
	tried := map[string]bool{}
	for _, page := range pagesOf(t) {
		for _, f := range s.forms(page) {
			if f.method != http.MethodPost || tried[f.action] || f.action == "/logout" || f.action == "/account/sessions" { // they end the session
				continue
			}
			tried[f.action] = true
			twice := url.Values{"no_such": {"x"}, "__proto__[x]": {"1"}, strings.Repeat("n", 40_000): {"\x01"}}
			parts := map[string]string{"no_such": "a\x00b"}
			for name := range f.values {
				twice[name], parts[name] = []string{"{{7*7}}", "-1", "x"}, "a\x00b\xff"
			}
			s.harmless("twice "+f.action, s.b.do("POST", f.action, twice))
			for _, name := range []string{"../../etc/passwd", "a\u202egpj.csv", "<script>evil()</script>.html", "=1+1.csv", strings.Repeat("n", 1<<20)} {
				s.harmless("files for "+f.action, s.send(f.action, name, "text/html\r\nX-Evil: 1", parts))
			}
			for kind, body := range map[string]string{"application/json": `{"a":1}`, "multipart/form-data": "x", "multipart/form-data; boundary=b": "--b\r\nContent-Dis", "Application/X-WWW-Form-Urlencoded": "name=%00", "": "a=b"} {
				r := httptest.NewRequest("POST", f.action, strings.NewReader(body))
				r.Header.Set("Content-Type", kind)
				s.harmless(fmt.Sprintf("%q for %s", kind, f.action), s.b.send(r))
			}
		}
	}
	if len(tried) < 30 {
		t.Errorf("only %d forms were tried", len(tried))
	}
	s.keptLines()
}

// send posts a form as browsers do that send files, with one of a name and kind.
func (s siege) send(action, fileName, kind string, fields map[string]string) *httptest.ResponseRecorder {
	s.t.Helper()
	var body bytes.Buffer
	form := multipart.NewWriter(&body)
	header := textproto.MIMEHeader{"Content-Disposition": {fmt.Sprintf(`form-data; name="file"; filename=%q`, fileName)}, "Content-Type": {kind}}
	part, err := form.CreatePart(header)
	if err == nil {
		_, err = io.WriteString(part, "E-mail;Navn\nbo@example.org;x\n")
	}
	for name, value := range fields {
		err = errors.Join(err, form.WriteField(name, value))
	}
	if err := errors.Join(err, form.Close()); err != nil {
		s.t.Fatal(err)
	}
	r := httptest.NewRequest("POST", action, &body)
	r.Header.Set("Content-Type", form.FormDataContentType())
	return s.b.send(r)
}

// A list whose upload was cut off is told of, and nothing of it can be taken.
func TestAListThatCameInPartIsNotTaken(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	b := o.as(staff.Officer)
	for _, lang := range []string{"da", "en"} {
		b.do("POST", "/language", url.Values{"lang": {lang}})
		r := httptest.NewRequest("POST", "/imports", strings.NewReader("--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"l.csv\"\r\n\r\nE-mail\nbo@example.org\nca"))
		r.Header.Set("Content-Type", "multipart/form-data; boundary=b")
		w := b.send(r)
		if w.Code != http.StatusBadRequest || !strings.Contains(w.Body.String(), o.words.Text(lang, "lists.file.cut")) {
			t.Errorf("it answers %d: %s", w.Code, w.Body)
		}
	}
	list, err := o.db.ListImports(t.Context(), 10)
	if err != nil || len(list) != 2 || list[0].State != contact.ImportCancelled || list[1].State != contact.ImportCancelled {
		t.Errorf("%+v, %v", list, err)
	}
}
