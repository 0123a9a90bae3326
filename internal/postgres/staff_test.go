package postgres_test

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/jatak-mail/jatak/internal/postgres/postgrestest"
	"github.com/jatak-mail/jatak/internal/staff"
)

// Links that name nobody make one user, however many there are and however many
// are used at once; afterwards none of them changes that user.
func TestOnlyOneBecomesTheFirstUser(t *testing.T) {
	t.Parallel()
	db, _ := postgrestest.New(t)
	now := time.Now()
	var links [][]byte
	for range 6 {
		_, hash := staff.NewToken()
		if err := db.Invite(t.Context(), hash, "", staff.Administrator, "test", now, now.Add(time.Hour)); err != nil {
			t.Fatal(err)
		}
		links = append(links, hash)
	}
	entered := make([]error, 5)
	var all sync.WaitGroup
	for i := range entered {
		all.Go(func() {
			u := staff.User{Email: fmt.Sprintf("user%d@jatak.example", i), PasswordHash: "theirs"}
			entered[i] = db.AcceptInvitation(t.Context(), links[i], u, now)
		})
	}
	all.Wait()
	members, err := db.Members(t.Context())
	if err != nil || len(members) != 1 {
		t.Fatalf("there are the users %+v: %v", members, err)
	}
	for i, err := range entered {
		won := fmt.Sprintf("user%d@jatak.example", i) == members[0].Email
		if won != (err == nil) || err != nil && !errors.Is(err, staff.ErrNotFound) {
			t.Errorf("link %d ends with: %v", i, err)
		}
	}
	left, err := db.Invitations(t.Context(), now)
	if err != nil || len(left) != 0 {
		t.Errorf("these links are left: %+v, %v", left, err)
	}

	// One that is made afterwards takes nobody's place.
	_, late := staff.NewToken()
	if err := db.Invite(t.Context(), late, "", staff.Viewer, "test", now, now.Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	for _, hash := range [][]byte{links[5], late} {
		if _, _, err := db.Invitation(t.Context(), hash, now); !errors.Is(err, staff.ErrNotFound) {
			t.Errorf("a link of before is still shown: %v", err)
		}
		u := staff.User{Email: members[0].Email, PasswordHash: "stolen"}
		if err := db.AcceptInvitation(t.Context(), hash, u, now); !errors.Is(err, staff.ErrNotFound) {
			t.Errorf("a link of before is taken: %v", err)
		}
	}
	kept, err := db.UserByEmail(t.Context(), members[0].Email)
	if err != nil || kept.PasswordHash != "theirs" || kept.Role != staff.Administrator {
		t.Errorf("the user is now %+v: %v", kept, err)
	}
}
