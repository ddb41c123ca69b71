// Package destination sends what Attune found out to other systems: which
// segments people enter and leave, to whatever kind of receiver a Sender speaks
// to.
//
// The journal is the queue. A Runner reads the transitions that are in it, with
// a durable place of its own, so nothing is lost when the process is killed,
// nothing else waits for a receiver that hangs, and a replay of the journal
// sends nothing again. A message is sent at least once, always with the same
// ID; after a kill what was sent within the last moments is sent again. The
// messages of a person go in the order of the journal: one that fails holds up
// the later ones of the same person and nobody else's. What can never be sent
// becomes a dead letter, of which the newest are kept.
//
// The package knows no protocol: destination/webhook is one.
package destination

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/attune-io/attune"
	"github.com/attune-io/attune/feature"
)

// The types of messages.
const (
	SegmentEntered = "segment.entered"
	SegmentExited  = "segment.exited"
)

// KindWebhook is a destination that takes signed HTTP requests.
const KindWebhook = "webhook"

// Definition is a destination as configuration declares it.
type Definition struct {
	// Name is what the API, the metrics and the files of its place call it.
	Name string `yaml:"name" json:"name"`
	Kind string `yaml:"kind" json:"kind"`
	// Enabled is nil for true. One that is off keeps its place in the journal.
	Enabled *bool `yaml:"enabled" json:"enabled,omitempty"`
	// Events are the types of messages it gets; none is all.
	Events []string `yaml:"events" json:"events,omitempty"`
	// Segments are those whose changes it gets; none is all.
	Segments []string `yaml:"segments" json:"segments,omitempty"`

	URL string `yaml:"url" json:"url"`
	// Secret signs: "whsec_" and base64, or a text of any form.
	Secret string `yaml:"secret" json:"secret"`
	// PreviousSecret signs too, while receivers change over; "" is none.
	PreviousSecret string            `yaml:"previous_secret" json:"previous_secret,omitempty"`
	Headers        map[string]string `yaml:"headers"         json:"headers,omitempty"`
	// AllowPrivate allows plain http, and addresses of this machine and of
	// private networks.
	AllowPrivate bool `yaml:"allow_private" json:"allow_private,omitempty"`

	Timeout     feature.Duration `yaml:"timeout"     json:"timeout,omitempty"`     // of one attempt; 0 is 10s
	Concurrency int              `yaml:"concurrency" json:"concurrency,omitempty"` // attempts at once; 0 is 8
	// MaxPending bounds the messages in memory; what is behind them waits in
	// the journal. 0 is 10,000.
	MaxPending int `yaml:"max_pending" json:"max_pending,omitempty"`
	// GiveUp is how long a message is tried before it is a dead letter; 0 is 3d.
	GiveUp feature.Duration `yaml:"give_up" json:"give_up,omitempty"`
	// DeadLetters bounds those that are kept; 0 is 1,000.
	DeadLetters int `yaml:"dead_letters" json:"dead_letters,omitempty"`
}

// On reports whether d is enabled.
func (d *Definition) On() bool { return d.Enabled == nil || *d.Enabled }

// Filled returns d with the defaults in the place of zeros.
func (d *Definition) Filled() Definition {
	out := *d
	if out.Timeout == 0 {
		out.Timeout = feature.Duration(10 * time.Second)
	}
	if out.Concurrency == 0 {
		out.Concurrency = 8
	}
	if out.MaxPending == 0 {
		out.MaxPending = 10_000
	}
	if out.GiveUp == 0 {
		out.GiveUp = feature.Duration(72 * time.Hour)
	}
	if out.DeadLetters == 0 {
		out.DeadLetters = 1000
	}
	return out
}

// Message is one thing to send. It does not change once it is made.
type Message struct {
	// ID is the same whenever this message is sent.
	ID   string
	Type string
	// Person is the routing id of whom it is about: her messages keep their
	// order.
	Person string
	Time   attune.Millis // when it happened
	Body   []byte        // JSON
}

