package profile_test

import (
	"bytes"
	"cmp"
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/attune-io/attune"
	"github.com/attune-io/attune/feature"
	"github.com/attune-io/attune/identity"
	"github.com/attune-io/attune/profile"
	"github.com/attune-io/attune/profile/disk"
)

func features(tb testing.TB) *feature.Set {
	tb.Helper()
	set, err := feature.Compile(feature.Defaults(), nil)
	if err != nil {
		tb.Fatal(err)
	}
	return set
}

// schedule is what was acknowledged, in order.
type schedule struct {
	t       *rapid.T
	now     attune.Millis
	entries []entry
	events  []*attune.Event
	says    map[string]string // device → the user its browser says
}

var (
	users   = []string{"u1", "u2", "u3", "u4"}
	devices = []string{"d1", "d2", "d3", "d4", "d5"}
)

const start = attune.Millis(1_700_000_000_000)

// drawSchedule draws requests as collect would have taken them: a link is
// acknowledged before the event that needs it.
func drawSchedule(t *rapid.T) []entry {
	s := &schedule{t: t, now: start, says: map[string]string{}}
	for range rapid.IntRange(1, 80).Draw(t, "requests") {
		s.now += attune.Millis(rapid.SampledFrom([]int{1, 1000, 60_000, 30_000_000}).Draw(t, "pause"))
		s.request()
	}
	return s.entries
}

func (s *schedule) request() {
	switch kind := rapid.IntRange(0, 99).Draw(s.t, "kind"); {
	case kind < 55:
		s.browser()
	case kind < 70:
		s.server()
	case kind < 80 && len(s.events) > 0: // sent again
		s.event(rapid.SampledFrom(s.events).Draw(s.t, "again"))
	case kind < 84:
		s.edge()
	case kind < 86:
		s.part()
	case kind < 91:
		s.claim()
	case kind < 94:
		s.record(attune.KindExpiry, identity.DeviceKey(rapid.SampledFrom(devices).Draw(s.t, "device")), s.now-attune.Millis(rapid.IntRange(0, 100_000_000).Draw(s.t, "quiet")), nil)
	case kind < 97:
		s.record(attune.KindTouch, identity.UserKey(rapid.SampledFrom(users).Draw(s.t, "user")), s.now, nil)
	default:
		s.record(attune.KindVisitor, identity.DeviceKey(rapid.SampledFrom(devices).Draw(s.t, "device")), s.now, nil)
	}
}

func (s *schedule) browser() {
	device := rapid.SampledFrom(devices).Draw(s.t, "device")
	switch rapid.IntRange(0, 9).Draw(s.t, "login") {
	case 0, 1:
		s.says[device] = rapid.SampledFrom(users).Draw(s.t, "user")
	case 2:
		s.says[device] = ""
	}
	e := s.draw()
	e.AnonymousID, e.UserID = device, s.says[device]
	e.Flags |= attune.Device
	switch rapid.IntRange(0, 19).Draw(s.t, "flag") {
	case 0:
		e.Flags |= attune.Bot
	case 1:
		e.Flags |= attune.Denied
	case 2:
		e.Flags |= attune.Granted
	}
	s.event(e)
}

func (s *schedule) server() {
	e := s.draw()
	e.UserID, e.Rank = rapid.SampledFrom(users).Draw(s.t, "user"), attune.Server
	s.event(e)
}

// draw returns an event whose traits tell it from every other.
func (s *schedule) draw() *attune.Event {
	n := len(s.events)
	e := &attune.Event{
		Type: attune.Track, Name: rapid.SampledFrom([]string{"Product Viewed", "Product Added", "Order Completed"}).Draw(s.t, "name"),
		MessageID: fmt.Sprintf("m%d", n), ReceivedAt: s.now,
		Time: s.now - attune.Millis(rapid.SampledFrom([]int{0, 0, 500, 90_000_000}).Draw(s.t, "late")),
	}
	plan := rapid.SampledFrom([]string{`"free"`, `"pro"`, "null"}).Draw(s.t, "plan")
	e.Context = fmt.Appendf(nil, `{"traits":{"m%d":%d,"plan":%s}}`, n, n, plan)
	e.Properties = fmt.Appendf(nil, `{"product_id":"p%d","order_id":"o%d","category":"c%d","total":%d}`, n%7, n, n%3, n)
	s.events = append(s.events, e)
	return e
}

func (s *schedule) event(e *attune.Event) {
	key, err := identity.Route(e)
	if err != nil {
		s.t.Fatal(err)
	}
	if e.Has(attune.Device) && e.UserID != "" && !e.Has(attune.Bot) {
		s.json(attune.KindLink, identity.UserKey(e.UserID), attune.Link{AnonymousID: e.AnonymousID})
	}
	s.record(attune.KindEvent, key, e.Time, e)
}

