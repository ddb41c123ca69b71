package serve

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/attune-io/attune"
	"github.com/attune-io/attune/identity"
	"github.com/attune-io/attune/profile"
)

// Recorder journals decisions behind the answers' back. Its queue is bounded:
// what does not fit is dropped and counted, never waited for. Logged may be
// called by any number of goroutines; Run once.
type Recorder struct {
	journal Appender
	log     *slog.Logger
	queue   chan entry // never closed
	dropped atomic.Uint64
}

// entry is a decision on its way into the journal. Whatever costs time to say
// of it is made out here, away from the answer.
type entry struct {
	log    *attune.DecisionLog
	person *profile.Person
}

// NewRecorder returns a Recorder with room for pending decisions, two kilobytes
// each; 0 is 16,384.
func NewRecorder(to Appender, pending int, log *slog.Logger) *Recorder {
	if pending <= 0 {
		pending = 16_384
	}
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &Recorder{journal: to, log: log, queue: make(chan entry, pending)}
}

// Logged implements DecisionLogger.
func (rec *Recorder) Logged(d *attune.DecisionLog, of *profile.Person) bool {
	select {
	case rec.queue <- entry{d, of}:
		return true
	default:
		rec.dropped.Add(1)
		return false
	}
}

// Dropped returns how many decisions were not journaled.
func (rec *Recorder) Dropped() uint64 { return rec.dropped.Load() }

const (
	recordBatch = 2048                  // more than come while one batch is made durable
	recordEvery = 10 * time.Millisecond // that decisions are gathered for
	recordPause = 50 * time.Millisecond // between tries while the journal is busy
)

// Run journals what is queued until ctx ends, then once more what is left.
// Nobody waits for a decision's record, so a few milliseconds of them go
// together: each append costs a commit and wakes every reader of its partition.
func (rec *Recorder) Run(ctx context.Context) error {
	b := &book{records: make([]attune.Record, 0, recordBatch)}
	pause := time.NewTimer(recordEvery)
	defer pause.Stop()
	for {
		var first entry
		select {
		case first = <-rec.queue:
		case <-ctx.Done():
			rec.drain(context.WithoutCancel(ctx), b)
			return nil
		}
		pause.Reset(recordEvery)
		select {
		case <-pause.C:
		case <-ctx.Done():
		}
		b.add(&first)
		rec.gather(b)
		rec.flush(ctx, b)
		rec.drain(ctx, b)
	}
}

// drain journals all that is queued.
func (rec *Recorder) drain(ctx context.Context, b *book) {
	for len(rec.queue) > 0 {
		rec.gather(b)
		rec.flush(ctx, b)
	}
}

// gather adds what is queued right now to b.
func (rec *Recorder) gather(b *book) {
	for len(b.records) < recordBatch {
		select {
		case e := <-rec.queue:
			b.add(&e)
		default:
			return
		}
	}
}

// flush appends the records of b and empties it. While the journal is busy it
// tries again a few times: events come before the record of what was answered.
func (rec *Recorder) flush(ctx context.Context, b *book) {
	batch := b.records
	b.records = batch[:0]
	var err error
	for range 5 {
		if err = rec.journal.Append(ctx, batch); !errors.Is(err, attune.ErrBusy) {
			break
		}
		pause := time.NewTimer(recordPause)
		select {
		case <-pause.C:
		case <-ctx.Done():
			pause.Stop()
		}
	}
	if err != nil {
		rec.dropped.Add(uint64(len(batch)))
		rec.log.LogAttrs(ctx, slog.LevelWarn, "decisions not journaled",
			slog.Int("decisions", len(batch)), slog.Any("error", err))
	}
}

// book is the memory that decisions become records in; one goroutine writes it.
type book struct {
	records []attune.Record
	inputs  []attune.Input
	ids     []string // of all inputs of one decision
}

// add appends the record of e to b, in the memory of the payload that stood at
// its place before: the journal copies payloads.
func (b *book) add(e *entry) {
	d := e.log
	b.explain(e)
	n := len(b.records)
	if cap(b.records) == n {
		b.records = append(b.records, attune.Record{})
	}
	b.records = b.records[:n+1]
	key := "t:" + d.ID // nobody's: anywhere
	switch {
	case d.UserID != "":
		key = identity.UserKey(d.UserID)
	case d.AnonymousID != "":
		key = identity.DeviceKey(d.AnonymousID)
	}
	payload := b.records[n].Payload[:0]
	if cap(payload) > maxSpare {
		payload = nil // of an explanation: not to be kept
	}
	b.records[n] = attune.Record{
		Kind: attune.KindDecision, Key: key, Time: d.At, ReceivedAt: d.At, Payload: d.AppendLog(payload, b.inputs),
	}
	clear(b.inputs) // the people they are of may go
	clear(b.ids)
}

// maxSpare bounds the payload whose memory is used again.
const maxSpare = 4 << 10
