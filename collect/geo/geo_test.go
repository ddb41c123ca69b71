package geo_test

import (
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/maxmind/mmdbwriter"
	"github.com/maxmind/mmdbwriter/mmdbtype"

	"github.com/attune-io/attune"
	"github.com/attune-io/attune/collect/geo"
)

// write writes a database in which 81.2.69.0/24 and 2a02:ff80::/32 are in city.
func write(t *testing.T, path, city string) {
	t.Helper()
	w, err := mmdbwriter.New(mmdbwriter.Options{DatabaseType: "Test-City", RecordSize: 24})
	if err != nil {
		t.Fatal(err)
	}
	names := func(s string) mmdbtype.Map { return mmdbtype.Map{"en": mmdbtype.String(s)} }
	entry := mmdbtype.Map{
		"country":      mmdbtype.Map{"iso_code": mmdbtype.String("GB"), "names": names("United Kingdom")},
		"subdivisions": mmdbtype.Slice{mmdbtype.Map{"iso_code": mmdbtype.String("ENG"), "names": names("England")}},
		"city":         mmdbtype.Map{"names": names(city)},
		"location":     mmdbtype.Map{"latitude": mmdbtype.Float64(51.5142), "longitude": mmdbtype.Float64(-0.0931), "time_zone": mmdbtype.String("Europe/London")},
	}
	for _, p := range []string{"81.2.69.0/24", "2a02:ff80::/32"} {
		if err := w.InsertRange(first(p), last(p), entry); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.InsertRange(first("89.160.20.0/24"), last("89.160.20.0/24"), mmdbtype.Map{"country": mmdbtype.Map{"iso_code": mmdbtype.String("SE")}}); err != nil {
		t.Fatal(err)
	}
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.WriteTo(f); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

func first(prefix string) []byte { return netip.MustParsePrefix(prefix).Addr().AsSlice() }

func last(prefix string) []byte {
	p := netip.MustParsePrefix(prefix)
	b := p.Addr().AsSlice()
	for i := p.Bits(); i < 8*len(b); i++ {
		b[i/8] |= 1 << (7 - i%8)
	}
	return b
}

func TestLocate(t *testing.T) {
	path := filepath.Join(t.TempDir(), "city.mmdb")
	write(t, path, "London")
	p, err := geo.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	london := `{"country":"United Kingdom","country_code":"GB","region":"England","region_code":"ENG","city":"London","timezone":"Europe/London","latitude":51.5,"longitude":-0.1}`
	for address, want := range map[string]string{
		"81.2.69.142":          london,
		"::ffff:81.2.69.142":   london,
		"2a02:ff80::1":         london,
		"89.160.20.112":        `{"country_code":"SE"}`,
		"8.8.8.8":              "",
		"127.0.0.1":            "",
		"192.168.1.7":          "",
		"fe80::1%eth0":         "",
		"2a02:ff81:1::":        "",
		"255.255.255.255":      "",
		"0.0.0.0":              "",
		"2001:db8:ffff:ffff::": "",
	} {
		if got := string(p.Locate(nil, netip.MustParseAddr(address))); got != want {
			t.Errorf("%s: got %s, want %s", address, got, want)
		}
	}
	if got := p.Locate(nil, netip.Addr{}); len(got) != 0 {
		t.Errorf("no address: got %s", got)
	}
}

// TestRefresh: a file that is replaced is read again, and one that is broken
// leaves the old one in place.
func TestRefresh(t *testing.T) {
	path := filepath.Join(t.TempDir(), "city.mmdb")
	write(t, path, "London")
	p, err := geo.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	city := func() string { return string(p.Locate(nil, netip.MustParseAddr("81.2.69.1"))) }
	if changed, err := p.Refresh(); changed || err != nil {
		t.Errorf("an unchanged file: got %v %v, want false", changed, err)
	}
	old := city()
	write(t, path, "Leeds")
	if changed, err := p.Refresh(); !changed || err != nil || city() == old {
		t.Errorf("a new file: got %v %v, %s", changed, err, city())
	}
	now := city()
	if err := os.WriteFile(path, []byte("no database"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Refresh(); !errors.Is(err, attune.ErrInvalid) || city() != now {
		t.Errorf("a broken file: got %v, %s, want an error and %s", err, city(), now)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Refresh(); !errors.Is(err, os.ErrNotExist) || city() != now {
		t.Errorf("no file: got %v, %s, want an error and %s", err, city(), now)
	}
	write(t, path, "York")
	if err := os.Chtimes(path, time.Time{}, time.Unix(1, 0)); err != nil {
		t.Fatal(err)
	}
	if changed, err := p.Refresh(); !changed || err != nil {
		t.Errorf("a file with an older date: got %v %v, want it read", changed, err)
	}
}

func TestOpenNothing(t *testing.T) {
	if _, err := geo.Open(filepath.Join(t.TempDir(), "absent.mmdb")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v, want that it is not there", err)
	}
}
