package profile

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/attune-io/attune"
)

// Parts holds parts in memory over a Store: loaded when they are first asked
// for, folded in place, made durable by checkpoints, and forgotten again when
// they are clean and memory is short.
//
// One goroutine at a time may Update a key (the worker of its partition), any
// number may View. Checkpoint wants all writers to hold still; nothing else
// does.
type Parts struct {
	folder    *Folder
	store     Store
	workspace string
	budget    int64 // bytes a shard
	shards    [shards]shard

	// saving are the parts that the last Mark marked, until Saved.
	saving []*held

	hits, misses, evictions atomic.Int64
}

const shards = 64

type shard struct {
	mu    sync.RWMutex
	held  map[string]*held
	bytes atomic.Int64

	dirtyMu sync.Mutex
	dirty   []*held
}

// held is a part in memory. The entry is in its shard as long as pins is not 0
// or state is not clean; pins only rises under the shard's lock.
type held struct {
	key   string
	pins  atomic.Int32
	used  atomic.Bool // since the clock's hand passed
	state atomic.Int32
	size  atomic.Int64
	// ready says that the part is loaded and the entry is in its shard, so
	// that applied, stateAt and shapeAt are the part's.
	ready                     atomic.Bool
	applied, stateAt, shapeAt atomic.Uint64

	mu   sync.RWMutex
	part *Part // nil until it was loaded
	// What the part was when the checkpoint under way was marked, if a writer
	// came before the checkpoint did.
	captured Batch
	// What the entry's chunks were before that.
	wasDirty, wasStored uint64
}

// The bits of held.state.
const (
	isDirty  = 1 // has changes that no checkpoint has taken
	isSaving = 2 // a checkpoint takes it, and is not committed yet
	isMarked = 4 // that checkpoint has not encoded it yet
)

// A part takes about overhead and, for each byte it is encoded in, expansion
// bytes: measured on parts of thirty product views.
const (
	overhead  = 700
	expansion = 5
)

// PartsOptions says what Parts works on.
type PartsOptions struct {
	Folder *Folder
	// Store may be nil: then parts are only ever in memory, and stay there.
	Store Store
	// Workspace is part of every key in the store.
	Workspace string
	// MemoryBytes is about how much clean parts may take; 0 is 256 MB. Dirty
	// parts stay until the next checkpoint, whatever they take.
	MemoryBytes int64
}

// NewParts returns Parts over o.Store, with nothing loaded.
func NewParts(o PartsOptions) *Parts {
	if o.MemoryBytes <= 0 {
		o.MemoryBytes = 256 << 20
	}
	ps := &Parts{folder: o.Folder, store: o.Store, workspace: o.Workspace, budget: o.MemoryBytes / shards}
	for i := range ps.shards {
		ps.shards[i].held = map[string]*held{}
	}
	return ps
}

// Folder returns what parts are folded with.
func (ps *Parts) Folder() *Folder { return ps.folder }

// Update calls fn with the part of key (a new one when there is none) and
// makes it dirty when fn returns true. Nobody sees the part while fn runs; fn
// must not keep it, nor call Parts. An error is the store's, and then fn was
// not called.
func (ps *Parts) Update(ctx context.Context, key string, fn func(*Part) bool) error {
	h := ps.pin(key)
	defer h.pins.Add(-1)
	h.mu.Lock()
	defer h.mu.Unlock()
	if err := ps.load(ctx, h); err != nil {
		return err
	}
	if err := ps.loadSeen(ctx, h); err != nil {
		return err
	}
	if h.state.Load()&isMarked != 0 {
		ps.capture(h, &h.captured)
	}
	changed := fn(h.part)
	h.stamp()
	if changed && h.state.Or(isDirty)&isDirty == 0 {
		s := ps.shard(key)
		s.dirtyMu.Lock()
		s.dirty = append(s.dirty, h)
		s.dirtyMu.Unlock()
	}
	return nil
}

// View calls fn with the part of key, an empty one when there is none. The
// part does not change while fn runs; fn must neither change nor keep it or
// what it points to, nor call Parts. Its deduplication set may not be loaded.
// An error is the store's.
func (ps *Parts) View(ctx context.Context, key string, fn func(*Part)) error {
	return ps.view(ctx, &source{key: key}, fn)
}

// view is View, and notes where the part is in memory.
func (ps *Parts) view(ctx context.Context, src *source, fn func(*Part)) error {
	h, err := ps.ready(ctx, src.key)
	if err != nil {
		return err
	}
	defer h.pins.Add(-1)
	src.held = h
	h.mu.RLock()
	defer h.mu.RUnlock()
	fn(h.part)
	return nil
}

