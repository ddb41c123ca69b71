package attune

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
)

// A decision's record is most of what a busy server journals, so it has a form
// of its own: no names of fields, ids without what they share with the id
// before them, and what is the same for every item said once. It is a third of
// the JSON that was written before, and both are read.

// loggedFormat is the first byte of a decision log that is not JSON, which
// begins with a brace.
const loggedFormat = 1

// loggedMore is the first byte of a log that ends with what few decisions have,
// as JSON: it is format 1 otherwise, and what has none of it stays format 1.
const loggedMore = 2

// more is what few decisions have.
type more struct {
	Asked   []Ask             `json:"asked,omitempty"` // whole, in place of what format 1 says
	Dedup   bool              `json:"dedup,omitempty"`
	Content map[string]string `json:"content,omitempty"` // placement → name
}

// more returns what of d format 1 cannot say, nil when there is none.
func (d *DecisionLog) more() []byte {
	m := more{Dedup: d.Dedup}
	for i := range d.Asked {
		if a := &d.Asked[i]; a.Narrow != nil || len(a.Filters)+len(a.Facets) > 0 {
			m.Asked = d.Asked
		}
	}
	for name, a := range d.Placements {
		if a != nil && a.Content != nil {
			if m.Content == nil {
				m.Content = map[string]string{}
			}
			m.Content[name] = a.Content.Name
		}
	}
	if m.Asked == nil && !m.Dedup && m.Content == nil {
		return nil
	}
	raw, err := json.Marshal(&m)
	if err != nil {
		return nil // a log without it is better than none
	}
	return raw
}

// take puts what m says into d.
func (m *more) take(d *DecisionLog) {
	d.Dedup = m.Dedup
	if m.Asked != nil {
		d.Asked = m.Asked
	}
	for name, content := range m.Content {
		if a := d.Placements[name]; a != nil {
			a.Content = &Content{Name: content}
		}
	}
}

// What is said of an answer in one byte.
const (
	answerPlain   = 1 << iota // every propensity is 1, and not written
	answerShort               // every score has 32 bits
	answerExplain             // an explanation follows, as JSON
	answerNone                // there is no answer, and nothing follows
)

// How an input is written.
const (
	inputList = iota
	inputJSON
)

// Input is one thing that a decision read of a person: a list of ids, or,
// where List is nil, another value that has a form as JSON.
type Input struct {
	Name  string
	List  []string
	Value any
}

// AppendLog appends d in format 1, with inputs instead of d.Inputs and with
// the versions that its answers say instead of d.Versions. Attributes of items
// are left out: the catalog has them.
func (d *DecisionLog) AppendLog(b []byte, inputs []Input) []byte {
	few := d.more()
	format := byte(loggedFormat)
	if few != nil {
		format = loggedMore
	}
	w := logWriter{b: append(b, format)}
	w.text(d.ID)
	w.number(d.ProfileVersion)
	stale := byte(0)
	if d.Stale {
		stale = 1
	}
	w.b = append(w.b, stale)
	w.text(d.UserID)
	w.text(d.AnonymousID)
	w.b = binary.AppendVarint(w.b, int64(d.At))
	w.b = binary.AppendVarint(w.b, d.Micros)
	config, catalog := d.versions()
	w.number(config)
	w.number(catalog)
	w.placements(d.Placements)
	w.count(len(d.Asked))
	for i := range d.Asked {
		a := &d.Asked[i]
		w.text(a.ID)
		w.b = binary.AppendVarint(w.b, int64(a.Limit))
		w.text(a.Item)
		w.text(a.Query)
		w.ids(a.Items)
	}
	w.text(string(d.Context))
	w.count(len(inputs))
	for i := range inputs {
		w.input(&inputs[i])
	}
	w.count(len(d.Segments))
	for _, s := range d.Segments {
		w.text(s)
	}
	if few != nil {
		w.text(string(few))
	}
	return w.b
}

// versions returns those of the engine that answered: one made all answers.
func (d *DecisionLog) versions() (config, catalog uint64) {
	for _, a := range d.Placements {
		if a != nil && a.Config > 0 {
			return a.Config, a.Catalog
		}
	}
	return 0, 0
}

// logWriter appends the parts of a decision log.
type logWriter struct {
	b    []byte
	last string // the id before
}

func (w *logWriter) number(n uint64) { w.b = binary.AppendUvarint(w.b, n) }

func (w *logWriter) count(n int) { w.number(uint64(n)) } //nolint:gosec // a length

func (w *logWriter) text(s string) { w.b = append(binary.AppendUvarint(w.b, uint64(len(s))), s...) }

// halfByte is the most that half a byte says.
const halfByte = 15

