package catalog

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/attune-io/attune"
)

// View is the catalog's columns for one decision: cheap to take, live (a field
// that changes meanwhile is seen). Numbers outside 0..Len()-1 are of unknown
// items: nothing is known of them and they are not available.
type View struct {
	chunks []*chunk
	length int32
}

// View returns the columns, without allocation.
func (c *Catalog) View() View {
	length := c.length.Load() // before chunks: every number below it has one
	return View{chunks: *c.chunks.Load(), length: length}
}

// Len returns how many items the view has.
func (v View) Len() int { return int(v.length) }

func (v View) has(n int32) bool { return n >= 0 && n < v.length }

// ID returns the id of item n, "" when there is none.
func (v View) ID(n int32) string {
	if !v.has(n) {
		return ""
	}
	return v.chunks[n/chunkLen].ids[n%chunkLen]
}

// Available reports whether item n can be shown now: not deleted, in stock,
// inside its dates. A few nanoseconds.
func (v View) Available(n int32) bool {
	return v.has(n) && v.chunks[n/chunkLen].avail[n%chunkLen/64].Load()>>(n%64)&1 == 1
}

// Category returns the interned category of item n; 0 is none.
func (v View) Category(n int32) int32 {
	if !v.has(n) {
		return 0
	}
	return v.chunks[n/chunkLen].category[n%chunkLen].Load()
}

// Brand returns the interned brand of item n; 0 is none.
func (v View) Brand(n int32) int32 {
	if !v.has(n) {
		return 0
	}
	return v.chunks[n/chunkLen].brand[n%chunkLen].Load()
}

// Price returns the price of item n, 0 when it is not known.
func (v View) Price(n int32) float64 {
	if !v.has(n) {
		return 0
	}
	return math.Float64frombits(v.chunks[n/chunkLen].price[n%chunkLen].Load())
}

// record returns what is known of item n, nil when it is unknown.
func (v View) record(n int32) *record {
	if !v.has(n) {
		return nil
	}
	return v.chunks[n/chunkLen].records[n%chunkLen].Load()
}

// Attr returns an attribute of item n: string, float64, bool, []string (not to
// be changed), or nil when it has none. It does not allocate.
func (v View) Attr(n int32, name string) any {
	if r := v.record(n); r != nil {
		return r.attr(name)
	}
	return nil
}

// Each calls fn with every attribute of item n, in order of the names.
func (v View) Each(n int32, fn func(name string, value any)) {
	r := v.record(n)
	if r == nil {
		return
	}
	for _, c := range r.claims {
		if c.value != nil {
			fn(c.name, c.value)
		}
	}
}

// JSON returns the attributes of item n as a JSON object with sorted names,
// "{}" when there are none. It is kept until the item changes; do not change
// it.
func (v View) JSON(n int32) json.RawMessage {
	r := v.record(n)
	if r == nil {
		return json.RawMessage("{}")
	}
	if b := r.json.Load(); b != nil {
		return *b
	}
	b := r.encode()
	r.json.Store(&b)
	return b
}

func (r *record) encode() json.RawMessage {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	b.WriteByte('{')
	for _, c := range r.claims {
		if c.value == nil {
			continue
		}
		if b.Len() > 1 {
			b.WriteByte(',')
		}
		// Strings, numbers that are finite, bools and lists of strings: there is
		// nothing to refuse. Each ends with a line's end, which is no part of it.
		_ = e.Encode(c.name)
		b.Truncate(b.Len() - 1)
		b.WriteByte(':')
		_ = e.Encode(c.value)
		b.Truncate(b.Len() - 1)
	}
	b.WriteByte('}')
	return b.Bytes()
}

// AppendAvailable appends the availability of all items as a bitset: bit n%64
// of word n/64.
func (v View) AppendAvailable(words []uint64) []uint64 {
	for n := int32(0); n < v.length; n += 64 {
		words = append(words, v.chunks[n/chunkLen].avail[n%chunkLen/64].Load())
	}
	return words
}

