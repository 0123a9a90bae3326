package legacycsv_test

import (
	"bytes"
	"encoding/csv"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/jatak-mail/jatak/internal/legacycsv"
)

func TestRefusedRowsAreWrittenWithoutFormulas(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	w := legacycsv.NewRefusalWriter(&out)
	for _, row := range []string{
		"7,Ærø \"x\"", "=1+1", " =1", "-2", "+3", "@SUM", "＝1", "a;=1", "a,\"=1", "a\n=1", "a\t-1", "2024-01-02,a@b.example,C=D",
	} {
		if err := w.Write(&legacycsv.Refusal{File: "contacts.csv", Line: 7, Column: "id", Reason: "It is blank.", Row: row}); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	records, err := csv.NewReader(&out).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"file", "line", "column", "reason", "row"}, records[0]); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"contacts.csv", "7", "id", "It is blank.", "7,Ærø \"x\""}, records[1]); diff != "" {
		t.Error(diff)
	}
	var rows []string
	for _, r := range records[2:] {
		rows = append(rows, r[4])
	}
	want := []string{"'=1+1", "' =1", "'-2", "'+3", "'@SUM", "'＝1", "a;'=1", "a,\"'=1", "a\n'=1", "a\t'-1", "2024-01-02,a@b.example,C=D"}
	if diff := cmp.Diff(want, rows); diff != "" {
		t.Error(diff)
	}
	if w.Len() != 12 {
		t.Errorf("%d written", w.Len())
	}
}

func TestAFileOfNoRefusalsHasItsHeader(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	w := legacycsv.NewRefusalWriter(&out)
	if err := w.Flush(); err != nil || out.String() != "file,line,column,reason,row\n" {
		t.Errorf("%q, %v", out.String(), err)
	}
}

func TestADiskThatIsFullIsReported(t *testing.T) {
	t.Parallel()
	w := legacycsv.NewRefusalWriter(full{})
	_ = w.Write(&legacycsv.Refusal{})
	if err := w.Flush(); !errors.Is(err, errFull) {
		t.Errorf("Flush: %v", err)
	}
}

var errFull = errors.New("no space left")

type full struct{}

func (full) Write([]byte) (int, error) { return 0, errFull }
