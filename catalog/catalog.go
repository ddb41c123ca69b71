// Package catalog holds the items that can be shown and what is known of them:
// typed attributes learnt from events or given by hand, whether an item can be
// had at this moment, and the dense numbers by which models speak of items.
//
// It promises that the order in which facts arrive does not matter (per field
// the highest rank, then the newest time, then the tie wins), that a number
// once given names its item for ever, and that every reading method may be
// called from any goroutine while others write. It does no I/O, reads no clock
// and starts no goroutine: rows go out through Dirty and come in through Load.
package catalog

import (
	"encoding/json"

	"github.com/attune-io/attune"
)

// Options bound a Catalog. The zero value is useful.
type Options struct {
	// MaxItems bounds the item numbers given; 0 is 16 Mi. Past it Ensure
	// returns -1 and facts about unknown items are dropped and counted.
	MaxItems int
	// MaxFields bounds the attributes of one item; 0 is 64. The fields that
	// stay are those of the highest rank, then the smallest names.
	MaxFields int
}

// Stamp orders claims about one field: by Rank, then At, then Tie.
type Stamp struct {
	Rank attune.Rank
	At   attune.Millis
	Tie  uint64
}

// Catalog is the items of one workspace. Make it with New.
type Catalog struct{}

// New returns an empty catalog.
func New(o Options) *Catalog { return &Catalog{} }

// Number returns the number of the item with this id, and whether it has one.
func (c *Catalog) Number(id string) (int32, bool) { return 0, false }

// ID returns the id of item n, or "" when no item has that number.
func (c *Catalog) ID(n int32) string { return "" }

// Ensure returns the number of id and gives it the next one when it has none:
// an item that so far only statistics know. It returns -1 for an empty id and
// when the catalog is full.
func (c *Catalog) Ensure(id string) int32 { return -1 }

// Len returns how many numbers were given: they are 0..Len()-1.
func (c *Catalog) Len() int { return 0 }

// Put claims fields of an item. Values are string, float64 (any other number
// type too), bool, []string or []any of strings; nil deletes the field. On an
// error, which wraps attune.ErrInvalid and names every bad field, nothing is
// changed. A put of rank Given that is newer than a delete revives the item.
func (c *Catalog) Put(id string, fields map[string]any, s Stamp) error { return nil }

// Delete takes the item out of every decision. Only a newer Put of rank Given
// brings it back, with the fields it had.
func (c *Catalog) Delete(id string, s Stamp) {}

// Learn folds what e says of its products (attune.AppendProducts of e).
func (c *Catalog) Learn(e *attune.Event, products []attune.Product) {}

// Tick tells the catalog the time, so that items whose available_from or
// expires_at has passed change their availability. It never goes back.
func (c *Catalog) Tick(now attune.Millis) {}

// Version rises with every change of an item that a decision could see.
func (c *Catalog) Version() uint64 { return 0 }

// Changes appends to dst the numbers of the items changed after version since,
// in order and perhaps repeated, and returns the version they lead to. ok is
// false when the feed no longer reaches back that far: look at all items.
func (c *Catalog) Changes(since uint64, dst []int32) (changed []int32, version uint64, ok bool) {
	return dst, 0, true
}

// Item returns the item as the API speaks it, and whether it is known. The
// caller owns it.
func (c *Catalog) Item(id string) (attune.Item, bool) { return attune.Item{}, false }

// List returns up to limit items in order of their numbers, deleted ones too,
// and the cursor of the next page, "" at the end. An empty cursor starts.
func (c *Catalog) List(cursor string, limit int) (items []attune.Item, next string, err error) {
	return nil, "", nil
}

// Search returns up to limit items whose id or name starts with, or else
// contains, text (letter case aside). It looks at no more than 200,000 items.
func (c *Catalog) Search(text string, limit int) []attune.Item { return nil }

// Dirty gives every row that changed since the last call to put. The caller
// holds writers still meanwhile; key and value are good until put returns.
func (c *Catalog) Dirty(put func(key, value []byte)) {}

// Load takes one row that Dirty gave, in any order, before anything else is
// done with the catalog. An error wraps attune.ErrCorrupt and the row is left
// out.
func (c *Catalog) Load(key, value []byte) error { return nil }

// View is the catalog's columns for one decision: cheap to take, live (a field
// that changes meanwhile is seen), good for numbers below its Len.
type View struct{}

// View returns the columns as they are now, without allocation.
func (c *Catalog) View() View { return View{} }

// Len returns how many items the view has.
func (v View) Len() int { return 0 }

// ID returns the id of item n, "" when there is none.
func (v View) ID(n int32) string { return "" }

// Available reports whether item n can be shown now: not deleted, in stock,
// inside its dates. A few nanoseconds.
func (v View) Available(n int32) bool { return false }

// Category returns the interned category of item n; 0 is none.
func (v View) Category(n int32) int32 { return 0 }

// Brand returns the interned brand of item n; 0 is none.
func (v View) Brand(n int32) int32 { return 0 }

// Price returns the price of item n, 0 when it is not known.
func (v View) Price(n int32) float64 { return 0 }

// Attr returns an attribute of item n: string, float64, bool, []string (not to
// be changed), or nil when it has none. It does not allocate.
func (v View) Attr(n int32, name string) any { return nil }

// JSON returns the attributes of item n as a JSON object with sorted names,
// "{}" when there are none. It is cached until the item changes; do not
// change it.
func (v View) JSON(n int32) json.RawMessage { return nil }

// AppendAvailable appends the availability of all items as a bitset: bit n%64
// of word n/64.
func (v View) AppendAvailable(words []uint64) []uint64 { return words }

// Word returns the interned number of a category or brand; 0 when no item
// ever had it. Numbers last as long as the process.
func (c *Catalog) Word(s string) int32 { return 0 }

// WordOf returns the category or brand with an interned number, "" for 0.
func (c *Catalog) WordOf(w int32) string { return "" }
