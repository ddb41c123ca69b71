// Package model holds the recommenders that learn from the stream as it flows:
// item statistics (Items), decayed popularity (Trend), co-occurrence (Pairs)
// and session nearest neighbours (Sessions).
//
// Items are the dense int32 numbers of the catalog. Everything here may be
// written by several goroutines and read by many at once, does no I/O, reads
// no clock and starts no goroutine. The same calls in the same order give the
// same state; every structure says what bounds its memory. State survives in
// rows: Dirty gives the changed ones (the caller holds writers still), Load
// takes them back before anything else is called. Keys are unique inside one
// structure: the caller puts a prefix of its own before them.
package model

// Scored is an item and its score; higher is better.
type Scored struct {
	Item  int32
	Score float32
}
