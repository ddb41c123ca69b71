package serve

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/attune-io/attune"
	"github.com/attune-io/attune/identity"
	"github.com/attune-io/attune/journal"
)

// Bounds of writing items.
const (
	maxItemBytes  = 64 << 10
	maxBulkBytes  = 256 << 20
	bulkBatch     = 1000
	maxRejections = 1000 // that an answer lists
	applyPatience = 5 * time.Second
)

func (s *Server) serveItem(w http.ResponseWriter, r *http.Request, c *caller) error {
	id := r.PathValue("id")
	it, ok := s.o.Catalog.Item(id)
	if !ok || it.Deleted && !c.server {
		return deny(attune.ErrNotFound, "there is no item "+strconv.Quote(clip(id)))
	}
	return s.writeJSON(w, itemView(it))
}

// itemView is an item as an answer says it: its attributes are always there.
type itemView struct {
	ID         string         `json:"id"`
	Attributes map[string]any `json:"attributes"`
	Deleted    bool           `json:"deleted,omitempty"`
}

// serveItems answers GET /v1/items: a page of the catalog, or what matches q.
func (s *Server) serveItems(w http.ResponseWriter, r *http.Request, c *caller) error {
	limit, err := page(r)
	if err != nil {
		return err
	}
	q := r.URL.Query()
	answer := struct {
		Items []itemView `json:"items"`
		Next  string     `json:"next,omitempty"`
	}{Items: []itemView{}}
	var items []attune.Item
	if text := q.Get("q"); text != "" {
		if len(text) > maxText {
			return invalid("q", "is too long")
		}
		items = s.o.Catalog.Search(text, limit)
	} else if items, answer.Next, err = s.o.Catalog.List(q.Get("cursor"), limit); err != nil {
		return invalid("cursor", "is not the next of an answer")
	}
	for _, it := range items {
		if c.server || !it.Deleted {
			answer.Items = append(answer.Items, itemView(it))
		}
	}
	return s.writeJSON(w, answer)
}

// servePut answers PUT /v1/items/{id}: the named attributes are set, a null
// one is taken away, the others stay.
func (s *Server) servePut(w http.ResponseWriter, r *http.Request, _ *caller) error {
	body, err := s.readBody(w, r)
	if err != nil {
		return err
	}
	it, err := decodeItem(body)
	if err != nil {
		return err
	}
	id := r.PathValue("id")
	if it.ID != "" && it.ID != id {
		return invalid("id", "is another item's than the address says")
	}
	it.ID = id
	if it.Deleted {
		return invalid("deleted", "send DELETE instead")
	}
	return s.changeItem(w, r, it)
}

func (s *Server) serveDelete(w http.ResponseWriter, r *http.Request, _ *caller) error {
	id := r.PathValue("id")
	if _, ok := s.o.Catalog.Number(id); !ok {
		return deny(attune.ErrNotFound, "there is no item "+strconv.Quote(clip(id)))
	}
	return s.changeItem(w, r, &attune.Item{ID: id, Deleted: true})
}

// changeItem appends one change and answers with the item once the catalog
// has it: the next decision sees it.
func (s *Server) changeItem(w http.ResponseWriter, r *http.Request, it *attune.Item) error {
	rec, err := s.itemRecord(it)
	if err != nil {
		return err
	}
	applied, token, err := s.append(r.Context(), []attune.Record{rec})
	if err != nil {
		return err
	}
	w.Header()[tokenHeader] = []string{token.String()}
	if !applied {
		s.write(w, http.StatusAccepted, []byte(`{"applied":false}`+"\n"))
		return nil
	}
	now, _ := s.o.Catalog.Item(it.ID)
	return s.writeJSON(w, itemView(now))
}

// append makes recs durable and waits until they are applied. After a nil
// error they will be, even when applied is false.
func (s *Server) append(ctx context.Context, recs []attune.Record) (applied bool, token journal.Token, err error) {
	if s.o.Journal == nil {
		return false, token, deny(attune.ErrNotFound, "this server takes no items; send them to the one that writes the journal")
	}
	if err := s.o.Journal.Append(ctx, recs); err != nil {
		return false, token, fmt.Errorf("append %d records: %w", len(recs), err)
	}
	st := s.o.Journal.Status()
	token = journal.TokenOf(st.ID, st.Partitions(), recs)
	return s.wait(ctx, token), token, nil
}

func (s *Server) wait(ctx context.Context, token journal.Token) bool {
	if s.o.Waiter == nil {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, applyPatience)
	defer cancel()
	return s.o.Waiter.Wait(ctx, token) == nil
}

func decodeItem(raw []byte) (*attune.Item, error) {
	it := new(attune.Item)
	d := json.NewDecoder(bytes.NewReader(raw))
	d.DisallowUnknownFields()
	if err := d.Decode(it); err != nil {
		if field, ok := unknownField(err); ok {
			return nil, invalid(field, fmt.Sprintf(`an item is {"id":…,"attributes":{…}}; put %q under "attributes"`, field))
		}
		return nil, notJSON(raw, err)
	}
	if d.More() {
		return nil, invalid("", "there is more after the item")
	}
	return it, nil
}

