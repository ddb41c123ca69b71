package node_test

import (
	"fmt"
	"maps"
	"net/http"
	"strings"
	"testing"

	"github.com/attune-io/attune/config"
	"github.com/attune-io/attune/node"
)

// thousand is a file of 200 features, the built-in ones among them, and 1,000
// segments.
func thousand() string {
	var b strings.Builder
	b.WriteString("dev: true\nfeatures:\n")
	for i := range 182 {
		fmt.Fprintf(&b, "  - {name: f%d, kind: count, on: [Event %d], window: %dd}\n", i, i%40, 1+i%30)
	}
	b.WriteString("segments:\n")
	for i := range 1000 {
		when := fmt.Sprintf("features.f%d >= %d", i%182, 1+i/182)
		switch i % 5 {
		case 0:
			when = fmt.Sprintf(`traits.plan == "p%d"`, i%7)
		case 1:
			when += fmt.Sprintf(` && "s%d" in segments`, i-1)
		}
		fmt.Fprintf(&b, "  - {name: s%d, when: '%s'}\n", i, when)
	}
	return b.String()
}

// TestThousandSegments: a file of a thousand segments is read, folded with and
// exchanged while the server runs, and everybody is in those the rules say.
func TestThousandSegments(t *testing.T) {
	dir := t.TempDir()
	load := func(text string) config.Config {
		t.Helper()
		cfg, err := config.Load([]byte(text), nil, func(c *config.Config) {
			c.DataDir, c.Listen, c.AdminListen = dir, "127.0.0.1:0", ""
		})
		if err != nil {
			t.Fatal(err)
		}
		return cfg
	}
	r := start(t, load(thousand()), node.Options{})
	const users = 5
	for i := range 200 {
		user := fmt.Sprintf("u%d", i%users)
		if i%11 == 0 {
			r.call(http.MethodPost, "/v1/identify", config.DevServerSecret, fmt.Sprintf(`{"userId":%q,"traits":{"plan":"p%d"}}`, user, i%7), nil)
			continue
		}
		r.did(user, fmt.Sprintf("Event %d", i*i%43), "{}", 0)
	}
	agree := func(what string) {
		t.Helper()
		within(t, what, func() bool {
			want := map[string]int{}
			for i := range users {
				for _, s := range r.memberships(fmt.Sprintf("u%d", i)).Segments {
					want[s]++
				}
			}
			return len(want) > 50 && maps.Equal(r.node.Members(), want)
		})
	}
	agree("agree with the rules")
	// Other rules under the same names: nothing happens to anybody, and yet.
	if err := r.node.Reload(load(strings.ReplaceAll(thousand(), ">= 1", ">= 2"))); err != nil {
		t.Fatal(err)
	}
	agree("agree with the new rules")
}
