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
	requests  int
	perSecond float64
	p50, p99  time.Duration
	failed    int // answers that were not 2xx or 3xx, and broken connections
	// CPU time a request, of the server and of wrk. It says what a neighbour
	// at work on the same machine changes least.
	server, client time.Duration
}

// wrk drives a server with s.
func (b *bench) wrk(ctx context.Context, at *server, s script, conns int) (wrkResult, error) {
	b.run++
	file := filepath.Join(b.dir, "request.txt")
	// The Host line names whom the script was made for; the length stays right.
	if err := os.WriteFile(file, []byte(s.text), 0o600); err != nil {
		return wrkResult{}, err
	}
	cmd := exec.CommandContext(ctx, "wrk", "-t", strconv.Itoa(min(2, conns)), "-c", strconv.Itoa(conns),
		"-d", fmt.Sprintf("%ds", int(b.round.Seconds())), "--timeout", "10s", "-s", b.lua, "http://"+at.address,
		"--", file, strconv.Itoa(s.people), strconv.Itoa(s.items), tag(b.run))
	before, err := at.cpu()
	if err != nil {
		return wrkResult{}, err
	}
	out, err := cmd.CombinedOutput()
	if err != nil {
		return wrkResult{}, fmt.Errorf("wrk: %w: %s", err, out)
	}
	after, err := at.cpu()
	if err != nil {
		return wrkResult{}, err
	}
	r, err := parseWrk(string(out))
	if err != nil || r.requests == 0 {
		return r, err
	}
	r.server = (after - before) / time.Duration(r.requests)
	r.client = (cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()) / time.Duration(r.requests)
	return r, nil
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
	return wrkResult{requests: int(n[0]), perSecond: n[0] / n[1] * 1e6, p50: us(n[2]), p99: us(n[3]), failed: int(n[4] + n[5])}, nil
}

// versus is a row measured against the no-op handler: medians over rounds, in
// each of which both were driven one after the other.
type versus struct {
	ours, noop, ratio float64
	p50, p99          time.Duration
	failed            int
	// CPU time a request: of the two servers, and of both sides with wrk's
	// share as a ratio, which is what the ratio tends to on an idle machine.
	cpu, noopCPU time.Duration
	cpuRatio     float64
}

// side collects what one side measured in each round.
type side struct {
	rate, cpu, client, p50, p99 []float64
	failed                      int
}

func (x *side) add(r wrkResult) {
	x.rate, x.cpu, x.client = append(x.rate, r.perSecond), append(x.cpu, float64(r.server)), append(x.client, float64(r.client))
	x.p50, x.p99, x.failed = append(x.p50, float64(r.p50)), append(x.p99, float64(r.p99)), x.failed+r.failed
}

// compare drives ours and the no-op handler in turn with the same script. The
// no-op answers as many bytes as ours answered to one request. after, when not
// nil, runs after each round of ours.
func (b *bench) compare(ctx context.Context, s *server, what script, conns int, after func() error) (versus, error) {
	if err := b.sameAnswer(s, what); err != nil {
		return versus{}, err
	}
	var ours, noops side
	var ratios []float64
	for range b.rounds {
		n, err := b.wrk(ctx, b.noop, what, conns)
		if err != nil {
			return versus{}, err
		}
		o, err := b.wrk(ctx, s, what, conns)
		if err != nil {
			return versus{}, err
		}
		if after != nil {
			if err := after(); err != nil {
				return versus{}, err
			}
		}
		ours.add(o)
		noops.add(n)
		ratios = append(ratios, o.perSecond/n.perSecond)
	}
	client := min(median(ours.client), median(noops.client))
	return versus{
		ours: median(ours.rate), noop: median(noops.rate), ratio: median(ratios), failed: ours.failed,
		p50: time.Duration(median(ours.p50)), p99: time.Duration(median(ours.p99)),
		cpu: time.Duration(median(ours.cpu)), noopCPU: time.Duration(median(noops.cpu)),
		cpuRatio: (median(noops.cpu) + client) / (median(ours.cpu) + client),
	}, nil
}

// row makes the line of the table of v.
func (v *versus) row(what string, want, stretch float64) row {
	target := fmt.Sprintf("≥ %.1f", want)
	if stretch < 1 {
		target += fmt.Sprintf(" (%.1f)", stretch)
	}
	return row{
		what:  what,
		ours:  fmt.Sprintf("%s, p50 %s, p99 %s, %d failed; %s CPU", perSecond(v.ours), millis(v.p50), millis(v.p99), v.failed, micros(v.cpu)),
		noop:  fmt.Sprintf("%s; %s CPU", perSecond(v.noop), micros(v.noopCPU)),
		ratio: fmt.Sprintf("%.2f (CPU %.2f)", v.ratio, v.cpuRatio), target: target, met: verdict(v.ratio >= want, v.ratio >= stretch),
	}
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
