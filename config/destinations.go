package config

import (
	"fmt"
	"maps"
	"slices"

	"github.com/attune-io/attune/rule"
)

// maxDestinations bounds them: each has goroutines and files of its own.
const maxDestinations = 50

// destinations checks each by itself, and their names against each other.
func (v *validation) destinations() {
	all := v.c.Destinations
	if len(all) > maxDestinations {
		v.fault("destinations", "there are %d; want at most %d", len(all), maxDestinations)
		return
	}
	names := make([]string, len(v.c.Segments))
	for i := range v.c.Segments {
		names[i] = v.c.Segments[i].Name
	}
	first := map[string]int{}
	for i := range all {
		path := fmt.Sprintf("destinations[%d]", i)
		for _, f := range all[i].Validate(names) {
			fault := v.c.fault(join(path, f.Field), "%s", f.What)
			fault.Suggestion = rule.Suggest(f.Got, f.Known)
			v.faults = append(v.faults, fault)
		}
		if j, twice := first[all[i].Name]; twice {
			v.fault(path+".name", "destination %q is there twice, also as destinations[%d]", all[i].Name, j)
		}
		first[all[i].Name] = i
	}
}

// resolveDestinations calls each for every value that may name something of
// the environment.
func (c *Config) resolveDestinations(each func(path string, s *string)) {
	for i := range c.Destinations {
		d := &c.Destinations[i]
		path := fmt.Sprintf("destinations[%d].", i)
		each(path+"url", &d.URL)
		each(path+"secret", &d.Secret)
		each(path+"previous_secret", &d.PreviousSecret)
		for _, name := range slices.Sorted(maps.Keys(d.Headers)) {
			value := d.Headers[name]
			each(path+"headers."+name, &value)
			d.Headers[name] = value
		}
	}
}
