package mailer

import (
	"bytes"
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"time"
)

// Signers sign mails by the domain of their From (DKIM, RFC 6376 and 8463).
type Signers map[string][]signer // by domain

type signer struct {
	selector string
	key      crypto.Signer
}

// signedFields are the header fields that a signature covers, where a mail has
// them; RFC 8058 section 4 asks for the last two.
func signedFields() []string {
	return []string{"From", "To", "Subject", "Date", "Message-ID", "Reply-To", "MIME-Version", "Content-Type",
		"List-Id", "Feedback-ID", "Auto-Submitted", "List-Unsubscribe", "List-Unsubscribe-Post"}
}

const signerExample = "write domain:selector:file, such as example.org:jatak1:/etc/jatak/dkim.pem"

// ParseSigners reads "domain:selector:file,domain:selector:file". A file holds a
// private key in PEM: RSA of at least 1024 bits, or Ed25519. A domain may have
// several keys, and its mails as many signatures.
func ParseSigners(s string) (Signers, error) {
	signers := Signers{}
	for part := range strings.SplitSeq(s, ",") {
		part = strings.TrimSpace(part)
		if part == "" {
			continue
		}
		fields := strings.SplitN(part, ":", 3)
		if len(fields) != 3 || fields[0] == "" || fields[1] == "" || fields[2] == "" {
			return nil, fmt.Errorf("%q has no domain, selector and file; %s", part, signerExample)
		}
		key, err := readKey(fields[2])
		if err != nil {
			return nil, fmt.Errorf("%s: %w", fields[2], err)
		}
		domain := strings.ToLower(asciiDomain(fields[0]))
		signers[domain] = append(signers[domain], signer{fields[1], key})
	}
	return signers, nil
}

// weakRSA is the shortest RSA key that receivers accept, in bits (RFC 8301).
const weakRSA = 1024

func readKey(file string) (crypto.Signer, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, errors.New("the file holds no PEM key; make one with: jatak dkim keygen")
	}
	var key any
	if block.Type == "RSA PRIVATE KEY" {
		key, err = x509.ParsePKCS1PrivateKey(block.Bytes)
	} else {
		key, err = x509.ParsePKCS8PrivateKey(block.Bytes)
	}
	if err != nil {
		return nil, errors.New("the key cannot be read; make one with: jatak dkim keygen")
	}
	switch key := key.(type) {
	case *rsa.PrivateKey:
		if key.N.BitLen() < weakRSA {
			return nil, fmt.Errorf("the RSA key has %d bits, and receivers want %d at least", key.N.BitLen(), weakRSA)
		}
		return key, nil
	case ed25519.PrivateKey:
		return key, nil
	}
	return nil, errors.New("the key is neither RSA nor Ed25519")
}

// of returns the keys of a domain, or of the nearest above it that has some: its
// signature counts for those below as well (RFC 7489 section 3.1.1).
func (s Signers) of(domain string) (signing string, keys []signer) {
	if len(s) == 0 {
		return "", nil
	}
	signing = strings.ToLower(asciiDomain(domain))
	for above := true; above; _, signing, above = strings.Cut(signing, ".") {
		if keys := s[signing]; len(keys) > 0 {
			return signing, keys
		}
	}
	return "", nil
}

// Signs reports whether mails from a domain are signed.
func (s Signers) Signs(domain string) bool {
	_, keys := s.of(domain)
	return len(keys) > 0
}

// Sign returns the mail with its signatures in front, or the mail itself when
// neither the domain nor one above it has a key. The mail has CRLF line ends.
//
// It does what go-msgauth, which verifies it in the tests, does as well, without
// copying the body and without a goroutine: each mail is signed, so that the
// signature itself should be all that it costs.
func (s Signers) Sign(domain string, mail []byte, now time.Time) ([]byte, error) {
	domain, keys := s.of(domain)
	if len(keys) == 0 {
		return mail, nil
	}
	header, body, _ := bytes.Cut(mail, []byte("\r\n\r\n"))
	names, covered := coveredFields(header)
	digest := sha256.Sum256(simpleBody(body))
	signed := make([]byte, 0, len(mail)+len(keys)*longestSignature)
	for _, k := range keys {
		field := signatureField(k, domain, names, digest[:], now)
		signature, err := k.sign(sha256.Sum256(bytes.TrimSuffix(appendRelaxed(slices.Clip(covered), field), []byte("\r\n"))))
		if err != nil {
			return nil, fmt.Errorf("sign for %s: %w", domain, err)
		}
		signed = append(signed, field...)
		signed = appendFoldedBase64(signed, signature)
		signed = append(signed, "\r\n"...)
	}
	return append(signed, mail...), nil
}

// longestSignature is about what a field with an RSA-2048 signature takes, in bytes.
const longestSignature = 1024

// sign signs a digest: RSA as RFC 6376 section 3.3, Ed25519 as RFC 8463 section 3.
func (k signer) sign(digest [sha256.Size]byte) ([]byte, error) {
	if _, ok := k.key.(ed25519.PrivateKey); ok {
		return k.key.Sign(rand.Reader, digest[:], crypto.Hash(0))
	}
	return k.key.Sign(rand.Reader, digest[:], crypto.SHA256)
}

// algorithm is the key's name in a signature.
func (k signer) algorithm() string {
	if _, ok := k.key.(ed25519.PrivateKey); ok {
		return "ed25519-sha256"
	}
	return "rsa-sha256"
}

