package profile_test

import (
	"bytes"
	"context"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/attune-io/attune"
	"github.com/attune-io/attune/profile"
	"github.com/attune-io/attune/profile/profiletest"
)

// memory is a store without a disk: quick enough for thousands of crashes. It
// passes the kit, so it is as good a store as any.
type memory struct {
	disk   *platter
	closed bool
	// full makes the next commits fail, before or after they are made true.
	failBefore, failAfter bool
}

// platter is what stays when a memory is closed, or its process is killed.
type platter struct {
	mu      sync.Mutex
	data    map[string][]byte
	journal string
	applied []uint64
}

func (m *memory) use(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	m.disk.mu.Lock()
	defer m.disk.mu.Unlock()
	if m.closed {
		return attune.ErrClosed
	}
	return nil
}

func (m *memory) Get(ctx context.Context, key []byte) ([]byte, error) {
	if err := m.use(ctx); err != nil {
		return nil, err
	}
	m.disk.mu.Lock()
	defer m.disk.mu.Unlock()
	return bytes.Clone(m.disk.data[string(key)]), nil
}

func (m *memory) Scan(ctx context.Context, prefix []byte, fn func(key, value []byte) error) error {
	if err := m.use(ctx); err != nil {
		return err
	}
	m.disk.mu.Lock()
	data := maps.Clone(m.disk.data)
	m.disk.mu.Unlock()
	for _, key := range slices.Sorted(maps.Keys(data)) {
		if strings.HasPrefix(key, string(prefix)) {
			if err := fn([]byte(key), data[key]); err != nil {
				return err
			}
		}
	}
	return nil
}

func (m *memory) Commit(ctx context.Context, b *profile.Batch) error {
	if err := m.use(ctx); err != nil {
		return err
	}
	if m.failBefore {
		return attune.ErrBusy
	}
	m.disk.mu.Lock()
	defer m.disk.mu.Unlock()
	put := func(key, value []byte) error {
		m.disk.data[string(key)] = append([]byte{}, value...)
		return nil
	}
	drop := func(key []byte) error {
		delete(m.disk.data, string(key))
		return nil
	}
	if err := b.Each(put, drop); err != nil {
		return err
	}
	if b.Journal != "" {
		m.disk.journal, m.disk.applied = b.Journal, slices.Clone(b.Applied)
	}
	if m.failAfter {
		return attune.ErrBusy
	}
	return nil
}

func (m *memory) Positions(ctx context.Context) (string, []uint64, error) {
	if err := m.use(ctx); err != nil {
		return "", nil, err
	}
	m.disk.mu.Lock()
	defer m.disk.mu.Unlock()
	return m.disk.journal, slices.Clone(m.disk.applied), nil
}

func (m *memory) Close() error {
	m.disk.mu.Lock()
	defer m.disk.mu.Unlock()
	m.closed = true
	return nil
}

func newPlatter() *platter { return &platter{data: map[string][]byte{}} }

func TestMemoryIsAStore(t *testing.T) {
	var mu sync.Mutex
	disks := map[string]*platter{}
	profiletest.Run(t, func(dir string) (profile.Store, error) {
		mu.Lock()
		defer mu.Unlock()
		if disks[dir] == nil {
			disks[dir] = newPlatter()
		}
		return &memory{disk: disks[dir]}, nil
	})
}
