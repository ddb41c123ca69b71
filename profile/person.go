package profile

import (
	"slices"
	"strings"
	"sync/atomic"

	"github.com/attune-io/attune"
	"github.com/attune-io/attune/feature"
	"github.com/attune-io/attune/identity"
)

// Person is what is known of one human: parts merged, at one vector of
// offsets. It does not change and may be shared by many.
type Person struct {
	// Key is what was asked for: u:<userId>, or a:<anonymousId> for a device's
	// last stretch alone.
	Key string
	// Canonical is the userId that stays of all that were joined; "" of a
	// device.
	Canonical string
	// Version rises with every record that is applied to a part of hers. 0
	// says that nothing was ever heard of her. A device beyond Folder.MaxLinks
	// that made room for another takes its records with it, and so does a user
	// who was taken apart from her: when her merge leaves memory after that, Version may fall, once. Vector tells exactly.
	Version uint64
	// State is the merge. Do not change it.
	State *State
	// Identities are her ids: users first, the canonical one before all, then
	// devices, newest first.
	Identities []Identity
	// Vector is what the merge was made from, sorted by key: every part that
	// was looked at, also those that do not exist (yet).
	Vector []Applied

	features *feature.Set
	session  uint64
	numbers  atomic.Pointer[numbers]
	// held are the parts of Vector where they were in memory: a short way to
	// see whether they moved.
	held []*held
}

// Identity is one id of a person.
type Identity struct {
	Type     string        `json:"type"` // "user_id" or "anonymous_id"
	ID       string        `json:"id"`
	Verified bool          `json:"verified"`
	LastSeen attune.Millis `json:"last_seen,omitempty"` // the day, of a device
}

// Applied is how far a part had come.
type Applied struct {
	Key    string
	Offset uint64
}

// numbers are item numbers that a reader looked up for the list-valued feature
// at index. Lists are only ever added.
type numbers struct {
	index int
	items []int32
	next  *numbers
}

// Numbers returns the item numbers that were kept for the list-valued feature
// at index, and whether any were. Do not change them.
func (p *Person) Numbers(index int) (items []int32, ok bool) {
	for n := p.numbers.Load(); n != nil; n = n.next {
		if n.index == index {
			return n.items, true
		}
	}
	return nil, false
}

// KeepNumbers keeps items, the numbers of the list-valued feature at index,
// for as long as the person is not merged again: looking up ids costs more
// than everything else of a read. It is for a list that does not depend on
// time, whose ids all have numbers. The person owns items from then on.
func (p *Person) KeepNumbers(index int, items []int32) {
	for {
		first := p.numbers.Load()
		if _, ok := p.Numbers(index); ok {
			return
		}
		if p.numbers.CompareAndSwap(first, &numbers{index: index, items: items, next: first}) {
			return
		}
	}
}

// Session returns the hash of the routing id under which the person's live
// session is counted: her newest device's, or her own when she has none.
func (p *Person) Session() uint64 {
	if p.session != 0 {
		return p.session
	}
	for i := range p.Identities {
		if id := &p.Identities[i]; id.Type == "anonymous_id" {
			return attune.Hash(identity.DeviceKey(id.ID))
		}
	}
	if p.Key == "" {
		return 0
	}
	return attune.Hash(p.Key)
}

// Known reports whether anything was ever heard of the person.
func (p *Person) Known() bool { return p.Version > 0 }

// Empty reports whether nothing is kept of the person: she is unknown, or all
// that came was a bot's, which is journaled but kept out of profiles.
func (p *Person) Empty() bool {
	return !p.Known() || p.First() == 0 && p.Consent().Time == 0 && len(p.Identities) <= 1 && len(p.State.Traits) == 0
}

// Offset returns how far the part with this key had come, and whether it was
// looked at. A part that does not exist is at 0.
func (p *Person) Offset(key string) (uint64, bool) {
	i, found := slices.BinarySearchFunc(p.Vector, key, func(a Applied, k string) int { return strings.Compare(a.Key, k) })
	if !found {
		return 0, false
	}
	return p.Vector[i].Offset, true
}

// Trait returns the trait called name (nested names with "."), and whether
// there is one: string, float64, bool, []any or map[string]any.
func (p *Person) Trait(name string) (any, bool) { return p.State.Traits.Get(name) }

// Traits returns all traits, nested as they were sent. The caller owns it.
func (p *Person) Traits() map[string]any { return p.State.Traits.Map() }

// Feature returns the feature called name at now; nil when there is nothing.
func (p *Person) Feature(name string, now attune.Millis) any {
	return p.features.Read(&p.State.Features, name, now)
}

// FeatureAt is Feature by index (feature.Set.Index).
func (p *Person) FeatureAt(index int, now attune.Millis) any {
	return p.features.ReadAt(&p.State.Features, index, now)
}

// Each calls fn for every feature that is there, in order of definition.
func (p *Person) Each(now attune.Millis, fn func(name string, v any)) {
	p.features.Each(&p.State.Features, now, fn)
}

// List appends the keys of the list-valued feature at index to dst; see
// feature.Set.List.
func (p *Person) List(index int, dst []string, now attune.Millis) []string {
	return p.features.List(&p.State.Features, index, dst, now)
}

// Recent is List with times; see feature.Set.Recent.
func (p *Person) Recent(index int, dst []feature.Seen, now attune.Millis) []feature.Seen {
	return p.features.Recent(&p.State.Features, index, dst, now)
}

