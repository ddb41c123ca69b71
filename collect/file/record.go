package file

import (
	"bytes"
	"errors"
	"io"
)

// records reads the records of a table: RFC 4180 with any one-byte delimiter.
// A quoted field may hold line ends. It is its own reader, and not
// encoding/csv, because one stray quote must cost one row and not the rest of
// the file, and because a bad row is handed back as it was.
type records struct {
	lines *lines
	comma byte
	limit int
	log   *accessLog // the lines are an access log's; nil: a table's

	row    int64
	fields [][]byte // parts of raw, or of plain
	raw    []byte
	plain  []byte // fields that had doubled quotes, without them
	ahead  [][]byte
	at     []int64 // rows of ahead
}

// maxJoin bounds the lines of one record: a quote that is open for longer is
// taken for a stray one.
const maxJoin = 256

// next reads a record into fields, good until the next call. Empty lines are
// stepped over.
func (r *records) next() error {
	for {
		line, row, err := r.line()
		if err != nil {
			return err
		}
		r.row = row
		if len(bytes.TrimSpace(line)) == 0 {
			continue
		}
		r.raw = append(r.raw[:0], line...)
		if r.log != nil {
			return r.log.split(r)
		}
		var more [][]byte
		var rows []int64
		for !r.whole() {
			if len(more) >= maxJoin || len(r.raw) > r.limit {
				return r.stray(more, rows)
			}
			line, row, err := r.line()
			if errors.Is(err, io.EOF) {
				return r.stray(more, rows)
			}
			if err != nil {
				return err
			}
			more, rows = append(more, bytes.Clone(line)), append(rows, row)
			r.raw = append(append(r.raw, '\n'), line...)
		}
		return r.split()
	}
}

// line returns the next line, of those put back first.
func (r *records) line() ([]byte, int64, error) {
	if len(r.ahead) > 0 {
		line, row := r.ahead[0], r.at[0]
		r.ahead, r.at = r.ahead[1:], r.at[1:]
		return line, row, nil
	}
	line, err := r.lines.next()
	return line, r.lines.row, err
}

// stray gives up on a record whose quote does not close: its first line is
// bad, and the others are read again by themselves.
func (r *records) stray(more [][]byte, rows []int64) error {
	r.ahead, r.at = append(more, r.ahead...), append(rows, r.at...)
	first, _, _ := bytes.Cut(r.raw, []byte{'\n'})
	return faultAt(r.row, first, "a quoted field does not end")
}

// whole reports whether every quote that opens in raw closes there.
func (r *records) whole() bool {
	if bytes.IndexByte(r.raw, '"') < 0 {
		return true
	}
	open, start := false, true
	for i := 0; i < len(r.raw); i++ {
		switch c := r.raw[i]; {
		case open && c == '"' && i+1 < len(r.raw) && r.raw[i+1] == '"':
			i++
		case open && c == '"':
			open = false
		case open:
		case c == r.comma:
			start = true
			continue
		case c == '"' && start:
			open = true
		}
		start = false
	}
	return !open
}

// split cuts raw, which is whole, into fields. Text after a closing quote, and
// a quote inside a field that is not quoted, are faults, as in RFC 4180.
func (r *records) split() error {
	r.fields, r.plain = r.fields[:0], r.plain[:0]
	if need := len(r.raw); cap(r.plain) < need {
		r.plain = make([]byte, 0, need) // it must not move while fields point to it
	}
	rest := r.raw
	for {
		if len(rest) == 0 || rest[0] != '"' {
			field, tail, more := bytes.Cut(rest, []byte{r.comma})
			if bytes.IndexByte(field, '"') >= 0 {
				return faultAt(r.row, r.raw, "a quote inside a field that is not quoted")
			}
			r.fields = append(r.fields, field)
			if !more {
				return nil
			}
			rest = tail
			continue
		}
		start := len(r.plain)
		i := 1
		for ; ; i++ {
			if rest[i] != '"' { // raw is whole: a quote closes before its end
				r.plain = append(r.plain, rest[i])
				continue
			}
			if i+1 >= len(rest) || rest[i+1] != '"' {
				break
			}
			r.plain = append(r.plain, '"')
			i++
		}
		r.fields = append(r.fields, r.plain[start:len(r.plain):len(r.plain)])
		rest = rest[i+1:]
		switch {
		case len(rest) == 0:
			return nil
		case rest[0] != r.comma:
			return faultAt(r.row, r.raw, "text behind the end of a quoted field")
		}
		rest = rest[1:]
	}
}
