package collect

import "sync"

// aging is a bounded map that forgets what was not asked for in a while. It
// has two generations: entries are put into the young one, and when that is
// full it becomes the old one and what was in the old one is forgotten. An
// entry that is found in the old one is young again. So the newest max/2
// entries are always there, and never more than max.
type aging[V any] struct {
	mu         sync.RWMutex
	half       int
	young, old map[string]V
}

func newAging[V any](limit int) *aging[V] {
	return &aging[V]{half: max(limit/2, 1), young: map[string]V{}, old: map[string]V{}}
}

// get returns what is kept under key. It does not allocate.
func (a *aging[V]) get(key []byte) (V, bool) {
	a.mu.RLock()
	v, ok := a.young[string(key)]
	if ok {
		a.mu.RUnlock()
		return v, true
	}
	v, ok = a.old[string(key)]
	a.mu.RUnlock()
	if ok {
		a.put(string(key), v)
	}
	return v, ok
}

// put keeps v under key, which must not share memory that changes.
func (a *aging[V]) put(key string, v V) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if _, ok := a.young[key]; !ok && len(a.young) >= a.half {
		a.old, a.young = a.young, make(map[string]V, a.half/4)
	}
	a.young[key] = v
}
