package model

// best keeps the n best of what is offered to it, as a min-heap over memory
// that its user gives: appended to dst, so that nothing is allocated when dst
// has room.
type best[T interface{ worse(than T) bool }] struct {
	dst  []T
	from int // where the heap begins in dst
	n    int
}

func newBest[T interface{ worse(than T) bool }](dst []T, n int) best[T] {
	return best[T]{dst: dst, from: len(dst), n: n}
}

// worse: higher scores are better; equal scores go to the lower number.
func (a Scored) worse(b Scored) bool {
	return a.Score < b.Score || a.Score == b.Score && a.Item > b.Item
}

// offer takes c when it is among the n best so far.
func (b *best[T]) offer(c T) {
	h := b.dst[b.from:]
	if len(h) < b.n {
		b.dst = append(b.dst, c)
		b.up()
		return
	}
	if b.n > 0 && h[0].worse(c) {
		h[0] = c
		down(h)
	}
}

func (b *best[T]) up() {
	h := b.dst[b.from:]
	for i := len(h) - 1; i > 0; {
		parent := (i - 1) / 2
		if !h[i].worse(h[parent]) {
			return
		}
		h[i], h[parent] = h[parent], h[i]
		i = parent
	}
}

func down[T interface{ worse(than T) bool }](h []T) {
	for i := 0; ; {
		child := 2*i + 1
		if child >= len(h) {
			return
		}
		if child+1 < len(h) && h[child+1].worse(h[child]) {
			child++
		}
		if !h[child].worse(h[i]) {
			return
		}
		h[i], h[child] = h[child], h[i]
		i = child
	}
}

// sorted returns dst with what was kept, best first. The heap is used up.
func (b *best[T]) sorted() []T {
	h := b.dst[b.from:]
	for end := len(h) - 1; end > 0; end-- {
		h[0], h[end] = h[end], h[0]
		down(h[:end])
	}
	return b.dst
}