// signatureField returns the DKIM-Signature field as it is signed: without the
// signature, which comes last.
func signatureField(k signer, domain string, names []string, bodyDigest []byte, now time.Time) []byte {
	field := fmt.Appendf(nil, "DKIM-Signature: v=1; a=%s; c=relaxed/simple; d=%s; s=%s;\r\n t=%d; h=", k.algorithm(), domain, k.selector, now.Unix())
	column := len(field) - bytes.LastIndexByte(field, '\n')
	for i, name := range names {
		if i > 0 {
			field = append(field, ':')
		}
		if column += len(name) + 1; column > longestHeaderLine {
			field = append(field, "\r\n "...)
			column = len(name) + 2
		}
		field = append(field, name...)
	}
	field = append(field, ";\r\n bh="...)
	field = base64.StdEncoding.AppendEncode(field, bodyDigest)
	return append(field, ";\r\n b="...)
}

// appendFoldedBase64 appends a signature, folded into lines.
func appendFoldedBase64(dst, signature []byte) []byte {
	const width = 70
	text := base64.StdEncoding.EncodeToString(signature)
	for ; len(text) > width; text = text[width:] {
		dst = append(dst, text[:width]...)
		dst = append(dst, "\r\n "...)
	}
	return append(dst, text...)
}

// coveredFields returns the fields that a signature covers, in its order, and their
// relaxed form. Of fields that there are several of it takes the last, as a verifier
// does (RFC 6376 section 5.4.2).
func coveredFields(header []byte) (names []string, relaxed []byte) {
	fields := signedFields()
	last := make([][]byte, len(fields))
	for len(header) > 0 {
		end := fieldEnd(header)
		field := header[:end]
		header = header[end:]
		name, _, _ := bytes.Cut(field, []byte(":"))
		name = bytes.TrimRight(name, " \t")
		for i, wanted := range fields {
			if len(name) == len(wanted) && strings.EqualFold(string(name), wanted) {
				last[i] = field
			}
		}
	}
	relaxed = make([]byte, 0, 2<<10)
	for i, field := range last {
		if field != nil {
			names = append(names, fields[i])
			relaxed = appendRelaxed(relaxed, field)
		}
	}
	return names, relaxed
}

// fieldEnd returns where the first field of a header ends, with the lines that it
// goes on.
func fieldEnd(header []byte) int {
	for end := 0; ; {
		i := bytes.Index(header[end:], []byte("\r\n"))
		if i < 0 {
			return len(header)
		}
		end += i + 2
		if end == len(header) || header[end] != ' ' && header[end] != '\t' {
			return end
		}
	}
}

// appendRelaxed appends a header field in the relaxed form of RFC 6376 section
// 3.4.2: the name in lower case, each run of white space and folds one blank, none
// at the ends.
func appendRelaxed(dst, field []byte) []byte {
	name, value, _ := bytes.Cut(field, []byte(":"))
	for _, c := range bytes.TrimRight(name, " \t") {
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		dst = append(dst, c)
	}
	dst = append(dst, ':')
	begun, blank := false, false
	for _, c := range value {
		switch c {
		case ' ', '\t', '\r', '\n':
			blank = true
			continue
		}
		if blank && begun {
			dst = append(dst, ' ')
		}
		begun, blank = true, false
		dst = append(dst, c)
	}
	return append(dst, "\r\n"...)
}

// simpleBody returns a body in the simple form of RFC 6376 section 3.4.3: it ends
// in one line end.
func simpleBody(body []byte) []byte {
	for bytes.HasSuffix(body, []byte("\r\n\r\n")) {
		body = body[:len(body)-2]
	}
	switch {
	case len(body) == 0, bytes.Equal(body, []byte("\r\n")):
		return []byte("\r\n")
	case !bytes.HasSuffix(body, []byte("\r\n")):
		return append(slices.Clip(body), "\r\n"...)
	}
	return body
}

// NewKey makes a key of kind rsa or ed25519, and returns it as PEM with the text
// of its DNS record.
func NewKey(kind string) (pemText, record string, err error) {
	var key crypto.Signer
	switch kind {
	case "rsa":
		key, err = rsa.GenerateKey(rand.Reader, 2048)
	case "ed25519":
		_, key, err = ed25519.GenerateKey(rand.Reader)
	default:
		return "", "", fmt.Errorf("a key is rsa or ed25519, not %q", kind)
	}
	if err != nil {
		return "", "", err
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return "", "", err
	}
	if record, err = publicRecord(key); err != nil {
		return "", "", err
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})), record, nil
}

// publicRecord is the text of a key's DNS record (RFC 6376 section 3.6.1, RFC
// 8463 section 4.2).
func publicRecord(key crypto.Signer) (string, error) {
	kind, public := "ed25519", []byte(nil)
	switch key := key.Public().(type) {
	case ed25519.PublicKey:
		public = key
	default:
		kind = "rsa"
		var err error
		if public, err = x509.MarshalPKIXPublicKey(key); err != nil {
			return "", err
		}
	}
	return fmt.Sprintf("v=DKIM1; k=%s; p=%s", kind, base64.StdEncoding.EncodeToString(public)), nil
}

// PublicKey is what the DNS must say of a key that mails are signed with.
type PublicKey struct{ Domain, Selector, Record string }

// PublicKeys lists the keys, by domain and selector.
func (s Signers) PublicKeys() (list []PublicKey, err error) {
	for _, domain := range slices.Sorted(maps.Keys(s)) {
		for _, k := range s[domain] {
			record, err := publicRecord(k.key)
			if err != nil {
				return nil, fmt.Errorf("key %s of %s: %w", k.selector, domain, err)
			}
			list = append(list, PublicKey{domain, k.selector, record})
		}
	}
	return list, nil
}
