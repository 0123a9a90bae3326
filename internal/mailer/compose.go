package mailer

import (
	"bytes"
	"errors"
	"fmt"
	"mime"
	netmail "net/mail"
	"slices"
	"strings"
	"time"

	"github.com/wneessen/go-mail"
)

// Segment is a part of a text: static, or the place of a recipient's value.
type Segment struct {
	static string
	slot   int // -1 for static
}

// Static returns a segment that is the same for every recipient.
func Static(s string) Segment { return Segment{static: s, slot: -1} }

// Slot returns a segment that is filled with Values.Slots[n].
func Slot(n int) Segment { return Segment{slot: n} }

// Header is a header field beyond those that every mail has. The values of its
// slots must be ASCII without white space.
type Header struct {
	Name  string
	Value []Segment
}

// Draft is a mail before it is compiled.
type Draft struct {
	FromName, FromAddress string
	ReplyTo               string // "" for none
	Subject, Text, HTML   []Segment
	Headers               []Header
}

// Values are what one recipient's copy is filled with.
type Values struct {
	ToName, ToAddress string
	MessageID         string // without angle brackets
	Date              time.Time
	Slots             []string
}

// Template is a mail made ready: headers laid out, static text encoded. It may
// be used by many goroutines at once.
type Template struct {
	pieces []piece
	size   int // of the static bytes
}

// piece is static bytes, or the place of something to fill in.
type piece struct {
	kind    pieceKind
	bytes   []byte    // of static pieces; encoded
	slot    int       // of slots
	column  int       // where the value begins on its line
	subject []Segment // of a subject with slots
}

type pieceKind int

const (
	staticPiece pieceKind = iota
	datePiece
	messageIDPiece
	toPiece
	subjectPiece
	headerSlotPiece
	bodySlotPiece
	textPiece // only while compiling
	htmlPiece
)

// Compile lays a mail out. It fails when an address or a header is not fit to
// be sent.
func Compile(d Draft) (*Template, error) {
	b := &builder{places: map[string]piece{}}
	message, err := b.message(d)
	if err != nil {
		return nil, err
	}
	var skeleton bytes.Buffer
	if _, err := message.WriteTo(&skeleton); err != nil {
		return nil, fmt.Errorf("compose: %w", err)
	}
	t := &Template{}
	for _, p := range b.cut(skeleton.Bytes()) {
		switch p.kind {
		case textPiece:
			t.addBody(d.Text)
		case htmlPiece:
			t.addBody(d.HTML)
		default:
			t.add(p)
		}
	}
	return t, nil
}

// builder makes a message with a mark for each place to fill in.
type builder struct {
	places map[string]piece // by mark
}

// mark returns a word that stands for a piece in the skeleton. It is plain
// ASCII, so that no encoding changes it.
func (b *builder) mark(p piece) string {
	mark := fmt.Sprintf("jatakmark%dx", len(b.places))
	b.places[mark] = p
	return mark
}

