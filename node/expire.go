package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/attune-io/attune"
)

// How devices that went quiet are looked for. A walk reads every device that
// is stored, so it goes slowly: expiryStep of them, then a rest, which leaves
// a walk over ten million devices about twenty minutes and a few per cent of a
// core. What it finds goes to the journal in portions.
const (
	expiryPause   = 6 * time.Hour // between two walks
	expiryStep    = 512
	expiryRest    = 50 * time.Millisecond
	expiryPortion = 256
)

// expire drops unclaimed history by age until ctx ends.
func (n *Node) expire(ctx context.Context) error {
	pause := n.opt.Expiry
	if pause <= 0 {
		pause = expiryPause
	}
	next := time.NewTicker(pause)
	defer next.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-next.C:
		}
		dropped, err := n.expireQuiet(ctx, expiryRest)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			n.log.Error("expire the history of quiet devices; it is tried again with the next walk", slog.Any("error", err))
		case dropped > 0:
			n.log.Info("the history of quiet devices expires", slog.Int("devices", dropped))
		}
	}
}

// expireQuiet walks over all devices once and appends an expiry record for each
// that has history of nobody's and was quiet for longer than it is kept. It
// rests between steps, and returns how many records it appended.
//
// The record says up to when the device must have been quiet. What comes after
// the look has a receipt after that, and its own place in the device's log:
// where it is before the record, the fold leaves the device alone; where it is
// behind, the device begins anew. A replay folds the same log and does the same.
func (n *Node) expireQuiet(ctx context.Context, rest time.Duration) (dropped int, err error) {
	keep := n.cfg.Load().Profiles.UnclaimedTTL
	if keep.Millis() <= 0 {
		return 0, nil
	}
	now := n.clock()
	cutoff := now.Add(-time.Duration(keep))
	if cutoff <= 0 {
		return 0, nil // 0 would say "whenever that was"
	}
	recs := make([]attune.Record, 0, expiryPortion)
	flush := func() error {
		if len(recs) == 0 {
			return nil
		}
		if err := n.journal.Append(ctx, recs); err != nil {
			return fmt.Errorf("append %d expiry records: %w", len(recs), err)
		}
		dropped += len(recs)
		recs = recs[:0]
		return nil
	}
	seen := 0
	err = n.parts.Quiet(ctx, cutoff, func(key string, expired bool) error {
		if seen++; seen%expiryStep == 0 {
			if err := sleep(ctx, rest); err != nil {
				return err
			}
		}
		if !expired {
			return nil
		}
		recs = append(recs, attune.Record{Kind: attune.KindExpiry, Key: key, Time: cutoff, ReceivedAt: now})
		if len(recs) < expiryPortion {
			return nil
		}
		return flush()
	})
	return dropped, errors.Join(err, flush())
}

// sleep waits for d, or returns ctx's error when it ends before.
func sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}
