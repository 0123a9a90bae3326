package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/jatak-mail/jatak/gating"
	"github.com/jatak-mail/jatak/internal/contact"
	"github.com/jatak-mail/jatak/internal/managelink"
	"github.com/jatak-mail/jatak/internal/postgres"
	"github.com/jatak-mail/jatak/internal/settings"
	"github.com/jatak-mail/jatak/internal/upgrade"
	"github.com/jatak-mail/jatak/internal/web"
)

type benchPortalCommand struct {
	Contacts int  `help:"How many contacts withdraw, each once." default:"20000"`
	Clients  int  `help:"How many connections at once." default:"64"`
	JSON     bool `help:"Print one JSON object on stdout." name:"json"`
}

// portalFigures is what benchPortalCommand measures.
type portalFigures struct {
	Posts     int     `json:"posts"`
	PerSecond float64 `json:"posts_per_s"`
	MedianMS  float64 `json:"median_ms"`
	P99MS     float64 `json:"p99_ms"`
	Withdrawn int     `json:"withdrawn"` // as the ledger says afterwards
}

// Run lets contacts withdraw by the one-click POST of RFC 8058, over HTTP, as
// fast as they can. Each one is on disk before it is answered.
func (b *benchPortalCommand) Run(ctx context.Context, c *console) error {
	return withWorkbench(ctx, "", c, func(w workbench) error { return b.measure(ctx, w, c) })
}

func (b *benchPortalCommand) measure(ctx context.Context, w workbench, c *console) error {
	if _, err := w.importContacts(ctx, b.Contacts); err != nil {
		return err
	}
	if _, err := upgrade.Run(ctx, w.db, upgrade.Options{Actor: "bench"}, time.Now()); err != nil {
		return err
	}
	campaign, err := keepSample(ctx, w.db)
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	site := "http://" + listener.Addr().String()
	portal, err := newPortal(w.db, w.keys, settings.Public{URL: site}, nil, c)
	if err != nil {
		return err
	}
	serving, stop := context.WithCancel(ctx)
	var group errgroup.Group
	group.Go(func() error { return web.ServeListener(serving, listener, portal, c.log) })
	f, err := b.withdraw(ctx, w.db, w.keys, site, int64(campaign))
	stop()
	if err := errors.Join(err, group.Wait()); err != nil {
		return err
	}
	if b.JSON {
		return writeJSON(c.out, f)
	}
	_, err = fmt.Fprintf(c.out, "%s one-click POSTs, each durable: %s a second, median %.1f ms, 99 %% within %.1f ms; %s withdrawals in the ledger\n",
		number(int64(f.Posts)), number(int64(f.PerSecond)), f.MedianMS, f.P99MS, number(int64(f.Withdrawn)))
	return err
}

func (b *benchPortalCommand) withdraw(ctx context.Context, db *postgres.DB, keys *managelink.Keyring, site string, campaign int64) (f portalFigures, err error) {
	before := map[contact.ID]bool{}
	var links []string
	for s, err := range db.Selected(ctx, gating.PurposeEmarketing, contact.Selection{}) {
		if err != nil {
			return f, err
		}
		if s.Basis == gating.BasisWithdrawn {
			before[s.ID] = true
			continue
		}
		if s.Email != "" {
			links = append(links, site+"/u/"+keys.Withdraw(int64(s.ID), campaign, 0, s.Email))
		}
	}
	var next atomic.Int64
	var mu sync.Mutex
	var took []time.Duration
	var refused atomic.Int64
	started := time.Now()
	group, posting := errgroup.WithContext(ctx)
	for range b.Clients {
		group.Go(func() error {
			client, err := dialPlain(posting, strings.TrimPrefix(site, "http://"))
			if err != nil {
				return err
			}
			defer client.close()
			var mine []time.Duration
			for {
				i := int(next.Add(1)) - 1
				if i >= len(links) {
					mu.Lock()
					took = append(took, mine...)
					mu.Unlock()
					return nil
				}
				begun := time.Now()
				status, err := client.post(strings.TrimPrefix(links[i], site), "List-Unsubscribe=One-Click")
				if err != nil {
					return err
				}
				if status != http.StatusOK {
					refused.Add(1) // the address is not one that can be mailed
				}
				mine = append(mine, time.Since(begun))
			}
		})
	}
	if err := group.Wait(); err != nil {
		return f, err
	}
	elapsed := time.Since(started)
	slices.Sort(took)
	f.Posts = len(took) - int(refused.Load())
	f.PerSecond = float64(f.Posts) / elapsed.Seconds()
	f.MedianMS = milliseconds(took[len(took)/2])
	f.P99MS = milliseconds(took[len(took)*99/100])
	for s, err := range db.Selected(ctx, gating.PurposeEmarketing, contact.Selection{Basis: string(gating.BasisWithdrawn)}) {
		if err != nil {
			return f, err
		}
		if !before[s.ID] {
			f.Withdrawn++
		}
	}
	return f, nil
}

// plainClient is an HTTP/1.1 client that costs next to nothing, so that it is
// the server that is measured: both share this machine.
type plainClient struct {
	conn net.Conn
	in   *bufio.Reader
	host string
}

func dialPlain(ctx context.Context, host string) (*plainClient, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", host)
	if err != nil {
		return nil, err
	}
	return &plainClient{conn, bufio.NewReader(conn), host}, nil
}

func (p *plainClient) close() { _ = p.conn.Close() }

// post returns the status of the answer.
func (p *plainClient) post(path, body string) (status int, err error) {
	_, err = fmt.Fprintf(p.conn, "POST %s HTTP/1.1\r\nHost: %s\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: %d\r\n\r\n%s",
		path, p.host, len(body), body)
	if err != nil {
		return 0, err
	}
	length := 0
	for first := true; ; first = false {
		line, err := p.in.ReadSlice('\n')
		if err != nil {
			return 0, err
		}
		text := strings.TrimSpace(string(line))
		switch name, value, _ := strings.Cut(text, ":"); {
		case first:
			_, err = fmt.Sscanf(text, "HTTP/1.1 %d", &status)
		case text == "":
			_, err = p.in.Discard(length)
			return status, err
		case strings.EqualFold(name, "Content-Length"):
			length, err = strconv.Atoi(strings.TrimSpace(value))
		}
		if err != nil {
			return 0, err
		}
	}
}
