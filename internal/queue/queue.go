// Package queue answers how work is announced: it owns the names and payloads
// of all tasks and is the only one that enqueues them. A task is a doorbell:
// it says that there is work and carries ids only. What the work is stands in
// PostgreSQL, so that a lost bell costs seconds and a bell too many nothing.
package queue

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/url"
	"strings"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"github.com/jatak-mail/jatak/internal/campaign"
)

// The tasks.
const (
	PlanTask   = "campaign:plan" // payload Plan
	SendTask   = "campaign:send" // payload Send
	NoticeTask = "notice:send"   // no payload
)

// The queues with their priorities: a person waits for
// a notice; planning is short and makes work for all.
const (
	planQueue   = "plan"
	sendQueue   = "send"
	noticeQueue = "notice"
)

// Priorities returns the queues that a worker serves and their weights.
func Priorities() map[string]int {
	return map[string]int{noticeQueue: 16, planQueue: 8, sendQueue + "-high": 6, sendQueue: 2, sendQueue + "-low": 1}
}

// Plan asks for the planning of a campaign.
type Plan struct {
	Campaign campaign.ID `json:"campaign"`
}

// Send asks for the sending of what is due in a batch.
type Send struct {
	Campaign campaign.ID `json:"campaign"`
	Batch    int         `json:"batch"`
	Visits   int         `json:"visits"` // before the bell was rung
}

// Connect returns a client for the Redis at the URL: redis://, rediss://
// (TLS), unix://, redis-sentinel:// with master_name and addr parameters, or
// redis-cluster:// with addr parameters. It does not dial yet.
func Connect(redisURL string) (redis.UniversalClient, error) {
	scheme, rest, _ := strings.Cut(redisURL, "://")
	var client redis.UniversalClient
	var err error
	// With ContextTimeoutEnabled, or a context would end nothing while Redis is frozen.
	switch scheme {
	case "redis", "rediss", "unix":
		var o *redis.Options
		if o, err = redis.ParseURL(redisURL); err == nil {
			o.ContextTimeoutEnabled = true
			client = redis.NewClient(o)
		}
	case "redis-sentinel":
		var o *redis.FailoverOptions
		if o, err = redis.ParseFailoverURL("redis://" + rest); err == nil {
			o.ContextTimeoutEnabled = true
			client = redis.NewFailoverClient(o)
		}
	case "redis-cluster":
		var o *redis.ClusterOptions
		if o, err = redis.ParseClusterURL("redis://" + rest); err == nil {
			o.ContextTimeoutEnabled = true
			client = redis.NewClusterClient(o)
		}
	default:
		err = errors.New("unknown scheme")
	}
	if err != nil {
		return nil, errors.New("the Redis URL cannot be read; write redis://:password@host:6379/0, rediss:// for TLS, or unix:///path/redis.sock")
	}
	return client, nil
}

// Ping reports whether Redis answers; the error names the server, never the
// password.
func Ping(ctx context.Context, client redis.UniversalClient, redisURL string) error {
	if err := client.Ping(ctx).Err(); err != nil {
		return fmt.Errorf("redis %s: %w", redact(redisURL), err)
	}
	return nil
}

func redact(redisURL string) string {
	u, err := url.Parse(redisURL)
	if err != nil {
		return "(as configured)"
	}
	u.RawQuery = ""
	return u.Redacted()
}

// Client rings the bell.
type Client struct {
	asynq *asynq.Client
}

// NewClient returns a client that enqueues on the given Redis. The caller
// closes the connection.
func NewClient(client redis.UniversalClient) *Client {
	return &Client{asynq.NewClientFromRedisClient(client)}
}

// RingPlan asks for a campaign to be planned. Bells of one epoch are one bell;
// a later epoch rings again even if the earlier task is stuck or archived.
func (c *Client) RingPlan(ctx context.Context, id campaign.ID, epoch time.Time) error {
	return c.ring(ctx, PlanTask, planQueue, fmt.Sprintf("c%d.plan.%x", id, epoch.UnixMilli()), Plan{id})
}

// RingSend asks for a batch to be sent. Bells between two visits are one bell, so
// that the queue does not grow while batches wait for their turn.
func (c *Client) RingSend(ctx context.Context, b campaign.BatchID) error {
	queue := sendQueue
	if b.Priority == campaign.PriorityHigh || b.Priority == campaign.PriorityLow {
		queue += "-" + string(b.Priority)
	}
	return c.ring(ctx, SendTask, queue, fmt.Sprintf("c%d.b%d.%d", b.Campaign, b.Batch, b.Visits), Send{b.Campaign, b.Batch, b.Visits})
}

// RingNotices asks for the notices that are due to be sent, in the same way.
func (c *Client) RingNotices(ctx context.Context, epoch time.Time) error {
	return c.ring(ctx, NoticeTask, noticeQueue, fmt.Sprintf("notices.%x", epoch.UnixMilli()), struct{}{})
}

// mostRetries bounds how often asynq repeats a task that failed or whose
// worker died; after that the sweep rings with a fresh id.
const mostRetries = 3

// Retried reports whether a task was tried before, and whether it was often enough
// that the sweep should ring anew.
func Retried(ctx context.Context) (again, enough bool) {
	n, _ := asynq.GetRetryCount(ctx)
	return n > 0, n >= mostRetries
}

func (c *Client) ring(ctx context.Context, task, queue, id string, payload any) error {
	body, err := json.Marshal(payload)
	if err != nil {
		return fmt.Errorf("ring %s: %w", id, err)
	}
	retries := mostRetries
	if task == SendTask {
		retries = math.MaxInt32 // its id is fresh only after a visit: it must not end before
	}
	_, err = c.asynq.EnqueueContext(ctx, asynq.NewTask(task, body),
		asynq.Queue(queue), asynq.TaskID(id), asynq.MaxRetry(retries), asynq.Timeout(taskTimeout))
	if err != nil && !errors.Is(err, asynq.ErrTaskIDConflict) {
		return fmt.Errorf("ring %s: %w", id, err)
	}
	return nil
}

// taskTimeout ends a task that hangs; a slow batch is rung for again.
const taskTimeout = 6 * time.Hour

// ParsePlan reads the payload of a PlanTask.
func ParsePlan(t *asynq.Task) (p Plan, err error) { err = parse(t, &p); return p, err }

// ParseSend reads the payload of a SendTask.
func ParseSend(t *asynq.Task) (s Send, err error) { err = parse(t, &s); return s, err }

func parse(t *asynq.Task, to any) error {
	if err := json.Unmarshal(t.Payload(), to); err != nil {
		// Ringing again would not mend it.
		return fmt.Errorf("payload of %s: %w: %w", t.Type(), err, asynq.SkipRetry)
	}
	return nil
}
