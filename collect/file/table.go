package file

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tidwall/gjson"

	"github.com/attune-io/attune"
)

const (
	maxWindow  = 100_000 // rows
	maxColumns = 2000
	// maxGroup bounds the product lines of one event, in bytes.
	maxGroup = 2 << 20
	// maxClosed is how many closed groups are remembered, so that a row that
	// comes too late for its own is a fault and not lost without a word.
	maxClosed = 1 << 20
)

// table reads a table by its mapping.
type table struct {
	recs     *records
	m        *Mapping
	ids      ids
	shift    attune.Millis
	excluded map[string]int64

	index map[string]int // column → place
	own   int            // columns of the file
	width int            // places of a row before those of m.made
	order []*group       // open groups, the longest untouched first
	open  map[groupKey]*group
	done  map[uint64]struct{} // hashes of closed groups
	ended bool
	text  string // the time read last, and what it is: neighbours share one
	last  attune.Millis
}

type groupKey struct {
	rule  int
	value string
}

// group is an event whose rows are still coming.
type group struct {
	key      groupKey
	rule     *Rule
	row      int64 // its first
	touched  int64 // its newest
	time     attune.Millis
	head     []string // the first row's columns
	products []byte   // JSON lines, with commas
	sums     []int64  // of rule.properties
}

func newTable(l *lines, o *Options, ids ids, excluded map[string]int64) (*table, error) {
	m := o.Mapping
	comma := byte(',')
	if o.Format == TSV {
		comma = '\t'
	}
	if m.Delimiter != "" {
		comma = m.Delimiter[0]
	}
	t := &table{
		recs: &records{lines: l, comma: comma, limit: o.MaxLine}, m: m, ids: ids, shift: o.Shift, excluded: excluded,
		index: map[string]int{}, open: map[groupKey]*group{}, done: map[uint64]struct{}{},
	}
	if o.Format == Combined {
		if err := t.beginLog(); err != nil {
			return nil, err
		}
		return t, t.known(append(logColumns(), m.Fields...))
	}
	if err := t.recs.next(); err != nil {
		if errors.Is(err, io.EOF) {
			t.ended = true // an empty file has no header and no rows
			return t, nil
		}
		return nil, fmt.Errorf("header: %w", err)
	}
	if len(t.recs.fields) > maxColumns {
		return nil, fmt.Errorf("header: %d columns, at most %d: %w", len(t.recs.fields), maxColumns, attune.ErrInvalid)
	}
	var names []string
	for i, f := range t.recs.fields {
		name := string(bytes.TrimSpace(f))
		names = append(names, name)
		if _, twice := t.index[name]; !twice {
			t.index[name] = i
		}
	}
	return t, t.known(names)
}

