package contact

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/text/language"

	"github.com/jatak-mail/jatak/gating"
)

// Filter picks contacts by conditions: those for whom all of its groups hold,
// or any of them. It is kept as JSON with a campaign. A filter without groups
// picks everybody.
type Filter struct {
	Match  Match   `json:"match,omitempty"`
	Groups []Group `json:"groups,omitempty"`
}

// Group is conditions of which all hold, or any.
type Group struct {
	Match      Match       `json:"match,omitempty"`
	Conditions []Condition `json:"conditions"`
}

// Match says how many must hold. The zero value is All.
type Match string

// The two ways.
const (
	All Match = "all"
	Any Match = "any"
)

// Condition compares what is known of a contact with a value.
type Condition struct {
	Field Field    `json:"field"`
	Op    Operator `json:"op"`
	Value string   `json:"value,omitempty"`
}

// Field is what a condition is about.
type Field string

// The fields.
const (
	FieldFirstName         Field = "first_name"
	FieldLastName          Field = "last_name"
	FieldDomain            Field = "domain"  // of the address
	FieldCompany           Field = "company" // its name
	FieldLanguage          Field = "language"
	FieldType              Field = "type"          // a subscription type's key, and the contact's choice
	FieldBasis             Field = "basis"         // of E-marketing; none for who was never asked
	FieldSource            Field = "source"        // how that basis came
	FieldConsentSince      Field = "consent_since" // when that was
	FieldConsentExpires    Field = "consent_expires"
	FieldCompanyNoMailings Field = "company_no_mailings"
	FieldCampaign          Field = "campaign" // the id of a campaign, and whether it was sent to the contact
	FieldLastMail          Field = "last_mail"
	FieldOnFileSince       Field = "on_file_since" // not known of those who were there before it was kept
	FieldLeft              Field = "left"
)

// Operator is how a condition compares.
type Operator string

// The operators.
const (
	OpIs          Operator = "is"
	OpIsNot       Operator = "is_not"
	OpContains    Operator = "contains"
	OpContainsNot Operator = "contains_not"
	OpIn          Operator = "in"    // has chosen the type
	OpOut         Operator = "out"   // has opted out of it
	OpUnset       Operator = "unset" // has said neither
	OpSince       Operator = "since" // on that day or later
	OpBefore      Operator = "before"
	OpLastDays    Operator = "last_days" // today, or at most so many days before
	OpLastMonths  Operator = "last_months"
	OpDaysAgo     Operator = "days_ago" // before that
	OpMonthsAgo   Operator = "months_ago"
	OpNextDays    Operator = "next_days" // today, or at most so many days after
	OpNextMonths  Operator = "next_months"
	OpBetween     Operator = "between" // two days, 2006-01-02/2006-02-01; only Filter.On makes it
	OpNever       Operator = "never"
	OpSent        Operator = "sent"
	OpNotSent     Operator = "not_sent"
	OpYes         Operator = "yes"
	OpNo          Operator = "no"
)

// Kind is what kind of value a condition takes.
type Kind string

// The kinds of values.
const (
	KindNone     Kind = "none"
	KindText     Kind = "text"
	KindDate     Kind = "date" // 2006-01-02
	KindSpan     Kind = "span" // a number of days or months, to maxSpan
	KindLanguage Kind = "language"
	KindType     Kind = "type"
	KindBasis    Kind = "basis"
	KindSource   Kind = "source"
	KindCampaign Kind = "campaign"
)

// BasisNever is how a filter calls the basis of who was never asked.
const BasisNever = "none"

// Fields lists them in the order in which to offer them.
func Fields() []Field {
	return []Field{FieldCompany, FieldDomain, FieldLanguage, FieldFirstName, FieldLastName, FieldType, FieldBasis, FieldSource,
		FieldConsentSince, FieldConsentExpires, FieldCampaign, FieldLastMail, FieldOnFileSince, FieldCompanyNoMailings, FieldLeft}
}

