package collect

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/tidwall/gjson"

	"github.com/attune-io/attune"
	"github.com/attune-io/attune/identity"
)

// route is one path and what it does.
type route struct {
	path    string
	methods []string // OPTIONS is answered for every route
	serve   func(http.ResponseWriter, *http.Request) error
}

// Route is one address that is served, and the method it takes.
type Route struct{ Method, Path string }

// Routes lists what Register serves, as net/http's patterns write it. OPTIONS,
// which every address answers, is left out. The OpenAPI document has the same.
func (c *Collector) Routes() []Route {
	var out []Route
	for _, r := range c.routes() {
		for _, m := range r.methods {
			out = append(out, Route{Method: m, Path: r.path})
		}
	}
	return out
}

func (c *Collector) routes() []route {
	post, get := []string{http.MethodPost}, []string{http.MethodGet}
	both := []string{http.MethodGet, http.MethodPost}
	rs := []route{
		{"/v1/m", post, dropMetrics},
		{"/v1/projects/{writeKey}/settings", get, c.segmentSettings},
		{"/analytics.js/v1/{writeKey}/analytics.min.js", get, noAnalytics},
		{"/sourceConfig", get, c.sourceConfig},
		{"/sourceConfig/{$}", get, c.sourceConfig},
		{"/v1/webhook", both, c.webhook},
		{"/v1/visitor", post, c.visitor},
		{"/v1/dead-letters", get, c.deadLetters},
		{"/v1/dead-letters/retry", post, c.retryLetters},
		{"/health", []string{http.MethodGet, http.MethodHead}, c.health},
	}
	for _, e := range [...]struct {
		long, short string
		kind        attune.Type
	}{
		{"identify", "i", attune.Identify},
		{"track", "t", attune.Track},
		{"page", "p", attune.Page},
		{"screen", "s", attune.Screen},
		{"group", "g", attune.Group},
		{"alias", "a", attune.Alias},
		{"merge", "", attune.Alias},
		{"batch", "b", attune.Unknown},
		{"import", "", attune.Unknown},
	} {
		serve := c.events(e.kind)
		rs = append(rs, route{"/v1/" + e.long, post, serve}, route{"/beacon/v1/" + e.long, post, serve})
		if e.short != "" {
			rs = append(rs, route{"/v1/" + e.short, post, serve}, route{"/beacon/v1/" + e.short, post, serve})
		}
		if e.long != "import" && e.long != "merge" {
			// Jitsu's SDKs, in a page and on a server.
			rs = append(rs, route{"/api/s/" + e.long, post, serve}, route{"/api/s/s2s/" + e.long, post, serve})
		}
		if e.kind == attune.Track || e.kind == attune.Page {
			rs = append(rs, route{"/pixel/v1/" + e.long, both, c.pixel(e.kind)})
		}
	}
	return rs
}

// route wraps r with what every route shares: CORS, preflights, methods, and
// the answer to an error.
func (c *Collector) route(r route) http.Handler {
	allow := strings.Join(append(slices.Clone(r.methods), http.MethodOptions), ", ")
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		origin := req.Header.Get("Origin")
		if origin != "" {
			c.allowOrigin(w, req, origin)
		}
		switch {
		case req.Method == http.MethodOptions:
			w.Header().Set("Allow", allow)
			w.WriteHeader(http.StatusNoContent)
			return
		case !slices.Contains(r.methods, req.Method):
			w.Header().Set("Allow", allow)
			c.refuse(w, &refusal{
				status: http.StatusMethodNotAllowed,
				text:   "method " + cut(req.Method, 32) + " is not allowed here; use " + strings.Join(r.methods, " or "),
			})
			return
		}
		if err := r.serve(w, req); err != nil {
			c.fail(w, req, err)
		}
	})
}

// askedHeaders is the allow-list when a preflight asks for nothing. The retry
// headers matter: without them a browser's first try gets in and every retry
// is silently blocked.
const askedHeaders = "authorization, content-type, anonymousid, sentat, x-write-key, x-retry-count, " +
	"rsa-retry-attempt, rsa-retry-reason, rsa-since-first-attempt, rsa-since-last-attempt, " +
	"x-attune-visitor, x-attune-user"

// allowOrigin writes the CORS headers for a page of origin, or none when no
// source allows it. A preflight carries no credentials, so unless the address
// names the key it is answered for all sources; the request itself is then
// checked against its own (see authenticate).
func (c *Collector) allowOrigin(w http.ResponseWriter, r *http.Request, origin string) {
	h := w.Header()
	h.Add("Vary", "Origin")
	if s := c.o.Keys.source(queryKey(r)); s != nil {
		if !s.allows(origin) {
			return
		}
	} else if !c.o.Keys.allowed(origin) {
		return
	}
	h.Set("Access-Control-Allow-Origin", origin)
	h.Set("Access-Control-Allow-Credentials", "true")
	h.Set("Access-Control-Expose-Headers", "Retry-After, X-Attune-Token, X-Attune-Visitor")
	if r.Method != http.MethodOptions {
		return
	}
	asked := r.Header.Get("Access-Control-Request-Headers")
	if asked == "" || len(asked) > 4096 {
		asked = askedHeaders
	}
	h.Add("Vary", "Access-Control-Request-Headers")
	h.Set("Access-Control-Allow-Headers", asked)
	h.Set("Access-Control-Allow-Methods", "GET, POST, OPTIONS")
	h.Set("Access-Control-Max-Age", "900")
}

