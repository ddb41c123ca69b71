package collect_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/attune-io/attune"
	"github.com/attune-io/attune/collect"
	"github.com/attune-io/attune/identity"
	"github.com/attune-io/attune/journal"
)

// accept sends one event by the Go call.
func (w *world) accept(b collect.Batch, events ...string) collect.Result {
	w.t.Helper()
	for _, e := range events {
		b.Events = append(b.Events, []byte(e))
	}
	if b.Source == "" {
		b.Source = "web"
	}
	res, err := w.c.Accept(context.Background(), &b)
	if err != nil {
		w.t.Fatal(err)
	}
	return res
}

// device is a browser's event with these members.
func device(members string) string {
	return `{"type":"track","event":"x",` + members + `,"context":{"library":{"name":"analytics.js"}}}`
}

const web = `"anonymousId":"` + uuid1 + `"`

func server() collect.Batch { return collect.Batch{Rank: attune.Server, Verified: true} }

// TestRecords: what one event brings into the journal, and in which order.
func TestRecords(t *testing.T) {
	link := func(user, dev string) string { return `link u:` + user + ` {"anonymous_id":"` + dev + `"}` }
	sure := func(user, dev string) string {
		return `link u:` + user + ` {"anonymous_id":"` + dev + `","verified":true}`
	}
	claim := func(dev, user, id string) string {
		return `claim a:` + dev + ` {"user_id":"` + user + `","message_id":"` + id + `"}`
	}
	edge := func(key, from, to, id string) string {
		return `edge u:` + key + ` {"from":"` + from + `","to":"` + to + `","message_id":"` + id + `"}`
	}
	for _, c := range []struct {
		name   string
		batch  collect.Batch
		event  string
		strict bool
		want   []string
	}{
		{name: "a device", event: device(web), want: []string{"event a:" + uuid1}},
		{name: "a device with a user", event: device(web + `,"userId":"u1"`), want: []string{link("u1", uuid1), "event a:" + uuid1}},
		{name: "a device with a user, verified links only", strict: true, event: device(web + `,"userId":"u1"`), want: []string{"event a:" + uuid1}},
		{name: "a device whose id anybody could guess", event: device(`"anonymousId":"d1","userId":"u1"`), want: []string{"event a:d1"}},
		{name: "a proven device", strict: true, batch: collect.Batch{Device: "d1"}, event: device(`"anonymousId":"d1","userId":"u1"`), want: []string{sure("u1", "d1"), "event a:d1"}},
		{name: "another device proven", batch: collect.Batch{Device: "d2"}, event: device(`"anonymousId":"d1","userId":"u1"`), want: []string{"event a:d1"}},
		{name: "a proven user", strict: true, batch: collect.Batch{Users: []string{"u1"}}, event: device(web + `,"userId":"u1"`), want: []string{sure("u1", uuid1), "event a:" + uuid1}},
		{name: "a proven user on a device anybody could guess", batch: collect.Batch{Users: []string{"u1"}}, event: device(`"anonymousId":"d1","userId":"u1"`), want: []string{"event a:d1"}},
		{name: "a device's event under the secret", batch: server(), event: device(web + `,"userId":"u1"`), want: []string{sure("u1", uuid1), "event a:" + uuid1}},
		{name: "no device, public", event: `{"type":"track","event":"x","messageId":"m","anonymousId":"` + uuid1 + `","userId":"u1"}`, want: []string{"event u:u1"}},
		{
			name: "a server names a device", batch: server(), event: `{"type":"identify","messageId":"m","anonymousId":"d1","userId":"u1"}`,
			want: []string{claim("d1", "u1", "m"), sure("u1", "d1"), "event u:u1"},
		},
		{
			name: "a library that invents devices", batch: server(),
			event: `{"type":"identify","messageId":"m","anonymousId":"` + uuid1 + `","userId":"u1","channel":"server","context":{"library":{"name":"analytics-go"}}}`,
			want:  []string{"event u:u1"},
		},
		{name: "an order", event: `{"type":"track","event":"Order Completed","userId":"u1","properties":{"order_id":"o1"}}`, want: []string{"event u:u1", "order o:o1"}},
		{name: "an order of the first specification", event: `{"type":"track","event":"Completed Order","userId":"u1","properties":{"order_id":17}}`, want: []string{"event u:u1", "order o:17"}},
		{name: "an order without an id", event: `{"type":"track","event":"Order Completed","userId":"u1","properties":{"order_id":"null"}}`, want: []string{"event u:u1"}},
		{name: "a robot's order", event: `{"type":"track","event":"Order Completed","userId":"u1","anonymousId":"` + uuid1 + `","channel":"web","properties":{"order_id":"o1"},"context":{"userAgent":"Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)"}}`, want: []string{"event a:" + uuid1}},
		{name: "an alias from a server", batch: server(), event: `{"type":"alias","messageId":"m","previousId":"old","userId":"u1"}`, want: []string{"event u:u1", edge("old", "old", "u1", "m"), edge("u1", "old", "u1", "m")}},
		{name: "an alias of a server's device", batch: server(), event: `{"type":"alias","messageId":"m","previousId":"d1","anonymousId":"d1","userId":"u1"}`, want: []string{claim("d1", "u1", "m"), sure("u1", "d1"), "event u:u1"}},
		{
			name: "an alias of what may be a device", batch: server(), event: `{"type":"alias","messageId":"m","previousId":"` + uuid1 + `","userId":"u1"}`,
			want: []string{claim(uuid1, "u1", "m"), sure("u1", uuid1), "event u:u1", edge(uuid1, uuid1, "u1", "m"), edge("u1", uuid1, "u1", "m")},
		},
		{name: "an alias of oneself", batch: server(), event: `{"type":"alias","previousId":"u1","userId":"u1"}`, want: []string{"event u:u1"}},
		{name: "a public alias", event: `{"type":"alias","previousId":"victim","userId":"u1"}`, want: []string{"event u:u1"}},
		{name: "a public alias of a device nobody proved", event: `{"type":"alias","previousId":"` + uuid1 + `","userId":"u1"}`, want: []string{"event u:u1"}},
		{name: "a public alias of one's own device", batch: collect.Batch{Device: uuid1}, event: `{"type":"alias","previousId":"` + uuid1 + `","userId":"u1"}`, want: []string{sure("u1", uuid1), "event u:u1"}},
		{name: "an alias with one token", batch: collect.Batch{Users: []string{"u1"}}, event: `{"type":"alias","previousId":"victim","userId":"u1"}`, want: []string{"event u:u1"}},
		{name: "an alias with both tokens", batch: collect.Batch{Users: []string{"u1", "old"}}, event: `{"type":"alias","messageId":"m","previousId":"old","userId":"u1"}`, want: []string{"event u:u1", edge("old", "old", "u1", "m"), edge("u1", "old", "u1", "m")}},
		{
			name: "a browser's alias under the secret", batch: server(), event: `{"type":"alias","messageId":"m","previousId":"` + uuid1 + `",` + web + `,"userId":"u1","channel":"web"}`,
			want: []string{sure("u1", uuid1), "event a:" + uuid1},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t, func(o *collect.Options) { o.VerifiedLinks = c.strict })
			res := w.accept(c.batch, c.event)
			equal(t, "accepted", res.Accepted, 1)
			lines(t, w.j.kinds(), c.want...)
		})
	}
}

