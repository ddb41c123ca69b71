// Package bleve keeps a search index in a folder, with the library of that name.
//
// What is in the folder can be thrown away: a Keeper fills an index that is
// empty. So an index that does not open, whose files are not what was written,
// or that was made under other settings is removed and begun anew, and writes do
// not wait for the disk: a crash leaves an older state, whole, with the
// checksums of that state.
package bleve

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"github.com/blevesearch/bleve/v2"
	"github.com/blevesearch/bleve/v2/analysis"
	"github.com/blevesearch/bleve/v2/document"
	"github.com/blevesearch/bleve/v2/index/scorch"
	"github.com/blevesearch/bleve/v2/search/query"
	index "github.com/blevesearch/bleve_index_api"

	"github.com/attune-io/attune"
	"github.com/attune-io/attune/search"
	"github.com/attune-io/attune/search/terms"
)

// The fields of a document: its words, their first letters, its bucket, and by
// attribute its keywords and numbers.
const (
	wordsField      = "w"
	beginningsField = "p"
	bucketField     = "b"
	keywordPrefix   = "k."
	numberPrefix    = "n."
)

// The keys under which the index keeps what it is.
const (
	sumsKey    = "attune.sums"
	versionKey = "attune.version"
)

// format changes when documents are made in another way.
const format = "1"

// maxFound bounds the ids of one bucket that are listed at once.
const maxFound = 10_000

// Options open an Index.
type Options struct {
	// Dir is the index's own folder; "" keeps it in memory.
	Dir      string
	Settings search.Settings
	Log      *slog.Logger // nil logs nothing
}

// Index is a search.Index.
type Index struct {
	o       Options
	analyse *terms.Analyser

	// mu guards against Close and a new beginning, which exchange ix.
	mu      sync.RWMutex
	ix      bleve.Index
	damaged bool
}

// Open opens the index in o.Dir, or begins a new one there.
func Open(o Options) (*Index, error) {
	if err := o.Settings.Validate(); err != nil {
		return nil, fmt.Errorf("search: %w", err)
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	a, err := terms.New(o.Settings.Language)
	if err != nil {
		return nil, err
	}
	x := &Index{o: o, analyse: a}
	if o.Dir != "" {
		if _, err := os.Stat(o.Dir); err == nil {
			ix, err := x.reopen()
			if err == nil {
				x.ix = ix
				return x, nil
			}
			o.Log.Warn("the search index is made again", slog.String("dir", o.Dir), slog.Any("reason", err))
		}
	}
	return x, x.begin()
}

// reopen opens what is in the folder, when all of it is as it was written.
func (x *Index) reopen() (ix bleve.Index, err error) {
	if err := whole(filepath.Join(x.o.Dir, "store")); err != nil {
		return nil, err
	}
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("open the search index: %v: %w", p, attune.ErrCorrupt)
		}
	}()
	if ix, err = bleve.OpenUsing(x.o.Dir, runtime()); err != nil {
		return nil, err
	}
	version, err := ix.GetInternal([]byte(versionKey))
	if err == nil && string(version) != x.version() {
		err = errors.New("it was made under other settings")
	}
	if err != nil {
		return nil, errors.Join(err, ix.Close())
	}
	return ix, nil
}

// runtime configures the store: a batch is findable before it is on the disk,
// one snapshot is kept, and a folder that another process holds is an error.
func runtime() map[string]any {
	return map[string]any{"unsafe_batch": true, "numSnapshotsToKeep": 1, "bolt_timeout": "2s"}
}

func (x *Index) version() string {
	return format + "/" + strconv.FormatUint(x.o.Settings.Version(), 16)
}

