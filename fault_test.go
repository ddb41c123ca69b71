package attune_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/attune-io/attune"
)

func TestMessage(t *testing.T) {
	one := fmt.Errorf("id is empty: %w", attune.ErrInvalid)
	for _, tc := range []struct {
		err  error
		want string
	}{
		{nil, ""},
		{one, "id is empty"},
		{fmt.Errorf("userId: %w", one), "userId: id is empty"},
		{errors.Join(one, one), "id is empty\nid is empty"},
		{fmt.Errorf("%w; stop the server first", fmt.Errorf("in use: %w", attune.ErrBusy)), "in use; stop the server first"},
		{attune.ErrBusy, "busy"},
		{errors.New("the answer was: invalid"), "the answer was: invalid"},
		{fmt.Errorf("x: invalidated: %w", attune.ErrInvalid), "x: invalidated"},
	} {
		if got := attune.Message(tc.err); got != tc.want {
			t.Errorf("%q: got %q, want %q", tc.err, got, tc.want)
		}
	}
}

func TestSentinelIsComparable(t *testing.T) {
	const one = attune.Sentinel("asked to stop")
	if err := fmt.Errorf("terminated: %w", one); !errors.Is(err, one) || errors.Is(err, attune.Sentinel("other")) {
		t.Errorf("%v: want it to be the one sentinel, and no other", err)
	}
}
