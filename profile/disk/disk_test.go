package disk_test

import (
	"errors"
	"testing"

	"github.com/attune-io/attune"
	"github.com/attune-io/attune/profile"
	"github.com/attune-io/attune/profile/disk"
	"github.com/attune-io/attune/profile/profiletest"
)

func open(dir string) (profile.Store, error) {
	return disk.Open(disk.Options{Dir: dir, Cache: 1 << 20, NoSync: true})
}

func TestStore(t *testing.T) { profiletest.Run(t, open) }

func TestCrash(t *testing.T) {
	rounds := 10
	if testing.Short() {
		rounds = 3
	}
	profiletest.Crash(t, open, rounds)
}

func TestSecondOpen(t *testing.T) {
	dir := t.TempDir()
	s, err := open(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := open(dir); !errors.Is(err, attune.ErrBusy) {
		t.Errorf("open twice: got %v, want %v", err, attune.ErrBusy)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if s, err = open(dir); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}
