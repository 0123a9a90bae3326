// Package contactlist answers what a list of contacts in a CSV file says, and
// takes it portion by portion. It guesses how the file is written and shows the
// guess; it never guesses a consent.
package contactlist

import (
	"bytes"
	"encoding/csv"
	"errors"
	"io"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/language"

	"github.com/jatak-mail/jatak/internal/contact"
)

// The encodings.
const (
	UTF8        = "utf-8"
	Windows1252 = "windows-1252"
)

// Bounds of a file and its rows.
const (
	MaxFile    = 100 << 20
	MaxColumns = 200
	maxRow     = 64 << 10
	maxText    = 200  // characters of a value
	maxRaw     = 1000 // of a row that is shown
)

// ErrNoList says that a file holds no list that can be read.
var ErrNoList = errors.New("the file is no CSV with a row of column names")

// Sniff guesses from a file's beginning how it is written, and returns its
// column names.
func Sniff(head []byte) (c contact.ListChoices, header []string, err error) {
	if bytes.IndexByte(head, 0) >= 0 || bytes.HasPrefix(head, []byte("\xff\xfe")) || bytes.HasPrefix(head, []byte("\xfe\xff")) {
		return c, nil, ErrNoList
	}
	c.Encoding = Windows1252
	text := head
	for cut := 0; cut < utf8.UTFMax && cut < len(text); cut++ { // the end may be within a character
		if utf8.Valid(text[:len(text)-cut]) {
			c.Encoding = UTF8
			break
		}
	}
	first, _, _ := bytes.Cut(head, []byte("\n"))
	c.Separator = ";"
	for _, s := range []string{",", "\t"} {
		if bytes.Count(first, []byte(s)) > bytes.Count(first, []byte(c.Separator)) {
			c.Separator = s
		}
	}
	r := NewReader(bytes.NewReader(head), c)
	header, err = r.Read()
	if err != nil || len(header) > MaxColumns {
		return c, nil, ErrNoList
	}
	header = slices.Clone(header)
	for _, name := range header {
		field := guess(name)
		if field != "" && slices.Contains(c.Columns, field) {
			field = ""
		}
		c.Columns = append(c.Columns, field)
	}
	return c, header, nil
}

// guess returns what a column of that name holds, in Danish or English.
func guess(name string) contact.ListField {
	switch strings.NewReplacer(" ", "", "-", "", "_", "", ".", "").Replace(strings.ToLower(strings.TrimSpace(name))) {
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

// Reader reads the records of a file.
type Reader struct {
	csv *csv.Reader
	raw *counter
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
	var text io.Reader = raw
	if c.Encoding == Windows1252 {
		text = charmap.Windows1252.NewDecoder().Reader(raw)
	}
	reader := csv.NewReader(&unmarked{r: text})
	reader.FieldsPerRecord, reader.LazyQuotes, reader.ReuseRecord = -1, true, true
	if separator, _ := utf8.DecodeRuneInString(c.Separator); separator == ',' || separator == '\t' || separator == ';' {
		reader.Comma = separator
	}
	return &Reader{reader, raw}
}

// unmarked leaves out the byte order mark.
type unmarked struct {
	r     io.Reader
	begun bool
}

func (u *unmarked) Read(p []byte) (int, error) {
	if u.begun || len(p) < 3 {
		return u.r.Read(p)
	}
	u.begun = true
	n, err := io.ReadFull(u.r, p[:3])
	if errors.Is(err, io.ErrUnexpectedEOF) {
		err = nil
	}
	if n == 3 && string(p[:3]) == "\xef\xbb\xbf" {
		return u.r.Read(p)
	}
	return n, err
}

// Read returns the next record, which the next call overwrites, or io.EOF. A
// record that is too long is ErrNoList: a quote was opened and not closed.
func (r *Reader) Read() ([]string, error) {
	record, err := r.csv.Read()
	if err != nil {
		if errors.Is(err, io.EOF) {
			return nil, err
		}
		var parse *csv.ParseError
		if errors.As(err, &parse) {
			return nil, ErrNoList
		}
		return nil, err
	}
	size := 0
	for _, field := range record {
		size += len(field)
	}
	if size > maxRow {
		return nil, ErrNoList
	}
	return record, nil
}

// Bytes is how much of the file was read.
func (r *Reader) Bytes() int64 { return r.raw.n }

// Row returns the person that a record is about, or why it is refused. One
// that is kept lacks only the column named.
func Row(line int64, record []string, columns []contact.ListField) (row contact.ListRow, refusal *contact.ListRefusal) {
	row = contact.ListRow{Line: line, Raw: raw(record)}
	refuse := func(column contact.ListField, reason string, kept bool) {
		if refusal == nil || refusal.Kept {
			refusal = &contact.ListRefusal{Line: line, Column: string(column), Reason: reason, Kept: kept, Row: row.Raw}
		}
	}
	for i, field := range columns {
		if field == "" || i >= len(record) {
			continue
		}
		value := strings.Join(strings.Fields(record[i]), " ")
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
			if _, err := time.LoadLocation(value); err != nil || value == "Local" {
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

// raw makes a record fit to be shown.
func raw(record []string) string {
	text := strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(strings.Join(record, ";"), "\ufffd"))
	if runes := []rune(text); len(runes) > maxRaw {
		return string(runes[:maxRaw]) + "…"
	}
	return text
}
