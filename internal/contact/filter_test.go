package contact

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
)

func TestAFilterSaysWhatIsWrongWithIt(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name string
		c    Condition
		want ConditionProblem
	}{
		{"a company", Condition{FieldCompany, OpContains, "Åben"}, ""},
		{"a date", Condition{FieldConsentSince, OpBefore, "2026-01-31"}, ""},
		{"no value where none is taken", Condition{FieldLastMail, OpNever, ""}, ""},
		{"a regional language", Condition{FieldLanguage, OpIs, "pt-BR"}, ""},
		{"no such field", Condition{"password", OpIs, "x"}, ProblemField},
		{"SQL as a field", Condition{"1=1; --", OpIs, "x"}, ProblemField},
		{"no such operator", Condition{FieldCompany, OpNever, "x"}, ProblemOperator},
		{"nothing", Condition{FieldCompany, OpIs, "  "}, ProblemEmpty},
		{"long", Condition{FieldCompany, OpIs, strings.Repeat("å", 201)}, ProblemLong},
		{"NUL", Condition{FieldCompany, OpIs, "a\x00"}, ProblemText},
		{"not UTF-8", Condition{FieldCompany, OpIs, "a\xff"}, ProblemText},
		{"no date", Condition{FieldConsentSince, OpSince, "31-01-2026"}, ProblemDate},
		{"no language", Condition{FieldLanguage, OpIs, "'"}, ProblemLanguage},
		{"no key", Condition{FieldBasis, OpIs, "x' OR true"}, ProblemKey},
		{"no campaign", Condition{FieldCampaign, OpSent, "-1"}, ProblemNumber},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			f := Filter{Groups: []Group{{Conditions: []Condition{{FieldLeft, OpNo, ""}, test.c}}}}
			err := f.Validate()
			var got *ConditionError
			switch {
			case test.want == "" && err == nil:
			case !errors.As(err, &got):
				t.Errorf("it says %v, want %q", err, test.want)
			case got.Problem != test.want || got.Condition != 1 || got.Group != 0:
				t.Errorf("it says %+v, want %q about the second", got, test.want)
			}
		})
	}
	many := Filter{Groups: []Group{{Conditions: make([]Condition, MaxConditions+1)}}}
	if err := many.Validate(); !errors.Is(err, ErrFilterLarge) {
		t.Errorf("too many conditions: %v", err)
	}
	if err := (Filter{Match: "some"}).Validate(); err == nil {
		t.Error("a match that nobody knows is taken")
	}
}

func TestEveryFieldCanBeComparedAndAFilterIsKeptAsJSON(t *testing.T) {
	t.Parallel()
	for _, f := range Fields() {
		if len(f.Operators()) == 0 {
			t.Errorf("%s cannot be compared", f)
		}
	}
	text, err := json.Marshal(Filter{Match: Any, Groups: []Group{{Conditions: []Condition{{FieldLeft, OpNo, ""}}}}})
	if want := `{"match":"any","groups":[{"conditions":[{"field":"left","op":"no"}]}]}`; err != nil || string(text) != want {
		t.Errorf("it is kept as %s, %v", text, err)
	}
}
