// Package contactlist answers what a list of contacts in a CSV file says, and
// takes it portion by portion. It guesses how the file is written and shows the
// guess; it never guesses a consent.
package contactlist

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/encoding/charmap"
	utf16 "golang.org/x/text/encoding/unicode"
	"golang.org/x/text/language"

	"github.com/jatak-mail/jatak/internal/contact"
	"github.com/jatak-mail/jatak/internal/records"
)

// The encodings.
const (
	UTF8        = "utf-8"
	Windows1252 = "windows-1252"
	UTF16       = "utf-16" // either order, as its mark says
)

// Encodings lists them.
func Encodings() []string { return []string{UTF8, Windows1252, UTF16} }

// Bounds of a file and its rows.
const (
	MaxFile    = 100 << 20
	MaxColumns = 200
	maxText    = 200 // characters of a value
)

// What a file can be that is no list.
var (
	ErrNoList   = errors.New("the file is no CSV with a row of column names")
	ErrNoHeader = errors.New("the first row of the file holds an address where the column names should stand")
)

// Sniff guesses from a file's beginning how it is written, and returns its
// column names.
func Sniff(head []byte) (c contact.ListChoices, header []string, err error) {
	if c.Encoding = encodingOf(head); c.Encoding == "" {
		return c, nil, ErrNoList
	}
	for _, separator := range []string{";", ",", "\t"} {
		try := c
		try.Separator = separator
		first, err := NewReader(bytes.NewReader(head), try).Read()
		if err == nil && first.Wrong == "" && len(first.Fields) > len(header) {
			c, header = try, slices.Clone(first.Fields)
		}
	}
	if len(header) == 0 || len(header) > MaxColumns {
		return c, nil, ErrNoList
	}
	for _, name := range header {
		if _, err := contact.ParseAddress(visible(name)); err == nil {
			return c, nil, ErrNoHeader
		}
		field := guess(name)
		if field != "" && slices.Contains(c.Columns, field) {
			field = ""
		}
		c.Columns = append(c.Columns, field)
	}
	return c, header, nil
}

// encodingOf returns "" for what is no text.
func encodingOf(head []byte) string {
	if bytes.HasPrefix(head, []byte("\xff\xfe")) || bytes.HasPrefix(head, []byte("\xfe\xff")) {
		return UTF16
	}
	if bytes.IndexByte(head, 0) >= 0 {
		return ""
	}
	for cut := 1; cut < utf8.UTFMax && cut <= len(head); cut++ {
		if end := head[len(head)-cut:]; utf8.RuneStart(end[0]) && !utf8.FullRune(end) { // it is within a character
			head = head[:len(head)-cut]
			break
		}
	}
	if utf8.Valid(head) {
		return UTF8
	}
	return Windows1252
}

// guess returns what a column of that name holds, in Danish or English.
func guess(name string) contact.ListField {
	switch strings.NewReplacer(" ", "", "-", "", "_", "", ".", "").Replace(strings.ToLower(visible(name))) {
	case "email", "mail", "emailadresse", "mailadresse", "emailaddress", "epost":
		return contact.ListEmail
	case "fornavn", "firstname", "givenname":
		return contact.ListFirstName
	case "efternavn", "lastname", "surname", "familyname":
		return contact.ListLastName
	case "navn", "name", "fuldenavn", "fullname", "kontaktperson":
		return contact.ListName
	case "firma", "firmanavn", "virksomhed", "company", "companyname", "organisation", "organization":
		return contact.ListCompany
	case "tidszone", "timezone":
		return contact.ListTimeZone
	case "sprog", "language", "lang", "sprogkode":
		return contact.ListLanguage
	}
	return ""
}

// Record is a row of a file, or a line that is none.
type Record struct {
	Line   int64    // where it begins; the file's first is 1
	Lines  int      // that it takes
	Fields []string // the next call overwrites them
	Wrong  string   // why it is no row: a reason; "" when it is one
	Raw    string   // as it stands in the file
}

// WrongColumns is the reason of a row with more values than there are columns.
// The others are the kinds of records.Fault.
const WrongColumns = "columns"

// Reader reads the records of a file. A quote that is opened and not closed
// costs its own line, not those after it.
type Reader struct {
	records *records.Splitter
	raw     *counter
	columns int // of the first record, which names them; 0 before it
}

type counter struct {
	r io.Reader
	n int64
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	return n, err
}

// NewReader reads a file that is written so.
func NewReader(r io.Reader, c contact.ListChoices) *Reader {
	raw := &counter{r: r}
	begin := bufio.NewReader(raw)
	if mark, _ := begin.Peek(3); string(mark) == "\xef\xbb\xbf" { // an error comes again when it is read
		_, _ = begin.Discard(3)
	}
	var text io.Reader = begin
	switch c.Encoding {
	case Windows1252:
		text = charmap.Windows1252.NewDecoder().Reader(begin)
	case UTF16:
		text = utf16.UTF16(utf16.LittleEndian, utf16.UseBOM).NewDecoder().Reader(begin)
	}
	return &Reader{records: records.New(&newlines{r: text}, Separator(c)), raw: raw}
}

