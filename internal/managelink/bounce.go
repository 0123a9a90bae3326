package managelink

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base32"
	"encoding/binary"
	"hash"
	"strings"
	"time"
)

// A bounce token stands in the local part of MAIL FROM, which has room for 64
// bytes and may come back in capitals. So it is written in base32, and its MAC
// is shorter than that of a link: who forges one out of 2^80 makes a bounce.
const (
	bounceMACSize    = 10
	bounceHeaderSize = 1 + bounceMACSize
	// LongestBounce is how long a bounce token is at most.
	LongestBounce = 47
)

// Bounce mints the token by which a bounce is known: whose mail of which
// campaign came back, or with campaign 0, which mail outside of campaigns. It
// never expires and holds letters and digits in lower case only.
func (r *Keyring) Bounce(contact, campaign int64) string {
	k := r.keys[0]
	var space [bounceHeaderSize + 2*binary.MaxVarintLen64]byte
	t := append(space[:0], k.id)
	t = t[:bounceHeaderSize]
	t = binary.AppendUvarint(t, uint64(contact))
	t = binary.AppendUvarint(t, uint64(campaign))
	copy(t[1:], k.bounceMAC(t[bounceHeaderSize:]))
	k.crypt(bounceVector(t), t[bounceHeaderSize:])
	return strings.ToLower(bounceEncoding().EncodeToString(t))
}

// ReturnPath is the MAIL FROM of one recipient's mail (VERP): the mailbox that
// takes bounces, with a bounce token after a plus.
func (r *Keyring) ReturnPath(mailbox string, contact, campaign int64) string {
	local, domain, _ := strings.Cut(mailbox, "@")
	return local + "+" + r.Bounce(contact, campaign) + "@" + domain
}

// OpenBounce returns what a bounce token says, or ErrInvalid. It takes the token
// in capitals, too.
func (r *Keyring) OpenBounce(token string) (Link, error) {
	if len(token) > LongestBounce || strings.Trim(token, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ234567") != "" {
		return Link{}, ErrInvalid
	}
	token = strings.ToUpper(token)
	raw, err := bounceEncoding().DecodeString(token)
	if err != nil || len(raw) <= bounceHeaderSize || bounceEncoding().EncodeToString(raw) != token {
		return Link{}, ErrInvalid
	}
	for _, k := range r.keys {
		if k.id != raw[0] {
			continue
		}
		payload := raw[bounceHeaderSize:]
		k.crypt(bounceVector(raw), payload)
		if subtle.ConstantTimeCompare(k.bounceMAC(payload), raw[1:bounceHeaderSize]) != 1 {
			return Link{}, ErrInvalid
		}
		return parse(append([]byte{byte(Bounce)}, payload...), time.Time{})
	}
	return Link{}, ErrInvalid
}

// bounceMAC returns the payload's MAC. The kind goes in, so that no other token
// can be made into a bounce.
func (k *key) bounceMAC(payload []byte) []byte {
	h := k.macs.Get().(hash.Hash)
	defer k.macs.Put(h)
	h.Reset()
	_, _ = h.Write([]byte{k.id, byte(Bounce)})
	_, _ = h.Write(payload)
	return h.Sum(make([]byte, 0, sha256.Size))[:bounceMACSize]
}

// bounceVector is a token's MAC, as long as the initial vector must be.
func bounceVector(token []byte) []byte {
	vector := make([]byte, macSize)
	copy(vector, token[1:bounceHeaderSize])
	return vector
}

func bounceEncoding() *base32.Encoding { return base32.StdEncoding.WithPadding(base32.NoPadding) }
