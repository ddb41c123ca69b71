package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"regexp"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// TestMain lets the scripts run this binary as attune.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"attune": main})
}

// TestScripts runs testdata/script: the command line as its users see it.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script", RequireExplicitExec: true, RequireUniqueNames: true,
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			"address": address, "mode": mode, "until": until, "append": appendTo, "term": term,
		},
	})
}

// address sets variables to addresses that nobody listens on: address A B.
func address(ts *testscript.TestScript, _ bool, names []string) {
	for _, name := range names {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		ts.Check(err)
		defer l.Close() //nolint:errcheck // nothing was sent
		ts.Setenv(name, l.Addr().String())
	}
}

// term sends SIGTERM to the process that was started last.
func term(ts *testscript.TestScript, _ bool, _ []string) {
	started := ts.BackgroundCmds()
	ts.Check(started[len(started)-1].Process.Signal(syscall.SIGTERM))
}

// mode checks a file's permissions: mode FILE 0600.
func mode(ts *testscript.TestScript, _ bool, args []string) {
	info, err := os.Stat(ts.MkAbs(args[0]))
	ts.Check(err)
	if got := fmt.Sprintf("%04o", info.Mode().Perm()); got != args[1] {
		ts.Fatalf("%s has mode %s", args[0], got)
	}
}

// appendTo adds the second file's text to the first: append FILE MORE.
func appendTo(ts *testscript.TestScript, _ bool, args []string) {
	text := ts.ReadFile(args[0]) + ts.ReadFile(args[1])
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(text), 0o600))
}

// until asks URL with the key until status and body, as one text, match the
// pattern: until URL KEY PATTERN. It gives up after ten seconds or so.
func until(ts *testscript.TestScript, _ bool, args []string) {
	pattern, last := regexp.MustCompile(args[2]), ""
	for range 200 {
		if last = ask(args[0], args[1]); pattern.MatchString(last) {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	ts.Fatalf("%s does not answer %s, but %s", args[0], args[2], last)
}

func ask(url, key string) string {
	req, err := http.NewRequest(http.MethodGet, url, http.NoBody)
	if err != nil {
		return err.Error()
	}
	req.SetBasicAuth(key, "")
	client := http.Client{Timeout: 5 * time.Second}
	res, err := client.Do(req)
	if err != nil {
		return err.Error()
	}
	defer res.Body.Close() //nolint:errcheck // it was read
	text, err := io.ReadAll(res.Body)
	if err != nil {
		return err.Error()
	}
	return fmt.Sprintf("%d %s", res.StatusCode, text)
}
