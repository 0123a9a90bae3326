package contactlist_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/jatak-mail/jatak/internal/contact"
	"github.com/jatak-mail/jatak/internal/contactlist"
)

var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

// shelf keeps one import in memory, as the database does, in parts of a size.
// Before and after each portion it asks whether it still stands.
type shelf struct {
	im       contact.ListImport
	file     []byte
	part     int
	rows     []contact.ListRow
	refusals []contact.ListRefusal
	portions int
	before   func(portion int) error
	after    func(portion int) error
}

func (s *shelf) ClaimImport(context.Context, time.Time, time.Time) (contact.ListImport, bool, error) {
	return s.im, s.im.State == contact.ImportRunning || s.im.State == contact.ImportChecking, nil
}

func (s *shelf) ImportPart(_ context.Context, _ int64, part int) ([]byte, error) {
	from := min(part*s.part, len(s.file))
	return s.file[from:min(from+s.part, len(s.file))], nil
}

func (s *shelf) TakeChunk(_ context.Context, c contact.ListChunk) error {
	s.portions++
	if s.before != nil {
		if err := s.before(s.portions); err != nil {
			return err
		}
	}
	if c.Before != s.im.Rows {
		return contact.ErrImportLost
	}
	s.rows, s.refusals = append(s.rows, c.Rows...), append(s.refusals, c.Refusals...)
	s.im.Rows, s.im.Bytes = c.Through, c.Bytes
	if s.after != nil {
		return s.after(s.portions)
	}
	return nil
}

func (s *shelf) EndImport(_ context.Context, _ int64, from, to contact.ImportState, problem string, _ time.Time) error {
	if s.im.State != from {
		return contact.ErrImportLost
	}
	s.im.State, s.im.Problem = to, problem
	return nil
}

func (s *shelf) step(t *testing.T) error {
	t.Helper()
	runner := &contactlist.Runner{Store: s, Digest: func(a contact.Address) []byte { return []byte(a) }, Now: func() time.Time { return noon }, Log: slog.New(slog.DiscardHandler)}
	_, err := runner.Step(t.Context())
	return err
}

func newShelf(file string, c contact.ListChoices) *shelf {
	return &shelf{file: []byte(file), part: 7, im: contact.ListImport{ID: 1, State: contact.ImportRunning, Choices: c}}
}

// utf16Of writes text with a mark, the low byte first or last.
func utf16Of(text string, big bool) string {
	var b []byte
	for _, unit := range utf16.Encode([]rune("\ufeff" + text)) {
		if big {
			b = append(b, byte(unit>>8), byte(unit))
		} else {
			b = append(b, byte(unit), byte(unit>>8))
		}
	}
	return string(b)
}

// latin writes text in Windows-1252, of which it needs the letters that Latin 1
// has.
func latin(text string) string {
	var b []byte
	for _, r := range text {
		b = append(b, byte(r))
	}
	return string(b)
}