// Sender speaks to one receiver. Several goroutines call Send at once.
type Sender interface {
	// Send returns nil when the receiver has taken m. A *Failure says more of
	// what went wrong; any other error is worth another attempt. It returns
	// soon after ctx ends.
	Send(ctx context.Context, m *Message) error
}

// Failure is why a message was not taken.
type Failure struct {
	Reason string
	Status int // of HTTP; 0 is none
	// Final means that another attempt would fail too.
	Final bool
	// After is how long the receiver asked to wait; 0 is nothing said.
	After time.Duration
	// Everyone means that After is about all messages, not this one.
	Everyone bool
}

// Error returns the reason.
func (f *Failure) Error() string { return f.Reason }

// body is what every message looks like, as Standard Webhooks has it.
type body struct {
	Type      string `json:"type"`
	Timestamp string `json:"timestamp"`
	Data      data   `json:"data"`
}

type data struct {
	UserID  string `json:"user_id"`
	Segment string `json:"segment"`
}

// messageOf returns the message of a journaled transition.
func messageOf(r *attune.Record, t *attune.Transition) (*Message, error) {
	m := &Message{ID: t.ID, Type: SegmentExited, Person: r.Key, Time: r.Time}
	if t.Entered {
		m.Type = SegmentEntered
	}
	if m.ID == "" { // older builds gave none
		m.ID = fmt.Sprintf("%016x", attune.Hash(fmt.Sprintf("%q %q %t %d", t.UserID, t.Segment, t.Entered, r.Offset)))
	}
	var err error
	m.Body, err = json.Marshal(body{Type: m.Type, Timestamp: r.Time.String(), Data: data{UserID: t.UserID, Segment: t.Segment}})
	return m, err
}

// wants reports whether d is to get the transition.
func (d *Definition) wants(t *attune.Transition) bool {
	kind := SegmentExited
	if t.Entered {
		kind = SegmentEntered
	}
	return (len(d.Events) == 0 || slices.Contains(d.Events, kind)) &&
		(len(d.Segments) == 0 || slices.Contains(d.Segments, t.Segment))
}

// minSecret is the shortest key that is accepted, in bytes.
const minSecret = 16

// Fault is one thing that is wrong with a definition.
type Fault struct {
	Field string
	What  string
	// Near is what was probably meant, of Known; Known may be nil.
	Got   string
	Known []string
}

// Validate returns everything that is wrong with d. Values that still take
// something from the environment, as ${NAME}, are not looked at.
func (d *Definition) Validate(segments []string) []Fault {
	var out []Fault
	fault := func(field, format string, args ...any) {
		out = append(out, Fault{Field: field, What: fmt.Sprintf(format, args...)})
	}
	if !goodName(d.Name) {
		fault("name", "%q: want 1 to 64 letters, digits, - and _", d.Name)
	}
	if d.Kind != KindWebhook {
		out = append(out, Fault{Field: "kind", What: fmt.Sprintf("unknown value %q; want %s", d.Kind, KindWebhook), Got: d.Kind, Known: []string{KindWebhook}})
	}
	if why := d.address(); why != "" {
		fault("url", "%s", why)
	}
	if why := goodSecret(d.Secret); why != "" {
		fault("secret", "%s", why)
	}
	if d.PreviousSecret != "" {
		if why := goodSecret(d.PreviousSecret); why != "" {
			fault("previous_secret", "%s", why)
		}
	}
	types := []string{SegmentEntered, SegmentExited}
	for i, e := range d.Events {
		if !slices.Contains(types, e) {
			out = append(out, Fault{Field: fmt.Sprintf("events[%d]", i), What: fmt.Sprintf("unknown event %q", e), Got: e, Known: types})
		}
	}
	for i, s := range d.Segments {
		if !slices.Contains(segments, s) {
			out = append(out, Fault{Field: fmt.Sprintf("segments[%d]", i), What: fmt.Sprintf("unknown segment %q", s), Got: s, Known: segments})
		}
	}
	return append(out, d.bounds()...)
}

