package node_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/attune-io/attune"
	"github.com/attune-io/attune/config"
	"github.com/attune-io/attune/feature"
	"github.com/attune-io/attune/identity"
	"github.com/attune-io/attune/node"
	"github.com/attune-io/attune/segment"
)

// The victim is u1. The attacker has what everybody can read in a page, and
// knows her userId and the anonymousId of one of her devices.
const (
	victim      = "u1"
	mallory     = "mallory"
	orderID     = "order-zq7"
	victimTrait = "gold-zq7"
)

func victimPhone() string    { return device(0xa1) } // known to the attacker
func victimLaptop() string   { return device(0xa2) }
func attackerDevice() string { return device(0xbad) }

// private is what of u1's nobody else may read, in any form: the attacker knows
// none of it.
func private() []string {
	return []string{
		"boots-zq7", "tent-zq7", "stove-zq7", "rope-zq7", victimTrait, "zq7@example.com", "whales-zq7",
		victimLaptop(), orderID, "secret query zq7", "Expedition-zq7", "m-zq7",
	}
}

// exchange is one request and all that came back.
type exchange struct {
	name   string
	status int
	header http.Header
	body   string
}

// raw sends one request and returns the answer whole: of a stream, what comes
// up to and with its first decision.
func (r *running) raw(name, method, path, body string, headers ...string) exchange {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), 20*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, "http://"+r.address+path, strings.NewReader(body))
	if err != nil {
		r.t.Fatal(err)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Add(headers[i], headers[i+1])
	}
	client := http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	res, err := client.Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	defer res.Body.Close() //nolint:errcheck // it was read
	var text []byte
	if strings.HasPrefix(res.Header.Get("Content-Type"), "text/event-stream") {
		lines := bufio.NewScanner(res.Body)
		lines.Buffer(nil, 1<<20)
		for lines.Scan() {
			text = append(append(text, lines.Bytes()...), '\n')
			if strings.HasPrefix(lines.Text(), "data:") {
				break
			}
		}
	} else if text, err = io.ReadAll(res.Body); err != nil {
		r.t.Fatal(err)
	}
	return exchange{name: name, status: res.StatusCode, header: res.Header, body: string(text)}
}

// basic is the header pair of Basic credentials.
func basic(key string) []string {
	req, _ := http.NewRequest(http.MethodGet, "/", http.NoBody)
	req.SetBasicAuth(key, "")
	return []string{"Authorization", req.Header.Get("Authorization")}
}

// personal returns the body of x without what comes from the crowd's models and
// not from u1's profile: candidates that only popularity names. What goes with
// one of the attacker's own baits, written into u1's own session, is not the
// crowd's: it must not be told.
func (x *exchange) personal() string {
	var d struct {
		Placements map[string]attune.Answer `json:"placements"`
	}
	if json.Unmarshal([]byte(x.body), &d) != nil || len(d.Placements) == 0 {
		return x.body
	}
	for name, a := range d.Placements {
		if a.Explain != nil {
			a.Explain.Candidates = slices.DeleteFunc(a.Explain.Candidates, func(c attune.CandidateTrace) bool {
				for generator := range c.From {
					if generator != "popular" && generator != "trending" {
						return false
					}
				}
				return true
			})
		}
		d.Placements[name] = a
	}
	b, err := json.Marshal(d)
	if err != nil {
		return x.body
	}
	return string(b)
}

// leaks reports which of u1's things are in x.
func (x *exchange) leaks() []string {
	var all strings.Builder
	all.WriteString(strings.ToLower(x.personal()))
	for name, values := range x.header {
		for _, v := range values {
			plain, err := url.QueryUnescape(v)
			if err != nil {
				plain = v
			}
			all.WriteString("\n" + strings.ToLower(name+": "+v+" "+plain))
		}
	}
	var found []string
	for _, p := range private() {
		if strings.Contains(all.String(), strings.ToLower(p)) {
			found = append(found, p)
		}
	}
	return found
}

