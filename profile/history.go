package profile

import "github.com/attune-io/attune"

// Message is where a message of a part is in the journal.
type Message struct {
	Offset     uint64
	ReceivedAt attune.Millis
}

// Newest appends to dst the messages of the window that came last, newest
// first, at most limit: where to read a person's timeline. The set has to be
// loaded, as it is inside Parts.Update.
func (s *Seen) Newest(dst []Message, limit int) []Message {
	for i := len(s.entries) - 1; i >= 0 && limit > 0 && s.base+uint64(i) >= s.first; i-- {
		dst = append(dst, Message{Offset: s.entries[i].offset, ReceivedAt: s.entries[i].at})
		limit--
	}
	return dst
}
