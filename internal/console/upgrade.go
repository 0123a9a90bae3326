package console

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jatak-mail/jatak/internal/campaign"
	"github.com/jatak-mail/jatak/internal/contact"
	"github.com/jatak-mail/jatak/internal/staff"
	"github.com/jatak-mail/jatak/templates"
)

// upgradeStore tells of the contacts that are not upgraded, and of the runs.
type upgradeStore interface {
	ToUpgrade(ctx context.Context) (bool, error)
	CountToUpgrade(ctx context.Context, most int) (int64, error)
	CountUpgrade(ctx context.Context, threshold, most int) (map[contact.UpgradePoint]int64, error)
	UpgradeExamples(ctx context.Context, point contact.UpgradePoint, threshold, most int) ([]contact.Contact, error)
	UpgradeRuns(ctx context.Context, most int) ([]contact.UpgradeRun, error)
	KeptLinks(ctx context.Context) (campaign.KeptLinks, error)
	KeepLink(ctx context.Context, k campaign.KeepLink) error
	AskAboutLink(ctx context.Context, id int64, actor string, now time.Time) error
	Campaigns(ctx context.Context) ([]campaign.Campaign, error)
}

// Upgrader runs upgrades beside the pages. Start returns contact.ErrUpgrading
// while another goes on.
type Upgrader interface {
	Start(ctx context.Context, r contact.UpgradeRun) error
}

func (s *site) upgradeRoutes() []route {
	return []route{
		{pattern: "GET /upgrade", role: staff.Officer, handle: s.upgrade},
		{pattern: "POST /upgrade/try", role: staff.Officer, handle: s.startUpgrade},
		{pattern: "POST /upgrade/run", role: staff.Administrator, handle: s.startUpgrade},
		{pattern: "GET /upgrade/links", role: staff.Officer, handle: s.upgradeLinks},
		{pattern: "POST /upgrade/links/{kind}/{id}", role: staff.Officer, handle: s.applyLink},
		{pattern: "POST /upgrade/links/{kind}/{id}/keep", role: staff.Officer, handle: s.keepLink},
		{pattern: "POST /upgrade/kept/{id}/ask", role: staff.Officer, handle: s.askAboutLink},
	}
}

// upgradeStep is a point of the upgrade as the page shows it.
type upgradeStep struct {
	Point    contact.UpgradePoint
	About    upgradeAbout   // whom or what it is about
	Counts   []upgradeCount // of the last run or try
	Examples []contact.Contact
	Busy     bool
	Done     bool
}

// upgradeAbout is how many contacts a point is about or, of the last, links.
type upgradeAbout struct {
	Known bool // it has been counted
	Count int64
	More  bool // than are counted
}

// upgradeCount is a number with the key of its words.
type upgradeCount struct {
	Key   string
	Count int64
}

type upgradePage struct {
	Left      upgradeAbout // contacts that are not upgraded
	Counting  bool         // whom the points are about
	Steps     []upgradeStep
	Running   bool
	Last      contact.UpgradeRun // the newest that has ended; zero for none
	Now       contact.UpgradeRun // the one that runs
	Runs      []contact.UpgradeRun
	Links     int // of one's own, to be decided about
	Kept      int // of one's own, that stay
	Threshold int
	URLs      string
	May       bool // run it
	Tried     bool // the last was a try, and nothing has run since
}

const (
	upgradeExamples = 5
	upgradeRuns     = 10
	mostUpgrade     = 10_000 // of them are counted
)

// upgradeLife is how long a count for the upgrade is shown: only an import changes
// it, or a run.
const upgradeLife = time.Minute

func upgradeKey(threshold int) string { return fmt.Sprint("upgrade ", threshold) }

// upTo is a number that was counted to one more than mostUpgrade.
func upTo(n int64) upgradeAbout {
	return upgradeAbout{Known: true, Count: min(n, mostUpgrade), More: n > mostUpgrade}
}

func (s *site) upgrade(w http.ResponseWriter, r *http.Request) {
	s.showUpgrade(w, r, http.StatusOK, "", 0, "")
}

func (s *site) showUpgrade(w http.ResponseWriter, r *http.Request, status int, problem string, threshold int, urls string) {
	p, err := s.upgradePage(r, threshold, urls)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	if partial(r) && r.Method == http.MethodGet {
		s.fragment(w, r, status, "upgrade", "upgrade-steps", p)
		return
	}
	s.show(w, r, status, "upgrade", "upgrade", problem, p)
}

