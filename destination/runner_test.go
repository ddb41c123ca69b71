package destination

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/attune-io/attune"
	"github.com/attune-io/attune/feature"
	"github.com/attune-io/attune/journal"
	"github.com/attune-io/attune/journal/disk"
)

// receiver notes what it takes, in order, and answers as it is told.
type receiver struct {
	mu     sync.Mutex
	taken  []*Message
	tries  int
	answer func(ctx context.Context, m *Message) error // nil takes
}

func (r *receiver) Send(ctx context.Context, m *Message) error {
	r.mu.Lock()
	answer := r.answer
	r.tries++
	r.mu.Unlock()
	if answer != nil {
		if err := answer(ctx, m); err != nil {
			return err
		}
	}
	r.mu.Lock()
	r.taken = append(r.taken, m)
	r.mu.Unlock()
	return nil
}

func (r *receiver) says(answer func(ctx context.Context, m *Message) error) {
	r.mu.Lock()
	r.answer = answer
	r.mu.Unlock()
}

// ids returns those of the messages that were taken, of person or of all.
func (r *receiver) ids(person string) (ids []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, m := range r.taken {
		if person == "" || m.Person == person {
			ids = append(ids, m.ID)
		}
	}
	return ids
}

// stand is a journal with a destination on it.
type stand struct {
	t   *testing.T
	j   *disk.Journal
	dir string
	def Definition
	to  *receiver
	n   int // transitions so far
	of  map[string][]string
}

func newStand(t *testing.T, dir string) *stand {
	t.Helper()
	j, err := disk.Open(disk.Options{Dir: filepath.Join(dir, "journal"), Partitions: 3})
	if err != nil {
		t.Fatal(err)
	}
	return &stand{
		t: t, j: j, dir: filepath.Join(dir, "destinations"), to: &receiver{}, of: map[string][]string{},
		def: Definition{Name: "crm", Kind: KindWebhook, URL: "https://crm.example", Secret: "0123456789abcdef"},
	}
}

func (s *stand) close() {
	if err := s.j.Close(); err != nil {
		s.t.Error(err)
	}
}

func (s *stand) open() *Runner {
	s.t.Helper()
	r, err := Open(Options{Definition: s.def, Sender: s.to, Journal: s.j, Dir: s.dir, Now: time.Now, Chance: func() float64 { return 0.5 }})
	if err != nil {
		s.t.Fatal(err)
	}
	return r
}

// run opens and runs until stop is called, which waits.
func (s *stand) run() (r *Runner, stop func()) {
	s.t.Helper()
	r = s.open()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- r.Run(ctx) }()
	return r, func() {
		s.t.Helper()
		cancel()
		if err := <-ended; err != nil {
			s.t.Error(err)
		}
	}
}

// change journals a transition of user, and something else beside it.
func (s *stand) change(user string) string {
	s.t.Helper()
	s.n++
	tr := attune.Transition{ID: fmt.Sprintf("%016d", s.n), UserID: user, Segment: "vip", Entered: s.n%2 == 1}
	payload, err := json.Marshal(tr)
	if err != nil {
		s.t.Fatal(err)
	}
	s.append(attune.Record{Kind: attune.KindTouch, Key: "u:" + user}, attune.Record{Kind: attune.KindTransition, Key: "u:" + user, Time: 1, ReceivedAt: 1, Payload: payload})
	s.of["u:"+user] = append(s.of["u:"+user], tr.ID)
	return tr.ID
}

func (s *stand) append(recs ...attune.Record) {
	s.t.Helper()
	if err := s.j.Append(context.Background(), recs); err != nil {
		s.t.Fatal(err)
	}
}

// all fails unless everybody's changes arrived once each and in order.
func (s *stand) all() {
	s.t.Helper()
	for person, want := range s.of {
		if got := s.to.ids(person); !slices.Equal(got, want) {
			s.t.Errorf("%s: arrived %v, want %v", person, got, want)
		}
	}
}

// wait lets time pass until done, at most limit.
func wait(t *testing.T, limit time.Duration, what string, done func() bool) {
	t.Helper()
	for end := time.Now().Add(limit); !done(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s: not within %s", what, limit)
		}
	}
}