func (b *builder) message(d Draft) (*mail.Msg, error) {
	m := mail.NewMsg(mail.WithEncoding(mail.EncodingQP), mail.WithNoDefaultUserAgent())
	// Letters beyond ASCII would make a header that not every relay takes (RFC 6532).
	if err := m.FromFormat(d.FromName, asciiDomain(d.FromAddress)); err != nil {
		return nil, fmt.Errorf("from: %w", err)
	}
	if d.ReplyTo != "" {
		if err := m.ReplyTo(asciiDomain(d.ReplyTo)); err != nil {
			return nil, fmt.Errorf("reply to: %w", err)
		}
	}
	if err := m.To(b.mark(piece{kind: toPiece}) + "@jatak.invalid"); err != nil {
		return nil, fmt.Errorf("to: %w", err)
	}
	m.SetGenHeader(mail.HeaderDate, b.mark(piece{kind: datePiece}))
	m.SetGenHeader(mail.HeaderMessageID, "<"+b.mark(piece{kind: messageIDPiece})+">")
	if slices.ContainsFunc(d.Subject, func(s Segment) bool { return s.slot >= 0 }) {
		m.SetGenHeader(mail.HeaderSubject, b.mark(piece{kind: subjectPiece, subject: d.Subject}))
	} else {
		m.Subject(joined(d.Subject, nil))
	}
	for _, h := range d.Headers {
		var value strings.Builder
		for _, s := range h.Value {
			if s.slot >= 0 {
				value.WriteString(b.mark(piece{kind: headerSlotPiece, slot: s.slot}))
				continue
			}
			value.WriteString(s.static)
		}
		if strings.ContainsAny(h.Name+value.String(), "\r\n") {
			return nil, fmt.Errorf("header %q spans lines", h.Name)
		}
		m.SetGenHeader(mail.Header(h.Name), value.String())
	}
	switch {
	case len(d.Text) == 0 && len(d.HTML) == 0:
		return nil, errors.New("the mail has no text")
	case len(d.HTML) == 0:
		m.SetBodyString(mail.TypeTextPlain, b.mark(piece{kind: textPiece}))
	case len(d.Text) == 0:
		m.SetBodyString(mail.TypeTextHTML, b.mark(piece{kind: htmlPiece}))
	default:
		m.SetBodyString(mail.TypeTextPlain, b.mark(piece{kind: textPiece}))
		m.AddAlternativeString(mail.TypeTextHTML, b.mark(piece{kind: htmlPiece}))
	}
	return m, nil
}

// cut cuts the skeleton at its marks.
func (b *builder) cut(skeleton []byte) (pieces []piece) {
	for {
		first, at := "", len(skeleton)
		for mark := range b.places {
			if i := bytes.Index(skeleton, []byte(mark)); i >= 0 && i < at {
				first, at = mark, i
			}
		}
		if first == "" {
			return append(pieces, piece{bytes: skeleton})
		}
		p := b.places[first]
		delete(b.places, first)
		before, after := skeleton[:at], skeleton[at+len(first):]
		if p.kind == toPiece {
			// go-mail has written <mark@jatak.invalid>; the whole of it is filled in.
			before = bytes.TrimSuffix(before, []byte("<"))
			after = bytes.TrimPrefix(after, []byte("@jatak.invalid>"))
		}
		pieces = append(pieces, piece{bytes: before}, p)
		skeleton = after
	}
}

// add appends a piece; static pieces that meet become one.
func (t *Template) add(p piece) {
	if p.kind == staticPiece {
		t.size += len(p.bytes)
		if n := len(t.pieces); n > 0 && t.pieces[n-1].kind == staticPiece {
			t.pieces[n-1].bytes = append(slices.Clip(t.pieces[n-1].bytes), p.bytes...)
			return
		}
	}
	t.pieces = append(t.pieces, p)
}

// addBody encodes a body. What follows a slot begins on a new encoded line, so
// that a value of any length leaves the rest as it is.
func (t *Template) addBody(segments []Segment) {
	column := 0
	for _, s := range segments {
		if s.slot < 0 {
			var encoded []byte
			encoded, column = appendQuotedPrintable(nil, s.static, column)
			t.add(piece{bytes: encoded})
			continue
		}
		t.add(piece{kind: bodySlotPiece, slot: s.slot, column: column})
		t.add(piece{bytes: []byte("=\r\n")})
		column = 0
	}
}

// Append appends one recipient's copy to dst: the whole message with CRLF line
// ends, in which no line begins with a dot.
func (t *Template) Append(dst []byte, v Values) []byte {
	for i := range t.pieces {
		p := &t.pieces[i]
		switch p.kind {
		case staticPiece:
			dst = append(dst, p.bytes...)
		case bodySlotPiece:
			dst, _ = appendQuotedPrintable(dst, v.Slots[p.slot], p.column)
		case headerSlotPiece:
			dst = append(dst, v.Slots[p.slot]...)
		case datePiece:
			dst = v.Date.AppendFormat(dst, "Mon, 02 Jan 2006 15:04:05 -0700") // RFC 5322 section 3.3
		case messageIDPiece:
			dst = append(dst, v.MessageID...)
		case toPiece:
			dst = appendAddress(dst, v.ToName, v.ToAddress)
		case subjectPiece:
			dst = appendWords(dst, joined(p.subject, v.Slots))
		}
	}
	return dst
}

