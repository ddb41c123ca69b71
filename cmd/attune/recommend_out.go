package main

import (
	"bufio"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"strconv"

	"github.com/parquet-go/parquet-go"

	"github.com/attune-io/attune"
	"github.com/attune-io/attune/serve"
)

// answers writes what people are shown: long, a row an item, or wide, a row a
// person.
type answers struct {
	write func(one *serve.Served) error
	end   func() error // what is written is in the file then
}

// longRow is an item of a person.
type longRow struct {
	UserID     string  `json:"user_id" parquet:"user_id"`
	Rank       int32   `json:"rank" parquet:"rank"` // from 1
	ItemID     string  `json:"item_id" parquet:"item_id,dict"`
	Score      float64 `json:"score" parquet:"score"`
	Reason     string  `json:"reason" parquet:"reason,dict"`
	DecisionID string  `json:"decision_id,omitempty" parquet:"decision_id,optional"`
}

// wideRow is a person.
type wideRow struct {
	UserID     string    `json:"user_id" parquet:"user_id"`
	Items      []string  `json:"items" parquet:"items,list"`
	Scores     []float64 `json:"scores" parquet:"scores,list"`
	DecisionID string    `json:"decision_id,omitempty" parquet:"decision_id,optional"`
}

// longs appends the rows of one.
func longs(rows []longRow, one *serve.Served) []longRow {
	for i := range one.Answer.Items {
		x := &one.Answer.Items[i]
		rows = append(rows, longRow{
			UserID: one.UserID, Rank: int32(i + 1), ItemID: x.ID, Score: x.Score, Reason: x.Reason, DecisionID: one.DecisionID,
		})
	}
	return rows
}

func wideOf(one *serve.Served) wideRow {
	row := wideRow{UserID: one.UserID, DecisionID: one.DecisionID, Items: []string{}, Scores: []float64{}}
	for i := range one.Answer.Items {
		row.Items = append(row.Items, one.Answer.Items[i].ID)
		row.Scores = append(row.Scores, one.Answer.Items[i].Score)
	}
	return row
}

const outBuffer = 256 << 10

// newAnswers returns what writes into w as c asks.
func newAnswers(w io.Writer, format string, c *recommendCommand) (*answers, error) {
	switch format {
	case "ndjson":
		return asLines(w, c.Wide), nil
	case "csv":
		return asTable(w, c)
	case "parquet":
		if c.Wide {
			return asParquet(w, func(rows []wideRow, one *serve.Served) []wideRow { return append(rows, wideOf(one)) }), nil
		}
		return asParquet(w, longs), nil
	default:
		return nil, fmt.Errorf("format %q: want ndjson, csv or parquet: %w", format, attune.ErrInvalid)
	}
}

func asLines(w io.Writer, wide bool) *answers { //nolint:revive // a way of writing
	b := bufio.NewWriterSize(w, outBuffer)
	e := json.NewEncoder(b)
	e.SetEscapeHTML(false)
	var rows []longRow
	return &answers{end: b.Flush, write: func(one *serve.Served) error {
		if wide {
			return e.Encode(wideOf(one))
		}
		rows = longs(rows[:0], one)
		for i := range rows {
			if err := e.Encode(&rows[i]); err != nil {
				return err
			}
		}
		return nil
	}}
}

func asTable(w io.Writer, c *recommendCommand) (*answers, error) {
	b := bufio.NewWriterSize(w, outBuffer)
	t := csv.NewWriter(b)
	head := []string{"user_id", "rank", "item_id", "score", "reason"}
	if c.Wide {
		head = head[:1]
		for i := range c.Limit {
			head = append(head, "item_"+strconv.Itoa(i+1))
		}
	}
	if c.Log {
		head = append(head, "decision_id")
	}
	var rows []longRow
	line := make([]string, 0, len(head))
	wide := func(one *serve.Served) error {
		line = append(line[:0], one.UserID)
		for i := range c.Limit {
			id := ""
			if i < len(one.Answer.Items) {
				id = one.Answer.Items[i].ID
			}
			line = append(line, id)
		}
		if c.Log {
			line = append(line, one.DecisionID)
		}
		return t.Write(line)
	}
	long := func(one *serve.Served) error {
		rows = longs(rows[:0], one)
		for i := range rows {
			r := &rows[i]
			line = append(line[:0], r.UserID, strconv.Itoa(int(r.Rank)), r.ItemID, strconv.FormatFloat(r.Score, 'g', -1, 64), r.Reason)
			if c.Log {
				line = append(line, r.DecisionID)
			}
			if err := t.Write(line); err != nil {
				return err
			}
		}
		return nil
	}
	out := &answers{write: long, end: func() error {
		t.Flush()
		if err := t.Error(); err != nil {
			return err
		}
		return b.Flush()
	}}
	if c.Wide {
		out.write = wide
	}
	return out, t.Write(head)
}

// A row group is written when it has this many rows: what is in memory stays
// below a few tens of megabytes however many people there are.
const (
	groupRows = 128 << 10
	rowsAhead = 4096
)

func asParquet[T any](w io.Writer, rowsOf func(rows []T, one *serve.Served) []T) *answers {
	b := bufio.NewWriterSize(w, outBuffer)
	p := parquet.NewGenericWriter[T](b, parquet.MaxRowsPerRowGroup(groupRows), parquet.Compression(&parquet.Snappy),
		parquet.CreatedBy("attune", "", ""))
	rows := make([]T, 0, rowsAhead)
	flush := func() error {
		_, err := p.Write(rows)
		rows = rows[:0]
		return err
	}
	return &answers{
		write: func(one *serve.Served) error {
			if rows = rowsOf(rows, one); len(rows) < rowsAhead {
				return nil
			}
			return flush()
		},
		end: func() error {
			if err := flush(); err != nil {
				return err
			}
			if err := p.Close(); err != nil {
				return err
			}
			return b.Flush()
		},
	}
}
