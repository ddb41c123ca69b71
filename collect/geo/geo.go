// Package geo says where an internet address is, from a database in MaxMind's
// format (MMDB, such as GeoLite2 City or DB-IP Lite).
//
// The file is read into memory, so whoever replaces it, in whatever way, takes
// nothing away from a lookup; Refresh reads it again when it has changed, and
// keeps the old one when the new one does not read. What is said is coarse:
// places, and coordinates to a tenth of a degree. The address itself is neither
// kept nor said. The package knows nothing of who asks.
package geo

import (
	"fmt"
	"math"
	"net/netip"
	"os"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/oschwald/maxminddb-golang/v2"
	"github.com/tidwall/gjson"

	"github.com/attune-io/attune"
)

// MaxBytes is the largest database that is read: all of it is in memory.
const MaxBytes = 1 << 30

// Places is an open database. Any number of goroutines may call Locate at once;
// one at a time may call Refresh.
type Places struct {
	path string
	now  atomic.Pointer[loaded]
}

type loaded struct {
	db   *maxminddb.Reader
	at   time.Time // of the file's last change
	size int64
}

// Open reads the database at path.
func Open(path string) (*Places, error) {
	p := &Places{path: path}
	if _, err := p.Refresh(); err != nil {
		return nil, err
	}
	return p, nil
}

// Refresh reads the file again when it has changed, and reports whether it did.
// On an error the old database stays.
func (p *Places) Refresh() (bool, error) {
	info, err := os.Stat(p.path)
	if err != nil {
		return false, fmt.Errorf("geo database: %w", err)
	}
	if old := p.now.Load(); old != nil && old.at.Equal(info.ModTime()) && old.size == info.Size() {
		return false, nil
	}
	if info.Size() > MaxBytes {
		return false, fmt.Errorf("geo database %s: has %d bytes; at most %d are read: %w", p.path, info.Size(), int64(MaxBytes), attune.ErrInvalid)
	}
	text, err := os.ReadFile(p.path)
	if err != nil {
		return false, fmt.Errorf("geo database: %w", err)
	}
	db, err := maxminddb.OpenBytes(text)
	if err != nil {
		return false, fmt.Errorf("geo database %s: %w; want a file in MaxMind's format (.mmdb) with cities or countries: %w", p.path, err, attune.ErrInvalid)
	}
	p.now.Store(&loaded{db: db, at: info.ModTime(), size: info.Size()})
	return true, nil
}

// record is what is read of an entry.
type record struct {
	Country  place   `maxminddb:"country"`
	Regions  []place `maxminddb:"subdivisions"`
	City     place   `maxminddb:"city"`
	Location struct {
		Latitude  *float64 `maxminddb:"latitude"`
		Longitude *float64 `maxminddb:"longitude"`
		Zone      string   `maxminddb:"time_zone"`
	} `maxminddb:"location"`
}

type place struct {
	Code  string `maxminddb:"iso_code"`
	Names struct {
		English string `maxminddb:"en"`
	} `maxminddb:"names"`
}

// Locate appends where a is as a JSON object to b, or nothing when that is not
// known:
//
//	{"country","country_code","region","region_code","city","latitude","longitude","timezone"}
//
// Members without a value are absent; names are English, codes ISO 3166.
func (p *Places) Locate(b []byte, a netip.Addr) []byte {
	if !a.IsValid() || a.IsPrivate() || a.IsLoopback() {
		return b
	}
	var r record
	if err := p.now.Load().db.Lookup(a.Unmap()).Decode(&r); err != nil {
		return b // an entry that is not as it should be says nothing
	}
	var region place
	if len(r.Regions) > 0 {
		region = r.Regions[0]
	}
	start := len(b)
	for _, m := range [...]struct{ name, value string }{
		{"country", r.Country.Names.English},
		{"country_code", r.Country.Code},
		{"region", region.Names.English},
		{"region_code", region.Code},
		{"city", r.City.Names.English},
		{"timezone", r.Location.Zone},
	} {
		if m.value != "" {
			b = gjson.AppendJSONString(member(b, start, m.name), m.value)
		}
	}
	if x, y := r.Location.Latitude, r.Location.Longitude; x != nil && y != nil && len(b) > start {
		b = strconv.AppendFloat(member(b, start, "latitude"), coarse(*x), 'f', -1, 64)
		b = strconv.AppendFloat(member(b, start, "longitude"), coarse(*y), 'f', -1, 64)
	}
	if len(b) > start {
		b = append(b, '}')
	}
	return b
}

// member begins a member of the object that starts at start.
func member(b []byte, start int, name string) []byte {
	if len(b) == start {
		b = append(b, '{')
	} else {
		b = append(b, ',')
	}
	b = append(b, '"')
	b = append(b, name...)
	return append(b, '"', ':')
}

// coarse is x to a tenth of a degree, about 11 km.
func coarse(x float64) float64 { return math.Round(x*10) / 10 }
