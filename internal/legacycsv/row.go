package legacycsv

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/jatak-mail/jatak/internal/contact"
	"github.com/jatak-mail/jatak/internal/records"
)

// The longest values, in characters.
const (
	maxID    = 100
	maxName  = 200
	maxEmail = 320
	maxList  = 4000
	maxWord  = 35 // a language tag, RFC 5646 section 4.4.1
)

// table reads one file of the export, from its header on.
type table struct {
	*records.Splitter
	source  io.Closer
	file    string
	columns []string       // the header, in lower case
	index   map[string]int // column name to field
	notes   []string

	seed maphash.Seed
	seen map[uint64]struct{} // hashes of the keys of accepted rows

	zones map[string]bool // names of time zones, and whether there is such a zone
}

func openTable(dir string, f format) (*table, error) {
	file, err := os.Open(filepath.Join(dir, f.file))
	if err != nil {
		return nil, err
	}
	t, err := newTable(file, f)
	if err != nil {
		_ = file.Close()
		return nil, fmt.Errorf("%s: %w", f.file, err)
	}
	t.source = file
	return t, nil
}

func (t *table) close() { _ = t.source.Close() } // opened for reading: nothing to lose

func newTable(source io.Reader, f format) (*table, error) {
	text := bufio.NewReaderSize(source, 64<<10)
	if err := skipMark(text); err != nil {
		return nil, err
	}
	t := &table{
		Splitter: records.New(text, ','),
		file:     f.file,
		index:    make(map[string]int),
		seed:     maphash.MakeSeed(),
		seen:     make(map[uint64]struct{}),
		zones:    make(map[string]bool),
	}
	return t, t.readHeader(f)
}

// skipMark skips the byte order mark of UTF-8 and refuses those of UTF-16.
func skipMark(text *bufio.Reader) error {
	mark, err := text.Peek(3)
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	switch {
	case bytes.Equal(mark, []byte("\xef\xbb\xbf")):
		_, err = text.Discard(3)
		return err
	case bytes.HasPrefix(mark, []byte("\xff\xfe")), bytes.HasPrefix(mark, []byte("\xfe\xff")):
		return errUTF16
	}
	return nil
}

var errUTF16 = errors.New(`the file is UTF-16; save it as UTF-8 (in Excel: "CSV UTF-8")`)

func (t *table) readHeader(f format) error {
	fields, lines, bad, err := t.Look()
	switch {
	case errors.Is(err, io.EOF):
		return errors.New("the file is empty; its first row must name the columns " + strings.Join(f.all(), ","))
	case err != nil:
		return err
	}
	raw := t.Raw(lines)
	switch {
	case strings.Contains(raw, "\x00"):
		return errUTF16
	case !utf8.ValidString(raw):
		return errors.New(`the header is not UTF-8; save the file as UTF-8 (in Excel: "CSV UTF-8")`)
	case strings.Contains(raw, "\r"):
		return errors.New("the lines end in CR alone; save the file with LF or CRLF")
	case bad != nil:
		return errors.New("the header cannot be read: " + faultText(bad.Kind))
	}
	for i, name := range fields {
		name = strings.ToLower(strings.TrimSpace(name))
		t.columns = append(t.columns, name)
		if _, twice := t.index[name]; twice {
			if name == "" {
				continue
			}
			return fmt.Errorf("the header names the column %q twice; take one out", clip(name, 40))
		}
		t.index[name] = i
		if !slices.Contains(f.all(), name) {
			t.notes = append(t.notes, fmt.Sprintf("%s: the column %q is not known and is ignored", t.file, clip(name, 40)))
		}
	}
	t.Drop(lines)
	return t.checkColumns(f, raw)
}

func (t *table) checkColumns(f format, header string) error {
	var missing []string
	for _, name := range f.required {
		if _, ok := t.index[name]; !ok {
			missing = append(missing, name)
		}
	}
	if len(missing) > 0 {
		mend := "name it in the header row, whose columns are " + strings.Join(f.all(), ",")
		switch {
		case strings.Contains(header, ";") && len(t.columns) == 1:
			mend = "the columns are separated by semicolons; save the file with commas"
		case strings.Contains(header, "\t") && len(t.columns) == 1:
			mend = "the columns are separated by tabs; save the file with commas"
		}
		return fmt.Errorf("the column %s is missing; %s", strings.Join(missing, ", "), mend)
	}
	for _, name := range f.optional {
		if _, ok := t.index[name]; !ok {
			t.notes = append(t.notes, fmt.Sprintf("%s: the column %q is not there and reads as blank", t.file, name))
		}
	}
	return nil
}

