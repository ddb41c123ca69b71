package collect

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/tidwall/gjson"

	"github.com/attune-io/attune"
)

// maxPixelFields bounds the query parameters of a pixel, and maxPixelDepth how
// deep their names nest.
const (
	maxPixelFields = 100
	maxPixelDepth  = 8
)

// pixel returns the handler of the pixel of a type. It answers a picture with
// status 200 whatever comes: a broken picture in a mail helps nobody. What was
// refused is in the metrics and, where the sender is known, in the dead-letter
// list.
func (c *Collector) pixel(kind attune.Type) func(http.ResponseWriter, *http.Request) error {
	return func(w http.ResponseWriter, r *http.Request) error {
		defer writeGIF(w)
		if err := c.takePixel(r, kind); err != nil {
			c.o.Metrics.Refused(http.StatusOK)
		}
		return nil
	}
}

func (c *Collector) takePixel(r *http.Request, kind attune.Type) error {
	if err := c.behind(); err != nil {
		return err
	}
	who, known, err := c.authenticate(r)
	switch {
	case err != nil:
		return err
	case !known:
		return &refusal{status: http.StatusUnauthorized, text: errNoKey}
	}
	q, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return &refusal{status: http.StatusBadRequest, text: err.Error()}
	}
	raw, err := pixelEvent(q)
	if err != nil {
		return err
	}
	if err := c.rates.allow(c, &who, 1); err != nil {
		return err
	}
	env := envelope{events: [][]byte{raw}}
	b := c.batch(r, &who, &env, kind)
	b.Agent = r.Header.Get("User-Agent") // a mail program is the person's own
	_, err = c.Accept(r.Context(), &b)
	return err
}

// pixelEvent makes an event of query parameters: a name's dots nest, so that
// properties.total=3 is {"properties":{"total":"3"}}; data is an event as JSON
// in base64 that the others add to.
func pixelEvent(q url.Values) ([]byte, error) {
	root := map[string]any{}
	if data := q.Get("data"); data != "" {
		plain, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(strings.NewReplacer("-", "+", "_", "/", " ", "+").Replace(data), "="))
		if err != nil || tooDeep(plain, maxDepth) || json.Unmarshal(plain, &root) != nil || root == nil {
			return nil, &refusal{status: http.StatusBadRequest, code: CodeJSON, text: "data: " + errJSON}
		}
	}
	names := make([]string, 0, len(q))
	for name := range q {
		if name != "writeKey" && name != "data" {
			names = append(names, name)
		}
	}
	slices.Sort(names) // "a" before "a.b": which of the two counts must not be chance
	for _, name := range names[:min(len(names), maxPixelFields)] {
		setPath(root, strings.SplitN(name, ".", maxPixelDepth), q.Get(name))
	}
	return json.Marshal(root)
}

// setPath sets the member at path, and makes the objects on the way. Where
// something else stands in the way, nothing is set.
func setPath(o map[string]any, path []string, value string) {
	for _, name := range path[:len(path)-1] {
		next, ok := o[name].(map[string]any)
		if !ok {
			if o[name] != nil {
				return
			}
			next = map[string]any{}
			o[name] = next
		}
		o = next
	}
	o[path[len(path)-1]] = value
}

// writeGIF writes a transparent picture of one pixel.
func writeGIF(w http.ResponseWriter) {
	const gif = "GIF89a\x01\x00\x01\x00\x80\x00\x00\x00\x00\x00\xff\xff\xff" +
		"!\xf9\x04\x01\x00\x00\x00\x00,\x00\x00\x00\x00\x01\x00\x01\x00\x00\x02\x02D\x01\x00;"
	w.Header().Set("Content-Type", "image/gif")
	w.Header().Set("Cache-Control", "no-store, max-age=0")
	w.WriteHeader(http.StatusOK)
	_, _ = w.Write([]byte(gif))
}