// ready returns the entry of key with its part loaded, pinned.
func (ps *Parts) ready(ctx context.Context, key string) (*held, error) {
	h := ps.pin(key)
	if h.ready.Load() {
		return h, nil
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if err := ps.load(ctx, h); err != nil {
		h.pins.Add(-1)
		return nil, err
	}
	return h, nil
}

// Applied returns how far the part of key has come; 0 when there is none.
func (ps *Parts) Applied(ctx context.Context, key string) (uint64, error) {
	src := source{key: key}
	st, err := ps.stampOf(ctx, &src)
	return st.applied, err
}

// stampOf returns how far src's part has come, and notes where it is.
func (ps *Parts) stampOf(ctx context.Context, src *source) (stamp, error) {
	if h := src.held; h != nil {
		st := h.stamps()
		if _, live := h.peek(); live {
			return st, nil
		}
	}
	h, err := ps.ready(ctx, src.key)
	if err != nil {
		return stamp{}, err
	}
	defer h.pins.Add(-1)
	src.held = h
	return h.stamps(), nil
}

func (h *held) stamps() stamp {
	return stamp{h.applied.Load(), h.stateAt.Load(), h.shapeAt.Load(), h.size.Load()}
}

// peek returns how far h's part has come, and whether h is still where it is
// looked for. What was read before live was seen true was current then.
func (h *held) peek() (applied uint64, live bool) {
	if h == nil {
		return 0, false
	}
	applied = h.applied.Load()
	if !h.used.Load() {
		h.used.Store(true)
	}
	return applied, h.ready.Load()
}

// stamp publishes how far h's part has come. h.mu is held. Readers look at
// applied first: whoever sees it sees the others as new or newer.
func (h *held) stamp() {
	h.stateAt.Store(h.part.stateAt)
	h.shapeAt.Store(h.part.shapeAt)
	h.applied.Store(h.part.Applied)
	h.ready.Store(true)
}

func (ps *Parts) shard(key string) *shard { return &ps.shards[attune.Hash(key)%shards] }

// pin returns the entry of key, new or not, which stays until it is unpinned.
func (ps *Parts) pin(key string) *held {
	s := ps.shard(key)
	s.mu.RLock()
	h := s.held[key]
	if h != nil {
		h.pins.Add(1)
		s.mu.RUnlock()
		if !h.used.Load() {
			h.used.Store(true)
		}
		ps.hits.Add(1)
		return h
	}
	s.mu.RUnlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	if h = s.held[key]; h == nil {
		h = &held{key: key}
		h.used.Store(true)
		h.size.Store(overhead)
		s.held[key] = h
		ps.misses.Add(1)
		if s.bytes.Add(overhead) > ps.budget {
			ps.evict(s)
		}
	}
	h.pins.Add(1)
	return h
}

// evict makes room in s, whose lock is held: it looks at a few entries, in no
// order, and drops those that are clean and not used since it last looked.
// What it must keep is simply kept: the budget bounds clean parts.
func (ps *Parts) evict(s *shard) {
	if ps.store == nil {
		return
	}
	looked := 0
	for key, h := range s.held {
		if looked++; looked > 32 || s.bytes.Load() <= ps.budget {
			return
		}
		if h.pins.Load() > 0 || h.state.Load() != 0 || h.used.Swap(false) {
			continue
		}
		delete(s.held, key)
		s.bytes.Add(-h.size.Load())
		// Persons may still point to the entry: it says that it is no more.
		h.ready.Store(false)
		h.part = nil
		ps.evictions.Add(1)
	}
}

// resize notes that h takes about n bytes.
func (ps *Parts) resize(h *held, n int64) {
	ps.shard(h.key).bytes.Add(n - h.size.Swap(n))
}

// load reads h's part from the store unless it is there. h.mu is held.
func (ps *Parts) load(ctx context.Context, h *held) error {
	if h.part != nil {
		return nil
	}
	p, err := ps.fetch(ctx, h)
	if err != nil {
		return fmt.Errorf("load part %q: %w", h.key, err)
	}
	h.part = p
	h.stamp()
	return nil
}

// fetch returns what the store has of h, or a new part.
func (ps *Parts) fetch(ctx context.Context, h *held) (*Part, error) {
	if ps.store == nil {
		return newPart(h.key), nil
	}
	b, err := ps.store.Get(ctx, PartKey(ps.workspace, h.key))
	if err != nil || b == nil {
		return newPart(h.key), err
	}
	p, err := ps.folder.DecodePart(b)
	if err == nil && p.Key != h.key {
		err = fmt.Errorf("the store has %q there: %w", p.Key, attune.ErrCorrupt)
	}
	ps.resize(h, overhead+expansion*int64(len(b)))
	return p, err
}

// loadSeen reads the deduplication set, which only writers need. h.mu is held.
func (ps *Parts) loadSeen(ctx context.Context, h *held) error {
	if h.part.Seen.loaded || ps.store == nil {
		return nil
	}
	err := h.part.Seen.load(func(chunk uint64) ([]byte, error) {
		return ps.store.Get(ctx, appendSeenKey(nil, ps.workspace, h.key, chunk))
	})
	if err != nil {
		return fmt.Errorf("load part %q: %w", h.key, err)
	}
	return nil
}

// Keys calls fn for the routing id of every part that the store holds and that
// begins with prefix ("a:", "u:x"), ascending. Parts that no checkpoint has
// taken yet are not among them. An error of fn ends it and is returned.
func (ps *Parts) Keys(ctx context.Context, prefix string, fn func(key string) error) error {
	if ps.store == nil {
		return nil
	}
	skip := len(PartKey(ps.workspace, ""))
	return ps.store.Scan(ctx, PartKey(ps.workspace, prefix), func(key, _ []byte) error {
		return fn(string(key[skip:]))
	})
}

// PartsStats are figures about a Parts. Counters are since the start.
type PartsStats struct {
	Parts, Dirty            int
	Bytes                   int64 // about
	Hits, Misses, Evictions int64
}

// Stats returns the figures of this moment.
func (ps *Parts) Stats() PartsStats {
	st := PartsStats{Hits: ps.hits.Load(), Misses: ps.misses.Load(), Evictions: ps.evictions.Load()}
	for i := range ps.shards {
		s := &ps.shards[i]
		s.mu.RLock()
		st.Parts += len(s.held)
		s.mu.RUnlock()
		s.dirtyMu.Lock()
		st.Dirty += len(s.dirty)
		s.dirtyMu.Unlock()
		st.Bytes += s.bytes.Load()
	}
	return st
}
