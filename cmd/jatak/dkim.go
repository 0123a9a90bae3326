package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/jatak-mail/jatak/internal/mailer"
)

type dkimCommand struct {
	Keygen dkimKeygenCommand `cmd:"" help:"Make a key and print its DNS record: jatak dkim keygen example.org jatak1 --file dkim.pem."`
}

type dkimKeygenCommand struct {
	Domain   string `arg:"" help:"The domain of the From addresses."`
	Selector string `arg:"" help:"The key's name in the DNS."`
	File     string `help:"Where the private key is written." required:""`
	Type     string `help:"${enum}." enum:"rsa,ed25519" default:"rsa"`
}

// Run makes the key. A file that is there is not replaced: mails are signed
// with it.
func (k *dkimKeygenCommand) Run(_ context.Context, c *console) error {
	if _, err := os.Stat(k.File); !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s is there already; name another file", k.File)
	}
	key, record, err := mailer.NewKey(k.Type)
	if err != nil {
		return err
	}
	if err := writeFile(k.File, key, 0o600); err != nil {
		return err
	}
	_, _ = fmt.Fprintf(c.out, "%s._domainkey.%s. IN TXT (", k.Selector, k.Domain)
	for rest := record; rest != ""; { // a string of the DNS has at most 255 bytes
		n := min(255, len(rest))
		_, _ = fmt.Fprintf(c.out, " %q", rest[:n])
		rest = rest[n:]
	}
	_, _ = fmt.Fprintln(c.out, " )")
	_, err = fmt.Fprintf(c.err, "Publish the record, then set JATAK_DKIM_KEYS=%s:%s:%s\n", k.Domain, k.Selector, k.File)
	return err
}
