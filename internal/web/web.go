// Package web answers what our sites have in common: how a server is run and
// ended, which headers keep a page safe, how a page is rendered whole, and what
// is logged of a request. It knows no page and no rule.
package web

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/jatak-mail/jatak/templates"
)

// Bounds of a request.
const (
	headerTimeout = 10 * time.Second
	requestTime   = 30 * time.Second
	idleTime      = 2 * time.Minute
	maxHeader     = 32 << 10
	// MaxBody is the largest request body in bytes.
	MaxBody = 64 << 10
	// drain is how long requests under way may take when the server ends.
	drain = 10 * time.Second
)

// Serve serves on a TCP address until the context ends; then it lets requests
// under way finish and returns nil.
func Serve(ctx context.Context, address string, h http.Handler, log *slog.Logger) error {
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return fmt.Errorf("listen on %s (JATAK_LISTEN): %w", address, err)
	}
	log.Info("serving", "address", listener.Addr().String())
	return ServeListener(ctx, listener, h, log)
}

// ServeListener does the same on a listener, which it closes.
func ServeListener(ctx context.Context, listener net.Listener, h http.Handler, log *slog.Logger) error {
	server := &http.Server{
		Handler:           h,
		ReadHeaderTimeout: headerTimeout, ReadTimeout: requestTime, WriteTimeout: requestTime, IdleTimeout: idleTime,
		MaxHeaderBytes: maxHeader,
		ErrorLog:       slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(listener) }()
	select {
	case err := <-ended:
		return fmt.Errorf("serve: %w", err)
	case <-ctx.Done():
	}
	closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), drain)
	defer cancel()
	err := server.Shutdown(closing)
	if errors.Is(err, context.DeadlineExceeded) {
		return server.Close()
	}
	return err
}

// policy lets a page load its own style and pictures and post to its own site,
// and nothing else: no script at all.
const policy = "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

// Site is what all pages of a site have in common; all but Base is required.
type Site struct {
	Words *templates.Set
	Log   *slog.Logger
	Base  string // the path that the site lives under, without a slash at the end
	// MaxBody is the largest request body in bytes; 0: MaxBody of this package.
	MaxBody int64
	// Scripts lets pages run the site's own scripts, and nothing inline, and frame
	// its own pages.
	Scripts bool
}

// Secure adds the headers that keep a page safe, bounds the request, logs it,
// and turns a panic into the error page. The path is never logged: it holds a
// credential.
func (s Site) Secure(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		header := w.Header()
		header.Set("Content-Security-Policy", policy)
		if s.Scripts {
			header.Set("Content-Security-Policy", policy+"; script-src 'self'; connect-src 'self'; frame-src 'self'")
		}
		header.Set("Referrer-Policy", "no-referrer") // the address of the page is its key
		header.Set("X-Content-Type-Options", "nosniff")
		header.Set("X-Frame-Options", "DENY")
		header.Set("X-Robots-Tag", "noindex, nofollow")
		header.Set("Cross-Origin-Opener-Policy", "same-origin")
		header.Set("Cross-Origin-Resource-Policy", "same-origin")
		header.Set("Permissions-Policy", "camera=(), geolocation=(), microphone=()")
		header.Set("Cache-Control", "no-store")
		r.Body = http.MaxBytesReader(w, r.Body, cmp.Or(s.MaxBody, MaxBody))
		recorded := &statusRecorder{ResponseWriter: w, status: http.StatusOK}
		defer func() {
			if failure := recover(); failure != nil {
				if failure == http.ErrAbortHandler {
					panic(failure)
				}
				s.Log.Error("a request failed", "pattern", r.Pattern, "failure", fmt.Sprint(failure))
				if !recorded.written {
					s.Error(recorded, r, http.StatusInternalServerError, "error")
				}
			}
			s.Log.Debug("request", "method", r.Method, "pattern", r.Pattern, "status", recorded.status)
		}()
		h.ServeHTTP(recorded, r)
	})
}

// statusRecorder remembers what was answered.
type statusRecorder struct {
	http.ResponseWriter
	status  int
	written bool
}

func (s *statusRecorder) WriteHeader(status int) {
	s.status, s.written = status, true
	s.ResponseWriter.WriteHeader(status)
}

// Unwrap lets http.ResponseController through.
func (s *statusRecorder) Unwrap() http.ResponseWriter { return s.ResponseWriter }

func (s *statusRecorder) Write(b []byte) (int, error) {
	s.written = true
	return s.ResponseWriter.Write(b)
}

// ClientNetwork returns the network that a request comes from: the /24 of an
// IPv4 address, the /56 of an IPv6 address. Behind proxies that are trusted, it
// is the last address in X-Forwarded-For that is not one of theirs.
func ClientNetwork(r *http.Request, trusted []netip.Prefix) netip.Prefix {
	isTrusted := func(a netip.Addr) bool {
		return slices.ContainsFunc(trusted, func(p netip.Prefix) bool { return p.Contains(a) })
	}
	remote, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Prefix{}
	}
	client := remote.Addr().Unmap()
	hops := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	for _, hop := range slices.Backward(hops) {
		if !isTrusted(client) {
			break
		}
		next, err := netip.ParseAddr(strings.TrimSpace(hop))
		if err != nil {
			break
		}
		client = next.Unmap()
	}
	bits := 24
	if client.Is6() {
		bits = 56
	}
	network, _ := client.WithZone("").Prefix(bits) // the bits are within both families
	return network
}

// Render answers with a page that render writes, whole or not at all.
func Render(w http.ResponseWriter, status int, lang string, render func(io.Writer) error) error {
	var page bytes.Buffer
	if err := render(&page); err != nil {
		return err
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Language", lang)
	w.WriteHeader(status)
	_, _ = w.Write(page.Bytes()) // whoever has hung up needs no page
	return nil
}

// Error answers with the page of a problem in the reader's language: its
// title and text are the words kind.title and kind.text.
func (s Site) Error(w http.ResponseWriter, r *http.Request, status int, kind string) {
	lang := s.Words.Match(r.URL.Query().Get("lang"), r.Header.Get("Accept-Language"))
	err := Render(w, status, lang, func(to io.Writer) error {
		return s.Words.Message(to, templates.MessagePage{
			Frame: templates.Frame{Language: lang, Base: s.Base}, Title: kind + ".title", Text: kind + ".text",
		})
	})
	if err != nil {
		http.Error(w, http.StatusText(status), status)
	}
}

// Static serves the assets that pages refer to. Their names change with their
// content.
func Static(words *templates.Set) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asset, ok := words.Asset(r.PathValue("name"))
		if !ok {
			http.NotFound(w, r)
			return
		}
		w.Header().Set("Content-Type", asset.Type)
		w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
		_, _ = w.Write(asset.Content)
	})
}
