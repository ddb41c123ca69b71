package profile

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/attune-io/attune"
	"github.com/attune-io/attune/feature"
)

func folder(tb testing.TB) *Folder {
	tb.Helper()
	set, err := feature.Compile(feature.Defaults(), nil)
	if err != nil {
		tb.Fatal(err)
	}
	return &Folder{Features: set}
}

// log feeds one part.
type log struct {
	f    *Folder
	part *Part
	next uint64
}

func (l *log) event(message, user string, flags attune.Flag) Outcome {
	l.next++
	at := attune.Millis(l.next * 1000)
	e := &attune.Event{
		Type: attune.Track, Name: "Product Viewed", MessageID: message, UserID: user, AnonymousID: "d",
		Flags: attune.Device | flags, Time: at, ReceivedAt: at, Properties: []byte(`{"product_id":"p1"}`),
	}
	return l.f.Fold(l.part, &attune.Record{Offset: l.next, Kind: attune.KindEvent, Key: l.part.Key, Time: at, ReceivedAt: at}, e)
}

func (l *log) note(kind attune.Kind, at attune.Millis, payload string) Outcome {
	l.next++
	r := &attune.Record{Offset: l.next, Kind: kind, Key: l.part.Key, Time: at, ReceivedAt: at, Payload: []byte(payload)}
	return l.f.Fold(l.part, r, nil)
}

// TestFoldOutcomes is what each record does to a part, one after another.
func TestFoldOutcomes(t *testing.T) {
	l := &log{f: folder(t), part: newPart("a:d")}
	for i, test := range []struct {
		name   string
		got    Outcome
		want   Outcome
		events int64 // of the last stretch
	}{
		{"an event", l.event("m1", "", 0), Counted, 1},
		{"sent again", l.event("m1", "", 0), Repeat, 1},
		{"a bot's", l.event("m2", "", attune.Bot), Ignored, 1},
		{"a bot's, sent again as none", l.event("m2", "", 0), Counted, 2},
		{"without consent", l.event("m3", "", attune.Denied), Ignored, 2},
		{"without a message id", l.event("", "", 0), Counted, 3},
		{"without a message id again", l.event("", "", 0), Counted, 4},
		{"a link of a device", l.note(attune.KindLink, 1, `{"anonymous_id":"x"}`), Ignored, 4},
		{"a claim that is none", l.note(attune.KindClaim, 1, `{`), Ignored, 4},
		{"a tick", l.note(attune.KindTick, 1, ""), Noted, 4},
		{"a visitor token", l.note(attune.KindVisitor, 7, ""), Noted, 4},
		{"a decision", l.note(attune.KindDecision, 1, "{}"), Noted, 4},
		{"an expiry from before the last event", l.note(attune.KindExpiry, 100, ""), Noted, 4},
		{"a claim", l.note(attune.KindClaim, 1, `{"user_id":"u1","message_id":"c1"}`), Noted, 4},
		{"an expiry of what is claimed", l.note(attune.KindExpiry, 0, ""), Noted, 4},
		{"another user", l.event("m4", "u2", 0), Counted, 1},
		{"the claim again", l.note(attune.KindClaim, 1, `{"user_id":"u1","message_id":"c1"}`), Repeat, 1},
		{"a log-out", l.event("m5", "", 0), Counted, 1},
		{"an expiry", l.note(attune.KindExpiry, 1_000_000, ""), Noted, 0},
	} {
		_ = i
		if test.got != test.want {
			t.Errorf("%s: got %d, want %d", test.name, test.got, test.want)
		}
	}
	if l.part.Applied != l.next || l.part.Visitor != 7 {
		t.Errorf("applied %d, visitor %d, want %d, 7", l.part.Applied, l.part.Visitor, l.next)
	}
	if got := fmt.Sprint(len(l.part.Closed), l.part.closed("u1").State.Events, l.part.closed("u2").State.Events, " "+l.part.Last.Prev); got != "2 4 1 u2" {
		t.Errorf("stretches: got %s, want 2 4 1 u2", got)
	}
	// What was folded once is skipped, and then nothing moves.
	before := l.f.AppendPart(l.part, nil)
	l.next -= 3
	if got := l.event("new", "u9", 0); got != Skipped {
		t.Errorf("an old offset: got %d, want %d", got, Skipped)
	}
	l.next = l.part.Applied - 1
	if got := l.event("", "u9", 0); got != Skipped {
		t.Errorf("the same offset: got %d, want %d", got, Skipped)
	}
	if string(l.f.AppendPart(l.part, nil)) != string(before) {
		t.Error("a skipped record changed the part")
	}
}

