package serve

import (
	"slices"
	"strconv"
	"strings"

	"github.com/attune-io/attune"
	"github.com/attune-io/attune/profile"
)

// maxContext bounds the context that is logged, in bytes.
const maxContext = 4 << 10

// explain fills what the decision was made of.
func (e *entry) explain() {
	d := &e.log
	d.Asked = slimAsks(d.Asked)
	if len(d.Context) > maxContext {
		d.Context = nil
	}
	for _, a := range d.Placements {
		if a.Config > 0 {
			d.Versions = map[string]uint64{"config": a.Config, "catalog": a.Catalog}
			break // they are of one engine
		}
	}
	if e.person == nil || e.person.State == nil || !e.person.Known() || e.person.Consent().Denied() {
		d.Segments = nil
		return // nothing of her was read
	}
	for _, a := range d.Placements {
		for _, name := range a.Reads {
			if _, known := d.Inputs[name]; known {
				continue
			}
			if v := inputOf(e.person, name, d.At); v != nil {
				if d.Inputs == nil {
					d.Inputs = make(map[string]any, len(a.Reads))
				}
				d.Inputs[name] = v
			}
		}
	}
}

// slimAsks returns what asks say beside their names, nil when that is nothing.
func slimAsks(asks []attune.Ask) []attune.Ask {
	var out []attune.Ask
	for i := range asks {
		a := asks[i]
		if a.Item == "" && a.Query == "" && len(a.Items) == 0 {
			continue
		}
		a.Items = a.Items[:min(len(a.Items), attune.MaxLogged)]
		out = append(out, a)
	}
	return out
}

// inputOf returns what name says of p at an instant: a list of at most
// MaxLogged ids, a number, a text, true or false, or nil.
func inputOf(p *profile.Person, name string, at attune.Millis) any {
	if trait, ok := strings.CutPrefix(name, "traits."); ok {
		v, _ := p.Trait(trait)
		return loggable(v)
	}
	feature, ok := strings.CutPrefix(name, "features.")
	if !ok || p.Features() == nil {
		return nil
	}
	index := p.Features().Index(feature)
	if list := p.List(index, nil, at); len(list) > 0 {
		return list[:min(len(list), attune.MaxLogged)]
	}
	return loggable(p.FeatureAt(index, at))
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

// appendMade appends what d was made of, as members of an object.
func appendMade(b []byte, d *attune.DecisionLog) []byte {
	if len(d.Asked) > 0 {
		b = appendMember(append(b, ','), "asked", d.Asked)
	}
	if len(d.Context) > 0 {
		b = appendMember(append(b, ','), "context", d.Context)
	}
	if len(d.Inputs) > 0 {
		b = append(b, `,"inputs":{`...)
		var few [8]string
		names := few[:0]
		for name := range d.Inputs {
			names = append(names, name)
		}
		slices.Sort(names)
		for i, name := range names {
			if i > 0 {
				b = append(b, ',')
			}
			b = appendMember(b, name, d.Inputs[name])
		}
		b = append(b, '}')
	}
	if len(d.Segments) > 0 {
		b = appendMember(append(b, ','), "segments", d.Segments)
	}
	if len(d.Versions) > 0 {
		b = append(b, `,"versions":{`...)
		var few [4]string
		names := few[:0]
		for name := range d.Versions {
			names = append(names, name)
		}
		slices.Sort(names)
		for i, name := range names {
			if i > 0 {
				b = append(b, ',')
			}
			b = strconv.AppendUint(append(appendString(b, name), ':'), d.Versions[name], 10)
		}
		b = append(b, '}')
	}
	return b
}

// appendMember appends "name":value. What has no JSON is null.
func appendMember(b []byte, name string, value any) []byte {
	b = append(appendString(b, name), ':')
	if list, ok := value.([]string); ok && list != nil {
		b = append(b, '[')
		for i, s := range list {
			if i > 0 {
				b = append(b, ',')
			}
			b = appendString(b, s)
		}
		return append(b, ']')
	}
	raw, err := marshal(value)
	if err != nil {
		raw = []byte("null")
	}
	return append(b, raw...)
}
