package node

import (
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/attune-io/attune"
	"github.com/attune-io/attune/collect"
	"github.com/attune-io/attune/feature"
)

// TestRetention: records older than the retention go, decisions among them and
// their index with them; what people are made of stays.
func TestRetention(t *testing.T) {
	w := openWorld(t, t.TempDir(), 2)
	defer w.close(t)
	w.feed(t, []json.RawMessage{json.RawMessage(`{"type":"track","event":"Product Viewed","userId":"u1","properties":{"product_id":"p"}}`)})
	d := attune.DecisionLog{Decision: attune.Decision{ID: "d1"}, UserID: "u1", At: w.at()}
	payload, err := json.Marshal(d)
	if err != nil {
		t.Fatal(err)
	}
	rec := []attune.Record{{Kind: attune.KindDecision, Key: "u:u1", Time: w.at(), ReceivedAt: w.at(), Payload: payload}}
	if err := w.journal.Append(t.Context(), rec); err != nil {
		t.Fatal(err)
	}
	if err := w.pipeline.CaughtUp(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got, err := w.pipeline.Decision(t.Context(), "d1"); err != nil || got.UserID != "u1" {
		t.Fatalf("decision before the trim: %+v, %v", got, err)
	}

	cfg := *w.cfg.Load()
	cfg.Journal.Retention = feature.Duration(24 * time.Hour)
	w.cfg.Store(&cfg)
	w.pass(48 * time.Hour)
	if err := w.trim(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n, err := w.pipeline.Forget(t.Context()); err != nil || n != 1 {
		t.Errorf("forgot %d decisions (%v), want 1", n, err)
	}
	if _, err := w.pipeline.Decision(t.Context(), "d1"); !errors.Is(err, attune.ErrNotFound) {
		t.Errorf("decision after the trim: got %v, want not found", err)
	}
	p, err := w.Node.people.User(t.Context(), "u1")
	if err != nil {
		t.Fatal(err)
	}
	if got := p.Feature("views_30d", w.at()); got != int64(1) {
		t.Errorf("views after the trim: %v, want 1", got)
	}
	// The journal goes on where it was.
	res, err := w.collector.Accept(t.Context(), &collect.Batch{Source: "test", ReceivedAt: w.at(), Events: [][]byte{
		[]byte(`{"type":"track","event":"Product Viewed","userId":"u1","properties":{"product_id":"q"}}`),
	}})
	if err != nil || res.Accepted != 1 {
		t.Fatalf("after the trim: %+v, %v", res, err)
	}
}
