package queue_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/hibiken/asynq"

	"github.com/jatak-mail/jatak/internal/campaign"
	"github.com/jatak-mail/jatak/internal/queue"
	"github.com/jatak-mail/jatak/internal/queue/queuetest"
)

func TestBellsOfOneEpochOrVisitAreOneBell(t *testing.T) {
	t.Parallel()
	client, _ := queuetest.New(t)
	bell := queue.NewClient(client)
	inspector := asynq.NewInspectorFromRedisClient(client)
	epoch := time.UnixMilli(1_800_000_000_000)
	for range 3 {
		if err := bell.RingSend(t.Context(), campaign.BatchID{Campaign: 7, Batch: 2}); err != nil {
			t.Fatal(err)
		}
	}
	if err := bell.RingSend(t.Context(), campaign.BatchID{Campaign: 7, Batch: 2, Visits: 1}); err != nil {
		t.Fatal(err)
	}
	if err := bell.RingPlan(t.Context(), 7, epoch); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]int{"send": 2, "plan": 1} {
		tasks, err := inspector.ListPendingTasks(name)
		if err != nil || len(tasks) != want {
			t.Fatalf("queue %s holds %d tasks (%v), want %d", name, len(tasks), err, want)
		}
		for _, task := range tasks {
			if !strings.HasPrefix(task.ID, "c7.") || strings.Contains(string(task.Payload), "@") {
				t.Errorf("task %s carries %s", task.ID, task.Payload)
			}
		}
	}
}

func TestPayloads(t *testing.T) {
	t.Parallel()
	send, err := queue.ParseSend(asynq.NewTask(queue.SendTask, []byte(`{"campaign":7,"batch":2}`)))
	if err != nil || send.Campaign != 7 || send.Batch != 2 {
		t.Errorf("ParseSend: %+v, %v", send, err)
	}
	if _, err := queue.ParsePlan(asynq.NewTask(queue.PlanTask, []byte(`{`))); !errors.Is(err, asynq.SkipRetry) {
		t.Errorf("a broken payload would be tried again: %v", err)
	}
}

func TestConnectRefusesWithASentence(t *testing.T) {
	t.Parallel()
	for _, url := range []string{"", "localhost:6379", "http://localhost", "redis://:hunter2@host:port"} {
		_, err := queue.Connect(url)
		if err == nil || !strings.Contains(err.Error(), "write redis://") || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("Connect(%q): %v", url, err)
		}
	}
	client, err := queue.Connect("redis://:hunter2@127.0.0.1:1/0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	if err := queue.Ping(t.Context(), client, "redis://:hunter2@127.0.0.1:1/0"); err == nil ||
		!strings.Contains(err.Error(), "127.0.0.1:1") || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("Ping: %v", err)
	}
}
