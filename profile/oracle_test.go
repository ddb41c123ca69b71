package profile_test

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"github.com/attune-io/attune"
)

// entry is a record as the oracle reads it: what was acknowledged, in the
// order of the log.
type entry struct {
	rec attune.Record
	ev  *attune.Event // of a KindEvent
}

// oracle answers from the acknowledged entries themselves. It knows no parts,
// no merges and no incremental state: every answer goes over the whole list,
// by the sentences of the design.
type oracle []entry

// first returns the entries of key, without what was sent again.
func (o oracle) of(key string) []entry {
	var list []entry
	seen := map[string]bool{}
	for _, e := range o {
		if e.rec.Key != key {
			continue
		}
		id := ""
		switch e.rec.Kind {
		case attune.KindEvent:
			if e.ev.Has(attune.Bot) {
				continue
			}
			id = "event " + e.ev.MessageID
		case attune.KindClaim:
			id = "claim " + claim(e).MessageID
		}
		if id != "" && seen[id] {
			continue
		}
		seen[id] = true
		list = append(list, e)
	}
	return list
}

func claim(e entry) (c attune.Claim) {
	if err := json.Unmarshal(e.rec.Payload, &c); err != nil {
		panic(err)
	}
	return c
}

// names returns the user an entry of a device names; "" when it names nobody,
// false when it is neither an event nor a claim.
func names(e entry) (user string, ok bool) {
	switch e.rec.Kind {
	case attune.KindEvent:
		return e.ev.UserID, true
	case attune.KindClaim:
		return claim(e).UserID, true
	default:
		return "", false
	}
}

const unclaimed = "(unclaimed)"

// owners says, for each entry of a device, whose it is; "" is nobody's.
func owners(list []entry) []string {
	out := make([]string, len(list))
	for i, e := range list {
		user, ok := names(e)
		if !ok {
			continue
		}
		if user != "" {
			out[i] = user
			continue
		}
		before, after := "", ""
		for _, b := range list[:i] {
			if u, _ := names(b); u != "" {
				before = u
			}
		}
		for _, a := range list[i+1:] {
			if u, _ := names(a); u != "" {
				after = u
				break
			}
		}
		switch {
		case after == "":
			out[i] = unclaimed
		case before == "" || before == after:
			out[i] = after // the first one takes it; so does the same one again
		default:
			out[i] = "" // nobody
		}
	}
	return out
}

// expired reports whether an expiry came while entry i of a device was not
// claimed, and after the device had been quiet.
func expired(list []entry, i int, received map[int]attune.Millis) bool {
	if u, _ := names(list[i]); u != "" {
		return false
	}
	for j := i + 1; j < len(list); j++ {
		if list[j].rec.Kind == attune.KindExpiry && received[j] < list[j].rec.Time {
			return true
		}
		if u, _ := names(list[j]); u != "" {
			return false
		}
	}
	return false
}

// received returns, for each entry of key, the newest receipt of an event
// before it, of repeated ones too.
func (o oracle) received(key string, list []entry) map[int]attune.Millis {
	out := map[int]attune.Millis{}
	for i, e := range list {
		for _, b := range o {
			if b.rec.Key == key && b.rec.Offset < e.rec.Offset && b.ev != nil && !b.ev.Has(attune.Bot) {
				out[i] = max(out[i], b.rec.ReceivedAt)
			}
		}
	}
	return out
}

// device returns the events of a device that belong to one of users.
func (o oracle) device(key string, users []string) []*attune.Event {
	list := o.of(key)
	received := o.received(key, list)
	var events []*attune.Event
	for i, owner := range owners(list) {
		if list[i].ev != nil && slices.Contains(users, owner) && !expired(list, i, received) {
			events = append(events, list[i].ev)
		}
	}
	return events
}

// visitor returns what the device's own reader sees: the last stretch.
func (o oracle) visitor(key string) []*attune.Event {
	list := o.of(key)
	received := o.received(key, list)
	list2, owner := list[:0:0], owners(list)
	var own []string
	var kept []bool
	for i, e := range list {
		if _, ok := names(e); ok {
			list2, own, kept = append(list2, e), append(own, owner[i]), append(kept, !expired(list, i, received))
		}
	}
	// Backwards from the end: while the owner is the same, and not across the
	// place where that owner had logged out.
	var events []*attune.Event
	for i := len(list2) - 1; i >= 0 && own[i] == own[len(own)-1]; i-- {
		if user, _ := names(list2[i]); i+1 < len(list2) && user != "" {
			if later, _ := names(list2[i+1]); later == "" {
				break
			}
		}
		if list2[i].ev != nil && kept[i] {
			events = append(events, list2[i].ev)
		}
	}
	return events
}

// canonical returns the id that stays of all that are one person with user:
// the target of the newest edge, and from there on as long as that id was
// itself left for one that the way has not passed.
func (o oracle) canonical(user string) string {
	var list []timed
	for _, u := range o.together(user) {
		list = append(list, o.edges(u)...)
	}
	slices.SortFunc(list, newestEdge)
	if len(list) == 0 {
		return user
	}
	way := []string{list[0].From, list[0].To}
	for on := true; on; {
		on = false
		for _, e := range list {
			if e.From == way[len(way)-1] && !slices.Contains(way, e.To) {
				way, on = append(way, e.To), true
				break
			}
		}
	}
	return way[len(way)-1]
}

