package pipeline

import (
	"context"
	"errors"
	"fmt"

	"github.com/attune-io/attune/profile"
)

// The tables of a checkpoint beside the parts. A row's key is its table's
// prefix and the key the table's owner gave.
const (
	tableCatalog  = "x/c/"
	tableItems    = "x/i/"
	tableViewed   = "x/v/"
	tableBought   = "x/b/"
	tableSessions = "x/s/"
	tableOrders   = "x/o/"
	tableClicks   = "x/k/"
	tableLog      = "x/d/"
	tableMembers  = "x/m/"
	tableAudience = "x/a/"
	tablePassages = "x/p/"
	tableSweep    = "x/w/"
)

// table is state that is saved row by row and held in memory whole.
type table struct {
	prefix string
	dirty  func(put func(key, value []byte))
	load   func(key, value []byte) error
}

// tables lists what is in memory whole; orders and the decision index are read
// row by row instead.
func (p *Pipeline) tables() []table {
	m := p.opt.Models
	return []table{
		{tableCatalog, p.opt.Catalog.Dirty, p.opt.Catalog.Load},
		{tableItems, m.Items.Dirty, m.Items.Load},
		{tableViewed, m.Viewed.Dirty, m.Viewed.Load},
		{tableBought, m.Bought.Dirty, m.Bought.Load},
		{tableSessions, m.Sessions.Dirty, m.Sessions.Load},
		{tableClicks, p.clicks.dirtyRows, p.clicks.load},
		{tableMembers, p.seg.dirtyRows, p.seg.load},
		{tableAudience, p.seg.dirtyAudiences, p.seg.loadAudience},
		{tableSweep, p.swept.dirtyRows, p.swept.load},
	}
}

// load reads every table.
func (p *Pipeline) load(ctx context.Context) error {
	for _, t := range p.tables() {
		skip := len(t.prefix)
		if err := p.opt.Store.Scan(ctx, []byte(t.prefix), func(k, v []byte) error {
			return t.load(k[skip:], v)
		}); err != nil {
			return fmt.Errorf("load table %s of the checkpoint: %w", t.prefix, err)
		}
	}
	return nil
}

// Checkpoint writes what changed since the last one, with the positions it
// reflects, in one atomic batch. Workers stand still while the tables are
// encoded and the parts marked; a worker that reaches a marked part before it is
// collected saves it as it was.
//
// A touch is an output that a checkpoint must not overtake: once the positions
// say that a device's events are folded, nobody would ask its user's worker
// again. So the touches are journaled first.
//
// An error of the store loses nothing as long as the process lives: the next
// checkpoint writes what this one could not. One that wraps attune.ErrBusy is
// the journal's, whose queue is full: try again later.
func (p *Pipeline) Checkpoint(ctx context.Context) error {
	_, err := p.write(ctx, false)
	return err
}

// write returns the positions it wrote.
func (p *Pipeline) write(ctx context.Context, sync bool) (applied []uint64, err error) {
	p.writing.Lock()
	defer p.writing.Unlock()
	if err := p.seg.flush(ctx); err != nil {
		return nil, err
	}
	b := &p.batch
	p.gate.Lock()
	// What came in between is little: this wait for the disk is short.
	err = p.seg.flush(ctx)
	if err == nil && p.torn.Load() {
		err = errTorn
	}
	if err != nil {
		p.gate.Unlock()
		return nil, err
	}
	applied = p.Applied()
	b.Journal, b.Applied, b.Sync = p.id, applied, sync
	p.opt.Parts.Mark()
	for _, t := range p.tables() {
		putRows(b, t.prefix, t.dirty)
	}
	putRows(b, tableOrders, p.orders.dirtyRows)
	putRows(b, tableLog, p.log.dirtyRows)
	putRows(b, "", p.entities.dirtyRows)
	putRows(b, tablePassages, p.passages.dirtyRows)
	p.gate.Unlock()
	p.opt.Parts.Collect(b)
	err = p.opt.Store.Commit(ctx, b)
	p.opt.Parts.Saved(err)
	if err != nil {
		// The tables think that their rows are written, so the batch keeps
		// them: the next checkpoint appends to it, and later rows win.
		return nil, fmt.Errorf("write a checkpoint: %w", err)
	}
	b.Reset()
	p.orders.committed()
	p.log.committed()
	p.entities.committed()
	p.passages.committed()
	return applied, nil
}

// errTorn is why there are no checkpoints any more.
var errTorn = errors.New("a batch of records was folded in part: no checkpoint may be written; start the process again")

func putRows(b *profile.Batch, prefix string, dirty func(put func(key, value []byte))) {
	key := []byte(prefix)
	dirty(func(k, v []byte) {
		key = append(key[:len(prefix)], k...)
		if v == nil {
			b.Delete(key)
			return
		}
		b.Put(key, v)
	})
}

// Synced writes a checkpoint that survives a power loss, and returns the
// positions it reflects: records up to them may be let go.
func (p *Pipeline) Synced(ctx context.Context) ([]uint64, error) {
	// Not the store's positions: a checkpoint that came since may be in them,
	// and that one need not survive.
	return p.write(ctx, true)
}
