package collect_test

import (
	"fmt"
	"net/http"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/tidwall/gjson"

	"github.com/attune-io/attune"
	"github.com/attune-io/attune/collect"
	"github.com/attune-io/attune/collect/plan"
	"github.com/attune-io/attune/collect/transform"
	"github.com/attune-io/attune/rule"
)

// gate makes a gate of transformations and a plan, in YAML; "" is none.
func gate(tb testing.TB, steps, events string) *collect.Gate {
	tb.Helper()
	env, err := rule.New(rule.Names{})
	if err != nil {
		tb.Fatal(err)
	}
	g := &collect.Gate{}
	if steps != "" {
		var list []transform.Step
		if err := yaml.Unmarshal([]byte(steps), &list); err != nil {
			tb.Fatal(err)
		}
		if g.Steps, err = transform.Compile(list, env); err != nil {
			tb.Fatal(err)
		}
	}
	if events != "" {
		d := plan.Definition{Name: "shop"}
		if err := yaml.Unmarshal([]byte(events), &d.Events); err != nil {
			tb.Fatal(err)
		}
		if g.Plan, err = plan.Compile(&d); err != nil {
			tb.Fatal(err)
		}
	}
	return g
}

// behind is a world whose source has g.
func behind(tb testing.TB, g *collect.Gate, change ...func(*collect.Options)) *world {
	tb.Helper()
	return newWorld(tb, append(change, func(o *collect.Options) { setGate(tb, o.Keys, g) })...)
}

func setGate(tb testing.TB, keys *collect.Keys, g *collect.Gate) {
	tb.Helper()
	if err := keys.Set([]collect.Source{{ID: "web", WriteKey: key, Enabled: true, Gate: g}}, []string{secret}); err != nil {
		tb.Fatal(err)
	}
}

func TestTransformations(t *testing.T) {
	for _, tc := range []struct{ name, steps, event, want string }{
		{
			"rename", `[{rename: {properties.sku: properties.product_id, event: properties.was}, set: {event: "'Product Viewed'"}}]`,
			`{"event":"view","properties":{"sku":"p"}}`, `{"event":"Product Viewed","properties":{"product_id":"p","was":"view"}}`,
		},
		{
			"rename what is not there", `[{rename: {properties.sku: properties.product_id}}]`,
			`{"event":"E","properties":{"n":1.50}}`, `{"event":"E","properties":{"n":1.50}}`,
		},
		{
			"map", `[{map: {properties.category: {A: Shoes}, event: {old: New}}}]`,
			`{"event":"old","properties":{"category":"A","x":12345678901234567890}}`, `{"event":"New","properties":{"category":"Shoes","x":12345678901234567890}}`,
		},
		{
			"derive", `[{set: {properties.total: "event.properties.price * event.properties.quantity", properties.kind: "event.properties.price > 100 ? 'dear' : 'cheap'", traits.tags: "['a', lower(event.properties.brand)]", context.copy: event.properties}}]`,
			`{"event":"E","properties":{"price":2.5,"quantity":4,"brand":"ACME"}}`,
			`{"context":{"copy":{"price":2.5,"quantity":4,"brand":"ACME"}},"event":"E","properties":{"brand":"ACME","kind":"cheap","price":2.5,"quantity":4,"total":10},"traits":{"tags":["a","acme"]}}`,
		},
		{
			"null removes", `[{set: {properties.email: "null"}, remove: [context.ip, properties.absent]}]`,
			`{"event":"E","properties":{"email":"x","b":1},"context":{"ip":"1.2.3.4"}}`, `{"context":{},"event":"E","properties":{"b":1}}`,
		},
		{
			"in order, each over the last", `[{set: {properties.a: "1"}}, {set: {properties.b: "event.properties.a + 1"}}, {when: event.properties.b == 2, set: {properties.c: "'yes'"}}]`,
			`{"event":"E"}`, `{"event":"E","properties":{"a":1,"b":2,"c":"yes"}}`,
		},
		{
			"on and when", `[{on: [Other], set: {properties.a: "1"}}, {when: event.properties.x > 1, set: {properties.b: "1"}}, {on: [Product Viewed], set: {properties.c: "1"}}]`,
			`{"event":"Viewed Product"}`, `{"event":"Viewed Product","properties":{"c":1}}`,
		},
		{
			"a failure leaves the event as it was", `[{name: half, rename: {event: properties.was}, set: {properties.x: "event.properties.absent * 2"}}, {set: {properties.y: "1"}}]`,
			`{"event":"E"}`, `{"event":"E","properties":{"y":1}}`,
		},
		{
			"no event is made of it", `[{name: half, set: {event: "7"}}]`,
			`{"event":"E"}`, `{"event":"E"}`,
		},
		{
			"of two members with one name the last counts", `[{remove: [context.ip]}]`,
			`{"event":"E","context":{"ip":"1.2.3.4"},"context":{"ip":"1.2.3.4","a":1}}`, `{"context":{"a":1},"event":"E"}`,
		},
		{
			"ids", `[{set: {userId: event.properties.customer}}]`,
			`{"event":"E","properties":{"customer":"u9"}}`, `{"event":"E","properties":{"customer":"u9"},"userId":"u9"}`,
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := behind(t, gate(t, tc.steps, ""))
			w.post(200, "/v1/track", strings.Replace(tc.event, `{`, `{"anonymousId":"a1",`, 1))
			got := string(w.last().Raw)
			if strings.Contains(tc.steps, "half") {
				failed := gjson.Get(got, "context.transformErrors.0")
				if failed.Get("step").Str != "half" || failed.Get("message").Str == "" {
					t.Errorf("the failure is not said: %s", got)
				}
				got = strings.Replace(got, `"context":{"transformErrors":`+gjson.Get(got, "context.transformErrors").Raw+`},`, "", 1)
				got = strings.Replace(got, `,"context":{"transformErrors":`+gjson.Get(got, "context.transformErrors").Raw+`}`, "", 1)
			}
			got = strings.Replace(strings.Replace(got, `"anonymousId":"a1",`, "", 1), `"type":"track",`, "", 1)
			equal(t, "event", got, tc.want)
		})
	}
}

