package collect_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"github.com/attune-io/attune"
	"github.com/attune-io/attune/collect"
	"github.com/attune-io/attune/journal"
	"github.com/attune-io/attune/journal/disk"
)

// TestOnDisk sends what an SDK sent over a real connection into a real
// journal, closes it, opens it again, and finds every event, and whatever a
// token names.
func TestOnDisk(t *testing.T) {
	open := func() *disk.Journal {
		j, err := disk.Open(disk.Options{Dir: filepath.Join(t.Name(), "journal"), Partitions: 4})
		if err != nil {
			t.Fatal(err)
		}
		return j
	}
	t.Chdir(t.TempDir())
	body := `{"batch":[` + strings.Repeat(device(web+`,"userId":"u1"`)+",", 49) + device(web+`,"userId":"u1"`) + `]}`
	j := open()
	w := newWorld(t, func(o *collect.Options) { o.Journal = j })
	srv := httptest.NewServer(w.mux)
	defer srv.Close()

	named := map[int]uint64{}
	for range 3 {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, srv.URL+"/v1/batch", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.SetBasicAuth(key, "")
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		got, _ := io.ReadAll(res.Body)
		_ = res.Body.Close()
		equal(t, "answer", string(got), `{"ok":true,"accepted":50,"rejected":[]}`+"\n")
		tok, err := journal.ParseToken(res.Header.Get("X-Attune-Token"))
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range tok.Positions {
			named[p.Partition] = max(named[p.Partition], p.Offset)
		}
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	if res := w.do(http.MethodPost, "/v1/track", view, basic(key)); res.Code != 503 || res.Header().Get("Retry-After") == "" {
		t.Errorf("after Close: %d, Retry-After %q", res.Code, res.Header().Get("Retry-After"))
	}

	j = open()
	defer func() { _ = j.Close() }()
	st := j.Status()
	counts := map[attune.Kind]int{}
	for p, last := range st.Last {
		if named[p] != last {
			t.Errorf("partition %d ends at %d, the tokens name %d", p, last, named[p])
		}
		for _, r := range all(t, j, p, last) {
			counts[r.Kind]++
		}
	}
	equal(t, "links", counts[attune.KindLink], 1)
	equal(t, "events", counts[attune.KindEvent], 150)
}

// all reads a partition up to last.
func all(t *testing.T, j *disk.Journal, partition int, last uint64) []attune.Record {
	t.Helper()
	if last == 0 {
		return nil
	}
	r, err := j.Read(partition, 1)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = r.Close() }()
	var out []attune.Record
	for uint64(len(out)) < last {
		recs, err := r.Next(context.Background(), 100)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, recs...)
	}
	return out
}
