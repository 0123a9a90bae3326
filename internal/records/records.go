// Package records answers which lines of a file with separated values are one
// record (RFC 4180, with any separator of one byte), and which are none. It
// says what is wrong and gives back the lines; what they mean is others'. A quote
// within a field that does not begin with one is a quote, as spreadsheets take it.
package records

import (
	"bufio"
	"errors"
	"io"
	"strings"
)

// The bounds of one record. A quote that is opened and never closed is found
// out after so many lines or bytes.
const (
	MaxBytes = 1 << 20
	MaxLines = 100
)

// Kind is what is wrong with lines that are no record.
type Kind string

// The kinds.
const (
	LongLine       Kind = "long_line"        // longer than MaxBytes
	TextAfterQuote Kind = "text_after_quote" // between a closing quote and the separator
	NeverClosed    Kind = "never_closed"     // a quote, within MaxLines and MaxBytes
)

// Fault says why the lines ahead are not a record, and in which field; -1 when
// it is about the whole line.
type Fault struct {
	Field int
	Kind  Kind
}

// line is one line of the file, without its line ending.
type line struct {
	number int
	text   string
	cut    bool // longer than MaxBytes; text is its beginning
}

// Splitter splits a file into records. encoding/csv is not used because it cannot
// find its way back: a quote that is opened and not closed swallows the rows
// after it. Here the lines of a record are looked at before they are taken, so
// that the caller may give up the first line alone and go on with the second.
type Splitter struct {
	r         *bufio.Reader
	separator string
	ahead     []line // read, not yet taken
	lines     int    // read so far

	fields []string // of the record last looked at; reused
}

// New returns a splitter of what is read, which is UTF-8 or another encoding that
// holds ASCII.
func New(r io.Reader, separator byte) *Splitter {
	return &Splitter{r: bufio.NewReaderSize(r, 64<<10), separator: string(separator)}
}

// Look returns the fields of the record that starts at the next line that is
// not blank, and how many lines it takes. The lines stay ahead until dropped.
// The error is io.EOF at the end of the file. The fields are overwritten by the
// next look.
func (s *Splitter) Look() (fields []string, lines int, bad *Fault, err error) {
	first, err := s.peek(0)
	for err == nil && first.text == "" {
		s.Drop(1)
		first, err = s.peek(0)
	}
	if err != nil {
		return nil, 0, nil, err
	}
	if first.cut {
		return nil, 1, &Fault{-1, LongLine}, nil
	}
	if !strings.Contains(first.text, `"`) {
		return s.splitPlain(first.text), 1, nil, nil
	}
	return s.splitQuoted(first.text)
}

func (s *Splitter) splitPlain(text string) []string {
	s.fields = s.fields[:0]
	for {
		field, rest, more := strings.Cut(text, s.separator)
		s.fields = append(s.fields, field)
		if !more {
			return s.fields
		}
		text = rest
	}
}

func (s *Splitter) splitQuoted(text string) (fields []string, lines int, bad *Fault, err error) {
	s.fields, lines = s.fields[:0], 1
	broken := func(kind Kind) ([]string, int, *Fault, error) {
		return nil, 1, &Fault{len(s.fields), kind}, nil
	}
	bytes := len(text)
	for {
		if !strings.HasPrefix(text, `"`) {
			field, rest, more := strings.Cut(text, s.separator)
			s.fields = append(s.fields, field)
			if !more {
				return s.fields, lines, nil, nil
			}
			text = rest
			continue
		}

		var value strings.Builder
		for text = text[1:]; ; {
			before, rest, closed := strings.Cut(text, `"`)
			value.WriteString(before)
			if !closed {
				var next line
				err := io.EOF
				if lines < MaxLines && bytes <= MaxBytes {
					next, err = s.peek(lines)
				}
				if err != nil && !errors.Is(err, io.EOF) {
					return nil, 0, nil, err
				}
				if err != nil || next.cut {
					return broken(NeverClosed)
				}
				bytes += len(next.text) + 1
				lines++
				value.WriteByte('\n')
				text = next.text
				continue
			}
			text = rest
			if !strings.HasPrefix(text, `"`) {
				break
			}
			value.WriteByte('"')
			text = text[1:]
		}
		if text != "" && !strings.HasPrefix(text, s.separator) {
			if lines > 1 { // what looks like the end of this field is within another
				return broken(NeverClosed)
			}
			return broken(TextAfterQuote)
		}
		s.fields = append(s.fields, value.String())
		if text == "" {
			return s.fields, lines, nil, nil
		}
		text = text[1:]
	}
}

// Number is the number of the first line ahead, which Look has found; the file's
// first is 1.
func (s *Splitter) Number() int { return s.ahead[0].number }

// Lines is how many lines were read so far.
func (s *Splitter) Lines() int { return s.lines }

// Swallows reports whether one of the lines that continue the record ahead looks
// like a record of its own, of so many fields. That happens where two quotes on
// different lines are astray: together they make one well-formed field of all
// that stands between them.
func (s *Splitter) Swallows(lines, fields int) bool {
	for _, l := range s.ahead[1:lines] {
		text := strings.ReplaceAll(l.text, `""`, "")
		if !strings.Contains(text, `"`) && strings.Count(text, s.separator) == fields-1 {
			return true
		}
	}
	return false
}

// peek returns the i-th line ahead, reading on as needed.
func (s *Splitter) peek(i int) (line, error) {
	for len(s.ahead) <= i {
		l, err := s.read()
		if err != nil {
			return line{}, err
		}
		s.ahead = append(s.ahead, l)
	}
	return s.ahead[i], nil
}

// Drop takes the first n lines ahead.
func (s *Splitter) Drop(n int) {
	rest := copy(s.ahead, s.ahead[n:])
	clear(s.ahead[rest:])
	s.ahead = s.ahead[:rest]
}

// Raw returns the first n lines ahead as they stand in the file.
func (s *Splitter) Raw(n int) string {
	if n == 1 {
		return s.ahead[0].text
	}
	texts := make([]string, n)
	for i := range texts {
		texts[i] = s.ahead[i].text
	}
	return strings.Join(texts, "\n")
}

// read reads one line, ended by LF, CRLF or the end of the file.
func (s *Splitter) read() (line, error) {
	var long []byte
	l := line{number: s.lines + 1}
	for {
		chunk, err := s.r.ReadSlice('\n')
		if errors.Is(err, bufio.ErrBufferFull) {
			long, l.cut = appendUpTo(long, chunk, l.cut)
			continue
		}
		if err != nil && !errors.Is(err, io.EOF) {
			return line{}, err
		}
		if err != nil && len(chunk) == 0 && len(long) == 0 {
			return line{}, io.EOF
		}
		s.lines++
		if long != nil {
			long, l.cut = appendUpTo(long, chunk, l.cut)
			chunk = long
		}
		l.text = string(chunk)
		if !l.cut {
			l.text = strings.TrimSuffix(strings.TrimSuffix(l.text, "\n"), "\r")
		}
		return l, nil
	}
}

func appendUpTo(to, chunk []byte, cut bool) ([]byte, bool) {
	const most = MaxBytes + len("\r\n")
	if room := most - len(to); len(chunk) > room {
		return append(to, chunk[:room]...), true
	}
	return append(to, chunk...), cut
}
