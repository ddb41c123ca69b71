package node

import (
	"context"
	"log/slog"
	"time"
)

// housekeep does what time alone makes necessary, until ctx ends: dates of
// items pass, and records grow older than they are kept.
func (n *Node) housekeep(ctx context.Context) error {
	minute := time.NewTicker(time.Minute)
	defer minute.Stop()
	second := time.NewTicker(time.Second)
	defer second.Stop()
	hour := time.NewTicker(time.Hour)
	defer hour.Stop()
	n.catalog.Tick(n.clock())
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-second.C:
			// So that no reader pays for a look at every item.
			n.models.Items.Refresh(n.clock())
		case <-minute.C:
			n.catalog.Tick(n.clock())
			if err := n.trim(ctx); err != nil {
				n.log.Error("trim the journal; it keeps more than it should", slog.Any("error", err))
			}
		case <-hour.C:
			if _, err := n.pipeline.Forget(ctx); err != nil {
				n.log.Error("forget old decisions; the index keeps more than it should", slog.Any("error", err))
			}
		}
	}
}

// trim lets go of records older than the retention, but of none that profiles
// on disk do not reflect.
func (n *Node) trim(ctx context.Context) error {
	keep := n.cfg.Load().Journal.Retention
	if keep.Millis() <= 0 {
		return nil
	}
	applied, err := n.pipeline.Synced(ctx)
	if err != nil {
		return err
	}
	return n.journal.Trim(ctx, n.clock().Add(-time.Duration(keep)), applied)
}
