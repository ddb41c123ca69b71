package feature

import (
	"fmt"
	"math"
	"slices"

	"github.com/attune-io/attune"
)

// The bounds of what the larger kinds may ask for.
const (
	maxBuckets   = 64
	maxDimension = 1024
	maxExpr      = 4096
)

// models lists the models of attribution.
func models() []string {
	return []string{ModelFirst, ModelLast, ModelLinear, ModelPosition, ModelDecay}
}

// checkOthers checks the fields that few kinds take.
func checkOthers(f *faults, d *Definition, t takes) {
	switch {
	case t.of && len(d.Of) == 0:
		f.add("of", "missing; name the other events: of a ratio the whole, of an attribution the touches")
	case !t.of && len(d.Of) > 0:
		f.refuse("of", d.Kind)
	case slices.Contains(d.Of, ""):
		f.add("of", "an event name is empty")
	}
	if !t.expr && d.Expr != "" {
		f.refuse("expr", d.Kind)
	}
	switch {
	case !t.model && d.Model != "":
		f.refuse("model", d.Kind)
	case d.Model != "" && !slices.Contains(models(), d.Model):
		f.add("model", "unknown model %q%s", d.Model, didYouMean(d.Model, models()))
	}
	switch {
	case !t.quantile && d.Quantile != 0:
		f.refuse("quantile", d.Kind)
	case math.IsNaN(d.Quantile) || d.Quantile < 0 || d.Quantile > 1:
		f.add("quantile", "%v is out of bounds; want 0 to 1, as 0.95", d.Quantile)
	}
	checkBuckets(f, d, t)
	checkDimension(f, d)
}

func checkBuckets(f *faults, d *Definition, t takes) {
	switch {
	case !t.buckets && len(d.Buckets) > 0:
		f.refuse("buckets", d.Kind)
	case !t.buckets:
	case len(d.Buckets) == 0 || len(d.Buckets) > maxBuckets:
		f.add("buckets", "want 1 to %d bounds, as [10, 50, 100]", maxBuckets)
	default:
		for i, b := range d.Buckets {
			switch {
			case math.IsNaN(b) || math.Abs(b) > units(maxMicro):
				f.add("buckets", "%v is out of bounds", b)
			case i > 0 && b <= d.Buckets[i-1]:
				f.add("buckets", "%v comes after %v; want each greater than the one before", b, d.Buckets[i-1])
			}
		}
	}
}

// checkDimension holds the vectors of a window to what one cell may keep.
func checkDimension(f *faults, d *Definition) {
	if d.Kind != KindEmbedding {
		return
	}
	if d.N < 1 || d.N > maxDimension {
		f.add("n", "%d is out of bounds; want how many numbers a vector has, 1 to %d", d.N, maxDimension)
		return
	}
	if d.Window <= 0 {
		return
	}
	w := windowOf(d.Window)
	if rows := w.length/w.hop + 2; rows*int64(d.N) > maxGrid {
		f.add("window", "%s keeps %d vectors of %d numbers; want at most %d numbers, so a shorter one or none", d.Window, rows, d.N, maxGrid)
	}
}

// checkDerived checks what a derived feature has, and has not.
func checkDerived(f *faults, d *Definition) {
	switch {
	case d.Expr == "":
		f.add("expr", "missing; a derived feature needs an expression, like features.orders / features.visits")
	case len(d.Expr) > maxExpr:
		f.add("expr", "%d characters; want at most %d", len(d.Expr), maxExpr)
	}
	bare := Definition{Name: d.Name, Kind: d.Kind, Expr: d.Expr, Scope: d.Scope}
	if got, want := fmt.Sprintf("%+v", *d), fmt.Sprintf("%+v", bare); got != want {
		f.all = append(f.all, fmt.Errorf("feature %q: kind: a derived feature takes expr and scope alone; leave the rest out: %w", d.Name, attune.ErrInvalid))
	}
}
