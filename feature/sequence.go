package feature

import (
	"fmt"
	"slices"
	"strconv"

	"github.com/attune-io/attune"
)

// Step is one event of a sequence.
type Step struct {
	// On names the events that are this step, as Event.On says them.
	On []string `yaml:"on" json:"on"`
	// Where is a condition in CEL that the event has to meet; "" holds always.
	Where string `yaml:"where,omitempty" json:"where,omitempty"`
	// Within is how long after the step before it may come; 0 is any time.
	Within Duration `yaml:"within,omitempty" json:"within,omitempty"`
	// Without names events none of which may lie between the step before and
	// this one.
	Without []string `yaml:"without,omitempty" json:"without,omitempty"`
}

// The bounds of a sequence.
const (
	maxSteps = 5
	// maxTimes is how many events are kept of each step, and of each list of
	// what may not come: the newest. What a sequence looks at is those.
	maxTimes = 64
)

// step is a Step compiled.
type step struct {
	on, without []string // canonical
	where       Condition
	within      int64
}

// sequence finds the newest time that its steps came one after the other. Its
// cell holds, for each symbol, the newest maxTimes events: of a step those that
// match it, of what may not come those that are it. The newest n of a union are
// among the newest n of its halves, so it is a monoid, and late events and
// merges are exact; the steps are put together at read.
type sequence struct {
	steps  []step
	off    []string // canonical: none of them may come after the first step
	window int64
}

// The symbols under which events are kept, beside the steps' own.
const symbolOff = "off"

func symbolOf(step int) string      { return strconv.Itoa(step) }
func symbolWithout(step int) string { return "without " + strconv.Itoa(step) }

func canonical(names []string) []string {
	out := make([]string, len(names))
	for i, n := range names {
		out[i] = attune.CanonicalName(n)
	}
	return out
}

// sequenceOf compiles the steps of d.
func sequenceOf(d *Definition, condition func(string) (Condition, error)) (*sequence, error) {
	s := &sequence{off: canonical(d.Off), window: d.Window.Millis()}
	for i := range d.Steps {
		from := &d.Steps[i]
		to := step{on: canonical(from.On), without: canonical(from.Without), within: from.Within.Millis()}
		if from.Where != "" && condition != nil {
			var err error
			if to.where, err = condition(from.Where); err != nil {
				return nil, fmt.Errorf("feature %q: steps[%d].where: %w", d.Name, i, err)
			}
		}
		s.steps = append(s.steps, to)
	}
	return s, nil
}

// names returns the events that d looks at, and those that take away.
func (d *Definition) names() (on, off []string) {
	on, off = d.On, d.Off
	for i := range d.Steps {
		on = slices.Concat(on, d.Steps[i].On, d.Steps[i].Without)
	}
	return on, off
}

// sequence puts the event under each symbol it is.
func (f *folding) sequence(d *compiled, name string) {
	put := func(symbol string) {
		f.st.cell(d.rank).add(d.agg, op{key: symbol, at: f.at, tie: f.tie, owned: true})
	}
	for i := range d.seq.steps {
		s := &d.seq.steps[i]
		if named(s.on, name) && (s.where == nil || s.where.Match(f.x.e, nil)) {
			put(symbolOf(i))
		}
		if named(s.without, name) {
			put(symbolWithout(i))
		}
	}
	if named(d.seq.off, name) {
		put(symbolOff)
	}
}

func named(names []string, name string) bool {
	return slices.Contains(names, name) || slices.Contains(names, "*")
}

func (*sequence) add(c *cell, o op) {
	e := o.entry()
	i, same, last := len(c.entries), 0, -1
	for j := range c.entries {
		x := &c.entries[j]
		if i == len(c.entries) && newer(&e, x) {
			i = j
		}
		if x.key == e.key {
			same, last = same+1, j
		}
	}
	if same >= maxTimes {
		if last < i {
			return // all of them are newer
		}
		c.entries = slices.Delete(c.entries, last, last+1)
	}
	c.entries = slices.Insert(c.entries, i, e)
}

func (s *sequence) merge(dst, src *cell) {
	a, b := dst.entries, src.entries
	out := make([]entry, 0, len(a)+len(b))
	kept := make(map[string]int, 2*len(s.steps)+1)
	for len(a)+len(b) > 0 {
		var e *entry
		if len(b) == 0 || len(a) > 0 && newer(&a[0], &b[0]) {
			e, a = &a[0], a[1:]
		} else {
			e, b = &b[0], b[1:]
		}
		if kept[e.key]++; kept[e.key] <= maxTimes {
			out = append(out, *e)
		}
	}
	dst.entries = out
}

