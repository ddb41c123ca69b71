package elastic_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/attune-io/attune"
	"github.com/attune-io/attune/search"
	"github.com/attune-io/attune/search/elastic"
	"github.com/attune-io/attune/search/searchtest"
)

// TestConformance runs the kit against a real server: ATTUNE_ELASTIC is its
// address. The indexes that it makes there are deleted at the end.
func TestConformance(t *testing.T) {
	address := os.Getenv("ATTUNE_ELASTIC")
	if address == "" {
		t.Skip("NOT TESTED: search/elastic with a real server; set ATTUNE_ELASTIC to the address of an Elasticsearch or OpenSearch")
	}
	made := map[string]bool{}
	run := fmt.Sprintf("attune-test-%d-", time.Now().UnixNano())
	t.Cleanup(func() {
		for index := range made {
			for _, name := range []string{index, index + "-state"} {
				req, err := http.NewRequest(http.MethodDelete, address+"/"+name, http.NoBody)
				if err != nil {
					t.Fatal(err)
				}
				res, err := http.DefaultClient.Do(req)
				if err != nil {
					t.Fatal(err)
				}
				_ = res.Body.Close()
			}
		}
	})
	searchtest.Run(t, func(t *testing.T, name string) search.Index {
		t.Helper()
		made[run+name] = true
		ix, err := elastic.Open(elastic.Options{URL: address, Index: run + name, Settings: search.Defaults()})
		if err != nil {
			t.Fatal(err)
		}
		return ix
	})
}

// against opens an index on a server that answers with answer, which says
// whether it did.
func against(t *testing.T, answer http.HandlerFunc) *elastic.Index {
	t.Helper()
	server := httptest.NewServer(answer)
	t.Cleanup(server.Close)
	ix, err := elastic.Open(elastic.Options{URL: server.URL + "/", Index: "x", APIKey: "secret", Settings: search.Defaults()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ix.Close() })
	return ix
}

// TestFaults: whatever a server answers that is no answer is an error, and never
// a result.
func TestFaults(t *testing.T) {
	for name, answer := range map[string]struct {
		status int
		body   string
	}{
		"busy":         {429, `{"error":"es_rejected_execution_exception"}`},
		"broken":       {503, `no`},
		"refused":      {401, `{"error":"security_exception"}`},
		"a page":       {200, `<html>`},
		"cut":          {200, `{"hits":{"total":{"value":3`},
		"nothing":      {200, ``},
		"late":         {200, `{"timed_out":true,"_shards":{"failed":0},"hits":{"total":{"value":1},"hits":[]}}`},
		"a part of it": {200, `{"timed_out":false,"_shards":{"failed":1},"hits":{"total":{"value":1},"hits":[]}}`},
		"other types":  {200, `{"hits":{"total":"many"}}`},
	} {
		t.Run(name, func(t *testing.T) {
			ix := against(t, func(w http.ResponseWriter, r *http.Request) {
				if !strings.HasSuffix(r.URL.Path, "/_search") {
					_, _ = io.WriteString(w, `{}`)
					return
				}
				if got := r.Header.Get("Authorization"); got != "ApiKey secret" {
					t.Errorf("authorization %q", got)
				}
				w.WriteHeader(answer.status)
				_, _ = io.WriteString(w, answer.body)
			})
			var found search.Result
			if err := search.Find(t.Context(), ix, "red", &search.Query{Limit: 3}, &found); err == nil {
				t.Errorf("no error for %d %q, found %+v", answer.status, answer.body, found)
			}
		})
	}
}

// TestBulkFaults: what may be good later fails the batch, what never will is
// left out.
func TestBulkFaults(t *testing.T) {
	for _, tc := range []struct {
		status int
		fails  bool
	}{{200, false}, {400, false}, {404, false}, {429, true}, {503, true}} {
		ix := against(t, func(w http.ResponseWriter, r *http.Request) {
			if strings.HasSuffix(r.URL.Path, "/_bulk") {
				fmt.Fprintf(w, `{"errors":%v,"items":[{"index":{"_id":"i:a","status":%d,"error":{"type":"x"}}}]}`, tc.status > 200, tc.status)
				return
			}
			_, _ = io.WriteString(w, `{}`)
		})
		err := ix.Apply(t.Context(), &search.Batch{Put: []search.Document{{ID: "a"}, {ID: "\xff"}}, Sums: new(search.Sums)})
		if got := err != nil; got != tc.fails {
			t.Errorf("a document that was answered with %d: got %v", tc.status, err)
		}
	}
}

func TestOpenRefuses(t *testing.T) {
	for _, o := range []elastic.Options{
		{URL: "", Index: "x", Settings: search.Defaults()},
		{URL: "http://a", Settings: search.Defaults()},
		{URL: "http://a", Index: "x"},
	} {
		if _, err := elastic.Open(o); !errors.Is(err, attune.ErrInvalid) {
			t.Errorf("%+v: got %v", o, err)
		}
	}
}
