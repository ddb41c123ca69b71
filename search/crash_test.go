package search_test

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/attune-io/attune/catalog"
	"github.com/attune-io/attune/search"
	"github.com/attune-io/attune/search/bleve"
)

// crashDir names, to the child of TestKilled, the index it is to write until it
// is killed.
const crashDir = "ATTUNE_TEST_SEARCH_DIR"

// TestKilled kills a process while it writes an index, at several moments, and
// opens what it leaves: whatever that is, the index is brought up to the catalog
// and holds exactly it.
func TestKilled(t *testing.T) {
	if dir := os.Getenv(crashDir); dir != "" {
		writeUntilKilled(t, dir)
		return
	}
	dir := filepath.Join(t.TempDir(), "search")
	for round := range 6 {
		child := exec.Command(os.Args[0], "-test.run=^TestKilled$")
		child.Env = append(os.Environ(), crashDir+"="+dir)
		out, err := child.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := child.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		for lines.Scan() {
			if lines.Text() == "writing" {
				break
			}
		}
		time.Sleep(time.Duration(round*40) * time.Millisecond)
		if err := child.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = child.Wait() // it was killed

		ix := openIndex(t, dir)
		c := shop(t, 500)
		stop := keep(t, ix, c)
		state, err := ix.State(t.Context())
		if err != nil || state.Documents != 500 {
			t.Errorf("round %d: %d documents, %v; want 500", round, state.Documents, err)
		}
		if got := ids(t, ix, "lamp 321"); !slices.Equal(got, []string{"p321"}) {
			t.Errorf("round %d: got %v, want p321", round, got)
		}
		if got := ids(t, ix, "dinosaur"); len(got) > 0 {
			t.Errorf("round %d: %v are left of the process that was killed", round, got)
		}
		stop()
		if err := ix.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func writeUntilKilled(t *testing.T, dir string) {
	t.Helper()
	ix, err := bleve.Open(bleve.Options{Dir: dir, Settings: search.Defaults()})
	if err != nil {
		t.Fatal(err)
	}
	c := catalog.New(catalog.Options{})
	c.Tick(1000)
	k := search.NewKeeper(search.KeeperOptions{Index: ix, Catalog: c, Settings: search.Defaults(), Every: time.Millisecond})
	go func() { _ = k.Run(context.Background()) }() // until it is killed
	fmt.Println("writing")
	for i := 0; ; i++ {
		put(t, c, 1, fmt.Sprintf("p%d", i%3000), map[string]any{"name": fmt.Sprintf("Dinosaur %d", i)})
		if i%100 == 0 {
			time.Sleep(time.Millisecond)
		}
	}
}
