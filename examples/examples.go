// Package examples answers one question: what do a realistic legacy export and
// campaign look like? It holds both as files, for the demo, for tests and for
// people who write their own, and writes an export of the same shape in any size.
//
// Nobody in it is real: every address lies in a domain that RFC 2606 reserves.
// It imports nothing of ours, so that it cannot share our misunderstandings.
package examples

import (
	"embed"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
)

//go:embed legacy-crm/*.csv
var legacy embed.FS

//go:embed campaigns
var campaigns embed.FS

// Extract writes the committed export of 1,000 contacts in 120 companies to
// dir, which is made if it is not there. Files of the same names are replaced.
func Extract(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("extract legacy export: %w", err)
	}
	files, err := legacy.ReadDir("legacy-crm")
	if err != nil {
		return fmt.Errorf("extract legacy export: %w", err)
	}
	for _, file := range files {
		text, err := legacy.ReadFile(path.Join("legacy-crm", file.Name()))
		if err != nil {
			return fmt.Errorf("extract legacy export: %w", err)
		}
		if err := os.WriteFile(filepath.Join(dir, file.Name()), text, 0o644); err != nil {
			return fmt.Errorf("extract legacy export: %w", err)
		}
	}
	return nil
}

// Campaigns returns the names of the sample campaigns, sorted.
func Campaigns() []string {
	entries, err := campaigns.ReadDir("campaigns")
	if err != nil {
		return nil // the folder is compiled in
	}
	var names []string
	for _, entry := range entries {
		names = append(names, entry.Name())
	}
	return names
}

// Campaign returns the folder of a sample campaign: campaign.json and the HTML
// and text files it names. An unknown name is fs.ErrNotExist.
func Campaign(name string) (fs.FS, error) {
	for _, known := range Campaigns() {
		if name == known {
			return fs.Sub(campaigns, path.Join("campaigns", name))
		}
	}
	return nil, fmt.Errorf("no sample campaign %q; there are %s: %w", name, strings.Join(Campaigns(), ", "), fs.ErrNotExist)
}
