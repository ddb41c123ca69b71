package collect

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"unsafe"

	"github.com/klauspost/compress/gzip"
	"github.com/tidwall/gjson"
	"github.com/tidwall/sjson"

	"github.com/attune-io/attune"
)

// refusal is a request that is turned away whole.
type refusal struct {
	status int
	code   string // for metrics and dead letters, "" keeps it out of those
	text   string
	path   string // where in the request, "" when it is all of it
	after  int    // seconds, for Retry-After; 0 is none
	cause  error  // what it came of, not said; nil when it is the refusal's own
}

// Error returns the text.
func (r *refusal) Error() string { return r.text }

// Unwrap returns what the refusal came of.
func (r *refusal) Unwrap() error { return r.cause }

// fault is the refusal as an answer says it.
func (r *refusal) fault() map[string]string {
	f := map[string]string{"code": r.name(), "message": r.text}
	if r.path != "" {
		f["path"] = r.path
	}
	return f
}

// name is the refusal's word for programs: why the body is bad, else what the
// status means. They are the words that every other answer of Attune uses.
func (r *refusal) name() string {
	if r.code != "" {
		return r.code
	}
	switch r.status {
	case http.StatusUnauthorized:
		return "unauthorized"
	case http.StatusForbidden:
		return "forbidden"
	case http.StatusNotFound:
		return "not_found"
	case http.StatusMethodNotAllowed:
		return "method_not_allowed"
	case http.StatusConflict:
		return "conflict"
	case http.StatusRequestEntityTooLarge:
		return CodeTooBig
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		return "busy"
	case http.StatusInternalServerError:
		return "internal"
	default:
		return "invalid"
	}
}

const errJSON = "invalid json"

// firstChunk is what a body's buffer starts with; it grows fourfold from there,
// so that a slow sender holds little more than it has sent.
const firstChunk = 4 << 10

// readBody reads a request's body, inflated, and checks the limit while it
// does. The caller releases what held counted.
func (c *Collector) readBody(r *http.Request, held *heldBytes) ([]byte, error) {
	limit := c.o.Limits.RequestBytes
	if r.ContentLength > limit {
		return nil, c.tooLarge()
	}
	encoding := strings.ToLower(strings.TrimSpace(r.Header.Get("Content-Encoding")))
	zipped := false
	switch encoding {
	case "gzip", "x-gzip":
		zipped = true
	case "", "identity":
	default:
		return nil, &refusal{
			status: http.StatusUnsupportedMediaType, code: CodeGzip,
			text: fmt.Sprintf("content encoding %q is not read; send gzip or none", cut(encoding, 64)),
		}
	}
	hint := firstChunk
	if !zipped && r.ContentLength > 0 && r.ContentLength < 2*firstChunk {
		hint = int(r.ContentLength) + 1 // one more, so that the end is seen without growing
	}
	body, err := c.readAll(r.Body, hint, r.ContentLength+1, held)
	if err != nil {
		return nil, err
	}
	// The header is sometimes lost on the way, the magic number never.
	if !zipped && (len(body) < 2 || body[0] != 0x1f || body[1] != 0x8b) {
		return body, nil
	}
	return c.inflate(body, held)
}

func (c *Collector) inflate(zipped []byte, held *heldBytes) ([]byte, error) {
	corrupt := func(err error) error {
		return &refusal{status: http.StatusBadRequest, code: CodeGzip, text: "corrupt gzip body: " + whyCorrupt(err)}
	}
	z, _ := c.inflaters.Get().(*gzip.Reader)
	if z == nil {
		z = new(gzip.Reader)
	}
	defer c.inflaters.Put(z)
	if err := z.Reset(bytes.NewReader(zipped)); err != nil {
		return nil, corrupt(err)
	}
	body, err := c.readAll(z, max(4*len(zipped), firstChunk), 0, held)
	var refused *refusal
	switch {
	case errors.As(err, &refused) && refused.status != http.StatusBadRequest:
		return nil, err
	case err != nil:
		return nil, corrupt(err)
	}
	return body, nil
}

// whyCorrupt says what is wrong with a gzip body.
func whyCorrupt(err error) string {
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "it ends too early"
	case errors.Is(err, gzip.ErrHeader):
		return "it does not begin as gzip does"
	case errors.Is(err, gzip.ErrChecksum):
		return "its checksum is wrong"
	default:
		return "it does not inflate"
	}
}