// TestOrderPayload: the order's record carries the event itself.
func TestOrderPayload(t *testing.T) {
	w := newWorld(t)
	w.accept(collect.Batch{}, `{"type":"track","event":"Order Completed","userId":"u1","properties":{"order_id":"o1"}}`)
	if e, o := w.j.kind(attune.KindEvent)[0], w.j.kind(attune.KindOrder)[0]; string(e.Payload) != string(o.Payload) {
		t.Error("event and order differ")
	}
}

// TestLinkCache: a link is said once an hour, but not before it was durable,
// and a token names it whenever an event builds on it.
func TestLinkCache(t *testing.T) {
	w := newWorld(t)
	ev := device(web + `,"userId":"u1"`)
	w.j.fail = attune.ErrBusy
	if _, err := w.c.Accept(context.Background(), &collect.Batch{Source: "web", Events: [][]byte{[]byte(ev)}}); !errors.Is(err, attune.ErrBusy) {
		t.Fatalf("got %v, want ErrBusy", err)
	}
	w.j.fail = nil
	first := w.accept(collect.Batch{}, ev, ev)
	lines(t, w.j.kinds(), `link u:u1 {"anonymous_id":"`+uuid1+`"}`, "event a:"+uuid1, "event a:"+uuid1)
	linkAt := journal.Position{Partition: journal.Partition("u:u1", 4), Offset: w.j.recs[0].Offset}

	again := w.accept(collect.Batch{}, ev)
	equal(t, "records", len(w.j.kinds()), 4)
	for _, res := range []collect.Result{first, again} {
		found := false
		for _, p := range res.Token.Positions {
			found = found || p.Partition == linkAt.Partition && p.Offset >= linkAt.Offset
		}
		if !found {
			t.Errorf("token %v does not name the link at %v", res.Token, linkAt)
		}
	}

	w.accept(collect.Batch{Device: uuid1}, ev) // verified is another link
	equal(t, "links", len(w.j.kind(attune.KindLink)), 2)
	w.accept(collect.Batch{Device: uuid1}, ev)
	equal(t, "links", len(w.j.kind(attune.KindLink)), 2)
	w.now += 59 * minute
	w.accept(collect.Batch{}, ev)
	equal(t, "links within the hour", len(w.j.kind(attune.KindLink)), 2)
	w.now += minute
	w.accept(collect.Batch{}, ev)
	equal(t, "links after the hour", len(w.j.kind(attune.KindLink)), 3)
}

