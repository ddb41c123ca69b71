package config

import (
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/attune-io/attune/feature"
)

// What becomes of items that left a feed.
const (
	GoneOutOfStock = "out_of_stock"
	GoneDelete     = "delete"
	GoneKeep       = "keep"
)

// Feed is a list of all a shop's items that is read again and again.
type Feed struct {
	Name string `yaml:"name" json:"name"`
	// URL or File is where it is.
	URL  string `yaml:"url"  json:"url,omitempty"`
	File string `yaml:"file" json:"file,omitempty"`
	// Format is google-merchant or shopify.
	Format string `yaml:"format" json:"format"`
	// Every is the pause between two readings; 0 is an hour.
	Every feature.Duration `yaml:"every" json:"every,omitempty"`
	// Gone says what becomes of items that left it; "" is out_of_stock.
	Gone string `yaml:"gone" json:"gone,omitempty"`
}

// Pause returns the time between two readings.
func (f *Feed) Pause() time.Duration {
	if f.Every <= 0 {
		return time.Hour
	}
	return time.Duration(f.Every)
}

const maxFeeds = 50

func (v *validation) feeds() {
	if n := len(v.c.Feeds); n > maxFeeds {
		v.fault("feeds", "there are %d; want at most %d", n, maxFeeds)
		return
	}
	first := map[string]int{}
	for i := range v.c.Feeds {
		f, path := &v.c.Feeds[i], fmt.Sprintf("feeds[%d]", i)
		if f.Name == "" || len(f.Name) > 100 || strings.Trim(f.Name, "abcdefghijklmnopqrstuvwxyz0123456789-_") != "" {
			v.fault(path+".name", "%q: want small letters, digits, - and _, at most 100", f.Name)
		} else if j, twice := first[f.Name]; twice {
			v.fault(path+".name", "feed %q is there twice, also as feeds[%d]", f.Name, j)
		}
		first[f.Name] = i
		switch u, err := url.Parse(f.URL); {
		case f.URL == "" && f.File == "":
			v.fault(path+".url", "is missing; give url or file")
		case f.URL != "" && f.File != "":
			v.fault(path+".file", "is given beside url; give one of the two")
		case f.URL != "" && (err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https"):
			v.fault(path+".url", "want an address, as https://shop.example/feed.xml")
		}
		v.oneOf(path+".format", f.Format, "google-merchant", "shopify")
		if f.Gone != "" {
			v.oneOf(path+".gone", f.Gone, GoneOutOfStock, GoneDelete, GoneKeep)
		}
		if f.Every != 0 && time.Duration(f.Every) < time.Minute {
			v.fault(path+".every", "%s: want at least 1m", time.Duration(f.Every))
		}
	}
}
