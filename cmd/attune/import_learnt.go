package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/attune-io/attune"
	"github.com/attune-io/attune/feature"
)

// learnt is what an import would teach.
type learnt struct {
	Users   int              `json:"users"`
	Devices int              `json:"devices"`
	Items   int              `json:"items"` // that feeds or events name
	Orders  int              `json:"orders"`
	Events  map[string]int64 `json:"events"` // by name
	Oldest  attune.Millis    `json:"oldest"`
	Newest  attune.Millis    `json:"newest"`
	// Bounded says that there are more users, devices, items or orders than were
	// told apart.
	Bounded bool `json:"at_least,omitempty"`
	// Fed are the features that some event is for, Empty those that none is for.
	Fed   []string `json:"features_fed"`
	Empty []string `json:"features_left_empty"`
}

// Of a dry run. Ids are told apart by their hash, in eight bytes.
const (
	maxTold  = 4 << 20 // of one kind
	maxNames = 10_000
)

// notebook is a journal that keeps nothing but what there is to learn. Any
// number of goroutines may use it.
type notebook struct {
	nowhere

	mu       sync.Mutex
	told     [4]map[uint64]struct{} // users, devices, items, orders
	bounded  bool
	names    map[string]int64
	from, to attune.Millis
	products []attune.Product
}

// The places of notebook.told.
const (
	toldUsers = iota
	toldDevices
	toldItems
	toldOrders
)

func newNotebook() *notebook {
	b := &notebook{names: map[string]int64{}}
	for i := range b.told {
		b.told[i] = map[uint64]struct{}{}
	}
	return b
}

// Append looks at events and forgets them.
func (b *notebook) Append(_ context.Context, recs []attune.Record) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	for i := range recs {
		switch recs[i].Kind {
		case attune.KindOrder:
			b.tell(toldOrders, recs[i].Key)
		case attune.KindEvent:
			var e attune.Event
			if err := e.UnmarshalBinary(recs[i].Payload); err != nil {
				return fmt.Errorf("read an event back: %w", err)
			}
			b.event(&e)
		default:
		}
	}
	return nil
}

func (b *notebook) event(e *attune.Event) {
	b.tell(toldUsers, e.UserID)
	b.tell(toldDevices, e.AnonymousID)
	if b.from == 0 || e.Time < b.from {
		b.from = e.Time
	}
	b.to = max(b.to, e.Time)
	name := e.On()
	if _, known := b.names[name]; known || len(b.names) < maxNames {
		b.names[strings.Clone(name)]++
	}
	b.products = attune.AppendProducts(b.products[:0], e)
	for i := range b.products {
		b.tell(toldItems, b.products[i].ID)
	}
}

func (b *notebook) tell(kind int, id string) {
	if id == "" {
		return
	}
	of, h := b.told[kind], attune.Hash(id)
	if _, known := of[h]; known {
		return
	}
	if len(of) >= maxTold {
		b.bounded = true
		return
	}
	of[h] = struct{}{}
}

func (b *notebook) stock(items []attune.Item) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for i := range items {
		b.tell(toldItems, items[i].ID)
	}
}

// learnt returns what was seen, held against the features there are.
func (b *notebook) learnt(features []feature.Definition) *learnt {
	b.mu.Lock()
	defer b.mu.Unlock()
	l := &learnt{
		Users: len(b.told[toldUsers]), Devices: len(b.told[toldDevices]), Items: len(b.told[toldItems]), Orders: len(b.told[toldOrders]),
		Events: maps.Clone(b.names), Oldest: b.from, Newest: b.to, Bounded: b.bounded, Fed: []string{}, Empty: []string{},
	}
	for i := range features {
		on := features[i].On
		for _, s := range features[i].Steps {
			on = append(slices.Clip(on), s.On...)
		}
		fed := len(on) == 0 || slices.ContainsFunc(on, func(name string) bool {
			return name == "*" && len(b.names) > 0 || b.names[attune.CanonicalName(name)] > 0
		})
		if fed {
			l.Fed = append(l.Fed, features[i].Name)
		} else {
			l.Empty = append(l.Empty, features[i].Name)
		}
	}
	return l
}

func (l *learnt) print(out io.Writer) {
	least := ""
	if l.Bounded {
		least = "at least "
	}
	fmt.Fprintf(out, "it would teach %sof %s and %s, %s and %s", least, counted(int64(l.Users), "user"), counted(int64(l.Devices), "device"),
		counted(int64(l.Items), "item"), counted(int64(l.Orders), "order"))
	if l.Newest != 0 {
		fmt.Fprintf(out, ", from %s to %s", l.Oldest.Time().Format("2006-01-02"), l.Newest.Time().Format("2006-01-02"))
	}
	fmt.Fprintln(out)
	top := slices.SortedFunc(maps.Keys(l.Events), func(a, b string) int {
		return cmp.Or(cmp.Compare(l.Events[b], l.Events[a]), cmp.Compare(a, b))
	})
	for _, name := range top[:min(len(top), topReasons)] {
		fmt.Fprintf(out, "  %10s  %s\n", grouped(l.Events[name]), name)
	}
	if more := int64(len(top) - topReasons); more > 0 {
		fmt.Fprintf(out, "  and %s\n", counted(more, "other kind"))
	}
	if len(l.Empty) > 0 {
		fmt.Fprintf(out, "features that would stay empty, since no such event comes: %s\n", strings.Join(l.Empty, ", "))
	}
}
