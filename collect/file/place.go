package file

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"

	"github.com/goccy/go-yaml"

	"github.com/attune-io/attune"
)

// Places remembers how far files were taken, in a folder of its own beside what
// they were taken into. A file is known by its size and the hash of its head,
// by its base name, which messageIds are made of, and by how it is read. A place that does not read is no
// place: the file then begins anew, and what is durable counts once.
//
// A nil Places knows nothing and keeps nothing. It is for one import at a time.
type Places struct {
	// Dir is made when there is something to keep.
	Dir string
	// Journal is where events go: a place in another one says nothing.
	Journal string
	// Source marks the events.
	Source string
}

// Place is how far a file was taken.
type Place struct {
	File    string        `json:"file"` // its name then, for people
	Size    int64         `json:"size"`
	Journal string        `json:"journal"`
	Taken   int64         `json:"taken"` // rows and faults, from the beginning
	Shift   attune.Millis `json:"shift_ms,omitempty"`
	Done    bool          `json:"done,omitempty"`

	key string
}

// headBytes of a file are what it is known by.
const headBytes = 64 << 10

// of returns the place of a file; of one that is not known, the beginning.
func (p *Places) of(name string, o *Options, shifted bool) (Place, error) {
	if p == nil {
		return Place{}, nil
	}
	f, err := os.Open(name) //nolint:gosec // whoever imports names the file
	if err != nil {
		return Place{}, err
	}
	defer f.Close() //nolint:errcheck // it was only read
	head, err := io.ReadAll(io.LimitReader(f, headBytes))
	if err != nil {
		return Place{}, fmt.Errorf("read %s: %w", name, err)
	}
	info, err := f.Stat()
	if err != nil {
		return Place{}, err
	}
	mapping, err := yaml.Marshal(o.Mapping)
	if err != nil {
		return Place{}, fmt.Errorf("write the mapping of %s down: %w", name, err)
	}
	how := fmt.Sprintf("%d %q %q %q %v %d ", info.Size(), filepath.Base(name), o.Format, p.Source, shifted, attune.Hash(string(mapping)))
	place := Place{
		File: name, Size: info.Size(), Journal: p.Journal,
		key: strconv.FormatUint(attune.Hash(how+string(head)), 36),
	}
	text, err := os.ReadFile(p.path(&place))
	if errors.Is(err, fs.ErrNotExist) {
		return place, nil
	}
	if err != nil {
		return place, err
	}
	var kept Place
	if json.Unmarshal(text, &kept) == nil && kept.Journal == p.Journal && kept.Size == place.Size && kept.Taken >= 0 {
		kept.key, kept.File = place.key, name
		return kept, nil
	}
	return place, nil
}

// Resumes reports whether one of the files was taken in part.
func (p *Places) Resumes(in *Import) bool {
	if p == nil {
		return false
	}
	for _, name := range in.Files {
		if place, err := p.of(name, &in.Options, in.ShiftTo != 0); err == nil && place.Taken > 0 {
			return true
		}
	}
	return false
}

func (p *Places) path(place *Place) string { return filepath.Join(p.Dir, place.key+".json") }

// keep writes place down. It need not survive a power loss, only never be ahead
// of what does: what is durable is so before keep is called.
func (p *Places) keep(place *Place) error {
	if p == nil {
		return nil
	}
	text, err := json.Marshal(place)
	if err != nil {
		return fmt.Errorf("encode the place of %s: %w", place.File, err)
	}
	if err := os.MkdirAll(p.Dir, 0o700); err != nil {
		return fmt.Errorf("keep the place of %s: %w", place.File, err)
	}
	path := p.path(place)
	if err := os.WriteFile(path+".new", text, 0o600); err != nil {
		return fmt.Errorf("keep the place of %s: %w", place.File, err)
	}
	return os.Rename(path+".new", path)
}

// forget takes a place away.
func (p *Places) forget(place *Place) error {
	if p == nil {
		return nil
	}
	if err := os.Remove(p.path(place)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	_ = os.Remove(p.Dir) // as long as other places are in it, it stays
	return nil
}
