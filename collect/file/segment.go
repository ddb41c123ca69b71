package file

import (
	"bytes"
	"time"
	"unsafe"

	"github.com/tidwall/gjson"
	"github.com/tidwall/sjson"

	"github.com/attune-io/attune"
)

// segment reads Segment calls: one JSON object a line, or {"batch":[…]} with
// several. What is not valid JSON is a fault here; whatever else may be wrong
// with an event is the sink's to say.
type segment struct {
	lines *lines
	ids   ids
	shift attune.Millis

	row  int64
	rest []Row // of a batch line, in order
	bad  []*Fault
}

func (s *segment) next() (Row, error) {
	for {
		if len(s.bad) > 0 {
			f := s.bad[0]
			s.bad = s.bad[1:]
			return Row{}, f
		}
		if len(s.rest) > 0 {
			row := s.rest[0]
			s.rest = s.rest[1:]
			return row, nil
		}
		line, err := s.lines.next()
		if err != nil {
			return Row{}, err
		}
		s.row = s.lines.row
		if line = bytes.TrimSpace(line); len(line) == 0 {
			continue
		}
		if line[0] != '{' || !gjson.ValidBytes(line) {
			return Row{}, faultAt(s.row, line, "the line is not a JSON object")
		}
		if bytes.Contains(line, []byte(`"batch"`)) {
			// The copy is what is handed on: the line's memory is used again.
			whole := bytes.Clone(line)
			if list := gjson.GetBytes(whole, "batch"); list.IsArray() && !gjson.GetBytes(whole, "type").Exists() {
				s.batch(whole, list)
				continue
			}
		}
		return s.event(line, 0)
	}
}

// batch takes a batch line apart. What it says for all its events is put into
// those that do not say it themselves, as the HTTP API does.
func (s *segment) batch(line []byte, list gjson.Result) {
	common := gjson.GetBytes(line, "context")
	part := 0
	list.ForEach(func(_, v gjson.Result) bool {
		part++
		if !v.IsObject() {
			s.bad = append(s.bad, faultAt(s.row, []byte(v.Raw), "element %d of the batch is not an object", part))
			return true
		}
		e := []byte(v.Raw)
		if common.IsObject() {
			e = withContext(e, common)
		}
		row, err := s.event(e, part)
		if f, ok := err.(*Fault); ok { //nolint:errorlint // event returns it bare
			s.bad = append(s.bad, f)
			return true
		}
		s.rest = append(s.rest, row)
		return true
	})
}

// withContext lays e's own context over common, one level deep.
func withContext(e []byte, common gjson.Result) []byte {
	merged := []byte(common.Raw)
	gjson.GetBytes(e, "context").ForEach(func(k, v gjson.Result) bool {
		if out, err := sjson.SetRawBytes(merged, escapePath(k.Str), []byte(v.Raw)); err == nil {
			merged = out
		}
		return true
	})
	out, err := sjson.SetRawBytes(e, "context", merged)
	if err != nil {
		return e
	}
	return out
}

// escapePath makes a member's name a path that means it alone.
func escapePath(name string) string {
	var b []byte
	for i := range len(name) {
		switch c := name[i]; c {
		case '.', '*', '?', '|', '#', '@', '!', '{', '}', '[', ']', '(', ')', '=', '<', '>', '%', '~', ':', '\\':
			b = append(b, '\\', c)
		default:
			b = append(b, c)
		}
	}
	return string(b)
}

// event settles the messageId and the time of one call. What it returns has
// memory of its own.
func (s *segment) event(e []byte, part int) (Row, error) {
	row := Row{Number: s.row}
	var at gjson.Result
	id, original := "", false
	// Not ParseBytes, which copies e: what is kept of the results, a time, is not
	// part of e any more when it changes.
	gjson.Parse(unsafe.String(unsafe.SliceData(e), len(e))).ForEach(func(k, v gjson.Result) bool { //nolint:gosec // e does not change meanwhile
		switch k.Str {
		case "messageId":
			id = v.String()
		case "timestamp":
			at = v
		case "originalTimestamp":
			original = true
			if !at.Exists() {
				at = v
			}
		}
		return true
	})
	if at.Exists() && at.Type != gjson.Null {
		t, ok := instant(at.String())
		if !ok {
			return row, faultAt(s.row, e, "timestamp is no time that is understood; write RFC 3339, as 2011-12-09T12:50:00Z")
		}
		row.Time = t + s.shift
	}
	if id == "" {
		e = s.named(e, part)
	} else {
		e = bytes.Clone(e)
	}
	if s.shift != 0 && row.Time != 0 {
		var err error
		if e, err = shifted(e, row.Time, original); err != nil {
			return row, faultAt(s.row, e, "its time cannot be changed: %v", err)
		}
	}
	row.Event = e
	return row, nil
}

// named returns a copy of e, an object, with a messageId made from its row.
func (s *segment) named(e []byte, part int) []byte {
	if gjson.GetBytes(e, "messageId").Exists() { // empty, and the last one counts
		e, _ = sjson.DeleteBytes(e, "messageId") // it is valid JSON with that member
	}
	id := s.ids.row(s.row, part)
	out := make([]byte, 0, len(e)+len(id)+20)
	out = append(append(append(out, `{"messageId":"`...), id...), '"')
	rest := bytes.TrimLeft(e[1:], " \t\r\n")
	if rest[0] != '}' {
		out = append(out, ',')
	}
	return append(out, rest...)
}

// shifted returns e as having happened at. What clients' clocks said is of
// before the shift, and would be taken for the truth.
//
//revive:disable-next-line:flag-parameter // the flag says what is there.
func shifted(e []byte, at attune.Millis, original bool) ([]byte, error) {
	e, err := sjson.SetBytes(e, "timestamp", at.String())
	if err == nil && original {
		e, err = sjson.DeleteBytes(e, "originalTimestamp")
	}
	if err == nil {
		e, err = sjson.DeleteBytes(e, "sentAt")
	}
	return e, err
}

// instant reads a time as the HTTP API does: RFC 3339 or near it, or a number of
// milliseconds (seconds, when it is too small for that) since 1970.
func instant(text string) (attune.Millis, bool) {
	const maxSeconds, maxMillis = 100_000_000_000, 100_000_000_000_000 // both the year 5138
	if n, ok := integer(text); ok {
		switch {
		case n > 0 && n < maxSeconds:
			return attune.Millis(n * 1000), true
		case n >= maxSeconds && n < maxMillis:
			return attune.Millis(n), true
		}
		return 0, false
	}
	for _, layout := range [...]string{
		time.RFC3339Nano, "2006-01-02T15:04:05.999999999", "2006-01-02 15:04:05.999999999Z07:00",
		"2006-01-02 15:04:05.999999999", time.DateOnly, time.RFC1123,
	} {
		if t, err := time.Parse(layout, text); err == nil && t.UnixMilli() > 0 {
			return attune.MillisOf(t), true
		}
	}
	return 0, false
}
