package e2e_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// shotsEnv names where screenshots go: a folder the caller names, so that a test run
// does not change the repository.
const shotsEnv = "ATTUNE_SCREENSHOTS"

// TestDemo is `make demo` and a visitor: a view changes the home rails in
// another tab without a reload, the cart's accessories follow the cart, and
// what is bought is in recent_five_purchases.
func TestDemo(t *testing.T) {
	base := start(t, "demo", "--data-dir", filepath.Join(t.TempDir(), "demo"), "--listen", "127.0.0.1:0")
	args := []string{base}
	if dir := os.Getenv(shotsEnv); dir != "" {
		args = append(args, dir)
	}
	got := browse(t, "demo.mjs", args...)
	var seen struct {
		Before, After, Recent         []string
		Accessories, AccessoriesAfter []string
		Purchases                     []string
		Product, Second, Latency      string
	}
	raw, err := json.Marshal(got.Done)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(raw, &seen); err != nil {
		t.Fatalf("%s: %v", raw, err)
	}
	if slices.Equal(seen.Before, seen.After) || len(seen.After) == 0 {
		t.Errorf("for-you is %v before and after the view", seen.After)
	}
	if len(seen.Recent) == 0 || seen.Recent[0] != seen.Product {
		t.Errorf("recently-viewed shows %v after %s was viewed", seen.Recent, seen.Product)
	}
	if slices.Equal(seen.Accessories, seen.AccessoriesAfter) || slices.Contains(seen.AccessoriesAfter, seen.Second) {
		t.Errorf("the cart's accessories were %v, and %v after %s was added", seen.Accessories, seen.AccessoriesAfter, seen.Second)
	}
	for _, id := range []string{seen.Product, seen.Second} {
		if !slices.Contains(seen.Purchases, id) {
			t.Errorf("recent_five_purchases is %v, want %s in it", seen.Purchases, id)
		}
	}
	if seen.Latency == "" || seen.Latency == "–" {
		t.Error("the drawer shows no time from event to decision")
	}
	t.Logf("event to decision in the page: %s", seen.Latency)
}