// Operators lists how a field can be compared; none for what is no field.
func (f Field) Operators() []Operator {
	switch f {
	case FieldFirstName, FieldLastName, FieldCompany:
		return []Operator{OpIs, OpIsNot, OpContains, OpContainsNot}
	case FieldDomain, FieldLanguage, FieldBasis, FieldSource:
		return []Operator{OpIs, OpIsNot}
	case FieldType:
		return []Operator{OpIn, OpOut, OpUnset}
	case FieldConsentSince, FieldOnFileSince:
		return []Operator{OpLastDays, OpLastMonths, OpDaysAgo, OpMonthsAgo, OpSince, OpBefore}
	case FieldConsentExpires:
		return []Operator{OpNextDays, OpNextMonths, OpSince, OpBefore}
	case FieldCampaign:
		return []Operator{OpSent, OpNotSent}
	case FieldLastMail:
		return []Operator{OpLastDays, OpLastMonths, OpDaysAgo, OpMonthsAgo, OpSince, OpBefore, OpNever}
	case FieldCompanyNoMailings, FieldLeft:
		return []Operator{OpYes, OpNo}
	}
	return nil
}

// Kind returns what a condition of the field and operator takes.
func (f Field) Kind(op Operator) Kind {
	switch f {
	case FieldLanguage:
		return KindLanguage
	case FieldType:
		return KindType
	case FieldBasis:
		return KindBasis
	case FieldSource:
		return KindSource
	case FieldCampaign:
		return KindCampaign
	case FieldConsentSince, FieldConsentExpires, FieldOnFileSince, FieldLastMail:
		return op.kind()
	case FieldCompanyNoMailings, FieldLeft:
		return KindNone
	}
	return KindText
}

// kind returns what an operator on times takes.
func (op Operator) kind() Kind {
	switch op {
	case OpNever:
		return KindNone
	case OpLastDays, OpLastMonths, OpDaysAgo, OpMonthsAgo, OpNextDays, OpNextMonths:
		return KindSpan
	}
	return KindDate
}

// Bounds of a filter.
const (
	MaxGroups     = 10
	MaxConditions = 50  // in all groups
	maxValue      = 200 // characters
	maxSpan       = 9999
)

// ConditionError says which condition is wrong, and why.
type ConditionError struct {
	Group, Condition int // counted from 0
	Problem          ConditionProblem
	Value            string
}

// ConditionProblem is what is wrong with a condition.
type ConditionProblem string

// The problems.
const (
	ProblemField    ConditionProblem = "field"    // there is no such field
	ProblemOperator ConditionProblem = "operator" // the field cannot be compared so
	ProblemEmpty    ConditionProblem = "empty"    // the value is missing
	ProblemLong     ConditionProblem = "long"
	ProblemText     ConditionProblem = "text" // holds what is no text
	ProblemDate     ConditionProblem = "date"
	ProblemSpan     ConditionProblem = "span"
	ProblemLanguage ConditionProblem = "language"
	ProblemKey      ConditionProblem = "key" // of a type, basis or source
	ProblemNumber   ConditionProblem = "number"
)

func (e *ConditionError) Error() string {
	what := map[ConditionProblem]string{
		ProblemField: "there is no field %q", ProblemOperator: "the field cannot be compared by %q", ProblemEmpty: "the value is missing",
		ProblemLong: "the value is too long", ProblemText: "the value holds what is no text", ProblemDate: "%q is no date such as 2026-01-31", ProblemSpan: "%q is no number from 1 to 9999",
		ProblemLanguage: "%q is no language code such as da", ProblemKey: "%q is no key such as news", ProblemNumber: "%q is no campaign's number",
	}[e.Problem]
	if strings.Contains(what, "%q") {
		what = fmt.Sprintf(what, e.Value)
	}
	return fmt.Sprintf("group %d, condition %d: %s", e.Group+1, e.Condition+1, what)
}

// ErrFilterLarge says that a filter has too many groups or conditions.
var ErrFilterLarge = fmt.Errorf("a filter has at most %d groups and %d conditions", MaxGroups, MaxConditions)

// Validate returns what is wrong with the filter, or nil: ErrFilterLarge, or a
// ConditionError for each condition that is wrong.
func (f Filter) Validate() error {
	var errs []error
	conditions := 0
	if !f.Match.valid() {
		errs = append(errs, fmt.Errorf("match is %s or %s, not %q", All, Any, f.Match))
	}
	for g, group := range f.Groups {
		if !group.Match.valid() {
			errs = append(errs, fmt.Errorf("group %d: match is %s or %s, not %q", g+1, All, Any, group.Match))
		}
		for i, c := range group.Conditions {
			conditions++
			if problem, value := c.problem(); problem != "" {
				errs = append(errs, &ConditionError{g, i, problem, value})
			}
		}
	}
	if len(f.Groups) > MaxGroups || conditions > MaxConditions {
		return ErrFilterLarge
	}
	return errors.Join(errs...)
}

func (m Match) valid() bool { return m == "" || m == All || m == Any }

