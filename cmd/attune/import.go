package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"runtime/debug"
	"time"

	"github.com/attune-io/attune"
	"github.com/attune-io/attune/collect/file"
	"github.com/attune-io/attune/config"
	"github.com/attune-io/attune/feature"
	"github.com/attune-io/attune/node"
)

type importCommand struct {
	Files     []string `arg:"" help:"Files of events, gzipped or not." type:"existingfile" name:"file"`
	Format    string   `help:"segment (JSON lines), csv, tsv, parquet, metarank, combined (an access log), google-merchant or shopify; without it the file tells." enum:",segment,csv,tsv,parquet,metarank,combined,google-merchant,shopify" default:""`
	Mapping   string   `help:"What the columns of a table mean (YAML)." placeholder:"FILE" type:"existingfile"`
	ShiftTime bool     `help:"Move all times so that the newest event is now."`
	Rejects   string   `help:"Where rows that cannot be used go, with reasons (JSON lines)." placeholder:"FILE" type:"path"`
	Parallel  int      `help:"Files that are read and stored at once." default:"1" placeholder:"N"`
	Restart   bool     `help:"Begin at the beginning, also where an import of the same file was interrupted."`
	Source    string   `help:"Source the events are marked as." placeholder:"ID"`
	Config    string   `help:"Configuration file of the node." placeholder:"FILE" type:"existingfile"`
	DataDir   string   `help:"Folder of a node that is not running." placeholder:"DIR" type:"path" xor:"into"`
	URL       string   `help:"Address of a running server." placeholder:"URL" xor:"into"`
	Secret    string   `help:"The running server's secret." env:"ATTUNE_SERVER_SECRET"`
	DryRun    bool     `help:"Read everything, store nothing."`
	Output    string   `help:"text or json." enum:"text,json" default:"text"`
}

// imported is the summary, with what only the command knows.
type imported struct {
	file.Summary

	Seconds   float64 `json:"seconds"`
	PerSecond float64 `json:"events_per_second"` // read, stored and, in a data directory, folded
	DryRun    bool    `json:"dry_run,omitempty"`
	Known     int64   `json:"known,omitempty"`    // accepted events that changed nothing, as the fold into a data directory counts them
	DataDir   string  `json:"data_dir,omitempty"` // that was written
	URL       string  `json:"url,omitempty"`      // of the server that was sent to
	Learnt    *learnt `json:"learnt,omitempty"`   // of a dry run: what there is to learn
}

// where says where the events went.
func (i *imported) where() string {
	switch {
	case i.DataDir != "":
		return " into " + i.DataDir
	case i.URL != "":
		return " into " + i.URL
	default:
		return ""
	}
}

// Run imports.
func (c *importCommand) Run(a *app) error {
	in, err := c.prepare()
	if err != nil {
		return err
	}
	var rejects rejects
	bar := newBar(a.stderr, c.Files)
	in.Progress = bar.progress
	began := time.Now()
	var sum file.Summary
	var dir string
	var known int64
	var learnt *learnt
	switch {
	case c.DryRun:
		learnt, sum, err = c.dry(a, in, &rejects)
	case c.URL != "":
		if in.Sink, err = newRemote(c.URL, c.Secret); err == nil {
			if err = rejects.open(&in, c.Rejects, false); err == nil {
				sum, err = file.Run(a.ctx, in)
			}
		}
	default:
		dir, known, sum, err = c.local(a, in, &rejects)
	}
	bar.done()
	if err := errors.Join(err, rejects.close()); err != nil {
		if sum.Accepted > 0 && !c.DryRun {
			return fmt.Errorf("%w\n%s stored; the same command goes on, since what is stored counts once", err, counted(sum.Accepted, "event"))
		}
		return err
	}
	took := time.Since(began).Seconds()
	return c.print(a, imported{Summary: sum, Seconds: took, PerSecond: float64(sum.Events) / max(took, 1e-3), DryRun: c.DryRun, Known: known, DataDir: dir, URL: c.URL, Learnt: learnt})
}

// prepare reads the mapping.
func (c *importCommand) prepare() (in file.Import, err error) {
	in = file.Import{Files: c.Files, Options: file.Options{Format: file.Format(c.Format)}, Parallel: c.Parallel}
	if c.Parallel < 1 || c.Parallel > maxParallel {
		return in, fmt.Errorf("--parallel %d: want 1 to %d: %w", c.Parallel, maxParallel, attune.ErrInvalid)
	}
	if c.Mapping != "" {
		text, err := os.ReadFile(c.Mapping)
		if err != nil {
			return in, err
		}
		if in.Options.Mapping, err = file.ParseMapping(text); err != nil {
			return in, fmt.Errorf("%s: %w", c.Mapping, err)
		}
	}
	if c.ShiftTime {
		in.ShiftTo = attune.MillisOf(time.Now())
	}
	return in, nil
}

const maxParallel = 64

// rejects is the file of rows that were not taken.
type rejects struct {
	file *os.File // nil: none was asked for
	w    *bufio.Writer
}

// open opens name and makes it in's; more adds to what an earlier run wrote.
func (r *rejects) open(in *file.Import, name string, more bool) (err error) { //nolint:revive // it is what to do
	if name == "" {
		return nil
	}
	flags := os.O_CREATE | os.O_WRONLY | os.O_TRUNC
	if more {
		flags = os.O_CREATE | os.O_WRONLY | os.O_APPEND
	}
	if r.file, err = os.OpenFile(name, flags, 0o600); err != nil { //nolint:gosec // whoever imports names it; it holds what people did
		return err
	}
	r.w = bufio.NewWriter(r.file)
	in.Rejects = r.w
	return nil
}

