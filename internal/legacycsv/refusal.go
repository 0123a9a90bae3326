package legacycsv

import (
	"encoding/csv"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Refusal says what is wrong with a row and how to mend it. It is an error.
type Refusal struct {
	File   string
	Line   int    // where the row begins; the header's line is 1
	Column string // blank when it is about the whole row
	Reason string // a sentence, with the mend
	Row    string // as it was, what cannot be printed shown as U+FFFD
	Kept   bool   // the row was taken all the same: a warning
}

// Error says where and why.
func (r *Refusal) Error() string {
	if r.Column == "" {
		return fmt.Sprintf("%s line %d: %s", r.File, r.Line, r.Reason)
	}
	return fmt.Sprintf("%s line %d, column %s: %s", r.File, r.Line, r.Column, r.Reason)
}

// RefusalWriter writes refusals as CSV with the columns file, line, column,
// reason and row. Nothing that a spreadsheet opens from it is a formula, also
// where the spreadsheet separates at semicolons or tabs: a ' is put before the
// character that would begin one.
type RefusalWriter struct {
	csv    *csv.Writer
	begun  bool
	number int
}

// NewRefusalWriter returns a writer to w. The header is written with the first
// refusal or at Flush.
func NewRefusalWriter(w io.Writer) *RefusalWriter {
	return &RefusalWriter{csv: csv.NewWriter(w)}
}

// Write writes one refusal. It is buffered; Flush tells whether it arrived.
func (w *RefusalWriter) Write(r *Refusal) error {
	if err := w.header(); err != nil {
		return err
	}
	w.number++
	record := []string{r.File, strconv.Itoa(r.Line), r.Column, r.Reason, r.Row}
	for i := range record {
		record[i] = Disarm(record[i])
	}
	if err := w.csv.Write(record); err != nil {
		return fmt.Errorf("write refused row: %w", err)
	}
	return nil
}

// Len returns how many refusals were written.
func (w *RefusalWriter) Len() int { return w.number }

// Flush writes what is buffered and returns the first error met.
func (w *RefusalWriter) Flush() error {
	if err := w.header(); err != nil {
		return err
	}
	w.csv.Flush()
	if err := w.csv.Error(); err != nil {
		return fmt.Errorf("write refused rows: %w", err)
	}
	return nil
}

func (w *RefusalWriter) header() error {
	if w.begun {
		return nil
	}
	w.begun = true
	if err := w.csv.Write([]string{"file", "line", "column", "reason", "row"}); err != nil {
		return fmt.Errorf("write refused rows: %w", err)
	}
	return nil
}

// formula finds what a spreadsheet could take for the beginning of a formula:
// one of = + - @, also in full width, where a cell may begin.
var formula = regexp.MustCompile(`(^|[,;"\t\r\n])( *[=+\-@＝＋－＠])`)

// Disarm keeps a spreadsheet from taking a cell, or a part of it, for a formula.
func Disarm(cell string) string {
	if !strings.ContainsAny(cell, "=+-@＝＋－＠") { // most have none
		return cell
	}
	return formula.ReplaceAllString(cell, "$1'$2")
}

// printable makes a refused row fit to be shown.
func printable(row string) string {
	row = strings.ToValidUTF8(row, string(utf8.RuneError))
	return strings.Map(func(c rune) rune {
		if unicode.IsControl(c) && c != '\n' && c != '\t' {
			return utf8.RuneError
		}
		return c
	}, row)
}

// clip returns at most the first n characters, and … when there are more.
func clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
	count := 0
	for at := range s {
		if count == n {
			return s[:at] + "…"
		}
		count++
	}
	return s
}

// sentence gives a lower-case error its capital and full stop.
func sentence(s string) string {
	first, size := utf8.DecodeRuneInString(s)
	return string(unicode.ToUpper(first)) + s[size:] + "."
}
