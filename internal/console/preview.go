package console

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/jatak-mail/jatak/internal/campaign"
	"github.com/jatak-mail/jatak/internal/contact"
	"github.com/jatak-mail/jatak/internal/staff"
	"github.com/jatak-mail/jatak/internal/web"
)

// previewPane shows a mail as somebody would get it.
type previewPane struct {
	Base, Page, Language     string // Page is the address of the page that the pane is on
	Source                   string // the address of the mail in the frame
	Subject, Text, Preheader string
	Sent                     bool          // the mail is frozen: nothing about it is to be done
	Bare                     bool          // there is no mail to the subject yet
	Nobody                   bool          // there is no contact to see it as
	Problem                  string        // why there is nothing to be seen
	Place                    string        // of the problem
	Excerpt                  []excerptLine // of the source around it
	As                       int64         // as whom; 0: the made-up reader
	Reader, Search           string
	Readers                  []reader
	Dark, Phone              bool
}

// excerptLine is a line of a mail's source.
type excerptLine struct {
	Number int
	Text   string
	Wrong  bool
}

// reader is a contact to preview a mail as. The address is masked.
type reader struct {
	ID                     int64
	Name, Company, Address string
	Href                   string
}

// madeUp is who reads a preview when no contact is chosen.
func madeUp() contact.Contact {
	return contact.Contact{FirstName: "Anna", LastName: "Holm", Company: "Nordlys ApS", Email: "anna@example.org"}
}

// previewPane reads from the address as whom, in what width and in which light.
func (s *site) previewPane(r *http.Request, d campaign.Draft, lang string) (p previewPane, err error) {
	query, c := r.URL.Query(), d.Content
	p = previewPane{Base: base(d.DraftRef), Page: shownOn(d), Sent: d.State != campaign.StateDraft, Language: lang, Bare: bare(c.Variants[lang]), Dark: query.Get("dark") == "1", Phone: query.Get("width") == "phone", Search: query.Get("q")}
	as, err := s.readAs(r)
	if err != nil {
		return p, err
	}
	p.As, p.Reader = int64(as.ID), strings.TrimSpace(as.Name())
	if p.Reader == "" {
		p.Reader = contact.Address(as.Email).Masked()
	}
	source := url.Values{"lang": {lang}, "as": {fmt.Sprint(p.As)}}
	if p.Dark {
		source.Set("dark", "1")
	}
	p.Source = p.Base + "/mail?" + source.Encode()
	copied, err := campaign.Preview(c, lang, recipientOf(as))
	if err != nil {
		s.fillBroken(r, &p, c, lang)
		err = nil
	}
	p.Subject, p.Text, p.Preheader = copied.Subject, copied.Text, c.Variants[lang].Preheader
	switch {
	case p.Search != "":
		p.Readers, err = s.findReaders(r, p.Page, query)
	case p.As == 0:
		var some bool
		some, err = s.Store.HasContacts(r.Context())
		p.Nobody = err == nil && !some
	}
	return p, err
}

// shownOn is the page with the preview of a draft, or of what it has become.
func shownOn(d campaign.Draft) string {
	if d.State == campaign.StateDraft {
		return stepPath(d.DraftRef, stepContent)
	}
	return base(d.DraftRef) + "/sent"
}

// excerptAround is how many lines are shown before and after one that is wrong.
const excerptAround = 2

// whyBroken is the finding for which a mail cannot be put together.
func (s *site) whyBroken(r *http.Request, c campaign.Content, lang string) (wrong line) {
	for _, l := range s.findingLines(r, c, lang, nil) {
		if l.Code == campaign.CodeMergeField || l.Code == campaign.CodeUnbuildable {
			return l
		}
	}
	return line{}
}

// fillBroken says why a mail cannot be shown, and where.
func (s *site) fillBroken(r *http.Request, p *previewPane, c campaign.Content, lang string) {
	wrong, v := s.whyBroken(r, c, lang), c.Variants[lang]
	p.Problem, p.Place = s.text(r, "console.composer.preview.broken")+" "+wrong.Text, wrong.Place
	source := map[string]string{campaign.PartSubject: v.Subject, campaign.PartPreheader: v.Preheader, campaign.PartHTML: v.HTML, campaign.PartMarkdown: v.Markdown, campaign.PartText: v.Text}[wrong.Part]
	for i, text := range strings.Split(source, "\n") {
		if number := i + 1; wrong.Line > 0 && number >= wrong.Line-excerptAround && number <= wrong.Line+excerptAround {
			l := excerptLine{Number: number, Wrong: number == wrong.Line}
			column := 0
			if l.Wrong {
				column = wrong.Column
			}
			l.Text = around(text, column)
			p.Excerpt = append(p.Excerpt, l)
		}
	}
}

