package main

import (
	"context"
	"errors"
	"fmt"
	"time"
	"unicode/utf8"

	"github.com/jatak-mail/jatak/internal/campaign"
	"github.com/jatak-mail/jatak/internal/contact"
	"github.com/jatak-mail/jatak/internal/postgres"
	"github.com/jatak-mail/jatak/internal/settings"
)

type contactComplaintCommand struct {
	Database settings.Database `embed:""`
	Emails   []string          `arg:"" name:"address" help:"The addresses of those who complained."`
	Campaign campaign.ID       `help:"The campaign whose mail it was (default: that of the last mail to the address)." placeholder:"ID"`
	Comment  string            `help:"Kept with the withdrawal, such as who told you." placeholder:"TEXT"`
}

// Validate refuses what could not be kept.
func (k *contactComplaintCommand) Validate() error {
	if n := utf8.RuneCountInString(k.Comment); n > contact.MaxComment {
		return fmt.Errorf("--comment has at most %d characters, not %d", contact.MaxComment, n)
	}
	return nil
}

// Run keeps the complaints. One that cannot be kept does not keep the others from it.
func (k *contactComplaintCommand) Run(ctx context.Context, c *console) error {
	return withDatabase(ctx, k.Database, c, func(db *postgres.DB) error {
		var all error
		for _, email := range k.Emails {
			err := k.keep(ctx, c, db, email)
			if err != nil {
				err = fmt.Errorf("%s: %w", email, err)
			}
			all = errors.Join(all, err)
		}
		return all
	})
}

func (k *contactComplaintCommand) keep(ctx context.Context, c *console, db *postgres.DB, email string) error {
	address, err := contact.ParseAddress(email)
	if err != nil {
		return err
	}
	kept, err := db.Complain(ctx, contact.Complaint{Address: address, Campaign: int64(k.Campaign), Comment: k.Comment, Actor: actor(), At: time.Now()})
	switch {
	case errors.Is(err, contact.ErrNotFound):
		return errors.New("nobody on file has this address")
	case errors.Is(err, contact.ErrNotMailed):
		return fmt.Errorf("campaign %d sent no mail to this address; leave --campaign out for the last mail to it", k.Campaign)
	case err != nil:
		return err
	}
	said := "of no campaign, since no mail to the address was found"
	if kept.Campaign != 0 {
		said = fmt.Sprintf("of campaign %d", kept.Campaign)
	}
	if !kept.New {
		said += ", kept before"
	}
	_, err = fmt.Fprintf(c.out, "%s: gets no more mail; a complaint %s\n", email, said)
	return err
}
