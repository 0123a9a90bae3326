package console

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jatak-mail/jatak/gating"
	"github.com/jatak-mail/jatak/internal/contact"
	"github.com/jatak-mail/jatak/internal/staff"
)

// auditStore keeps who did what.
type auditStore interface {
	AuditLog(ctx context.Context, f staff.Filter) ([]staff.Entry, error)
	Actors(ctx context.Context) ([]string, error)
	WriteAudit(ctx context.Context, e staff.Entry) error
}

func (s *site) auditRoutes() []route {
	return []route{
		{pattern: "GET /audit", role: staff.Officer, handle: s.audit},
		{pattern: "GET /audit.csv", role: staff.Officer, handle: s.auditCSV},
	}
}

// change does what a request asks for and writes its line of the audit log: both, or
// neither. Where the store writes one itself it is not needed.
func (s *site) change(r *http.Request, do func(Store) error) error {
	return s.Together(r.Context(), func(db Store) error {
		if err := do(db); err != nil {
			return err
		}
		return db.WriteAudit(r.Context(), s.entryOf(r))
	})
}

// entryOf tells of a request by the words of its address.
func (s *site) entryOf(r *http.Request) staff.Entry {
	e := staff.Entry{Actor: actor(r), At: s.Now()}
	_, path, _ := strings.Cut(r.Pattern, " /")
	id, _ := strconv.ParseInt(r.PathValue("id"), 10, 64)
	var words []string
	for i, part := range strings.Split(path, "/") {
		switch {
		case i == 0:
			words = append(words, strings.TrimSuffix(part, "s"))
		case part == "{action}":
			words = append(words, r.PathValue("action"))
		case !strings.HasPrefix(part, "{"):
			words = append(words, part)
		}
	}
	e.Action = strings.Join(words, " ")
	switch words[0] {
	case "contact":
		e.Contact = id
	case "campaign":
		e.Campaign = id
	default:
		e.Detail = r.PathValue("id")
	}
	return e
}

// Bounds of the log.
const (
	auditPage = 50
	// mostAuditCSV is how many lines a file has.
	mostAuditCSV = 50_000
	auditChunk   = 1000
)

// auditTopics are the first words of what is done.
func auditTopics() []string {
	return []string{"campaign", "contact", "consent", "preference", "audience", "import", "template", "settings", "wording", "term", "type", "brand", "user", "account", "relay", "limit", "upgrade"}
}

type auditLine struct {
	staff.Entry
	Who, What, About string // in words, where there are some
}

// auditTopic is what can be asked for: everything of a topic, or one action.
type auditTopic struct {
	Key     string
	Actions []choice
}

type auditPageValues struct {
	Actor, What, Contact, From, Until string // as they were asked for
	Actors                            []string
	Topics                            []auditTopic
	Lines                             []auditLine
	Next, CSV                         string // addresses; "" for none
}

// auditFilter reads what is asked for; what cannot be read asks for nothing.
func auditFilter(r *http.Request) (f staff.Filter, p auditPageValues) {
	q := r.URL.Query()
	get := func(name string, most int) string {
		value := strings.TrimSpace(q.Get(name))
		if len(value) > most || !plainLine(value, most) {
			return ""
		}
		return value
	}
	p.Actor, p.What, p.Contact, p.From, p.Until = get("who", 300), get("what", 40), get("contact", 20), get("from", 10), get("until", 10)
	f.Actor = p.Actor
	// What was done names its topic too, and so one look finds both.
	var one bool
	if f.Topic, _, one = strings.Cut(p.What, " "); one {
		f.Action = p.What
	}
	if f.Actor != "" && !strings.Contains(f.Actor, ":") {
		f.Actor = "user:" + f.Actor
	}
	f.Contact, _ = strconv.ParseInt(p.Contact, 10, 64)
	if from, err := time.ParseInLocation(time.DateOnly, p.From, zoneOf(r)); err == nil {
		f.From = from
	}
	if until, err := time.ParseInLocation(time.DateOnly, p.Until, zoneOf(r)); err == nil {
		f.Until = until.AddDate(0, 0, 1) // that day too
	}
	var micros int64
	if n, err := fmt.Sscanf(get("before", 60), "%d.%d.%d", &micros, &f.Before.Kind, &f.Before.ID); err == nil && n == 3 && micros > 0 && micros < 1<<53 {
		f.Before.At = time.UnixMicro(micros)
	}
	return f, p
}