// stage is a node with a crowd, whose items are popular, and u1 with her
// history over two devices and her server.
type stage struct {
	*running

	now      *atomic.Int64
	phone    string // u1's visitor token of the phone
	attacker string // the attacker's own visitor token
	last     string // the token of everything that was sent
}

func newStage(t *testing.T) *stage {
	t.Helper()
	now := new(atomic.Int64)
	now.Store(time.Date(2026, 5, 1, 9, 0, 0, 0, time.UTC).UnixMilli())
	cfg := testConfig(t.TempDir())
	cfg.Features = []feature.Definition{{Name: "campaigns", Kind: "last", On: []string{"*"}, Value: "properties.campaign", N: 5}}
	cfg.Segments = []segment.Definition{{Name: "whales-zq7", When: `features.revenue_30d > 100.0`}}
	s := &stage{now: now, running: start(t, cfg, node.Options{
		Clock: func() attune.Millis { return attune.Millis(now.Add(1)) }, Tick: 10 * time.Millisecond,
	})}
	for i := range 300 {
		s.track(device(0x1000+i%60), "Product Viewed", fmt.Sprintf(`{"product_id":"crowd-%d","name":"Crowd %d","price":2}`, i%30, i%30))
	}
	s.phone, s.attacker = s.visitor(victimPhone()), s.visitor(attackerDevice())
	s.event(config.DevWriteKey, `{"type":"track","event":"Product Viewed","anonymousId":%q,"messageId":"m-zq7-1",`+
		`"properties":{"product_id":"boots-zq7","category":"Expedition-zq7","campaign":"secret query zq7"},"context":{"library":{"name":"attune.js"}}}`, victimPhone())
	s.event(config.DevWriteKey, `{"type":"identify","anonymousId":%q,"userId":"u1","traits":{"email":"zq7@example.com"},"context":{"library":{"name":"attune.js"}}}`, victimPhone())
	s.event(config.DevWriteKey, `{"type":"track","event":"Product Added","anonymousId":%q,"userId":"u1","properties":{"product_id":"tent-zq7"},"context":{"library":{"name":"attune.js"}}}`, victimPhone())
	s.event(config.DevWriteKey, `{"type":"track","event":"Product Viewed","anonymousId":%q,"userId":"u1","properties":{"product_id":"rope-zq7"},"context":{"library":{"name":"attune.js"}}}`, victimLaptop())
	s.event(config.DevWriteKey, `{"type":"track","event":"Products Searched","anonymousId":%q,"userId":"u1","properties":{"query":"secret query zq7"},"context":{"library":{"name":"attune.js"}}}`, victimLaptop())
	s.event(config.DevServerSecret, `{"type":"identify","userId":"u1","traits":{"plan":%q,"tier":{"level":3}}}`, victimTrait)
	s.event(config.DevServerSecret, `{"type":"track","event":"Order Completed","userId":"u1","properties":{"order_id":%q,"total":500,"products":[{"product_id":"stove-zq7","price":500}]}}`, orderID)
	return s
}

// visitor asks for a device's token, as our SDK does at first contact.
func (s *stage) visitor(id string) string {
	s.t.Helper()
	var got struct {
		Token string `json:"visitor_token"`
	}
	if status, _ := s.call(http.MethodPost, "/v1/visitor", config.DevWriteKey, fmt.Sprintf(`{"anonymous_id":%q}`, id), &got); status != http.StatusOK || got.Token == "" {
		s.t.Fatalf("visitor token of a new device: status %d, token %q", status, got.Token)
	}
	return got.Token
}

// event sends one event under key, and waits until it is folded.
func (s *stage) event(key, format string, args ...any) {
	s.t.Helper()
	status, h := s.call(http.MethodPost, "/v1/batch", key, `{"batch":[`+fmt.Sprintf(format, args...)+`]}`, nil)
	if status != http.StatusOK {
		s.t.Fatalf("event answered %d: %s", status, fmt.Sprintf(format, args...))
	}
	s.settle(h.Get("X-Attune-Token"))
}

