package pipeline

import (
	"encoding/json"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/attune-io/attune"
	"github.com/attune-io/attune/identity"
	"github.com/attune-io/attune/journal"
)

// said returns the transitions in the journal as text, in order.
func (w *world) said() (out []string) {
	w.Helper()
	for _, t := range w.transitions() {
		verb := "left"
		if t.Entered {
			verb = "entered"
		}
		out = append(out, fmt.Sprintf("%s %s %s", t.UserID, verb, t.Segment))
	}
	return out
}

func identify(id, who string, at attune.Millis, plan string) *attune.Event {
	e := browser(id, who, "", at, `{}`)
	e.Type, e.Traits = attune.Identify, fmt.Appendf(nil, `{"plan":%q}`, plan)
	return e
}

// TestMembers: a user enters and leaves by events of her device, which is on
// another partition, with segments that name segments; every transition is in
// the journal once and in order; a restart makes none again.
func TestMembers(t *testing.T) {
	w := newWorld(t, t.TempDir(), 8)
	w.segments.Store(segments(t, audiences(t)...))
	w.start()
	device := "d1"
	for i := 0; journal.Partition(identity.DeviceKey(device), 8) == journal.Partition(identity.UserKey("u1"), 8); i++ {
		device = fmt.Sprint("d", i)
	}
	step := func(e *attune.Event) {
		w.send(e)
		w.settle()
	}
	step(identify("m1", device+" u1", start, "pro"))
	step(browser("m2", device+" u1", "Product Viewed", start+1000, `{"product_id":"p1"}`))
	step(browser("m3", device+" u1", "Product Viewed", start+2000, `{"product_id":"p2"}`))
	w.stop()
	w.start()
	w.settle()
	step(identify("m4", device+" u1", start+3000, "free"))
	want := []string{"u1 entered pro", "u1 entered both", "u1 entered viewer", "u1 left both", "u1 left pro"}
	if got := w.said(); !slices.Equal(got, want) {
		t.Errorf("the journal says %q, want %q", got, want)
	}
	if got := w.pipe.Members(); len(got) != 1 || got["viewer"] != 1 {
		t.Errorf("members %v, want one viewer", got)
	}
	w.membersAreRight([]string{"u1"})
	w.stop()
}

// TestLeaves: time alone makes people leave, by a tick in the journal; and a
// configuration with other segments takes people out of those that are gone
// when they are next looked at.
func TestLeaves(t *testing.T) {
	w := newWorld(t, t.TempDir(), 4)
	w.segments.Store(segments(t, "now", "features.views_1h >= 1", "pro", `traits.plan == "pro"`))
	w.ticks = time.Millisecond
	w.start()
	w.send(identify("m1", "d1 u1", start, "pro"))
	w.send(browser("m2", "d1 u1", "Product Viewed", start, `{"product_id":"p1"}`))
	w.settle()
	if got := w.pipe.Members(); got["now"] != 1 || got["pro"] != 1 {
		t.Fatalf("members %v, want one of each", got)
	}
	w.stop()
	w.start() // when she is due is known after a restart
	w.now.Store(int64(start + 2*3600*1000))
	for w.pipe.Members()["now"] != 0 {
		w.settle()
	}
	w.segments.Store(segments(t, "free", `traits.plan == "free"`))
	w.send(identify("m3", "d1 u1", start+2*3600*1000, "free"))
	w.settle()
	if got := w.pipe.Members(); len(got) != 1 || got["free"] != 1 {
		t.Errorf("members %v, want one of free and none of what is gone", got)
	}
	want := []string{"left now", "entered free", "left pro"} // the last two in any order
	got := w.said()
	slices.Sort(got[min(3, len(got)):]) // her link may be folded before her event
	for i := range want {
		if len(got) != 5 || got[2+i] != "u1 "+want[i] {
			t.Fatalf("the journal says %q, want it to end with %q", got, want)
		}
	}
	w.stop()
}

// TestTouchesCoalesce: many events of a device ask for its user once.
func TestTouchesCoalesce(t *testing.T) {
	w := newWorld(t, t.TempDir(), 2)
	w.segments.Store(segments(t, "pro", `traits.plan == "pro"`))
	w.must(w.open())
	for i := range 300 {
		w.send(browser(fmt.Sprint("m", i), "d1 u1", "Product Viewed", start+attune.Millis(i), `{"product_id":"p1"}`))
	}
	w.run()
	w.settle()
	touches := 0
	for p, last := range w.journal.Status().Last {
		r, err := w.journal.Read(p, 1)
		w.must(err)
		for next := uint64(1); next <= last; {
			recs, err := r.Next(t.Context(), 100)
			w.must(err)
			for i := range recs {
				next = recs[i].Offset + 1
				if recs[i].Kind == attune.KindTouch {
					touches++
				}
			}
		}
		w.must(r.Close())
	}
	if touches == 0 || touches > 60 {
		t.Errorf("%d touches of one user for 300 events that were folded at once", touches)
	}
	w.stop()
}

// TestTransitionID: the id is that of what happened where, and survives JSON.
func TestTransitionID(t *testing.T) {
	at := cause{Position: journal.Position{Partition: 1, Offset: 7}, reason: &reason{at: start}}
	one := attune.Transition{UserID: "u1", Segment: "pro", Entered: true}
	id := transitionID(one, at)
	if len(id) != 16 || id != transitionID(one, at) {
		t.Errorf("id %q, want the same 16 digits each time", id)
	}
	left, other, later := one, one, at
	left.Entered, other.UserID, later.Offset = false, "u2", 8
	for _, differs := range []string{transitionID(left, at), transitionID(other, at), transitionID(one, later)} {
		if differs == id {
			t.Errorf("%q is the id of two transitions", id)
		}
	}
	one.ID = id
	b, err := json.Marshal(one)
	if want := fmt.Sprintf(`{"id":%q,"user_id":"u1","segment":"pro","entered":true}`, id); err != nil || string(b) != want {
		t.Errorf("got %s (%v), want %s", b, err, want)
	}
}