// TestLinkCacheBound: more people than it holds cost repeats, never a link.
func TestLinkCacheBound(t *testing.T) {
	w := newWorld(t, func(o *collect.Options) { o.Limits.Links, o.Limits.ClaimedLinks = 8, 1000 })
	for range 2 {
		for i := range 20 {
			w.accept(collect.Batch{}, device(fmt.Sprintf(`%s,"userId":"u%d"`, web, i)))
		}
	}
	equal(t, "links", len(w.j.kind(attune.KindLink)), 40)
}

// TestQuarantine: an id that gets claimed links too fast gets no more for the
// hour; verified ones, and attempts that were not stored, do not count.
func TestQuarantine(t *testing.T) {
	w := newWorld(t, func(o *collect.Options) { o.Limits.ClaimedLinks = 3 })
	send := func(b collect.Batch, user string, n int) {
		t.Helper()
		dev := fmt.Sprintf(`"anonymousId":"e9c57b80-4528-44c3-95f3-%012d"`, n)
		w.accept(b, device(dev+`,"userId":"`+user+`"`))
	}
	w.j.fail = attune.ErrBusy
	for n := range 10 {
		_, err := w.c.Accept(context.Background(), &collect.Batch{Source: "web", Events: [][]byte{[]byte(device(web + `,"userId":"u1"`))}})
		if err == nil {
			t.Fatal(n, "stored")
		}
	}
	w.j.fail = nil
	for n := range 10 {
		send(collect.Batch{}, "u1", n)
	}
	equal(t, "links of a user", len(w.j.kind(attune.KindLink)), 3)
	equal(t, "events", len(w.j.kind(attune.KindEvent)), 10)
	for n := range 10 {
		send(collect.Batch{}, fmt.Sprintf("v%d", n), 100)
	}
	equal(t, "links of a device", len(w.j.kind(attune.KindLink)), 6)
	send(server(), "u1", 50)
	equal(t, "verified", len(w.j.kind(attune.KindLink)), 7)
	w.now += 60 * minute
	send(collect.Batch{}, "u1", 51)
	equal(t, "an hour later", len(w.j.kind(attune.KindLink)), 8)
}

