package rule

import (
	"encoding/json"
	"maps"
	"math"
	"slices"
	"time"

	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"
	"github.com/tidwall/gjson"

	"github.com/attune-io/attune"
)

// fields is where the fields of an object come from.
type fields interface {
	// get returns the field, null when it is absent.
	get(name string) ref.Val
	// names lists the fields where that is cheap; nil otherwise.
	names() []string
}

// object is a map from string whose values are read on access. It is not a
// traits.Mapper on purpose: CEL makes an absent key of a Mapper an error, and of
// an Indexer whatever Get says, which here is null.
type object struct {
	types.Null // for ConvertToNative, which no expression reaches
	from       fields
}

// Type implements ref.Val.
func (*object) Type() ref.Type { return types.MapType }

// Value implements ref.Val.
func (o *object) Value() any { return o.from }

// Equal implements ref.Val: an object equals itself alone.
func (o *object) Equal(other ref.Val) ref.Val {
	p, ok := other.(*object)
	return types.Bool(ok && p == o)
}

// ConvertToType implements ref.Val.
func (o *object) ConvertToType(t ref.Type) ref.Val {
	switch t {
	case types.MapType:
		return o
	case types.TypeType:
		return types.MapType
	default:
		return types.NewErr("a map has no form as %s", t.TypeName())
	}
}

// IsZeroValue implements traits.Zeroer.
func (o *object) IsZeroValue() bool { return len(o.from.names()) == 0 }

// Get implements traits.Indexer.
func (o *object) Get(key ref.Val) ref.Val {
	name, ok := key.(types.String)
	if !ok {
		return types.NewErr("a field has a name, not a %s", key.Type().TypeName())
	}
	return o.from.get(string(name))
}

// IsSet implements traits.FieldTester, which has() asks.
func (o *object) IsSet(key ref.Val) ref.Val { return o.Contains(key) }

// Contains implements traits.Container.
func (o *object) Contains(key ref.Val) ref.Val {
	name, ok := key.(types.String)
	if !ok {
		return types.False
	}
	return types.Bool(o.from.get(string(name)) != types.NullValue)
}

// Size implements traits.Sizer.
func (o *object) Size() ref.Val { return types.Int(len(o.from.names())) }

// Iterator implements traits.Iterable, over the names.
func (o *object) Iterator() traits.Iterator {
	return types.NewStringList(types.DefaultTypeAdapter, o.from.names()).Iterator()
}

// texts is a list of strings: `in` compares them as they are, where cel-go's
// own list makes a value of each.
type texts struct {
	types.Null // for ConvertToNative, which no expression reaches
	list       []string
	sorted     bool
}

func (x *texts) lister() traits.Lister {
	return types.NewStringList(types.DefaultTypeAdapter, x.list)
}

// Type implements ref.Val.
func (*texts) Type() ref.Type { return types.ListType }

// Value implements ref.Val.
func (x *texts) Value() any { return x.list }

// Equal implements ref.Val.
func (x *texts) Equal(other ref.Val) ref.Val { return x.lister().Equal(other) }

// ConvertToType implements ref.Val.
func (x *texts) ConvertToType(t ref.Type) ref.Val { return x.lister().ConvertToType(t) }

// IsZeroValue implements traits.Zeroer.
func (x *texts) IsZeroValue() bool { return len(x.list) == 0 }

// Add implements traits.Adder.
func (x *texts) Add(other ref.Val) ref.Val { return x.lister().Add(other) }

// Contains implements traits.Container.
func (x *texts) Contains(v ref.Val) ref.Val {
	s, ok := v.(types.String)
	if !ok {
		return types.False
	}
	if !x.sorted {
		return types.Bool(slices.Contains(x.list, string(s)))
	}
	_, found := slices.BinarySearch(x.list, string(s))
	return types.Bool(found)
}

// Get implements traits.Indexer.
func (x *texts) Get(i ref.Val) ref.Val { return x.lister().Get(i) }

// Size implements traits.Sizer.
func (x *texts) Size() ref.Val { return types.Int(len(x.list)) }

// Iterator implements traits.Iterable.
func (x *texts) Iterator() traits.Iterator { return x.lister().Iterator() }