// around cuts a long line, some mails are one, to what stands about a column.
func around(text string, column int) string {
	const before, most = 80, 240
	runes := []rune(text)
	if len(runes) <= most {
		return text
	}
	from := min(max(0, column-before), len(runes)-most)
	cut := string(runes[from : from+most])
	if from > 0 {
		cut = "…" + cut
	}
	if from+most < len(runes) {
		cut += "…"
	}
	return cut
}

func recipientOf(c contact.Contact) campaign.Recipient {
	return campaign.Recipient{FirstName: c.FirstName, LastName: c.LastName, Email: c.Email, Company: c.Company, ManageURL: "https://jatak.example/m/preview"}
}

// readAs returns the contact that an address names, or the made-up one: nobody
// is shown to who may not see contacts.
func (s *site) readAs(r *http.Request) (contact.Contact, error) {
	n, err := strconv.ParseInt(r.URL.Query().Get("as"), 10, 64)
	if err != nil || n < 1 || !userOf(r).Role.May(staff.Marketer) {
		return madeUp(), nil
	}
	for c, err := range s.Store.People(r.Context(), []contact.ID{contact.ID(n)}) {
		return c, err
	}
	return madeUp(), nil
}

// preview is the pane alone.
func (s *site) preview(w http.ResponseWriter, r *http.Request) {
	d, ok := s.findDraft(w, r)
	if !ok {
		return
	}
	p, err := s.previewPane(r, d, variantOf(d.Content, r.URL.Query().Get("lang")))
	if err != nil {
		s.fail(w, r, err)
		return
	}
	s.fragment(w, r, http.StatusOK, "composer", "preview", p)
}

// sentPage is the mail of a campaign that is launched, or waits for its time.
type sentPage struct {
	campaign.Campaign
	Kind    string // of the state's badge
	From    string
	Tabs    []sentTab // with more than one language
	Preview previewPane
}

type sentTab struct {
	Code, Name, Href string
	Current          bool
}

func (s *site) sent(w http.ResponseWriter, r *http.Request) {
	c, ok := s.find(w, r)
	if !ok {
		return
	}
	if c.State == campaign.StateDraft {
		s.redirect(w, r, fmt.Sprintf("/campaigns/%d", c.ID))
		return
	}
	query := r.URL.Query()
	lang := query.Get("lang")
	if _, ok := c.Content.Variants[lang]; !ok { // each contact has a language of their own
		as, err := s.readAs(r)
		if err != nil {
			s.fail(w, r, err)
			return
		}
		lang = c.Content.LanguageFor(as.Language)
	}
	p := sentPage{Campaign: c, Kind: kindOf(c.State), From: c.Content.FromName + " <" + c.Content.FromAddress + ">"}
	var err error
	if p.Preview, err = s.previewPane(r, campaign.Draft{DraftRef: campaign.DraftRef{ID: int64(c.ID)}, Content: c.Content, State: c.State}, lang); err != nil {
		s.fail(w, r, err)
		return
	}
	for _, code := range c.Content.Languages() {
		query.Set("lang", code)
		p.Tabs = append(p.Tabs, sentTab{code, s.ownName(code), p.Preview.Page + "?" + query.Encode(), code == lang})
	}
	s.show(w, r, http.StatusOK, "sent", "campaigns", "", p)
}

// mostReaders is how many contacts are offered to preview a mail as.
const mostReaders = 8

func (s *site) findReaders(r *http.Request, page string, query url.Values) (list []reader, err error) {
	words := strings.Fields(strings.ToValidUTF8(strings.ReplaceAll(query.Get("q"), "\x00", ""), ""))
	if len(words) == 0 {
		return nil, nil
	}
	found, err := s.Store.SearchContacts(r.Context(), words[:min(len(words), 8)], 0, mostReaders)
	if err != nil {
		return nil, err
	}
	for _, c := range found {
		link := url.Values{"as": {fmt.Sprint(c.ID)}}
		for _, kept := range []string{"lang", "dark", "width"} {
			if v := query.Get(kept); v != "" {
				link.Set(kept, v)
			}
		}
		list = append(list, reader{int64(c.ID), strings.TrimSpace(c.Name()), c.Company, contact.Address(c.Email).Masked(), page + "?" + link.Encode()})
	}
	return list, nil
}

// readers offers contacts to preview the mail as.
func (s *site) readers(w http.ResponseWriter, r *http.Request) {
	d, ok := s.findDraft(w, r)
	if !ok {
		return
	}
	list, err := s.findReaders(r, shownOn(d), r.URL.Query())
	if err != nil {
		s.fail(w, r, err)
		return
	}
	s.fragment(w, r, http.StatusOK, "composer", "readers", previewPane{Search: r.URL.Query().Get("q"), Readers: list})
}

// mailPolicy shuts a previewed mail in: it runs nothing, opens nothing, sends
// nothing, and loads pictures alone. Mails are styled inline; only this answer may be.
const mailPolicy = "sandbox; default-src 'none'; img-src data: https:; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'self'"

