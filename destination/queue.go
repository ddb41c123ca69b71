package destination

import (
	"container/heap"
	"math/bits"
	"time"
)

// entry is a message that waits: of the journal, or a dead letter that is
// tried again.
type entry struct {
	m         *Message
	partition int
	offset    uint64 // 0: a dead letter
	began     time.Time
	attempts  int
}

// line is what waits for one person: the first is tried, the others wait.
type line struct {
	person string
	wait   []*entry
	due    time.Time
	asked  bool // the receiver said when
}

// queue is the lines of a destination by when they are due. It is not safe for
// several goroutines: the Runner guards it.
type queue struct {
	lines map[string]*line
	order lineHeap
	size  int // entries
}

func newQueue() queue { return queue{lines: map[string]*line{}} }

// add puts e at the end of its person's line.
func (q *queue) add(e *entry, now time.Time) {
	q.size++
	l := q.lines[e.m.Person]
	if l == nil {
		l = &line{person: e.m.Person, due: now, wait: []*entry{e}}
		q.lines[e.m.Person] = l
		heap.Push(&q.order, l)
		return
	}
	l.wait = append(l.wait, e)
}

// next takes the line that is due first, or returns how long to wait for it;
// nothing is waiting when wait is negative.
func (q *queue) next(now time.Time) (l *line, wait time.Duration) {
	if q.order.Len() == 0 {
		return nil, -1
	}
	if wait := q.order[0].due.Sub(now); wait > 0 {
		return nil, wait
	}
	return heap.Pop(&q.order).(*line), 0 //nolint:forcetypeassert // the heap holds nothing else
}

// probe takes the first line though it is not due, unless its receiver said
// when; else it returns nil.
func (q *queue) probe() *line {
	if q.order.Len() == 0 || q.order[0].asked {
		return nil
	}
	return heap.Pop(&q.order).(*line) //nolint:forcetypeassert // the heap holds nothing else
}

// settled takes the first entry out of a line that next gave: it was sent, or
// given up.
func (q *queue) settled(l *line, now time.Time) {
	q.size--
	l.wait[0] = nil
	l.wait = l.wait[1:]
	if len(l.wait) == 0 {
		delete(q.lines, l.person)
		return
	}
	q.later(l, now, false)
}

// later puts a line that next gave back, to be tried at due.
func (q *queue) later(l *line, due time.Time, asked bool) {
	l.due, l.asked = due, asked
	heap.Push(&q.order, l)
}

// hurry makes every line due now but those whose receiver said when: it takes
// messages again.
func (q *queue) hurry(now time.Time) {
	for _, l := range q.order {
		if !l.asked && l.due.After(now) {
			l.due = now
		}
	}
	heap.Init(&q.order)
}

// The pauses between attempts double from the first to the longest.
const (
	firstPause   = time.Second
	longestPause = 10 * time.Minute
)

// backoff returns the pause after so many attempts: half of it is fixed, half
// is chance, so that those who failed together do not come back together.
func backoff(attempts int, chance float64) time.Duration {
	pause := longestPause
	if n := max(attempts-1, 0); n < bits.Len64(uint64(longestPause/firstPause)) {
		pause = min(longestPause, firstPause<<n)
	}
	return pause/2 + time.Duration(chance*float64(pause/2))
}

// lineHeap is a min-heap by due.
type lineHeap []*line

func (h lineHeap) Len() int { return len(h) }
func (h lineHeap) Less(i, j int) bool {
	if !h[i].due.Equal(h[j].due) {
		return h[i].due.Before(h[j].due)
	}
	return h[i].wait[0].offset < h[j].wait[0].offset
}
func (h lineHeap) Swap(i, j int) { h[i], h[j] = h[j], h[i] }

// Push is for container/heap.
func (h *lineHeap) Push(x any) { *h = append(*h, x.(*line)) } //nolint:forcetypeassert // only lines are pushed

// Pop is for container/heap.
func (h *lineHeap) Pop() any {
	old := *h
	x := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	return x
}
