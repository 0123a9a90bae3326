package console

import (
	"context"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/jatak-mail/jatak/internal/brand"
	"github.com/jatak-mail/jatak/internal/contact"
	"github.com/jatak-mail/jatak/internal/staff"
	"github.com/jatak-mail/jatak/internal/web"
	"github.com/jatak-mail/jatak/templates"
)

// lookStore keeps the look of the recipients' pages.
type lookStore interface {
	Brand(ctx context.Context) (brand.Brand, error)
	SetBrand(ctx context.Context, b brand.Brand, what, actor string, now time.Time) error
}

func (s *site) lookRoutes() []route {
	return []route{
		{pattern: "GET /settings/look", role: staff.Viewer, handle: s.look},
		{pattern: "POST /settings/look", role: staff.Administrator, handle: s.setLook, kept: true, body: brand.MaxLogo + 64<<10},
		{pattern: "GET /settings/look/preview", role: staff.Viewer, handle: s.lookPreview},
		{pattern: "GET /settings/look/preview/{colour}/static/{name}", role: staff.Viewer, handle: s.lookAsset},
	}
}

type lookPage struct {
	Colour      string // as it is kept, or as it was written
	Ours        string
	Pairs       bool
	Light, Dark brand.Pair
	Adjusted    bool // it is not shown as it was written
	HasLogo     bool
	LogoAlt     string
	Version     int64
	Tried       string // the colour of the preview
	Languages   []tongue
	Language    string
	MostKB      int
	May         bool
}

// ourColour stands in the field while the tenant has none.
const ourColour = "#0b6e4f"

func (s *site) look(w http.ResponseWriter, r *http.Request) {
	b, err := s.Store.Brand(r.Context())
	if err != nil {
		s.fail(w, r, err)
		return
	}
	if colour := r.URL.Query().Get("colour"); colour != "" {
		b.Colour = colour // tried, and not kept
	}
	s.showLook(w, r, http.StatusOK, "", b)
}

func (s *site) showLook(w http.ResponseWriter, r *http.Request, status int, problem string, b brand.Brand) {
	p := lookPage{Colour: b.Colour, Ours: ourColour, HasLogo: b.Logo != nil, LogoAlt: b.LogoAlt, Version: b.Version, Language: r.URL.Query().Get("lang"),
		Languages: s.languages(), MostKB: brand.MaxLogo >> 10, May: userOf(r).Role.May(staff.Administrator)}
	p.Light, p.Dark, p.Pairs = b.Pairs()
	p.Adjusted = p.Pairs && (!strings.EqualFold(p.Light.Main, b.Colour) || !strings.EqualFold(p.Dark.Main, b.Colour))
	if !slices.Contains(s.Templates.Languages(), p.Language) {
		p.Language = s.lang(r)
	}
	if p.Pairs {
		p.Tried = b.Colour
	}
	s.show(w, r, status, "look", "settings", problem, p)
}

// setLook keeps the colour and the logo.
func (s *site) setLook(w http.ResponseWriter, r *http.Request) {
	b, err := s.Store.Brand(r.Context())
	if err != nil {
		s.fail(w, r, err)
		return
	}
	var tooLarge *http.MaxBytesError
	if err := r.ParseMultipartForm(brand.MaxLogo + 64<<10); errors.As(err, &tooLarge) {
		s.showLook(w, r, http.StatusRequestEntityTooLarge, s.text(r, "console.look.logo.large", brand.MaxLogo>>10), b)
		return
	} else if err != nil && !errors.Is(err, http.ErrNotMultipart) {
		s.message(w, r, http.StatusBadRequest, "console.bad")
		return
	}
	b.Colour = strings.TrimSpace(r.PostFormValue("colour"))
	if r.PostFormValue("ours") != "" {
		b.Colour = ""
	}
	b.LogoAlt = strings.TrimSpace(r.PostFormValue("alt"))
	if r.PostFormValue("nologo") != "" {
		b.Logo, b.LogoAlt = nil, ""
	}
	if file, _, err := r.FormFile("logo"); err == nil {
		defer func() { _ = file.Close() }()
		logo, err := io.ReadAll(io.LimitReader(file, brand.MaxLogo+1))
		if err != nil {
			s.fail(w, r, err)
			return
		}
		if len(logo) > 0 {
			b.Logo = logo
		}
	}
	if key := lookProblem(b); key != "" {
		s.showLook(w, r, http.StatusBadRequest, s.text(r, key, brand.MaxLogo>>10), b)
		return
	}
	if err := s.Store.SetBrand(r.Context(), b, "look", actor(r), s.Now()); err != nil {
		s.Log.Info("the look was not kept", "error", err)
		s.showLook(w, r, http.StatusConflict, s.text(r, "console.settings.conflict"), b)
		return
	}
	s.redirect(w, r, "/settings/look?done=saved")
}

