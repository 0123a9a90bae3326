package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/jatak-mail/jatak/internal/contact"
	"github.com/jatak-mail/jatak/internal/settings"
	"github.com/jatak-mail/jatak/internal/staff"
)

type userCommand struct {
	Invite userInviteCommand `cmd:"" help:"Print a link by which somebody becomes a user of the console, or gets another password."`
}

type userInviteCommand struct {
	Database settings.Database `embed:""`
	Email    string            `arg:"" help:"Their address."`
	Role     staff.Role        `help:"${enum}: each may do what those before may." enum:"viewer,marketer,officer,administrator" default:"marketer"`
	Console  string            `help:"Where the console is." default:"http://127.0.0.1:8081" placeholder:"URL"`
}

// Run prints the link.
func (u *userInviteCommand) Run(ctx context.Context, c *console) error {
	address, err := contact.ParseAddress(u.Email)
	if err != nil {
		return fmt.Errorf("%q: %w", u.Email, err)
	}
	db, err := openDatabase(ctx, u.Database, c)
	if err != nil {
		return err
	}
	defer db.Close()
	link, err := invite(ctx, db, strings.TrimRight(u.Console, "/"), string(address), u.Role)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(c.out, link)
	return err
}
