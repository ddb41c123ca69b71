package e2e_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

const (
	writeKey = "dev"
	secret   = "dev-secret"
)

// build makes the binary once for all tests.
var build = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "attune-e2e")
	if err != nil {
		return "", err
	}
	bin := filepath.Join(dir, "attune")
	cmd := exec.Command("go", "build", "-o", bin, "../cmd/attune")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%w: %s", err, out)
	}
	return bin, nil
})

func TestMain(m *testing.M) {
	code := m.Run()
	if bin, err := build(); err == nil {
		_ = os.RemoveAll(filepath.Dir(bin))
	}
	os.Exit(code)
}

// start runs the binary with args and returns the base URL it prints. It is
// told to stop when the test ends, and has to stop by itself then.
func start(t *testing.T, args ...string) string {
	t.Helper()
	bin, err := build()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(bin, args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	var log strings.Builder
	cmd.Stderr = &log
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		done := make(chan error, 1)
		go func() { done <- cmd.Wait() }()
		select {
		case err := <-done:
			if err != nil {
				t.Errorf("attune %v: %v\n%s", args, err, log.String())
			}
		case <-time.After(20 * time.Second):
			_ = cmd.Process.Kill()
			t.Errorf("attune %v did not stop", args)
		}
	})
	address := regexp.MustCompile(`http://127\.0\.0\.1:\d+`)
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if at := address.FindString(lines.Text()); at != "" {
			go io.Copy(io.Discard, out) //nolint:errcheck // it ends with the process
			return at
		}
	}
	t.Fatalf("attune %v printed no address\n%s", args, log.String())
	return ""
}

// dev runs `attune serve --dev` on a fresh data directory.
func dev(t *testing.T) string {
	t.Helper()
	return start(t, "serve", "--dev", "--data-dir", t.TempDir(), "--listen", "127.0.0.1:0", "--admin", "off")
}

// profile is what GET /v1/profiles/{key} answers.
type profile struct {
	Traits   map[string]any `json:"traits"`
	Features map[string]any `json:"features"`
	Segments []string       `json:"segments"`
}

// read gets a JSON document with the server secret; into stays as it is when
// there is none.
func read(t *testing.T, base, path string, into any) {
	t.Helper()
	req, err := http.NewRequest(http.MethodGet, base+path, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	req.SetBasicAuth(secret, "")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close() //nolint:errcheck // it was read
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	if res.StatusCode == http.StatusNotFound {
		return
	}
	if err := json.Unmarshal(body, into); err != nil {
		t.Fatalf("%s answered %d %q: %v", path, res.StatusCode, body, err)
	}
}

// until waits until done holds; SDKs send in their own time.
func until(t *testing.T, what string, done func() bool) {
	t.Helper()
	for range 400 {
		if done() {
			return
		}
		time.Sleep(25 * time.Millisecond)
	}
	t.Errorf("never saw: %s", what)
}

// events returns the timeline of a person, newest first.
func events(t *testing.T, base, key string) []map[string]any {
	t.Helper()
	var got struct {
		Events []map[string]any `json:"events"`
	}
	read(t, base, "/v1/profiles/"+url.PathEscape(key)+"/events?limit=100", &got)
	return got.Events
}

// kinds counts a timeline by type, and by name for track calls.
func kinds(list []map[string]any) map[string]int {
	n := map[string]int{}
	for _, e := range list {
		kind := fmt.Sprint(e["type"])
		if kind == "track" {
			kind = fmt.Sprint(e["event"])
		}
		n[kind]++
	}
	return n
}

// flaky stands between an SDK and the server and loses the answer to the first
// request of each path that carries events: the server has them, the SDK is
// told 503 and sends them again.
type flaky struct {
	*httptest.Server

	mu   sync.Mutex
	lost map[string]bool
	seen []string // paths, in order
}

func newFlaky(t *testing.T, base string) *flaky {
	t.Helper()
	to, err := url.Parse(base)
	if err != nil {
		t.Fatal(err)
	}
	f := &flaky{lost: map[string]bool{}}
	proxy := httputil.NewSingleHostReverseProxy(to)
	f.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f.mu.Lock()
		f.seen = append(f.seen, r.Method+" "+r.URL.Path)
		lose := r.Method == http.MethodPost && !f.lost[r.URL.Path]
		f.lost[r.URL.Path] = f.lost[r.URL.Path] || lose
		f.mu.Unlock()
		if !lose {
			proxy.ServeHTTP(w, r)
			return
		}
		swallowed := httptest.NewRecorder()
		proxy.ServeHTTP(swallowed, r)
		for _, h := range []string{"Access-Control-Allow-Origin", "Access-Control-Allow-Credentials", "Access-Control-Expose-Headers"} {
			if v := swallowed.Header().Get(h); v != "" {
				w.Header().Set(h, v)
			}
		}
		w.WriteHeader(http.StatusServiceUnavailable)
	}))
	t.Cleanup(f.Close)
	return f
}

// retried returns how many requests came again after their answer was lost.
func (f *flaky) retried() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := 0
	for path := range f.lost {
		posts := 0
		for _, s := range f.seen {
			if s == "POST "+path {
				posts++
			}
		}
		if posts > 1 {
			n++
		}
	}
	return n
}
