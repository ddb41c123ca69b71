package profile

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/attune-io/attune"
	"github.com/attune-io/attune/identity"
)

// People reads persons: it merges their parts, and keeps the merges under the
// vector of offsets they were made from. A person that is read again while no
// part of hers moved is the same *Person; when one part moved, the merge of
// the others is used again.
//
// Any number of goroutines may read. Of two reads of one key, the one that
// began after the other had ended never shows an older part.
type People struct {
	parts  *Parts
	budget int64 // bytes a shard
	shards [shards]peopleShard

	hits, merges atomic.Int64
}

type peopleShard struct {
	mu    sync.Mutex
	kept  map[string]*kept
	bytes int64
}

// kept is what is remembered of one person. Its lock is held while she is
// merged, so that a slower merge never replaces a newer one.
type kept struct {
	person atomic.Pointer[Person]
	used   atomic.Bool

	mu      sync.Mutex
	sources []source
	shape   *shape
	// identities and session are those of shape; nil until they were asked for.
	identities []Identity
	session    uint64
	// cold is the merge of all sources but those in hot, which are indexes of
	// sources; nil when every source is hot. warm is the merge of all but
	// last, the one source that changed the last time; nil when that is not
	// known.
	cold, warm *State
	hot        []int
	last       int
	// broken says that an error left sources ahead of the person.
	broken bool
	size   int64 // under the shard's lock
}

// source is a part of a person, as it was when it was merged last.
type source struct {
	key  string
	held *held
	stamp

	// known is, of a user's part, how far it had come when the person's shape
	// was last known to be right.
	known stamp
}

// maxHot is how many parts are merged anew at each change. Few of a person's
// parts change at a time: this browser, and her own part.
const maxHot = 3

// NewPeople returns People over parts that keeps merges in about memoryBytes;
// 0 is 128 MB.
func NewPeople(parts *Parts, memoryBytes int64) *People {
	if memoryBytes <= 0 {
		memoryBytes = 128 << 20
	}
	pp := &People{parts: parts, budget: memoryBytes / shards}
	for i := range pp.shards {
		pp.shards[i].kept = map[string]*kept{}
	}
	return pp
}

// User returns the person that userID is part of; one that is not Known when
// nothing was ever heard of her. An error is the store's.
func (pp *People) User(ctx context.Context, userID string) (*Person, error) {
	return pp.read(ctx, identity.UserKey(userID))
}

// Device returns what the bearer of a visitor token may see: the last stretch
// of the device alone. An error is the store's.
func (pp *People) Device(ctx context.Context, anonymousID string) (*Person, error) {
	return pp.read(ctx, identity.DeviceKey(anonymousID))
}

// Read returns User or Device of a u: or a: key.
func (pp *People) Read(ctx context.Context, key string) (*Person, error) { return pp.read(ctx, key) }

// Fresh reports whether no part of p moved since it was merged.
func (pp *People) Fresh(ctx context.Context, p *Person) (bool, error) {
	for i := range p.Vector {
		if applied, live := p.held[i].peek(); live {
			if applied != p.Vector[i].Offset {
				return false, nil
			}
			continue
		}
		applied, err := pp.parts.Applied(ctx, p.Vector[i].Key)
		if err != nil || applied != p.Vector[i].Offset {
			return false, err
		}
	}
	return true, nil
}

// Warm returns the user (or, when userID is "", the device's last stretch) when
// she is kept, all her parts are in memory, and none moved since she was
// merged; else nil: only then may reading her wait, for the store or for
// another's merge.
func (pp *People) Warm(userID, anonymousID string) *Person {
	var b [64]byte
	key := append(append(b[:0], identity.UserKey("")...), userID...)
	if userID == "" {
		key = append(append(b[:0], identity.DeviceKey("")...), anonymousID...)
	}
	s := &pp.shards[attune.Hash(string(key))%shards]
	s.mu.Lock()
	k := s.kept[string(key)]
	s.mu.Unlock()
	if k == nil {
		return nil
	}
	if !k.used.Load() {
		k.used.Store(true)
	}
	p := k.person.Load()
	if p == nil {
		return nil
	}
	for i := range p.Vector {
		if applied, live := p.held[i].peek(); !live || applied != p.Vector[i].Offset {
			return nil
		}
	}
	pp.hits.Add(1)
	return p
}