// settle waits until what token names is folded; "" is nothing.
func (s *stage) settle(token string) {
	s.t.Helper()
	if token == "" {
		return
	}
	s.last = token
	var got answer
	s.call(http.MethodPost, "/v1/decide", config.DevServerSecret,
		map[string]any{"after": s.last, "deadline_ms": 1000, "placements": []any{map[string]any{"id": "popular"}}}, &got)
	if got.Stale {
		s.t.Fatal("an event was not folded within a second")
	}
}

// recent returns what recently-viewed shows the caller with these headers,
// nothing when a fallback answers.
func (s *stage) recent(headers ...string) []string {
	s.t.Helper()
	var got answer
	s.call(http.MethodPost, "/v1/decide", config.DevWriteKey,
		`{"deadline_ms":1000,"placements":[{"id":"recently-viewed"}]}`, &got, headers...)
	if got.Placements["recently-viewed"].Fallback != "" {
		return nil
	}
	return got.ids("recently-viewed")
}

func (s *stage) userToken(user string, life time.Duration) string {
	return identity.UserToken([]byte(config.DevServerSecret), user, attune.Millis(s.now.Load()).Add(life))
}

// person is a profile, as far as tests look at it.
type person struct {
	Traits   map[string]any             `json:"traits"`
	Features map[string]json.RawMessage `json:"features"`
	Segments []string                   `json:"segments"`
}

// TestImpersonation: with a write key, u1's userId and her phone's anonymousId,
// the attacker reads nothing of u1's, and changes nothing that her server said.
func TestImpersonation(t *testing.T) {
	s := newStage(t)
	var before person
	s.call(http.MethodGet, "/v1/profiles/u:u1", config.DevServerSecret, nil, &before)
	if before.Traits["plan"] != victimTrait || !slices.Contains(before.Segments, "whales-zq7") {
		t.Fatalf("u1 has traits %v and segments %v before anything happens", before.Traits, before.Segments)
	}
	for _, a := range s.writes() {
		x := s.raw(a.name, a.method, a.path, a.body, a.headers...)
		if x.status != http.StatusOK && x.status != http.StatusConflict && x.status != http.StatusForbidden {
			t.Errorf("%s: answered %d %s; the attack says nothing when it does not arrive", x.name, x.status, x.body)
		}
		if got := x.leaks(); len(got) > 0 {
			t.Errorf("%s: the answer has u1's %q: %s %v", x.name, got, x.body, x.header)
		}
		if x.status == http.StatusOK && a.path == "/v1/visitor" {
			t.Errorf("%s: the attacker got a token: %s", x.name, x.body)
		}
		s.settle(x.header.Get("X-Attune-Token"))
		s.reads(a.name)
	}
	s.unharmed(&before)
}

// attack is one request of the attacker's.
type attack struct {
	name, method, path, body string
	headers                  []string
}

