package profile_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/attune-io/attune"
	"github.com/attune-io/attune/feature"
	"github.com/attune-io/attune/identity"
	"github.com/attune-io/attune/profile"
)

// everyKind is one definition of each kind that is folded.
func everyKind() []feature.Definition {
	all, viewed, bought := []string{"*"}, []string{"Product Viewed"}, []string{"Bought"}
	day := feature.Duration(24 * 3600 * 1e9)
	return []feature.Definition{
		{Kind: "latest", On: all, Value: "properties.total"},
		{Kind: "first", On: all, Value: "item.id"},
		{Kind: "count", On: all, Window: day},
		{Kind: "sum", On: all, Value: "item.price"},
		{Kind: "mean", On: bought, Value: "properties.total"},
		{Kind: "min", On: all, Value: "item.price", Window: day},
		{Kind: "max", On: all, Value: "properties.total"},
		{Kind: "distinct", On: all, Value: "properties.user"},
		{Kind: "last", On: all, Value: "item.id", N: 3},
		{Kind: "decayed", On: all, Value: "properties.total"},
		{Kind: "affinity", On: all, By: "item.category"},
		{Kind: "since", On: viewed},
		{Kind: "sessions", On: all},
		{Kind: "session_length", On: all},
		{Kind: "set", On: viewed, Off: bought, Value: "item.id"},
		{Kind: "stddev", On: all, Value: "properties.total"},
		{Kind: "quantile", On: all, Value: "item.price", Quantile: 0.5},
		{Kind: "histogram", On: all, Value: "properties.total", Buckets: []float64{5, 10}},
		{Kind: "ratio", On: bought, Of: viewed, Window: day},
		{Kind: "top", On: all, By: "item.id", N: 2},
		{Kind: "latest_by", On: all, By: "item.id", Value: "properties.total"},
		{Kind: "embedding_mean", On: all, Value: "properties.vector", N: 2},
		{Kind: "attribution", On: bought, Of: all, By: "properties.user"},
		{Kind: "time_spent", On: all, By: "item.id"},
		{Kind: "sequence", Steps: []feature.Step{{On: viewed}, {On: bought}}},
	}
}

// deed is an event of a world, and what it is made of.
type deed struct {
	id    string // routing id
	user  string
	at    attune.Millis
	name  string
	group string
	store string
	lines []line
	n     int
}

type line struct {
	ID       string  `json:"product_id"`
	Category string  `json:"category"`
	Price    float64 `json:"price"`
}

// event makes an event with these lines of d.
func (d *deed) event(lines []line) *attune.Event {
	p := map[string]any{"total": float64(d.n%17) + 0.5, "user": "w" + d.user, "vector": []int{d.n % 5, 1}, "products": lines}
	if d.store != "" {
		p["store"] = d.store
	}
	b, _ := json.Marshal(p) // it is made of plain values
	return &attune.Event{
		Type: attune.Track, Name: d.name, MessageID: fmt.Sprint("m", d.n), Time: d.at, ReceivedAt: d.at,
		UserID: d.user, GroupID: d.group, Properties: b,
	}
}

func deeds(r *rapid.T) []deed {
	out := make([]deed, rapid.IntRange(1, 40).Draw(r, "deeds"))
	for i := range out {
		d := &out[i]
		d.n, d.id = i, fmt.Sprintf("a:device-%d", rapid.IntRange(0, 2).Draw(r, "device"))
		d.at = 1_772_366_400_000 + attune.Millis(rapid.IntRange(0, 30).Draw(r, "at"))*17*60_000
		d.user = rapid.SampledFrom([]string{"", "", "ada", "bob"}).Draw(r, "user")
		if d.user != "" && rapid.Bool().Draw(r, "server") {
			d.id = identity.UserKey(d.user)
		}
		d.name = rapid.SampledFrom([]string{"Product Viewed", "Bought", "Other"}).Draw(r, "name")
		d.group = rapid.SampledFrom([]string{"", "acme", "null"}).Draw(r, "group")
		d.store = rapid.SampledFrom([]string{"", "s1", "s2", "undefined"}).Draw(r, "store")
		for range rapid.IntRange(0, 3).Draw(r, "lines") {
			n := rapid.IntRange(1, 3).Draw(r, "item")
			d.lines = append(d.lines, line{fmt.Sprint("p", n), fmt.Sprint("c", n%2), float64(n)})
		}
	}
	return out
}

// defined says, by the definition of a scope, which events with which lines the
// entity called key is known by, in order of the log.
func defined(scope, key string, ds []deed) (out []*attune.Event) {
	var owner identity.Ownership
	var visits []*deed
	for i := range ds {
		d := &ds[i]
		mine := d.lines
		switch scope {
		case "item":
			mine = slices.DeleteFunc(slices.Clone(mine), func(l line) bool { return l.ID != key })
		case "item.category":
			mine = slices.DeleteFunc(slices.Clone(mine), func(l line) bool { return l.Category != key })
		}
		switch {
		case strings.HasPrefix(scope, "item") && len(mine) == 0,
			scope == "group" && d.group != key, scope == "store" && d.store != key,
			(scope == "device" || scope == "session") && d.id != key:
			continue
		case scope == "device":
			next, step := owner.Next(d.user)
			if owner = next; step == identity.Close {
				out = nil
			}
		case scope == "session":
			visits = append(visits, d)
			continue
		}
		out = append(out, d.event(mine))
	}
	slices.SortStableFunc(visits, func(a, b *deed) int { return int(b.at - a.at) })
	for i, d := range visits {
		if i > 0 && visits[i-1].at-d.at > 30*60_000 {
			break
		}
		out = append(out, d.event(d.lines))
	}
	return out
}

