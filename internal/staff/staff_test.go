package staff

import (
	"strings"
	"testing"
)

func TestPasswords(t *testing.T) {
	t.Parallel()
	hash, err := HashPassword("correct horse battery")
	if err != nil {
		t.Fatal(err)
	}
	again, err := HashPassword("correct horse battery")
	if err != nil || again == hash || strings.Contains(hash, "horse") {
		t.Errorf("the hash is %q, and once more %q", hash, again)
	}
	for _, test := range []struct {
		hash, password string
		want           bool
	}{
		{hash, "correct horse battery", true}, {hash, "correct horse batterz", false}, {hash, "", false},
		{"", "correct horse battery", false}, {"argon2id$0$0$0$$", "", false}, {hash + "x", "correct horse battery", false},
		{hash, strings.Repeat("x", 10_000), false},
	} {
		if got := CheckPassword(test.hash, test.password); got != test.want {
			t.Errorf("CheckPassword(%q, %.20q) = %v", test.hash, test.password, got)
		}
	}
	for _, bad := range []string{"", "short", strings.Repeat("x", MostPassword+1)} {
		if _, err := HashPassword(bad); err == nil {
			t.Errorf("a password of %d characters was taken", len(bad))
		}
	}
}

func TestRoles(t *testing.T) {
	t.Parallel()
	for i, mine := range Roles() {
		for j, needed := range Roles() {
			if mine.May(needed) != (i >= j) {
				t.Errorf("%s may what %s may: %v", mine, needed, mine.May(needed))
			}
		}
	}
	if Role("").May(Viewer) || Role("root").May(Viewer) || Administrator.May("root") {
		t.Error("a role that nobody knows may something")
	}
}
