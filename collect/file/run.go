package file

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/attune-io/attune"
	"github.com/attune-io/attune/collect"
)

// Sink is where an import goes: a node's collector and journal, or a server.
// One goroutine calls it. An error that wraps attune.ErrBusy means "the same
// again, later"; any other ends the import.
type Sink interface {
	// Events makes the sound ones of events durable, in order, and returns
	// those that were refused. It does not keep events.
	Events(ctx context.Context, events [][]byte) ([]collect.Rejection, error)
	// Items makes what a feed says of items durable.
	Items(ctx context.Context, items []attune.Item) error
}

// Import is one run over files.
type Import struct {
	// Files are read one after the other.
	Files []string
	// Options hold for every file; Name and Shift are of each file's own.
	Options Options
	// ShiftTo moves every time so that the newest event of all files is at
	// ShiftTo; 0 leaves times as they are. It costs a first reading.
	ShiftTo attune.Millis
	// Sink takes what was read. Nil reads only.
	Sink Sink
	// Rejects gets one JSON object a line for each row that was not taken:
	// {"file","row","reason","raw"}. Nil keeps counts only.
	Rejects io.Writer
	// Progress hears, now and then and from one goroutine at a time, how far
	// the reading has come. Nil is nobody.
	Progress func(p Progress)
	// Batch is how many events go to the sink at once; 0 is 1,000.
	Batch int
}

// Progress is how far an import has come.
type Progress struct {
	// Looking: this is the first reading, for ShiftTo.
	Looking bool
	// Bytes of all files, as they lie on disk, that were read.
	Bytes int64
	// Events that were read (Looking) or taken by the sink.
	Events int64
}

// Summary is what became of an import.
type Summary struct {
	Files    int   `json:"files"`
	Events   int64 `json:"events"`   // that the files held
	Items    int64 `json:"items"`    // likewise
	Accepted int64 `json:"accepted"` // events that are durable, repeats among them
	Rejected int64 `json:"rejected"` // rows and events that could not be used
	Excluded int64 `json:"excluded"` // rows that the mapping leaves out
	// Reasons count the rejected and the excluded, by reason.
	Reasons        map[string]int64 `json:"reasons,omitempty"`
	ExcludeReasons map[string]int64 `json:"exclude_reasons,omitempty"`
	// Newest is the newest time of an event, shifted.
	Newest attune.Millis `json:"newest"`
	// Shift is what was added to times, in milliseconds.
	Shift attune.Millis `json:"shift_ms,omitempty"`
}

// batch is what goes from the parsing goroutine to the storing one.
type batch struct {
	file   string
	rows   []int64
	events [][]byte
	items  []attune.Item
	faults []*Fault
	bytes  int64 // read of all files, when the batch was full
	size   int
}

// maxBatchBytes bounds a batch of large events. The collector keeps its memory
// from one batch to the next as long as they are of about this size.
const maxBatchBytes = 448 << 10

// Run reads the files on one goroutine and stores what they say on another,
// with at most a few batches between them. On an error the summary says how
// far it came: everything counted as accepted is durable, and running again is
// safe, since what is durable counts once.
func Run(ctx context.Context, in Import) (Summary, error) {
	r := &run{Import: in, sum: Summary{Reasons: map[string]int64{}, ExcludeReasons: map[string]int64{}}}
	if r.Batch <= 0 {
		r.Batch = 1000
	}
	if r.ShiftTo != 0 {
		newest, err := r.look(ctx)
		if err != nil {
			return r.sum, err
		}
		if newest != 0 {
			r.sum.Shift = r.ShiftTo - newest
		}
	}
	// parse closes full; store reads it to the end.
	full := make(chan *batch, 4)
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		defer close(full)
		return r.parse(ctx, full)
	})
	group.Go(func() error { return r.store(ctx, full) })
	err := group.Wait()
	return r.sum, err
}

// run is one Import under way. Of sum, Files, Newest and the excluded belong to
// parse while both goroutines run, the rest to store.
type run struct {
	Import

	sum Summary
}

// look reads every file for its newest time.
func (r *run) look(ctx context.Context) (newest attune.Millis, err error) {
	p := Progress{Looking: true}
	for _, name := range r.Files {
		before := p.Bytes
		in, err := r.each(ctx, name, func(row *Row, at int64) error {
			newest = max(newest, row.Time)
			if p.Events++; p.Events%4096 == 0 {
				p.Bytes = before + at
				r.progress(p)
			}
			return nil
		}, func(*Fault) error { return nil })
		if err != nil {
			return 0, err
		}
		p.Bytes = before + in.Read()
		r.progress(p)
	}
	return newest, nil
}

func (r *run) progress(p Progress) {
	if r.Progress != nil {
		r.Progress(p)
	}
}

