package feature

import (
	"math"
	"math/big"
	"testing"

	"pgregory.net/rapid"
)

func TestParseMicro(t *testing.T) {
	for s, want := range map[string]int64{
		"0": 0, "1": 1e6, "-1.5": -1.5e6, "+2": 2e6, " 12.345678 ": 12345678, "0.0000005": 1, "0.0000004": 0,
		"1e3": 1e9, "1.5E-2": 15000, "99999999999999999999": maxMicro, "-1e400": -maxMicro, "1e-400": 0,
		".5": 500000, "5.": 5e6, "0.1": 100000, "123456789.1234567": 123456789123457, "000000000000000000000001": 1e6,
	} {
		if got, ok := parseMicro(s); !ok || got != want {
			t.Errorf("%q: got %d, %v, want %d", s, got, ok, want)
		}
	}
	for _, s := range []string{"", "-", ".", "1,5", "e5", "1e", "1e+", "x", "1x", "NaN", "Infinity", "0x10", "--1", "1.2.3"} {
		if got, ok := parseMicro(s); ok {
			t.Errorf("%q: got %d, want none", s, got)
		}
	}
	rapid.Check(t, func(r *rapid.T) {
		s := rapid.StringMatching(`-?[0-9]{1,12}(\.[0-9]{1,6})?`).Draw(r, "number")
		exact, _ := new(big.Rat).SetString(s)
		exact.Mul(exact, big.NewRat(micro, 1))
		if got, ok := parseMicro(s); !ok || !exact.IsInt() || exact.Num().Int64() != got {
			r.Errorf("%q: got %d, %v, want %s", s, got, ok, exact)
		}
	})
}

func TestGrown(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		h := rapid.Uint64Range(1, 1<<40).Draw(r, "half-life")
		at := rapid.Uint64Range(0, h-1).Draw(r, "at")
		v := rapid.Int64Range(-maxMicro, maxMicro).Draw(r, "value")
		want := float64(v) * math.Exp2(float64(at)/float64(h))
		if got := float64(grown(v, at, h)); math.Abs(got-want) > 2+math.Abs(want)/(1<<23) {
			r.Errorf("%d·2^(%d/%d): got %v, want %v", v, at, h, got, want)
		}
	})
}

func TestFloorDiv(t *testing.T) {
	for _, test := range []struct{ a, b, want int64 }{{7, 3, 2}, {-7, 3, -3}, {-6, 3, -2}, {0, 5, 0}, {-1, 5, -1}} {
		if got := floorDiv(test.a, test.b); got != test.want {
			t.Errorf("%d/%d: got %d, want %d", test.a, test.b, got, test.want)
		}
	}
}
