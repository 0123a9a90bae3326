package preferences

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/jatak-mail/jatak/gating"
	"github.com/jatak-mail/jatak/internal/contact"
	"github.com/jatak-mail/jatak/internal/managelink"
	"github.com/jatak-mail/jatak/internal/web"
	"github.com/jatak-mail/jatak/templates"
)

// manageLife is how long the manage link on a confirmation page works.
const manageLife = 24 * time.Hour

// signUpForm shows the form. Other sites may have one of their own that posts
// the same fields here.
func (s *site) signUpForm(w http.ResponseWriter, r *http.Request) {
	rules, ok := s.signUpRules(w, r)
	if !ok {
		return
	}
	query := r.URL.Query()
	lang := s.Templates.Match(query.Get("lang"), r.Header.Get("Accept-Language"))
	s.showSignUp(w, r, http.StatusOK, rules, templates.SignUpPage{
		Frame: templates.Frame{Language: lang, Base: s.web.Base, Switch: true}, Purpose: purposeOf(query),
	}, map[string]bool{})
}

func purposeOf(form url.Values) string {
	if p := form.Get("purpose"); contact.IsLine(p, mostName) {
		return p
	}
	return string(gating.PurposeEmarketing)
}

// signUpRules answers "not here" when the tenant takes no sign-ups.
func (s *site) signUpRules(w http.ResponseWriter, r *http.Request) (rules contact.Rules, ok bool) {
	rules, err := s.Store.Rules(r.Context())
	if err != nil {
		s.fail(w, r, err)
		return rules, false
	}
	if rules.SenderAddress == "" {
		s.gone(w, r)
		return rules, false
	}
	return rules, true
}

func (s *site) showSignUp(w http.ResponseWriter, r *http.Request, status int, rules contact.Rules, p templates.SignUpPage, chosen map[string]bool) {
	var err error
	if p.Wording, err = s.wording(r, p.Purpose, p.Language); err != nil {
		s.fail(w, r, err)
		return
	}
	p.Sender, p.WordingHash = rules.SenderName, wordingHash(p.Wording)
	types, err := s.Store.TypesInUse(r.Context())
	if err != nil {
		s.fail(w, r, err)
		return
	}
	for _, t := range types {
		id := strconv.FormatInt(int64(t.ID), 10)
		p.Types = append(p.Types, templates.TypeChoice{ID: int64(t.ID), Name: t.Name(p.Language), In: chosen[id]})
	}
	if err := web.Render(w, status, p.Language, func(to io.Writer) error { return s.Templates.SignUp(to, p) }); err != nil {
		s.fail(w, r, err)
	}
}

// wording is the text that is shown for a purpose now.
func (s *site) wording(r *http.Request, purpose, lang string) (string, error) {
	text, err := s.Store.CurrentWording(r.Context(), gating.Purpose(purpose), lang)
	if text == "" {
		text = s.Templates.Text(lang, "sign_up.wording")
	}
	return text, err
}

func wordingHash(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}

// shownWording returns the text that the form says it showed, or "" when no
// such text was ever shown.
func (s *site) shownWording(r *http.Request, purpose, hash string) (string, error) {
	for _, lang := range s.Templates.Languages() {
		if text := s.Templates.Text(lang, "sign_up.wording"); wordingHash(text) == hash {
			return text, nil
		}
	}
	if !contact.IsLine(hash, 2*sha256.Size) {
		return "", nil
	}
	return s.Store.WordingOf(r.Context(), gating.Purpose(purpose), hash)
}

// mostName is the longest name that is kept, in characters.
const mostName = 100

// signUp keeps a request to be mailed. Whoever asks gets the same answer
// whether or not the address is known, suppressed or over a limit, so that
// nobody learns who our contacts are.
func (s *site) signUp(w http.ResponseWriter, r *http.Request) {
	if err := r.ParseForm(); err != nil {
		s.web.Error(w, r, formStatus(err), "bad")
		return
	}
	rules, ok := s.signUpRules(w, r)
	if !ok {
		return
	}
	form := r.PostForm
	lang := s.Templates.Match(form.Get("lang"), r.Header.Get("Accept-Language"))
	p := templates.SignUpPage{
		Frame: templates.Frame{Language: lang, Base: s.web.Base}, Purpose: purposeOf(form), Email: form.Get("email"),
		FirstName: clip(form.Get("first_name")), LastName: clip(form.Get("last_name")),
	}
	chosen := map[string]bool{}
	var types []gating.TypeID
	for _, value := range form["type"] {
		if id, err := strconv.ParseInt(value, 10, 64); err == nil {
			chosen[value] = true
			types = append(types, gating.TypeID(id))
		}
	}
	address, err := contact.ParseAddress(p.Email)
	if err != nil {
		p.Problem, p.Email = "bad_email", clip(p.Email)
		s.showSignUp(w, r, http.StatusBadRequest, rules, p, chosen)
		return
	}
	shown, err := s.shownWording(r, p.Purpose, form.Get("wording"))
	if err != nil {
		s.fail(w, r, err)
		return
	}
	if shown == "" {
		p.Problem = "stale"
		s.showSignUp(w, r, http.StatusBadRequest, rules, p, chosen)
		return
	}
	result := contact.SignUpLimited
	if form.Get("website") == "" { // only machines fill in what people do not see
		network := web.ClientNetwork(r, s.TrustedProxies)
		result, err = s.Store.SignUp(r.Context(), contact.SignUp{
			Email: strings.TrimSpace(p.Email), Address: address, Digest: s.Keyring.Digest(string(address)),
			FirstName: p.FirstName, LastName: p.LastName, Purpose: gating.Purpose(p.Purpose), Types: types,
			Wording: shown, Locale: lang, Network: s.Keyring.Digest("network " + network.String()), Now: s.Now(), Life: rules.SignUpLife,
		})
		if err != nil {
			s.fail(w, r, err)
			return
		}
	}
	s.Log.Info("sign-up", "result", result)
	err = web.Render(w, http.StatusOK, lang, func(to io.Writer) error {
		return s.Templates.Message(to, templates.MessagePage{Frame: p.Frame, Title: "sign_up.sent.title", Text: "sign_up.sent.text"})
	})
	if err != nil {
		s.fail(w, r, err)
	}
}

