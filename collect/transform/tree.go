package transform

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/tidwall/gjson"

	"github.com/attune-io/attune"
)

// object is a JSON object being changed: its members are values as they were
// sent, and objects where something below is looked for. So what no step names
// is neither read nor written anew, and keeps its digits.
type object map[string]any

// value is JSON.
type value string

// open returns the members of a JSON object. Of two with one name the last
// counts, as everywhere.
func open(raw string) object {
	o := object{}
	gjson.Parse(raw).ForEach(func(k, v gjson.Result) bool {
		o[k.Str] = value(v.Raw)
		return true
	})
	return o
}

// below returns the member name as an object; false when it is none, or absent.
func (o object) below(name string) (object, bool) {
	switch v := o[name].(type) {
	case object:
		return v, true
	case value:
		if strings.HasPrefix(string(v), "{") {
			next := open(string(v))
			o[name] = next
			return next, true
		}
	}
	return nil, false
}

// parent returns the object that holds what is at path, and its name there; nil
// when there is none.
func (o object) parent(path []string) (in object, name string) {
	last := len(path) - 1
	for _, name := range path[:last] {
		next, ok := o.below(name)
		if !ok {
			return nil, path[last]
		}
		o = next
	}
	return o, path[last]
}

// remove removes what is at path, and reports whether something was.
func (o object) remove(path []string) bool {
	in, name := o.parent(path)
	_, ok := in[name]
	delete(in, name)
	return ok
}

// put sets what is at path, and makes the objects on the way to it.
func (o object) put(path []string, v any) error {
	last := len(path) - 1
	for i, name := range path[:last] {
		next, ok := o.below(name)
		if !ok {
			if old, there := o[name]; there && old != value("null") {
				return fmt.Errorf("%s is no object, so it has no %s: %w", strings.Join(path[:i+1], "."), path[i+1], attune.ErrInvalid)
			}
			next = object{}
			o[name] = next
		}
		o = next
	}
	o[path[last]] = v
	return nil
}

// append appends o as JSON, its members by name.
func (o object) append(b []byte) []byte {
	b = append(b, '{')
	for i, name := range slices.Sorted(maps.Keys(o)) {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(gjson.AppendJSONString(b, name), ':')
		switch v := o[name].(type) {
		case object:
			b = v.append(b)
		case value:
			b = append(b, v...)
		}
	}
	return append(b, '}')
}
