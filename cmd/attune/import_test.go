package main

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/attune-io/attune/collect/file"
	"github.com/attune-io/attune/config"
	"github.com/attune-io/attune/node"
)

const someCalls = `{"type":"track","event":"Product Viewed","userId":"u1","timestamp":"2025-01-01T00:00:00Z","properties":{"product_id":"p1"}}
{"type":"track","event":"Product Viewed","userId":"u2","timestamp":"2025-01-01T00:00:01Z","properties":{"product_id":"p2"}}
{"type":"track","userId":"u2"}
nonsense
`

const someItems = `{"event":"item","id":"i1","item":"p1","timestamp":"1636907100000","fields":[{"name":"title","value":"Lantern"}]}
`

func written(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// attuned runs the command line and returns what it printed.
func attuned(t *testing.T, want int, args ...string) (stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	if got := run(args, &out, &errs); got != want {
		t.Fatalf("attune %v: got exit code %d, want %d\n%s%s", args, got, want, &out, &errs)
	}
	return out.String(), errs.String()
}

func TestImportCommand(t *testing.T) {
	calls, dir := written(t, "calls.ndjson", someCalls), t.TempDir()
	rejects := filepath.Join(t.TempDir(), "rejects.ndjson")
	out, _ := attuned(t, 0, "import", calls, "--dry-run", "--output", "json")
	var sum imported
	if err := json.Unmarshal([]byte(out), &sum); err != nil || !sum.DryRun || sum.Events != 3 || sum.Accepted != 2 || sum.Rejected != 2 {
		t.Errorf("dry run: got %+v, %v", sum, err)
	}
	out, _ = attuned(t, 0, "import", calls, "--data-dir", dir, "--rejects", rejects, "--shift-time")
	for _, want := range []string{"imported 2 events and 0 items of 1 file into " + dir + " in", "rejected: 2 rows", "the line is not a JSON object", "a track without an event name"} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is missing in\n%s", want, out)
		}
	}
	text, err := os.ReadFile(rejects)
	if err != nil || bytes.Count(text, []byte("\n")) != 2 {
		t.Errorf("rejects: got %q, %v", text, err)
	}
	out, _ = attuned(t, 0, "import", calls, "--data-dir", dir)
	if !strings.Contains(out, "2 of them changed nothing") {
		t.Errorf("the second import: got %s", out)
	}
	out, _ = attuned(t, 0, "replay", "--data-dir", dir)
	if !strings.Contains(out, "2 of 2 parts are equal") {
		t.Errorf("got %s", out)
	}
	none := filepath.Join(dir, "none")
	_, errs := attuned(t, 1, "replay", "--data-dir", none)
	if _, err := os.Stat(none); !strings.Contains(errs, "is not there") || !os.IsNotExist(err) {
		t.Errorf("a folder that is not there: got %s, %v", errs, err)
	}
	_, errs = attuned(t, 1, "import", written(t, "x.csv", "a,b\n1,2\n"), "--data-dir", dir)
	if !strings.Contains(errs, "--mapping") {
		t.Errorf("a table without a mapping: got %s", errs)
	}
}

// TestImportRemote imports into a node that runs, over HTTP.
func TestImportRemote(t *testing.T) {
	cfg := config.Default()
	cfg.Dev, cfg.DataDir, cfg.Listen, cfg.AdminListen = true, t.TempDir(), "127.0.0.1:0", ""
	ready := make(chan string, 1)
	n, err := node.Open(t.Context(), cfg, node.Options{Ready: func(address string) { ready <- address }})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- n.Run(ctx) }()
	address := "http://" + <-ready
	calls, items := written(t, "calls.ndjson", someCalls), written(t, "items.jsonl", someItems)
	_, errs := attuned(t, 1, "import", calls, "--url", address, "--secret", "wrong")
	if !strings.Contains(errs, "secret") {
		t.Errorf("a wrong secret: got %s", errs)
	}
	for range 2 {
		out, _ := attuned(t, 0, "import", calls, items, "--url", address, "--secret", config.DevServerSecret)
		if !strings.Contains(out, "imported 2 events and 1 item of 2 files into "+address) || !strings.Contains(out, "rejected: 2 rows") {
			t.Errorf("got %s", out)
		}
	}
	if it, ok := n.Catalog().Item("p1"); !ok || it.Attributes["name"] != "Lantern" {
		t.Errorf("the item is %+v", it)
	}
	stop()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	out, _ := attuned(t, 0, "replay", "--data-dir", cfg.DataDir)
	if !strings.Contains(out, "2 of 2 parts are equal") {
		t.Errorf("got %s", out)
	}
}