// mail is the HTML of a draft, or of an old version, for the sandboxed frame of a
// preview.
func (s *site) mail(w http.ResponseWriter, r *http.Request) {
	d, ok := s.findDraft(w, r)
	if !ok {
		return
	}
	query := r.URL.Query()
	if query.Has("version") && userOf(r).Role.May(staff.Marketer) {
		number, _ := strconv.ParseInt(query.Get("version"), 10, 64)
		v, err := s.Store.DraftVersion(r.Context(), d.DraftRef, number)
		if errors.Is(err, campaign.ErrVersionNotFound) {
			s.gone(w, r)
			return
		}
		if err != nil {
			s.fail(w, r, err)
			return
		}
		d.Content = v.Content
	}
	as, err := s.readAs(r)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	copied, err := campaign.Preview(d.Content, variantOf(d.Content, query.Get("lang")), recipientOf(as))
	if err != nil {
		copied = campaign.Copy{} // the pane beside says what is wrong
	}
	w.Header().Set("Content-Security-Policy", mailPolicy)
	w.Header().Set("X-Frame-Options", "SAMEORIGIN")
	document := copied.Framed(query.Get("dark") == "1")
	if err := web.Render(w, http.StatusOK, s.lang(r), func(to io.Writer) error {
		_, err := io.WriteString(to, document)
		return err
	}); err != nil {
		s.fail(w, r, err)
	}
}

type testLine struct {
	Address, Language, When, Reason, Reply string
	State                                  campaign.DeliveryState
}

// testsPane shows what became of the mails that the draft was tried with.
type testsPane struct {
	Base, To string
	Lines    []testLine
	Waiting  bool
}

// mostTests is how many test mails are shown.
const mostTests = 5

func (s *site) testsPane(r *http.Request, ref campaign.DraftRef) (p testsPane, err error) {
	p = testsPane{Base: base(ref), To: userOf(r).Email}
	list, err := s.Store.TestMails(r.Context(), ref, mostTests)
	for _, m := range list {
		l := testLine{Address: string(m.Address), Language: m.Language, When: s.when(r, m.Requested), State: m.State, Reply: m.Reply}
		if m.State == campaign.Blocked {
			l.Reason = s.Templates.ReasonText(s.lang(r), m.Reason)
		}
		p.Waiting = p.Waiting || m.State == campaign.Pending
		p.Lines = append(p.Lines, l)
	}
	return p, err
}

func (s *site) tests(w http.ResponseWriter, r *http.Request) {
	d, ok := s.findDraft(w, r)
	if !ok {
		return
	}
	p, err := s.testsPane(r, d.DraftRef)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	s.fragment(w, r, http.StatusOK, "composer", "tests", p)
}

// sendTest asks the workers to send the draft to an address.
func (s *site) sendTest(w http.ResponseWriter, r *http.Request) {
	d, ok := s.writable(w, r)
	if !ok {
		return
	}
	if err := r.ParseForm(); err != nil {
		s.message(w, r, http.StatusBadRequest, "console.bad")
		return
	}
	lang := variantOf(d.Content, r.PostForm.Get("language"))
	refuse := func(status int, problem string) { s.showStep(w, r, status, d, stepContent, lang, problem) }
	to, err := contact.ParseAddress(r.PostForm.Get("address"))
	if err != nil {
		refuse(http.StatusUnprocessableEntity, s.text(r, "console.composer.test.address"))
		return
	}
	only := d.Content // the other languages need not be ready
	only.DefaultLanguage, only.Variants = lang, map[string]campaign.Variant{lang: d.Content.Variants[lang]}
	if faults := only.Faults(); lang == "" || len(faults) > 0 {
		problem := s.text(r, "console.composer.test.unready")
		for _, f := range faults {
			problem += " " + s.say(r, "console.fault."+f.Code, f.Args...)
		}
		refuse(http.StatusUnprocessableEntity, problem)
		return
	}
	if _, err := campaign.Compile(only); err != nil {
		refuse(http.StatusUnprocessableEntity, s.text(r, "console.composer.preview.broken")+" "+s.whyBroken(r, only, lang).Text)
		return
	}
	wait, err := s.Store.Attempt(r.Context(), staff.HashToken("test mail "+actor(r)), campaign.MostTestMails, campaign.TestMailWindow, s.Now())
	if err != nil {
		s.fail(w, r, err)
		return
	}
	if wait > 0 {
		refuse(http.StatusTooManyRequests, s.text(r, "console.composer.test.slow"))
		return
	}
	as, _ := strconv.ParseInt(r.PostForm.Get("as"), 10, 64)
	m := campaign.TestMail{Draft: d.DraftRef, Content: d.Content, Language: lang, Contact: contact.ID(max(0, as)), Address: to, Requested: s.Now(), Actor: actor(r)}
	if m.Contact == 0 {
		m.As = madeUp()
	}
	if err := s.Store.QueueTestMail(r.Context(), m); err != nil {
		s.fail(w, r, err)
		return
	}
	query := url.Values{"lang": {lang}, "done": {"test"}}
	if as > 0 {
		query.Set("as", fmt.Sprint(as))
	}
	s.redirect(w, r, base(d.DraftRef)+"/edit/content?"+query.Encode())
}

