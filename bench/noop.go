package main

import (
	"context"
	"io"
	"net"
	"net/http"
	"sync/atomic"
	"time"
)

// noop is the ceiling: it reads a request's body and answers a constant. What
// it answers is set by a PUT, so that it is as long as the real answer.
func noop(ctx context.Context, address string) error {
	var answer atomic.Pointer[[]byte]
	answer.Store(&[]byte{})
	s := &http.Server{Addr: address, ReadHeaderTimeout: 10 * time.Second, BaseContext: func(net.Listener) context.Context { return ctx }}
	s.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPut {
			b, err := io.ReadAll(r.Body)
			if err != nil {
				http.Error(w, err.Error(), http.StatusBadRequest)
				return
			}
			answer.Store(&b)
			return
		}
		_, _ = io.Copy(io.Discard, r.Body) // a body that ends early is the client's loss
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(*answer.Load())
	})
	stop := context.AfterFunc(ctx, func() { _ = s.Close() })
	defer stop()
	return s.ListenAndServe()
}
