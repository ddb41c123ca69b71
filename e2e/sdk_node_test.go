package e2e_test

import (
	"bytes"
	"maps"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// node runs a script with the real SDK inside. Leaving the machine is a fault.
func node(t *testing.T, script string, args ...string) {
	t.Helper()
	cmd := exec.Command("node", append([]string{"--import", "./loopback.mjs", script}, args...)...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	limit := time.AfterFunc(60*time.Second, func() { _ = cmd.Process.Kill() })
	defer limit.Stop()
	err := cmd.Wait()
	if err != nil || strings.Contains(out.String(), "LEFT THE MACHINE") {
		t.Fatalf("%s: %v\n%s", script, err, out.String())
	}
}

// TestNodeSDKs: every call of both server SDKs arrives, traits and features
// are right, and what they send again after a lost answer counts once.
func TestNodeSDKs(t *testing.T) {
	for _, sdk := range []string{"rudder", "segment"} {
		t.Run(sdk, func(t *testing.T) {
			base := dev(t)
			proxy := newFlaky(t, base)
			node(t, sdk+"-node.mjs", proxy.URL)
			proxy.repeated(t, base)
			user := "u:" + sdk + "-u1"
			want := map[string]int{"identify": 1, "Product Viewed": 1, "Order Completed": 1, "page": 1, "screen": 1, "group": 1, "alias": 1}
			until(t, "every call in the timeline, once", func() bool { return maps.Equal(kinds(events(t, base, user)), want) })
			if t.Failed() {
				t.Logf("timeline: %v", kinds(events(t, base, user)))
			}
			var p profile
			read(t, base, "/v1/profiles/"+user, &p)
			p.told(t)
		})
	}
}