// writes are what the attacker tries to say, in order.
func (s *stage) writes() []attack {
	const lib = `"context":{"library":{"name":"attune.js"}}`
	own, phone := attackerDevice(), victimPhone()
	post := func(name, path, body string, headers ...string) attack {
		return attack{name, http.MethodPost, path, body, append(basic(config.DevWriteKey), headers...)}
	}
	track := func(ids, item string) string {
		return fmt.Sprintf(`{%s,"type":"track","event":"Product Viewed","properties":{"product_id":%q},%s}`, ids, item, lib)
	}
	me := fmt.Sprintf(`"anonymousId":%q`, own)
	her := fmt.Sprintf(`"anonymousId":%q`, phone)
	return []attack{
		post("asks for the phone's token", "/v1/visitor", fmt.Sprintf(`{"anonymous_id":%q}`, phone)),
		post("asks for it as a page of this site", "/v1/track", track(her, "bait-1"), "Origin", "http://"+s.address),
		post("views something of its own", "/v1/track", track(me, "bait-2"), "X-Attune-Visitor", s.attacker),
		post("identifies itself as u1", "/v1/identify", `{"userId":"u1",`+me+`,"traits":{"plan":"free","email":"mallory@example.com"},`+lib+`}`, "X-Attune-Visitor", s.attacker),
		post("takes u1's trait away", "/v1/identify", `{"userId":"u1",`+me+`,"traits":{"plan":null,"tier":null},`+lib+`}`),
		post("says it is u1's server", "/v1/identify", `{"userId":"u1","channel":"server","traits":{"plan":"free"},"context":{"library":{"name":"analytics-node"}}}`),
		post("says so later", "/v1/identify", `{"userId":"u1","timestamp":"2099-01-01T00:00:00Z","traits":{"plan":"free"}}`),
		post("aliases u1 to itself", "/v1/alias", `{"userId":"mallory","previousId":"u1",`+me+`,`+lib+`}`, "X-Attune-User", s.userToken(mallory, time.Hour)),
		post("aliases itself to u1", "/v1/alias", `{"userId":"u1","previousId":"mallory",`+me+`,`+lib+`}`, "X-Attune-User", s.userToken(mallory, time.Hour)),
		post("merges", "/v1/merge", `{"userId":"mallory","previousId":"u1"}`, "X-Attune-User", s.userToken(mallory, time.Hour)),
		post("merges twice with one token", "/v1/merge", `{"userId":"mallory","previousId":"u1"}`,
			"X-Attune-User", s.userToken(mallory, time.Hour)+","+s.userToken(mallory, 2*time.Hour)),
		post("aliases the phone to itself", "/v1/alias", fmt.Sprintf(`{"userId":"mallory","previousId":%q,`+me+`,`+lib+`}`, phone)),
		post("aliases the phone as the phone", "/v1/alias", fmt.Sprintf(`{"userId":"mallory","previousId":%q,`+her+`,`+lib+`}`, phone)),
		post("writes as the phone", "/v1/track", track(her, "bait-3")),
		post("views the bait it put there", "/v1/track", track(me, "bait-3"), "X-Attune-Visitor", s.attacker),
		post("identifies the phone as itself", "/v1/identify", `{"userId":"mallory",`+her+`,"traits":{"plan":"mine"},`+lib+`}`, "X-Attune-User", s.userToken(mallory, time.Hour)),
		post("identifies the phone without a device", "/v1/identify", `{"userId":"mallory",`+her+`}`, "X-Attune-User", s.userToken(mallory, time.Hour)),
		post("logs out on the phone", "/v1/track", track(her, "bait-4")),
		post("identifies the phone as u1 again", "/v1/identify", `{"userId":"u1",`+her+`,`+lib+`}`),
		post("writes for u1 in a batch", "/v1/batch", `{"batch":[`+track(`"userId":"u1",`+me, "bait-5")+`]}`),
		post("writes with a body key", "/v1/batch", `{"writeKey":"dev","batch":[`+track(`"userId":"u1"`, "bait-6")+`]}`),
		{"writes by pixel", http.MethodGet, "/pixel/v1/track?writeKey=dev&event=X&userId=u1&properties.product_id=bait-7", "", nil},
		{"writes by webhook", http.MethodPost, "/v1/webhook?writeKey=dev&userId=u1&event=X", `{"plan":"free"}`, nil},
		{"identifies by webhook", http.MethodPost, "/v1/webhook?writeKey=dev", `{"type":"identify","userId":"u1","traits":{"plan":"free"}}`, nil},
		post("asks for the phone's token again", "/v1/visitor", fmt.Sprintf(`{"anonymous_id":%q}`, phone), "X-Attune-Visitor", s.attacker),
	}
}