func TestAListReadsTheSameHoweverItWasSaved(t *testing.T) {
	t.Parallel()
	const text = "E-mail;Fornavn;Efternavn;Firma;Sprog;Tidszone\nbo@example.org;Bø;Ågård;Æbler & Co;Dansk;Europe/Copenhagen\n\npia@example.org;Pia;\"Holm; jr.\";;en;\n"
	want := []contact.ListRow{
		{Email: "bo@example.org", Address: "bo@example.org", FirstName: "Bø", LastName: "Ågård", Company: "Æbler & Co", Language: "da", TimeZone: "Europe/Copenhagen"},
		{Email: "pia@example.org", Address: "pia@example.org", FirstName: "Pia", LastName: "Holm; jr.", Language: "en"},
	}
	quoted := strings.ReplaceAll(strings.ReplaceAll(text, `"Holm; jr."`, "Holm# jr."), ";", ",")
	quoted = strings.ReplaceAll(quoted, "Holm# jr.", "Holm; jr.")
	tabs := strings.ReplaceAll(quoted, ",", "\t")
	allQuoted := `"` + strings.NewReplacer("\n\n", "\"\n\n\"", "\n", "\"\n\"", "\t", `","`).Replace(strings.TrimRight(tabs, "\n")) + "\"\n"
	for name, test := range map[string]struct{ file, encoding, separator string }{
		"UTF-8":                           {text, contactlist.UTF8, ";"},
		"UTF-8 with a mark":               {"\ufeff" + text, contactlist.UTF8, ";"},
		"UTF-8 with a mark and CRLF":      {"\ufeff" + strings.ReplaceAll(text, "\n", "\r\n"), contactlist.UTF8, ";"},
		"lines that end in CR":            {strings.ReplaceAll(text, "\n", "\r"), contactlist.UTF8, ";"},
		"no line end at the end":          {strings.TrimRight(text, "\n"), contactlist.UTF8, ";"},
		"Windows-1252":                    {latin(text), contactlist.Windows1252, ";"},
		"UTF-16, low byte first":          {utf16Of(text, false), contactlist.UTF16, ";"},
		"UTF-16, high byte first, CRLF":   {utf16Of(strings.ReplaceAll(text, "\n", "\r\n"), true), contactlist.UTF16, ";"},
		"UTF-16 with tabs":                {utf16Of(tabs, false), contactlist.UTF16, "\t"},
		"commas":                          {quoted, contactlist.UTF8, ","},
		"tabs":                            {tabs, contactlist.UTF8, "\t"},
		"all in quotes":                   {allQuoted, contactlist.UTF8, ","},
		"a line that names the separator": {"sep=;\r\n" + text, contactlist.UTF8, ";"},
		"blank lines before and after":    {"\n\r\n" + text + "\n\n\n", contactlist.UTF8, ";"},
		"blank columns at the end":        {strings.ReplaceAll(strings.ReplaceAll(text, "\n", ";;\n"), "\n;;\n", "\n\n"), contactlist.UTF8, ";"},
		"values that end early":           {strings.ReplaceAll(text, ";en;\n", ";en\n"), contactlist.UTF8, ";"},
		"marks of direction around it":    {strings.ReplaceAll(text, "bo@example.org", "\u202abo@example.org\u202c\u200b"), contactlist.UTF8, ";"},
		"white space around it":           {strings.ReplaceAll(text, "bo@example.org;Bø", " bo@example.org\u00a0;\tBø "), contactlist.UTF8, ";"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			choices, header, err := contactlist.Sniff([]byte(test.file))
			if err != nil || choices.Encoding != test.encoding || choices.Separator != test.separator || header[0] != "E-mail" {
				t.Fatalf("it is taken for %+v, %q, %v", choices, header, err)
			}
			wantColumns := []contact.ListField{contact.ListEmail, contact.ListFirstName, contact.ListLastName, contact.ListCompany, contact.ListLanguage, contact.ListTimeZone}
			if diff := cmp.Diff(wantColumns, choices.Columns[:len(wantColumns)]); diff != "" {
				t.Errorf("the columns: %s", diff)
			}
			s := newShelf(test.file, choices)
			if err := s.step(t); err != nil || s.im.State != contact.ImportFinished || len(s.refusals) != 0 {
				t.Fatalf("%v; it is %+v, refused %+v", err, s.im, s.refusals)
			}
			got := slices.Clone(s.rows)
			for i := range got {
				got[i].Line, got[i].Raw, got[i].Digest = 0, "", nil
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Error(diff)
			}
			if s.im.Bytes != int64(len(test.file)) {
				t.Errorf("%d of %d bytes are read", s.im.Bytes, len(test.file))
			}
		})
	}
}

func TestAFileThatIsNoListIsRefusedAtOnce(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		file string
		want error
	}{
		"nothing":                   {"", contactlist.ErrNoList},
		"blank lines":               {"\n\r\n\n", contactlist.ErrNoList},
		"a picture":                 {"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR", contactlist.ErrNoList},
		"UTF-16 without a mark":     {utf16Of("E-mail\nbo@example.org", false)[2:], contactlist.ErrNoList},
		"a NUL byte":                {"E-mail;Navn\nbo@example.org;B\x00o\n", contactlist.ErrNoList},
		"too many columns":          {"E-mail" + strings.Repeat(";", 200) + "\n", contactlist.ErrNoList},
		"a header longer than 1 MB": {"E-mail;" + strings.Repeat("x", 1<<20) + "\n", contactlist.ErrNoList},
		"a header with a quote that is not closed": {"\"E-mail;Navn\nbo@example.org;Bo\n", contactlist.ErrNoList},
		"no header":                  {"bo@example.org;Bo\npia@example.org;Pia\n", contactlist.ErrNoHeader},
		"addresses and nothing else": {"\ufeff bo@example.org\r\npia@example.org\r\n", contactlist.ErrNoHeader},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if _, _, err := contactlist.Sniff([]byte(test.file)); !errors.Is(err, test.want) {
				t.Errorf("got %v, want %v", err, test.want)
			}
		})
	}
}

