package file

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"math/big"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/format"

	"github.com/attune-io/attune"
)

// columnar writes the rows of a Parquet file as a table with a header, so that
// a mapping takes them as it takes those of any other. A nested column is named
// by its path (address.city); a repeated one has its values with commas between
// them. Times are RFC 3339.
//
// What it holds in memory is a page a column and a few rows.
type columnar struct {
	file   *parquet.File
	leaves []leaf
	groups []parquet.RowGroup // still to be read
	rows   parquet.Rows       // of the one that is being read; nil: none
	buf    []parquet.Row
	text   bytes.Buffer
	cells  []string
	all    int64
	done   atomic.Int64
}

// leaf is how a column's values are written.
type leaf struct {
	name    string
	logical format.LogicalTypeValue // nil: none
}

const rowsAtOnce = 256

// openColumnar reads the end of f, where a Parquet file says what it is.
func openColumnar(f *os.File) (c *columnar, err error) {
	defer mended(&err)
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	pf, err := parquet.OpenFile(f, info.Size(), parquet.SkipPageIndex(true), parquet.SkipBloomFilters(true))
	if err != nil {
		return nil, fmt.Errorf("it is no Parquet file that can be read (%w): %w", err, attune.ErrInvalid)
	}
	c = &columnar{file: pf, groups: pf.RowGroups(), all: pf.NumRows(), buf: make([]parquet.Row, rowsAtOnce)}
	columns := pf.Schema().Columns()
	if len(columns) > maxColumns {
		return nil, fmt.Errorf("%d columns, at most %d: %w", len(columns), maxColumns, attune.ErrInvalid)
	}
	for _, path := range columns {
		l := leaf{name: strings.TrimSuffix(strings.Join(path, "."), ".list.element")}
		if column, ok := pf.Schema().Lookup(path...); ok {
			if t := column.Node.Type().LogicalType(); t != nil {
				l.logical = t.Value
			}
		}
		c.leaves = append(c.leaves, l)
		c.cells = append(c.cells, l.name)
	}
	c.line()
	return c, nil
}

// mended makes an error of a panic: the library's answer to some damage.
func mended(err *error) {
	if p := recover(); p != nil {
		*err = fmt.Errorf("the Parquet file is damaged (%v): %w", p, attune.ErrCorrupt)
	}
}

// part is how much of the file was read, from 0 to 1.
func (c *columnar) part() float64 {
	if c.all == 0 {
		return 1
	}
	return float64(c.done.Load()) / float64(c.all)
}

// Read gives the table's text.
func (c *columnar) Read(b []byte) (n int, err error) {
	defer mended(&err)
	for c.text.Len() == 0 {
		if err := c.more(); err != nil {
			return 0, err
		}
	}
	return c.text.Read(b)
}

// more writes the next rows into c.text.
func (c *columnar) more() error {
	if c.rows == nil {
		if len(c.groups) == 0 {
			return io.EOF
		}
		c.rows, c.groups = c.groups[0].Rows(), c.groups[1:]
	}
	n, err := c.rows.ReadRows(c.buf)
	for _, row := range c.buf[:n] {
		clear(c.cells)
		for _, v := range row {
			i := v.Column()
			if v.IsNull() || i < 0 || i >= len(c.cells) {
				continue
			}
			text := c.leaves[i].text(v)
			if v.RepetitionLevel() > 0 && c.cells[i] != "" {
				text = c.cells[i] + "," + text
			}
			c.cells[i] = text
		}
		c.line()
	}
	c.done.Add(int64(n))
	if errors.Is(err, io.EOF) {
		err = c.rows.Close()
		c.rows = nil
	}
	if err != nil {
		return fmt.Errorf("read Parquet rows behind the %dth: %w", c.done.Load(), err)
	}
	return nil
}

// line writes c.cells as a record of RFC 4180.
func (c *columnar) line() {
	for i, text := range c.cells {
		if i > 0 {
			c.text.WriteByte(',')
		}
		if !strings.ContainsAny(text, "\",\r\n") {
			c.text.WriteString(text)
			continue
		}
		c.text.WriteByte('"')
		c.text.WriteString(strings.ReplaceAll(text, `"`, `""`))
		c.text.WriteByte('"')
	}
	if len(c.cells) == 1 && c.cells[0] == "" {
		c.text.WriteString(`""`) // an empty line would be no row
	}
	c.text.WriteByte('\n')
}

const (
	daySeconds  = 24 * 60 * 60
	julianEpoch = 2_440_588 // the Julian day of 1970-01-01
)

// text is a value as a table has it.
func (l *leaf) text(v parquet.Value) string {
	switch v.Kind() {
	case parquet.Boolean:
		return strconv.FormatBool(v.Boolean())
	case parquet.Int32:
		return l.whole(int64(v.Int32()))
	case parquet.Int64:
		return l.whole(v.Int64())
	case parquet.Int96:
		x := v.Int96()                                  // nanoseconds of a Julian day: how times were written once
		nanos := int64(uint64(x[1])<<32 | uint64(x[0])) //nolint:gosec // below 2^47
		return instantText(time.Unix((int64(x[2])-julianEpoch)*daySeconds, nanos))
	case parquet.Float:
		return decimalText(float64(v.Float()), 32)
	case parquet.Double:
		return decimalText(v.Double(), 64)
	default:
		switch t := l.logical.(type) {
		case *format.DecimalType:
			return scaled(twosComplement(v.ByteArray()), int(t.Scale))
		case *format.UUIDType:
			if id, err := uuid.FromBytes(v.ByteArray()); err == nil {
				return id.String()
			}
		}
		return string(v.ByteArray())
	}
}

func decimalText(x float64, bits int) string {
	if math.IsNaN(x) || math.IsInf(x, 0) {
		return ""
	}
	return strconv.FormatFloat(x, 'f', -1, bits)
}

func instantText(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) }

// whole is a whole number, or what it stands for.
func (l *leaf) whole(n int64) string {
	switch t := l.logical.(type) {
	case *format.TimestampType:
		switch t.Unit.Value.(type) {
		case *format.MilliSeconds:
			return instantText(time.UnixMilli(n))
		case *format.MicroSeconds:
			return instantText(time.UnixMicro(n))
		default:
			return instantText(time.Unix(0, n))
		}
	case *format.DateType:
		return time.Unix(n*daySeconds, 0).UTC().Format(time.DateOnly)
	case *format.DecimalType:
		return scaled(big.NewInt(n), int(t.Scale))
	}
	return strconv.FormatInt(n, 10)
}

// twosComplement reads a big-endian number.
func twosComplement(b []byte) *big.Int {
	n := new(big.Int).SetBytes(b)
	if len(b) > 0 && b[0] >= 0x80 {
		n.Sub(n, new(big.Int).Lsh(big.NewInt(1), uint(len(b))*8))
	}
	return n
}

// scaled writes n with its last scale digits behind the point.
func scaled(n *big.Int, scale int) string {
	const most = 100
	if scale <= 0 || scale > most {
		return n.String()
	}
	digits := new(big.Int).Abs(n).String()
	if len(digits) <= scale {
		digits = strings.Repeat("0", scale-len(digits)+1) + digits
	}
	sign := ""
	if n.Sign() < 0 {
		sign = "-"
	}
	return sign + digits[:len(digits)-scale] + "." + digits[len(digits)-scale:]
}
