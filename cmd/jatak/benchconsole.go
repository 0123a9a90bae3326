package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"golang.org/x/sync/errgroup"

	staffsite "github.com/jatak-mail/jatak/internal/console"
	"github.com/jatak-mail/jatak/internal/postgres"
	"github.com/jatak-mail/jatak/internal/settings"
	"github.com/jatak-mail/jatak/internal/upgrade"
	"github.com/jatak-mail/jatak/internal/web"
)

type benchConsoleCommand struct {
	Contacts int    `help:"How many contacts, and how many of them the largest campaign is for." default:"1000000"`
	Rounds   int    `help:"How often each page is asked for." default:"5"`
	Data     string `help:"A folder to keep the database in, so that it can be measured again." placeholder:"DIR"`
	Only     string `help:"Measure the pages alone whose route or address has this in it." placeholder:"TEXT"`
	JSON     bool   `help:"Print one JSON object on stdout." name:"json"`
}

// The bounds that pages are held to.
const (
	pageBound   = 300 * time.Millisecond
	searchBound = 200 * time.Millisecond
)

// consoleFigures is what benchConsoleCommand measures.
type consoleFigures struct {
	Contacts int          `json:"contacts"`
	Rounds   int          `json:"rounds"`
	FillSec  float64      `json:"fill_s,omitempty"`
	Pages    []pageFigure `json:"pages"` // the slowest first
}

// pageFigure is how long a page took, in milliseconds.
type pageFigure struct {
	Route  string  `json:"route"`
	Asked  string  `json:"asked"` // what of it
	Median float64 `json:"median_ms"`
	Worst  float64 `json:"worst_ms"`
	Bound  float64 `json:"bound_ms"`
	Over   bool    `json:"over"` // the median is over the bound
}

// Run fills a database, walks all pages of the console several times, and tells
// how long each took. A page of the console's table that it does not know is an
// error, so that a new page is measured.
func (b *benchConsoleCommand) Run(ctx context.Context, c *console) error {
	if missing := missingPages(staffsite.Routes(), benchPages(samples{})); len(missing) > 0 {
		return fmt.Errorf("these pages are not measured; add them to benchPages: %s", strings.Join(missing, ", "))
	}
	if b.Data != "" {
		if err := os.MkdirAll(b.Data, 0o755); err != nil {
			return err
		}
	}
	return withWorkbench(ctx, b.Data, c, func(w workbench) error { return b.measure(ctx, w, c) })
}

func (b *benchConsoleCommand) measure(ctx context.Context, w workbench, c *console) error {
	walk := &consoleWalk{db: w.db, c: c, only: b.Only, took: map[benchPage][]time.Duration{}}
	f := consoleFigures{Contacts: b.Contacts, Rounds: b.Rounds}
	file := filepath.Join(w.dir, "samples.json")
	var s samples
	text, err := os.ReadFile(file)
	switch {
	case err == nil:
		err = json.Unmarshal(text, &s)
		f.Contacts = s.Contacts
	case errors.Is(err, os.ErrNotExist):
		begin := time.Now()
		if s, err = b.fill(ctx, w, walk); err != nil {
			return err
		}
		f.FillSec = time.Since(begin).Seconds()
		if text, err = json.Marshal(s); err == nil {
			err = os.WriteFile(file, text, 0o600)
		}
	}
	if err != nil {
		return err
	}
	if err := walk.rounds(ctx, b.Rounds, benchPages(s)); err != nil {
		return err
	}
	f.Pages = walk.figures()
	if b.JSON {
		return writeJSON(c.out, f)
	}
	return f.print(c.out)
}

