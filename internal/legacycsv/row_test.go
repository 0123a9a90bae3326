package legacycsv

import (
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
	"unicode/utf8"
)

func open(t testing.TB, source io.Reader) *table {
	t.Helper()
	columns, err := newTable(io.MultiReader(strings.NewReader("id,name,no_mailings\n"), source), companiesFormat())
	if err != nil {
		t.Fatal(err)
	}
	return columns
}

func readCompany(r *row) {
	if r.refusal == nil {
		r.key("id")
		r.text("name", maxName)
		r.flag("no_mailings")
	}
}

// FuzzEveryLineIsInOneRow: nothing is lost and nothing is read twice.
func FuzzEveryLineIsInOneRow(f *testing.F) {
	for _, seed := range []string{
		"1,A,0\n2,B,1\n", "1,\"A\nB\",0\n", "1,\"A\n2,B,1\n3,\"C\",0\n", "\"\"\"\n", "1,\"A\"x,0\r\n\r\n2,B,0",
		"1,A\n", "\xff,\x00,\n", "1," + strings.Repeat("x", 300) + ",0\n", "1,\"" + strings.Repeat("\n", 120) + "\",0\n2,B,0\n", "\r", "\"\n\"", ",,\n,,",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		table := open(t, strings.NewReader(text))
		lines := strings.Split(text, "\n")
		next := 0 // of lines
		for {
			r, err := table.next()
			if err != nil {
				t.Fatal(err)
			}
			if r == nil {
				break
			}
			for ; r.line-2 > next; next++ {
				if strings.TrimSuffix(lines[next], "\r") != "" {
					t.Fatalf("line %d was passed over: %q", next+2, lines[next])
				}
			}
			if r.line-2 != next {
				t.Fatalf("line %d was read twice", r.line)
			}
			readCompany(r)
			if refusal := table.settle(r); refusal != nil {
				if refusal.Line != r.line || refusal.Reason == "" || !utf8.ValidString(refusal.Row) {
					t.Fatalf("refusal %#v", refusal)
				}
			}
			next += r.lines
		}
		for ; next < len(lines); next++ {
			if strings.TrimSuffix(lines[next], "\r") != "" {
				t.Fatalf("line %d was passed over: %q", next+2, lines[next])
			}
		}
	})
}

func TestADiskErrorEndsTheReadingAndNamesTheLine(t *testing.T) {
	t.Parallel()
	broken := errors.New("input/output error")
	table := open(t, io.MultiReader(strings.NewReader("1,A,0\n"), iotest.ErrReader(broken)))
	r, err := table.next()
	if err != nil || r.line != 2 {
		t.Fatal(r, err)
	}
	table.settle(r)
	_, err = table.next()
	if !errors.Is(err, broken) || !strings.Contains(err.Error(), "companies.csv after line 2") {
		t.Errorf("got %v", err)
	}
}

func BenchmarkContacts(b *testing.B) {
	text := strings.Repeat("10001,Kafferisteriet på Havnen ApS,0\n", 1000)
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		table := open(b, strings.NewReader(text))
		for {
			r, err := table.next()
			if err != nil {
				b.Fatal(err)
			}
			if r == nil {
				break
			}
			r.key("id")
			r.text("name", maxName)
			r.flag("no_mailings")
			r.uniqueKey = ""
			table.settle(r)
		}
	}
}
