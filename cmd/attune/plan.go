package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/goccy/go-yaml"

	"github.com/attune-io/attune"
	"github.com/attune-io/attune/collect"
	"github.com/attune-io/attune/collect/file"
	"github.com/attune-io/attune/collect/plan"
	"github.com/attune-io/attune/config"
	"github.com/attune-io/attune/node"
)

// planCommand is about tracking plans.
type planCommand struct {
	Infer planInferCommand `cmd:"" help:"Propose a tracking plan from events that were seen."`
	Check planCheckCommand `cmd:"" help:"Report what of files violates a tracking plan."`
}

// planInput is where a plan command has events from.
type planInput struct {
	Files   []string `arg:"" optional:"" help:"Files of events, gzipped or not, as import reads them." type:"existingfile" name:"file"`
	Format  string   `help:"segment (JSON lines), csv, tsv, metarank or combined; without it the file tells." enum:",segment,csv,tsv,metarank,combined" default:""`
	Mapping string   `help:"What the columns of a table or the lines of a log mean (YAML)." placeholder:"FILE" type:"existingfile"`
	DataDir string   `help:"Folder of a node that is not running, instead of files." placeholder:"DIR" type:"path"`
	Config  string   `help:"Configuration file." placeholder:"FILE" type:"existingfile"`
}

type planInferCommand struct {
	planInput

	Name   string `help:"Name of the plan." default:"shop"`
	Values int    `help:"A text with at most so many different values is listed value by value; 0 is never." default:"10"`
	Ranges bool   `help:"Give numbers the smallest and the largest that was seen."`
	Closed bool   `help:"Do not allow properties that were not seen."`
	Output string `help:"yaml or json." enum:"yaml,json" default:"yaml"`
}

// inferred is a proposed plan as the configuration takes it.
type inferred struct {
	Collect struct {
		Plans []plan.Definition `yaml:"plans" json:"plans"`
	} `yaml:"collect" json:"collect"`
}

// Run prints a plan that accepts every event it saw.
func (c *planInferCommand) Run(a *app) error {
	how := plan.Inferring{Ranges: c.Ranges, Closed: c.Closed, Values: cmp.Or(c.Values, -1)}
	seen := plan.NewInference(how)
	sum, err := c.events(a, func(e *attune.Event) { seen.Add(e) })
	if err != nil {
		return err
	}
	var out inferred
	out.Collect.Plans = []plan.Definition{seen.Definition(c.Name)}
	text, err := yaml.MarshalWithOptions(out, yaml.IndentSequence(true))
	if c.Output == "json" {
		text, err = json.MarshalIndent(out, "", "  ")
		text = append(text, '\n')
	}
	if err != nil {
		return err
	}
	counts := seen.Seen()
	fmt.Fprintf(a.stderr, "a plan of %s, from %s\n", counted(int64(len(counts)), "event"), counted(sum.events, "event"))
	if sum.refused > 0 {
		fmt.Fprintf(a.stderr, "%s could not be read and were left out\n", counted(sum.refused, "row"))
	}
	if left := seen.Left(); left > 0 {
		fmt.Fprintf(a.stderr, "%s had one name too many: the plan has the first %s names\n", counted(int64(left), "event"), grouped(plan.MaxEvents))
	}
	if len(text) > config.MaxBytes {
		fmt.Fprintf(a.stderr, "the plan has %s bytes, more than a configuration may have (%s)\n", grouped(int64(len(text))), grouped(config.MaxBytes))
	}
	_, err = a.stdout.Write(text)
	return err
}

type planCheckCommand struct {
	planInput

	Plan   string `help:"File of the plan, as infer prints it; without it the configuration's." placeholder:"FILE" type:"existingfile"`
	Name   string `help:"Which plan, where there are several." placeholder:"NAME"`
	Output string `help:"text or json." enum:"text,json" default:"text"`
}

// planReport is what plan check found.
type planReport struct {
	Events     int64            `json:"events"`
	Violating  int64            `json:"violating"`
	Unread     int64            `json:"unread"` // rows that are no events
	Violations []violationCount `json:"violations"`
}

