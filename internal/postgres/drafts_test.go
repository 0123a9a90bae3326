package postgres_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/jatak-mail/jatak/internal/campaign"
	"github.com/jatak-mail/jatak/internal/postgres"
	"github.com/jatak-mail/jatak/internal/postgres/postgrestest"
)

func variants(subject string) map[string]campaign.Variant {
	return map[string]campaign.Variant{"da": {Subject: subject}}
}

// draftAndTemplate keeps one of each, by Anna.
func draftAndTemplate(t *testing.T, db *postgres.DB) (id campaign.ID, template int64) {
	t.Helper()
	id, err := db.CreateDraft(t.Context(), campaign.Content{Name: "June"}, "user:anna", noon)
	if err != nil {
		t.Fatal(err)
	}
	template, err = db.CreateTemplate(t.Context(), campaign.Content{Name: "Letter"}, "user:anna", noon)
	if err != nil {
		t.Fatal(err)
	}
	return id, template
}

// Two people write one draft: who is later is told, and nothing is lost.
func TestDraftsKeepWhatWasWritten(t *testing.T) {
	t.Parallel()
	db, _ := postgrestest.New(t)
	id, template := draftAndTemplate(t, db)
	for _, ref := range []campaign.DraftRef{{ID: int64(id)}, {Template: true, ID: template}} {
		name := fmt.Sprintf("%+v", ref)
		save := func(base int64, subject, who, editor string, at time.Time) (int64, error) {
			return db.KeepDraft(t.Context(), campaign.Save{DraftRef: ref, Base: base, Content: campaign.Content{Name: "June", Variants: variants(subject)},
				Actor: "user:" + who, Editor: editor, Action: "save", At: at})
		}
		d, err := db.Draft(t.Context(), ref)
		if err != nil || d.Version != 1 || d.State != campaign.StateDraft || d.ChangedBy != "user:anna" {
			t.Fatalf("%s: %+v, %v", name, d, err)
		}
		at := noon
		for i := range 4 { // one page, one stretch
			at = at.Add(time.Second)
			if v, err := save(int64(1+i), fmt.Sprint("anna ", i), "anna", "page1", at); err != nil || v != int64(2+i) {
				t.Fatalf("%s: save %d: %d, %v", name, i, v, err)
			}
		}
		if _, err := save(3, "bo", "bo", "page2", at); !errors.Is(err, campaign.ErrConflict) {
			t.Errorf("%s: over a newer version: %v", name, err)
		}
		if v, err := save(5, "bo", "bo", "page2", at); err != nil || v != 6 {
			t.Errorf("%s: Bo's version: %d, %v", name, v, err)
		}
		list, err := db.Versions(t.Context(), ref)
		if err != nil || len(list) != 3 || list[0].Number != 6 || list[1].Number != 5 || list[2].Number != 1 || list[1].Actor != "user:anna" {
			t.Fatalf("%s: versions %+v, %v", name, list, err)
		}
		v, err := db.DraftVersion(t.Context(), ref, 5)
		if err != nil || v.Content.Variants["da"].Subject != "anna 3" {
			t.Errorf("%s: Anna's version: %+v, %v", name, v, err)
		}
		if _, err := db.DraftVersion(t.Context(), ref, 4); !errors.Is(err, campaign.ErrVersionNotFound) {
			t.Errorf("%s: a version within a stretch: %v", name, err)
		}
		for i := range campaign.MostVersions + 5 {
			if _, err := save(int64(6+i), "x", "bo", "", at); err != nil {
				t.Fatal(err)
			}
		}
		if list, err := db.Versions(t.Context(), ref); err != nil || len(list) != campaign.MostVersions {
			t.Errorf("%s: %d versions are kept, %v", name, len(list), err)
		}
	}
	for _, ref := range []campaign.DraftRef{{ID: 99}, {Template: true, ID: 99}} {
		if _, err := db.Draft(t.Context(), ref); !errors.Is(err, campaign.ErrNotFound) {
			t.Errorf("what is not there: %v", err)
		}
		if _, err := db.KeepDraft(t.Context(), campaign.Save{DraftRef: ref, Base: 1}); !errors.Is(err, campaign.ErrNotFound) {
			t.Errorf("saving what is not there: %v", err)
		}
	}
	list, err := db.Templates(t.Context())
	if err != nil || len(list) != 1 || list[0].Content.Name != "June" || list[0].ID != template {
		t.Errorf("templates: %+v, %v", list, err)
	}
	if err := db.DeleteTemplate(t.Context(), template, "user:anna", noon); err != nil {
		t.Fatal(err)
	}
	if err := db.DeleteTemplate(t.Context(), template, "user:anna", noon); !errors.Is(err, campaign.ErrNotFound) {
		t.Errorf("deleting twice: %v", err)
	}
}