// problem returns what is wrong with a condition, and with which part of it.
func (c Condition) problem() (p ConditionProblem, about string) {
	operators := c.Field.Operators()
	switch {
	case operators == nil:
		return ProblemField, clip(string(c.Field))
	case !slices.Contains(operators, c.Op):
		return ProblemOperator, clip(string(c.Op))
	}
	kind := c.Field.Kind(c.Op)
	switch {
	case kind == KindNone:
		return "", ""
	case strings.TrimSpace(c.Value) == "":
		return ProblemEmpty, ""
	case utf8.RuneCountInString(c.Value) > maxValue:
		return ProblemLong, ""
	case !utf8.ValidString(c.Value) || strings.ContainsFunc(c.Value, IsControl):
		return ProblemText, ""
	}
	if problem := kind.problem(c.Value); problem != "" {
		return problem, c.Value
	}
	return "", ""
}

func (k Kind) problem(value string) ConditionProblem {
	switch k {
	case KindDate:
		if _, err := time.Parse(time.DateOnly, value); err != nil {
			return ProblemDate
		}
	case KindSpan:
		if n, err := strconv.Atoi(value); err != nil || n < 1 || n > maxSpan {
			return ProblemSpan
		}
	case KindLanguage:
		if _, err := language.Parse(value); err != nil {
			return ProblemLanguage
		}
	case KindType, KindBasis, KindSource:
		if !IsKey(value) {
			return ProblemKey
		}
	case KindCampaign:
		if n, err := strconv.ParseInt(value, 10, 64); err != nil || n < 1 {
			return ProblemNumber
		}
	}
	return ""
}

// Unfinished reports whether nothing but values is missing.
func (f Filter) Unfinished() bool {
	joined, ok := f.Validate().(interface{ Unwrap() []error })
	if !ok {
		return false
	}
	for _, err := range joined.Unwrap() {
		if wrong := (*ConditionError)(nil); !errors.As(err, &wrong) || wrong.Problem != ProblemEmpty {
			return false
		}
	}
	return true
}

// On returns the filter as it is on the day of a time, in UTC: with days in the
// place of spans.
func (f Filter) On(now time.Time) Filter {
	f.Groups = slices.Clone(f.Groups)
	for g := range f.Groups {
		f.Groups[g].Conditions = slices.Clone(f.Groups[g].Conditions)
		for i, c := range f.Groups[g].Conditions {
			f.Groups[g].Conditions[i] = c.on(now.UTC())
		}
	}
	return f
}

func (c Condition) on(now time.Time) Condition {
	n, err := strconv.Atoi(c.Value)
	if c.Field.Kind(c.Op) != KindSpan || err != nil {
		return c
	}
	day := func(t time.Time) string { return t.Format(time.DateOnly) }
	switch c.Op {
	case OpLastDays:
		return Condition{c.Field, OpSince, day(now.AddDate(0, 0, -n))}
	case OpLastMonths:
		return Condition{c.Field, OpSince, day(addMonths(now, -n))}
	case OpDaysAgo:
		return Condition{c.Field, OpBefore, day(now.AddDate(0, 0, -n))}
	case OpMonthsAgo:
		return Condition{c.Field, OpBefore, day(addMonths(now, -n))}
	case OpNextDays:
		return Condition{c.Field, OpBetween, day(now) + "/" + day(now.AddDate(0, 0, n))}
	default:
		return Condition{c.Field, OpBetween, day(now) + "/" + day(addMonths(now, n))}
	}
}

// addMonths returns the same day of another month, or its last where it has no
// such day.
func addMonths(t time.Time, n int) time.Time {
	then := t.AddDate(0, n, 0)
	if then.Day() != t.Day() {
		return then.AddDate(0, 0, -then.Day())
	}
	return then
}

// Empty reports whether the filter picks everybody.
func (f Filter) Empty() bool {
	return !slices.ContainsFunc(f.Groups, func(g Group) bool { return len(g.Conditions) > 0 })
}

// ConsentSources lists how a basis can have come.
func ConsentSources() []gating.Source {
	return []gating.Source{gating.SourceUser, gating.SourceEmail, gating.SourceIncomingRequest, gating.SourceChat, gating.SourceWebForm,
		gating.SourceCustomerPortal, gating.SourceImport, gating.SourceIntegration, gating.SourceMigration, gating.SourceManagePage,
		gating.SourceOneClick, gating.SourceMailto, gating.SourceComplaint, gating.SourceUnknown}
}