// fill makes up a tenant of some years. On the way it measures the pages that are
// for the time before the upgrade.
func (b *benchConsoleCommand) fill(ctx context.Context, w workbench, walk *consoleWalk) (s samples, err error) {
	if err := inviteBench(ctx, w.db); err != nil {
		return s, err
	}
	if _, err := w.importContacts(ctx, b.Contacts); err != nil {
		return s, err
	}
	if err := w.db.VacuumImported(ctx); err != nil {
		return s, err
	}
	if err := walk.rounds(ctx, b.Rounds, pagesBeforeUpgrade()); err != nil {
		return s, err
	}
	if _, err := upgrade.Run(ctx, w.db, upgrade.Options{Actor: "bench"}, time.Now()); err != nil {
		return s, err
	}
	if s, err = makeSamples(ctx, w.db, b.Contacts); err != nil {
		return s, err
	}
	return s, w.db.Vacuum(ctx)
}

func (f consoleFigures) print(to io.Writer) error {
	table := tabwriter.NewWriter(to, 0, 0, 2, ' ', 0)
	var over []string
	_, _ = fmt.Fprintf(table, "median\tworst\tbound\tpage\n")
	for _, p := range f.Pages {
		_, _ = fmt.Fprintf(table, "%.0f\t%.0f\t%.0f\t%s %s\n", p.Median, p.Worst, p.Bound, p.Route, p.Asked)
		if p.Over {
			over = append(over, strings.TrimSpace(p.Route+" "+p.Asked))
		}
	}
	if err := table.Flush(); err != nil {
		return err
	}
	verdict := "every page is within its bound"
	if len(over) > 0 {
		verdict = fmt.Sprintf("%d over their bound: %s", len(over), strings.Join(over, "; "))
	}
	_, err := fmt.Fprintf(to, "%s contacts, %d pages %d times, in ms: %s\n", number(int64(f.Contacts)), len(f.Pages), f.Rounds, verdict)
	return err
}

// consoleWalk asks for pages and keeps how long each took.
type consoleWalk struct {
	db   *postgres.DB
	c    *console
	only string
	took map[benchPage][]time.Duration
}

// rounds walks the pages several times, each time on a site that was just
// started and remembers nothing.
func (k *consoleWalk) rounds(ctx context.Context, rounds int, pages []benchPage) error {
	pages = slices.DeleteFunc(pages, func(p benchPage) bool { return !strings.Contains(p.Route+" "+p.Path+" "+p.Asked, k.only) })
	for range max(rounds, 1) {
		if err := k.round(ctx, pages); err != nil {
			return err
		}
	}
	return nil
}

func (k *consoleWalk) round(ctx context.Context, pages []benchPage) error {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	site := "http://" + listener.Addr().String()
	serving, stop := context.WithCancel(ctx)
	defer stop()
	// What a page was left for is no error.
	quiet := &console{out: io.Discard, err: io.Discard, log: slog.New(slog.DiscardHandler)}
	handler, end, err := newConsole(serving, k.db, settings.Public{ConsoleURL: site}, noNames{}, quiet)
	if err != nil {
		return errors.Join(err, listener.Close())
	}
	var group errgroup.Group
	group.Go(func() error { return web.ServeListener(serving, listener, handler, quiet.log) })
	err = k.visit(ctx, &visitor{site: site}, pages)
	stop()
	end()
	return errors.Join(err, group.Wait())
}

// visit asks for each page alone: what the page before has left the site to find
// out is waited for.
func (k *consoleWalk) visit(ctx context.Context, v *visitor, pages []benchPage) error {
	if err := v.login(ctx); err != nil {
		return err
	}
	for _, p := range pages {
		if err := k.quiet(ctx); err != nil {
			return err
		}
		took, err := v.ask(ctx, p)
		if err != nil {
			return fmt.Errorf("%s %s: %w", p.Route, p.Asked, err)
		}
		k.took[p] = append(k.took[p], took)
	}
	return k.quiet(ctx)
}

// quiet waits until the database has had nothing to do for a moment.
func (k *consoleWalk) quiet(ctx context.Context) error {
	for still := 0; still < 3; still++ {
		busy, err := k.db.Busy(ctx)
		if err != nil {
			return err
		}
		if busy {
			still = -1
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(10 * time.Millisecond):
		}
	}
	return nil
}

