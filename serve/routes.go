package serve

import (
	_ "embed" // for openapi.json
	"net/http"
	"slices"
	"strings"

	"github.com/attune-io/attune"
)

// openAPI is the OpenAPI 3.1 document of the whole HTTP interface, collect's
// routes with it.
//
//go:embed openapi.json
var openAPI []byte

// OpenAPI returns the OpenAPI 3.1 document. Do not change it.
func OpenAPI() []byte { return openAPI }

// Route is one row of the table of routes and keys.
type Route struct {
	Method string
	Path   string // as net/http's patterns and OpenAPI write it
	Need   Need
	serve  func(*Server, http.ResponseWriter, *http.Request, *caller) error
}

// Routes returns every route with what it asks of its caller. openapi.json
// says the same as x-access, and a test holds the two together.
func Routes() []Route {
	return []Route{
		{"POST", "/v1/decide", AnyKey, (*Server).serveDecide},
		{"GET", "/v1/recommend/{placement}", AnyKey, (*Server).serveRecommend},
		{"GET", "/v1/recommend/{placement}/all", Secret, (*Server).serveEveryone},
		{"POST", "/v1/rank", AnyKey, (*Server).serveRank},
		{"GET", streamPath, AnyKey, (*Server).serveStream},
		{"GET", "/v1/decisions/{id}", Secret, (*Server).serveDecision},
		{"GET", "/v1/profiles/{key}", Own, (*Server).serveProfile},
		{"GET", "/v1/profiles/{key}/traits", Own, (*Server).serveTraits},
		{"GET", "/v1/profiles/{key}/features", Own, (*Server).serveFeatures},
		{"GET", "/v1/profiles/{key}/segments", Own, (*Server).serveSegments},
		{"GET", "/v1/profiles/{key}/events", Own, (*Server).serveEvents},
		{"GET", "/v1/profiles/{key}/identities", Own, (*Server).serveIdentities},
		{"POST", "/v1/unmerge", Secret, (*Server).serveUnmerge},
		{"GET", "/v1/items", AnyKey, (*Server).serveItems},
		{"POST", "/v1/items", Secret, (*Server).serveBulk},
		{"GET", "/v1/items/{id}", AnyKey, (*Server).serveItem},
		{"PUT", "/v1/items/{id}", Secret, (*Server).servePut},
		{"DELETE", "/v1/items/{id}", Secret, (*Server).serveDelete},
		{"GET", "/v1/segments", Secret, (*Server).serveAudiences},
		{"GET", "/v1/segments/{segment}", Secret, (*Server).serveAudience},
		{"GET", "/v1/entities/{scope}/{key}/features", Secret, (*Server).serveEntity},
		{"GET", "/v1/destinations", Secret, (*Server).serveDestinations},
		{"GET", "/v1/destinations/{destination}/dead-letters", Secret, (*Server).serveDeadLetters},
		{"POST", "/v1/destinations/{destination}/dead-letters/retry", Secret, (*Server).serveRetry},
		{"GET", "/openapi.json", Open, (*Server).serveOpenAPI},
		{"GET", "/healthz", Open, (*Server).serveHealth},
		{"GET", "/readyz", Open, (*Server).serveReady},
	}
}

// Register adds the routes to mux, with the preflight answers of those that
// pages call.
func (s *Server) Register(mux *http.ServeMux) {
	methods := map[string][]string{}
	for _, route := range Routes() {
		methods[route.Path] = append(methods[route.Path], route.Method)
		mux.Handle(route.Method+" "+route.Path, s.handler(route))
	}
	for path, allowed := range methods {
		mux.HandleFunc("OPTIONS "+path, s.preflight)
		// A wrong method answers JSON like every other fault. HEAD is GET's.
		if slices.Contains(allowed, http.MethodGet) {
			allowed = append(allowed, http.MethodHead)
		}
		allow := strings.Join(append(allowed, http.MethodOptions), ", ")
		mux.HandleFunc(path, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Allow", allow)
			s.write(w, http.StatusMethodNotAllowed,
				[]byte(`{"error":{"code":"method_not_allowed","message":"this address takes `+allow+`"}}`+"\n"))
		})
	}
}

// handler checks who calls before it lets route's own code see the request.
func (s *Server) handler(route Route) http.Handler {
	names := queries(route.Method, route.Path)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.cors(w, r)
		var c caller
		if route.Need != Open {
			c = s.identify(r, "")
			err := c.admit(route.Need, r.PathValue("key"))
			if err == nil {
				err = known(r.URL.RawQuery, names)
			}
			if err != nil {
				s.refuse(w, r, err)
				return
			}
		}
		if err := route.serve(s, w, r, &c); err != nil {
			s.refuse(w, r, err)
		}
	})
}

func (s *Server) serveOpenAPI(w http.ResponseWriter, _ *http.Request, _ *caller) error {
	s.write(w, http.StatusOK, openAPI)
	return nil
}

func (s *Server) serveHealth(w http.ResponseWriter, _ *http.Request, _ *caller) error {
	s.write(w, http.StatusOK, []byte(`{"status":"ok"}`+"\n"))
	return nil
}

// serveReady answers 200 when the server has caught up, else 503 with why not.
func (s *Server) serveReady(w http.ResponseWriter, _ *http.Request, _ *caller) error {
	if s.o.Ready != nil {
		if err := s.o.Ready(); err != nil {
			w.Header().Set("Retry-After", "1")
			b := appendString([]byte(`{"status":"starting","reason":`), attune.Message(err))
			s.write(w, http.StatusServiceUnavailable, append(b, "}\n"...))
			return nil
		}
	}
	s.write(w, http.StatusOK, []byte(`{"status":"ready"}`+"\n"))
	return nil
}
