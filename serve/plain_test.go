package serve_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/attune-io/attune"
)

// TestFaultsAreInPlainWords holds what a caller reads when she is wrong: a
// status, a path she wrote, and a sentence without the names of Go's errors.
func TestFaultsAreInPlainWords(t *testing.T) {
	w := newWorld(t, nil)
	w.shop()
	for _, tc := range []struct {
		method, path, body string
		code               int
		at, want           string
	}{
		{"PUT", "/v1/items/x", ``, 400, "", "invalid json: the body is empty"},
		{"PUT", "/v1/items/x", "{\n bad", 400, "", `invalid json: unexpected "b" at line 2, column 2`},
		{"PUT", "/v1/items/x", `{"attributes":`, 400, "", "invalid json: it ends too early"},
		{"PUT", "/v1/items/x", `{"name":"Pan"}`, 400, "name", `an item is {"id":…,"attributes":{…}}; put "name" under "attributes"`},
		{"PUT", "/v1/items/x", `[]`, 400, "", "want an object, got an array"},
		{"PUT", "/v1/items/guest", `{"attributes":{"name":"x"}}`, 400, "id", `id "guest" stands for a missing id; send the real one or leave it out`},
		{"PUT", "/v1/items/x", `{"attributes":{"a":{"b":1}}}`, 400, "attributes", `item "x": attribute "a": an object is none of string, number, bool, list of strings and null`},
		{"PUT", "/v1/items/x", `{"attributes":{"price":"$1,200.50"}}`, 400, "attributes", `item "x": attribute "price": "$1,200.50" is no number; send 1200.5, and the currency as "currency"`},
		{"PUT", "/v1/items/x", `{"attributes":{"price":-10}}`, 400, "attributes", `item "x": attribute "price": -10 is below 0`},
		{"POST", "/v1/decide", `{"placements":"x"}`, 400, "placements", "want an array, got a string"},
		{"POST", "/v1/decide", `{"placements":[{"id":"for-you","limit":null}],"deadline_ms":"1"}`, 400, "deadline_ms", "want a number, got a string"},
		{"POST", "/v1/decide", `{"userId":"ada","placements":[{"id":"for-you"}]}`, 400, "userId", `unknown member "userId"; did you mean "user_id"?`},
		{"POST", "/v1/decide", `{"placements":[{"id":"for-you","lmit":3}]}`, 400, "lmit", `unknown member "lmit"; did you mean "limit"?`},
		{"POST", "/v1/rank", `{"anonymousId":"a","items":["pan"]}`, 400, "anonymousId", `unknown member "anonymousId"; did you mean "anonymous_id"?`},
		{"POST", "/v1/decide", `{"placements":[{}]}`, 400, "placements[0].id", "the placement is missing; there are "},
		{"GET", "/v1/stream", ``, 400, "placement", "the placement is missing; there are "},
		{"GET", "/v1/stream?placement=popula", ``, 400, "placement", `unknown placement "popula"; did you mean "popular"?`},
		{"GET", "/v1/recommend/popula", ``, 404, "placement", `unknown placement "popula"; did you mean "popular"?`},
		{"GET", "/v1/recommend/popular?limt=2", ``, 400, "limt", `there is no such parameter; did you mean "limit"?`},
		{"GET", "/v1/items?after=zz", ``, 400, "after", "there is no such parameter; there are q, cursor, limit"},
		{"GET", "/v1/profiles/u:s0/traits?bogus=1", ``, 400, "bogus", "there is no such parameter: this address takes none"},
		{"GET", "/v1/profiles/u:", ``, 400, "key", "id is empty"},
		{"GET", "/v1/profiles/a:", ``, 400, "key", "id is empty"},
		{"GET", "/v1/profiles/x:1", ``, 400, "key", "want u:<userId>, a:<anonymousId> or x:<type>:<value>"},
	} {
		code, body, _ := w.call(tc.method, tc.path, tc.body, server)
		var got struct {
			Error struct{ Message, Path string }
		}
		if err := json.Unmarshal(body, &got); err != nil {
			t.Errorf("%s %s %s: %s: %v", tc.method, tc.path, tc.body, body, err)
			continue
		}
		fits := got.Error.Message == tc.want || strings.HasSuffix(tc.want, " ") && strings.HasPrefix(got.Error.Message, tc.want)
		if code != tc.code || got.Error.Path != tc.at || !fits {
			t.Errorf("%s %s %s:\n got %d %q: %s\nwant %d %q: %s", tc.method, tc.path, tc.body, code, got.Error.Path, got.Error.Message, tc.code, tc.at, tc.want)
		}
	}
}

// TestParametersOfEveryRoute asks with all that a route knows.
func TestParametersOfEveryRoute(t *testing.T) {
	w := newWorld(t, nil)
	w.shop()
	for _, path := range []string{
		"/v1/recommend/similar?item=pan&items=pot&query=x&limit=1&user_id=s0&anonymous_id=" + device + "&deadline_ms=900&explain=1&after=",
		"/v1/items?q=pan&cursor=&limit=1", "/v1/items?writeKey=x&write%5Fkey=y&user_token=z", "/healthz?probe=1",
	} {
		if code, body, _ := w.call("GET", path, "", server); code != 200 {
			t.Errorf("%s: %d %s", path, code, body)
		}
	}
}

