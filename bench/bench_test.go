package main

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"
)

func TestParseWrk(t *testing.T) {
	got, err := parseWrk("Running 1s test\nRESULT requests=500 us=1000000 p50=120 p99=4000 status=2 socket=1\n")
	want := wrkResult{requests: 500, perSecond: 500, p50: 120 * time.Microsecond, p99: 4 * time.Millisecond, failed: 3}
	if err != nil || got != want {
		t.Errorf("got %+v, %v, want %+v", got, err, want)
	}
	if _, err := parseWrk("unable to connect"); err == nil {
		t.Error("no error for a run without a result")
	}
}

func TestParseGoBench(t *testing.T) {
	got := parseGoBench("goos: linux\nBenchmarkX/first/parts=5-2  	 100	 900 ns/op	 180 ns/part\nBenchmarkX/first/parts=5-2  	 100	 700 ns/op	 140 ns/part\nok\n")
	if got["BenchmarkX/first/parts=5 ns/op"] != 700 || got["BenchmarkX/first/parts=5 ns/part"] != 140 {
		t.Errorf("got %v, want the fastest of each figure", got)
	}
}

// TestRequestsKeepTheirLength holds what Content-Length rests on.
func TestRequestsKeepTheirLength(t *testing.T) {
	for name, s := range map[string]script{
		"event":    request("h", "POST", "/v1/track", writeKey, viewed(), 20_000, 5000),
		"decision": request("h", "POST", "/v1/decide", secret, inline, 10_000, 5000),
	} {
		f := newFiller(s, 7, 3)
		first, second := f.event(nil, s.text), f.event(nil, s.text)
		if len(first) != len(s.text) || len(second) != len(s.text) {
			t.Errorf("%s: lengths %d and %d, want %d", name, len(first), len(second), len(s.text))
		}
		if bytes.Equal(first, second) {
			t.Errorf("%s: two requests are the same", name)
		}
		if bytes.Contains(first, []byte("{mm")) || bytes.Contains(first, []byte("{pp")) || bytes.Contains(first, []byte("{ii")) {
			t.Errorf("%s: a placeholder is left in %s", name, first)
		}
		_, body, _ := strings.Cut(string(first), "\r\n\r\n")
		if !json.Valid([]byte(body)) {
			t.Errorf("%s: not JSON: %s", name, body)
		}
	}
	if got := len(viewed()); got < 1150 || got > 1250 {
		t.Errorf("an event has %d bytes, want about 1,200", got)
	}
}

func TestWorldIsJSONAndTheSameAgain(t *testing.T) {
	w := world{people: 20, items: 100, sessions: 2, end: time.Unix(1_700_000_000, 0), prefix: "t-"}
	var a, b bytes.Buffer
	n, err := w.write(&a)
	if err != nil || n < 20*2*3 {
		t.Fatal(n, err)
	}
	if _, err := w.write(&b); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(a.Bytes(), b.Bytes()) {
		t.Error("the same seed gave another world")
	}
	seen := map[string]bool{}
	for line := range strings.Lines(a.String()) {
		var e struct {
			MessageID string `json:"messageId"`
		}
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		if seen[e.MessageID] {
			t.Fatalf("message %s twice", e.MessageID)
		}
		seen[e.MessageID] = true
	}
}

func TestTable(t *testing.T) {
	got := table([]row{{what: "a", ours: "1 µs", met: verdict(true, false)}, {what: "bcd", ours: "2", met: verdict(false, false)}})
	for line := range strings.Lines(got) {
		if n := len([]rune(line)); n != len([]rune(strings.SplitN(got, "\n", 2)[0]))+1 {
			t.Errorf("line of %d characters, want all the same:\n%s", n, got)
		}
	}
	if !strings.Contains(got, "NO") {
		t.Errorf("a missed target is not said:\n%s", got)
	}
}
