package attune_test

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/attune-io/attune"
)

func TestFilters(t *testing.T) {
	for _, tc := range []struct {
		in, want string // want is what is written again, or a part of the fault
		bad      bool
	}{
		{in: `{}`, want: `{}`},
		{in: `null`, want: `{}`},
		{in: `{"colour":"red","size":42,"new":true}`, want: `{"colour":["red"],"new":["true"],"size":["42"]}`},
		{in: `{"colour":["red",1.5,false]}`, want: `{"colour":["red","1.5","false"]}`},
		{in: `{"price":{"min":1}}`, want: `{"price":{"min":1}}`},
		{in: `{"price":{"min":1,"max":2.5}}`, want: `{"price":{"max":2.5,"min":1}}`},
		{in: `[]`, want: "want an object", bad: true},
		{in: `{"a":null}`, want: "filters.a", bad: true},
		{in: `{"a":[]}`, want: "filters.a: want 1 to 100 values", bad: true},
		{in: `{"a":{}}`, want: "filters.a", bad: true},
		{in: `{"a":{"min":"1"}}`, want: "filters.a", bad: true},
		{in: `{"a":{"from":1}}`, want: "filters.a", bad: true},
		{in: `{"a":[{}]}`, want: "filters.a", bad: true},
		{in: `{"":1}`, want: "without a name", bad: true},
		{in: `{"` + strings.Repeat("x", 129) + `":1}`, want: "more than 128 bytes", bad: true},
		{in: `{"a":"` + strings.Repeat("x", 513) + `"}`, want: "at most 512 bytes", bad: true},
	} {
		var f attune.Filters
		err := json.Unmarshal([]byte(tc.in), &f)
		if tc.bad {
			if !errors.Is(err, attune.ErrInvalid) || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("%s: got %v, want %q", tc.in, err, tc.want)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", tc.in, err)
			continue
		}
		if got, _ := json.Marshal(f); string(got) != tc.want {
			t.Errorf("%s: got %s, want %s", tc.in, got, tc.want)
		}
	}
}

func TestFilterHolds(t *testing.T) {
	for _, tc := range []struct {
		filter string
		value  any
		want   bool
	}{
		{`"red"`, "red", true},
		{`"red"`, "Red", false},
		{`"red"`, []string{"blue", "red"}, true},
		{`["red","blue"]`, "blue", true},
		{`"red"`, nil, false},
		{`true`, true, true},
		{`"true"`, true, true},
		{`42`, 42.0, true},
		{`42`, "42", true},
		{`{"min":1,"max":2}`, 2.0, true},
		{`{"min":1,"max":2}`, 2.01, false},
		{`{"max":2}`, nil, false},
		{`{"max":2}`, "1", false},
	} {
		var f attune.Filters
		if err := json.Unmarshal([]byte(`{"a":`+tc.filter+`}`), &f); err != nil {
			t.Fatal(err)
		}
		if got := f[0].Holds(tc.value); got != tc.want {
			t.Errorf("%s of %#v: got %v", tc.filter, tc.value, got)
		}
	}
}

// FuzzFilters: whatever is read is bounded, sorted, and written as it is read.
func FuzzFilters(f *testing.F) {
	f.Add(`{"colour":["red",1],"price":{"min":1}}`)
	f.Add(`{"a":null}`)
	f.Fuzz(func(t *testing.T, text string) {
		var first, second attune.Filters
		if err := json.Unmarshal([]byte(text), &first); err != nil {
			return
		}
		if len(first) > attune.MaxFilters || !slices.IsSortedFunc(first, func(a, b attune.Filter) int { return strings.Compare(a.Attribute, b.Attribute) }) {
			t.Fatalf("%s: got %+v", text, first)
		}
		b, err := json.Marshal(first)
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		if err := json.Unmarshal(b, &second); err != nil {
			t.Fatalf("%s was written as %s: %v", text, b, err)
		}
		if again, _ := json.Marshal(second); string(again) != string(b) {
			t.Fatalf("%s: got %s, then %s", text, b, again)
		}
	})
}
