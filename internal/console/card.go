package console

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jatak-mail/jatak/gating"
	"github.com/jatak-mail/jatak/internal/contact"
	"github.com/jatak-mail/jatak/internal/staff"
	"github.com/jatak-mail/jatak/templates"
)

type stepRow struct {
	Text, Holds string
	Found       []string
	Decides     bool
}

type consentRow struct {
	Purpose, Basis, Source string
	Since                  time.Time
	Expires                *time.Time
}

// Until is when the consent expires.
func (c consentRow) Until() time.Time { return *c.Expires }

type typeRow struct {
	ID     gating.TypeID
	Name   string
	Choice gating.Preference
}

type mailRow struct {
	At                        time.Time
	Name, State, Reason, Mend string
	Send                      bool
}

type historyRow struct {
	At      time.Time
	What    string
	Details []string
}

type suppressionRow struct {
	Scope, Reason string
	At            time.Time
}

// contactPage is a contact's card.
type contactPage struct {
	ID                             contact.ID
	Name, Email, Company, Language string
	TimeZone                       string
	OnFile                         time.Time // zero for who was there before that was kept
	CompanyNo, Left, On, Withdrawn bool
	Send                           bool
	Reason, Mend                   string
	Steps                          []stepRow
	Consents                       []consentRow
	Types                          []typeRow
	Suppressions                   []suppressionRow
	History                        []historyRow
	Mails                          []mailRow
}

func (s *site) contact(w http.ResponseWriter, r *http.Request) {
	s.showContact(w, r, http.StatusOK, "")
}

// contactID reads the id of the path; ok is false when it is none, which is
// answered.
func (s *site) contactID(w http.ResponseWriter, r *http.Request) (id contact.ID, ok bool) {
	n, err := strconv.ParseInt(r.PathValue("id"), 10, 64)
	if err != nil || n < 1 {
		s.gone(w, r)
		return 0, false
	}
	return contact.ID(n), true
}

// answered answers an error about a contact, if there is one.
func (s *site) answered(w http.ResponseWriter, r *http.Request, err error) bool {
	switch {
	case err == nil:
		return false
	case errors.Is(err, contact.ErrNotFound):
		s.gone(w, r)
	case errors.Is(err, contact.ErrNotTheirs):
		s.showContact(w, r, http.StatusConflict, s.text(r, "console.theirs"))
	default:
		s.fail(w, r, err)
	}
	return true
}

func (s *site) showContact(w http.ResponseWriter, r *http.Request, status int, problem string) {
	id, ok := s.contactID(w, r)
	if !ok {
		return
	}
	p, err := s.person(r, id)
	if errors.Is(err, contact.ErrNotTheirs) {
		s.fail(w, r, err)
		return
	}
	if !s.answered(w, r, err) {
		s.show(w, r, status, "contact", "contacts", problem, p)
	}
}

// person gathers what the card shows; looking at it is audited.
func (s *site) person(r *http.Request, id contact.ID) (p contactPage, err error) {
	ctx, now, lang := r.Context(), s.Now(), s.lang(r)
	policy, err := s.Store.Policy(ctx, now)
	if err != nil {
		return p, err
	}
	recipient, err := s.Store.Recipient(ctx, id, gating.SubscriptionType{})
	if err != nil {
		return p, err
	}
	d, err := s.Store.Dossier(ctx, id, staff.Entry{Actor: actor(r), Action: staff.ContactView, At: now})
	if err != nil {
		return p, err
	}
	words, err := s.Store.WordsInUse(ctx)
	if err != nil {
		return p, err
	}
	types, err := s.Store.TypeChoices(ctx, id)
	if err != nil {
		return p, err
	}
	steps, v := gating.Explain(recipient.Facts, policy)
	p = contactPage{ID: id, Name: recipient.Name(), Email: recipient.Email, Company: recipient.Company, Language: recipient.Language, TimeZone: d.Contact.TimeZone,
		CompanyNo: recipient.Facts.CompanyNoMailings, Left: d.Contact.Left, On: recipient.Facts.Emarketing.Basis.Granted(),
		Withdrawn: recipient.Facts.Emarketing.Basis == gating.BasisWithdrawn, Send: v.Send,
		Reason: s.Templates.ReasonText(lang, v.Reason), Mend: s.Templates.Text(lang, "mend."+string(v.Reason))}
	if p.Name == "" {
		p.Name = fmt.Sprint(id)
	}
	if since := d.Contact.OnFileSince; since != nil {
		p.OnFile = *since
	}
	p.Steps = s.stepRows(r, words, types, steps)
	for _, t := range types {
		p.Types = append(p.Types, typeRow{t.ID, t.Name(lang), t.Preference})
	}
	for _, c := range d.Consents {
		p.Consents = append(p.Consents, consentRow{termName(words.Purposes, string(c.Purpose), lang), s.basisName(r, words, c.Basis),
			s.sourceText(r, c.Source), c.Since, c.Expires})
	}
	for _, x := range d.Suppressions {
		p.Suppressions = append(p.Suppressions, suppressionRow{s.text(r, "card.scope."+string(x.Scope)), s.text(r, "card.suppressed."+string(x.Reason)), x.At})
	}
	for _, m := range d.Mails {
		p.Mails = append(p.Mails, mailRow{m.At, m.Name, s.text(r, "card.mail."+m.State), s.Templates.ReasonText(lang, m.Reason),
			s.Templates.Text(lang, "mend."+string(m.Reason)), !m.Reason.Blocks()})
	}
	slices.Reverse(p.Mails)
	p.History = s.history(r, d, words)
	return p, nil
}