func (s *site) audit(w http.ResponseWriter, r *http.Request) {
	f, p := auditFilter(r)
	f.Most = auditPage + 1
	lines, err := s.Store.AuditLog(r.Context(), f)
	if err == nil {
		p.Actors, err = s.Store.Actors(r.Context())
	}
	if err != nil {
		s.fail(w, r, err)
		return
	}
	for i, a := range p.Actors {
		p.Actors[i] = strings.TrimPrefix(a, "user:")
	}
	p.Topics = s.auditTopics(r, p.What)
	query := url.Values{}
	for name, value := range map[string]string{"who": p.Actor, "what": p.What, "contact": p.Contact, "from": p.From, "until": p.Until} {
		if value != "" {
			query.Set(name, value)
		}
	}
	p.CSV = "/audit.csv?" + query.Encode()
	if len(lines) > auditPage {
		lines = lines[:auditPage]
		last := lines[auditPage-1]
		query.Set("before", fmt.Sprintf("%d.%d.%d", last.At.UnixMicro(), last.Kind, last.ID))
		p.Next = "/audit?" + query.Encode()
	}
	words, err := s.Store.WordsInUse(r.Context())
	if err != nil {
		s.fail(w, r, err)
		return
	}
	for _, e := range lines {
		p.Lines = append(p.Lines, s.auditLine(r, words, e))
	}
	s.show(w, r, http.StatusOK, "audit", "settings", "", p)
}

func (s *site) auditLine(r *http.Request, words contact.Words, e staff.Entry) auditLine {
	l := auditLine{Entry: e, Who: strings.TrimPrefix(e.Actor, "user:"), What: s.actionText(r, e.Action), About: s.auditDetail(r, words, e)}
	if e.Action == staff.ContactExport && e.Detail == "" {
		l.What = s.actionText(r, e.Action+" before")
	}
	return l
}

// actionText says in words what was done.
func (s *site) actionText(r *http.Request, action string) string {
	key := "audit." + strings.ReplaceAll(action, " ", ".")
	if text := s.text(r, key); text != key {
		return text
	}
	return action
}

// auditTopics lists what can be asked for, by topic; chosen is what is.
func (s *site) auditTopics(r *http.Request, chosen string) (list []auditTopic) {
	for _, key := range auditTopics() {
		t := auditTopic{Key: key}
		for _, action := range staff.Actions() {
			if strings.HasPrefix(action, key+" ") {
				t.Actions = append(t.Actions, choice{action, s.actionText(r, action), action == chosen})
			}
		}
		list = append(list, t)
	}
	return list
}

