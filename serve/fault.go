package serve

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strconv"

	"github.com/attune-io/attune"
)

// fault is an error a caller can read: what kind (one of the root's
// sentinels), what is wrong and what to do, and where in the request.
type fault struct {
	kind    error
	message string
	path    string
}

// Error returns the message behind its path.
func (f *fault) Error() string {
	if f.path == "" {
		return f.message
	}
	return f.path + ": " + f.message
}

// Unwrap returns the kind.
func (f *fault) Unwrap() error { return f.kind }

func deny(kind error, message string) error { return &fault{kind: kind, message: message} }

func invalid(path, message string) error {
	return &fault{kind: attune.ErrInvalid, message: message, path: path}
}

// status maps an error to its HTTP status and its code in the answer.
func status(err error) (httpStatus int, code string) {
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return http.StatusRequestEntityTooLarge, "too_large"
	case errors.Is(err, attune.ErrInvalid):
		return http.StatusBadRequest, "invalid"
	case errors.Is(err, attune.ErrUnauthorized):
		return http.StatusUnauthorized, "unauthorized"
	case errors.Is(err, attune.ErrForbidden):
		return http.StatusForbidden, "forbidden"
	case errors.Is(err, attune.ErrNotFound):
		return http.StatusNotFound, "not_found"
	case errors.Is(err, attune.ErrBusy), errors.Is(err, attune.ErrClosed),
		errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return http.StatusServiceUnavailable, "busy"
	default:
		return http.StatusInternalServerError, "internal"
	}
}

// refuse answers with err as {"error":{"code","message","path"}}. What is
// ours to mend is logged and said without its details.
func (s *Server) refuse(w http.ResponseWriter, r *http.Request, err error) {
	code, name := status(err)
	message, path := attune.Message(err), ""
	if f, ok := errors.AsType[*fault](err); ok {
		message, path = f.message, f.path
	}
	h := w.Header()
	switch code {
	case http.StatusUnauthorized:
		h.Set("WWW-Authenticate", `Basic realm="attune"`)
	case http.StatusServiceUnavailable:
		h.Set("Retry-After", "1")
	case http.StatusInternalServerError:
		s.log.LogAttrs(r.Context(), slog.LevelError, "request failed",
			slog.String("method", r.Method), slog.String("path", r.URL.Path), slog.Any("error", err))
		message = "the server met an error; its log says which"
	}
	b := append([]byte(nil), `{"error":{"code":`...)
	b = appendString(b, name)
	b = append(b, `,"message":`...)
	b = appendString(b, message)
	if path != "" {
		b = append(b, `,"path":`...)
		b = appendString(b, path)
	}
	s.write(w, code, append(b, "}}\n"...))
}

// write answers with body as JSON. A client that is gone is not an error.
// Its length is said, since net/http would send a longer one in chunks.
func (s *Server) write(w http.ResponseWriter, code int, body []byte) {
	h := w.Header()
	h["Content-Type"] = s.isJSON
	h["Content-Length"] = []string{strconv.Itoa(len(body))}
	w.WriteHeader(code)
	_, _ = w.Write(body)
}
