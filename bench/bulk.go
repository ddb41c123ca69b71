package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

// cacheBytes is what the default configuration gives to profiles.
const cacheBytes = 256 << 20

// bulk imports a million events of 100,000 people, then kills a server on them
// and times how long it takes to come back.
func (b *bench) bulk(ctx context.Context) error {
	w := world{people: 100_000, items: 20_000, sessions: 2, end: time.Now(), compact: true, prefix: "b-"}
	dir := filepath.Join(b.dir, "bulk")
	if err := b.load(ctx, w, dir); err != nil {
		return err
	}
	s, err := startAttune(ctx, b.binary, dir)
	if err != nil {
		return err
	}
	defer func() { s.kill() }()
	// Some load, so that there is something to fold again.
	b.run++
	if _, err := batches(s.address, b.run, 8, b.round); err != nil {
		return err
	}
	s.kill()
	if s, err = startAttune(ctx, b.binary, dir); err != nil {
		return err
	}
	if _, err := s.drained(); err != nil {
		return err
	}
	took := time.Since(s.started)
	b.add(row{
		what: "1 M events of 100,000 people: ready and lag 0 after kill −9 under load", ours: fmt.Sprintf("%.2f s", took.Seconds()),
		target: "< 5 s", met: verdict(took < 5*time.Second, false),
	})
	// Ask for everybody, so that the caches fill.
	what := forYou(s, w.people, w.items)
	if _, err := b.wrk(ctx, s, what, 16); err != nil {
		return err
	}
	now, peak, err := s.memory()
	if err != nil {
		return err
	}
	b.add(row{
		what: "… memory after reads of random people", ours: fmt.Sprintf("RSS %s, peak %s", megabytes(now), megabytes(peak)),
		target: fmt.Sprintf("≤ %s cache + 300 MB", megabytes(cacheBytes)), met: verdict(peak <= cacheBytes+300<<20, false),
	})
	return nil
}

// load imports w into a new data directory and adds the row of its speed.
func (b *bench) load(ctx context.Context, w world, dir string) error {
	file := filepath.Join(b.dir, "bulk.ndjson")
	out, err := os.Create(file) //nolint:gosec // our own folder
	if err != nil {
		return err
	}
	events, err := w.write(out)
	if err != nil {
		return err
	}
	if err := out.Close(); err != nil {
		return err
	}
	defer os.Remove(file) //nolint:errcheck // the folder goes at the end
	size, err := os.Stat(file)
	if err != nil {
		return err
	}
	start := time.Now()
	cmd := exec.CommandContext(ctx, b.binary, "import", "--data-dir", dir, "--output", "json", file)
	text, err := cmd.Output()
	if err != nil {
		return fmt.Errorf("attune import: %w: %s", err, text)
	}
	took := time.Since(start)
	var sum struct {
		Accepted int `json:"accepted"`
	}
	if err := json.Unmarshal(text, &sum); err != nil {
		return fmt.Errorf("what attune import printed: %w: %s", err, text)
	}
	rate := float64(sum.Accepted) / took.Seconds()
	b.add(row{
		what: fmt.Sprintf("attune import of %s events (%d B each) of %s people: folded", thousands(float64(events)), int(size.Size())/events, thousands(float64(w.people))),
		ours: fmt.Sprintf("%s events/s (%.1f s, the process's start and last checkpoint counted; %s accepted; its peak %s)",
			thousands(rate), took.Seconds(), thousands(float64(sum.Accepted)), megabytes(peakOf(cmd))),
		target: "≥ 100,000 (200,000)", met: verdict(rate >= 100_000, rate >= 200_000),
	})
	return nil
}

// peakOf returns the most memory a process that has ended had, in bytes.
func peakOf(cmd *exec.Cmd) int64 {
	if u, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage); ok {
		return u.Maxrss << 10
	}
	return 0
}

// large measures decisions over a million items and two million people on
// disk beside the small world.
func (b *bench) large(ctx context.Context) error {
	small, err := b.rate(ctx, world{people: worldPeople, items: worldItems, sessions: 4, end: time.Now(), compact: true, prefix: "s-"}, "small")
	if err != nil {
		return err
	}
	big, err := b.rate(ctx, world{people: 2_000_000, items: 1_000_000, sessions: 1, end: time.Now(), compact: true, prefix: "l-"}, "large")
	if err != nil {
		return err
	}
	b.add(row{
		what: "for-you over 1 M items, 2 M people on disk, against the small world", ours: perSecond(big), noop: "small: " + perSecond(small),
		ratio: fmt.Sprintf("%.2f", big/small), target: "≥ 0.7", met: verdict(big/small >= .7, false),
	})
	return nil
}

// rate imports w and returns how many decisions a second it gives.
func (b *bench) rate(ctx context.Context, w world, name string) (float64, error) {
	dir := filepath.Join(b.dir, name)
	if err := b.load(ctx, w, dir); err != nil {
		return 0, err
	}
	s, err := startAttune(ctx, b.binary, dir)
	if err != nil {
		return 0, err
	}
	defer s.kill()
	b.add(row{what: name + " world: start", ours: fmt.Sprintf("%.2f s", time.Since(s.started).Seconds())})
	v, err := b.compare(ctx, s, forYou(s, w.people, w.items), 16, nil)
	if err != nil {
		return 0, err
	}
	took, err := b.atHalf(s, forYou(s, w.people, w.items), v.ours)
	if err != nil {
		return 0, err
	}
	now, peak, err := s.memory()
	if err != nil {
		return 0, err
	}
	b.add(row{
		what: name + " world: GET for-you, 16 connections", ours: fmt.Sprintf("%s, %s CPU, p99 at half %s; RSS %s, peak %s",
			perSecond(v.ours), micros(v.cpu), millis(quantile(took, .99)), megabytes(now), megabytes(peak)),
		noop: perSecond(v.noop), ratio: fmt.Sprintf("%.2f", v.ratio),
	})
	return v.ours, nil
}
