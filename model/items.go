package model

import (
	"time"

	"github.com/attune-io/attune"
)

// Signal is something that happened to an item.
type Signal uint8

// The signals.
const (
	View Signal = iota
	Add
	Purchase
	Impression
	Click
	Conversion
)

// ItemsOptions set up Items. The zero value has the defaults.
type ItemsOptions struct {
	TrendingHalfLife time.Duration // 0 is 6 h
	PopularHalfLife  time.Duration // 0 is 14 days
	// Category returns the category of an item, 0 for none: the catalog's
	// View.Category. Nil: no lists by category.
	Category func(item int32) int32
	// Top bounds the lists; 0 is 1,000 over all items, and a fifth of it for
	// each category.
	Top int
}

// Observation is one signal.
type Observation struct {
	Signal Signal
	Item   int32 // -1: only the placement is counted
	// Units of a purchase line; below 1 it is 1. Ignored for other signals.
	Units     int64
	At        attune.Millis
	Placement string // where it was shown; "" counts for no placement
	// Undo takes an earlier observation with the same fields back.
	Undo bool
}

// Counts are the totals of one item.
type Counts struct{ Views, Adds, Purchases, Units, Impressions, Clicks int64 }

// PlacementCounts are the totals of one placement.
type PlacementCounts struct {
	Placement                        string
	Impressions, Clicks, Conversions int64
}

// CTR is clicks for each impression, 0 without impressions.
func (p PlacementCounts) CTR() float64 { return 0 }

// ConversionRate is conversions for each impression, 0 without impressions.
func (p PlacementCounts) ConversionRate() float64 { return 0 }

// Items are counters and decayed popularity of every item.
type Items struct {
	// Trending and Popular are what Observe feeds; read their lists.
	Trending, Popular *Trend
}

// NewItems returns empty statistics.
func NewItems(o ItemsOptions) *Items { return &Items{Trending: &Trend{}, Popular: &Trend{}} }

// Observe counts o.
func (s *Items) Observe(o Observation) {}

// Counts returns the totals of an item.
func (s *Items) Counts(item int32) Counts { return Counts{} }

// Rate is the smoothed click-through of an item.
func (s *Items) Rate(item int32) float32 { return 0 }

// Placements returns the totals of every placement, by name.
func (s *Items) Placements() []PlacementCounts { return nil }

// Dirty gives the changed rows to put.
func (s *Items) Dirty(put func(key, value []byte)) {}

// Load takes a row that Dirty gave.
func (s *Items) Load(key, value []byte) error { return nil }
