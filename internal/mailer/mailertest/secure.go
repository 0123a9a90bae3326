package mailertest

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/md5"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// Who may log in at a sink that NewSecure has started.
const (
	User     = "jatak"
	Password = "pære=grød+7"
)

// secure is what a sink wants before it takes mail: TLS, and a login.
type secure struct {
	mechanisms []string
	config     *tls.Config
	authority  string // file with the certificate
	implicit   bool   // TLS from the start
	token      atomic.Pointer[string]
}

// NewSecure starts a sink that takes mail only after STARTTLS and a login by one of
// the mechanisms: PLAIN, LOGIN, CRAM-MD5, SCRAM-SHA-256 or SCRAM-SHA-256-PLUS.
func NewSecure(t testing.TB, script Script, mechanisms ...string) *Sink {
	t.Helper()
	certificate, file := newCertificate(t)
	return startWith(t, "tcp", "127.0.0.1:0", false, script, nil, &secure{
		mechanisms: mechanisms, config: &tls.Config{Certificates: []tls.Certificate{certificate}}, authority: file})
}

// NewImplicit starts such a sink that speaks TLS from the start (RFC 8314).
func NewImplicit(t testing.TB, script Script, mechanisms ...string) *Sink {
	t.Helper()
	certificate, file := newCertificate(t)
	return startWith(t, "tcp", "127.0.0.1:0", false, script, nil, &secure{
		mechanisms: mechanisms, config: &tls.Config{Certificates: []tls.Certificate{certificate}}, authority: file, implicit: true})
}

// SetToken says by which token the sink lets its user in from now on, by XOAUTH2.
func (s *Sink) SetToken(token string) { s.secure.token.Store(&token) }

// newCertificate makes a certificate for this machine that signs itself, and writes
// it to a file.
func newCertificate(t testing.TB) (tls.Certificate, string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "sink.test"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "sink.pem")
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, file
}

// session is how far a conversation with a sink that is secure has come.
type session struct {
	*secure
	r     *bufio.Reader
	w     *bufio.Writer
	tls   *tls.Conn
	login string // the mechanism
}

// offers are the extensions that depend on the session.
func (s *session) offers() []string {
	switch {
	case s.secure == nil:
		return nil
	case s.tls == nil:
		return []string{"STARTTLS"}
	}
	return []string{"AUTH " + strings.Join(s.mechanisms, " ")}
}

// wants says what is missing before mail is taken, or nothing.
func (s *session) wants() string {
	switch {
	case s.secure == nil || s.login != "":
		return ""
	case s.tls == nil:
		return "530 5.7.0 Must issue a STARTTLS command first" // RFC 3207 section 4
	}
	return "530 5.7.0 Authentication required" // RFC 4954 section 6
}

// encrypt goes on by TLS (RFC 3207): what was said before is forgotten.
func (s *session) encrypt(conn net.Conn) error {
	s.tls = tls.Server(conn, s.config)
	if err := s.tls.Handshake(); err != nil {
		return err
	}
	s.r.Reset(s.tls)
	s.w.Reset(s.tls)
	return nil
}

// authenticate holds the exchange of AUTH (RFC 4954) and returns the reply.
func (s *session) authenticate(mechanism, initial string) string {
	if s.tls == nil {
		return "530 5.7.0 Must issue a STARTTLS command first"
	}
	var given *string
	if initial != "" {
		given = &initial
	}
	// ask sends a challenge and reads the response; a response that came with the
	// command answers the first.
	ask := func(challenge string) string {
		response := given
		if given = nil; response == nil {
			_, _ = fmt.Fprintf(s.w, "334 %s\r\n", base64.StdEncoding.EncodeToString([]byte(challenge)))
			if s.w.Flush() != nil {
				return ""
			}
			line, _ := s.r.ReadString('\n')
			line = strings.TrimRight(line, "\r\n")
			response = &line
		}
		text, err := base64.StdEncoding.DecodeString(*response)
		if err != nil {
			return ""
		}
		return string(text)
	}
	good := false
	switch mechanism {
	case "PLAIN":
		good = ask("") == "\x00"+User+"\x00"+Password
	case "LOGIN":
		good = ask("Username:") == User
		good = ask("Password:") == Password && good
	case "CRAM-MD5":
		good = cramMD5(ask)
	case "XOAUTH2":
		token := s.token.Load()
		good = token != nil && ask("") == "user="+User+"\x01auth=Bearer "+*token+"\x01\x01"
	case "SCRAM-SHA-256":
		good = scram("n,,", nil, ask)
	case "SCRAM-SHA-256-PLUS":
		state := s.tls.ConnectionState()
		binding, err := state.ExportKeyingMaterial("EXPORTER-Channel-Binding", nil, 32) // RFC 9266
		good = err == nil && scram("p=tls-exporter,,", binding, ask)
	}
	if !good {
		return "535 5.7.8 bad credentials"
	}
	s.login = mechanism
	return "235 2.7.0 welcome"
}

// cramMD5 is RFC 2195.
func cramMD5(ask func(string) string) bool {
	challenge := "<" + rand.Text() + "@sink.test>"
	mac := hmac.New(md5.New, []byte(Password))
	mac.Write([]byte(challenge))
	return ask(challenge) == fmt.Sprintf("%s %x", User, mac.Sum(nil))
}

// scram is RFC 5802 with SHA-256 (RFC 7677).
func scram(header string, binding []byte, ask func(string) string) bool {
	bare, ok := strings.CutPrefix(ask(""), header)
	nonce, found := strings.CutPrefix(bare, "n="+User+",r=")
	if !ok || !found {
		return false
	}
	const iterations = 4096
	salt := []byte(rand.Text())
	nonce += rand.Text()
	first := fmt.Sprintf("r=%s,s=%s,i=%d", nonce, base64.StdEncoding.EncodeToString(salt), iterations)
	final := ask(first)
	last := strings.LastIndex(final, ",p=")
	if last < 0 {
		return false
	}
	proof, err := base64.StdEncoding.DecodeString(final[last+len(",p="):])
	bound := base64.StdEncoding.EncodeToString(append([]byte(header), binding...))
	if err != nil || final[:last] != "c="+bound+",r="+nonce {
		return false
	}
	salted, err := pbkdf2.Key(sha256.New, Password, salt, iterations, sha256.Size)
	if err != nil {
		return false
	}
	message := bare + "," + first + "," + final[:last]
	clientKey := mac256(salted, "Client Key")
	storedKey := sha256.Sum256(clientKey)
	signature := mac256(storedKey[:], message)
	for i := range signature {
		signature[i] ^= clientKey[i]
	}
	if !hmac.Equal(signature, proof) {
		return false
	}
	ask("v=" + base64.StdEncoding.EncodeToString(mac256(mac256(salted, "Server Key"), message)))
	return true
}

func mac256(key []byte, text string) []byte {
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(text))
	return mac.Sum(nil)
}
