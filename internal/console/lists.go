package console

import (
	"bytes"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/jatak-mail/jatak/gating"
	"github.com/jatak-mail/jatak/internal/contact"
	"github.com/jatak-mail/jatak/internal/contactlist"
	"github.com/jatak-mail/jatak/internal/legacycsv"
	"github.com/jatak-mail/jatak/internal/staff"
)

// listStore is what the pages about imports ask for.
type listStore interface {
	CreateImport(ctx context.Context, fileName, actor string, now time.Time) (int64, error)
	AddImportPart(ctx context.Context, id int64, part int, content []byte) error
	ImportPart(ctx context.Context, id int64, part int) ([]byte, error)
	ListImport(ctx context.Context, id int64) (contact.ListImport, error)
	ListImports(ctx context.Context, most int) ([]contact.ListImport, error)
	// StartImport and EndImport return contact.ErrImportLost when the state does not
	// allow it.
	StartImport(ctx context.Context, id int64, to contact.ImportState, c contact.ListChoices, actor string, now time.Time) error
	EndImport(ctx context.Context, id int64, from, to contact.ImportState, problem string, now time.Time) error
	RefusalReasons(ctx context.Context, id int64, most int) ([]contact.ListReason, []contact.ListRefusal, error)
	Refusals(ctx context.Context, id int64) iter.Seq2[contact.ListRefusal, error]
}

func (s *site) listRoutes() []route {
	return []route{
		{pattern: "GET /imports", role: staff.Officer, handle: s.lists},
		{pattern: "POST /imports", role: staff.Officer, handle: s.upload, body: contactlist.MaxFile + 1<<20},
		{pattern: "GET /imports/{id}", role: staff.Officer, handle: s.uploaded},
		{pattern: "GET /imports/{id}/refused", role: staff.Officer, handle: s.refused},
		{pattern: "POST /imports/{id}/check", role: staff.Officer, handle: s.checkList},
		{pattern: "POST /imports/{id}/run", role: staff.Officer, handle: s.runList},
		{pattern: "POST /imports/{id}/cancel", role: staff.Officer, handle: s.cancelList},
	}
}

// mostLists is how many imports the list shows.
const mostLists = 50

func (s *site) lists(w http.ResponseWriter, r *http.Request) { s.showLists(w, r, http.StatusOK, "") }

func (s *site) showLists(w http.ResponseWriter, r *http.Request, status int, problem string) {
	list, err := s.Store.ListImports(r.Context(), mostLists)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	s.show(w, r, status, "lists", "contacts", problem, list)
}

// partSize is how much of a file is in memory at once.
const partSize = 1 << 20