// value returns v as CEL knows it: every number a double, what it does not know
// as null.
func value(v any) ref.Val {
	switch v := v.(type) {
	case string:
		return types.String(v)
	case float64:
		return types.Double(v)
	case int64:
		return types.Double(v)
	case int:
		return types.Double(v)
	case bool:
		return types.Bool(v)
	case []string:
		return &texts{list: v}
	case []float64:
		list := make([]ref.Val, len(v))
		for i := range v {
			list[i] = types.Double(v[i])
		}
		return types.NewRefValList(types.DefaultTypeAdapter, list)
	case []any:
		list := make([]ref.Val, len(v))
		for i := range v {
			list[i] = value(v[i])
		}
		return types.NewRefValList(types.DefaultTypeAdapter, list)
	case map[string]float64:
		return &object{from: floatFields(v)}
	case map[string]any:
		return &object{from: anyFields(v)}
	case json.RawMessage:
		return jsonValue(gjson.ParseBytes(v))
	case attune.Millis:
		return instant(v)
	case time.Time:
		return types.Timestamp{Time: v}
	case ref.Val:
		return v
	default:
		return types.NullValue
	}
}

// finite returns v as a number.
func finite(v ref.Val) (float64, bool) {
	var f float64
	switch v := v.(type) {
	case types.Double:
		f = float64(v)
	case types.Int:
		f = float64(v)
	case types.Uint:
		f = float64(v)
	default:
		return 0, false
	}
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return 0, false
	}
	return f, true
}

type floatFields map[string]float64

func (m floatFields) get(name string) ref.Val {
	if v, ok := m[name]; ok {
		return types.Double(v)
	}
	return types.NullValue
}

func (m floatFields) names() []string { return slices.Sorted(maps.Keys(m)) }

type anyFields map[string]any

func (m anyFields) get(name string) ref.Val { return value(m[name]) }

func (m anyFields) names() []string { return slices.Sorted(maps.Keys(m)) }

// jsonFields reads a JSON object field by field. Of two fields with one name
// the first counts.
type jsonFields struct{ raw string }

func (j jsonFields) get(name string) ref.Val {
	if plain(name) {
		return jsonValue(gjson.Get(j.raw, name))
	}
	return scan(gjson.Parse(j.raw), name)
}

func (j jsonFields) names() []string {
	var names []string
	gjson.Parse(j.raw).ForEach(func(k, v gjson.Result) bool {
		if v.Type != gjson.Null {
			names = append(names, k.Str)
		}
		return true
	})
	return names
}

// jsonField is jsonFields.get of bytes, without copying them whole.
func jsonField(raw []byte, name string) ref.Val {
	if plain(name) {
		return jsonValue(gjson.GetBytes(raw, name))
	}
	return scan(gjson.ParseBytes(raw), name)
}

func scan(o gjson.Result, name string) ref.Val {
	found := ref.Val(types.NullValue)
	if !o.IsObject() {
		return found
	}
	o.ForEach(func(k, v gjson.Result) bool {
		if k.Str == name {
			found = jsonValue(v)
			return false
		}
		return true
	})
	return found
}

// plain reports whether name means itself in a gjson path of an object.
func plain(name string) bool {
	for i := range len(name) {
		c := name[i]
		letter := c == '_' || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z')
		if !letter && (i == 0 || c < '0' || c > '9') {
			return false
		}
	}
	return name != ""
}

// jsonBytes is an object over bytes that outlive it.
type jsonBytes []byte

func (j jsonBytes) get(name string) ref.Val { return jsonField(j, name) }

func (j jsonBytes) names() []string { return jsonFields{raw: string(j)}.names() }

// jsonObject returns raw as an object; anything but an object has no fields.
func jsonObject(raw []byte) ref.Val { return &object{from: jsonBytes(raw)} }

func jsonValue(r gjson.Result) ref.Val {
	switch r.Type {
	case gjson.String:
		return types.String(r.Str)
	case gjson.Number:
		return types.Double(r.Num)
	case gjson.True:
		return types.True
	case gjson.False:
		return types.False
	case gjson.JSON:
		if !r.IsArray() {
			return &object{from: jsonFields{raw: r.Raw}}
		}
		var list []ref.Val
		r.ForEach(func(_, v gjson.Result) bool {
			list = append(list, jsonValue(v))
			return true
		})
		return types.NewRefValList(types.DefaultTypeAdapter, list)
	default:
		return types.NullValue
	}
}
