package journal_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/attune-io/attune"
	"github.com/attune-io/attune/journal"
)

// The numbers are part of the format: a change of Partition is a migration.
func TestPartitionIsFixed(t *testing.T) {
	for _, c := range []struct {
		key  string
		n    int
		want int
	}{
		{"u:u1", 1, 0},
		{"u:u1", 0, 0},
		{"u:u1", -3, 0},
		{"u:u1", 16, 5},
		{"a:0f8fad5b-d9cb-469f-a165-70867728950e", 16, 4},
		{"", 7, 4},
	} {
		if got := journal.Partition(c.key, c.n); got != c.want {
			t.Errorf("Partition(%q, %d) = %d, want %d", c.key, c.n, got, c.want)
		}
	}
}

func TestPartitionSpreads(t *testing.T) {
	const keys, n = 16_000, 16
	var got [n]int
	for i := range keys {
		got[journal.Partition(fmt.Sprintf("u:%d", i), n)]++
	}
	for p, c := range got {
		if c < keys/n*8/10 || c > keys/n*12/10 {
			t.Errorf("partition %d has %d of %d keys, want about %d", p, c, keys, keys/n)
		}
	}
}

func TestTokenRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := journal.Token{Journal: journal.ShortID(rapid.String().Draw(t, "id"))}
		newest := map[int]uint64{}
		for range rapid.IntRange(0, 40).Draw(t, "n") {
			p := journal.Position{
				Partition: rapid.IntRange(0, journal.MaxPartitions-1).Draw(t, "partition"),
				Offset:    rapid.Uint64().Draw(t, "offset"),
			}
			want.Add(p)
			if p.Offset > newest[p.Partition] {
				newest[p.Partition] = p.Offset
			}
		}
		if len(newest) != len(want.Positions) {
			t.Fatalf("%d positions, want %d", len(want.Positions), len(newest))
		}
		for _, p := range want.Positions {
			if newest[p.Partition] != p.Offset {
				t.Fatalf("partition %d: offset %d, want %d", p.Partition, p.Offset, newest[p.Partition])
			}
		}
		got, err := journal.ParseToken(want.String())
		if err != nil {
			t.Fatal(err)
		}
		if got.Journal != want.Journal || !slices.Equal(got.Positions, want.Positions) {
			t.Fatalf("got %v, want %v", got, want)
		}
	})
}

func TestTokenOf(t *testing.T) {
	recs := []attune.Record{{Key: "u:1", Offset: 4}, {Key: "u:1", Offset: 5}, {Key: "u:2", Offset: 9}, {Key: "u:3"}}
	got := journal.TokenOf("some-journal", 1, recs)
	if len(got.Positions) != 1 || got.Positions[0] != (journal.Position{Partition: 0, Offset: 9}) {
		t.Errorf("positions %v, want the newest of the one partition", got.Positions)
	}
	if !got.Of("some-journal") || got.Of("another-journal") {
		t.Error("Of does not tell journals apart")
	}
	long := journal.Token{Journal: "some-journal", Positions: got.Positions}
	if long.String() != got.String() {
		t.Errorf("the id gives %s, its short form %s", long, got)
	}
}

func TestParseTokenRefuses(t *testing.T) {
	good := journal.Token{Journal: "j", Positions: []journal.Position{{Partition: 3, Offset: 300}}}.String()
	for name, s := range map[string]string{
		"empty":           "",
		"not base64":      "a b",
		"padded":          good + "=",
		"version":         "Ag" + good[2:],
		"short":           good[:4],
		"cut":             good[:len(good)-2],
		"long":            strings.Repeat("A", 1<<16),
		"longer varint":   "AQAAAACAAAE", // partition 0 in two bytes
		"offset zero":     "AQAAAAABAA",
		"partition again": "AQAAAAABAQAC",
	} {
		_, err := journal.ParseToken(s)
		if !errors.Is(err, attune.ErrInvalid) {
			t.Errorf("%s: got %v, want an error that wraps ErrInvalid", name, err)
		}
	}
}

func FuzzParseToken(f *testing.F) {
	f.Add("")
	f.Add("AQAAAAABAQAC")
	f.Add(journal.Token{Journal: "j", Positions: []journal.Position{{Partition: 0, Offset: 1}, {Partition: 9, Offset: 1 << 40}}}.String())
	f.Fuzz(func(t *testing.T, s string) {
		got, err := journal.ParseToken(s)
		if err != nil {
			if !errors.Is(err, attune.ErrInvalid) {
				t.Fatalf("%q: %v does not wrap ErrInvalid", s, err)
			}
			return
		}
		if got.String() != s {
			t.Fatalf("%q reads as %v, which writes %q", s, got, got.String())
		}
	})
}
