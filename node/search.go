package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/attune-io/attune"
	"github.com/attune-io/attune/catalog"
	"github.com/attune-io/attune/config"
	"github.com/attune-io/attune/recommend"
	"github.com/attune-io/attune/search"
	"github.com/attune-io/attune/search/bleve"
	"github.com/attune-io/attune/search/elastic"
)

// searchDir is the folder of the embedded search index.
func searchDir(cfg *config.Config) string { return filepath.Join(cfg.DataDir, "search") }

// retriever is the search index as decisions ask for it. Until it holds the
// catalog it answers that it does not, and names are looked through.
type retriever struct {
	cfg     config.Search
	dir     string
	catalog *catalog.Catalog
	log     *slog.Logger

	want   sync.Once
	wanted chan struct{} // closed by the first who searches, or at once
	opened atomic.Pointer[openedSearch]

	answered *prometheus.CounterVec // by how
	took     prometheus.Histogram
}

type openedSearch struct {
	index  search.Index
	keeper *search.Keeper
}

// newRetriever returns nil when the configuration wants no index.
func newRetriever(n *Node, cfg *config.Config) *retriever {
	if cfg.Search.Backend == config.SearchNone {
		return nil
	}
	f := &retriever{
		cfg: cfg.Search, dir: searchDir(cfg), catalog: n.catalog, log: n.log, wanted: make(chan struct{}),
		answered: prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: "attune", Name: "searches_total",
			Help: "Searches, by how the words were taken: exact, typos, most; late, unready or failed: names were looked through.",
		}, []string{"how"}),
		took: prometheus.NewHistogram(prometheus.HistogramOpts{
			Namespace: "attune", Name: "search_seconds", Help: "Time of the search index to answer.", Buckets: prometheus.ExponentialBuckets(50e-6, 1.6, 24),
		}),
	}
	n.metrics.registry.MustRegister(f.answered, f.took)
	_, err := os.Stat(f.dir)
	if cfg.Search.Backend != config.SearchAuto || err == nil {
		f.start() // it was asked for, or is used here
	}
	return f
}

// searcher is what the engine is given: nothing rather than a nil retriever.
func (n *Node) searcher() recommend.Searcher {
	if n.retriever == nil {
		return nil
	}
	return n.retriever
}

func (f *retriever) start() { f.want.Do(func() { close(f.wanted) }) }

// run opens the index when somebody wants it, and keeps it until ctx ends. What
// fails is tried again: decisions do without meanwhile.
func (f *retriever) run(ctx context.Context) error {
	if f == nil {
		return nil
	}
	select {
	case <-ctx.Done():
		return nil
	case <-f.wanted:
	}
	const pause = 10 * time.Second
	for {
		err := f.keep(ctx)
		if ctx.Err() != nil {
			return err // of closing it
		}
		f.log.Error("there is no search index; names are looked through", slog.Duration("again_after", pause), slog.Any("error", err))
		if sleep(ctx, pause) != nil {
			return nil //nolint:nilerr // it was asked to stop
		}
	}
}

func (f *retriever) keep(ctx context.Context) (err error) {
	index, err := f.open()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, index.Close()) }()
	keeper := search.NewKeeper(search.KeeperOptions{Index: index, Catalog: f.catalog, Settings: f.cfg.Settings(), Log: f.log})
	f.opened.Store(&openedSearch{index, keeper})
	defer f.opened.Store(nil)
	return keeper.Run(ctx)
}

// open is the one place where the search backend is chosen.
func (f *retriever) open() (search.Index, error) {
	switch f.cfg.Backend {
	case config.SearchAuto, config.SearchBleve:
		return bleve.Open(bleve.Options{Dir: f.dir, Settings: f.cfg.Settings(), Log: f.log})
	case config.SearchElastic:
		e := &f.cfg.Elastic
		return elastic.Open(elastic.Options{
			URL: e.URL, Index: e.Index, Username: e.Username, Password: e.Password, APIKey: e.APIKey, Settings: f.cfg.Settings(), Log: f.log,
		})
	default:
		return nil, fmt.Errorf("search.backend %q: want auto, bleve, elastic or none: %w", f.cfg.Backend, attune.ErrInvalid)
	}
}

// errUnready says that the index does not hold the catalog yet.
var errUnready = errors.New("the search index is being built")

// mostSearch bounds a search that has no deadline.
const mostSearch = 5 * time.Second

// Search answers q from the index.
func (f *retriever) Search(q *recommend.SearchQuery, into *recommend.SearchResult) error {
	f.start()
	o := f.opened.Load()
	if o == nil || !o.keeper.Ready() {
		f.answered.WithLabelValues("unready").Inc()
		return errUnready
	}
	left := q.Left
	if left <= 0 {
		left = mostSearch
	}
	began := time.Now()
	ctx, cancel := context.WithTimeout(context.Background(), left)
	defer cancel()
	look := search.Query{
		Typos: f.cfg.Tolerance(), Filters: q.Filters, Facets: q.Facets, FacetSize: f.cfg.FacetSize, Limit: q.Limit,
	}
	var found search.Result
	err := search.Find(ctx, o.index, q.Text, &look, &found)
	f.took.Observe(time.Since(began).Seconds())
	switch {
	case err != nil && ctx.Err() != nil:
		f.answered.WithLabelValues("late").Inc()
		return fmt.Errorf("the search index had %v: %w", left.Round(time.Millisecond), ctx.Err())
	case err != nil:
		f.answered.WithLabelValues("failed").Inc()
		if !errors.Is(err, attune.ErrInvalid) {
			o.keeper.Doubt()
		}
		return err
	}
	f.answered.WithLabelValues(found.Match.String()).Inc()
	into.Total, into.Facets, into.How = found.Total, found.Facets, found.Match.String()
	into.Hits = make([]recommend.SearchHit, len(found.Hits))
	for i := range found.Hits {
		into.Hits[i] = recommend.SearchHit{ID: found.Hits[i].ID, Score: float32(found.Hits[i].Score)}
	}
	return nil
}
