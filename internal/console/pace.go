package console

import (
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/jatak-mail/jatak/internal/contact"
	"github.com/jatak-mail/jatak/templates"
)

// paceForm is a pace as it stands in two fields: how many mails, and in which time.
type paceForm struct {
	Number string // as the user's language writes it; "" for no bound
	Per    string // of Units
}

// Units are the times that a pace may be of, as contact.ParsePace writes them.
func (paceForm) Units() []string { return []string{"s", "m", "h", "d"} }

// usualUnit is the time of a pace that nobody has set.
const usualUnit = "h"

// paceFormOf shows a pace as contact.PaceText writes it.
func paceFormOf(lang, pace string) paceForm {
	number, unit, ok := strings.Cut(pace, "/")
	if !ok {
		return paceForm{Per: usualUnit}
	}
	return paceForm{templates.Numeral(lang, number), unit}
}

// readPace reads the two fields of a name, or a pace that is written whole in the
// first, as on the command line.
func readPace(r *http.Request, name string) paceForm {
	f := paceForm{strings.TrimSpace(r.PostFormValue(name)), r.PostFormValue(name + "-per")}
	if number, unit, whole := strings.Cut(f.Number, "/"); whole {
		f = paceForm{strings.TrimSpace(number), strings.TrimSpace(unit)}
	}
	if f.Per == "" {
		f.Per = usualUnit
	}
	return f
}

// pace is what contact.ParsePace reads.
func (f paceForm) pace(lang string) string {
	if f.Number == "" {
		return "unlimited"
	}
	return templates.ReadNumeral(lang, f.Number) + "/" + f.Per
}

// paceText says a pace in words; pace is as contact.PaceText writes it.
func (s *site) paceText(r *http.Request, pace string) string {
	number, unit, _ := strings.Cut(pace, "/")
	n, err := strconv.ParseInt(number, 10, 64)
	if err != nil || !slices.Contains(paceForm{}.Units(), unit) {
		return s.text(r, "console.setting.value.unlimited")
	}
	return s.Templates.CountText(s.lang(r), "console.setting.pace."+unit, n)
}

// rateText is paceText of mails a second.
func (s *site) rateText(r *http.Request, perSecond float64) string {
	return s.paceText(r, contact.PaceText(perSecond))
}
