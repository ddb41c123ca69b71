package model

import "testing"

// world is a toy world whose answer can be seen: people with an even number
// like items 0..9, the others items 10..19; item 0 and item 10 are liked most;
// item 20 is bought by everybody, always together with nothing else.
type world struct {
	sessions [][]int32 // each of one person, oldest first
}

func newWorld() world {
	var w world
	for person := range int32(60) {
		taste := person % 2 * 10
		s := []int32{taste}
		for i := range int32(4) {
			s = append(s, taste+1+(person/2+i*(i+1)/2)%9)
		}
		w.sessions = append(w.sessions, s, []int32{20})
	}
	return w
}

// TestEveryModelSeesTheTastes asks each model for what goes with an item of
// one taste: nothing of the other taste may come, the liked item first.
func TestEveryModelSeesTheTastes(t *testing.T) {
	w := newWorld()
	sessions, pairs, baskets := NewSessions(SessionsOptions{}), NewPairs(PairsOptions{}), NewPairs(PairsOptions{})
	items := NewItems(ItemsOptions{Category: func(item int32) int32 { return 1 + item/10 }})
	at := day
	for person, s := range w.sessions {
		for i, item := range s {
			at += 1000
			sessions.Click(uint64(person), item, at)
			pairs.AddTo(s[:i], item)
			items.Observe(Observation{Signal: View, Item: item, At: at})
		}
		baskets.AddSet(s)
	}
	models := map[string]func(item int32) []Scored{
		"sessions": func(item int32) []Scored {
			var scratch Scratch
			return sessions.Query(&Query{Items: []int32{item}, N: 9, Owner: 12345}, &scratch, nil)
		},
		"viewed together": func(item int32) []Scored { return pairs.Neighbours(item, 9, Jaccard, nil) },
		"bought together": func(item int32) []Scored { return baskets.Neighbours(item, 9, Jaccard, nil) },
		"lift":            func(item int32) []Scored { return baskets.Neighbours(item, 9, Lift, nil) },
		"popular":         func(item int32) []Scored { return items.Popular.TopIn(1+item/10, 10, at) },
		"trending":        func(item int32) []Scored { return items.Trending.TopIn(1+item/10, 10, at) },
	}
	for name, model := range models {
		for _, item := range []int32{3, 13} {
			got := model(item)
			if len(got) < 8 {
				t.Errorf("%s: %d items go with %d, want at least 8: %v", name, len(got), item, got)
			}
			liked := false
			for i, g := range got {
				if g.Item/10 != item/10 {
					t.Errorf("%s: item %d of another taste goes with %d", name, g.Item, item)
				}
				if i > 0 && !g.worse(got[i-1]) {
					t.Errorf("%s: %v before %v", name, got[i-1], g)
				}
				liked = liked || g.Item == item/10*10
			}
			if !liked {
				t.Errorf("%s: %v lacks %d, which goes with everything of the taste", name, got, item/10*10)
			}
		}
	}
	if got := items.Popular.Top(1, at); len(got) != 1 || got[0].Item != 20 {
		t.Errorf("popular: %v, want the item everybody sees", got)
	}
	if got := baskets.Neighbours(20, 5, Jaccard, nil); len(got) != 0 {
		t.Errorf("%v go with an item that is always alone", got)
	}
	if got := items.Rate(0); got != 0 {
		t.Errorf("rate without impressions: %g", got)
	}
}
