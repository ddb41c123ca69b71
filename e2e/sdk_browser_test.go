package e2e_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os/exec"
	"slices"
	"testing"
	"time"
)

// page is what browser.mjs says of a page.
type page struct {
	Done   any      `json:"done"`
	Left   []string `json:"left"`
	Errors []string `json:"errors"`
}

// browse opens address in Chromium until the page says it is done.
func browse(t *testing.T, script string, args ...string) page {
	t.Helper()
	cmd := exec.Command("node", append([]string{script}, args...)...)
	var out, faults bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &faults
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	limit := time.AfterFunc(2*time.Minute, func() { _ = cmd.Process.Kill() })
	defer limit.Stop()
	if err := cmd.Wait(); err != nil {
		t.Fatalf("%s: %v\n%s%s", script, err, out.String(), faults.String())
	}
	var p page
	if err := json.Unmarshal(out.Bytes(), &p); err != nil {
		t.Fatalf("%s printed %q: %v", script, out.String(), err)
	}
	if len(p.Left) > 0 {
		t.Errorf("the page asked for other hosts: %v", p.Left)
	}
	if len(p.Errors) > 0 {
		t.Errorf("the page had errors: %v", p.Errors)
	}
	return p
}

// site serves the test pages and the SDKs as their makers publish them.
func site(t *testing.T) string {
	t.Helper()
	mux := http.NewServeMux()
	mux.Handle("/", http.FileServer(http.Dir("pages")))
	mux.Handle("/sdk/umd/", http.StripPrefix("/sdk/umd/", http.FileServer(http.Dir("node_modules/@segment/analytics-next/dist/umd"))))
	mux.HandleFunc("/sdk/rudder.mjs", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/javascript")
		http.ServeFile(w, r, "node_modules/@rudderstack/analytics-js/dist/npm/modern/bundled/esm/index.mjs")
	})
	s := httptest.NewServer(mux)
	t.Cleanup(s.Close)
	return s.URL
}

// arrived counts the calls that are in the timelines of keys. A device's
// timeline is its last stretch alone, and an alias makes another user of its
// bearer, so a page's calls are in several; each counts once.
func arrived(t *testing.T, base string, keys ...string) map[string]int {
	t.Helper()
	once := map[any]map[string]any{}
	for _, key := range keys {
		for _, e := range events(t, base, key) {
			once[e["messageId"]] = e
		}
	}
	return kinds(slices.Collect(maps.Values(once)))
}

// TestBrowserSDKs: both browser SDKs start from what the server answers them,
// every call arrives, the device's history becomes the person's when she logs
// in, what is sent again after a lost answer counts once, and nothing goes
// anywhere else.
func TestBrowserSDKs(t *testing.T) {
	pages := site(t)
	for _, tc := range []struct {
		sdk  string
		want map[string]int
	}{
		{"rudder", map[string]int{"page": 1, "Product Viewed": 1, "identify": 1, "Order Completed": 1, "group": 1, "alias": 1}},
		{"segment", map[string]int{"page": 1, "Product Viewed": 1, "identify": 1, "Order Completed": 1, "group": 1, "screen": 1, "alias": 1}},
	} {
		t.Run(tc.sdk, func(t *testing.T) {
			base := dev(t)
			proxy := newFlaky(t, base)
			got := browse(t, "browser.mjs", fmt.Sprintf("%s/%s.html?at=%s", pages, tc.sdk, url.QueryEscape(proxy.URL)))
			device := fmt.Sprint(got.Done)
			// The browser is closed: whatever it had not sent is gone, so the
			// page says it is done only when its calls were made and what was
			// lost was sent again.
			proxy.repeated(t, base)
			seen := func() map[string]int { return arrived(t, base, "a:"+device, "u:"+tc.sdk+"-web", "u:"+tc.sdk+"-web-2") }
			until(t, "every call in somebody's timeline, and no other", func() bool { return maps.Equal(seen(), tc.want) })
			if t.Failed() {
				t.Logf("device %s timeline: %v; requests: %v", device, seen(), proxy.seen)
			}
			var p profile
			read(t, base, "/v1/profiles/u:"+tc.sdk+"-web", &p)
			p.told(t)
		})
	}
}