// lookProblem names the sentence about what cannot be shown, or returns "".
func lookProblem(b brand.Brand) string {
	logo := b.Logo
	switch b.Logo = nil; {
	case b.Validate() != nil:
		return "console.look.colour.wrong"
	case logo == nil:
		return ""
	case len(logo) > brand.MaxLogo:
		return "console.look.logo.large"
	case brand.LogoType(logo) == "":
		return "console.look.logo.wrong"
	}
	b.Logo = logo
	if b.Validate() != nil || !plainLine(b.LogoAlt, 100) {
		return "console.look.alt.wrong"
	}
	return ""
}

// branded is the set of the recipients' pages in the look that is kept, with a
// colour that is tried, unless it is none.
func (s *site) branded(ctx context.Context, colour string) (*templates.Set, error) {
	b, err := s.Store.Brand(ctx)
	if err != nil {
		return nil, err
	}
	tried := b
	if tried.Colour = colour; colour != "" && tried.Validate() == nil {
		b = tried
	}
	return s.Templates.Branded(b)
}

// The preview's own files are below it, each colour's in a folder.
const (
	previewBase = "/settings/look/preview/"
	keptColour  = "kept"
)

// lookPreview shows a made-up recipient's page, to be framed by ours.
func (s *site) lookPreview(w http.ResponseWriter, r *http.Request) {
	colour, folder := r.URL.Query().Get("colour"), keptColour
	if (brand.Brand{Colour: colour}).Validate() == nil && colour != "" {
		folder = strings.TrimPrefix(colour, "#")
	}
	set, err := s.branded(r.Context(), colour)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	types, err := s.Store.Types(r.Context())
	if err != nil {
		s.fail(w, r, err)
		return
	}
	sender, err := s.Store.Setting(r.Context(), contact.SettingSenderName)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	lang := set.Match(r.URL.Query().Get("lang"), s.lang(r))
	p := templates.ManagePage{Frame: templates.Frame{Language: lang, Base: previewBase + folder}, Sender: sender, Address: "a***@example.org", State: templates.EmarketingOn}
	for i, t := range types {
		if !t.Retired {
			p.Types = append(p.Types, templates.TypeChoice{ID: int64(i + 1), Name: nameIn(t.Names, lang, t.Key), In: i%2 == 0})
		}
	}
	// The page is framed by ours, and can do nothing.
	w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'self'")
	w.Header().Set("X-Frame-Options", "SAMEORIGIN")
	if err := web.Render(w, http.StatusOK, lang, func(to io.Writer) error { return set.Manage(to, p) }); err != nil {
		s.fail(w, r, err)
	}
}

// lookAsset serves what the preview refers to.
func (s *site) lookAsset(w http.ResponseWriter, r *http.Request) {
	colour := ""
	if folder := r.PathValue("colour"); folder != keptColour {
		colour = "#" + folder
	}
	set, err := s.branded(r.Context(), colour)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	web.Static(set).ServeHTTP(w, r)
}
