package templates_test

import (
	"testing"

	"github.com/jatak-mail/jatak/templates"
)

func TestNumeralsAreReadAsTheyAreWritten(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ lang, written, want string }{
		{"da", "0,3", "0.3"}, {"da", "0.3", "0.3"}, {"da", "1.000", "1000"}, {"da", "1.234.567,5", "1234567.5"}, {"da", "0.500", "0.500"},
		{"da", "12.5", "12.5"}, {"da", "1 000", "1000"}, {"da", "1.00.000", "1.00.000"}, {"da", "1,000.5", "1,000.5"}, {"da", "50/s", "50/s"},
		{"en", "0.3", "0.3"}, {"en", "0,3", "0.3"}, {"en", "1,000", "1000"}, {"en", "1,234,567.5", "1234567.5"}, {"en", "1.000", "1.000"},
		{"en", "", ""}, {"en", "-1", "-1"}, {"en", "1,,000", "1,,000"}, {"en", "x", "x"},
	} {
		if got := templates.ReadNumeral(test.lang, test.written); got != test.want {
			t.Errorf("%q in %s is read as %q", test.written, test.lang, got)
		}
	}
	for _, lang := range []string{"da", "en"} {
		for _, number := range []string{"0", "0.3", "7", "999", "1000", "100000", "1234567.125", "0.001", "12.5"} {
			if got := templates.ReadNumeral(lang, templates.Numeral(lang, number)); got != number {
				t.Errorf("%s is written %q in %s and read as %q", number, templates.Numeral(lang, number), lang, got)
			}
		}
	}
}
