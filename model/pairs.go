package model

// Measure is how strongly two items go together.
type Measure uint8

// The measures.
const (
	Jaccard Measure = iota
	Lift
)

// PairsOptions bound Pairs. The zero value has the defaults.
type PairsOptions struct {
	MaxNeighbours int // of one item; 0 is 4,096
	MaxSet        int // distinct items of one set; 0 is 2,000
	// MinCount is the smallest co-occurrence Neighbours returns; 0 is 1.
	MinCount int
}

// Pairs counts how often two items are in one set: a basket, a session.
type Pairs struct{}

// NewPairs returns an empty count.
func NewPairs(o PairsOptions) *Pairs { return &Pairs{} }

// AddSet counts one whole set. Repeated items count once.
func (p *Pairs) AddSet(items []int32) {}

// AddTo counts item as joining a set that has existing so far. With nothing
// existing it starts a set. When existing has item nothing is counted.
func (p *Pairs) AddTo(existing []int32, item int32) {}

// Remove takes a set back that AddSet counted.
func (p *Pairs) Remove(items []int32) {}

// Support returns in how many sets item is.
func (p *Pairs) Support(item int32) int { return 0 }

// Count returns in how many sets both items are.
func (p *Pairs) Count(a, b int32) int { return 0 }

// Sets returns how many sets were counted.
func (p *Pairs) Sets() int { return 0 }

// Neighbours appends up to n items that go best with item to dst, best first.
func (p *Pairs) Neighbours(item int32, n int, m Measure, dst []Scored) []Scored { return dst }

// Dirty gives the changed rows to put.
func (p *Pairs) Dirty(put func(key, value []byte)) {}

// Load takes a row that Dirty gave.
func (p *Pairs) Load(key, value []byte) error { return nil }