// clip makes what somebody wrote fit for a name: one line of some length.
func clip(name string) string {
	name = strings.Join(strings.Fields(strings.ToValidUTF8(strings.ReplaceAll(name, "\x00", ""), "")), " ")
	if runes := []rune(name); len(runes) > mostName {
		return string(runes[:mostName])
	}
	return name
}

// openSignUp opens the link in a confirmation mail; when it cannot, it answers.
func (s *site) openSignUp(w http.ResponseWriter, r *http.Request) (link managelink.Link, pending contact.PendingSignUp, p templates.ConfirmPage, ok bool) {
	link, err := s.Keyring.Open(r.PathValue("token"), s.Now())
	if err != nil || link.Kind != managelink.Confirm {
		s.gone(w, r)
		return link, pending, p, false
	}
	pending, err = s.Store.PendingSignUp(r.Context(), contact.ID(link.Contact), link.SignUp, s.Now())
	var rules contact.Rules
	if err == nil {
		rules, err = s.Store.Rules(r.Context())
	}
	switch {
	case errors.Is(err, contact.ErrNotFound):
		s.gone(w, r)
		return link, pending, p, false
	case err != nil:
		s.fail(w, r, err)
		return link, pending, p, false
	}
	lang := s.Templates.Match(r.FormValue("lang"), pending.Locale)
	p = templates.ConfirmPage{
		Frame: templates.Frame{Language: lang, Base: s.web.Base, Switch: true}, Sender: rules.SenderName, Address: pending.Address.Masked(),
		Wording: pending.Wording, Expired: pending.Expired && !pending.Confirmed,
	}
	for _, t := range pending.Types {
		p.Types = append(p.Types, t.Name(lang))
	}
	return link, pending, p, true
}

// askConfirm shows the button that confirms a sign-up.
func (s *site) askConfirm(w http.ResponseWriter, r *http.Request) {
	_, pending, p, ok := s.openSignUp(w, r)
	if !ok {
		return
	}
	if pending.Confirmed {
		p.Done = "confirmed"
	}
	s.showConfirm(w, r, p)
}

// confirm makes a sign-up a consent, or mails a fresh link for one that is too
// old.
func (s *site) confirm(w http.ResponseWriter, r *http.Request) {
	if err := r.ParseForm(); err != nil {
		s.web.Error(w, r, formStatus(err), "bad")
		return
	}
	link, pending, p, ok := s.openSignUp(w, r)
	if !ok {
		return
	}
	id, now := contact.ID(link.Contact), s.Now()
	var err error
	switch action := r.PostForm.Get("action"); {
	case action == "resend" && p.Expired:
		var rules contact.Rules
		if rules, err = s.Store.Rules(r.Context()); err == nil {
			err = s.Store.ResendSignUp(r.Context(), id, link.SignUp, now, rules.SignUpLife)
		}
		p.Done = "resent"
	case action == "confirm" && (!p.Expired || pending.Confirmed):
		err = s.Store.ConfirmSignUp(r.Context(), id, link.SignUp, now)
		p.Done = "confirmed"
		p.ManageLink = s.web.Base + "/m/" + s.Keyring.Manage(link.Contact, 0, now.Add(manageLife))
	case action == "confirm": // expired while the page was open
	default:
		s.web.Error(w, r, http.StatusBadRequest, "bad")
		return
	}
	switch {
	case errors.Is(err, contact.ErrExpired):
		p.Done, p.ManageLink, p.Expired = "", "", true
	case errors.Is(err, contact.ErrNotFound):
		s.gone(w, r)
		return
	case err != nil:
		s.fail(w, r, err)
		return
	}
	s.showConfirm(w, r, p)
}

func (s *site) showConfirm(w http.ResponseWriter, r *http.Request, p templates.ConfirmPage) {
	if err := web.Render(w, http.StatusOK, p.Language, func(to io.Writer) error { return s.Templates.Confirm(to, p) }); err != nil {
		s.fail(w, r, err)
	}
}
