// Package feature computes what is known of a person (or of an item, an
// account, a store) from what was done: how often, how much, how lately, which
// ones. A Definition says what to compute; a Set is definitions compiled; a
// State holds a Set's aggregators over a set of events.
//
// Every aggregator is a mergeable monoid over the set of events: the fold of a
// union is the merge of the folds, in any order and grouping, bit for bit. So
// a person can be put together from the parts of her devices, late events fold
// like others, and a replay gives the same bytes. Sums and decays are
// fixed-point integers, ties are settled by (time, hash of the messageId), and
// what is cut is cut by a total order. Some structures are exact only up to a
// stated size and say so afterwards (Set.Approximate): affinities past 256
// keys, tops past 1,000, orders past 500. A distinct past 1,000 values is an
// estimate.
//
// The package is pure: no I/O, no clock, no goroutines. It does not drop
// repeated events (whoever folds does, by messageId), and it does not decide
// whose event it is.
package feature

// The kinds of features.
const (
	KindLatest        = "latest"         // the newest value
	KindFirst         = "first"          // the oldest value
	KindCount         = "count"          // how many events (or products)
	KindSum           = "sum"            // the sum of value
	KindMean          = "mean"           // the mean of value
	KindMin           = "min"            // the smallest value
	KindMax           = "max"            // the largest value
	KindDistinct      = "distinct"       // how many different values
	KindLast          = "last"           // the n newest values
	KindDecayed       = "decayed"        // the sum of value, halved every half_life
	KindAffinity      = "affinity"       // a decayed sum for each key
	KindSince         = "since"          // seconds since the newest event
	KindSessions      = "sessions"       // how many visits
	KindSessionLength = "session_length" // their mean length in seconds
	KindSet           = "set"            // keys that on adds and off removes
	KindStddev        = "stddev"         // the standard deviation of value
	KindQuantile      = "quantile"       // the quantile of value
	KindHistogram     = "histogram"      // how many values up to each bound
	KindRatio         = "ratio"          // how many on for one of
	KindTop           = "top"            // the n keys with the greatest sums
	KindLatestBy      = "latest_by"      // the newest number for each key
	KindEmbedding     = "embedding_mean" // the mean of vectors
	KindAttribution   = "attribution"    // the value of conversions by what led to them
	KindTimeSpent     = "time_spent"     // seconds spent, by key or in all
	KindDerived       = "derived"        // a value computed of other features
	KindSequence      = "sequence"       // when steps came one after the other
)

// Definition is a feature as configuration declares it. Which fields a kind
// takes is checked by Compile.
type Definition struct {
	Name string `yaml:"name" json:"name"`
	Kind string `yaml:"kind" json:"kind"`
	// On names the events that count, as Event.On says them; "*" is all.
	On []string `yaml:"on,omitempty" json:"on,omitempty"`
	// Off names the events that remove from a set.
	Off []string `yaml:"off,omitempty" json:"off,omitempty"`
	// Steps are the events of a sequence, in their order. Off names events none
	// of which may have come since the first of them, and Window is how long ago
	// the last of them may be.
	Steps []Step `yaml:"steps,omitempty" json:"steps,omitempty"`
	// Where is a condition in CEL that On has to meet; "" holds always.
	Where string `yaml:"where,omitempty" json:"where,omitempty"`
	// Of names the other events: of a ratio the whole, of an attribution the
	// touches. Where does not concern them.
	Of []string `yaml:"of,omitempty" json:"of,omitempty"`
	// Value and By are paths into the event: properties.x.y, traits.x,
	// context.page.path, item.category, time, name, url. An item path makes
	// the feature see each product of the event. Of several paths, joined by
	// "|", the first that holds something counts. By is the key of affinity.
	Value string `yaml:"value,omitempty" json:"value,omitempty"`
	By    string `yaml:"by,omitempty" json:"by,omitempty"`
	// Window makes the feature look back only so far.
	Window Duration `yaml:"window,omitempty" json:"window,omitempty"`
	// HalfLife is the time in which decayed and affinity halve; 0 is 30 days, of
	// an attribution 7.
	HalfLife Duration `yaml:"half_life,omitempty" json:"half_life,omitempty"`
	// TTL empties the feature when its newest event is older.
	TTL Duration `yaml:"ttl,omitempty" json:"ttl,omitempty"`
	// Gap ends a session; 0 is 30 minutes.
	Gap Duration `yaml:"gap,omitempty" json:"gap,omitempty"`
	// N is how many keys or values are kept; 0 is 10 for last and top, else
	// 500. Of an embedding it is how many numbers a vector has.
	N int `yaml:"n,omitempty" json:"n,omitempty"`
	// Distinct makes last keep each value once, at its newest time.
	Distinct bool `yaml:"distinct,omitempty" json:"distinct,omitempty"`
	// Buckets are the bounds of a histogram, ascending; a value counts for the
	// first bound that it does not pass.
	Buckets []float64 `yaml:"buckets,omitempty" json:"buckets,omitempty"`
	// Quantile is which one, from 0 to 1; 0 is the smallest value.
	Quantile float64 `yaml:"quantile,omitempty" json:"quantile,omitempty"`
	// Model shares the value of a conversion; "" is last.
	Model string `yaml:"model,omitempty" json:"model,omitempty"`
	// Expr is what a derived feature computes, in CEL over features.
	Expr string `yaml:"expr,omitempty" json:"expr,omitempty"`
	// Scope says whose feature it is; "" is the person's. See Split.
	Scope string `yaml:"scope,omitempty" json:"scope,omitempty"`
}

