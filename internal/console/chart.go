package console

import (
	"fmt"
	"strings"
	"time"

	"github.com/jatak-mail/jatak/internal/campaign"
	"github.com/jatak-mail/jatak/templates"
)

// bar is a line of a picture of bars: a part of a whole, with the people behind
// it. X and Width are in hundredths of the whole.
type bar struct {
	Name, Note string
	Kind       string // good, bad, warn or ""
	Count, Of  int64
	X, Width   float64
	Link       string // to the people; "" for none
}

// leastWidth is what a bar of anybody at all is wide.
const leastWidth = 0.6

// newBar returns a bar from the left.
func newBar(name, kind string, count, of int64, link string) bar {
	return bar{Name: name, Kind: kind, Count: count, Of: of, Width: width(count, of), Link: link}
}

func width(count, of int64) float64 {
	if count <= 0 || of <= 0 {
		return 0
	}
	return min(100, max(leastWidth, 100*float64(count)/float64(of)))
}

// The size of a chart in its own units.
const (
	chartWidth  = 360
	chartHeight = 160
	chartLeft   = 8
	chartTop    = 22
	chartBottom = 26
)

// chart is what happened over time: a line with the area below it, or columns
// where there are too few points for a line.
type chart struct {
	Key         string // its title
	Tone        string // warn, bad or ""
	Columns     []column
	Line, Area  string // points of SVG; "" where columns are drawn
	First, Last string // when it begins and ends
	Most        int64  // the highest column
	Peak        string // when that was
	Sum         int64
	Step        string // how long a column is: a key
	ByDay       bool   // columns are days or more
}

type column struct {
	X, Y, Width, Height float64
	At                  time.Time
	Count               int64
}

// chartStep is how exactly a chart tells times, up to how long it goes.
type chartStep struct {
	key   string
	most  time.Duration
	start func(time.Time) time.Time
	next  func(time.Time) time.Time
}

const day = 24 * time.Hour

func chartSteps() []chartStep {
	date := func(t time.Time) time.Time {
		year, month, day := t.Date()
		return time.Date(year, month, day, 0, 0, 0, 0, t.Location())
	}
	after := func(d time.Duration) func(time.Time) time.Time {
		return func(t time.Time) time.Time { return t.Add(d) }
	}
	return []chartStep{
		{"console.chart.by_span", 3 * time.Hour, func(t time.Time) time.Time { return t.Truncate(campaign.SpanLength) }, after(campaign.SpanLength)},
		{"console.chart.by_hour", 3 * day, func(t time.Time) time.Time {
			return t.Add(-time.Duration(t.Minute()) * time.Minute).Truncate(time.Minute)
		}, after(time.Hour)},
		{"console.chart.by_day", 120 * day, date, func(t time.Time) time.Time { return t.AddDate(0, 0, 1) }},
		{"console.chart.by_week", 0, func(t time.Time) time.Time { return date(t).AddDate(0, 0, -((int(t.Weekday()) + 6) % 7)) },
			func(t time.Time) time.Time { return t.AddDate(0, 0, 7) }},
	}
}

// leastPoints are what a line needs to say anything.
const leastPoints = 4

// newChart draws what count finds in each span, from the first in which it finds
// anything, or from since if that is not zero, to the last.
func newChart(key, tone string, spans []campaign.Span, since time.Time, count func(campaign.Span) int64, lang string, zone *time.Location) (c chart) {
	c.Key, c.Tone = key, tone
	first, last := since, time.Time{}
	for _, s := range spans {
		if count(s) == 0 {
			continue
		}
		if first.IsZero() || s.At.Before(first) {
			first = s.At
		}
		last = s.At
	}
	if last.IsZero() {
		return c
	}
	steps := chartSteps()
	step := steps[len(steps)-1]
	for _, s := range steps[:len(steps)-1] {
		if last.Sub(first) <= s.most {
			step = s
			break
		}
	}
	c.Step, c.ByDay = step.key, step.most == 0 || step.most > 3*day
	write := templates.Time
	if c.ByDay {
		write = templates.Date
	}
	counts := map[int64]int64{}
	for _, s := range spans {
		counts[step.start(s.At.In(zone)).Unix()] += count(s)
	}
	end := step.start(last.In(zone))
	for at := step.start(first.In(zone)); !at.After(end); at = step.next(at) {
		n := counts[at.Unix()]
		c.Columns = append(c.Columns, column{At: at, Count: n})
		if n > c.Most {
			c.Most, c.Peak = n, write(lang, at)
		}
		c.Sum += n
	}
	c.place()
	c.First, c.Last = write(lang, c.Columns[0].At), write(lang, end)
	return c
}

// place gives each column its place, and draws the line.
func (c *chart) place() {
	room := float64(chartWidth-2*chartLeft) / float64(len(c.Columns))
	high := float64(chartHeight - chartTop - chartBottom)
	const ground = chartHeight - chartBottom
	var line []string
	for i := range c.Columns {
		k := &c.Columns[i]
		k.Width = min(40, room*0.8)
		k.X = chartLeft + room*float64(i) + (room-k.Width)/2
		if k.Count > 0 {
			k.Height = max(2, high*float64(k.Count)/float64(c.Most))
		}
		k.Y = ground - k.Height
		line = append(line, fmt.Sprintf("%.1f,%.1f", k.X+k.Width/2, k.Y))
	}
	if len(c.Columns) < leastPoints {
		return
	}
	c.Line = strings.Join(line, " ")
	from, _, _ := strings.Cut(line[0], ",")
	to, _, _ := strings.Cut(line[len(line)-1], ",")
	c.Area = fmt.Sprintf("%s,%d %s %s,%d", from, ground, c.Line, to, ground)
}