func (s *stand) arrived(n int) func() bool { return func() bool { return len(s.to.ids("")) >= n } }

// TestHangs: a receiver that hangs for hours, and then takes again, gets every
// change once and in order of each person, though far more came than fit into
// memory.
func TestHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStand(t, t.TempDir())
		defer s.close()
		s.def.MaxPending = 40
		s.to.says(func(ctx context.Context, _ *Message) error { <-ctx.Done(); return ctx.Err() })
		r, stop := s.run()
		defer func() { stop() }()
		for i := range 300 {
			s.change(fmt.Sprintf("p%d", i%17))
		}
		time.Sleep(3 * time.Hour)
		if st := r.Status(); st.Pending > 40 || st.State != "paused" || st.Behind == 0 || st.LastError == "" {
			t.Errorf("while it hangs: %+v", st)
		}
		s.to.mu.Lock()
		tries := s.to.tries
		s.to.mu.Unlock()
		if tries > 3*3600/5+100 {
			t.Errorf("a receiver that is down was asked %d times in three hours", tries)
		}
		s.to.says(nil)
		wait(t, time.Minute, "every change", s.arrived(300))
		stop()
		s.all()
		if st := r.Status(); st.Pending != 0 || st.Behind != 0 || st.Delivered != 300 || st.State != "sending" {
			t.Errorf("after it: %+v", st)
		}
		_, stop = s.run() // nothing is sent again
		s.change("p1")
		wait(t, time.Minute, "one more", s.arrived(301))
		time.Sleep(time.Minute)
		s.all()
	})
}

// TestOthersGoOn: one whose message the receiver does not take waits, with her
// later ones, and nobody else does.
func TestOthersGoOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStand(t, t.TempDir())
		defer s.close()
		s.to.says(func(_ context.Context, m *Message) error {
			if m.Person == "u:poor" {
				return &Failure{Reason: "answered 500", Status: 500}
			}
			return nil
		})
		r, stop := s.run()
		defer stop()
		for range 3 {
			s.change("poor")
			s.change("rich")
		}
		wait(t, time.Second, "the others", s.arrived(3))
		time.Sleep(time.Hour)
		s.change("rich")
		wait(t, time.Second, "another one", s.arrived(4))
		if st := r.Status(); st.Pending != 3 || st.DeadLetters != 0 {
			t.Errorf("got %+v", st)
		}
		s.to.says(nil)
		wait(t, longestPause, "hers", s.arrived(7))
		s.all()
	})
}

// TestDeadLetters: what is refused for good is kept, the newest of it, with the
// reason; the later ones go on; it can be tried again, also after a restart.
func TestDeadLetters(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStand(t, t.TempDir())
		defer s.close()
		s.def.DeadLetters = 3
		refuse := func(_ context.Context, m *Message) error {
			if m.Type == SegmentEntered {
				return &Failure{Reason: "answered 422: no such field", Status: 422, Final: true}
			}
			return nil
		}
		s.to.says(refuse)
		_, stop := s.run()
		var refused []string
		for range 5 {
			refused = append(refused, s.change("u1"))
			s.change("u1")
		}
		wait(t, time.Second, "the exits", s.arrived(5))
		stop()
		r, stop := s.run()
		defer func() { stop() }()
		dead, all := r.DeadLetters(2)
		if all != 3 || len(dead) != 2 || dead[0].ID != refused[4] || dead[1].ID != refused[3] || dead[0].Status != 422 || dead[0].Attempts != 1 || dead[0].Person != "u:u1" {
			t.Errorf("got %d of %d: %+v", len(dead), all, dead)
		}
		if _, err := r.Retry([]string{refused[4], "nothing"}); !errors.Is(err, attune.ErrNotFound) {
			t.Errorf("a letter that is not there: %v", err)
		}
		if n, err := r.Retry(nil); n != 3 || err != nil { // refused once more
			t.Errorf("retried %d, %v", n, err)
		}
		wait(t, time.Second, "the second refusal", func() bool { d, _ := r.DeadLetters(3); return d[0].Attempts == 2 && d[2].Attempts == 2 })
		s.to.says(nil)
		if n, err := r.Retry([]string{refused[3]}); n != 1 || err != nil {
			t.Errorf("retried %d, %v", n, err)
		}
		wait(t, time.Second, "the letter", s.arrived(6))
		wait(t, time.Second, "the end", func() bool { return r.Status().Pending == 0 })
		if dead, all := r.DeadLetters(10); all != 2 || dead[0].ID != refused[4] || dead[1].ID != refused[2] {
			t.Errorf("left: %+v", dead)
		}
		stop()
		r, stop = s.run()
		if _, all := r.DeadLetters(10); all != 2 {
			t.Errorf("%d after a restart, want 2", all)
		}
	})
}

