// Package file reads events out of files: Segment calls as JSON lines, tables
// with a mapping, and Metarank's event format, each gzipped or not.
//
// It guarantees that a file is read as a stream in bounded memory, that a row
// which does not read is handed back with its reason and never ends the
// reading, and that the same file gives the same messageIds, so that what was
// imported before counts once. It does not store anything: a Sink does.
package file

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"

	"github.com/klauspost/compress/gzip"
	"github.com/tidwall/gjson"

	"github.com/attune-io/attune"
)

// Format is how a file says what happened.
type Format string

// The formats.
const (
	// Auto looks at the name, then at the first line.
	Auto Format = ""
	// Segment is one call a line, or {"batch":[…]} with several.
	Segment Format = "segment"
	// CSV and TSV are tables (RFC 4180) with a header; they need a Mapping.
	CSV Format = "csv"
	TSV Format = "tsv"
	// Metarank is Metarank's event format, which RankLens is published in:
	// item, user, ranking and interaction, one a line.
	Metarank Format = "metarank"
	// Parquet is a table too (Apache Parquet), and needs a Mapping. Its rows are
	// numbered from 2 on, as those of a table with a header.
	Parquet Format = "parquet"
	// Merchant and Shopify are feeds of items: Google Merchant Center's product
	// data as RSS, Atom or a table, and Shopify's export of products.
	Merchant Format = "google-merchant"
	Shopify  Format = "shopify"
	// Combined is a web server's access log, a request a line; it needs a
	// Mapping.
	Combined Format = "combined"
)

// Options say how a file is read.
type Options struct {
	// Name is what messageIds are made from, beside the row; "" is the file's
	// base name without ".gz". The same name and rows give the same ids.
	Name   string
	Format Format
	// Mapping is required for CSV, TSV and Combined, and not used otherwise.
	Mapping *Mapping
	// Shift is added to every time, in milliseconds.
	Shift attune.Millis
	// MaxLine bounds a line and a table's record, in bytes; 0 is 4 MiB.
	MaxLine int
}

// Row is what one or more rows of a file came to: an event, or an item.
type Row struct {
	// Number is the line, from 1, on which it began.
	Number int64
	// Event is a Segment call, valid for as long as the caller likes. Nil for
	// an item.
	Event []byte
	// Item is what a feed says of an item; nil for an event.
	Item *attune.Item
	// Time is when it happened, shifted; 0 when the file does not say.
	Time attune.Millis
}

// Fault is a row that could not be used. Reading goes on behind it.
type Fault struct {
	Row    int64
	Reason string
	Raw    string // at most 4 KiB of it
}

// Error says what is wrong with which row.
func (f *Fault) Error() string { return fmt.Sprintf("row %d: %s", f.Row, f.Reason) }

const maxRaw = 4 << 10

func faultAt(row int64, raw []byte, format string, args ...any) *Fault {
	return &Fault{Row: row, Reason: fmt.Sprintf(format, args...), Raw: string(raw[:min(len(raw), maxRaw)])}
}

// decoder is one format. next returns a *Fault for a row that is bad and
// io.EOF at the end; rows come in pieces of whatever one line held.
type decoder interface {
	next() (Row, error)
}

// Reader reads one file. One goroutine may call Next; any may call Read.
type Reader struct {
	decoder

	format   Format
	file     *os.File // nil when the Reader was made over an io.Reader
	size     int64
	counted  *counter
	excluded map[string]int64
	columns  *columnar // of Parquet; nil otherwise
}

// Open opens the file at path. The error of one that is no known format says
// what to do.
func Open(path string, o Options) (*Reader, error) {
	f, err := os.Open(path) //nolint:gosec // whoever imports names the file
	if err != nil {
		return nil, err
	}
	if o.Name == "" {
		o.Name = strings.TrimSuffix(filepath.Base(path), ".gz")
	}
	if o.Format == Auto {
		o.Format = formatOf(path)
	}
	var in io.Reader = f
	var columns *columnar
	if o.Format == Parquet {
		if columns, err = openColumnar(f); err != nil {
			return nil, errors.Join(fmt.Errorf("%s: %w", path, err), f.Close())
		}
		in, o.Format = columns, CSV
	}
	r, err := NewReader(in, o)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", path, err), f.Close())
	}
	r.file = f
	if columns != nil {
		r.format, r.columns = Parquet, columns
	}
	if info, err := f.Stat(); err == nil {
		r.size = info.Size()
	}
	return r, nil
}

