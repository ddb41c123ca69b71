package serve_test

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/attune-io/attune"
	"github.com/attune-io/attune/serve"
)

// sse reads one stream.
type sse struct {
	t      *testing.T
	in     *bufio.Reader
	cancel context.CancelFunc
	body   io.Closer
}

// message is one event of a stream; a comment has none of the fields.
type message struct {
	id, name string
	decision attune.Decision
	comment  bool
}

func (w *world) stream(t *testing.T, query string, creds ...credential) *sse {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, w.http.URL+"/v1/stream?"+query, nil)
	check(t, err)
	for _, c := range creds {
		c(r)
	}
	res, err := http.DefaultClient.Do(r) //nolint:bodyclose // close does
	check(t, err)
	s := &sse{t: t, in: bufio.NewReader(res.Body), cancel: cancel, body: res.Body}
	t.Cleanup(s.close)
	if res.StatusCode != http.StatusOK || res.Header.Get("Content-Type") != "text/event-stream" {
		t.Fatalf("stream: %d %s", res.StatusCode, res.Header.Get("Content-Type"))
	}
	return s
}

func (s *sse) close() {
	s.cancel()
	_ = s.body.Close()
}

// next returns the next event or comment, leaving out "retry".
func (s *sse) next() message {
	s.t.Helper()
	var m message
	for {
		line, err := s.in.ReadString('\n')
		check(s.t, err)
		line = strings.TrimSuffix(line, "\n")
		switch {
		case strings.HasPrefix(line, "id: "):
			m.id = line[4:]
		case strings.HasPrefix(line, "event: "):
			m.name = line[7:]
		case strings.HasPrefix(line, "data: "):
			check(s.t, json.Unmarshal([]byte(line[6:]), &m.decision))
		case strings.HasPrefix(line, ":"):
			m.comment = true
		case line == "" && (m.comment || m.id != ""):
			return m
		}
	}
}

func TestStream(t *testing.T) {
	w := newWorld(t, nil)
	w.shop()
	w.send(w.track("u1", "", "Product Viewed", "pan"))
	s := w.stream(t, "placement=recently-viewed&user_id=u1", server)
	first := s.next()
	if got := ids(first.decision.Placements["recently-viewed"]); first.name != "decision" || first.id == "" || len(got) != 1 || got[0] != "pan" {
		t.Errorf("first: %+v %v, want the pan at once", first, got)
	}
	w.send(w.track("u1", "", "Product Viewed", "pot"))
	second := s.next()
	if got := ids(second.decision.Placements["recently-viewed"]); len(got) != 2 || got[0] != "pot" || second.id == first.id {
		t.Errorf("second: %v, want the pot first, under another id", got)
	}
	// Another user's events and a repeat of what is known push nothing: the
	// next answer is the one after the spade.
	w.send(w.track("u2", "", "Product Viewed", "rake"), w.track("u1", "", "Product Viewed", "pot"))
	w.send(w.track("u1", "", "Product Viewed", "spade"))
	third := s.next()
	if got := ids(third.decision.Placements["recently-viewed"]); len(got) != 3 || got[0] != "spade" {
		t.Errorf("third: %v, want the spade first", got)
	}
}

func TestStreamResumesWithoutARepeat(t *testing.T) {
	w := newWorld(t, func(o *serve.Options) { o.Limits.Heartbeat = 100 * time.Millisecond })
	w.shop()
	w.send(w.track("", device, "Product Viewed", "pan"))
	visitor := header("X-Attune-Visitor", w.visitorToken())
	s := w.stream(t, "placement=recently-viewed&placement=cart", browser, visitor)
	first := s.next()
	if len(first.decision.Placements) != 2 {
		t.Errorf("got %+v, want two placements", first.decision)
	}
	s.close()
	const query = "placement=recently-viewed&placement=cart"
	last := first.id
	views := []string{"spade", "rake"}
	for i, open := range []func() *sse{
		func() *sse { return w.stream(t, query, browser, visitor, header("Last-Event-ID", last)) },
		func() *sse {
			return w.stream(t, query+"&writeKey="+writeKey+"&visitor="+w.visitorToken()+"&last_event_id="+last, none)
		},
	} {
		again := open()
		if m := again.next(); !m.comment {
			t.Errorf("resumed: %+v, want a heartbeat, not the same answer", m)
		}
		w.send(w.track("", device, "Product Viewed", views[i]))
		m := again.next()
		for m.comment {
			m = again.next()
		}
		if m.id == last {
			t.Errorf("resumed: the same answer again")
		}
		last = m.id
		again.close()
	}
}