// Separator returns what stands between the columns of a list: a comma or a tab
// where that was chosen, else a semicolon.
func Separator(c contact.ListChoices) byte {
	if c.Separator == "," || c.Separator == "\t" {
		return c.Separator[0]
	}
	return ';'
}

// newlines makes CR, and CR LF, LF.
type newlines struct {
	r     io.Reader
	after bool // a CR
}

func (n *newlines) Read(p []byte) (int, error) {
	got, err := n.r.Read(p)
	kept := 0
	for _, b := range p[:got] {
		second := b == '\n' && n.after
		if n.after = b == '\r'; n.after {
			b = '\n'
		}
		if !second {
			p[kept] = b
			kept++
		}
	}
	return kept, err
}

// Read returns the next record, the column names first, or io.EOF.
func (r *Reader) Read() (Record, error) {
	fields, lines, bad, err := r.records.Look()
	if err == nil && r.records.Number() == 1 && separatorLine(r.records.Raw(1)) {
		r.records.Drop(1)
		fields, lines, bad, err = r.records.Look()
	}
	if err != nil {
		return Record{}, err
	}
	record := Record{Line: int64(r.records.Number()), Lines: lines, Fields: fields}
	switch {
	case bad != nil:
		record.Wrong = string(bad.Kind)
	case r.columns == 0:
		r.columns = len(fields)
	case r.records.Swallows(lines, r.columns):
		record.Wrong = string(records.NeverClosed)
	case len(fields) > r.columns && strings.TrimSpace(strings.Join(fields[r.columns:], "")) != "":
		record.Wrong = WrongColumns
	}
	if record.Wrong != "" {
		record.Lines = 1 // what follows is read anew
	}
	record.Raw = r.records.Raw(record.Lines)
	r.records.Drop(record.Lines)
	return record, nil
}

// separatorLine reports whether a line tells a spreadsheet what separates the
// columns, such as sep=;.
func separatorLine(line string) bool {
	line = strings.ToLower(strings.Trim(line, `"`))
	return len(line) == len("sep=;") && strings.HasPrefix(line, "sep=")
}

// Bytes is how much of the file was read.
func (r *Reader) Bytes() int64 { return r.raw.n }

// Row returns the person that a record is about, or why it is refused. One
// that is kept lacks only the column named.
func Row(record Record, columns []contact.ListField) (row contact.ListRow, refusal *contact.ListRefusal) {
	row = contact.ListRow{Line: record.Line, Raw: storable(record.Raw)}
	refuse := func(column contact.ListField, reason string, kept bool) {
		if refusal == nil || refusal.Kept {
			refusal = &contact.ListRefusal{Line: record.Line, Column: string(column), Reason: reason, Kept: kept, Row: row.Raw}
		}
	}
	if record.Wrong != "" {
		refuse("", record.Wrong, false)
		return row, refusal
	}
	for i, field := range columns {
		if field == "" || i >= len(record.Fields) {
			continue
		}
		value := visible(record.Fields[i])
		switch {
		case value == "":
			continue
		case !utf8.ValidString(value):
			refuse(field, "encoding", false)
			continue
		case field != contact.ListEmail && !contact.IsLine(value, maxText):
			refuse(field, "text", false)
			continue
		}
		switch field {
		case contact.ListEmail:
			address, err := contact.ParseAddress(value)
			if err != nil {
				refuse(field, "address", false)
				continue
			}
			row.Email, row.Address = value, address
		case contact.ListFirstName:
			row.FirstName = value
		case contact.ListLastName:
			row.LastName = value
		case contact.ListName:
			if cut := strings.LastIndexByte(value, ' '); cut > 0 {
				row.FirstName, row.LastName = value[:cut], value[cut+1:]
			} else {
				row.FirstName = value
			}
		case contact.ListCompany:
			row.Company = value
		case contact.ListLanguage:
			if row.Language = languageCode(value); row.Language == "" {
				refuse(field, "language", true)
			}
		case contact.ListTimeZone:
			if !contact.IsZone(value) {
				refuse(field, "time_zone", true)
				continue
			}
			row.TimeZone = value
		}
	}
	if row.Address == "" {
		refuse(contact.ListEmail, "no_address", false)
	}
	return row, refusal
}

func languageCode(value string) string {
	switch strings.ToLower(value) {
	case "dansk", "danish":
		return "da"
	case "engelsk", "english":
		return "en"
	}
	tag, err := language.Parse(value)
	if err != nil {
		return ""
	}
	return strings.ToLower(tag.String())
}

// visible returns a value on one line, without what nobody sees at its ends: what
// is pasted into a cell often brings marks of width or direction along.
func visible(value string) string {
	value = strings.Join(strings.Fields(value), " ")
	return strings.TrimFunc(value, func(r rune) bool { return unicode.Is(unicode.Cf, r) || unicode.IsSpace(r) })
}

// storable returns a record as the database can keep it.
func storable(record string) string {
	return strings.ReplaceAll(strings.ToValidUTF8(record, "\ufffd"), "\x00", "\ufffd")
}
