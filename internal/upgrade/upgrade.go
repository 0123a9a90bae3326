// Package upgrade answers how contacts of a legacy system get purposes, legal
// bases and subscriptions, and how their templates get a manage link: the six
// points of the upgrade, with a dry run that does the same and keeps nothing.
// It reads exports and states the rules; the store does the work in sets.
package upgrade

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jatak-mail/jatak/gating"
	"github.com/jatak-mail/jatak/internal/campaign"
	"github.com/jatak-mail/jatak/internal/contact"
	"github.com/jatak-mail/jatak/linkrewrite"
)

// Store keeps what the upgrade does.
type Store interface {
	Rules(ctx context.Context) (contact.Rules, error)
	Upgrade(ctx context.Context, u contact.Upgrade) (contact.Upgraded, error)
	Campaigns(ctx context.Context) ([]campaign.Campaign, error)
	SaveDraft(ctx context.Context, id campaign.ID, content campaign.Content) error
	Templates(ctx context.Context) ([]campaign.Draft, error)
	KeepDraft(ctx context.Context, save campaign.Save) (version int64, err error)
	KeptLinks(ctx context.Context) (campaign.KeptLinks, error)
}

// Options are the upgrade's parameters; zero values take the defaults.
type Options struct {
	DryRun     bool
	Actor      string
	StoreBasis gating.LegalBasis // why contacts are stored; default the tenant's setting
	Threshold  int               // real sends that count as having been mailed; default 1
	LegacyURLs []string          // the legacy system's own unsubscribe pages
	Step       func(point int)   // is told which point begins; optional
}

// Report says what each of the six points did, or with a dry run would do.
type Report struct {
	contact.Upgraded
	DryRun         bool         `json:"dry_run"`
	Templates      int          `json:"templates"`       // looked at: the drafts and the stored templates
	LinksRewritten int          `json:"links_rewritten"` // standard links made "Manage subscriptions"
	CustomLinks    []CustomLink `json:"custom_links"`    // left for a person to decide
	LinksKept      int          `json:"links_kept"`      // decided to stay
}

// CustomLink is an unsubscribe link that the tenant made, in the draft of a
// campaign or in a template.
type CustomLink struct {
	Campaign campaign.ID         `json:"campaign,omitempty"`
	Template int64               `json:"template,omitempty"`
	Language string              `json:"language"`
	Part     string              `json:"part"` // html or text
	Finding  linkrewrite.Finding `json:"finding"`
}

// Run upgrades every contact that is not yet upgraded, and every stored
// template. It can be repeated.
func Run(ctx context.Context, store Store, o Options, now time.Time) (r Report, err error) {
	rules, err := store.Rules(ctx)
	if err != nil {
		return r, err
	}
	if o.StoreBasis == "" {
		o.StoreBasis = rules.DefaultBasis
	}
	if o.Threshold < 1 {
		o.Threshold = 1
	}
	r.DryRun = o.DryRun
	r.Upgraded, err = store.Upgrade(ctx, contact.Upgrade{
		Now: now, Actor: o.Actor, DryRun: o.DryRun, Purpose: rules.DefaultPurpose, StoreBasis: o.StoreBasis, Threshold: o.Threshold,
		Types: contact.DefaultTypes(), Step: o.Step,
	})
	if err != nil {
		return r, err
	}
	if o.Step != nil {
		o.Step(int(contact.PointLinks))
	}
	return r, rewriteTemplates(ctx, store, o, now, &r)
}

// rewriteTemplates makes the standard unsubscribe links of drafts and stored
// templates into manage links and lists the tenant's own.
func rewriteTemplates(ctx context.Context, store Store, o Options, now time.Time, r *Report) error {
	campaigns, err := store.Campaigns(ctx)
	if err != nil {
		return err
	}
	kept, err := store.KeptLinks(ctx)
	if err != nil {
		return err
	}
	slices.Reverse(campaigns) // oldest first, as a person would list them
	for _, c := range campaigns {
		if c.State != campaign.StateDraft {
			continue
		}
		content, changed := r.rewrite(c.Content, o.LegacyURLs, kept.Of(campaign.DraftRef{ID: int64(c.ID)}), CustomLink{Campaign: c.ID})
		if o.DryRun || !changed {
			continue
		}
		if err := store.SaveDraft(ctx, c.ID, content); err != nil {
			return fmt.Errorf("draft %q: %w", c.Name, err)
		}
	}
	stored, err := store.Templates(ctx)
	if err != nil {
		return err
	}
	for _, t := range stored {
		content, changed := r.rewrite(t.Content, o.LegacyURLs, kept.Of(t.DraftRef), CustomLink{Template: t.ID})
		if o.DryRun || !changed {
			continue
		}
		_, err := store.KeepDraft(ctx, campaign.Save{DraftRef: t.DraftRef, Base: t.Version, Content: content, Actor: o.Actor, Action: "upgrade", At: now})
		if err != nil && !errors.Is(err, campaign.ErrNotFound) { // it was deleted meanwhile
			return fmt.Errorf("template %q: %w", t.Content.Name, err)
		}
	}
	return nil
}

// rewrite counts what there is to do in one mail, and does it. A text part that
// is made of the HTML stays one that is.
func (r *Report) rewrite(c campaign.Content, legacyURLs []string, kept campaign.KeptLinks, of CustomLink) (content campaign.Content, changed bool) {
	r.Templates++
	content, findings := c.Rewrite(legacyURLs, kept)
	for lang, v := range content.Variants {
		if v.Text = c.Variants[lang].Text; strings.TrimSpace(v.Text) == "" {
			content.Variants[lang] = v
		}
	}
	for _, f := range findings {
		if f.Part == campaign.PartText && strings.TrimSpace(c.Variants[f.Language].Text) == "" {
			continue
		}
		switch f.Kind {
		case linkrewrite.Standard:
			r.LinksRewritten++
			changed = true
			continue
		case linkrewrite.Kept:
			r.LinksKept++
			continue
		}
		of.Language, of.Part, of.Finding = f.Language, f.Part, f.Finding
		r.CustomLinks = append(r.CustomLinks, of)
	}
	return content, changed
}
