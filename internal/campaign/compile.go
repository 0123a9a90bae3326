package campaign

import (
	"fmt"
	"strings"

	"github.com/osteele/liquid"
	xhtml "golang.org/x/net/html"
)

// Segment is a part of a compiled text: a static piece when Slot is negative,
// and otherwise the place for the value of that number.
type Segment struct {
	Static string
	Slot   int
}

// Recipient is what a copy says of its reader.
type Recipient struct {
	FirstName, LastName, Email, Company string
	ManageURL                           string
}

// Compiled is content made ready: parsed once, so that a recipient's copy is a
// splice.
type Compiled struct {
	variants []*CompiledVariant
	byLang   map[string]*CompiledVariant
	fallback *CompiledVariant
}

// CompiledVariant is one language of compiled content. Its three parts share
// the slots that Values fills.
type CompiledVariant struct {
	Language            string
	Subject, Text, HTML []Segment
	slots               []slot
	known               map[Field]string // the same for every recipient
}

// slot says how a value is made.
type slot struct {
	field    Field
	fallback string // escaped already
	escape   escape
	template *liquid.Template // of a part that Liquid renders; nil for a field
}

// Compile builds the content, rewrites its links and parses its merge fields.
func Compile(c Content) (*Compiled, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	built, err := c.Build()
	if err != nil {
		return nil, err
	}
	rewritten, _ := built.Rewrite(nil, nil)
	compiled := &Compiled{byLang: map[string]*CompiledVariant{}}
	for _, lang := range rewritten.Languages() {
		cv, err := compileVariant(rewritten, lang)
		if err != nil {
			return nil, err
		}
		compiled.variants = append(compiled.variants, cv)
		compiled.byLang[strings.ToLower(lang)] = cv
	}
	compiled.fallback = compiled.byLang[strings.ToLower(c.DefaultLanguage)]
	return compiled, nil
}

// compileVariant compiles one language of content that is built and rewritten.
func compileVariant(c Content, lang string) (*CompiledVariant, error) {
	v := c.Variants[lang]
	known := map[Field]string{SenderName: c.FromName, SenderAddress: c.PostalAddress, CampaignName: c.Name}
	cv := &CompiledVariant{Language: lang, known: known}
	var err error
	if cv.Subject, err = cv.compile(v.Subject, known, func(int) escape { return inSubject }); err != nil {
		return nil, fmt.Errorf("subject of variant %s: %w", lang, err)
	}
	if cv.HTML, err = cv.compile(v.HTML, known, references(v.HTML)); err != nil {
		return nil, fmt.Errorf("HTML of variant %s: %w", lang, err)
	}
	if cv.Text, err = cv.compile(v.Text, known, func(int) escape { return inText }); err != nil {
		return nil, fmt.Errorf("text of variant %s: %w", lang, err)
	}
	return cv, nil
}

// compile cuts a text at its merge fields and manage links. What is the same
// for every recipient is filled in at once.
func (v *CompiledVariant) compile(text string, known map[Field]string, where func(offset int) escape) ([]Segment, error) {
	uses, fieldErr := parseFields(text)
	if fieldErr != nil {
		return nil, fieldErr
	}
	var segments []Segment
	static := func(s string) {
		if n := len(segments); n > 0 && segments[n-1].Slot < 0 {
			segments[n-1].Static += s
		} else if s != "" {
			segments = append(segments, Segment{Static: s, Slot: -1})
		}
	}
	at := 0
	for _, u := range uses {
		static(text[at:u.start])
		at = u.end
		if u.liquid {
			template, err := compileRegion(text, region{u.start, u.end}, where)
			if err != nil {
				return nil, err
			}
			segments = append(segments, Segment{Slot: v.add(slot{template: template})})
			continue
		}
		e := where(u.start)
		if value, same := known[u.field]; same {
			if value == "" {
				value = u.fallback
			}
			static(e.apply(value))
			continue
		}
		if u.field == ManageURL && e == inReference {
			e = inHTML // the whole URL, not a part of one
		}
		segments = append(segments, Segment{Slot: v.add(slot{field: u.field, fallback: e.apply(u.fallback), escape: e})})
	}
	static(text[at:])
	return segments, nil
}

// add returns the number of a slot; equal slots share one.
func (v *CompiledVariant) add(s slot) int {
	for i, have := range v.slots {
		if have == s {
			return i
		}
	}
	v.slots = append(v.slots, s)
	return len(v.slots) - 1
}

// references returns a function that tells for each offset of an HTML text
// whether it lies in a URL attribute.
func references(text string) func(int) escape {
	type span struct{ start, end int }
	var spans []span
	z := xhtml.NewTokenizer(strings.NewReader(text))
	offset := 0
	for z.Next() != xhtml.ErrorToken {
		raw := z.Raw()
		tag := string(raw) // TagAttr lower-cases in place
		token := z.Token()
		if token.Type == xhtml.StartTagToken || token.Type == xhtml.SelfClosingTagToken {
			for _, a := range token.Attr {
				switch a.Key {
				case "href", "src", "background", "action", "poster", "srcset", "cite", "xlink:href":
				default:
					continue
				}
				// Every occurrence of the value in the tag: too many is safe.
				for from := 0; ; {
					i := strings.Index(strings.ToLower(tag[from:]), a.Key)
					if i < 0 {
						break
					}
					from += i + len(a.Key)
					rest := strings.TrimLeft(tag[from:], " \t\r\n")
					if !strings.HasPrefix(rest, "=") {
						continue
					}
					rest = strings.TrimLeft(rest[1:], " \t\r\n")
					start := len(tag) - len(rest)
					end := len(tag)
					if rest != "" && (rest[0] == '"' || rest[0] == '\'') {
						if j := strings.IndexByte(rest[1:], rest[0]); j >= 0 {
							end = start + j + 2
						}
					}
					spans = append(spans, span{offset + start, offset + end})
					from = start
				}
			}
		}
		offset += len(tag)
	}
	return func(at int) escape {
		for _, s := range spans {
			if s.start <= at && at < s.end {
				return inReference
			}
		}
		return inHTML
	}
}

// Variants returns all languages.
func (c *Compiled) Variants() []*CompiledVariant { return c.variants }

// For returns the variant for a contact's language: that language, or its base
// (da for da-dk), or the default.
func (c *Compiled) For(language string) *CompiledVariant {
	if v := c.byLang[language]; v != nil {
		return v
	}
	if base, _, regional := strings.Cut(language, "-"); regional {
		if v := c.byLang[base]; v != nil {
			return v
		}
	}
	return c.fallback
}

// Values appends the value of each slot for one recipient to dst, escaped for
// the place where it stands.
func (v *CompiledVariant) Values(dst []string, r Recipient) []string {
	var bindings map[string]any // made once, if a part asks for it
	for _, s := range v.slots {
		if s.template != nil {
			if bindings == nil {
				bindings = r.bindings(v.known)
			}
			// It was rendered when it was compiled: what fails now says too much.
			part, _ := renderRegion(s.template, bindings)
			dst = append(dst, part)
			continue
		}
		value := ""
		switch s.field {
		case FirstName:
			value = r.FirstName
		case LastName:
			value = r.LastName
		case Email:
			value = r.Email
		case Company:
			value = r.Company
		case ManageURL:
			value = r.ManageURL
		}
		if strings.TrimSpace(value) == "" {
			dst = append(dst, s.fallback)
			continue
		}
		dst = append(dst, s.escape.apply(value))
	}
	return dst
}
