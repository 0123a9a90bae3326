package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"time"

	"github.com/jatak-mail/jatak/internal/managelink"
)

type keysCommand struct {
	Rotate keysRotateCommand `cmd:"" help:"Put a new key in front: new links are signed by it, links in mails that were sent still work."`
}

type keysRotateCommand struct {
	File string `help:"The key file (JATAK_SECRET_KEYS_FILE), one id:key on a line; made if it is not there." env:"JATAK_SECRET_KEYS_FILE" placeholder:"FILE"`
	Keys string `help:"Without a file: the keys as they are, to print them with the new one." env:"JATAK_SECRET_KEYS" placeholder:"ID:KEY"`
}

// Run makes the new key.
func (k *keysRotateCommand) Run(_ context.Context, c *console) error {
	before := strings.TrimSpace(k.Keys)
	mode := fs.FileMode(0o600)
	if k.File != "" {
		text, err := os.ReadFile(k.File)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		before = strings.Join(strings.Fields(string(text)), ",")
		if info, err := os.Stat(k.File); err == nil {
			mode = info.Mode().Perm()
		}
	}
	after, id, err := rotated(before, time.Now())
	if err != nil {
		return err
	}
	if k.File == "" {
		_, _ = fmt.Fprintln(c.out, "JATAK_SECRET_KEYS="+after)
	} else if err := writeFile(k.File, strings.ReplaceAll(after, ",", "\n")+"\n", mode); err != nil {
		return err
	}
	_, err = fmt.Fprintf(c.err, "Links are signed by %s once serve and worker have started anew. Keep the older keys: links in mails depend on them.\n", id)
	return err
}

// rotated puts a new key in front of the others.
func rotated(before string, now time.Time) (after, id string, err error) {
	if before != "" {
		if _, err := managelink.ParseKeys(before); err != nil {
			return "", "", fmt.Errorf("the keys as they are: %w", err)
		}
	}
	for n := 0; ; n++ {
		var key [32]byte
		_, _ = rand.Read(key[:]) // never fails
		id = now.Format("20060102")
		if n > 0 {
			id += fmt.Sprintf("-%d", n)
		}
		after = strings.TrimSuffix(id+":"+hex.EncodeToString(key[:])+","+before, ",")
		// An id that is taken, or looks like another's in a token, is refused.
		_, err = managelink.ParseKeys(after)
		if err == nil || n > 300 {
			return after, id, err
		}
	}
}