func (pp *People) read(ctx context.Context, key string) (*Person, error) {
	k := pp.keep(key)
	if p, err := pp.current(ctx, k); p != nil || err != nil {
		return p, err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if p, err := pp.current(ctx, k); p != nil || err != nil {
		return p, err
	}
	pp.merges.Add(1)
	p, err := pp.refresh(ctx, key, k)
	k.broken = err != nil
	if err != nil {
		return nil, err
	}
	k.person.Store(p)
	pp.resize(key, k)
	return p, nil
}

// current returns k's person when it is fresh, else nil.
func (pp *People) current(ctx context.Context, k *kept) (*Person, error) {
	p := k.person.Load()
	if p == nil {
		return nil, nil
	}
	fresh, err := pp.Fresh(ctx, p)
	if err != nil || !fresh {
		return nil, err
	}
	pp.hits.Add(1)
	return p, nil
}

// refresh merges what has to be merged again.
func (pp *People) refresh(ctx context.Context, key string, k *kept) (*Person, error) {
	before := k.person.Load()
	if before == nil || k.broken {
		return pp.rebuild(ctx, key, k)
	}
	var few [maxHot + 1]int
	moved := few[:0]
	quiet := true
	for i := range k.sources {
		src := &k.sources[i]
		st, err := pp.parts.stampOf(ctx, src)
		if err != nil {
			return nil, err
		}
		if _, user := identity.User(src.key); user && st.shape != src.known.shape {
			return pp.rebuild(ctx, key, k)
		}
		src.known = st
		if st.state != src.state {
			moved, quiet = append(moved, i), false
		} else {
			src.stamp = st
		}
	}
	if quiet {
		return k.build(pp, key, before.State), nil
	}
	if len(moved) > maxHot {
		return pp.rebuild(ctx, key, k)
	}
	return pp.remerge(ctx, key, k, moved)
}

// remerge merges the moved sources anew, over the merge of all others when
// the same one moves again and again, else over that of the cold ones, which
// is made anew only when one of moved was among them.
func (pp *People) remerge(ctx context.Context, key string, k *kept, moved []int) (*Person, error) {
	wasHot := true
	for _, i := range moved {
		wasHot = wasHot && slices.Contains(k.hot, i)
	}
	if !wasHot {
		hot := slices.Clone(moved)
		for _, i := range k.hot {
			if len(hot) < maxHot && !slices.Contains(hot, i) {
				hot = append(hot, i)
			}
		}
		k.hot, k.cold = hot, nil
	}
	if len(moved) != 1 || len(k.sources) == 1 {
		k.warm, k.last = nil, -1
		return pp.mergeAll(ctx, key, k)
	}
	if k.last != moved[0] || k.warm == nil {
		warm, err := pp.mergeBut(ctx, k, moved[0])
		if err != nil {
			return nil, err
		}
		k.warm, k.last = warm, moved[0]
	}
	state := k.warm.share()
	if err := pp.mergeSource(ctx, k, k.last, state); err != nil {
		return nil, err
	}
	return k.build(pp, key, state), nil
}

// rebuild finds out anew who and what belongs to the person, and merges all.
func (pp *People) rebuild(ctx context.Context, key string, k *kept) (*Person, error) {
	k.sources, k.shape, k.identities = k.sources[:0], &shape{}, nil
	k.hot, k.cold, k.warm, k.last = k.hot[:0], nil, nil, -1
	if id, user := identity.User(key); user {
		known := map[string]stamp{}
		s, err := gather(id, func(userID string) (links []Link, edges []Edge, err error) {
			err = pp.parts.View(ctx, identity.UserKey(userID), func(p *Part) {
				links, edges = slices.Clone(p.Links), slices.Clone(p.Edges)
				known[userID] = p.stamp()
			})
			return links, edges, err
		})
		if err != nil {
			return nil, err
		}
		k.shape = s
		for _, l := range s.devices {
			k.sources = append(k.sources, source{key: identity.DeviceKey(l.Device)})
		}
		for _, u := range s.users {
			k.sources = append(k.sources, source{key: identity.UserKey(u), known: known[u]})
		}
	} else {
		k.sources = append(k.sources, source{key: key})
	}
	if err := pp.guessHot(ctx, k); err != nil {
		return nil, err
	}
	return pp.mergeAll(ctx, key, k)
}

// guessHot picks the parts that are likely to change next: those that changed
// last, as far as event time tells.
func (pp *People) guessHot(ctx context.Context, k *kept) error {
	if len(k.sources) <= maxHot {
		for i := range k.sources {
			k.hot = append(k.hot, i)
		}
		return nil
	}
	newest := make([]attune.Millis, len(k.sources))
	for i := range k.sources {
		err := pp.parts.view(ctx, &k.sources[i], func(p *Part) { newest[i] = p.Received })
		if err != nil {
			return err
		}
		at, _ := slices.BinarySearchFunc(k.hot, newest[i], func(j int, t attune.Millis) int {
			if newest[j] >= t {
				return -1
			}
			return 1
		})
		k.hot = slices.Insert(k.hot, at, i)
		k.hot = k.hot[:min(len(k.hot), maxHot)]
	}
	return nil
}

// mergeAll merges the cold sources, unless that is done, and then the hot ones
// over a copy.
func (pp *People) mergeAll(ctx context.Context, key string, k *kept) (*Person, error) {
	state, err := pp.mergeBut(ctx, k, -1)
	if err != nil {
		return nil, err
	}
	return k.build(pp, key, state), nil
}

// mergeBut merges all sources but one (-1: all).
func (pp *People) mergeBut(ctx context.Context, k *kept, but int) (*State, error) {
	if k.cold == nil && len(k.hot) < len(k.sources) {
		cold := &State{}
		for i := range k.sources {
			if slices.Contains(k.hot, i) {
				continue
			}
			if err := pp.mergeSource(ctx, k, i, cold); err != nil {
				return nil, err
			}
		}
		k.cold = cold
	}
	state := &State{}
	if k.cold != nil {
		state = k.cold.share()
	}
	for _, i := range k.hot {
		if i == but {
			continue
		}
		if err := pp.mergeSource(ctx, k, i, state); err != nil {
			return nil, err
		}
	}
	return state, nil
}

// mergeSource merges source i into dst and notes how far it had come.
func (pp *People) mergeSource(ctx context.Context, k *kept, i int, dst *State) error {
	set := pp.parts.folder.Features
	src := &k.sources[i]
	return pp.parts.view(ctx, src, func(p *Part) {
		size := src.size
		src.stamp = p.stamp()
		src.size = size
		if len(k.shape.users) == 0 {
			merge(set, dst, &p.Last.State)
			return
		}
		// When links or edges came after the shape was read, the person is
		// not at this offset yet, and the next read has to see that.
		if _, user := identity.User(src.key); user && src.shape != src.known.shape {
			src.applied = src.known.applied
		}
		k.shape.add(set, dst, p)
	})
}

// build makes the person of k's sources as they were merged.
func (k *kept) build(pp *People, key string, state *State) *Person {
	p := &Person{Key: key, State: state, Canonical: k.shape.canonical, features: pp.parts.folder.Features}
	// Sources are sorted: devices before users, each by id.
	p.Vector, p.held = make([]Applied, len(k.sources)), make([]*held, len(k.sources))
	for i := range k.sources {
		p.Vector[i], p.held[i] = Applied{k.sources[i].key, k.sources[i].applied}, k.sources[i].held
		p.Version += k.sources[i].applied
	}
	// A device that made room for another takes its offset with it.
	if before := k.person.Load(); before != nil && p.Version <= before.Version && !slices.Equal(p.Vector, before.Vector) {
		p.Version = before.Version + 1
	}
	if k.identities == nil {
		k.identities = k.shape.identities()
		if id, device := identity.Device(key); device {
			k.identities = []Identity{{Type: "anonymous_id", ID: id, Verified: true}}
		}
		p.Identities = k.identities
		k.session = p.Session()
	}
	p.Identities, p.session = k.identities, k.session
	return p
}

// keep returns the entry of key, new or not.
func (pp *People) keep(key string) *kept {
	s := &pp.shards[attune.Hash(key)%shards]
	s.mu.Lock()
	defer s.mu.Unlock()
	k := s.kept[key]
	if k == nil {
		k = &kept{}
		s.kept[key] = k
		s.evict(pp.budget)
	}
	k.used.Store(true)
	return k
}

// resize notes about what k takes, unless it has left the cache.
func (pp *People) resize(key string, k *kept) {
	size := int64(1000)
	for i := range k.sources {
		size += 200 + 2*k.sources[i].size
	}
	s := &pp.shards[attune.Hash(key)%shards]
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.kept[key] != k {
		return
	}
	s.bytes += size - k.size
	k.size = size
	s.evict(pp.budget)
}

// evict drops entries that were not used since it last looked, while the shard
// is above its budget. s.mu is held. Whoever still holds a dropped entry goes
// on with it; parts only move forward, so that nobody goes back.
func (s *peopleShard) evict(budget int64) {
	looked := 0
	for key, k := range s.kept {
		if looked++; looked > 64 || s.bytes <= budget {
			return
		}
		if !k.used.Swap(false) {
			delete(s.kept, key)
			s.bytes -= k.size
		}
	}
}

// PeopleStats are figures about a People. Counters are since the start.
type PeopleStats struct {
	People       int
	Bytes        int64 // about
	Hits, Merges int64
}

// Stats returns the figures of this moment.
func (pp *People) Stats() PeopleStats {
	st := PeopleStats{Hits: pp.hits.Load(), Merges: pp.merges.Load()}
	for i := range pp.shards {
		s := &pp.shards[i]
		s.mu.Lock()
		st.People += len(s.kept)
		st.Bytes += s.bytes
		s.mu.Unlock()
	}
	return st
}