// read returns when the newest sequence ended, as the text of an instant; nil
// when there is none within the window.
func (s *sequence) read(c *cell, q int64) any {
	at, ok := s.newest(c)
	if !ok || s.window > 0 && at < q-s.window {
		return nil
	}
	return attune.Millis(at).String()
}

// next returns when the newest sequence leaves the window.
func (s *sequence) next(c *cell, q int64) int64 {
	at, ok := s.newest(c)
	if !ok || s.window == 0 || at < q-s.window {
		return 0
	}
	return at + s.window + 1
}

// of returns the stamps kept under a symbol, oldest first.
func (*sequence) of(c *cell, symbol string) []stamp {
	var out []stamp
	for i := len(c.entries) - 1; i >= 0; i-- {
		if e := &c.entries[i]; e.key == symbol {
			out = append(out, stamp{e.at, e.tie})
		}
	}
	return out
}

// newest returns the time of the newest event that ends the sequence. Of the
// events that may stand for the step before, the nearest one is the best: if
// any is near enough, with nothing in between that may not be, it is.
func (s *sequence) newest(c *cell) (int64, bool) {
	if len(c.entries) == 0 {
		return 0, false
	}
	reached := s.of(c, symbolOf(0))
	if off := s.of(c, symbolOff); len(off) > 0 {
		last := off[len(off)-1]
		reached = slices.DeleteFunc(reached, func(x stamp) bool { return x.compare(last) <= 0 })
	}
	for i := 1; i < len(s.steps) && len(reached) > 0; i++ {
		without := s.of(c, symbolWithout(i))
		var next []stamp
		from, bar := -1, 0
		for _, x := range s.of(c, symbolOf(i)) {
			for from+1 < len(reached) && reached[from+1].compare(x) < 0 {
				from++
			}
			for bar < len(without) && without[bar].compare(x) < 0 {
				bar++ // without[:bar] come before x
			}
			if from < 0 || s.steps[i].within > 0 && x.at-reached[from].at > s.steps[i].within ||
				bar > 0 && without[bar-1].compare(reached[from]) > 0 {
				continue
			}
			next = append(next, x)
		}
		reached = next
	}
	if len(reached) == 0 {
		return 0, false
	}
	return reached[len(reached)-1].at, true
}

// checkSteps finds what is wrong with the steps of a sequence.
func checkSteps(f *faults, d *Definition) {
	if d.Kind != KindSequence {
		if len(d.Steps) > 0 {
			f.refuse("steps", d.Kind)
		}
		return
	}
	if len(d.On) > 0 {
		f.add("on", "a sequence takes none; its steps say which events count")
	}
	if d.Where != "" {
		f.add("where", "a sequence takes none; its steps do")
	}
	if len(d.Steps) < 2 || len(d.Steps) > maxSteps {
		f.add("steps", "there are %d; want 2 to %d", len(d.Steps), maxSteps)
	}
	for i := range d.Steps {
		s, at := &d.Steps[i], fmt.Sprintf("steps[%d].", i)
		switch {
		case len(s.On) == 0:
			f.add(at+"on", `missing; name the events that are this step, or "*" for all`)
		case slices.Contains(s.On, "") || slices.Contains(s.Without, ""):
			f.add(at+"on", "an event name is empty")
		}
		if i == 0 && s.Within != 0 {
			f.add(at+"within", "the first step has none before it; give it to a later one")
		}
		if i == 0 && len(s.Without) > 0 {
			f.add(at+"without", "the first step has none before it; give it to a later one")
		}
		f.within(s.Within, at+"within", minute/60, maxWindow)
	}
	if slices.Contains(d.Off, "") || slices.Contains(d.Off, "*") {
		f.add("off", "name the events after which the sequence does not count")
	}
}

// stepsHash appends what identifies the steps, nothing when there are none.
func (d *Definition) stepsHash(str func(string), list func([]string), number func(int64)) {
	for i := range d.Steps {
		s := &d.Steps[i]
		list(s.On)
		str(s.Where)
		number(s.Within.Millis())
		list(s.Without)
	}
}
