package node_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"mime"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/attune-io/attune/config"
	"github.com/attune-io/attune/node"
)

// body is a request's or a response's body in the document.
type body struct {
	Description string            `json:"description"`
	Content     map[string]*media `json:"content"`
}

type media struct {
	Schema schema `json:"schema"`
}

// schema is the part of JSON Schema (2020-12) that the document uses. A
// keyword that is not here is a fault of the test, see TestDocumentIsUnderstood.
type schema struct {
	Ref         string             `json:"$ref"`
	Type        oneOrMore          `json:"type"`
	Format      string             `json:"format"`
	Description string             `json:"description"`
	Default     any                `json:"default"`
	Properties  map[string]*schema `json:"properties"`
	Required    []string           `json:"required"`
	Items       *schema            `json:"items"`
	AllOf       []*schema          `json:"allOf"`
	Additional  *schema            `json:"additionalProperties"`
	MinItems    *int               `json:"minItems"`
	MaxItems    *int               `json:"maxItems"`
	MaxLength   *int               `json:"maxLength"`
	MaxMembers  *int               `json:"maxProperties"`
	Minimum     *float64           `json:"minimum"`
	Maximum     *float64           `json:"maximum"`
}

type oneOrMore []string

func (o *oneOrMore) UnmarshalJSON(b []byte) error {
	if b[0] == '"' {
		*o = make([]string, 1)
		return json.Unmarshal(b, &(*o)[0])
	}
	return json.Unmarshal(b, (*[]string)(o))
}

// book is the document as far as checking needs it.
type book struct {
	Components struct {
		Schemas map[string]*schema `json:"schemas"`
	} `json:"components"`
}

// whole returns s with its reference and its parts resolved.
func (b *book) whole(s *schema) *schema {
	if s.Ref != "" {
		if s = b.Components.Schemas[strings.TrimPrefix(s.Ref, "#/components/schemas/")]; s == nil {
			return nil
		}
	}
	if len(s.AllOf) == 0 {
		return s
	}
	all := *s
	all.AllOf, all.Properties = nil, maps.Clone(s.Properties)
	if all.Properties == nil {
		all.Properties = map[string]*schema{}
	}
	for _, part := range s.AllOf {
		if part = b.whole(part); part == nil {
			return nil
		}
		all.Type, all.Required = part.Type, append(all.Required, part.Required...)
		maps.Copy(all.Properties, part.Properties)
	}
	return &all
}

// check returns what of v, which is at path, is not as s says. An object whose
// members are listed has no others: what is sent has to be documented.
func (b *book) check(s *schema, v any, path string) []string {
	from := s.Ref
	if s = b.whole(s); s == nil {
		return []string{path + ": the document has no " + from}
	}
	kind := kindOf(v)
	if len(s.Type) > 0 && !slices.Contains(s.Type, kind) && (kind != "integer" || !slices.Contains(s.Type, "number")) {
		return []string{fmt.Sprintf("%s: is of type %s, the document says %v", path, kind, s.Type)}
	}
	switch x := v.(type) {
	case map[string]any:
		return b.object(s, x, path)
	case []any:
		var faults []string
		if s.MinItems != nil && len(x) < *s.MinItems || s.MaxItems != nil && len(x) > *s.MaxItems {
			faults = append(faults, fmt.Sprintf("%s: has %d items", path, len(x)))
		}
		for i := 0; s.Items != nil && i < len(x); i++ {
			faults = append(faults, b.check(s.Items, x[i], fmt.Sprintf("%s[%d]", path, i))...)
		}
		return faults
	case string:
		if s.MaxLength != nil && len([]rune(x)) > *s.MaxLength {
			return []string{fmt.Sprintf("%s: is longer than %d", path, *s.MaxLength)}
		}
	case float64:
		if s.Minimum != nil && x < *s.Minimum || s.Maximum != nil && x > *s.Maximum {
			return []string{fmt.Sprintf("%s: %v is out of bounds", path, x)}
		}
	}
	return nil
}

