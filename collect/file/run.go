package file

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/attune-io/attune"
	"github.com/attune-io/attune/collect"
)

// Sink is where an import goes: a node's collector and journal, or a server.
// As many goroutines call it at once as files are read. An error that wraps attune.ErrBusy means "the same
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
	// Files are read in order, Parallel of them at once; 0 is one. What people
	// do is the same in whatever order it is read; what is on sale, and what
	// goes with what, may depend on it.
	Files    []string
	Parallel int
	// Options hold for every file; Name and Shift are of each file's own.
	Options Options
	// ShiftTo moves every time so that the newest event of all files is at
	// ShiftTo; 0 leaves times as they are. It costs a first reading.
	ShiftTo attune.Millis
	// Places remembers how far each file was taken, so that an import that was
	// killed goes on there. Nil begins at the beginning.
	Places *Places
	// Sink takes what was read. Nil reads only.
	Sink Sink
	// Rejects gets one JSON object a line for each row that was not taken:
	// {"file","row","reason","raw"}. One that has a Flush is flushed before a
	// place is kept. Nil keeps counts only.
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
	// Resumed are rows that an earlier run, which did not end, had taken; they
	// are not counted above.
	Resumed int64 `json:"resumed,omitempty"`
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
	rows   []int64
	events [][]byte
	items  []attune.Item
	faults []*Fault
	newest attune.Millis
	bytes  int64 // of the file that were read
	taken  int64 // rows and faults of the file, with those of this batch
	size   int
}

// maxBatchBytes bounds a batch of large events. The collector keeps its memory
// from one batch to the next as long as they are of about this size.
const maxBatchBytes = 448 << 10

// Run reads the files and stores what they say: two goroutines a file, with at
// most a few batches between them, so that one reads ahead while the other
// stores. On an error the summary says how far it came: everything counted as
// accepted is durable, and running again is safe, since what is durable counts
// once; with Places it goes on where it was.
func Run(ctx context.Context, in Import) (Summary, error) {
	r := &run{Import: in, sum: Summary{Reasons: map[string]int64{}, ExcludeReasons: map[string]int64{}}}
	if r.Batch <= 0 {
		r.Batch = 1000
	}
	if err := r.recall(ctx); err != nil {
		return r.sum, err
	}
	group, within := errgroup.WithContext(ctx)
	group.SetLimit(max(r.Parallel, 1))
	for i := range r.Files {
		group.Go(func() error {
			if err := within.Err(); err != nil {
				return err
			}
			return r.file(within, &r.taking[i])
		})
	}
	if err := group.Wait(); err != nil {
		return r.sum, err
	}
	// Only now: an import of several files that is killed goes on behind those
	// it is done with.
	for i := range r.taking {
		if err := r.Places.forget(&r.taking[i].Place); err != nil {
			return r.sum, err
		}
	}
	return r.sum, nil
}

// run is one Import under way. What is below the lock belongs to it while files
// are being read.
type run struct {
	Import

	taking []taking

	mu   sync.Mutex
	sum  Summary
	read int64 // bytes of all files
}

// taking is a file under way, with how far it was taken by earlier runs and by
// this one.
type taking struct {
	Place

	name     string
	bytes    int64 // that are in run.read
	kept     time.Time
	excluded map[string]int64
}

// recall looks up where each file goes on, and how times are moved: as the run
// did that began with these files.
func (r *run) recall(ctx context.Context) error {
	r.taking = make([]taking, len(r.Files))
	shift, known := attune.Millis(0), false
	for i, name := range r.Files {
		place, err := r.Places.of(name, &r.Options, r.ShiftTo != 0)
		if err != nil {
			return err
		}
		r.taking[i] = taking{Place: place, name: name}
		if place.Taken > 0 {
			shift, known = place.Shift, true
			r.sum.Resumed += place.Taken
		}
	}
	if !known && r.ShiftTo != 0 {
		newest, err := r.look(ctx)
		if err != nil {
			return err
		}
		if newest != 0 {
			shift = r.ShiftTo - newest
		}
	}
	r.sum.Shift = shift
	for i := range r.taking {
		r.taking[i].Shift = shift
	}
	return nil
}

// file reads one file and stores what it says.
func (r *run) file(ctx context.Context, t *taking) error {
	if t.Done {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.sum.Files++
		r.read += t.Size
		return nil
	}
	// parse closes full; store reads it to the end.
	full := make(chan *batch, 4)
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		defer close(full)
		return r.parse(ctx, t, full)
	})
	group.Go(func() error { return r.store(ctx, t, full) })
	err := group.Wait()
	r.mu.Lock()
	defer r.mu.Unlock()
	if err != nil {
		return errors.Join(err, r.keep(t))
	}
	r.sum.Files++
	for reason, n := range t.excluded {
		r.sum.ExcludeReasons[reason] += n
		r.sum.Excluded += n
	}
	t.Done = true
	return r.keep(t)
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