// violationCount is one kind of violation, with the first that was seen.
type violationCount struct {
	Event    string `json:"event"`
	Type     string `json:"type"`
	Property string `json:"property"`
	Message  string `json:"message"`
	Count    int64  `json:"count"`
	First    string `json:"first"` // messageId
}

// errViolates is the end of a check that found violations.
const errViolates = attune.Sentinel("the tracking plan is violated")

// Bounds of a report.
const (
	maxKinds      = 10_000
	maxViolations = 50 // lines that are printed
)

// Run reports violations, and fails when there are some.
func (c *planCheckCommand) Run(a *app) error {
	p, err := c.plan()
	if err != nil {
		return err
	}
	type kind struct{ event, typ, property string }
	found := map[kind]*violationCount{}
	var rep planReport
	sum, err := c.events(a, func(e *attune.Event) {
		list := p.Check(e)
		if len(list) > 0 {
			rep.Violating++
		}
		for _, v := range list {
			k := kind{e.On(), v.Type, v.Property}
			if found[k] == nil {
				if len(found) >= maxKinds {
					continue
				}
				found[k] = &violationCount{Event: strings.Clone(k.event), Type: v.Type, Property: strings.Clone(v.Property), Message: v.Message, First: strings.Clone(e.MessageID)}
			}
			found[k].Count++
		}
	})
	if err != nil {
		return err
	}
	rep.Events, rep.Unread = sum.events, sum.refused
	rep.Violations = []violationCount{}
	for _, v := range slices.SortedFunc(maps.Values(found), func(a, b *violationCount) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.Event, b.Event), cmp.Compare(a.Property, b.Property), cmp.Compare(a.Type, b.Type))
	}) {
		rep.Violations = append(rep.Violations, *v)
	}
	if err := rep.print(a, c.Output); err != nil {
		return err
	}
	if rep.Violating > 0 {
		return fmt.Errorf("%s: %w", counted(rep.Violating, "event"), errViolates)
	}
	return nil
}

func (r *planReport) print(a *app, output string) error {
	if output == "json" {
		e := json.NewEncoder(a.stdout)
		e.SetIndent("", "  ")
		return e.Encode(r)
	}
	fmt.Fprintf(a.stdout, "checked %s: %s as planned\n", counted(r.Events, "event"), grouped(r.Events-r.Violating))
	for _, v := range r.Violations[:min(len(r.Violations), maxViolations)] {
		at := v.Event
		if v.Property != "" {
			at += ": " + v.Property
		}
		fmt.Fprintf(a.stdout, "  %s× %s: %s (%s), first in %s\n", grouped(v.Count), at, v.Message, v.Type, v.First)
	}
	if more := len(r.Violations) - maxViolations; more > 0 {
		fmt.Fprintf(a.stdout, "  and %s more kinds; --output json lists them\n", grouped(int64(more)))
	}
	if r.Unread > 0 {
		fmt.Fprintf(a.stdout, "%s could not be read\n", counted(r.Unread, "row"))
	}
	return nil
}

// plan reads the plan that is meant.
func (c *planCheckCommand) plan() (*plan.Plan, error) {
	var plans []plan.Definition
	from := c.Plan
	switch {
	case c.Plan != "":
		text, err := os.ReadFile(c.Plan)
		if err != nil {
			return nil, err
		}
		var read inferred
		if err := yaml.Unmarshal(text, &read); err != nil {
			return nil, fmt.Errorf("%s: %w", c.Plan, err)
		}
		plans = read.Collect.Plans
	case c.Config != "":
		s := settings{Config: c.Config}
		cfg, err := s.read()
		if err != nil {
			return nil, err
		}
		plans, from = cfg.Collect.Plans, c.Config
	default:
		return nil, fmt.Errorf("there is no plan to check by; name one with --plan or --config: %w", attune.ErrInvalid)
	}
	var names []string
	for i := range plans {
		names = append(names, plans[i].Name)
		if plans[i].Name == c.Name || c.Name == "" && len(plans) == 1 {
			p, err := plan.Compile(&plans[i])
			if err != nil {
				return nil, fmt.Errorf("%s:\n%w", from, err)
			}
			return p, nil
		}
	}
	if len(plans) == 0 {
		return nil, fmt.Errorf("%s: has no collect.plans: %w", from, attune.ErrInvalid)
	}
	return nil, fmt.Errorf("%s: name one of its plans with --name: %s: %w", from, strings.Join(names, ", "), attune.ErrInvalid)
}

