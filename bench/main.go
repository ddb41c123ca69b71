// Command bench is the macro benchmark: it starts the attune binary and a
// no-op Go handler, drives both with the same requests, and prints one table
// of what was measured beside what was promised. Rates are ratios of one run,
// since the load generator takes its share of the same machine. It asserts
// nothing: a missed target is a row that says NO.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"
)

// bench is one run.
type bench struct {
	binary string // attune
	root   string // of the repository
	lua    string // wrk's script
	dir    string // scratch space, removed at the end
	rounds int
	round  time.Duration
	only   string
	noop   *server
	run    int // number of the load at hand: message ids hold it
	rows   []row
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := start(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		stop()
		os.Exit(1) //nolint:gocritic // stop has run
	}
}

func start(ctx context.Context) error {
	b := bench{}
	noopAt := flag.String("noop", "", "be the no-op handler on this address")
	out := flag.String("out", "bench/out", "folder for the table")
	flag.StringVar(&b.binary, "attune", "bin/attune", "the binary to measure")
	flag.StringVar(&b.root, "root", ".", "the repository, whose Go benchmarks give some rows")
	flag.StringVar(&b.lua, "lua", "bench/request.lua", "wrk's script")
	flag.IntVar(&b.rounds, "rounds", 3, "rounds of a ratio; the median counts")
	flag.DurationVar(&b.round, "round", 4*time.Second, "length of a round on each side")
	flag.StringVar(&b.only, "only", "", "comma-separated groups: post,batch,decide (with the rows idle and after),person,knn,import,slow,large")
	flag.Parse()
	if *noopAt != "" {
		return noop(ctx, *noopAt)
	}
	var err error
	if b.dir, err = os.MkdirTemp("", "attune-bench-"); err != nil {
		return err
	}
	defer os.RemoveAll(b.dir) //nolint:errcheck // the system clears its temporary folder
	if b.noop, err = startNoop(ctx); err != nil {
		return err
	}
	defer b.noop.kill()
	began, load := time.Now(), loadAverage()
	err = b.all(ctx)
	text := fmt.Sprintf("%s, %d CPUs, load average %s before and %s after, %.0f s\n\n%s",
		began.UTC().Format("2006-01-02 15:04 UTC"), runtime.NumCPU(), load, loadAverage(), time.Since(began).Seconds(), table(b.rows))
	fmt.Println(text)
	if err := errors.Join(err, os.MkdirAll(*out, 0o755)); err != nil { //nolint:gosec // a table is no secret
		return err
	}
	return os.WriteFile(filepath.Join(*out, began.UTC().Format("20060102-150405")+".md"), []byte(text), 0o644) //nolint:gosec // as above
}

// all measures every group of rows that was asked for.
func (b *bench) all(ctx context.Context) error {
	groups := []struct {
		name string
		run  func(context.Context) error
	}{
		{"post", b.post},
		{"batch", b.batch},
		{"decide", b.decisions},
		{"person", b.person},
		{"knn", b.neighbours},
		{"import", b.bulk},
		{"slow", b.slow},
		{"large", b.large},
	}
	unknown := map[string]bool{}
	for name := range strings.SplitSeq(b.only, ",") {
		unknown[name] = name != ""
	}
	for _, g := range groups {
		delete(unknown, g.name)
	}
	for name, is := range unknown {
		if is {
			return fmt.Errorf("-only %s: no such group; -h lists them (idle and after are rows of decide)", name)
		}
	}
	for _, g := range groups {
		if b.skip(g.name) {
			continue
		}
		fmt.Fprintf(os.Stderr, "== %s %s\n", time.Now().Format("15:04:05"), g.name)
		if err := g.run(ctx); err != nil {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			// One row that cannot be measured does not take the others away.
			b.add(row{what: g.name, ours: "not measured: " + strings.ReplaceAll(err.Error(), "\n", " "), met: "NO"})
		}
	}
	return nil
}

// skip says whether a group is left out: large is, unless it is asked for.
func (b *bench) skip(name string) bool {
	if b.only == "" {
		return name == "large" && os.Getenv("BENCH_LARGE") == ""
	}
	for n := range strings.SplitSeq(b.only, ",") {
		if n == name {
			return false
		}
	}
	return true
}

// add prints a row as soon as it is known, so that a long run shows something.
func (b *bench) add(r row) {
	b.rows = append(b.rows, r)
	fmt.Fprintf(os.Stderr, "   %s: %s  no-op %s  ratio %s  target %s  %s\n", r.what, r.ours, r.noop, r.ratio, r.target, r.met)
}

// loadAverage is the one of the last minute; above the number of CPUs somebody
// else is at work here.
func loadAverage() string {
	text, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return "unknown"
	}
	first, _, _ := strings.Cut(string(text), " ")
	return first
}