type versionRow struct {
	Number     int64
	Who, When  string
	Current    bool
	Name, Href string
}

type versionsPage struct {
	Ref        campaign.DraftRef
	Base, Name string
	Rows       []versionRow
}

// versions lists what a draft looked like.
func (s *site) versions(w http.ResponseWriter, r *http.Request) {
	d, ok := s.findDraft(w, r)
	if !ok {
		return
	}
	list, err := s.Store.Versions(r.Context(), d.DraftRef)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	p := versionsPage{Ref: d.DraftRef, Base: base(d.DraftRef), Name: d.Content.Name}
	for _, v := range list {
		p.Rows = append(p.Rows, versionRow{Number: v.Number, Who: strings.TrimPrefix(v.Actor, "user:"), When: s.when(r, v.At), Current: v.Number == d.Version,
			Href: fmt.Sprintf("%s/versions/%d", p.Base, v.Number)})
	}
	s.show(w, r, http.StatusOK, "versions", navOf(d), "", p)
}

func navOf(d campaign.Draft) string {
	if d.Template {
		return "templates"
	}
	return "campaigns"
}

type versionVariant struct {
	Code, Subject, Source, Frame, Text string
}

type versionPage struct {
	versionsPage
	Number, Present int64
	Who, When       string
	Variants        []versionVariant
	MayRestore      bool
}

// version shows one, to be restored.
func (s *site) version(w http.ResponseWriter, r *http.Request) {
	if d, ok := s.findDraft(w, r); ok {
		s.showVersion(w, r, http.StatusOK, d, "")
	}
}

func (s *site) showVersion(w http.ResponseWriter, r *http.Request, status int, d campaign.Draft, problem string) {
	v, ok := s.findVersion(w, r, d)
	if !ok {
		return
	}
	p := versionPage{versionsPage: versionsPage{Ref: d.DraftRef, Base: base(d.DraftRef), Name: v.Content.Name}, Number: v.Number, Present: d.Version,
		Who: strings.TrimPrefix(v.Actor, "user:"), When: s.when(r, v.At), MayRestore: d.State == campaign.StateDraft && v.Number != d.Version}
	for _, lang := range v.Content.Languages() {
		written := v.Content.Variants[lang]
		source := written.HTML
		if isMarkdown(written) {
			source = written.Markdown
		}
		p.Variants = append(p.Variants, versionVariant{lang, written.Subject, source, fmt.Sprintf("%s/mail?version=%d&lang=%s", p.Base, v.Number, url.QueryEscape(lang)), written.Text})
	}
	s.show(w, r, status, "version", navOf(d), problem, p)
}

func (s *site) findVersion(w http.ResponseWriter, r *http.Request, d campaign.Draft) (v campaign.Version, ok bool) {
	number, err := strconv.ParseInt(r.PathValue("version"), 10, 64)
	if err == nil {
		v, err = s.Store.DraftVersion(r.Context(), d.DraftRef, number)
	} else {
		err = campaign.ErrVersionNotFound
	}
	switch {
	case errors.Is(err, campaign.ErrVersionNotFound):
		s.gone(w, r)
	case err != nil:
		s.fail(w, r, err)
	default:
		return v, true
	}
	return v, false
}

// restore makes an old version the present one. What it replaces can be restored
// in turn.
func (s *site) restore(w http.ResponseWriter, r *http.Request) {
	d, ok := s.writable(w, r)
	if !ok {
		return
	}
	if err := r.ParseForm(); err != nil {
		s.message(w, r, http.StatusBadRequest, "console.bad")
		return
	}
	v, ok := s.findVersion(w, r, d)
	if !ok {
		return
	}
	written := d
	written.Content = v.Content
	switch problem := s.keep(r, d, &written, "restore"); {
	case problem == conflicted:
		s.showVersion(w, r, http.StatusConflict, d, s.text(r, "console.composer.conflict", strings.TrimPrefix(d.ChangedBy, "user:")))
	case problem == broken:
		s.message(w, r, http.StatusServiceUnavailable, "console.error")
	case problem != "" && !slices.Contains([]string{launched}, problem):
		s.showVersion(w, r, http.StatusUnprocessableEntity, d, problem)
	default:
		s.redirect(w, r, base(d.DraftRef)+"/edit/content?done=restored")
	}
}