func TestTwoColumnsOfOneKindAreGuessedOnce(t *testing.T) {
	t.Parallel()
	c, _, err := contactlist.Sniff([]byte("Navn,E-mail,Mail,navn,Noter\n"))
	want := []contact.ListField{contact.ListName, contact.ListEmail, "", "", ""}
	if err != nil || !slices.Equal(c.Columns, want) {
		t.Errorf("guessed %q, %v", c.Columns, err)
	}
}

func TestEveryRowIsTakenOrRefusedWithTheReasonAndCostsNoOtherRow(t *testing.T) {
	t.Parallel()
	const after = "after@example.org;After;Row;\n"
	for name, test := range map[string]struct {
		rows string
		want []string // "line column reason", with a + when the rest is taken
	}{
		"no address":              {";Bo;Holm;\n", []string{"2 email no_address"}},
		"no value at all":         {";;;\n", []string{"2 email no_address"}},
		"an address that is none": {"bo at example.org;Bo;;\n", []string{"2 email address"}},
		"an address with a mark of direction within": {"b\u202eo@example.org;Bo;;\n", []string{"2 email address"}},
		"an address with a NUL":                      {"b\x00o@example.org;Bo;;\n", []string{"2 email address"}},
		"a name with a NUL":                          {"bo@example.org;B\x00o;;\n", []string{"2 first_name text"}},
		"a name that turns the text around":          {"bo@example.org;\u202egro.live;;\n", []string{}},
		"a name that turns the text within":          {"bo@example.org;Bo \u202egro.live;;\n", []string{"2 first_name text"}},
		"a name that is too long":                    {"bo@example.org;" + strings.Repeat("ø", 201) + ";;\n", []string{"2 first_name text"}},
		"another encoding":                           {"bo@example.org;B\xf8;;\n", []string{"2 first_name encoding"}},
		"an unknown language":                        {"bo@example.org;Bo;;klingon!\n", []string{"+2 language language"}},
		"more values than columns":                   {"bo@example.org;Holm; Bo;Bo;da\n", []string{"2  columns"}},
		"the same address twice":                     {"bo@example.org;Bo;;\nBO@example.org ;Bo;;\n", []string{"3 email twice"}},
		"a mended copy of a row":                     {"bo@example.org;" + strings.Repeat("x", 201) + ";;\nbo@example.org;Bo;;\n", []string{"2 first_name text"}},
		"a quote that is not closed":                 {"bo@example.org;\"Bo;;\n", []string{"2  never_closed"}},
		"two quotes astray":                          {"bo@example.org;\"Bo;;\nmid@example.org;Mid;;\npia@example.org;Pia\";;\n", []string{"2  never_closed"}},
		"a quote in the middle":                      {"bo@example.org;Hans \"Bassen\" Holm;;\n", []string{}},
		"a quote that opens and one in the middle":   {"bo@example.org;\"Bo;;\npia@example.org;Pia \"Pil\" Pil;;\n", []string{"2  never_closed"}},
		"text after a quote":                         {"bo@example.org;\"Bo\" Holm;;\n", []string{"2  text_after_quote"}},
		"a line longer than 1 MB":                    {"bo@example.org;" + strings.Repeat("x", 1<<20) + ";;\n", []string{"2  long_line"}},
		"a value of 1 MB on lines":                   {"bo@example.org;\"" + strings.Repeat(strings.Repeat("x", 99_999)+"\n", 10) + "\";;\n", []string{"2 first_name text"}},
		"lines are those of the file":                {"\n\npia@example.org;\"Pia\nPil\";;\n\n;Bo;;\n", []string{"7 email no_address"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newShelf("E-mail;Fornavn;Efternavn;Sprog\n"+test.rows+after, contact.ListChoices{Encoding: contactlist.UTF8, Separator: ";",
				Columns: []contact.ListField{contact.ListEmail, contact.ListFirstName, contact.ListLastName, contact.ListLanguage}})
			if err := s.step(t); err != nil {
				t.Fatal(err)
			}
			got, kept := []string{}, 0
			for _, f := range s.refusals {
				sign := ""
				if f.Kept {
					sign = "+"
					kept++
				}
				got = append(got, fmt.Sprintf("%s%d %s %s", sign, f.Line, f.Column, f.Reason))
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Error(diff)
			}
			if n := len(s.rows); n == 0 || s.rows[n-1].FirstName != "After" {
				t.Errorf("the row after it is not taken: %+v", s.rows)
			}
			if int64(len(s.rows)+len(s.refusals)-kept) != s.im.Rows {
				t.Errorf("%d taken and %d refused are not %d rows", len(s.rows), len(s.refusals)-kept, s.im.Rows)
			}
		})
	}
}