// parse reads a file and hands on what it says, but for what was taken already:
// a file gives the same rows and faults each time, in the same order.
func (r *run) parse(ctx context.Context, t *taking, full chan<- *batch) error {
	from, taken := t.Taken, int64(0)
	b := &batch{}
	hand := func(at int64) error {
		b.bytes, b.taken = at, taken
		select {
		case full <- b:
		case <-ctx.Done():
			return ctx.Err()
		}
		b = &batch{events: make([][]byte, 0, r.Batch), rows: make([]int64, 0, r.Batch)}
		return nil
	}
	var at int64
	in, err := r.each(ctx, t.name, func(row *Row, read int64) error {
		at = read
		if taken++; taken <= from {
			return nil
		}
		b.take(row)
		if len(b.events)+len(b.items) < r.Batch && b.size < maxBatchBytes {
			return nil
		}
		return hand(read)
	}, func(f *Fault) error {
		if taken++; taken <= from {
			return nil
		}
		if b.faults = append(b.faults, f); len(b.faults) < r.Batch {
			return nil
		}
		return hand(at)
	})
	if err != nil {
		return err
	}
	t.excluded = in.Excluded() // store does not look at it
	return hand(in.Read())
}

// take adds what a row came to.
func (b *batch) take(row *Row) {
	b.newest = max(b.newest, row.Time)
	if row.Item != nil {
		b.items = append(b.items, *row.Item)
		b.size += 256
		return
	}
	b.events, b.rows = append(b.events, row.Event), append(b.rows, row.Number)
	b.size += len(row.Event)
}

// keepEvery is how often a place is kept: what was stored since is read, and
// stored, once more.
const keepEvery = 200 * time.Millisecond

// store gives batches to the sink until there are no more.
func (r *run) store(ctx context.Context, t *taking, full <-chan *batch) error {
	for b := range full {
		if err := r.put(ctx, t, b); err != nil {
			return err
		}
	}
	return nil
}

// keep writes down how far t was taken, all of which is durable. r.mu is held.
func (r *run) keep(t *taking) error {
	if t.Taken == 0 && !t.Done {
		return nil
	}
	if f, ok := r.Rejects.(interface{ Flush() error }); ok && r.Places != nil {
		if err := f.Flush(); err != nil {
			return fmt.Errorf("write the rejects: %w", err)
		}
	}
	t.kept = time.Now() //nolint:forbidigo // how often places are kept is no state
	return r.Places.keep(&t.Place)
}

// put stores b, then counts it and moves the place behind it.
func (r *run) put(ctx context.Context, t *taking, b *batch) error {
	var refused []collect.Rejection
	if r.Sink != nil && len(b.items) > 0 {
		if err := patiently(ctx, func() error { return r.Sink.Items(ctx, b.items) }); err != nil {
			return fmt.Errorf("store %d items of %s: %w", len(b.items), t.name, err)
		}
	}
	if r.Sink != nil && len(b.events) > 0 {
		err := patiently(ctx, func() (err error) {
			refused, err = r.Sink.Events(ctx, b.events)
			return err
		})
		if err != nil {
			return fmt.Errorf("store %d events of %s, the first of row %d: %w", len(b.events), t.name, b.rows[0], err)
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.sum.Newest = max(r.sum.Newest, b.newest)
	r.sum.Events += int64(len(b.events))
	r.sum.Items += int64(len(b.items))
	r.sum.Accepted += int64(len(b.events) - len(refused))
	for _, x := range refused {
		if x.Index < 0 || x.Index >= len(b.events) {
			continue
		}
		b.faults = append(b.faults, faultAt(b.rows[x.Index], b.events[x.Index], "%s", x.Reason))
	}
	if err := r.reject(t.name, b); err != nil {
		return err
	}
	t.Taken = b.taken
	r.read += b.bytes - t.bytes
	t.bytes = b.bytes
	r.progress(Progress{Bytes: r.read, Events: r.sum.Events})
	if time.Since(t.kept) < keepEvery {
		return nil
	}
	return r.keep(t)
}

// maxReasons bounds the reasons that are counted by themselves.
const maxReasons = 100

// reject counts and writes down what was not taken.
func (r *run) reject(name string, b *batch) error {
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
		}{name, f.Row, f.Reason, f.Raw})
		if err != nil {
			return fmt.Errorf("row %d of %s: encode its rejection: %w", f.Row, name, err)
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
