package e2e_test

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"maps"
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

// lostEvent is the call whose first answer is lost: one that counts.
const lostEvent = "Product Viewed"

// flaky stands between an SDK and the server and loses the first answer to a
// request that carries lostEvent: the server has it, the SDK is told 503 and
// sends it again. At againPath it says whether it did.
type flaky struct {
	*httptest.Server

	mu    sync.Mutex
	lost  bool
	again string   // token of the answer to the repeat, "" before
	seen  []string // requests, in order
}

const againPath = "/again"

func newFlaky(t *testing.T, base string) *flaky {
	t.Helper()
	to, err := url.Parse(base)
	if err != nil {
		t.Fatal(err)
	}
	f := &flaky{}
	proxy := httputil.NewSingleHostReverseProxy(to)
	f.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == againPath {
			w.Header().Set("Access-Control-Allow-Origin", "*")
			fmt.Fprint(w, f.token() != "")
			return
		}
		carries, err := f.reads(r)
		if err != nil {
			t.Errorf("%s %s: %v", r.Method, r.URL.Path, err)
		}
		if !carries {
			proxy.ServeHTTP(w, r)
			return
		}
		answer := httptest.NewRecorder()
		proxy.ServeHTTP(answer, r)
		if f.loses(answer) {
			answer.Body.Reset()
			answer.Code = http.StatusServiceUnavailable
			answer.Header().Del("Content-Length")
		}
		maps.Copy(w.Header(), answer.Header())
		w.WriteHeader(answer.Code)
		_, _ = w.Write(answer.Body.Bytes())
	}))
	t.Cleanup(f.Close)
	return f
}

// reads notes r and reports whether it carries lostEvent. r can be read again.
func (f *flaky) reads(r *http.Request) (carries bool, err error) {
	f.mu.Lock()
	f.seen = append(f.seen, r.Method+" "+r.URL.Path)
	f.mu.Unlock()
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return false, err
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	if r.Header.Get("Content-Encoding") == "gzip" {
		z, err := gzip.NewReader(bytes.NewReader(body))
		if err != nil {
			return false, err
		}
		if body, err = io.ReadAll(z); err != nil {
			return false, err
		}
	}
	return r.Method == http.MethodPost && bytes.Contains(body, []byte(lostEvent)), nil
}

// loses reports whether an answer to lostEvent is lost: the first good one is.
// The next good one is that to the repeat.
func (f *flaky) loses(answer *httptest.ResponseRecorder) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch good := answer.Code == http.StatusOK; {
	case good && !f.lost:
		f.lost = true
		return true
	case good && f.again == "":
		f.again = answer.Header().Get("X-Attune-Token")
	}
	return false
}

// token returns the token of the answer to the repeat, "" before there was one.
func (f *flaky) token() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.again
}

// repeated waits until what was lost was sent again, acknowledged, and folded.
func (f *flaky) repeated(t *testing.T, base string) {
	t.Helper()
	until(t, lostEvent+" sent again and acknowledged", func() bool { return f.token() != "" })
	if t.Failed() {
		t.Fatalf("requests: %v", f.seen)
	}
	until(t, "the repeat folded", func() bool {
		body := fmt.Sprintf(`{"after":%q,"deadline_ms":1000,"placements":[{"id":"popular"}]}`, f.token())
		req, err := http.NewRequest(http.MethodPost, base+"/v1/decide", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.SetBasicAuth(secret, "")
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close() //nolint:errcheck // it was read
		var d struct {
			Stale bool `json:"stale"`
		}
		return json.NewDecoder(res.Body).Decode(&d) == nil && res.StatusCode == http.StatusOK && !d.Stale
	})
}

// told compares the traits and features of a person with what the SDKs' scripts
// and pages say of one.
func (p *profile) told(t *testing.T) {
	t.Helper()
	address, _ := p.Traits["address"].(map[string]any)
	if p.Traits["email"] != "a@b.co" || p.Traits["plan"] != "pro" || address["city"] != "Paris" {
		t.Errorf("traits are %v, want email, plan and address.city as they were sent", p.Traits)
	}
	for feature, n := range map[string]float64{"views_30d": 1, "purchases_30d": 1, "revenue_30d": 12.5} {
		if p.Features[feature] != n {
			t.Errorf("%s is %v after a repeat, want %v", feature, p.Features[feature], n)
		}
	}
}