func (s *schedule) edge() {
	from, to := rapid.SampledFrom(users).Draw(s.t, "from"), rapid.SampledFrom(users).Draw(s.t, "to")
	// Most schedules keep most users apart.
	if from == to || rapid.Bool().Draw(s.t, "apart") {
		return
	}
	by := rapid.SampledFrom([]string{"", "", "email"}).Draw(s.t, "by")
	s.join(attune.Edge{From: from, To: to, MessageID: fmt.Sprintf("x%d", len(s.entries)), By: by})
}

// part takes two users apart, in both directions, as POST /v1/unmerge does.
func (s *schedule) part() {
	a, b := rapid.SampledFrom(users).Draw(s.t, "one"), rapid.SampledFrom(users).Draw(s.t, "other")
	if a == b {
		return
	}
	id := fmt.Sprintf("x%d", len(s.entries))
	s.join(attune.Edge{From: a, To: b, MessageID: id, Removed: true})
	s.join(attune.Edge{From: b, To: a, MessageID: id, Removed: true})
}

// join appends an edge to both of its users. Some are about the past.
func (s *schedule) join(e attune.Edge) {
	at := s.now - attune.Millis(rapid.SampledFrom([]int{0, 0, 5000, 60_000_000}).Draw(s.t, "ago"))
	for _, key := range [...]string{identity.UserKey(e.From), identity.UserKey(e.To)} {
		s.json(attune.KindEdge, key, e)
		s.entries[len(s.entries)-1].rec.Time = at
	}
}

// claim is a server's identify that names an anonymousId.
func (s *schedule) claim() {
	user, device := rapid.SampledFrom(users).Draw(s.t, "user"), rapid.SampledFrom(devices).Draw(s.t, "device")
	id := rapid.IntRange(0, 5).Draw(s.t, "claim") // some are sent again
	s.json(attune.KindLink, identity.UserKey(user), attune.Link{AnonymousID: device, Verified: true})
	s.json(attune.KindClaim, identity.DeviceKey(device), attune.Claim{UserID: user, MessageID: fmt.Sprintf("c%d", id)})
}

func (s *schedule) json(kind attune.Kind, key string, v any) {
	b, err := json.Marshal(v)
	if err != nil {
		s.t.Fatal(err)
	}
	s.record(kind, key, s.now, nil)
	s.entries[len(s.entries)-1].rec.Payload = b
}

func (s *schedule) record(kind attune.Kind, key string, at attune.Millis, e *attune.Event) {
	r := attune.Record{Kind: kind, Key: key, Time: at, ReceivedAt: s.now}
	s.entries = append(s.entries, entry{r, e})
}

// engine folds a schedule as the pipeline does: one worker a partition.
type engine struct {
	t       *rapid.T
	open    func() profile.Store
	store   profile.Store
	folder  *profile.Folder
	logs    [][]entry
	applied []uint64
	parts   *profile.Parts
	people  *profile.People
	newest  map[string]*profile.Person
	left    map[string]bool // who lost a device to another: see Person.Version
}

func newEngine(t *rapid.T, folder *profile.Folder, entries []entry, partitions int, open func() profile.Store) *engine {
	e := &engine{t: t, folder: folder, open: open, logs: make([][]entry, partitions)}
	for _, x := range entries {
		p := attune.Hash(x.rec.Key) % uint64(partitions)
		x.rec.Offset = uint64(len(e.logs[p]) + 1)
		e.logs[p] = append(e.logs[p], x)
	}
	e.start()
	return e
}

// start begins from what the store has, as after a crash.
func (e *engine) start() {
	if e.store != nil {
		if err := e.store.Close(); err != nil {
			e.t.Fatal(err)
		}
	}
	e.store = e.open()
	_, applied, err := e.store.Positions(e.t.Context())
	if err != nil {
		e.t.Fatal(err)
	}
	e.applied = make([]uint64, len(e.logs))
	copy(e.applied, applied)
	// So little memory that parts and persons come and go.
	e.parts = profile.NewParts(profile.PartsOptions{Folder: e.folder, Store: e.store, MemoryBytes: 64_000})
	e.people = profile.NewPeople(e.parts, 256_000)
	e.newest, e.left = map[string]*profile.Person{}, map[string]bool{}
}

