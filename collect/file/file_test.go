package file_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/attune-io/attune"
	"github.com/attune-io/attune/collect"
	"github.com/attune-io/attune/collect/file"
)

var update = flag.Bool("update", false, "write what is got as what is wanted")

func mapping(tb testing.TB) *file.Mapping {
	tb.Helper()
	text, err := os.ReadFile("../../examples/online-retail/mapping.yaml")
	if err != nil {
		tb.Fatal(err)
	}
	m, err := file.ParseMapping(text)
	if err != nil {
		tb.Fatal(err)
	}
	return m
}

// said reads everything and returns it as text, a line each.
func said(tb testing.TB, r *file.Reader) string {
	tb.Helper()
	var b strings.Builder
	for {
		row, err := r.Next()
		var f *file.Fault
		switch {
		case errors.Is(err, io.EOF):
			for reason, n := range r.Excluded() {
				fmt.Fprintf(&b, "excluded %d: %s\n", n, reason)
			}
			return b.String()
		case errors.As(err, &f):
			fmt.Fprintf(&b, "%d fault: %s | %s\n", f.Row, f.Reason, f.Raw)
		case err != nil:
			tb.Fatal(err)
		case row.Item != nil:
			item, err := json.Marshal(row.Item)
			if err != nil {
				tb.Fatal(err)
			}
			fmt.Fprintf(&b, "%d item: %s\n", row.Number, item)
		default:
			fmt.Fprintf(&b, "%d event: %s\n", row.Number, row.Event)
		}
	}
}

