package console

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jatak-mail/jatak/internal/contact"
	"github.com/jatak-mail/jatak/internal/staff"
)

// userStore keeps users and their sessions.
type userStore interface {
	Members(ctx context.Context) ([]staff.Member, error)
	Invitations(ctx context.Context, now time.Time) ([]staff.Invitation, error)
	Invite(ctx context.Context, hash []byte, email string, role staff.Role, actor string, now, expires time.Time) error
	Uninvite(ctx context.Context, id int64, actor string, now time.Time) error
	SetRole(ctx context.Context, user int64, role staff.Role, actor string, now time.Time) error
	DisableUser(ctx context.Context, user int64, actor string, now time.Time) error
	EndUserSessions(ctx context.Context, user int64, actor string, now time.Time) error
	EnableUser(ctx context.Context, user int64, actor string, now time.Time) error
	ChangePassword(ctx context.Context, user int64, passwordHash string, keep []byte, now time.Time) error
	SetUserZone(ctx context.Context, user int64, zone string) error
	Sessions(ctx context.Context, user int64, current []byte, now time.Time) ([]staff.Session, error)
	EndSessionOf(ctx context.Context, user, id int64, keep []byte) error
}

func (s *site) userRoutes() []route {
	return []route{
		{pattern: "GET /settings/users", role: staff.Administrator, handle: s.users},
		{pattern: "POST /settings/users", role: staff.Administrator, handle: s.inviteUser},
		{pattern: "POST /settings/users/{id}/{action}", role: staff.Administrator, handle: s.changeUser},
	}
}

type usersPage struct {
	Members     []staff.Member
	Invitations []staff.Invitation
	Roles       []staff.Role
	Me          int64
	// Link is shown once, with whom it is for.
	Link, For string
	Known     bool   // it is for a user: with it they choose a new password
	Email     string // as it was written
	Role      staff.Role
}

func (s *site) users(w http.ResponseWriter, r *http.Request) {
	s.showUsers(w, r, http.StatusOK, "", usersPage{Role: staff.Marketer})
}

func (s *site) showUsers(w http.ResponseWriter, r *http.Request, status int, problem string, p usersPage) {
	var err error
	p.Roles, p.Me = staff.Roles(), userOf(r).ID
	if p.Members, err = s.Store.Members(r.Context()); err == nil {
		p.Invitations, err = s.Store.Invitations(r.Context(), s.Now())
	}
	if err != nil {
		s.fail(w, r, err)
		return
	}
	s.show(w, r, status, "users", "settings", problem, p)
}

// inviteUser makes a link and shows it once.
func (s *site) inviteUser(w http.ResponseWriter, r *http.Request) {
	p := usersPage{Email: strings.TrimSpace(r.PostFormValue("email")), Role: staff.Role(r.PostFormValue("role"))}
	address, err := contact.ParseAddress(p.Email)
	if err != nil || len(p.Email) > 254 {
		s.showUsers(w, r, http.StatusBadRequest, s.text(r, "console.users.email.wrong"), p)
		return
	}
	if !slices.Contains(staff.Roles(), p.Role) {
		s.showUsers(w, r, http.StatusBadRequest, s.text(r, "console.users.role.wrong"), p)
		return
	}
	s.showLink(w, r, string(address), p.Role)
}

// showLink makes a link for somebody, and shows it.
func (s *site) showLink(w http.ResponseWriter, r *http.Request, email string, role staff.Role) {
	_, err := s.Store.UserByEmail(r.Context(), email)
	known := err == nil
	if err != nil && !errors.Is(err, staff.ErrNotFound) {
		s.fail(w, r, err)
		return
	}
	token, hash := staff.NewToken()
	now := s.Now()
	if err := s.Store.Invite(r.Context(), hash, email, role, actor(r), now, now.Add(staff.InvitationLife)); err != nil {
		s.fail(w, r, err)
		return
	}
	s.showUsers(w, r, http.StatusOK, "", usersPage{Link: s.URL + "/setup/" + token, For: email, Known: known, Role: staff.Marketer})
}

// newPassword makes a link by which a user chooses a new password.
func (s *site) newPassword(w http.ResponseWriter, r *http.Request, id int64) {
	members, err := s.Store.Members(r.Context())
	if err != nil {
		s.fail(w, r, err)
		return
	}
	at := slices.IndexFunc(members, func(m staff.Member) bool { return m.ID == id && !m.Disabled })
	if at < 0 {
		s.gone(w, r)
		return
	}
	s.showLink(w, r, members[at].Email, members[at].Role)
}

func (s *site) changeUser(w http.ResponseWriter, r *http.Request) {
	id, err := strconv.ParseInt(r.PathValue("id"), 10, 64)
	if err != nil {
		s.gone(w, r)
		return
	}
	ctx, now := r.Context(), s.Now()
	switch r.PathValue("action") {
	case "role":
		role := staff.Role(r.PostFormValue("role"))
		if !slices.Contains(staff.Roles(), role) {
			s.showUsers(w, r, http.StatusBadRequest, s.text(r, "console.users.role.wrong"), usersPage{Role: staff.Marketer})
			return
		}
		err = s.Store.SetRole(ctx, id, role, actor(r), now)
	case "password":
		s.newPassword(w, r, id)
		return
	case "sessions":
		err = s.Store.EndUserSessions(ctx, id, actor(r), now)
	case "disable":
		err = s.Store.DisableUser(ctx, id, actor(r), now)
	case "enable":
		err = s.Store.EnableUser(ctx, id, actor(r), now)
	case "uninvite":
		err = s.Store.Uninvite(ctx, id, actor(r), now)
	default:
		err = staff.ErrNotFound
	}
	switch {
	case errors.Is(err, staff.ErrLastAdministrator):
		s.showUsers(w, r, http.StatusConflict, s.text(r, "console.users.last"), usersPage{Role: staff.Marketer})
	case errors.Is(err, staff.ErrNotFound):
		s.gone(w, r)
	case err != nil:
		s.fail(w, r, err)
	default:
		s.redirect(w, r, "/settings/users?done=changed")
	}
}
