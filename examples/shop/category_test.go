package shop_test

import (
	"compress/gzip"
	"encoding/csv"
	"os"
	"slices"
	"testing"

	"github.com/attune-io/attune/examples/shop"
)

func TestCategory(t *testing.T) {
	for description, want := range map[string]string{
		"":                                    "Gifts",
		"?":                                   "Gifts",
		"Manual":                              "Gifts",
		"WHITE HANGING HEART T-LIGHT HOLDER":  "Lighting & Candles",
		"WHITE METAL LANTERN":                 "Lighting & Candles",
		"JUMBO BAG RED RETROSPOT":             "Bags",
		"LUNCH BAG  BLACK SKULL.":             "Bags",
		"LUNCH BOX I LOVE LONDON":             "Kitchen",
		"SET OF 3 CAKE TINS PANTRY DESIGN":    "Kitchen",
		"REGENCY CAKESTAND 3 TIER":            "Kitchen",
		"PARTY BUNTING":                       "Decorations",
		"SPOTTY BUNTING":                      "Decorations",
		"ASSORTED COLOUR BIRD ORNAMENT":       "Decorations",
		"PAPER CHAIN KIT 50'S CHRISTMAS":      "Christmas",
		"CHRISTMAS LIGHTS 10 REINDEER":        "Christmas",
		"ALARM CLOCK BAKELIKE RED":            "Home",
		"HOT WATER BOTTLE KEEP CALM":          "Home",
		"HAND WARMER OWL DESIGN":              "Home",
		"RABBIT NIGHT LIGHT":                  "Lighting & Candles",
		"SMALL POPCORN HOLDER":                "Kitchen",
		"WOODEN PICTURE FRAME WHITE FINISH":   "Home",
		"CREAM HEART CARD HOLDER":             "Stationery",
		"CARD DOLLY GIRL":                     "Stationery",
		"12 PENCILS TALL TUBE SKULLS":         "Stationery",
		"SPACEBOY BIRTHDAY CARD":              "Stationery",
		"TRADITIONAL WOODEN SKIPPING ROPE":    "Toys & Games",
		"JIGSAW TREE WITH BIRDHOUSE":          "Garden",
		"GARDENERS KNEELING PAD KEEP CALM":    "Garden",
		"PLEASE ONE PERSON METAL SIGN":        "Signs",
		"GREEN GLASS BEADED NECKLACE":         "Jewellery",
		"SET OF 2 ROUND TINS DUTCH CHEESE":    "Kitchen",
		"LARGE WHITE HEART OF WICKER":         "Decorations",
		"HAND WARMER UNION JACK":              "Home",
		"BOX OF 6 MINI 50'S CRACKERS":         "Christmas",
		"VINTAGE CHRISTMAS BUNTING":           "Christmas",
		"BABY MOUSE RED GINGHAM DRESS":        "Baby",
		"naïve lantern with \xff broken text": "Lighting & Candles",
	} {
		if got := shop.Category(description); got != want {
			t.Errorf("Category(%q) = %q, want %q", description, got, want)
		}
	}
}

// TestCategoryOfRealDescriptions asks for what the shop needs of the data: at
// least nine lines in ten have a category that says something, and every
// category has something to show.
func TestCategoryOfRealDescriptions(t *testing.T) {
	lines, byCategory := 0, map[string]int{}
	readSlice(t, func(row []string) {
		lines++
		byCategory[shop.Category(row[2])]++
	})
	for _, c := range shop.Categories() {
		t.Logf("%-20s %6d  %4.1f %%", c, byCategory[c], 100*float64(byCategory[c])/float64(lines))
		if byCategory[c] < lines/1000 {
			t.Errorf("%s has %d of %d lines, want one in a thousand", c, byCategory[c], lines)
		}
	}
	if known := lines - byCategory["Gifts"]; known*10 < lines*9 {
		t.Errorf("%d of %d lines have a category, want nine in ten", known, lines)
	}
	for c := range byCategory {
		if !slices.Contains(shop.Categories(), c) {
			t.Errorf("category %q is not in Categories()", c)
		}
	}
}

// readSlice calls fn with every row of the data slice but its head.
func readSlice(t *testing.T, fn func(row []string)) {
	t.Helper()
	f, err := os.Open("data/online-retail-slice.csv.gz")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	rows, err := csv.NewReader(z).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	if got, want := len(rows), 138_845; got != want {
		t.Fatalf("slice has %d rows, want %d", got, want)
	}
	for _, row := range rows[1:] {
		fn(row)
	}
}