// timed is an edge with the time of its record.
type timed struct {
	attune.Edge
	at attune.Millis
}

// newestEdge sorts what somebody said before what an external id says, then the
// newest first.
func newestEdge(a, b timed) int {
	said := map[bool]int{true: 1}
	return -cmp.Or(cmp.Compare(said[a.By == ""], said[b.By == ""]), cmp.Compare(a.at, b.at), cmp.Compare(a.MessageID, b.MessageID))
}

// edges returns the edges that arrived at user and count: of all records about
// one pair the newest, unless that one takes the pair apart.
func (o oracle) edges(user string) []timed {
	var all, list []timed
	for _, e := range o {
		if e.rec.Kind != attune.KindEdge || e.rec.Key != "u:"+user {
			continue
		}
		var edge attune.Edge
		if err := json.Unmarshal(e.rec.Payload, &edge); err != nil {
			panic(err)
		}
		all = append(all, timed{edge, e.rec.Time})
	}
	slices.SortFunc(all, newestEdge)
	decided := map[[2]string]bool{}
	for _, e := range all {
		pair := [2]string{e.From, e.To}
		if !decided[pair] && !e.Removed {
			list = append(list, e)
		}
		decided[pair] = true
	}
	return list
}

// together returns who is one person with user. An edge counts for a walk when
// it arrived at the user the walk is at.
func (o oracle) together(user string) []string {
	seen := map[string]bool{user: true}
	for grown := true; grown; {
		grown = false
		for _, at := range slices.Sorted(maps.Keys(seen)) {
			for _, edge := range o.edges(at) {
				for _, u := range [...]string{edge.From, edge.To} {
					grown = grown || !seen[u]
					seen[u] = true
				}
			}
		}
	}
	return slices.Sorted(maps.Keys(seen))
}

// links returns the devices of a user: of all link records the most best, found
// anew after each. A verified device goes before a claimed one, then one seen on
// a later day, then one of a greater id; the others are evicted, and are no part
// of anybody.
func (o oracle) links(user string, most int) []string {
	type link struct {
		id       string
		verified bool
		day      attune.Millis
	}
	var all []link
	for _, e := range o {
		if e.rec.Kind != attune.KindLink || e.rec.Key != "u:"+user {
			continue
		}
		var l attune.Link
		if err := json.Unmarshal(e.rec.Payload, &l); err != nil {
			panic(err)
		}
		next := link{l.AnonymousID, l.Verified, e.rec.ReceivedAt / 86_400_000}
		if i := slices.IndexFunc(all, func(x link) bool { return x.id == next.id }); i >= 0 {
			next.verified = next.verified || all[i].verified
			next.day = max(next.day, all[i].day)
			all = slices.Delete(all, i, i+1)
		}
		all = append(all, next)
		slices.SortFunc(all, func(a, b link) int {
			if a.verified != b.verified {
				if a.verified {
					return -1
				}
				return 1
			}
			return cmp.Or(cmp.Compare(b.day, a.day), cmp.Compare(b.id, a.id))
		})
		all = all[:min(len(all), most)]
	}
	var ids []string
	for _, l := range all {
		ids = append(ids, l.id)
	}
	slices.Sort(ids)
	return ids
}

// person returns the events of the person that user is part of: her own, her
// stretches of her devices (at most most a user), and those of the users joined
// to her.
func (o oracle) person(user string, most int) []*attune.Event {
	users := o.together(user)
	devices := map[string]bool{}
	var events []*attune.Event
	for _, u := range users {
		for _, e := range o.of("u:" + u) {
			if e.ev != nil {
				events = append(events, e.ev)
			}
		}
		for _, d := range o.links(u, most) {
			devices[d] = true
		}
	}
	for d := range devices {
		events = append(events, o.device("a:"+d, users)...)
	}
	return events
}

// summary is what a set of events says, computed at once from all of them.
type summary struct {
	Events      int64
	First, Last attune.Millis
	Granted     string
	Traits      map[string]string
}

func summarize(events []*attune.Event) summary {
	s := summary{Traits: map[string]string{}}
	byTime := slices.Clone(events)
	slices.SortFunc(byTime, func(a, b *attune.Event) int {
		return cmp.Or(cmp.Compare(a.Time, b.Time), cmp.Compare(a.Tie(), b.Tie()))
	})
	ranks := map[string]attune.Rank{}
	for _, e := range byTime {
		switch {
		case e.Has(attune.Denied):
			s.Granted = "no"
			continue
		case e.Has(attune.Granted):
			s.Granted = "yes"
		}
		s.Events++
		if s.First == 0 {
			s.First = e.Time
		}
		s.Last = e.Time
		var c struct {
			Traits map[string]any `json:"traits"`
		}
		if err := json.Unmarshal(e.Context, &c); err != nil {
			panic(err)
		}
		for name, v := range c.Traits {
			if e.Rank < ranks[name] {
				continue
			}
			ranks[name] = e.Rank
			if v == nil {
				delete(s.Traits, name)
			} else {
				s.Traits[name] = fmt.Sprint(v)
			}
		}
	}
	return s
}
