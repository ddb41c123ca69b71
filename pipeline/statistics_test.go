package pipeline

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/attune-io/attune"
	"github.com/attune-io/attune/model"
)

// TestStatistics: views, adds, impressions and clicks, by item and placement,
// and what is viewed together are what a direct count gives; bots and repeats
// do not count.
func TestStatistics(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	w := newWorld(t, t.TempDir(), 4).start()
	counts, places := map[string]model.Counts{}, map[string]model.PlacementCounts{}
	sessions := map[string][]string{}
	names := []string{"Product Viewed", "Product Viewed", "Product Added", impressionEvent, clickEvent}
	var recs []attune.Record
	for i := range 400 {
		device, item, place := fmt.Sprint("d", rng.IntN(6)), fmt.Sprint("p", rng.IntN(9)), fmt.Sprint("home", rng.IntN(2))
		name := names[rng.IntN(len(names))]
		e := browser(fmt.Sprint("m", i), device, name, start+attune.Millis(i*1000), fmt.Sprintf(`{"product_id":%q,"placement":%q}`, item, place))
		if i%9 == 0 {
			e.Flags |= attune.Bot
		}
		recs = append(recs, records(t, e)...)
		if i%5 == 0 {
			recs = append(recs, records(t, e)...)
		}
		if i%9 == 0 {
			continue
		}
		c, p := counts[item], places[place]
		p.Placement = place
		switch name {
		case "Product Viewed":
			c.Views++
			if !slices.Contains(sessions[device], item) {
				sessions[device] = append(sessions[device], item)
			}
		case "Product Added":
			c.Adds++
		case impressionEvent:
			c.Impressions++
			p.Impressions++
		case clickEvent:
			c.Clicks++
			p.Clicks++
		}
		counts[item], places[place] = c, p
	}
	w.append(recs...)
	w.settle()
	for item, want := range counts {
		if got := w.counts(item); got != want {
			t.Errorf("%s has %+v, want %+v", item, got, want)
		}
		for other := range counts {
			together := 0
			for _, s := range sessions {
				if item != other && slices.Contains(s, item) && slices.Contains(s, other) {
					together++
				}
			}
			if got := w.together(w.models.Viewed, item, other); got != together {
				t.Errorf("%s viewed with %s in %d sessions, want %d", item, other, got, together)
			}
		}
	}
	for _, got := range w.models.Items.Placements() {
		if got != places[got.Placement] {
			t.Errorf("placement %+v, want %+v", got, places[got.Placement])
		}
	}
	want := w.statistics()
	w.stop()
	w.start()
	same(t, "statistics after a restart", w.statistics(), want)
	w.stop()
}
