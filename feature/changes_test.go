package feature_test

import (
	"encoding/json"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/attune-io/attune/feature"
)

// TestTouched: a feature that Touched does not name reads the same before and
// after the event.
func TestTouched(t *testing.T) {
	s := compile(t, everyKind(t))
	rapid.Check(t, func(rt *rapid.T) {
		es := events(rt, 12)
		var st feature.State
		for i, e := range es {
			before := make([]string, len(s.Definitions()))
			at := e.Time
			for j := range i {
				at = max(at, es[j].Time)
			}
			for j := range before {
				before[j] = asJSON(t, s.ReadAt(&st, j, at))
			}
			s.Fold(&st, e)
			touched := s.Touched(e.On())
			for j := range before {
				if now := asJSON(t, s.ReadAt(&st, j, at)); now != before[j] && !slices.Contains(touched, int32(j)) {
					rt.Fatalf("%s changes %s from %v to %v, and does not say so", e.On(), s.Definitions()[j].Name, before[j], now)
				}
			}
		}
	})
}

func asJSON(t *testing.T, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
