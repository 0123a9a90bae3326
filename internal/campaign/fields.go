package campaign

import (
	"fmt"
	"regexp"
	"strings"
)

// Field is a merge field, by the name that authors write.
type Field string

// The merge fields.
const (
	FirstName     Field = "contact.first_name"
	LastName      Field = "contact.last_name"
	Email         Field = "contact.email"
	Company       Field = "contact.company"
	SenderName    Field = "sender.name"
	SenderAddress Field = "sender.address"
	CampaignName  Field = "campaign.name"
	ManageURL     Field = "manage_url"
)

// Fields lists every merge field.
func Fields() []Field {
	return []Field{FirstName, LastName, Email, Company, SenderName, SenderAddress, CampaignName, ManageURL}
}

// fieldUse is a merge field where it stands in a text. The syntax is Liquid's:
// {{ contact.first_name | default: "there" }}.
type fieldUse struct {
	start, end int // byte offsets
	field      Field
	fallback   string
	liquid     bool // a part that Liquid renders, not a field
}

// FieldError says what is wrong with a merge field and how to mend it.
type FieldError struct {
	Line, Column int
	Mend         string
	Detail       string // tells kinds of errors apart, for words in other languages
	Args         []any  // what such words name

	at int // the byte in the text
}

func (e *FieldError) Error() string {
	return fmt.Sprintf("line %d, column %d: %s", e.Line, e.Column, e.Mend)
}

var (
	ourField   = regexp.MustCompile(`^\s*((?:contact|sender|campaign)\.[A-Za-z_.]*|manage_url)\s*(.*?)\s*$`)
	defaultArg = regexp.MustCompile(`^\|\s*default\s*:\s*(?:"([^"]*)"|'([^']*)')\s*$`)
)

// parseFields finds the merge fields of a text. Other tools' tags in double
// braces are not ours to judge: the link check reports them.
func parseFields(text string) ([]fieldUse, *FieldError) {
	regions, err := findRegions(text)
	if err != nil {
		return nil, err
	}
	var uses []fieldUse
	for at := 0; ; {
		open := strings.Index(text[at:], "{{")
		// A block comes whole, with the fields in it.
		if len(regions) > 0 && (open < 0 || regions[0].start < at+open) {
			r := regions[0]
			if err := checkRegion(text, r); err != nil {
				return nil, err
			}
			uses = append(uses, fieldUse{start: r.start, end: r.end, liquid: true})
			regions, at = regions[1:], r.end
			continue
		}
		if open < 0 {
			return uses, nil
		}
		open += at
		length := strings.Index(text[open:], "}}")
		inner := ""
		if length >= 0 {
			inner = text[open+2 : open+length]
		} else {
			inner, _, _ = strings.Cut(text[open+2:], "\n")
		}
		m := ourField.FindStringSubmatch(strings.ReplaceAll(inner, "\n", " "))
		if m == nil {
			at = open + 2
			continue
		}
		fail := func(detail, format string, args ...any) *FieldError {
			return fieldError(text, open, detail, format, args...)
		}
		if length < 0 {
			return nil, fail("open", "the merge field {{ %s is not closed; end it with }}", m[1])
		}
		use := fieldUse{start: open, end: open + length + 2, field: Field(m[1])}
		if !known(use.field) {
			return nil, fail("unknown", "there is no merge field %s; did you mean %s?", m[1], nearest(m[1]))
		}
		if m[2] != "" {
			arg := defaultArg.FindStringSubmatch(m[2])
			if arg == nil {
				if !strings.HasPrefix(m[2], "|") {
					return nil, fail("filter", `after %s a filter can stand: {{ %[1]s | default: "there" }}`, m[1])
				}
				if err := checkRegion(text, region{use.start, use.end}); err != nil {
					return nil, err
				}
				uses = append(uses, fieldUse{start: use.start, end: use.end, liquid: true})
				at = use.end
				continue
			}
			use.fallback = arg[1] + arg[2]
		}
		uses = append(uses, use)
		at = use.end
	}
}

func known(f Field) bool {
	for _, k := range Fields() {
		if k == f {
			return true
		}
	}
	return false
}

// nearest returns the known field that takes the fewest edits.
func nearest(name string) Field {
	f, _ := nearestBy(name)
	return f
}

// misspelt returns the field that a name is so near to that nothing else can be
// meant.
func misspelt(name string) (f Field, ok bool) {
	f, edits := nearestBy(name)
	return f, edits <= 2
}

// otherNames are what other tools and other people call our fields.
func otherNames() map[string]Field {
	return map[string]Field{
		"contact.fname": FirstName, "contact.givenname": FirstName, "contact.fornavn": FirstName, "contact.vorname": FirstName,
		"contact.lname": LastName, "contact.surname": LastName, "contact.familyname": LastName, "contact.efternavn": LastName, "contact.nachname": LastName,
		"contact.mail": Email, "contact.emailaddress": Email, "contact.companyname": Company, "contact.organization": Company, "contact.organisation": Company, "contact.firma": Company,
	}
}

func nearestBy(name string) (best Field, fewest int) {
	plain := func(s string) string { return strings.ReplaceAll(strings.ToLower(s), "_", "") }
	name = plain(name)
	if f, ok := otherNames()[name]; ok {
		return f, 0
	}
	fewest = 1 << 30
	for _, f := range Fields() {
		if n := distance(name, plain(string(f))); n < fewest {
			best, fewest = f, n
		}
	}
	return best, fewest
}

// distance is the Levenshtein distance in bytes.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		diagonal := row[0]
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := diagonal
			if a[i-1] != b[j-1] {
				cost++
			}
			diagonal = row[j]
			row[j] = min(cost, row[j]+1, row[j-1]+1)
		}
	}
	return row[len(b)]
}