// proofs are the credentials the attacker has or makes up.
func (s *stage) proofs() map[string][]string {
	write := basic(config.DevWriteKey)
	with := func(more ...string) []string { return append(slices.Clone(write), more...) }
	good := s.userToken(victim, time.Hour)
	fields := strings.Split(good, ".")
	mine := strings.Split(s.userToken(mallory, time.Hour), ".")
	foreign := identity.UserToken([]byte("guess"), victim, attune.Millis(s.now.Load()).Add(time.Hour))
	visitor := identity.Signer{Secret: []byte("guess")}.Visitor(victimPhone(), 1)
	own := strings.Split(s.attacker, ".")
	phone := strings.Split(s.phone, ".")
	return map[string][]string{
		"write key":                           write,
		"write key as Bearer":                 {"Authorization", "Bearer " + config.DevWriteKey},
		"write key in X-Write-Key":            {"X-Write-Key", config.DevWriteKey},
		"own visitor token":                   with("X-Attune-Visitor", s.attacker),
		"own visitor cookie":                  with("Cookie", "attune_visitor="+s.attacker),
		"own user token":                      with("X-Attune-User", s.userToken(mallory, time.Hour)),
		"own tokens both":                     with("X-Attune-User", s.userToken(mallory, time.Hour), "X-Attune-Visitor", s.attacker),
		"user token of a wrong secret":        with("X-Attune-User", foreign),
		"user token signed with the key":      with("X-Attune-User", identity.UserToken([]byte(config.DevWriteKey), victim, attune.Millis(s.now.Load()).Add(time.Hour))),
		"user token signed with nothing":      with("X-Attune-User", identity.UserToken(nil, victim, attune.Millis(s.now.Load()).Add(time.Hour))),
		"expired user token":                  with("X-Attune-User", s.userToken(victim, -time.Second)),
		"truncated user token":                with("X-Attune-User", good[:len(good)-2]),
		"user token without a signature":      with("X-Attune-User", strings.Join(fields[:3], ".")+"."),
		"user token with another's name":      with("X-Attune-User", strings.Join([]string{mine[0], fields[1], mine[2], mine[3]}, ".")),
		"user token with a later expiry":      with("X-Attune-User", strings.Join([]string{fields[0], fields[1], "9999999999", fields[3]}, ".")+"A"),
		"own user token after a wrong one":    with("X-Attune-User", foreign, "X-Attune-User", s.userToken(mallory, time.Hour)),
		"visitor token of a wrong secret":     with("X-Attune-Visitor", visitor),
		"visitor cookie of a wrong secret":    with("Cookie", "attune_visitor="+visitor),
		"visitor token with another's name":   with("X-Attune-Visitor", strings.Join([]string{own[0], phone[1], own[2], own[3]}, ".")),
		"truncated visitor token":             with("X-Attune-Visitor", s.phone[:len(s.phone)-2]),
		"own visitor token, wrong cookie":     with("X-Attune-Visitor", s.attacker, "Cookie", "attune_visitor="+visitor),
		"user token as a visitor token":       with("X-Attune-Visitor", strings.Join(append([]string{"a1"}, fields[1:]...), ".")),
		"visitor token as a user token":       with("X-Attune-User", strings.Join(append([]string{"v1"}, own[1:]...), ".")),
		"a console session that was made up":  with("Cookie", "attune_console="+s.attacker+"; attune_visitor="+visitor),
		"nothing":                             nil,
		"user token without a key":            {"X-Attune-User", s.userToken(mallory, time.Hour)},
		"server secret that was made up":      {"Authorization", "Bearer dev-secret2"},
		"server secret in the wrong place":    {"X-Write-Key", config.DevServerSecret},
		"empty server secret":                 {"Authorization", "Bearer "},
		"write key and secret's beginning":    basic("dev-secre"),
		"forwarded as if by the server":       with("X-Forwarded-For", "127.0.0.1", "X-Attune-Server", "1"),
		"overridden method and original user": with("X-HTTP-Method-Override", "GET", "X-User-Id", victim),
	}
}