// TestTime is DESIGN's section "Time".
func TestTime(t *testing.T) {
	at := func(m attune.Millis) string { return `"` + m.String() + `"` }
	for _, c := range []struct {
		name  string
		bulk  bool
		event string
		want  attune.Millis
	}{
		{name: "a phone an hour ahead", event: device(web + `,"originalTimestamp":` + at(noon+59*minute) + `,"sentAt":` + at(noon+60*minute)), want: noon - minute},
		{name: "a phone a year behind", event: device(web + `,"timestamp":` + at(noon-525_600*minute) + `,"sentAt":` + at(noon-525_598*minute)), want: noon - 2*minute},
		{name: "originalTimestamp before timestamp", event: device(web + `,"timestamp":` + at(noon) + `,"originalTimestamp":` + at(noon-5*minute) + `,"sentAt":` + at(noon-4*minute)), want: noon - minute},
		{name: "without sentAt", event: device(web + `,"timestamp":` + at(noon-3*minute)), want: noon - 3*minute},
		{name: "happened after it was sent", event: device(web + `,"timestamp":` + at(noon+minute) + `,"sentAt":` + at(noon)), want: noon},
		{name: "a server", event: `{"type":"track","event":"x","userId":"u1","timestamp":` + at(noon-90*minute) + `,"sentAt":` + at(noon-80*minute) + `}`, want: noon - 90*minute},
		{name: "a server from the future", event: `{"type":"track","event":"x","userId":"u1","timestamp":` + at(noon+minute) + `}`, want: noon},
		{name: "a server's two times", event: `{"type":"track","event":"x","userId":"u1","timestamp":` + at(noon-9*minute) + `,"originalTimestamp":` + at(noon-minute) + `}`, want: noon - 9*minute},
		{name: "no time", event: `{"type":"track","event":"x","userId":"u1"}`, want: noon},
		{name: "nonsense", event: `{"type":"track","event":"x","userId":"u1","timestamp":"yesterday"}`, want: noon},
		{name: "Go's zero time", event: `{"type":"track","event":"x","userId":"u1","timestamp":"0001-01-01T00:00:00Z"}`, want: noon},
		{name: "milliseconds", event: fmt.Sprintf(`{"type":"track","event":"x","userId":"u1","timestamp":%d}`, noon-minute), want: noon - minute},
		{name: "seconds", event: fmt.Sprintf(`{"type":"track","event":"x","userId":"u1","timestamp":%d}`, (noon-minute)/1000), want: noon - minute},
		{name: "another form", event: `{"type":"track","event":"x","userId":"u1","timestamp":"2010-12-01 08:26:00"}`, want: 1_291_191_960_000},
		{name: "an import of a device's", bulk: true, event: device(web + `,"timestamp":` + at(noon-525_600*minute) + `,"sentAt":` + at(noon-525_598*minute)), want: noon - 525_600*minute},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			w.accept(collect.Batch{Import: c.bulk}, c.event)
			e := w.last()
			equal(t, "time", e.Time.String(), c.want.String())
			equal(t, "received", e.ReceivedAt, noon)
		})
	}
}

func TestIDs(t *testing.T) {
	w := newWorld(t)
	send := func(members string) *attune.Event {
		t.Helper()
		w.accept(collect.Batch{}, `{"type":"track","event":"x",`+members+`}`)
		return w.last()
	}
	e := send(`"userId":"null","anonymousId":"a1","messageId":"m1"`)
	equal(t, "junk user", e.UserID, "")
	equal(t, "device", e.AnonymousID, "a1")
	equal(t, "messageId", e.MessageID, "m1")
	e = send(`"userId":"u1","anonymousId":"undefined"`)
	equal(t, "junk device", e.AnonymousID, "")
	if !identity.IsUUID(e.MessageID) {
		t.Errorf("messageId %q, want a UUID", e.MessageID)
	}
	equal(t, "a number", send(`"userId":4711`).UserID, "4711")
	equal(t, "escaped", send(`"userId":"u\u00e9"`).UserID, "ué")

	hundred := strings.Repeat("é", 100)
	equal(t, "100 characters", send(`"userId":"u1","messageId":"`+hundred+`"`).MessageID, hundred)
	long := send(`"userId":"u1","messageId":"` + hundred + `x"`).MessageID
	if !identity.IsUUID(long) {
		t.Errorf("messageId %q, want a UUID", long)
	}
	equal(t, "its retry", send(`"userId":"u1","messageId":"`+hundred+`x"`).MessageID, long)
}