// readAll reads r to its end, at most Limits.RequestBytes. It begins with hint
// bytes of memory; expected is what will be needed in the end, 0 when unknown.
func (c *Collector) readAll(r io.Reader, hint int, expected int64, held *heldBytes) ([]byte, error) {
	limit := c.o.Limits.RequestBytes
	size := min(int64(hint), limit+1)
	if !held.take(size) {
		return nil, c.full()
	}
	b := make([]byte, 0, size)
	for {
		n, err := r.Read(b[len(b):cap(b)])
		b = b[:len(b)+n]
		if int64(len(b)) > limit {
			return nil, c.tooLarge()
		}
		if errors.Is(err, io.EOF) {
			return b, nil
		}
		if err != nil {
			return nil, &refusal{status: http.StatusBadRequest, text: "the body ended before it was whole", cause: err}
		}
		if len(b) == cap(b) {
			grown := min(4*int64(cap(b)), limit+1)
			if grown > expected && expected > int64(cap(b)) {
				grown = expected
			}
			if !held.take(grown - int64(cap(b))) {
				return nil, c.full()
			}
			next := make([]byte, len(b), grown)
			copy(next, b)
			b = next
		}
	}
}

func (c *Collector) tooLarge() error {
	return &refusal{
		status: http.StatusRequestEntityTooLarge, code: CodeTooBig,
		text: fmt.Sprintf("the request has more than %d bytes (limits.request_bytes); send smaller batches", c.o.Limits.RequestBytes),
	}
}

func (*Collector) full() error {
	return &refusal{status: http.StatusServiceUnavailable, text: "too many requests at once; try again later", after: 1}
}

// heldBytes counts what one request holds of Limits.InFlightBytes. One
// goroutine uses it.
type heldBytes struct {
	all   *atomic.Int64
	limit int64
	mine  int64
}

func (h *heldBytes) take(n int64) bool {
	if h.all.Add(n) > h.limit {
		h.all.Add(-n)
		return false
	}
	h.mine += n
	return true
}

func (h *heldBytes) release() { h.all.Add(-h.mine); h.mine = 0 }

// Fields of a body that carry credentials, and are never kept.
const (
	userTokenField    = "user_token"
	visitorTokenField = "visitor_token"
)

// envelope is a body taken apart: its events, and what it says for all of them.
type envelope struct {
	writeKey   string
	userTokens []string
	visitor    string
	sentAt     attune.Millis
	context    []byte
	integrated []byte
	events     [][]byte
	texts      []string
	shape      shape
}

// shape is what a body holds.
type shape uint8

const (
	anEvent shape = iota // one event
	aBatch               // an object with events in the array "batch"
)

// open takes a body apart. What it returns shares body's memory, which must not
// change from now on.
func (c *Collector) open(body []byte, sh shape) (envelope, error) {
	env := envelope{shape: sh}
	body = bytes.TrimSpace(bytes.TrimPrefix(body, []byte("\ufeff")))
	if tooDeep(body, maxBodyDepth) {
		return env, &refusal{status: http.StatusBadRequest, code: CodeDeep, text: errJSON + ": nests too deeply"}
	}
	// The body is this request's own memory (see readAll), and nobody writes to
	// it any more: its text needs no copy.
	text := unsafe.String(unsafe.SliceData(body), len(body)) //nolint:gosec // see above
	if !gjson.Valid(text) {
		return env, &refusal{status: http.StatusBadRequest, code: CodeJSON, text: errJSON}
	}
	root := gjson.Parse(text)
	if !root.IsObject() {
		return env, &refusal{status: http.StatusBadRequest, code: CodeJSON, text: errJSON + ": want an object, got " + kindOf(root)}
	}
	if sh == anEvent {
		env.events, env.texts = [][]byte{body}, []string{text}
		return env, nil
	}
	var batch gjson.Result
	root.ForEach(func(k, v gjson.Result) bool {
		switch k.Str {
		case "batch":
			batch = v
		case "writeKey":
			env.writeKey = v.Str
		case "sentAt":
			env.sentAt = instant(v)
		case "context":
			env.context = objectOrNil(body, v)
		case "integrations":
			env.integrated = objectOrNil(body, v)
		case userTokenField:
			env.userTokens = stringsOf(v)
		case visitorTokenField:
			env.visitor = v.Str
		}
		return true
	})
	if !batch.IsArray() {
		return env, &refusal{status: http.StatusBadRequest, code: CodeEmpty, text: errEmpty}
	}
	limit := c.o.Limits.BatchEvents
	tooMany := false
	batch.ForEach(func(_, v gjson.Result) bool {
		if len(env.events) == limit {
			tooMany = true
			return false
		}
		end := v.Index + len(v.Raw)
		env.events = append(env.events, body[v.Index:end:end])
		env.texts = append(env.texts, v.Raw)
		return true
	})
	switch {
	case tooMany:
		return env, &refusal{
			status: http.StatusRequestEntityTooLarge, code: CodeTooBig,
			text: fmt.Sprintf("the batch has more than %d events; send smaller batches", limit),
		}
	case len(env.events) == 0:
		return env, &refusal{status: http.StatusBadRequest, code: CodeEmpty, text: errEmpty}
	}
	// What is said once is kept with every event: without a bound a small
	// request could fill the memory.
	if shared := int64(len(env.context) + len(env.integrated)); shared*int64(len(env.events)) > 2*c.o.Limits.RequestBytes {
		return env, &refusal{
			status: http.StatusRequestEntityTooLarge, code: CodeTooBig,
			text: fmt.Sprintf("the batch's context and integrations have %d bytes for each of %d events; send smaller batches", shared, len(env.events)),
		}
	}
	return env, nil
}

