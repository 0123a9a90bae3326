package console

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
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
		{pattern: "POST /settings/look", role: staff.Administrator, handle: s.setLook, body: brand.MaxLogo + 64<<10},
		{pattern: "GET /settings/look/preview", role: staff.Viewer, handle: s.lookPreview},
		{pattern: "GET /settings/look/preview/{colour}/static/{name}", role: staff.Viewer, handle: s.lookAsset},
	}
}

type lookPage struct {
	Colour    string // as it is kept, or as it was chosen; ours when the tenant has none
	Ours      bool   // the colour is ours
	Sides     []lookSide
	HasLogo   bool
	LogoAlt   string
	Languages []tongue
	Language  string // of the preview
	MostKB    int
	May       bool
	Tried     bool // it is shown and not kept
}

// lookSide is the look on light or on dark pages.
type lookSide struct {
	Theme    string // light or dark
	Pair     brand.Pair
	Own      bool    // the colour is the tenant's
	Contrast float64 // of the colour as it was chosen with the page's card
	Fault    string  // why another is shown: seen, read, or "" for none
	Preview  string
}

// ourColour stands in the field while the tenant has none.
const ourColour = "#0b6e4f"

func (s *site) look(w http.ResponseWriter, r *http.Request) {
	b, err := s.Store.Brand(r.Context())
	if err != nil {
		s.fail(w, r, err)
		return
	}
	if !partial(r) {
		s.showLook(w, r, http.StatusOK, "", b, false)
		return
	}
	// While it is chosen: the parts of the page that show the colour.
	b.Colour = r.URL.Query().Get("colour")
	if r.URL.Query().Get("ours") != "" {
		b.Colour = ""
	}
	s.fragment(w, r, http.StatusOK, "look", "look-tried", s.lookPage(r, b, true))
}

func (s *site) showLook(w http.ResponseWriter, r *http.Request, status int, problem string, b brand.Brand, tried bool) {
	s.show(w, r, status, "look", "settings", problem, s.lookPage(r, b, tried))
}

func (s *site) lookPage(r *http.Request, b brand.Brand, tried bool) lookPage {
	p := lookPage{Colour: b.Colour, Ours: b.Colour == "", HasLogo: b.Logo != nil, LogoAlt: b.LogoAlt, Language: r.FormValue("lang"),
		Languages: s.languages(), MostKB: brand.MaxLogo >> 10, May: userOf(r).Role.May(staff.Administrator), Tried: tried}
	if p.Ours {
		p.Colour = ourColour
	}
	if !slices.Contains(s.Templates.Languages(), p.Language) {
		p.Language = s.lang(r)
	}
	light, dark, own := b.Pairs()
	onLight, onDark := b.Contrast()
	for _, side := range []lookSide{{Theme: "light", Pair: light, Contrast: onLight}, {Theme: "dark", Pair: dark, Contrast: onDark}} {
		query := url.Values{"lang": {p.Language}, "theme": {side.Theme}}
		switch side.Own = own; {
		case tried && own:
			query.Set("colour", b.Colour)
		case tried:
			query.Set("colour", "ours")
		}
		switch {
		case !own || strings.EqualFold(side.Pair.Main, b.Colour):
		case side.Contrast < brand.LeastContrast:
			side.Fault = "seen"
		default:
			side.Fault = "read"
		}
		side.Preview = "/settings/look/preview?" + query.Encode()
		p.Sides = append(p.Sides, side)
	}
	return p
}