// planSum is what reading came to.
type planSum struct{ events, refused int64 }

// events calls each for every event of the files or of the data directory.
func (c *planInput) events(a *app, each func(*attune.Event)) (planSum, error) {
	switch {
	case len(c.Files) > 0 && c.DataDir != "":
		return planSum{}, fmt.Errorf("either files or --data-dir: %w", attune.ErrInvalid)
	case c.DataDir != "":
		return c.journal(a, each)
	case len(c.Files) > 0:
		return c.files(a, each)
	default:
		return planSum{}, fmt.Errorf("name files of events, or a node's folder with --data-dir: %w", attune.ErrInvalid)
	}
}

func (c *planInput) journal(a *app, each func(*attune.Event)) (sum planSum, err error) {
	s := settings{Config: c.Config, DataDir: c.DataDir, Dev: c.Config == ""}
	cfg, err := s.read()
	if err != nil {
		return sum, err
	}
	if _, err := os.Stat(cfg.DataDir); errors.Is(err, fs.ErrNotExist) {
		return sum, fmt.Errorf("%s is not there; name the data directory of a node: %w", cfg.DataDir, attune.ErrNotFound)
	}
	log, _ := logger(a, config.Log{Level: "warn", Format: "text"})
	bar := newBar(a.stderr, nil)
	unread, err := node.Events(a.ctx, cfg, log, func(e *attune.Event) error {
		sum.events++
		each(e)
		return nil
	}, func(done, all uint64) {
		bar.total = int64(all)                                   //nolint:gosec // a count of records
		bar.show("reading", int64(done), int64(done), "records") //nolint:gosec // as above
	})
	bar.done()
	sum.refused = int64(unread) //nolint:gosec // a count
	if errors.Is(err, attune.ErrBusy) {
		return sum, fmt.Errorf("%w; stop the server first, or give it the files", err)
	}
	return sum, err
}

func (c *planInput) files(a *app, each func(*attune.Event)) (planSum, error) {
	in := file.Import{Files: c.Files, Options: file.Options{Format: file.Format(c.Format)}}
	if err := mapped(&in.Options, c.Mapping); err != nil {
		return planSum{}, err
	}
	looking, err := newLooking(func() attune.Millis { return attune.MillisOf(time.Now()) }, each)
	if err != nil {
		return planSum{}, err
	}
	in.Sink = looking
	bar := newBar(a.stderr, c.Files)
	in.Progress = bar.progress
	sum, err := file.Run(a.ctx, in)
	bar.done()
	return planSum{events: sum.Accepted, refused: sum.Rejected}, err
}

// newLooking is the sink of a command that only looks at events, as the
// collector settles them.
func newLooking(now func() attune.Millis, each func(*attune.Event)) (*dry, error) {
	keys, err := collect.NewKeys(nil, nil)
	if err != nil {
		return nil, err
	}
	c, err := collect.New(collect.Options{
		Journal: nowhere{}, Keys: keys, Now: now, Limits: collect.Limits{EventBytes: largeEvent},
		OnAccepted: func(events []attune.Event) {
			for i := range events {
				each(&events[i])
			}
		},
	})
	if err != nil {
		return nil, err
	}
	return &dry{collector: c, source: collect.ServerSource}, nil
}

// mapped reads the mapping of a file, when there is one.
func mapped(o *file.Options, path string) error {
	if path == "" {
		return nil
	}
	text, err := os.ReadFile(path) //nolint:gosec // whoever asks names the file
	if err != nil {
		return err
	}
	if o.Mapping, err = file.ParseMapping(text); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}
