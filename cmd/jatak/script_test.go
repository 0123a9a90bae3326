package main

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/jatak-mail/jatak/internal/postgres/postgrestest"
	"github.com/jatak-mail/jatak/internal/queue/queuetest"
)

var update = flag.Bool("update", false, "write what the program prints into the scripts")

// TestScript walks whole journeys through the real program: testdata/script
// holds one for each. Each has a database and a Redis of its own, and examples/
// at $EXAMPLES.
func TestScript(t *testing.T) {
	t.Parallel()
	examples, err := filepath.Abs("../../examples")
	if err != nil {
		t.Fatal(err)
	}
	// Servers that the scripts start as root run as somebody else, who must be
	// able to get there.
	root, err := os.MkdirTemp("", "jatak-script-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(root) })
	if err := os.Chmod(root, 0o711); err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{
		WorkdirRoot:   root,
		Dir:           "testdata/script",
		UpdateScripts: *update,
		Setup: func(e *testscript.Env) error {
			_, databaseURL := postgrestest.New(t)
			_, redisURL := queuetest.New(t)
			e.Setenv("JATAK_DATABASE_URL", databaseURL)
			e.Setenv("JATAK_REDIS_URL", redisURL)
			e.Setenv("JATAK_PUBLIC_URL", "http://localhost:8080")
			e.Setenv("JATAK_SECRET_KEYS", "k:4be1ab23c8f05d7796e34f1a0c52d8e7")
			e.Setenv("EXAMPLES", examples)
			e.Setenv("FREE", freeAddress())
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"await":   await,
			"setfile": setFile,
		},
	})
}

// freeAddress returns an address that nobody listens on, nor will: its port is below
// those that systems give to who does not choose (RFC 6335 section 6, and Linux').
func freeAddress() string {
	for {
		address := fmt.Sprintf("127.0.0.1:%d", 20_000+rand.IntN(12_000))
		free, err := net.Listen("tcp", address)
		if err == nil && free.Close() == nil {
			return address
		}
	}
}

// await FILE: waits until a file is there and not empty.
func await(ts *testscript.TestScript, _ bool, args []string) {
	deadline := time.Now().Add(30 * time.Second)
	for {
		if text, err := os.ReadFile(ts.MkAbs(args[0])); err == nil && len(text) > 0 {
			return
		}
		if time.Now().After(deadline) {
			ts.Fatalf("%s does not come", args[0])
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// setfile NAME FILE [PREFIX]: sets a variable to what a file holds.
func setFile(ts *testscript.TestScript, _ bool, args []string) {
	prefix := ""
	if len(args) > 2 {
		prefix = args[2]
	}
	ts.Setenv(args[0], prefix+strings.TrimSpace(ts.ReadFile(args[1])))
}