// TestTransformDrops: an event that is dropped is neither stored nor refused.
func TestTransformDrops(t *testing.T) {
	w := behind(t, gate(t, `[{on: [Heartbeat], drop: true}]`, ""))
	got := w.post(200, "/v1/track", `{"anonymousId":"a1","event":"Heartbeat"}`)
	equal(t, "dropped", got["dropped"], any(1.0))
	got = w.post(200, "/v1/batch", `{"batch":[{"type":"track","anonymousId":"a1","event":"Heartbeat"},{"type":"track","anonymousId":"a1","event":"E"},{"type":"dance"}]}`)
	equal(t, "accepted", got["accepted"], any(1.0))
	equal(t, "rejected", len(got["rejected"].([]any)), 1)
	equal(t, "stored", len(w.j.events(t)), 1)
	equal(t, "dead letters", len(w.c.DeadLetters(10)), 1)
}

// TestTransformFailureIsADeadLetter: where so configured, an event on which a
// transformation fails is refused, as it was sent.
func TestTransformFailureIsADeadLetter(t *testing.T) {
	w := behind(t, gate(t, `[{set: {properties.a: "1"}}, {name: price, set: {properties.x: event.properties.price * 2}, on_error: dead_letter}]`, ""))
	const sent = `{"anonymousId":"a1","event":"E","messageId":"m1","properties":{"price":"cheap"}}`
	w.post(400, "/v1/track", sent)
	dead := w.c.DeadLetters(1)
	if len(dead) != 1 || dead[0].Code != collect.CodeTransform || dead[0].Raw != sent || !strings.Contains(dead[0].Reason, "transformation price: set properties.x:") {
		t.Fatalf("got %+v, want the event as it was sent, and why", dead)
	}
}

// TestTransformIsBounded: a transformation cannot make an event beyond the
// limits, nor one that takes long.
func TestTransformIsBounded(t *testing.T) {
	w := behind(t, gate(t, `
- {name: big, set: {properties.x: 'event.properties.l.map(a, event.properties.l.map(b, "0123456789"))'}}
- {name: slow, set: {properties.y: 'event.properties.l.exists(a, event.properties.l.exists(b, event.properties.l.exists(c, c < 0)))'}}
`, ""), func(o *collect.Options) { o.Limits.EventBytes = 4 << 10 })
	list := strings.Repeat("1,", 150) + "1"
	w.post(200, "/v1/track", `{"anonymousId":"a1","event":"E","properties":{"l":[`+list+`]}}`)
	raw := string(w.last().Raw)
	if n := len(gjson.Get(raw, "context.transformErrors").Array()); n != 2 {
		t.Errorf("%d failures are said, want 2: %s", n, gjson.Get(raw, "context.transformErrors").Raw)
	}
}