func (f format) all() []string { return slices.Concat(f.required, f.optional, f.extra) }

// next looks at the next row; nil at the end of the file. A row that is not
// even a row comes with its refusal. settle must follow.
func (t *table) next() (*row, error) {
	fields, lines, bad, err := t.Look()
	if errors.Is(err, io.EOF) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read %s after line %d: %w", t.file, t.Lines(), err)
	}
	r := &row{table: t, line: t.Number(), lines: lines, fields: fields}
	switch raw := t.Raw(lines); {
	case bad != nil:
		column := ""
		if bad.Field >= 0 && bad.Field < len(t.columns) {
			column = t.columns[bad.Field]
		}
		r.giveUp(column, faultText(bad.Kind))
	case len(fields) != len(t.columns):
		r.giveUp("", fmt.Sprintf("The row has %d columns and the header has %d. Put a field that holds a comma in quotes.", len(fields), len(t.columns)))
	case t.Swallows(lines, len(t.columns)):
		r.giveUp("", "A quoted field of this row seems to hold other rows. "+neverClosed)
	case !utf8.ValidString(raw):
		r.refuse("", `The row is not UTF-8. Save the file as UTF-8 (in Excel: "CSV UTF-8").`)
	}
	return r, nil
}

const neverClosed = "The quote that opens this field is never closed. Close it, or take it out."

// faultText says what is wrong with lines that are no row, and the mend.
func faultText(kind records.Kind) string {
	return map[records.Kind]string{
		records.LongLine:       fmt.Sprintf("The line is longer than %d bytes. Shorten it.", records.MaxBytes),
		records.TextAfterQuote: `Text follows the quote that closes this field. Double a quote inside a field: "Hans ""Bassen"" Holm".`,
		records.NeverClosed:    neverClosed,
	}[kind]
}

// settle takes the row's lines out of the file and returns its refusal, if any.
func (t *table) settle(r *row) *Refusal {
	if r.refusal == nil || r.refusal.Kept {
		t.checkTwice(r)
	}
	if r.refusal != nil {
		r.refusal.Row = printable(t.Raw(r.lines))
	}
	t.Drop(r.lines)
	return r.refusal
}

// checkTwice refuses the second of two rows with one key. Only rows that were
// taken count: a mended copy of a refused row is welcome.
func (t *table) checkTwice(r *row) {
	if r.uniqueKey == "" {
		return
	}
	hash := maphash.String(t.seed, r.uniqueKey)
	if _, twice := t.seen[hash]; twice {
		r.refusal = nil
		r.refuse(r.uniqueColumn, fmt.Sprintf("An earlier row has the same %s. Keep one of them.", r.uniqueColumn))
		return
	}
	t.seen[hash] = struct{}{}
}

// row is one record while it is being read. The first thing wrong with it is
// its refusal; what is read after that does not matter.
type row struct {
	table   *table
	line    int
	lines   int
	fields  []string
	refusal *Refusal

	uniqueColumn, uniqueKey string
}

func (r *row) refuse(column, reason string) {
	if r.refusal == nil {
		r.refusal = &Refusal{File: r.table.file, Line: r.line, Column: column, Reason: reason}
	}
}

// giveUp refuses the row's first line alone, because a quote gone astray may
// have made the others look like a part of it. They are read again.
func (r *row) giveUp(column, reason string) {
	r.refuse(column, reason)
	r.lines = 1
}

// text returns the trimmed value; line breaks and tabs in it become spaces.
// An optional column that is not there is blank.
func (r *row) text(column string, most int) string {
	i, ok := r.table.index[column]
	if !ok || r.refusal != nil {
		return ""
	}
	value := r.fields[i]
	if strings.ContainsFunc(value, unicode.IsControl) {
		value = strings.NewReplacer("\r\n", " ", "\n", " ", "\t", " ").Replace(value)
		if at := strings.IndexFunc(value, unicode.IsControl); at >= 0 {
			control, _ := utf8.DecodeRuneInString(value[at:])
			r.refuse(column, fmt.Sprintf("The value holds the control character %U. Take it out.", control))
			return ""
		}
	}
	value = strings.TrimSpace(value)
	if len(value) > most && utf8.RuneCountInString(value) > most {
		r.giveUp(column, fmt.Sprintf("The value is longer than %d characters. Shorten it.", most))
		return ""
	}
	return value
}

