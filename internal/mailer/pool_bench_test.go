package mailer

import (
	"bytes"
	"sync"
	"testing"

	"github.com/jatak-mail/jatak/internal/mailer/mailertest"
)

// What one mail of 14 KB costs on its way through the pool, the sink's part included.
func BenchmarkSend(b *testing.B) {
	sink := mailertest.New(b, nil)
	sink.Light()
	relays, err := ParseRelays(sink.URL("max_conns=4"))
	if err != nil {
		b.Fatal(err)
	}
	pool, err := NewPool(relays, Options{})
	if err != nil {
		b.Fatal(err)
	}
	data := append([]byte("Subject: x\r\n\r\n"), bytes.Repeat([]byte("<p>Some words of a newsletter</p>\r\n"), 400)...)
	route, err := pool.Ready(b.Context(), "jatak.example")
	if err != nil {
		b.Fatal(err)
	}
	var under sync.WaitGroup
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		under.Add(1)
		m := &Mail{From: "bounces+abc@jatak.example", To: "bo@example.org", Data: bytes.Clone(data), NoDots: true, Route: route}
		m.Done = func(o Outcome) {
			if o.Kind != Accepted {
				b.Errorf("%+v", o)
			}
			under.Done()
		}
		if err := pool.Submit(b.Context(), m); err != nil {
			b.Fatal(err)
		}
	}
	under.Wait()
	if err := pool.Close(b.Context()); err != nil {
		b.Fatal(err)
	}
}
