package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/attune-io/attune"
	"github.com/attune-io/attune/config"
)

const (
	retailSlice   = "../../examples/shop/data/online-retail-slice.csv.gz"
	retailMapping = "../../examples/online-retail/mapping.yaml"
)

// command runs attune, and returns what it printed.
func command(t *testing.T, want int, args ...string) (stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	if got := run(args, &out, &errs); got != want {
		t.Fatalf("attune %s: got %d, want %d\n%s%s", strings.Join(args, " "), got, want, &out, &errs)
	}
	return out.String(), errs.String()
}

// TestPlanOfOnlineRetail: the plan that is proposed of the data set accepts all
// of it, is a valid part of a configuration as it is, and finds what is not like
// it.
func TestPlanOfOnlineRetail(t *testing.T) {
	dir := t.TempDir()
	proposal, said := command(t, 0, "plan", "infer", retailSlice, "--mapping", retailMapping, "--name", "retail", "--ranges", "--closed")
	if !strings.Contains(said, "a plan of ") {
		t.Errorf("got %q, want how much was seen", said)
	}
	file := filepath.Join(dir, "plan.yaml")
	if err := os.WriteFile(file, []byte(proposal), 0o600); err != nil {
		t.Fatal(err)
	}
	checked, _ := command(t, 0, "plan", "check", retailSlice, "--mapping", retailMapping, "--plan", file)
	if !strings.Contains(checked, "as planned") || strings.Contains(checked, "×") {
		t.Errorf("the data set violates its own plan:\n%s", checked)
	}
	again, _ := command(t, 0, "plan", "infer", retailSlice, "--mapping", retailMapping, "--name", "retail", "--ranges", "--closed")
	if again != proposal {
		t.Error("the same events give another plan")
	}
	cfg, err := config.Load([]byte(proposal+"keys:\n  sources: [{id: shop, write_key: wk_shop_0123456789, plan: retail}]\n"), nil, func(c *config.Config) { c.Dev = true })
	if err != nil {
		t.Fatalf("the proposal is no configuration: %v", err)
	}
	compiled, err := cfg.Compile()
	if err != nil {
		t.Fatal(err)
	}
	order := &attune.Event{Type: attune.Track, Name: "Order Completed", Properties: []byte(`{"order_id":"1","currency":"GBP","country":"France","revenue":"12","products":[]}`)}
	got := compiled.Gates["shop"].Plan.Check(order)
	if len(got) != 1 || got[0].Property != "revenue" || got[0].Type != "Datatype-Mismatch" {
		t.Errorf("got %v, want the revenue that is no number", got)
	}
}

// TestPlanCheck: what violates is listed with its first event, and the command
// fails.
func TestPlanCheck(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	events := write("events.ndjson", `{"type":"track","event":"E","userId":"u1","messageId":"m1","properties":{"price":1}}
{"type":"track","event":"E","userId":"u1","messageId":"m2","properties":{}}
{"type":"track","event":"E","userId":"u1","messageId":"m3","properties":{}}
no json
`)
	plan := write("plan.yaml", "collect:\n  plans:\n    - name: a\n      events: {E: {required: [price]}}\n")
	out, said := command(t, 1, "plan", "check", events, "--plan", plan)
	if !strings.Contains(out, "checked 3 events: 1 as planned") || !strings.Contains(out, "2× E: price: is missing (Required-Missing), first in m2") || !strings.Contains(out, "1 row could not be read") {
		t.Errorf("got\n%s", out)
	}
	if !strings.Contains(said, "2 events: the tracking plan is violated") {
		t.Errorf("got %q", said)
	}
	out, _ = command(t, 1, "plan", "check", events, "--plan", plan, "--output", "json")
	var rep planReport
	if err := json.Unmarshal([]byte(out), &rep); err != nil || rep.Violating != 2 || len(rep.Violations) != 1 || rep.Violations[0].Count != 2 {
		t.Errorf("got %+v, %v", rep, err)
	}
	_, said = command(t, 1, "plan", "check", events, "--plan", write("bad.yaml", "collect:\n  plans:\n    - name: a\n      events: {E: {type: objekt}}\n"))
	if !strings.Contains(said, "events.E.type") {
		t.Errorf("got %q, want the place", said)
	}
	command(t, 1, "plan", "check", events)
	command(t, 1, "plan", "infer")
	command(t, 1, "plan", "infer", "--data-dir", filepath.Join(dir, "absent"))
}

// TestPlanOfADataDir: what a node journaled is what the plan is of.
func TestPlanOfADataDir(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	events := filepath.Join(t.TempDir(), "events.ndjson")
	if err := os.WriteFile(events, []byte(`{"type":"track","event":"Viewed Product","userId":"u1","messageId":"m1","properties":{"price":1.5}}
{"type":"identify","userId":"u1","messageId":"m2","traits":{"email":"a@shop.example"}}
`), 0o600); err != nil {
		t.Fatal(err)
	}
	command(t, 0, "import", events, "--data-dir", dir)
	fromDir, _ := command(t, 0, "plan", "infer", "--data-dir", dir)
	fromFile, _ := command(t, 0, "plan", "infer", events)
	if fromDir != fromFile || !strings.Contains(fromDir, "Product Viewed") || !strings.Contains(fromDir, "format: email") {
		t.Errorf("got\n%s\nfrom the folder, from the file\n%s", fromDir, fromFile)
	}
}
