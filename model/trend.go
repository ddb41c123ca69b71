package model

import "github.com/attune-io/attune"

// Trend is a decayed count of every item, with its best lists.
type Trend struct{}

// Top returns up to n items with the highest count as of now, best first. The
// slice is shared: do not change it.
func (t *Trend) Top(n int, now attune.Millis) []Scored { return nil }

// TopIn is Top among the items of one category.
func (t *Trend) TopIn(category int32, n int, now attune.Millis) []Scored { return nil }

// Score returns the decayed count of an item as of now.
func (t *Trend) Score(item int32, now attune.Millis) float32 { return 0 }
