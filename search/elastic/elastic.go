// Package elastic keeps a search index on an Elasticsearch or OpenSearch server,
// by the parts of their REST API that both document: index creation, _bulk,
// _search, _count, _refresh.
//
// Words are analysed here, not there, so that the same is found as with an
// index on this machine; the server sees terms. Two indexes are made: one of
// the documents and, with "-state" behind its name, one that says what the first
// holds. Both are ours alone: an index of that name that was made under other
// settings is deleted and made again.
package elastic

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/attune-io/attune"
	"github.com/attune-io/attune/search"
	"github.com/attune-io/attune/search/terms"
)

// format changes when documents are made in another way.
const format = "1"

// Bounds of one exchange with the server.
const (
	patience  = 30 * time.Second // of one that has no deadline
	maxAnswer = 64 << 20         // bytes
	maxID     = 500              // bytes of an id that is the server's id too; it takes 512
	page      = 5000             // ids listed at once
)

// Options open an Index.
type Options struct {
	URL   string // as https://search.example:9200
	Index string
	// Username and Password, or APIKey, or none.
	Username, Password, APIKey string
	Settings                   search.Settings
	Client                     *http.Client // nil is one of its own
	Log                        *slog.Logger // nil logs nothing
}

// Index is a search.Index.
type Index struct {
	o       Options
	base    string
	analyse *terms.Analyser
	made    atomic.Bool // the indexes are known to be there
}

// Open returns an Index. It does not ask the server anything yet.
func Open(o Options) (*Index, error) {
	if err := o.Settings.Validate(); err != nil {
		return nil, fmt.Errorf("search: %w", err)
	}
	u, err := url.Parse(o.URL)
	if err != nil || u.Host == "" || o.Index == "" {
		return nil, fmt.Errorf("search.elastic: url %q, index %q: want the address of a server and a name: %w", o.URL, o.Index, attune.ErrInvalid)
	}
	a, err := terms.New(o.Settings.Language)
	if err != nil {
		return nil, err
	}
	if o.Client == nil {
		o.Client = &http.Client{Transport: &http.Transport{
			Proxy: http.ProxyFromEnvironment, MaxIdleConnsPerHost: 16, MaxConnsPerHost: 64, IdleConnTimeout: time.Minute,
		}}
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return &Index{o: o, base: strings.TrimSuffix(o.URL, "/") + "/", analyse: a}, nil
}

// Close lets go of the connections.
func (x *Index) Close() error {
	x.o.Client.CloseIdleConnections()
	return nil
}

// refusal is an answer that is none.
type refusal struct {
	status int
	what   string
}

// Error says what the server said.
func (r *refusal) Error() string {
	return fmt.Sprintf("the search server answered %d: %s", r.status, r.what)
}

// Unwrap says that the server did not understand the request, which says nothing
// of the index.
func (r *refusal) Unwrap() error {
	if r.status == http.StatusBadRequest {
		return attune.ErrInvalid
	}
	return nil
}

// absent reports whether err says that something is not there.
func absent(err error) bool {
	var r *refusal
	return errors.As(err, &r) && r.status == http.StatusNotFound
}

// call sends a request and decodes the answer into into, unless that is nil.
// Body is JSON, or nil, or lines of JSON as bytes.
func (x *Index) call(ctx context.Context, method, path string, body, into any) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	var from io.Reader = http.NoBody
	kind := "application/json"
	switch b := body.(type) {
	case nil:
	case []byte:
		from, kind = bytes.NewReader(b), "application/x-ndjson"
	default:
		raw, err := json.Marshal(b)
		if err != nil {
			return fmt.Errorf("search server, %s %s: %w", method, path, err)
		}
		from = bytes.NewReader(raw)
	}
	req, err := http.NewRequestWithContext(ctx, method, x.base+path, from)
	if err != nil {
		return fmt.Errorf("search server, %s %s: %w", method, path, err)
	}
	req.Header.Set("Content-Type", kind)
	switch {
	case x.o.APIKey != "":
		req.Header.Set("Authorization", "ApiKey "+x.o.APIKey)
	case x.o.Username != "":
		req.SetBasicAuth(x.o.Username, x.o.Password)
	}
	res, err := x.o.Client.Do(req)
	if err != nil {
		return fmt.Errorf("search server: %w", err)
	}
	defer res.Body.Close() //nolint:errcheck // it was read
	raw, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer+1))
	switch {
	case err != nil:
		return fmt.Errorf("search server, %s %s: %w", method, path, err)
	case len(raw) > maxAnswer:
		return fmt.Errorf("search server, %s %s: the answer has more than %d bytes", method, path, maxAnswer)
	case res.StatusCode >= http.StatusMultipleChoices:
		x.made.Store(x.made.Load() && res.StatusCode != http.StatusNotFound)
		const most = 300
		return fmt.Errorf("%s %s: %w", method, path, &refusal{res.StatusCode, string(raw[:min(len(raw), most)])})
	case into == nil:
		return nil
	}
	if err := json.Unmarshal(raw, into); err != nil {
		return fmt.Errorf("search server, %s %s: the answer is not understood: %w", method, path, err)
	}
	return nil
}