// TestLinks: of all links the 200 best by a total order stay, and the others
// are remembered.
func TestLinks(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := newPart("u:u1")
		ids := rapid.SampledFrom([]int{150, 260}).Draw(t, "ids")
		var want []Link
		all := map[string]bool{}
		for i := range 400 {
			id := fmt.Sprint("d", rapid.IntRange(0, ids).Draw(t, "id"))
			verified := rapid.IntRange(0, 9).Draw(t, "verified") == 0
			at := attune.Millis(i/30) * day
			p.link(id, verified, at+5000, maxLinks)
			all[id] = true
			l := Link{id, verified, at}
			if at := slices.IndexFunc(want, func(x Link) bool { return x.Device == id }); at >= 0 {
				l.Verified = l.Verified || want[at].Verified
				want = slices.Delete(want, at, at+1)
			}
			want = append(want, l)
			slices.SortFunc(want, newestFirst)
			want = want[:min(len(want), maxLinks)]
		}
		slices.SortFunc(want, func(a, b Link) int { return strings.Compare(a.Device, b.Device) })
		if !slices.Equal(p.Links, want) {
			t.Fatalf("got %d links, want %d, or they differ", len(p.Links), len(want))
		}
		for _, l := range p.Links {
			delete(all, l.Device)
		}
		for _, id := range p.Evicted {
			if !all[id] {
				t.Fatalf("%s is evicted and linked, or evicted twice", id)
			}
			delete(all, id)
		}
		if len(all) > 0 {
			t.Fatalf("%d devices are forgotten", len(all))
		}
	})
}

// TestClaimedNeverEvictsVerified fills a user with verified devices.
func TestClaimedNeverEvictsVerified(t *testing.T) {
	p := newPart("u:u1")
	for i := range maxLinks {
		p.link(fmt.Sprint("v", i), true, day, maxLinks)
	}
	for i := range 50 {
		p.link(fmt.Sprint("c", i), false, 99*day, maxLinks)
	}
	for _, l := range p.Links {
		if !l.Verified {
			t.Fatalf("claimed device %s has a place", l.Device)
		}
	}
	if len(p.Links) != maxLinks || len(p.Evicted) != 50 {
		t.Errorf("got %d links, %d evicted, want %d, 50", len(p.Links), len(p.Evicted), maxLinks)
	}
}

// TestSeen: the window is what a list of all messages says it is.
func TestSeen(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		type message struct {
			hash uint64
			at   attune.Millis
		}
		var s Seen
		var list []message // the window, oldest first
		var newest attune.Millis
		stored := map[uint64][]byte{}
		now, hours := start, rapid.SampledFrom([]int{0, 1, 20}).Draw(t, "pace")
		for i := range uint64(rapid.SampledFrom([]int{10, 200, 3000, 25_000}).Draw(t, "messages")) {
			now += attune.Millis(hours) * day / 24 / 50
			hash := attune.Hash(strconv.FormatUint(i-i%3, 10)) // two of three are known
			known := i%3 != 0 && len(list) > 0 && list[len(list)-1].hash == hash
			if got := s.Add(hash, i+1, now); got == known {
				t.Fatalf("message %d: got new %v, want %v", i, got, !known)
			}
			if !known {
				list, newest = append(list, message{hash, now}), max(newest, now)
				for len(list) > seenMax || len(list) > seenMin && list[0].at < newest-seenFor {
					list = list[1:]
				}
			}
			if i%1500 == 7 {
				s = restore(t, &s, stored)
			}
		}
		if s.Len() != len(list) {
			t.Fatalf("got %d messages, want %d", s.Len(), len(list))
		}
		for _, m := range list {
			if _, known := s.Offset(m.hash); !known {
				t.Fatal("a message of the window is not known")
			}
		}
		if newest := s.Newest(nil, 2); len(newest) > 0 {
			if first, _ := s.Offset(list[len(list)-1].hash); newest[0].Offset != first {
				t.Fatalf("the newest message is at %d, want %d", newest[0].Offset, first)
			}
		}
		if s.size() > 3_000_000 {
			t.Fatalf("the window takes %d bytes", s.size())
		}
	})
}

const start = attune.Millis(1_700_000_000_000)

// restore writes what changed to stored and reads all of it back.
func restore(t *rapid.T, s *Seen, stored map[uint64][]byte) Seen {
	for c := s.stored; c < s.base/seenChunk; c++ {
		delete(stored, c)
	}
	for c := s.dirty / seenChunk; c*seenChunk < s.next; c++ {
		stored[c] = s.appendChunk(nil, c)
	}
	if want := int((s.next+seenChunk-1)/seenChunk - s.base/seenChunk); len(stored) != want {
		t.Fatalf("%d chunks are stored, want %d", len(stored), want)
	}
	back := Seen{first: s.first, next: s.next, base: s.base, newest: s.newest, dirty: s.next, stored: s.base / seenChunk}
	if err := back.load(func(c uint64) ([]byte, error) { return stored[c], nil }); err != nil {
		t.Fatal(err)
	}
	for c := s.base / seenChunk; c*seenChunk < s.next; c++ {
		if string(back.appendChunk(nil, c)) != string(s.appendChunk(nil, c)) {
			t.Fatal("a chunk changed on its way")
		}
	}
	return back
}

// TestManyOwners: a device that very many people share keeps the newest.
func TestManyOwners(t *testing.T) {
	l := &log{f: folder(t), part: newPart("a:d")}
	for i := range maxClosed + 20 {
		l.event(fmt.Sprint("m", i), fmt.Sprintf("u%04d", i), 0)
	}
	if len(l.part.Closed) != maxClosed || l.part.Closed[0].Owner != "u0019" {
		t.Errorf("got %d owners from %s, want %d from u0019", len(l.part.Closed), l.part.Closed[0].Owner, maxClosed)
	}
}

