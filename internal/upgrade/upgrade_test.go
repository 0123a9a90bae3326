package upgrade_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/jatak-mail/jatak/internal/campaign"
	"github.com/jatak-mail/jatak/internal/contact"
	"github.com/jatak-mail/jatak/internal/legacycsv"
	"github.com/jatak-mail/jatak/internal/postgres"
	"github.com/jatak-mail/jatak/internal/postgres/postgrestest"
	"github.com/jatak-mail/jatak/internal/upgrade"
)

var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

func digest(a contact.Address) []byte { return []byte("digest of " + a) }

// importFiles imports an export of these files and returns what was refused,
// as "file:line column".
func importFiles(t *testing.T, db *postgres.DB, files map[string]string) (n contact.Imported, refused []string) {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	export, err := legacycsv.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	err = db.Import(t.Context(), func(im *postgres.Import) (err error) {
		n, err = upgrade.Import(t.Context(), im, export, upgrade.ImportOptions{Actor: "test", Now: noon, Digest: digest,
			Refuse: func(r *legacycsv.Refusal) error {
				refused = append(refused, strings.Join([]string{r.File, r.Column, r.Reason}, " | "))
				return nil
			}})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return n, refused
}

const header = "id,email,first_name,last_name,company_id,language,no_mailings,left,interests\n"

func TestImportRefusesWhatNamesNothing(t *testing.T) {
	t.Parallel()
	db, _ := postgrestest.New(t)
	files := map[string]string{
		"companies.csv": "id,name,no_mailings\nk1,Åben A/S,0\n",
		"contacts.csv":  header + "1,anna@example.org,Anna,Å,k1,da,0,0,\n2,bo@example.org,Bo,B,k9,da,0,0,\n3,carla@example.org,Carla,C,,EN,0,0,\n",
		"mailings.csv":  "contact_id,mailing,sent_at,status\n1,m,2025-01-02,sent\n77,m,2025-01-02,sent\n",
		"interests.csv": "interest,subscription_type\nNyt,News\nGolf,\n",
	}
	n, refused := importFiles(t, db, files)
	if n.Contacts.Added != 2 || n.Mailings.Added != 1 || n.Interests.Added != 1 || n.Companies.Added != 1 {
		t.Errorf("taken: %+v", n)
	}
	if len(refused) != 2 || !strings.Contains(refused[0], `contacts.csv | company_id | There is no company "k9"`) ||
		!strings.Contains(refused[1], `mailings.csv | contact_id | There is no contact "77"`) {
		t.Errorf("refused: %q", refused)
	}

	// The same once more changes nothing; an erased person does not come back.
	ids, err := db.FindContacts(t.Context(), "carla@example.org")
	if err != nil || len(ids) != 1 {
		t.Fatalf("carla: %v, %v", ids, err)
	}
	if err := db.Erase(t.Context(), ids[0], "test", noon); err != nil {
		t.Fatal(err)
	}
	n, refused = importFiles(t, db, files)
	if n.Contacts.Added+n.Contacts.Changed != 0 || n.Contacts.Unchanged != 1 {
		t.Errorf("once more: %+v", n.Contacts)
	}
	if all := strings.Join(refused, "\n"); !strings.Contains(all, "erased") {
		t.Errorf("nobody was told of the erased person: %s", all)
	}
}

// An import brings consents for who was never asked, and withdrawals; it never
// raises what the ledger holds, and says so.
func TestImportNeverRaisesAConsent(t *testing.T) {
	t.Parallel()
	db, _ := postgrestest.New(t)
	const columns = "id,email,company_id,no_mailings,left,emarketing\n"
	n, refused := importFiles(t, db, map[string]string{"contacts.csv": columns +
		"1,new@example.org,,0,0,consent\n2,gone@example.org,,0,0,withdrawn\n3,blank@example.org,,0,0,\n4,no@example.org,,1,0,consent\n5,odd@example.org,,0,0,maybe\n"})
	if n.Contacts.Added != 5 || n.Consents != 2 || len(refused) != 2 {
		t.Errorf("taken %+v, refused %q", n, refused)
	}
	n, refused = importFiles(t, db, map[string]string{"contacts.csv": columns +
		"1,new@example.org,,0,0,legitimate_interest\n2,gone@example.org,,0,0,consent\n3,blank@example.org,,0,0,soft_opt_in\n6,more@example.org,,0,0,contract\n"})
	if n.Consents != 2 || len(refused) != 2 || !strings.Contains(refused[0], `holds "consent"`) || !strings.Contains(refused[1], `holds "withdrawn"`) {
		t.Errorf("the second time: taken %+v, refused %q", n, refused)
	}
	n, refused = importFiles(t, db, map[string]string{"contacts.csv": columns + "1,new@example.org,,0,0,withdrawn\n"})
	if n.Consents != 1 || len(refused) != 0 {
		t.Errorf("a withdrawal: taken %+v, refused %q", n, refused)
	}
	if _, err := db.VerifyLedger(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestRunRewritesDraftsAndTemplatesAndListsYourOwnLinks(t *testing.T) {
	t.Parallel()
	db, _ := postgrestest.New(t)
	importFiles(t, db, map[string]string{"contacts.csv": header + "1,anna@example.org,Anna,Å,,da,0,0,\n"})
	content := campaign.Content{
		Name: "c", FromName: "N", FromAddress: "n@jatak.example", PostalAddress: "P", DefaultLanguage: "da",
		Variants: map[string]campaign.Variant{"da": {Subject: "s",
			HTML: `<a href="*|UNSUB|*">afmeld her</a> <a href="https://old.example/bye">Afmeld</a> <a href="https://ours.example/stop">Afmeld</a>`}},
	}
	id, err := db.CreateCampaign(t.Context(), content, noon)
	if err != nil {
		t.Fatal(err)
	}
	template := campaign.DraftRef{Template: true}
	if template.ID, err = db.CreateTemplate(t.Context(), content, "test", noon); err != nil {
		t.Fatal(err)
	}
	options := upgrade.Options{Actor: "test", LegacyURLs: []string{"https://old.example/bye"}}
	before, err := db.Campaign(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}

	dry := options
	dry.DryRun = true
	planned, err := upgrade.Run(t.Context(), db, dry, noon)
	if err != nil {
		t.Fatal(err)
	}
	if same, err := db.Campaign(t.Context(), id); err != nil || cmp.Diff(before, same) != "" {
		t.Errorf("the dry run changed the draft: %v", err)
	}
	if same, err := db.Draft(t.Context(), template); err != nil || cmp.Diff(content, same.Content) != "" {
		t.Errorf("the dry run changed the template: %v", err)
	}

	done, err := upgrade.Run(t.Context(), db, options, noon)
	if err != nil {
		t.Fatal(err)
	}
	planned.DryRun = false
	if diff := cmp.Diff(planned, done); diff != "" {
		t.Errorf("the dry run promised otherwise: %s", diff)
	}
	if done.Contacts != 1 || done.Templates != 2 || done.LinksRewritten != 4 || len(done.CustomLinks) != 2 || done.CustomLinks[0].Campaign != id || done.CustomLinks[1].Template != template.ID {
		t.Errorf("done: %+v", done)
	}
	after, err := db.Campaign(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	stored, err := db.Draft(t.Context(), template)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []campaign.Content{after.Content, stored.Content} {
		html := c.Variants["da"].HTML
		if strings.Contains(html, "UNSUB") || strings.Contains(html, "old.example") || !strings.Contains(html, "https://ours.example/stop") {
			t.Errorf("it is now %s", html)
		}
		if text := c.Variants["da"].Text; text != "" {
			t.Errorf("a text part that is made of the HTML is now kept: %q", text)
		}
	}
	if versions, err := db.Versions(t.Context(), template); err != nil || len(versions) != 2 {
		t.Errorf("what the template was cannot be restored: %+v, %v", versions, err)
	}

	again, err := upgrade.Run(t.Context(), db, options, noon)
	if err != nil || again.Contacts != 0 || again.LinksRewritten != 0 {
		t.Errorf("once more: %+v, %v", again, err)
	}
}

// Before anything is tried, each point is counted as a try would count it, and
// its examples are of those.
func TestPointsAreCountedAsATryCountsThem(t *testing.T) {
	t.Parallel()
	db, _ := postgrestest.New(t)
	importFiles(t, db, map[string]string{
		"contacts.csv": "id,email,company_id,no_mailings,left,interests,emarketing\n" +
			"1,often@example.org,,0,0,,\n2,once@example.org,,0,0,Golf,\n3,never@example.org,,0,0,News,\n4,test@example.org,,0,0,,\n5,no@example.org,,1,0,News,\n" +
			"6,yes@example.org,,0,0,,consent\n7,also@example.org,,0,0,,consent\n8,gone@example.org,,1,0,,withdrawn\n",
		"mailings.csv":  "contact_id,mailing,sent_at,status\n1,a,2025-01-02,sent\n1,b,2025-01-03,opened\n2,a,2025-01-02,bounced\n4,a,2025-01-02,test\n5,a,2025-01-02,sent\n7,a,2025-01-02,sent\n",
		"interests.csv": "interest,subscription_type\nNews,News\n",
	})
	for _, threshold := range []int{1, 2} {
		planned, err := upgrade.Run(t.Context(), db, upgrade.Options{DryRun: true, Actor: "test", Threshold: threshold}, noon)
		if err != nil {
			t.Fatal(err)
		}
		want := map[contact.UpgradePoint]int64{contact.PointStored: planned.Stored, contact.PointMailed: planned.Emarketing, contact.PointNever: planned.NeverMailed,
			contact.PointWithdrawn: planned.Withdrawn, contact.PointTypes: planned.PreferencesIn}
		got, err := db.CountUpgrade(t.Context(), threshold, 100)
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("at %d: %s, %v", threshold, diff, err)
		}
		for point, n := range got {
			examples, err := db.UpgradeExamples(t.Context(), point, threshold, 100)
			if err != nil || int64(len(examples)) != n {
				t.Errorf("at %d, point %d has %d examples of %d, %v", threshold, point, len(examples), n, err)
			}
			if bounded, err := db.CountUpgrade(t.Context(), threshold, 1); err != nil || bounded[point] > 1 {
				t.Errorf("at %d, point %d is counted to %d, %v", threshold, point, bounded[point], err)
			}
		}
	}
}