// begin makes an empty index, in place of whatever there is. The caller holds
// mu, or is alone.
func (x *Index) begin() error {
	if x.ix != nil {
		_ = x.ix.Close() // it is thrown away
		x.ix = nil
	}
	m := bleve.NewIndexMapping()
	m.ScoringModel = index.BM25Scoring
	m.DefaultMapping.Dynamic = false
	var err error
	if x.o.Dir != "" {
		if err := os.RemoveAll(x.o.Dir); err != nil {
			return fmt.Errorf("search index in %s: %w", x.o.Dir, err)
		}
	}
	x.ix, err = bleve.NewUsing(x.o.Dir, m, scorch.Name, scorch.Name, runtime())
	if err == nil {
		err = x.ix.SetInternal([]byte(versionKey), []byte(x.version()))
	}
	if err != nil {
		return fmt.Errorf("search index in %s: %w", x.o.Dir, err)
	}
	x.damaged = false
	return nil
}

// whole reports, as an error, a file of the store whose checksum is not that of
// its bytes: the library reads them where they lie, and trusts them.
func whole(dir string) error {
	files, err := filepath.Glob(filepath.Join(dir, "*.zap"))
	if err != nil {
		return err
	}
	for _, name := range files {
		if err := checksum(name); err != nil {
			return err
		}
	}
	return nil
}

// checksum reads a segment: its last 4 bytes are the CRC-32 of all before. One
// that is not finished belongs to no snapshot, and does no harm, but is as rare
// as a crash.
func checksum(name string) error {
	f, err := os.Open(name) //nolint:gosec // a file of our own folder
	if err != nil {
		return err
	}
	defer f.Close() //nolint:errcheck // it was only read
	info, err := f.Stat()
	if err != nil {
		return err
	}
	const size = 4
	if info.Size() < size {
		return fmt.Errorf("%s has %d bytes: %w", name, info.Size(), attune.ErrCorrupt)
	}
	sum := crc32.NewIEEE()
	if _, err := io.CopyN(sum, f, info.Size()-size); err != nil {
		return fmt.Errorf("read %s: %w", name, err)
	}
	var want [size]byte
	if _, err := io.ReadFull(f, want[:]); err != nil {
		return fmt.Errorf("read %s: %w", name, err)
	}
	if binary.BigEndian.Uint32(want[:]) != sum.Sum32() {
		return fmt.Errorf("%s is not what was written: %w", name, attune.ErrCorrupt)
	}
	return nil
}

