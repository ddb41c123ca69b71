package pipeline

import (
	"github.com/tidwall/gjson"

	"github.com/attune-io/attune"
	"github.com/attune-io/attune/model"
)

// The events our own SDKs send about what was shown, in Segment's
// Object-Action form.
const (
	impressionEvent = "Recommendation Viewed"
	clickEvent      = "Recommendation Clicked"
)

// observe feeds a counted event into the catalog and the live statistics.
// Purchases are not among them: an order's statistics come from its own
// record, so that browser and server may both send it.
func (w *worker) observe(key string, e *attune.Event) {
	if e.Type != attune.Track {
		return
	}
	w.products = attune.AppendProducts(w.products[:0], e)
	if len(w.products) == 0 {
		return
	}
	w.p.opt.Catalog.Learn(e, w.products)
	switch e.On() {
	case "Product Viewed":
		w.viewed(key, e)
	case "Product Added":
		w.each(e, model.Add, "")
	case impressionEvent:
		w.each(e, model.Impression, placement(e))
	case clickEvent:
		at := placement(e)
		w.each(e, model.Click, at)
		w.p.clicks.clicked(key, w.products, at, e.Time)
	case "Order Completed":
		for _, c := range w.p.clicks.bought(key, w.products, e.Time) {
			n := w.p.opt.Catalog.Ensure(c.item)
			w.p.opt.Models.Items.Observe(model.Observation{Signal: model.Conversion, Item: n, At: e.Time, Placement: c.placement})
		}
	}
}

func placement(e *attune.Event) string { return gjson.GetBytes(e.Properties, "placement").Str }

func (w *worker) each(e *attune.Event, s model.Signal, placement string) {
	for i := range w.products {
		n := w.p.opt.Catalog.Ensure(w.products[i].ID)
		if n >= 0 {
			w.p.opt.Models.Items.Observe(model.Observation{Signal: s, Item: n, At: e.Time, Placement: placement})
		}
	}
}

// viewed counts a view, lets the item join the session, and counts it together
// with what the session had before.
func (w *worker) viewed(key string, e *attune.Event) {
	owner := attune.Hash(key)
	for i := range w.products {
		n := w.p.opt.Catalog.Ensure(w.products[i].ID)
		if n < 0 {
			continue
		}
		w.p.opt.Models.Items.Observe(model.Observation{Signal: model.View, Item: n, At: e.Time})
		var fresh bool
		if w.session, fresh = w.p.opt.Models.Sessions.Join(owner, n, e.Time, w.session[:0]); fresh {
			w.p.opt.Models.Viewed.AddTo(w.session, n)
		}
	}
}
