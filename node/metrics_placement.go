package node

import (
	"runtime"
	"runtime/debug"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/attune-io/attune/model"
)

// placementCollector exports what became of what placements showed. The counts
// are the statistics' own, so they outlive the process, as counters should.
type placementCollector struct {
	items                            *model.Items
	impressions, clicks, conversions *prometheus.Desc
}

func newPlacementCollector(items *model.Items) *placementCollector {
	desc := func(name, help string) *prometheus.Desc {
		return prometheus.NewDesc("attune_placement_"+name, help, []string{"placement"}, nil)
	}
	return &placementCollector{
		items:       items,
		impressions: desc("impressions_total", "Items that were seen: half visible for a second."),
		clicks:      desc("clicks_total", "Items that were clicked. Click-through is clicks for each impression."),
		conversions: desc("conversions_total", "Items that were bought within seven days of a click."),
	}
}

// Describe implements prometheus.Collector.
func (c *placementCollector) Describe(to chan<- *prometheus.Desc) {
	to <- c.impressions
	to <- c.clicks
	to <- c.conversions
}

// Collect implements prometheus.Collector.
func (c *placementCollector) Collect(to chan<- prometheus.Metric) {
	for _, p := range c.items.Placements() {
		for _, x := range []struct {
			desc *prometheus.Desc
			n    int64
		}{{c.impressions, p.Impressions}, {c.clicks, p.Clicks}, {c.conversions, p.Conversions}} {
			to <- prometheus.MustNewConstMetric(x.desc, prometheus.CounterValue, float64(x.n), p.Placement)
		}
	}
}

// buildInfo is a gauge of 1 whose labels say what runs.
func buildInfo() prometheus.Collector {
	version, revision := "devel", ""
	if info, ok := debug.ReadBuildInfo(); ok {
		if v := info.Main.Version; v != "" && v != "(devel)" {
			version = v
		}
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" {
				revision = s.Value
			}
		}
	}
	g := prometheus.NewGauge(prometheus.GaugeOpts{
		Namespace: "attune", Name: "build_info", Help: "Always 1; the labels say what runs.",
		ConstLabels: prometheus.Labels{"version": version, "revision": revision, "go": runtime.Version()},
	})
	g.Set(1)
	return g
}