// bounds checks headers and numbers.
func (d *Definition) bounds() []Fault {
	var out []Fault
	fault := func(field, format string, args ...any) {
		out = append(out, Fault{Field: field, What: fmt.Sprintf(format, args...)})
	}
	names := make([]string, 0, len(d.Headers))
	for name := range d.Headers {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		switch {
		case !headerName(name) || strings.ContainsFunc(d.Headers[name], func(c rune) bool { return c < ' ' && c != '\t' || c == 0x7f }):
			fault("headers."+name, "is no header of HTTP")
		case reserved(name):
			fault("headers."+name, "is set by Attune itself; use another name")
		}
	}
	within := func(field string, v, low, high int) {
		if v != 0 && (v < low || v > high) {
			fault(field, "%d: want %d to %d", v, low, high)
		}
	}
	within("concurrency", d.Concurrency, 1, 256)
	within("max_pending", d.MaxPending, 1, 1_000_000)
	within("dead_letters", d.DeadLetters, 1, 100_000)
	if t := time.Duration(d.Timeout); t != 0 && (t < 100*time.Millisecond || t > 5*time.Minute) {
		fault("timeout", "%s: want 100ms to 5m", d.Timeout)
	}
	if t := time.Duration(d.GiveUp); t < 0 || t > 30*24*time.Hour {
		fault("give_up", "%s: want at most 30d", d.GiveUp)
	}
	return out
}

// reserved reports whether a header is not the configuration's to set.
func reserved(name string) bool {
	switch name = http.CanonicalHeaderKey(name); name {
	case "Host", "Content-Length", "Content-Type", "Transfer-Encoding", "Connection", "User-Agent":
		return true
	default:
		return strings.HasPrefix(name, "Webhook-") || strings.HasPrefix(name, "Attune-")
	}
}

// headerName reports whether name is a token of RFC 9110.
func headerName(name string) bool {
	return name != "" && !strings.ContainsFunc(name, func(c rune) bool {
		return c <= ' ' || c >= 0x7f || strings.ContainsRune(`"(),/:;<=>?@[\]{}`, c)
	})
}

func goodName(name string) bool {
	if name == "" || len(name) > 64 {
		return false
	}
	for _, c := range name {
		if c != '_' && c != '-' && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') {
			return false
		}
	}
	return true
}

// goodSecret returns what is wrong with a secret, or "". It never repeats it.
func goodSecret(s string) string {
	switch key, err := Key(s); {
	case strings.Contains(s, "${"):
		return ""
	case s == "":
		return "is empty: whatever receives could not tell who sent; give one of at least 16 bytes"
	case err != nil:
		return "begins with whsec_, and what follows is not base64"
	case len(key) < minSecret:
		return fmt.Sprintf("has %d bytes, which can be guessed; want at least %d", len(key), minSecret)
	}
	return ""
}

// address returns what is wrong with the URL, or "".
func (d *Definition) address() string {
	if strings.Contains(d.URL, "${") {
		return ""
	}
	u, err := url.Parse(d.URL)
	if err != nil || u.Host == "" || u.Hostname() == "" || u.Scheme != "https" && u.Scheme != "http" {
		return "want an address like https://crm.example/hooks/attune"
	}
	if u.User != nil {
		return "has a user in it; put credentials into headers"
	}
	if u.Fragment != "" {
		return "has a fragment (#), which is never sent"
	}
	if d.AllowPrivate {
		return ""
	}
	if u.Scheme == "http" {
		return "is plain http, which anybody on the way reads; use https, or set allow_private: true for a receiver of your own network"
	}
	host := strings.ToLower(u.Hostname())
	ip, err := netip.ParseAddr(host)
	if err == nil && !Public(ip) || host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return "is an address of this machine or of a private network; set allow_private: true if that is meant"
	}
	return ""
}
