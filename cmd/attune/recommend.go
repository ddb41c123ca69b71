package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/attune-io/attune"
	"github.com/attune-io/attune/config"
	"github.com/attune-io/attune/node"
	"github.com/attune-io/attune/serve"
)

type recommendCommand struct {
	Placement string `required:"" help:"The placement to decide." placeholder:"NAME"`
	All       bool   `help:"For every user; it has to be said."`
	Out       string `required:"" help:"File to write; it is there when it is whole." placeholder:"FILE" type:"path"`
	Format    string `help:"ndjson, csv or parquet; without it the file's name tells." enum:",ndjson,csv,parquet" default:""`
	Wide      bool   `help:"One row a person, and not one an item."`
	Limit     int    `help:"Items a person; without it, the placement's own." placeholder:"N"`
	Segment   string `help:"Only members of this segment." placeholder:"NAME"`
	Log       bool   `help:"Journal the answers as decisions, and write their ids."`
	Config    string `help:"Configuration file of the node." placeholder:"FILE" type:"existingfile"`
	DataDir   string `help:"Folder of a node that is not running." placeholder:"DIR" type:"path" xor:"from"`
	Server    string `help:"Address of a running server." placeholder:"URL" xor:"from"`
	Secret    string `help:"The running server's secret." env:"ATTUNE_SERVER_SECRET"`
	Output    string `help:"text or json: how the summary is printed." enum:"text,json" default:"text"`
}

// recommended is the summary of a batch.
type recommended struct {
	Out       string  `json:"out"`
	Format    string  `json:"format"`
	Looked    int     `json:"users"`   // that were looked at
	People    int     `json:"people"`  // that were answered for
	Nothing   int     `json:"without"` // of these, with no item
	Items     int     `json:"items"`   // in all answers
	Bytes     int64   `json:"bytes"`   // of the file
	Seconds   float64 `json:"seconds"` // deciding and writing
	PerSecond float64 `json:"people_per_second"`
}

const maxItems = 200 // a person, as a decision has

// Run decides for everybody and writes the file.
func (c *recommendCommand) Run(a *app) error {
	format, err := c.check()
	if err != nil {
		return err
	}
	f, err := newWhole(c.Out)
	if err != nil {
		return err
	}
	defer f.drop()
	out, err := newAnswers(f, format, c)
	if err != nil {
		return err
	}
	r := &recommending{out: out, bar: newBar(a.stderr, nil), sum: recommended{Out: c.Out, Format: format}}
	ask := &serve.EveryoneAsk{Placement: c.Placement, Limit: c.Limit, Segment: c.Segment, Log: c.Log}
	if c.Server != "" {
		err = r.remote(a.ctx, c.Server, c.Secret, ask)
	} else {
		err = r.local(a, c, ask)
	}
	r.bar.done()
	if err == nil {
		err = out.end()
	}
	if err == nil {
		r.sum.Bytes, err = f.keep()
	}
	if err != nil {
		return fmt.Errorf("%w; %s was not written", err, c.Out)
	}
	r.sum.Seconds = time.Since(r.began).Seconds()
	r.sum.PerSecond = float64(r.sum.Looked) / max(r.sum.Seconds, 1e-3)
	return r.print(a, c.Output)
}

// check returns the format.
func (c *recommendCommand) check() (format string, err error) {
	if !c.All {
		return "", fmt.Errorf("say --all to decide for every user; one person's answer is GET /v1/recommend/%s: %w", c.Placement, attune.ErrInvalid)
	}
	if c.Limit < 0 || c.Limit > maxItems {
		return "", fmt.Errorf("--limit %d: want 1 to %d: %w", c.Limit, maxItems, attune.ErrInvalid)
	}
	if format = c.Format; format == "" {
		switch ext := strings.ToLower(filepath.Ext(c.Out)); ext {
		case ".ndjson", ".jsonl", ".json":
			format = "ndjson"
		case ".csv", ".parquet":
			format = ext[1:]
		default:
			return "", fmt.Errorf("--out %s: its name does not tell the format; give --format ndjson, csv or parquet: %w", c.Out, attune.ErrInvalid)
		}
	}
	if c.Wide && format == "csv" && c.Limit == 0 {
		return "", fmt.Errorf("--wide as CSV has a column an item: say how many with --limit: %w", attune.ErrInvalid)
	}
	return format, nil
}

