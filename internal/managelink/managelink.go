// Package managelink answers whose link this is and what it may do. It mints
// and opens the personal credentials that mails carry: a withdraw token, which
// never expires and can only withdraw; a manage token, which shows and changes
// preferences for a while; a confirm token, which confirms one sign-up; and, in the
// envelope, a bounce token, which says whose mail came back.
//
// Tokens are opaque: ids are encrypted, and nothing in them is personal data.
// The package is pure; it refuses to know what the ids stand for.
package managelink

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"strings"
	"sync"
	"time"
)

// ErrInvalid says that a token was not minted under a key of the ring. It is
// the same for what is unknown, forged, malformed or over-long.
var ErrInvalid = errors.New("not a valid link")

// Kind is what a link may do.
type Kind byte

// The kinds of links.
const (
	Manage   Kind = 1
	Withdraw Kind = 2
	Confirm  Kind = 3
	Bounce   Kind = 4 // stands in no link, but in MAIL FROM
)

// Link is what a token says.
type Link struct {
	Kind     Kind
	Contact  int64
	Campaign int64
	SignUp   int64 // of a confirm link
	Type     int64 // of a withdraw link; 0 is all e-marketing
	// AddressDigest of a withdraw link is matched with AddressMatches.
	AddressDigest [addressSize]byte
	Expires       time.Time // of a manage or confirm link
	Expired       bool
}

// The layout of a token: key id (1), MAC (16), then the encrypted payload. The
// MAC over the payload is also the initial vector of its encryption (SIV, RFC
// 5297, with HMAC-SHA-256 in the place of S2V), so that minting needs no random
// number and equal links are equal.
const (
	macSize     = 16
	addressSize = 6
	headerSize  = 1 + macSize
	maxPayload  = 1 + 3*binary.MaxVarintLen64 + addressSize
	maxToken    = 57 // so that "/m/" and the token make 60 characters
)

// Keyring holds the keys: the first signs, all verify.
type Keyring struct {
	keys []*key
}

type key struct {
	id     byte
	block  cipher.Block
	macs   sync.Pool // of hash.Hash keyed for MACs
	digest []byte
}

// ParseKeys reads "id:key,id:key". An id is 1 to 16 characters of a-z, 0-9 and
// -; a key is at least 32 characters and not one that everybody knows. Errors
// say what to write and never show a key.
func ParseKeys(s string) (*Keyring, error) {
	const mend = "write id:key,id:key with keys made by: openssl rand -hex 32"
	if strings.TrimSpace(s) == "" {
		return nil, errors.New("no secret key; " + mend)
	}
	ring := &Keyring{}
	names := map[string]bool{}
	for i, part := range strings.Split(s, ",") {
		name, secret, ok := strings.Cut(strings.TrimSpace(part), ":")
		switch {
		case !ok:
			return nil, fmt.Errorf("key %d has no id before a colon; %s", i+1, mend)
		case !validID(name):
			return nil, fmt.Errorf("the id of key %d is not 1 to 16 characters of a-z, 0-9 and -", i+1)
		case names[name]:
			return nil, fmt.Errorf("two keys have the id %q", name)
		}
		if err := checkSecret(secret); err != nil {
			return nil, fmt.Errorf("key %q %w; make one with: openssl rand -hex 32", name, err)
		}
		k, err := newKey(name, secret)
		if err != nil {
			return nil, fmt.Errorf("key %q: %w", name, err)
		}
		for _, other := range ring.keys {
			if other.id == k.id {
				return nil, fmt.Errorf("the ids of key %q and an earlier one look the same in a token; give it another id", name)
			}
		}
		names[name] = true
		ring.keys = append(ring.keys, k)
	}
	return ring, nil
}

func validID(id string) bool {
	if id == "" || len(id) > 16 {
		return false
	}
	return strings.Trim(id, "abcdefghijklmnopqrstuvwxyz0123456789-") == ""
}

// shortestSecret is 128 bits in hexadecimal.
const shortestSecret = 32

func checkSecret(secret string) error {
	if len(secret) < shortestSecret {
		return fmt.Errorf("is shorter than %d characters", shortestSecret)
	}
	distinct := map[rune]bool{}
	for _, r := range secret {
		distinct[r] = true
	}
	if len(distinct) < 8 {
		return errors.New("repeats a few characters")
	}
	lower := strings.ToLower(secret)
	for _, known := range []string{"changeme", "change-me", "example", "secret", "password", "0123456789abcdef0123", "deadbeef"} {
		if strings.Contains(lower, known) {
			return errors.New("is one that everybody knows")
		}
	}
	return nil
}

func newKey(name, secret string) (*key, error) {
	derive := func(use string, size int) []byte {
		out, err := hkdf.Key(sha256.New, []byte(secret), nil, "jatak managelink "+use, size)
		if err != nil {
			panic(err) // the sizes are ours and fit
		}
		return out
	}
	block, err := aes.NewCipher(derive("encryption", 16))
	if err != nil {
		return nil, err
	}
	macKey := derive("mac", 32)
	id := sha256.Sum256([]byte(name))
	return &key{
		id: id[0], block: block, digest: derive("address", 32),
		macs: sync.Pool{New: func() any { return hmac.New(sha256.New, macKey) }},
	}, nil
}

