package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/attune-io/attune"
	"github.com/attune-io/attune/config"
	"github.com/attune-io/attune/node"
)

type replayCommand struct {
	Config  string `help:"Configuration file of the node." placeholder:"FILE" type:"existingfile"`
	DataDir string `help:"Folder of a node that is not running." placeholder:"DIR" type:"path"`
	Output  string `help:"text or json." enum:"text,json" default:"text"`
}

// errDiffers is the end of a replay that found differences.
const errDiffers = attune.Sentinel("the profiles on disk are not what the journal says")

// Run folds the whole journal again and compares with the profiles on disk.
func (c *replayCommand) Run(a *app) error {
	s := settings{Config: c.Config, DataDir: c.DataDir, Dev: c.Config == ""}
	cfg, err := s.read()
	if err != nil {
		return err
	}
	if _, err := os.Stat(cfg.DataDir); errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s is not there; name the data directory of a node: %w", cfg.DataDir, attune.ErrNotFound)
	}
	log, _ := logger(a, config.Log{Level: "warn", Format: "text"})
	bar := newBar(a.stderr, nil)
	rep, err := node.Replay(a.ctx, cfg, log, func(done, all uint64) {
		bar.total = int64(all)                                         //nolint:gosec // a count of records
		bar.show("folding again", int64(done), int64(done), "records") //nolint:gosec // as above
	})
	bar.done()
	if errors.Is(err, attune.ErrBusy) {
		return fmt.Errorf("%w; stop the server first", err)
	}
	if err != nil {
		return err
	}
	if c.Output == "json" {
		e := json.NewEncoder(a.stdout)
		e.SetIndent("", "  ")
		if err := e.Encode(rep); err != nil {
			return err
		}
	} else {
		fmt.Fprintf(a.stdout, "folded %s again: %s of %s parts are equal, byte for byte\n",
			counted(int64(rep.Records), "record"), grouped(int64(rep.Equal)), grouped(int64(rep.Parts))) //nolint:gosec // a count
		if rep.Behind > 0 {
			fmt.Fprintf(a.stdout, "%s left out, newer than the profiles on disk: the next start folds what is left\n", counted(int64(rep.Behind), "record")) //nolint:gosec // a count
		}
		for _, d := range rep.Differences {
			fmt.Fprintf(a.stdout, "  %s: %s\n", d.Key, d.What)
		}
	}
	if rep.Equal != rep.Parts {
		if rep.Parts-rep.Equal == 1 {
			return fmt.Errorf("1 part differs: %w", errDiffers)
		}
		return fmt.Errorf("%d parts differ: %w", rep.Parts-rep.Equal, errDiffers)
	}
	return nil
}