// TestGivesUp: what is not taken for give_up is a dead letter, and the later
// ones of the person go on.
func TestGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStand(t, t.TempDir())
		defer s.close()
		s.def.GiveUp = feature.Duration(time.Hour)
		s.change("before")
		r, stop := s.run()
		defer stop()
		s.to.says(func(context.Context, *Message) error { return errors.New("connection reset") })
		first := s.change("u1")
		s.to.says(func(_ context.Context, m *Message) error {
			if m.ID == first {
				return errors.New("connection reset")
			}
			return nil
		})
		s.change("u1")
		time.Sleep(59 * time.Minute)
		if got := s.to.ids("u:u1"); len(got) != 0 {
			t.Errorf("%v went past what waits", got)
		}
		wait(t, 2*longestPause, "the later one", s.arrived(1))
		if dead, all := r.DeadLetters(1); all != 1 || !strings.Contains(dead[0].Reason, "tried for 1h") {
			t.Errorf("got %+v", dead)
		}
		if got := s.to.ids("u:before"); len(got) != 0 {
			t.Errorf("a new destination got what was before it: %v", got)
		}
	})
}

// TestAsked: Retry-After is kept to, for the one or for everyone.
func TestAsked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStand(t, t.TempDir())
		defer s.close()
		everyone := false
		s.to.says(func(_ context.Context, m *Message) error {
			if m.Person == "u:u1" {
				return &Failure{Reason: "answered 429", Status: 429, After: time.Hour, Everyone: everyone}
			}
			return nil
		})
		_, stop := s.run()
		defer stop()
		s.change("u1")
		time.Sleep(time.Second)
		s.change("u2")
		wait(t, time.Second, "another one", s.arrived(1))
		everyone = true
		time.Sleep(time.Hour) // asked for another one, for everyone
		s.to.says(nil)
		s.change("u2")
		time.Sleep(50 * time.Minute)
		if n := len(s.to.ids("")); n != 1 {
			t.Errorf("%d arrived while everybody was to wait", n)
		}
		wait(t, 11*time.Minute, "both", s.arrived(3))
	})
}

// TestWanted: events and segments choose; a transition that is in the journal
// twice is sent once; what does not decode is stepped over.
func TestWanted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStand(t, t.TempDir())
		defer s.close()
		s.def.Events, s.def.Segments = []string{SegmentEntered}, []string{"vip"}
		_, stop := s.run()
		defer stop()
		record := func(tr attune.Transition) attune.Record {
			payload, err := json.Marshal(tr)
			if err != nil {
				t.Fatal(err)
			}
			return attune.Record{Kind: attune.KindTransition, Key: "u:" + tr.UserID, Time: 1_767_225_600_000, Payload: payload}
		}
		in := attune.Transition{ID: "01", UserID: "u1", Segment: "vip", Entered: true}
		s.append(record(attune.Transition{ID: "00", UserID: "u1", Segment: "vip"}),
			record(attune.Transition{ID: "02", UserID: "u1", Segment: "other", Entered: true}),
			attune.Record{Kind: attune.KindTransition, Key: "u:u1", Payload: []byte("{")},
			record(in), record(in),
			record(attune.Transition{UserID: "u1", Segment: "vip", Entered: true}))
		wait(t, time.Second, "two", s.arrived(2))
		time.Sleep(time.Second)
		if got := s.to.ids(""); len(got) != 2 || got[0] != "01" || len(got[1]) != 16 {
			t.Errorf("got %v", got)
		}
		want := `{"type":"segment.entered","timestamp":"2026-01-01T00:00:00.000Z","data":{"user_id":"u1","segment":"vip"}}`
		if got := string(s.to.taken[0].Body); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	})
}

