package serve

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
)

// queries returns the parameters that a route reads from its address, beside
// the credentials, which every route reads.
func queries(method, path string) []string {
	asked := []string{
		"item", "items", "query", "filters", "facets", "offset", "blacklist", "limit", "user_id", "anonymous_id", "after", "deadline_ms", "explain",
	}
	switch method + " " + path {
	case "GET /v1/recommend/{placement}":
		return asked
	case "GET /v1/recommend/{placement}/all":
		return []string{"limit", "segment", "cursor", "log"}
	case "GET " + streamPath:
		return append(asked, "placement", "visitor", "last_event_id")
	case "GET /v1/profiles/{key}/events", "GET /v1/destinations/{destination}/dead-letters", "GET /v1/segments/{segment}":
		return []string{"limit"}
	case "GET /v1/items":
		return []string{"q", "cursor", "limit"}
	default:
		return nil
	}
}

// known refuses a query with a parameter that is not in names: one that is
// misspelt would otherwise do nothing, and nobody would see it.
func known(query string, names []string) error {
	for query != "" {
		var pair string
		pair, query, _ = strings.Cut(query, "&")
		name, _, _ := strings.Cut(pair, "=")
		if strings.ContainsAny(name, "%+") {
			if plain, err := url.QueryUnescape(name); err == nil {
				name = plain
			}
		}
		switch name {
		case "", "writeKey", "write_key", "user_token":
			continue
		}
		if slices.Contains(names, name) {
			continue
		}
		message := "there is no such parameter"
		switch near := nearest(name, names); {
		case near != "":
			message += fmt.Sprintf("; did you mean %q?", near)
		case len(names) > 0:
			message += "; there are " + strings.Join(names, ", ")
		default:
			message += ": this address takes none"
		}
		return invalid(clip(name), message)
	}
	return nil
}