func (s *site) stepRows(r *http.Request, words contact.Words, types []contact.TypeChoice, steps []gating.Step) (rows []stepRow) {
	for _, step := range steps {
		row := stepRow{Text: s.Templates.ReasonText(s.lang(r), step.Reason), Holds: "card.step.no", Decides: step.Decided}
		switch {
		case step.Decided:
			row.Holds = "card.step.decides"
		case step.Holds:
			row.Holds = "card.step.yes"
		}
		for _, fact := range step.Found {
			row.Found = append(row.Found, capital(s.factText(r, words, types, fact)))
		}
		rows = append(rows, row)
	}
	return rows
}

// factText says a fact of the gate's, which is name=value, in words.
func (s *site) factText(r *http.Request, words contact.Words, types []contact.TypeChoice, fact string) string {
	name, value, _ := strings.Cut(fact, "=")
	key := "fact." + name
	switch name {
	case "suppressions", "bounces_in_row", "limit":
		n, _ := strconv.ParseInt(value, 10, 64)
		return s.Templates.CountText(s.lang(r), key, n)
	case "consent_life":
		life, _ := time.ParseDuration(value)
		return s.Templates.CountText(s.lang(r), key, int64(life/(24*time.Hour)))
	case "expires", "last_use", "type_created", "last_choice":
		at, err := time.Parse(time.RFC3339, value)
		if err != nil {
			return s.text(r, key+".never")
		}
		return s.text(r, key, templates.Time(s.lang(r), at.In(zoneOf(r))))
	case "class":
		if value != string(gating.Service) {
			value = string(gating.Marketing)
		}
	case "emarketing":
		basis := gating.LegalBasis(value)
		if value == "none" {
			basis = gating.BasisNone
		}
		return s.text(r, key, s.basisName(r, words, basis))
	case "preference":
		return s.text(r, key, s.text(r, "card.choice."+strings.TrimPrefix(value, "none")))
	case "type":
		for _, t := range types {
			if fmt.Sprint(t.ID) == value {
				return s.text(r, key, t.Name(s.lang(r)))
			}
		}
		return s.text(r, key+".any")
	}
	return s.text(r, key+"."+value)
}

func termName(terms []contact.Word, key, lang string) string {
	for _, t := range terms {
		if t.Key == key {
			return t.Name(lang)
		}
	}
	return key
}

func (s *site) basisName(r *http.Request, words contact.Words, basis gating.LegalBasis) string {
	if basis == gating.BasisNone {
		return s.text(r, "filter.basis.none")
	}
	return termName(words.Bases, string(basis), s.lang(r))
}

