package rule

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"
	"github.com/tidwall/gjson"

	"github.com/attune-io/attune"
)

// Bounds of what a Transform makes.
const (
	maxMade      = 64 << 10 // bytes of JSON
	maxMadeDepth = 32
)

// Transform is a compiled expression over an event whose value is any JSON: a
// number, a text, a list, a part of the event. Any number of goroutines may use
// it at once.
type Transform struct {
	code   code
	text   string
	inputs *pool
}

// EventTransform compiles an expression at OfEvent. There is no `item`: an
// event is looked at as a whole. Errors are as for Condition.
func (e *Env) EventTransform(expr string) (*Transform, error) {
	c, err := e.compile(OfEvent, expr)
	if err != nil {
		return nil, err
	}
	if c.uses.Item {
		return nil, faults{{Line: 1, Column: 1, What: "item is not known here; there is event, whose products are event.properties.products"}}
	}
	run, err := c.plan()
	if err != nil {
		return nil, err
	}
	return &Transform{code: run, text: expr, inputs: &pool{}}, nil
}

// Append appends the value for e to b, as JSON. Absent is null. The error, with
// which nothing is appended, is that of an evaluation: an arithmetic with an
// absent or unfit value, a cost limit that was passed, a value without a form
// in JSON or with too large a one.
func (t *Transform) Append(b []byte, e *attune.Event) ([]byte, error) {
	in := t.inputs.get()
	in.event = e
	v, err := t.code.run(in)
	n := len(b)
	if err == nil {
		m := maker{out: b, limit: n + maxMade}
		err = m.value(v, 0)
		b = m.out
	}
	in.event = nil
	t.inputs.put(in)
	if err != nil {
		return b[:n], fmt.Errorf("%s: %w", t.text, err)
	}
	return b, nil
}

// String returns the expression.
func (t *Transform) String() string { return t.text }

// maker writes values as JSON.
type maker struct {
	out   []byte
	limit int
}

func (m *maker) value(v ref.Val, depth int) error {
	if depth > maxMadeDepth {
		return fmt.Errorf("the value nests deeper than %d levels: %w", maxMadeDepth, attune.ErrInvalid)
	}
	switch v := v.(type) {
	case types.Null:
		m.out = append(m.out, "null"...)
	case types.Bool:
		m.out = strconv.AppendBool(m.out, bool(v))
	case types.String:
		m.out = gjson.AppendJSONString(m.out, string(v))
	case types.Int, types.Uint, types.Double:
		return m.number(v)
	case types.Timestamp:
		m.out = v.UTC().AppendFormat(append(m.out, '"'), time.RFC3339Nano)
		m.out = append(m.out, '"')
	case *object:
		return m.object(v, depth)
	case traits.Mapper:
		return m.members(v, depth)
	case traits.Lister:
		return m.list(v, depth)
	default:
		return fmt.Errorf("the value is a %s, which has no form in JSON: %w", v.Type().TypeName(), attune.ErrInvalid)
	}
	return m.bounded()
}

func (m *maker) bounded() error {
	if len(m.out) > m.limit {
		return fmt.Errorf("the value has more than %d bytes: %w", maxMade, attune.ErrInvalid)
	}
	return nil
}

func (m *maker) number(v ref.Val) error {
	f, ok := finite(v)
	if !ok {
		return fmt.Errorf("the value is not a finite number: %w", attune.ErrInvalid)
	}
	switch v := v.(type) {
	case types.Int:
		m.out = strconv.AppendInt(m.out, int64(v), 10)
	case types.Uint:
		m.out = strconv.AppendUint(m.out, uint64(v), 10)
	default:
		text, err := json.Marshal(f)
		if err != nil {
			return err
		}
		m.out = append(m.out, text...)
	}
	return m.bounded()
}

// object writes a part of the event, as it was sent where it is one.
func (m *maker) object(o *object, depth int) error {
	var raw string
	switch from := o.from.(type) {
	case jsonFields:
		raw = from.raw
	case jsonBytes:
		raw = string(from)
	default:
		m.out = append(m.out, '{')
		for i, name := range o.from.names() {
			if i > 0 {
				m.out = append(m.out, ',')
			}
			m.out = append(gjson.AppendJSONString(m.out, name), ':')
			if err := m.value(o.from.get(name), depth+1); err != nil {
				return err
			}
		}
		m.out = append(m.out, '}')
		return m.bounded()
	}
	if raw == "" {
		raw = "null"
	}
	m.out = append(m.out, raw...)
	return m.bounded()
}

// members writes a map that the expression made, in the order of its keys.
func (m *maker) members(v traits.Mapper, depth int) error {
	values := map[string]ref.Val{}
	for it := v.Iterator(); it.HasNext() == types.True; {
		k := it.Next()
		name, ok := k.(types.String)
		if !ok {
			return fmt.Errorf("a key is a %s, want a text: %w", k.Type().TypeName(), attune.ErrInvalid)
		}
		values[string(name)] = v.Get(k)
	}
	return m.object(&object{from: valueFields(values)}, depth)
}

func (m *maker) list(v traits.Lister, depth int) error {
	m.out = append(m.out, '[')
	for i := range v.Size().(types.Int) { //nolint:forcetypeassert // a list's size is an int
		if i > 0 {
			m.out = append(m.out, ',')
		}
		if err := m.value(v.Get(i), depth+1); err != nil {
			return err
		}
	}
	m.out = append(m.out, ']')
	return m.bounded()
}

// valueFields are the members of a map that an expression made.
type valueFields map[string]ref.Val

func (f valueFields) get(name string) ref.Val {
	if v, ok := f[name]; ok {
		return v
	}
	return types.NullValue
}

func (f valueFields) names() []string { return slices.Sorted(maps.Keys(f)) }
