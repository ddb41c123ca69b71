// Package recommend decides what a person sees: person → candidates →
// eligibility → score → re-rank → fallback → explain, each in the file of its
// name. A Placement says how; an Engine does it.
//
// It guarantees an answer: an empty person, an empty catalog or a deadline that
// passes in the middle gives a less personal list with Fallback named, never an
// error. An item that is deleted or out of stock is in no answer, whatever list
// it came from.
//
// # Merchandising
//
// What a shop wishes beside scores is rules of a placement: pin.go, steer.go
// (boosts, burials, freshness), promote.go, wish.go (limits and caps),
// diversity.go, frequency.go, price.go, look.go, explore.go, content.go,
// override.go, and for a request's own options narrow.go. Each rule is compiled
// once; a placement without any does no more than before there were rules.
//
// The order is: an override settles which placement answers; exclusions,
// frequency, prices and the request's options say what may not be shown; pins
// take their positions, and count against caps and limits first; scores are made
// and multiplied; then the positions are filled from the first to the last, where
// arrange.go says how promotions, diversity and exploration choose. Availability,
// filters, caps, limits and pins hold for whatever fills up and for late answers
// too.
//
// # Exploration
//
// The policy is ε-greedy at each position, without replacement (Sutton and Barto,
// Reinforcement Learning, 2nd ed., section 2.2). With ε = Explore.Share and m the
// number of the best candidates (at most Explore.Pool) that may stand at the
// position given all above it, the greedy choice has propensity 1 − ε + ε/m and
// each other ε/m. Pins, what the fallback adds and late answers have 1. Chance is
// drawn from Query.Seed, the placement and the position alone, so that the same
// seed in the same world gives the same answer. The product over the positions is
// the propensity of the list.
//
// It is pure: no I/O, no clock, no goroutine. It reads the catalog and the live
// statistics that it was handed, which others keep writing.
package recommend
