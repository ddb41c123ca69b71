package shop_test

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"io/fs"
	"os"
	"strings"
	"testing"

	"github.com/attune-io/attune/examples/shop"
)

func FuzzCover(f *testing.F) {
	f.Add("85123A", "WHITE HANGING HEART T-LIGHT HOLDER", "Lighting & Candles")
	f.Add("", "", "")
	f.Add("<x>", "</text><script>alert(1)</script> & \x00\x01\xff\ufffe", "\"'<>")
	f.Add("1", strings.Repeat("WWWW ", 200), "Bags")
	f.Add("2", strings.Repeat("数", 300), "Nowhere")
	f.Fuzz(func(t *testing.T, id, name, category string) {
		got := shop.Cover(id, name, category)
		if again := shop.Cover(id, name, category); !bytes.Equal(got, again) {
			t.Fatalf("Cover(%q, %q, %q) differs between two calls", id, name, category)
		}
		d := xml.NewDecoder(bytes.NewReader(got))
		for {
			tok, err := d.Token()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatalf("Cover(%q, %q, %q) is not XML: %v\n%s", id, name, category, err, got)
			}
			if el, ok := tok.(xml.StartElement); ok {
				switch el.Name.Local {
				case "text", "script", "image", "a", "use", "foreignObject":
					t.Fatalf("Cover(%q, %q, %q) has a <%s>", id, name, category, el.Name.Local)
				}
			}
		}
	})
}

func TestCoverTellsItemsApart(t *testing.T) {
	a := shop.Cover("1", "RED RETROSPOT MUG", "Kitchen")
	for _, other := range [][3]string{{"2", "BLUE RETROSPOT MUG", "Kitchen"}, {"1", "RED RETROSPOT BAG", "Bags"}, {"1", "RED MUG", "Kitchen"}} {
		if bytes.Equal(a, shop.Cover(other[0], other[1], other[2])) {
			t.Errorf("%v has the cover of RED RETROSPOT MUG", other)
		}
	}
	for _, want := range []string{"url(#p)", "#c8403f", "<title>RED RETROSPOT MUG</title>"} {
		if !bytes.Contains(a, []byte(want)) {
			t.Errorf("cover of RED RETROSPOT MUG lacks %s", want)
		}
	}
}

// TestEveryMotifIsUsed draws the whole slice: each motif has an item, and each
// item a motif.
func TestEveryMotifIsUsed(t *testing.T) {
	var all []byte
	seen := map[string]bool{}
	readSlice(t, func(row []string) {
		if seen[row[2]] {
			return
		}
		seen[row[2]] = true
		cover := shop.Cover(row[1], row[2], shop.Category(row[2]))
		if !bytes.Contains(cover, []byte(`class="`)) {
			t.Errorf("%q has no motif", row[2])
		}
		all = append(all, cover...)
	})
	files, err := fs.Glob(os.DirFS("motif"), "*.svg")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		drawing, err := os.ReadFile("motif/" + f)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Contains(all, bytes.TrimSpace(drawing)) {
			t.Errorf("no item of the slice has the motif %s", f)
		}
	}
}

func TestCoverURL(t *testing.T) {
	got := shop.CoverURL("/shop/", "A/1", "TEA & CAKE", "Lighting & Candles")
	if want := "/shop/cover/A%2F1.svg?category=Lighting+%26+Candles&name=TEA+%26+CAKE"; got != want {
		t.Errorf("CoverURL = %s, want %s", got, want)
	}
}
