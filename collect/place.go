package collect

import (
	"bytes"
	"net/http"
	"net/netip"
	"regexp"
	"slices"
	"strings"

	"github.com/tidwall/sjson"
)

// Geo says where an address is: Locate appends a JSON object to b, or nothing
// when it is not known. Any number of goroutines may ask at once. geo.Places is
// one.
type Geo interface {
	Locate(b []byte, a netip.Addr) []byte
}

// Robots are senders taken for robots beside those whose user agent says so.
type Robots struct {
	Agents   []*regexp.Regexp // of user agents
	Networks []netip.Prefix   // of addresses
}

// robot reports whether a is the address of one.
func (r *Robots) robot(a netip.Addr) bool {
	return a.IsValid() && slices.ContainsFunc(r.Networks, func(p netip.Prefix) bool { return p.Contains(a) })
}

// agent reports whether text is the user agent of one.
func (r *Robots) agent(text string) bool {
	return slices.ContainsFunc(r.Agents, func(x *regexp.Regexp) bool { return x.MatchString(text) })
}

// addressed reports whether anybody asks for addresses.
func (c *Collector) addressed() bool { return c.o.Geo != nil || len(c.o.Robots.Networks) > 0 }

// Address returns the address a request came from; the zero Addr when nobody
// asks. Behind proxies it is the last of X-Forwarded-For that is not of an
// internal network: what stands before it the sender may have made up.
func (c *Collector) Address(r *http.Request) netip.Addr {
	if !c.addressed() {
		return netip.Addr{}
	}
	if c.o.TrustProxy {
		list := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
		for _, text := range slices.Backward(list) {
			a := addressOf(text)
			if !a.IsValid() {
				break
			}
			if !a.IsPrivate() && !a.IsLoopback() && !a.IsLinkLocalUnicast() {
				return a
			}
		}
	}
	return addressOf(r.RemoteAddr)
}

// addressOf reads an address, with or without a port; the zero Addr when it is
// none.
func addressOf(text string) netip.Addr {
	text = strings.TrimSpace(text)
	if a, err := netip.ParseAddr(text); err == nil {
		return a.Unmap().WithZone("")
	}
	if p, err := netip.ParseAddrPort(text); err == nil {
		return p.Addr().Unmap().WithZone("")
	}
	return netip.Addr{}
}

// whence returns the address that the event in d came from: a device's is that
// of its request; a server says its visitor's in context.ip. 0.0.0.0, there,
// asks not to be located.
func (d *draft) whence(b *Batch) netip.Addr {
	said := netip.Addr{}
	if d.ip != "" {
		if said = addressOf(d.ip); said.IsUnspecified() {
			return netip.Addr{}
		}
	}
	if b.Address.IsValid() && d.isDevice() {
		return b.Address
	}
	return said
}

// locate puts where the event in w.d came from into context.location, unless
// it says so itself, and takes its address out when addresses are not kept.
func (c *Collector) locate(w *work, b *Batch) fault {
	d := &w.d
	raw, same := d.e.Raw, true
	if location := c.locationOf(w, b); len(location) > 0 {
		if next := mergeMember(raw, d.text, "context", `{"location":`+string(location)+`}`); next != nil {
			raw, same = next, false
		}
	}
	if c.o.AnonymizeIP && d.ip != "" {
		raw, same = withoutAddress(raw), false
	}
	if same {
		return fault{}
	}
	ip := d.ip
	f := d.read(raw, string(raw), b.Type, &c.o.Consent)
	d.ip = ip // for robots
	return f
}

// locationOf returns where the event in w.d came from, good until the next call;
// nothing when that is not known. Neighbours often share an address.
func (c *Collector) locationOf(w *work, b *Batch) []byte {
	if c.o.Geo == nil {
		return nil
	}
	a := w.d.whence(b)
	if !a.IsValid() {
		return nil
	}
	if a != w.at {
		w.at, w.location = a, c.o.Geo.Locate(w.location[:0], a)
	}
	return w.location
}

// withoutAddress returns raw without context.ip.
func withoutAddress(raw []byte) []byte {
	for bytes.Contains(raw, []byte(`"ip"`)) {
		next, err := sjson.DeleteBytes(raw, "context.ip")
		if err != nil || len(next) >= len(raw) {
			break
		}
		raw = next
	}
	return raw
}

// isRobot reports whether the event in d is of a robot by its address.
func (c *Collector) isRobot(d *draft, b *Batch) bool {
	return len(c.o.Robots.Networks) > 0 && c.o.Robots.robot(d.whence(b))
}