// history is what has happened, the newest first.
func (s *site) history(r *http.Request, d contact.Dossier, words contact.Words) (rows []historyRow) {
	lang := s.lang(r)
	add := func(at time.Time, what string, details ...string) {
		rows = append(rows, historyRow{at, what, slices.DeleteFunc(details, func(s string) bool { return s == "" })})
	}
	quoted := func(key, text string) string {
		if text == "" {
			return ""
		}
		return s.text(r, key, text)
	}
	for _, e := range d.ConsentEvents {
		add(e.At, s.text(r, "history.consent", termName(words.Purposes, string(e.Purpose), lang), s.basisName(r, words, e.From), s.basisName(r, words, e.To)),
			s.text(r, "history.by", s.sourceText(r, e.Source), e.Actor), quoted("history.wording", e.Wording), quoted("history.comment", e.Comment))
	}
	for _, c := range d.Choices {
		add(c.At, s.text(r, "history.type", typeName(words, c, lang), s.text(r, "card.choice."+string(c.To))),
			s.text(r, "history.by", s.sourceText(r, c.Source), c.Actor), quoted("history.comment", c.Comment))
	}
	for _, m := range d.Mails {
		add(m.At, s.text(r, "history.mail", m.Name, s.text(r, "card.mail."+m.State)), quoted("history.reply", m.Reply))
	}
	for _, m := range d.LegacyMails {
		add(m.At, s.text(r, "history.legacy", m.Mailing, s.legacyStatus(r, m.Status)))
	}
	for _, u := range d.SignUps {
		add(u.At, s.text(r, "history.sign_up"), quoted("history.wording", u.Wording))
	}
	for _, n := range d.Notices {
		add(n.At, s.text(r, "history.notice."+string(n.Kind)))
	}
	slices.SortStableFunc(rows, func(a, b historyRow) int { return b.At.Compare(a.At) })
	return rows
}

// typeName is what a type that was chosen is called; one that is out of use may
// have an English name only.
func typeName(words contact.Words, c contact.DossierChoice, lang string) string {
	if name := termName(words.Types, c.Type, lang); name != c.Type {
		return name
	}
	return c.Name
}

// legacyStatus says what became of a mail of the former system's, as it stands
// there when it is a word that nobody knows.
func (s *site) legacyStatus(r *http.Request, status string) string {
	key := "history.status." + strings.ToLower(status)
	if text := s.text(r, key); text != key {
		return text
	}
	return status
}

// reason reads why something is done; ok is false when that is not said, which
// is answered.
func (s *site) reason(w http.ResponseWriter, r *http.Request) (reason string, ok bool) {
	if !s.parse(w, r) {
		return "", false
	}
	reason = strings.TrimSpace(r.PostForm.Get("reason"))
	if !contact.IsLine(reason, contact.MaxComment) {
		s.showContact(w, r, http.StatusBadRequest, s.text(r, "card.why.wrong"))
		return "", false
	}
	return reason, true
}

// emarketing switches the E-marketing toggle of a contact, by staff and with a
// reason: on is a legitimate interest.
func (s *site) emarketing(w http.ResponseWriter, r *http.Request) {
	id, ok := s.contactID(w, r)
	if !ok {
		return
	}
	reason, ok := s.reason(w, r)
	if !ok {
		return
	}
	basis := gating.BasisWithdrawn
	if r.PostForm.Get("on") == "1" {
		basis = gating.BasisLegitimateInterest
	}
	err := s.change(r, func(db Store) error {
		result, err := db.ChangeBasis(r.Context(), contact.BulkChange{Selection: contact.Selection{ID: id}, Purpose: gating.PurposeEmarketing,
			Basis: basis, Reason: reason, Actor: actor(r), Now: s.Now()})
		if err == nil && result.Withdrawn > 0 {
			err = contact.ErrNotTheirs
		}
		return err
	})
	if !s.answered(w, r, err) {
		http.Redirect(w, r, fmt.Sprintf("/contacts/%d?done=changed", id), http.StatusSeeOther)
	}
}

// choose keeps a choice of a subscription type, by staff and with a reason.
func (s *site) choose(w http.ResponseWriter, r *http.Request) {
	id, ok := s.contactID(w, r)
	if !ok {
		return
	}
	reason, ok := s.reason(w, r)
	if !ok {
		return
	}
	kind, choice, _ := strings.Cut(r.PostForm.Get("choice"), ":")
	typeID, err := strconv.ParseInt(kind, 10, 64)
	if err != nil || choice != string(gating.PreferenceIn) && choice != string(gating.PreferenceOut) {
		s.message(w, r, http.StatusBadRequest, "console.bad")
		return
	}
	err = s.Store.ChooseForContact(r.Context(), contact.StaffChoice{Contact: id, Type: gating.TypeID(typeID), Choice: gating.Preference(choice),
		Reason: reason, Actor: actor(r), Now: s.Now()})
	if !s.answered(w, r, err) {
		http.Redirect(w, r, fmt.Sprintf("/contacts/%d?done=changed", id), http.StatusSeeOther)
	}
}

