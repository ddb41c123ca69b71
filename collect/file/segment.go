package file

import (
	"bytes"
	"time"

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
		if !gjson.ValidBytes(line) || line[0] != '{' {
			return Row{}, faultAt(s.row, line, "the line is not a JSON object")
		}
		// The copy is what is handed on: the line's memory is used again.
		line = bytes.Clone(line)
		list := gjson.GetBytes(line, "batch")
		if !list.IsArray() || gjson.GetBytes(line, "type").Exists() {
			return s.event(line, 0)
		}
		s.batch(line, list)
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

// event settles the messageId and the time of one call.
func (s *segment) event(e []byte, part int) (Row, error) {
	row := Row{Number: s.row}
	var id, at gjson.Result
	var original bool
	gjson.ParseBytes(e).ForEach(func(k, v gjson.Result) bool {
		switch k.Str {
		case "messageId":
			id = v
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
	var err error
	if s.shift != 0 && row.Time != 0 {
		if e, err = sjson.SetBytes(e, "timestamp", row.Time.String()); err == nil && original {
			// It is before the shift, and would be taken for the client's clock.
			e, err = sjson.DeleteBytes(e, "originalTimestamp")
		}
		if err == nil {
			e, err = sjson.DeleteBytes(e, "sentAt")
		}
	}
	if err == nil && (!id.Exists() || id.String() == "") {
		e, err = sjson.SetBytes(e, "messageId", s.ids.row(s.row, part))
	}
	if err != nil {
		return row, faultAt(s.row, e, "the event cannot be changed: %v", err)
	}
	row.Event = e
	return row, nil
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