// TestLooked holds that each line bought was looked at before, and has a category.
func TestLooked(t *testing.T) {
	made, err := looked([]byte(`{"type":"track","event":"Order Completed","messageId":"m","userId":"u","timestamp":"2025-01-01T00:10:00.000Z",` +
		`"properties":{"order_id":"1","products":[{"product_id":"a","name":"LUNCH BAG","quantity":2},{"product_id":"b","name":"ALARM CLOCK","price":1.5}]}}`))
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		`{"type":"track","event":"Product Viewed","messageId":"m.v0","userId":"u","timestamp":"2025-01-01T00:07:40.000Z","properties":{"category":"Bags","image_url":"/shop/cover/a.svg?category=Bags\u0026name=LUNCH+BAG","name":"LUNCH BAG","product_id":"a"}}`,
		`{"type":"track","event":"Product Viewed","messageId":"m.v1","userId":"u","timestamp":"2025-01-01T00:08:00.000Z","properties":{"category":"Home","image_url":"/shop/cover/b.svg?category=Home\u0026name=ALARM+CLOCK","name":"ALARM CLOCK","price":1.5,"product_id":"b"}}`,
		`{"type":"track","event":"Order Completed","messageId":"m","userId":"u","timestamp":"2025-01-01T00:10:00.000Z","properties":{"order_id":"1","products":[` +
			`{"category":"Bags","image_url":"/shop/cover/a.svg?category=Bags\u0026name=LUNCH+BAG","name":"LUNCH BAG","product_id":"a","quantity":2},{"category":"Home","image_url":"/shop/cover/b.svg?category=Home\u0026name=ALARM+CLOCK","name":"ALARM CLOCK","price":1.5,"product_id":"b"}]}}`,
	}
	if len(made) != len(want) {
		t.Fatalf("got %d calls, want %d", len(made), len(want))
	}
	for i := range want {
		if string(made[i]) != want[i] {
			t.Errorf("got  %s\nwant %s", made[i], want[i])
		}
	}
}

// TestDemo starts the demonstration twice: the second start imports nothing.
func TestDemo(t *testing.T) {
	cfg, err := (&demoCommand{Listen: "127.0.0.1:0", DataDir: t.TempDir()}).config()
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	a := &app{ctx: t.Context(), stdout: &out, stderr: &out}
	log, _ := logger(a, cfg.Log)
	for _, want := range []string{"Imported 5,", "are here already"} {
		out.Reset()
		if err := stock(a, cfg, log); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(out.String(), want) {
			t.Errorf("got %s, want %s", &out, want)
		}
	}
	n, err := node.Open(t.Context(), cfg, node.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close() //nolint:errcheck // the end of the test
	mux := http.NewServeMux()
	if err := mountShop(n, mux); err != nil {
		t.Fatal(err)
	}
	if it, ok := n.Catalog().Item("85123A"); !ok || it.Attributes["category"] == nil {
		t.Errorf("the item is %+v", it)
	}
	if ids := browse(n, "Bags"); len(ids) < 20 {
		t.Errorf("the category has %d items", len(ids))
	}
	if _, err := os.Stat(filepath.Join(cfg.DataDir, "online-retail-slice.csv.gz")); err == nil {
		t.Error("the slice was left behind")
	}
}

func TestGrouped(t *testing.T) {
	for n, want := range map[int64]string{0: "0", 999: "999", 1000: "1,000", -1234567: "-1,234,567", 100000: "100,000"} {
		if got := grouped(n); got != want {
			t.Errorf("%d: got %s, want %s", n, got, want)
		}
	}
}

var _ file.Sink = (*shelves)(nil)
