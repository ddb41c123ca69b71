package pipeline

import (
	"context"
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/attune-io/attune/feature"
	"github.com/attune-io/attune/profile"
)

// tableFeatures is the one row that says which definitions the parts of a
// store were folded with: their hashes, eight bytes each.
const tableFeatures = "x/f"

// Unfolded returns the names of the definitions of sets that the state in store
// was not folded with, so that they have no history there; nil for a store
// without a checkpoint. Derived ones have none. A definition that is gone, or whose ttl changed, is not
// among them: the others have what they need.
func Unfolded(ctx context.Context, store profile.Store, sets ...*feature.Set) ([]string, error) {
	id, _, err := store.Positions(ctx)
	if err != nil || id == "" {
		return nil, err
	}
	row, err := store.Get(ctx, []byte(tableFeatures))
	if err != nil {
		return nil, fmt.Errorf("which features were folded: %w", err)
	}
	var have []uint64
	for ; len(row) >= 8; row = row[8:] {
		have = append(have, binary.BigEndian.Uint64(row))
	}
	var names []string
	for _, set := range sets {
		for i, d := range set.Definitions() {
			if d.Kind != feature.KindDerived && !slices.Contains(have, set.Hash(i)) {
				names = append(names, d.Name)
			}
		}
	}
	return names, nil
}

// NoteFeatures writes that the state in store is folded with sets from here on.
func NoteFeatures(ctx context.Context, store profile.Store, sets ...*feature.Set) error {
	var row []byte
	for _, set := range sets {
		for i := range set.Definitions() {
			row = binary.BigEndian.AppendUint64(row, set.Hash(i))
		}
	}
	var b profile.Batch
	b.Put([]byte(tableFeatures), row)
	if err := store.Commit(ctx, &b); err != nil {
		return fmt.Errorf("note which features are folded: %w", err)
	}
	return nil
}
