package main

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// row is one line of the table.
type row struct {
	what, ours, noop, ratio, target, met string
}

// verdict says whether a target, and its stretch, is met.
func verdict(ok, stretch bool) string {
	switch {
	case stretch:
		return "yes, stretch too"
	case ok:
		return "yes"
	default:
		return "NO"
	}
}

// table prints rows as Markdown with aligned columns.
func table(rows []row) string {
	cells := [][]string{{"what", "ours", "no-op", "ratio", "target (stretch)", "met"}}
	for _, r := range rows {
		cells = append(cells, []string{r.what, r.ours, r.noop, r.ratio, r.target, r.met})
	}
	width := make([]int, len(cells[0]))
	for _, line := range cells {
		for i, c := range line {
			width[i] = max(width[i], len([]rune(c)))
		}
	}
	var b strings.Builder
	for n, line := range cells {
		for i, c := range line {
			fmt.Fprintf(&b, "| %s%s ", c, strings.Repeat(" ", width[i]-len([]rune(c))))
		}
		b.WriteString("|\n")
		if n == 0 {
			for _, w := range width {
				b.WriteString("|" + strings.Repeat("-", w+2))
			}
			b.WriteString("|\n")
		}
	}
	return b.String()
}

// median returns the middle of v, the upper one of two; 0 of none.
func median(v []float64) float64 {
	if len(v) == 0 {
		return 0
	}
	v = slices.Clone(v)
	slices.Sort(v)
	return v[len(v)/2]
}

func perSecond(v float64) string { return thousands(v) + "/s" }

// thousands writes v whole, with commas.
func thousands(v float64) string {
	s := fmt.Sprintf("%.0f", v)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

func millis(d time.Duration) string { return fmt.Sprintf("%.2f ms", float64(d.Nanoseconds())/1e6) }

func micros(d time.Duration) string { return fmt.Sprintf("%.0f µs", float64(d.Nanoseconds())/1e3) }

func megabytes(n int64) string { return fmt.Sprintf("%d MB", n>>20) }
