package collect_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/attune-io/attune"
	"github.com/attune-io/attune/collect"
	"github.com/attune-io/attune/identity"
	"github.com/attune-io/attune/journal"
)

const (
	noon   = attune.Millis(1_795_219_200_000) // some noon
	minute = attune.Millis(60_000)
	key    = "WRITEKEY1"
	secret = "server-secret"
	uuid1  = "e9c57b80-4528-44c3-95f3-667f1087c5c0"
	uuid2  = "dd2b5aef-d829-4d86-afec-09f8598b26cd"
	chrome = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0.0.0 Safari/537.36"
)

// memory is a journal in memory.
type memory struct {
	mu   sync.Mutex
	recs []attune.Record
	last [4]uint64
	fail error // what Append answers, when set
}

func (m *memory) Append(_ context.Context, recs []attune.Record) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.fail != nil {
		return m.fail
	}
	for i := range recs {
		p := journal.Partition(recs[i].Key, len(m.last))
		m.last[p]++
		recs[i].Offset = m.last[p]
		r := recs[i]
		r.Payload = bytes.Clone(r.Payload)
		m.recs = append(m.recs, r)
	}
	return nil
}

// clear forgets all records, so that a long run stays small.
func (m *memory) clear() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.recs = nil
}

func (m *memory) Status() journal.Status {
	m.mu.Lock()
	defer m.mu.Unlock()
	return journal.Status{ID: "test", First: make([]uint64, len(m.last)), Last: slices.Clone(m.last[:])}
}

// kind returns the records of a kind, in order.
func (m *memory) kind(k attune.Kind) []attune.Record {
	m.mu.Lock()
	defer m.mu.Unlock()
	var out []attune.Record
	for _, r := range m.recs {
		if r.Kind == k {
			out = append(out, r)
		}
	}
	return out
}

// events decodes the event records.
func (m *memory) events(tb testing.TB) []attune.Event {
	tb.Helper()
	var out []attune.Event
	for _, r := range m.kind(attune.KindEvent) {
		var e attune.Event
		if err := e.UnmarshalBinary(r.Payload); err != nil {
			tb.Fatalf("event of %s: %v", r.Key, err)
		}
		if want, err := identity.Route(&e); err != nil || r.Key != want {
			tb.Fatalf("record key %q, want %q (%v)", r.Key, want, err)
		}
		if r.Time != e.Time || r.ReceivedAt != e.ReceivedAt {
			tb.Fatalf("record times %d %d, event %d %d", r.Time, r.ReceivedAt, e.Time, e.ReceivedAt)
		}
		out = append(out, e)
	}
	return out
}

// kinds names the records in order, each "kind key payload" without events'
// payloads.
func (m *memory) kinds() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	names := map[attune.Kind]string{
		attune.KindEvent: "event", attune.KindLink: "link", attune.KindClaim: "claim", attune.KindEdge: "edge",
		attune.KindOrder: "order", attune.KindVisitor: "visitor",
	}
	var out []string
	for _, r := range m.recs {
		s := names[r.Kind] + " " + r.Key
		if r.Kind != attune.KindEvent && r.Kind != attune.KindOrder && len(r.Payload) > 0 {
			s += " " + string(r.Payload)
		}
		out = append(out, s)
	}
	return out
}

// known is a Devices that is told.
type known map[string]struct {
	first  attune.Millis
	issued bool
}

func (k known) Device(_ context.Context, id string) (attune.Millis, bool, error) {
	return k[id].first, k[id].issued, nil
}

type shelf map[string][2]string

func (s shelf) Attributes(id string) (category, brand string, ok bool) {
	v, ok := s[id]
	return v[0], v[1], ok
}

type world struct {
	t   testing.TB
	c   *collect.Collector
	j   *memory
	mux *http.ServeMux
	now attune.Millis

	keys *collect.Keys
}

var userSecret = []byte("customer")

func newWorld(tb testing.TB, change ...func(*collect.Options)) *world {
	tb.Helper()
	w := &world{t: tb, j: &memory{}, mux: http.NewServeMux(), now: noon}
	keys, err := collect.NewKeys([]collect.Source{
		{ID: "web", Name: "Web", WriteKey: key, Enabled: true},
		{ID: "off", WriteKey: "OFF", Enabled: false},
		{ID: "strict", WriteKey: "STRICT", Enabled: true, Origins: []string{"https://shop.example", "https://*.shop.example"}},
	}, []string{"another", secret})
	if err != nil {
		tb.Fatal(err)
	}
	o := collect.Options{
		Journal: w.j, Keys: keys, Now: func() attune.Millis { return w.now },
		Signer: identity.Signer{Secret: []byte("ours")}, UserSecrets: [][]byte{userSecret},
	}
	for _, f := range change {
		f(&o)
	}
	if w.c, err = collect.New(o); err != nil {
		tb.Fatal(err)
	}
	w.c.Register(w.mux)
	w.keys = o.Keys
	return w
}

// do sends a request; headers are "Name: value".
func (w *world) do(method, path, body string, headers ...string) *httptest.ResponseRecorder {
	w.t.Helper()
	var rd io.Reader
	if body != "" {
		rd = strings.NewReader(body)
	}
	r := httptest.NewRequest(method, "http://attune.test"+path, rd)
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		r.Header.Add(name, value)
	}
	rec := httptest.NewRecorder()
	w.mux.ServeHTTP(rec, r)
	return rec
}

// post sends an event to a source's write key and wants a status.
func (w *world) post(want int, path, body string, headers ...string) map[string]any {
	w.t.Helper()
	if !slices.ContainsFunc(headers, func(h string) bool { return strings.HasPrefix(h, "Authorization") }) {
		headers = append(headers, basic(key))
	}
	return decoded(w.t, w.do(http.MethodPost, path, body, headers...), want)
}

func decoded(tb testing.TB, r *httptest.ResponseRecorder, want int) map[string]any {
	tb.Helper()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		tb.Fatal(err)
	}
	if r.Code != want {
		tb.Fatalf("status %d %s, want %d", r.Code, b, want)
	}
	var v map[string]any
	if err := json.Unmarshal(b, &v); err != nil {
		tb.Fatalf("answer %q: %v", b, err)
	}
	return v
}

func basic(user string) string {
	return "Authorization: Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"))
}

// last returns the newest event.
func (w *world) last() *attune.Event {
	w.t.Helper()
	es := w.j.events(w.t)
	if len(es) == 0 {
		w.t.Fatal("no event")
	}
	return &es[len(es)-1]
}

func equal[T comparable](tb testing.TB, what string, got, want T) {
	tb.Helper()
	if got != want {
		tb.Errorf("%s: got %v, want %v", what, got, want)
	}
}

func lines(tb testing.TB, got []string, want ...string) {
	tb.Helper()
	if !slices.Equal(got, want) {
		tb.Errorf("got\n  %s\nwant\n  %s", strings.Join(got, "\n  "), strings.Join(want, "\n  "))
	}
}
