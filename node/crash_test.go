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
	if url := os.Getenv(hookEnv); url != "" {
		hooked(&cfg, url)
	}
	n, err := node.Open(ctx, cfg, node.Options{
		Ready: func(address string) { fmt.Println(address) },
	})
	if err != nil {
		return err
	}
	return n.Run(ctx)
}

// startServer runs a server process on dir and returns its address.
func startServer(t *testing.T, dir string) (address string, kill func()) {
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
	line := make([]byte, 64)
	n, err := out.Read(line)
	if err != nil {
		t.Fatalf("the server did not start: %v", errors.Join(err, cmd.Wait()))
	}
	return strings.TrimSpace(string(line[:n])), func() {
		_ = cmd.Process.Kill()
		_, _ = io.Copy(io.Discard, out)
		_ = cmd.Wait() // it was killed
	}
}

// visitor is one browser: it sends one event at a time and tries again, with
// the same messageId, until it is acknowledged, as an SDK does. So the order of
// its events in the log is known, and with it whose they are.
type visitor struct {
	rng    *rand.Rand
	device string
	user   string // "" while nobody is logged in
	sent   int
	prefix string
	users  int // how many there are to log in as

	// What the acknowledged events amount to, per person, computed beside the
	// engine from the definitions alone.
	owned map[string]*ledger // user id → what is hers on this device
	open  *ledger            // unclaimed at this moment
	owner string             // of the current stretch
	ever  bool               // somebody has claimed something here
	prev  string             // whose stretch came before the unclaimed one
}

// ledger is what a person's events amount to.
type ledger struct {
	views  int
	orders map[string]float64 // order id → revenue
}

func (l *ledger) add(o *ledger) {
	l.views += o.views
	if l.orders == nil {
		l.orders = map[string]float64{}
	}
	maps.Copy(l.orders, o.orders)
}

// event makes the next call. Half of the orders are sent by the shop's server
// too, as real shops do.
func (v *visitor) event() (body, also []byte, apply func()) {
	v.sent++
	id := v.prefix + strconv.Itoa(v.sent)
	switch v.rng.IntN(20) {
	case 0:
		v.user = "user-" + strconv.Itoa(v.rng.IntN(v.users))
	case 1:
		v.user = ""
	}
	user := v.user
	call := map[string]any{
		"type": "track", "messageId": id, "anonymousId": v.device,
		"context": map[string]any{"library": map[string]any{"name": "analytics.js"}},
	}
	if user != "" {
		call["userId"] = user
	}
	if user != "" && v.rng.IntN(8) == 0 {
		order, revenue := "order-"+id, float64(v.rng.IntN(100)+1)
		call["event"] = "Order Completed"
		call["properties"] = map[string]any{"order_id": order, "revenue": revenue, "products": []any{map[string]any{"product_id": "item-1"}}}
		if v.rng.IntN(2) == 0 {
			server := map[string]any{
				"type": "track", "messageId": id + "-server", "userId": user, "event": "Order Completed", "properties": call["properties"],
				"context": map[string]any{"library": map[string]any{"name": "@segment/analytics-node"}},
			}
			also, _ = json.Marshal(server)
		}
		body, _ = json.Marshal(call)
		return body, also, func() {
			l := v.stretch(user)
			if l.orders == nil {
				l.orders = map[string]float64{}
			}
			l.orders[order] = revenue
		}
	}
	call["event"] = "Product Viewed"
	call["properties"] = map[string]any{"product_id": "item-" + strconv.Itoa(v.rng.IntN(50))}
	body, _ = json.Marshal(call)
	return body, nil, func() { v.stretch(user).views++ }
}

// stretch returns the ledger an event of user (or nobody) on this device goes
// into, from DESIGN's sentences: events before any user are taken by the
// first; events without one after that are taken by the next user only if it is
// the same one, else by nobody.
func (v *visitor) stretch(user string) *ledger {
	if v.owned == nil {
		v.owned = map[string]*ledger{}
		v.open = &ledger{}
	}
	switch {
	case user == "" && v.owner != "": // logged out: a new unclaimed stretch
		v.prev, v.owner, v.open = v.owner, "", &ledger{}
	case user != "" && v.owner == "" && (!v.ever || v.prev == user): // taken
		v.own(user).add(v.open)
		v.open = &ledger{}
		v.owner = user
	case user != "" && v.owner != user: // another one, or nobody's history
		v.open = &ledger{}
		v.owner = user
	}
	if user == "" {
		return v.open
	}
	v.ever = true
	return v.own(user)
}

func (v *visitor) own(user string) *ledger {
	if v.owned[user] == nil {
		v.owned[user] = &ledger{orders: map[string]float64{}}
	}
	return v.owned[user]
}

