package pipeline

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"sync"

	"github.com/attune-io/attune"
	"github.com/attune-io/attune/identity"
)

// sweep remembers with which segments everybody was looked at. People are
// evaluated when something happens to them; when the segments themselves
// change, everybody is asked for once, by touches, in the background.
type sweep struct {
	again chan struct{} // one token: the segments may have changed; never closed

	mu    sync.Mutex
	by    uint64 // the ID of the set that everybody was looked at with; 0 is none
	dirty bool
}

// The pace of a sweep: so many people at a time, and the next ones once the
// pipeline is that near to the end of the journal.
const (
	sweepBatch = 256
	sweepLag   = 1024
)

// SegmentsChanged says that Options.Segments may give others than before.
func (p *Pipeline) SegmentsChanged() {
	select {
	case p.swept.again <- struct{}{}:
	default:
	}
}

// sweeps looks after everybody whenever the segments are others, until ctx
// ends.
func (p *Pipeline) sweeps(ctx context.Context) error {
	if p.opt.Replay {
		return nil
	}
	for i := range p.marks { // whoever is evaluated is whole
		if err := p.marks[i].wait(ctx, p.seg.published[i]); err != nil {
			return quiet(err)
		}
	}
	for {
		switch err := p.everybody(ctx); {
		case ctx.Err() != nil, errors.Is(err, attune.ErrClosed):
			return nil //nolint:nilerr // it was asked to stop
		case err != nil:
			p.opt.Log.Error("look at everybody after the segments changed; it is tried again at the next change or start", slog.Any("error", err))
		}
		select {
		case <-ctx.Done():
			return nil
		case <-p.swept.again:
		}
	}
}

// everybody asks for a look at each user that the store has, unless that was
// done with these segments.
func (p *Pipeline) everybody(ctx context.Context) error {
	set := p.seg.definitions()
	id := set.ID()
	if p.swept.is(id) {
		return nil
	}
	if p.seg.none() {
		p.swept.set(id)
		return nil
	}
	p.swept.set(0)
	if err := p.Checkpoint(ctx); err != nil { // so that the store has everybody
		return err
	}
	var users []string
	ask := func() error {
		for _, user := range users {
			p.seg.later(user, &reason{at: p.opt.Now(), all: true})
		}
		users = users[:0]
		return p.paced(ctx)
	}
	err := p.opt.Parts.Keys(ctx, identity.UserKey(""), func(key string) error {
		if user, ok := identity.User(key); ok {
			users = append(users, user)
		}
		if len(users) < sweepBatch {
			return nil
		}
		return ask()
	})
	if err == nil {
		err = ask()
	}
	if err != nil {
		return fmt.Errorf("look at everybody: %w", err)
	}
	if p.seg.definitions() != set { // they changed meanwhile
		p.SegmentsChanged()
		return nil
	}
	p.swept.set(id)
	p.changed()
	return nil
}

// paced journals what was asked for, and returns once the pipeline is near to
// the end of the journal.
func (p *Pipeline) paced(ctx context.Context) error {
	for {
		err := p.seg.flush(ctx)
		if err != nil && !errors.Is(err, attune.ErrBusy) {
			return err
		}
		if err == nil && p.Lag() < sweepLag {
			return nil
		}
		rest(ctx)
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
}

func (s *sweep) is(id uint64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.by == id
}

func (s *sweep) set(id uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.dirty = s.dirty || s.by != id
	s.by = id
}

func (s *sweep) dirtyRows(put func(key, value []byte)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.dirty {
		put(nil, binary.LittleEndian.AppendUint64(nil, s.by))
		s.dirty = false
	}
}

func (s *sweep) load(_, value []byte) error {
	if len(value) != 8 {
		return fmt.Errorf("with which segments everybody was looked at: %w", attune.ErrCorrupt)
	}
	s.by = binary.LittleEndian.Uint64(value)
	return nil
}
