package node

import (
	"context"
	"log/slog"
	"time"

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