// webhook takes what any system sends: an event, a batch, or any JSON object
// (GET: the query), which becomes the properties of a track.
func (c *Collector) webhook(w http.ResponseWriter, r *http.Request) error {
	if err := c.behind(); err != nil {
		return err
	}
	who, known, err := c.authenticate(r)
	switch {
	case err != nil:
		return err
	case !known:
		return &refusal{status: http.StatusUnauthorized, text: errNoKey}
	}
	q, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return &refusal{status: http.StatusBadRequest, text: "query: " + err.Error()}
	}
	held := heldBytes{all: &c.inFlight, limit: c.o.Limits.InFlightBytes}
	defer held.release()
	body, err := c.readBody(r, &held)
	if err != nil {
		return c.bury(who, nil, err)
	}
	if r.Method == http.MethodGet && len(body) == 0 {
		if body, err = pixelEvent(q); err != nil {
			return c.bury(who, nil, err)
		}
	}
	env, err := c.openHook(body, q)
	if err != nil {
		return c.bury(who, body, err)
	}
	if err := c.rates.allow(c, &who, len(env.events)); err != nil {
		return err
	}
	b := c.batch(r, &who, &env, attune.Unknown)
	res, err := c.Accept(r.Context(), &b)
	if err != nil {
		return err
	}
	c.answer(w, r, &res, len(env.events))
	return nil
}

// openHook takes a webhook's body apart.
func (c *Collector) openHook(body []byte, q url.Values) (envelope, error) {
	env, err := c.open(body, anEvent)
	if err != nil {
		return env, err
	}
	root := gjson.Parse(env.texts[0])
	switch {
	case root.Get("batch").IsArray():
		return c.open(body, aBatch)
	case attune.ParseType(root.Get("type").Str) == attune.Unknown:
		raw, err := hookEvent(root, q)
		if err != nil {
			return env, err
		}
		env.events = [][]byte{raw}
	case root.Get("messageId").Type == gjson.Null:
		env.events = [][]byte{withMessageID(env.texts[0], hookID(env.texts[0]))}
	}
	env.texts = nil
	return env, nil
}

// hookEvent makes a track of any JSON object. The address may name the event
// and the ids; else they are looked for where systems put them.
func hookEvent(root gjson.Result, q url.Values) ([]byte, error) {
	pick := func(names ...string) string {
		for _, n := range names {
			if v := q.Get(n); v != "" {
				return v
			}
			if v := scalar(root.Get(n)); v != "" {
				return v
			}
		}
		return ""
	}
	id := pick("messageId", "message_id")
	if id == "" {
		id = hookID(root.Raw)
	}
	e := map[string]any{
		"type": "track", "messageId": id, "properties": json.RawMessage(root.Raw),
		"userId": pick("userId", "user_id"), "anonymousId": pick("anonymousId", "anonymous_id"),
		"event": "Webhook Received",
	}
	if name := pick("event", "event_name"); name != "" {
		e["event"] = name
	}
	if t := root.Get("timestamp"); t.Exists() {
		e["timestamp"] = json.RawMessage(t.Raw)
	}
	b, err := json.Marshal(e)
	if err != nil {
		return nil, &refusal{status: http.StatusBadRequest, code: CodeJSON, text: errJSON}
	}
	return b, nil
}

// hookID is the messageId of a webhook that has none: a hash of its content, so
// that a system that sends it again is not counted twice.
func hookID(content string) string {
	sum := sha256.Sum256([]byte(content))
	return "webhook-" + hex.EncodeToString(sum[:16])
}

// withMessageID returns the event with this messageId. It is put last, where it
// wins over a null before it.
func withMessageID(text, id string) []byte {
	end := strings.LastIndexByte(text, '}')
	b := append(make([]byte, 0, len(text)+len(id)+16), text[:end]...)
	b = append(b, `,"messageId":`...)
	b = gjson.AppendJSONString(b, id)
	return append(b, '}')
}