func TestAFormulaIsTakenAsTheTextThatItIs(t *testing.T) {
	t.Parallel()
	s := newShelf("E-mail,Fornavn\nbo@example.org,\"=cmd|' /C calc'!A0\"\n", contact.ListChoices{Separator: ",", Columns: []contact.ListField{contact.ListEmail, contact.ListFirstName}})
	if err := s.step(t); err != nil || len(s.rows) != 1 || s.rows[0].FirstName != "=cmd|' /C calc'!A0" {
		t.Errorf("taken %+v, %v", s.rows, err)
	}
}

func TestAColumnThatIsLeftOutMayHoldAnything(t *testing.T) {
	t.Parallel()
	file := "E-mail;Noter\nbo@example.org;\"over\ntwo lines, \x00 \xff\"\npia@example.org;" + strings.Repeat("x", 900_000) + "\n"
	s := newShelf(file, contact.ListChoices{Separator: ";", Columns: []contact.ListField{contact.ListEmail, ""}})
	if err := s.step(t); err != nil || len(s.rows) != 2 || len(s.refusals) != 0 {
		t.Fatalf("taken %d, refused %+v, %v", len(s.rows), s.refusals, err)
	}
	for _, row := range s.rows {
		if !utf8.ValidString(row.Raw) || strings.ContainsRune(row.Raw, 0) {
			t.Errorf("the row is kept as %.80q", row.Raw)
		}
	}
	if got := s.rows[0].Raw + "\n" + s.rows[1].Raw + "\n"; got != strings.NewReplacer("\x00", "\ufffd", "\xff", "\ufffd").Replace(file[len("E-mail;Noter\n"):]) {
		t.Errorf("the rows are kept as %.80q, %d bytes", got, len(got))
	}
}

func TestLongRowsAreTakenInSmallPortions(t *testing.T) {
	t.Parallel()
	var file strings.Builder
	file.WriteString("E-mail;Noter\n")
	for i := range 20 {
		fmt.Fprintf(&file, "p%d@example.org;%s\n", i, strings.Repeat("x", 1_000_000))
	}
	s := newShelf(file.String(), contact.ListChoices{Separator: ";", Columns: []contact.ListField{contact.ListEmail, ""}})
	s.part = 1 << 20
	if err := s.step(t); err != nil || len(s.rows) != 20 || s.portions < 3 {
		t.Errorf("%d rows in %d portions, %v", len(s.rows), s.portions, err)
	}
}

// long is a list of so many people, with every seventh row refused.
func long(n int) string {
	var b strings.Builder
	b.WriteString("E-mail;Fornavn\n")
	for i := range n {
		if i%7 == 3 {
			fmt.Fprintf(&b, "no address %d;Bo\n", i)
		} else {
			fmt.Fprintf(&b, "p%d@example.org;Bo\n", i)
		}
	}
	return b.String()
}

func TestAnImportThatDiesGoesOnWhereItStood(t *testing.T) {
	t.Parallel()
	const people = 9000
	died := errors.New("killed")
	die := func(at int) func(int) error {
		return func(portion int) error {
			if portion == at {
				return died
			}
			return nil
		}
	}
	for name, test := range map[string]struct {
		before, after func(int) error
		stands        int64 // rows when it dies
	}{
		"before anything":          {before: die(1)},
		"before the third portion": {before: die(3), stands: 4000},
		"after the third portion":  {after: die(3), stands: 6000},
		"after the last portion":   {after: die(5), stands: people},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newShelf(long(people), contact.ListChoices{Separator: ";", Columns: []contact.ListField{contact.ListEmail, contact.ListFirstName}})
			s.part, s.before, s.after = 1000, test.before, test.after
			if err := s.step(t); !errors.Is(err, died) || s.im.Rows != test.stands || s.im.State != contact.ImportRunning {
				t.Fatalf("it stands at %d (%s), %v", s.im.Rows, s.im.State, err)
			}
			s.before, s.after = nil, nil
			if err := s.step(t); err != nil || s.im.State != contact.ImportFinished || s.im.Rows != people {
				t.Fatalf("it ends at %d (%s), %v", s.im.Rows, s.im.State, err)
			}
			seen := map[contact.Address]bool{}
			for _, row := range s.rows {
				if seen[row.Address] {
					t.Fatalf("%s was taken twice", row.Address)
				}
				seen[row.Address] = true
			}
			if len(s.rows)+len(s.refusals) != people || len(s.refusals) != (people+3)/7 {
				t.Errorf("%d taken and %d refused are not %d rows", len(s.rows), len(s.refusals), people)
			}
		})
	}
}

