package serve

import (
	"context"
	"net/http"

	"github.com/attune-io/attune"
)

// Entities are what features are kept of beside people; *pipeline.Entities is
// behind it.
type Entities interface {
	// EntityFeatures returns the features of the entity of scope that is called
	// key, those at now that are there. A scope without features is
	// attune.ErrNotFound, a key that stands for nothing attune.ErrInvalid.
	EntityFeatures(ctx context.Context, scope, key string, now attune.Millis) (map[string]any, error)
}

// SetEntities says whose features the route of entities shows; nil is nobody's.
// Call it before the server is used.
func (s *Server) SetEntities(e Entities) { s.entities = e }

func (s *Server) serveEntity(w http.ResponseWriter, r *http.Request, _ *caller) error {
	scope, key := r.PathValue("scope"), r.PathValue("key")
	if s.entities == nil {
		return deny(attune.ErrNotFound, "no features have a scope other than person (features[].scope)")
	}
	now := s.o.Clock()
	found, err := s.entities.EntityFeatures(r.Context(), scope, key, now)
	if err != nil {
		return err
	}
	return s.writeJSON(w, map[string]any{"scope": scope, "key": key, "features": found})
}