// export hands out all that is kept about a contact, to keep: as JSON, or as a
// page to read.
func (s *site) export(w http.ResponseWriter, r *http.Request) {
	id, ok := s.contactID(w, r)
	if !ok {
		return
	}
	form := "HTML"
	if r.URL.Query().Get("as") == "json" {
		form = "JSON"
	}
	d, err := s.Store.Dossier(r.Context(), id, staff.Entry{Actor: actor(r), Action: staff.ContactExport, Detail: form, At: s.Now()})
	if s.answered(w, r, err) {
		return
	}
	name, kind := fmt.Sprintf("contact-%d.html", id), "text/html; charset=utf-8"
	write := func(to io.Writer) error {
		return s.Templates.Dossier(to, s.lang(r), DossierTables([]contact.Dossier{d}))
	}
	if form == "JSON" {
		name, kind = fmt.Sprintf("contact-%d.json", id), "application/json"
		write = func(to io.Writer) error {
			e := json.NewEncoder(to)
			e.SetIndent("", "  ")
			return e.Encode(d)
		}
	}
	w.Header().Set("Content-Type", kind)
	w.Header().Set("Content-Disposition", `attachment; filename="`+name+`"`)
	if err := write(w); err != nil {
		s.Log.Error("an export could not be written", "contact", id, "error", err)
	}
}

type erasePage struct {
	ID          contact.ID
	Name, Email string
}

// askErase says what erasing does, and asks for the contact's number.
func (s *site) askErase(w http.ResponseWriter, r *http.Request) {
	s.showErase(w, r, http.StatusOK, "")
}

func (s *site) showErase(w http.ResponseWriter, r *http.Request, status int, problem string) {
	id, ok := s.contactID(w, r)
	if !ok {
		return
	}
	c, err := s.Store.Recipient(r.Context(), id, gating.SubscriptionType{})
	if err == nil && c.Email == "" && c.Name() == "" {
		err = contact.ErrNotFound // erased
	}
	if !s.answered(w, r, err) {
		s.show(w, r, status, "erase", "contacts", problem, erasePage{id, c.Name(), c.Email})
	}
}

// erase removes a contact's personal data, when its number was typed.
func (s *site) erase(w http.ResponseWriter, r *http.Request) {
	id, ok := s.contactID(w, r)
	if !ok || !s.parse(w, r) {
		return
	}
	if strings.TrimSpace(r.PostForm.Get("number")) != fmt.Sprint(id) {
		s.showErase(w, r, http.StatusBadRequest, s.text(r, "erase.wrong"))
		return
	}
	if !s.answered(w, r, s.Store.Erase(r.Context(), id, actor(r), s.Now())) {
		s.forgetSearch(w) // it may be for who is erased
		http.Redirect(w, r, "/contacts?done=erased", http.StatusSeeOther)
	}
}

// DossierTables returns what is kept about people as tables to read.
func DossierTables(dossiers []contact.Dossier) (pages []templates.DossierPerson) {
	at := func(t time.Time) string { return t.UTC().Format("2006-01-02 15:04") }
	for _, d := range dossiers {
		p := templates.DossierPerson{Exported: at(d.Exported)}
		k := d.Contact
		p.Facts = []templates.DossierFact{{Key: "email", Value: k.Email}, {Key: "first_name", Value: k.FirstName}, {Key: "last_name", Value: k.LastName},
			{Key: "company", Value: k.Company}, {Key: "language", Value: k.Language}, {Key: "legacy_id", Value: k.LegacyID}}
		for _, s := range d.Consents {
			p.Consents = append(p.Consents, []string{string(s.Purpose), string(s.Basis), string(s.Source), at(s.Since)})
		}
		for _, s := range d.ConsentEvents {
			p.Events = append(p.Events, []string{at(s.At), string(s.Purpose), string(s.From), string(s.To), string(s.Source), s.Actor, s.Wording, s.Comment})
		}
		for _, s := range d.Subscriptions {
			p.Subscriptions = append(p.Subscriptions, []string{s.Name, string(s.Preference)})
		}
		for _, s := range d.Mails {
			p.Mails = append(p.Mails, []string{at(s.At), s.Name, s.State, string(s.Reason)})
		}
		for _, s := range d.SignUps {
			confirmed := ""
			if s.Confirmed != nil {
				confirmed = at(*s.Confirmed)
			}
			p.SignUps = append(p.SignUps, []string{at(s.At), confirmed, string(s.Purpose), s.Wording, s.Locale})
		}
		for _, n := range d.Notices {
			p.Notices = append(p.Notices, []string{at(n.At), string(n.Kind), n.State})
		}
		for _, s := range d.LegacyMails {
			p.Mails = append(p.Mails, []string{at(s.At), s.Mailing, s.Status, ""})
		}
		pages = append(pages, p)
	}
	return pages
}
