package console

import (
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/jatak-mail/jatak/gating"
	"github.com/jatak-mail/jatak/internal/campaign"
)

// reportCSV writes a part of a report as it stands: numbers, and nobody's name.
func (s *site) reportCSV(w http.ResponseWriter, r *http.Request) {
	c, ok := s.launched(w, r)
	if !ok {
		return
	}
	write := s.reportSheets()[r.URL.Query().Get("part")]
	if write == nil {
		s.gone(w, r)
		return
	}
	found, ready, err := s.accountOf(c.ID, c.State, c.Finished, s.Patience)
	if err == nil && !ready {
		s.redirect(w, r, fmt.Sprintf("/campaigns/%d/report", c.ID)) // it says that it is being put together
		return
	}
	var rows [][]string
	if err == nil {
		rows, err = write(r, c, found)
	}
	if err != nil {
		s.fail(w, r, err)
		return
	}
	w.Header().Set("Content-Type", "text/csv; charset=utf-8")
	w.Header().Set("Content-Disposition", fmt.Sprintf(`attachment; filename="campaign-%d-%s.csv"`, c.ID, r.URL.Query().Get("part")))
	out := newSheet(w)
	for _, row := range rows {
		out.row(row...)
	}
	_ = out.end(r.Context()) // the reader has gone
}

// reportSheets are the parts of a report by their name.
func (s *site) reportSheets() map[string]func(*http.Request, campaign.Campaign, campaign.Account) ([][]string, error) {
	return map[string]func(*http.Request, campaign.Campaign, campaign.Account) ([][]string, error){
		"result": s.resultSheet, "destinations": s.destinationSheet, "languages": s.languageSheet, "time": s.timeSheet, "failures": s.failureSheet, "compare": s.compareSheet,
	}
}

// heads are the words of some keys.
func (s *site) heads(r *http.Request, keys ...string) []string {
	for i, key := range keys {
		keys[i] = s.text(r, key)
	}
	return keys
}

func figure(n int64) string { return strconv.FormatInt(n, 10) }

func (s *site) resultSheet(r *http.Request, _ campaign.Campaign, a campaign.Account) ([][]string, error) {
	rows := [][]string{s.heads(r, "console.state", "console.reason", "console.people.title")}
	for _, line := range s.bookLines(r, 0, a.Report) {
		rows = append(rows, []string{line.Name, "", figure(line.Count)})
	}
	for _, reason := range gating.Reasons() {
		if n := a.Blocked[reason]; n > 0 {
			rows = append(rows, []string{s.text(r, "books."+string(campaign.Blocked)), s.Templates.ReasonText(s.lang(r), reason), figure(n)})
		}
	}
	return append(rows, []string{s.text(r, "console.report.withdrawn"), "", figure(a.Withdrawn)}), nil
}

func (s *site) destinationSheet(r *http.Request, _ campaign.Campaign, a campaign.Account) ([][]string, error) {
	parts := a.Destinations
	if a.OtherCount > 0 {
		others := a.Others
		others.Name = s.text(r, "console.report.other_domains", figure(a.OtherCount))
		parts = append(parts[:len(parts):len(parts)], others)
	}
	return s.partSheet(r, "console.destination", "console.report.no_domain", parts), nil
}

func (s *site) languageSheet(r *http.Request, _ campaign.Campaign, a campaign.Account) ([][]string, error) {
	return s.partSheet(r, "console.language", "console.report.no_language", a.Languages), nil
}

func (s *site) partSheet(r *http.Request, name, unnamed string, parts []campaign.Slice) [][]string {
	rows := [][]string{s.heads(r, name, "console.people.title", "books.sent", "books.failed", "console.report.withdrawn", "books.blocked", "console.open", "books.in_doubt", "books.cancelled")}
	for _, p := range parts {
		row := []string{p.Name}
		if p.Name == "" {
			row[0] = s.text(r, unnamed)
		}
		for _, n := range []int64{p.All, p.Sent, p.Failed, p.Withdrawn, p.Blocked, p.Open, p.InDoubt, p.Cancelled} {
			row = append(row, figure(n))
		}
		rows = append(rows, row)
	}
	return rows
}

func (s *site) timeSheet(r *http.Request, _ campaign.Campaign, a campaign.Account) ([][]string, error) {
	rows := [][]string{s.heads(r, "console.when", "books.sent", "books.failed", "console.report.withdrawn")}
	for _, span := range a.Spans {
		rows = append(rows, []string{sheetTime(span.At.In(zoneOf(r))), figure(span.Sent), figure(span.Failed), figure(span.Withdrawn)})
	}
	return rows, nil
}

// sheetTime writes a time as spreadsheets know it.
func sheetTime(t time.Time) string { return t.Format(time.DateTime) }

func (s *site) failureSheet(r *http.Request, c campaign.Campaign, a campaign.Account) ([][]string, error) {
	rows := [][]string{s.heads(r, "console.reason", "console.reply", "console.mails", "console.newest")}
	for _, t := range a.Failures {
		row := s.trouble(r, c.ID, t, nil)
		rows = append(rows, []string{row.Words, row.Mark + " " + row.Reply, figure(t.Count), sheetTime(t.At.In(zoneOf(r)))})
	}
	return rows, nil
}

func (s *site) compareSheet(r *http.Request, c campaign.Campaign, a campaign.Account) ([][]string, error) {
	part, err := s.compare(r, c, a, s.Patience)
	if err != nil {
		return nil, err
	}
	rows := [][]string{s.heads(r, "console.name", "console.launched", "console.mails", "books.sent", "books.failed", "console.report.withdrawn")}
	for _, o := range part.List {
		row := []string{o.Name, sheetTime(o.Launched.In(zoneOf(r))), "", "", "", ""}
		if o.Known {
			row = append(row[:2], figure(o.Mailed), figure(o.Sent), figure(o.Failed), figure(o.Withdrawn))
		}
		rows = append(rows, row)
	}
	return rows, nil
}
