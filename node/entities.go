package node

import (
	"context"
	"log/slog"

	"github.com/attune-io/attune"
	"github.com/attune-io/attune/config"
	"github.com/attune-io/attune/feature"
	"github.com/attune-io/attune/pipeline"
	"github.com/attune-io/attune/profile"
)

// entitiesOf returns the entities of the compiled configuration; nil when no
// feature has a scope other than person.
func entitiesOf(c *config.Compiled) *profile.Entities {
	scopes := make([]profile.EntityScope, len(c.Scopes))
	for i, s := range c.Scopes {
		scopes[i] = profile.EntityScope{Scope: s.Scope, Features: s.Features}
	}
	return profile.NewEntities(scopes)
}

// entities are what is known of items, accounts, stores and everybody, as rules
// and the API ask for it.
type entities struct {
	of  *pipeline.Entities
	log *slog.Logger
}

// openEntities hands the entities to those who read them.
func (n *Node) openEntities() {
	if n.pipeline.Entities().Scopes() != nil {
		n.server.SetEntities(entities{n.pipeline.Entities(), n.log})
	}
}

// EntityFeatures returns the features of an entity that are there.
func (e entities) EntityFeatures(ctx context.Context, scope, key string, now attune.Millis) (map[string]any, error) {
	out := map[string]any{}
	err := e.of.Read(ctx, scope, key, func(set *feature.Set, st *feature.State) {
		if st != nil {
			set.Each(st, now, func(name string, v any) { out[name] = v })
		}
	})
	return out, err
}

// ItemFeature is item.features of a rule.
func (e entities) ItemFeature(item, name string, now attune.Millis) any {
	return e.one(feature.ScopeItem, item, name, now)
}

// GlobalFeature is global of a rule.
func (e entities) GlobalFeature(name string, now attune.Millis) any {
	return e.one(feature.ScopeGlobal, feature.GlobalKey, name, now)
}

// one reads one feature. Nothing known of an entity reads as of an empty one:
// a count is 0.
func (e entities) one(scope, key, name string, now attune.Millis) (v any) {
	if e.of.Scopes().Scope(scope) == nil {
		return nil
	}
	err := e.of.Read(context.Background(), scope, key, func(set *feature.Set, st *feature.State) {
		if st == nil {
			st = &feature.State{}
		}
		v = set.Read(st, name, now)
	})
	if err != nil {
		e.log.Warn("features of an entity", slog.String("scope", scope), slog.Any("error", err))
	}
	return v
}

// sets are all features that state is folded with.
func sets(c *config.Compiled) []*feature.Set {
	out := []*feature.Set{c.Features}
	for _, s := range c.Scopes {
		out = append(out, s.Features)
	}
	return out
}