// id appends how many bytes s shares with the id before it and how many
// follow, half a byte each, then those. Where half a byte is not enough for
// what follows, it is 15, and the length comes after.
func (w *logWriter) id(s string) {
	shared := 0
	for shared < min(len(s), len(w.last), halfByte) && s[shared] == w.last[shared] {
		shared++
	}
	w.last = s
	rest := s[shared:]
	if len(rest) < halfByte {
		w.b = append(w.b, byte(shared<<4|len(rest))) //nolint:gosec // two half bytes
	} else {
		w.b = append(w.b, byte(shared<<4|halfByte)) //nolint:gosec // two half bytes
		w.count(len(rest))
	}
	w.b = append(w.b, rest...)
}

func (w *logWriter) ids(list []string) {
	w.count(len(list))
	for _, s := range list {
		w.id(s)
	}
}

// placements appends the answers, sorted by name, so that equal decisions are
// equal bytes.
func (w *logWriter) placements(answers map[string]*Answer) {
	w.count(len(answers))
	if len(answers) == 1 {
		for name, a := range answers {
			w.text(name)
			w.answer(a)
		}
		return
	}
	for _, name := range slices.Sorted(maps.Keys(answers)) {
		w.text(name)
		w.answer(answers[name])
	}
}

func (w *logWriter) answer(a *Answer) {
	if a == nil {
		w.b = append(w.b, answerNone)
		return
	}
	flags := byte(answerPlain | answerShort)
	for i := range a.Items {
		if a.Items[i].Propensity != 1 {
			flags &^= answerPlain
		}
		if s := a.Items[i].Score; float64(float32(s)) != s {
			flags &^= answerShort
		}
	}
	var explain []byte
	if a.Explain != nil {
		if raw, err := json.Marshal(a.Explain); err == nil {
			explain, flags = raw, flags|answerExplain
		}
	}
	w.b = append(w.b, flags)
	w.text(a.Model)
	w.text(a.Experiment)
	w.text(a.Variant)
	w.text(a.Fallback)
	w.items(a.Items, flags)
	if explain != nil {
		w.text(string(explain))
	}
}

// items appends an answer's items. A reason is the number of one that was said
// before in this answer, or the next number and the words.
func (w *logWriter) items(items []Ranked, flags byte) {
	var few [halfByte]string
	said := few[:0]
	w.count(len(items))
	for i := range items {
		r := &items[i]
		w.id(r.ID)
		if flags&answerShort != 0 {
			w.b = binary.LittleEndian.AppendUint32(w.b, math.Float32bits(float32(r.Score)))
		} else {
			w.b = binary.LittleEndian.AppendUint64(w.b, math.Float64bits(r.Score))
		}
		if flags&answerPlain == 0 {
			w.b = binary.LittleEndian.AppendUint64(w.b, math.Float64bits(r.Propensity))
		}
		at := slices.Index(said, r.Reason)
		if at < 0 {
			w.count(len(said))
			w.text(r.Reason)
			said = append(said, r.Reason)
			continue
		}
		w.count(at)
	}
}

func (w *logWriter) input(in *Input) {
	w.text(in.Name)
	if in.List != nil {
		w.b = append(w.b, inputList)
		w.ids(in.List)
		return
	}
	raw, err := json.Marshal(in.Value)
	if err != nil {
		raw = []byte("null")
	}
	w.b = append(w.b, inputJSON)
	w.text(string(raw))
}

// LoggedID returns the id of the decision in the payload of a KindDecision, ""
// when payload is JSON.
func LoggedID(payload []byte) string {
	d := decoder{b: payload}
	if f := d.byte(); f != loggedFormat && f != loggedMore {
		return ""
	}
	return string(d.bytes())
}

// ReadLog decodes the payload of a KindDecision: what AppendLog wrote, or JSON.
// What it keeps of payload is copied. An error wraps ErrCorrupt.
func (d *DecisionLog) ReadLog(payload []byte) error {
	*d = DecisionLog{}
	if len(payload) > 0 && payload[0] != loggedFormat && payload[0] != loggedMore {
		if err := json.Unmarshal(payload, d); err != nil {
			return fmt.Errorf("decision log of %d bytes: %w: %w", len(payload), ErrCorrupt, err)
		}
		return nil
	}
	r := logReader{decoder: decoder{b: payload}}
	format := r.byte()
	d.ID = r.text()
	d.ProfileVersion = r.uvarint()
	d.Stale = r.byte() == 1
	d.UserID, d.AnonymousID = r.text(), r.text()
	d.At, d.Micros = Millis(r.varint()), r.varint()
	if config, catalog := r.uvarint(), r.uvarint(); config > 0 {
		d.Versions = map[string]uint64{"config": config, "catalog": catalog}
	}
	d.Placements = r.placements()
	for range r.count() {
		d.Asked = append(d.Asked, Ask{ID: r.text(), Limit: int(r.varint()), Item: r.text(), Query: r.text(), Items: r.ids()})
	}
	if raw := r.bytes(); len(raw) > 0 {
		d.Context = slices.Clone(json.RawMessage(raw))
	}
	d.Inputs = r.inputs()
	for range r.count() {
		d.Segments = append(d.Segments, r.text())
	}
	if format == loggedMore {
		var m more
		if json.Unmarshal(r.bytes(), &m) != nil {
			r.fail()
		}
		m.take(d)
	}
	if r.bad || len(r.b) > 0 {
		*d = DecisionLog{}
		return fmt.Errorf("decision log of %d bytes: %w", len(payload), ErrCorrupt)
	}
	return nil
}