func TestConsent(t *testing.T) {
	for _, c := range []struct {
		name, context string
		batch         collect.Batch
		want          string
	}{
		{"nothing", `{}`, collect.Batch{}, ""},
		{"segment denies", `{"consent":{"categoryPreferences":{"Advertising":true,"Personalization":false}}}`, collect.Batch{}, "denied"},
		{"segment grants", `{"consent":{"categoryPreferences":{"personalization":true}}}`, collect.Batch{}, "granted"},
		{"another category", `{"consent":{"categoryPreferences":{"advertising":false}}}`, collect.Batch{}, ""},
		{"google", `{"consent":{"categoryPreferences":{"personalization_storage":"denied"}}}`, collect.Batch{}, "denied"},
		{"rudder denies", `{"consentManagement":{"allowedConsentIds":["a"],"deniedConsentIds":["personalization"]}}`, collect.Batch{}, "denied"},
		{"rudder grants", `{"consentManagement":{"allowedConsentIds":["personalization"],"deniedConsentIds":[]}}`, collect.Batch{}, "granted"},
		{"both", `{"consentManagement":{"allowedConsentIds":["personalization"],"deniedConsentIds":["personalization"]}}`, collect.Batch{}, "denied"},
		{"browser", `{"consent":{"categoryPreferences":{"personalization":true}}}`, collect.Batch{Denied: true}, "denied"},
	} {
		w := newWorld(t)
		w.accept(c.batch, `{"type":"track","event":"x","userId":"u1","context":`+c.context+`}`)
		equal(t, c.name, flags(w.last().Flags), c.want)
	}
	w := newWorld(t, func(o *collect.Options) { o.Consent = collect.Consent{Categories: []string{"C0003"}, GPC: true} })
	w.accept(collect.Batch{}, `{"type":"track","event":"x","userId":"u1","context":{"consent":{"categoryPreferences":{"C0003":false}}}}`)
	equal(t, "a name of one's own", flags(w.last().Flags), "denied")
	w.post(200, "/v1/track", view, "Sec-GPC: 1")
	equal(t, "Sec-GPC", flags(w.last().Flags), "denied")
	off := newWorld(t)
	off.post(200, "/v1/track", view, "Sec-GPC: 1")
	equal(t, "Sec-GPC, not configured", flags(off.last().Flags), "")
}

