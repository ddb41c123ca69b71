package recommend

// table maps item numbers to small numbers: open addressing over arrays that
// are stamped with an epoch, so that emptying it costs nothing and its memory
// follows the number of candidates, not the size of the catalog. The zero
// table is ready after reset.
type table struct {
	slots []slot
	epoch uint32
	n     int
}

type slot struct {
	epoch uint32
	key   int32
	value int32
}

const minSlots = 512 // a power of two

// reset empties t.
func (t *table) reset() {
	if t.slots == nil {
		t.slots = make([]slot, minSlots)
	}
	t.n = 0
	t.epoch++
	if t.epoch == 0 { // it wrapped: old stamps would look new
		clear(t.slots)
		t.epoch = 1
	}
}

// at returns the slot of key, or the free one where it belongs.
func (t *table) at(key int32) *slot {
	mask := uint32(len(t.slots) - 1) //nolint:gosec // far below 1<<32
	h := uint32(key) * 0x9e3779b1    //nolint:gosec // the bits count
	for i := (h ^ h>>15) & mask; ; i = (i + 1) & mask {
		s := &t.slots[i]
		if s.epoch != t.epoch || s.key == key {
			return s
		}
	}
}

// get returns the value of key, or -1.
func (t *table) get(key int32) int32 {
	if s := t.at(key); s.epoch == t.epoch {
		return s.value
	}
	return -1
}

// add sets key to value when it is not there, and returns the value it has and
// whether it was added.
func (t *table) add(key, value int32) (got int32, added bool) {
	s := t.at(key)
	if s.epoch == t.epoch {
		return s.value, false
	}
	if 2*(t.n+1) > len(t.slots) {
		t.grow()
		s = t.at(key)
	}
	t.n++
	*s = slot{epoch: t.epoch, key: key, value: value}
	return value, true
}

func (t *table) grow() {
	old, epoch := t.slots, t.epoch
	t.slots, t.epoch = make([]slot, 2*len(old)), 1
	for _, s := range old {
		if s.epoch == epoch {
			*t.at(s.key) = slot{epoch: 1, key: s.key, value: s.value}
		}
	}
}