// setLook keeps the colour and the logo, or only shows the colour.
func (s *site) setLook(w http.ResponseWriter, r *http.Request) {
	b, err := s.Store.Brand(r.Context())
	if err != nil {
		s.fail(w, r, err)
		return
	}
	var tooLarge *http.MaxBytesError
	if err := r.ParseMultipartForm(brand.MaxLogo + 64<<10); errors.As(err, &tooLarge) {
		s.showLook(w, r, http.StatusRequestEntityTooLarge, s.text(r, "console.look.logo.large", brand.MaxLogo>>10), b, false)
		return
	} else if err != nil && !errors.Is(err, http.ErrNotMultipart) {
		s.message(w, r, http.StatusBadRequest, "console.bad")
		return
	}
	kept := b
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
	key := lookProblem(b)
	if b.Logo == nil {
		b.LogoAlt = "" // there is nothing that it says
	}
	// What is shown again has the logo that is kept: a browser does not send a file twice.
	shown := b
	shown.Logo = kept.Logo
	switch {
	case key != "":
		s.showLook(w, r, http.StatusBadRequest, s.text(r, key, brand.MaxLogo>>10), shown, true)
		return
	case r.PostFormValue("show") != "":
		s.showLook(w, r, http.StatusOK, "", shown, true)
		return
	}
	err = s.Store.SetBrand(r.Context(), b, "look", actor(r), s.Now())
	if s.broke(w, r, err) {
		return
	}
	if err != nil {
		s.Log.Info("the look was not kept", "error", err)
		s.showLook(w, r, http.StatusConflict, s.text(r, "console.settings.conflict"), shown, true)
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
// colour that is tried: "ours" for ours, "" for the one that is kept.
func (s *site) branded(ctx context.Context, colour string) (*templates.Set, error) {
	b, err := s.Store.Brand(ctx)
	if err != nil {
		return nil, err
	}
	tried := b
	switch tried.Colour = colour; {
	case colour == triedOurs:
		b.Colour = ""
	case colour != "" && tried.Validate() == nil:
		b = tried
	}
	return s.Templates.Branded(b)
}

// The preview's own files are below it, in a folder for each colour and theme:
// kept.light, ours.dark, ffcc00.dark.
const (
	previewBase = "/settings/look/preview/"
	keptColour  = "kept"
	triedOurs   = "ours"
)

// lookPreview shows a made-up recipient's page, to be framed by ours.
func (s *site) lookPreview(w http.ResponseWriter, r *http.Request) {
	colour, folder := r.URL.Query().Get("colour"), keptColour
	switch {
	case colour == triedOurs:
		folder = triedOurs
	case colour != "" && (brand.Brand{Colour: colour}).Validate() == nil:
		folder = strings.TrimPrefix(colour, "#")
	}
	if theme := r.URL.Query().Get("theme"); theme == "light" || theme == "dark" {
		folder += "." + theme
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
	// The page is framed by ours, and can do nothing. A logo that is only chosen yet
	// is a blob: of the browser's.
	w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'self'; img-src 'self' blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'self'")
	w.Header().Set("X-Frame-Options", "SAMEORIGIN")
	if err := web.Render(w, http.StatusOK, lang, func(to io.Writer) error { return set.Manage(to, p) }); err != nil {
		s.fail(w, r, err)
	}
}

// lookAsset serves what the preview refers to; style sheets for one theme,
// whatever the browser's is.
func (s *site) lookAsset(w http.ResponseWriter, r *http.Request) {
	colour, theme, _ := strings.Cut(r.PathValue("colour"), ".")
	switch colour {
	case keptColour:
		colour = ""
	case triedOurs:
	default:
		colour = "#" + colour
	}
	set, err := s.branded(r.Context(), colour)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	asset, ok := set.Asset(r.PathValue("name"))
	if !ok || theme == "" || !strings.HasPrefix(asset.Type, "text/css") {
		web.Static(set).ServeHTTP(w, r)
		return
	}
	// In the place of the question stands one with a known answer, which may follow
	// "screen and" as well.
	when := "(max-width: 0)"
	if theme == "dark" {
		when = "(min-width: 0)"
	}
	w.Header().Set("Content-Type", asset.Type)
	_, _ = strings.NewReplacer("(prefers-color-scheme: dark)", when, "color-scheme: light dark", "color-scheme: "+theme).WriteString(w, string(asset.Content))
}