// figures are what was measured, the slowest first.
func (k *consoleWalk) figures() (list []pageFigure) {
	for p, took := range k.took {
		slices.Sort(took)
		median, bound := took[len(took)/2], pageBound
		if p.Search {
			bound = searchBound
		}
		list = append(list, pageFigure{p.Route, p.Asked, milliseconds(median), milliseconds(took[len(took)-1]), milliseconds(bound), median > bound})
	}
	slices.SortFunc(list, func(a, b pageFigure) int {
		return cmp.Or(cmp.Compare(b.Median, a.Median), cmp.Compare(a.Route+a.Asked, b.Route+b.Asked))
	})
	return list
}

// noNames is a DNS that answers at once that there is nothing: what a real one
// takes is not the console's.
type noNames struct{}

// LookupTXT finds nothing.
func (noNames) LookupTXT(_ context.Context, name string) ([]string, error) { return nil, noName(name) }

// LookupMX finds nothing.
func (noNames) LookupMX(_ context.Context, name string) ([]*net.MX, error) { return nil, noName(name) }

// LookupIPAddr finds nothing.
func (noNames) LookupIPAddr(_ context.Context, host string) ([]net.IPAddr, error) {
	return nil, noName(host)
}

// LookupAddr finds nothing.
func (noNames) LookupAddr(_ context.Context, addr string) ([]string, error) { return nil, noName(addr) }

func noName(name string) error {
	return &net.DNSError{Err: "no such host", Name: name, IsNotFound: true}
}

// visitor is a browser that is logged in.
type visitor struct {
	site    string
	session *http.Cookie
}

// do asks for a page, or posts a form to it, and follows nowhere.
func (v *visitor) do(ctx context.Context, path, form string) (*http.Response, error) {
	method := http.MethodGet
	if form != "" {
		method = http.MethodPost
	}
	r, err := http.NewRequestWithContext(ctx, method, v.site+path, strings.NewReader(form))
	if err != nil {
		return nil, err
	}
	if form != "" {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	if v.session != nil {
		r.AddCookie(v.session)
	}
	return http.DefaultTransport.RoundTrip(r)
}

func (v *visitor) login(ctx context.Context) error {
	answer, err := v.do(ctx, "/login", url.Values{"email": {benchUser}, "password": {benchPassword}}.Encode())
	if err != nil {
		return err
	}
	_ = answer.Body.Close()
	if len(answer.Cookies()) == 0 {
		return fmt.Errorf("log in: %s", answer.Status)
	}
	v.session = answer.Cookies()[0]
	return nil
}

var styleSheet = regexp.MustCompile(`href="([^"]*/static/[^"]+\.css)"`)

// ask returns how long a page took to its last byte, or until it begins.
func (v *visitor) ask(ctx context.Context, p benchPage) (took time.Duration, err error) {
	path := p.Path
	if p.LinkedFrom != "" {
		if path, err = v.linked(ctx, p.LinkedFrom); err != nil {
			return 0, err
		}
	}
	begin := time.Now()
	answer, err := v.do(ctx, path, p.Form)
	if err != nil {
		return 0, err
	}
	defer func() { _ = answer.Body.Close() }()
	if !p.First {
		if _, err := io.Copy(io.Discard, answer.Body); err != nil {
			return 0, err
		}
	}
	took = time.Since(begin)
	want := http.StatusOK
	if p.Moved {
		want = http.StatusSeeOther
	}
	if answer.StatusCode != want {
		return 0, fmt.Errorf("answered %s", answer.Status)
	}
	return took, nil
}

// linked returns the style sheet that a page links to.
func (v *visitor) linked(ctx context.Context, page string) (string, error) {
	answer, err := v.do(ctx, page, "")
	if err != nil {
		return "", err
	}
	defer func() { _ = answer.Body.Close() }()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		return "", err
	}
	found := styleSheet.FindSubmatch(text)
	if found == nil {
		return "", fmt.Errorf("%s links to no style sheet", page)
	}
	return string(found[1]), nil
}