// target is where events go at the moment; it changes with every restart.
type target struct {
	mu      sync.Mutex
	address string
}

func (g *target) get() string { g.mu.Lock(); defer g.mu.Unlock(); return g.address }

func (g *target) set(a string) { g.mu.Lock(); defer g.mu.Unlock(); g.address = a }

// send posts body until it is acknowledged, and sometimes once more.
func send(client *http.Client, g *target, key string, body []byte, rng *rand.Rand) error {
	for range 3000 {
		req, err := http.NewRequest(http.MethodPost, "http://"+g.get()+"/v1/track", bytes.NewReader(body))
		if err != nil {
			return err
		}
		req.SetBasicAuth(key, "")
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
			return fmt.Errorf("%s answered %d: %s", body, res.StatusCode, text)
		}
		time.Sleep(5 * time.Millisecond)
	}
	return fmt.Errorf("%s was never acknowledged", body)
}

// TestKill kills the server with SIGKILL at random moments under load, many
// times. After the last restart every person equals what was acknowledged:
// nothing lost, nothing counted twice.
//
// ATTUNE_SOAK=minutes makes it long.
func TestKill(t *testing.T) {
	rounds := 4
	if m, err := strconv.Atoi(os.Getenv("ATTUNE_SOAK")); err == nil {
		rounds = m * 30
	}
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d, %d kills", seed, rounds)
	rng := rand.New(rand.NewPCG(seed, 1))
	dir := t.TempDir()

	var g target
	address, kill := startServer(t, dir)
	g.set(address)
	stop := make(chan struct{})
	visitors := make([]*visitor, 24)
	errs := make(chan error, len(visitors)+1)
	var wg sync.WaitGroup
	for i := range visitors {
		// A person's newest 500 orders are kept: a long run has more people, so
		// that nobody has more.
		v := &visitor{users: 40 + 10*rounds, rng: rand.New(rand.NewPCG(seed, uint64(i)+2)), prefix: fmt.Sprintf("m%d-", i)}
		v.device = fmt.Sprintf("%08x-0000-4000-8000-%012x", v.rng.Uint32(), i)
		visitors[i] = v
		wg.Go(func() { errs <- v.browse(&g, stop) })
	}
	for range rounds {
		time.Sleep(time.Duration(100+rng.IntN(1400)) * time.Millisecond)
		kill()
		address, kill = startServer(t, dir)
		g.set(address)
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
	defer func() { kill() }()
	events := check(t, g.get(), visitors)
	// Once more on what a kill leaves when nothing is on its way.
	kill()
	address, kill = startServer(t, dir)
	g.set(address)
	check(t, address, visitors)
	t.Logf("%d acknowledged events over %d kills", events, rounds+1)
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
		body, also, apply := v.event()
		if err := send(client, g, config.DevWriteKey, body, v.rng); err != nil {
			return err
		}
		if also != nil {
			if err := send(client, g, config.DevServerSecret, also, v.rng); err != nil {
				return err
			}
		}
		apply()
	}
}

// check compares every person with the visitors' ledgers, once the pipeline
// has caught up.
func check(t *testing.T, address string, visitors []*visitor) (events int) {
	t.Helper()
	people := map[string]*ledger{}
	devices := map[string]*ledger{}
	for _, v := range visitors {
		events += v.sent
		for user, l := range v.owned {
			if people[user] == nil {
				people[user] = &ledger{}
			}
			people[user].add(l)
		}
		if v.owner == "" && v.open != nil {
			devices[v.device] = v.open
		}
	}
	for user, want := range people {
		compare(t, address, "u:"+user, want)
	}
	for device, want := range devices {
		compare(t, address, "a:"+device, want)
	}
	return events
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

// compare waits, for a while, until the profile of key equals want: the
// pipeline may still be folding what is in the journal.
func compare(t *testing.T, address, key string, want *ledger) {
	t.Helper()
	w := totals{Views: want.views, Purchases: len(want.orders)}
	for _, r := range want.orders {
		w.Revenue += r
	}
	var got struct {
		Features totals `json:"features"`
	}
	var err error
	for range 100 {
		if err = get(address, "/v1/profiles/"+key, &got); err == nil && got.Features == w {
			return
		}
		if w == (totals{}) && err != nil {
			return // nobody ever heard of this person, rightly
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Errorf("%s: got %+v (%v), want %+v", key, got.Features, err, w)
}

// totals are the features that are compared.
type totals struct {
	Views     int     `json:"views_30d"`
	Purchases int     `json:"purchases_30d"`
	Revenue   float64 `json:"revenue_30d"`
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
