package contactlist

import (
	"context"
	"errors"
	"hash/maphash"
	"io"
	"log/slog"
	"time"

	"github.com/jatak-mail/jatak/internal/contact"
)

// Store is what the runner asks for.
type Store interface {
	// ClaimImport takes an import that is due and that nobody works on.
	ClaimImport(ctx context.Context, now, lease time.Time) (im contact.ListImport, ok bool, err error)
	// ImportPart returns a part of an import's file, counted from 0; nil after the
	// last.
	ImportPart(ctx context.Context, id int64, part int) ([]byte, error)
	// TakeChunk keeps a portion and how far the import has come, in one transaction,
	// or returns contact.ErrImportLost.
	TakeChunk(ctx context.Context, c contact.ListChunk) error
	EndImport(ctx context.Context, id int64, from, to contact.ImportState, problem string, now time.Time) error
}

// Runner takes lists in the background. What it has taken is kept: one that was
// stopped goes on where it was.
type Runner struct {
	Store  Store
	Digest func(contact.Address) []byte // the keyed hash by which suppressions are found
	Now    func() time.Time
	Log    *slog.Logger
}

const (
	chunk = 2000             // rows, or
	bulk  = 8 << 20          // bytes of them, whichever comes first
	lease = 30 * time.Second // renewed with each chunk
	look  = time.Second
)

// Run works until it is told to stop.
func (r *Runner) Run(ctx context.Context) error {
	tick := time.NewTicker(look)
	defer tick.Stop()
	for {
		worked, err := r.Step(ctx)
		if err != nil && ctx.Err() == nil {
			r.Log.Error("a list of contacts waits: it could not be taken now", "error", err)
		}
		if worked && err == nil {
			continue
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// Step takes one import that is due to its end, and reports whether there was
// one.
func (r *Runner) Step(ctx context.Context) (worked bool, err error) {
	now := r.Now()
	im, ok, err := r.Store.ClaimImport(ctx, now, now.Add(lease))
	if err != nil || !ok {
		return false, err
	}
	err = r.take(ctx, im)
	switch {
	case err == nil:
		to := contact.ImportFinished
		if im.State == contact.ImportChecking {
			to = contact.ImportChecked
		}
		err = r.Store.EndImport(ctx, im.ID, im.State, to, "", r.Now())
	case errors.Is(err, ErrNoList):
		err = r.Store.EndImport(ctx, im.ID, im.State, contact.ImportFailed, "unreadable", r.Now())
	}
	if errors.Is(err, contact.ErrImportLost) {
		err = nil
	}
	return true, err
}

// parts reads an import's file out of the store.
type parts struct {
	ctx   context.Context
	store Store
	id    int64
	next  int
	rest  []byte
}

func (p *parts) Read(to []byte) (int, error) {
	if len(p.rest) == 0 {
		var err error
		if p.rest, err = p.store.ImportPart(p.ctx, p.id, p.next); err != nil {
			return 0, err
		}
		if p.next++; len(p.rest) == 0 {
			return 0, io.EOF
		}
	}
	n := copy(to, p.rest)
	p.rest = p.rest[n:]
	return n, nil
}

func (r *Runner) take(ctx context.Context, im contact.ListImport) error {
	reader := NewReader(&parts{ctx: ctx, store: r.Store, id: im.ID}, im.Choices)
	header, err := reader.Read()
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	if err != nil || header.Wrong != "" {
		return ErrNoList
	}
	seed, seen := maphash.MakeSeed(), map[uint64]struct{}{}
	next, size := contact.ListChunk{Before: im.Rows, Through: im.Rows}, 0
	keep := func() error {
		now := r.Now()
		next.Import, next.State, next.Choices, next.Actor, next.Bytes = im.ID, im.State, im.Choices, im.Actor, reader.Bytes()
		next.Now, next.Lease = now, now.Add(lease)
		err := r.Store.TakeChunk(ctx, next)
		next, size = contact.ListChunk{Before: next.Through, Through: next.Through}, 0
		return err
	}
	for number := int64(1); ; number++ {
		record, err := reader.Read()
		if errors.Is(err, io.EOF) {
			return keep()
		}
		if err != nil {
			return err
		}
		row, refusal := Row(record, im.Choices.Columns)
		if row.Address != "" && (refusal == nil || refusal.Kept) {
			hash := maphash.String(seed, string(row.Address))
			if _, twice := seen[hash]; twice {
				refusal = &contact.ListRefusal{Line: row.Line, Column: string(contact.ListEmail), Reason: "twice", Row: row.Raw}
			}
			seen[hash] = struct{}{}
		}
		if number <= im.Rows {
			continue // taken before
		}
		if refusal != nil {
			next.Refusals = append(next.Refusals, *refusal)
		}
		if refusal == nil || refusal.Kept {
			row.Digest = r.Digest(row.Address)
			next.Rows = append(next.Rows, row)
		}
		size += len(row.Raw)
		if next.Through = number; next.Through-next.Before >= chunk || size >= bulk {
			if err := keep(); err != nil {
				return err
			}
		}
	}
}
