package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
)

// goBench runs Go benchmarks of a package of the repository and returns the
// figures of each line by "name unit", the fastest of several when there are.
func (b *bench) goBench(ctx context.Context, pkg, expression string, flags ...string) (map[string]float64, error) {
	cmd := exec.CommandContext(ctx, "go", append([]string{"test", "-run", "^$", "-bench", expression}, append(flags, pkg)...)...)
	cmd.Dir = b.root
	cmd.Env = append(os.Environ(), "GOFLAGS=-buildvcs=false")
	out, err := cmd.CombinedOutput()
	if err != nil {
		return nil, fmt.Errorf("go test %s: %w: %s", pkg, err, out)
	}
	return parseGoBench(string(out)), nil
}

// parseGoBench reads benchmark lines: name-procs, runs, then value and unit in turn.
// A neighbour at work makes a figure larger, never smaller, so the smallest counts.
func parseGoBench(out string) map[string]float64 {
	figures := map[string]float64{}
	for line := range strings.Lines(out) {
		f := strings.Fields(line)
		if len(f) < 4 || !strings.HasPrefix(f[0], "Benchmark") {
			continue
		}
		name := f[0]
		if i := strings.LastIndexByte(name, '-'); i > 0 {
			name = name[:i]
		}
		for i := 2; i+1 < len(f); i += 2 {
			v, err := strconv.ParseFloat(f[i], 64)
			if err != nil {
				continue
			}
			key := name + " " + f[i+1]
			if old, ok := figures[key]; !ok || v < old {
				figures[key] = v
			}
		}
	}
	return figures
}

// person is what reading a person of some parts costs, from profile's own
// benchmark.
func (b *bench) person(ctx context.Context) error {
	f, err := b.goBench(ctx, "./profile", "^BenchmarkPerson$", "-benchtime", "200ms", "-count", "3")
	if err != nil {
		return err
	}
	for _, parts := range []int{1, 5, 50} {
		first := f[fmt.Sprintf("BenchmarkPerson/first/parts=%d ns/op", parts)] / 1000
		changed := f[fmt.Sprintf("BenchmarkPerson/changed/parts=%d ns/op", parts)] / 1000
		each := first / float64(parts)
		b.add(row{
			what:   fmt.Sprintf("a person of %d parts: first read, after one part changed", parts),
			ours:   fmt.Sprintf("%.1f µs (%.1f a part), %.1f µs", first, each, changed),
			target: "≤ 20 µs a part, ≤ 30 µs", met: verdict(each <= 20 && changed <= 30, false),
		})
	}
	return nil
}

// neighbours is session kNN's speed and quality on the Serenade toy data, from
// model's own benchmark and test.
func (b *bench) neighbours(ctx context.Context) error {
	f, err := b.goBench(ctx, "./model", "^BenchmarkSessionsQuantiles$", "-benchtime", "1s", "-count", "3", "-cpu", "1")
	if err != nil {
		return err
	}
	p50, p90 := f["BenchmarkSessionsQuantiles p50-µs"], f["BenchmarkSessionsQuantiles p90-µs"]
	if p90 == 0 {
		return errors.New("the benchmark was skipped: the Serenade toy data is not there")
	}
	b.add(row{
		what: "session kNN query, Serenade toy data, one core", ours: fmt.Sprintf("p50 %.1f µs, p90 %.1f µs", p50, p90),
		target: "p90 ≤ 80 (50) µs", met: verdict(p90 <= 80, p90 <= 50),
	})
	cmd := exec.CommandContext(ctx, "go", "test", "-count=1", "-run", "^TestSessionsOnSerenadeToy$", "-v", "./model")
	cmd.Dir = b.root
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("go test ./model: %w: %s", err, out)
	}
	quality := ""
	if _, after, ok := strings.Cut(string(out), "MRR@20"); ok {
		quality, _, _ = strings.Cut("MRR@20"+after, "\n")
	}
	b.add(row{
		what: "… its quality", ours: quality, target: ".3277/.6402 ± .003", met: verdict(strings.Contains(string(out), "--- PASS"), false),
	})
	return nil
}
