package console_test

import (
	"bytes"
	"encoding/csv"
	"fmt"
	"log/slog"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/PuerkitoBio/goquery"

	"github.com/jatak-mail/jatak/gating"
	"github.com/jatak-mail/jatak/internal/contact"
	"github.com/jatak-mail/jatak/internal/contactlist"
	"github.com/jatak-mail/jatak/internal/postgres"
	"github.com/jatak-mail/jatak/internal/staff"
)

func TestAnAudienceIsBuiltWithoutJavaScriptAndSaved(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	b := o.as(staff.Marketer)
	form := url.Values{"filter_match": {"all"}, "filter_group_match": {"any"}, "filter_do": {"add:0"}, "name": {"Annas"}}
	blank := o.words.Text("en", "filter.problem.empty")
	if w := b.do("POST", "/audiences", form); w.Code != http.StatusOK || !strings.Contains(w.Body.String(), `name="filter_value"`) || strings.Contains(w.Body.String(), blank) {
		t.Fatalf("adding a condition answers %d: %s", w.Code, w.Body)
	}
	condition := func(field, op, value, do string) url.Values {
		v := url.Values{"filter_match": {"all"}, "filter_group_match": {"any"}, "filter_group": {"0"}, "filter_field": {field}, "filter_op": {op}, "filter_value": {value}, "name": {"Annas " + nasty}}
		if do != "" {
			v.Set("filter_do", do)
		}
		return v
	}
	if w := b.do("POST", "/audiences/count", condition("first_name", "is", "anna", "")); !strings.Contains(w.Body.String(), "1 person") {
		t.Errorf("the count: %s", w.Body)
	}
	if w := b.do("POST", "/audiences/filter", condition("last_mail", "is", "x", "update")); !strings.Contains(w.Body.String(), o.words.Text("en", "filter.op.last_mail.never")) {
		t.Errorf("another field: %s", w.Body)
	}
	if w := b.do("POST", "/audiences", condition("first_name", "is", "", "")); w.Code != http.StatusBadRequest || !strings.Contains(w.Body.String(), blank) {
		t.Errorf("a condition without a value is saved with %d: %s", w.Code, w.Body)
	}
	if w := b.do("POST", "/audiences/filter", condition("consent_since", "last_days", "2026-01-31", "")); strings.Contains(w.Body.String(), "2026-01-31") {
		t.Errorf("a date stays where days are asked for: %s", w.Body)
	}
	for _, wrong := range []url.Values{condition("last_mail", "months_ago", "0", ""), condition("consent_since", "since", "soon", ""), condition("basis", "is", "x' OR '1'='1", ""), condition("no", "is", "x", ""), {"name": {"x"}}} {
		if w := b.do("POST", "/audiences", wrong); w.Code != http.StatusBadRequest {
			t.Errorf("%v answers %d", wrong, w.Code)
		}
	}
	if w := b.do("POST", "/audiences", condition("first_name", "is", "anna", "")); w.Code != http.StatusSeeOther {
		t.Fatalf("saving answers %d: %s", w.Code, w.Body)
	}
	saved, err := o.db.SavedAudiences(t.Context())
	if err != nil || len(saved) != 1 || saved[0].Filter.Groups[0].Conditions[0] != (contact.Condition{Field: contact.FieldFirstName, Op: contact.OpIs, Value: "anna"}) {
		t.Fatalf("it is kept as %+v, %v", saved, err)
	}
	if w := b.do("GET", "/audiences?id=1", nil); w.Code != http.StatusOK || strings.Contains(w.Body.String(), nasty) || !strings.Contains(w.Body.String(), `value="anna"`) {
		t.Errorf("showing it answers %d: %s", w.Code, w.Body)
	}
	if w := b.do("POST", "/audiences/1/delete", url.Values{}); w.Code != http.StatusSeeOther {
		t.Errorf("deleting answers %d", w.Code)
	}
	if w := b.do("POST", "/audiences/1/delete", url.Values{}); w.Code != http.StatusNotFound {
		t.Errorf("deleting twice answers %d", w.Code)
	}
}

