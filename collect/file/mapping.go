package file

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"
	_ "time/tzdata" // zones are named in mappings, and not every machine has them

	"github.com/goccy/go-yaml"

	"github.com/attune-io/attune"
)

// Mapping says what the columns of a table mean. It is written in YAML:
//
//	delimiter: ","                  # one byte; "\t" for TSV, which is also the default there
//	time:
//	  column: InvoiceDate
//	  layout: "2006-01-02 15:04:05" # as Go's time package writes it; empty: RFC 3339, or milliseconds since 1970
//	  zone: Europe/London           # of layouts without one; empty is UTC
//	group: InvoiceNo                # rows with one value make one event; empty: a row is an event
//	window: 1000                    # rows of one value lie at most this far apart
//	rules:                          # the first one whose every condition holds decides what a row is
//	  - exclude: postage            # leave the row out, and count it under this reason
//	    when: [{column: StockCode, matches: "^POST$"}]
//	  - event: Order Completed      # the name of a track event
//	    user_id: "{CustomerID|int}"
//	    guest_id: "guest-{InvoiceNo}"
//	    properties:
//	      order_id: "{InvoiceNo}"
//	      currency: {value: GBP}
//	      revenue: {sum: [Quantity, UnitPrice]}
//	    products:
//	      product_id: "{StockCode}"
//	      quantity: {column: Quantity, type: integer}
//
// Parts of columns can be columns of their own, in every format:
//
//	extract:
//	  sku: {column: path, matches: "^/p/([^/]+)"}
//	  q: {column: query, param: q}
//	  visitor: {column: cookie, cookie: uid}
//
// An access log (format combined) has the columns host, ident, user, time,
// method, path, query, status, bytes, referrer and agent, then those of fields,
// which name what the log's format writes behind them. Its time is in the layout
// "02/Jan/2006:15:04:05 -0700". Lines of robots are left out unless robots is
// true; host, agent, page and referrer are in the event's context.
//
// A row that no rule takes is a fault. Rows that different rules take are never
// in one event. A group's event has the time and the columns of its first row;
// products has a line for each row, and sum adds over all rows.
//
// A Mapping that was parsed may be used by many Readers at once.
type Mapping struct {
	Delimiter string `yaml:"delimiter"`
	Time      Clock  `yaml:"time"`
	Group     string `yaml:"group"`
	Window    int    `yaml:"window"`
	Rules     []Rule `yaml:"rules"`

	Extract map[string]Extract `yaml:"extract"`
	Fields  []string           `yaml:"fields"` // of an access log
	Robots  bool               `yaml:"robots"` // of an access log: they are events too

	zone *time.Location
	made []string // the names of Extract, sorted
}

// Clock says where the time is.
type Clock struct {
	Column string `yaml:"column"`
	Layout string `yaml:"layout"`
	Zone   string `yaml:"zone"`
}

// Rule says what the rows are that meet its conditions.
type Rule struct {
	// When are conditions that have to hold together; none always holds.
	When []Condition `yaml:"when"`
	// Exclude leaves the row out for this reason. It stands alone.
	Exclude string `yaml:"exclude"`
	// Type is the call; "" is track, which needs Event.
	Type  string `yaml:"type"`
	Event string `yaml:"event"`

	// The ids are templates; one that comes out empty is left away. GuestID is
	// the anonymousId when the other two are empty.
	UserID      string `yaml:"user_id"`
	AnonymousID string `yaml:"anonymous_id"`
	GuestID     string `yaml:"guest_id"`

	Properties map[string]Value `yaml:"properties"`
	Traits     map[string]Value `yaml:"traits"`
	Products   map[string]Value `yaml:"products"`

	user, anonymous, guest     template
	properties, traits, of     []member // sorted by name
	needsProducts, isTrackCall bool
}

// Condition looks at one column; every field that is set has to hold. Columns
// are compared without the blanks around them.
type Condition struct {
	Column  string   `yaml:"column"`
	Is      *string  `yaml:"is"`
	OneOf   []string `yaml:"one_of"`
	Prefix  string   `yaml:"prefix"`
	Matches string   `yaml:"matches"` // RE2
	AtMost  *float64 `yaml:"at_most"` // a column that is no number is a fault
	AtLeast *float64 `yaml:"at_least"`

	matches *regexp.Regexp
}

