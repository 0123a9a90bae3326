package campaign

import "time"

// KeptLink is an unsubscribe link of the tenant's own that somebody has decided
// to keep. It is told by what it says: one that is written differently, or in
// another part, draft or template, is another link.
type KeptLink struct {
	ID int64
	DraftRef
	Language string
	Part     string
	Source   string // the link as it stands there
	Reason   string // a line of at most MostReason characters
	Actor    string
	At       time.Time
}

// MostReason is how many characters say why a link is kept.
const MostReason = 500

// KeepLink asks that a link is kept where a version of a draft has it.
type KeepLink struct {
	KeptLink
	Version int64
	Line    int // where it stands, for the audit log
}

// KeptLinks are those of many drafts, or of one.
type KeptLinks []KeptLink

// Of returns those of one draft or template.
func (l KeptLinks) Of(ref DraftRef) (of KeptLinks) {
	for _, k := range l {
		if k.DraftRef == ref {
			of = append(of, k)
		}
	}
	return of
}

// Find returns what was decided about a link of the draft, if it is kept.
func (l KeptLinks) Find(lang string, f Finding) (KeptLink, bool) {
	for _, k := range l {
		if f.Code == CodeCustomLink && k.Language == lang && k.Part == f.Part && k.Source == f.Source {
			return k, true
		}
	}
	return KeptLink{}, false
}

// in returns the links of a part as linkrewrite wants them.
func (l KeptLinks) in(lang, part string) (sources []string) {
	for _, k := range l {
		if k.Language == lang && k.Part == part {
			sources = append(sources, k.Source)
		}
	}
	return sources
}
