package node

import "sync"

// hub tells streams that parts changed. A stream watches the routing ids its
// person was merged from.
type hub struct {
	mu       sync.RWMutex
	watchers map[string]map[*watcher]struct{} // by routing id
}

// watcher is one stream's ear. Its channel holds one token, so that any number
// of changes before it looks wake it once; it is never closed.
type watcher struct{ wake chan struct{} }

func newHub() *hub { return &hub{watchers: map[string]map[*watcher]struct{}{}} }

// Watch returns a channel that gets a value after any of keys changed, and a
// function that ends the watch; it may be called more than once.
func (h *hub) Watch(keys []string) (changed <-chan struct{}, stop func()) {
	w := &watcher{wake: make(chan struct{}, 1)}
	h.mu.Lock()
	for _, k := range keys {
		set := h.watchers[k]
		if set == nil {
			set = map[*watcher]struct{}{}
			h.watchers[k] = set
		}
		set[w] = struct{}{}
	}
	h.mu.Unlock()
	return w.wake, func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		for _, k := range keys {
			delete(h.watchers[k], w)
			if len(h.watchers[k]) == 0 {
				delete(h.watchers, k)
			}
		}
	}
}

// changed wakes whoever watches one of keys. It does not block.
func (h *hub) changed(keys []string) {
	h.mu.RLock()
	defer h.mu.RUnlock()
	if len(h.watchers) == 0 {
		return
	}
	for _, k := range keys {
		for w := range h.watchers[k] {
			select {
			case w.wake <- struct{}{}:
			default:
			}
		}
	}
}
