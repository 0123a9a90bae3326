package campaign

import (
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/language"

	"github.com/jatak-mail/jatak/gating"
	"github.com/jatak-mail/jatak/internal/contact"
)

// mostExpiringDays bounds how far ahead an audience looks.
const mostExpiringDays = 3650

// Bounds of what an author may write, in bytes.
const (
	MaxPart        = 2 << 20 // of an HTML, Markdown or text part
	maxDescription = 64 << 10
	maxSubject     = 998 // RFC 5322 section 2.1.1
	maxLine        = 200
	maxPostal      = 1000
	maxLanguages   = 40
)

// Fault is something that is missing or malformed in what an author wrote.
type Fault struct {
	Code       string // names the fault, for words in other languages
	Language   string // of the variant; "" for the campaign as a whole
	Args       []any  // what such words name
	sentence   string
	incomplete bool
}

// Error says it in English.
func (f Fault) Error() string { return f.sentence }

// Validate returns what keeps the content from being sent: what is missing and
// what is malformed, all of it.
func (c Content) Validate() error { return join(c.Faults()) }

// ValidateDraft returns what keeps the content from being kept as a draft: what
// is too large or could never be sent. What is missing may come later.
func (c Content) ValidateDraft() error { return join(c.DraftFaults()) }

func join(faults []Fault) error {
	errs := make([]error, len(faults))
	for i, f := range faults {
		errs[i] = f
	}
	return errors.Join(errs...)
}

// DraftFaults are the faults that Validate and ValidateDraft have in common.
func (c Content) DraftFaults() (faults []Fault) {
	for _, f := range c.Faults() {
		if !f.incomplete {
			faults = append(faults, f)
		}
	}
	return faults
}

// faults collects.
type faults struct{ all []Fault }

// wrong adds a fault that no draft may have, missing one that a draft may have.
func (f *faults) wrong(code, lang, sentence string, args ...any) {
	f.all = append(f.all, Fault{Code: code, Language: lang, Args: args, sentence: fmt.Sprintf(sentence, args...)})
}

func (f *faults) missing(code, lang, sentence string, args ...any) {
	f.wrong(code, lang, sentence, args...)
	f.all[len(f.all)-1].incomplete = true
}

// Faults returns all that is missing or malformed.
func (c Content) Faults() []Fault {
	var f faults
	f.bounds(c)
	f.sender(c)
	f.audience(c.Audience)
	switch _, ok := c.Variants[c.DefaultLanguage]; {
	case len(c.Variants) == 0:
		f.missing("no_variant", "", "variants is empty; write the mail in at least one language")
	case len(c.Variants) > maxLanguages:
		f.wrong("languages_many", "", "there are more than %d languages", maxLanguages)
	case !ok:
		f.missing("default_language", "", "default_language %q has no variant; there are %s", c.DefaultLanguage, strings.Join(c.Languages(), ", "))
	}
	for _, lang := range c.Languages() {
		f.variant(lang, c.Variants[lang])
	}
	return f.all
}

// bounds looks at what every line of text is held to.
func (f *faults) bounds(c Content) {
	for _, field := range []struct {
		name, text string
		most       int
	}{
		{"name", c.Name, maxLine}, {"from_name", c.FromName, maxLine}, {"from_address", c.FromAddress, maxLine + 100}, {"reply_to", c.ReplyTo, maxLine + 100},
		{"postal_address", c.PostalAddress, maxPostal}, {"subscription_type", c.Type, maxLine}, {"default_language", c.DefaultLanguage, maxLine},
		{"audience.company", c.Audience.Company, maxLine}, {"audience.language", c.Audience.Language, maxLine}, {"audience.source", string(c.Audience.Source), maxLine},
	} {
		f.text("", field.name, field.text, field.most)
	}
	if strings.ContainsFunc(c.Name, contact.IsControl) {
		f.wrong("name_lines", "", "name stands on one line, without control characters")
	}
	if strings.ContainsFunc(c.FromName+c.FromAddress+c.ReplyTo, contact.IsControl) {
		f.wrong("sender_lines", "", "from_name, from_address and reply_to stand on one line each, without control characters")
	}
}

// text holds a text to a length, and to characters that can be kept.
func (f *faults) text(lang, name, text string, most int) {
	if lang != "" {
		name += " of variant " + lang
	}
	switch {
	case len(text) > most:
		f.wrong("too_long", lang, "%s is longer than %d bytes", name, most)
	case !utf8.ValidString(text) || strings.ContainsRune(text, 0):
		f.wrong("not_text", lang, "%s is not UTF-8, or holds a NUL character", name)
	}
}

func (f *faults) sender(c Content) {
	if strings.TrimSpace(c.Name) == "" {
		f.missing("name", "", "name is empty; give the campaign a name that you will recognise")
	}
	if c.Class != "" && c.Class != gating.Marketing && c.Class != gating.Service {
		f.wrong("class", "", "class is %s or %s, not %q", gating.Marketing, gating.Service, c.Class)
	}
	if _, err := contact.ParseAddress(c.FromAddress); err != nil {
		f.missing("from_address", "", "from_address %q: %v", c.FromAddress, err)
	}
	if c.ReplyTo != "" {
		if _, err := contact.ParseAddress(c.ReplyTo); err != nil {
			f.missing("reply_to", "", "reply_to %q: %v", c.ReplyTo, err)
		}
	}
	if strings.TrimSpace(c.PostalAddress) == "" {
		f.missing("postal_address", "", "postal_address is empty; the law asks for the sender's address in every mail")
	}
}

func (f *faults) audience(a Audience) {
	if a.ExpiringDays < 0 || a.ExpiringDays > mostExpiringDays {
		f.wrong("expiring_days", "", "audience.expiring_days is a number from 1 to %d, not %d", mostExpiringDays, a.ExpiringDays)
	}
	if a.Basis != "" && !contact.IsKey(a.Basis) {
		f.wrong("audience_basis", "", "audience.basis is a legal basis such as consent, or none, not %q", a.Basis)
	}
	if a.Filter == nil {
		return
	}
	if err := a.Filter.Validate(); err != nil && a.Filter.Unfinished() {
		f.missing("audience_filter", "", "audience.filter: %v", err)
	} else if err != nil {
		f.wrong("audience_filter", "", "audience.filter: %v", err)
	}
}

func (f *faults) variant(lang string, v Variant) {
	if _, err := language.Parse(lang); err != nil || len(lang) > maxLine {
		f.wrong("language_code", lang, "variant %q is not named by a language code such as da or en", lang)
	}
	for _, part := range []struct{ name, text string }{{"HTML", v.HTML}, {"Markdown", v.Markdown}, {"text", v.Text}} {
		f.text(lang, part.name, part.text, MaxPart)
	}
	f.text(lang, "preheader", v.Preheader, maxSubject)
	switch {
	case strings.TrimSpace(v.Subject) == "":
		f.missing("subject", lang, "variant %s has no subject", lang)
	case strings.ContainsFunc(v.Subject, unicode.IsControl):
		f.wrong("subject_lines", lang, "the subject of variant %s stands on one line, without control characters", lang)
	case len(v.Subject) > maxSubject:
		f.wrong("subject_long", lang, "the subject of variant %s is longer than %d bytes", lang, maxSubject)
	case !utf8.ValidString(v.Subject) || strings.ContainsRune(v.Subject, 0):
		f.wrong("not_text", lang, "the subject of variant %s is not UTF-8, or holds a NUL character", lang)
	}
	if strings.TrimSpace(v.HTML) == "" && strings.TrimSpace(v.Markdown) == "" {
		f.missing("html", lang, "variant %s has no HTML", lang)
	}
}