// Manage mints a manage token, good until it expires.
func (r *Keyring) Manage(contact, campaign int64, expires time.Time) string {
	return r.passing(Manage, contact, campaign, expires)
}

// Confirm mints a confirm token for a sign-up, good until it expires.
func (r *Keyring) Confirm(contact, signUp int64, expires time.Time) string {
	return r.passing(Confirm, contact, signUp, expires)
}

// passing mints a token that expires.
func (r *Keyring) passing(kind Kind, contact, subject int64, expires time.Time) string {
	var payload [maxPayload]byte
	p := append(payload[:0], byte(kind))
	p = binary.AppendUvarint(p, uint64(contact))
	p = binary.AppendUvarint(p, uint64(subject))
	p = binary.AppendUvarint(p, uint64(max(0, expires.Unix())))
	return r.seal(p)
}

// Withdraw mints a withdraw token for a subscription type, or with 0 for all
// e-marketing. It never expires.
func (r *Keyring) Withdraw(contact, campaign, typeID int64, address string) string {
	var payload [maxPayload]byte
	p := append(payload[:0], byte(Withdraw))
	p = binary.AppendUvarint(p, uint64(contact))
	p = binary.AppendUvarint(p, uint64(campaign))
	p = binary.AppendUvarint(p, uint64(typeID))
	digest := r.keys[0].addressDigest(address)
	p = append(p, digest[:addressSize]...)
	return r.seal(p)
}

func (r *Keyring) seal(payload []byte) string {
	k := r.keys[0]
	var token [headerSize + maxPayload]byte
	t := append(token[:0], k.id)
	t = k.appendMAC(t, payload)
	t = append(t, payload...)
	k.crypt(t[1:headerSize], t[headerSize:])
	return base64.RawURLEncoding.EncodeToString(t)
}

// appendMAC appends the payload's MAC, bound to the key's id.
func (k *key) appendMAC(dst, payload []byte) []byte {
	h := k.macs.Get().(hash.Hash)
	defer k.macs.Put(h)
	h.Reset()
	_, _ = h.Write([]byte{k.id})
	_, _ = h.Write(payload)
	var sum [sha256.Size]byte
	return append(dst, h.Sum(sum[:0])[:macSize]...)
}

// crypt en- or decrypts in place.
func (k *key) crypt(iv, data []byte) {
	cipher.NewCTR(k.block, iv).XORKeyStream(data, data)
}

// Open returns what a token says, or ErrInvalid. A manage or confirm token past its time
// is returned with Expired set.
func (r *Keyring) Open(token string, now time.Time) (Link, error) {
	if len(token) > maxToken {
		return Link{}, ErrInvalid
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(token)
	if err != nil || len(raw) <= headerSize {
		return Link{}, ErrInvalid
	}
	for _, k := range r.keys {
		if k.id != raw[0] {
			continue
		}
		payload := append([]byte(nil), raw[headerSize:]...)
		k.crypt(raw[1:headerSize], payload)
		var mac [macSize]byte
		k.appendMAC(mac[:0], payload)
		if subtle.ConstantTimeCompare(mac[:], raw[1:headerSize]) != 1 {
			return Link{}, ErrInvalid
		}
		return parse(payload, now)
	}
	return Link{}, ErrInvalid
}

func parse(payload []byte, now time.Time) (l Link, err error) {
	l.Kind = Kind(payload[0])
	rest := payload[1:]
	number := func() int64 {
		n, size := binary.Uvarint(rest)
		if size <= 0 {
			err = ErrInvalid
			return 0
		}
		rest = rest[size:]
		return int64(n)
	}
	l.Contact, l.Campaign = number(), number()
	switch l.Kind {
	case Manage, Confirm:
		if l.Kind == Confirm {
			l.SignUp, l.Campaign = l.Campaign, 0
		}
		l.Expires = time.Unix(number(), 0).UTC()
		l.Expired = !now.Before(l.Expires)
	case Withdraw:
		l.Type = number()
		if len(rest) < addressSize {
			return Link{}, ErrInvalid
		}
		rest = rest[copy(l.AddressDigest[:], rest):]
	case Bounce:
	default:
		return Link{}, ErrInvalid
	}
	if err != nil || len(rest) > 0 {
		return Link{}, ErrInvalid
	}
	return l, nil
}

// AddressMatches reports whether a withdraw link was minted for the address.
func (r *Keyring) AddressMatches(l Link, address string) bool {
	for _, k := range r.keys {
		if subtle.ConstantTimeCompare(k.addressDigest(address)[:addressSize], l.AddressDigest[:]) == 1 {
			return true
		}
	}
	return false
}

func (k *key) addressDigest(address string) []byte {
	h := hmac.New(sha256.New, k.digest)
	_, _ = h.Write([]byte(address))
	return h.Sum(nil)
}

// Digest returns the keyed hash of a normalised address, 32 bytes, by which
// suppressions are kept. It is made with the last key of the ring, the oldest,
// so that a new key in front changes nothing that is kept.
func (r *Keyring) Digest(address string) []byte {
	return r.keys[len(r.keys)-1].addressDigest(address)
}
