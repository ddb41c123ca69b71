package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/attune-io/attune"
	"github.com/attune-io/attune/collect"
	"github.com/attune-io/attune/collect/file"
	"github.com/attune-io/attune/config"
	onlineretail "github.com/attune-io/attune/examples/online-retail"
	"github.com/attune-io/attune/examples/shop"
	"github.com/attune-io/attune/examples/shop/data"
)

// stocked is what a demo's data directory remembers of its import.
type stocked struct {
	// ShiftTo is the instant that the last order was moved to. An import that
	// was interrupted goes on with the same one.
	ShiftTo attune.Millis `json:"shift_to"`
	Done    bool          `json:"done"`
}

// stock imports the slice, unless the data directory has it.
func stock(a *app, cfg config.Config, log *slog.Logger) error {
	if err := os.MkdirAll(cfg.DataDir, 0o700); err != nil {
		return err
	}
	note := filepath.Join(cfg.DataDir, "demo.json")
	now := attune.MillisOf(time.Now())
	var s stocked
	text, err := os.ReadFile(note) //nolint:gosec // in the data directory
	switch {
	case errors.Is(err, fs.ErrNotExist):
		s.ShiftTo = now
	case err != nil:
		return err
	default:
		if err := json.Unmarshal(text, &s); err != nil || s.ShiftTo <= 0 {
			return fmt.Errorf("%s does not read; remove %s to start afresh", note, cfg.DataDir)
		}
	}
	if s.Done {
		fmt.Fprintf(a.stdout, "The shop's orders are here already; the last imported one is %s old. Remove %s for fresh ones.\n", age(now-s.ShiftTo), cfg.DataDir)
		return nil
	}
	if err := s.write(note); err != nil {
		return err
	}
	began := time.Now()
	sum, err := importSlice(a, cfg, log, s.ShiftTo)
	if err != nil {
		return err
	}
	fmt.Fprintf(a.stdout, "Imported %s invoices and what was looked at before them in %.1f s.\n", grouped(sum.Accepted), time.Since(began).Seconds())
	s.Done = true
	return s.write(note)
}

// write replaces the note whole, so that a crash leaves the old one or the new.
func (s *stocked) write(note string) error {
	text, err := json.Marshal(s)
	if err != nil {
		return err
	}
	if err := os.WriteFile(note+".new", text, 0o600); err != nil {
		return err
	}
	return os.Rename(note+".new", note)
}

// age says how long ago something was.
func age(d attune.Millis) string {
	switch t := time.Duration(d) * time.Millisecond; {
	case t < time.Hour:
		return strconv.Itoa(int(t.Minutes())) + " minutes"
	case t < 48*time.Hour:
		return strconv.Itoa(int(t.Hours())) + " hours"
	default:
		return strconv.Itoa(int(t.Hours()/24)) + " days"
	}
}

// importSlice imports the embedded slice into the data directory.
func importSlice(a *app, cfg config.Config, log *slog.Logger, shiftTo attune.Millis) (sum file.Summary, err error) {
	mapping, err := file.ParseMapping(onlineretail.Mapping())
	if err != nil {
		return sum, fmt.Errorf("the embedded mapping: %w", err)
	}
	// Files are read from disk, so that their progress can be shown.
	path := filepath.Join(cfg.DataDir, data.Name)
	if err := os.WriteFile(path, data.Slice(), 0o600); err != nil {
		return sum, err
	}
	defer os.Remove(path) //nolint:errcheck // it is in the way of nobody
	n, err := openLocal(a, cfg, log)
	if err != nil {
		return sum, err
	}
	bar := newBar(a.stderr, []string{path})
	defer bar.done()
	to := &shelves{to: n.Sink("online-retail")}
	return sum, n.Work(a.ctx, importing(&sum, file.Import{
		Files: []string{path}, Options: file.Options{Mapping: mapping}, ShiftTo: shiftTo,
		Sink: to,
		Progress: func(p file.Progress) {
			if !p.Looking {
				p.Events = to.taken.Load() // what is imported, not the orders it is made of
			}
			bar.progress(p)
		},
		Batch: 100, // orders, each with a view for every line
	}))
}