// Weighted appends the keys of the affinity at index with their weights; see
// feature.Set.Weights.
func (p *Person) Weighted(index int, dst []feature.Weighted, now attune.Millis) []feature.Weighted {
	return p.features.Weights(&p.State.Features, index, dst, now)
}

// NextChange returns when a window next drops something; 0 is never.
func (p *Person) NextChange(now attune.Millis) attune.Millis {
	return p.features.NextChange(&p.State.Features, now)
}

// NextChangeOf is NextChange of the features at these indexes alone.
func (p *Person) NextChangeOf(indexes []int32, now attune.Millis) attune.Millis {
	return p.features.NextChangeOf(&p.State.Features, indexes, now)
}

// Features returns the set her features are read with.
func (p *Person) Features() *feature.Set { return p.features }

// First and Last return the oldest and newest event times; 0 without events.
func (p *Person) First() attune.Millis { return p.State.First }

// Last returns the newest event time; 0 without events.
func (p *Person) Last() attune.Millis { return p.State.Last }

// Consent returns the newest that was said about consent.
func (p *Person) Consent() Consent { return p.State.Consent }

// The bounds of a person. Past them she is cut: users nearest to the one that
// was asked for stay, and devices that were seen last.
const (
	maxUsers   = 1000
	maxDevices = 2000
)

// shape is who and what belongs to a person.
type shape struct {
	users     []string // sorted
	canonical string
	devices   []Link // sorted by id
}

// gather walks the edges from user id. read returns links and edges of a
// user's part.
func gather(id string, read func(userID string) ([]Link, []Edge, error)) (*shape, error) {
	var s shape
	seen := map[string]bool{id: true}
	devices := map[string]Link{}
	var edges []Edge
	for queue := []string{id}; len(queue) > 0; queue = queue[1:] {
		u := queue[0]
		links, joined, err := read(u)
		if err != nil {
			return nil, err
		}
		s.users = append(s.users, u)
		for _, l := range links {
			d := devices[l.Device]
			devices[l.Device] = Link{Device: l.Device, Verified: d.Verified || l.Verified, Time: max(d.Time, l.Time)}
		}
		for _, e := range joined {
			if e.Removed {
				continue
			}
			edges = append(edges, e)
			for _, v := range [...]string{e.From, e.To} {
				if !seen[v] && len(seen) < maxUsers {
					seen[v] = true
					queue = append(queue, v)
				}
			}
		}
	}
	slices.Sort(s.users)
	s.canonical = canonical(id, edges)
	s.devices = make([]Link, 0, len(devices))
	for _, l := range devices {
		s.devices = append(s.devices, l)
	}
	slices.SortFunc(s.devices, func(a, b Link) int { return strings.Compare(a.Device, b.Device) })
	if len(s.devices) > maxDevices {
		slices.SortFunc(s.devices, newestFirst)
		s.devices = s.devices[:maxDevices]
		slices.SortFunc(s.devices, func(a, b Link) int { return strings.Compare(a.Device, b.Device) })
	}
	return &s, nil
}

func newestFirst(a, b Link) int {
	switch {
	case a == b:
		return 0
	case a.weaker(&b):
		return 1
	default:
		return -1
	}
}

// canonical returns the id that stays: the target of the newest edge, or,
// where that one was itself left behind for another, the end of that way. A
// way never comes back to an id it left. Without edges it is id.
func canonical(id string, edges []Edge) string {
	var newest *Edge
	for i := range edges {
		if newest == nil || edges[i].newer(newest) {
			newest = &edges[i]
		}
	}
	if newest == nil {
		return id
	}
	left := map[string]bool{newest.From: true}
	for at := newest.To; ; {
		left[at] = true
		var next *Edge
		for i := range edges {
			if e := &edges[i]; e.From == at && !left[e.To] && (next == nil || e.newer(next)) {
				next = e
			}
		}
		if next == nil {
			return at
		}
		at = next.To
	}
}

// identities lists the ids of a shape.
func (s *shape) identities() []Identity {
	ids := make([]Identity, 0, len(s.users)+len(s.devices))
	ids = append(ids, Identity{Type: "user_id", ID: s.canonical, Verified: true})
	for _, u := range s.users {
		if u != s.canonical {
			ids = append(ids, Identity{Type: "user_id", ID: u, Verified: true})
		}
	}
	devices := slices.Clone(s.devices)
	slices.SortStableFunc(devices, func(a, b Link) int {
		if a.Time != b.Time {
			return int(max(-1, min(1, b.Time-a.Time)))
		}
		return strings.Compare(a.Device, b.Device)
	})
	for _, l := range devices {
		ids = append(ids, Identity{Type: "anonymous_id", ID: l.Device, Verified: l.Verified, LastSeen: l.Time})
	}
	return ids
}

// owns reports whether userID is one of the person's.
func (s *shape) owns(userID string) bool {
	_, found := slices.BinarySearch(s.users, userID)
	return found && userID != ""
}

// add merges into dst what p holds of the person: a user's own state, or the
// stretches of a device that one of her users owns.
func (s *shape) add(set *feature.Set, dst *State, p *Part) {
	if s.owns(p.Last.Owner) {
		merge(set, dst, &p.Last.State)
	}
	if _, user := identity.User(p.Key); user {
		return
	}
	for i := range p.Closed {
		if s.owns(p.Closed[i].Owner) {
			merge(set, dst, &p.Closed[i].State)
		}
	}
}