func TestPlan(t *testing.T) {
	const events = `{E: {required: [price], properties: {price: {type: number}}}}`
	w := behind(t, gate(t, "", events))
	w.post(200, "/v1/track", `{"anonymousId":"a1","event":"E","properties":{"price":2},"context":{"a":1}}`)
	equal(t, "as planned", string(w.last().Context), `{"a":1}`)
	w.post(200, "/v1/track", `{"anonymousId":"a1","event":"E","properties":{"price":"2"},"context":{"a":1,"violationErrors":[]}}`)
	equal(t, "marked", string(w.last().Context), `{"a":1,"violationErrors":[{"type":"Datatype-Mismatch","property":"price","message":"is string, want number"}]}`)
	for _, context := range []string{``, `,"context":null`, `,"context":{}`} {
		w.post(200, "/v1/track", `{"anonymousId":"a1","event":"F"`+context+`}`)
		equal(t, "marked", gjson.GetBytes(w.last().Context, "violationErrors.0.type").Str, "Unplanned-Event")
	}
	g := gate(t, "", events)
	g.Refuse = true
	w = behind(t, g)
	got := w.post(400, "/v1/track", `{"anonymousId":"a1","event":"E"}`)
	if text := fmt.Sprint(got["error"]); !strings.Contains(text, "Required-Missing: price is missing") {
		t.Errorf("got %s, want what is missing", text)
	}
	equal(t, "code", w.c.DeadLetters(1)[0].Code, collect.CodePlan)
}

// TestRetry: after a fix dead letters come in as if they had come in then, and
// once.
func TestRetry(t *testing.T) {
	broken := `[{set: {properties.x: event.properties.price * 2}, on_error: dead_letter}]`
	w := behind(t, gate(t, broken, ""))
	w.post(400, "/v1/batch", `{"sentAt":"2026-11-20T00:00:01Z","context":{"page":{"path":"/x"},"library":{"name":"analytics.js"}},"batch":[
		{"type":"track","anonymousId":"`+uuid1+`","event":"E","messageId":"m1","originalTimestamp":"2026-11-20T00:00:00Z","visitor_token":"secret"},
		{"type":"track","anonymousId":"`+uuid2+`","event":"E","messageId":"m2","originalTimestamp":"2026-11-20T00:00:00Z"}]}`)
	w.post(400, "/v1/track", `{"event":"No id","messageId":"m3"}`)
	w.post(400, "/v1/batch", `{"batch":`)
	dead := w.c.DeadLetters(10)
	equal(t, "letters", len(dead), 4)
	if strings.Contains(dead[3].Raw, "secret") {
		t.Errorf("a token is in the list: %s", dead[3].Raw)
	}
	retry := func(want int, body string) map[string]any {
		t.Helper()
		return decoded(t, w.do(http.MethodPost, "/v1/dead-letters/retry", body, basic(secret)), want)
	}
	result := func(got map[string]any) string {
		return fmt.Sprint(got["accepted"], got["dropped"], got["rejected"], got["remaining"])
	}
	equal(t, "before the fix", result(retry(200, "")), "0 0 3 0")
	equal(t, "still listed", len(w.c.DeadLetters(10)), 4)

	setGate(t, w.keys, gate(t, `[{on: [Never], drop: true}]`, ""))
	received := w.now
	w.now += 60 * minute
	equal(t, "one", result(retry(200, `{"ids":["`+dead[3].ID+`"]}`)), "1 0 0 0")
	e := w.last()
	if e.MessageID != "m1" || e.ReceivedAt != received || e.Time != received-1000 || !e.Has(attune.Device) || gjson.GetBytes(e.Context, "page.path").Str != "/x" {
		t.Errorf("got %s received %v, happened %v, context %s; want it as it came", e.MessageID, e.ReceivedAt, e.Time, e.Context)
	}
	equal(t, "by reason", result(retry(200, `{"reason":"transform"}`)), "1 0 1 0") // m3 has got as far as that, too
	equal(t, "the others", result(retry(200, "{}")), "0 0 1 0")
	equal(t, "stored", len(w.j.events(t)), 2)
	var outcomes []string
	list, _ := decoded(t, w.do(http.MethodGet, "/v1/dead-letters", "", basic(secret)), 200)["dead_letters"].([]any)
	for _, x := range list {
		d, _ := x.(map[string]any)
		outcomes = append(outcomes, fmt.Sprint(d["messageId"], " ", d["outcome"], " ", d["retryable"]))
	}
	lines(t, outcomes, " <nil> false", "m3 rejected true", "m2 accepted false", "m1 accepted false")
	retry(404, `{"ids":["absent"]}`)
	retry(400, `{"ids":[]}`)
	retry(400, `{"ids":"x"}`)
	retry(400, `{"limit":-1}`)
	decoded(t, w.do(http.MethodPost, "/v1/dead-letters/retry", "", basic(key)), 403)
	decoded(t, w.do(http.MethodPost, "/v1/dead-letters/retry", ""), 401)
}