// fold takes up to n records of partition p, beginning up to back before
// where it stands, as a worker does that is handed records again.
func (e *engine) fold(p, n int, back uint64) {
	log := e.logs[p]
	from := e.applied[p] - min(back, e.applied[p])
	for _, x := range log[from:min(len(log), int(e.applied[p])+n)] {
		err := e.parts.Update(e.t.Context(), x.rec.Key, func(part *profile.Part) bool {
			return e.folder.Fold(part, &x.rec, x.ev) != profile.Skipped
		})
		if err != nil {
			e.t.Fatal(err)
		}
		e.applied[p] = max(e.applied[p], x.rec.Offset)
	}
}

func (e *engine) done() bool {
	for p := range e.logs {
		if int(e.applied[p]) < len(e.logs[p]) {
			return false
		}
	}
	return true
}

// crowd reads so many strangers that whatever can leave memory leaves it:
// persons and parts, or parts alone.
func (e *engine) crowd() {
	alone := rapid.Bool().Draw(e.t, "parts")
	for i := range 400 {
		var err error
		if alone {
			err = e.parts.View(e.t.Context(), fmt.Sprintf("a:stranger%d", i), func(*profile.Part) {})
		} else {
			_, err = e.people.Device(e.t.Context(), fmt.Sprintf("stranger%d", i))
		}
		if err != nil {
			e.t.Fatal(err)
		}
	}
}

// oracle is what the workers have been given so far.
func (e *engine) oracle() oracle {
	var o oracle
	for p := range e.logs {
		o = append(o, e.logs[p][:e.applied[p]]...)
	}
	return o
}

func (e *engine) checkpoint(fail int) {
	b := profile.Batch{Journal: "j", Applied: slices.Clone(e.applied)}
	e.parts.Mark()
	// Workers go on while marked parts are encoded.
	for range rapid.IntRange(0, 2).Draw(e.t, "early") {
		e.step()
	}
	if fail == 4 {
		return // and nobody went on with it
	}
	e.parts.Collect(&b)
	if m, ok := e.store.(*memory); ok {
		m.failBefore, m.failAfter = fail == 1, fail == 2
		defer func() { m.failBefore, m.failAfter = false, false }()
	}
	// Workers go on while the batch is committed.
	if rapid.Bool().Draw(e.t, "meanwhile") {
		e.step()
	}
	err := e.store.Commit(e.t.Context(), &b)
	if fail == 3 {
		return // and nobody said how it went
	}
	e.parts.Saved(err)
}

func (e *engine) step() {
	p := rapid.IntRange(0, len(e.logs)-1).Draw(e.t, "partition")
	e.fold(p, rapid.IntRange(1, 10).Draw(e.t, "records"), uint64(rapid.SampledFrom([]int{0, 0, 3}).Draw(e.t, "back")))
}

// run folds everything, with crashes between any two steps, and reads people
// on the way.
func (e *engine) run() {
	crashes := 6
	for !e.done() {
		switch rapid.IntRange(0, 9).Draw(e.t, "step") {
		case 0:
			e.checkpoint(rapid.SampledFrom([]int{0, 0, 0, 1, 2, 3, 4}).Draw(e.t, "fail"))
		case 1:
			if crashes--; crashes >= 0 {
				e.start()
			}
		case 2:
			e.checkUser(rapid.SampledFrom(users).Draw(e.t, "reader"))
		case 3:
			e.checkDevice(rapid.SampledFrom(devices).Draw(e.t, "visitor"))
		case 4:
			e.crowd()
		default:
			e.step()
		}
	}
}

func (e *engine) checkUser(user string) {
	p, err := e.people.User(e.t.Context(), user)
	if err != nil {
		e.t.Fatal(err)
	}
	o := e.oracle()
	e.check(p, o.person(user, e.folder.MaxLinks))
	if got, want := userIDs(p), o.together(user); !slices.Equal(got, want) {
		e.t.Fatalf("%s is together with %q, want %q", user, got, want)
	}
	if want := o.canonical(user); p.Canonical != want {
		e.t.Fatalf("%s is canonically %q, want %q", user, p.Canonical, want)
	}
}

func userIDs(p *profile.Person) []string {
	var ids []string
	for _, id := range p.Identities {
		if id.Type == "user_id" {
			ids = append(ids, id.ID)
		}
	}
	slices.Sort(ids)
	return ids
}

func (e *engine) checkDevice(device string) {
	p, err := e.people.Device(e.t.Context(), device)
	if err != nil {
		e.t.Fatal(err)
	}
	e.check(p, e.oracle().visitor("a:"+device))
}

