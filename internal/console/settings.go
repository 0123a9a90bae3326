package console

import (
	"context"
	"net/http"
	"strings"
	"time"

	"github.com/jatak-mail/jatak/gating"
	"github.com/jatak-mail/jatak/internal/staff"
)

// settingStore is what the settings pages show and change.
type settingStore interface {
	Setting(ctx context.Context, name gating.Setting) (string, error)
	Set(ctx context.Context, name gating.Setting, value, actor string, now time.Time) error
}

func (s *site) settingRoutes() []route {
	return []route{
		{pattern: "GET /settings", role: staff.Viewer, handle: s.settings},
		{pattern: "POST /settings", role: staff.Administrator, handle: s.set},
	}
}

// settingsRow is a line of the settings page.
type settingsRow struct {
	Name  gating.Setting
	Value string
	May   bool
}

func (s *site) settings(w http.ResponseWriter, r *http.Request) {
	s.showSettings(w, r, http.StatusOK, "")
}

func (s *site) showSettings(w http.ResponseWriter, r *http.Request, status int, problem string) {
	var rows []settingsRow
	for _, setting := range s.Settings {
		value, err := s.Store.Setting(r.Context(), setting.Name)
		if err != nil {
			s.fail(w, r, err)
			return
		}
		rows = append(rows, settingsRow{setting.Name, value, userOf(r).Role.May(staff.Administrator)})
	}
	s.show(w, r, status, "settings", "settings", problem, rows)
}

func (s *site) set(w http.ResponseWriter, r *http.Request) {
	name, value := gating.Setting(r.PostFormValue("name")), strings.TrimSpace(r.PostFormValue("value"))
	if err := s.Store.Set(r.Context(), name, value, actor(r), s.Now()); err != nil {
		// What is wrong with the value is told in a sentence.
		s.showSettings(w, r, http.StatusBadRequest, err.Error())
		return
	}
	http.Redirect(w, r, "/settings?done=saved", http.StatusSeeOther)
}