// TestRetryOfABusyJournal: nothing is lost when the journal has no room.
func TestRetryOfABusyJournal(t *testing.T) {
	g := gate(t, "", `{E: {required: [price]}}`)
	g.Refuse = true
	w := behind(t, g)
	for i := range 3 {
		w.post(400, "/v1/track", fmt.Sprintf(`{"anonymousId":"a1","event":"E","messageId":"m%d"}`, i))
	}
	setGate(t, w.keys, nil)
	w.j.fail = attune.ErrBusy
	decoded(t, w.do(http.MethodPost, "/v1/dead-letters/retry", "", basic(secret)), 503)
	w.j.fail = nil
	got := decoded(t, w.do(http.MethodPost, "/v1/dead-letters/retry", `{"limit":2}`, basic(secret)), 200)
	equal(t, "accepted", got["accepted"], any(2.0))
	equal(t, "remaining", got["remaining"], any(1.0))
	decoded(t, w.do(http.MethodPost, "/v1/dead-letters/retry", "", basic(secret)), 200)
	equal(t, "stored", len(w.j.events(t)), 3)
}

// TestJitsu: what Jitsu's SDK sends in a page and on a server.
func TestJitsu(t *testing.T) {
	w := newWorld(t)
	event := func(env string) string {
		return `{"type":"track","event":"Product Viewed","anonymousId":"` + uuid1 + `","messageId":"m-` + env + `","writeKey":"WRIT:***","properties":{"product_id":"p"},
			"context":{"library":{"name":"@jitsu/js","version":"1.9.0","env":"` + env + `"}}}`
	}
	for _, path := range []string{"/api/s/track", "/api/s/page", "/api/s/identify", "/api/s/group", "/api/s/s2s/track", "/api/s/s2s/page"} {
		got := decoded(t, w.do(http.MethodPost, path, event("browser"), "X-Write-Key: "+key, "Content-Type: application/json"), 200)
		equal(t, path, got["ok"], any(true))
	}
	w.do(http.MethodPost, "/api/s/track", event("browser"), "X-Write-Key: "+key)
	equal(t, "a page's device", w.last().Has(attune.Device), true)
	w.do(http.MethodPost, "/api/s/s2s/track", event("node"), "X-Write-Key: "+key)
	equal(t, "a server's", w.last().Has(attune.Device), false)
	decoded(t, w.do(http.MethodPost, "/api/s/track", event("node")), 401)
}

// atlas is a Geo that knows one address.
type atlas struct{}

func (atlas) Locate(b []byte, a netip.Addr) []byte {
	if a == netip.MustParseAddr("81.2.69.142") {
		b = append(b, `{"city":"London"}`...)
	}
	return b
}

