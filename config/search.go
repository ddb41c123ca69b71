package config

import (
	"net/url"
	"strings"

	"github.com/attune-io/attune/search"
)

// The search indexes there are.
const (
	// SearchAuto is SearchBleve from the first search on.
	SearchAuto = "auto"
	// SearchBleve keeps an index in the data directory.
	SearchBleve = "bleve"
	// SearchElastic asks an Elasticsearch or OpenSearch server.
	SearchElastic = "elastic"
	// SearchNone looks through names.
	SearchNone = "none"
)

// Search says how items are found by words.
type Search struct {
	Backend string `yaml:"backend" json:"backend"`
	// Language says which forms of a word are the same.
	Language string `yaml:"language" json:"language"`
	// Fields are the attributes whose words are looked for, with weights from 1
	// to 10; none is search.Defaults.
	Fields map[string]int `yaml:"fields" json:"fields"`
	// Attributes can be filtered and counted; none is all but texts and
	// addresses.
	Attributes []string `yaml:"attributes" json:"attributes"`
	// Typos is how many typing errors a word may have: auto, one, none.
	Typos string `yaml:"typos" json:"typos"`
	// FacetSize is how many values of a facet are counted.
	FacetSize int     `yaml:"facet_size" json:"facet_size"`
	Elastic   Elastic `yaml:"elastic"    json:"elastic"`
}

// Elastic is the server of SearchElastic.
type Elastic struct {
	URL string `yaml:"url" json:"url"`
	// Index is its name there. It is made when it is not there, and made again
	// when its settings are others: it must be ours alone.
	Index string `yaml:"index" json:"index"`
	// Username and Password, or APIKey, or none.
	Username string `yaml:"username" json:"username"`
	Password string `yaml:"password" json:"password"`
	APIKey   string `yaml:"api_key"  json:"api_key"`
}

func defaultSearch() Search {
	return Search{
		Backend: SearchAuto, Language: search.Defaults().Language, Typos: "auto", FacetSize: 10,
		Elastic: Elastic{Index: "attune-items"},
	}
}

// Settings returns what of items is searched.
func (s *Search) Settings() search.Settings {
	out := search.Defaults()
	out.Language = s.Language
	if len(s.Fields) > 0 {
		out.Fields = s.Fields
	}
	if len(s.Attributes) > 0 {
		out.Attributes = s.Attributes
	}
	return out
}

// Tolerance returns how many typing errors a word may have.
func (s *Search) Tolerance() search.Tolerance {
	switch s.Typos {
	case "none":
		return search.None
	case "one":
		return search.One
	default:
		return search.Auto
	}
}

func (v *validation) search() {
	s := &v.c.Search
	v.oneOf("search.backend", s.Backend, SearchAuto, SearchBleve, SearchElastic, SearchNone)
	v.oneOf("search.typos", s.Typos, "auto", "one", "none")
	v.oneOf("search.language", s.Language, search.Languages()...)
	const most = 100
	if s.FacetSize < 1 || s.FacetSize > most {
		v.fault("search.facet_size", "%d: want 1 to %d", s.FacetSize, most)
	}
	settings := s.Settings()
	settings.Language = search.Defaults().Language // it has been looked at
	for _, err := range each(settings.Validate()) {
		path, what, _ := strings.Cut(message(err), ": ")
		v.fault("search."+path, "%s", what)
	}
	if s.Backend != SearchElastic {
		return
	}
	u, err := url.Parse(s.Elastic.URL)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		v.fault("search.elastic.url", "%q: want the address of the server, as https://search.example:9200", s.Elastic.URL)
	}
	if !indexName(s.Elastic.Index) {
		v.fault("search.elastic.index", "%q: want small letters, digits, - and _, a letter first, at most 100", s.Elastic.Index)
	}
	if s.Elastic.APIKey != "" && s.Elastic.Username != "" {
		v.fault("search.elastic.api_key", "is given beside a username; give one of the two")
	}
}

func indexName(name string) bool {
	const longest = 100
	if name == "" || len(name) > longest || name[0] < 'a' || name[0] > 'z' {
		return false
	}
	return strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789-_") == ""
}
