package rule

import (
	"strings"
	"testing"

	"github.com/attune-io/attune/feature"
)

// TestKinds holds that a condition which could never hold, since a feature is
// not what it is compared with, is found when it is compiled, and that none of
// those which can hold is refused.
func TestKinds(t *testing.T) {
	e := env(t, Names{Shapes: map[string]feature.Shape{
		"views": feature.Integer, "spent": feature.Number, "last": feature.List, "tastes": feature.Weights, "plan": feature.Any,
	}})
	for _, c := range []struct{ expr, want string }{
		{`features.views > "x"`, `1:16: a number is compared with a text, which never holds`},
		{`features.last > 3`, `1:9: this is a list, which is neither more nor less than something; its size() is a number`},
		{`features.views`, `1:1: the value is a number, want a condition, such as a comparison`},
		{`default(features.views, 0)`, `1:1: the value is a number, want a condition, such as a comparison`},
		{`features.views && true`, `1:9: this is a number, want a condition, such as a comparison`},
		{`!(features.last)`, `1:11: this is a list, want a condition, such as a comparison`},
		{`features.views ? true : false`, `1:9: this is a number, want a condition, such as a comparison`},
		{`features.spent == true`, `1:16: a number is compared with true or false, which never holds`},
		{`features["last"] == "a"`, `1:18: a list is compared with a text, which never holds`},
		{`features.tastes == ["a"]`, `1:17: a map is compared with a list, which never holds`},
		{`features.last - 1 > 2`, `1:9: this is a list; want a number to calculate with`},
		{`"a" in features.views`, `1:16: this is a number; want a list or a map on the right of "in"`},
		{`features.spent / features.views > "a"`, `1:33: a number is compared with a text, which never holds`},
	} {
		_, err := e.Condition(OfPerson, c.expr)
		if err == nil || !strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %s", c.expr, err, c.want)
		}
	}
	for _, good := range []string{
		`features.views > 3`, `features.views >= 2.5 && features.spent == null`, `"a" in features.last`, `features.last == ["a"]`,
		`features.last.size() > 2`, `default(features.views, 0) == 0`, `features.plan == "pro"`, `features.plan`, `features.plan > 3`,
		`has(features.views)`, `features.tastes["shoes"] > 0.5`, `"shoes" in features.tastes`, `features.spent / features.views > 3`,
		`features.spent - 1 < features.views`, `traits.vip || features.views > 1`, `(features.views > 3 ? 1 : 2) == 2`, `features.last.exists(x, x == "a")`,
		`features.other == "x"`,
	} {
		if _, err := e.Condition(OfPerson, good); err != nil {
			t.Errorf("%s: %v", good, err)
		}
	}
}