// events returns the handler of event posts; kind Unknown is a batch.
func (c *Collector) events(kind attune.Type) func(http.ResponseWriter, *http.Request) error {
	return func(w http.ResponseWriter, r *http.Request) error {
		if err := c.behind(); err != nil {
			return err
		}
		who, known, err := c.authenticate(r)
		if err != nil {
			return err
		}
		held := heldBytes{all: &c.inFlight, limit: c.o.Limits.InFlightBytes}
		defer held.release()
		body, err := c.readBody(r, &held)
		if err != nil {
			return c.bury(who, nil, err)
		}
		env, err := c.open(body, shapeOf(kind))
		if err != nil {
			return c.bury(who, body, err)
		}
		if env.shape == anEvent {
			env.credentialsOf(env.texts[0])
		}
		if !known || who.server {
			if who, err = c.authenticateBody(r, who, known, env.writeKey); err != nil {
				return err
			}
		}
		if err := c.rates.allow(c, &who, len(env.events)); err != nil {
			return err
		}
		b := c.batch(r, &who, &env, kind)
		res, err := c.Accept(r.Context(), &b)
		if err != nil {
			return err
		}
		c.answer(w, r, &res, len(env.events))
		return nil
	}
}

// shapeOf returns what the body of a route for events of kind holds.
func shapeOf(kind attune.Type) shape {
	if kind == attune.Unknown {
		return aBatch
	}
	return anEvent
}

// batch makes a Batch of a request.
func (c *Collector) batch(r *http.Request, who *caller, env *envelope, kind attune.Type) Batch {
	b := Batch{
		Source: who.source.ID, ReceivedAt: c.o.Now(), Type: kind, SentAt: env.sentAt,
		Context: env.context, Integrations: env.integrated, Events: env.events, texts: env.texts,
	}
	if who.server {
		b.Rank, b.Verified = attune.Server, true
	}
	if b.SentAt == 0 {
		if s := r.Header.Get("SentAt"); s != "" {
			b.SentAt = instantOf(s)
		}
	}
	b.Users = c.provenUsers(r, env.userTokens, b.ReceivedAt)
	b.Device = c.provenDevice(r, env.visitor)
	origin := r.Header.Get("Origin")
	if origin != "" {
		b.Agent = r.Header.Get("User-Agent")
		b.contact = c.sameSite(r, origin)
	}
	b.Address = c.Address(r)
	b.Denied = c.o.Consent.GPC && r.Header.Get("Sec-GPC") == "1"
	return b
}

// maxUserTokens bounds how many user tokens of one request are looked at: an
// alias of two users needs two.
const maxUserTokens = 2

// provenUsers returns the users that the request's tokens prove. A token that
// does not is as good as none: events are taken all the same.
func (c *Collector) provenUsers(r *http.Request, more []string, now attune.Millis) []string {
	head := r.Header.Values("X-Attune-User")
	if len(head) == 0 && len(more) == 0 || len(c.o.UserSecrets) == 0 {
		return nil
	}
	var users []string
	tokens := strings.Split(strings.Join(append(slices.Clone(head), more...), ","), ",")
	for _, t := range tokens[:min(len(tokens), 2*maxUserTokens)] {
		if id, err := identity.ParseUserToken(c.o.UserSecrets, strings.TrimSpace(t), now); err == nil {
			users = append(users, id)
		}
	}
	return users
}

// maxListed bounds the rejections an answer lists.
const maxListed = 1000

// answer writes what became of n events.
func (c *Collector) answer(w http.ResponseWriter, r *http.Request, res *Result, n int) {
	h := w.Header()
	h.Set("Content-Type", "application/json")
	if res.visitor != "" {
		c.setVisitor(w, r, res.visitor)
	}
	if len(res.Token.Positions) > 0 {
		h.Set("X-Attune-Token", res.Token.String())
	}
	b := make([]byte, 0, 128)
	status := http.StatusOK
	if res.Accepted > 0 || res.Dropped > 0 {
		b = append(b, `{"ok":true,"accepted":`...)
		b = strconv.AppendInt(b, int64(res.Accepted), 10)
		if res.Dropped > 0 {
			b = append(b, `,"dropped":`...)
			b = strconv.AppendInt(b, int64(res.Dropped), 10)
		}
	} else {
		var text string
		status, text = allRefused(res.Rejected, n)
		c.o.Metrics.Refused(status)
		b = append(b, `{"error":{"code":`...)
		b = gjson.AppendJSONString(b, (&refusal{status: status}).name())
		b = append(b, `,"message":`...)
		b = appendPlain(b, text)
		b = append(b, `},"ok":false,"accepted":0`...)
	}
	b = append(b, `,"rejected":[`...)
	for i := range res.Rejected[:min(len(res.Rejected), maxListed)] {
		b = appendRejection(b, i, &res.Rejected[i])
	}
	b = append(b, ']')
	if len(res.Rejected) > maxListed {
		b = append(b, `,"rejected_total":`...)
		b = strconv.AppendInt(b, int64(len(res.Rejected)), 10)
	}
	b = append(b, '}', '\n')
	w.WriteHeader(status)
	_, _ = w.Write(b)
}

