package profile

import (
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/tidwall/gjson"

	"github.com/attune-io/attune"
	"github.com/attune-io/attune/feature"
	"github.com/attune-io/attune/identity"
)

// Entities are the features of what is not a person: items, accounts, devices,
// visits, stores, everybody together. An event is folded into the state of each
// entity that it is about, by the worker of its own partition; so an entity has
// a state in each partition, and is their merge. It is pure and may be used by
// many at once.
type Entities struct {
	scopes []EntityScope
}

// EntityScope is a scope with its features.
type EntityScope struct {
	Scope    *feature.Scope
	Features *feature.Set
}

// The bounds of one entity.
const (
	// maxVisits is how many visits of one visitor are kept, the newest.
	maxVisits = 16
	// visitGap ends a visit.
	visitGap = attune.Millis(30 * 60 * 1000)
)

// NewEntities returns the entities of scopes, whose names differ. None is nil.
func NewEntities(scopes []EntityScope) *Entities {
	if len(scopes) == 0 {
		return nil
	}
	return &Entities{scopes: slices.Clone(scopes)}
}

// Scope returns the features of the scope called name, nil when there is none.
func (es *Entities) Scope(name string) *feature.Set {
	if es != nil {
		for i := range es.scopes {
			if es.scopes[i].Scope.Name == name {
				return es.scopes[i].Features
			}
		}
	}
	return nil
}

// Scopes returns the scopes. Do not change them.
func (es *Entities) Scopes() []EntityScope {
	if es == nil {
		return nil
	}
	return es.scopes
}

// Entity is what is known of one entity in one partition. The zero Entity is
// empty.
type Entity struct {
	// owner is whose a device's newest stretch is.
	owner identity.Ownership
	// visits are the states: of a session scope one for each visit, oldest
	// first, which lie more than visitGap apart; else one.
	visits []visit
}

type visit struct {
	from, to attune.Millis // the first and the last event of a session
	state    feature.State
}

// errNoScope says that there is no scope of that name.
var errNoScope = fmt.Errorf("no features have that scope: %w", attune.ErrNotFound)

// Update is one entity that an event is about.
type Update struct {
	Scope *EntityScope
	Key   string // checked; shares the event's memory
	Lines []attune.Product
}

// Each calls fn for every entity that e, an event of the routing id, is about.
// order says that e is the first to complete its order, as the order's own
// record tells: what visitors are known by does not see that record, all other
// scopes do not see the event that goes with it. Keys that stand for a missing
// id are left out.
func (es *Entities) Each(id string, e *attune.Event, order bool, fn func(u *Update)) { //nolint:revive // it says which of the two records of an order it is
	if es == nil {
		return
	}
	name, twice := e.On(), tellsOrder(e)
	for i := range es.scopes {
		s := &es.scopes[i]
		if !s.Features.Concerns(name) {
			continue
		}
		u := Update{Scope: s}
		switch s.Scope.Name {
		case feature.ScopeDevice, feature.ScopeSession:
			if _, device := identity.Device(id); order || s.Scope.Name == feature.ScopeDevice && !device {
				continue
			}
			u.Key, u.Lines = id, attune.AppendProducts(nil, e)
			fn(&u)
		default:
			if twice != order {
				continue
			}
			s.Scope.Each(e, func(key string, lines []attune.Product) {
				if identity.CheckID(key) == nil {
					u.Key, u.Lines = key, lines
					fn(&u)
				}
			})
		}
	}
}

// tellsOrder reports whether an order's own record comes with e: collect makes
// one of each order event with an id.
func tellsOrder(e *attune.Event) bool {
	if e.Type != attune.Track || e.On() != "Order Completed" || len(e.Properties) == 0 {
		return false
	}
	switch id := gjson.GetBytes(e.Properties, "order_id"); id.Type {
	case gjson.String:
		return identity.CheckID(id.Str) == nil
	case gjson.Number:
		return identity.CheckID(id.Raw) == nil
	default:
		return false
	}
}

// Fold adds e to the entity that u names.
func (en *Entity) Fold(u *Update, e *attune.Event) {
	set := u.Scope.Features
	switch u.Scope.Scope.Name {
	case feature.ScopeDevice:
		next, step := en.owner.Next(e.UserID)
		if step == identity.Close {
			en.visits = nil
		}
		en.owner = next
		set.FoldLines(en.only(), e, u.Lines)
	case feature.ScopeSession:
		set.FoldLines(en.visit(set, e.Time), e, u.Lines)
	default:
		set.FoldLines(en.only(), e, u.Lines)
	}
}

func (en *Entity) only() *feature.State {
	if len(en.visits) == 0 {
		en.visits = make([]visit, 1)
	}
	return &en.visits[0].state
}