// each calls good for every row of the file that can be used, with the bytes
// read so far, and bad for every other. It returns the reader for its figures.
func (r *run) each(ctx context.Context, name string, good func(*Row, int64) error, bad func(*Fault) error) (*Reader, error) {
	o := r.Options
	o.Shift = r.sum.Shift
	in, err := Open(name, o)
	if err != nil {
		return nil, err
	}
	defer in.Close() //nolint:errcheck // it was only read
	for n := 0; ; n++ {
		if n%1024 == 0 && ctx.Err() != nil {
			return nil, ctx.Err()
		}
		row, err := in.Next()
		var f *Fault
		switch {
		case err == nil:
			err = good(&row, in.Read())
		case errors.Is(err, io.EOF):
			return in, nil
		case errors.As(err, &f):
			err = bad(f)
		default:
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		if err != nil {
			return nil, err
		}
	}
}

// parse reads every file and hands on what it says.
func (r *run) parse(ctx context.Context, full chan<- *batch) error {
	var done int64
	for _, name := range r.Files {
		b := &batch{file: name}
		hand := func(at int64) error {
			b.bytes = done + at
			select {
			case full <- b:
			case <-ctx.Done():
				return ctx.Err()
			}
			b = &batch{file: name, events: make([][]byte, 0, r.Batch), rows: make([]int64, 0, r.Batch)}
			return nil
		}
		var at int64
		in, err := r.each(ctx, name, func(row *Row, read int64) error {
			at = read
			b.take(row)
			r.sum.Newest = max(r.sum.Newest, row.Time)
			if len(b.events)+len(b.items) < r.Batch && b.size < maxBatchBytes {
				return nil
			}
			return hand(read)
		}, func(f *Fault) error {
			if b.faults = append(b.faults, f); len(b.faults) < r.Batch {
				return nil
			}
			return hand(at)
		})
		if err != nil {
			return err
		}
		if err := hand(in.Read()); err != nil {
			return err
		}
		done += in.Read()
		r.sum.Files++
		for reason, n := range in.Excluded() {
			r.sum.ExcludeReasons[reason] += n
			r.sum.Excluded += n
		}
	}
	return nil
}

// take adds what a row came to.
func (b *batch) take(row *Row) {
	if row.Item != nil {
		b.items = append(b.items, *row.Item)
		b.size += 256
		return
	}
	b.events, b.rows = append(b.events, row.Event), append(b.rows, row.Number)
	b.size += len(row.Event)
}

// store gives batches to the sink until there are no more.
func (r *run) store(ctx context.Context, full <-chan *batch) error {
	for b := range full {
		if err := r.put(ctx, b); err != nil {
			return err
		}
		r.progress(Progress{Bytes: b.bytes, Events: r.sum.Events})
	}
	return nil
}

func (r *run) put(ctx context.Context, b *batch) error {
	var refused []collect.Rejection
	if r.Sink != nil && len(b.items) > 0 {
		if err := patiently(ctx, func() error { return r.Sink.Items(ctx, b.items) }); err != nil {
			return fmt.Errorf("store %d items of %s: %w", len(b.items), b.file, err)
		}
	}
	if r.Sink != nil && len(b.events) > 0 {
		err := patiently(ctx, func() (err error) {
			refused, err = r.Sink.Events(ctx, b.events)
			return err
		})
		if err != nil {
			return fmt.Errorf("store %d events of %s, the first of row %d: %w", len(b.events), b.file, b.rows[0], err)
		}
	}
	r.sum.Events += int64(len(b.events))
	r.sum.Items += int64(len(b.items))
	r.sum.Accepted += int64(len(b.events) - len(refused))
	for _, x := range refused {
		if x.Index < 0 || x.Index >= len(b.events) {
			continue
		}
		b.faults = append(b.faults, faultAt(b.rows[x.Index], b.events[x.Index], "%s", x.Reason))
	}
	return r.reject(b)
}

// maxReasons bounds the reasons that are counted by themselves.
const maxReasons = 100

// reject counts and writes down what was not taken.
func (r *run) reject(b *batch) error {
	for _, f := range b.faults {
		r.sum.Rejected++
		reason := f.Reason
		if _, known := r.sum.Reasons[reason]; !known && len(r.sum.Reasons) >= maxReasons {
			reason = "other reasons"
		}
		r.sum.Reasons[reason]++
		if r.Rejects == nil {
			continue
		}
		line, err := json.Marshal(struct {
			File   string `json:"file"`
			Row    int64  `json:"row"`
			Reason string `json:"reason"`
			Raw    string `json:"raw"`
		}{b.file, f.Row, f.Reason, f.Raw})
		if err != nil {
			return fmt.Errorf("row %d of %s: encode its rejection: %w", f.Row, b.file, err)
		}
		if _, err := r.Rejects.Write(append(line, '\n')); err != nil {
			return fmt.Errorf("write the rejects: %w", err)
		}
	}
	return nil
}

// patiently calls do until it is no longer busy. What is behind it has a bound
// and works it off, so that waiting is right and giving up is not.
func patiently(ctx context.Context, do func() error) error {
	for wait := 2 * time.Millisecond; ; wait = min(2*wait, time.Second) {
		err := do()
		if !errors.Is(err, attune.ErrBusy) {
			return err
		}
		pause := time.NewTimer(wait)
		select {
		case <-pause.C:
		case <-ctx.Done():
			pause.Stop()
			return ctx.Err()
		}
	}
}
