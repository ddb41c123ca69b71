package serve_test

import (
	"net/http"
	"net/http/httptest"
	"testing"
)

// nowhere is a response that is thrown away.
type nowhere struct{ h http.Header }

func (n *nowhere) Header() http.Header       { return n.h }
func (*nowhere) Write(b []byte) (int, error) { return len(b), nil }
func (*nowhere) WriteHeader(int)             {}

// BenchmarkRecommend is a request's whole way through the handler, without the
// network: key, person, decision, answer.
func BenchmarkRecommend(b *testing.B) {
	w := newWorld(b, nil)
	w.shop()
	handler := w.server.Handler()
	r := httptest.NewRequest(http.MethodGet, "/v1/recommend/for-you?user_id=s1&limit=10", nil)
	r.SetBasicAuth(secretKey, "")
	b.ReportAllocs()
	for b.Loop() {
		handler.ServeHTTP(&nowhere{h: http.Header{}}, r)
	}
}