func (r *rejects) close() error {
	if r.file == nil {
		return nil
	}
	return errors.Join(r.w.Flush(), r.file.Close())
}

// dry reads everything and stores nothing.
func (c *importCommand) dry(a *app, in file.Import, rejects *rejects) (*learnt, file.Summary, error) {
	cfg, err := c.config()
	if err != nil {
		return nil, file.Summary{}, err
	}
	to, err := newDry(c.Source, func() attune.Millis { return attune.MillisOf(time.Now()) })
	if err != nil {
		return nil, file.Summary{}, err
	}
	in.Sink = to
	if err := rejects.open(&in, c.Rejects, false); err != nil {
		return nil, file.Summary{}, err
	}
	sum, err := file.Run(a.ctx, in)
	return to.seen.learnt(cfg.AllFeatures()), sum, err
}

// largeEvent is how large an imported event may be: an order of a thousand
// lines is no mistake in a file that somebody picked.
const largeEvent = 4 << 20

// What an import asks for itself.
const (
	importCheckpoint = feature.Duration(2 * time.Second)
	importTail       = 24 << 20
	importGC         = 150 // percent
	importMemory     = 780 << 20
)

// local imports into the data directory, dir, of a node that is not running.
// known is how many of the accepted events changed nothing.
func (c *importCommand) local(a *app, in file.Import, rejects *rejects) (dir string, known int64, sum file.Summary, err error) {
	cfg, err := c.config()
	if err != nil {
		return "", 0, sum, err
	}
	log, _ := logger(a, config.Log{Level: "warn", Format: "text"})
	n, err := openLocal(a, cfg, log)
	if err != nil {
		return "", 0, sum, err
	}
	if os.Getenv("GOGC") == "" {
		// An import allocates much and keeps little: memory, which is free while
		// nobody is served, buys a seventh of its time.
		defer debug.SetGCPercent(debug.SetGCPercent(importGC))
	}
	if os.Getenv("GOMEMLIMIT") == "" {
		defer debug.SetMemoryLimit(debug.SetMemoryLimit(importMemory))
	}
	in.Sink = n.Sink(c.Source)
	if !c.Restart {
		in.Places = n.Places(c.Source)
	}
	if err := rejects.open(&in, c.Rejects, in.Places.Resumes(&in)); err != nil {
		return "", 0, sum, errors.Join(err, n.Close())
	}
	err = n.Work(a.ctx, importing(&sum, in))
	return cfg.DataDir, max(0, sum.Accepted-int64(n.Folded())), sum, err //nolint:gosec // a count
}

// config is the node's own, so that the same features are folded.
func (c *importCommand) config() (config.Config, error) {
	s := settings{Config: c.Config, DataDir: c.DataDir, Dev: c.Config == ""}
	return s.read()
}

// openLocal opens a node that will not listen.
func openLocal(a *app, cfg config.Config, log *slog.Logger) (*node.Node, error) {
	cfg.Limits.EventBytes = max(cfg.Limits.EventBytes, largeEvent)
	// Nobody reads meanwhile, and a crash costs a repeated import. So people
	// are written seldom, and the memory that readers would have keeps them.
	cfg.Profiles.Checkpoint = max(cfg.Profiles.Checkpoint, importCheckpoint)
	cfg.Journal.TailBytes = min(cfg.Journal.TailBytes, importTail)
	n, err := node.Open(a.ctx, cfg, node.Options{Log: log})
	if errors.Is(err, attune.ErrBusy) {
		return nil, fmt.Errorf("%w; a running server takes imports with --url and --secret", err)
	}
	return n, err
}

func (c *importCommand) print(a *app, sum imported) error {
	if c.Output == "json" {
		e := json.NewEncoder(a.stdout)
		e.SetIndent("", "  ")
		return e.Encode(sum)
	}
	done := "imported"
	if c.DryRun {
		done = "would import"
	}
	fmt.Fprintf(a.stdout, "%s %s and %s of %s%s in %.1f s (%s events/s)\n", done, counted(sum.Accepted, "event"),
		counted(sum.Items, "item"), counted(int64(sum.Files), "file"), sum.where(), sum.Seconds, grouped(int64(sum.PerSecond)))
	if sum.Resumed > 0 {
		fmt.Fprintf(a.stdout, "went on behind %s that an interrupted import had taken; --restart begins anew\n", counted(sum.Resumed, "row"))
	}
	if sum.Known > 0 {
		fmt.Fprintf(a.stdout, "%s of them changed nothing: known already, or of bots or without consent\n", grouped(sum.Known))
	}
	if sum.Newest != 0 {
		fmt.Fprintf(a.stdout, "newest event: %s\n", sum.Newest)
	}
	if sum.Learnt != nil {
		sum.Learnt.print(a.stdout)
	}
	printReasons(a.stdout, "left out by the mapping", sum.Excluded, sum.ExcludeReasons)
	printReasons(a.stdout, "rejected", sum.Rejected, sum.Reasons)
	if sum.Rejected > 0 && c.Rejects == "" {
		fmt.Fprintln(a.stdout, "--rejects FILE writes every rejected row down with its reason")
	}
	if !c.DryRun {
		fmt.Fprintln(a.stdout, "importing the same files again changes nothing")
	}
	return nil
}
