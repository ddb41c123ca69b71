package model

// best keeps the n best of the items offered to it, as a min-heap over memory
// that its user gives: appended to dst, so that nothing is allocated when dst
// has room. Higher scores are better; equal scores go to the lower number.
type best struct {
	dst  []Scored
	from int // where the heap begins in dst
	n    int
}

func newBest(dst []Scored, n int) best { return best{dst: dst, from: len(dst), n: n} }

func worse(a, b Scored) bool {
	if a.Score != b.Score { //nolint:staticcheck // exact ties are what the number settles
		return a.Score < b.Score
	}
	return a.Item > b.Item
}

// offer takes c when it is among the n best so far.
func (b *best) offer(c Scored) {
	h := b.dst[b.from:]
	if len(h) < b.n {
		b.dst = append(b.dst, c)
		b.up()
		return
	}
	if b.n > 0 && worse(h[0], c) {
		h[0] = c
		down(h)
	}
}

func (b *best) up() {
	h := b.dst[b.from:]
	for i := len(h) - 1; i > 0; {
		parent := (i - 1) / 2
		if !worse(h[i], h[parent]) {
			return
		}
		h[i], h[parent] = h[parent], h[i]
		i = parent
	}
}

func down(h []Scored) {
	for i := 0; ; {
		child := 2*i + 1
		if child >= len(h) {
			return
		}
		if child+1 < len(h) && worse(h[child+1], h[child]) {
			child++
		}
		if !worse(h[child], h[i]) {
			return
		}
		h[i], h[child] = h[child], h[i]
		i = child
	}
}

// sorted returns dst with what was kept, best first. The heap is used up.
func (b *best) sorted() []Scored {
	h := b.dst[b.from:]
	for end := len(h) - 1; end > 0; end-- {
		h[0], h[end] = h[end], h[0]
		down(h[:end])
	}
	return b.dst
}
