package recommend

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"
	_ "time/tzdata" // rules name zones, and not every machine has them

	"github.com/tidwall/gjson"

	"github.com/attune-io/attune"
)

// Schedule says when a rule holds. The zero value is always. What is set holds
// together: between the instants, on one of the days, within the hours.
//
// Days and hours are those of a clock on the wall in Zone. An hour that a change
// to summer time leaves out does not come on that day, and one that comes twice
// counts twice. Hours that pass midnight belong to the day on which they began.
type Schedule struct {
	// From and Until are instants in RFC 3339, or times in Zone without an
	// offset: 2026-11-27 or 2026-11-27T18:00. From is part of it, Until is not.
	From  string `json:"from,omitempty"  yaml:"from,omitempty"`
	Until string `json:"until,omitempty" yaml:"until,omitempty"`
	// Days are mon, tue, wed, thu, fri, sat and sun; none is every day.
	Days []string `json:"days,omitempty" yaml:"days,omitempty"`
	// Hours are 09:00-17:30, or 22:00-02:00; "" is all day.
	Hours string `json:"hours,omitempty" yaml:"hours,omitempty"`
	// Zone is an IANA name as Europe/Berlin; "" is UTC.
	Zone string `json:"zone,omitempty" yaml:"zone,omitempty"`
	// Local takes the visitor's own zone, which context.timezone says; Zone is
	// that of whoever says none, or one that does not exist.
	Local bool `json:"local,omitempty" yaml:"local,omitempty"`
}

// Always reports whether s holds at every instant.
func (s *Schedule) Always() bool {
	return s.From == "" && s.Until == "" && len(s.Days) == 0 && s.Hours == ""
}

const (
	dayMinutes = 24 * 60
	everyDay   = 1<<7 - 1
)

// schedule is a Schedule compiled.
type schedule struct {
	from, until wall
	days        uint8 // a bit a weekday, Sunday first
	begin, end  int   // minutes of the day; end ≤ begin passes midnight
	zone        *time.Location
	local       bool
}

// wall is an instant, or a time on the wall of a zone yet to be known.
type wall struct {
	set, floats bool
	at          time.Time
}

// in returns the instant in a zone.
func (w wall) in(zone *time.Location) time.Time {
	if !w.floats {
		return w.at
	}
	t := w.at
	return time.Date(t.Year(), t.Month(), t.Day(), t.Hour(), t.Minute(), t.Second(), 0, zone)
}

// compile checks s and compiles it; nil is always. The error joins every fault,
// each with its path.
func (s *Schedule) compile() (*schedule, error) {
	if s.Always() && s.Zone == "" {
		return nil, nil //nolint:nilnil // documented
	}
	var errs []error
	bad := func(path, format string, args ...any) {
		errs = append(errs, fmt.Errorf("%s: %s: %w", path, fmt.Sprintf(format, args...), attune.ErrInvalid))
	}
	out := &schedule{days: everyDay, end: dayMinutes, zone: time.UTC, local: s.Local}
	if s.Zone != "" {
		zone, err := time.LoadLocation(s.Zone)
		if err != nil || s.Zone == "Local" {
			bad("zone", "there is no time zone %q; want one as Europe/Berlin", s.Zone)
		} else {
			out.zone = zone
		}
	}
	var ok bool
	if out.from, ok = wallOf(s.From); !ok {
		bad("from", "%q: want a time as 2026-11-27T18:00, in the zone, or 2026-11-27T18:00:00Z", s.From)
	}
	if out.until, ok = wallOf(s.Until); !ok {
		bad("until", "%q: want a time as 2026-11-27T18:00, in the zone, or 2026-11-27T18:00:00Z", s.Until)
	} else if out.from.set && out.until.set && !out.until.in(out.zone).After(out.from.in(out.zone)) {
		bad("until", "%s is not after from, %s", s.Until, s.From)
	}
	if len(s.Days) > 0 {
		out.days = 0
	}
	for i, d := range s.Days {
		day := strings.Index("sunmontuewedthufrisat", d)
		if len(d) != 3 || day%3 != 0 {
			bad(fmt.Sprintf("days[%d]", i), "unknown day %q; want mon, tue, wed, thu, fri, sat or sun", d)
			continue
		}
		out.days |= 1 << (day / 3)
	}
	if s.Hours != "" {
		if out.begin, out.end, ok = hoursOf(s.Hours); !ok {
			bad("hours", "%q: want hours as 09:00-17:30 or 22:00-02:00", s.Hours)
		}
	}
	return out, errors.Join(errs...)
}

