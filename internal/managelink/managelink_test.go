package managelink_test

import (
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/jatak-mail/jatak/internal/managelink"
)

const (
	oldKey = "k1:5f2b8d1c9e704a36b1d2c3e4f5061728394a5b6c7d8e9fa0b1c2d3e4f5061728"
	newKey = "k2:a1948f3e2d0c1b5a69788796a5b4c3d2e1f00f1e2d3c4b5a6978879685746352"
)

var now = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

func ring(t testing.TB, keys string) *managelink.Keyring {
	t.Helper()
	r, err := managelink.ParseKeys(keys)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestManageLinkSaysWhoseItIsUntilItExpires(t *testing.T) {
	t.Parallel()
	r := ring(t, oldKey)
	token := r.Manage(4711, 12, now.Add(time.Hour))
	l, err := r.Open(token, now)
	if err != nil || l.Kind != managelink.Manage || l.Contact != 4711 || l.Campaign != 12 || l.Expired {
		t.Fatalf("Open = %+v, %v", l, err)
	}
	if l, err = r.Open(token, now.Add(2*time.Hour)); err != nil || !l.Expired || l.Contact != 4711 {
		t.Fatalf("Open after expiry = %+v, %v; want the contact, and Expired", l, err)
	}
}

func TestWithdrawLinkNeverExpiresAndKnowsItsAddress(t *testing.T) {
	t.Parallel()
	r := ring(t, oldKey)
	l, err := r.Open(r.Withdraw(1<<40, 1<<33, 7, "anna@example.org"), now.AddDate(50, 0, 0))
	if err != nil || l.Kind != managelink.Withdraw || l.Contact != 1<<40 || l.Campaign != 1<<33 || l.Type != 7 || l.Expired {
		t.Fatalf("Open = %+v, %v", l, err)
	}
	if !r.AddressMatches(l, "anna@example.org") || r.AddressMatches(l, "otto@example.org") {
		t.Fatal("the link does not know its address")
	}
}

func TestPathFitsAPlainTextLine(t *testing.T) {
	t.Parallel()
	r := ring(t, oldKey)
	for _, token := range []string{r.Manage(1<<40, 1<<24, now), r.Withdraw(1<<40, 1<<24, 1<<14, "a@example.org")} {
		if len("/m/"+token) > 60 {
			t.Errorf("path of %d characters", len("/m/"+token))
		}
		if strings.Trim(token, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_") != "" {
			t.Errorf("%q is not URL-safe", token)
		}
	}
}

func TestRotationKeepsOldMailsWorking(t *testing.T) {
	t.Parallel()
	before, after := ring(t, oldKey), ring(t, newKey+","+oldKey)
	token := before.Withdraw(1, 2, 3, "a@example.org")
	l, err := after.Open(token, now)
	if err != nil || l.Contact != 1 || !after.AddressMatches(l, "a@example.org") {
		t.Fatalf("after rotation: %+v, %v", l, err)
	}
	if string(before.Digest("a@example.org")) != string(after.Digest("a@example.org")) {
		t.Error("the digest changed with the rotation: suppressions would be lost")
	}
	if after.Withdraw(1, 2, 3, "a@example.org") == token {
		t.Error("the new key does not sign")
	}
	if _, err := before.Open(after.Withdraw(1, 2, 3, "a@example.org"), now); !errors.Is(err, managelink.ErrInvalid) {
		t.Errorf("a token of an unknown key opens: %v", err)
	}
}

func TestEveryFlippedBitIsRefused(t *testing.T) {
	t.Parallel()
	r := ring(t, oldKey)
	for _, token := range []string{r.Manage(5, 6, now.Add(time.Hour)), r.Withdraw(5, 6, 7, "a@example.org")} {
		for i := range token {
			for _, c := range "AZaz09-_=." {
				if byte(c) == token[i] {
					continue
				}
				forged := token[:i] + string(c) + token[i+1:]
				if l, err := r.Open(forged, now); !errors.Is(err, managelink.ErrInvalid) {
					t.Fatalf("forged at %d opens: %+v, %v", i, l, err)
				}
			}
		}
	}
}

func TestNeighbouringContactsHaveUnlikeTokens(t *testing.T) {
	t.Parallel()
	r := ring(t, oldKey)
	a, b := r.Manage(1, 1, now), r.Manage(2, 1, now)
	same := 0
	for i := range a {
		if a[i] == b[i] {
			same++
		}
	}
	if same > len(a)/2 {
		t.Errorf("%s and %s share %d characters: the ids show", a, b, same)
	}
}

func TestKeysThatAreNotSecretAreRefused(t *testing.T) {
	t.Parallel()
	for name, keys := range map[string]string{
		"missing":         "",
		"no id":           "5f2b8d1c9e704a36b1d2c3e4f5061728394a5b6c7d8e9fa0",
		"bad id":          "K 1:5f2b8d1c9e704a36b1d2c3e4f5061728394a5b6c7d8e9fa0",
		"short":           "k1:5f2b8d1c9e704a36",
		"repeated":        "k1:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
		"well known":      "k1:changeme-changeme-changeme-changeme",
		"the same id":     oldKey + "," + oldKey,
		"nothing after ,": oldKey + ",",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := managelink.ParseKeys(keys)
			if err == nil {
				t.Fatal("accepted")
			}
			if _, secret, _ := strings.Cut(keys, ":"); len(secret) > 8 && strings.Contains(err.Error(), secret) {
				t.Errorf("the error shows the key: %v", err)
			}
		})
	}
}

