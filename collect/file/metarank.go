package file

import (
	"bytes"
	"strconv"

	"github.com/tidwall/gjson"

	"github.com/attune-io/attune"
)

// metarank reads Metarank's events (docs.metarank.ai, "Event schema"):
//
//   - item becomes what a feed says of an item,
//   - user becomes an identify,
//   - ranking becomes one Recommendation Viewed with the items and their
//     positions from 1,
//   - interaction becomes Recommendation Clicked and Product Viewed when it is a
//     click, and Product Viewed, Product Added or Order Completed when its type
//     says so; any other type is a track event of that name.
//
// The user is the userId. The session is the anonymousId of who has no user;
// beside a user it is a property, since Metarank's sessions are not devices.
type metarank struct {
	lines *lines
	ids   ids
	shift attune.Millis

	rest []Row // what else the last line said
}

// The placement of rankings, which carry no name of their own.
const rankingPlacement = "ranking"

func (m *metarank) next() (Row, error) {
	for {
		if len(m.rest) > 0 {
			row := m.rest[0]
			m.rest = m.rest[1:]
			return row, nil
		}
		line, err := m.lines.next()
		if err != nil {
			return Row{}, err
		}
		if line = bytes.TrimSpace(line); len(line) == 0 {
			continue
		}
		if !gjson.ValidBytes(line) || line[0] != '{' {
			return Row{}, faultAt(m.lines.row, line, "the line is not a JSON object")
		}
		e := metarankEvent{row: m.lines.row, raw: line}
		e.read(gjson.Parse(string(line)))
		rows, err := m.convert(&e)
		if err != nil {
			return Row{}, err
		}
		m.rest = rows
	}
}

// metarankEvent is one line.
type metarankEvent struct {
	row                                            int64
	raw                                            []byte
	kind, id, item, user, session, ranking, action string
	fields, items, time                            gjson.Result
	at                                             attune.Millis
}

func (e *metarankEvent) read(line gjson.Result) {
	line.ForEach(func(k, v gjson.Result) bool {
		switch k.Str {
		case "event":
			e.kind = v.Str
		case "id":
			e.id = v.String()
		case "item":
			e.item = v.String()
		case "user":
			e.user = v.String()
		case "session":
			e.session = v.String()
		case "ranking":
			e.ranking = v.String()
		case "type":
			e.action = v.Str
		case "fields":
			e.fields = v
		case "items":
			e.items = v
		case "timestamp":
			e.time = v
		}
		return true
	})
}

func (e *metarankEvent) fault(format string, args ...any) error {
	return faultAt(e.row, e.raw, format, args...)
}

func (m *metarank) convert(e *metarankEvent) ([]Row, error) {
	at, ok := instant(e.time.String())
	if !ok {
		return nil, e.fault("timestamp is missing, or no time that is understood; write milliseconds since 1970")
	}
	e.at = at + m.shift
	switch e.kind {
	case "item":
		return e.asItem()
	case "user":
		if e.user == "" {
			return nil, e.fault("a user event that names no user")
		}
		b := m.head(e, "identify", "", 0)
		b = append(b, `,"traits":{`...)
		b = e.appendFields(b)
		return e.rows(append(b, "}}"...)), nil
	case "ranking":
		return m.ranking(e)
	case "interaction":
		return m.interaction(e)
	default:
		return nil, e.fault("event %q; want item, user, ranking or interaction", clip(e.kind))
	}
}

func (e *metarankEvent) rows(events ...[]byte) []Row {
	out := make([]Row, len(events))
	for i, b := range events {
		out[i] = Row{Number: e.row, Event: b, Time: e.at}
	}
	return out
}

// asItem takes the fields that an item may have; others are left away.
func (e *metarankEvent) asItem() ([]Row, error) {
	if e.item == "" {
		return nil, e.fault("an item event that names no item")
	}
	it := &attune.Item{ID: e.item, Attributes: map[string]any{}}
	e.fields.ForEach(func(_, f gjson.Result) bool {
		name, v := f.Get("name").Str, f.Get("value")
		if name == "" || len(name) > 128 {
			return true
		}
		if name == "title" {
			name = "name" // as the catalog and the shops' events have it
		}
		switch {
		case v.IsArray():
			list := []any{}
			v.ForEach(func(_, x gjson.Result) bool {
				list = append(list, x.String())
				return true
			})
			it.Attributes[name] = list
		case v.Type == gjson.String, v.Type == gjson.Number, v.Type == gjson.True, v.Type == gjson.False:
			it.Attributes[name] = v.Value()
		}
		return true
	})
	return []Row{{Number: e.row, Item: it, Time: e.at}}, nil
}

