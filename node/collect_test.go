package node_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/maxmind/mmdbwriter"
	"github.com/maxmind/mmdbwriter/mmdbtype"

	"github.com/attune-io/attune"
	"github.com/attune-io/attune/collect"
	"github.com/attune-io/attune/config"
	"github.com/attune-io/attune/node"
)

// gated is a configuration with a plan, transformations and robots, as a file
// would have it.
func gated(t *testing.T, dir, violations string) config.Config {
	t.Helper()
	cfg, err := config.Load(fmt.Appendf(nil, `
dev: true
data_dir: %q
listen: 127.0.0.1:0
admin_listen: 127.0.0.1:0
collect:
  plans:
    - name: shop
      events:
        Product Viewed:
          type: object
          required: [product_id, price]
          properties:
            price: {type: number, minimum: 0}
  bots:
    agents: ["^ShopMonitor/"]
keys:
  sources:
    - id: web
      write_key: wk_web_0123456789
      plan: shop
      violations: %s
      transform:
        - name: noise
          on: [Heartbeat]
          drop: true
        - name: sku
          rename: {properties.sku: properties.product_id}
        - name: pence
          when: event.properties.pence != null
          set: {properties.price: event.properties.pence / 100}
          remove: [properties.pence]
    - id: app
      write_key: wk_app_0123456789
`, dir, violations), nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

const webKey, appKey = "wk_web_0123456789", "wk_app_0123456789"

// batch sends events of one device, and returns what became of them.
func (r *running) batch(key string, events ...string) (got struct {
	Accepted, Dropped int
	Rejected          []struct {
		Index  int
		Reason string
	}
}, token string,
) {
	r.t.Helper()
	_, h := r.call(http.MethodPost, "/v1/batch", key, `{"batch":[`+strings.Join(events, ",")+`]}`, &got)
	return got, h.Get("X-Attune-Token")
}

func viewOf(n int, properties string) string {
	return fmt.Sprintf(`{"type":"track","event":"Product Viewed","anonymousId":%q,"messageId":"m%d","properties":%s,"context":{"library":{"name":"analytics.js"}}}`,
		device(1), n, properties)
}

// history returns the events of device 1, once there are n.
func (r *running) history(token string, n int) []json.RawMessage {
	r.t.Helper()
	r.call(http.MethodPost, "/v1/decide", config.DevServerSecret,
		map[string]any{"anonymous_id": device(1), "after": token, "deadline_ms": 2000, "placements": []any{map[string]any{"id": "popular"}}}, nil)
	var got struct{ Events []json.RawMessage }
	within(r.t, "see the events", func() bool {
		r.call(http.MethodGet, "/v1/profiles/a:"+device(1)+"/events", config.DevServerSecret, nil, &got)
		return len(got.Events) >= n
	})
	return got.Events
}

// TestGate: a source's transformations and plan act on what comes in, on that
// source alone; a violating event is marked or dropped as configured; both are
// exchanged by a reload.
func TestGate(t *testing.T) {
	dir := t.TempDir()
	r := start(t, gated(t, dir, "allow"), node.Options{})
	got, token := r.batch(webKey,
		viewOf(1, `{"sku":"shoe","pence":250}`),
		viewOf(2, `{"product_id":"hat"}`),
		fmt.Sprintf(`{"type":"track","event":"Heartbeat","anonymousId":%q}`, device(1)))
	if got.Accepted != 2 || got.Dropped != 1 || len(got.Rejected) != 0 {
		t.Fatalf("allowed: got %+v, want 2 accepted, 1 dropped", got)
	}
	all := string(bytes.Join(rawOf(r.history(token, 2)), []byte("\n")))
	for _, want := range []string{`"product_id":"shoe"`, `"price":2.5`, `"violationErrors":[{"type":"Required-Missing","property":"price","message":"is missing"}]`} {
		if !strings.Contains(all, want) {
			t.Errorf("history lacks %s:\n%s", want, all)
		}
	}
	for _, not := range []string{`"sku"`, "pence", "Heartbeat"} {
		if strings.Contains(all, not) {
			t.Errorf("history has %s:\n%s", not, all)
		}
	}
	if got, _ := r.batch(appKey, viewOf(3, `{"sku":"shoe","pence":1}`)); got.Accepted != 1 {
		t.Errorf("another source: got %+v, want it taken", got)
	}
	if err := r.node.Reload(gated(t, dir, "drop")); err != nil {
		t.Fatal(err)
	}
	got, _ = r.batch(webKey, viewOf(4, `{"product_id":"hat"}`), viewOf(5, `{"product_id":"hat","price":3}`))
	if got.Accepted != 1 || len(got.Rejected) != 1 || got.Rejected[0].Index != 0 || !strings.Contains(got.Rejected[0].Reason, "Required-Missing: price is missing") {
		t.Errorf("dropped: got %+v, want the first refused with why", got)
	}
	var dead struct {
		Letters []struct{ Code, Source string } `json:"dead_letters"`
	}
	r.call(http.MethodGet, "/v1/dead-letters", config.DevServerSecret, nil, &dead)
	if len(dead.Letters) != 1 || dead.Letters[0].Code != "violation" || dead.Letters[0].Source != "web" {
		t.Errorf("dead letters: got %+v, want the violation", dead.Letters)
	}
}

func rawOf(list []json.RawMessage) [][]byte {
	out := make([][]byte, len(list))
	for i := range list {
		out[i] = list[i]
	}
	return out
}

// TestRobots: what a configured pattern takes for a robot is journaled and
// counted, and nobody's profile.
func TestRobots(t *testing.T) {
	r := start(t, gated(t, t.TempDir(), "allow"), node.Options{})
	event := strings.Replace(viewOf(1, `{"product_id":"p","price":1}`), `"context":{`, `"context":{"userAgent":"ShopMonitor/2",`, 1)
	got, token := r.batch(appKey, event)
	if got.Accepted != 1 {
		t.Fatalf("got %+v, want it taken", got)
	}
	var profile struct {
		Features map[string]any `json:"features"`
	}
	r.history(token, 0)
	r.call(http.MethodGet, "/v1/profiles/a:"+device(1), config.DevServerSecret, nil, &profile)
	if n := profile.Features["views_30d"]; n != nil && n != 0.0 {
		t.Errorf("a robot's view counts: %v", n)
	}
	if text := r.metrics(); !strings.Contains(text, `attune_events_treated_total{outcome="bot",source="app"} 1`) {
		t.Error("the metrics do not count the robot")
	}
}

// TestPlaces: a visitor behind a proxy is located, her address is not kept.
func TestPlaces(t *testing.T) {
	dir := t.TempDir()
	cfg := testConfig(dir)
	cfg.TrustProxy = true
	cfg.Collect.Geo = config.Geo{Database: places(t, "London"), AnonymizeIP: true}
	r := start(t, cfg, node.Options{})
	req, err := http.NewRequestWithContext(context.Background(), http.MethodPost, "http://"+r.address+"/v1/track", strings.NewReader(
		strings.Replace(viewOf(1, `{"product_id":"p"}`), `"context":{`, `"context":{"ip":"9.9.9.9",`, 1)))
	if err != nil {
		t.Fatal(err)
	}
	req.SetBasicAuth(config.DevWriteKey, "")
	req.Header.Set("X-Forwarded-For", "6.6.6.6, 81.2.69.142, 10.0.0.7")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close() //nolint:errcheck // its header is enough
	all := string(bytes.Join(rawOf(r.history(res.Header.Get("X-Attune-Token"), 1)), []byte("\n")))
	if !strings.Contains(all, `"city":"London"`) || !strings.Contains(all, `"latitude":51.5`) {
		t.Errorf("not located: %s", all)
	}
	for _, address := range []string{"9.9.9.9", "81.2.69.142", "6.6.6.6"} {
		if strings.Contains(all, address) {
			t.Errorf("the address %s was kept: %s", address, all)
		}
	}
}

func TestPlacesOfNoFile(t *testing.T) {
	cfg := testConfig(t.TempDir())
	cfg.Collect.Geo.Database = filepath.Join(t.TempDir(), "absent.mmdb")
	if n, err := node.Open(context.Background(), cfg, node.Options{}); err == nil {
		t.Errorf("opened without its database of places: %v", n.Close())
	} else if !strings.Contains(attune.Message(err), "absent.mmdb") {
		t.Errorf("got %v, want the file named", err)
	}
}

// places writes a database in which 81.2.69.142 is in city.
func places(t *testing.T, city string) string {
	t.Helper()
	w, err := mmdbwriter.New(mmdbwriter.Options{DatabaseType: "Test-City", RecordSize: 24})
	if err != nil {
		t.Fatal(err)
	}
	entry := mmdbtype.Map{
		"city":     mmdbtype.Map{"names": mmdbtype.Map{"en": mmdbtype.String(city)}},
		"location": mmdbtype.Map{"latitude": mmdbtype.Float64(51.5142), "longitude": mmdbtype.Float64(-0.0931)},
	}
	if err := w.InsertRange([]byte{81, 2, 69, 0}, []byte{81, 2, 69, 255}, entry); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "city.mmdb")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.WriteTo(f); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestRetryCountsOnce: what was refused is taken after a fix, with the time it
// was received at, and once: however often it is retried, and although the
// sender tries again too.
func TestRetryCountsOnce(t *testing.T) {
	dir := t.TempDir()
	var now atomic.Int64
	now.Store(time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC).UnixMilli())
	r := start(t, gated(t, dir, "drop"), node.Options{Clock: func() attune.Millis { return attune.Millis(now.Load()) }})
	event := viewOf(1, `{"product_id":"hat"}`)
	if got, _ := r.batch(webKey, event); got.Accepted != 0 || len(got.Rejected) != 1 {
		t.Fatalf("got %+v, want it refused", got)
	}
	now.Add(time.Hour.Milliseconds())
	if err := r.node.Reload(gated(t, dir, "allow")); err != nil {
		t.Fatal(err)
	}
	var got collect.Retried
	for i, want := range []int{1, 0} {
		r.call(http.MethodPost, "/v1/dead-letters/retry", config.DevServerSecret, nil, &got)
		if got.Accepted != want {
			t.Errorf("retry %d: got %+v, want %d accepted", i, got, want)
		}
	}
	_, token := r.batch(webKey, event)
	var profile struct {
		Features struct {
			Views int `json:"views_30d"`
		} `json:"features"`
		Seen string `json:"first_seen"`
	}
	events := r.history(token, 1)
	r.call(http.MethodGet, "/v1/profiles/a:"+device(1), config.DevServerSecret, nil, &profile)
	if profile.Features.Views != 1 {
		t.Errorf("got %d views, want 1 (%s)", profile.Features.Views, bytes.Join(rawOf(events), []byte("\n")))
	}
	if profile.Seen != "2026-03-01T12:00:00.000Z" {
		t.Errorf("first seen %s, want the time it was received at first", profile.Seen)
	}
}
