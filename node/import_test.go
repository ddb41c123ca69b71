package node

import (
	"bufio"
	"bytes"
	"cmp"
	"compress/gzip"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/attune-io/attune"
	"github.com/attune-io/attune/collect/file"
	"github.com/attune-io/attune/config"
	"github.com/attune-io/attune/model"
	"github.com/attune-io/attune/profile"
)

// importNow is the edge's clock of these tests: it stands still, so that two
// imports differ in nothing.
const importNow attune.Millis = 1_790_000_000_000

func importConfig(dir string) config.Config {
	cfg := config.Default()
	cfg.Dev, cfg.DataDir, cfg.Listen, cfg.AdminListen = true, dir, "127.0.0.1:0", ""
	cfg.Limits.EventBytes = 4 << 20
	return cfg
}

// imports runs one import into dir and shows the node to look, when all is folded.
func imports(t *testing.T, dir string, in file.Import, look func(*Node)) file.Summary {
	t.Helper()
	n, err := Open(t.Context(), importConfig(dir), Options{Clock: func() attune.Millis { return importNow }})
	if err != nil {
		t.Fatal(err)
	}
	var sum file.Summary
	err = n.Work(t.Context(), func(ctx context.Context) (err error) {
		in.Sink = n.Sink("")
		if sum, err = file.Run(ctx, in); err == nil {
			err = n.caughtUp(ctx)
		}
		if err == nil && look != nil {
			look(n)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return sum
}

// states returns the state of every part on disk in dir, by routing id.
func states(t *testing.T, dir string) map[string]string {
	t.Helper()
	cfg := importConfig(dir)
	n := &Node{}
	if err := n.openBackends(&cfg); err != nil {
		t.Fatal(err)
	}
	defer n.Close() //nolint:errcheck // it was only read
	compiled, err := cfg.Compile()
	if err != nil {
		t.Fatal(err)
	}
	parts := profile.NewParts(profile.PartsOptions{Folder: &profile.Folder{Features: compiled.Features}, Store: n.store})
	out := map[string]string{}
	if err := parts.Keys(t.Context(), "", func(key string) error {
		b, err := stateOf(t.Context(), parts, key, nil)
		out[key] = string(b)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return out
}

// alike fails when two looks at a data directory differ.
func alike(t *testing.T, got, want map[string]string) {
	t.Helper()
	if len(got) != len(want) || len(got) == 0 {
		t.Errorf("got %d parts, want %d", len(got), len(want))
	}
	for key := range want {
		if got[key] != want[key] {
			t.Errorf("part %s is another", key)
		}
	}
}

// calls writes a file of events of 40 people, with what makes parts
// interesting: devices, log-ins, orders, traits, bad rows.
func calls(t *testing.T) string {
	t.Helper()
	var b strings.Builder
	for i := range 2000 {
		who, at := i%40, importNow-attune.Millis(2000-i)*60_000
		switch i % 7 {
		case 0:
			fmt.Fprintf(&b, `{"type":"identify","userId":"u%d","anonymousId":"d%d","timestamp":%q,"traits":{"plan":"p%d"}}`, who, who, at, i)
		case 1:
			fmt.Fprintf(&b, `{"type":"track","event":"Order Completed","userId":"u%d","timestamp":%q,"properties":{"order_id":"o%d","revenue":%d.25,"products":[{"product_id":"p%d","price":2},{"product_id":"p%d"}]}}`, who, at, i, i, i%50, i%31)
		case 2:
			fmt.Fprintf(&b, `{"type":"track","event":"Product Viewed","anonymousId":"d%d","timestamp":%q,"context":{"library":{"name":"analytics.js"}},"properties":{"product_id":"p%d"}}`, who, at, i%50)
		case 3:
			b.WriteString(`{"type":"track","userId":"u1"}`)
		default:
			fmt.Fprintf(&b, `{"type":"track","event":"Product Viewed","userId":"u%d","timestamp":%q,"properties":{"product_id":"p%d","category":"c%d"}}`, who, at, i%50, i%5)
		}
		b.WriteByte('\n')
	}
	path := filepath.Join(t.TempDir(), "calls.ndjson")
	if err := os.WriteFile(path, []byte(b.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestImportTwice holds that a second import of the same file changes nothing,
// and that folding the journal again gives the very parts.
func TestImportTwice(t *testing.T) {
	dir, in := t.TempDir(), file.Import{Files: []string{calls(t)}, Batch: 64}
	first := imports(t, dir, in, nil)
	if first.Accepted != 1714 || first.Rejected != 286 {
		t.Errorf("got %+v, want 1714 accepted and 286 rejected", first)
	}
	want := states(t, dir)
	if second := imports(t, dir, in, nil); second.Accepted != first.Accepted {
		t.Errorf("the second import took %d, the first %d", second.Accepted, first.Accepted)
	}
	alike(t, states(t, dir), want)

	rep, err := Replay(t.Context(), importConfig(dir), nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	if rep.Equal != len(want) || rep.Parts != len(want) || rep.Behind != 0 || len(rep.Differences) > 0 {
		t.Errorf("got %+v, want %d parts that are equal", rep, len(want))
	}
}

// TestReplayFinds holds that a part which was tampered with is found, and that
// a journal without its beginning is refused.
func TestReplayFinds(t *testing.T) {
	dir := t.TempDir()
	if _, err := Replay(t.Context(), importConfig(dir), nil, nil); !errors.Is(err, attune.ErrInvalid) {
		t.Errorf("an empty data directory: got %v", err)
	}
	imports(t, dir, file.Import{Files: []string{calls(t)}}, nil)
	cfg := importConfig(dir)
	n := &Node{}
	if err := n.openBackends(&cfg); err != nil {
		t.Fatal(err)
	}
	moved, err := n.store.Get(t.Context(), profile.PartKey("", "u:u2"))
	if err != nil {
		t.Fatal(err)
	}
	var b profile.Batch
	b.Delete(profile.PartKey("", "u:u3"))
	b.Put(profile.PartKey("", "u:u4"), bytes.Replace(moved, []byte("u:u2"), []byte("u:u4"), 1))
	if err := n.store.Commit(t.Context(), &b); err != nil {
		t.Fatal(err)
	}
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	rep, err := Replay(t.Context(), cfg, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, d := range rep.Differences {
		found = append(found, d.Key)
	}
	if slices.Sort(found); !slices.Equal(found, []string{"u:u3", "u:u4"}) || rep.Equal != rep.Parts-2 {
		t.Errorf("got %v of %+v, want u:u3 and u:u4", found, rep)
	}

	n = &Node{} // a closed one stays closed
	if err := n.openBackends(&cfg); err != nil {
		t.Fatal(err)
	}
	if err := n.journal.Trim(t.Context(), importNow+1, n.journal.Status().Last); err != nil {
		t.Fatal(err)
	}
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := Replay(t.Context(), cfg, nil, nil); !errors.Is(err, attune.ErrInvalid) || !strings.Contains(err.Error(), "retention") {
		t.Errorf("a trimmed journal: got %v", err)
	}
}

// line is a line of Online Retail that was goods sold, read without any of our
// own code.
type line struct {
	invoice, item, customer, at string
}

// Outside finds a file that is not in the repository: in the folder that
// ATTUNE_DATA names, else in shared/data beside the checkout. It skips when the
// file is not there.
func Outside(t *testing.T, name string) string {
	t.Helper()
	const places = 6 // from a package up past the checkout
	var folders []string
	if dir := os.Getenv("ATTUNE_DATA"); dir != "" {
		folders = []string{dir}
	} else {
		for up := range places {
			folders = append(folders, strings.Repeat("../", up+1)+"shared/data")
		}
	}
	for _, dir := range folders {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if _, err := os.Stat(path); err == nil {
			return path
		}
	}
	t.Skipf("NOT TESTED: %s is not in %s; set ATTUNE_DATA to the folder that holds it", name, folders[min(1, len(folders)-1)])
	return ""
}

// head copies the first lines of a gzipped file, for what is slow.
func head(t *testing.T, path string, lines int) string {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close() //nolint:errcheck // it was only read
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	out := gzip.NewWriter(&b)
	in := bufio.NewReader(z)
	for range lines {
		text, err := in.ReadBytes('\n')
		if err != nil {
			t.Fatal(err)
		}
		_, _ = out.Write(text) // memory takes it
	}
	cut := filepath.Join(t.TempDir(), filepath.Base(path))
	if err := errors.Join(out.Close(), os.WriteFile(cut, b.Bytes(), 0o600)); err != nil {
		t.Fatal(err)
	}
	return cut
}

// retail reads the lines of an Online Retail file that were goods sold.
func retail(t *testing.T, path string) (lines []line) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close() //nolint:errcheck // it was only read
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	fees := regexp.MustCompile(`^(POST|DOT|M|m|D|S|B|C2|CRUK|PADS|AMAZONFEE|BANK CHARGES|gift_.*)$`)
	in := csv.NewReader(z)
	for {
		r, err := in.Read()
		if errors.Is(err, io.EOF) {
			return lines
		}
		if err != nil {
			t.Fatal(err)
		}
		quantity, _ := strconv.ParseFloat(r[3], 64)
		price, _ := strconv.ParseFloat(r[5], 64)
		if r[0] == "InvoiceNo" || r[0][0] == 'C' || r[0][0] == 'A' || quantity <= 0 || price <= 0 || fees.MatchString(r[1]) {
			continue
		}
		lines = append(lines, line{invoice: r[0], item: r[1], customer: strings.TrimSuffix(r[6], ".0"), at: r[4]})
	}
}

// TestOnlineRetail imports a file twice and compares with what the CSV says by
// itself: the slice that the repository holds always (its beginning under the
// race detector), the whole file when it is there.
func TestOnlineRetail(t *testing.T) {
	t.Run("slice", func(t *testing.T) {
		path := filepath.Join("..", "examples", "shop", "data", "online-retail-slice.csv.gz")
		if raceEnabled {
			onlineRetail(t, head(t, path, 25_000), 300)
		} else {
			onlineRetail(t, path, 1200)
		}
	})
	t.Run("whole", func(t *testing.T) {
		switch {
		case testing.Short():
			t.Skip("NOT TESTED in short mode: the whole of Online Retail; its slice is")
		case raceEnabled:
			t.Skip("NOT TESTED under the race detector, where it takes minutes: the whole of Online Retail; its slice is")
		}
		onlineRetail(t, Outside(t, "online-retail/online_retail.csv.gz"), 3500)
	})
}

// onlineRetail checks one file, in which at least some customers can be compared.
func onlineRetail(t *testing.T, path string, customers int) {
	t.Helper()
	lines := retail(t, path)
	text, err := os.ReadFile("../examples/online-retail/mapping.yaml")
	if err != nil {
		t.Fatal(err)
	}
	mapping, err := file.ParseMapping(text)
	if err != nil {
		t.Fatal(err)
	}
	invoices := map[string]bool{}
	for _, l := range lines {
		invoices[l.invoice] = true
	}
	look := func(n *Node) {
		alsoBought(t, n, lines)
		if checked := recentFive(t, n, lines); checked < customers {
			t.Errorf("only %d customers were compared, want at least %d", checked, customers)
		}
		if got := n.models.Bought.Sets(); got != len(invoices) {
			t.Errorf("%d orders are counted, want %d", got, len(invoices))
		}
	}
	dir, in := t.TempDir(), file.Import{Files: []string{path}, Options: file.Options{Mapping: mapping}, Batch: 500}
	if sum := imports(t, dir, in, look); sum.Rejected != 0 || sum.Accepted < int64(len(invoices)) {
		t.Errorf("got %+v for %d invoices", sum, len(invoices))
	}
	want := states(t, dir)
	imports(t, dir, in, look)
	alike(t, states(t, dir), want)
}

// alsoBought compares the neighbours of an item with Jaccard's definition.
func alsoBought(t *testing.T, n *Node, lines []line) {
	t.Helper()
	const item = "85123A"
	sets := map[string]map[string]bool{}
	for _, l := range lines {
		if sets[l.invoice] == nil {
			sets[l.invoice] = map[string]bool{}
		}
		sets[l.invoice][l.item] = true
	}
	support, both := map[string]int{}, map[string]int{}
	for _, set := range sets {
		for other := range set {
			support[other]++
			if set[item] {
				both[other]++
			}
		}
	}
	jaccard := func(other string) float64 {
		return float64(both[other]) / float64(support[item]+support[other]-both[other])
	}
	number, _ := n.catalog.Number(item)
	got := n.models.Bought.Neighbours(number, 50, model.Jaccard, nil)
	if len(got) != 50 {
		t.Fatalf("got %d neighbours", len(got))
	}
	listed := map[string]bool{item: true}
	for i, g := range got {
		other := n.catalog.ID(g.Item)
		listed[other] = true
		if want := jaccard(other); math.Abs(float64(g.Score)-want) > 1e-6 {
			t.Errorf("%s with %s: got %v, want %v", item, other, g.Score, want)
		}
		if i > 0 && g.Score > got[i-1].Score {
			t.Errorf("neighbour %d is better than the one before", i)
		}
	}
	for other := range both {
		if worst := float64(got[len(got)-1].Score); !listed[other] && jaccard(other) > worst+1e-6 {
			t.Errorf("%s is missing with %v; the last one listed has %v", other, jaccard(other), worst)
		}
	}
}

// recentFive compares a feature of every customer with the definition: the
// last five different items, newest invoice first, and its lines in order. It
// returns how many customers it could compare.
func recentFive(t *testing.T, n *Node, lines []line) (checked int) {
	t.Helper()
	type invoice struct {
		at    string
		items []string
	}
	of := map[string]map[string]*invoice{}
	for _, l := range lines {
		if l.customer == "" {
			continue
		}
		if of[l.customer] == nil {
			of[l.customer] = map[string]*invoice{}
		}
		if of[l.customer][l.invoice] == nil {
			of[l.customer][l.invoice] = &invoice{at: l.at} // its first line's time
		}
		in := of[l.customer][l.invoice]
		in.items = append(in.items, l.item)
	}
	for customer, invoices := range of {
		var all []*invoice
		times := map[string]bool{}
		for _, in := range invoices {
			all, times[in.at] = append(all, in), true
		}
		if len(times) < len(all) {
			continue // two invoices of one minute: their order is the hash's
		}
		slices.SortFunc(all, func(a, b *invoice) int { return cmp.Compare(b.at, a.at) })
		var want []string
		for _, in := range all {
			for _, item := range in.items {
				if len(want) < 5 && !slices.Contains(want, item) {
					want = append(want, item)
				}
			}
		}
		p, err := n.people.User(t.Context(), customer)
		if err != nil {
			t.Fatal(err)
		}
		v := p.Feature("recent_five_purchases", importNow)
		if got, _ := v.([]string); !slices.Equal(got, want) {
			t.Errorf("customer %s: got %v, want %v", customer, got, want)
		}
		checked++
	}
	return checked
}