func example(tb testing.TB) (*Folder, *Part) {
	tb.Helper()
	l := &log{f: folder(tb), part: newPart("a:d")}
	for i := range 40 {
		l.event(fmt.Sprint("m", i), []string{"", "u1", "", "u2"}[i/3%4], []attune.Flag{0, attune.Granted}[i%2])
	}
	l.part.Links = []Link{{"d1", true, day}, {"d2", false, 2 * day}}
	l.part.Evicted = []string{"d0"}
	l.part.Edges = []Edge{{From: "u1", To: "u2", Time: 5, MessageID: "m"}, {From: "u2", To: "u1", Time: 6, MessageID: "n", Removed: true, By: "email"}}
	l.part.Externals = []External{{Type: "email", Value: "a@b.c", User: "u1", Verified: true, First: 7, Last: 8}}
	l.part.Crowded = 9
	l.part.Last.State.Traits = traitsOf(told{1, 5, `{"a":{"b":"c"},"n":null}`})
	return l.f, l.part
}

func TestPartRoundTrip(t *testing.T) {
	f, p := example(t)
	b := f.AppendPart(p, nil)
	q, err := f.DecodePart(b)
	if err != nil {
		t.Fatal(err)
	}
	if got := f.AppendPart(q, nil); string(got) != string(b) {
		t.Error("a part changed on its way")
	}
	if fmt.Sprint(q.Links, q.Evicted, q.Edges, q.Externals, q.Crowded, q.Last.Ownership, q.Last.State.Traits) != fmt.Sprint(p.Links, p.Evicted, p.Edges, p.Externals, p.Crowded, p.Last.Ownership, p.Last.State.Traits) {
		t.Error("a part lost something on its way")
	}
	for n := range b {
		if _, err := f.DecodePart(b[:n]); !errors.Is(err, attune.ErrCorrupt) {
			t.Fatalf("cut to %d bytes: got %v, want %v", n, err, attune.ErrCorrupt)
		}
	}
	b[0] = 9
	if _, err := f.DecodePart(b); !errors.Is(err, attune.ErrCorrupt) || !strings.Contains(err.Error(), "format 9") {
		t.Errorf("another format: got %v", err)
	}
}

// FuzzDecodePart: any bytes decode or are refused; what decodes can be folded,
// merged, read and stored again.
func FuzzDecodePart(fz *testing.F) {
	f, p := example(fz)
	fz.Add(f.AppendPart(p, nil))
	fz.Add(f.AppendPart(newPart("u:u1"), nil))
	fz.Fuzz(func(t *testing.T, b []byte) {
		p, err := f.DecodePart(b)
		if err != nil {
			if !errors.Is(err, attune.ErrCorrupt) {
				t.Fatal(err)
			}
			return
		}
		var st State
		f.Merge(&st, &p.Last.State)
		for i := range p.Closed {
			f.Merge(&st, &p.Closed[i].State)
		}
		st.Traits.Map()
		again := f.AppendPart(p, nil)
		if q, err := f.DecodePart(again); err != nil || string(f.AppendPart(q, nil)) != string(again) {
			t.Fatalf("a part that decoded does not decode again: %v", err)
		}
	})
}

// FuzzDecodeChunk: the same for a chunk of the deduplication set.
func FuzzDecodeChunk(fz *testing.F) {
	var s Seen
	for i := range uint64(100) {
		s.Add(attune.Hash(strconv.FormatUint(i, 10)), i+1, start)
	}
	fz.Add(s.appendChunk(nil, 0))
	fz.Fuzz(func(t *testing.T, b []byte) {
		if entries, err := decodeChunk(nil, b, 100); err == nil && len(entries) != 100 {
			t.Fatal("a chunk of another size")
		}
	})
}

func TestCanonical(t *testing.T) {
	for _, test := range []struct {
		name  string
		edges []Edge
		want  string
	}{
		{"nobody else", nil, "a"},
		{"the target", []Edge{{From: "a", To: "b", Time: 1, MessageID: "m"}}, "b"},
		{"the newest's target", []Edge{{From: "a", To: "b", Time: 2, MessageID: "m"}, {From: "c", To: "a", Time: 1, MessageID: "m"}}, "b"},
		{"the tie", []Edge{{From: "a", To: "b", Time: 1, MessageID: "m1"}, {From: "b", To: "a", Time: 1, MessageID: "m2"}}, "a"},
		{"back and forth", []Edge{{From: "a", To: "b", Time: 1, MessageID: "m"}, {From: "b", To: "a", Time: 2, MessageID: "m"}}, "a"},
		{"on to where the target went", []Edge{{From: "a", To: "b", Time: 2, MessageID: "m"}, {From: "b", To: "c", Time: 1, MessageID: "m"}}, "c"},
	} {
		if got := canonical("a", test.edges); got != test.want {
			t.Errorf("%s: got %s, want %s", test.name, got, test.want)
		}
	}
}