// auditDetail says a line's detail in words, where there are some.
func (s *site) auditDetail(r *http.Request, words contact.Words, e staff.Entry) string {
	lang, fields := s.lang(r), strings.Fields(e.Detail)
	field := func(i int) string {
		if i < len(fields) {
			return fields[i]
		}
		return ""
	}
	topic, _, _ := strings.Cut(e.Action, " ")
	switch topic {
	case "settings":
		if name, value, ok := strings.Cut(e.Detail, " = "); ok {
			return s.text(r, "audit.detail.pair", s.text(r, "setting."+name), s.settingText(r, gating.Setting(name), value))
		}
	case "wording":
		return s.text(r, "audit.detail.pair", termName(words.Purposes, field(0), lang), s.Templates.LanguageName(lang, field(1)))
	case "consent":
		if id, change, ok := strings.Cut(e.Detail, ": "); ok {
			purpose, basis, _ := strings.Cut(change, " → ")
			return id + ": " + termName(words.Purposes, purpose, lang) + " → " + s.basisName(r, words, gating.LegalBasis(basis))
		}
	case "preference":
		return s.text(r, "audit.detail.pair", termName(words.Types, field(0), lang), s.text(r, "card.choice."+field(1)))
	case "type":
		return termName(words.Types, e.Detail, lang)
	case "term":
		terms := words.Bases
		if field(0) == string(contact.Purposes) {
			terms = words.Purposes
		}
		return s.text(r, "audit.detail.pair", s.text(r, "console.terms."+field(0)), termName(terms, field(1), lang))
	case "user":
		if role := field(1); role != "" {
			return field(0) + " · " + s.text(r, "console.role."+role)
		}
	case "limit":
		if kind, name, ok := strings.Cut(e.Detail, " "); ok {
			return s.text(r, "audit.detail.pair", s.text(r, "console.limit."+kind), name)
		}
	case "brand":
		if field(0) == "word" {
			return s.text(r, "audit.detail.words", s.Templates.LanguageName(lang, field(1)))
		}
		if e.Detail == "look" {
			return s.text(r, "audit.detail.look")
		}
	case "campaign", "template", "contact", "upgrade":
		if where, why, ok := strings.Cut(e.Detail, ": "); ok && strings.Contains(e.Action, " link ") {
			return s.text(r, "audit.detail.pair", s.numbered(r, where), why)
		}
		return s.numbered(r, e.Detail)
	}
	return e.Detail
}

// numbered says "template 1 version 3" and the like in words.
func (s *site) numbered(r *http.Request, detail string) string {
	fields := strings.Fields(detail)
	var parts []string
	for i := 0; i < len(fields); i += 2 {
		if i+1 == len(fields) || !slices.Contains([]string{"template", "version", "line", "run", "import"}, fields[i]) {
			return detail
		}
		if _, err := strconv.ParseInt(fields[i+1], 10, 64); err != nil {
			return detail
		}
		parts = append(parts, s.text(r, "audit.detail."+fields[i], fields[i+1]))
	}
	return strings.Join(parts, ", ")
}

// auditCSV gives the log as a file for spreadsheets, the newest lines first.
func (s *site) auditCSV(w http.ResponseWriter, r *http.Request) {
	f, _ := auditFilter(r)
	f.Most = auditChunk
	words, err := s.Store.WordsInUse(r.Context())
	if err != nil {
		s.fail(w, r, err)
		return
	}
	w.Header().Set("Content-Type", "text/csv; charset=utf-8")
	w.Header().Set("Content-Disposition", `attachment; filename="audit.csv"`)
	out := newSheet(w)
	header := []string{"when", "who", "what", "about", "contact", "campaign", "action", "detail"}
	for i, name := range header {
		header[i] = s.text(r, "console.audit.csv."+name)
	}
	out.row(header...)
	for written := 0; written < mostAuditCSV; {
		lines, err := s.Store.AuditLog(r.Context(), f)
		if err != nil {
			s.Log.Error("the audit log could not be given out whole", "error", err)
			panic(http.ErrAbortHandler) // a file that ends early must not look whole
		}
		for _, e := range lines {
			l := s.auditLine(r, words, e)
			out.row(e.At.UTC().Format(time.RFC3339), l.Who, l.What, l.About, idText(e.Contact), idText(e.Campaign), e.Action, e.Detail)
		}
		if out.end(r.Context()) != nil || len(lines) < f.Most {
			return // whoever has hung up needs no more
		}
		written += len(lines)
		f.Before = lines[len(lines)-1]
	}
}

func idText(n int64) string {
	if n == 0 {
		return ""
	}
	return strconv.FormatInt(n, 10)
}
