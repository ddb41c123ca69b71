package node_test

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/attune-io/attune/config"
	"github.com/attune-io/attune/feature"
	"github.com/attune-io/attune/node"
	"github.com/attune-io/attune/segment"
)

// TestNewFeatureHasItsHistory: a feature that is added to the configuration
// counts what happened before it was there, and the others stay as they were.
func TestNewFeatureHasItsHistory(t *testing.T) {
	cfg := testConfig(t.TempDir())
	r := start(t, cfg, node.Options{})
	for i := range 3 {
		r.track(device(1), "Product Clicked", fmt.Sprintf(`{"product_id":"p%d"}`, i))
		r.track(device(1), "Product Viewed", fmt.Sprintf(`{"product_id":"p%d"}`, i))
	}
	r.stop()
	cfg.Features = []feature.Definition{{Name: "clicks", Kind: feature.KindCount, On: []string{"Product Clicked"}}}
	r = start(t, cfg, node.Options{})
	var got struct {
		Features struct {
			Clicks int `json:"clicks"`
			Views  int `json:"views_30d"`
		} `json:"features"`
	}
	r.call(http.MethodGet, "/v1/profiles/a:"+device(1), config.DevServerSecret, nil, &got)
	if got.Features.Clicks != 3 || got.Features.Views != 3 {
		t.Errorf("after the restart: %+v, want 3 clicks and 3 views", got.Features)
	}
	// The same configuration again folds nothing again.
	r.stop()
	r = start(t, cfg, node.Options{})
	got.Features.Clicks, got.Features.Views = 0, 0
	r.call(http.MethodGet, "/v1/profiles/a:"+device(1), config.DevServerSecret, nil, &got)
	if got.Features.Clicks != 3 || got.Features.Views != 3 {
		t.Errorf("after another restart: %+v", got.Features)
	}
}

// TestReloadWithANewFeature: a feature, and a segment that needs it, saved
// together: the rest applies at once, these two wait for the restart, and
// nothing is refused. What could never be right is.
func TestReloadWithANewFeature(t *testing.T) {
	cfg := testConfig(t.TempDir())
	r := start(t, cfg, node.Options{})
	next := cfg
	next.Features = []feature.Definition{{Name: "clicks", Kind: feature.KindCount, On: []string{"Product Clicked"}}}
	next.Segments = []segment.Definition{{Name: "clickers", When: "features.clicks > 0"}}
	next.Keys.ServerSecrets = []string{"another-secret-of-length"}
	if err := r.node.Reload(next); err != nil {
		t.Fatalf("refused: %v", err)
	}
	if status, _ := r.call(http.MethodGet, "/v1/items", "another-secret-of-length", nil, nil); status != http.StatusOK {
		t.Errorf("the new secret answers %d, want 200: the keys wait for nothing", status)
	}
	next.Segments = []segment.Definition{{Name: "clickers", When: "features.klicks > 0"}}
	if err := r.node.Reload(next); err == nil || !strings.Contains(err.Error(), "clicks") {
		t.Errorf("a segment of an unknown feature: got %v, want it refused with the name that was meant", err)
	}
}

// TestReloadInABusyFolder: the file is read again although something beside it
// is written all the time.
func TestReloadInABusyFolder(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "attune.yaml")
	write := func(secret string) {
		t.Helper()
		text := "dev: true\nkeys:\n  server_secrets: [" + secret + "]\n"
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	read := func() (config.Config, error) {
		text, err := os.ReadFile(file)
		if err != nil {
			return config.Config{}, err
		}
		return config.Load(text, nil, func(c *config.Config) {
			c.DataDir, c.Listen, c.AdminListen = filepath.Join(dir, "data"), "127.0.0.1:0", ""
		})
	}
	write("first-secret-of-length")
	cfg, err := read()
	if err != nil {
		t.Fatal(err)
	}
	r := start(t, cfg, node.Options{File: file, Read: read})
	stop := make(chan struct{})
	noisy := make(chan error, 1)
	go func() {
		for i := 0; ; i++ {
			select {
			case <-stop:
				noisy <- nil
				return
			case <-time.After(20 * time.Millisecond):
			}
			if err := os.WriteFile(filepath.Join(dir, "noise.log"), fmt.Append(nil, i), 0o600); err != nil {
				noisy <- err
				return
			}
		}
	}()
	write("second-secret-of-length")
	within(t, "read the file again", func() bool {
		status, _ := r.call(http.MethodGet, "/v1/items", "second-secret-of-length", nil, nil)
		return status == http.StatusOK
	})
	close(stop)
	if err := <-noisy; err != nil {
		t.Fatal(err)
	}
}

// TestMetrics: the figures operators are promised are there, under their names.
func TestMetrics(t *testing.T) {
	cfg := testConfig(t.TempDir())
	cfg.AdminListen = "127.0.0.1:0"
	r := start(t, cfg, node.Options{})
	r.track(device(1), "Product Viewed", `{"product_id":"p"}`)
	r.call(http.MethodPost, "/v1/track", config.DevWriteKey, `{"event":"X"}`, nil)
	r.call(http.MethodGet, "/v1/recommend/cart?anonymous_id="+device(2), config.DevServerSecret, nil, nil)
	token := r.track(device(1), "Recommendation Viewed", `{"placement":"for-you","products":[{"product_id":"p"}]}`)
	r.call(http.MethodPost, "/v1/decide", config.DevServerSecret, map[string]any{"after": token, "anonymous_id": device(1), "placements": []any{map[string]any{"id": "popular"}}}, nil)
	text := r.metrics()
	for _, want := range []string{
		`attune_events_accepted_total{source="dev"} 2`,
		`attune_events_rejected_total{reason="no_id",source="dev"} 1`,
		`attune_event_to_profile_seconds_count 2`,
		`attune_decision_seconds_count{placement="popular"} 1`,
		`attune_decision_fallback_total{placement="cart",reason=`,
		`attune_journal_lag_events 0`,
		`attune_parts_cache_hits_total `, `attune_parts_cache_misses_total `,
		`attune_people_cache_hits_total `, `attune_people_cache_misses_total `,
		`attune_placement_impressions_total{placement="for-you"} 1`,
		`attune_build_info{`,
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %s in the metrics", want)
		}
	}
	if t.Failed() {
		for line := range strings.Lines(text) {
			if strings.HasPrefix(line, "attune_") && !strings.Contains(line, "_bucket") {
				t.Log(strings.TrimSpace(line))
			}
		}
	}
}

// TestElsewhere: an address nobody has answers like every other fault, and a
// slash too many is said.
func TestElsewhere(t *testing.T) {
	r := start(t, testConfig(t.TempDir()), node.Options{})
	for path, want := range map[string]string{"/nope": "/openapi.json", "/v1/track/": "/v1/track"} {
		var got struct {
			Error struct {
				Code, Message, Path string
			} `json:"error"`
		}
		status, h := r.call(http.MethodPost, path, config.DevWriteKey, "{}", &got)
		if status != http.StatusNotFound || got.Error.Code != "not_found" || !strings.Contains(got.Error.Message, want) || h.Get("Content-Type") != "application/json" {
			t.Errorf("%s answered %d %s %+v, want a JSON 404 that names %s", path, status, h.Get("Content-Type"), got.Error, want)
		}
	}
}
