package feature

import (
	"math"
	"strings"
)

// Amounts are int64 in millionths; one input is held to ±10^12 units, so some
// nine million inputs of the largest size fit before a sum wraps around (as
// int64 does, silently, and still the same in every grouping).
const (
	micro    = 1_000_000
	maxMicro = 1_000_000_000_000 * micro
)

// maxTime bounds event times to ±140,000 years, so that window arithmetic
// cannot overflow whatever a client claims.
const maxTime = 1 << 52

// floorDiv is a divided by b > 0, rounded down: tiles before 1970 work too.
func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}

// parseMicro reads a decimal number, with or without exponent, as millionths,
// rounded half away from zero and held to ±maxMicro. It goes through no float,
// so 0.1 ten times is 1.
func parseMicro(s string) (int64, bool) {
	s = strings.TrimSpace(s)
	sign := int64(1)
	if s != "" && (s[0] == '-' || s[0] == '+') {
		if s[0] == '-' {
			sign = -1
		}
		s = s[1:]
	}
	mantissa, shift, n, ok := digits(s)
	if !ok {
		return 0, false
	}
	e, ok := exponent(s[n:])
	if !ok {
		return 0, false
	}
	return sign * scale(mantissa, shift+e+6), true
}

// digits reads digits with at most one point from the start of s: its first 18
// significant digits as m, so that the number is m·10^shift, and how many
// bytes it read.
func digits(s string) (m int64, shift, n int, ok bool) {
	point := false
	for ; n < len(s); n++ {
		c := s[n]
		switch {
		case c == '.' && !point:
			point = true
			continue
		case c < '0' || c > '9':
			return m, shift, n, ok
		}
		ok = true
		if m < 100_000_000_000_000_000 {
			m = m*10 + int64(c-'0')
			if point {
				shift--
			}
		} else if !point {
			shift++
		}
	}
	return m, shift, n, ok
}

// exponent reads "", or e and a signed number held to ±1000.
func exponent(s string) (int, bool) {
	if s == "" {
		return 0, true
	}
	if s[0] != 'e' && s[0] != 'E' {
		return 0, false
	}
	s = s[1:]
	sign := 1
	if s != "" && (s[0] == '-' || s[0] == '+') {
		if s[0] == '-' {
			sign = -1
		}
		s = s[1:]
	}
	if s == "" {
		return 0, false
	}
	e := 0
	for _, c := range []byte(s) {
		if c < '0' || c > '9' {
			return 0, false
		}
		e = min(e*10+int(c-'0'), 1000)
	}
	return sign * e, true
}

// scale is m·10^by, m ≥ 0, rounded half up and held to maxMicro.
func scale(m int64, by int) int64 {
	for ; by > 0 && m > 0; by-- {
		if m > maxMicro/10 {
			return maxMicro
		}
		m *= 10
	}
	half := false
	for ; by < 0 && (m > 0 || half); by++ {
		half = m%10 >= 5
		m /= 10
	}
	if half {
		m++
	}
	return min(m, maxMicro)
}

// units returns millionths as the number they stand for.
func units(v int64) float64 { return float64(v) / micro }

// exp2 is 2^x. The conversion at its uses keeps compilers from fusing the
// product with a sum, which would differ between machines.
func exp2(x float64) float64 { return math.Exp2(x) }