func (s *site) upgradePage(r *http.Request, threshold int, urls string) (p upgradePage, err error) {
	ctx := r.Context()
	p = upgradePage{Threshold: threshold, URLs: urls, May: userOf(r).Role.May(staff.Administrator)}
	if p.Runs, err = s.Store.UpgradeRuns(ctx, upgradeRuns); err != nil {
		return p, err
	}
	for i := range p.Runs {
		run := &p.Runs[i]
		if run.Finished.IsZero() && s.Now().Sub(run.Beat) > contact.UpgradePatience {
			run.Problem = "interrupted"
		}
		switch {
		case run.Finished.IsZero() && run.Problem == "":
			p.Now, p.Running = *run, true
		case p.Last.ID == 0:
			p.Last = *run
		}
	}
	p.Tried = p.Last.ID != 0 && p.Last.DryRun && p.Last.Problem == ""
	if threshold == 0 {
		p.Threshold, p.URLs = 1, ""
		if p.Last.ID != 0 {
			p.Threshold, p.URLs = p.Last.Threshold, strings.Join(p.Last.LegacyURLs, "\n")
		}
	}
	left, err := s.Store.CountToUpgrade(ctx, mostUpgrade+1)
	if err != nil {
		return p, err
	}
	p.Left = upTo(left)
	about := map[contact.UpgradePoint]upgradeAbout{}
	if !p.Running {
		if about, err = s.upgradeAbout(ctx, &p); err != nil {
			return p, err
		}
	}
	for _, point := range contact.UpgradePoints() {
		step := upgradeStep{Point: point, About: about[point], Busy: p.Running && p.Now.Step == int(point), Done: left == 0 && p.Last.ID != 0}
		if p.Last.Problem == "" && p.Last.ID != 0 {
			step.Counts = upgradeCounts(point, p.Last.Report)
		}
		if left > 0 && !p.Running {
			if step.Examples, err = s.Store.UpgradeExamples(ctx, point, p.Threshold, upgradeExamples); err != nil {
				return p, err
			}
		}
		p.Steps = append(p.Steps, step)
	}
	return p, nil
}

// upgradeAbout says what each point is about. The contacts are counted beside the
// page, once for all who look.
func (s *site) upgradeAbout(ctx context.Context, p *upgradePage) (map[contact.UpgradePoint]upgradeAbout, error) {
	about := map[contact.UpgradePoint]upgradeAbout{}
	links, standard, err := s.unsubscribeLinks(ctx)
	if err != nil {
		return nil, err
	}
	for _, l := range links {
		if l.Kept.ID != 0 {
			p.Kept++
		} else {
			p.Links++
		}
	}
	about[contact.PointLinks] = upTo(standard)
	if p.Left.Count == 0 {
		return about, nil
	}
	threshold := p.Threshold
	counted, ready, err := result[map[contact.UpgradePoint]int64](s.count.get(upgradeKey(threshold), upgradeLife, s.Patience, time.Now(), func(ctx context.Context, _ *work) (any, error) {
		return s.Store.CountUpgrade(ctx, threshold, mostUpgrade+1)
	}))
	if err != nil {
		return nil, err
	}
	p.Counting = !ready
	for point, n := range counted {
		about[point] = upTo(n)
	}
	return about, nil
}

// upgradeCounts are the numbers of a report that a point is about.
func upgradeCounts(point contact.UpgradePoint, r contact.UpgradeReport) []upgradeCount {
	return map[contact.UpgradePoint][]upgradeCount{
		contact.PointStored:    {{"stored", r.Stored}},
		contact.PointMailed:    {{"mailed", r.Emarketing}},
		contact.PointNever:     {{"never", r.NeverMailed}},
		contact.PointWithdrawn: {{"withdrawn", r.Withdrawn}, {"companies", r.CompaniesNoMailings}},
		contact.PointTypes:     {{"types", r.TypesCreated}, {"in", r.PreferencesIn}, {"out", r.PreferencesOut}, {"unmapped", r.InterestsUnmapped}},
		contact.PointLinks:     {{"links", int64(r.LinksRewritten)}},
	}[point]
}