// Value is what a property gets: a template as plain text, or one of column,
// value and sum.
type Value struct {
	// Template is text with columns in braces: "guest-{InvoiceNo}", and
	// changes behind a bar: "{CustomerID|int}" ("17850.0" is 17850), lower,
	// upper, hash (a name for an address that is not to be said). It is empty when a column it names is empty.
	Template string
	Column   string   `yaml:"column"`
	Type     string   `yaml:"type"` // of a column: string (the default), number, integer, boolean
	Value    any      `yaml:"value"`
	Sum      []string `yaml:"sum"` // Σ over the rows of the product of these columns, to 1e-6
}

// UnmarshalYAML takes a template as plain text, or the fields.
func (v *Value) UnmarshalYAML(decode func(any) error) error {
	var text string
	if decode(&text) == nil {
		v.Template = text
		return nil
	}
	type fields struct {
		Column string   `yaml:"column"`
		Type   string   `yaml:"type"`
		Value  any      `yaml:"value"`
		Sum    []string `yaml:"sum"`
	}
	var f fields
	if err := decode(&f); err != nil {
		return err
	}
	v.Column, v.Type, v.Value, v.Sum = f.Column, f.Type, f.Value, f.Sum
	return nil
}

// member is a Value under its name.
type member struct {
	name     string
	value    Value
	template template
	constant []byte // JSON; nil when it is none
}

// maxRules bounds a mapping.
const maxRules = 1000

