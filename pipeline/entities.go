package pipeline

import (
	"context"
	"fmt"
	"sync"

	"github.com/attune-io/attune"
	"github.com/attune-io/attune/feature"
	"github.com/attune-io/attune/profile"
)

// maxEntities is about how many entities a partition holds in memory. Clean
// ones go when there are more, not the dirty ones, which the next checkpoint
// makes clean.
const maxEntities = 20_000

// Entities are the states of items, accounts, devices, stores and everybody.
// Each partition has a table of its own, which its worker writes and a
// checkpoint saves with the partition's position; readers merge the tables. So
// what is read is the fold of the events that counted, whatever crashed and
// however many partitions there are. The zero Entities has no scopes and costs
// nothing. Any number of goroutines may read.
type Entities struct {
	scopes    *profile.Entities
	store     profile.Store
	workspace string
	tables    []entityTable
}

// entityTable is one partition's. writing holds what a checkpoint took and has
// not committed yet.
type entityTable struct {
	mu    sync.RWMutex
	held  map[entityID]*heldEntity
	dirty map[entityID]*heldEntity
	taken map[entityID]*heldEntity
	fresh []byte // a key, used again
}

type entityID struct{ scope, key string }

type heldEntity struct {
	entity profile.Entity
	used   bool // since it was last looked at for room
}

func newEntities(scopes *profile.Entities, store profile.Store, workspace string, partitions int) *Entities {
	es := &Entities{scopes: scopes, store: store, workspace: workspace}
	if scopes == nil {
		return es
	}
	es.tables = make([]entityTable, partitions)
	for i := range es.tables {
		es.tables[i].held, es.tables[i].dirty = map[entityID]*heldEntity{}, map[entityID]*heldEntity{}
	}
	return es
}

// Entities returns the entities of the pipeline.
func (p *Pipeline) Entities() *Entities { return p.entities }

// Scopes returns the scopes there are; nil is none.
func (es *Entities) Scopes() *profile.Entities { return es.scopes }

// fold adds e, an event of the routing id that counted, to what it is about.
// order says that it came as its order's own record.
func (es *Entities) fold(ctx context.Context, partition int, id string, e *attune.Event, order bool) error {
	if len(es.tables) == 0 {
		return nil
	}
	t := &es.tables[partition]
	var failed error
	es.scopes.Each(id, e, order, func(u *profile.Update) {
		if failed != nil {
			return
		}
		t.mu.Lock()
		defer t.mu.Unlock()
		h, err := es.get(ctx, partition, entityID{u.Scope.Scope.Name, u.Key})
		if err != nil {
			failed = err
			return
		}
		h.entity.Fold(u, e)
	})
	return failed
}

// get returns the entity of id in partition, for writing. The table is locked.
func (es *Entities) get(ctx context.Context, partition int, id entityID) (*heldEntity, error) {
	t := &es.tables[partition]
	if h := t.dirty[id]; h != nil {
		return h, nil
	}
	h, err := es.load(ctx, partition, id)
	if err != nil {
		return nil, err
	}
	// The key may share the event's memory.
	id = entityID{id.scope, string(append([]byte(nil), id.key...))}
	t.held[id], t.dirty[id] = h, h
	return h, nil
}

// load returns the entity of id, from the store when it is not in memory. The
// table is locked.
func (es *Entities) load(ctx context.Context, partition int, id entityID) (*heldEntity, error) {
	t := &es.tables[partition]
	if h := t.held[id]; h != nil {
		h.used = true
		return h, nil
	}
	h := &heldEntity{used: true}
	b, err := es.store.Get(ctx, profile.EntityKey(es.workspace, partition, id.scope, id.key))
	if err != nil {
		return nil, fmt.Errorf("load %s %q: %w", id.scope, id.key, err)
	}
	if b != nil {
		en, err := profile.DecodeEntity(es.scopes.Scope(id.scope), b)
		if err != nil {
			return nil, fmt.Errorf("load %s %q: %w", id.scope, id.key, err)
		}
		h.entity = *en
	}
	t.room()
	id.key = string(append([]byte(nil), id.key...))
	t.held[id] = h
	return h, nil
}

// room drops clean entities that were not used since it last looked at them,
// when there are too many: a few at a time, in no order, which nothing depends
// on.
func (t *entityTable) room() {
	if len(t.held) < maxEntities {
		return
	}
	looked := 0
	for id, h := range t.held {
		if looked++; looked > 32 {
			return
		}
		if t.dirty[id] != nil || t.taken[id] != nil {
			continue
		}
		if h.used {
			h.used = false
			continue
		}
		delete(t.held, id)
	}
}

// dirtyRows puts what changed since the last checkpoint. Workers stand still.
func (es *Entities) dirtyRows(put func(key, value []byte)) {
	for i := range es.tables {
		t := &es.tables[i]
		t.mu.Lock()
		if t.taken == nil {
			t.taken = make(map[entityID]*heldEntity, len(t.dirty))
		}
		for id, h := range t.dirty {
			t.fresh = h.entity.AppendBinary(es.scopes.Scope(id.scope), t.fresh[:0])
			put(profile.EntityKey(es.workspace, i, id.scope, id.key), t.fresh)
			t.taken[id] = h // what a failed checkpoint took stays taken
		}
		clear(t.dirty)
		t.mu.Unlock()
	}
}

// committed says that the store has what dirtyRows put.
func (es *Entities) committed() {
	for i := range es.tables {
		t := &es.tables[i]
		t.mu.Lock()
		t.taken = nil
		t.mu.Unlock()
	}
}

// Read calls fn with what is known of the entity that somebody calls key: the
// merge over all partitions, nil when there is nothing. fn must neither change
// nor keep it, nor call Entities. An error is the store's, or wraps
// attune.ErrNotFound for a scope without features, or attune.ErrInvalid for a
// key that is none.
func (es *Entities) Read(ctx context.Context, scope, key string, fn func(set *feature.Set, st *feature.State)) error {
	key, err := es.scopes.EntityID(scope, key)
	if err != nil {
		return err
	}
	set, id := es.scopes.Scope(scope), entityID{scope, key}
	visitor := scope == feature.ScopeDevice || scope == feature.ScopeSession
	var merged feature.State
	states := 0
	for i := range es.tables {
		if err := es.view(ctx, i, id, func(en *profile.Entity) {
			// A visitor's events are all in one partition.
			if st := en.Last(); st != nil && (!visitor || states == 0) {
				set.Merge(&merged, st)
				states++
			}
		}); err != nil {
			return err
		}
	}
	if states == 0 {
		fn(set, nil)
		return nil
	}
	fn(set, &merged)
	return nil
}

// view calls fn with partition's entity of id, which is locked meanwhile.
func (es *Entities) view(ctx context.Context, partition int, id entityID, fn func(*profile.Entity)) error {
	t := &es.tables[partition]
	t.mu.RLock()
	if h := t.held[id]; h != nil {
		defer t.mu.RUnlock()
		fn(&h.entity)
		return nil
	}
	t.mu.RUnlock()
	t.mu.Lock()
	defer t.mu.Unlock()
	h, err := es.load(ctx, partition, id)
	if err != nil {
		return err
	}
	fn(&h.entity)
	return nil
}
