package feature

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/attune-io/attune"
)

// Duration is a length of time that reads and prints as configuration writes
// it: "30d", "24h", "5m", "1h30m". A day is 24 hours, since days are UTC.
type Duration time.Duration

// The lengths that definitions are made of.
const (
	minute = Duration(time.Minute)
	hour   = Duration(time.Hour)
	day    = 24 * hour
)

// ParseDuration reads a sum of whole or decimal numbers with the units d, h, m,
// s and ms. "0" is zero. The largest is a little under 292 years.
func ParseDuration(s string) (Duration, error) {
	text := strings.TrimSpace(s)
	if text == "0" {
		return 0, nil
	}
	if text == "" || strings.ContainsAny(text, "+-") {
		return 0, fmt.Errorf("duration %q: want a number and a unit, like 30d, 24h or 5m: %w", s, attune.ErrInvalid)
	}
	var days int64
	if before, after, ok := strings.Cut(text, "d"); ok {
		n, err := strconv.ParseInt(before, 10, 64)
		if err != nil || n > 100_000 {
			return 0, fmt.Errorf("duration %q: days: want a whole number up to 100000: %w", s, attune.ErrInvalid)
		}
		days, text = n, after
	}
	total := Duration(days) * day
	if text == "" {
		return total, nil
	}
	rest, err := time.ParseDuration(text)
	if err != nil {
		return 0, fmt.Errorf("duration %q: want a number and a unit, like 30d, 24h or 5m: %w", s, attune.ErrInvalid)
	}
	if total += Duration(rest); total < 0 {
		return 0, fmt.Errorf("duration %q: too long: %w", s, attune.ErrInvalid)
	}
	return total, nil
}

// Millis returns d in milliseconds, cut off.
func (d Duration) Millis() int64 { return time.Duration(d).Milliseconds() }

// String returns the shortest form ParseDuration reads as d: whole days when
// they come out even, else hours, minutes and seconds.
func (d Duration) String() string {
	if d == 0 {
		return "0"
	}
	if d > 0 && d%day == 0 {
		return strconv.FormatInt(int64(d/day), 10) + "d"
	}
	s := time.Duration(d).String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// MarshalText returns d as String does; it never fails.
func (d Duration) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText reads d as ParseDuration does.
func (d *Duration) UnmarshalText(b []byte) error {
	v, err := ParseDuration(string(b))
	if err != nil {
		return err
	}
	*d = v
	return nil
}