// TestTrimmed: records that retention took before they were looked at are
// counted, and the rest goes on.
func TestTrimmed(t *testing.T) {
	s := newStand(t, t.TempDir())
	defer s.close()
	s.open() // its place is the journal's beginning
	for range 6 {
		s.change("u1")
	}
	last := s.j.Status().Last
	keep := slices.Clone(last)
	for i := range keep {
		keep[i] = last[i] / 2
	}
	if err := s.j.Trim(t.Context(), 2, keep); err != nil {
		t.Fatal(err)
	}
	r, stop := s.run()
	defer stop()
	wait(t, 10*time.Second, "what is left", s.arrived(3))
	if st := r.Status(); st.Skipped != 6 {
		t.Errorf("skipped %d records, want 6", st.Skipped)
	}
}

// TestUnfinished: what a crash left of writing a file is cleared away, and of
// others nothing.
func TestUnfinished(t *testing.T) {
	s := newStand(t, t.TempDir())
	defer s.close()
	r := s.open()
	for _, name := range []string{".crm.place.json.new-1", ".crm.dead-letters.json.new-2", ".crm2.place.json.new-3"} {
		if err := os.WriteFile(filepath.Join(s.dir, name), []byte("{"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s.open()
	left, err := os.ReadDir(s.dir)
	if err != nil || len(left) != 2 || left[0].Name() != ".crm2.place.json.new-3" || left[1].Name() != filepath.Base(r.file(placeSuffix)) {
		t.Errorf("left %v, %v", left, err)
	}
}

// TestOff: one that is off keeps its place, and goes on from there.
func TestOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStand(t, t.TempDir())
		defer s.close()
		off := false
		s.def.Enabled = &off
		r, stop := s.run()
		s.change("u1")
		time.Sleep(time.Minute)
		if st := r.Status(); st.State != "off" || st.Delivered != 0 {
			t.Errorf("got %+v", st)
		}
		stop()
		s.def.Enabled = nil
		_, stop = s.run()
		defer stop()
		wait(t, time.Second, "what came meanwhile", s.arrived(1))
	})
}

