package feature

import (
	"fmt"
	"slices"
	"strings"

	"github.com/tidwall/gjson"

	"github.com/attune-io/attune"
)

// The scopes that are built in. Beside them there is "item.<attribute>", and
// the entities that a configuration declares.
const (
	ScopePerson  = "person"
	ScopeDevice  = "device"  // the newest stretch of a device
	ScopeSession = "session" // one visit of a device, or of a user without one
	ScopeItem    = "item"
	ScopeGroup   = "group" // an account
	ScopeGlobal  = "global"
)

// GlobalKey is the only key of the scope global.
const GlobalKey = "all"

// Scopes lists the built-in scopes.
func Scopes() []string {
	return []string{ScopePerson, ScopeDevice, ScopeSession, ScopeItem, ScopeGroup, ScopeGlobal}
}

// Legal says whether a feature of a kind may have a scope, and if not, why. What
// follows somebody from one event to the next makes no sense of a crowd.
func Legal(kind, scope string) error {
	visitor := scope == "" || scope == ScopePerson || scope == ScopeDevice
	switch kind {
	case KindSessions, KindSessionLength, KindSequence:
		if !visitor {
			return fmt.Errorf("a feature of kind %s follows one visitor over visits; want person or device, got %s: %w", kind, scope, attune.ErrInvalid)
		}
	case KindAttribution, KindTimeSpent:
		if !visitor && scope != ScopeSession {
			return fmt.Errorf("a feature of kind %s follows one visitor; want person, device or session, got %s: %w", kind, scope, attune.ErrInvalid)
		}
	}
	return nil
}

// Scope says which entities an event is about. It may be used by many at once.
type Scope struct {
	// Name is what definitions call it.
	Name string
	by   path
}

// NewScope returns the scope called name. by is the path of a declared entity's
// key; "" is a built-in scope. An error wraps attune.ErrInvalid.
func NewScope(name, by string) (*Scope, error) {
	s := &Scope{Name: name}
	attribute, ofItem := strings.CutPrefix(name, "item.")
	switch {
	case by != "":
	case name == ScopeItem:
		by = "item.id"
	case ofItem && validName(attribute):
		by = name
	case slices.Contains(Scopes(), name):
		return s, nil
	default:
		return nil, fmt.Errorf("unknown scope %q%s: %w", name, didYouMean(name, Scopes()), attune.ErrInvalid)
	}
	p, err := compilePath(by)
	s.by = p
	return s, invalid(err)
}

// Each calls fn once for every key of the scope that e is about, in order of
// appearance, with the products of e that belong to it: all of them, unless the
// key is the product's. Keys are not checked; they and the products share e's
// memory. Of the scopes device and session nothing is called: which one that is
// is not in the event.
func (s *Scope) Each(e *attune.Event, fn func(key string, lines []attune.Product)) {
	x := extraction{e: e}
	switch {
	case s.by == nil && s.Name == ScopeGlobal:
		fn(GlobalKey, x.lines())
	case s.by == nil && s.Name == ScopeGroup:
		id := e.GroupID
		if id == "" && len(e.Context) > 0 {
			id = gjson.GetBytes(e.Context, "groupId").Str
		}
		if id != "" {
			fn(id, x.lines())
		}
	case s.by == nil:
	case !s.by.perItem():
		for _, k := range keys(nil, x.get(s.by, nil)) {
			fn(k, x.lines())
		}
	default:
		s.products(&x, fn)
	}
}

// products groups the lines of an event by their key.
func (s *Scope) products(x *extraction, fn func(key string, lines []attune.Product)) {
	lines := x.lines()
	var all []string
	of := make([][]string, len(lines))
	for i := range lines {
		of[i] = keys(nil, x.get(s.by, &lines[i]))
		for _, k := range of[i] {
			if !slices.Contains(all, k) && len(all) < maxProducts {
				all = append(all, k)
			}
		}
	}
	for _, k := range all {
		mine := make([]attune.Product, 0, 1)
		for i := range lines {
			if slices.Contains(of[i], k) {
				mine = append(mine, lines[i])
			}
		}
		fn(k, mine)
	}
}

// keys appends the keys in v to dst, each once.
func keys(dst []string, v gjson.Result) []string {
	put := func(k string) {
		if k != "" && len(k) <= maxKey && !slices.Contains(dst, k) {
			dst = append(dst, k)
		}
	}
	if !v.IsArray() {
		put(key(v))
		return dst
	}
	for i, m := range v.Array() {
		if i == maxKeys {
			break
		}
		put(key(m))
	}
	return dst
}

// FoldLines is Fold with lines in place of the products of e, and without the
// memory of orders: it is for what belongs to many, where each order is folded
// once, by its first Order Completed, and stays.
func (s *Set) FoldLines(st *State, e *attune.Event, lines []attune.Product) {
	f := folding{
		set: s, st: st, x: extraction{e: e, found: true, products: lines},
		at: min(max(int64(e.Time), -maxTime), maxTime), tie: e.Tie(),
	}
	st.newest = max(st.newest, f.at)
	touches, ok := s.events[e.On()]
	if !ok {
		touches = s.others
	}
	f.touch(touches)
}

// Concerns reports whether any definition counts an event that Event.On calls
// name.
func (s *Set) Concerns(name string) bool {
	touches, ok := s.events[name]
	if !ok {
		touches = s.others
	}
	return len(touches) > 0
}
