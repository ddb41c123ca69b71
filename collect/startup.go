package collect

import (
	"net/http"
	"strconv"
	"strings"
)

// segmentSettings answers what Segment's browser SDK asks before it sends.
// Without apiHost it would send the events to Segment, so it is always this
// server, as the SDK itself reached it.
func (c *Collector) segmentSettings(w http.ResponseWriter, r *http.Request) error {
	who, err := c.byKey(r, r.PathValue("writeKey"))
	if err != nil {
		return err
	}
	scheme, host := c.host(r)
	writeJSON(w, http.StatusOK, map[string]any{
		"integrations": map[string]any{
			"Segment.io": map[string]any{
				"apiKey":   who.source.WriteKey,
				"apiHost":  host + "/v1",
				"protocol": scheme,
			},
		},
	})
	return nil
}

// sourceConfig answers what RudderStack's browser SDK asks before it starts.
// A disabled source is answered too, so that the SDK stays silent instead of
// trying again.
func (c *Collector) sourceConfig(w http.ResponseWriter, r *http.Request) error {
	key := queryKey(r)
	if key == "" {
		key = r.Header.Get("X-Write-Key")
	}
	if key == "" {
		scheme, given, _ := strings.Cut(r.Header.Get("Authorization"), " ")
		key = basicUser(scheme, given)
	}
	if key == "" {
		return &refusal{status: http.StatusUnauthorized, text: errNoKey}
	}
	s := c.o.Keys.source(key)
	if s == nil {
		return &refusal{status: http.StatusUnauthorized, text: errBadKey}
	}
	writeJSON(w, http.StatusOK, map[string]any{
		"source": map[string]any{
			"id": s.ID, "name": s.Name, "writeKey": s.WriteKey, "enabled": s.Enabled,
			"workspaceId": "attune", "destinations": []any{}, "config": map[string]any{},
		},
	})
	return nil
}

// noAnalytics tells whoever points Segment's snippet here what to do instead.
func noAnalytics(w http.ResponseWriter, _ *http.Request) error {
	http.Error(w, "analytics.min.js is not served here: bundle @segment/analytics-next and load it with\n"+
		"AnalyticsBrowser.load({ writeKey, cdnURL: \"<this server>\" }), or use /sdk/attune.js", http.StatusNotFound)
	return nil
}

// dropMetrics takes the SDK's metrics about itself and drops them.
func dropMetrics(w http.ResponseWriter, _ *http.Request) error {
	writeJSON(w, http.StatusOK, map[string]any{"ok": true})
	return nil
}

// health answers load balancers: 200 when events are taken, 503 when the
// pipeline is too far behind to.
func (c *Collector) health(w http.ResponseWriter, _ *http.Request) error {
	if err := c.behind(); err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, map[string]any{"status": "ok"})
	return nil
}

// deadView is a dead letter as the API says it.
type deadView struct {
	*DeadLetter

	Time    string `json:"time"`
	Retried string `json:"retried_at,omitempty"`
	Kept    bool   `json:"retryable"` // whole, and not come through yet
}

// deadLetters answers GET /v1/dead-letters?limit=, newest first. The server
// secret is needed.
func (c *Collector) deadLetters(w http.ResponseWriter, r *http.Request) error {
	err := c.secretOnly(r)
	if err != nil {
		return err
	}
	limit := 100
	if s := r.URL.Query().Get("limit"); s != "" {
		if limit, err = strconv.Atoi(s); err != nil || limit < 1 {
			return &refusal{status: http.StatusBadRequest, path: "limit", text: "want a number from 1"}
		}
	}
	kept, total := c.dead.counts()
	list := c.dead.newest(limit)
	views := make([]deadView, len(list))
	for i := range list {
		d := &list[i]
		views[i] = deadView{DeadLetter: d, Time: d.Time.String(), Kept: d.from != nil && !d.done()}
		if d.Retried != 0 {
			views[i].Retried = d.Retried.String()
		}
	}
	writeJSON(w, http.StatusOK, map[string]any{
		"dead_letters": views, "kept": kept, "total": total,
	})
	return nil
}