// Apply writes b.
func (x *Index) Apply(ctx context.Context, b *search.Batch) (err error) {
	x.mu.RLock()
	defer x.mu.RUnlock()
	if x.ix == nil {
		return fmt.Errorf("search index: %w", attune.ErrClosed)
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	defer x.guard(&err)
	batch := x.ix.NewBatch()
	for i := range b.Put {
		if err := batch.IndexAdvanced(x.document(&b.Put[i])); err != nil {
			return fmt.Errorf("search index, item %q: %w", b.Put[i].ID, err)
		}
	}
	for _, id := range b.Delete {
		batch.Delete(id)
	}
	if b.Sums != nil {
		batch.SetInternal([]byte(sumsKey), encode(b.Sums))
	}
	if err := x.ix.Batch(batch); err != nil {
		return fmt.Errorf("search index: %w", err)
	}
	return nil
}

func (x *Index) document(d *search.Document) *document.Document {
	out := document.NewDocument(d.ID)
	out.AddField(document.NewTextFieldCustom(wordsField, nil, nil, index.IndexField, given(x.analyse.Append(nil, d.Text))))
	out.AddField(document.NewTextFieldCustom(beginningsField, nil, nil, index.IndexField, given(x.analyse.AppendBeginnings(nil, d.Text))))
	bucket := strconv.Itoa(search.BucketOf(d.ID))
	out.AddField(document.NewTextFieldCustom(bucketField, nil, []byte(bucket), index.IndexField|index.SkipFreqNorm, nil))
	for _, k := range d.Keywords {
		out.AddField(document.NewTextFieldCustom(keywordPrefix+k.Attribute, nil, []byte(k.Value),
			index.IndexField|index.DocValues|index.SkipFreqNorm|index.SkipDVCompression, nil))
	}
	for _, n := range d.Numbers {
		out.AddField(document.NewNumericFieldWithIndexingOptions(numberPrefix+n.Attribute, nil, n.Value, index.IndexField))
	}
	return out
}

// given is an analyser whose terms are known.
type given []string

// Analyze returns the terms. Its argument is not looked at.
func (g given) Analyze([]byte) analysis.TokenStream {
	stream, tokens := make(analysis.TokenStream, len(g)), make([]analysis.Token, len(g))
	for i, term := range g {
		tokens[i] = analysis.Token{Term: []byte(term), Type: analysis.AlphaNumeric, Position: i + 1}
		stream[i] = &tokens[i]
	}
	return stream
}

func encode(s *search.Sums) []byte {
	b := make([]byte, 0, 8*len(s))
	for _, one := range s {
		b = binary.LittleEndian.AppendUint64(b, one)
	}
	return b
}

// State returns what the index holds. One that was found to be damaged is begun
// anew first.
func (x *Index) State(context.Context) (s search.State, err error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.ix == nil {
		return s, fmt.Errorf("search index: %w", attune.ErrClosed)
	}
	if x.damaged {
		if err := x.begin(); err != nil {
			return s, err
		}
	}
	n, err := x.ix.DocCount()
	if err != nil {
		return s, fmt.Errorf("search index: %w", err)
	}
	s.Documents = int(min(n, math.MaxInt32))
	raw, err := x.ix.GetInternal([]byte(sumsKey))
	if err != nil {
		return s, fmt.Errorf("search index: %w", err)
	}
	if len(raw) == 8*len(s.Sums) {
		for i := range s.Sums {
			s.Sums[i] = binary.LittleEndian.Uint64(raw[8*i:])
		}
	}
	return s, nil
}

// IDs returns the ids of a bucket.
func (x *Index) IDs(ctx context.Context, bucket int) (ids []string, err error) {
	x.mu.RLock()
	defer x.mu.RUnlock()
	if x.ix == nil {
		return nil, fmt.Errorf("search index: %w", attune.ErrClosed)
	}
	defer x.guard(&err)
	q := query.NewTermQuery(strconv.Itoa(bucket))
	q.SetField(bucketField)
	for {
		r := bleve.NewSearchRequestOptions(q, maxFound, len(ids), false)
		r.SortBy([]string{"_id"})
		found, err := x.ix.SearchInContext(ctx, r)
		if err != nil {
			return nil, fmt.Errorf("search index: %w", err)
		}
		for _, hit := range found.Hits {
			ids = append(ids, hit.ID)
		}
		if len(found.Hits) < maxFound {
			return ids, nil
		}
	}
}

// guard turns a panic of the library, which reads files as they lie, into an
// error, and notes that the index is damaged.
func (x *Index) guard(err *error) {
	p := recover()
	if p == nil {
		return
	}
	*err = fmt.Errorf("search index: %v: %w", p, attune.ErrCorrupt)
	x.o.Log.Error("the search index is damaged", slog.Any("panic", p))
	// The caller holds the reading lock.
	go func() {
		x.mu.Lock()
		defer x.mu.Unlock()
		x.damaged = true
	}()
}

// patience is how long Close waits for the disk: what is not written by then is
// written again from the catalog.
const patience = 5 * time.Second

// Close frees the index. What was applied is written first, if the disk takes it.
func (x *Index) Close() error {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.ix == nil {
		return nil
	}
	err := errors.Join(x.flush(), x.ix.Close())
	x.ix = nil
	return err
}

// flush waits until everything is on the disk.
func (x *Index) flush() error {
	if x.o.Dir == "" || x.damaged {
		return nil
	}
	written := make(chan error, 1) // holds the one answer, whoever still waits for it
	batch := x.ix.NewBatch()
	batch.SetInternal([]byte(versionKey), []byte(x.version()))
	batch.SetPersistedCallback(func(err error) { written <- err })
	if err := x.ix.Batch(batch); err != nil {
		return fmt.Errorf("search index: %w", err)
	}
	late := time.NewTimer(patience)
	defer late.Stop()
	select {
	case err := <-written:
		return err
	case <-late.C:
		x.o.Log.Warn("the search index is closed before all of it is on the disk", slog.String("dir", x.o.Dir))
		return nil
	}
}