func TestStreamSeesAnItemGo(t *testing.T) {
	w := newWorld(t, func(o *serve.Options) { o.Limits.Heartbeat = 50 * time.Millisecond })
	w.shop()
	s := w.stream(t, "placement=popular", browser)
	first := s.next()
	gone := first.decision.Placements["popular"].Items[0].ID
	if code, body, _ := w.call("DELETE", "/v1/items/"+gone, "", server); code != 200 {
		t.Fatalf("delete: %d %s", code, body)
	}
	for {
		m := s.next()
		if m.comment {
			continue
		}
		for _, id := range ids(m.decision.Placements["popular"]) {
			if id == gone {
				t.Errorf("%s is shown though it is gone", id)
			}
		}
		return
	}
}

func TestStreamsAreBounded(t *testing.T) {
	w := newWorld(t, func(o *serve.Options) { o.Limits.Streams = 1 })
	w.shop()
	s := w.stream(t, "placement=popular", browser)
	s.next()
	code, _, h := w.call("GET", "/v1/stream?placement=popular", "", browser)
	if code != 503 || h.Get("Retry-After") == "" {
		t.Errorf("a stream too many: %d Retry-After %q, want 503 with it", code, h.Get("Retry-After"))
	}
	if code, _, _ := w.call("GET", "/v1/stream?placement=nope", "", browser); code != 400 {
		t.Errorf("unknown placement: %d, want 400", code)
	}
}

func TestHub(t *testing.T) {
	var h serve.Hub
	a, stopA := h.Watch([]string{"u:1", "a:1"})
	b, stopB := h.Watch([]string{"u:1"})
	h.Changed([]string{"a:1", "u:2"})
	if len(a) != 1 || len(b) != 0 {
		t.Errorf("a %d b %d, want a alone to wake", len(a), len(b))
	}
	h.Changed([]string{"u:1", "u:1"})
	if len(a) != 1 || len(b) != 1 {
		t.Errorf("a %d b %d, want one each", len(a), len(b))
	}
	stopA()
	stopA()
	<-a
	h.Changed([]string{"u:1", "a:1"})
	if len(a) != 0 {
		t.Errorf("woken after stop")
	}
	stopB()
}

// TestStreamEndsWithItsProof: a token that expired, or a key that was taken
// back, shows nothing more.
func TestStreamEndsWithItsProof(t *testing.T) {
	w := newWorld(t, nil)
	w.shop()
	w.send(w.track("u1", "", "Product Viewed", "pan"))
	for name, end := range map[string]func(){
		"expired": func() { w.now.Add(2 * 3_600_000) },
		"revoked": func() { w.server.SetKeys(serve.Keys{}) },
	} {
		s := w.stream(t, "placement=recently-viewed", browser, header("X-Attune-User", w.userToken("u1")))
		if got := s.next(); len(got.decision.Placements["recently-viewed"].Items) == 0 {
			t.Errorf("%s: first answer is empty", name)
		}
		end()
		w.send(w.track("u1", "", "Product Viewed", name))
		rest, err := io.ReadAll(s.in)
		if err != nil || strings.Contains(string(rest), "event:") {
			t.Errorf("%s: got %q, %v; want the end", name, rest, err)
		}
		w.server.SetKeys(w.options.Keys)
	}
}
