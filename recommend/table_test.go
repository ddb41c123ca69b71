package recommend

import (
	"testing"

	"pgregory.net/rapid"
)

// TestTable compares with a map, over many epochs.
func TestTable(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		var tab table
		tab.reset()
		tab.epoch = rapid.SampledFrom([]uint32{1, 7, 1<<32 - 2}).Draw(rt, "epoch")
		for range rapid.IntRange(1, 5).Draw(rt, "rounds") {
			tab.reset()
			want := map[int32]int32{}
			for i, key := range rapid.SliceOfN(rapid.Int32Range(-5, 2000), 0, 1500).Draw(rt, "keys") {
				got, added := tab.add(key, int32(i))
				old, there := want[key]
				if added == there || there && got != old {
					rt.Fatalf("add %d: %d %v, want %d %v", key, got, added, old, !there)
				}
				if !there {
					want[key] = int32(i)
				}
			}
			for key := int32(-5); key < 2000; key++ {
				w, ok := want[key]
				if !ok {
					w = -1
				}
				if got := tab.get(key); got != w {
					rt.Fatalf("get %d: %d, want %d", key, got, w)
				}
			}
		}
	})
}