func joined(segments []Segment, slots []string) string {
	var b strings.Builder
	for _, s := range segments {
		if s.slot < 0 {
			b.WriteString(s.static)
		} else {
			b.WriteString(slots[s.slot])
		}
	}
	return b.String()
}

// appendAddress appends a name and an address as RFC 5322 section 3.4 writes
// them.
func appendAddress(dst []byte, name, address string) []byte {
	name = strings.TrimSpace(oneLine(name))
	if name == "" {
		dst = append(dst, '<')
		dst = append(dst, address...)
		return append(dst, '>')
	}
	a := netmail.Address{Name: name, Address: "x@x"}
	dst = appendFolded(dst, strings.TrimSuffix(a.String(), " <x@x>"))
	dst = append(dst, "\r\n <"...)
	dst = append(dst, address...)
	return append(dst, '>')
}

// longestHeaderLine is what RFC 5322 section 2.1.1 recommends.
const longestHeaderLine = 78

// appendWords appends unstructured text, as encoded words when it needs to be
// (RFC 2047).
func appendWords(dst []byte, s string) []byte {
	return appendFolded(dst, mime.QEncoding.Encode("utf-8", oneLine(s)))
}

// appendFolded folds a header value at blanks where lines grow long.
func appendFolded(dst []byte, s string) []byte {
	column := len("Subject: ")
	for i, word := range strings.Split(s, " ") {
		if i > 0 {
			// A fold before an empty word would make a line of white space only.
			if column+1+len(word) > longestHeaderLine && word != "" {
				dst = append(dst, "\r\n "...)
				column = 1
			} else {
				dst = append(dst, ' ')
				column++
			}
		}
		dst = append(dst, word...)
		column += len(word)
	}
	return dst
}

// oneLine makes control characters blanks: nobody's name adds a header.
func oneLine(s string) string {
	if strings.IndexFunc(s, isControl) < 0 {
		return s
	}
	return strings.TrimSpace(strings.Map(func(r rune) rune {
		if isControl(r) {
			return ' '
		}
		return r
	}, s))
}

func isControl(r rune) bool { return r < ' ' || r == 0x7f }

// longestEncodedLine is RFC 2045 section 6.7's, without the soft break's "=".
const longestEncodedLine = 75

// appendQuotedPrintable appends text in quoted-printable (RFC 2045 section 6.7)
// to a line that has come to a column, and returns the column it ends in. Line
// ends become CRLF. A dot at the beginning of a line is encoded, so that SMTP
// has no dot to double.
func appendQuotedPrintable(dst []byte, s string, column int) ([]byte, int) {
	const hex = "0123456789ABCDEF"
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c == '\r' && i+1 < len(s) && s[i+1] == '\n' {
			continue
		}
		if c == '\n' || c == '\r' {
			dst = append(dst, '\r', '\n')
			column = 0
			continue
		}
		plain := c >= '!' && c <= '~' && c != '=' || (c == ' ' || c == '\t') && !endsLine(s, i+1)
		if plain && c == '.' && (column == 0 || column >= longestEncodedLine) {
			plain = false
		}
		width := 3
		if plain {
			width = 1
		}
		if column+width > longestEncodedLine {
			dst = append(dst, '=', '\r', '\n')
			column = 0
		}
		if plain {
			dst = append(dst, c)
		} else {
			dst = append(dst, '=', hex[c>>4], hex[c&0x0f])
		}
		column += width
	}
	return dst, column
}

// endsLine reports whether a line of s ends at i.
func endsLine(s string, i int) bool {
	return i == len(s) || s[i] == '\n' || s[i] == '\r'
}
