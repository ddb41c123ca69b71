package serve

import (
	"slices"
	"sync"
	"sync/atomic"

	"github.com/attune-io/attune"
)

// Hub is a Notifier inside one process: whoever folds calls Changed, and the
// watchers of those keys wake. The zero Hub is ready; every method may be
// called at once.
type Hub struct {
	watching atomic.Int64
	shards   [hubShards]hubShard
}

const hubShards = 64

type hubShard struct {
	mu sync.Mutex
	by map[string][]chan struct{}
}

func (h *Hub) shard(key string) *hubShard { return &h.shards[attune.Hash(key)%hubShards] }

// Watch implements Notifier. The channel has room for one value and is never
// closed.
func (h *Hub) Watch(keys []string) (changed <-chan struct{}, stop func()) {
	woken := make(chan struct{}, 1)
	keys = slices.Clone(keys)
	for _, k := range keys {
		s := h.shard(k)
		s.mu.Lock()
		if s.by == nil {
			s.by = map[string][]chan struct{}{}
		}
		s.by[k] = append(s.by[k], woken)
		s.mu.Unlock()
	}
	h.watching.Add(1)
	var once sync.Once
	return woken, func() { once.Do(func() { h.forget(keys, woken) }) }
}

func (h *Hub) forget(keys []string, woken chan struct{}) {
	h.watching.Add(-1)
	for _, k := range keys {
		s := h.shard(k)
		s.mu.Lock()
		left := slices.DeleteFunc(s.by[k], func(c chan struct{}) bool { return c == woken })
		if len(left) == 0 {
			delete(s.by, k)
		} else {
			s.by[k] = left
		}
		s.mu.Unlock()
	}
}

// Changed wakes whoever watches one of keys. It does not block and keeps
// nothing of keys; without watchers it costs a load.
func (h *Hub) Changed(keys []string) {
	if h.watching.Load() == 0 {
		return
	}
	for _, k := range keys {
		s := h.shard(k)
		s.mu.Lock()
		for _, woken := range s.by[k] {
			select {
			case woken <- struct{}{}:
			default: // it has not looked since it was last woken
			}
		}
		s.mu.Unlock()
	}
}
