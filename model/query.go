package model

import (
	"cmp"
	"math"
	"slices"
)

// maxL bounds the items of a live session that a query looks at.
const maxL = 64

// Query asks Sessions for what comes next. Zero L, M, K and N are 2, 500, 500
// and 21.
type Query struct {
	Items []int32 // of the live session, newest first; the first L count
	L     int     // items of the live session that are looked at, at most 64
	M     int     // newest sessions looked at, at most the index's Postings
	K     int     // most similar of them that vote
	N     int     // items wanted
	// Owner is the key of the live session: it is not its own neighbour. 0 is
	// none.
	Owner uint64
	// Shared leaves out items that only one owner's sessions vote for. Without
	// it whoever puts an item of her own into somebody's session (an event is
	// easily sent with a known anonymousId) could ask for what goes with that
	// item, and be told what the other looked at.
	Shared bool
	// KeepCurrent leaves Items[0] among the answers.
	KeepCurrent bool
	// Skip, when not nil, drops an item before the best N are taken.
	Skip func(item int32) bool
	// Unsorted leaves the N best in any order, for who ranks them anew.
	Unsorted bool
}

// Scratch is the memory of one query at a time: 16 bytes for every item number
// and 12 for each of M. The zero value is ready; keep it for the next query.
type Scratch struct {
	cells   []cell // by item
	epoch   uint32
	touched []int32
	near    []near
	counts  []int32 // of neighbours, by similarity
	voters  []voter
	votes   []int32 // the items of all voters
}

// cell is the score of an item, when epoch is the query's. owner is the first
// one that voted, others is not 0 when another one did too.
type cell struct {
	epoch  uint32
	score  float32
	owner  uint32
	others uint32
}

// near is a neighbour: similarity is the sum of (len - pos) over the shared
// items, pos the place of the newest of them.
type near struct {
	slot       int32
	similarity int32
	pos        int32
}

// voter is a neighbour that votes, with its items.
type voter struct {
	items  []int32
	weight float32
	owner  uint32 // the low half of its key: two owners in 4 billion share one
}