func TestALaunchedDraftIsFrozen(t *testing.T) {
	t.Parallel()
	db, _ := postgrestest.New(t)
	id, err := db.CreateDraft(t.Context(), campaign.Content{Name: "June"}, "user:anna", noon)
	if err != nil {
		t.Fatal(err)
	}
	s := campaign.Save{DraftRef: campaign.DraftRef{ID: int64(id)}, Base: 1, Content: campaign.Content{Name: "July"}, Actor: "user:anna", Action: "save", At: noon}
	s.Content.FromName = "a\nb"
	if _, err := db.KeepDraft(t.Context(), s); err == nil {
		t.Error("content beyond the bounds is kept")
	}
	s.Content.FromName = ""
	if err := db.Schedule(t.Context(), id, noon, campaign.Override{}); err != nil {
		t.Fatal(err)
	}
	if _, err := db.KeepDraft(t.Context(), s); !errors.Is(err, campaign.ErrFrozen) {
		t.Errorf("saving what is scheduled: %v", err)
	}
	if err := db.Unschedule(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	if _, err := db.KeepDraft(t.Context(), s); err != nil {
		t.Error(err)
	}
	// Another way in counts as a save as well.
	if err := db.SaveDraft(t.Context(), id, campaign.Content{Name: "August"}); err != nil {
		t.Fatal(err)
	}
	s.Base = 2
	if _, err := db.KeepDraft(t.Context(), s); !errors.Is(err, campaign.ErrConflict) {
		t.Errorf("over another save: %v", err)
	}
	s.Base = 3
	if _, err := db.KeepDraft(t.Context(), s); err != nil {
		t.Error(err)
	}
	if list, err := db.Versions(t.Context(), s.DraftRef); err != nil || len(list) != 4 {
		t.Errorf("versions: %+v, %v", list, err)
	}
}

// A decision about a link is for what was seen, and stands in the audit log or
// is not made.
func TestALinkIsKeptForWhatWasSeen(t *testing.T) {
	t.Parallel()
	db, url := postgrestest.New(t)
	id, template := draftAndTemplate(t, db)
	keep := func(ref campaign.DraftRef, version int64, source string) error {
		return db.KeepLink(t.Context(), campaign.KeepLink{Version: version, Line: 1,
			KeptLink: campaign.KeptLink{DraftRef: ref, Language: "da", Part: campaign.PartHTML, Source: source, Reason: "ours", Actor: "user:anna", At: noon}})
	}
	draft := campaign.DraftRef{ID: int64(id)}
	for _, ref := range []campaign.DraftRef{draft, {Template: true, ID: template}} {
		for _, step := range []struct {
			version int64
			source  string
			want    error
		}{{2, "a", campaign.ErrConflict}, {1, "a", nil}, {1, "a", campaign.ErrConflict}, {1, "b", nil}} {
			if err := keep(ref, step.version, step.source); !errors.Is(err, step.want) {
				t.Errorf("%+v of %+v: %v", step, ref, err)
			}
		}
		if err := keep(campaign.DraftRef{Template: ref.Template, ID: 99}, 1, "a"); !errors.Is(err, campaign.ErrNotFound) {
			t.Errorf("in what is not there: %v", err)
		}
	}
	kept, err := db.KeptLinks(t.Context())
	if err != nil || len(kept) != 4 || len(kept.Of(draft)) != 2 || !kept[0].At.Equal(noon) || kept[0].Reason != "ours" || kept[0].Actor != "user:anna" {
		t.Fatalf("%+v, %v", kept, err)
	}
	tamper(t, url, `ALTER TABLE audit ADD CONSTRAINT shut CHECK (false) NOT VALID`)
	if err := keep(draft, 1, "c"); err == nil {
		t.Error("a link is kept without a line of the audit log")
	}
	if err := db.AskAboutLink(t.Context(), kept[0].ID, "user:bo", noon); err == nil {
		t.Error("one is asked about again without a line of the audit log")
	}
	if same, err := db.KeptLinks(t.Context()); err != nil || len(same) != 4 {
		t.Errorf("%+v, %v", same, err)
	}
	tamper(t, url, `ALTER TABLE audit DROP CONSTRAINT shut`)
	if err := db.DeleteTemplate(t.Context(), template, "user:anna", noon); err != nil {
		t.Fatal(err)
	}
	if err := db.Schedule(t.Context(), id, noon, campaign.Override{}); err != nil {
		t.Fatal(err)
	}
	if err := keep(draft, 1, "c"); !errors.Is(err, campaign.ErrNotFound) {
		t.Errorf("in what is launched: %v", err)
	}
	if left, err := db.KeptLinks(t.Context()); err != nil || len(left) != 0 {
		t.Errorf("of a launched campaign and a deleted template: %+v, %v", left, err)
	}
}
