package model

import (
	"time"

	"github.com/attune-io/attune"
)

// SessionsOptions bound Sessions. The zero value has the defaults.
type SessionsOptions struct {
	MaxSessions int           // 0 is 1,000,000; the longest untouched goes
	MaxItems    int           // distinct items of a session; 0 is 64
	Postings    int           // newest sessions kept of an item; 0 is 500
	Gap         time.Duration // a longer pause starts a new session; 0 is 30 min
}

// Sessions is an incremental index for VMIS-kNN.
type Sessions struct{}

// Query asks Sessions for what comes next. Zero L, M, K and N are 2, 500, 500
// and 21.
type Query struct {
	Items []int32 // of the live session, newest first; the first L count
	L     int     // items of the live session that are looked at
	M     int     // newest neighbours looked at, at most Postings
	K     int     // most similar neighbours that vote
	N     int     // items wanted
	// Owner is the key of the live session: it is not its own neighbour. 0 is
	// none.
	Owner uint64
	// KeepCurrent leaves Items[0] among the answers.
	KeepCurrent bool
	// Skip, when not nil, drops an item before the best N are taken.
	Skip func(item int32) bool
}

// Scratch is the memory of one query at a time. The zero value is ready; keep
// it for the next query.
type Scratch struct{}

// NewSessions returns an empty index.
func NewSessions(o SessionsOptions) *Sessions { return &Sessions{} }

// Click adds item to the current session of owner (attune.Hash of the routing
// id, say).
func (s *Sessions) Click(owner uint64, item int32, at attune.Millis) {}

// Query appends the best items to dst, best first.
func (s *Sessions) Query(q *Query, scratch *Scratch, dst []Scored) []Scored { return dst }

// Len returns how many sessions can be neighbours.
func (s *Sessions) Len() int { return 0 }

// Dirty gives the changed rows to put; a nil value deletes the row.
func (s *Sessions) Dirty(put func(key, value []byte)) {}

// Load takes a row that Dirty gave.
func (s *Sessions) Load(key, value []byte) error { return nil }
