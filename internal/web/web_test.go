package web

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/jatak-mail/jatak/templates"
)

func newSite(t *testing.T, log io.Writer) Site {
	t.Helper()
	words, err := templates.New()
	if err != nil {
		t.Fatal(err)
	}
	return Site{Words: words, Log: slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug})), Base: "/mail"}
}

func TestAPanicBecomesThePageOfAProblem(t *testing.T) {
	t.Parallel()
	var log strings.Builder
	s := newSite(t, &log)
	h := s.Secure(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("a mistake of ours") }))
	r := httptest.NewRequest("GET", "/m/a-secret-token?lang=da", nil)
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	if w.Code != http.StatusInternalServerError || !strings.Contains(w.Body.String(), s.Words.Text("da", "error.title")) {
		t.Errorf("answered %d: %s", w.Code, w.Body)
	}
	if !strings.Contains(w.Body.String(), `href="/mail/static/portal.`) {
		t.Error("the page does not find its style under the site's path")
	}
	if strings.Contains(w.Body.String(), "a mistake of ours") || strings.Contains(w.Body.String(), "goroutine") {
		t.Error("the reader sees our mistake")
	}
	if !strings.Contains(log.String(), "a mistake of ours") || strings.Contains(log.String(), "a-secret-token") {
		t.Errorf("the log is to tell the mistake and not the token: %s", log.String())
	}
}

func TestBodiesAreBounded(t *testing.T) {
	t.Parallel()
	s := newSite(t, io.Discard)
	var readErr error
	h := s.Secure(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { _, readErr = io.Copy(io.Discard, r.Body) }))
	h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("POST", "/", strings.NewReader(strings.Repeat("x", MaxBody+1))))
	if readErr == nil {
		t.Error("a body larger than the bound was read whole")
	}
}

func TestServeFinishesWhatIsUnderWay(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	arrived, release := make(chan struct{}), make(chan struct{})
	h := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		close(arrived)
		<-release
		_, _ = fmt.Fprint(w, "done")
	})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- ServeListener(ctx, listener, h, slog.New(slog.DiscardHandler)) }()
	answers := make(chan string, 1)
	go func() {
		resp, err := http.Get("http://" + listener.Addr().String())
		if err != nil {
			answers <- err.Error()
			return
		}
		defer func() { _ = resp.Body.Close() }()
		body, _ := io.ReadAll(resp.Body)
		answers <- string(body)
	}()
	<-arrived
	cancel()
	close(release)
	if got := <-answers; got != "done" {
		t.Errorf("the request under way got %q", got)
	}
	if err := <-ended; err != nil {
		t.Errorf("the server ended with %v", err)
	}
}

func TestServeSaysWhyItCannotListen(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = taken.Close() }()
	err = Serve(t.Context(), taken.Addr().String(), http.NotFoundHandler(), slog.New(slog.DiscardHandler))
	if err == nil || !strings.Contains(err.Error(), "JATAK_LISTEN") {
		t.Errorf("Serve on a taken address: %v", err)
	}
}
