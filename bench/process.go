package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// server is a process that listens: attune, or the no-op handler.
type server struct {
	cmd            *exec.Cmd
	address, admin string
	started        time.Time
}

// freePorts returns addresses nobody listens on at this moment.
func freePorts(n int) ([]string, error) {
	var out []string
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer l.Close() //nolint:errcheck // only its number was wanted
		out = append(out, l.Addr().String())
	}
	return out, nil
}

// startAttune starts the binary on dir; its log goes to dir's name and ".log".
func startAttune(ctx context.Context, binary, dir string) (*server, error) {
	ports, err := freePorts(2)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	log, err := os.OpenFile(filepath.Clean(dir)+".log", os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer log.Close() //nolint:errcheck // the child has its own handle
	s := &server{address: ports[0], admin: ports[1], started: time.Now()}
	s.cmd = exec.CommandContext(ctx, binary, "serve", "--dev", "--data-dir", dir, "--listen", s.address, "--admin", s.admin)
	s.cmd.Stdout, s.cmd.Stderr = log, log
	if err := s.cmd.Start(); err != nil {
		return nil, err
	}
	return s, s.waitFor(ctx, "/readyz")
}

// startNoop starts this program's own no-op handler.
func startNoop(ctx context.Context) (*server, error) {
	ports, err := freePorts(1)
	if err != nil {
		return nil, err
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	s := &server{address: ports[0], started: time.Now()}
	s.cmd = exec.CommandContext(ctx, self, "-noop", s.address)
	s.cmd.Stderr = os.Stderr
	if err := s.cmd.Start(); err != nil {
		return nil, err
	}
	return s, s.waitFor(ctx, "/")
}

// waitFor waits until path answers 200.
func (s *server) waitFor(ctx context.Context, path string) error {
	for range 6000 {
		r, err := http.Get("http://" + s.address + path) //nolint:noctx // loopback, bounded by the loop
		if err == nil {
			_ = r.Body.Close()
			if r.StatusCode == http.StatusOK {
				return nil
			}
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(10 * time.Millisecond):
		}
	}
	return fmt.Errorf("%s%s does not answer 200 within a minute", s.address, path)
}

// kill ends the process as kill -9 does, and waits for it.
func (s *server) kill() {
	if s == nil || s.cmd.Process == nil {
		return
	}
	_ = s.cmd.Process.Kill()
	_ = s.cmd.Wait() // killed on purpose
}

// answer makes the no-op handler answer body from now on.
func (s *server) answer(body []byte) error {
	r, err := http.NewRequest(http.MethodPut, "http://"+s.address+"/", bytes.NewReader(body)) //nolint:noctx // loopback
	if err != nil {
		return err
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return err
	}
	return answer.Body.Close()
}

// metric reads one value from /metrics.
func (s *server) metric(name string) (float64, error) {
	r, err := http.Get("http://" + s.admin + "/metrics") //nolint:noctx // loopback
	if err != nil {
		return 0, err
	}
	defer r.Body.Close() //nolint:errcheck // read whole
	text, err := io.ReadAll(r.Body)
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		if v, ok := strings.CutPrefix(line, name+" "); ok {
			return strconv.ParseFloat(strings.TrimSpace(v), 64)
		}
	}
	return 0, fmt.Errorf("no metric %s at %s", name, s.admin)
}

// drained waits until nothing is left to fold and returns how long that took.
func (s *server) drained() (time.Duration, error) {
	start := time.Now()
	for time.Since(start) < 2*time.Minute {
		lag, err := s.metric("attune_journal_lag_events")
		if err != nil {
			return 0, err
		}
		if lag == 0 {
			return time.Since(start), nil
		}
		time.Sleep(5 * time.Millisecond)
	}
	return 0, errors.New("the pipeline is still behind after two minutes")
}

// memory returns the resident bytes now and at most so far.
func (s *server) memory() (now, peak int64, err error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.cmd.Process.Pid))
	if err != nil {
		return 0, 0, err
	}
	kb := func(name string) int64 {
		_, rest, _ := strings.Cut(string(text), name+":")
		fields := strings.Fields(rest)
		if len(fields) == 0 {
			return 0
		}
		n, _ := strconv.ParseInt(fields[0], 10, 64) // the kernel writes digits
		return n << 10
	}
	return kb("VmRSS"), kb("VmHWM"), nil
}

// cpu returns the CPU time the process has taken. Linux counts in hundredths of a second.
func (s *server) cpu() (time.Duration, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", s.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	_, rest, _ := strings.Cut(string(text), ") ")
	f := strings.Fields(rest)
	if len(f) < 13 {
		return 0, errors.New("/proc/PID/stat is not what Linux writes")
	}
	user, err1 := strconv.ParseInt(f[11], 10, 64)
	system, err2 := strconv.ParseInt(f[12], 10, 64)
	return time.Duration(user+system) * 10 * time.Millisecond, errors.Join(err1, err2)
}