func TestTheCardOfAPerson(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	b := o.as(staff.Officer)
	if err := o.db.CreateType(t.Context(), contact.NewType{Key: "news", Names: map[string]string{"en": "News", "da": "Nyheder"}}, "test", noon); err != nil {
		t.Fatal(err)
	}
	choose := func(choice, reason string) int {
		return b.do("POST", "/contacts/1/type", url.Values{"choice": {choice}, "reason": {reason}}).Code
	}
	if code := choose("1:in", ""); code != http.StatusBadRequest {
		t.Errorf("without a reason it answers %d", code)
	}
	for _, choice := range []string{"1:out", "1:in", "1:in"} { // what staff did, staff may take back
		if code := choose(choice, "by phone "+nasty); code != http.StatusSeeOther {
			t.Errorf("%s answers %d", choice, code)
		}
	}
	if code := choose("9:in", "x"); code != http.StatusNotFound {
		t.Errorf("a type that is not there answers %d", code)
	}
	if code := choose("1:maybe", "x"); code != http.StatusBadRequest {
		t.Errorf("a choice that is none answers %d", code)
	}
	_, err := o.db.Choose(t.Context(), contact.Choices{Contact: 1, Source: gating.SourceManagePage, Types: map[gating.TypeID]gating.Preference{1: gating.PreferenceOut}, At: noon, Locale: "da", Wording: "w"})
	if err != nil {
		t.Fatal(err)
	}
	if code := choose("1:in", "x"); code != http.StatusConflict {
		t.Errorf("over the contact's own choice it answers %d", code)
	}
	card := b.do("GET", "/contacts/1", nil).Body.String()
	if strings.Contains(card, nasty) || !strings.Contains(card, "by phone") {
		t.Errorf("the history lacks the reason, or holds more: %s", card)
	}
	for as, kind := range map[string]string{"": "text/html", "?as=json": "application/json"} {
		w := b.do("GET", "/contacts/1/export"+as, nil)
		if w.Code != http.StatusOK || !strings.HasPrefix(w.Header().Get("Content-Type"), kind) || !strings.Contains(w.Body.String(), "p0@example.org") || !strings.HasPrefix(w.Header().Get("Content-Disposition"), "attachment") {
			t.Errorf("the export%s answers %d, %v", as, w.Code, w.Header())
		}
	}
	if lines := o.audited(); !has(lines, staff.ContactView) || !has(lines, staff.ContactExport+" JSON") || !has(lines, staff.ContactExport+" HTML") {
		t.Errorf("the audit log does not tell a look from an export: %q", lines)
	}
	if w := b.do("POST", "/contacts", url.Values{"q": {"p0@example.org"}}); w.Code != http.StatusOK || !strings.Contains(w.Body.String(), "/contacts/1\"") {
		t.Errorf("a search for an address answers %d", w.Code)
	}
	if w := b.do("POST", "/contacts", url.Values{"q": {"holm"}}); !strings.HasPrefix(w.Header().Get("Location"), "/contacts?") {
		t.Errorf("a search for a name answers %d", w.Code)
	}
	if w := b.do("GET", "/contacts/1/erase", nil); w.Code != http.StatusOK {
		t.Errorf("asking answers %d", w.Code)
	}
	if w := b.do("POST", "/contacts/1/erase", url.Values{"number": {"2"}}); w.Code != http.StatusBadRequest {
		t.Errorf("a wrong number answers %d", w.Code)
	}
	if w := b.do("POST", "/contacts/1/erase", url.Values{"number": {"1"}}); w.Code != http.StatusSeeOther {
		t.Errorf("erasing answers %d", w.Code)
	}
	for _, path := range []string{"/contacts/1", "/contacts/1/erase", "/contacts/1/export", "/contacts/0", "/contacts/x"} {
		if w := b.do("GET", path, nil); w.Code != http.StatusNotFound {
			t.Errorf("after that %s answers %d", path, w.Code)
		}
	}
}