// ParseMapping reads a mapping. The error, which wraps attune.ErrInvalid, lists
// every fault with its place.
func ParseMapping(text []byte) (*Mapping, error) {
	m := &Mapping{}
	if err := yaml.NewDecoder(bytes.NewReader(text), yaml.Strict()).Decode(m); err != nil {
		return nil, fmt.Errorf("%w: %w", attune.ErrInvalid, err)
	}
	var errs []error
	fault := func(path, format string, args ...any) {
		errs = append(errs, fmt.Errorf("%s: "+format+": %w", append(append([]any{path}, args...), attune.ErrInvalid)...))
	}
	if len(m.Delimiter) > 1 || m.Delimiter == `"` || m.Delimiter == "\n" {
		fault("delimiter", "%q; want one byte, as , or ; or a tab", m.Delimiter)
	}
	if m.Window < 0 || m.Window > maxWindow {
		fault("window", "%d; want 1 to %d rows", m.Window, maxWindow)
	}
	m.Window = cmp.Or(m.Window, 1000)
	m.zone = time.UTC
	if m.Time.Zone != "" {
		zone, err := time.LoadLocation(m.Time.Zone)
		if err != nil {
			fault("time.zone", "%q is not known; want a name as Europe/London", m.Time.Zone)
		} else {
			m.zone = zone
		}
	}
	if m.Time.Column == "" {
		fault("time.column", "is missing; name the column that says when it happened")
	}
	m.made = slices.Sorted(maps.Keys(m.Extract))
	for _, name := range m.made {
		x := m.Extract[name]
		x.compile("extract."+name, fault)
		if _, made := m.Extract[x.Column]; made {
			fault("extract."+name+".column", "%q is made by extract itself; name a column of the file", x.Column)
		}
		m.Extract[name] = x
	}
	if len(m.Rules) == 0 || len(m.Rules) > maxRules {
		fault("rules", "%d; want 1 to %d", len(m.Rules), maxRules)
	}
	for i := range m.Rules {
		m.Rules[i].compile(fmt.Sprintf("rules[%d]", i), fault)
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return m, nil
}

type faulter func(path, format string, args ...any)

// compile checks r and makes what reading a row needs.
func (r *Rule) compile(path string, fault faulter) {
	for i := range r.When {
		c := &r.When[i]
		if c.Column == "" {
			fault(fmt.Sprintf("%s.when[%d].column", path, i), "is missing")
		}
		if c.Matches != "" {
			var err error
			if c.matches, err = regexp.Compile(c.Matches); err != nil {
				fault(fmt.Sprintf("%s.when[%d].matches", path, i), "%v", err)
			}
		}
	}
	if r.Exclude != "" {
		if r.Event != "" || r.Type != "" || r.Properties != nil || r.Products != nil || r.Traits != nil {
			fault(path+".exclude", "stands alone: a row that is left out is no event")
		}
		return
	}
	kind := cmp.Or(r.Type, attune.Track.String())
	r.isTrackCall = kind == attune.Track.String()
	switch {
	case attune.ParseType(kind) == attune.Unknown:
		fault(path+".type", "%q; want track, identify, page, screen, group or alias", r.Type)
	case r.isTrackCall && r.Event == "":
		fault(path+".event", "is missing; name the event, or leave the rows out with exclude")
	}
	r.Type = kind
	for _, t := range [...]struct {
		name string
		text string
		to   *template
	}{{"user_id", r.UserID, &r.user}, {"anonymous_id", r.AnonymousID, &r.anonymous}, {"guest_id", r.GuestID, &r.guest}} {
		var err error
		if *t.to, err = parseTemplate(t.text); err != nil {
			fault(path+"."+t.name, "%v", err)
		}
	}
	if r.UserID == "" && r.AnonymousID == "" && r.GuestID == "" {
		fault(path+".user_id", "is missing, and so are anonymous_id and guest_id; say who it was")
	}
	r.properties = members(r.Properties, path+".properties", fault)
	r.traits = members(r.Traits, path+".traits", fault)
	r.of = members(r.Products, path+".products", fault)
	r.needsProducts = len(r.of) > 0
	for _, m := range r.of {
		if len(m.value.Sum) > 0 {
			fault(path+".products."+m.name, "sum adds over rows, and a product is one row")
		}
	}
}

// members compiles values, in the order of their names.
func members(of map[string]Value, path string, fault faulter) []member {
	var out []member
	for name, v := range of {
		m := member{name: name, value: v}
		at := path + "." + name
		var err error
		switch {
		case v.Column != "" && (v.Template != "" || v.Value != nil || v.Sum != nil), v.Value != nil && v.Sum != nil:
			fault(at, "want one of a template, column, value and sum")
		case v.Value != nil:
			if m.constant, err = constant(v.Value); err != nil {
				fault(at+".value", "%v", err)
			}
		case v.Template != "":
			if m.template, err = parseTemplate(v.Template); err != nil {
				fault(at, "%v", err)
			}
		case v.Column == "" && len(v.Sum) == 0:
			fault(at, "is empty; want a template, column, value or sum")
		}
		if v.Type != "" && !slices.Contains([]string{"string", "number", "integer", "boolean"}, v.Type) {
			fault(at+".type", "%q; want string, number, integer or boolean", v.Type)
		}
		out = append(out, m)
	}
	slices.SortFunc(out, func(a, b member) int { return strings.Compare(a.name, b.name) })
	return out
}

// columns calls need for every column that m names.
func (m *Mapping) columns(need func(path, column string)) {
	need("time.column", m.Time.Column)
	for _, name := range m.made {
		need("extract."+name+".column", m.Extract[name].Column)
	}
	if m.Group != "" {
		need("group", m.Group)
	}
	for i := range m.Rules {
		r := &m.Rules[i]
		path := fmt.Sprintf("rules[%d]", i)
		for j := range r.When {
			need(fmt.Sprintf("%s.when[%d].column", path, j), r.When[j].Column)
		}
		for name, t := range map[string]template{"user_id": r.user, "anonymous_id": r.anonymous, "guest_id": r.guest} {
			t.columns(func(c string) { need(path+"."+name, c) })
		}
		for name, list := range map[string][]member{"properties": r.properties, "traits": r.traits, "products": r.of} {
			for k := range list {
				at := path + "." + name + "." + list[k].name
				list[k].template.columns(func(c string) { need(at, c) })
				if c := list[k].value.Column; c != "" {
					need(at, c)
				}
				for _, c := range list[k].value.Sum {
					need(at, c)
				}
			}
		}
	}
}
