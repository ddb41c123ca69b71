package profile

import (
	"encoding/binary"
	"fmt"
	"unique"

	"github.com/attune-io/attune"
)

// partFormat is the first byte of every stored part. Format 2: the position,
// then the state: everything else, varint-framed. Format 1, which is read, has
// no external ids, and edges without flags.
const (
	partFormat  = 2
	partFormat1 = 1
)

// The flags of a stored edge; its By follows when it has one.
const (
	edgeRemoved = 1 << iota
	edgeBy
)

// AppendPart appends p in part format 2, with its position and without the
// entries of its deduplication set, which are stored beside it.
func (f *Folder) AppendPart(p *Part, b []byte) []byte {
	b = append(b, partFormat)
	b = binary.AppendUvarint(b, p.Applied)
	return f.appendState(p, b)
}

// AppendState appends what p says, and what it knows of messages, without any
// position: the same records give the same bytes, whatever the number of
// partitions and however often the tail was replayed. It is for comparing;
// nothing decodes it. p's deduplication set must be loaded.
func (f *Folder) AppendState(p *Part, b []byte) []byte {
	return p.Seen.appendMessages(f.appendState(p, b))
}

func (f *Folder) appendState(p *Part, b []byte) []byte {
	b = appendString(b, p.Key)
	b = binary.AppendVarint(b, int64(p.Received))
	b = binary.AppendVarint(b, int64(p.Visitor))
	b = binary.AppendUvarint(b, uint64(len(p.Closed)))
	for i := range p.Closed {
		b = f.appendStretch(&p.Closed[i], b)
	}
	b = f.appendStretch(&p.Last, b)
	b = binary.AppendUvarint(b, uint64(len(p.Links)))
	for _, l := range p.Links {
		b = appendString(b, l.Device)
		b = appendBool(b, l.Verified)
		b = binary.AppendVarint(b, int64(l.Time))
	}
	b = binary.AppendUvarint(b, uint64(len(p.Evicted)))
	for _, id := range p.Evicted {
		b = appendString(b, id)
	}
	b = binary.AppendUvarint(b, uint64(len(p.Edges)))
	for i := range p.Edges {
		e := &p.Edges[i]
		b = appendString(appendString(b, e.From), e.To)
		b = binary.AppendVarint(b, int64(e.Time))
		b = appendString(b, e.MessageID)
		b = appendEdgeFlags(b, e)
	}
	b = appendExternals(b, p)
	b = binary.AppendUvarint(b, p.Seen.first)
	b = binary.AppendUvarint(b, p.Seen.next)
	return binary.AppendVarint(b, int64(p.Seen.newest))
}

func (f *Folder) appendStretch(s *Stretch, b []byte) []byte {
	b = appendString(appendString(b, s.Owner), s.Prev)
	st := &s.State
	b = binary.AppendUvarint(b, uint64(st.Events)) //nolint:gosec // a count
	b = binary.AppendVarint(b, int64(st.First))
	b = binary.AppendVarint(b, int64(st.Last))
	b = binary.AppendVarint(b, int64(st.Consent.Time))
	if st.Consent.Time != 0 {
		b = binary.LittleEndian.AppendUint64(b, st.Consent.Tie)
		b = appendBool(b, st.Consent.Granted)
		b = appendString(b, st.Consent.Categories)
	}
	b = binary.AppendUvarint(b, uint64(len(st.Traits)))
	for i := range st.Traits {
		t := &st.Traits[i]
		b = appendString(appendString(b, t.Path), t.Value)
		b = append(b, byte(t.Rank))
		b = binary.AppendVarint(b, int64(t.Time))
		b = binary.LittleEndian.AppendUint64(b, t.Tie)
	}
	if st.Events == 0 {
		return b
	}
	// The length comes before the features, in four bytes, since it is only
	// known after them.
	at := len(b)
	b = f.Features.AppendBinary(&st.Features, append(b, 0, 0, 0, 0))
	binary.LittleEndian.PutUint32(b[at:], uint32(len(b)-at-4)) //nolint:gosec // a part is far below 4 GB
	return b
}