func TestGolden(t *testing.T) {
	for name, o := range map[string]file.Options{
		"invoices.csv":   {Mapping: mapping(t)},
		"calls.ndjson":   {},
		"metarank.jsonl": {},
	} {
		t.Run(name, func(t *testing.T) {
			r, err := file.Open(filepath.Join("testdata", name), o)
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close() //nolint:errcheck // it was only read
			got := said(t, r)
			lines := strings.SplitAfter(got, "\n")
			golden := filepath.Join("testdata", name+".golden")
			// Excluded reasons come from a map.
			events, excluded := lines[:0:0], 0
			for _, l := range lines {
				if strings.HasPrefix(l, "excluded") {
					excluded++
					continue
				}
				events = append(events, l)
			}
			got = strings.Join(events, "")
			if *update {
				if err := os.WriteFile(golden, []byte(got), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if got != string(want) {
				t.Errorf("got\n%swant\n%s", got, want)
			}
			if name == "invoices.csv" && excluded != 2 {
				t.Errorf("got %d reasons to exclude, want 2", excluded)
			}
		})
	}
}

// TestShift holds that a shift moves every time by the same.
func TestShift(t *testing.T) {
	for name, o := range map[string]file.Options{"invoices.csv": {Mapping: mapping(t)}, "calls.ndjson": {}, "metarank.jsonl": {}} {
		times := func(shift attune.Millis) (out []attune.Millis) {
			o.Shift = shift
			r, err := file.Open(filepath.Join("testdata", name), o)
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close() //nolint:errcheck // it was only read
			for {
				row, err := r.Next()
				var f *file.Fault
				if errors.Is(err, io.EOF) {
					return out
				}
				if errors.As(err, &f) || row.Time == 0 {
					continue
				}
				if err != nil {
					t.Fatal(err)
				}
				if row.Event != nil && !bytes.Contains(row.Event, []byte(row.Time.String())) && shift != 0 {
					t.Errorf("%s: %s does not say %s", name, row.Event, row.Time)
				}
				out = append(out, row.Time)
			}
		}
		plain, moved := times(0), times(12_345)
		if len(plain) == 0 || len(plain) != len(moved) {
			t.Fatalf("%s: got %d times, and %d moved", name, len(plain), len(moved))
		}
		for i := range plain {
			if moved[i] != plain[i]+12_345 {
				t.Errorf("%s: got %s moved to %s", name, plain[i], moved[i])
			}
		}
	}
}

// TestGzip holds that a gzipped file says the same under the same messageIds.
func TestGzip(t *testing.T) {
	text, err := os.ReadFile("testdata/calls.ndjson")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "calls.ndjson.gz")
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, _ = z.Write(text)
	_ = z.Close()
	if err := os.WriteFile(path, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	plain, err := file.Open("testdata/calls.ndjson", file.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer plain.Close() //nolint:errcheck // it was only read
	packed, err := file.Open(path, file.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer packed.Close() //nolint:errcheck // it was only read
	if got, want := said(t, packed), said(t, plain); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
	if got, want := packed.Read(), packed.Size(); got != want {
		t.Errorf("read %d of %d bytes", got, want)
	}
}

// TestTornGzip holds that what came before the tear is not lost.
func TestTornGzip(t *testing.T) {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	for i := range 10_000 {
		fmt.Fprintf(z, `{"type":"track","event":"E","userId":"u%d"}`+"\n", i)
	}
	_ = z.Close()
	r, err := file.NewReader(bytes.NewReader(b.Bytes()[:b.Len()/2]), file.Options{Name: "x"})
	if err != nil {
		t.Fatal(err)
	}
	rows := 0
	for {
		_, err := r.Next()
		if err != nil {
			var f *file.Fault
			if errors.Is(err, io.EOF) || errors.As(err, &f) {
				t.Errorf("the end of a torn file is %v", err)
			}
			break
		}
		rows++
	}
	if rows == 0 {
		t.Error("no row was read")
	}
}

func TestFormats(t *testing.T) {
	for text, want := range map[string]file.Format{
		`{"type":"track","event":"E","userId":"u"}`: file.Segment,
		`{"batch":[]}`: file.Segment,
		"":             file.Segment,
		`{"event":"item","id":"1","item":"2","timestamp":"1","fields":[]}`: file.Metarank,
		`{"event":"interaction","id":"1","type":"click","timestamp":"1"}`:  file.Metarank,
		`{"type":"track","event":"item","messageId":"m","userId":"u"}`:     file.Segment,
		"a,b\n1,2\n": file.CSV,
		"a\tb\n":     file.TSV,
	} {
		r, err := file.NewReader(strings.NewReader(text), file.Options{Name: "x"})
		switch want {
		case file.CSV, file.TSV:
			if !errors.Is(err, attune.ErrInvalid) || !strings.Contains(err.Error(), "mapping") {
				t.Errorf("%q without a mapping: %v", text, err)
			}
		default:
			if err != nil {
				t.Fatalf("%q: %v", text, err)
			}
			if r.Format() != want {
				t.Errorf("%q: got %s, want %s", text, r.Format(), want)
			}
		}
	}
}

// TestLongLine holds that a line over the limit costs itself only.
func TestLongLine(t *testing.T) {
	text := `{"type":"track","event":"A","userId":"u"}` + "\n" + strings.Repeat("x", 3<<20) + "\n" + `{"type":"track","event":"B","userId":"u"}` + "\n"
	r, err := file.NewReader(strings.NewReader(text), file.Options{Name: "x", MaxLine: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	got := said(t, r)
	for _, want := range []string{`1 event`, `2 fault: the line has more than 1048576 bytes`, `3 event`} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is missing", want)
		}
	}
}

func TestMappingFaults(t *testing.T) {
	_, err := file.ParseMapping([]byte(`
delimiter: "::"
time: {layout: x, zone: Atlantis}
rules:
  - when: [{column: a, matches: "("}]
    user_id: "{a"
  - exclude: x
    event: y
  - type: dance
    guest_id: "{a|fold}"
    properties: {p: {column: a, type: colour}, q: {}}
    products: {s: {sum: [a]}}
`))
	if !errors.Is(err, attune.ErrInvalid) {
		t.Fatalf("got %v", err)
	}
	for _, want := range []string{
		"delimiter:", "time.zone:", "time.column:", "rules[0].when[0].matches:", "rules[0].user_id:", "rules[0].event:", "rules[1].exclude:",
		"rules[2].type:", "rules[2].guest_id:", "rules[2].properties.p.type:", "rules[2].properties.q:", "rules[2].products.s:",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%s is missing in\n%v", want, err)
		}
	}
	if _, err := file.ParseMapping([]byte("rule: []\n")); !errors.Is(err, attune.ErrInvalid) {
		t.Errorf("an unknown field: got %v", err)
	}
	r, err := file.NewReader(strings.NewReader("a,b\n"), file.Options{Name: "x", Format: file.CSV, Mapping: mapping(t)})
	if err == nil || !strings.Contains(err.Error(), `no column "InvoiceNo"; it has a, b`) {
		t.Errorf("missing columns: got %v, %v", r, err)
	}
}

// TestLateRow holds that a row which comes too late for its group is a fault,
// and that one within the window is not.
func TestLateRow(t *testing.T) {
	m, err := file.ParseMapping([]byte(`
time: {column: t}
group: g
window: 2
rules:
  - {event: E, user_id: "{u}", products: {product_id: "{p}"}}
`))
	if err != nil {
		t.Fatal(err)
	}
	text := "g,t,u,p\n1,1700000000,u,a\n2,1700000000,u,b\n1,1700000000,u,c\n3,1700000000,u,d\n4,1700000000,u,e\n5,1700000000,u,f\n1,1700000000,u,z\n"
	r, err := file.NewReader(strings.NewReader(text), file.Options{Name: "x", Format: file.CSV, Mapping: m})
	if err != nil {
		t.Fatal(err)
	}
	got := said(t, r)
	if want := `"products":[{"product_id":"a"},{"product_id":"c"}]`; strings.Count(got, want) != 1 {
		t.Errorf("want once %s in\n%s", want, got)
	}
	if want := `8 fault: g "1" went on more than 2 rows`; !strings.Contains(got, want) {
		t.Errorf("want %s in\n%s", want, got)
	}
}

// TestRecords holds that sound tables read as encoding/csv reads them.
func TestRecords(t *testing.T) {
	m, err := file.ParseMapping([]byte(`
time: {column: t}
rules:
  - {event: E, guest_id: g, properties: {a: {column: a}, b: {column: b}}}
`))
	if err != nil {
		t.Fatal(err)
	}
	rapid.Check(t, func(t *rapid.T) {
		rows := rapid.SliceOfN(rapid.SliceOfN(rapid.StringMatching(`[ -~\n]{0,12}`), 2, 2), 0, 8).Draw(t, "rows")
		var b bytes.Buffer
		w := csv.NewWriter(&b)
		_ = w.Write([]string{"t", "a", "b"})
		for _, r := range rows {
			_ = w.Write([]string{"1700000000", r[0], r[1]})
		}
		w.Flush()
		r, err := file.NewReader(&b, file.Options{Name: "x", Format: file.CSV, Mapping: m})
		if err != nil {
			t.Fatal(err)
		}
		for i, want := range rows {
			row, err := r.Next()
			if err != nil {
				t.Fatalf("row %d %q: %v", i, want, err)
			}
			var got struct{ Properties struct{ A, B string } }
			if err := json.Unmarshal(row.Event, &got); err != nil {
				t.Fatal(err)
			}
			if got.Properties.A != strings.TrimSpace(want[0]) || got.Properties.B != strings.TrimSpace(want[1]) {
				t.Fatalf("row %d: got %+v, want %q", i, got.Properties, want)
			}
		}
		if _, err := r.Next(); !errors.Is(err, io.EOF) {
			t.Fatalf("behind the last row: %v", err)
		}
	})
}

// busySink is busy every second time, and refuses events that say so.
type busySink struct {
	calls  int
	events int
	items  int
}

func (s *busySink) Events(_ context.Context, events [][]byte) (out []collect.Rejection, err error) {
	if s.calls++; s.calls%2 == 1 {
		return nil, fmt.Errorf("a full queue: %w", attune.ErrBusy)
	}
	for i, e := range events {
		if bytes.Contains(e, []byte(`"E"`)) {
			out = append(out, collect.Rejection{Index: i, Reason: "no E is wanted"})
		}
	}
	s.events += len(events) - len(out)
	return out, nil
}

func (s *busySink) Items(_ context.Context, items []attune.Item) error {
	s.items += len(items)
	return nil
}

func TestRun(t *testing.T) {
	var sink busySink
	var rejects bytes.Buffer
	var last file.Progress
	sum, err := file.Run(t.Context(), file.Import{
		Files: []string{"testdata/calls.ndjson", "testdata/metarank.jsonl", "testdata/invoices.csv"}, Options: file.Options{Mapping: mapping(t)},
		Sink: &sink, Rejects: &rejects, Batch: 2, ShiftTo: 1_800_000_000_000, Progress: func(p file.Progress) { last = p },
	})
	if err != nil {
		t.Fatal(err)
	}
	if sink.events != int(sum.Accepted) || sink.items != 1 || sum.Items != 1 || sum.Files != 3 {
		t.Errorf("got %+v for a sink of %+v", sum, sink)
	}
	if sum.Newest != 1_800_000_000_000 {
		t.Errorf("the newest event is at %s", sum.Newest)
	}
	if sum.Reasons["no E is wanted"] == 0 || sum.ExcludeReasons["no goods (postage, fees, samples, vouchers, adjustments)"] != 2 {
		t.Errorf("got reasons %v, excluded %v", sum.Reasons, sum.ExcludeReasons)
	}
	lines := bytes.Count(rejects.Bytes(), []byte{'\n'})
	if lines != int(sum.Rejected) || lines == 0 {
		t.Errorf("%d rejects are written, %d counted", lines, sum.Rejected)
	}
	var reject struct {
		File, Reason, Raw string
		Row               int64
	}
	if err := json.NewDecoder(&rejects).Decode(&reject); err != nil || reject.File == "" || reject.Row == 0 || reject.Reason == "" || reject.Raw == "" {
		t.Errorf("the first reject is %+v, %v", reject, err)
	}
	var size int64
	for _, name := range []string{"calls.ndjson", "metarank.jsonl", "invoices.csv"} {
		info, err := os.Stat(filepath.Join("testdata", name))
		if err != nil {
			t.Fatal(err)
		}
		size += info.Size()
	}
	if last.Bytes != size || last.Events != sum.Events {
		t.Errorf("the last progress is %+v, want %d bytes and %d events", last, size, sum.Events)
	}
}

func FuzzReader(f *testing.F) {
	m := mapping(f)
	for _, name := range []string{"invoices.csv", "calls.ndjson", "metarank.jsonl"} {
		text, err := os.ReadFile(filepath.Join("testdata", name))
		if err != nil {
			f.Fatal(err)
		}
		for i := range byte(5) {
			f.Add(text, i, int64(0))
			f.Add(text, i, int64(1000))
		}
	}
	f.Fuzz(func(t *testing.T, text []byte, format byte, shift int64) {
		formats := []file.Format{file.Segment, file.CSV, file.TSV, file.Metarank, file.Auto}
		r, err := file.NewReader(bytes.NewReader(text), file.Options{
			Name: "x", Format: formats[int(format)%len(formats)], Mapping: m, Shift: attune.Millis(shift % 1e12), MaxLine: 1 << 16,
		})
		if err != nil {
			return
		}
		for range 10_000 {
			row, err := r.Next()
			var fault *file.Fault
			switch {
			case errors.As(err, &fault):
				if fault.Reason == "" {
					t.Fatal("a fault without a reason")
				}
			case err != nil:
				return
			case row.Item == nil && !json.Valid(row.Event):
				t.Fatalf("row %d gives what is no JSON: %q", row.Number, row.Event)
			}
		}
	})
}

func FuzzMapping(f *testing.F) {
	text, err := os.ReadFile("../../examples/online-retail/mapping.yaml")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Add([]byte("rules:\n  - {event: E, user_id: \"{a|int}\"}\ntime: {column: a}\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		if _, err := file.ParseMapping(text); err != nil && !errors.Is(err, attune.ErrInvalid) {
			t.Errorf("%v does not wrap ErrInvalid", err)
		}
	})
}
