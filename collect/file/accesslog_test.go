package file_test

import (
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/attune-io/attune"
	"github.com/attune-io/attune/collect/file"
)

const logMapping = `
time: {column: time, layout: "02/Jan/2006:15:04:05 -0700"}
fields: [cookie]
extract:
  sku: {column: path, matches: "^/p/([^/]+)"}
  q: {column: query, param: q}
  visitor: {column: cookie, cookie: uid}
rules:
  - exclude: no page
    when: [{column: path, matches: "\\.(css|js|png)$"}]
  - exclude: an error
    when: [{column: status, at_least: 400}]
  - event: Product Viewed
    when: [{column: sku, matches: .}]
    user_id: "{user}"
    anonymous_id: "{visitor}"
    guest_id: "v-{host|hash}"
    properties:
      product_id: "{sku}"
  - event: Products Searched
    when: [{column: path, is: /search}]
    user_id: "{user}"
    anonymous_id: "{visitor}"
    guest_id: "v-{host|hash}"
    properties: {query: "{q}"}
  - exclude: another page
`

// rows reads a log, and returns its events, its faults and what was left out.
func logRows(t *testing.T, format file.Format, mapping, text string) (events, faults []string, excluded map[string]int64) {
	t.Helper()
	m, err := file.ParseMapping([]byte(mapping))
	if err != nil {
		t.Fatal(err)
	}
	r, err := file.NewReader(strings.NewReader(text), file.Options{Name: "access.log", Format: format, Mapping: m})
	if err != nil {
		t.Fatal(err)
	}
	for {
		row, err := r.Next()
		var f *file.Fault
		switch {
		case errors.Is(err, io.EOF):
			return events, faults, r.Excluded()
		case errors.As(err, &f):
			faults = append(faults, f.Error())
		case err != nil:
			t.Fatal(err)
		default:
			events = append(events, string(row.Event))
		}
	}
}

func TestAccessLog(t *testing.T) {
	const agent = `"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0.0.0 Safari/537.36"`
	text := strings.Join([]string{
		`203.0.113.7 - frank [10/Oct/2026:13:55:36 +0200] "GET /p/red%20mug?ref=mail HTTP/1.1" 200 2326 "https://search.example/?q=mug" ` + agent + ` "a=1; uid=77; b=2"`,
		`2001:db8::1 - - [10/Oct/2026:11:55:37 +0000] "GET /search?x=1&q=red+mug HTTP/2.0" 200 - "-" ` + agent + ` "uid=77"`,
		`203.0.113.8 - - [10/Oct/2026:11:55:38 +0000] "GET https://shop.example/p/pan HTTP/1.1" 304 0 "-" "-"`,
		`203.0.113.8 - - [10/Oct/2026:11:55:38 +0000] "GET /p/pan HTTP/1.1" 200 0 "-" "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)" "-"`,
		`203.0.113.8 - - [10/Oct/2026:11:55:38 +0000] "GET /site.css HTTP/1.1" 200 0 "-" ` + agent,
		`203.0.113.8 - - [10/Oct/2026:11:55:38 +0000] "GET /p/gone HTTP/1.1" 404 0 "-" ` + agent,
		`203.0.113.8 - - [10/Oct/2026:11:55:38 +0000] "\x16\x03\x01" 400 0 "-" "-"`,
		`203.0.113.8 - mary ann [10/Oct/2026:11:55:39 +0000] "GET /p/a\"b HTTP/1.1" 200 0`,
		`203.0.113.8 - - [99/Oct/2026:11:55:39 +0000] "GET /p/a HTTP/1.1" 200 0`,
		`garbage`,
		`203.0.113.8 - - [10/Oct/2026:11:55:39 +0000] "GET /p/a HTTP/1.1`,
		``,
	}, "\n")
	events, faults, excluded := logRows(t, file.Auto, logMapping, text)
	chrome := strings.Trim(agent, `"`)
	want := []string{
		`{"type":"track","event":"Product Viewed","messageId":"ID-1","userId":"frank","anonymousId":"77","timestamp":"2026-10-10T11:55:36.000Z","context":{"ip":"203.0.113.7","userAgent":"` + chrome + `","page":{"path":"/p/red mug","search":"?ref=mail","referrer":"https://search.example/?q=mug"}},"properties":{"product_id":"red mug"}}`,
		`{"type":"track","event":"Products Searched","messageId":"ID-2","anonymousId":"77","timestamp":"2026-10-10T11:55:37.000Z","context":{"ip":"2001:db8::1","userAgent":"` + chrome + `","page":{"path":"/search","search":"?x=1\u0026q=red+mug"}},"properties":{"query":"red mug"}}`,
		`{"type":"track","event":"Product Viewed","messageId":"ID-3","anonymousId":"v-HASH","timestamp":"2026-10-10T11:55:38.000Z","context":{"ip":"203.0.113.8","page":{"path":"/p/pan"}},"properties":{"product_id":"pan"}}`,
		`{"type":"track","event":"Product Viewed","messageId":"ID-8","userId":"mary ann","timestamp":"2026-10-10T11:55:39.000Z","context":{"ip":"203.0.113.8","page":{"path":"/p/a\"b"}},"properties":{"product_id":"a\"b"}}`,
	}
	prefix := ""
	if len(events) > 0 {
		_, rest, _ := strings.Cut(events[0], `"messageId":"`)
		prefix, _, _ = strings.Cut(rest, `-1"`)
	}
	for i := range events {
		events[i] = strings.ReplaceAll(events[i], prefix+"-", "ID-")
		if _, rest, ok := strings.Cut(events[i], `"v-`); ok {
			hash, _, _ := strings.Cut(rest, `"`)
			events[i] = strings.ReplaceAll(events[i], hash, "HASH")
		}
	}
	if got, want := strings.Join(events, "\n"), strings.Join(want, "\n"); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if got := strings.Join(faults, "\n"); got != `row 9: time: "99/Oct/2026:11:55:39 +0000" is not written as time.layout says (02/Jan/2006:15:04:05 -0700)
row 10: the line ends too early; want the combined log format
row 11: a quoted field does not end; want the combined log format` {
		t.Errorf("faults:\n%s", got)
	}
	for reason, n := range map[string]int64{"no page": 1, "an error": 2, "a robot, by its user agent": 1} {
		if excluded[reason] != n {
			t.Errorf("%s: got %d, want %d", reason, excluded[reason], n)
		}
	}
}

