package node_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"testing"

	"github.com/attune-io/attune/config"
	"github.com/attune-io/attune/node"
)

// running is a node in this process, on a port of its own.
type running struct {
	t       *testing.T
	node    *node.Node
	address string
	stop    func() // drains and closes; safe to call twice
}

// start runs a node until the test ends.
func start(t *testing.T, cfg config.Config, opt node.Options) *running {
	t.Helper()
	n, err := node.Open(t.Context(), cfg, opt)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- n.Run(ctx) }()
	select {
	case <-n.Listening():
	case err := <-done:
		cancel()
		t.Fatalf("the node did not start: %v", err)
	}
	stopped := false
	r := &running{t: t, node: n, address: n.Address()}
	r.stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-done; err != nil {
			t.Errorf("the node did not stop cleanly: %v", err)
		}
	}
	t.Cleanup(r.stop)
	return r
}

// call sends a JSON request under key and decodes the answer into into, unless
// that is nil. It returns the status and the response's headers.
func (r *running) call(method, path, key string, body, into any, headers ...string) (int, http.Header) {
	r.t.Helper()
	var reader io.Reader = http.NoBody
	switch b := body.(type) {
	case nil:
	case string:
		reader = bytes.NewReader([]byte(b))
	default:
		text, err := json.Marshal(b)
		if err != nil {
			r.t.Fatal(err)
		}
		reader = bytes.NewReader(text)
	}
	req, err := http.NewRequest(method, "http://"+r.address+path, reader)
	if err != nil {
		r.t.Fatal(err)
	}
	if key != "" {
		req.SetBasicAuth(key, "")
	}
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	defer res.Body.Close() //nolint:errcheck // it was read
	text, err := io.ReadAll(res.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	if into != nil {
		if err := json.Unmarshal(text, into); err != nil {
			r.t.Fatalf("%s %s answered %d %q: %v", method, path, res.StatusCode, text, err)
		}
	}
	return res.StatusCode, res.Header
}

// track sends one browser event and returns its token.
func (r *running) track(device, event, properties string) string {
	r.t.Helper()
	status, h := r.call(http.MethodPost, "/v1/track", config.DevWriteKey, fmt.Sprintf(
		`{"anonymousId":%q,"event":%q,"properties":%s,"context":{"library":{"name":"analytics.js"}}}`, device, event, properties,
	), nil)
	if status != http.StatusOK {
		r.t.Fatalf("%s answered %d", event, status)
	}
	return h.Get("X-Attune-Token")
}

// device returns the i-th anonymousId of a test: a UUID.
func device(i int) string { return fmt.Sprintf("%08x-1111-4111-8111-111111111111", i) }

// answer is what a decision shows, as far as tests look at it.
type answer struct {
	Stale      bool `json:"stale"`
	Placements map[string]struct {
		Items []struct {
			ID     string `json:"id"`
			Reason string `json:"reason"`
		} `json:"items"`
		Fallback string `json:"fallback"`
	} `json:"placements"`
}

// ids returns what a placement shows.
func (a *answer) ids(placement string) []string {
	out := make([]string, 0, len(a.Placements[placement].Items))
	for _, it := range a.Placements[placement].Items {
		out = append(out, it.ID)
	}
	return out
}

// metrics returns the admin address's metrics.
func (r *running) metrics() string {
	r.t.Helper()
	res, err := http.Get("http://" + r.node.AdminAddress() + "/metrics")
	if err != nil {
		r.t.Fatal(err)
	}
	defer res.Body.Close() //nolint:errcheck // it was read
	text, err := io.ReadAll(res.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	return string(text)
}
