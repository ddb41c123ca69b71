package destination

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/attune-io/attune/feature"
)

func TestPublic(t *testing.T) {
	for address, want := range map[string]bool{
		"8.8.8.8": true, "93.184.216.34": true, "2606:4700:4700::1111": true, "2001:4860:4860::8888": true,
		"127.0.0.1": false, "127.9.9.9": false, "10.1.2.3": false, "172.16.0.1": false, "172.31.255.255": false, "172.32.0.1": true, "192.168.0.1": false,
		"169.254.169.254": false, "100.64.0.1": false, "0.0.0.0": false, "0.1.2.3": false, "224.0.0.1": false, "255.255.255.255": false, "240.0.0.1": false,
		"198.18.0.1": false, "::": false, "::1": false, "::ffff:127.0.0.1": false, "::ffff:8.8.8.8": true, "::7f00:1": false, "fe80::1": false, "fe80::1%eth0": false,
		"fc00::1": false, "fd12::1": false, "ff02::1": false, "64:ff9b::7f00:1": false, "2002:7f00:1::": false, "2001:0:1::": false, "2001:db8::1": false,
	} {
		if got := Public(netip.MustParseAddr(address)); got != want {
			t.Errorf("%s: got %t, want %t", address, got, want)
		}
	}
	if Public(netip.Addr{}) {
		t.Error("no address is public")
	}
}

func TestValidate(t *testing.T) {
	good := Definition{
		Name: "crm", Kind: KindWebhook, URL: "https://crm.example/hook", Secret: "0123456789abcdef",
		Events: []string{SegmentEntered}, Segments: []string{"vip"}, Headers: map[string]string{"X-Team": "growth"},
	}
	if faults := good.Validate([]string{"vip"}); len(faults) > 0 {
		t.Errorf("a good one: %v", faults)
	}
	for field, change := range map[string]func(d *Definition){
		"name":            func(d *Definition) { d.Name = "../crm" },
		"kind":            func(d *Definition) { d.Kind = "kafka" },
		"url":             func(d *Definition) { d.URL = "http://crm.example" },
		"url ":            func(d *Definition) { d.URL = "https://127.0.0.1/" },
		"url  ":           func(d *Definition) { d.URL = "https://LOCALHOST./"[:17] + "/" },
		"url   ":          func(d *Definition) { d.URL = "https://user:pass@crm.example/" },
		"url    ":         func(d *Definition) { d.URL = "https://" },
		"url     ":        func(d *Definition) { d.URL = "crm.example/hook" },
		"secret":          func(d *Definition) { d.Secret = "short" },
		"secret ":         func(d *Definition) { d.Secret = "whsec_???" },
		"secret  ":        func(d *Definition) { d.Secret = "" },
		"previous_secret": func(d *Definition) { d.PreviousSecret = "short" },
		"events[1]":       func(d *Definition) { d.Events = append(d.Events, "segment.left") },
		"segments[1]":     func(d *Definition) { d.Segments = append(d.Segments, "vips") },
		"headers.a b":     func(d *Definition) { d.Headers = map[string]string{"a b": "x"} },
		"headers.X":       func(d *Definition) { d.Headers = map[string]string{"X": "a\r\nHost: b"} },
		"headers.Host":    func(d *Definition) { d.Headers = map[string]string{"Host": "b"} },
		"timeout":         func(d *Definition) { d.Timeout = feature.Duration(1) },
		"concurrency":     func(d *Definition) { d.Concurrency = -1 },
		"max_pending":     func(d *Definition) { d.MaxPending = 2_000_000 },
		"dead_letters":    func(d *Definition) { d.DeadLetters = -4 },
		"give_up":         func(d *Definition) { d.GiveUp = -1 },
	} {
		d := good
		change(&d)
		faults := d.Validate([]string{"vip"})
		if len(faults) != 1 || faults[0].Field != strings.TrimSpace(field) {
			t.Errorf("%s: got %v", field, faults)
		}
		for _, f := range faults {
			if d.Secret != "" && strings.Contains(f.What, d.Secret) {
				t.Errorf("%s: the fault holds the secret: %s", field, f.What)
			}
		}
	}
}