// NewReader reads from in, which may be gzipped.
func NewReader(in io.Reader, o Options) (*Reader, error) {
	if o.MaxLine <= 0 {
		o.MaxLine = 4 << 20
	}
	r := &Reader{counted: &counter{in: in}, excluded: map[string]int64{}}
	plain, err := inflate(r.counted)
	if err != nil {
		return nil, err
	}
	l := &lines{in: plain, limit: o.MaxLine}
	if o.Format == Auto {
		if o.Format, err = guess(plain); err != nil {
			return nil, err
		}
	}
	r.format = o.Format
	ids := newIDs(o.Name)
	switch o.Format {
	case Segment:
		r.decoder = &segment{lines: l, ids: ids, shift: o.Shift}
	case Metarank:
		r.decoder = &metarank{lines: l, ids: ids, shift: o.Shift}
	case CSV, TSV, Combined:
		if o.Mapping == nil {
			return nil, fmt.Errorf("%s needs a mapping file that says what it means (--mapping): %w", named(o.Format), attune.ErrInvalid)
		}
		r.decoder, err = newTable(l, &o, ids, r.excluded)
	case Merchant:
		r.decoder, err = newMerchant(plain, l, o.MaxLine)
	case Shopify:
		r.decoder, err = newShopify(l, o.MaxLine)
	case Parquet:
		err = fmt.Errorf("a Parquet file is not read as a stream; open it by its path: %w", attune.ErrInvalid)
	default:
		err = fmt.Errorf("format %q: want %s, %s, %s, %s, %s, %s, %s or %s: %w", o.Format,
			Segment, CSV, TSV, Metarank, Combined, Parquet, Merchant, Shopify, attune.ErrInvalid)
	}
	if err != nil {
		return nil, err
	}
	return r, nil
}

// named is what a format that needs a mapping is called.
func named(f Format) string {
	if f == Combined {
		return "an access log"
	}
	return "a table"
}

// Next returns what comes next. At the end the error is io.EOF; a *Fault is a
// row that could not be used, and Next may be called again; any other error
// ends the reading.
func (r *Reader) Next() (Row, error) { return r.next() }

// Format returns what the file is.
func (r *Reader) Format() Format { return r.format }

// Read returns how many bytes of the file, as it lies on disk, were read.
func (r *Reader) Read() int64 {
	if r.columns != nil {
		return int64(r.columns.part() * float64(r.size))
	}
	return r.counted.n.Load()
}

// Size returns the file's bytes on disk, 0 when that is not known.
func (r *Reader) Size() int64 { return r.size }

// Excluded returns, by reason, how many rows the mapping's rules left out. It
// is the Reader's own; look at it when the reading is done.
func (r *Reader) Excluded() map[string]int64 { return r.excluded }

// Close closes the file.
func (r *Reader) Close() error {
	if r.file == nil {
		return nil
	}
	return r.file.Close()
}

// counter counts the bytes that pass.
type counter struct {
	in io.Reader
	n  atomic.Int64
}

// Read reads on.
func (c *counter) Read(b []byte) (int, error) {
	n, err := c.in.Read(b)
	c.n.Add(int64(n))
	return n, err
}

// peekBytes is what is looked at to tell a format.
const peekBytes = 64 << 10