// TestExtractOfATable: parts of columns are columns in a table, too.
func TestExtractOfATable(t *testing.T) {
	events, faults, _ := logRows(t, file.CSV, `
time: {column: at}
extract: {sku: {column: url, matches: "/p/([^/]+)"}}
rules:
  - {event: Product Viewed, user_id: "{who}", properties: {product_id: "{sku}"}}
`, "who,at,url\nu1,2026-10-10T11:55:38Z,https://x/p/mug/1,more\n")
	if len(events) != 1 || len(faults) > 0 || !strings.Contains(events[0], `"product_id":"mug"`) {
		t.Errorf("got %v, %v", events, faults)
	}
}

func TestBadLogMappings(t *testing.T) {
	for _, tc := range []struct{ text, want string }{
		{"extract: {a: {column: path}}", "extract.a: want one of matches, param and cookie"},
		{"extract: {a: {matches: x}}", "extract.a.column: is missing"},
		{"extract: {a: {column: path, matches: '('}}", "extract.a.matches: "},
		{"extract: {a: {column: path, matches: x}, b: {column: a, param: x}}", `extract.b.column: "a" is made by extract itself`},
	} {
		_, err := file.ParseMapping([]byte("time: {column: time}\nrules: [{exclude: x}]\n" + tc.text))
		if !errors.Is(err, attune.ErrInvalid) || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: got %v, want %s", tc.text, err, tc.want)
		}
	}
	for _, tc := range []struct{ text, want string }{
		{"extract: {path: {column: query, param: x}}", "extract.path: is a column of the file already"},
		{"extract: {a: {column: cookie, param: x}}", `extract.a.column: the file has no column "cookie"`},
		{"fields: [path]", `fields: "path" is a column already`},
	} {
		m, err := file.ParseMapping([]byte("time: {column: time}\nrules: [{exclude: x}]\n" + tc.text))
		if err != nil {
			t.Fatal(err)
		}
		_, err = file.NewReader(strings.NewReader(""), file.Options{Format: file.Combined, Mapping: m})
		if !errors.Is(err, attune.ErrInvalid) || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: got %v, want %s", tc.text, err, tc.want)
		}
	}
	if _, err := file.NewReader(strings.NewReader(""), file.Options{Format: file.Combined}); !errors.Is(err, attune.ErrInvalid) {
		t.Errorf("no mapping: got %v", err)
	}
}

func FuzzAccessLog(f *testing.F) {
	f.Add(`203.0.113.7 - frank [10/Oct/2026:13:55:36 +0200] "GET /p/mug?q=%zz HTTP/1.1" 200 2326 "-" "x\x4" "uid="`)
	f.Add(`a b [[ [] "\`)
	m, err := file.ParseMapping([]byte(logMapping))
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(_ *testing.T, text string) {
		r, err := file.NewReader(strings.NewReader(text), file.Options{Format: file.Combined, Mapping: m})
		if err != nil {
			return // gzip that is none
		}
		for {
			_, err := r.Next()
			var bad *file.Fault
			if err != nil && !errors.As(err, &bad) {
				return
			}
		}
	})
}
