package pipeline

import (
	"encoding/json"
	"slices"
	"strings"

	"github.com/tidwall/gjson"

	"github.com/attune-io/attune"
	"github.com/attune-io/attune/profile"
	"github.com/attune-io/attune/segment"
)

// reason is why somebody's segments are looked at: as of when, and what may
// have changed of her.
type reason struct {
	at   attune.Millis
	all  bool // anything
	time bool // the instant has come at which time alone may change them

	on     []string // the events that were folded, as Event.On says them
	traits []string // first names of the traits they told
}

// maxReasons bounds what a reason names; past it anything may have changed.
const maxReasons = 32

// add makes r the reason of both. It keeps o's strings, not its slices.
func (r *reason) add(o *reason) {
	r.at = max(r.at, o.at)
	r.time = r.time || o.time
	r.all = r.all || o.all
	for _, name := range o.on {
		r.on = union(r.on, name)
	}
	for _, name := range o.traits {
		r.traits = union(r.traits, name)
	}
	if len(r.on) > maxReasons || len(r.traits) > maxReasons {
		r.all = true
	}
	if r.all {
		r.on, r.traits = nil, nil
	}
}

func union(list []string, name string) []string {
	if slices.Contains(list, name) {
		return list
	}
	return append(list, name)
}

// payload returns what a touch record says of r.
func (r *reason) payload() []byte {
	if r.all || r.time {
		return nil
	}
	b, err := json.Marshal(attune.Touch{On: r.on, Traits: r.traits})
	if err != nil {
		return nil // strings have JSON; without a payload it is anything
	}
	return b
}

// reasonOf reads a touch record. What does not read is anything.
func reasonOf(rec *attune.Record) reason {
	r := reason{at: rec.ReceivedAt}
	var t attune.Touch
	if len(rec.Payload) == 0 || json.Unmarshal(rec.Payload, &t) != nil {
		r.all = true
		return r
	}
	r.on, r.traits = t.On, t.Traits
	return r
}

// because returns why an event makes its person be looked at. The strings are
// the worker's own: they may be kept.
func (w *worker) because(r *attune.Record, e *attune.Event, all bool) reason { //nolint:revive // what the fold found
	why := reason{at: r.ReceivedAt, all: all}
	set := w.p.seg.definitions()
	if all || set.Small() {
		why.all = true
		return why
	}
	w.on = append(w.on[:0], w.intern(e.On()))
	w.told = w.told[:0]
	if set.ReadsTraits() {
		if len(e.Context) > 0 {
			w.tell(gjson.GetBytes(e.Context, "traits"))
		}
		if e.Type == attune.Identify {
			w.tell(gjson.ParseBytes(e.Traits))
		}
	}
	why.on, why.traits = w.on, w.told
	return why
}

// tell notes the first names of the traits in object.
func (w *worker) tell(object gjson.Result) {
	object.ForEach(func(k, _ gjson.Result) bool {
		name, _, _ := strings.Cut(k.Str, ".")
		w.told = union(w.told, w.intern(name))
		return len(w.told) <= maxReasons
	})
}

// maxInterned bounds the strings a worker keeps.
const maxInterned = 4096

// intern returns s in memory of its own, the same each time.
func (w *worker) intern(s string) string {
	if known, ok := w.strings[s]; ok {
		return known
	}
	if w.strings == nil || len(w.strings) >= maxInterned {
		w.strings = make(map[string]string)
	}
	s = strings.Clone(s)
	w.strings[s] = s
	return s
}

// changeOf says what r may have changed of p, who was evaluated before as was
// with set.
func (m *members) changeOf(set *segment.Set, was *member, p *profile.Person, r *reason) segment.Change {
	if r.all || was.by != set || set.Small() || joined(p) || len(p.State.Traits) >= attune.MaxTraits {
		return segment.Change{All: true}
	}
	c := segment.Change{Time: r.time || was.next != 0 && was.next <= r.at, Traits: r.traits}
	for _, name := range r.on {
		touched := m.opt.Folder.Features.Touched(name)
		if len(r.on) == 1 {
			c.Features = touched
			break
		}
		c.Features = append(c.Features, touched...)
	}
	return c
}

// joined reports whether p is several users: what happens to one of them asks
// for a look at that one alone.
func joined(p *profile.Person) bool {
	return len(p.Identities) > 1 && p.Identities[1].Type == "user_id"
}
