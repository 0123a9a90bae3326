package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jatak-mail/jatak/internal/contact"
	"github.com/jatak-mail/jatak/internal/upgrade"
)

type benchPeopleCommand struct {
	Contacts int  `help:"How many contacts." default:"1000000"`
	Times    int  `help:"How often each is asked." default:"7"`
	JSON     bool `help:"Print one JSON object on stdout." name:"json"`
}

// peopleFigures is what benchPeopleCommand measures: milliseconds, the medians.
type peopleFigures struct {
	Contacts  int                `json:"contacts"`
	ImportSec float64            `json:"import_s"`
	Search    map[string]float64 `json:"search_ms"`
	Count     map[string]float64 `json:"count_ms"`
}

// Run measures.
func (b *benchPeopleCommand) Run(ctx context.Context, c *console) error {
	return withWorkbench(ctx, "", c, func(w workbench) error { return b.measure(ctx, w, c) })
}

func (b *benchPeopleCommand) measure(ctx context.Context, w workbench, c *console) error {
	f := peopleFigures{Contacts: b.Contacts, Search: map[string]float64{}, Count: map[string]float64{}}
	took, err := w.importContacts(ctx, b.Contacts)
	if err != nil {
		return err
	}
	f.ImportSec = took.Seconds()
	if _, err := upgrade.Run(ctx, w.db, upgrade.Options{Actor: "bench"}, time.Now()); err != nil {
		return err
	}
	if err := w.db.Analyze(ctx); err != nil {
		return err
	}
	for _, query := range []string{"anna", "jensen", "anna jensen 77", "example", "a", "zz", "zzzzqqq", "n77777", "a/s"} {
		f.Search[query], err = b.median(func() error {
			_, err := w.db.SearchContacts(ctx, strings.Fields(query), 0, 51)
			return err
		})
		if err != nil {
			return err
		}
	}
	for name, conditions := range map[string][]contact.Condition{
		"everybody":        nil,
		"basis":            {{Field: contact.FieldBasis, Op: contact.OpIs, Value: "none"}},
		"language, basis":  {{Field: contact.FieldLanguage, Op: contact.OpIs, Value: "da"}, {Field: contact.FieldBasis, Op: contact.OpIsNot, Value: "withdrawn"}},
		"company contains": {{Field: contact.FieldCompany, Op: contact.OpContains, Value: "a/s"}},
		"name contains":    {{Field: contact.FieldLastName, Op: contact.OpContains, Value: "sen"}},
		"type unset":       {{Field: contact.FieldType, Op: contact.OpUnset, Value: "news"}},
		"never mailed":     {{Field: contact.FieldLastMail, Op: contact.OpNever}},
	} {
		filter := contact.Filter{Groups: []contact.Group{{Conditions: conditions}}}
		f.Count[name], err = b.median(func() error {
			_, err := w.db.CountContacts(ctx, contact.Selection{Filter: &filter})
			return err
		})
		if err != nil {
			return err
		}
	}
	if b.JSON {
		return writeJSON(c.out, f)
	}
	_, err = fmt.Fprintf(c.out, "%s contacts, import %.1f s\nsearch, ms: %v\ncount, ms: %v\n", number(int64(f.Contacts)), f.ImportSec, f.Search, f.Count)
	return err
}

// median runs do as often as is asked for, and returns the median in milliseconds.
func (b *benchPeopleCommand) median(do func() error) (float64, error) {
	var all []float64
	for range max(b.Times, 1) {
		begin := time.Now()
		if err := do(); err != nil {
			return 0, err
		}
		all = append(all, milliseconds(time.Since(begin)))
	}
	slices.Sort(all)
	return all[len(all)/2], nil
}
