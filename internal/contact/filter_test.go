package contact

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"
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
		{"some days", Condition{FieldConsentSince, OpLastDays, "90"}, ""},
		{"no number of days", Condition{FieldConsentSince, OpDaysAgo, "0"}, ProblemSpan},
		{"too many months", Condition{FieldLastMail, OpMonthsAgo, "10000"}, ProblemSpan},
		{"two days", Condition{FieldConsentExpires, OpBetween, "2026-01-01/2026-02-01"}, ProblemOperator},
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

func TestSpansAreOfTheDayOnWhichTheFilterIsUsed(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		now, op, value, want string
	}{
		{"2026-11-26T23:30:00Z", "last_days", "90", "since 2026-08-28"},
		{"2026-11-27T00:30:00+01:00", "days_ago", "1", "before 2026-11-25"},
		{"2026-03-31T12:00:00Z", "last_months", "1", "since 2026-02-28"},
		{"2024-02-29T12:00:00Z", "months_ago", "12", "before 2023-02-28"},
		{"2026-12-31T12:00:00Z", "next_days", "1", "between 2026-12-31/2027-01-01"},
		{"2026-08-31T12:00:00Z", "next_months", "6", "between 2026-08-31/2027-02-28"},
		{"2026-08-31T12:00:00Z", "since", "2026-01-01", "since 2026-01-01"},
	} {
		now, err := time.Parse(time.RFC3339, test.now)
		if err != nil {
			t.Fatal(err)
		}
		field := FieldConsentSince
		if strings.HasPrefix(test.op, "next") {
			field = FieldConsentExpires
		}
		kept := Filter{Groups: []Group{{Conditions: []Condition{{field, Operator(test.op), test.value}}}}}
		got := kept.On(now).Groups[0].Conditions[0]
		if string(got.Op)+" "+got.Value != test.want {
			t.Errorf("%s %s on %s is %s %s, want %s", test.op, test.value, test.now, got.Op, got.Value, test.want)
		}
		if string(kept.Groups[0].Conditions[0].Op) != test.op {
			t.Error("the filter itself has changed")
		}
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