// Shape is the Go type Set.Read gives for a definition.
type Shape uint8

// The shapes.
const (
	Any     Shape = iota // string, float64, bool, []any, map[string]any or nil
	Integer              // int64; 0 when there is nothing
	Number               // float64; nil when there is nothing, but 0 for a sum
	List                 // []string, newest first; nil when there is nothing
	Weights              // map[string]float64; nil when there is nothing
	Vector               // []float64; nil when there is nothing
)

// Shape returns what reading the feature gives.
func (d *Definition) Shape() Shape {
	switch d.Kind {
	case KindCount, KindDistinct, KindSessions:
		return Integer
	case KindSum, KindMean, KindMin, KindMax, KindDecayed, KindSince, KindSessionLength, KindStddev, KindQuantile, KindRatio:
		return Number
	case KindTimeSpent:
		if d.By != "" {
			return Weights
		}
		return Number
	case KindLast, KindSet, KindTop:
		return List
	case KindAffinity, KindHistogram, KindLatestBy, KindAttribution:
		return Weights
	case KindEmbedding:
		return Vector
	default:
		return Any
	}
}

// Defaults returns the features there are without any configuration. The
// caller owns the slice.
func Defaults() []Definition {
	viewed, added, ordered := []string{"Product Viewed"}, []string{"Product Added"}, []string{"Order Completed"}
	interest := []string{"Product Viewed", "Product Added", "Order Completed"}
	return []Definition{
		{Name: "views_1h", Kind: KindCount, On: viewed, Window: hour},
		{Name: "views_24h", Kind: KindCount, On: viewed, Window: day},
		{Name: "views_30d", Kind: KindCount, On: viewed, Window: 30 * day},
		{Name: "adds_24h", Kind: KindCount, On: added, Window: day},
		{Name: "purchases_30d", Kind: KindCount, On: ordered, Window: 30 * day},
		{Name: "revenue_30d", Kind: KindSum, On: ordered, Value: "properties.revenue|properties.total|properties.value", Window: 30 * day},
		{Name: "sessions_30d", Kind: KindSessions, On: []string{"*"}, Window: 30 * day},
		{Name: "last_viewed", Kind: KindLast, On: viewed, Value: "item.id", N: 20, Distinct: true},
		{Name: "last_added", Kind: KindLast, On: added, Value: "item.id", N: 20, Distinct: true},
		{Name: "recent_five_purchases", Kind: KindLast, On: ordered, Value: "item.id", N: 5, Distinct: true},
		{Name: "category_affinity", Kind: KindAffinity, On: interest, By: "item.category", HalfLife: 30 * day},
		{Name: "brand_affinity", Kind: KindAffinity, On: interest, By: "item.brand", HalfLife: 30 * day},
		{Name: "searches", Kind: KindLast, On: []string{"Products Searched"}, Value: "properties.query", N: 10, Distinct: true},
		{Name: "last_purchase_at", Kind: KindLatest, On: ordered, Value: "time"},
		{
			Name: "cart", Kind: KindSet, On: added,
			Off: []string{"Product Removed", "Order Completed"}, Value: "item.id", N: 100,
		},
		{Name: "purchased", Kind: KindLast, On: ordered, Value: "item.id", N: 200, Distinct: true},
		{Name: "liked", Kind: KindSet, On: []string{"Product Liked"}, Off: []string{"Product Unliked", "Product Disliked"}, Value: "item.id"},
		{Name: "disliked", Kind: KindSet, On: []string{"Product Disliked"}, Off: []string{"Product Undisliked", "Product Liked"}, Value: "item.id"},
		{Name: "hidden", Kind: KindSet, On: []string{"Product Hidden", "Not Interested"}, Off: []string{"Product Unhidden"}, Value: "item.id"},
		{Name: "ratings", Kind: KindLatestBy, On: []string{"Product Rated"}, Value: "properties.rating", By: "item.id"},
	}
}