func TestWhoseImportWasTakenOverStops(t *testing.T) {
	t.Parallel()
	s := newShelf(long(9000), contact.ListChoices{Separator: ";", Columns: []contact.ListField{contact.ListEmail, contact.ListFirstName}})
	s.part = 1000
	s.before = func(portion int) error {
		if portion == 2 { // another has taken a portion meanwhile
			s.im.Rows += 2000
		}
		return nil
	}
	if err := s.step(t); err != nil || s.im.State != contact.ImportRunning || s.portions != 2 {
		t.Errorf("it went on to portion %d (%s), %v", s.portions, s.im.State, err)
	}
}

// FuzzEveryLineIsInOneRowThatIsTakenOrRefused: nothing is lost, nothing is read
// twice, and whatever is not taken has its reason.
func FuzzEveryLineIsInOneRowThatIsTakenOrRefused(f *testing.F) {
	for _, seed := range []string{
		"E-mail;Navn\nbo@example.org;Bo\n", "\ufeffE-mail,Navn\r\nbo@example.org,\"B\r\no\"\r\n\r\nx,\"y\n", "sep=\t\nE-mail\tSprog\nbo@example.org\tda\n",
		"E-mail;Navn\r\rbo@example.org;B\"o\r", "E-mail\n\"a@example.org\nb@example.org\"\n", latin("E-mail;Navn\nbo@example.org;Bø\n"),
		utf16Of("E-mail;Navn\nbo@example.org;Bø\n", true), "E-mail;;\n;;;;\n\"\"\n", "E-mail\n\u202ebo@example.org\x00\n",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, file string) {
		choices, header, err := contactlist.Sniff([]byte(file))
		if err != nil {
			return
		}
		if len(choices.Columns) != len(header) {
			t.Fatalf("%d columns are guessed of %d", len(choices.Columns), len(header))
		}
		reader := contactlist.NewReader(strings.NewReader(file), choices)
		rows, covered := int64(0), map[int64]bool{}
		for {
			record, err := reader.Read()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			for line := record.Line; line < record.Line+int64(record.Lines); line++ {
				if covered[line] {
					t.Fatalf("line %d was read twice", line)
				}
				covered[line] = true
			}
			rows++
		}
		if choices.Encoding == contactlist.UTF8 {
			text := strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(strings.TrimPrefix(file, "\ufeff"))
			for i, line := range strings.Split(text, "\n") {
				if names := i == 0 && strings.HasPrefix(strings.ToLower(strings.Trim(line, `"`)), "sep="); line != "" && !covered[int64(i+1)] && !names {
					t.Fatalf("line %d was passed over: %q", i+1, line)
				}
			}
		}
		if len(choices.Columns) > 0 && !slices.Contains(choices.Columns, contact.ListEmail) {
			choices.Columns[0] = contact.ListEmail
		}
		s := newShelf(file, choices)
		if err := s.step(t); err != nil || s.im.State != contact.ImportFinished {
			t.Fatalf("it is %+v, %v", s.im, err)
		}
		refused := 0
		for _, r := range s.refusals {
			if r.Reason == "" || r.Line < 2 || !utf8.ValidString(r.Row) {
				t.Fatalf("refused as %+v", r)
			}
			if !r.Kept {
				refused++
			}
		}
		if int64(len(s.rows)+refused) != s.im.Rows || s.im.Rows != rows-1 {
			t.Fatalf("%d taken and %d refused are not the %d rows that there are, or %d", len(s.rows), refused, rows-1, s.im.Rows)
		}
		for _, row := range s.rows {
			if _, err := contact.ParseAddress(string(row.Address)); err != nil || !utf8.ValidString(row.Raw+row.FirstName+row.LastName+row.Company) {
				t.Fatalf("taken as %+v, %v", row, err)
			}
		}
	})
}
