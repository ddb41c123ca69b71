package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/schollz/progressbar/v3"

	"github.com/attune-io/attune/collect/file"
)

// bar shows how far long work is: a line that is drawn over on a terminal, a
// plain line every few seconds elsewhere.
type bar struct {
	out   io.Writer
	total int64
	began time.Time

	mu     sync.Mutex
	drawn  *progressbar.ProgressBar // nil when out is no terminal
	phase  string
	spoken time.Time
}

// plainEvery is the pause between plain lines.
const plainEvery = 5 * time.Second

// newBar returns a bar over the bytes of files.
func newBar(out io.Writer, files []string) *bar {
	b := &bar{out: out, began: time.Now(), spoken: time.Now()}
	for _, name := range files {
		if info, err := os.Stat(name); err == nil {
			b.total += info.Size()
		}
	}
	return b
}

// terminal reports whether w is one.
func terminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// progress is a file.Import's Progress.
func (b *bar) progress(p file.Progress) {
	phase := "importing"
	if p.Looking {
		phase = "looking for the newest event"
	}
	b.show(phase, p.Bytes, p.Events, "events")
}

// show draws done of the total, with the count of things and their rate.
func (b *bar) show(phase string, done, count int64, things string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if phase != b.phase {
		b.end()
		b.phase, b.began, b.spoken = phase, time.Now(), time.Now()
		if terminal(b.out) {
			b.drawn = progressbar.NewOptions64(max(b.total, 1), progressbar.OptionSetWriter(b.out), progressbar.OptionSetWidth(30),
				progressbar.OptionThrottle(100*time.Millisecond), progressbar.OptionSetPredictTime(true), progressbar.OptionSetElapsedTime(true),
				progressbar.OptionClearOnFinish())
		}
	}
	took := max(time.Since(b.began).Seconds(), 1e-3)
	rate := int64(float64(count) / took)
	if b.drawn != nil {
		b.drawn.Describe(fmt.Sprintf("%s: %s %s, %s/s", phase, grouped(count), things, grouped(rate)))
		_ = b.drawn.Set64(min(done, b.total)) // a terminal that cannot be written to is no reason to stop
		return
	}
	if time.Since(b.spoken) < plainEvery {
		return
	}
	b.spoken = time.Now()
	part := float64(done) / float64(max(b.total, 1))
	left := "unknown"
	if part > 0 {
		left = time.Duration(took * (1 - part) / part * float64(time.Second)).Round(time.Second).String()
	}
	fmt.Fprintf(b.out, "%s: %.0f%%, %s %s, %s/s, %s left\n", phase, 100*part, grouped(count), things, grouped(rate), left)
}

// end takes a drawn line away. b.mu is held.
func (b *bar) end() {
	if b.drawn != nil {
		_ = b.drawn.Finish() // as in show
		b.drawn = nil
	}
}

// done takes the bar away.
func (b *bar) done() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.end()
}

// importing returns work that runs in and leaves its summary in sum.
func importing(sum *file.Summary, in file.Import) func(context.Context) error {
	return func(ctx context.Context) (err error) {
		*sum, err = file.Run(ctx, in)
		return err
	}
}

// topReasons is how many reasons are printed.
const topReasons = 8

// printReasons prints the most frequent reasons.
func printReasons(out io.Writer, what string, all int64, reasons map[string]int64) {
	if all == 0 {
		return
	}
	fmt.Fprintf(out, "%s: %s\n", what, counted(all, "row"))
	top := slices.SortedFunc(maps.Keys(reasons), func(a, b string) int {
		return cmp.Or(cmp.Compare(reasons[b], reasons[a]), cmp.Compare(a, b))
	})
	for _, r := range top[:min(len(top), topReasons)] {
		fmt.Fprintf(out, "  %10s  %s\n", grouped(reasons[r]), r)
	}
	if more := int64(len(top) - topReasons); more > 0 {
		fmt.Fprintf(out, "  and %s of other kinds\n", counted(more, "reason"))
	}
}

// counted returns n with its thing, of which there may be several.
func counted(n int64, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return grouped(n) + " " + thing + "s"
}

// grouped writes n with commas.
func grouped(n int64) string {
	s := strconv.FormatInt(n, 10)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