// inflate returns in, decompressed when it begins as gzip does (RFC 1952).
func inflate(in io.Reader) (*bufio.Reader, error) {
	b := bufio.NewReaderSize(in, 256<<10)
	head, err := b.Peek(2)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("read: %w", err)
	}
	if len(head) < 2 || head[0] != 0x1f || head[1] != 0x8b {
		return b, nil
	}
	z, err := gzip.NewReader(b)
	if err != nil {
		return nil, fmt.Errorf("it begins as gzip does, and then does not go on so: %w", err)
	}
	return bufio.NewReaderSize(z, 256<<10), nil
}

// formatOf tells a format by the file's name, Auto when it does not say.
func formatOf(path string) Format {
	switch strings.ToLower(filepath.Ext(strings.TrimSuffix(path, ".gz"))) {
	case ".csv":
		return CSV
	case ".tsv":
		return TSV
	case ".parquet":
		return Parquet
	default:
		return Auto // JSON lines may be calls or Metarank's
	}
}

// guess tells a format by its first line.
func guess(in *bufio.Reader) (Format, error) {
	head, err := in.Peek(peekBytes)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, bufio.ErrBufferFull) {
		return Auto, fmt.Errorf("read: %w", err)
	}
	head = bytes.TrimLeft(bytes.TrimPrefix(head, []byte("\xef\xbb\xbf")), " \t\r\n")
	line, _, _ := bytes.Cut(head, []byte{'\n'})
	if len(line) == 0 {
		return Segment, nil // an empty file is an empty anything
	}
	if line[0] != '{' {
		if logLine(line) {
			return Combined, nil
		}
		if bytes.IndexByte(line, '\t') >= 0 {
			return TSV, nil
		}
		return CSV, nil
	}
	switch gjson.GetBytes(line, "event").Str {
	case "item", "user", "ranking", "interaction":
		if !gjson.GetBytes(line, "type").Exists() || gjson.GetBytes(line, "id").Exists() && !gjson.GetBytes(line, "messageId").Exists() {
			return Metarank, nil
		}
	}
	return Segment, nil
}

// lines reads bounded lines.
type lines struct {
	in    *bufio.Reader
	limit int
	row   int64 // of the line read last, from 1
	long  []byte
}

// next returns the next line without its end, good until the next call. A line
// over the limit is a *Fault, read past.
func (l *lines) next() ([]byte, error) {
	line, err := l.in.ReadSlice('\n')
	l.row++
	if errors.Is(err, bufio.ErrBufferFull) {
		line, err = l.join(line)
	}
	var f *Fault
	switch {
	case errors.As(err, &f):
		return nil, f
	case errors.Is(err, io.EOF) && len(line) > 0:
	case errors.Is(err, io.EOF):
		return nil, io.EOF
	case err != nil:
		return nil, fmt.Errorf("line %d: %w", l.row, err)
	}
	if l.row == 1 {
		line = bytes.TrimPrefix(line, []byte("\xef\xbb\xbf"))
	}
	return bytes.TrimRight(line, "\r\n"), nil
}

// join reads the rest of a line that does not fit the reader's buffer.
func (l *lines) join(first []byte) ([]byte, error) {
	l.long = append(l.long[:0], first...)
	over := false
	for {
		more, err := l.in.ReadSlice('\n')
		if over = over || len(l.long)+len(more) > l.limit; !over {
			l.long = append(l.long, more...)
		}
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
		case over && (err == nil || errors.Is(err, io.EOF)):
			return nil, faultAt(l.row, l.long, "the line has more than %d bytes", l.limit)
		default:
			return l.long, err
		}
	}
}

// ids makes the messageIds of one file.
type ids struct{ prefix string }

func newIDs(name string) ids {
	return ids{prefix: "file-" + strconv.FormatUint(attune.Hash(name), 36) + "-"}
}

// row is the id of what row n said; part tells several of one row apart.
func (i ids) row(n int64, part int) string {
	id := i.prefix + strconv.FormatInt(n, 10)
	if part > 0 {
		id += "." + strconv.Itoa(part)
	}
	return id
}

// group is the id of what all rows with one value said.
func (i ids) group(value string) string {
	return i.prefix + "g" + strconv.FormatUint(attune.Hash(value), 36)
}