func TestACardLeadsBackToTheSearchAndThePageSaysHowManyAreFound(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	o.enlarge(120)
	b := o.as(staff.Officer)
	page := func(path string) string {
		t.Helper()
		w := b.do("GET", path, nil)
		if w.Code != http.StatusOK {
			t.Fatalf("%s answers %d", path, w.Code)
		}
		return w.Body.String()
	}
	if all := page("/contacts"); !strings.Contains(all, "122 contacts") || strings.Contains(page("/contacts?last=1"), "found") {
		t.Errorf("before a search: %s", all)
	}
	first := page("/contacts?q=many")
	if !strings.Contains(first, "More than 50 people found") || !strings.Contains(first, `hx-post="/contacts/count"`) {
		t.Errorf("the first page: %s", first)
	}
	if hits := b.do("POST", "/contacts/count", url.Values{"q": {"many"}}).Body.String(); !strings.Contains(hits, "120 people found") || strings.Contains(hits, "hx-post") {
		t.Errorf("they are counted as %s", hits)
	}
	if few := page("/contacts?q=many119"); !strings.Contains(few, "1 person found") || strings.Contains(few, "hx-post") {
		t.Errorf("a rare word: %s", few)
	}
	second := page("/contacts?q=many&after=52")
	if !strings.Contains(second, ">many50@example.org<") || strings.Contains(second, ">many49@example.org<") {
		t.Errorf("the second page: %s", second)
	}
	if card := page("/contacts/60"); !strings.Contains(card, `href="/contacts?last=1"`) {
		t.Errorf("the card does not lead back: %s", card)
	}
	if back := page("/contacts?last=1"); !strings.Contains(back, ">many50@example.org<") || strings.Contains(back, ">many49@example.org<") || !strings.Contains(back, `value="many"`) {
		t.Errorf("it leads to %s", back)
	}
	// One for an address, too, which stands in no link.
	b.do("POST", "/contacts", url.Values{"q": {"p0@example.org"}})
	if back := page("/contacts?last=1"); !strings.Contains(back, `value="p0@example.org"`) || !strings.Contains(back, `href="/contacts/1"`) {
		t.Errorf("after a search for an address it leads to %s", back)
	}
	b.cookies["jatak_search"] = "e30x!"
	if back := page("/contacts?last=1"); strings.Contains(back, "found") {
		t.Errorf("a cookie that is none leads to %s", back)
	}
	page("/contacts?q=many")
	b.do("POST", "/contacts/1/erase", url.Values{"number": {"1"}})
	if kept := b.cookies["jatak_search"]; kept != "" {
		t.Errorf("erasing somebody leaves the search %q", kept)
	}
}

// enlarge puts so many more people on file: many0@example.org and so on.
func (o *office) enlarge(people int) {
	o.t.Helper()
	err := o.db.Import(o.t.Context(), func(im *postgres.Import) error {
		_, err := im.Contacts(o.t.Context(), func(yield func(contact.LegacyContact, error) bool) {
			for i := range people {
				email := fmt.Sprintf("many%d@example.org", i)
				if !yield(contact.LegacyContact{ID: email, Email: email, Address: contact.Address(email), Digest: []byte(email)}, nil) {
					return
				}
			}
		}, func(contact.Objection) {})
		return err
	})
	if err != nil {
		o.t.Fatal(err)
	}
}

