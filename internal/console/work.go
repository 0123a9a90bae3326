package console

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// works keeps what takes long to find out. Each is found out once, however many
// ask, in the background, so that nobody has to stay on the page; and it is kept
// for a short while.
type works struct {
	ctx  context.Context // no work goes on after it
	room chan struct{}   // bounds how much goes on at once
	most int
	mu   sync.Mutex
	kept map[string]*kept
}

// kept is the newest work of a key, and the one before it while that goes on.
type kept struct {
	now, before *work
}

// work is something that is being found out, or was.
type work struct {
	Progress atomic.Int64 // how far it has come
	started  time.Time
	done     chan struct{} // closed when value and err are there
	value    any
	err      error
}

const longestWork = 5 * time.Minute

// newWorks keeps at most so many.
func newWorks(ctx context.Context, most int) *works {
	return &works{ctx: ctx, room: make(chan struct{}, 2), most: most, kept: map[string]*kept{}}
}

// get returns the work of a key, begun anew when there is none or it is older
// than its life. It waits a little for it: what is quick needs no second look.
// Where the work before is still there, it answers meanwhile.
func (w *works) get(key string, life, wait time.Duration, now time.Time, find func(context.Context, *work) (any, error)) *work {
	w.mu.Lock()
	k := w.kept[key]
	if k == nil {
		w.makeRoom()
		k = &kept{}
		w.kept[key] = k
	}
	if k.now == nil || k.now.over() && (k.now.err != nil || now.Sub(k.now.started) >= life) {
		if k.now != nil && k.now.err == nil {
			k.before = k.now
		}
		k.now = &work{started: now, done: make(chan struct{})}
		go w.do(k.now, find)
	}
	current, before := k.now, k.before
	w.mu.Unlock()

	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-current.done:
	case <-timer.C:
		if before != nil {
			return before
		}
	}
	return current
}

// drop forgets the work of a key.
func (w *works) drop(key string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.kept, key)
}

// do ends with the site: its context is the site's.
func (w *works) do(j *work, find func(context.Context, *work) (any, error)) {
	defer close(j.done)
	ctx, cancel := context.WithTimeout(w.ctx, longestWork)
	defer cancel()
	select {
	case w.room <- struct{}{}:
		defer func() { <-w.room }()
	case <-ctx.Done():
		j.err = ctx.Err()
		return
	}
	j.value, j.err = find(ctx, j)
}

// makeRoom forgets the oldest when there are too many.
func (w *works) makeRoom() {
	if len(w.kept) < w.most {
		return
	}
	oldest := ""
	for key, k := range w.kept {
		if k.now.over() && (oldest == "" || k.now.started.Before(w.kept[oldest].now.started)) {
			oldest = key
		}
	}
	delete(w.kept, oldest)
}

// over reports whether the work is done, well or not.
func (j *work) over() bool {
	select {
	case <-j.done:
		return true
	default:
		return false
	}
}

// result returns what was found out; ok is false while it is not.
func result[T any](j *work) (value T, ok bool, err error) {
	if !j.over() {
		return value, false, nil
	}
	if j.err != nil {
		return value, false, j.err
	}
	value, ok = j.value.(T)
	return value, ok, nil
}