func (s *Server) itemRecord(it *attune.Item) (attune.Record, error) {
	if err := identity.CheckID(it.ID); err != nil {
		return attune.Record{}, invalid("id", attune.Message(err))
	}
	// What the catalog would refuse must not be journaled.
	if err := s.o.Catalog.Check(it.ID, it.Attributes); err != nil && !it.Deleted {
		return attune.Record{}, invalid("attributes", attune.Message(err))
	}
	payload, err := json.Marshal(it)
	if err != nil {
		return attune.Record{}, fmt.Errorf("encode item %q: %w", it.ID, err)
	}
	if len(payload) > maxItemBytes {
		return attune.Record{}, invalid("", fmt.Sprintf("the item has %d bytes, at most %d", len(payload), maxItemBytes))
	}
	now := s.o.Clock()
	return attune.Record{Kind: attune.KindItem, Key: identity.ItemKey(it.ID), Time: now, ReceivedAt: now, Payload: payload}, nil
}

// bulk is a run of POST /v1/items.
type bulk struct {
	s        *Server
	recs     []attune.Record
	lines    int
	accepted int
	rejected int
	listed   []Rejection
	token    journal.Token
}

// serveBulk answers POST /v1/items: one item a line. A bad line is refused
// alone, by its number from 0.
func (s *Server) serveBulk(w http.ResponseWriter, r *http.Request, _ *caller) error {
	b := &bulk{s: s}
	in := bufio.NewReaderSize(http.MaxBytesReader(w, r.Body, maxBulkBytes), maxItemBytes+2)
	for {
		line, err := in.ReadSlice('\n')
		tooLong := errors.Is(err, bufio.ErrBufferFull)
		for errors.Is(err, bufio.ErrBufferFull) {
			_, err = in.ReadSlice('\n')
		}
		if tooLong {
			b.reject("", fmt.Sprintf("the line has more than %d bytes", maxItemBytes))
		} else {
			b.take(bytes.TrimSpace(line))
		}
		b.lines++
		if err != nil && !errors.Is(err, io.EOF) {
			if tooLarge, ok := errors.AsType[*http.MaxBytesError](err); ok {
				return deny(tooLarge, fmt.Sprintf("the body has more than %d bytes; %d items are stored, send the rest by themselves",
					tooLarge.Limit, b.accepted))
			}
			return invalid("", fmt.Sprintf("the body ended before it was whole; %d items are stored", b.accepted))
		}
		if ended := err != nil; ended || len(b.recs) >= bulkBatch {
			if err := b.flush(r.Context()); err != nil {
				return fmt.Errorf("%d items stored: %w", b.accepted, err)
			}
			if ended {
				break
			}
		}
	}
	return b.answer(w, r)
}

func (b *bulk) take(line []byte) {
	if len(line) == 0 {
		return
	}
	it, err := decodeItem(line)
	if err != nil {
		b.reject("", attune.Message(err))
		return
	}
	rec, err := b.s.itemRecord(it)
	if err != nil {
		b.reject(it.ID, attune.Message(err))
		return
	}
	b.recs = append(b.recs, rec)
}

func (b *bulk) reject(id, reason string) {
	b.rejected++
	if len(b.listed) < maxRejections {
		b.listed = append(b.listed, Rejection{Index: b.lines, ID: clip(id), Reason: reason})
	}
}

func (b *bulk) flush(ctx context.Context) error {
	if len(b.recs) == 0 {
		return nil
	}
	if b.s.o.Journal == nil {
		return deny(attune.ErrNotFound, "this server takes no items; send them to the one that writes the journal")
	}
	if err := b.s.o.Journal.Append(ctx, b.recs); err != nil {
		return fmt.Errorf("append %d items: %w", len(b.recs), err)
	}
	st := b.s.o.Journal.Status()
	t := journal.TokenOf(st.ID, st.Partitions(), b.recs)
	b.token.Journal = t.Journal
	for _, p := range t.Positions {
		b.token.Add(p)
	}
	b.accepted += len(b.recs)
	b.recs = b.recs[:0]
	return nil
}

func (b *bulk) answer(w http.ResponseWriter, r *http.Request) error {
	code, applied := http.StatusOK, false
	switch {
	case b.accepted > 0:
		w.Header()[tokenHeader] = []string{b.token.String()}
		if applied = b.s.wait(r.Context(), b.token); !applied {
			code = http.StatusAccepted
		}
	case b.rejected > 0:
		code = http.StatusBadRequest
	default:
		return invalid("", "the body is empty; send one item a line")
	}
	out := []byte(`{"accepted":`)
	out = strconv.AppendInt(out, int64(b.accepted), 10)
	out = append(out, `,"applied":`...)
	out = strconv.AppendBool(out, applied)
	out = append(out, `,"rejected_total":`...)
	out = strconv.AppendInt(out, int64(b.rejected), 10)
	out = append(out, `,"rejected":[`...)
	for i, x := range b.listed {
		if i > 0 {
			out = append(out, ',')
		}
		out = appendRejection(out, x)
	}
	out = append(out, ']')
	if code == http.StatusBadRequest {
		out = append(out, `,"error":{"code":"invalid","message":"no line is an item; rejected says why"}`...)
	}
	b.s.write(w, code, append(out, "}\n"...))
	return nil
}