// upload keeps a file as it comes.
func (s *site) upload(w http.ResponseWriter, r *http.Request) {
	form, err := r.MultipartReader()
	if err != nil {
		s.message(w, r, http.StatusBadRequest, "console.bad")
		return
	}
	file, err := form.NextPart()
	if err != nil || file.FormName() != "file" || file.FileName() == "" {
		s.showLists(w, r, http.StatusBadRequest, s.text(r, "lists.file.none"))
		return
	}
	name := path.Base(strings.ReplaceAll(file.FileName(), `\`, "/"))
	if runes := []rune(name); !contact.IsLine(name, 200) {
		name = strings.ToValidUTF8(string(runes[:min(len(runes), 100)]), "")
		if !contact.IsLine(name, 200) {
			name = "list.csv"
		}
	}
	id, err := s.Store.CreateImport(r.Context(), name, actor(r), s.Now())
	if err != nil {
		s.fail(w, r, err)
		return
	}
	size, first, err := s.keepParts(r, file, id)
	if err == nil && size <= contactlist.MaxFile {
		// After the last boundary it is io.EOF itself, and wrapped where that lacks.
		if _, end := form.NextPart(); end != nil && end != io.EOF {
			err = fmt.Errorf("%w: %w", errCut, end)
		}
	}
	problem := ""
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large), size > contactlist.MaxFile:
		problem = "lists.file.large"
	case errors.Is(err, errCut):
		problem = "lists.file.cut"
	case err != nil:
		s.fail(w, r, err)
		return
	default:
		switch _, _, err := contactlist.Sniff(first); {
		case errors.Is(err, contactlist.ErrNoHeader):
			problem = "lists.file.header"
		case err != nil:
			problem = "lists.file.unreadable"
		}
	}
	if problem != "" {
		if err := s.Store.EndImport(r.Context(), id, contact.ImportUploading, contact.ImportCancelled, "", s.Now()); err != nil {
			s.fail(w, r, err)
			return
		}
		s.showLists(w, r, http.StatusBadRequest, s.text(r, problem))
		return
	}
	err = s.change(r, func(db Store) error {
		return db.EndImport(r.Context(), id, contact.ImportUploading, contact.ImportUploaded, "", s.Now())
	})
	if err != nil {
		s.fail(w, r, err)
		return
	}
	http.Redirect(w, r, fmt.Sprintf("/imports/%d", id), http.StatusSeeOther)
}

// errCut says that a file did not come whole.
var errCut = errors.New("the file is cut off")

func (s *site) keepParts(r *http.Request, file io.Reader, id int64) (size int64, first []byte, err error) {
	buffer := make([]byte, partSize)
	for part := 0; size <= contactlist.MaxFile; part++ {
		n, err := io.ReadFull(file, buffer)
		if n > 0 {
			if part == 0 {
				first = slices.Clone(buffer[:n])
			}
			size += int64(n)
			if err := s.Store.AddImportPart(r.Context(), id, part, buffer[:n]); err != nil {
				return size, first, err
			}
		}
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return size, first, nil
		}
		if err != nil {
			return size, first, fmt.Errorf("%w: %w", errCut, err)
		}
	}
	return size, first, nil
}

type listColumn struct {
	Name, Example string
	Fields        []option
}

type uploadPage struct {
	contact.ListImport
	Columns                      []listColumn
	Encodings, Separators, Bases []option
	People                       []listPerson
	Percent                      int
	Live, Choose, Kept           bool
	RefusedRows                  int64
	Reasons                      []nameCount
	Refused                      []refusedRow
	Problem                      string
}

// findList answers when there is no such import.
func (s *site) findList(w http.ResponseWriter, r *http.Request) (im contact.ListImport, ok bool) {
	id, err := strconv.ParseInt(r.PathValue("id"), 10, 64)
	if err == nil {
		im, err = s.Store.ListImport(r.Context(), id)
	} else {
		err = contact.ErrNotFound
	}
	return im, !s.answered(w, r, err)
}

func (s *site) uploaded(w http.ResponseWriter, r *http.Request) {
	if im, ok := s.findList(w, r); ok {
		s.showList(w, r, http.StatusOK, "", im)
	}
}

func (s *site) showList(w http.ResponseWriter, r *http.Request, status int, problem string, im contact.ListImport) {
	p := uploadPage{ListImport: im, Live: im.State == contact.ImportChecking || im.State == contact.ImportRunning,
		Choose: im.State == contact.ImportUploaded || im.State == contact.ImportChecked || im.State == contact.ImportFailed,
		Kept:   im.State == contact.ImportRunning || im.State == contact.ImportFinished, RefusedRows: im.Counts.Refused + im.Counts.Warned}
	if im.Size > 0 {
		p.Percent = int(min(100, 100*im.Bytes/im.Size))
	}
	if p.Choose {
		if err := s.fillChoices(r, &p); err != nil {
			s.fail(w, r, err)
			return
		}
	}
	if !p.Live && p.RefusedRows > 0 {
		if err := s.fillRefusals(r, &p); err != nil {
			s.fail(w, r, err)
			return
		}
	}
	if partial(r) {
		if !p.Live { // the whole page has more to say then
			w.Header().Set("HX-Refresh", "true")
		}
		s.fragment(w, r, http.StatusOK, "list", "progress", p)
		return
	}
	s.show(w, r, status, "list", "contacts", problem, p)
}

// listPerson is the person that a row becomes, or why it does not become one.
type listPerson struct {
	contact.ListRow
	LanguageName string
	Why          string // "" for a row that is taken whole
	Refused      bool
}

// mostPreview is how many rows of a file are shown.
const mostPreview = 5

// fillChoices prepares how the file can be read, with its first rows.
func (s *site) fillChoices(r *http.Request, p *uploadPage) error {
	head, err := s.Store.ImportPart(r.Context(), p.ID, 0)
	if err != nil {
		return err
	}
	guessed, _, err := contactlist.Sniff(head)
	if err != nil {
		p.Problem = "unreadable"
		return nil
	}
	c := p.Choices
	if len(c.Columns) == 0 {
		c = guessed
	}
	reader := contactlist.NewReader(bytes.NewReader(head), c)
	var header, first []string
	for len(p.People) < mostPreview {
		record, err := reader.Read()
		if err != nil {
			break
		}
		values := slices.Clone(record.Fields[:min(len(record.Fields), contactlist.MaxColumns)])
		switch {
		case header == nil && record.Wrong != "":
			continue
		case header == nil:
			header = values
			continue
		case first == nil && record.Wrong == "":
			first = values
		}
		p.People = append(p.People, s.listPerson(r, record, c.Columns))
	}
	for i, name := range header {
		column := listColumn{Name: clipped(name)}
		if i < len(first) {
			column.Example = clipped(first[i])
		}
		chosen := contact.ListField("")
		if i < len(c.Columns) {
			chosen = c.Columns[i]
		}
		column.Fields = append(column.Fields, option{"", s.text(r, "lists.field.none"), chosen == ""})
		for _, f := range contact.ListFields() {
			column.Fields = append(column.Fields, option{string(f), s.text(r, "lists.field."+string(f)), f == chosen})
		}
		p.Columns = append(p.Columns, column)
	}
	for _, e := range contactlist.Encodings() {
		p.Encodings = append(p.Encodings, option{e, s.text(r, "lists.encoding."+e), e == c.Encoding})
	}
	for key, separator := range map[string]string{"comma": ",", "semicolon": ";", "tab": "\t"} {
		p.Separators = append(p.Separators, option{key, s.text(r, "lists.separator."+key), separator == c.Separator})
	}
	slices.SortFunc(p.Separators, func(a, b option) int { return strings.Compare(a.Value, b.Value) })
	words, err := s.Store.WordsInUse(r.Context())
	if err != nil {
		return err
	}
	p.Bases = append([]option{{"", s.text(r, "lists.basis.none"), c.Basis == ""}}, termOptions(words.Bases, s.lang(r))...)
	for i := range p.Bases {
		p.Bases[i].Selected = p.Bases[i].Value == string(c.Basis)
	}
	p.Choices = c
	return nil
}

func (s *site) listPerson(r *http.Request, record contactlist.Record, columns []contact.ListField) listPerson {
	row, refusal := contactlist.Row(record, columns)
	p := listPerson{ListRow: row}
	for _, value := range []*string{&p.Raw, &p.Email, &p.FirstName, &p.LastName, &p.Company} {
		*value = clipped(*value)
	}
	if p.Language != "" {
		p.LanguageName = s.Templates.LanguageName(s.lang(r), p.Language)
	}
	if refusal != nil {
		p.Why, p.Refused = s.refusalText(r, *refusal), !refusal.Kept
	}
	return p
}

// clipped is a value of a file as it is shown: on one line, and what turns the
// text around it left out.
func clipped(value string) string {
	value = strings.Map(func(c rune) rune {
		if contact.IsControl(c) {
			return ' '
		}
		return c
	}, strings.ToValidUTF8(value, "\ufffd"))
	if runes := []rune(value); len(runes) > 60 {
		return string(runes[:60]) + "…"
	}
	return value
}

// mostAgreed is the longest text that people are said to have agreed to.
const mostAgreed = 2000

// checkList reads how the file is written and what it states, and lets it be
// gone through without keeping anything.
func (s *site) checkList(w http.ResponseWriter, r *http.Request) {
	im, ok := s.findList(w, r)
	if !ok || !s.parse(w, r) {
		return
	}
	c, problem := s.readChoices(r)
	im.Choices = c
	if problem == "" && c.Basis != "" {
		words, err := s.Store.WordsInUse(r.Context())
		if err != nil {
			s.fail(w, r, err)
			return
		}
		if !slices.ContainsFunc(words.Bases, func(t contact.Word) bool { return t.Key == string(c.Basis) }) {
			problem = "lists.wrong.basis"
		}
	}
	if problem != "" {
		s.showList(w, r, http.StatusBadRequest, s.text(r, problem), im)
		return
	}
	names, err := s.namesOf(r, im.ID, c)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	c.Names = names
	s.goOn(w, r, im.ID, s.change(r, func(db Store) error {
		return db.StartImport(r.Context(), im.ID, contact.ImportChecking, c, actor(r), s.Now())
	}))
}

func (s *site) readChoices(r *http.Request) (c contact.ListChoices, problem string) {
	c = contact.ListChoices{Encoding: contactlist.UTF8, Separator: ";", Basis: gating.LegalBasis(r.PostForm.Get("basis")),
		Wording: strings.TrimSpace(r.PostForm.Get("wording")), Reason: strings.TrimSpace(r.PostForm.Get("reason")), Locale: s.lang(r)}
	if encoding := r.PostForm.Get("encoding"); slices.Contains(contactlist.Encodings(), encoding) {
		c.Encoding = encoding
	}
	switch r.PostForm.Get("separator") {
	case "comma":
		c.Separator = ","
	case "tab":
		c.Separator = "\t"
	}
	columns := r.PostForm["column"]
	for _, column := range columns[:min(len(columns), contactlist.MaxColumns)] {
		field := contact.ListField(column)
		if !slices.Contains(contact.ListFields(), field) {
			field = ""
		}
		if field != "" && slices.Contains(c.Columns, field) {
			problem = "lists.wrong.twice"
		}
		c.Columns = append(c.Columns, field)
	}
	switch {
	case !slices.Contains(c.Columns, contact.ListEmail):
		problem = "lists.wrong.email"
	case c.Basis != "" && !contact.IsKey(string(c.Basis)):
		problem = "lists.wrong.basis"
	case !contact.IsLine(c.Reason, contact.MaxComment):
		problem = "lists.wrong.reason"
	case utf8.RuneCountInString(c.Wording) > mostAgreed || !utf8.ValidString(c.Wording) || strings.ContainsRune(c.Wording, 0):
		problem = "lists.wrong.wording"
	case c.Basis == gating.BasisConsent && c.Wording == "":
		problem = "lists.wrong.wording"
	}
	return c, problem
}

// runList takes a list that was checked.
func (s *site) runList(w http.ResponseWriter, r *http.Request) {
	im, ok := s.findList(w, r)
	if ok {
		s.goOn(w, r, im.ID, s.Store.StartImport(r.Context(), im.ID, contact.ImportRunning, im.Choices, actor(r), s.Now()))
	}
}

// cancelList stops an import; people who are taken stay.
func (s *site) cancelList(w http.ResponseWriter, r *http.Request) {
	im, ok := s.findList(w, r)
	if !ok {
		return
	}
	var err error = contact.ErrImportLost
	if im.State != contact.ImportFinished && im.State != contact.ImportCancelled {
		err = s.change(r, func(db Store) error {
			return db.EndImport(r.Context(), im.ID, im.State, contact.ImportCancelled, "", s.Now())
		})
	}
	s.goOn(w, r, im.ID, err)
}

func (s *site) goOn(w http.ResponseWriter, r *http.Request, id int64, err error) {
	if err != nil && !errors.Is(err, contact.ErrImportLost) {
		s.fail(w, r, err)
		return
	}
	http.Redirect(w, r, fmt.Sprintf("/imports/%d", id), http.StatusSeeOther) // it shows the state, also when somebody was faster
}

// refused hands out the rows that were not taken as a list that can be mended and
// uploaded again: with the columns of the one they stood in, and the reason last.
func (s *site) refused(w http.ResponseWriter, r *http.Request) {
	im, ok := s.findList(w, r)
	if !ok {
		return
	}
	w.Header().Set("Content-Type", "text/csv; charset=utf-8")
	w.Header().Set("Content-Disposition", fmt.Sprintf(`attachment; filename="refused-%d.csv"`, im.ID))
	_, _ = io.WriteString(w, "\ufeff") // else a spreadsheet takes it for another encoding
	out := csv.NewWriter(w)
	out.Comma = rune(contactlist.Separator(im.Choices))
	names := s.columnNames(r, im.Choices)
	write := func(fields []string, last string) error {
		record := append(slices.Clone(fields), last)
		for i := range record {
			record[i] = legacycsv.Disarm(record[i])
		}
		return out.Write(record)
	}
	err := write(names, s.text(r, "lists.refused.column"))
	for f, broken := range s.Store.Refusals(r.Context(), im.ID) {
		if err = errors.Join(err, broken); err == nil {
			err = write(refusedFields(f.Row, im.Choices, len(names)), s.refusalText(r, f))
		}
		if err != nil {
			break
		}
	}
	if err != nil {
		s.Log.Error("refused rows could not be written", "import", im.ID, "error", err)
		return
	}
	out.Flush() // whoever has hung up needs no file
}

// columnNames are those of the file, or of what its columns hold where the file
// was uploaded before they were kept.
func (s *site) columnNames(r *http.Request, c contact.ListChoices) []string {
	if len(c.Names) > 0 {
		return c.Names
	}
	var names []string
	for _, field := range c.Columns {
		if field == "" {
			names = append(names, "")
			continue
		}
		names = append(names, s.text(r, "lists.field."+string(field)))
	}
	return names
}

// refusedFields are the values of a refused row, as many as there are columns:
// those too many stand in the last, and a row that is none is cut at the
// separators.
func refusedFields(row string, c contact.ListChoices, columns int) []string {
	c.Encoding = contactlist.UTF8
	separator := string(contactlist.Separator(c))
	record, err := contactlist.NewReader(strings.NewReader(row+"\n"), c).Read()
	fields := slices.Clone(record.Fields)
	if err != nil || record.Wrong != "" {
		fields = strings.Split(row, separator)
	}
	if columns > 0 && len(fields) > columns {
		fields = append(fields[:columns-1:columns-1], strings.Join(fields[columns-1:], separator))
	}
	for len(fields) < columns {
		fields = append(fields, "")
	}
	return fields
}

// refusalText says where a row stood and why it was not taken.
func (s *site) refusalText(r *http.Request, f contact.ListRefusal) string {
	reason := s.text(r, "lists.refused."+f.Reason)
	if f.Column != "" {
		return s.text(r, "lists.refused.where.column", s.number(r, f.Line), s.text(r, "lists.field."+f.Column), reason)
	}
	return s.text(r, "lists.refused.where", s.number(r, f.Line), reason)
}

// fillRefusals says why rows were not taken, and shows the first.
func (s *site) fillRefusals(r *http.Request, p *uploadPage) error {
	reasons, first, err := s.Store.RefusalReasons(r.Context(), p.ID, mostPreview)
	if err != nil {
		return err
	}
	for _, reason := range reasons {
		p.Reasons = append(p.Reasons, nameCount{s.text(r, "lists.refused."+reason.Reason), reason.Rows})
	}
	for _, f := range first {
		p.Refused = append(p.Refused, refusedRow{clipped(f.Row), s.refusalText(r, f)})
	}
	return nil
}

type refusedRow struct{ Row, Why string }

// namesOf reads the names of the file's columns as it was chosen to be read.
func (s *site) namesOf(r *http.Request, id int64, c contact.ListChoices) ([]string, error) {
	head, err := s.Store.ImportPart(r.Context(), id, 0)
	if err != nil {
		return nil, err
	}
	record, err := contactlist.NewReader(bytes.NewReader(head), c).Read()
	if err != nil || record.Wrong != "" {
		return nil, nil // the check says so
	}
	var names []string
	for _, name := range record.Fields[:min(len(record.Fields), contactlist.MaxColumns)] {
		names = append(names, clipped(name))
	}
	return names, nil
}