func TestBounceTokenSaysWhoseMailCameBack(t *testing.T) {
	t.Parallel()
	before, after := ring(t, oldKey), ring(t, newKey+","+oldKey)
	for _, ids := range [][2]int64{{1, 0}, {4711, 12}, {1 << 40, 1 << 33}, {math.MaxInt64, math.MaxInt64}} {
		token := before.Bounce(ids[0], ids[1])
		if len(token) > managelink.LongestBounce || strings.Trim(token, "abcdefghijklmnopqrstuvwxyz234567") != "" {
			t.Errorf("%q is not fit for a local part that may be folded", token)
		}
		for _, spelling := range []string{token, strings.ToUpper(token), strings.ToUpper(token[:5]) + token[5:]} {
			l, err := after.OpenBounce(spelling)
			if err != nil || l.Kind != managelink.Bounce || l.Contact != ids[0] || l.Campaign != ids[1] {
				t.Errorf("OpenBounce(%q) = %+v, %v, want %v", spelling, l, err, ids)
			}
		}
	}
	address := before.ReturnPath("bounces@jatak.example", 4711, 12)
	if want := "bounces+" + before.Bounce(4711, 12) + "@jatak.example"; address != want {
		t.Errorf("the return path is %s, want %s", address, want)
	}
	if local, _, _ := strings.Cut(before.ReturnPath(strings.Repeat("b", 16)+"@jatak.example", math.MaxInt64, math.MaxInt64), "@"); len(local) > 64 {
		t.Errorf("the local part has %d bytes, and RFC 5321 allows 64", len(local))
	}
}

func TestBounceTokensAreNotForged(t *testing.T) {
	t.Parallel()
	r := ring(t, oldKey)
	token := r.Bounce(5, 6)
	for name, forged := range map[string]string{
		"nothing":           "",
		"truncated":         token[:len(token)-1],
		"half":              token[:len(token)/2],
		"longer":            token + "a",
		"over-long":         strings.Repeat(token, 3),
		"a line end within": token[:4] + "\r\n" + token[4:],
		"padded":            token + "=",
		"another alphabet":  strings.ToUpper(token[:1]) + "0189" + token[5:],
		"folds to ASCII":    "\u017f" + token[1:],
		"of an unknown key": ring(t, newKey).Bounce(5, 6),
		"a manage link":     r.Manage(5, 6, now),
		"a withdraw link":   r.Withdraw(5, 6, 7, "a@example.org"),
		"a confirm link":    r.Confirm(5, 6, now),
	} {
		if l, err := r.OpenBounce(forged); !errors.Is(err, managelink.ErrInvalid) {
			t.Errorf("%s: %q opens: %+v, %v", name, forged, l, err)
		}
	}
	for i := range token {
		for _, c := range "az27" {
			if forged := token[:i] + string(c) + token[i+1:]; forged != token {
				if l, err := r.OpenBounce(forged); !errors.Is(err, managelink.ErrInvalid) {
					t.Errorf("forged at %d opens: %+v, %v", i, l, err)
				}
			}
		}
	}
	if l, err := r.Open(token, now); !errors.Is(err, managelink.ErrInvalid) {
		t.Errorf("a bounce token opens as a link: %+v, %v", l, err)
	}
}

func FuzzOpenBounce(f *testing.F) {
	r := ring(f, oldKey)
	f.Add(r.Bounce(1, 2))
	f.Add(strings.ToUpper(r.Bounce(1<<40, 0)))
	f.Add(r.Manage(1, 2, now))
	f.Add("")
	f.Fuzz(func(t *testing.T, token string) {
		l, err := r.OpenBounce(token)
		if err == nil && (l.Kind != managelink.Bounce || r.Bounce(l.Contact, l.Campaign) != strings.ToLower(token)) {
			t.Errorf("%q opens as %+v and was not minted so", token, l)
		}
	})
}

func BenchmarkBounce(b *testing.B) {
	r := ring(b, oldKey)
	b.ReportAllocs()
	for b.Loop() {
		_ = r.ReturnPath("bounces@jatak.example", 4711, 12)
	}
}

func FuzzOpen(f *testing.F) {
	r := ring(f, oldKey)
	f.Add(r.Manage(1, 2, now))
	f.Add(r.Withdraw(1, 2, 3, "a@example.org"))
	f.Add("")
	f.Fuzz(func(t *testing.T, token string) {
		l, err := r.Open(token, now)
		if err != nil {
			return
		}
		if l.Kind == managelink.Manage && r.Manage(l.Contact, l.Campaign, l.Expires) != token {
			t.Errorf("%q opens as %+v and was not minted so", token, l)
		}
	})
}

func BenchmarkManage(b *testing.B) {
	r := ring(b, oldKey)
	b.ReportAllocs()
	for b.Loop() {
		_ = r.Manage(4711, 12, now)
	}
}

func BenchmarkWithdraw(b *testing.B) {
	r := ring(b, oldKey)
	b.ReportAllocs()
	for b.Loop() {
		_ = r.Withdraw(4711, 12, 3, "anna@example.org")
	}
}