func TestTooLargeSaysWhichLimit(t *testing.T) {
	w := newWorld(t, nil)
	code, body, _ := w.call("POST", "/v1/decide", `{"query":"`+strings.Repeat("x", 4<<20)+`"}`, server)
	if code != 413 || !strings.Contains(string(body), "limits.request_bytes") || strings.Contains(string(body), "http:") {
		t.Errorf("got %d %s, want 413 with the limit's name, without Go's error", code, body)
	}
}

// TestAnswersAreNotEscapedForHTML puts and reads what a browser would escape.
func TestAnswersAreNotEscapedForHTML(t *testing.T) {
	w := newWorld(t, nil)
	put := `{"attributes":{"category":"Lighting & Candles <3"}}`
	for _, c := range [][3]string{
		{"PUT", "/v1/items/i1", put}, {"GET", "/v1/items/i1"}, {"GET", "/v1/items"}, {"POST", "/v1/rank", `{"items":["i1"]}`},
	} {
		if _, body, _ := w.call(c[0], c[1], c[2], server); !strings.Contains(string(body), "Lighting & Candles <3") {
			t.Errorf("%s %s: %s, want & and < as they are", c[0], c[1], body)
		}
	}
}

// TestAttributesAreAlwaysThere takes the last attribute of an item away.
func TestAttributesAreAlwaysThere(t *testing.T) {
	w := newWorld(t, nil)
	w.call("PUT", "/v1/items/i1", `{"attributes":{"brand":"Acme"}}`, server)
	want := `{"id":"i1","attributes":{}}`
	for _, c := range [][3]string{{"PUT", "/v1/items/i1", `{"attributes":{"brand":null}}`}, {"GET", "/v1/items/i1"}, {"GET", "/v1/items"}} {
		if _, body, _ := w.call(c[0], c[1], c[2], server); !strings.Contains(string(body), want) {
			t.Errorf("%s %s: %s, want %s", c[0], c[1], body, want)
		}
	}
}

// TestOneTypeAnIdea holds the shapes of a profile's parts and its instants.
func TestOneTypeAnIdea(t *testing.T) {
	w := newWorld(t, nil)
	w.send(w.track("u1", device, "Product Viewed", "pan"), json.RawMessage(`{"type":"identify","userId":"u1","anonymousId":"`+device+`","traits":{"plan":"gold"},"messageId":"i1"}`))
	var parts struct {
		Traits     map[string]any
		Features   map[string]any
		Segments   []string
		Identities []struct {
			Type     string
			LastSeen string `json:"last_seen"`
		}
	}
	for _, part := range []string{"/traits", "/features", "/segments", ""} {
		_, body, _ := w.call("GET", "/v1/profiles/u:u1"+part, "", server)
		if err := json.Unmarshal(body, &parts); err != nil {
			t.Errorf("%q: %s: %v", part, body, err)
		}
		if part == "/segments" && (parts.Traits["plan"] != "gold" || parts.Features["views_24h"] != 1.0 || parts.Segments == nil) {
			t.Errorf("the parts alone say %+v, want traits, features and segments", parts)
		}
	}
	seen := ""
	for _, id := range parts.Identities {
		if id.Type == "anonymous_id" {
			seen = id.LastSeen
		}
	}
	if want := attune.Millis(1_767_225_600_000).String(); seen != want {
		t.Errorf("the device was last seen at %q, want %q", seen, want)
	}
}

// TestNumbersHaveNoNoise: 0.6 is not 0.6000000238418579, nor 2e-4 0.00020000001.
func TestNumbersHaveNoNoise(t *testing.T) {
	w := newWorld(t, nil)
	w.shop()
	w.send(w.track("u1", "", "Product Viewed", "pan"))
	_, body, _ := w.call("POST", "/v1/decide", `{"user_id":"u1","explain":true,"placements":[{"id":"for-you"},{"id":"popular"}]}`, server)
	d := json.NewDecoder(strings.NewReader(string(body)))
	d.UseNumber()
	for {
		token, err := d.Token()
		if err != nil {
			break
		}
		if n, ok := token.(json.Number); ok && strings.Contains(string(n), ".") {
			if digits := strings.Trim(strings.Replace(string(n), ".", "", 1), "-0"); len(strings.Split(digits, "e")[0]) > 6 {
				t.Errorf("%s has more than six digits", n)
			}
		}
	}
}

// TestABotHasNoProfile: its events are journaled, and nothing is kept of it. Who
// only said what she consents to has one.
func TestABotHasNoProfile(t *testing.T) {
	w := newWorld(t, nil)
	w.send(json.RawMessage(`{"type":"track","event":"Product Viewed","userId":"crawler","messageId":"b1","properties":{"product_id":"pan"},"context":{"userAgent":"Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)"}}`),
		json.RawMessage(`{"type":"track","event":"Consented","userId":"shy","messageId":"b2","context":{"consent":{"categoryPreferences":{"Advertising":false,"Personalization":false}}}}`))
	for path, want := range map[string]int{"/v1/profiles/u:crawler": 404, "/v1/profiles/u:crawler/events": 404, "/v1/profiles/u:shy": 200} {
		if code, body, _ := w.call("GET", path, "", server); code != want {
			t.Errorf("%s: %d %s, want %d", path, code, body, want)
		}
	}
}