func (b *book) object(s *schema, x map[string]any, path string) []string {
	var faults []string
	for _, name := range s.Required {
		if _, ok := x[name]; !ok {
			faults = append(faults, fmt.Sprintf("%s: has no %q, which the document requires", path, name))
		}
	}
	if s.MaxMembers != nil && len(x) > *s.MaxMembers {
		faults = append(faults, fmt.Sprintf("%s: has %d members", path, len(x)))
	}
	for _, name := range slices.Sorted(maps.Keys(x)) {
		at := path + "." + name
		switch member := s.Properties[name]; {
		case member != nil:
			faults = append(faults, b.check(member, x[name], at)...)
		case s.Additional != nil:
			faults = append(faults, b.check(s.Additional, x[name], at)...)
		case s.Properties != nil:
			faults = append(faults, at+": is not in the document")
		}
	}
	return faults
}

func kindOf(v any) string {
	switch x := v.(type) {
	case nil:
		return "null"
	case bool:
		return "boolean"
	case string:
		return "string"
	case []any:
		return "array"
	case float64:
		if x == math.Trunc(x) {
			return "integer"
		}
		return "number"
	default:
		return "object"
	}
}

// TestDocumentIsUnderstood: every schema of the document uses only keywords
// that the check below knows, and names only schemas that there are.
func TestDocumentIsUnderstood(t *testing.T) {
	r := start(t, testConfig(t.TempDir()), node.Options{})
	var doc struct {
		book

		Raw struct {
			Schemas map[string]json.RawMessage `json:"schemas"`
		} `json:"components"`
	}
	var b book
	x := r.raw("document", http.MethodGet, "/openapi.json", "")
	if err := json.Unmarshal([]byte(x.body), &b); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal([]byte(x.body), &doc); err != nil {
		t.Fatal(err)
	}
	if len(doc.Raw.Schemas) == 0 || len(b.Components.Schemas) != len(doc.Raw.Schemas) {
		t.Fatalf("the document has %d schemas", len(doc.Raw.Schemas))
	}
	for name, raw := range doc.Raw.Schemas {
		d := json.NewDecoder(strings.NewReader(string(raw)))
		d.DisallowUnknownFields()
		if err := d.Decode(new(schema)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, at := range strings.Split(x.body, `"$ref": "#/components/schemas/`)[1:] {
		if name := at[:strings.IndexByte(at, '"')]; b.Components.Schemas[name] == nil {
			t.Errorf("the document has no schema %q", name)
		}
	}
}

// trial is one request whose exchange is held against the document.
type trial struct {
	key, path, body string
	status          int
}

// trials are the requests that a route's name alone does not give: what goes
// wrong in a way of its own, and richer ones that are fine.
func trials() map[string][]trial {
	const secret, write = config.DevServerSecret, config.DevWriteKey
	huge := `{"x":"` + pad(5<<20) + `"}`
	out := map[string][]trial{
		"POST /v1/decide": {
			{secret, "", `{"user_id":"u1","explain":true,"deadline_ms":1000,"context":{"page":{"path":"/"}},"events":[{"type":"track","event":"Product Viewed","userId":"u1","properties":{"product_id":"pan"}},{"type":"dance"}],"placements":[{"id":"for-you","limit":3},{"id":"similar","item":"pan"},{"id":"search","query":"pan","items":["pan"]}]}`, 200},
			{write, "", `{"user_id":"u1","placements":[{"id":"popular"}]}`, 200},
			{write, "", `{"placements":[]}`, 400},
			{write, "", `{`, 400},
			{write, "", huge, 413},
		},
		"POST /v1/rank": {
			{secret, "", `{"user_id":"u1","items":["pan","pot"],"limit":1,"explain":true}`, 200},
			{write, "", `{"items":[]}`, 400},
			{write, "", huge, 413},
		},
		"GET /v1/recommend/{placement}": {{secret, "/v1/recommend/for-you?user_id=u1&explain=true", "", 200}, {write, "/v1/recommend/for-you?limt=1", "", 400}, {write, "/v1/recommend/nonsense", "", 404}},
		"GET /v1/recommend/{placement}/all": {
			{secret, "/v1/recommend/for-you/all?limit=2", "", 200},
			{secret, "/v1/recommend/for-you/all?limit=none", "", 400},
			{secret, "/v1/recommend/nonsense/all", "", 404},
		},
		"GET /v1/stream":             {{secret, "/v1/stream?placement=for-you&placement=popular&user_id=u1", "", 200}, {write, "/v1/stream?placement=nonsense", "", 400}},
		"GET /v1/decisions/{id}":     {{secret, "/v1/decisions/x", "", 400}, {secret, "/v1/decisions/AAAAAAAAAAAAAAAAAAAAAA", "", 404}},
		"GET /v1/items":              {{write, "/v1/items?limit=1", "", 200}, {write, "/v1/items?q=pan", "", 200}, {write, "/v1/items?limit=many", "", 400}},
		"GET /v1/items/{id}":         {{write, "/v1/items/absent", "", 404}},
		"PUT /v1/items/{id}":         {{secret, "", `{"attributes":{"price":2.5,"tags":["a"],"in_stock":true,"name":null}}`, 200}, {secret, "", `{"attributes":7}`, 400}, {secret, "", huge, 413}},
		"DELETE /v1/items/{id}":      {{secret, "/v1/items/absent", "", 404}},
		"POST /v1/items":             {{secret, "", `{"id":"a","attributes":{"x":1}}` + "\n" + `{"id":"b","deleted":true}`, 200}, {secret, "", `{`, 400}, {secret, "", huge, 400}},
		"GET /v1/segments":           {{secret, "/v1/segments?x=1", "", 400}},
		"GET /v1/segments/{segment}": {{secret, "/v1/segments/looker?limit=1", "", 200}, {secret, "/v1/segments/vip?limit=0", "", 400}, {secret, "/v1/segments/absent", "", 404}},
		"GET /v1/entities/{scope}/{key}/features": {
			{secret, "/v1/entities/item/p1/features?x=1", "", 400}, {secret, "/v1/entities/item/null/features", "", 400}, {secret, "/v1/entities/absent/x/features", "", 404},
		},
		"GET /v1/destinations": {{secret, "/v1/destinations?x=1", "", 400}},
		"GET /v1/destinations/{destination}/dead-letters": {
			{secret, "/v1/destinations/crm/dead-letters?limit=2", "", 200},
			{secret, "/v1/destinations/crm/dead-letters?limit=0", "", 400},
			{secret, "/v1/destinations/absent/dead-letters", "", 404},
		},
		"POST /v1/destinations/{destination}/dead-letters/retry": {
			{secret, "", `{"ids":[]}`, 400}, {secret, "", `{"ids":["absent"]}`, 404}, {secret, "", huge, 413}, {secret, "/v1/destinations/absent/dead-letters/retry", "", 404},
		},
		"POST /v1/dead-letters/retry": {
			{secret, "", `{"reason":"transform","limit":10}`, 200}, {secret, "", `{"ids":[]}`, 400}, {secret, "", `{"ids":["absent"]}`, 404}, {secret, "", huge, 413},
		},
		"POST /v1/visitor": {{write, "", `{"anonymous_id":"null"}`, 400}, {write, "", fmt.Sprintf(`{"anonymous_id":%q}`, device(7)), 409}, {write, "", huge, 413}},
		"POST /v1/unmerge": {{secret, "", `{"user_id":"u1"}`, 400}, {secret, "", huge, 413}},
		"GET /v1/webhook":  {{write, "/v1/webhook?x=1", "", 400}},
		"POST /v1/batch":   {{write, "", `{"batch":[{"type":"track","event":"X","userId":"u1"},{"type":"dance","messageId":"m"}]}`, 200}, {write, "", `{"batch":[{"type":"dance"}]}`, 400}},
	}
	for _, part := range []string{"", "/traits", "/features", "/segments", "/events", "/identities"} {
		out["GET /v1/profiles/{key}"+part] = []trial{
			{secret, "/v1/profiles/x:1" + part, "", 400},
			{secret, "/v1/profiles/u:absent" + part, "", 404},
			{secret, "/v1/profiles/a:" + device(7) + part, "", 200},
		}
	}
	return out
}

// TestExchangesAreAsDocumented sends every operation of the document a request
// that is fine, those without the right key, and those above, and holds what is
// sent and what comes back to the schemas. Each refusal that the document names
// has to be seen, but for those that need a server in trouble.
func TestExchangesAreAsDocumented(t *testing.T) {
	r := start(t, accessConfig(t), node.Options{})
	r.stock()
	r.track(device(7), "Product Viewed", `{"product_id":"pan"}`)
	var d struct {
		ID string `json:"decision_id"`
	}
	r.call(http.MethodPost, "/v1/decide", config.DevServerSecret, `{"user_id":"u1","placements":[{"id":"for-you"}]}`, &d)
	within(t, "find the decision", func() bool {
		status, _ := r.call(http.MethodGet, "/v1/decisions/"+d.ID, config.DevServerSecret, nil, nil)
		return status == http.StatusOK
	})
	var b book
	r.call(http.MethodGet, "/openapi.json", "", nil, &b)
	more := trials()
	for i, o := range r.operations() {
		seen := map[string]bool{}
		for _, c := range o.all(i, d.ID, more[o.String()]) {
			x := r.raw("", o.method, c.path, c.body, basic(c.key)...)
			if x.status != c.status {
				t.Errorf("%s %s with %q: answered %d %.300s, want %d", o.method, c.path, c.key, x.status, x.body, c.status)
			}
			seen[strconv.Itoa(x.status)] = true
			for _, fault := range b.exchange(&o, &c, &x) {
				t.Errorf("%s %s: %d: %s", o.method, c.path, x.status, fault)
			}
			if o.method == http.MethodDelete {
				r.call(http.MethodPut, "/v1/items/pan", config.DevServerSecret, `{"attributes":{"name":"Pan"}}`, nil)
			}
		}
		delete(more, o.String())
		for status := range o.Responses {
			rare := slices.Contains([]string{"202", "429", "503"}, status) ||
				o.String() == "POST /v1/items" && status == "413" || // from 256 MB on
				o.Room == "collect" && slices.Contains([]string{"403", "404", "413", "415"}, status)
			if !rare && !seen[status] {
				t.Errorf("%s: the document names %s, and no request here is answered so", &o, status)
			}
		}
	}
	for name := range more {
		t.Errorf("%s is tried here, and not in the document", name)
	}
}

// all returns the requests for o: more, the plain good one, and those with too
// little proof.
func (o *operation) all(i int, decision string, more []trial) []trial {
	path, text := o.example(10_000+i, decision)
	out := make([]trial, 0, len(more)+4)
	for _, c := range more {
		if c.path == "" {
			c.path = path
		}
		out = append(out, c)
	}
	good, key := http.StatusOK, config.DevServerSecret
	if o.Responses["200"].Description == "" {
		good = http.StatusNotFound
	}
	if strings.HasPrefix(o.path, "/sourceConfig") {
		key = config.DevWriteKey
	}
	out = append(out, trial{key, path, text, good})
	if o.Access != "open" && o.Responses["401"].Description != "" {
		out = append(out, trial{"wrong", path, text, http.StatusUnauthorized})
	}
	if o.Access == "secret" || o.Access == "own" {
		out = append(out, trial{config.DevWriteKey, path, text, http.StatusForbidden})
	}
	if o.path == "/v1/projects/{writeKey}/settings" {
		out = append(out, trial{"", "/v1/projects/wrong/settings", "", http.StatusUnauthorized})
	}
	if o.takesEvents() && o.method == http.MethodPost && o.Responses["400"].Description != "" {
		out = append(out, trial{config.DevWriteKey, path, `{`, http.StatusBadRequest})
	}
	return out
}

// exchange returns what of a request and its answer is not as documented.
func (b *book) exchange(o *operation, c *trial, x *exchange) []string {
	var faults []string
	if x.status < 400 && o.Request != nil {
		for kind, m := range o.Request.Content {
			for _, part := range documents(kind, c.body) {
				faults = append(faults, b.text(&m.Schema, part, "request")...)
			}
		}
	}
	response, ok := o.Responses[strconv.Itoa(x.status)]
	if !ok {
		return append(faults, "the document does not name this status")
	}
	kind, _, err := mime.ParseMediaType(x.header.Get("Content-Type"))
	if err != nil {
		return append(faults, "the answer has no content type")
	}
	if response.Content == nil {
		return faults
	}
	m := response.Content[kind]
	if m == nil {
		return append(faults, fmt.Sprintf("the answer is %s, the document does not say so", kind))
	}
	switch kind {
	case "application/json":
		faults = append(faults, b.text(&m.Schema, x.body, "answer")...)
	case "text/event-stream":
		_, data, _ := strings.Cut(x.body, "data: ")
		faults = append(faults, b.text(&schema{Ref: "#/components/schemas/Decision"}, data, "event")...)
	}
	return faults
}

// documents returns the JSON documents of a body.
func documents(kind, text string) []string {
	if kind == "application/x-ndjson" {
		return strings.Split(strings.TrimSpace(text), "\n")
	}
	if text == "" {
		return nil
	}
	return []string{text}
}

func (b *book) text(s *schema, text, path string) []string {
	var v any
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		return []string{path + ": " + err.Error()}
	}
	return b.check(s, v, path)
}
