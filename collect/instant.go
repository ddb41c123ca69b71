package collect

import (
	"time"

	"github.com/tidwall/gjson"

	"github.com/attune-io/attune"
)

// instant reads a JSON time: a string, or a number of milliseconds (seconds
// when it is too small for that) since 1970. What does not read, or lies
// before 1970, is 0: not known. No event is refused for its time.
func instant(v gjson.Result) attune.Millis {
	switch v.Type {
	case gjson.String:
		return instantOf(v.Str)
	case gjson.Number:
		const maxSeconds, maxMillis = 1e11, 1e14 // the years 5138 and 5138
		switch n := v.Num; {
		case n > 0 && n < maxSeconds:
			return attune.Millis(n * 1000)
		case n >= maxSeconds && n < maxMillis:
			return attune.Millis(n)
		}
	}
	return 0
}

func instantOf(s string) attune.Millis {
	t, err := time.Parse(time.RFC3339Nano, s)
	for _, layout := range [...]string{
		"2006-01-02T15:04:05.999999999", "2006-01-02 15:04:05.999999999Z07:00",
		"2006-01-02 15:04:05.999999999", time.DateOnly, time.RFC1123,
	} {
		if err == nil || s == "" {
			break
		}
		t, err = time.Parse(layout, s)
	}
	if err != nil || t.UnixMilli() < 0 {
		return 0
	}
	return attune.MillisOf(t)
}

// settleTime decides when the event happened.
//
// A browser's or phone's clock may be wrong, but it was as wrong when it sent
// as when the event happened, so their distance counts, from the edge's clock
// backwards. A server's clock is trusted: some server SDKs send an old sentAt
// again with a retry, which would move the event. Nothing happens after it was
// received.
func (d *draft) settleTime(received attune.Millis, device bool) {
	e := &d.e
	e.ReceivedAt = received
	if e.Original == 0 {
		e.Original = d.timestamp
	}
	switch {
	case device && e.Original > 0 && e.SentAt > 0:
		e.Time = received - (e.SentAt - e.Original)
	case device:
		e.Time = e.Original
	case d.timestamp > 0: // what the caller said, which originalTimestamp is not always
		e.Time = d.timestamp
	default:
		e.Time = e.Original
	}
	if e.Time <= 0 || e.Time > received {
		e.Time = received
	}
}