func TestLocation(t *testing.T) {
	page := `"context":{"library":{"name":"analytics.js"}`
	for _, tc := range []struct {
		name, context, forwarded string
		anonymize                bool
		want, ip                 string
	}{
		{"a page behind a proxy", page + `}`, "81.2.69.142", false, "London", ""},
		{"what the sender made up before it", page + `}`, "81.2.69.142, 8.8.8.8", false, "", ""},
		{"internal hops", page + `}`, "8.8.8.8, 81.2.69.142, 10.0.0.1, 192.168.0.9", false, "London", ""},
		{"no address", page + `}`, "unknown", false, "", ""},
		{"a server says its visitor's", `"context":{"ip":"81.2.69.142"}`, "", false, "London", "81.2.69.142"},
		{"and it is not kept", `"context":{"ip":"81.2.69.142"}`, "", true, "London", ""},
		{"a server itself", `"context":{"a":1}`, "81.2.69.142", false, "", ""},
		{"does not want to be located", page + `,"ip":"0.0.0.0"}`, "81.2.69.142", false, "", "0.0.0.0"},
		{"says it itself", page + `,"location":{"city":"York"}}`, "81.2.69.142", false, "York", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := newWorld(t, func(o *collect.Options) { o.Geo, o.TrustProxy, o.AnonymizeIP = atlas{}, true, tc.anonymize })
			w.post(200, "/v1/track", `{"anonymousId":"a1","event":"E",`+tc.context+`}`, "X-Forwarded-For: "+tc.forwarded)
			equal(t, "city", gjson.GetBytes(w.last().Context, "location.city").Str, tc.want)
			equal(t, "ip", gjson.GetBytes(w.last().Context, "ip").Str, tc.ip)
		})
	}
}

// TestAddressOfADeadLetter: where addresses are not kept, what is refused does
// not keep them either.
func TestAddressOfADeadLetter(t *testing.T) {
	w := newWorld(t, func(o *collect.Options) { o.AnonymizeIP = true })
	w.post(400, "/v1/track", `{"event":"E","context":{"ip":"81.2.69.142","a":1}}`)
	equal(t, "raw", w.c.DeadLetters(1)[0].Raw, `{"event":"E","context":{"a":1}}`)
}

func TestRobots(t *testing.T) {
	counts := &counter{}
	w := newWorld(t, func(o *collect.Options) {
		o.Robots = collect.Robots{Agents: []*regexp.Regexp{regexp.MustCompile(`^Monitor/`)}, Networks: []netip.Prefix{netip.MustParsePrefix("9.9.9.0/24")}}
		o.TrustProxy, o.Metrics = true, counts
	})
	for context, want := range map[string]bool{
		`{"userAgent":"Monitor/1.0"}`:                   true,
		`{"userAgent":"` + chrome + `"}`:                false,
		`{"ip":"9.9.9.7","userAgent":"` + chrome + `"}`: true,
		`{"ip":"9.9.8.7"}`:                              false,
		`{"userAgent":"Googlebot/2.1"}`:                 true,
	} {
		w.post(200, "/v1/track", `{"anonymousId":"a1","event":"E","context":`+context+`}`)
		equal(t, context, w.last().Has(attune.Bot), want)
	}
	w.post(200, "/v1/track", `{"anonymousId":"a1","event":"E","context":{"library":{"name":"analytics.js"}}}`, "X-Forwarded-For: 9.9.9.1")
	equal(t, "a page of a robot's network", w.last().Has(attune.Bot), true)
	equal(t, "counted", slices.Index(counts.treated, "web bot 1") >= 0 && len(counts.treated) == 4, true)
}

// counter remembers what it was told of events that were treated.
type counter struct{ treated []string }

func (*counter) Accepted(string, int)         {}
func (*counter) Rejected(string, string, int) {}
func (*counter) Refused(int)                  {}
func (c *counter) Treated(source, what string, n int) {
	c.treated = append(c.treated, fmt.Sprint(source, " ", what, " ", n))
}

// BenchmarkGate is BenchmarkAccept of single events behind a gate.
func BenchmarkGate(b *testing.B) {
	steps := `[{on: [Product Viewed], set: {properties.dear: event.properties.price > 100}}]`
	events := `{Product Viewed: {type: object, required: [product_id], properties: {price: {type: number}}}}`
	for name, g := range map[string]*collect.Gate{"plan": gate(b, "", events), "transform": gate(b, steps, ""), "other": gate(b, `[{on: [Other], drop: true}]`, "")} {
		b.Run(name, func(b *testing.B) {
			w := newWorld(b, func(o *collect.Options) {
				o.Journal = &void{}
				setGate(b, o.Keys, g)
			})
			event := []byte(browserEvent(1))
			b.ReportAllocs()
			for b.Loop() {
				res, err := w.c.Accept(b.Context(), &collect.Batch{Source: "web", Events: [][]byte{event}})
				if err != nil || res.Accepted != 1 {
					b.Fatal(res, err)
				}
			}
		})
	}
}
