package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/attune-io/attune"
	"github.com/attune-io/attune/serve"
)

// Of a batch over HTTP.
const (
	batchTries = 6                // without a user in between
	batchQuiet = 90 * time.Second // between two lines
	maxServed  = 4 << 20          // bytes of a line
)

// remote asks a running server, and goes on where it was when the connection
// breaks or the server is started anew.
func (r *recommending) remote(ctx context.Context, base, secret string, ask *serve.EveryoneAsk) error {
	to, err := newRemote(base, secret)
	if err != nil {
		return errors.New(strings.ReplaceAll(err.Error(), "--url", "--server"))
	}
	r.began = time.Now()
	wait := 200 * time.Millisecond
	for tries := 0; ; tries++ {
		before := ask.After
		again, err := r.stream(ctx, to, ask)
		if err == nil || !again || ctx.Err() != nil {
			return err
		}
		if ask.After != before {
			tries, wait = 0, 200*time.Millisecond
		}
		if tries == batchTries {
			return fmt.Errorf("gave up after %d tries at %s: %w", tries, to.base, err)
		}
		pause := time.NewTimer(wait)
		select {
		case <-pause.C:
		case <-ctx.Done():
			pause.Stop()
			return ctx.Err()
		}
		wait *= 2
	}
}

// stream reads a batch from ask.After on, which it moves behind what it wrote.
// again says that what went wrong may go away.
func (r *recommending) stream(ctx context.Context, to *remote, ask *serve.EveryoneAsk) (again bool, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	quiet := time.AfterFunc(batchQuiet, cancel)
	defer quiet.Stop()
	q := url.Values{}
	for name, value := range map[string]string{"segment": ask.Segment, "cursor": ask.After} {
		if value != "" {
			q.Set(name, value)
		}
	}
	if ask.Limit > 0 {
		q.Set("limit", strconv.Itoa(ask.Limit))
	}
	if ask.Log {
		q.Set("log", "true")
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, to.base+"/v1/recommend/"+url.PathEscape(ask.Placement)+"/all?"+q.Encode(), http.NoBody)
	if err != nil {
		return false, err
	}
	req.SetBasicAuth(to.secret, "")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return true, fmt.Errorf("%w; is the server running?", err)
	}
	defer res.Body.Close() //nolint:errcheck // it was only read
	if res.StatusCode != http.StatusOK {
		reply, _ := io.ReadAll(io.LimitReader(res.Body, maxReply)) // the status is enough
		return res.StatusCode >= http.StatusInternalServerError || res.StatusCode == http.StatusTooManyRequests, refusedBy(to.base, res.StatusCode, reply)
	}
	before := r.sum.Looked
	if all, err := strconv.Atoi(res.Header.Get("X-Attune-People")); err == nil {
		r.bar.total = int64(before + all)
	}
	lines := bufio.NewScanner(res.Body)
	lines.Buffer(make([]byte, 64<<10), maxServed)
	for lines.Scan() {
		quiet.Reset(batchQuiet)
		done, err := r.line(lines.Bytes(), ask, before)
		if done || err != nil {
			// A line that was cut off is one that broke off.
			_, cut := errors.AsType[*json.SyntaxError](err)
			return cut || errors.Is(err, attune.ErrBusy), err
		}
	}
	if err := lines.Err(); err != nil {
		return true, fmt.Errorf("read the answers of %s: %w", to.base, err)
	}
	return true, fmt.Errorf("%s ended before it was done: %w", to.base, io.ErrUnexpectedEOF)
}

// line takes one line; before is how many users were looked at in requests
// before this one.
func (r *recommending) line(text []byte, ask *serve.EveryoneAsk, before int) (done bool, err error) {
	var l serve.ServedLine
	if err := json.Unmarshal(text, &l); err != nil {
		return false, fmt.Errorf("a line of the answer is no JSON: %w", err)
	}
	switch {
	case l.UserID != "":
		err := r.take(&serve.Served{UserID: l.UserID, DecisionID: l.DecisionID, Answer: &attune.Answer{Items: l.Items, Model: l.Model, Fallback: l.Fallback}})
		ask.After = l.UserID
		return false, err
	case l.Error != "":
		return true, fmt.Errorf("the server could not go on (%s): %w", l.Error, attune.ErrBusy)
	}
	if l.Cursor != "" {
		ask.After = l.Cursor
	}
	r.at(before + l.Looked)
	return l.Done, nil
}
