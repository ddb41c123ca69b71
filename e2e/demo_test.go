package e2e_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
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
		SameDocument                  bool
		Why                           []string // the reasons of AccessoriesAfter
		Model, Fallback               string   // of the answer that they are of
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
	if !seen.SameDocument {
		t.Error("the home page was loaded anew; its rails have to change in place")
	}
	if len(seen.Recent) == 0 || seen.Recent[0] != seen.Product {
		t.Errorf("recently-viewed shows %v after %s was viewed", seen.Recent, seen.Product)
	}
	if slices.Equal(seen.Accessories, seen.AccessoriesAfter) || slices.Contains(seen.AccessoriesAfter, seen.Second) {
		t.Errorf("the cart's accessories were %v, and %v after %s was added", seen.Accessories, seen.AccessoriesAfter, seen.Second)
	}
	if len(seen.Why) != len(seen.AccessoriesAfter) || slices.ContainsFunc(seen.Why, func(w string) bool { return !strings.HasPrefix(w, "goes with ") }) {
		t.Errorf("the accessories are there because %q, want all to go with what is in the cart", seen.Why)
	}
	if seen.Model == "" || seen.Fallback != "" {
		t.Errorf("the accessories are of model %q by fallback %q, want a model and no fallback", seen.Model, seen.Fallback)
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
