package profile

import (
	"slices"
	"strings"
)

// Checkpoint appends every dirty part to b, and returns how many there were:
// Mark and Collect in one. Writers must hold still from before the positions
// of b are read until Checkpoint returns; Saved must follow.
func (ps *Parts) Checkpoint(b *Batch) int {
	n := ps.Mark()
	ps.Collect(b)
	return n
}

// Mark fixes what the next Collect appends: every dirty part as it is now.
// Writers must hold still only from before the positions are read until Mark
// returns, which is soon: nothing is encoded. One goroutine at a time may make
// checkpoints. When Saved did not follow the last one, its parts are marked
// again.
func (ps *Parts) Mark() int {
	ps.takeBack()
	var dirty []*held
	for i := range ps.shards {
		s := &ps.shards[i]
		s.dirtyMu.Lock()
		dirty = append(dirty, s.dirty...)
		clear(s.dirty)
		s.dirty = s.dirty[:0]
		s.dirtyMu.Unlock()
	}
	for _, h := range dirty {
		h.state.Store(isSaving | isMarked)
	}
	ps.saving = dirty
	return len(dirty)
}

// Collect appends to b what Mark marked, in order of keys. Writers may run: one
// that comes to a marked part first encodes it as it was. Saved must follow,
// with the error of b's commit.
func (ps *Parts) Collect(b *Batch) {
	slices.SortFunc(ps.saving, func(x, y *held) int { return strings.Compare(x.key, y.key) })
	for _, h := range ps.saving {
		h.mu.Lock()
		if h.state.Load()&isMarked != 0 {
			ps.capture(h, b)
		} else {
			b.add(&h.captured)
			h.captured = Batch{}
		}
		h.mu.Unlock()
	}
}

// capture appends h's part to b as it is now. h.mu is held.
func (ps *Parts) capture(h *held, b *Batch) {
	before := b.Size()
	b.put(PartKey(ps.workspace, h.key), func(buf []byte) []byte { return ps.folder.AppendPart(h.part, buf) })
	encoded := b.Size() - before
	s := &h.part.Seen
	h.wasDirty, h.wasStored = s.dirty, s.stored
	for c := s.stored; c < s.base/seenChunk; c++ {
		b.Delete(appendSeenKey(nil, ps.workspace, h.key, c))
	}
	for c := s.dirty / seenChunk; c*seenChunk < s.next && s.dirty < s.next; c++ {
		b.put(appendSeenKey(nil, ps.workspace, h.key, c), func(buf []byte) []byte { return s.appendChunk(buf, c) })
	}
	s.dirty, s.stored = s.next, s.base/seenChunk
	h.state.And(^isMarked)
	ps.resize(h, int64(overhead+expansion*encoded+s.size()))
}

// Saved says how the commit of the last checkpoint's batch went. When err is
// nil its parts are clean, unless they have changed since; else they are dirty
// again. Writers may run meanwhile.
func (ps *Parts) Saved(err error) {
	if err != nil {
		ps.takeBack()
		return
	}
	for _, h := range ps.saving {
		h.state.And(^isSaving)
	}
	ps.saving = nil
}

// takeBack makes the parts of a checkpoint that was not committed dirty again.
func (ps *Parts) takeBack() {
	for _, h := range ps.saving {
		ps.restore(h)
	}
	ps.saving = nil
}

func (ps *Parts) restore(h *held) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.state.Load()&isMarked == 0 {
		seen := &h.part.Seen
		seen.dirty = max(seen.base, min(seen.dirty, h.wasDirty))
		seen.stored = min(seen.stored, h.wasStored)
		h.captured = Batch{}
	}
	h.state.And(^(isSaving | isMarked))
	if h.state.Or(isDirty)&isDirty == 0 {
		s := ps.shard(h.key)
		s.dirtyMu.Lock()
		s.dirty = append(s.dirty, h)
		s.dirtyMu.Unlock()
	}
}