// reads asks for everything with every proof, after the attack named so.
func (s *stage) reads(after string) {
	s.t.Helper()
	proofs := s.proofs()
	for name, proof := range proofs {
		// The whole list of requests with the plain proofs; with each forgery
		// the ones that would show whether it is believed.
		whole := name == "write key" || name == "own tokens both" || name == "own visitor token"
		for _, q := range s.questions(whole) {
			x := s.raw(name+", "+q.name, q.method, q.path, q.body, proof...)
			if got := x.leaks(); len(got) > 0 {
				s.t.Errorf("after %q, with %s: the answer has u1's %q: %d %s %v", after, x.name, got, x.status, x.personal(), x.header)
			}
			if strings.HasPrefix(q.path, "/v1/profiles/u:u1") && x.status != http.StatusUnauthorized && x.status != http.StatusForbidden {
				s.t.Errorf("after %q, with %s: answered %d %s", after, x.name, x.status, x.body)
			}
			if x.status >= http.StatusInternalServerError {
				s.t.Errorf("after %q, with %s: answered %d %s", after, x.name, x.status, x.body)
			}
		}
	}
}

// questions are what the attacker asks. All placements are asked for with a
// limit that the crowd's items fill.
func (s *stage) questions(whole bool) []attack { //nolint:revive // the list and its beginning
	phone := victimPhone()
	expired, other := s.userToken(victim, -time.Second), s.userToken(mallory, time.Hour)
	placements := `"explain":true,"deadline_ms":1000,"placements":[{"id":"for-you","limit":8},{"id":"recently-viewed","limit":8},{"id":"cart","limit":8},{"id":"trending","limit":8},{"id":"popular","limit":8}]`
	post := func(name, path, body string) attack { return attack{name, http.MethodPost, path, body, nil} }
	get := func(name, path string) attack { return attack{name, http.MethodGet, path, "", nil} }
	qs := []attack{
		post("decides for u1 on the phone", "/v1/decide", fmt.Sprintf(`{"user_id":"u1","anonymous_id":%q,"after":%q,%s}`, phone, s.last, placements)),
		get("reads u1", "/v1/profiles/u:u1"),
	}
	if !whole {
		return qs
	}
	event := fmt.Sprintf(`{"type":"track","event":"X","userId":"u1","anonymousId":%q,"messageId":"m-zq7-1"}`, phone)
	qs = append(
		qs,
		post("decides for nobody", "/v1/decide", `{`+placements+`}`),
		post("decides for the phone", "/v1/decide", fmt.Sprintf(`{"anonymous_id":%q,%s}`, phone, placements)),
		post("decides with inline events of u1's", "/v1/decide", fmt.Sprintf(`{"user_id":"u1","anonymous_id":%q,"events":[{"type":"track","event":"X","userId":"u1"},{"type":"track","event":"Y","anonymousId":%q,"context":{"library":{"name":"attune.js"}}}],%s}`, phone, phone, placements)),
		post("decides with an expired token in the body", "/v1/decide", fmt.Sprintf(`{"user_id":"u1","user_token":%q,%s}`, expired, placements)),
		post("decides with its own token in the body", "/v1/decide", fmt.Sprintf(`{"user_id":"u1","user_token":%q,%s}`, other, placements)),
		post("ranks for u1", "/v1/rank", fmt.Sprintf(`{"user_id":"u1","anonymous_id":%q,"items":["crowd-1","crowd-2"],"explain":true}`, phone)),
		post("feeds the webhook", "/v1/webhook", event),
		post("visitor token without an id", "/v1/visitor", `{"anonymous_id":"`+phone+`","visitor_token":"`+s.attacker+`"}`),
		get("recommends for u1", "/v1/recommend/for-you?limit=8&explain=true&user_id=u1&anonymous_id="+phone),
		get("recommends with an expired token", "/v1/recommend/recently-viewed?limit=8&user_id=u1&user_token="+expired),
		get("recommends with its own token", "/v1/recommend/recently-viewed?limit=8&user_id=u1&user_token="+other),
		get("recommends with items", "/v1/recommend/recently-viewed?limit=8&user_id=u1&items=crowd-1,crowd-2"),
		get("recommends without fallback", "/v1/recommend/cart?limit=8&user_id=u1&anonymous_id="+phone+"&after="+url.QueryEscape(s.last)),
		get("streams for u1", "/v1/stream?placement=recently-viewed&placement=for-you&limit=8&user_id=u1&anonymous_id="+phone),
		get("streams with its own token", "/v1/stream?placement=recently-viewed&limit=8&user_id=u1&user_token="+other),
		get("streams as the phone", "/v1/stream?placement=recently-viewed&limit=8&visitor="+s.phone[:len(s.phone)-1]),
		get("reads the phone", "/v1/profiles/a:"+phone),
		get("reads itself", "/v1/profiles/u:mallory"),
		get("reads its events", "/v1/profiles/u:mallory/events?limit=1000"),
		get("reads its traits", "/v1/profiles/u:mallory/traits"),
		get("reads u1, escaped", "/v1/profiles/u%3Au1"),
		get("reads u1 with her name in the query", "/v1/profiles/u:mallory?key=u:u1&user_id=u1"),
		get("reads u1 through itself", "/v1/profiles/u:mallory/..%2Fu:u1"),
		get("reads the dead letters", "/v1/dead-letters"),
		get("reads the console", "/console/api/person?key=u:u1"),
	)
	for _, part := range []string{"traits", "features", "segments", "events"} {
		qs = append(qs, get("reads u1's "+part, "/v1/profiles/u:u1/"+part))
	}
	return qs
}

