package serve_test

import (
	"bytes"
	"encoding/json"
	"strconv"
	"testing"

	"pgregory.net/rapid"

	"github.com/attune-io/attune"
	"github.com/attune-io/attune/serve"
)

// TestEncodeIsTheStandardLibrarys compares with encoding/json, decoded.
func TestEncodeIsTheStandardLibrarys(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.OneOf(rapid.String(), rapid.SampledFrom([]string{"<\u2028>&\"\\\x00\x1f\n\r\t", "\xff\xfe", "日本", ""}))
		d := attune.Decision{
			ID: text.Draw(t, "id"), ProfileVersion: rapid.Uint64().Draw(t, "version"), Stale: rapid.Bool().Draw(t, "stale"),
			Placements: map[string]*attune.Answer{},
		}
		for range rapid.IntRange(0, 3).Draw(t, "placements") {
			a := &attune.Answer{
				Items: []attune.Ranked{}, Model: text.Draw(t, "model"), Fallback: text.Draw(t, "fallback"),
				Experiment: text.Draw(t, "experiment"), Variant: text.Draw(t, "variant"),
			}
			if rapid.Bool().Draw(t, "explain") {
				a.Explain = &attune.Explanation{Filtered: map[string]int{"x": 1}}
			}
			for range rapid.IntRange(0, 3).Draw(t, "items") {
				a.Items = append(a.Items, attune.Ranked{
					ID: text.Draw(t, "item"), Score: float64(rapid.Float32Range(-1e6, 1e6).Draw(t, "score")),
					Reason: text.Draw(t, "reason"), Propensity: rapid.Float64Range(0, 1).Draw(t, "propensity"),
					Attributes: json.RawMessage(`{"a":[1,"x"]}`),
				})
			}
			d.Placements[text.Draw(t, "name")] = a
		}
		same(t, serve.AppendDecision(nil, &d), d)
	})
}

func same(t *rapid.T, got []byte, of any) {
	t.Helper()
	std, err := json.Marshal(of)
	if err != nil {
		t.Fatal(err)
	}
	if normal(t, got) != normal(t, std) {
		t.Fatalf("got  %s\nwant %s", got, std)
	}
}

// normal decodes numbers to six digits, which is what scores have.
func normal(t *rapid.T, b []byte) string {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		t.Fatalf("%s: %v", b, err)
	}
	out, err := json.Marshal(rounded(v))
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

func rounded(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for k := range v {
			v[k] = rounded(v[k])
		}
	case []any:
		for i := range v {
			v[i] = rounded(v[i])
		}
	case json.Number:
		if _, err := strconv.ParseUint(string(v), 10, 64); err == nil {
			return string(v)
		}
		if v == "-0" {
			return "0"
		}
		f, err := strconv.ParseFloat(string(v), 64)
		if err != nil {
			return string(v)
		}
		return strconv.FormatFloat(f, 'g', 6, 64)
	}
	return v
}

func sample() *attune.Decision {
	a := &attune.Answer{Model: "for-you@12"}
	for i := range 10 {
		a.Items = append(a.Items, attune.Ranked{
			ID: "sku-" + strconv.Itoa(i), Score: 0.93 / float64(i+1), Reason: "because you viewed Trail Shoe", Propensity: 1,
			Attributes: json.RawMessage(`{"brand":"Acme","category":"Shoes","image_url":"https://shop.example/i/1.jpg","name":"Trail Shoe","price":99.5}`),
		})
	}
	return &attune.Decision{ID: "AZqzX1", ProfileVersion: 17, Placements: map[string]*attune.Answer{"for-you": a}}
}

func BenchmarkAppendDecision(b *testing.B) {
	d := sample()
	buf := serve.AppendDecision(nil, d)
	b.SetBytes(int64(len(buf)))
	b.ReportAllocs()
	for b.Loop() {
		buf = serve.AppendDecision(buf[:0], d)
	}
}

func BenchmarkStandardLibrary(b *testing.B) {
	d := sample()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := json.Marshal(d); err != nil {
			b.Fatal(err)
		}
	}
}
