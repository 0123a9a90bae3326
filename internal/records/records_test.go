package records

import (
	"encoding/csv"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
)

// FuzzAWellFormedFileReadsAsEncodingCSVReadsIt holds the splitter against the
// standard library's, wherever that one accepts the whole file. Where no field
// begins with a quote, that one is told to take quotes as they stand, too.
func FuzzAWellFormedFileReadsAsEncodingCSVReadsIt(f *testing.F) {
	for _, separator := range ",;\t" {
		for _, seed := range []string{"a,b\nc,d\n", "\"a\",\"b\"\"c\"\n\"d\ne\",f\r\n", "\n\n,\n", "a\r\n", "\"\"", "\"a\r\nb\"\n", "5\" a,b \"c\" d\ne\"\n"} {
			f.Add(strings.ReplaceAll(seed, ",", string(separator)), separator)
		}
	}
	f.Fuzz(func(t *testing.T, text string, separator rune) {
		if !strings.ContainsRune(",;\t", separator) || strings.Count(text, "\n") > MaxLines {
			t.Skip("no separator of ours, or a record may be longer than ours may be")
		}
		reader := csv.NewReader(strings.NewReader(text))
		reader.FieldsPerRecord, reader.Comma = -1, separator
		reader.LazyQuotes = !strings.HasPrefix(text, `"`) && !strings.Contains(text, "\n\"") && !strings.Contains(text, string(separator)+`"`)
		want, err := reader.ReadAll()
		if err != nil {
			t.Skip("not well formed")
		}
		s := New(strings.NewReader(text), byte(separator))
		var got [][]string
		for {
			fields, lines, bad, err := s.Look()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil || bad != nil {
				t.Fatal(err, bad)
			}
			got = append(got, slices.Clone(fields))
			s.Drop(lines)
		}
		if !slices.EqualFunc(want, got, slices.Equal[[]string]) {
			t.Fatalf("got %q, want %q", got, want)
		}
	})
}

func TestLinesThatAreNoRecordAreGivenBack(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		text string
		want Fault
	}{
		"a long line":              {strings.Repeat("x", MaxBytes+3) + "\n1;2", Fault{-1, LongLine}},
		"text after a quote":       {"\"a\"b;c\n1;2", Fault{0, TextAfterQuote}},
		"text after a quote below": {"\"a\n1;2\nb\"c", Fault{0, NeverClosed}},
		"a quote to the end":       {"a;\"b\n1;2", Fault{1, NeverClosed}},
		"a quote over many lines":  {"a;\"b\n1;2" + strings.Repeat("\n", 300) + "\"", Fault{1, NeverClosed}},
		"a quote over a long line": {"a;\"b\n1;2\n" + strings.Repeat("x", MaxBytes+3) + "\"", Fault{1, NeverClosed}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := New(strings.NewReader(test.text), ';')
			_, lines, bad, err := s.Look()
			if err != nil || bad == nil || *bad != test.want || lines != 1 || s.Number() != 1 {
				t.Fatalf("%d lines, %+v, %v", lines, bad, err)
			}
			if len(s.ahead) > MaxLines {
				t.Errorf("%d lines were looked at for one record", len(s.ahead))
			}
			s.Drop(lines)
			fields, _, bad, err := s.Look()
			if err != nil || bad != nil || !slices.Equal(fields, []string{"1", "2"}) || s.Number() != 2 {
				t.Errorf("after it come %q, %+v, %v", fields, bad, err)
			}
		})
	}
}
