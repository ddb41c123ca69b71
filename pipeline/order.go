package pipeline

import (
	"context"
	"encoding/binary"
	"fmt"
	"log/slog"
	"maps"
	"strings"
	"sync"

	"github.com/tidwall/gjson"

	"github.com/attune-io/attune"
	"github.com/attune-io/attune/identity"
	"github.com/attune-io/attune/model"
	"github.com/attune-io/attune/profile"
)

// orderRow is what the statistics of items remember of an order: its lines, so
// that a cancellation can take back exactly what was counted. An order counts
// from its first Order Completed, once, whoever sends it.
type orderRow struct {
	counted   bool
	cancelled bool
	at        attune.Millis
	lines     []orderLine
}

type orderLine struct {
	item     int32
	quantity int64
}

// orders is the order table: rows read from the store when they are needed,
// the changed ones kept until a checkpoint has them.
type orders struct {
	store profile.Store

	mu      sync.Mutex
	changed map[string]*orderRow
	writing map[string]*orderRow // taken by a checkpoint, not committed yet
}

func (o *orders) init(s profile.Store) { o.store, o.changed = s, map[string]*orderRow{} }

func (o *orders) get(ctx context.Context, id string) (*orderRow, error) {
	o.mu.Lock()
	row := o.changed[id]
	if row == nil && o.writing[id] != nil {
		// The checkpoint has encoded it; from now on it may change again.
		row = o.writing[id]
	}
	o.mu.Unlock()
	if row != nil {
		return row, nil
	}
	b, err := o.store.Get(ctx, append([]byte(tableOrders), id...))
	if err != nil {
		return nil, fmt.Errorf("order %q: %w", id, err)
	}
	row = &orderRow{}
	if b != nil && !row.decode(b) {
		return nil, fmt.Errorf("order %q: %w", id, attune.ErrCorrupt)
	}
	return row, nil
}

func (o *orders) put(id string, row *orderRow) {
	o.mu.Lock()
	o.changed[id] = row
	o.mu.Unlock()
}

func (o *orders) dirtyRows(put func(key, value []byte)) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for id, row := range o.changed {
		put([]byte(id), row.encode())
	}
	if o.writing == nil {
		o.writing = map[string]*orderRow{}
	}
	// What a checkpoint that failed took is still not in the store.
	maps.Copy(o.writing, o.changed)
	o.changed = map[string]*orderRow{}
}

func (o *orders) committed() {
	o.mu.Lock()
	o.writing = nil
	o.mu.Unlock()
}

// order folds an order record. The lines of the first Order Completed count;
// Order Updated replaces them, Order Cancelled and a whole refund take them
// back, and nothing brings a cancelled order back.
func (w *worker) order(ctx context.Context, r *attune.Record) error {
	e := &w.decoded
	if err := e.UnmarshalBinary(r.Payload); err != nil {
		w.p.corrupt.Add(1)
		w.p.opt.Log.Error("stepped over an order that does not decode", slog.Int("partition", w.partition), slog.Uint64("offset", r.Offset))
		return nil //nolint:nilerr // said and counted; the rest goes on
	}
	id, ok := strings.CutPrefix(r.Key, identity.OrderKey(""))
	if !ok || e.Has(attune.Bot) {
		return nil
	}
	row, err := w.p.orders.get(ctx, id)
	if err != nil {
		return err
	}
	w.products = attune.AppendProducts(w.products[:0], e)
	switch on := e.On(); {
	case row.cancelled:
		return nil
	case on == "Order Completed" && !row.counted:
		w.count(row, e.Time)
		if err := w.p.entities.fold(ctx, w.partition, r.Key, e, true); err != nil {
			return err
		}
	case on == "Order Updated" && row.counted && len(w.products) > 0:
		w.uncount(row)
		w.count(row, row.at)
	case on == "Order Cancelled", on == "Order Refunded" && w.whole(e):
		w.uncount(row)
		row.cancelled = true
	default:
		return nil
	}
	w.p.orders.put(id, row)
	return nil
}

// whole reports whether the refund e, of the products at hand, is of the whole
// order: it names neither an amount nor products.
func (w *worker) whole(e *attune.Event) bool {
	if len(w.products) > 0 {
		return false
	}
	for _, name := range [...]string{"refund", "total", "revenue", "value"} {
		if v := gjson.GetBytes(e.Properties, name); v.Exists() && v.Type != gjson.Null {
			return false
		}
	}
	return true
}

// count adds the products at hand as the order's lines.
func (w *worker) count(row *orderRow, at attune.Millis) {
	row.counted, row.at, row.lines = true, at, row.lines[:0]
	w.numbers = w.numbers[:0]
	for i := range w.products {
		if n := w.p.opt.Catalog.Ensure(w.products[i].ID); n >= 0 {
			row.lines = append(row.lines, orderLine{item: n, quantity: w.products[i].Quantity})
			w.numbers = append(w.numbers, n)
			w.p.opt.Models.Items.Observe(model.Observation{Signal: model.Purchase, Item: n, Units: w.products[i].Quantity, At: at})
		}
	}
	w.p.opt.Models.Bought.AddSet(w.numbers)
}

// uncount takes back what count added.
func (w *worker) uncount(row *orderRow) {
	if !row.counted {
		return
	}
	w.numbers = w.numbers[:0]
	for _, l := range row.lines {
		w.numbers = append(w.numbers, l.item)
		w.p.opt.Models.Items.Observe(model.Observation{Signal: model.Purchase, Item: l.item, Units: l.quantity, At: row.at, Undo: true})
	}
	w.p.opt.Models.Bought.Remove(w.numbers)
	row.counted, row.lines = false, row.lines[:0]
}

// encode is: flags, time, then each line's item and quantity as varints.
func (row *orderRow) encode() []byte {
	var flags byte
	if row.counted {
		flags |= 1
	}
	if row.cancelled {
		flags |= 2
	}
	b := binary.AppendVarint([]byte{flags}, int64(row.at))
	for _, l := range row.lines {
		b = binary.AppendVarint(b, int64(l.item))
		b = binary.AppendVarint(b, l.quantity)
	}
	return b
}

func (row *orderRow) decode(b []byte) bool {
	if len(b) == 0 {
		return false
	}
	row.counted, row.cancelled = b[0]&1 != 0, b[0]&2 != 0
	var numbers []int64
	for b = b[1:]; len(b) > 0; {
		v, n := binary.Varint(b)
		if n <= 0 {
			return false
		}
		numbers, b = append(numbers, v), b[n:]
	}
	if len(numbers)%2 == 0 {
		return false
	}
	row.at = attune.Millis(numbers[0])
	for i := 1; i < len(numbers); i += 2 {
		row.lines = append(row.lines, orderLine{item: int32(numbers[i]), quantity: numbers[i+1]}) //nolint:gosec // an int32 was written
	}
	return true
}
