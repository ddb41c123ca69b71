package serve_test

import (
	"context"
	"errors"
	"testing"

	"github.com/attune-io/attune"
	"github.com/attune-io/attune/journal"
	"github.com/attune-io/attune/serve"
)

// full refuses every record but counts the tries.
type full struct{ tries int }

func (f *full) Append(context.Context, []attune.Record) error {
	f.tries++
	return errors.Join(errors.New("queue"), attune.ErrBusy)
}

func (*full) Status() journal.Status { return journal.Status{} }

func TestRecorderIsBounded(t *testing.T) {
	to := &full{}
	rec := serve.NewRecorder(to, 2, nil)
	for i, want := range []bool{true, true, false} {
		if got := rec.Logged(&attune.DecisionLog{}, nil); got != want {
			t.Errorf("decision %d: taken %v, want %v", i, got, want)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	check(t, rec.Run(ctx))
	if rec.Dropped() != 3 || to.tries == 0 {
		t.Errorf("dropped %d after %d tries, want 3 after some", rec.Dropped(), to.tries)
	}
}