func TestAListIsUploadedCheckedAndTaken(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	b := o.as(staff.Officer)
	off := false
	if _, err := o.db.Choose(t.Context(), contact.Choices{Contact: 1, Source: gating.SourceOneClick, Emarketing: &off, At: noon}); err != nil {
		t.Fatal(err)
	}
	file := "E-mail;Fornavn;Efternavn;Firma;Sprog\r\np0@example.org;Annette;;\xc5ben A/S;da\r\nnew@example.org;=1+1;Holm;\xe5ben a/s;klingon!\r\nNEW@example.org;x;;;\r\nno address;=cmd;;;\r\nlong@example.org;" + strings.Repeat("x", 1200) + ";\"two\nlines\";;\r\n"
	upload := func(content string) *httptest.ResponseRecorder {
		var body bytes.Buffer
		form := multipart.NewWriter(&body)
		part, err := form.CreateFormFile("file", "list.csv")
		if err != nil {
			t.Fatal(err)
		}
		_, _ = part.Write([]byte(content))
		_ = form.Close()
		r := httptest.NewRequest("POST", "/imports", &body)
		r.Header.Set("Content-Type", form.FormDataContentType())
		r.AddCookie(&http.Cookie{Name: "jatak_session", Value: b.cookies["jatak_session"]})
		w := httptest.NewRecorder()
		o.handler.ServeHTTP(w, r)
		return w
	}
	if w := upload("a\x00b"); w.Code != http.StatusBadRequest {
		t.Errorf("a file that is no text answers %d", w.Code)
	}
	page := upload(file).Header().Get("Location")
	if !has(o.audited(), "user:officer@jatak.example import") {
		t.Errorf("the audit log does not tell of the upload: %q", o.audited())
	}
	shown := b.do("GET", page, nil)
	if shown.Code != http.StatusOK || !strings.Contains(shown.Body.String(), "Åben A/S") || !strings.Contains(shown.Body.String(), `value="email" selected`) {
		t.Fatalf("the page (%d): %s", shown.Code, shown.Body)
	}
	// What the rows become stands there before anything is kept.
	doc, err := goquery.NewDocumentFromReader(shown.Body)
	if err != nil {
		t.Fatal(err)
	}
	people := doc.Find("table.dense tbody tr")
	for n, want := range [][]string{
		{"Annette", "p0@example.org", "Åben A/S", "Danish"},
		{"=1+1 Holm", "new@example.org", "Line 3, Language: The language is not known"},
		{"NEW@example.org"},
		{"no address;=cmd", "Refused", "Line 5, E-mail"},
		{"long@example.org", "Refused", "Line 6, First name: The value is longer than 200 characters"},
	} {
		for _, words := range want {
			if row := people.Eq(n).Text(); !strings.Contains(row, words) {
				t.Errorf("row %d is shown without %q: %s", n, words, row)
			}
		}
	}
	choices := url.Values{"encoding": {"windows-1252"}, "separator": {"semicolon"}, "column": {"email", "first_name", "last_name", "company", "language"}, "basis": {"consent"}, "reason": {"the fair"}}
	if w := b.do("POST", page+"/check", choices); w.Code != http.StatusBadRequest {
		t.Errorf("a consent without words answers %d", w.Code)
	}
	choices.Set("wording", "Yes please")
	runner := &contactlist.Runner{Store: o.db, Digest: func(a contact.Address) []byte { return []byte(a) }, Now: func() time.Time { return noon }, Log: slog.New(slog.DiscardHandler)}
	step := func(action string, form url.Values, want contact.ImportState) contact.ListImport {
		t.Helper()
		if w := b.do("POST", page+action, form); w.Code != http.StatusSeeOther {
			t.Fatalf("%s answers %d: %s", action, w.Code, w.Body)
		}
		if _, err := runner.Step(t.Context()); err != nil {
			t.Fatal(err)
		}
		list, err := o.db.ListImports(t.Context(), 1)
		if err != nil || list[0].State != want {
			t.Fatalf("after %s: %+v, %v", action, list, err)
		}
		return list[0]
	}
	want := contact.ListCounts{Added: 1, Changed: 1, Refused: 3, Warned: 2, Consents: 1}
	if im := step("/check", choices, contact.ImportChecked); im.Counts != want {
		t.Errorf("it would be %+v, want %+v", im.Counts, want)
	}
	if found, err := o.db.SearchContacts(t.Context(), []string{"new@"}, 0, 9); err != nil || len(found) != 0 {
		t.Errorf("checking keeps %v, %v", found, err)
	}
	if im := step("/run", url.Values{}, contact.ImportFinished); im.Counts != want {
		t.Errorf("it is %+v, want %+v", im.Counts, want)
	}
	step("/run", url.Values{}, contact.ImportFinished) // once is enough
	if p, err := o.db.Profile(t.Context(), 1); err != nil || p.Emarketing.Basis != gating.BasisWithdrawn {
		t.Errorf("an import raised a withdrawal to %q, %v", p.Emarketing.Basis, err)
	}
	found, err := o.db.SearchContacts(t.Context(), []string{"åben"}, 0, 9)
	if err != nil || len(found) != 2 || found[0].FirstName != "Annette" || found[0].LastName != "Holm" || found[1].Email != "new@example.org" {
		t.Fatalf("the people are %+v, %v", found, err)
	}
	if p, err := o.db.Profile(t.Context(), found[1].ID); err != nil || p.Emarketing.Basis != gating.BasisConsent || p.EmarketingSource != gating.SourceImport {
		t.Errorf("the new contact's consent: %+v, %v", p, err)
	}
	if _, err := o.db.VerifyLedger(t.Context()); err != nil {
		t.Error(err)
	}
	refused := b.do("GET", page+"/refused", nil).Body.String()
	table := csv.NewReader(strings.NewReader(strings.TrimPrefix(refused, "\ufeff")))
	table.Comma = ';'
	if rows, err := table.ReadAll(); err != nil || len(rows) != 6 || strings.Join(rows[0], "|") != "E-mail|Fornavn|Efternavn|Firma|Sprog|Line and reason" ||
		rows[4][0] != "no address" || rows[4][1] != "'=cmd" || !strings.HasPrefix(rows[4][5], "Line 5, ") || rows[5][1] != strings.Repeat("x", 1200) || rows[5][2] != "two\nlines" {
		t.Errorf("the refused rows are no list to mend: %q, %v", rows, err)
	}
	if choices, header, err := contactlist.Sniff([]byte(refused)); err != nil || choices.Separator != ";" || len(header) != 6 || choices.Columns[0] != contact.ListEmail || choices.Columns[5] != "" {
		t.Errorf("uploaded again, they are read as %+v, %q, %v", choices, header, err)
	}
	if shown := b.do("GET", page, nil).Body.String(); !strings.Contains(shown, o.words.Text("en", "lists.refused.twice")) || !strings.Contains(shown, "no address;=cmd") {
		t.Errorf("the page does not say what was refused: %s", shown)
	}
	if strings.Count(refused, "\n") != 7 || strings.Contains(refused, ";=cmd") || !strings.Contains(refused, o.words.Text("en", "lists.refused.twice")) {
		t.Errorf("the refused rows: %s", refused)
	}
	for _, path := range []string{"/imports", page} {
		if w := b.do("GET", path, nil); w.Code != http.StatusOK {
			t.Errorf("%s answers %d", path, w.Code)
		}
	}
}

