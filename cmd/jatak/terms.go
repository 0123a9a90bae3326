package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/text/language"

	"github.com/jatak-mail/jatak/gating"
	"github.com/jatak-mail/jatak/internal/contact"
	"github.com/jatak-mail/jatak/internal/settings"
)

type termCommand struct {
	List   termListCommand   `cmd:"" help:"All purposes or legal bases, as JSON lines."`
	Create termCreateCommand `cmd:"" help:"Add one: jatak term create legal_basis membership --counts-as contract en=Membership."`
	Rename termRenameCommand `cmd:"" help:"Rename one: jatak term rename purpose store da=Kundepleje."`
	Retire termRetireCommand `cmd:"" help:"Take one out of use; what rests on it stays."`
}

type vocabulary struct {
	Database   settings.Database  `embed:""`
	Vocabulary contact.Vocabulary `arg:"" help:"purpose or legal_basis." enum:"purpose,legal_basis"`
}

type termListCommand struct{ vocabulary }

// Run lists the terms.
func (l *termListCommand) Run(ctx context.Context, c *console) error {
	db, err := openDatabase(ctx, l.Database, c)
	if err != nil {
		return err
	}
	defer db.Close()
	terms, err := db.Terms(ctx, l.Vocabulary)
	if err != nil {
		return err
	}
	for _, t := range terms {
		if err := writeJSON(c.out, t); err != nil {
			return err
		}
	}
	return nil
}

// checkNames reads LANGUAGE=NAME and checks the key.
func checkNames(key string, names map[string]string) error {
	if !contact.IsKey(key) {
		return fmt.Errorf("the key %q is not a letter and then a-z, 0-9, - or _, at most 40 characters", key)
	}
	for lang, name := range names {
		if _, err := language.Parse(lang); err != nil || strings.TrimSpace(name) == "" {
			return fmt.Errorf("write names as LANGUAGE=NAME, such as en=%s", key)
		}
	}
	return nil
}

type termCreateCommand struct {
	vocabulary
	Key      string            `arg:"" help:"How it is called in commands and in the ledger."`
	CountsAs gating.LegalBasis `help:"Of a legal basis: the built-in one that it is an instance of." placeholder:"BASIS"`
	Names    map[string]string `arg:"" help:"LANGUAGE=NAME, one or more."`
}

// Run adds the term.
func (t *termCreateCommand) Run(ctx context.Context, c *console) error {
	if err := checkNames(t.Key, t.Names); err != nil {
		return err
	}
	if t.Vocabulary == contact.LegalBases && t.CountsAs == "" {
		return errors.New("say which built-in basis it is an instance of, such as --counts-as contract")
	}
	db, err := openDatabase(ctx, t.Database, c)
	if err != nil {
		return err
	}
	defer db.Close()
	return db.CreateTerm(ctx, t.Vocabulary, contact.Term{Key: t.Key, CountsAs: t.CountsAs, Names: t.Names}, actor(), time.Now())
}

type termRenameCommand struct {
	vocabulary
	Key   string            `arg:"" help:"Its key."`
	Names map[string]string `arg:"" help:"LANGUAGE=NAME, one or more."`
}

// Run renames the term.
func (t *termRenameCommand) Run(ctx context.Context, c *console) error {
	if err := checkNames(t.Key, t.Names); err != nil {
		return err
	}
	db, err := openDatabase(ctx, t.Database, c)
	if err != nil {
		return err
	}
	defer db.Close()
	return db.RenameTerm(ctx, t.Vocabulary, t.Key, t.Names, actor(), time.Now())
}

type termRetireCommand struct {
	vocabulary
	Key string `arg:"" help:"Its key."`
}

// Run retires the term.
func (t *termRetireCommand) Run(ctx context.Context, c *console) error {
	db, err := openDatabase(ctx, t.Database, c)
	if err != nil {
		return err
	}
	defer db.Close()
	return db.RetireTerm(ctx, t.Vocabulary, t.Key, actor(), time.Now())
}

type wordingCommand struct {
	List wordingListCommand `cmd:"" help:"All versions of the words that people are asked with, newest first, as JSON lines."`
	Set  wordingSetCommand  `cmd:"" help:"Change the words of the sign-up form in a language; older versions are kept."`
}

type wordingListCommand struct {
	Database settings.Database `embed:""`
}

// Run lists the versions.
func (l *wordingListCommand) Run(ctx context.Context, c *console) error {
	db, err := openDatabase(ctx, l.Database, c)
	if err != nil {
		return err
	}
	defer db.Close()
	list, err := db.Wordings(ctx)
	if err != nil {
		return err
	}
	for _, w := range list {
		if err := writeJSON(c.out, w); err != nil {
			return err
		}
	}
	return nil
}

type wordingSetCommand struct {
	Database settings.Database `embed:""`
	Language string            `arg:"" help:"For example da."`
	Text     string            `arg:"" help:"What people say yes to; - reads it from stdin."`
	Purpose  gating.Purpose    `help:"The purpose that is asked for." default:"emarketing"`
}

// mostWording is the longest wording, in characters.
const mostWording = 4000

// Run keeps a new version.
func (s *wordingSetCommand) Run(ctx context.Context, c *console) error {
	if _, err := language.Parse(s.Language); err != nil {
		return fmt.Errorf("%q is not a language code such as da or en", s.Language)
	}
	text := s.Text
	if text == "-" {
		raw, err := io.ReadAll(io.LimitReader(os.Stdin, 4*mostWording+1))
		if err != nil {
			return err
		}
		text = string(raw)
	}
	text = strings.TrimSpace(text)
	if n := utf8.RuneCountInString(text); n == 0 || n > mostWording || !utf8.ValidString(text) || strings.ContainsRune(text, 0) {
		return fmt.Errorf("the text has 1 to %d characters of UTF-8", mostWording)
	}
	db, err := openDatabase(ctx, s.Database, c)
	if err != nil {
		return err
	}
	defer db.Close()
	return db.SetWording(ctx, s.Purpose, s.Language, text, actor(), time.Now())
}