func appendRejection(b []byte, i int, r *Rejection) []byte {
	if i > 0 {
		b = append(b, ',')
	}
	b = append(b, `{"index":`...)
	b = strconv.AppendInt(b, int64(r.Index), 10)
	b = append(b, `,"messageId":`...)
	b = appendPlain(b, cut(r.MessageID, maxEnrichedText))
	b = append(b, `,"reason":`...)
	b = appendPlain(b, r.Reason)
	return append(b, '}')
}

// appendPlain appends s as a JSON string, without escapes for HTML.
func appendPlain(b []byte, s string) []byte {
	var text bytes.Buffer
	e := json.NewEncoder(&text)
	e.SetEscapeHTML(false)
	_ = e.Encode(s) // a string always has its JSON
	return append(b, bytes.TrimSuffix(text.Bytes(), []byte{'\n'})...)
}

// allRefused returns what a request of which no event was taken is answered:
// the reason, when it is one for all.
func allRefused(rejected []Rejection, n int) (status int, text string) {
	status = http.StatusBadRequest
	if len(rejected) == 0 {
		return status, errEmpty
	}
	same, big := true, true
	for i := range rejected {
		same = same && rejected[i].Reason == rejected[0].Reason
		big = big && rejected[i].Code == CodeTooBig
	}
	if big {
		status = http.StatusRequestEntityTooLarge
	}
	if same {
		return status, rejected[0].Reason
	}
	return status, "none of the " + strconv.Itoa(n) + " events was accepted; see rejected"
}

// bury puts a request of which no event could be read into the dead-letter
// list, and returns err.
func (c *Collector) bury(who caller, body []byte, err error) error {
	var r *refusal
	if errors.As(err, &r) && r.code != "" {
		c.o.Metrics.Rejected(who.source.ID, r.code, 1)
		c.dead.add(&DeadLetter{
			Time: c.o.Now(), Source: who.source.ID, Reason: r.text, Code: r.code, Index: -1,
			Raw: string(body[:min(len(body), maxCut, c.o.Limits.DeadRaw)]),
		})
	}
	return err
}

// behind refuses a request when the pipeline is too far behind: it is better
// kept by the sender than by a queue here.
func (c *Collector) behind() error {
	if c.o.Lag != nil && c.o.Lag() {
		return &refusal{status: http.StatusServiceUnavailable, text: "the pipeline is behind; try again later", after: 5}
	}
	return nil
}

// fail answers err. An SDK repeats on 429 and 5xx and gives up on the rest, so
// a status says whether the same bytes may succeed later.
func (c *Collector) fail(w http.ResponseWriter, r *http.Request, err error) {
	var ref *refusal
	switch {
	case errors.As(err, &ref):
	case errors.Is(err, attune.ErrBusy):
		ref = &refusal{status: http.StatusServiceUnavailable, text: "the journal's queue is full; try again later", after: 1}
	case errors.Is(err, attune.ErrClosed):
		ref = &refusal{status: http.StatusServiceUnavailable, text: "shutting down; try again later", after: 5}
	case errors.Is(err, attune.ErrInvalid):
		ref = &refusal{status: http.StatusBadRequest, text: attune.Message(err)}
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		ref = &refusal{status: http.StatusServiceUnavailable, text: "the request ended before it was stored; try again", after: 1}
	default:
		c.o.Log.LogAttrs(r.Context(), slog.LevelError, "events were not stored",
			slog.String("path", r.URL.Path), slog.String("error", err.Error()))
		ref = &refusal{status: http.StatusInternalServerError, text: "the events could not be stored; try again later", after: 5}
	}
	c.refuse(w, ref)
}

// refuse writes a refusal: {"error":{"code","message"}}. A 401 goes without WWW-Authenticate,
// which would make a browser ask the visitors of a shop for a password.
func (c *Collector) refuse(w http.ResponseWriter, r *refusal) {
	c.o.Metrics.Refused(r.status)
	if r.after > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(r.after))
	}
	writeJSON(w, r.status, map[string]any{"error": r.fault(), "ok": false})
}

// writeJSON writes an answer that is not on the hot path.
func writeJSON(w http.ResponseWriter, status int, v any) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		status = http.StatusInternalServerError
		b.Reset()
		b.WriteString(`{"error":{"code":"internal","message":"the answer could not be written"}}` + "\n")
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(b.Bytes())
}
