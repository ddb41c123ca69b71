package destination

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"

	"github.com/attune-io/attune"
	"github.com/attune-io/attune/journal"
)

// placeFormat is the first thing in every file of this package.
const placeFormat = 1

// place is how far a destination is: what is written to disk.
type place struct {
	Format  int    `json:"format"`
	Journal string `json:"journal"`
	// Read is, per partition, the newest offset that was looked at.
	Read []uint64 `json:"read"`
	// Open are, per partition, the offsets up to Read whose messages are
	// neither taken nor given up, rising.
	Open [][]uint64 `json:"open"`
}

// placeAtEnd is the place of a destination that begins now: it gets what comes.
func placeAtEnd(s journal.Status) *place {
	return &place{Format: placeFormat, Journal: s.ID, Read: slices.Clone(s.Last), Open: make([][]uint64, len(s.Last))}
}

// check returns why p is not one of the journal's, or nil.
func (p *place) check(file string, s journal.Status) error {
	switch {
	case p.Format != placeFormat:
		return fmt.Errorf("%s: format %d, this build reads %d: %w", file, p.Format, placeFormat, attune.ErrCorrupt)
	case p.Journal != s.ID || len(p.Read) != len(s.Last) || len(p.Open) != len(s.Last):
		return fmt.Errorf("%s: it is of journal %s with %d partitions, this one is %s with %d; move the file away to begin with what comes: %w",
			file, p.Journal, len(p.Read), s.ID, len(s.Last), attune.ErrInvalid)
	}
	for i, at := range p.Read {
		if at > s.Last[i] {
			return fmt.Errorf("%s: it is at offset %d of partition %d, the journal ends at %d: %w", file, at, i, s.Last[i], attune.ErrCorrupt)
		}
	}
	return nil
}

// letters is the file of dead letters.
type letters struct {
	Format  int           `json:"format"`
	Letters []*DeadLetter `json:"letters"`
}

// DeadLetter is a message that was given up.
type DeadLetter struct {
	ID     string          `json:"id"`
	Type   string          `json:"type"`
	Person string          `json:"key"`
	Time   attune.Millis   `json:"time"` // when it happened
	Body   json.RawMessage `json:"body"`
	// Reason and Status are of the last attempt.
	Reason   string        `json:"reason"`
	Status   int           `json:"status,omitempty"`
	Attempts int           `json:"attempts"`
	GivenUp  attune.Millis `json:"given_up"`

	retrying bool
}

func (d *DeadLetter) message() *Message {
	return &Message{ID: d.ID, Type: d.Type, Person: d.Person, Time: d.Time, Body: d.Body}
}

// readJSON reads a file into v, and reports false when there is none.
func readJSON(file string, v any) (bool, error) {
	b, err := os.ReadFile(file) //nolint:gosec // a file of our own folder
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if err := json.Unmarshal(b, v); err != nil {
		return false, fmt.Errorf("%s does not read (%s); restore it, or move it away to begin with what comes: %w", file, err.Error(), attune.ErrCorrupt)
	}
	return true, nil
}

// writeJSON replaces a file by v as a whole: after a crash there is the old
// one or the new one.
func writeJSON(file string, v any) (err error) {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(file), unfinished(file))
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(f.Name()))
		}
	}()
	if _, err = f.Write(b); err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err = os.Rename(f.Name(), file); err != nil {
		return err
	}
	return syncDir(filepath.Dir(file))
}

// unfinished is the pattern of the names that file is written under before it
// is whole.
func unfinished(file string) string { return "." + filepath.Base(file) + ".new-*" }

// clean removes what a crash left of writing file.
func clean(file string) error {
	left, err := filepath.Glob(filepath.Join(filepath.Dir(file), unfinished(file)))
	for _, name := range left {
		err = errors.Join(err, os.Remove(name))
	}
	return err
}

// syncDir makes a rename in dir durable. Windows has no such call.
func syncDir(dir string) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	d, err := os.Open(dir) //nolint:gosec // our own folder
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