func TestEnrichment(t *testing.T) {
	w := newWorld(t, func(o *collect.Options) {
		o.Items = shelf{"p1": {"Shoes", "Acme"}, "p2": {"Hats", ""}, `p"3`: {"", "B"}}
	})
	for _, c := range []struct{ name, event, want string }{
		{"nothing", `{"userId":"u1"}`, ``},
		{"page", `{"userId":"u1","context":{"page":{"url":"https://user@Shop.example:8080/a/b?x=1#y","referrer":"https://search.example/?q=1"}}}`, `{"page":{"path":"/a/b","host":"shop.example:8080","referrer_host":"search.example"}}`},
		{"campaign", `{"userId":"u1","context":{"campaign":{"source":"mail","name":"may \"1\""}}}`, `{"campaign":{"source":"mail","name":"may \"1\""}}`},
		{"utm", `{"userId":"u1","context":{"campaign":{},"page":{"url":"https://s.example/?utm_source=a%20b&x=1&utm_campaign=c+d#utm_medium=no"}}}`, `{"page":{"path":"/","host":"s.example"},"campaign":{"source":"a b","name":"c d"}}`},
		{"a product", `{"userId":"u1","properties":{"product_id":"p1"}}`, `{"items":{"p1":{"category":"Shoes","brand":"Acme"}}}`},
		{"a product with a category", `{"userId":"u1","properties":{"product_id":"p1","category":"Boots"}}`, `{"items":{"p1":{"brand":"Acme"}}}`},
		{"products", `{"userId":"u1","properties":{"products":[{"product_id":"p1"},{"sku":"p2"},{"sku":"p2"},{"sku":"none"},{"sku":"p\"3"}]}}`, `{"items":{"p1":{"category":"Shoes","brand":"Acme"},"p2":{"category":"Hats"},"p\"3":{"brand":"B"}}}`},
		{"unknown", `{"userId":"u1","properties":{"product_id":"p9"}}`, ``},
		{"agent", `{"userId":"u1","context":{"userAgent":"Mozilla/5.0 (iPhone; CPU iPhone OS 17_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.0 Mobile/15E148 Safari/604.1"}}`, `{"device":{"type":"mobile","os":"iOS","os_version":"17.0","browser":"Safari","browser_version":"17.0"}}`},
		{"a server's agent", `{"userId":"u1","context":{"userAgent":"analytics-node/3"}}`, `{"device":{"browser":"analytics-node","browser_version":"3"}}`},
	} {
		w.accept(collect.Batch{Type: attune.Track}, `{"event":"x",`+c.event[1:])
		equal(t, c.name, string(w.last().Enriched), c.want)
	}
	w.accept(collect.Batch{Import: true, Agent: chrome}, device(web))
	equal(t, "an import", string(w.last().Enriched), "")
	w.post(200, "/v1/track", view, "User-Agent: "+chrome)
	equal(t, "a server's header", string(w.last().Enriched), `{"items":{"p1":{"category":"Shoes","brand":"Acme"}}}`)
	w.post(200, "/v1/page", `{"userId":"u1"}`, "User-Agent: "+chrome, "Origin: https://x.example")
	equal(t, "a browser's header", string(w.last().Enriched), `{"device":{"type":"desktop","os":"Linux","browser":"Chrome","browser_version":"120.0.0.0"}}`)
}

func TestBots(t *testing.T) {
	w := newWorld(t)
	for agent, want := range map[string]string{
		"Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)": "device+bot",
		chrome: "device",
		strings.Replace(chrome, "Chrome", "HeadlessChrome", 1): "device",
		strings.Repeat("x", 10_000):                            "device",
	} {
		w.accept(collect.Batch{Agent: agent}, device(web))
		equal(t, agent, flags(w.last().Flags), want)
	}
	w.accept(collect.Batch{Import: true, Agent: "Googlebot/2.1"}, device(web))
	equal(t, "an import", flags(w.last().Flags), "device")
}

// TestBatchContext: what a batch says once counts for each event, where the
// event does not say otherwise.
func TestBatchContext(t *testing.T) {
	w := newWorld(t)
	w.post(200, "/v1/batch", `{"context":{"library":{"name":"analytics-go"},"ip":"1.2.3.4"},"integrations":{"All":true},"sentAt":"2026-11-21T00:00:00Z","batch":[
		{"type":"track","event":"a","userId":"u1"},
		{"type":"track","event":"b","userId":"u1","context":{"ip":"5.6.7.8"},"integrations":{}},
		{"type":"track","event":"c","userId":"u1","context":null,"properties":{"x":1}},
		{"type":"track","event":"d","userId":"u1","context":{},"integrations":{"All":false}}]}`)
	for i, want := range []struct{ context, raw string }{
		{`{"library":{"name":"analytics-go"},"ip":"1.2.3.4"}`, `{"type":"track","event":"a","userId":"u1","context":{"library":{"name":"analytics-go"},"ip":"1.2.3.4"},"integrations":{"All":true}}`},
		{`{"ip":"5.6.7.8","library":{"name":"analytics-go"}}`, `{"type":"track","event":"b","userId":"u1","context":{"ip":"5.6.7.8","library":{"name":"analytics-go"}},"integrations":{"All":true}}`},
		{`{"library":{"name":"analytics-go"},"ip":"1.2.3.4"}`, `{"type":"track","event":"c","userId":"u1","context":{"library":{"name":"analytics-go"},"ip":"1.2.3.4"},"properties":{"x":1},"integrations":{"All":true}}`},
		{`{"library":{"name":"analytics-go"},"ip":"1.2.3.4"}`, `{"type":"track","event":"d","userId":"u1","context":{"library":{"name":"analytics-go"},"ip":"1.2.3.4"},"integrations":{"All":false}}`},
	} {
		e := w.j.events(t)[i]
		equal(t, "context", string(e.Context), want.context)
		equal(t, "raw", string(e.Raw), want.raw)
		equal(t, "sentAt", e.SentAt.String(), "2026-11-21T00:00:00.000Z")
	}
}

