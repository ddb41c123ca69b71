package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// wrkResult is what one run of wrk measured.
type wrkResult struct {
	perSecond float64
	p50, p99  time.Duration
	failed    int // answers that were not 2xx or 3xx, and broken connections
}

// wrk drives the server at address with s.
func (b *bench) wrk(ctx context.Context, address string, s script, conns int) (wrkResult, error) {
	b.run++
	file := filepath.Join(b.dir, "request.txt")
	// The Host line names whom the script was made for; the length stays right.
	if err := os.WriteFile(file, []byte(s.text), 0o600); err != nil {
		return wrkResult{}, err
	}
	cmd := exec.CommandContext(ctx, "wrk", "-t", strconv.Itoa(min(2, conns)), "-c", strconv.Itoa(conns),
		"-d", fmt.Sprintf("%ds", int(b.round.Seconds())), "--timeout", "10s", "-s", b.lua, "http://"+address,
		"--", file, strconv.Itoa(s.people), strconv.Itoa(s.items), tag(b.run))
	out, err := cmd.CombinedOutput()
	if err != nil {
		return wrkResult{}, fmt.Errorf("wrk: %w: %s", err, out)
	}
	return parseWrk(string(out))
}

var resultLine = regexp.MustCompile(`RESULT requests=(\d+) us=(\d+) p50=(\d+) p99=(\d+) status=(\d+) socket=(\d+)`)

// parseWrk reads the line that request.lua prints at the end.
func parseWrk(out string) (wrkResult, error) {
	m := resultLine.FindStringSubmatch(out)
	if m == nil {
		return wrkResult{}, fmt.Errorf("wrk printed no result: %s", strings.TrimSpace(out))
	}
	var n [6]float64
	for i := range n {
		n[i], _ = strconv.ParseFloat(m[i+1], 64) // the expression takes digits only
	}
	us := func(v float64) time.Duration { return time.Duration(v) * time.Microsecond }
	return wrkResult{perSecond: n[0] / n[1] * 1e6, p50: us(n[2]), p99: us(n[3]), failed: int(n[4] + n[5])}, nil
}

// versus is a row measured against the no-op handler: medians over rounds, in
// each of which both were driven one after the other.
type versus struct {
	ours, noop, ratio float64
	p50, p99          time.Duration
	failed            int
}

// compare drives ours and the no-op handler in turn with the same script. The
// no-op answers as many bytes as ours answered to one request. after, when not
// nil, runs after each round of ours.
func (b *bench) compare(ctx context.Context, s *server, path script, conns int, after func() error) (versus, error) {
	if err := b.sameAnswer(s, path); err != nil {
		return versus{}, err
	}
	var v versus
	var ours, noops, ratios []float64
	for range b.rounds {
		n, err := b.wrk(ctx, b.noop.address, path, conns)
		if err != nil {
			return v, err
		}
		o, err := b.wrk(ctx, s.address, path, conns)
		if err != nil {
			return v, err
		}
		if after != nil {
			if err := after(); err != nil {
				return v, err
			}
		}
		ours, noops, ratios = append(ours, o.perSecond), append(noops, n.perSecond), append(ratios, o.perSecond/n.perSecond)
		v.p50, v.p99, v.failed = o.p50, o.p99, v.failed+o.failed
	}
	v.ours, v.noop, v.ratio = median(ours), median(noops), median(ratios)
	return v, nil
}

// sameAnswer asks the real server once and hands its answer to the no-op.
func (b *bench) sameAnswer(s *server, what script) error {
	c, err := dial(s.address)
	if err != nil {
		return err
	}
	defer c.close()
	b.run++
	_, body, err := c.do(newFiller(what, b.run, 0).event(nil, what.text))
	if err != nil {
		return fmt.Errorf("the request of a row does not work: %w", err)
	}
	return b.noop.answer(body)
}