// TestPassages: what a person entered and left, and how large a segment was
// when, is known, also after a restart and a crash.
func TestPassages(t *testing.T) {
	w := newWorld(t, t.TempDir(), 4)
	w.segments.Store(segments(t, "pro", `traits.plan == "pro"`, "viewer", "features.views_30d >= 1"))
	w.start()
	const hour = attune.Millis(3_600_000)
	for i := range 8 {
		plan := "pro"
		if i%2 == 1 {
			plan = "free"
		}
		w.now.Store(int64(start + attune.Millis(i)*hour))
		e := server(fmt.Sprint("m", i), "u1", "", start+attune.Millis(i)*hour, `{}`)
		e.Type, e.Traits = attune.Identify, fmt.Appendf(nil, `{"plan":%q}`, plan)
		w.send(e)
		w.must(w.pipe.CaughtUp(t.Context()))
		switch i {
		case 2:
			w.settle()
			w.kill()
			w.start()
		case 4:
			w.stop()
			w.start()
		}
	}
	w.send(server("v", "u2", "Product Viewed", start+8*hour, `{"product_id":"p1"}`))
	w.settle()
	look := func() {
		t.Helper()
		since, past, err := w.pipe.Passages(t.Context(), "u1")
		w.must(err)
		if len(since) != 0 || len(past) != 8 {
			t.Fatalf("u1 is in %v after %v", since, past)
		}
		for i, p := range past {
			if p.Segment != "pro" || p.Entered != (i%2 == 0) || p.At != start+attune.Millis(i)*hour {
				t.Errorf("passage %d is %+v", i, p)
			}
		}
		if since, _, err := w.pipe.Passages(t.Context(), "u2"); err != nil || len(since) != 1 || since[0] != (Membership{Segment: "viewer", Since: start + 8*hour}) {
			t.Errorf("u2 is in %v, %v", since, err)
		}
		pro, viewer := w.pipe.Audience("pro", 5), w.pipe.Audience("viewer", 5)
		if pro.Size != 0 || len(pro.Sample) != 0 || len(pro.Hours) != 8 || pro.Hours[2].Size != 1 || pro.Hours[2].Entered != 1 || pro.Hours[3].Size != 0 || pro.Hours[3].Left != 1 {
			t.Errorf("pro: %+v", pro)
		}
		if viewer.Size != 1 || !slices.Equal(viewer.Sample, []string{"u2"}) {
			t.Errorf("viewer: %+v", viewer)
		}
	}
	look()
	w.stop()
	w.start()
	w.settle()
	look()
	w.stop()
}

// TestPassageRow: a row reads as it was written, is bounded, and nothing that
// is stored makes it panic.
func TestPassageRow(t *testing.T) {
	var r passageRow
	for i := range 500 {
		r.add(Passage{Segment: fmt.Sprint("s", i%7), Entered: i%14 < 7, At: attune.Millis(i)})
	}
	if len(r.past) != maxPassages || len(r.since) > 7 {
		t.Errorf("%d passages, %d memberships", len(r.past), len(r.since))
	}
	var back passageRow
	b := r.encode()
	if !back.decode(b) || !slices.Equal(back.past, r.past) || !slices.Equal(back.since, r.since) {
		t.Errorf("got %+v, want %+v", back, r)
	}
	for i := range b {
		var cut passageRow
		cut.decode(b[:i])
		bent := slices.Clone(b)
		bent[i] ^= 0xff
		cut = passageRow{}
		cut.decode(bent)
	}
}

// TestSweep: segments that are new, or others, are those of everybody soon,
// also of people to whom nothing happens any more; a restart with the same ones
// asks nobody again.
func TestSweep(t *testing.T) {
	w := newWorld(t, t.TempDir(), 4)
	w.segments.Store(segments(t, "pro", `traits.plan == "pro"`))
	w.start()
	const users = 600
	for i := range users {
		e := server(fmt.Sprint("m", i), fmt.Sprint("u", i), "", start, `{}`)
		e.Type, e.Traits = attune.Identify, fmt.Appendf(nil, `{"plan":%q}`, []string{"pro", "free"}[i%2])
		w.append(records(w, e)...)
	}
	size := func(name string, want int) {
		t.Helper()
		for end := time.Now().Add(20 * time.Second); w.pipe.Members()[name] != want; time.Sleep(time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("%v, want %d in %s", w.pipe.Members(), want, name)
			}
		}
	}
	size("pro", users/2)
	w.segments.Store(segments(t, "free", `traits.plan == "free"`, "all", "true"))
	w.pipe.SegmentsChanged()
	size("free", users/2)
	size("all", users)
	size("pro", 0)
	for !w.pipe.swept.is(w.segments.Load().ID()) {
		time.Sleep(time.Millisecond)
	}
	w.settle()
	w.stop()
	last := w.records()
	w.start()
	w.settle()
	w.stop()
	if got := w.records(); got > last+4 {
		t.Errorf("a restart appended %d records", got-last)
	}
	w.segments.Store(segments(t, "nobody", "false", "free", `traits.plan == "free"`))
	w.start() // it changed while nothing ran
	size("all", 0)
	size("free", users/2)
	w.stop()
}

// records returns how many records the journal has; the world is stopped.
func (w *world) records() (n uint64) {
	w.Helper()
	w.must(w.open())
	defer w.close()
	for _, last := range w.journal.Status().Last {
		n += last
	}
	return n
}