// head begins a call: everything but its properties or traits.
func (m *metarank) head(e *metarankEvent, kind, name string, part int) []byte {
	id := m.ids.row(e.row, part)
	if e.id != "" {
		// The event's own id names it better than its line.
		id = m.ids.group(e.id)
		if part > 0 {
			id += "." + strconv.Itoa(part)
		}
	}
	b := gjson.AppendJSONString([]byte(`{"type":`), kind)
	anonymous := ""
	if e.user == "" {
		anonymous = e.session
	}
	for _, f := range [...]struct{ name, value string }{
		{`,"event":`, name}, {`,"messageId":`, id}, {`,"userId":`, e.user}, {`,"anonymousId":`, anonymous},
	} {
		if f.value != "" {
			b = gjson.AppendJSONString(append(b, f.name...), f.value)
		}
	}
	return gjson.AppendJSONString(append(b, `,"timestamp":`...), e.at.String())
}

// appendFields appends the fields as members, without braces.
func (e *metarankEvent) appendFields(b []byte) []byte {
	first := true
	e.fields.ForEach(func(_, f gjson.Result) bool {
		name, v := f.Get("name").Str, f.Get("value")
		if name == "" || v.Raw == "" {
			return true
		}
		if !first {
			b = append(b, ',')
		}
		first = false
		b = append(gjson.AppendJSONString(b, name), ':')
		b = append(b, v.Raw...)
		return true
	})
	return b
}

func (m *metarank) ranking(e *metarankEvent) ([]Row, error) {
	if !e.items.IsArray() {
		return nil, e.fault("a ranking without items")
	}
	b := m.head(e, "track", "Recommendation Viewed", 0)
	b = append(b, `,"properties":{"placement":"`+rankingPlacement+`"`...)
	b = e.context(b, e.id)
	b = append(b, `,"products":[`...)
	position := 0
	e.items.ForEach(func(_, it gjson.Result) bool {
		id := it.Get("id").String()
		if it.Type == gjson.String {
			id = it.Str
		}
		position++
		if id == "" {
			return true
		}
		if b[len(b)-1] != '[' {
			b = append(b, ',')
		}
		b = gjson.AppendJSONString(append(b, `{"product_id":`...), id)
		b = strconv.AppendInt(append(b, `,"position":`...), int64(position), 10)
		b = append(b, '}')
		return true
	})
	return e.rows(append(b, "]}}"...)), nil
}

// context appends what ranking and interaction have in common.
func (e *metarankEvent) context(b []byte, ranking string) []byte {
	if ranking != "" {
		b = gjson.AppendJSONString(append(b, `,"ranking_id":`...), ranking)
	}
	if e.session != "" && e.user != "" && e.session != e.user {
		b = gjson.AppendJSONString(append(b, `,"session_id":`...), e.session)
	}
	return b
}

func (m *metarank) interaction(e *metarankEvent) ([]Row, error) {
	if e.item == "" || e.action == "" {
		return nil, e.fault("an interaction without item or type")
	}
	about := func(name string, part int) []byte {
		b := m.head(e, "track", name, part)
		b = gjson.AppendJSONString(append(b, `,"properties":{"product_id":`...), e.item)
		if e.ranking != "" {
			b = append(b, `,"placement":"`+rankingPlacement+`"`...)
		}
		return append(e.context(b, e.ranking), "}}"...)
	}
	switch e.action {
	case "click":
		return e.rows(about("Recommendation Clicked", 0), about("Product Viewed", 1)), nil
	case "view":
		return e.rows(about("Product Viewed", 0)), nil
	case "cart", "add_to_cart", "add-to-cart":
		return e.rows(about("Product Added", 0)), nil
	case "purchase", "buy", "order":
		b := m.head(e, "track", "Order Completed", 0)
		b = gjson.AppendJSONString(append(b, `,"properties":{"order_id":`...), m.ids.group(e.id+"/"+strconv.FormatInt(e.row, 10)))
		b = e.context(b, e.ranking)
		b = gjson.AppendJSONString(append(b, `,"products":[{"product_id":`...), e.item)
		return e.rows(append(b, "}]}}"...)), nil
	default:
		return e.rows(about(e.action, 0)), nil
	}
}