func (x *Index) version() string {
	return format + "/" + strconv.FormatUint(x.o.Settings.Version(), 16)
}

func (x *Index) state() string { return x.o.Index + "-state" }

// object is a JSON object.
type object = map[string]any

// ensure makes the indexes when they are not there, or are others.
func (x *Index) ensure(ctx context.Context) error {
	if x.made.Load() {
		return nil
	}
	var mappings map[string]struct {
		Mappings struct {
			Meta struct {
				Version string `json:"attune"`
			} `json:"_meta"`
		} `json:"mappings"`
	}
	err := x.call(ctx, http.MethodGet, x.o.Index+"/_mapping", nil, &mappings)
	switch {
	case err == nil:
		for _, m := range mappings {
			if m.Mappings.Meta.Version == x.version() {
				x.made.Store(true)
				return nil
			}
		}
		x.o.Log.Warn("the search index is made again: it was made under other settings", slog.String("index", x.o.Index))
		if err := x.call(ctx, http.MethodDelete, x.o.Index, nil, nil); err != nil && !absent(err) {
			return err
		}
	case !absent(err):
		return err
	}
	if err := x.call(ctx, http.MethodDelete, x.state(), nil, nil); err != nil && !absent(err) {
		return err
	}
	if err := x.call(ctx, http.MethodPut, x.o.Index, x.definition(), nil); err != nil {
		return err
	}
	x.made.Store(true)
	return nil
}

// definition is the index as it is made: terms come with spaces between them,
// and attributes become keywords and numbers as they are met.
func (x *Index) definition() object {
	words := object{"type": "text", "analyzer": "whitespace", "index_options": "freqs"}
	return object{
		"settings": object{"index": object{
			"number_of_shards": 1, "refresh_interval": "500ms", "mapping": object{"total_fields": object{"limit": 10_000}},
		}},
		"mappings": object{
			"_meta":   object{"attune": x.version()},
			"_source": object{"enabled": false},
			"dynamic_templates": []object{
				{"keywords": object{"path_match": "k.*", "mapping": object{"type": "keyword"}}},
				{"numbers": object{"path_match": "n.*", "mapping": object{"type": "double"}}},
			},
			"properties": object{
				"id": object{"type": "keyword"}, "b": object{"type": "integer"},
				"w": words, "p": words,
				"k": object{"type": "object"}, "n": object{"type": "object"},
			},
		},
	}
}

// documentID is the server's id of a document.
func documentID(id string) string {
	if len(id) <= maxID && id != "" {
		return "i:" + id
	}
	return "h:" + hex.EncodeToString(binary.BigEndian.AppendUint64(nil, attune.Hash(id))) + id[len(id)/2:min(len(id)/2+64, len(id))]
}

// fieldName is an attribute's name inside a field: without the dots, stars and
// spaces that have a meaning to the server.
func fieldName(attribute string) string {
	return strings.ReplaceAll(url.QueryEscape(attribute), ".", "%2E")
}

// Apply writes b. Documents that the server refuses for good are logged and
// left out; the rest stands.
func (x *Index) Apply(ctx context.Context, b *search.Batch) error {
	if err := x.ensure(ctx); err != nil {
		return err
	}
	var lines bytes.Buffer
	e := json.NewEncoder(&lines)
	for i := range b.Put {
		d := &b.Put[i]
		if !utf8.ValidString(d.ID) {
			x.o.Log.Warn("an item is not searchable: its id is not text", slog.String("id", strconv.Quote(d.ID)))
			continue
		}
		// Each is a whole line; a buffer takes everything.
		_ = e.Encode(object{"index": object{"_id": documentID(d.ID)}})
		_ = e.Encode(x.document(d))
	}
	for _, id := range b.Delete {
		_ = e.Encode(object{"delete": object{"_id": documentID(id)}})
	}
	if lines.Len() > 0 {
		if err := x.bulk(ctx, lines.Bytes()); err != nil {
			return err
		}
	}
	if b.Sums == nil {
		return ctx.Err()
	}
	raw := make([]byte, 0, 8*len(b.Sums))
	for _, one := range b.Sums {
		raw = binary.LittleEndian.AppendUint64(raw, one)
	}
	return x.call(ctx, http.MethodPut, x.state()+"/_doc/sums", object{"sums": base64.StdEncoding.EncodeToString(raw), "version": x.version()}, nil)
}

