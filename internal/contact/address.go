package contact

import (
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/net/idna"
)

// Address is an e-mail address in the form in which two spellings of the same
// mailbox are equal: white space trimmed, lower case, the domain in ASCII
// (IDNA 2008). The zero value is no address.
type Address string

// ErrNoAddress says that nothing was given.
var ErrNoAddress = errors.New("no e-mail address")

// RFC 5321 section 4.5.3.1, in octets.
const (
	maxLocalPart = 64
	maxAddress   = 254
)

// ParseAddress normalises an e-mail address. It accepts what RFC 5321 calls a
// Mailbox with a dot-string local part, also in UTF-8 (RFC 6531), and a domain
// of at least two labels. Quoted local parts and address literals are refused:
// nobody is reached there by a newsletter. The error says what is wrong.
func ParseAddress(s string) (Address, error) {
	s = strings.TrimSpace(s)
	if s == "" {
		return "", ErrNoAddress
	}
	if !utf8.ValidString(s) {
		return "", errors.New("the address is not valid UTF-8")
	}
	local, domain, found := strings.Cut(s, "@")
	switch {
	case !found:
		return "", errors.New("the address has no @")
	case strings.Contains(domain, "@"):
		return "", errors.New("the address has more than one @")
	case domain == "":
		return "", errors.New("nothing stands after the @")
	}
	local = strings.ToLower(local)
	if err := checkLocalPart(local); err != nil {
		return "", err
	}
	ascii, err := idna.Lookup.ToASCII(domain)
	if err != nil {
		return "", fmt.Errorf("the domain after the @ is not valid: %q", clip(domain))
	}
	if err := checkDomain(ascii); err != nil {
		return "", err
	}
	if len(local)+1+len(ascii) > maxAddress {
		return "", fmt.Errorf("the address is longer than %d characters", maxAddress)
	}
	return Address(local + "@" + ascii), nil
}

func checkLocalPart(local string) error {
	switch {
	case local == "":
		return errors.New("nothing stands before the @")
	case len(local) > maxLocalPart:
		return fmt.Errorf("the part before the @ is longer than %d characters", maxLocalPart)
	case strings.HasPrefix(local, "."), strings.HasSuffix(local, "."), strings.Contains(local, ".."):
		return errors.New("the part before the @ has a dot too many")
	}
	for _, r := range local {
		ok := r > unicode.MaxASCII && (unicode.IsLetter(r) || unicode.IsMark(r) || unicode.IsNumber(r)) ||
			r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || strings.ContainsRune(".!#$%&'*+-/=?^_`{|}~", r)
		if !ok {
			return fmt.Errorf("the part before the @ holds the character %q", r)
		}
	}
	return nil
}

func checkDomain(domain string) error {
	labels := strings.Split(domain, ".")
	if len(labels) < 2 {
		return fmt.Errorf("the domain after the @ has no dot: %q", clip(domain))
	}
	for _, l := range labels {
		if l == "" || len(l) > 63 || strings.HasPrefix(l, "-") || strings.HasSuffix(l, "-") {
			return fmt.Errorf("the domain after the @ is not valid: %q", clip(domain))
		}
		for _, r := range l {
			if !(r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '-') {
				return fmt.Errorf("the domain after the @ holds the character %q", r)
			}
		}
	}
	if top := labels[len(labels)-1]; strings.Trim(top, "0123456789") == "" {
		return fmt.Errorf("the domain after the @ ends in a number: %q", clip(domain))
	}
	return nil
}

// Domain returns the part after the @, or "".
func (a Address) Domain() string {
	if at := strings.LastIndexByte(string(a), '@'); at >= 0 {
		return string(a[at+1:])
	}
	return ""
}

// Masked returns the address as the manage page shows it, recognisable to its
// owner and to nobody else: a***@example.org.
func (a Address) Masked() string {
	if a == "" {
		return ""
	}
	_, size := utf8.DecodeRuneInString(string(a))
	return string(a[:size]) + "***@" + a.Domain()
}

func clip(s string) string {
	const most = 80
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "…"
}
