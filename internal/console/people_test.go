package console_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

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