// logReader reads the parts of a decision log.
type logReader struct {
	decoder

	last string // the id before
}

func (r *logReader) text() string { return string(r.bytes()) }

// count reads how many parts follow, each of which has a byte at least: more
// than that is a fault, found before memory is asked for.
func (r *logReader) count() int {
	n := r.uvarint()
	if n > uint64(len(r.b)) {
		r.fail()
		return 0
	}
	return int(n) //nolint:gosec // at most the length of a slice
}

func (r *logReader) id() string {
	c := r.byte()
	shared, rest := int(c>>4), int(c&halfByte)
	if rest == halfByte {
		rest = r.count()
	}
	if r.bad || shared > len(r.last) || rest > len(r.b) {
		r.fail()
		return ""
	}
	r.last = r.last[:shared] + string(r.b[:rest])
	r.b = r.b[rest:]
	return r.last
}

func (r *logReader) ids() []string {
	n := r.count()
	if n == 0 {
		return nil
	}
	list := make([]string, 0, n)
	for range n {
		list = append(list, r.id())
	}
	return list
}

func (r *logReader) placements() map[string]*Answer {
	n := r.count()
	answers := make(map[string]*Answer, n)
	for range n {
		name := r.text()
		answers[name] = r.answer()
	}
	return answers
}

func (r *logReader) answer() *Answer {
	flags := r.byte()
	if flags&answerNone != 0 {
		return nil
	}
	a := &Answer{Model: r.text(), Experiment: r.text(), Variant: r.text(), Fallback: r.text()}
	a.Items = r.items(flags)
	if flags&answerExplain != 0 {
		a.Explain = new(Explanation)
		if json.Unmarshal(r.bytes(), a.Explain) != nil {
			r.fail()
		}
	}
	return a
}

func (r *logReader) items(flags byte) []Ranked {
	n := r.count()
	items := make([]Ranked, 0, n)
	var said []string
	for range n {
		one := Ranked{ID: r.id(), Propensity: 1}
		if flags&answerShort != 0 {
			one.Score = loggedScore(float64(math.Float32frombits(uint32(r.fixed(4))))) //nolint:gosec // 32 bits were read
		} else {
			one.Score = loggedScore(math.Float64frombits(r.fixed(8)))
		}
		if flags&answerPlain == 0 {
			one.Propensity = finite(math.Float64frombits(r.fixed(8)))
		}
		switch at := r.uvarint(); {
		case at < uint64(len(said)):
			one.Reason = said[at]
		case at == uint64(len(said)):
			one.Reason = r.text()
			said = append(said, one.Reason)
		default:
			r.fail()
		}
		items = append(items, one)
	}
	return items
}

// fixed reads a number of so many bytes, the lowest first.
func (r *logReader) fixed(size int) uint64 {
	if len(r.b) < size {
		r.fail()
		return 0
	}
	var raw [8]byte
	copy(raw[:], r.b[:size])
	r.b = r.b[size:]
	return binary.LittleEndian.Uint64(raw[:])
}

// loggedScore is a score as it was answered: whole, or with the six digits of
// it that mean something.
func loggedScore(f float64) float64 {
	if f == math.Trunc(f) && math.Abs(f) < 1e15 {
		return f
	}
	v, _ := strconv.ParseFloat(strconv.FormatFloat(finite(f), 'g', 6, 64), 64)
	return v
}

// finite is f, 0 where JSON could not say it.
func finite(f float64) float64 {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return 0
	}
	return f
}

func (r *logReader) inputs() map[string]any {
	n := r.count()
	if n == 0 {
		return nil
	}
	inputs := make(map[string]any, n)
	for range n {
		name := r.text()
		switch r.byte() {
		case inputList:
			ids := r.ids()
			list := make([]any, len(ids)) // as JSON is decoded
			for i, id := range ids {
				list[i] = id
			}
			inputs[name] = list
		case inputJSON:
			var v any
			if json.Unmarshal(r.bytes(), &v) != nil {
				r.fail()
			}
			inputs[name] = v
		default:
			r.fail()
		}
	}
	return inputs
}
