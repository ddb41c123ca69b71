package pipeline

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/attune-io/attune/journal"
)

// watermark is how far one partition has been applied, and who waits for it.
type watermark struct {
	applied atomic.Uint64

	mu      sync.Mutex
	waiters []waiter // unordered; short, since a wait lasts about a millisecond
}

type waiter struct {
	offset uint64
	done   chan struct{} // closed by advance, or dropped with its waiter
}

// advance publishes that every record up to offset is applied, and wakes
// whoever waited for that.
func (w *watermark) advance(offset uint64) {
	w.applied.Store(offset)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.waiters = slices.DeleteFunc(w.waiters, func(x waiter) bool {
		if x.offset > offset {
			return false
		}
		close(x.done)
		return true
	})
}

// wait returns nil once offset is applied, or ctx's error.
func (w *watermark) wait(ctx context.Context, offset uint64) error {
	if w.applied.Load() >= offset {
		return nil
	}
	done := make(chan struct{})
	w.mu.Lock()
	// advance stores before it takes the lock: either the store is seen here,
	// or advance finds this waiter.
	if w.applied.Load() >= offset {
		w.mu.Unlock()
		return nil
	}
	w.waiters = append(w.waiters, waiter{offset: offset, done: done})
	w.mu.Unlock()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		w.mu.Lock()
		w.waiters = slices.DeleteFunc(w.waiters, func(x waiter) bool { return x.done == done })
		w.mu.Unlock()
		return ctx.Err()
	}
}

// Wait returns nil once everything token names is applied: a decision made
// then reflects it. A token of another journal is satisfied at once, since
// what it names can never arrive here. Wait returns ctx's error when that ends first.
func (p *Pipeline) Wait(ctx context.Context, token journal.Token) error {
	if token.Journal != p.token {
		return nil
	}
	for _, at := range token.Positions {
		if at.Partition < 0 || at.Partition >= len(p.marks) {
			continue
		}
		if err := p.marks[at.Partition].wait(ctx, at.Offset); err != nil {
			return err
		}
	}
	return nil
}

// Lag returns how many journaled records are not applied, over all partitions.
func (p *Pipeline) Lag() uint64 {
	var lag uint64
	for i, last := range p.opt.Journal.Status().Last {
		if applied := p.marks[i].applied.Load(); last > applied {
			lag += last - applied
		}
	}
	return lag
}

// CaughtUp returns nil once everything that is journaled now is applied, or
// ctx's error.
func (p *Pipeline) CaughtUp(ctx context.Context) error {
	for i, last := range p.opt.Journal.Status().Last {
		if err := p.marks[i].wait(ctx, last); err != nil {
			return err
		}
	}
	return nil
}