// startUpgrade begins an upgrade, or a try of one that changes nothing.
func (s *site) startUpgrade(w http.ResponseWriter, r *http.Request) {
	run := contact.UpgradeRun{Actor: actor(r), DryRun: strings.HasSuffix(r.Pattern, "/try"), Started: s.Now()}
	urls := strings.TrimSpace(strings.ReplaceAll(r.PostFormValue("urls"), "\r\n", "\n"))
	var err error
	run.Threshold, err = strconv.Atoi(templates.ReadNumeral(s.lang(r), r.PostFormValue("threshold")))
	if err != nil || run.Threshold < 1 || run.Threshold > contact.MostThreshold {
		s.showUpgrade(w, r, http.StatusBadRequest, s.text(r, "console.upgrade.threshold.wrong", contact.MostThreshold), 1, urls)
		return
	}
	if run.LegacyURLs, err = legacyURLs(urls); err != nil {
		s.showUpgrade(w, r, http.StatusBadRequest, s.text(r, "console.upgrade.urls.wrong", contact.MostLegacyURLs), run.Threshold, urls)
		return
	}
	if !run.DryRun && r.PostFormValue("sure") == "" {
		s.showUpgrade(w, r, http.StatusBadRequest, s.text(r, "console.settings.sure"), run.Threshold, urls)
		return
	}
	s.count.drop(upgradeKey(run.Threshold))
	switch err := s.Upgrades.Start(r.Context(), run); {
	case errors.Is(err, contact.ErrUpgrading):
		s.showUpgrade(w, r, http.StatusConflict, s.text(r, "console.upgrade.busy"), run.Threshold, urls)
	case err != nil:
		s.fail(w, r, err)
	default:
		s.redirect(w, r, "/upgrade")
	}
}

// legacyURLs reads addresses, one on a line.
func legacyURLs(text string) (list []string, err error) {
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if line == "" {
			continue
		}
		u, err := url.Parse(line)
		if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || !plainLine(line, 500) || len(list) == contact.MostLegacyURLs {
			return nil, errors.New("no address of a page")
		}
		list = append(list, line)
	}
	return list, nil
}

// customLink is an unsubscribe link of the tenant's own in a draft or template.
type customLink struct {
	campaign.DraftRef
	Name     string
	Language string
	campaign.Finding
	Kept   campaign.KeptLink // what was decided about it; zero for nothing yet
	Reason string            // as it was written, while it cannot be kept so
	Open   bool
}

// Base is where the draft or template is, and Place where in it the link stands.
func (l customLink) Base() string  { return base(l.DraftRef) }
func (l customLink) Place() string { return place(l.Finding) }

func place(f campaign.Finding) string { return fmt.Sprintf("%d:%d", f.Line, f.Column) }

// unsubscribeLinks lists those of one's own, the drafts' from the oldest on and
// then the templates', and counts the standard ones.
func (s *site) unsubscribeLinks(ctx context.Context) (own []customLink, standard int64, err error) {
	campaigns, err := s.Store.Campaigns(ctx)
	if err != nil {
		return nil, 0, err
	}
	stored, err := s.Store.Templates(ctx)
	if err != nil {
		return nil, 0, err
	}
	kept, err := s.Store.KeptLinks(ctx)
	if err != nil {
		return nil, 0, err
	}
	var drafts []campaign.Draft
	for _, c := range slices.Backward(campaigns) {
		if c.State == campaign.StateDraft {
			drafts = append(drafts, campaign.Draft{DraftRef: campaign.DraftRef{ID: int64(c.ID)}, Content: c.Content})
		}
	}
	for _, d := range append(drafts, stored...) {
		of := kept.Of(d.DraftRef)
		for _, lang := range d.Content.Languages() {
			for _, f := range campaign.Findings(d.Content, lang) {
				switch f.Code {
				case campaign.CodeStandardLink:
					standard++
				case campaign.CodeCustomLink:
					decided, _ := of.Find(lang, f)
					own = append(own, customLink{DraftRef: d.DraftRef, Name: d.Content.Name, Language: lang, Finding: f, Kept: decided})
				}
			}
		}
	}
	return own, standard, nil
}

type linksPage struct {
	Asked, Kept []customLink
	MostReason  int // characters
}

func (s *site) upgradeLinks(w http.ResponseWriter, r *http.Request) {
	s.showLinks(w, r, http.StatusOK, "")
}

// showLinks lists the links. What was written about one that could not be kept
// stands there still.
func (s *site) showLinks(w http.ResponseWriter, r *http.Request, status int, problem string) {
	list, _, err := s.unsubscribeLinks(r.Context())
	if err != nil {
		s.fail(w, r, err)
		return
	}
	p := linksPage{MostReason: campaign.MostReason}
	for _, l := range list {
		if l.Kept.ID != 0 {
			p.Kept = append(p.Kept, l)
			continue
		}
		if problem != "" && r.URL.Path == "/upgrade/links"+l.Base()+"/keep" && names(r, l.Language, l.Finding) {
			l.Reason, l.Open = r.PostFormValue("reason"), true
		}
		p.Asked = append(p.Asked, l)
	}
	s.show(w, r, status, "upgradelinks", "upgrade", problem, p)
}

