package file_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/tidwall/gjson"

	"github.com/attune-io/attune"
	"github.com/attune-io/attune/collect"
	"github.com/attune-io/attune/collect/file"
)

// stopping is a sink that fails after so many calls, as a process that is
// killed between two of them.
type stopping struct {
	mu    sync.Mutex
	left  int
	ids   []string
	times []string
}

const errKilled = attune.Sentinel("killed")

func (s *stopping) Events(_ context.Context, events [][]byte) ([]collect.Rejection, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.left--; s.left < 0 {
		return nil, errKilled
	}
	var refused []collect.Rejection
	for i, e := range events {
		if gjson.GetBytes(e, "event").Str == "Refused" {
			refused = append(refused, collect.Rejection{Index: i, Reason: "refused"})
			continue
		}
		s.ids = append(s.ids, gjson.GetBytes(e, "messageId").Str)
		s.times = append(s.times, gjson.GetBytes(e, "timestamp").Str)
	}
	return refused, nil
}

func (*stopping) Items(context.Context, []attune.Item) error { return nil }

// TestResume: an import that is stopped after any number of batches, again and
// again, goes on behind what was durable: everything is stored, hardly anything
// twice, times move by one distance, and no rejection is lost or told twice.
func TestResume(t *testing.T) {
	dir := t.TempDir()
	var files []string
	rows := 0
	for f := range 3 {
		var b strings.Builder
		for i := range 1000 {
			rows++
			name := "Seen"
			switch i % 50 {
			case 7:
				name = "Refused"
			case 8:
				b.WriteString("nonsense\n")
				continue
			}
			fmt.Fprintf(&b, `{"type":"track","event":%q,"userId":"u%d","timestamp":"2026-01-01T00:%02d:%02dZ"}`+"\n", name, i, f, i%60)
		}
		files = append(files, filepath.Join(dir, fmt.Sprintf("f%d.ndjson", f)))
		if err := os.WriteFile(files[f], []byte(b.String()), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	in := file.Import{Files: files, Batch: 64, ShiftTo: 1_800_000_000_000}
	whole := &stopping{left: 1 << 20}
	in.Sink = whole
	sum, err := file.Run(t.Context(), in)
	if err != nil || sum.Events != int64(rows)-60 || sum.Rejected != 120 {
		t.Fatalf("in one go: %+v, %v", sum, err)
	}
	for _, parallel := range []int{1, 3} {
		places := filepath.Join(dir, fmt.Sprint("places", parallel))
		var rejects bytes.Buffer
		var ids []string
		var resumed int64
		runs := 0
		for ; ; runs++ {
			sink := &stopping{left: 5}
			in := in
			in.Sink, in.Rejects, in.Parallel, in.ShiftTo = sink, &rejects, parallel, in.ShiftTo+attune.Millis(runs)
			in.Places = &file.Places{Dir: places, Journal: "j"}
			if got, want := in.Places.Resumes(&in), runs > 0; got != want {
				t.Errorf("run %d: resumes %v, want %v", runs, got, want)
			}
			sum, err := file.Run(t.Context(), in)
			ids = append(ids, sink.ids...)
			for i, at := range sink.times {
				if k := slices.Index(whole.ids, sink.ids[i]); k < 0 || whole.times[k] != at {
					t.Fatalf("run %d: %s is at %s, in one go it is at another time", runs, sink.ids[i], at)
				}
			}
			resumed = sum.Resumed
			if err == nil {
				break
			}
			if !errors.Is(err, errKilled) || runs > 100 {
				t.Fatalf("run %d: %v", runs, err)
			}
		}
		if runs < 5 || resumed < 1000 {
			t.Errorf("parallel %d: %d runs, the last one went on behind %d rows", parallel, runs, resumed)
		}
		all := slices.Clone(ids)
		slices.Sort(all)
		if got := slices.Compact(all); len(got) != len(whole.ids) {
			t.Errorf("parallel %d: %d events are stored, want %d", parallel, len(got), len(whole.ids))
		}
		if len(ids) != len(whole.ids) {
			t.Errorf("parallel %d: %d events were stored again, want none", parallel, len(ids)-len(whole.ids))
		}
		if got := strings.Count(rejects.String(), "\n"); got != 120 {
			t.Errorf("parallel %d: %d rejections are written down, want 120", parallel, got)
		}
		if _, err := os.Stat(places); !os.IsNotExist(err) {
			t.Errorf("parallel %d: places are left behind: %v", parallel, err)
		}
	}
}

// TestResumeIsOfTheSame: a place is of that file, read that way, into that
// journal; one that does not read is none.
func TestResumeIsOfTheSame(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "f.ndjson")
	text := strings.Repeat(`{"type":"page","userId":"u"}`+"\n", 500)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	places := func() *file.Places { return &file.Places{Dir: filepath.Join(dir, "places"), Journal: "j"} }
	in := file.Import{Files: []string{path}, Batch: 10, Places: places(), Sink: &stopping{left: 5}}
	if _, err := file.Run(t.Context(), in); !errors.Is(err, errKilled) {
		t.Fatal(err)
	}
	if !in.Places.Resumes(&in) {
		t.Fatal("nothing was kept")
	}
	for what, change := range map[string]func(in *file.Import){
		"another journal": func(in *file.Import) { in.Places.Journal = "k" },
		"another source":  func(in *file.Import) { in.Places.Source = "s" },
		"another format":  func(in *file.Import) { in.Options.Format = file.Metarank },
		"moved times":     func(in *file.Import) { in.ShiftTo = 1 },
		"a longer file": func(*file.Import) {
			if err := os.WriteFile(path, []byte(text+"{}\n"), 0o600); err != nil {
				t.Fatal(err)
			}
		},
		"a damaged place": func(in *file.Import) {
			kept, _ := filepath.Glob(filepath.Join(in.Places.Dir, "*.json"))
			if err := os.WriteFile(kept[0], []byte(`{"taken":`), 0o600); err != nil {
				t.Fatal(err)
			}
		},
	} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		other := in
		other.Places = places()
		change(&other)
		if other.Places.Resumes(&other) {
			t.Errorf("%s: it goes on as if it were the same", what)
		}
	}
}
