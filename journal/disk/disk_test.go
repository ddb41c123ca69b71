package disk

import (
	"testing"

	"github.com/attune-io/attune/journal"
	"github.com/attune-io/attune/journal/journaltest"
)

func mustOpen(tb testing.TB, o Options) *Journal {
	tb.Helper()
	if o.Dir == "" {
		o.Dir = tb.TempDir()
	}
	j, err := Open(o)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := j.Close(); err != nil {
			tb.Error(err)
		}
	})
	return j
}

// conform runs the kit on journals made with o.
func conform(t *testing.T, o Options) {
	t.Helper()
	journaltest.Run(t, func(t *testing.T) journal.Journal {
		t.Helper()
		return mustOpen(t, o)
	}, func(t *testing.T, j journal.Journal) journal.Journal {
		t.Helper()
		if err := j.Close(); err != nil {
			t.Fatal(err)
		}
		again := o
		again.Dir = j.(*Journal).dir
		return mustOpen(t, again)
	})
}

func TestConformance(t *testing.T) {
	t.Run("Memory", func(t *testing.T) { conform(t, Options{Partitions: 4}) })
	// With a tail of one record nearly every read goes to Pebble, and readers
	// cross between the two all the time.
	t.Run("Storage", func(t *testing.T) { conform(t, Options{Partitions: 3, TailBytes: 1}) })
	t.Run("Between", func(t *testing.T) { conform(t, Options{Partitions: 2, TailBytes: 3000}) })
}
