package collect_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/attune-io/attune"
)

// TestAnswersAreNotEscapedForHTML: < and & of what was sent come back as they are.
func TestAnswersAreNotEscapedForHTML(t *testing.T) {
	w := newWorld(t)
	w.post(400, "/v1/batch", `{"batch":[{"type":"<&>","userId":"u1","messageId":"<m>"},{"type":"<&>","userId":"u1"}]}`)
	for _, path := range []string{"/v1/batch", "/v1/dead-letters"} {
		method, body, as := "GET", "", secret
		if path == "/v1/batch" {
			method, body, as = "POST", `{"batch":[{"type":"<&>","userId":"u1","messageId":"<m>"}]}`, key
		}
		raw := w.do(method, path, body, basic(as)).Body.String()
		if !strings.Contains(raw, `\"<&>\"`) || !strings.Contains(raw, "<m>") {
			t.Errorf("%s: %s, want < and & as they are", path, raw)
		}
	}
}

// TestTooManyTraits: an identify of which some traits would be lost is refused.
func TestTooManyTraits(t *testing.T) {
	w := newWorld(t)
	body := func(n int) string {
		var b strings.Builder
		b.WriteString(`{"userId":"u1","traits":{"a":{"b":{}}`)
		for i := range n {
			fmt.Fprintf(&b, `,"t%d":"x:y"`, i)
		}
		return b.String() + "}}"
	}
	w.post(200, "/v1/identify", body(attune.MaxTraits))
	got := w.post(400, "/v1/identify", body(attune.MaxTraits+1))
	equal(t, "error", said(got), "identify has 1001 traits, of which at most 1000 would be kept; send fewer")
	equal(t, "dead letters", len(w.c.DeadLetters(10)), 1)
}