// Query appends the N best items to dst, best first, equal scores by number.
// Items of the live session other than the current one may be among them. It
// allocates nothing once scratch and dst have grown.
//
// Postings are merged by time instead of being visited one after another with
// a map and a heap, as the paper does: what its heap leaves is exactly the M
// newest sessions of all the postings together, each with the weights of every
// item it shares. O(M·L + K·items of a session).
func (s *Sessions) Query(q *Query, scratch *Scratch, dst []Scored) []Scored {
	l, n := min(cmp.Or(q.L, 2), len(q.Items), maxL), cmp.Or(q.N, 21)
	if l <= 0 || n <= 0 {
		return dst
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	self := int32(-1)
	if slot, ok := s.current[q.Owner]; ok && q.Owner != 0 {
		self = slot
	}
	window := q.Items[:l]
	distinct := s.neighbours(window, self, min(cmp.Or(q.M, 500), s.perItem), scratch)
	s.vote(l, cmp.Or(q.K, 500), scratch)

	voted := q.voted(scratch)
	all := s.log(s.indexed)
	if q.Unsorted && len(voted) <= n {
		for _, y := range voted {
			idf := all - s.log(int(s.supports[y]))
			dst = append(dst, Scored{Item: y, Score: scratch.cells[y].score * idf / distinct})
		}
		return dst
	}
	out := newBest(dst, n)
	for _, y := range voted {
		idf := all - s.log(int(s.supports[y]))
		out.offer(Scored{Item: y, Score: scratch.cells[y].score * idf / distinct})
	}
	if q.Unsorted {
		return out.dst
	}
	return out.sorted()
}

// voted returns the items that were voted for and may be answered.
func (q *Query) voted(scratch *Scratch) []int32 {
	items, w := scratch.touched, 0
	for _, y := range items {
		// Whether more than one owner voted is a coin's throw: no branch on it.
		items[w] = y
		w += bit(!q.Shared || scratch.cells[y].others != 0)
	}
	items, w = items[:w], 0
	for _, y := range items {
		if y == q.Items[0] && !q.KeepCurrent || q.Skip != nil && q.Skip(y) {
			continue
		}
		items[w] = y
		w++
	}
	return items[:w]
}

// bit is 1 where v holds, made without a branch.
func bit(v bool) int { //nolint:revive // v is what is counted
	var n int
	if v {
		n = 1
	}
	return n
}

// neighbours fills scratch.near with the m newest sessions that share an item
// with window, newest first, and returns how many distinct items window has.
func (s *Sessions) neighbours(window []int32, self int32, m int, scratch *Scratch) (distinct float32) {
	var lists [maxL][]entry
	var heads [maxL]uint64
	var places [maxL]int32
	n := 0
	for pos, item := range window {
		if slices.Contains(window[:pos], item) {
			continue
		}
		distinct++
		p := s.seen(item)
		if p == nil || len(p.entries) == 0 {
			continue
		}
		lists[n], places[n] = p.entries, int32(pos)
		heads[n] = p.entries[len(p.entries)-1].order
		n++
	}
	found, length := scratch.near[:0], int32(len(window)) //nolint:gosec // at most maxL
	switch {
	case n == 1:
		scratch.near = alone(found, lists[0], length-places[0], places[0], self, m)
		return distinct
	case n <= few:
		scratch.near = merged(found, (*[few][]entry)(lists[:]), (*[few]int32)(places[:]), length, self, m)
		return distinct
	}
	for len(found) < m {
		// Orders begin at 1 (the first touch): 0 is a list used up.
		var newest uint64
		for _, h := range heads[:n] {
			newest = max(newest, h)
		}
		if newest == 0 {
			break
		}
		// What the lists whose head is newest say of its session.
		add := near{pos: -1}
		for i := range n {
			if heads[i] != newest {
				continue
			}
			add.similarity += length - places[i]
			if add.pos < 0 {
				add.pos = places[i]
			}
			list := lists[i]
			last := len(list) - 1
			add.slot = list[last].slot
			lists[i], heads[i] = list[:last], 0
			if last > 0 {
				heads[i] = list[last-1].order
			}
		}
		if add.slot != self {
			found = append(found, add)
		}
	}
	scratch.near = found
	return distinct
}

// alone is neighbours of one posting: all sessions are equally similar.
func alone(dst []near, list []entry, similarity, pos, self int32, m int) []near {
	for i := len(list) - 1; i >= 0 && len(dst) < m; i-- {
		if list[i].slot != self {
			dst = append(dst, near{slot: list[i].slot, similarity: similarity, pos: pos})
		}
	}
	return dst
}

// few is how many postings have a merge of their own.
const few = 3

// merged is neighbours of up to few postings, the rest of which are empty: the
// merge where each step is a coin's throw, done without branches on it.
func merged(dst []near, lists *[few][]entry, places *[few]int32, length, self int32, m int) []near {
	a, b, c := lists[0], lists[1], lists[2]
	i, j, k := len(a)-1, len(b)-1, len(c)-1
	// What a session is that is in some of the three, by a bit for each.
	var kinds [1 << few]near
	for in := 1; in < len(kinds); in++ {
		for l := few - 1; l >= 0; l-- {
			if in>>l&1 == 1 {
				kinds[in].similarity += length - places[l]
				kinds[in].pos = places[l]
			}
		}
	}
	dst = slices.Grow(dst, m+1)[:m+1]
	n := 0
	for n < m {
		x, y, z := newestOf(a, i), newestOf(b, j), newestOf(c, k)
		newest := max(x.order, y.order, z.order)
		if newest == 0 {
			break // orders begin at 1 (the first touch)
		}
		inA, inB, inC := bit(x.order == newest), bit(y.order == newest), bit(z.order == newest)
		i, j, k = i-inA, j-inB, k-inC
		add := kinds[inA|inB<<1|inC<<2]
		add.slot = x.slot&-int32(inA) | y.slot&-int32(inB) | z.slot&-int32(inC) //nolint:gosec // 0 or 1, and one slot
		dst[n] = add
		n += bit(add.slot != self)
	}
	return dst[:n]
}

// newestOf is list[i], or an entry before all others.
func newestOf(list []entry, i int) entry {
	if uint(i) < uint(len(list)) { // -1 is past every length
		return list[i]
	}
	return entry{}
}

// vote lets the k most similar neighbours, ties to the newer, score the items
// they have. Similarities are small whole numbers, so the k best are found by
// counting.
func (s *Sessions) vote(l, k int, scratch *Scratch) {
	scratch.begin(int(s.items), l)
	for _, x := range scratch.near {
		scratch.counts[x.similarity]++
	}
	floor, room := len(scratch.counts), k
	for floor > 0 && room > 0 {
		floor--
		room -= int(scratch.counts[floor])
	}
	// Of the lowest similarity that votes, the newest that still fit.
	ties := room + int(scratch.counts[floor])
	voters, w := scratch.voters[:0], 0
	for _, x := range scratch.near {
		scratch.near[w] = x
		tie := bit(int(x.similarity) == floor) & bit(ties > 0)
		ties -= tie
		w += bit(int(x.similarity) > floor) | tie
	}
	for _, x := range scratch.near[:w] {
		weight := max(0, 1-0.1*float32(x.pos+1)) * float32(x.similarity)
		voters = append(voters, voter{s.slots[x.slot].items, weight, uint32(s.slots[x.slot].owner)}) //nolint:gosec // cut on purpose
	}
	// Sessions are all over the memory: reading them in loops of their own,
	// without a branch on what was read, lets the misses overlap.
	votes := scratch.votes[:0]
	for i := range voters {
		votes = append(votes, voters[i].items...)
	}
	at := 0
	for i := range voters {
		end := at + len(voters[i].items)
		for _, y := range votes[at:end] {
			scratch.add(y, voters[i].weight, voters[i].owner)
		}
		at = end
	}
	clear(voters) // scratch keeps no session alive
	scratch.voters, scratch.votes = voters[:0], votes
}

// begin makes room for items numbers and similarities of a window of l.
func (c *Scratch) begin(items, l int) {
	if len(c.cells) < items {
		c.cells = make([]cell, items+items/4)
		c.epoch = 0
	}
	c.epoch++
	if c.epoch == 0 { // wrapped: old marks could look new
		clear(c.cells)
		c.epoch = 1
	}
	c.touched = c.touched[:0]
	size := l*(l+1)/2 + 1
	if cap(c.counts) < size {
		c.counts = make([]int32, size)
	}
	c.counts = c.counts[:size]
	clear(c.counts)
}

func (c *Scratch) add(item int32, weight float32, owner uint32) {
	e := &c.cells[item]
	if e.epoch != c.epoch {
		*e = cell{epoch: c.epoch, owner: owner}
		c.touched = append(c.touched, item)
	}
	e.score += weight
	e.others |= e.owner ^ owner
}

// log is the natural logarithm of a count, 0 of counts below 1.
func (s *Sessions) log(n int) float32 {
	if n <= 0 {
		return 0
	}
	if n < len(s.logs) {
		return s.logs[n]
	}
	return float32(math.Log(float64(n)))
}
