package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/attune-io/attune"
	"github.com/attune-io/attune/collect"
	"github.com/attune-io/attune/collect/geo"
	"github.com/attune-io/attune/config"
)

// gateOf is what a source's events pass, as collect asks for it.
func gateOf(g *config.Gate) *collect.Gate {
	if g == nil {
		return nil
	}
	return &collect.Gate{Steps: g.Steps, Plan: g.Plan, Refuse: g.Drop}
}

// openPlaces opens the database of places, when there is one.
func (n *Node) openPlaces(cfg *config.Config) (err error) {
	if path := cfg.Collect.Geo.Database; path != "" {
		n.places, err = geo.Open(path)
	}
	return err
}

// geo is the database of places as collect asks for it: nil is none.
func (n *Node) geo() collect.Geo {
	if n.places == nil {
		return nil
	}
	return n.places
}

// placesEvery is how often it is looked whether the database of places changed.
const placesEvery = 5 * time.Second

// watchPlaces reads the database of places again when it changes, until ctx
// ends.
func (n *Node) watchPlaces(ctx context.Context) error {
	if n.places == nil {
		return nil
	}
	t := time.NewTicker(placesEvery)
	defer t.Stop()
	said := ""
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-t.C:
		}
		changed, err := n.places.Refresh()
		switch {
		case err != nil && err.Error() != said:
			said = err.Error() // once
			n.log.Warn("the database of places was not read; the old one stays", slog.Any("error", err))
		case err == nil:
			said = ""
		}
		if changed {
			n.log.Info("read the database of places again", slog.String("file", n.cfg.Load().Collect.Geo.Database))
		}
	}
}

// Events calls each for every event in the journal of cfg's data directory,
// partition by partition, oldest first; what an event points to is good until
// each returns. It changes nothing. Records that do not read are stepped over
// and counted. An error of each ends it. progress, nil or not, hears how many of
// how many records were read.
func Events(ctx context.Context, cfg config.Config, log *slog.Logger, each func(*attune.Event) error, progress func(done, all uint64)) (unread uint64, err error) {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	n := &Node{log: log}
	defer func() { err = errors.Join(err, n.Close()) }()
	if err := n.openBackends(&cfg); err != nil {
		return 0, err
	}
	status := n.journal.Status()
	r := reading{n: n, each: each, progress: progress}
	for p := range status.Last {
		r.all += status.Last[p] + 1 - status.First[p]
	}
	for p := range status.Last {
		if status.Last[p] < status.First[p] {
			continue
		}
		if err := r.partition(ctx, p, status.First[p], status.Last[p]); err != nil {
			return r.unread, err
		}
	}
	return r.unread, nil
}

// reading is one call of Events.
type reading struct {
	n                 *Node
	each              func(*attune.Event) error
	progress          func(done, all uint64)
	done, all, unread uint64
}

// readAtOnce is how many records are asked for at once.
const readAtOnce = 1000

// partition reads one partition from first to last.
func (r *reading) partition(ctx context.Context, p int, first, last uint64) (err error) {
	reader, err := r.n.journal.Read(p, first)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, reader.Close()) }()
	for at := first; at <= last; {
		recs, err := reader.Next(ctx, readAtOnce)
		if err != nil {
			return fmt.Errorf("read partition %d from %d: %w", p, at, err)
		}
		for i := range recs {
			if recs[i].Offset > last {
				return nil
			}
			at = recs[i].Offset + 1
			r.done++
			if recs[i].Kind != attune.KindEvent {
				continue
			}
			var e attune.Event
			if e.UnmarshalBinary(recs[i].Payload) != nil {
				r.unread++
				continue
			}
			if err := r.each(&e); err != nil {
				return err
			}
		}
		if r.progress != nil {
			r.progress(r.done, r.all)
		}
	}
	return nil
}