// visit returns the visit that an event at belongs to. One that lies between
// two visits and reaches both makes one of them.
func (en *Entity) visit(set *feature.Set, at attune.Millis) *feature.State {
	i, _ := slices.BinarySearchFunc(en.visits, at, func(v visit, at attune.Millis) int {
		if v.to+visitGap < at {
			return -1
		}
		return 1
	})
	switch {
	case i == len(en.visits) || at+visitGap < en.visits[i].from:
		en.visits = slices.Insert(en.visits, i, visit{from: at, to: at})
		if len(en.visits) > maxVisits {
			en.visits = slices.Delete(en.visits, 0, 1)
			if i--; i < 0 {
				return &feature.State{} // older than all that is kept
			}
		}
	default:
		v := &en.visits[i]
		v.from, v.to = min(v.from, at), max(v.to, at)
		if i+1 < len(en.visits) && en.visits[i+1].from <= v.to+visitGap {
			next := &en.visits[i+1]
			set.Merge(&v.state, &next.state)
			v.to = max(v.to, next.to)
			en.visits = slices.Delete(en.visits, i+1, i+2)
		}
	}
	return &en.visits[i].state
}

// Empty reports whether nothing is known.
func (en *Entity) Empty() bool { return len(en.visits) == 0 }

// Last returns the state: of a session scope the newest visit's. Do not change
// it. Nil when nothing is known.
func (en *Entity) Last() *feature.State {
	if en.Empty() {
		return nil
	}
	return &en.visits[len(en.visits)-1].state
}

// Newest returns when the entity's newest event happened that counted.
func (en *Entity) Newest() attune.Millis {
	if en.Empty() {
		return 0
	}
	return en.Last().Newest()
}

// entityFormat is the first byte of a stored Entity.
const entityFormat = 1

// AppendBinary appends en, whose features are set's. The same records of one
// partition give the same bytes.
func (en *Entity) AppendBinary(set *feature.Set, b []byte) []byte {
	b = append(b, entityFormat)
	b = appendString(appendString(b, en.owner.Owner), en.owner.Prev)
	b = binary.AppendUvarint(b, uint64(len(en.visits)))
	for i := range en.visits {
		v := &en.visits[i]
		b = binary.AppendVarint(binary.AppendVarint(b, int64(v.from)), int64(v.to))
		state := set.AppendBinary(&v.state, nil)
		b = append(binary.AppendUvarint(b, uint64(len(state))), state...)
	}
	return b
}

// DecodeEntity reads what AppendBinary wrote, without keeping b. An error wraps
// attune.ErrCorrupt.
func DecodeEntity(set *feature.Set, b []byte) (*Entity, error) {
	bad := func() (*Entity, error) {
		return nil, fmt.Errorf("entity of %d bytes: %w", len(b), attune.ErrCorrupt)
	}
	if len(b) == 0 || b[0] != entityFormat {
		return bad()
	}
	d := decoder{b: b[1:]}
	en := &Entity{owner: identity.Ownership{Owner: d.string(), Prev: d.string()}}
	for range d.count(maxVisits) {
		v := visit{from: d.millis(), to: d.millis()}
		raw := d.take(d.uvarint())
		if d.bad {
			return bad()
		}
		var err error
		if v.state, err = set.Decode(raw); err != nil {
			return nil, fmt.Errorf("entity: %w", err)
		}
		en.visits = append(en.visits, v)
	}
	if d.bad || len(d.b) > 0 {
		return bad()
	}
	return en, nil
}

// EntityKey returns the store's key of an entity's state of one partition: "e",
// workspace, 0, partition, ":", scope, "/", key. A scope has no "/".
func EntityKey(workspace string, partition int, scope, key string) []byte {
	b := make([]byte, 0, 8+len(workspace)+len(scope)+len(key))
	b = append(append(b, 'e'), workspace...)
	b = append(b, 0, byte(partition>>8), byte(partition), ':') //nolint:gosec // at most 65,535
	return append(append(append(b, scope...), '/'), key...)
}

// EntityID returns the key by which an entity of the scope is kept that somebody
// calls key: devices and visits are kept by their routing id, and a bare id is a
// device's. An error wraps attune.ErrInvalid, or attune.ErrNotFound for a scope
// without features.
func (es *Entities) EntityID(scope, key string) (string, error) {
	if es.Scope(scope) == nil {
		return "", fmt.Errorf("scope %q: %w", scope, errNoScope)
	}
	if scope != feature.ScopeDevice && scope != feature.ScopeSession {
		return key, identity.CheckID(key)
	}
	if id, ok := identity.User(key); ok && scope == feature.ScopeSession {
		return key, identity.CheckID(id)
	}
	id, ok := identity.Device(key)
	if !ok {
		id = key
	}
	return identity.DeviceKey(id), identity.CheckID(id)
}
