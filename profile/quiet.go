package profile

import (
	"context"
	"fmt"

	"github.com/attune-io/attune"
	"github.com/attune-io/attune/identity"
)

// Quiet walks over all devices that the store holds, by id. It calls fn once
// for each: expired says that the device has history of nobody's and that its
// newest event was received before cutoff. The store may be behind by a
// checkpoint, so who acts on it has to be right when an event came since; a
// KindExpiry record with cutoff as its Time is. An error of fn ends the walk
// and is returned; any other is the store's.
func (ps *Parts) Quiet(ctx context.Context, cutoff attune.Millis, fn func(key string, expired bool) error) error {
	if ps.store == nil {
		return nil
	}
	return ps.store.Scan(ctx, PartKey(ps.workspace, identity.DeviceKey("")), func(_, value []byte) error {
		// Most devices are not quiet, and what says so is at the front.
		d := decoder{b: value}
		d.byte()
		d.uvarint()
		key, received := d.string(), d.millis()
		if d.bad {
			return fmt.Errorf("part %q of %d bytes: %w", key, len(value), attune.ErrCorrupt)
		}
		if received >= cutoff {
			return fn(key, false)
		}
		p, err := ps.folder.DecodePart(value)
		if err != nil {
			return err
		}
		return fn(key, p.unclaimed())
	})
}

// unclaimed reports whether an expiry would drop anything of p.
func (p *Part) unclaimed() bool {
	return p.Last.Owner == "" && !p.Last.State.Empty() || p.closed("") != nil
}
