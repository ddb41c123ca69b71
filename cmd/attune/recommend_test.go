package main

import (
	"context"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/parquet-go/parquet-go"

	"github.com/attune-io/attune/config"
	"github.com/attune-io/attune/node"
)

// manyCalls is a file of 700 users, who viewed two of 30 items each.
func manyCalls(t *testing.T) string {
	t.Helper()
	var b strings.Builder
	for i := range 1400 {
		fmt.Fprintf(&b, `{"type":"track","event":"Product Viewed","userId":"u%03d","timestamp":"2026-01-01T00:00:%02dZ","properties":{"product_id":"p%d"}}`+"\n",
			i/2, i%60, (i/2+i%2)%30)
	}
	return written(t, "many.ndjson", b.String())
}

func table(t *testing.T, path string) [][]string {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close() //nolint:errcheck // it was only read
	rows, err := csv.NewReader(f).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	return rows
}

// TestRecommendCommand: the same people and items whatever the format, in the
// order of ids, and nothing at all where something is wrong.
func TestRecommendCommand(t *testing.T) {
	dir, out := t.TempDir(), t.TempDir()
	at := func(name string) string { return filepath.Join(out, name) }
	attuned(t, 0, "import", manyCalls(t), "--data-dir", dir, "--shift-time")
	batch := func(want int, args ...string) (string, string) {
		return attuned(t, want, append([]string{"recommend", "--placement", "for-you", "--data-dir", dir, "--limit", "4"}, args...)...)
	}
	if text, _ := batch(0, "--all", "--out", at("long.csv")); !strings.Contains(text, "for 700 of 700 users") {
		t.Errorf("got %s", text)
	}
	rows := table(t, at("long.csv"))
	if !slices.Equal(rows[0], []string{"user_id", "rank", "item_id", "score", "reason"}) || len(rows) != 1+700*4 || rows[5][0] != "u001" || rows[5][1] != "1" {
		t.Fatalf("got %d rows, %v, %v", len(rows), rows[0], rows[5])
	}
	batch(0, "--all", "--out", at("long.parquet"))
	long, err := parquet.ReadFile[longRow](at("long.parquet"))
	if err != nil || len(long) != len(rows)-1 {
		t.Fatalf("parquet: got %d rows, %v", len(long), err)
	}
	for i, r := range long {
		if want := rows[i+1]; r.UserID != want[0] || strconv.Itoa(int(r.Rank)) != want[1] || r.ItemID != want[2] || r.Reason != want[4] {
			t.Fatalf("row %d: parquet has %+v, csv %v", i, r, want)
		}
	}
	batch(0, "--all", "--out", at("wide.csv"), "--wide")
	batch(0, "--all", "--out", at("wide"), "--wide", "--format", "parquet")
	batch(0, "--all", "--out", at("wide.ndjson"), "--wide", "--log")
	wide, err := parquet.ReadFile[wideRow](at("wide"))
	if err != nil || len(wide) != 700 {
		t.Fatalf("wide parquet: got %d rows, %v", len(wide), err)
	}
	text, err := os.ReadFile(at("wide.ndjson"))
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	for i, want := range table(t, at("wide.csv"))[1:] {
		var line wideRow
		if err := json.Unmarshal([]byte(lines[i]), &line); err != nil || line.DecisionID == "" {
			t.Fatalf("line %d: %v, %+v", i, err, line)
		}
		if !slices.Equal(wide[i].Items, want[1:]) || wide[i].UserID != want[0] || !slices.Equal(line.Items, want[1:]) || line.Items[0] != rows[1+4*i][2] {
			t.Fatalf("person %d: parquet has %+v, lines %+v, csv %v", i, wide[i], line, want)
		}
	}
	for _, bad := range [][]string{
		{"--out", at("bad.csv")},
		{"--all", "--out", at("bad.xls")},
		{"--all", "--out", at("bad.csv"), "--segment", "nonsense"},
		{"--all", "--out", at("bad.csv"), "--placement", "nonsense"},
		{"--all", "--out", at("none/bad.csv")},
		{"--all", "--out", at("bad.csv"), "--data-dir", at("none")},
	} {
		batch(1, bad...)
	}
	left, err := os.ReadDir(out)
	if err != nil || len(left) != 5 {
		t.Errorf("%d files are left, want the five that were written: %v, %v", len(left), left, err)
	}
}

// TestRecommendRemote: a batch from a running server whose connections break
// twice has every person once.
func TestRecommendRemote(t *testing.T) {
	cfg := config.Default()
	cfg.Dev, cfg.DataDir, cfg.Listen, cfg.AdminListen = true, t.TempDir(), "127.0.0.1:0", ""
	attuned(t, 0, "import", manyCalls(t), "--data-dir", cfg.DataDir, "--shift-time")
	ready := make(chan string, 1)
	n, err := node.Open(t.Context(), cfg, node.Options{Ready: func(address string) { ready <- address }})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- n.Run(ctx) }()
	direct := &url.URL{Scheme: "http", Host: <-ready}
	var asked atomic.Int32
	proxy := httputil.NewSingleHostReverseProxy(direct)
	proxy.ModifyResponse = func(r *http.Response) error {
		if i := asked.Add(1); i <= 2 { // in the middle of a line
			r.Body = struct {
				io.Reader
				io.Closer
			}{io.LimitReader(r.Body, int64(i)*20_011), r.Body}
		}
		return nil
	}
	broken := httptest.NewServer(proxy)
	defer broken.Close()
	local, remote := filepath.Join(t.TempDir(), "direct.csv"), filepath.Join(t.TempDir(), "broken.csv")
	batch := func(want int, server, secret, out string) (string, string) {
		return attuned(t, want, "recommend", "--placement", "for-you", "--all", "--server", server, "--secret", secret, "--out", out, "--wide", "--limit", "3")
	}
	batch(0, direct.String(), config.DevServerSecret, local)
	if _, errs := batch(1, direct.String(), "wrong", filepath.Join(t.TempDir(), "x.csv")); !strings.Contains(errs, "secret") {
		t.Errorf("a wrong secret: got %s", errs)
	}
	batch(0, broken.URL, config.DevServerSecret, remote)
	want, got := table(t, local), table(t, remote)
	if asked.Load() != 3 || len(want) != 701 || !slices.EqualFunc(got, want, slices.Equal) {
		t.Errorf("after %d requests: got %d rows, want the %d that a whole one gives", asked.Load(), len(got), len(want))
	}
	if _, errs := attuned(t, 1, "recommend", "--placement", "for-you", "--all", "--data-dir", cfg.DataDir, "--out", remote); !strings.Contains(errs, "--server") {
		t.Errorf("a directory in use: got %s", errs)
	}
	stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
