package pipeline

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/attune-io/attune"
)

// drawEvents draws what a few people do to a few items: with orders sent by
// browser and server, repeats, bots, log-ins and traits that move people in
// and out of segments.
func drawEvents(t *rapid.T) []*attune.Event {
	var out []*attune.Event
	at := start
	for i := range rapid.IntRange(1, 14).Draw(t, "events") {
		at += attune.Millis(rapid.SampledFrom([]int{10, 60_000, 3_600_000}).Draw(t, "pause"))
		if len(out) > 0 && rapid.IntRange(0, 9).Draw(t, "again") == 0 {
			out = append(out, rapid.SampledFrom(out).Draw(t, "repeat"))
			continue
		}
		name := rapid.SampledFrom([]string{
			"Product Viewed", "Product Viewed", "Product Viewed", "Product Added", "Recommendation Viewed",
			"Recommendation Clicked", "Order Completed", "Order Updated", "Order Cancelled",
		}).Draw(t, "name")
		item := rapid.SampledFrom([]string{"p1", "p2", "p3", "p4"})
		properties := fmt.Sprintf(`{"order_id":"o%d","placement":"home%d","products":[{"product_id":%q,"quantity":%d},{"product_id":%q}]}`,
			rapid.IntRange(1, 4).Draw(t, "order"), i%2, item.Draw(t, "item"), 1+i%3, item.Draw(t, "other"))
		user := rapid.SampledFrom([]string{"u1", "u2", "u3"}).Draw(t, "user")
		id := fmt.Sprint("m", i)
		var e *attune.Event
		if rapid.Bool().Draw(t, "browser") {
			who := rapid.SampledFrom([]string{"d1", "d2", "d3"}).Draw(t, "device")
			if rapid.Bool().Draw(t, "known") {
				who += " " + user
			}
			e = browser(id, who, name, at, properties)
		} else {
			e = server(id, user, name, at, properties)
		}
		e.Context = fmt.Appendf(nil, `{"traits":{"plan":%q}}`, rapid.SampledFrom([]string{"free", "pro"}).Draw(t, "plan"))
		if rapid.IntRange(0, 14).Draw(t, "bot") == 0 {
			e.Flags |= attune.Bot
		}
		out = append(out, e)
	}
	return out
}

// audiences are segments that people enter and leave, one of them by others.
func audiences(t tb) []string {
	t.Helper()
	return []string{"pro", `traits.plan == "pro"`, "viewer", "features.views_30d >= 2", "both", `"pro" in segments && "viewer" in segments`}
}

// crowd is audiences and so many more that only those are evaluated again that
// an event concerns.
func crowd(t tb) []string {
	t.Helper()
	return append(audiences(t), "free", `traits.plan == "free"`, "adder", "features.adds_24h >= 1", "buyer", "features.purchases_30d >= 1",
		"spender", "features.revenue_30d > 10", "visitor", "features.sessions_30d >= 2", "filler", "features.cart != null && features.cart.size() > 0",
		"looker", `!("viewer" in segments) && features.views_30d >= 1`, "owner", "features.last_purchase_at != null", "known", "traits.plan != null")
}

// TestCrashes: whatever happens between the steps of a process (it ends in good
// order, is killed, a commit fails, it dies at any step that leaves it, before
// or after the step is done), statistics, orders, clicks, members and people
// are those of a process to which nothing happened; and every transition is in
// the journal once.
func TestCrashes(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		events := drawEvents(rt)
		partitions := rapid.SampledFrom([]int{1, 3}).Draw(rt, "partitions")
		quiet := newWorld(rt, t.TempDir(), partitions)
		defs := audiences(rt)
		if rapid.Bool().Draw(rt, "many segments") {
			defs = crowd(rt)
		}
		quiet.segments.Store(segments(rt, defs...))
		quiet.start()
		for _, e := range events {
			quiet.send(e)
			rt.Logf("%s %s %s", e.MessageID, e.Name, e.Properties)
			// Across partitions only what commutes may be compared.
			quiet.must(quiet.pipe.CaughtUp(context.Background()))
		}
		quiet.settle()
		want := quiet.statistics()
		quiet.stop()

		w := newWorld(rt, t.TempDir(), partitions)
		w.segments = quiet.segments
		w.start()
		for _, e := range events {
			w.send(e)
			w.happens(rt)
		}
		w.settle()
		same(rt, "statistics", w.statistics(), want)
		w.membersAreRight([]string{"u1", "u2", "u3"})
		w.stop()
		// What the last checkpoint has is the same again.
		w.start()
		w.settle()
		same(rt, "statistics after a restart", w.statistics(), want)
		w.membersAreRight([]string{"u1", "u2", "u3"})
		w.stop()
	})
}

// happens lets something happen to the process between two events.
func (w *world) happens(rt *rapid.T) {
	w.Helper()
	ctx := context.Background()
	what := rapid.SampledFrom([]string{"nothing", "nothing", "nothing", "nothing", "fold", "checkpoint", "stop", "kill", "fold kill", "refuse", "fuse"}).Draw(rt, "what")
	rt.Logf("%s", what)
	switch what {
	case "nothing":
		return
	case "fold":
		w.must(w.pipe.CaughtUp(ctx))
	case "checkpoint":
		w.must(w.pipe.Checkpoint(ctx))
	case "stop":
		w.stop()
		w.start()
	case "kill":
		w.kill()
		w.start()
	case "fold kill":
		w.must(w.pipe.CaughtUp(ctx))
		w.kill()
		w.start()
	case "refuse":
		if err := w.pipe.Checkpoint(refusing()); !errors.Is(err, errFault) {
			w.Fatalf("a commit failed, and the checkpoint said %v", err)
		}
	case "fuse":
		w.fuse.late.Store(rapid.Bool().Draw(rt, "late"))
		w.fuse.left.Store(rapid.Int64Range(0, 3).Draw(rt, "steps"))
		for range 3 {
			_ = w.pipe.Checkpoint(ctx) // it may well fail
		}
		w.kill()
		w.start()
	}
	// Between partitions the order of records is not given: let them keep pace.
	w.must(w.pipe.CaughtUp(ctx))
}

// membersAreRight compares what workers last saw with the truth, and with what
// the journal's transitions say.
func (w *world) membersAreRight(users []string) {
	w.Helper()
	published := map[string][]string{}
	known := map[string]bool{}
	for _, t := range w.transitions() {
		if t.ID == "" {
			w.Fatalf("%+v has no id", t)
		}
		if known[t.ID] {
			continue
		}
		known[t.ID] = true
		was := published[t.UserID]
		in := slices.Contains(was, t.Segment)
		if in == t.Entered {
			w.Fatalf("%+v is in the journal, when %s is in %v", t, t.UserID, was)
		}
		if t.Entered {
			was = append(was, t.Segment)
			slices.Sort(was)
		} else {
			was = slices.DeleteFunc(was, func(s string) bool { return s == t.Segment })
		}
		published[t.UserID] = was
	}
	count := map[string]int{}
	for _, u := range users {
		p, err := w.people.User(context.Background(), u)
		w.must(err)
		want := w.segments.Load().Evaluate(p, attune.Millis(w.now.Load()))
		if !slices.Equal(published[u], want) {
			w.Fatalf("%s is in %v by the journal's transitions, want %v", u, published[u], want)
		}
		for _, s := range want {
			count[s]++
		}
	}
	got := w.pipe.Members()
	for s, n := range count {
		if got[s] != n {
			w.Fatalf("members %v, want %v", got, count)
		}
		delete(got, s)
	}
	if len(got) > 0 {
		w.Fatalf("members %v of segments that nobody is in", got)
	}
}