const errEmpty = "empty batch payload"

// credentialsOf reads what a single event's body says of its sender. It is not
// read with the rest: few senders put it there.
func (env *envelope) credentialsOf(text string) {
	if strings.Contains(text, `"writeKey"`) {
		env.writeKey = gjson.Get(text, "writeKey").Str
	}
	if strings.Contains(text, userTokenField) {
		env.userTokens = stringsOf(gjson.Get(text, userTokenField))
	}
	if strings.Contains(text, visitorTokenField) {
		env.visitor = gjson.Get(text, visitorTokenField).Str
	}
}

// objectOrNil returns v as a part of body when it is an object that says
// something.
func objectOrNil(body []byte, v gjson.Result) []byte {
	if !v.IsObject() || len(v.Raw) <= len("{}") {
		return nil
	}
	return body[v.Index : v.Index+len(v.Raw)]
}

// stringsOf returns a string, or the strings of an array.
func stringsOf(v gjson.Result) []string {
	var out []string
	v.ForEach(func(_, s gjson.Result) bool {
		if s.Type == gjson.String && len(out) < maxUserTokens {
			out = append(out, s.Str)
		}
		return true
	})
	return out
}

// withoutTokens returns raw without the credentials at its top level: a token
// that is good for an hour must not lie in a journal for a year.
func withoutTokens(raw []byte) []byte {
	out := bytes.Clone(raw)
	for _, name := range [...]string{userTokenField, visitorTokenField} {
		// A name may be there more than once; each turn removes one.
		for gjson.GetBytes(out, name).Exists() {
			next, err := sjson.DeleteBytes(out, name)
			if err != nil || len(next) >= len(out) {
				break
			}
			out = next
		}
	}
	return out
}

// merge returns raw, an event's valid JSON, with what the batch says for all
// of its events in "context" and "integrations", where the event does not say
// otherwise. It returns raw itself when there is nothing to add.
func (b *Batch) merge(raw []byte, text string) []byte {
	for _, part := range [...]struct {
		name string
		all  []byte
	}{{"context", b.Context}, {"integrations", b.Integrations}} {
		if part.all == nil {
			continue
		}
		if next := mergeMember(raw, text, part.name, string(part.all)); next != nil {
			raw, text = next, string(next)
		}
	}
	return raw
}

// mergeMember returns raw with the members of the object all added to its
// member name, nil when there is nothing to add. Members that are there stay.
func mergeMember(raw []byte, text, name, all string) []byte {
	root := gjson.Parse(text)
	if !root.IsObject() {
		return nil
	}
	var own gjson.Result
	empty := true
	root.ForEach(func(k, v gjson.Result) bool {
		empty = false
		if k.Str == name {
			own = v
		}
		return true
	})
	switch {
	case !own.Exists():
		end := bytes.LastIndexByte(raw, '}')
		out := append(make([]byte, 0, len(raw)+len(name)+len(all)+8), raw[:end]...)
		if !empty {
			out = append(out, ',')
		}
		out = append(out, '"')
		out = append(out, name...)
		out = append(out, '"', ':')
		out = append(out, all...)
		return append(out, raw[end:]...)
	case own.Type == gjson.Null:
		return splice(raw, own.Index, len(own.Raw), all)
	case !own.IsObject():
		return nil // the event is refused for it
	}
	said := map[string]bool{}
	own.ForEach(func(k, _ gjson.Result) bool {
		said[k.Str] = true
		return true
	})
	var more []byte
	gjson.Parse(all).ForEach(func(k, v gjson.Result) bool {
		if !said[k.Str] {
			if len(said) > 0 {
				more = append(more, ',')
			}
			said[k.Str] = true
			more = append(more, k.Raw...)
			more = append(more, ':')
			more = append(more, v.Raw...)
		}
		return true
	})
	if len(more) == 0 {
		return nil
	}
	return splice(raw, own.Index+len(own.Raw)-1, 0, string(more))
}

// splice returns raw with n bytes at i replaced by text.
func splice(raw []byte, i, n int, text string) []byte {
	out := make([]byte, 0, len(raw)-n+len(text))
	out = append(out, raw[:i]...)
	out = append(out, text...)
	return append(out, raw[i+n:]...)
}