// wallOf reads an instant or a time without an offset; "" is none.
func wallOf(text string) (w wall, ok bool) {
	if text == "" {
		return wall{}, true
	}
	if t, err := time.Parse(time.RFC3339, text); err == nil {
		return wall{set: true, at: t}, true
	}
	for _, layout := range [...]string{time.DateOnly, "2006-01-02T15:04", "2006-01-02T15:04:05", "2006-01-02 15:04"} {
		if t, err := time.Parse(layout, text); err == nil {
			return wall{set: true, floats: true, at: t}, true
		}
	}
	return wall{}, false
}

func hoursOf(text string) (begin, end int, ok bool) {
	from, to, found := strings.Cut(text, "-")
	begin, first := minuteOf(strings.TrimSpace(from))
	end, second := minuteOf(strings.TrimSpace(to))
	return begin, end, found && first && second && begin != end && begin < dayMinutes
}

// minuteOf reads 09:30 as a minute of the day; 24:00 is its end.
func minuteOf(text string) (int, bool) {
	if len(text) != len("09:30") || text[2] != ':' {
		return 0, false
	}
	h, err := strconv.ParseUint(text[:2], 10, 8)
	m, err2 := strconv.ParseUint(text[3:], 10, 8)
	at := int(h)*60 + int(m)
	return at, err == nil && err2 == nil && m < 60 && at <= dayMinutes
}

// holds reports whether the schedule holds at an instant for a visitor, whose
// zone is nil when not known. A nil schedule always holds.
func (s *schedule) holds(now time.Time, visitor *time.Location) bool {
	if s == nil {
		return true
	}
	zone := s.zone
	if s.local && visitor != nil {
		zone = visitor
	}
	if s.from.set && now.Before(s.from.in(zone)) || s.until.set && !now.Before(s.until.in(zone)) {
		return false
	}
	if s.days == everyDay && s.begin == 0 && s.end == dayMinutes {
		return true
	}
	t := now.In(zone)
	minute, day := t.Hour()*60+t.Minute(), int(t.Weekday())
	if s.end > s.begin {
		return minute >= s.begin && minute < s.end && s.on(day)
	}
	return minute >= s.begin && s.on(day) || minute < s.end && s.on((day+6)%7)
}

func (s *schedule) on(day int) bool { return s.days>>day&1 == 1 }

// meets reports whether both schedules may hold at one instant. It errs on the
// side of yes where their zones differ.
func (s *schedule) meets(o *schedule) bool {
	if s == nil || o == nil {
		return true
	}
	slack := time.Duration(0)
	if s.local || o.local {
		slack = 26 * time.Hour // from the first to the last zone
	}
	if apart(s.until, o.from, s.zone, o.zone, slack) || apart(o.until, s.from, o.zone, s.zone, slack) {
		return false
	}
	if s.local != o.local || s.zone.String() != o.zone.String() {
		return true
	}
	for day := range 7 {
		for minute := range dayMinutes {
			if s.within(day, minute) && o.within(day, minute) {
				return true
			}
		}
	}
	return false
}

func (s *schedule) within(day, minute int) bool {
	if s.end > s.begin {
		return minute >= s.begin && minute < s.end && s.on(day)
	}
	return minute >= s.begin && s.on(day) || minute < s.end && s.on((day+6)%7)
}

// apart reports whether one ends before the other begins.
func apart(until, from wall, a, b *time.Location, slack time.Duration) bool {
	return until.set && from.set && !until.in(a).Add(slack).After(from.in(b))
}

// zones remembers the time zones that visitors name. Any number of goroutines
// may use it; the zero value is ready.
type zones struct {
	mu    sync.RWMutex
	known map[string]*time.Location // nil: there is none of that name
}

// maxZones bounds the names that are remembered: twice what there are.
const maxZones = 1200

// of returns the zone of a request's context, nil when it names none. Only the
// first of a name looks into the database of zones.
func (z *zones) of(context []byte) *time.Location {
	name := gjson.GetBytes(context, "timezone").Str
	if name == "" || len(name) > 64 || name == "Local" {
		return nil
	}
	z.mu.RLock()
	zone, known := z.known[name]
	z.mu.RUnlock()
	if known {
		return zone
	}
	zone, err := time.LoadLocation(name)
	if err != nil {
		zone = nil
	}
	z.mu.Lock()
	defer z.mu.Unlock()
	if z.known == nil || len(z.known) >= maxZones {
		z.known = map[string]*time.Location{} // names that nobody has do not keep the others out
	}
	z.known[strings.Clone(name)] = zone
	return zone
}
