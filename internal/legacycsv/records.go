package legacycsv

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strings"
)

// The bounds of one record. A quote that is opened and never closed is found
// out after so many lines or bytes.
const (
	maxRecordBytes = 1 << 20
	maxRecordLines = 100
)

const neverClosed = "The quote that opens this field is never closed. Close it, or take it out."

// line is one line of the file, without its line ending.
type line struct {
	number int
	text   string
	cut    bool // longer than maxRecordBytes; text is its beginning
}

// records splits a file into records after RFC 4180. encoding/csv is not used
// because it cannot find its way back: a quote that is opened and not closed
// swallows the rows after it. Here the lines of a record are looked at before
// they are taken, so that the caller may give up the first line alone and go on
// with the second.
type records struct {
	r     *bufio.Reader
	ahead []line // read, not yet taken
	lines int    // read so far

	fields []string // of the record last looked at; reused
}

// fault says why the lines ahead are not a record, and in which field; -1 when
// it is about the whole line.
type fault struct {
	field  int
	reason string
}

// look returns the fields of the record that starts at the next line that is
// not blank, and how many lines it takes. The lines stay ahead until dropped.
// The error is io.EOF at the end of the file.
func (s *records) look() (fields []string, lines int, bad *fault, err error) {
	first, err := s.peek(0)
	for err == nil && first.text == "" {
		s.drop(1)
		first, err = s.peek(0)
	}
	if err != nil {
		return nil, 0, nil, err
	}
	if first.cut {
		return nil, 1, &fault{-1, fmt.Sprintf("The line is longer than %d bytes. Shorten it.", maxRecordBytes)}, nil
	}
	if !strings.Contains(first.text, `"`) {
		return s.splitPlain(first.text), 1, nil, nil
	}
	return s.splitQuoted(first.text)
}

func (s *records) splitPlain(text string) []string {
	s.fields = s.fields[:0]
	for {
		field, rest, more := strings.Cut(text, ",")
		s.fields = append(s.fields, field)
		if !more {
			return s.fields
		}
		text = rest
	}
}

func (s *records) splitQuoted(text string) (fields []string, lines int, bad *fault, err error) {
	s.fields, lines = s.fields[:0], 1
	broken := func(reason string) ([]string, int, *fault, error) {
		return nil, 1, &fault{len(s.fields), reason}, nil
	}
	bytes := len(text)
	for {
		if !strings.HasPrefix(text, `"`) {
			field, rest, more := strings.Cut(text, ",")
			if strings.Contains(field, `"`) {
				return broken(`A quote stands inside a field that is not quoted. Put the whole field in quotes and double the quote: "Hans ""Bassen"" Holm".`)
			}
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
				if lines < maxRecordLines && bytes <= maxRecordBytes {
					next, err = s.peek(lines)
				}
				if err != nil && !errors.Is(err, io.EOF) {
					return nil, 0, nil, err
				}
				if err != nil || next.cut {
					return broken(neverClosed)
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
		if text != "" && text[0] != ',' {
			return broken(`Text follows the quote that closes this field. Double a quote inside a field: "Hans ""Bassen"" Holm".`)
		}
		s.fields = append(s.fields, value.String())
		if text == "" {
			return s.fields, lines, nil, nil
		}
		text = text[1:]
	}
}

// peek returns the i-th line ahead, reading on as needed.
func (s *records) peek(i int) (line, error) {
	for len(s.ahead) <= i {
		l, err := s.read()
		if err != nil {
			return line{}, err
		}
		s.ahead = append(s.ahead, l)
	}
	return s.ahead[i], nil
}

// drop takes the first n lines ahead.
func (s *records) drop(n int) {
	rest := copy(s.ahead, s.ahead[n:])
	clear(s.ahead[rest:])
	s.ahead = s.ahead[:rest]
}

// raw returns the first n lines ahead as they stand in the file.
func (s *records) raw(n int) string {
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
func (s *records) read() (line, error) {
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
	const most = maxRecordBytes + len("\r\n")
	if room := most - len(to); len(chunk) > room {
		return append(to, chunk[:room]...), true
	}
	return append(to, chunk...), cut
}
