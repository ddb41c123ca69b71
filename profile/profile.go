// Package profile keeps what is known of people.
//
// The journal's records are folded into parts: one part a routing id, written
// by one partition's worker in log order (Folder, Part). A person is computed
// when she is read: her own part, her stretches of the devices linked to her,
// and the parts of users joined to her (Person, People). Nothing is ever moved
// from one part to another, so nothing can be lost or doubled while moving.
//
// Parts keeps parts in memory over a Store, the seam behind which they are
// made durable together with the journal's positions.
//
// What it guarantees: a record counts once, whatever is replayed; the same
// records give the same state bytes, with one partition or many; a person read
// after another of the same key never shows older parts. What it does not do:
// read the journal, decide who may read, or read a clock.
package profile

import (
	"github.com/attune-io/attune"
	"github.com/attune-io/attune/feature"
)

// State is what a set of events says. It is a monoid: the zero State is the
// empty set, and Folder.Merge gives the state of the union. It depends on the
// set alone, neither on the order of the events nor on how they were grouped.
type State struct {
	// Events is how many events were counted.
	Events int64
	// First and Last are the oldest and newest event times; 0 when Events is.
	First, Last attune.Millis
	Consent     Consent
	Traits      Traits
	Features    feature.State
}

// Empty reports whether s holds nothing.
func (s *State) Empty() bool { return s.Events == 0 && s.Consent == (Consent{}) }

// Consent is the newest that was said about consent. The zero Consent is
// "nothing was said".
type Consent struct {
	Time    attune.Millis
	Tie     uint64
	Granted bool
	// Categories is the JSON object of the consent categories as they were
	// sent, "" when there were none.
	Categories string
}

// Denied reports whether personalization was denied.
func (c Consent) Denied() bool { return c.Time != 0 && !c.Granted }

// newer is a total order; at the same instant of the same message a denial
// wins.
func (c Consent) newer(o Consent) bool {
	switch {
	case c.Time != o.Time:
		return c.Time > o.Time
	case c.Tie != o.Tie:
		return c.Tie > o.Tie
	case c.Granted != o.Granted:
		return !c.Granted
	default:
		return c.Categories > o.Categories
	}
}

// merge makes dst the state of the union of dst's and src's events. src is
// neither changed nor kept.
func merge(set *feature.Set, dst, src *State) {
	if src.Events > 0 {
		if dst.Events == 0 || src.First < dst.First {
			dst.First = src.First
		}
		if dst.Events == 0 || src.Last > dst.Last {
			dst.Last = src.Last
		}
		dst.Events += src.Events
		set.Merge(&dst.Features, &src.Features)
	}
	if src.Consent.newer(dst.Consent) {
		dst.Consent = src.Consent
	}
	dst.Traits.merge(src.Traits)
}

// share returns a state that is as s is and shares its memory. s must not
// change afterwards; what is returned may be merged into, and not folded into.
func (s *State) share() *State {
	out := *s
	out.Features = s.Features.Share()
	return &out
}
