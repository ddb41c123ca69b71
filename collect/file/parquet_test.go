package file_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/parquet-go/parquet-go"
	"github.com/tidwall/gjson"

	"github.com/attune-io/attune/collect/file"
)

type sold struct {
	Order string    `parquet:"order"`
	At    time.Time `parquet:"at,timestamp(microsecond)"`
	User  *int64    `parquet:"user,optional"`
	Item  string    `parquet:"item,dict"`
	Price int64     `parquet:"price,decimal(2:18)"`
	Many  float64   `parquet:"many"`
	Tags  []string  `parquet:"tags,list"`
	Place struct {
		City string `parquet:"city"`
	} `parquet:"place"`
}

const soldMapping = `
time: {column: at}
group: order
rules:
  - event: Order Completed
    when: [{column: user, matches: "."}]
    user_id: "{user}"
    properties:
      order_id: "{order}"
      city: "{place.city}"
      tags: "{tags}"
      revenue: {sum: [many, price]}
    products:
      product_id: "{item}"
      price: {column: price, type: number}
      quantity: {column: many, type: integer}
  - exclude: nobody's
`

// TestParquet: a mapping takes a Parquet file as it takes any other table,
// whatever types its columns have.
func TestParquet(t *testing.T) {
	user, at := int64(12), time.Date(2026, 3, 1, 10, 0, 0, 5e6, time.UTC)
	rows := []sold{
		{Order: "o1", At: at, User: &user, Item: `a,"b"`, Price: 1205, Many: 2, Tags: []string{"x", "y"}},
		{Order: "o1", At: at, User: &user, Item: "c", Price: 5, Many: 1},
		{Order: "o2", At: at, Item: "c"},
	}
	rows[0].Place.City = "York\nNorth"
	path := filepath.Join(t.TempDir(), "sold.parquet")
	if err := parquet.WriteFile(path, rows, parquet.MaxRowsPerRowGroup(2)); err != nil {
		t.Fatal(err)
	}
	mapping, err := file.ParseMapping([]byte(soldMapping))
	if err != nil {
		t.Fatal(err)
	}
	r, err := file.Open(path, file.Options{Mapping: mapping})
	if err != nil {
		t.Fatal(err)
	}
	row, err := r.Next()
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		"userId": "12", "timestamp": "2026-03-01T10:00:00.005Z", "properties.order_id": "o1", "properties.city": "York\nNorth",
		"properties.tags": "x,y", "properties.revenue": "24.15", "properties.products.0.product_id": `a,"b"`,
		"properties.products.0.price": "12.05", "properties.products.1.price": "0.05", "properties.products.#": "2",
	} {
		if got := gjson.GetBytes(row.Event, path).String(); got != want {
			t.Errorf("%s: got %q, want %q in %s", path, got, want, row.Event)
		}
	}
	if _, err := r.Next(); err == nil || r.Excluded()["nobody's"] != 1 || r.Read() != r.Size() || r.Format() != file.Parquet {
		t.Errorf("at the end: %v, excluded %v, read %d of %d, format %s", err, r.Excluded(), r.Read(), r.Size(), r.Format())
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}
	if _, err := file.Open(path, file.Options{}); err == nil {
		t.Error("without a mapping there is no error")
	}
}

// FuzzParquet: damage is an error, and no panic.
func FuzzParquet(f *testing.F) {
	path := filepath.Join(f.TempDir(), "sold.parquet")
	if err := parquet.WriteFile(path, []sold{{Order: "o"}, {Order: "p"}}); err != nil {
		f.Fatal(err)
	}
	whole, err := os.ReadFile(path)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(whole, 20, byte(7))
	f.Add(whole, len(whole)-40, byte(255))
	f.Add(whole[:len(whole)/2], 0, byte('P'))
	mapping, err := file.ParseMapping([]byte(soldMapping))
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, b []byte, at int, to byte) {
		if len(b) == 0 || len(b) > 1<<16 {
			return
		}
		b[max(at, 0)%len(b)] = to
		path := filepath.Join(t.TempDir(), "x.parquet")
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		r, err := file.Open(path, file.Options{Mapping: mapping})
		if err != nil {
			return
		}
		defer r.Close() //nolint:errcheck // it was only read
		for range 100 {
			if _, err := r.Next(); err != nil {
				return
			}
		}
	})
}