// TestEveryKindOfEveryScope: each legal pair of the table in docs/FEATURES.md,
// in three partitions that are written to and read again on the way, reads like
// the fold of the events that its definition gives it.
func TestEveryKindOfEveryScope(t *testing.T) {
	keys := map[string][]string{
		"item": {"p1", "p2", "p3"}, "item.category": {"c0", "c1"}, "group": {"acme"}, "store": {"s1", "s2"}, "global": {"all"},
		"device": {"a:device-0", "a:device-1"}, "session": {"a:device-0", "u:ada"},
	}
	for scope, ids := range keys {
		var defs []feature.Definition
		for _, d := range everyKind() {
			if feature.Legal(d.Kind, scope) == nil {
				d.Name, d.Scope = d.Kind, scope
				defs = append(defs, d)
			}
		}
		set, err := feature.Compile(defs, nil)
		if err != nil {
			t.Fatal(err)
		}
		t.Run(scope, func(t *testing.T) {
			rapid.Check(t, func(r *rapid.T) { checkScope(r, set, scope, ids) })
		})
	}
}

func checkScope(r *rapid.T, set *feature.Set, scope string, ids []string) {
	by := map[string]string{"store": "properties.store"}[scope]
	of, err := feature.NewScope(scope, by)
	if err != nil {
		r.Fatal(err)
	}
	es := profile.NewEntities([]profile.EntityScope{{Scope: of, Features: set}})
	ds := deeds(r)
	var partitions [3]map[string]*profile.Entity
	for i := range partitions {
		partitions[i] = map[string]*profile.Entity{}
	}
	for i := range ds {
		d := &ds[i]
		at := partitions[attune.Hash(d.id)%3]
		e := d.event(d.lines)
		es.Each(d.id, e, false, func(u *profile.Update) {
			if at[u.Key] == nil {
				at[u.Key] = &profile.Entity{}
			}
			at[u.Key].Fold(u, e)
			if rapid.IntRange(0, 9).Draw(r, "stored") > 0 {
				return
			}
			b := at[u.Key].AppendBinary(set, nil)
			back, err := profile.DecodeEntity(set, b)
			if err != nil || string(back.AppendBinary(set, nil)) != string(b) {
				r.Fatalf("stored and read again it differs: %v", err)
			}
			at[u.Key] = back
		})
		if at["null"] != nil || at["undefined"] != nil {
			r.Fatal("a word for a missing id is an entity")
		}
	}
	for _, id := range ids {
		var got, want feature.State
		for i := range partitions {
			if en := partitions[i][id]; en != nil {
				set.Merge(&got, en.Last())
			}
		}
		for _, e := range defined(scope, id, ds) {
			set.Fold(&want, e)
		}
		now := want.Newest() + attune.Millis(rapid.IntRange(0, 100).Draw(r, "now"))*600_000
		for i, d := range set.Definitions() {
			g, w := fmt.Sprint(set.ReadAt(&got, i, now)), fmt.Sprint(set.ReadAt(&want, i, now))
			if g != w {
				r.Fatalf("%s of %s %s: got %s, want %s", d.Kind, scope, id, g, w)
			}
		}
		if g, w := set.AppendBinary(&got, nil), set.AppendBinary(&want, nil); string(g) != string(w) {
			r.Fatalf("%s %s: got %x, want %x", scope, id, g, w)
		}
	}
}

func TestIllegalPairs(t *testing.T) {
	for _, pair := range [][2]string{{"sessions", "item"}, {"sequence", "global"}, {"attribution", "store"}, {"time_spent", "group"}, {"session_length", "session"}} {
		if err := feature.Legal(pair[0], pair[1]); !errors.Is(err, attune.ErrInvalid) {
			t.Errorf("%s of %s: got %v, want ErrInvalid", pair[0], pair[1], err)
		}
	}
}

func FuzzDecodeEntity(f *testing.F) {
	set, err := feature.Compile([]feature.Definition{{Name: "n", Kind: "count", On: []string{"*"}}}, nil)
	if err != nil {
		f.Fatal(err)
	}
	of, err := feature.NewScope("session", "")
	if err != nil {
		f.Fatal(err)
	}
	var en profile.Entity
	u := profile.Update{Scope: &profile.EntityScope{Scope: of, Features: set}, Key: "a:x"}
	for i := range 40 {
		en.Fold(&u, &attune.Event{Type: attune.Page, MessageID: strconv.Itoa(i), Time: attune.Millis(i*7%40) * 3_600_000})
	}
	f.Add(en.AppendBinary(set, nil))
	f.Add([]byte{1, 0, 0, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		got, err := profile.DecodeEntity(set, b)
		if err != nil {
			if !errors.Is(err, attune.ErrCorrupt) {
				t.Errorf("got %v, want ErrCorrupt", err)
			}
			return
		}
		got.Fold(&u, &attune.Event{Type: attune.Page, MessageID: "x", Time: 5})
		if _, err := profile.DecodeEntity(set, got.AppendBinary(set, nil)); err != nil {
			t.Errorf("what was decoded does not decode: %v", err)
		}
	})
}
