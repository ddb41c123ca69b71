package node

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"
	"golang.org/x/sync/errgroup"

	js "github.com/attune-io/attune/sdk/js"
)

// drainTime is how long requests may take to end after the listeners closed.
const drainTime = 10 * time.Second

// listen serves the public and the admin address until ctx ends, then drains.
func (n *Node) listen(ctx context.Context) error {
	cfg := n.cfg.Load()
	handler, err := n.routes(ctx)
	if err != nil {
		return err
	}
	lc := net.ListenConfig{}
	public, err := lc.Listen(ctx, "tcp", cfg.Listen)
	if err != nil {
		return fmt.Errorf("listen on %s: %w; another process may use it: give another address with --listen", cfg.Listen, err)
	}
	group, ctx := errgroup.WithContext(ctx)
	if cfg.AdminListen != "" {
		admin, err := lc.Listen(ctx, "tcp", cfg.AdminListen)
		if err != nil {
			return errors.Join(fmt.Errorf("listen on %s: %w; give another address with --admin, or 'off'", cfg.AdminListen, err), public.Close())
		}
		group.Go(func() error { return n.serveOn(ctx, admin, n.admin()) })
		n.admins = admin.Addr().String()
		n.log.Info("metrics and profiles", slog.String("address", "http://"+admin.Addr().String()+"/metrics"))
	}
	group.Go(func() error { return n.serveOn(ctx, &gate{Listener: public, log: n.log, most: connLimit()}, handler) })
	n.log.Info("listening", slog.String("address", "http://"+public.Addr().String()), slog.String("data_dir", cfg.DataDir))
	n.address = public.Addr().String()
	close(n.listening)
	if n.opt.Ready != nil {
		n.opt.Ready(n.address)
	}
	return group.Wait()
}

// routes is everything at the public address; the console's streams end with ctx.
func (n *Node) routes(ctx context.Context) (http.Handler, error) {
	mux := http.NewServeMux()
	n.collector.Register(mux)
	n.server.Register(mux)
	n.mountConsole(ctx, mux)
	mux.HandleFunc("GET /sdk/attune.js", sdk)
	mux.HandleFunc("/", elsewhere)
	if n.opt.Mount != nil {
		if err := n.opt.Mount(n, mux); err != nil {
			return nil, err
		}
	}
	return mux, nil
}

// elsewhere answers addresses that nobody has: in JSON, as every other fault,
// and with the likely one.
func elsewhere(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/" && (r.Method == http.MethodGet || r.Method == http.MethodHead) {
		http.Redirect(w, r, "/console/", http.StatusFound)
		return
	}
	message := "there is nothing at this address; /openapi.json lists what there is"
	if p := strings.TrimRight(r.URL.Path, "/"); p != r.URL.Path {
		message = "there is nothing at this address; without the slash at its end there may be: " + p
	}
	body, err := json.Marshal(map[string]any{"error": map[string]string{"code": "not_found", "message": message, "path": r.URL.Path}})
	if err != nil {
		body = []byte(`{"error":{"code":"not_found"}}`)
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusNotFound)
	_, _ = w.Write(append(body, '\n')) // whoever asked may have left
}

// sdk serves the browser SDK, so that a page needs nothing but this address.
func sdk(w http.ResponseWriter, _ *http.Request) {
	h := w.Header()
	h.Set("Content-Type", "text/javascript; charset=utf-8")
	h.Set("Cache-Control", "public, max-age=3600")
	h.Set("Access-Control-Allow-Origin", "*") // modules are fetched with CORS
	_, _ = w.Write(js.Source())               // whoever asked may have left
}

// serveOn serves h on l until ctx ends, then lets requests end. Streams end
// with the context of their requests.
func (n *Node) serveOn(ctx context.Context, l net.Listener, h http.Handler) error {
	base, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	// There is no ReadTimeout: paced says how long a body may take.
	s := &http.Server{
		Handler: paced(h, bodyStart), ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 120 * time.Second,
		MaxHeaderBytes: 64 << 10,
		BaseContext:    func(net.Listener) context.Context { return base },
		ConnContext:    withConn,
		ErrorLog:       slog.NewLogLogger(n.log.Handler(), slog.LevelDebug),
	}
	stopped := make(chan error, 1) // one send, one receive
	unhook := context.AfterFunc(ctx, func() {
		n.log.Info("draining", slog.String("address", l.Addr().String()))
		drain, done := context.WithTimeout(base, drainTime)
		defer done()
		stopped <- s.Shutdown(drain)
	})
	err := s.Serve(l)
	if !errors.Is(err, http.ErrServerClosed) {
		unhook()
		return err
	}
	if err := <-stopped; err != nil {
		return errors.Join(fmt.Errorf("drain %s: %w", l.Addr(), err), s.Close())
	}
	return nil
}

// admin is metrics and profiles: for operators, not for the public address.
func (n *Node) admin() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(n.metrics.registry, promhttp.HandlerOpts{}))
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	return mux
}