func appendString(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

//revive:disable-next-line:flag-parameter // the flag is the value.
func appendBool(b []byte, v bool) []byte {
	if v {
		return append(b, 1)
	}
	return append(b, 0)
}

// DecodePart reads what AppendPart wrote, and does not keep b. The entries of
// the deduplication set are not in it: before p is folded on they have to be
// loaded, which Parts does. An error wraps attune.ErrCorrupt.
func (f *Folder) DecodePart(b []byte) (*Part, error) {
	d := decoder{b: b}
	format := d.byte()
	if format != partFormat && format != partFormat1 && !d.bad {
		return nil, fmt.Errorf("part format %d, this build reads %d and %d: %w", format, partFormat1, partFormat, attune.ErrCorrupt)
	}
	p := &Part{Applied: d.uvarint(), Key: d.string(), Received: d.millis(), Visitor: d.millis()}
	for range d.count(maxClosed) {
		s, err := f.decodeStretch(&d)
		if err != nil {
			return nil, fmt.Errorf("part %q: %w", p.Key, err)
		}
		p.Closed = append(p.Closed, s)
	}
	var err error
	if p.Last, err = f.decodeStretch(&d); err != nil {
		return nil, fmt.Errorf("part %q: %w", p.Key, err)
	}
	for range d.count(maxLinks) {
		p.Links = append(p.Links, Link{Device: d.string(), Verified: d.bool(), Time: d.millis()})
	}
	for range d.count(maxEvicted) {
		p.Evicted = append(p.Evicted, d.string())
	}
	for range d.count(maxEdges) {
		e := Edge{From: d.string(), To: d.string(), Time: d.millis(), MessageID: d.string()}
		if format != partFormat1 {
			d.edgeFlags(&e)
		}
		p.Edges = append(p.Edges, e)
	}
	if format != partFormat1 {
		d.externals(p)
	}
	s := &p.Seen
	s.first, s.next, s.newest = d.uvarint(), d.uvarint(), d.millis()
	if d.bad || len(d.b) > 0 || s.first > s.next || s.next-s.first > seenMax {
		return nil, fmt.Errorf("part %q of %d bytes: %w", p.Key, len(b), attune.ErrCorrupt)
	}
	s.base = s.first / seenChunk * seenChunk
	s.dirty, s.stored, s.loaded = s.next, s.base/seenChunk, s.next == 0
	p.stateAt, p.shapeAt = p.Applied, p.Applied
	return p, nil
}

func (f *Folder) decodeStretch(d *decoder) (s Stretch, err error) {
	s.Owner, s.Prev = d.string(), d.string()
	st := &s.State
	st.Events = int64(d.uvarint()) //nolint:gosec // checked below
	st.First, st.Last = d.millis(), d.millis()
	if st.Consent.Time = d.millis(); st.Consent.Time != 0 {
		st.Consent.Tie, st.Consent.Granted, st.Consent.Categories = d.uint64(), d.bool(), d.string()
	}
	if n := d.count(maxTraits); n > 0 {
		st.Traits = make(Traits, 0, min(n, len(d.b)/12+1))
		for range n {
			if d.bad {
				break
			}
			st.Traits = append(st.Traits, Trait{
				Path: unique.Make(d.string()).Value(), Value: d.string(),
				Rank: attune.Rank(d.byte()), Time: d.millis(), Tie: d.uint64(),
			})
		}
	}
	if st.Events < 0 {
		d.fail()
	}
	if st.Events > 0 {
		features := d.take(uint64(d.uint32()))
		if !d.bad {
			st.Features, err = f.Features.Decode(features)
		}
	}
	if d.bad {
		return s, attune.ErrCorrupt
	}
	return s, err
}

// decoder reads varint-framed fields; after a fault bad is set and every read
// returns zero.
type decoder struct {
	b   []byte
	bad bool
}

func (d *decoder) fail() { d.bad, d.b = true, nil }

func (d *decoder) take(n uint64) []byte {
	if n > uint64(len(d.b)) {
		d.fail()
		return nil
	}
	s := d.b[:n]
	d.b = d.b[n:]
	return s
}

func (d *decoder) byte() byte {
	if s := d.take(1); len(s) == 1 {
		return s[0]
	}
	return 0
}

func (d *decoder) bool() bool {
	v := d.byte()
	if v > 1 {
		d.fail()
	}
	return v == 1
}

func (d *decoder) uint32() uint32 {
	if s := d.take(4); len(s) == 4 {
		return binary.LittleEndian.Uint32(s)
	}
	return 0
}

func (d *decoder) uint64() uint64 {
	if s := d.take(8); len(s) == 8 {
		return binary.LittleEndian.Uint64(s)
	}
	return 0
}

func (d *decoder) uvarint() uint64 {
	v, n := binary.Uvarint(d.b)
	if n <= 0 {
		d.fail()
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *decoder) varint() int64 {
	v, n := binary.Varint(d.b)
	if n <= 0 {
		d.fail()
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *decoder) millis() attune.Millis { return attune.Millis(d.varint()) }

func (d *decoder) string() string { return string(d.take(d.uvarint())) }

// count reads a length that is at most limit.
func (d *decoder) count(limit int) int {
	n := d.uvarint()
	if n > uint64(limit) { //nolint:gosec // limits are small
		d.fail()
		return 0
	}
	return int(n) //nolint:gosec // at most limit
}
