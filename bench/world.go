package main

import (
	"bufio"
	"fmt"
	"io"
	"math/rand/v2"
	"time"
)

// world makes up a shop's history: sessions that stay in one group of items,
// as real ones do, so that neighbours, pairs and categories have something to
// find. The same seed gives the same world.
type world struct {
	people, items int
	sessions      int // a person
	end           time.Time
	compact       bool // without the browser's page, for bulk files
	prefix        string
}

// A group is the items that are seen together.
const groupItems = 20

// each calls fn with the events of every person in turn, as JSON. The slice is
// good until fn returns.
func (w world) each(from, to int, fn func(event []byte) error) error {
	r := rand.New(rand.NewPCG(1, uint64(from)))
	groups := max(1, w.items/groupItems)
	near := rand.NewZipf(r, 1.3, 3, groupItems-1)
	hot := rand.NewZipf(r, 1.1, 30, uint64(groups-1))
	var b []byte
	for person := from; person < to; person++ {
		count := 0
		for s := range w.sessions {
			group := int(hot.Uint64())
			at := w.end.Add(-time.Duration(r.Int64N(int64(14 * 24 * time.Hour))))
			for step := range 3 + r.IntN(5) {
				item := min(w.items-1, group*groupItems+int(near.Uint64()))
				name := "Product Viewed"
				switch {
				case step > 1 && r.IntN(5) == 0:
					name = "Product Added"
				case step > 2 && s == 0 && r.IntN(4) == 0:
					name = "Order Completed"
				}
				at = at.Add(time.Duration(20+r.IntN(90)) * time.Second)
				count++
				b = w.event(b[:0], name, person, item, count, at)
				if err := fn(b); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// event appends one event of person about item.
func (w world) event(b []byte, name string, person, item, count int, at time.Time) []byte {
	category, brand := item/groupItems%40, item%25
	b = fmt.Appendf(b, `{"type":"track","event":%q,"messageId":"%s%08d-%d","anonymousId":"00000000-0000-4000-8000-0000%08d","userId":"u%08d",`,
		name, w.prefix, person, count, person, person)
	b = at.UTC().AppendFormat(append(b, `"originalTimestamp":"`...), time.RFC3339)
	b = w.end.UTC().AppendFormat(append(b, `","sentAt":"`...), time.RFC3339)
	b = append(b, `","properties":{`...)
	product := func() {
		b = fmt.Appendf(b, `"product_id":"sku-%06d","name":"Item %d","category":"c%02d","brand":"b%02d","price":%d.5,"currency":"EUR","quantity":1`,
			item, item, category, brand, 5+item%90)
	}
	if name == "Order Completed" {
		b = fmt.Appendf(b, `"order_id":"o-%d-%d","total":%d.5,"currency":"EUR","products":[{`, person, count, 5+item%90)
		product()
		b = append(b, `}]`...)
	} else {
		product()
	}
	if w.compact {
		return append(b, `},"context":{"library":{"name":"analytics.js","version":"2"}}}`...)
	}
	b = fmt.Appendf(b, `},"context":{"page":{"path":"/p/%d","url":"https://shop.example.com/p/%d","title":"Item %d"},"locale":"en-US",`, item, item, item)
	return append(b, `"userAgent":"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36","library":{"name":"analytics.js","version":"2"}}}`...)
}

// write writes the world as NDJSON and returns how many events it has.
func (w world) write(out io.Writer) (events int, err error) {
	buf := bufio.NewWriterSize(out, 1<<20)
	err = w.each(0, w.people, func(e []byte) error {
		events++
		_, _ = buf.Write(e) // Flush says the error
		return buf.WriteByte('\n')
	})
	if err != nil {
		return events, err
	}
	return events, buf.Flush()
}

// post sends the world in batches of 100 over some connections.
func (w world) post(address string, conns int) (events int, err error) {
	type result struct {
		events int
		err    error
	}
	results := make(chan result, conns) // one of each worker
	for n := range conns {
		go func() {
			done, err := w.postPart(address, w.people*n/conns, w.people*(n+1)/conns)
			results <- result{done, err}
		}()
	}
	for range conns {
		r := <-results
		events += r.events
		if r.err != nil {
			err = r.err
		}
	}
	return events, err
}

func (w world) postPart(address string, from, to int) (events int, err error) {
	c, err := dial(address)
	if err != nil {
		return 0, err
	}
	defer c.close()
	body := []byte(`{"batch":[`)
	held := 0
	flush := func() error {
		if held == 0 {
			return nil
		}
		err := sendBatch(c, address, append(body, ']', '}'))
		events += held
		body, held = body[:len(`{"batch":[`)], 0
		return err
	}
	err = w.each(from, to, func(e []byte) error {
		if held > 0 {
			body = append(body, ',')
		}
		body = append(body, e...)
		if held++; held < 100 {
			return nil
		}
		return flush()
	})
	if err != nil {
		return events, err
	}
	return events, flush()
}

// sendBatch posts body, again after a pause when the server is busy.
func sendBatch(c *conn, address string, body []byte) error {
	raw := fmt.Appendf(nil, "POST /v1/batch HTTP/1.1\r\nHost: %s\r\n%sContent-Type: application/json\r\nContent-Length: %d\r\n\r\n", address, writeKey, len(body))
	raw = append(raw, body...)
	for try := 0; ; try++ {
		_, _, err := c.do(raw)
		if busy, ok := err.(*refused); ok && busy.status == 503 && try < 1000 { //nolint:errorlint // do returns it bare
			time.Sleep(10 * time.Millisecond)
			continue
		}
		return err
	}
}