func (x *Index) document(d *search.Document) object {
	keywords, numbers := map[string][]string{}, map[string][]float64{}
	for _, k := range d.Keywords {
		name := fieldName(k.Attribute)
		keywords[name] = append(keywords[name], k.Value)
	}
	for _, n := range d.Numbers {
		name := fieldName(n.Attribute)
		numbers[name] = append(numbers[name], n.Value)
	}
	return object{
		"id": d.ID, "b": search.BucketOf(d.ID), "k": keywords, "n": numbers,
		"w": strings.Join(x.analyse.Append(nil, d.Text), " "),
		"p": strings.Join(x.analyse.AppendBeginnings(nil, d.Text), " "),
	}
}

// bulk sends lines, and returns an error when one of them may be good later.
func (x *Index) bulk(ctx context.Context, lines []byte) error {
	var answer struct {
		Errors bool `json:"errors"`
		Items  []map[string]struct {
			ID     string          `json:"_id"`
			Status int             `json:"status"`
			Error  json.RawMessage `json:"error"`
		} `json:"items"`
	}
	if err := x.call(ctx, http.MethodPost, x.o.Index+"/_bulk", lines, &answer); err != nil {
		return err
	}
	if !answer.Errors {
		return nil
	}
	for _, line := range answer.Items {
		for _, one := range line {
			switch {
			case one.Status == http.StatusTooManyRequests || one.Status >= http.StatusInternalServerError:
				return fmt.Errorf("search server, document %s: %w", one.ID, &refusal{one.Status, string(one.Error)})
			case one.Status >= http.StatusBadRequest && one.Status != http.StatusNotFound:
				x.o.Log.Warn("an item is not searchable: the search server refused it", slog.String("id", one.ID), slog.String("error", string(one.Error)))
			}
		}
	}
	return nil
}

// State returns what the index holds.
func (x *Index) State(ctx context.Context) (s search.State, err error) {
	x.made.Store(false) // somebody may have deleted it
	if err := x.ensure(ctx); err != nil {
		return s, err
	}
	if err := x.refresh(ctx); err != nil {
		return s, err
	}
	var count struct {
		Count int `json:"count"`
	}
	if err := x.call(ctx, http.MethodGet, x.o.Index+"/_count", nil, &count); err != nil {
		return s, err
	}
	s.Documents = count.Count
	var state struct {
		Source struct {
			Sums    string `json:"sums"`
			Version string `json:"version"`
		} `json:"_source"`
	}
	err = x.call(ctx, http.MethodGet, x.state()+"/_doc/sums", nil, &state)
	if absent(err) {
		x.made.Store(true)
		return s, nil
	}
	if err != nil {
		return s, err
	}
	raw, err := base64.StdEncoding.DecodeString(state.Source.Sums)
	if err == nil && len(raw) == 8*len(s.Sums) && state.Source.Version == x.version() {
		for i := range s.Sums {
			s.Sums[i] = binary.LittleEndian.Uint64(raw[8*i:])
		}
	}
	return s, nil
}

func (x *Index) refresh(ctx context.Context) error {
	return x.call(ctx, http.MethodPost, x.o.Index+"/_refresh", nil, nil)
}

// IDs returns the ids of a bucket.
func (x *Index) IDs(ctx context.Context, bucket int) ([]string, error) {
	var ids []string
	for {
		ask := object{
			"query": object{"term": object{"b": bucket}}, "size": page, "stored_fields": "_none_",
			"docvalue_fields": []string{"id"}, "sort": []object{{"id": "asc"}}, "track_total_hits": false,
		}
		if len(ids) > 0 {
			ask["search_after"] = []string{ids[len(ids)-1]}
		}
		var found answer
		if err := x.call(ctx, http.MethodPost, x.o.Index+"/_search", ask, &found); err != nil {
			return nil, err
		}
		for i := range found.Hits.Hits {
			ids = append(ids, found.Hits.Hits[i].id())
		}
		if len(found.Hits.Hits) < page {
			return ids, nil
		}
	}
}
