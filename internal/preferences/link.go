package preferences

import (
	"io"
	"net/http"

	"github.com/jatak-mail/jatak/internal/contact"
	"github.com/jatak-mail/jatak/internal/web"
	"github.com/jatak-mail/jatak/templates"
)

// linkForm is for those who have deleted every mail: it mails them their link.
func (s *site) linkForm(w http.ResponseWriter, r *http.Request) {
	rules, ok := s.signUpRules(w, r)
	if !ok {
		return
	}
	lang := s.Templates.Match(r.URL.Query().Get("lang"), r.Header.Get("Accept-Language"))
	s.showLink(w, r, http.StatusOK, templates.LinkPage{
		Frame: templates.Frame{Language: lang, Base: s.web.Base, Switch: true}, Sender: rules.SenderName})
}

func (s *site) showLink(w http.ResponseWriter, r *http.Request, status int, p templates.LinkPage) {
	if err := web.Render(w, status, p.Language, func(to io.Writer) error { return s.Templates.Link(to, p) }); err != nil {
		s.fail(w, r, err)
	}
}

// mailLink mails the link, if the address is somebody's. The answer is the same
// for everybody.
func (s *site) mailLink(w http.ResponseWriter, r *http.Request) {
	if err := r.ParseForm(); err != nil {
		s.web.Error(w, r, formStatus(err), "bad")
		return
	}
	rules, ok := s.signUpRules(w, r)
	if !ok {
		return
	}
	lang := s.Templates.Match(r.PostForm.Get("lang"), r.Header.Get("Accept-Language"))
	frame := templates.Frame{Language: lang, Base: s.web.Base}
	address, err := contact.ParseAddress(r.PostForm.Get("email"))
	if err != nil {
		s.showLink(w, r, http.StatusBadRequest, templates.LinkPage{Frame: frame, Sender: rules.SenderName, Problem: "bad_email", Email: clip(r.PostForm.Get("email"))})
		return
	}
	if r.PostForm.Get("website") == "" {
		network := s.Keyring.Digest("network " + web.ClientNetwork(r, s.TrustedProxies).String())
		if err := s.Store.MailLink(r.Context(), address, network, lang, s.Now()); err != nil {
			s.fail(w, r, err)
			return
		}
	}
	err = web.Render(w, http.StatusOK, lang, func(to io.Writer) error {
		return s.Templates.Message(to, templates.MessagePage{Frame: frame, Title: "link.sent.title", Text: "link.sent.text"})
	})
	if err != nil {
		s.fail(w, r, err)
	}
}