// known checks that the file, whose columns are names, has every column that the
// mapping names, and gives those it makes a place.
func (t *table) known(names []string) error {
	var errs []error
	t.own, t.width = len(t.index), len(names)
	for i, name := range t.m.made {
		if _, twice := t.index[name]; twice {
			errs = append(errs, fmt.Errorf("mapping: extract.%s: is a column of the file already: %w", name, attune.ErrInvalid))
			continue
		}
		t.index[name] = t.width + i
	}
	t.m.columns(func(path, column string) {
		if _, ok := t.index[column]; !ok {
			errs = append(errs, fmt.Errorf("mapping: %s: the file has no column %q; it has %s: %w", path, column, strings.Join(names, ", "), attune.ErrInvalid))
		}
	})
	slices.SortFunc(errs, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	return errors.Join(errs...)
}

// next returns the next event that is whole.
func (t *table) next() (Row, error) {
	for {
		if len(t.order) > 0 && (t.ended || t.recs.row-t.order[0].touched > int64(t.m.Window)) {
			return t.close(t.order[0])
		}
		if t.ended {
			return Row{}, io.EOF
		}
		err := t.recs.next()
		if errors.Is(err, io.EOF) {
			t.ended = true
			continue
		}
		if err != nil {
			return Row{}, err
		}
		row, whole, err := t.row()
		if err != nil || whole {
			return row, err
		}
	}
}

// col returns a column of the record at hand.
func (t *table) col(name string) string {
	return string(bytes.TrimSpace(t.recs.fields[t.index[name]]))
}

func (t *table) fault(format string, args ...any) error {
	return faultAt(t.recs.row, t.recs.raw, format, args...)
}

// row takes the record at hand; whole says that it made an event by itself.
func (t *table) row() (row Row, whole bool, err error) {
	if got := len(t.recs.fields); got < t.own {
		return Row{}, false, t.fault("the row has %d fields, the header has %d", got, t.own)
	}
	t.extract()
	if l := t.recs.log; l != nil && l.robot(t.col("agent")) {
		t.excluded[robotLine]++
		return Row{}, false, nil
	}
	rule, err := t.rule()
	if err != nil {
		return Row{}, false, err
	}
	r := &t.m.Rules[rule]
	if r.Exclude != "" {
		t.excluded[r.Exclude]++
		return Row{}, false, nil
	}
	at, err := t.time()
	if err != nil {
		return Row{}, false, err
	}
	if t.m.Group == "" {
		g := &group{rule: r, row: t.recs.row, time: at, sums: make([]int64, len(r.properties))}
		if err := t.add(g); err != nil {
			return Row{}, false, err
		}
		row, err := t.event(g, t.ids.row(g.row, 0), t.col)
		return row, true, err
	}
	return Row{}, false, t.join(rule, at)
}

// extract appends the columns that the mapping makes to the record at hand.
func (t *table) extract() {
	if len(t.m.made) == 0 {
		return
	}
	fields := t.recs.fields[:min(len(t.recs.fields), t.width)]
	for len(fields) < t.width {
		fields = append(fields, nil)
	}
	t.recs.fields = fields
	for _, name := range t.m.made {
		x := t.m.Extract[name]
		t.recs.fields = append(t.recs.fields, []byte(x.of(t.col(x.Column))))
	}
}

// rule returns the first rule that takes the record.
func (t *table) rule() (int, error) {
	for i := range t.m.Rules {
		holds, err := t.holds(t.m.Rules[i].When)
		if err != nil {
			return 0, err
		}
		if holds {
			return i, nil
		}
	}
	return 0, t.fault("no rule of the mapping says what this row is")
}

func (t *table) holds(when []Condition) (bool, error) {
	for i := range when {
		c := &when[i]
		v := t.col(c.Column)
		switch {
		case c.Is != nil && v != *c.Is,
			c.OneOf != nil && !slices.Contains(c.OneOf, v),
			!strings.HasPrefix(v, c.Prefix),
			c.matches != nil && !c.matches.MatchString(v):
			return false, nil
		}
		if c.AtMost == nil && c.AtLeast == nil {
			continue
		}
		n, ok := number(v)
		if !ok {
			return false, t.fault("%s: %q is no number", c.Column, clip(v))
		}
		if c.AtMost != nil && n > *c.AtMost || c.AtLeast != nil && n < *c.AtLeast {
			return false, nil
		}
	}
	return true, nil
}

// time reads the record's time. Neighbours often share one.
func (t *table) time() (attune.Millis, error) {
	v := t.col(t.m.Time.Column)
	if v == t.text && v != "" {
		return t.last, nil
	}
	var at attune.Millis
	if t.m.Time.Layout == "" {
		var ok bool
		if at, ok = instant(v); !ok {
			return 0, t.fault("%s: %q is no time that is understood; give time.layout", t.m.Time.Column, clip(v))
		}
	} else {
		parsed, err := time.ParseInLocation(t.m.Time.Layout, v, t.m.zone)
		if err != nil || parsed.UnixMilli() <= 0 {
			return 0, t.fault("%s: %q is not written as time.layout says (%s)", t.m.Time.Column, clip(v), t.m.Time.Layout)
		}
		at = attune.MillisOf(parsed)
	}
	t.text, t.last = v, at+t.shift
	return t.last, nil
}

// join adds the record to its group.
func (t *table) join(rule int, at attune.Millis) error {
	key := groupKey{rule, t.col(t.m.Group)}
	if key.value == "" {
		return t.fault("%s is empty, and the mapping groups by it", t.m.Group)
	}
	g := t.open[key]
	if g == nil {
		return t.begin(key, at)
	}
	if err := t.add(g); err != nil {
		return err
	}
	if last := len(t.order) - 1; t.order[last] != g {
		i := slices.Index(t.order, g)
		t.order = append(slices.Delete(t.order, i, i+1), g)
	}
	g.touched = t.recs.row
	return nil
}

// begin opens a group with the record as its first.
func (t *table) begin(key groupKey, at attune.Millis) error {
	if _, late := t.done[key.hash()]; late {
		return t.fault("%s %q went on more than %d rows after its last row; sort the file, or raise window", t.m.Group, clip(key.value), t.m.Window)
	}
	rule := &t.m.Rules[key.rule]
	g := &group{key: key, rule: rule, row: t.recs.row, touched: t.recs.row, time: at, sums: make([]int64, len(rule.properties))}
	for _, f := range t.recs.fields {
		g.head = append(g.head, string(bytes.TrimSpace(f)))
	}
	if err := t.add(g); err != nil {
		return err
	}
	t.open[key] = g
	t.order = append(t.order, g)
	return nil
}

func (k groupKey) hash() uint64 { return attune.Hash(strconv.Itoa(k.rule) + " " + k.value) }

// add takes the record's product line and sums into g, or nothing of it.
func (t *table) add(g *group) error {
	for i := range g.rule.properties {
		if cols := g.rule.properties[i].value.Sum; len(cols) > 0 {
			if _, err := product(cols, t.col); err != nil {
				return t.fault("%v", err)
			}
		}
	}
	if g.rule.needsProducts {
		before := len(g.products)
		b := g.products
		if before > 0 {
			b = append(b, ',')
		}
		b, err := t.object(b, g.rule.of, t.col, nil)
		if err != nil {
			g.products = g.products[:before]
			return t.fault("%v", err)
		}
		if len(b) > maxGroup {
			return t.fault("%s %q has more lines than fit one event (%d bytes)", t.m.Group, clip(g.key.value), maxGroup)
		}
		g.products = b
	}
	for i := range g.rule.properties {
		if cols := g.rule.properties[i].value.Sum; len(cols) > 0 {
			n, _ := product(cols, t.col) // it was looked at above
			g.sums[i] += n
		}
	}
	return nil
}

// object appends members as a JSON object.
func (*table) object(b []byte, of []member, col func(string) string, sums []int64) ([]byte, error) {
	b = append(b, '{')
	for i := range of {
		var sum int64
		if sums != nil {
			sum = sums[i]
		}
		var err error
		if b, err = of[i].appendMember(b, col, sum); err != nil {
			return b, err
		}
	}
	return append(b, '}'), nil
}

// close makes g's event and forgets its rows.
func (t *table) close(g *group) (Row, error) {
	t.order = t.order[1:]
	delete(t.open, g.key)
	if len(t.done) >= maxClosed {
		clear(t.done)
	}
	t.done[g.key.hash()] = struct{}{}
	// Not the rule's number: rules come and go, and the ids have to stay.
	return t.event(g, t.ids.group(g.rule.Type+" "+g.rule.Event+" "+g.key.value), func(c string) string { return g.head[t.index[c]] })
}

// event makes the call that g is.
func (t *table) event(g *group, id string, col func(string) string) (Row, error) {
	r := g.rule
	bad := func(err error) (Row, error) {
		return Row{}, faultAt(g.row, []byte(strings.Join(g.head, ",")), "%v", err)
	}
	user, err := r.user.eval(col)
	if err != nil {
		return bad(err)
	}
	anonymous, err := r.anonymous.eval(col)
	if err != nil {
		return bad(err)
	}
	if user == "" && anonymous == "" {
		if anonymous, err = r.guest.eval(col); err != nil {
			return bad(err)
		}
	}
	b := make([]byte, 0, 256+len(g.products))
	b = append(b, `{"type":`...)
	b = gjson.AppendJSONString(b, r.Type)
	for _, f := range [...]struct{ name, value string }{
		{`,"event":`, r.Event}, {`,"messageId":`, id}, {`,"userId":`, user}, {`,"anonymousId":`, anonymous},
	} {
		if f.value != "" {
			b = gjson.AppendJSONString(append(b, f.name...), f.value)
		}
	}
	b = gjson.AppendJSONString(append(b, `,"timestamp":`...), g.time.String())
	if t.recs.log != nil {
		b = t.recs.log.context(b, col)
	}
	if len(r.traits) > 0 {
		if b, err = t.object(append(b, `,"traits":`...), r.traits, col, nil); err != nil {
			return bad(err)
		}
	}
	if len(r.properties) > 0 || r.needsProducts {
		if b, err = t.object(append(b, `,"properties":`...), r.properties, col, g.sums); err != nil {
			return bad(err)
		}
		if r.needsProducts {
			b = b[:len(b)-1]
			if b[len(b)-1] != '{' {
				b = append(b, ',')
			}
			b = append(append(append(b, `"products":[`...), g.products...), ']', '}')
		}
	}
	return Row{Number: g.row, Event: append(b, '}'), Time: g.time}, nil
}