// recommending is a batch under way.
type recommending struct {
	out   *answers
	bar   *bar
	sum   recommended
	began time.Time
}

// take writes a user's answer.
func (r *recommending) take(one *serve.Served) error {
	r.sum.People++
	r.sum.Items += len(one.Answer.Items)
	if len(one.Answer.Items) == 0 {
		r.sum.Nothing++
	}
	return r.out.write(one)
}

// at shows how far the batch is.
func (r *recommending) at(looked int) {
	r.sum.Looked = looked
	r.bar.show("deciding", int64(looked), int64(looked), "people")
}

// local decides in the data directory of a node that is not running.
func (r *recommending) local(a *app, c *recommendCommand, ask *serve.EveryoneAsk) error {
	s := settings{Config: c.Config, DataDir: c.DataDir, Dev: c.Config == ""}
	cfg, err := s.read()
	if err != nil {
		return err
	}
	if _, err := os.Stat(cfg.DataDir); errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s is not there; name the data directory of a node: %w", cfg.DataDir, attune.ErrNotFound)
	}
	log, _ := logger(a, config.Log{Level: "warn", Format: "text"})
	n, err := node.Open(a.ctx, cfg, node.Options{Log: log})
	if errors.Is(err, attune.ErrBusy) {
		return fmt.Errorf("%w; a running server is asked with --server and --secret", err)
	}
	if err != nil {
		return err
	}
	return n.Work(a.ctx, func(ctx context.Context) error {
		if err := n.Settle(ctx); err != nil {
			return err
		}
		recording, stop := context.WithCancel(ctx)
		recorded := make(chan error, 1) // one send, one receive
		go func() { recorded <- n.Record(recording) }()
		err := r.everyone(ctx, n.Everyone(), ask)
		stop()
		return errors.Join(err, <-recorded)
	})
}

func (r *recommending) everyone(ctx context.Context, e serve.Everyone, ask *serve.EveryoneAsk) error {
	all, err := e.Users(ctx, "")
	if err != nil {
		return err
	}
	r.bar.total, r.began = int64(all), time.Now()
	looked := 0
	return e.Everyone(ctx, ask, func(s *serve.Share) error {
		for i := range s.Served {
			if err := r.take(&s.Served[i]); err != nil {
				return err
			}
		}
		looked += s.Looked
		r.at(looked)
		return nil
	})
}

func (r *recommending) print(a *app, output string) error {
	if output == "json" {
		e := json.NewEncoder(a.stdout)
		e.SetIndent("", "  ")
		return e.Encode(&r.sum)
	}
	fmt.Fprintf(a.stdout, "wrote %s for %s of %s into %s in %.1f s (%s people/s)\n", counted(int64(r.sum.Items), "item"),
		grouped(int64(r.sum.People)), counted(int64(r.sum.Looked), "user"), r.sum.Out, r.sum.Seconds, grouped(int64(r.sum.PerSecond)))
	if r.sum.Nothing > 0 {
		fmt.Fprintf(a.stdout, "there was nothing to show to %s of them\n", grouped(int64(r.sum.Nothing)))
	}
	return nil
}

// whole is a file that takes its name when it is whole.
type whole struct {
	*os.File

	name string
	done bool
}

func newWhole(name string) (*whole, error) {
	f, err := os.CreateTemp(filepath.Dir(name), "."+filepath.Base(name)+".*") // only its owner reads it: it says what people like
	if err != nil {
		return nil, err
	}
	return &whole{File: f, name: name}, nil
}

// keep gives the file its name, and returns its size.
func (w *whole) keep() (size int64, err error) {
	if info, err := w.Stat(); err == nil {
		size = info.Size()
	}
	w.done = true
	err = errors.Join(w.Sync(), w.Close())
	if err == nil {
		err = os.Rename(w.Name(), w.name)
	}
	if err != nil {
		return 0, errors.Join(err, os.Remove(w.Name()))
	}
	return size, nil
}

// drop takes a file away that was not kept.
func (w *whole) drop() {
	if !w.done {
		_ = w.Close() // what is in it is not wanted
		_ = os.Remove(w.Name())
	}
}
