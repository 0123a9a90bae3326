package console

import (
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

// chart is columns over time.
type chart struct {
	Key         string // its title
	Columns     []column
	First, Last string // when it begins and ends
	Most        int64  // the highest column
	Sum         int64
	ByDay       bool
}

type column struct {
	X, Y, Width, Height float64
	At                  time.Time
	Count               int64
}

// mostHours is how long a chart tells hours apart; then it tells days.
const mostHours = 72

// newChart draws what count finds in each hour, from the first hour in which
// anything happened to the last.
func newChart(key string, hours []campaign.Hour, count func(campaign.Hour) int64, lang string, zone *time.Location) (c chart) {
	c.Key = key
	if len(hours) == 0 {
		return c
	}
	start := func(t time.Time) time.Time { return t.In(zone).Truncate(time.Hour) }
	step := func(t time.Time) time.Time { return t.Add(time.Hour) }
	c.ByDay = hours[len(hours)-1].At.Sub(hours[0].At) > mostHours*time.Hour
	if c.ByDay {
		start = func(t time.Time) time.Time {
			year, month, day := t.In(zone).Date()
			return time.Date(year, month, day, 0, 0, 0, 0, zone)
		}
		step = func(t time.Time) time.Time { return t.AddDate(0, 0, 1) }
	}
	counts := map[int64]int64{}
	for _, h := range hours {
		counts[start(h.At).Unix()] += count(h)
	}
	last := start(hours[len(hours)-1].At)
	for at := start(hours[0].At); !at.After(last) && len(c.Columns) < 400; at = step(at) {
		n := counts[at.Unix()]
		c.Columns = append(c.Columns, column{At: at, Count: n})
		c.Most, c.Sum = max(c.Most, n), c.Sum+n
	}
	c.place()
	write := templates.Time
	if c.ByDay {
		write = templates.Date
	}
	c.First, c.Last = write(lang, c.Columns[0].At), write(lang, last)
	return c
}

// place gives each column its place.
func (c *chart) place() {
	room := float64(chartWidth-2*chartLeft) / float64(len(c.Columns))
	high := float64(chartHeight - chartTop - chartBottom)
	for i := range c.Columns {
		k := &c.Columns[i]
		k.Width = min(40, room*0.8)
		k.X = chartLeft + room*float64(i) + (room-k.Width)/2
		if k.Count > 0 {
			k.Height = max(2, high*float64(k.Count)/float64(c.Most))
		}
		k.Y = chartHeight - chartBottom - k.Height
	}
}
