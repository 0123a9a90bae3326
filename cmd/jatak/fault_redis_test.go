package main

import (
	"testing"
	"time"

	"github.com/jatak-mail/jatak/internal/queue"
)

// redisDo gives Redis a command.
func (i *installation) redisDo(command ...any) {
	i.t.Helper()
	client, err := queue.Connect(i.redis.URL())
	if err != nil {
		i.t.Fatal(err)
	}
	defer func() { _ = client.Close() }()
	if err := client.Do(i.t.Context(), command...).Err(); err != nil {
		i.t.Fatalf("%v: %v", command, err)
	}
}

func TestFaultRedisEmptied(t *testing.T) {
	t.Parallel()
	const contacts = 6000
	i := install(t, contacts, nil)
	p := i.worker()
	id := i.launch()
	for n := range 5 {
		i.await(id, "some mails", moreThan(n*1000))
		i.redisDo("FLUSHALL")
	}
	i.sentToAll(id, contacts, 0)
	says(t, wordRang, p)
}

func TestFaultRedisKilled(t *testing.T) {
	t.Parallel()
	const contacts = 12_000 // more batches than one worker is at
	i := install(t, contacts, nil)
	p := i.worker()
	id := i.launch()
	i.await(id, "some mails", moreThan(1000))
	if err := i.redis.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := i.redis.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	i.sentToAll(id, contacts, 0)
	says(t, wordRang, p)
}

// Redis is away for longer than every lease, a task's own of half a minute too.
func TestFaultRedisAway(t *testing.T) {
	t.Parallel()
	const contacts, away = 4000, 32 * time.Second
	i := install(t, contacts, nil)
	p := i.worker()
	id := i.launch()
	i.await(id, "some mails", moreThan(contacts/8))
	if err := i.redis.Kill(); err != nil {
		t.Fatal(err)
	}
	back := time.NewTimer(away)
	says(t, wordNoRedis, p)
	<-back.C
	if err := i.redis.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	i.sentToAll(id, contacts, 0)
	says(t, wordRedisBack, p)
	says(t, wordRang, p)
}

// Redis that has no room for more, or is a replica that takes no writes, is
// gone over like one that is away.
func TestFaultRedisTakesNoWrites(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]struct {
		begin, end []any
		says       string
	}{
		"no memory": {[]any{"CONFIG", "SET", "maxmemory", "1"}, []any{"CONFIG", "SET", "maxmemory", "0"}, "OOM command not allowed"},
		"a replica": {[]any{"REPLICAOF", "127.0.0.1", "1"}, []any{"REPLICAOF", "NO", "ONE"}, "READONLY"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			const contacts = 4000
			i := install(t, contacts, nil)
			p := i.worker()
			id := i.launch()
			i.await(id, "some mails", moreThan(contacts/4))
			i.redisDo(fault.begin...)
			says(t, fault.says, p)
			says(t, wordNoRedis, p)
			i.redisDo(fault.end...)
			i.sentToAll(id, contacts, 0)
			says(t, wordRedisBack, p)
		})
	}
}
