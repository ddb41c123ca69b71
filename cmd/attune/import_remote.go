package main

import (
	"bytes"
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
	"github.com/attune-io/attune/collect"
)

// remote is a running server as an import's sink.
type remote struct {
	base, secret string
	client       *http.Client
}

// The bounds of a request: those a server has by default.
const (
	maxBody  = 3 << 20
	maxReply = 8 << 20
	patience = time.Minute // for one request
)

func newRemote(base, secret string) (*remote, error) {
	u, err := url.Parse(base)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, fmt.Errorf("--url %q: want an address as http://127.0.0.1:8080: %w", base, attune.ErrInvalid)
	}
	if secret == "" {
		return nil, fmt.Errorf("a running server wants its secret: --secret, or ATTUNE_SERVER_SECRET: %w", attune.ErrUnauthorized)
	}
	return &remote{base: strings.TrimSuffix(base, "/"), secret: secret, client: &http.Client{Timeout: patience}}, nil
}

// Events sends events in as many requests as the server's limits ask for.
func (r *remote) Events(ctx context.Context, events [][]byte) ([]collect.Rejection, error) {
	var all []collect.Rejection
	for from := 0; from < len(events); {
		body := []byte(`{"batch":[`)
		to := from
		for ; to < len(events) && (to == from || len(body)+len(events[to]) < maxBody); to++ {
			if to > from {
				body = append(body, ',')
			}
			body = append(body, events[to]...)
		}
		refused, err := r.batch(ctx, append(body, "]}"...))
		if err != nil {
			// What was sent before counts once, so that all may be sent again.
			return nil, err
		}
		for _, x := range refused {
			x.Index += from
			all = append(all, x)
		}
		from = to
	}
	return all, nil
}

// batch sends one body to the import route.
func (r *remote) batch(ctx context.Context, body []byte) ([]collect.Rejection, error) {
	status, reply, err := r.post(ctx, "/v1/import", "application/json", body)
	if err != nil {
		return nil, err
	}
	var answer struct {
		Accepted *int                `json:"accepted"`
		Rejected []collect.Rejection `json:"rejected"`
	}
	known := json.Unmarshal(reply, &answer) == nil
	if status == http.StatusOK || status == http.StatusBadRequest && known && len(answer.Rejected) > 0 {
		return answer.Rejected, nil
	}
	return nil, refusedBy(r.base, status, reply)
}

// Items sends items as lines.
func (r *remote) Items(ctx context.Context, items []attune.Item) error {
	var body bytes.Buffer
	e := json.NewEncoder(&body)
	for i := range items {
		if err := e.Encode(&items[i]); err != nil {
			return fmt.Errorf("encode item %q: %w", items[i].ID, err)
		}
	}
	status, reply, err := r.post(ctx, "/v1/items", "application/x-ndjson", body.Bytes())
	if err != nil {
		return err
	}
	if status == http.StatusOK || status == http.StatusAccepted {
		return nil
	}
	return refusedBy(r.base, status, reply)
}

// post sends body. A server that asks to be asked later makes an error that
// wraps attune.ErrBusy, after the pause it asked for.
func (r *remote) post(ctx context.Context, path, kind string, body []byte) (status int, reply []byte, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, r.base+path, bytes.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	req.SetBasicAuth(r.secret, "")
	req.Header.Set("Content-Type", kind)
	res, err := r.client.Do(req)
	if err != nil {
		return 0, nil, fmt.Errorf("%w; is the server running?", err)
	}
	defer res.Body.Close() //nolint:errcheck // it was only read
	reply, err = io.ReadAll(io.LimitReader(res.Body, maxReply))
	if err != nil {
		return 0, nil, fmt.Errorf("read the answer of %s: %w", r.base, err)
	}
	if res.StatusCode != http.StatusTooManyRequests && res.StatusCode != http.StatusServiceUnavailable {
		return res.StatusCode, reply, nil
	}
	if after, err := strconv.Atoi(res.Header.Get("Retry-After")); err == nil && after > 0 {
		pause := time.NewTimer(time.Duration(min(after, 60)) * time.Second)
		defer pause.Stop()
		select {
		case <-pause.C:
		case <-ctx.Done():
			return 0, nil, ctx.Err()
		}
	}
	return 0, nil, fmt.Errorf("%s is busy: %w", r.base, attune.ErrBusy)
}

// refusedBy says what a server answered and what to do.
func refusedBy(base string, status int, reply []byte) error {
	text := strings.TrimSpace(string(reply[:min(len(reply), 512)]))
	switch status {
	case http.StatusUnauthorized, http.StatusForbidden:
		return fmt.Errorf("%s does not take this secret (%s); give the server secret: %w", base, text, attune.ErrUnauthorized)
	case http.StatusRequestEntityTooLarge:
		return fmt.Errorf("%s takes less at once (%s); raise limits.request_bytes: %w", base, text, attune.ErrInvalid)
	default:
		return errors.New(base + " answered " + strconv.Itoa(status) + ": " + text)
	}
}
