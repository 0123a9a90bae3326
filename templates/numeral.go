package templates

import (
	"regexp"
	"strconv"
	"strings"
)

// Numeral writes a number with all its digits as a language does: 1000.5 is
// 1.000,5 in Danish. What is no number stays.
func Numeral(lang, number string) string {
	if !plainNumeral.MatchString(number) {
		return number
	}
	whole, fraction, broken := strings.Cut(number, ".")
	n, err := strconv.ParseInt(whole, 10, 64)
	if err != nil {
		return number
	}
	whole = Number(lang, n)
	if !broken {
		return whole
	}
	_, point := signs(lang)
	return whole + point + fraction
}

// ReadNumeral reads what somebody wrote in a field for a number: 1.000,5 in
// Danish is 1000.5. A sign that cannot group is the decimal one, whichever it is.
// What is no number stays.
func ReadNumeral(lang, text string) string {
	bare := strings.NewReplacer(" ", "", "\u00a0", "", "\u202f", "").Replace(text)
	group, point := signs(lang)
	grouped := groupedByComma
	if group == "." {
		grouped = groupedByPoint
	}
	if m := grouped.FindStringSubmatch(bare); m != nil {
		return strings.ReplaceAll(m[1], group, "") + strings.Replace(m[2], point, ".", 1)
	}
	if number := strings.Replace(bare, ",", ".", 1); plainNumeral.MatchString(number) {
		return number
	}
	return text
}

// signs are those that group digits and that begin the fraction.
func signs(lang string) (group, point string) {
	if lang == "da" {
		return ".", ","
	}
	return ",", "."
}

var (
	plainNumeral   = regexp.MustCompile(`^[0-9]+(\.[0-9]+)?$`)
	groupedByPoint = regexp.MustCompile(`^([1-9][0-9]{0,2}(?:\.[0-9]{3})+)(,[0-9]+)?$`)
	groupedByComma = regexp.MustCompile(`^([1-9][0-9]{0,2}(?:,[0-9]{3})+)(\.[0-9]+)?$`)
)