// TestAccept: what decide and import ask of the call.
func TestAccept(t *testing.T) {
	var seen int
	w := newWorld(t, func(o *collect.Options) { o.OnAccepted = func(es []attune.Event) { seen += len(es) } })
	b := collect.Batch{Source: "import", Import: true, Keep: true, Rank: attune.Server, Verified: true}
	res := w.accept(b, `{"event":"x","userId":"u1","messageId":"file:1","timestamp":"2011-01-01T00:00:00Z"}`, `nonsense`, strings.Repeat("[", 1<<20))
	equal(t, "accepted", res.Accepted, 1)
	equal(t, "seen", seen, 1)
	equal(t, "rejected", len(res.Rejected), 2)
	equal(t, "index", res.Rejected[0].Index, 1)
	equal(t, "code", res.Rejected[1].Code, collect.CodeTooBig)
	equal(t, "records", len(res.Records), 1)
	if res.Records[0].Offset == 0 || !res.Token.Of("test") {
		t.Errorf("record %+v, token %v", res.Records[0], res.Token)
	}
	kept := string(res.Records[0].Payload)
	w.accept(b, `{"event":"another one","userId":"u2","messageId":"file:2"}`)
	equal(t, "kept records do not change", string(res.Records[0].Payload), kept)
	equal(t, "time", w.j.events(t)[0].Time.String(), "2011-01-01T00:00:00.000Z")
	res = w.accept(collect.Batch{}, `{}`)
	equal(t, "nothing", res.Accepted, 0)
	equal(t, "token", len(res.Token.Positions), 0)
}

// TestNewRefuses names everything that is missing at once.
func TestNewRefuses(t *testing.T) {
	_, err := collect.New(collect.Options{})
	for _, want := range []string{"Journal", "Keys", "Now"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s named", err, want)
		}
	}
	_, err = collect.NewKeys([]collect.Source{{ID: "a", WriteKey: "k"}, {ID: "b", WriteKey: "k"}, {}, {ID: "c"}}, []string{"", "k"})
	for _, want := range []string{"source b", "sources[2]", "source c", "secret 0", "secret 1"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s named", err, want)
		}
	}
}

// TestSpans: whatever is sent, what is read of an event is a part of what was
// sent, also after its way through the journal.
func TestSpans(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		w := newWorld(t)
		pad := rapid.SampledFrom([]string{"", " ", "\n\t"})
		parts := rapid.Permutation([]string{
			`"type":"track"`, `"event":"x"`, `"userId":"u1"`, `"properties":{"a":"}\"{"}`, `"traits":{"b":[1]}`, `"context":{"c":{}}`, `"other":"\\"`,
		}).Draw(rt, "order")
		raw := "{" + pad.Draw(rt, "pad") + strings.Join(parts, pad.Draw(rt, "pad")+","+pad.Draw(rt, "pad")) + pad.Draw(rt, "pad") + "}"
		w.accept(collect.Batch{}, raw)
		e := w.last()
		equal(t, "raw", string(e.Raw), raw)
		equal(t, "properties", string(e.Properties), `{"a":"}\"{"}`)
		equal(t, "traits", string(e.Traits), `{"b":[1]}`)
		equal(t, "context", string(e.Context), `{"c":{}}`)
	})
}