// shelves is a sink that sorts goods into the shop's categories, and lets every
// line of an order be looked at before it is bought.
type shelves struct {
	to    file.Sink
	taken atomic.Int64 // events, the views among them
}

// Items passes items on.
func (s *shelves) Items(ctx context.Context, items []attune.Item) error {
	return s.to.Items(ctx, items)
}

// Events passes events on, with what goes before them.
func (s *shelves) Events(ctx context.Context, events [][]byte) ([]collect.Rejection, error) {
	var all [][]byte
	var of []int // of all: the event that each comes from
	for i, raw := range events {
		made, err := looked(raw)
		if err != nil {
			return nil, fmt.Errorf("event %d of the batch: %w", i, err)
		}
		for _, m := range made {
			all, of = append(all, m), append(of, i)
		}
	}
	refused, err := s.to.Events(ctx, all)
	if err != nil {
		return nil, err
	}
	s.taken.Add(int64(len(all)))
	// One refusal is one event that was not wholly taken.
	var out []collect.Rejection
	for _, r := range refused {
		if r.Index = of[r.Index]; len(out) == 0 || out[len(out)-1].Index != r.Index {
			out = append(out, r)
		}
	}
	return out, nil
}

// call is a track call, as far as the demo makes them.
type call struct {
	Type        string         `json:"type"`
	Event       string         `json:"event"`
	MessageID   string         `json:"messageId,omitempty"`
	UserID      string         `json:"userId,omitempty"`
	AnonymousID string         `json:"anonymousId,omitempty"`
	Timestamp   string         `json:"timestamp,omitempty"`
	Properties  map[string]any `json:"properties"`
	Context     map[string]any `json:"context,omitempty"`
}

// The pace at which an order's lines were looked at.
const (
	viewEvery = 20 * time.Second
	viewWhole = 15 * time.Minute // at most, for all lines
	thinkTime = 2 * time.Minute  // between the last view and the order
)

// looked returns the calls that raw stands for: an order with its categories,
// behind a Product Viewed for each of its lines; anything else as it is.
func looked(raw []byte) ([][]byte, error) {
	var order call
	if err := json.Unmarshal(raw, &order); err != nil {
		return nil, err
	}
	lines, _ := order.Properties["products"].([]any)
	if order.Event != "Order Completed" || len(lines) == 0 {
		return [][]byte{raw}, nil
	}
	at, err := time.Parse(time.RFC3339Nano, order.Timestamp)
	if err != nil {
		return nil, err
	}
	pace := min(viewEvery, viewWhole/time.Duration(len(lines)))
	out := make([][]byte, 0, len(lines)+1)
	for i, l := range lines {
		line, ok := l.(map[string]any)
		if !ok {
			continue
		}
		name, _ := line["name"].(string)
		line["category"] = shop.Category(name)
		if id, ok := line["product_id"].(string); ok {
			line["image_url"] = shop.CoverURL("/shop/", id, name, shop.Category(name))
		}
		seen := make(map[string]any, len(line))
		for k, v := range line {
			if k != "quantity" {
				seen[k] = v
			}
		}
		before := at.Add(-thinkTime - time.Duration(len(lines)-1-i)*pace)
		view, err := json.Marshal(call{
			Type: "track", Event: "Product Viewed", MessageID: order.MessageID + ".v" + strconv.Itoa(i),
			UserID: order.UserID, AnonymousID: order.AnonymousID,
			Timestamp: attune.MillisOf(before).String(), Properties: seen,
		})
		if err != nil {
			return nil, err
		}
		out = append(out, view)
	}
	whole, err := json.Marshal(&order)
	if err != nil {
		return nil, err
	}
	return append(out, whole), nil
}
