package node_test

import (
	"net/http"
	"testing"

	"github.com/attune-io/attune/config"
	"github.com/attune-io/attune/node"
)

// TestExternalIDs: who has an e-mail address or a customer number is found by
// it, in its normal form; junk finds nobody, and a write key may not look.
func TestExternalIDs(t *testing.T) {
	cfg := testConfig(t.TempDir())
	cfg.Identity.ExternalIDs = []config.ExternalID{{Type: "email", Traits: []string{"email"}}, {Type: "crm"}}
	r := start(t, cfg, node.Options{})
	const secret = config.DevServerSecret
	r.say(secret, "/v1/identify", `{"userId":"ann","traits":{"email":" Ann@Example.com"},"context":{"externalIds":[{"id":"A-7","type":"crm","collection":"users","encoding":"none"},{"id":"B","type":"other"}]}}`)
	r.say(secret, "/v1/identify", `{"userId":"bob","traits":{"email":"undefined"}}`)
	r.say(config.DevWriteKey, "/v1/identify", `{"userId":"eve","traits":{"email":"ann@example.com"}}`)
	for key, want := range map[string]string{"x:email:ANN@example.com": "ann", "x:crm:A-7": "ann"} {
		if k, status := r.known(key); status != http.StatusOK || k.Canonical != want {
			t.Errorf("%s: answered %d, %q, want %s", key, status, k.Canonical, want)
		}
	}
	for key, want := range map[string]int{"x:email:undefined": 400, "x:email:bob@example.com": 404, "x:other:B": 404} {
		if _, status := r.known(key); status != want {
			t.Errorf("%s: answered %d, want %d", key, status, want)
		}
	}
	if status, _ := r.call(http.MethodGet, "/v1/profiles/x:crm:A-7", config.DevWriteKey, nil, nil); status != http.StatusForbidden {
		t.Errorf("a write key: answered %d, want 403", status)
	}
	k, _ := r.known("u:ann")
	if got, want := k.list(), "user_id=ann! crm=A-7! email=ann@example.com! "; got != want {
		t.Errorf("ann is %s, want %s", got, want)
	}
}
