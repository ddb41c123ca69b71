// Package attune is the vocabulary of Attune, a real-time personalization
// engine: the events people cause, the records the journal keeps, the items a
// catalog holds and the decisions a page asks for. Every other package speaks
// these nouns; this one imports none of them, does no I/O and reads no clock.
package attune

import (
	"errors"
	"time"

	"github.com/cespare/xxhash/v2"
)

// Millis is an instant: milliseconds since the Unix epoch, UTC. Zero means
// "not known". Event times, windows and tiles are all in this unit.
type Millis int64

// MillisOf returns t as Millis.
func MillisOf(t time.Time) Millis { return Millis(t.UnixMilli()) }

// Time returns m as a time.Time in UTC.
func (m Millis) Time() time.Time { return time.UnixMilli(int64(m)).UTC() }

// String returns m as RFC 3339 with milliseconds, the form every API speaks.
func (m Millis) String() string { return m.Time().Format("2006-01-02T15:04:05.000Z") }

// Add returns m moved by d, truncated to milliseconds.
func (m Millis) Add(d time.Duration) Millis { return m + Millis(d.Milliseconds()) }

// Hash is the one unseeded hash of state: the same bytes give the same number
// on every machine, in every process, for ever. Changing it is a migration.
func Hash(s string) uint64 { return xxhash.Sum64String(s) }

// The errors a caller can act on. Wrap them with what, where and what next.
var (
	// ErrInvalid marks input the caller has to change before trying again.
	ErrInvalid = errors.New("invalid")
	// ErrNotFound marks a thing that is not there.
	ErrNotFound = errors.New("not found")
	// ErrUnauthorized marks a missing or wrong credential.
	ErrUnauthorized = errors.New("unauthorized")
	// ErrForbidden marks a credential that may not do this.
	ErrForbidden = errors.New("forbidden")
	// ErrBusy marks work refused because a bounded queue is full; try again
	// later with the same input.
	ErrBusy = errors.New("busy")
	// ErrCorrupt marks stored bytes that do not decode.
	ErrCorrupt = errors.New("corrupt")
	// ErrClosed marks use of a thing after its Close.
	ErrClosed = errors.New("closed")
)