func (r *row) required(column string, most int) string {
	value := r.text(column, most)
	if value == "" {
		r.refuse(column, fmt.Sprintf("The %s is blank. Fill it in.", column))
	}
	return value
}

// key is a required id that no two rows may share.
func (r *row) key(column string) string {
	value := r.required(column, maxID)
	r.unique(column, value)
	return value
}

func (r *row) unique(column, key string) { r.uniqueColumn, r.uniqueKey = column, key }

func (r *row) flag(column string) bool {
	switch value := r.text(column, maxName); value {
	case "", "0":
		return false
	case "1":
		return true
	default:
		r.refuse(column, fmt.Sprintf("The value is %q. Write 0 for no or 1 for yes.", clip(value, 40)))
		return false
	}
}

// zone reads the name of a time zone.
func (r *row) zone(column string) string {
	name := r.text(column, maxName)
	if name == "" {
		return ""
	}
	known, asked := r.table.zones[name]
	if !asked {
		known = contact.IsZone(name)
		r.table.zones[name] = known
	}
	if !known {
		r.giveUp(column, "The value is no time zone of the IANA list. Write one like Europe/Copenhagen, or leave it blank.")
		return ""
	}
	return name
}

func (r *row) list(column string) []string {
	var list []string
	for value := range strings.SplitSeq(r.text(column, maxList), ";") {
		value = strings.TrimSpace(value)
		if value == "" || slices.Contains(list, value) {
			continue
		}
		if utf8.RuneCountInString(value) > maxName {
			r.giveUp(column, fmt.Sprintf("One of the values is longer than %d characters. Shorten it, or separate the values with semicolons.", maxName))
			return nil
		}
		list = append(list, value)
	}
	return list
}

func (r *row) status(column string) string {
	value := strings.ToLower(r.text(column, maxName))
	switch {
	case isReal(value):
	case value == "test", value == "draft", value == "duplicate", value == "blocked":
	default:
		r.refuse(column, fmt.Sprintf("The value is %q. Write sent, opened, clicked, bounced, test, draft, duplicate or blocked.", clip(value, 40)))
	}
	return value
}

// time reads a moment, in UTC where the value names no zone. It may be blank
// where nothing was really sent.
func (r *row) time(column string, required bool) time.Time {
	value := r.text(column, maxName)
	if value == "" && !required {
		return time.Time{}
	}
	for _, layout := range []string{time.DateTime, time.RFC3339, time.DateOnly} {
		if at, err := time.Parse(layout, value); err == nil {
			return at.UTC()
		}
	}
	r.refuse(column, fmt.Sprintf("The value is %q. Write the time as 2006-01-02 15:04:05 (UTC), 2006-01-02T15:04:05+01:00 or 2006-01-02.", clip(value, 40)))
	return time.Time{}
}

// address returns the address as it was written. One that cannot be mailed
// does not cost the contact its row: it is kept, and the refusal says so.
func (r *row) address(column string) string {
	value := r.text(column, records.MaxBytes)
	if r.refusal != nil {
		return ""
	}
	if utf8.RuneCountInString(value) > maxEmail {
		if r.lines > 1 {
			r.giveUp(column, fmt.Sprintf("The value is longer than %d characters and goes over several lines. Close its quote.", maxEmail))
			return ""
		}
		// Cut inside a domain it might be somebody else's address: the space
		// makes it nobody's.
		value = strings.TrimSuffix(clip(value, maxEmail), "…") + " …"
		r.keep(column, fmt.Sprintf("The address is longer than %d characters.", maxEmail))
		return value
	}
	if wrong := mailable(value); wrong != "" {
		r.keep(column, sentence(wrong))
	}
	return value
}

func (r *row) keep(column, reason string) {
	r.refuse(column, reason+" The contact is kept and will not be mailed; correct the address to change that.")
	r.refusal.Kept = true
}
