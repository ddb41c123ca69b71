package file

import (
	"bytes"
	"fmt"
	"net/netip"
	"net/url"
	"regexp"
	"strconv"
	"strings"

	"github.com/mileusna/useragent"
	"github.com/tidwall/gjson"

	"github.com/attune-io/attune"
)

// logColumns are the columns of a line in the combined log format, as Apache
// and nginx write it:
//
//	203.0.113.7 - frank [10/Oct/2026:13:55:36 +0200] "GET /p/mug?q=1 HTTP/1.1" 200 2326 "https://example.com/" "Mozilla/5.0"
//
// The common log format is the same without the last two. What stands behind
// them, quoted or not, has the names of Mapping.Fields.
//
// https://httpd.apache.org/docs/2.4/logs.html#combined
func logColumns() []string {
	return []string{
		"host", "ident", "user", "time", "method", "path", "query", "status", "bytes", "referrer", "agent",
	}
}

// logLine reports whether a line looks like an access log's: a time in brackets,
// then a request in quotes.
func logLine(line []byte) bool {
	at := bytes.Index(line, []byte(" ["))
	end := bytes.Index(line, []byte(`] "`))
	return at > 0 && end > at && bytes.Count(line[at:end], []byte{':'}) >= 3 && bytes.Count(line[at:end], []byte{'/'}) >= 2
}

// accessLog cuts the lines of an access log into fields.
type accessLog struct {
	extra  int  // names behind the usual ones
	robots bool // lines of robots are events too
	agents map[string]bool
}

// maxKnownAgents bounds the user agents that are remembered.
const maxKnownAgents = 4096

// split cuts raw into r.fields.
func (l *accessLog) split(r *records) error {
	fault := func(what string) error { return faultAt(r.row, r.raw, "%s; want the combined log format", what) }
	r.fields = r.fields[:0]
	rest := r.raw
	var head [3][]byte
	for i := range head {
		var ok bool
		if head[i], rest, ok = bytes.Cut(rest, []byte{' '}); !ok {
			return fault("the line ends too early")
		}
	}
	if len(rest) == 0 || rest[0] != '[' {
		// A user may have blanks in her name; nothing before the time has a [.
		at := bytes.Index(rest, []byte(" ["))
		if at < 0 {
			return fault("there is no time in brackets")
		}
		start := len(r.raw) - len(rest) - len(head[2]) - 1
		head[2], rest = r.raw[start:len(r.raw)-len(rest)+at], rest[at+1:]
	}
	at, rest, ok := bytes.Cut(rest[1:], []byte("] "))
	if !ok {
		return fault("the time does not end")
	}
	var fields [7][]byte // request, status, bytes, referrer, agent; missing ones are empty
	n := 0
	more := make([][]byte, 0, l.extra)
	for len(rest) > 0 {
		var f []byte
		if f, rest, ok = logField(rest); !ok {
			return fault("a quoted field does not end")
		}
		if n < 5 {
			fields[n] = f
			n++
		} else if len(more) < l.extra {
			more = append(more, f)
		}
	}
	if n < 3 {
		return fault("the line ends too early")
	}
	method, path, query := request(fields[0])
	r.fields = append(r.fields, dash(head[0]), dash(head[1]), dash(head[2]), at, method, path, query, fields[1], dash(fields[2]), dash(fields[3]), dash(fields[4]))
	r.fields = append(r.fields, more...)
	for range l.extra - len(more) {
		r.fields = append(r.fields, nil)
	}
	return nil
}

// dash returns f, empty where it is the "-" of what is not known.
func dash(f []byte) []byte {
	if len(f) == 1 && f[0] == '-' {
		return nil
	}
	return f
}

// logField takes the next field off s: in quotes, where \" and \\ stand for
// themselves and \xhh for a byte, or up to a blank.
func logField(s []byte) (field, rest []byte, ok bool) {
	if s[0] != '"' {
		field, rest, _ = bytes.Cut(s, []byte{' '})
		return field, rest, true
	}
	s = s[1:]
	plain := true
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '\\':
			plain = false
			i++
		case '"':
			field, rest = s[:i], bytes.TrimPrefix(s[i+1:], []byte{' '})
			if !plain {
				field = unescape(field)
			}
			return field, rest, true
		}
	}
	return nil, nil, false
}

// unescape resolves the escapes of a quoted field in memory of its own.
func unescape(f []byte) []byte {
	out := make([]byte, 0, len(f))
	for i := 0; i < len(f); i++ {
		if f[i] != '\\' || i+1 == len(f) {
			out = append(out, f[i])
			continue
		}
		i++
		switch f[i] {
		case 'x':
			if i+2 < len(f) {
				if n, err := strconv.ParseUint(string(f[i+1:i+3]), 16, 8); err == nil {
					out = append(out, byte(n))
					i += 2
					continue
				}
			}
			out = append(out, '\\', 'x')
		case 't', 'n', 'r':
			out = append(out, ' ')
		default:
			out = append(out, f[i])
		}
	}
	return bytes.ToValidUTF8(out, []byte("\uFFFD"))
}

