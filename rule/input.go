package rule

import (
	"sync"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"

	"github.com/attune-io/attune"
)

// Input is what a program is evaluated on. It is made once and used again with
// other fields: evaluation allocates next to nothing then. A nil Person, Item
// or Context is one without any field. One goroutine uses an Input at a time.
type Input struct {
	Item     Item
	Person   Person
	Segments []string // names, sorted
	Context  []byte   // JSON object: the request's context
	Now      attune.Millis

	event   *attune.Event
	product *attune.Product
	shared  Shared
	vars    variables
}

// variables is the activation of an Input: what a name resolves to. Its values
// live here, so that resolving one allocates nothing.
type variables struct {
	in       *Input
	event    object
	item     object
	traits   object
	features object
	itemised object // item.features
	global   object
	context  object
	segments texts
}

// bind ties the variables to in, wherever it was copied to.
func (in *Input) bind() *variables {
	v := &in.vars
	if v.in != in {
		v.in = in
		v.event.from = eventFields{in}
		v.item.from = itemFields{in}
		v.traits.from = traitFields{in}
		v.features.from = featureFields{in}
		v.itemised.from = itemFeatures{in}
		v.global.from = globalFeatures{in}
		v.context.from = contextFields{in}
		v.segments.sorted = true
	}
	v.segments.list = in.Segments
	return v
}

// ResolveName implements cel.Activation.
func (v *variables) ResolveName(name string) (any, bool) {
	switch name {
	case "item":
		return &v.item, true
	case "traits":
		return &v.traits, true
	case "features":
		return &v.features, true
	case "segments":
		return &v.segments, true
	case "context":
		return &v.context, true
	case "global":
		return &v.global, true
	case "event":
		return &v.event, true
	case "now":
		return types.Timestamp{Time: v.in.Now.Time()}, true
	default:
		return nil, false
	}
}

// Parent implements cel.Activation: there is none.
func (*variables) Parent() cel.Activation { return nil }

// pool keeps Inputs for callers that have no room for one of their own.
type pool struct{ p sync.Pool }

func (p *pool) get() *Input {
	if in, ok := p.p.Get().(*Input); ok {
		return in
	}
	return &Input{}
}

func (p *pool) put(in *Input) { p.p.Put(in) }

type eventFields struct{ in *Input }

// eventNames are the fields of `event`.
func eventNames() []string {
	return []string{
		"name", "type", "user_id", "anonymous_id", "group_id", "message_id", "source",
		"time", "received_at", "properties", "traits", "context", "enriched",
	}
}

func (f eventFields) get(name string) ref.Val {
	e := f.in.event
	if e == nil {
		return types.NullValue
	}
	switch name {
	case "name":
		if e.Type == attune.Track {
			return types.String(e.On())
		}
		return text(e.Name)
	case "type":
		return types.String(e.Type.String())
	case "user_id":
		return text(e.UserID)
	case "anonymous_id":
		return text(e.AnonymousID)
	case "group_id":
		return text(e.GroupID)
	case "message_id":
		return text(e.MessageID)
	case "source":
		return text(e.Source)
	case "time":
		return instant(e.Time)
	case "received_at":
		return instant(e.ReceivedAt)
	case "properties":
		return jsonObject(e.Properties)
	case "traits":
		return jsonObject(e.Traits)
	case "context":
		return jsonObject(e.Context)
	case "enriched":
		return jsonObject(e.Enriched)
	default:
		return types.NullValue
	}
}

func (eventFields) names() []string { return eventNames() }

// text returns s, or null when it is empty: an id that was not said is absent.
func text(s string) ref.Val {
	if s == "" {
		return types.NullValue
	}
	return types.String(s)
}

func instant(m attune.Millis) ref.Val {
	if m == 0 {
		return types.NullValue
	}
	return types.Timestamp{Time: m.Time()}
}

type itemFields struct{ in *Input }

func (f itemFields) get(name string) ref.Val {
	if p := f.in.product; p != nil {
		return productField(p, name)
	}
	it := f.in.Item
	if it == nil {
		return types.NullValue
	}
	switch name {
	case "id":
		return types.String(it.ItemID())
	case "features":
		return &f.in.vars.itemised
	}
	if v, ok := it.Attribute(name); ok {
		return value(v)
	}
	return types.NullValue
}

// productField reads the product of an event: what the edge settled, and every
// property of its line as it was sent.
func productField(p *attune.Product, name string) ref.Val {
	switch name {
	case "id":
		return types.String(p.ID)
	case "quantity":
		return types.Double(p.Quantity)
	case "position":
		if p.Position == 0 {
			return types.NullValue
		}
		return types.Double(p.Position)
	default:
		return jsonFields{raw: p.Raw}.get(name)
	}
}

func (f itemFields) names() []string {
	if p := f.in.product; p != nil {
		return jsonFields{raw: p.Raw}.names()
	}
	return nil
}

type traitFields struct{ in *Input }

func (f traitFields) get(name string) ref.Val {
	if f.in.Person == nil {
		return types.NullValue
	}
	v, ok := f.in.Person.Trait(name)
	if !ok {
		return types.NullValue
	}
	return value(v)
}

func (traitFields) names() []string { return nil }

type featureFields struct{ in *Input }

func (f featureFields) get(name string) ref.Val {
	if f.in.Person == nil {
		return types.NullValue
	}
	return value(f.in.Person.Feature(name, f.in.Now))
}

func (featureFields) names() []string { return nil }

// itemFeatures and globalFeatures are what Shared says; without one every field
// is absent.
type itemFeatures struct{ in *Input }

func (f itemFeatures) get(name string) ref.Val {
	if f.in.shared == nil || f.in.Item == nil {
		return types.NullValue
	}
	return value(f.in.shared.ItemFeature(f.in.Item.ItemID(), name, f.in.Now))
}

func (itemFeatures) names() []string { return nil }

type globalFeatures struct{ in *Input }

func (f globalFeatures) get(name string) ref.Val {
	if f.in.shared == nil {
		return types.NullValue
	}
	return value(f.in.shared.GlobalFeature(name, f.in.Now))
}

func (globalFeatures) names() []string { return nil }

type contextFields struct{ in *Input }

func (f contextFields) get(name string) ref.Val { return jsonField(f.in.Context, name) }

func (f contextFields) names() []string { return jsonFields{raw: string(f.in.Context)}.names() }
