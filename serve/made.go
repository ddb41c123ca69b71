package serve

import (
	"maps"
	"slices"
	"strings"

	"github.com/attune-io/attune"
	"github.com/attune-io/attune/profile"
)

// maxContext bounds the context that is logged, in bytes.
const maxContext = 4 << 10

// explain makes what e's decision was made of: what was asked, and in b.inputs
// what was read of the person.
func (b *book) explain(e *entry) {
	b.inputs, b.ids = b.inputs[:0], b.ids[:0]
	d := e.log
	d.Asked = slimAsks(d.Asked)
	if len(d.Context) > maxContext {
		d.Context = nil
	}
	if e.person == nil || e.person.State == nil || !e.person.Known() || e.person.Consent().Denied() {
		d.Segments = nil
		return // nothing of her was read
	}
	if len(d.Placements) == 1 {
		for _, a := range d.Placements {
			b.reads(e, a.Reads)
		}
		return
	}
	for _, name := range slices.Sorted(maps.Keys(d.Placements)) {
		b.reads(e, d.Placements[name].Reads)
	}
}

// reads adds the inputs with these names that are not there yet.
func (b *book) reads(e *entry, names []string) {
	for _, name := range names {
		if slices.ContainsFunc(b.inputs, func(in attune.Input) bool { return in.Name == name }) {
			continue
		}
		if in := b.inputOf(e.person, name, e.log.At); in.List != nil || in.Value != nil {
			b.inputs = append(b.inputs, in)
		}
	}
}

// slimAsks returns what asks say beside their names, nil when that is nothing.
func slimAsks(asks []attune.Ask) []attune.Ask {
	var out []attune.Ask
	for i := range asks {
		a := asks[i]
		if a.Item == "" && a.Query == "" && len(a.Items)+len(a.Filters)+len(a.Facets) == 0 && a.Narrow == nil {
			continue
		}
		a.Items = a.Items[:min(len(a.Items), attune.MaxLogged)]
		if a.Narrow != nil && len(a.Blacklist) > attune.MaxLogged {
			short := *a.Narrow
			short.Blacklist = short.Blacklist[:attune.MaxLogged]
			a.Narrow = &short
		}
		out = append(out, a)
	}
	return out
}

// inputOf returns what name says of p at an instant: a list of at most
// MaxLogged ids, a number, a text, true or false, or nothing.
func (b *book) inputOf(p *profile.Person, name string, at attune.Millis) attune.Input {
	in := attune.Input{Name: name}
	if trait, ok := strings.CutPrefix(name, "traits."); ok {
		v, _ := p.Trait(trait)
		in.Value = loggable(v)
		return in
	}
	feature, ok := strings.CutPrefix(name, "features.")
	if !ok || p.Features() == nil {
		return in
	}
	index, from := p.Features().Index(feature), len(b.ids)
	b.ids = p.List(index, b.ids, at)
	if n := len(b.ids) - from; n > 0 {
		b.ids = b.ids[:from+min(n, attune.MaxLogged)]
		in.List = b.ids[from:len(b.ids):len(b.ids)]
		return in
	}
	in.Value = loggable(p.FeatureAt(index, at))
	return in
}

// loggable returns v as the log keeps it: short texts, numbers and lists of those.
// Nil is left out: an empty list, a map.
func loggable(v any) any {
	switch x := v.(type) {
	case string:
		return clip(x)
	case float64, int64, bool:
		return x
	case attune.Millis:
		return x.String()
	case []any:
		list := make([]any, 0, min(len(x), attune.MaxLogged))
		for _, one := range x[:min(len(x), attune.MaxLogged)] {
			if s := loggable(one); s != nil {
				list = append(list, s)
			}
		}
		return list
	default:
		return nil
	}
}