// unharmed checks that u1 is who she was as far as her server said so, that
// she reads herself with her token, and that the phone reads its last stretch.
func (s *stage) unharmed(before *person) {
	t := s.t
	t.Helper()
	var now person
	if status, _ := s.call(http.MethodGet, "/v1/profiles/u:u1", config.DevWriteKey, nil, &now, "X-Attune-User", s.userToken(victim, time.Hour)); status != http.StatusOK {
		t.Fatalf("u1 reads herself: %d", status)
	}
	if now.Traits["plan"] != before.Traits["plan"] || fmt.Sprint(now.Traits["tier"]) != fmt.Sprint(before.Traits["tier"]) {
		t.Errorf("u1's server said plan %v and tier %v, now they are %v and %v",
			before.Traits["plan"], before.Traits["tier"], now.Traits["plan"], now.Traits["tier"])
	}
	if got, want := string(now.Features["recent_five_purchases"]), string(before.Features["recent_five_purchases"]); got != want {
		t.Errorf("u1 bought %s, now %s", want, got)
	}
	if !slices.Equal(now.Segments, before.Segments) {
		t.Errorf("u1 was in %v, now %v", before.Segments, now.Segments)
	}
	recent := s.recent("X-Attune-User", s.userToken(victim, time.Hour))
	for _, want := range []string{"boots-zq7", "rope-zq7"} {
		if !slices.Contains(recent, want) {
			t.Errorf("u1 with her token sees %v, want %s in it", recent, want)
		}
	}
	s.event(config.DevWriteKey, `{"type":"track","event":"Product Viewed","anonymousId":%q,"userId":"u1","properties":{"product_id":"rope-zq7"},"context":{"library":{"name":"attune.js"}}}`, victimPhone())
	recent = s.recent("X-Attune-Visitor", s.phone)
	if len(recent) == 0 || recent[0] != "rope-zq7" || slices.Contains(recent, "boots-zq7") || slices.Contains(recent, "bait-3") {
		t.Errorf("the phone sees %v, want rope-zq7 first, and of the stretches before the last nothing", recent)
	}
	if got := s.recent("Cookie", "attune_visitor="+s.phone); !slices.Equal(got, recent) {
		t.Errorf("the phone sees %v with its cookie and %v with its header", got, recent)
	}
}
