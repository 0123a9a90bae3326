package main

import (
	"testing"

	staffsite "github.com/jatak-mail/jatak/internal/console"
)

// A page that is added to the console is added to what "jatak bench console" asks
// for.
func TestEveryPageOfTheConsoleIsMeasured(t *testing.T) {
	t.Parallel()
	if missing := missingPages(staffsite.Routes(), benchPages(samples{})); len(missing) > 0 {
		t.Errorf("add these pages to benchPages: %q", missing)
	}
	routes := append(staffsite.Routes(), staffsite.Route{Pattern: "GET /weather"}, staffsite.Route{Pattern: "POST /weather"})
	if missing := missingPages(routes, benchPages(samples{})); len(missing) != 1 || missing[0] != "GET /weather" {
		t.Errorf("the new page GET /weather is not found out: %q", missing)
	}
}
