package mailer

import (
	"bytes"
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/emersion/go-msgauth/dkim"
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
		domain := strings.ToLower(fields[0])
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

// Sign returns the mail with its signatures in front, or the mail itself when
// the domain has no key.
func (s Signers) Sign(domain string, mail []byte) ([]byte, error) {
	keys := s[domain]
	if len(keys) == 0 {
		return mail, nil
	}
	header, _, _ := bytes.Cut(mail, []byte("\r\n\r\n"))
	fields := slices.DeleteFunc(signedFields(), func(name string) bool { return !hasField(header, name) })
	var signatures bytes.Buffer
	for _, k := range keys {
		signing, err := dkim.NewSigner(&dkim.SignOptions{
			Domain: domain, Selector: k.selector, Signer: k.key, Hash: crypto.SHA256, HeaderKeys: fields,
			HeaderCanonicalization: dkim.CanonicalizationRelaxed, BodyCanonicalization: dkim.CanonicalizationSimple,
		})
		if err != nil {
			return nil, fmt.Errorf("sign for %s: %w", domain, err)
		}
		_, err = signing.Write(mail)
		if err := errors.Join(err, signing.Close()); err != nil {
			return nil, fmt.Errorf("sign for %s: %w", domain, err)
		}
		signatures.WriteString(signing.Signature())
	}
	signatures.Write(mail)
	return signatures.Bytes(), nil
}

// hasField reports whether a header has a field.
func hasField(header []byte, name string) bool {
	for line := range bytes.SplitSeq(header, []byte("\r\n")) {
		if len(line) > len(name) && line[len(name)] == ':' && strings.EqualFold(string(line[:len(name)]), name) {
			return true
		}
	}
	return false
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
