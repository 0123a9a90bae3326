package preferences

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/jatak-mail/jatak/gating"
	"github.com/jatak-mail/jatak/internal/contact"
	"github.com/jatak-mail/jatak/internal/managelink"
)

// SelfTest opens the pages as recipients and their mail clients do, through the
// address that is in the mails.
type SelfTest struct {
	PublicURL string
	Keyring   *managelink.Keyring
	Profile   func(context.Context, contact.ID) (contact.Profile, error)
	Client    *http.Client
}

// selfTestLife is how long the links of a self-test work.
const selfTestLife = 10 * time.Minute

// Reach fetches a contact's manage page, which changes nothing.
func (t SelfTest) Reach(ctx context.Context, id contact.ID) error {
	link := t.PublicURL + "/m/" + t.Keyring.Manage(int64(id), 0, time.Now().Add(selfTestLife))
	page, err := t.ask(ctx, http.MethodGet, link, nil, http.StatusOK)
	if err != nil {
		return err
	}
	if !strings.Contains(page, `name="action"`) {
		return errors.New("something else than our page answers there; does the proxy pass requests on to jatak serve?")
	}
	return nil
}

// Run lets a contact say yes on the page and unsubscribe with one click, and
// looks each time whether the ledger has it. What only looks must change nothing.
func (t SelfTest) Run(ctx context.Context, id contact.ID) error {
	if err := t.Reach(ctx, id); err != nil {
		return err
	}
	manage := t.PublicURL + "/m/" + t.Keyring.Manage(int64(id), 0, time.Now().Add(selfTestLife))
	withdraw := t.PublicURL + "/u/" + t.Keyring.Withdraw(int64(id), 0, 0, "")
	if _, err := t.ask(ctx, http.MethodPost, manage, url.Values{"action": {"start"}}, http.StatusSeeOther); err != nil {
		return err
	}
	given, err := t.basis(ctx, id)
	if err != nil {
		return err
	}
	if !given.Granted() {
		return fmt.Errorf("the page took a yes, and the ledger says %q: do serve and this command use the same database?", given)
	}
	for _, method := range []string{http.MethodGet, http.MethodHead, http.MethodOptions} {
		status := http.StatusOK
		if method == http.MethodOptions {
			status = http.StatusNoContent
		}
		if _, err := t.ask(ctx, method, withdraw, nil, status); err != nil {
			return err
		}
	}
	if now, err := t.basis(ctx, id); err != nil || now != given {
		return errors.Join(err, fmt.Errorf("an unsubscribe link that was only looked at changed the basis to %q", now))
	}
	if _, err := t.ask(ctx, http.MethodPost, withdraw, url.Values{"List-Unsubscribe": {"One-Click"}}, http.StatusOK); err != nil {
		return err
	}
	if now, err := t.basis(ctx, id); err != nil || now != gating.BasisWithdrawn {
		return errors.Join(err, fmt.Errorf("after a one-click unsubscribe the basis is %q", now))
	}
	return nil
}

func (t SelfTest) basis(ctx context.Context, id contact.ID) (gating.LegalBasis, error) {
	p, err := t.Profile(ctx, id)
	return p.Emarketing.Basis, err
}

// ask returns what is answered with the status that it should have. Errors name
// the site, never the link.
func (t SelfTest) ask(ctx context.Context, method, link string, form url.Values, status int) (page string, err error) {
	what := method + " of " + t.PublicURL
	r, err := http.NewRequestWithContext(ctx, method, link, strings.NewReader(form.Encode()))
	if err != nil {
		return "", fmt.Errorf("%s: the address cannot be read", what)
	}
	if form != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	client := *t.Client
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	answer, err := client.Do(r)
	var failed *url.Error
	if errors.As(err, &failed) {
		err = failed.Err // its message repeats the link
	}
	if err != nil {
		return "", fmt.Errorf("%s: %w", what, err)
	}
	defer func() { _ = answer.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(answer.Body, 1<<20))
	switch {
	case err != nil:
		return "", fmt.Errorf("%s: %w", what, err)
	case answer.StatusCode == http.StatusNotFound:
		return "", fmt.Errorf("%s answers 404: do serve and this command use the same keys and the same path?", what)
	case answer.StatusCode != status:
		return "", fmt.Errorf("%s answers %d, not %d", what, answer.StatusCode, status)
	}
	return string(body), nil
}
