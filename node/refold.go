package node

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"time"

	"github.com/attune-io/attune/config"
	"github.com/attune-io/attune/feature"
	"github.com/attune-io/attune/pipeline"
)

// prepare makes sure that what is kept of people was folded with the features
// of today. A definition that is new or changed has no history in the parts on
// disk: while the journal is whole they are dropped, and folded again from its
// beginning. Once the retention has cut the journal that would lose history, so
// the new definition starts empty, and the log says so.
func (n *Node) prepare(ctx context.Context, cfg *config.Config, sets []*feature.Set) error {
	names, err := pipeline.Unfolded(ctx, n.store, sets...)
	if err != nil {
		return err
	}
	switch whole := !slices.ContainsFunc(n.journal.Status().First, func(first uint64) bool { return first > 1 }); {
	case len(names) == 0:
	case whole:
		n.log.Warn("features are new or changed: everybody's history is folded again before requests are taken", slog.Any("features", names))
		if err := n.store.Close(); err != nil {
			return err
		}
		if err := os.RemoveAll(profilesDir(cfg)); err != nil {
			return fmt.Errorf("drop the profiles to fold them again: %w", err)
		}
		if err := n.openProfiles(cfg); err != nil {
			return err
		}
		n.refolding = true
	default:
		n.log.Error("features are new or changed, and the journal no longer reaches back to the beginning: they count from now on", slog.Any("features", names))
	}
	return pipeline.NoteFeatures(ctx, n.store, sets...)
}

// refold waits until the journal is folded again, and says how far it is.
func (n *Node) refold(ctx context.Context) error {
	if !n.refolding {
		return nil
	}
	began := time.Now()
	done := make(chan error, 1) // one send, one receive
	go func() { done <- n.pipeline.CaughtUp(ctx) }()
	progress := time.NewTicker(2 * time.Second)
	defer progress.Stop()
	for {
		select {
		case err := <-done:
			n.log.Info("the history is folded again", slog.Duration("took", time.Since(began)))
			return err
		case <-progress.C:
			n.log.Info("folding the history again", slog.Uint64("records_left", n.pipeline.Lag()))
		}
	}
}
