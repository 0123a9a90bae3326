package console_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/jatak-mail/jatak/gating"
	"github.com/jatak-mail/jatak/internal/contact"
	"github.com/jatak-mail/jatak/internal/staff"
)

func TestAnAudienceIsBuiltWithoutJavaScriptAndSaved(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	b := o.as(staff.Marketer)
	form := url.Values{"filter_match": {"all"}, "filter_group_match": {"any"}, "filter_do": {"add:0"}, "name": {"Annas"}}
	if w := b.do("POST", "/audiences", form); w.Code != http.StatusOK || !strings.Contains(w.Body.String(), `name="filter_value"`) {
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
	for _, wrong := range []url.Values{condition("consent_since", "since", "soon", ""), condition("basis", "is", "x' OR '1'='1", ""), condition("no", "is", "x", ""), {"name": {"x"}}} {
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