// check compares p with what its events say, and that it did not go back.
func (e *engine) check(p *profile.Person, events []*attune.Event) {
	want := summarize(events)
	got := summary{Events: p.State.Events, First: p.First(), Last: p.Last(), Traits: map[string]string{}}
	if c := p.Consent(); c.Time != 0 {
		got.Granted = map[bool]string{true: "yes", false: "no"}[c.Granted]
	}
	for name, v := range p.Traits() {
		got.Traits[name] = fmt.Sprint(v)
	}
	if got.Events != want.Events || got.First != want.First || got.Last != want.Last ||
		got.Granted != want.Granted || !maps.Equal(got.Traits, want.Traits) {
		e.t.Fatalf("%s: got %+v\nwant %+v", p.Key, got, want)
	}
	// The events themselves, folded in another order.
	var st feature.State
	slices.SortFunc(events, func(a, b *attune.Event) int { return cmp.Compare(a.Tie(), b.Tie()) })
	for _, ev := range events {
		if !ev.Has(attune.Denied) {
			e.folder.Features.Fold(&st, ev)
		}
	}
	if want.Events > 0 {
		a, b := e.folder.Features.AppendBinary(&p.State.Features, nil), e.folder.Features.AppendBinary(&st, nil)
		if !bytes.Equal(a, b) {
			e.t.Fatalf("%s: features differ from those of her events", p.Key)
		}
	}
	before := e.newest[p.Key]
	if before == nil {
		before = p
	}
	for _, a := range before.Vector {
		now, there := p.Offset(a.Key)
		if there && now < a.Offset {
			e.t.Fatalf("%s went back: part %s at %d, was at %d", p.Key, a.Key, now, a.Offset)
		}
		e.left[p.Key] = e.left[p.Key] || !there
	}
	if p.Version < before.Version && !e.left[p.Key] {
		e.t.Fatalf("%s went back from version %d to %d", p.Key, before.Version, p.Version)
	}
	e.newest[p.Key] = p
}

// states returns every part's state bytes.
func (e *engine) states() map[string]string {
	out := map[string]string{}
	for _, log := range e.logs {
		for _, x := range log {
			err := e.parts.Update(e.t.Context(), x.rec.Key, func(p *profile.Part) bool {
				out[x.rec.Key] = string(e.folder.AppendState(p, nil))
				return false
			})
			if err != nil {
				e.t.Fatal(err)
			}
		}
	}
	return out
}

// checkSchedule folds one schedule over 1, 4 and 16 partitions, with crashes,
// and compares every person and every part.
func checkSchedule(t *rapid.T, folder *profile.Folder, open func() func() profile.Store) {
	entries := drawSchedule(t)
	var states map[string]string
	for _, partitions := range []int{1, 4, 16} {
		e := newEngine(t, folder, entries, partitions, open())
		e.run()
		for _, u := range users {
			e.checkUser(u)
		}
		for _, d := range devices {
			e.checkDevice(d)
		}
		got := e.states()
		if states == nil {
			states = got
		}
		for key, want := range states {
			if got[key] != want {
				t.Fatalf("%d partitions: part %s differs from that of one", partitions, key)
			}
		}
		if err := e.store.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestSchedules is the brute-force definition: whatever happens, in whatever
// partitions, with whatever crashes, every person is what her events say.
func TestSchedules(t *testing.T) {
	seed(t)
	set := features(t)
	rapid.Check(t, func(rt *rapid.T) {
		// With five devices, two links evict often and five never.
		folder := &profile.Folder{Features: set, MaxLinks: rapid.IntRange(2, 5).Draw(rt, "links")}
		// A real disk is slow, and used for a few.
		slow := rapid.IntRange(0, 29).Draw(rt, "disk") == 29
		checkSchedule(rt, folder, func() func() profile.Store {
			if slow {
				return onDisk(rt, t.TempDir())
			}
			d := newPlatter()
			return func() profile.Store { return &memory{disk: d} }
		})
	})
}

// seed has rapid begin with the seed that ATTUNE_SEED or -rapid.seed names, or
// with another one each time, and says which: rapid alone tells it only of a
// check that fails.
func seed(t *testing.T) {
	t.Helper()
	const name = "rapid.seed"
	from := cmp.Or(os.Getenv("ATTUNE_SEED"), flag.Lookup(name).Value.String())
	if from == "0" {
		from = strconv.FormatInt(time.Now().UnixNano(), 10)
	}
	if err := flag.Set(name, from); err != nil {
		t.Fatalf("seed %q: %v", from, err)
	}
	t.Cleanup(func() {
		if err := flag.Set(name, "0"); err != nil {
			t.Error(err)
		}
	})
	t.Logf("these schedules again: ATTUNE_SEED=%s go test -run '^%s$' ./profile", from, t.Name())
}

func onDisk(t *rapid.T, dir string) func() profile.Store {
	return func() profile.Store {
		s, err := disk.Open(disk.Options{Dir: dir, Cache: 1 << 20, NoSync: true})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
}
