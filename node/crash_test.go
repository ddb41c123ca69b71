package node_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/attune-io/attune/config"
	"github.com/attune-io/attune/node"
)

// serverEnv makes the test binary a server on the data directory it names.
const serverEnv = "ATTUNE_TEST_SERVER"

func TestMain(m *testing.M) {
	if dir := os.Getenv(serverEnv); dir != "" {
		if err := serveDir(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func testConfig(dir string) config.Config {
	cfg := config.Default()
	cfg.Dev, cfg.DataDir, cfg.Listen, cfg.AdminListen = true, dir, "127.0.0.1:0", ""
	return cfg
}

func serveDir(dir string) error {
	ctx := context.Background()
	cfg := testConfig(dir)
	cfg.AdminListen = "127.0.0.1:0"
	if url := os.Getenv(hookEnv); url != "" {
		hooked(&cfg, url)
	}
	ready := make(chan string, 1)
	n, err := node.Open(ctx, cfg, node.Options{
		Ready: func(address string) { ready <- address },
	})
	if err != nil {
		return err
	}
	go func() { fmt.Println(<-ready, n.AdminAddress()) }()
	return n.Run(ctx)
}

// server is a process to be killed.
type server struct {
	address, admin string
	kill           func()
}

// startServer runs a server process on dir.
func startServer(t *testing.T, dir string) server {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), serverEnv+"="+dir)
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var s server
	if _, err := fmt.Fscanln(out, &s.address, &s.admin); err != nil {
		t.Fatalf("the server did not start: %v", errors.Join(err, cmd.Wait()))
	}
	s.kill = func() {
		_ = cmd.Process.Kill()
		_, _ = io.Copy(io.Discard, out)
		_ = cmd.Wait() // it was killed
	}
	return s
}

// target is where events go at the moment; it changes with every restart.
type target struct {
	mu      sync.Mutex
	address string
}

func (g *target) get() string { g.mu.Lock(); defer g.mu.Unlock(); return g.address }

func (g *target) set(a string) { g.mu.Lock(); defer g.mu.Unlock(); g.address = a }

// send posts c until it is acknowledged, and sometimes once more.
func (c *call) send(client *http.Client, g *target, rng *rand.Rand) error {
	for range 3000 {
		req, err := http.NewRequest(http.MethodPost, "http://"+g.get()+c.path, bytes.NewReader(c.body))
		if err != nil {
			return err
		}
		req.SetBasicAuth(c.key, "")
		res, err := client.Do(req)
		if err != nil {
			time.Sleep(5 * time.Millisecond)
			continue
		}
		text, _ := io.ReadAll(res.Body)
		_ = res.Body.Close()
		switch {
		case res.StatusCode == http.StatusOK && rng.IntN(10) == 0:
			continue // the answer was lost on the way, say: the SDK sends it again
		case res.StatusCode == http.StatusOK:
			return nil
		case res.StatusCode < 500:
			return fmt.Errorf("%s answered %d: %s", c.body, res.StatusCode, text)
		}
		time.Sleep(5 * time.Millisecond)
	}
	return fmt.Errorf("%s was never acknowledged", c.body)
}

// TestKill kills the server with SIGKILL at random moments under load, many
// times. After the last restart, when everything is folded, every person equals
// what was acknowledged: nothing lost, nothing counted twice.
//
// ATTUNE_SOAK=minutes makes it long. ATTUNE_SEED repeats what is sent and the
// pauses between the kills, not the instants at which they fall.
func TestKill(t *testing.T) {
	rounds := 4
	if m, err := strconv.Atoi(os.Getenv("ATTUNE_SOAK")); err == nil {
		rounds = m * 30
	}
	seed := node.Seed(t)
	rng := rand.New(rand.NewPCG(seed, 1))
	dir := t.TempDir()

	var g target
	s := startServer(t, dir)
	g.set(s.address)
	stop := make(chan struct{})
	visitors := make([]*visitor, 24)
	errs := make(chan error, len(visitors)+1)
	var wg sync.WaitGroup
	for i := range visitors {
		// A person's newest 500 orders are kept: a long run has more people, so
		// that nobody has more.
		v := newVisitor(i, 40+10*rounds, rand.New(rand.NewPCG(seed, uint64(i)+2)))
		visitors[i] = v
		wg.Go(func() { errs <- v.browse(&g, stop) })
	}
	for range rounds {
		time.Sleep(time.Duration(100+rng.IntN(1400)) * time.Millisecond)
		s.kill()
		s = startServer(t, dir)
		g.set(s.address)
	}
	time.Sleep(200 * time.Millisecond)
	close(stop)
	wg.Wait()
	close(errs)
	for err := range errs {
		if err != nil {
			t.Fatal(err)
		}
	}
	defer func() { s.kill() }()
	events, people := s.check(t, visitors)
	// Once more on what a kill leaves when nothing is on its way.
	s.kill()
	s = startServer(t, dir)
	s.check(t, visitors)
	t.Logf("%d acknowledged events of %d people and devices over %d kills, none lost and none counted twice: %t", events, people, rounds+1, !t.Failed())
}

// browse sends events until stop is closed.
func (v *visitor) browse(g *target, stop <-chan struct{}) error {
	client := &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	for {
		select {
		case <-stop:
			return nil
		default:
		}
		calls, apply := v.next()
		for i := range calls {
			if err := calls[i].send(client, g, v.rng); err != nil {
				return err
			}
		}
		apply()
	}
}

// check waits until everything is folded, and then compares every person, once,
// with the visitors' ledgers.
func (s server) check(t *testing.T, visitors []*visitor) (events, people int) {
	t.Helper()
	for n := 0; !s.folded(t); n++ {
		if n == 3000 {
			t.Fatal("the server does not fold what is in its journal")
		}
		time.Sleep(20 * time.Millisecond)
	}
	want := map[string]*ledger{} // by profile key
	for _, v := range visitors {
		events += v.sent
		for user, l := range v.owned {
			of(want, "u:"+user).add(l)
		}
		if v.owner == "" {
			of(want, "a:"+v.device).add(&v.open)
		}
	}
	for _, v := range visitors {
		for from, to := range v.aliases {
			one := of(want, "u:"+from)
			if two := of(want, "u:"+to); one != two {
				one.add(two)
				want["u:"+to] = one
			}
		}
	}
	for key, l := range want {
		compare(t, s.address, key, l)
	}
	return events, len(want)
}

// folded reports whether nothing is in the journal that is not in the profiles.
func (s server) folded(t *testing.T) bool {
	t.Helper()
	res, err := http.Get("http://" + s.admin + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close() //nolint:errcheck // it was read
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return bytes.Contains(text, []byte("\nattune_journal_lag_events 0\n"))
}

func get(address, path string, into any) error {
	req, err := http.NewRequest(http.MethodGet, "http://"+address+path, http.NoBody)
	if err != nil {
		return err
	}
	req.SetBasicAuth(config.DevServerSecret, "")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close() //nolint:errcheck // it was read
	body, err := io.ReadAll(res.Body)
	if err != nil {
		return err
	}
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answered %d: %s", path, res.StatusCode, body)
	}
	return json.Unmarshal(body, into)
}

// compare compares the profile of key with what is wanted.
func compare(t *testing.T, address, key string, want *ledger) {
	t.Helper()
	var got struct {
		Features totals         `json:"features"`
		Traits   map[string]int `json:"traits"`
	}
	err := get(address, "/v1/profiles/"+key, &got)
	w := want.totals()
	switch {
	case err != nil && want.empty():
		// Nobody ever heard of this person, rightly.
	case err != nil:
		t.Errorf("%s: %v, want %+v", key, err, w)
	case !got.Features.equal(w):
		t.Errorf("%s: got %+v, want %+v", key, got.Features, w)
	case !maps.Equal(got.Traits, want.values()):
		t.Errorf("%s: got traits %v, want %v", key, got.Traits, want.values())
	}
}

// TestSecondProcess: a directory has one process, and the second is told.
func TestSecondProcess(t *testing.T) {
	dir := t.TempDir()
	first, err := node.Open(t.Context(), testConfig(dir), node.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer first.Close() //nolint:errcheck // the test is over
	_, err = node.Open(t.Context(), testConfig(dir), node.Options{})
	if err == nil || !slices.ContainsFunc([]string{"process", "in use"}, func(s string) bool { return strings.Contains(err.Error(), s) }) {
		t.Errorf("a second process on the directory: got %v, want an error that says so", err)
	}
}
