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

func reopen(t *testing.T, j journal.Journal, o Options) journal.Journal {
	t.Helper()
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	o.Dir = j.(*Journal).dir
	return mustOpen(t, o)
}

// conform runs a kit on journals made with o.
func conform(t *testing.T, kit func(*testing.T, journaltest.Open, journaltest.Reopen), o Options) {
	t.Helper()
	kit(
		t,
		func(t *testing.T) journal.Journal { t.Helper(); return mustOpen(t, o) },
		func(t *testing.T, j journal.Journal) journal.Journal { t.Helper(); return reopen(t, j, o) },
	)
}

func TestConformance(t *testing.T) {
	// With a tail of a few records readers cross between memory and storage all
	// the time; with one of one record they live in storage.
	t.Run("Between", func(t *testing.T) { conform(t, journaltest.Run, Options{Partitions: 2, TailBytes: 3000}) })
	t.Run("Memory", func(t *testing.T) { conform(t, journaltest.Rules, Options{Partitions: 4}) })
	t.Run("Storage", func(t *testing.T) { conform(t, journaltest.Rules, Options{Partitions: 3, TailBytes: 1}) })
}
