package embedded

import (
	"bytes"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"html/template"
	"io"
	"mime"
	"net/http"
	"strconv"
	"strings"

	"github.com/emersion/go-message"
	"github.com/emersion/go-message/mail"
)

//go:embed pages
var inboxFiles embed.FS

func decodeHeader(s string) string {
	decoded, err := new(mime.WordDecoder).DecodeHeader(s)
	if err != nil {
		return s
	}
	return decoded
}

// inboxSite is the page of the inbox.
type inboxSite struct {
	inbox *Inbox
	pages *template.Template
}

// Handler returns the site that shows the inbox: a list, each mail as its
// reader sees it, and its source.
func (i *Inbox) Handler() http.Handler {
	s := &inboxSite{inbox: i, pages: template.Must(template.ParseFS(inboxFiles, "pages/*.html"))}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", s.list)
	mux.HandleFunc("GET /api/messages", s.json)
	mux.HandleFunc("GET /messages/{number}", s.show)
	mux.HandleFunc("GET /messages/{number}/html", s.html)
	mux.HandleFunc("GET /messages/{number}/source", s.source)
	mux.HandleFunc("GET /style.css", func(w http.ResponseWriter, r *http.Request) {
		http.ServeFileFS(w, r, inboxFiles, "pages/inbox.css")
	})
	return mux
}

const (
	pageSize = 50
	// A mail is shown as mail clients show it: pictures and styles, no script.
	mailPolicy = "sandbox allow-popups allow-popups-to-escape-sandbox; default-src 'none'; img-src * data:; style-src 'unsafe-inline'"
	sitePolicy = "default-src 'none'; style-src 'self'; frame-src 'self'; base-uri 'none'; form-action 'self'"
)

// listPage is what the list shows.
type listPage struct {
	Query      string
	Messages   []InboxMessage
	Total      int
	Newer      int // the page before, -1 when there is none
	Older      int
	From, Upto int
}

func (s *inboxSite) list(w http.ResponseWriter, r *http.Request) {
	page, _ := strconv.Atoi(r.URL.Query().Get("page"))
	page = max(page, 0)
	p := listPage{Query: r.URL.Query().Get("q"), Newer: page - 1, Older: -1}
	query := strings.ToLower(p.Query)
	for n := s.inbox.Len(); n > 0; n-- {
		m, ok := s.inbox.Message(n)
		if !ok || query != "" && !strings.Contains(strings.ToLower(m.Subject+" "+strings.Join(m.To, " ")), query) {
			continue
		}
		if at := p.Total; at >= page*pageSize && at < (page+1)*pageSize {
			p.Messages = append(p.Messages, m)
		}
		p.Total++
	}
	if p.Total > (page+1)*pageSize {
		p.Older = page + 1
	}
	p.From, p.Upto = min(page*pageSize+1, p.Total), min((page+1)*pageSize, p.Total)
	s.render(w, "list.html", p)
}

// showPage is one mail.
type showPage struct {
	InboxMessage
	Text    string
	Headers string
	HasHTML bool
}

func (s *inboxSite) show(w http.ResponseWriter, r *http.Request) {
	m, raw, ok := s.message(w, r)
	if !ok {
		return
	}
	p := showPage{InboxMessage: m}
	header, _, _ := bytes.Cut(raw, []byte("\n\n"))
	p.Headers = string(header)
	text, html, err := bodies(raw)
	if err != nil {
		text = "This mail cannot be read: " + err.Error()
	}
	p.Text, p.HasHTML = text, html != ""
	s.render(w, "show.html", p)
}

func (s *inboxSite) html(w http.ResponseWriter, r *http.Request) {
	_, raw, ok := s.message(w, r)
	if !ok {
		return
	}
	_, html, err := bodies(raw)
	if err != nil || html == "" {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Security-Policy", mailPolicy)
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Referrer-Policy", "no-referrer")
	// Links of the mail open outside of the frame.
	_, _ = io.WriteString(w, `<base target="_blank">`+html)
}

func (s *inboxSite) source(w http.ResponseWriter, r *http.Request) {
	if _, raw, ok := s.message(w, r); ok {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		_, _ = w.Write(raw)
	}
}

// json lists the messages for programs, oldest first.
func (s *inboxSite) json(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/x-ndjson")
	encoder := json.NewEncoder(w)
	for m := range s.inbox.All() {
		if encoder.Encode(m) != nil {
			return
		}
	}
}

func (s *inboxSite) message(w http.ResponseWriter, r *http.Request) (m InboxMessage, raw []byte, ok bool) {
	number, _ := strconv.Atoi(r.PathValue("number"))
	m, ok = s.inbox.Message(number)
	if !ok {
		http.NotFound(w, r)
		return m, nil, false
	}
	raw, err := s.inbox.Raw(m)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return m, nil, false
	}
	return m, raw, true
}

func (s *inboxSite) render(w http.ResponseWriter, name string, values any) {
	var b bytes.Buffer
	if err := s.pages.ExecuteTemplate(&b, name, values); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Security-Policy", sitePolicy)
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	_, _ = w.Write(b.Bytes())
}

// bodies returns the text and the HTML of a mail.
func bodies(raw []byte) (text, html string, err error) {
	reader, err := mail.CreateReader(bytes.NewReader(raw))
	if err != nil && !message.IsUnknownCharset(err) {
		return "", "", fmt.Errorf("read mail: %w", err)
	}
	for {
		part, err := reader.NextPart()
		if errors.Is(err, io.EOF) {
			return text, html, nil
		}
		if err != nil && !message.IsUnknownCharset(err) {
			return text, html, fmt.Errorf("read mail: %w", err)
		}
		inline, ok := part.Header.(*mail.InlineHeader)
		if !ok {
			continue
		}
		body, err := io.ReadAll(io.LimitReader(part.Body, mostMessage))
		if err != nil {
			return text, html, fmt.Errorf("read mail: %w", err)
		}
		switch kind, _, _ := inline.ContentType(); kind {
		case "text/plain":
			text += string(body)
		case "text/html":
			html += string(body)
		}
	}
}