func TestPeopleInABrowser(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("starts a browser")
	}
	o := newOffice(t)
	if err := o.db.CreateType(t.Context(), contact.NewType{Key: "news", Names: map[string]string{"en": "News", "da": "Nyheder"}}, "test", noon); err != nil {
		t.Fatal(err)
	}
	on := true
	if _, err := o.db.Choose(t.Context(), contact.Choices{Contact: 1, Source: gating.SourceManagePage, Emarketing: &on, At: noon, Locale: "da", Wording: "Ja tak",
		Types: map[gating.TypeID]gating.Preference{1: gating.PreferenceOut}}); err != nil {
		t.Fatal(err)
	}
	filter := contact.Filter{Groups: []contact.Group{{Match: contact.Any, Conditions: []contact.Condition{{Field: contact.FieldDomain, Op: contact.OpIs, Value: "example.org"}, {Field: contact.FieldBasis, Op: contact.OpIs, Value: "consent"}}}}}
	if err := o.db.SaveAudience(t.Context(), contact.SavedAudience{Name: "Example", Filter: filter, Actor: "test"}, noon); err != nil {
		t.Fatal(err)
	}
	id, err := o.db.CreateImport(t.Context(), "list.csv", "test", time.Now())
	if err == nil {
		err = o.db.AddImportPart(t.Context(), id, 0, []byte("E-mail,Navn,Kundenr\nbo@example.org,Bo Holm,17\n"))
	}
	if err == nil {
		err = o.db.EndImport(t.Context(), id, contact.ImportUploading, contact.ImportUploaded, "", time.Now())
	}
	if err != nil {
		t.Fatal(err)
	}
	b := o.browse(staff.Officer)
	for _, path := range []string{"/contacts", "/contacts?q=holm", "/contacts/1", "/contacts/1/erase", "/audiences?id=1", "/imports", "/imports/1"} {
		b.inspect(path)
	}
	b.do(chromedp.Navigate(b.url+"/audiences"), chromedp.Click(chromedp.CSS(`button[value="add:0"]`)), chromedp.WaitVisible(chromedp.CSS(`#filter_value_0`)),
		chromedp.SendKeys(chromedp.CSS(`#filter_value_0`), "no such company"), chromedp.Click(chromedp.CSS(`input[name=name]`)))
	if _, err := chromedp.Run(b.ctx, chromedp.Poll[bool](`document.querySelector("#filter-count").textContent.startsWith("0 ")`)); err != nil {
		t.Fatal(err)
	}
}