// request takes "GET /path?query HTTP/1.1" apart; path without its escapes. All
// three are empty of what is no request.
func request(line []byte) (method, path, query []byte) {
	method, rest, ok := bytes.Cut(line, []byte{' '})
	if !ok {
		return nil, nil, nil
	}
	if i := bytes.LastIndexByte(rest, ' '); i >= 0 {
		rest = rest[:i]
	}
	if _, after, absolute := bytes.Cut(rest, []byte("://")); absolute && rest[0] != '/' {
		rest = nil
		if i := bytes.IndexByte(after, '/'); i >= 0 {
			rest = after[i:]
		}
	}
	path, query, _ = bytes.Cut(rest, []byte{'?'})
	if bytes.IndexByte(path, '%') >= 0 {
		if plain, err := url.PathUnescape(string(path)); err == nil {
			path = bytes.ToValidUTF8([]byte(plain), []byte("\uFFFD"))
		}
	}
	return method, path, query
}

// robot reports whether the line's user agent is a robot's.
func (l *accessLog) robot(agent string) bool {
	if agent == "" || l.robots {
		return false
	}
	is, known := l.agents[agent]
	if !known {
		is = useragent.Parse(agent[:min(len(agent), 512)]).Bot
		if len(l.agents) < maxKnownAgents {
			l.agents[strings.Clone(agent)] = is
		}
	}
	return is
}

// context is what a line says of whoever asked, as Segment's context has it.
func (*accessLog) context(b []byte, col func(string) string) []byte {
	start := len(b)
	member := func(name, value string) {
		if value == "" {
			return
		}
		if len(b) > start {
			b = append(b, ',')
		} else {
			b = append(b, `,"context":{`...)
		}
		b = gjson.AppendJSONString(b, name)
		b = gjson.AppendJSONString(append(b, ':'), value)
	}
	if a, err := netip.ParseAddr(col("host")); err == nil {
		member("ip", a.String())
	}
	member("userAgent", col("agent"))
	if path := col("path"); path != "" {
		if len(b) == start {
			b = append(b, `,"context":{`...)
		} else {
			b = append(b, ',')
		}
		b = gjson.AppendJSONString(append(b, `"page":{"path":`...), path)
		for _, m := range [...]struct{ name, before, column string }{{"search", "?", "query"}, {"referrer", "", "referrer"}} {
			if v := col(m.column); v != "" {
				b = gjson.AppendJSONString(append(append(append(b, `,"`...), m.name...), `":`...), m.before+v)
			}
		}
		b = append(b, '}')
	}
	if len(b) > start {
		b = append(b, '}')
	}
	return b
}

// Extract makes a column of a part of another one. One of Matches, Param and
// Cookie says which part; what is not there is empty.
type Extract struct {
	Column  string `yaml:"column"`
	Matches string `yaml:"matches"` // RE2; the first group, or all of it
	Param   string `yaml:"param"`   // of a query string: a=1&b=2
	Cookie  string `yaml:"cookie"`  // of a Cookie header: a=1; b=2

	matches *regexp.Regexp
}

// compile checks x.
func (x *Extract) compile(path string, fault faulter) {
	if x.Column == "" {
		fault(path+".column", "is missing")
	}
	said := 0
	for _, s := range []string{x.Matches, x.Param, x.Cookie} {
		if s != "" {
			said++
		}
	}
	if said != 1 {
		fault(path, "want one of matches, param and cookie")
	}
	if x.Matches != "" {
		var err error
		if x.matches, err = regexp.Compile(x.Matches); err != nil {
			fault(path+".matches", "%v", err)
		}
	}
}

// of returns the part of v.
func (x *Extract) of(v string) string {
	switch {
	case v == "":
		return ""
	case x.matches != nil:
		m := x.matches.FindStringSubmatch(v)
		switch {
		case m == nil:
			return ""
		case len(m) > 1:
			return m[1]
		default:
			return m[0]
		}
	case x.Param != "":
		return pair(v, "&", x.Param)
	default:
		return pair(v, ";", x.Cookie)
	}
}

// pair returns the value of name in a list of pairs.
func pair(list, between, name string) string {
	for part := range strings.SplitSeq(list, between) {
		k, v, _ := strings.Cut(strings.TrimSpace(part), "=")
		if k != name {
			continue
		}
		if between == "&" {
			if plain, err := url.QueryUnescape(v); err == nil {
				return plain
			}
		}
		return strings.Trim(v, `"`)
	}
	return ""
}

// robotLine is the reason under which lines of robots are left out.
const robotLine = "a robot, by its user agent"

// beginLog makes t one over an access log, which has no header.
func (t *table) beginLog() error {
	names := append(logColumns(), t.m.Fields...)
	t.recs.log = &accessLog{extra: len(t.m.Fields), robots: t.m.Robots, agents: map[string]bool{}}
	for i, name := range names {
		if _, twice := t.index[name]; twice {
			return fmt.Errorf("mapping: fields: %q is a column already: %w", name, attune.ErrInvalid)
		}
		t.index[name] = i
	}
	return nil
}