// TestDamagedPlace: it is an error that names the file, not a new beginning.
func TestDamagedPlace(t *testing.T) {
	s := newStand(t, t.TempDir())
	defer s.close()
	r := s.open()
	open := func() error {
		_, err := Open(r.opt)
		return err
	}
	for text, want := range map[string]error{
		`{"format":1,`: attune.ErrCorrupt,
		`{"format":9}`: attune.ErrCorrupt,
		`{"format":1,"journal":"x","read":[0,0,0],"open":[[],[],[]]}`:                       attune.ErrInvalid,
		`{"format":1,"journal":"` + s.j.Status().ID + `","read":[0],"open":[[]]}`:           attune.ErrInvalid,
		`{"format":1,"journal":"` + s.j.Status().ID + `","read":[9,0,0],"open":[[],[],[]]}`: attune.ErrCorrupt,
	} {
		if err := os.WriteFile(r.file(placeSuffix), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := open(); !errors.Is(err, want) || !strings.Contains(err.Error(), r.file(placeSuffix)) {
			t.Errorf("%s: got %v, want %v with the file's name", text, err, want)
		}
	}
}

// TestKilled: whatever moment the process is killed at, every change arrives,
// in order of each person when what is known by its ID is dropped, and little
// is sent twice.
func TestKilled(t *testing.T) {
	base, lives := t.TempDir(), 0
	rapid.Check(t, func(rt *rapid.T) {
		lives++
		dir := filepath.Join(base, strconv.Itoa(lives))
		synctest.Test(t, func(t *testing.T) {
			s := newStand(t, dir)
			defer s.close()
			s.def.MaxPending = rapid.IntRange(1, 20).Draw(rt, "pending")
			s.def.Concurrency = rapid.IntRange(1, 5).Draw(rt, "concurrency")
			sick := rapid.IntRange(0, 9).Draw(rt, "sick")
			coin := 0
			flaky := func(ctx context.Context, m *Message) error {
				s.to.mu.Lock()
				coin++
				fate := attune.Hash(fmt.Sprint(m.ID, coin)) % 10
				s.to.mu.Unlock()
				switch {
				case fate < uint64(sick) && fate%2 == 0:
					<-ctx.Done()
					return ctx.Err()
				case fate < uint64(sick):
					return &Failure{Reason: "answered 503", Status: 503}
				}
				time.Sleep(time.Duration(fate) * 20 * time.Millisecond)
				return nil
			}
			for range rapid.IntRange(1, 4).Draw(rt, "lives") {
				s.to.says(flaky)
				_, kill := s.life()
				for range rapid.IntRange(0, 30).Draw(rt, "changes") {
					s.change(fmt.Sprintf("p%d", rapid.IntRange(0, 4).Draw(rt, "person")))
				}
				time.Sleep(time.Duration(rapid.IntRange(0, 40_000).Draw(rt, "ms")) * time.Millisecond)
				kill()
			}
			s.to.says(nil)
			r, stop := s.run()
			defer stop()
			wait(t, 2*time.Hour, "the end", func() bool { st := r.Status(); return st.Pending == 0 && st.Behind == 0 })
			for person, want := range s.of {
				var once []string
				for _, id := range s.to.ids(person) {
					if !slices.Contains(once, id) {
						once = append(once, id)
					}
				}
				if !slices.Equal(once, want) {
					t.Errorf("%s: arrived %v, want %v", person, once, want)
				}
			}
		})
	})
}

// life runs until kill, which takes back what the files were at that moment:
// what the runner saves when it ends is not there after a kill.
func (s *stand) life() (r *Runner, kill func()) {
	s.t.Helper()
	r, stop := s.run()
	return r, func() {
		s.t.Helper()
		was := map[string][]byte{}
		for _, suffix := range []string{placeSuffix, lettersSuffix} {
			if b, err := os.ReadFile(r.file(suffix)); err == nil {
				was[suffix] = b
			}
		}
		s.to.says(func(context.Context, *Message) error { return errors.New("killed") })
		stop()
		for suffix, b := range was {
			if err := os.WriteFile(r.file(suffix), b, 0o600); err != nil {
				s.t.Fatal(err)
			}
		}
	}
}

func TestBackoff(t *testing.T) {
	for attempts, want := range map[int]time.Duration{0: 750 * time.Millisecond, 1: 750 * time.Millisecond, 2: 1500 * time.Millisecond, 5: 12 * time.Second, 11: 450 * time.Second, 1000: 450 * time.Second} {
		if got := backoff(attempts, 0.5); got != want {
			t.Errorf("after %d: %s, want %s", attempts, got, want)
		}
	}
}

// BenchmarkFollow is what a destination costs where nothing is to be sent: one
// operation is one record of the journal.
func BenchmarkFollow(b *testing.B) {
	j, err := disk.Open(disk.Options{Dir: filepath.Join(b.TempDir(), "journal"), Partitions: 1})
	if err != nil {
		b.Fatal(err)
	}
	defer j.Close() //nolint:errcheck // it is thrown away
	r, err := Open(Options{
		Definition: Definition{Name: "crm"}, Sender: &receiver{}, Journal: j, Dir: b.TempDir(), Now: time.Now, Chance: func() float64 { return 0 },
	})
	if err != nil {
		b.Fatal(err)
	}
	payload := make([]byte, 800)
	for n := 0; n < b.N; n += 1000 {
		recs := make([]attune.Record, min(1000, b.N-n))
		for i := range recs {
			recs[i] = attune.Record{Kind: attune.KindEvent, Key: "a:d", Payload: payload}
		}
		if err := j.Append(b.Context(), recs); err != nil {
			b.Fatal(err)
		}
	}
	ctx, stop := context.WithCancel(b.Context())
	ended := make(chan error, 1)
	b.ReportAllocs()
	b.ResetTimer()
	go func() { ended <- r.Run(ctx) }()
	for r.Status().Behind > 0 {
		time.Sleep(time.Millisecond)
	}
	b.StopTimer()
	stop()
	if err := <-ended; err != nil {
		b.Fatal(err)
	}
}

var _ journal.Journal = (*disk.Journal)(nil)
