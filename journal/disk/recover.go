package disk

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"

	"github.com/cockroachdb/pebble/v2"

	"github.com/attune-io/attune"
)

// ends is stored by Close and taken away by Open: with it the next Open knows
// that the journal was closed, and how far it reached then.
type ends struct {
	Last []uint64 `json:"last"`
}

// recover finds the ends of the partitions, cuts what does not read at their
// tails, and says in the log what the last run left.
func (j *Journal) recover() error {
	b := j.db.NewBatch()
	defer func() { _ = b.Close() }()
	for i, p := range j.parts {
		mark, err := j.trimmedTo(i)
		if err != nil {
			return err
		}
		p.first = max(mark, 1)
		if p.last, err = j.findLast(b, i, p.first); err != nil {
			return err
		}
	}
	if err := j.sayRecovered(b); err != nil {
		return err
	}
	if err := b.Commit(pebble.Sync); err != nil {
		return fmt.Errorf("journal %s: %w", j.dir, err)
	}
	return j.fault.err()
}

func trimKey(partition int) []byte {
	return binary.BigEndian.AppendUint16(metaKey("trim"), uint16(partition)) //nolint:gosec // below MaxPartitions
}

// trimmedTo returns the first offset that Trim left in the partition, 0 if it
// never ran there.
func (j *Journal) trimmedTo(partition int) (uint64, error) {
	v, err := j.get(trimKey(partition))
	if err != nil {
		return 0, fmt.Errorf("journal %s: read what was trimmed: %w", j.dir, err)
	}
	switch len(v) {
	case 0:
		return 0, nil
	case 8:
		return binary.BigEndian.Uint64(v), nil
	default:
		return 0, fmt.Errorf("journal %s: how far partition %d was trimmed does not read: %w", j.dir, partition, attune.ErrCorrupt)
	}
}

// findLast returns the offset of the newest record of the partition that
// reads. Those behind it are deleted in b.
func (j *Journal) findLast(b *pebble.Batch, partition int, first uint64) (uint64, error) {
	it, err := j.db.NewIter(&pebble.IterOptions{
		LowerBound: appendKey(nil, partition, first),
		UpperBound: appendKey(nil, partition+1, 0),
	})
	if err != nil {
		return 0, fmt.Errorf("journal %s: %w", j.dir, err)
	}
	last, cut := first-1, 0
	var why error
	for ok := it.Last(); ok; ok = it.Prev() {
		var rec attune.Record
		v, err := it.ValueAndErr()
		if err != nil {
			return 0, errors.Join(j.damaged(partition, err), it.Close())
		}
		if why = readValue(j.crc, v, it.Key(), &rec); why == nil {
			last = binary.BigEndian.Uint64(it.Key()[2:])
			break
		}
		cut++
		if err := b.Delete(it.Key(), nil); err != nil {
			return 0, errors.Join(err, it.Close())
		}
	}
	if err := errors.Join(it.Error(), it.Close()); err != nil {
		return 0, j.damaged(partition, err)
	}
	if cut > 0 {
		j.log.Error("journal: cut records that do not read at the end of a partition",
			slog.String("dir", j.dir), slog.Int("partition", partition), slog.Int("records", cut), slog.Uint64("last", last))
	}
	return last, nil
}

// damaged is the error of a partition whose end cannot be found. Cutting there
// would give offsets again that were acknowledged, so it is not done.
func (j *Journal) damaged(partition int, err error) error {
	return fmt.Errorf("journal %s: the end of partition %d does not read (%w); restore the directory from a copy: %w", j.dir, partition, err, attune.ErrCorrupt)
}

// sayRecovered compares what is there with what Close said, logs it, and takes
// Close's word away in b.
func (j *Journal) sayRecovered(b *pebble.Batch) error {
	v, err := j.get(metaKey("closed"))
	if err != nil {
		return fmt.Errorf("journal %s: read how it was closed: %w", j.dir, err)
	}
	last := j.Status().Last
	if v == nil {
		j.log.Warn("journal: was not closed; recovered to the last whole record",
			slog.String("dir", j.dir), slog.Any("last", last))
		return nil
	}
	var e ends
	if err := json.Unmarshal(v, &e); err != nil || len(e.Last) != len(last) {
		return fmt.Errorf("journal %s: how it was closed does not read: %w", j.dir, attune.ErrCorrupt)
	}
	for i, was := range e.Last {
		if last[i] < was {
			j.log.Error("journal: records that were there when it was closed are gone",
				slog.String("dir", j.dir), slog.Int("partition", i), slog.Uint64("was", was), slog.Uint64("last", last[i]))
		}
	}
	return b.Delete(metaKey("closed"), nil)
}

// sayClean stores that the journal was closed, and how far it reaches.
func (j *Journal) sayClean() error {
	if j.fault.failed() {
		return nil // the next Open has to look
	}
	v, err := json.Marshal(ends{Last: j.Status().Last})
	if err != nil {
		return fmt.Errorf("close journal %s: %w", j.dir, err)
	}
	if err := j.db.Set(metaKey("closed"), v, pebble.Sync); err != nil {
		return fmt.Errorf("close journal %s: %w", j.dir, err)
	}
	return nil
}