// names reports whether a form names this link.
func names(r *http.Request, lang string, f campaign.Finding) bool {
	return f.Code == campaign.CodeCustomLink && lang == r.PostFormValue("lang") && f.Part == r.PostFormValue("part") &&
		place(f) == r.PostFormValue("place") && f.Original == r.PostFormValue("original")
}

// namedLink returns the draft and the link that a form names, if it still stands
// where the page showed it and is not kept. Else that is answered.
func (s *site) namedLink(w http.ResponseWriter, r *http.Request) (d campaign.Draft, f campaign.Finding, ok bool) {
	id, err := strconv.ParseInt(r.PathValue("id"), 10, 64)
	kind := r.PathValue("kind")
	if err != nil || kind != "campaigns" && kind != "templates" {
		s.gone(w, r)
		return d, f, false
	}
	d, err = s.Store.Draft(r.Context(), campaign.DraftRef{Template: kind == "templates", ID: id})
	if errors.Is(err, campaign.ErrNotFound) {
		s.gone(w, r)
		return d, f, false
	}
	kept, keptErr := s.Store.KeptLinks(r.Context())
	if err := errors.Join(err, keptErr); err != nil {
		s.fail(w, r, err)
		return d, f, false
	}
	lang := r.PostFormValue("lang")
	for _, f := range campaign.Findings(d.Content, lang) {
		if names(r, lang, f) && !isKept(kept.Of(d.DraftRef), lang, f) {
			return d, f, true
		}
	}
	s.showLinks(w, r, http.StatusConflict, s.text(r, "console.upgrade.link.gone"))
	return d, f, false
}

// applyLink puts what is proposed in the place of one link. What the draft was
// before can be restored.
func (s *site) applyLink(w http.ResponseWriter, r *http.Request) {
	d, f, ok := s.namedLink(w, r)
	if !ok {
		return
	}
	content, _ := campaign.Apply(d.Content, r.PostFormValue("lang"), f)
	_, err := s.Store.KeepDraft(r.Context(), campaign.Save{DraftRef: d.DraftRef, Base: d.Version, Content: content, Actor: actor(r), Action: "link", At: s.Now()})
	s.decided(w, r, err, "link")
}

// keepLink remembers that a link stays as it is, and why.
func (s *site) keepLink(w http.ResponseWriter, r *http.Request) {
	d, f, ok := s.namedLink(w, r)
	if !ok {
		return
	}
	reason := strings.TrimSpace(r.PostFormValue("reason"))
	if !contact.IsLine(reason, campaign.MostReason) {
		s.showLinks(w, r, http.StatusBadRequest, s.text(r, "console.upgrade.keep.wrong", campaign.MostReason))
		return
	}
	err := s.Store.KeepLink(r.Context(), campaign.KeepLink{Version: d.Version, Line: f.Line,
		KeptLink: campaign.KeptLink{DraftRef: d.DraftRef, Language: r.PostFormValue("lang"), Part: f.Part, Source: f.Source, Reason: reason, Actor: actor(r), At: s.Now()}})
	s.decided(w, r, err, "link_kept")
}

// askAboutLink takes back that a link is kept.
func (s *site) askAboutLink(w http.ResponseWriter, r *http.Request) {
	id, err := strconv.ParseInt(r.PathValue("id"), 10, 64)
	if err != nil {
		s.gone(w, r)
		return
	}
	s.decided(w, r, s.Store.AskAboutLink(r.Context(), id, actor(r), s.Now()), "link_asked")
}

// decided answers what became of a decision about a link.
func (s *site) decided(w http.ResponseWriter, r *http.Request, err error, done string) {
	switch {
	case errors.Is(err, campaign.ErrConflict), errors.Is(err, campaign.ErrFrozen), errors.Is(err, campaign.ErrNotFound):
		s.showLinks(w, r, http.StatusConflict, s.text(r, "console.upgrade.link.gone"))
	case errors.Is(err, campaign.ErrUnknownType):
		s.showLinks(w, r, http.StatusConflict, s.text(r, "console.fault.type"))
	case err != nil:
		s.fail(w, r, err)
	default:
		s.redirect(w, r, "/upgrade/links?done="+done)
	}
}
