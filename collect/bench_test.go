package collect_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/attune-io/attune"
	"github.com/attune-io/attune/collect"
	"github.com/attune-io/attune/identity"
	"github.com/attune-io/attune/journal"
)

// void is a journal that takes everything and keeps nothing, so that what is
// measured is this package alone.
type void struct{ last atomic.Uint64 }

func (v *void) Append(_ context.Context, recs []attune.Record) error {
	at := v.last.Add(uint64(len(recs)))
	for i := range recs {
		recs[i].Offset = at - uint64(len(recs)-i) + 1
	}
	return nil
}

func (*void) Status() journal.Status {
	return journal.Status{ID: "void", First: make([]uint64, 16), Last: make([]uint64, 16)}
}

// browserEvent is what a browser SDK sends, about 1.2 KB.
func browserEvent(i int) string {
	return fmt.Sprintf(`{"timestamp":"2026-11-21T00:27:14.457Z","integrations":{},"event":"Product Viewed","type":"track","properties":{"product_id":"sku-%d","name":"Trail Shoe","category":"Shoes","brand":"Acme","price":129.5,"url":"https://shop.example/p/%d"},"context":{"page":{"path":"/p/%d","referrer":"https://search.example/","search":"?utm_source=mail&utm_campaign=may","title":"Trail Shoe","url":"https://shop.example/p/%d?utm_source=mail&utm_campaign=may"},"userAgent":"%s","userAgentData":{"brands":[{"brand":"Not:A-Brand","version":"8"},{"brand":"Chromium","version":"156"}],"mobile":false,"platform":"Linux"},"locale":"en-US","library":{"name":"analytics.js","version":"next-1.84.3"},"campaign":{},"timezone":"UTC","screen":{"width":1280,"height":720,"density":1,"innerWidth":1280,"innerHeight":720}},"messageId":"ajs-next-1795220834457-8330462a-ddde-4026-9c43-%012d","userId":"u%d","anonymousId":"fc5fda12-8330-462a-9dde-%012d","writeKey":"WRITEKEY1","sentAt":"2026-11-21T00:27:14.481Z"}`,
		i, i, i, i, chrome, i, i%1000, i%1000)
}

func benchCollector(b *testing.B) (*collect.Collector, *http.ServeMux) {
	b.Helper()
	keys, err := collect.NewKeys([]collect.Source{{ID: "web", WriteKey: key, Enabled: true}}, []string{secret})
	if err != nil {
		b.Fatal(err)
	}
	c, err := collect.New(collect.Options{
		Journal: &void{}, Keys: keys, Now: func() attune.Millis { return noon + 60*minute },
		Signer: identity.Signer{Secret: []byte("ours")}, Items: shelf{},
	})
	if err != nil {
		b.Fatal(err)
	}
	mux := http.NewServeMux()
	c.Register(mux)
	return c, mux
}

func BenchmarkAccept(b *testing.B) {
	for _, n := range []int{1, 100} {
		b.Run(fmt.Sprintf("batch=%d", n), func(b *testing.B) {
			c, _ := benchCollector(b)
			events := make([][]byte, n)
			for i := range events {
				events[i] = []byte(browserEvent(i))
			}
			b.SetBytes(int64(n * len(events[0])))
			b.ReportAllocs()
			for b.Loop() {
				res, err := c.Accept(context.Background(), &collect.Batch{Source: "web", Events: events})
				if err != nil || res.Accepted != n {
					b.Fatal(res, err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*n), "ns/event")
		})
	}
}

func BenchmarkPost(b *testing.B) {
	for _, n := range []int{1, 100} {
		b.Run(fmt.Sprintf("batch=%d", n), func(b *testing.B) {
			_, mux := benchCollector(b)
			path, body := "/v1/track", browserEvent(1)
			if n > 1 {
				events := make([]string, n)
				for i := range events {
					events[i] = browserEvent(i)
				}
				path, body = "/v1/batch", `{"batch":[`+strings.Join(events, ",")+`]}`
			}
			b.ReportAllocs()
			for b.Loop() {
				r := httptest.NewRequest(http.MethodPost, path, strings.NewReader(body))
				r.Header.Set("Authorization", "Basic V1JJVEVLRVkxOg==")
				rec := httptest.NewRecorder()
				mux.ServeHTTP(rec, r)
				if rec.Code != 200 {
					b.Fatal(rec.Code, rec.Body)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*n), "ns/event")
		})
	}
}
