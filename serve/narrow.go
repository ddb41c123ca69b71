package serve

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/attune-io/attune"
)

// Bounds of the options of one placement.
const (
	maxOffset    = 1000
	maxBlacklist = 1000
	maxFields    = 20
	maxValues    = 100
)

// narrowOf reads the options that an address's query may have, nil when it has
// none.
func narrowOf(offset, blacklist string) (*attune.Narrow, error) {
	if offset == "" && blacklist == "" {
		return nil, nil //nolint:nilnil // documented
	}
	n, err := numberOf("offset", offset)
	o := &attune.Narrow{Offset: n}
	for id := range strings.SplitSeq(blacklist, ",") {
		if id != "" {
			o.Blacklist = append(o.Blacklist, id)
		}
	}
	return o, err
}

// checkNarrow checks the options of one placement; at makes the path of one.
func checkNarrow(o *attune.Narrow, at func(field string) string) error {
	if o == nil {
		return nil
	}
	switch {
	case o.Offset < 0 || o.Offset > maxOffset:
		return invalid(at(".offset"), fmt.Sprintf("want 0 to %d, got %d", maxOffset, o.Offset))
	case len(o.Blacklist) > maxBlacklist:
		return invalid(at(".blacklist"), fmt.Sprintf("want at most %d, got %d", maxBlacklist, len(o.Blacklist)))
	case len(o.Fields) > maxFields:
		return invalid(at(".fields"), fmt.Sprintf("want at most %d, got %d", maxFields, len(o.Fields)))
	}
	for i := range o.Fields {
		f := &o.Fields[i]
		path := ".fields[" + strconv.Itoa(i) + "]"
		switch n := len(f.Values); {
		case f.Name == "":
			return invalid(at(path+".name"), "is empty; name an attribute of items")
		case n == 0 || n > maxValues:
			return invalid(at(path+".values"), fmt.Sprintf("want 1 to %d, got %d", maxValues, n))
		case f.Bias > 1000 || math.IsNaN(f.Bias):
			return invalid(at(path+".bias"), fmt.Sprintf("want a factor up to 1000, 0 or less than 0, got %v", f.Bias))
		}
	}
	return checkDates(o.DateRange, at)
}

func checkDates(r *attune.DateRange, at func(field string) string) error {
	if r == nil {
		return nil
	}
	if r.Name == "" {
		return invalid(at(".date_range.name"), "is empty; name the attribute that holds the date")
	}
	after, ok := dateOf(r.After)
	if !ok {
		return invalid(at(".date_range.after"), "want a day as 2026-03-01 or an instant in RFC 3339")
	}
	before, ok := dateOf(r.Before)
	if !ok {
		return invalid(at(".date_range.before"), "want a day as 2026-03-01 or an instant in RFC 3339")
	}
	if r.After != "" && r.Before != "" && !after.Before(before) {
		return invalid(at(".date_range"), "is upside down: after "+r.After+" is not earlier than before "+r.Before)
	}
	return nil
}

// dateOf reads a day or an instant; "" is the zero time.
func dateOf(text string) (time.Time, bool) {
	if text == "" {
		return time.Time{}, true
	}
	layout := time.RFC3339
	if len(text) == len(time.DateOnly) {
		layout = time.DateOnly
	}
	t, err := time.Parse(layout, text)
	return t, err == nil
}
