package model

import (
	"sync"
	"sync/atomic"
)

const tableChunk = 1024

// table is an array of T that grows in chunks: growing moves nothing, so an
// element is reached without a lock. What guards the elements is the user's
// to say. The zero value is empty.
type table[T any] struct {
	grow   sync.Mutex
	chunks atomic.Pointer[[]*[tableChunk]T]
}

// seen returns element n, nil when the table does not reach it.
func (t *table[T]) seen(n int32) *T {
	c := t.chunks.Load()
	if c == nil || n < 0 || int(n)/tableChunk >= len(*c) {
		return nil
	}
	return &(*c)[n/tableChunk][n%tableChunk]
}

// at returns element n, growing the table to it; n is not negative.
func (t *table[T]) at(n int32) *T {
	if e := t.seen(n); e != nil {
		return e
	}
	t.grow.Lock()
	var old []*[tableChunk]T
	if c := t.chunks.Load(); c != nil {
		old = *c
	}
	grown := append(make([]*[tableChunk]T, 0, len(old)+1), old...)
	for int(n)/tableChunk >= len(grown) {
		grown = append(grown, new([tableChunk]T))
	}
	t.chunks.Store(&grown)
	t.grow.Unlock()
	return t.seen(n)
}

// len returns one more than the highest number the table reaches.
func (t *table[T]) len() int32 {
	c := t.chunks.Load()
	if c == nil {
		return 0
	}
	return int32(len(*c) * tableChunk) //nolint:gosec // numbers are int32
}
