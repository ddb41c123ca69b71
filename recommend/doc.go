// Package recommend decides what a person sees: person → candidates →
// eligibility → score → re-rank → fallback → explain, each in the file of its
// name. A Placement says how; an Engine does it.
//
// It guarantees an answer: an empty person, an empty catalog or a deadline that
// passes in the middle gives a less personal list with Fallback named, never an
// error. An item that is deleted or out of stock is in no answer, whatever list
// it came from.
//
// It is pure: no I/O, no clock, no goroutine. It reads the catalog and the live
// statistics that it was handed, which others keep writing.
package recommend
