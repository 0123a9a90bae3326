// Package queuetest gives each test a real Redis of its own.
package queuetest

import (
	"context"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/jatak-mail/jatak/internal/embedded"
	"github.com/jatak-mail/jatak/internal/queue"
)

// New starts a Redis server that ends with the test, and returns a client and
// the server's URL. It costs about 50 ms.
func New(t testing.TB) (redis.UniversalClient, string) {
	t.Helper()
	server, err := embedded.StartRedis(context.Background(), embedded.RedisOptions{})
	if err != nil {
		t.Fatalf("start Redis for a test: %v", err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := server.Stop(ctx); err != nil {
			t.Errorf("stop Redis: %v", err)
		}
	})
	client, err := queue.Connect(server.URL())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	return client, server.URL()
}
