package contact

import (
	"strings"
	"testing"
	"unicode/utf8"
)

func TestParseAddress(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("a", 64)
	for _, test := range []struct {
		name, given, want string
		problem           string // a part of the error
	}{
		{"plain", "anna@example.org", "anna@example.org", ""},
		{"case and blanks", "  Anna.Holm@Example.ORG\t", "anna.holm@example.org", ""},
		{"plus and others", "a+b_c!d'e@example.org", "a+b_c!d'e@example.org", ""},
		{"Danish local part", "Søren.ÅS@example.org", "søren.ås@example.org", ""},
		{"Danish domain", "info@Blåbærgrød.example", "info@xn--blbrgrd-fxak7p.example", ""},
		{"domain in ASCII already", "info@xn--blbrgrd-fxak7p.example", "info@xn--blbrgrd-fxak7p.example", ""},
		{"longest local part", long + "@example.org", long + "@example.org", ""},

		{"nothing", " ", "", "no e-mail address"},
		{"no at", "anna.example.org", "", "no @"},
		{"two ats", "anna@home@example.org", "", "more than one @"},
		{"nothing before", "@example.org", "", "nothing stands before"},
		{"nothing after", "anna@", "", "nothing stands after"},
		{"local part too long", long + "a@example.org", "", "longer than 64"},
		{"200 characters", strings.Repeat("b", 200) + "@example.org", "", "longer than 64"},
		{"too long in all", long + "@" + strings.Repeat("abcdefg.", 30) + "example", "", "longer than 254"},
		{"dots", "an..na@example.org", "", "dot too many"},
		{"dot first", ".anna@example.org", "", "dot too many"},
		{"blank within", "anna holm@example.org", "", `character ' '`},
		{"quoted", `"anna"@example.org`, "", "character"},
		{"with a name", "Anna <anna@example.org>", "", "character"},
		{"two addresses", "anna@example.org,bo@example.org", "", "more than one @"},
		{"one label", "anna@localhost", "", "no dot"},
		{"literal", "anna@[192.0.2.1]", "", "domain"},
		{"number", "anna@192.0.2.1", "", "ends in a number"},
		{"hyphen", "anna@-example.org", "", "domain"},
		{"empty label", "anna@example..org", "", "domain"},
		{"underscore", "anna@ex_ample.org", "", "domain"},
		{"a header", "anna@example.org\r\nBcc: bo@example.org", "", ""},
		{"not UTF-8", "ann\xff@example.org", "", "UTF-8"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			got, err := ParseAddress(test.given)
			if string(got) != test.want || (err == nil) != (test.want != "") {
				t.Fatalf("ParseAddress(%q) = %q, %v; want %q", test.given, got, err, test.want)
			}
			if err != nil && !strings.Contains(err.Error(), test.problem) {
				t.Errorf("the error is %q and does not say %q", err, test.problem)
			}
		})
	}
}

func FuzzParseAddress(f *testing.F) {
	for _, s := range []string{"anna@example.org", "Søren@blåbær.example", "a@b", "@", "x@x@x.y", "a\r\nb@c.d"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		a, err := ParseAddress(s)
		if err != nil {
			if a != "" {
				t.Fatalf("an address and an error: %q, %v", a, err)
			}
			return
		}
		if again, err := ParseAddress(string(a)); err != nil || again != a {
			t.Fatalf("normalising %q again gives %q, %v", a, again, err)
		}
		if strings.ContainsAny(string(a), " \t\r\n<>,;:\"\\()") || strings.Count(string(a), "@") != 1 || len(a) > maxAddress || !utf8.ValidString(string(a)) {
			t.Fatalf("%q is not safe in a header or an envelope", a)
		}
		if m := a.Masked(); strings.Contains(m, string(a)) && len(a) > 5 && !strings.Contains(string(a), "***") {
			t.Fatalf("%q is masked as %q", a, m)
		}
	})
}

func TestMasked(t *testing.T) {
	t.Parallel()
	for given, want := range map[Address]string{
		"anna@example.org": "a***@example.org", "ø@example.org": "ø***@example.org", "": "",
	} {
		if got := given.Masked(); got != want {
			t.Errorf("%q is masked as %q, want %q", given, got, want)
		}
	}
}