// Item returns the item as the API speaks it, and whether it is known. The
// caller owns it.
func (c *Catalog) Item(id string) (attune.Item, bool) {
	n, ok := c.Number(id)
	if !ok {
		return attune.Item{}, false
	}
	return c.View().item(n)
}

func (v View) item(n int32) (attune.Item, bool) {
	r := v.record(n)
	if r == nil || v.ID(n) == "" {
		return attune.Item{}, false
	}
	it := attune.Item{ID: v.ID(n), Deleted: r.deleted(), Attributes: make(map[string]any, len(r.claims))}
	for _, c := range r.claims {
		if l, ok := c.value.([]string); ok {
			words := make([]any, len(l))
			for i, s := range l {
				words[i] = s
			}
			it.Attributes[c.name] = words
		} else if c.value != nil {
			it.Attributes[c.name] = c.value
		}
	}
	return it, true
}

// List returns up to limit items (at most 1,000) in order of their numbers,
// deleted ones too, and the cursor of the next page, "" at the end. An empty
// cursor starts. An error wraps attune.ErrInvalid: the cursor is not ours.
func (c *Catalog) List(cursor string, limit int) (items []attune.Item, next string, err error) {
	from := int64(0)
	if cursor != "" {
		if from, err = strconv.ParseInt(cursor, 10, 32); err != nil || from < 0 {
			return nil, "", fmt.Errorf("cursor %q: want the next of an earlier page: %w", cursor, attune.ErrInvalid)
		}
	}
	v := c.View()
	n := int32(from)
	for ; n < v.length && len(items) < min(limit, 1000); n++ {
		if it, ok := v.item(n); ok {
			items = append(items, it)
		}
	}
	if n < v.length {
		next = strconv.Itoa(int(n))
	}
	return items, next, nil
}

// searchDepth bounds the items that Search looks at.
const searchDepth = 200_000

// Search returns up to limit items (at most 1,000) that are not deleted and
// whose id or name starts with text, then such that contain it, letter case
// aside. It looks at the first 200,000 items.
func (c *Catalog) Search(text string, limit int) []attune.Item {
	v, text, limit := c.View(), strings.ToLower(text), min(limit, 1000)
	var starts, holds []int32
	for n := int32(0); n < min(v.length, searchDepth) && len(starts) < limit; n++ {
		r := v.record(n)
		if r == nil || r.deleted() {
			continue
		}
		name, _ := r.attr("name").(string)
		id, name := strings.ToLower(v.ID(n)), strings.ToLower(name)
		switch {
		case strings.HasPrefix(id, text) || strings.HasPrefix(name, text):
			starts = append(starts, n)
		case len(holds) < limit && (strings.Contains(id, text) || strings.Contains(name, text)):
			holds = append(holds, n)
		}
	}
	var items []attune.Item
	for _, n := range append(starts, holds...) {
		if it, ok := v.item(n); ok && len(items) < limit {
			items = append(items, it)
		}
	}
	return items
}

// feedLen is how many changes the feed remembers.
const feedLen = 1 << 16

// feed is a ring of the numbers of changed items; version counts them all.
type feed struct {
	mu      sync.Mutex
	ring    []int32
	version atomic.Uint64
}

func (f *feed) add(n int32) {
	f.mu.Lock()
	defer f.mu.Unlock()
	v := f.version.Load()
	f.ring[v%feedLen] = n
	f.version.Store(v + 1)
}

// Version rises with every change of an item that a decision could see: a new
// item, another value, another availability. It starts anew with the process.
func (c *Catalog) Version() uint64 { return c.feed.version.Load() }

// Changes appends to dst the numbers of the items changed after version since,
// in order and perhaps repeated, and returns the version they lead to. ok is
// false when the feed does not reach back that far (65,536 changes): look at
// every item below Len, and go on from the version returned.
func (c *Catalog) Changes(since uint64, dst []int32) (changed []int32, version uint64, ok bool) {
	f := &c.feed
	f.mu.Lock()
	defer f.mu.Unlock()
	version = f.version.Load()
	if since > version || version-since > feedLen {
		return dst, version, false
	}
	for v := since; v < version; v++ {
		dst = append(dst, f.ring[v%feedLen])
	}
	return dst, version, true
}
