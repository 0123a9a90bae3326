package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/jatak-mail/jatak/internal/brand"
	"github.com/jatak-mail/jatak/internal/postgres"
	"github.com/jatak-mail/jatak/internal/settings"
	"github.com/jatak-mail/jatak/templates"
)

// brandMemory is how long a look is trusted: a change is seen within it.
const brandMemory = 5 * time.Second

// brandedWords returns the texts and pages in the tenant's look. When the look
// cannot be read, or no longer be shown, the last one stays.
func brandedWords(db *postgres.DB, log *slog.Logger) (func(context.Context) *templates.Set, error) {
	ours, err := templates.New()
	if err != nil {
		return nil, fmt.Errorf("templates: %w", err)
	}
	var mu sync.Mutex
	var read time.Time
	var version int64
	current := ours
	refresh := func(ctx context.Context) error {
		newest, err := db.BrandVersion(ctx)
		if err != nil || newest == version {
			return err
		}
		b, err := db.Brand(ctx)
		if err != nil {
			return err
		}
		set, err := ours.Branded(b)
		if err != nil {
			return err
		}
		version, current = b.Version, set
		return nil
	}
	return func(ctx context.Context) *templates.Set {
		mu.Lock()
		defer mu.Unlock()
		if now := time.Now(); now.Sub(read) >= brandMemory {
			read = now
			if err := refresh(ctx); err != nil && ctx.Err() == nil {
				log.Warn("the tenant's look could not be read", "error", err)
			}
		}
		return current
	}, nil
}

type brandCommand struct {
	Show  brandShowCommand  `cmd:"" help:"The colour, the logo's name and your own words, as JSON."`
	Set   brandSetCommand   `cmd:"" help:"Change the colour or the logo of the recipients' pages and mails."`
	Words brandWordsCommand `cmd:"" help:"The texts of the recipients' pages in a language, by key, as JSON."`
	Word  brandWordCommand  `cmd:"" help:"Say something in your own words; without a text, in ours again."`
}

type brandShowCommand struct {
	Database settings.Database `embed:""`
}

// Run shows the look.
func (s *brandShowCommand) Run(ctx context.Context, c *console) error {
	db, err := openDatabase(ctx, s.Database, c)
	if err != nil {
		return err
	}
	defer db.Close()
	b, err := db.Brand(ctx)
	if err != nil {
		return err
	}
	return writeJSON(c.out, b)
}

type brandSetCommand struct {
	Database settings.Database `embed:""`
	Colour   *string           `help:"The colour of buttons, as #rrggbb; it is made darker or lighter where it could not be seen. Empty: ours." placeholder:"#0b6e4f"`
	Logo     string            `help:"A picture in PNG, JPEG, WebP or SVG." type:"existingfile" placeholder:"FILE"`
	LogoAlt  string            `help:"What the logo says, for those who do not see it." placeholder:"NAME"`
	NoLogo   bool              `help:"Show no logo." xor:"logo"`
}

// Run changes the look.
func (s *brandSetCommand) Run(ctx context.Context, c *console) error {
	if s.Colour == nil && s.Logo == "" && s.LogoAlt == "" && !s.NoLogo {
		return errors.New("say what to change: --colour '#0b6e4f', --logo FILE --logo-alt NAME, or --no-logo")
	}
	return changeBrand(ctx, s.Database, c, "look", func(b *brand.Brand) error {
		if s.Colour != nil {
			b.Colour = *s.Colour
		}
		if s.LogoAlt != "" {
			b.LogoAlt = s.LogoAlt
		}
		if s.NoLogo {
			b.Logo, b.LogoAlt = nil, ""
		}
		if s.Logo != "" {
			f, err := os.Open(s.Logo)
			if err != nil {
				return err
			}
			defer func() { _ = f.Close() }()
			if b.Logo, err = io.ReadAll(io.LimitReader(f, brand.MaxLogo+1)); err != nil {
				return err
			}
		}
		return nil
	})
}

// changeBrand changes the look, if it can be shown then.
func changeBrand(ctx context.Context, database settings.Database, c *console, what string, change func(*brand.Brand) error) error {
	words, err := templates.New()
	if err != nil {
		return err
	}
	db, err := openDatabase(ctx, database, c)
	if err != nil {
		return err
	}
	defer db.Close()
	b, err := db.Brand(ctx)
	if err != nil {
		return err
	}
	if err := change(&b); err != nil {
		return err
	}
	if _, err := words.Branded(b); err != nil {
		return err
	}
	if err := db.SetBrand(ctx, b, what, actor(), time.Now()); err != nil {
		return err
	}
	_, err = fmt.Fprintf(c.err, "The pages and mails show it within %v.\n", brandMemory)
	return err
}

type brandWordsCommand struct {
	Database settings.Database `embed:""`
	Language string            `arg:"" help:"For example da."`
}

// Run lists the texts as they are shown.
func (w *brandWordsCommand) Run(ctx context.Context, c *console) error {
	words, err := templates.New()
	if err != nil {
		return err
	}
	db, err := openDatabase(ctx, w.Database, c)
	if err != nil {
		return err
	}
	defer db.Close()
	b, err := db.Brand(ctx)
	if err != nil {
		return err
	}
	keys := words.Keys(w.Language)
	if len(keys) == 0 {
		return fmt.Errorf("there are no pages in %q; there are %v", w.Language, words.Languages())
	}
	if words, err = words.Branded(b); err != nil {
		return err
	}
	shown := map[string]string{}
	for _, key := range keys {
		shown[key] = words.Text(w.Language, key)
	}
	out := json.NewEncoder(c.out)
	out.SetIndent("", "  ")
	out.SetEscapeHTML(false)
	return out.Encode(shown)
}

type brandWordCommand struct {
	Database settings.Database `embed:""`
	Language string            `arg:"" help:"For example da."`
	Key      string            `arg:"" help:"As jatak brand words lists it, for example manage.title."`
	Text     string            `arg:"" optional:"" help:"Your words."`
}

// Run keeps a text of the tenant's own, or forgets it.
func (w *brandWordCommand) Run(ctx context.Context, c *console) error {
	return changeBrand(ctx, w.Database, c, "word "+w.Language+" "+w.Key, func(b *brand.Brand) error {
		if b.Words == nil {
			b.Words = map[string]map[string]string{}
		}
		if w.Text == "" {
			if _, own := b.Words[w.Language][w.Key]; !own {
				return fmt.Errorf("there are no words of your own for %q in %s", w.Key, w.Language)
			}
			delete(b.Words[w.Language], w.Key)
			return nil
		}
		if b.Words[w.Language] == nil {
			b.Words[w.Language] = map[string]string{}
		}
		b.Words[w.Language][w.Key] = w.Text
		return nil
	})
}
