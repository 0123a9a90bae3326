// Package staff answers who works here, and what they may do: users of the
// console, their roles and passwords. It keeps nothing itself.
package staff

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"golang.org/x/crypto/argon2"
)

// Role is what a user may do; each may do what those before may.
type Role string

// The roles.
const (
	Viewer        Role = "viewer"        // look at campaigns and reports
	Marketer      Role = "marketer"      // launch, pause, resume and cancel campaigns
	Officer       Role = "officer"       // see people, and change their consents with a reason
	Administrator Role = "administrator" // change settings
)

// Roles lists them, the least first.
func Roles() []Role { return []Role{Viewer, Marketer, Officer, Administrator} }

// May reports whether the role includes another. A role that nobody knows
// includes none.
func (r Role) May(needed Role) bool {
	mine, its := slices.Index(Roles(), r), slices.Index(Roles(), needed)
	return mine >= 0 && its >= 0 && mine >= its
}

// User is somebody who may log in.
type User struct {
	ID           int64
	Email        string
	Role         Role
	Language     string
	TimeZone     string // of the IANA list; "": the installation's
	PasswordHash string
}

// Member is a user as the list of users shows them.
type Member struct {
	ID       int64
	Email    string
	Role     Role
	Created  time.Time
	Seen     time.Time // zero when they have no session
	Disabled bool
}

// Invitation is a link that was not used yet.
type Invitation struct {
	ID      int64
	Email   string // "" for the first user, who says
	Role    Role
	By      string
	Created time.Time
	Expires time.Time
}

// Session is a browser that a user is logged in with.
type Session struct {
	ID      int64
	Agent   string // what the browser calls itself
	Started time.Time
	Seen    time.Time
	Expires time.Time
	Current bool
}

// ErrNotFound says that there is no such user, session or set-up link.
var ErrNotFound = errors.New("no such user or session")

// ErrLastAdministrator says that nobody would be left who may change users.
var ErrLastAdministrator = errors.New("there must be an administrator")

// A Refusal says why what was asked for cannot be done as things are now: a name is
// taken, or somebody was faster. Nothing is broken.
type Refusal string

// Error returns the reason.
func (r Refusal) Error() string { return string(r) }

// How long things last.
const (
	SessionLife    = 12 * time.Hour
	InvitationLife = 24 * time.Hour
)

// MostAgent bounds what is kept of what a browser calls itself, in bytes.
const MostAgent = 300

// NewToken returns a secret for a session or a link, and the hash it is kept by.
func NewToken() (token string, hash []byte) {
	var secret [32]byte
	_, _ = rand.Read(secret[:]) // never fails
	token = base64.RawURLEncoding.EncodeToString(secret[:])
	return token, HashToken(token)
}

// HashToken returns what a token is kept by.
func HashToken(token string) []byte {
	sum := sha256.Sum256([]byte(token))
	return sum[:]
}

// The cost of a password's hash: RFC 9106 section 4, the second choice, with
// fewer passes for a server of two cores.
const (
	passes  = 2
	memory  = 64 << 10 // KiB
	threads = 2
	keySize = 32
)

// Bounds of a password, in bytes.
const (
	LeastPassword = 12
	MostPassword  = 200
)

// HashPassword returns a password as it is kept: argon2id with a salt.
func HashPassword(password string) (string, error) {
	if len(password) < LeastPassword || len(password) > MostPassword {
		return "", fmt.Errorf("a password has %d to %d characters", LeastPassword, MostPassword)
	}
	var salt [16]byte
	_, _ = rand.Read(salt[:]) // never fails
	key := argon2.IDKey([]byte(password), salt[:], passes, memory, threads, keySize)
	return fmt.Sprintf("argon2id$%d$%d$%d$%s$%s", passes, memory, threads,
		base64.RawStdEncoding.EncodeToString(salt[:]), base64.RawStdEncoding.EncodeToString(key)), nil
}

// CheckPassword reports whether a password is the one of a hash. It takes as
// long for a hash that is none, so that nobody learns who has an account.
func CheckPassword(hash, password string) bool {
	var p, m uint32
	var t uint8
	var salt, want []byte
	fields := strings.Split(hash, "$")
	known := len(fields) == 6 && fields[0] == "argon2id"
	if known {
		_, err := fmt.Sscanf(strings.Join(fields[1:4], " "), "%d %d %d", &p, &m, &t)
		var saltErr, keyErr error
		salt, saltErr = base64.RawStdEncoding.DecodeString(fields[4])
		want, keyErr = base64.RawStdEncoding.DecodeString(fields[5])
		known = errors.Join(err, saltErr, keyErr) == nil && len(want) == keySize && p > 0 && t > 0 && m <= 1<<20
	}
	if !known {
		p, m, t, salt, want = passes, memory, threads, make([]byte, 16), make([]byte, keySize)
	}
	if len(password) > MostPassword {
		password = ""
	}
	key := argon2.IDKey([]byte(password), salt, p, m, t, keySize)
	return subtle.ConstantTimeCompare(key, want) == 1 && known
}
